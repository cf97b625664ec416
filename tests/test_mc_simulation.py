"""Runs: reproducible, divisible, resumable after any death, and what they measure is what it is called."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepglass import _core, io, load, save, stats
from deepglass.mc import (
    Data,
    PerceptronNetwork,
    Simulation,
    align,
    bond_overlap,
    data_from,
    generalisation_error,
    matched_overlap,
    normalised_overlap,
    random_bonds,
    random_data,
    simulate,
    teacher_data,
    training_error,
)
from deepglass.mc._engine import estimated_bytes

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

NETWORK = PerceptronNetwork(width=(7, 5, 6, 3), depth=3)
DATA = random_data(NETWORK, 19, seed=1)
ALL = ("energy", "acceptance", "neuron_overlap", "bond_overlap", "normalised_overlap", "aligned_overlap", "histogram")

needs_slaved = pytest.mark.skipif(not hasattr(_core, "SlavedNetworks"), reason="no kernel of slaved networks")


def simulation(**arguments: Any) -> Simulation:
    return Simulation(
        arguments.pop("network", NETWORK),
        arguments.pop("data", DATA),
        **{"beta": 3.0, "seed": 5, "threads": 1, **arguments},
    )


def state(sim: Simulation) -> list[bytes]:
    return [array.tobytes() for chain in range(sim.n_chains) for array in sim._engine.memory(chain)]


def by_hand(network: PerceptronNetwork, spins: Any, bonds: Any) -> np.ndarray:
    """E_l from the definition, neuron by neuron."""
    energy = np.zeros(network.depth)
    for layer in range(1, network.depth + 1):
        for mu in range(len(spins[0])):
            for i in range(network.widths[layer]):
                field = math.fsum(bonds[layer - 1][i] * spins[layer - 1][mu]) / math.sqrt(network.n_inputs(layer))
                gap = spins[layer][mu, i] * field
                energy[layer - 1] += 0.0 if gap >= 0 else gap**2 if network.potential == "soft" else 1.0
    return energy


# ---- What a simulation is


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"potential": "count"},
        {"bonds": "binary", "potential": "count", "width": 5},
        {"bonds": "binary", "width": 6},
        {"connectivity": 3, "width": 8},
        {"connectivity": 3, "bonds": "binary", "width": (9, 4, 5, 6)},
        {"width": 1, "depth": 1},
    ],
)
@pytest.mark.parametrize("n_patterns", [1, 17])
def test_energy_is_that_of_bonds_and_spins(options: dict[str, Any], n_patterns: int) -> None:
    network = PerceptronNetwork(**{"width": (7, 5, 6, 3), "depth": 3, **options})
    sim = simulation(network=network, data=random_data(network, n_patterns, seed=2), n_chains=2)
    for _ in range(3):
        run = sim.run(5)
        exact = np.array([by_hand(network, sim.spins(chain), sim.bonds(chain)) for chain in range(2)])
        np.testing.assert_allclose(sim.energy(), exact, rtol=1e-12, atol=1e-12)  # bonds are those of float32
        # Running energies come from fields in single precision.
        np.testing.assert_allclose(run["energy"].values[:, -1], exact, rtol=1e-4, atol=1e-4)
    for chain in range(2):
        np.testing.assert_array_equal(sim.spins(chain)[0], sim.data.inputs)
        np.testing.assert_array_equal(sim.spins(chain)[-1], sim.data.outputs)
        for layer, bonds in enumerate(sim.bonds(chain), start=1):
            np.testing.assert_allclose((bonds**2).sum(axis=1), network.n_inputs(layer), rtol=1e-5)  # float32


def test_greedy_energy_never_rises() -> None:
    run = simulation(beta=math.inf, n_chains=3).run(200)
    energy = run["energy"].sum("layer").values
    assert (np.diff(energy, axis=1) <= 1e-4).all()  # of a few units, in single precision
    assert (energy[:, -1] < energy[:, 0]).all()


def test_infinite_temperature_accepts_all() -> None:
    run = simulation(beta=0.0).run(20)
    assert (run["acceptance"] == 1.0).all()
    assert (run["neuron_acceptance"].sel(layer=[1, 2]) == 1.0).all()
    assert run["neuron_acceptance"].sel(layer=3).isnull().all()  # the outputs do not move


def test_a_temperature_for_each_chain() -> None:
    sim = simulation(beta=[0.0, 1.0, 20.0], n_chains=3)
    energy = sim.run(2000)["energy"].sum("layer").mean("draw").values
    assert energy[0] > energy[1] > energy[2]
    alone = simulation(beta=0.0, n_chains=1)
    alone.run(2000)
    assert state(alone) == state(sim)[: len(state(alone))]


# ---- Reproducible


def test_chains_do_not_depend_on_their_number() -> None:
    few, many = (simulation(n_chains=n).run(30, every=4) for n in (2, 5))
    xr.testing.assert_identical(few["energy"], many["energy"].isel(chain=slice(2)))
    xr.testing.assert_identical(few["acceptance"], many["acceptance"].isel(chain=slice(2)))
    energies = many["energy"].values[:, -1].sum(axis=-1)
    assert len(set(energies)) == 5


@pytest.mark.parametrize("n_chains", [1, 3])
def test_threads_change_nothing(n_chains: int) -> None:
    network = PerceptronNetwork(width=33, depth=3)  # large enough that the threads share a sweep
    data = random_data(network, 70, seed=3)
    observe = ("energy", "acceptance", "histogram")
    one, *others = (
        simulation(network=network, data=data, n_chains=n_chains, threads=threads).run(
            24, every=5, observe=observe, lags="log", waiting_times=(0, 3)
        )
        for threads in (1, 2, 4)
    )
    for other in others:
        xr.testing.assert_identical(one, other)


def test_seeds() -> None:
    one, two, three = (simulation(seed=seed) for seed in (1, 1, 2))
    for sim in (one, two, three):
        sim.run(5)
    assert state(one) == state(two) != state(three)
    assert simulation(seed=None).seed != simulation(seed=None).seed


def test_a_run_in_pieces_is_the_same_trajectory() -> None:
    whole, pieces = simulation(), simulation()
    run = whole.run(250)
    parts = [pieces.run(n) for n in (1, 99, 0, 101, 49)]  # over the sweeps at which fields are computed anew
    assert state(whole) == state(pieces)
    together = xr.concat(parts, "draw", data_vars="minimal", coords="minimal", compat="equals", combine_attrs="drop")
    for name in ("energy", "acceptance", "neuron_acceptance"):
        xr.testing.assert_equal(run[name], together[name])
    np.testing.assert_array_equal(together["draw"], np.arange(1, 251))


def test_parts_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clock cuts a run is not to be seen in its result."""
    lags = {"lags": (0, 3, 17), "waiting_times": (0, 5, 21)}
    expected = simulation().run(100, every=7, observe=ALL, **lags)
    advance = Simulation._advance
    for longest in (1, 3, 7, 10, 1000):

        def cut(self: Simulation, n_draws: int, every: int, longest: int = longest) -> Any:
            record = advance(self, n_draws, every)
            self._part = longest
            return record

        monkeypatch.setattr(Simulation, "_advance", cut)
        xr.testing.assert_identical(simulation().run(100, every=7, observe=ALL, **lags), expected)


