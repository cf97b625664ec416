"""Data sets for perceptron networks: random, by a teacher, from a hidden manifold, or one's own.

Patterns are rows: spins of layer l have the shape (n_patterns, N_l).  Bonds of a machine are a tuple of L arrays,
bonds of layer l = 1..L have the shape (N_l, N_{l-1}) and are number l - 1 of the tuple.

A seed fixes everything: the teacher, the first n patterns of a larger set and the test set do not depend on the
number of patterns, and `teacher_data` and `hidden_manifold_data` have the same teacher.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import io
from .._check import choice, integer, number
from ..random import SeedLike, child_seed, seed_entropy
from .network import PerceptronNetwork

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Data",
    "binarize",
    "data_from",
    "forward",
    "hidden_manifold_data",
    "random_bonds",
    "random_data",
    "teacher_data",
]

Spins: TypeAlias = npt.NDArray[np.int8]
Bonds: TypeAlias = tuple[npt.NDArray[Any], ...]

_MOST = 2**31 - 1
_BLOCK = 8192  # patterns whose fields are held at one time

# Children of the seed of a data set.
_TEACHER, _INPUTS, _OUTPUTS, _TEST, _FEATURES = range(5)


# Machines.


def random_bonds(net: PerceptronNetwork, seed: SeedLike) -> Bonds:
    """Draw a machine from the prior of the bonds.

    Each perceptron with c inputs is uniform on the sphere ``sum_k J_k^2 = c``, or c fair coins.

    Parameters
    ----------
    net : PerceptronNetwork
        Its widths, prior and graph.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        See `deepglass.random.seed_entropy`.  A layer depends on the seed and its own widths only.

    Returns
    -------
    tuple of L arrays, shapes (N_l, N_{l-1})
        float32 (spherical) or int8 (binary); 0 where two neurons are not connected.

    Examples
    --------
    >>> bonds = random_bonds(PerceptronNetwork(width=3, depth=2, bonds="binary"), seed=1)
    >>> [layer.shape for layer in bonds], bool((abs(bonds[0]) == 1).all())
    ([(3, 3), (3, 3)], True)
    """
    entropy = seed_entropy(seed)
    return tuple(
        _random_layer(net, net.widths[layer], net.widths[layer - 1], net.inputs(layer), child_seed(entropy, layer))
        for layer in range(1, net.depth + 1)
    )


def forward(
    bonds: Sequence[npt.ArrayLike], inputs: npt.ArrayLike, *, noise: float = 0.0, seed: SeedLike = None
) -> tuple[npt.NDArray[Any], ...]:
    """Run the feed-forward network ``S[l] = sgn(J[l] S[l-1])``, with sgn(0) = +1.

    Parameters
    ----------
    bonds : sequence of L arrays, shapes (N_l, N_{l-1})
        The machine.
    inputs : array, shape (n_patterns, N_0)
        Spins, or real numbers.
    noise : float in [0, 1]
        Probability with which each neuron of layers 1..L flips its output.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Seed of the flips.

    Returns
    -------
    tuple of L + 1 arrays, shapes (n_patterns, N_l)
        The inputs as they are, then int8.

    Notes
    -----
    Fields are summed in float64: sums of float32 bonds are then exact as a rule, and do not depend on the
    number of patterns.

    Examples
    --------
    >>> forward([[[1, 1, -1]], [[-1]]], [[1, 1, 1], [-1, 1, 1]])
    (array([[ 1,  1,  1],
           [-1,  1,  1]]), array([[ 1],
           [-1]], dtype=int8), array([[-1],
           [ 1]], dtype=int8))
    """
    machine = _checked_bonds("bonds", bonds)
    spins = np.asarray(inputs)
    if spins.ndim != 2 or spins.shape[1] != machine[0].shape[1] or spins.dtype.kind not in "iuf":
        raise ValueError(
            f"inputs must be numbers of shape (n_patterns, {machine[0].shape[1]}), got {spins.dtype} {spins.shape}"
        )
    noise = number("noise", noise, "a probability from 0 to 1", lambda p: 0.0 <= p <= 1.0)
    entropy = seed_entropy(seed) if noise > 0.0 else 0
    layers = [spins]
    for layer, weights in enumerate(machine, start=1):
        layers.append(_flipped(_sign_of_fields(weights, layers[-1]), noise, child_seed(entropy, layer)))
    return tuple(layers)


# Data.


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Inputs and outputs to learn, with what is known of their origin.

    All arrays are copied and cannot be written to; spins are int8 and +-1.

    Parameters
    ----------
    inputs : array, shape (n_patterns, N_0)
        S[0].
    outputs : array, shape (n_patterns, N_L)
        S[L].
    network : PerceptronNetwork, optional
        The network the data are meant for.
    teacher : tuple of arrays, shapes (N_l, N_{l-1}), optional
        Bonds of the machine that made the outputs.
    planted_spins : tuple of L + 1 arrays, shapes (n_patterns, N_l), optional
        Neurons of the noisy teacher: with `teacher`, an exact equilibrium configuration of `network` at
        ``planted_beta``.
    planted_beta : float, optional
        Its inverse temperature.
    test_inputs, test_outputs : arrays, shapes (n_test, N_0) and (n_test, N_L), optional
        Fresh inputs and the outputs the teacher gives without noise.
    latent, test_latent : arrays, shapes (n_patterns, D) and (n_test, D), optional
        Coordinates x on the hidden manifold.
    features : array, shape (N_0, D), optional
        The matrix F of the hidden manifold, ``S[0] = sgn(F x / sqrt(D))``.
    latent_teacher : tuple of arrays, optional
        Bonds of a teacher that sees x and not S[0]: its first layer has the shape (N_1, D).
    provenance : mapping of str
        Function, parameters, seed and version that made the data.

    Examples
    --------
    >>> data = teacher_data(PerceptronNetwork(width=10, depth=2), 40, seed=1, n_test=5)
    >>> data.n_patterns, data.load, data.subset(20).load, data.test_inputs.shape
    (40, 4.0, 2.0, (5, 10))
    """

    inputs: Spins
    outputs: Spins
    network: PerceptronNetwork | None = None
    teacher: Bonds | None = None
    planted_spins: tuple[Spins, ...] | None = None
    planted_beta: float | None = None
    test_inputs: Spins | None = None
    test_outputs: Spins | None = None
    latent: npt.NDArray[np.float32] | None = None
    test_latent: npt.NDArray[np.float32] | None = None
    features: npt.NDArray[np.float32] | None = None
    latent_teacher: Bonds | None = None
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check entries and shapes, and freeze the arrays."""
        self._set("inputs", _checked_spins("inputs", self.inputs))
        self._set("outputs", _checked_spins("outputs", self.outputs, n_patterns=self.n_patterns))
        self._set("provenance", dict(self.provenance))
        if self.network is not None:
            self.check_network(self.network)
        widths = self._check_machines()
        self._check_planted(widths)
        self._check_test_set()
        self._check_manifold()

    @property
    def n_patterns(self) -> int:
        """Number of patterns, M."""
        return int(self.inputs.shape[0])

    @property
    def load(self) -> float:
        """Patterns per input neuron, alpha = M/N_0."""
        return self.n_patterns / int(self.inputs.shape[1])

    def check_network(self, network: PerceptronNetwork) -> None:
        """Raise a ValueError if the first or last layer of `network` is not as wide as the data."""
        for name, spins, layer in (("inputs", self.inputs, 0), ("outputs", self.outputs, network.depth)):
            if spins.shape[1] != network.widths[layer]:
                raise ValueError(
                    f"{name} must have width {network.widths[layer]}, that of layer {layer} of the network, "
                    f"got {spins.shape[1]}"
                )

    def subset(self, n_patterns: int) -> Data:
        """Give the first `n_patterns` patterns, with the same teacher and test set."""
        n = integer("n_patterns", n_patterns, 1, self.n_patterns)
        return dataclasses.replace(
            self,
            inputs=self.inputs[:n],
            outputs=self.outputs[:n],
            planted_spins=None if self.planted_spins is None else tuple(spins[:n] for spins in self.planted_spins),
            latent=None if self.latent is None else self.latent[:n],
            provenance={**self.provenance, "subset": str(n)},
        )

    def to_dataset(self) -> xr.Dataset:
        """Give all of it as a Dataset: dimensions pattern, test_pattern, input, neuron_1, ..., output, latent."""
        import xarray as xr

        variables: dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]] = {}
        for name, dims in _ARRAYS.items():
            value = getattr(self, name)
            if value is not None:
                variables[name] = (dims, value)
        for name, first in (("teacher", "input"), ("latent_teacher", "latent")):
            machine = getattr(self, name) or ()
            names = _layer_names(len(machine), first)
            for layer, bonds in enumerate(machine, start=1):
                variables[f"{name}_{layer}"] = ((names[layer], names[layer - 1]), bonds)
        planted = self.planted_spins or ()
        for layer, layer_name in enumerate(_layer_names(len(planted) - 1, "input")):
            variables[f"planted_spins_{layer}"] = (("pattern", layer_name), planted[layer])
        attributes: dict[str, Any] = dict(self.provenance)
        if self.network is not None:
            attributes["network"] = self.network.to_json()
        if self.planted_beta is not None:
            attributes["planted_beta"] = self.planted_beta
        return xr.Dataset(variables, attrs=attributes)

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Data:
        """Take what `to_dataset` gave."""
        found: dict[str, Any] = {name: dataset[name].values for name in _ARRAYS if name in dataset}
        if not {"inputs", "outputs"} <= found.keys():
            raise ValueError(f"dataset must have inputs and outputs, got {list(dataset.data_vars)}")
        for name, first in (("teacher", 1), ("latent_teacher", 1), ("planted_spins", 0)):
            layers: list[npt.NDArray[Any]] = []
            while f"{name}_{first + len(layers)}" in dataset:
                layers.append(dataset[f"{name}_{first + len(layers)}"].values)
            found[name] = tuple(layers) or None
        attributes = dict(dataset.attrs)
        if "network" in attributes:
            found["network"] = PerceptronNetwork.from_json(attributes.pop("network"))
        if "planted_beta" in attributes:
            found["planted_beta"] = float(attributes.pop("planted_beta"))
        return cls(**found, provenance=attributes)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a netCDF-4 file, see `deepglass.save`."""
        io.save(self.to_dataset(), path)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Data:
        """Read what `save` wrote."""
        return cls.from_dataset(io.load(path))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_machines(self) -> tuple[int, ...] | None:
        """Check the bonds; the widths of all layers, where they are known."""
        widths = None if self.network is None else self.network.widths
        for name in ("teacher", "latent_teacher"):
            if getattr(self, name) is None:
                continue
            machine = tuple(_stored_bonds(bonds) for bonds in _checked_bonds(name, getattr(self, name)))
            self._set(name, machine)
            own = (machine[0].shape[1], *(bonds.shape[0] for bonds in machine))
            if name == "latent_teacher":
                own = (self.inputs.shape[1], *own[1:])
            expected = widths or (self.inputs.shape[1], *own[1:-1], self.outputs.shape[1])
            if own != expected:
                raise ValueError(f"{name} must have the widths {expected}, got {own}")
            widths = expected
        return widths

    def _check_planted(self, widths: tuple[int, ...] | None) -> None:
        if (self.planted_spins is None) != (self.planted_beta is None):
            raise ValueError("planted_spins and planted_beta must be given together")
        if self.planted_spins is None:
            return
        if self.teacher is None:
            raise ValueError("planted_spins must come with the teacher")
        spins = tuple(
            _checked_spins(f"planted_spins[{layer}]", layer_spins, n_patterns=self.n_patterns)
            for layer, layer_spins in enumerate(self.planted_spins)
        )
        own = tuple(layer_spins.shape[1] for layer_spins in spins)
        if own != widths:
            raise ValueError(f"planted_spins must have the widths {widths}, got {own}")
        if not (np.array_equal(spins[0], self.inputs) and np.array_equal(spins[-1], self.outputs)):
            raise ValueError("planted_spins must begin with inputs and end with outputs")
        self._set("planted_spins", spins)
        self._set("planted_beta", _checked_beta("planted_beta", self.planted_beta))

    def _check_test_set(self) -> None:
        if (self.test_inputs is None) != (self.test_outputs is None):
            raise ValueError("test_inputs and test_outputs must be given together")
        if self.test_inputs is not None:
            self._set("test_inputs", _checked_spins("test_inputs", self.test_inputs, width=self.inputs.shape[1]))
            width = self.outputs.shape[1]
            n_test = self.test_inputs.shape[0]
            self._set("test_outputs", _checked_spins("test_outputs", self.test_outputs, n_test, width))

    def _check_manifold(self) -> None:
        n_test = None if self.test_inputs is None else self.test_inputs.shape[0]
        rows = {"latent": self.n_patterns, "test_latent": n_test, "features": self.inputs.shape[1]}
        for name, n_rows in rows.items():
            value = getattr(self, name)
            if value is not None:
                array = np.asarray(value, np.float32)
                if array.ndim != 2 or array.shape[0] != n_rows:
                    raise ValueError(f"{name} must have shape ({n_rows}, dimension), got {array.shape}")
                self._set(name, _frozen(array))


