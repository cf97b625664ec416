"""Quadrature rules and log-sum-exp."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad

from deepglass import _core
from deepglass.reference import quadrature as reference

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def log_2cosh(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.logaddexp(x, -x)


# ---- Kernel = reference


@pytest.mark.parametrize("n", [1, 2, 3, 8, 17, 40, 101, 256])
def test_gauss_hermite_is_reference(n: int) -> None:
    z, w = _core.gauss_hermite(n)
    z_slow, w_slow = reference.gauss_hermite(n)
    np.testing.assert_allclose(z, z_slow, rtol=0, atol=1e-14)  # NumPy: eigenvalues up to 32, one Newton step
    np.testing.assert_allclose(w, w_slow, rtol=0, atol=1e-15)
    main = w > 1e-6
    np.testing.assert_allclose(w[main], w_slow[main], rtol=1e-14)


@given(n=st.integers(1, 60), a=st.floats(-10, 10), length=st.floats(0.01, 10))
def test_gauss_legendre_is_reference(n: int, a: float, length: float) -> None:
    x, w = _core.gauss_legendre(n, a, a + length)
    x_slow, w_slow = reference.gauss_legendre(n, a, a + length)
    np.testing.assert_allclose(x, x_slow, rtol=1e-15, atol=1e-14)
    np.testing.assert_allclose(w, w_slow, rtol=2e-13)  # the rounding of the nodes; 6e-14 seen at n = 64


def test_panel_rule_is_reference() -> None:
    breaks = [-3.0, -0.5, 0.0, 0.1, 7.0]
    for got, expected in zip(_core.panel_rule(breaks, 6), reference.panel_rule(breaks, 6), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-14)


@given(
    scale=st.floats(1e-6, 10),
    left=st.floats(-50, 20),
    length=st.floats(0.1, 50),
    dt=st.floats(0.01, 1),
)
def test_sinh_rule_is_reference(scale: float, left: float, length: float, dt: float) -> None:
    for got, expected in zip(
        _core.sinh_rule(scale, left, left + length, dt),
        reference.sinh_rule(scale, left, left + length, dt),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-14)  # sinh of libm and of NumPy, t up to 20


@given(
    terms=st.lists(
        st.tuples(st.floats(-800, 800) | st.just(-math.inf), st.floats(1e-3, 1e3) | st.just(0.0)), max_size=20
    )
)
def test_log_sum_exp_is_reference(terms: list[tuple[float, float]]) -> None:
    x, weights = [t[0] for t in terms], [t[1] for t in terms]
    # 20 positive terms; near a sum of 1 the logarithm itself is small, hence atol
    np.testing.assert_allclose(_core.log_sum_exp(x), reference.log_sum_exp(x), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(_core.log_sum_exp(x, weights), reference.log_sum_exp(x, weights), rtol=1e-14, atol=1e-14)


# ---- Exact cases


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12, 20])
def test_gauss_hermite_is_exact_below_degree_2n(n: int) -> None:
    z, w = _core.gauss_hermite(n)
    for k in range(2 * n):
        moment = float(math.prod(range(k - 1, 0, -2))) if k % 2 == 0 else 0.0
        size = w @ np.abs(z) ** k  # positive terms, to which roundings are relative
        assert abs(w @ z**k - moment) <= 2e-15 * (k + 1) * size
    # and at degree 2n the rule misses the squared norm of He_n, which is n!
    missed = math.prod(range(2 * n - 1, 0, -2)) - w @ z ** (2 * n)
    np.testing.assert_allclose(missed, math.factorial(n), rtol=1e-9)  # a difference of 1e23 - 1e23 = 1e18


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_gauss_legendre_is_exact_below_degree_2n(n: int) -> None:
    a, b = -0.5, 2.0
    x, w = _core.gauss_legendre(n, a, b)
    for k in range(2 * n):
        exact = (b ** (k + 1) - a ** (k + 1)) / (k + 1)
        np.testing.assert_allclose(w @ x**k, exact, rtol=1e-14)
    # and at degree 2n the rule misses the squared norm of the monic polynomial
    missed = (b ** (2 * n + 1) - a ** (2 * n + 1)) / (2 * n + 1) - w @ x ** (2 * n)
    norm = (b - a) ** (2 * n + 1) * math.factorial(n) ** 4 / ((2 * n + 1) * math.factorial(2 * n) ** 2)
    np.testing.assert_allclose(missed, norm, rtol=1e-6)  # a difference of 3e4 - 3e4 = 1e-3


@pytest.mark.parametrize("n", [40, 101, 256])
def test_gauss_hermite_to_the_last_bit(n: int) -> None:
    z, w = _core.gauss_hermite(n)
    with mpmath.workdps(40):
        for j in (0, n // 3, n // 2, n - 1):
            x = mpmath.mpf(z[j])
            for _ in range(2):
                before, p, squares = mpmath.mpf(0), mpmath.mpf(1), mpmath.mpf(0)
                for k in range(n):
                    squares += p * p
                    before, p = p, (x * p - mpmath.sqrt(k) * before) / mpmath.sqrt(k + 1)
                x -= p / (mpmath.sqrt(n) * before)
            np.testing.assert_allclose(z[j], float(x), rtol=2.3e-16, atol=1e-19)  # one ulp
            np.testing.assert_allclose(w[j], float(1 / squares), rtol=2.3e-16)


@pytest.mark.parametrize(
    ("f", "exact"),
    [
        (np.exp, math.exp(0.5)),
        (np.cos, math.exp(-0.5)),
        (log_2cosh, quad(lambda z: log_2cosh(z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), -40, 40)[0]),
    ],
)
def test_averages(f: Function, exact: float) -> None:
    z, w = _core.gauss_hermite(128)
    # log cosh has branch points at +-i pi/2: the error is exp(-O(sqrt(n))) only
    np.testing.assert_allclose(w @ f(z), exact, rtol=1e-9 if f is log_2cosh else 1e-15)


def test_sinh_rule_of_a_narrow_integrand() -> None:
    """E log 2cosh(beta z), which Gauss-Hermite cannot do when beta is large."""
    beta = 1e4
    with mpmath.workdps(30):
        # = beta E|z| + E log(1 + exp(-2 beta |z|)), the second term on the scale 1/beta
        tail = mpmath.quad(
            lambda u: mpmath.log1p(mpmath.exp(-2 * u)) * mpmath.npdf(u / beta) / beta * 2, [0, 1, 5, 20, 60]
        )
        exact = float(beta * mpmath.sqrt(2 / mpmath.pi) + tail)
    h, w = _core.sinh_rule(1 / beta, -9.0, 9.0, 0.05)
    density = np.exp(-h * h / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(w @ (density * log_2cosh(beta * h)), exact, rtol=1e-14)
    assert len(h) < 600


def test_log_sum_exp_special() -> None:
    inf, nan = math.inf, math.nan
    assert _core.log_sum_exp([]) == -inf
    assert _core.log_sum_exp([3.0]) == 3.0
    assert _core.log_sum_exp([-inf, -inf]) == -inf
    assert _core.log_sum_exp([-inf, 2.0]) == 2.0
    assert _core.log_sum_exp([inf, 2.0]) == inf
    assert math.isnan(_core.log_sum_exp([nan, 2.0]))
    assert math.isnan(_core.log_sum_exp([nan, -inf]))
    assert math.isnan(_core.log_sum_exp([nan, inf]))
    assert _core.log_sum_exp([inf, nan, 1.0], [0.0, 0.0, 1.0]) == 1.0
    assert _core.log_sum_exp([710.0], [0.0]) == reference.log_sum_exp([710.0], [0.0]) == -inf
    assert math.isnan(_core.log_sum_exp([1.0], [-1.0]))
    assert _core.log_sum_exp([1e300, 1e300]) == 1e300
    np.testing.assert_allclose(_core.log_sum_exp([-2000.0, -2000.0]), math.log(2) - 2000, rtol=1e-15)


# ---- Invariants


@pytest.mark.parametrize("n", [1, 2, 7, 64, 255, 512, 1000])
def test_gauss_hermite_shape(n: int) -> None:
    z, w = _core.gauss_hermite(n)
    assert z.shape == w.shape == (n,)
    assert np.all(np.diff(z) > 0)
    assert np.array_equal(z, -z[::-1])
    assert np.array_equal(w, w[::-1])
    assert np.all(w >= 0)
    np.testing.assert_allclose(w.sum(), 1.0, rtol=1e-15)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 255])
def test_gauss_legendre_shape(n: int) -> None:
    x, w = _core.gauss_legendre(n)
    assert np.all(np.diff(x) > 0)
    assert -1 < x[0] <= x[-1] < 1
    assert np.array_equal(x, -x[::-1])
    assert np.array_equal(w, w[::-1])
    np.testing.assert_allclose(w.sum(), 2.0, rtol=1e-15)


def test_sinh_rule_shape() -> None:
    h, w = _core.sinh_rule(0.1, -5.0, 5.0, 0.25)
    assert np.array_equal(h, -h[::-1])
    assert np.array_equal(w, w[::-1])
    assert h[0] <= -5.0 < h[1]
    assert h[-2] < 5.0 <= h[-1]
    assert h[len(h) // 2] == 0.0
    # the lattice does not move with the ends
    cut, _ = _core.sinh_rule(0.1, 0.7, 5.0, 0.25)
    assert np.array_equal(cut, h[-len(cut) :])
    assert cut[0] <= 0.7 < cut[1]


# ---- Order of convergence


@pytest.mark.parametrize("n_nodes", [1, 2, 3])
def test_panel_order(n_nodes: int) -> None:
    def error(n_panels: int) -> float:
        x, w = _core.panel_rule(np.linspace(0.0, 2.0, n_panels + 1), n_nodes)
        return abs(float(w @ np.exp(x)) - math.expm1(2.0))

    order = math.log2(error(16) / error(32))
    assert abs(order - 2 * n_nodes) < 0.05


def test_panels_with_a_kink() -> None:
    x, w = _core.panel_rule([-2.0, 0.3, 1.0], 10)
    # |x - 0.3| is linear in each panel
    np.testing.assert_allclose(w @ np.abs(x - 0.3), (2.3**2 + 0.7**2) / 2, rtol=1e-15)


def test_sinh_rule_converges_exponentially() -> None:
    def error(dt: float) -> float:
        h, w = _core.sinh_rule(0.3, -12.0, 12.0, dt)
        return abs(float(w @ np.exp(-h * h / 2)) / math.sqrt(2 * math.pi) - 1)

    first, second, third = error(1.0), error(0.5), error(0.25)
    # each halving squares the error, but for a factor
    assert 1e-6 < first < 0.1
    assert second < 10 * first**2
    assert third < max(10 * second**2, 1e-15)


# ---- Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _core.gauss_hermite(0), r"^n must be in 1\.\.4096, got 0"),
        (lambda: _core.gauss_hermite(5000), r"^n must be"),
        (lambda: _core.gauss_legendre(0), r"^n must be"),
        (lambda: _core.gauss_legendre(3, 1.0, 1.0), r"^a and b must be finite with a < b, got a = 1, b = 1"),
        (lambda: _core.gauss_legendre(3, math.nan, 1.0), r"^a and b must"),
        (lambda: _core.gauss_legendre(3, 0.0, math.inf), r"^a and b must"),
        (lambda: _core.panel_rule([0.0], 3), r"^breaks must have at least 2 entries, got 1"),
        (lambda: _core.panel_rule([[0.0, 1.0]], 3), r"^breaks must have shape"),
        (
            lambda: _core.panel_rule([0.0, 1.0, 1.0], 3),
            r"^breaks must be finite and increasing, got 1 before 1",
        ),
        (lambda: _core.panel_rule([0.0, math.nan], 3), r"^breaks must"),
        (lambda: _core.panel_rule([0.0, 1.0], 0), r"^n_nodes must be"),
        (lambda: _core.sinh_rule(0.0, -1.0, 1.0, 0.1), r"^scale must be positive"),
        (lambda: _core.sinh_rule(math.nan, -1.0, 1.0, 0.1), r"^scale must be positive"),
        (lambda: _core.sinh_rule(1e-310, -1.0, 1.0, 0.1), r"^scale must not be so small"),
        (lambda: _core.sinh_rule(1.0, 1.0, -1.0, 0.1), r"^left and right must"),
        (lambda: _core.sinh_rule(1.0, -1.0, math.nan, 0.1), r"^left and right must"),
        (lambda: _core.sinh_rule(1.0, -1.0, 1.0, 0.0), r"^dt must be"),
        (lambda: _core.sinh_rule(1.0, -1.0, 1.0, math.nan), r"^dt must be"),
        (lambda: _core.log_sum_exp([1.0, 2.0], [1.0]), r"^weights must have shape \(2,\), got \(1,\)"),
        (lambda: _core.log_sum_exp([[1.0]]), r"^x must have shape"),
    ],
)
def test_bad_arguments(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
