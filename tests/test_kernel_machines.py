"""Training in the kernel regime: gradient flow against the matrix exponential, laws over initialisations, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepglass.kernels import nngp_and_ntk, ntk, ntk_classification, ntk_regression
from deepglass.reference import kernels as reference

Array = NDArray[np.float64]

NETWORK = {"activation": "erf", "hidden_layers": 2, "weight_variance": 2.0, "bias_variance": 0.1}


def problem(n: int = 12, n_test: int = 5, n_outputs: int = 2) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, 6)), rng.normal(size=(n, n_outputs)), rng.normal(size=(n_test, 6))


# ---- Kernel machine = reference


@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_gradient_flow(ridge: float) -> None:
    x, y, x_test = problem()
    times = [0.0, 0.3, 2.0, np.inf]
    fit = ntk_regression(x, y, x_test, **NETWORK, times=times, learning_rate=0.5, ridge=ridge)
    theta, theta_test = ntk(x, **NETWORK), ntk(x_test, x, **NETWORK)
    m = theta + ridge * np.eye(len(x))
    for i, t in enumerate(times):
        # The part of y that M has learnt, by the matrix exponential; the network shows Theta M^{-1} of it.
        learnt, test = reference.gradient_flow(m, theta_test, y, 0.5, t) if np.isfinite(t) else (y, None)
        if test is None:
            test = theta_test @ np.linalg.solve(m, y)
        np.testing.assert_allclose(fit["train"][i], theta @ np.linalg.solve(m, learnt), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(fit["test"][i], test, rtol=1e-10, atol=1e-12)
    assert float(fit["jitter"]) == 0.0
    losses = fit["loss"].values
    assert losses[0] == pytest.approx(0.5 * np.sum(y**2)) and (np.diff(losses) < 0).all()
    assert (losses[-1] < 1e-20) == (ridge == 0.0)


@pytest.mark.parametrize("trained", ["all", "last"])
def test_law_over_initialisations(trained: str) -> None:
    """f_t is linear in f_0: its response to each value of f_0, and the law of these, give mean and covariance."""
    x, y, x_test = problem(7, 4, 1)
    n, n_test = len(x), len(x_test)
    options: dict[str, Any] = {"times": [0.4, np.inf], "ridge": 0.2, "trained": trained}
    fit = ntk_regression(x, y, x_test, **NETWORK, **options, covariance=True)
    units = np.eye(n + n_test)
    start = (units[:n], units[n:])  # one output each
    response = ntk_regression(x, np.zeros((n, n + n_test)), x_test, **NETWORK, **options, initial=start)["test"]
    everything = nngp_and_ntk(np.concatenate([x, x_test]), **NETWORK)[0]
    for i in range(2):
        linear = response.values[i]  # (n_test, n + n_test)
        wanted = linear @ everything @ linear.T
        np.testing.assert_allclose(fit["test_covariance"][i], wanted, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(fit["test_variance"][i], np.diag(wanted), rtol=1e-10, atol=1e-12)
    variance = ntk_regression(x, y, x_test, **NETWORK, **options)["test_variance"]
    np.testing.assert_allclose(variance, fit["test_variance"], rtol=1e-10, atol=1e-12)


def test_last_layer_is_bayesian() -> None:
    """With the last layer trained to the end: the posterior of a Gaussian process."""
    x, y, x_test = problem()
    fit = ntk_regression(x, y, x_test, **NETWORK, trained="last", covariance=True)
    k, k_test = nngp_and_ntk(x, **NETWORK)[0], nngp_and_ntk(x_test, x, **NETWORK)[0]
    own = nngp_and_ntk(x_test, **NETWORK)[0]
    np.testing.assert_allclose(fit["test"][0], k_test @ np.linalg.solve(k, y), rtol=1e-9)
    posterior = own - k_test @ np.linalg.solve(k, k_test.T)
    np.testing.assert_allclose(fit["test_covariance"][0], posterior, rtol=1e-9, atol=1e-12)


def test_flow_is_integrated_training() -> None:
    """A step of gradient descent with a small rate, repeated, in function space."""
    x, y, x_test = problem()
    theta, theta_test = ntk(x, **NETWORK), ntk(x_test, x, **NETWORK)
    errors = []
    for steps in (200, 400):
        f, f_test = np.zeros_like(y), np.zeros((len(x_test), y.shape[1]))
        for _ in range(steps):
            f, f_test = f + theta @ (y - f) / steps, f_test + theta_test @ (y - f) / steps
        fit = ntk_regression(x, y, x_test, **NETWORK, times=1.0)
        errors.append(max(np.abs(fit["train"][0] - f).max(), np.abs(fit["test"][0] - f_test).max()))
    assert 1.8 < float(errors[0] / errors[1]) < 2.2  # Euler's method: first order


def test_at_training_points() -> None:
    x, y, _ = problem()
    fit = ntk_regression(x, y, x, **NETWORK, times=[0.7, np.inf])
    np.testing.assert_allclose(fit["train"], fit["test"], rtol=1e-10, atol=1e-12)
    assert fit["test_variance"][1].values.max() < 1e-12 * float(nngp_and_ntk(x, **NETWORK)[0].max())


def test_dataset() -> None:
    x, y, x_test = problem(n_outputs=1)
    fit = ntk_regression(x, y[:, 0], x_test, **NETWORK)
    assert dict(fit.sizes) == {"time": 1, "sample": 12, "output": 1, "test_sample": 5}
    assert fit.attrs["function"] == "deepglass.kernels.ntk_regression"
    assert "hidden_layers" in fit.attrs["parameters"]


# ---- Singular kernels


def test_jitter() -> None:
    """Inputs that only rounding tells apart: nothing is equal, and yet the Cholesky factor does not exist."""
    x = np.linspace(-1, 1, 40)[:, np.newaxis] * 0.1
    fit = ntk_regression(x, np.sin(x[:, 0]), x, **NETWORK)
    assert 0 < float(fit["jitter"]) < 1e-9
    np.testing.assert_allclose(fit["train"][0, :, 0], np.sin(x[:, 0]), atol=1e-6)  # sin is smooth: well learnt


def test_rows_that_are_the_same() -> None:
    x, y, x_test = problem()
    again = x.copy()
    again[7], again[9] = x[2], x[2]
    with pytest.raises(ValueError, match=r"rows 2 and 7, 2 and 9, 7 and 9 \(3 pair\(s\)\)"):
        ntk_regression(again, y, x_test, **NETWORK)
    assert np.isfinite(ntk_regression(again, y, x_test, **NETWORK, ridge=1e-3)["test"]).all()
    # Without bias relu does not tell lengths apart, nor erf signs.
    again = x.copy()
    again[3] = 2.5 * x[1]
    bare = NETWORK | {"bias_variance": 0.0}
    with pytest.raises(ValueError, match="rows 1 and 3"):
        ntk_regression(again, y, x_test, **(bare | {"activation": "relu"}))
    ntk_regression(again, y, x_test, **bare)
    again[3] = -x[1]
    with pytest.raises(ValueError, match="rows 1 and 3"):
        ntk_regression(again, y, x_test, **bare)
    again[4] = 0.0
    with pytest.raises(ValueError, match="row 4 has kernel 0"):
        ntk_regression(again, y, x_test, **bare)


# ---- Classification


def test_two_classes_are_a_sign() -> None:
    x, y, x_test = problem(20, 30, 1)
    labels = np.where(y[:, 0] > 0, "up", "down")
    found = ntk_classification(x, labels, x_test, **NETWORK)
    sign = ntk_regression(x, np.where(labels == "up", 1.0, -1.0), x_test, **NETWORK)["test"][0, :, 0]
    np.testing.assert_array_equal(found["label"] == "up", sign > 0)
    np.testing.assert_allclose(found["margin"], np.abs(sign), rtol=1e-9, atol=1e-12)


def k_local(rng: np.random.Generator, n: int, d: int, sites: list[int]) -> tuple[Array, NDArray[np.int_]]:
    x = rng.normal(size=(n, d))
    return x, (np.prod(x[:, sites], axis=1) > 0).astype(int)


def test_parity_that_the_kernel_does_not_have() -> None:
    """relu with one hidden layer and no bias has degree 1 and even degrees only: at chance on a cubic label."""
    rng = np.random.default_rng(2)
    x, labels = k_local(rng, 400, 8, [1, 4, 7])
    x_test, truth = k_local(rng, 1000, 8, [1, 4, 7])
    network: dict[str, Any] = {"activation": "relu", "weight_variance": 2.0, "bias_variance": 0.0, "ridge": 1e-6}
    wrong = [
        float(np.mean(ntk_classification(x, labels, x_test, hidden_layers=layers, **network)["label"] != truth))
        for layers in (1, 3)
    ]
    assert abs(wrong[0] - 0.5) < 4 * 0.5 / np.sqrt(1000)
    assert wrong[1] < 0.4


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "error"), [(1, 0.103), (3, 0.083), (7, 0.086)])
def test_one_local_error(layers: int, error: float) -> None:
    """Test errors measured elsewhere with a NumPy program, one or two data sets."""
    found = []
    for seed in (1, 2, 3):
        rng = np.random.default_rng(seed)
        x, labels = k_local(rng, 1000, 100, [17])
        x_test, truth = k_local(rng, 5000, 100, [17])
        network = {"activation": "relu", "hidden_layers": layers, "weight_variance": 2.0, "bias_variance": 0.0}
        label = ntk_classification(x, labels, x_test, **network, ridge=1e-5)["label"]
        found.append(float(np.mean(label != truth)))
    assert abs(np.mean(found) - error) < 4 * 0.007  # the error of one data set


# ---- Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.zeros(3)}, r"y must be an array of numbers of shape \(12,\) or \(12, n_outputs\), got float64"),
        ({"y": np.full(12, np.nan)}, r"y must be finite, got nan"),
        ({"X": np.full((12, 6), np.inf)}, r"X must be finite, got inf in row 0, column 0"),
        ({"X_test": np.zeros((2, 5))}, r"X_test must be an array of numbers of shape \(n, 6\)"),
        ({"times": -1.0}, r"times must be numbers >= 0, got -1.0"),
        ({"times": []}, r"times must be numbers >= 0"),
        ({"learning_rate": 0.0}, r"learning_rate must be a finite number > 0, got 0.0"),
        ({"ridge": -1.0}, r"ridge must be a finite number >= 0, got -1.0"),
        ({"trained": "first"}, r"trained must be one of 'all', 'last', got 'first'"),
        ({"initial": np.zeros(3)}, r"initial must be a pair"),
        ({"initial": (np.zeros(12), np.zeros(4))}, r"initial\[1\] must be an array of numbers of shape \(5,\)"),
        ({"initial": (np.zeros((12, 2)), np.zeros((5, 3)))}, r"initial must have 2 output"),
        ({"hidden_layers": 1.5}, r"hidden_layers must be an integer"),
        ({"max_memory": 1e3}, r"max_memory must be at least"),
    ],
)
def test_errors(changes: dict[str, Any], message: str) -> None:
    x, y, x_test = problem()
    arguments: dict[str, Any] = {"X": x, "y": y, "X_test": x_test, **NETWORK} | changes
    with pytest.raises(ValueError, match=message):
        ntk_regression(arguments.pop("X"), arguments.pop("y"), arguments.pop("X_test"), **arguments)


def test_classification_errors() -> None:
    x, _, x_test = problem()
    with pytest.raises(ValueError, match=r"labels must have shape \(12,\), got \(3,\)"):
        ntk_classification(x, ["a", "b", "c"], x_test, **NETWORK)
    with pytest.raises(ValueError, match="labels must be of at least 2 classes"):
        ntk_classification(x, ["a"] * 12, x_test, **NETWORK)
