"""Replica symmetry breaking in one perceptron at finite temperature: soft and count potentials."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.interpolate import CubicSpline

import deepglass as dg
from deepglass import ConvergenceWarning, NumericalError, _core
from deepglass.parisi import Perceptron, jamming
from deepglass.reference import jamming as reference

SOFT, COUNT = Perceptron(20.0, -1.0, potential="soft", beta=100.0), Perceptron(4.0, potential="count", beta=5.0)

# ---- kernel = twin ----


@st.composite
def levels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, str, float]:
    n = draw(st.integers(1, 4))
    steps = draw(st.lists(st.floats(0.8, 2.0), min_size=n, max_size=n))
    q = 1 / (1 + np.exp(-np.cumsum(steps) + draw(st.floats(0.0, 2.0))))
    m = np.cumsum(draw(st.lists(st.floats(0.05, 0.3), min_size=n - 1, max_size=n - 1)))
    potential, most = draw(st.sampled_from([("soft", 6.0), ("count", 4.0)]))
    return q, m, draw(st.floats(-2.0, 1.0)), potential, math.exp(draw(st.floats(-2.0, most)))


@example((np.array([0.73, 0.88]), np.array([0.0625]), 0.0, "count", 0.37))  # hardly a slope
@given(levels())
@settings(max_examples=10, deadline=None)
def test_kernel_equals_the_twin(case):
    q, m, margin, potential, beta = case
    options = {"jamming": False, "potential": potential, "beta": beta}
    found, wanted = _core.wall_recursion(q, m, margin, **options), reference.recursion(q, m, margin, **options)
    for name in reference.Wall.__dataclass_fields__:
        # The kernel keeps P_i to 3e-17; differences of means are divided by m_i >= 0.05.
        rtol = 3e-10 if name == "breakpoint_slope" else 1e-11
        assert_allclose(found[name], getattr(wanted, name), rtol=rtol, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("potential, beta", [("soft", 3e3), ("count", 0.3), ("count", 15.0)])
def test_grid_is_fine_enough(potential, beta):
    q, m = np.array([0.2, 0.9, 0.93, 0.99]), np.array([0.05, 0.1, 0.4])
    options = {"jamming": False, "potential": potential, "beta": beta, "hessian": True}
    coarse, fine = (_core.wall_recursion(q, m, -0.5, resolution=r, **options) for r in (1.0, 2.0))
    for name in (
        "value",
        "slope",
        "slope_square",
        "breakpoint_slope",
        "curvature_square",
        "energy",
        "overlap_jacobian",
    ):
        assert_allclose(coarse[name], fine[name], rtol=2e-11, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("potential, beta", [("soft", 30.0), ("count", 4.0)])
def test_derivatives(potential, beta):
    here = np.array([1.4, 2.3, 3.1, -1.5, -0.3])

    def state(point, beta=beta):
        return jamming.State(-0.7, point[:3], point[3:], 5.0, potential, beta).sweep()

    found = state(here)
    assert found.value == pytest.approx(reference.free_entropy(found.q, found.y, 5.0, -0.7, potential, beta), rel=1e-11)
    step = 1e-3
    for j, unit in enumerate(np.eye(5)):
        low, left, right, high = (state(here + s * step * unit) for s in (-2, -1, 1, 2))
        slope = (low.value - 8 * left.value + 8 * right.value - high.value) / (12 * step)
        assert found.gradient[j] == pytest.approx(slope, rel=1e-8, abs=1e-11)
        bend = (low.gradient - 8 * left.gradient + 8 * right.gradient - high.gradient) / (12 * step)
        assert_allclose(found.hessian[j], bend, rtol=1e-7, atol=1e-9)
    low, left, right, high = (state(here, beta * (1 + s * step)).value for s in (-2, -1, 1, 2))
    slope = (low - 8 * left + 8 * right - high) / (12 * step * beta)
    assert found.energy == pytest.approx(-slope / 5.0, rel=1e-8)


# ---- solutions ----


@pytest.mark.parametrize("model", [SOFT, COUNT, Perceptron(2.0, 0.3, potential="soft", beta=5.0)])
def test_without_steps_it_is_the_replica_symmetric_solution(model):
    # Two kernels and two parametrisations.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # unstable
        wanted = dg.parisi.solve(model)
    state = dg.parisi.perceptron_steps.replica_symmetric(model)
    assert state.value == pytest.approx(float(wanted.free_entropy), abs=1e-11)
    assert state.energy == pytest.approx(float(wanted.energy), abs=1e-10)
    assert dg.parisi.perceptron_steps.replicon(state) == pytest.approx(float(wanted.replicon), abs=1e-8)


@pytest.mark.parametrize("model", [SOFT, COUNT])
def test_steps_approach_full_breaking(model):
    full = dg.parisi.full_rsb(model)
    assert full.converged
    assert full.free_entropy_error < 1e-7
    steps = [dg.parisi.solve(model, steps=k) for k in (1, 2, 4)]
    excess = [float(one.free_entropy - full.free_entropy) for one in steps]
    assert excess[0] > excess[1] > excess[2] > 0.0
    of_k = full.free_entropy_of_k.values - float(full.free_entropy)
    assert of_k[3] / of_k[7] == pytest.approx(16.0, rel=0.1)  # k^-4
    energies = full.energy_of_k.values - float(full.energy)
    assert energies[3] / energies[7] == pytest.approx(16.0, rel=0.2)
    assert float(full.entropy) == pytest.approx(
        float(full.free_entropy + model.beta * model.load * full.energy), abs=1e-9
    )
    assert (np.diff([one.overlap_ea for one in steps]) > 0.0).all()
    assert steps[0].replicon < steps[1].replicon < steps[2].replicon < 0.0
    assert float(steps[2].residual) < 1e-10
    assert float(dg.parisi.overlap_distribution(steps[1]).weight.sum()) == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("model", [SOFT, COUNT])
def test_energy_is_the_derivative_of_the_free_entropy(model):
    # At any number of steps, for all else is stationary.
    step, values = 0.005, []
    for s in (-2, -1, 1, 2):
        warmer = Perceptron(model.load, model.margin, potential=model.potential, beta=model.beta * (1 + s * step))
        values.append(float(dg.parisi.solve(warmer, steps=2).free_entropy))
    slope = np.array([1.0, -8.0, 8.0, -1.0]) @ values / (12 * step * model.beta)
    assert float(dg.parisi.solve(model, steps=2).energy) == pytest.approx(-slope / model.load, abs=2e-9)


@pytest.mark.parametrize("model", [COUNT, pytest.param(SOFT, marks=pytest.mark.slow)])
def test_continuous_profile_gives_an_upper_bound_of_the_same_free_entropy(model):
    """q(x) from its closure at the levels of few steps, and from it a free entropy that needs no extrapolation.

    The free entropy is the minimum over q(x), and errs by the square of what q(x) does.
    """
    full, excess = dg.parisi.full_rsb(model), []
    for k in (2, 4):
        few = dg.parisi.solve(model, steps=k)
        q, m = few.overlap.values, few.breakpoint.values
        x = reference.places(q, m[1:], model.load, model.margin, model.potential, model.beta)
        assert (x[1:] > m[1:]).all() and (x[:-1] < m[1:]).all()
        t, n = np.arange(k + 1) / k, 24
        breakpoints = np.exp(CubicSpline(t, np.log(x))((np.arange(n) + 0.5) / n))
        logit = CubicSpline(t, np.log(q / (1 - q)))(np.arange(n + 1) / n)
        state = jamming.State(
            model.margin, logit, np.log(breakpoints / (1 - breakpoints)), model.load, model.potential, model.beta
        )
        excess.append(state.measure() - float(full.free_entropy))
    assert 0.0 < excess[1] < excess[0] / 8.0  # k^-4: 16
    assert excess[1] < (3e-6 if model is COUNT else 1e-3)


def test_cold_soft_potential_is_hard_below_jamming():
    # The wall is rounded over 1/sqrt(beta).
    hard = dg.parisi.full_rsb(Perceptron(4.5, -0.5))
    beta = np.array([1e3, 1e4, 1e5, 1e6])
    cold = [dg.parisi.full_rsb(Perceptron(4.5, -0.5, potential="soft", beta=b)) for b in beta]
    powers = np.power.outer(beta, -np.arange(4) / 2)
    for name, size in (("free_entropy", 5e-5), ("overlap_ea", 1e-5)):
        values = [float(one[name]) for one in cold]
        assert np.linalg.solve(powers, values)[0] == pytest.approx(float(hard[name]), abs=size)
        assert abs(values[3] - float(hard[name])) > 10 * size


def test_energy_of_the_ground_state_sets_in_at_jamming():
    # (load - jamming load)^2, continuous; what is left of the temperature is T/2 for each weight.
    jammed, beta = float(dg.parisi.jamming_load(-0.5).jamming_load), 1e5

    def energy(load):
        found = dg.parisi.full_rsb(Perceptron(load, -0.5, potential="soft", beta=beta))
        assert found.converged
        return float(found.energy)

    loads = np.array([4.8, 5.0])
    rest = np.array([energy(load) - 1 / (2 * beta * load) for load in loads])
    amplitude = rest / (loads - jammed) ** 2
    assert_allclose(amplitude, amplitude.mean(), rtol=0.03)
    assert energy(jammed) < 1e-3 * amplitude.mean()
    assert energy(4.6) < energy(jammed) / 3


def test_replica_symmetry_and_one_step_where_they_are_exact():
    warm = dg.parisi.full_rsb(Perceptron(4.0, potential="count", beta=3.0))
    assert warm.sizes["step"] == 1 and warm.replicon > 0.0 and warm.free_entropy_error < 1e-13
    with pytest.raises(NumericalError, match="replica symmetry is stable"):
        dg.parisi.solve(Perceptron(4.0, potential="count", beta=3.0), steps=1)
    one = dg.parisi.full_rsb(Perceptron(100.0, -2.0, potential="soft", beta=1e3))
    assert one.sizes["step"] == 2 and one.replicon > 0.005
    q, m = one.overlap.values, one.breakpoint.values[1:]
    low = reference.free_entropy(q, m, 100.0, -2.0, "soft", 1e3)
    assert low == pytest.approx(float(one.free_entropy), abs=1e-11)
    for dq, dm in ((1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-2), (0.0, -1e-2)):
        assert reference.free_entropy(q + np.array([0.0, dq]), m + dm, 100.0, -2.0, "soft", 1e3) > low


@given(
    st.sampled_from(["soft", "count"]),
    st.floats(0.5, 12.0),
    st.floats(-1.5, 0.5),
    st.floats(math.log(0.5), math.log(20)),
)
@settings(max_examples=12, deadline=None)
def test_steps_lower_the_free_entropy_and_keep_order(potential, load, margin, log_beta):
    model = Perceptron(load, margin, potential=potential, beta=math.exp(log_beta))
    symmetric = dg.parisi.perceptron_steps.replica_symmetric(model)
    if dg.parisi.perceptron_steps.replicon(symmetric) > -1e-3:
        return
    two = dg.parisi.solve(model, steps=2)
    assert two.converged
    assert float(two.free_entropy) < symmetric.value
    assert (np.diff(two.overlap) > 0.0).all() and (np.diff(two.breakpoint) > 0.0).all()
    assert 0.0 < float(two.energy) < symmetric.energy * 1.5
    assert -1.0 < float(two.replicon) < 1.0


# ---- what goes wrong ----


def test_bad_arguments():
    with pytest.raises(ValueError, match="potential must be 'hard' at jamming"):
        _core.wall_recursion([0.5], [1.0], 0.0, potential="soft", beta=1.0)
    with pytest.raises(ValueError, match="potential must be 'hard', 'soft' or 'count'"):
        _core.wall_recursion([0.5], [], 0.0, jamming=False, potential="firm", beta=1.0)
    with pytest.raises(ValueError, match="beta must be > 0 and at most 100"):
        _core.wall_recursion([0.5], [], 0.0, jamming=False, potential="count", beta=1e3)
    with pytest.raises(ValueError, match="margin must be >= -2 where replica symmetry is broken"):
        dg.parisi.full_rsb(Perceptron(4.0, -2.5, potential="soft", beta=1.0))
    with pytest.raises(ValueError, match="rtol must be"):
        dg.parisi.full_rsb(SOFT, rtol=0.0)
    with pytest.raises(ValueError, match="steps must be an integer"):
        dg.parisi.solve(SOFT, steps=33)


def test_too_cold_is_said():
    with pytest.warns(ConvergenceWarning, match="full_rsb: residual"):
        found = dg.parisi.full_rsb(Perceptron(100.0, -0.5, potential="soft", beta=1e3))
    assert not found.converged
