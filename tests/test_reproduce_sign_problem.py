"""Contours of complex phi^4 and of one variable: runs, files, numbers, tables."""

from __future__ import annotations

import dataclasses
import logging
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepglass as dg

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
contours = pytest.importorskip("deepglass.reproduce._contours")
experiment = pytest.importorskip("deepglass.reproduce._experiment")
one_variable = pytest.importorskip("deepglass.reproduce._one_variable")
sign_problem = pytest.importorskip("deepglass.reproduce.sign_problem")

Lattice, OneVariable = contours.Lattice, contours.OneVariable
SHORT = {"n_samples": 1280, "n_updates": 6, "hidden": 8}


def run_all(tasks: list[object], folder: Path, workers: int = 1) -> list[xr.Dataset]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.ConvergenceWarning)  # the runs are short
        return list(experiment.run_all(tasks, folder, contours.estimated_hours, workers=workers))


# ---- One variable


@pytest.mark.parametrize("name", list(one_variable.MODELS))
def test_saddles_and_thimbles(name: str) -> None:
    model = one_variable.MODELS[name]
    for saddle in one_variable.saddles(model.action):
        assert abs(complex(model.action.gradient(saddle))) < 1e-12
        for upwards in (True, False):
            for line in one_variable.thimble(model.action, complex(saddle), upwards, model.window):
                action = model.action.action(line)
                change = np.diff(action.real) * (1.0 if upwards else -1.0)
                assert change[1:].min() > 0.0
                # The step 0.01 has an error of third order; the first one is straight.
                # arg of the weight is known up to 2 pi.
                turned = np.angle(np.exp(1j * (action.imag - action.imag[0])))
                assert np.abs(turned).max() < 5e-3 * (1.0 + np.abs(action).max())


def test_the_integral_is_the_same_on_all_paths() -> None:
    found = one_variable.compute("quartic", 60, 1, lambda done, total: None)
    assert found["path"].values.tolist() == ["before", "other", "network"]
    # sigma = 1 + 4i on the real axis, and after the flow of time 0.5
    np.testing.assert_allclose(found["average_phase"][:2], [0.663916, 0.998948], atol=1e-6)
    assert found["average_phase"].sel(path="network") > 0.9
    assert found["difference"].max() < 1e-9


# ---- Lattices


def test_transfer_matrix_and_flux_agree(tmp_path: Path) -> None:
    tasks = [Lattice((1, 4), 1.0, "transfer matrix"), Lattice((1, 4), 1.0, "flux", n_samples=8000)]
    exact, flux = run_all(tasks, tmp_path)
    assert float(exact["density"].item()) == pytest.approx(0.2975486876, abs=1e-9)
    assert float(exact["average_phase"].item()) == pytest.approx(0.7657061986, abs=1e-9)
    for name in ("density", "phi2", "average_phase"):
        assert abs(flux[name].item() - exact[name].item()) < 4.0 * flux[f"{name}_error"].item()


def test_finished_runs_and_trained_contours_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Lattice((1, 4), 1.0, "network", **SHORT)
    with caplog.at_level(logging.INFO, "deepglass"):
        (first,) = run_all([task], tmp_path)
    assert caplog.messages[0].startswith("1 of 1 instances to run, 1 at a time: about ")
    path = task.path(tmp_path, 0)
    assert {file.name for file in tmp_path.iterdir()} == {path.name, path.with_suffix(".contour.nc").name}
    path.unlink()

    def trains(*arguments: object, **settings: object) -> None:
        raise AssertionError("is not trained again")

    monkeypatch.setattr(contours.contour, "optimize", trains)
    (again,) = run_all([task], tmp_path)
    assert again.drop_vars("seconds").equals(first.drop_vars("seconds"))
    assert dataclasses.replace(task, mu=1.1).path(tmp_path, 0) != path
    assert dataclasses.replace(task, max_kappa=0.4).path(tmp_path, 0) != path


