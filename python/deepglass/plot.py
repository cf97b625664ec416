"""Matplotlib views of the results; needs the extra ``plot``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

try:
    import matplotlib as mpl
    import matplotlib.ticker
    from cycler import cycler
    from matplotlib import pyplot as pyplot
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
except ModuleNotFoundError as error:
    message = "deepglass.plot needs the extra 'plot': pip install 'deepglass[plot]'"
    raise ModuleNotFoundError(message, name=error.name) from error

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["edwards_anderson", "franz_parisi", "style"]

# Colours for a growing parameter, and for two or three things to tell apart (safe for colour-blind readers).
_SEQUENTIAL = "viridis_r"
_CATEGORIES = ("#0072B2", "#D55E00", "#009E73")


def style() -> AbstractContextManager[None]:
    """Settings of the figures of `deepglass.reproduce`, for a ``with`` statement.

    Returns
    -------
    context manager

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.DeepPerceptron(depth=20, load=250.0, scenario="teacher")
    >>> with dg.plot.style():
    ...     ax = dg.plot.edwards_anderson(dg.parisi.solve(model))
    """
    return mpl.rc_context(
        {
            "axes.prop_cycle": cycler(color=_CATEGORIES),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 10.0,
            "figure.constrained_layout.use": True,
            "font.size": 9.0,
            "legend.frameon": False,
            "lines.linewidth": 1.3,
            "lines.markersize": 3.5,
            "savefig.dpi": 200.0,
        }
    )


def edwards_anderson(
    solution: xr.Dataset | Sequence[xr.Dataset],
    kind: Literal["neuron", "bond"] = "neuron",
    *,
    ax: Axes | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Edwards-Anderson order parameter against the layer: the overlap at x = 1, one line for each load.

    Parameters
    ----------
    solution : Dataset or sequence of them
        From `deepglass.parisi.solve` or `deepglass.parisi.scan`.
    kind : "neuron" or "bond"
        q_EA(l) on layers 0..depth, or Q_EA(l) on bond layers 1..depth.
    ax : Axes, optional
        Where to draw; by default a new figure.
    legend : bool
        List the loads.
    **kwargs : Any
        For ``Axes.plot``.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If kind is unknown.

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.DeepPerceptron(depth=20, scenario="teacher")
    >>> ax = dg.plot.edwards_anderson(dg.parisi.scan(model, [25.0, 250.0, 714.0]))
    >>> len(ax.lines)
    3
    """
    dims = {"neuron": "layer", "bond": "bond_layer"}
    if kind not in dims:
        raise ValueError(f"kind must be 'neuron' or 'bond', got {kind!r}")
    if ax is None:
        ax = pyplot.subplots()[1]
    datasets = list(solution) if isinstance(solution, Sequence) else [solution]
    lines = [
        one
        for dataset in datasets
        for one in (
            [dataset.isel(load=i) for i in range(dataset.sizes["load"])] if "load" in dataset.dims else [dataset]
        )
    ]
    shades = mpl.colormaps[_SEQUENTIAL](np.linspace(0.12, 1.0, len(lines)))
    for one, shade in zip(lines, shades, strict=True):
        overlap = one[f"{kind}_overlap"].isel(step=-1)
        settings = {"color": shade, "marker": "o", "label": f"{float(one['load']):g}"} | kwargs
        ax.plot(one[dims[kind]], overlap, **settings)
    symbol = "q" if kind == "neuron" else "Q"
    ax.set(xlabel="layer $l$", ylabel=rf"${symbol}_{{\mathrm{{EA}}}}(l)$", ylim=(-0.02, 1.03))
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if legend:
        ax.legend(title=r"load $\alpha$", fontsize="small")
    return ax


def franz_parisi(
    potential: xr.Dataset | Sequence[xr.Dataset],
    *,
    ax: Axes | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Franz-Parisi potential against the imposed overlap, one line for each load.

    A line breaks where V jumps from one branch to another; open circles are local minima, the states
    that need no field to hold them.

    Parameters
    ----------
    potential : Dataset or sequence of them
        From `deepglass.parisi.franz_parisi`.
    ax : Axes, optional
        Where to draw; by default a new figure.
    legend : bool
        List the loads.
    **kwargs : Any
        For ``Axes.plot``.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.DeepPerceptron(depth=4, load=30.0, scenario="teacher")
    >>> ax = dg.plot.franz_parisi(dg.parisi.franz_parisi(model, [0.45, 0.5, 0.55, 0.6, 0.65]))
    >>> ax.get_xlabel()
    'overlap with the teacher $r(2)$'
    """
    if ax is None:
        ax = pyplot.subplots()[1]
    datasets = list(potential) if isinstance(potential, Sequence) else [potential]
    shades = mpl.colormaps[_SEQUENTIAL](np.linspace(0.12, 1.0, len(datasets)))
    for one, shade in zip(datasets, shades, strict=True):
        one = one.sortby("overlap")
        x, V, field = (one[name].values for name in ("overlap", "potential", "field"))
        # Where the fields at both ends cannot account for the rise, the branch has changed.
        most = np.diff(x) * (np.abs(field[1:]) + np.abs(field[:-1])) + 1e-2 * np.ptp(V[np.isfinite(V)])
        jumps = np.flatnonzero(np.abs(np.diff(V)) > most) + 1
        settings = {"color": shade, "label": f"{float(one['load']):g}"} | kwargs
        ax.plot(np.insert(x, jumps, x[jumps]), np.insert(V, jumps, np.nan), **settings)
        padded = np.concatenate([[np.inf], V, [np.inf]])
        minima = np.minimum(padded[:-2], padded[2:]) >= V
        ax.plot(x[minima], V[minima], "o", color=settings["color"], markerfacecolor="none", label="_minima")
    layers = sorted({int(one["imposed_layer"]) for one in datasets})
    symbol = f"r({layers[0]})" if len(layers) == 1 else "r(l)"
    ax.set(xlabel=f"overlap with the teacher ${symbol}$", ylabel="Franz-Parisi potential $V$")
    if legend:
        ax.legend(title=r"load $\alpha$", fontsize="small")
    return ax
