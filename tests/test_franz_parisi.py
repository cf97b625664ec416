"""The Franz-Parisi potential: kernel against the reference, replicas counted one by one, and the Nishimori line."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import log_ndtr, ndtr
from scipy.stats import multivariate_normal, norm

import deepglass as dg
from deepglass import ConvergenceWarning, _core
from deepglass.reference import franz_parisi as reference

OVERLAPS = ("neuron_overlap", "bond_overlap", "teacher_neuron_overlap", "teacher_bond_overlap")


def network(load, depth=20, **kwargs):
    return dg.parisi.DeepPerceptron(depth, load, "teacher", **kwargs)


def potential(*args, **kwargs):
    """Away from the Nishimori line the students often break replica symmetry: not the subject of most tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return dg.parisi.franz_parisi(*args, **kwargs)


def wall(variance, covariance, width=0.0, shift=0.0):
    v, c = np.atleast_1d(variance).astype(float), np.atleast_1d(covariance).astype(float)
    return _core.planted_wall_moments(v, 1 - v, c, 1 - c, width, shift)


# ---- kernel = reference


@given(
    variance=st.floats(0.01, 0.95),
    correlation=st.floats(0.0, 0.95),
    width=st.sampled_from([0.0, 0.3]),
    shift=st.floats(-1.5, 1.5),
)
def test_wall_kernel_is_the_reference(variance, correlation, width, shift):
    covariance = correlation * np.sqrt(variance)
    expected = reference.planted_wall_moments(variance, covariance, width, shift)
    # 1e-12: trapezoid sums of both to rounding, normalised by a Gaussian tail of at least 0.07
    np.testing.assert_allclose(wall(variance, covariance, width, shift)[0], expected, rtol=1e-12, atol=1e-12)


@given(variance=st.floats(1e-3, 8.0), mean=st.floats(0.0, 8.0))
def test_spin_kernel_is_the_reference(variance, mean):
    expected = reference.planted_ising_moments(variance, mean)
    # the reference's spin term cancels: atol; 1e-12 for the small tails it sums from 4000 terms
    np.testing.assert_allclose(
        _core.planted_ising_moments([variance], [mean])[0], expected, rtol=1e-12, atol=1e-14 * (1 + mean + variance)
    )


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize(("width", "shift"), [(0.0, 0.0), (0.3, 0.2)])
def test_solution_solves_the_equations_of_the_reference(layer, width, shift):
    curve = potential(network(30.0, 4, wall_width=width, wall_shift=shift), [0.3, 0.6], layer)
    assert curve.converged.all()
    for i, x in enumerate(curve.overlap.values):
        now = [curve[name].values[i] for name in OVERLAPS]
        *new, value, field = reference.iterate(*now, 30.0, layer, x, width, shift)
        for a, b in zip(now, new, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-12)  # truncation of the reference's Gaussian
        assert value == pytest.approx(curve.potential.values[i], abs=2e-12)
        assert field == pytest.approx(curve.field.values[i], abs=2e-12)


# ---- the terms, by other means


def plain_wall(lambda_S, lambda_T):
    """The formula of the docstring, by adaptive quadrature."""
    s, s_0 = np.sqrt((1 - lambda_S) / lambda_S), np.sqrt(lambda_S - lambda_T**2)
    return (
        2
        * quad(lambda z: norm.pdf(z) * ndtr(z * lambda_T / s_0) * log_ndtr(z / s), -12, 12, epsabs=1e-13, epsrel=1e-13)[
            0
        ]
    )