@pytest.mark.parametrize(("n_sweeps", "every", "n_draws"), [(10, 3, 3), (10, 11, 0), (10, 10, 1), (0, 1, 0), (9, 1, 9)])
def test_draws(n_sweeps: int, every: int, n_draws: int) -> None:
    sim = simulation(n_chains=2)
    sim.run(4)
    fine = simulation(n_chains=2).run(4 + n_sweeps)
    run = sim.run(n_sweeps, every=every, observe=("energy", "acceptance", "bond_overlap"))
    assert sim.sweep == 4 + n_sweeps
    assert dict(run.sizes) == {"chain": 2, "draw": n_draws, "layer": 3, "pair": 1}
    draws = 4 + every * np.arange(1, n_draws + 1)
    np.testing.assert_array_equal(run["draw"], draws)
    np.testing.assert_array_equal(run["energy"], fine["energy"].sel(draw=draws))
    for k, draw in enumerate(draws):  # the acceptance is that of all sweeps since the last draw
        since = fine["acceptance"].sel(draw=slice(draw - every + 1, draw)).mean("draw")
        np.testing.assert_allclose(run["acceptance"].values[:, k], since, rtol=1e-12)


# ---- What is measured


def test_observables_of_a_configuration() -> None:
    data = teacher_data(NETWORK, 25, seed=4, n_test=40)
    sim = simulation(data=data, n_chains=3)
    names = (*ALL, "training_error", "generalisation_error")
    run = sim.run(12, every=6, observe=names)
    assert not any(run[name].isnull().any() for name in set(run.data_vars) - {"neuron_acceptance"})
    machines = [(sim.spins(chain), sim.bonds(chain)) for chain in range(3)]
    last = run.isel(draw=-1)
    assert run["pair"].values.tolist() == ["0-1", "0-2", "1-2"]
    from deepglass.mc import forward

    teacher = (forward(data.teacher, data.inputs), data.teacher)
    pairs = [("", k, machines[a], machines[b]) for k, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)])]
    pairs += [("teacher_", k, teacher, machine) for k, machine in enumerate(machines)]
    for prefix, k, a, b in pairs:
        aligned = align(*a, *b)
        expected = {
            "neuron_overlap": [matched_overlap(x, y) for x, y in zip(a[0][1:], b[0][1:], strict=True)],
            "bond_overlap": [bond_overlap(x, y) for x, y in zip(a[1], b[1], strict=True)],
            "normalised_overlap": [normalised_overlap(x, y) for x, y in zip(a[0][1:], b[0][1:], strict=True)],
            "aligned_overlap": aligned.aligned_overlap[1:],
            "aligned_bond_overlap": aligned.aligned_bond_overlap,
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(last[prefix + name].values[k], values)
    for chain, (spins, bonds) in enumerate(machines):
        assert last["training_error"][chain] == training_error(bonds, data)
        assert last["generalisation_error"][chain] == generalisation_error(bonds, data)
        assert last["unseen_error"][chain] == generalisation_error(bonds, data, only_unseen=True)
        kernel = spins[1].astype(int) @ spins[1].T / NETWORK.widths[1]
        assert abs(kernel[np.triu_indices(25, 1)]).max() <= 1
    density = run["overlap_density"]
    np.testing.assert_allclose(density.sum("bin") * 2 / density.sizes["bin"], 1.0, rtol=1e-12)
    # Layer 3 is that of the data: three outputs, so K is -1, -1/3, 1/3 or 1, at fixed frequencies.
    K = (data.outputs.astype(int) @ data.outputs.T / 3)[np.triu_indices(25, 1)]
    frequency = density.sel(layer=3).values[0] * 2 / density.sizes["bin"]
    assert sorted(frequency[frequency > 0]) == pytest.approx(sorted(np.unique(K, return_counts=True)[1] / K.size))


def test_correlations_by_hand() -> None:
    lags, waiting_times = (0, 1, 4, 9), (0, 5, 8)
    run = simulation(n_chains=2).run(14, every=3, lags=lags, waiting_times=waiting_times)
    sim = simulation(n_chains=2)
    history = [[(sim.spins(c), sim.bonds(c)) for c in range(2)]]
    for _ in range(14):
        sim.run(1)
        history.append([(sim.spins(c), sim.bonds(c)) for c in range(2)])
    assert run["neuron_correlation"].dims == ("chain", "waiting_time", "lag", "layer")
    np.testing.assert_array_equal(run["waiting_time"], waiting_times)
    np.testing.assert_array_equal(run["lag"], lags)
    for c in range(2):
        for k, start in enumerate(waiting_times):
            for j, lag in enumerate(lags):
                neurons, bonds = (run[f"{x}_correlation"].values[c, k, j] for x in ("neuron", "bond"))
                if start + lag > 14:
                    assert np.isnan(neurons).all() and np.isnan(bonds).all()
                    continue
                (s0, j0), (s1, j1) = history[start][c], history[start + lag][c]
                np.testing.assert_allclose(neurons, [np.mean(a * b) for a, b in zip(s0[1:], s1[1:], strict=True)])
                by_layer = [np.sum(a * b) / b.size for a, b in zip(j0, j1, strict=True)]
                np.testing.assert_allclose(bonds, by_layer, rtol=1e-6)  # norms of float32 bonds


def test_logarithmic_lags() -> None:
    run = simulation(n_chains=1).run(120, lags="log", every=120)
    lags = run["lag"].values
    assert lags[0] == 0 and lags[-1] <= 120 and {1, 2, 3, 10, 100} <= set(lags)
    assert np.count_nonzero((lags >= 10) & (lags < 100)) == 8
    C = run["bond_correlation"].values[0, 0]
    np.testing.assert_allclose(C[0], 1.0, rtol=1e-6)
    assert (C[-1] < C[1]).all()


@pytest.mark.parametrize("n_patterns", [12, 16])
def test_planted_start_is_equilibrium(n_patterns: int) -> None:
    """Count potential: over instances E = p times the number of gaps at all times, p = 1 / (1 + e^beta)."""
    network, beta, n_instances = PerceptronNetwork(width=8, depth=3, potential="count"), 1.5, 150
    p, n_gaps = 1 / (1 + math.exp(beta)), 3 * 8 * n_patterns
    energies = []
    for k in range(n_instances):
        data = teacher_data(network, n_patterns, seed=k, noise="gibbs", beta=beta)
        sim = simulation(network=network, data=data, beta=beta, start="planted", n_chains=1, seed=1000 + k)
        start = sim.energy().sum()
        energies.append([start, *sim.run(40, every=20, observe="energy")["energy"].sum("layer").values[0]])
    error = math.sqrt(n_gaps * p * (1 - p) / n_instances)
    assert (abs(np.mean(energies, axis=0) - n_gaps * p) < 4 * error).all()


def test_teacher_start() -> None:
    data = teacher_data(NETWORK, 20, seed=1)
    sim = simulation(data=data, start="teacher", n_chains=2)
    assert (sim.energy() == 0).all()
    np.testing.assert_allclose(sim.bonds(1)[0], data.teacher[0], rtol=1e-6)


def test_tune_reaches_the_acceptance() -> None:
    network = PerceptronNetwork(width=16, depth=2)
    data = random_data(network, 64, seed=1)
    sim = simulation(network=network, data=data, beta=5.0)
    sim.run(100)
    steps = sim.tune(203, acceptance=0.4, rounds=10)
    assert sim.sweep == 303
    np.testing.assert_array_equal(steps, sim.step)
    acceptance = sim.run(100)["acceptance"].mean(["chain", "draw"]).values
    assert (abs(acceptance - 0.4) < 0.05).all()
    binary = simulation(network=PerceptronNetwork(width=(7, 5, 6, 3), depth=3, bonds="binary"))
    before = binary.step.copy()
    np.testing.assert_array_equal(binary.tune(3), before)
    assert binary.sweep == 3


def test_simulate_is_the_same_in_one_call() -> None:
    run = simulate(NETWORK, DATA, 30, beta=3.0, burn_in=21, tune=True, every=3, lags=(0, 2), seed=5, n_chains=2)
    sim = simulation(n_chains=2)
    sim.tune(11)
    sim.run(10)
    xr.testing.assert_identical(run, sim.run(30, every=3, lags=(0, 2)))
    run = simulate(NETWORK, DATA, 5, beta=3.0, seed=5, n_chains=2)
    xr.testing.assert_identical(run, simulation(n_chains=2).run(5))
    with pytest.raises(ValueError, match="every must be an integer"):  # before the burn-in, not after it
        simulate(NETWORK, DATA, 5, beta=3.0, burn_in=2**32 - 1, every=0)


def test_results_are_saved_and_summarised(tmp_path: Path) -> None:
    run = simulation().run(60, observe=ALL, lags="log")
    save(run, tmp_path / "run.nc")
    xr.testing.assert_identical(load(tmp_path / "run.nc"), run)
    summary = stats.summary(run[["energy"]])
    assert "energy" in str(summary)
    assert run.attrs["function"] == "mc.Simulation.run" and json.loads(run.attrs["seed"]) == 5
    parameters = json.loads(run.attrs["parameters"])
    assert parameters["n_sweeps"] == 60 and parameters["start"] == "random" and parameters["n_patterns"] == 19
    assert parameters["network"]["depth"] == 3 and parameters["data"] == dict(DATA.provenance)
    assert (run["beta"] == 3.0).all() and (run["step"] == 0.5).all() and run.attrs["n_sweeps"] == 60
    assert "interrupted" not in run.attrs


# ---- Interrupted


def test_ctrl_c_returns_what_was_measured() -> None:
    def press(done: int, total: int) -> None:
        if done >= 20:
            signal.raise_signal(signal.SIGINT)

    def stop(done: int, total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    whole, handler = simulation(), signal.getsignal(signal.SIGINT)
    full = whole.run(10**4, every=2, lags=(0, 5), waiting_times=(0, 9000))
    for progress in (press, stop):
        sim = simulation()
        run = sim.run(10**5, every=2, lags=(0, 5), waiting_times=(0, 9000), progress=progress)
        assert run.attrs["interrupted"] == 1 and run.attrs["n_sweeps"] == sim.sweep >= 20
        assert run.sizes["draw"] == sim.sweep // 2
        np.testing.assert_array_equal(run["energy"][:, :10], full["energy"][:, :10])
        np.testing.assert_array_equal(run["neuron_correlation"][:, 0], full["neuron_correlation"][:, 0])
        assert signal.getsignal(signal.SIGINT) is handler
        sim.run(10**4 - sim.sweep)
        assert state(sim) == state(whole)


@pytest.mark.no_sanitizer
def test_ctrl_c_from_outside_is_answered_soon() -> None:
    code = """if True:
        import sys, time
        from deepglass.mc import PerceptronNetwork, Simulation, random_data

        network = PerceptronNetwork(width=32, depth=3)
        sim = Simulation(network, random_data(network, 64, seed=1), beta=5.0, n_chains=2, seed=1, threads=1)
        sim.run(10)
        print("started", flush=True)
        run = sim.run(10**7, every=100); draws = (sim.sweep - 10) // 100
        print(time.time(), run.attrs["interrupted"], run.sizes["draw"] == draws, sim.run(5).sizes["draw"])
        """
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    time.sleep(0.5)
    pressed = time.time()
    process.send_signal(signal.SIGINT)
    answered, *rest = process.communicate(timeout=60)[0].split()
    assert rest == ["1", "True", "5"]
    assert float(answered) - pressed < 1.0  # 0.1 s on a machine with nothing else to do


# ---- Checkpoints

CHECKPOINTED = {"every": 13, "observe": ALL, "lags": (0, 1, 30, 150), "waiting_times": (0, 100, 290)}


def test_checkpoint_of_a_whole_run(tmp_path: Path) -> None:
    options = {**CHECKPOINTED, "waiting_times": (0, 20), "lags": "log"}
    expected = simulation().run(50, **options)
    for _ in range(2):  # the second time from the file
        sim = simulation()
        xr.testing.assert_identical(sim.run(50, checkpoint=tmp_path / "run.h5", **options), expected)
        assert sim.sweep == 50
    assert os.listdir(tmp_path) == ["run.h5"]


@pytest.mark.parametrize("stop_at", [0, 1, 100, 101, 233])
def test_run_goes_on_from_a_checkpoint(stop_at: int, tmp_path: Path) -> None:
    """By a new process or by the same simulation, after an interrupt or an error."""
    arguments = CHECKPOINTED | {"checkpoint": tmp_path / "run.h5", "checkpoint_interval": 0.0}
    whole = simulation()
    expected = whole.run(300, **CHECKPOINTED)

    def stop(done: int, total: int) -> None:
        if done >= stop_at:
            raise KeyboardInterrupt

    sim = simulation()
    assert sim.run(300, **arguments, progress=stop).attrs["interrupted"] == 1
    sweep = sim.sweep
    assert stop_at <= sweep < 300
    fresh = simulation()
    seen: list[int] = []
    resumed = fresh.run(300, **arguments, progress=lambda done, total: seen.append(done))
    assert seen[0] == sweep
    xr.testing.assert_identical(resumed, expected)
    os.unlink(tmp_path / "run.h5")
    xr.testing.assert_identical(sim.run(300, **arguments), expected)
    assert state(sim) == state(fresh) == state(whole)


def killed_run(**arguments: Any) -> tuple[Simulation, xr.Dataset]:
    network = PerceptronNetwork(width=(17, 15, 16, 13), depth=3)
    sim = Simulation(network, random_data(network, 40, seed=1), beta=3.0, n_chains=2, seed=5, threads=1)
    sim.tune(10)
    observe = ("energy", "acceptance", "bond_overlap")
    return sim, sim.run(9000, every=47, observe=observe, lags="log", waiting_times=(0, 2000, 6000), **arguments)


@pytest.mark.no_sanitizer
def test_killed_at_any_moment(tmp_path: Path, killed: Callable[[Callable[..., object], Path], list[int]]) -> None:
    """The process is killed five times, with draws, lags and kept configurations in flight."""
    whole, expected = killed_run()
    path = tmp_path / "run.h5"
    began = killed(killed_run, path)
    assert began == sorted(began) and began[0] == 0 < began[-1] < 9000
    sim, run = killed_run(checkpoint=path)
    xr.testing.assert_identical(run, expected)
    assert state(sim) == state(whole)
    assert {name for name in os.listdir(tmp_path) if not name.endswith(".part")} == {"run.h5"}


@pytest.mark.no_sanitizer
def test_full_disk(tmp_path: Path) -> None:
    """The system refuses to write a file beyond a size that the checkpoint outgrows."""
    code = """if True:
        import resource, sys
        from deepglass import io
        from deepglass.mc import PerceptronNetwork, Simulation, random_data

        network = PerceptronNetwork(width=8, depth=2)
        def simulation():
            return Simulation(network, random_data(network, 16, seed=1), beta=3.0, n_chains=2, seed=5)
        def stop(done, total):
            if done >= 30: raise KeyboardInterrupt
        path, options = sys.argv[1], {"lags": (0, 40), "waiting_times": (0, 35)}
        expected = simulation().run(100, **options)
        sim = simulation()
        sim.run(100, checkpoint=path, progress=stop, **options)
        old, size = io.load(path), __import__("os").path.getsize(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
        try:
            sim.run(100, checkpoint=path, **options)
        except OSError as error:
            print("OSError", error.errno, sim.sweep, io.load(path).identical(old))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(sim.run(100, checkpoint=path, **options).identical(expected))
        print(simulation().run(100, checkpoint=path, **options).identical(expected))
        """
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.h5"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.split() == ["OSError", str(errno.EFBIG), "100", "True", "True", "True"]
    assert os.listdir(tmp_path) == ["a.h5"]


def test_checkpoint_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    simulation().run(20, checkpoint=path)
    content = path.read_bytes()
    wide = PerceptronNetwork(width=(7, 5, 6, 3), depth=3, potential="count")
    others: list[tuple[str, Simulation, dict[str, Any]]] = [
        ("another network: potential", simulation(network=wide), {}),
        ("another data", simulation(data=random_data(NETWORK, 19, seed=2)), {}),
        ("another data", simulation(data=random_data(NETWORK, 18, seed=1)), {}),
        ("another simulation: seed is 5, not 6", simulation(seed=6), {}),
        ("another simulation: n_chains is 4, not 2", simulation(n_chains=2), {}),
        ("another simulation: beta", simulation(beta=2.0), {}),
        ("another simulation: step", simulation(step=0.4), {}),
        ("another simulation: spin_passes", simulation(spin_passes=2), {}),
        ("another run: n_sweeps is 20, not 21", simulation(), {"n_sweeps": 21}),
        ("another run: every", simulation(), {"every": 2}),
        ("another run: observe", simulation(), {"observe": "energy"}),
        ("another run: lags", simulation(), {"lags": (1,)}),
    ]
    later = simulation()
    later.run(1)
    others.append(("another run: first_sweep is 0, not 1", later, {}))
    for message, sim, arguments in others:
        before = state(sim), sim.sweep
        with pytest.raises(ValueError, match=f"checkpoint .*run.h5 is of {message}"):
            sim.run(**{"n_sweeps": 20, "checkpoint": path, **arguments})
        assert (state(sim), sim.sweep) == before
        assert path.read_bytes() == content
    io.save(xr.Dataset(), tmp_path / "other.nc")
    (tmp_path / "text.h5").write_text("text")
    path.write_bytes(content[: len(content) // 2])
    for name in ("other.nc", "text.h5", "run.h5"):
        with pytest.raises(ValueError, match="checkpoint must be a file that a run wrote"):
            simulation().run(20, checkpoint=tmp_path / name)
    with pytest.raises(FileNotFoundError):
        simulation().run(20, checkpoint=tmp_path / "missing" / "run.h5")


# ---- Errors


def test_arguments_are_checked() -> None:
    binary = PerceptronNetwork(width=(7, 5, 6, 3), depth=3, bonds="binary")
    for message, arguments in [
        ("inputs must have width 8", {"network": PerceptronNetwork(width=8, depth=2)}),
        ("outputs must have width 4", {"network": PerceptronNetwork(width=(7, 4), depth=1)}),
        ("beta must be >= 0, got -1", {"beta": -1.0}),
        ("beta must be >= 0, got nan", {"beta": math.nan}),
        ("beta must be a number >= 0, or 4 of them", {"beta": [1.0, 2.0]}),
        ("beta must be a number", {"beta": "cold"}),
        (r"step must be in \(0, pi\], got 0", {"step": 0.0}),
        (r"step must be in \(0, pi\], got -0.5", {"step": [0.5, 0.5, -0.5]}),
        (r"step must be in \(0, pi\], got 4", {"step": 4.0}),
        ("n_chains must be an integer from 1", {"n_chains": 0}),
        ("seed must be >= 0", {"seed": -1}),
        ("start must be one of", {"start": "warm"}),
        ("start must be 'random' for data without a teacher", {"start": "teacher"}),
        ("start must be 'random' for data without a teacher", {"start": "planted"}),
        ("no planted equilibrium", {"start": "planted", "data": teacher_data(NETWORK, 9, seed=1)}),
        ("bonds must be .1 or -1", {"start": "teacher", "network": binary, "data": spherical_teacher()}),
        ("bond_passes must be an integer from 0 to 256", {"bond_passes": -1}),
        ("spin_passes must be an integer", {"spin_passes": 1.0}),
        ("trajectory_steps must be an integer", {"trajectory_steps": -1}),
        ("trajectory_steps must be 0 unless", {"trajectory_steps": 3, "network": binary}),
        ("trajectory_step must be > 0", {"trajectory_step": 0.0}),
        ("threads must be an integer from 0", {"threads": -1}),
    ]:
        with pytest.raises(ValueError, match=message):
            simulation(**arguments)
    with pytest.raises(ValueError, match="inputs must be"):
        data_from(np.zeros((3, 7)), np.ones((3, 3)))
    count = PerceptronNetwork(width=6, depth=2, potential="count")
    planted = teacher_data(count, 9, seed=1, noise="gibbs", beta=2.0)
    with pytest.raises(ValueError, match=r"beta must be that of the planted data, 2.0, got \[3.0"):
        simulation(network=count, data=planted, start="planted")
    for wrong, message in [({"network": 3}, "network must be"), ({"data": 3}, "data must be Data")]:
        with pytest.raises(TypeError, match=message):
            simulation(**wrong)


def spherical_teacher() -> Data:
    return Data(DATA.inputs, DATA.outputs, teacher=random_bonds(NETWORK, 1))


def test_arguments_of_a_run_are_checked() -> None:
    sim = simulation(n_chains=1)
    for message, arguments in [
        ("n_sweeps must be an integer from 0", {"n_sweeps": -1}),
        ("n_sweeps must be an integer from 0", {"n_sweeps": 2**32}),
        ("every must be an integer from 1", {"every": 0}),
        ("observe must be one of", {"observe": ("energy", "entropy")}),
        ("observe must not have 'bond_overlap' with one chain and no teacher", {"observe": "bond_overlap"}),
        ("observe must not have 'aligned_overlap' with one chain", {"observe": "aligned_overlap"}),
        ("'generalisation_error': the data have no test set", {"observe": "generalisation_error"}),
        ("lags must be one of 'log'", {"lags": "linear"}),
        ("lags must be an integer from 0 to 10", {"lags": (0, 11)}),
        ("lags must increase", {"lags": (3, 2)}),
        ("waiting_times must be an integer from 0 to 10", {"lags": (1,), "waiting_times": (11,)}),
        ("waiting_times must differ", {"lags": (1,), "waiting_times": (1, 1)}),
        ("checkpoint_interval must be >= 0", {"checkpoint": "x", "checkpoint_interval": -1.0}),
    ]:
        with pytest.raises(ValueError, match=message):
            sim.run(**{"n_sweeps": 10, **arguments})
    for message, name, value in [
        ("acceptance must be in", "acceptance", 1.0),
        ("rounds must be", "rounds", 0),
        ("n_sweeps must be", "n_sweeps", 0),
    ]:
        with pytest.raises(ValueError, match=message):
            sim.tune(**{name: value})
    single = simulation(data=random_data(NETWORK, 1, seed=1))
    with pytest.raises(ValueError, match="'normalised_overlap' with a single pattern"):
        single.run(1, observe="normalised_overlap")
    with pytest.raises(TypeError, match="progress must be"):
        sim.run(1, progress=3)  # type: ignore[arg-type]
    assert sim.sweep == 0


def test_states_are_checked() -> None:
    sim = simulation(n_chains=2)
    sim.run(3)
    spins, bonds = sim.spins(0), sim.bonds(0)
    sim.set_state(1, spins, bonds)
    for a, b in zip(sim.spins(1), spins, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(sim.energy()[0], sim.energy()[1], rtol=1e-5)  # normalised anew in single precision
    for message, wrong in [
        ("chain must be an integer from 0 to 1, got 2", (2, spins, bonds)),
        ("spins must have 4 layers, got 3", (0, spins[1:], bonds)),
        (r"spins must be \+1 or -1", (0, [0 * layer for layer in spins], bonds)),
        ("spins must have shape", (0, [layer[:-1] for layer in spins], bonds)),
        ("bonds must have the shapes", (0, spins, bonds[1:])),
        ("bonds must be finite|bonds must not vanish", (0, spins, [0 * layer for layer in bonds])),
    ]:
        with pytest.raises(ValueError, match=message):
            sim.set_state(*wrong)
    sparse = PerceptronNetwork(width=(7, 5, 6, 3), depth=3, connectivity=2)
    with pytest.raises(ValueError, match="bonds must be 0 where not connected, those of layer 1"):
        simulation(network=sparse).set_state(0, spins, bonds)


def test_memory_is_refused_with_a_number() -> None:
    network = PerceptronNetwork(width=1024, depth=10)
    with pytest.raises(MemoryError, match=r"the chains need about \d+.\d GiB, the machine has \d+.\d GiB"):
        simulation(network=network, data=random_data(network, 10, seed=1), n_chains=2**20)
    with pytest.raises(MemoryError, match="the measurements need about"):
        simulation().run(2**31)
    sim = simulation(n_chains=1, network=(wide := PerceptronNetwork(width=50, depth=4)), data=random_data(wide, 90, 1))
    held = sum(array.nbytes for array in sim._engine.memory(0))
    assert held <= estimated_bytes(wide, 90, 1) <= 2 * held


# ---- Slaved neurons


@needs_slaved
@pytest.mark.parametrize("bonds", ["spherical", "binary"])
def test_slaved_runs(bonds: Any, tmp_path: Path) -> None:
    network = PerceptronNetwork(width=(9, 7, 5), depth=2, hidden="slaved", bonds=bonds)
    data = teacher_data(network, 30, seed=1, n_test=50)
    arguments = {"network": network, "data": data, "beta": 1.0, "n_chains": 3}
    options = {"every": 3, "lags": (0, 2, 30), "observe": ("energy", "acceptance", "generalisation_error")}
    sim = simulation(**arguments)
    run = sim.run(61, **options)
    np.testing.assert_array_equal(
        sim.energy()[:, -1], run["energy"].values[:, -1, -1] if sim.sweep == 60 else sim.energy()[:, -1]
    )
    for chain in range(3):
        wrong = training_error(sim.bonds(chain), data) * data.outputs.size
        assert sim.energy()[chain].tolist() == [0.0, pytest.approx(wrong)]
    assert run["neuron_acceptance"].isnull().all()

    def stop(done: int, total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    path = tmp_path / "run.h5"
    assert "interrupted" in simulation(**arguments).run(61, checkpoint=path, progress=stop, **options).attrs
    other = simulation(**arguments, threads=1)
    xr.testing.assert_identical(other.run(61, checkpoint=path, **options), run)
    for chain in range(3):
        for a, b in zip(sim.bonds(chain), other.bonds(chain), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="bond_passes must be 1"):
        simulation(**arguments, bond_passes=2).run(1)


@needs_slaved
def test_slaved_hard_is_greedy() -> None:
    network = PerceptronNetwork(width=8, depth=1, hidden="slaved", potential="hard")
    data = teacher_data(network, 6, seed=1)
    with pytest.raises(ValueError, match="beta must be infinite for the hard potential"):
        simulation(network=network, data=data)
    run = simulation(network=network, data=data, beta=math.inf).run(300)
    assert (np.diff(run["energy"].sum("layer"), axis=1) <= 0).all()
    assert (run["energy"].isel(draw=-1) == 0).all()
