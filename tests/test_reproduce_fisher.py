"""Fisher information of networks and their learning rates: samplers, numbers, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepglass as dg

pytestmark = pytest.mark.same_bits

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
item = pytest.importorskip("deepglass.reproduce.fisher")
runs = pytest.importorskip("deepglass.reproduce._fisher_runs")

SUFFIXES = {".png", ".pdf", ".nc", ".json", ".txt"}


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Two sets of patterns and noise, three classes."""
    rng = np.random.default_rng(3)
    labels = np.arange(300) % 3
    pictures = rng.normal(size=(300, 4, 5)) + 2.0 * rng.normal(size=(3, 4, 5))[labels]
    np.savez(tmp_path / "patterns.npz", images=pictures, labels=labels)
    return str(tmp_path / "patterns.npz")


def test_steps_are_gradients_of_the_loss() -> None:
    """One batch, one step: against finite differences of the loss, with and without means subtracted."""
    rng = np.random.default_rng(1)
    n = runs.BATCH
    x, y = rng.normal(size=(n, 6)), rng.normal(size=(n, 3))
    weights = [rng.normal(size=shape) / 2 for shape in ((7, 6), (7, 7), (3, 7))]
    direction = [rng.normal(size=w.shape) for w in weights]
    for centred in (False, True):
        h = 1e-6

        def shifted(step: float, centred: bool = centred) -> float:
            moved = [w + step * d for w, d in zip(weights, direction, strict=True)]
            return float(runs._loss(moved, x, y, centred))

        slope = (shifted(h) - shifted(-h)) / (2 * h)
        # d loss / d rate at 0 is -|gradient|^2; its direction, from the change of the weights in one tiny step
        rate = 1e-7
        last, peak = runs._one_epoch(weights, x, y, rate, centred, np.inf)
        assert peak == pytest.approx(shifted(0.0), rel=1e-14)
        square = (shifted(0.0) - last) / rate
        gradient = _gradient(weights, x, y, centred)
        assert square == pytest.approx(sum(np.sum(g**2) for g in gradient), rel=1e-5)
        assert slope == pytest.approx(sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True)), rel=1e-6)
    assert runs._one_epoch(weights, x, y, 1e3, False, 1e4) == (np.inf, np.inf)


def _gradient(weights: list[np.ndarray], x: np.ndarray, y: np.ndarray, centred: bool) -> list[np.ndarray]:
    """Central differences, entry by entry."""
    found, h = [], 1e-6
    for w in weights:
        g = np.empty_like(w)
        for i in np.ndindex(w.shape):
            kept = w[i]
            w[i] = kept + h
            up = runs._loss(weights, x, y, centred)
            w[i] = kept - h
            g[i] = (up - runs._loss(weights, x, y, centred)) / (2 * h)
            w[i] = kept
        found.append(g)
    return found


def test_one_image_a_step_is_gradient_descent() -> None:
    network = dg.fisher.Network(
        depth=3, width=6, n_inputs=6, n_outputs=2, activation="hard_tanh", weight_variance=1.1, bias_variance=0.01,
        parametrisation="standard", weights="orthogonal", train_biases=False, seed=1,
    )  # fmt: skip
    rng = np.random.default_rng(2)
    x, y, rates = rng.normal(size=(4, 6)), rng.normal(size=(4, 2)), np.array([0.3, 2.0])
    losses = runs._online(network, x, y, rates, np.inf, lambda done, total: None)
    for rate, row in zip(rates, losses, strict=True):
        at = network
        for t in range(4):
            error = at(x[t : t + 1]) - y[t]
            assert row[t] == pytest.approx(0.5 * float(np.sum(error**2)) / 6, rel=1e-12)
            gradient = error[0] @ at.jacobian(x[t : t + 1])[0] / 6
            at = at.with_parameters(at.parameters - rate * gradient)


