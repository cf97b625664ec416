"""From the kernel limit to feature learning, and a small network that kernels are far from.

In NTK parametrisation with the squared loss the parameters of a network of width H move by a relative distance of order
H^(-1/2) at a given small learning rate: for H to infinity it is regression with the tangent kernel (lazy training).
Smaller widths and larger rates learn features.

References
----------
A. Jacot, F. Gabriel, C. Hongler, "Neural tangent kernel" (2018).
L. Chizat, E. Oyallon, F. Bach, "On lazy training in differentiable programming" (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .._progress import Progress, reporting
from ..io import provenance
from ..kernels import ntk_classification
from ..random import SeedLike, child_seed, seed_entropy
from .experiment import DataSet, drawing, samples
from .training import Trained, train

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["lazy_sweep", "two_local_network"]


def lazy_sweep(
    dataset: DataSet,
    hidden_layers: int,
    widths: Sequence[int],
    learning_rates: Sequence[float],
    n_train: int,
    *,
    n_test: int = 5000,
    stop_loss: float = 0.01,
    max_epochs: int = 1000,
    batch: int = 50,
    n_repeats: int = 3,
    ridge: float = 0.0,
    seed: SeedLike = None,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Networks of growing width at growing learning rates beside their limit, classification by the tangent kernel.

    Squared loss, NTK parametrisation with weight variance 2 and no bias, outputs counted from those at the start.

    Parameters
    ----------
    dataset : DataLaw, callable(n, seed) or pair (inputs, labels)
        As for `experiment`; labels of two classes.
    hidden_layers : int >= 1
        Number of hidden layers.
    widths : sequence of int >= 1
        Units of each.
    learning_rates : sequence of float > 0
        In NTK parametrisation: the stable ones do not depend on the width.
    n_train, n_test : int
        Numbers of samples, the same for all networks.
    stop_loss, max_epochs, batch :
        See `train`.
    n_repeats : int >= 1
        Initial weights.
    ridge : float >= 0
        Of the kernel; see `deepglass.kernels.ntk_regression`.
    seed : int, SeedSequence, Generator or None
        Of samples, initial weights and minibatches.
    threads : int
        Of PyTorch and of the kernels, 0: their default.
    progress : bool or callable(done, total)
        Of networks.

    Returns
    -------
    xarray.Dataset
        With dimensions (width, learning_rate, repeat): ``test_error``, ``displacement`` (of the standard normal
        parameters, relative), ``disagreement`` (part of the test points that the kernel puts in the other class),
        ``train_loss``, ``epochs``, ``state``; dead runs have no test error.  ``kernel_error``: of the kernel.

    Examples
    --------
    >>> from deepglass.learning import KLocal, lazy_sweep
    >>> law = KLocal(5, k=2, seed=1)
    >>> found = lazy_sweep(law, 1, [10, 400], [0.5], 40, n_test=500, max_epochs=100, n_repeats=2, seed=1)
    >>> moved = found.displacement.mean(["repeat", "learning_rate"])
    >>> bool(moved.sel(width=400) < 0.5 * moved.sel(width=10))
    True
    """
    import xarray as xr

    hidden_layers = integer("hidden_layers", hidden_layers, 1, 1000)
    n_repeats = integer("n_repeats", n_repeats, 1, 2**20)
    sizes = [integer("widths", width, 1, 2**20) for width in widths]
    rates = [number("learning_rates", rate, "> 0", lambda value: value > 0.0) for rate in learning_rates]
    if not sizes or not rates:
        raise ValueError("widths and learning_rates must not be empty")
    entropy = seed_entropy(seed)
    n_train, n_test = integer("n_train", n_train, 2, 2**31), integer("n_test", n_test, 1, 2**31)
    x, y, x_test, y_test = samples(dataset, n_train, n_test, child_seed(entropy, 0))
    kernel = ntk_classification(
        x, y, x_test, activation="relu", hidden_layers=hidden_layers, weight_variance=2.0, bias_variance=0.0,
        ridge=ridge, threads=threads,
    )["label"].values  # fmt: skip
    shape = (len(sizes), len(rates), n_repeats)
    columns: dict[str, npt.NDArray[Any]] = {}
    with reporting(progress, "lazy") as report:
        for i, width in enumerate(sizes):
            seeds = [child_seed(child_seed(entropy, width), repeat) for repeat in range(n_repeats)] * len(rates)
            trained = train(
                x, y, seeds, np.repeat(rates, n_repeats), hidden_layers=hidden_layers, width=width, batch=batch,
                loss="squared", parametrisation="ntk", centred=True, stop_loss=stop_loss, max_epochs=max_epochs,
                threads=threads,
            )  # fmt: skip
            alive = trained.state != "dead"
            predicted = trained.predict(x_test)
            for name, values in {
                "test_error": np.where(alive, np.mean(predicted != y_test, axis=1), np.nan),
                "disagreement": np.where(alive, np.mean(predicted != kernel, axis=1), np.nan),
                "displacement": trained.displacement,
                "train_loss": trained.train_loss,
                "epochs": trained.epochs,
                "state": trained.state,
            }.items():
                columns.setdefault(name, np.empty(shape, "<U10" if name == "state" else values.dtype))
                columns[name][i] = values.reshape(shape[1:])
            report((i + 1) * len(seeds), len(sizes) * len(seeds))
    return xr.Dataset(
        {name: (("width", "learning_rate", "repeat"), values) for name, values in columns.items()}
        | {"kernel_error": float(np.mean(kernel != y_test))},
        {"width": sizes, "learning_rate": rates},
        provenance(
            "deepglass.learning.lazy_sweep",
            {
                "dataset": repr(dataset) if drawing(dataset) else "arrays", "hidden_layers": hidden_layers,
                "n_train": n_train, "n_test": n_test, "stop_loss": stop_loss, "max_epochs": max_epochs,
                "batch": batch, "n_repeats": n_repeats, "ridge": ridge,
            },
            entropy,
        ),
    )  # fmt: skip


