"""The Gamma method and R-hat as sums one can read next to the papers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["autocovariance", "gamma_method", "rhat", "rho_error"]


def autocovariance(chains: Sequence[ArrayLike], lag: int) -> float:
    """Gamma(t) about the mean of all chains: U. Wolff, Comput. Phys. Commun. 156, 143 (2004), eq. (31).

    Parameters
    ----------
    chains : list of arrays, shape (n_draws,)
        Independent chains; those not longer than `lag` have no pair.
    lag : int >= 0
        Distance t.

    Returns
    -------
    float
    """
    mean = np.mean(np.concatenate([np.asarray(chain, float) for chain in chains]))
    total, pairs = 0.0, 0
    for chain in chains:
        delta = np.asarray(chain, float) - mean
        for i in range(len(delta) - lag):
            total += delta[i] * delta[i + lag]
            pairs += 1
    return total / pairs


def gamma_method(chains: Sequence[ArrayLike], s: float) -> tuple[float, float, float, float, int]:
    """Mean, error, tau_int, its error, and window; section 3.3 of Wolff's paper.

    Anticorrelated draws are treated as `deepglass.stats.gamma_method` says.

    Parameters
    ----------
    chains : list of arrays, shape (n_draws,)
        Independent chains.
    s : float > 0
        Ratio of exponential and integrated autocorrelation time.

    Returns
    -------
    tuple of floats and the window
    """
    n = sum(len(np.asarray(chain)) for chain in chains)
    n_lags = max(len(np.asarray(chain)) for chain in chains) // 2
    gamma = [autocovariance(chains, t) for t in range(n_lags)]
    window = n_lags - 1
    for candidate in range(1, n_lags):
        tau_int = 0.5 + sum(gamma[1 : candidate + 1]) / gamma[0]
        if tau_int <= 0.5:
            tau_int = 0.5 + sum(map(abs, gamma[1 : candidate + 1])) / gamma[0]
        tau = s / math.log((2 * tau_int + 1) / (2 * tau_int - 1))
        if math.exp(-candidate / tau) - tau / math.sqrt(candidate * n) < 0:
            window = candidate
            break
    sum_of_gamma = gamma[0] + 2 * sum(gamma[1 : window + 1])
    if sum_of_gamma <= 0:
        window, sum_of_gamma = 0, gamma[0]
    gamma = [value + sum_of_gamma / n for value in gamma]  # the bias of eq. (49), lag by lag
    sum_of_gamma = gamma[0] + 2 * sum(gamma[1 : window + 1])
    tau_int = sum_of_gamma / (2 * gamma[0])
    tau_error = 2 * tau_int * math.sqrt((window + 0.5 - tau_int) / n)  # eq. (42)
    mean = float(np.mean(np.concatenate([np.asarray(chain, float) for chain in chains])))
    return mean, math.sqrt(sum_of_gamma / n), tau_int, tau_error, window


def rho_error(rho: ArrayLike, window: int, lag: int, n_pairs: int) -> float:
    """Standard error of rho(t), M. Luescher, Comput. Phys. Commun. 165, 199 (2005), eq. (E.11).

    Parameters
    ----------
    rho : array, shape (n_lags,)
        Normalised autocorrelation.
    window : int
        Beyond it rho counts as 0.
    lag : int
        Distance t.
    n_pairs : int
        Number of pairs of draws at that distance.

    Returns
    -------
    float
    """

    def at(k: int) -> float:
        return float(np.asarray(rho)[abs(k)]) if abs(k) <= window else 0.0

    terms = [(at(k + lag) + at(k - lag) - 2 * at(k) * at(lag)) ** 2 for k in range(1, lag + window + 1)]
    return math.sqrt(sum(terms) / n_pairs)


def rhat(chains: ArrayLike) -> float:
    """Rank-normalised split R-hat, A. Vehtari et al., Bayesian Anal. 16, 667 (2021), section 4.

    Parameters
    ----------
    chains : array, shape (n_chains, n_draws)
        An even number of draws.

    Returns
    -------
    float
    """
    from scipy.stats import norm, rankdata

    draws = np.asarray(chains, float)
    halves = np.concatenate(np.split(draws, 2, axis=1))

    def plain(values: NDArray[np.float64]) -> float:
        z = norm.ppf((rankdata(values).reshape(values.shape) - 3 / 8) / (values.size + 1 / 4))
        n = z.shape[1]
        between = n * np.var(z.mean(axis=1), ddof=1)
        within = np.mean(z.var(axis=1, ddof=1))
        return float(np.sqrt(((n - 1) / n * within + between / n) / within))

    return max(plain(halves), plain(np.abs(halves - np.median(halves))))
