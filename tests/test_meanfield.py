"""Mean field: activations, Gaussian averages, signal propagation, fixed points."""

import math
import pickle
import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import deepglass as dg
from deepglass import _core
from deepglass.reference import meanfield as reference

mf = dg.meanfield
NAMES = _core.activation_names()
SMOOTH = ["tanh", "erf", "sin", "sigmoid", "softplus", "gelu", "swish"]
BOUNDED = ["tanh", "erf", "hard_tanh", "sin", "cos", "sigmoid", "softsign"]


def cubic_relu():
    return mf.activation(
        lambda u: np.maximum(u, 0.0) ** 3, derivative=lambda u: 3 * np.maximum(u, 0.0) ** 2, kinks=[0.0], name="cubic"
    )


# ---- kernel = reference


@pytest.mark.parametrize("name", NAMES)
def test_activations_are_the_reference(name):
    phi, slow = mf.activation(name), reference.ACTIVATIONS[name]
    u = np.concatenate([np.linspace(-30, 30, 4001) + 1e-4, [1e-8, -1e-8, 1e-3, 40.0, -40.0]])
    np.testing.assert_allclose(phi(u), slow.value(u), rtol=4e-15, atol=1e-15)
    np.testing.assert_allclose(phi.derivative(u), slow.slope(u), rtol=4e-14, atol=1e-15)
    assert phi.kinks == slow.kinks and phi.name == name


def test_waves_far_out():
    u = np.array([3e4, -9.9e4, 1e6, -1e12])
    np.testing.assert_allclose(mf.activation("sin")(u), np.sin(u), atol=2e-15)
    np.testing.assert_allclose(mf.activation("cos").derivative(u), -np.sin(u), atol=2e-15)


@settings(max_examples=60)
@example("softsign", 2.0)  # weighs the ends of the panels
@given(st.sampled_from(NAMES), st.floats(1e-4, 50.0))
def test_moments_are_the_reference(name, q):
    found, slow = mf.gaussian_moments(name, q), reference.moments(reference.ACTIVATIONS[name], q)
    phi, slope = math.sqrt(slow["square"]), math.sqrt(slow["slope_square"])
    sizes = {"mean": phi, "square": phi**2, "slope": slope, "slope_square": slope**2, "cross": phi * slope}
    for field, expected in slow.items():
        size = sizes.get(field, slow["slope_fourth"])
        assert abs(float(found[field]) - expected) <= 2e-14 * size, field  # both sum some 1000 terms


@pytest.mark.parametrize("name", NAMES)
def test_two_point_averages_are_the_reference(name):
    phi = reference.ACTIVATIONS[name]
    for q1, q2, c in ((0.7, 1.9, 0.6), (1.2, 1.2, -0.97)):
        value, slope = reference.two_point(phi, q1, q2, c)
        sizes = [[reference.moments(phi, q)[f] for q in (q1, q2)] for f in ("square", "slope_square")]
        found = mf.covariance(name, q1, q2, c)
        assert abs(found[0] - value) <= 1e-14 * math.sqrt(math.prod(sizes[0]))
        assert abs(found[1] - slope) <= 1e-14 * math.sqrt(math.prod(sizes[1]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "hard_tanh", "elu"])
def test_fixed_points_are_the_reference(name):
    slow = reference.fixed_point(reference.ACTIVATIONS[name], 1.9, 0.1)
    found = mf.fixed_point(name, 1.9, 0.1)
    for field, expected in slow._asdict().items():
        assert float(found[field]) == pytest.approx(expected, abs=1e-11)


def test_critical_weight_variance_is_the_reference():
    slow = reference.critical_weight_variance(reference.ACTIVATIONS["erf"], 0.05, 1.1, 1.6)
    assert mf.critical_weight_variance("erf", 0.05) == pytest.approx(slow, abs=1e-11)


def test_propagation_is_the_reference():
    for skip in (None, 0.7):
        slow = reference.propagate(reference.ACTIVATIONS["erf"], 1.7, 0.2, 3, (0.6, 1.4), -0.3, skip)
        found = mf.propagate("erf", 1.7, 0.2, 3, (0.6, 1.4), -0.3, skip=skip)
        for layer, row in zip(found.transpose("layer", "input").layer, slow, strict=True):
            at = found.sel(layer=layer)
            wanted = [row[name] for name in ("q_a", "q_b", "q_ab", "qhat_a", "qhat_b", "qhat_ab")]
            got = [*at.q.values, float(at.covariance), *at.second_moment.values, float(at.second_moment_covariance)]
            np.testing.assert_allclose(got, wanted, rtol=1e-13)


def test_convolution_is_the_reference():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(3, 9))
    kernel = np.array([0.5, 0.3, 0.2])
    slow = reference.convolution(reference.ACTIVATIONS["tanh"], 1.8, 0.1, 2, images @ images.T / 9, kernel)
    found = mf.propagate_convolution("tanh", 1.8, 0.1, 2, images @ images.T / 9, kernel=kernel)
    np.testing.assert_allclose(found.covariance.values[-1], slow, rtol=1e-12)


# ---- reference values: spectra specification, section 2 (panel quadrature in an independent program)

