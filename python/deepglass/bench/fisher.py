"""Times of the empirical tangent kernel: layer by layer, and from the gradients of all samples; growth with width."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..fisher import Network
from . import Bench, Row

DEPTH, N_INPUTS, N_SAMPLES, N_OUTPUTS = 4, 50, 100, 2


def rows(bench: Bench) -> Iterator[Row]:
    """Of the tangent kernel of all samples."""
    x = np.random.default_rng(1).normal(size=(N_SAMPLES, N_INPUTS))
    for width in bench.some((50, 100, 200, 400)):
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

        def layers(network: Network = network) -> np.ndarray:
            return network.ntk(x)

        def from_gradients(network: Network = network) -> np.ndarray:
            flat = network.jacobian(x).reshape(N_SAMPLES * N_OUTPUTS, -1)
            return np.asarray(flat @ flat.T)

        expected = from_gradients()
        difference = np.abs(layers() - expected).max() / np.abs(expected).max()
        assert difference < 1e-12, (width, difference)
        yield Row(
            f"{N_SAMPLES} samples, depth {DEPTH}, tanh, width {width}",
            bench.best(layers, 3),
            others={"gradients": bench.best(from_gradients, 3)},
            more={"difference": difference},
        )
