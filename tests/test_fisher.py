"""Fisher information: gradients, dual matrices, theory against its table and against networks, bad input."""

import importlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

import deepglass as dg
from deepglass.reference import fisher as reference
from deepglass.reference.meanfield import ACTIVATIONS

Network, statistics = dg.fisher.Network, dg.fisher.statistics
normalised_fisher, largest_eigenvalues = dg.fisher.normalised_fisher, dg.fisher.largest_eigenvalues
SMALL = {"depth": 3, "width": 6, "n_inputs": 4, "n_outputs": 2, "weight_variance": 1.7, "bias_variance": 0.3, "seed": 5}


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def reference_jacobian(network, name, x):
    phi = ACTIVATIONS[name]
    given = network.weights, network.biases, phi.value, phi.slope
    return np.array([reference.jacobian(*given, row, network.train_biases) for row in x])


# ---- Twins


@settings(deadline=None, max_examples=25)
@given(
    depth=st.integers(1, 4),
    width=st.integers(1, 7),
    n_inputs=st.integers(1, 5),
    n_outputs=st.integers(1, 3),
    name=st.sampled_from(sorted(ACTIVATIONS)),
    biases=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_gradients_are_their_twin(depth, width, n_inputs, n_outputs, name, biases, seed):
    network = Network(
        depth=depth,
        width=width,
        n_inputs=n_inputs,
        n_outputs=n_outputs,
        activation=name,
        weight_variance=1.5,
        bias_variance=0.2,
        parametrisation="standard",
        train_biases=biases,
        seed=seed,
    )
    x = normal(seed, 4, n_inputs)
    gradients, expected = network.jacobian(x), reference_jacobian(network, name, x)
    scale = np.abs(expected).max()
    assert gradients.shape == (4, n_outputs, network.n_parameters)
    np.testing.assert_allclose(gradients, expected, rtol=1e-12, atol=1e-13 * scale)  # sums of a few products
    flat = expected.reshape(4 * n_outputs, -1)
    np.testing.assert_allclose(network.ntk(x), flat @ flat.T, rtol=0, atol=1e-12 * np.abs(flat @ flat.T).max())
    np.testing.assert_allclose(
        network.ntk(x[:2], x), (flat @ flat.T)[: 2 * n_outputs], rtol=0, atol=1e-12 * scale**2 * 99
    )
    np.testing.assert_allclose(
        network.conditional_fisher(x), expected @ expected.transpose(0, 2, 1), rtol=1e-11, atol=1e-12 * scale**2
    )
    for likelihood in ("gaussian", "categorical"):
        twin = reference.fisher(expected, network(x), likelihood == "categorical")
        full = network.fisher(x, likelihood=likelihood, form="full")
        np.testing.assert_allclose(full, twin, rtol=0, atol=1e-13 * max(np.abs(twin).max(), scale**2))


@pytest.mark.parametrize("name", ["relu", "tanh", "hard_tanh"])
def test_kappas_are_their_twins(name):
    here = statistics(name, weight_variance=1.8, bias_variance=0.2, depth=3, width=10, n_samples=10)
    twin = reference.kappas(ACTIVATIONS[name], 1.8, 0.2, 3)
    np.testing.assert_allclose([here.kappa_1, here.kappa_2], twin, rtol=1e-12)  # two quadratures, each 1e-14


# ---- Exact cases


@pytest.mark.parametrize("parametrisation", ["ntk", "standard"])
@pytest.mark.parametrize("name", ["tanh", "sin", "swish"])
def test_jacobian_is_the_derivative(name, parametrisation):
    network = Network(activation=name, parametrisation=parametrisation, **SMALL)
    x, theta, h = normal(1, 3, 4), network.parameters, 1e-3

    def difference(i, step):
        e = np.zeros_like(theta)
        e[i] = step
        return (network.with_parameters(theta + e)(x) - network.with_parameters(theta - e)(x)) / (2 * step)

    # Richardson: the errors of order h^2 and h^4 cancel.
    columns = [
        (64 * difference(i, h) - 20 * difference(i, 2 * h) + difference(i, 4 * h)) / 45 for i in range(len(theta))
    ]
    expected = np.stack(columns, axis=-1)
    np.testing.assert_allclose(network.jacobian(x), expected, rtol=0, atol=1e-10)  # rounding 1e-16 / h, h^6


@pytest.mark.parametrize("kind", ["none", "mean_subtraction", "batch", "layer"])
def test_normalised_gradients_are_derivatives(kind):
    network, x, h = Network(activation="tanh", **SMALL), normal(1, 5, 4), 1e-3
    theta = network.parameters

    def difference(e, step):
        both = [network.with_parameters(theta + sign * step * e) for sign in (1, -1)]
        up, down = (reference.normalised(n.weights, n.biases, np.tanh, x, kind) for n in both)
        return (up - down).ravel() / (2 * step)

    columns = [
        (64 * difference(e, h) - 20 * difference(e, 2 * h) + difference(e, 4 * h)) / 45 for e in np.eye(len(theta))
    ]
    expected = np.array(columns).T @ np.array(columns) / 5
    dual = normalised_fisher(network, x, normalisation=kind)
    np.testing.assert_allclose(dual, expected, rtol=0, atol=1e-9 * np.abs(expected).max())  # h^6, rounding / h


def test_jacobian_by_a_complex_step():
    network = Network(activation="tanh", parametrisation="standard", **SMALL)
    x, gradients = normal(2, 3, 4), network.jacobian(normal(2, 3, 4))
    column = 0
    for layer in range(3):
        for unit in range(len(network.weights[layer])):
            for place in range(network.weights[layer].shape[1] + 1):
                weights = [w.astype(complex) for w in network.weights]
                biases = [b.astype(complex) for b in network.biases]
                if place < weights[layer].shape[1]:
                    weights[layer][unit, place] += 1e-30j
                else:
                    biases[layer][unit] += 1e-30j
                u = x @ weights[0].T + biases[0]
                for w, b in zip(weights[1:], biases[1:], strict=True):
                    u = np.tanh(u) @ w.T + b
                np.testing.assert_allclose(gradients[:, :, column], u.imag / 1e-30, rtol=1e-12, atol=1e-15)
                column += 1
    assert column == network.n_parameters


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_jacobian_is_that_of_torch(name):
    torch = pytest.importorskip("torch")
    network = Network(activation=name, parametrisation="standard", **SMALL)
    x = normal(3, 5, 4)

    def f(parameters, row):
        for i, (w, b) in enumerate(parameters):
            row = w @ (getattr(torch, name)(row) if i else row) + b
        return row

    parameters = [(torch.tensor(w), torch.tensor(b)) for w, b in zip(network.weights, network.biases, strict=True)]
    blocks = torch.func.vmap(torch.func.jacrev(f), in_dims=(None, 0))(parameters, torch.tensor(x))
    layers = [torch.cat([w, b[..., None]], dim=-1).reshape(5, 2, -1) for w, b in blocks]
    np.testing.assert_allclose(network.jacobian(x), torch.cat(layers, dim=-1).numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "sw2", "sb2", "depth", "n_samples", "kappa_1", "kappa_2", "largest"),
    [
        ("relu", 2.0, 0.1, 3, 100, 1.575, 0.401494217255150, 0.826458550165197),
        ("tanh", 3.0, 0.64, 5, 50, 0.736307822918196, 0.148413592766390, 0.640685909477704),
    ],
)
def test_table_of_the_specification(name, sw2, sb2, depth, n_samples, kappa_1, kappa_2, largest):
    network = {"weight_variance": sw2, "bias_variance": sb2, "depth": depth, "width": 1500, "n_samples": n_samples}
    here = statistics(name, n_outputs=2, **network)
    values = [here.kappa_1, here.kappa_2, here.largest_eigenvalue / 1500]
    np.testing.assert_allclose(values, [kappa_1, kappa_2, largest], rtol=1e-12)
    assert here.n_largest == 2
    if name == "relu":
        np.testing.assert_allclose([here.centred_lower, here.centred_upper], [35.2, 498], rtol=2e-3)  # as printed
    rate = dg.fisher.max_learning_rate(name, loss="half_mse", **network)
    assert math.isclose(rate, 2 / (largest * 1500), rel_tol=1e-12)
    assert math.isclose(dg.fisher.max_learning_rate(name, loss="mse", **network), rate / 2, rel_tol=1e-15)


