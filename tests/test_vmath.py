"""Elementary functions and the Gaussian tail: kernel = twin, both against mpmath; special values; bits."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from deepglass import _cpu
from deepglass.reference import vmath as reference

Array = NDArray[np.float64]

BUILT = [
    level
    for level in ("v1", "v3", "v4")
    if level <= _cpu.level() and importlib.util.find_spec(f"deepglass._core_{level}")
]
EPS = float(np.finfo(float).eps)
NORMAL = float(np.finfo(float).tiny)
NAN, INF = np.nan, np.inf

# Largest error allowed, in units in the last place; 9 are at most 2e-15.  On 5e4 arguments each, 0.96 of it
# was seen at the most.
ULPS = {
    "asin": 2.0,
    "exp": 1.0,
    "expm1": 2.0,
    "log": 1.0,
    "log1p": 1.0,
    "tanh": 3.0,
    "log_2cosh": 2.0,
    "erf": 2.0,
    "erfc": 6.0,
    "normal_cdf": 7.0,
    "log_normal_cdf": 7.0,
    "log_normal_sf": 7.0,
    "inverse_mills_ratio": 7.0,
    "inverse_mills_ratio_slope": 9.0,
}
NAMES = list(ULPS)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
# Uniform in the bits is rarely of order one, where most happens.
ARGUMENTS = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=0, min_side=0, max_side=5), elements=FINITE | st.floats(-40.0, 40.0)
)


@pytest.fixture(params=BUILT, scope="module")
def core(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"deepglass._core_{request.param}")


def kernel(core: ModuleType, name: str, x: Any) -> Array:
    y: Array = getattr(core, f"vmath_{name}")(x)
    return y


# ---- Kernel = reference


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=50)
@given(x=ARGUMENTS)
def test_reference(core: ModuleType, name: str, x: Array) -> None:
    got = kernel(core, name, x)
    assert got.shape == x.shape
    # The twin rounds x / sqrt 2 before it squares, which costs 2 eps of the exponent, at most 745; it loses
    # results below the normal numbers where erfcx overflows.
    gaussian = "normal" in name or "mills" in name or name == "erfc"
    np.testing.assert_allclose(
        got, getattr(reference, name)(x), rtol=745 * 2 * EPS if gaussian else 10 * EPS, atol=100 * NORMAL
    )


# ---- Against mpmath


def hazard_excess(a: mp.mpf) -> mp.mpf:
    """phi(a) / Phi(-a) - a: for large a by Laplace's continued fraction, 1/(a + 2/(a + 3/(a + ...)))."""
    if a < 40:
        with mp.extraprec(100):
            return mp.npdf(a) / (mp.erfc(a / mp.sqrt(2)) / 2) - a
    fraction = mp.mpf(0)
    for level in range(40, 0, -1):
        fraction = level / (a + fraction)
    return fraction


def upper_tail(x: mp.mpf) -> mp.mpf:
    return mp.erfc(x / mp.sqrt(2)) / 2


def log_normal_cdf(x: mp.mpf) -> mp.mpf:
    if x > -40:
        return mp.log1p(-upper_tail(x)) if x > 0 else mp.log(upper_tail(-x))
    return -x * x / 2 - mp.log(mp.sqrt(2 * mp.pi) * (hazard_excess(-x) - x))


def inverse_mills_ratio(x: mp.mpf) -> mp.mpf:
    return mp.npdf(x) / (1 - upper_tail(x)) if x > 0 else hazard_excess(-x) - x


def inverse_mills_ratio_slope(x: mp.mpf) -> mp.mpf:
    ratio = inverse_mills_ratio(x)
    return -ratio * (ratio + x if x > 0 else hazard_excess(-x))


EXACT: dict[str, Callable[[mp.mpf], mp.mpf]] = {
    "asin": mp.asin,
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "tanh": mp.tanh,
    "log_2cosh": lambda h: abs(h) + mp.log1p(mp.exp(-2 * abs(h))),
    "erf": mp.erf,
    "erfc": mp.erfc,
    "normal_cdf": lambda x: upper_tail(-x),
    "log_normal_cdf": log_normal_cdf,
    "log_normal_sf": lambda x: log_normal_cdf(-x),
    "inverse_mills_ratio": inverse_mills_ratio,
    "inverse_mills_ratio_slope": inverse_mills_ratio_slope,
}


