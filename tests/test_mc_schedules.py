"""Annealing and replica exchange: each step is a direct run, each temperature has its own law."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepglass import load, save
from deepglass.mc import Data, PerceptronNetwork, Simulation, anneal, data_from, random_data, replica_exchange
from deepglass.mc.schedules import _Exchange
from deepglass.reference.mc_exact import enumerate_network
from deepglass.stats import gamma_method

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

NETWORK = PerceptronNetwork(width=(7, 5, 6, 3), depth=3)
DATA = random_data(NETWORK, 19, seed=1)


def state(sim: Simulation) -> list[bytes]:
    return [array.tobytes() for chain in range(sim.n_chains) for array in sim._engine.memory(chain)]


def z_score(a: Any, b: Any) -> float:
    return abs(a.value - b.value) / math.hypot(a.error, b.error)


# ---- Annealing


def test_annealed_and_direct_agree() -> None:
    network = PerceptronNetwork(width=8, depth=2)
    data = random_data(network, 16, seed=1)
    cold, steps = anneal(network, data, beta=[0.5, 1.0, 2.0, 4.0], sweeps=300, tune=True, n_chains=4, seed=1)
    mean = steps["energy"].sum("layer").mean("chain").values
    assert (np.diff(mean) < 0).all()
    direct = Simulation(network, data, beta=4.0, n_chains=4, seed=2)
    direct.run(1000, every=1000)
    energies = [sim.run(4000)["energy"].sum("layer").values for sim in (cold, direct)]
    assert z_score(*(gamma_method(energy) for energy in energies)) < 4


@pytest.mark.parametrize("tune", [False, True])
def test_sweeps_are_as_asked(tune: bool) -> None:
    sweeps = [1, 2, 3, 9, 40, 101]
    sim, steps = anneal(NETWORK, DATA, beta=2.0, sweeps=sweeps, tune=tune, n_chains=2, seed=1)
    np.testing.assert_array_equal(steps["sweep"], np.cumsum(sweeps))
    assert sim.sweep == sum(sweeps)
    assert (sim.step != 0.5).all() == tune
    np.testing.assert_array_equal(steps["step"][-1], sim.step)
    assert not any(steps[name].isnull().any() for name in ("energy", "acceptance"))


def test_annealing_is_made_of_runs() -> None:
    sim, steps = anneal(NETWORK, DATA, beta=[1.0, math.inf], sweeps=[7, 60], seed=3, n_chains=2)
    direct = Simulation(NETWORK, DATA, beta=1.0, seed=3, n_chains=2)
    direct.run(3)
    first = direct.run(4)
    direct.beta = math.inf
    direct.run(30)
    second = direct.run(30)
    assert state(sim) == state(direct)
    for k, run in enumerate((first, second)):
        for name in ("energy", "acceptance"):
            np.testing.assert_allclose(steps[name][:, k], run[name].mean("draw"), rtol=1e-12)


def test_data_annealing() -> None:
    sizes = [5, 12, 12, 19]
    sim, steps = anneal(NETWORK, DATA, beta=2.0, sweeps=10, n_patterns=sizes, seed=3, n_chains=2)
    np.testing.assert_array_equal(steps["n_patterns"], sizes)
    assert sim.sweep == 40 and sim.data is DATA
    # Each step by hand: the old patterns and bonds stay, the new ones come as a direct run starts them.
    direct = Simulation(NETWORK, DATA.subset(5), beta=2.0, seed=3, n_chains=2)
    start = Simulation(NETWORK, DATA, beta=2.0, seed=3, n_chains=2)
    for chain in range(2):
        for a, b in zip(direct.spins(chain), start.spins(chain), strict=True):
            np.testing.assert_array_equal(a, b[:5])
        for a, b in zip(direct.bonds(chain), start.bonds(chain), strict=True):
            np.testing.assert_array_equal(a, b)
    direct.run(10)
    one, _ = anneal(NETWORK, DATA, beta=2.0, sweeps=[10], n_patterns=[5], seed=3, n_chains=2)
    assert state(one) == state(direct)
    two, _ = anneal(
        NETWORK, DATA, beta=0.0, sweeps=[10, 1], n_patterns=[5, 19], seed=3, n_chains=2, spin_passes=0, bond_passes=0
    )  # nothing moves: what the step alone does
    for chain in range(2):
        for a, b in zip(two.spins(chain), start.spins(chain), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(two.bonds(chain), start.bonds(chain), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)  # normalised anew in single precision
    kept, _ = anneal(NETWORK, DATA, beta=2.0, sweeps=[10, 1], n_patterns=[5, 12], seed=3, n_chains=2)
    again = Simulation(NETWORK, DATA.subset(12), beta=2.0, seed=3, n_chains=2)
    again._engine.sweep = 10
    for chain in range(2):
        spins = [np.concatenate([a, b[5:12]]) for a, b in zip(direct.spins(chain), start.spins(chain), strict=True)]
        again.set_state(chain, spins, direct.bonds(chain))
    again.run(1)
    assert state(kept) == state(again)


def test_data_annealing_takes_one_seed() -> None:
    generator = np.random.default_rng(1)
    sim, steps = anneal(NETWORK, DATA, beta=2.0, sweeps=3, n_patterns=[5, 19], seed=generator, n_chains=2)
    again, same = anneal(NETWORK, DATA, beta=2.0, sweeps=3, n_patterns=[5, 19], seed=sim.seed, n_chains=2)
    assert state(sim) == state(again)
    xr.testing.assert_equal(steps, same)
    assert json.loads(steps.attrs["seed"]) == sim.seed


@pytest.mark.parametrize("press", [False, True])
def test_annealing_interrupted(press: bool) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            if press:
                signal.raise_signal(signal.SIGINT)
            raise KeyboardInterrupt

    sim, steps = anneal(NETWORK, DATA, beta=[1.0, 2.0, 3.0], sweeps=10, seed=1, progress=stop)
    assert steps.attrs["interrupted"] == 1 and steps.sizes["anneal_step"] == 2 and sim.sweep == 20
    _, whole = anneal(NETWORK, DATA, beta=[1.0, 2.0, 3.0], sweeps=10, seed=1)
    xr.testing.assert_equal(steps, whole.isel(anneal_step=slice(2)))
    assert "interrupted" not in whole.attrs
    sim.run(3)


def test_arguments_of_anneal() -> None:
    for message, arguments in [
        ("must be sequences of one length", {"beta": 1.0, "sweeps": 3}),
        ("must be sequences of one length", {"beta": [1.0, 2.0], "sweeps": [1, 2, 3]}),
        ("must be sequences of one length", {"beta": [], "sweeps": 3}),
        ("sweeps must be an integer from 1", {"beta": [1.0], "sweeps": 0}),
        ("sweeps must be an integer", {"beta": [1.0], "sweeps": [1.5]}),
        ("beta must be >= 0, got nan", {"beta": [1.0, math.nan], "sweeps": 1}),
        ("n_patterns must not decrease", {"beta": 1.0, "sweeps": 1, "n_patterns": [5, 4]}),
        ("n_patterns must be an integer from 1 to 19", {"beta": 1.0, "sweeps": 1, "n_patterns": [20]}),
        ("n_chains must be", {"beta": [1.0], "sweeps": 1, "n_chains": 0}),
    ]:
        with pytest.raises(ValueError, match=message):
            anneal(NETWORK, DATA, **arguments)


# ---- Replica exchange

CASES = {  # widths, inputs, outputs of the specification
    "A": ((2, 2, 2), [[1, -1], [-1, -1]], [[1, 1], [-1, -1]]),
    "D": (
        (3, 3, 3),
        [[-1, -1, -1], [-1, -1, -1], [-1, 1, 1]],
        [[-1, 1, 1], [-1, -1, -1], [1, -1, -1]],
    ),
}
LADDER = [0.5, 1.0, 2.0, 4.0]


def tiny(name: str) -> tuple[PerceptronNetwork, Data, Any, Any]:
    widths, inputs, outputs = CASES[name]
    network = PerceptronNetwork(width=widths, depth=len(widths) - 1)
    return network, data_from(inputs, outputs), inputs, outputs


@pytest.mark.parametrize("name", CASES)
def test_exact_at_each_temperature(name: str) -> None:
    network, data, inputs, outputs = tiny(name)
    run = replica_exchange(network, data, LADDER, 4000, n_chains=4, burn_in=200, step=2.0, seed=1, threads=1)
    for k, beta in enumerate(LADDER):
        exact = enumerate_network(network.widths, inputs, outputs, beta)
        for layer in range(network.depth):
            estimate = gamma_method(run["energy"].values[:, :, k, layer])
            assert abs(estimate.value - exact.energy_layer[layer]) < 4 * estimate.error
        estimate = gamma_method((run["energy"].values[:, :, k].sum(axis=-1) - exact.energy) ** 2)
        assert abs(estimate.value - exact.energy_variance) < 4 * estimate.error


def test_energy_histograms_of_neighbours() -> None:
    """ln[P_a(E) / P_b(E)] is linear in E, with the slope -(beta_a - beta_b)."""
    network = PerceptronNetwork(width=8, depth=2)
    run = replica_exchange(
        network,
        random_data(network, 16, seed=1),
        [1.0, 1.5, 2.0],
        40_000,
        every=20,
        swap_every=4,
        burn_in=400,
        n_chains=4,
        seed=1,
        threads=1,
    )
    energy = run["energy"].sum("layer").values  # (chain, draw, temperature)
    for a, b in [(0, 1), (1, 2)]:
        both = energy[:, :, [a, b]]
        edges = np.quantile(both, np.linspace(0.02, 0.98, 13))
        counts = np.array([np.histogram(both[:, :, k], edges)[0] for k in (0, 1)], float)
        # The error of each count from blocks of draws, since the draws are correlated.
        blocks = np.array_split(both, 25, axis=1)
        noise = np.array([[np.histogram(x[c, :, k], edges)[0] for x in blocks for c in range(4)] for k in (0, 1)])
        variance = noise.var(axis=1, ddof=1) * noise.shape[1]
        y = np.log(counts[0] / counts[1])
        w = 1 / (variance / counts**2).sum(axis=0)
        E = np.array([both[(both >= low) & (both < high)].mean() for low, high in itertools.pairwise(edges)])
        centre = np.average(E, weights=w)
        slope = np.sum(w * (E - centre) * y) / np.sum(w * (E - centre) ** 2)
        error = np.sum(w * (E - centre) ** 2) ** -0.5
        assert abs(slope - 0.5) < 4 * error < 0.2
        residual = y - np.average(y, weights=w) - slope * (E - centre)
        assert np.sum(w * residual**2) < 10 + 4 * math.sqrt(20)  # chi^2 of 12 bins and two parameters


def test_swaps() -> None:
    network = PerceptronNetwork(width=8, depth=2)
    data = random_data(network, 16, seed=1)
    ladder = np.array([1.0, 1.3, 1.7, 2.0])
    run = replica_exchange(network, data, ladder, 4000, n_chains=4, burn_in=100, seed=1, threads=1)
    replica = run["replica"].values
    np.testing.assert_array_equal(np.sort(replica, axis=-1), np.broadcast_to(np.arange(4), replica.shape))
    energy = run["energy"].sum("layer").values
    for k in range(3):
        gain = np.exp(np.minimum((ladder[k] - ladder[k + 1]) * (energy[..., k] - energy[..., k + 1]), 0.0))
        expected = gamma_method(gain)
        # Each pair has its turn every second time: 2000 attempts in each of four chains.
        swaps = run["swap_acceptance"].values[:, k]
        error = math.hypot(expected.error, math.sqrt(expected.value * (1 - expected.value) / 8000))
        assert abs(swaps.mean() - expected.value) < 4 * error
    moved = np.diff(replica, axis=1) != 0
    assert moved.any(axis=(1, 2)).all()
    assert (run["round_trips"] > 0).all()


def test_ladders_are_reproducible_and_independent() -> None:
    def ladders(**options: Any) -> xr.Dataset:
        return replica_exchange(NETWORK, DATA, LADDER, 60, **{"seed": 4, "burn_in": 7, "n_chains": 2, **options})

    one, two, more = ladders(), ladders(threads=2), ladders(n_chains=3)
    xr.testing.assert_identical(one.drop_attrs(), two.drop_attrs())
    xr.testing.assert_identical(one.drop_attrs(), more.isel(chain=slice(2)).drop_attrs())
    assert not one["energy"].equals(ladders(seed=5)["energy"])
    assert dict(one.sizes) == {"chain": 2, "draw": 60, "temperature": 4, "layer": 3, "neighbour": 3}
    coarse = ladders(every=6)
    np.testing.assert_array_equal(coarse["energy"], one["energy"][:, 5::6])
    np.testing.assert_array_equal(coarse["replica"], one["replica"][:, 5::6])
    xr.testing.assert_equal(coarse["swap_acceptance"], one["swap_acceptance"])


def test_ladder_on_disk(tmp_path: Any) -> None:
    run = replica_exchange(NETWORK, DATA, LADDER, 20, swap_every=4, burn_in=6, seed=4)
    save(run, tmp_path / "run.nc")
    xr.testing.assert_identical(load(tmp_path / "run.nc"), run)
    np.testing.assert_array_equal(run["draw"], 8 + 4 * np.arange(1, 6))
    assert json.loads(run.attrs["parameters"])["betas"] == LADDER and json.loads(run.attrs["seed"]) == 4


def test_round_trips_by_hand() -> None:
    exchange = _Exchange(np.array([1.0, 2.0, 3.0]), 1, seed=1)
    walks = np.array(
        [
            [0, 1, 2, 1, 0, 0, 1, 0, 1, 2, 2, 1, 0],  # two round trips
            [1, 0, 0, 2, 2, 2, 2, 2, 0, 0, 1, 0, 2],  # one
            [2, 2, 1, 0, 1, 1, 0, 1, 2, 1, 0, 2, 1],  # one: before its first time at the hot end nothing counts
        ]
    )
    for place in walks.T:
        exchange.place = place[None]
        exchange.count_round_trips(measured=True)
    assert exchange.round_trips.tolist() == [4]


def test_swap_of_sure_cases() -> None:
    exchange = _Exchange(np.array([1.0, 2.0, 3.0, 4.0]), 2, seed=1)
    rising = np.tile([0.0, 1e6, 2e6, 3e6], (2, 1))  # the colder, the higher: always exchanged
    exchange.swap(rising, measured=True)
    assert exchange.replica.tolist() == [[1, 0, 3, 2]] * 2
    exchange.swap(rising, measured=True)
    assert exchange.replica.tolist() == [[1, 3, 0, 2]] * 2
    exchange.swap(-rising, measured=True)  # never
    assert exchange.replica.tolist() == [[1, 3, 0, 2]] * 2
    assert exchange.place.tolist() == [[2, 0, 3, 1]] * 2
    assert exchange.acceptance.tolist() == [[0.5, 1.0, 0.5]] * 2


def test_exchange_interrupted() -> None:
    def press(done: int, total: int) -> None:
        if done == 30:
            signal.raise_signal(signal.SIGINT)

    whole = replica_exchange(NETWORK, DATA, LADDER, 60, burn_in=10, every=4, seed=4)
    run = replica_exchange(NETWORK, DATA, LADDER, 60, burn_in=10, every=4, seed=4, progress=press)
    assert run.attrs["interrupted"] == 1 and run.sizes["draw"] == 5
    for name in ("energy", "replica"):
        xr.testing.assert_equal(run[name], whole[name].isel(draw=slice(5)))


def test_exchange_answers_between_two_swaps() -> None:
    def press(done: int, total: int) -> None:
        if done > 0:
            signal.raise_signal(signal.SIGINT)

    run = replica_exchange(NETWORK, DATA, LADDER, 10**8, swap_every=10**8, seed=4, progress=press)
    assert run.attrs["interrupted"] == 1 and run.sizes["draw"] == 0 and run["swap_acceptance"].isnull().all()


CHECKPOINTED: dict[str, Any] = {"burn_in": 10, "swap_every": 4, "every": 8, "n_chains": 2, "seed": 4, "threads": 1}


def exchange(n_sweeps: int = 90, **arguments: Any) -> xr.Dataset:
    given = {"network": NETWORK, "data": DATA, "betas": LADDER, **CHECKPOINTED, **arguments}
    return replica_exchange(given.pop("network"), given.pop("data"), given.pop("betas"), n_sweeps, **given)


@pytest.mark.parametrize("stop_at", [0, 1, 11, 12, 37, 72, 99])
def test_exchange_goes_on_from_a_checkpoint(stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the burn-in, at a swap, between two of them or just before the end."""
    monkeypatch.setattr("deepglass.mc.simulation._PART", 0.0)  # sweep by sweep

    def stop(done: int, total: int) -> None:
        if done >= stop_at:
            raise KeyboardInterrupt

    keep = {"checkpoint": tmp_path / "run.h5", "checkpoint_interval": 0.0}
    expected = exchange()
    first = exchange(**keep, progress=stop)
    assert first.attrs["interrupted"] == 1 and first.sizes["draw"] == max(0, stop_at - 12) // 8
    seen: list[int] = []
    resumed = exchange(**keep, progress=lambda done, total: seen.append(done))
    assert (seen[0], seen[-1]) == (stop_at, 100)
    xr.testing.assert_identical(resumed, expected)
    xr.testing.assert_identical(exchange(**keep, progress=stop), expected.assign_attrs(first.attrs))  # from the file
    assert os.listdir(tmp_path) == ["run.h5"]