def test_statistics_are_those_of_the_dual_matrix():
    t, c, m = 7, 3, 40
    g = np.random.default_rng(4).dirichlet(np.ones(c), size=t)
    here = statistics(
        "tanh",
        weight_variance=2.0,
        bias_variance=0.3,
        depth=4,
        width=m,
        n_samples=t,
        n_outputs=c,
        probabilities=g,
    )
    kernel = 3 * m / t * ((here.kappa_1 - here.kappa_2).item() * np.eye(t) + here.kappa_2.item())
    dual = np.kron(kernel, np.eye(c))
    values = np.linalg.eigvalsh(dual)
    np.testing.assert_allclose(values[-c:], here.largest_eigenvalue, rtol=1e-12)
    np.testing.assert_allclose(values.sum(), here.trace, rtol=1e-12)
    np.testing.assert_allclose(values.sum() / (3 * m**2), here["mean"], rtol=1e-12)
    np.testing.assert_allclose((values**2).sum() / (3 * m**2), here.second_moment, rtol=1e-12)
    centre = np.eye(t) - 1 / t
    assert math.isclose(np.linalg.eigvalsh(centre @ kernel @ centre)[-1], here.centred_lower.item(), rel_tol=1e-12)

    blocks = np.zeros((t * c, t * c))
    for s in range(t):
        values, vectors = np.linalg.eigh(np.diag(g[s]) - np.outer(g[s], g[s]))
        root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
        blocks[s * c : s * c + c, s * c : s * c + c] = root
    values = np.linalg.eigvalsh(blocks @ dual @ blocks)
    np.testing.assert_allclose(values.sum(), here.cross_entropy_trace, rtol=1e-12)
    np.testing.assert_allclose(values[::-1][: c - 1], here.cross_entropy_eigenvalue, rtol=1e-12)


