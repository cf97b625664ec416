"""The dynamics of memorising random data: instances that can be interrupted, numbers, the gate, pictures."""

import dataclasses
import itertools
import logging
import math
import re

import numpy as np
import pytest

import deepglass as dg

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
dynamics = pytest.importorskip("deepglass.reproduce.dynamics")
_instances = pytest.importorskip("deepglass.reproduce._instances")
_dilution = pytest.importorskip("deepglass.reproduce._dilution")

from deepglass.reproduce.systems import SYSTEMS  # noqa: E402

Point = _instances.Point
TINY = Point(4, load=2, depth=3, n_instances=2, n_steps=3, step_sweeps=4, waiting_times=(0, 5), longest_lag=20)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


# ---- Instances


def test_instances_are_independent_and_kept(tmp_path):
    (first,) = _instances.run_all([TINY], tmp_path, workers=2)
    assert first.sizes == {"instance": 2, "waiting_time": 2, "lag": 10, "layer": 3, "draw": 25, "anneal_step": 3,
                           "moment": 2}  # fmt: skip
    assert first["waiting_time"].values.tolist() == [0, 5]
    assert len(np.unique(first["energy_per_gap"].isel(draw=-1, layer=0))) == 2
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2 and all(file.suffix == ".nc" for file in files)  # no checkpoint is left
    times = [file.stat().st_mtime_ns for file in files]
    more = dataclasses.replace(TINY, n_instances=3)
    (second,) = _instances.run_all([more], tmp_path, workers=1)
    assert [file.stat().st_mtime_ns for file in files] == times
    assert second.isel(instance=slice(2)).drop_attrs().identical(first.drop_attrs())


def test_other_parameters_are_other_files(tmp_path):
    paths = {TINY.path(tmp_path, 0)}
    for changes in (
        {"width": 5}, {"load": 3}, {"depth": 4}, {"beta": 10.0}, {"protocol": "data"}, {"n_steps": 4},
        {"step_sweeps": 5}, {"waiting_times": (0, 6)}, {"longest_lag": 21}, {"seed": 2},
    ):  # fmt: skip
        paths.add(dataclasses.replace(TINY, **changes).path(tmp_path, 0))
    assert len(paths) == 11
    assert dataclasses.replace(TINY, n_instances=99).path(tmp_path, 0) == TINY.path(tmp_path, 0)


