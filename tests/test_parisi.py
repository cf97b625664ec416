"""The deep perceptron network, replica symmetric and with steps of replica symmetry breaking."""

import math
import warnings
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import log_ndtr

import deepglass as dg
from deepglass import _core
from deepglass.reference import parisi as reference

pytestmark = pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning")

variances = st.one_of(st.just(0.0), st.floats(1e-12, 0.98))
replica_numbers = st.sampled_from([0, 1])


def network(load, scenario="random", depth=20, **wall):
    return dg.parisi.DeepPerceptron(depth=depth, load=load, scenario=scenario, **wall)


# ---- kernel = reference


@example(0.978515625, 0, 0.0, 0.0)  # weighs u near -10
@given(variances, replica_numbers, st.floats(0.0, 0.5), st.floats(-1.0, 1.0))
def test_wall_moments_equal_the_reference(variance, replicas, width, shift):
    ours = _core.wall_moments([variance], [1.0 - variance], replicas, width, shift)[0]
    theirs = reference.wall_moments(variance, 1.0 - variance, replicas, width, shift)
    np.testing.assert_allclose(ours, theirs, rtol=2e-12)


@given(st.one_of(st.just(0.0), st.floats(1e-12, 30.0)), replica_numbers)
def test_ising_moments_equal_the_reference(variance, replicas):
    ours = _core.ising_moments([variance], replicas)[0]
    theirs = reference.ising_moments(variance, replicas)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("replicas", [0, 1])
@pytest.mark.parametrize("depth", [2, 3, 6])
@pytest.mark.parametrize("load", [1.0, 5.0, 30.0])
def test_solution_equals_the_reference(depth, load, replicas):
    q, Q, entropy = reference.wetting_solution(depth, load, replicas)
    solution = dg.parisi.solve(network(load, ["random", "teacher"][replicas], depth))
    np.testing.assert_allclose(solution.neuron_overlap.values[:, 0], q, atol=1e-9)
    np.testing.assert_allclose(solution.bond_overlap.values[:, 0], Q, atol=1e-9)
    assert float(solution.free_entropy) == pytest.approx(entropy, abs=1e-11)


# ---- closed forms and independent integrals


@pytest.mark.parametrize("variance", [1e-8, 0.3, 0.9, 0.999, 1 - 1e-8])
def test_wall_moments_by_adaptive_integration(variance):
    # E f'^2 in the variable u = h / sqrt(1 - variance), both scenarios (for n = 1: the formula of the Nishimori
    # line, with weight Phi and mass 1/2), by mpmath at 30 digits.
    with mpmath.workdps(30):
        complement = mpmath.mpf(1) - mpmath.mpf(variance)
        width = mpmath.sqrt(mpmath.mpf(variance) / complement)
        points = sorted(
            {s * x for s in (-1, 1) for x in (0, 1, 3, 8, float(width), 4 * float(width), 14 * float(width))}
        )

        def gauss(u):
            return mpmath.npdf(u / width) / width

        def hazard(u):
            return mpmath.npdf(u) / mpmath.ncdf(u)

        random = mpmath.quad(lambda u: gauss(u) * hazard(u) ** 2, points) / complement
        teacher = 2 * mpmath.quad(lambda u: gauss(u) * mpmath.npdf(u) * hazard(u), points) / complement
        entropy = 2 * mpmath.quad(lambda u: gauss(u) * mpmath.ncdf(u) * mpmath.log(mpmath.ncdf(u)), points)
    complement = float(complement)
    ours_random = _core.wall_moments([variance], [complement], 0)[0]
    ours_teacher = _core.wall_moments([variance], [complement], 1)[0]
    assert ours_random[1] == pytest.approx(float(random), rel=1e-12)
    assert ours_teacher[1] == pytest.approx(float(teacher), rel=1e-12)
    assert ours_teacher[0] == pytest.approx(float(entropy), rel=1e-12)


def test_zero_variance_is_the_liquid():
    value, slope, curvature, response = _core.wall_moments([0.0], [1.0], 0)[0]
    np.testing.assert_allclose([value, slope, curvature], [-math.log(2), 2 / math.pi, 4 / math.pi**2], rtol=1e-14)
    # d/dv at v = 0 from the definition: f''^2 - 2 f'^2 f'' with f'' = -f'^2
    assert response == pytest.approx(3 * (2 / math.pi) ** 2, rel=1e-14)
    np.testing.assert_allclose(_core.ising_moments([0.0], 0)[0], [math.log(2), 0, 1, 1, 1], rtol=1e-15)


