"""The deep perceptron network with steps of replica symmetry breaking: continuous, frozen, optimised."""

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

import deepglass as dg
from deepglass import _core
from deepglass.reference import parisi as reference

pytestmark = [
    pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::deepglass.UnphysicalWarning"),
]


def network(load, depth=20, **wall):
    return dg.parisi.DeepPerceptron(depth=depth, load=load, **wall)


def around(m, below, above=0):
    """Breakpoints at equal distances up to m, and from there to 1."""
    return np.r_[m * np.arange(1, below + 1) / below, m + (1 - m) * np.arange(1, above + 1) / (above + 1)]


def sweep(solution, load, m, width=0.0, **options):
    deficits = np.ascontiguousarray(solution.neuron_deficit), np.ascontiguousarray(solution.bond_deficit)
    return _core.deep_perceptron_sweep(deficits[1].shape[0], load, m, width, 0.0, *deficits, **options)


# ---- kernel = reference


compared = []


@settings(max_examples=25)
@given(
    st.integers(3, 7),
    st.floats(3.0, 30.0),
    st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4, unique=True).map(sorted),
    st.sampled_from([0.0, 0.1, 0.3]),
)
def check_fixed_point(depth, load, m, width):
    m = np.array(m)
    if np.diff(np.r_[0.0, m, 1.0]).min() < 0.02:
        return
    solution = dg.parisi.solve(network(load, depth, wall_width=width), m.size, breakpoints=m)
    assert solution.converged
    if float(solution.neuron_deficit[1:-1].min()) < 1e-6:
        return  # the twin knows no frozen spins
    q, Q = solution.neuron_overlap.values, solution.bond_overlap.values
    new_q, new_Q, entropy = reference.hierarchical_iterate(q, Q, load, m, width, 0.0)
    np.testing.assert_allclose(new_q, q, atol=1e-7)  # atol of the solver 1e-8, of the recursion 1e-8
    np.testing.assert_allclose(new_Q, Q, atol=1e-7)
    assert float(solution.free_entropy) == pytest.approx(entropy, abs=1e-8)
    assert (np.diff(q, axis=1) >= 0).all() and (np.diff(Q, axis=1) >= 0).all()
    compared.append(q[1, -1])


def test_solution_is_a_fixed_point_of_the_reference():
    compared.clear()
    check_fixed_point()
    assert len(compared) >= 10 and max(compared) > 0.3


# ---- reference values

# Scenario 1, m_i = i/(k+1), L = 20: load, k, s, replicon, q_EA(1..4), Q_EA(1..4) (two programs, not optimised m)
BROKEN = [
    (10, 9, -0.708761, 0.9982, [0.3021, 0, 0, 0], [0.6051, 0, 0, 0]),
    (20, 4, -0.739878, 0.9902, [0.4676, 0.0881, 0, 0], [0.8504, 0.3264, 0, 0]),
    (20, 9, -0.739900, 0.9979, [0.4637, 0.0834, 0, 0], [0.8471, 0.3111, 0, 0]),
    (20, 19, -0.739901, 0.9984, [0.4634, 0.0831, 0, 0], [0.8469, 0.3102, 0, 0]),
    (50, 9, -0.811987, 0.9945, [0.6678, 0.2979, 0.0668, 0], [0.9702, 0.8413, 0.3775, 0]),
]  # fmt: skip


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("load", "steps", "entropy", "replicon", "q", "Q"), BROKEN)
def test_broken_symmetry_table(load, steps, entropy, replicon, q, Q):
    solution = dg.parisi.solve(network(load), steps=steps)
    assert solution.converged and solution.stable
    assert float(solution.free_entropy) == pytest.approx(entropy, abs=2e-6)
    assert float(solution.replicon) == pytest.approx(replicon, abs=1e-3)
    np.testing.assert_allclose(solution.neuron_overlap.values[1:5, -1], q, atol=5e-4)
    np.testing.assert_allclose(solution.bond_overlap.values[:4, -1], Q, atol=1e-3)
    if (load, steps) == (50, 9):  # the order-parameter functions: terraces
        terraces = {
            1: [0.0535, 0.2231, 0.4146, 0.4190, 0.5102, 0.5927, 0.6144, 0.6148, 0.6441, 0.6678],
            2: [0.0000, 0.0000, 0.0000, 0.0028, 0.1184, 0.2117, 0.2345, 0.2349, 0.2680, 0.2979],
            3: [0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0359, 0.0668],
        }
        for layer, values in terraces.items():
            np.testing.assert_allclose(solution.neuron_overlap.values[layer], values, atol=2e-3)