def test_boundaries() -> None:
    rates = np.exp(np.arange(6.0))
    peak = np.array([[0.9, 1.0, 3.0, 1.1, np.inf, np.inf], [1.0, 1.0, 1.1, 5.0, np.inf, np.inf]])
    found = item._boundaries(
        xr.Dataset({"peak": (("instance", "rate"), peak), "first_loss": ("instance", [1.0, 1.0])}, {"rate": rates})
    )
    assert float(found.diverges) == pytest.approx(3.5)
    assert float(found.rises) == pytest.approx((1.5 + 2.5) / 2)
    assert float(found.diverges_error) == pytest.approx(12**-0.5)
    assert float(found.rises_error) == pytest.approx((1 / 12 + 0.5 / 2) ** 0.5)
    never = xr.Dataset(
        {"peak": (("instance", "rate"), np.ones((1, 6))), "first_loss": ("instance", [1.0])}, {"rate": rates}
    )
    assert np.isnan(float(item._boundaries(never).diverges))
    assert item._number(float("nan"), float("nan")) == "outside the rates tried"


def test_eigenvalue_of_given_inputs() -> None:
    """Wide networks have it; Gaussian inputs of many dimensions give back the theory of the talk."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(runs.BATCH, 8)) + 0.5  # far from orthogonal
    x *= np.sqrt(8) / np.linalg.norm(x, axis=1, keepdims=True)
    epoch = runs.Epoch(600, (0.1,), 50, False, "")
    for centred in (False, True):
        networks = [epoch._network(8, 0, i) for i in range(4)]
        values = [np.linalg.eigvalsh(one.fisher(x, centred=centred))[-10:].mean() for one in networks]
        error = np.std(values, ddof=1) / 2
        theory = item._image_eigenvalue(x, 600, centred)
        # 1/M corrections beside the spread
        assert abs(np.mean(values) - theory) < 4 * error + 0.05 * theory
    many = rng.normal(size=(runs.BATCH, 20000))
    many *= np.sqrt(20000) / np.linalg.norm(many, axis=1, keepdims=True)
    assert item._image_eigenvalue(many, 300, False) == pytest.approx(item._gaussian_eigenvalue(20000, 300), rel=2e-3)


@pytest.mark.no_sanitizer
def test_fisher(tmp_path: Path, images: str) -> None:
    rates = item._geometric(1e-3, 10.0, 9)
    sizes = item.Sizes((20, 40, 80), 2, 6, 150, (16, 32), rates, 200, (2, 4), 16, item._geometric(0.3, 10.0, 8), 100, 2)
    written = item._reproduce(tmp_path, sizes, Path(images), workers=1)
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == SUFFIXES
    growth = dg.load(tmp_path / "growth.nc")
    at = growth.sel(normalisation="none")
    assert float(np.abs((at["mean"] - growth.theory) / at.error).max()) < 4
    for kind in ("layer", "batch"):
        one = growth.sel(normalisation=kind)
        assert float(one.last_exponent) > 0.5
    centred = growth.sel(normalisation="mean_subtraction")
    assert float(centred.exponent) < 0.5
    spectrum = dg.load(tmp_path / "spectrum.nc")
    assert abs(float((spectrum.trace - spectrum.trace_theory) / spectrum.trace_error)) < 4
    pull = np.abs(spectrum.excess / spectrum.excess_error)
    assert float(pull.max()) < 5
    assert float(spectrum.mean_gradient_share) > 0.99
    # C outliers for squares, C - 1 for the cross entropy
    c = spectrum.attrs["n_outputs"]
    for name, n in (("gaussian", c), ("categorical", c - 1)):
        assert item._outliers(spectrum[name].values, c) == n
    epoch, online = dg.load(tmp_path / "epoch.nc"), dg.load(tmp_path / "online.nc")
    assert epoch.attrs["source"] == online.attrs["source"] == "patterns"
    for one in (epoch, online):
        assert bool((one.diverges >= one.rises - 1e-12).all())
    table = (tmp_path / "table.txt").read_text("utf-8")
    assert "cross entropy: number of eigenvalues of order M, C = 4" in table
    # Instances are not run again
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "instances").iterdir()}
    item._reproduce(tmp_path, sizes, Path(images), workers=1)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "instances").iterdir()}
