"""Approximate message passing (belief propagation) for one perceptron, on single data sets, and its state evolution."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import integer, number
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from ..random import SeedLike, child_seed, seed_entropy
from .perceptron import Perceptron

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["message_passing", "perceptron_data", "state_evolution"]

_MOST = 2**31 - 1


def perceptron_data(model: Perceptron, n_inputs: int, *, seed: SeedLike = None) -> xr.Dataset:
    """Draw patterns for a perceptron: coins as input; labels by coins, or by a teacher drawn from the prior.

    Parameters
    ----------
    model : Perceptron
        Load, scenario, prior; the noise of labels of a teacher is that of its potential.
    n_inputs : int >= 1
        Number N of bonds; there are round(load N) patterns.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        See `deepglass.random.seed_entropy`.

    Returns
    -------
    Dataset
        ``inputs`` (pattern, input) and ``labels`` (pattern), int8 of +-1; with a teacher also ``teacher`` (input), of
        square norm N.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.Perceptron(load=1.5, bonds="binary", scenario="teacher")
    >>> dict(dg.parisi.perceptron_data(model, 100, seed=1).sizes)
    {'pattern': 150, 'input': 100}
    """
    import xarray as xr

    n_inputs = integer("n_inputs", n_inputs, 1, _MOST)
    n_patterns = integer("load * n_inputs", round(model.load * n_inputs), 1, _MOST)
    entropy = seed_entropy(seed)

    def coins(shape: tuple[int, ...], index: int) -> npt.NDArray[np.int8]:
        words = np.random.Generator(np.random.Philox(child_seed(entropy, index))).bytes(-(-math.prod(shape) // 8))
        bits = np.unpackbits(np.frombuffer(words, np.uint8), count=math.prod(shape))
        return (2 * bits.view(np.int8) - 1).reshape(shape)

    inputs = coins((n_patterns, n_inputs), 0)
    variables: dict[str, Any] = {"inputs": (("pattern", "input"), inputs)}
    if model.scenario == "teacher":
        generator = np.random.Generator(np.random.Philox(child_seed(entropy, 1)))
        bonds = coins((n_inputs,), 1).astype(float) if model.bonds == "binary" else generator.normal(size=n_inputs)
        bonds *= math.sqrt(n_inputs / (bonds @ bonds))
        # sgn(0) = +1, as in `deepglass.mc`
        labels = np.where(_fields(inputs, bonds) >= 0.0, 1, -1).astype(np.int8)
        if model.beta is not None:
            flip = 1.0 / (1.0 + math.exp(model.beta))
            noise = np.random.Generator(np.random.Philox(child_seed(entropy, 2))).random(n_patterns)
            labels[noise < flip] *= -1
        variables["teacher"] = ("input", bonds)
    else:
        labels = coins((n_patterns,), 1)
    variables["labels"] = ("pattern", labels)
    parameters = dataclasses.asdict(model) | {"n_inputs": n_inputs}
    return xr.Dataset(variables, attrs=provenance("deepglass.parisi.perceptron_data", parameters, seed=entropy))


def _fields(inputs: npt.NDArray[np.int8], bonds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fields of all patterns, by parts: the inputs as doubles would take eight times their memory."""
    parts = np.array_split(inputs, max(1, inputs.size // 2**22))
    return np.concatenate([part.astype(float) @ bonds for part in parts])


def message_passing(
    model: Perceptron,
    inputs: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    teacher: npt.ArrayLike | None = None,
    start: npt.ArrayLike | None = None,
    damping: float = 0.0,
    atol: float = 1e-8,
    max_iter: int = 500,
    threads: int = 0,
) -> xr.Dataset:
    """Means of the bonds of a perceptron given its patterns, by approximate message passing.

    With f(h) = ln g of width sqrt(V), see `Perceptron`, and fields omega, B:

        omega = x a / sqrt(N) - V g,      g = y f'(y omega - margin),      A = -(1/N) sum f''
        B = A a + x^T g / sqrt(N),        a = tanh B (binary),   V B (spherical),   V = 1 - mean(a^2)

    for N -> infinity the exact means wherever replica symmetry holds and `state_evolution` ends in equilibrium.  It
    comes to rest where the Bethe free entropy per bond is stationary,

        (1/N) sum [ f + V g^2/2 ] + { mean(ln 2cosh B - a B) (binary),  (ln V)/2 (spherical) }.

    Parameters
    ----------
    model : Perceptron
        Prior, margin, potential.  Its load is not used, that of the data is; neither is its scenario: the iteration is
        the same, and Bayes-optimal on labels of a teacher.
    inputs : array, shape (n_patterns, n_inputs)
        Independent inputs of mean 0 and variance 1.  int8, float32 and float64 are taken as they are.
    labels : array, shape (n_patterns,)
        +-1.
    teacher : array, shape (n_inputs,), optional
        Bonds of the teacher, to measure errors.
    start : array, shape (n_inputs,), optional
        Means to start from, sum a^2 < N; zeros without.
    damping : float in [0, 1)
        Share of the old in the new means and responses.
    atol : float > 0
        Converged when an iteration changes the means by less (root of the mean square).
    max_iter : int >= 1
        Limit of iterations.
    threads : int
        0 for the OpenMP default.  The result does not depend on it.

    Returns
    -------
    Dataset
        ``mean`` a and ``field`` B (input), ``response`` g (pattern), ``variance`` V, ``overlap`` mean(a^2);
        ``free_entropy`` of this data set per bond, in the Bethe approximation, normalised as that of `solve`;
        ``residual`` and ``overlap_history`` (iteration); ``converged``; ``load``.  With a teacher ``teacher_overlap``
        a.T/N, ``bayes_error`` arccos(a.T/|a||T|)/pi, that of the sign of x.a, on labels without noise.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Warns
    -----
    ConvergenceWarning
        If the means do not come to rest: take damping; beyond the capacity, and where replica symmetry is broken,
        nothing helps.

    Notes
    -----
    An iteration reads the inputs once, n_patterns n_inputs bytes for int8, which is the limit for large data.

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.Perceptron(load=2.0, bonds="binary", scenario="teacher")
    >>> data = dg.parisi.perceptron_data(model, 1000, seed=1)
    >>> found = dg.parisi.message_passing(model, data.inputs, data.labels, teacher=data.teacher)
    >>> bool(found.converged), round(float(found.teacher_overlap), 6)
    (True, 1.0)
    """
    import xarray as xr

    x = np.asarray(inputs)
    if x.dtype not in (np.int8, np.float32, np.float64):
        x = x.astype(np.float64)
    if x.ndim != 2 or x.size == 0 or x.shape[0] > _MOST or x.shape[1] > _MOST:
        raise ValueError(f"inputs must have shape (n_patterns, n_inputs), not empty, got {x.shape}")
    n_patterns, n_inputs = x.shape
    square = float(np.mean([np.mean(np.square(part, dtype=np.float64)) for part in np.array_split(x, _parts(x))]))
    if not 0.8 < square < 1.25:  # NaN too
        raise ValueError(f"inputs must have mean 0 and variance 1, got a mean square of {square:.6g}")
    y = np.asarray(labels, float)
    if y.shape != (n_patterns,) or not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError(f"labels must have shape ({n_patterns},) and be +1 or -1, got shape {y.shape}")
    mean = np.zeros(n_inputs) if start is None else np.asarray(start, float)
    if mean.shape != (n_inputs,) or not float(mean @ mean) < n_inputs:
        raise ValueError(f"start must have shape ({n_inputs},) and sum of squares < {n_inputs}, got {mean.shape}")
    numerical: dict[str, Any] = {
        "damping": number("damping", damping, "in [0, 1)", lambda d: 0.0 <= d < 1.0),
        "atol": number("atol", atol, "> 0", lambda a: a > 0.0),
        "max_iter": integer("max_iter", max_iter, 1, _MOST),
    }
    bonds, _, potential, beta, margin = model.kernel
    raw = _core.perceptron_messages(
        np.ascontiguousarray(x),
        y,
        mean,
        bonds,
        potential,
        beta,
        margin,
        **numerical,
        threads=integer("threads", threads, 0, 2**30),
    )
    if not raw["converged"]:
        warn(
            f"message_passing: residual {raw['residual'][-1]:.2g} after {len(raw['residual'])} iterations",
            ConvergenceWarning,
        )
    found = raw["mean"]
    numbers: dict[str, Any] = {
        "variance": raw["variance"],
        "free_entropy": raw["free_entropy"],
        "overlap": float(found @ found) / n_inputs,
        "load": n_patterns / n_inputs,
        "converged": raw["converged"],
    }
    if teacher is not None:
        bonds_of_teacher = np.asarray(teacher, float)
        if bonds_of_teacher.shape != (n_inputs,):
            raise ValueError(f"teacher must have shape ({n_inputs},), got {bonds_of_teacher.shape}")
        product = float(found @ bonds_of_teacher)
        norms = float(np.linalg.norm(found) * np.linalg.norm(bonds_of_teacher))
        numbers["teacher_overlap"] = product / n_inputs
        numbers["bayes_error"] = math.acos(min(product / norms, 1.0)) / math.pi if norms > 0.0 else 0.5
    return xr.Dataset(
        numbers
        | {
            "mean": ("input", found),
            "field": ("input", raw["field"]),
            "response": ("pattern", raw["response"]),
            "residual": ("iteration", raw["residual"]),
            "overlap_history": ("iteration", raw["overlap"]),
        },
        attrs=provenance("deepglass.parisi.message_passing", dataclasses.asdict(model) | numerical),
    )


def _parts(x: npt.NDArray[Any]) -> int:
    """Parts of equal length, of some MB as doubles."""
    most = max(1, x.size // 2**20)
    return next(n for n in range(most, 0, -1) if x.shape[0] % n == 0)


def state_evolution(
    model: Perceptron, *, start: float = 0.0, atol: float = 1e-14, max_iter: int = 100_000
) -> xr.Dataset:
    """Follow the overlap of `message_passing` for N -> infinity, iteration by iteration.

        e_t = load E f'^2 at q_t,    q_{t+1} = q(e_t),

    the replica-symmetric equations of `solve`, iterated: its fixed points are theirs.

    Parameters
    ----------
    model : Perceptron
        The perceptron and its load.
    start : float in [0, 1)
        Overlap to start from.  0 ends on the branch "uninformed" of `solve`, values near 1 on "informed".
    atol : float > 0
        Ends when an iteration changes the overlap (above 1/2 its complement) by no more.
    max_iter : int >= 1
        Limit of iterations.

    Returns
    -------
    Dataset
        ``overlap`` and ``deficit`` 1 - q (iteration), the start first; ``converged``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Warns
    -----
    ConvergenceWarning
        If the overlap does not come to rest (beyond the capacity it tends to 1).

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.Perceptron(load=1.0, bonds="binary", scenario="teacher")
    >>> dg.parisi.state_evolution(model).overlap.values[[1, 2, -1]].round(9).tolist()
    [0.414611335, 0.509946492, 0.560714737]
    """
    import xarray as xr

    start = number("start", start, "in [0, 1)", lambda q: 0.0 <= q < 1.0)
    atol = number("atol", atol, "> 0", lambda a: a > 0.0)
    max_iter = integer("max_iter", max_iter, 1, _MOST)
    overlap, deficit, converged = _core.perceptron_evolution(
        model.load, start, 1.0 - start, *model.kernel, atol=atol, max_iter=max_iter
    )
    if not converged:
        warn(f"state_evolution: overlap {overlap[-1]:.6g} after {max_iter} iterations", ConvergenceWarning)
    return xr.Dataset(
        {"overlap": ("iteration", overlap), "deficit": ("iteration", deficit), "converged": converged},
        attrs=provenance(
            "deepglass.parisi.state_evolution",
            dataclasses.asdict(model) | {"start": start, "atol": atol, "max_iter": max_iter},
        ),
    )