def test_broken_solution_is_a_fixed_point_of_the_reference():
    model = network(20.0, depth=6, wall_width=0.1, wall_shift=0.05)
    solution = dg.parisi.solve(model, steps=3, breakpoints=[0.2, 0.5, 0.8])
    q, Q, m = solution.neuron_overlap.values, solution.bond_overlap.values, solution.breakpoint.values[1:]
    new_q, new_Q, entropy = reference.hierarchical_iterate(q, Q, 20.0, m, 0.1, 0.05)
    assert solution.converged and q[1, -1] > q[1, 0] > 0.0
    np.testing.assert_allclose(new_q, q, atol=1e-7)
    np.testing.assert_allclose(new_Q, Q, atol=1e-7)
    assert float(solution.free_entropy) == pytest.approx(entropy, abs=1e-8)


def test_broken_solution_has_the_right_limits():
    # below the transition: the liquid; replica symmetric where the levels do not differ (depth 2, just above it)
    liquid = dg.parisi.solve(network(2.4), steps=5)
    assert liquid.branch.item() == "liquid" and float(liquid.free_entropy) == pytest.approx(-math.log(2), rel=1e-12)
    # more steps: the free entropy falls to its limit, and the replicon's eigenvalue falls to one
    entropies, replicons = [], []
    for steps in (0, 1, 2, 4):
        solution = dg.parisi.solve(network(15.0, depth=4), steps=steps)
        assert solution.converged
        entropies.append(float(solution.free_entropy))
        replicons.append(float(solution.replicon))
    assert replicons[0] > replicons[1] > replicons[2] > 0.9 and replicons[2] < 1.1
    gaps = np.abs(np.diff(entropies))
    assert gaps[0] > gaps[1] > gaps[2]


@pytest.mark.parametrize(("depth", "load"), [(20, 20.0), (20, 50.0), (4, 30.0)])
def test_one_step_is_converged_where_it_says_so(depth, load):
    solution = dg.parisi.solve(network(load, depth=depth), steps=1)
    assert bool(solution.converged) == bool(solution.residual <= 1e-8)
    q, Q, m = solution.neuron_overlap.values, solution.bond_overlap.values, solution.breakpoint.values[1:]
    new_q, new_Q, _ = reference.hierarchical_iterate(q, Q, load, m)
    assert solution.converged
    np.testing.assert_allclose(new_q, q, atol=2e-7)
    np.testing.assert_allclose(new_Q, Q, atol=2e-7)


def test_layout_with_steps():
    solution = dg.parisi.solve(network(10.0, depth=4), steps=2, breakpoints=[0.3, 0.7])
    assert solution.neuron_overlap.shape == (5, 3) and solution.bond_overlap.shape == (4, 3)
    assert solution.breakpoint.values.tolist() == solution.x_left.values.tolist() == [0.0, 0.3, 0.7]
    assert solution.x_right.values.tolist() == [0.3, 0.7, 1.0]
    assert (np.diff(solution.neuron_overlap, axis=1) >= 0).all() and float(solution.min_gap) >= 0
    np.testing.assert_array_equal(solution.neuron_overlap, solution.neuron_overlap[::-1])


def test_threads_do_not_change_the_broken_solution():
    # five solid layers of 31 levels: a sweep is large enough (2 ms) to be shared out, and not the Jacobian alone
    model = network(200.0)
    start = dg.parisi.solve(model, 4)
    one, two = (dg.parisi.solve(model, 30, start=start, max_iter=20, threads=n) for n in (1, 2))
    assert (one.neuron_overlap[1:6, -1] > 0.0).all()
    xr.testing.assert_identical(one.drop_attrs(), two.drop_attrs())


