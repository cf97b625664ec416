"""Times of the empirical tangent kernel: layer by layer, and from the gradients of all samples; growth with width."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from deepglass.fisher import Network

DEPTH, N_INPUTS, N_SAMPLES, N_OUTPUTS = 4, 50, 100, 2


def seconds(call: Callable[[], object], repeats: int = 3) -> float:
    best = np.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def main() -> None:
    """Print the table."""
    x = np.random.default_rng(1).normal(size=(N_SAMPLES, N_INPUTS))
    print(f"Tangent kernel of {N_SAMPLES} samples, {N_OUTPUTS} outputs, depth {DEPTH}, tanh; ms, least of some repeats")
    print(f"{'width':>8}{'layers':>10}{'gradients':>12}{'ratio':>8}{'difference':>13}")
    for width in (50, 100, 200, 400):
        network = Network(
            depth=DEPTH,
            width=width,
            n_inputs=N_INPUTS,
            n_outputs=N_OUTPUTS,
            activation="tanh",
            weight_variance=1.5,
            bias_variance=0.1,
            seed=1,
        )

        def from_gradients(network: Network = network) -> object:
            flat = network.jacobian(x).reshape(N_SAMPLES * N_OUTPUTS, -1)
            return flat @ flat.T

        kernel, expected = network.ntk(x), np.asarray(from_gradients())
        difference = np.abs(kernel - expected).max() / np.abs(expected).max()
        if not difference < 1e-12:
            raise AssertionError(f"width {width}: {difference}")
        layers, gradients = seconds(lambda: network.ntk(x)), seconds(from_gradients)  # noqa: B023
        print(f"{width:8}{layers * 1e3:10.2f}{gradients * 1e3:12.1f}{gradients / layers:8.0f}{difference:13.1e}")


if __name__ == "__main__":
    main()
