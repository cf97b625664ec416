"""One perceptron, replica symmetric: capacities, learning curves, gaps, against tables and Monte Carlo."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import deepglass as dg
from deepglass import ConvergenceWarning, NumericalError, UnphysicalWarning, _core
from deepglass.parisi import Perceptron
from deepglass.reference import perceptron as reference

Model = tuple[str, str, str, float, float]

# ---- kernel = twin ----


@st.composite
def models(draw: st.DrawFn) -> Model:
    bonds, scenario = draw(st.sampled_from(["spherical", "binary"])), draw(st.sampled_from(["random", "teacher"]))
    teacher = scenario == "teacher"
    potential = draw(st.sampled_from(["hard", "count"] if teacher else ["hard", "soft", "count"]))
    beta = 0.0 if potential == "hard" else draw(st.floats(0.1, 8.0))
    return bonds, scenario, potential, beta, 0.0 if teacher else draw(st.floats(-1.0, 1.0))


@given(models(), st.floats(math.log(0.01), math.log(20.0)))
@settings(max_examples=15, deadline=None)
def test_kernel_equals_the_twin(model, log_conjugate):
    e = math.exp(log_conjugate)
    assume(reference.bonds_of(e, *model[:2])[1] > 0.03)  # the twin's grids
    found, wanted = _core.perceptron_point([e], *model), reference.point(e, *model)
    for name, value in wanted.items():
        assert_allclose(found[name][0], value, rtol=1e-11, atol=1e-12, err_msg=name)


@given(models(), st.floats(0.05, 0.9), st.floats(-1.5, 3.0))
@settings(max_examples=15, deadline=None)
def test_gap_density_equals_the_twin(model, overlap, gap):
    found = _core.perceptron_gap_density([gap], overlap, 1.0 - overlap, *model)[0]
    wanted = reference.gap_density(gap, overlap, 1.0 - overlap, *model[1:])
    assert found == pytest.approx(wanted, rel=1e-10, abs=1e-13)


MODELS: list[Model] = [
    ("spherical", "random", "hard", 0.0, 0.0),
    ("spherical", "random", "hard", 0.0, -3.0),
    ("spherical", "random", "soft", 1e4, 0.5),
    ("spherical", "random", "count", 30.0, -0.5),
    ("binary", "random", "soft", 5.0, 2.0),
    ("binary", "random", "count", 3.0, -0.5),
    ("spherical", "teacher", "hard", 0.0, 0.0),
    ("binary", "teacher", "hard", 0.0, 0.0),
    ("binary", "teacher", "count", 3.0, 0.0),
]


@pytest.mark.parametrize("model", MODELS)
def test_nodes_are_dense_enough(model):
    # Halving their distance changes nothing but rounding, from small overlaps to 1 - q = 1e-4.
    e = np.logspace(-6, 8 if model[:2] == ("spherical", "random") else 2, 30)
    coarse, fine = (_core.perceptron_point(e, *model, resolution=r) for r in (1.0, 2.0))
    for name in ("load", "overlap", "deficit"):
        assert_allclose(coarse[name], fine[name], rtol=1e-12, err_msg=name)
    for name in ("free_entropy", "energy", "replicon"):
        assert_allclose(coarse[name], fine[name], rtol=1e-11, atol=1e-11, err_msg=name)
    gaps = np.r_[-np.logspace(0.3, -8, 30), 0.0, np.logspace(-8, 0.7, 30)]
    for q in (0.1, 0.9, 1 - 1e-4):
        densities = [_core.perceptron_gap_density(gaps, q, 1.0 - q, *model, resolution=r) for r in (1.0, 2.0)]
        assert_allclose(*densities, rtol=1e-11, atol=1e-300)


def test_energy_is_a_derivative():
    # d(free entropy)/d(beta) = -load energy: at a stationary overlap only what is explicit counts.
    for model in (
        Perceptron(1.5, 0.3, potential="soft", beta=4.0),
        Perceptron(0.7, -0.2, "binary", potential="count", beta=2.0),
        Perceptron(0.9, 0.1, "binary", potential="soft", beta=3.0),
    ):
        energy, beta, step = float(dg.parisi.solve(model).energy), model.beta or 0.0, 1e-3
        values = [float(dg.parisi.solve(_changed(model, beta=beta + k * step)).free_entropy) for k in (-2, -1, 1, 2)]
        slope = np.array([1, -8, 8, -1]) @ values / (12 * step)  # of fourth order
        assert slope == pytest.approx(-model.load * energy, abs=1e-10)


def _changed(model: Perceptron, **changes: float) -> Perceptron:
    values = {name: getattr(model, name) for name in ("load", "margin", "bonds", "scenario", "potential", "beta")}
    return Perceptron(**(values | changes))


# ---- tables ----


def test_capacities():
    # Spherical: closed form; binary: Krauth and Mezard's 0.83, ten digits from an independent program.
    for margin, wanted in ((0.0, 2.0), (0.5, 0.961205052802), (1.0, 0.519572229605)):
        found = dg.parisi.capacity(margin)
        assert found.value == pytest.approx(wanted, rel=1e-12)
        assert 0.0 < found.error < 1e-14
    for margin, wanted in ((-0.5, 4.770098882619), (-1.0, 13.273199837025)):
        assert dg.parisi.capacity(margin, rs=True).value == pytest.approx(wanted, rel=1e-12)
        jammed = dg.parisi.capacity(margin)  # full breaking
        assert jammed.value == float(dg.parisi.jamming_load(margin).jamming_load) < wanted
        assert 0.0 < jammed.error < 2e-9 * jammed.value
    assert dg.parisi.capacity(-0.5).value == pytest.approx(4.6965972386, abs=1e-8)
    assert dg.parisi.capacity(bonds="binary").value == pytest.approx(0.8330785997, abs=1e-10)
    assert dg.parisi.capacity(0.5, "binary").value == pytest.approx(0.455664564542, abs=1e-12)


def test_capacity_is_where_the_overlap_reaches_one():
    for margin in (-5.0, -0.5, 0.0, 0.7, 3.0):
        limit = dg.parisi.capacity(margin, rs=True).value
        load = _core.perceptron_point([1e16], "spherical", "random", "hard", 0.0, margin)["load"][0]
        assert load == pytest.approx(limit, rel=1e-5)  # 1 - q = 1e-8
        assert load < limit


# load, q, entropy, replicon
SPHERICAL = [
    (0.5, 0.307393175380, -0.377669575132, 0.800642354),
    (1.0, 0.585311851791, -0.855820596715, 0.602458677),
    (1.5, 0.821721186839, -1.589208239695, 0.388637902),
]


@pytest.mark.parametrize("load, overlap, entropy, replicon", SPHERICAL)
def test_gardner_volume(load, overlap, entropy, replicon):
    found = dg.parisi.solve(Perceptron(load))
    assert float(found.overlap) == pytest.approx(overlap, abs=1e-12)
    assert float(found.entropy) == pytest.approx(entropy, abs=4e-12)
    assert float(found.free_entropy) == float(found.entropy)
    assert float(found.replicon) == pytest.approx(replicon, abs=6e-10)
    assert bool(found.converged)


@pytest.mark.parametrize(
    "load, overlap, conjugate, entropy",
    [(0.4, 0.255842938240, 0.447194218883, 0.396455051105), (0.5, 0.322385363224, None, 0.314390066856)],
)
def test_binary_perceptron(load, overlap, conjugate, entropy):
    found = dg.parisi.solve(Perceptron(load, bonds="binary"))
    assert float(found.overlap) == pytest.approx(overlap, abs=1e-12)
    assert float(found.entropy) == pytest.approx(entropy, abs=1e-12)
    if conjugate is not None:
        assert float(found.conjugate_field) == pytest.approx(conjugate, abs=1e-12)


def test_binary_perceptron_at_its_capacity():
    found = dg.parisi.solve(Perceptron(dg.parisi.capacity(bonds="binary").value, bonds="binary"))
    assert float(found.entropy) == pytest.approx(0.0, abs=1e-12)
    assert float(found.overlap) == pytest.approx(0.563949080, abs=1e-9)
    assert float(found.conjugate_field) == pytest.approx(2.576351, abs=1e-6)


def test_binary_teacher():
    curve = dg.parisi.learning_curve([1.0, 1.4, 1.6], "binary")
    assert float(curve.transition) == pytest.approx(1.244683989851, abs=1e-12)
    assert float(curve.spinodal) == pytest.approx(1.492631818230, abs=1e-12)
    uninformed = curve.sel(branch="uninformed")
    assert_allclose(uninformed.overlap[:2], [0.560714737095, 0.789699039502], atol=1e-12)
    assert_allclose(uninformed.free_entropy[:2], [0.106108267775, -0.056426630914], atol=1e-12)
    assert np.isnan(curve.sel(branch=["uninformed", "unstable"]).overlap[2]).all()
    informed = curve.sel(branch="informed")
    assert (informed.overlap == 1.0).all() and (informed.bayes_error == 0.0).all()
    assert curve.equilibrium.values.tolist() == ["uninformed", "informed", "informed"]
    unstable = curve.sel(branch="unstable").overlap[:2]
    assert (unstable > uninformed.overlap[:2]).all() and (unstable < 1.0).all()


def test_branches_meet_at_the_spinodal():
    spinodal = float(dg.parisi.learning_curve([1.0], "binary").spinodal)
    for distance in (1e-6, 1e-10):
        curve = dg.parisi.learning_curve([spinodal - distance, spinodal + distance], "binary").overlap
        low, high = curve.values[0, :2]
        # q_high - q_low ~ 2 sqrt(distance / |alpha''/2|)
        assert 0.0 < high - low < 3.0 * math.sqrt(distance)
        assert np.isnan(curve.values[1, :2]).all()


def test_free_entropy_of_the_teacher_is_continuous_at_the_transition():
    for beta in (None, 3.0):
        model = Perceptron(1.0, bonds="binary", scenario="teacher", potential="count" if beta else "hard", beta=beta)
        loads = np.linspace(1.0, 2.1, 12)
        branches = [str(dg.parisi.solve(_changed(model, load=load)).branch.values) for load in loads]
        change = branches.index("informed")
        assert branches == ["uninformed"] * change + ["informed"] * (12 - change)
        assert (beta is None) == (loads[change] < 1.3 + 1e-9)


def test_spherical_teacher():
    curve = dg.parisi.learning_curve([1.0, 3.0])
    table = {
        "overlap": [0.486263637016, 0.842605876458],
        "gibbs_error": [0.338359468422, 0.181020414076],
        "bayes_error": [0.254372970339, 0.129854826136],
    }
    for name, wanted in table.items():
        assert_allclose(curve[name].sel(branch="uninformed"), wanted, atol=1e-12, err_msg=name)
    assert curve.branch.values.tolist() == ["uninformed"]
    assert np.isnan(curve.transition) and np.isnan(curve.spinodal)


def test_learning_curve_at_large_loads():
    loads = np.array([516.0, 1e5, 1e6])
    curve = dg.parisi.learning_curve(loads).sel(branch="uninformed")
    # 1/load: 0.6246577 and 0.4416997 at 1 - q = 1e-6; Opper and Haussler's 0.62 and 0.44
    assert_allclose((loads * curve.gibbs_error)[1:], 0.624658, atol=5e-7)
    assert_allclose((loads * curve.bayes_error)[1:], 0.441700, atol=5e-7)
    assert float((curve.gibbs_error / curve.bayes_error)[-1]) == pytest.approx(math.sqrt(2.0), rel=1e-9)


def test_small_loads():
    # e = load 4 phi(0)^2, to first order; both priors
    for bonds in ("spherical", "binary"):
        curve = dg.parisi.learning_curve([1e-9], bonds)
        assert float(curve.overlap[0, 0]) == pytest.approx(2e-9 / math.pi, rel=1e-8)


def test_noise_of_the_teacher():
    # Bayes-optimal students disagree with the labels as often as the teacher does.
    for bonds in ("spherical", "binary"):
        for beta in (0.5, 3.0, 30.0):
            found = dg.parisi.solve(
                Perceptron(1.3, bonds=bonds, scenario="teacher", potential="count", beta=beta), branch="uninformed"
            )
            assert float(found.energy) == pytest.approx(1 / (1 + math.exp(beta)), rel=1e-12)
    hard = dg.parisi.solve(Perceptron(1.3, scenario="teacher"))
    for beta, close in ((10.0, 1e-3), (40.0, 1e-12)):
        noisy = dg.parisi.solve(Perceptron(1.3, scenario="teacher", potential="count", beta=beta))
        assert 0.0 < float(hard.overlap - noisy.overlap) + 1e-14 < close


def test_almeida_thouless_load():
    assert dg.parisi.almeida_thouless_load(-0.5) == pytest.approx(3.95070131, abs=1e-8)
    loads = [dg.parisi.almeida_thouless_load(margin) for margin in (-3.0, -2.0, -1.0, -0.1, -0.01)]
    assert (np.diff(loads) < 0.0).all()
    for margin, load in zip((-3.0, -2.0, -1.0, -0.1, -0.01), loads, strict=True):
        assert load < dg.parisi.capacity(margin, rs=True).value
    with pytest.warns(ConvergenceWarning, match=r"replica symmetry breaking"):
        beyond = dg.parisi.solve(Perceptron(4.0, -0.5))
    assert float(beyond.replicon) < 0.0 and bool(beyond.converged)
    assert float(dg.parisi.solve(Perceptron(3.95, -0.5)).replicon) > 0.0


@pytest.mark.parametrize(
    "load, beta, potential, overlap, energy",
    [
        (1.0, 5.0, "soft", 0.296439038191, 0.026185392062),
        (2.0, 5.0, "soft", 0.538790428122, 0.035409440481),
        (4.0, 5.0, "soft", 0.789327891405, 0.069174043073),
        (1.0, 3.0, "count", 0.370177355797, 0.085318350893),
    ],
)
@pytest.mark.filterwarnings("ignore:replica-symmetric solution unstable")
def test_temperature(load, beta, potential, overlap, energy):
    found = dg.parisi.solve(Perceptron(load, potential=potential, beta=beta))
    assert float(found.overlap) == pytest.approx(overlap, abs=1e-12)
    assert float(found.energy) == pytest.approx(energy, abs=1e-11)


def test_cold_soft_and_count_potentials_are_hard():
    hard = dg.parisi.solve(Perceptron(1.0))
    soft = dg.parisi.solve(Perceptron(1.0, potential="soft", beta=1e6))
    count = dg.parisi.solve(Perceptron(1.0, potential="count", beta=60.0))
    assert float(soft.overlap) == pytest.approx(float(hard.overlap), abs=1e-3)
    assert float(count.overlap) == pytest.approx(float(hard.overlap), abs=1e-12)
    assert float(count.entropy) == pytest.approx(float(hard.entropy), abs=1e-12)


# ---- gaps ----


def _integral_nodes(smallest: float) -> tuple[np.ndarray, np.ndarray]:
    """Panels that grow from the smallest scale at r = 0."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    edges = smallest * 2.0 ** np.arange(60.0)
    edges = np.r_[-edges[edges < 12][::-1], 0.0, edges[edges < 12]]
    edges = np.r_[-12.0, edges, 12.0]
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