@pytest.mark.parametrize("load", [0.5, 3.0, 40.0])
def test_spherical_overlaps_invert_the_hierarchical_matrix(load):
    # -(Q^-1)_i = A_i for the n -> 0 matrix of levels Q, checked through d/dQ of ln det (by differences)
    m = np.array([0.25, 0.6])
    A = load * np.array([0.1, 0.5, 0.9])
    Q = reference.hierarchical_bond_overlap(A, m)

    def ln_det(Q):
        Lam = 1 - Q[-1] + np.concatenate([np.cumsum((m * np.diff(Q))[::-1])[::-1], [0.0]])
        return np.log(Lam[-1]) + np.sum(np.log(Lam[:-1] / Lam[1:]) / m) + Q[0] / Lam[0]

    weights = np.diff([0.0, *m, 1.0])
    for i in range(3):
        step = 1e-6 * np.eye(3)[i]
        slope = (ln_det(Q + step) - ln_det(Q - step)) / 2e-6
        assert slope == pytest.approx(weights[i] * A[i], rel=1e-6)


# Hard wall, m_i = i/10 (and smeared ones), L = 20: width, load, s, q_EA(1..10)
SMEARED = [
    (0.0, 100, -0.90753, [1, 0.7008, 0.3997, 0.1809, 0.0236, 0, 0, 0, 0, 0]),
    (0.0, 200, -1.14444, [1, 0.7309, 0.4301, 0.2281, 0.0887, 0, 0, 0, 0, 0]),
    (0.05, 200, -0.99433, [1, 0.7317, 0.4481, 0.2526, 0.1076, 0, 0, 0, 0, 0]),
    (0.1, 200, -0.938286, [0.9989, 0.7144, 0.4417, 0.2540, 0.1109, 0, 0, 0, 0, 0]),
    (0.2, 200, -0.883186, [0.6528, 0.3429, 0.1556, 0.0368, 0, 0, 0, 0, 0, 0]),
    (0.2, 1000, -0.97556, [0.6898, 0.4082, 0.2634, 0.1755, 0.1044, 0.0440, 0, 0, 0, 0]),
]


@pytest.mark.parametrize("width", [0.0, 0.05, 0.1, 0.2])
@pytest.mark.no_sanitizer
def test_fixed_breakpoints_at_large_load(width):
    rows = [row for row in SMEARED if row[0] == width]
    curve = dg.parisi.scan(network(1.0, wall_width=width), [50.0, *(row[1] for row in rows)], 9)
    assert curve.converged.all()
    for _, load, entropy, q in rows:
        at = curve.sel(load=load)
        assert float(at.free_entropy) == pytest.approx(entropy, abs=2e-5)
        np.testing.assert_allclose(at.neuron_overlap.values[1:11, -1], q, atol=1e-3)


# The same further up, where a solution depends on its history: several with a residual below 1e-8 lie within
# 0.05 of one another.  The loads on the way are those that led to the row; hard wall: q_EA(l >= 2) to 1e-2.
FAR = [
    (0.2, np.geomspace(50, 4000, 20), [0.6936, 0.4184, 0.2927, 0.2395, 0.2170, 0.2076, 0.2039, 0.2027, 0.2024, 0.2023]),
    (0.1, np.geomspace(50, 4000, 8), [0.9993, 0.7589, 0.5031, 0.3630, 0.2947, 0.2610, 0.2435, 0.2341, 0.2295, 0.2281]),
    (0.0, [50, 100, 200, 500, 1000], [1, 1, 0.7924, 0.5422, 0.3967, 0.3222, 0.2841, 0.2638, 0.2536, 0.2505]),
    (0.0, np.geomspace(200, 4000, 4), [1, 1, 0.8098, 0.5546, 0.4062, 0.3340, 0.3004, 0.2843, 0.2765, 0.2741]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "loads", "q"), FAR)
def test_fixed_breakpoints_far_up(width, loads, q):
    curve = dg.parisi.scan(network(1.0, wall_width=width), loads, 9, load_ratio=1e3).isel(load=-1)
    assert curve.converged
    np.testing.assert_allclose(curve.neuron_overlap.values[1:11, -1], q, atol=1e-2 if width == 0 else 3e-3)
    if width == 0:
        assert float(curve.complexity) < -0.1


@pytest.mark.no_sanitizer
def test_small_wall_widths_tend_to_the_hard_wall():
    def deeper_layers(width):
        # one frozen step at all these widths
        curve = dg.parisi.scan(network(1.0, wall_width=width), [50.0, 130.0], 4, load_ratio=1.3)
        return curve.neuron_overlap.values[-1, 2:5, -1]

    hard = deeper_layers(0.0)
    distances = [np.abs(deeper_layers(width) - hard).max() for width in (0.05, 0.02, 0.01)]
    assert distances[0] > 2 * distances[1] > 4 * distances[2] and distances[2] < 1e-3