TABLE = [
    ("tanh", 1.5, 0.05, 0.4180372005334778, 0.9386362681989, 0.5519832056635, 1.0, 0.9386362681989),
    ("tanh", 2.5, 0.1, 1.149093029163689, 1.099801098012166, 0.397589352363877, 0.664361346726944, 0.928398958281095),
    ("erf", 1.5, 0.1, 0.691100433825568, 0.984358725321934, 0.413213989923746, 1.0, 0.984358725321934),
    ("hard_tanh", 1.8, 0.1, 1.044358163691025, 1.2099401795061, 0.339249843123717, 0.601387249344309, 0.9002580326574),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sw2", "sb2", "q", "chi_1", "chi_q", "c", "chi_c"), TABLE)
def test_table_of_fixed_points(name, sw2, sb2, q, chi_1, chi_q, c, chi_c):
    point = mf.fixed_point(name, sw2, sb2)
    assert bool(point.converged) and float(point.residual) < 1e-13
    assert float(point.q) == pytest.approx(q, abs=1e-12)
    assert float(point.chi_1) == pytest.approx(chi_1, abs=1e-12)
    assert float(point.chi_q) == pytest.approx(chi_q, abs=1e-12)
    assert float(point.c) == pytest.approx(c, abs=1e-11)
    assert float(point.chi_c) == pytest.approx(chi_c, abs=1e-11)
    assert float(point.xi_c) == pytest.approx(-1 / math.log(chi_c), rel=1e-9)
    assert float(point.xi_q) == pytest.approx(-1 / math.log(chi_q), rel=1e-11)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("tanh", 1.4242052904886, 1.9860726411359),
        ("erf", 1.1142800634038, 1.5521178553337),
        ("hard_tanh", 1.0520612094113, 1.2634059323861),
    ],
)
def test_table_of_critical_weight_variances(name, first, second):
    np.testing.assert_allclose(mf.critical_weight_variance(name, [0.01, 0.1]), [first, second], rtol=0, atol=1e-10)


def test_table_of_propagation():
    signals = mf.propagate("tanh", 2.25, 0.09, 4, q0=1.0, c0=0.5)
    assert float(signals.q[-1, 0]) == pytest.approx(1.01315, abs=5e-6)
    assert float(signals.covariance[-1]) == pytest.approx(0.53590, abs=5e-6)
    residual = mf.propagate("tanh", 1.5, 0.1, 8, skip=1.0)
    assert float(residual.second_moment[-1, 0]) == pytest.approx(6.0688, abs=5e-5)


# ---- exact cases


def exact_two_point(name, q1, q2, c):
    """E phi phi and E phi' phi' with 30 digits, for functions with corners: orthant-type integrals by mpmath."""
    mp = mpmath.mp.clone()
    mp.dps = 30
    q1, q2, c = mp.mpf(q1), mp.mpf(q2), mp.mpf(c)
    s = mp.sqrt((1 - c) * (1 + c))
    cut = {"hard_tanh": [(-1, 0, 1), (1, 1, -1)], "relu": [(0, 0, 1)]}[name]
    # phi = sum over corners k of +-(u - k)_+ plus a constant: E (m + d z - k)_+ is closed, one integral is left.
    constant = {"hard_tanh": -1, "relu": 0}[name]

    def mean_plus(m, d):  # E (m + d z)_+
        return m * mp.ncdf(m / d) + d * mp.npdf(m / d)

    def inner(z):
        m, d = mp.sqrt(q2) * c * z, mp.sqrt(q2) * s
        value = constant + mp.fsum(sign * mean_plus(m - k, d) for k, _, sign in cut)
        return value, mp.fsum(sign * mp.ncdf((m - k) / d) for k, _, sign in cut)

    def phi(u):
        return min(max(u, -1), 1) if name == "hard_tanh" else max(u, 0)

    def slope(u):
        return 1 if (abs(u) < 1 if name == "hard_tanh" else u > 0) else 0

    corners = [k / mp.sqrt(q1) for k, *_ in cut] + [k / (c * mp.sqrt(q2)) for k, *_ in cut]
    near = [x + w * side for x in corners for w in (s * mp.mpf(4) ** n for n in range(0, 12)) for side in (-1, 1)]
    breaks = sorted(x for x in {*corners, *near, mp.mpf(-14), mp.mpf(14)} if abs(x) <= 14)
    value = mp.quad(lambda z: mp.npdf(z) * phi(mp.sqrt(q1) * z) * inner(z)[0], breaks, maxdegree=4)
    slopes = mp.quad(lambda z: mp.npdf(z) * slope(mp.sqrt(q1) * z) * inner(z)[1], breaks, maxdegree=4)
    return float(value), float(slopes)


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(
    ("q1", "q2", "c"),
    [
        pytest.param(1.0, 1.0, 0.999999, marks=pytest.mark.slow),
        (1.0, 2.0, 0.9999),
        pytest.param(0.8, 2.5, 0.999999, marks=pytest.mark.slow),
        pytest.param(1.3, 0.6, 0.99, marks=pytest.mark.slow),
        pytest.param(4.0, 0.3, -0.9999, marks=pytest.mark.slow),
    ],
)
def test_corners_next_to_full_correlation(q1, q2, c):
    value, slope = exact_two_point("hard_tanh", q1, q2, c)
    found = mf.covariance("hard_tanh", q1, q2, c)
    square = math.prod(float(mf.gaussian_moments("hard_tanh", q).square) for q in (q1, q2))
    assert abs(found[0] - value) <= 1e-14 * math.sqrt(square)
    assert abs(found[1] - slope) <= 1e-14


def test_exact_values_of_relu_by_mpmath():
    # the program of the test itself, and the closed form
    value, slope = exact_two_point("relu", 1.5, 0.7, 0.999)
    found = mf.covariance("relu", 1.5, 0.7, 0.999)
    np.testing.assert_allclose(found, [value, slope], rtol=1e-14)


