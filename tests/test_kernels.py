"""Kernels of infinitely wide networks: twin, closed forms in high precision, quadrature, blocks, errors."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import erf

import deepglass as dg
from deepglass.kernels import nngp, nngp_and_ntk, ntk, smallest_eigenvalue
from deepglass.reference import kernels as reference
from deepglass.reference.meanfield import ACTIVATIONS, Phi, leaky_relu

Array = NDArray[np.float64]

X = np.array([[1, 0.2, -0.5, 0.3], [0.4, -1, 0.1, 0.8], [-0.3, 0.6, 0.9, -1.2]])
NETWORK = {"hidden_layers": 3, "weight_variance": 2.0, "bias_variance": 0.1}
CLOSED, SERIES = 1e-13, 1e-12  # of sqrt(K_ii K_jj): some rounding errors a layer; and those of the coefficients


def assert_close(got: Array, exact: Array, tolerance: float) -> None:
    assert np.abs(got - exact).max() <= tolerance * np.abs(exact).max()


def random_inputs(seed: int, n: int, d: int, spread: float = 0.0) -> Array:
    rng = np.random.default_rng(seed)
    x: Array = rng.normal(size=(n, d)) * np.exp(spread * rng.normal(size=(n, 1)))
    return x


# ---- Kernel = reference


@pytest.mark.parametrize("activation", ["relu", "erf", "linear"])
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 70),
    m=st.integers(1, 70),
    d=st.integers(1, 9),
    layers=st.integers(0, 6),
    sw2=st.just(0.0) | st.floats(1e-30, 4.0),
    sb2=st.just(0.0) | st.floats(1e-30, 2.0),
)
def test_closed_forms(activation: str, seed: int, n: int, m: int, d: int, layers: int, sw2: float, sb2: float) -> None:
    x1, x2 = random_inputs(seed, n, d, 0.5), random_inputs(seed + 1, m, d, 0.5)
    k, theta = nngp_and_ntk(x1, x2, activation=activation, hidden_layers=layers, weight_variance=sw2, bias_variance=sb2)
    with np.errstate(invalid="ignore"):
        k_slow, theta_slow = reference.nngp_and_ntk(activation, x1, x2, layers, sw2, sb2)
    if sw2 == 0 and sb2 == 0:
        assert not k.any() and not theta.any()
        return
    # The twin takes relu's angle from a rounded cosine, whose error 1e-16 it divides by the angle.
    loss = CLOSED
    if activation == "relu":
        sd1 = np.sqrt(np.diag(reference.nngp_and_ntk("relu", x1, x1, layers, sw2, sb2)[0]))
        sd2 = np.sqrt(np.diag(reference.nngp_and_ntk("relu", x2, x2, layers, sw2, sb2)[0]))
        cosine = np.abs(k / np.outer(sd1, sd2)).max()
        loss += 1e-15 * (layers + 1) / math.sqrt(max(2 - 2 * cosine, 1e-15))
    assert_close(k, k_slow, loss)
    assert_close(theta, theta_slow, loss)


SMOOTH = ["tanh", "sin", "cos", "sigmoid", "softplus", "gelu", "swish"]


@pytest.mark.parametrize("activation", ["tanh", "cos", "hard_tanh", "selu"])
def test_quadrature(activation: str) -> None:
    x = random_inputs(3, 2, 3, 0.3)
    k, theta = nngp_and_ntk(x[:1], x, activation=activation, hidden_layers=2, weight_variance=1.5, bias_variance=0.1)
    k_slow, theta_slow = reference.nngp_and_ntk(activation, x[:1], x, 2, 1.5, 0.1)
    assert_close(k, k_slow, SERIES)
    assert_close(theta, theta_slow, SERIES)


def assert_equal_to_mean_field(
    activation: str, seed: int, n: int, layers: int, sw2: float, sb2: float, spread: float
) -> None:
    """Hold the kernels to the two-point averages of mean field, pair by pair, whose series are not interpolated."""
    x = random_inputs(seed, n, 6, spread)
    k, theta = nngp_and_ntk(x, activation=activation, hidden_layers=layers, weight_variance=sw2, bias_variance=sb2)
    k_slow = sw2 * x @ x.T / 6 + sb2
    theta_slow = k_slow
    for _ in range(layers):
        q = np.diag(k_slow)
        c = np.clip(k_slow / np.sqrt(np.outer(q, q)), -1, 1)
        np.fill_diagonal(c, 1.0)
        value, slope = dg.meanfield.covariance(activation, q[:, np.newaxis], q, c)
        k_slow = sw2 * value + sb2
        theta_slow = k_slow + sw2 * slope * theta_slow
    for got, slow in ((k, k_slow), (theta, theta_slow)):
        size = np.sqrt(np.diag(got))
        assert np.abs((got - slow) / np.outer(size, size)).max() < 2e-14  # the angle of relu, 0.05, from its cosine


BUILT_IN = [*SMOOTH, "relu", "erf", "hard_tanh", "elu", "selu", "softsign", "leaky_relu"]


@pytest.mark.parametrize("activation", BUILT_IN)
def test_layer_by_layer(activation: str) -> None:
    assert_equal_to_mean_field(activation, 31, 12, 2, 2.0, 0.0, 0.4)


@pytest.mark.slow
@pytest.mark.parametrize("activation", BUILT_IN)
def test_layer_by_layer_far_and_near(activation: str) -> None:
    assert_equal_to_mean_field(activation, 32, 24, 3, 12.0, 0.0, 1.0)
    assert_equal_to_mean_field(activation, 33, 24, 6, 0.5, 1.0, 0.5)  # correlations up to 0.9999


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "erf", "tanh"])
def test_transformed_activations(name: str) -> None:
    base = leaky_relu(0.3) if name == "leaky_relu" else ACTIVATIONS[name]
    phi = dg.meanfield.activation(name, alpha=0.3 if name == "leaky_relu" else None)
    for out, inside, shift in [(1.5, 0.7, 0.0), (1.0, -1.3, -0.4), (-0.8, 1.0, 0.6)]:
        twin = Phi(
            lambda u, o=out, i=inside, s=shift: o * base.value(i * u) + s,  # type: ignore[misc]
            lambda u, o=out, i=inside: o * i * base.slope(i * u),  # type: ignore[misc]
            tuple(kink / inside for kink in base.kinks),
        )
        x = random_inputs(5, 2, 4)
        made = phi.rescaled(out_scale=out, in_scale=inside, out_shift=shift)
        k, theta = nngp_and_ntk(x[:1], x, activation=made, hidden_layers=1, weight_variance=1.4, bias_variance=0.2)
        k_slow, theta_slow = reference.nngp_and_ntk(twin, x[:1], x, 1, 1.4, 0.2)
        assert_close(k, k_slow, SERIES)
        assert_close(theta, theta_slow, SERIES)


# ---- Exact cases


# Made with the formulas of the reference; NTK (1,1), (1,2), (1,3), NNGP (1,2).
TABLE = {
    "relu": (3.76, 1.81023499100613, 1.31511342256040, 0.899874665616138),
    "erf": (4.72842382890227, 1.32420154434921, -0.410147519234297, 0.457667752372395),
    "tanh": (3.25271191287445, 1.11982948345438, -0.251191290071891, 0.407211963050377),
    "hard_tanh": (6.53700098615683, 1.44550793672480, -0.514993562010884, 0.486255115568889),
}


@pytest.mark.parametrize("activation", list(TABLE))
def test_table(activation: str) -> None:
    k, theta = nngp_and_ntk(X, activation=activation, **NETWORK)
    got = np.array([*theta[0], k[0, 1]])
    np.testing.assert_allclose(got, TABLE[activation], rtol=2e-14, atol=5e-15)  # 15 digits printed


@pytest.mark.parametrize(
    ("d", "layers", "itself", "other"), [(12, 2, 3.144660772, 0.663824366), (10, 1, 2.000572253, 0.384957261)]
)
def test_fixtures(d: int, layers: int, itself: float, other: float) -> None:
    x = np.array([np.sin(np.arange(1, d + 1)), np.cos(np.arange(1, d + 1))])
    theta = ntk(x, activation="relu", hidden_layers=layers, weight_variance=2.0, bias_variance=0.0)
    np.testing.assert_allclose(theta[0], [itself, other], atol=6e-10)  # printed digits


def exact_relu(x: Array, y: Array, layers: int, sw2: float, sb2: float) -> tuple[float, float]:
    """K and Theta of relu with 60 digits."""
    with mp.workdps(60):
        a, b = ([mp.mpf(float(v)) for v in row] for row in (x, y))
        d = len(a)

        def dot(u: list[Any], v: list[Any]) -> Any:
            return sw2 * mp.fsum(i * j for i, j in zip(u, v, strict=True)) / d + mp.mpf(sb2)

        k11, k22, k12 = dot(a, a), dot(b, b), dot(a, b)
        theta = k12
        for _ in range(layers):
            norm = mp.sqrt(k11 * k22)
            c = k12 / norm
            angle = mp.acos(c) if abs(c) < 1 else mp.acos(mp.sign(c))
            value = norm * (mp.sin(angle) + (mp.pi - angle) * c) / (2 * mp.pi)
            k11, k22, k12 = sw2 * k11 / 2 + mp.mpf(sb2), sw2 * k22 / 2 + mp.mpf(sb2), sw2 * value + mp.mpf(sb2)
            theta = k12 + sw2 * (mp.pi - angle) / (2 * mp.pi) * theta
        return float(k12), float(theta)


@pytest.mark.parametrize("sb2", [0.0, 0.3])
@pytest.mark.parametrize("sign", [1, -1])
def test_near_duplicates(sb2: float, sign: int) -> None:
    x = random_inputs(7, 1, 30)[0]
    step = random_inputs(8, 1, 30)[0]
    others = np.array([sign * scale * (x + e * step) for scale in (1, 2.5) for e in (1e-13, 1e-9, 1e-5, 1e-3, 0.05)])
    for layers in (1, 3, 30):
        k, theta = nngp_and_ntk(
            x[np.newaxis], others, activation="relu", hidden_layers=layers, weight_variance=2.0, bias_variance=sb2
        )
        exact = np.array([exact_relu(x, y, layers, 2.0, sb2) for y in others])
        size = [math.sqrt(np.prod([exact_relu(v, v, layers, 2.0, sb2) for v in (x, y)], axis=0)[1]) for y in others]
        assert (np.abs(k[0] - exact[:, 0]) <= CLOSED * np.array(size)).all()
        assert (np.abs(theta[0] - exact[:, 1]) <= CLOSED * np.array(size)).all()


@pytest.mark.parametrize("activation", ["relu", "erf", "tanh", "hard_tanh"])
def test_duplicates(activation: str) -> None:
    """Equal rows off the diagonal, or in two sets, have the kernel of the diagonal, which is one-dimensional."""
    x = random_inputs(9, 3, 5)
    twice = np.concatenate([x, x])
    k, theta = nngp_and_ntk(twice, activation=activation, **NETWORK)
    k_cross, theta_cross = nngp_and_ntk(x, x, activation=activation, **NETWORK)
    for whole, cross in ((k, k_cross), (theta, theta_cross)):
        np.testing.assert_allclose(np.diag(whole, 3), np.diag(whole)[:3], rtol=1e-14)
        np.testing.assert_allclose(np.diag(cross), np.diag(whole)[:3], rtol=1e-14)


def test_erf_by_series() -> None:
    callable_erf = dg.meanfield.activation(erf, derivative=lambda u: 2 / np.sqrt(np.pi) * np.exp(-u * u))
    x = random_inputs(11, 40, 6, 0.4)
    for by_series, closed in zip(
        nngp_and_ntk(x, activation=callable_erf, **NETWORK),
        nngp_and_ntk(x, activation="erf", **NETWORK),
        strict=True,
    ):
        assert_close(by_series, closed, SERIES)


@pytest.mark.parametrize("activation", ["tanh", "hard_tanh"])
def test_near_correlation_one(activation: str) -> None:
    """Many inputs, norms over two decades: interpolated coefficients against quadrature for some pairs."""
    x = random_inputs(12, 100, 3, 0.8)
    x[1] = x[0] + 1e-4  # the twin's error is 1e-16 over this, for functions with kinks
    x[3] = -x[2] + 1e-3
    k, theta = nngp_and_ntk(x, activation=activation, hidden_layers=1, weight_variance=1.2, bias_variance=0.05)
    for i, j in [(0, 1), (2, 3), (99, 50)]:
        k_slow, theta_slow = reference.nngp_and_ntk(activation, x[[i]], x[[j]], 1, 1.2, 0.05)
        assert abs(k[i, j] - k_slow[0, 0]) <= SERIES * math.sqrt(k[i, i] * k[j, j])
        assert abs(theta[i, j] - theta_slow[0, 0]) <= SERIES * math.sqrt(theta[i, i] * theta[j, j])


def test_linear_network() -> None:
    """Theta = (layers + 1) sw2^{layers + 1} x.x' / d without bias."""
    theta = ntk(X, activation="linear", hidden_layers=4, weight_variance=1.3, bias_variance=0.0)
    assert_close(theta, 5 * 1.3**5 * X @ X.T / 4, CLOSED)


