"""Spectra of networks: twins, exact values, invariants, two routes, simulated matrices, bad input."""

import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deepglass as dg
from deepglass import _core
from deepglass.reference import network_spectra as reference

sp = dg.spectra
TANH = dg.meanfield.activation("tanh").normalised()
INPUT = sp.MarchenkoPastur(0.5)
DERIVATIVES = {
    "tanh": lambda u: 1 / np.cosh(u) ** 2,
    "erf": lambda u: 2 / math.sqrt(math.pi) * np.exp(-(u**2)),
    "sin": np.cos,
    "sigmoid": lambda u: 0.25 / np.cosh(u / 2) ** 2,
    "elu": lambda u: np.where(u > 0, 1.0, np.exp(np.minimum(u, 0.0))),
    "hard_tanh": lambda u: (np.abs(u) < 1) * 1.0,
    "leaky_relu": lambda u: np.where(u > 0, 1.0, 0.01),
}


def slope_squares(name, q):
    derivative = DERIVATIVES[name]
    return reference.gaussian_law(lambda h: derivative(math.sqrt(q) * h) ** 2, [-1 / math.sqrt(q), 1 / math.sqrt(q)])


def both(mu):
    """Mean and variance."""
    return np.array([mu.mean, mu.variance])


# ---- Twins


@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("gaussian", [False, True])
def test_jacobian_is_its_twin(name, gaussian):
    law = slope_squares(name, 0.7)
    mu = sp.jacobian_spectrum(name, 1.3, 0.1, 3, "gaussian" if gaussian else "orthogonal", variance=0.7)
    for z in (0.3 + 0.8j, 1.5 + 1j, -0.5 + 0.4j):
        expected = reference.jacobian(z, law, 1.3, 3, gaussian)
        assert abs(mu.cauchy(z) - expected) < 1e-12 * abs(expected)  # iterations stop at 2e-14


@pytest.mark.parametrize("strength", [0.05, 0.5, 2.0])
def test_residual_limit_is_its_twin(strength):
    mu = sp.residual_jacobian_limit(strength)
    for z in (0.5 + 2j, 3 + 3j):
        assert abs(mu.cauchy(z) - reference.residual_limit(z, strength)) < 1e-12


@settings(deadline=None, max_examples=25)
@given(
    ratios=st.lists(st.floats(0.05, 4), min_size=1, max_size=3),
    positions=st.lists(st.floats(0, 5), min_size=1, max_size=5, unique=True),
    real=st.floats(-1, 8),
)
def test_kernels_are_their_twins(ratios, positions, real):
    x = np.array(sorted(positions)) + 0.1
    x /= x.mean()
    law = (x, np.full(len(x), 1 / len(x)))
    moments = _core.meanfield_moments(TANH._core, np.array([1.0]))
    b, a = float(moments["slope"][0]), float(moments["slope_square"][0])
    z = real + 2.5j
    mu = sp.conjugate_kernel_spectrum(TANH, ratios, sp.FromEigenvalues(x))
    assert abs(mu.cauchy(z) - reference.conjugate_kernel(z, ratios, b, law)) < 1e-11
    kernel = sp.ntk_spectrum(TANH, ratios[:2], sp.FromEigenvalues(x))
    assert abs(kernel.stieltjes(z) - reference.neural_tangent_kernel(z, ratios[:2], b, a, law)) < 1e-11


