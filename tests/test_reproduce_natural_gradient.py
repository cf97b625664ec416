"""Natural gradient and its approximations on images: numbers, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import deepglass as dg

pytestmark = pytest.mark.same_bits

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
item = pytest.importorskip("deepglass.reproduce.natural_gradient")


def test_layer_shares_follow_the_parameters() -> None:
    network = item._network("tanh", 5, 3, 0)
    only_second = np.zeros(network.n_parameters)
    begin = 5 * (3 + 1)  # weights and biases of the first layer
    only_second[begin : begin + 5 * (5 + 1)] = 2.0
    both = only_second.copy()
    both[-1] = np.sqrt(4.0 * 30)  # as long in the last one
    np.testing.assert_allclose(
        item._layer_shares(network, np.array([only_second, both])), [[0, 1, 0], [0, 0.5, 0.5]], rtol=1e-14
    )


def test_classes_are_odd_and_even(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images, labels = rng.normal(size=(30, 4, 4)), np.arange(30) % 10
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    x, y, x_test, y_test = item._data(str(tmp_path / "a.npz"), 12, 18, 3)
    assert x.shape == (12, 16) and x_test.shape == (18, 16)
    assert sorted(np.concatenate([y, y_test])[:, 0]) == [-1.0] * 15 + [1.0] * 15
    again = item._data(str(tmp_path / "a.npz"), 12, 18, 3)
    np.testing.assert_array_equal(again[0], x)
    assert not np.array_equal(item._data(str(tmp_path / "a.npz"), 12, 18, 4)[0], x)


@pytest.mark.no_sanitizer
def test_natural_gradient(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(300) % 2
    images = rng.normal(size=(300, 4, 5)) + 0.8 * rng.normal(size=(2, 4, 5))[labels]
    np.savez(tmp_path / "patterns.npz", images=images, labels=labels)
    sizes = item.Sizes(12, (32, 64, 128), 4, 3, 64, 200, 4)
    written = item._reproduce(tmp_path, sizes, tmp_path / "patterns.npz", workers=1)
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    training = dg.load(tmp_path / "training.nc")
    n = 12
    for metric, alpha in (("exact", 1), ("block_diagonal", 3), ("block_tridiagonal", 1), ("kfac", 2 * n + 1)):
        np.testing.assert_allclose(training.alpha.sel(metric=metric), alpha, rtol=1e-13)
    np.testing.assert_allclose(
        training.alpha.sel(metric="unit_wise").mean("instance"), 2 * training.width + 1, rtol=1e-13
    )
    undamped = training.drop_sel(metric="unit_wise")
    assert float(undamped.deviation.max()) < 1e-10  # conditions of the kernels, 1e4, times rounding
    np.testing.assert_allclose(undamped["norm"] * undamped.cosine, 1.0, atol=1e-9)
    assert float(undamped["norm"].min()) > 1 - 1e-12  # the exact step is the shortest
    np.testing.assert_allclose(training["growth_1.9"], 0.9, rtol=1e-7)
    # Networks come closer to their linearisation as they get wider, and follow its path.
    assert bool((undamped.one_step.mean("instance").diff("width") < 0).all())
    path = undamped.trained.isel(width=-1, step=slice(1, 3)) / (1 - item._RATE) ** (2 * undamped.step[1:3])
    assert float(np.abs(path - 1).max()) < 0.1
    assert (
        float((training.undamped_length.sel(metric="unit_wise") / training.undamped_length.sel(metric="exact")).min())
        > 10
    )
    np.testing.assert_allclose(training.layer_share.sum("layer"), 1.0, rtol=1e-12)

    tested = dg.load(tmp_path / "generalisation.nc")
    assert float(tested.training_error.max()) < 1e-9
    assert float(tested.wrong.sel(metric="exact").mean()) < 0.45  # it learns
    # The exact one ends where gradient flow ends: near the infinite network
    near = tested.square.sel(metric="exact") - tested.limit_square
    assert abs(float(near.mean())) < 0.25 * float(tested.limit_square.mean())
    table = (tmp_path / "table.txt").read_text("utf-8")
    assert "alpha, K-FAC (L = 3, N = 12, M = 128)" in table and "36 (N L)" in table and "-11" in table
