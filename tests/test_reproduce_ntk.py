"""Training of wide networks and the infinite one: the flow, its linearisation, numbers, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepglass as dg

pytestmark = pytest.mark.same_bits

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
item = pytest.importorskip("deepglass.reproduce.ntk")


def test_flow_follows_the_gradients() -> None:
    """d theta / dt = J^T (y - f), with the Jacobian of the network; parameters of weights and biases as they are."""
    x, y, _ = item._data()
    network = item._network(7, 0)
    state = (list(network.weights), list(network.biases))
    change, f = item._slopes(network, state, x, y)
    np.testing.assert_allclose(f, network(x)[:, 0], rtol=1e-13)
    h = 1e-6
    moved = item._moved(network, *item._plus(state, change, h))
    expected = network.jacobian(x)[:, 0].T @ (y - f)
    np.testing.assert_allclose(
        (moved.parameters - network.parameters) / h, expected, rtol=1e-7, atol=1e-7
    )  # rounding / h


def test_flow_is_of_fourth_order(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, x_test = item._data()
    network = item._network(16, 1)
    monkeypatch.setattr(item, "_TIMES", (0.0, 1.0))
    ends = []
    for step in (0.6, 0.3, 0.05):
        monkeypatch.setattr(item, "_STEP", step)
        ends.append(item._flow(network, x, y, x_test, lambda done, total: None)[0][-1])
    errors = [np.abs(one - ends[-1]).max() for one in ends[:2]]
    assert 10 < errors[0] / errors[1] < 25  # 2^4
    assert errors[0] < 1e-3


def test_linear_flow_is_that_of_the_kernel() -> None:
    """With the kernel of infinite width it is ntk_regression; it solves the equation of motion."""
    x, y, x_test = item._data()
    theta = dg.kernels.ntk(x, hidden_layers=2, **item._LAW)
    cross = dg.kernels.ntk(x_test, x, hidden_layers=2, **item._LAW)
    start = np.random.default_rng(1).normal(size=len(x) + len(x_test))
    found = item._linear_flow(theta, cross, start, y)
    flow = dg.kernels.ntk_regression(
        x, y, x_test, hidden_layers=2, times=item._TIMES, initial=(start[: len(x)], start[len(x) :]), **item._LAW
    )
    np.testing.assert_allclose(found[:, : len(x)], flow.train.values[:, :, 0], atol=1e-10)
    np.testing.assert_allclose(found[:, len(x) :], flow.test.values[:, :, 0], atol=1e-10)


def test_exponents() -> None:
    rng = np.random.default_rng(2)
    widths = np.array([10, 20, 40, 80])
    values = 3.0 * widths**-0.7 * np.exp(0.2 * rng.normal(size=(50, 4)))
    found = item._exponent(xr.DataArray(values, {"width": widths}, ("instance", "width")))
    assert abs(found.mean + 0.7) < 4 * found.error
    # Of a straight line through points with errors 0.2 / sqrt(50)
    logs = np.log(widths) - np.log(widths).mean()
    assert found.error == pytest.approx(0.2 / np.sqrt(50 * np.sum(logs**2)), rel=0.25)


@pytest.mark.no_sanitizer
def test_ntk(tmp_path: Path) -> None:
    sizes = item.Sizes((24, 96), 4, (48, 40), (1, 2, 4, 8, 16, 32, 64), 48, 6, 150, 12)
    written = item._reproduce(tmp_path, sizes, workers=1)
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    training = dg.load(tmp_path / "training.nc")
    for key in ("to_linear_test", "to_infinite_test", "kernel_change", "kernel_distance"):
        means = training[key].mean("instance")
        assert float(means[1]) < 0.8 * float(means[0]), key  # 4^-1/2 and 4^-1 in the limit
    # The linearisation is nearer than the infinite network
    assert float(training.to_linear_test[1].mean()) < float(training.to_infinite_test[1].mean())
    ensemble = dg.load(tmp_path / "ensemble.nc")
    for quantity in ("mean", "variance"):
        pull = (ensemble[quantity] - ensemble[f"{quantity}_theory"]) / ensemble[f"{quantity}_error"]
        assert float(np.abs(pull).max()) < 5
    smallest = dg.load(tmp_path / "smallest.nc")
    pull = (smallest.finite - smallest.eigenvalue.sel(layers=smallest.few).values) / smallest.finite_error
    assert float(np.abs(pull).max()) < 5
    at = smallest.sel(phase="tanh, chaos").eigenvalue
    rate = np.log(at.sel(layers=64) / at.sel(layers=32)) / 32
    assert float(rate) == pytest.approx(float(np.log(smallest.chi.sel(phase="tanh, chaos"))), abs=2e-3)
    relu = smallest.sel(phase="relu, critical")
    growth = (relu.eigenvalue.sel(layers=64) - relu.eigenvalue.sel(layers=32)) / (32 * relu.q)
    assert float(growth) == pytest.approx(0.75, abs=0.02)
    risk = dg.load(tmp_path / "risk.nc")
    pull = (risk.simulated - risk.theory) / risk.simulated_error
    assert float(np.abs(pull).max()) < 5
    last = risk.theory.sel(features="one layer")
    assert float(last.sel(share=1.0)) > 2 * float(last.sel(share=4.0))  # double descent
    assert "tanh, order: ln of the factor" in (tmp_path / "table.txt").read_text("utf-8")
