"""The test error of a network of given depth, by a protocol that leaves nothing to choose by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .._progress import Progress, reporting
from ..io import provenance
from ..random import SeedLike, child_seed, seed_entropy
from ._torch import require
from .data import DataLaw
from .training import Trainer, labelled, train

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["experiment"]

Array: TypeAlias = npt.NDArray[np.float64]
Draw: TypeAlias = Callable[[int, int], tuple[npt.ArrayLike, npt.ArrayLike]]
DataSet: TypeAlias = DataLaw | Draw | tuple[npt.ArrayLike, npt.ArrayLike]

_DATA, _FOLDS, _SEARCH, _RUNS, _REPEATS = range(5)  # children of the seed


def experiment(
    dataset: DataSet,
    hidden_layers: int,
    width: int,
    n_train: int,
    *,
    n_test: int = 20_000,
    learning_rate: float | Sequence[float] | None = None,
    rate_range: tuple[float, float] = (0.01, 2.0),
    n_rates: int = 8,
    n_rounds: int = 2,
    n_folds: int = 10,
    n_repeats: int = 10,
    batch: int = 50,
    extrapolation: float = 1.0,
    max_epochs: int = 1000,
    trainer: Trainer = train,
    seed: SeedLike = None,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Test error of a fully connected ReLU network at its best learning rate.

    Softmax and cross entropy, stochastic gradient descent without momentum until there is no error on the training
    samples; the learning rate with the least mean error on held-out folds; then training on all samples, repeated with
    fresh initial weights and minibatches.  Protocol of T. Mori, M. Ueda, arXiv:2005.12488.

    Parameters
    ----------
    dataset : DataLaw, callable(n, seed) or pair (inputs, labels)
        A law, or what draws n samples, inputs (n, n_inputs) and labels (n,); or arrays, from the rows of which training
        and test samples are drawn.
    hidden_layers, width : int
        Number of hidden layers (depth - 1), units of each.
    n_train : int
        Number of training samples.
    n_test : int
        Number of test samples; of arrays, at most the rows that are left.
    learning_rate : float or sequence of float, optional
        Taken as it is; or the candidates of the cross-validation.  Default: Optuna's candidates.
    rate_range : pair of float
        Bounds of Optuna's candidates, uniform in the logarithm.
    n_rates, n_rounds : int
        Candidates of a round, which are trained together, and rounds; the later ones know the results of the earlier.
    n_folds : int
        Parts of the training samples, each held out once.
    n_repeats : int
        Trainings with the learning rate chosen.
    batch, extrapolation, max_epochs :
        See `train`.
    trainer : callable
        `train`, `train_one_by_one`, or another one with their arguments.
    seed : int, SeedSequence, Generator or None
        Of the samples, folds, candidates, initial weights and minibatches.
    threads : int
        Threads of PyTorch, 0: its default.
    progress : bool or callable(done, total)
        Of trainings.

    Returns
    -------
    xarray.Dataset
        ``test_error``, ``train_error``, ``train_loss``, ``displacement`` (|w - w_0| / |w_0|), ``epochs``, ``state``
        ("fitted", "unfinished" or "dead") and ``seed`` along ``repeat``;  ``mean_test_error``, its ``test_error_std``
        over repeats and the standard error ``test_error_error``, all of runs that are not dead (NaN without one), and
        ``n_dead``;  ``learning_rate``, the one chosen;  of the cross-validation ``validation_error`` and
        ``validation_state`` (rate, fold), where a dead run counts as a guess, with all rates tried as coordinate.

    Raises
    ------
    ValueError
        Fewer samples than folds, inputs that are not finite, labels of one class, or arguments out of range.
    ModuleNotFoundError
        Without PyTorch, or Optuna where it is needed: the extra ``learning``.

    Notes
    -----
    Cost (n_rates n_rounds n_folds + n_repeats) trainings.

    Examples
    --------
    >>> from deepglass.learning import KLocal, experiment
    >>> law = KLocal(5, k=1, seed=1)
    >>> found = experiment(law, 1, 20, 100, learning_rate=[0.05, 0.5], n_folds=5, n_repeats=2, seed=1)
    >>> found.validation_error.sizes["fold"], found.state.values.tolist(), bool(found.mean_test_error < 0.15)
    (5, ['fitted', 'fitted'], True)
    """
    import xarray as xr

    entropy = seed_entropy(seed)
    n_train = integer("n_train", n_train, 2, 2**31)
    n_repeats = integer("n_repeats", n_repeats, 1, 2**20)
    inputs, labels, test_inputs, test_labels = samples(
        dataset, n_train, integer("n_test", n_test, 1, 2**31), child_seed(entropy, _DATA)
    )
    candidates, total = _plan(learning_rate, n_rates, n_rounds)
    searched = candidates is None or len(candidates) > 1
    if searched:
        n_folds = integer("n_folds", n_folds, 2, n_train)
    options = {
        "hidden_layers": hidden_layers, "width": width, "batch": batch, "extrapolation": extrapolation,
        "max_epochs": max_epochs, "threads": threads,
    }  # fmt: skip
    n_all = total * n_folds * searched + n_repeats
    with reporting(progress, "experiment") as report:
        done = 0

        def run(rows: list[npt.NDArray[np.int64]] | None, seeds: list[int], rates: Array) -> Any:
            nonlocal done
            before = done
            found = trainer(
                inputs, labels, seeds, rates, samples=rows,
                progress=lambda now, _: report(before + now, n_all), **options,
            )  # fmt: skip
            done += len(seeds)
            return found

        rates, errors, states = np.empty(0), np.empty((0, n_folds)), np.empty((0, n_folds), str)
        if searched:
            order = np.random.default_rng(child_seed(entropy, _FOLDS)).permutation(n_train)
            folds = np.array_split(order, n_folds)
            others = [np.setdiff1d(order, fold) for fold in folds]
            # The same initial weights and minibatches for all rates: less noise in their order.
            fold_seeds = [child_seed(child_seed(entropy, _RUNS), fold) for fold in range(n_folds)]
            guess = 1.0 - np.unique(labels, return_counts=True)[1].max() / n_train

            def validated(some: Array) -> tuple[Array, npt.NDArray[np.str_]]:
                trained = run(others * len(some), fold_seeds * len(some), np.repeat(some, n_folds))
                state = trained.state.reshape(len(some), n_folds)
                wrong = np.array([trained.error(inputs[fold], labels[fold]) for fold in folds])  # (fold, network)
                own = wrong.reshape(n_folds, len(some), n_folds)[np.arange(n_folds), :, np.arange(n_folds)].T
                return np.where(state == "dead", guess, own), state

            if candidates is not None:
                rates = candidates
                errors, states = validated(rates)
            else:
                search = _Search(rate_range, n_rates, child_seed(entropy, _SEARCH))
                for _ in range(n_rounds):
                    some = search.ask()
                    found, state = validated(some)
                    search.tell(found.mean(axis=1))
                    rates = np.append(rates, some)
                    errors, states = np.concatenate([errors, found]), np.concatenate([states, state])
            chosen = float(rates[errors.mean(axis=1).argmin()])
        else:
            assert candidates is not None
            chosen = float(candidates[0])
        seeds = [child_seed(child_seed(entropy, _REPEATS), repeat) for repeat in range(n_repeats)]
        trained = run(None, seeds, np.full(n_repeats, chosen))
    test_error = trained.error(test_inputs, test_labels)
    alive = test_error[trained.state != "dead"]
    n = len(alive)
    spread = float(alive.std(ddof=1)) if n > 1 else np.nan
    result = xr.Dataset(
        {
            "test_error": ("repeat", test_error),
            "train_error": ("repeat", trained.train_error),
            "train_loss": ("repeat", trained.train_loss),
            "displacement": ("repeat", trained.displacement),
            "epochs": ("repeat", trained.epochs),
            "state": ("repeat", trained.state),
            "seed": ("repeat", np.array(seeds, dtype=np.uint64)),
            "mean_test_error": alive.mean() if n else np.nan,
            "test_error_std": spread,
            "test_error_error": spread / np.sqrt(n) if n else np.nan,
            "n_dead": n_repeats - n,
            "learning_rate": chosen,
        },
        attrs=provenance(
            "deepglass.learning.experiment",
            {
                "dataset": repr(dataset) if drawing(dataset) else "arrays", "n_train": n_train,
                "n_test": len(test_inputs),
                "learning_rate": learning_rate, "rate_range": rate_range, "n_rates": n_rates, "n_rounds": n_rounds,
                "n_folds": n_folds, "n_repeats": n_repeats, "trainer": trainer, **options,
            },
            entropy,
        ),
    )  # fmt: skip
    if searched:
        result = result.assign_coords(rate=rates)
        result["validation_error"] = (("rate", "fold"), errors)
        result["validation_state"] = (("rate", "fold"), states)
    return result


