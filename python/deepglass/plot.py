"""Matplotlib views of the results; needs the extra ``plot``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

try:
    import matplotlib as mpl
    import matplotlib.collections
    from cycler import cycler
    from matplotlib import pyplot as pyplot
    from matplotlib import ticker as ticker
    from matplotlib.axes import Axes as Axes
    from matplotlib.cm import ScalarMappable as ScalarMappable
    from matplotlib.collections import LineCollection as LineCollection
    from matplotlib.colors import Normalize as Normalize
    from matplotlib.figure import Figure as Figure
    from matplotlib.lines import Line2D as Line2D
except ModuleNotFoundError as error:
    message = "deepglass.plot needs the extra 'plot': pip install 'deepglass[plot]'"
    raise ModuleNotFoundError(message, name=error.name) from error

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.colors import Colormap

__all__ = [
    "cluster_tree",
    "correlations",
    "edwards_anderson",
    "franz_parisi",
    "order_parameter_function",
    "overlap_distribution",
    "style",
]

# Colours for a growing parameter, and for two or three things to tell apart (safe for colour-blind readers).
_SEQUENTIAL = "viridis_r"
_CATEGORIES = ("#0072B2", "#D55E00", "#009E73")
_DIMS = {"neuron": "layer", "bond": "bond_layer"}
# Width of a branch of a cluster tree, in units of the room its solutions take.
_BRANCH = 0.4


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


def _kind(kind: str) -> tuple[str, str]:
    """Name of the layers' dimension, and symbol of the overlap."""
    if kind not in _DIMS:
        raise ValueError(f"kind must be 'neuron' or 'bond', got {kind!r}")
    return _DIMS[kind], "q" if kind == "neuron" else "Q"


def _layer(dataset: xr.Dataset) -> tuple[int, str]:
    """The layer a distribution or a tree belongs to, and symbol of its overlap."""
    dim, symbol = _kind("bond" if "bond_layer" in dataset.coords else "neuron")
    return int(dataset[dim]), symbol


def _shades(n: int) -> npt.NDArray[np.float64]:
    colormap: Colormap = mpl.colormaps[_SEQUENTIAL]
    shades: npt.NDArray[np.float64] = colormap(np.linspace(0.12, 1.0, n))
    return shades


