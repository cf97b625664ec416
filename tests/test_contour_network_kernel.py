"""Compiled networks for complex phi^4: forces, weights' gradients, Jacobians and chains."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepglass import _core
from deepglass.contour import ComplexPhi4, LinearContour
from deepglass.contour.contours import kernel_transform
from deepglass.reference.contour import network_gradient, network_log_weight, phi4_density, phi4_map

Array = NDArray[np.float64]
MODEL = (1.1, 1.3, 0.9)


class Case:
    """Random weights, with or without a linear contour below; one alpha is 0."""

    def __init__(self, shape: tuple[int, int], hidden: int, tilted: bool, seed: int = 0, size: float = 0.5) -> None:
        rng = np.random.default_rng(seed)
        n = 2 * math.prod(shape)
        self.weights: dict[str, Array] = {
            "W1": rng.normal(size=(hidden, n), scale=n**-0.5),
            "b1": size * rng.normal(size=hidden),
            "W2": rng.normal(size=(n, hidden), scale=hidden**-0.5),
            "b2": size * rng.normal(size=n),
            "alpha": size * rng.normal(size=n),
            "beta": size * rng.normal(size=n),
        }
        self.weights["alpha"][0] = 0.0
        self.shape, self.kernel = shape, np.zeros(shape)
        self.inverse: Any = np.eye(n)
        if tilted:
            self.kernel = LinearContour(ComplexPhi4(shape, *MODEL)).kernel
            units = np.eye(n).reshape(n, 2, *shape)
            self.inverse = np.linalg.inv(phi4_map(units, self.kernel).reshape(n, n).T)
        self.tilted = tilted

    def compiled(self) -> Any:
        q = self.weights["W1"] @ self.inverse if self.tilted else None
        return _core.NetworkPhi4(kernel_transform(self.kernel), *MODEL, **self.weights, Q=q)

    def fields(self, n_chains: int, seed: int = 1) -> Array:
        return np.random.default_rng(seed).normal(size=(n_chains, 2, *self.shape))


# Fewer and more hidden units than variables; sizes that fill blocks and those that do not.
CASES = [
    Case(shape, hidden, tilted)
    for shape, hidden in (((1, 1), 1), ((1, 3), 4), ((1, 3), 9), ((2, 3), 12), ((3, 4), 7), ((4, 4), 32), ((4, 4), 37))
    for tilted in (False, True)
]


def name_of(case: Case) -> str:
    return f"{case.shape}-{len(case.weights['b1'])}-{'tilted' if case.tilted else 'plain'}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_log_weight_is_that_of_the_full_matrix(case: Case) -> None:
    t = case.fields(6)
    found = case.compiled().measure(t)
    for chain in range(6):
        expected = network_log_weight(t[chain], case.weights, case.kernel, *MODEL)
        difference = -found["action"][chain] - expected
        assert abs(difference.real) < 1e-12 * (1 + abs(expected))
        assert abs(np.exp(1j * difference.imag) - 1) < 1e-12 * (1 + abs(expected))  # angles modulo 2 pi


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_gradients_are_those_of_the_full_matrix(case: Case) -> None:
    t = case.fields(6)
    kernel = case.compiled()
    force, found = kernel.gradient(t), kernel.weight_gradient(t)
    if case.tilted:
        found["W1"] = found["W1"] + ((found.pop("Q_re") + 1j * found.pop("Q_im")) @ case.inverse.T).real
    twins = [network_gradient(one, case.weights, case.kernel, *MODEL) for one in t]
    for chain, twin in enumerate(twins):
        np.testing.assert_allclose(-force[chain], twin["t"], rtol=0, atol=1e-13 * abs(twin["t"]).max())
    assert set(found) == set(case.weights)
    for name in found:
        mean = np.mean([twin[name] for twin in twins], axis=0)
        np.testing.assert_allclose(found[name], mean, rtol=0, atol=1e-13 * abs(mean).max(), err_msg=name)


def test_twin_against_differences() -> None:
    # What kernel and twin might have in common: specification, section 10, item 1.
    rng = np.random.default_rng(5)
    for case in (Case((2, 3), 5, True), Case((1, 3), 9, False)):
        t = case.fields(1)[0]
        gradient = network_gradient(t, case.weights, case.kernel, *MODEL)
        for name, slope in gradient.items():
            way, h = rng.normal(size=slope.shape), 1e-5
            ends = []
            for sign in (1, -1):
                moved = {"t": t, **case.weights}
                moved[name] = moved[name] + sign * h * way
                ends.append(network_log_weight(moved.pop("t"), moved, case.kernel, *MODEL).real)
            assert (ends[0] - ends[1]) / (2 * h) == pytest.approx((slope * way).sum(), rel=1e-7, abs=1e-9), name


@pytest.mark.parametrize("seed", range(3))
def test_partition_function_of_one_site(seed: int) -> None:
    # The two-dimensional trapezoidal sum; ln Z from the specification, section 10 (m = lambda = mu = 1).
    case = Case((1, 1), 3, False, seed, size=0.3)
    t = np.arange(-6, 6.001, 0.05)
    grid = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2, 1, 1)
    kernel = _core.NetworkPhi4(np.zeros((1, 1)), 1.0, 1.0, 1.0, **case.weights)
    weight = np.exp(-kernel.measure(grid)["action"])
    assert 0.003 < abs(weight.sum()) / np.abs(weight).sum() < 0.999
    assert np.log(weight.sum() * 0.05**2) == pytest.approx(1.766388814945, abs=1e-12)


def test_rows_are_exchanged_where_pivots_are_small() -> None:
    # Slopes of 40 times a random matrix: the diagonal is as small or large as other entries.
    case = Case((2, 4), 8, False, seed=3)
    case.weights["alpha"] = 40.0 * np.ones(16)
    t = 0.1 * case.fields(4)
    found = case.compiled().measure(t)["action"]
    for chain in range(4):
        expected = network_log_weight(t[chain], case.weights, case.kernel, *MODEL)
        assert abs(np.exp(-found[chain] - expected) - 1) < 1e-14 * abs(expected)  # S is some 1e6


def chains(case: Case, **more: Any) -> dict[str, Array]:
    plan = {"n_chains": 9, "n_draws": 6, "n_thermal": 3, "every": 1, "n_steps": 5, "step": 0.15, "seed": 4}
    return dict(case.compiled().sample(**(plan | more)))


def test_chains_depend_on_neither_threads_nor_their_number() -> None:
    case = Case((2, 3), 5, True)
    one = chains(case, threads=1)
    for name, value in chains(case, threads=3).items():
        np.testing.assert_array_equal(value, one[name])
    for name, value in chains(case, n_chains=2).items():
        np.testing.assert_array_equal(value, one[name][:2])
    assert 0.5 * 9 * 6 < one["accepted"].sum() <= 9 * 6
    gradients = [case.compiled().weight_gradient(case.fields(70), threads=threads) for threads in (1, 3)]
    for name, value in gradients[0].items():
        np.testing.assert_array_equal(value, gradients[1][name])


def test_chains_go_on_where_they_were() -> None:
    case = Case((2, 3), 14, False)
    whole = chains(case, n_draws=10)
    first = chains(case, n_draws=4)
    rest = chains(case, n_thermal=0, field=first["field"], trajectory=3 + 4)
    for name in ("action_re", "action_im", "density_re"):
        np.testing.assert_array_equal(np.hstack([first[name], rest[name]]), whole[name])
    np.testing.assert_array_equal(rest["field"], whole["field"])
    np.testing.assert_array_equal(first["accepted"] + rest["accepted"], whole["accepted"])


def test_draws_are_of_the_fields() -> None:
    case = Case((3, 3), 6, True)
    last = chains(case)
    t = last["field"]
    log_weight = [network_log_weight(one, case.weights, case.kernel, *MODEL) for one in t]
    np.testing.assert_allclose(last["action_re"][:, -1], -np.real(log_weight), rtol=1e-12)
    a = np.tanh(t.reshape(9, -1) @ case.weights["W1"].T + case.weights["b1"])
    f = np.tanh(a @ case.weights["W2"].T + case.weights["b2"])
    y = (case.weights["alpha"] * f + case.weights["beta"]).reshape(t.shape)
    density = phi4_density(phi4_map(t, case.kernel) + 1j * y, MODEL[2])
    np.testing.assert_allclose(last["density_re"][:, -1], density.real, rtol=1e-12)


def refused(**changes: Any) -> Callable[[], object]:
    case = Case((1, 3), 4, False)
    arrays: dict[str, Any] = dict(case.weights) | changes
    return lambda: _core.NetworkPhi4(np.zeros((1, 3)), *MODEL, **arrays)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (refused(W1=np.zeros((4, 5))), "W1 has the wrong shape"),
        (refused(W2=np.zeros((4, 6))), "W2 has the wrong shape"),
        (refused(b1=np.zeros(0)), "b1 has the wrong shape"),
        (refused(b2=np.zeros(5)), "b2 has the wrong shape"),
        (refused(alpha=np.full(6, np.nan)), "alpha must be finite"),
        (refused(Q=np.zeros((4, 5), complex)), "Q has the wrong shape"),
        (lambda: CASES[2].compiled().gradient(np.zeros((1, 2, 3, 1))), "field must have"),
        (lambda: CASES[2].compiled().weight_gradient(np.zeros((0, 2, 1, 3))), "field must have at least one chain"),
        (lambda: chains(CASES[2], trajectory=3), "trajectory must be"),
        (lambda: chains(CASES[2], field=np.zeros((2, 2, 1, 3)), trajectory=3), "field must have n_chains"),
    ],
)
def test_kernel_refuses(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
