"""Contours made by the holomorphic flow: Jacobian, partition function, averages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deepglass as dg

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]  # in NumPy

Array = NDArray[np.float64]

MODELS = [
    dg.contour.Gaussian(1 + 2j, 0.5 - 1j),
    dg.contour.Quartic(-1 + 3j, 1.5, 1 + 2j),
    dg.contour.Airy(0.7),
    dg.contour.PowerModel(10, 5.0),
    dg.contour.ComplexPhi4((2, 3), 0.9, 1.3, 1.1),
]


def oscillators(hessian: bool = True) -> dg.contour.CustomAction:
    """Three coupled variables."""
    matrix = np.array([[1 + 1j, 0.3, 0.1j], [0.3, 1.5 - 0.5j, 0.2], [0.1j, 0.2, 0.8 + 0.4j]])
    return dg.contour.CustomAction(
        lambda z: np.einsum("...i,ij,...j->...", z, matrix, z) / 2 + (z**4).sum(axis=-1) / 4,
        lambda z: z @ matrix + z**3,
        (3,),
        hessian_product=(lambda z, v: v @ matrix + 3 * z**2 * v) if hessian else None,
    )


# ---- Derivatives against differences


@pytest.mark.parametrize("action", [*MODELS, oscillators()], ids=repr)
def test_second_derivatives_against_differences(action: Any) -> None:
    rng = np.random.default_rng(1)
    z, v = (rng.standard_normal((5, *action.field_shape)) + 1j * rng.standard_normal(action.field_shape) for _ in "zv")
    h = 1e-5
    difference = (action.gradient(z + h * v) - action.gradient(z - h * v)) / (2 * h)
    np.testing.assert_allclose(action.hessian_product(z, v), difference, rtol=1e-7, atol=1e-8)  # h^2, rounding / h
    # Broadcast: one z, many v.
    one = action.hessian_product(z[:1], v[3:4])[0]
    np.testing.assert_allclose(action.hessian_product(z[:1], v)[3], one, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("action", [*MODELS, oscillators()], ids=repr)
def test_jacobian_is_the_determinant_of_differences(action: Any) -> None:
    flow = dg.contour.HolomorphicFlow(action, 0.05)
    t = 0.5 * np.random.default_rng(2).standard_normal((3, *action.field_shape))
    n, h = t[0].size, 1e-5
    units = np.eye(n).reshape(n, *action.field_shape)
    columns = [(flow.map(t + h * e) - flow.map(t - h * e)).reshape(3, n) / (2 * h) for e in units]
    expected = np.linalg.det(np.stack(columns, axis=-1))
    np.testing.assert_allclose(np.exp(flow.log_jacobian(t)), expected, rtol=1e-7)


@pytest.mark.parametrize("action", [*MODELS, oscillators()], ids=repr)
def test_force_is_that_of_the_action(action: Any) -> None:
    # By the adjoint flow; the rest is the error of the steps, h^4.
    rng = np.random.default_rng(3)
    t, way = 0.5 * rng.standard_normal((2, 3, *action.field_shape))
    worst = []
    for n_steps in (10, 20):
        flow = dg.contour.HolomorphicFlow(action, 0.1, n_steps=n_steps)
        force = (flow.force(t, action.gradient(flow.map(t))) * way).reshape(3, -1).sum(axis=1)
        h = 1e-5
        up, down = (action.action(flow.map(t + sign * h * way)).real for sign in (1, -1))
        error = np.abs(force + (up - down) / (2 * h)) / (1 + np.abs(force))
        worst.append(error.max())
    assert worst[0] < 1e-4
    assert worst[1] < max(worst[0] / 8, 1e-8)


def test_flow_raises_the_real_part_and_keeps_the_imaginary_part() -> None:
    action = dg.contour.ComplexPhi4((2, 3))
    t = 0.5 * np.random.default_rng(4).standard_normal((8, 2, 2, 3))
    flow = dg.contour.HolomorphicFlow(action, 0.1, n_steps=40)
    before = action.action((t.reshape(8, 12) @ flow.start).reshape(t.shape))
    after = action.action(flow.map(t))
    assert (after.real > before.real).all()
    np.testing.assert_allclose(after.imag, before.imag, atol=1e-6)
    assert abs(before.imag).max() > 0.1


def test_start_makes_the_jacobian_of_the_center_a_unit() -> None:
    flow = dg.contour.HolomorphicFlow(dg.contour.ComplexPhi4((1, 4)), 0.1)
    units = 1e-5 * np.eye(8).reshape(8, 2, 1, 4)
    columns = (flow.map(units) - flow.map(-units)).reshape(8, 8) / 2e-5
    np.testing.assert_allclose((columns.conj() @ columns.T).real, np.eye(8), atol=1e-8)


# ---- Partition functions


def average(action: Any, flow: Any, half: float, spacing: float) -> tuple[complex, float]:
    """Z and the modulus of the average phase by the trapezoidal sum."""
    t = np.arange(-half, half, spacing)
    weight = np.exp(flow.log_jacobian(t) - action.action(flow.map(t)))
    return complex(weight.sum() * spacing), float(abs(weight.sum()) / np.abs(weight).sum())


@pytest.mark.parametrize(
    ("flow_time", "expected"), [(0, 0.6639), (0.05, 0.8393), (0.1, 0.9262), (0.2, 0.9877), (0.5, 0.9989), (1, 0.9975)]
)
def test_average_phase_of_the_flow_time(flow_time: float, expected: float) -> None:
    # Specification, section 7.
    action = dg.contour.Quartic(1 + 4j, 1.0)
    z, phase = average(action, dg.contour.HolomorphicFlow(action, flow_time), 8, 0.01)
    assert phase == pytest.approx(expected, abs=6e-5)
    assert z == pytest.approx(complex(action.exact()["partition_function"]), rel=1e-11)


@pytest.mark.parametrize(
    ("action", "flow_time", "rtol"),
    [
        (dg.contour.Gaussian(1 + 2j, 0.5 - 1j), 0.5, 1e-11),
        (dg.contour.Airy(1.0), 0.2, 1e-11),  # absolutely convergent after any flow
        (dg.contour.Airy(-1.5), 0.3, 1e-11),
        (dg.contour.PowerModel(10, 5.0), 0.2, 1e-9),  # 0.01 remains of the modulus
        (dg.contour.PowerModel(3, 1.0), 0.1, 1e-11),
    ],
    ids=repr,
)
def test_partition_function_of_one_variable_stays(action: Any, flow_time: float, rtol: float) -> None:
    z, _ = average(action, dg.contour.HolomorphicFlow(action, flow_time), 10, 0.002)
    assert z == pytest.approx(complex(action.exact()["partition_function"]), rel=rtol)


def test_flow_into_a_zero_of_the_weight() -> None:
    # Points reach z = -i within the flow time; the error of the partition function falls with the steps.
    action = dg.contour.PowerModel(3, 1.0)
    exact = complex(action.exact()["partition_function"])
    errors = []
    for n_steps in (10, 80):
        flow = dg.contour.HolomorphicFlow(action, 0.5, n_steps=n_steps)
        t = np.arange(-3, 3, 0.01)
        assert 0 < np.isneginf(flow.log_jacobian(t).real).sum() < 300
        errors.append(abs(average(action, flow, 8, 0.001)[0] / exact - 1))
    assert errors[1] < 1e-3
    assert errors[1] < errors[0]


def test_partition_function_of_one_site_stays() -> None:
    # Specification, section 10.
    action = dg.contour.ComplexPhi4((1, 1))
    flow = dg.contour.HolomorphicFlow(action, 0.1)
    t = np.arange(-4, 4.001, 0.0625)
    grid = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2, 1, 1)
    weight = np.exp(flow.log_jacobian(grid) - action.action(flow.map(grid)))
    assert np.log(weight.sum() * 0.0625**2) == pytest.approx(1.766388814945, abs=1e-11)


# ---- Averages


def test_sampled_averages_of_one_variable() -> None:
    action = dg.contour.Quartic(1 + 4j, 1.0)
    flow = dg.contour.HolomorphicFlow(action, 0.3)
    found = dg.contour.measure(action, flow, n_samples=3200, n_thermal=10, seed=1)
    exact = action.exact()
    for name in ("x", "x2"):
        value = complex(exact[name])
        assert abs(found[name] - value.real) < 4 * found[f"{name}_error"]
        assert abs(found[f"{name}_imag"] - value.imag) < 4 * found[f"{name}_imag_error"]
    phase = average(action, flow, 8, 0.01)[1]
    assert abs(found["average_phase_modulus"] - phase) < 4 * found["average_phase_modulus_error"]
    assert found["acceptance"] > 0.9
    assert found["n_dropped"] == 0


@pytest.mark.parametrize(
    ("shape", "flow_time"),
    [
        ((1, 3), 0.05),
        pytest.param((1, 4), 0.05, marks=pytest.mark.slow),
        pytest.param((2, 4), 0.05, marks=pytest.mark.slow),
    ],
)
def test_sampled_averages_of_the_lattice(shape: tuple[int, int], flow_time: float) -> None:
    action = dg.contour.ComplexPhi4(shape)
    exact = dg.contour.transfer_matrix(action)
    flow = dg.contour.HolomorphicFlow(action, flow_time, n_steps=3)
    found = dg.contour.measure(action, flow, n_samples=4800, n_chains=48, n_thermal=10, step=0.25, seed=2)
    for name in ("density", "phi2"):
        assert abs(found[name] - exact[name]) < 4 * found[f"{name}_error"], name
    assert abs(found["average_phase_imag"]) < 4 * found["average_phase_imag_error"]
    assert found["average_phase"] - exact["average_phase"] > 4 * found["average_phase_error"]
    assert found["acceptance"] > 0.6


def test_average_phase_is_even_in_the_chemical_potential() -> None:
    # phi_2 -> -phi_2 turns mu into -mu.
    t = 0.5 * np.random.default_rng(5).standard_normal((16, 2, 1, 3))
    mirrored = t * np.array([1, -1])[:, np.newaxis, np.newaxis]
    weights = []
    for mu, at in ((0.8, t), (-0.8, mirrored)):
        action = dg.contour.ComplexPhi4((1, 3), chemical_potential=mu)
        flow = dg.contour.HolomorphicFlow(action, 0.1)
        weights.append(np.exp(flow.log_jacobian(at) - action.action(flow.map(at))))
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-11)


def test_trajectories_on_dropped_points_are_counted_and_rejected() -> None:
    action = dg.contour.Quartic(1 + 4j, 1.0)
    flow = dg.contour.HolomorphicFlow(action, 0.5)
    far = np.array([-30.0, 0.0, 30.0])
    np.testing.assert_array_equal(np.isneginf(flow.log_jacobian(far).real), [True, False, True])
    assert np.isfinite(flow.map(far)).all()
    np.testing.assert_array_equal(flow.force(far, action.gradient(flow.map(far)))[[0, 2]], 0.0)
    found = dg.contour.measure(action, flow, n_samples=3200, n_chains=16, n_thermal=10, step=1.5, n_steps=1, seed=1)
    assert found["n_dropped"] > 0
    assert found["acceptance"] < 1 - found["n_dropped"] / 3200 + 1e-12
    assert abs(found["x2"] - complex(action.exact()["x2"]).real) < 4 * found["x2_error"]


# ---- Errors


def test_rejects_what_makes_no_sense() -> None:
    quartic = dg.contour.Quartic(1 + 4j, 1.0)
    flow = dg.contour.HolomorphicFlow(quartic, 0.1)
    for call, message in [
        (lambda: dg.contour.HolomorphicFlow("quartic", 0.1), "action must be an Action"),  # type: ignore[arg-type]
        (lambda: dg.contour.HolomorphicFlow(quartic, -0.1), "flow_time must be >= 0"),
        (lambda: dg.contour.HolomorphicFlow(quartic, math.nan), "flow_time must be >= 0"),
        (lambda: dg.contour.HolomorphicFlow(quartic, 0.1, n_steps=0), "n_steps must be"),
        (lambda: dg.contour.HolomorphicFlow(oscillators(hessian=False), 0.1), "must be given hessian_product"),
        (lambda: flow.map(1.0), "t must have shape"),
        (lambda: flow.log_jacobian(np.zeros((3, 2))), "t must have shape"),
        (lambda: dg.contour.measure(dg.contour.Quartic(1.0), flow), "contour must be made for"),
        (
            lambda: dg.contour.measure(dg.contour.Airy(1.0), dg.contour.HolomorphicFlow(dg.contour.Airy(1.0), 0.0)),
            "contour must be a Shift with y > 0 or a HolomorphicFlow",
        ),
        (lambda: dg.contour.CustomAction(abs, abs, hessian_product=3), "hessian_product must be callable"),  # type: ignore[arg-type]
    ]:
        with pytest.raises(ValueError, match=message):
            call()  # type: ignore[no-untyped-call]
