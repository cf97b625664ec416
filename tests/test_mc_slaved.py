"""The slaved perceptron network: its twin step by step, exact averages, bits that depend on nothing else, errors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepglass import _core
from deepglass.reference.mc_slaved import SlavedNetwork, slaved_forward

pytestmark = pytest.mark.same_bits

GREEDY = np.inf


def coins(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    return rng.choice(np.array([-1, 1], dtype=np.int8), shape)


def random_bonds(rng: np.random.Generator, widths: list[int], binary: bool) -> list[NDArray[Any]]:
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    return [coins(rng, *shape) if binary else rng.normal(size=shape).astype(np.float32) for shape in shapes]


def steps(widths: list[int], step: float) -> NDArray[np.float64]:
    return np.full(len(widths) - 1, step)


def make(
    widths: list[int], n_patterns: int, *, binary: bool, n_chains: int = 1, seed: int = 1, first_chain: int = 0
) -> Any:
    """Random data and random starts; those of a chain do not depend on how many there are."""
    rng = np.random.default_rng(seed)
    networks = _core.SlavedNetworks(
        widths,
        coins(rng, n_patterns, widths[0]),
        coins(rng, n_patterns, widths[-1]),
        binary=binary,
        n_chains=n_chains,
        seed=seed,
        first_chain=first_chain,
    )
    for chain in range(n_chains):
        networks.set_bonds(chain, random_bonds(np.random.default_rng([seed, first_chain + chain]), widths, binary))
    return networks


def digest(networks: Any, chain: int = 0) -> str:
    state = networks.state(chain)
    parts = [*state["bonds"], *state.get("fields", []), state["attempts"], state["acceptances"]]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts) + b"%d" % state["sweep"]).hexdigest()


# ---- Kernel = reference


@given(
    widths=st.lists(st.integers(2, 9), min_size=2, max_size=5),
    n_patterns=st.integers(1, 70),
    binary=st.booleans(),
    beta=st.sampled_from([0.0, 0.3, 1.0, 5.0, GREEDY]),
    seed=st.integers(0, 2**64 - 1),
    chain=st.integers(0, 2**60),
    sweep=st.integers(0, 2**40),
)
@settings(max_examples=60)
def test_trajectory_is_that_of_the_reference(
    widths: list[int], n_patterns: int, binary: bool, beta: float, seed: int, chain: int, sweep: int
) -> None:
    rng = np.random.default_rng(seed)
    inputs, outputs = coins(rng, n_patterns, widths[0]), coins(rng, n_patterns, widths[-1])
    start, step = random_bonds(rng, widths, binary), rng.uniform(0.1, np.pi, len(widths) - 1)
    slow = SlavedNetwork(start, inputs, outputs, binary=binary, seed=seed, chain=chain, sweep=sweep)
    fast = _core.SlavedNetworks(widths, inputs, outputs, binary=binary, n_chains=1, seed=seed, first_chain=chain)
    fast.set_bonds(0, start)
    fast.sweep = sweep
    for n_sweeps in (1, 2):
        fast.run(n_sweeps, [beta], step)
        slow.run(n_sweeps, beta, step.tolist())
        assert fast.sweep == slow.sweep
        assert fast.energy()[0] == slow.energy
        assert all(np.array_equal(*pair) for pair in zip(fast.bonds(0), slow.bonds, strict=True))
        assert all(np.array_equal(*pair) for pair in zip(fast.spins(0), slow.spins, strict=True))
        assert np.array_equal(fast.acceptances()[0], slow.acceptances)
        if not binary:
            fields = fast.state(0)["fields"]
            assert all(np.array_equal(kept.T, twin) for kept, twin in zip(fields, slow.fields, strict=True))


@pytest.mark.parametrize(
    ("widths", "n_patterns", "binary"),
    [
        ([5, 40, 34, 3], 37, False),  # in vectors, or over the widths for them, by CPU level
        ([20, 20, 20, 20], 130, False),
        ([3, 70, 6, 67], 20, False),  # more than one word of neurons
        ([1, 6, 65, 9, 2], 129, True),
        ([7, 130, 4], 65, True),  # fields of 16 bits
    ],
)
@pytest.mark.no_sanitizer
def test_wide_trajectory_is_that_of_the_reference(widths: list[int], n_patterns: int, binary: bool) -> None:
    rng = np.random.default_rng(4)
    fast = make(widths, n_patterns, binary=binary)
    inputs, outputs = fast.spins(0)[0], coins(rng, n_patterns, widths[-1])
    fast = _core.SlavedNetworks(widths, inputs, outputs, binary=binary, n_chains=1, seed=9)
    start = random_bonds(rng, widths, binary)
    fast.set_bonds(0, start)
    # Sweep 19 ends with everything computed afresh; one sweep of the twin is all there is time for.
    fast.sweep = 19
    slow = SlavedNetwork(start, inputs, outputs, binary=binary, seed=9, sweep=19)
    fast.run(1, [1.0], steps(widths, 0.5))
    slow.run(1, 1.0, steps(widths, 0.5).tolist())
    assert fast.energy()[0] == slow.energy
    assert all(np.array_equal(*pair) for pair in zip(fast.bonds(0), slow.bonds, strict=True))
    assert all(np.array_equal(*pair) for pair in zip(fast.spins(0), slow.spins, strict=True))
    assert 0 < fast.acceptances().sum() < fast.attempts().sum()


@pytest.mark.parametrize("binary", [False, True])
def test_rebuilds_are_those_of_the_reference(binary: bool) -> None:
    widths = [5, 4, 3]
    fast = make(widths, 11, binary=binary)
    spins = fast.spins(0)
    outputs = coins(np.random.default_rng(3), 11, 3)
    fast = _core.SlavedNetworks(widths, spins[0], outputs, binary=binary, n_chains=1, seed=2)
    start = random_bonds(np.random.default_rng(8), widths, binary)
    fast.set_bonds(0, start)
    slow = SlavedNetwork(start, spins[0], outputs, binary=binary, seed=2)
    fast.run(45, [1.0], [0.5, 3.0])
    slow.run(45, 1.0, [0.5, 3.0])
    assert all(np.array_equal(*pair) for pair in zip(fast.bonds(0), slow.bonds, strict=True))
    assert fast.energy()[0] == slow.energy


@given(
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    n_patterns=st.integers(0, 300),
    binary=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_forward_pass(widths: list[int], n_patterns: int, binary: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bonds, inputs = random_bonds(rng, widths, binary), coins(rng, n_patterns, widths[0])
    # Sums of up to 9 terms: signs could differ only where real bonds cancel to 15 digits.
    for fast, slow in zip(_core.slaved_forward(bonds, inputs), slaved_forward(bonds, inputs), strict=True):
        assert fast.dtype == np.int8
        assert np.array_equal(fast, slow)


# ---- Exact averages
#
# Volume fractions of machines without error and <n_wrong> at beta = 1, layers of N = 3 or 2: a perceptron on a
# sphere is one of the signs of S_k or, for N = 3, of +-S_1 +- S_2 +- S_3, the latter with probability
# (3 arccos(1/3) - pi) / (4 pi) each.


def perceptrons(n: int, binary: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bonds (n_cells, n) that stand for all functions of n = 2 or 3 spins, and their probabilities."""
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * n)).reshape(n, -1).T
    if binary:
        return signs, np.full(len(signs), 1 / len(signs))
    dictators = np.concatenate([np.eye(n), -np.eye(n)])
    if n == 2:
        return dictators, np.full(4, 1 / 4)
    majority = (3 * np.arccos(1 / 3) - np.pi) / (4 * np.pi)
    probabilities = np.repeat([majority, (1 - 8 * majority) / 6], [8, 6])
    return np.concatenate([signs, dictators]), probabilities