_ARRAYS = {
    "inputs": ("pattern", "input"),
    "outputs": ("pattern", "output"),
    "test_inputs": ("test_pattern", "input"),
    "test_outputs": ("test_pattern", "output"),
    "latent": ("pattern", "latent"),
    "test_latent": ("test_pattern", "latent"),
    "features": ("input", "latent"),
}


def random_data(net: PerceptronNetwork, n_patterns: int, seed: SeedLike) -> Data:
    """Draw inputs and outputs as independent fair coins.

    Parameters
    ----------
    net : PerceptronNetwork
        The network the data are meant for.
    n_patterns : int >= 1
        Number of patterns, M.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        See `deepglass.random.seed_entropy`.

    Returns
    -------
    Data

    Examples
    --------
    >>> net = PerceptronNetwork(width=8, depth=3)
    >>> data = random_data(net, 16, seed=1)
    >>> data.load, bool((random_data(net, 4, seed=1).inputs == data.inputs[:4]).all())
    (2.0, True)
    """
    n_patterns = integer("n_patterns", n_patterns, 1, _MOST)
    entropy = seed_entropy(seed)
    return Data(
        _coins(n_patterns, net.widths[0], child_seed(entropy, _INPUTS)),
        _coins(n_patterns, net.widths[-1], child_seed(entropy, _OUTPUTS)),
        network=net,
        provenance=_provenance("random_data", net, entropy, n_patterns=n_patterns),
    )


