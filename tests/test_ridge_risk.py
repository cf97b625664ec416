"""Ridge regression on features of wide networks: reference, closed forms, limits, simulated networks, bad input."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

import deepglass as dg
from deepglass.reference import network_spectra as reference

pytestmark = pytest.mark.same_bits

ridge_risk, MarchenkoPastur = dg.spectra.ridge_risk, dg.spectra.MarchenkoPastur
TANH = dg.meanfield.activation("tanh").normalised()
MOMENTS = dg.meanfield.gaussian_moments(TANH, 1.0)
B2, A = float(MOMENTS.slope) ** 2, float(MOMENTS.slope_square)
TRAINED = ("last", "all")

positive = st.floats(0.2, 5.0)
ridges = st.floats(-6.0, 2.0).map(lambda x: 10.0**x)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(TRAINED),
    st.lists(positive, max_size=2),
    st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True),
    st.floats(0.05, 10.0),
    st.floats(0.0, 2.0),
)
def test_recursions_of_the_paper(trained, ratios, hundredths, ridge, noise):
    positions = np.array(hundredths) / 100
    mass = np.full(len(positions), 1 / len(positions))
    found = ridge_risk(TANH, ratios, dg.spectra.Atoms(positions, mass), ridge, trained=trained, noise=noise)
    slow = reference.ridge_risk(ridge, ratios, B2**0.5, A, (positions, mass), trained, 1.0, noise)
    assert float(found.test_error) == pytest.approx(slow, rel=1e-10)  # plain iterations to 2e-14, differentiated


@pytest.mark.parametrize("trained", TRAINED)
@pytest.mark.parametrize("ratios", [[0.6], [0.6, 0.75, 2.0]])
def test_effective_ridge_is_that_of_the_spectrum(trained, ratios):
    at, inputs = np.array([1e-3, 0.1, 1.0]), MarchenkoPastur(0.5)
    spectrum = {"last": dg.spectra.conjugate_kernel_spectrum, "all": dg.spectra.ntk_spectrum}[trained]
    m = spectrum(TANH, ratios, inputs).stieltjes(-at).real
    found = ridge_risk(TANH, ratios, inputs, at, trained=trained)
    np.testing.assert_allclose(1 / found.effective_ridge, m, rtol=1e-12)
    np.testing.assert_allclose(found.degrees_of_freedom, 1 - at * m, rtol=1e-11)


# Closed forms


def test_no_hidden_layer_is_isotropic_ridge_regression():
    """Hastie, Montanari, Rosset, Tibshirani (2022), theorem 1 and corollary 5, p / n = 1 / ratio."""
    for ratio, ridge, noise in ((0.5, 0.2, 0.3), (2.0, 0.2, 0.3), (1.3, 1e-3, 1.0), (1.0, 2.0, 0.1)):
        gamma, lam = 1 / ratio, ridge / ratio  # |y - X b|^2 / n + lam |b|^2, isotropic columns
        # m of the sample covariance at -lam, and its derivative
        root = np.sqrt((1 - gamma + lam) ** 2 + 4 * gamma * lam)
        m = (-(1 - gamma + lam) + root) / (2 * gamma * lam)
        d_root = ((1 - gamma + lam) + 2 * gamma) / root
        dm = -((-1 + d_root) * lam - (-(1 - gamma + lam) + root)) / (2 * gamma * lam**2)
        # signal |beta|^2 = 1 with p components
        found = ridge_risk("linear", [], MarchenkoPastur(ratio), ridge, noise=noise)
        assert float(found.bias) == pytest.approx(lam**2 * dm, rel=1e-11)
        assert float(found.variance) == pytest.approx(noise * gamma * (m - lam * dm), rel=1e-10)
    over, under = (ridge_risk("linear", [], MarchenkoPastur(r), 1e-9, noise=0.3) for r in (0.5, 2.0))
    assert [float(over.bias), float(over.variance)] == pytest.approx([1 - 0.5, 0.3 / (2 - 1)], rel=1e-7)
    assert [float(under.bias), float(under.variance)] == pytest.approx([0.0, 0.3 * 0.5 / (1 - 0.5)], abs=1e-7)


def mei_montanari(psi1, psi2, ridge, mu1, mu_star, noise):
    """Definition 1 and theorem 2 of Mei and Montanari (2022), of a linear target: bias and variance.

    psi1 = N / d, psi2 = n / d; the ridge is (N lambda / d) |a|^2 beside the mean square.
    """
    zeta2 = (mu1 / mu_star) ** 2
    last = 1j * np.sqrt(psi1 * psi2 * ridge) / mu_star
    nu1, nu2 = -psi1 / (1e3j), -psi2 / (1e3j)
    for height in np.geomspace(1e3, abs(last), 300):
        xi = 1j * height
        for _ in range(3000):
            one = psi1 / (-xi - nu2 - zeta2 * nu2 / (1 - zeta2 * nu1 * nu2))
            two = psi2 / (-xi - one - zeta2 * one / (1 - zeta2 * one * nu2))
            change = abs(one - nu1) + abs(two - nu2)
            nu1, nu2 = (one + nu1) / 2, (two + nu2) / 2
            if change < 1e-15 * (abs(one) + abs(two)):
                break
    x, z, p = (nu1 * nu2).real, zeta2, psi1 * psi2
    e0 = -(x**5) * z**3 + 3 * x**4 * z**2 + (p - psi2 - psi1 + 1) * x**3 * z**3 - 2 * x**3 * z**2 - 3 * x**3 * z
    e0 += (psi1 + psi2 - 3 * p + 1) * x**2 * z**2 + 2 * x**2 * z + x**2 + 3 * p * x * z - p
    e1 = psi2 * x**3 * z**2 - psi2 * x**2 * z + p * x * z - p
    e2 = x**5 * z**3 - 3 * x**4 * z**2 + (psi1 - 1) * x**3 * z**3 + 2 * x**3 * z**2 + 3 * x**3 * z
    e2 += (-psi1 - 1) * x**2 * z**2 - 2 * x**2 * z - x**2
    return e1 / e0, noise * e2 / e0


@pytest.mark.parametrize(("input_ratio", "ratio", "ridge"), [(2.0, 1.2, 0.1), (0.5, 0.6, 0.03), (3.0, 0.4, 1.0)])
def test_one_layer_of_features_is_mei_and_montanari(input_ratio, ratio, ridge):
    found = ridge_risk(TANH, [ratio], MarchenkoPastur(input_ratio), ridge, noise=0.25)
    closed = mei_montanari(input_ratio / ratio, input_ratio, ridge / input_ratio, B2**0.5, (1 - B2) ** 0.5, 0.25)
    assert [float(found.bias), float(found.variance)] == pytest.approx(closed, rel=1e-10)


def effective_ridges(ratios, input_ratio, ridge, noise):
    """The conjugate kernel layer by layer: each W acts as n samples do, and turns one ridge into the next.

    With features of population covariance Omega_l = b^2 W Omega_{l-1} W^T / d_{l-1} + 1 - b^2, effective ridges k_l and
    degrees of freedom tr Omega (Omega + k)^{-1}; Phi^T (Omega_l + k_l)^{-1} Phi / d_0 is 1 / (1 + k_0) for all l.
    """
    d = [1 / input_ratio, *(1 / r for r in ratios)]  # over n

    def forward(k0):
        k, dk = k0, 1.0
        df, ddf = d[0] / (1 + k0), -d[0] / (1 + k0) ** 2
        for before, size in pairwise(d):
            share = B2 * size / before
            k, dk = share * k * (1 - df / size) - (1 - B2), share * (dk * (1 - df / size) - k * ddf / size)
            if k <= 0:
                return -1.0, 0.0, 0.0, 1.0
            q, dq = k / (k + 1 - B2), dk * (1 - B2) / (k + 1 - B2) ** 2
            df, ddf = size - q * (size - df), -dq * (size - df) + q * ddf
        return k * (1 - df), k, dk, dk * (1 - df) - k * ddf

    wanted = ridge * d[-1]
    k0 = np.exp(brentq(lambda t: forward(np.exp(t))[0] - wanted, -25, 25, xtol=1e-15, rtol=1e-15))
    _, k, dk, slope = forward(k0)
    g, dg = 1 / (1 + k0), -1 / (1 + k0) ** 2 / dk
    return (1 - g + k * dg) * dk / slope, noise * (dk / slope - 1)


@pytest.mark.parametrize(
    ("ratios", "input_ratio", "ridge"),
    [
        ([], 1.3, 0.2),
        ([1.2, 0.7], 2.0, 0.1),
        ([0.5, 2.0, 0.8], 0.7, 0.02),
        ([3.0, 0.3, 3.0, 0.3], 1.0, 1.0),
        ([5.0] * 10, 1.0, 1e-4),
    ],
)
def test_many_layers_of_features_are_a_chain_of_effective_ridges(ratios, input_ratio, ridge):
    found = ridge_risk(TANH, ratios, MarchenkoPastur(input_ratio), ridge, noise=0.25)
    closed = effective_ridges(ratios, input_ratio, ridge, 0.25)
    assert [float(found.bias), float(found.variance)] == pytest.approx(closed, rel=1e-10)


# Limits and invariants


def test_infinitely_wide_layers():
    """X_l^T X_l -> b^2 X_{l-1}^T X_{l-1} + 1 - b^2: regression on the inputs with another ridge."""
    inputs, ridge = MarchenkoPastur(2.0), 0.05
    wide = ridge_risk(TANH, [1e-10, 1e-10], inputs, ridge, noise=0.2)
    plain = ridge_risk("linear", [], inputs, (ridge + 1 - B2**2) / B2**2, noise=0.2)
    assert float(wide.test_error) == pytest.approx(float(plain.test_error), rel=1e-8)
    wide = ridge_risk(TANH, [1e-10], inputs, ridge, trained="all", noise=0.2)
    plain = ridge_risk("linear", [], inputs, (ridge + 1 - B2 + A - B2) / (2 * B2), noise=0.2)
    assert float(wide.test_error) == pytest.approx(float(plain.test_error), rel=1e-8)


def test_the_best_ridge_is_that_of_bayes():
    risk = ridge_risk(
        "linear", [], MarchenkoPastur(1.4), 0.3 / 0.8 * np.array([0.99, 1.0, 1.01]), signal=0.8, noise=0.3
    ).risk
    assert risk[1] < risk[0] and risk[1] < risk[2]
    assert float(risk[0] - risk[1]) == pytest.approx(float(risk[2] - risk[1]), rel=0.05)  # flat there


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(TRAINED), st.lists(positive, max_size=4), positive, ridges, st.floats(0.0, 3.0))
def test_invariants(trained, ratios, input_ratio, ridge, noise):
    found = ridge_risk(TANH, ratios, MarchenkoPastur(input_ratio), ridge, trained=trained, signal=0.7, noise=noise)
    slack = 1e-6 * (1 + float(found.test_error))  # of cancellation at small ridges
    assert float(found.bias) >= -slack and float(found.variance) >= -slack
    assert -slack <= float(found.training_error) <= float(found.test_error) + slack
    assert -1e-9 <= float(found.degrees_of_freedom) <= 1 + 1e-9
    assert float(found.risk) == pytest.approx(float(found.bias + found.variance), abs=slack)
    twice = ridge_risk(TANH, ratios, MarchenkoPastur(input_ratio), ridge, trained=trained, signal=1.4, noise=2 * noise)
    assert float(twice.test_error) == pytest.approx(2 * float(found.test_error), rel=1e-12)
    nothing = ridge_risk(TANH, ratios, MarchenkoPastur(input_ratio), 1e9, trained=trained, signal=0.7, noise=noise)
    assert float(nothing.test_error) == pytest.approx(0.7 + noise, rel=1e-6)


def test_many_ridges_are_single_ones():
    at = [0.1, 1.0]
    both = ridge_risk(TANH, 0.5, MarchenkoPastur(2.0), at, noise=0.1)
    assert both.risk.dims == ("ridge",) and list(both.ridge.values) == at
    one = ridge_risk(TANH, [0.5], MarchenkoPastur(2.0), 1.0, noise=0.1)
    assert one.risk.dims == () and float(both.risk[1]) == float(one.risk)
    assert both.attrs["function"] == "deepglass.spectra.ridge_risk"


# Networks


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("trained", "depth"), [("last", 1), ("last", 2), ("all", 1), ("all", 2)])
def test_simulated_networks(trained, depth):
    """Inputs of two variances, the law of their own spectrum; new inputs; 24 networks."""
    n, d, n_test, ridge, noise = 240, 120, 400, 0.1, 0.2
    width = 300
    scale = np.repeat([0.5, 1.5], d // 2) ** 0.5
    measured, spectra = [], []
    for draw in range(24):
        rng = np.random.default_rng([7, draw])
        x = rng.normal(size=(n + n_test, d)) * scale
        x *= np.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True)
        y = x @ rng.normal(size=d) / np.sqrt(d) + np.sqrt(noise) * rng.normal(size=n + n_test)
        network = dg.fisher.Network(
            depth=depth + 1, width=width, n_inputs=d, activation=TANH, weight_variance=1.0, bias_variance=0.0, seed=rng
        )
        train, test = x[:n], x[n:]
        if trained == "all":
            k, cross = network.ntk(train), network.ntk(test, train)
        else:
            first, second = network.gradients(train)[-1], network.gradients(test)[-1]
            k, cross = first.gram(), second.gram(first)
        solved = np.linalg.solve(k + ridge * np.eye(n), y[:n])
        measured.append(np.mean((y[n:] - cross @ solved) ** 2))
        spectra.append(np.linalg.eigvalsh(train @ train.T / d))
    law = dg.spectra.FromEigenvalues(np.maximum(np.concatenate(spectra[:4]), 0) * (np.concatenate(spectra[:4]) > 1e-10))
    theory = float(ridge_risk(TANH, [n / width] * depth, law, ridge, trained=trained, noise=noise).test_error)
    error = np.std(measured, ddof=1) / np.sqrt(len(measured))
    assert abs(np.mean(measured) - theory) < 4 * error
    assert error < 0.04 * theory  # it says something


# Bad input


def test_bad_input():
    inputs = MarchenkoPastur(2.0)
    with pytest.raises(ValueError, match=r"ridge must be a number > 0, or several of them, got 0\.0"):
        ridge_risk(TANH, [1.0], inputs, 0.0)
    with pytest.raises(ValueError, match="ridge must be a number > 0"):
        ridge_risk(TANH, [1.0], inputs, [0.1, -0.1])
    with pytest.raises(ValueError, match="ridge must be a number >= 0"):
        ridge_risk(TANH, [1.0], inputs, np.nan, trained="all")
    assert np.isfinite(ridge_risk(TANH, [1.0], inputs, 0.0, trained="all").risk)
    with pytest.raises(ValueError, match="activation must have E phi = 0"):
        ridge_risk("relu", [1.0], inputs, 0.1)
    even = dg.meanfield.activation(lambda u: (u**2 - 1) / np.sqrt(2), derivative=lambda u: np.sqrt(2) * u)
    with pytest.raises(ValueError, match="activation must have E phi' other than 0"):
        ridge_risk(even, [1.0], inputs, 0.1)
    with pytest.raises(ValueError, match="trained must be one of 'last', 'all'"):
        ridge_risk(TANH, [1.0], inputs, 0.1, trained="first")
    with pytest.raises(ValueError, match="ratios must be finite and > 0"):
        ridge_risk(TANH, [1.0, -1.0], inputs, 0.1)
    with pytest.raises(ValueError, match="input_spectrum must be a Measure, got 2"):
        ridge_risk(TANH, [], 2.0, 0.1)
    with pytest.raises(ValueError, match="noise must be a finite number >= 0"):
        ridge_risk(TANH, [1.0], inputs, 0.1, noise=-1.0)