@settings(max_examples=40)
@given(st.sampled_from(["relu", "erf", "linear", "sin"]), st.floats(0.01, 20), st.floats(0.01, 20), st.floats(-1, 1))
def test_closed_forms(name, q1, q2, c):
    product = math.sqrt(q1 * q2)
    q12 = c * product
    if name == "relu":
        theta = math.acos(c)
        exact = product * (math.sin(theta) + (math.pi - theta) * c) / (2 * math.pi), (math.pi - theta) / (2 * math.pi)
    elif name == "erf":
        n = (1 + 2 * q1) * (1 + 2 * q2)
        exact = 2 / math.pi * math.asin(2 * q12 / math.sqrt(n)), 4 / math.pi / math.sqrt(n - 4 * q12**2)
    elif name == "linear":
        exact = q12, 1.0
    else:
        plus, minus = math.exp(-(q1 + q2) / 2 + q12) / 2, math.exp(-(q1 + q2) / 2 - q12) / 2
        exact = plus - minus, plus + minus
    # the same through dressing, which takes the general road for sin only
    phi = mf.activation(name).rescaled(out_scale=-2.0, in_scale=0.5)
    found, dressed = mf.covariance(name, q1, q2, c), mf.covariance(phi, 4 * q1, 4 * q2, c)
    size = [max(abs(exact[0]), product if name in ("relu", "linear") else 1.0), max(1.0, abs(exact[1]))]
    for got, factor in ((found, (1, 1)), (dressed, (4, 1))):
        for i in (0, 1):
            assert (
                abs(got[i] - factor[i] * exact[i]) <= 4e-13 * size[i]
            )  # acos(c) of the exact value is ill-conditioned


def test_quadrature_and_series_agree():
    for name in ["tanh", "softplus", "swish", "hard_tanh", "elu", "softsign"]:
        phi = mf.activation(name).normalised()
        c = np.array([-0.9, -0.2, 0.3, 0.97, 0.9999])
        q1, q2 = np.full(5, 0.8), np.full(5, 2.2)
        series = _core.meanfield_two_point(phi._core, q1, q2, c)
        quadrature = _core.meanfield_two_point(phi._core, q1, q2, c, quadrature=True)
        for field in ("value", "slope", "gap"):
            np.testing.assert_allclose(series[field], quadrature[field], rtol=0, atol=3e-14)


@pytest.mark.parametrize("name", ["tanh", "hard_tanh", "erf", "relu"])
def test_gap_keeps_its_digits(name):
    # E (phi(u1) - phi(u2))^2 / 2 -> q (1 - c) E phi'^2 at c -> 1, relative error of order sqrt(1 - c) with corners
    core = mf.activation(name)._core
    for apart in (1e-6, 1e-9, 1e-12):
        c = 1.0 - apart
        gap = float(_core.meanfield_two_point(core, np.array([0.9]), np.array([0.9]), np.array([c]))["gap"][0])
        slope = float(mf.gaussian_moments(name, 0.9).slope_square)
        assert gap / (0.9 * (1.0 - c) * slope) == pytest.approx(1.0, abs=3 * math.sqrt(apart))


def test_chi_1_is_the_slope_of_the_map_of_c():
    # a one-sided difference: a centred one gives half the slope, for c cannot exceed 1
    for name in ("tanh", "hard_tanh", "gelu"):
        point = mf.fixed_point(name, 1.3, 0.2)
        step = mf.correlation_map(name, 1.3, 0.2, 1.0 - np.array([1e-6, 2e-6, 4e-6]))
        slopes = (1.0 - step.image.values) / np.array([1e-6, 2e-6, 4e-6])
        assert slopes[0] == pytest.approx(float(point.chi_1), abs=3e-3)
        at_1 = mf.correlation_map(name, 1.3, 0.2, 1.0)
        assert float(at_1.slope) == pytest.approx(float(point.chi_1), rel=1e-12)
        assert float(at_1.image) == pytest.approx(1.0, abs=1e-14)


def test_chi_q_is_the_slope_of_the_map_of_q():
    for name in ("tanh", "hard_tanh", "relu", "selu"):
        q, h = 0.8, 1e-4
        square = mf.gaussian_moments(name, [q - 2 * h, q - h, q + h, q + 2 * h]).square.values
        slope = (square[0] - 8 * square[1] + 8 * square[2] - square[3]) / (12 * h)
        moments = mf.gaussian_moments(name, q)
        assert float(moments.cross) / math.sqrt(q) == pytest.approx(slope, abs=1e-10)


def test_relu_and_linear_by_hand():
    point = mf.fixed_point("relu", [0.5, 1.5, 1.999], 0.3)
    np.testing.assert_allclose(point.q, 0.3 / (1 - point.weight_variance / 2), rtol=1e-12)
    np.testing.assert_allclose(point.chi_1, point.weight_variance / 2, rtol=1e-14)
    assert (point.c == 1).all() and point.q.dims == ("weight_variance",)
    assert mf.critical_weight_variance("relu", 0.0) == pytest.approx(2.0, rel=1e-14)
    marginal = mf.fixed_point("relu", 2.0, 0.0, q0=0.7)
    assert float(marginal.q) == pytest.approx(0.7, rel=1e-14) and float(marginal.xi_c) == math.inf
    linear = mf.fixed_point("linear", 0.5, 0.1)
    assert float(linear.q) == pytest.approx(0.2, rel=1e-14) and float(linear.chi_c) == pytest.approx(0.5, rel=1e-14)