def exact_law(inputs: Any, outputs: Any, binary: bool) -> NDArray[np.float64]:
    """Prior probability of each n_wrong, for two layers of N perceptrons each."""
    inputs, outputs = np.array(inputs), np.array(outputs)
    n_patterns, n = inputs.shape
    bonds, probabilities = perceptrons(n, binary)
    law = np.zeros(n_patterns * n + 1)
    for machine in np.ndindex(*[len(bonds)] * n):
        hidden = np.where(inputs @ bonds[list(machine)].T < 0, -1, 1)
        weight = np.prod(probabilities[list(machine)])
        # The outputs are independent given the hidden spins: laws of their numbers of errors are convolved.
        wrong = np.where(hidden @ bonds.T < 0, -1, 1)[:, :, np.newaxis] != outputs[:, np.newaxis, :]
        total = np.ones(1)
        for of_one in wrong.sum(axis=0).T:
            total = np.convolve(total, np.bincount(of_one, probabilities, n_patterns + 1))
        law += weight * total
    return law


def boltzmann_mean(law: NDArray[np.float64], beta: float) -> float:
    n_wrong = np.arange(len(law))
    weight = law * np.exp(-beta * n_wrong)
    return float(np.sum(weight * n_wrong) / np.sum(weight))


TINY = {
    "sphere3": ([[-1, -1, 1], [1, -1, -1], [1, 1, 1]], [[-1, -1, -1], [1, 1, 1], [-1, 1, -1]], False),
    "binary3": ([[-1, 1, 1], [-1, -1, -1], [1, 1, -1]], [[1, 1, 1], [-1, -1, -1], [1, 1, 1]], True),
    "sphere2": ([[1, 1], [1, -1], [1, 1]], [[1, 1], [-1, -1], [1, 1]], False),
}
KNOWN = {
    "sphere3": (0.003340423643, 2.202385356),
    "binary3": (0.007080078125, 2.087913641),
    "sphere2": (0.09375, 0.851120784),
}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.no_sanitizer
def test_exact_averages(name: str) -> None:
    inputs, outputs, binary = TINY[name]
    law = exact_law(inputs, outputs, binary)
    fraction, mean = KNOWN[name]
    assert law.sum() == pytest.approx(1, abs=1e-13)
    assert law[0] == pytest.approx(fraction, rel=1e-9)  # all digits given
    assert boltzmann_mean(law, 1.0) == pytest.approx(mean, rel=1e-9)

    n, n_chains, n_draws = len(inputs[0]), 100, 4000
    for beta in (0.0, 1.0):
        networks = _core.SlavedNetworks([n] * 3, inputs, outputs, binary=binary, n_chains=n_chains, seed=17)
        for chain in range(n_chains):
            networks.set_bonds(chain, random_bonds(np.random.default_rng([3, chain]), [n] * 3, binary))
        networks.run(50, np.full(n_chains, beta), [np.pi, 2.0])
        energies = np.empty((n_draws, n_chains))
        for draw in range(n_draws):
            networks.run(1, np.full(n_chains, beta), [np.pi, 2.0])
            energies[draw] = networks.energy()
        # At beta = 0 all flips are accepted, so that binary chains keep to one half of all machines (an even
        # number of flips a sweep): the random starts see to both.
        for kept, expected in [
            (energies == 0, law[0] / (law * np.exp(-beta * np.arange(len(law)))).sum()),
            (energies, boltzmann_mean(law, beta)),
        ]:
            means = kept.mean(axis=0)  # of independent chains
            error = means.std(ddof=1) / np.sqrt(n_chains)
            assert abs(means.mean() - expected) < 4 * error
            assert error < 0.1 * expected


