"""Effective dimension of data from the distances between nearest neighbours, delta_min(n) ~ n^(-1/d).

The talk of T. Mori quotes d about 15 for MNIST and 35 for CIFAR-10 (S. Spigler, M. Geiger, M. Wyart, arXiv:1905.10843).
Three estimators, on manifolds of known dimension and on images.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from ..learning import HiddenManifold, intrinsic_dimension, nearest_distances
from ..plot import Figure, pyplot
from ._images import load_pictures
from ._report import Row, write

__all__ = ["run"]

_METHODS = {"two_nn": "TwoNN", "mle": "MLE, k = 20", "nearest_neighbour": r"slope of $\delta_{\min}$"}
_DIMENSIONS = (1, 2, 3, 5, 7, 10, 14, 20)
_TALK = 15.0  # of MNIST


def run(output: Path, *, quick: bool, images: Path | None = None) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    n_points = 1600 if quick else 6400
    data = {"manifolds": _manifolds(n_points), "images": _images(images, n_points)}
    return write(output, data, {"dimension": partial(_figure, data)}, _table(data))


def _estimates(points: np.ndarray) -> xr.Dataset:
    found = [intrinsic_dimension(points, method=method) for method in _METHODS]
    sizes = 100 * 2 ** np.arange(int(np.log2(len(points) / 100)) + 1)
    nearest = [nearest_distances(points[:size], 1).mean() for size in sizes]
    return xr.Dataset(
        {
            "dimension": ("estimator", [one.value for one in found]),
            "dimension_error": ("estimator", [one.error for one in found]),
            "nearest": ("n_points", nearest),
        },
        {"estimator": list(_METHODS), "n_points": sizes},
    )


def _manifolds(n_points: int) -> xr.Dataset:
    parts = []
    for d in _DIMENSIONS:
        law = HiddenManifold(20 * d, d, fold="tanh", seed=d)
        parts.append(_estimates(law.draw(n_points, seed=1)["inputs"].values))
    return xr.concat(parts, "true_dimension").assign_coords(true_dimension=list(_DIMENSIONS)).assign_attrs(n=n_points)


def _images(path: Path | None, most: int) -> xr.Dataset:
    source, pixels, _ = load_pictures(path)
    points = np.unique(pixels, axis=0)
    chosen = np.random.default_rng(1).permutation(len(points))[:most]
    found = _estimates(points[chosen])
    return found.assign_attrs(source=source, n=len(chosen), n_pixels=points.shape[1])


def _figure(data: dict[str, xr.Dataset]) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.6))
    manifolds, images = data["manifolds"], data["images"]
    for d, style in zip((2, 5, 10, 20), ("o-", "s-", "^-", "v:"), strict=True):
        at = manifolds.sel(true_dimension=d)
        left.loglog(at["n_points"], at["nearest"] / at["nearest"][0], style, ms=4, label=f"manifold, $d={d}$")
    left.loglog(images["n_points"], images["nearest"] / images["nearest"][0], "ks--", ms=3, label="images")
    left.set(xlabel="points $n$", ylabel=r"$\delta_{\min}(n)/\delta_{\min}(100)$", title="mean nearest distance")
    left.legend()
    for method, label in _METHODS.items():
        at = manifolds.sel(estimator=method)
        line = right.errorbar(
            at["true_dimension"], at["dimension"], at["dimension_error"], marker="o", ms=3, label=label
        )
        right.axhline(float(images["dimension"].sel(estimator=method)), color=line[0].get_color(), ls=":", lw=1)
    right.plot([0, 20], [0, 20], color="k", lw=0.8)
    right.set(xlabel="dimension $d$ of the hidden manifold", ylabel="estimate", title="dotted: the images")
    right.legend(loc="upper left")
    figure.suptitle(
        f"images: {images.attrs['source']}, {images.attrs['n']} images of {images.attrs['n_pixels']} pixels each"
    )
    return figure


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    manifolds, images = data["manifolds"], data["images"]
    rows = []
    mnist = images.attrs["n_pixels"] == 784
    for method in _METHODS:
        at = images.sel(estimator=method)
        value, error = float(at["dimension"]), float(at["dimension_error"])
        rows.append(
            Row(
                f"{images.attrs['source']}: {method}",
                f"about {_TALK:.0f} (MNIST)",
                f"{value:.2f} +- {error:.2f}",
                f"{value - _TALK:+.1f}" if mnist else "-",
                f"{images.attrs['n']} images" if mnist else "other images",
            )
        )
        known = manifolds["dimension"].sel(estimator=method).values
        corrected = float(np.interp(value, known, _DIMENSIONS))  # estimates grow with the dimension
        rows.append(
            Row(
                f"manifold with this {method}",
                f"about {_TALK:.0f} (MNIST)",
                f"{corrected:.2f} +- {error * corrected / value:.2f}",
                f"{corrected - _TALK:+.1f}" if mnist else "-",
                "as many points on a hidden manifold of that dimension give the same estimate",
            )
        )
    rows.append(Row("CIFAR-10", "about 35", "-", "-", "no data here; give them with --images"))
    for d in (2, 5, 10, 20):
        for method in _METHODS:
            at = manifolds.sel(true_dimension=d, estimator=method)
            value, error = float(at["dimension"]), float(at["dimension_error"])
            why = f"hidden manifold, tanh, {manifolds.attrs['n']} points; too sparse from 10 on"
            rows.append(Row(f"d = {d}: {method}", str(d), f"{value:.2f} +- {error:.2f}", f"{value - d:+.2f}", why))
    return rows
