"""Landscapes: stationary points of spherical spin glasses and of networks, walks in random potentials."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, interpolate, optimize

import deepglass as dg
from deepglass._stationary import search
from deepglass.learning import landscape as walks
from deepglass.parisi import landscape as glasses

pytestmark = pytest.mark.same_bits

THREE_SPINS = dg.parisi.MixedSpherical({3: 0.5}, temperature=0.0)
models = st.dictionaries(st.integers(2, 8), st.floats(0.01, 2.0), min_size=1, max_size=3).map(
    lambda coefficients: dg.parisi.MixedSpherical(coefficients, 0.0)
)


# ---- Spherical spin glasses, exactly


@pytest.mark.parametrize(("coefficients", "temperature"), [({3: 0.5}, 0.5), ({3: 0.5}, 0.3), ({4: 1.0}, 0.5)])
def test_minima_are_the_states_of_the_replica_method(coefficients, temperature):
    """States of a pure model are its minima, heated: w = sqrt(xi'') tr G / N stays, and mu/sqrt(xi'') = w + 1/w."""
    model = dg.parisi.MixedSpherical(coefficients, temperature)
    states = dg.parisi.complexity(model)
    states = states.isel(breakpoint=states.replicon.values > 0.0)
    w = (1.0 - states.overlap.values) * np.sqrt(model.xi(states.overlap, 2)) / temperature
    energies = -(w + 1.0 / w) * math.sqrt(model.xi(1.0, 2)) * float(model.xi(1.0) / model.xi(1.0, 1))
    found = dg.parisi.stationary_points(model, energies)
    np.testing.assert_allclose(found.complexity, states.complexity, atol=1e-14)
    np.testing.assert_array_equal(found["index"], 0.0)
    assert states.sizes["breakpoint"] > 5


@pytest.mark.parametrize("coefficients", [{3: 0.5}, {3: 0.3, 4: 0.2}, {3: 0.5, 8: 0.1}])
def test_no_minimum_lies_below_the_ground_state(coefficients):
    model = dg.parisi.MixedSpherical(coefficients, 0.0)
    ground = float(dg.parisi.full_rsb(model).energy)
    points = dg.parisi.stationary_points(model, ground + np.array([-1e-3, 0.0, 1e-3]))
    assert points.complexity[0] < 0.0 < points.complexity[2]
    assert abs(points.complexity[1]) < 1e-14
    assert ground < points.threshold_energy


def test_threshold_of_a_mixed_model_is_that_of_cold_states():
    """The highest stable states of the replica method, temperature extrapolated to 0."""
    coefficients, temperatures = {3: 0.3, 4: 0.2}, [0.2, 0.16, 0.12, 0.08]
    found = []
    for temperature in temperatures:
        states = dg.parisi.complexity(dg.parisi.MixedSpherical(coefficients, temperature), 100)
        at = float(states.threshold_breakpoint)
        found.append(float(interpolate.CubicSpline(states.breakpoint[::-1], states.complexity[::-1])(at)))
    model = dg.parisi.MixedSpherical(coefficients, 0.0)
    threshold = float(dg.parisi.stationary_points(model, [0.0]).threshold_energy)
    points = dg.parisi.stationary_points(model, [threshold])
    # next term of the extrapolation
    np.testing.assert_allclose(points.complexity, np.polyfit(temperatures, found, 3)[-1], atol=3e-6)
    np.testing.assert_allclose(points.stiffness, 2.0 * math.sqrt(model.xi(1.0, 2)), rtol=1e-12)


def semicircle(function, points=()):
    # x = 2 sin t takes the square root away
    return integrate.quad(
        lambda t: function(2.0 * math.sin(t)) * 2.0 * math.cos(t) ** 2 / math.pi,
        -math.pi / 2, math.pi / 2, points=points, epsabs=1e-12, limit=500,
    )[0]  # fmt: skip


@given(models, st.floats(-3.0, 3.0))
def test_most_points_have_the_best_stiffness(model, energy):
    found = dg.parisi.stationary_points(model, [energy, -energy])
    xi, xi1, xi2 = (float(model.xi(1.0, order)) for order in range(3))
    v = xi1 + xi2 - xi1**2 / xi
    x = found.stiffness.values / math.sqrt(xi2)

    def exponent(x):
        return float(glasses._log_potential(x)) - (x * math.sqrt(xi2) + energy * xi1 / xi) ** 2 / (2.0 * v)

    if v > 1e-3 * xi2:
        best = optimize.minimize_scalar(lambda x: -exponent(x), bracket=(x[0] - 0.1, x[0] + 0.2))
        offset = 0.5 * math.log(xi2 / xi1) + 0.5 - energy**2 / (2.0 * xi)
        assert found.complexity[0] == pytest.approx(offset - best.fun, abs=1e-9 * (1.0 + abs(best.fun)))
    # e and -e are one another upside down
    np.testing.assert_allclose(found["index"].sum(), 1.0, atol=1e-12)
    np.testing.assert_allclose(found.complexity[0], found.complexity[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("x", [-2.5, -2.0, -1.3, 0.0, 0.7, 1.999, 4.0])
def test_semicircle(x):
    cut = [math.asin(x / 2.0)] if abs(x) < 2.0 else ()
    assert float(glasses._log_potential(x)) == pytest.approx(semicircle(lambda y: math.log(abs(x - y)), cut), abs=1e-8)
    below = semicircle(lambda y: float(x + y < 0.0), [math.asin(-x / 2.0)] if cut else ())
    assert float(glasses.below_zero(x)) == pytest.approx(below, abs=1e-10)


@pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning")
def test_complexity_says_where_there_are_no_states():
    with pytest.raises(dg.NumericalError, match=r"no solution of one step converged at temperature 0\.001"):
        dg.parisi.complexity(dg.parisi.MixedSpherical({3: 0.5}, 0.001))


# ---- Spherical spin glasses, drawn


def test_energies_have_their_covariance():
    model = dg.parisi.MixedSpherical({2: 0.3, 3: 0.5, 4: 0.1}, 0.0)
    n, rng = 6, np.random.default_rng(1)
    one, other = (v * math.sqrt(n) / np.linalg.norm(v) for v in rng.standard_normal((2, n)))
    pairs = []
    for _ in range(3000):
        glass = glasses._Glass(model, n, rng)
        pairs.append([n * glass.at(one)[0], n * glass.at(other)[0]])
    a, b = np.transpose(pairs)
    for product, q in ((a * a, 1.0), (a * b, one @ other / n)):
        error = product.std() / math.sqrt(len(product))
        assert abs(product.mean() - n * float(model.xi(q))) < 4 * error


def test_gradient_and_hessian_on_the_sphere():
    n, rng = 7, np.random.default_rng(2)
    glass = glasses._Glass(dg.parisi.MixedSpherical({2: 0.4, 3: 0.5, 5: 0.2}, 0.0), n, rng)
    s = rng.standard_normal(n)
    s *= math.sqrt(n) / np.linalg.norm(s)
    step = rng.standard_normal(n)
    step -= (step @ s) * s / n

    def energy(t):  # along a great circle
        angle = t * np.linalg.norm(step) / math.sqrt(n)
        return n * glass.at(s * math.cos(angle) + step * math.sqrt(n) / np.linalg.norm(step) * math.sin(angle))[0]

    _, _, gradient, hessian = glass.at(s)
    h = 1e-3
    low, middle, high = energy(-h), energy(0.0), energy(h)
    assert (high - low) / (2 * h) == pytest.approx(gradient @ step, rel=1e-4)  # h^2
    assert (high - 2 * middle + low) / h**2 == pytest.approx(step @ hessian @ step, rel=1e-4)
    np.testing.assert_allclose([gradient @ s, *(hessian @ s)], 0.0, atol=1e-12)


def excess(found, exact):
    """Mean over the points of each instance, error over instances."""
    each = (found["index"] - exact).mean("start").values
    each = each[np.isfinite(each)]
    return each.mean(), each.std(ddof=1) / math.sqrt(len(each))


def extrapolated(sizes, values):
    """Of a + b / N, with its error."""
    design = np.column_stack([np.ones(len(sizes)), 1.0 / np.asarray(sizes)])
    mean, error = np.transpose(values)
    covariance = np.linalg.inv(design.T / error**2 @ design)
    return (covariance @ (design.T / error**2) @ mean)[0], math.sqrt(covariance[0, 0])


@pytest.mark.no_sanitizer
@pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning")
def test_index_of_points_found_is_that_of_their_energy():
    """Pure model: whatever points a search prefers."""
    values, sizes = [], (16, 24, 40)
    for n in sizes:
        found = dg.parisi.stationary_points_simulation(THREE_SPINS, n, n_instances=8, n_starts=5, seed=3)
        there = found.converged.values
        assert there.mean() > 0.4 and found.residual.values[there].max() < 1e-9
        np.testing.assert_allclose(found.stiffness.values[there], -3.0 * found.energy.values[there], atol=1e-8)
        exact = np.full(there.shape, np.nan)
        exact[there] = dg.parisi.stationary_points(THREE_SPINS, found.energy.values[there])["index"]
        values.append(excess(found, exact))
    limit, error = extrapolated(sizes, values)
    assert abs(limit) < 4 * error < 0.05
    assert found.energy.min() < -1.0 and found.energy.max() > -0.3


@pytest.mark.no_sanitizer
@pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning")
def test_index_of_points_found_is_that_of_their_stiffness():
    """Mixed model: the stiffness is not given by the energy."""
    model = dg.parisi.MixedSpherical({2: 0.3, 3: 0.5}, 0.0)
    values, sizes = [], (16, 24, 40)
    for n in sizes:
        found = dg.parisi.stationary_points_simulation(model, n, n_instances=8, n_starts=5, seed=4)
        x = found.stiffness.values / math.sqrt(model.xi(1.0, 2))
        values.append(excess(found, glasses.below_zero(x)))
    limit, error = extrapolated(sizes, values)
    assert abs(limit) < 4 * error < 0.05


def test_simulation_does_not_depend_on_the_number_of_instances():
    one, two = (
        dg.parisi.stationary_points_simulation(THREE_SPINS, 12, n_instances=n, n_starts=3, max_iter=30, seed=1)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one.energy[0], two.energy[0])


# ---- The search


def test_search_goes_to_saddles():
    """Sum of cos x_i from a point near a saddle of index 1 of 3."""

    def derivatives(x):
        return -np.sin(x), np.diag(-np.cos(x))

    found = search(np.array([0.3, 3.0, -2.9]), derivatives, longest=0.2, tolerance=1e-12, max_iter=50)
    assert found.converged
    np.testing.assert_allclose(found.x, [0.0, math.pi, -math.pi], atol=1e-12)


def test_search_says_that_it_has_found_nothing():
    found = search(
        np.ones(2), lambda x: (np.array([1.0, x[1]]), np.diag([0.0, 1.0])), longest=0.1, tolerance=1e-9, max_iter=50
    )
    assert not found.converged and found.residual >= math.sqrt(0.5)


# ---- Walks in random potentials


def test_walk_is_the_resolvent_of_its_generator():
    """Dense matrices: the law at an exponential time of mean t is (1 - t L^T)^(-1) of the start."""
    n, t = 5, np.array([0.3, 4.0, 1e3])
    increments = 2.0 * np.random.default_rng(1).standard_normal((3, 2 * n))
    found = walks._walks(increments, t)
    position = np.arange(-n, n + 1)
    for k, increment in enumerate(increments):
        v = np.concatenate([[0.0], np.cumsum(increment)])
        generator = np.diag(np.exp(-np.diff(v) / 2), 1) + np.diag(np.exp(np.diff(v) / 2), -1)
        generator -= np.diag(generator.sum(axis=1))
        for i, time in enumerate(t):
            p = np.linalg.solve(np.eye(2 * n + 1) - time * generator.T, (position == 0).astype(float))
            wanted = [p @ abs(position), p @ position**2, p[0] + p[-1]]
            np.testing.assert_allclose(found[:, i, k], wanted, rtol=1e-11)  # the dense matrix: condition 1e4


def test_walk_without_correlations_diffuses():
    """Corrections 1/sqrt(t) leave in 2 D(4 t) - D(t)."""
    t = np.array([1e4, 4e4])
    found = dg.learning.random_potential_walk(t, hurst=0.0, n_sites=3000, n_environments=400, seed=1)
    once, again = found.square.values / t
    error = np.hypot(*(found.square_error.values / t * [1.0, 2.0]))
    assert abs(2.0 * again - once - 2.0 * math.exp(-3.0 / 8.0)) < 4 * error < 0.03
    assert found.at_walls.max() < 1e-6


def test_walk_of_sinai():
    """E|x| -> (5/6) ln^2 t / strength^2, with sqrt(E|x|) linear in ln t but for corrections 1 / ln t."""
    log_t = np.array([12.0, 36.0])
    found = dg.learning.random_potential_walk(np.exp(log_t), strength=2.0, n_sites=2500, n_environments=800, seed=2)
    root = 2.0 * np.sqrt(found.distance.values)
    error = found.distance_error.values * 2.0 / root
    slope, spread = np.diff(root)[0] / np.diff(log_t)[0], np.hypot(*error) / np.diff(log_t)[0]
    assert abs(slope - math.sqrt(5 / 6)) < 4 * spread < 0.1
    # E x^2 / (E|x|)^2 of the law of Golosov and Kesten
    assert float(found.square[1] / found.distance[1] ** 2) == pytest.approx((61 / 45) / (5 / 6) ** 2, rel=0.1)


def test_walks_in_rougher_potentials_are_faster():
    """(ln t)^(1 / hurst): the exponent between two times."""
    log_t = np.array([20.0, 40.0])
    for hurst in (0.5, 0.75):
        found = dg.learning.random_potential_walk(
            np.exp(log_t), hurst=hurst, strength=2.0, n_sites=2500, n_environments=400, seed=3
        )
        exponent = np.diff(np.log(found.distance))[0] / math.log(2.0)
        error = np.hypot(*(found.distance_error / found.distance).values) / math.log(2.0)
        assert abs(exponent - 1.0 / hurst) < 4 * error < 0.8


@pytest.mark.parametrize("hurst", [0.0, 0.25, 0.5, 0.8])
def test_potential_grows_as_asked_for(hurst):
    sums = np.cumsum(walks._increments(np.random.default_rng(1), 4000, 64, hurst), axis=1)
    for k in (1, 7, 64):
        square = sums[:, k - 1] ** 2
        assert abs(square.mean() - k ** (2.0 * hurst)) < 4 * square.std() / math.sqrt(len(square))


# ---- Networks


def test_derivatives_of_the_loss():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    loss = walks._Loss(x, y, 4, 0.1)
    w = rng.standard_normal(4 * 5 + 1)
    gradient, hessian = loss.derivatives(w)
    h = 1e-5
    steps = h * np.eye(w.size)
    np.testing.assert_allclose(loss.gradient(w), gradient, atol=1e-14)
    np.testing.assert_allclose([(loss(w + s) - loss(w - s)) / (2 * h) for s in steps], gradient, atol=1e-9)
    numerical = [(loss.gradient(w + s) - loss.gradient(w - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(numerical, hessian, atol=1e-8)


@pytest.mark.no_sanitizer
def test_index_of_networks_grows_with_the_loss():
    from scipy.stats import spearmanr

    losses, indices = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        found = dg.learning.network_stationary_points(
            rng.standard_normal((100, 4)), rng.choice([-1.0, 1.0], 100), 5, seed=seed
        )
        there = found.converged.values
        assert (found.residual.values[there] <= 1e-9).all() and np.isnan(found.loss.values[~there]).all()
        np.testing.assert_array_equal(found.smallest_eigenvalue.values[there] > 0.0, found["index"].values[there] == 0)
        losses += found.loss.values[there].tolist()
        indices += found["index"].values[there].tolist()
    assert len(losses) > 8
    correlation = spearmanr(losses, indices)
    assert correlation.statistic > 0.5 and correlation.pvalue < 0.01


def test_long_steps_lead_to_the_constant_network():
    """Weights 0: one pair of eigenvalues for each hidden unit, +-|x.(f - y)| / n about the decay."""
    rng = np.random.default_rng(7)
    x, y, decay = rng.standard_normal((100, 4)), rng.choice([-1.0, 1.0], 100), 3e-3
    found = dg.learning.network_stationary_points(x, y, 5, longest_step=1.0, noise=[0.05], weight_decay=decay, seed=1)
    constant = y.mean() / (1.0 + decay)
    trivial = found.converged.values & (found.norm.values < abs(constant) + 1e-6)
    assert trivial.sum() > 3
    np.testing.assert_array_equal(found["index"].values[trivial], 5 / 31)
    slope = np.linalg.norm(np.append(x.T @ (constant - y), np.sum(constant - y))) / 100
    np.testing.assert_allclose(found.smallest_eigenvalue.values[trivial], decay - slope, rtol=1e-7)


# ---- Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dg.parisi.stationary_points(THREE_SPINS, [np.nan]), "energy must be finite"),
        (lambda: dg.parisi.stationary_points_simulation(THREE_SPINS, 3), "n_spins must be an integer from 4"),
        (lambda: dg.parisi.stationary_points_simulation(THREE_SPINS, 500), r"n_spins must have N\^p <= 2\^26"),
        (lambda: dg.parisi.stationary_points_simulation(THREE_SPINS, 8, tolerance=0.0), "tolerance must be > 0"),
        (lambda: dg.learning.random_potential_walk([0.0]), "times must be numbers > 0"),
        (lambda: dg.learning.random_potential_walk([1.0], hurst=1.0), r"hurst must be in \[0, 1\)"),
        (lambda: dg.learning.random_potential_walk([1.0], strength=-1.0), "strength must be > 0"),
        (lambda: dg.learning.network_stationary_points(np.ones((3, 2)), np.ones(2), 2), "labels must be 3 finite"),
        (lambda: dg.learning.network_stationary_points(np.ones((3, 2)), np.ones(3), 0), "width must be an integer"),
        (lambda: dg.learning.network_stationary_points(np.ones((3, 2)), np.ones(3), 1, steps=()), "must not be empty"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_searches_that_fail_are_counted():
    with pytest.warns(dg.ConvergenceWarning, match=r"\d+ of 9 searches found no stationary point"):
        found = dg.parisi.stationary_points_simulation(THREE_SPINS, 8, n_instances=1, n_starts=9, max_iter=1, seed=1)
    assert found.converged.sum() < 5
    for name in ("energy", "stiffness", "index", "smallest_eigenvalue"):
        np.testing.assert_array_equal(found[name].isnull(), ~found.converged)
    np.testing.assert_array_equal(found.residual > 1e-9, ~found.converged)
    with pytest.warns(dg.ConvergenceWarning, match="2 of 2 searches found no stationary point"):
        dg.learning.network_stationary_points(np.eye(3), np.ones(3), 2, max_iter=1, steps=[0], seed=1)
