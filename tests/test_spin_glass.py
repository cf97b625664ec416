"""Ising and spherical spin glasses with full replica symmetry breaking."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import deepglass as dg
from deepglass import NumericalError, _core
from deepglass.parisi._levels import settle
from deepglass.parisi.spin_continuum import extrapolate
from deepglass.parisi.spin_transitions import annealed_potential
from deepglass.reference import spin_glass as reference

# ---- kernel = twin ----


@st.composite
def levels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    k = draw(st.integers(0, 4))
    gaps = draw(st.lists(st.floats(0.05, 2.0), min_size=k + 1, max_size=k + 1))
    if draw(st.booleans()):
        gaps[0] = 0.0
    m = np.cumsum(draw(st.lists(st.floats(0.02, 0.24), min_size=k, max_size=k)))
    return np.cumsum(gaps), m, draw(st.floats(-2.0, 2.0))


@given(levels())
@settings(max_examples=25, deadline=None)
def test_kernel_equals_the_twin(case):
    covariance, breakpoints, field = case
    found = _core.spin_glass_recursion(covariance, breakpoints, field, jacobian=True)
    wanted = reference.recursion(covariance, breakpoints, field)
    for name in reference.SpinGlass.__dataclass_fields__:
        # Rounding of sums of some hundred terms, over m >= 0.02 in the derivative.
        atol = 1e-11 if name == "breakpoint_slope" else 3e-13
        assert_allclose(found[name], getattr(wanted, name), rtol=1e-12, atol=atol, err_msg=name)
    assert found["mass"] == pytest.approx(1.0, abs=1e-13)


def test_kernel_equals_the_engine_of_the_deep_network():
    # Another grid and another quadrature, good to some 1e-12 at this resolution.
    covariance, m = np.array([0.3, 0.8, 1.9, 2.4]), np.array([0.1, 0.3, 0.45])
    ours = _core.spin_glass_recursion(covariance, m, jacobian=True)
    other = _core.parisi_recursion("spin", np.diff(covariance, prepend=0.0), m, resolution=4.0)
    assert ours["value"] == pytest.approx(other["value"], abs=1e-12)
    assert_allclose(ours["slope_square"], other["slope_square"], atol=1e-12)
    assert_allclose(ours["breakpoint_slope"], other["breakpoint_slope"], atol=1e-11)
    assert ours["curvature2"][-1] == pytest.approx(other["replicon"], abs=1e-12)


@pytest.mark.parametrize("first", [0.0, 0.1])
def test_jacobian_and_slopes_are_derivatives(first):
    covariance, m, field = np.array([first, 0.5, 0.9, 1.7, 2.4]), np.array([0.1, 0.2, 0.35, 0.47]), 0.3
    here = _core.spin_glass_recursion(covariance, m, field, jacobian=True)
    weight = (np.r_[0, m] - np.r_[m, 1]) / 2
    symmetric = weight[:, None] * here["jacobian"]
    assert_allclose(symmetric, symmetric.T, rtol=1e-12)

    def difference(name, vary, step=2e-4):
        shift = np.eye(5)[vary] * step
        ahead = [_core.spin_glass_recursion(covariance + s * shift, m, field)[name] for s in (-2, -1, 1, 2)]
        return (ahead[0] - 8 * ahead[1] + 8 * ahead[2] - ahead[3]) / (12 * step)

    for j in range(1, 5):  # 4th-order differences of numbers good to 1e-15
        assert_allclose(here["jacobian"][:, j], difference("slope_square", j), atol=1e-10)
        direct = 0.5 if j == 4 else 0.0  # f_k does not absorb the self-overlap here
        assert weight[j] * here["slope_square"][j] + direct == pytest.approx(difference("value", j), abs=1e-10)


def test_grid_is_fine_enough():
    # Halving the spacing changes nothing but rounding, levels narrow or wide.
    for covariance, m in [
        ([0.0, 1e-3, 2e-3, 6.0], [0.1, 0.2, 0.3]),
        ([40.0, 90.0], [0.3]),
        ([0.0, 8.0, 16.0], [0.4, 0.9]),
        ([0.13], []),  # Gaussian and poles both matter here
    ]:
        coarse, fine = (_core.spin_glass_recursion(covariance, m, 0.1, jacobian=True, resolution=r) for r in (1.0, 2.0))
        for name in ("value", "slope_square", "curvature2", "curvature3", "third2"):
            assert_allclose(coarse[name], fine[name], rtol=2e-13, atol=1e-13, err_msg=name)


def test_kernel_refuses_what_it_cannot_resolve():
    with pytest.raises(NumericalError, match="two levels are too close"):
        _core.spin_glass_recursion([1.0, 1.0 + 1e-8], [0.5])
    with pytest.raises(NumericalError, match="temperature is too low"):
        _core.spin_glass_recursion([1.0, 1000.0], [0.9])
    with pytest.raises(ValueError, match="must not decrease"):
        _core.spin_glass_recursion([1.0, 0.5], [0.5])
    with pytest.raises(ValueError, match="must increase strictly"):
        _core.spin_glass_recursion([0.5, 1.0, 2.0], [0.5, 0.4])


# ---- reference values of an independent NumPy solver (theory notes, section 4) ----


SK = dg.parisi.SherringtonKirkpatrick

# T: f, e, s to 1e-12 and q_EA, x_c to 5e-8; x_c at T = 0.9 is the value of three placements of the levels here (the
# independent one, 0.16789833, was not converged).
FULL = {
    0.2: (-0.7650733191024, -0.759391796293, 0.02840761405, 0.9369268, 0.5405481),
    0.3: (-0.7695151989735, -0.7507941497848, 0.0624034972963, 0.8605954, 0.5296164),
    0.5: (-0.7911775749349, -0.7114614279983, 0.1594322938739, 0.6381612, 0.4816098),
    0.8: (-0.8651145060253, -0.5974497447383, 0.3345809516084, 0.23342264, 0.28868972),
    0.9: (-0.9014116002110, -0.5496770560314, 0.3908161601992, 0.10914196, 0.167899289),
}


@pytest.mark.parametrize("temperature", FULL)
def test_full_rsb_of_sherrington_kirkpatrick(temperature):
    found = dg.parisi.full_rsb(SK(temperature))
    free_energy, energy, entropy, overlap, breakpoint = FULL[temperature]
    assert found.free_energy == pytest.approx(free_energy, abs=1e-12)
    assert found.energy == pytest.approx(energy, abs=2e-12 + float(found.energy_error))
    assert found.energy_error < 3e-11
    assert found.entropy == pytest.approx(entropy, abs=1e-11 + float(found.entropy_error))
    assert found.overlap_ea == pytest.approx(overlap, abs=1e-7)
    assert found.breakpoint_c == pytest.approx(breakpoint, abs=1e-7)
    assert found.entropy == pytest.approx(float(found.energy - found.free_energy) / temperature, abs=1e-10)
    assert (np.diff(found.overlap) > 0).all()
    assert found.converged
    assert found.min_gap > 1e-3
    assert found.free_energy_error < 1e-12


@pytest.mark.slow
def test_full_rsb_at_low_temperature():
    found = dg.parisi.full_rsb(SK(0.1), rtol=1e-9)
    assert found.free_energy == pytest.approx(-0.76340668604, abs=1e-9)
    assert found.overlap_ea == pytest.approx(0.98409210, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 1.3])
def test_paramagnet_is_exact(temperature):
    found = dg.parisi.full_rsb(SK(temperature))
    assert found.free_energy == pytest.approx(-temperature * np.log(2) - 0.25 / temperature, abs=1e-14)
    assert (found.overlap_ea, found.breakpoint_c) == (0.0, 0.0)


# Near T_c: q_EA = t + t^2 - t^3 + .., x_c = 2t - 4t^2 + .., t = 1 - T.
def test_full_rsb_meets_the_expansion_at_the_critical_temperature():
    found = dg.parisi.full_rsb(SK(0.99))
    assert found.overlap_ea == pytest.approx(0.01 + 0.01**2 - 0.01**3, abs=1e-7)
    assert found.breakpoint_c == pytest.approx(0.02 - 4e-4, abs=2e-5)


def test_error_estimates_cover_the_finer_sequence():
    # A coarser sequence agrees with a finer one within the errors of both.
    loose, tight = (dg.parisi.full_rsb(SK(0.4), rtol=r) for r in (1e-4, 1e-11))
    assert loose.sizes["k"] <= tight.sizes["k"]
    for name in ("free_energy", "energy", "entropy", "overlap_ea", "breakpoint_c"):
        error = float(loose[f"{name}_error"] + tight[f"{name}_error"])
        assert abs(float(loose[name] - tight[name])) <= error, name


STEPS = [
    (0.5, 1, -0.791208842379, [0.214631, 0.619201], [0.281843]),
    (0.5, 2, -0.791182140901, [0.133342, 0.402070, 0.630730], [0.176765, 0.355181]),
    (0.2, 1, -0.765562227474, [0.366402, 0.911401], [0.193722]),
    (0.8, 1, -0.865114727435, [0.077008, 0.230072], [0.188511]),
    (0.5, 0, -0.792392945135, [0.530368392], []),
    (0.2, 0, -0.777241254938, [0.827974674], []),
    (0.8, 0, -0.865127270014, [0.208937009], []),
]


@pytest.mark.parametrize(("temperature", "steps", "free_energy", "overlap", "breakpoints"), STEPS)
def test_steps_of_sherrington_kirkpatrick(temperature, steps, free_energy, overlap, breakpoints):
    found = dg.parisi.solve(SK(temperature), steps=steps)
    assert found.free_energy == pytest.approx(free_energy, abs=1e-11)
    assert_allclose(found.overlap, overlap, atol=1e-6)
    assert_allclose(found.breakpoint[1:], breakpoints, atol=1e-6)
    assert found.converged
    assert found.replicon < 0.0


def test_steps_approach_full_rsb_from_below():
    values = [float(dg.parisi.solve(SK(0.5), steps=k).free_energy) for k in range(6)]
    assert (np.diff(values) > 0).all()
    assert 0 < FULL[0.5][0] - values[-1] < 3e-7


@pytest.mark.parametrize(("steps", "free_energy"), [(1, -0.791304789579), (2, -0.791188219397)])
def test_outer_overlap_kept_at_zero(steps, free_energy):
    found = dg.parisi.solve(SK(0.5), steps=steps, outer_overlap=0)
    assert found.free_energy == pytest.approx(free_energy, abs=1e-11)
    assert found.overlap[0] == 0.0


@pytest.mark.parametrize(
    ("k", "free_energy", "energy", "last", "gap", "x_c"),
    [
        (8, -0.79117762692244, -0.71146175061986, 0.63778303663, 0.047268, 0.48139417280),
        (16, -0.79117757818952, -0.71146144822549, 0.63806496965, None, 0.48155494888),
    ],
)
def test_given_breakpoints(k, free_energy, energy, last, gap, x_c):
    found = dg.parisi.solve(SK(0.5), k, x_c * (np.arange(k) + 0.5) / k, outer_overlap=0)
    assert found.free_energy == pytest.approx(free_energy, abs=3e-14)
    assert found.energy == pytest.approx(energy, abs=3e-13)  # x_c has 11 digits
    assert found.overlap[-1] == pytest.approx(last, abs=3e-11)
    if gap:
        assert found.min_gap == pytest.approx(gap, abs=1e-6)


@pytest.mark.parametrize(
    ("temperature", "free_energy", "m", "q"),
    [(0.45, -0.820451270615, 0.630024338, 0.912471794), (0.6, -0.830406505752, 0.890249833, 0.844725765)],
)
def test_one_step_of_the_three_spin_model(temperature, free_energy, m, q):
    found = dg.parisi.solve(dg.parisi.PSpin(3, temperature), steps=1)
    assert found.free_energy == pytest.approx(free_energy, abs=1e-11)
    assert found.breakpoint[1] == pytest.approx(m, abs=1e-8)
    assert_allclose(found.overlap, [0.0, q], atol=1e-8)
    if temperature == 0.45:
        assert found.replicon == pytest.approx(0.26714013, abs=1e-8)


AT = {0.2: 1.381861814727, 0.3: 1.0601363146414, 0.5: 0.569933830310, 0.8: 0.117580655156, 0.9: 0.0387692623888}


@pytest.mark.parametrize("temperature", AT)
def test_almeida_thouless_line(temperature):
    field = dg.parisi.almeida_thouless(temperature)
    assert field == pytest.approx(AT[temperature], abs=1e-11)
    assert dg.parisi.full_rsb(SK(temperature, 1.01 * field)).breakpoint_c == 0.0


def test_almeida_thouless_line_ends():
    assert dg.parisi.almeida_thouless(1.2) == 0.0
    assert dg.parisi.almeida_thouless(0.999) == pytest.approx(np.sqrt(4 / 3 * 0.001**3), rel=0.01)


@pytest.mark.parametrize("model", [SK(0.6, 0.2), dg.parisi.MixedIsing({2: 0.5, 3: 0.1}, 0.5, 0.1)])
def test_thermodynamics_is_consistent(model):
    # s = -df/dT and magnetisation = -df/dh at fixed stationary breakpoints; 4th-order differences.
    def free_energy(dt=0.0):
        shifted = dg.parisi.MixedIsing(model.coefficients, model.temperature + dt, model.field)
        return float(dg.parisi.solve(shifted, 1, [0.3]).free_energy)

    step = 1e-3
    slope = sum(w * free_energy(n * step) for n, w in ((-2, 1), (-1, -8), (1, 8), (2, -1))) / (12 * step)
    assert float(dg.parisi.solve(model, 1, [0.3]).entropy) == pytest.approx(-slope, abs=1e-9)


# ---- beyond the reference values: a field, and below the Gardner temperature ----


def test_end_of_the_rise_is_marginal():
    # The replicon itself is not used by the solver, which sets its derivative to zero.  At the right x_c it vanishes
    # as k^-2, k^-3, ..; where x_c is off by 1e-6 there is a term 1/k: this is how the reference value was refuted.
    found = dg.parisi.full_rsb(SK(0.9))

    def replicon(x_c, k):
        q = np.interp(np.arange(k + 1) / k, np.linspace(0, 1, found.sizes["x"]), found.overlap)
        return settle(SK(0.9), q, x_c * (np.arange(k) + 0.5) / k, pinned=True).replicon

    k = np.array([6, 8, 10, 12, 16, 20])
    limits = [extrapolate(k, np.array([replicon(x_c, n) for n in k]), (2, 3, 4)) for x_c in (0.167899289, 0.16789833)]
    assert abs(limits[0][0]) < 3e-11
    assert limits[1][0] < -1e-9


@pytest.mark.parametrize("temperature", [0.4, 0.9])
def test_zero_field_susceptibility_is_one(temperature):
    # Parisi: int_0^1 q dx = 1 - T, exactly; an identity between averages that the solver does not know.
    found = dg.parisi.full_rsb(SK(temperature))
    k = found.sizes["x"] - 1
    x_c, q = float(found.x[-1]), found.overlap.values
    # q_i is that of k steps; the rise as a whole by the trapezoidal rule, whose error is of the same order k^-2
    integral = np.trapezoid(q, found.x) + (1.0 - x_c) * q[-1]
    assert integral == pytest.approx(1.0 - temperature, abs=0.05 / k**2)


IN_FIELD = [(0.5, 0.5), (0.5, 0.9), (0.3, 0.4), (0.9, 0.7)]


@pytest.mark.parametrize(("temperature", "fraction"), IN_FIELD)
def test_full_rsb_in_a_field(temperature, fraction):
    field = fraction * dg.parisi.almeida_thouless(temperature)
    found = dg.parisi.full_rsb(SK(temperature, field))
    assert found.converged
    assert found.free_energy_error < 1e-12
    assert 0 < found.overlap_min < found.overlap_ea < 1
    assert 0 < found.breakpoint_0 < found.breakpoint_c < 1
    # Free steps with stationary breakpoints know nothing of places: they come from below, as k^-4.
    values = [float(dg.parisi.solve(SK(temperature, field), steps=k).free_energy) for k in (0, 1, 2)]
    below = float(found.free_energy) - np.array(values)
    assert (below > -1e-13).all()
    assert (below[1:] < 0.3 * below[:-1] + 1e-13).all()
    # the magnetisation is -df/dh, though it is an average over P(u)
    step = 2e-3 * field
    free_energy = {n: float(dg.parisi.full_rsb(SK(temperature, field + n * step)).free_energy) for n in (-2, -1, 1, 2)}
    slope = (free_energy[-2] - 8 * free_energy[-1] + 8 * free_energy[1] - free_energy[2]) / (12 * step)
    assert found.magnetisation == pytest.approx(-slope, abs=1e-9)
    assert float(dg.parisi.full_rsb(SK(temperature, -field)).magnetisation) == pytest.approx(
        -float(found.magnetisation), abs=1e-12
    )


def test_full_rsb_is_continuous_at_the_almeida_thouless_line():
    field = dg.parisi.almeida_thouless(0.5)
    near, above = (dg.parisi.full_rsb(SK(0.5, fraction * field), rtol=1e-8) for fraction in (0.999, 1.001))
    assert near.overlap_ea - near.overlap_min == pytest.approx(3.18e-4, rel=0.01)
    assert near.breakpoint_c - near.breakpoint_0 < 1e-3
    assert near.energy == pytest.approx(float(above.energy), abs=2e-3)
    assert near.free_energy == pytest.approx(
        float(above.free_energy) + 0.002 * field * float(above.magnetisation), abs=1e-6
    )


def test_three_spin_model_above_and_below_the_gardner_temperature():
    model = dg.parisi.PSpin
    one = dg.parisi.full_rsb(model(3, 0.45))  # one step is exact
    assert one.free_energy == pytest.approx(-0.820451270615, abs=1e-11)
    assert (one.breakpoint_c, one.overlap_ea) == (one.breakpoint_jump, one.overlap_jump)
    assert one.breakpoint_c == pytest.approx(0.630024338, abs=1e-8)
    found = dg.parisi.full_rsb(model(3, 0.2))
    assert found.converged
    assert found.overlap_min == 0.0
    assert 0.9 < found.overlap_jump < found.overlap_ea < 1.0
    assert found.breakpoint_jump < found.breakpoint_0 < found.breakpoint_c < 1.0
    # above the one step that is unstable, and s = -df/dT, which the solver does not use
    assert found.free_energy > dg.parisi.solve(model(3, 0.2), steps=1).free_energy
    step = 2e-3
    slope = sum(
        w * float(dg.parisi.full_rsb(model(3, 0.2 + n * step)).free_energy)
        for n, w in ((-2, 1), (-1, -8), (1, 8), (2, -1))
    ) / (12 * step)
    assert found.entropy == pytest.approx(-slope, abs=1e-8)


def test_three_spin_model_in_a_field_keeps_its_jump():
    # The replica-symmetric state is stable here and is not the equilibrium.
    found = dg.parisi.full_rsb(dg.parisi.PSpin(3, 0.45, 0.05))
    assert found.breakpoint_jump < 1.0
    assert found.breakpoint_jump == found.breakpoint_c  # one step
    more = dg.parisi.full_rsb(dg.parisi.PSpin(3, 0.5, 0.5), rtol=1e-8)  # the field makes it unstable
    assert 0 < more.overlap_min < more.overlap_jump < more.overlap_ea
    assert more.breakpoint_jump < more.breakpoint_0 < more.breakpoint_c
    with pytest.raises(NumericalError, match=r"order|settle|merge"):
        dg.parisi.full_rsb(dg.parisi.PSpin(3, 0.5, 1.0))  # where neither is the solution
    assert found.free_energy > dg.parisi.solve(dg.parisi.PSpin(3, 0.45, 0.05), steps=0).free_energy


@pytest.mark.parametrize("coefficients", [{2: 0.5, 4: 0.02}, {2: 0.5, 3: 0.1}])
def test_full_rsb_of_a_mixture(coefficients):
    # s = -df/dT is not used by the solver.
    def free_energy(temperature):
        return float(dg.parisi.full_rsb(dg.parisi.MixedIsing(coefficients, temperature)).free_energy)

    step = 4e-3
    slope = sum(w * free_energy(0.6 + n * step) for n, w in ((-2, 1), (-1, -8), (1, 8), (2, -1))) / (12 * step)
    found = dg.parisi.full_rsb(dg.parisi.MixedIsing(coefficients, 0.6))
    assert found.entropy == pytest.approx(-slope, abs=1e-8)
    assert abs(float(found.replicon)) < 2e-2  # marginal as k grows


# ---- spherical models ----


SPHERICAL = [
    ({2: 0.5, 4: 0.05}, 0.2, (0.831880220537, 0.059293691882, -0.990460183592, -0.760076010583)),
    ({2: 0.5, 4: 0.05}, 0.5, (0.538541116227, 0.127007433916, -0.829478361292, -0.498286564293)),
    ({2: 0.5}, 0.5, (0.5, 0.0, -0.75, -0.451713204860)),
]


@pytest.mark.parametrize(("coefficients", "temperature", "wanted"), SPHERICAL)
def test_spherical_full_rsb(coefficients, temperature, wanted):
    found = dg.parisi.full_rsb(dg.parisi.MixedSpherical(coefficients, temperature))
    names = ("overlap_ea", "breakpoint_c", "energy", "free_energy")
    assert_allclose([float(found[name]) for name in names], wanted, atol=1e-12)


def spherical(coefficients, temperature):
    return dg.parisi.full_rsb(dg.parisi.MixedSpherical(coefficients, temperature))


def test_spherical_three_spin_model():
    assert spherical({3: 0.5}, 0.0).energy == pytest.approx(-1.1716747793, abs=5e-11)  # 10 digits are known
    # static transition at 0.5860539724, with q = 0.6450074513
    below, above = spherical({3: 0.5}, 0.5860539724 - 1e-9), spherical({3: 0.5}, 0.5860539724 + 1e-9)
    assert below.overlap_ea == pytest.approx(0.6450074513, abs=1e-8)
    assert below.breakpoint_c == pytest.approx(1.0, abs=1e-7)
    assert above.overlap_ea == 0.0


def test_spherical_energies_meet_at_zero_temperature():
    for coefficients in ({3: 0.5}, {2: 0.5}, {2: 0.5, 4: 0.01}):
        cold, zero = spherical(coefficients, 1e-4), spherical(coefficients, 0.0)
        # the classical law e = e_0 + T/2 + O(T^2)
        assert cold.energy == pytest.approx(float(zero.energy) + 0.5e-4, abs=1e-7)


def test_spherical_mixture_with_jump_and_continuum_is_refused():
    with pytest.raises(NumericalError, match="both a jump and a continuous part"):
        spherical({2: 0.5, 4: 0.05}, 0.0)


def test_transition_temperatures():
    ising = dg.parisi.transition_temperatures(dg.parisi.PSpin(3, 1.0))
    wanted = {"dynamic": 0.6815980, "static": 0.6513852, "gardner": 0.2402601}
    assert ising == pytest.approx(wanted, abs=1e-7)
    for p in (3, 4, 7):
        found = dg.parisi.transition_temperatures(dg.parisi.MixedSpherical({p: 0.5}, 1.0))
        assert found["dynamic"] == pytest.approx(np.sqrt(p * (p - 2) ** (p - 2) / (2 * (p - 1) ** (p - 1))), abs=1e-12)
        if p == 3:
            assert found["static"] == pytest.approx(0.5860539724, abs=1e-10)
    assert dg.parisi.transition_temperatures(SK(1.0)) == {"dynamic": 1.0, "static": 1.0, "gardner": 1.0}
    with pytest.raises(ValueError, match="no field"):
        dg.parisi.transition_temperatures(SK(1.0, 0.1))


@pytest.mark.parametrize("outer_overlap", [None, 0])
def test_steps_of_a_spherical_mixture_approach_its_closed_form(outer_overlap):
    model = dg.parisi.MixedSpherical({2: 0.5, 4: 0.05}, 0.5)
    full = dg.parisi.full_rsb(model)
    found = [dg.parisi.solve(model, steps=k, outer_overlap=outer_overlap) for k in (1, 2, 4, 8)]
    below = np.array([float(full.free_energy - each.free_energy) for each in found])
    assert (below > 0).all()
    # as k^-4, once the corrections are small
    assert below[2] / below[3] == pytest.approx(16, rel=0.4)
    assert all(each.residual < 1e-12 for each in found)


def test_one_step_of_the_spherical_three_spin_model_is_exact():
    model = dg.parisi.MixedSpherical({3: 0.5}, 0.4)
    one, full = dg.parisi.solve(model, steps=1), dg.parisi.full_rsb(model)
    for name in ("free_energy", "energy", "entropy"):
        assert one[name] == pytest.approx(float(full[name]), abs=1e-13)
    assert one.breakpoint[1] == pytest.approx(float(full.breakpoint_jump), abs=1e-12)
    assert dg.parisi.solve(dg.parisi.MixedSpherical({2: 0.5}, 0.5), steps=0).overlap[0] == pytest.approx(0.5, abs=1e-14)


def test_spherical_steps_are_refused_where_there_are_none():
    S = dg.parisi.MixedSpherical
    for model, steps in ((S({3: 0.5}, 0.4), 2), (S({2: 0.5}, 0.5), 1), (S({2: 0.5}, 1.5), 1)):
        with pytest.raises(NumericalError, match="no solution with"):
            dg.parisi.solve(model, steps=steps)
    with pytest.raises(ValueError, match="temperature of the model must be > 0"):
        dg.parisi.solve(S({3: 0.5}, 0.0))


# ---- metastable states ----


@pytest.mark.parametrize("temperature", [0.3, 0.5, 0.6])
def test_complexity_is_that_of_tap_states(temperature):
    # Crisanti and Sommers (1995) count solutions of the TAP equations, a calculation without replicas.
    found = dg.parisi.complexity(dg.parisi.MixedSpherical({3: 0.5}, temperature))
    q, beta = found.overlap.values, 1 / temperature
    z = beta * (1 - q) * np.sqrt(q)
    bare = -(2 * z**2 + 2 / 3) / (2 * z)  # energy of the state at T = 0
    complexity = (-1 / 3 - np.log(1.5 * z**2) + z**2 - 2 / (9 * z**2)) / 2
    free_energy = q**1.5 * bare - np.log(1 - q) / (2 * beta) - beta / 4 * (2 * q**3 - 3 * q**2 + 1)
    assert_allclose(found.complexity, complexity, atol=1e-14)
    assert_allclose(found.free_energy, free_energy, atol=1e-14)
    assert found.breakpoint[0] == pytest.approx(min(1.0, float(found.breakpoint[0])))
    # the highest states are the same at all temperatures: those of the threshold energy
    edge = np.interp(float(found.threshold_breakpoint), found.breakpoint.values[::-1], bare[::-1])
    assert edge == pytest.approx(-2 / np.sqrt(3), abs=1e-3)


def test_complexity_of_ising_spins():
    # At m = 1 it is what the potential of two copies gives, a formula of its own; dSigma/df = beta m.
    above = dg.parisi.complexity(dg.parisi.PSpin(3, 0.66), n_breakpoints=200)
    assert above.breakpoint[0] == 1.0
    potential = annealed_potential({3: 0.5}, 0.66, above.overlap.values[:1])[0]
    assert above.complexity[0] == pytest.approx(-potential, abs=1e-13)
    below = dg.parisi.complexity(dg.parisi.PSpin(3, 0.45), n_breakpoints=200)
    assert abs(float(below.complexity[0])) < 1e-13  # at the stationary m
    stable = below.isel(breakpoint=(below.replicon > 0).values)
    f, sigma, m = stable.free_energy.values, stable.complexity.values, stable.breakpoint.values
    slope = (sigma[2:] - sigma[:-2]) / (f[2:] - f[:-2])
    assert_allclose(slope, m[1:-1] / 0.45, rtol=1e-3)
    assert f[-1] < below.threshold_free_energy < f[-1] + 1e-3
    for model in (dg.parisi.PSpin(3, 0.7), dg.parisi.MixedSpherical({3: 0.5}, 0.62)):
        with pytest.raises(NumericalError, match="no metastable states"):
            dg.parisi.complexity(model)
    for bad in (SK(0.5), dg.parisi.PSpin(3, 0.5, 0.1), dg.parisi.MixedSpherical({3: 0.5}, 0.0)):
        with pytest.raises(ValueError, match=r"coefficients|field|temperature"):
            dg.parisi.complexity(bad)


# ---- overlaps, scans ----


@pytest.mark.parametrize(
    "solution",
    [
        lambda: dg.parisi.full_rsb(SK(0.5)),
        lambda: dg.parisi.full_rsb(SK(0.5, 0.2)),
        lambda: dg.parisi.full_rsb(SK(1.1)),
        lambda: dg.parisi.full_rsb(dg.parisi.PSpin(3, 0.5)),
        lambda: dg.parisi.full_rsb(dg.parisi.MixedSpherical({2: 0.5, 4: 0.05}, 0.5)),
        lambda: dg.parisi.full_rsb(dg.parisi.MixedSpherical({3: 0.5}, 0.5)),
        lambda: dg.parisi.solve(SK(0.5), steps=3),
    ],
)
def test_overlap_distribution_gives_the_energy(solution):
    solution = solution()
    found = dg.parisi.overlap_distribution(solution)
    assert float(found.weight.sum() + found.stretch_weight.sum()) == pytest.approx(1.0, abs=1e-14)
    assert (found.density > 0).all()
    parameters = json.loads(solution.attrs["parameters"])
    if parameters["coefficients"] == {"2": 0.5} and not parameters.get("field"):
        # e = -(beta/2) (1 - <q^2>)
        energy = -(1 - float(found.moment[1])) / (2 * parameters["temperature"])
        assert energy == pytest.approx(float(solution.energy), abs=2e-4)


def test_temperature_scan():
    temperatures = [0.45, 0.7, 1.0, 1.2]
    scans = [dg.parisi.temperature_scan(SK(1.0), temperatures, threads=n) for n in (1, 3)]
    assert scans[0].identical(scans[1])
    assert scans[0].free_energy[1] == dg.parisi.full_rsb(SK(0.7)).free_energy
    assert scans[0].converged.all()
    # s = -df/dT
    assert (np.diff(scans[0].entropy) > 0).all()
    with pytest.warns(dg.ConvergenceWarning, match="not converged"):
        scan = dg.parisi.temperature_scan(dg.parisi.PSpin(3, 1.0), [0.03, 0.6])
    assert scan.converged.values.tolist() == [False, True]
    assert scan.message.values[0]
    assert not scan.message.values[1]
    assert np.isnan(scan.free_energy.values[0])
    with pytest.raises(ValueError, match="temperature must be"):
        dg.parisi.temperature_scan(SK(1.0), [0.5, -1.0])


# ---- bad input and failure ----


@pytest.mark.parametrize("temperature", [-1.0, np.nan, np.inf, "cold", None])
def test_temperature_is_checked(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number >= 0"):
        SK(temperature)


@pytest.mark.parametrize("coefficients", [{}, {1: 0.5}, {2: -0.5}, {2: np.nan}, {2.5: 1.0}, {2: 0.0}, [0.5], None])
def test_coefficients_are_checked(coefficients):
    for make in (dg.parisi.MixedIsing, dg.parisi.MixedSpherical):
        with pytest.raises(ValueError, match="coefficient"):
            make(coefficients, 0.5)


def test_other_arguments_are_checked():
    with pytest.raises(ValueError, match="p must be an integer from 2"):
        dg.parisi.PSpin(1, 0.5)
    with pytest.raises(ValueError, match="field must be a finite number"):
        SK(0.5, np.nan)
    with pytest.raises(ValueError, match="rtol must be"):
        dg.parisi.full_rsb(SK(0.5), rtol=0.0)
    with pytest.raises(ValueError, match="steps must be an integer"):
        dg.parisi.solve(SK(0.5), steps=-1)
    for breakpoints in ([0.5, 0.4], [0.5], [0.0, 0.5], [0.5, np.nan]):
        with pytest.raises(ValueError, match="breakpoints must have shape"):
            dg.parisi.solve(SK(0.5), 2, breakpoints)
    with pytest.raises(ValueError, match="outer_overlap"):
        dg.parisi.solve(SK(0.5, 0.1), 1, outer_overlap=0)


def test_where_there_is_no_such_solution_it_is_refused():
    with pytest.raises(NumericalError, match=r"merged|too close"):
        dg.parisi.solve(SK(1.2), steps=1)  # paramagnet
    with pytest.raises(NumericalError, match=r"merged|too close"):
        dg.parisi.solve(SK(0.5, 1.0), steps=1)  # above the Almeida-Thouless line
    with pytest.raises(NumericalError, match="merged"):
        dg.parisi.solve(dg.parisi.PSpin(3, 0.66), steps=1)  # above the static transition
    with pytest.raises(NumericalError, match="merged"):
        dg.parisi.solve(dg.parisi.PSpin(3, 0.5), steps=2)  # one step is stable


def test_solve_still_solves_the_deep_network():
    assert dg.parisi.solve(model=dg.parisi.DeepPerceptron(4, 3.0, "teacher"), steps=0).converged
