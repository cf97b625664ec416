"""Saving and loading: what goes in comes out, and a failed write harms nothing."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import deepglass
from deepglass import _core, io

pytestmark = pytest.mark.same_bits

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBER = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(), st.complex_numbers())
DTYPE = st.sampled_from([np.float64, np.float32, np.complex128, np.int64, np.int8, np.bool_, np.uint64])


@st.composite
def datasets(draw: st.DrawFn) -> xarray.Dataset:
    n_fields = draw(st.integers(0, 5))
    variables = {
        name: (("chain", "field"), draw(arrays.arrays(draw(DTYPE), (2, n_fields))), {"symbol": draw(TEXT)})
        for name in draw(st.sets(st.sampled_from(["overlap", "local_field", "action"])))
    }
    coordinates = {"field": np.arange(n_fields) / 2, "chain": ["first", draw(TEXT)]}
    attributes = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.one_of(TEXT, NUMBER)))
    return xarray.Dataset(variables, coordinates, attributes)


@given(dataset=datasets())
def test_round_trip(dataset: xarray.Dataset, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.nc"
    io.save(dataset, path)
    loaded = io.load(path)
    xarray.testing.assert_identical(loaded, dataset)
    for name, variable in dataset.variables.items():
        if variable.dtype.kind != "U":  # text comes back as wide as it needs to be
            assert loaded[name].dtype == variable.dtype
    assert os.listdir(path.parent).count("round_trip.nc") == 1


def test_units_of_time_stay_numbers(tmp_path: Path) -> None:
    dataset = xarray.Dataset({"flow_time": ("step", [0.0, 0.5], {"units": "s"})}, {"step": [0, 1]})
    io.save(dataset, tmp_path / "a.nc")
    xarray.testing.assert_identical(io.load(tmp_path / "a.nc"), dataset)


def test_long_attribute(tmp_path: Path) -> None:
    dataset = xarray.Dataset(attrs={"parameters": "x" * 200_000})  # HDF5 keeps short ones in the header
    io.save(dataset, tmp_path / "a.nc")
    assert io.load(tmp_path / "a.nc").attrs == dataset.attrs


@pytest.mark.parametrize("value", [True, None, b"x", {"a": 1}, np.array([True]), 2**64, object()])
def test_attributes_are_checked(value: object, tmp_path: Path) -> None:
    for dataset, owner in [
        (xarray.Dataset(attrs={"converged": value}), "the dataset"),
        (xarray.Dataset({"overlap": ((), 1.0, {"converged": value})}), "overlap"),
    ]:
        with pytest.raises(TypeError, match=f"attribute 'converged' of {owner} must be text, a number"):
            io.save(dataset, tmp_path / "a.nc")
    assert not os.listdir(tmp_path)
    with pytest.raises(TypeError, match="names of attributes must be text, the dataset has 1"):
        io.save(xarray.Dataset(attrs={1: "one"}), tmp_path / "a.nc")


@pytest.mark.parametrize("place", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_failed_write_leaves_the_old_file(
    place: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nc"
    old = xarray.Dataset({"overlap": ("draw", np.arange(3.0))})
    io.save(old, path)

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(os, place, fail)
    with pytest.raises(type(error)):
        io.save(old * 2, path)
    assert os.listdir(tmp_path) == ["a.nc"]
    xarray.testing.assert_identical(io.load(path), old)


@pytest.mark.no_sanitizer
def test_full_disk(tmp_path: Path) -> None:
    """The system itself refuses to write beyond 100 kB, as a full disk would."""
    code = """if True:
        import resource, sys
        import numpy, xarray
        from deepglass import io

        io.save(xarray.Dataset({"overlap": ("draw", numpy.zeros(10))}), sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            io.save(xarray.Dataset({"overlap": ("draw", numpy.zeros(100_000))}), sys.argv[1])
        except OSError as error:
            print("OSError", error.errno)
        """
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.nc"], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["OSError", str(errno.EFBIG)], "")
    assert os.listdir(tmp_path) == ["a.nc"]
    assert io.load(tmp_path / "a.nc")["overlap"].shape == (10,)


def test_odd_places(tmp_path: Path) -> None:
    dataset = xarray.Dataset(attrs={"a": 1})
    with pytest.raises(FileNotFoundError):
        io.save(dataset, tmp_path / "missing" / "a.nc")
    with pytest.raises(OSError, match="is not a file"):
        io.save(dataset, tmp_path)
    with pytest.raises(OSError, match="is not a file"):
        io.save(dataset, os.devnull)
    with pytest.raises(FileNotFoundError):
        io.load(tmp_path / "a.nc")
    (tmp_path / "link.nc").symlink_to(tmp_path / "a.nc")
    io.save(dataset, tmp_path / "link.nc")
    assert (tmp_path / "link.nc").is_symlink()
    assert io.load(tmp_path / "a.nc").attrs == {"a": 1}


def test_provenance() -> None:
    parameters = {
        "beta": math.inf,
        "load": np.float64(0.5),
        "weights": np.array([1.0, np.nan]),
        "long": np.zeros(2000),
        "function": math.erf,
        "path": Path("a"),
        "phase": 1 + 2j,
        "flags": {True, False},
        "depth": (1, None),
        "generator": np.random.default_rng(1),
    }
    attributes = io.provenance("mc.run", parameters, seed=np.random.SeedSequence(2**100, spawn_key=(3,)))
    assert attributes["deepglass_version"] == deepglass.__version__
    assert attributes["cpu_level"] == _core.isa
    assert attributes["function"] == "mc.run"
    assert json.loads(attributes["seed"]) == {"entropy": 2**100, "spawn_key": [3]}
    read = json.loads(attributes["parameters"])
    long = read.pop("long")
    assert (long["shape"], long["dtype"], len(long["sha256"])) == ([2000], "float64", 64)
    assert read == {
        "beta": "inf",
        "load": 0.5,
        "weights": [1.0, "nan"],
        "function": "math.erf",
        "path": "a",
        "phase": {"real": 1.0, "imag": 2.0},
        "flags": [False, True],
        "depth": [1, None],
        "generator": "numpy.random._generator.Generator",
    }
    assert "seed" not in io.provenance("mc.run", {})