def test_vanishing_variance():
    point = mf.fixed_point("tanh", [0.0, 0.8, 1.0], 0.0)
    np.testing.assert_array_equal(point.q, [0, 0, 0])
    np.testing.assert_allclose(point.chi_1, [0, 0.8, 1.0], atol=1e-15)
    np.testing.assert_allclose(point.chi_q, [0, 0.8, 1.0], atol=1e-15)
    assert mf.critical_weight_variance("tanh", 0.0) == pytest.approx(1.0, rel=1e-14)
    assert mf.critical_weight_variance("erf", 0.0) == pytest.approx(math.pi / 4, rel=1e-14)
    # subnormal numbers have few digits: these have ten
    np.testing.assert_allclose(mf.fixed_point("tanh", [0.0, 0.5, 0.9], 1e-313).q, [1e-313, 2e-313, 1e-312], rtol=1e-9)
    # just above: q* = (w - 1)/2 + O((w - 1)^2) for tanh
    above = mf.fixed_point("tanh", 1 + 1e-6, 0.0)
    assert float(above.q) == pytest.approx(0.5e-6, rel=1e-4) and float(above.c) == 0.0


def test_next_to_criticality():
    critical = mf.critical_weight_variance("tanh", 0.05)
    excess = np.array([1e-3, 1e-5, 1e-7])
    point = mf.fixed_point("tanh", critical * (1 + excess), 0.05)
    apart = 1.0 - point.c.values
    ratio = apart / (point.chi_1.values - 1.0)
    assert ratio[2] == pytest.approx(ratio[1], rel=1e-3) and (ratio > 0.1).all()  # 1 - c* is linear in chi_1 - 1
    at = mf.fixed_point("tanh", critical, 0.05)
    assert abs(float(at.chi_1) - 1.0) < 1e-12
    assert float(mf.fixed_point("hard_tanh", 1.0520612094113 + 1e-5, 0.01).c) < 1.0


def test_gradients_of_a_linear_network():
    gradients = mf.gradient_norms("linear", 1.3, 0.0, depth=5, q0=(1.0, 2.0), c0=0.4)
    powers = 1.3 ** np.arange(4, -1, -1.0)
    np.testing.assert_allclose(gradients.gradient_norm, np.column_stack([powers, powers]), rtol=1e-14)
    np.testing.assert_allclose(gradients.gradient_overlap, powers, rtol=1e-14)
    np.testing.assert_allclose(gradients.weight_gradient, 1.3**4 * np.outer(np.ones(5), [1, 2]), rtol=1e-13)
    np.testing.assert_allclose(gradients.weight_gradient_overlap, 1.3**4 * 0.4 * math.sqrt(2), rtol=1e-13)


def test_fisher_sums_of_the_specification():
    # kappa_1 and kappa_2 of section 6: relu L = 3, (2, .1) and tanh L = 5, (3, .64), orthogonal inputs
    for name, depth, sw2, sb2, kappas in (
        ("relu", 3, 2.0, 0.1, (1.575, 0.401494217255150)),
        ("tanh", 5, 3.0, 0.64, (0.736307822918196, 0.148413592766390)),
    ):
        gradients = mf.gradient_norms(name, sw2, sb2, depth)
        assert float(gradients.weight_gradient[:, 0].sum()) / (depth - 1) == pytest.approx(kappas[0], rel=1e-12)
        assert float(gradients.weight_gradient_overlap.sum()) / (depth - 1) == pytest.approx(kappas[1], rel=1e-12)


def test_delta_kernel_is_the_dense_network():
    image = np.array([[1.0, 0.3, -0.2], [0.3, 0.5, 0.1], [-0.2, 0.1, 2.0]])
    layers = mf.propagate_convolution("hard_tanh", 1.5, 0.1, 4, image, kernel="delta")
    dense = mf.propagate("hard_tanh", 1.5, 0.1, 4, (1.0, 2.0), -0.2 / math.sqrt(2))
    np.testing.assert_allclose(layers.covariance[:, 0, 2], dense.covariance, rtol=1e-13)
    np.testing.assert_allclose(layers.covariance[:, 2, 2], dense.q[:, 1], rtol=1e-13)


def test_modes_of_a_convolution():
    n, sw2, sb2 = 8, 2.5, 0.1
    modes = mf.convolution_modes("tanh", sw2, sb2, n)
    fixed = mf.fixed_point("tanh", sw2, sb2)
    q, c = float(fixed.q), float(fixed.c)
    k = 2 * np.pi * np.arange(n) / n
    # the fixed point in terms of inputs: E phi phi = (q c - sb2) / sw2; a wave of covariances two apart
    uniform = (q * (c + (1 - c) * np.eye(n)) - sb2) / sw2
    wave = np.zeros((n, n))
    for p in range(n):
        wave[p, (p + 2) % n] = wave[(p + 2) % n, p] = 1e-6 * np.cos(k[1] * p)
    layers = mf.propagate_convolution("tanh", sw2, sb2, 3, uniform + wave)
    deviation = [
        np.abs(np.array([s[p, (p + 2) % n] for p in range(n)]) - q * c).max() for s in layers.covariance.values
    ]
    np.testing.assert_allclose(np.array(deviation[1:]) / deviation[:-1], modes.factor.values[1], rtol=1e-4)
    assert (mf.convolution_modes("tanh", sw2, sb2, n, kernel="delta").kernel_factor == 1).all()


# ---- callables


def test_callable_is_the_built_in():
    phi = mf.activation(np.tanh, derivative=lambda u: 1 - np.tanh(u) ** 2)
    assert phi.name == "tanh" and phi.kinks == ()
    mine, theirs = mf.fixed_point(phi, 2.5, 0.1), mf.fixed_point("tanh", 2.5, 0.1)
    for field in ("q", "c", "chi_1", "chi_c", "chi_q"):
        assert float(mine[field]) == pytest.approx(float(theirs[field]), abs=1e-13)