# Optimised breakpoint m*, uniform steps below (and above) it, L = 20: load, below, above, m*, s, q_EA(2..4), and q(2)
# just below m*
FROZEN = [
    pytest.param(40, 8, 0, 0.9342, -0.79213, [0.6036, 0.2584, 0.0102], 0.2080, marks=pytest.mark.slow),
    pytest.param(45, 8, 0, 0.8122, -0.80745, [0.6110, 0.2624, 0.0254], 0.1916, marks=pytest.mark.slow),
    (50, 8, 0, 0.7035, -0.82611, [0.6169, 0.2651, 0.0351], 0.1742),
    (60, 6, 6, 0.5127, -0.87300, [0.6304, 0.2744, 0.0568], 0.1341),
    (70, 6, 6, 0.3347, -0.93688, [0.6818, 0.3342, 0.1134], 0.0688),
]


@pytest.mark.parametrize(("load", "below", "above", "m", "entropy", "q", "q_below"), FROZEN)
@pytest.mark.no_sanitizer
def test_frozen_table(load, below, above, m, entropy, q, q_below):
    start = dg.parisi.solve(
        network(load), below + above, "frozen", breakpoints=around(m, below, above), frozen_step=below
    )

    def at(x):
        return dg.parisi.solve(network(load), below + above, breakpoints=around(x, below, above), start=start)

    root = brentq(lambda x: float(at(x).complexity), m - 0.01, m + 0.01, xtol=1e-4)
    assert root == pytest.approx(m, abs=2e-3)
    solution = at(root)
    assert solution.branch.item() == "frozen" and solution.frozen.values[1, below:].all()
    assert float(solution.free_entropy) == pytest.approx(entropy, abs=5e-5)
    np.testing.assert_allclose(solution.neuron_overlap.values[2:5, -1], q, atol=2e-3 if load <= 50 else 1e-2)
    assert float(solution.neuron_overlap[2, below - 1]) == pytest.approx(q_below, abs=2e-3)


@pytest.mark.no_sanitizer
def test_complexity_at_the_condensation():
    # 8 uniform levels below m = 1
    m = around(1.0, 8)
    values = []
    for load in (37.0, 38.0):
        nothing = np.empty((0, 0))
        start = _core.deep_perceptron_solve_hierarchical(20, load, m, 0.0, 0.0, nothing, nothing)
        neuron, bond = start["neuron_deficit"], start["bond_deficit"]
        neuron[[1, -2], -1], bond[[0, -1], -1] = 1e-300, 1e-5
        frozen = _core.deep_perceptron_solve_hierarchical(20, load, m, 0.0, 0.0, neuron, bond)
        assert frozen["converged"][0]
        # the levels below do not know of the frozen one, which has no weight
        np.testing.assert_allclose(frozen["neuron_overlap"][:, :-1], start["neuron_overlap"][:, :-1], atol=1e-6)
        values.append(-frozen["breakpoint_slope"][-1])
    np.testing.assert_allclose(values, [0.00430, -0.00328], atol=1e-5)


@pytest.mark.slow
def test_critical_loads():
    loads = dg.parisi.critical_loads(20)
    assert np.all(np.abs(loads["load"].values - [18.65, 37.56, 79.4]) < [0.05, 0.03, 0.3])
    assert (loads["load_error"] < [0.02, 0.05, 0.2]).all()


def test_counting_bound():
    assert dg.parisi.satisfiable_load_bound(20) == pytest.approx(178.4, abs=0.05)
    for depth in (1, 7, 10**6):
        load = dg.parisi.satisfiable_load_bound(depth)
        assert load * math.log(2) == pytest.approx(depth * (1 + math.log(load)), rel=1e-12)


TRANSITIONS = [
    (4, 2, 15.95, 16.1), (9, 2, 16.0, 16.1), (4, 3, 43.0, 44.0), (9, 3, 43.0, 44.0),
    pytest.param(9, 5, 89.4, 90.4, marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "layer", "low", "high"), TRANSITIONS)
