"""Errors of Monte Carlo series: against the twin, exact AR(1) processes, pyerrors and ArviZ."""

from __future__ import annotations

import math
import sys
import types
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import sem

import deepglass as dg
from deepglass import ConvergenceWarning, stats
from deepglass.reference import stats as reference
from deepglass.stats import Estimate

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

SEEDS = st.integers(0, 2**32)
MEMORY = st.floats(-0.6, 0.95)
Array = NDArray[np.float64]

short_series = pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning")  # not what the test is about


def ar1(seed: int, a: float, *shape: int) -> Array:
    """Stationary x(i) = a x(i - 1) + noise of variance 1: rho(t) = a^t, tau_int = (1 + a) / (1 - a) / 2."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise[..., 0] *= np.sqrt(1 - a * a)
    noise *= np.sqrt(1 - a * a)
    noise[..., 0] /= 1 - a * a
    filtered: Array = lfilter([1.0], [1.0, -a], noise, axis=-1)
    return filtered


def variance_of_mean(a: float, n: int) -> float:
    """Exact, for n draws of ar1."""
    return float(((1 + a) / (1 - a) - 2 * a * (1 - a**n) / (n * (1 - a) ** 2)) / n)


def fields(estimate: Estimate) -> tuple[float, ...]:
    return (estimate.value, estimate.error, estimate.tau_int, estimate.tau_int_error, estimate.window)


# ---- Fast = reference


@short_series
@given(seed=SEEDS, a=MEMORY, lengths=st.lists(st.integers(4, 90), min_size=1, max_size=3), s=st.floats(0.5, 4))
def test_gamma_method_is_reference(seed: int, a: float, lengths: list[int], s: float) -> None:
    chains = [3 + ar1(seed + index, a, n) for index, n in enumerate(lengths)]
    # 1e-10: Fourier transform against sums, 1e-15 relative to Gamma(0); tau_int can be a small difference.
    expected = reference.gamma_method(chains, s)
    assert fields(stats.gamma_method(chains, s=s)) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@given(seed=SEEDS, a=st.floats(0, 0.9), n=st.integers(40, 80))
@short_series
def test_autocorrelation_is_reference(seed: int, a: float, n: int) -> None:
    chains = [ar1(seed, a, n), ar1(seed + 1, a, 30)]
    result = stats.autocorrelation(chains)
    window = int(result["window"])
    gamma = np.array([reference.autocovariance(chains, t) for t in range(n // 2)])
    gamma += (2 * gamma[: window + 1].sum() - gamma[0]) / (n + 30)
    rho = gamma / gamma[0]
    np.testing.assert_allclose(result["autocorrelation"], rho, rtol=0, atol=1e-12)
    pairs = [max(n - t, 0) + max(30 - t, 0) for t in range(n // 2)]
    errors = [reference.rho_error(rho, window, t, pairs[t]) for t in range(n // 2)]
    np.testing.assert_allclose(result["autocorrelation_error"], errors, rtol=0, atol=1e-12)
    estimate = stats.gamma_method(chains)
    assert estimate.window == window
    assert float(result["tau_int"][window]) == pytest.approx(estimate.tau_int, abs=1e-12)
    assert float(result["tau_int_error"][window]) == pytest.approx(estimate.tau_int_error, abs=1e-12)


@given(seed=SEEDS, n_chains=st.integers(1, 4), half=st.integers(2, 40), ties=st.booleans())
def test_rhat_is_reference(seed: int, n_chains: int, half: int, ties: bool) -> None:
    draws = np.random.default_rng(seed).standard_normal((n_chains, 2 * half))
    draws = np.round(2 * draws) if ties else draws
    folded = np.abs(draws - np.median(draws))
    if np.ptp(draws) > 0 and np.ptp(folded) > 0 and all(np.ptp(h) > 0 for h in np.split(folded, 2, axis=1)):
        # Sums of at most 320 terms.
        assert stats.rhat(draws) == pytest.approx(reference.rhat(draws), rel=1e-12)


# ---- Against pyerrors


def weyl(a: float, n: int, first: int = 0) -> Array:
    """AR(1) driven by the fractional parts of c i^2: the same bits everywhere."""
    series, last = np.empty(n), 0.0
    for i in range(n):
        last = a * last + (0.7548776662466927 * (first + i) ** 2) % 1.0 - 0.5
        series[i] = last
    return series


# pyerrors 2.17.0 by these lines, with chains = [weyl(a, 1000)] or [weyl(a, 600), weyl(a, 400, 5000)]:
#   mean = numpy.concatenate(chains).mean()
#   names = [f"e|r{k}" for k in range(len(chains))]
#   obs = pyerrors.Obs([chain - mean for chain in chains], names, means=[0.0] * len(chains))
#   obs.gamma_method(S=s)
#   W = obs.e_windowsize["e"]
#   print(a, len(chains), s, mean, obs.dvalue, W, obs.e_n_tauint["e"][W], obs.e_tauint["e"], obs.e_dtauint["e"])
# (by itself pyerrors takes the deviations of each chain from its own mean).
PYERRORS = [
    (0.3, 1, 1.5, 0.022448838486943394, 0.01272064360137946, 6, 0.8695044431277901, 0.8799280728156357, 0.13048936306),
    (0.3, 1, 2.0, 0.022448838486943394, 0.01272064360137946, 6, 0.8695044431277901, 0.8799280728156357, 0.13048936306),
    (0.3, 2, 1.5, 0.007763988050941432, 0.013418576066939355, 6, 0.9591771434820128, 0.9706757705767022, 0.14279596963),
    (0.3, 2, 2.0, 0.007763988050941432, 0.0135509967914849, 7, 0.9762742720390398, 0.9899284576619635, 0.15770653399),
    (0.9, 1, 1.5, 0.1584308538814198, 0.11063390879933473, 47, 12.881375781603921, 14.091015465390903, 4.7934383683),
    (0.9, 1, 2.0, 0.1584308538814198, 0.11667239214819855, 61, 13.968710093243642, 15.671190244468143, 6.0908246956),
    (0.9, 2, 1.5, 0.05316092567251898, 0.10497338382664982, 42, 10.871810186627057, 11.784129922567791, 3.8669541726),
    (0.9, 2, 2.0, 0.05316092567251898, 0.10229467264711246, 49, 10.19251940603193, 11.190388438790302, 4.0415610832),
]
# d = y - x * x with x, y = Obs([weyl(a, 1000)], ["e"]), Obs([weyl(a, 1000) ** 2], ["e"]); d.gamma_method(S=2.0)
PYERRORS_DERIVED = [
    (0.6, 0.13107146721000776, 0.006423471080291948, 7),
    (0.9, 0.4338805167061899, 0.04085947026915778, 17),
]


@pytest.mark.parametrize(("a", "n_chains", "s", "value", "error", "window", "raw", "tau_int", "tau_error"), PYERRORS)
def test_gamma_method_is_that_of_pyerrors(
    a: float, n_chains: int, s: float, value: float, error: float, window: int, raw: float, tau_int: float,
    tau_error: float,
) -> None:  # fmt: skip
    chains = [weyl(a, 1000)] if n_chains == 1 else [weyl(a, 600), weyl(a, 400, 5000)]
    estimate = stats.gamma_method(chains, s=s)
    assert estimate.window == window
    assert (estimate.value, estimate.error) == pytest.approx((value, error), rel=1e-10)
    # pyerrors corrects Gamma(0) as for independent draws, by 1 + 1/N, Wolff by 1 + 2 tau_int / N.
    assert estimate.tau_int * (1 + 2 * raw / 1000) == pytest.approx(tau_int * (1 + 1 / 1000), rel=1e-10)
    # and leaves tau_int uncorrected in its error, eq. (42)
    factor = estimate.tau_int / raw * math.sqrt((window + 0.5 - estimate.tau_int) / (window + 0.5 - raw))
    assert estimate.tau_int_error == pytest.approx(tau_error * factor, rel=1e-9)  # 11 digits in the table


@pytest.mark.parametrize(("a", "value", "error", "window"), PYERRORS_DERIVED)
def test_derived_is_that_of_pyerrors(a: float, value: float, error: float, window: int) -> None:
    x = weyl(a, 1000)
    estimate = stats.gamma_method_derived(lambda first, second: second - first**2, [x, x * x])
    assert estimate.window == window
    assert (estimate.value, estimate.error) == pytest.approx((value, error), rel=1e-10)  # parabola: exact slope


# ---- Exact cases


@pytest.mark.parametrize(
    ("a", "n_chains", "n_draws", "n_series"),
    [(0.0, 1, 1000, 2000), (0.5, 1, 2000, 1500), (0.5, 4, 500, 1500), (0.9, 2, 5000, 400), (-0.5, 1, 5000, 500)],
)
def test_error_bars_of_autoregressive_processes(a: float, n_chains: int, n_draws: int, n_series: int) -> None:
    series = ar1(5, a, n_series, n_chains, n_draws)
    result = stats.summary(xr.DataArray(series, dims=("series", "chain", "draw")))
    assert result["converged"].all()
    tau, n = (1 + a) / (1 - a) / 2, n_chains * n_draws
    pull = (result["value"] / result["error"]).values
    # Coverage and width of the pulls: binomial and chi-square scatter.
    assert abs(np.mean(np.abs(pull) < 1) - 0.6827) < 4 * math.sqrt(0.6827 * 0.3173 / n_series)
    assert abs(pull.std() - 1) < 4 / math.sqrt(2 * n_series) + 2 * tau / n_draws
    assert abs(pull.mean()) < 4 / math.sqrt(n_series)
    # What the window cuts off and its fluctuation leave a bias below the tau_int of one series, times W / N.
    bias = (result["window"].mean().item() + 1) / n
    squared = (result["error"] ** 2).values / (variance_of_mean(a, n_draws) / n_chains)
    assert abs(squared.mean() - 1) < bias + 4 * sem(squared)
    taus = result["tau_int"].values / tau
    assert abs(taus.mean() - 1) < bias + 4 * sem(taus)
    if a >= 0:  # eq. (42) takes rho to decay without changing its sign
        assert taus.std() == pytest.approx((result["tau_int_error"] / tau).mean().item(), rel=0.15)


@short_series
def test_the_bias_of_the_mean_is_put_back() -> None:
    series = ar1(6, 0.0, 40000, 40)
    result = stats.summary(xr.DataArray(series, dims=("series", "draw")), s=1.0)
    squared = 40 * (result["error"] ** 2).values
    put_back = 1 + (2 * result["window"].values + 1) / 40
    assert abs(squared.mean() - 1) < 0.02  # second order, (W / N)^2
    assert (squared / put_back).mean() < 0.93  # without it: the window is 1.4 on average, (2 W + 1) / 40 = 0.1


def test_moving_average_has_its_autocorrelation() -> None:
    series = np.convolve(np.random.default_rng(1).standard_normal(200_004), np.full(5, 0.2), "valid")
    result = stats.autocorrelation(series, n_lags=10)
    exact = np.maximum(1 - np.arange(10) / 5, 0)
    errors = result["autocorrelation_error"].values
    assert errors[0] == 0
    assert np.all(np.abs(result["autocorrelation"].values - exact)[1:] < 4 * errors[1:])
    assert errors[9] == pytest.approx(math.sqrt((2 * np.sum(exact**2) - 1) / 200_000), rel=0.05)  # Bartlett
    estimate = stats.gamma_method(series)
    assert abs(estimate.tau_int - 2.5) < 4 * estimate.tau_int_error
    assert estimate.inefficiency == 2 * estimate.tau_int
    assert estimate.n_effective == pytest.approx(200_000 / estimate.inefficiency, rel=1e-14)


def test_error_of_the_autocorrelation_is_its_scatter() -> None:
    parts = [stats.autocorrelation(series, n_lags=12) for series in ar1(7, 0.7, 300, 2000)]
    scatter = np.std([part["autocorrelation"].values for part in parts], axis=0)
    error = np.mean([part["autocorrelation_error"].values for part in parts], axis=0)
    np.testing.assert_allclose(error[1:], scatter[1:], rtol=4 / math.sqrt(2 * 300))  # scatter of a width


def test_constant_series() -> None:
    for series in (np.full(50, 0.1), np.full((3, 50), 0.1), [np.full(7, 0.1), np.full(5, 0.1)], np.ones(9, bool)):
        estimate = stats.gamma_method(series)
        n = np.size(series) if isinstance(series, np.ndarray) else 12
        value = float(np.ravel(series[0])[0])
        assert estimate == Estimate(value, 0.0, 0.5, n, 0.0, 0, True)
    rho = stats.autocorrelation(np.full(50, 0.1))
    assert rho["autocorrelation"].values[0] == 1 and not rho["autocorrelation"].values[1:].any()
    assert not rho["autocorrelation_error"].values.any()


def test_chains_that_disagree_have_a_larger_error() -> None:
    chains = ar1(8, 0.0, 2, 1000)
    with pytest.warns(ConvergenceWarning, match="autocorrelation time could not be measured"):
        apart = stats.gamma_method(chains + np.array([[0.0], [3.0]]))
    assert apart.error > 10 * stats.gamma_method(chains).error
    assert not apart.converged


def test_few_effective_draws_are_said_as_such() -> None:
    with pytest.warns(ConvergenceWarning):
        assert not stats.gamma_method(ar1(1, 0.99, 500)).converged
    with pytest.warns(ConvergenceWarning):
        assert not stats.gamma_method(np.arange(1000.0)).converged  # never decays
    with pytest.warns(ConvergenceWarning):
        assert not stats.gamma_method([1.0, 2.0, 4.0, 3.0]).converged


def test_no_negative_variance() -> None:
    noise = np.random.default_rng(2).standard_normal((200, 501))
    series = np.diff(noise, axis=1)  # rho(1) = -1/2: the sum is 0
    with pytest.warns(ConvergenceWarning):
        result = stats.summary(xr.DataArray(series, dims=("series", "draw")))
    hopeless = ~result["converged"].values
    assert 0.1 < hopeless.mean() < 0.9
    independent = series.std(axis=1) * math.sqrt((1 + 1 / 500) / 500)
    np.testing.assert_allclose(result["error"][hopeless], independent[hopeless], rtol=1e-12)
    assert np.all(result["error"][~hopeless] < 0.5 * independent[~hopeless])
    assert np.all(result["tau_int"][hopeless] == 0.5)


# ---- Functions of means


@given(seed=SEEDS, a=st.floats(0, 0.8))
@short_series
def test_derived_of_a_sum_is_the_sum(seed: int, a: float) -> None:
    x, y = ar1(seed, a, 2, 2, 150)
    expected = stats.gamma_method(2 * x - 3 * y)
    got = stats.gamma_method_derived(lambda first, second: 2 * first - 3 * second, [x, y])
    assert fields(got) == pytest.approx(fields(expected), rel=1e-9, abs=1e-11)  # slopes lose some digits


def test_replica_bias_is_cancelled() -> None:
    # For the square of a mean what is left are the products of means of different chains.
    chains = 1 + ar1(9, 0.0, 3, 20)
    means = chains.mean(axis=1)
    products = [means[i] * means[j] for i in range(3) for j in range(3) if i != j]
    assert stats.gamma_method_derived(lambda m: m**2, [chains]).value == pytest.approx(np.mean(products), rel=1e-13)


def test_ratio_with_a_mean_near_zero_covers() -> None:
    # The denominator is resolved by all 64 chains together (8 standard deviations), not by single ones.
    rng, pulls = np.random.default_rng(1), []
    for _ in range(200):
        x = 0.1 + rng.standard_normal((64, 100))
        y = 2 * x - 0.1 + 0.3 * rng.standard_normal(x.shape)
        pulls.append(stats.gamma_method_derived(lambda up, down: up / down, [y, x]).pull(1.0))
    assert 0.8 < np.std(pulls) < 1.2
    assert max(map(abs, pulls)) < 5


def test_derived_of_a_ratio_covers() -> None:
    hits, n_series = 0, 300
    for seed in range(n_series):
        x = ar1(seed, 0.5, 1000)
        y = x + 0.5 * ar1(seed + 10**6, 0.5, 1000)
        estimate = stats.gamma_method_derived(lambda up, down: up / down, [5 + y, 5 + x])
        hits += abs(estimate.pull(1.0)) < 1
    assert abs(hits / n_series - 0.6827) < 4 * math.sqrt(0.6827 * 0.3173 / n_series)


def test_jackknife_exact_cases() -> None:
    x = np.random.default_rng(1).standard_normal(30)
    mean = stats.jackknife(x, np.mean)
    assert (mean.value, mean.error) == pytest.approx((x.mean(), sem(x)), rel=1e-12)
    assert stats.jackknife(x, np.var).value == pytest.approx(np.var(x, ddof=1), rel=1e-12)
    blocked = stats.jackknife(x, np.mean, block_length=7)
    blocks = x[:28].reshape(4, 7).mean(axis=1)
    assert (blocked.value, blocked.error) == pytest.approx((blocks.mean(), sem(blocks)), rel=1e-12)
    assert blocked.n_effective == 4
    flat = stats.jackknife(np.full(10, 0.1), np.mean)
    assert (flat.value, flat.error) == (pytest.approx(0.1, rel=1e-15), pytest.approx(0.0, abs=1e-16))


def test_jackknife_agrees_with_the_gamma_method() -> None:
    x = ar1(2, 0.6, 20_000)
    blocked = stats.jackknife(x, np.mean, block_length=200)
    # 100 blocks: relative scatter 1 / sqrt(2 * 100) of the error.
    assert blocked.error == pytest.approx(stats.gamma_method(x).error, rel=4 / math.sqrt(200))
    pairs = np.stack([x, x * x], axis=1)
    both = stats.jackknife(pairs, lambda p: float(p[:, 1].mean() - p[:, 0].mean() ** 2), block_length=200)
    derived = stats.gamma_method_derived(lambda first, second: second - first**2, [x, x * x])
    assert both.error == pytest.approx(derived.error, rel=4 / math.sqrt(200))


def test_mean_over_instances() -> None:
    values = np.random.default_rng(1).standard_normal((12, 3))
    estimate = stats.mean_over_instances(values[:, 0])
    assert (estimate.value, estimate.error) == pytest.approx((values[:, 0].mean(), sem(values[:, 0])), rel=1e-13)
    assert (estimate.tau_int, estimate.n_effective) == (0.5, 12)
    array = xr.DataArray(values, dims=("instance", "layer"), coords={"layer": [1, 2, 3], "instance": range(12)})
    of_array = stats.mean_over_instances(array)
    assert of_array["value"].dims == ("layer",) and list(of_array["layer"].values) == [1, 2, 3]
    np.testing.assert_allclose(of_array["error"], sem(values), rtol=1e-13)
    both = stats.mean_over_instances(xr.Dataset({"q": array.T, "seed": 7}))
    assert set(both.data_vars) == {"q", "q_error", "q_n_effective"}
    xr.testing.assert_allclose(both["q_error"], of_array["error"].rename("q_error"))


# ---- R-hat


def test_rhat_sees_location_scale_and_drift() -> None:
    draws = np.random.default_rng(1).standard_normal((4, 1000))
    assert abs(stats.rhat(draws) - 1) < 0.01
    assert stats.rhat(draws + np.array([[0], [0], [0], [2]])) > 1.2
    assert stats.rhat(draws * [[1], [1], [1], [9]]) > 1.1
    assert stats.rhat(draws[0] + np.linspace(0, 5, 1000)) > 1.5
    assert stats.rhat(np.exp(draws)) == pytest.approx(stats.rhat(draws), abs=0.01)  # ranks; folded elsewhere


def test_rhat_leaves_out_the_middle_of_an_odd_number() -> None:
    draws = ar1(4, 0.9, 3, 21)
    assert stats.rhat(draws) == stats.rhat(np.delete(draws, 10, axis=1))


def test_rhat_of_constant_chains() -> None:
    assert math.isnan(stats.rhat(np.ones((2, 10))))
    assert stats.rhat([[1.0] * 10, [2.0] * 10]) == math.inf
    assert math.isfinite(stats.rhat(np.sign(np.random.default_rng(1).standard_normal((2, 100)))))  # folded: constant


# ---- Invariants


@given(seed=SEEDS, a=MEMORY, shift=st.floats(-1e3, 1e3), scale=st.floats(1e-150, 1e150), minus=st.booleans())
@short_series
def test_shift_and_scale(seed: int, a: float, shift: float, scale: float, minus: bool) -> None:
    x = ar1(seed, a, 2, 200)
    scale = -scale if minus else scale
    base, moved = stats.gamma_method(x), stats.gamma_method((x + shift) * scale)
    assert moved.window == base.window
    # 1e3 / 1: three digits of 16 are lost in x + shift, more in a small sum.
    assert moved.value / scale == pytest.approx(base.value + shift, rel=1e-12, abs=1e-12)
    assert moved.error / abs(scale) == pytest.approx(base.error, rel=1e-9)
    assert (moved.tau_int, moved.tau_int_error) == pytest.approx((base.tau_int, base.tau_int_error), rel=1e-9)


@given(seed=SEEDS, a=MEMORY)
@short_series
def test_order_of_chains_and_arrow_of_time(seed: int, a: float) -> None:
    x = ar1(seed, a, 3, 100)
    expected = fields(stats.gamma_method(x))
    for same in (x[[2, 0, 1]], x[:, ::-1], list(x), [list(row) for row in x], np.asfortranarray(x)):
        assert fields(stats.gamma_method(same)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_types_of_numbers() -> None:
    spins = np.where(ar1(1, 0.5, 500) > 0, 1, -1)
    expected = stats.gamma_method(spins.astype(float))
    for dtype in (np.int8, np.int64, np.float32):
        assert stats.gamma_method(spins.astype(dtype)) == expected
    assert stats.gamma_method(spins > 0).error == pytest.approx(expected.error / 2, rel=1e-12)


# ---- Data sets


@pytest.fixture
def data() -> xr.Dataset:
    draws = ar1(3, 0.4, 3, 5, 4, 300)  # load, layer, chain, draw
    dims = ("load", "layer", "chain", "draw")
    energy = xr.DataArray(draws[:, 0].round(2), dims=("load", "chain", "draw"), attrs={"units": "J"})
    return xr.Dataset(
        {"overlap": (dims, draws), "energy": energy, "flips": (("draw",), np.arange(300) % 7), "seed": 7},
        coords={"load": [1.0, 2.0, 4.0], "draw": np.arange(300) * 10, "temperature": ("load", [0.1, 0.2, 0.3])},
        attrs={"parameters": '{"depth": 3}'},
    )


def test_summary_is_the_gamma_method_of_each_entry(data: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    result = stats.summary(data)
    names = ["overlap", "energy", "flips"]
    suffixes = ["", "_error", "_tau_int", "_n_effective", "_tau_int_error", "_window", "_converged"]
    assert set(result.data_vars) == {name + suffix for name in names for suffix in suffixes}
    assert result["overlap"].dims == ("load", "layer") and set(result.coords) == {"load", "temperature"}
    assert result["energy_error"].attrs["units"] == "J"
    assert result["overlap_window"].dtype == np.int64 and result["overlap_converged"].dtype == bool
    for index in np.ndindex(3, 5):
        entry = stats.gamma_method(data["overlap"].values[index])
        got = [float(result["overlap" + suffix][index]) for suffix in suffixes]
        assert got == pytest.approx(list(map(float, vars(entry).values())), rel=1e-11, abs=1e-13)
    assert float(result["flips"]) == pytest.approx(stats.gamma_method(data["flips"].values).value, rel=1e-13)
    single = stats.summary(data["overlap"].rename(chain="c", draw="d"), chain="c", draw="d")
    np.testing.assert_array_equal(single["tau_int"], result["overlap_tau_int"])
    monkeypatch.setattr(stats, "_CHUNK", 2500)  # two columns at a time
    xr.testing.assert_identical(stats.summary(data), result)


def test_results_can_be_saved(data: xr.Dataset, tmp_path: Any) -> None:
    results = stats.summary(data), stats.autocorrelation(data["energy"].values[0]), stats.mean_over_instances(
        data["overlap"], axis="load"
    )  # fmt: skip
    for index, result in enumerate(results):
        dg.save(result, tmp_path / f"{index}.nc")
        xr.testing.assert_identical(dg.load(tmp_path / f"{index}.nc"), result)


def test_summary_of_nothing_has_no_entries() -> None:
    result = stats.summary(xr.DataArray(np.zeros((2, 10, 0)), dims=("chain", "draw", "layer")))
    assert result["value"].shape == (0,)


def test_summary_warns_once_for_all() -> None:
    series = np.arange(100)
    with pytest.warns(ConvergenceWarning, match="in 2 case") as caught:
        result = stats.summary(xr.DataArray(np.stack([series, series, ar1(1, 0.3, 100)]), dims=("layer", "draw")))
    assert len(caught) == 1 and caught[0].filename == __file__
    assert list(result["converged"].values) == [False, False, True]
    with pytest.warns(ConvergenceWarning) as caught:
        stats.gamma_method(series)
    assert caught[0].filename == __file__


# ---- Printing


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.84123, 0.00068, "0.8412(7)"),
        (0.84123, 0.0123, "0.841(12)"),
        (0.84123, 0.0196, "0.84(2)"),  # rounds to 0.020
        (0.84123, 0.0996, "0.84(10)"),  # rounds to 0.10
        (0.84123, 0.0954, "0.84(10)"),
        (0.84123, 0.0944, "0.84(9)"),
        (0.84123, 0.1, "0.84(10)"),
        (12.34, 1.4, "12.3(1.4)"),
        (12.34, 3.6, "12(4)"),
        (99.96, 9.96, "100(10)"),
        (1234.5, 12.3, "1234(12)"),
        (1234.5, 23.0, "1230(20)"),
        (-1234.5, 230.0, "-1200(200)"),
        (0.001, 20.0, "0(20)"),
        (-0.0001, 0.007, "0.000(7)"),
        (-7.5, 0.25, "-7.5(2)"),  # to even
        (1.234e-7, 2e-9, "1.23(2)e-07"),
        (1.23e10, 2e8, "1.23(2)e+10"),
        (0.0, 3e-12, "0(3)e-12"),
        (5e-324, 5e-324, "5(5)e-324"),
        (0.1, 0.0, "0.1(0)"),
        (0.1, math.nan, "0.1(nan)"),
        (math.nan, 0.1, "nan(0.1)"),
        (0.1, math.inf, "0.1(inf)"),
    ],
)
def test_printing(value: float, error: float, text: str) -> None:
    assert str(Estimate(value, error)) == f"{Estimate(value, error)}" == text
    assert str(Estimate(np.float64(value), np.float64(error))) == text


def test_format() -> None:
    estimate = Estimate(0.84123, 0.00068)
    assert [f"{estimate:.1}", f"{estimate:.2}", f"{estimate:.3}"] == ["0.8412(7)", "0.84123(68)", "0.841230(680)"]
    assert f"{estimate:>12}|{estimate:*<15.2}" == "   0.8412(7)|0.84123(68)****"
    assert f"{Estimate(1.0, 0.0996):.1}" == "1.0(1)"
    with pytest.raises(ValueError, match="format"):
        f"{estimate:f}"


@given(value=st.floats(-1e12, 1e12), error=st.floats(1e-9, 1e9))
def test_printed_number_is_within_half_an_error(value: float, error: float) -> None:
    text = str(Estimate(value, error))
    digits, _, rest = text.partition("(")
    _, _, exponent = rest.partition(")")
    assert abs(float(digits + exponent) - value) <= 0.5 * error + 1e-15 * abs(value)


def test_pull() -> None:
    assert Estimate(1.0, 0.5).pull(2) == -2
    exact = Estimate(1.0, 0.0)
    assert (exact.pull(1.0), exact.pull(0.0), exact.pull(2.0)) == (0, math.inf, -math.inf)
    assert math.isnan(Estimate(1.0, math.nan).pull(1.0))


# ---- Errors


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([1.0, 2.0, 3.0], r"series must have at least 4 draws in each chain, got \[3\]"),
        (1.0, r"series must have shape \(n_draws,\) or \(n_chains, n_draws\), got \(\)"),
        (np.zeros((2, 3, 4)), r"series must have shape"),
        ([[1.0] * 4, [1.0] * 3], r"series must have at least 4 draws in each chain, got \[4, 3\]"),
        (np.zeros((0, 5)), "series must have at least 4 draws"),
        ([1.0, math.nan, 2.0, 3.0], "series must be finite, got 1 NaN or infinities"),
        ([[1.0] * 4, [math.inf] * 4], r"series\[1\] must be finite"),
        ([1j] * 4, "series must be an array of real numbers, got type complex128"),
        (["a"] * 4, "series must be an array of real numbers"),
        ([[[1.0] * 4]] * 2, r"series must be a list of arrays of shape"),
        ([1.0, [2.0]], "series must be an array of real numbers"),
    ],
)
def test_bad_series(series: Any, message: str) -> None:
    for function in (stats.gamma_method, stats.autocorrelation):
        with pytest.raises(ValueError, match=message):
            function(series)


def test_bad_arguments(data: xr.Dataset) -> None:
    x = ar1(1, 0.3, 50)
    cases: list[tuple[Any, str]] = [
        (lambda: Estimate(1.0, -0.1), "error must be >= 0, got -0.1"),
        (lambda: stats.gamma_method(x, s=0), "s must be > 0, got 0"),
        (lambda: stats.autocorrelation(x, n_lags=26), "n_lags must be an integer from 1 to 25, got 26"),
        (lambda: stats.gamma_method_derived(abs, []), "series_list must be a list of series"),
        (lambda: stats.gamma_method_derived(max, [x, x[1:]]), r"series_list\[1\] must have chains of \[50\] draws"),
        (lambda: stats.gamma_method_derived(lambda m: math.nan, [x]), "function must be finite"),
        (lambda: stats.jackknife([1.0], np.mean), "samples must have at least 2 entries"),
        (lambda: stats.jackknife(x, np.mean, block_length=26), "block_length must be an integer from 1 to 25"),
        (lambda: stats.jackknife(x, lambda y: math.inf), "function must be finite"),
        (lambda: stats.mean_over_instances([1.0]), r"values must have shape \(n_instances,\)"),
        (lambda: stats.mean_over_instances(data["energy"]), "values must have the dimension 'instance', got"),
        (lambda: stats.mean_over_instances(data.isel(load=[0]), axis="load"), "at least 2 instances along 'load'"),
        (lambda: stats.summary(x), "data must be an xarray.Dataset or xarray.DataArray"),  # type: ignore[call-overload]
        (lambda: stats.summary(data, draw="sweep"), "data must have the dimension 'sweep'"),
        (lambda: stats.summary(data.isel(draw=slice(3))), r"data\['overlap'\] must have at least 4 draws"),
        (lambda: stats.summary(data.where(data["layer"] > 0)), r"data\['overlap'\] must be finite"),
        (lambda: stats.summary(data.assign(energy_error=data["energy"])), "lead to 'energy_error' twice"),
        (lambda: stats.rhat([[1.0] * 5, [1.0] * 6]), "series must have chains of equal length"),
        (lambda: stats.to_pyerrors(x, "a|b"), "ensemble_name must be a text without"),
        (lambda: stats.to_pyerrors(x[:4], "a"), "series must have at least 5 draws"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


# ---- Adaptors


@pytest.mark.parametrize("package", ["pyerrors", "arviz"])
def test_missing_package_names_the_extra(package: str, data: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'deepglass\[stats\]'") as caught:
        stats.to_pyerrors(np.arange(9), "a") if package == "pyerrors" else stats.to_arviz(data)
    assert caught.value.name == package


def test_to_arviz_of_version_1(data: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    arviz: Any = types.ModuleType("arviz")
    arviz.convert_to_datatree = lambda dataset, group: xr.DataTree.from_dict({group: dataset})
    monkeypatch.setitem(sys.modules, "arviz", arviz)
    posterior = stats.to_arviz(data)["posterior"]
    assert set(posterior.data_vars) == {"overlap", "energy"}
    assert posterior["overlap"].dims[:2] == ("chain", "draw")
    with pytest.raises(ValueError, match="dataset must have variables with the dimensions chain, draw"):
        stats.to_arviz(data[["flips"]])


def imported(package: str) -> Any:
    """The package, whose own deprecations do not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(package)