@pytest.mark.parametrize("replicas", [0, 1])
@pytest.mark.parametrize("variance", [1e-2, 0.2, 0.7, 3.0, 40.0])
def test_responses_are_derivatives(variance, replicas):
    step = 1e-4 * max(variance, 1e-2)
    ising = _core.ising_moments(np.array([variance - step, variance, variance + step]), replicas)
    # The response falls like exp(-variance/2) on the Nishimori line: differences resolve 1 - q, not q.
    difference = (ising[0, 2] - ising[2, 2]) / (2 * step)
    assert ising[1, 4] == pytest.approx(difference, rel=1e-6, abs=1e-13)
    if variance < 1:
        v = np.array([variance - step, variance, variance + step])
        wall = _core.wall_moments(v, 1 - v, replicas, 0.1, 0.2)
        assert wall[1, 3] == pytest.approx((wall[2, 1] - wall[0, 1]) / (2 * step), rel=2e-7)


@pytest.mark.parametrize("variance", [50.0, 300.0, 1200.0])
def test_crystal_spins_keep_relative_accuracy(variance):
    # 1 - q = int N(h; 0, v) sech(h) exp(-v/2) dh on the Nishimori line
    exact, _ = quad(lambda h: math.exp(-h * h / (2 * variance)) / math.cosh(h), -60, 60, epsabs=0, epsrel=1e-13)
    exact *= math.exp(-variance / 2) / math.sqrt(2 * math.pi * variance)
    assert _core.ising_moments([variance], 1)[0, 2] == pytest.approx(exact, rel=1e-12)


def test_first_transition_is_exact():
    for scenario in ("random", "teacher"):
        deep = dg.parisi.transition_loads(20, scenario, n_layers=1)
        shallow = dg.parisi.transition_loads(2, scenario, n_layers=1)
        assert float(deep["load"][0]) == pytest.approx(math.pi**2 / 4, rel=1e-12)
        assert float(shallow["load"][0]) == pytest.approx(math.pi**2 / 8, rel=1e-12)
    smeared = dg.parisi.transition_loads(20, wall_width=0.3, n_layers=1)
    assert float(smeared["load"][0]) == pytest.approx(math.pi**2 / 4 * (1 + 0.3**2) ** 2, rel=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 20, 51])
@pytest.mark.parametrize("scenario", ["random", "teacher"])
def test_liquid(depth, scenario):
    solution = dg.parisi.solve(network(1.0, scenario, depth))
    assert float(solution.free_entropy) == pytest.approx(-math.log(2), rel=1e-14)
    assert solution.branch.item() == "liquid"
    assert solution.converged and solution.stable


def test_depth_two_jams():
    # With 1 - Q = d, 1 - q = p, both small: g = 1/(2(d+p)^2), (d+p)/d = sqrt(load/2), p/(d+p) = sqrt(2/pi).
    jamming = 2 / (1 - math.sqrt(2 / math.pi)) ** 2
    solution = dg.parisi.solve(network(jamming * 0.9999, depth=2))
    assert solution.converged and 0 < solution.bond_deficit[0, 0] < 1e-4
    ratio = float(solution.neuron_deficit[1, 0] / (solution.neuron_deficit[1, 0] + solution.bond_deficit[0, 0]))
    assert ratio == pytest.approx(math.sqrt(2 / math.pi), rel=1e-3)
    for load in (jamming * 1.02, 60.0, 1e5):
        with pytest.raises(dg.NumericalError, match="depth 2, wall_shift 0: the overlaps run away to 1"):
            dg.parisi.solve(network(load, depth=2))
    curve = dg.parisi.scan(network(1.0, depth=2), [1.0, 20.0, 60.0])
    assert curve.branch.values.tolist() == ["liquid", "wetting", "jammed"]
    assert np.isnan(curve.free_entropy[2]) and not np.isnan(curve.free_entropy[1])
    # a smeared wall can always be satisfied
    assert dg.parisi.solve(network(60.0, depth=2, wall_width=0.1)).converged


# ---- reference values of the literature and of independent programs

