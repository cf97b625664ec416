"""Parameter sweeps: the same dataset whoever computes it, in any order, after failures, kills and restarts."""

import functools
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepglass as dg
from deepglass.random import child_seed

pytestmark = pytest.mark.same_bits


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Spawned processes find this file by its module's name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[__name__.count(".")])


GRID = {"load": [0.5, 1.0, 2.0], "bonds": ["spherical", "binary"]}


def product(load, bonds, seed, threads):
    return xr.Dataset({"twice": 2 * load, "own_seed": np.uint64(seed), "threads": threads, "kind": bonds[0]})


def spectrum(n, seed=0):
    """Results of different lengths."""
    return xr.Dataset({"eigenvalue": ("level", np.arange(float(n))), "fine": True, "size": n, "name": "x" * n})


def fails_at(load, bonds, below=1.0, calls=None):
    if calls is not None:
        with open(calls, "a") as file:
            file.write(f"{load} {bonds}\n")
    if load < below:
        raise ValueError(f"load must be larger, got {load}")
    return {"value": load, "converged": True, "label": bonds}


def dies_once(n, folder, seed):
    """Kills its process the first time that n is 5, slowly enough that other points are under way."""
    flag = Path(folder) / "died"
    if n == 5 and not flag.exists():
        flag.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return n * n


def test_one_dataset_over_the_product():
    found = dg.sweep(product, GRID, seed=7)
    assert found["twice"].dims == ("load", "bonds")
    np.testing.assert_array_equal(found["twice"].sel(bonds="binary"), [1.0, 2.0, 4.0])
    seeds = [child_seed(7, index) for index in range(6)]
    assert found["seed"].values.ravel().tolist() == found["own_seed"].values.ravel().tolist() == seeds
    assert found["kind"].sel(load=2.0).values.tolist() == ["s", "b"]
    assert (found["failure"] == "").all() and (found["threads"] == 0).all()
    assert json.loads(found.attrs["parameters"])["grid"] == GRID and found.attrs["seed"] == "7"
    children = np.random.SeedSequence(7).spawn(6)
    assert seeds == [int(child.generate_state(1, np.uint64)[0]) for child in children]


def test_what_a_function_may_give():
    assert dg.sweep(lambda x: x * 1j, {"x": [1, 2]})["value"].values.tolist() == [1j, 2j]
    assert dg.sweep(lambda x: np.float32(x), {"x": [1, 2]})["value"].dtype == np.float32
    named = dg.sweep(
        lambda x: xr.DataArray([x, 2.0], dims="side", coords={"side": ["l", "r"]}, name="at"), {"x": [1.0]}
    )
    assert named["at"].dims == ("x", "side") and named["side"].values.tolist() == ["l", "r"]
    estimate = dg.sweep(lambda x: dg.stats.Estimate(x, 0.5), {"x": [1.0]})
    assert (estimate["value"].item(), estimate["error"].item()) == (1.0, 0.5)
    # A coordinate of the result that is the parameter itself goes away; another one becomes a variable.
    inner = dg.sweep(lambda x: xr.Dataset({"y": 1.0}, {"x": x, "other": -x}), {"x": [1.0, 2.0]})
    assert inner["other"].values.tolist() == [-1.0, -2.0] and set(inner.coords) == {"x"}


def test_results_of_different_lengths():
    found = dg.sweep(spectrum, {"n": [1, 3, 2]})
    assert found["eigenvalue"].dims == ("n", "level")
    np.testing.assert_array_equal(found["eigenvalue"], [[0, np.nan, np.nan], [0, 1, 2], [0, 1, np.nan]])
    assert found["size"].values.tolist() == [1, 3, 2] and found["name"].values.tolist() == ["x", "xxx", "xx"]
    levels = dg.sweep(lambda n: xr.DataArray(np.ones(2), dims="at", coords={"at": [0, n]}), {"n": [1, 2]})
    np.testing.assert_array_equal(levels["value"], [[1, 1, np.nan], [1, np.nan, 1]])