@pytest.mark.no_sanitizer
def test_transition_loads(steps, layer, low, high):
    found = dg.parisi.transition_loads(20, steps=steps, n_layers=layer)
    assert float(found["load"][0]) == pytest.approx(math.pi**2 / 4, rel=1e-5)
    assert low < float(found["load"][-1]) < high
    # replica symmetry breaking lowers all but the first
    symmetric = dg.parisi.transition_loads(20, n_layers=layer)
    assert (found["load"].values[1:] < symmetric["load"].values[1:]).all()
    assert dg.parisi.wetting_load(4, steps=steps) == pytest.approx(
        float(dg.parisi.transition_loads(4, steps=steps, n_layers=2)["load"][-1])
    )


@pytest.mark.parametrize("steps", [0, 2])
def test_a_wall_far_out_orders_nothing(steps):
    with pytest.raises(dg.NumericalError, match="layer 1 stays liquid up to load"):
        dg.parisi.transition_loads(3, steps=steps, n_layers=1, wall_shift=-5.0)


# ---- derivatives


@pytest.mark.parametrize(("load", "steps", "width"), [(20.0, 4, 0.0), (50.0, 9, 0.0), (200.0, 4, 0.2)])
@pytest.mark.no_sanitizer
def test_slopes_in_the_breakpoints(load, steps, width):
    model = network(load, wall_width=width)
    solution = dg.parisi.solve(model, steps, atol=1e-9)
    m = solution.x_left.values[1:]
    for i in range(steps):
        values = []
        for step in (-1e-3, 1e-3):
            moved = m.copy()
            moved[i] += step
            values.append(
                float(dg.parisi.solve(model, steps, breakpoints=moved, start=solution, atol=1e-9).free_entropy)
            )
        difference = (values[1] - values[0]) / 2e-3
        # the third derivative, times 1e-6/6, and an error of 1e-9 in s
        assert float(solution.free_entropy_slope[i + 1]) == pytest.approx(difference, rel=1e-2, abs=3e-6)


@pytest.mark.no_sanitizer
def test_slopes_in_the_breakpoints_of_a_frozen_solution():
    m = around(0.6, 3, 2)
    solution = dg.parisi.solve(network(50.0), 5, "frozen", breakpoints=m, frozen_step=3)
    assert solution.frozen.values[1].tolist() == [False] * 3 + [True] * 3
    for i in range(5):
        values = []
        for step in (-1e-3, 1e-3):
            moved = m.copy()
            moved[i] += step
            values.append(float(dg.parisi.solve(network(50.0), 5, breakpoints=moved, start=solution).free_entropy))
        difference = (values[1] - values[0]) / 2e-3
        assert float(solution.free_entropy_slope[i + 1]) == pytest.approx(difference, rel=1e-3, abs=3e-6)
    assert float(solution.complexity) == pytest.approx(-0.36 * float(solution.free_entropy_slope[3]), rel=1e-12)


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("load", "steps", "width"), [(20.0, 4, 0.0), (50.0, 9, 0.0), (1000.0, 3, 0.2)])
def test_jacobian_is_the_derivative_of_a_sweep(load, steps, width):
    solution = dg.parisi.solve(network(load, wall_width=width), steps)
    m = solution.x_left.values[1:]
    jacobian = sweep(solution, load, m, width, jacobian=True)["jacobian"]
    u = -np.log(np.r_[solution.bond_deficit.values[:10], solution.neuron_deficit.values[1:11]])
    solid = np.flatnonzero(u[:, -1] > 0)
    rows = (solid[:, np.newaxis] * (steps + 1) + np.arange(steps + 1)).ravel()
    checked = 0
    for block, level in np.argwhere(u > 1e-3)[::3]:
        outer = u[block, level - 1] if level else 0.0
        inner = u[block, level + 1] if level < steps else np.inf
        step = min(1e-3, (u[block, level] - outer) / 3, (inner - u[block, level]) / 3)
        if step < 1e-4:
            continue
        images = []
        for sign in (-1, 1):
            moved = u.copy()
            moved[block, level] += sign * step
            deficit = np.exp(-moved)
            at = solution.copy()
            at["bond_deficit"] = (("bond_layer", "step"), np.r_[deficit[:10], deficit[9::-1]])
            data = np.zeros((1, steps + 1))
            at["neuron_deficit"] = (("layer", "step"), np.r_[data, deficit[10:], deficit[18:9:-1], data])
            images.append(sweep(at, load, m, width)["image"].ravel())
        difference = (images[1] - images[0]) / (2 * step)
        difference = difference[rows]
        column = jacobian[:, np.searchsorted(solid, block) * (steps + 1) + level]
        np.testing.assert_allclose(column, difference, atol=1e-3 * max(0.1, np.abs(difference).max()))
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("m", [0.4, 0.7, 1.0])
def test_frozen_spin_is_the_limit_of_the_recursion(m):
    # f_j = (1/m) ln 2cosh(m h): in units of h/m a spin again, and eps_k drops out
    eps, outer = np.array([0.3, 0.8, 1.7]), np.array([0.15, 0.3])
    inner = 60.0 / m**2  # exp(-m^2 inner/2) = 1e-13
    full = _core.parisi_recursion("spin", [*np.diff(eps, prepend=0.0), inner], [*outer, m])
    frozen = _core.parisi_recursion("spin", m**2 * np.diff(eps, prepend=0.0), outer / m)
    assert full["value"] - m * inner / 2 == pytest.approx(frozen["value"] / m, abs=1e-8)
    np.testing.assert_allclose(full["slope_square"][:3], frozen["slope_square"], atol=1e-7)
    assert full["one_minus_last"] < 1e-11