# ---- Learning curves of teacher and student
#
# Random starts, greedy, step 0.5, an instance being a new teacher, data and start. Values and errors of an
# independent program, 96 instances; e_u is the error on inputs of which neither x nor -x was learnt.


def learning_curve(
    width: int, depth: int, n_patterns: int, marks: list[int], beta: float, instance: int
) -> tuple[list[float], float]:
    """Fractions of wrong training bits after so many sweeps, and of wrong bits on unseen inputs."""
    widths = [width] * (depth + 1)
    rng = np.random.default_rng([instance, width, depth, n_patterns])
    inputs, fresh = coins(rng, n_patterns, width), coins(rng, 1000, width)
    teacher = random_bonds(rng, widths, False)
    outputs = _core.slaved_forward(teacher, inputs)[-1]
    networks = _core.SlavedNetworks(widths, inputs, outputs, binary=False, n_chains=1, seed=instance)
    networks.set_bonds(0, random_bonds(rng, widths, False))
    errors = []
    for mark in marks:
        networks.run(mark - networks.sweep, [beta], steps(widths, 0.5))
        errors.append(networks.energy()[0] / outputs.size)
    seen = {row.tobytes() for row in inputs} | {(-row).tobytes() for row in inputs}
    unseen = fresh[[row.tobytes() not in seen for row in fresh]]
    wrong = _core.slaved_forward(networks.bonds(0), unseen)[-1] != _core.slaved_forward(teacher, unseen)[-1]
    return errors, float(wrong.mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "n_patterns", "expected", "expected_error"),
    [
        (3, 40, [0.421, 0.236, 0.042, 0.0065, 0.388], [0.003, 0.003, 0.002, 0.0006, 0.003]),
        (8, 80, [0.376, 0.196, 0.038, 0.0081, 0.456], [0.002, 0.003, 0.001, 0.0006, 0.003]),
    ],
)
def test_learning_curves(depth: int, n_patterns: int, expected: list[float], expected_error: list[float]) -> None:
    curves = [learning_curve(10, depth, n_patterns, [1, 16, 256, 1024], GREEDY, k) for k in range(96)]
    values = np.array([[*errors, unseen] for errors, unseen in curves])
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    z = (values.mean(axis=0) - expected) / np.hypot(error, expected_error)
    assert np.all(np.abs(z) < 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "beta", "expected", "expected_error"),
    [
        # Replica theory at N = infinity: 0.0723, 0.2894 and 0.0197, 0.1648; these are of N = 64, 4 instances.
        (2, 2.0, [0.0698, 0.2867], [0.0012, 0.0006]),
        (4, 3.0, [0.0189, 0.1643], [0.0006, 0.0018]),
    ],
)
def test_one_layer_in_equilibrium(load: int, beta: float, expected: list[float], expected_error: list[float]) -> None:
    curves = [learning_curve(64, 1, 64 * load, list(range(2048, 4097, 16)), beta, k) for k in range(8)]
    values = np.array([[np.mean(errors), unseen] for errors, unseen in curves])
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    z = (values.mean(axis=0) - expected) / np.hypot(error, expected_error)
    assert np.all(np.abs(z) < 4)