@pytest.mark.parametrize(("lambda_S", "lambda_T"), [(0.3, 0.2), (0.6, 0.6), (0.8, 0.7), (0.5, 0.1)])
def test_wall_derivatives(lambda_S, lambda_T):
    h = 1e-4
    W, g_S, g_T, _, response, cross, teacher = wall(lambda_S, lambda_T)[0]
    assert plain_wall(lambda_S, lambda_T) == pytest.approx(W, rel=1e-11)
    by_S = (plain_wall(lambda_S + h, lambda_T) - plain_wall(lambda_S - h, lambda_T)) / (2 * h)
    by_T = (plain_wall(lambda_S, lambda_T + h) - plain_wall(lambda_S, lambda_T - h)) / (2 * h)
    # central differences: h^2 times a third derivative of order ten
    assert -2 * by_S == pytest.approx(g_S, rel=1e-6) and by_T == pytest.approx(g_T, rel=1e-6)
    up, down = wall(lambda_S + h, lambda_T)[0], wall(lambda_S - h, lambda_T)[0]
    np.testing.assert_allclose((up - down)[1:3] / (2 * h), [response, -cross], rtol=1e-5, atol=1e-7)
    up, down = wall(lambda_S, lambda_T + h)[0], wall(lambda_S, lambda_T - h)[0]
    np.testing.assert_allclose((up - down)[1:3] / (2 * h), [2 * cross, teacher], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n", [2, 3])
def test_wall_counts_replicas(n):
    """E p Phi^n is the probability that the gaps of a teacher and n students are all positive."""
    lambda_S, lambda_T = 0.7, 0.6
    covariance = np.full((n + 1, n + 1), lambda_S)
    covariance[0], covariance[:, 0] = lambda_T, lambda_T
    np.fill_diagonal(covariance, 1.0)
    if n == 2:  # Sheppard's formula
        c = covariance[np.triu_indices(3, 1)]
        orthant = 1 / 8 + np.arcsin(c).sum() / (4 * np.pi)
    else:
        zero, normal = np.zeros(n + 1), type(multivariate_normal)(seed=1)
        orthant = normal.cdf(zero, zero, covariance, abseps=1e-9, releps=1e-9, maxpts=10**6)
    s, s_0 = np.sqrt(1 - lambda_S), np.sqrt(1 - lambda_T**2 / lambda_S)

    def moment(power):
        def integrand(z):
            u = z * np.sqrt(lambda_S) / s
            return norm.pdf(z) * ndtr(z * lambda_T / np.sqrt(lambda_S) / s_0) * np.exp(power * log_ndtr(u))

        return quad(integrand, -12, 12, epsabs=1e-13, epsrel=1e-13)[0]

    assert moment(n) == pytest.approx(orthant, abs=1e-12 if n == 2 else 1e-6)  # a quasi-random orthant for n = 3
    # and W is the logarithm's slope at n = 0
    h = 1e-4
    assert np.log(moment(h) / moment(-h)) / (2 * h) == pytest.approx(wall(lambda_S, lambda_T)[0, 0], rel=1e-7)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_spins_count_replicas(n):
    """The sum over the states of a teacher and n students is E (2 cosh)^n, with a factor 2 exp(-n eps/2)."""
    eps, eps_T = 0.7, 0.9
    total = 0.0
    for spins in itertools.product([-1, 1], repeat=n + 1):
        teacher, students = spins[0], np.array(spins[1:])
        pairs = (students.sum() ** 2 - n) / 2
        total += np.exp(eps * pairs + eps_T * teacher * students.sum())

    def moment(power):
        return quad(
            lambda z: norm.pdf(z) * (2 * np.cosh(np.sqrt(eps) * z + eps_T)) ** power * np.exp(-power * eps / 2),
            -14,
            14,
            epsabs=1e-13,
            epsrel=1e-13,
        )[0]

    assert 2 * moment(n) == pytest.approx(total, rel=1e-11)
    value, q, _, r, *_ = _core.planted_ising_moments([eps], [eps_T])[0]
    h = 1e-4
    slope = (np.log(moment(h)) - np.log(moment(-h))) / (2 * h)
    assert slope + eps * q / 2 - eps_T * r == pytest.approx(value, rel=1e-7)


def test_bonds_count_replicas():
    """ln det of the overlaps of a teacher and n students, and its slope at n = 0."""
    Q, R = 0.6, 0.5

    def ln_det(n):
        matrix = np.full((n + 1, n + 1), Q)
        matrix[0], matrix[:, 0] = R, R
        np.fill_diagonal(matrix, 1.0)
        return np.linalg.slogdet(matrix)[1]

    def analytic(n):
        return (n - 1) * np.log(1 - Q) + np.log(1 - Q + n * Q) + np.log1p(-n * R**2 / (1 - Q + n * Q))

    for n in (1, 2, 5):
        assert analytic(n) == pytest.approx(ln_det(n), rel=1e-13)
    h = 1e-5
    slope = (analytic(h) - analytic(-h)) / (2 * h)
    assert slope == pytest.approx(np.log(1 - Q) + (Q - R**2) / (1 - Q), rel=1e-8)


def test_solution_is_stationary():
    """All derivatives of the replica entropy vanish by differences, but the one of the imposed overlap: -field."""
    alpha, layer, depth = 30.0, 1, 4
    one = potential(network(alpha, depth), [0.5], layer).isel(overlap=0)
    q, Q, r, R = (one[name].values for name in OVERLAPS)
    g = np.array(
        [wall(q[b] * Q[b] * q[b + 1], r[b] * R[b] * r[b + 1])[0, 1:3] for b in range(depth)]
    )  # g_S, g_T of each bond
    eps, eps_T = np.zeros(depth + 1), np.zeros(depth + 1)
    for i in range(1, depth):
        eps[i] = q[i - 1] * Q[i - 1] * g[i - 1, 0] + Q[i] * q[i + 1] * g[i, 0]
        eps_T[i] = r[i - 1] * R[i - 1] * g[i - 1, 1] + R[i] * r[i + 1] * g[i, 1]
    eps_T[layer] += float(one.field)
    arrays = [q, Q, r, R, eps, eps_T]
    assert reference.entropy(*arrays, alpha) == pytest.approx(-float(one.potential), abs=1e-12)
    for which, array in enumerate(arrays):
        inner = range(array.size) if which in (1, 3) else range(1, depth)
        for i in inner:
            h = 1e-3 * (1 - array[i] if which < 4 else array[i])

            def moved(steps, which=which, i=i, h=h):
                changed = [a.copy() for a in arrays]
                changed[which][i] += steps * h
                return reference.entropy(*changed, alpha)

            slope = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * h)
            # r(layer) at fixed conjugate field
            expected = -float(one.field) if which == 2 and i == layer else 0.0
            assert slope == pytest.approx(expected, abs=1e-9), (which, i)  # rounding 1e-15/h


