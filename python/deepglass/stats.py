"""Errors of Monte Carlo series: the Gamma method, autocorrelation times, jackknife, R-hat.

A series is what a simulation wrote down draw by draw: shape (n_draws,), or (n_chains, n_draws) for independent
chains of the same system, or a list of chains of different lengths.  Its mean has the error of

    error^2 = 2 tau_int Gamma(0) / N,    tau_int = 1/2 + sum_{t >= 1} Gamma(t) / Gamma(0),

with Gamma(t) the autocovariance at lag t and N the number of draws of all chains.  In this convention (Wolff;
Madras and Sokal) independent draws have tau_int = 1/2.  The other convention in use, 1 + 2 sum_t rho(t), is
`Estimate.inefficiency`.  Draws must be thermalised and equally spaced.

The unit of disorder averages is the instance: average a chain first, then use `mean_over_instances`.
"""

from __future__ import annotations

import dataclasses
import decimal
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import integer, number
from ._warnings import ConvergenceWarning, warn

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Estimate",
    "autocorrelation",
    "gamma_method",
    "gamma_method_derived",
    "jackknife",
    "mean_over_instances",
    "rhat",
    "summary",
    "to_arviz",
    "to_pyerrors",
]

Array: TypeAlias = NDArray[np.float64]
Series: TypeAlias = ArrayLike | Sequence[ArrayLike]