@pytest.mark.parametrize("name", ["tanh", "hard_tanh", "elu"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_conditional_fisher_is_its_twin(name, depth):
    squares, q = [0.7], []
    phi = dg.meanfield.activation(name)
    for _ in range(depth - 1):
        q.append(1.2 * squares[-1] + 0.05)
        squares.append(float(dg.meanfield.gaussian_moments(phi, q[-1])["square"]))
    if depth > 2:  # the twin has the same law in all layers
        core = _core.conditional_fisher_product(phi._core, np.full(depth - 1, 0.7), np.array(squares[:-1]), 1.2)
        mu, q = squares[-1] + 1.2 * sp.Measure(core, "product"), [0.7]
    else:
        mu = sp.conditional_fisher_spectrum(name, 1.2, 0.05, depth, input_square=0.7)
    law = slope_squares(name, q[0] if q else 1.0)
    for z in (0.5 + 1j, 2 + 1.5j):
        assert abs(mu.cauchy(z) - reference.conditional_fisher(z, law, squares, 1.2)) < 1e-12


# ---- Exact values (specification, sections 4 to 6)


def test_jacobian_of_tanh():
    mu = sp.jacobian_spectrum("tanh", 1.3, 0.005, 4)
    assert both(mu) == pytest.approx([0.978552116590584, 0.361771726654020], rel=1e-12)
    largest = mu.support()[-1, 1]
    assert largest == pytest.approx(2.18233809031704, rel=1e-13)
    expected = [0.550459172490773, 0.467752599285280, 0.344591395468957]
    assert mu.pdf(np.array([0.2, 0.5, 0.9]) * largest) == pytest.approx(expected, rel=1e-12)
    assert sp.jacobian_spectrum("tanh", 1.5, 0.02, 3, "gaussian").support()[-1, 1] == pytest.approx(
        10.7953910613543, rel=1e-13
    )


def test_jacobian_of_relu_and_hard_tanh():
    relu = sp.jacobian_spectrum("relu", 2, 0, 2, "gaussian")
    assert relu.support().tolist() == [[0, pytest.approx((11 + 5 * math.sqrt(5)) / 2, rel=1e-14)]]
    assert both(relu) == pytest.approx([1, 4], rel=1e-12)
    assert relu.atoms == [(0, 0.5)]
    q = 0.257
    p = math.erf(1 / math.sqrt(2 * q))
    mu = sp.jacobian_spectrum("hard_tanh", 1.05, 0.01, 4, variance=q)
    (zero, lost), (top, kept) = mu.atoms
    assert (zero, top) == (0, pytest.approx(1.05**4, rel=1e-15))
    assert (lost, kept) == (pytest.approx(1 - p, rel=1e-14), pytest.approx(1 - 4 * (1 - p), rel=1e-14))
    u = p / (4 * (1 - p) - 1)  # lambda(u) = sw2^L (1 + u)/u ((u + p)/(1 + u))^L is stationary
    assert mu.support()[-1, 1] == pytest.approx(1.05**4 * (1 + u) / u * ((u + p) / (1 + u)) ** 4, rel=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 5, 20])
def test_linear_jacobians_are_fuss_catalan(depth):
    mu = sp.jacobian_spectrum("linear", 1.0, 0.0, depth, "gaussian")
    # Near 0 the density is x^(-L/(L+1)); its mass below 1e-300 is 1e-14 for L = 20.
    assert mu.support()[0, 1] == pytest.approx((depth + 1) ** (depth + 1) / depth**depth, rel=1e-13)
    for k in (2, 3):
        assert mu.moment(k) == pytest.approx(math.comb(k * (depth + 1), k) / (k * depth + 1), rel=1e-11)


def test_orthogonal_linear_network_is_an_isometry():
    mu = sp.jacobian_spectrum("linear", 0.5, 0.0, 3)
    assert mu.atoms == [(0.125, 1.0)]
    assert len(mu.support()) == 0


def test_residual_limit_in_closed_form():
    c = 0.4953
    mu = sp.residual_jacobian_limit(c)
    assert both(mu) == pytest.approx([math.exp(c), 2 * c * math.exp(2 * c)], rel=1e-12)
    u = 0.5 * (-1 + np.array([-1, 1]) * math.sqrt(1 + 2 / c))
    assert mu.support()[0] == pytest.approx((1 + u) / u * np.exp(c * (1 + 2 * u)), rel=1e-14)


def test_conjugate_kernel_values():
    mu = sp.conjugate_kernel_spectrum(TANH, [0.6, 0.75], INPUT)
    assert mu.stieltjes(3 + 0.3j) == pytest.approx(-0.350473443671735 + 0.212323342469846j, rel=1e-13)
    expected = [0.642856399817865, 0.212859415289507, 0.0610785793641650]
    assert mu.pdf([0.3, 1.0, 3.0]) == pytest.approx(expected, rel=1e-11)


def test_ntk_values():
    mu = sp.ntk_spectrum(TANH, [0.6, 0.75], INPUT)
    assert mu.stieltjes(3 + 0.3j) == pytest.approx(-0.197535101093723 + 0.467395462549792j, rel=1e-13)


def test_conditional_fisher_values():
    mu = sp.conditional_fisher_spectrum("hard_tanh", 1.05, 0.01, 6)
    assert both(mu) == pytest.approx([1.40843518662093, 0.154478323157710], rel=1e-11)
    position, mass = mu.atoms[0]
    assert (position, mass) == (pytest.approx(0.235338243959466, rel=1e-13), pytest.approx(1 - 0.951409930902566))


# ---- Invariants


def jacobian_moments(name, q, sw2, depth, gaussian):
    d2, mass = slope_squares(name, q)
    first, second = np.sum(mass * d2), np.sum(mass * d2**2)
    relative = depth * (second / first**2 - 1 + gaussian)
    mean = (sw2 * first) ** depth
    return [mean, relative * mean**2]


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("weights", ["orthogonal", "gaussian"])
@pytest.mark.parametrize("depth", [1, 3, 8])
def test_jacobian_mass_and_moments(name, weights, depth):
    mu = sp.jacobian_spectrum(name, 1.2, 0.1, depth, weights, variance=0.4)
    assert abs(mu.mass_error) < 1e-9
    expected = jacobian_moments(name, 0.4, 1.2, depth, weights == "gaussian")
    assert both(mu) == pytest.approx(expected, rel=1e-9)


def test_small_eigenvalues_follow_their_power_law():
    mu = sp.jacobian_spectrum("tanh", 1.3, 0.005, 4, "gaussian")
    x = 10.0 ** -np.arange(5, 300, 25)
    density = mu.pdf(x) * x ** (4 / 5)  # x^(-L/(L+1))
    assert np.all(np.isfinite(density))
    assert density[4:] == pytest.approx(density[-1], rel=1e-9)


@pytest.mark.parametrize("ratios", [[0.5], [0.6, 0.75], [2.0, 0.3], [1.0, 1.0, 1.0], [3.0, 0.2], [3.0, 0.2, 1.7, 0.9]])
def test_kernel_masses_and_moments(ratios):
    moments = {k: float(v[0]) for k, v in _core.meanfield_moments(TANH._core, np.array([1.0])).items()}
    b2, a = moments["slope"] ** 2, moments["slope_square"]
    mu = sp.conjugate_kernel_spectrum(TANH, ratios, INPUT)
    assert abs(mu.mass_error) < 1e-9
    variance = 0.5
    for ratio in ratios:
        variance = ratio + b2**2 * variance  # relative variances add, all means are 1
    assert both(mu) == pytest.approx([1, variance], rel=1e-9)
    kernel = sp.ntk_spectrum(TANH, ratios, INPUT)
    assert abs(kernel.mass_error) < 1e-8
    assert kernel.mean == pytest.approx(sum(a**k for k in range(len(ratios) + 1)), rel=1e-8)


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("name", ["tanh", "hard_tanh", "erf", "sigmoid"])
@pytest.mark.parametrize("depth", [2, 3, 8])
def test_conditional_fisher_mass_and_moments(name, depth):
    mu = sp.conditional_fisher_spectrum(name, 1.2, 0.05, depth)
    q = float(dg.meanfield.fixed_point(name, 1.2, 0.05)["q"])
    qhat = (q - 0.05) / 1.2
    d2, weight = slope_squares(name, q)
    p, spread = np.sum(weight * d2), np.sum(weight * d2**2) - np.sum(weight * d2) ** 2
    mean, variance = qhat, 0.0
    for _ in range(depth - 1):
        mean, variance = qhat + 1.2 * p * mean, 1.44 * (mean**2 * spread + p**2 * variance)
    assert abs(mu.mass_error) < 1e-11
    assert both(mu) == pytest.approx([mean, variance], rel=1e-7)


def test_ntk_atoms_are_common_kernels():
    mu = sp.ntk_spectrum(TANH, [5.0], sp.MarchenkoPastur(5))
    ((position, mass),) = mu.atoms
    assert mass == pytest.approx(1 - 2 / 5)
    z = position + 1e-8j
    assert (1e-8j * mu.cauchy(z)).real == pytest.approx(mass, abs=1e-7)  # residue
    assert abs(mu.mass_error) < 1e-9


def test_even_activations_forget_the_input():
    cos = dg.meanfield.activation("cos").normalised()
    mu = sp.conjugate_kernel_spectrum(cos, [2.0, 0.5], INPUT)
    assert mu.pdf(1.0) == sp.MarchenkoPastur(0.5).pdf(1.0)
    a = float(_core.meanfield_moments(cos._core, np.array([1.0]))["slope_square"][0])
    assert sp.ntk_spectrum(cos, [2.0, 0.5], INPUT).mean == pytest.approx(1 + a + a**2, rel=1e-12)


# ---- Two routes


@pytest.mark.parametrize("name", ["tanh", "elu", "relu", "hard_tanh", "leaky_relu"])
@pytest.mark.parametrize("gaussian", [False, True])
def test_jacobians_are_free_powers(name, gaussian):
    law = sp.squared_slope_law(name, 0.6)
    layer = sp.free_multiply(law, sp.MarchenkoPastur(1)) if gaussian else law
    power = 1.2**3 * sp.free_power(layer, 3, "multiplicative")
    mu = sp.jacobian_spectrum(name, 1.2, 0.1, 3, "gaussian" if gaussian else "orthogonal", variance=0.6)
    edges = mu.support()
    x = np.concatenate([np.linspace(left, right, 7)[1:-1] for left, right in edges])
    assert mu.pdf(x) == pytest.approx(power.pdf(x), rel=1e-10)


def test_one_layer():
    assert sp.jacobian_spectrum("tanh", 1.3, 0.1, 1, variance=0.5).pdf(0.7) == pytest.approx(
        (1.3 * sp.squared_slope_law("tanh", 0.5)).pdf(0.7), rel=1e-13
    )
    single = sp.conjugate_kernel_spectrum(TANH, [0.6], INPUT)
    b2 = float(_core.meanfield_moments(TANH._core, np.array([1.0]))["slope"][0]) ** 2
    product = sp.free_multiply(sp.MarchenkoPastur(0.6), (1 - b2) + b2 * INPUT)
    assert single.pdf([0.3, 1.0, 2.0]) == pytest.approx(product.pdf([0.3, 1.0, 2.0]), rel=1e-12)
    # One hidden layer, r and q: the sum is not free, but its first two moments are traces of one layer.
    assert sp.conditional_fisher_spectrum("tanh", 1.3, 0.1, 1).atoms[0].mass == 1


def test_linear_kernels_are_products_of_marchenko_pastur():
    linear = dg.meanfield.activation("linear")
    mu = sp.conjugate_kernel_spectrum(linear, [0.4, 1.5], INPUT)
    product = sp.free_multiply(sp.free_multiply(INPUT, sp.MarchenkoPastur(0.4)), sp.MarchenkoPastur(1.5))
    assert mu.pdf([0.3, 1.0, 4.0]) == pytest.approx(product.pdf([0.3, 1.0, 4.0]), rel=1e-11)
    assert mu.support() == pytest.approx(product.support(), rel=1e-11)
    assert mu.atoms == product.atoms


@pytest.mark.no_sanitizer
def test_residual_jacobian_tends_to_its_limit():
    errors = []
    limit = sp.residual_jacobian_limit(0.5)
    p = sp.squared_slope_law("tanh", 0.5).mean
    for depth in (20, 40):
        mu = sp.jacobian_spectrum("tanh", 1.0, 0.0, depth, residual=math.sqrt(0.5 / (p * depth)), variance=0.5)
        assert abs(mu.mass_error) < 1e-9
        errors.append(np.abs(mu.cdf([0.5, 1.0, 3.0]) - limit.cdf([0.5, 1.0, 3.0])).max())
    assert errors[1] < 0.03
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.2)  # of order 1/depth