# ---- the Nishimori line


def test_fields_on_the_nishimori_line():
    v = np.array([0.0, 0.1, 0.5, 0.9, 0.999])
    value, slope, curvature, response = _core.wall_moments(v, 1 - v, 1).T
    W, g_S, g_T, K, by_S, cross, teacher = wall(v, v).T
    for ours, known in ((W, value), (g_S, slope), (g_T, slope), (K, curvature)):
        np.testing.assert_allclose(ours, known, rtol=1e-13)
    np.testing.assert_allclose(by_S + 2 * cross, response, rtol=1e-10)  # along lambda_S = lambda_T
    np.testing.assert_allclose(teacher - cross, response, rtol=1e-10)
    eps = np.array([0.0, 0.01, 1.0, 10.0, 300.0])
    value, q, one_minus_q, curvature, _ = _core.ising_moments(eps, 1).T
    planted = _core.planted_ising_moments(eps, eps).T
    known = (value, q, one_minus_q, q, one_minus_q, curvature)
    for ours, expected in zip(planted, known, strict=False):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("load", "branch"), [(25.0, "wetting"), (250.0, "wetting"), (625.0, "wetting"), (625.0, "thick")]
)
@pytest.mark.parametrize("layer", [2, 10])
def test_branches_are_stationary_points(load, branch, layer):
    model = network(load)
    solution = dg.parisi.solve(model, branch=branch)
    q, Q = solution.neuron_overlap.values[:, 0], solution.bond_overlap.values[:, 0]
    one = dg.parisi.franz_parisi(model, [q[layer]], layer, branch).isel(overlap=0)
    assert one.converged and one.stable and abs(one.field) < 1e-9
    for name, known in zip(OVERLAPS, (q, Q, q, Q), strict=True):
        np.testing.assert_allclose(one[name], known, rtol=0, atol=1e-9)
    assert float(one.potential) == pytest.approx(-float(solution.free_entropy), abs=1e-9)
    assert float(one.replicon) == pytest.approx(float(solution.replicon), abs=1e-9)