# ---- Invariants


@pytest.mark.parametrize(
    ("widths", "n_patterns", "binary"),
    [([10, 10, 10, 10], 40, False), ([11, 11, 11], 44, True), ([64, 66, 65, 63], 70, True), ([12, 70, 9], 33, False)],
)
def test_running_energy_is_fresh_energy(widths: list[int], n_patterns: int, binary: bool) -> None:
    networks = make(widths, n_patterns, binary=binary, n_chains=3)
    for _ in range(45 if max(widths) < 20 else 5):
        networks.run(1, [0.0, 1.0, GREEDY], steps(widths, 0.5))
        assert np.array_equal(networks.energy(), networks.fresh_energy())
    for chain in range(3):
        bonds, spins = networks.bonds(chain), networks.spins(chain)
        assert all(np.array_equal(*pair) for pair in zip(slaved_forward(bonds, spins[0]), spins, strict=True))
        for layer in bonds:
            if binary:
                assert np.all(np.abs(layer) == 1)
            else:
                # Single precision, 20 sweeps at most since the norms were set.
                np.testing.assert_allclose(np.sum(layer.astype(float) ** 2, axis=1), layer.shape[1], rtol=1e-5)


@pytest.mark.no_sanitizer
def test_greedy_never_climbs_and_learns() -> None:
    widths = [10, 10, 10]
    rng = np.random.default_rng(0)
    inputs = coins(rng, 20, 10)
    outputs = slaved_forward(random_bonds(rng, widths, False), inputs)[-1]
    networks = _core.SlavedNetworks(widths, inputs, outputs, binary=False, n_chains=1, seed=1)
    networks.set_bonds(0, random_bonds(rng, widths, False))
    energies = [networks.energy()[0]]
    for _ in range(500):
        networks.run(1, [GREEDY], [0.5, 0.5])
        energies.append(networks.energy()[0])
    assert np.all(np.diff(energies) <= 0)
    assert energies[-1] == 0