@pytest.mark.parametrize(
    "model",
    [
        Perceptron(1.0),
        Perceptron(1.99),
        Perceptron(3.5, -0.5),
        Perceptron(0.6, bonds="binary"),
        Perceptron(1.0, 0.5, potential="soft", beta=5.0),
        Perceptron(0.5, 0.5, potential="soft", beta=1e5),
        Perceptron(1.0, -0.5, potential="count", beta=30.0),
        Perceptron(2.0, scenario="teacher"),
        Perceptron(2.0, scenario="teacher", potential="count", beta=1.0),
    ],
)
def test_gap_distribution(model):
    solution = dg.parisi.solve(model)
    gaps, weights = _integral_nodes(min(float(solution.deficit) ** 1.5, (model.beta or 1.0) ** -0.5))
    density = dg.parisi.gap_distribution(solution, gaps).density.values
    assert density.min() >= 0.0
    assert weights @ density == pytest.approx(1.0, abs=1e-10)
    if model.potential == "hard":
        assert (density[gaps < 0] == 0.0).all()
    else:
        cost = np.where(gaps < 0, gaps**2 if model.potential == "soft" else 1.0, 0.0)
        assert weights @ (density * cost) == pytest.approx(float(solution.energy), abs=1e-10)


def test_gaps_at_the_capacity():
    # Gardner: delta at the wall, and the Gaussian of the patterns that need not be learnt.
    gaps = np.array([0.5, 1.0, 2.0])
    found = dg.parisi.gap_distribution(Perceptron(0.961205052802 * (1 - 1e-7), 0.5), gaps).density
    assert_allclose(found, np.exp(-((gaps + 0.5) ** 2) / 2) / math.sqrt(2 * math.pi), rtol=1e-6)


