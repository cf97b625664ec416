from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import log_ndtr, logsumexp
from scipy.stats import multivariate_normal, norm

from deepglass import NumericalError, _core
from deepglass.reference.parisi_recursion import Recursion, recursion


def kernel(*args: Any, **options: Any) -> Recursion:
    found = _core.parisi_recursion(*args, **options)
    return Recursion(**{name: found[name] for name in Recursion.__dataclass_fields__})


def uniform(k: int) -> np.ndarray:
    return np.arange(1, k + 1) / (k + 1)


def shared(total: float, k: int, seed: int = 0) -> np.ndarray:
    """Increments that sum to `total`, a fifth of them zero."""
    rng = np.random.default_rng(seed)
    v = rng.dirichlet(np.ones(k + 1)) * (rng.random(k + 1) > 0.2)
    return total * v / v.sum() if v.sum() > 0 else np.full(k + 1, total / (k + 1))


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, np.ndarray, np.ndarray, dict[str, float]]:
    k = draw(st.integers(0, 8))
    m = np.sort(draw(st.lists(st.floats(0.02, 0.99), min_size=k, max_size=k)))
    parts = np.array(draw(st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0]), min_size=k + 1, max_size=k + 1)))
    share = parts / max(parts.sum(), 1.0)
    if draw(st.booleans()):
        deficit = 10 ** draw(st.floats(-12, -0.01))
        options = {
            "deficit": deficit,
            "width": draw(st.sampled_from([0.0, 0.1])),
            "shift": draw(st.floats(-1, 1)),
        }
        return "wall", share * (1 - deficit), m, options
    return "spin", share * draw(st.floats(0.01, 30.0)), m, {}


# ---- kernel = twin ----


def assert_same(found: Recursion, wanted: Recursion, smallest_m: float) -> None:
    # rtol: 50 steps, sums of 300 terms.  A derivative by m is a difference divided by m.
    assert_allclose(found.value, wanted.value, rtol=1e-12, atol=1e-14 / smallest_m)
    assert_allclose(found.slope_square, wanted.slope_square, rtol=1e-12, atol=1e-12 * wanted.slope_square.max())
    assert_allclose(found.replicon, wanted.replicon, rtol=1e-11)
    assert_allclose(found.one_minus_last, wanted.one_minus_last, rtol=1e-12)
    assert_allclose(found.breakpoint_slope, wanted.breakpoint_slope, rtol=1e-12, atol=1e-14 / smallest_m**2)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_kernel_equals_twin(case: tuple[str, np.ndarray, np.ndarray, dict[str, float]]) -> None:
    terminal, v, m, options = case
    assert_same(kernel(terminal, v, m, **options), recursion(terminal, v, m, **options), min([1.0, *m]))


@pytest.mark.parametrize("resolution", [0.5, 1.7, 4.0])
def test_kernel_equals_twin_at_other_resolutions(resolution: float) -> None:
    v, m = shared(0.95, 6), uniform(6)
    for terminal, scale in [("wall", 1.0), ("spin", 4.0)]:
        options = {"deficit": 0.05, "resolution": resolution}
        assert_same(kernel(terminal, v * scale, m, **options), recursion(terminal, v * scale, m, **options), 0.1)


# ---- other routes to the same numbers ----


