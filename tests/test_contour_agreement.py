"""Averages of complex phi^4 on all kinds of contours, and from the flux representation, agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import deepglass as dg
from deepglass.contour import ComplexPhi4

pytestmark = pytest.mark.no_sanitizer

QUANTITIES = ("density", "phi2")


def contours(action: ComplexPhi4, flow: bool) -> dict[str, Any]:
    """One of each kind; networks with random weights, so that they do what they can."""
    linear = dg.contour.LinearContour(action)
    rng = np.random.default_rng(1)

    def shaken(network: Any) -> Any:
        # Shifts of up to alpha: the sign problem of a random one grows with the volume.
        moved = {name: value + 0.1 * rng.standard_normal(value.shape) for name, value in network.parameters.items()}
        alpha = 0.3 * action.volume**-0.5 * np.ones_like(moved["alpha"])
        return network.with_parameters(moved | {"alpha": alpha})

    found = {
        "undeformed": dg.contour.RealPlane(),
        "linear": linear,
        "network": shaken(dg.contour.NetworkContour(action, 8, seed=1)),
        "linear + network": shaken(dg.contour.LinearPlusNetwork(action, 8, seed=2)),
        "translation invariant": shaken(dg.contour.TranslationInvariantNetwork(action, 2, seed=3)),
    }
    return found | ({"flow": dg.contour.HolomorphicFlow(action, 0.1, n_steps=4)} if flow else {})


def pulls(action: ComplexPhi4, judge: Any, n_samples: int, flow: bool) -> dict[tuple[str, str], float]:
    """Of every quantity on every contour; the imaginary part of the average phase is 0."""
    found = {}
    for index, (name, contour) in enumerate(contours(action, flow).items()):
        n, n_chains = (n_samples // 8, 16) if name == "flow" else (n_samples, 64)  # the flow is in NumPy
        run = dg.contour.measure(action, contour, n_samples=n, n_chains=n_chains, n_thermal=30, seed=10 + index)
        assert bool(run["resolved"]), name
        for quantity in QUANTITIES:
            error = math.hypot(float(run[f"{quantity}_error"]), float(judge.get(f"{quantity}_error", 0.0)))
            found[name, quantity] = float(run[quantity] - judge[quantity]) / error
        found[name, "imaginary"] = float(run["average_phase_imag"] / run["average_phase_imag_error"])
        if name == "undeformed" and "average_phase" in judge:
            found[name, "phase"] = float((run["average_phase"] - judge["average_phase"]) / run["average_phase_error"])
    return found


@pytest.mark.parametrize(("shape", "mu", "flow"), [((1, 4), 1.0, True), ((2, 4), 0.8, False)])
def test_narrow_lattices(shape: tuple[int, int], mu: float, flow: bool) -> None:
    action = ComplexPhi4(shape, chemical_potential=mu)
    found = pulls(action, dg.contour.transfer_matrix(action), 9600, flow)
    assert max(map(abs, found.values())) < 4, found


@pytest.mark.slow
def test_wide_lattices() -> None:
    found = {}
    for shape, mu, flow in (((4, 4), 0.6, True), ((4, 4), 1.0, False), ((4, 4), 1.2, False), ((8, 8), 0.6, False)):
        action = ComplexPhi4(shape, chemical_potential=mu)
        judge = dg.contour.flux_simulation(action, n_sweeps=100_000, seed=1)
        for key, value in pulls(action, judge, 40_000, flow).items():
            found[(shape, mu, *key)] = value
    values = np.array(list(found.values()))
    assert abs(values).max() < 4, found
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / len(values))