def test_all_moves_of_free_machines_are_accepted_and_evenly_spread() -> None:
    widths = [4, 8, 2]
    networks = make(widths, 5, binary=False, n_chains=1)
    networks.run(500, [0.0], [1.0, 1.0])
    attempts = networks.attempts()[0]
    assert np.array_equal(attempts, networks.acceptances()[0])
    total, share = 500 * 24, 32 / 48
    assert attempts.sum() == total
    assert abs(attempts[0] - total * share) < 4 * np.sqrt(total * share * (1 - share))
    # The prior: components of a point of the sphere in 4 dimensions, of norm 2, have fourth moment 3 4^2 / (4 6).
    samples = []
    for _ in range(2000):
        networks.run(2, [0.0], [np.pi, np.pi])
        samples.append(networks.bonds(0)[0])
    fourth = (np.array(samples, dtype=float) ** 4).mean(axis=(1, 2)).reshape(100, 20).mean(axis=1)
    assert abs(fourth.mean() - 2.0) < 4 * fourth.std(ddof=1) / 10
    networks.reset_counters()
    assert not networks.attempts().any() and not networks.acceptances().any()


# ---- What the bits do not depend on

CASES = [
    ([10, 10, 10, 10], 40, False),
    ([20, 33, 20], 70, False),
    ([3, 70, 7], 30, False),
    ([11, 11, 11, 11], 44, True),
    ([5, 130, 64, 9], 33, True),
]


@pytest.mark.parametrize(("widths", "n_patterns", "binary"), CASES)
@pytest.mark.parametrize("beta", [0.2, 2.0, GREEDY])
def test_early_stop_changes_nothing(widths: list[int], n_patterns: int, binary: bool, beta: float) -> None:
    one, other = (make(widths, n_patterns, binary=binary) for _ in range(2))
    one.run(21, [beta], steps(widths, 0.5), early_stop=True)
    other.run(21, [beta], steps(widths, 0.5), early_stop=False)
    assert digest(one) == digest(other)


@pytest.mark.parametrize(("widths", "n_patterns", "binary"), CASES)
def test_threads_chains_and_splits_change_nothing(widths: list[int], n_patterns: int, binary: bool) -> None:
    beta, step = np.array([0.1, 0.5, 2.0, GREEDY, 1.0]), steps(widths, 0.4)
    whole = make(widths, n_patterns, binary=binary, n_chains=5)
    whole.run(43, beta, step, threads=1)
    parted = make(widths, n_patterns, binary=binary, n_chains=5)
    for n_sweeps in (1, 0, 18, 3, 21):
        parted.run(n_sweeps, beta, step, threads=2)
    alone = make(widths, n_patterns, binary=binary, first_chain=3)
    alone.run(43, beta[3:4], step)
    assert [digest(whole, chain) for chain in range(5)] == [digest(parted, chain) for chain in range(5)]
    assert digest(alone) == digest(whole, 3)
    assert len({digest(whole, chain) for chain in range(5)}) == 5


@pytest.mark.parametrize(("widths", "n_patterns", "binary"), CASES)
def test_resume_is_bit_for_bit(widths: list[int], n_patterns: int, binary: bool) -> None:
    networks = make(widths, n_patterns, binary=binary, n_chains=2)
    networks.run(17, [1.0, GREEDY], steps(widths, 0.5))
    states = [networks.state(chain) for chain in range(2)]
    resumed = make(widths, n_patterns, binary=binary, n_chains=2)
    resumed.run(5, [1.0, 1.0], steps(widths, 1.0))
    for chain in range(2):
        resumed.set_state(chain, states[chain])
        assert digest(resumed, chain) == digest(networks, chain)
    assert np.array_equal(resumed.energy(), networks.energy())
    for one in (networks, resumed):
        one.run(8, [1.0, GREEDY], steps(widths, 0.5))
    assert [digest(networks, c) for c in range(2)] == [digest(resumed, c) for c in range(2)]


def test_seeds_differ() -> None:
    one, other = make([8, 8], 9, binary=False, seed=1), make([8, 8], 9, binary=False, seed=1)
    other = _core.SlavedNetworks([8, 8], one.spins(0)[0], one.spins(0)[1], binary=False, n_chains=1, seed=2)
    other.set_state(0, one.state(0))
    for networks in (one, other):
        networks.run(1, [0.0], [0.5])
    assert digest(one) != digest(other)