def correlations(
    run: xr.Dataset,
    kind: Literal["neuron", "bond"] = "neuron",
    *,
    waiting_time: int | None = None,
    ax: Axes | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Autocorrelation of a Monte Carlo run against the lag, one line for each layer.

    With several instances (else chains) the line is their mean, and a band its standard error.

    Parameters
    ----------
    run : Dataset
        From `deepglass.mc.Simulation.run` with lags, or several of them along a dimension ``instance``.
    kind : "neuron" or "bond"
        C_S(t, l) on the hidden layers 1..depth-1, or C_J(t, l) on bond layers 1..depth.
    waiting_time : int, optional
        One of those of the run; by default the last one.
    ax : Axes, optional
        Where to draw; by default a new figure.
    legend : bool
        List the layers.
    **kwargs : Any
        For ``Axes.plot``.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If kind is unknown, or the run has no such correlations.

    Examples
    --------
    >>> import deepglass as dg
    >>> network = dg.mc.PerceptronNetwork(width=16, depth=4)
    >>> simulation = dg.mc.Simulation(network, dg.mc.random_data(network, 32, seed=1), beta=5.0, seed=1)
    >>> ax = dg.plot.correlations(simulation.run(100, lags="log"))
    >>> [line.get_label() for line in ax.lines]
    ['1', '2', '3']
    """
    _kind(kind)
    name = f"{kind}_correlation"
    if name not in run:
        raise ValueError(f"run must have {name}: give lags to Simulation.run")
    values = run[name]
    if waiting_time is not None and waiting_time not in values["waiting_time"]:
        known = values["waiting_time"].values.tolist()
        raise ValueError(f"waiting_time must be one of those of the run, {known}, got {waiting_time!r}")
    values = values.isel(waiting_time=-1) if waiting_time is None else values.sel(waiting_time=waiting_time)
    # Chains of one instance share its data: they are no independent samples of it.
    if "instance" in values.dims and "chain" in values.dims:
        values = values.mean("chain")
    sample = "instance" if "instance" in values.dims else "chain"
    values = values.sel(lag=values["lag"] > 0).transpose(sample, "lag", "layer")
    values = values.isel(lag=np.isfinite(values.values).all(axis=(0, 2)))
    if kind == "neuron":
        values = values.isel(layer=slice(-1))  # the last layer is data
    mean = values.mean(sample).values
    error = values.std(sample, ddof=1).values / np.sqrt(len(values)) if len(values) > 1 else np.zeros_like(mean)
    if ax is None:
        ax = pyplot.subplots()[1]
    for k, (layer, shade) in enumerate(zip(values["layer"].values, _shades(run.sizes["layer"]), strict=False)):
        settings = {"color": shade, "label": f"{layer}"} | kwargs
        ax.plot(values["lag"], mean[:, k], **settings)
        band = mean[:, k] + np.array([[-1.0], [1.0]]) * error[:, k]
        ax.fill_between(values["lag"], *band, color=settings["color"], alpha=0.25, linewidth=0.0)
    ax.set_xscale("log")
    symbol = "S" if kind == "neuron" else "J"
    ax.set(xlabel="$t$ (sweeps)", ylabel=rf"$C_{symbol}(t, l)$", ylim=(-0.06, 1.03))
    if legend:
        ax.legend(title="layer $l$", fontsize="small")
    return ax


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
    dim, symbol = _kind(kind)
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
    for one, shade in zip(lines, _shades(len(lines)), strict=True):
        overlap = one[f"{kind}_overlap"].isel(step=-1)
        settings = {"color": shade, "marker": "o", "label": f"{float(one['load']):g}"} | kwargs
        ax.plot(one[dim], overlap, **settings)
    ax.set(xlabel="layer $l$", ylabel=rf"${symbol}_{{\mathrm{{EA}}}}(l)$", ylim=(-0.02, 1.03))
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if legend:
        ax.legend(title=r"load $\alpha$", fontsize="small")
    return ax


def order_parameter_function(
    solution: xr.Dataset,
    layers: Sequence[int] | None = None,
    kind: Literal["neuron", "bond"] = "neuron",
    *,
    ax: Axes | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Order parameter function, the overlap against x, one staircase for each layer.

    Parameters
    ----------
    solution : Dataset
        From `deepglass.parisi.solve`.
    layers : sequence of int, optional
        Layers to draw; by default those of the input side that are solid (or the first one).
    kind : "neuron" or "bond"
        q(x, l), or Q(x, l).
    ax : Axes, optional
        Where to draw; by default a new figure.
    legend : bool
        List the layers.
    **kwargs : Any
        For ``Axes.plot``.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If kind is unknown, a layer is not in the solution, or the solution has several loads.

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=20.0), 4)
    >>> ax = dg.plot.order_parameter_function(solution)
    >>> [line.get_label() for line in ax.lines]
    ['1', '2']
    """
    dim, symbol = _kind(kind)
    overlap = solution[f"{kind}_overlap"]
    if overlap.dims != (dim, "step"):
        raise ValueError(f"solution must have one load, got {kind}_overlap of dims {overlap.dims}")
    known = solution[dim].values.tolist()
    if layers is None:
        inner = [layer for layer in known if 1 <= layer <= (known[-1] + (kind == "bond")) // 2]
        layers = [layer for layer in inner if overlap.sel({dim: layer})[-1] > 0.0] or inner[:1]
    if not set(layers) <= set(known):
        raise ValueError(f"layers must be in the solution, which has {known[0]}..{known[-1]}, got {list(layers)}")
    if ax is None:
        ax = pyplot.subplots()[1]
    edges = np.append(solution["x_left"], 1.0)
    # From the darkest for the layer at the boundary, which orders first.
    for layer, shade in zip(layers, _shades(len(layers))[::-1], strict=True):
        steps = overlap.sel({dim: layer}).values
        settings = {"color": shade, "drawstyle": "steps-post", "label": f"{layer}"} | kwargs
        ax.plot(edges, np.append(steps, steps[-1]), **settings)
    ax.set(xlabel="$x$", ylabel=f"${symbol}(x, l)$", xlim=(0.0, 1.0), ylim=(-0.02, 1.03))
    if legend:
        ax.legend(title="layer $l$", fontsize="small")
    return ax


def overlap_distribution(
    distribution: xr.Dataset | Sequence[xr.Dataset], *, ax: Axes | None = None, legend: bool = True
) -> Axes:
    """Distribution of the overlap: densities on a logarithmic axis, delta peaks as stems as high as their weight.

    Parameters
    ----------
    distribution : Dataset or sequence of them
        From `deepglass.parisi.overlap_distribution`.
    ax : Axes, optional
        Where to draw; by default a new figure.  The weights of the peaks have an axis of their own on the right.
    legend : bool
        List the layers.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=20.0), 4)
    >>> ax = dg.plot.overlap_distribution([dg.parisi.overlap_distribution(solution, layer) for layer in (1, 2)])
    >>> ax.get_ylabel()
    'density $dx/dq$'
    """
    distributions = list(distribution) if isinstance(distribution, Sequence) else [distribution]
    if ax is None:
        ax = pyplot.subplots()[1]
    peaks = ax.twinx()
    symbol = "q"
    for i, one in enumerate(distributions):
        layer, symbol = _layer(one)
        colour = _CATEGORIES[i] if len(distributions) <= len(_CATEGORIES) else _shades(len(distributions))[~i]
        edges = np.append(one["overlap_left"], one["overlap"][-1])
        if one.sizes["stretch"] > 0:
            ax.stairs(one["density"].values, edges, fill=True, color=colour, alpha=0.25, linewidth=0.0)
            ax.stairs(one["density"].values, edges, color=colour, linewidth=0.8)
        delta = one.isel(peak=one["delta_weight"].values > 0.0)
        peaks.vlines(delta["overlap"], 0.0, delta["delta_weight"], color=colour, linewidth=1.8)
        peaks.plot(delta["overlap"], delta["delta_weight"], "o", color=colour, label=f"{layer}", clip_on=False)
    ax.set(xlabel=f"overlap ${symbol}$", ylabel=rf"density $dx/d{symbol}$", xlim=(-0.02, 1.02))
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")
    peaks.set(ylabel="weight of the peaks (stems)", ylim=(0.0, 1.03))
    peaks.spines["right"].set_visible(True)
    if legend:
        peaks.legend(title="layer $l$", fontsize="small")
    return ax


def cluster_tree(tree: xr.Dataset, *, ax: Axes | None = None, **kwargs: Any) -> Axes:
    """Tree of the clusters of solutions: branches as wide as their weight, forks at the height of the overlap.

    The solutions stand side by side in the order of the tree, which is the same in all layers for one seed; so are
    their colours.

    Parameters
    ----------
    tree : Dataset
        From `deepglass.parisi.cluster_tree`.
    ax : Axes, optional
        Where to draw; by default a new figure.
    **kwargs : Any
        For ``matplotlib.collections.PolyCollection``.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=20.0), 4)
    >>> ax = dg.plot.cluster_tree(dg.parisi.cluster_tree(solution, 1, seed=3))
    >>> len(ax.collections)
    1
    """
    layer, symbol = _layer(tree)
    if ax is None:
        ax = pyplot.subplots()[1]
    weight, overlap = tree["weight"].values, tree["overlap"].values
    centre = (tree["first_member"] + 0.5 * tree["n_members"]).values / tree.sizes["solution"]
    # A branch begins within its parent's and ends over its solutions; the root gets a stump.
    parent = np.maximum(tree["parent"].values, 0)
    base = overlap[parent]
    base[0] -= max(0.06 * (overlap.max() - overlap.min()), 0.003)
    t = np.linspace(0.0, 1.0, 25)
    bend = t * t * (3.0 - 2.0 * t)
    start = centre[parent] + _BRANCH * (centre - centre[parent])
    middle = start[:, np.newaxis] + np.outer(centre - start, bend)
    height = base[:, np.newaxis] + np.outer(overlap - base, t)
    half = 0.5 * _BRANCH * weight[:, np.newaxis]
    outline = [np.concatenate([a, b[:, ::-1]], axis=1) for a, b in ((middle - half, middle + half), (height, height))]
    shades = mpl.colormaps[_SEQUENTIAL](0.12 + 0.88 * (1.0 - centre))
    settings: dict[str, Any] = {"facecolors": shades, "edgecolors": shades, "linewidths": 0.25} | kwargs
    ax.add_collection(mpl.collections.PolyCollection(list(np.stack(outline, axis=-1)), **settings))
    ax.set(xlim=(0.0, 1.0), xlabel="solutions", ylabel=f"overlap ${symbol}$", title=f"layer {layer}")
    ax.set_xticks([])
    ax.set_ylim(base[0], max(overlap.max(), overlap[0] + 0.05) - 0.1 * (base[0] - overlap[0]))
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