def dense(terminal: str, v: np.ndarray, m: np.ndarray, deficit: float) -> tuple[float, np.ndarray]:
    """F and g_i by trapezoidal sums on a fine uniform grid: exact to rounding where sqrt(v) >= 1.3 dh."""
    h = np.linspace(-9, 9, 1801) if terminal == "wall" else np.linspace(-20, 20, 2001)
    dh = h[1] - h[0]
    f = log_ndtr(h / np.sqrt(deficit)) if terminal == "wall" else np.logaddexp(h, -h)
    slope = np.exp(norm.logpdf(h / np.sqrt(deficit)) - f) / np.sqrt(deficit) if terminal == "wall" else np.tanh(h)
    slopes, kernels = [slope], []
    breakpoints = np.r_[0.0, m]
    for i in range(len(v) - 1, -1, -1):
        gauss = -((h[:, None] - h) ** 2) / (2 * v[i])
        if breakpoints[i] > 0:
            total = logsumexp(gauss + breakpoints[i] * f, axis=1)
            transition = np.exp(gauss + breakpoints[i] * f - total[:, None])
            f = (total + np.log(dh) - 0.5 * np.log(2 * np.pi * v[i])) / breakpoints[i]
        else:
            transition = np.exp(gauss - logsumexp(gauss, axis=1)[:, None])
            f = transition @ f
        slopes.append(transition @ slopes[-1])
        kernels.append(transition)
    p = np.zeros(len(h))
    p[len(h) // 2] = 1.0
    g = []
    for i in range(len(v)):
        p = p @ kernels[len(v) - 1 - i]
        g.append(p @ slopes[len(v) - 1 - i] ** 2)
    return float(f[len(h) // 2]), np.array(g)


@pytest.mark.parametrize(
    ("terminal", "v", "deficit"),
    [
        ("wall", [0.2, 0.3, 0.01, 0.4], 0.09),
        ("wall", [0.05, 0.05, 0.6, 0.28], 0.02),
        ("spin", [0.5, 0.2, 2.0, 1.0], 1.0),
    ],
)
def test_dense_convolution(terminal: str, v: list[float], deficit: float) -> None:
    m = np.array([0.2, 0.5, 0.8])
    value, g = dense(terminal, np.array(v), m, deficit)
    found = kernel(terminal, v, m, deficit=deficit)
    assert found.value == pytest.approx(value, abs=2e-9)  # 8-point interpolation, r = 1
    assert_allclose(found.slope_square, g, rtol=1e-8, atol=1e-8)
    fine = kernel(terminal, v, m, deficit=deficit, resolution=3.0)
    assert fine.value == pytest.approx(value, abs=5e-12)
    assert_allclose(fine.slope_square, g, rtol=2e-11)


def test_four_replicas_of_a_spin() -> None:
    outer, inner = 0.3, 0.8
    overlap = np.full((4, 4), outer)
    overlap[:2, :2] = overlap[2:, 2:] = inner
    states = np.array(list(itertools.product([-1, 1], repeat=4)))
    wanted = logsumexp(0.5 * np.einsum("sa,ab,sb->s", states, overlap, states))
    found = 4 * kernel("spin", [outer, inner - outer], [2.0], outer_breakpoint=4.0, resolution=2.0).value
    assert found == pytest.approx(wanted, abs=3e-8)  # m = 4 tilts the rule by four deviations


def test_four_replicas_at_a_wall() -> None:
    outer, inner = 0.3, 0.8
    overlap = np.full((4, 4), outer)
    overlap[:2, :2] = overlap[2:, 2:] = inner
    np.fill_diagonal(overlap, 1.0)
    zero, normal = np.zeros(4), type(multivariate_normal)(seed=1)
    orthant = normal.cdf(zero, zero, overlap, maxpts=4_000_000, abseps=1e-8, releps=1e-8)
    found = 4 * kernel("wall", [outer, inner - outer], [2.0], outer_breakpoint=4.0, deficit=1 - inner).value
    assert found == pytest.approx(np.log(orthant), abs=3e-7)  # the quasi-Monte Carlo error


@pytest.mark.parametrize("terminal", ["wall", "spin"])
@pytest.mark.parametrize("where", ["first", "last"])
def test_one_increment_is_one_integral(terminal: str, where: str) -> None:
    total, m = 0.7, np.array([0.2, 0.6, 0.9])
    v = np.zeros(4)
    v[0 if where == "first" else 3] = total

    def f(z: float) -> float:
        h = np.sqrt(total) * z
        return float(log_ndtr(h / np.sqrt(1 - total)) if terminal == "wall" else np.logaddexp(h, -h))

    if where == "first":
        wanted = quad(lambda z: norm.pdf(z) * f(z), -12, 12, epsabs=1e-12, limit=200)[0]
    else:
        wanted = np.log(quad(lambda z: norm.pdf(z) * np.exp(0.9 * f(z)), -12, 12, epsabs=1e-13, limit=200)[0]) / 0.9
    found = kernel(terminal, v, m, deficit=1 - total)
    assert found.value == pytest.approx(wanted, abs=1e-9)
    if where == "last":
        assert np.all(np.diff(found.slope_square[:3]) == 0)


def test_smallest_deficits() -> None:
    # m = (.3,.7), lambda = (.2,.55,1-delta): the limit delta -> 0 is known from the frozen-level formulas,
    # F = -1.298922 and g_k sqrt(delta) = 1.83765.
    for delta, value, g in [
        (1e-4, -1.293405, 1.84059),
        (1e-8, -1.298867, 1.83768),
        (1e-14, -1.29892199, 1.83765),
    ]:
        found = kernel("wall", [0.2, 0.35, 0.45 - delta], [0.3, 0.7], deficit=delta)
        assert found.value == pytest.approx(value, abs=6e-7)
        assert found.slope_square[2] * np.sqrt(delta) == pytest.approx(g, abs=6e-6)


# ---- derivatives ----


def moved(v: np.ndarray, i: int, step: float) -> np.ndarray:
    """lambda_i -> lambda_i + step, the other levels fixed."""
    v = v.copy()
    v[i] += step
    if i + 1 < len(v):
        v[i + 1] -= step
    return v


@pytest.mark.parametrize(("terminal", "total"), [("wall", 0.9), ("wall", 0.99), ("spin", 3.0)])
def test_derivatives_are_derivatives(terminal: str, total: float) -> None:
    m = np.array([0.1, 0.35, 0.6, 0.9])
    v = total * np.array([0.1, 0.3, 0.2, 0.25, 0.15])
    step, options = 1e-4 * (1 - total if terminal == "wall" else 1.0), {"resolution": 3.0}

    def value(v: np.ndarray, m: np.ndarray) -> float:
        return kernel(terminal, v, m, deficit=1 - v.sum() if terminal == "wall" else 1.0, **options).value

    at = kernel(terminal, v, m, deficit=1 - total if terminal == "wall" else 1.0, **options)
    weights = np.diff(np.r_[0.0, m, 1.0])
    for i in range(5):
        difference = (value(moved(v, i, step), m) - value(moved(v, i, -step), m)) / (2 * step)
        # For a spin f_{k+1} does not change with eps_k, so that dF/d eps_k = (1/2)(1 - (1-m_k) g_k).
        slope = -0.5 * weights[i] * at.slope_square[i] + (0.5 if terminal == "spin" and i == 4 else 0.0)
        assert difference == pytest.approx(slope, rel=1e-6, abs=2e-6)
    for i in range(4):
        shift = 1e-4 * np.eye(4)[i]
        difference = (value(v, m + shift) - value(v, m - shift)) / 2e-4
        assert difference == pytest.approx(at.breakpoint_slope[i], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("deficit", [1e-2, 1e-5, 1e-9, 1e-13])
def test_derivative_at_small_deficits(deficit: float) -> None:
    # dF/d ln(deficit) = (1/2)(1-m_k) g_k deficit, with all outer levels fixed.
    m = np.array([0.3, 0.7])

    def value(deficit: float) -> float:
        return kernel("wall", [0.2, 0.35, 0.45 - deficit], m, deficit=deficit, resolution=2.0).value

    at = kernel("wall", [0.2, 0.35, 0.45 - deficit], m, deficit=deficit, resolution=2.0)
    difference = (value(deficit * 1.01) - value(deficit / 1.01)) / (2 * np.log(1.01))
    assert difference == pytest.approx(0.15 * at.slope_square[2] * deficit, rel=1e-4, abs=1e-9)


# ---- invariants ----


@settings(max_examples=60, deadline=None)
@given(cases())
def test_invariants(case: tuple[str, np.ndarray, np.ndarray, dict[str, float]]) -> None:
    terminal, v, m, options = case
    found = kernel(terminal, v, m, **options)
    assert_allclose(found.mass, 1.0, rtol=0, atol=1e-12)
    g = found.slope_square
    assert np.all(np.diff(g) >= -1e-8 * g.max())  # r = 1
    assert np.all(g >= 0)
    assert np.all(found.breakpoint_slope >= -1e-9)
    if terminal == "spin":
        assert found.one_minus_last == pytest.approx(1 - g[-1], abs=2e-8)
        assert np.all(g <= 1)
    else:
        assert found.value <= 0


@pytest.mark.parametrize("terminal", ["wall", "spin"])
def test_levels_compose(terminal: str) -> None:
    v, m = np.array([0.2, 0.3, 0.4]), np.array([0.3, 0.8])
    at = kernel(terminal, v, m, deficit=0.1)
    # An increment cut in two with the same m.
    cut = kernel(terminal, [0.2, 0.1, 0.2, 0.4], [0.3, 0.3, 0.8], deficit=0.1)
    assert cut.value == pytest.approx(at.value, abs=1e-9)
    assert_allclose(cut.slope_square[[0, 2, 3]], at.slope_square, rtol=1e-8)
    # An empty level is no level: to the last bit.
    empty = kernel(terminal, [0.2, 0.3, 0.0, 0.4], [0.3, 0.5, 0.8], deficit=0.1)
    assert empty.value == at.value and empty.replicon == at.replicon
    assert_allclose(empty.slope_square, at.slope_square[[0, 1, 1, 2]], rtol=0)
    assert_allclose(empty.breakpoint_slope, [at.breakpoint_slope[0], 0.0, at.breakpoint_slope[1]], rtol=0)


@pytest.mark.parametrize("terminal", ["wall", "spin"])
def test_liquid(terminal: str) -> None:
    found = kernel(terminal, np.zeros(4), uniform(3))
    assert found.value == pytest.approx(np.log(0.5 if terminal == "wall" else 2.0), rel=1e-15)
    slope = 2 / np.sqrt(2 * np.pi) if terminal == "wall" else 0.0
    assert_allclose(found.slope_square, slope**2, rtol=1e-14)
    assert_allclose(found.mass, 1.0, rtol=0)


def test_shifted_and_smeared_wall() -> None:
    # At k = 0: E ln Phi((h - kappa)/s) by a direct integral.
    for shift, width in itertools.product([-2.0, 0.3, 2.0], [0.0, 0.4]):
        s = np.sqrt(0.2 + width**2)
        wanted = quad(lambda z, a=shift, s=s: norm.pdf(z) * log_ndtr((np.sqrt(0.8) * z - a) / s), -12, 12, limit=200)
        found = kernel("wall", [0.8], [], deficit=0.2, width=width, shift=shift)
        assert found.value == pytest.approx(wanted[0], abs=2e-9, rel=1e-9)


# ---- convergence ----


@pytest.mark.parametrize("k", [1, 4, 19])
@pytest.mark.parametrize("deficit", [0.5, 0.1, 0.03, 0.01])
def test_accuracy_of_ordinary_levels(k: int, deficit: float) -> None:
    for seed in range(3):
        v = shared(1 - deficit, k, seed)
        at = kernel("wall", v, uniform(k), deficit=deficit)
        fine = kernel("wall", v, uniform(k), deficit=deficit, resolution=3.0)
        assert at.value == pytest.approx(fine.value, abs=5e-9)
        assert_allclose(at.slope_square, fine.slope_square, rtol=0, atol=1e-8 * max(1.0, fine.slope_square.max()))
        spin, spin_fine = (kernel("spin", v * 5, uniform(k), resolution=r) for r in (1.0, 3.0))
        assert spin.value == pytest.approx(spin_fine.value, abs=5e-9)
        assert_allclose(spin.slope_square, spin_fine.slope_square, rtol=0, atol=1e-8)
        assert spin.one_minus_last == pytest.approx(spin_fine.one_minus_last, rel=1e-7)


@pytest.mark.parametrize(("terminal", "total"), [("wall", 0.05), ("wall", 0.99), ("spin", 0.1), ("spin", 30.0)])
def test_many_small_steps(terminal: str, total: float) -> None:
    # What is wrong at the ends of the grids would wander inwards, some cells a step.
    v, m = shared(total, 200), uniform(200)
    at, fine = (kernel(terminal, v, m, deficit=1 - total % 1, resolution=r) for r in (1.0, 2.0))
    assert at.value == pytest.approx(fine.value, abs=2e-8)
    scale = max(1.0, fine.slope_square.max())
    assert_allclose(at.slope_square, fine.slope_square, rtol=0, atol=5e-8 * scale)


def test_error_falls_with_resolution() -> None:
    v, m = shared(0.9, 5), uniform(5)
    exact = kernel("wall", v, m, deficit=0.1, resolution=4.0).slope_square
    errors = [
        np.abs(kernel("wall", v, m, deficit=0.1, resolution=r).slope_square - exact).max() for r in (0.5, 1.0, 2.0)
    ]
    assert errors[0] / errors[1] > 30 and errors[1] / errors[2] > 30  # order 8, with a margin for the sign


# ---- errors ----


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("wall", [], []), {}, r"variance must have shape \(k\+1,\), got \(0,\)"),
        (("wall", [[0.1, 0.2]], [0.5]), {}, r"variance must have shape"),
        (("wall", [0.1, 0.2], [0.5, 0.6]), {}, r"breakpoints must have shape \(1,\), got \(2,\)"),
        (("wall", [0.1, np.nan], [0.5]), {}, "variance must be finite"),
        (("wall", [0.1, -0.2], [0.5]), {}, "variance must be finite and >= 0"),
        (("wall", [0.1, 0.2], [np.inf]), {}, "breakpoints must be finite"),
        (("wall", [0.1, 0.2], [0.0]), {}, "breakpoints must increase"),
        (("wall", [0.1, 0.2, 0.1], [0.6, 0.5]), {}, "breakpoints must increase"),
        (("wall", [0.1, 0.2], [1.5]), {}, "breakpoints must increase"),
        (("wall", [0.1], []), {"deficit": -0.1}, "deficit must be"),
        (("wall", [0.1], []), {"deficit": np.nan}, "deficit must be"),
        (("wall", [0.1], []), {"width": np.nan}, "width must be finite"),
        (("wall", [0.1], []), {"shift": np.inf}, "shift must be finite"),
        (("spin", [0.1], []), {"resolution": 9.0}, "resolution must be"),
        (("spin", [0.1], []), {"outer_breakpoint": -1.0}, "outer_breakpoint must be"),
        (("ball", [0.1], []), {}, "terminal must be"),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.parisi_recursion(*arguments, **options)


def test_beyond_reach() -> None:
    with pytest.raises(NumericalError, match="deficit"):
        kernel("wall", [0.5, 0.5], [0.5], deficit=1e-15)
    with pytest.raises(NumericalError, match="steps"):
        kernel("spin", [0.5, 1e6], [0.9])
