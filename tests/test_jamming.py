"""Jamming of the spherical perceptron with negative margin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.interpolate import CubicSpline

import deepglass as dg
from deepglass import ConvergenceWarning, NumericalError, _core
from deepglass.parisi import jamming
from deepglass.reference import jamming as reference

# ---- kernel = twin ----


@st.composite
def levels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, bool]:
    n, at_jamming = draw(st.integers(1, 4)), draw(st.booleans())
    steps = draw(st.lists(st.floats(0.8, 2.0), min_size=n, max_size=n))
    q = 1 / (1 + np.exp(-np.cumsum(steps) + draw(st.floats(0.0, 2.0))))
    if at_jamming:
        y = np.exp(draw(st.floats(0.5, 2.0)) + np.cumsum(draw(st.lists(st.floats(0.3, 1.2), min_size=n, max_size=n))))
    else:
        y = np.cumsum(draw(st.lists(st.floats(0.05, 0.3), min_size=n - 1, max_size=n - 1)))
    return q, y, draw(st.floats(-2.0, 1.0)), at_jamming


@given(levels())
@settings(max_examples=20, deadline=None)
def test_kernel_equals_the_twin(case):
    q, y, margin, at_jamming = case
    found = _core.wall_recursion(q, y, margin, jamming=at_jamming)
    wanted = reference.recursion(q, y, margin, jamming=at_jamming)
    for name in reference.Wall.__dataclass_fields__:
        # The kernel keeps P_i to 3e-17; differences of means are divided by m_i >= 0.05.
        rtol = 3e-10 if name == "breakpoint_slope" else 1e-11
        assert_allclose(found[name], getattr(wanted, name), rtol=rtol, atol=1e-13, err_msg=name)


def test_first_function_at_jamming():
    # exp(y f) = int Dz exp(-y (t - s z)_+^2 / 2), by adaptive quadrature
    width, y = 0.03, 25.0
    for t in (-0.5, -0.1, 0.0, 0.2, 1.0):

        def weight(z, t=t, power=0):
            wall = max(t - np.sqrt(width) * z, 0.0)
            return wall**power * np.exp(-0.5 * z * z - 0.5 * y * wall**2) / np.sqrt(2 * np.pi)

        edge = t / np.sqrt(width)
        norm, first = (
            sum(
                quad(weight, a, b, args=(t, n), epsabs=1e-15)[0]
                for a, b in itertools.pairwise((-12.0, min(edge, 11.9), 12.0))
            )
            for n in (0, 1)
        )
        f, slope, _, share = (float(x[0]) for x in reference.terminal(np.array([t]), width, y))
        assert f == pytest.approx(np.log(norm) / y, abs=1e-13)
        assert slope == pytest.approx(first / norm, abs=1e-13)
        assert 0.0 < share < 1.0


@pytest.mark.parametrize("at_jamming", [True, False])
def test_second_derivatives(at_jamming):
    q = np.array([0.5, 0.8, 0.95, 0.985])
    y = np.array([8.0, 20.0, 50.0, 130.0]) if at_jamming else np.array([0.1, 0.3, 0.6])

    def run(**options):
        return _core.wall_recursion(options.pop("q", q), options.pop("y", y), -0.5, jamming=at_jamming, **options)

    def difference(name, vary, j, step):
        points = {"q": q, "y": y}
        total = 0.0
        for n, w in ((-3, -1), (-2, 9), (-1, -45), (1, 45), (2, -9), (3, 1)):  # sixth order
            moved = points[vary] + n * step * np.eye(len(points[vary]))[j]
            total = total + w * np.asarray(run(**{vary: moved})[name])
        return total / (60 * step)

    here = run(hessian=True)
    assert_allclose(run(jacobian=True)["overlap_jacobian"], here["overlap_jacobian"], rtol=1e-13)
    weights = (np.r_[0.0, y] - np.r_[y, 1.0])[:4] / 2 if not at_jamming else (np.r_[0.0, y[:-1]] - y) / 2
    for j in range(4):
        step = 3e-3 * (1 - q[j])
        scale = np.abs(here["overlap_jacobian"][:, j]).max()
        assert_allclose(here["overlap_jacobian"][:, j], difference("slope_square", "q", j, step), atol=1e-9 * scale)
        if at_jamming:
            assert weights[j] * here["slope_square"][j] == pytest.approx(difference("value", "q", j, step), rel=1e-9)
    for j in range(len(y)):
        step = 3e-3 * y[j]
        for name, matrix in (("slope_square", "breakpoint_jacobian"), ("breakpoint_slope", "breakpoint_hessian")):
            wanted = difference(name, "y", j, step)
            assert_allclose(here[matrix][:, j], wanted, atol=1e-9 * np.abs(wanted).max())
        assert here["breakpoint_slope"][j] == pytest.approx(difference("value", "y", j, step), rel=1e-9)


def test_grid_is_fine_enough():
    q, y = np.array([0.2, 0.9, 0.93, 0.9999]), np.array([3.0, 8.0, 40.0, 3000.0])
    coarse, fine = (_core.wall_recursion(q, y, -0.5, hessian=True, resolution=r) for r in (1.0, 2.0))
    for name in ("value", "slope", "slope_square", "breakpoint_slope", "curvature_square", "overlap_jacobian"):
        assert_allclose(coarse[name], fine[name], rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("load", [None, 4.4])
def test_value_is_that_of_the_twin_and_has_the_right_derivatives(load):
    x, z = np.array([1.4, 3.1]), np.array([2.8, 4.3])
    if load is not None:
        x, z = np.array([1.4, 2.3, 3.1]), np.array([-1.5, -0.3])
    here, n = np.r_[x, z], len(x)

    def state(point):
        return jamming.State(-0.7, point[:n], point[n:], load).sweep()

    found = state(here)
    wanted = (
        reference.jamming_load(found.q, found.y, -0.7)
        if load is None
        else reference.free_entropy(found.q, found.y, load, -0.7)
    )
    assert found.value == pytest.approx(wanted, rel=1e-11)
    assert found.measure() == found.value
    step = 1e-3
    for j, unit in enumerate(np.eye(len(here))):
        low, left, right, high = (state(here + s * step * unit) for s in (-2, -1, 1, 2))
        slope = (low.value - 8 * left.value + 8 * right.value - high.value) / (12 * step)
        assert found.gradient[j] == pytest.approx(slope, rel=1e-8)
        bend = (low.gradient - 8 * left.gradient + 8 * right.gradient - high.gradient) / (12 * step)
        assert_allclose(found.hessian[j], bend, rtol=1e-7, atol=1e-9)


# ---- loads: independent NumPy solver (theory notes, section 4) ----

# steps: load and its accuracy
BOUNDS = {
    0: (4.770098882619, 1e-12),
    1: (4.70013948772, 1e-11),
    2: (4.697236443, 1e-9),
    3: (4.696791, 1e-6),
    4: (4.69665, 3e-5),
}


@pytest.mark.parametrize("steps", BOUNDS)
def test_bounds_at_margin_one_half(steps):
    found = dg.parisi.jamming_load(-0.5, steps)
    load, accuracy = BOUNDS[steps]
    assert found.jamming_load == pytest.approx(load, abs=accuracy)
    assert found.converged
    assert found.residual < 1e-12
    assert found.sizes["step"] == steps + 1
    # The notes looked for a flat minimum: their overlaps and breakpoints have some digits less than the loads.
    if steps == 1:
        assert found.overlap[0] == pytest.approx(0.855068304, abs=3e-8)
        assert found.breakpoint[1] == pytest.approx(18.374116, abs=1e-5)
    if steps == 2:
        assert_allclose(found.overlap, [0.81849, 0.98357, 1.0], atol=1e-5)
        assert_allclose(found.breakpoint, [0.0, 23.521, 134.78], rtol=2e-4)


def test_two_steps_are_a_minimum_of_the_twin():
    found = dg.parisi.jamming_load(-0.5, 2)
    q, y = found.overlap.values[:-1], found.breakpoint.values[1:]

    def load(z):
        return reference.jamming_load(1 / (1 + np.exp(-z[:2])), np.exp(z[2:]), -0.5)

    here, low = np.r_[np.log(q / (1 - q)), np.log(y)], load(np.r_[np.log(q / (1 - q)), np.log(y)])
    for unit in np.eye(4):
        left, right = load(here - 0.01 * unit), load(here + 0.01 * unit)
        bend = left + right - 2 * low
        assert bend > 0
        assert abs(right - left) / 2 < 0.01 * bend  # but for the third derivative


def test_full_breaking():
    found = dg.parisi.jamming_load(-0.5)
    assert found.jamming_load == pytest.approx(4.6966, abs=1e-4)  # the notes
    # this solver with k = 17 .. 32 and powers 4 .. 7
    assert found.jamming_load == pytest.approx(4.6965972386, abs=1e-8)
    assert abs(found.jamming_load - 4.6965972386) < 2 * found.jamming_load_error + 1e-10
    bounds = found.jamming_load_of_k.values
    assert (np.diff(bounds) < 0.0).all()
    assert (bounds > float(found.jamming_load)).all()
    assert found.contacts == pytest.approx(1.0, abs=0.02)
    assert found.converged


@pytest.mark.slow
@pytest.mark.parametrize("margin", [-0.02, -0.1, -1.0, -2.0, -2.5, -3.0])
def test_full_breaking_at_other_margins(margin):
    loose, tight = (dg.parisi.jamming_load(margin, rtol=rtol) for rtol in (1e-7, 1e-10))
    assert tight.converged
    assert tight.sizes["k"] >= loose.sizes["k"]
    error = float(loose.jamming_load_error + tight.jamming_load_error)
    assert abs(float(loose.jamming_load - tight.jamming_load)) <= error
    symmetric = float(dg.parisi.jamming_load(margin, 0).jamming_load)
    assert tight.jamming_load < symmetric


def test_hard_margins_jump_from_the_smallest_overlap():
    # q(x) is q_0 up to a breakpoint, and continuous behind a jump; nothing lies between.
    found = dg.parisi.jamming_load(-3.0, rtol=1e-8)
    assert found.converged
    assert found.overlap[0] < 0.03 and found.overlap[1] > 0.99
    bounds = found.jamming_load_of_k.values
    assert (np.diff(bounds) < 0.0).all() and (bounds > float(found.jamming_load)).all()
    # Two steps are a minimum of the twin.
    two = dg.parisi.jamming_load(-3.0, 2)
    q, y = two.overlap.values[:-1], two.breakpoint.values[1:]
    low = reference.jamming_load(q, y, -3.0)
    assert low == pytest.approx(float(two.jamming_load), rel=1e-9)
    for i in range(2):
        for factor in (0.99, 1.01):
            assert reference.jamming_load(1 - (1 - q) * factor ** (np.arange(2) == i), y, -3.0) > low
            assert reference.jamming_load(q, y * factor ** (np.arange(2) == i), -3.0) > low


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
def test_replica_symmetry_is_exact_above_zero(margin):
    found = dg.parisi.jamming_load(margin)
    wanted = {0.0: 2.0, 0.5: 0.961205052802, 1.0: 0.519572229605}[margin]
    assert found.jamming_load == pytest.approx(wanted, abs=1e-12)
    assert found.jamming_load_error < 1e-14
    with pytest.raises(ValueError, match="replica symmetry is exact"):
        dg.parisi.jamming_load(margin, 1)


# ---- gaps and forces ----


def integral(x, y):
    return float(CubicSpline(np.log(x), x * y).integrate(np.log(x[0]), np.log(x[-1])))


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_distributions_are_normalised(steps):
    solution = dg.parisi.jamming_load(-0.5, steps)
    law = dg.parisi.jamming_distributions(solution, np.geomspace(1e-9, 9.0, 500), np.geomspace(1e-9, 15.0, 500))
    gap, force = law.gap.values, law.force.values
    assert integral(gap, law.gap_density.values) == pytest.approx(1.0, abs=1e-7)
    assert integral(force, law.force_density.values) == pytest.approx(1.0, abs=1e-7)
    assert integral(force, force * law.force_density.values) == pytest.approx(1.0, abs=1e-9)
    load = float(solution.jamming_load)
    assert float(law.touching) * load == pytest.approx(float(solution.contacts), rel=1e-12)
    # Stationarity in q_k, which the minimum does not use: load E force^2 = sum_i v_i/(D_i D_{i+1}).
    q, y = solution.overlap.values, solution.breakpoint.values[1:]
    D = np.r_[1.0 + np.cumsum((y * np.diff(q))[::-1])[::-1], 1.0]
    wanted = q[0] / D[0] ** 2 + (np.diff(q) / (D[1:] * D[:-1])).sum()
    square = integral(force, force**2 * law.force_density.values) * float(law.mean_force) ** 2
    assert load * float(law.touching) * square == pytest.approx(wanted, rel=1e-9)


def test_laws_approach_the_exponents():
    exponents = dg.parisi.jamming_exponents()
    miss = []
    for steps in (3, 6, 12):
        solution = dg.parisi.jamming_load(-0.5, steps)
        width = float(np.sqrt(1.0 - solution.overlap[-2]))
        law = dg.parisi.jamming_distributions(solution, 2.0 * width * np.array([0.99, 1.01]))
        small = 0.5 * width / float(law.mean_force) * np.array([0.99, 1.01])
        force = dg.parisi.jamming_distributions(solution, forces=small).force_density.values
        step = np.log(1.01 / 0.99)
        gamma, theta = -np.diff(np.log(law.gap_density.values))[0] / step, np.diff(np.log(force))[0] / step
        miss.append([gamma - exponents["gamma"], theta - exponents["theta"], float(solution.contacts) - 1.0])
        q, y = solution.overlap.values[:-1], solution.breakpoint.values[1:]
        growth = -np.diff(np.log(y)) / np.diff(np.log(1.0 - q))
        assert steps == 3 or growth.min() < 1.0 / exponents["kappa"] < growth.max()
    first, second, third = np.abs(miss)
    assert (second < first).all(), miss
    assert (third < second).all(), miss


def test_exponents():
    found = dg.parisi.jamming_exponents()
    assert found == pytest.approx({"kappa": 1.4157355650, "gamma": 0.4126931960, "theta": 0.4231075526}, abs=1e-10)
    kappa = found["kappa"]
    assert found["gamma"] == pytest.approx((2 - kappa) / kappa, abs=1e-11)  # not used by the solver
    assert found["theta"] == pytest.approx((3 * kappa - 4) / (2 - kappa), abs=1e-11)


def test_exponents_by_shooting():
    found = dg.parisi.jamming_exponents()
    assert_allclose(reference.jamming_exponents(), [found[name] for name in ("kappa", "gamma", "theta")], atol=1e-11)


# ---- the satisfiable phase ----


@pytest.mark.parametrize(
    ("load", "overlap", "entropy", "replicon"),
    [
        (0.5, 0.307393175380, -0.377669575132, 0.800642354),
        (1.0, 0.585311851791, -0.855820596715, 0.602458677),
        (1.5, 0.821721186839, -1.589208239695, 0.388637902),
    ],
)
def test_replica_symmetric_phase(load, overlap, entropy, replicon):
    found = dg.parisi.satisfiable_perceptron(load, 0.0)
    assert found.overlap_ea == pytest.approx(overlap, abs=2e-12)
    assert found.free_entropy == pytest.approx(entropy, abs=5e-12)
    assert found.replicon == pytest.approx(replicon, abs=1e-9)
    assert found.sizes["step"] == 1


def test_symmetry_breaks_at_the_almeida_thouless_load():
    assert dg.parisi.satisfiable_perceptron(3.9507, -0.5).sizes["step"] == 1
    above = dg.parisi.satisfiable_perceptron(3.9508, -0.5, 0)
    assert above.replicon < 0.0
    assert dg.parisi.satisfiable_perceptron(3.95070131, -0.5, 0).replicon == pytest.approx(0.0, abs=2e-9)


def test_steps_approach_full_breaking():
    found = dg.parisi.satisfiable_perceptron(4.5, -0.5)
    # this solver with k = 12 and powers 4 .. 7, 2 .. 5
    assert found.free_entropy == pytest.approx(-3.65659390429, abs=2e-9)
    assert abs(found.free_entropy + 3.65659390429) < 2 * found.free_entropy_error
    assert found.overlap_ea == pytest.approx(1 - 0.0117084025, abs=1e-7)
    assert abs(1 - found.overlap_ea - 0.0117084025) < 2 * found.overlap_ea_error
    of_k = found.free_entropy_of_k.values - float(found.free_entropy)
    assert (of_k > 0).all()
    assert of_k[3] / of_k[7] == pytest.approx(16.0, rel=0.05)  # k^-4
    one, two = (dg.parisi.satisfiable_perceptron(4.5, -0.5, k) for k in (1, 2))
    assert one.free_entropy == pytest.approx(float(found.free_entropy_of_k[0]), abs=1e-12)
    assert one.replicon < two.replicon < found.replicon < 0.0
    assert float(dg.parisi.overlap_distribution(two).weight.sum()) == pytest.approx(1.0, abs=1e-14)
    for left, right in ((one.overlap_ea, two.overlap_ea), (two.overlap_ea, found.overlap_ea)):
        assert left < right


def test_one_step_is_exact_for_hard_margins():
    found = dg.parisi.satisfiable_perceptron(68.0, -2.0)
    assert found.sizes["step"] == 2
    assert found.replicon > 0.01
    one = dg.parisi.satisfiable_perceptron(68.0, -2.0, 1)
    assert one.free_entropy == found.free_entropy
    q, m = one.overlap.values, one.breakpoint.values[1:]
    low = reference.free_entropy(q, m, 68.0, -2.0)
    assert low == pytest.approx(float(one.free_entropy), abs=1e-11)
    for dq, dm in ((1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-2), (0.0, -1e-2)):
        assert reference.free_entropy(q + np.array([0.0, dq]), m + dm, 68.0, -2.0) > low
    with pytest.raises(NumericalError, match="that with 1 is stable"):
        dg.parisi.satisfiable_perceptron(68.0, -2.0, 2)


@pytest.mark.slow
def test_satisfiable_phase_ends_at_jamming():
    # 1 - q_EA ~ (distance)^kappa, and exp(N s) ~ (distance)^N: isostatic.  Corrections fall slowly, about d^0.3.
    jammed = float(dg.parisi.jamming_load(-0.5, rtol=1e-10).jamming_load)
    distance = np.array([0.008, 0.004, 0.002, 0.001])
    found = [dg.parisi.satisfiable_perceptron(jammed - d, -0.5, rtol=1e-8) for d in distance]
    apart, entropy = (
        [float(x) for x in y] for y in zip(*((1 - f.overlap_ea, f.free_entropy) for f in found), strict=True)
    )
    steps = np.diff(np.log(distance))
    assert_allclose(np.diff(np.log(apart)) / steps, dg.parisi.jamming_exponents()["kappa"], rtol=0.01)
    missing = 1.0 - np.diff(entropy) / steps
    assert (missing > 0.0).all()
    assert (np.diff(missing) < 0.0).all()
    assert missing[-1] < 0.025


def test_where_steps_do_not_exist_it_is_said():
    with pytest.raises(NumericalError, match=r"unsatisfiable: the load 2\.1 is not below the jamming load 2"):
        dg.parisi.satisfiable_perceptron(2.1, 0.0)
    with pytest.raises(NumericalError, match=r"jamming load 4\.69659724"):
        dg.parisi.satisfiable_perceptron(4.697, -0.5)
    with pytest.raises(NumericalError, match="replica symmetry is stable"):
        dg.parisi.satisfiable_perceptron(1.0, 0.0, 1)
    with pytest.raises(ValueError, match="load must be a finite number > 0"):
        dg.parisi.satisfiable_perceptron(0.0, 0.0)


# ---- bad input and failure ----


@pytest.mark.parametrize("margin", [-3.1, 9.0, np.nan, "hard", None])
def test_margin_is_checked(margin):
    with pytest.raises(ValueError, match=r"margin must be a number from -3 to 8"):
        dg.parisi.jamming_load(margin)


def test_other_arguments_are_checked():
    with pytest.raises(ValueError, match="steps must be an integer"):
        dg.parisi.jamming_load(-0.5, -1)
    with pytest.raises(ValueError, match="rtol must be"):
        dg.parisi.jamming_load(-0.5, rtol=0.0)
    solution = dg.parisi.jamming_load(-0.5, 1)
    for name in ("gaps", "forces"):
        for bad in ([0.0], [-1.0], [np.nan], 1.0):
            with pytest.raises(ValueError, match=f"{name} must be a list"):
                dg.parisi.jamming_distributions(solution, **{name: bad})


def test_kernel_checks_its_arguments():
    with pytest.raises(NumericalError, match="two levels are too close"):
        _core.wall_recursion([0.5, 0.5 + 1e-11], [1.0, 2.0], 0.0)
    with pytest.raises(ValueError, match="overlap must increase strictly"):
        _core.wall_recursion([0.5, 0.4], [1.0, 2.0], 0.0)
    with pytest.raises(ValueError, match="breakpoints must increase strictly"):
        _core.wall_recursion([0.5, 0.6], [2.0, 1.0], 0.0)
    with pytest.raises(ValueError, match="breakpoints must have shape"):
        _core.wall_recursion([0.5, 0.6], [0.1, 0.2], 0.0, jamming=False)
    with pytest.raises(ValueError, match="margin must be"):
        _core.wall_recursion([0.5], [1.0], np.nan)


def test_what_does_not_settle_is_said(monkeypatch):
    monkeypatch.setattr(jamming.minimise, "__defaults__", (2,))  # iterations
    with pytest.warns(ConvergenceWarning, match="residual"):
        found = dg.parisi.jamming_load(-0.5, 1)
    assert not found.converged
