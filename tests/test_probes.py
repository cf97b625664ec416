"""Linear probes: correlations and fits against NumPy's, functions that units know exactly, networks before training."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepglass import learning
from deepglass.learning import Ising, Trained, linear_probes

pytestmark = pytest.mark.same_bits


def network(*weights, biases=None, initial=None):
    """One network with given weights (fan_in, fan_out)."""
    weights = [np.asarray(w, float)[np.newaxis] for w in weights]
    nothing = np.zeros(1)
    return Trained(
        classes=np.array([0, 1]),
        weights=tuple(weights),
        biases=tuple(
            np.zeros((1, w.shape[2])) if biases is None else np.array([b])
            for w, b in zip(weights, biases or weights, strict=True)
        ),
        epochs=np.zeros(1, int),
        state=np.array(["fitted"]),
        train_loss=nothing,
        train_error=nothing,
        displacement=nothing,
        initial_weights=tuple(weights) if initial is None else tuple(np.asarray(w, float)[np.newaxis] for w in initial),
    )


def random_network(rng, sizes):
    shapes = list(itertools.pairwise(sizes))
    weights, initial = ([rng.normal(size=shape) for shape in shapes] for _ in range(2))
    return network(*weights, biases=[rng.normal(size=n) for n in sizes[1:]], initial=initial)


@given(seed=st.integers(0, 2**32), n=st.integers(60, 100), d=st.integers(1, 6), depth=st.integers(0, 3))
@settings(max_examples=20)
def test_against_numpy(seed, n, d, depth):
    rng = np.random.default_rng(seed)
    net = random_network(rng, [d, *[5] * depth, 2])
    x = rng.normal(size=(n, d))
    features = {"a": rng.normal(size=n), "b": x[:, 0] ** 2, "c": x.sum(axis=1)}
    found = linear_probes(net, x, features)
    assert found.sizes == {
        "stage": 2,
        "network": 1,
        "layer": depth + 1,
        "unit": max(d, 5) if depth else d,
        "feature": 3,
    }
    for stage, weights in (("initial", net.initial_weights), ("trained", net.weights)):
        h = x
        for layer in range(depth + 1):
            if layer:
                bias = net.biases[layer - 1][0] if stage == "trained" else 0.0
                h = np.maximum(h @ weights[layer - 1][0] + bias, 0.0)
            at = found.sel(stage=stage, network=0, layer=layer)
            for name, y in features.items():
                ours = at.correlation.sel(feature=name).values
                assert np.isnan(ours[h.shape[1] :]).all()
                for unit in range(h.shape[1]):
                    if np.ptp(h[:, unit]) > 0:
                        wanted = np.corrcoef(h[:, unit], y)[0, 1]
                        assert ours[unit] == pytest.approx(wanted, abs=1e-12)
                    else:
                        assert np.isnan(ours[unit])
                # The projection by another decomposition, on columns that vary
                half = n // 2
                design = np.column_stack([np.ones(n), h])
                prediction = design[half:] @ (np.linalg.pinv(design[:half], rcond=1e-12) @ y[:half])
                rest, spread = y[half:] - prediction, y[half:] - y[half:].mean()
                wanted = 1 - (rest**2).sum() / (spread**2).sum()
                # Least squares of least norm is not the same with and without a column of ones, where units are dead
                if np.linalg.matrix_rank(design[:half]) == design.shape[1]:
                    assert at.explained_variance.sel(feature=name).item() == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_what_units_know_exactly():
    """|x_0 + x_1| is the sum of two units, x_0 x_1 of squares is not; inputs know what is linear in them."""
    rng = np.random.default_rng(1)
    half = rng.normal(size=(400, 3))
    x = rng.permutation(np.concatenate([half, -half]))
    first = np.array([[1.0, -1.0], [1.0, -1.0], [0.0, 0.0]])
    net = network(first, [[1.0], [1.0]], initial=(0.0 * first + [[0.0, 0.0], [0.0, 0.0], [1.0, -1.0]], [[1.0], [1.0]]))
    even = np.abs(x[:, 0] + x[:, 1])
    found = linear_probes(net, x, {"even": even, "linear": x @ [1.0, 2.0, -3.0], "shifted": 7.0 - 3.0 * even})
    explained, correlation = found.explained_variance.sel(network=0), found.correlation.sel(network=0)
    np.testing.assert_allclose(explained.sel(layer=0, feature="linear"), 1.0, atol=1e-12)
    assert (explained.sel(layer=0, feature="even") < 0.02).all()
    # Inputs are odd, the samples symmetric: no correlation with what is even, to rounding
    np.testing.assert_allclose(correlation.sel(layer=0, feature="even"), 0.0, atol=1e-13)
    assert explained.sel(layer=1, stage="trained", feature="even").item() == pytest.approx(1.0, abs=1e-12)
    assert explained.sel(layer=1, stage="initial", feature="even").item() < 0.02
    assert explained.sel(layer=1, stage="initial", feature="linear").item() < 0.9
    # Units and scales of features do not matter
    np.testing.assert_allclose(explained.sel(feature="shifted"), explained.sel(feature="even"), atol=1e-12)
    shifted, plain = (correlation.sel(feature=name) for name in ("shifted", "even"))
    np.testing.assert_allclose(shifted, -plain, atol=1e-12)
    np.testing.assert_allclose(
        correlation.sel(layer=1, unit=0, stage="trained", feature="linear"),
        -correlation.sel(layer=1, unit=1, stage="trained", feature="linear"),
        atol=1e-12,
    )


def test_energy_of_spins_is_even():
    """Two units for each bond, |s_i + s_j| = 1 + s_i s_j, know all of it; the spins nothing, but all of m."""
    law = Ising((3, 3), [2.0, 4.0])
    data = law.draw(2000, seed=1)
    spins = data.inputs.values.astype(float)
    both = np.concatenate([spins[:1000], -spins[:1000], spins[1000:], -spins[1000:]])
    sites = np.arange(9).reshape(3, 3)
    bonds = [pair for axis in (0, 1) for pair in zip(sites.ravel(), np.roll(sites, -1, axis).ravel(), strict=True)]
    first = np.zeros((9, 36))
    for k, (i, j) in enumerate(bonds):
        first[[i, j], 2 * k], first[[i, j], 2 * k + 1] = 1.0, -1.0
    features = {"E": law.energy(both), "m": both.mean(axis=1)}
    found = linear_probes(network(first, np.ones((36, 1))), both, features)
    np.testing.assert_allclose(found.correlation.sel(layer=0, feature="E", unit=slice(9)), 0.0, atol=1e-13)
    layer = found.explained_variance.sel(network=0, stage="trained")
    np.testing.assert_allclose(layer.sel(feature="m"), 1.0, atol=1e-11)
    assert layer.sel(feature="E", layer=0).item() < 0.05
    assert layer.sel(feature="E", layer=1).item() == pytest.approx(1.0, abs=1e-11)


def test_before_and_after_training():
    pytest.importorskip("torch")
    x = np.random.default_rng(1).normal(size=(1500, 10))
    y = x[:, 0] * x[:, 1]
    common = {"hidden_layers": 2, "width": 16, "max_epochs": 30, "threads": 1}
    moved = learning.train(x[:1000], y[:1000] > 0, [1, 2], 0.1, **common)
    still = learning.train(x[:1000], y[:1000] > 0, [1, 2], 1e-30, **common)
    for layer, weights in enumerate(still.weights):  # they have not moved, and are those at the start of both
        np.testing.assert_array_equal(moved.initial_weights[layer], weights)
    found, nothing = (linear_probes(trained, x[1000:], {"y": y[1000:]}) for trained in (moved, still))
    np.testing.assert_array_equal(found.correlation.sel(stage="initial"), nothing.correlation.sel(stage="trained"))
    known = found.explained_variance.sel(layer=[1, 2], feature="y")
    assert (known.sel(stage="trained") > known.sel(stage="initial") + 0.1).all()
    # The last hidden layer gives the outputs
    last = moved.hidden(x[:5])[-1]
    assert last.shape == (2, 5, 16)
    np.testing.assert_allclose(
        last @ moved.weights[-1] + moved.biases[-1][:, np.newaxis], moved.outputs(x[:5]), rtol=1e-5
    )
    assert len(moved.hidden(x[:5], initial=True)) == 2


def test_dead_networks_have_no_numbers():
    net = network(np.full((2, 3), np.inf), np.ones((3, 1)), initial=(np.ones((2, 3)), np.ones((3, 1))))
    x = np.random.default_rng(1).normal(size=(40, 2))
    found = linear_probes(net, x, {"x": x[:, 0]})
    assert np.isnan(found.explained_variance.sel(layer=1, stage="trained")).all()
    assert np.isfinite(found.explained_variance.sel(layer=[0, 1], stage="initial")).all()
    silent = linear_probes(network(np.zeros((2, 3)), np.ones((3, 1))), x, {"x": x[:, 0]})
    assert np.isnan(silent.correlation.sel(layer=1)).all() and (silent.explained_variance.sel(layer=1) <= 0.0).all()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "features must be one or more, got none"),
        ({"a": np.ones(40)}, r"features\['a'\] must not be constant over a half of the samples"),
        ({"a": np.repeat([0.0, 1.0, 2.0], [20, 10, 10])}, r"features\['a'\] must not be constant over a half"),
        ({"a": np.arange(39)}, r"features\['a'\] must have shape \(40,\), one for each row, got \(39,\)"),
        ({"a": np.r_[np.arange(39.0), np.nan]}, r"features\['a'\] must be finite, got nan"),
        ({"a": ["b"] * 40}, r"features\['a'\] must be an array of numbers"),
    ],
)
def test_bad_features(features, message):
    x = np.random.default_rng(1).normal(size=(40, 2))
    with pytest.raises(ValueError, match=message):
        linear_probes(network(np.ones((2, 3)), np.ones((3, 1))), x, features)


def test_other_bad_arguments():
    net, y = network(np.ones((2, 3)), np.ones((3, 1))), np.arange(11.0)
    with pytest.raises(ValueError, match="inputs must have 12 rows or more, 4 for each of 3 units, got 11"):
        linear_probes(net, np.random.default_rng(1).normal(size=(11, 2)), {"y": y})
    with pytest.raises(ValueError, match=r"inputs must be an array of numbers of shape \(n, 2\)"):
        linear_probes(net, np.ones((11, 3)), {"y": y})
    written = learning.two_local_network(3, (0, 1))
    with pytest.raises(ValueError, match="initial must be False: these networks have not been trained"):
        written.hidden(np.ones((4, 3)), initial=True)
    assert written.hidden([[1.0, 2.0, 0.0]])[0].tolist() == [[[3.0, 0.0, 0.0, 1.0]]]
