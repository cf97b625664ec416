"""Contours given by networks: Jacobian, gradients, training, averages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import deepglass as dg

Array = NDArray[np.float64]


def network(shape: tuple[int, int] | None, hidden: int, base: bool, seed: int = 0, size: float = 0.3) -> Any:
    """A contour with random weights everywhere, abs(alpha) + abs(beta) below 1 for size 0.3."""
    action: Any = dg.contour.Quartic(1 + 4j, 1.0) if shape is None else dg.contour.ComplexPhi4(shape)
    contour = (dg.contour.LinearPlusNetwork if base else dg.contour.NetworkContour)(action, hidden, seed=seed)
    rng = np.random.default_rng(seed)
    for name, value in contour.weights.items():
        contour.weights[name] = value + size * rng.uniform(-1, 1, value.shape)
    return contour


NETWORKS = [(None, 10, False), ((2, 3), 5, False), ((2, 3), 20, False), ((1, 3), 4, True), ((1, 3), 9, True)]


@pytest.mark.parametrize(("shape", "hidden", "base"), NETWORKS)
def test_network_jacobian_is_the_determinant_of_differences(
    shape: tuple[int, int] | None, hidden: int, base: bool
) -> None:
    # Fewer and more hidden units than variables: the small and the large determinant.
    contour = network(shape, hidden, base)
    t = np.random.default_rng(1).standard_normal((3, *contour.action.field_shape))
    n, h = t[0].size, 1e-5
    units = np.eye(n).reshape(n, *contour.action.field_shape)
    columns = [(contour.map(t + h * e) - contour.map(t - h * e)).reshape(3, n) / (2 * h) for e in units]
    expected = np.linalg.det(np.stack(columns, axis=-1))
    np.testing.assert_allclose(np.exp(contour.log_jacobian(t)), expected, rtol=1e-7)  # h^2 and rounding / h


@pytest.mark.parametrize(("shape", "hidden", "base"), NETWORKS)
def test_network_gradients_against_differences(shape: tuple[int, int] | None, hidden: int, base: bool) -> None:
    contour = network(shape, hidden, base)
    action = contour.action
    rng = np.random.default_rng(2)
    t, way = rng.standard_normal((2, 3, *action.field_shape))

    def log_modulus(t: Array) -> Array:
        return np.asarray((contour.log_jacobian(t) - action.action(contour.map(t))).real)

    h = 1e-5
    slope = (contour.force(t, action.gradient(contour.map(t))) * way).reshape(3, -1).sum(axis=1)
    difference = (log_modulus(t + h * way) - log_modulus(t - h * way)) / (2 * h)
    np.testing.assert_allclose(difference, slope, rtol=1e-6, atol=1e-6)
    gradient = contour.weight_gradient(t)
    assert set(gradient) == set(contour.weights)
    for name, value in list(contour.weights.items()):
        way = rng.standard_normal(value.shape)
        ends = []
        for sign in (1, -1):
            contour.weights[name] = value + sign * h * way
            ends.append(log_modulus(t).mean())
        contour.weights[name] = value
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx((gradient[name] * way).sum(), rel=1e-6, abs=1e-8), name


def tied_network(shape: tuple[int, int], channels: int, linear: bool, seed: int = 0, size: float = 0.3) -> Any:
    action = dg.contour.ComplexPhi4(shape)
    line = dg.contour.LinearContour(action) if linear else None
    contour = dg.contour.TranslationInvariantNetwork(action, channels, linear=line, seed=seed)
    rng = np.random.default_rng(seed)
    values = {name: value + size * rng.uniform(-1, 1, value.shape) for name, value in contour.parameters.items()}
    return contour.with_parameters(values)


@given(
    shape=st.sampled_from([(1, 3), (2, 3), (3, 4)]),
    channels=st.integers(1, 3),
    linear=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_tied_network_commutes_with_translations(
    shape: tuple[int, int], channels: int, linear: bool, seed: int
) -> None:
    contour = tied_network(shape, channels, linear, seed)
    volume = math.prod(shape)
    assert sum(value.size for value in contour.parameters.values()) == 4 * channels * volume + channels + 6
    rng = np.random.default_rng(seed)
    t = rng.standard_normal((2, 2, *shape))
    by = tuple(int(rng.integers(length)) for length in shape)
    moved = np.roll(t, by, axis=(2, 3))
    np.testing.assert_allclose(contour.map(moved), np.roll(contour.map(t), by, axis=(2, 3)), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(np.exp(contour.log_jacobian(moved) - contour.log_jacobian(t)), 1, rtol=1e-11)


def test_tied_network_is_the_convolution() -> None:
    contour = tied_network((2, 3), 2, False)
    p, t = contour.parameters, np.random.default_rng(1).standard_normal((2, 2, 3))
    sites = [(x, y) for x in range(2) for y in range(3)]

    def convolved(w: Array, field: Array) -> Array:  # sum_{b,y} w_{c,b}(y - x) field_{b,y}
        found = np.zeros((len(w), 2, 3))
        for x in sites:
            for y in sites:
                found[(slice(None), *x)] += w[:, :, (y[0] - x[0]) % 2, (y[1] - x[1]) % 3] @ field[(slice(None), *y)]
        return found

    def column(name: str) -> Array:
        return np.asarray(p[name][:, np.newaxis, np.newaxis])

    a = np.tanh(convolved(p["w1"], t) + column("b1"))
    y = column("alpha") * np.tanh(convolved(p["w2"], a) + column("b2")) + column("beta")
    np.testing.assert_allclose(contour.map(t[np.newaxis])[0], t + 1j * y, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("shape", "channels", "linear"), [((2, 3), 1, False), ((1, 3), 2, True)])
def test_gradients_of_the_tied_network_against_differences(shape: tuple[int, int], channels: int, linear: bool) -> None:
    contour = tied_network(shape, channels, linear)
    action = contour.action
    rng = np.random.default_rng(2)
    t = rng.standard_normal((3, *action.field_shape))
    gradient = contour.parameter_gradient(contour.weight_gradient(t))
    assert list(gradient) == list(contour.parameters)
    h = 1e-5
    for name, value in contour.parameters.items():
        way = rng.standard_normal(value.shape)
        ends = []
        for sign in (1, -1):
            moved = contour.with_parameters({**contour.parameters, name: value + sign * h * way})
            ends.append((moved.log_jacobian(t) - action.action(moved.map(t))).real.mean())
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx((gradient[name] * way).sum(), rel=1e-6, abs=1e-8), name


@pytest.mark.parametrize("action", [dg.contour.Quartic(1 + 0.5j, 1.0, 0.3j), dg.contour.ComplexPhi4((2, 3))], ids=repr)
def test_network_on_a_linear_contour_starts_there_and_can_be_trained(action: Any) -> None:
    linear = dg.contour.LinearContour(action)
    kinds: list[Any] = [
        dg.contour.LinearPlusNetwork(action, 6, seed=1),
        dg.contour.LinearPlusNetwork(action, linear=linear),
    ]
    if isinstance(action, dg.contour.ComplexPhi4):
        kinds.append(dg.contour.TranslationInvariantNetwork(action, linear=linear, seed=1))
    t = np.random.default_rng(1).standard_normal((5, *action.field_shape))
    for contour in kinds:
        np.testing.assert_allclose(contour.map(t), linear.map(t), rtol=1e-13, atol=1e-14)
        ratio = np.exp(contour.log_jacobian(t) - linear.log_jacobian(t))
        np.testing.assert_allclose(ratio, 1, rtol=1e-12)
        slope = action.gradient(linear.map(t))
        np.testing.assert_allclose(contour.force(t, slope), linear.force(t, slope), rtol=1e-11, atol=1e-12)
        gradient = contour.parameter_gradient(contour.weight_gradient(t))
        assert np.abs(gradient["w2" if "w2" in gradient else "W2"]).max() > 1e-4


def test_parameters_are_replaced_in_a_new_contour() -> None:
    contour = dg.contour.NetworkContour(dg.contour.Quartic(1.0), 3, seed=1)
    before = repr(contour)
    new = contour.with_parameters({**contour.parameters, "beta": [0.5]})
    assert (repr(contour), new.map(np.zeros(1)).imag[0]) == (before, pytest.approx(0.5))
    with pytest.raises(ValueError, match=r"parameters\['beta'\] must have shape \(1,\), got \(2,\)"):
        contour.with_parameters({**contour.parameters, "beta": [0.5, 0.5]})
    with pytest.raises(ValueError, match="parameters must be W1, b1"):
        contour.with_parameters({"W1": np.zeros((3, 1))})


def test_rejects_what_makes_no_sense() -> None:
    phi4, quartic = dg.contour.ComplexPhi4((1, 3)), dg.contour.Quartic(1 + 4j, 1.0)
    other = dg.contour.LinearContour(dg.contour.ComplexPhi4((1, 4)))
    for call, message in [
        (lambda: dg.contour.NetworkContour("quartic"), "action must be an Action"),  # type: ignore[arg-type]
        (lambda: dg.contour.NetworkContour(dg.contour.Airy(1.0)), "action must not be an Airy"),
        (lambda: dg.contour.LinearPlusNetwork(dg.contour.Airy(1.0)), "action must not be an Airy"),
        (lambda: dg.contour.LinearPlusNetwork(dg.contour.PowerModel(3, 1.0)), "action must be a ComplexPhi4, Gauss"),
        (lambda: dg.contour.LinearPlusNetwork(phi4, linear=other), "linear must be a LinearContour for"),
        (lambda: dg.contour.LinearPlusNetwork(phi4, linear=dg.contour.RealPlane()), "linear must be"),  # type: ignore[arg-type]
        (lambda: dg.contour.TranslationInvariantNetwork(phi4, linear=other), "linear must be a LinearContour for"),
        (lambda: dg.contour.TranslationInvariantNetwork(quartic), "action must be a ComplexPhi4"),  # type: ignore[arg-type]
        (lambda: dg.contour.TranslationInvariantNetwork(phi4, 0), "channels must be"),
        (lambda: dg.contour.measure(phi4, dg.contour.NetworkContour(quartic)), "contour must be made for"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()  # type: ignore[no-untyped-call]


def one_site(kind: str, seed: int) -> Any:
    if kind == "tied":
        return tied_network((1, 1), 3, False, seed, size=0.8)
    return network((1, 1), 3, kind == "linear", seed, size=0.8)


@pytest.mark.parametrize("kind", ["network", "linear", "tied"])
@pytest.mark.parametrize("seed", range(3))
def test_partition_function_is_the_same_on_any_network_contour(kind: str, seed: int) -> None:
    # One site by the two-dimensional trapezoidal sum; ln Z from the specification, section 10.
    contour = one_site(kind, seed)
    t = np.arange(-6, 6.001, 0.05)
    grid = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2, 1, 1)
    weight = np.exp(contour.log_jacobian(grid) - contour.action.action(contour.map(grid)))
    average_phase = abs(weight.sum()) / np.abs(weight).sum()
    assert 0.003 < average_phase < 0.97
    assert np.log(weight.sum() * 0.05**2) == pytest.approx(1.766388814945, abs=1e-11)


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        # Specification, section 7: on the real axis, and reached with more updates.
        (dg.contour.Quartic(1 + 4j, 1.0), 0.663916, 0.99),
        (dg.contour.Quartic(-1 + 3j, 1.0, 1 + 2j), 0.684354, 0.98),
    ],
    ids=repr,
)
def test_training_removes_the_sign_problem_of_one_variable(action: Any, before: float, after: float) -> None:
    t = np.arange(-8, 8, 0.01)

    def average(contour: Any) -> tuple[complex, float]:
        weight = np.exp(contour.log_jacobian(t) - action.action(contour.map(t)))
        return weight.sum() * 0.01, abs(weight.sum()) / np.abs(weight).sum()

    contour = dg.contour.optimize(
        action, dg.contour.NetworkContour(action, seed=1), n_updates=400, n_candidates=2, seed=1
    ).contour
    z, phase = average(contour)
    assert phase > after
    z_real, phase_real = average(dg.contour.RealPlane())
    assert phase_real == pytest.approx(before, abs=1e-6)
    assert z == pytest.approx(z_real, rel=1e-10)


def test_sampled_averages_on_a_network_contour() -> None:
    # The exact values of the chain, from transfer matrices: specification, section 6.
    action = dg.contour.ComplexPhi4((1, 3))
    for contour in (
        network((1, 3), 4, True),
        dg.contour.optimize(action, dg.contour.NetworkContour(action, 8, seed=1), n_updates=100, seed=1).contour,
    ):
        found = dg.contour.measure(action, contour, n_samples=6400, n_chains=32, n_thermal=30, seed=3)
        for name, exact in (("density", 0.4480629029), ("phi2", 0.7642122326), ("average_phase_imag", 0.0)):
            assert abs(found[name] - exact) < 4 * found[f"{name}_error"], name
    assert found["average_phase"] > 0.95


@pytest.mark.slow
def test_training_on_the_lattice() -> None:
    # Specification, section 8: above 0.95 after 100 updates of a network with 64 units, from 0.42.
    action = dg.contour.ComplexPhi4((4, 4))
    contour = dg.contour.optimize(action, dg.contour.NetworkContour(action, 64, seed=1), n_updates=100, seed=1).contour
    found = dg.contour.measure(action, contour, n_samples=12800, n_thermal=50, seed=2)
    assert found["average_phase"] > 0.95
    for name, value, error in (("density", 0.15317, 18e-5), ("phi2", 0.48127, 12e-5)):
        assert abs(found[name] - value) < 4 * math.hypot(float(found[f"{name}_error"]), error), name
    assert abs(found["average_phase_imag"]) < 4 * found["average_phase_imag_error"]
