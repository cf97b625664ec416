"""Ising and Potts chains against their twins, enumeration, Kaufman's sum and Onsager's energy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ellipk

from deepglass import _core
from deepglass.learning import Ising, Potts, level_counts
from deepglass.reference import lattice as reference

CRITICAL = 2.0 / math.log1p(math.sqrt(2.0))


def z_score(series, exact):
    """Of a mean over independent chains, dims (chain, draw)."""
    means = np.asarray(series).mean(axis=1)
    return (means.mean() - exact) / (means.std(ddof=1) / math.sqrt(means.size))


# The kernels and their twins


@given(
    shape=st.lists(st.integers(2, 4), min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 2**64 - 1),
    chain=st.integers(0, 519),
    beta=st.sampled_from([0.0, 0.2, 0.7, 30.0]),
)
def test_heat_bath_is_its_twin(shape, seed, chain, beta):
    betas = np.full(520, 0.5)
    betas[chain] = beta
    chains = _core.LatticeChains(list(shape), 2, betas, algorithm="heat_bath", seed=seed)
    chains.run(1, 2)
    expected = reference.heat_bath_chain(shape, beta, chain, 2, seed)
    np.testing.assert_array_equal(chains.spins[chain], expected)


@given(
    shape=st.lists(st.integers(2, 4), min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 2**64 - 1),
    n_states=st.integers(2, 5),
    beta=st.sampled_from([0.0, 0.5, 1.1, 40.0]),
)
def test_clusters_are_their_twin(shape, seed, n_states, beta):
    chains = _core.LatticeChains(list(shape), n_states, [1.0, beta], algorithm="clusters", seed=seed)
    chains.run(1, 3)
    np.testing.assert_array_equal(chains.spins[1], reference.cluster_chain(shape, n_states, beta, 1, 3, seed))


@pytest.mark.parametrize(("algorithm", "n_states"), [("heat_bath", 2), ("clusters", 4)])
def test_measurements_are_those_of_the_spins(algorithm, n_states):
    chains = _core.LatticeChains([4, 5, 3], n_states, np.linspace(0, 1, 7), algorithm=algorithm, seed=5)
    satisfied, counts = chains.run(1, 5)
    spins = chains.spins.reshape(7, 4, 5, 3)
    expected = sum((spins == np.roll(spins, -1, axis)).sum(axis=(1, 2, 3)) for axis in (1, 2, 3))
    np.testing.assert_array_equal(satisfied[:, 0], expected)
    np.testing.assert_array_equal(counts[:, 0], [np.bincount(row.ravel(), minlength=n_states) for row in spins])
    chains.spins = chains.spins[::-1]
    np.testing.assert_array_equal(chains.run(1, 0)[0][:, 0], expected[::-1])


# Exact laws


def enumerated(shape, n_states):
    """Number of satisfied bonds and largest magnetisation of each configuration."""
    spins = np.array(list(itertools.product(range(n_states), repeat=math.prod(shape)))).reshape(-1, *shape)
    axes = range(1, spins.ndim)
    return spins, sum((spins == np.roll(spins, -1, axis)).sum(axis=tuple(axes)) for axis in axes)


@pytest.mark.parametrize(
    ("shape", "n_states"), [((5,), 3), ((2,), 2), ((3, 4), 2), ((4, 4), 2), ((3, 3), 3), ((2, 4), 3), ((3, 2), 4)]
)
def test_counts_are_those_of_all_configurations(shape, n_states):
    _, satisfied = enumerated(shape, n_states)
    counts = level_counts(shape, n_states)
    np.testing.assert_array_equal(counts, np.bincount(satisfied, minlength=len(counts)))


@pytest.mark.parametrize("shape", [(4, 4), (8, 4), (3, 9), (7, 7)])
@pytest.mark.parametrize("beta", [0.2, 0.4406867935, 0.7])
def test_counts_give_the_sum_of_kaufman(shape, beta):
    found = Ising(shape, [1.0 / beta]).log_partition_function[0]
    assert found == pytest.approx(reference.ising_log_partition_function(shape, beta), rel=1e-13)


def test_numbers_of_the_specification():
    law = Ising((4, 4), 1.0 / np.array([0.3, 0.4406867935, 0.6]))
    np.testing.assert_allclose(law.log_partition_function, [12.78552333, 15.52191546, 20.05653288], atol=5e-9)
    np.testing.assert_allclose(law.mean_energy / 16, [-0.84405407, -1.56562379, -1.90806953], atol=5e-9)
    assert law.energy_variance[1] == pytest.approx(64.531185583, abs=5e-8)
    assert Ising(16, [2.0]).log_partition_function[0] == pytest.approx(13.012191325754, abs=1e-12)
    b = np.arange(0.1, 0.95, 0.1)
    ring = np.log((2 * np.cosh(b)) ** 16 + (2 * np.sinh(b)) ** 16)
    np.testing.assert_allclose(Ising(16, 1 / b).log_partition_function, ring, rtol=1e-13)
    assert 1 - Ising(16, 1 / b).bayes_error == pytest.approx(0.23528, abs=5e-6)
    assert 1 - Ising((4, 4), np.arange(1.5, 3.6, 0.2)).bayes_error == pytest.approx(0.183228, abs=5e-7)
    assert math.isnan(Ising((64, 64), [2.0, 3.0]).bayes_error)


# Simulations


@pytest.mark.parametrize("algorithm", ["clusters", "heat_bath"])
def test_sixteen_spins_have_their_law(algorithm):
    """Every temperature of the table: energy, its square and |m| within errors."""
    temperatures = 1.0 / np.array([0.3, 0.4406867935, 0.6])
    law = Ising((4, 4), temperatures, algorithm=algorithm, n_chains=512, n_thermalise=100, every=5)
    run = law.simulate(40, seed=3)
    for t, (mean, variance, m) in enumerate(
        zip(law.mean_energy, law.energy_variance, [0.52035800, 0.84386044, 0.97286745], strict=True)
    ):
        energy, magnetisation = run["energy"][t], run["magnetisation"][t]
        assert abs(z_score(energy, mean)) < 4
        assert abs(z_score((energy - mean) ** 2, variance)) < 4
        assert abs(z_score(abs(magnetisation) / 16, m)) < 4
        assert abs(z_score(magnetisation, 0.0)) < 4


@pytest.mark.parametrize(("shape", "n_states"), [((3, 3), 3), ((2, 5), 3), ((7,), 4)])
def test_potts_has_its_law(shape, n_states):
    law = Potts(shape, n_states, [0.7, 1.0, 1.5], n_chains=300, n_thermalise=30, every=2)
    run = law.simulate(30, seed=4)
    spins, satisfied = enumerated(shape, n_states)
    flat = spins.reshape(len(spins), -1)
    most = np.max([(flat == state).sum(axis=1) for state in range(n_states)], axis=0)
    order = (n_states * most - law.n_sites) / (n_states - 1)
    for t, beta in enumerate(law.betas):
        weights = np.exp(beta * satisfied)
        weights /= weights.sum()
        assert law.mean_energy[t] == pytest.approx(-weights @ satisfied, rel=1e-13)
        assert abs(z_score(run["energy"][t], -weights @ satisfied)) < 4
        assert abs(z_score(run["magnetisation"][t], weights @ order)) < 4


@pytest.mark.parametrize(("shape", "temperature"), [((12, 6), 2.5), ((30, 5), CRITICAL)])
def test_strips_have_the_energy_of_the_transfer_matrix(shape, temperature):
    law = Ising(shape, [temperature], n_chains=100, n_thermalise=60, every=3)
    assert abs(z_score(law.simulate(60, seed=6)["energy"][0], law.mean_energy[0])) < 4


def onsager_energy(temperature):
    """Energy of a site of the infinite lattice (L. Onsager, Phys. Rev. 65, 117 (1944))."""
    b = 1 / temperature
    k = 2 * math.sinh(2 * b) / math.cosh(2 * b) ** 2
    return -1 / math.tanh(2 * b) * (1 + 2 / math.pi * (2 * math.tanh(2 * b) ** 2 - 1) * float(ellipk(k * k)))


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(
    ("algorithm", "temperature"),
    [("heat_bath", 3.0), ("heat_bath", 2.7), ("clusters", CRITICAL), ("clusters", 2.0), ("clusters", 3.0)],
)
def test_large_lattices_have_the_energy_of_kaufman_and_onsager(algorithm, temperature):
    size, fast = 64, algorithm == "heat_bath"
    law = Ising(
        (size, size),
        [temperature],
        algorithm=algorithm,
        n_chains=512 if fast else 24,
        n_thermalise=200 if fast else 40,
        every=10 if fast else 4,
    )
    energy = law.simulate(10, seed=8)["energy"][0]
    b, h = 1 / temperature, 1e-5
    log_z = [reference.ising_log_partition_function((size, size), b + step) for step in (-h, h)]
    exact = -(log_z[1] - log_z[0]) / (2 * h)
    assert abs(z_score(energy, exact)) < 4
    if temperature != CRITICAL:  # correlation lengths are below 6: the size does not matter
        assert exact / size**2 == pytest.approx(onsager_energy(temperature), abs=1e-6)


# Independence


@pytest.mark.parametrize(("algorithm", "n_chains"), [("heat_bath", 1030), ("clusters", 30)])
def test_threads_and_the_number_of_chains_do_not_matter(algorithm, n_chains):
    def spins(n, threads):
        betas = np.linspace(0.1, 0.6, n_chains)[:n]
        chains = _core.LatticeChains([16, 12], 2, betas, algorithm=algorithm, seed=9)
        chains.run(3, 40, threads=threads)
        return chains.spins

    expected = spins(n_chains, 1)
    np.testing.assert_array_equal(expected, spins(n_chains, 3))
    np.testing.assert_array_equal(expected[:17], spins(17, 2))


def digest():
    import hashlib

    import numpy as np

    from deepglass import _core

    state = hashlib.sha256()
    for algorithm, n_states in (("heat_bath", 2), ("clusters", 3)):
        betas = np.linspace(0.0, 1.0, 70)
        chains = _core.LatticeChains([6, 5], n_states, betas, algorithm=algorithm, seed=11)
        for array in (*chains.run(3, 20), chains.spins):
            state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


@pytest.mark.no_sanitizer
def test_every_cpu_level_gives_the_same_bits(at_level):
    assert at_level(digest) == digest()


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("algorithm", "n_chains"), [("heat_bath", 512), ("clusters", 64)])
def test_ctrl_c_is_answered(ctrl_c_latency, algorithm, n_chains):
    chains = _core.LatticeChains([256, 256], 2, np.full(n_chains, 0.4), algorithm=algorithm)
    assert ctrl_c_latency(lambda: chains.run(1, 100_000)) < 0.1


# Data sets


def test_draws_are_labelled_configurations():
    law = Ising((4, 4), [1.5, 2.5, 3.5], n_chains=50, n_thermalise=50)
    data = law.draw(6001, seed=2)
    inputs, labels = data["inputs"].values, data["labels"].values
    assert inputs.dtype == np.int8 and set(np.unique(inputs)) == {-1, 1}
    np.testing.assert_array_equal(labels, np.arange(6001) % 3)
    np.testing.assert_array_equal(data["energy"], law.energy(inputs))
    assert float(data["bayes_error"]) == law.bayes_error
    # The optimal classifier, by the exact log-likelihoods, has the Bayes error.
    logits = -law.betas * data["energy"].values[:, np.newaxis] - law.log_partition_function
    wrong = (logits.argmax(axis=1) != labels).mean()
    error = math.sqrt(law.bayes_error * (1 - law.bayes_error) / 6001)
    assert abs(wrong - law.bayes_error) < 4 * error
    np.testing.assert_array_equal(law.draw(10, seed=2)["inputs"], inputs[:10])
    potts = Potts((3, 4), 3, [0.9, 1.1]).draw(50, seed=2)
    one_hot = potts["inputs"].values.reshape(50, 12, 3)
    assert (one_hot.sum(axis=2) == 1).all() and set(np.unique(one_hot)) == {0, 1}
    states = one_hot.argmax(axis=2).reshape(50, 3, 4)
    satisfied = sum((states == np.roll(states, -1, axis)).sum(axis=(1, 2)) for axis in (1, 2))
    np.testing.assert_array_equal(potts["energy"], -satisfied)


def test_progress_does_not_change_a_run():
    law = Ising((4, 4), [2.0, 3.0], n_chains=3)
    steps = []
    shown = law.simulate(5, seed=1, progress=lambda done, total: steps.append((done, total)))
    assert shown.identical(law.simulate(5, seed=1)) and steps == [(n, 5) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Ising((), [1.0]), "shape must have 1 to 3 extents"),
        (lambda: Ising((1, 4), [1.0]), "shape must be an integer from 2"),
        (lambda: Ising((2**13, 2**13), [1.0]), "shape must have at most"),
        (lambda: Ising((4, 4), []), "temperatures must be one or more numbers > 0"),
        (lambda: Ising((4, 4), [0.0]), "temperatures must be numbers > 0, got 0.0"),
        (lambda: Ising((4, 4), [1.0], algorithm="wolff"), "algorithm must be one of 'clusters', 'heat_bath'"),
        (lambda: Ising((4, 4), [1.0], n_chains=0), "n_chains must be an integer from 1"),
        (lambda: Potts((4, 4), 1, [1.0]), "n_states must be an integer from 2"),
        (lambda: level_counts((16, 16)), "shape must be a ring of at most 1000 sites, or rows"),
        (lambda: level_counts((4, 4, 4)), "shape must be a ring"),
        (lambda: Ising((4, 4), [1.0]).simulate(0), "n_draws must be an integer from 1"),
        (lambda: _core.LatticeChains([4], 3, [1.0], algorithm="heat_bath"), "n_states must be 2 with"),
        (lambda: _core.LatticeChains([4], 2, [1.0], algorithm="x"), "algorithm must be 'heat_bath' or 'clusters'"),
        (lambda: _core.LatticeChains([4], 2, [-1.0], algorithm="clusters"), "beta must be >= 0"),
        (lambda: _core.LatticeChains([4], 2, [np.nan], algorithm="clusters"), "beta must be finite"),
        (lambda: _core.LatticeChains([1], 2, [1.0], algorithm="clusters"), "extents of shape must be from 2"),
        (lambda: _core.LatticeChains([4], 2, [1.0], algorithm="clusters").run(0, 1), "n_draws must be from 1"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_spins_must_be_states():
    chains = _core.LatticeChains([4], 2, [1.0], algorithm="clusters")
    with pytest.raises(ValueError, match=r"spins must have shape \(1, 4\), got \(4,\)"):
        chains.spins = [0, 1, 0, 1]
    with pytest.raises(ValueError, match="spins must be below 2, got 2"):
        chains.spins = [[0, 1, 2, 1]]