# Scenario 1, replica symmetric, L = 20 (an independent Gauss-Hermite program): load, s, replicon, q(1..7), Q(1..7)
RANDOM = [
    (50, -0.7972022, 1.7199, [0.4580, 0.1158, 0, 0, 0, 0, 0], [0.8490, 0.4798, 0, 0, 0, 0, 0]),
    (200, -0.9223990, 2.2165, [0.5962, 0.2454, 0.0717, 0, 0, 0, 0], [0.9495, 0.8147, 0.5217, 0, 0, 0, 0]),
    (
        4000, -1.1452888, 2.9421,
        [0.7250, 0.3916, 0.2189, 0.1266, 0.0661, 0.0247, 0],
        [0.9931, 0.9730, 0.9395, 0.8903, 0.8067, 0.6155, 0],
    ),
]  # fmt: skip

# Scenario 2, L = 20: load, branch, s, q(1..10), Q(1..10)
TEACHER = [
    (25, "wetting", -0.580752889, [0.54243, 0.18767] + [0] * 8, [0.92903, 0.62815] + [0] * 8),
    (
        250, "wetting", -0.423270297,
        [0.71653, 0.47785, 0.31508, 0.18433, 0.07566] + [0] * 5,
        [0.99573, 0.98592, 0.96354, 0.90535, 0.69073] + [0] * 5,
    ),
    (
        625, "wetting", -0.385950222,
        [0.73713, 0.51971, 0.39040, 0.30643, 0.23824, 0.16975, 0.09733, 0.03417, 0, 0],
        [0.99841, 0.99512, 0.98934, 0.98094, 0.96818, 0.94283, 0.86901, 0.56988, 0, 0],
    ),
    (
        625, "thick", -0.383651198,
        [0.73977, 0.52634, 0.40550, 0.33823, 0.29930, 0.27594, 0.26170, 0.25322, 0.24871, 0.24729],
        [0.99842, 0.99522, 0.98994, 0.98354, 0.97728, 0.97194, 0.96782, 0.96490, 0.96306, 0.96217],
    ),
    (
        714, "wetting", -0.381305450,
        [0.73889, 0.52325, 0.39686, 0.31778, 0.25686, 0.19721, 0.13079, 0.06216, 0.00403, 0],
        [0.99861, 0.99578, 0.99090, 0.98420, 0.97506, 0.95962, 0.92251, 0.78772, 0.10213, 0],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("load", "entropy", "replicon", "q", "Q"), RANDOM)
def test_random_data_table(load, entropy, replicon, q, Q):
    solution = dg.parisi.solve(network(load))
    assert float(solution.free_entropy) == pytest.approx(entropy, abs=1e-6)
    assert float(solution.replicon) == pytest.approx(replicon, abs=2e-4)
    np.testing.assert_allclose(solution.neuron_overlap.values[1:8, 0], q, atol=2e-4)
    np.testing.assert_allclose(solution.bond_overlap.values[:7, 0], Q, atol=2e-4)


@pytest.mark.parametrize(("load", "branch", "entropy", "q", "Q"), TEACHER)
def test_teacher_table(load, branch, entropy, q, Q):
    solution = dg.parisi.solve(network(load, "teacher"), branch=branch)
    assert float(solution.free_entropy) == pytest.approx(entropy, abs=1e-7)
    np.testing.assert_allclose(solution.neuron_overlap.values[1:11, 0], q, atol=1e-5)
    np.testing.assert_allclose(solution.bond_overlap.values[:10, 0], Q, atol=1e-5)
    assert solution.branch.item() == branch
    assert solution.stable


def test_crystal():
    solution = dg.parisi.solve(network(625.0, "teacher"), branch="crystal")
    deficit = solution.bond_deficit.values[0, 0]
    assert deficit == pytest.approx(4.9294e-06, rel=1e-4)
    assert solution.neuron_deficit.values[1:-1].max() < 1e-12
    # With q = 1 every layer is alone: s = L { [Q + ln(1-Q)]/(2 alpha) + 2 int Dz Phi ln Phi }, u = z sqrt(Q/(1-Q))
    width = math.sqrt((1 - deficit) / deficit)
    wall, _ = quad(
        lambda u: math.exp(-((u / width) ** 2) / 2 + log_ndtr(u)) * log_ndtr(u),
        -40,
        12,
        epsabs=0,
        epsrel=1e-12,
        limit=200,
    )
    wall *= 2 / math.sqrt(2 * math.pi) / width
    alone = 20 * ((1 - deficit + math.log(deficit)) / (2 * 625.0) + wall)
    assert float(solution.free_entropy) == pytest.approx(alone, abs=1e-11)
    assert float(solution.free_entropy) == pytest.approx(-0.2115247, abs=1e-7)


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("random", {1: 2.4674, 2: 21.0117, 4: 282.8836, 6: 1927.2194}),
        ("teacher", {1: 2.4674, 2: 12.9156, 4: 88.8668, 6: 289.8471, 9: 701.5946}),
    ],
)
def test_transition_loads_table(scenario, expected):
    found = dg.parisi.transition_loads(20, scenario, n_layers=max(expected))
    for layer, load in expected.items():
        assert float(found["load"].sel(layer=layer)) == pytest.approx(load, abs=6e-5)
    assert (found.load_error < 1e-9 * found["load"]).all()
    assert (np.abs(found.jump) < 1e-8).all()