def test_kinks_are_found():
    named = mf.activation(lambda u: np.clip(u, -1, 1), derivative=lambda u: (np.abs(u) < 1) * 1.0, kinks=[-1, 1])
    found = mf.activation(lambda u: np.clip(u, -1, 1), derivative=lambda u: (np.abs(u) < 1) * 1.0)
    shifted = mf.activation(lambda u: np.abs(u - 0.3), derivative=lambda u: np.sign(u - 0.3))
    np.testing.assert_allclose(named.kinks, mf.activation("hard_tanh").kinks)
    np.testing.assert_allclose(found.kinks, [-1, 1], atol=1e-11)
    np.testing.assert_allclose(shifted.kinks, [0.3], atol=1e-11)
    assert float(mf.gaussian_moments(shifted, 1.0).square) == pytest.approx(1.09, rel=1e-13)
    exact = mf.covariance("hard_tanh", 1.0, 2.0, [0.2, 0.99999])
    for phi in (named, found):
        np.testing.assert_allclose(mf.covariance(phi, 1.0, 2.0, [0.2, 0.99999]), exact, rtol=0, atol=2e-13)


def test_narrow_features_are_resolved():
    phi = mf.activation(lambda u: np.tanh(40 * (u - 2)), derivative=lambda u: 40 * (1 - np.tanh(40 * (u - 2)) ** 2))
    z = np.linspace(-13, 13, 400_001)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (26 / 400_000)
    expected = float(weight @ (40 / np.cosh(np.clip(40 * (z - 2), -300, 300)) ** 2) ** 2)
    assert float(mf.gaussian_moments(phi, 1.0).slope_square) == pytest.approx(expected, rel=1e-12)


def test_normalised():
    for name in NAMES:
        moments = mf.gaussian_moments(mf.activation(name).normalised(), 1.0)
        assert abs(float(moments["mean"])) < 1e-15 and float(moments.square) == pytest.approx(1.0, rel=1e-14)
    tanh = mf.activation("tanh").normalised()  # section 5 of the specification: b^2 = .93047, a = 1.17781
    moments = mf.gaussian_moments(tanh, 1.0)
    assert float(moments.slope) ** 2 == pytest.approx(0.93047, abs=5e-6)
    assert float(moments.slope_square) == pytest.approx(1.17781, abs=5e-6)
    assert tanh(0.5) == pytest.approx(math.tanh(0.5) / math.sqrt(0.39429449039784126), rel=1e-14)
    again = pickle.loads(pickle.dumps(tanh))
    assert again.name == "normalised tanh" and again(0.5) == tanh(0.5)


def test_bad_callables():
    def fails(u):
        raise RuntimeError("no value today")

    ones = np.ones_like
    with pytest.raises(ValueError, match=r"derivative must be given with a callable activation"):
        mf.activation(np.tanh)
    with pytest.raises(ValueError, match=r"derivative must be given"):
        mf.fixed_point(np.tanh, 1.0, 0.1)
    with pytest.raises(ValueError, match=r"derivative must be that of the activation.*E z phi"):
        mf.activation(np.tanh, derivative=np.cos)
    with pytest.raises(ValueError, match=r"which must not jump"):
        mf.activation(np.sign, derivative=np.zeros_like, kinks=[0.0])
    with pytest.raises(ValueError, match=r"activation must be finite, got -?inf at u"), np.errstate(all="ignore"):
        mf.activation(lambda u: 1 / np.where(np.abs(u) < 50, u * 0, 1), derivative=ones)
    with pytest.raises(ValueError, match=r"must be finite, got derivative nan"):
        mf.activation(np.sin, derivative=lambda u: u * np.nan)
    with pytest.raises(ValueError, match=r"activation must give an array of the shape of its argument.*got \(1,\)"):
        mf.activation(lambda u: u[:1], derivative=ones)
    with pytest.raises(RuntimeError, match="no value today"):
        mf.activation(fails, derivative=ones)
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="too rough"):
        mf.activation(lambda u: rng.normal(size=u.shape), derivative=ones)
    with pytest.raises(ValueError, match="constant cannot be normalised"):
        mf.activation(lambda u: 0 * u + 3, derivative=lambda u: 0 * u, name="constant").normalised()


def test_exceptions_of_a_callable_come_through_all_threads():
    calls = []

    def later(u):
        calls.append(u.size)
        if len(calls) > 60:
            raise KeyError("later")
        return np.tanh(u)

    phi = mf.activation(later, derivative=lambda u: 1 / np.cosh(u) ** 2)
    with pytest.raises(KeyError, match="later"):
        mf.phase_diagram(phi, np.linspace(0.5, 3, 20), np.linspace(0.1, 1, 20), threads=2)


# ---- invariants


@settings(max_examples=40)
@given(st.sampled_from(BOUNDED), st.floats(0.0, 4.0), st.floats(0.0, 1.0))
def test_fixed_point_is_one(name, sw2, sb2):
    point = mf.fixed_point(name, sw2, sb2)
    assert bool(point.converged)
    q, c = float(point.q), float(point.c)
    moments = mf.gaussian_moments(name, q)
    assert abs(sw2 * float(moments.square) + sb2 - q) <= 4e-15 * max(q, 1e-300)
    assert 0.0 <= c <= 1.0 and float(point.chi_q) <= 1.0 + 1e-12 and float(point.chi_c) <= max(1.0, float(point.chi_1))
    if c < 1.0:
        assert float(point.chi_1) > 1.0 and float(point.chi_c) < 1.0
        value, _ = mf.covariance(name, q, q, c)
        assert (sw2 * float(value) + sb2) / q == pytest.approx(c, abs=1e-13)
    elif q > 0:
        assert float(point.chi_1) <= 1.0 + 1e-12
    # iteration from q0 = 1 goes there
    signals = mf.propagate(name, sw2, sb2, depth=60, q0=1.0, c0=0.3)
    if float(point.xi_q) < 1.5:
        assert float(signals.q[-1, 0]) == pytest.approx(q, rel=1e-12, abs=1e-12)


