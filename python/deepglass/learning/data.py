"""Laws from which data sets are drawn, and data sets of one's own."""

from __future__ import annotations

import abc
import dataclasses
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core, io
from .._check import finite_matrix, integer
from ..random import SeedLike, seed_entropy

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DataLaw", "Images", "read_images"]

Array: TypeAlias = npt.NDArray[np.float64]

_MOST = 2**31 - 1


class DataLaw(abc.ABC):
    """A joint law of inputs and labels.

    Its parameters, and what of it is random once and for all, are fields of a frozen dataclass; `draw` gives samples.

    Examples
    --------
    >>> from deepglass.learning import KLocal
    >>> law = KLocal(n_inputs=10, k=2, seed=1)
    >>> training, test = law.draw(100, seed=2), law.draw(1000, seed=3)
    >>> training.inputs.shape, sorted(set(test.labels.values.tolist()))
    ((100, 10), [0, 1])
    """

    n_inputs: int

    @property
    def bayes_error(self) -> float:
        """Least error that any classifier has (for regression: mean squared error); NaN where it is not known."""
        return math.nan

    def draw(self, n_samples: int, *, seed: SeedLike = None) -> xr.Dataset:
        """Draw independent samples.

        Parameters
        ----------
        n_samples : int >= 1
            How many.
        seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
            See `deepglass.random.seed_entropy`.  More samples have the first ones in common.

        Returns
        -------
        xarray.Dataset
            ``inputs`` (sample, input); ``labels`` (sample), the number of the class or, for regression, the answer; the
            ``bayes_error`` and the ``seed``.
        """
        import xarray as xr

        n_samples = integer("n_samples", n_samples, 1, _MOST // self.n_inputs)
        entropy = seed_entropy(seed)
        drawn = self._draw(n_samples, entropy)
        variables: dict[str, Any] = {
            "inputs": (("sample", "input"), drawn["inputs"]),
            **{name: ("sample", values) for name, values in drawn.items() if name != "inputs"},
            "bayes_error": self.bayes_error,
            "seed": np.uint64(entropy),
        }
        name = f"learning.{type(self).__name__}.draw"
        return xr.Dataset(variables, attrs=io.provenance(name, {**self._parameters(), "n_samples": n_samples}, entropy))

    def _parameters(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.init}  # type: ignore[arg-type]

    @abc.abstractmethod
    def _draw(self, n_samples: int, seed: int) -> Mapping[str, npt.NDArray[Any]]:
        """Inputs (n_samples, n_inputs), labels, and anything else of each sample."""


def normal(rows: int, columns: int, seed: int, stream: int = 0) -> Array:
    """Independent standard normals; more rows have the first ones in common."""
    numbers: Array = _core.philox_normal(seed, stream, rows * columns)
    return numbers.reshape(rows, columns)


def uniform(n: int, seed: int, stream: int) -> Array:
    """Independent uniforms in (0, 1]."""
    numbers: Array = _core.philox_uniform(seed, stream, n)
    return numbers


@dataclasses.dataclass(frozen=True, eq=False)
class Images(DataLaw):
    """Data of one's own, from which samples are drawn without replacement.

    Parameters
    ----------
    images : array, shape (n, ...), or path
        One row, image or table each, flattened; or a file, see `read_images`.
    labels : array of int, shape (n,), optional
        Class of each; needed unless `images` is a file that has them.

    Examples
    --------
    >>> data = Images([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], labels=[0, 1, 1])
    >>> both = data.draw(3, seed=1)  # a part of it for training, the rest for tests
    >>> sorted(both.labels.values.tolist())
    [0, 1, 1]
    """

    images: Any
    labels: Any = None

    def __post_init__(self) -> None:
        """Read and check; images become rows of floats."""
        images, labels = self.images, self.labels
        if isinstance(images, (str, os.PathLike)):
            images, found = read_images(images)
            labels = found if labels is None else labels
        rows = np.asarray(images)
        images = finite_matrix("images", rows.reshape(len(rows), -1) if rows.ndim > 2 else rows)
        classes = np.asarray(labels)
        if labels is None or classes.shape != (len(images),) or classes.dtype.kind not in "iub":
            shape = None if labels is None else classes.shape
            raise ValueError(f"labels must be {len(images)} whole numbers, one for each image, got shape {shape}")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", classes.astype(np.int64))

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        """Pixels of an image."""
        return int(self.images.shape[1])

    def _draw(self, n_samples: int, seed: int) -> dict[str, npt.NDArray[Any]]:
        integer("n_samples", n_samples, 1, len(self.images))
        chosen = np.argsort(uniform(len(self.images), seed, 0), kind="stable")[:n_samples]
        return {"inputs": self.images[chosen], "labels": self.labels[chosen]}


def read_images(path: str | os.PathLike[str]) -> tuple[Array, npt.NDArray[np.int64] | None]:
    """Read images, and their labels where there are any.

    Parameters
    ----------
    path : path
        A file .npy, or .npz with arrays ``images`` (else its first one of two or more dimensions) and ``labels``.

    Returns
    -------
    images : array, shape (n, pixels)
    labels : array of int, shape (n,), or None

    Raises
    ------
    ValueError
        If there are no images in the file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/digits.npz", images=np.zeros((3, 8, 8)), labels=[7, 1, 2])
    ...     images, labels = read_images(f"{folder}/digits.npz")
    >>> images.shape, labels.tolist()
    ((3, 64), [7, 1, 2])
    """
    loaded = np.load(path, allow_pickle=False)
    labels = None
    if not isinstance(loaded, np.ndarray):
        with loaded as file:
            names = [name for name in ("images", *file.files) if name in file.files and file[name].ndim >= 2]
            if not names:
                name = os.path.basename(path)
                raise ValueError(f"images must be a file with an array of two or more dimensions, got {name}")
            labels = file["labels"].astype(np.int64).ravel() if "labels" in file.files else None
            loaded = file[names[0]]
    if loaded.ndim < 2 or len(loaded) < 2:
        raise ValueError(f"images must be an array (images, pixels, ...), got shape {loaded.shape}")
    return np.asarray(loaded.reshape(len(loaded), -1), float), labels