# ---- Simulated matrices


def extrapolated(sample, sizes, draws, seed):
    """Mean of sample(n, generator) for n -> infinity from two sizes, and its standard error; 1/n corrections."""
    generator = np.random.default_rng(seed)
    means, errors = [], []
    for n in sizes:
        values = np.array([sample(n, generator) for _ in range(draws)])
        means.append(values.mean(axis=0))
        errors.append(values.std(axis=0, ddof=1) / math.sqrt(draws))
    small, large = sizes
    weight = np.array([-small, large]) / (large - small)
    return weight @ np.array(means), np.sqrt(weight**2 @ np.array(errors) ** 2)


def assert_within(theory, estimate):
    value, error = estimate
    assert np.all(np.abs(value - theory) < 5 * error), (value - theory) / error
    assert np.all(error < 0.05 * np.abs(theory))  # the test can fail


def test_haar_sampler():
    generator = np.random.default_rng(1)
    n, draws = 5, 4000
    q = np.array([reference.haar_orthogonal(n, generator) for _ in range(draws)])
    assert np.abs(q[0] @ q[0].T - np.eye(n)).max() < 1e-14
    traces = np.trace(q, axis1=1, axis2=2)
    fourth = (q**4).mean(axis=(1, 2))
    mixed = q[:, 0, 0] * q[:, 0, 1] * q[:, 1, 0] * q[:, 1, 1]
    for values, expected in (
        (traces, 0),  # QR without the signs fails here
        (traces**2, 1),
        (fourth, 3 / (n * (n + 2))),
        (mixed, -1 / ((n - 1) * n * (n + 2))),
    ):
        assert abs(values.mean() - expected) < 5 * values.std() / math.sqrt(draws)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["orthogonal", "gaussian"])
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_jacobian_simulated(name, weights):
    sw2, depth, q = (1.5, 3, 0.4) if name == "tanh" else (2.0, 2, 1.0)
    derivative = DERIVATIVES.get(name, lambda u: (u > 0) * 1.0)
    mu = sp.jacobian_spectrum(name, sw2, 0.1, depth, weights, variance=q)
    middle = 0.5 * mu.mean

    def sample(n, generator):
        j = np.eye(n)
        for _ in range(depth):
            if weights == "orthogonal":
                w = math.sqrt(sw2) * reference.haar_orthogonal(n, generator)
            else:
                w = generator.normal(scale=math.sqrt(sw2 / n), size=(n, n))
            j = derivative(math.sqrt(q) * generator.normal(size=(n, 1))) * (w @ j)
        x = np.linalg.eigvalsh(j @ j.T)
        return [x.mean(), (x**2).mean(), (x < middle).mean()]

    assert_within([mu.mean, mu.moment(2), mu.cdf(middle)], extrapolated(sample, (60, 120), 150, 2))