@settings(max_examples=40)
@given(st.sampled_from(NAMES), st.floats(0.01, 5), st.floats(0.01, 5), st.floats(-0.99, 0.99))
def test_two_point_averages_are_symmetric_and_bounded(name, q1, q2, c):
    value, slope = mf.covariance(name, q1, q2, c)
    again = mf.covariance(name, q2, q1, c)
    np.testing.assert_allclose([value, slope], again, rtol=1e-12, atol=1e-14)
    bound = math.prod(float(mf.gaussian_moments(name, q).square) for q in (q1, q2))
    assert abs(value) <= math.sqrt(bound) * (1 + 1e-13)


@settings(max_examples=20)
@given(st.sampled_from(["tanh", "hard_tanh", "swish"]), st.floats(0.1, 4), st.floats(0.1, 4), st.floats(-0.9, 0.9))
def test_price_theorem(name, q1, q2, c):
    # d/dq12 E phi phi = E phi' phi'
    h, scale = 1e-3, math.sqrt(q1 * q2)
    value, _ = mf.covariance(name, q1, q2, np.array([c - 2 * h, c - h, c + h, c + 2 * h]))
    difference = (value[0] - 8 * value[1] + 8 * value[2] - value[3]) / (12 * h * scale)
    _, slope = mf.covariance(name, q1, q2, c)
    assert float(slope) == pytest.approx(difference, abs=1e-7)  # h^4 times the fifth derivative


def test_monotone_phase_diagram():
    diagram = mf.phase_diagram("tanh", np.linspace(0.1, 4, 25), np.linspace(0.001, 1, 20))
    assert (diagram.q.diff("weight_variance") > 0).all() and (diagram.q.diff("bias_variance") > 0).all()
    assert (diagram.chi_1.diff("weight_variance") > 0).all()
    chaotic = diagram.weight_variance > diagram.critical_weight_variance
    np.testing.assert_array_equal(chaotic, (diagram.chi_1 > 1).transpose(*chaotic.dims))
    np.testing.assert_array_equal(diagram.c < 1, diagram.chi_1 > 1)
    assert bool(diagram.converged.all())


# ---- the recurrent network


def test_recurrent_variance_is_the_reference():
    found = mf.recurrent_network("tanh", 2.25, 0.0, [0.0], lyapunov=False)
    slow = reference.recurrent_variance(lambda u: np.logaddexp(u, -u) - math.log(2), 2.25, float(found.layered_q))
    assert float(found.variance) == pytest.approx(slow, abs=1e-11)
    assert float(found.autocorrelation[0]) == pytest.approx(slow, abs=1e-11)
    assert float(found.variance) < float(found.layered_q)


@pytest.mark.parametrize(("name", "sb2"), [("tanh", 0.0), ("hard_tanh", 0.1), ("erf", 0.05)])
def test_autocorrelation_solves_its_equation(name, sb2):
    tau = np.linspace(0, 20, 2001)
    c = mf.recurrent_network(name, 2.5, sb2, tau, lyapunov=False).autocorrelation.values
    h = tau[1]
    second = (-c[4:] + 16 * c[3:-1] - 30 * c[2:-2] + 16 * c[1:-3] - c[:-4]) / (12 * h**2)
    pick = slice(10, -10, 40)
    value, _ = mf.covariance(name, c[0], c[0], c[2:-2][pick] / c[0])
    np.testing.assert_allclose(second[pick], c[2:-2][pick] - 2.5 * value - sb2, atol=2e-8)  # h^4 / 90 c^(6)


def test_onset_of_chaos():
    # Sompolinsky, Crisanti, Sommers: C(0) -> g - 1, decay rate -> (g - 1)/sqrt(3), lambda -> (g - 1)^2 / 2
    errors = []
    for distance in (0.04, 0.02, 0.01):
        state = mf.recurrent_network("tanh", (1 + distance) ** 2, 0.0, [0.0])
        found = np.array([state.variance, state.decay_rate * math.sqrt(3), state.lyapunov_exponent * 2 / distance])
        errors.append(np.abs(found / distance - 1))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (errors[-1] < 0.04).all() and (rates > 0.85).all() and (rates[1] > rates[0]).all()  # to first order


def test_silent_recurrent_network():
    state = mf.recurrent_network("tanh", 0.81, 0.0, [0.0, 1.0])
    assert float(state.variance) == 0.0 and float(state.lyapunov_exponent) == pytest.approx(-0.1, abs=1e-12)


# ---- simulation: 5 standard errors from repeated draws


def simulate(phi, sw2, sb2, depth, width, draws, seed, skip=None):
    """Mean over the units of u_a^2, u_a u_b and x_a^2 at the last layer; x^0 of norms 1 and product 0.5."""
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(draws):
        first, second = rng.normal(size=(2, width))
        first *= math.sqrt(width) / np.linalg.norm(first)
        second -= (first @ second) / width * first
        second *= math.sqrt(width) / np.linalg.norm(second)
        x = np.stack([first, 0.5 * first + math.sqrt(0.75) * second])
        for _ in range(depth):
            u = x @ (rng.normal(size=(width, width)) * math.sqrt(sw2 / width)) + math.sqrt(sb2) * rng.normal(size=width)
            x = phi(u) if skip is None else x + skip * phi(u)
        results.append([np.mean(u[0] ** 2), np.mean(u[0] * u[1]), np.mean(x[0] ** 2)])
    values = np.array(results)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(draws)