_MIN_DRAWS = 4  # a window of one lag needs Gamma(0), Gamma(1), and Gamma is known up to half of a chain
_MIN_EFFECTIVE = 10.0  # a rho that does not decay at all comes out as 6 of them (s = 2): the window ends at 0.09 N
_CHUNK = 2**21  # numbers of a data set that are transformed at a time
_DECIMAL = decimal.Context(prec=800)  # more than the digits between the largest and the smallest float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean with its statistical error; prints as 0.8412(7).

    The digits in parentheses are the error in units of the last digits of the value.  The error has one digit,
    or two where the first is 1: 0.8412(7), 0.841(12); an error of 0.0996 becomes 0.10 and prints as (10).  An
    error above 1 that has a decimal point is written with it, 12.3(1.4); from 10 on the value is rounded to
    the same place, 1230(20).  ``format(estimate, ".2")`` asks for two digits, ``">12"`` aligns.

    Parameters
    ----------
    value : float
        The estimate, in most cases a mean over all draws.
    error : float >= 0
        Its standard error, autocorrelations included.
    tau_int : float
        Integrated autocorrelation time in draws, 1/2 + sum_{t >= 1} rho(t): 1/2 for independent draws.
        NaN where it was not measured.
    n_effective : float
        Number of independent draws that would give the same error, N / (2 tau_int).
    tau_int_error : float
        Standard error of `tau_int`.
    window : int
        Lag at which the sum over rho(t) was ended.
    converged : bool
        False where the series does not allow to measure `tau_int`; the error is then a guess.

    Examples
    --------
    >>> print(Estimate(0.84123, 0.00068), Estimate(0.84123, 0.0123), Estimate(1234.5, 23.0))
    0.8412(7) 0.841(12) 1230(20)
    >>> f"{Estimate(0.84123, 0.00068):.2}"
    '0.84123(68)'
    >>> Estimate(0.8, 0.1).pull(0.6)
    2.0...
    """

    value: float
    error: float
    tau_int: float = math.nan
    n_effective: float = math.nan
    tau_int_error: float = math.nan
    window: int = 0
    converged: bool = True

    def __post_init__(self) -> None:
        if self.error < 0:
            raise ValueError(f"error must be >= 0, got {self.error!r}")

    @property
    def inefficiency(self) -> float:
        """Statistical inefficiency 1 + 2 sum_{t >= 1} rho(t) = 2 tau_int: draws for one independent draw.

        Some of the literature and of the programs call this number the integrated autocorrelation time.
        """
        return 2 * self.tau_int

    def pull(self, reference: float) -> float:
        """Distance from an exact value in standard errors, (value - reference) / error."""
        distance = float(self.value) - float(reference)
        if self.error == 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / float(self.error)

    def __str__(self) -> str:
        return _with_error(float(self.value), float(self.error), None)

    def __format__(self, spec: str) -> str:
        parts = re.fullmatch(r"(.*?)(?:\.([1-9]\d?))?", spec, re.S)
        assert parts is not None
        return format(_with_error(float(self.value), float(self.error), int(parts[2]) if parts[2] else None), parts[1])


def gamma_method(series: Series, *, s: float = 2.0) -> Estimate:
    """Mean of a series, its error and its integrated autocorrelation time.

    The autocovariance is estimated by eq. (31) of U. Wolff, Comput. Phys. Commun. 156, 143 (2004),

        Gamma(t) = sum_r sum_i (a_r(i) - mean) (a_r(i + t) - mean) / sum_r (N_r - t),

    about the mean of all chains r (so chains that disagree enlarge the error), and summed up to the window W,
    the first lag with  exp(-W / tau) - tau / sqrt(W N) < 0,  where tau = s / log((2 tau_int(W) + 1) /
    (2 tau_int(W) - 1)) (section 3.3).  That the mean is not known but taken from the series lowers Gamma by
    2 tau_int Gamma(0) / N at each lag; this is put back (eq. 49), in the sum and in Gamma(0).

    Parameters
    ----------
    series : array, shape (n_draws,) or (n_chains, n_draws), or list of arrays of shape (n_draws,)
        Draws of one observable; chains are independent and may differ in length, at least 4 draws each.
    s : float > 0
        Assumed ratio of exponential and integrated autocorrelation time: larger values give a longer window,
        less bias and more noise.  1 to 2 is usual.

    Returns
    -------
    Estimate
        A constant series has error 0 and tau_int 1/2.  Where there are fewer than 10 effective draws, or the
        window reaches half of the longest chain, or anticorrelations leave no positive error (it is then the
        one of independent draws), ``converged`` is False and a ConvergenceWarning is issued.

    Notes
    -----
    One Fourier transform a chain, cost N log N.  Where tau_int(W) < 1/2 (anticorrelated draws, as HMC can
    make) the window is found from the sum of abs(rho), which has the same decay time; Wolff would end there.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> series = np.convolve(rng.standard_normal(10009), np.full(10, 0.1), "valid")  # tau_int = 10/2
    >>> estimate = gamma_method(series)
    >>> print(estimate, f"{estimate.tau_int:.1f} +- {estimate.tau_int_error:.1f}")
    -0.011(9) 4.6 +- 0.5
    """
    chains = _chains("series", series)
    analysis = _analyse([chain[np.newaxis] for chain in chains], _window_factor(s))
    _warn(analysis, "series")
    return _estimate(analysis)


def gamma_method_derived(function: Callable[..., float], series_list: Sequence[Series], *, s: float = 2.0) -> Estimate:
    """Function of the means of several series measured in the same run, with the error from all correlations.

    To first order in the deviations the error of f(mean_1, ..., mean_k) is the one of the mean of the series
    sum_a f_a a(i), with f_a the derivatives of f, here from differences over 2 h_a with h_a =
    sqrt(Gamma_aa(0) / N) (Wolff, as for `gamma_method`).  With R > 1 chains of N_r draws the bias of order 1/N is
    taken off by the jackknife over chains, which keeps away from a pole of f that single chains might meet:
    value = R f(means) - sum_r (1 - N_r / N) f(means without chain r).

    Parameters
    ----------
    function : callable(mean_1, ..., mean_k) -> float
        Smooth within the errors of the means.
    series_list : sequence of k series
        As for `gamma_method`; draw i of all of them is of the same configuration.
    s : float > 0
        See `gamma_method`.

    Returns
    -------
    Estimate
        Where the first order vanishes the error comes out as 0.

    Examples
    --------
    The susceptibility from the moments of a magnetisation.

    >>> m = np.random.default_rng(1).standard_normal((2, 5000))
    >>> print(gamma_method_derived(lambda first, second: second - first**2, [m, m**2]))
    0.997(14)
    """
    if not isinstance(series_list, (list, tuple)) or not series_list:
        raise ValueError(f"series_list must be a list of series, got {series_list!r}")
    columns = [_chains(f"series_list[{index}]", series) for index, series in enumerate(series_list)]
    lengths = [len(chain) for chain in columns[0]]
    for index, column in enumerate(columns):
        if [len(chain) for chain in column] != lengths:
            raise ValueError(
                f"series_list[{index}] must have chains of {lengths} draws as series_list[0],"
                f" got {[len(chain) for chain in column]}"
            )
    chains = [np.stack(rows) for rows in zip(*columns, strict=True)]
    n = sum(lengths)
    deltas, means, unit = _deviations(chains)
    step = unit * np.sqrt(np.sum([(delta**2).sum(axis=1) for delta in deltas], axis=0)) / n

    def evaluate(point: Array) -> float:
        result = float(function(*map(float, point)))
        if not math.isfinite(result):
            raise ValueError(f"function must be finite at and around the means, got {result} at {point}")
        return result

    slope = np.zeros(len(means))
    for index, shift in enumerate(np.diag(step)):
        if step[index] > 0:  # a constant series has no error to pass on
            slope[index] = (evaluate(means + shift) - evaluate(means - shift)) / (2 * step[index])
    value = evaluate(means)
    if len(chains) > 1:
        value = len(chains) * value - sum(
            (1 - len(chain.T) / n) * evaluate((n * means - chain.sum(axis=1)) / (n - len(chain.T))) for chain in chains
        )
    projected = [((slope * unit) @ delta)[np.newaxis] for delta in deltas]
    analysis = _analyse(projected, _window_factor(s))
    _warn(analysis, "series_list")
    return dataclasses.replace(_estimate(analysis), value=value)


def summary(data: xr.Dataset | xr.DataArray, *, chain: str = "chain", draw: str = "draw", s: float = 2.0) -> xr.Dataset:
    """Gamma method for every entry of a data set of Monte Carlo series.

    Parameters
    ----------
    data : xarray.Dataset or xarray.DataArray
        Series along the dimension `draw` and, if present, independent ones along `chain`; each point of the
        other dimensions is an observable of its own.  Variables of a Dataset without `draw` are left out.
    chain, draw : str
        Names of the two dimensions.
    s : float > 0
        See `gamma_method`.

    Returns
    -------
    xarray.Dataset
        Without the dimensions `chain` and `draw`.  Of a DataArray: ``value``, ``error``, ``tau_int``,
        ``tau_int_error``, ``n_effective``, ``window`` and ``converged``, as in `Estimate`.  Of a Dataset: for
        each variable, say ``energy``, the same as ``energy``, ``energy_error``, ``energy_tau_int`` and so on.

    Notes
    -----
    Transforms a few million numbers at a time, so the memory needed beyond `data` is some 100 MB.

    Examples
    --------
    >>> import xarray as xr
    >>> draws = np.random.default_rng(1).standard_normal((4, 1000, 3)) + [0.0, 1.0, 2.0]
    >>> data = xr.Dataset({"energy": (("chain", "draw", "layer"), draws)})
    >>> result = summary(data)
    >>> result["energy"].values.round(2), result["energy_error"].values.round(3)
    (array([0.01, 0.98, 1.97]), array([0.015, 0.016, 0.015]))
    """
    import xarray as xr

    from .io import provenance

    factor = _window_factor(s)
    single = isinstance(data, xr.DataArray)
    if not single and not isinstance(data, xr.Dataset):
        raise ValueError(f"data must be an xarray.Dataset or xarray.DataArray, got {type(data).__name__}")
    variables = {"": data} if single else {str(name): data[name] for name in data.data_vars if draw in data[name].dims}
    if not variables or any(draw not in variable.dims for variable in variables.values()):
        raise ValueError(f"data must have the dimension {draw!r}, got {tuple(map(str, data.dims))}")
    result: dict[str, xr.DataArray] = {}
    failed = 0
    for name, variable in variables.items():
        where = f"data[{name!r}]" if name else "data"
        if chain not in variable.dims:
            variable = variable.expand_dims(chain)
        others = [dim for dim in variable.dims if dim not in (chain, draw)]
        analysis = _analyse_array(where, variable.transpose(chain, draw, *others).to_numpy(), factor)
        failed += int(np.sum(~analysis.converged))
        coords = {key: value for key, value in variable.coords.items() if not {chain, draw} & {*value.dims, key}}
        shape = [variable.sizes[dim] for dim in others]
        for field in _Analysis._fields:
            label = f"{name}_{field}" if name and field != "value" else name or field
            if label in result:
                raise ValueError(f"data must not have variables whose names lead to {label!r} twice")
            result[label] = xr.DataArray(getattr(analysis, field).reshape(shape), dims=others, coords=coords)
            result[label].attrs["long_name"] = f"{name} {_LONG_NAMES[field]}".lstrip()
            if "units" in variable.attrs and field in ("value", "error"):
                result[label].attrs["units"] = variable.attrs["units"]
    _warn_failed(failed, "data")
    parameters = {"data": data.attrs.get("parameters", "given"), "chain": chain, "draw": draw, "s": factor}
    return xr.Dataset(result, attrs=provenance("deepglass.stats.summary", parameters))


def autocorrelation(series: Series, *, n_lags: int | None = None, s: float = 2.0) -> xr.Dataset:
    """Normalised autocorrelation function rho(t) = Gamma(t) / Gamma(0), its error and its running sum.

    The squared error of rho(t) is  sum_{k >= 1} (rho(k + t) + rho(k - t) - 2 rho(k) rho(t))^2 / n_pairs,
    n_pairs being the number of draws at distance t (N. Madras, A. Sokal, J. Stat. Phys. 50, 109 (1988); in this
    form M. Luescher, Comput. Phys. Commun. 165, 199 (2005), eq. E.11, with N instead of n_pairs).  Beyond the
    window rho is noise and counts as 0 in that sum.

    Parameters
    ----------
    series : array, shape (n_draws,) or (n_chains, n_draws), or list of arrays of shape (n_draws,)
        As for `gamma_method`.
    n_lags : int, optional
        Number of lags t = 0, 1, ...; all up to half of the longest chain by default.
    s : float > 0
        See `gamma_method`.

    Returns
    -------
    xarray.Dataset
        ``autocorrelation``, ``autocorrelation_error``, ``tau_int`` (1/2 + the sum of rho up to that lag) and
        ``tau_int_error`` (Wolff, eq. 42), all with dim ``lag``; the scalars ``window``, at which ``tau_int`` is
        the one of `gamma_method`, and ``converged``.  A constant series has rho(t) = 0 for t > 0.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> series = np.convolve(rng.standard_normal(10003), np.full(4, 0.25), "valid")  # rho(t) = 1 - t/4
    >>> autocorrelation(series, n_lags=5)["autocorrelation"].values.round(1)
    array([ 1. ,  0.7...,  0.5,  0.2...,  ...0. ])
    """
    import xarray as xr

    from .io import provenance

    factor = _window_factor(s)
    chains = _chains("series", series)
    most = max(map(len, chains)) // 2
    n_lags = most if n_lags is None else integer("n_lags", n_lags, 1, most)
    deltas, _, _ = _deviations([chain[np.newaxis] for chain in chains])
    gamma = _autocovariance(deltas)
    analysis = _analyse([chain[np.newaxis] for chain in chains], factor)
    _warn(analysis, "series")
    window, n = int(analysis.window[0]), sum(map(len, chains))
    if gamma[0, 0] > 0:
        rho = gamma[0] / gamma[0, 0]
        excess = (2 * rho[: window + 1].sum() - 1) / n  # what the unknown mean takes from each rho(t)
        rho = (rho + excess) / (1 + excess)
    else:
        rho = np.zeros(most)
        rho[0] = 1.0
    lag = np.arange(n_lags)
    pairs = sum(np.maximum(len(chain) - lag, 0) for chain in chains)
    inside = np.zeros(3 * window + 1)  # rho up to the window, zero beyond
    inside[: window + 1] = rho[: window + 1]
    variance = np.full(n_lags, 2 * np.sum(inside**2) - 1)  # beyond the window rho(k - t) alone is left
    for t in range(min(window + 1, n_lags)):
        k = np.arange(1, t + window + 1)
        variance[t] = np.sum((inside[k + t] + inside[np.abs(k - t)] - 2 * inside[k] * inside[t]) ** 2)
    variance *= gamma[0, 0] > 0
    tau = np.cumsum(rho[:n_lags]) - 0.5
    columns = {
        "autocorrelation": (rho[:n_lags], "autocorrelation rho"),
        "autocorrelation_error": (np.sqrt(variance / pairs), "standard error of rho"),
        "tau_int": (tau, "integrated autocorrelation time"),
        "tau_int_error": (_tau_error(tau, lag, n), "standard error of tau_int"),
    }
    dataset = xr.Dataset(
        {name: ("lag", values, {"long_name": text}) for name, (values, text) in columns.items()},
        coords={"lag": lag},
        attrs=provenance("deepglass.stats.autocorrelation", {"series": "given", "n_lags": n_lags, "s": factor}),
    )
    return dataset.assign(window=window, converged=bool(analysis.converged[0]))


def jackknife(samples: ArrayLike, function: Callable[[NDArray[Any]], float], *, block_length: int = 1) -> Estimate:
    """Jackknife: any function of the samples, its bias of order 1/n taken off, and its error.

    With f_b the function of all samples but those of block b, of n_blocks blocks,

        value = n_blocks f - (n_blocks - 1) mean(f_b),  error^2 = (n_blocks - 1) / n_blocks sum_b (f_b - mean(f_b))^2.

    Parameters
    ----------
    samples : array, shape (n_samples, ...)
        Independent along the first axis, or correlated over less than `block_length`.
    function : callable(array of shape (n, ...)) -> float
        For example ``np.var``.
    block_length : int
        Neighbours left out together, at most half of the samples; for a Monte Carlo series many times
        tau_int.  What remains of `samples` after the last full block is not used.

    Returns
    -------
    Estimate
        ``n_effective`` is the number of blocks; ``tau_int`` is not measured.

    Notes
    -----
    Calls the function n_blocks + 1 times.

    Examples
    --------
    For the variance the value is the unbiased estimate.

    >>> print(jackknife([1.0, 2.0, 4.0], np.var), np.var([1.0, 2.0, 4.0], ddof=1).round(4))
    2.3(1.2) 2.3333
    """
    array = np.asarray(samples)
    if array.ndim < 1 or len(array) < 2:
        raise ValueError(f"samples must have at least 2 entries along the first axis, got shape {array.shape}")
    block_length = integer("block_length", block_length, 1, len(array) // 2)
    n_blocks = len(array) // block_length
    array = array[: n_blocks * block_length]

    def evaluate(some: NDArray[Any]) -> float:
        result = float(function(some))
        if not math.isfinite(result):
            raise ValueError(f"function must be finite on parts of the samples, got {result}")
        return result

    full = evaluate(array)
    starts = range(0, len(array), block_length)
    parts = [evaluate(np.concatenate([array[:start], array[start + block_length :]])) for start in starts]
    # Relative to f, so that equal parts leave no rounding.
    shifts = np.array(parts) - full
    value = full - (n_blocks - 1) * float(shifts.mean())
    error = math.sqrt((n_blocks - 1) * float(shifts.var()))
    return Estimate(value, error, n_effective=float(n_blocks))


@overload
def mean_over_instances(values: xr.DataArray | xr.Dataset, *, axis: str = "instance") -> xr.Dataset: ...
@overload
def mean_over_instances(values: ArrayLike, *, axis: str = "instance") -> Estimate: ...
def mean_over_instances(
    values: ArrayLike | xr.DataArray | xr.Dataset, *, axis: str = "instance"
) -> Estimate | xr.Dataset:
    """Mean over independent instances (samples of the disorder) and its standard error.

    The error is sqrt(sum (x - mean)^2 / (n (n - 1))).  What each instance contributes should be a mean over
    its own chains; its statistical error is then contained in the scatter.

    Parameters
    ----------
    values : array, shape (n_instances,), or xarray.DataArray or xarray.Dataset with the dimension `axis`
        At least 2 instances.
    axis : str
        Name of that dimension; a plain array has no names and must have one axis.

    Returns
    -------
    Estimate or xarray.Dataset
        Of an array an `Estimate`, with tau_int = 1/2.  Of a DataArray a Dataset without the dimension, with
        ``value``, ``error`` and ``n_effective`` (the number of instances); of a Dataset for each variable that
        has the dimension, say ``energy``, ``energy``, ``energy_error`` and ``energy_n_effective``.

    Examples
    --------
    >>> print(mean_over_instances([0.8, 0.9, 1.0, 0.7]))
    0.85(6)
    """
    if hasattr(values, "dims"):  # xarray, which is not imported for a list of numbers
        return _dataset_over_instances(values, axis)
    array = _real("values", values)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"values must have shape (n_instances,) with n_instances >= 2, got {array.shape}")
    value, error = _mean_and_error(array, 0)
    return Estimate(float(value), float(error), 0.5, float(len(array)))


def rhat(series: ArrayLike) -> float:
    """Rank-normalised split R-hat: 1 where chains agree with one another and with themselves in time.

    The larger one of R-hat for location and of R-hat for scale (draws folded at their median) of
    A. Vehtari et al., Bayesian Anal. 16, 667 (2021); each chain counts as two halves, and draws are replaced by
    normal scores of their ranks, z = Phi^-1((rank - 3/8) / (n + 1/4)).  The authors ask for R-hat < 1.01.

    Parameters
    ----------
    series : array, shape (n_draws,) or (n_chains, n_draws)
        At least 4 draws; of an odd number the one in the middle is left out.

    Returns
    -------
    float
        NaN where all draws are equal; infinite where each half is constant, but they differ.

    Examples
    --------
    >>> draws = np.random.default_rng(1).standard_normal((4, 1000))
    >>> round(rhat(draws), 2), round(rhat(draws + [[0], [0], [0], [1]]), 1)
    (1.0, 1.1)
    """
    from scipy.special import ndtri

    chains = np.stack(_chains("series", _equal_chains(series)))
    half = chains.shape[1] // 2
    halves = np.concatenate([chains[:, :half], chains[:, -half:]])

    def plain(draws: Array) -> float:
        _, inverse, counts = np.unique(draws, return_inverse=True, return_counts=True)
        rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse].reshape(draws.shape)  # ties share their mean rank
        z = ndtri((rank - 0.375) / (draws.size + 0.25))
        within, between = float(z.var(axis=1, ddof=1).mean()), float(z.mean(axis=1).var(ddof=1))
        if len(counts) == 1:
            return math.nan
        if all(len(np.unique(row)) == 1 for row in draws):
            return math.inf
        return math.sqrt((half - 1) / half + between / within)

    return float(np.fmax(plain(halves), plain(np.abs(halves - np.median(halves)))))


def to_pyerrors(series: Series, ensemble_name: str) -> Any:
    """Give the series to pyerrors, for error propagation through what is computed from it.

    Parameters
    ----------
    series : array, shape (n_draws,) or (n_chains, n_draws), or list of arrays of shape (n_draws,)
        As for `gamma_method`, but at least 5 draws a chain.
    ensemble_name : str
        Series of the same run must get the same name, so that their correlations are known.  Chains become
        the replica ``name|r0``, ``name|r1``, ...

    Returns
    -------
    pyerrors.Obs
        Its ``gamma_method()`` agrees with `gamma_method` for one chain, up to terms of order 1/N in tau_int
        and for anticorrelated draws.  Of several, it takes the deviations from the mean of each, where
        `gamma_method` takes them from the mean of all.

    Raises
    ------
    ModuleNotFoundError
        Without pyerrors, which the extra ``stats`` installs.

    Examples
    --------
    >>> draws = np.random.default_rng(1).standard_normal(1000)
    >>> energy = to_pyerrors(draws, "beta=1")  # doctest: +SKIP
    >>> (energy**2).gamma_method()  # doctest: +SKIP
    """
    chains = _chains("series", series, least=5)
    if not isinstance(ensemble_name, str) or not ensemble_name or "|" in ensemble_name:
        raise ValueError(f"ensemble_name must be a text without '|', got {ensemble_name!r}")
    try:
        import pyerrors
    except ModuleNotFoundError as error:
        raise _missing("to_pyerrors", "pyerrors") from error
    names = [f"{ensemble_name}|r{index}" for index in range(len(chains))] if len(chains) > 1 else [ensemble_name]
    return pyerrors.Obs(chains, names)


def to_arviz(dataset: xr.Dataset) -> Any:
    """Give the series of a Monte Carlo data set to ArviZ, as its group ``posterior``.

    Parameters
    ----------
    dataset : xarray.Dataset
        Variables with the dimensions ``chain`` and ``draw`` are passed on, others are left out.

    Returns
    -------
    xarray.DataTree or arviz.InferenceData
        The former from ArviZ 1, the latter from older versions; ``arviz.summary`` and the plots take both.

    Raises
    ------
    ModuleNotFoundError
        Without ArviZ, which the extra ``stats`` installs.

    Examples
    --------
    >>> import xarray as xr
    >>> draws = np.random.default_rng(1).standard_normal((4, 1000))
    >>> data = to_arviz(xr.Dataset({"energy": (("chain", "draw"), draws)}))  # doctest: +SKIP
    """
    try:
        import arviz
    except ModuleNotFoundError as error:
        raise _missing("to_arviz", "arviz") from error
    names = [name for name in dataset.data_vars if {"chain", "draw"} <= set(dataset[name].dims)]
    if not names:
        raise ValueError(f"dataset must have variables with the dimensions chain, draw, got {tuple(dataset.dims)}")
    chosen = dataset[names].transpose("chain", "draw", ...)
    convert = getattr(arviz, "convert_to_datatree", None) or arviz.convert_to_inference_data
    return convert(chosen, group="posterior")


# ---- Checks


def _real(name: str, values: ArrayLike) -> Array:
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be an array of real numbers, got type {array.dtype}")
    array = array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(array))} NaN or infinities")
    return array


def _chains(name: str, series: Series, least: int = _MIN_DRAWS) -> list[Array]:
    """Chains of the series, each of shape (n_draws,)."""
    rows: list[Array]
    if isinstance(series, (list, tuple)) and len(series) and np.ndim(series[0]):
        rows = [_real(f"{name}[{index}]", row) for index, row in enumerate(series)]
        if any(row.ndim != 1 for row in rows):
            raise ValueError(f"{name} must be a list of arrays of shape (n_draws,), got {[row.shape for row in rows]}")
    else:
        array = _real(name, series)  # type: ignore[arg-type]
        if array.ndim not in (1, 2):
            raise ValueError(f"{name} must have shape (n_draws,) or (n_chains, n_draws), got {array.shape}")
        rows = list(np.atleast_2d(array))
    if not rows or min(map(len, rows)) < least:
        raise ValueError(f"{name} must have at least {least} draws in each chain, got {[len(row) for row in rows]}")
    return rows


def _equal_chains(series: ArrayLike) -> ArrayLike:
    if isinstance(series, (list, tuple)) and len({np.shape(row) for row in series}) > 1:
        raise ValueError(f"series must have chains of equal length, got shapes {[np.shape(row) for row in series]}")
    return series


def _window_factor(s: float) -> float:
    return number("s", s, "> 0", lambda x: x > 0)


def _missing(function: str, package: str) -> ModuleNotFoundError:
    message = f"{function} needs {package}, in the extra 'stats': pip install 'deepglass[stats]'"
    return ModuleNotFoundError(message, name=package)


# ---- The Gamma method for k observables at a time; a chain has shape (k, n_draws)


class _Analysis(NamedTuple):
    """Arrays of shape (k,), named and ordered as the fields of Estimate."""

    value: Array
    error: Array
    tau_int: Array
    n_effective: Array
    tau_int_error: Array
    window: NDArray[np.int64]
    converged: NDArray[np.bool_]


_LONG_NAMES = {
    "value": "mean",
    "error": "standard error of the mean",
    "tau_int": "integrated autocorrelation time 1/2 + sum rho",
    "n_effective": "effective number of independent draws",
    "tau_int_error": "standard error of the autocorrelation time",
    "window": "lag at which the sum over rho ends",
    "converged": "autocorrelation time could be measured",
}


def _deviations(chains: list[Array]) -> tuple[list[Array], Array, Array]:
    """Deviations from the mean of all chains, in units of the largest one; the mean; the unit, 0 if constant."""
    low = np.min([chain.min(axis=1) for chain in chains], axis=0)
    high = np.max([chain.max(axis=1) for chain in chains], axis=0)
    mean = np.sum([chain.sum(axis=1) for chain in chains], axis=0) / sum(chain.shape[1] for chain in chains)
    mean = np.clip(mean, low, high)  # rounding; exact for a constant series
    unit = np.maximum(high - mean, mean - low)
    divisor = np.where(unit > 0, unit, 1.0)
    return [(chain - mean[:, np.newaxis]) / divisor[:, np.newaxis] for chain in chains], mean, unit


def _autocovariance(deltas: list[Array]) -> Array:
    """Gamma(t), shape (k, n_lags), for lags up to half of the longest chain; chains that are too short drop out."""
    n_lags = max(delta.shape[1] for delta in deltas) // 2
    total, pairs = np.zeros((len(deltas[0]), n_lags)), np.zeros(n_lags)
    for delta in deltas:
        n = delta.shape[1]
        known = min(n, n_lags)
        size = 1 << (n + known - 2).bit_length()  # zeros enough that no lag wraps round
        power = np.abs(np.fft.rfft(delta, size)) ** 2
        total[:, :known] += np.fft.irfft(power, size)[:, :known]
        pairs[:known] += n - np.arange(known)
    return total / pairs


def _tau_error(tau: Array, window: NDArray[np.int64], n: int) -> Array:
    """Standard error of tau_int, Wolff's eq. (42)."""
    return 2 * np.abs(tau) * np.sqrt(np.maximum(window + 0.5 - tau, 0.0) / n)


