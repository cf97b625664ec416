"""Labels of k inputs, local and global, and labels of teachers, of normal inputs or on a hidden manifold.

References
----------
T. Mori, M. Ueda, "Is deeper better? It depends on locality of relevant features", arXiv:2005.12488.
S. Goldt, M. Mezard, F. Krzakala, L. Zdeborova, "Modeling the influence of data structure on learning in neural
networks: the hidden manifold model", PRX 10, 041044 (2020).
"""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .._check import choice, finite_matrix, integer, number
from ..random import SeedLike, child_seed, seed_entropy
from .data import Array, DataLaw, normal, uniform

__all__ = ["HiddenManifold", "KGlobal", "KLocal", "TeacherStudent"]

_MOST_INPUTS = 2**24


@dataclasses.dataclass(frozen=True)
class _Products(DataLaw):
    """Labels from products of k inputs: 1 where their sum M is positive, else 0."""

    n_inputs: int
    k: int | None = None
    seed: SeedLike = None
    places: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges, and draw the places that are not given."""
        n_inputs = integer("n_inputs", self.n_inputs, 1, _MOST_INPUTS)
        try:
            places = tuple(integer("places", place, 0, n_inputs - 1) for place in self.places)
        except TypeError:
            raise ValueError(f"places must be numbers of inputs, got {self.places!r}") from None
        if places:
            if sorted(set(places)) != list(places):
                raise ValueError(f"places must be distinct and in increasing order, got {places}")
            k = integer("k", self.k, len(places), len(places)) if self.k is not None else len(places)
        else:
            k = integer("k", self.k, 1, n_inputs)
            order = np.argsort(uniform(n_inputs, seed_entropy(self.seed), 0), kind="stable")
            places = tuple(sorted(order[:k].tolist()))
        for name, value in {"n_inputs": n_inputs, "k": k, "places": places, "seed": None}.items():
            object.__setattr__(self, name, value)

    @property
    def bayes_error(self) -> float:
        """0: there is no noise."""
        return 0.0

    def relevant_feature(self, inputs: npt.ArrayLike) -> Array:
        """Give M, whose sign is the label, for each row of inputs."""
        return self._feature(finite_matrix("inputs", inputs, self.n_inputs))

    @abstractmethod
    def _feature(self, x: Array) -> Array:
        """M of each row."""

    def _draw(self, n_samples: int, seed: int) -> dict[str, npt.NDArray[Any]]:
        x = normal(n_samples, self.n_inputs, seed)
        return {"inputs": x, "labels": (self._feature(x) > 0.0).astype(np.int64)}


class KLocal(_Products):
    """k-local labels: M = x[i_1] ... x[i_k], the label being 1 where M > 0 and 0 elsewhere.

    The inputs are independent standard normals, and the k places i_1 < ... < i_k are drawn once (T. Mori, M. Ueda,
    arXiv:2005.12488).

    Parameters
    ----------
    n_inputs : int >= 1
        Dimension D.
    k : int from 1 to n_inputs
        Number of relevant inputs.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Of the places.
    places : tuple of int
        The places, instead of `k` and `seed`.

    Examples
    --------
    >>> law = KLocal(12, places=(1, 4))
    >>> law.relevant_feature([np.sin(np.arange(12) + 1.0)])
    array([-0.871947...])
    """

    def _feature(self, x: Array) -> Array:
        return np.asarray(x[:, list(self.places)].prod(axis=1))


class KGlobal(_Products):
    """k-global labels: M = sum_j x[j + i_1] ... x[j + i_k], indices modulo D, the label being 1 where M > 0.

    The inputs are independent standard normals, and the offsets i_1 < ... < i_k, of which only differences matter, are
    drawn once (T. Mori, M. Ueda, arXiv:2005.12488).  1-global labels are 1-local ones up to a rotation of the inputs.

    Parameters
    ----------
    n_inputs : int >= 1
        Dimension D.
    k : int from 1 to n_inputs
        Number of factors.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Of the offsets.
    places : tuple of int
        The offsets, instead of `k` and `seed`.

    Examples
    --------
    >>> law = KGlobal(12, places=(0, 3))
    >>> law.relevant_feature([np.sin(np.arange(12) + 1.0)])
    array([-6.119969...])
    """

    def _feature(self, x: Array) -> Array:
        product = np.ones_like(x)
        for offset in self.places:
            product *= np.roll(x, -offset, axis=1)  # x[j + offset]
        return np.asarray(product.sum(axis=1))


# ---- Teachers


@dataclasses.dataclass(frozen=True, eq=False)
class _Teacher:
    """A random function f(z): linear, or a committee of units erf of random signs; of order 1."""

    weights: Array  # (units, n), or (1, n)
    signs: Array  # (units,), or empty for the linear one

    @classmethod
    def random(cls, n: int, units: int, seed: int) -> _Teacher:
        signs = np.where(uniform(units, seed, 1) > 0.5, 1.0, -1.0) if units else np.empty(0)
        return cls(normal(max(units, 1), n, seed), signs)

    def __call__(self, z: Array) -> Array:
        from scipy.special import erf

        fields = z @ self.weights.T / math.sqrt(z.shape[1])
        if not self.signs.size:
            return np.asarray(fields[:, 0])
        return np.asarray(erf(fields) @ self.signs / math.sqrt(self.signs.size))


@dataclasses.dataclass(frozen=True)
class TeacherStudent(DataLaw):
    """Answers of a random teacher, with noise, to standard normal inputs.

    The teacher is linear, f(x) = w.x / sqrt(D), or a committee, f(x) = sum_m s_m erf(w_m.x / sqrt(D)) / sqrt(units)
    with signs s_m; its weights are standard normal.  Regression: y = f + noise z, z standard normal.  Classification:
    the label is 1 where f > 0, else 0, and wrong with probability `noise`.

    Parameters
    ----------
    n_inputs : int >= 1
        Dimension D.
    task : "classification" or "regression"
        What is asked.
    units : int >= 0
        Hidden units of the teacher; 0: linear.
    noise : float
        Probability from 0 to 1/2 of a wrong label, or standard deviation >= 0 of the answers.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Of the teacher.

    Examples
    --------
    >>> TeacherStudent(20, task="regression", noise=0.5, seed=1).bayes_error  # mean square
    0.25
    """

    n_inputs: int
    task: Literal["classification", "regression"] = "classification"
    units: int = 0
    noise: float = 0.0
    seed: SeedLike = None
    _teacher: _Teacher = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the ranges and draw the teacher."""
        object.__setattr__(self, "n_inputs", integer("n_inputs", self.n_inputs, 1, _MOST_INPUTS))
        choice("task", self.task, ("classification", "regression"))
        object.__setattr__(self, "units", integer("units", self.units, 0, _MOST_INPUTS))
        if self.task == "regression":
            noise = number("noise", self.noise, "a finite number >= 0", lambda p: p >= 0.0)
        else:
            noise = number("noise", self.noise, "a number from 0 to 1/2", lambda p: 0.0 <= p <= 0.5)
        object.__setattr__(self, "noise", noise)
        entropy = seed_entropy(self.seed)
        object.__setattr__(self, "seed", entropy)
        object.__setattr__(self, "_teacher", _Teacher.random(self.n_inputs, self.units, entropy))

    @property
    def bayes_error(self) -> float:
        """Least probability of a wrong label, or least mean square of the error: that of the noise."""
        return self.noise**2 if self.task == "regression" else self.noise

    def teacher(self, inputs: npt.ArrayLike) -> Array:
        """Give f for each row of inputs."""
        return self._teacher(finite_matrix("inputs", inputs, self.n_inputs))

    def _draw(self, n_samples: int, seed: int) -> dict[str, npt.NDArray[Any]]:
        x = normal(n_samples, self.n_inputs, seed)
        f = self.teacher(x)
        if self.task == "regression":
            return {"inputs": x, "labels": f + self.noise * normal(n_samples, 1, seed, stream=1)[:, 0]}
        wrong = uniform(n_samples, seed, 1) <= self.noise
        return {"inputs": x, "labels": ((f > 0.0) ^ wrong).astype(np.int64)}


