"""Data sets: fixtures, exact laws against samples, Bayes errors against an independent integral, and bad input."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import linprog, minimize_scalar

from deepglass.learning import (
    GaussianChain,
    HiddenManifold,
    Images,
    KGlobal,
    KLocal,
    TeacherStudent,
    chain_bayes_error,
    read_images,
)
from deepglass.random import seed_entropy

SINES = {n: np.sin(np.arange(n) + 1.0)[np.newaxis] for n in (10, 12)}


def z_mean(samples, exact):
    return (samples.mean() - exact) / (samples.std(ddof=1) / math.sqrt(samples.size))


# Labels of products


@pytest.mark.parametrize(
    ("n", "offsets", "m_global", "sites", "m_local"),
    [
        (12, (0, 3), -6.119969293, (1, 4), -0.871947375),
        (10, (0, 2, 5), -0.039759089, (0, 3, 7), -0.630050382),
    ],
)
def test_fixtures_of_the_specification(n, offsets, m_global, sites, m_local):
    assert KGlobal(n, places=offsets).relevant_feature(SINES[n]) == pytest.approx(m_global, abs=5e-10)
    assert KLocal(n, places=sites).relevant_feature(SINES[n]) == pytest.approx(m_local, abs=5e-10)


@given(n=st.integers(1, 12), seed=st.integers(0, 2**32), data=st.data())
def test_features_are_their_definitions(n, seed, data):
    k = data.draw(st.integers(1, n))
    x = np.random.default_rng(seed).normal(size=(3, n))
    local, everywhere = KLocal(n, k, seed=seed), KGlobal(n, k, seed=seed)
    assert local.places == tuple(sorted(set(local.places))) and len(local.places) == k
    product = [math.prod(row[i] for i in local.places) for row in x]
    np.testing.assert_allclose(local.relevant_feature(x), product, rtol=1e-13)
    total = [sum(math.prod(row[(j + i) % n] for i in everywhere.places) for j in range(n)) for row in x]
    np.testing.assert_allclose(everywhere.relevant_feature(x), total, rtol=1e-12, atol=1e-13 * n)
    # Only differences of the offsets matter, and a shift of the input does not.
    np.testing.assert_allclose(everywhere.relevant_feature(np.roll(x, 1, axis=1)), total, rtol=1e-12, atol=1e-13 * n)


@pytest.mark.parametrize("law", [KLocal(100, 2, seed=1), KLocal(40, 3, seed=1), KGlobal(20, 3, seed=1)])
def test_half_of_the_labels_are_one(law):
    data = law.draw(20_000, seed=3)
    assert abs(data["labels"].mean().item() - 0.5) < 4 * 0.5 / math.sqrt(20_000)
    np.testing.assert_array_equal(data["labels"], law.relevant_feature(data["inputs"]) > 0)
    assert abs(stats.kstest(data["inputs"].values.ravel(), "norm").statistic) < 2.0 / math.sqrt(data["inputs"].size)
    assert float(data["bayes_error"]) == 0.0


def test_places_are_uniform():
    counts = np.zeros(6)
    for seed in range(3000):
        counts[list(KLocal(6, 2, seed=seed).places)] += 1
    assert stats.chisquare(counts).pvalue > 1e-4


def test_draws_repeat_and_grow():
    law = KGlobal(10, 2, seed=1)
    small, large = law.draw(5, seed=9), law.draw(50, seed=9)
    np.testing.assert_array_equal(small["inputs"], large["inputs"][:5])
    again = law.draw(7)
    assert again.identical(law.draw(7, seed=int(again["seed"])))
    assert not np.array_equal(law.draw(5, seed=10)["inputs"], small["inputs"])
    assert seed_entropy(9) == int(small["seed"]) and '"places": [' in small.attrs["parameters"]


# The Gaussian chain


@pytest.mark.parametrize(
    ("n", "beta", "log_z", "c0", "c1", "energy"),
    [
        (12, 0.3, 11.659427374, 1.250004704, 0.416674507, -3.059349517),
        (10, -0.45, 10.855600001, 2.337503481, -1.486114979, -1.972498632),
    ],
)
def test_chain_fixtures(n, beta, log_z, c0, c1, energy):
    law = GaussianChain(n, [beta])
    assert law.log_partition_function[0] == pytest.approx(log_z, abs=5e-10)
    np.testing.assert_allclose(law.covariance([0, 1, n - 1, n])[0], [c0, c1, c1, c0], atol=5e-10)
    assert law.energy(SINES[n]) == pytest.approx(energy, abs=5e-10)


@given(n=st.integers(3, 30), beta=st.floats(-0.49, 0.49))
def test_chain_is_the_gaussian_of_its_precision(n, beta):
    shift = np.roll(np.eye(n), 1, axis=1)
    precision = np.eye(n) - beta * (shift + shift.T)
    law = GaussianChain(n, [beta])
    log_det = np.linalg.slogdet(precision)[1]
    assert law.log_partition_function[0] == pytest.approx(0.5 * n * math.log(2 * math.pi) - 0.5 * log_det, rel=1e-12)
    np.testing.assert_allclose(law.covariance(np.arange(n))[0], np.linalg.inv(precision)[0], rtol=1e-11, atol=1e-12)
    assert law.mean_energy[0] == pytest.approx(-np.sum(np.linalg.inv(precision) * shift), rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("n", [3, 8, 41])
def test_chain_samples_have_its_law(n):
    law = GaussianChain(n, betas=[0.45, 0.0, -0.3])
    data = law.draw(30_000, seed=4)
    for label in range(3):
        x = data["inputs"].values[data["labels"].values == label]
        for r in (0, 1, n // 2):
            assert abs(z_mean((x * np.roll(x, -r, axis=1)).mean(axis=1), law.covariance([r])[label, 0])) < 4
        assert abs(z_mean(law.energy(x), law.mean_energy[label])) < 4
        # |L^T x|^2 is chi-square: no other moment is wrong either.
        shift = np.roll(np.eye(n), 1, axis=1)
        precision = np.eye(n) - law.betas[label] * (shift + shift.T)
        squares = np.einsum("ij,jk,ik->i", x, precision, x)
        assert stats.kstest(squares, stats.chi2(n).cdf).pvalue > 1e-4


def imhof(n, beta, t):
    """P(S > t) = 1/2 + int du sin(theta(u)) / (pi u rho(u)), along the real line."""
    cosines = np.cos(2 * np.pi * np.arange(n) / n)
    a = cosines / (1 - 2 * beta * cosines)

    def integrand(u):
        return math.sin(0.5 * np.arctan(a * u).sum() - 0.5 * t * u) / (
            u * math.exp(0.25 * np.log1p((a * u) ** 2).sum())
        )

    edges = [0.0, *np.geomspace(0.05, 200.0, 60)]  # with 40 sites the rest is below 1e-40
    parts = [quad(integrand, *ends, epsabs=1e-14, epsrel=1e-13, limit=200)[0] for ends in itertools.pairwise(edges)]
    return 0.5 + math.fsum(parts) / math.pi


@pytest.mark.parametrize(("n", "betas"), [(40, (0.2, 0.0)), (100, (0.3, 0.2)), (60, (-0.3, 0.1))])
def test_bayes_error_is_the_integral_of_imhof(n, betas):
    low, high = sorted(betas)
    log_z = GaussianChain(n, [low, high]).log_partition_function
    t = (log_z[1] - log_z[0]) / (high - low)
    expected = 0.5 * (imhof(n, low, t) + 1.0 - imhof(n, high, t))
    assert chain_bayes_error(n, *betas) == pytest.approx(expected, abs=1e-11)
    assert chain_bayes_error(n, *betas[::-1]) == chain_bayes_error(n, *betas)


def test_bayes_errors_of_the_specification():
    table = {(40, 0.2, 0.0): 0.255670, (100, 0.2, 0.0): 0.146959, (100, 0.3, 0.2): 0.248641, (200, 0.3, 0.2): 0.167699}
    for arguments, value in table.items():
        assert chain_bayes_error(*arguments) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("n", "betas"), [(3, (0.3, -0.3)), (4, (0.49, 0.4)), (40, (0.2, 0.0)), (30, (0.4, 0.2, 0.0))])
def test_bayes_error_is_that_of_the_optimal_classifier(n, betas):
    """Thresholds at zero, slowly converging small chains, and three classes."""
    law = GaussianChain(n, betas)
    data = law.draw(150_000, seed=5)
    logits = -np.array(betas) * law.energy(data["inputs"])[:, np.newaxis] - law.log_partition_function
    wrong = (logits.argmax(axis=1) != data["labels"].values).mean()
    exact = float(data["bayes_error"])
    assert exact == law.bayes_error
    assert abs(wrong - exact) < 4 * math.sqrt(exact * (1 - exact) / 150_000)


def test_far_temperatures_are_told_apart():
    errors = [chain_bayes_error(n, 0.4, 0.0) for n in (100, 200, 400, 800)]
    # The error falls exponentially, at the Chernoff rate: max over s of (1-s) f(a) + s f(b) - f((1-s) a + s b).

    def f(beta):
        return -0.5 * math.log((1 + math.sqrt(1 - 4 * beta**2)) / 2)

    rate = -minimize_scalar(
        lambda s: -((1 - s) * f(0.0) + s * f(0.4) - f(s * 0.4)), bounds=(0, 1), method="bounded"
    ).fun
    slope = -math.log(errors[3] / errors[2]) / 400
    assert errors[3] < 1e-8 and 0 < slope - rate < 2e-3  # the prefactor n^{-1/2} adds ln(2) / 800


# Teachers


def test_linear_teachers_answer_as_said():
    law = TeacherStudent(30, task="regression", noise=0.3, seed=1)
    data = law.draw(20_000, seed=2)
    x, y = data["inputs"].values, data["labels"].values
    w, rest, *_ = np.linalg.lstsq(x, y, rcond=None)
    assert abs(rest[0] / (20_000 - 30) / law.bayes_error - 1) < 4 * math.sqrt(2 / 20_000)
    clean = law.teacher(x)
    np.testing.assert_allclose(clean, x @ np.linalg.lstsq(x, clean, rcond=None)[0], atol=1e-12)
    assert abs(z_mean(y - clean, 0.0)) < 4
    assert abs(np.linalg.norm(w) - np.linalg.norm(np.linalg.lstsq(x, clean, rcond=None)[0])) < 0.02


@pytest.mark.parametrize("units", [0, 7])
def test_labels_are_wrong_as_often_as_said(units):
    law = TeacherStudent(20, units=units, noise=0.1, seed=3)
    data = law.draw(20_000, seed=4)
    wrong = ((law.teacher(data["inputs"]) > 0) != data["labels"].values).astype(float)
    assert abs(z_mean(wrong, 0.1)) < 4 and float(data["bayes_error"]) == 0.1
    assert TeacherStudent(20, units=units, seed=3).draw(100, seed=4)["labels"].values.std() > 0.4
    clean = TeacherStudent(20, units=units, seed=3)
    np.testing.assert_array_equal(clean.teacher(data["inputs"]), law.teacher(data["inputs"]))


@pytest.mark.parametrize("fold", ["sign", "erf"])
def test_hidden_manifold_has_its_covariance(fold):
    """E f(u) f(v) = (2/pi) asin(c), c = C_uv or 2 C_uv / sqrt((1 + 2 C_uu)(1 + 2 C_vv)), C = F F^T / d."""
    law = HiddenManifold(12, 4, fold=fold, seed=1)
    x = law.draw(40_000, seed=2)["inputs"].values
    covariance = law.features @ law.features.T / 4
    scale = np.diag(covariance) if fold == "sign" else 0.5 + np.diag(covariance)
    exact = 2 / np.pi * np.arcsin(np.clip(covariance / np.sqrt(np.outer(scale, scale)), -1, 1))
    pairs = np.array([z_mean(x[:, i] * x[:, j], exact[i, j]) for i in range(12) for j in range(i)])
    assert np.abs(pairs).max() < 4.5  # the largest of 66


def test_hidden_manifold_labels():
    latent = HiddenManifold(50, 5, fold="relu", units=3, seed=1)
    data = latent.draw(2000, seed=2)
    assert (data["inputs"] >= 0).all() and math.isnan(float(data["bayes_error"]))
    assert 0.1 < data["labels"].mean().item() < 0.9
    # A linear teacher of the inputs: some plane separates 500 samples in 50 dimensions, which coins would not allow.
    seen = HiddenManifold(50, 5, fold="tanh", labels_from="input", seed=1).draw(500, seed=2)
    x, labels = seen["inputs"].values, seen["labels"].values
    margins = -(2.0 * labels - 1.0)[:, np.newaxis] * x
    plane = linprog(np.zeros(50), margins, -np.ones(500), bounds=(None, None))
    assert plane.status == 0 and float(seen["bayes_error"]) == 0.0
    coins = np.where(np.random.default_rng(1).random(500) < 0.5, 1.0, -1.0)[:, np.newaxis]
    assert linprog(np.zeros(50), coins * x, -np.ones(500), bounds=(None, None)).status == 2


# Images


def test_images_are_drawn_without_replacement(tmp_path):
    pictures = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    np.savez(tmp_path / "a.npz", images=pictures, labels=np.arange(5, dtype=np.uint8))
    for data in (Images(tmp_path / "a.npz"), Images(pictures, labels=range(5))):
        drawn = data.draw(5, seed=1)
        assert sorted(drawn["labels"].values.tolist()) == [0, 1, 2, 3, 4]
        np.testing.assert_array_equal(drawn["inputs"], pictures.reshape(5, 12)[drawn["labels"].values])
        np.testing.assert_array_equal(data.draw(2, seed=1)["inputs"], drawn["inputs"][:2])
    np.save(tmp_path / "b.npy", pictures)
    images, labels = read_images(tmp_path / "b.npy")
    assert labels is None and images.shape == (5, 12)
    with pytest.raises(ValueError, match="labels must be 5 whole numbers"):
        Images(tmp_path / "b.npy")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KLocal(0, 1), "n_inputs must be an integer from 1"),
        (lambda: KLocal(4, 5), "k must be an integer from 1 to 4"),
        (lambda: KLocal(4), "k must be an integer from 1 to 4, got None"),
        (lambda: KLocal(4, places=(1, 1)), "places must be distinct and in increasing order"),
        (lambda: KGlobal(4, places=(1, 4)), "places must be an integer from 0 to 3"),
        (lambda: KGlobal(4, 3, places=(1, 2)), "k must be 2"),
        (
            lambda: KLocal(4, 2).relevant_feature(np.ones((2, 5))),
            r"inputs must be an array of numbers of shape \(n, 4\)",
        ),
        (lambda: KLocal(4, 2).draw(0), "n_samples must be an integer from 1"),
        (lambda: GaussianChain(2), "n_inputs must be an integer from 3"),
        (lambda: GaussianChain(5, [0.5]), r"betas must be numbers in \(-1/2, 1/2\), got 0.5"),
        (lambda: GaussianChain(5, []), "betas must be numbers"),
        (lambda: GaussianChain(5, 0.3), "betas must be numbers"),
        (lambda: chain_bayes_error(40, 0.2), "betas must be two or more distinct numbers"),
        (lambda: chain_bayes_error(40, 0.2, 0.2), "betas must be two or more distinct numbers"),
        (lambda: TeacherStudent(4, noise=0.6), "noise must be a number from 0 to 1/2"),
        (lambda: TeacherStudent(4, task="regression", noise=-1.0), "noise must be a finite number >= 0"),
        (lambda: TeacherStudent(4, task="ranking"), "task must be one of"),
        (lambda: TeacherStudent(4, units=-1), "units must be an integer from 0"),
        (lambda: HiddenManifold(4, 0), "dimension must be an integer from 1"),
        (lambda: HiddenManifold(4, 2, fold="cos"), "fold must be one of"),
        (lambda: HiddenManifold(4, 2, labels_from="x"), "labels_from must be one of"),
        (lambda: Images([[1.0, 2.0]]), "labels must be 1 whole numbers"),
        (lambda: Images([[1.0, np.nan]], [1]), "images must be finite"),
        (lambda: Images([[1.0, 2.0]], [0.5]), "labels must be 1 whole numbers"),
        (lambda: Images([[1.0, 2.0]], [0]).draw(2), "n_samples must be 1, got 2"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_files_without_images(tmp_path):
    np.savez(tmp_path / "c.npz", labels=np.arange(3))
    with pytest.raises(ValueError, match=r"images must be a file with an array of two or more dimensions, got c.npz"):
        read_images(Path(tmp_path) / "c.npz")
