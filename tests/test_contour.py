"""Contour deformation: complex phi^4 on linear contours, and one-variable models."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import deepglass as dg
from deepglass import _core
from deepglass.contour.contours import kernel_transform
from deepglass.reference import contour as reference

Array = NDArray[np.float64]

SHAPES = [(1, 1), (1, 4), (2, 3), (3, 5), (4, 4), (6, 4), (7, 10), (16, 8), (9, 32)]


def odd_kernel(shape: tuple[int, int], rng: np.random.Generator, kappa: float = 0.4) -> Array:
    c = rng.standard_normal(shape)
    c -= np.roll(c[::-1, ::-1], (1, 1), (0, 1))  # c(-x)
    total = np.abs(c).sum()
    return c * (kappa / total) if total > 1e-12 else np.zeros(shape)


# ---- Kernel = reference


@given(
    shape=st.sampled_from(SHAPES),
    n_chains=st.integers(1, 9),
    mass=st.floats(0, 2),
    coupling=st.floats(0, 2),
    mu=st.floats(-1.5, 1.5),
    seed=st.integers(0, 2**32),
)
def test_force_and_measurements_are_those_of_the_reference(
    shape: tuple[int, int], n_chains: int, mass: float, coupling: float, mu: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    c, t = odd_kernel(shape, rng), rng.standard_normal((n_chains, 2, *shape))
    model = (mass, coupling, mu)
    z = reference.phi4_map(t, c)
    gradient = _core.LinearPhi4(kernel_transform(c), *model).gradient(t)
    expected = reference.phi4_real_gradient(t, c, *model)
    # Terms of up to 12 t and of the size of the largest cancel.
    np.testing.assert_allclose(gradient, expected, atol=1e-13 * (12 * np.abs(t).max() + np.abs(expected).max()))
    measured = _core.LinearPhi4(kernel_transform(c), *model).measure(t)
    volume = c.size
    np.testing.assert_allclose(measured["action"], reference.phi4_action(z, *model), rtol=1e-12, atol=1e-12 * volume)
    np.testing.assert_allclose(measured["density"], reference.phi4_density(z, mu), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(measured["phi2"], reference.phi4_phi2(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (3, 4)])
def test_trajectories_are_those_of_the_reference(shape: tuple[int, int]) -> None:
    c = odd_kernel(shape, np.random.default_rng(1))
    model = (0.9, 1.1, 0.8)
    # Steps so large that some trajectories are rejected.
    plan = {"n_chains": 5, "n_draws": 6, "n_thermal": 2, "every": 2, "n_steps": 3, "seed": 7}
    draws = _core.LinearPhi4(kernel_transform(c), *model).sample(step=0.4, **plan)
    action, density, phi2, accepted = reference.phi4_sample(c, *model, step=0.4, **plan)
    assert 0 < accepted.sum() < 60
    np.testing.assert_array_equal(draws["accepted"], accepted)
    # 14 trajectories, whose rounding errors grow a little
    np.testing.assert_allclose(draws["action_re"] + 1j * draws["action_im"], action, rtol=1e-10)
    np.testing.assert_allclose(draws["density_re"] + 1j * draws["density_im"], density, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(draws["phi2_re"] + 1j * draws["phi2_im"], phi2, rtol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_public_action_and_contour_are_those_of_the_reference(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    z = rng.standard_normal((3, 2, *shape)) + 1j * rng.standard_normal((3, 2, *shape))
    action = dg.contour.ComplexPhi4(shape, 0.8, 1.2, 0.7)
    model = (0.8, 1.2, 0.7)
    scale = math.prod(shape)
    np.testing.assert_allclose(action.action(z), reference.phi4_action(z, *model), rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(action.gradient(z), reference.phi4_gradient(z, *model), rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(action.density(z), reference.phi4_density(z, 0.7), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(action.phi2(z), reference.phi4_phi2(z), rtol=1e-12, atol=1e-12)
    contour = dg.contour.LinearContour(action)
    np.testing.assert_allclose(contour.map(z.real), reference.phi4_map(z.real, contour.kernel), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (1, 4), (2, 4), (3, 5), (4, 4)])
def test_kernel_is_the_thimble_of_the_free_theory(shape: tuple[int, int]) -> None:
    # From the square root of the Hessian, without Fourier transform.
    contour = dg.contour.LinearContour(dg.contour.ComplexPhi4(shape), mass_squared=1.96)
    np.testing.assert_allclose(contour.kernel, reference.phi4_kernel(shape, 1.96, 1.0), atol=1e-12)
    assert contour.kappa == pytest.approx(np.abs(contour.kernel).sum(), rel=1e-14)


def test_jacobian_of_the_linear_contour() -> None:
    # A constant, real and positive; by the determinant of the whole matrix.
    action = dg.contour.ComplexPhi4((3, 4))
    contour = dg.contour.LinearContour(action)
    matrix = contour.map(np.eye(24).reshape(24, 2, 3, 4)).reshape(24, 24)
    sign, log = np.linalg.slogdet(matrix)
    assert sign == pytest.approx(1, abs=1e-13)
    np.testing.assert_allclose(contour.log_jacobian(np.zeros((5, 2, 3, 4))), log, rtol=1e-12)
    t = np.random.default_rng(0).standard_normal((4, 2, 3, 4))
    expected = -reference.phi4_real_gradient(t, contour.kernel, 1.0, 1.0, 1.0)
    np.testing.assert_allclose(contour.force(t, action.gradient(contour.map(t))), expected, rtol=1e-11, atol=1e-12)


# ---- Gradients against differences


def models() -> list[dg.contour.Action]:
    return [
        dg.contour.Gaussian(1 + 2j, 0.5 - 1j),
        dg.contour.Quartic(-1 + 3j, 1.5, 1 + 2j),
        dg.contour.Airy(0.7),
        dg.contour.PowerModel(10, 5.0),
        dg.contour.ComplexPhi4((3, 4), 0.9, 1.3, 1.1),
    ]


@pytest.mark.parametrize("action", models(), ids=repr)
def test_gradient_against_differences(action: dg.contour.Action) -> None:
    rng = np.random.default_rng(3)
    size = (5, *action.field_shape)
    z, way = (rng.standard_normal(size) + 1j * rng.standard_normal(size) for _ in range(2))
    h = 1e-5
    difference = (action.action(z + h * way) - action.action(z - h * way)) / (2 * h)
    slope = (action.gradient(z) * way).reshape(5, -1).sum(axis=1)
    np.testing.assert_allclose(difference, slope, rtol=1e-7)  # h^2 and rounding / h


def test_force_on_the_contour_against_differences() -> None:
    action = dg.contour.ComplexPhi4((5, 6), 0.9, 1.3, 1.1)
    s = kernel_transform(dg.contour.LinearContour(action).kernel)
    rng = np.random.default_rng(4)
    t, way = rng.standard_normal((2, 1, 2, 5, 6))
    kernel, h = _core.LinearPhi4(s, 0.9, 1.3, 1.1), 1e-5
    up, down = (kernel.measure(t + sign * h * way)["action"].real for sign in (1, -1))
    slope = (kernel.gradient(t) * way).sum()
    assert (up - down)[0] / (2 * h) == pytest.approx(slope, rel=1e-7)


# ---- Exact cases: one variable


def quadrature(action: dg.contour.Action, contour: Any, half: float = 12.0, spacing: float = 0.01) -> Array:
    """Z, <x>, <x^2> by the trapezoidal sum, whose error is exponentially small."""
    z = contour.map(np.arange(-half, half + spacing / 2, spacing))
    weight = np.exp(-action.action(z)) * contour.slope * spacing
    return np.array([weight.sum(), (weight * z).sum() / weight.sum(), (weight * z * z).sum() / weight.sum()])


@pytest.mark.parametrize("y", [0.3, 0.8, 1.2])
@pytest.mark.parametrize(
    "action",
    [
        dg.contour.Gaussian(1 + 0.5j, 0.5 - 1j),
        dg.contour.Quartic(1 + 4j, 1.0),
        dg.contour.Quartic(2 - 1j, 0.5),
        dg.contour.Airy(1.0),
        dg.contour.Airy(-1.5),
        dg.contour.PowerModel(3, 1.0),
        dg.contour.PowerModel(10, 5.0),
    ],
    ids=repr,
)
def test_closed_forms_are_the_integral_on_any_shift(action: Any, y: float) -> None:
    exact = action.exact()
    expected = [complex(exact[name]) for name in ("partition_function", "x", "x2")]
    half = 40.0 if isinstance(action, dg.contour.Airy) else 12.0  # exp(-y t^2) only
    contour = dg.contour.Shift(y)
    z = contour.map(np.arange(-half, half, 0.01))
    weight = np.abs(np.exp(-action.action(z))) * 0.01
    # Rounding, times what cancels.
    cancelling = (weight * np.maximum(1, np.abs(z) ** 2)).sum() / min(1, abs(expected[0]))
    np.testing.assert_allclose(quadrature(action, contour, half), expected, rtol=1e-12, atol=1e-14 * cancelling)


def test_average_phases_on_the_real_axis() -> None:
    # Specification, section 7.
    for action, expected, digits in [
        (dg.contour.Quartic(1 + 4j, 1.0), 0.663916, 6),
        (dg.contour.Quartic(-1 + 3j, 1.0, 1 + 2j), 0.684354, 6),
        (dg.contour.PowerModel(10, 5.0), 1.461e-2, 5),
    ]:
        weight = np.exp(-action.action(np.arange(-12, 12, 0.01)))
        assert abs(weight.sum()) / np.abs(weight).sum() == pytest.approx(expected, abs=0.51 * 10.0**-digits)


def test_straight_line_of_steepest_descent() -> None:
    # Of the Gaussian it is the thimble: the phase is constant.  Of the quartic Z is the same.
    gaussian = dg.contour.Gaussian(1 + 2j, 0.5 - 1j)
    contour = dg.contour.LinearContour(gaussian)
    phase = gaussian.action(contour.map(np.linspace(-3, 3, 7))).imag
    np.testing.assert_allclose(phase, phase[0], atol=1e-13)
    found = quadrature(gaussian, contour)
    exact = gaussian.exact()
    np.testing.assert_allclose(found, [complex(exact[n]) for n in ("partition_function", "x", "x2")], rtol=1e-12)
    for sigma, kappa in [(1 + 0.5j, math.tan(math.atan(0.5) / 2)), (1 + 4j, 0.4)]:  # the second is limited
        quartic = dg.contour.Quartic(sigma, 1.0)
        line = dg.contour.LinearContour(quartic)
        assert line.kappa == pytest.approx(kappa, rel=1e-14)
        found = quadrature(quartic, line)
        assert found[0] == pytest.approx(complex(quartic.exact()["partition_function"]), rel=1e-12)


@pytest.mark.parametrize(
    ("action", "contour"),
    [
        (dg.contour.Gaussian(1 + 1j, 0.5j), dg.contour.RealPlane()),
        (dg.contour.Quartic(1 + 4j, 1.0), dg.contour.RealPlane()),
        (dg.contour.Quartic(1 + 4j, 1.0), dg.contour.LinearContour(dg.contour.Quartic(1 + 4j, 1.0))),
        (dg.contour.Airy(1.0), dg.contour.Shift(0.8)),
        (dg.contour.PowerModel(3, 1.0), dg.contour.Shift(1.0)),
    ],
    ids=repr,
)
def test_sampled_averages_of_one_variable(action: Any, contour: Any) -> None:
    found = dg.contour.measure(action, contour, n_samples=12800, seed=5)
    exact = action.exact()
    for name in ("x", "x2"):
        value = complex(exact[name])
        assert abs(found[name] - value.real) < 4 * found[f"{name}_error"]
        assert abs(found[f"{name}_imag"] - value.imag) < 4 * found[f"{name}_imag_error"]
    z = contour.map(np.arange(-12, 12, 0.01))
    weight = np.exp(-action.action(z)) * contour.slope
    phase = weight.sum() / np.abs(weight).sum()
    assert abs(found["average_phase"] - phase.real) < 4 * found["average_phase_error"] + 1e-12
    assert abs(found["average_phase_imag"] - phase.imag) < 4 * found["average_phase_imag_error"] + 1e-12
    assert abs(found["average_phase_modulus"] - abs(phase)) < 4 * found["average_phase_modulus_error"] + 1e-12
    assert found["acceptance"] > 0.9


def test_custom_action_is_the_one_built_in() -> None:
    own = dg.contour.CustomAction(
        lambda z: (1 + 1j) / 2 * z**2, lambda z: (1 + 1j) * z, observables={"x": lambda z: z, "x2": lambda z: z * z}
    )
    built_in, custom = (
        dg.contour.measure(action, n_samples=640, n_chains=8, seed=3) for action in (dg.contour.Gaussian(1 + 1j), own)
    )
    assert custom.drop_attrs().equals(built_in.drop_attrs())
    # Three independent variables, of which the sum of squares is 3 / sigma.
    action = dg.contour.CustomAction(
        lambda z: (1 + 0.5j) / 2 * (z * z).sum(axis=-1),
        lambda z: (1 + 0.5j) * z,
        (3,),
        {"square": lambda z: (z * z).sum(axis=-1)},
    )
    found = dg.contour.measure(action, n_samples=12800, seed=6)
    exact = 3 / (1 + 0.5j)
    assert abs(found["square"] - exact.real) < 4 * found["square_error"]
    assert abs(found["square_imag"] - exact.imag) < 4 * found["square_imag_error"]


# ---- Exact cases: complex phi^4


@pytest.mark.parametrize("y", [(0.0, 0.0), (0.5, -0.3)])
def test_partition_function_of_one_site(y: tuple[float, float]) -> None:
    # Two-dimensional trapezoidal sum; ln Z from the specification, section 10.
    t = np.arange(-6, 6.001, 0.05)
    z = np.stack(np.meshgrid(t + 1j * y[0], t + 1j * y[1], indexing="ij"), axis=-1)[..., np.newaxis, np.newaxis]
    weight = np.exp(-dg.contour.ComplexPhi4((1, 1)).action(z))
    assert np.log(weight.sum() * 0.05**2) == pytest.approx(1.766388814945, abs=1e-11)


def test_free_field() -> None:
    # Specification, section 6: ln Z, n, <phi^2>, average phase of the real plane.
    table = [
        ((4, 4), 0.5, 5.5287361179, 0.0537442475, 0.5621546798, 0.8017788607),
        ((8, 8), 0.5, 21.1480880675, 0.0042463143, 0.5117675180, 0.2995138835),
        ((6, 4), 0.3, 8.0476107850, 0.0179880388, 0.5254639283, 0.8920187468),
    ]
    for shape, mu, *expected in table:
        exact = dg.contour.ComplexPhi4(shape, coupling=0.0, chemical_potential=mu).exact()
        names = ("log_partition_function", "density", "phi2", "average_phase")
        np.testing.assert_allclose([float(exact[name]) for name in names], expected, rtol=0, atol=6e-11)


def test_free_field_has_no_sign_problem_on_its_thimble() -> None:
    action = dg.contour.ComplexPhi4((4, 6), coupling=0.0, chemical_potential=0.6)
    contour = dg.contour.LinearContour(action)
    assert contour.mass_squared == 1.0
    found = dg.contour.measure(action, contour, n_samples=12800, seed=1)
    assert float(found["average_phase"]) == pytest.approx(1, abs=1e-13)
    exact = action.exact()
    for name in ("density", "phi2"):
        assert abs(found[name] - exact[name]) < 4 * found[f"{name}_error"]


# n, <phi^2>, average phase on the real plane, and their errors: specification, section 6.
LATTICES = [
    ((1, 3), 1.0, (0.4480629029, 0), (0.7642122326, 0), (0.8931646389, 0)),
    ((1, 4), 0.4, (0.0240284045, 0), (0.5835763557, 0), (0.9604927659, 0)),
    ((1, 4), 1.0, (0.2975486876, 0), (0.7013992716, 0), (0.7657061986, 0)),
    ((2, 3), 0.8, (0.15769037, 0), (0.51608, 5e-6), (0.8973412, 0)),
    ((2, 2), 1.0, (0.53588679, 0), (0.68104, 5e-6), (1.0, 0)),
    ((4, 4), 1.0, (0.15317, 18e-5), (0.48127, 12e-5), (0.5029, 7e-4)),
]


@pytest.mark.parametrize("deformed", [False, True])
@pytest.mark.parametrize(("shape", "mu", "density", "phi2", "phase"), LATTICES)
def test_lattices_against_the_flux_representation(
    shape: tuple[int, int], mu: float, density: Any, phi2: Any, phase: Any, deformed: bool
) -> None:
    action = dg.contour.ComplexPhi4(shape, chemical_potential=mu)
    contour = dg.contour.LinearContour(action) if deformed else dg.contour.RealPlane()
    found = dg.contour.measure(action, contour, n_samples=40000, seed=11)
    for name, (value, error) in (("density", density), ("phi2", phi2), ("average_phase", phase)):
        if deformed and name == "average_phase":
            assert found["average_phase"] > 0.98
        else:
            assert abs(found[name] - value) < 4 * math.hypot(found[f"{name}_error"], error) + 1e-12, name
    assert abs(found["average_phase_imag"]) < 4 * found["average_phase_imag_error"] + 1e-12
    assert 0.9 < found["acceptance"] < 1


def test_average_phases_of_linear_contours() -> None:
    # Specification, section 4.
    for mass_squared, expected, error in [(1.96, 0.9951, 1e-4), (1.5, 0.9911, 4e-4), (3.0, 0.9778, 5e-4)]:
        action = dg.contour.ComplexPhi4((4, 4))
        contour = dg.contour.LinearContour(action, mass_squared)
        found = dg.contour.measure(action, contour, n_samples=20000, seed=12)
        assert abs(found["average_phase"] - expected) < 4 * math.hypot(found["average_phase_error"], error)


def test_contour_without_the_momenta_that_diverge() -> None:
    # M^2 = 1 at mu = 1: D(0) < 0.  Specification, section 4: 0.9704(9).
    action = dg.contour.ComplexPhi4((4, 4))
    contour = dg.contour.LinearContour(action, mass_squared=1.0)
    assert np.isfinite(contour.kernel).all()
    found = dg.contour.measure(action, contour, n_samples=20000, seed=13)
    assert abs(found["average_phase"] - 0.9704) < 4 * math.hypot(float(found["average_phase_error"]), 9e-4)
    assert abs(found["density"] - 0.15317) < 4 * math.hypot(float(found["density_error"]), 18e-5)


def test_hartree_mass_and_kappa() -> None:
    # Values of the specification come from <phi^2> of the flux simulation, ours from the gap equation.
    for shape, mu, mass_squared, kappa in [((4, 4), 1.0, 1.96, 0.274), ((8, 8), 1.0, 1.84, 0.529)]:
        action = dg.contour.ComplexPhi4(shape, chemical_potential=mu)
        contour = dg.contour.LinearContour(action)
        assert contour.mass_squared == pytest.approx(mass_squared, abs=0.04)
        phi2 = 2 * (1 / action.free_determinant(contour.mass_squared)).mean().real
        assert contour.mass_squared == pytest.approx(1 + 2 * phi2, rel=1e-12)
        assert dg.contour.LinearContour(action, mass_squared).kappa == pytest.approx(kappa, abs=6e-4)
    assert not contour.proven  # 8 x 8
    limited = dg.contour.LinearContour(action, max_kappa=0.41)
    assert limited.proven
    assert np.abs(limited.kernel).sum() == pytest.approx(0.41, rel=1e-14)
    cut = np.abs(contour.kernel - limited.kernel)  # the same for all that are left
    left = limited.kernel != 0
    assert 0 < left.sum() < np.count_nonzero(contour.kernel)
    np.testing.assert_allclose(cut[left], cut.max(), rtol=1e-12)


def test_hartree_mass_of_the_dense_phase() -> None:
    # Specification, section 4: M^2 = 3.18 from <phi^2> of the flux simulation.
    action = dg.contour.ComplexPhi4((4, 4), chemical_potential=1.4)
    contour = dg.contour.hartree_contour(action, seed=1)
    found = dg.contour.measure(action, contour, n_samples=12800, seed=2)
    assert abs(found["phi2"] - (contour.mass_squared - 1) / 2) < 4 * math.sqrt(3) * found["phi2_error"]  # and its own
    assert abs(found["average_phase"] - 0.9807) < 4 * math.hypot(float(found["average_phase_error"]), 5e-4)
    with pytest.warns(dg.ConvergenceWarning, match="still changed"):
        dg.contour.hartree_contour(action, max_iter=1, seed=1)


@pytest.mark.slow
def test_linear_contours_of_larger_lattices() -> None:
    # Specification, sections 4 and 6.
    for shape, mu, mass_squared, phase, density, phi2 in [
        ((4, 4), 1.4, 3.18, (0.9807, 5e-4), (1.55643, 231e-5), (1.09147, 108e-5)),
        ((8, 8), 1.0, 1.84, (0.9674, 3e-4), (0.02968, 23e-5), (0.42114, 21e-5)),
        ((8, 8), 1.2, 1.99, (0.9257, 6e-4), (0.18355, 92e-5), (0.49749, 57e-5)),
    ]:
        action = dg.contour.ComplexPhi4(shape, chemical_potential=mu)
        contour = dg.contour.LinearContour(action, mass_squared)
        found = dg.contour.measure(action, contour, n_samples=100000, seed=21)
        for name, (value, error) in (("density", density), ("phi2", phi2), ("average_phase", phase)):
            assert abs(found[name] - value) < 4 * math.hypot(float(found[f"{name}_error"]), error), (shape, mu, name)


# ---- Invariants


def test_without_chemical_potential_there_is_no_phase() -> None:
    action = dg.contour.ComplexPhi4((3, 4), chemical_potential=0.0)
    contour = dg.contour.LinearContour(action)
    assert contour.kappa < 1e-15
    for one in (contour, dg.contour.RealPlane()):
        found = dg.contour.measure(action, one, n_samples=640, n_chains=8, seed=1)
        assert float(found["average_phase"]) == pytest.approx(1, abs=1e-14)


def test_density_is_odd_in_the_chemical_potential() -> None:
    runs = []
    for mu in (0.9, -0.9):
        action = dg.contour.ComplexPhi4((4, 4), chemical_potential=mu)
        runs.append(dg.contour.measure(action, dg.contour.LinearContour(action), n_samples=20000, seed=int(mu > 0)))
    for name, sign in (("density", -1), ("phi2", 1), ("average_phase", 1)):
        difference = runs[0][name] - sign * runs[1][name]
        assert abs(difference) < 4 * np.hypot(runs[0][f"{name}_error"], runs[1][f"{name}_error"])


def test_errors_are_those_of_independent_repetitions() -> None:
    action = dg.contour.ComplexPhi4((1, 4))
    runs = [dg.contour.measure(action, n_samples=1600, n_chains=16, seed=seed) for seed in range(64)]
    for name, exact in (("density", 0.2975486876), ("phi2", 0.7013992716)):
        pulls = np.array([float((run[name] - exact) / run[f"{name}_error"]) for run in runs])
        # mean 0 +- 1/8, variance 1 +- sqrt(2/63)
        assert abs(pulls.mean()) < 4 / 8
        assert abs(pulls.var() - 1) < 4 * math.sqrt(2 / 63)


# ---- Threads, chains


def test_result_depends_on_neither_threads_nor_number_of_chains() -> None:
    transform = kernel_transform(dg.contour.LinearContour(dg.contour.ComplexPhi4((8, 8))).kernel)
    kernel = _core.LinearPhi4(transform, 1.0, 1.0, 1.0)

    def draws(n_chains: int, threads: int) -> dict[str, Any]:
        return dict(
            kernel.sample(
                n_chains=n_chains, n_draws=20, n_thermal=5, every=1, n_steps=8, step=0.1, seed=1, threads=threads
            )
        )

    one = draws(21, 1)
    for name, series in draws(21, 3).items():
        np.testing.assert_array_equal(series, one[name])
    for name, series in draws(6, 1).items():
        np.testing.assert_array_equal(series, one[name][:6])


def test_trajectories_that_run_off_are_rejected() -> None:
    plan = {"n_chains": 3, "n_draws": 4, "n_thermal": 0, "every": 1, "n_steps": 20, "seed": 1}
    draws = _core.LinearPhi4(np.zeros((4, 4)), 1.0, 1.0, 1.0).sample(step=50.0, **plan)
    assert not draws["accepted"].any()
    assert np.isfinite(draws["action_re"]).all()
    assert (draws["action_re"] == draws["action_re"][:, :1]).all()


def trajectory() -> str:
    s = np.zeros((4, 6))
    s[1, 2], s[3, 4] = 0.3, -0.3
    plan = {"n_chains": 5, "n_draws": 20, "n_thermal": 5, "every": 1, "n_steps": 8, "step": 0.12, "seed": 1}
    draws = _core.LinearPhi4(s, 1.0, 1.0, 0.9).sample(**plan)
    return hashlib.sha256(b"".join(draws[name].tobytes() for name in sorted(draws))).hexdigest()


@pytest.mark.no_sanitizer
def test_one_seed_gives_one_trajectory_at_every_level(at_level: Callable[[Callable[[], str]], str]) -> None:
    assert at_level(trajectory) == trajectory()


# ---- Errors


def test_unresolved_phase_is_not_quoted() -> None:
    # The average phase of the real plane is 0.0014.
    action = dg.contour.ComplexPhi4((8, 8), chemical_potential=1.2)
    with pytest.warns(dg.ConvergenceWarning, match="average phase .* is not resolved"):
        found = dg.contour.measure(action, n_samples=6400, seed=1)
    assert np.isnan(found["density"])
    assert np.isnan(found["density_error"])
    assert not found["resolved"]
    assert found["average_phase_error"] > 0


def test_rejects_what_makes_no_sense() -> None:
    phi4 = dg.contour.ComplexPhi4((4, 4))
    for call, message in [
        (lambda: dg.contour.ComplexPhi4((4,)), "shape must be"),  # type: ignore[arg-type]
        (lambda: dg.contour.ComplexPhi4((0, 4)), r"shape\[0\] must be"),
        (lambda: dg.contour.ComplexPhi4(coupling=-1.0), "coupling must be >= 0"),
        (lambda: phi4.exact(), "coupling must be 0"),
        (lambda: dg.contour.ComplexPhi4(coupling=0.0).exact(), "chemical_potential must have cosh mu"),
        (lambda: phi4.action(np.zeros((2, 4, 5))), "z must have shape"),
        (lambda: dg.contour.Gaussian(-1.0), "sigma must have a real part > 0"),
        (lambda: dg.contour.Gaussian(math.nan), "sigma must be a finite"),
        (lambda: dg.contour.Quartic(1.0, 0.0), "coupling must be > 0"),
        (lambda: dg.contour.Quartic(1.0, 1.0, 1.0).exact(), "exact needs h = 0"),
        (lambda: dg.contour.PowerModel(0, 1.0), "p must be"),
        (lambda: dg.contour.Shift(math.inf), "y must be"),
        (lambda: dg.contour.LinearContour(dg.contour.Airy(1.0)), "action must be"),
        (lambda: dg.contour.LinearContour(dg.contour.Quartic(-1.0)), "action must have Re sigma"),
        (lambda: dg.contour.LinearContour(dg.contour.Quartic(1.0), max_kappa=0.5), "max_kappa must be < tan"),
        (lambda: dg.contour.LinearContour(phi4, max_kappa=0.0), "max_kappa must be > 0"),
        (lambda: dg.contour.measure(phi4, dg.contour.Shift(1.0)), "contour must not be"),
        (lambda: dg.contour.NetworkContour(phi4, 0), "hidden must be"),
        (lambda: dg.contour.NetworkContour(phi4).map(np.zeros((2, 4, 4))), "t must have shape"),
        (lambda: dg.contour.measure(dg.contour.Airy(1.0), dg.contour.LinearContour(phi4)), "contour must be made"),
        (lambda: dg.contour.measure(dg.contour.Airy(1.0)), "contour must be a Shift with y > 0"),
        (lambda: dg.contour.measure(dg.contour.ComplexPhi4(coupling=0.0)), "action must have cosh mu"),
        (lambda: dg.contour.hartree_contour(dg.contour.Airy(1.0)), "action must be a ComplexPhi4"),  # type: ignore[arg-type]
        (lambda: dg.contour.measure(phi4, observables=["energy"]), "observables must be among"),
        (lambda: dg.contour.measure(phi4, n_samples=10), "n_samples must be at least"),
        (lambda: dg.contour.measure(phi4, step=0.0), "step must be > 0"),
        (lambda: _core.LinearPhi4(np.zeros((4, 4)), 1, 1, 1).gradient(np.zeros((1, 2, 4, 5))), "field must have"),
        (lambda: _core.LinearPhi4(np.zeros(4), 1, 1, 1), "transform must have"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()  # type: ignore[no-untyped-call]


def test_result_can_be_saved() -> None:
    import json

    action = dg.contour.ComplexPhi4((1, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = dg.contour.measure(action, dg.contour.LinearContour(action), n_samples=640, n_chains=8, seed=1)
    assert set(found) == {
        "density", "density_error", "density_tau", "phi2", "phi2_error", "phi2_tau", "average_phase",
        "average_phase_error", "average_phase_tau", "average_phase_imag", "average_phase_imag_error", "n_eff",
        "acceptance", "resolved",
    }  # fmt: skip
    assert json.loads(found.attrs["parameters"])["n_chains"] == 8


# ---- Interrupt


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt(threads: int, ctrl_c_latency: Callable[..., float]) -> None:
    def measure() -> None:
        dg.contour.measure(dg.contour.ComplexPhi4((8, 8)), n_samples=10**6, n_thermal=10**6, threads=threads)

    assert ctrl_c_latency(measure) < 0.1