def _analyse(chains: list[Array], s: float) -> _Analysis:
    deltas, mean, unit = _deviations(chains)
    n = sum(chain.shape[1] for chain in chains)
    gamma = _autocovariance(deltas)
    variance = gamma[:, 0]
    rho = gamma / np.where(unit > 0, variance, 1.0)[:, np.newaxis]
    tau = np.cumsum(rho, axis=1) - 0.5  # up to each lag
    lag = np.arange(1, gamma.shape[1])
    # Anticorrelations can make tau small while rho decays slowly: the sum of |rho| knows that time.
    decay = np.where(tau > 0.5, tau, np.cumsum(np.abs(rho), axis=1) - 0.5)[:, 1:]
    decay = s / np.log1p(2 / np.maximum(2 * decay - 1, np.finfo(float).eps))
    enough = np.exp(-lag / decay) < decay / np.sqrt(lag * n)
    converged = enough.any(axis=1)
    window = np.where(converged, np.argmax(enough, axis=1) + 1, gamma.shape[1] - 1)
    chosen = np.take_along_axis(tau, window[:, np.newaxis], axis=1)[:, 0]
    # No positive error can be had from such a series: take the one of independent draws.
    hopeless = chosen <= 0
    # Constant: nothing to measure.
    constant = unit == 0
    window = np.where(hopeless | constant, 0, window)
    chosen = np.where(hopeless | constant, 0.5, chosen)
    # Wolff's eq. (49): each Gamma(t) is too small by 2 chosen variance / n, as the mean is taken from the draws.
    raised = 1 + (2 * window + 1) / n
    error = unit * np.sqrt(2 * chosen * variance * raised / n)
    tau_int = np.where(constant, 0.5, chosen * raised / (1 + 2 * chosen / n))
    tau_int_error = np.where(constant, 0.0, _tau_error(tau_int, window, n))
    n_effective = n / (2 * tau_int)
    converged = (converged & ~hopeless & (n_effective >= _MIN_EFFECTIVE)) | constant
    return _Analysis(mean, error, tau_int, n_effective, tau_int_error, window.astype(np.int64), converged)