@pytest.mark.parametrize(("load", "centre"), [(544.744723, "thick"), (277.063748, "crystal")])
def test_minima_are_equal_where_branches_coexist(load, centre):
    model = network(load)
    other = dg.parisi.solve(model, branch=centre)
    q = min(float(other.neuron_overlap[10, 0]), 1 - 1e-12)
    curve = potential(model, [0.0, q / 2, q])
    # the load has nine digits, and the crystal's minimum lies 1e-12 short of 1, with a slope of 200 there
    assert curve.potential[0] == pytest.approx(float(curve.potential[2]), abs=1e-9)
    assert curve.potential[2] == pytest.approx(-float(other.free_entropy), abs=1e-9)
    assert curve.potential[1] > curve.potential[0] + 1e-3
    assert abs(curve.field[0]) < 1e-12


# ---- the slope


@pytest.mark.parametrize(
    ("load", "depth", "layer", "overlap"),
    [(30.0, 4, 1, 0.3), (30.0, 4, 2, 0.7), (544.7, 20, 10, 0.03), (544.7, 20, 10, 0.3), (250.0, 20, 3, 0.6)],
)
def test_field_is_the_slope(load, depth, layer, overlap):
    h = 1e-3
    V = potential(network(load, depth), overlap + h * np.array([-2, -1, 0, 1, 2]), layer)
    assert V.converged.all()
    slope = float(V.potential.values @ np.array([1, -8, 0, 8, -1])) / (12 * h)
    assert slope == pytest.approx(float(V.field[2]), abs=1e-8)  # fourth order: h^4 times a fifth derivative


def test_profiles_are_those_of_a_student():
    curve = potential(network(250.0), [0.0, 0.3, 0.9, 1 - 1e-9], 3)
    q, r = curve.neuron_overlap, curve.teacher_neuron_overlap
    Q, R = curve.bond_overlap, curve.teacher_bond_overlap
    assert (q >= r**2 - 1e-14).all() and (Q >= R**2 - 1e-14).all()  # the students' centre of mass
    np.testing.assert_array_equal(r.sel(layer=3), curve.overlap)
    for ends in (q, r):
        assert (ends.isel(layer=[0, -1]) == 1.0).all()
    for name in OVERLAPS:
        deficit = curve[name.replace("overlap", "deficit")]
        np.testing.assert_allclose(1 - curve[name].values, deficit, rtol=0, atol=1e-15)  # a few roundings


def test_central_layer_is_the_default_and_layers_mirror():
    model = network(100.0, 6)
    assert dg.parisi.franz_parisi(model, [0.6]).imposed_layer == 3
    left, right = (potential(model, [0.4], layer) for layer in (2, 4))
    assert float(left.potential[0]) == pytest.approx(float(right.potential[0]), abs=1e-12)
    np.testing.assert_allclose(left.neuron_overlap, right.neuron_overlap[:, ::-1], atol=1e-10)


def test_lowest_branch_is_chosen():
    model, x = network(544.744723), [0.05, 0.08]
    each = {name: potential(model, x, branch=name) for name in ("wetting", "thick", "crystal")}
    lowest = potential(model, x)
    least = np.min([one.potential for one in each.values()], axis=0)
    np.testing.assert_allclose(lowest.potential, least, rtol=0, atol=1e-12)  # equal solutions, from another start
    assert lowest.branch.values.tolist() == ["wetting", "thick"]


