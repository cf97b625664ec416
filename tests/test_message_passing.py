"""Message passing for one perceptron: against its twin, exact means, state evolution and the replica fixed points."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import deepglass as dg
from deepglass import ConvergenceWarning, _core
from deepglass.parisi import Perceptron, message_passing, perceptron_data, state_evolution
from deepglass.reference import perceptron as reference

# ---- kernel = twin ----


@pytest.mark.parametrize("bonds", ["spherical", "binary"])
@pytest.mark.parametrize("potential, beta, margin", [("hard", 0.0, -0.3), ("soft", 3.0, 0.2), ("count", 2.0, 0.0)])
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_kernel_equals_the_twin(bonds, potential, beta, margin, damping):
    data = perceptron_data(Perceptron(0.65), 61, seed=3)  # rows that do not fill the last block
    start = np.linspace(-0.3, 0.4, 61)
    arguments = (data.labels.values, start, bonds, potential, beta, margin)
    found = _core.perceptron_messages(data.inputs.values, *arguments, damping=damping, atol=0.0, max_iter=6)
    wanted, free_entropy = reference.messages(data.inputs.values, *arguments, damping, 6)
    assert_allclose(found["mean"], wanted, atol=1e-12)
    assert found["free_entropy"] == pytest.approx(free_entropy, abs=1e-12)


def test_types_of_inputs_give_the_same():
    model = Perceptron(0.5, bonds="binary")
    data = perceptron_data(model, 200, seed=4)
    found = [
        message_passing(model, data.inputs.astype(kind), data.labels, max_iter=20, atol=1e-4).mean("iteration")
        for kind in (np.int8, np.float32, np.float64, np.int64)
    ]
    for other in found[1:]:
        assert_allclose(other["mean"], found[0]["mean"], atol=1e-12)


@pytest.mark.parametrize("bonds", ["spherical", "binary"])
def test_threads_do_not_matter(bonds):
    model = Perceptron(0.9, bonds=bonds, scenario="teacher")
    data = perceptron_data(model, 700, seed=5)
    one, two = (message_passing(model, data.inputs, data.labels, threads=n) for n in (1, 2))
    assert one.drop_attrs().identical(two.drop_attrs())


# ---- what it is about ----


@pytest.mark.parametrize("scenario", ["random", "teacher"])
def test_against_all_machines(scenario):
    """Exact means by enumeration of 2^17 binary machines; message passing errs by 1/sqrt(N)."""
    n = 17
    model = Perceptron(0.5, bonds="binary", scenario=scenario, potential="count", beta=1.5)
    machines = np.array(list(itertools.product((-1, 1), repeat=n)), np.int8)
    errors, spread, entropies = [], [], []
    for seed in range(20):
        data = perceptron_data(model, n, seed=seed)
        wrong = ((machines @ data.inputs.values.T.astype(np.float32)) * data.labels.values < 0).sum(axis=1)
        weight = np.exp(-1.5 * wrong)
        exact = weight @ machines / weight.sum()
        found = message_passing(model, data.inputs, data.labels, damping=0.2)
        errors.append(np.mean((found["mean"].values - exact) ** 2))
        spread.append(np.mean(exact**2))
        entropies.append([math.log(weight.sum()) / n, float(found.free_entropy)])
    assert np.mean(errors) < 0.02 * np.mean(spread)
    # Free entropies of the data sets follow each other: what is left is a quarter of their spread.
    exact, bethe = np.transpose(entropies)
    assert np.std(bethe - exact) < 0.4 * np.std(exact)
    assert abs(np.mean(bethe - exact)) < 0.005


@pytest.mark.parametrize("bonds", ["spherical", "binary"])
def test_bethe_free_entropy_is_stationary(bonds):
    model = Perceptron(0.8, 0.1, bonds, potential="count", beta=1.5)
    data = perceptron_data(model, 300, seed=8)
    found = message_passing(model, data.inputs, data.labels, atol=1e-12)
    x, y = data.inputs.values.astype(float) / math.sqrt(300), data.labels.values
    a, V, g = found["mean"].values, float(found.variance), found.response.values

    def bethe(a, V, omega, B):
        """Of all its variables; A multiplies what ties V to the means."""
        log_g, _, curvature, _ = reference.response((y * omega - 0.1) / math.sqrt(V), "count", 1.5, V)
        A = -curvature.sum() / V / 300
        alone = np.logaddexp(B, -B).mean() if bonds == "binary" else spherical(np.mean(B**2))
        tie = A / 2 * (np.mean(a**2) + V - 1)
        return (log_g.sum() + np.sum((x @ a - omega) ** 2) / (2 * V)) / 300 + alone - np.mean(a * B) + tie

    def spherical(squares):
        u = (1 + math.sqrt(1 + 4 * squares)) / 2
        return (u - math.log(u) + squares / u - 1) / 2

    here = [a, V, x @ a - V * g, found.field.values]
    assert bethe(*here) == pytest.approx(float(found.free_entropy), abs=1e-12)
    rng = np.random.default_rng(1)
    for i, value in enumerate(here):
        step = 1e-3 * rng.normal(size=np.shape(value))
        moved = [bethe(*(v + sign * step if j == i else v for j, v in enumerate(here))) for sign in (-1, 1)]
        assert abs(moved[1] - moved[0]) < 1e-9
        assert abs(moved[1] + moved[0] - 2 * bethe(*here)) > 1e-9  # and not constant


@pytest.mark.parametrize("scenario", ["random", "teacher"])
@pytest.mark.parametrize("bonds", ["spherical", "binary"])
def test_bethe_free_entropy_of_state_evolution(bonds, scenario):
    # What the instances' expression becomes for N -> infinity, at the overlap where state evolution ends.
    model = Perceptron(0.8, 0.0, bonds, scenario, "count", 1.5)
    evolution = state_evolution(model)
    q, V = float(evolution.overlap[-1]), float(evolution.deficit[-1])
    f, slope_square, _, _ = reference.gaps(q, V, scenario, "count", 1.5, 0.0)
    e = 0.8 * slope_square / V
    if bonds == "spherical":
        alone = math.log(V) / 2
    else:
        z = np.arange(-12.0, 12.0, 0.02)
        B = math.sqrt(e) * z + (e if scenario == "teacher" else 0.0)
        p = 0.02 * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        alone = p @ (np.logaddexp(B, -B) - B * np.tanh(B))
    wanted = dg.parisi.solve(model, branch="uninformed").free_entropy
    assert alone + 0.8 * (f + slope_square / 2) == pytest.approx(float(wanted), abs=1e-10)


MODELS = [
    Perceptron(0.6, bonds="binary"),
    Perceptron(1.2),
    Perceptron(0.3, 0.5, "binary"),
    Perceptron(1.5, 0.2, potential="soft", beta=3.0),
    Perceptron(1.0, bonds="binary", potential="count", beta=2.0),
    Perceptron(2.0, scenario="teacher"),
    Perceptron(1.0, bonds="binary", scenario="teacher"),
    Perceptron(3.0, scenario="teacher", potential="count", beta=2.0),
]


@pytest.mark.parametrize("model", MODELS)
def test_state_evolution_ends_in_the_replica_fixed_point(model):
    found, solution = state_evolution(model), dg.parisi.solve(model, branch="uninformed")
    assert bool(found.converged)
    assert float(found.overlap[-1]) == pytest.approx(float(solution.overlap), abs=1e-10)
    assert (np.diff(found.overlap.values[:-1]) > -1e-14).all()


def test_state_evolution_of_the_teacher():
    # Beyond the spinodal it finds the teacher; between transition and spinodal only with help.
    found = state_evolution(Perceptron(1.6, bonds="binary", scenario="teacher"))
    assert float(found.deficit[-1]) < 1e-15
    between = Perceptron(1.4, bonds="binary", scenario="teacher")
    unstable = float(dg.parisi.solve(between, branch="unstable").overlap)
    assert float(state_evolution(between, start=unstable - 1e-3).overlap[-1]) == pytest.approx(0.789699039502)
    assert float(state_evolution(between, start=unstable + 1e-3).deficit[-1]) < 1e-15


@pytest.mark.parametrize(
    "model",
    [model if i in (0, 3, 6) else pytest.param(model, marks=pytest.mark.slow) for i, model in enumerate(MODELS)],
)
def test_instances_follow_state_evolution(model):
    """Overlap after 3 iterations and at the end, and free entropy: means over instances within four standard errors.

    Corrections of order 1/N are a tenth of these errors.
    """
    n, n_instances, theory = 1000, 8, state_evolution(model).overlap.values
    early, late, teacher, entropy = [], [], [], []
    for seed in range(n_instances):
        data = perceptron_data(model, n, seed=seed)
        found = message_passing(model, data.inputs, data.labels, teacher=data.get("teacher"), atol=1e-7)
        assert bool(found.converged)
        early.append(float(found.overlap_history[2]))
        late.append(float(found.overlap))
        entropy.append(float(found.free_entropy))
        if "teacher" in data:
            teacher.append(float(found.teacher_overlap))
    replicas = float(dg.parisi.solve(model, branch="uninformed").free_entropy)
    for values, wanted in ((early, theory[3]), (late, theory[-1]), (teacher, theory[-1]), (entropy, replicas)):
        if values:
            error = np.std(values, ddof=1) / math.sqrt(n_instances)
            assert abs(np.mean(values) - wanted) < 4.0 * error
            assert error < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("load, perfect", [(1.3, False), (1.6, True)])
def test_large_instance_on_both_sides_of_the_spinodal(load, perfect):
    model = Perceptron(load, bonds="binary", scenario="teacher")
    data = perceptron_data(model, 10_000, seed=1)
    found = message_passing(model, data.inputs, data.labels, teacher=data.teacher)
    if perfect:
        assert (np.sign(found["mean"].values) == data.teacher.values).all()
    else:
        wanted = dg.parisi.solve(model, branch="uninformed")
        # Fluctuations of the overlap are some 1/sqrt(N) times a few.
        assert float(found.teacher_overlap) == pytest.approx(float(wanted.overlap), abs=0.05)
        assert float(found.bayes_error) == pytest.approx(float(wanted.bayes_error), abs=0.02)


def test_fixed_point_is_a_fixed_point():
    model = Perceptron(0.7, bonds="binary")
    data = perceptron_data(model, 500, seed=2)
    found = message_passing(model, data.inputs, data.labels, atol=1e-12)
    damped = message_passing(model, data.inputs, data.labels, atol=1e-12, damping=0.4)
    assert_allclose(damped["mean"], found["mean"], atol=1e-10)
    assert_allclose(np.tanh(found.field), found["mean"], atol=1e-10)
    assert float(found.variance) == pytest.approx(1.0 - float(found.overlap), abs=1e-12)


# ---- data ----


def test_data():
    model = Perceptron(2.0, scenario="teacher", potential="count", beta=1.0)
    data = perceptron_data(model, 400, seed=9)
    fields = data.inputs.values.astype(float) @ data.teacher.values
    assert data.inputs.dtype == data.labels.dtype == np.int8
    assert float((data.teacher**2).sum()) == pytest.approx(400.0)
    wrong, p = np.mean(np.sign(fields) != data.labels.values), 1 / (1 + math.e)
    assert abs(wrong - p) < 4.0 * math.sqrt(p * (1 - p) / 800)
    assert data.identical(perceptron_data(model, 400, seed=9))
    assert not np.array_equal(data.inputs, perceptron_data(model, 400, seed=10).inputs)
    assert abs(float(data.inputs.mean())) < 4.0 / math.sqrt(400 * 800)
    assert set(np.unique(perceptron_data(Perceptron(1.0, bonds="binary", scenario="teacher"), 50, seed=1).teacher)) == {
        -1.0,
        1.0,
    }


# ---- what goes wrong ----


def test_beyond_the_capacity_it_does_not_come_to_rest():
    model = Perceptron(2.5, bonds="binary")
    data = perceptron_data(model, 300, seed=1)
    with pytest.warns(ConvergenceWarning, match="message_passing: residual"):
        found = message_passing(model, data.inputs, data.labels, max_iter=60)
    assert not bool(found.converged) and found.sizes["iteration"] == 60
    with pytest.warns(ConvergenceWarning, match="state_evolution: overlap"):
        state_evolution(Perceptron(1.0), max_iter=3)


def test_bad_arguments():
    model = Perceptron(0.5)
    x, y = np.ones((5, 10)), np.ones(5)
    for arguments, message in (
        ((x[0], y), r"inputs must have shape"),
        ((2 * x, y), r"inputs must have mean 0 and variance 1, got a mean square of 4"),
        ((math.nan * x, y), "mean square of nan"),
        ((x, y[1:]), r"labels must have shape \(5,\)"),
        ((x, 0 * y), "labels must"),
    ):
        with pytest.raises(ValueError, match=message):
            message_passing(model, *arguments)
    for keyword, value, message in (
        ("start", np.ones(10), "sum of squares < 10"),
        ("start", np.zeros(9), r"start must have shape \(10,\)"),
        ("teacher", np.ones(9), r"teacher must have shape \(10,\)"),
        ("damping", 1.0, r"damping must be in \[0, 1\)"),
        ("atol", 0.0, "atol must be > 0"),
        ("max_iter", 0, "max_iter must be"),
    ):
        with pytest.raises(ValueError, match=message):
            message_passing(model, x, y, **{keyword: value})
    with pytest.raises(ValueError, match=r"load \* n_inputs must be"):
        perceptron_data(Perceptron(0.01), 10)
    with pytest.raises(ValueError, match=r"start must be in \[0, 1\)"):
        state_evolution(model, start=1.0)
    with pytest.raises(TypeError):
        _core.perceptron_messages(x.astype(np.int32), y, x[0], "binary", "hard", 0.0, 0.0, 0.0, 1e-8, 10)


def test_ctrl_c(ctrl_c_latency):
    model = Perceptron(2.5, bonds="binary")
    data = perceptron_data(model, 2000, seed=1)
    assert ctrl_c_latency(lambda: message_passing(model, data.inputs, data.labels, max_iter=10**6)) < 0.1
