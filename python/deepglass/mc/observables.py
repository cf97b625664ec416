"""Overlaps of machines and what they make wrong.

The hidden layers of a network with all connections have two exact symmetries: a neuron may change its sign (with
its bonds, and those of the next layer that start from it), and the neurons of a layer may be permuted.  In
equilibrium matched overlaps of hidden layers therefore vanish; they are of use between configurations of one run
at times shorter than its relaxation.  `normalised_overlap` does not change under the symmetries, and `align`
undoes them.

Spins have the shape (..., n_patterns, N), bonds (..., N_l, N_{l-1}); leading axes (replicas, times) broadcast.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._check import integer
from ..random import SeedLike, child_seed, seed_entropy
from .data import Data, Spins, _checked_bonds, _checked_spins, forward, random_bonds
from .network import PerceptronNetwork

__all__ = [
    "Alignment",
    "align",
    "bond_overlap",
    "generalisation_error",
    "matched_overlap",
    "neuron_correlation_second_moment",
    "neuron_kernel",
    "normalised_overlap",
    "overlap_histogram",
    "pattern_pairs",
    "perceptron_generalisation",
    "prior_aligned_overlap",
    "prior_normalised_overlap",
    "training_error",
    "unseen",
    "wide_prior_overlap",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Machine: TypeAlias = tuple[tuple[npt.NDArray[Any], ...], tuple[npt.NDArray[Any], ...]]  # spins, bonds

# float32 bonds keep their norm to some 1e-7.
_ROUNDING = 1e-6


# Overlaps neuron by neuron, bond by bond.


def matched_overlap(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Overlap of the neurons of a layer, ``q = sum_{i,mu} S^a[i,mu] S^b[i,mu] / (N M)``.

    Parameters
    ----------
    a, b : arrays of +-1, shape (..., n_patterns, N)
        Two configurations of the layer.

    Returns
    -------
    array, shape (...)

    Examples
    --------
    >>> float(matched_overlap([[1, 1], [1, -1]], [[1, 1], [1, 1]]))
    0.5
    """
    first, second = _spins("a", a), _spins("b", b)
    if first.shape[-2:] != second.shape[-2:]:
        raise ValueError(f"b must have {first.shape[-2:]} patterns and neurons as a has, got {second.shape[-2:]}")
    return np.asarray(1.0 - 2.0 * np.mean(first != second, axis=(-2, -1), dtype=np.float64))


def bond_overlap(bonds_a: npt.ArrayLike, bonds_b: npt.ArrayLike) -> Floats:
    """Overlap of the bonds of a layer, ``Q = sum_{ik} J^a_ik J^b_ik / (N_l c)`` with c inputs of each perceptron.

    The denominator is taken as the product of the norms of the two matrices, which is the same.

    Parameters
    ----------
    bonds_a, bonds_b : arrays, shape (..., N_l, N_{l-1})
        Bonds of the layer, 0 where not connected.

    Returns
    -------
    array, shape (...)

    Examples
    --------
    >>> float(bond_overlap([[1, -1], [1, 1]], [[1, 1], [1, 1]]))
    0.5
    """
    first, second = np.asarray(bonds_a, np.float64), np.asarray(bonds_b, np.float64)
    if first.ndim < 2 or first.shape[-2:] != second.shape[-2:]:
        raise ValueError(f"bonds_b must end with the shape of bonds_a, got {second.shape} and {first.shape}")
    norms = np.linalg.norm(first, axis=(-2, -1)) * np.linalg.norm(second, axis=(-2, -1))
    return np.asarray(np.einsum("...ik,...ik->...", first, second) / norms)


# Overlaps that know no gauge.