def drawing(dataset: Any) -> Draw | None:
    """What draws samples, unless the data set is arrays."""
    if not isinstance(dataset, DataLaw):
        return dataset if callable(dataset) else None

    def draw(n: int, seed: int) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        drawn = dataset.draw(n, seed=seed)
        return drawn["inputs"].values, drawn["labels"].values

    return draw


def samples(
    dataset: DataSet, n_train: int, n_test: int, seed: int
) -> tuple[Array, npt.NDArray[Any], Array, npt.NDArray[Any]]:
    """Training and test samples."""
    draw = drawing(dataset)
    if draw is not None:
        (x, y), (x_test, y_test) = (draw(n, child_seed(seed, k)) for k, n in enumerate((n_train, n_test)))
    else:
        if not (isinstance(dataset, tuple | list) and len(dataset) == 2):
            raise ValueError("dataset must be a DataLaw, a callable(n, seed) or a pair of arrays, inputs and labels")
        x, y = labelled(*dataset)
        if n_train >= len(x):
            raise ValueError(f"n_train must be below the number of samples, {len(x)}, got {n_train}")
        order = np.random.default_rng(seed).permutation(len(x))[: n_train + n_test]
        x_test, y_test = x[order[n_train:]], y[order[n_train:]]
        x, y = x[order[:n_train]], y[order[:n_train]]
    x, y = labelled(x, y)
    x_test, y_test = np.asarray(x_test, float), np.asarray(y_test)
    for name, part, other, n in (("training", x, y, n_train), ("test", x_test, y_test, len(x_test))):
        if part.shape != (n, x.shape[1]) or other.shape != (n,):
            raise ValueError(
                f"dataset must give inputs (n, n_inputs) and labels (n,), got {part.shape} and {other.shape} as "
                f"{name} samples"
            )
    return x, y, x_test, y_test