@pytest.mark.parametrize(
    ("name", "sw2", "sb2", "depth", "skip"),
    [
        ("tanh", 2.25, 0.09, 4, None),
        ("hard_tanh", 1.8, 0.1, 4, None),
        ("tanh", 1.5, 0.1, 6, 1.0),
        ("relu", 1.5, 0.1, 5, 0.5),
    ],
)
def test_networks_of_finite_width(name, sw2, sb2, depth, skip):
    mean, error = simulate(reference.ACTIVATIONS[name].value, sw2, sb2, depth, 300, 60, 7, skip)
    theory = mf.propagate(name, sw2, sb2, depth, 1.0, 0.5, skip=skip).isel(layer=-1)
    expected = [float(theory.q[0]), float(theory.covariance), float(theory.second_moment[0])]
    # the mean over 60 networks of width 300 is off by O(1 / width), below its error
    assert (np.abs(mean - expected) < 5 * error).all()
    assert (error < 0.05 * np.abs(expected)).all()


@pytest.mark.slow
def test_mean_of_a_residual_network_by_two_widths():
    # the O(1/width) difference is extrapolated away
    means, errors = zip(*(simulate(np.tanh, 1.5, 0.1, 8, width, 200, 3, 1.0) for width in (150, 300)), strict=True)
    limit, error = 2 * means[1] - means[0], np.hypot(2 * errors[1], errors[0])
    theory = mf.propagate("tanh", 1.5, 0.1, 8, 1.0, 0.5, skip=1.0).isel(layer=-1)
    assert (
        np.abs(limit - [float(theory.q[0]), float(theory.covariance), float(theory.second_moment[0])]) < 5 * error
    ).all()


def test_gradients_of_finite_networks():
    rng, width, depth, sw2, sb2 = np.random.default_rng(5), 300, 4, 2.25, 0.09
    samples = []
    for _ in range(60):
        x = rng.normal(size=width)
        x *= math.sqrt(width) / np.linalg.norm(x)
        weights, slopes = [], []
        for layer in range(depth):
            w = rng.normal(size=(width if layer < depth - 1 else 1, width)) * math.sqrt(sw2 / width)
            u = w @ x + math.sqrt(sb2) * rng.normal(size=len(w))
            weights.append(w)
            slopes.append(1 / np.cosh(u) ** 2)
            x = np.tanh(u)
        delta, norms = np.ones(1), [1.0]
        for w, slope in zip(weights[:0:-1], slopes[-2::-1], strict=True):
            delta = slope * (w.T @ delta)
            norms.append(delta @ delta)
        samples.append(norms[::-1])
    values = np.array(samples)
    theory = mf.gradient_norms("tanh", sw2, sb2, depth).gradient_norm.values[:, 0]
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - theory)[:-1] < 5 * error[:-1]).all() and theory[-1] == 1.0


def test_convolution_of_finite_width():
    rng, n, channels, sw2, sb2, depth = np.random.default_rng(3), 6, 200, 1.8, 0.1, 3
    image = rng.normal(size=(4, n))
    samples = []
    for _ in range(40):
        x = image
        for _ in range(depth):
            u = math.sqrt(sb2) * rng.normal(size=(channels, 1)) * np.ones(n)
            for b in (-1, 0, 1):
                w = rng.normal(size=(channels, len(x))) * math.sqrt(sw2 / 3 / len(x))
                u = u + w @ np.roll(x, -b, axis=1)
            x = np.tanh(u)
        samples.append(u.T @ u / channels)
    values = np.array(samples)
    theory = mf.propagate_convolution("tanh", sw2, sb2, depth, image.T @ image / 4).covariance.values[-1]
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - theory) < 5 * error).all()


# ---- threads, interrupt


@pytest.mark.parametrize("name", ["tanh", "hard_tanh"])
def test_threads_change_nothing(name):
    weight, bias = np.linspace(0.2, 3, 14), np.linspace(0, 0.5, 9)
    one, two, three = (mf.phase_diagram(name, weight, bias, threads=t) for t in (1, 2, 3))
    assert one.equals(two) and one.equals(three)
    c = np.linspace(-1, 1, 101)
    np.testing.assert_array_equal(*(mf.covariance(name, 1.0, 2.0, c, threads=t)[0] for t in (1, 3)))
    image = np.eye(5) + 0.2
    first, second = (mf.propagate_convolution(name, 1.5, 0.1, 3, image, threads=t) for t in (1, 3))
    assert first.equals(second)


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt(threads, ctrl_c_latency):
    weight, bias = np.linspace(0.5, 4, 400), np.linspace(0.01, 1, 400)  # some seconds at least
    assert ctrl_c_latency(lambda: mf.phase_diagram("hard_tanh", weight, bias, threads=threads)) < 0.1


# ---- bad input