def neuron_kernel(spins: npt.ArrayLike) -> Floats:
    """Similarity of patterns in a layer, ``K_{mu nu} = sum_i S_i^mu S_i^nu / N``.

    Parameters
    ----------
    spins : array of +-1, shape (..., n_patterns, N)
        The neurons of the layer.

    Returns
    -------
    array, shape (..., n_patterns, n_patterns)

    Examples
    --------
    >>> neuron_kernel([[1, 1, 1, 1], [1, 1, 1, -1]])
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    values = _spins("spins", spins).astype(np.float32)  # sums of +-1 are exact
    return np.asarray((values @ np.swapaxes(values, -2, -1)).astype(np.float64) / values.shape[-1])


def neuron_correlation_second_moment(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Second moment of the correlations between the neurons of two machines.

    With the correlations ``O_ij = sum_mu S^a_i S^b_j / M`` and the kernels K of `neuron_kernel`,

        ``q2 = sum_ij O_ij^2 / (N_a N_b) = sum_{mu nu} K^a_{mu nu} K^b_{mu nu} / M^2``.

    The pairs mu = nu contribute 1/M whatever the machines; the mean over the others is
    ``q2' = (M q2 - 1) / (M - 1)``, on average 0 for unrelated unbiased neurons.

    Parameters
    ----------
    a, b : arrays of +-1, shapes (..., n_patterns, N_a) and (..., n_patterns, N_b)
        The layer in two machines that see the same inputs.

    Returns
    -------
    q2, q2_off_diagonal : arrays, shape (...)
        The latter is NaN for a single pattern.

    Notes
    -----
    Cost M N_a N_b or M^2 (N_a + N_b), the smaller one; the sums of integers are exact in both.

    Examples
    --------
    >>> a = [[1, 1], [1, -1], [-1, 1]]
    >>> q2, off_diagonal = neuron_correlation_second_moment(a, a)
    >>> round(float(q2), 6), round(float(off_diagonal), 6)
    (0.555556, 0.333333)
    """
    first, second = _spins("a", a), _spins("b", b)
    n_patterns = first.shape[-2]
    if second.shape[-2] != n_patterns:
        raise ValueError(f"b must have {n_patterns} patterns as a has, got {second.shape[-2]}")
    n_a, n_b = first.shape[-1], second.shape[-1]
    x, y = first.astype(np.float32), second.astype(np.float32)
    if n_a * n_b <= n_patterns * (n_a + n_b):
        correlations = (np.swapaxes(x, -2, -1) @ y).astype(np.float64)
        total = np.sum(correlations**2, axis=(-2, -1))
    else:
        kernel_a = (x @ np.swapaxes(x, -2, -1)).astype(np.float64)
        kernel_b = (y @ np.swapaxes(y, -2, -1)).astype(np.float64)
        total = np.einsum("...mn,...mn->...", kernel_a, kernel_b)
    q2 = np.asarray(total / (float(n_a * n_b) * n_patterns**2))
    off_diagonal = (n_patterns * q2 - 1.0) / (n_patterns - 1.0) if n_patterns > 1 else np.full_like(q2, np.nan)
    return q2, np.asarray(off_diagonal)