def test_gap_distribution_takes_models_and_solutions():
    model, gaps = Perceptron(1.3, bonds="binary", scenario="teacher"), [0.5]
    assert float(dg.parisi.gap_distribution(model, gaps).density[0]) == pytest.approx(0.7041306535285988, rel=1e-13)
    for solution in (dg.parisi.learning_curve([1.0]), 1.0):
        with pytest.raises(ValueError, match="solution must be"):
            dg.parisi.gap_distribution(solution, gaps)
    with pytest.raises(ValueError, match="gaps must"):
        dg.parisi.gap_distribution(model, [[0.5]])


# ---- Monte Carlo ----


@pytest.mark.slow
@pytest.mark.parametrize("load", [1, 2, 4])
@pytest.mark.filterwarnings("ignore:replica-symmetric solution unstable")
def test_soft_potential_against_monte_carlo(load):
    """N = 128: energy and overlap of two machines, mean over instances within four standard errors."""
    width, outputs, n_instances, beta = 128, 16, 12, 5.0
    network = dg.mc.PerceptronNetwork(width=(width, outputs), depth=1, potential="soft")
    energies, overlaps = [], []
    for instance in range(n_instances):
        data = dg.mc.random_data(network, load * width, seed=instance)
        moves = {"trajectory_steps": 10, "trajectory_step": 0.1}
        chains = dg.mc.Simulation(network, data, beta=beta, n_chains=2, seed=100 + instance, **moves)
        chains.run(50, every=50)
        energy, overlap = [], []
        for _ in range(20):
            energy.append(float(chains.run(8, every=4).energy.mean()) / (outputs * load * width))
            overlap.append(float(np.mean(chains.bonds(0)[0] * chains.bonds(1)[0])))
        energies.append(np.mean(energy))
        overlaps.append(np.mean(overlap))
    solution = dg.parisi.solve(Perceptron(load, potential="soft", beta=beta))
    for found, wanted in ((energies, float(solution.energy)), (overlaps, float(solution.overlap))):
        error = np.std(found, ddof=1) / math.sqrt(n_instances)
        assert error < 0.02 * wanted
        assert abs(np.mean(found) - wanted) < 4.0 * error


