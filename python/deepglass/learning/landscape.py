r"""Landscapes of the loss: stationary points of a network, and walks in random potentials.

References
----------
Y. N. Dauphin et al., arXiv:1406.2572: the fraction of negative eigenvalues grows with the error.
C. G. Frye et al., arXiv:2003.10397: descents of |grad L|^2 end where the gradient does not vanish.
E. Marinari, G. Parisi, D. Ruelle, P. Windey, Phys. Rev. Lett. 50, 1223 (1983); E. Hoffer, I. Hubara, D. Soudry,
arXiv:1705.08741: |w_t - w_0| ~ (log t)^(1/H) where the differences of the potential grow as |w - w_0|^H.
Y. G. Sinai, Theory Probab. Appl. 27, 256 (1982); H. Kesten, Physica A 138, 299 (1986): the law for H = 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._check import finite_matrix, integer, number
from .._progress import Progress, reporting
from .._stationary import search
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from ..random import SeedLike, child_seed, seed_entropy
from .data import Array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["network_stationary_points", "random_potential_walk"]

_TOGETHER = 2**22  # values of the potential in memory
_NEGATIVE = 1e-8  # eigenvalues below -_NEGATIVE times the largest one count


def random_potential_walk(
    times: npt.ArrayLike,
    *,
    hurst: float = 0.5,
    strength: float = 1.0,
    n_sites: int = 2000,
    n_environments: int = 1000,
    seed: SeedLike = None,
    progress: Progress = False,
) -> xr.Dataset:
    r"""Distance that a walk on the line has come in a random Gaussian potential V, exactly in each drawn potential.

    Jumps from i to i +- 1 have the rate exp((V_i - V_{i+-1}) / 2), and V has independent increments or correlated ones,

        E (V_i - V_j)^2 = strength^2 |i - j|^(2 hurst).

    hurst = 1/2 is Sinai's walk:  strength^2 |x| / ln^2 t  tends to a law with mean 5/6 and mean square 61/45 (Golosov,
    Kesten);  in general |x| ~ (ln t)^(1/hurst).  hurst = 0 is a potential of independent values and variance
    strength^2 / 2, in which the walk diffuses:  E x^2 = 2 exp(-3 strength^2 / 8) t.  With hurst = 1 the potential would
    be a straight line, down which the walk runs.

    Parameters
    ----------
    times : array of float > 0
        t.  The walk is observed at an exponentially distributed time of mean t, which changes no law in ln t and makes
        the calculation exact: one elimination, without subtractions, for t up to 1e300.
    hurst : float in [0, 1)
        Growth of the potential.
    strength : float > 0
        Standard deviation of an increment.
    n_sites : int >= 2
        Sites to the right and to the left of the start; walls beyond.
    n_environments : int >= 2
        Potentials drawn.
    seed : int, SeedSequence, Generator or None
        Of the potentials.
    progress : bool or callable(done, total)
        Of potentials.

    Returns
    -------
    xarray.Dataset
        ``distance`` E|x| and ``square`` E x^2 along ``time`` with their standard errors over potentials,
        ``distance_error`` and ``square_error``; ``at_walls``, the probability of the two outermost tenths, which must
        be small.

    Examples
    --------
    >>> import numpy as np
    >>> from deepglass.learning import random_potential_walk
    >>> walk = random_potential_walk(np.exp([10.0, 20.0]), strength=2.0, n_sites=700, n_environments=200, seed=1)
    >>> (4 * walk.distance / np.log(walk.time) ** 2).values.round(2)  # 0.83 in the limit
    array([1.04, 1.01])
    """
    import xarray as xr

    t = np.atleast_1d(np.asarray(times, dtype=float))
    if t.ndim != 1 or not t.size or not ((t > 0.0) & (t <= 1e300)).all():
        raise ValueError(f"times must be numbers > 0, 1e300 at most, got {times!r}")
    hurst = number("hurst", hurst, "in [0, 1)", lambda value: 0.0 <= value < 1.0)
    strength = number("strength", strength, "> 0", lambda value: value > 0.0)
    n_sites = integer("n_sites", n_sites, 2, 2**20)
    n_environments = integer("n_environments", n_environments, 2, 2**31)
    entropy = seed_entropy(seed)
    together = max(1, _TOGETHER // n_sites)
    sums = []
    with reporting(progress, "walks") as report:
        for part, begin in enumerate(range(0, n_environments, together)):
            rng = np.random.default_rng(child_seed(entropy, part))
            n = min(together, n_environments - begin)
            sums.append(_walks(strength * _increments(rng, n, 2 * n_sites, hurst), t))
            report(begin + n, n_environments)
    distance, square, walls = np.concatenate(sums, axis=-1)
    variables: dict[str, Any] = {}
    for name, values in (("distance", distance), ("square", square)):
        variables[name] = "time", values.mean(axis=1)
        variables[f"{name}_error"] = "time", values.std(axis=1, ddof=1) / np.sqrt(n_environments)
    variables["at_walls"] = "time", walls.mean(axis=1)
    parameters = {"hurst": hurst, "strength": strength, "n_sites": n_sites, "n_environments": n_environments}
    return xr.Dataset(
        variables, {"time": t}, provenance("deepglass.learning.random_potential_walk", parameters, entropy)
    )


def _increments(rng: np.random.Generator, n: int, length: int, hurst: float) -> Array:
    """Increments of unit variance, (n, length), E (sum of k of them)^2 = k^(2 hurst), by circulant embedding."""
    if hurst == 0.5:
        return np.asarray(rng.standard_normal((n, length)))
    if hurst == 0.0:  # sums are differences of independent values
        return np.asarray(np.diff(rng.standard_normal((n, length + 1)), axis=1) * np.sqrt(0.5))
    power = np.arange(length + 2.0) ** (2.0 * hurst)
    covariance = 0.5 * np.concatenate([[2.0 * power[1]], power[2:] - 2.0 * power[1:-1] + power[:-2]])
    spectrum = np.fft.rfft(np.concatenate([covariance, covariance[-2:0:-1]])).real
    noise = np.fft.rfft(rng.standard_normal((n, 2 * length)), axis=1)
    return np.asarray(np.fft.irfft(noise * np.sqrt(np.maximum(spectrum, 0.0)), axis=1)[:, :length])


def _walks(increments: Array, t: Array) -> Array:
    """E|x|, E x^2 and the probability near the walls, (3, time, environment).

    The walk is killed at the rate r = 1/t, and the probabilities are those of where.  Sites beyond i, seen from i, are
    a rate of being killed: K_i = r + a_i K_{i+1} / (K_{i+1} + b_{i+1}), with rates a_i outwards and b_{i+1} back.
    """
    n_sites = increments.shape[1] // 2
    rate = 1.0 / t[:, np.newaxis]
    sides = []
    for slope in (increments[:, n_sites:], -increments[:, n_sites - 1 :: -1]):
        # a_i = exp(-slope_i / 2), b_{i+1} = exp(slope_i / 2)
        out, back = np.exp(-slope.T / 2), np.exp(slope.T / 2)
        kills = np.empty((n_sites, len(t), slope.shape[0]))  # of site i + 1
        killed = np.broadcast_to(rate, kills[0].shape)
        for i in reversed(range(n_sites)):
            kills[i] = killed
            killed = rate + out[i] * killed / (killed + back[i])
        sides.append((out, back, kills, killed - rate))
    start = rate / (rate + sides[0][3] + sides[1][3])
    result = np.zeros((3, len(t), increments.shape[0]))
    for out, back, kills, _ in sides:
        here = start
        for i in range(n_sites):
            here = here * out[i] / (kills[i] + back[i])
            result[0] += (i + 1) * here
            result[1] += (i + 1.0) ** 2 * here
            if i + 1 > 0.9 * n_sites:
                result[2] += here
    return result


def network_stationary_points(
    inputs: npt.ArrayLike,
    labels: npt.ArrayLike,
    width: int,
    *,
    weight_decay: float = 3e-3,
    learning_rate: float = 0.3,
    steps: Sequence[int] = (0, 10, 30, 100, 300, 1000, 3000),
    noise: Sequence[float] = (0.05, 0.3),
    longest_step: float = 0.1,
    tolerance: float = 1e-9,
    max_iter: int = 300,
    seed: SeedLike = None,
    progress: Progress = False,
) -> xr.Dataset:
    r"""Find stationary points of the loss of a network with one hidden layer, from points along its training.

        f(x) = sum_j a_j tanh(w_j.x + b_j) + c,   L = (1 / 2n) sum (f - y)^2 + (weight_decay / 2) |parameters|^2

    Descent with full batches gives the points, noise is added to them, and Newton's steps of limited length lead to a
    stationary point.  Hessians are exact.  Without weight decay many points are degenerate or at infinity; with longer
    steps most searches end where all parameters but c vanish, with one negative eigenvalue for each hidden unit.

    Parameters
    ----------
    inputs : array, shape (n, n_inputs)
        x.
    labels : array, shape (n,)
        y, numbers.
    width : int >= 1
        Hidden units.
    weight_decay : float >= 0
        Penalty.
    learning_rate : float > 0
        Of the descent.
    steps : sequence of int >= 0
        Where searches start.
    noise : sequence of float >= 0
        Standard deviation of what is added to a parameter, in units of their root mean square.
    longest_step : float > 0
        Of a search, in units of the norm of the parameters at its start.
    tolerance : float > 0
        Of the root mean square of the gradient.
    max_iter : int >= 1
        Steps of a search.
    seed : int, SeedSequence, Generator or None
        Of initial weights and noise.
    progress : bool or callable(done, total)
        Of searches.

    Returns
    -------
    xarray.Dataset
        Along ``step`` and ``noise``: ``start_loss`` on the path; of the point ``loss`` L, ``index``, the fraction of
        eigenvalues of the Hessian below -1e-8 of the largest, ``smallest_eigenvalue``, ``norm`` of the parameters,
        ``residual`` and ``converged``.  NaN where no point was found.

    Warns
    -----
    ConvergenceWarning
        If more than nine tenths of the searches found none.

    Notes
    -----
    A step of a search costs n P^2 and an eigenvalue problem, P = width (n_inputs + 2) + 1.

    Examples
    --------
    >>> import numpy as np
    >>> from deepglass.learning import network_stationary_points
    >>> rng = np.random.default_rng(1)
    >>> found = network_stationary_points(rng.normal(size=(40, 3)), rng.choice([-1.0, 1.0], 40), 3, seed=1)
    >>> bool(found.converged.any() & (found.residual.where(found.converged).max() < 1e-9))
    True
    """
    import xarray as xr

    x = finite_matrix("inputs", inputs)
    y = np.asarray(labels, dtype=float)
    if y.shape != (len(x),) or not np.isfinite(y).all():
        raise ValueError(f"labels must be {len(x)} finite numbers, got shape {y.shape}")
    width = integer("width", width, 1, 2**16)
    weight_decay = number("weight_decay", weight_decay, ">= 0", lambda value: value >= 0.0)
    learning_rate = number("learning_rate", learning_rate, "> 0", lambda value: value > 0.0)
    wanted = sorted({integer("steps", step, 0, 2**31) for step in steps})
    levels = [number("noise", level, ">= 0", lambda value: value >= 0.0) for level in noise]
    if not wanted or not levels:
        raise ValueError(f"steps and noise must not be empty, got {steps!r} and {noise!r}")
    longest_step = number("longest_step", longest_step, "> 0", lambda value: value > 0.0)
    tolerance = number("tolerance", tolerance, "> 0", lambda value: value > 0.0)
    max_iter = integer("max_iter", max_iter, 1, 2**31)
    entropy = seed_entropy(seed)
    rng = np.random.default_rng(entropy)

    loss = _Loss(x, y, width, weight_decay)
    shape = len(wanted), len(levels)
    names = ("start_loss", "residual", "loss", "index", "smallest_eigenvalue", "norm")
    table = {name: np.full(shape, np.nan) for name in names}
    converged = np.zeros(shape, dtype=bool)
    w = loss.initial(rng)
    with reporting(progress, "stationary points") as report:
        for step in range(wanted[-1] + 1):
            if step in wanted:
                i = wanted.index(step)
                for k, level in enumerate(levels):
                    start = w + level * np.sqrt(np.mean(w * w)) * rng.standard_normal(w.size)
                    longest = longest_step * float(np.linalg.norm(start))
                    point = search(start, loss.derivatives, longest=longest, tolerance=tolerance, max_iter=max_iter)
                    converged[i, k] = point.converged
                    row = [loss(w), point.residual]
                    if point.converged:
                        h = np.linalg.eigvalsh(loss.derivatives(point.x)[1])
                        negative = np.mean(h < -_NEGATIVE * np.abs(h).max())
                        row += [loss(point.x), float(negative), h[0], float(np.linalg.norm(point.x))]
                    for name, value in zip(names, row, strict=False):
                        table[name][i, k] = value
                    report(i * len(levels) + k + 1, len(wanted) * len(levels))
            w = w - learning_rate * loss.gradient(w)
    if 10 * converged.sum() < converged.size:
        warn(f"{np.sum(~converged)} of {converged.size} searches found no stationary point", ConvergenceWarning)
    dims = ("step", "noise")
    return xr.Dataset(
        {name: (dims, values) for name, values in table.items()} | {"converged": (dims, converged)},
        {"step": wanted, "noise": levels},
        provenance(
            "deepglass.learning.network_stationary_points",
            {
                "width": width, "weight_decay": weight_decay, "learning_rate": learning_rate,
                "longest_step": longest_step, "tolerance": tolerance, "max_iter": max_iter,
            },
            entropy,
        ),
    )  # fmt: skip


class _Loss:
    """Squared loss of a network with one hidden layer of tanh; parameters: rows (w_j, b_j), then a, then c."""

    def __init__(self, x: Array, y: Array, width: int, weight_decay: float) -> None:
        self.x, self.y = np.column_stack([x, np.ones(len(x))]), y
        self.width, self.weight_decay = width, weight_decay

    def initial(self, rng: np.random.Generator) -> Array:
        """Weights of variance 1 / fan-in, no biases."""
        fan_in = self.x.shape[1] - 1
        rows = np.column_stack(
            [rng.standard_normal((self.width, fan_in)) / np.sqrt(fan_in), np.zeros(self.width)]
        )  # fmt: skip
        return np.concatenate([rows.ravel(), rng.standard_normal(self.width) / np.sqrt(self.width), [0.0]])

    def _forward(self, w: Array) -> tuple[Array, Array, Array]:
        """Hidden layer, its weights a, deviations (f - y) / n."""
        rows, a, c = np.split(w, [w.size - self.width - 1, w.size - 1])
        hidden = np.tanh(self.x @ rows.reshape(self.width, -1).T)
        return hidden, a, (hidden @ a + c - self.y) / len(self.y)

    def __call__(self, w: Array) -> float:
        r = self._forward(w)[2]
        return float(0.5 * len(r) * (r @ r) + 0.5 * self.weight_decay * (w @ w))

    def gradient(self, w: Array) -> Array:
        """Of the loss."""
        hidden, a, r = self._forward(w)
        fields = ((1.0 - hidden**2) * a * r[:, np.newaxis]).T @ self.x
        return np.concatenate([fields.ravel(), hidden.T @ r, [r.sum()]]) + self.weight_decay * w

    def derivatives(self, w: Array) -> tuple[Array, Array]:
        """Gradient and Hessian."""
        hidden, a, r = self._forward(w)
        slope = 1.0 - hidden**2
        jacobian = np.concatenate(
            [((slope * a)[:, :, np.newaxis] * self.x[:, np.newaxis]).reshape(len(r), -1), hidden, np.ones((len(r), 1))],
            axis=1,
        )
        hessian = jacobian.T @ jacobian / len(r) + self.weight_decay * np.eye(w.size)
        for j in range(self.width):
            own = slice(j * self.x.shape[1], (j + 1) * self.x.shape[1])
            hessian[own, own] -= (self.x.T * (2.0 * a[j] * r * hidden[:, j] * slope[:, j])) @ self.x
            mixed = self.x.T @ (r * slope[:, j])
            last = w.size - self.width - 1 + j
            hessian[own, last] += mixed
            hessian[last, own] += mixed
        return jacobian.T @ r + self.weight_decay * w, hessian