def test_an_interrupted_instance_goes_on_to_the_last_bit(tmp_path, monkeypatch):
    (whole,) = _instances.run_all([TINY], tmp_path / "whole", workers=1)
    run = dg.mc.Simulation.run

    def stopped(self, n_sweeps, *, progress=None, **arguments):
        def check(done, total):
            if done >= 10:
                raise KeyboardInterrupt

        return run(self, n_sweeps, progress=check if "checkpoint" in arguments else False, **arguments)

    monkeypatch.setattr(dg.mc.Simulation, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        _instances.run_all([TINY], tmp_path / "parts", workers=1)
    monkeypatch.setattr(dg.mc.Simulation, "run", run)
    left = list((tmp_path / "parts").iterdir())
    assert left and all(file.suffix == ".checkpoint" for file in left)
    (parts,) = _instances.run_all([TINY], tmp_path / "parts", workers=1)
    assert parts.identical(whole)
    assert {file.suffix for file in (tmp_path / "parts").iterdir()} == {".nc"}


def test_protocols_share_data_and_start(tmp_path):
    points = [dataclasses.replace(TINY, protocol=name, n_steps=1, n_instances=1) for name in ("data", "quench")]
    data, quench = _instances.run_all(points, tmp_path)
    # One step with all patterns at beta is the same in both.
    np.testing.assert_array_equal(data["neuron_correlation"], quench["neuron_correlation"])


def test_the_estimate_comes_first_and_grows_with_the_work(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="deepglass"):
        _instances.run_all([TINY], tmp_path)
    assert re.match(r"2 of 2 instances to run, \d+ at a time: about \d+\.\d\d hours", caplog.messages[0])
    long = dataclasses.replace(TINY, longest_lag=100 * TINY.sweeps)
    assert _instances.estimated_hours([long]) > 10.0 * _instances.estimated_hours([TINY]) > 0.0
    assert _instances.estimated_hours([]) == 0.0


# ---- Numbers


@pytest.mark.parametrize("tau", [3.0, 70.0])
def test_relaxation_time_of_an_exponential(tau):
    lags = np.concatenate([[0.0], np.geomspace(1.0, 1000.0, 400)])
    time = dynamics.relaxation_time(lags, np.exp(-lags / tau))
    assert time == pytest.approx(tau + 1.0, rel=1e-4)  # 1/e of C(1); the grid of lags is 2% wide
    assert math.isnan(dynamics.relaxation_time(lags, np.exp(-lags / 1e6)))


def test_estimated_time_says_where_it_is_not_reached():
    lags = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
    fast, slow = np.exp(-lags / 2.0), np.exp(-lags / 100.0)
    value, error = dynamics._estimated_time(lags, np.array([fast, fast, fast]))
    assert value == pytest.approx(dynamics.relaxation_time(lags, fast), rel=1e-12) and error == pytest.approx(
        0.0, abs=1e-12
    )
    assert 2.0 < value < 4.0
    assert math.isnan(dynamics._estimated_time(lags, np.array([fast, slow, slow]))[0])


def test_loopless_energy_is_a_sum_over_all_inputs():
    """One perceptron of 4 inputs by itself: bonds in NumPy's other order, all 16 inputs, both outputs."""
    beta, n_patterns, shift = 5.0, 4, 1e-4
    bonds = np.random.default_rng(7).standard_normal((200_000, 4))
    bonds /= np.linalg.norm(bonds, axis=1, keepdims=True)
    gaps = bonds @ np.array(list(itertools.product((-1.0, 1.0), repeat=4))).T
    below = np.minimum(np.concatenate([gaps, -gaps], axis=1), 0.0) ** 2
    log_z = [np.log(np.mean(np.exp(-b * below).mean(axis=1) ** n_patterns)) for b in (beta + shift, beta - shift)]
    energy = (log_z[1] - log_z[0]) / (2 * shift * n_patterns)
    found = _dilution.loopless_energy(4, n_patterns, beta)
    assert abs(found.pull(energy)) < 4 and found.error < 1e-4
    assert _dilution.loopless_energy(400, 400, beta).value == pytest.approx(_instances.liquid_energy(beta), rel=2e-3)


def test_networks_of_limited_connectivity_are_without_loops_where_they_are_wide(tmp_path):
    """Between the outer layers."""
    (result,) = _instances.run_all([_dilution._liquid(64, 8, 8)], tmp_path)
    energy, theory = _dilution._energy(result), _dilution.loopless_energy(8, 8, 5.0).value
    assert abs(energy.pull(theory)) < 4 and energy.error < 0.005 * theory


def test_graphs_differ_from_instance_to_instance():
    one, other = (_dilution._cold(8, 2).network(seed) for seed in (1, 2))
    assert one.connectivity == 8 and not np.array_equal(one.inputs(1), other.inputs(1))
    assert _dilution._liquid(8, 8, 1).network(1).connectivity is None


def test_silence_wins_above_a_load_of_five():
    # Mean of exp(-beta v) over a normal gap, by numbers.
    x, w = np.polynomial.hermite_e.hermegauss(200)
    mean = np.sum(w * np.exp(-20.0 * np.minimum(x, 0.0) ** 2)) / np.sqrt(2.0 * np.pi)
    assert dynamics._silence(4.0, 20.0) == pytest.approx(-4.0 * np.log(mean) - 0.5 * np.log(80.0 * np.e), abs=0.02)
    assert dynamics._silence(5.0, 20.0) < 0.0 < dynamics._silence(5.3, 20.0)
    assert _instances.liquid_energy(20.0) == pytest.approx(0.003294587950, abs=1e-12)


@pytest.mark.slow
def test_silent_layers_have_parallel_bonds():
    point = Point(32, load=8)
    simulation, _ = dg.mc.anneal(
        point.network(),
        dg.mc.random_data(point.network(), point.n_patterns, seed=5),
        beta=np.geomspace(0.2, 20.0, 60),
        sweeps=50,
        n_chains=1,
        seed=5,
    )
    variance = _instances._field_variance(simulation)
    assert variance[0] > 0.5 and variance[1:].max() < 0.05  # the inputs of layer 1 are data
    for bonds in simulation.bonds(0)[1:]:
        cosines = np.abs(bonds @ bonds.T) / 32
        # The deviation from the common direction is 1/(load beta) = 0.006 by equipartition.
        assert cosines.mean() > 0.95


# ---- The view


def test_correlations_draw_each_layer(tmp_path):
    (result,) = _instances.run_all([TINY], tmp_path)
    for kind, n_layers in (("neuron", 2), ("bond", 3)):
        ax = dg.plot.correlations(result, kind)
        assert [line.get_label() for line in ax.lines] == [str(layer) for layer in range(1, n_layers + 1)]
        for layer, line in enumerate(ax.lines, start=1):
            values = result[f"{kind}_correlation"].isel(waiting_time=-1).sel(layer=layer).mean("instance")
            np.testing.assert_array_equal(line.get_xdata(), result["lag"][1:])
            np.testing.assert_allclose(line.get_ydata(), values[1:], rtol=1e-14)
        assert len(ax.collections) == n_layers and ax.get_xscale() == "log"
    early = dg.plot.correlations(result, waiting_time=0, legend=False)
    np.testing.assert_allclose(
        early.lines[0].get_ydata(), result["neuron_correlation"].sel(waiting_time=0, layer=1).mean("instance")[1:]
    )
    assert early.get_legend() is None


def test_correlations_refuse_what_is_not_there(tmp_path):
    (result,) = _instances.run_all([TINY], tmp_path)
    with pytest.raises(ValueError, match="kind must be 'neuron' or 'bond', got 'spin'"):
        dg.plot.correlations(result, "spin")
    with pytest.raises(ValueError, match=r"waiting_time must be one of those of the run, \[0, 5\], got 7"):
        dg.plot.correlations(result, waiting_time=7)
    with pytest.raises(ValueError, match="run must have neuron_correlation: give lags"):
        dg.plot.correlations(result.drop_vars("neuron_correlation"))


# ---- All of it


def test_all_is_written(tmp_path):
    short = {"n_instances": 2, "n_steps": 2, "step_sweeps": 5, "waiting_times": (0, 10), "longest_lag": 1000}
    points = tuple(dataclasses.replace(point, width=point.width // 4, **short) for point in dynamics._QUICK)
    few = [point for point in _dilution.QUICK if point.width <= 8 or (point.connectivity == 16 and point.load > 1)]
    dilute = tuple(dataclasses.replace(point, **short | {"longest_lag": 100}) for point in few)
    written = dynamics._reproduce(tmp_path, points, dilute)
    assert all(path.stat().st_size > 0 for path in written)
    assert [path.suffix for path in written].count(".png") == [path.suffix for path in written].count(".pdf") == 5
    on_the_page = {name for system in SYSTEMS for name in system.shown}
    assert {f"dynamics/{path.stem}" for path in written if path.suffix == ".png"} <= on_the_page
    table = (tmp_path / "table.txt").read_text("utf-8")
    # Layer 1 is ordered in the theory of load 4.
    assert re.search(r"^q_EA\(1\) of the theory, load 4 +0\.099 ", table, re.MULTILINE)
    assert len(re.findall(r"^data added step by step, N = 8", table, re.MULTILINE)) == 3
    times = dg.load(tmp_path / "relaxation_times.nc")
    assert times["width"].values.tolist() == [4, 8] and np.isnan(times["neuron_time"].sel(layer=8)).all()


@pytest.mark.slow
def test_quick(tmp_path):
    written = dg.reproduce.run("dynamics", output=tmp_path, quick=True)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    table = (tmp_path / "dynamics" / "table.txt").read_text("utf-8")
    for kind in ("neurons", "bonds"):
        assert re.search(rf"ends slower than the centre \({kind}, N = 32\) +yes +yes ", table)
    assert re.search(r"silent layers at the end, N = 32 +- +0 of 8", table)
    assert re.search(r"silent layers, load 16, N = 16 +- +4 of 4", table)


# An earlier run of another program: N = 32, L = 8, M = 128, beta = 20 after annealing (60 steps of 50 sweeps) and
# 3000 sweeps, steps up to 0.5, lag 100, mean of 4 instances.
GATE_NEURON = [0.572, 0.408, 0.375, 0.377, 0.389, 0.435, 0.614]
GATE_BOND = [0.714, 0.640, 0.611, 0.607, 0.611, 0.638, 0.659, 0.748]


@pytest.mark.slow
def test_gate(tmp_path):
    n = 12
    point = Point(32, n_instances=n, waiting_times=(3000,), longest_lag=100)
    (result,) = _instances.run_all([point], tmp_path)
    at_100 = result.isel(waiting_time=-1).sel(lag=100)
    for kind, expected in (("neuron", GATE_NEURON), ("bond", GATE_BOND)):
        values = at_100[f"{kind}_correlation"].transpose("instance", "layer").values[:, : len(expected)]
        # Errors of both means, from the spread of ours; pooled over layers, as 12 instances give it to 20% only.
        spread = np.sqrt(values.var(axis=0, ddof=1).mean())
        pulls = (values.mean(axis=0) - expected) / (spread * np.sqrt(1.0 / n + 1.0 / 4.0))
        assert np.abs(pulls).max() < 4.0
        assert np.mean(pulls**2) < 3.0  # of 7 or 8 normal numbers: beyond it in one of 500
        mean, error = values.mean(axis=0), spread / np.sqrt(n)
        centre = mean[len(mean) // 2]
        assert mean[0] - centre > 5.0 * error and mean[-1] - centre > 5.0 * error
        assert mean.argmax() == len(mean) - 1 and mean[1:-1].max() < min(mean[0], mean[-1])
