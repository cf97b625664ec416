"""The Franz-Parisi potential of the deep perceptron network: what it costs to be at a distance from the teacher.

References
----------
S. Franz and G. Parisi, "Recipes for metastable states in spin glasses", J. Phys. I France 5, 1401 (1995).
H. Yoshino, SciPost Phys. Core 2, 005 (2020), for the functional of the network.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import choice, integer
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from .deep_perceptron import _BRANCHES, _MARGINAL, _MOST_THREADS, _START_DEFICIT, DeepPerceptron, _numerical

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["franz_parisi"]

# Potentials of one and the same solution agree to this.
_EQUAL = 1e-10

_DESCRIPTIONS = {
    "overlap": "imposed teacher-student overlap r(l)",
    "potential": "Franz-Parisi potential V per N M",
    "field": "conjugate field, dV/dr(l)",
    "neuron_overlap": "student-student neuron overlap q(l)",
    "bond_overlap": "student-student bond overlap Q(l)",
    "teacher_neuron_overlap": "teacher-student neuron overlap r(l)",
    "teacher_bond_overlap": "teacher-student bond overlap R(l)",
    "replicon": "largest eigenvalue of the students' replicon map; > 1 is unstable",
    "residual": "largest change of 1 - q and 1 - r, and relative change of 1 - Q and 1 - R, in one more iteration",
    "branch": "start of the iteration that led to this solution",
}


def _overlaps(overlaps: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(overlaps)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"overlaps must be real numbers, got an array of {array.dtype}")
    array = array.astype(np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"overlaps must have shape (n_overlaps,) with n_overlaps >= 1, got {array.shape}")
    outside = ~((array >= 0.0) & (array < 1.0))
    if outside.any():
        raise ValueError(f"overlaps must lie in [0, 1), got {array[outside][0]}")
    return array


def franz_parisi(
    model: DeepPerceptron,
    overlaps: npt.ArrayLike,
    layer: int | None = None,
    branch: Literal["lowest", "wetting", "thick", "crystal"] = "lowest",
    *,
    atol: float = 1e-13,
    max_iter: int = 5000,
    threads: int = 0,
) -> xr.Dataset:
    """Franz-Parisi potential: minus the entropy of students held at an overlap with their teacher.

    The teacher is a typical network; a student learns its data, and the overlap r(layer) = x between the neurons of
    both in one layer is imposed.  Replica symmetric in the students, with the overlaps q(l), Q(l) among them and r(l),
    R(l) with the teacher all free,

        V(x) = - extr { sum_l [ln(1-Q) + (Q-R^2)/(1-Q)]/(2 load) + sum_l W(lambda_S, lambda_T)
                        + sum_l [E ln 2cosh(sqrt(eps) z + eps_T) - eps (1-q)/2 - eps_T r] }
        W = 2 E Phi(z lambda_T / sqrt(lambda_S - lambda_T^2)) ln Phi(z sqrt(lambda_S / (1 - lambda_S)))
        lambda_S = q(l-1) Q(l) q(l),  lambda_T = r(l-1) R(l) r(l),  z standard normal,

    per N M, the teacher's own entropy subtracted.  Where nothing has to be imposed, dV/dx = 0, the solution is on the
    Nishimori line, r = q and R = Q: a solution of `solve`, with ``V = -free_entropy``.  Minima are its branches, and
    V minus the lowest of them is what an overlap costs.

    Parameters
    ----------
    model : DeepPerceptron
        With scenario="teacher".
    overlaps : array, shape (n_overlaps,)
        Imposed overlaps x, each in [0, 1).
    layer : int from 1 to depth - 1, optional
        Where they are imposed; the central layer, depth // 2.
    branch : "lowest", "wetting", "thick" or "crystal"
        Start of the iteration in the other overlaps, as in `solve`: from the liquid, from 0.95, or from the teacher.
        They lead to the same solution, or to different ones between the spinodals; "lowest" takes the one of lowest V.
    atol : float
        Converged when one more iteration changes no 1 - q and 1 - r, and no 1 - Q and 1 - R relatively, by more.
    max_iter : int
        Limit of iterations of each solution.
    threads : int
        0 for the OpenMP default.  The result does not depend on it.

    Returns
    -------
    Dataset
        With dimension ``overlap``: ``potential``; ``field``, the external field on the layer that keeps it there,
        equal to dV/dx; profiles ``neuron_overlap`` q and ``teacher_neuron_overlap`` r (layer), ``bond_overlap`` Q
        and ``teacher_bond_overlap`` R (bond_layer), and the same names with ``deficit`` for one minus these to
        full relative accuracy; ``replicon`` (> 1: the students break replica symmetry) and ``stable``;
        ``residual``, ``iterations``, ``converged``; ``branch``, the start that led here, "jammed" where no volume
        is left (numbers NaN).  Scalar coordinates ``load`` and ``imposed_layer``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Warns
    -----
    ConvergenceWarning
        Once, if any solution is not converged or not stable.

    Notes
    -----
    Every overlap is solved for itself, from the starts of its branches, so that V does not depend on the other
    overlaps asked for.  Plain iteration, and Newton's method on a band matrix where it goes the same way; 50 to
    1000 sweeps of 6 microseconds a layer for each start.  The averages are exact to rounding.

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.DeepPerceptron(depth=4, load=30.0, scenario="teacher")
    >>> q = float(dg.parisi.solve(model).neuron_overlap[2, 0])
    >>> curve = dg.parisi.franz_parisi(model, [q - 0.1, q, q + 0.1])
    >>> curve.potential.values.round(6).tolist()
    [0.524694, 0.52053, 0.525259]
    """
    import xarray as xr

    if not isinstance(model, DeepPerceptron):
        raise ValueError(f"model must be a DeepPerceptron, got {model!r}")
    if model.scenario != "teacher":
        raise ValueError(f"model must have scenario='teacher', got {model.scenario!r}")
    array = _overlaps(overlaps)
    layer = integer("layer", model.depth // 2 if layer is None else layer, 1, model.depth - 1)
    branch_name = choice("branch", branch, ("lowest", *_BRANCHES["teacher"]))
    names = np.array(_BRANCHES["teacher"] if branch_name == "lowest" else [branch_name])
    numerical = _numerical(atol, max_iter)
    raw: dict[str, npt.NDArray[Any]] = _core.deep_perceptron_franz_parisi(
        model.depth,
        model.load,
        model.wall_width,
        model.wall_shift,
        layer,
        array,
        np.array([_START_DEFICIT[name] for name in names]),
        **numerical,
        threads=integer("threads", threads, 0, _MOST_THREADS),
    )
    jammed = raw.pop("jammed")
    # The lowest of what converged (else of what is not jammed); the first of equals.
    usable = np.where(raw["converged"].any(axis=0), raw["converged"], ~jammed)
    potential = np.where(usable, raw["potential"], np.inf)
    chosen = (potential <= potential.min(axis=0) + _EQUAL).argmax(axis=0)
    points = np.arange(array.size)
    raw = {name: values[chosen, points] for name, values in raw.items()}
    jammed = jammed[chosen, points]
    for name, values in raw.items():
        if name not in ("residual", "iterations", "converged"):
            values[jammed] = np.nan
    stable = raw["replicon"] <= _MARGINAL
    _warn(raw, stable, jammed)
    dims = {
        name: ("overlap", "bond_layer") if "bond" in name else ("overlap", "layer")
        for name in raw
        if name.endswith(("_overlap", "_deficit"))
    }
    parameters = dataclasses.asdict(model) | {"layer": layer, "branch": branch_name} | numerical
    dataset = xr.Dataset(
        {name: (dims.get(name, "overlap"), values) for name, values in raw.items()}
        | {"stable": ("overlap", stable), "branch": ("overlap", np.where(jammed, "jammed", names[chosen]))},
        coords={
            "overlap": array,
            "layer": np.arange(model.depth + 1),
            "bond_layer": np.arange(1, model.depth + 1),
            "load": model.load,
            "imposed_layer": layer,
        },
        attrs=provenance("deepglass.parisi.franz_parisi", parameters),
    )
    for name, text in _DESCRIPTIONS.items():
        dataset[name].attrs["long_name"] = text
    return dataset


def _warn(raw: dict[str, npt.NDArray[Any]], stable: npt.NDArray[np.bool_], jammed: npt.NDArray[np.bool_]) -> None:
    unconverged, unstable = ~raw["converged"], ~stable & ~jammed
    parts = []
    if unconverged.any():
        parts.append(f"not converged at {unconverged.sum()} of {stable.size} overlaps (see residual)")
    if unstable.any():
        parts.append(
            f"students unstable against replica symmetry breaking at {unstable.sum()} of {stable.size} overlaps "
            f"(largest replicon eigenvalue {raw['replicon'][unstable].max():.4g} > 1)"
        )
    if parts:
        warn("; ".join(parts), ConvergenceWarning)