# ---- branches, threads, errors ----


def test_threads_do_not_matter():
    loads = np.linspace(0.1, 1.6, 64)
    one, two = (dg.parisi.learning_curve(loads, "binary", threads=n) for n in (1, 2))
    assert one.drop_attrs().identical(two.drop_attrs())
    gaps = np.linspace(0.0, 3.0, 64)
    model = ("spherical", "random", "hard", 0.0, 0.0)
    densities = [_core.perceptron_gap_density(gaps, 0.5, 0.5, *model, threads=n) for n in (1, 2)]
    assert (densities[0] == densities[1]).all()


def test_curves_may_be_empty():
    for bonds in ("spherical", "binary"):
        assert dg.parisi.learning_curve([], bonds).sizes["load"] == 0


def test_residuals():
    curve = dg.parisi.learning_curve(np.r_[np.logspace(-6, 4, 50), 1.2446, 1.4926], "binary")
    assert curve.residual.max() < 1e-13
    spherical = dg.parisi.learning_curve(np.logspace(-6, 8, 50))
    assert spherical.residual.max() < 1e-13 and bool(spherical.converged.all())


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"load": 2.1}, r"unsatisfiable: load 2.1 is not below the capacity 2 of spherical"),
        ({"load": 2.0}, "unsatisfiable"),
        ({"load": 0.834, "bonds": "binary"}, r"unsatisfiable: .* capacity 0.8330785997\d* of binary"),
        ({"load": 4.8, "margin": -0.5}, r"unsatisfiable: .* 4.77009888262 .*upper bound: the jamming load is below"),
    ],
)
def test_unsatisfiable(arguments, message):
    with pytest.raises(NumericalError, match=message):
        dg.parisi.solve(Perceptron(**arguments))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"load": 0.0}, "load must be"),
        ({"load": math.inf}, "load must be"),
        ({"load": 1.0, "margin": 5.1}, "margin must be a number from -5 to 5"),
        ({"load": 1.0, "bonds": "ising"}, "bonds must be one of"),
        ({"load": 1.0, "scenario": "planted"}, "scenario must be one of"),
        ({"load": 1.0, "potential": "log"}, "potential must be one of"),
        ({"load": 1.0, "potential": "soft"}, r"beta must be > 0 and at most 1e\+06 with potential='soft', got None"),
        ({"load": 1.0, "potential": "count"}, "beta must be > 0 .* got None"),
        ({"load": 1.0, "potential": "count", "beta": 200.0}, "beta must be > 0 and at most 100"),
        ({"load": 1.0, "beta": 1.0}, "beta must be None with potential='hard'"),
        ({"load": 1.0, "scenario": "teacher", "margin": 0.5}, "margin must be 0 with scenario='teacher'"),
        ({"load": 1.0, "scenario": "teacher", "potential": "soft", "beta": 1.0}, "potential must be 'hard' or 'count'"),
    ],
)
def test_bad_models(arguments, message):
    with pytest.raises(ValueError, match=message):
        Perceptron(**arguments)


