"""Conjugate kernel and neural tangent kernel of networks as wide as there are samples (Fan and Wang 2020).

Normalised tanh, inputs of unit norm that are nearly orthogonal, as in the review talk of R. Karakida.  Lines: theory
from the spectrum of the inputs.  Histograms: eigenvalues of simulated kernels.  Images are not nearly orthogonal:
whitening brings them closer, and the panels show where theory and simulation part.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .. import meanfield
from ..learning import read_images
from ..plot import Axes, Figure, pyplot
from ..spectra import FromEigenvalues, MarchenkoPastur, Measure, conjugate_kernel_spectrum, ntk_spectrum
from ._finite import Array, Estimate, Generator, compare, extrapolated, fine_curve
from ._report import Row, write

__all__ = ["run"]

_RATIOS = (0.6, 0.75)
_INPUT_RATIO = 0.5
_KERNELS = ("conjugate kernel", "tangent kernel")
_LAWS = {"conjugate kernel": conjugate_kernel_spectrum, "tangent kernel": ntk_spectrum}
_VARIANCE_KEPT = 0.95  # of the images, by the components that whitening leaves
_TALK = {
    "conjugate kernel": (3 + 0.3j, -0.350473443671735 + 0.212323342469846j),
    "tangent kernel": (3 + 0.3j, -0.197535101093723 + 0.467395462549792j),
}


def run(output: Path, *, quick: bool, images: Path | None = None) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    n, draws = (300, (24, 12)) if quick else (1200, (24, 12))
    return _reproduce(output, n, draws, images)


def _reproduce(output: Path, n: int, draws: tuple[int, int], images: Path | None) -> list[Path]:
    data = {"gaussian": _gaussian(n, draws), "images": _images(images, n, draws[1])}
    figures = {"kernel_spectra": partial(_figure, data)}
    return write(output, data, figures, _table(data))


# ---- Simulated kernels


def _kernels(inputs: Array, rng: Generator) -> dict[str, Array]:
    """Eigenvalues of both kernels of one random network with two hidden layers; inputs (dimension, n)."""
    phi = meanfield.activation("tanh").normalised()
    n = inputs.shape[1]
    layers, weights, slopes = [inputs], [], []
    for ratio in _RATIOS:
        width = round(n / ratio)
        weights.append(rng.normal(size=(width, len(layers[-1]))))
        u = weights[-1] @ layers[-1]
        layers.append(np.asarray(phi(u)) / np.sqrt(width))
        slopes.append(np.asarray(phi.derivative(u)) / np.sqrt(width))
    conjugate = layers[-1].T @ layers[-1]
    tangent = conjugate.copy()
    readout = rng.choice([-1.0, 1.0], size=(len(layers[-1]), 1))  # of square d_L exactly
    back = slopes[-1] * readout
    for layer in reversed(range(len(_RATIOS))):
        tangent += (back.T @ back) * (layers[layer].T @ layers[layer])
        if layer:
            back = slopes[layer - 1] * (weights[layer].T @ back)
    return {
        name: np.asarray(np.linalg.eigvalsh(k), float) for name, k in zip(_KERNELS, (conjugate, tangent), strict=True)
    }


def _unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=0))


def _gaussian_inputs(n: int, rng: Generator) -> Array:
    return _unit(rng.normal(size=(round(n / _INPUT_RATIO), n)))


# ---- Numbers


def _law(kernel: str, inputs: Measure) -> Measure:
    phi = meanfield.activation("tanh").normalised()
    return _LAWS[kernel](phi, list(_RATIOS), inputs)


def _log_histogram(samples: Array, bins: Array) -> Array:
    """Density of ln of the samples."""
    return np.asarray(np.histogram(samples, bins)[0] / (np.diff(np.log(bins)) * samples.size))


def _gaussian(n: int, draws: tuple[int, int]) -> xr.Dataset:
    """Both kernels of Gaussian inputs, at n/2 and n samples."""
    parts = []
    samples = []
    for size, count in zip((n // 2, n), draws, strict=True):
        rng = np.random.default_rng([3, size])
        runs = [_kernels(_gaussian_inputs(size, rng), rng) for _ in range(count)]
        samples.append({name: np.array([one[name] for one in runs]) for name in _KERNELS})
    for name in _KERNELS:
        law = _law(name, MarchenkoPastur(_INPUT_RATIO))
        edges = law.support()[[0, -1], [0, 1]]
        z = _TALK[name][0]
        x, density = fine_curve(law, 500)
        bins = np.geomspace(0.7 * edges[0], 1.1 * edges[1], 51)
        found: dict[str, Any] = {
            "eigenvalue": ("point", x),
            "density": ("point", density * x),
            "bins": ("border", bins),
        }
        found["histogram"] = ("bin", _log_histogram(samples[-1][name], bins))
        theory = law.stieltjes(z)
        transforms = [np.mean(1.0 / (one[name] - z), axis=1) for one in samples]
        quantities: dict[str, tuple[float, list[Estimate], float]] = {
            "stieltjes_real": (theory.real, [Estimate.of(one.real) for one in transforms], 1.0),
            "stieltjes_imag": (theory.imag, [Estimate.of(one.imag) for one in transforms], 1.0),
            "lower_edge": (edges[0], [Estimate.of(one[name][:, 0]) for one in samples], 2 / 3),
            "upper_edge": (edges[1], [Estimate.of(one[name][:, -1]) for one in samples], 2 / 3),
        }
        for key, (value, estimates, power) in quantities.items():
            limit = extrapolated(estimates, power)
            found |= {key: value, f"simulated_{key}": limit.mean, f"simulated_{key}_error": limit.error}
        parts.append(xr.Dataset(found))
    both = xr.concat(parts, "kernel").assign_coords(kernel=list(_KERNELS))
    both.attrs = {"n_samples": n, "draws": draws[1], "ratios": list(_RATIOS), "input_ratio": _INPUT_RATIO}
    return both


# ---- Images


def named_images(path: Path | None) -> tuple[str, Array]:
    """Images (n, pixels) and where they are from."""
    if path is not None:
        return Path(path).stem, read_images(path)[0]
    try:
        load_digits = importlib.import_module("sklearn.datasets").load_digits
    except ModuleNotFoundError:
        rng = np.random.default_rng(17)
        pixels = 256
        return "no images given: Gaussian data, variances 1/k", rng.normal(size=(4000, pixels)) / np.sqrt(
            1.0 + np.arange(pixels)
        )
    return "digits of scikit-learn, 8 x 8", np.asarray(load_digits().data, float)


def _prepared(pictures: Array, whiten: bool) -> Array:
    """Inputs (dimension, n) of unit norm: centred; whitened by the components that hold most of the variance."""
    x = pictures - pictures.mean(axis=0)
    if whiten:
        left, singular, _ = np.linalg.svd(x, full_matrices=False)
        share = np.cumsum(singular**2) / np.sum(singular**2)
        x = left[:, : int(np.searchsorted(share, _VARIANCE_KEPT)) + 1]
    return _unit(x.T)


def _images(path: Path | None, n: int, draws: int) -> xr.Dataset:
    """Both kernels of images, centred and whitened."""
    source, pictures = named_images(path)
    rng = np.random.default_rng([5, n])
    n = min(n, 600, len(pictures) // 2)
    chosen = rng.choice(len(pictures), n, replace=False)
    parts = []
    for whiten in (False, True):
        inputs = _prepared(pictures, whiten)
        inputs = inputs[:, chosen]
        gram = inputs.T @ inputs
        cosines = np.abs(gram[np.triu_indices(len(gram), 1)])
        spectrum = np.linalg.eigvalsh(gram)
        measure = FromEigenvalues(np.where(spectrum < 1e-10, 0.0, spectrum))
        runs = [_kernels(inputs, rng) for _ in range(draws)]
        for name in _KERNELS:
            law = _law(name, measure)
            samples = np.array([one[name] for one in runs])
            ends = (min(law.support()[0, 0], samples.min()), max(law.support()[-1, 1], samples.max()))
            bins = np.geomspace(0.9 * ends[0], 1.1 * ends[1], 46)
            x = np.geomspace(bins[0], bins[-1], 1500)
            # The theory in the same bins: the trapezoidal rule in ln x
            density = law.pdf(x) * x
            mass = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(np.log(x))))
            values = np.sort(samples.ravel())
            mass /= mass[-1]
            distance = np.abs(np.interp(values, x, mass) - (np.arange(values.size) + 0.5) / values.size).max()
            parts.append(
                xr.Dataset(
                    {
                        "eigenvalue": ("point", x),
                        "density": ("point", density),
                        "bins": ("border", bins),
                        "histogram": ("bin", _log_histogram(samples, bins)),
                        "distance": distance,
                        "dimension": len(inputs),
                        "typical_cosine": np.sqrt(np.mean(cosines**2)),
                        "largest_cosine": cosines.max(),
                        "lowest": Estimate.of(samples[:, 0]).mean,
                        "lowest_error": Estimate.of(samples[:, 0]).error,
                        "lowest_theory": np.interp(0.5 / n, mass, x),
                        "highest": Estimate.of(samples[:, -1]).mean,
                        "highest_error": Estimate.of(samples[:, -1]).error,
                        "highest_theory": np.interp(1.0 - 0.5 / n, mass, x),
                    },
                    {"kernel": name, "preparation": "whitened" if whiten else "centred"},
                )
            )
    return xr.concat(parts, "panel").assign_attrs(source=source, n_samples=n, draws=draws)


# ---- Pictures


def _draw(ax: Axes, at: xr.Dataset, colour: str) -> None:
    ax.stairs(at.histogram.values, at.bins.values, color=colour, alpha=0.3, fill=True, lw=0, label="simulated")
    ax.plot(at.eigenvalue, at.density, color=colour, label="theory")
    ax.set(xscale="log", xlabel=r"eigenvalue $\lambda$", ylabel=r"density of $\ln\lambda$: $\lambda\,\rho(\lambda)$")
    ax.set_ylim(0, 1.45 * float(at.histogram.max()))


def _figure(data: dict[str, xr.Dataset]) -> Figure:
    figure, axes = pyplot.subplots(2, 3, figsize=(9.4, 5.2))
    gaussian, images = data["gaussian"], data["images"]
    for row, name, colour in zip(axes, _KERNELS, ("C0", "C1"), strict=True):
        at = gaussian.sel(kernel=name)
        _draw(row[0], at, colour)
        row[0].set_title(f"{name}: Gaussian inputs, n = {gaussian.attrs['n_samples']}", fontsize=9)
        row[0].legend(loc="upper left")
        for ax, preparation in zip(row[1:], ("whitened", "centred"), strict=True):
            one = images.isel(panel=((images.kernel == name) & (images.preparation == preparation)).values).isel(
                panel=0
            )
            _draw(ax, one, colour)
            ax.set_title(f"{name}: {preparation}", fontsize=9)
            ax.text(
                0.97,
                0.95,
                f"{int(one.dimension)} dimensions\ncosines {float(one.typical_cosine):.2f} rms,\n"
                f"{float(one.largest_cosine):.2f} at most",
                transform=ax.transAxes,
                ha="right",
                va="top",
                fontsize=8,
            )
    figure.suptitle(
        f"Left: Gaussian inputs. Middle, right: {images.attrs['source']}; n = {images.attrs['n_samples']}", fontsize=10
    )
    return figure


# ---- Table


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    gaussian, images = data["gaussian"], data["images"]
    n = gaussian.attrs["n_samples"]
    rows = []
    for name in _KERNELS:
        at = gaussian.sel(kernel=name)
        z, talk = _TALK[name]
        ours = complex(float(at.stieltjes_real), float(at.stieltjes_imag))
        rows.append(
            Row(
                f"{name}: m(z) at z = {z}",
                f"{talk:.12f}",
                f"{ours:.12f}",
                f"{abs(ours - talk):.1e}",
                "specification, independent programs",
            )
        )
        for key, label, power in (
            ("stieltjes_real", f"Re m(z) at z = {z}", "1/n"),
            ("stieltjes_imag", f"Im m(z) at z = {z}", "1/n"),
            ("lower_edge", "smallest eigenvalue", "n^(-2/3)"),
            ("upper_edge", "largest eigenvalue", "n^(-2/3)"),
        ):
            numbers = (float(at[key]), float(at[f"simulated_{key}"]), float(at[f"simulated_{key}_error"]))
            rows.append(compare(f"{name}: {label}", *numbers, f"n = {n // 2} and {n} extrapolated in {power}"))
    for i in range(images.sizes["panel"]):
        one = images.isel(panel=i)
        label = f"images, {one.preparation.item()}, {one.kernel.item()}"
        cosine = float(one.typical_cosine)
        rows.append(
            Row(
                f"{label}: distance of the distribution functions",
                "0",
                f"{float(one.distance):.4f}",
                "-",
                f"cosines between inputs {cosine:.3f} rms; theory needs them small",
            )
        )
        for end in ("lowest", "highest"):
            numbers = (float(one[f"{end}_theory"]), float(one[end]), float(one[f"{end}_error"]))
            rows.append(
                compare(f"{label}: {end} eigenvalue", *numbers, "one set of images; the quantile of half an eigenvalue")
            )
    return rows