@pytest.mark.slow
def test_residual_jacobian_simulated():
    a, q, depth = 0.5, 0.4, 3
    mu = sp.jacobian_spectrum("tanh", 1.3, 0.0, depth, "gaussian", residual=a, variance=q)

    def sample(n, generator):
        j = np.eye(n)
        for _ in range(depth):
            w = generator.normal(scale=math.sqrt(1.3 / n), size=(n, n))
            j = j + a * DERIVATIVES["tanh"](math.sqrt(q) * generator.normal(size=(n, 1))) * (w @ j)
        x = np.linalg.eigvalsh(j @ j.T)
        return [x.mean(), (x**2).mean(), (x < 1).mean()]

    assert_within([mu.mean, mu.moment(2), mu.cdf(1.0)], extrapolated(sample, (60, 120), 150, 3))


def kernels(n, generator, ratios, phi):
    """Conjugate and tangent kernel of one network of n samples, input dimension 2 n."""
    x = generator.normal(size=(2 * n, n))
    x /= np.linalg.norm(x, axis=0)
    layers, slopes, weights = [x], [], []
    for ratio in ratios:
        d = round(n / ratio)
        w = generator.normal(size=(d, len(x)))
        weights.append(w)
        u = w @ layers[-1]
        x = phi(u) / math.sqrt(d)
        slopes.append(phi.derivative(u) / math.sqrt(d))
        layers.append(x)
    last = generator.normal(size=len(x))
    s = slopes[-1] * (last * math.sqrt(len(x)) / np.linalg.norm(last))[:, None]  # |w|^2 = d_L
    tangent = x.T @ x + (s.T @ s) * (layers[-2].T @ layers[-2])
    for level in range(len(ratios) - 2, -1, -1):
        s = slopes[level] * (weights[level + 1].T @ s)
        tangent += (s.T @ s) * (layers[level].T @ layers[level])
    return np.linalg.eigvalsh(x.T @ x), np.linalg.eigvalsh(tangent)