def two_local_network(n_inputs: int, sites: tuple[int, int]) -> Trained:
    """A network of four hidden units without any error on the 2-local label, the sign of x_i x_j.

        f(x) = |x_i + x_j| - |x_i - x_j|,   |u| = max(u, 0) + max(-u, 0),

    has the sign of (x_i + x_j)^2 - (x_i - x_j)^2 = 4 x_i x_j.

    Parameters
    ----------
    n_inputs : int >= 2
        Dimension of x.
    sites : pair of int
        i and j, from 0.

    Returns
    -------
    Trained
        One network, of classes False and True.

    Examples
    --------
    >>> import numpy as np
    >>> from deepglass.learning import two_local_network
    >>> x = np.random.default_rng(1).normal(size=(1000, 100))
    >>> two_local_network(100, (3, 70)).error(x, x[:, 3] * x[:, 70] > 0).tolist()
    [0.0]
    """
    n_inputs = integer("n_inputs", n_inputs, 2, 2**31)
    i, j = (integer("sites", site, 0, n_inputs - 1) for site in sites)
    if i == j:
        raise ValueError(f"sites must differ, got {i} twice")
    first = np.zeros((1, n_inputs, 4))
    first[0, i], first[0, j] = (1.0, -1.0, 1.0, -1.0), (1.0, -1.0, -1.0, 1.0)
    nothing = np.zeros(1)
    return Trained(
        classes=np.array([False, True]),
        weights=(first, np.array([[[1.0], [1.0], [-1.0], [-1.0]]])),
        biases=(np.zeros((1, 4)), np.zeros((1, 1))),
        epochs=np.zeros(1, int),
        state=np.array(["fitted"]),
        train_loss=nothing,
        train_error=nothing,
        displacement=nothing,
    )
