"""What a classifier of temperatures can learn from configurations (K.-I. Aoki, T. Fujita, T. Kobayashi 2019).

For Gibbs ensembles exp(-beta_n E) / Z_n the optimal logits are -beta_n E - ln Z_n: a linear head on the energy has the
temperatures as weights and the free energy as biases.  The head is fitted to Monte Carlo configurations of Ising and
Potts models and to samples of the Gaussian chain, and compared with exact partition functions and Bayes errors.
Networks that see the configurations alone are asked what their units and their answers go by; see `_units`.
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .._warnings import ConvergenceWarning
from ..learning import GaussianChain, Ising, Potts, softmax_regression
from ..learning._torch import require
from ..plot import Figure, pyplot
from ..reference.lattice import ising_log_partition_function
from . import _units
from ._finite import Estimate, compare
from ._report import Row, write

__all__ = ["run"]

Array = npt.NDArray[np.float64]

_RING_BETAS = np.arange(1, 10) / 10.0
_TEMPERATURES = np.arange(15, 36, 2) / 10.0
_PLANE = 16  # extent of the lattice with a transition
_PLANE_TEMPERATURES = np.linspace(1.5, 3.5, 21)
_CHAIN = (100, (0.3, 0.2))
_QUICK = _units.Sizes((1000, 8000, 48_000), 192_000, 3)
_FULL = _units.Sizes((1000, 4000, 16_000, 64_000, 128_000), 1_500_000, 6)


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    require("torch")
    n_ring, n_square, n_plane, n_repeats = (8000, 4000, 500, 4) if quick else (40_000, 20_000, 2000, 8)
    data = {
        "ring": _ring(n_ring),
        "square": _square(n_square),
        "plane": _plane(n_plane, n_repeats),
        "chain": _chain(3 if quick else 10),
        "units": _units.probe(_QUICK if quick else _FULL),
    }
    figures = {"temperature": partial(_figure, data), "units": partial(_units.figure, data["units"])}
    return write(output, data, figures, [*_table(data), *_units.rows(data["units"])])


def _column(x: xr.DataArray) -> Array:
    return np.asarray(x.values, float)[:, np.newaxis]


# ---- Numbers


def _ring(n_samples: int) -> xr.Dataset:
    """Weights and biases of the head on the energy; Ising ring and Potts lattice of three states."""
    parts = []
    laws: dict[str, Any] = {
        "Ising ring, 16 spins": Ising(16, 1.0 / _RING_BETAS, n_chains=2000, n_thermalise=20, every=5),
        "Potts, 3 states, 5 x 5": Potts((5, 5), 3, 1.0 / _RING_BETAS, n_chains=500, n_thermalise=30, every=5),
    }
    for name, law in laws.items():
        data = law.draw(len(_RING_BETAS) * n_samples, seed=1)
        fit = softmax_regression(_column(data["energy"]), data["labels"])
        log_z = law.log_partition_function
        found = fit[["weights", "weights_error", "biases", "biases_error", "accuracy"]].isel(feature=0)
        found["exact_weights"] = "class", _RING_BETAS.mean() - _RING_BETAS
        found["exact_biases"] = "class", log_z.mean() - log_z
        found["bayes_accuracy"] = 1.0 - law.bayes_error
        parts.append(found.assign_coords(model=name))
    return xr.concat(parts, "model").assign_coords({"class": _RING_BETAS}).assign_attrs(n_samples=n_samples)


def _square(n_samples: int) -> xr.Dataset:
    """Accuracy of heads on the energy and on powers of the magnetisation of 4 x 4 spins, on fresh samples."""
    law = Ising((4, 4), _TEMPERATURES, n_chains=1000, n_thermalise=30, every=5)
    size = len(_TEMPERATURES) * n_samples
    training, test = law.draw(size, seed=2), law.draw(size, seed=3)

    def features(data: xr.Dataset) -> dict[str, Array]:
        m = np.abs(data["inputs"].values.mean(axis=1, dtype=float))
        return {"energy": _column(data["energy"]), "|m|": m[:, np.newaxis] ** np.arange(1, 5)}

    ours, theirs = features(training), features(test)
    accuracy = []
    for name in ours:
        fit = softmax_regression(ours[name], training["labels"])
        scores = theirs[name] @ fit["weights"].values.T + fit["biases"].values
        accuracy.append((scores.argmax(axis=1) == test["labels"].values).mean())
    values = np.array(accuracy)
    return xr.Dataset(
        {
            "accuracy": ("feature", values),
            "accuracy_error": ("feature", np.sqrt(values * (1.0 - values) / size)),
            "bayes_accuracy": ("feature", [1.0 - law.bayes_error, _magnetisation_accuracy()]),
        },
        {"feature": list(ours)},
    )


def _magnetisation_accuracy() -> float:
    """Best accuracy from |m| alone, over all 2^16 configurations."""
    spins = (np.arange(2**16)[:, np.newaxis] >> np.arange(16) & 1).reshape(-1, 4, 4) * 2.0 - 1.0
    energy = -sum((spins * np.roll(spins, 1, axis)).sum(axis=(1, 2)) for axis in (1, 2))
    m = np.abs(spins.sum(axis=(1, 2))).astype(int)
    weights = np.exp(-energy / _TEMPERATURES[:, np.newaxis])
    weights /= weights.sum(axis=1, keepdims=True)
    law = np.array([np.bincount(m, row) for row in weights])
    return float(law.max(axis=0).sum() / len(_TEMPERATURES))


def _plane(n_samples: int, n_repeats: int) -> xr.Dataset:
    """Free energy and heat capacity from the biases, with weights -beta, of a lattice with a transition."""
    betas = 1.0 / _PLANE_TEMPERATURES
    law = Ising((_PLANE, _PLANE), _PLANE_TEMPERATURES, n_chains=100, n_thermalise=60, every=10)
    biases = []
    for repeat in range(n_repeats):
        data = law.draw(len(betas) * n_samples, seed=100 + repeat)
        fit = softmax_regression(_column(data["energy"]), data["labels"], weights=-betas[:, np.newaxis])
        biases.append(fit["biases"].values)
    log_z = np.array([ising_log_partition_function((_PLANE, _PLANE), beta) for beta in betas])
    found = {name: Estimate.of(np.array([f(b) for b in biases])) for name, f in _FROM_BIASES.items()}
    dims = {"biases": "temperature", "heat_capacity": "middle"}
    variables: dict[str, Any] = {}
    for name, f in _FROM_BIASES.items():
        variables[name] = dims[name], found[name].mean
        variables[f"{name}_error"] = dims[name], found[name].error
        variables[f"exact_{name}"] = dims[name], f(log_z.mean() - log_z)
    fine = np.linspace(1.5, 3.5, 201)
    h = 1e-3
    at = [[ising_log_partition_function((_PLANE, _PLANE), 1.0 / t + step) for step in (-h, 0.0, h)] for t in fine]
    curve = np.array([low - 2.0 * middle + high for low, middle, high in at]) / (h * fine * _PLANE) ** 2
    variables |= {"fine_temperature": ("point", fine), "fine_heat_capacity": ("point", curve)}
    coordinates = {"temperature": _PLANE_TEMPERATURES, "middle": _PLANE_TEMPERATURES[1:-1]}
    return xr.Dataset(variables, coordinates, {"n_samples": n_samples, "n_repeats": n_repeats})


def _heat_capacity(biases: Array) -> Array:
    """Of a site: minus beta^2 d^2 b / d beta^2, by divided differences of neighbouring temperatures."""
    betas = 1.0 / _PLANE_TEMPERATURES
    slopes = np.diff(biases) / np.diff(betas)
    second = 2.0 * np.diff(slopes) / (betas[2:] - betas[:-2])
    return np.asarray(-second * betas[1:-1] ** 2 / _PLANE**2)


_FROM_BIASES = {"biases": lambda b: b, "heat_capacity": _heat_capacity}


def _chain(n_repeats: int) -> xr.Dataset:
    """Test error of heads on different features of the Gaussian chain, against the number of training samples."""
    law = GaussianChain(*_CHAIN)
    sizes = [250, 500, 1000, 2000, 4000, 8000]
    test = law.draw(20_000, seed=9)

    def features(data: xr.Dataset) -> dict[str, Array]:
        x = data["inputs"].values
        return {"energy": law.energy(x)[:, np.newaxis], "products": x * np.roll(x, -1, axis=1), "inputs": x}

    seen = features(test)
    errors = np.empty((len(seen), len(sizes), n_repeats))
    for repeat in range(n_repeats):
        for j, size in enumerate(sizes):
            training = law.draw(size, seed=1000 * repeat + j + 10)
            for i, (name, x) in enumerate(features(training).items()):
                with warnings.catch_warnings():
                    # Few samples of many features are separable: any head that separates them will do.
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    fit = softmax_regression(x, training["labels"])
                scores = seen[name] @ fit["weights"].values.T + fit["biases"].values
                errors[i, j, repeat] = (scores.argmax(axis=1) != test["labels"].values).mean()
    return xr.Dataset(
        {"error": (("feature", "n_samples", "repeat"), errors), "bayes_error": law.bayes_error},
        {"feature": list(seen), "n_samples": sizes},
    )


# ---- Picture


def _figure(data: dict[str, xr.Dataset]) -> Figure:
    figure, axes = pyplot.subplots(2, 2, figsize=(8.4, 6.4))
    ring, plane, chain = data["ring"], data["plane"], data["chain"]
    lines = (("weights", r"weight $w_n$", r"$-\beta_n$"), ("biases", r"bias $b_n$", r"$-\ln Z_n$"))
    for ax, (name, label, law) in zip(axes[0], lines, strict=True):
        for model, colour, marker in zip(ring["model"].values, ("C0", "C1"), ("o", "s"), strict=True):
            fit = ring.sel(model=model)
            ax.plot(fit["class"], fit[f"exact_{name}"], color=colour)
            ax.errorbar(
                fit["class"],
                fit[name],
                fit[f"{name}_error"],
                fmt=marker,
                ms=4,
                color=colour,
                mfc="none",
                label=str(model),
            )
        ax.set(xlabel=r"$\beta_n$", ylabel=label, title=f"head on the energy; lines: {law}")
        ax.legend()
    ax = axes[1, 0]
    ax.plot(plane["fine_temperature"], plane["fine_heat_capacity"], color="C7", label="exact (Kaufman)")
    ax.plot(plane["middle"], plane["exact_heat_capacity"], "x", color="C7", label="exact, same differences")
    ax.errorbar(
        plane["middle"], plane["heat_capacity"], plane["heat_capacity_error"], fmt="o", ms=4, color="C3", mfc="none",
        label="from the biases",
    )  # fmt: skip
    ax.set(xlabel="temperature", ylabel="heat capacity of a spin", title=f"Ising, {_PLANE} x {_PLANE}, weights given")
    ax.set_ylim(top=2.1)
    ax.legend(loc="upper right")
    ax = axes[1, 1]
    names = {"energy": "energy", "products": r"$x_i x_{i+1}$ ($D$ of them)", "inputs": r"$x_i$"}
    for name, label in names.items():
        at = chain["error"].sel(feature=name)
        ax.errorbar(at["n_samples"], at.mean("repeat"), at.std("repeat"), marker="o", ms=4, label=f"head on {label}")
    ax.axhline(float(chain["bayes_error"]), color="k", ls="--", label="Bayes error")
    sizes = chain["n_samples"].values
    ax.set(xscale="log", xlabel="training samples", ylabel="test error", ylim=(0.2, 0.56))
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    n, (high, low) = _CHAIN
    ax.set_title(rf"Gaussian chain, $D={n}$, $\beta={high}$ or ${low}$")
    ax.legend(loc="center right")
    return figure


# ---- Table


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    rows = []
    ring, square, plane, chain = (data[name] for name in ("ring", "square", "plane", "chain"))
    for model in ring["model"].values:
        at = ring.sel(model=model)
        for name, law in (("weights", "-beta_n"), ("biases", "-ln Z_n")):
            distance = abs(at[name] - at[f"exact_{name}"])
            pulls = distance / at[f"{name}_error"]
            rows.append(
                Row(
                    f"{model}: {name} of the head are {law}",
                    "yes (Aoki et al.)",
                    f"to {float(distance.max()):.4f}",
                    f"{float(pulls.max()):.1f} s.e. at most",
                    f"9 temperatures, {ring.attrs['n_samples']} samples each; exact counts",
                )
            )
        n_all = 9 * ring.attrs["n_samples"]
        accuracy, exact = float(at["accuracy"]), float(at["bayes_accuracy"])
        error = float(np.sqrt(exact * (1.0 - exact) / n_all))
        rows.append(compare(f"{model}: accuracy", exact, accuracy, error, "exact Bayes accuracy by counting"))
    for name in square["feature"].values:
        at = square.sel(feature=name)
        exact, found, error = (float(at[key]) for key in ("bayes_accuracy", "accuracy", "accuracy_error"))
        rows.append(
            compare(
                f"Ising 4 x 4, 11 temperatures: accuracy from {name}",
                exact,
                found,
                error,
                "Bayes, all 65536 configurations",
            )
        )
    pulls = abs(plane["heat_capacity"] - plane["exact_heat_capacity"]) / plane["heat_capacity_error"]
    top = int(np.argmax(plane["exact_heat_capacity"].values))
    exact, found, error = (
        float(plane[key][top]) for key in ("exact_heat_capacity", "heat_capacity", "heat_capacity_error")
    )
    median = float(np.median(pulls))
    why = f"weights -beta given, {plane.attrs['n_repeats']} runs; median of all temperatures {median:.1f} s.e."
    rows.append(
        compare(f"Ising {_PLANE} x {_PLANE}: largest heat capacity of a spin, from biases", exact, found, error, why)
    )
    bayes = float(chain["bayes_error"])
    for name in chain["feature"].values:
        values = chain["error"].sel(feature=name, n_samples=8000)
        sampling = float(np.sqrt(bayes * (1.0 - bayes) / 20_000))
        error = float(np.hypot(values.std("repeat") / np.sqrt(values.sizes["repeat"]), sampling))
        exact, why = {
            "energy": (bayes, "sufficient: the Bayes error"),
            "products": (bayes, "the Bayes error; D weights to learn"),
            "inputs": (0.5, "no function of degree one tells temperatures"),
        }[str(name)]
        rows.append(compare(f"Gaussian chain: error of a head on {name}", exact, float(values.mean()), error, why))
    return rows
