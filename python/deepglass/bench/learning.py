"""Networks trained in a second, on one core and on all: batched, and plain PyTorch one after the other.

A cross-validation of the protocol: 10 folds of 1000 samples with 100 inputs, 1-local label, 8 rates, width 100, trained
to no error.  On one core time of the process, so that other work on the machine does not count.  Needs the extra
``learning``.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import Bench, Row

WANTED = 3.0
N, FOLDS, WIDTH = 1000, 10, 100
RATES = np.geomspace(0.02, 0.8, 8)
ROUNDS = 3


def rows(bench: Bench) -> Iterator[Row]:
    """Of a network; trajectories are compared before."""
    from ..learning import train, train_one_by_one

    rng = np.random.default_rng(1)
    n = 50 if bench.quick else N
    x = rng.normal(size=(n, 100))
    labels = x[:, 0] > 0
    folds = np.array_split(rng.permutation(n), FOLDS)
    samples = [np.setdiff1d(np.arange(n), fold) for fold in folds] * len(RATES)
    common: dict[str, Any] = {"inputs": x, "labels": labels, "width": WIDTH}
    for hidden_layers in bench.some((1, 2, 3)):
        few: dict[str, Any] = {
            "seeds": list(range(8)), "learning_rate": RATES, "samples": samples[:8], "hidden_layers": hidden_layers,
            "max_epochs": 3, "dtype": "float64",
        }  # fmt: skip
        one, other = (trainer(**common, **few, threads=1) for trainer in (train, train_one_by_one))
        difference = max(float(np.abs(a - b).max()) for a, b in zip(one.weights, other.weights, strict=True))
        assert difference < 1e-10
        every: dict[str, Any] = {
            "seeds": list(range(len(samples))), "learning_rate": np.repeat(RATES, FOLDS), "samples": samples,
            "hidden_layers": hidden_layers,
        }  # fmt: skip
        for threads, clock in ((1, time.process_time), (os.cpu_count() or 1, time.perf_counter)):
            every["threads"] = threads
            trainers = {"batched": train, "one by one": train_one_by_one}
            calls = {name: functools.partial(trainer, **common, **every) for name, trainer in trainers.items()}
            seconds, plain = (t / len(samples) for t in bench.alternate(calls, ROUNDS, clock=clock).values())
            yield Row(
                f"cross-validation of {len(samples)} networks, {hidden_layers} hidden, threads={threads}",
                seconds,
                others={"one by one": plain},
                more={
                    f"{WANTED:.0f} times PyTorch one by one": "met" if plain / seconds >= WANTED else "missed",
                    "difference after 3 epochs, float64": difference,
                },
            )