def trajectories() -> str:
    total = hashlib.sha256()
    for widths, n_patterns, binary in [
        ([10, 10, 10, 10], 40, False),
        ([20, 33, 40, 20], 70, False),
        ([3, 70, 7], 30, False),
        ([11, 11, 11, 11], 44, True),
        ([5, 130, 64, 9], 33, True),
    ]:
        networks = make(widths, n_patterns, binary=binary, n_chains=2)
        networks.run(23, [1.0, np.inf], np.full(len(widths) - 1, 0.5))
        for chain in range(2):
            state = networks.state(chain)
            for part in [*state["bonds"], *state.get("fields", []), state["acceptances"]]:
                total.update(part.tobytes())
    return total.hexdigest()


@pytest.mark.no_sanitizer
def test_bits_do_not_depend_on_the_level(at_level: Callable[[Callable[[], str]], str]) -> None:
    assert at_level(trajectories) == trajectories()


# ---- Ctrl-C


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("width", "n_patterns"), [(20, 40), (300, 900)])
def test_interrupt_leaves_whole_sweeps(
    width: int, n_patterns: int, threads: int, ctrl_c_latency: Callable[..., float]
) -> None:
    """Short sweeps, of which many are done between two looks at the signals, and one that takes half a second."""

    def start() -> Any:
        return make([width, width, 4], n_patterns, binary=False, n_chains=3)

    networks = start()
    assert ctrl_c_latency(lambda: networks.run(10**9, [0.5, 1.0, 2.0], [0.5, 0.5], threads=threads)) < 0.1
    assert np.array_equal(networks.energy(), networks.fresh_energy())
    done = networks.sweep
    assert done < 10**9
    assert done > 100 or width > 100
    through = start()
    through.run(done + 1, [0.5, 1.0, 2.0], [0.5, 0.5])
    networks.run(1, [0.5, 1.0, 2.0], [0.5, 0.5])
    assert [digest(networks, c) for c in range(3)] == [digest(through, c) for c in range(3)]


# ---- Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": [3]}, "widths must have at least 2 entries, got 1"),
        ({"widths": [3, 0, 2]}, r"widths must lie in \[2, 2\^30\), got 0"),
        ({"widths": [3, 1, 2]}, r"widths must lie in \[2, 2\^30\), got 1"),
        ({"widths": [40000, 2], "binary": True}, "widths must be at most 32767 for binary bonds, got 40000"),
        ({"inputs": np.ones((4, 2))}, r"inputs must have shape \(4, 3\), got \(4, 2\)"),
        ({"inputs": np.ones(3)}, r"inputs must have shape \(n_patterns, n_inputs\).*got \(3,\)"),
        ({"inputs": np.ones((0, 3))}, r"inputs must have shape .* 1 <= n_patterns .*got \(0, 3\)"),
        ({"inputs": np.zeros((4, 3))}, r"inputs must be \+1 or -1, got 0"),
        ({"outputs": np.ones((3, 2))}, r"outputs must have shape \(4, 2\), got \(3, 2\)"),
        ({"outputs": np.full((4, 2), 1.5)}, r"outputs must be \+1 or -1, got 1.5"),
        ({"n_chains": 0}, "n_chains must be at least 1, got 0"),
        ({"first_chain": 2**61}, r"first_chain must be below 2\^61"),
    ],
)
def test_bad_construction(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "widths": [3, 4, 2],
        "inputs": np.ones((4, 3)),
        "outputs": np.ones((4, 2)),
        "binary": False,
        "n_chains": 1,
        "seed": 0,
    }
    arguments |= change
    with pytest.raises(ValueError, match=message):
        _core.SlavedNetworks(arguments.pop("widths"), arguments.pop("inputs"), arguments.pop("outputs"), **arguments)