def test_shifted_wall_gives_the_published_numbers():
    # The variant with both published numbers, 2.03 and eight visible layers at load 4000.
    expected = [2.0300, 15.887, 57.976, 167.24, 414.06, 890.39, 1664.5, 2722.7, 3952.6]
    found = dg.parisi.transition_loads(20, n_layers=9, wall_shift=0.062)
    np.testing.assert_allclose(found["load"], expected, rtol=2e-5)
    solution = dg.parisi.solve(network(4000.0, wall_shift=0.062))
    q = [0.8178, 0.4972, 0.3046, 0.2065, 0.1466, 0.0997, 0.0578, 0.0234, 0.0006]
    np.testing.assert_allclose(solution.neuron_overlap.values[1:10, 0], q, atol=1e-4)


@pytest.mark.no_sanitizer
def test_coexistence_loads():
    assert dg.parisi.coexistence_load(20, ("wetting", "thick")) == pytest.approx(544.7, abs=0.05)
    assert dg.parisi.coexistence_load(20, ("wetting", "crystal")) == pytest.approx(277.1, abs=0.05)


# ---- invariants


def functional(q, Q, load, n, width, shift):
    """s at any (q, Q): the spin term by its Legendre transform, nothing taken from the saddle-point equations."""
    L = len(Q)
    lam = q[:-1] * Q * q[1:]
    total = sum(reference.wall_moments(v, 1 - v, n, width, shift)[0] for v in lam)
    total += np.sum(np.log(1 - Q) + Q / (1 - Q if n == 0 else 1.0)) / (2 * load)
    for layer in range(1, L):
        eps = brentq(lambda e, layer=layer: reference.ising_moments(e, n)[1] - q[layer], 1e-12, 50.0, xtol=1e-14)
        total += reference.ising_moments(eps, n)[0]
    return total


@pytest.mark.parametrize(
    ("load", "depth", "width", "shift"), [(60.0, 4, 0.0, 0.0), (30.0, 3, 0.1, 0.2), (400.0, 7, 0.0, 0.0)]
)
def test_free_entropy_is_stationary(load, depth, width, shift):
    # Random data only: with a teacher the number given is the derivative of the functional in n, at n = 1.
    solution = dg.parisi.solve(network(load, depth=depth, wall_width=width, wall_shift=shift))
    q, Q, n = solution.neuron_overlap.values[:, 0], solution.bond_overlap.values[:, 0], 0
    assert functional(q, Q, load, n, width, shift) == pytest.approx(float(solution.free_entropy), abs=1e-10)
    step = 3e-6
    for array in (q, Q):
        for i in range(len(array)):
            if array[i] in (0.0, 1.0):
                continue
            values = []
            for sign in (1, -1):
                array[i] += sign * step
                values.append(functional(q, Q, load, n, width, shift))
                array[i] -= sign * step
            assert abs(values[0] - values[1]) / (2 * step) < 1e-7


def dense_replicon(q, Q, load, n):
    """Largest eigenvalue of (dQ, dq) -> replicon map, written out as a full matrix."""
    L = len(Q)
    wall = [reference.wall_moments(q[b] * Q[b] * q[b + 1], 1 - q[b] * Q[b] * q[b + 1], n) for b in range(L)]
    g, K = np.array([w[1] for w in wall]), np.array([w[2] for w in wall])
    size = 2 * L + 1  # Q(1..L), q(0..L); the ends of q are data
    d_lambda = np.zeros((L, size))
    for b in range(L):
        d_lambda[b, [b, L + b, L + b + 1]] = q[b] * q[b + 1], Q[b] * q[b + 1], Q[b] * q[b]
    d_g = K[:, None] * d_lambda
    matrix = np.zeros((size, size))
    for b in range(L):
        d_qq = np.zeros(size)
        d_qq[[L + b, L + b + 1]] = q[b + 1], q[b]
        matrix[b] = (1 - Q[b]) ** 2 * load * (d_qq * g[b] + q[b] * q[b + 1] * d_g[b])
    for layer in range(1, L):
        d_eps = np.zeros(size)
        eps = 0.0
        for b, other in ((layer - 1, layer - 1), (layer, layer + 1)):
            eps += q[other] * Q[b] * g[b]
            d_eps += q[other] * Q[b] * d_g[b]
            d_eps[L + other] += Q[b] * g[b]
            d_eps[b] += q[other] * g[b]
        matrix[L + layer] = reference.ising_moments(eps, n)[3] * d_eps
    inner = [i for i in range(size) if i not in (L, 2 * L)]
    return np.abs(np.linalg.eigvals(matrix[np.ix_(inner, inner)])).max()