def killed_exchange(**arguments: Any) -> xr.Dataset:
    network = PerceptronNetwork(width=(17, 15, 16, 13), depth=3)
    options = {"swap_every": 5, "every": 15, "burn_in": 300, "n_chains": 2, "seed": 5, "threads": 1}
    return replica_exchange(network, random_data(network, 40, seed=1), LADDER, 3000, **options, **arguments)


def test_exchange_killed_at_any_moment(
    tmp_path: Path, killed: Callable[[Callable[..., object], Path], list[int]]
) -> None:
    expected, path = killed_exchange(), tmp_path / "run.h5"
    began = killed(killed_exchange, path)
    assert began == sorted(began) and began[0] == 0 < began[-1] < 3300
    xr.testing.assert_identical(killed_exchange(checkpoint=path), expected)
    assert {name for name in os.listdir(tmp_path) if not name.endswith(".part")} == {"run.h5"}


def test_exchange_and_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "run.h5"
    exchange(checkpoint=path, progress=stop)
    content = path.read_bytes()
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            exchange(checkpoint=path)
    assert path.read_bytes() == content and os.listdir(tmp_path) == ["run.h5"]
    xr.testing.assert_identical(exchange(checkpoint=path), exchange())


def test_checkpoint_of_another_exchange(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    exchange(checkpoint=path)
    content = path.read_bytes()
    count = PerceptronNetwork(width=(7, 5, 6, 3), depth=3, potential="count")
    others: list[tuple[str, dict[str, Any]]] = [
        ("another network: potential", {"network": count}),
        ("another data", {"data": random_data(NETWORK, 19, seed=2)}),
        (r"another run: betas is \[0.5, 1.0, 2.0, 4.0\], not \[0.5, 1.0, 2.0, 5.0\]", {"betas": [0.5, 1.0, 2.0, 5.0]}),
        (r"another run: betas is .*, not \[0.5, 1.0\]", {"betas": [0.5, 1.0]}),
        ("another run: n_sweeps is 90, not 91", {"n_sweeps": 91}),
        ("another run: swap_every", {"swap_every": 2}),
        ("another run: n_chains is 2, not 3", {"n_chains": 3}),
        ("another run: burn_in", {"burn_in": 11}),
        ("another run: every", {"every": 4}),
        ("another simulation: seed is 4, not 5", {"seed": 5}),
        ("another simulation: step", {"step": 0.4}),
    ]
    for message, arguments in others:
        with pytest.raises(ValueError, match=f"checkpoint .*run.h5 is of {message}"):
            exchange(**arguments, checkpoint=path)
    sim = Simulation(NETWORK, DATA, beta=1.0, seed=4)
    with pytest.raises(ValueError, match=r"another run: function is mc.replica_exchange, not mc.Simulation.run"):
        sim.run(90, checkpoint=path)
    assert path.read_bytes() == content
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="checkpoint must be a file that a run wrote"):
        exchange(checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint_interval must be >= 0"):
        exchange(checkpoint=tmp_path / "new.h5", checkpoint_interval=-1.0)


def test_arguments_of_replica_exchange() -> None:
    for message, betas, n_sweeps, arguments in [
        ("betas must be at least two increasing numbers >= 0", [1.0], 10, {}),
        ("betas must be", [2.0, 1.0], 10, {}),
        ("betas must be", [-1.0, 1.0], 10, {}),
        ("betas must be", [1.0, math.inf], 10, {}),
        ("betas must be", [math.nan, 1.0], 10, {}),
        ("betas must be", ["cold", "hot"], 10, {}),
        ("n_sweeps must be", LADDER, 0, {}),
        ("swap_every must be", LADDER, 10, {"swap_every": 0}),
        ("every must be a multiple of swap_every = 2, got 3", LADDER, 10, {"swap_every": 2, "every": 3}),
        ("n_chains must be", LADDER, 10, {"n_chains": 0}),
        ("burn_in must be", LADDER, 10, {"burn_in": -1}),
    ]:
        with pytest.raises(ValueError, match=message):
            replica_exchange(NETWORK, DATA, betas, n_sweeps, **arguments)
    with pytest.raises(MemoryError, match="the measurements need about"):
        replica_exchange(NETWORK, DATA, LADDER, 2**32 - 1, n_chains=1000)