def test_bad_arguments():
    for breaking in (lambda model: dg.parisi.solve(model, steps=1), dg.parisi.full_rsb):
        with pytest.raises(ValueError, match="model must have spherical bonds and random labels"):
            breaking(Perceptron(1.0, bonds="binary"))
    with pytest.raises(ValueError, match="branch must be one of"):
        dg.parisi.solve(Perceptron(1.0), branch="wetting")
    with pytest.raises(NumericalError, match="no branch 'unstable' at load 1"):
        dg.parisi.solve(Perceptron(1.0), branch="unstable")
    with pytest.raises(NumericalError, match=r"no solution at load 1e\+30"):
        dg.parisi.solve(Perceptron(1e30, scenario="teacher"))
    with pytest.raises(ValueError, match="margin must be a number from -3 to 8"):
        dg.parisi.capacity(-4.0)
    with pytest.raises(ValueError, match="margin must be a number from -5 to 5"):
        dg.parisi.capacity(6.0)
    with pytest.raises(ValueError, match=r"margin must be from -3 to -0.01"):
        dg.parisi.almeida_thouless_load(0.0)
    with pytest.raises(ValueError, match="loads must have shape"):
        dg.parisi.learning_curve([1.0, -1.0])
    with pytest.raises(ValueError, match="bonds must be one of"):
        dg.parisi.learning_curve([1.0], "ising")