# ---- limits, convergence, branches


@pytest.mark.no_sanitizer
def test_more_steps_converge():
    entropies = [float(dg.parisi.solve(network(20.0), steps).free_entropy) for steps in (4, 9, 19, 39)]
    gaps = -np.diff(entropies)
    assert (gaps > 0).all() and gaps[1] < gaps[0] / 8 and gaps[2] < gaps[1] / 4


def test_start_with_other_steps_leads_to_the_same_solution():
    few = dg.parisi.solve(network(20.0), 4)
    many = dg.parisi.solve(network(20.0), 9)
    interpolated = dg.parisi.solve(network(20.0), 9, start=few)
    np.testing.assert_allclose(interpolated.neuron_overlap, many.neuron_overlap, atol=1e-4)
    assert float(interpolated.free_entropy) == pytest.approx(float(many.free_entropy), abs=1e-8)


def test_scan_is_a_continuation():
    model, seen = network(1.0), []
    curve = dg.parisi.scan(model, [10.0, 20.0], 4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    for load in (10.0, 20.0):
        alone = dg.parisi.solve(network(load), 4)
        np.testing.assert_allclose(curve.sel(load=load).neuron_overlap, alone.neuron_overlap, atol=1e-5)
        assert float(curve.sel(load=load).free_entropy) == pytest.approx(float(alone.free_entropy), abs=1e-8)
    other = dg.parisi.scan(model, [10.0, 20.0], 4, threads=2)
    xr.testing.assert_identical(curve.drop_attrs(), other.drop_attrs())


@pytest.mark.no_sanitizer
def test_optimised_breakpoints():
    uniform = dg.parisi.solve(network(30.0), 4)
    optimised = dg.parisi.solve(network(30.0), 4, breakpoints="optimised")
    assert optimised.converged and optimised.branch.item() == "wetting"
    assert np.abs(optimised.free_entropy_slope[1:]).max() < 1e-5
    limit = float(dg.parisi.solve(network(30.0), 29).free_entropy)
    assert limit < float(optimised.free_entropy) < float(uniform.free_entropy)
    # above alpha_K the frozen solution is the one of lowest free entropy
    frozen = dg.parisi.solve(network(50.0), 6, breakpoints="optimised")
    assert frozen.converged and frozen.stable and frozen.branch.item() == "frozen"
    assert abs(float(frozen.complexity)) < 1e-5
    assert float(frozen.x_left[-1]) == pytest.approx(0.7035, abs=2e-3)  # of 8 uniform steps below
    # of 8 uniform steps below m*; and the continuous branch
    assert float(frozen.free_entropy) < -0.82611 < float(dg.parisi.solve(network(50.0), 9).free_entropy)
    again = dg.parisi.solve(network(51.0), 6, breakpoints="optimised", start=frozen)
    assert float(again.x_left[-1]) < float(frozen.x_left[-1]) and again.branch.item() == "frozen"


@pytest.mark.slow
def test_second_layer_freezes_inside_the_clusters_of_the_first():
    solution = dg.parisi.solve(network(70.0), 6, breakpoints="optimised")
    frozen = solution.frozen.values
    assert solution.converged and frozen[1].sum() > frozen[2].sum() > 0 and not frozen[3].any()
    assert np.abs(solution.free_entropy_slope[1:]).max() < 1e-5
    assert float(solution.free_entropy) < -0.93688 - 0.01  # of the first layer alone, uniform steps


@pytest.mark.parametrize("load", [81.0, 200.0])
@pytest.mark.no_sanitizer
def test_unsatisfiable(load):
    with pytest.raises(dg.NumericalError, match=r"beyond alpha_J.*unsatisfiable"):
        dg.parisi.solve(network(load), 6, breakpoints="optimised")


def test_frozen_branch_begins_at_the_clustering_load():
    with pytest.raises(dg.NumericalError, match=r"frozen branch does not exist.*alpha_d"):
        dg.parisi.solve(network(18.0), 4, "frozen", breakpoints=around(0.99, 4))
    solution = dg.parisi.solve(network(20.0), 4, "frozen", breakpoints=around(0.99, 4))
    assert solution.branch.item() == "frozen" and float(solution.complexity) > 0.15


@pytest.mark.filterwarnings("default::deepglass.UnphysicalWarning")
@pytest.mark.no_sanitizer
def test_negative_complexity_says_so_once():
    with pytest.warns(dg.UnphysicalWarning, match="complexity of a frozen step is negative") as record:
        solution = dg.parisi.scan(network(1.0), [60.0, 100.0], 9).isel(load=-1)
    assert len([r for r in record if r.category is dg.UnphysicalWarning]) == 1 and record[-1].filename == __file__
    assert float(solution.complexity) < -0.1 and solution.frozen.values[1, -1]


# ---- shallow networks, jamming


@pytest.mark.no_sanitizer
def test_all_layers_of_a_shallow_network_freeze_at_once():
    # the state with all layers frozen has fewer clusters at m = 1 than the one with the first layer frozen
    solution = dg.parisi.solve(network(24.0, depth=5), 3, breakpoints="optimised")
    assert solution.converged and solution.branch.item() == "frozen" and solution.frozen.values[1:-1, -1].all()
    assert np.abs(solution.free_entropy_slope[1:]).max() < 1e-5
    assert float(solution.free_entropy) < float(dg.parisi.solve(network(24.0, depth=5), 29).free_entropy) - 1e-3


@pytest.mark.slow
def test_critical_loads_of_shallow_networks():
    for depth in (3, 6):
        loads = dg.parisi.critical_loads(depth, 6)["load"].values
        assert (np.diff(loads) > 0).all()
    with pytest.raises(dg.NumericalError, match="no alpha_K"):
        dg.parisi.critical_loads(2, 6)


def test_optimised_breakpoints_next_to_the_transition():
    solution = dg.parisi.solve(network(3.0), 1, breakpoints="optimised")
    # by the scan that the objective stands for
    entropies = {
        m: float(dg.parisi.solve(network(3.0), 1, breakpoints=[m], atol=1e-12).free_entropy)
        for m in (0.03, 0.05, 0.075, 0.1, 0.15, 0.5)
    }
    assert float(solution.x_left[1]) == pytest.approx(min(entropies, key=entropies.get), abs=0.01)


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("load", "wall"), [(1000.0, {}), (30.0, {"wall_shift": 1.0})])
def test_jamming(load, wall):
    with pytest.raises(dg.NumericalError, match=r"no solution with 2 steps.*the overlaps run away to 1"):
        dg.parisi.solve(network(load, 2, **wall), 2)


@pytest.mark.no_sanitizer
def test_scan_goes_on_to_jamming():
    curve = dg.parisi.scan(network(1.0, 2), [3.0, 30.0, 1000.0, 2000.0], 2)
    assert curve.branch.values.tolist() == ["wetting", "frozen", "jammed", "jammed"]
    assert np.isnan(curve.free_entropy.values[2:]).all() and curve.converged.values.tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_depth_costs_no_memory_where_it_is_liquid():
    assert dg.parisi.solve(network(20.0, 20000), 2).converged
