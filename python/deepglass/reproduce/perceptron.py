"""One perceptron: Gardner volume, capacity, learning curves, and jamming at negative margins."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from .. import parisi
from .._core import NumericalError
from .._warnings import ConvergenceWarning, UnphysicalWarning
from ..io import provenance
from ..parisi.perceptron import Bonds, Potential
from ..plot import Figure, pyplot
from ._report import Row, write

__all__ = ["run"]

_BONDS: tuple[Bonds, ...] = ("spherical", "binary")
_MARGIN = -0.5  # of the pictures of jamming
_LARGEST_LOAD = 2.0  # of the learning curves
_COUNT_LOAD = 6.0  # of the energies of counted errors, margin 0


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # replica symmetry where it is unstable, marked in pictures
        warnings.simplefilter("ignore", UnphysicalWarning)  # negative entropies are the point
        data = {
            "volume": _volume(40 if quick else 200),
            "capacity": _capacities(20 if quick else 80),
            "learning": _learning(60 if quick else 300),
            "instances": _instances(*((6, 2000) if quick else (20, 10_000))),
            "negative_margin": _negative_margin(10 if quick else 30),
            "jamming": parisi.jamming_load(_MARGIN, steps=16 if quick else 32),
            "energy": _energies(6 if quick else 24),
        }
        rows = _table()
    figures: dict[str, Callable[[], Figure]] = {
        "gardner_volume": partial(_draw_volume, data["volume"]),
        "capacity": partial(_draw_capacity, data["capacity"]),
        "learning_curves": partial(_draw_learning, data["learning"], data["instances"]),
        "negative_margin": partial(_draw_negative_margin, data["negative_margin"]),
        "jamming": partial(_draw_jamming, data["jamming"]),
        "energy": partial(_draw_energy, data["energy"]),
    }
    return write(output, data, figures, rows)


# ---- what is computed ----


def _volume(points: int) -> xr.Dataset:
    """Entropy and replicon against load / capacity."""
    share = np.linspace(0.02, 0.98, points)
    cases = [(bonds, margin) for bonds in _BONDS for margin in (0.0, 0.5)]
    numbers = np.empty((len(cases), points, 3))
    for i, (bonds, margin) in enumerate(cases):
        capacity = parisi.capacity(margin, bonds).value
        for j, load in enumerate(share * capacity):
            solution = parisi.solve(parisi.Perceptron(load, margin, bonds))
            numbers[i, j] = load, float(solution.entropy), float(solution.overlap)
    return xr.Dataset(
        {name: (("case", "share"), numbers[..., i]) for i, name in enumerate(("load", "entropy", "overlap"))},
        coords={"share": share, "case": [f"{bonds}, margin {margin:g}" for bonds, margin in cases]},
        attrs=provenance("deepglass.reproduce.perceptron", {}),
    )


def _capacities(points: int) -> xr.Dataset:
    positive = np.linspace(0.0, 2.0, points)
    negative = np.linspace(-1.5, -0.05, points)
    return xr.Dataset(
        {
            "spherical": ("margin", [parisi.capacity(m).value for m in positive]),
            "binary": ("margin", [parisi.capacity(m, "binary").value for m in positive]),
            "replica_symmetric": ("negative", [parisi.capacity(m, rs=True).value for m in negative]),
            "jamming_load": ("negative", [float(parisi.jamming_load(m, rtol=1e-7).jamming_load) for m in negative]),
        },
        coords={"margin": positive, "negative": negative},
        attrs=provenance("deepglass.reproduce.perceptron", {}),
    )


def _learning(points: int) -> xr.Dataset:
    loads = np.linspace(0.02, _LARGEST_LOAD, points)
    curves = [parisi.learning_curve(loads, bonds) for bonds in ("spherical", "binary")]
    return xr.concat(curves, "bonds", data_vars="all", join="outer", combine_attrs="drop_conflicts").assign_coords(
        bonds=["spherical", "binary"]
    )


def _instances(repeats: int, n_inputs: int) -> xr.Dataset:
    """Bayes errors that message passing reaches on single data sets."""
    loads = np.array([0.3, 0.7, 1.1, 1.35, 1.6, 1.9])
    errors = np.empty((2, len(loads), repeats))
    for i, bonds in enumerate(_BONDS):
        for j, load in enumerate(loads):
            model = parisi.Perceptron(load, bonds=bonds, scenario="teacher")
            for seed in range(repeats):
                sample = parisi.perceptron_data(model, n_inputs, seed=seed)
                found = parisi.message_passing(model, sample.inputs, sample.labels, teacher=sample.teacher)
                errors[i, j, seed] = float(found.bayes_error)
    return xr.Dataset(
        {
            "bayes_error": (("bonds", "load"), errors.mean(-1)),
            "bayes_error_error": (("bonds", "load"), errors.std(-1, ddof=1) / np.sqrt(repeats)),
        },
        coords={"load": loads, "bonds": ["spherical", "binary"]},
        attrs=provenance("deepglass.reproduce.perceptron", {"n_inputs": n_inputs, "repeats": repeats}),
    )


def _negative_margin(points: int) -> xr.Dataset:
    """Loads at which replica symmetry breaks, and where the solutions vanish; q_EA on the way there."""
    margins = np.linspace(-1.5, -0.05, points)
    jamming = float(parisi.jamming_load(_MARGIN).jamming_load)
    distance = np.geomspace(3e-3, 0.14, points)
    deficit = np.full(points, np.nan)
    for i, one in enumerate(distance):
        try:
            deficit[i] = 1.0 - float(
                parisi.satisfiable_perceptron(jamming * (1.0 - one), _MARGIN, rtol=1e-7).overlap_ea
            )
        except NumericalError:  # too close
            continue
    return xr.Dataset(
        {
            "almeida_thouless_load": ("margin", [parisi.almeida_thouless_load(m) for m in margins]),
            "jamming_load": ("margin", [float(parisi.jamming_load(m, rtol=1e-7).jamming_load) for m in margins]),
            "deficit": ("distance", deficit),
        },
        coords={"margin": margins, "distance": distance},
        attrs=provenance("deepglass.reproduce.perceptron", {"margin": _MARGIN}),
    )


def _energies(points: int) -> xr.Dataset:
    """Energies above jamming, soft and cold; and of counted errors beyond the capacity, against the temperature."""
    jamming = float(parisi.jamming_load(_MARGIN).jamming_load)
    betas, loads = np.array([1e3, 1e4, 1e5]), np.linspace(jamming - 0.2, jamming + 0.5, points)
    cold = [
        [float(parisi.full_rsb(parisi.Perceptron(load, _MARGIN, potential="soft", beta=beta)).energy) for load in loads]
        for beta in betas
    ]
    temperatures = np.linspace(0.12, 0.6, points)
    models = [parisi.Perceptron(_COUNT_LOAD, potential="count", beta=1.0 / T) for T in temperatures]
    return xr.Dataset(
        {
            "cold": (("beta", "load"), cold),
            "full": ("temperature", [float(parisi.full_rsb(model, rtol=1e-7).energy) for model in models]),
            "symmetric": ("temperature", [float(parisi.solve(model).energy) for model in models]),
            "jamming_load": jamming,
        },
        coords={"beta": betas, "load": loads, "temperature": temperatures},
        attrs=provenance("deepglass.reproduce.perceptron", {"margin": _MARGIN, "count_load": _COUNT_LOAD}),
    )


def _table() -> list[Row]:
    exponents = parisi.jamming_exponents()
    curve = parisi.learning_curve([1.0], "binary")
    kappa = exponents["kappa"]
    known: list[tuple[str, float, Callable[[], float], str]] = [
        ("capacity, spherical", 2.0, lambda: parisi.capacity().value, "Gardner 1988, exact"),
        ("capacity, spherical, margin 1", 0.519572229605, lambda: parisi.capacity(1.0).value, "closed form"),
        (
            "capacity, binary",
            0.8330785997,
            lambda: parisi.capacity(bonds="binary").value,
            "Krauth and Mezard 1989: 0.833",
        ),
        (
            "binary teacher: first-order transition",
            1.244683989851,
            lambda: float(curve.transition),
            "Gyorgyi 1990: 1.245",
        ),
        ("binary teacher: spinodal", 1.492631818230, lambda: float(curve.spinodal), "independent solver"),
        ("margin -1/2: one step", 4.70013948772, partial(_jamming, 1), "independent solver"),
        ("margin -1/2: two steps", 4.697236443, partial(_jamming, 2), "independent solver"),
        ("margin -1/2: three steps", 4.696791, partial(_jamming, 3), "independent solver, 1e-6"),
        ("margin -1/2: full breaking", 4.6966, partial(_jamming, None), "independent solver, 1e-4"),
        ("exponent of the gaps", (2.0 - kappa) / kappa, lambda: exponents["gamma"], "(2 - kappa)/kappa, not used"),
        (
            "exponent of the forces",
            (3 * kappa - 4) / (2 - kappa),
            lambda: exponents["theta"],
            "(3 kappa - 4)/(2 - kappa)",
        ),
    ]
    cases: list[tuple[Potential, float, float, float]] = [("soft", 20.0, -1.0, 100.0), ("count", _COUNT_LOAD, 0.0, 5.0)]
    for potential, load, margin, beta in cases:
        broken = partial(_broken, potential, load, margin)
        slope = -_derivative(lambda beta, broken=broken: float(broken(beta).free_entropy), beta) / load  # type: ignore[misc]
        known.append(
            (
                f"{potential}, load {load:g}, margin {margin:g}, beta {beta:g}: energy, full breaking",
                slope,
                lambda broken=broken, beta=beta: float(broken(beta).energy),  # type: ignore[misc]
                "slope of the free entropy",
            )
        )
    rows = []
    for name, reference, compute, why in known:
        begin = time.perf_counter()
        value = compute()
        seconds = time.perf_counter() - begin
        rows.append(
            Row(
                name,
                f"{reference:.12g}",
                f"{value:.12g}",
                f"{value - reference:+.1e}",
                f"{why}; {1e3 * seconds:.1f} ms",
            )
        )
    return rows


def _broken(potential: Potential, load: float, margin: float, beta: float) -> xr.Dataset:
    return parisi.full_rsb(parisi.Perceptron(load, margin, potential=potential, beta=beta), rtol=1e-11)


def _derivative(function: Callable[[float], float], x: float, step: float = 5e-3) -> float:
    """Sixth order."""
    terms = ((1, 45.0), (2, -9.0), (3, 1.0))
    return sum(w * (function(x * (1 + n * step)) - function(x * (1 - n * step))) for n, w in terms) / (60 * step * x)


def _jamming(steps: int | None) -> float:
    return float(parisi.jamming_load(_MARGIN, steps).jamming_load)


# ---- what is drawn ----


def _draw_volume(data: xr.Dataset) -> Figure:
    figure, axes = pyplot.subplots(1, 2, figsize=(7.2, 3.1))
    for i, case in enumerate(data["case"].values):
        one = data.sel(case=case)
        ax = axes[0 if case.startswith("spherical") else 1]
        ax.plot(one["load"], one.entropy, color=f"C{i % 2}", label=case.split(", ")[1])
    for ax, title in zip(axes, ("spherical bonds: ln volume", "binary bonds: ln number"), strict=True):
        ax.axhline(0.0, color="0.7", lw=0.8)
        ax.set(xlabel="load", ylabel="entropy per bond", title=title)
        ax.legend(fontsize="small")
    axes[0].set_ylim(-4, 0.2)
    return figure


def _draw_capacity(data: xr.Dataset) -> Figure:
    figure, ax = pyplot.subplots(figsize=(4.6, 3.4))
    ax.semilogy(data.margin, data.spherical, color="C0", label="spherical")
    ax.semilogy(data.margin, data.binary, color="C1", label="binary")
    ax.semilogy(data.negative, data.jamming_load, color="C2", label="jamming, full breaking")
    ax.semilogy(data.negative, data.replica_symmetric, "--", color="C0", lw=1, label="replica symmetric bound")
    ax.axvline(0.0, color="0.8", lw=0.8)
    ax.set(xlabel="margin", ylabel="capacity")
    ax.legend(fontsize="small")
    return figure


def _draw_learning(curves: xr.Dataset, instances: xr.Dataset) -> Figure:
    figure, axes = pyplot.subplots(1, 2, figsize=(7.2, 3.1), sharey=True)
    for ax, bonds in zip(axes, curves["bonds"].values, strict=True):
        one = curves.sel(bonds=bonds)
        best = one.free_entropy.fillna(-np.inf).argmax("branch")
        ax.plot(one["load"], one.bayes_error.isel(branch=best), color="C0", label="equilibrium")
        if bonds == "binary":
            ax.plot(one["load"], one.bayes_error.sel(branch="uninformed"), "--", color="C1", label="without help")
            ax.plot(one["load"], one.bayes_error.sel(branch="unstable"), ":", color="0.5", label="unstable")
            for name, label in (("transition", "first order"), ("spinodal", "spinodal")):
                ax.axvline(float(one[name]), color="0.8", lw=0.8)
                ax.text(float(one[name]), 0.47, label, rotation=90, va="top", ha="right", fontsize="small")
        found = instances.sel(bonds=bonds)
        ax.errorbar(
            found["load"], found.bayes_error, found.bayes_error_error, fmt="o", ms=3.5, color="C2", label="messages"
        )
        ax.set(xlabel="load", title=f"{bonds} bonds", ylim=(-0.01, 0.5))
        ax.legend(fontsize="small", loc="lower left" if bonds == "spherical" else "center left")
    axes[0].set_ylabel("generalisation error (Bayes)")
    return figure


def _draw_negative_margin(data: xr.Dataset) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.2, 3.1))
    left.semilogy(data.margin, data.jamming_load, color="C0", label="jamming")
    left.semilogy(data.margin, data.almeida_thouless_load, color="C1", label="replica symmetry breaks")
    left.fill_between(data.margin, data.almeida_thouless_load, data.jamming_load, color="C1", alpha=0.15)
    left.set(xlabel="margin", ylabel="load", title="spherical perceptron")
    left.legend(fontsize="small")
    right.loglog(data.distance, data.deficit, "o", ms=3.5, color="C0")
    kappa = parisi.jamming_exponents()["kappa"]
    scale = float(data.deficit.dropna("distance")[0] / data.distance[data.deficit.notnull()][0] ** kappa)
    right.loglog(data.distance, scale * data.distance**kappa, color="0.5", lw=1, label=rf"$\kappa={kappa:.4f}$")
    right.set(xlabel="distance from jamming", ylabel=r"$1-q_\mathrm{EA}$", title=f"margin {_MARGIN:g}, full breaking")
    right.legend(fontsize="small")
    return figure


def _draw_energy(data: xr.Dataset) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.2, 3.1))
    for beta, colour in zip(data["beta"].values, ("C2", "C1", "C0"), strict=True):
        rest = data.cold.sel(beta=beta) - 1.0 / (2.0 * beta * data["load"])
        left.plot(data["load"], np.sqrt(rest.clip(min=0.0)), color=colour, label=rf"$T=10^{{{-np.log10(beta):.0f}}}$")
    left.axvline(float(data.jamming_load), color="0.7", lw=0.8)
    left.text(float(data.jamming_load) - 0.01, 0.002, "jamming", rotation=90, va="bottom", ha="right", fontsize="small")
    left.set(xlabel="load", ylabel=r"$\sqrt{e - T/2\alpha}$", title=f"soft, margin {_MARGIN:g}, full breaking")
    left.legend(fontsize="small", loc="upper left")
    right.plot(data.temperature, data.full, color="C0", label="full breaking")
    right.plot(data.temperature, data.symmetric, "--", color="C1", label="replica symmetric")
    right.set(xlabel="temperature", ylabel="errors per pattern", title=f"counted errors, load {_COUNT_LOAD:g}")
    right.legend(fontsize="small")
    return figure


def _draw_jamming(finest: xr.Dataset) -> Figure:
    exponents = parisi.jamming_exponents()
    figure, axes = pyplot.subplots(1, 2, figsize=(7.2, 3.1))
    most = finest.sizes["step"] - 1
    steps = [k for k in (2, 4, 8, 16) if k < most]
    solutions = [*(parisi.jamming_load(_MARGIN, steps=k) for k in steps), finest]
    colours = pyplot.get_cmap("viridis_r")(np.linspace(0.15, 1.0, len(solutions)))
    for ax, name, power, label, anchor in (
        (axes[0], "gap", -exponents["gamma"], r"$-\gamma$", 0.02),
        (axes[1], "force", exponents["theta"], r"$\theta$", 0.2),
    ):
        for k, colour, solution in zip([*steps, most], colours, solutions, strict=True):
            laws = parisi.jamming_distributions(solution)
            ax.loglog(laws[name], laws[f"{name}_density"], color=colour, label=f"$k={k}$")
        x = np.geomspace(1e-4, 0.6, 2)
        level = float(laws[f"{name}_density"].sel({name: anchor}, method="nearest"))
        ax.loglog(x, level * (x / anchor) ** power, "--", color="0.5", label=f"{label} $={power:.4f}$")
        ax.set(xlabel=name, ylabel="density", ylim=(level * 1e-2, level * 30))
        ax.legend(fontsize="small", ncols=2)
    figure.suptitle(f"At jamming, margin {_MARGIN:g}, $k$ steps", fontsize="medium")
    return figure