def test_failures_stop_nothing_and_are_retried(tmp_path):
    calls = tmp_path / "calls"
    function = functools.partial(fails_at, calls=str(calls))
    with pytest.warns(RuntimeWarning, match=r"2 of 6 points failed, the first at {'load': 0.5, .* got 0.5"):
        found = dg.sweep(function, GRID, store=tmp_path / "store")
    assert (found["failure"].sel(load=0.5) == "ValueError: load must be larger, got 0.5").all()
    assert np.isnan(found["value"].sel(load=0.5)).all() and (found["value"].sel(load=2.0) == 2.0).all()
    assert found["converged"].dtype == bool and not found["converged"].sel(load=0.5).any()
    assert found["label"].sel(bonds="binary").values.tolist() == ["", "binary", "binary"]
    assert "raise ValueError" in (tmp_path / "store" / "000001.txt").read_text()
    assert len(calls.read_text().splitlines()) == 6
    dg.save(found, tmp_path / "found.nc")
    with pytest.warns(RuntimeWarning, match="2 of 6"):
        again = dg.sweep(function, GRID, store=tmp_path / "store")
    assert len(calls.read_text().splitlines()) == 8  # only those two again
    xr.testing.assert_identical(found, again)


def test_all_points_may_fail():
    with pytest.warns(RuntimeWarning, match="2 of 2"):
        found = dg.sweep(lambda x: x / 0, {"x": [1, 2]})
    assert set(found.data_vars) == {"failure", "seed"} and found.sizes == {"x": 2}


def test_results_that_cannot_be_used_are_failures(tmp_path):
    with pytest.warns(RuntimeWarning, match="must give a Dataset, .* got None"):
        dg.sweep(lambda x: None, {"x": [1]})
    with pytest.warns(RuntimeWarning, match="must not have 'x' of its own"):
        dg.sweep(lambda x: xr.Dataset({"y": ("x", [1.0])}), {"x": [1]})
    with pytest.warns(RuntimeWarning, match="must not have 'failure' of its own"):
        dg.sweep(lambda x: {"failure": 1}, {"x": [1]})


def test_restarts_skip_what_is_done(tmp_path):
    first = dg.sweep(product, GRID, store=tmp_path / "s")

    def never(**point):
        raise AssertionError

    never.__module__, never.__qualname__ = product.__module__, product.__qualname__
    again = dg.sweep(never, GRID, store=tmp_path / "s")  # the fresh seed of the first is in the store
    xr.testing.assert_identical(first, again)
    (tmp_path / "s" / "000004.nc").unlink()
    xr.testing.assert_identical(first, dg.sweep(product, GRID, store=tmp_path / "s"))
    seed = int(first.attrs["seed"])
    with pytest.raises(ValueError, match=r"store must be empty or of this sweep, but .* has seed"):
        dg.sweep(product, GRID, store=tmp_path / "s", seed=seed + 1)
    with pytest.raises(ValueError, match=r"store must be empty or of this sweep, but .* has grid"):
        dg.sweep(product, GRID | {"load": [0.5]}, store=tmp_path / "s")
    with pytest.raises(ValueError, match=r"store must be empty or of this sweep, but .* has function"):
        dg.sweep(fails_at, GRID, store=tmp_path / "s")