def normalised_overlap(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Overlap that signs and permutations of the neurons leave unchanged, ``A = q2'_ab / sqrt(q2'_aa q2'_bb)``.

    q2' is that of `neuron_correlation_second_moment`: A is the cosine of the angle between the off-diagonal parts
    of the two kernels K.  It is 1 for identical machines.  For machines that have nothing in common but their
    inputs it is not 0 but A0, see `prior_normalised_overlap`; report (A - A0) / (1 - A0) too.

    Parameters
    ----------
    a, b : arrays of +-1, shapes (..., n_patterns, N_a) and (..., n_patterns, N_b)
        The layer in two machines that see the same inputs, at least two.

    Returns
    -------
    array, shape (...)
        From -1 to 1; NaN where all pairs of patterns are orthogonal in a machine.

    Examples
    --------
    >>> a = np.array([[1, 1, -1], [1, -1, -1], [-1, 1, 1], [1, 1, 1]])
    >>> float(normalised_overlap(a, a[:, [2, 0, 1]] * [1, -1, 1]))
    1.0
    """
    aa, bb = (neuron_correlation_second_moment(x, x)[1] for x in (a, b))
    ab = neuron_correlation_second_moment(a, b)[1]
    if np.asarray(a).shape[-2] < 2:
        raise ValueError("a must have at least 2 patterns, got 1")
    norm = np.sqrt(np.maximum(aa, 0.0) * np.maximum(bb, 0.0))
    return np.asarray(np.divide(ab, norm, out=np.full(norm.shape, np.nan), where=norm > 0.0))


def prior_normalised_overlap(
    net: PerceptronNetwork, inputs: npt.ArrayLike, seed: SeedLike, n_pairs: int = 32
) -> tuple[Floats, Floats]:
    """Normalised overlap A0(l) of independent machines from the prior that see the same inputs.

    Parameters
    ----------
    net : PerceptronNetwork
        Architecture and prior; neurons follow the bonds without noise.
    inputs : array of +-1, shape (n_patterns, N_0)
        Those on which the overlap to be compared was measured.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Pair number k depends on the seed and k only.
    n_pairs : int >= 2
        Number of pairs.

    Returns
    -------
    value, error : arrays, shape (L,)
        Mean over pairs for the layers 1..L, and its standard error.

    Examples
    --------
    >>> net = PerceptronNetwork(width=40, depth=2)
    >>> inputs = np.random.default_rng(1).choice([-1, 1], (80, 40))
    >>> value, error = prior_normalised_overlap(net, inputs, seed=1)
    >>> bool((abs(value - wide_prior_overlap(2)) < 0.05).all()), bool((error < 0.01).all())
    (True, True)
    """
    samples = [
        [float(normalised_overlap(a, b)) for a, b in zip(spins_a[1:], spins_b[1:], strict=True)]
        for (spins_a, _), (spins_b, _) in _prior_pairs(net, inputs, seed, n_pairs)
    ]
    return _mean_and_error(np.array(samples))


def wide_prior_overlap(depth: int) -> Floats:
    """Normalised overlap A0(l) of independent prior machines in the limit of large widths.

    ``A0(l) = g^l / sum_{k=0..l} g^k`` with ``g = (2/pi)^2``, for independent coins as inputs.

    Parameters
    ----------
    depth : int >= 1
        Number of weight layers L.

    Returns
    -------
    array, shape (L,)
        For the layers 1..L.

    Examples
    --------
    >>> wide_prior_overlap(3).round(3)
    array([0.288, 0.105, 0.041])
    """
    powers = (2.0 / math.pi) ** (2.0 * np.arange(integer("depth", depth, 1, 2**31 - 1) + 1))
    return np.asarray((powers / np.cumsum(powers))[1:])


# Overlaps after the gauge is fixed.


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """A machine b brought to the gauge of a machine a, as `align` gives it.

    Parameters
    ----------
    spins : tuple of L + 1 arrays, shapes (n_patterns, N_l)
        Aligned neurons of b.
    bonds : tuple of L arrays, shapes (N_l, N_{l-1})
        Aligned bonds of b.
    permutations : tuple of L - 1 arrays, shapes (N_l,)
        Neuron i of hidden layer l was number ``permutations[l - 1][i]`` of b.
    signs : tuple of L - 1 arrays of +-1, shapes (N_l,)
        The sign it got.
    aligned_overlap : array, shape (L + 1,)
        Overlap of the neurons of a and the aligned b in layers 0..L.
    aligned_bond_overlap : array, shape (L,)
        Overlap of the bonds in layers 1..L.

    Examples
    --------
    >>> bonds = random_bonds(PerceptronNetwork(width=5, depth=3), seed=1)
    >>> spins = forward(bonds, np.random.default_rng(1).choice([-1, 1], (20, 5)))
    >>> align(spins, bonds, spins, bonds).aligned_overlap
    array([1., 1., 1., 1.])
    """

    spins: tuple[Spins, ...]
    bonds: tuple[npt.NDArray[Any], ...]
    permutations: tuple[npt.NDArray[np.int64], ...]
    signs: tuple[Spins, ...]
    aligned_overlap: Floats
    aligned_bond_overlap: Floats


def align(
    spins_a: Sequence[npt.ArrayLike],
    bonds_a: Sequence[npt.ArrayLike],
    spins_b: Sequence[npt.ArrayLike],
    bonds_b: Sequence[npt.ArrayLike],
    *,
    permute: bool = True,
) -> Alignment:
    """Bring machine b to the gauge of machine a, by signed permutations of its hidden neurons.

    In each hidden layer the permutation p maximises ``sum_i |O_{i p(i)}|`` of the correlations O between the
    neurons of a and b (linear assignment), signs are those of O.  The rows of J[l] and the columns of J[l+1] go
    with the neurons, so that the aligned machine answers as b does.

    Parameters
    ----------
    spins_a, spins_b : sequences of L + 1 arrays of +-1, shapes (n_patterns, N_l)
        Neurons of both machines for the same inputs.
    bonds_a, bonds_b : sequences of L arrays, shapes (N_l, N_{l-1})
        Their bonds.
    permute : bool
        False: signs only.  That is all the symmetry of a network of limited connectivity.

    Returns
    -------
    Alignment

    Notes
    -----
    The overlaps are biased upward, as the largest of N numbers of size 1/sqrt(M): compare them with
    `prior_aligned_overlap`.  The cost of a layer is M N^2 + N^3.

    Examples
    --------
    >>> a = random_bonds(PerceptronNetwork(width=(9, 3, 1), depth=2), seed=1)
    >>> b = (-a[0][[1, 2, 0]], -a[1][:, [1, 2, 0]])
    >>> inputs = np.random.default_rng(1).choice([-1, 1], (50, 9))
    >>> done = align(forward(a, inputs), a, forward(b, inputs), b)
    >>> done.permutations[0], done.signs[0], bool((done.bonds[0] == a[0]).all())
    (array([2, 0, 1]), array([-1, -1, -1], dtype=int8), True)
    """
    from scipy.optimize import linear_sum_assignment

    a, b = _machine("spins_a", spins_a, "bonds_a", bonds_a), _machine("spins_b", spins_b, "bonds_b", bonds_b)
    if [x.shape for x in a[0]] != [x.shape for x in b[0]]:
        raise ValueError(
            f"spins_b must have the shapes of spins_a, {[x.shape for x in a[0]]}, got {[x.shape for x in b[0]]}"
        )
    spins, bonds = list(b[0]), list(b[1])
    permutations, signs = [], []
    for layer in range(1, len(bonds)):
        correlations = a[0][layer].T.astype(np.float32) @ spins[layer].astype(np.float32)  # exact
        n_neurons = len(correlations)
        permutation = linear_sum_assignment(-np.abs(correlations))[1] if permute else np.arange(n_neurons)
        sign = np.where(correlations[np.arange(n_neurons), permutation] >= 0.0, np.int8(1), np.int8(-1))
        spins[layer] = spins[layer][:, permutation] * sign
        bonds[layer - 1] = bonds[layer - 1][permutation] * sign[:, None]
        bonds[layer] = bonds[layer][:, permutation] * sign
        permutations.append(permutation.astype(np.int64))
        signs.append(sign)
    return Alignment(
        tuple(spins),
        tuple(bonds),
        tuple(permutations),
        tuple(signs),
        np.array([matched_overlap(x, y) for x, y in zip(a[0], spins, strict=True)]),
        np.array([bond_overlap(x, y) for x, y in zip(a[1], bonds, strict=True)]),
    )


def prior_aligned_overlap(
    net: PerceptronNetwork, inputs: npt.ArrayLike, seed: SeedLike, n_pairs: int = 32
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Aligned overlaps of independent machines from the prior that see the same inputs: the null value of `align`.

    Parameters
    ----------
    net : PerceptronNetwork
        Architecture and prior; neurons follow the bonds without noise.  With limited connectivity only signs
        are aligned.
    inputs : array of +-1, shape (n_patterns, N_0)
        Those on which the overlaps to be compared were measured.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Pair number k depends on the seed and k only.
    n_pairs : int >= 2
        Number of pairs.

    Returns
    -------
    (value, error) of the neurons, (value, error) of the bonds
        Means over pairs for layers 0..L and 1..L, arrays of shapes (L + 1,) and (L,), and standard errors.

    Examples
    --------
    >>> net = PerceptronNetwork(width=10, depth=2)
    >>> inputs = np.random.default_rng(1).choice([-1, 1], (100, 10))
    >>> (neurons, _), (bonds, _) = prior_aligned_overlap(net, inputs, seed=1)
    >>> float(neurons[0]), bool(0.2 < neurons[1] < 0.5), bool(abs(neurons[2]) < 0.1)
    (1.0, True, True)
    """
    neurons, bonds = [], []
    for a, b in _prior_pairs(net, inputs, seed, n_pairs):
        alignment = align(*a, *b, permute=net.connectivity is None)
        neurons.append(alignment.aligned_overlap)
        bonds.append(alignment.aligned_bond_overlap)
    return _mean_and_error(np.array(neurons)), _mean_and_error(np.array(bonds))


# Errors.


def training_error(bonds: Sequence[npt.ArrayLike], data: Data) -> float:
    """Fraction of wrong output bits on the patterns to learn, hidden neurons following the bonds.

    Parameters
    ----------
    bonds : sequence of L arrays, shapes (N_l, N_{l-1})
        The machine.
    data : Data
        Its inputs and outputs.

    Returns
    -------
    float

    Examples
    --------
    >>> from deepglass.mc.data import teacher_data
    >>> data = teacher_data(PerceptronNetwork(width=9, depth=2), 30, seed=1)
    >>> training_error(data.teacher, data)
    0.0
    """
    return _error(bonds, data.inputs, data.outputs)


def generalisation_error(
    bonds: Sequence[npt.ArrayLike], data: Data, inputs: npt.ArrayLike | None = None, *, only_unseen: bool = False
) -> float:
    """Fraction of wrong output bits on inputs that were not learnt, hidden neurons following the bonds.

    Parameters
    ----------
    bonds : sequence of L arrays, shapes (N_l, N_{l-1})
        The machine.
    data : Data
        Its test set is used, or its teacher.
    inputs : array of +-1, shape (n_test, N_0), optional
        Other inputs than those of the test set; the teacher of `data` answers them.
    only_unseen : bool
        Take those inputs only of which neither x nor -x was learnt, see `unseen`.

    Returns
    -------
    float
        1/2 is chance; NaN if no input is left.

    Examples
    --------
    >>> from deepglass.mc.data import teacher_data
    >>> net = PerceptronNetwork(width=9, depth=2)
    >>> data = teacher_data(net, 30, seed=1)
    >>> generalisation_error(data.teacher, data), 0.4 < generalisation_error(random_bonds(net, 1), data) < 0.6
    (0.0, True)
    """
    if inputs is not None:
        if data.teacher is None:
            raise ValueError("inputs need a teacher that answers them, and data has none")
        questions = _checked_spins("inputs", inputs, width=data.inputs.shape[1])
        answers = forward(data.teacher, questions)[-1]
    elif data.test_inputs is not None and data.test_outputs is not None:
        questions, answers = data.test_inputs, data.test_outputs
    else:
        raise ValueError("data must have a test set, or inputs be given")
    if only_unseen:
        fresh = unseen(data, questions)
        questions, answers = questions[fresh], answers[fresh]
    return _error(bonds, questions, answers)


def unseen(data: Data, inputs: npt.ArrayLike | None = None) -> npt.NDArray[np.bool_]:
    """Tell which inputs are new up to their sign: neither x nor -x is among the patterns to learn.

    A network without thresholds is odd, S(-x) = -S(x): what it learnt for x it knows for -x.

    Parameters
    ----------
    data : Data
        The patterns to learn.
    inputs : array of +-1, shape (n_test, N_0), optional
        Those of the test set by default.

    Returns
    -------
    bool array, shape (n_test,)

    Examples
    --------
    >>> from deepglass.mc.data import data_from
    >>> data = data_from([[1, 1, -1]], [[1]])
    >>> unseen(data, [[-1, -1, 1], [1, 1, 1]])
    array([False,  True])
    """
    if inputs is None:
        if data.test_inputs is None:
            raise ValueError("data must have a test set, or inputs be given")
        inputs = data.test_inputs
    questions = _checked_spins("inputs", inputs, width=data.inputs.shape[1])
    learnt = set(_up_to_sign(data.inputs))
    return np.array([key not in learnt for key in _up_to_sign(questions)], np.bool_)


def perceptron_generalisation(overlap: npt.ArrayLike) -> Floats:
    """Generalisation error of one perceptron, ``arccos(R) / pi``, at overlap R with a noiseless teacher.

    Exact for inputs of a law that rotations leave unchanged, and for independent coins if N is large.

    Parameters
    ----------
    overlap : array of numbers from -1 to 1
        The overlap of the bonds, R = `bond_overlap`.

    Returns
    -------
    array

    Examples
    --------
    >>> perceptron_generalisation([1.0, 0.0, -1.0])
    array([0. , 0.5, 1. ])
    """
    return np.arccos(_overlaps("overlap", overlap)) / np.pi


# Distributions.


def pattern_pairs(kernel: npt.ArrayLike) -> npt.NDArray[Any]:
    """Entries of a kernel for pairs of different patterns, mu < nu.

    Parameters
    ----------
    kernel : array, shape (..., n_patterns, n_patterns)
        As `neuron_kernel` gives it.

    Returns
    -------
    array, shape (..., n_patterns (n_patterns - 1) / 2)

    Examples
    --------
    >>> pattern_pairs(neuron_kernel([[1, 1, 1, 1], [1, 1, 1, -1], [1, -1, -1, -1]]))
    array([ 0.5, -0.5,  0. ])
    """
    values = np.asarray(kernel)
    if values.ndim < 2 or values.shape[-1] != values.shape[-2]:
        raise ValueError(f"kernel must have shape (..., n_patterns, n_patterns), got {values.shape}")
    rows, columns = np.triu_indices(values.shape[-1], 1)
    return np.asarray(values[..., rows, columns])


def overlap_histogram(
    overlaps: npt.ArrayLike, *, n_bins: int | None = None, n_neurons: int | None = None
) -> tuple[Floats, Floats]:
    """Probability density of overlaps between -1 and 1.

    Parameters
    ----------
    overlaps : array of numbers from -1 to 1
        Of any shape; all of them are counted.
    n_bins : int >= 1, optional
        Number of equal bins from -1 to 1; 40 by default.
    n_neurons : int >= 1, optional
        Instead: one bin for each of the values -1, -1 + 2/N, ..., 1 that the overlap of N signs takes, such as
        K_{mu nu}.  Other bins would hold uneven numbers of them.

    Returns
    -------
    centres, density : arrays, shape (n_bins,)
        ``sum(density) * bin width = 1``.

    Examples
    --------
    >>> overlap_histogram([-1.0, 0.0, 0.0, 1.0], n_neurons=2)
    (array([-1.,  0.,  1.]), array([0.25, 0.5 , 0.25]))
    """
    values = _overlaps("overlaps", overlaps).ravel()
    if values.size == 0:
        raise ValueError("overlaps must not be empty")
    if n_bins is not None and n_neurons is not None:
        raise ValueError("n_bins and n_neurons must not be given together")
    if n_neurons is not None:
        n = integer("n_neurons", n_neurons, 1, 2**31 - 2)
        edges = -1.0 + (2.0 * np.arange(n + 2) - 1.0) / n
    else:
        edges = np.linspace(-1.0, 1.0, integer("n_bins", 40 if n_bins is None else n_bins, 1, 2**31 - 2) + 1)
    density, edges = np.histogram(values, edges, density=True)
    return 0.5 * (edges[1:] + edges[:-1]), density


def _prior_pairs(
    net: PerceptronNetwork, inputs: npt.ArrayLike, seed: SeedLike, n_pairs: int
) -> Iterator[tuple[Machine, Machine]]:
    """Spins and bonds of two independent machines, `n_pairs` times."""
    questions = _checked_spins("inputs", inputs, width=net.widths[0])
    entropy = seed_entropy(seed)
    for pair in range(integer("n_pairs", n_pairs, 2, 2**31 - 1)):
        first, second = (random_bonds(net, child_seed(entropy, 2 * pair + one)) for one in (0, 1))
        yield (forward(first, questions), first), (forward(second, questions), second)


def _mean_and_error(samples: Floats) -> tuple[Floats, Floats]:
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(len(samples))


def _error(bonds: Sequence[npt.ArrayLike], inputs: Spins, outputs: Spins) -> float:
    if len(inputs) == 0:
        return math.nan
    answers = forward(bonds, inputs)[-1]
    if answers.shape != outputs.shape:
        raise ValueError(f"bonds must have {outputs.shape[1]} outputs as the data, got {answers.shape[1]}")
    return float(np.mean(answers != outputs))


def _up_to_sign(inputs: Spins) -> list[bytes]:
    packed = np.packbits(inputs == inputs[:, :1], axis=1)
    return [row.tobytes() for row in packed]


# Checks.


def _spins(name: str, spins: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(spins)
    if array.ndim < 2 or array.shape[-1] == 0 or array.shape[-2] == 0 or array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be +-1 of shape (..., n_patterns, N), got {array.dtype} {array.shape}")
    bad = (array != 1) & (array != -1)
    if bad.any():
        where = [int(i) for i in np.unravel_index(np.argmax(bad), bad.shape)]
        raise ValueError(f"{name} must be +-1, got {array[tuple(where)]} at {where}")
    return array


def _overlaps(name: str, values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    bad = ~(np.abs(array) <= 1.0 + _ROUNDING)
    if bad.any():
        raise ValueError(f"{name} must be from -1 to 1, got {array[bad][0]}")
    return np.clip(array, -1.0, 1.0)


def _machine(
    spins_name: str, spins: Sequence[npt.ArrayLike], bonds_name: str, bonds: Sequence[npt.ArrayLike]
) -> tuple[list[Spins], tuple[npt.NDArray[Any], ...]]:
    weights = _checked_bonds(bonds_name, bonds)
    widths = [weights[0].shape[1], *(layer.shape[0] for layer in weights)]
    if len(spins) != len(widths):
        raise ValueError(f"{spins_name} must have {len(widths)} layers, one more than {bonds_name}, got {len(spins)}")
    n_patterns = int(np.asarray(spins[0]).shape[0])
    layers = [
        _checked_spins(f"{spins_name}[{layer}]", values, n_patterns, width)
        for layer, (values, width) in enumerate(zip(spins, widths, strict=True))
    ]
    return layers, weights