@pytest.mark.filterwarnings("ignore:replica-symmetric solution unstable")
def test_negative_entropy_is_said():
    with pytest.warns(UnphysicalWarning, match="entropy of binary bonds is negative"):
        dg.parisi.solve(Perceptron(1.2, bonds="binary", potential="count", beta=20.0))


def test_kernel_refuses():
    with pytest.raises(ValueError, match="conjugate must be > 0"):
        _core.perceptron_point([0.0], "spherical", "random", "hard", 0.0, 0.0)
    with pytest.raises(ValueError, match="loads must be finite and > 0"):
        _core.perceptron_roots([math.nan], "spherical", "random", "hard", 0.0, 0.0)
    with pytest.raises(ValueError, match="overlap and deficit must be"):
        _core.perceptron_gap_density([0.0], 1.0, 0.0, "spherical", "random", "hard", 0.0, 0.0)


def test_steps_of_the_spherical_perceptron_go_on_from_replica_symmetry():
    # Two kernels and two parametrisations; steps in the unstable phase lower the entropy.
    for load, margin in ((1.0, 0.3), (4.2, -0.5)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.ConvergenceWarning)  # unstable at 4.2
            symmetric = dg.parisi.solve(Perceptron(load, margin))
        other = dg.parisi.satisfiable_perceptron(load, margin, steps=0)
        assert symmetric.entropy == pytest.approx(float(other.free_entropy), abs=1e-12)
        assert symmetric.overlap == pytest.approx(float(other.overlap_ea), abs=1e-10)
    one, full = dg.parisi.solve(Perceptron(4.2, -0.5), steps=1), dg.parisi.full_rsb(Perceptron(4.2, -0.5))
    assert full.free_entropy < one.free_entropy < symmetric.entropy