def test_zero_row() -> None:
    x = np.concatenate([X, np.zeros((1, 4))])
    for activation in ("relu", "erf", "tanh", "hard_tanh"):
        k, theta = nngp_and_ntk(x, activation=activation, hidden_layers=3, weight_variance=2.0, bias_variance=0.0)
        assert not k[3].any() and not theta[3].any() and np.isfinite(theta).all()
        biased = ntk(x, activation=activation, hidden_layers=1, weight_variance=2.0, bias_variance=0.1)
        slow = reference.nngp_and_ntk(activation, x[3:], x[:1], 1, 2.0, 0.1)[1]
        assert_close(biased[3:, :1], slow, SERIES)
    cosine = nngp(x, activation="cos", hidden_layers=1, weight_variance=2.0, bias_variance=0.0)
    q = 2.0 * (X**2).sum(1) / 4
    np.testing.assert_allclose(cosine[3], 2.0 * np.exp(-np.array([*q, 0.0]) / 2), rtol=SERIES)  # E cos(u)


def test_mean_field() -> None:
    """The diagonal is the variance that signal propagation gives, and far in the correlation its fixed point."""
    x = random_inputs(13, 2, 20)
    k = nngp(x, activation="tanh", hidden_layers=120, weight_variance=2.5, bias_variance=0.1)
    fixed = dg.meanfield.fixed_point("tanh", weight_variance=2.5, bias_variance=0.1)
    np.testing.assert_allclose(np.diag(k), float(fixed.q), rtol=1e-12)
    np.testing.assert_allclose(k[0, 1] / k[0, 0], float(fixed.c), rtol=1e-3)  # exp(-120 / 13.5) = 1.4e-4