@pytest.mark.no_sanitizer
def test_kernels_simulated():
    ratios = [0.6, 0.75]
    mu = sp.conjugate_kernel_spectrum(TANH, ratios, INPUT)
    kernel = sp.ntk_spectrum(TANH, ratios, INPUT)
    z, y = 1 + 1j, 3.5 + 2j

    def sample(n, generator):
        ck, ntk = kernels(n, generator, ratios, TANH)
        a, b = np.mean(1 / (ck - z)), np.mean(1 / (ntk - y))
        return [a.real, a.imag, b.imag, (ck < 0.5).mean(), ntk.mean()]

    a, b = mu.stieltjes(z), kernel.stieltjes(y)
    theory = [a.real, a.imag, b.imag, mu.cdf(0.5), kernel.mean]
    assert_within(theory, extrapolated(sample, (60, 120), 100, 4))


@pytest.mark.no_sanitizer
def test_conditional_fisher_simulated():
    sw2, depth = 1.2, 4
    mu = sp.conditional_fisher_spectrum("tanh", sw2, 0.05, depth)
    q = float(dg.meanfield.fixed_point("tanh", sw2, 0.05)["q"])
    qhat = (q - 0.05) / sw2

    def sample(n, generator):
        theta = qhat * np.eye(n)
        for _ in range(depth - 1):
            w = math.sqrt(sw2) * reference.haar_orthogonal(n, generator)
            wd = w * DERIVATIVES["tanh"](math.sqrt(q) * generator.normal(size=n))
            theta = qhat * np.eye(n) + wd @ theta @ wd.T
        x = np.linalg.eigvalsh(theta)
        return [x.mean(), (x**2).mean(), (x < mu.mean).mean()]

    assert_within([mu.mean, mu.moment(2), mu.cdf(mu.mean)], extrapolated(sample, (60, 120), 100, 5))


