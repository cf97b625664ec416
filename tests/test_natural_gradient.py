"""Natural gradient: dense matrices, isotropy constants of the table, limits, bad input."""

import importlib
import math

import numpy as np
import pytest

import deepglass as dg
from deepglass.reference import fisher as reference

Network, natural_gradient = dg.fisher.Network, dg.fisher.natural_gradient
SMALL = {"depth": 3, "width": 6, "n_inputs": 4, "n_outputs": 2, "weight_variance": 1.7, "bias_variance": 0.3, "seed": 5}
METRICS = ["exact", "block_diagonal", "block_tridiagonal", "kfac", "unit_wise"]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def response(network, x, metric, damping=0.0, where=None):
    """Thetabar, column by column: one update towards f - e_n."""
    f, columns = network(x), []
    for n in range(f.size):
        unit = np.eye(f.size)[n].reshape(f.shape)
        step = natural_gradient(network, x, f - unit, metric=metric, damping=damping, learning_rate=1.0, X_test=where)
        name = "train" if where is None else "test"
        columns.append(((step[name][0] - step[name][1]).values.ravel(), step.displacement.values))
    return np.column_stack([c[0] for c in columns]), np.column_stack([c[1] for c in columns])


@pytest.mark.parametrize("damping", [0.0, 0.3])
@pytest.mark.parametrize(("name", "c"), [("tanh", 2), ("relu", 1)])
@pytest.mark.parametrize("metric", METRICS)
def test_natural_gradients_are_those_of_dense_matrices(metric, name, c, damping):
    small = {**SMALL, "n_outputs": c, "width": 8}
    network, x, other = Network(activation=name, **small), normal(1, 3, 4), normal(2, 2, 4)
    layers = network.gradients(x)
    root = math.sqrt(damping) if metric == "kfac" else 0.0
    dense = reference.metric(metric, [g.inputs for g in layers], [g.delta for g in layers], root)
    if metric != "kfac":
        dense += damping * np.eye(len(dense))
    j, j_other = (network.jacobian(z).reshape(len(z) * c, -1) for z in (x, other))
    update = np.linalg.pinv(dense, rcond=1e-11, hermitian=True) @ j.T / 3
    tolerance = 1e-8 * np.abs(update).max()  # the pseudo-inverse of a metric with condition number 1e4 .. 1e7
    kernel, steps = response(network, x, metric, damping)
    np.testing.assert_allclose(steps, -update, rtol=0, atol=tolerance)
    np.testing.assert_allclose(kernel, j @ update, rtol=0, atol=tolerance * np.abs(j).sum(axis=1).max())
    at_others = response(network, x, metric, damping, where=other)[0]
    np.testing.assert_allclose(at_others, j_other @ update, rtol=0, atol=tolerance * np.abs(j_other).sum(axis=1).max())


N = 20


def wide(name, depth, width=200, c=1):
    """The network of the table of the specification, inputs and targets."""
    law = {"weight_variance": 2.0, "bias_variance": 0.1, "seed": 1}
    network = Network(depth=depth, width=width, n_inputs=60, n_outputs=c, activation=name, **law)
    return network, normal(8, N, 60), normal(9, N, c)


@pytest.mark.parametrize(
    ("name", "depth", "c"),
    [("relu", 3, 1), ("relu", 4, 2), ("tanh", 3, 1), ("tanh", 4, 1), ("tanh", 6, 1), ("tanh", 3, 2)],
)
def test_isotropy_constants(name, depth, c):
    network, x, y = wide(name, depth, c=c)
    expected = {
        "exact": 1,
        "block_diagonal": depth,
        "block_tridiagonal": depth // 3 + depth % 3,
        # The last layer gives 1 for any number of outputs: its deltas are the same for all samples.
        "kfac": N * (depth - 1) + 1,
    }
    if name == "tanh" and c == 1:
        expected["unit_wise"] = 200 * (depth - 1) + 1
    for metric, alpha in expected.items():
        step = natural_gradient(network, x, y, metric=metric, X_test=x)
        assert math.isclose(step.alpha, alpha, rel_tol=1e-13), metric
        # Rounding; of unit_wise times the ratio of the gradients of a unit.
        assert step.residual < (1e-9 if metric == "unit_wise" else 5e-14), metric
        assert step.loss[1] < 1e-17 * step.loss[0], metric
        np.testing.assert_allclose(step.test, step.train, rtol=0, atol=1e-9)
        moved = network.jacobian(x) @ step.displacement.values  # the same step in the parameters
        np.testing.assert_allclose(moved, y - network(x), rtol=0, atol=1e-8)


