"""Double descent and jamming: exact risks against simulation, limits, the two sides of the transition."""

from __future__ import annotations

import doctest
import importlib
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

import deepglass as dg
from deepglass import learning

pytestmark = pytest.mark.same_bits


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


# ---- Least squares


def test_simulation_has_the_exact_risk():
    p = [40, 100, 160, 250, 400, 800, 2000]
    found = learning.least_squares_simulation(p, 200, noise_variance=0.25, n_repeats=8, seed=1)
    exact = learning.least_squares_risk(p, 200, noise_variance=0.25)
    np.testing.assert_allclose(exact.risk, [0.0629, 0.2525, 1.0256, 1.2204, 0.7513, 0.8335, 0.9278], atol=5e-5)
    assert (np.abs(found.variance - exact.variance) / found.variance_error).max() < 4
    assert (np.abs(found.bias - exact.bias)[3:] / found.bias_error[3:]).max() < 4
    assert found.bias[:3].max() < 1e-20


@pytest.mark.parametrize("ridge", [0.05, 1.0])
def test_simulation_with_ridge(ridge):
    p = [100, 400, 800]
    found = learning.least_squares_simulation(p, 400, noise_variance=0.5, ridge=ridge, n_repeats=16, seed=2)
    limit = learning.least_squares_risk(p, 400, noise_variance=0.5, ridge=ridge)
    for name in ("bias", "variance"):
        difference = np.abs(found[name] - limit[name])
        assert (difference < 4 * found[f"{name}_error"] + 0.01 * limit[name]).all()  # corrections 1/n


@given(ratio=st.floats(0.05, 20.0), ridge=st.floats(1e-3, 10.0))
def test_moments_are_integrals(ratio, ridge):
    n = 1000
    p = max(1, round(ratio * n))
    g = p / n
    found = learning.least_squares_risk(p, n, noise_variance=1.0, ridge=ridge)
    low, high = (1 - g**0.5) ** 2, (1 + g**0.5) ** 2

    def moment(k):
        # x = low + (high - low) sin^2 takes the square roots away
        def integrand(t):
            x = low + (high - low) * np.sin(t) ** 2
            return (high - low) ** 2 * (2 * np.sin(t) * np.cos(t)) ** 2 / (4 * np.pi * g * x) / (x + ridge) ** k

        atom = max(0.0, 1 - 1 / g) / ridge**k
        return integrate.quad(integrand, 0, np.pi / 2, epsabs=0, epsrel=1e-11, limit=500)[0] + atom

    assert found.bias.item() == pytest.approx(ridge**2 * moment(2), rel=1e-7)
    assert found.variance.item() == pytest.approx(g * (moment(1) - ridge * moment(2)), rel=1e-7)


@given(p=st.sampled_from([10, 80, 130, 700]), signal=st.floats(0.1, 4.0), noise=st.floats(0.01, 4.0))
def test_best_ridge(p, signal, noise):
    """The best ridge is s^2 g / signal (Hastie et al., section 6)."""
    n = 100
    best = noise * p / n / signal
    at = [
        learning.least_squares_risk(p, n, noise_variance=noise, signal=signal, ridge=best * factor).risk.item()
        for factor in (0.9, 1.0, 1.1)
    ]
    assert at[1] < min(at[0], at[2])


def test_small_ridge_is_none():
    """To the corrections of a finite number of samples, 1 / |p - n|."""
    p = [1000, 200_000]
    both = [learning.least_squares_risk(p, 10_000, noise_variance=1.0, ridge=ridge) for ridge in (0.0, 1e-9)]
    np.testing.assert_allclose(both[0].risk, both[1].risk, rtol=2e-4)


def test_infinite_at_the_threshold():
    risk = learning.least_squares_risk([98, 99, 100, 101, 102], 100, noise_variance=1.0).risk.values
    assert np.isinf(risk[1:4]).all() and np.isfinite(risk[[0, 4]]).all()


