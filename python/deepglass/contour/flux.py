"""Complex phi^4 at chemical potential in its flux representation: no sign problem, by a worm algorithm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._check import integer
from .._progress import Progress, reporting
from ..io import provenance
from ..random import SeedLike, child_seed, seed_entropy
from ..stats import Estimate, gamma_method
from .actions import ComplexPhi4, check_phi4

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["flux_simulation", "undeformed_average_phase"]

_MOST_WEIGHTS = 2**17  # of the table for a site
_MOST_DRAWS = 2**28  # of all chains together
_MOST_BYTES = 2**34  # of all chains together
_PARTS = 100  # of a run, between reports of progress


def flux_simulation(
    action: ComplexPhi4,
    *,
    quenched: bool = False,
    n_sweeps: int = 10_000,
    n_thermalise: int = 1_000,
    every: int = 1,
    n_chains: int = 4,
    seed: SeedLike = None,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Density and <phi^2> of complex phi^4 at chemical potential, from the flux representation.

    All weights are positive in (C. Gattringer, T. Kloiber, arXiv:1206.2954)

        Z = sum_{k, l} delta(div k = 0) prod_links h^{|k| + 2l} e^{-mu k_time} / (l! (|k| + l)!) prod_x W(n_x),

    with h = 1/2, n_x the sum of |k| + 2l over the links of x, and W(n) = 2 pi int dr r^{n+1} exp(-(4 + m^2) r^2/2 -
    lambda r^4/4).  Then n = -<sum k_time> / V and <phi^2> = <W(n_x + 2) / W(n_x)>.  The phase-quenched theory of the
    undeformed fields has h = cosh(mu)/2 on time links and no e^{-mu k}; n_pq = tanh(mu) <sum_time |k| + 2l> / V.

    Parameters
    ----------
    action : ComplexPhi4
        Lx x Lt sites; without coupling (the free field) cosh(mu) < 1 + m^2/2.
    quenched : bool
        Whether to leave out the phases.
    n_sweeps : int
        Measured sweeps of a chain.  A sweep is as many worms as take about one move for each link (their number is
        fixed by the sweeps before), and a change of each l.
    n_thermalise : int >= 1
        Sweeps before.
    every : int
        Sweeps that make one draw, which is their mean; a rest of n_sweeps is not done.
    n_chains : int
        Independent chains, all from the empty configuration.  Chain c depends on the seed and c only.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        See `deepglass.random.seed_entropy`.
    threads : int
        0: the OpenMP default.  The result does not depend on it.
    progress : bool or callable(done, total)
        In draws.

    Returns
    -------
    xarray.Dataset
        ``density`` and ``phi2``, each with ``_error`` and ``_tau`` (the integrated autocorrelation time in draws, 1/2
        for independent ones) from `deepglass.stats.gamma_method` and ``_converged``; their series, dims chain and
        draw, as ``density_series`` and ``phi2_series``.  ``seed`` is the one used.

    Raises
    ------
    NumericalError
        If the power of the field at a site grows beyond the table of weights.

    Notes
    -----
    Some 25 ns for a move or a change of l.

    Examples
    --------
    >>> run = flux_simulation(ComplexPhi4((4, 4), chemical_potential=1.0), n_sweeps=2000, seed=1)
    >>> abs(float(run["density"]) - 0.15317) < 4 * float(run["density_error"])
    True
    """
    import xarray as xr

    action = check_phi4(action)
    if not isinstance(quenched, (bool, np.bool_)):
        raise ValueError(f"quenched must be True or False, got {quenched!r}")
    n_chains = integer("n_chains", n_chains, 1, _MOST_BYTES // (20 * action.volume + 4096))
    every = integer("every", every, 1, 2**32)
    n_sweeps = integer("n_sweeps", n_sweeps, 4 * every, every * (_MOST_DRAWS // n_chains))
    n_thermalise = integer("n_thermalise", n_thermalise, 1, 2**40)
    threads = integer("threads", threads, 0, 2**31 - 1)
    entropy = seed_entropy(seed)
    chains = _core.FluxChains(
        *action.shape,
        action.mass,
        action.coupling,
        action.chemical_potential,
        quenched=bool(quenched),
        n_ratios=_n_weights(action),
        n_chains=n_chains,
        seed=entropy,
    )
    n_draws = n_sweeps // every
    part = n_draws if progress is False else max(1, n_draws // _PARTS)
    pieces = []
    with reporting(progress, "draws") as report:
        chains.thermalise(n_thermalise, threads)
        for start in range(0, n_draws, part):
            pieces.append(chains.run(min(part, n_draws - start), every, threads))
            report(min(start + part, n_draws), n_draws)
    parameters: dict[str, Any] = {
        "action": repr(action),
        "quenched": bool(quenched),
        "n_sweeps": n_sweeps,
        "n_thermalise": n_thermalise,
        "every": every,
        "n_chains": n_chains,
        "seed": entropy,
    }
    data: dict[str, Any] = {}
    names = {"density": "density n", "phi2": "<phi^2>"}
    for (name, text), columns in zip(names.items(), zip(*pieces, strict=True), strict=True):
        series = np.concatenate(columns, axis=1)
        estimate = gamma_method(series)
        data[name] = ((), estimate.value, {"long_name": text})
        data[f"{name}_error"] = ((), estimate.error, {"long_name": f"standard error of {text}"})
        data[f"{name}_tau"] = ((), estimate.tau_int, {"long_name": "integrated autocorrelation time in draws"})
        data[f"{name}_converged"] = ((), estimate.converged)
        data[f"{name}_series"] = (("chain", "draw"), series, {"long_name": f"{text} by draw"})
    coords = {"chain": np.arange(n_chains), "draw": np.arange(n_draws)}
    dataset = xr.Dataset(data, coords, attrs=provenance("deepglass.contour.flux_simulation", parameters))
    return dataset.assign(seed=np.uint64(entropy))


def undeformed_average_phase(
    action: ComplexPhi4,
    *,
    n_nodes: int = 12,
    n_sweeps: int = 10_000,
    n_thermalise: int = 1_000,
    every: int = 1,
    n_chains: int = 4,
    seed: SeedLike = None,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Average phase factor of complex phi^4 on the undeformed fields, Z / Z_pq, however small it is.

    ln (Z / Z_pq) = V int_0^mu (n - n_pq) dmu', since the two agree at mu = 0; by the Gauss-Legendre rule, from
    simulations of the full and of the phase-quenched theory at its nodes (`flux_simulation`).

    Parameters
    ----------
    action : ComplexPhi4
        As for `flux_simulation`.
    n_nodes : int
        Nodes of the rule.  The densities vary on the scale pi / Lt in mu'; from exact densities, the error of the
        logarithm is 9e-5, 2e-6, 2e-9 with 6, 8, 12 nodes on 2 x 8 at mu = 1.2 (mass and coupling 1).
    n_sweeps, n_thermalise, every, n_chains, seed, threads : int
        Of each simulation, as for `flux_simulation`.
    progress : bool or callable(done, total)
        In simulations.

    Returns
    -------
    xarray.Dataset
        ``average_phase`` and ``log_average_phase``, each with ``_error`` (statistical); ``density`` and
        ``quenched_density`` with ``_error`` by ``node``, whose coordinate is ``node_chemical_potential``.

    Examples
    --------
    >>> phase = undeformed_average_phase(ComplexPhi4(chemical_potential=0.4), n_nodes=4, n_sweeps=1000, seed=1)
    >>> abs(float(phase["average_phase"]) - 0.9077) < 4 * float(phase["average_phase_error"])
    True
    """
    import xarray as xr

    action = check_phi4(action)
    _n_weights(action)  # refuses before the long way to this chemical potential
    n_nodes = integer("n_nodes", n_nodes, 1, 1000)
    entropy = seed_entropy(seed)
    mu = action.chemical_potential
    half, weights = (np.asarray(rule) for rule in _core.gauss_legendre(n_nodes, 0.0, 1.0))
    nodes = mu * half
    columns: dict[str, list[Estimate]] = {"density": [], "quenched_density": []}
    with reporting(progress, "simulations") as report:
        for index in range(2 * n_nodes):
            quenched = index % 2 == 1
            run = flux_simulation(
                ComplexPhi4(action.shape, action.mass, action.coupling, float(nodes[index // 2])),
                quenched=quenched,
                n_sweeps=n_sweeps,
                n_thermalise=n_thermalise,
                every=every,
                n_chains=n_chains,
                seed=child_seed(entropy, index),
                threads=threads,
            )
            estimate = Estimate(float(run["density"]), float(run["density_error"]))
            columns["quenched_density" if quenched else "density"].append(estimate)
            report(index + 1, 2 * n_nodes)
    value = {name: np.array([estimate.value for estimate in column]) for name, column in columns.items()}
    error = {name: np.array([estimate.error for estimate in column]) for name, column in columns.items()}
    factor = action.volume * mu * weights
    log_phase = float(factor @ (value["density"] - value["quenched_density"]))
    log_error = math.sqrt(sum(float(np.sum((factor * column) ** 2)) for column in error.values()))
    parameters = {
        "action": repr(action),
        "n_nodes": n_nodes,
        "n_sweeps": n_sweeps,
        "n_thermalise": n_thermalise,
        "every": every,
        "n_chains": n_chains,
        "seed": entropy,
    }
    data: dict[str, Any] = {
        "average_phase": ((), math.exp(log_phase), {"long_name": "average phase factor Z / Z_pq"}),
        "average_phase_error": ((), math.exp(log_phase) * log_error, {"long_name": "its standard error"}),
        "log_average_phase": ((), log_phase, {"long_name": "ln (Z / Z_pq)"}),
        "log_average_phase_error": ((), log_error, {"long_name": "its standard error"}),
    }
    for name in columns:
        data[name] = ("node", value[name], {"long_name": name.replace("_", " ")})
        data[f"{name}_error"] = ("node", error[name], {"long_name": "its standard error"})
    dataset = xr.Dataset(
        data,
        {"node_chemical_potential": ("node", nodes, {"long_name": "mu'"})},
        attrs=provenance("deepglass.contour.undeformed_average_phase", parameters),
    )
    return dataset.assign(seed=np.uint64(entropy))


def _n_weights(action: ComplexPhi4) -> int:
    """Bound for half the power of the field at a site: links carry about r r', those in time cosh(mu) times that."""
    mean = action.largest_square(45.0) * (1 + math.cosh(action.chemical_potential))
    n = math.ceil(mean + 10 * math.sqrt(mean)) + 64
    if n > _MOST_WEIGHTS:
        raise ValueError(
            f"action must keep <phi^2> small enough for a table of {_MOST_WEIGHTS} site weights, got {action!r}"
        )
    return n