def test_cross_entropy_of_many_samples_iterates():
    g = np.random.default_rng(4).dirichlet(np.ones(3), size=100)
    network = {"weight_variance": 2.0, "bias_variance": 0.3, "depth": 4, "width": 100, "n_outputs": 3}
    large = statistics("relu", n_samples=100, probabilities=g, **network)
    leading = np.linalg.eigvalsh(np.mean([np.diag(p) - np.outer(p, p) for p in g], axis=0))[:0:-1]
    scale = 300 * float(large.kappa_2)
    # alpha M kappa_2 eig(mean Q), and a correction of order kappa_1 / T.
    excess = large.cross_entropy_eigenvalue.values - scale * leading
    assert ((excess > 0) & (excess < 300 * float(large.kappa_1) / 100)).all()
    # The same samples twice are the same law: the dense matrix of T = 60 against the iteration of T = 120.
    dense = statistics("relu", n_samples=60, probabilities=g[:60], **network)
    twice = statistics("relu", n_samples=120, probabilities=np.vstack([g[:60], g[:60]]), **network)
    both = [d.cross_entropy_eigenvalue.values for d in (dense, twice)]
    spread = 300 * (float(dense.kappa_1) - float(dense.kappa_2))
    assert (np.abs(both[0] - both[1]) <= spread / 120).all()  # only the share of the diagonal differs