def test_many_random_features_are_the_kernel():
    """With the covariance kernel, of the compiled library, for the features."""
    n, d, ridge = 60, 10, 0.01
    found = learning.least_squares_simulation(
        [20, 20_000], n, dimension=d, noise_variance=0.2, ridge=ridge, n_repeats=4, n_test=300, seed=3
    )
    limit = []
    for repeat in range(4):
        rng = np.random.default_rng(dg.random.child_seed(3, repeat))
        x, x_test, b = rng.standard_normal((n, d)), rng.standard_normal((300, d)), rng.standard_normal(d)
        b /= np.linalg.norm(b)
        options = {"activation": "relu", "hidden_layers": 1, "weight_variance": 1.0, "bias_variance": 0.0}
        k, k_test = (dg.kernels.nngp(*pair, **options) for pair in ((x, None), (x_test, x)))
        predict = np.asarray(k_test) @ np.linalg.inv(np.asarray(k) + n * ridge * np.eye(n))
        limit.append((np.mean((predict @ (x @ b) - x_test @ b) ** 2), 0.2 * np.sum(predict**2) / 300))
    bias, variance = np.mean(limit, axis=0)
    assert float(found.bias[1]) == pytest.approx(bias, rel=0.02)  # 1 / sqrt(20,000), averaged
    assert float(found.variance[1]) == pytest.approx(variance, rel=0.02)
    assert abs(float(found.bias[0]) / bias - 1) > 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_features": 0}, "n_features must be an integer from 1"),
        ({"n_features": []}, "n_features must be an integer >= 1 or some of them, got none"),
        ({"n_features": [2, 2.5]}, "n_features must be an integer from 1 .* got 2.5"),
        ({"n_samples": 0}, "n_samples must be an integer from 1"),
        ({"noise_variance": -1.0}, "noise_variance must be >= 0, got -1.0"),
        ({"ridge": np.nan}, "ridge must be >= 0, got nan"),
    ],
)
def test_least_squares_refuses(change, message):
    arguments = {"n_features": 3, "n_samples": 5, "noise_variance": 0.1} | change
    for function in (learning.least_squares_risk, learning.least_squares_simulation):
        with pytest.raises(ValueError, match=message):
            function(**arguments)


# ---- Networks by width


def test_widths(torch):
    def draw(n, seed):
        x = np.random.default_rng(seed).standard_normal((n, 6))
        return x, x[:, 0] > 0

    options = {"n_train": 60, "flipped": 0.2, "max_epochs": 300, "n_repeats": 6, "n_test": 500, "seed": 1, "threads": 1}
    found = learning.width_sweep(draw, [2, 60], **options)
    again = learning.width_sweep(draw, [60], **options)
    for name in ("bias", "variance", "test_error"):  # a width does not depend on the others
        assert float(again[name][0]) == pytest.approx(float(found[name].sel(width=60)), rel=1e-6)
    assert found.n_parameters.values.tolist() == [8 * 2 + 1, 8 * 60 + 1]
    assert float(found.train_error.sel(width=60)) < 0.1 < float(found.train_error.sel(width=2))
    assert 0.1 < float(found.test_error.sel(width=60)) < 0.4 and found.n_dead.sum() == 0
    with pytest.raises(ValueError, match=r"flipped must be from 0 to 1/2, got 0\.7"):
        learning.width_sweep(draw, [2], 10, flipped=0.7)
    with pytest.raises(ValueError, match=r"dataset must be a DataLaw or a callable\(n, seed\)"):
        learning.width_sweep((np.eye(2), [0, 1]), [2], 10)
    with pytest.raises(ValueError, match="dataset must give labels of 2 classes, got 3"):
        learning.width_sweep(lambda n, seed: (np.eye(n), np.arange(n) % 3), [2], 10, n_repeats=2)


def test_bias_and_variance(torch, monkeypatch):
    """Of outputs y / 2 + 0.2 z: 0.25 and 0.04; the dead are left out."""
    from deepglass.learning import double_descent

    def draw(n, seed):
        x = np.random.default_rng(seed).standard_normal((n, 1))
        return x, x[:, 0] > 0

    def fake(x, y, seeds, *_, **__):
        n = len(seeds)

        def outputs(x):
            noise = np.random.default_rng(1).normal(size=(n, len(x), 1))
            return np.where(np.arange(n) == 0, np.nan, 0.5)[:, None, None] * np.sign(x) + 0.2 * noise

        nothing = np.zeros(n)
        state = np.array(["dead"] + ["fitted"] * (n - 1))
        return learning.Trained(np.unique(y), (), (), nothing, state, nothing, nothing, nothing), outputs

    class Fake:
        def __init__(self, *arguments, **options):
            self._trained, self.outputs = fake(*arguments, **options)

        def __getattr__(self, name):
            return getattr(self._trained, name)

    monkeypatch.setattr(double_descent, "train", Fake)
    found = learning.width_sweep(draw, [3], 10, n_repeats=11, n_test=4000, seed=1)
    assert found.bias.item() == pytest.approx(0.25, abs=4 * 0.2 / np.sqrt(10 * 4000))
    assert found.variance.item() == pytest.approx(0.04, abs=4 * 0.04 * np.sqrt(2 / (9 * 4000)))
    assert found.n_dead.item() == 1 and found.n_fitted.item() == 10
    assert 0.003 < found.test_error.item() < 0.02  # P(z > 2.5) = 0.0062


# ---- Jamming


