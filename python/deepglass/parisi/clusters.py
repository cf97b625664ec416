"""Clusters of solutions: what the order parameter function q(x) of a layer says about two and more machines.

Two machines drawn at random from the solutions of the same data have the overlap q with probability P(q) = dx/dq;
the clusters they lie in form a tree, and the weights of the clusters are a Ruelle probability cascade with the
breakpoints m_i as its parameters.  All layers share one tree, and a layer sees those of its forks where the overlap
of the layer rises.

References
----------
G. Parisi, "Order parameter for spin-glasses", Phys. Rev. Lett. 50, 1946 (1983).
D. Ruelle, "A mathematical reformulation of Derrida's REM and GREM", Commun. Math. Phys. 108, 225 (1987).
E. Bolthausen and A.-S. Sznitman, "On Ruelle's probability cascades and an abstract cavity method",
Commun. Math. Phys. 197, 247 (1998).
J. Pitman, "Coalescents with multiple collisions", Ann. Probab. 27, 1870 (1999).
C. Goldschmidt and J. B. Martin, "Random recursive trees and the Bolthausen-Sznitman coalescent",
Electron. J. Probab. 10, 718 (2005).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .._check import choice, integer, number
from ..io import provenance
from ..random import SeedLike, seed_entropy

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["cluster_tree", "overlap_distribution"]

Kind = Literal["neuron", "bond"]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_DIMS = {"neuron": "layer", "bond": "bond_layer"}
# The overlap matrix of that many solutions takes 0.8 GB.
_MOST_SOLUTIONS = 10_000


class _Levels(NamedTuple):
    """The steps of q(x) in one layer, those nearer than the smallest gap taken as one level."""

    first: Integers  # first step of each level, (n_levels,)
    level: Integers  # level of each step, (n_steps,)
    left: Floats  # x where each step begins, (n_steps,)
    right: Floats  # x where each step ends, (n_steps,)
    overlap: Floats  # mean of q over each level, (n_levels,)
    deficit: Floats  # mean of 1 - q over each level, (n_levels,)


def _rise(overlap: Floats, deficit: Floats) -> Floats:
    """Differences of neighbouring overlaps, without cancellation at q = 0 nor at q = 1."""
    return np.where(overlap[1:] < 0.5, np.diff(overlap), -np.diff(deficit))


def _levels(solution: xr.Dataset, layer: int, kind: str, min_gap: float) -> _Levels:
    dim = _DIMS[choice("kind", kind, tuple(_DIMS))]
    names = [f"{kind}_overlap", f"{kind}_deficit"]
    coords = {dim, "x_left", "x_right"}
    if not hasattr(solution, "data_vars") or not {*names} | coords <= {*solution.variables}:
        raise ValueError(f"solution must be a Dataset of `solve`, with {', '.join(names)}, got {type(solution)!r}")
    if any(solution[name].dims != (dim, "step") for name in names):
        raise ValueError(
            f"solution must have {names[0]} of dims {(dim, 'step')}, got {solution[names[0]].dims}; "
            "select one load of a scan first"
        )
    labels = solution[dim].values
    position = np.flatnonzero(labels == integer("layer", layer, int(labels[0]), int(labels[-1])))
    if position.size != 1:
        raise ValueError(f"layer must be one of those in the solution, {labels.tolist()}, got {layer!r}")
    number("min_gap", min_gap, "a number from 0 to 1", lambda gap: 0.0 <= gap <= 1.0)
    overlap, deficit = (np.asarray(solution[name].values[position[0]], dtype=np.float64) for name in names)
    left, right = (np.asarray(solution[name].values, dtype=np.float64) for name in ("x_left", "x_right"))
    if not (np.isfinite(overlap).all() and np.isfinite(deficit).all()):
        raise ValueError(f"solution must have finite overlaps, got {overlap.tolist()} in layer {layer}")
    if not (left[0] == 0.0 and right[-1] == 1.0 and (left[1:] == right[:-1]).all() and (left < right).all()):
        raise ValueError(f"solution must have steps that fill 0 < x < 1, got x_left {left.tolist()}")
    gap = _rise(overlap, deficit)
    if (gap < -min_gap).any():
        raise ValueError(f"solution must have overlaps that grow with x, got {overlap.tolist()} in layer {layer}")
    rises = np.concatenate([[True], gap > min_gap])
    first, level, width = np.flatnonzero(rises), np.cumsum(rises) - 1, right - left

    def mean(values: Floats) -> Floats:
        """Over each level, by what the steps add to its first one: exact where that is alone."""
        start = values[first]
        return start + np.bincount(level, width * (values - start[level])) / np.bincount(level, width)

    return _Levels(first, level, left, right, mean(overlap), mean(deficit))


def overlap_distribution(
    solution: xr.Dataset, layer: int, kind: Kind = "neuron", *, min_gap: float = 1e-4
) -> xr.Dataset:
    """Probability P(q) that two solutions of the same data have the overlap q in a layer.

    The order parameter function q(x) is the inverse of the distribution function of the overlap,

        P(q) = int_0^1 dx delta(q - q(x)) = dx/dq       (Parisi 1983),

    averaged over the data.  With k steps it is a sum of at most k + 1 peaks, exactly: the overlap q_i has the weight
    m_{i+1} - m_i.  A continuous q(x) has peaks on its plateaus only, and a density dx/dq where it rises.  The
    estimate of these two parts draws a straight line through the middles (x, q) of neighbouring steps: a level that
    stands alone gives half of its weight to the stretch below and half to the stretch above, and a plateau of
    several steps keeps what lies between the middles of its first and last one.  Nothing is known outside the
    outermost middles; there q(x) is taken as constant, so that the outermost peaks keep half a step at least.

    Parameters
    ----------
    solution : Dataset
        From `deepglass.parisi.solve`, with any number of steps; one load.
    layer : int
        Layer of neurons 0..depth, or of bonds 1..depth.
    kind : "neuron" or "bond"
        The overlap q(x, l) of neurons, or Q(x, l) of bonds.
    min_gap : float from 0 to 1
        Neighbouring steps whose overlaps differ by no more are one level, at their mean.

    Returns
    -------
    Dataset
        Peaks, the k-step P(q): ``weight`` (peak), which adds up to one, with coordinates overlap, deficit (one
        minus it, to full relative accuracy), x_left and x_right (the distribution function x(q) rises from one to
        the other at the peak); ``n_steps`` (peak), the steps in it; ``delta_weight`` (peak), what of the weight stays
        a peak in the continuous estimate.  Its other part: ``density`` (stretch), dx/dq between neighbouring peaks,
        with coordinates overlap_left, overlap_right; ``stretch_weight`` (stretch), its integral.  The delta and
        stretch weights add up to one.  ``moment`` (order), int q^p P(q) dq for p = 1, 2, of the peaks.
        The layer is a coordinate, ``layer`` or ``bond_layer``.

    Raises
    ------
    ValueError
        If an argument is out of range, or the solution has NaN, several loads or overlaps that fall with x.

    Notes
    -----
    The densities are first-order estimates: exact for a piecewise linear q(x), and with equal steps of the mean
    overlap of the peaks.  Steps cannot tell a plateau of less than two of them from a steep density, nor a jump of
    q(x), as that of a layer that freezes, from a low one: look at the staircase.

    Published for the deep perceptron in H. Yoshino, SciPost Phys. Core 2, 005 (2020).

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=20.0), 4)
    >>> distribution = dg.parisi.overlap_distribution(solution, 2, min_gap=1e-3)
    >>> distribution.overlap.values.round(3).tolist(), distribution.weight.values.round(3).tolist()
    ([0.0, 0.053, 0.088], [0.6, 0.2, 0.2])
    >>> distribution.delta_weight.values.round(3).tolist(), distribution.stretch_weight.values.round(3).tolist()
    ([0.5, 0.0, 0.1], [0.2, 0.2])
    """
    import xarray as xr

    levels = _levels(solution, layer, kind, min_gap)
    last = np.append(levels.first[1:], levels.left.size) - 1
    middle = 0.5 * (levels.left + levels.right)
    flat_left, flat_right = middle[levels.first], middle[last]
    flat_left[0], flat_right[-1] = 0.0, 1.0
    x_left, x_right = levels.left[levels.first], levels.right[last]
    weight = x_right - x_left
    stretch_weight = flat_left[1:] - flat_right[:-1]
    dataset = xr.Dataset(
        {
            "weight": ("peak", weight),
            "n_steps": ("peak", last + 1 - levels.first),
            "delta_weight": ("peak", flat_right - flat_left),
            "density": ("stretch", stretch_weight / _rise(levels.overlap, levels.deficit)),
            "stretch_weight": ("stretch", stretch_weight),
            "moment": ("order", [float(weight @ levels.overlap**p) for p in (1, 2)]),
        },
        coords={
            "overlap": ("peak", levels.overlap),
            "deficit": ("peak", levels.deficit),
            "x_left": ("peak", x_left),
            "x_right": ("peak", x_right),
            "overlap_left": ("stretch", levels.overlap[:-1]),
            "overlap_right": ("stretch", levels.overlap[1:]),
            "order": [1, 2],
            _DIMS[kind]: layer,
        },
        attrs=_provenance("overlap_distribution", solution, layer, kind, {"min_gap": min_gap}),
    )
    return _described(dataset)


def cluster_tree(
    solution: xr.Dataset,
    layer: int,
    seed: SeedLike = None,
    *,
    kind: Kind = "neuron",
    n_solutions: int = 500,
    min_gap: float = 1e-4,
) -> xr.Dataset:
    """Tree of the clusters in which solutions of one set of data lie, as one layer sees it.

    Draws ``n_solutions`` solutions, each with its statistical weight, from a Ruelle probability cascade with the
    parameters m_1 < .. < m_k and the overlaps q_0 < .. < q_k of the layer.  Those that share a cluster of level i,
    but none of level i + 1, have the overlap q_i.

    Parameters
    ----------
    solution : Dataset
        From `deepglass.parisi.solve`, with any number of steps; one load.
    layer : int
        Layer of neurons 0..depth, or of bonds 1..depth.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        One seed gives one and the same set of solutions in all layers, of neurons and of bonds.
    kind : "neuron" or "bond"
        The overlap q(x, l) of neurons, or Q(x, l) of bonds.
    n_solutions : int from 1 to 10000
        Solutions to draw.
    min_gap : float from 0 to 1
        Neighbouring steps whose overlaps differ by no more are one level; the clusters do not fork there.

    Returns
    -------
    Dataset
        Clusters (node), from the root that holds all solutions, level by level: ``parent``, -1 for the root;
        ``level``, forks of the layer from the root; ``step``, the first step of the solution in the level;
        ``x``, the breakpoint at which the cluster has come off its parent; ``overlap`` of two solutions of the
        cluster which part at its next fork, and ``deficit``, one minus it; ``n_members``, ``weight`` = n_members /
        n_solutions, and ``first_member``: the members are the solutions from that one on.
        Solutions (solution), in the order of the tree: ``cluster``, the innermost node of each;
        ``overlap_matrix`` (solution, other), ultrametric, 1 on the diagonal.  ``seed``, to repeat the run.
        The layer is a coordinate, ``layer`` or ``bond_layer``.

    Raises
    ------
    ValueError
        If an argument is out of range, or the solution has NaN, several loads or overlaps that fall with x.

    Notes
    -----
    Nothing is cut off: the law of the n solutions is exact, and a weight is the share of the solutions in a
    cluster, an estimate of its weight in the cascade with an error n^(-1/2).  In the cascade (Ruelle 1987) the
    clusters of level i have the weights of Poisson points of intensity m_i w^(-m_i - 1) dw, multiplied along the tree
    and normalised.  The partition of n draws into the clusters of level i is then that of a Chinese restaurant with
    parameters (m_i, 0), and what makes it out of that of level i + 1 is to seat the clusters themselves in one with
    parameters (m_i / m_{i+1}, 0): the coalescent of Bolthausen and Sznitman (1998; Pitman 1999) at the times -ln m.
    All levels are made at once (Goldschmidt and Martin 2005): solution j picks one of the j earlier ones and a
    number u_j uniform in (0, 1), and founds a cluster of level i if the picked one has done so and u_j < m_i, else it
    joins the cluster of the picked one.  Indeed, among j solutions of which K are founders and n_t in cluster
    t, it joins t with probability ((n_t - 1) + (1 - m_i)) / j = (n_t - m_i) / j, and founds with m_i K / j.

    All layers see this one genealogy, and where levels merge forks are left out: each layer has a coarsening of it.
    More solutions of one seed contain the fewer.  Cost n_solutions (n_solutions + k).

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=20.0), 4)
    >>> trees = [dg.parisi.cluster_tree(solution, layer, seed=3) for layer in (1, 2, 3)]
    >>> [tree.sizes["node"] for tree in trees], [int(tree.level.max()) for tree in trees]
    ([293, 286, 1], [4, 2, 0])
    """
    import xarray as xr

    levels = _levels(solution, layer, kind, min_gap)
    n = integer("n_solutions", n_solutions, 1, _MOST_SOLUTIONS)
    entropy = seed_entropy(seed)
    shared = levels.level[_genealogy(n, levels.left, entropy)]
    deepest = levels.first.size - 1
    # A cluster of level g begins wherever neighbours do not share it; at place g n + first in the list of all.
    level, first = np.nonzero(np.concatenate([[-1], shared]) < np.arange(deepest + 1)[:, np.newaxis])
    place = level * n + first
    n_members = np.diff(place, append=(deepest + 1) * n)
    dataset = xr.Dataset(
        {
            "parent": ("node", np.searchsorted(place, place - n, side="right") - 1),
            "level": ("node", level),
            "step": ("node", levels.first[level]),
            "x": ("node", levels.left[levels.first[level]]),
            "overlap": ("node", levels.overlap[level]),
            "deficit": ("node", levels.deficit[level]),
            "n_members": ("node", n_members),
            "weight": ("node", n_members / n),
            "first_member": ("node", first),
            "cluster": ("solution", np.searchsorted(place, deepest * n + np.arange(n), side="right") - 1),
            "overlap_matrix": (("solution", "other"), _overlap_matrix(levels.overlap, shared)),
            "seed": np.uint64(entropy),
        },
        coords={_DIMS[kind]: layer},
        attrs=_provenance("cluster_tree", solution, layer, kind, {"n_solutions": n, "min_gap": min_gap}),
    )
    return _described(dataset)


def _genealogy(n: int, breakpoints: Floats, entropy: int) -> Integers:
    """Draw n solutions from the cascade with m_0 = 0 < m_1 < .. < m_k, and put clusters together, large ones first.

    Returns, (n - 1,), the innermost level 0..k whose cluster each solution shares with the next.
    """
    uniform = np.random.Generator(np.random.PCG64(entropy)).random((n, 2))
    solution = np.arange(n)
    picked = (uniform[:, 0] * solution).astype(np.int64)
    # A founder of level i is one for which u < m_i on the whole path of picks; the first solution always is.
    largest = uniform[:, 1]
    largest[0] = -1.0
    ancestor = picked
    while ancestor.any():
        largest = np.maximum(largest, largest[ancestor])
        ancestor = ancestor[ancestor]
    founder = np.where(largest < breakpoints[:, np.newaxis], solution, picked)
    while not np.array_equal(founder, further := np.take_along_axis(founder, founder, axis=1)):
        founder = further
    keys = [key for row in founder[1:] for key in (-np.bincount(row)[row], row)]
    ordered = founder[:, np.lexsort(keys[::-1])] if keys else founder
    shares: Integers = (ordered[:, 1:] == ordered[:, :-1]).sum(axis=0) - 1
    return shares


def _overlap_matrix(overlap: Floats, shared: Integers) -> Floats:
    """From the levels that neighbours share: two solutions share the least of those between them."""
    n = shared.size + 1
    upper = np.triu(np.ones((n, n), dtype=bool), 1)
    level = np.where(upper, np.concatenate([[0], shared]).astype(np.int16), np.int16(overlap.size - 1))
    np.minimum.accumulate(level, axis=1, out=level)
    matrix: Floats = overlap[np.minimum(level, level.T)]
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _provenance(
    function: str, solution: xr.Dataset, layer: int, kind: str, numerical: dict[str, float]
) -> dict[str, str]:
    parameters = {"solution": solution.attrs.get("parameters", "given"), "layer": int(layer), "kind": kind}
    return provenance(f"deepglass.parisi.{function}", parameters | numerical)


_DESCRIPTIONS = {
    "overlap": "overlap",
    "deficit": "1 - overlap, without cancellation",
    "weight": "statistical weight",
    "delta_weight": "weight that stays a peak where q(x) is continuous",
    "density": "density dx/dq of the overlap",
    "stretch_weight": "weight of the density",
    "moment": "int q^p P(q) dq",
    "n_members": "solutions in the cluster",
    "first_member": "first solution of the cluster",
    "x": "breakpoint at which the cluster has come off its parent",
    "cluster": "innermost cluster of the solution",
    "overlap_matrix": "overlap of two solutions",
}


def _described(dataset: xr.Dataset) -> xr.Dataset:
    for name, text in _DESCRIPTIONS.items():
        if name in dataset.variables:
            dataset[name].attrs["long_name"] = text
    return dataset