def test_pyerrors_takes_it_from_here() -> None:
    imported("pyerrors")
    for a, n_chains, s, value, error, window, raw, tau_int, _ in PYERRORS:
        if n_chains == 1:
            obs = stats.to_pyerrors(weyl(a, 1000), "e")
            obs.gamma_method(S=s)
            assert obs.value == pytest.approx(value, rel=1e-12)
            got = (obs.dvalue, obs.e_windowsize["e"], obs.e_n_tauint["e"][window], obs.e_tauint["e"])
            assert got == pytest.approx((error, window, raw, tau_int), rel=1e-10)
    chains = [weyl(0.3, 600), weyl(0.3, 400, 5000)]
    obs = stats.to_pyerrors(chains, "e")
    assert obs.names == ["e|r0", "e|r1"] and obs.value == pytest.approx(stats.gamma_method(chains).value, rel=1e-12)


def test_arviz_takes_it_from_here(data: xr.Dataset) -> None:
    arviz = imported("arviz")
    draws = stats.to_arviz(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ess = arviz.ess(draws, method="mean")
    mine = stats.summary(data)["overlap_n_effective"].values
    theirs = getattr(ess, "posterior", ess)["overlap"].transpose("load", "layer").values
    np.testing.assert_allclose(mine, theirs, rtol=0.4)  # both scatter by 4 sqrt(2 W / N) or so
    for index in np.ndindex(3, 5):
        series = data["overlap"].values[index]
        assert stats.rhat(series) == pytest.approx(float(arviz.rhat(series)), rel=1e-12)
