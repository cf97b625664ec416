"""Networks trained in a second of one core: batched, and plain PyTorch one after the other.

A cross-validation of the protocol: 10 folds of 1000 samples with 100 inputs, 1-local label, 8 rates, width 100, trained
to no error.  Time of the process, so that other work on the machine does not count.  Needs the extra ``learning``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from typing import Any

import numpy as np

from deepglass.learning import Trained, train, train_one_by_one

WANTED = 3.0
N, FOLDS, WIDTH = 1000, 10, 100
RATES = np.geomspace(0.02, 0.8, 8)
ROUNDS = 2


def timed(trainer: Any, **options: Any) -> tuple[float, Trained]:
    best, found = np.inf, None
    for _ in range(ROUNDS):
        begin = time.process_time()
        found = trainer(threads=1, **options)
        best = min(best, time.process_time() - begin)
    assert found is not None
    return best, found


def main() -> None:
    """Print a row for each depth; trajectories are compared before a time is printed."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 100))
    labels = x[:, 0] > 0
    folds = np.array_split(rng.permutation(N), FOLDS)
    samples = [np.setdiff1d(np.arange(N), fold) for fold in folds] * len(RATES)
    common = {"inputs": x, "labels": labels, "width": WIDTH}
    print(f"{len(samples)} networks, {FOLDS} folds, {len(RATES)} rates; least of {ROUNDS} rounds")
    print("hidden layers   epochs   batched/s   one by one/s   ratio   wanted   difference after 3 epochs, float64")
    for hidden_layers in (1, 2, 3):
        few = {
            "seeds": list(range(8)), "learning_rate": RATES, "samples": samples[:8], "hidden_layers": hidden_layers,
            "max_epochs": 3, "dtype": "float64",
        }  # fmt: skip
        one, other = (trainer(threads=1, **common, **few) for trainer in (train, train_one_by_one))
        difference = max(float(np.abs(a - b).max()) for a, b in zip(one.weights, other.weights, strict=True))
        assert difference < 1e-10
        every = {
            "seeds": list(range(len(samples))), "learning_rate": np.repeat(RATES, FOLDS), "samples": samples,
            "hidden_layers": hidden_layers,
        }  # fmt: skip
        seconds, trained = timed(train, **common, **every)
        plain, _ = timed(train_one_by_one, **common, **every)
        n = len(samples)
        print(
            f"{hidden_layers:13} {trained.epochs.mean():8.1f} {n / seconds:11.1f} {n / plain:14.2f} "
            f"{plain / seconds:7.2f} {WANTED:8.1f} {difference:12.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