@pytest.mark.parametrize(
    ("binary", "bonds", "message"),
    [
        (False, [np.ones((4, 3))], "bonds must be a list of 2 arrays, got 1"),
        (False, [np.ones((4, 3)), np.ones((2, 3))], r"bonds\[1\] must have shape \(2, 4\), got \(2, 3\)"),
        (False, [np.full((4, 3), np.nan), np.ones((2, 4))], r"bonds\[0\] must be finite .* got nan"),
        (False, [np.full((4, 3), 1e39), np.ones((2, 4))], r"bonds\[0\] must be finite in single precision"),
        (False, [np.ones((4, 3)), np.zeros((2, 4))], r"bonds\[1\] must have no row of norm zero, got row 0"),
        (True, [np.ones((4, 3)), np.full((2, 4), 2)], r"bonds\[1\] must be \+1 or -1, got 2"),
    ],
)
def test_bad_bonds(binary: bool, bonds: list[NDArray[Any]], message: str) -> None:
    networks = make([3, 4, 2], 5, binary=binary)
    before = digest(networks)
    with pytest.raises(ValueError, match=message):
        networks.set_bonds(0, bonds)
    assert digest(networks) == before


def test_bad_runs() -> None:
    networks = make([3, 4, 2], 5, binary=False, n_chains=2)
    for chain in (-1, 2):
        for call in (networks.bonds, networks.spins, networks.state, lambda c: networks.set_bonds(c, [])):
            with pytest.raises(ValueError, match=rf"chain must lie in \[0, 2\), got {chain}"):
                call(chain)
    with pytest.raises(ValueError, match=r"beta must have shape \(2,\), got \(1,\)"):
        networks.run(1, [1.0], [0.5, 0.5])
    for beta in (-1.0, np.nan):
        with pytest.raises(ValueError, match=f"beta must be >= 0, got {beta}"):
            networks.run(1, [1.0, beta], [0.5, 0.5])
    with pytest.raises(ValueError, match=r"step must have shape \(2,\), got \(3,\)"):
        networks.run(1, [1.0, 1.0], [0.5, 0.5, 0.5])
    for step in (0.0, 3.15, np.nan):
        with pytest.raises(ValueError, match=rf"step must lie in \(0, pi\], got {step}"):
            networks.run(1, [1.0, 1.0], [0.5, step])
    with pytest.raises(ValueError, match="threads must be >= 0"):
        networks.run(1, [1.0, 1.0], [0.5, 0.5], threads=-1)
    assert networks.sweep == 0 and not networks.attempts().any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": None}, "fields must be a list"),
        ({"fields": [np.zeros((4, 5))]}, "fields must be a list of 2 arrays, got 1"),
        ({"fields": [np.zeros((4, 6)), np.zeros((2, 5))]}, r"fields\[0\] must have shape \(4, 5\), got \(4, 6\)"),
        ({"fields": [np.full((4, 5), np.inf), np.zeros((2, 5))]}, r"fields\[0\] must be finite"),
        ({"fields": [np.zeros((4, 5)), np.zeros((2, 5))]}, r"fields\[0\] must be those of the bonds"),
        ({"attempts": np.zeros(3, dtype=int)}, r"attempts must have shape \(2,\)"),
        ({"acceptances": np.array([0, -1])}, "acceptances must be >= 0, got -1"),
        ({"sweep": -1}, r"sweep must be an integer in \[0, 2\^64\), got -1"),
        ({"sweep": 1.5}, "sweep must be an integer"),
    ],
)
def test_bad_states(change: dict[str, Any], message: str) -> None:
    networks = make([3, 4, 2], 5, binary=False)
    networks.run(3, [1.0], [0.5, 0.5])
    before, state = digest(networks), networks.state(0)
    with pytest.raises(ValueError, match=message):
        networks.set_state(0, state | change)
    for name in state:
        with pytest.raises(ValueError, match=f"state must have an entry '{name}'"):
            networks.set_state(0, {key: value for key, value in state.items() if key != name})
    assert digest(networks) == before


def test_bad_forward_passes() -> None:
    with pytest.raises(ValueError, match="bonds must be a list of at least 1 array"):
        _core.slaved_forward([], np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"bonds\[1\] must have shape \(2, 4\), got \(2, 3\)"):
        _core.slaved_forward([np.ones((4, 3)), np.ones((2, 3))], np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"bonds\[0\] must be finite"):
        _core.slaved_forward([np.full((4, 3), np.inf)], np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"inputs must be \+1 or -1, got 2"):
        _core.slaved_forward([np.ones((4, 3))], np.full((2, 3), 2))