BAD = [
    (lambda: mf.activation("tanhh"), r"activation must be one of 'linear', .*got 'tanhh'"),
    (lambda: mf.activation(3), r"activation must be a name, a callable or an Activation, got 3"),
    (lambda: mf.activation("tanh", kinks=[1]), r"kinks must not be given with tanh"),
    (lambda: mf.activation("tanh", alpha=1.0), r"alpha must not be given with tanh"),
    (lambda: mf.activation("elu", alpha=math.nan), r"alpha must be a finite number, got nan"),
    (lambda: mf.activation("tanh").rescaled(in_scale=0.0), r"in_scale must be a finite number other than 0"),
    (lambda: mf.fixed_point("tanh", -1.0, 0.1), r"weight_variance must be a finite number >= 0, got -1.0"),
    (lambda: mf.fixed_point("tanh", 1.0, math.inf), r"bias_variance must be a finite number >= 0, got inf"),
    (lambda: mf.fixed_point("tanh", "1", 0.1), r"weight_variance must be a finite number >= 0, or an array"),
    (lambda: mf.fixed_point("tanh", [1.0, 2.0], [0.1]), r"must have the same shape, got \(2,\) and \(1,\)"),
    (lambda: mf.fixed_point("tanh", [], 0.1), r"weight_variance must not be empty"),
    (lambda: mf.fixed_point("tanh", 1.0, 0.1, q0=0.0), r"q0 must be a finite number > 0, got 0.0"),
    (lambda: mf.fixed_point("tanh", 1.0, 0.1, threads=-1), r"threads must be an integer from 0"),
    (lambda: mf.fixed_point("relu", 2.0, 0.1), r"no fixed point of relu at weight_variance 2, bias_variance 0.1"),
    (lambda: mf.fixed_point("linear", [0.5, 1.5], 0.1), r"no fixed point of linear at weight_variance 1.5"),
    (lambda: mf.fixed_point("softplus", 2.5, 0.0), r"no fixed point of softplus"),
    (lambda: mf.critical_weight_variance("relu", 0.1), r"relu has no critical weight variance at bias_variance 0.1"),
    (lambda: mf.critical_weight_variance("tanh", -0.1), r"bias_variance must be 0 or a finite number >= 1e-18"),
    (lambda: mf.propagate("tanh", 1.0, 0.1, 0), r"depth must be an integer from 1 .*, got 0"),
    (lambda: mf.propagate("tanh", 1.0, 0.1, 2, q0=-1.0), r"q0 must be finite and >= 0, got -1.0"),
    (lambda: mf.propagate("tanh", 1.0, 0.1, 2, c0=1.5), r"c0 must be a number from -1 to 1, got 1.5"),
    (lambda: mf.propagate("tanh", 1.0, 0.1, 2, input_mean=2.0), r"input_mean must be at most sqrt\(q0\)"),
    (lambda: mf.propagate("tanh", 1.0, 0.1, 2, skip=math.nan), r"skip must be None or a finite number"),
    (lambda: mf.gaussian_moments("tanh", -1.0), r"variance must be a finite number >= 0"),
    (lambda: mf.gaussian_moments("sin", 1e12), r"variance is too large for an activation that oscillates"),
    (lambda: mf.covariance("tanh", 1.0, 1.0, 1.1), r"correlation must be a number from -1 to 1, got 1.1"),
    (lambda: mf.correlation_map("tanh", 0.5, 0.0, 0.5), r"q must be given here"),
    (lambda: mf.propagate_convolution("tanh", 1, 0.1, 2, np.ones((2, 3))), r"covariance must have shape"),
    (lambda: mf.propagate_convolution("tanh", 1, 0.1, 2, [[1, 2], [2, 1]]), r"must be positive semidefinite"),
    (lambda: mf.propagate_convolution("tanh", 1, 0.1, 2, [[1, 0.5], [0.1, 1]]), r"must be symmetric"),
    (lambda: mf.convolution_modes("tanh", 1, 0.1, 8, kernel=[0.5, 0.2, 0.2]), r"kernel must have the sum 1"),
    (lambda: mf.convolution_modes("tanh", 1, 0.1, 8, kernel_size=2), r"kernel_size must be odd, got 2"),
    (lambda: mf.recurrent_network("tanh", 2.0, 0.0, [1.0, 0.5]), r"times must increase"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_runaway_is_an_arithmetic_error():
    with pytest.raises(dg.NumericalError, match="too large for a double at layer"):
        mf.propagate("linear", 1e10, 0.0, 100)


def test_missing_points_of_a_diagram():
    diagram = mf.phase_diagram("relu", [1.0, 2.5], [0.0, 0.1])
    np.testing.assert_array_equal(diagram.exists, [[True, False], [True, False]])
    assert np.isnan(diagram.q.values[:, 1]).all() and np.isnan(diagram.critical_weight_variance.values[1])


@settings(max_examples=60)
@given(
    st.sampled_from(NAMES),
    st.one_of(st.floats(allow_nan=True), st.just(None), st.text(max_size=2)),
    st.floats(allow_nan=True),
)
def test_any_input_gives_a_fixed_point_or_says_why_not(name, sw2, sb2):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.ConvergenceWarning)
        try:
            point = mf.fixed_point(name, sw2, sb2)
        except ValueError as error:
            assert any(word in str(error) for word in ("variance", "no fixed point"))
        else:
            assert float(point.q) >= 0.0 and 0.0 <= float(point.c) <= 1.0


@pytest.mark.slow
def test_figures(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    reproduce = pytest.importorskip("deepglass.reproduce")
    written = reproduce.run("phase-diagram", output=tmp_path, quick=True)
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    scale = dg.load(tmp_path / "phase-diagram" / "depth_scale.nc")
    pulls = (scale.simulated - scale.expected) / scale.simulated_error
    assert (np.abs(pulls) < 5).all()
    table = (tmp_path / "phase-diagram" / "table.txt").read_text("utf-8")
    assert table.count("  yes  ") >= 3 and "  no  " not in table
