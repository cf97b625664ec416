"""Free probability: measures, free sums, products and powers."""

from __future__ import annotations

import warnings
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepglass import ConvergenceWarning, _core
from deepglass.reference import spectra as reference
from deepglass.spectra import (
    Atoms,
    FromDensity,
    FromEigenvalues,
    MarchenkoPastur,
    Measure,
    Semicircle,
    free_add,
    free_multiply,
    free_power,
)

Array = NDArray[np.float64]


def grid(mu: Measure, n: int = 400) -> Array:
    """Points of the support, none closer to an edge than 1e-5 of an interval."""
    part = 0.5 * (1 - np.cos(np.pi * (np.arange(n) + 0.5) / n))
    return np.concatenate([a + (b - a) * part for a, b in mu.support()])


TWO = Atoms([-1, 1], [0.5, 0.5])

# ---- Kernel = reference

CASES: dict[str, tuple[Measure, Any]] = {
    "semicircle + MP": (
        free_add(Semicircle(), MarchenkoPastur(0.5)),
        lambda z: reference.free_sum(reference.semicircle(1.0), reference.marchenko_pastur(0.5), z),
    ),
    "atoms + semicircle": (
        free_add(TWO, Semicircle(0.36)),
        lambda z: reference.free_sum(reference.atoms([-1, 1], [0.5, 0.5]), reference.semicircle(0.36), z),
    ),
    "MP x atoms": (
        free_multiply(MarchenkoPastur(0.5), Atoms([1, 3], [0.5, 0.5])),
        lambda z: reference.free_product(reference.marchenko_pastur(0.5), reference.atoms([1, 3], [0.5, 0.5]), z),
    ),
    "MP x MP with atoms at 0": (
        free_multiply(MarchenkoPastur(1.5), MarchenkoPastur(2.5)),
        lambda z: reference.free_product(reference.marchenko_pastur(1.5), reference.marchenko_pastur(2.5), z),
    ),
    "additive power": (
        free_power(TWO, 3.5),
        lambda z: reference.free_power_sum(reference.atoms([-1, 1], [0.5, 0.5]), 3.5, z),
    ),
    "multiplicative power": (
        free_power(Atoms([0, 1, 2], [0.2, 0.5, 0.3]), 2.5, "multiplicative"),
        lambda z: reference.free_power_product(reference.atoms([0, 1, 2], [0.2, 0.5, 0.3]), 2.5, z),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_reference(name: str) -> None:
    mu, twin = CASES[name]
    rng = np.random.default_rng(5)
    low, high = mu.support()[0, 0], mu.support()[-1, 1]
    z = rng.uniform(low - 1, high + 1, 30) + 1j * 10 ** rng.uniform(-2, 0.5, 30)
    z = np.concatenate([z, grid(mu, 20)])  # and on the axis
    expected = np.array([twin(complex(point)) for point in z])
    assert mu.cauchy(z) == pytest.approx(expected, rel=1e-11)  # the twin stops at 1e-15/(1 - rate)


# ---- Exact cases


def test_two_semicircles() -> None:
    mu = free_add(Semicircle(), Semicircle())
    x = np.linspace(-2.8, 2.8, 400)
    assert np.abs(mu.pdf(x) - np.sqrt(8 - x**2) / (4 * np.pi)).max() < 1e-15
    assert mu.support() == pytest.approx(np.array([[-np.sqrt(8), np.sqrt(8)]]), rel=1e-15)


@pytest.mark.parametrize(("g1", "g2"), [(0.5, 0.3), (0.9, 0.2), (1.5, 0.4), (1.0, 0.5), (3.0, 2.0)])
def test_two_marchenko_pastur(g1: float, g2: float) -> None:
    mu = free_multiply(MarchenkoPastur(g1), MarchenkoPastur(g2))
    x = grid(mu)
    expected = reference.marchenko_pastur_product_density(g1, g2, x)
    # The cubic loses half the digits near an edge, where two roots meet, and some for large x u at a small edge.
    inner = slice(20, -20)
    assert mu.pdf(x)[inner] == pytest.approx(expected[inner], rel=1e-11, abs=1e-12)
    # Edges: d/du (1 + u)(1 + g1 u)(1 + g2 u)/u = 0.
    cubic = np.polymul(np.polymul([1.0, 1.0], [g1, 1.0]), [g2, 1.0])
    u = np.roots(np.polysub(np.polymul(np.polyder(cubic), [1.0, 0.0]), cubic))
    u = np.sort(u[np.abs(u.imag) < 1e-7].real)
    edges = np.polyval(cubic, u) / u
    right = mu.support()[-1, 1]
    assert np.abs(edges - right).min() < 1e-12 * right
    if min(g1, g2) < 1 and max(g1, g2) != 1:
        left = mu.support()[0, 0]
        assert np.abs(edges - left).min() < 1e-12


def test_edges_of_the_specification() -> None:
    # Roots of (P/u)' = 0 at 30 digits.
    mu = free_multiply(MarchenkoPastur(0.5), MarchenkoPastur(0.3))
    assert mu.support()[0] == pytest.approx([0.0501476969188851, 3.887576077779963], rel=1e-13)
    mu = free_multiply(MarchenkoPastur(0.9), MarchenkoPastur(0.2))
    assert mu.support()[0] == pytest.approx([0.00207833648135954, 4.489196459954041], rel=1e-12)


@pytest.mark.parametrize(
    ("mu", "x", "density"),
    [
        (
            free_add(Semicircle(), MarchenkoPastur(0.5)),
            [-1, 0.5, 1, 2.5],
            [0.151030649204364, 0.267625717130295, 0.264102843477919, 0.182919063973601],
        ),
        (free_add(TWO, Semicircle(0.36)), [0.3, 0.8, 1.5], [0.111855231367971, 0.361286194134327, 0.331697801916049]),
        (
            free_multiply(MarchenkoPastur(0.5), MarchenkoPastur(0.3)),
            [0.2, 1, 2],
            [1.02511955218421, 0.326934101113812, 0.156527645221589],
        ),
        (
            free_multiply(MarchenkoPastur(0.5), Atoms([1, 3], [0.5, 0.5])),
            [1, 2, 4],
            [0.300105438719035, 0.150262939416188, 0.0877754045789357],
        ),
    ],
    ids=repr,
)
def test_densities_of_the_specification(mu: Measure, x: list[float], density: list[float]) -> None:
    assert mu.pdf(x) == pytest.approx(density, rel=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 4, 10])
def test_fuss_catalan(depth: int) -> None:
    # Products of Gaussian matrices: moments binom((L + 1) k, k)/(L k + 1), edge (L + 1)^(L + 1)/L^L.
    mu = free_power(MarchenkoPastur(1), depth, "multiplicative")
    assert mu.support()[0] == pytest.approx([0, (depth + 1) ** (depth + 1) / depth**depth], rel=1e-14)
    assert abs(mu.mass_error) < 1e-11
    for k in (1, 2, 3):
        assert mu.moment(k) == pytest.approx(comb((depth + 1) * k, k) / (depth * k + 1), rel=1e-11)
    # Leading term at 0 (Penson and Zyczkowski 2011): sin(pi/(L + 1)) / (pi x^(L/(L + 1))).
    x = 1e-135
    assert mu.pdf(x) == pytest.approx(np.sin(np.pi / (depth + 1)) / np.pi / x ** (depth / (depth + 1)), rel=1e-12)


def test_free_projections() -> None:
    # Two free projections of trace 0.8: atoms 1 and the density of the free Bernoulli sum (arcsine for trace 1/2).
    half = Atoms([0, 1], [0.5, 0.5])
    mu = free_add(half, half)
    x = np.linspace(0.1, 1.9, 50)
    assert mu.pdf(x) == pytest.approx(1 / (np.pi * np.sqrt(x * (2 - x))), rel=1e-12)
    assert mu.atoms == []
    p = Atoms([0, 1], [0.2, 0.8])
    assert [tuple(atom) for atom in free_add(p, p).atoms] == [pytest.approx((2, 0.6))]
    product = free_multiply(p, p)
    assert [tuple(atom) for atom in product.atoms] == [pytest.approx((0, 0.2)), pytest.approx((1, 0.6))]
    assert product.support()[0] == pytest.approx([0, 4 * 0.8 * 0.2], abs=1e-12)  # 4 p q


def test_power_equals_convolutions() -> None:
    b = Atoms([0, 1, 3], [0.5, 0.3, 0.2])
    for kind, convolve in (("additive", free_add), ("multiplicative", free_multiply)):
        three = convolve(convolve(b, b), b)
        power = free_power(b, 3, kind)
        x = grid(power, 50)
        assert three.pdf(x) == pytest.approx(power.pdf(x), rel=1e-9, abs=1e-11)
        assert three.support() == pytest.approx(power.support(), rel=1e-9)


def test_hard_edges_away_from_zero() -> None:
    """Atoms of half the mass each: inverse square roots at both ends, and a pair of gaps whose image is one point."""
    half = [0.5, 0.5]
    for mu, ends in (
        (free_add(TWO, Atoms([3, 3.5], half)), [[2, 2.5], [4, 4.5]]),
        (free_multiply(Atoms([1, 2], half), Atoms([1, 2], half)), [[1, 4]]),
        (free_multiply(Atoms([1, 2], half), Atoms([0.3, 2], half)), [[0.3, 0.6], [2, 4]]),
    ):
        assert mu.support() == pytest.approx(np.array(ends), rel=1e-14)
        assert abs(mu.mass_error) < 1e-11
    # 1 + P and 1 + Q for free projections: x + 4/x = 4 + cos^2(angle), of arcsine law.
    x = np.linspace(1.05, 1.95, 30)
    u = x + 4 / x - 4
    density = 0.5 * np.abs(1 - 4 / x**2) / (np.pi * np.sqrt(u * (1 - u)))
    assert free_multiply(Atoms([1, 2], half), Atoms([1, 2], half)).pdf(x) == pytest.approx(density, rel=1e-11)


def test_an_edge_before_the_first_point_of_the_other_gap() -> None:
    """The semicircle's edge was taken for one of the sum, where the density is 0."""
    mu = free_add(Semicircle(0.1, 1.0), Atoms([0.05, 5.03], [0.9465, 0.0535]))
    right = mu.support()[0][1]
    assert mu.pdf(right - 1e-3) > 0.05
    assert mu.pdf(right - 1e-5) == pytest.approx(0.1 * mu.pdf(right - 1e-3), rel=0.05)


def test_powers_of_infinitely_divisible_laws() -> None:
    x = np.linspace(-3, 3, 50)
    assert free_power(Semicircle(), 2.5).pdf(x) == pytest.approx(Semicircle(2.5).pdf(x), rel=1e-13)
    # MP_g is the law of g times a free Poisson variable of rate 1/g: MP_g^[+]t = t MP_(g/t).
    y = np.linspace(0.5, 6, 50)
    assert free_power(MarchenkoPastur(0.8), 2.5).pdf(y) == pytest.approx(
        (2.5 * MarchenkoPastur(0.32)).pdf(y), rel=1e-12
    )


# ---- Invariants

positions = st.lists(st.floats(0.05, 10), min_size=1, max_size=5, unique_by=lambda x: round(x, 2))


@st.composite
def atoms(draw: st.DrawFn) -> Measure:
    x = draw(positions)
    w = np.array(draw(st.lists(st.floats(0.05, 1), min_size=len(x), max_size=len(x))))
    return Atoms(x, w / w.sum())


measures = st.one_of(
    atoms(),
    st.floats(0.05, 3).map(MarchenkoPastur),
    st.floats(0.05, 0.2).map(lambda v: Semicircle(v, 1.0)),  # on (0, 2)
)


@settings(deadline=None, max_examples=60)
@given(measures, measures)
def test_sum_invariants(mu: Measure, nu: Measure) -> None:
    total = free_add(mu, nu)
    assert abs(total.mass_error) < 1e-9
    assert total.mean == pytest.approx(mu.mean + nu.mean, rel=1e-9)
    assert total.variance == pytest.approx(mu.variance + nu.variance, rel=1e-8, abs=1e-9)
    if len(total.support()):
        x = grid(total, 20)
        assert free_add(nu, mu).pdf(x) == pytest.approx(total.pdf(x), rel=1e-8, abs=1e-9)
    g = 0.05
    assert total.r_transform(g) == pytest.approx(mu.r_transform(g) + nu.r_transform(g), rel=1e-10)


@settings(deadline=None, max_examples=60)
@given(measures, measures)
def test_product_invariants(mu: Measure, nu: Measure) -> None:
    product = free_multiply(mu, nu)
    assert abs(product.mass_error) < 1e-9
    assert product.mean == pytest.approx(mu.mean * nu.mean, rel=1e-9)
    relative = mu.variance / mu.mean**2 + nu.variance / nu.mean**2  # relative variances add
    assert product.variance / product.mean**2 == pytest.approx(relative, rel=1e-8, abs=1e-9)
    if len(product.support()):
        x = grid(product, 20)
        assert free_multiply(nu, mu).pdf(x) == pytest.approx(product.pdf(x), rel=1e-8, abs=1e-9)
    u = -0.1
    with warnings.catch_warnings():  # next to a hard edge the branch of the product may not be followed to u: NaN
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = product.s_transform(u)
    assert np.isnan(found) or found == pytest.approx(mu.s_transform(u) * nu.s_transform(u), rel=1e-10)


@settings(deadline=None, max_examples=30)
@given(measures, st.floats(0.0, 1.0), st.floats(-3, 3), st.sampled_from([-2.0, 0.5, 3.0]))
def test_quantiles_and_affine_images(mu: Measure, p: float, shift: float, scale: float) -> None:
    x = mu.ppf(p)
    assert mu.cdf(x) >= p - 1e-11
    assert mu.cdf(x - 1e-6 * (1 + abs(x))) <= p + 1e-11
    image = shift + scale * mu
    assert image.mean == pytest.approx(shift + scale * mu.mean, abs=1e-10)
    y = shift + scale * (x + 0.123)
    assert image.cdf(y) == pytest.approx(mu.cdf(x + 0.123) if scale > 0 else 1 - mu.cdf(x + 0.123), abs=1e-10)
    z = 0.3 + 0.2j
    source = (z - shift) / scale
    expected = mu.cauchy(source) if scale > 0 else np.conj(mu.cauchy(np.conj(source)))
    assert image.cauchy(z) == pytest.approx(expected / scale, rel=1e-12)


def test_transforms_are_inverse_functions() -> None:
    mu = free_multiply(MarchenkoPastur(0.5), Atoms([1, 3], [0.5, 0.5]))
    g = np.array([0.05, -0.2, 0.1 - 0.1j, 0.1 + 0.1j])
    z = mu.r_transform(g) + 1 / g
    above = np.where(z.imag < 0, np.conj(z), z)
    assert mu.cauchy(above) == pytest.approx(np.where(z.imag < 0, np.conj(g), g), rel=1e-11)
    u = np.array([0.1, -0.5, -0.9])
    w = (1 + u) / (u * mu.s_transform(u))
    assert w * mu.cauchy(w) - 1 == pytest.approx(u, rel=1e-11)
    assert MarchenkoPastur(0.7).s_transform(0.0) == pytest.approx(1.0, rel=1e-12)
    assert Semicircle(2.0, 3.0).r_transform(0.0) == pytest.approx(3.0)
    with pytest.warns(ConvergenceWarning, match="NaN"):
        assert np.isnan(Semicircle().r_transform(1.5))  # G(2) = 1


def test_density_from_a_function() -> None:
    # Closed forms at real and complex points; hard edges, jumps and interior kinks included.
    x = np.array([-3.0, 0.3, 0.99999, 2.001, 0.2 + 0.1j, -0.4 + 1e-7j])
    uniform = FromDensity(lambda t: np.full_like(t, 0.5), (-1, 1))
    assert uniform.cauchy(x) == pytest.approx(0.5 * (np.log(x + 1 + 0j) - np.log(x - 1 + 0j)), rel=1e-13)
    arcsine = FromDensity(lambda t: 1 / (np.pi * np.sqrt(t * (1 - t))), (0, 1))
    assert arcsine.mean == pytest.approx(0.5, abs=1e-6)  # the right edge is not at 0: x rounds
    semicircle = FromDensity(lambda t: np.sqrt(4 - t * t) / (2 * np.pi), (-2, 2))
    assert semicircle.cauchy(x) == pytest.approx(Semicircle().cauchy(x), rel=1e-11)
    triangle = FromDensity(lambda t: 0.5 * (1 - np.abs(t)), (-1, 1), atoms=[(3, 0.5)])
    assert triangle.cdf(1.0) == pytest.approx(0.5, abs=1e-13)
    assert triangle.atoms[0] == pytest.approx((3.0, 0.5))
    pair = free_add(semicircle, uniform), free_add(Semicircle(), uniform)
    points = grid(pair[1], 30)
    assert pair[0].pdf(points) == pytest.approx(pair[1].pdf(points), rel=1e-10)
    assert pair[0].support() == pytest.approx(pair[1].support(), rel=1e-10)


def test_nested_equals_tabulated() -> None:
    inner = free_multiply(MarchenkoPastur(0.5), Atoms([1, 3], [0.5, 0.5]))
    table = FromDensity(inner.pdf, inner.support())
    nested, flat = free_add(inner, Semicircle(0.2)), free_add(table, Semicircle(0.2))
    x = grid(nested, 40)
    assert flat.pdf(x) == pytest.approx(nested.pdf(x), rel=1e-8)


def test_sample_follows_the_law() -> None:
    from scipy import stats

    mu = free_multiply(MarchenkoPastur(1.6), Atoms([1, 3], [0.5, 0.5]))
    sample = mu.rvs(20_000, seed=3)
    assert np.array_equal(sample, mu.rvs(20_000, seed=3))
    zero = float(np.mean(sample == 0))
    assert abs(zero - 0.375) < 4 * np.sqrt(0.375 * 0.625 / 20_000)
    continuous = sample[sample > 0]
    assert stats.kstest(continuous, lambda x: (mu.cdf(x) - 0.375) / 0.625).pvalue > 1e-3


# ---- Matrices


def haar(n: int, rng: np.random.Generator) -> Array:
    """Haar orthogonal matrix: QR with the signs of R fixed (Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.normal(size=(n, n)))
    return np.asarray(q * np.sign(np.diag(r)))


def test_matrices_have_these_spectra() -> None:
    # Linear statistics of free sum and product at two sizes, extrapolated in 1/n; 5 standard errors of the draws.
    rng = np.random.default_rng(11)

    def spectrum(n: int, product: bool) -> Array:
        a = np.where(np.arange(n) < n // 2, 1.0, 3.0)
        u = haar(n, rng)
        y = rng.normal(size=(n, 2 * n))
        b = y @ y.T / (2 * n)
        if product:
            root = np.sqrt(a)
            return np.asarray(np.linalg.eigvalsh(root[:, None] * (u @ b @ u.T) * root), float)
        return np.asarray(np.linalg.eigvalsh(np.diag(a) + u @ b @ u.T), float)

    statistics = (np.log, lambda x: np.exp(-x), lambda x: 1 / (1 + (x - 1) ** 2))
    for product, convolve in ((False, free_add), (True, free_multiply)):
        mu = convolve(MarchenkoPastur(0.5), Atoms([1, 3], [0.5, 0.5]))
        values, errors = [], []
        for n, draws in ((40, 200), (80, 100)):
            sample = np.array(
                [[np.mean(f(x)) for f in statistics] for x in (spectrum(n, product) for _ in range(draws))]
            )
            values.append(sample.mean(axis=0))
            errors.append(sample.std(axis=0, ddof=1) / np.sqrt(draws))
        limit, error = 2 * values[1] - values[0], np.hypot(2 * errors[1], errors[0])
        exact = np.array([mu.expect(f) for f in statistics])
        assert np.all(np.abs(limit - exact) < 5 * error)


def test_outliers() -> None:
    # theta (1 + g/(theta - 1)) for a spiked covariance; a spike of 3 in the semicircle plus MP.
    mp = free_multiply(Atoms([1], [1]), MarchenkoPastur(0.5))
    theta = np.array([1.8, 4.0, 10.0])
    assert mp.outliers(theta) == pytest.approx(theta * (1 + 0.5 / (theta - 1)), rel=1e-13)
    assert np.isnan(mp.outliers(1 + np.sqrt(0.5) - 1e-6)).all()
    total = free_add(Semicircle(), MarchenkoPastur(0.5))
    # w1 = 3: w2 = F2^-1(F1(3)), R of MP_g is 1/(1 - g G).
    g = Semicircle().cauchy(3.0).real
    assert total.outliers(3.0)[0] == pytest.approx(3 + 1 / (1 - 0.5 * g), rel=1e-13)
    swapped = free_add(MarchenkoPastur(0.5), Semicircle())
    assert swapped.outliers(3.0, factor=1)[0] == pytest.approx(total.outliers(3.0)[0], rel=1e-13)
    # Inside an inner gap.
    split = free_add(TWO, Semicircle(0.04))
    assert split.outliers(0.0)[0] == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ValueError, match="outliers needs"):
        Semicircle().outliers(3.0)


# ---- Threads, repetition, speed of the many


def test_threads_and_order_do_not_matter() -> None:
    mu = free_multiply(MarchenkoPastur(0.9), MarchenkoPastur(0.2))
    x = grid(mu, 3000)
    one = mu.pdf(x, threads=1)
    assert np.array_equal(one, mu.pdf(x, threads=2))
    assert np.array_equal(one, mu.pdf(x, threads=3))
    order = np.random.default_rng(0).permutation(len(x))
    assert mu.pdf(x[order]) == pytest.approx(one[order], rel=1e-9)


def test_many_eigenvalues() -> None:
    y = np.random.default_rng(2).normal(size=(300, 600))
    mu = free_multiply(FromEigenvalues(np.linalg.eigvalsh(y @ y.T / 600)), MarchenkoPastur(0.1))
    assert abs(mu.mass_error) < 1e-9
    assert mu.pdf(1.0) == pytest.approx(free_multiply(MarchenkoPastur(0.5), MarchenkoPastur(0.1)).pdf(1.0), rel=0.02)


# ---- Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Semicircle(0.0), "variance must be positive and finite, got 0"),
        (lambda: Semicircle(1.0, np.nan), "mean must be finite"),
        (lambda: MarchenkoPastur(-1.0), "ratio must be positive and finite, got -1"),
        (lambda: Atoms([1, 1], [0.5, 0.5]), "positions must be different"),
        (lambda: Atoms([1, 2], [0.5, 0.6]), "masses must have the sum 1"),
        (lambda: Atoms([1, 2], [1.5, -0.5]), "masses must be positive"),
        (lambda: Atoms([], []), "same length >= 1"),
        (lambda: FromEigenvalues([]), "eigenvalues must not be empty"),
        (lambda: FromEigenvalues([1.0, np.inf]), "eigenvalues must be finite"),
        (lambda: FromDensity(lambda x: np.full_like(x, 0.4), (-1, 1)), "must have the mass 1, got 0"),
        (lambda: FromDensity(lambda x: -x, (-1, 1)), "density must be >= 0 and finite"),
        (lambda: FromDensity(lambda x: x, (1, -1)), "support must be increasing"),
        (lambda: FromDensity(lambda x: np.ones(3), (0, 1)), "density must give an array"),
        (lambda: free_power(Semicircle(), 0.5), "power must be >= 1 and finite, got 0.5"),
        (lambda: free_power(MarchenkoPastur(1), 2, "product"), "kind must be one of"),
        (lambda: free_multiply(Semicircle(), MarchenkoPastur(1)), r"needs a measure on \[0, inf\)"),
        (lambda: free_multiply(Atoms([0], [1]), MarchenkoPastur(1)), "not all at 0"),
        (lambda: Semicircle().cauchy(1 - 1j), "z must have an imaginary part >= 0"),
        (lambda: Semicircle().pdf("a"), "x must be real numbers"),
        (lambda: Semicircle().pdf([0.0, np.nan]), "x must be finite"),
        (lambda: Semicircle().ppf(1.5), r"p must be in \[0, 1\], got"),
        (lambda: Semicircle().moment(-1), "k must be an integer"),
        (lambda: Semicircle().s_transform(0.1), r"needs a measure on \[0, inf\)"),
        (lambda: Semicircle() * 0.0, "scale must be finite and not 0"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_other_things_are_not_measures() -> None:
    with pytest.raises(TypeError, match="free_add takes measures"):
        free_add(Semicircle(), 3.0)  # type: ignore[arg-type]


def test_core_checks_shapes() -> None:
    with pytest.raises(ValueError, match="panels must have shape"):
        _core.density_measure(np.zeros(3), np.zeros((1, 16)), np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="coefficients must have shape"):
        _core.density_measure(np.array([[0.0, 1.0]]), np.zeros((1, 3)), np.zeros(0), np.zeros(0))


def test_dataset() -> None:
    mu = free_add(TWO, Semicircle(0.36))
    ds = mu.to_dataset(50)
    assert ds.sizes == {"x": 100, "interval": 2, "side": 2, "atom": 0}
    assert float(ds.pdf[3]) == pytest.approx(mu.pdf(float(ds.x[3])), rel=1e-12)


def test_no_warning_where_all_is_well() -> None:
    """The gap just closes: G^3 - 2 z G^2 + z^2 G = z, of density sqrt(3)/(2 pi) (x^(1/3) - x^(5/3)/9 + ...) at 0."""
    h = np.array([1e-6, 1e-5, 1e-4, 1e-3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mu = free_add(TWO, Semicircle(1.0))
        above, below = mu.cdf(h) - mu.cdf(0.0), mu.cdf(0.0) - mu.cdf(-h)
        assert mu.cdf(0.0) == pytest.approx(0.5, abs=1e-12)  # the sum of some hundred panels
    expected = np.sqrt(3) / (2 * np.pi) * (0.75 * h ** (4 / 3) - h ** (8 / 3) / 24)
    np.testing.assert_allclose(above, expected, atol=1e-12, rtol=1e-7)  # the series goes on with h^4
    np.testing.assert_allclose(below, expected, atol=1e-12, rtol=1e-7)