# ---- Invariants


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("likelihood", ["gaussian", "categorical"])
def test_dual_and_full_share_their_spectrum(likelihood, centred):
    network, x = Network(activation="tanh", **SMALL), normal(6, 7, 4)
    options = {"likelihood": likelihood, "centred": centred}
    dual = np.linalg.eigvalsh(network.fisher(x, **options))
    full = np.linalg.eigvalsh(network.fisher(x, form="full", **options))
    np.testing.assert_allclose(dual, full[-14:], rtol=0, atol=1e-13 * dual[-1])
    assert np.abs(full[:-14]).max() < 1e-13 * dual[-1]
    # What has no direction: the mean of each output, and the sum of the softmax.
    rank = {("gaussian", False): 14, ("gaussian", True): 12, ("categorical", False): 7, ("categorical", True): 7}
    assert (dual > 1e-10 * dual[-1]).sum() <= rank[likelihood, centred]
    if likelihood == "gaussian" and not centred:
        kernel = np.linalg.eigvalsh(network.ntk(x))
        np.testing.assert_allclose(dual, kernel / 7, rtol=1e-12, atol=1e-14 * dual[-1])


def test_parameters_and_seeds():
    network = Network(activation="relu", **SMALL)
    again = Network(**network.arguments)
    assert (again.parameters == network.parameters).all()
    assert len(network.parameters) == network.n_parameters == 7 * 2 + 6 * 7 + 6 * 5
    correlation = np.corrcoef(network.weights[0].ravel(), normal(SMALL["seed"], 24))[0, 1]
    assert abs(correlation) < 0.9  # inputs drawn with the same seed are independent of the weights
    x = normal(1, 3, 4)
    np.testing.assert_allclose(network.with_parameters(network.parameters)(x), network(x), rtol=1e-13)
    without = Network(activation="relu", **{**SMALL, "bias_variance": 0.0})
    assert not without.train_biases and without.n_parameters == 6 * 2 + 6 * 6 + 6 * 4
    assert Network(activation="relu", parametrisation="standard", **{**SMALL, "bias_variance": 0.0}).train_biases


def test_orthogonal_weights():
    network = Network(activation="relu", weights="orthogonal", **{**SMALL, "n_inputs": 4})
    for w in network.weights:
        rows, columns = w.shape
        product = w @ w.T if rows <= columns else w.T @ w
        np.testing.assert_allclose(product, 1.7 * max(1, rows / columns) * np.eye(min(rows, columns)), atol=1e-14)


# ---- Large width


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_empirical_kernel_tends_to_the_infinite_one(name):
    x = normal(0, 3, 4)
    law = {"activation": name, "weight_variance": 2.0, "bias_variance": 0.1}
    exact, widths, draws = dg.kernels.ntk(x, hidden_layers=3, **law), (32, 256), (300, 100)
    logarithms, variances = [], []
    for width, n in zip(widths, draws, strict=True):
        kernels = np.array([Network(depth=4, width=width, n_inputs=4, seed=i, **law).ntk(x) for i in range(n)])
        squares = np.mean((kernels - exact) ** 2, axis=(1, 2))
        logarithms.append(0.5 * math.log(squares.mean()))
        variances.append((0.5 * squares.std(ddof=1) / squares.mean()) ** 2 / n)
        standard = (kernels.mean(axis=0) - exact) / (kernels.std(axis=0, ddof=1) / math.sqrt(n))
        assert np.abs(standard).max() < 4
    rate = (logarithms[1] - logarithms[0]) / math.log(8)
    error = math.sqrt(sum(variances)) / math.log(8)
    assert abs(rate + 0.5) < 4 * error and error < 0.05, (rate, error)