@pytest.mark.parametrize(("scenario", "load"), [("random", 50.0), ("random", 2000.0), ("teacher", 100.0)])
def test_replicon_is_the_eigenvalue_of_the_full_matrix(scenario, load):
    solution = dg.parisi.solve(network(load, scenario, 9))
    q, Q = solution.neuron_overlap.values[:, 0], solution.bond_overlap.values[:, 0]
    assert float(solution.replicon) == pytest.approx(dense_replicon(q, Q, load, int(scenario == "teacher")), rel=1e-8)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 30), st.floats(0.1, 5e3), st.sampled_from(["random", "teacher"]), st.floats(0.0, 0.5))
def test_solutions_are_sound(depth, load, scenario, width):
    try:
        solution = dg.parisi.solve(network(load, scenario, depth, wall_width=width))
    except dg.NumericalError:
        assert depth == 2 and scenario == "random" and load > 48.9
        return
    q, Q = solution.neuron_overlap.values[:, 0], solution.bond_overlap.values[:, 0]
    assert solution.converged and solution.residual <= 1e-11
    assert q[0] == q[-1] == 1.0
    assert ((q >= 0) & (q <= 1)).all() and ((Q >= 0) & (Q < 1)).all()
    # symmetric under reversal of the layers, though nothing in the solver makes it so
    np.testing.assert_allclose(q, q[::-1], atol=1e-9)
    np.testing.assert_allclose(Q, Q[::-1], atol=1e-9)
    # overlaps fall towards the centre; a bond is solid exactly between solid neurons
    half = q[: depth // 2 + 1]
    assert (np.diff(half) <= 1e-12).all()
    assert ((Q > 0) == ((q[:-1] > 0) & (q[1:] > 0))).all()
    # on the Nishimori line the wetting branch is stable
    if scenario == "teacher":
        assert solution.stable
    # no liquid layer should have ordered
    g = float(_core.wall_moments([0.0], [1.0], 0, width)[0, 1])
    growth = load * g**2 * (q[:-2] ** 2 + q[2:] ** 2)
    assert (growth[q[1:-1] == 0] <= 1).all()


@settings(deadline=None, max_examples=25)
@given(st.floats(0.5, 2e3), st.floats(1.0, 2.0), st.sampled_from(["random", "teacher"]))
def test_overlaps_grow_with_the_load(load, factor, scenario):
    curve = dg.parisi.scan(network(1.0, scenario, 12), [load, load * factor])
    assert (np.diff(curve.neuron_overlap.values, axis=0) >= -1e-11).all()
    assert (np.diff(curve.bond_overlap.values, axis=0) >= -1e-11).all()


def test_symmetry_from_an_unsymmetric_start():
    start = dg.parisi.solve(network(200.0))
    rng = np.random.default_rng(3)
    for name in ("neuron_deficit", "bond_deficit"):
        noise = rng.uniform(0.5, 1.0, start[name].shape)
        start[name] = start[name] * noise
    solution = dg.parisi.solve(network(200.0), start=start)
    np.testing.assert_allclose(solution.neuron_overlap, solution.neuron_overlap[::-1], atol=1e-12)
    assert float(solution.free_entropy) == pytest.approx(-0.9223990, abs=1e-6)


def test_thick_branch_is_followed_down_to_its_end():
    # From a solution above, the thick branch goes on to where it ends (about 427 at depth 20), and not below.
    solution = dg.parisi.solve(network(625.0, "teacher"), branch="thick")
    for load in (560.0, 500.0, 450.0, 430.0):
        solution = dg.parisi.solve(network(load, "teacher"), branch="thick", start=solution)
        direct = dg.parisi.solve(network(load, "teacher"), branch="thick")
        np.testing.assert_allclose(solution.neuron_overlap, direct.neuron_overlap, atol=1e-9)
    with pytest.raises(dg.NumericalError, match="thick branch does not exist at load 400"):
        dg.parisi.solve(network(400.0, "teacher"), branch="thick")
    with pytest.raises(dg.NumericalError, match="thick branch does not exist at load 300"):
        dg.parisi.solve(network(300.0, "teacher"), branch="thick", start=solution)
    with pytest.raises(dg.NumericalError, match="crystal branch does not exist at load 50"):
        dg.parisi.solve(network(50.0, "teacher"), branch="crystal", start=dg.parisi.solve(network(50.0, "teacher")))
    with pytest.raises(dg.NumericalError, match="crystal branch does not exist at load 6"):
        dg.parisi.solve(network(6.0, "teacher", depth=2), branch="crystal")
    with pytest.raises(dg.NumericalError, match="crystal branch does not exist at load 10"):
        dg.parisi.solve(network(10.0, "teacher"), branch="crystal")


# ---- results


def test_scan_equals_solve_for_any_number_of_threads():
    model = network(1.0, "teacher", 14)
    loads = np.geomspace(1.0, 3000.0, 23)
    one, two, default = (dg.parisi.scan(model, loads, threads=threads) for threads in (1, 2, 0))
    xr.testing.assert_identical(one.drop_attrs(), two.drop_attrs())
    xr.testing.assert_identical(one.drop_attrs(), default.drop_attrs())
    for i in (0, 7, 22):
        single = dg.parisi.solve(network(loads[i], "teacher", 14))
        np.testing.assert_array_equal(single.neuron_overlap, one.neuron_overlap[i])
        assert single.free_entropy == one.free_entropy[i]


def test_scan_marks_missing_branches():
    curve = dg.parisi.scan(network(1.0, "teacher"), [300.0, 625.0], branch="thick")
    assert curve.branch.values.tolist() == ["", "thick"]
    assert curve.converged.values.tolist() == curve.stable.values.tolist() == [False, True]
    assert np.isnan(curve.free_entropy[0]) and np.isnan(curve.neuron_overlap[0]).all()
    assert float(curve.free_entropy[1]) == pytest.approx(-0.383651198, abs=1e-7)


def test_layout_of_the_dataset():
    solution = dg.parisi.solve(network(50.0))
    assert solution.neuron_overlap.dims == ("layer", "step")
    assert solution.layer.values.tolist() == list(range(21))
    assert solution.bond_overlap.dims == ("bond_layer", "step")
    assert solution.bond_layer.values.tolist() == list(range(1, 21))
    assert solution.x_left.values.tolist() == [0.0] and solution.x_right.values.tolist() == [1.0]
    for name in ("breakpoint", "free_entropy", "replicon", "residual", "converged", "branch", "stable"):
        assert name in solution.data_vars
    assert float(solution["load"]) == 50.0
    np.testing.assert_allclose(1 - solution.neuron_overlap, solution.neuron_deficit, atol=1e-15)
    assert solution.attrs["function"] == "deepglass.parisi.solve"


@pytest.mark.filterwarnings("error::deepglass.ConvergenceWarning")
def test_unstable_and_unconverged_solutions_say_so_once():
    with pytest.warns(dg.ConvergenceWarning, match=r"unstable.*1\.72") as record:
        solution = dg.parisi.solve(network(50.0))
    assert len(record) == 1 and not solution.stable and solution.converged
    with pytest.warns(dg.ConvergenceWarning, match="not converged") as record:
        solution = dg.parisi.solve(network(50.0), max_iter=3)
    assert len(record) == 1 and not solution.converged and solution.residual > 1e-6
    with pytest.warns(dg.ConvergenceWarning, match="unstable.*at 2 of 3 loads") as record:
        dg.parisi.scan(network(1.0), [1.0, 3.0, 50.0])
    assert len(record) == 1 and record[0].filename == __file__
    with pytest.warns(dg.ConvergenceWarning, match="not converged") as record:
        solution = dg.parisi.solve(network(20.0), steps=2, max_iter=20)
    assert record[0].filename == __file__ and not solution.converged and solution.residual_history.size == 20
    # what has not converged says nothing about the branch: it keeps its name and its numbers
    with pytest.warns(dg.ConvergenceWarning, match="not converged") as record:
        solution = dg.parisi.solve(network(625.0, "teacher"), branch="thick", max_iter=2)
    assert record[0].filename == __file__ and solution.branch.item() == "thick" and not solution.converged
    with pytest.warns(dg.ConvergenceWarning, match="not converged at 2 of 2 loads"):
        curve = dg.parisi.scan(network(1.0, "teacher"), [300.0, 625.0], branch="thick", max_iter=2)
    assert not curve.converged.any() and not np.isnan(curve.free_entropy).any()
    with pytest.warns(dg.ConvergenceWarning, match="not converged"):
        dg.parisi.solve(network(1e7), max_iter=5)  # and it is no jamming
    assert dg.parisi.solve(network(1e7)).converged
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dg.parisi.solve(network(625.0, "teacher"))


@pytest.mark.no_sanitizer
def test_interrupts_are_answered(ctrl_c_latency):
    def solve():
        dg.parisi.solve(network(60.0), steps=40, atol=1e-300, max_iter=10**9, threads=1)

    assert ctrl_c_latency(solve, after=0.3) < 0.1


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupts_of_a_scan_are_answered(threads, ctrl_c_latency):
    # Each load alone takes many seconds: it is the solver that must listen, on all threads.
    def scan():
        dg.parisi.scan(network(1.0, depth=200), [4e3] * 4, atol=1e-300, max_iter=10**9, threads=threads)

    assert ctrl_c_latency(scan, after=0.3) < 0.1


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 1}, "depth must be an integer from 2 to 1000000, got 1"),
        ({"depth": 10**30}, "depth must be an integer"),
        ({"depth": True}, "depth must be an integer"),
        ({"load": 10**400}, "load must be a finite number"),
        ({"scenario": np.array(["random"])}, "scenario must be one of"),
        ({"depth": 2.5}, "depth must be an integer"),
        ({"load": 0.0}, "load must be a finite number > 0"),
        ({"load": -1.0}, "load must be"),
        ({"load": math.nan}, "load must be"),
        ({"load": math.inf}, "load must be"),
        ({"load": "many"}, "load must be"),
        ({"scenario": "lazy"}, "scenario must be one of 'random', 'teacher', got 'lazy'"),
        ({"wall_width": -0.1}, "wall_width must be"),
        ({"wall_width": math.nan}, "wall_width must be"),
        ({"wall_width": math.inf}, "wall_width must be"),
        ({"wall_shift": math.nan}, "wall_shift must be a number from -5 to 5"),
        ({"wall_shift": 6.0}, "wall_shift must be"),
    ],
)
def test_bad_models(arguments, message):
    with pytest.raises(ValueError, match=message):
        dg.parisi.DeepPerceptron(**arguments)


