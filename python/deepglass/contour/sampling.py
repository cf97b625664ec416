"""Averages with a complex weight: hybrid Monte Carlo of its modulus, reweighted by its phase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._check import integer, number
from .._warnings import ConvergenceWarning, warn
from ..random import SeedLike, child_seed, seed_entropy
from ..stats import Estimate, gamma_method, gamma_method_derived
from ._compiled import is_compiled, kernel_of
from ._trajectory import Chains, default_step
from .actions import Action, Airy, ComplexPhi4, check_phi4
from .contours import LinearContour, RealPlane, Shift
from .flow import HolomorphicFlow

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["hartree_contour", "measure"]

Array: TypeAlias = NDArray[np.float64]
Complex: TypeAlias = NDArray[np.complex128]


def measure(
    action: Action,
    contour: RealPlane | None = None,
    *,
    n_samples: int = 20000,
    seed: SeedLike = None,
    observables: Sequence[str] | None = None,
    n_chains: int = 64,
    n_thermal: int = 100,
    every: int = 1,
    n_steps: int | None = None,
    step: float | None = None,
    threads: int = 0,
) -> xr.Dataset:
    r"""Average observables with the weight exp(-S) on a contour.

    Configurations t are drawn with the phase-quenched weight e^{Re L}, L = ln J - S(z(t)), and

        <O> = <O(z(t)) e^{i theta}> / <e^{i theta}>,   theta = Im L.

    Parameters
    ----------
    action : Action
        What is sampled.
    contour : RealPlane, Shift, LinearContour, NetworkContour (of any kind) or HolomorphicFlow
        By default the real plane.
    n_samples : int
        Draws of all chains together, rounded up to a multiple of `n_chains`.
    seed : int, SeedSequence, Generator or None
        Chain c depends on the seed and on c only.
    observables : sequence of str
        Names among ``action.observables()``; all of them by default.
    n_chains : int
        Independent chains.
    n_thermal : int
        Trajectories before the first draw.
    every : int
        Trajectories from draw to draw.
    n_steps, step : int, float
        Leapfrog steps of a trajectory, and their length, to which each trajectory gives a factor between 0.8 and
        1.2.  By default step = 0.26 V^(-1/4) for ComplexPhi4 and 0.15 otherwise, and n_steps * step = 1.
    threads : int
        Most threads to use, 0 for the OpenMP default; of no effect on the result.

    Returns
    -------
    xarray.Dataset
        For each observable, ``<name>``, ``<name>_error`` and ``<name>_tau`` (integrated autocorrelation time in
        draws, 1/2 if independent), with errors from the linearised ratio.  Z of ComplexPhi4 is positive and only
        real parts are taken; of other actions ``<name>_imag``, ``<name>_imag_error``, ``average_phase_modulus`` and
        ``average_phase_modulus_error`` are given too.
        ``average_phase`` and ``average_phase_imag`` with errors (the latter vanishes for positive Z),
        ``n_eff`` (independent draws of the phase), ``acceptance``, and ``resolved``: where the average phase is
        less than 3 / sqrt(n_eff), ratios mean nothing; they are then NaN and a ConvergenceWarning is issued.
        On a HolomorphicFlow also ``n_dropped``: trajectories that ended on a dropped point, and were rejected.

    Notes
    -----
    ComplexPhi4 runs in compiled code, four chains at a time: O(V log V) a step on linear contours, and with H hidden
    units and n = min(H, 2V) O(n^3 + n^2 max(H, 2V)).  Other actions, and flows, run in NumPy on one thread.

    Examples
    --------
    >>> action = ComplexPhi4((4, 4), chemical_potential=1.0)
    >>> result = measure(action, LinearContour(action), n_samples=4000, seed=1)
    >>> bool(result.average_phase > 0.99), bool(abs(result.density - 0.1532) < 4 * result.density_error)
    (True, True)
    """
    import xarray as xr

    from ..io import provenance

    if not isinstance(action, Action):
        raise ValueError(f"action must be an Action, got {action!r}")
    contour = RealPlane() if contour is None else contour
    check_contour(action, contour)
    known = action.observables()
    names = tuple(known) if observables is None else tuple(observables)
    for name in names:
        if name not in known:
            raise ValueError(f"observables must be among {', '.join(map(repr, known))}, got {name!r}")
    n_chains = integer("n_chains", n_chains, 1, 2**20)
    n_draws = -(-integer("n_samples", n_samples, 1, 2**40) // n_chains)
    if n_draws < 4:
        raise ValueError(f"n_samples must be at least 4 n_chains = {4 * n_chains}, got {n_samples}")
    step = default_step(action) if step is None else step
    step = number("step", step, "> 0", lambda value: value > 0)
    n_steps = math.ceil(1 / step) if n_steps is None else n_steps
    plan = {
        "n_chains": n_chains,
        "n_draws": n_draws,
        "n_thermal": integer("n_thermal", n_thermal, 0, 2**40),
        "every": integer("every", every, 1, 2**40),
        "n_steps": integer("n_steps", n_steps, 1, 2**31),
        "step": step,
    }
    entropy = seed_entropy(seed)
    phase, series, acceptance, n_dropped = sample(action, contour, names, plan, entropy, threads)

    positive = isinstance(action, ComplexPhi4)
    cosine, sine = np.cos(phase), np.sin(phase)
    real, imag = gamma_method(cosine), gamma_method(sine)
    n_eff = min(real.n_effective, imag.n_effective)
    modulus = abs(real.value) if positive else math.hypot(real.value, imag.value)
    resolved = modulus >= 3 / math.sqrt(n_eff)
    if not resolved:
        warn(
            f"the average phase {modulus:.2g} is not resolved with {n_eff:.0f} independent draws:"
            " ratios are NaN, with resolved = False",
            ConvergenceWarning,
        )
    result: dict[str, Any] = {}

    def put(name: str, estimate: Estimate) -> None:
        result[name], result[f"{name}_error"] = estimate.value, estimate.error

    for name in names:
        weighted = series[name] * (cosine + 1j * sine)
        if not resolved:
            parts = [Estimate(math.nan, math.nan)] * 2
        elif positive:
            parts = [gamma_method_derived(lambda a, b: a / b, [weighted.real, cosine])]
        else:
            moments = [weighted.real, weighted.imag, cosine, sine]
            parts = [
                gamma_method_derived(lambda a, b, c, s: (a * c + b * s) / (c * c + s * s), moments),
                gamma_method_derived(lambda a, b, c, s: (b * c - a * s) / (c * c + s * s), moments),
            ]
        put(name, parts[0])
        result[f"{name}_tau"] = parts[0].tau_int
        if not positive:
            put(f"{name}_imag", parts[1])
    put("average_phase", real)
    result["average_phase_tau"] = real.tau_int
    put("average_phase_imag", imag)
    if not positive:
        put("average_phase_modulus", gamma_method_derived(lambda c, s: math.hypot(c, s), [cosine, sine]))
    result |= {"n_eff": n_eff, "acceptance": acceptance, "resolved": resolved}
    if isinstance(contour, HolomorphicFlow):
        result["n_dropped"] = n_dropped
    parameters = {
        "action": repr(action),
        "contour": repr(contour),
        "kappa": contour.kappa if isinstance(contour, LinearContour) else 0.0,
        "observables": list(names),
        **plan,
    }
    return xr.Dataset(result, attrs=provenance("deepglass.contour.measure", parameters, seed=entropy))


def hartree_contour(
    action: ComplexPhi4,
    *,
    n_samples: int = 6400,
    rtol: float = 0.01,
    max_iter: int = 5,
    seed: SeedLike = None,
    max_kappa: float | None = None,
    threads: int = 0,
) -> LinearContour:
    """Find the LinearContour with M^2 = m^2 + 2 lambda <phi^2>, <phi^2> measured on the contour itself.

    In the dense phase the Gaussian estimate, which LinearContour takes by default, is too small.

    Parameters
    ----------
    action : ComplexPhi4
        What the contour is for.
    n_samples : int
        Draws of each of the short runs.
    rtol : float > 0
        Largest relative change of M^2 in the last run.
    max_iter : int
        Most runs; if M^2 still changes in the last one, a ConvergenceWarning is issued.
    seed : int, SeedSequence, Generator or None
        Of the runs.
    max_kappa : float > 0, optional
        See `LinearContour`.
    threads : int
        Most threads to use, 0 for the OpenMP default; of no effect on the result.

    Returns
    -------
    LinearContour
        Its ``mass_squared`` is the one found.

    Examples
    --------
    >>> action = ComplexPhi4((4, 4), chemical_potential=1.4)
    >>> f"{LinearContour(action).mass_squared:.1f} {hartree_contour(action, seed=1).mass_squared:.1f}"
    '2.6 3.2'
    """
    if not isinstance(action, ComplexPhi4):
        raise ValueError(f"action must be a ComplexPhi4, got {action!r}")
    rtol = number("rtol", rtol, "> 0", lambda value: value > 0)
    entropy = seed_entropy(seed)
    contour = LinearContour(action, max_kappa=max_kappa)
    for k in range(integer("max_iter", max_iter, 1, 1000)):
        run = measure(
            action, contour, n_samples=n_samples, seed=child_seed(entropy, k), observables=("phi2",), threads=threads
        )
        if not run["resolved"]:
            return contour  # measure has warned
        before = contour.mass_squared
        contour = LinearContour(action, action.mass**2 + 2 * action.coupling * run["phi2"].item(), max_kappa)
        if abs(contour.mass_squared - before) <= rtol * contour.mass_squared:
            return contour
    warn(
        f"M^2 still changed from {before:.4g} to {contour.mass_squared:.4g} in the last of {max_iter} runs",
        ConvergenceWarning,
    )
    return contour


# theta and observables (n_chains, n_draws), acceptance, trajectories that ended on dropped points
_Series: TypeAlias = tuple[Array, dict[str, Complex], float, int]


def sample(
    action: Action, contour: RealPlane, names: Sequence[str], plan: dict[str, Any], seed: int, threads: int
) -> _Series:
    """Draw with the weight e^{Re L}, in compiled code where there is."""
    if isinstance(action, ComplexPhi4) and is_compiled(action, contour):
        return _compiled(action, contour, names, plan, seed, threads)
    return _vectorised(action, contour, names, plan, seed)


def check_contour(action: Action, contour: RealPlane) -> None:
    if not isinstance(contour, RealPlane):
        raise ValueError(f"contour must be a RealPlane or another contour of deepglass.contour, got {contour!r}")
    made_for = getattr(contour, "action", action)
    if repr(made_for) != repr(action):
        raise ValueError(f"contour must be made for {action!r}, got {contour!r}")
    upwards = (isinstance(contour, Shift) and contour.offset > 0) or (
        isinstance(contour, HolomorphicFlow) and contour.flow_time > 0  # dy/ds = t^2 + a on the real axis
    )
    if isinstance(action, Airy) and not upwards:
        raise ValueError(f"contour must be a Shift with y > 0 or a HolomorphicFlow for Airy, got {contour!r}")
    if isinstance(action, ComplexPhi4):
        check_phi4(action)
    if isinstance(contour, Shift) and isinstance(action, ComplexPhi4):
        raise ValueError(f"contour must not be a Shift for a ComplexPhi4, got {contour!r}")


def _compiled(
    action: ComplexPhi4, contour: RealPlane, names: Sequence[str], plan: dict[str, Any], seed: int, threads: int
) -> _Series:
    draws = kernel_of(action, contour).sample(seed=seed, threads=threads, **plan)
    acceptance = float(draws["accepted"].mean() / (plan["n_draws"] * plan["every"]))
    series = {name: draws[f"{name}_re"] + 1j * draws[f"{name}_im"] for name in names}
    return -draws["action_im"], series, acceptance, 0


def _vectorised(action: Action, contour: RealPlane, names: Sequence[str], plan: dict[str, Any], seed: int) -> _Series:
    """All chains at once; as in the compiled code, in a trajectory of its own each chain draws from its stream."""
    chains = Chains(action, contour, plan["n_chains"], seed, plan["step"], plan["n_steps"])
    functions = action.observables()
    phase = np.empty((plan["n_chains"], plan["n_draws"]))
    series = {name: np.empty(phase.shape, complex) for name in names}
    n_accepted = n_dropped = 0
    for _ in range(plan["n_thermal"]):
        chains.advance()
    for k in range(plan["n_draws"]):
        for _ in range(plan["every"]):
            accepted, dropped = chains.advance()
            n_accepted, n_dropped = n_accepted + int(accepted.sum()), n_dropped + int(dropped.sum())
        phase[:, k] = chains.weight.imag
        z = contour.map(chains.t)
        for name in names:
            series[name][:, k] = functions[name](z)
    return phase, series, n_accepted / (phase.size * plan["every"]), n_dropped
