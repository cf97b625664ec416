"""Training of contours, and contours on disk."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deepglass as dg
from deepglass.contour.training import _adadelta, _adam

pytestmark = pytest.mark.no_sanitizer

Array = NDArray[np.float64]

QUARTIC = dg.contour.Quartic(1 + 4j, 1.0)


def average_phase(contour: Any) -> float:
    """Modulus of the average phase of one variable by the trapezoidal sum."""
    t = np.arange(-8, 8, 0.01)
    weight = np.exp(contour.log_jacobian(t) - contour.action.action(contour.map(t)))
    return float(abs(weight.sum()) / np.abs(weight).sum())


# ---- Optimisers


def test_optimizers_are_those_of_the_papers() -> None:
    # Three updates with the formulas written out.
    gradients = [2.0, -1.0, 0.5]
    adam, adadelta = _adam({"w": ()}), _adadelta({"w": ()})
    first = second = squares = changes = 0.0
    for k, g in enumerate(gradients, 1):
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        expected = (first / (1 - 0.9**k)) / (math.sqrt(second / (1 - 0.999**k)) + 1e-8)
        assert adam({"w": np.array(g)})["w"] == pytest.approx(expected, rel=1e-14)
        squares = 0.9 * squares + 0.1 * g * g
        change = g * math.sqrt(changes + 1e-6) / math.sqrt(squares + 1e-6)
        changes = 0.9 * changes + 0.1 * change**2
        assert adadelta({"w": np.array(g)})["w"] == pytest.approx(change, rel=1e-14)


@pytest.mark.parametrize(("optimizer", "n_updates"), [("adam", 200), ("adadelta", 300)])
def test_training_raises_the_average_phase(optimizer: str, n_updates: int) -> None:
    start = dg.contour.NetworkContour(QUARTIC, 10, seed=1)
    before = repr(start)
    found = dg.contour.optimize(
        QUARTIC, start, n_updates=n_updates, optimizer=optimizer, n_candidates=2, n_held_out=3200, seed=2
    )
    assert repr(start) == before
    assert average_phase(start) < 0.8
    assert average_phase(found.contour) > 0.95
    history = found.history
    assert history["candidate"].values.tolist() == [0, n_updates // 2, n_updates]
    held_out = history["held_out_average_phase"].values
    assert int(history["best"]) == history["candidate"].values[held_out.argmax()]
    error = float(history["held_out_average_phase_error"][0])
    assert abs(held_out[0] - average_phase(start)) < 4 * error
    # The rate: constant for a third, then linearly to 5 %.
    rate = history["rate"].values / history["rate"].values[0]
    np.testing.assert_allclose(rate[: n_updates // 3], 1, rtol=1e-14)
    assert rate[-1] == pytest.approx(0.05)
    np.testing.assert_allclose(np.diff(rate[n_updates // 3 + 1 :], 2), 0, atol=1e-13)
    assert history["acceptance"].mean() > 0.9
    assert history["average_phase"][-10:].mean() > history["average_phase"][:10].mean() + 0.1


def test_candidates_are_means_of_parameters() -> None:
    # With one update a part, the parameters themselves; with all in one part, their mean.
    start = dg.contour.NetworkContour(QUARTIC, 3, seed=1)
    plan: dict[str, Any] = {"n_chains": 8, "n_held_out": 64, "n_updates": 2, "seed": 3}
    rate = 0.01
    runs = [dg.contour.optimize(QUARTIC, start, n_candidates=n, **plan) for n in (1, 2)]
    for run in runs:
        for name, value in run.contour.parameters.items():
            # Adam moves by at most the rate in the first update.
            assert np.abs(value - start.parameters[name]).max() <= 2 * rate * (1 + 1e-6)
    assert runs[0].history["candidate"].values.tolist() == [0, 2]
    assert runs[1].history["candidate"].values.tolist() == [0, 1, 2]


def test_training_that_makes_things_worse_gives_back_the_start() -> None:
    action = dg.contour.ComplexPhi4((1, 4))
    start = dg.contour.LinearPlusNetwork(action, 8, seed=1)
    found = dg.contour.optimize(
        action, start, n_updates=8, rate=1.0, n_chains=16, n_candidates=2, n_held_out=320, seed=1
    )
    held_out = found.history["held_out_average_phase"]
    assert (held_out[1:] < held_out[0]).all()
    assert found.contour is start
    assert int(found.history["best"]) == 0


def test_one_seed_gives_one_result() -> None:
    action = dg.contour.ComplexPhi4((1, 3))
    start = dg.contour.TranslationInvariantNetwork(action, 1, seed=1)
    plan: dict[str, Any] = {"n_updates": 4, "n_chains": 8, "n_candidates": 2, "n_held_out": 64}
    one, two, three = (
        dg.contour.optimize(action, start, seed=seed, threads=threads, **plan)
        for seed, threads in ((5, 0), (5, 1), (6, 0))
    )
    assert one.history.identical(two.history)
    assert repr(one.contour) == repr(two.contour)
    assert not one.history["average_phase"].equals(three.history["average_phase"])


def test_a_gradient_that_is_not_finite_ends_the_training() -> None:
    calls = [0]

    def gradient(z: Any) -> Any:
        calls[0] += 1
        return z if calls[0] < 400 else z * math.nan

    action = dg.contour.CustomAction(lambda z: z**2 / 2, gradient)
    start = dg.contour.NetworkContour(action, 3, seed=1)
    with pytest.warns(dg.ConvergenceWarning, match="the gradient of update .* of 300 is not finite"):
        found = dg.contour.optimize(action, start, n_chains=8, n_held_out=64, seed=1)
    assert 0 < found.history.sizes["update"] < 60
    assert found.history["candidate"].values.tolist() == [0]
    assert found.contour is start


def test_progress_and_provenance() -> None:
    reports: list[tuple[int, int]] = []
    start = dg.contour.NetworkContour(QUARTIC, 3, seed=1)
    found = dg.contour.optimize(
        QUARTIC, start, n_updates=4, n_chains=8, n_candidates=2, n_held_out=64, seed=7,
        progress=lambda done, total: reports.append((done, total)),
    )  # fmt: skip
    assert reports == [(k, 7) for k in range(1, 8)]
    parameters = json.loads(found.history.attrs["parameters"])
    assert (parameters["optimizer"], parameters["rate"], found.history.attrs["seed"]) == ("adam", 0.01, "7")


def test_an_interrupt_goes_through() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    start = dg.contour.NetworkContour(QUARTIC, 3, seed=1)
    with pytest.raises(KeyboardInterrupt):
        dg.contour.optimize(QUARTIC, start, n_chains=8, n_held_out=64, progress=stop)


@pytest.mark.slow
def test_training_of_the_translation_invariant_network() -> None:
    action = dg.contour.ComplexPhi4((4, 4))
    start = dg.contour.TranslationInvariantNetwork(action, 4, seed=1)
    found = dg.contour.optimize(action, start, n_updates=100, seed=1)
    result = dg.contour.measure(action, found.contour, n_samples=6400, n_thermal=50, seed=2)
    assert result["average_phase"] > 0.97
    for name, value, error in (("density", 0.15317, 18e-5), ("phi2", 0.48127, 12e-5)):
        assert abs(result[name] - value) < 4 * math.hypot(float(result[f"{name}_error"]), error), name


# ---- Files

PHI4 = dg.contour.ComplexPhi4((2, 3), 0.9, 1.3, 1.1)
LINE = dg.contour.LinearContour(PHI4, 2.5, 0.1)
CONTOURS = [
    dg.contour.RealPlane(),
    dg.contour.Shift(0.1 + 0.2),
    LINE,
    dg.contour.LinearContour(PHI4),
    dg.contour.LinearContour(dg.contour.Gaussian(1 + 2j, 0.3 - 1j)),
    dg.contour.LinearContour(QUARTIC, max_kappa=0.2),
    dg.contour.NetworkContour(dg.contour.PowerModel(10, 5.0), 4, seed=1),
    dg.contour.NetworkContour(PHI4, 5, seed=1),
    dg.contour.LinearPlusNetwork(PHI4, 5, linear=LINE, seed=1),
    dg.contour.LinearPlusNetwork(QUARTIC, 5, seed=1),
    dg.contour.TranslationInvariantNetwork(PHI4, 2, seed=1),
    dg.contour.TranslationInvariantNetwork(PHI4, 1, linear=LINE, seed=1),
    dg.contour.HolomorphicFlow(dg.contour.Airy(1 / 3), 0.1),
    dg.contour.HolomorphicFlow(PHI4, 0.05, n_steps=3),
]


@pytest.mark.parametrize("contour", CONTOURS, ids=repr)
def test_a_contour_comes_back_as_it_was(contour: Any, tmp_path: Path) -> None:
    if isinstance(contour, dg.contour.NetworkContour):
        rng = np.random.default_rng(1)
        contour = contour.with_parameters({k: v + rng.standard_normal(v.shape) for k, v in contour.parameters.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dg.contour.save(contour, tmp_path / "contour.nc")
        again: Any = dg.contour.load(tmp_path / "contour.nc")
    assert type(again) is type(contour)
    assert repr(again) == repr(contour)
    t = np.random.default_rng(2).standard_normal((3, *getattr(contour, "action", PHI4).field_shape))
    np.testing.assert_array_equal(again.map(t), contour.map(t))
    np.testing.assert_array_equal(again.log_jacobian(t), contour.log_jacobian(t))
    if isinstance(contour, dg.contour.LinearContour):
        assert (again.kappa, again.proven) == (contour.kappa, contour.proven)


def test_a_kernel_of_another_version_is_kept(tmp_path: Path) -> None:
    contour = dg.contour.LinearContour(PHI4)
    contour.kernel = 0.5 * contour.kernel
    dg.contour.save(contour, tmp_path / "contour.nc")
    again: Any = dg.contour.load(tmp_path / "contour.nc")
    np.testing.assert_array_equal(again.kernel, contour.kernel)
    assert again.kappa == pytest.approx(contour.kappa / 2)


# ---- Errors


def test_rejects_what_makes_no_sense(tmp_path: Path) -> None:
    start = dg.contour.NetworkContour(QUARTIC, 3, seed=1)
    custom = dg.contour.CustomAction(lambda z: z**2 / 2, lambda z: z)

    class Mine(dg.contour.RealPlane):
        pass

    dg.io.save(start_dataset(), tmp_path / "other.nc")
    optimize, save, load = dg.contour.optimize, dg.contour.save, dg.contour.load
    for call, message in [
        (lambda: optimize(QUARTIC, dg.contour.RealPlane()), "contour must have parameters"),  # type: ignore[arg-type]
        (lambda: optimize(QUARTIC, dg.contour.LinearContour(QUARTIC)), "contour must have parameters"),  # type: ignore[arg-type]
        (lambda: optimize(QUARTIC, dg.contour.HolomorphicFlow(QUARTIC, 0.1)), "contour must have parameters"),  # type: ignore[arg-type]
        (lambda: optimize("quartic", start), "action must be an Action"),  # type: ignore[arg-type]
        (lambda: optimize(dg.contour.Quartic(1.0), start), "contour must be made for"),
        (lambda: optimize(QUARTIC, start, n_updates=0), "n_updates must be"),
        (lambda: optimize(QUARTIC, start, optimizer="sgd"), "optimizer must be one of"),
        (lambda: optimize(QUARTIC, start, rate=0.0), "rate must be > 0"),
        (lambda: optimize(QUARTIC, start, n_chains=0), "n_chains must be"),
        (lambda: optimize(QUARTIC, start, n_updates=3, n_candidates=4), "n_candidates must be an integer from 1 to 3"),
        (lambda: optimize(QUARTIC, start, n_held_out=255), "n_held_out must be an integer from 256"),
        (lambda: optimize(QUARTIC, start, step=-1.0), "step must be > 0"),
        (
            lambda: save(dg.contour.NetworkContour(custom), tmp_path / "x.nc"),
            "contour must be for one of .* to be saved",
        ),
        (lambda: save(Mine(), tmp_path / "x.nc"), "contour must be one of RealPlane, Shift"),
        (lambda: load(tmp_path / "other.nc"), "path must be a file written by contour.save"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()  # type: ignore[no-untyped-call]
    assert not (tmp_path / "x.nc").exists()


def start_dataset() -> Any:
    import xarray as xr

    return xr.Dataset({"overlap": ("draw", [0.5])})