def test_both_sides_of_jamming(torch):
    n = learning.effective_parameters(16, 16, 1)
    found = learning.jamming(
        [n // 2, 3 * n], n_inputs=16, width=16, hidden_layers=1, n_steps=1500, learning_rate=0.02, n_repeats=2, seed=1,
        threads=1,
    )  # fmt: skip
    below, above = (found.isel(n_samples=i) for i in (0, 1))
    assert (below.n_unsatisfied == 0).all() and (below.loss < 1e-8).all() and (below.steps < 1500).all()
    assert (above.loss > 0.01).all() and (above.n_unsatisfied > 0.5 * n).all() and (above.steps == 1500).all()
    assert (above.n_errors <= above.n_unsatisfied).all()
    np.testing.assert_allclose(found["load"], found.n_samples / n)


def test_adam_is_that_of_pytorch(torch):
    from deepglass.learning.jamming import _Adam, _start
    from deepglass.learning.training import losses, slopes

    x, y, stack = _start(30, 4, 5, 2, 2, 1)
    parameters = [p[1].clone().requires_grad_() for p in (*stack.weights, *stack.biases)]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    ours = _Adam(stack)
    for _ in range(20):
        values = stack.forward(x)
        ours.step(values, slopes("quadratic_hinge", values[-1], y) / 30, 0.01)
        h = x[1]
        for i, (w, b) in enumerate(zip(parameters[:3], parameters[3:], strict=True)):
            h = (torch.relu(h) if i else h) @ w + b
        optimizer.zero_grad()
        losses("quadratic_hinge", h, y[1]).mean().backward()
        optimizer.step()
    for mine, theirs in zip((*stack.weights, *stack.biases), parameters, strict=True):
        np.testing.assert_allclose(mine[1].numpy(), theirs.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7)])
def test_initial_weights_are_orthogonal(shape):
    from deepglass.learning.jamming import _orthogonal

    q = _orthogonal(np.random.default_rng(1), *shape)
    assert q.shape == shape
    gram = q @ q.T if shape[0] < shape[1] else q.T @ q
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-14)


def test_displacement_on_both_sides(torch):
    options = {
        "n_inputs": 8, "width": 10, "hidden_layers": 1, "waiting_times": [0, 1000], "longest_lag": 256, "n_repeats": 2,
        "seed": 2, "threads": 1,
    }  # fmt: skip
    found = learning.two_time_displacement([20, 500], **options)
    assert found.lag.values.tolist() == [2**k for k in range(9)]
    below, above = (found.displacement.isel(n_samples=i).mean("repeat") for i in (0, 1))
    assert float(below.sel(waiting_time=0, lag=256)) > 1e-4  # it has moved, and rests
    assert float(below.sel(waiting_time=1000).max()) < 1e-4 * float(above.sel(waiting_time=1000, lag=256))
    # Above, it goes on: by noise, linearly in the shortest lags
    growth = np.log2(above.sel(waiting_time=1000, lag=8) / above.sel(waiting_time=1000, lag=1)) / 3
    assert 0.7 < float(growth) < 1.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_samples": [0]}, "n_samples must be an integer from 1"),
        ({"n_samples": []}, "n_samples must be some integers >= 1, got none"),
        ({"width": 0}, "width must be an integer from 1"),
        ({"hidden_layers": 0}, "hidden_layers must be an integer from 1"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0, got 0.0"),
        ({"n_repeats": 0}, "n_repeats must be an integer from 1"),
    ],
)
def test_jamming_refuses(torch, change, message):
    arguments = {"n_samples": [3], "n_inputs": 2, "width": 2, "hidden_layers": 1} | change
    for function in (learning.jamming, learning.two_time_displacement):
        with pytest.raises(ValueError, match=message):
            function(**arguments)


@pytest.mark.slow
def test_jamming_of_the_reference_size(torch):
    """d = h = 16, two hidden layers: all satisfied at P / N = 1.5, none at 3, as measured by another program."""
    n = learning.effective_parameters(16, 16, 2)
    assert n == 529
    found = learning.jamming(
        [round(1.5 * n), 3 * n, round(3.5 * n)], n_inputs=16, width=16, hidden_layers=2, n_steps=6000,
        learning_rate=0.01, seed=1, threads=1,
    )  # fmt: skip
    assert (found.loss[0] < 1e-8).all() and (found.n_unsatisfied[0] == 0).all()
    assert (found.loss[1:] > 0.01).all()
    # There 1.01 and 2.09 in one run each
    np.testing.assert_allclose(found.n_unsatisfied[1:].mean("repeat") / n, [1.01, 2.09], atol=0.25)


@pytest.mark.parametrize("name", ["double_descent", "jamming"])
def test_doctests(torch, name):
    module = importlib.import_module(f"deepglass.learning.{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).failed == 0