def test_gain_is_the_ratio_of_average_phases(tmp_path: Path) -> None:
    """A network on the linear contour, by its own draws and by reweighting either way."""
    action = dg.contour.ComplexPhi4((1, 4))
    task = Lattice((1, 4), 1.0, "linear + network", n_compared=8192)
    linear = task.linear(lambda done, total: None)
    network = dg.contour.LinearPlusNetwork(action, 8, linear=linear, seed=1)
    weights = np.random.default_rng(1).standard_normal(network.parameters["W2"].shape)
    worse = network.with_parameters({**network.parameters, "W2": weights, "alpha": np.full(8, 0.3)})
    phases = [dg.contour.measure(action, one, n_samples=32_000, seed=2) for one in (linear, worse)]
    sampled = math.log(phases[1].average_phase / phases[0].average_phase)
    error = math.hypot(*(float(one.average_phase_error / one.average_phase) for one in phases))
    gains = task._gains(linear, worse, lambda done, total: None)
    assert sampled < -10.0 * error
    for name in ("linear", "trained"):
        gain, spread = gains[f"gain_from_{name}"], gains[f"gain_from_{name}_error"]
        assert abs(gain - sampled) < 4.0 * math.hypot(error, spread)


def test_cost_grows_with_the_work() -> None:
    small = Lattice((4, 4), 1.0, "network")
    assert dataclasses.replace(small, n_updates=3000).cost > 3.0 * small.cost > 0.0
    assert dataclasses.replace(small, shape=(8, 8)).cost > 10.0 * small.cost
    assert contours.estimated_hours([]) == 0.0
    hours = [contours.estimated_hours(tasks) for tasks in (sign_problem._QUICK, sign_problem._FULL)]
    assert 0.0 < 10.0 * hours[0] < hours[1]


# ---- All of it


def test_tables_and_pictures(tmp_path: Path) -> None:
    scan = {"flux": {"n_samples": 2000}, "undeformed": {"n_samples": 1280}, "linear": {"n_samples": 1280}}
    tasks = [
        *sign_problem._scan((3,), (0.4, 1.0), scan),
        *sign_problem._scan((3,), (1.0,), {"network": SHORT, "linear + network": {**SHORT, "n_compared": 32}}),
        *sign_problem._volumes((3, 4), 1280, (contours.PROVEN,)),
        Lattice((1, 3), 1.0, "transfer matrix"),
        Lattice((1, 3), 1.0, "invariant network", **SHORT),
        OneVariable("airy"),
        OneVariable("gaussian", 8),
    ]
    written = sign_problem._reproduce(tmp_path, tasks, workers=2)
    assert all(path.stat().st_size > 0 for path in written)
    names = [path.name for path in written]
    assert [path.suffix for path in written].count(".png") == [path.suffix for path in written].count(".pdf") == 5
    assert {"lattices.nc", "agreement.txt", "go_beyond.txt", "table.txt"} <= set(names)
    lattices = dg.load(tmp_path / "lattices.nc")
    for name in ("density", "phi2", "average_phase", "average_phase_imag"):
        pulls = np.abs(lattices[f"{name}_pull"].values)
        # The average phase is compared on the undeformed fields only.
        assert np.isfinite(pulls).sum() == {"average_phase": 2, "average_phase_imag": 11}.get(name, 8)
        assert np.nanmax(pulls) < 4.0
    agreement = (tmp_path / "agreement.txt").read_text("utf-8").splitlines()
    assert sum(line.startswith("| 3x3 ") for line in agreement) == 9
    assert sum(line.startswith("| 1x3 ") for line in agreement) == 2
    beyond = (tmp_path / "go_beyond.txt").read_text("utf-8").splitlines()
    assert sum(line.startswith("| 3x3 ") for line in beyond) == 1
    assert "largest square with average phase > 0.3, mu = 1 " in (tmp_path / "table.txt").read_text("utf-8")


@pytest.mark.slow
def test_quick(tmp_path: Path) -> None:
    written = dg.reproduce.run("sign-problem", output=tmp_path, quick=True)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    lattices = dg.load(tmp_path / "sign-problem" / "lattices.nc")
    for name in ("density", "phi2", "average_phase", "average_phase_imag"):
        assert np.nanmax(np.abs(lattices[f"{name}_pull"])) < 4.0
    linear = lattices.where((lattices.method == "linear") & (lattices.max_kappa == 0.0), drop=True)
    for length, mu, expected in ((4, 1.0, 0.9951), (8, 1.0, 0.9674), (8, 1.2, 0.9257)):  # of another program
        at = linear.where((linear.n_space == length) & (linear.chemical_potential == mu), drop=True)
        assert float(at["average_phase"].item()) == pytest.approx(expected, abs=0.006)
