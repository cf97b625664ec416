"""Networks and data sets of the Monte Carlo family."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepglass import mc
from deepglass.mc import Data, PerceptronNetwork

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

BONDS = st.sampled_from(["spherical", "binary"])


@st.composite
def networks(draw: st.DrawFn, most: int = 9) -> PerceptronNetwork:
    depth = draw(st.integers(1, 4))
    widths = tuple(draw(st.lists(st.integers(1, most), min_size=depth + 1, max_size=depth + 1)))
    connectivity = draw(st.none() | st.integers(1, min(widths[:-1])))
    hidden, potential = draw(
        st.sampled_from([("free", "soft"), ("free", "count"), ("slaved", "count"), ("slaved", "hard")])
    )
    return PerceptronNetwork(
        widths, depth, draw(BONDS), potential, hidden, connectivity, draw(st.integers(0, 2**64 - 1))
    )


def same(a: Data, b: Data) -> bool:
    """Equal in all but provenance."""
    for field in dataclasses.fields(Data):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if field.name == "provenance":
            continue
        if isinstance(x, tuple):
            if len(x) != len(y) or not all(
                np.array_equal(p, q) and p.dtype == q.dtype for p, q in zip(x, y, strict=True)
            ):
                return False
        elif isinstance(x, np.ndarray):
            if not (np.array_equal(x, y) and x.dtype == y.dtype):
                return False
        elif x != y:
            return False
    return True


# The network.


@given(networks())
def test_network_survives_json(net: PerceptronNetwork) -> None:
    assert PerceptronNetwork.from_json(net.to_json()) == net
    assert json.loads(net.to_json())["hidden"] == net.hidden


def test_network_counts() -> None:
    net = PerceptronNetwork(width=(7, 5, 4, 2), depth=3)
    assert net.widths == (7, 5, 4, 2)
    assert [net.n_inputs(layer) for layer in (1, 2, 3)] == [7, 5, 4]
    assert net.n_bonds == 35 + 20 + 8
    assert net.n_hidden_spins(10) == 90
    sparse = dataclasses.replace(net, connectivity=3)
    assert sparse.n_bonds == 3 * (5 + 4 + 2)
    assert PerceptronNetwork(6, 1).n_hidden_spins(10) == 0


def test_network_defaults() -> None:
    assert PerceptronNetwork().potential == "soft"
    assert PerceptronNetwork(hidden="slaved").potential == "count"
    assert PerceptronNetwork((8, 8, 8), 2) == PerceptronNetwork(8, 2)
    assert PerceptronNetwork(np.array([8, 9]), 1).widths == (8, 9)  # type: ignore[arg-type]


@given(networks())
def test_graph_is_made_of_distinct_inputs(net: PerceptronNetwork) -> None:
    for layer in range(1, net.depth + 1):
        inputs = net.inputs(layer)
        if net.connectivity is None:
            assert inputs is None
            continue
        assert inputs is not None
        assert inputs.shape == (net.widths[layer], net.connectivity)
        assert (np.diff(inputs, axis=1) > 0).all()
        assert (inputs >= 0).all()
        assert (inputs < net.widths[layer - 1]).all()
        np.testing.assert_array_equal(inputs, net.inputs(layer))


def test_graph_is_uniform() -> None:
    inputs = PerceptronNetwork((10, 4000), 1, connectivity=3).inputs(1)
    assert inputs is not None
    counts = np.bincount(inputs.ravel(), minlength=10)
    # Each input is among the 3 of 10 with probability 0.3.
    assert (abs(counts - 1200) < 4 * math.sqrt(4000 * 0.3 * 0.7)).all()
    other = PerceptronNetwork((10, 4000), 1, connectivity=3, graph_seed=1).inputs(1)
    assert (inputs != other).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be an integer from 1 to 65535"),
        ({"width": 65536}, "width must be an integer from 1 to 65535"),
        ({"width": 3.5}, "width must be"),
        ({"width": (3, 4)}, r"width must be an integer or depth \+ 1 = 7 integers, got 2"),
        ({"width": (3, 4, 0), "depth": 2}, r"width\[2\] must be"),
        ({"depth": 0}, "depth must be an integer from 1 to 4095"),
        ({"depth": 4096}, "depth must be an integer from 1 to 4095"),
        ({"bonds": "gauss"}, "bonds must be one of"),
        ({"hidden": "clamped"}, "hidden must be one of"),
        ({"potential": "linear"}, "potential must be one of"),
        ({"potential": "hard"}, "changes the sign of its own gap"),
        ({"potential": "soft", "hidden": "slaved"}, "potential must be 'count' or 'hard' with hidden='slaved'"),
        ({"width": (9, 4, 9), "depth": 2, "connectivity": 5}, "connectivity must be an integer from 1 to 4"),
        ({"connectivity": 0}, "connectivity must be"),
        ({"graph_seed": -1}, "graph_seed must be"),
    ],
)
def test_network_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerceptronNetwork(**arguments)


def test_layer_and_json_errors() -> None:
    with pytest.raises(ValueError, match="layer must be an integer from 1 to 6, got 0"):
        PerceptronNetwork().inputs(0)
    with pytest.raises(ValueError, match="text must be JSON"):
        PerceptronNetwork.from_json("{")
    with pytest.raises(ValueError, match="keys among"):
        PerceptronNetwork.from_json('{"breadth": 3}')


# Machines.


@given(networks(), st.integers(0, 2**32))
def test_bonds_obey_their_prior(net: PerceptronNetwork, seed: int) -> None:
    for layer, bonds in enumerate(mc.random_bonds(net, seed), start=1):
        assert bonds.shape == (net.widths[layer], net.widths[layer - 1])
        assert bonds.dtype == (np.float32 if net.bonds == "spherical" else np.int8)
        norms = (bonds.astype(np.float64) ** 2).sum(axis=1)
        np.testing.assert_allclose(norms, net.n_inputs(layer), rtol=1e-6)  # float32
        inputs = net.inputs(layer)
        if inputs is not None:
            connected = np.zeros(bonds.shape, bool)
            np.put_along_axis(connected, inputs, True, axis=1)
            assert not bonds[~connected].any()
        if net.bonds == "binary":
            assert np.isin(bonds, (-1, 0, 1)).all()


def test_moments_of_the_prior() -> None:
    n = 5
    spherical = mc.random_bonds(PerceptronNetwork((n, 20000), 1), 3)[0].astype(np.float64)
    binary = mc.random_bonds(PerceptronNetwork((n, 20000), 1, "binary"), 3)[0]
    for bonds, fourth in ((spherical, 3 * n / (n + 2)), (binary, 1.0)):  # E J^4 on the sphere: 3 N / (N + 2)
        for power, expected in ((1, 0.0), (2, 1.0), (4, fourth)):
            sample = (bonds.astype(np.float64) ** power).mean(axis=1)
            error = sample.std() / math.sqrt(len(sample))
            assert abs(sample.mean() - expected) <= 4 * error + 1e-6, power
        products = (bonds[:, 0] * bonds[:, 1]).astype(np.float64)
        assert abs(products.mean()) < 4 * products.std() / math.sqrt(len(products))


def test_a_layer_of_bonds_knows_only_its_own_widths() -> None:
    a = mc.random_bonds(PerceptronNetwork((5, 4, 3), 2), 7)
    b = mc.random_bonds(PerceptronNetwork((8, 4, 3, 6), 3), 7)
    np.testing.assert_array_equal(a[1], b[1])


@given(networks(), st.integers(0, 2**32), st.integers(1, 9))
def test_forward_is_the_loop(net: PerceptronNetwork, seed: int, n_patterns: int) -> None:
    bonds = mc.random_bonds(net, seed)
    inputs = mc.random_data(net, n_patterns, seed).inputs
    layers = mc.forward(bonds, inputs)
    assert len(layers) == net.depth + 1
    np.testing.assert_array_equal(layers[0], inputs)
    for mu in range(n_patterns):
        spins = [int(s) for s in inputs[mu]]
        for layer, weights in enumerate(bonds, start=1):
            fields = [math.fsum(float(j) * s for j, s in zip(row, spins, strict=True)) for row in weights]
            spins = [1 if h >= 0 else -1 for h in fields]
            assert layers[layer][mu].tolist() == spins
    assert all(layer.dtype == np.int8 for layer in layers)


def test_sign_of_zero_is_plus() -> None:
    inputs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    np.testing.assert_array_equal(mc.forward([[[1, 1]]], inputs)[1].ravel(), [1, 1, 1, -1])
    np.testing.assert_array_equal(mc.forward([[[0.0, -0.0]]], inputs)[1].ravel(), [1, 1, 1, 1])


def test_forward_in_blocks() -> None:
    net = PerceptronNetwork(5, 2)
    inputs = mc.random_data(net, 8192 + 100, 1).inputs
    bonds = mc.random_bonds(net, 1)
    np.testing.assert_array_equal(mc.forward(bonds, inputs)[2][8190:], mc.forward(bonds, inputs[8190:])[2])


def test_noise_flips_each_neuron_of_all_layers() -> None:
    net = PerceptronNetwork(50, 3)
    bonds = mc.random_bonds(net, 1)
    inputs = mc.random_data(net, 400, 1).inputs
    layers = mc.forward(bonds, inputs, noise=0.2, seed=5)
    for layer in range(1, 4):
        flips = layers[layer] != mc.forward(bonds[layer - 1 : layer], layers[layer - 1])[1]
        assert abs(flips.mean() - 0.2) < 4 * math.sqrt(0.2 * 0.8 / flips.size)
    np.testing.assert_array_equal(mc.forward(bonds, inputs, noise=1.0, seed=5)[1], -mc.forward(bonds, inputs)[1])
    # More patterns do not change the flips of the first ones.
    fewer = mc.forward(bonds, inputs[:7], noise=0.2, seed=5)
    assert all(np.array_equal(x[:7], y) for x, y in zip(layers, fewer, strict=True))


def test_forward_errors() -> None:
    with pytest.raises(ValueError, match=r"bonds\[1\] must be numbers of shape \(N_2, 2\), got int64 \(1, 3\)"):
        mc.forward([[[1, 1], [1, 1]], [[1, 1, 1]]], [[1, 1]])
    with pytest.raises(ValueError, match="bonds must have at least one layer"):
        mc.forward([], [[1, 1]])
    with pytest.raises(ValueError, match=r"inputs must be numbers of shape \(n_patterns, 2\)"):
        mc.forward([[[1, 1]]], [[1, 1, 1]])
    with pytest.raises(ValueError, match="noise must be a probability"):
        mc.forward([[[1, 1]]], [[1, 1]], noise=1.5)


# Data sets.


def make(kind: str, net: PerceptronNetwork, n_patterns: int, seed: int, **options: Any) -> Data:
    if kind == "random":
        return mc.random_data(net, n_patterns, seed)
    if kind == "gibbs":
        return mc.teacher_data(net, n_patterns, seed, noise="gibbs", beta=1.0, **options)
    if kind == "teacher":
        return mc.teacher_data(net, n_patterns, seed, **options)
    return mc.hidden_manifold_data(net, n_patterns, 4, seed, labels_from=kind, **options)  # type: ignore[arg-type]


KINDS = ["random", "teacher", "gibbs", "input", "latent"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", ["free", "slaved"])
@given(bonds=BONDS, seed=st.integers(0, 2**32), n_patterns=st.integers(1, 20))
def test_first_patterns_do_not_depend_on_their_number(
    kind: str, hidden: str, bonds: Any, seed: int, n_patterns: int
) -> None:
    net = PerceptronNetwork((6, 5, 3), 2, bonds, "count", hidden)  # type: ignore[arg-type]
    options = {} if kind == "random" else {"n_test": 5}
    data = make(kind, net, 20, seed, **options)
    assert same(make(kind, net, n_patterns, seed, **options), data.subset(n_patterns))
    assert not same(make(kind, net, 20, seed + 1, **options), data)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_first_test_patterns_do_not_depend_on_their_number(kind: str) -> None:
    net = PerceptronNetwork((6, 5, 3), 2, potential="count")
    few, many = make(kind, net, 4, 3, n_test=3), make(kind, net, 4, 3, n_test=9)
    assert few.test_inputs is not None
    assert few.test_outputs is not None
    assert many.test_inputs is not None
    assert many.test_outputs is not None
    np.testing.assert_array_equal(few.test_inputs, many.test_inputs[:3])
    np.testing.assert_array_equal(few.test_outputs, many.test_outputs[:3])
    assert make(kind, net, 4, 3, n_test=0).test_inputs is None


def test_scenarios_share_teacher_and_nothing_else() -> None:
    net = PerceptronNetwork(12, 2)
    plain, manifold = mc.teacher_data(net, 30, 5), mc.hidden_manifold_data(net, 30, 12, 5)
    assert plain.teacher is not None
    assert manifold.teacher is not None
    assert all(np.array_equal(x, y) for x, y in zip(plain.teacher, manifold.teacher, strict=True))
    assert plain.test_inputs is not None
    # Children of the seed are independent: coins agree in half of the places.
    for x, y in ((plain.inputs, manifold.inputs), (plain.inputs, plain.test_inputs[:30])):
        agree = np.mean(x == y)
        assert abs(agree - 0.5) < 4 * 0.5 / math.sqrt(360)


def test_a_seed_is_kept_and_a_generator_drawn_from() -> None:
    net = PerceptronNetwork(12, 2)
    rng = np.random.default_rng(1)
    a, b = mc.random_data(net, 30, rng), mc.random_data(net, 30, rng)
    assert not same(a, b)
    assert same(a, mc.random_data(net, 30, int(a.provenance["seed"])))
    assert a.provenance["function"] == "mc.random_data"
    assert json.loads(a.provenance["parameters"])["net"]["width"] == 12


def test_random_data_are_coins() -> None:
    data = mc.random_data(PerceptronNetwork((40, 40, 30), 2), 500, 2)
    for spins in (data.inputs, data.outputs):
        assert abs(spins.mean()) < 4 / math.sqrt(spins.size)
    correlations = data.inputs.T.astype(float) @ data.outputs / math.sqrt(500)  # of variance 1
    assert abs((correlations**2).mean() - 1.0) < 4 * math.sqrt(2 / correlations.size)


@pytest.mark.parametrize("hidden", ["free", "slaved"])
def test_noiseless_teacher_makes_no_error(hidden: Any) -> None:
    data = mc.teacher_data(PerceptronNetwork(9, 3, hidden=hidden), 50, 3, n_test=20)
    assert data.teacher is not None
    assert data.test_inputs is not None
    np.testing.assert_array_equal(mc.forward(data.teacher, data.inputs)[-1], data.outputs)
    np.testing.assert_array_equal(mc.forward(data.teacher, data.test_inputs)[-1], data.test_outputs)
    assert data.planted_spins is None
    assert data.planted_beta is None


def test_planted_energy_is_that_of_equilibrium() -> None:
    """Spec 9.5: the mean over instances of E = L N M p; its variance, of independent flips, L N M p (1 - p)."""
    net = PerceptronNetwork(8, 3, potential="count")
    energies = []
    for seed in range(400):
        data = mc.teacher_data(net, 12, seed, noise="gibbs", beta=1.5, n_test=0)
        assert data.planted_spins is not None
        assert data.teacher is not None
        energy = 0
        for below, bonds, above in zip(data.planted_spins, data.teacher, data.planted_spins[1:], strict=False):
            energy += int((above * (below @ bonds.astype(np.float64).T) < 0).sum())
        energies.append(energy)
    p = math.exp(-1.5) / (1 + math.exp(-1.5))
    mean, variance = 8 * 3 * 12 * p, 8 * 3 * 12 * p * (1 - p)
    assert abs(mean - 52.5386) < 1e-4
    assert abs(np.mean(energies) - mean) < 4 * math.sqrt(variance / 400)
    assert abs(np.var(energies, ddof=1) / variance - 1.0) < 4 * math.sqrt(2 / 399)


def test_slaved_gibbs_noise_is_in_the_outputs_alone() -> None:
    data = mc.teacher_data(PerceptronNetwork(9, 3, hidden="slaved"), 300, 3, noise="gibbs", beta=2.0)
    assert data.teacher is not None
    assert data.planted_spins is not None
    spins = mc.forward(data.teacher, data.inputs)
    for layer in (1, 2):
        np.testing.assert_array_equal(spins[layer], data.planted_spins[layer])
    p = math.exp(-2.0) / (1 + math.exp(-2.0))
    assert abs(np.mean(spins[3] != data.outputs) - p) < 4 * math.sqrt(p * (1 - p) / data.outputs.size)


@pytest.mark.parametrize(
    ("arguments", "planted"),
    [
        ({"potential": "count"}, True),
        ({"potential": "soft"}, False),
        ({"potential": "count", "bonds": "binary"}, False),  # 8 inputs: fields vanish
        ({"potential": "count", "bonds": "binary", "connectivity": 3}, True),
        ({"hidden": "slaved", "bonds": "binary"}, True),
        ({"hidden": "slaved", "potential": "hard"}, False),
    ],
)
def test_planted_only_where_it_is_equilibrium(arguments: dict[str, Any], planted: bool) -> None:
    data = mc.teacher_data(PerceptronNetwork(8, 2, **arguments), 5, 1, noise="gibbs", beta=1.0)
    assert (data.planted_spins is not None) == planted
    assert data.planted_beta == (1.0 if planted else None)


def two_sided_weight(fields: np.ndarray, beta: float) -> np.ndarray:
    """Sum of exp(-beta v) over both values of a neuron, count potential."""
    return np.exp(-beta * (fields < 0)) + np.exp(-beta * (-fields < 0))


def test_planting_needs_fields_that_do_not_vanish() -> None:
    """The reason for the rule above: exp(-beta v) summed over S must not depend on the field."""
    spins = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1)
    assert np.ptp(two_sided_weight(np.ones(3) @ spins[:3], 1.0)) == 0.0
    assert np.ptp(two_sided_weight(np.ones(4) @ spins, 1.0)) > 0.5


def test_hidden_manifold_is_what_it_says() -> None:
    net = PerceptronNetwork((30, 8, 5), 2)
    for labels_from in ("input", "latent"):
        data = mc.hidden_manifold_data(net, 60, 4, 9, labels_from=labels_from, n_test=20)
        for latent, inputs, outputs in (
            (data.latent, data.inputs, data.outputs),
            (data.test_latent, data.test_inputs, data.test_outputs),
        ):
            assert latent is not None
            assert data.features is not None
            assert inputs is not None
            np.testing.assert_array_equal(np.where(latent @ data.features.T >= 0, 1, -1), inputs)
            if labels_from == "input":
                assert data.latent_teacher is None
                assert data.teacher is not None
                np.testing.assert_array_equal(mc.forward(data.teacher, inputs)[-1], outputs)
            else:
                assert data.teacher is None
                assert data.latent_teacher is not None
                assert data.latent_teacher[0].shape == (8, 4)
                np.testing.assert_allclose(np.linalg.norm(data.latent_teacher[0], axis=1), 2.0, rtol=1e-6)
                np.testing.assert_array_equal(mc.forward(data.latent_teacher, latent)[-1], outputs)


@pytest.mark.parametrize("dimension", [1, 5, 400])
def test_correlations_of_manifold_inputs(dimension: int) -> None:
    """E K_12^2 over x and F: two signs agree with the angle of x, plus 1/N from the sum over N rows."""
    n = 50
    samples = []
    for seed in range(60):
        data = mc.hidden_manifold_data(PerceptronNetwork(n, 1), 40, dimension, seed, n_test=0)
        kernel = mc.pattern_pairs(mc.neuron_kernel(data.inputs))
        assert data.latent is not None
        x = data.latent / np.linalg.norm(data.latent, axis=1, keepdims=True)
        expected = 2 / np.pi * np.arcsin(np.clip(mc.pattern_pairs(x @ x.T), -1, 1))  # mean of K given x
        samples.append(np.mean(kernel**2 - expected**2 - (1 - expected**2) / n))
    assert abs(np.mean(samples)) <= 4 * np.std(samples, ddof=1) / math.sqrt(60) + 1e-12


def test_subset_is_a_view_and_keeps_the_rest() -> None:
    data = mc.teacher_data(PerceptronNetwork(6, 2, potential="count"), 20, 1, "gibbs", 1.0, n_test=7)
    part = data.subset(12)
    assert (part.n_patterns, part.load) == (12, 2.0)
    assert np.shares_memory(part.inputs, data.inputs)
    assert part.test_inputs is data.test_inputs
    assert part.provenance["subset"] == "12"
    assert part.planted_spins is not None
    assert part.planted_spins[1].shape == (12, 6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bonds", ["spherical", "binary"])
def test_files(kind: str, bonds: Any, tmp_path: Path) -> None:
    options = {} if kind == "random" else {"n_test": 5}
    data = make(kind, PerceptronNetwork((7, 5, 3), 2, bonds, "count", connectivity=3), 12, 3, **options)
    data.save(tmp_path / "data.nc")
    again = Data.from_file(tmp_path / "data.nc")
    assert same(again, data)
    assert again.provenance == data.provenance
    assert data.to_dataset().sizes["pattern"] == 12


def test_own_data_in_a_file(tmp_path: Path) -> None:
    data = mc.data_from([[1, -1, 1]], [[1]], [[1, 1, 1]], [[-1]])
    data.save(tmp_path / "data.nc")
    assert same(Data.from_file(tmp_path / "data.nc"), data)
    assert data.provenance["function"] == "mc.data_from"


def test_dataset_without_data() -> None:
    dataset = mc.data_from([[1, -1, 1]], [[1]]).to_dataset().drop_vars("outputs")
    with pytest.raises(ValueError, match=r"dataset must have inputs and outputs, got \['inputs'\]"):
        Data.from_dataset(dataset)


def test_data_cannot_be_changed() -> None:
    own = np.array([[1, -1], [1, 1]], np.int8)
    data = mc.data_from(own, [[1], [1]])
    own[0, 0] = -1
    assert data.inputs[0, 0] == 1
    view = np.asfortranarray(own)[:, :1]
    view.flags.writeable = False
    assert mc.data_from(view, view).inputs.flags.c_contiguous
    for array in (data.inputs, mc.teacher_data(PerceptronNetwork(4, 2), 3, 1).teacher[0]):  # type: ignore[index]
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


@pytest.mark.parametrize("dtype", ["int64", "float32", "float64", "int8", "int16"])
def test_own_data_of_any_type(dtype: str) -> None:
    given_spins = np.array([[1, -1, 1], [-1, -1, 1]], dtype)
    data = mc.data_from(given_spins, given_spins[:, :1])
    assert data.inputs.dtype == np.int8
    np.testing.assert_array_equal(data.inputs, given_spins)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([[1, 0, 1]], [[1]]), r"inputs must be \+-1, got 0 at \[0, 1\]"),
        (([[1, 1], [1, 1]], [[1], [2.5]]), r"outputs must be \+-1, got 2.5 at \[1, 0\]"),
        (([[1, math.nan]], [[1]]), r"inputs must be \+-1, got nan at \[0, 1\]"),
        (([[True, False]], [[1]]), r"inputs must be \+-1, got False at \[0, 1\]"),
        (([[257]], [[1]]), r"inputs must be \+-1, got 257 at"),  # 1 in int8
        (([["a"]], [[1]]), r"inputs must be an array of \+-1, got type"),
        (([1, -1], [[1]]), r"inputs must have shape \(n_patterns, width\), got \(2,\)"),
        ((np.ones((0, 3)), np.ones((0, 1))), r"inputs must have shape"),
        (([[1, 1]], [[1], [1]]), r"outputs must have shape \(1, width\), got \(2, 1\)"),
        (([[1, 1]], [[1]], [[1, 1, 1]], [[1]]), r"test_inputs must have shape \(n_patterns, 2\), got \(1, 3\)"),
        (([[1, 1]], [[1]], [[1, 1]], [[1, 1]]), r"test_outputs must have shape \(1, 1\), got \(1, 2\)"),
        (([[1, 1]], [[1]], [[1, 1]]), "test_inputs and test_outputs must be given together"),
        (([[1, 1]], [[1]], [[1, -3]], [[1]]), r"test_inputs must be \+-1, got -3 at \[0, 1\]"),
    ],
)
def test_errors_of_own_data(arrays: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mc.data_from(*arrays)


def test_errors_of_parts() -> None:
    data = mc.teacher_data(PerceptronNetwork((4, 3, 2), 2, potential="count"), 5, 1, "gibbs", 1.0, n_test=2)
    assert data.teacher is not None
    assert data.planted_spins is not None
    flipped = (-data.planted_spins[0], *data.planted_spins[1:])
    for change, message in [
        ({"network": PerceptronNetwork((5, 2), 1)}, "inputs must have width 5, that of layer 0 of the network, got 4"),
        ({"network": PerceptronNetwork((4, 3), 1)}, "outputs must have width 3, that of layer 1 of the network, got 2"),
        ({"teacher": data.teacher[:1]}, r"teacher must have the widths \(4, 3, 2\), got \(4, 3\)"),
        ({"teacher": None}, "planted_spins must come with the teacher"),
        ({"planted_spins": None}, "planted_spins and planted_beta must be given together"),
        ({"planted_beta": -1.0}, "planted_beta must be a finite number >= 0"),
        ({"planted_spins": data.planted_spins[::2]}, r"planted_spins must have the widths \(4, 3, 2\), got \(4, 2\)"),
        ({"planted_spins": flipped}, "planted_spins must begin with inputs and end with outputs"),
        ({"latent": np.zeros((4, 2))}, r"latent must have shape \(5, dimension\), got \(4, 2\)"),
        ({"features": np.zeros(4)}, r"features must have shape \(4, dimension\), got \(4,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(data, **change)  # type: ignore[arg-type]


def test_errors_of_scenarios() -> None:
    net = PerceptronNetwork(4, 2)
    for call, message in [
        (lambda: mc.random_data(net, 0, 1), "n_patterns must be an integer from 1"),
        (lambda: mc.teacher_data(net, 2.5, 1), "n_patterns must be an integer from 1"),  # type: ignore[arg-type]
        (lambda: mc.teacher_data(net, 2, 1, n_test=-1), "n_test must be an integer from 0"),
        (lambda: mc.teacher_data(net, 2, 1, noise="flip"), "noise must be one of 'none', 'gibbs'"),  # type: ignore[arg-type]
        (lambda: mc.teacher_data(net, 2, 1, noise="gibbs"), "beta must be given with noise='gibbs', and only then"),
        (lambda: mc.teacher_data(net, 2, 1, beta=1.0), "beta must be given with noise='gibbs', and only then"),
        (lambda: mc.teacher_data(net, 2, 1, "gibbs", -1.0), "beta must be a finite number >= 0, got -1.0"),
        (lambda: mc.hidden_manifold_data(net, 2, 0, 1), "dimension must be an integer from 1"),
        (lambda: mc.hidden_manifold_data(net, 2, 3, 1, "output"), "labels_from must be one of"),  # type: ignore[arg-type]
        (lambda: mc.random_data(net, 2, 1).subset(3), "n_patterns must be an integer from 1 to 2, got 3"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


# Images.


def test_binarize() -> None:
    rng = np.random.default_rng(1)
    images = rng.random((10, 4, 5))
    spins = mc.binarize(images)
    assert spins.dtype == np.int8
    assert spins.shape == (10, 20)
    np.testing.assert_array_equal(spins == 1, images.reshape(10, 20) > 0.5)
    np.testing.assert_array_equal(mc.binarize(images.reshape(10, 20)), spins)
    assert (mc.binarize(images, "median").sum(axis=1) == 0).all()  # 20 different grey values
    by_pixel = mc.binarize(images, np.median(images, axis=0))
    assert (by_pixel.sum(axis=0) == 0).all()
    bytes_ = (images * 255).astype(np.uint8)
    np.testing.assert_array_equal(mc.binarize(bytes_, 127) == 1, bytes_.reshape(10, 20) > 127)
    assert mc.data_from(spins, spins[:, :1]).n_patterns == 10


@pytest.mark.parametrize(
    ("images", "threshold", "message"),
    [
        ([1.0, 2.0], 0.5, "images must be numbers of shape"),
        (np.zeros((0, 4)), 0.5, "images must be numbers of shape"),
        ([[1.0, math.nan]], 0.5, "images must be finite"),
        ([[1.0, 2.0]], "mean", "threshold must be one of 'median'"),
        (
            [[1.0, 2.0]],
            [1.0, 2.0, 3.0],
            r"threshold must be a finite number, 'median' or finite numbers of shape \(2,\)",
        ),
        ([[1.0, 2.0]], math.nan, "threshold must be a finite number"),
    ],
)
def test_binarize_errors(images: Any, threshold: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mc.binarize(images, threshold)