def teacher_data(
    net: PerceptronNetwork,
    n_patterns: int,
    seed: SeedLike,
    noise: Literal["none", "gibbs"] = "none",
    beta: float | None = None,
    n_test: int = 1000,
) -> Data:
    """Draw a teacher from the prior of the bonds, and let it answer random inputs.

    With ``noise="gibbs"`` neurons flip with probability ``p = e^-beta / (1 + e^-beta)``: all neurons of layers
    1..L if the hidden neurons of `net` are free, the outputs alone if they are slaved.  That is the law of the
    count potential itself: given inputs and outputs, the teacher and its neurons are an exact equilibrium sample
    at ``beta`` (Nishimori), given as ``teacher`` and ``planted_spins``, from where a simulation needs no
    burn-in.  Averaged over data, E = p times the number of terms of E at all times.

    Parameters
    ----------
    net : PerceptronNetwork
        Architecture of teacher and student.
    n_patterns : int >= 1
        Number of patterns, M.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        See `deepglass.random.seed_entropy`.  Teacher, inputs, noise and test set have their own children.
    noise : "none" or "gibbs"
        Noise of the teacher on the patterns to learn.  The test set has none.
    beta : float >= 0, optional
        Inverse temperature of the noise; needed for "gibbs".
    n_test : int >= 0
        Number of patterns of the test set.

    Returns
    -------
    Data
        ``planted_spins`` is None where it would be no equilibrium sample: without noise (a noiseless teacher and
        a student at finite beta do not agree in law), for other potentials than "count" (for "soft" the weight
        of a neuron depends on its field), and for free hidden neurons with binary bonds and an even number of
        inputs, where fields vanish and both signs of the neuron then cost nothing.

    Examples
    --------
    >>> net = PerceptronNetwork(width=8, depth=3, potential="count")
    >>> data = teacher_data(net, 12, seed=1, noise="gibbs", beta=1.5)
    >>> [spins.shape for spins in data.planted_spins]
    [(12, 8), (12, 8), (12, 8), (12, 8)]
    """
    n_patterns = integer("n_patterns", n_patterns, 1, _MOST)
    n_test = integer("n_test", n_test, 0, _MOST)
    choice("noise", noise, ("none", "gibbs"))
    if (noise == "gibbs") != (beta is not None):
        raise ValueError(f"beta must be given with noise='gibbs', and only then, got {beta!r} with noise={noise!r}")
    entropy = seed_entropy(seed)
    teacher = random_bonds(net, child_seed(entropy, _TEACHER))
    inputs = _coins(n_patterns, net.widths[0], child_seed(entropy, _INPUTS))
    flip_seed = child_seed(entropy, _OUTPUTS)
    planted: tuple[Spins, ...] | None = None
    if beta is None:
        outputs = forward(teacher, inputs)[-1]
    else:
        beta = _checked_beta("beta", beta)
        flip_probability = 0.5 * (1.0 - math.tanh(0.5 * beta))
        if net.hidden == "free":
            spins = forward(teacher, inputs, noise=flip_probability, seed=flip_seed)
        else:
            spins = forward(teacher, inputs)
            spins = (*spins[:-1], _flipped(spins[-1], flip_probability, child_seed(flip_seed, net.depth)))
        outputs = spins[-1]
        if _gibbs_noise_is_equilibrium(net):
            planted = spins
    return Data(
        inputs,
        outputs,
        network=net,
        teacher=teacher,
        planted_spins=planted,
        planted_beta=None if planted is None else beta,
        **_test_set(teacher, _coins(n_test, net.widths[0], child_seed(entropy, _TEST))),
        provenance=_provenance(
            "teacher_data", net, entropy, n_patterns=n_patterns, noise=noise, beta=beta, n_test=n_test
        ),
    )


