"""Images for the figures: files, classes, what stands in for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.same_bits

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
load_pictures = pytest.importorskip("deepglass.reproduce._images").load_pictures


def test_without_images_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    source, pixels, labels = load_pictures(None)
    assert source.startswith("no images given") and pixels.shape == (4000, 256)
    # Variances 1/k, and classes that depend on the inputs
    pull = (pixels.var(axis=0) * np.arange(1, 257) - 1) * np.sqrt(4000 / 2)
    assert np.abs(pull).max() < 5
    assert set(labels) == set(range(10))
    assert np.linalg.norm(pixels[labels == 3].mean(axis=0)) > 5 * np.sqrt(pixels.var(axis=0).sum() / 400)


def test_images_and_classes_of_a_file(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, size=(50, 3, 4), dtype=np.uint8)
    images[:, 0, 0] = 7  # a pixel that never varies
    np.savez(tmp_path / "a.npz", labels=np.arange(50) % 7, images=images)
    pictures = load_pictures(tmp_path / "a.npz")
    assert pictures.source == "a"
    np.testing.assert_array_equal(pictures.pixels, images.reshape(50, 12))
    np.testing.assert_array_equal(pictures.labels, np.arange(50) % 7)
    some = pictures.chosen(20, np.random.default_rng(2))
    where = [int(np.flatnonzero((pictures.pixels == one).all(axis=1))[0]) for one in some.pixels]
    assert len(set(where)) == 20
    np.testing.assert_array_equal(some.labels, pictures.labels[where])
    x = some.normalised()
    assert x.shape == (20, 11)
    np.testing.assert_allclose((x**2).mean(axis=1), 1.0, rtol=1e-13)
    np.save(tmp_path / "b.npy", images)
    assert len(load_pictures(tmp_path / "b.npy").labels) == 50


def test_files_without_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", labels=np.arange(3))
    with pytest.raises(ValueError, match=r"two or more dimensions, got a\.npz"):
        load_pictures(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"got shape \(3,\)"):
        load_pictures(tmp_path / "b.npy")
    np.savez(tmp_path / "c.npz", labels=np.arange(3), images=np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"labels must have shape \(2,\), got \(3,\)"):
        load_pictures(tmp_path / "c.npz")
