"""Limited connectivity: perceptrons with c of the N neurons below as inputs, load M/c.

The theory of the review is that of N >> c >> 1, where connections form no loops.  At a load at which all layers are
liquid the loopless network can be solved for any c.  Away from the data no message from one perceptron to another
tells of a sign, so that each has M patterns of independent fair inputs and outputs:

    Z_i = int dJ w(J)^M,   w(J) = E exp(-beta v(r)) = (1 + E prod_k cos(t J_k / sqrt(c))) / 2,   t ~ N(0, 2 beta),

J on the sphere |J|^2 = c; the energy per gap is -(1/M) d ln Z_i / d beta.  For c -> infinity it is that of normal gaps.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import xarray as xr

from .. import mc, plot, stats
from ..plot import Figure, pyplot
from ._instances import Point, liquid_energy, silent_instances
from ._report import Row

__all__ = ["FULL", "QUICK", "WIDTH", "Dilute", "draw", "loopless_energy", "rows"]

WIDTH = 64  # of the cold networks

_DRAWS = 80_000  # of bonds; perceptrons of many inputs differ little
_NODES = 80
_STEP = 1e-30  # of a derivative by a complex step
_RATIOS = (1, 2, 4, 8, 16)  # N / c


@dataclasses.dataclass(frozen=True)
class Dilute(Point):
    """A network of limited connectivity, another graph in each instance.

    Parameters
    ----------
    connectivity : int
        c; as large as the width: all.
    """

    connectivity: int = 16

    @property
    def name(self) -> str:
        """For files."""
        return f"{super().name}_c{self.connectivity}"

    def network(self, seed: int = 0) -> mc.PerceptronNetwork:
        """The network of an instance, whose graph is drawn by the seed."""
        connectivity = None if self.connectivity == self.width else self.connectivity
        return dataclasses.replace(super().network(), connectivity=connectivity, graph_seed=seed)

    @property
    def n_patterns(self) -> int:
        """Number of patterns, load times connectivity."""
        return self.load * self.connectivity

    @property
    def cost(self) -> float:
        """Elementary updates."""
        return super().cost * (self.connectivity / self.width) ** 2


def _liquid(width: int, connectivity: int, n_instances: int) -> Dilute:
    return Dilute(
        width, load=1, depth=5, beta=5.0, n_instances=n_instances, n_steps=4, step_sweeps=50, waiting_times=(0,),
        longest_lag=1000, connectivity=connectivity,
    )  # fmt: skip


def _cold(connectivity: int, n_instances: int) -> Dilute:
    return Dilute(WIDTH, connectivity=connectivity, n_instances=n_instances)


QUICK = (
    *(
        _liquid(c * r, c, max(8, 256 // (c * r)))
        for c, most in ((4, 16), (8, 8), (16, 8), (32, 2))
        for r in _RATIOS
        if r <= most
    ),
    _cold(8, 4),
    _cold(16, 4),
)
FULL = (
    *(_liquid(c * r, c, max(16, 4096 // (c * r))) for c in (4, 8, 16, 32) for r in _RATIOS),
    *(_cold(c, 16) for c in (8, 16, 32)),
)


def loopless_energy(connectivity: int, n_patterns: int, beta: float, seed: int = 1) -> stats.Estimate:
    """Energy per gap of a liquid network without loops, by bonds drawn at random.

    Examples
    --------
    >>> print(loopless_energy(16, 16, 5.0))
    0.020740(2)
    """
    z, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    t = np.sqrt(2.0 * (beta + 1j * _STEP)) * z
    draws = max(100, _DRAWS // connectivity)
    bonds = np.random.default_rng(seed).standard_normal((draws, connectivity))
    bonds /= np.linalg.norm(bonds, axis=1, keepdims=True)
    product = np.ones((draws, _NODES), complex)
    for bond in bonds.T:
        product *= np.cos(bond[:, np.newaxis] * t)
    w = 0.5 + 0.5 * product @ (weight / weight.sum())
    energy, share = -w.imag / (_STEP * w.real), w.real**n_patterns
    share /= share.mean()
    mean = float(np.mean(share * energy))
    return stats.Estimate(mean, float(np.std(share * (energy - mean))) / math.sqrt(draws))


def _energy(result: xr.Dataset) -> stats.Estimate:
    """Energy per gap between the outer layers: mean of the second half of the run, error over instances."""
    inner = result["energy_per_gap"].isel(layer=slice(1, -1)).mean("layer")
    late = inner.isel(draw=slice(inner.sizes["draw"] // 2, None)).mean("draw")
    return stats.mean_over_instances(late.values)


def _split(results: dict[Dilute, xr.Dataset]) -> tuple[dict[Dilute, stats.Estimate], dict[Dilute, xr.Dataset]]:
    liquid = {point: _energy(result) for point, result in results.items() if point.load == 1}
    return liquid, {point: result for point, result in results.items() if point.load != 1}


def draw(results: dict[Dilute, xr.Dataset], full: xr.Dataset, width: int) -> Figure:
    """Energies against c / N and without loops; correlations of layers 1 and 4, `full` having all connections."""
    liquid, cold = _split(results)
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(10.2, 3.3))
    connectivities = sorted({point.connectivity for point in liquid})
    shades = dict(
        zip(connectivities, pyplot.get_cmap("plasma")(np.linspace(0.0, 0.8, len(connectivities))), strict=True)
    )
    for c, shade in shades.items():
        mine = {point.connectivity / point.width: energy for point, energy in liquid.items() if point.connectivity == c}
        values = [(energy.value, energy.error) for energy in mine.values()]
        left.errorbar(list(mine), *zip(*values, strict=True), fmt="o", color=shade, capsize=2.0, label=f"$c={c}$")
        left.plot([-0.06, 0.03], [loopless_energy(c, c, 5.0).value] * 2, color=shade, linewidth=2.0)
    left.axhline(liquid_energy(5.0), color="0.5", linestyle="--", linewidth=0.9)
    left.annotate(r"$c\to\infty$", (0.75, liquid_energy(5.0)), xytext=(0, 3), textcoords="offset points", color="0.4")
    left.set(xlabel="$c/N$", ylabel="energy per gap", ylim=(None, 0.0215))
    left.legend(loc="center right", bbox_to_anchor=(1.0, 0.42), fontsize="small", ncols=2)
    left.set_title(r"liquid: load $M/c=1$, $\beta=5$" + "\n(bars at 0: no loops)", loc="left", fontsize="small")
    shown = {rf"$c={point.connectivity}$": (point.width, result) for point, result in cold.items()}
    shown["all connected"] = (width, full)
    for layer, ax in ((1, middle), (4, right)):
        for (label, (n, result)), colour in zip(shown.items(), ("C0", "C1", "C2", "k")[-len(shown) :], strict=True):
            one = result.sel(layer=[layer, result.sizes["layer"]])
            plot.correlations(one, ax=ax, legend=False, color=colour, label=f"{label}, $N={n}$")
        ax.set_title(rf"layer {layer}: load $M/c=4$, $\beta=20$, $L=8$", loc="left", fontsize="small")
    right.set_ylabel("")
    middle.legend(fontsize="small")
    return figure


def rows(results: dict[Dilute, xr.Dataset]) -> list[Row]:
    """Lines of the table."""
    liquid, cold = _split(results)
    lines = []
    for c in sorted({point.connectivity for point in liquid}):
        n, energy = max((point.width, energy) for point, energy in liquid.items() if point.connectivity == c)
        theory = loopless_energy(c, c, 5.0)
        difference = stats.Estimate(energy.value - theory.value, math.hypot(energy.error, theory.error))
        lines.append(
            Row(
                f"energy per gap, liquid, c = {c}, N = {n}", f"{liquid_energy(5.0):.6f} (c to infinity)", f"{energy}",
                f"{difference}", f"to a network without loops, {theory}: {difference.pull(0.0):+.1f} errors",
            )
        )  # fmt: skip
    for point, result in cold.items():
        variance = result["field_variance"].sel(moment="end")
        lines.append(
            Row(
                f"silent layers, load M/c = 4, c = {point.connectivity}, N = {point.width}", "-",
                f"{int(silent_instances(result).sum())} of {variance.sizes['instance']}", "-",
                f"smallest <h^2> of a layer {float(variance.min()):.2f}; other inputs are not parallel",
            )
        )  # fmt: skip
    return lines