def sample(name: str, n: int) -> Array:
    """Arguments where the function lives: near its zeros and its ends, and far out."""
    rng = np.random.default_rng(NAMES.index(name))

    def even(low: float, high: float) -> Array:
        return rng.uniform(low, high, n)

    def powers(low: float, high: float, signs: tuple[int, ...] = (1, -1)) -> Array:
        return 10 ** rng.uniform(low, high, n) * rng.choice(signs, n)

    parts = {
        "asin": [even(-1, 1), powers(-307, 0), 1.0 - powers(-16, -1, (1,)), powers(-16, -1, (1,)) - 1.0],
        "exp": [even(-708, 709.7), even(-1, 1), powers(-300, 0)],
        "expm1": [even(-40, 709.7), even(-3, 3), powers(-307, 0)],
        "log": [powers(-323, 308, (1,)), even(0.5, 2.0), 1.0 + powers(-15, -1)],
        "log1p": [powers(-307, -0.01), even(-0.999, 3.0), powers(-3, 308, (1,)), powers(-16, -1, (1,)) - 1.0],
        "tanh": [powers(-307, 2), even(-2, 2), even(-20, 20)],
        "log_2cosh": [powers(-10, 300), even(-2, 2), even(-25, 25)],
        "erf": [powers(-307, 1), even(-2, 2), even(-6, 6)],
        "erfc": [powers(-300, 0), even(-2, 2), even(-6, 26.5)],
    }
    tails = [even(-38, 37.5), even(-5, 5), even(-0.5, 0.5), powers(0, 150, (-1,)), powers(-300, 0)]
    x = np.concatenate(parts.get(name, tails))
    return -x if name == "log_normal_sf" else x


def ulps(got: float, exact: mp.mpf) -> float:
    unit = mp.ldexp(1, max(mp.frexp(exact)[1] - 53, -1074))
    return float(abs(mp.mpf(got) - exact) / unit)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name: str) -> None:
    x = sample(name, 150)
    with mp.workdps(50):
        exact = [EXACT[name](mp.mpf(float(argument))) for argument in x]
        for level in BUILT:
            got = kernel(importlib.import_module(f"deepglass._core_{level}"), name, x)
            errors = [ulps(float(g), e) if abs(e) > NORMAL else 0.0 for g, e in zip(got, exact, strict=True)]
            worst, where = max(zip(errors, x.tolist(), strict=True))
            assert worst <= ULPS[name], f"{level}: {worst:.2f} ulp at {where!r}"


@pytest.mark.parametrize("name", ["exp", "erfc", "normal_cdf", "log_normal_sf", "inverse_mills_ratio"])
def test_gradual_underflow(core: ModuleType, name: str) -> None:
    x = {"exp": np.linspace(-745.1, -708.4, 60), "erfc": np.linspace(26.6, 27.2, 60)}.get(
        name, np.linspace(37.6, 38.4, 60)
    )
    x = -x if name in ("normal_cdf", "log_normal_sf") else x
    got = kernel(core, name, x)
    with mp.workdps(50):
        for value, argument in zip(got, x, strict=True):
            exact = EXACT[name](mp.mpf(float(argument)))
            # The grid of subnormal numbers is 5e-324; the rounding to it is the last.
            assert abs(mp.mpf(float(value)) - exact) <= 0.5 * mp.mpf(5e-324) + ULPS[name] * EPS * abs(exact)


# ---- Special values

SPECIAL: dict[str, list[tuple[float, float]]] = {
    "asin": [
        (0.0, 0.0),
        (-0.0, -0.0),
        (1.0, np.pi / 2),
        (-1.0, -np.pi / 2),
        (1.0 + EPS, NAN),
        (INF, NAN),
        (5e-324, 5e-324),
    ],
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (710.0, INF), (-746.0, 0.0), (5e-324, 1.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (710.0, INF), (-5e-324, -5e-324)],
    "log": [(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-INF, NAN), (-1.0, NAN), (-5e-324, NAN)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (INF, INF), (-INF, NAN), (-1.5, NAN), (5e-324, 5e-324)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (1e308, 1.0), (-5e-324, -5e-324)],
    "log_2cosh": [(0.0, float(np.log(2))), (INF, INF), (-INF, INF), (-1.7e308, 1.7e308)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (1e308, 1.0), (5e-324, 5e-324)],
    "erfc": [(0.0, 1.0), (-0.0, 1.0), (INF, 0.0), (-INF, 2.0), (1e308, 0.0), (-1e308, 2.0)],
    "normal_cdf": [(0.0, 0.5), (INF, 1.0), (-INF, 0.0), (1e308, 1.0), (-1e308, 0.0)],
    "log_normal_cdf": [(0.0, -float(np.log(2))), (INF, 0.0), (-INF, -INF), (1e308, 0.0), (-1e308, -INF)],
    "log_normal_sf": [(-0.0, -float(np.log(2))), (-INF, 0.0), (INF, -INF), (-1e308, 0.0), (1e308, -INF)],
    "inverse_mills_ratio": [(INF, 0.0), (-INF, INF), (1e308, 0.0), (-1.7e308, 1.7e308), (40.0, 0.0)],
    "inverse_mills_ratio_slope": [(INF, -0.0), (-INF, -1.0), (1e308, -0.0), (-1.7e308, -1.0), (-1e12, -1.0)],
}