@pytest.mark.parametrize(("name", "sw2", "sb2", "depth", "c"), [("relu", 2.0, 0.1, 3, 2), ("tanh", 3.0, 0.64, 4, 1)])
def test_statistics_of_wide_networks(name, sw2, sb2, depth, c):
    m, t, draws = 400, 20, 24
    law = {"weight_variance": sw2, "bias_variance": sb2, "depth": depth, "width": m, "n_outputs": c}
    theory, measured, ratios = statistics(name, n_samples=t, **law), [], []
    for i in range(draws):
        rng = np.random.default_rng(i)
        x = rng.normal(size=(t, m))
        network = Network(n_inputs=m, activation=name, parametrisation="standard", train_biases=False, seed=rng, **law)
        values = np.linalg.eigvalsh(network.fisher(x))
        centred = np.linalg.eigvalsh(network.fisher(x, centred=True))[-1]
        n_parameters = (depth - 1) * m**2
        measured.append([values.sum(), (values**2).sum() / n_parameters, values[-c:].mean()])
        assert 0.8 * theory.centred_lower < centred < theory.centred_upper  # asymptotic, up to constants
        assert centred < 0.5 * values[-1]
        if c > 1:  # cross entropy, at the probabilities of this network
            g = softmax(network(x), axis=1)
            theirs = statistics(name, n_samples=t, probabilities=g, **law).cross_entropy_eigenvalue.values
            leading = np.linalg.eigvalsh(network.fisher(x, likelihood="categorical"))[::-1]
            ratios.append(leading[: c - 1] / theirs)
            assert leading[c - 1] < 0.5 * leading[c - 2]  # C - 1 of them are large
    mean, error = np.mean(measured, axis=0), np.std(measured, axis=0, ddof=1) / math.sqrt(draws)
    expected = np.array([theory.trace, theory.second_moment, theory.largest_eigenvalue])
    assert (np.abs(mean - expected) < 4 * error + 4 / m * expected).all(), (mean / expected, error / expected)
    assert (error < 0.06 * expected).all()
    if c > 1:
        spread = np.std(ratios, ddof=1) / math.sqrt(draws)
        assert abs(np.mean(ratios) - 1) < 4 * spread + 4 / m and spread < 0.06


def test_large_eigenvalues_of_the_cross_entropy_are_one_less_than_outputs():
    """With as many samples as units: with few of them the bulk, of order width / samples, hides the step."""
    c, law = 4, {"depth": 3, "width": 120, "n_outputs": 4, "weight_variance": 2.0, "bias_variance": 0.1}
    leading, theirs = [], []
    for i in range(4):
        rng = np.random.default_rng(i)
        x = rng.normal(size=(120, 120))
        network = Network(
            n_inputs=120, activation="relu", parametrisation="standard", train_biases=False, seed=rng, **law
        )
        leading.append(np.linalg.eigvalsh(network.fisher(x, likelihood="categorical"))[::-1][: c + 1])
        theirs.append(
            statistics("relu", n_samples=120, probabilities=softmax(network(x), axis=1), **law).cross_entropy_eigenvalue
        )
    measured, theory = np.mean(leading, axis=0), np.mean(theirs, axis=0)
    assert measured[c - 1] < 0.4 * measured[c - 2] and measured[c] > 0.8 * measured[c - 1]
    assert theory.shape == (c - 1,)
    error = np.std(np.array(leading)[:, : c - 1] - theirs, axis=0, ddof=1) / 2
    assert (np.abs(measured[: c - 1] - theory) < 4 * error + 0.1 * theory).all()  # corrections of order 1 / width