# ---- Invariants


@settings(max_examples=15)
@given(
    activation=st.sampled_from(["relu", "erf", "tanh", "gelu", "leaky_relu"]),
    seed=st.integers(0, 2**32),
    n=st.integers(1, 80),
    layers=st.integers(0, 4),
    sw2=st.floats(0.1, 3.0),
    sb2=st.floats(0.0, 1.0),
)
def test_symmetric_and_positive(activation: str, seed: int, n: int, layers: int, sw2: float, sb2: float) -> None:
    x = random_inputs(seed, n, 5, 0.3)
    for matrix in nngp_and_ntk(x, activation=activation, hidden_layers=layers, weight_variance=sw2, bias_variance=sb2):
        np.testing.assert_array_equal(matrix, matrix.T)
        levels = np.linalg.eigvalsh(matrix)
        assert levels[0] >= -1e-13 * levels[-1]


@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
def test_rotations(activation: str) -> None:
    x = random_inputs(14, 30, 6)
    turned = x @ np.linalg.qr(random_inputs(15, 6, 6))[0]
    assert_close(ntk(turned, activation=activation, **NETWORK), ntk(x, activation=activation, **NETWORK), SERIES)


# ---- Threads, blocks, precision


@pytest.mark.parametrize("activation", ["relu", "erf", "tanh", "hard_tanh"])
def test_same_bits(activation: str) -> None:
    """For any number of threads, and in blocks of any size."""
    n = 70 if activation == "hard_tanh" else 300
    x1 = random_inputs(16, n, 40)
    x2 = random_inputs(17, 150, 40)
    for other in (None, x2):
        one = nngp_and_ntk(x1, other, activation=activation, **NETWORK, threads=1)
        many = nngp_and_ntk(x1, other, activation=activation, **NETWORK, threads=3)
        written = tuple(np.full(one[0].shape, np.nan) for _ in range(2))
        nngp_and_ntk(x1, other, activation=activation, **NETWORK, out=written, max_memory=3.2e6, threads=2)
        covariance_only = nngp(x1, other, activation=activation, **NETWORK)
        for a, b, c in zip(one, many, written, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(one[0], covariance_only)


def test_out(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    x = random_inputs(18, 200, 10).astype(np.float32)
    whole = ntk(x, activation="relu", **NETWORK)
    calls: list[tuple[int, int]] = []
    with h5py.File(tmp_path / "kernel.h5", "w") as file:
        dataset = file.create_dataset("ntk", (200, 200), np.float32, chunks=(64, 64))
        result = ntk(
            x,
            activation="relu",
            **NETWORK,
            out=dataset,
            dtype=np.float32,
            max_memory=1e6 + 800_000 * max(1, os.cpu_count() or 1),
            progress=lambda done, total: calls.append((done, total)),
            threads=1,
        )
        assert result is dataset
        np.testing.assert_array_equal(dataset[:], whole.astype(np.float32))
    assert calls[-1][0] == calls[-1][1] == len(calls)
    single = ntk(x, activation="relu", **NETWORK, dtype="float32", progress=lambda done, total: None)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, whole.astype(np.float32))


def test_many_blocks() -> None:
    """More than one block, of a symmetric kernel and of another."""
    x = random_inputs(19, 2200, 3)
    calls: list[int] = []
    whole = ntk(x, activation="relu", **NETWORK)
    blocks = ntk(x, activation="relu", **NETWORK, progress=lambda done, total: calls.append(total))
    assert calls == [3, 3, 3]
    np.testing.assert_array_equal(whole, blocks)
    cross = ntk(x, x[:10], activation="relu", **NETWORK, progress=lambda done, total: None)
    np.testing.assert_array_equal(cross, ntk(x, x[:10], activation="relu", **NETWORK))


def kernel_digits() -> str:
    import deepglass

    x = [[1.0, 0.2, -0.5, 0.3], [0.4, -1.0, 0.1, 0.8]]
    values = [
        deepglass.kernels.ntk(x, activation=phi, hidden_layers=3, weight_variance=2.0, bias_variance=0.1)[0, 1]
        for phi in ("relu", "erf", "tanh")
    ]
    return " ".join(repr(float(v)) for v in values)


@pytest.mark.no_sanitizer
def test_levels(at_level: Callable[[Callable[[], str]], str]) -> None:
    got = [float(text) for text in at_level(kernel_digits).split()]
    np.testing.assert_allclose(got, [TABLE[phi][1] for phi in ("relu", "erf", "tanh")], rtol=2e-14)


# ---- Smallest eigenvalue


def test_smallest_eigenvalue() -> None:
    x = random_inputs(20, 30, 10)
    network: dict[str, Any] = {"activation": "relu", "weight_variance": 2.0, "bias_variance": 0.0}
    against_depth = smallest_eigenvalue(x, hidden_layers=[1, 3], **network)
    for layers, found in zip((1, 3), against_depth, strict=True):
        exact = np.linalg.eigvalsh(ntk(x, hidden_layers=layers, **network))[0]
        np.testing.assert_allclose(found, exact, rtol=1e-11)
    assert isinstance(smallest_eigenvalue(x, hidden_layers=2, kernel="nngp", **network), float)
    # Even and linear functions only: more inputs than they have dimensions leave the covariance kernel singular.
    many = np.sign(random_inputs(21, 200, 3))
    assert abs(smallest_eigenvalue(many, hidden_layers=1, **network)) < 1e-12


# ---- Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X1": [1.0, 2.0]}, r"X1 must be an array of numbers of shape \(n, d\), got float64 of shape \(2,\)"),
        ({"X1": np.zeros((0, 3))}, r"X1 must be an array"),
        ({"X1": [["a"]]}, r"X1 must be an array of numbers"),
        ({"X1": [[1.0], [2.0, 3.0]]}, r"X1 must be an array of numbers"),
        ({"X1": [[1.0, np.nan]]}, r"X1 must be finite, got nan in row 0, column 1"),
        ({"X2": [[1.0, np.inf, 0.0, 0.0]]}, r"X2 must be finite, got inf in row 0, column 1"),
        ({"X2": [[1.0, 2.0]]}, r"X2 must be an array of numbers of shape \(n, 4\), got float64 of shape \(1, 2\)"),
        ({"hidden_layers": -1}, r"hidden_layers must be an integer from 0"),
        ({"weight_variance": -1.0}, r"weight_variance must be a finite number >= 0, got -1.0"),
        ({"bias_variance": np.inf}, r"bias_variance must be a finite number >= 0, got inf"),
        ({"activation": "step"}, r"activation must be one of"),
        ({"dtype": "int64"}, r"dtype must be one of 'float64', 'float32'"),
        ({"dtype": "double-double"}, r"dtype must be one of 'float64', 'float32', got 'double-double'"),
        ({"threads": -1}, r"threads must be an integer from 0"),
        ({"max_memory": 100.0}, r"max_memory must be at least .* MiB for kernels of shape \(3, 3\)"),
        ({"max_memory": 0.0}, r"max_memory must be a number of bytes > 0"),
        ({"max_memory": 100.0, "out": np.zeros((3, 3))}, r"max_memory must be at least"),
        ({"out": np.zeros((3, 4))}, r"out must have shape \(3, 3\), got \(3, 4\)"),
        ({"out": np.zeros((3, 3), int)}, r"out must hold floating-point numbers, got int64"),
        ({"out": 3}, r"out must have shape \(3, 3\), got int"),
        ({"X1": [[1e200, 1.0]]}, r"kernel of row 0 exceeds the largest number by hidden layer 0"),
        ({"weight_variance": 1e100, "hidden_layers": 5}, r"kernel of row 0 exceeds the largest number"),
    ],
)
def test_errors(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"X1": X, "X2": None, "activation": "relu", **NETWORK} | changes
    with pytest.raises(ValueError, match=message):
        ntk(arguments.pop("X1"), arguments.pop("X2"), **arguments)