def test_an_interrupt_keeps_what_is_done(tmp_path):
    def interrupted(x):
        if x == 2:
            raise KeyboardInterrupt
        return x

    with pytest.raises(KeyboardInterrupt):
        dg.sweep(interrupted, {"x": [0, 1, 2, 3]}, store=tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.nc")) == ["000000.nc", "000001.nc"]


@pytest.mark.no_sanitizer
def test_processes_give_the_same_after_an_interrupt(tmp_path):
    alone = dg.sweep(product, GRID, seed=7, threads=1)
    started = multiprocessing.get_context("spawn")
    done = []

    def press(n_done, n_points):
        done.append(n_done)
        if n_done == 2:
            raise KeyboardInterrupt

    with ProcessPoolExecutor(2, mp_context=started) as pool:
        with pytest.raises(KeyboardInterrupt):
            dg.sweep(product, GRID, seed=7, executor=pool, store=tmp_path, progress=press)
        kept = len(list(tmp_path.glob("*.nc")))
        assert 2 <= kept <= 6
        together = dg.sweep(product, GRID, seed=7, executor=pool, store=tmp_path, progress=lambda n, _: done.append(n))
        assert done[3] == kept and done[-1] == 6
        xr.testing.assert_identical(alone, together)
        with pytest.warns(RuntimeWarning, match=r"2 of 2 .*([Pp]ickle|local object)"):  # it cannot be sent
            dg.sweep(lambda x: x, {"x": [1, 2]}, executor=pool)


@pytest.mark.no_sanitizer
def test_a_dead_process_fails_its_points_and_a_restart_does_them(tmp_path):
    function = functools.partial(dies_once, folder=str(tmp_path))
    grid = {"n": range(8)}
    started = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=started) as pool, pytest.warns(RuntimeWarning, match="BrokenProcessPool"):
        found = dg.sweep(function, grid, executor=pool, store=tmp_path / "s")
    assert (found["failure"] == "").values.tolist() == [True] * 5 + [False] * 3
    with ThreadPoolExecutor(2) as pool:
        found = dg.sweep(function, grid, executor=pool, store=tmp_path / "s")
    assert found["value"].values.tolist() == [n * n for n in range(8)] and (found["failure"] == "").all()


@pytest.mark.no_sanitizer
def test_dask_loses_nothing_with_a_worker(tmp_path):
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
            function = functools.partial(dies_once, folder=str(tmp_path))
            found = dg.sweep(function, {"n": range(20)}, executor=client.get_executor(), seed=1)
    assert (tmp_path / "died").exists()
    assert (found["failure"] == "").all() and found["value"].values.tolist() == [n * n for n in range(20)]


@pytest.mark.no_sanitizer
def test_mpi_ranks_give_the_same(tmp_path):
    pytest.importorskip("mpi4py")
    program = tmp_path / "ranks.py"
    program.write_text(
        textwrap.dedent(f"""
        import importlib.util, os, sys
        from mpi4py.futures import MPIPoolExecutor
        import deepglass as dg
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_sweep import GRID, product
        if __name__ == "__main__":
            with MPIPoolExecutor() as pool:
                dg.save(dg.sweep(product, GRID, seed=7, executor=pool), {str(tmp_path / "found.nc")!r})
        """)
    )
    command = ["mpiexec", "-n", "2", sys.executable, "-m", "mpi4py.futures", str(program)]
    root = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
    done = subprocess.run(command, env=os.environ | root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found, alone = dg.load(tmp_path / "found.nc"), dg.sweep(product, GRID, seed=7, threads=1)
    for name in ("twice", "own_seed", "threads", "failure"):
        np.testing.assert_array_equal(found[name], alone[name])


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "grid must be a dict"),
        ({"seed": [1]}, "names of the grid"),
        ({"a b": [1]}, "names of the grid"),
        ({"x": []}, "distinct numbers or distinct texts"),
        ({"x": [1, 1]}, "distinct numbers or distinct texts"),
        ({"x": [1, "a"]}, "distinct numbers or distinct texts"),
        ({"x": [[1], [2]]}, "distinct numbers or distinct texts"),
        ({"x": "abc"}, "distinct numbers or distinct texts"),
        ({"x": [None]}, "distinct numbers or distinct texts"),
        ({"x": [float("nan")]}, "distinct numbers or distinct texts"),
    ],
)
def test_grids_that_are_none(grid, message):
    with pytest.raises(ValueError, match=message):
        dg.sweep(lambda **point: 1.0, grid)


def test_other_arguments():
    with pytest.raises(ValueError, match="function must be callable"):
        dg.sweep(3, {"x": [1]})
    with pytest.raises(ValueError, match="threads must be an integer"):
        dg.sweep(lambda x: x, {"x": [1]}, threads=-1)
    bound = functools.partial(product, seed=3)
    assert (dg.sweep(bound, GRID, seed=1)["own_seed"] == 3).all()
    points = [(float(x), y) for x, y in itertools.product([1, 2], [3, 4])]
    seen = []
    dg.sweep(lambda x, y: seen.append((x, y)) or 0.0, {"x": [1.0, 2.0], "y": [3, 4]})
    assert seen == points  # the last name is the fastest
