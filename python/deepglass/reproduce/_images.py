"""Real images for the items that take them: from a file, of scikit-learn, or Gaussian data instead."""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..learning import read_images

__all__ = ["Pictures", "load_pictures", "pictures_of"]

Array = npt.NDArray[np.float64]

_CLASSES = 10


class Pictures(NamedTuple):
    """Images with their classes 0 .. 9, and where they are from."""

    source: str
    pixels: Array  # (n, pixels)
    labels: npt.NDArray[np.int64]  # (n,)

    def chosen(self, n: int, rng: np.random.Generator) -> Pictures:
        """A random part of them, n or all where there are fewer."""
        some = rng.permutation(len(self.pixels))[:n]
        return Pictures(self.source, self.pixels[some], self.labels[some])

    def normalised(self) -> Array:
        """Inputs as theory has them: centred, with components of mean square 1; (n, pixels that vary)."""
        x = self.pixels - self.pixels.mean(axis=0)
        x = x[:, x.any(axis=0)]
        return np.asarray(x * np.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True))


def load_pictures(path: Path | None) -> Pictures:
    """Images of a file .npy or .npz (arrays "images" and "labels"); None: digits of scikit-learn, or Gaussian data."""
    if path is not None:
        pixels, labels = read_images(path)
        classes = _classes(pixels) if labels is None else np.unique(labels, return_inverse=True)[1] % _CLASSES
        return Pictures(Path(path).stem, pixels, classes)
    try:
        digits = importlib.import_module("sklearn.datasets").load_digits()
    except ModuleNotFoundError:
        rng, size = np.random.default_rng(17), 256
        pixels = rng.normal(size=(4000, size)) / np.sqrt(1.0 + np.arange(size))
        return Pictures("no images given: Gaussian data, variances 1/k", pixels, _classes(pixels))
    return Pictures(
        "digits of scikit-learn, 8 x 8", np.asarray(digits.data, float), np.asarray(digits.target, np.int64)
    )


@lru_cache(maxsize=1)
def pictures_of(path: str) -> Pictures:
    """The same, of a path as text, "" for None; read once."""
    return load_pictures(Path(path) if path else None)


def _classes(pixels: Array) -> npt.NDArray[np.int64]:
    """Classes of a teacher, where there are none: the largest of ten random projections."""
    x = pixels - pixels.mean(axis=0)
    return np.asarray(np.argmax(x @ np.random.default_rng(18).normal(size=(x.shape[1], _CLASSES)), axis=1), np.int64)