def test_other_errors() -> None:
    with pytest.raises(ValueError, match="out must be a pair"):
        nngp_and_ntk(X, activation="relu", **NETWORK, out=np.zeros((3, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kernel must be one of"):
        smallest_eigenvalue(X, activation="relu", **NETWORK, kernel="ck")
    with pytest.raises(ValueError, match="hidden_layers must be an integer or a sequence"):
        smallest_eigenvalue(X, activation="relu", hidden_layers=[], weight_variance=1.0, bias_variance=0.0)
    core = dg._core.InfiniteKernel(dg.meanfield.activation("relu")._core, 1, 1.0, 0.0, X)
    for rows, columns in itertools.permutations([(0, 3), (0, 4)]):
        with pytest.raises(ValueError, match=r"must be a range within 0\.\.3"):
            core.compute(rows, columns, np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"covariance must have shape \(3, 3\), got \(2, 3\)"):
        core.compute((0, 3), (0, 3), np.zeros((2, 3)))


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("activation", ["relu", "softsign"])
def test_ctrl_c(activation: str, ctrl_c_latency: Callable[..., float]) -> None:
    # Some 0.1 s a layer; close together, each pair a quadrature of a millisecond.
    x, layers = (random_inputs(22, 3000, 4), 100) if activation == "relu" else (1 + 0.1 * random_inputs(22, 300, 9), 3)
    assert (
        ctrl_c_latency(
            lambda: ntk(x, activation=activation, hidden_layers=layers, weight_variance=2.0, bias_variance=0.0)
        )
        < 0.1
    )