def test_natural_gradients_in_pieces(monkeypatch):
    network, x, y = wide("tanh", 3, width=30)
    whole = natural_gradient(network, x, y, metric="kfac", X_test=x[:3])
    monkeypatch.setattr(importlib.import_module("deepglass.fisher.natural"), "_MOST_AT_ONCE", 7 * 40 * 30)
    pieces = natural_gradient(network, x, y, metric="kfac", X_test=x[:3])
    np.testing.assert_allclose(pieces.test, whole.test, rtol=1e-11, atol=1e-12)


def test_unit_wise_relu_counts_active_units():
    network, x, y = wide("relu", 3)
    kernel = response(network, x, "unit_wise")[0]
    signals = [x @ network.weights[0].T + network.biases[0]]
    signals.append(np.maximum(signals[0], 0) @ network.weights[1].T + network.biases[1])
    active = 1 + sum((u > 0).sum(axis=1) for u in signals)
    # A unit counts for a sample where its gradient is not 0: it is active, and some unit above it, too.
    np.testing.assert_allclose(np.diag(kernel), active, rtol=1e-9)
    assert np.abs(kernel - np.diag(active)).max() < 1e-8
    step = natural_gradient(network, x, y, metric="unit_wise")
    assert math.isclose(step.alpha, active.mean(), rel_tol=1e-13)
    assert 0.5 * 400 - 30 < step.alpha < 0.5 * 400 + 30 and 1e-3 < step.residual < 0.2


def test_unit_wise_with_two_outputs_is_isotropic_at_infinite_width():
    residuals = []
    for width in (50, 400):
        network, x, y = wide("tanh", 3, width=width, c=2)
        step = natural_gradient(network, x, y, metric="unit_wise")
        assert math.isclose(step.alpha, width * 2 / 2 + 1, rel_tol=1e-12)
        residuals.append(float(step.residual))
    assert residuals[0] > 0.1 and 1.4 < residuals[0] / residuals[1] < 5  # 2.8: M^{-1/2}


def test_slopes_that_underflow_are_no_gradients():
    network, x, y = wide("tanh", 3, width=30)
    expected = float(natural_gradient(network, x, y, metric="unit_wise").alpha)
    parameters = network.parameters.copy()
    parameters[60] = 182 / math.sqrt(0.1)  # the bias of a unit: its slopes squared are about 1e-316
    saturated = network.with_parameters(parameters)
    step = natural_gradient(saturated, x, y, metric="unit_wise")
    assert np.isfinite(step.displacement).all()
    assert expected - 1 <= step.alpha < expected


@pytest.mark.parametrize("metric", METRICS)
def test_all_modes_are_trained_alike(metric):
    network, x, y = wide("tanh", 4, width=50)
    alpha = float(natural_gradient(network, x, y, metric=metric).alpha)
    for scaled in (0.3, 1.5):
        path = natural_gradient(network, x, y, metric=metric, learning_rate=scaled / alpha, steps=8)
        shrink = (1 - scaled) ** path.step.values[:, np.newaxis, np.newaxis]
        np.testing.assert_allclose(path.train, y + shrink * (network(x) - y), rtol=0, atol=1e-9)
    diverging = natural_gradient(network, x, y, metric=metric, learning_rate=2.1 / alpha, steps=8)
    assert diverging.loss[8] > diverging.loss[0]


