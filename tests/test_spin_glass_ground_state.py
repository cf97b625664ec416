"""Ising spin glasses at zero temperature and close to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr

import deepglass as dg
from deepglass import ConvergenceWarning, NumericalError, _core
from deepglass.parisi import ground_state
from deepglass.reference import spin_glass as reference

SK = dg.parisi.SherringtonKirkpatrick

# R. Oppermann and M. J. Schmidt's extrapolation, quoted to 14 digits; ours (k up to 64, three placements of the
# levels, three sets of powers) is -0.7631667265666(5).
GROUND_STATE = -0.76316672656654

# ---- kernel = twin ----


@st.composite
def levels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    k = draw(st.integers(1, 3))
    gaps = draw(st.lists(st.floats(0.1, 1.5), min_size=k + 1, max_size=k + 1))
    if draw(st.booleans()):
        gaps[0] = 0.0
    a = np.cumsum(draw(st.lists(st.floats(0.05, 1.5), min_size=k, max_size=k)))
    return np.cumsum(gaps), a, draw(st.floats(-2.0, 2.0))


@given(levels())
@settings(max_examples=20, deadline=None)
def test_kernel_equals_the_twin(case):
    found, wanted = _core.spin_glass_ground_state(*case), reference.ground_state(*case)
    for name in reference.GroundState.__dataclass_fields__:
        # Rounding of sums of some hundred terms, over a >= 0.05 in the derivative.
        atol = 1e-11 if name == "breakpoint_slope" else 1e-13
        assert_allclose(found[name], getattr(wanted, name), rtol=1e-13, atol=atol, err_msg=name)
    assert found["mass"] == pytest.approx(1.0, abs=1e-13)


@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.0])
def test_kernel_equals_the_one_of_higher_temperatures(temperature):
    # Another grid, and other units: u = h/T.
    q, m, field = np.array([0.1, 0.3, 0.5, 0.7, 0.85]), np.array([0.1, 0.2, 0.35, 0.5]), 0.2
    beta = 1.0 / temperature
    hot = _core.spin_glass_recursion(beta**2 * q, m, beta * field, jacobian=True)
    cold = _core.spin_glass_ground_state(
        np.r_[q, 1.0], beta * np.r_[m, 1.0], field, thermal=True, jacobian=True, resolution=1.2
    )
    assert cold["value"] == pytest.approx(temperature * hot["value"] + beta / 2 * (1 - q[-1]), abs=1e-13)
    assert_allclose(cold["slope_square"], hot["slope_square"], atol=1e-13)
    assert_allclose(cold["breakpoint_slope"][:-1], hot["breakpoint_slope"] / beta**2, atol=1e-12)
    assert_allclose(cold["jacobian"], hot["jacobian"] * beta**2, rtol=1e-11, atol=1e-11)
    assert cold["magnetisation"] == pytest.approx(hot["magnetisation"], abs=1e-13)
    for name, power in (("curvature2", 2), ("curvature3", 3), ("third2", 4)):
        assert cold[name] == pytest.approx(hot[name][-1] * beta**power, rel=1e-12)


@pytest.mark.parametrize("thermal", [False, True])
def test_jacobian_and_slopes_are_derivatives(thermal):
    covariance, a = np.array([0.1, 0.5, 0.9, 0.97, 1.0]), np.array([0.4, 1.1, 2.5, 6.0])

    def sweep(shift, push, **options):
        return _core.spin_glass_ground_state(covariance + shift, a + push, 0.3, thermal=thermal, **options)

    here = sweep(0.0, 0.0, jacobian=True)
    weight = (np.r_[0.0, a[:-1]] - a) / 2

    def difference(name, shift, push, step):  # of the 4th order
        ahead = [sweep(s * step * shift, s * step * push)[name] for s in (-2, -1, 1, 2)]
        return (ahead[0] - 8 * ahead[1] + 8 * ahead[2] - ahead[3]) / (12 * step)

    for j in range(4):
        shift, push = np.eye(5)[j], np.eye(4)[j]
        assert_allclose(here["jacobian"][:, j], difference("slope_square", shift, 0.0, 1e-4), atol=1e-8)
        assert weight[j] * here["slope_square"][j] == pytest.approx(difference("value", shift, 0.0, 1e-4), abs=1e-9)
        assert here["breakpoint_slope"][j] == pytest.approx(difference("value", 0.0, push, 1e-3), abs=1e-10)


@pytest.mark.parametrize(
    ("covariance", "a"),
    [
        (1 - 10.0 ** -np.arange(9) + 1e-8, 0.5 * 10 ** np.arange(0.5, 4.5, 0.5)),  # narrow levels
        ([0.3, 1.0], [40.0]),  # a wide last step
        ([0.0, 0.99, 1.0], [0.01, 200.0]),
        ([0.0, 1.5], [0.05]),
        ([0.0, 0.998, 1.0], [40.0, 50.0]),  # exp(a f) beyond the range of numbers
    ],
)
@pytest.mark.parametrize("thermal", [False, True])
def test_panels_are_fine_enough(covariance, a, thermal):
    coarse, fine = (
        _core.spin_glass_ground_state(covariance, a, 0.1, thermal=thermal, resolution=r) for r in (1.0, 1.5)
    )
    # The second derivative is up to a_k, over a part 1/a_k of the fields, the third a_k^2; all to 1e-14 of that.
    powers = {"value": 0, "slope_square": 0, "breakpoint_slope": 0, "curvature2": 2, "third2": 4}
    for name, power in powers.items():
        assert_allclose(coarse[name], fine[name], rtol=1e-11, atol=1e-13 + 1e-14 * a[-1] ** power, err_msg=name)


def test_kernel_checks_its_input():
    for covariance, a, message in [
        ([0.5, 0.5], [1.0], "covariance must be >= 0, finite and increase strictly"),
        ([0.5, 1.0], [0.0], "breakpoints must be finite, > 0 and increase strictly"),
        ([0.1, 0.5, 1.0], [2.0, 1.0], "breakpoints must be finite, > 0 and increase strictly"),
        ([0.5], [1.0], r"covariance must have shape \(2,\)"),
        ([0.5], [], "breakpoints must have 1 to 257"),
    ]:
        with pytest.raises(ValueError, match=message):
            _core.spin_glass_ground_state(covariance, a)
    with pytest.raises(NumericalError, match="too wide"):
        _core.spin_glass_ground_state([0.0, 1.0 - 1e-12, 1.0], [1.0, 1e6])


# ---- values of an independent solver (theory notes, section 4) ----


@pytest.mark.parametrize(
    ("k", "energy"),
    [
        (8, -0.763180238566),
        (12, -0.763169790353),
        (16, -0.763167807545),
        (24, -0.763166980747),
        (32, -0.763166819166),
    ],
)
def test_given_breakpoints(k, energy):
    t = (np.arange(k) + 0.5) / k
    found = dg.parisi.solve(SK(0.0), k, t / (1 - t), outer_overlap=0)
    assert found.free_energy == pytest.approx(energy, abs=2e-12)
    assert found.overlap[-1] == 1.0
    assert found.x_right[-1] == np.inf
    assert found.converged


@pytest.mark.parametrize(
    ("steps", "energy", "overlap", "breakpoints"),
    [
        (1, -0.765259434674, [0.476784, 1.0], [1.360821]),
        (2, -0.763608010538, [0.321399, 0.849497, 1.0], [0.835036, 2.740406]),
    ],
)
def test_stationary_breakpoints(steps, energy, overlap, breakpoints):
    found = dg.parisi.solve(SK(0.0), steps=steps)
    assert found.free_energy == pytest.approx(energy, abs=1e-12)
    assert (found.energy, found.entropy) == (found.free_energy, 0.0)
    assert_allclose(found.overlap, overlap, atol=1e-6)
    assert_allclose(found.breakpoint[1:], breakpoints, atol=1e-6)
    assert found.replicon == -np.inf


def test_more_steps_approach_the_ground_state_from_below():
    values = [float(dg.parisi.solve(SK(0.0), k).energy) for k in range(5)]
    assert values[0] == pytest.approx(-np.sqrt(2 / np.pi), abs=1e-15)
    assert (np.diff(values) > 0).all()
    assert 0 < GROUND_STATE - values[-1] < 7e-5


@pytest.mark.slow
def test_eight_steps():
    found = dg.parisi.solve(SK(0.0), 8)
    assert found.converged
    assert 0 < GROUND_STATE - found.energy < 7e-6


def test_ground_state_energy():
    found = dg.parisi.full_rsb(SK(0.0), rtol=1e-9)
    assert found.energy == pytest.approx(GROUND_STATE, abs=1e-9)
    assert abs(found.energy - GROUND_STATE) < found.energy_error < 1e-9
    assert found.converged
    assert (found.energy, found.entropy, found.overlap_ea) == (found.free_energy, 0.0, 1.0)
    assert np.isnan(found.breakpoint_c)
    # q(a) ~ a at small a, 1 - q ~ a^-2 at large a; monotone
    assert (np.diff(found.overlap) > 0).all()
    assert found.overlap[0] == found.a[0] == 0.0
    tail = (1 - found.overlap) * found.a**2
    assert tail[-4] == pytest.approx(float(tail[-6]), rel=0.02)


@pytest.mark.slow
def test_ground_state_energy_to_eleven_digits():
    found = dg.parisi.full_rsb(SK(0.0), rtol=1e-12)
    assert found.energy == pytest.approx(GROUND_STATE, abs=2e-12)
    assert abs(found.energy - GROUND_STATE) < found.energy_error + 1e-13


# ---- one step without field: closed form ----


@pytest.mark.parametrize("p", [3, 4, 7])
def test_one_step_of_the_p_spin_model(p):
    # q_0 = 0: -e = min over a of a/4 + (1/a) ln 2 Phi(a sqrt(p/2))
    best = minimize_scalar(
        lambda a: a / 4 + (np.log(2) + log_ndtr(a * np.sqrt(p / 2))) / a, bounds=(0.5, 3), method="bounded"
    )
    found = dg.parisi.solve(dg.parisi.PSpin(p, 0.0), steps=1)
    assert found.energy == pytest.approx(-best.fun, abs=1e-11)
    assert found.breakpoint[1] == pytest.approx(best.x, abs=1e-5)
    assert_allclose(found.overlap, [0.0, 1.0])


def test_large_field_aligns_the_spins():
    # replica symmetric: e = -E|h + z|; few steps lie between it and the exact energy
    for field, steps in ((0.5, 2), (2.0, 1)):
        outer, inner = (float(dg.parisi.solve(SK(0.0, field), k).energy) for k in (0, steps))
        assert outer < inner < -field
    h = 2.0
    density = np.exp(-(h**2) / 2) / np.sqrt(2 * np.pi)
    exact = -h * (1 - 2 * np.exp(log_ndtr(-h))) - 2 * density
    assert dg.parisi.solve(SK(0.0, h), 0).energy == pytest.approx(exact, abs=1e-14)


def test_field_of_either_sign():
    plus, minus = (dg.parisi.solve(SK(0.0, h), 2) for h in (0.3, -0.3))
    assert plus.energy == pytest.approx(float(minus.energy), abs=1e-13)
    assert_allclose(plus.overlap, minus.overlap, atol=1e-11)


# ---- low temperature ----


@pytest.mark.parametrize("model", [SK(0.12), SK(0.12, 0.3), dg.parisi.PSpin(3, 0.12)])
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_steps_are_those_of_the_other_engine(model, steps):
    pinned = 3 in model.coefficients
    if pinned and steps != 1:
        pytest.skip("only one step")
    found = ground_state.with_steps(model, steps, None, pinned=pinned)
    wanted = dg.parisi.solve(model, steps)
    assert found.free_energy == pytest.approx(float(wanted.free_energy), abs=1e-12)
    assert found.energy == pytest.approx(float(wanted.energy), abs=1e-10)
    assert found.entropy == pytest.approx(float(wanted.entropy), abs=1e-9)
    assert found.replicon == pytest.approx(float(wanted.replicon), abs=1e-7)
    assert_allclose(found.plateaus[2], wanted.overlap, atol=1e-9)
    assert_allclose(found.plateaus[0], wanted.breakpoint, atol=1e-8)


@pytest.mark.slow
def test_full_rsb_is_that_of_the_other_engine():
    found = ground_state.full_rsb(SK(0.2), 1e-11)
    wanted = {
        "free_energy": (-0.7650733191024, 2e-12),
        "energy": (-0.759391796293, 4e-12),
        "entropy": (0.02840761405, 2e-11),
        "overlap_ea": (0.9369268, 1e-7),
        "breakpoint_c": (0.5405481, 1e-7),
    }
    for name, (value, tolerance) in wanted.items():
        assert found[name] == pytest.approx(value, abs=tolerance), name


def test_given_breakpoints_at_low_temperature():
    # s = -df/dT at fixed m, which the solver does not use; a wide first step.
    def solve(temperature):
        return dg.parisi.solve(SK(temperature), 2, [0.02, 0.1])

    step = 1e-4
    slope = sum(w * float(solve(0.03 + n * step).free_energy) for n, w in ((-2, 1), (-1, -8), (1, 8), (2, -1)))
    assert solve(0.03).entropy == pytest.approx(-slope / (12 * step), abs=1e-9)
    with pytest.raises(ValueError, match=r"within \(0, 1\)"):
        dg.parisi.solve(SK(0.03), 2, [0.5, 2.0])


@pytest.mark.slow
def test_low_temperature_law():
    # f = e_0 - int s dT, with s = alpha T^2 + .. through four temperatures; e_0 comes from T = 0 alone.
    T, powers = np.array([0.01, 0.02, 0.05, 0.1]), np.array([2, 4, 5, 6])
    found = [dg.parisi.full_rsb(SK(t), rtol=1e-9) for t in T]
    f, e, s = (np.array([float(point[name]) for point in found]) for name in ("free_energy", "energy", "entropy"))
    assert (np.diff(f) < 0).all()
    assert (np.diff(e) > 0).all()
    factors = np.linalg.solve(T[:, None] ** powers, s)
    assert factors[0] == pytest.approx(0.7210, abs=1e-4)
    law = GROUND_STATE - T[:, None] ** (powers + 1) @ (factors / (powers + 1))
    assert_allclose(f[:2], law[:2], atol=1e-10)  # a tenth of the error asked for
    assert_allclose(f, law, atol=1e-8)  # what the law leaves at 0.1


def test_temperature_of_a_hundredth():
    found = dg.parisi.full_rsb(SK(0.01), rtol=1e-7)
    assert found.free_energy == pytest.approx(GROUND_STATE - 0.7211 / 3 * 1e-6, abs=1e-8)
    assert found.free_energy_error < 8e-8
    assert found.entropy == pytest.approx(0.7211e-4, rel=2e-4)
    assert found.converged


# ---- mixtures ----


@pytest.mark.parametrize("coefficients", [{2: 0.5, 3: 0.1}, pytest.param({2: 2.0, 4: 0.1}, marks=pytest.mark.slow)])
def test_ground_state_of_a_mixture(coefficients):
    model = dg.parisi.MixedIsing(coefficients, 0.0)
    found = dg.parisi.full_rsb(model, rtol=1e-7)
    assert found.converged
    # another placement of the levels, without extrapolation: k^-4
    t = (np.arange(24) + 0.5) / 24
    a = float(found.a[0]) + t / (1 - t) ** 1.5 / np.sqrt(model.xi(0.0, 2))
    other = dg.parisi.solve(model, 24, a, outer_overlap=0)
    assert 0 < found.energy - other.energy < 3e-6


def test_units_of_a_mixture():
    double = dg.parisi.full_rsb(dg.parisi.MixedIsing({2: 2.0}, 0.0), rtol=1e-8)
    assert double.energy == pytest.approx(2 * GROUND_STATE, abs=1e-8)


# ---- failure ----


def test_where_there_is_no_such_solution_it_is_refused():
    for model in (SK(0.0, 0.1), dg.parisi.PSpin(3, 0.0)):
        with pytest.raises(NumericalError, match="temperature 0 needs pair couplings and no field"):
            dg.parisi.full_rsb(model)
    for breakpoints in ([2.0, 1.0], [1.0], [0.0, 1.0], [1.0, np.nan], [1.0, np.inf]):
        with pytest.raises(ValueError, match=r"increase strictly within \(0, inf\)"):
            dg.parisi.solve(SK(0.0), 2, breakpoints)
    with pytest.raises(ValueError, match="temperature must be a finite number > 0"):
        dg.parisi.almeida_thouless(0.0)


def test_overlap_distribution_needs_a_temperature():
    for solution in (dg.parisi.solve(SK(0.0), 1), dg.parisi.full_rsb(SK(0.0), rtol=1e-4)):
        with pytest.raises(ValueError, match="temperature > 0"):
            dg.parisi.overlap_distribution(solution)


def test_error_above_the_tolerance_is_told(monkeypatch):
    monkeypatch.setattr(ground_state, "_SEQUENCE", (4, 6, 8, 10, 12, 14, 16))
    with pytest.warns(ConvergenceWarning, match="error estimates stay above"):
        found = dg.parisi.full_rsb(dg.parisi.MixedIsing({2: 0.5, 4: 0.1}, 0.0), rtol=1e-13)
    assert not found.converged