def test_result_does_not_depend_on_threads_nor_on_the_other_overlaps():
    model, x = network(60.0, 6), np.linspace(0.05, 0.95, 7)
    one, two = (potential(model, x, threads=threads) for threads in (1, 2))
    assert one.identical(two)
    alone = potential(model, x[3:4])
    assert float(alone.potential[0]) == float(one.potential[3])


def test_result_survives_a_file(tmp_path):
    curve = potential(network(30.0, 4), [0.2, 0.6])
    dg.io.save(curve, tmp_path / "curve.nc")
    assert dg.io.load(tmp_path / "curve.nc").potential.identical(curve.potential)


# ---- what does not converge, bad input, interrupt


def test_what_does_not_converge_is_said_once():
    with pytest.warns(ConvergenceWarning, match=r"not converged at 2 of 2 overlaps \(see residual\)") as caught:
        curve = dg.parisi.franz_parisi(network(60.0, 6), [0.5, 0.6], max_iter=3)
    assert len(caught) == 1 and not curve.converged.any() and (curve.residual > 1e-6).all()


def test_broken_replica_symmetry_is_said():
    with pytest.warns(ConvergenceWarning, match="students unstable against replica symmetry breaking at 1 of 1"):
        curve = dg.parisi.franz_parisi(network(30.0, 4), [0.3], 1)
    assert curve.converged.all() and not curve.stable.any()


def test_no_volume_is_left_beside_the_crystal():
    curve = potential(network(544.744723), [1 - 1e-4], branch="crystal")
    assert curve.branch.values.tolist() == ["jammed"] and not curve.converged.any() and np.isnan(curve.potential).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": 3}, "model must be a DeepPerceptron, got 3"),
        ({"model": dg.parisi.DeepPerceptron()}, "model must have scenario='teacher', got 'random'"),
        ({"overlaps": [0.5, 1.0]}, r"overlaps must lie in \[0, 1\), got 1.0"),
        ({"overlaps": [-0.1]}, r"overlaps must lie in \[0, 1\), got -0.1"),
        ({"overlaps": [np.nan]}, r"overlaps must lie in \[0, 1\), got nan"),
        ({"overlaps": []}, r"overlaps must have shape \(n_overlaps,\) with n_overlaps >= 1, got \(0,\)"),
        ({"overlaps": 0.5}, r"overlaps must have shape \(n_overlaps,\)"),
        ({"overlaps": ["a"]}, "overlaps must be real numbers"),
        ({"layer": 0}, "layer must be an integer from 1 to 3, got 0"),
        ({"layer": 4}, "layer must be an integer from 1 to 3, got 4"),
        ({"branch": "wet"}, "branch must be one of"),
        ({"atol": 0.0}, "atol must be a finite number > 0"),
        ({"max_iter": 0}, "max_iter must be an integer from 1"),
        ({"threads": -1}, "threads must be an integer from 0"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        dg.parisi.franz_parisi(**({"model": network(30.0, 4), "overlaps": [0.5]} | arguments))


@pytest.mark.no_sanitizer
def test_interrupts_are_answered(ctrl_c_latency):
    def solve():
        dg.parisi.franz_parisi(network(4e3, 200), [0.5], atol=1e-300, max_iter=10**9)

    assert ctrl_c_latency(solve, after=0.2) < 0.1


# ---- the picture


def test_plot_draws_each_load():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    curves = [potential(network(load, 4), np.linspace(0.0, 0.9, 10)) for load in (10.0, 30.0)]
    ax = dg.plot.franz_parisi(curves)
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == ["10", "30"]
    assert ax.get_xlabel() == "overlap with the teacher $r(2)$"
    y = lines[1].get_ydata()
    np.testing.assert_array_equal(y[np.isfinite(y)], curves[1].potential)
    pyplot.close("all")
