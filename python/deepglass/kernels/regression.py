"""Training in the kernel regime: gradient flow, its end, and the spread over initialisations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._check import choice, finite_matrix, number
from ..io import provenance
from ..meanfield import Activation
from .infinite import MAX_MEMORY, Architecture, Array, nngp_and_ntk

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ntk_classification", "ntk_regression"]

_SAME = 2e-14  # of 1 - |correlation|: rounding errors of a kernel


def _targets(name: str, value: Any, n: int) -> Array:
    try:
        y = np.asarray(value)
    except (TypeError, ValueError):
        y = np.empty(0, dtype=object)
    if y.dtype.kind not in "iufb" or y.ndim not in (1, 2) or len(y) != n or 0 in y.shape:
        raise ValueError(
            f"{name} must be an array of numbers of shape ({n},) or ({n}, n_outputs), got {y.dtype} of shape {y.shape}"
        )
    y = np.array(y, dtype=np.float64)
    if not np.isfinite(y).all():
        raise ValueError(f"{name} must be finite, got {float(y[~np.isfinite(y)][0])}")
    return y if y.ndim == 2 else y[:, np.newaxis]


def _refuse_singular(theta: Array) -> None:
    """Name rows that the kernel does not tell apart, or does not see."""
    size = np.sqrt(np.diag(theta))
    if not size.all():
        raise ValueError(
            f"X must not have rows without a kernel: row {int(np.argmin(size))} has kernel 0 with all (a zero input "
            "without bias); leave it out, or take ridge > 0"
        )
    pairs = []
    for i in range(len(theta)):
        same = np.abs(theta[i, i + 1 :]) >= (1 - _SAME) * size[i] * size[i + 1 :]
        pairs += [(i, i + 1 + int(j)) for j in np.flatnonzero(same)]
    if pairs:
        listed = ", ".join(f"{i} and {j}" for i, j in pairs[:5]) + (", ..." if len(pairs) > 5 else "")
        raise ValueError(
            f"X must not have rows that the kernel does not tell apart, since it is singular then: rows {listed} "
            f"({len(pairs)} pair(s)); leave one of each out, or take ridge > 0"
        )


def _cholesky(matrix: Array) -> tuple[Any, float]:
    """Cholesky factor, and what had to be added to the diagonal for it to exist."""
    from scipy.linalg import LinAlgError, cho_factor

    scale = float(np.mean(np.diag(matrix)))
    jitter = 0.0
    while True:
        try:
            return cho_factor(matrix + jitter * np.eye(len(matrix)), lower=True), jitter
        except LinAlgError:
            jitter = 1e-15 * scale if jitter == 0.0 else 10.0 * jitter
            if jitter > 1e-6 * scale:
                raise


class _Flow:
    """The functions of the regularised kernel M = Theta + ridge I that training needs."""

    def __init__(self, theta: Array, ridge: float, times: Array, rate: float) -> None:
        self.theta, self.jitter = theta, 0.0
        self._rate = rate
        matrix = theta + ridge * np.eye(len(theta))
        if np.isinf(times).any():
            self._factor, self.jitter = _cholesky(matrix)
        if not np.isinf(times).all():
            from scipy.linalg import eigh

            self._levels, self._vectors = eigh(matrix)

    def solved(self, time: float, right: Array) -> Array:
        """M^{-1} (I - exp(-rate M time)) right."""
        from scipy.linalg import cho_solve

        if np.isinf(time):
            return np.asarray(cho_solve(self._factor, right))
        # (1 - exp(-x t)) / x, which is t at x = 0
        x = self._rate * time * self._levels
        small = np.abs(x) < 1e-300
        factor = self._rate * time * np.where(small, 1.0, -np.expm1(-x) / np.where(small, 1.0, x))
        return np.asarray(self._vectors @ (factor[:, np.newaxis] * (self._vectors.T @ right)))


def ntk_regression(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    X_test: npt.ArrayLike,
    *,
    activation: str | Activation,
    hidden_layers: int,
    weight_variance: float,
    bias_variance: float,
    times: float | npt.ArrayLike = np.inf,
    learning_rate: float = 1.0,
    ridge: float = 0.0,
    initial: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    trained: str = "all",
    covariance: bool = False,
    max_memory: float = MAX_MEMORY,
    threads: int = 0,
) -> xr.Dataset:
    """What an infinitely wide network learns by gradient flow on the loss  (1/2) sum |y - f|^2.

    f_t(x) = f_0(x) + A_t(x) (y - f_0(X)),   A_t(x) = Theta(x, X) M^{-1} (I - exp(-learning_rate M t)),
    M = Theta(X, X) + ridge I,

    and its law over initialisations, where f_0 is a Gaussian process of covariance K:  the mean is f_t for f_0 = 0,
    Cov f_t(x, x') = K(x, x') - A_t(x) K(X, x') - K(x, X) A_t(x')^T + A_t(x) K(X, X) A_t(x')^T.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Training inputs, one a row.
    y : array_like, shape (n,) or (n, n_outputs)
        Their targets.
    X_test : array_like, shape (n_test, d)
        Test inputs.
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    hidden_layers : int >= 0
        Number of hidden layers, depth - 1.
    weight_variance, bias_variance : float >= 0
        Of all layers.
    times : float or array_like of float >= 0, shape (n_times,)
        Training times; inf: the end.
    learning_rate : float > 0
        Multiplies time.  For the loss averaged over the n samples take learning_rate / n.
    ridge : float >= 0
        Penalty (ridge / 2) |parameters - initial parameters|^2 in the loss.
    initial : pair of array_like, shapes of y and (n_test,) or (n_test, n_outputs), optional
        f_0 on train and test; default 0, which gives the mean over initialisations.
    trained : {"all", "last"}
        All layers, or the last only: then Theta = K, and the end of training with f_0 random is the posterior of
        Bayesian regression with noise `ridge` where that is 0.
    covariance : bool
        Whether to give the covariance of test outputs, not only the variance.
    max_memory : float
        Bytes that may be used by a kernel.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    xarray.Dataset
        ``train`` (time, sample, output) and ``test`` (time, test_sample, output): f_t;  ``test_variance`` (time,
        test_sample) over initialisations, the same for each output, or ``test_covariance`` too;  ``loss`` (time);
        ``jitter``, what had to be added to the diagonal of M for its Cholesky factor to exist (0 unless M is
        singular to rounding).

    Raises
    ------
    ValueError
        Without ridge: rows of X that the kernel does not tell apart, or is 0 for.

    Notes
    -----
    Cost n^3: Cholesky's factor for the end, eigenvectors for finite times.

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> x = np.array([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> fit = dg.kernels.ntk_regression(x, [0.0, 1.0, 0.0], [[0.5, 1.0]], activation="relu", hidden_layers=2,
    ...                                 weight_variance=2.0, bias_variance=0.1, times=[0.0, 1.0, np.inf])
    >>> fit.test.values[:, 0, 0].round(4), fit.test_variance.values[:, 0].round(4), fit.loss.values.round(4)
    (array([0.    , 0.4326, 0.5223]), array([1.55  , 0.0277, 0.0234]), array([0.5  , 0.046, 0.   ]))
    """
    import xarray as xr

    # Checks what the kernels would find later.
    architecture = Architecture(activation, hidden_layers, weight_variance, bias_variance, threads)
    x = finite_matrix("X", X)
    x_test = finite_matrix("X_test", X_test, x.shape[1])
    targets = _targets("y", y, len(x))
    t = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if t.ndim != 1 or t.size == 0 or not (t >= 0).all():
        raise ValueError(f"times must be numbers >= 0, got {times!r}")
    rate = number("learning_rate", learning_rate, "a finite number > 0", lambda v: v > 0.0)
    ridge = number("ridge", ridge, "a finite number >= 0", lambda v: v >= 0.0)
    choice("trained", trained, ["all", "last"])
    start, start_test = np.zeros_like(targets), np.zeros((len(x_test), targets.shape[1]))
    if initial is not None:
        if not (isinstance(initial, (tuple, list)) and len(initial) == 2):
            raise ValueError("initial must be a pair, f_0 on train and on test")
        start, start_test = _targets("initial[0]", initial[0], len(x)), _targets("initial[1]", initial[1], len(x_test))
        if start.shape[1] != targets.shape[1] or start_test.shape[1] != targets.shape[1]:
            raise ValueError(f"initial must have {targets.shape[1]} output(s), as y has")

    def both(x1: Array, x2: Array | None = None) -> tuple[Array, Array]:
        k, theta = nngp_and_ntk(
            x1,
            x2,
            activation=architecture.activation,
            hidden_layers=architecture.hidden_layers,
            weight_variance=architecture.weight_variance,
            bias_variance=architecture.bias_variance,
            max_memory=max_memory,
            threads=architecture.threads,
        )
        return (k, theta) if trained == "all" else (k, k)

    k, theta = both(x)
    k_test, theta_test = both(x_test, x)  # (n_test, n)
    if ridge == 0.0:
        _refuse_singular(theta)
    flow = _Flow(theta, ridge, t, rate)
    own = both(x_test)[0] if covariance else architecture.kernel(x_test, None).diagonal()[0]

    train, test, spread = [], [], []
    for time in t:
        step = flow.solved(time, targets - start)
        train.append(start + theta @ step)
        test.append(start_test + theta_test @ step)
        a = flow.solved(time, theta_test.T).T  # (n_test, n)
        if covariance:
            cross = a @ k_test.T
            spread.append(own - cross - cross.T + a @ k @ a.T)
        else:
            spread.append(own - 2 * np.sum(a * k_test, axis=1) + np.sum((a @ k) * a, axis=1))
    parameters = architecture.parameters() | {"learning_rate": rate, "ridge": ridge, "trained": trained}
    result = xr.Dataset(
        {
            "train": (("time", "sample", "output"), np.array(train)),
            "test": (("time", "test_sample", "output"), np.array(test)),
            "loss": ("time", [0.5 * float(np.sum((targets - f) ** 2)) for f in train]),
            "jitter": flow.jitter,
        },
        {"time": t},
        provenance("deepglass.kernels.ntk_regression", parameters),
    )
    if covariance:
        result["test_covariance"] = (("time", "test_sample", "test_sample_2"), np.array(spread))
        spread = [np.diag(matrix) for matrix in spread]
    # Where training leaves no spread, its rounding error may be negative.
    result["test_variance"] = (("time", "test_sample"), np.maximum(np.array(spread), 0.0))
    return result


def ntk_classification(
    X: npt.ArrayLike,
    labels: npt.ArrayLike,
    X_test: npt.ArrayLike,
    *,
    activation: str | Activation,
    hidden_layers: int,
    weight_variance: float,
    bias_variance: float,
    ridge: float = 0.0,
    trained: str = "all",
    max_memory: float = MAX_MEMORY,
    threads: int = 0,
) -> xr.Dataset:
    """Classify by the mean of an infinitely wide network trained to the end on one-hot targets.

    The targets are 1 - 1/C for the class of a sample and -1/C for the C - 1 others; the class of the largest output
    is predicted.  With two classes this is the sign of the regression on -1 and 1.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Training inputs, one a row.
    labels : array_like, shape (n,)
        Their classes: anything that NumPy sorts.
    X_test : array_like, shape (n_test, d)
        Test inputs.
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    hidden_layers : int >= 0
        Number of hidden layers, depth - 1.
    weight_variance, bias_variance : float >= 0
        Of all layers.
    ridge : float >= 0
        See `ntk_regression`.
    trained : {"all", "last"}
        See `ntk_regression`.
    max_memory : float
        Bytes that may be used by a kernel.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    xarray.Dataset
        ``label`` (test_sample), the predicted class; ``score`` (test_sample, label_of), the outputs; ``margin``
        (test_sample), the largest output minus the next; ``test_variance`` of each output over initialisations;
        ``jitter``.

    Examples
    --------
    >>> import deepglass as dg
    >>> x, labels = [[1.0, 0.0], [0.9, 0.3], [0.0, 1.0], [-0.2, 1.0]], ["east", "east", "north", "north"]
    >>> found = dg.kernels.ntk_classification(x, labels, [[1.0, 0.2], [0.1, 2.0]], activation="relu", hidden_layers=1,
    ...                                       weight_variance=2.0, bias_variance=0.1)
    >>> found.label.values.tolist()
    ['east', 'north']
    """
    x = finite_matrix("X", X)
    given = np.asarray(labels)
    if given.shape != (len(x),):
        raise ValueError(f"labels must have shape ({len(x)},), got {given.shape}")
    classes, index = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"labels must be of at least 2 classes, got only {classes.tolist()}")
    targets = np.eye(len(classes))[index] - 1.0 / len(classes)
    fit = ntk_regression(
        x,
        targets,
        X_test,
        activation=activation,
        hidden_layers=hidden_layers,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
        ridge=ridge,
        trained=trained,
        max_memory=max_memory,
        threads=threads,
    ).isel(time=0, drop=True)
    score = fit["test"].values
    ordered = np.sort(score, axis=1)
    result = fit[["test_variance", "jitter"]].assign_coords(label_of=classes)
    result["score"] = (("test_sample", "label_of"), score)
    result["label"] = ("test_sample", classes[np.argmax(score, axis=1)])
    result["margin"] = ("test_sample", ordered[:, -1] - ordered[:, -2])
    result.attrs["function"] = "deepglass.kernels.ntk_classification"
    return result
