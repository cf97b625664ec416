"""Dynamical isometry: singular values of the input-output Jacobian, and the conditional Fisher information.

Pennington, Schoenholz and Ganguli (2017, 2018); Hayase and Karakida (2021), as in the review talk of R. Karakida.
Weights at the edge of chaos (mean squared singular value 1).  Lines: theory of infinite width.  Histograms and points
with error bars: simulated networks that start from an input of the fixed point's mean square.

Convolutional networks on a ring of positions (Xiao et al. 2018): with one orthogonal matrix in the middle of the kernel
("delta-orthogonal") each position has the Jacobian of a fully connected network, with Gaussian weights all over the
kernel the spread of singular values grows as it does with Gaussian matrices.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import meanfield
from ..plot import Axes, Figure, pyplot
from ..spectra import Measure, conditional_fisher_spectrum, jacobian_spectrum
from ._finite import Array, Estimate, Generator, compare, extrapolated, fine_curve, weight_matrix
from ._report import Row, write

__all__ = ["run"]

_ACTIVATIONS = ("tanh", "hard_tanh", "relu")
_TITLES = {"tanh": "tanh", "hard_tanh": "hard tanh", "relu": "relu"}
_WEIGHTS = ("orthogonal", "gaussian")
_LAWS = {"orthogonal": "orthogonal", "gaussian": "Gaussian"}
_BIAS = 0.01
_DEPTHS = np.arange(1, 9)
_SHOWN = (2, 4, 8)
_COLOURS = ("C0", "C2", "C1")
_MARKS = dict(zip(_ACTIVATIONS, "os^", strict=True))
_FISHER_DEPTHS = (2, 4, 8, 16)
_FISHER = (("tanh", 1e-2), ("tanh", 1e-3), ("tanh", 1e-5), ("hard_tanh", 1e-2))
_KERNELS = {"delta-orthogonal": "orthogonal", "Gaussian": "gaussian"}  # and the fully connected network of its law
_POSITIONS = 8
_CONVOLUTION_DEPTHS = np.arange(1, 17)
_EDGE_POWER = 2.0 / 3.0  # the largest eigenvalue is off by n^(-2/3)


class Sizes(NamedTuple):
    """Widths n/2 and n, draws of each; the histograms are of width n."""

    width: int
    draws: tuple[int, int]
    fisher_width: int
    fisher_draws: int
    channels: int
    convolution_draws: int


_QUICK, _FULL = Sizes(160, (40, 24), 120, 10, 64, 12), Sizes(1000, (24, 12), 400, 12, 128, 40)


class _Point(NamedTuple):
    """Activation at its edge of chaos."""

    activation: str
    weight_variance: float
    bias_variance: float
    input_square: float

    @classmethod
    def critical(cls, activation: str, bias_variance: float) -> _Point:
        if activation == "relu":  # there is only one critical point, and any variance is a fixed one
            return cls(activation, 2.0, 0.0, 1.0)
        sw2 = float(meanfield.critical_weight_variance(activation, bias_variance))
        q = float(meanfield.fixed_point(activation, sw2, bias_variance).q)
        return cls(activation, sw2, bias_variance, (q - bias_variance) / sw2)

    def layer(self, h: Array, kind: str, rng: Generator) -> tuple[Array, Array, Array]:
        """Weights, activities and slopes of the next layer."""
        phi = meanfield.activation(self.activation)
        weights = weight_matrix(kind, h.size, self.weight_variance, rng)
        u = weights @ h + np.sqrt(self.bias_variance) * rng.normal(size=h.size)
        return weights, np.asarray(phi(u)), np.asarray(phi.derivative(u))

    def start(self, n: int, rng: Generator) -> Array:
        h = rng.normal(size=n)
        return np.asarray(h * np.sqrt(self.input_square * n / (h @ h)), float)

    def slope_moments(self) -> tuple[float, float]:
        """E phi'^2 and E phi'^4 at the fixed point."""
        q = self.weight_variance * self.input_square + self.bias_variance
        square = float(meanfield.gaussian_moments(self.activation, q).slope_square)
        if self.activation != "tanh":  # slopes 0 and 1
            return square, square
        z = np.linspace(-12.0, 12.0, 4001)  # the trapezoidal rule of an analytic function
        weight = np.exp(-(z**2) / 2) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
        return square, float(weight @ np.cosh(np.sqrt(q) * z) ** -8.0)

    def jacobian_variance(self, kind: str, depths: npt.NDArray[np.int64] = _DEPTHS) -> Array:
        """Variance/mean^2 of J J^T at each depth: L (mu_2/mu_1^2 - 1 - s_1)."""
        first, second = self.slope_moments()
        return np.asarray(depths * (second / first**2 - 1.0 + (kind == "gaussian")), float)

    def fisher_moments(self) -> tuple[Array, Array]:
        """Mean and variance of the conditional Fisher spectrum at each depth, layer by layer."""
        first, second = self.slope_moments()
        mean, variance, found = 0.0, 0.0, {}
        for depth in range(1, max(_FISHER_DEPTHS) + 1):
            variance = self.weight_variance**2 * (mean**2 * (second - first**2) + first**2 * variance)
            mean = self.input_square + self.weight_variance * first * mean
            found[depth] = (mean, variance)
        means, variances = np.array([found[depth] for depth in _FISHER_DEPTHS]).T
        return means, variances

    def jacobian(self, depth: int, kind: str) -> Measure:
        return jacobian_spectrum(self.activation, self.weight_variance, self.bias_variance, depth, kind)

    def fisher(self, depth: int) -> Measure:
        return conditional_fisher_spectrum(self.activation, self.weight_variance, self.bias_variance, depth)


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, sizes: Sizes) -> list[Path]:
    data = {
        "jacobian": xr.concat([_jacobian(name, sizes) for name in _ACTIVATIONS], _coordinate("activation")),
        "conditional_fisher": xr.concat([_fisher(*case, sizes) for case in _FISHER], "case"),
        "convolution": _convolution(sizes),
    }
    data["jacobian"] = data["jacobian"].assign_coords(activation=list(_ACTIVATIONS))
    figures = {
        "singular_values": partial(_figure_densities, data["jacobian"]),
        "depth": partial(_figure_depth, data["jacobian"]),
        "conditional_fisher": partial(_figure_fisher, data["conditional_fisher"]),
        "convolution": partial(_figure_convolution, data["convolution"]),
    }
    return write(output, data, figures, _table(data))


def _coordinate(name: str) -> xr.Variable:
    return xr.Variable(name, list(_ACTIVATIONS))


# ---- Simulated networks


def _eigenvalues(point: _Point, kind: str, n: int, draws: int, seed: list[int]) -> Array:
    """Eigenvalues of J J^T after each layer: (draws, depth, n)."""
    rng = np.random.default_rng(seed)
    found = np.empty((draws, _DEPTHS.size, n))
    for draw in range(draws):
        h, jacobian = point.start(n, rng), np.eye(n)
        for i in range(_DEPTHS.size):
            weights, h, slopes = point.layer(h, kind, rng)
            jacobian = slopes[:, np.newaxis] * (weights @ jacobian)
            found[draw, i] = np.linalg.eigvalsh(jacobian @ jacobian.T)
    return np.maximum(found, 0.0)


def _fisher_eigenvalues(point: _Point, n: int, draws: int, seed: list[int]) -> Array:
    """Eigenvalues of the dual of the Fisher information of one input: (draws, depth, n)."""
    rng = np.random.default_rng(seed)
    found = np.empty((draws, len(_FISHER_DEPTHS), n))
    for draw in range(draws):
        h, slopes, dual = point.start(n, rng), np.ones(n), np.zeros((n, n))
        for depth in range(1, max(_FISHER_DEPTHS) + 1):
            # W D Theta D W^T; the last layer is linear, and Theta_1 = qhat_0
            weights, next_h, next_slopes = point.layer(h, "orthogonal", rng)
            through = weights * slopes
            dual = through @ dual @ through.T
            dual[np.diag_indices(n)] += h @ h / n
            h, slopes = next_h, next_slopes
            if depth in _FISHER_DEPTHS:
                found[draw, _FISHER_DEPTHS.index(depth)] = np.linalg.eigvalsh(dual)
    return found


def _convolution_variances(point: _Point, kernel: str, channels: int, draws: int, seed: list[int]) -> Array:
    """Variance/mean^2 of the eigenvalues of J J^T after each layer of a convolutional network: (draws, depth)."""
    rng = np.random.default_rng(seed)
    phi = meanfield.activation(point.activation)
    found = np.empty((draws, _CONVOLUTION_DEPTHS.size))
    n = _POSITIONS * channels
    for draw in range(draws):
        h = np.array([point.start(channels, rng) for _ in range(_POSITIONS)])
        jacobian = np.eye(n).reshape(_POSITIONS, channels, n)
        for i in range(_CONVOLUTION_DEPTHS.size):
            if kernel == "delta-orthogonal":
                weights = {0: weight_matrix("orthogonal", channels, point.weight_variance, rng)}
            else:
                weights = {b: weight_matrix("gaussian", channels, point.weight_variance / 3, rng) for b in (-1, 0, 1)}
            u = sum(np.roll(h, -b, axis=0) @ w.T for b, w in weights.items())
            u = u + np.sqrt(point.bias_variance) * rng.normal(size=channels)
            through = sum(w @ np.roll(jacobian, -b, axis=0) for b, w in weights.items())
            h, jacobian = phi(u), phi.derivative(u)[..., np.newaxis] * through
            flat = jacobian.reshape(n, n)
            gram = flat @ flat.T
            found[draw, i] = n * np.sum(gram**2) / np.trace(gram) ** 2 - 1.0
    return found


# ---- Numbers


def _histograms(samples: Array, bins: Array) -> Estimate:
    """Density of samples (draws, n) by bins; what lies outside the bins counts in the norm only."""
    width = np.diff(bins) * samples.shape[1]
    return Estimate.of(np.array([np.histogram(one, bins)[0] / width for one in samples]))


def _jacobian(name: str, sizes: Sizes) -> xr.Dataset:
    """Theory and simulation of one activation: dims weights, depth."""
    point = _Point.critical(name, _BIAS)
    parts = []
    for w, kind in enumerate(_WEIGHTS):
        laws = [point.jacobian(int(depth), kind) for depth in _DEPTHS]
        seed = [_ACTIVATIONS.index(name), w]
        samples = [
            _eigenvalues(point, kind, n, draws, [*seed, n])
            for n, draws in zip((sizes.width // 2, sizes.width), sizes.draws, strict=True)
        ]
        moments, edges = [], []
        for one in samples:
            mean = one.mean(axis=-1)
            moments.append(Estimate.of(one.var(axis=-1) / mean**2))
            edges.append(Estimate.of(one[:, :, -1] / mean))  # the mean is 1, fluctuations taken out
        top = np.array([max([*law.support()[:, 1], *(a.position for a in law.atoms)]) for law in laws])
        at_zero = np.array([sum(a.mass for a in law.atoms if a.position == 0) for law in laws])
        on_top = np.array([sum(a.mass for a in law.atoms if a.position > 0) for law in laws])
        place = point.weight_variance ** _DEPTHS.astype(float)
        largest = samples[-1]
        zeros = extrapolated((Estimate.of((x < 1e-13 * x[:, :, -1:]).mean(axis=-1)) for x in samples), power=0.5)
        tops = Estimate.of((np.abs(largest / place[:, np.newaxis] - 1.0) < 1e-9).mean(axis=-1))
        x, pdf, left, height = [], [], [], []
        for depth in _SHOWN:
            i = depth - 1
            law = laws[i]
            s, density = fine_curve(law, 400, 1e-6 * float(top[i]), root=True)
            values = np.sqrt(largest[:, i])
            away = (values > 1e-6 * values[:, -1:]) & (np.abs(values**2 / place[i] - 1.0) > 1e-9)
            bins = np.linspace(0.0, 1.08 * np.sqrt(top[i]), 41)
            x.append(s)
            pdf.append(density)
            left.append(bins)
            height.append(_histograms(np.where(away, values, -1.0), bins).mean)
        limit, edge = extrapolated(moments), extrapolated(edges, power=_EDGE_POWER)
        by_depth = {
            "relative_variance": point.jacobian_variance(kind),
            "simulated_variance": moments[-1].mean,
            "simulated_variance_error": moments[-1].error,
            "limit_variance": limit.mean,
            "limit_variance_error": limit.error,
            "edge": top,
            "simulated_edge": edges[-1].mean,
            "simulated_edge_error": edges[-1].error,
            "limit_edge": edge.mean,
            "limit_edge_error": edge.error,
            "atom_zero": at_zero,
            "simulated_atom_zero": zeros.mean,
            "simulated_atom_zero_error": zeros.error,
            "atom_top": on_top,
            "simulated_atom_top": tops.mean,
            "simulated_atom_top_error": tops.error,
            "atom_place": place,
        }
        parts.append(
            xr.Dataset(
                {
                    **{key: ("depth", np.asarray(value)) for key, value in by_depth.items()},
                    "singular_value": (("shown", "point"), np.array(x)),
                    "density": (("shown", "point"), np.array(pdf)),
                    "bins": (("shown", "border"), np.array(left)),
                    "histogram": (("shown", "bin"), np.array(height)),
                },
                {"depth": _DEPTHS, "shown": list(_SHOWN)},
            )
        )
    both = xr.concat(parts, "weights").assign_coords(weights=list(_WEIGHTS))
    both["weight_variance"] = point.weight_variance
    both["bias_variance"] = point.bias_variance
    both.attrs = {"width": sizes.width, "draws": sizes.draws[1]}
    return both


def _fisher(activation: str, bias_variance: float, sizes: Sizes) -> xr.Dataset:
    """Conditional Fisher spectrum in units of L qhat: dims depth."""
    point = _Point.critical(activation, bias_variance)
    seed = [7, _FISHER.index((activation, bias_variance))]
    n = sizes.fisher_width
    samples = [_fisher_eigenvalues(point, m, sizes.fisher_draws, [*seed, m]) for m in (n // 2, n)]
    unit = point.input_square * np.array(_FISHER_DEPTHS)
    laws = [point.fisher(depth) * (1.0 / u) for depth, u in zip(_FISHER_DEPTHS, unit, strict=True)]
    samples = [one / unit[:, np.newaxis] for one in samples]
    mean = extrapolated(Estimate.of(one.mean(axis=-1)) for one in samples)
    spread = [Estimate.of(one.var(axis=-1) / one.mean(axis=-1) ** 2) for one in samples]
    limit = extrapolated(spread)
    means, variances = point.fisher_moments()
    bins = np.linspace(0.0, 2.5, 76)
    x, pdf, height, position, mass = [], [], [], [], []
    for i, law in enumerate(laws):
        grid, density = fine_curve(law, 400)
        x.append(grid)
        pdf.append(density)
        values = samples[-1][:, i]
        atoms = law.atoms
        height.append(_histograms(values, bins).mean)
        position.append(atoms[-1].position if atoms else np.nan)
        mass.append(atoms[-1].mass if atoms else 0.0)
    return xr.Dataset(
        {
            "theory_variance": ("depth", variances / means**2),
            "theory_mean": ("depth", means / unit),
            "limit_mean": ("depth", mean.mean),
            "limit_mean_error": ("depth", mean.error),
            "simulated_variance": ("depth", spread[-1].mean),
            "simulated_variance_error": ("depth", spread[-1].error),
            "limit_variance": ("depth", limit.mean),
            "limit_variance_error": ("depth", limit.error),
            "eigenvalue": (("depth", "point"), np.array(x)),
            "density": (("depth", "point"), np.array(pdf)),
            "bins": ("border", bins),
            "histogram": (("depth", "bin"), np.array(height)),
            "atom_position": ("depth", position),
            "atom_mass": ("depth", mass),
            "activation": activation,
            "weight_variance": point.weight_variance,
            "bias_variance": point.bias_variance,
            "qhat": point.input_square,
        },
        {"depth": list(_FISHER_DEPTHS)},
        {"width": n, "draws": sizes.fisher_draws},
    )


def _convolution(sizes: Sizes) -> xr.Dataset:
    """Theory and simulation: dims kernel, depth."""
    point = _Point.critical("tanh", _BIAS)
    theory, limits = [], []
    for k, (kernel, kind) in enumerate(_KERNELS.items()):
        theory.append(point.jacobian_variance(kind, _CONVOLUTION_DEPTHS))
        limits.append(
            extrapolated(
                Estimate.of(_convolution_variances(point, kernel, c, sizes.convolution_draws, [11, k, c]))
                for c in (sizes.channels // 2, sizes.channels)
            )
        )
    return xr.Dataset(
        {
            "relative_variance": (("kernel", "depth"), np.array(theory)),
            "limit_variance": (("kernel", "depth"), np.array([one.mean for one in limits])),
            "limit_variance_error": (("kernel", "depth"), np.array([one.error for one in limits])),
        },
        {"kernel": list(_KERNELS), "depth": _CONVOLUTION_DEPTHS},
        {"channels": sizes.channels, "draws": sizes.convolution_draws},
    )


# ---- Pictures


def _steps(ax: Axes, bins: Array, heights: Array, colour: str) -> None:
    ax.stairs(heights, bins, color=colour, alpha=0.28, fill=True, lw=0)


def _atom(ax: Axes, position: float, mass: float, colour: str, height: float, ceiling: float) -> None:
    """An arrow of this height, the mass beside it."""
    ax.annotate(
        "",
        (position, height),
        (position, 0.0),
        arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2.2, "shrinkA": 0, "shrinkB": 0},
    )
    left = position < 0.5 * ax.get_xlim()[1]
    ax.annotate(
        f"{mass:.2f}",
        (position, min(height, ceiling)),
        (4 if left else 0, 1),
        textcoords="offset points",
        ha="left" if left else "center",
        va="bottom",
        color=colour,
        fontsize=8,
    )


def _figure_densities(data: xr.Dataset) -> Figure:
    figure, axes = pyplot.subplots(2, 3, figsize=(9.2, 5.0))
    for row, kind in zip(axes, _WEIGHTS, strict=True):
        for ax, name in zip(row, _ACTIVATIONS, strict=True):
            at = data.sel(activation=name, weights=kind)
            right = 1.04 * float(np.sqrt(at.edge.sel(depth=_SHOWN[-1])))
            ceiling = 2.0
            ax.set(xlim=(-0.02 * right, right), ylim=(0, ceiling))
            if kind == "gaussian":
                ax.set(yscale="log", ylim=(3e-3, 20.0))
            for colour, depth in zip(_COLOURS, _SHOWN, strict=True):
                one, law = at.sel(shown=depth), at.sel(depth=depth)
                _steps(ax, one.bins.values, one.histogram.values, colour)
                ax.plot(one.singular_value, one.density, color=colour, label=f"L = {depth}")
                mass = float(law.atom_top)
                if mass > 0:
                    _atom(ax, float(np.sqrt(law.atom_place)), mass, colour, ceiling * mass, ceiling)
            mass = float(at.atom_zero.sel(depth=_SHOWN[-1]))
            if mass > 0 and kind == "orthogonal":  # the same with Gaussian weights
                _atom(ax, 0.0, mass, "0.25", ceiling * mass, ceiling)
            sw2, sb2 = float(at.weight_variance), float(at.bias_variance)
            ax.set_title(
                rf"{_TITLES[name]}, {_LAWS[kind]}: $\sigma_w^2$ = {sw2:.4g}, $\sigma_b^2$ = {sb2:g}", fontsize=9
            )
        row[0].set_ylabel("density")
    for ax in axes[1]:
        ax.set_xlabel("singular value of the Jacobian")
    axes[0, 2].legend(loc="upper right", title="layers", title_fontsize=9)
    figure.suptitle(
        f"Theory (lines) and networks of width {data.attrs['width']} (filled); arrows: atoms, their mass", fontsize=10
    )
    return figure


def _figure_depth(data: xr.Dataset) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.2, 3.5))
    for kind, colour in zip(_WEIGHTS, ("C0", "C1"), strict=True):
        for name in _ACTIVATIONS:
            at = data.sel(activation=name, weights=kind)
            points = {"fmt": _MARKS[name], "color": colour, "mfc": "w", "ms": 5}
            for ax, theory, simulated in (
                (left, "edge", "limit_edge"),
                (right, "relative_variance", "limit_variance"),
            ):
                ax.plot(at.depth, at[theory], color=colour, lw=1.0)
                label = f"{_TITLES[name]}, {_LAWS[kind]}" if ax is left else None
                ax.errorbar(at.depth, at[simulated], at[f"{simulated}_error"], label=label, **points)
    for ax in (left, right):
        ax.set(yscale="log", xlabel="layers L", xticks=_DEPTHS)
    left.set(ylabel=r"largest $\lambda = s^2$ / mean")
    right.set(ylabel=r"variance / mean$^2$ of $\lambda = s^2$")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    width = data.attrs["width"]
    figure.suptitle(
        f"Theory (lines) and simulated networks (points; widths {width // 2} and {width}, extrapolated)", fontsize=10
    )
    return figure


def _figure_fisher(data: xr.Dataset) -> Figure:
    figure, axes = pyplot.subplots(2, 2, figsize=(8.2, 5.6))
    shades = [pyplot.get_cmap("viridis_r")(x) for x in np.linspace(0.15, 0.95, len(_FISHER_DEPTHS))]
    *panels, last = axes.flat
    for i, colour in enumerate(("C0", "C1", "C2", "0.4")):
        at = data.isel(case=i)
        name, bias = _TITLES[str(at.activation.values)], float(at.bias_variance)
        last.plot(_FISHER_DEPTHS, np.sqrt(at.theory_variance), color=colour, label=f"{name}, {bias:g}")
        error = at.limit_variance_error / (2 * np.sqrt(at.limit_variance))
        last.errorbar(_FISHER_DEPTHS, np.sqrt(at.limit_variance), error, fmt="o", color=colour, mfc="w", ms=4)
        if i == len(panels):
            continue
        ax = panels[i]
        for shade, depth in zip(shades, _FISHER_DEPTHS, strict=True):
            one = at.sel(depth=depth)
            _steps(ax, at.bins.values, one.histogram.values, shade)
            ax.plot(one.eigenvalue, one.density, color=shade, label=f"L = {depth}")
        ax.axvline(1.0, color="0.5", lw=0.8, ls=":")
        highest = 1.25 * float(at.histogram.sel(depth=_FISHER_DEPTHS[1]).max())
        ax.set(xlim=(0, 2.5), ylim=(0, highest), xlabel=r"eigenvalue / $(L\,\hat q)$", ylabel="density")
        ax.set_title(rf"{name}, $\sigma_b^2$ = {bias:g}, $\hat q$ = {float(at.qhat):.3g}", fontsize=9)
    panels[0].legend()
    last.set(xscale="log", yscale="log", xlabel="layers L", ylabel="standard deviation / mean", xticks=_FISHER_DEPTHS)
    last.set_xticks(_FISHER_DEPTHS, [str(depth) for depth in _FISHER_DEPTHS])
    last.minorticks_off()
    last.set_ylim(0.7 * last.get_ylim()[0], 6 * last.get_ylim()[1])
    last.legend(title=r"activation, $\sigma_b^2$", ncols=2, loc="upper left")
    figure.suptitle(
        f"Conditional Fisher information, orthogonal weights: theory (lines), width {data.attrs['width']} (filled)",
        fontsize=10,
    )
    return figure


def _figure_convolution(data: xr.Dataset) -> Figure:
    figure, ax = pyplot.subplots(figsize=(5.4, 3.6))
    for kernel, mark in zip(_KERNELS, "os", strict=True):
        at = data.sel(kernel=kernel)
        (line,) = ax.plot(at.depth, at.relative_variance)
        ax.errorbar(
            at.depth, at.limit_variance, at.limit_variance_error, fmt=mark, color=line.get_color(), mfc="w", ms=4,
            label=kernel,
        )  # fmt: skip
    ax.set(yscale="log", xlabel="layers L", ylabel=r"variance / mean$^2$ of $\lambda = s^2$")
    ax.legend(title="kernel")
    c = data.attrs["channels"]
    ax.set_title(
        f"tanh on a ring of {_POSITIONS} positions, {c // 2} and {c} channels, extrapolated;\n"
        "lines: fully connected networks with orthogonal and with Gaussian weights", fontsize=9, loc="left",
    )  # fmt: skip
    return figure


# ---- Table


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    rows = []
    jacobian = data["jacobian"]
    widths = f"widths {jacobian.attrs['width'] // 2} and {jacobian.attrs['width']}"
    for name in _ACTIVATIONS:
        for kind in _WEIGHTS:
            at = jacobian.sel(activation=name, weights=kind)
            for depth in (2, 4, 8):
                one = at.sel(depth=depth)
                label = f"{_TITLES[name]}, {_LAWS[kind]}, L = {depth}"
                for what, theory, key, power in (
                    ("variance/mean^2", "relative_variance", "limit_variance", "1/n"),
                    ("largest eigenvalue/mean", "edge", "limit_edge", "n^(-2/3)"),
                ):
                    if theory == "edge" and float(one.atom_top) > 0:
                        continue  # an atom, exact at any width
                    numbers = (float(one[theory]), float(one[key]), float(one[f"{key}_error"]))
                    rows.append(compare(f"{label}: {what}", *numbers, f"{widths} extrapolated in {power}"))
                for what in ("atom_zero", "atom_top"):
                    mass = float(one[what])
                    if mass > 0 and depth <= 4:
                        numbers = (mass, float(one[f"simulated_{what}"]), float(one[f"simulated_{what}_error"]))
                        zero = what == "atom_zero"  # as large as that of the layer with the fewest slopes
                        place = "0" if zero else f"{float(one.atom_place):.4f}"
                        why = f"{widths} extrapolated in n^(-1/2)" if zero else f"width {jacobian.attrs['width']}"
                        rows.append(compare(f"{label}: atom at {place}", *numbers, why))
    convolution = data["convolution"]
    channels = convolution.attrs["channels"]
    for kernel in _KERNELS:
        for depth in (4, 16):
            one = convolution.sel(kernel=kernel, depth=depth)
            numbers = (float(one.relative_variance), float(one.limit_variance), float(one.limit_variance_error))
            why = f"{channels // 2} and {channels} channels, extrapolated in 1/n; theory of fully connected networks"
            rows.append(compare(f"convolution, {kernel} kernel, L = {depth}: variance/mean^2", *numbers, why))
    fisher = data["conditional_fisher"]
    for i in range(fisher.sizes["case"]):
        at = fisher.isel(case=i)
        for depth in (4, 16):
            one = at.sel(depth=depth)
            label = (
                f"Fisher, {_TITLES[str(at.activation.values)]}, bias variance {float(at.bias_variance):g}, L = {depth}"
            )
            for what, theory, key in (
                ("mean/(L qhat)", "theory_mean", "limit_mean"),
                ("variance/mean^2", "theory_variance", "limit_variance"),
            ):
                numbers = (float(one[theory]), float(one[key]), float(one[f"{key}_error"]))
                rows.append(compare(f"{label}: {what}", *numbers, "two widths extrapolated in 1/n"))
    return rows