@pytest.mark.parametrize("name", NAMES)
def test_special_values(core: ModuleType, name: str) -> None:
    x, wanted = np.array([*SPECIAL[name], (NAN, NAN)]).T
    got = kernel(core, name, x)
    np.testing.assert_array_equal(got, wanted)
    if name != "log_normal_sf":  # the signs of zeros
        np.testing.assert_array_equal(np.signbit(got[:-1]), np.signbit(wanted[:-1]))


# ---- Invariants


@given(x=ARGUMENTS)
def test_symmetries(core: ModuleType, x: Array) -> None:
    for name in ("asin", "tanh", "erf"):
        np.testing.assert_array_equal(kernel(core, name, -x), -kernel(core, name, x))
    np.testing.assert_array_equal(kernel(core, "log_2cosh", -x), kernel(core, "log_2cosh", x))
    np.testing.assert_array_equal(kernel(core, "log_normal_sf", x), kernel(core, "log_normal_cdf", -x))


@given(x=FINITE | st.floats(-40, 40), step=st.floats(0, 1))
def test_log_normal_cdf_rises(core: ModuleType, x: float, step: float) -> None:
    low, high = kernel(core, "log_normal_cdf", np.array([x, x + step]))
    # Between neighbours the order may be lost by rounding, twice the error of one value.
    assert low <= high + 2 * ULPS["log_normal_cdf"] * EPS * min(abs(high), 1e308)


@given(x=FINITE | st.floats(-40, 40))
def test_ranges(core: ModuleType, x: float) -> None:
    assert kernel(core, "log_normal_cdf", x) <= 0.0
    assert kernel(core, "inverse_mills_ratio", x) >= max(0.0, -x)
    assert -1.0 <= kernel(core, "inverse_mills_ratio_slope", x) <= 0.0


@pytest.mark.parametrize(
    ("name", "derivative"),
    [("log_normal_cdf", "inverse_mills_ratio"), ("inverse_mills_ratio", "inverse_mills_ratio_slope")],
)
@given(x=st.floats(-35, 35))
def test_derivatives(core: ModuleType, name: str, derivative: str, x: float) -> None:
    """f(x + 1/2) - f(x - 1/2) is the integral of f'."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    ends = kernel(core, name, np.array([x - 0.5, x + 0.5]))
    integral = 0.5 * weights @ kernel(core, derivative, x + 0.5 * nodes)
    # Rounding of the values, and of the nodes, which exp(-x^2/2) multiplies by x^2; the quadrature is exact.
    assert abs(ends[1] - ends[0] - integral) <= (20 + x * x) * EPS * np.abs(ends).max()


# ---- The same bits for every length, alignment and place


@pytest.mark.parametrize("name", NAMES)
def test_bits_do_not_depend_on_length(core: ModuleType, name: str) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-40, 40, 31), rng.uniform(-1, 1, 20), [NAN, INF, -INF, 0.0, -0.0, 1e-310]])
    whole = kernel(core, name, x).view(np.uint64)
    for first in range(9):
        for n in (1, 2, 3, 5, 7, 8, 11, 16, 23):
            part = kernel(core, name, x[first : first + n])
            np.testing.assert_array_equal(part.view(np.uint64), whole[first : first + n])


@pytest.mark.parametrize("name", NAMES)
def test_in_place(core: ModuleType, name: str) -> None:
    x = np.random.default_rng(2).uniform(-5, 5, (3, 7))
    separate = kernel(core, name, x)
    assert getattr(core, f"vmath_{name}")(x, out=x) is x
    np.testing.assert_array_equal(x, separate)


@pytest.mark.skipif("v3" not in BUILT or "v4" not in BUILT, reason="needs v3 and v4")
@pytest.mark.parametrize("name", NAMES)
def test_v3_and_v4_agree(name: str) -> None:
    x = sample(name, 200)
    v3, v4 = (kernel(importlib.import_module(f"deepglass._core_{level}"), name, x) for level in ("v3", "v4"))
    np.testing.assert_array_equal(v3, v4)


def test_shapes(core: ModuleType) -> None:
    for shape in [(), (0,), (3,), (2, 0, 4), (2, 3, 4)]:
        assert kernel(core, "exp", np.zeros(shape)).shape == shape
    strided = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    np.testing.assert_array_equal(kernel(core, "log1p", strided), kernel(core, "log1p", strided.copy()))
    assert kernel(core, "exp", [0, 1]).dtype == np.float64


# ---- Errors


def test_errors(core: ModuleType) -> None:
    x = np.zeros(8)
    with pytest.raises(ValueError, match=r"out must have shape \(8,\), got \(2, 4\)"):
        core.vmath_exp(x, out=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="out must be x itself or not overlap it"):
        core.vmath_exp(x[:7], out=x[1:])
    with pytest.raises(TypeError):
        core.vmath_exp(x, out=np.zeros(8, dtype=np.float32))