# ---- The rest


def test_callables_and_pickles():
    phi = dg.meanfield.activation(np.tanh, derivative=DERIVATIVES["tanh"])
    x = np.linspace(0.1, 2, 5)
    mu = sp.jacobian_spectrum(phi, 1.3, 0.005, 4)
    assert mu.pdf(x) == pytest.approx(sp.jacobian_spectrum("tanh", 1.3, 0.005, 4).pdf(x), rel=1e-11)
    assert pickle.loads(pickle.dumps(TANH)).name == TANH.name


def test_any_number_of_threads():
    x = np.linspace(0.01, 2.1, 300)
    for mu in (
        sp.jacobian_spectrum("tanh", 1.3, 0.005, 4),
        sp.conjugate_kernel_spectrum(TANH, [0.6, 0.75], INPUT),
        sp.ntk_spectrum(TANH, [0.6, 0.75], INPUT),
    ):
        assert np.array_equal(mu.pdf(x, threads=1), mu.pdf(x, threads=3))


def test_singular_values():
    mu = sp.jacobian_spectrum("tanh", 1.3, 0.005, 2)
    s = np.array([0.5, 1.1])
    assert sp.singular_value_pdf(mu, s) == pytest.approx(2 * s * mu.pdf(s**2), rel=1e-15)
    with pytest.raises(ValueError, match="s must be >= 0"):
        sp.singular_value_pdf(mu, -1.0)


def test_refused_points_are_flagged():
    """Next to the atom of the tangent kernel the answer is right or refused, never another branch."""
    mu = sp.ntk_spectrum(TANH, [5.0], sp.MarchenkoPastur(5))
    heights = 10.0 ** -np.arange(1, 14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.ConvergenceWarning)
        residues = 1j * heights * mu.cauchy(mu.atoms[0].position + 1j * heights)
    solved = ~np.isnan(residues)
    assert solved[:6].all()
    assert np.abs(residues[solved] - 0.6).max() < 0.3
    assert np.abs(residues[solved][3:] - 0.6).max() < 1e-3
    if not solved.all():
        with pytest.warns(dg.ConvergenceWarning, match="no solution was accepted"):
            mu.cauchy(mu.atoms[0].position + 1j * heights)


