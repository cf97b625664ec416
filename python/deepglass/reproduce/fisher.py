"""Fisher information of random networks: largest eigenvalues, normalisation, and the learning rates they allow.

Karakida, Akaho and Amari (2019, two papers); Hayase and Karakida (2021), as in the review talk of R. Karakida.  Lines:
theory of infinite width.  Points with error bars: random networks; maps: networks trained on images.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from .. import fisher, meanfield
from ..plot import Axes, Figure, pyplot
from ..spectra import conditional_fisher_spectrum
from ._experiment import run_all
from ._finite import Array, Estimate, compare
from ._fisher_runs import (
    BATCH,
    HARD_TANH_BIAS,
    NETWORKS,
    RELU,
    Epoch,
    Growth,
    Online,
    critical_hard_tanh,
    epoch_data,
    estimated_hours,
)
from ._images import load_pictures
from ._report import Row, write

__all__ = ["run"]

_KINDS = ("none", "layer", "batch", "mean_subtraction")
_TITLES = {
    "none": "no normalisation",
    "layer": "layer normalisation",
    "batch": "batch norm, hidden layers",
    "mean_subtraction": "mean subtraction, last layer",
}
_COLOURS = dict(zip(_KINDS, ("C0", "C2", "C1", "0.35"), strict=True))
_MARKS = dict(zip(_KINDS, "os^D", strict=True))
_LAW: dict[str, Any] = {"weight_variance": 2.0, "bias_variance": 0.1, "depth": 3}
_OUTPUTS, _SAMPLES = 4, 60  # of the spectra with and without cross entropy
_RISE = 1.2  # times the loss before training


class Sizes(NamedTuple):
    """Of the three parts; learning rates of the epochs are per tenfold, the others a factor."""

    widths: tuple[int, ...]
    ratio: int
    draws: int
    spectrum_width: int
    epoch_widths: tuple[int, ...]
    epoch_rates: tuple[float, ...]
    n_images: int
    depths: tuple[int, ...]
    online_width: int
    online_rates: tuple[float, ...]
    steps: int
    instances: int


def _geometric(first: float, last: float, n: int) -> tuple[float, ...]:
    return tuple(float(x) for x in np.geomspace(first, last, n).round(6))


_QUICK = Sizes(
    (50, 100, 200, 400), 5, 8, 400,
    (32, 64, 128, 256), _geometric(10**-2.5, 10**0.5, 19), 1000,
    (2, 4, 8, 16), 64, _geometric(0.5, 5.0, 12), 500, 2,
)  # fmt: skip
_FULL = Sizes(
    (100, 200, 500, 1000, 2000), 10, 10, 2000,
    (32, 64, 128, 256, 512, 1024), _geometric(1e-3, 10**0.5, 36), 10000,
    (2, 4, 8, 16, 32, 64), 256, _geometric(0.25, 8.0, 31), 500, 3,
)  # fmt: skip


def run(output: Path, *, quick: bool, images: Path | None = None) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL, images)


def _reproduce(output: Path, sizes: Sizes, images: Path | None, workers: int = 0) -> list[Path]:
    path = str(images) if images else ""
    growths = [Growth(kind, sizes.widths, sizes.ratio, sizes.draws) for kind in _KINDS]
    epochs = [
        Epoch(width, sizes.epoch_rates, sizes.n_images, centred, path, sizes.instances)
        for centred in (False, True)
        for width in sizes.epoch_widths
    ]
    online = [
        Online(depth, sizes.online_width, sizes.online_rates, sizes.steps, path, sizes.instances)
        for depth in sizes.depths
    ]
    runs: list[Growth | Epoch | Online] = [*growths, *epochs, *online]
    found = run_all(runs, output / "instances", estimated_hours, workers=workers)
    n = len(growths), len(growths) + len(epochs)
    data = {
        "growth": _growth(found[: n[0]], sizes),
        "spectrum": _spectrum(sizes.spectrum_width, sizes.draws),
        "epoch": _epoch(found[n[0] : n[1]], sizes, path),
        "online": _online(found[n[1] :], sizes),
    }
    source = load_pictures(images).source
    for name in ("epoch", "online"):
        data[name].attrs["source"] = source
    figures = {
        "largest_eigenvalue": partial(_figure_growth, data),
        "learning_rate": partial(_figure_epoch, data["epoch"]),
        "online": partial(_figure_online, data["online"]),
    }
    return write(output, data, figures, _table(data))


# ---- Numbers: random networks


def _slope(x: Array, y: Array) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _growth(found: list[xr.Dataset], sizes: Sizes) -> xr.Dataset:
    """Largest eigenvalue by normalisation and width."""
    both = xr.concat([one.isel(instance=0, drop=True) for one in found], "normalisation", combine_attrs="drop")
    values = both.largest_eigenvalue
    widths = np.array(sizes.widths)
    theory = [fisher.statistics("relu", width=w, n_samples=w // sizes.ratio, **_LAW) for w in sizes.widths]
    largest = np.array([float(one.largest_eigenvalue) for one in theory])
    result = xr.Dataset(
        {
            "mean": values.mean("draw"),
            "error": values.std("draw", ddof=1) / np.sqrt(values.sizes["draw"]),
            "exponent": both.exponent,
            "exponent_error": both.exponent_error,
            "theory": ("width", largest),
            "centred_lower": ("width", [float(one.centred_lower) for one in theory]),
            "centred_upper": ("width", [float(one.centred_upper) for one in theory]),
            "theory_exponent": _slope(widths, largest),
        },
        {"width": widths, "normalisation": list(_KINDS)},
        {"draws": sizes.draws, "ratio": sizes.ratio},
    )
    # Of the two largest widths
    pair = result.isel(width=[-2, -1])
    step = float(np.log(widths[-1] / widths[-2]))
    result["last_exponent"] = np.log(result["mean"].isel(width=-1) / result["mean"].isel(width=-2)) / step
    result["last_exponent_error"] = np.sqrt(((pair.error / pair["mean"]) ** 2).sum("width")) / step
    return result


def _spectrum(width: int, draws: int) -> xr.Dataset:
    """The eigenvalues of networks of several outputs, one by one, for squares and for cross entropy."""
    ranks = _OUTPUTS + 2
    gaussian, categorical, predicted, traces, shares = [], [], [], [], []
    law = _LAW | {"width": width, "n_outputs": _OUTPUTS}
    for draw in range(draws):
        rng = np.random.default_rng([41, draw])
        network = fisher.Network(
            n_inputs=width, activation="relu", parametrisation="standard", train_biases=False, seed=rng, **law
        )
        x = rng.normal(size=(_SAMPLES, width))
        dual = network.fisher(x)
        values, vectors = np.linalg.eigh(dual)
        gaussian.append(values[::-1][:ranks] / width)
        traces.append(np.trace(dual) / width)
        # J^T v of the C first ones, and E grad f_k = J^T e_k: how much of the second lies in the first
        mean = np.kron(np.ones((_SAMPLES, 1)), np.eye(_OUTPUTS))
        top = vectors[:, -_OUTPUTS:]
        inside = (top.T @ mean) ** 2 * values[-_OUTPUTS:, np.newaxis]
        shares.append((inside.sum(axis=0) / np.einsum("ik,ij,jk->k", mean, dual, mean)).mean())
        categorical.append(np.linalg.eigvalsh(network.fisher(x, likelihood="categorical"))[::-1][:ranks] / width)
        f = network(x)
        g = np.exp(f - f.max(axis=1, keepdims=True))
        g /= g.sum(axis=1, keepdims=True)
        theory = fisher.statistics("relu", n_samples=_SAMPLES, probabilities=g, **law)
        predicted.append(theory.cross_entropy_eigenvalue.values / width)
    found = {
        "gaussian": Estimate.of(np.array(gaussian)),
        "categorical": Estimate.of(np.array(categorical)),
        "trace": Estimate.of(np.array(traces)),
        "mean_gradient_share": Estimate.of(np.array(shares)),
        "excess": Estimate.of(np.array(categorical)[:, : _OUTPUTS - 1] - np.array(predicted)),
    }
    dims = {"gaussian": "rank", "categorical": "rank", "excess": "outlier"}
    result = xr.Dataset(
        {name: (dims.get(name, ()), one.mean) for name, one in found.items()}
        | {f"{name}_error": (dims.get(name, ()), one.error) for name, one in found.items()},
        {"rank": np.arange(1, ranks + 1), "outlier": np.arange(1, _OUTPUTS)},
        {"width": width, "draws": draws, "n_outputs": _OUTPUTS, "n_samples": _SAMPLES},
    )
    result["categorical_theory"] = "outlier", np.mean(predicted, axis=0)
    result["theory"] = float(theory.largest_eigenvalue) / width
    result["trace_theory"] = float(theory.trace) / width
    return result


# ---- Numbers: trained networks


def _boundaries(run: xr.Dataset) -> xr.Dataset:
    """Largest rates (ln) with which the loss does not diverge, and with which it never rises: mean over instances."""
    rates = np.log(run.rate.values)
    step = float(rates[1] - rates[0])
    reached = {
        "diverges": np.isfinite(run.peak.values),
        "rises": run.peak.values < _RISE * run.first_loss.values[:, np.newaxis],
    }
    found: dict[str, float] = {}
    for name, good in reached.items():
        last = np.logical_and.accumulate(good, axis=1).sum(axis=1)  # number of rates below the first bad one
        inside = (last > 0) & (last < rates.size)
        at = np.where(inside, rates[0] + (last - 0.5) * step, np.nan)
        # What the grid leaves open, and the spread
        spread = at.var(ddof=1) / at.size if at.size > 1 else 0.0
        found |= {name: at.mean(), f"{name}_error": np.sqrt(step**2 / 12.0 + spread)}
    return xr.Dataset(found)


def _epoch(found: list[xr.Dataset], sizes: Sizes, path: str) -> xr.Dataset:
    """Loss after an epoch, and where it diverges; dims centred, width, rate."""
    parts = []
    for one, (centred, width) in zip(found, [(c, w) for c in (False, True) for w in sizes.epoch_widths], strict=True):
        batches = [epoch_data(path, sizes.n_images, i, centred)[0][:BATCH] for i in range(sizes.instances)]
        images = Estimate.of(np.array([_image_eigenvalue(x, width, centred) for x in batches]))
        measured = Estimate.of(one.largest_eigenvalue.values.reshape(-1))
        part = _boundaries(one)
        relative = one.loss / one.first_loss
        part["loss"] = "rate", relative.where(np.isfinite(relative)).mean("instance", skipna=False).values
        part["largest_eigenvalue"], part["largest_eigenvalue_error"] = measured
        part["image_theory"] = images.mean
        part["gaussian_theory"] = np.nan if centred else _gaussian_eigenvalue(batches[0].shape[1], width)
        parts.append(part)
    flat = xr.concat(parts, "run")
    shape = (2, len(sizes.epoch_widths))
    result = xr.Dataset(
        {name: (("centred", "width", *v.dims[1:]), v.values.reshape(*shape, *v.shape[1:])) for name, v in flat.items()},
        {"centred": [0, 1], "width": list(sizes.epoch_widths), "rate": list(sizes.epoch_rates)},
        {
            "n_images": sizes.n_images,
            "instances": sizes.instances,
            "networks": NETWORKS * sizes.instances,
            "batch": BATCH,
        },
    )
    return result


_ANGLES = np.linspace(0.0, np.pi, 65)  # all is smooth in the angle between two inputs


@cache
def _layers() -> Array:
    """qtilde^l qhat^{l-1} of two inputs at these angles, relu, depth 4: (angle, layer)."""
    law = (RELU["weight_variance"], RELU["bias_variance"])
    pairs = [meanfield.gradient_norms("relu", *law, 4, 1.0, float(np.cos(angle))) for angle in _ANGLES]
    return np.array([one.weight_gradient_overlap.values for one in pairs])


def _fan_in(n_inputs: int, width: int) -> Array:
    return np.array([n_inputs, width, width, width], float)


def _gaussian_eigenvalue(n_inputs: int, width: int) -> float:
    """Theory of the talk, for a batch of Gaussian inputs; the first layer has another fan-in."""
    norm, overlap = _layers()[[0, _ANGLES.size // 2]]
    return float(_fan_in(n_inputs, width) @ ((BATCH - 1) / BATCH * overlap + norm / BATCH))


def _image_eigenvalue(x: Array, width: int, centred: bool) -> float:
    """The same for these inputs: the largest eigenvalue of the dual matrix, from the cosines of all pairs."""
    kernel = _layers() @ _fan_in(x.shape[1], width)
    cosine = np.clip(x @ x.T / x.shape[1], -1.0, 1.0)
    dual = np.interp(np.arccos(cosine), _ANGLES, kernel) / len(x)
    dual[np.diag_indices(len(x))] = kernel[0] / len(x)
    if centred:
        dual = dual - dual.mean(axis=0)
        dual -= dual.mean(axis=1, keepdims=True)
    return float(np.linalg.eigvalsh(dual)[-1])


def _online(found: list[xr.Dataset], sizes: Sizes) -> xr.Dataset:
    """Loss after some steps of one image each; dims depth, rate (in units of 2 / (depth qhat))."""
    sw2, qhat = critical_hard_tanh()
    parts = []
    for one, depth in zip(found, sizes.depths, strict=True):
        law = conditional_fisher_spectrum("hard_tanh", sw2, HARD_TANH_BIAS, depth)
        part = _boundaries(one)
        relative = one.loss / one.first_loss
        part["loss"] = "rate", relative.where(np.isfinite(relative)).mean("instance", skipna=False).values
        part["largest_eigenvalue"] = one.largest_eigenvalue.mean() / (depth * qhat)
        top = max([*law.support()[:, 1], *(a.position for a in law.atoms)])
        part["theory"] = float(top) / (depth * qhat)
        parts.append(part)
    return (
        xr.concat(parts, "depth")
        .assign_coords(depth=list(sizes.depths), rate=list(sizes.online_rates))
        .assign_attrs(width=sizes.online_width, steps=sizes.steps, instances=sizes.instances, qhat=qhat)
    )


# ---- Pictures


def _figure_growth(data: dict[str, xr.Dataset]) -> Figure:
    growth, spectrum = data["growth"], data["spectrum"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.6, 3.7), width_ratios=(1.35, 1.0))
    for kind in _KINDS:
        at = growth.sel(normalisation=kind)
        label = f"{_TITLES[kind]}: $M^{{{float(at.exponent):.2f}}}$"
        left.errorbar(
            growth.width, at["mean"], at.error, fmt=_MARKS[kind], color=_COLOURS[kind], mfc="w", ms=5, label=label
        )
    left.plot(growth.width, growth.theory, color=_COLOURS["none"], label="theory, no normalisation")
    colour = _COLOURS["mean_subtraction"]
    left.plot(growth.width, growth.centred_lower, color=colour, ls=":", label="bounds, mean subtraction")
    left.plot(growth.width, growth.centred_upper, color=colour, ls=":")
    left.set(xscale="log", yscale="log", xlabel="width M", ylabel=r"largest eigenvalue $\lambda_{\max}$")
    left.set_ylim(top=12.0 * float(growth["mean"].max()))
    left.set_xticks(growth.width.values, [str(w) for w in growth.width.values])
    left.minorticks_off()
    left.legend(loc="upper left", fontsize=7.5, ncols=2, columnspacing=1.0)
    left.set_title(f"relu, depth 3, T = M/{growth.attrs['ratio']}", fontsize=9)
    for name, colour, mark, label in (
        ("gaussian", "C0", "o", r"$|y-f|^2$"),
        ("categorical", "C1", "s", "cross entropy"),
    ):
        right.errorbar(
            spectrum["rank"],
            spectrum[name],
            spectrum[f"{name}_error"],
            fmt=mark,
            color=colour,
            mfc="w",
            ms=5,
            label=label,
        )
    outputs = spectrum.attrs["n_outputs"]
    right.hlines(float(spectrum.theory), 0.7, outputs + 0.3, color="C0", lw=1.0)
    for rank, value in zip(spectrum.outlier.values, spectrum.categorical_theory.values, strict=True):
        right.hlines(value, rank - 0.3, rank + 0.3, color="C1", lw=1.0)
    right.set(xlabel="rank of the eigenvalue", ylabel=r"eigenvalue / $M$", ylim=(0, None))
    right.legend(title="lines: theory", title_fontsize=8)
    right.set_title(
        f"C = {outputs} outputs, M = {spectrum.attrs['width']}, T = {spectrum.attrs['n_samples']}", fontsize=9
    )
    return figure


def _map(ax: Axes, x: Array, rates: Array, loss: Array, limits: tuple[float, float]) -> Any:
    """Loss over (x, rate), both on logarithmic axes; grey where it diverged."""

    def borders(at: Array) -> Array:
        logs = np.log(at)
        middle = 0.5 * (logs[1:] + logs[:-1])
        ends = [2 * logs[0] - middle[0]], [2 * logs[-1] - middle[-1]]
        return np.asarray(np.exp(np.concatenate([ends[0], middle, ends[1]])))

    ax.set_facecolor("0.8")
    drawn = ax.pcolormesh(
        borders(x), borders(rates), np.log10(loss.T), cmap="inferno", vmin=limits[0], vmax=limits[1], rasterized=True
    )
    ax.set(xscale="log", yscale="log", ylim=borders(rates)[[0, -1]])
    ax.set_xticks(x, [str(int(one)) for one in x])
    ax.minorticks_off()
    return drawn


_LINE = {"color": "w", "lw": 2.0}


def _points(ax: Axes, x: Array, at: xr.Dataset, scale: Array | float = 1.0) -> None:
    for name, colour, label in (("diverges", "C0", "diverges above"), ("rises", "C2", "rises above")):
        middle = scale * np.exp(at[name].values)
        error = middle * at[f"{name}_error"].values
        ax.errorbar(x, middle, error, fmt="o", color=colour, mec="w", ms=5, label=label)


def _figure_epoch(data: xr.Dataset) -> Figure:
    figure, axes = pyplot.subplots(1, 2, figsize=(8.6, 3.9), sharey=True)
    lowest = float(np.log10(data.loss.min()))
    for ax, at, title in zip(
        axes, (data.isel(centred=0), data.isel(centred=1)), ("plain", "mean subtraction in the last layer"), strict=True
    ):
        drawn = _map(ax, data.width.values, data.rate.values, at.loss.values, (lowest, 0.0))
        ax.plot(data.width, 2.0 / at.image_theory, **_LINE, label=r"$2/\lambda_{\max}$, theory for these images")
        if np.isfinite(at.gaussian_theory).all():
            ax.plot(
                data.width, 2.0 / at.gaussian_theory, **_LINE, ls="--", label=r"$2/\lambda_{\max}$, Gaussian inputs"
            )
        _points(ax, data.width.values, at)
        ax.set(xlabel="width M")
        ax.set_title(title, fontsize=9)
    axes[0].set(ylabel=r"learning rate $\eta$", ylim=(None, 4.0 * float(np.exp(data.diverges.max()))))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.colorbar(drawn, ax=axes, label=r"$\log_{10}$ training loss / initial")
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, facecolor="0.6", frameon=True)
    figure.suptitle(
        f"One epoch, relu, depth 4, batches of {data.attrs['batch']}; {data.attrs['source']}; grey: diverged",
        fontsize=10,
    )
    return figure


def _figure_online(data: xr.Dataset) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.6, 3.7))
    depth = data.depth.values.astype(float)
    unit = 2.0 / (depth * data.attrs["qhat"])
    # The map in absolute rates: each depth has its own column of them
    grid = np.exp(np.linspace(np.log(unit.min() * data.rate.values[0]), np.log(unit.max() * data.rate.values[-1]), 60))
    loss = np.full((depth.size, grid.size), np.nan)
    for i in range(depth.size):
        logs = np.log10(data.loss.values[i])
        good = np.isfinite(logs)
        loss[i] = 10 ** np.interp(
            np.log(grid), np.log(data.rate.values[good] * unit[i]), logs[good], left=logs[good][0], right=np.nan
        )
    logs = np.log10(loss[np.isfinite(loss)])
    drawn = _map(left, depth, grid, loss, (float(logs.min()), float(logs.max())))
    left.plot(depth, unit / data.theory.values, **_LINE, label=r"$2/\lambda_{\max}$ of theory")
    _points(left, depth, data, unit)
    left.set(xlabel="depth L", ylabel=r"learning rate $\eta$")
    left.legend(fontsize=8, facecolor="0.6", frameon=True, loc="lower left")
    figure.colorbar(drawn, ax=left, label=r"$\log_{10}$ loss / initial")
    right.plot(depth, data.theory, color="0.3", label="theory")
    right.plot(depth, data.largest_eigenvalue, "o", color="0.3", mfc="w", label=f"networks, M = {data.attrs['width']}")
    right.set(xscale="log", xlabel="depth L", ylabel=r"$\lambda_{\max} / (L\,\hat q)$")
    right.set_xticks(depth, [str(int(one)) for one in depth])
    right.minorticks_off()
    right.legend(title="conditional Fisher information", title_fontsize=8)
    figure.suptitle(
        f"One image a step, {data.attrs['steps']} steps, hard tanh, orthogonal weights; {data.attrs['source']}",
        fontsize=10,
    )
    return figure


# ---- Table


def _number(value: float, error: float) -> str:
    if not error > 0:
        return "outside the rates tried"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    return [*_rows_growth(data["growth"]), *_rows_spectrum(data["spectrum"]), *_rows_trained(data)]


def _rows_growth(growth: xr.Dataset) -> list[Row]:
    rows = []
    at = growth.sel(normalisation="none")
    for width in growth.width.values[-2:]:
        one = at.sel(width=width)
        rows.append(
            compare(
                f"no normalisation: lambda_max at M = {width}",
                float(one.theory),
                float(one["mean"]),
                float(one.error),
                f"{growth.attrs['draws']} networks; 1/M corrections of simulated ones",
            )
        )
    claims = {
        "none": "1 (asymptotic)",
        "layer": "1 (order only)",
        "batch": "1 (order only)",
        "mean_subtraction": "0; at most 1/2",
    }
    theory = float(growth.theory_exponent)
    for kind in _KINDS:
        at = growth.sel(normalisation=kind)
        expected = 0.0 if kind == "mean_subtraction" else 1.0
        last, error = float(at.last_exponent), float(at.last_exponent_error)
        why = f"the two largest widths; all: {_number(float(at.exponent), float(at.exponent_error))}"
        if kind == "none":
            why += f", theory at these widths {theory:.3f}"
        rows.append(
            Row(
                f"{_TITLES[kind]}: exponent of M",
                claims[kind],
                _number(last, error),
                f"{last - expected:+.3f}",
                why,
            )
        )
    at = growth.sel(normalisation="mean_subtraction").isel(width=-1)
    inside = float(at.centred_lower) <= float(at["mean"]) <= float(at.centred_upper)
    rows.append(
        Row(
            f"mean subtraction: lambda_max at M = {int(at.width)} between the bounds",
            f"{float(at.centred_lower):.1f} .. {float(at.centred_upper):.1f}",
            _number(float(at["mean"]), float(at.error)),
            "inside" if inside else "outside",
            "bounds up to constants c_1, c_2 >= 0",
        )
    )
    return rows


def _outliers(values: Array, n_outputs: int) -> int:
    """How many eigenvalues, decreasing, stand out of the bulk, to which the one after n_outputs belongs."""
    return int((values > 1.5 * values[n_outputs]).sum())


def _rows_spectrum(spectrum: xr.Dataset) -> list[Row]:
    c, m = spectrum.attrs["n_outputs"], spectrum.attrs["width"]
    why = f"M = {m}, T = {spectrum.attrs['n_samples']}, {spectrum.attrs['draws']} networks"
    values, errors = spectrum.gaussian.values, spectrum.gaussian_error.values
    rows = [
        compare("trace / M", float(spectrum.trace_theory), float(spectrum.trace), float(spectrum.trace_error), why),
        compare(
            f"mean of the {c} largest eigenvalues / M",
            float(spectrum.theory),
            float(values[:c].mean()),
            float(np.sqrt((errors[:c] ** 2).mean())),
            why,
        ),
        Row(
            f"number of eigenvalues of order M, C = {c}",
            str(c),
            str(_outliers(values, c)),
            f"eigenvalues {c}, {c + 1}: {values[c - 1]:.3f}, {values[c]:.3f} M",
            "those 1.5 times as large as the next one after C",
        ),
        Row(
            "E grad f_k: share in the span of the C leading eigenvectors",
            "1 (asymptotic)",
            _number(float(spectrum.mean_gradient_share), float(spectrum.mean_gradient_share_error)),
            f"{float(spectrum.mean_gradient_share) - 1:+.1e}",
            why,
        ),
    ]
    values = spectrum.categorical.values
    rows.append(
        Row(
            f"cross entropy: number of eigenvalues of order M, C = {c}",
            str(c),
            str(_outliers(values, c)),
            f"eigenvalues {c - 1}, {c}: {values[c - 2]:.3f}, {values[c - 1]:.3f} M",
            "Q annihilates (1, .., 1): C - 1, not C",
        )
    )
    for rank in spectrum.outlier.values:
        one = spectrum.sel(outlier=rank)
        theory, excess = float(one.categorical_theory), float(one.excess)
        rows.append(
            compare(
                f"cross entropy: eigenvalue {rank} / M",
                theory,
                theory + excess,
                float(one.excess_error),
                "theory with the probabilities of each network",
            )
        )
    return rows


def _rows_trained(data: dict[str, xr.Dataset]) -> list[Row]:
    rows = []
    epoch, online = data["epoch"], data["online"]
    for centred, name in enumerate(("plain", "mean subtraction")):
        at = epoch.isel(centred=centred)
        width = int(epoch.width[-1])
        last = at.sel(width=width)
        label = f"one epoch, {name}"
        if not centred:
            rows.append(
                compare(
                    f"{label}: lambda_max at M = {width}, Gaussian inputs",
                    float(last.gaussian_theory),
                    float(last.largest_eigenvalue),
                    float(last.largest_eigenvalue_error),
                    "images are not Gaussian: next row",
                )
            )
        rows.append(
            compare(
                f"{label}: lambda_max at M = {width}, these images",
                float(last.image_theory),
                float(last.largest_eigenvalue),
                float(last.largest_eigenvalue_error),
                f"cosines of all pairs; C largest of {epoch.attrs['networks']} networks: corrections of order M^-1/2",
            )
        )
        ends = at.isel(width=[0, -1])
        span = float(np.log(epoch.width[-1] / epoch.width[0]))
        line = -float(np.log(ends.image_theory).diff("width").item()) / span
        for key, what in (("rises", "does not rise"), ("diverges", "does not diverge")):
            factor = float(np.exp(last[key]) * last.image_theory / 2.0)
            error = factor * float(last[f"{key}_error"])
            reason = (
                f"loss never above {_RISE:g} times the first"
                if key == "rises"
                else "above 2/lambda_max wide relu networks still find flatter places, up to 6 (catapult)"
            )
            rows.append(
                Row(
                    f"{label}: largest rate at M = {width} where it {what}, in 2/lambda_max",
                    "1",
                    _number(factor, error),
                    f"{factor - 1:+.2f}",
                    reason,
                )
            )
            slope = float(ends[key].diff("width").item()) / span
            error = float(np.sqrt((ends[f"{key}_error"] ** 2).sum())) / span
            rows.append(
                compare(
                    f"{label}: exponent in M of the largest rate where it {what}",
                    line,
                    slope,
                    error,
                    f"that of 2/lambda_max, M = {int(epoch.width[0])} .. {width}; narrow networks flatten at once",
                )
            )
    depth = online.depth.values
    for key, what in (("rises", "does not rise"), ("diverges", "does not diverge")):
        for at in (depth[0], depth[-1]):
            one = online.sel(depth=at)
            factor = float(np.exp(one[key]))
            rows.append(
                Row(
                    f"one image a step, depth {at}: largest rate where it {what}, in 2/(L qhat)",
                    f"{1 / float(one.theory):.3f}",
                    _number(factor, factor * float(one[f"{key}_error"])),
                    f"{factor - 1 / float(one.theory):+.2f}",
                    "2/lambda_max of one image; another one comes next",
                )
            )
        slope, errors = np.polyfit(
            np.log(depth), online[key].values, 1, w=1 / online[f"{key}_error"].values, cov="unscaled"
        )
        rows.append(
            compare(
                f"one image a step: exponent in L of the largest rate where it {what}",
                -1.0,
                float(slope[0]) - 1.0,
                float(np.sqrt(errors[0, 0])),
                f"width {online.attrs['width']}, depth {depth[0]} .. {depth[-1]}",
            )
        )
    return rows