def _sign(z: Array) -> Array:
    return np.where(z >= 0.0, 1.0, -1.0)


def _erf(z: Array) -> Array:
    from scipy.special import erf

    return np.asarray(erf(z))


def _relu(z: Array) -> Array:
    return np.maximum(z, 0.0)


_FOLDS: dict[str, Callable[[Array], Array]] = {"sign": _sign, "erf": _erf, "tanh": np.tanh, "relu": _relu}


@dataclasses.dataclass(frozen=True)
class HiddenManifold(DataLaw):
    """Inputs on a hidden manifold, x = f(F c / sqrt(d)), with labels of a teacher (S. Goldt et al., PRX 10, 041044).

    The d latent variables c of a sample and the fixed matrix F are standard normal; the label is 1 where the teacher,
    as in `TeacherStudent`, is positive.

    Parameters
    ----------
    n_inputs : int >= 1
        Dimension D of the inputs.
    dimension : int >= 1
        Dimension d of the manifold.
    fold : "sign", "erf", "tanh" or "relu"
        The function f.
    labels_from : "latent" or "input"
        What the teacher sees: c, or x.
    units : int >= 0
        Hidden units of the teacher; 0: linear.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Of F and the teacher.

    Examples
    --------
    >>> data = HiddenManifold(100, 5, fold="tanh", seed=1).draw(200, seed=2)
    >>> data.inputs.shape, int(np.linalg.matrix_rank(np.arctanh(data.inputs), rtol=1e-6))
    ((200, 100), 5)
    """

    n_inputs: int
    dimension: int
    fold: Literal["sign", "erf", "tanh", "relu"] = "sign"
    labels_from: Literal["latent", "input"] = "latent"
    units: int = 0
    seed: SeedLike = None
    features: Array = dataclasses.field(init=False, repr=False, compare=False)
    _teacher: _Teacher = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the ranges and draw features and teacher."""
        for name, low in (("n_inputs", 1), ("dimension", 1), ("units", 0)):
            object.__setattr__(self, name, integer(name, getattr(self, name), low, _MOST_INPUTS))
        choice("fold", self.fold, tuple(_FOLDS))
        choice("labels_from", self.labels_from, ("latent", "input"))
        entropy = seed_entropy(self.seed)
        object.__setattr__(self, "seed", entropy)
        seen = self.dimension if self.labels_from == "latent" else self.n_inputs
        object.__setattr__(self, "features", normal(self.n_inputs, self.dimension, child_seed(entropy, 0)))
        object.__setattr__(self, "_teacher", _Teacher.random(seen, self.units, child_seed(entropy, 1)))

    @property
    def bayes_error(self) -> float:
        """0 where the label is a function of the input, else not known."""
        return 0.0 if self.labels_from == "input" else math.nan

    def inputs(self, latent: npt.ArrayLike) -> Array:
        """Give x for each row c of latent variables."""
        c = finite_matrix("latent", latent, self.dimension)
        return np.asarray(_FOLDS[self.fold](c @ self.features.T / math.sqrt(self.dimension)))

    def _draw(self, n_samples: int, seed: int) -> dict[str, npt.NDArray[Any]]:
        latent = normal(n_samples, self.dimension, seed)
        x = self.inputs(latent)
        f = self._teacher(latent if self.labels_from == "latent" else x)
        return {"inputs": x, "labels": (f > 0.0).astype(np.int64)}
