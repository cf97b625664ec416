"""Complex phi^4 at chemical potential: flux representation by worms, transfer matrices."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import deepglass as dg
from deepglass import _core
from deepglass.contour import ComplexPhi4, flux_simulation, transfer_matrix, undeformed_average_phase
from deepglass.reference import flux as reference

# mass = coupling = 1: shape, mu, ln Z, n, <phi^2>, average phase.  From an independent transfer matrix (one row: 80
# nodes, nothing left out; two rows: 16 quanta).
ONE_ROW = [
    ((1, 3), 0.4, 2.0271842129, 0.0587419555, 0.6029349999, 0.9813544649),
    ((1, 3), 1.0, 2.3723167592, 0.4480629029, 0.7642122326, 0.8931646389),
    ((1, 4), 0.4, 2.6368373695, 0.0240284045, 0.5835763557, 0.9604927659),
    ((1, 4), 1.0, 2.8968606387, 0.2975486876, 0.7013992716, 0.7657061986),
    ((1, 8), 0.4, 5.2224173511, 0.0006158544, 0.5722470669, 0.9014690620),
    ((1, 8), 1.0, 5.2964358460, 0.0743077354, 0.6050272701, 0.4118373584),
    ((1, 16), 0.4, 10.4435992310, 0.0000003806, 0.5719709819, 0.8118052934),
    ((1, 16), 1.0, 10.4492086612, 0.0056002553, 0.5744742804, 0.1477183818),
]
TWO_ROWS = [
    ((2, 2), 0.4, 1.36556494, 0.09893601, 0.50412, 1.0000000),
    ((2, 4), 0.4, 2.22372123, 0.01623725, 0.44868, 0.9457169),
    ((2, 3), 0.8, 1.93924110, 0.15769037, 0.51608, 0.8973412),
    ((2, 8), 0.8, 4.40267382, 0.01254634, 0.44633, 0.5014543),
    ((2, 2), 1.0, 1.98808160, 0.53588679, 0.68104, 1.0000000),
    ((2, 4), 1.0, 2.58992645, 0.21805125, 0.54574, 0.6847738),
    ((2, 3), 1.2, 2.81442350, 0.73565992, 0.77277, 0.7958947),
    ((2, 8), 1.2, 5.01858800, 0.33093074, 0.60253, 0.1481247),
]
# From an independent worm program: shape, mu, (n, error), (<phi^2>, error), (average phase, error).
WORMS = [
    ((4, 4), 0.4, (0.01117, 0.00007), (0.41403, 0.00014), (0.9077, 0.0002)),
    ((4, 4), 1.0, (0.15317, 0.00018), (0.48127, 0.00012), (0.5029, 0.0007)),
    ((4, 4), 1.4, (1.55643, 0.00231), (1.09147, 0.00108), (0.309, 0.002)),
    ((8, 8), 1.0, (0.02968, 0.00023), (0.42114, 0.00021), (0.01793, 0.0001)),
    ((8, 8), 1.2, (0.18355, 0.00092), (0.49749, 0.00057), (0.001396, 0.00001)),
]
QUANTITIES = ("log_partition_function", "density", "phi2", "average_phase")
LOG_Z = ("log_partition_function", "quenched_log_partition_function")


def pull(run: Any, name: str, value: float, error: float = 0.0) -> float:
    return (float(run[name]) - value) / math.hypot(float(run[f"{name}_error"]), error)


# Transfer matrices.


@pytest.mark.parametrize("row", ONE_ROW, ids=str)
def test_one_row(row: tuple[Any, ...]) -> None:
    exact = transfer_matrix(ComplexPhi4(row[0], chemical_potential=row[1]))
    assert bool(exact["converged"])
    for name, value in zip(QUANTITIES, row[2:], strict=True):
        assert float(exact[name]) == pytest.approx(value, abs=1e-10), name  # of the 10 digits of the table


@pytest.mark.parametrize("row", TWO_ROWS, ids=str)
def test_two_rows(row: tuple[Any, ...]) -> None:
    exact = transfer_matrix(ComplexPhi4(row[0], chemical_potential=row[1]))
    assert bool(exact["converged"])
    for name, value in zip(QUANTITIES, row[2:], strict=True):
        assert float(exact[name]) == pytest.approx(value, abs=1e-5), name  # <phi^2> has 5 digits in the table


@pytest.mark.parametrize(
    ("shape", "mass", "mu"),
    [
        ((1, 1), 2.0, 0.5),
        ((1, 2), 1.5, 0.0),
        ((1, 5), 2.0, -0.7),
        ((1, 16), 1.0, 0.9),
        ((2, 3), 2.0, -0.7),
        ((2, 6), 1.5, 0.5),
    ],
)
def test_transfer_matrix_of_the_free_field(shape: tuple[int, int], mass: float, mu: float) -> None:
    exact = transfer_matrix(ComplexPhi4(shape, mass, 0.0, mu), max_quanta=14)
    full = reference.free_field(shape, mass, mu)
    quenched = reference.free_field(shape, mass, mu, quenched=True)
    found = [float(exact[name]) for name in QUANTITIES]
    tolerance = 1e-10 if shape[0] == 1 else 1e-5  # rounding; truncation at 14 quanta
    assert found == pytest.approx([*full, math.exp(full.log_z - quenched.log_z)], abs=tolerance)
    found = [float(exact[f"quenched_{name}"]) for name in QUANTITIES[:3]]
    assert found == pytest.approx(list(quenched), abs=tolerance)


@pytest.mark.parametrize(("shape", "mass"), [((1, 6), 0.8), ((2, 4), 1.5)])
def test_averages_are_derivatives_of_ln_z(shape: tuple[int, int], mass: float) -> None:
    coupling, mu, h = 2.0, 0.9, 1e-3
    here = transfer_matrix(ComplexPhi4(shape, mass, coupling, mu), max_quanta=10)

    def slope(square: float, potential: float) -> dict[str, float]:
        up = transfer_matrix(ComplexPhi4(shape, math.sqrt(mass**2 + square), coupling, mu + potential), max_quanta=10)
        down = transfer_matrix(ComplexPhi4(shape, math.sqrt(mass**2 - square), coupling, mu - potential), max_quanta=10)
        return {name: float(up[name] - down[name]) / (2 * h) / math.prod(shape) for name in LOG_Z}

    by_mu, by_square = slope(0.0, h), slope(h, 0.0)
    for prefix, name in zip(("", "quenched_"), LOG_Z, strict=True):
        # Central differences: h^2 / 6 times a third derivative of order 1; and 10 quanta on two rows.
        assert float(here[f"{prefix}density"]) == pytest.approx(by_mu[name], abs=3e-6)
        assert float(here[f"{prefix}phi2"]) == pytest.approx(-2 * by_square[name], abs=3e-6)


@pytest.mark.parametrize("shape", [(1, 5), (2, 3)])
def test_transfer_matrix_is_even_in_the_chemical_potential(shape: tuple[int, int]) -> None:
    plus, minus = (transfer_matrix(ComplexPhi4(shape, chemical_potential=mu), max_quanta=12) for mu in (0.7, -0.7))
    for name in ("log_partition_function", "phi2", "average_phase", "quenched_phi2"):
        assert float(plus[name]) == float(minus[name])
    for name in ("density", "quenched_density"):
        assert float(plus[name]) == -float(minus[name]) != 0.0


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2)])
def test_no_sign_problem_on_one_or_two_time_slices(shape: tuple[int, int]) -> None:
    exact = transfer_matrix(ComplexPhi4(shape, 1.5, chemical_potential=0.9))
    tolerance = 1e-10 if shape[0] == 1 else 1e-5  # rounding; truncation at 16 quanta
    assert float(exact["average_phase"]) == pytest.approx(1.0, abs=tolerance)


def test_long_chains_and_strong_potentials_do_not_overflow() -> None:
    long = transfer_matrix(ComplexPhi4((1, 100_000), chemical_potential=1.0))
    # ln Z / Lt is that of the ground state, and what is at Lt = 1000 is corrected as exp(-Lt / correlation length).
    shorter = transfer_matrix(ComplexPhi4((1, 1_000), chemical_potential=1.0))
    ratio = float(long["log_partition_function"] / shorter["log_partition_function"])
    assert ratio == pytest.approx(100.0, rel=1e-12)
    dense = transfer_matrix(ComplexPhi4((1, 16), chemical_potential=2.0))  # some 15 particles on a site
    assert bool(dense["converged"])
    assert 0.0 < float(dense["average_phase"]) < 1.0
    # Mean field for the field, up to its fluctuations: sinh(mu) r^2 with r^2 = 2 (cosh(mu) - 3/2).
    assert float(dense["density"]) == pytest.approx(2 * (math.cosh(2.0) - 1.5) * math.sinh(2.0), rel=0.1)
    with pytest.raises(dg.NumericalError, match="double precision"):
        transfer_matrix(ComplexPhi4((1, 16), chemical_potential=8.0))


def test_too_small_a_basis_is_told() -> None:
    with pytest.warns(dg.ConvergenceWarning, match="max_quanta"):
        rough = transfer_matrix(ComplexPhi4((2, 4), chemical_potential=1.4), max_quanta=4)
    assert not bool(rough["converged"])


# Site weights.


@pytest.mark.parametrize(("mass", "coupling"), [(1.0, 1.0), (3.0, 1e-3), (0.5, 1e4), (0.0, 1e6)])
def test_site_weights(mass: float, coupling: float) -> None:
    """W(n) = pi (lambda/2)^(-nu/2) Gamma(nu) e^(z^2/4) D_(-nu)(z), nu = n/2 + 1, z = (4 + m^2) / sqrt(2 lambda)."""
    logs, ratios = _core.flux_site_weights(500, mass, coupling)
    with mpmath.workdps(60):

        def log_weight(n: int) -> mpmath.mpf:
            nu, z = mpmath.mpf(n) / 2 + 1, (4 + mpmath.mpf(mass) ** 2) / mpmath.sqrt(2 * mpmath.mpf(coupling))
            half = mpmath.mpf(coupling) / 2
            weight = mpmath.pi * half ** (-nu / 2) * mpmath.gamma(nu) * mpmath.exp(z**2 / 4) * mpmath.pcfd(-nu, z)
            return mpmath.log(weight)

        for n in (0, 1, 7, 60, 499):
            here = log_weight(n)
            # Some hundred terms; the logarithm has the rounding of numbers like n ln r.
            assert float(ratios[n]) == pytest.approx(float(mpmath.exp(log_weight(n + 2) - here)), rel=1e-14)
            assert float(logs[n]) == pytest.approx(float(here), abs=1e-15 * (10 + n))


def test_site_weights_of_the_free_field() -> None:
    """W(n) = pi Gamma(n/2 + 1) (2 / a)^(n/2 + 1)."""
    _, ratios = _core.flux_site_weights(500, 1.0, 0.0)
    np.testing.assert_allclose(ratios, (np.arange(501) + 2) / 5, rtol=1e-14)


def test_site_weights_of_high_powers() -> None:
    """(n + 2) W(n) = a W(n + 2) + lambda W(n + 4), by parts."""
    for mass, coupling in ((1.0, 1.0), (0.0, 100.0), (3.0, 0.0), (1.0, 1e-3)):
        logs, ratios = _core.flux_site_weights(20_000, mass, coupling)
        n = np.arange(len(ratios) - 2)
        # Of some hundred terms of one sign.
        np.testing.assert_allclose(ratios[:-2] * (4 + mass**2 + coupling * ratios[2:]), n + 2, rtol=1e-13)
        np.testing.assert_allclose(np.diff(logs[::2]), np.log(ratios[:-2:2]), rtol=0, atol=1e-10)


# Worms.


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("quenched", [False, True])
def test_kernel_follows_its_twin(shape: tuple[int, int], quenched: bool) -> None:
    model = reference.FluxModel(shape, 0.7, 1.3, 0.9, quenched)
    chains = _core.FluxChains(*shape, 0.7, 1.3, 0.9, quenched=quenched, n_chains=3, seed=2**40 + 7)
    chains.thermalise(20)
    density, square = chains.run(30)
    for c in (0, 2):
        expected = reference.worm(model, 20, 30, 2**40 + 7, c)
        k, pairs = chains.state(c)
        np.testing.assert_array_equal(k, expected.k)
        np.testing.assert_array_equal(pairs, expected.pairs)
        np.testing.assert_allclose(density[c], expected.density, rtol=1e-14)
        np.testing.assert_allclose(square[c], expected.square, rtol=1e-12)
    assert density.any()
    assert np.ptp(square) > 0


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("quenched", [False, True])
def test_sum_over_fluxes_is_that_over_fields(quenched: bool) -> None:
    averages, _ = reference.enumerate_fluxes(reference.FluxModel((1, 1), 4.0, 1.0, 0.7, quenched), 6, 5)
    exact = transfer_matrix(ComplexPhi4((1, 1), 4.0, 1.0, 0.7))
    prefix = "quenched_" if quenched else ""
    found = [float(exact[f"{prefix}{name}"]) for name in QUANTITIES[:3]]
    assert found == pytest.approx(list(averages), abs=1e-5)  # what is left out


@pytest.mark.parametrize("quenched", [False, True])
def test_configurations_come_with_their_weights(quenched: bool) -> None:
    """Frequencies of the commonest configurations of a lattice of two sites."""
    model = reference.FluxModel((1, 2), 2.0, 1.0, 0.8, quenched)
    averages, configurations = reference.enumerate_fluxes(model, 2, 1)
    probability = {
        (k.tobytes(), pairs.tobytes()): math.exp(model.log_weight(k, pairs) - averages.log_z)
        for k, pairs in configurations
    }
    n_chains, n_draws = 50, 300
    chains = _core.FluxChains(1, 2, 2.0, 1.0, 0.8, quenched=quenched, n_chains=n_chains, seed=11)
    chains.thermalise(50)
    counts: list[Counter[tuple[bytes, bytes]]] = [Counter() for _ in range(n_chains)]
    inside = np.zeros(n_chains)
    for _ in range(n_draws):
        chains.run(1, 3)
        for c in range(n_chains):
            k, pairs = chains.state(c)
            key = (k.astype(int).tobytes(), pairs.astype(int).tobytes())
            if key in probability:
                inside[c] += 1
                counts[c][key] += 1
    # Conditioned on what was enumerated; chains are independent, which gives the errors.
    common = sorted(probability, key=lambda key: -probability[key])[:12]
    pulls = []
    for key in common:
        hits = np.array([count[key] for count in counts])
        excess = hits - probability[key] * inside
        pulls.append(excess.mean() / (excess.std(ddof=1) / math.sqrt(n_chains)))
    assert max(map(abs, pulls)) < 4.0
    assert inside.sum() > 0.8 * n_chains * n_draws


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("quenched", [False, True])
@pytest.mark.parametrize(
    ("shape", "mu"), [((1, 1), 0.6), ((1, 2), -0.6), ((1, 3), 1.0), ((1, 8), 1.0), ((2, 3), 1.2), ((2, 4), 1.0)]
)
def test_worms_give_the_exact_averages(shape: tuple[int, int], mu: float, quenched: bool) -> None:
    exact = transfer_matrix(ComplexPhi4(shape, chemical_potential=mu))
    run = flux_simulation(ComplexPhi4(shape, chemical_potential=mu), quenched=quenched, n_sweeps=20_000, seed=1)
    prefix = "quenched_" if quenched else ""
    for name in ("density", "phi2"):
        assert bool(run[f"{name}_converged"])
        assert abs(pull(run, name, float(exact[f"{prefix}{name}"]))) < 4.0


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("quenched", [False, True])
@pytest.mark.parametrize(("shape", "mass", "mu"), [((4, 4), 1.0, 0.5), ((6, 4), 1.0, 0.3), ((8, 3), 2.0, -1.2)])
def test_worms_give_the_free_field(shape: tuple[int, int], mass: float, mu: float, quenched: bool) -> None:
    exact = reference.free_field(shape, mass, mu, quenched)
    run = flux_simulation(ComplexPhi4(shape, mass, 0.0, mu), quenched=quenched, n_sweeps=10_000, seed=2)
    assert abs(pull(run, "density", exact.density)) < 4.0
    assert abs(pull(run, "phi2", exact.square)) < 4.0


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("row", WORMS, ids=str)
def test_worms_give_the_published_averages(row: tuple[Any, ...]) -> None:
    shape, mu, density, square, _ = row
    run = flux_simulation(ComplexPhi4(shape, chemical_potential=mu), n_sweeps=20_000 * 16 // math.prod(shape), seed=3)
    assert abs(pull(run, "density", *density)) < 4.0
    assert abs(pull(run, "phi2", *square)) < 4.0


@pytest.mark.parametrize("quenched", [False, True])
def test_density_is_odd_in_the_chemical_potential(quenched: bool) -> None:
    plus, minus = (
        flux_simulation(ComplexPhi4((3, 4), chemical_potential=mu), quenched=quenched, n_sweeps=10_000, seed=seed)
        for mu, seed in ((0.8, 1), (-0.8, 2))
    )
    assert float(plus["density"]) > 10 * float(plus["density_error"])
    assert abs(pull(plus, "density", -float(minus["density"]), float(minus["density_error"]))) < 4.0
    assert abs(pull(plus, "phi2", float(minus["phi2"]), float(minus["phi2_error"]))) < 4.0


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("shape", "mu"), [((2, 4), 1.0), ((1, 8), -0.8)])
def test_undeformed_average_phase_on_narrow_lattices(shape: tuple[int, int], mu: float) -> None:
    exact = transfer_matrix(ComplexPhi4(shape, chemical_potential=mu))
    phase = undeformed_average_phase(ComplexPhi4(shape, chemical_potential=mu), n_nodes=8, n_sweeps=10_000, seed=4)
    assert abs(pull(phase, "average_phase", float(exact["average_phase"]))) < 4.0
    assert float(phase["average_phase_error"]) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("row", WORMS, ids=str)
def test_undeformed_average_phase(row: tuple[Any, ...]) -> None:
    shape, mu, _, _, (value, error) = row
    phase = undeformed_average_phase(ComplexPhi4(shape, chemical_potential=mu), n_sweeps=20_000, seed=5)
    assert abs(pull(phase, "log_average_phase", math.log(value), error / value)) < 4.0


def test_no_phase_without_chemical_potential() -> None:
    phase = undeformed_average_phase(ComplexPhi4((3, 3), chemical_potential=0.0), n_nodes=1, n_sweeps=100, seed=1)
    assert float(phase["average_phase"]) == 1.0
    assert float(phase["average_phase_error"]) == 0.0


# Threads, seeds, parts.


def test_threads_change_nothing() -> None:
    runs = [
        flux_simulation(ComplexPhi4((4, 4)), n_sweeps=2_000, n_thermalise=200, n_chains=5, seed=9, threads=threads)
        for threads in (1, 2, 3)
    ]
    for run in runs[1:]:
        assert run.equals(runs[0])


def test_a_chain_depends_on_the_seed_and_its_number_only() -> None:
    few, many, other = (
        flux_simulation(ComplexPhi4((4, 4)), n_sweeps=100, n_thermalise=10, n_chains=n, seed=seed)[
            "density_series"
        ].to_numpy()
        for n, seed in ((2, 9), (4, 9), (2, 10))
    )
    np.testing.assert_array_equal(few, many[:2])
    assert not np.array_equal(few, other)
    assert not np.array_equal(many[0], many[1])


def test_parts_and_draws_change_nothing() -> None:
    seen: list[tuple[int, int]] = []
    arguments: dict[str, Any] = {"n_thermalise": 50, "seed": 1}
    whole = flux_simulation(ComplexPhi4((3, 3)), n_sweeps=600, **arguments)
    parts = flux_simulation(
        ComplexPhi4((3, 3)), n_sweeps=600, progress=lambda done, total: seen.append((done, total)), **arguments
    )
    assert parts.equals(whole)
    assert seen[-1] == (600, 600)
    binned = flux_simulation(ComplexPhi4((3, 3)), n_sweeps=600, every=5, **arguments)
    means = whole["density_series"].to_numpy().reshape(4, 120, 5).mean(axis=-1)
    np.testing.assert_allclose(binned["density_series"], means, rtol=1e-13, atol=1e-16)


def trajectories() -> str:
    total = hashlib.sha256()
    for quenched in (False, True):
        chains = _core.FluxChains(4, 3, 1.0, 1.0, 1.1, quenched=quenched, n_chains=2, seed=3)
        chains.thermalise(50)
        for series in chains.run(200):
            total.update(series.tobytes())
    return total.hexdigest()


@pytest.mark.no_sanitizer
def test_bits_do_not_depend_on_the_level(at_level: Callable[[Callable[[], str]], str]) -> None:
    assert at_level(trajectories) == trajectories()


def test_results_can_be_saved(tmp_path: Path) -> None:
    run = flux_simulation(ComplexPhi4((2, 2)), n_sweeps=50, n_thermalise=10, seed=1)
    for number, dataset in enumerate((run, transfer_matrix(ComplexPhi4((1, 4))))):
        dg.save(dataset, tmp_path / f"{number}.nc")
        assert dg.load(tmp_path / f"{number}.nc").identical(dataset)


# Errors and interrupt.


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"action": (1, 4)}, "action must be a ComplexPhi4"),
    ({"action": ComplexPhi4((1, 4), coupling=0.0, chemical_potential=1.0)}, "action must have cosh mu <"),
    ({"n_nodes": 0}, "n_nodes must be"),
    ({"n_sweeps": 3}, "n_sweeps must be"),
    ({"n_chains": 0}, "n_chains must be"),
    ({"n_chains": 10**7}, "n_chains must be"),
    ({"n_thermalise": 0}, "n_thermalise must be"),
    ({"every": 0}, "every must be"),
    ({"threads": -1}, "threads must be"),
    ({"seed": -1}, "seed must be"),
    ({"max_quanta": 100}, "max_quanta must be"),
    ({"quenched": 2}, "quenched must be"),
    ({"n_sweeps": 10_000, "action": ComplexPhi4((1, 4), chemical_potential=12.0)}, "action must keep"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (function, arguments, message)
        for function in (flux_simulation, undeformed_average_phase, transfer_matrix)
        for arguments, message in REFUSALS
        if set(arguments) <= set(inspect.signature(function).parameters)
    ],
    ids=str,
)
def test_refusals(function: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(**({"action": ComplexPhi4((1, 4))} | arguments))


def test_more_than_two_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="one or two rows"):
        transfer_matrix(ComplexPhi4((3, 4)))


def test_leaving_the_table_of_weights_is_an_error() -> None:
    chains = _core.FluxChains(4, 4, 1.0, 1.0, 2.0, n_ratios=8, n_chains=2, seed=1)
    with pytest.raises(dg.NumericalError, match="table of 8 weights"):
        chains.thermalise(1000)


@pytest.mark.no_sanitizer
def test_interrupt(ctrl_c_latency: Callable[..., float]) -> None:
    def simulate() -> None:
        flux_simulation(ComplexPhi4((16, 16)), n_sweeps=10**7, every=1000, seed=1)

    assert ctrl_c_latency(simulate, after=0.3) < 0.1