def _plan(learning_rate: float | Sequence[float] | None, n_rates: int, n_rounds: int) -> tuple[Array | None, int]:
    """Rates given, and how many are tried."""
    if learning_rate is None:
        return None, integer("n_rates", n_rates, 1, 2**16) * integer("n_rounds", n_rounds, 1, 2**16)
    given = [
        number("learning_rate", rate, "> 0", lambda value: value > 0.0)
        for rate in (learning_rate if isinstance(learning_rate, Sequence | np.ndarray) else [learning_rate])
    ]
    if not given:
        raise ValueError("learning_rate must be a number > 0 or some of them, got none")
    return np.array(given), len(given)


class _Search:
    """Bayesian optimisation over the logarithm of the rate, several candidates at a time."""

    def __init__(self, rate_range: tuple[float, float], n_rates: int, seed: int) -> None:
        low, high = (number("rate_range", value, "a pair of numbers > 0", lambda v: v > 0.0) for value in rate_range)
        if not low < high:
            raise ValueError(f"rate_range must be increasing, got {rate_range!r}")
        optuna = require("optuna")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant_liar, for candidates of one round, is called experimental
            sampler = optuna.samplers.TPESampler(n_startup_trials=n_rates, constant_liar=True, seed=seed % 2**32)
        self._study = optuna.create_study(sampler=sampler)
        self._range, self._n_rates = (low, high), n_rates
        self._trials: list[Any] = []

    def ask(self) -> Array:
        self._trials = [self._study.ask() for _ in range(self._n_rates)]
        return np.array([trial.suggest_float("learning_rate", *self._range, log=True) for trial in self._trials])

    def tell(self, errors: Array) -> None:
        for trial, error in zip(self._trials, errors, strict=True):
            self._study.tell(trial, float(error))
