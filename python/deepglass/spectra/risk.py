"""Test error of ridge regression on features of wide networks: samples, units and inputs alike many."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._check import choice, number
from ..io import provenance
from ..meanfield import Activation
from .measures import Measure
from .networks import _kernel_arguments, _normalised

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ridge_risk"]

Array = NDArray[np.float64]
Vector = NDArray[Any]  # float64, or complex128 whose imaginary part is a first-order change

_STEP = 1e-30  # of derivatives by a complex step: exact, no difference is taken
_POINTS = 64  # on a circle to whose centre no singularity is nearer than twice its radius: 2^-64
_MAX_ITER = 1000
_LARGEST = 3.0  # step of a logarithm
_TOLERANCE = 1e-14


def ridge_risk(
    activation: str | Activation,
    ratios: float | Sequence[float],
    input_spectrum: Measure,
    ridge: float | ArrayLike,
    *,
    trained: str = "last",
    signal: float = 1.0,
    noise: float = 0.0,
) -> xr.Dataset:
    """Give the error of ridge regression with a deep random network, on training and on new samples.

    Targets y = beta.x + noise of n inputs x of unit norm are fitted by K(x', X) (K + ridge)^{-1} y, K the conjugate
    kernel X_L^T X_L of random features (only the last layer is trained) or the tangent kernel (all layers, in the
    linear regime), with n / d_l -> ratio_l fixed.  beta is random, E (beta.x)^2 = signal; what is not linear in a
    target acts as noise.  With z = ridge, or ridge + r for the tangent kernel,

        m = tr (K + z)^{-1} / n,  h = tr X_0^T X_0 (K + z)^{-1} / n,
        test error = -(signal dh/dz + noise dm/dz) / m^2,  training error = (ridge m)^2 test error,

    K = X_L^T X_L + sum_{l<L} q_l X_l^T X_l, m and h by the recursions of Z. Fan and Z. Wang (arXiv:2005.11879); the
    rest of the tangent kernel, r = sum_{l<L} (a^(L-l) - b^(2(L-l))), is a multiple of 1 and joins the ridge: see
    `ntk_spectrum`.  (Generalised cross validation is exact in the limit: features with given weights act as Gaussian
    ones.)

    Parameters
    ----------
    activation : str or Activation
        Centred, E phi(h) = 0, with E phi(h)^2 = 1: see ``Activation.normalised``.  E phi' must not be 0.
    ratios : sequence of float > 0
        n/d_1, ..., n/d_L of the hidden layers; none: regression on the inputs themselves.
    input_spectrum : Measure
        Spectrum of the n x n matrix X_0^T X_0 of inputs of unit norm (mean 1): `MarchenkoPastur` of n/d_0 for inputs
        with independent components, or `FromEigenvalues` of data.
    ridge : float or array_like of float > 0, shape (n_ridges,)
        For the tangent kernel 0 is allowed, where r > 0.
    trained : {"last", "all"}
        The last layer only (conjugate kernel), or all layers (tangent kernel).
    signal, noise : float >= 0
        Variances of beta.x and of the noise.

    Returns
    -------
    xarray.Dataset
        By ``ridge``: ``test_error``, of new targets with their noise; ``bias`` (proportional to the signal; training
        samples and weights fluctuate) and ``variance`` (to the noise), whose sum ``risk`` is test_error - noise;
        ``training_error``; ``degrees_of_freedom`` = tr K (K + ridge)^{-1} / n; ``effective_ridge`` = 1 / m.

    Raises
    ------
    ValueError
        Arguments out of range; a ridge of 0 where the kernel may be singular.
    NumericalError
        If the equations are not solved to 1e-12.

    Notes
    -----
    One layer of features: S. Mei and A. Montanari, Commun. Pure Appl. Math. 75, 667 (2022); several: D. Schroeder,
    H. Cui, D. Dmitriev and B. Loureiro (2023); no hidden layer: T. Hastie, A. Montanari, S. Rosset and R. Tibshirani,
    Ann. Statist. 50, 949 (2022).  About 1e-12 for ridges from 1e-8 to 1e3, some ms for each.

    Finite n differ by order 1/n; those of the tangent kernel by much more where a is much larger than b^2.

    Examples
    --------
    >>> import deepglass as dg
    >>> tanh = dg.meanfield.activation("tanh").normalised()
    >>> inputs = dg.spectra.MarchenkoPastur(2.0)  # twice as many samples as dimensions
    >>> # half as many, as many, twice as many features as samples: double descent
    >>> [round(float(dg.spectra.ridge_risk(tanh, [r], inputs, 1e-6, noise=0.1).risk), 4) for r in (2.0, 1.0, 0.5)]
    [0.5771, 29.9474, 0.2506]
    """
    import xarray as xr

    phi, b, a = _normalised(activation)
    if b == 0.0:
        raise ValueError(f"activation must have E phi' other than 0, {phi.name} has 0: nothing of the signal is left")
    gamma, _ = _kernel_arguments("ridge_risk", ratios if np.size(ratios) else 1.0, input_spectrum)
    gamma = gamma[: np.size(ratios)]
    tangent = choice("trained", trained, ["last", "all"]) == "all"
    signal, noise = (
        number(name, value, "a finite number >= 0", lambda v: v >= 0.0)
        for name, value in (("signal", signal), ("noise", noise))
    )
    depth, b2 = len(gamma), b * b
    layers = np.arange(depth)
    factors = np.append(b2 ** (depth - layers) if tangent else np.zeros(depth), 1.0)
    shift = float(np.sum(a ** (depth - layers) - b2 ** (depth - layers))) if tangent else 0.0
    ridges = np.atleast_1d(np.asarray(ridge, dtype=np.float64))
    low = "a number >= 0" if shift > 0.0 else "a number > 0"
    if ridges.ndim != 1 or ridges.size == 0 or not ((ridges >= 0.0) & (ridges + shift > 0.0) & (ridges < np.inf)).all():
        raise ValueError(f"ridge must be {low}, or several of them, got {ridge!r}")
    inputs = _Transform(input_spectrum)
    traces = np.array([_Resolvent(gamma, b2, inputs, factors).traces(one + shift) for one in ridges])
    m, dm, dh = traces.T
    share = -dm / m**2 * noise
    bias = -dh / m**2 * signal
    result = {
        "test_error": bias + share,
        "bias": bias,
        "variance": share - noise,
        "risk": bias + share - noise,
        "training_error": ridges**2 * m**2 * (bias + share),
        "degrees_of_freedom": 1.0 - ridges * m,
        "effective_ridge": 1.0 / m,
    }
    parameters = {
        "activation": phi.name,
        "ratios": gamma,
        "input_spectrum": repr(input_spectrum),
        "trained": trained,
        "signal": signal,
        "noise": noise,
    }
    scalar = np.ndim(ridge) == 0
    return xr.Dataset(
        {name: value[0] if scalar else ("ridge", value) for name, value in result.items()},
        {"ridge": ridges[0] if scalar else ridges},
        provenance("deepglass.spectra.ridge_risk", parameters),
    )


class _Transform:
    """int dmu(x) / (x + rho) for rho > 0, with its derivative."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._begin = max(0.0, min([*measure.support()[:, 0], *(atom.position for atom in measure.atoms)]))
        self._known = functools.lru_cache(maxsize=8)(self._at)

    def __call__(self, rho: complex) -> complex:
        value, slope = self._known(rho.real)
        return complex(value, slope * rho.imag)

    def _at(self, rho: float) -> tuple[float, float]:
        """Cauchy's formulas on a circle around -rho."""
        radius = 0.5 * (self._begin + rho)
        angle = 2.0 * np.pi * (np.arange(_POINTS // 2) + 0.5) / _POINTS  # the other half is the mirror image
        values = self._measure.stieltjes(-rho + radius * np.exp(1j * angle), threads=1)
        return float(np.mean(values.real)), -float(np.mean((values * np.exp(-1j * angle)).real)) / radius


class _Resolvent:
    """Traces of K + z, K = sum_l factor_l X_l^T X_l, at z > 0: real unknowns s_1 .. s_L > 0.

    With vectors (z_{-1}, .., z_l) of each level, z^L = (z, factors), and t_l(z, w) = tr (w_{-1} + sum_k w_k X_k^T X_k)
    (z_{-1} + sum_k z_k X_k^T X_k)^{-1} / n,

        z^{l-1} = (z_{-1} + (1 - b^2)/s_l, z_0, .., z_{l-1} + b^2/s_l)   of z^l
        s_l = 1/z_l + ratio_l t_{l-1}(z^{l-1}, (1 - b^2, 0, .., 0, b^2)).
    """

    def __init__(self, ratios: Array, b2: float, inputs: Callable[[complex], complex], factors: Array) -> None:
        self._ratios, self._b2, self._inputs, self._factors = ratios, b2, inputs, factors

    def traces(self, z: float) -> tuple[float, float, float]:
        """Give m, dm/dz and dh/dz."""
        logs = self._solved(z)
        depth = len(logs)
        moves: Array = np.zeros(depth)  # d ln s / dz
        if depth:
            jacobian = self._jacobian(z, logs)
            by_z = self._image(z + 1j * _STEP, np.exp(logs)).imag / _STEP
            moves = np.asarray(np.linalg.solve(np.eye(depth) - jacobian, by_z), np.float64)
        levels = self._levels(z + 1j * _STEP, np.exp(logs + 1j * _STEP * moves))
        one, gram = np.zeros(depth + 2), np.zeros(depth + 2)
        one[0], gram[1] = 1.0, 1.0
        m, h = self._trace(levels, depth, one), self._trace(levels, depth, gram)
        return m.real, m.imag / _STEP, h.imag / _STEP

    def _levels(self, z: complex, s: Vector) -> list[Vector]:
        """z^0 .. z^L."""
        levels: list[Vector] = [np.append(z, self._factors).astype(np.result_type(z, s))]
        for level in range(len(s), 0, -1):
            before = levels[-1][:-1].copy()
            before[0] += (1.0 - self._b2) / s[level - 1]
            before[-1] += self._b2 / s[level - 1]
            levels.append(before)
        return levels[::-1]

    def _trace(self, levels: list[Vector], level: int, w: Vector) -> complex:
        """t_l(z^l, w)."""
        total = 0j
        for at in range(level, 0, -1):
            last = w[-1] / levels[at][-1]
            total += last
            w = w[:-1] - last * levels[at][:-1]
        shift, factor = levels[0]
        rho = complex(shift / factor)
        transform = self._inputs(rho)
        return complex(total + (w[0] * transform + w[1] * (1.0 - rho * transform)) / factor)

    def _image(self, z: complex, s: Vector) -> Vector:
        """Logarithms of the right-hand sides of the equations for s."""
        levels, found = self._levels(z, s), []
        for level, ratio in enumerate(self._ratios, start=1):
            w = np.zeros(level + 1)
            w[0] += 1.0 - self._b2
            w[-1] += self._b2
            found.append(1.0 / levels[level][-1] + ratio * self._trace(levels, level - 1, w))
        logs: Vector = np.log(np.array(found))
        return logs

    def _jacobian(self, z: float, logs: Array) -> Array:
        steps = 1j * _STEP * np.eye(len(logs))
        columns = [self._image(z, np.exp(logs + step)).imag / _STEP for step in steps]
        return np.column_stack(columns)

    def _solved(self, z: float) -> Array:
        """Logarithms of s: Newton's method; where it does not bring them nearer, the equations as a map, which does."""
        logs = np.zeros(len(self._ratios))
        if not len(logs):
            return logs
        for level in range(len(logs), 0, -1):  # from below, s_l = 1/z_l
            logs[level - 1] = -math.log(self._levels(z, np.exp(logs))[level][-1])
        rest = self._image(z, np.exp(logs)).real - logs
        for _ in range(_MAX_ITER):
            if np.abs(rest).max() < _TOLERANCE:
                break
            step = np.linalg.solve(np.eye(len(logs)) - self._jacobian(z, logs), rest)
            moved = logs + np.clip(step, -_LARGEST, _LARGEST)
            after = self._image(z, np.exp(moved)).real - moved
            if not np.abs(after).max() < np.abs(rest).max():
                if np.abs(rest).max() < 100 * _TOLERANCE:  # rounding
                    break
                moved = logs + rest
                after = self._image(z, np.exp(moved)).real - moved
            logs, rest = moved, after
        if not np.abs(rest).max() < 1e-12:
            raise _core.NumericalError(f"ridge_risk: no solution at ridge {z:g}, residual {np.abs(rest).max():.1e}")
        return logs