def test_the_exact_metric_ends_where_gradient_flow_ends():
    network, x, y = wide("tanh", 3)
    other = normal(11, 5, 60)
    step = natural_gradient(network, x, y, X_test=other)
    flow = network(other) + network.ntk(other, x) @ np.linalg.solve(network.ntk(x), y - network(x))
    np.testing.assert_allclose(step.test[1], flow, rtol=0, atol=1e-11)
    # All fit the samples, with other parameters: the exact one moves them least.
    norms = {m: np.linalg.norm(natural_gradient(network, x, y, metric=m).displacement) for m in METRICS}
    assert min(norms, key=norms.get) == "exact" and len({round(norm, 6) for norm in norms.values()}) == 5


@pytest.mark.parametrize("metric", METRICS)
def test_the_limit_of_weak_damping(metric):
    network, x, y = wide("tanh", 3, width=50)
    limit = natural_gradient(network, x, y, metric=metric, learning_rate=1.0)
    power = 0.5 if metric == "kfac" else 1.0  # each of its factors is damped with the root
    distances = []
    # As small against the eigenvalues of the metric as rounding allows; those of single units are much smaller.
    strengths = 1e-5 * np.array([1.0, 1e-1]) ** (1 / power) * {"unit_wise": 1e-7, "kfac": 1e-5}.get(metric, 1.0)
    for damping in strengths:
        weak = natural_gradient(network, x, y, metric=metric, damping=damping, learning_rate=1.0)
        assert weak.alpha == limit.alpha
        distances.append(float(np.abs(weak.train - limit.train).max()))
    assert 7 < distances[0] / distances[1] < 13, distances


def test_one_step_of_the_network_itself():
    losses = []
    for width in (50, 400):
        network, x, y = wide("tanh", 3, width=width)
        step = natural_gradient(network, x, y)
        trained = network.with_parameters(network.parameters + step.displacement.values)
        losses.append(float(np.mean((trained(x) - y) ** 2) / np.mean((network(x) - y) ** 2)))
    assert losses[1] < losses[0] / 4 and losses[1] < 0.01  # of order 1 / width


def test_bad_natural_gradients():
    network, x, y = wide("tanh", 3, width=15)
    with pytest.raises(ValueError, match="metric must be one of 'exact', 'block_diagonal'"):
        natural_gradient(network, x, y, metric="diagonal")
    with pytest.raises(ValueError, match="damping must be > 0 here: the inputs of layer 2 have rank 16, less than 20"):
        natural_gradient(network, x, y, metric="kfac")
    with pytest.raises(ValueError, match="the gradients of layer 3 have rank 16, less than 20"):
        natural_gradient(network, x, y, metric="block_diagonal")
    assert natural_gradient(network, x, y, metric="kfac", damping=0.1).alpha < 41
    twice = np.vstack([x[:3], x[:1]])
    with pytest.raises(ValueError, match="the gradients have rank 3, less than 4"):
        natural_gradient(network, twice, y[:4])
    with pytest.raises(ValueError, match="metric must not be 'block_tridiagonal' at depth 2, 5, 8"):
        natural_gradient(wide("tanh", 5)[0], x, y, metric="block_tridiagonal")
    with pytest.raises(ValueError, match=r"y must have shape \(20, 1\), got \(3, 1\)"):
        natural_gradient(network, x, y[:3])
    with pytest.raises(ValueError, match=r"y must be an array of numbers of shape \(n, 1\)"):
        natural_gradient(network, x, y[:, 0])
    with pytest.raises(ValueError, match="damping must be a finite number >= 0"):
        natural_gradient(network, x, y, damping=-1.0)
    with pytest.raises(ValueError, match="learning_rate must be a finite number > 0"):
        natural_gradient(network, x, y, learning_rate=0.0)
    silent = Network(activation="relu", **{**SMALL, "bias_variance": 0.0})
    with pytest.raises(ValueError, match="X must be inputs at which the network has gradients"):
        natural_gradient(silent, np.zeros((1, 4)), np.zeros((1, 2)), damping=1.0)
    with pytest.raises(ValueError, match="metric 'unit_wise' needs"):
        natural_gradient(network, normal(1, 4200, 60), normal(2, 4200, 1), metric="unit_wise", damping=1.0)
    with pytest.raises(ValueError, match="network must be a Network, got str"):
        natural_gradient("tanh", x, y)