@pytest.mark.parametrize(("loss", "gradient"), [("half_mse", 1.0), ("mse", 2.0)])
def test_gradient_descent_at_the_largest_learning_rate(loss, gradient):
    m, t = 150, 10
    law = {"weight_variance": 2.0, "bias_variance": 0.1, "depth": 3, "width": m}
    rate = dg.fisher.max_learning_rate("relu", loss=loss, n_samples=t, **law)
    start = Network(n_inputs=m, activation="relu", parametrisation="standard", seed=1, **law)
    x = normal(1, t, m)
    y = start(x) + 1e-6 * normal(2, t, 1)
    distances = []
    for factor in (0.7, 1.4):
        network = start
        for _ in range(40):
            error = (network(x) - y).ravel()
            step = gradient / t * network.jacobian(x)[:, 0].T @ error
            network = network.with_parameters(network.parameters - factor * rate * step)
        distances.append(np.linalg.norm(network(x) - y))
    first = np.linalg.norm(start(x) - y)
    assert distances[0] < first and distances[1] > 10 * first, (distances, first)


def test_exponents_of_the_largest_eigenvalue():
    law = {"weight_variance": 2.0, "bias_variance": 0.1, "depth": 3, "widths": [50, 100, 200], "n_draws": 16, "seed": 3}
    found = {
        kind: largest_eigenvalues("relu", normalisation=kind, n_samples=t, **law)
        for kind, t in {"none": 20, "batch": 20, "layer": 20, "mean_subtraction": [50, 100, 200]}.items()
    }
    for kind in ("none", "batch", "layer"):  # in hidden layers it does not change the growth
        assert abs(found[kind].exponent - 1) < 4 * found[kind].exponent_error < 0.3, kind
    # In the last layer it does, with samples in proportion to the width: between 0 and 1/2.
    mean = found["mean_subtraction"]
    assert -4 * mean.exponent_error < mean.exponent < 0.5 + 4 * mean.exponent_error < 0.7
    again = largest_eigenvalues("relu", normalisation="none", n_samples=20, **{**law, "widths": [100, 200]})
    assert (again.largest_eigenvalue.values == found["none"].largest_eigenvalue.values[1:]).all()
    seen = []
    largest_eigenvalues("relu", n_samples=2, progress=lambda *pair: seen.append(pair), **{**law, "n_draws": 2})
    assert seen[-1] == (6, 6)
    # The straight line through exact powers.
    power = importlib.import_module("deepglass.fisher.normalisation")._power
    x, noise = np.array([1.0, 2.0, 4.0, 8.0]), np.exp(normal(4, 4, 400) * np.array([[0.1], [0.2], [0.1], [0.3]]))
    exponent, error = power(x, x[:, np.newaxis] ** 0.7 * noise)
    assert abs(exponent - 0.7) < 4 * error < 0.1
    assert math.isclose(power(x, 3 * x[:, np.newaxis] ** 0.7 * noise)[0], exponent)


def test_conditional_fisher_of_a_wide_orthogonal_network():
    m, depth, q = 300, 6, 0.01 + 1.05 * 0.235338243959466  # where all layers are alike
    spectrum = dg.spectra.conditional_fisher_spectrum("hard_tanh", 1.05, 0.01, depth)
    moments = []
    for i in range(12):
        rng = np.random.default_rng(i)
        network = Network(
            depth=depth,
            width=m,
            n_inputs=m,
            n_outputs=m,
            activation="hard_tanh",
            weight_variance=1.05,
            bias_variance=0.01,
            weights="orthogonal",
            parametrisation="standard",
            train_biases=False,
            seed=rng,
        )
        x = rng.normal(size=(1, m))
        x *= math.sqrt(m * (q - 0.01) / 1.05) / np.linalg.norm(x)
        values = np.linalg.eigvalsh(network.conditional_fisher(x)[0] / m)
        moments.append([values.mean(), values.var()])
    error = np.std(moments, axis=0, ddof=1) / math.sqrt(12)
    expected = np.array([1.40843518662093, 0.154478323157710])
    np.testing.assert_allclose([spectrum.mean, spectrum.variance], expected, rtol=1e-9)
    assert (np.abs(np.mean(moments, axis=0) - expected) < 4 * error).all()
    assert (error < [0.03, 0.02]).all()