def _analyse_array(name: str, array: NDArray[Any], s: float) -> _Analysis:
    """The same for an array of shape (n_chains, n_draws, ...), some of the rest at a time."""
    n_chains, n_draws = array.shape[:2]
    if n_draws < _MIN_DRAWS or not n_chains:
        raise ValueError(f"{name} must have at least {_MIN_DRAWS} draws in each chain, got shape {array.shape}")
    columns = array.reshape(n_chains, n_draws, math.prod(array.shape[2:]))
    some = max(1, _CHUNK // (n_chains * n_draws))
    parts = []
    for start in range(0, max(columns.shape[2], 1), some):
        chunk = _real(name, columns[:, :, start : start + some])
        parts.append(_analyse([np.ascontiguousarray(chain.T) for chain in chunk], s))
    return _Analysis(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _estimate(analysis: _Analysis) -> Estimate:
    return Estimate(*(column[0].item() for column in analysis))


def _warn(analysis: _Analysis, name: str) -> None:
    _warn_failed(int(np.sum(~analysis.converged)), name)


def _warn_failed(failed: int, name: str) -> None:
    if failed:
        message = (
            f"{name}: the autocorrelation time could not be measured in {failed} case(s), with converged = False:"
            " chains are too short, not in equilibrium, or too strongly anticorrelated"
        )
        warn(message, ConvergenceWarning)


# ---- Means over instances


def _mean_and_error(array: Array, axis: int) -> tuple[Array, Array]:
    n = array.shape[axis]
    deltas, mean, unit = _deviations([np.moveaxis(array, axis, -1).reshape(-1, n)])
    shape = np.delete(array.shape, axis)
    error = unit * np.sqrt(np.sum(deltas[0] ** 2, axis=1) / (n * (n - 1)))
    return mean.reshape(shape), error.reshape(shape)


def _dataset_over_instances(values: Any, axis: str) -> xr.Dataset:
    import xarray as xr

    single = isinstance(values, xr.DataArray)
    variables = {"": values} if single else {str(name): values[name] for name in values.data_vars}
    result: dict[str, xr.DataArray] = {}
    for name, variable in variables.items():
        if axis not in variable.dims:
            if single:
                break
            continue
        if variable.sizes[axis] < 2:
            raise ValueError(f"values must have at least 2 instances along {axis!r}, got {variable.sizes[axis]}")
        array = _real(f"values[{name!r}]" if name else "values", variable.values)
        coords = {key: coord for key, coord in variable.coords.items() if axis not in {*coord.dims, key}}
        dims = [dim for dim in variable.dims if dim != axis]
        value, error = _mean_and_error(array, variable.dims.index(axis))
        n_effective = np.full(value.shape, float(variable.sizes[axis]))
        for label, column in (("value", value), ("error", error), ("n_effective", n_effective)):
            key = f"{name}_{label}" if name and label != "value" else name or label
            if key in result:
                raise ValueError(f"values must not have variables whose names lead to {key!r} twice")
            result[key] = xr.DataArray(column, dims=dims, coords=coords)
    if not result:
        raise ValueError(f"values must have the dimension {axis!r}, got {tuple(map(str, values.dims))}")
    return xr.Dataset(result, attrs=values.attrs if not single else {})


# ---- Printing


def _round(number: decimal.Decimal, place: int) -> decimal.Decimal:
    return number.quantize(decimal.Decimal(1).scaleb(place, _DECIMAL), context=_DECIMAL)


def _with_error(value: float, error: float, digits: int | None) -> str:
    if error == 0 or not math.isfinite(value) or not math.isfinite(error):
        return f"{value!r}({error:g})"
    exact, spread = decimal.Decimal(repr(value)), decimal.Decimal(repr(error))
    place = spread.adjusted() - (digits or 2) + 1
    rounded = _round(spread, place)
    one_digit = digits is None and rounded.as_tuple().digits[0] != 1
    if one_digit or rounded.adjusted() > spread.adjusted():  # 0.0996 became 0.100, one digit too many
        place += 1
    rounded, shown = _round(spread, place), _round(exact, place)
    top = max(number.adjusted() for number in (rounded, shown) if number)
    exponent = top if not -5 < top < 7 else 0
    rounded, shown = (number.scaleb(-exponent, _DECIMAL) for number in (rounded, shown))
    place -= exponent
    bracket = f"{rounded:f}" if place >= 0 or rounded >= 1 else str(int(rounded.scaleb(-place, _DECIMAL)))
    text = f"{shown if shown else abs(shown):f}({bracket})"
    return text + (f"e{exponent:+03d}" if exponent else "")
