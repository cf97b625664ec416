"""What heads learn of temperatures, and the dimension of data: heads against exact counts, pictures and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import deepglass as dg
from deepglass.learning import Ising, softmax_regression

pytestmark = pytest.mark.same_bits


# The head


@given(seed=st.integers(0, 2**32), n_classes=st.integers(2, 4), n_features=st.integers(1, 3))
def test_head_is_the_minimum(seed: int, n_classes: int, n_features: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(200) % n_classes
    x = rng.normal(3.0, 2.0, (200, n_features)) + 0.5 * rng.normal(size=(n_classes, n_features))[labels]
    fit = softmax_regression(x, labels)

    def loss(parameters: np.ndarray) -> float:
        w = parameters.reshape(n_classes, n_features + 1)
        scores = x @ w[:, :-1].T + w[:, -1]
        return float((np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(200), labels]).mean())

    ours = np.column_stack([fit["weights"], fit["biases"]])
    found = minimize(loss, np.zeros(ours.size), method="L-BFGS-B", options={"ftol": 1e-14, "maxiter": 2000})
    assert bool(fit["converged"])
    assert float(fit["loss"]) == pytest.approx(loss(ours.ravel()), rel=1e-12)
    assert float(fit["loss"]) <= found.fun + 1e-12 and found.fun - float(fit["loss"]) < 1e-5
    np.testing.assert_allclose(ours.sum(axis=0), 0.0, atol=1e-10)


def test_head_of_two_classes_is_the_log_odds() -> None:
    """Two values of the feature: the fit is exact, and the errors are those of binomial counts."""
    x = np.repeat([[2.0], [2.0], [5.0], [5.0]], [70, 30, 20, 80], axis=0)
    fit = softmax_regression(x, np.repeat([0, 1, 0, 1], [70, 30, 20, 80]))
    odds = np.log([30 / 70, 80 / 20])
    slope = (odds[1] - odds[0]) / 3
    np.testing.assert_allclose(fit["weights"].values.ravel(), [-slope / 2, slope / 2], rtol=1e-9)
    np.testing.assert_allclose(fit["biases"], [-(odds[0] - 2 * slope) / 2, (odds[0] - 2 * slope) / 2], rtol=1e-9)
    error = np.sqrt(1 / 70 + 1 / 30 + 1 / 20 + 1 / 80) / 3 / 2
    np.testing.assert_allclose(fit["weights_error"].values.ravel(), error, rtol=1e-8)


def test_head_on_the_energy_records_temperatures_and_free_energy() -> None:
    """Section 1 of the specification: ring of 16 spins, 9 temperatures; in standard errors, which are small."""
    betas = np.arange(1, 10) / 10.0
    law = Ising(16, 1.0 / betas, n_chains=1000, n_thermalise=20, every=5)
    data = law.draw(9 * 10_000, seed=1)
    energy = data["energy"].values[:, np.newaxis]
    fit = softmax_regression(energy, data["labels"])
    log_z = law.log_partition_function
    pulls = (fit["weights"][:, 0] - (betas.mean() - betas)) / fit["weights_error"][:, 0]
    assert np.abs(pulls).max() < 4 and float(fit["weights_error"].max()) < 0.005
    pulls = (fit["biases"] - (log_z.mean() - log_z)) / fit["biases_error"]
    assert np.abs(pulls).max() < 4 and float(fit["biases_error"].max()) < 0.05
    bayes = law.bayes_error
    assert abs(float(fit["accuracy"]) - (1 - bayes)) < 4 * np.sqrt(bayes * (1 - bayes) / 90_000)
    given_weights = softmax_regression(energy, data["labels"], weights=-betas[:, np.newaxis])
    pulls = (given_weights["biases"] - (log_z.mean() - log_z)) / given_weights["biases_error"]
    assert np.abs(pulls).max() < 4 and float(given_weights["biases_error"].max()) < 0.02
    # Free weights can only lower the loss.
    assert 0 <= float(given_weights["loss"] - fit["loss"]) < 1e-3


def test_separable_classes_have_no_minimum() -> None:
    with pytest.warns(dg.ConvergenceWarning, match="found no minimum"):
        fit = softmax_regression([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    assert not fit["converged"] and float(fit["accuracy"]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("features", "labels", "weights", "message"),
    [
        ([[1.0], [2.0]], [0], None, "labels must be 2 whole numbers"),
        ([[1.0], [2.0]], [0.0, 1.0], None, "labels must be 2 whole numbers"),
        ([[1.0], [2.0]], [0, 2], None, "labels must be 0 .. n_classes-1"),
        ([[1.0], [2.0]], [0, 0], None, "labels must be 0 .. n_classes-1"),
        ([[1.0], [np.nan]], [0, 1], None, "features must be finite"),
        ([[1.0], [2.0]], [0, 1], [[1.0]], r"weights must have shape \(2, 1\), got \(1, 1\)"),
    ],
)
def test_bad_arguments(features: object, labels: object, weights: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        softmax_regression(features, labels, weights=weights)


# The items


@pytest.mark.slow
@pytest.mark.parametrize("name", ["temperature", "dimension"])
def test_pictures_numbers_and_table(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    if name == "temperature":
        pytest.importorskip("torch")
    reproduce = pytest.importorskip("deepglass.reproduce")
    written = reproduce.run(name, output=tmp_path, quick=True)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    assert all(path.stat().st_size > 0 for path in written)
    if name == "temperature":
        ring = dg.load(tmp_path / name / "ring.nc")
        for quantity in ("weights", "biases"):
            pulls = (ring[quantity] - ring[f"exact_{quantity}"]) / ring[f"{quantity}_error"]
            assert float(np.abs(pulls).max()) < 4
        plane = dg.load(tmp_path / name / "plane.nc")
        assert float(np.abs(plane["heat_capacity"] - plane["exact_heat_capacity"]).max()) < 0.15
        units = dg.load(tmp_path / name / "units.nc").isel(n_samples=-1)
        energy = units["explained_variance"].sel(layer=1, feature="energy").mean("network")
        assert bool((energy.sel(stage="trained") > energy.sel(stage="initial") + 0.05).all())
        # A yardstick that knows one of the two has nothing of the other.
        witness = units["witness_partial"].transpose("law", "witness", "known").values
        assert np.abs(witness[:, [0, 1], [1, 0]]).max() < 0.05 and np.abs(witness[:, [0, 1], [0, 1]]).min() > 0.7
        chain = units["partial"].sel(law="chain").mean("network")
        assert float(chain.sel(known="energy")) < -0.75 and abs(float(chain.sel(known="order"))) < 0.2
    else:
        manifolds = dg.load(tmp_path / name / "manifolds.nc")
        low = manifolds.sel(true_dimension=slice(1, 7))
        assert float(np.abs(low["dimension"] / low["true_dimension"] - 1.0).max()) < 0.15