# ---- Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 0}, "depth must be an integer from 1"),
        ({"width": 0}, "width must be"),
        ({"n_outputs": 0}, "n_outputs must be"),
        ({"weight_variance": 0.0}, "weight_variance must be a finite number > 0, got 0.0"),
        ({"bias_variance": -1.0}, "bias_variance must be"),
        ({"activation": "step"}, "activation must be one of"),
        ({"parametrisation": "mup"}, "parametrisation must be one of 'ntk', 'standard'"),
        ({"weights": "uniform"}, "weights must be one of"),
        ({"train_biases": 1}, "train_biases must be True or False, got 1"),
    ],
)
def test_bad_networks(change, message):
    with pytest.raises(ValueError, match=message):
        Network(**{"activation": "tanh", **SMALL, **change})


def test_bad_arguments():
    network = Network(activation="tanh", **SMALL)
    with pytest.raises(ValueError, match=r"X must be an array of numbers of shape \(n, 4\)"):
        network(normal(1, 3, 5))
    with pytest.raises(ValueError, match="X must be finite, got nan in row 1, column 2"):
        network.jacobian([[0.0] * 4, [0.0, 1.0, math.nan, 0.0]])
    with pytest.raises(ValueError, match="max_memory must be at least"):
        network.jacobian(normal(1, 3, 4), max_memory=1000)
    with pytest.raises(ValueError, match="max_memory must be at least"):
        network.fisher(normal(1, 3, 4), form="full", max_memory=1000)
    with pytest.raises(ValueError, match="likelihood must be one of"):
        network.fisher(normal(1, 3, 4), likelihood="poisson")
    with pytest.raises(ValueError, match=r"parameters must be finite, of shape \(86,\)"):
        network.with_parameters(np.zeros(3))
    law = {"weight_variance": 2.0, "bias_variance": 0.1, "depth": 3, "width": 10}
    with pytest.raises(ValueError, match="n_samples must be"):
        statistics("tanh", n_samples=0, **law)
    with pytest.raises(ValueError, match="depth must be an integer from 2"):
        statistics("tanh", n_samples=1, **{**law, "depth": 1})
    with pytest.raises(ValueError, match="n_outputs must be at least 2 with probabilities"):
        statistics("tanh", n_samples=1, probabilities=[[1.0]], **law)
    with pytest.raises(ValueError, match=r"probabilities must be >= 0 with rows that add up to 1"):
        statistics("tanh", n_samples=1, n_outputs=2, probabilities=[[0.6, 0.6]], **law)
    with pytest.raises(ValueError, match=r"probabilities must have shape \(2, 2\)"):
        statistics("tanh", n_samples=2, n_outputs=2, probabilities=[[0.5, 0.5]], **law)
    with pytest.raises(ValueError, match="loss must be one of 'half_mse', 'mse'"):
        dg.fisher.max_learning_rate("tanh", loss="squared", n_samples=1, **law)


def test_bad_normalisations():
    network, x = Network(activation="tanh", **SMALL), normal(1, 5, 4)
    with pytest.raises(ValueError, match="normalisation must be one of"):
        normalised_fisher(network, x, normalisation="group")
    with pytest.raises(ValueError, match="normalisation must not be 'batch' over a single sample"):
        normalised_fisher(network, x[:1], normalisation="batch")
    with pytest.raises(ValueError, match="X must not have signals without variance, layer 1 has"):
        normalised_fisher(network, np.zeros((2, 4)), normalisation="batch")
    law = {"weight_variance": 2.0, "bias_variance": 0.1, "depth": 3}
    with pytest.raises(ValueError, match=r"widths must increase, two or more of them, got \[4, 4\]"):
        largest_eigenvalues("relu", widths=[4, 4], n_samples=3, **law)
    with pytest.raises(ValueError, match=r"n_samples must be an integer >= 2, got 1\.0"):
        largest_eigenvalues("relu", widths=[4, 8], n_samples=1, **law)