@pytest.mark.parametrize(
    ("scenario", "arguments", "message"),
    [
        ("teacher", {"steps": 1}, "steps must be 0 with scenario='teacher'"),
        ("random", {"steps": -1}, "steps must be"),
        ("random", {"steps": 0.5}, "steps must be"),
        ("random", {"steps": 65}, "steps must be an integer from 0 to 64, got 65"),
        ("random", {"steps": 2, "breakpoints": [0.5, 0.5]}, "breakpoints must increase strictly"),
        ("random", {"steps": 2, "breakpoints": [0.5, 1.0]}, "breakpoints must increase strictly"),
        ("random", {"steps": 2, "breakpoints": [0.5, math.nan]}, "breakpoints must increase strictly"),
        ("random", {"steps": 2, "breakpoints": [0.5]}, r"breakpoints must have shape \(2,\)"),
        ("random", {"steps": 2, "breakpoints": "best"}, "breakpoints must be one of 'uniform', 'optimised'"),
        ("random", {"steps": 2, "start": xr.Dataset()}, "start must be a solution"),
        ("random", {"branch": "frozen"}, "branch must be one of 'wetting' with steps=0"),
        ("teacher", {"branch": "frozen"}, "branch must be one of 'wetting', 'thick', 'crystal'"),
        ("random", {"steps": 2, "frozen_step": 1}, "frozen_step must be None"),
        ("random", {"steps": 2, "breakpoints": ["a", "b"]}, "breakpoints must be real numbers"),
        ("random", {"steps": 1, "breakpoints": [0.5j]}, "breakpoints must be real numbers"),
        ("random", {"steps": 2, "breakpoints": [1e-9, 0.5]}, "breakpoints must be at least 0.0001, got 1e-09"),
        ("random", {"steps": 2, "branch": "frozen", "start": xr.Dataset()}, "start must be None with branch='frozen'"),
        ("random", {"steps": 2, "branch": "frozen", "frozen_step": 3}, "frozen_step must be an integer from 1 to 2"),
        ("random", {"threads": -1}, "threads must be"),
        ("random", {"branch": "thick"}, "branch must be one of 'wetting', 'frozen', got 'thick'"),
        ("teacher", {"branch": "glass"}, "branch must be one of 'wetting', 'thick', 'crystal'"),
        ("random", {"atol": 0.0}, "atol must be"),
        ("random", {"atol": math.inf}, "atol must be a finite number > 0"),
        ("random", {"max_iter": 0}, "max_iter must be"),
        ("random", {"max_iter": 2**70}, "max_iter must be"),
        ("random", {"threads": 2**40}, "threads must be"),
        ("random", {"start": 5}, "start must be a solution"),
        ("random", {"start": xr.Dataset()}, "start must be a solution"),
    ],
)
def test_bad_calls(scenario, arguments, message):
    with pytest.raises(ValueError, match=message):
        dg.parisi.solve(network(5.0, scenario), **arguments)