def hidden_manifold_data(
    net: PerceptronNetwork,
    n_patterns: int,
    dimension: int,
    seed: SeedLike,
    labels_from: Literal["input", "latent"] = "input",
    n_test: int = 1000,
) -> Data:
    """Draw inputs from a hidden manifold of dimension D, with the outputs of a teacher.

    ``S[0] = sgn(F x / sqrt(D))`` with x normal in R^D, one for each pattern, and one normal matrix F.  For
    D -> infinity the inputs become independent coins, and the data those of `teacher_data` in law.

    Parameters
    ----------
    net : PerceptronNetwork
        Architecture of teacher and student.
    n_patterns : int >= 1
        Number of patterns, M.
    dimension : int >= 1
        Dimension D of the manifold.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        See `deepglass.random.seed_entropy`.  The teacher is that of `teacher_data` with the same seed.
    labels_from : "input" or "latent"
        What the teacher sees: S[0], or x.  In the latter case the perceptrons of its first layer have D real
        inputs each; it is given as ``latent_teacher``, and ``teacher`` is None.
    n_test : int >= 0
        Number of patterns of the test set, on the same manifold.

    Returns
    -------
    Data

    References
    ----------
    S. Goldt et al., "Modeling the influence of data structure on learning in neural networks: the hidden
    manifold model", PRX 10, 041044 (2020): there the teacher sees x.

    Examples
    --------
    >>> data = hidden_manifold_data(PerceptronNetwork(width=20, depth=2), 80, 5, seed=1, labels_from="latent")
    >>> data.features.shape, data.latent.shape, data.latent_teacher[0].shape
    ((20, 5), (80, 5), (20, 5))
    """
    n_patterns = integer("n_patterns", n_patterns, 1, _MOST)
    dimension = integer("dimension", dimension, 1, _MOST)
    n_test = integer("n_test", n_test, 0, _MOST)
    choice("labels_from", labels_from, ("input", "latent"))
    entropy = seed_entropy(seed)
    features = _normal(net.widths[0], dimension, child_seed(entropy, _FEATURES))
    latent = _normal(n_patterns, dimension, child_seed(entropy, _INPUTS))
    test_latent = _normal(n_test, dimension, child_seed(entropy, _TEST))
    inputs, test_inputs = _sign_of_fields(features, latent), _sign_of_fields(features, test_latent)
    teacher = random_bonds(net, child_seed(entropy, _TEACHER))
    if labels_from == "latent":
        first = _random_layer(net, net.widths[1], dimension, None, child_seed(child_seed(entropy, _TEACHER), 1))
        teacher = (first, *teacher[1:])
    seen, test_seen = (latent, test_latent) if labels_from == "latent" else (inputs, test_inputs)
    test = _test_set(teacher, test_seen)
    if test:
        test |= {"test_inputs": test_inputs, "test_latent": test_latent}
    return Data(
        inputs,
        forward(teacher, seen)[-1],
        network=net,
        teacher=teacher if labels_from == "input" else None,
        latent_teacher=teacher if labels_from == "latent" else None,
        latent=latent,
        features=features,
        **test,
        provenance=_provenance(
            "hidden_manifold_data",
            net,
            entropy,
            n_patterns=n_patterns,
            dimension=dimension,
            labels_from=labels_from,
            n_test=n_test,
        ),
    )