BAD = [
    (lambda: sp.jacobian_spectrum("tanh", 1.3, 0.1, 0), "depth must be an integer from 1"),
    (lambda: sp.jacobian_spectrum("tanh", -1.0, 0.1, 2), "weight_variance must be"),
    (lambda: sp.jacobian_spectrum("tanh", 1.0, -0.1, 2), "bias_variance must be"),
    (lambda: sp.jacobian_spectrum("relu", 2.0, 0.1, 2), "weight_variance must leave a fixed point"),
    (lambda: sp.jacobian_spectrum("relu", 2.5, 0.0, 2), "weight_variance must leave a fixed point"),
    (lambda: sp.jacobian_spectrum("tanh", 1.0, 0.1, 2, "haar"), "weights must be one of"),
    (lambda: sp.jacobian_spectrum("tanh", 1.0, 0.1, 2, residual=0.0), "residual must be"),
    (lambda: sp.jacobian_spectrum("tanh", 1.0, 0.1, 2, residual=0.1), "variance must be given"),
    (lambda: sp.jacobian_spectrum("tanh", 1.0, 0.1, 2, variance=-1.0), "variance must be"),
    (lambda: sp.jacobian_spectrum("thanh", 1.0, 0.1, 2), "tanh"),
    (lambda: sp.residual_jacobian_limit(0.0), "strength must be"),
    (lambda: sp.residual_jacobian_limit(101.0), "strength must be"),
    (lambda: sp.squared_slope_law("tanh", -1.0), "variance must be"),
    (lambda: sp.conjugate_kernel_spectrum("tanh", [0.5], INPUT), r"E phi\^2 = 1.*0.394.*normalised\(\)"),
    (lambda: sp.conjugate_kernel_spectrum("relu", [0.5], INPUT), r"E phi = 0.*0.398942.*normalised\(\)"),
    (lambda: sp.conjugate_kernel_spectrum(TANH, [0.5, 0.0], INPUT), "ratios must be finite and > 0"),
    (lambda: sp.conjugate_kernel_spectrum(TANH, [], INPUT), "ratios must be 1 to"),
    (lambda: sp.conjugate_kernel_spectrum(TANH, [0.5], sp.Semicircle()), "measure on"),
    (lambda: sp.conjugate_kernel_spectrum(TANH, [0.5], 1.0), "input_spectrum must be a Measure"),
    (lambda: sp.ntk_spectrum("relu", [0.5], INPUT), r"normalised\(\)"),
    (lambda: sp.ntk_spectrum(TANH, [-1.0], INPUT), "ratios must be"),
    (lambda: sp.conditional_fisher_spectrum("tanh", 1.0, 0.1, 0), "depth must be"),
    (lambda: sp.conditional_fisher_spectrum("tanh", 0.0, 0.1, 2), "weight_variance must be"),
    (lambda: sp.conditional_fisher_spectrum("tanh", 0.5, 0.0, 2), "input_square must be given"),
    (lambda: sp.conditional_fisher_spectrum("relu", 2.0, 0.1, 2), "weight_variance must leave"),
    (lambda: sp.ntk_spectrum(TANH, [0.5], INPUT).cauchy(1 - 1j), "imaginary part >= 0|Im z >= 0"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(["tanh", "erf", "relu", "hard_tanh", "elu", "swish", "leaky_relu", "gelu"]),
    q=st.floats(1e-3, 5),
    depth=st.integers(1, 30),
    gaussian=st.booleans(),
)
def test_random_jacobians_keep_their_mass(name, q, depth, gaussian):
    """Deep Jacobians have mass below the smallest point x of the integration, at most 2 x |G(-x)|."""
    mu = sp.jacobian_spectrum(name, 1.1, 0.1, depth, "gaussian" if gaussian else "orthogonal", variance=q)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        below = 0.0
        if abs(mu.mass_error) > 1e-7:
            x = max(mu.support()[-1, 1] * math.exp(-690), np.finfo(float).tiny)
            at_zero = sum(atom.mass for atom in mu.atoms if atom.position == 0)
            below = x * abs(mu.cauchy(-x)) - at_zero  # x/(x + t) >= 1/2 for t <= x
        assert -1e-7 - 2 * below < mu.mass_error < 1e-7