def test_numbers_of_any_kind_are_taken():
    model = dg.parisi.DeepPerceptron(depth=np.uint8(255), load=Fraction(5, 2), wall_width=np.float32(0.5))
    assert (type(model.depth), type(model.load), type(model.wall_width)) == (int, float, float)
    assert model.load == 2.5 and dg.parisi.solve(model).sizes["layer"] == 256


def test_bad_calls_of_the_others():
    with pytest.raises(ValueError, match="loads must be real numbers"):
        dg.parisi.scan(network(1.0), ["5"])
    with pytest.raises(ValueError, match="loads must be real numbers"):
        dg.parisi.scan(network(1.0), [1.0 + 1.0j])
    with pytest.raises(ValueError, match="loads must increase with steps > 0"):
        dg.parisi.scan(network(1.0), [2.0, 1.0], steps=2)
    with pytest.raises(ValueError, match="load_ratio must be a finite number > 1"):
        dg.parisi.scan(network(1.0), [1.0], steps=2, load_ratio=1.0)
    with pytest.raises(ValueError, match="breakpoints must be one of 'uniform'"):
        dg.parisi.scan(network(1.0), [1.0], steps=2, breakpoints="optimised")
    with pytest.raises(ValueError, match="branch must be one of 'wetting', got 'frozen'"):
        dg.parisi.scan(network(1.0), [1.0], steps=2, branch="frozen")
    with pytest.raises(ValueError, match="depth must be an integer from 1"):
        dg.parisi.satisfiable_load_bound(0)
    with pytest.raises(ValueError, match="depth must be an integer from 2"):
        dg.parisi.critical_loads(1)
    with pytest.raises(ValueError, match="depth must be an integer or an array"):
        dg.parisi.wetting_load([4.5])
    with pytest.raises(dg.NumericalError, match="run away to 1"):
        dg.parisi.transition_loads(20, wall_shift=5.0, n_layers=4)
    with pytest.raises(dg.NumericalError, match="too close to 1"):
        _core.wall_moments([1.0], [1e-60], 0)
    with pytest.raises(ValueError, match="model must be a DeepPerceptron"):
        dg.parisi.solve(5.0)
    with pytest.raises(ValueError, match=r"loads must have shape \(n_loads,\)"):
        dg.parisi.scan(network(1.0), [[1.0, 2.0]])
    with pytest.raises(ValueError, match="loads must be a finite number > 0, got -2"):
        dg.parisi.scan(network(1.0), [1.0, -2.0])
    with pytest.raises(ValueError, match="threads must be"):
        dg.parisi.scan(network(1.0), [1.0], threads=-1)
    with pytest.raises(ValueError, match="n_layers must be an integer from 1 to 10, got 11"):
        dg.parisi.transition_loads(20, n_layers=11)
    with pytest.raises(ValueError, match="branches must be two different names"):
        dg.parisi.coexistence_load(20, ("thick", "thick"))
    start = dg.parisi.solve(network(5.0, depth=4))
    with pytest.raises(ValueError, match="start must be a solution"):
        dg.parisi.solve(network(5.0, depth=6), start=start)


def test_warnings_name_the_line_of_the_caller():
    for model, options in (
        (dg.parisi.Perceptron(10.0, -1.0), {}),  # dispatched by the package
        (dg.parisi.DeepPerceptron(depth=20, load=40.0, scenario="random"), {"max_iter": 2}),
    ):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            dg.parisi.solve(model, **options)
        assert found and {each.filename for each in found} == {__file__}