def data_from(
    inputs: npt.ArrayLike,
    outputs: npt.ArrayLike,
    test_inputs: npt.ArrayLike | None = None,
    test_outputs: npt.ArrayLike | None = None,
) -> Data:
    """Take one's own data.

    Parameters
    ----------
    inputs : array of +-1, shape (n_patterns, N_0)
        Of any numeric type.
    outputs : array of +-1, shape (n_patterns, N_L)
        What to answer.
    test_inputs : array of +-1, shape (n_test, N_0), optional
        Inputs that are not learnt.
    test_outputs : array of +-1, shape (n_test, N_L), optional
        The right answers to them.

    Returns
    -------
    Data

    Raises
    ------
    ValueError
        An entry is not +-1 (the message names the array and the first such entry), or shapes do not match.

    Examples
    --------
    >>> data_from([[1.0, -1.0], [1.0, 1.0]], [[1], [-1]]).inputs
    array([[ 1, -1],
           [ 1,  1]], dtype=int8)
    """
    given = {"inputs": inputs, "outputs": outputs, "test_inputs": test_inputs, "test_outputs": test_outputs}
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in given.items() if value is not None}
    return Data(**arrays, provenance=io.provenance("mc.data_from", arrays))


def binarize(images: npt.ArrayLike, threshold: float | Literal["median"] | npt.ArrayLike = 0.5) -> Spins:
    """Make spins of images: +1 where a pixel is above the threshold, else -1.

    Parameters
    ----------
    images : array of numbers, shape (n, height, width) or (n, d)
        Grey values, of any scale.
    threshold : float, "median" or array of the shape of one image
        In the units of `images`.  "median": the median of each image; for the median of each pixel give
        ``np.median(images, axis=0)``, of the training images in both sets.

    Returns
    -------
    int8 array, shape (n, d)
        d = height * width.

    Examples
    --------
    >>> binarize([[[0.0, 0.9], [0.6, 0.2]]])
    array([[-1,  1,  1, -1]], dtype=int8)
    >>> binarize([[1, 2, 3, 4]], "median")
    array([[-1, -1,  1,  1]], dtype=int8)
    """
    array = np.asarray(images)
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "buif":
        raise ValueError(
            f"images must be numbers of shape (n, height, width) or (n, d), got {array.dtype} {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError("images must be finite, got NaN or infinity")
    pixels = array.reshape(len(array), -1)
    if isinstance(threshold, str):
        choice("threshold", threshold, ("median",))
        limit: npt.NDArray[Any] = np.median(pixels, axis=1, keepdims=True)
    else:
        limit = np.asarray(threshold)
        if limit.shape not in ((), array.shape[1:]) or limit.dtype.kind not in "buif" or not np.isfinite(limit).all():
            raise ValueError(
                f"threshold must be a finite number, 'median' or finite numbers of shape {array.shape[1:]}, "
                f"got {threshold!r}"
            )
        limit = limit.reshape(-1)
    return np.where(pixels > limit, np.int8(1), np.int8(-1))


# Random numbers, always row by row: more patterns do not change the first ones.


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def _coins(n_rows: int, n_columns: int, seed: int) -> Spins:
    return 2 * _generator(seed).integers(0, 2, (n_rows, n_columns), np.int8) - 1


def _normal(n_rows: int, n_columns: int, seed: int) -> npt.NDArray[np.float32]:
    return _generator(seed).standard_normal((n_rows, n_columns)).astype(np.float32)


def _flipped(spins: Spins, probability: float, seed: int) -> Spins:
    if probability == 0.0:
        return spins
    return np.where(_generator(seed).random(spins.shape) < probability, -spins, spins)


def _random_layer(
    net: PerceptronNetwork, n_out: int, n_in: int, inputs: npt.NDArray[np.int32] | None, seed: int
) -> npt.NDArray[Any]:
    n_inputs = n_in if inputs is None else inputs.shape[1]
    bonds: npt.NDArray[Any]
    if net.bonds == "binary":
        bonds = _coins(n_out, n_inputs, seed)
    else:
        normal = _generator(seed).standard_normal((n_out, n_inputs))
        normal *= math.sqrt(n_inputs) / np.linalg.norm(normal, axis=1, keepdims=True)
        bonds = normal.astype(np.float32)
    if inputs is None:
        return bonds
    full = np.zeros((n_out, n_in), bonds.dtype)
    np.put_along_axis(full, inputs, bonds, axis=1)
    return full


def _sign_of_fields(bonds: npt.NDArray[Any], spins: npt.NDArray[Any]) -> Spins:
    weights = bonds.astype(np.float64).T
    result = np.empty((len(spins), len(bonds)), np.int8)
    for start in range(0, len(spins), _BLOCK):
        fields = spins[start : start + _BLOCK].astype(np.float64) @ weights
        result[start : start + _BLOCK] = np.where(fields >= 0.0, 1, -1)
    return result


def _test_set(teacher: Bonds, inputs: npt.NDArray[Any]) -> dict[str, Any]:
    return {"test_inputs": inputs, "test_outputs": forward(teacher, inputs)[-1]} if len(inputs) else {}


def _gibbs_noise_is_equilibrium(net: PerceptronNetwork) -> bool:
    """Whether the weight of each neuron, summed over its two values, is the same for all fields."""
    if net.potential != "count":
        return False
    layers = range(1, net.depth + 1)
    return net.hidden == "slaved" or net.bonds == "spherical" or all(net.n_inputs(layer) % 2 for layer in layers)


def _provenance(function: str, net: PerceptronNetwork, entropy: int, **parameters: Any) -> dict[str, str]:
    return io.provenance(f"mc.{function}", {"net": json.loads(net.to_json()), **parameters}, seed=entropy)


# Checks.


def _checked_beta(name: str, value: Any) -> float:
    return number(name, value, "a finite number >= 0", lambda x: x >= 0.0)


def _checked_spins(name: str, spins: Any, n_patterns: int | None = None, width: int | None = None) -> Spins:
    array = np.asarray(spins)
    shape = (n_patterns or "n_patterns", width or "width")
    expected = f"({shape[0]}, {shape[1]})"
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be an array of +-1, got type {array.dtype}")
    fits = array.ndim == 2 and n_patterns in (None, array.shape[0]) and width in (None, array.shape[1])
    if not fits or array.size == 0:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    bad = (array != 1) & (array != -1)
    if bad.any():
        row, column = (int(i) for i in np.unravel_index(np.argmax(bad), bad.shape))
        raise ValueError(f"{name} must be +-1, got {array[row, column]} at [{row}, {column}]")
    return _frozen(array.astype(np.int8, copy=False))


def _checked_bonds(name: str, bonds: Any) -> Bonds:
    """Check that the layers fit one another."""
    machine: list[npt.NDArray[Any]] = []
    for layer, given in enumerate(bonds, start=1):
        array = np.asarray(given)
        below = machine[-1].shape[0] if machine else f"N_{layer - 1}"
        fits = array.ndim == 2 and array.size > 0 and (layer == 1 or array.shape[1] == below)
        if not fits or array.dtype.kind not in "iuf":
            raise ValueError(
                f"{name}[{layer - 1}] must be numbers of shape (N_{layer}, {below}), got {array.dtype} {array.shape}"
            )
        machine.append(array)
    if not machine:
        raise ValueError(f"{name} must have at least one layer, got none")
    return tuple(machine)


def _stored_bonds(bonds: npt.NDArray[Any]) -> npt.NDArray[Any]:
    binary = bonds.dtype.kind != "f" and bool((np.abs(bonds) <= 1).all())
    return _frozen(bonds.astype(np.int8 if binary else np.float32, copy=False))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the same numbers in an array that nobody can write to."""
    owner = array.base if isinstance(array.base, np.ndarray) else array
    if array.flags.writeable or owner.flags.writeable or not owner.flags.owndata or not array.flags.c_contiguous:
        array = array.copy(order="C")
        array.flags.writeable = False
    return array


def _layer_names(depth: int, first: str) -> list[str]:
    return [first, *(f"neuron_{layer}" for layer in range(1, depth)), "output"] if depth > 0 else []
