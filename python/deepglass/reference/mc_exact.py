"""What is known exactly of the deep perceptron network at finite temperature: the yardstick of its Monte Carlo.

Layers l = 0..L of widths N_0..N_L, patterns mu = 1..M; S[0], S[L] are data, the hidden S = +-1 and the bonds J are
summed over.  The field on perceptron i of layer l is h = N_{l-1}^(-1/2) sum_k J_ik S[l-1]_k, its gap r = S[l]_i h, and

    Z = sum_S < exp(-beta E) >_J,    E = sum over (l, i, mu) of v(r),

with v = r^2 theta(-r) ("soft"), theta(-r) ("count"), or exp(-beta v) = theta(r) ("hard"); v(0) = 0.  The prior < >_J
is uniform on |J_i|^2 = N ("spherical") or on {+-1}^N ("binary").  Data are arrays (M, N) as in H. Yoshino, SciPost
Phys. Core 2, 005 (2020).

Everything rests on one fact: given the spins, perceptrons are independent.  So Z is a chain of transfer matrices
between the states of neighbouring layers, and each matrix element a product of integrals over one bond vector.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, root
from scipy.special import log_ndtr, logsumexp, ndtr, xlogy

from .quadrature import gauss_legendre

__all__ = [
    "ExactNetwork",
    "PriorOverlap",
    "ReplicaSymmetricPerceptron",
    "ReplicaSymmetricStudent",
    "SlavedNetwork",
    "TwoPatternNetwork",
    "enumerate_network",
    "layer_states",
    "liquid_energy",
    "planted_energy",
    "prior_overlap",
    "replica_symmetric_perceptron",
    "replica_symmetric_student",
    "single_pattern_energy",
    "slaved_volume",
    "two_pattern_network",
]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST_STATES = 2048  # of one layer: transfer matrices are dense
MOST_OVERLAP = 1 - 1e-6  # resolved by the quadrature of the replica-symmetric equations


# ---- One gap


def _potential(r: Array, potential: str) -> Array:
    if potential == "soft":
        return np.where(r < 0, r * r, 0.0)
    if potential == "count":
        return np.where(r < 0, 1.0, 0.0)
    if potential == "hard":
        return np.where(r < 0, np.inf, 0.0)
    raise ValueError(f"potential must be one of 'soft', 'count', 'hard', got {potential!r}")


def _check(beta: float, potential: str, bonds: str = "spherical") -> float:
    """The beta to calculate with: the hard potential has none."""
    _potential(np.zeros(1), potential)
    if bonds not in ("spherical", "binary"):
        raise ValueError(f"bonds must be one of 'spherical', 'binary', got {bonds!r}")
    if potential == "hard":
        return 1.0
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta must be a finite number >= 0, got {beta!r}")
    return float(beta)


def _widths(widths: Sequence[int]) -> tuple[int, ...]:
    """N_0 .. N_L."""
    if len(widths) < 2 or any(int(n) != n or n < 1 for n in widths):
        raise ValueError(f"widths must be two or more integers >= 1, got {widths!r}")
    return tuple(int(n) for n in widths)


def _moments(weight: Array, energy: Array, beta: float) -> tuple[float, float, float]:
    """Logarithm of w = < e^(-beta E) >, mean and variance of E with the weight e^(-beta E) / w; points on axis 0."""
    boltzmann = weight * np.exp(-beta * energy)
    w = float(boltzmann.sum())
    if w == 0:
        return -math.inf, 0.0, 0.0
    energy = np.where(np.isinf(energy), 0.0, energy)  # has no weight
    mean = float((boltzmann * energy).sum()) / w
    return math.log(w), mean, float((boltzmann * (energy - mean) ** 2).sum()) / w


# ---- A chain of layers


@dataclass(frozen=True)
class _Transfer:
    """From the states of layer l - 1 (rows) to those of layer l: ln weight; mean and variance of E_l given both."""

    log_weight: Array
    mean: Array
    variance: Array


@dataclass(frozen=True)
class _Chain:
    log_partition: float
    energy_layer: Array
    energy_variance: float
    law: list[Array]  # of the states of each layer 0..L


def _chain(transfers: Sequence[_Transfer], first: int, last: int) -> _Chain:
    """Sum over all paths of states from ``first`` (layer 0) to ``last`` (layer L)."""
    forward = [np.where(np.arange(transfers[0].log_weight.shape[0]) == first, 0.0, -np.inf)]
    for transfer in transfers:
        forward.append(np.asarray(logsumexp(forward[-1][:, None] + transfer.log_weight, axis=0)))
    backward = [np.where(np.arange(len(forward[-1])) == last, 0.0, -np.inf)]
    for transfer in reversed(transfers):
        backward.append(np.asarray(logsumexp(transfer.log_weight + backward[-1], axis=1)))
    backward.reverse()
    log_partition = float(forward[-1][last])
    if log_partition == -math.inf:
        raise ValueError("outputs must be possible: no configuration has them with these inputs and this potential")

    law = [np.exp(f + b - log_partition) for f, b in zip(forward, backward, strict=True)]
    energy_layer = []
    within = 0.0  # < variance of E given all spins >
    # Mean and mean square of sum_l <E_l | spins> over the layers so far, given the state of the last of them.
    sum1, sum2 = np.zeros_like(law[0]), np.zeros_like(law[0])
    for transfer, f, b, p in zip(transfers, forward[:-1], backward[1:], law[1:], strict=True):
        joint = np.exp(f[:, None] + transfer.log_weight + b - log_partition)
        energy_layer.append(float((joint * transfer.mean).sum()))
        within += float((joint * transfer.variance).sum())
        given = np.divide(joint, p, out=np.zeros_like(joint), where=p > 0)  # P(state of l - 1 | state of l)
        sum2 = (given * (sum2[:, None] + 2 * sum1[:, None] * transfer.mean + transfer.mean**2)).sum(axis=0)
        sum1 = (given * (sum1[:, None] + transfer.mean)).sum(axis=0)
    between = float(sum2[last] - sum1[last] ** 2)
    return _Chain(log_partition, np.array(energy_layer), within + between, law)


# ---- All states of tiny networks


def _codes(n_neurons: int, n_patterns: int) -> Integers:
    """All states of a layer: for each neuron the number of its row of M spins, bit mu set where S_mu = -1."""
    n_states = 2 ** (n_patterns * n_neurons)
    if n_states > MOST_STATES:
        raise ValueError(f"a layer must have at most {MOST_STATES} states 2^(M N), got 2^({n_patterns} * {n_neurons})")
    return np.indices((2**n_patterns,) * n_neurons).reshape(n_neurons, n_states).T.astype(np.int64)


def _spins(codes: Integers, n_patterns: int) -> Array:
    """Spins (..., M, N) of codes (..., N)."""
    return (1 - 2 * (codes[..., None, :] >> np.arange(n_patterns)[:, None] & 1)).astype(np.float64)


def layer_states(n_neurons: int, n_patterns: int) -> Array:
    """All states of a layer, in the order of ``ExactNetwork.law``: array of +-1, shape (2^(M N), M, N)."""
    return _spins(_codes(n_neurons, n_patterns), n_patterns)


def _state(name: str, data: ArrayLike, n_neurons: int) -> tuple[int, int]:
    """Number of the state in ``layer_states``, and M."""
    spins = np.asarray(data)
    if spins.ndim != 2 or spins.shape[1] != n_neurons or not np.isin(spins, (-1, 1)).all():
        raise ValueError(f"{name} must be +-1 of shape (M, {n_neurons}), got {data!r}")
    n_patterns = spins.shape[0]
    codes = (spins < 0).T @ 2 ** np.arange(n_patterns)
    return int(np.ravel_multi_index(tuple(codes), (2**n_patterns,) * n_neurons)), n_patterns


def _binary_bonds(n: int) -> tuple[Array, Array]:
    J = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    return J, np.full(len(J), 0.5**n)


def _spherical_bonds(n: int, n_nodes: int) -> tuple[Array, Array]:
    """Points on the sphere |J|^2 = n, n <= 3, and weights: a Gauss rule in each cell without a field that changes sign.

    Inputs being +-1, fields vanish on the great circles J_1 +- J_2 +- J_3 = 0 (n = 2: at J_1 +- J_2 = 0).  With those
    of J_k = 0 they cut the sphere into simplices of corners e_k and (e_j + e_k)/sqrt(2), and their images under
    changes of sign.  A flat simplex of corners A is mapped to the sphere by P -> P/|P|:
    d(solid angle) = |det A| d(simplex) / |P|^n.
    """
    if n == 1:
        return _binary_bonds(1)
    e = np.eye(n)
    cells: list[tuple[Array, ...]]
    x, w = gauss_legendre(n_nodes)
    x, w = (1 + x) / 2, w / 2
    if n == 2:
        middle = (e[0] + e[1]) / math.sqrt(2)
        cells = [(e[0], middle), (e[1], middle)]
        simplex, area = np.stack([1 - x, x], axis=-1), 2 * math.pi
    elif n == 3:
        m01, m02, m12 = ((e[j] + e[k]) / math.sqrt(2) for j, k in ((0, 1), (0, 2), (1, 2)))
        cells = [(e[0], m01, m02), (e[1], m01, m12), (e[2], m02, m12), (m01, m02, m12)]
        s, t = (grid.ravel() for grid in np.meshgrid(x, x, indexing="ij"))
        simplex, area = np.stack([1 - s, s * (1 - t), s * t], axis=-1), 4 * math.pi
        w = np.outer(x * w, w).ravel()
    else:
        raise ValueError(f"widths must be at most 3 for inputs of spherical bonds, got {n}")
    points, weights = [], []
    for cell in np.array(cells):
        P = simplex @ cell
        norm = np.linalg.norm(P, axis=1)
        points.append(math.sqrt(n) * P / norm[:, None])
        weights.append(w * abs(np.linalg.det(cell)) / norm**n / area)
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    J = (np.concatenate(points) * signs[:, None]).reshape(-1, n)
    return J, np.tile(np.concatenate(weights), len(signs))


def _fields(J: Array, spins: Array) -> Array:
    """h, shape (n_points, M), from J (n_points, N) and spins (M, N); exactly 0 where binary bonds cancel."""
    return (J @ spins.T) / math.sqrt(J.shape[1])


def _layer_transfer(
    n_inputs: int, n_outputs: int, n_patterns: int, beta: float, potential: str, rule: tuple[Array, Array]
) -> _Transfer:
    """Elements  prod_i < exp(-beta sum_mu v(S_i,mu h_mu)) >_J  for all input and output states."""
    J, weight = rule
    inputs, outputs = _codes(n_inputs, n_patterns), _codes(n_outputs, n_patterns)
    # The prior does not see signs and order of the inputs: one bond integral serves them all.
    canonical = np.sort(np.minimum(inputs, 2**n_patterns - 1 - inputs), axis=1)
    classes, which = np.unique(canonical, axis=0, return_inverse=True)
    targets = _spins(np.arange(2**n_patterns), n_patterns).T  # (2^M, M)
    table = np.empty((3, len(classes), len(targets)))
    for c, spins in enumerate(_spins(classes, n_patterns)):
        h = _fields(J, spins)
        for s, target in enumerate(targets):
            energy = _potential(target * h, potential).sum(axis=1)
            table[:, c, s] = _moments(weight, energy, beta)
    # One table for the canonical inputs, whose targets are the same: flipping an input is undone by flipping its bond.
    log_weight, mean, variance = table[:, which.ravel()][..., outputs].sum(axis=-1)
    return _Transfer(log_weight, mean, variance)


@dataclass(frozen=True)
class ExactNetwork:
    """Exact averages of a tiny network.

    Attributes
    ----------
    log_partition : float
        ln Z, with the normalised prior on J and the counting measure on the hidden spins.
    energy, energy_variance : float
        Mean and variance of E.
    energy_layer : array, shape (L,)
        <E_l>, l = 1..L.
    neuron_correlation : array, shape (L - 1, M, M)
        <K_mu,nu>,  K_mu,nu = N^-1 sum_i S_i,mu S_i,nu,  in the hidden layers.
    overlap_second_moment : array, shape (L - 1,)
        q2 = M^-2 sum_mu,nu <K_mu,nu>^2: the mean of N^-2 sum_ij (M^-1 sum_mu S^a_i,mu S^b_j,mu)^2 over two replicas.
    law : list of L + 1 arrays, shapes (2^(M N_l),)
        Probabilities of the ``layer_states`` of each layer.
    """

    log_partition: float
    energy: float
    energy_variance: float
    energy_layer: Array
    neuron_correlation: Array
    overlap_second_moment: Array
    law: list[Array]


def enumerate_network(
    widths: Sequence[int],
    inputs: ArrayLike,
    outputs: ArrayLike,
    beta: float,
    potential: str = "soft",
    bonds: str = "spherical",
    *,
    n_nodes: int | None = None,
) -> ExactNetwork:
    """Averages over all hidden states of a tiny network, with exact bond integrals.

    Parameters
    ----------
    widths : sequence of L + 1 ints
        N_0 .. N_L; with spherical bonds N_0 .. N_{L-1} are at most 3.
    inputs, outputs : arrays of +-1, shapes (M, N_0) and (M, N_L)
        The data.
    beta : float
        Inverse temperature, without a role if hard.
    potential : {"soft", "count", "hard"}
        v(r).
    bonds : {"spherical", "binary"}
        Prior of J.
    n_nodes : int
        Gauss nodes in each direction of a cell of the sphere; as many as beta needs for 1e-13 if left out.

    Examples
    --------
    >>> network = enumerate_network([2, 2, 2], [[1, -1], [-1, -1]], [[1, 1], [-1, -1]], beta=1.0)
    >>> round(network.energy, 10), network.energy_layer.round(10).tolist()
    (1.4127947512, [0.7609330522, 0.651861699])
    """
    beta = _check(beta, potential, bonds)
    n_nodes = n_nodes or 24 + math.ceil(5 * math.sqrt(beta))
    widths = _widths(widths)
    (first, n_patterns), (last, n_outputs) = _state("inputs", inputs, widths[0]), _state("outputs", outputs, widths[-1])
    if n_patterns != n_outputs:
        raise ValueError(f"outputs must have as many patterns as inputs, {n_patterns}, got {n_outputs}")
    rules = {n: _binary_bonds(n) if bonds == "binary" else _spherical_bonds(n, n_nodes) for n in {*widths[:-1]}}
    layers = {
        pair: _layer_transfer(*pair, n_patterns, beta, potential, rules[pair[0]]) for pair in itertools.pairwise(widths)
    }
    chain = _chain([layers[pair] for pair in itertools.pairwise(widths)], first, last)
    correlation = np.zeros((len(widths) - 2, n_patterns, n_patterns))
    for hidden, n in enumerate(widths[1:-1]):
        S = layer_states(n, n_patterns)
        correlation[hidden] = np.einsum("s,smi,sni->mn", chain.law[hidden + 1], S, S) / n
    return ExactNetwork(
        chain.log_partition,
        float(chain.energy_layer.sum()),
        chain.energy_variance,
        chain.energy_layer,
        correlation,
        (correlation**2).mean(axis=(1, 2)),
        chain.law,
    )


# ---- One pattern, two patterns: any width


def _graded_rule(n_nodes: int, n_panels: int) -> tuple[Array, Array]:
    """Gauss nodes on [0, 1] in panels that halve towards 0, where the Boltzmann factor lives at large beta N."""
    x, w = gauss_legendre(n_nodes)
    ends = np.append(0.0, 0.5 ** np.arange(n_panels - 1, -1, -1))
    left, width = ends[:-1, None], np.diff(ends)[:, None]
    return (left + width * (1 + x) / 2).ravel(), (width * w / 2).ravel()


def _n_panels(n: int, beta: float) -> int:
    return 3 + math.ceil(math.log2(n * (1 + 2 * beta)) / 2)


def single_pattern_energy(
    n_inputs: int, beta: float, potential: str = "soft", bonds: str = "spherical", *, n_nodes: int = 24
) -> float:
    """Energy of each perceptron for M = 1: any depth, any data.

    e = < v e^(-beta v) > / < e^(-beta v) >,  r = sqrt(N) cos(a) with density of a prop. to sin^(N-2)(a) on the
    sphere, whatever the spins; r = (2k - N)/sqrt(N), k binomial, for binary bonds.

    Examples
    --------
    >>> round(single_pattern_energy(64, beta=2.0), 12)
    0.061947223712
    """
    beta, (n,) = _check(beta, potential, bonds), {*_widths([n_inputs] * 2)}
    if bonds == "binary" or n == 1:
        k = np.arange(n + 1)
        return _moments(_binomial(n), _potential((2 * k - n) / math.sqrt(n), potential), beta)[1]
    b, weight = _graded_rule(n_nodes, _n_panels(n, beta))  # angle between field and zero field, both signs
    b, weight = b * math.pi / 2, weight * np.cos(b * math.pi / 2) ** (n - 2)
    weight /= 2 * weight.sum()
    r = math.sqrt(n) * np.sin(b)
    return _moments(np.tile(weight, 2), _potential(np.concatenate([r, -r]), potential), beta)[1]


def _binomial(n: int) -> Array:
    """2^-n binomial(n, k), k = 0..n."""
    return np.array([math.comb(n, k) / 2**n for k in range(n + 1)])


def _log_binomial(n: int) -> Array:
    return np.array([math.log(math.comb(n, k)) for k in range(n + 1)])


def _pair_moments(n: int, beta: float, potential: str, bonds: str, n_nodes: int) -> tuple[Array, Array, Array]:
    """Logarithm of w(c), mean and variance of E = v(h_1) + v(h_2) for two inputs of overlap c = 2 n_agree/n - 1.

    Shapes (n + 1,), n_agree = 0..n;  w(c) = < e^(-beta E) >_J.
    """
    if bonds == "binary" or n == 1:
        return _pair_moments_binary(n, beta, potential)
    # J in the plane of the inputs: h_1 = sqrt(n) rho cos(a), h_2 = sqrt(n) rho cos(a - theta), c = cos(theta).
    # With rho = sin(psi) the density of psi is (n - 2) sin(psi) cos(psi)^(n-3); for n = 2 rho = 1.
    unit, weight = _graded_rule(n_nodes, _n_panels(n, beta))
    if n == 2:
        rho, w_rho = np.ones((1, 1)), np.ones((1, 1))
    else:
        psi = (math.pi / 2 * unit)[:, None]
        rho = np.sin(psi)
        w_rho = (math.pi / 2 * weight)[:, None] * (n - 2) * np.sin(psi) * np.cos(psi) ** (n - 3)
    h = math.sqrt(n) * rho
    moments = np.empty((3, n + 1))
    for n_agree in range(n + 1):
        theta = math.acos(2 * n_agree / n - 1)
        # Sectors of the angle, halved where a gap vanishes at both ends: both gaps positive; one negative, at b from
        # either end; both negative, at b from either end (two equal halves).
        one, both = theta / 2 * unit, (math.pi - theta) / 2 * unit
        gaps = [
            (math.pi - theta, np.ones(1), np.zeros(1), np.zeros(1)),
            (theta, weight, one, np.zeros_like(one)),
            (theta, weight, theta - one, np.zeros_like(one)),
            (math.pi - theta, weight, both, both + theta),
        ]
        sector = np.concatenate([length / (2 * math.pi) * w for length, w, _, _ in gaps])
        b1, b2 = (np.concatenate([gap[k] for gap in gaps]) for k in (2, 3))
        energy = _potential(-h * np.sin(b1), potential) + _potential(-h * np.sin(b2), potential)
        moments[:, n_agree] = _moments(w_rho * sector, energy, beta)
    log_w, mean, variance = moments
    return log_w, mean, variance


def _pair_moments_binary(n: int, beta: float, potential: str) -> tuple[Array, Array, Array]:
    """The same by binomial sums: sqrt(n) h = A + B and A - B, sums over the agreeing and the other inputs."""
    moments = np.empty((3, n + 1))
    for n_agree in range(n + 1):
        A = (2.0 * np.arange(n_agree + 1) - n_agree)[:, None]
        B = 2.0 * np.arange(n - n_agree + 1) - (n - n_agree)
        energy = _potential((A + B) / math.sqrt(n), potential) + _potential((A - B) / math.sqrt(n), potential)
        moments[:, n_agree] = _moments(np.outer(_binomial(n_agree), _binomial(n - n_agree)), energy, beta)
    log_w, mean, variance = moments
    return log_w, mean, variance


@dataclass(frozen=True)
class TwoPatternNetwork:
    """Exact averages for M = 2.

    Attributes
    ----------
    log_partition, energy, energy_variance : float
        As in ``ExactNetwork``.
    energy_layer : array, shape (L,)
        <E_l>, l = 1..L.
    correlation : array, shape (L - 1,)
        <K_12> = <2 n_l/N_l - 1> in the hidden layers.
    law : list of L + 1 arrays, shapes (N_l + 1,)
        Probabilities of n_l = 0..N_l, the number of neurons on which both patterns agree.
    """

    log_partition: float
    energy: float
    energy_variance: float
    energy_layer: Array
    correlation: Array
    law: list[Array]


def two_pattern_network(
    widths: Sequence[int],
    agree_in: int,
    agree_out: int,
    beta: float,
    potential: str = "soft",
    bonds: str = "spherical",
    *,
    n_nodes: int = 24,
) -> TwoPatternNetwork:
    """Averages for two patterns in a network of any widths and depth.

    Only the numbers n_l of neurons on which the patterns agree matter:

        Z = sum_{n_1..n_{L-1}} prod_{l<L} 2^N_l binomial(N_l, n_l) w(q_{l-1})^n_l w(-q_{l-1})^(N_l - n_l)
            times  w(q_{L-1})^n_L w(-q_{L-1})^(N_L - n_L),

    q_l = 2 n_l/N_l - 1, and w(c) the bond average of exp(-beta (v(r_1) + v(r_2))) for two inputs of overlap c.

    Parameters
    ----------
    widths : sequence of L + 1 ints
        N_0 .. N_L.
    agree_in, agree_out : int
        n_0 in 0..N_0 and n_L in 0..N_L.
    beta, potential, bonds
        As in ``enumerate_network``.
    n_nodes : int
        Gauss nodes of a panel.

    Examples
    --------
    >>> network = two_pattern_network([16] * 4, 12, 10, beta=2.0)
    >>> round(network.energy, 12), network.correlation.round(6).tolist()
    (5.975133159298, [0.123736, 0.079772])
    """
    beta = _check(beta, potential, bonds)
    widths = _widths(widths)
    for name, agree, n in (("agree_in", agree_in, widths[0]), ("agree_out", agree_out, widths[-1])):
        if not 0 <= agree <= n or int(agree) != agree:
            raise ValueError(f"{name} must be an integer from 0 to {n}, got {agree!r}")
    pairs = {n: _pair_moments(n, beta, potential, bonds, n_nodes) for n in {*widths[:-1]}}
    transfers = []
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(widths), start=1):
        k = np.arange(n_out + 1)
        log_states = np.zeros(n_out + 1)  # the outputs are given
        if layer < len(widths) - 1:
            log_states = n_out * math.log(2) + _log_binomial(n_out)
        elements = []
        for value in pairs[n_in]:
            same, other = value[:, None], value[::-1, None]  # at q and at -q
            with np.errstate(invalid="ignore"):  # 0 * ln 0 = 0
                elements.append(np.where(k > 0, k * same, 0.0) + np.where(k < n_out, (n_out - k) * other, 0.0))
        transfers.append(_Transfer(log_states + elements[0], elements[1], elements[2]))
    chain = _chain(transfers, int(agree_in), int(agree_out))
    correlation = [float(p @ (2 * np.arange(n + 1) / n - 1)) for p, n in zip(chain.law, widths, strict=True)]
    return TwoPatternNetwork(
        chain.log_partition,
        float(chain.energy_layer.sum()),
        chain.energy_variance,
        chain.energy_layer,
        np.array(correlation[1:-1]),
        chain.law,
    )


# ---- Wide networks: the liquid, and one layer by replicas


def liquid_energy(beta: float, potential: str = "soft") -> float:
    """Energy per gap of the liquid (all overlaps 0), N -> infinity, L >= 2.

    e = int Dr v e^(-beta v) / int Dr e^(-beta v),  r standard normal.  Corrections are of order 1/N.

    Examples
    --------
    >>> round(liquid_energy(5.0), 12)
    0.021060225367
    """
    beta = _check(beta, potential)
    if potential == "hard":
        return 0.0
    if potential == "count":
        return math.exp(-beta) / (1 + math.exp(-beta))
    t = math.sqrt(1 + 2 * beta)
    return t**-3 / (1 + 1 / t)


def _normal_rule(s: float) -> tuple[Array, Array]:
    """Trapezoid rule for  E f(z)  where f varies on the scale s <= 1: converges exponentially in s / spacing."""
    spacing = min(0.02, s / 20)
    z = (np.arange(-math.ceil(10 / spacing), math.ceil(10 / spacing) + 1) * spacing).astype(np.float64)
    return z, np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * spacing


def _log_gap_weight(h: Array, s: float, beta: float, potential: str) -> tuple[Array, Array, Array, Array]:
    """Of g(h) = E exp(-beta v(h + s y)), y normal:  ln g, its derivatives (ln g)', (ln g)'', and -d(ln g)/d beta.

    With u = h/s and A = Phi(u):  g = A + T, where T is what errors contribute,
    "soft":  T = exp(-beta h^2/t^2) Phi(-h/(s t)) / t,  t^2 = 1 + 2 beta s^2;  "count":  T = e^-beta (1 - A).
    """
    u = h / s
    if potential == "soft":
        t2 = 1 + 2 * beta * s * s
        log_T = -math.log(t2) / 2 - beta * h * h / t2 + log_ndtr(-u / math.sqrt(t2))
    else:
        log_T = log_ndtr(-u) - (beta if potential == "count" else math.inf)
    log_g = np.logaddexp(log_ndtr(u), log_T)
    T = np.exp(log_T - log_g)  # all in units of g from here
    phi = np.exp(-(u**2) / 2 - log_g) / math.sqrt(2 * math.pi)
    if potential == "soft":
        slope = 2 * beta / t2 * (s * phi - h * T)
        curvature = 2 * beta / t2 * (-T - h * slope) - slope**2  # (s phi - h T)' = -T - h g'
        energy = T * (s * s / t2 + (h / t2) ** 2) - phi * h * s / t2**2
    else:
        error = math.exp(-beta) if potential == "count" else 0.0
        slope = (1 - error) * phi / s
        curvature = -slope * (u / s + slope)
        energy = T if potential == "count" else np.zeros_like(h)
    return log_g, slope, curvature, energy


@dataclass(frozen=True)
class ReplicaSymmetricPerceptron:
    """Bond overlap q of two replicas, energy per gap, and the replicon: the solution is stable while it is < 1."""

    overlap: float
    energy: float
    replicon: float


def replica_symmetric_perceptron(load: float, beta: float, potential: str = "soft") -> ReplicaSymmetricPerceptron:
    """One layer (L = 1), random data, N -> infinity, replica symmetric; spherical bonds.

        q/(1-q)^2 = load E[((ln g)')^2],   h = sqrt(q) z,   g(h) = E_y exp(-beta v(h + sqrt(1-q) y)),
        e = -E[d(ln g)/d beta],            replicon = load (1-q)^2 E[((ln g)'')^2].

    q is what two independent replicas have in common, neuron by neuron: a single layer has no gauge freedom.
    The hard potential has a solution for load < 2.

    Examples
    --------
    >>> solution = replica_symmetric_perceptron(4.0, beta=5.0)
    >>> round(solution.overlap, 10), round(solution.energy, 10), round(solution.replicon, 4)
    (0.7893278914, 0.0691740431, 0.6982)
    """
    beta = _check(beta, potential)
    if not load >= 0 or (potential == "hard" and load >= 2):
        raise ValueError(f"load must be >= 0{' and < 2' if potential == 'hard' else ''}, got {load!r}")

    def averages(q: float) -> tuple[float, float, float]:
        s = math.sqrt(1 - q)
        z, weight = _normal_rule(s)
        _, slope, curvature, energy = _log_gap_weight(math.sqrt(q) * z, s, beta, potential)
        return float(weight @ slope**2), float(weight @ curvature**2), float(weight @ energy)

    def residual(q: float) -> float:
        return q - load * (1 - q) ** 2 * averages(q)[0]

    if residual(MOST_OVERLAP) <= 0:
        raise ArithmeticError(f"the overlap at load {load!r} and beta {beta!r} is above {MOST_OVERLAP}")
    q = float(brentq(residual, 0.0, MOST_OVERLAP, xtol=1e-15, rtol=1e-14))
    _, curvature2, energy = averages(q)
    return ReplicaSymmetricPerceptron(q, energy, load * (1 - q) ** 2 * curvature2)


@dataclass(frozen=True)
class ReplicaSymmetricStudent:
    """Overlaps R (student, teacher) and q (student, student); wrong fractions of training and fresh examples."""

    teacher_overlap: float
    overlap: float
    training_error: float
    generalisation_error: float


def replica_symmetric_student(load: float, beta: float) -> ReplicaSymmetricStudent:
    """One layer (L = 1), noiseless teacher, count potential, N -> infinity, replica symmetric; spherical bonds.

    Extremises  ln(1-q)/2 + (q - R^2)/(2(1-q)) + 2 load E[p ln g],  b = e^-beta, z standard normal, h = sqrt(q) z,

        p = Phi(R z/sqrt(q - R^2)),    g = b + (1-b) Phi(h/sqrt(1-q)).

    With the slopes p' = dp/dy in the teacher's mean field y = R z/sqrt(q) and f' = d(ln g)/dh that is

        R/(1-q) = 2 load E[p' f'],    (q - R^2)/(1-q)^2 = 2 load E[p f'^2].

    Training error -2 E[p d(ln g)/d beta], generalisation error arccos(R)/pi.  At beta = inf the student is
    a fair sample of what the teacher could be: q = R, and the two equations are one.

    Examples
    --------
    >>> student = replica_symmetric_student(4.0, beta=3.0)
    >>> round(student.teacher_overlap, 4), round(student.training_error, 4), round(student.generalisation_error, 4)
    (0.869, 0.0197, 0.1648)
    """
    if not load >= 0:
        raise ValueError(f"load must be >= 0, got {load!r}")
    if not beta >= 0:
        raise ValueError(f"beta must be >= 0, got {beta!r}")
    if load == 0 or beta == 0:
        return ReplicaSymmetricStudent(0.0, 0.0, math.exp(-beta) / (1 + math.exp(-beta)), 0.5)
    potential = "count" if beta < math.inf else "hard"

    def averages(R: float, q: float) -> tuple[float, float, float]:
        """2 E[p' f'], 2 E[p f'^2], training error."""
        s, s0 = math.sqrt(1 - q), math.sqrt(1 - R * R / q)  # s0: spread of the teacher's field given the student's
        z, weight = _normal_rule(min(s, s0))
        _, slope, _, energy = _log_gap_weight(math.sqrt(q) * z, s, beta, potential)
        y = R / math.sqrt(q) * z / s0
        p, p1 = ndtr(y), np.exp(-(y**2) / 2) / math.sqrt(2 * math.pi) / s0
        return 2 * float(weight @ (p1 * slope)), 2 * float(weight @ (p * slope**2)), 2 * float(weight @ (p * energy))

    if beta == math.inf:

        def nishimori(q: float) -> float:
            return q - load * (1 - q) * averages(q, q)[1]

        if nishimori(MOST_OVERLAP) <= 0:
            raise ArithmeticError(f"the overlap at load {load!r} is above {MOST_OVERLAP}")
        R = q = float(brentq(nishimori, 1e-14, MOST_OVERLAP, xtol=1e-15, rtol=1e-14))
    else:

        def step(R: float, q: float) -> tuple[float, float]:
            A, B, _ = averages(R, q)
            A, B = load * A, load * B
            complement = 2 / (1 + math.sqrt(1 + 4 * (A * A + B)))  # 1 - q from q/(1-q)^2 = A^2 + B
            return A * complement, 1 - complement

        R, q = 0.4, 0.5
        for _ in range(30):
            R, q = step(R, q)

        # Unknowns without bounds: ln q/(1-q) and artanh R/sqrt(q).
        def unpack(x: Array) -> tuple[float, float]:
            q = 1 / (1 + math.exp(-x[0]))
            return math.sqrt(q) * math.tanh(x[1]), q

        def residual(x: Array) -> Array:
            R, q = unpack(x)
            return np.array(step(R, q)) - (R, q)

        solution = root(residual, [math.log(q / (1 - q)), math.atanh(R / math.sqrt(q))], tol=1e-14)
        R, q = unpack(solution.x)
        if np.abs(residual(solution.x)).max() > 1e-12:
            raise ArithmeticError(f"no solution found at load {load!r}, beta {beta!r}")
    return ReplicaSymmetricStudent(R, q, averages(R, q)[2], math.acos(R) / math.pi)


# ---- Planted data and slaved networks


def planted_energy(widths: Sequence[int], n_patterns: int, beta: float) -> tuple[float, float]:
    """Mean and variance of E over planted instances and thermal noise, count potential; any size.

    sum_{S=+-1} exp(-beta theta(-S h)) = 1 + e^-beta whatever h: each of the M sum_l N_l neurons errs on its own, with
    probability p = e^-beta/(1 + e^-beta).  (Fields must not vanish: no binary bonds of even width.)

    Examples
    --------
    >>> mean, variance = planted_energy([16, 16, 16], 16, beta=2.0)
    >>> round(mean, 4), round(variance, 4)
    (61.0319, 53.7567)
    """
    beta = _check(beta, "count")
    n, p = sum(_widths(widths)[1:]) * n_patterns, 1 / (1 + math.exp(beta))
    return n * p, n * p * (1 - p)


def _machines(n: int, bonds: str) -> tuple[Array, Array]:
    """What a perceptron of n inputs +-1 can compute: bonds that do, and the prior probability of their cell.

    Spherical bonds: for n = 2 it hands on one input, up to its sign; for n = 3 it does that, or takes a majority.
    """
    if bonds == "binary" or n == 1:
        return _binary_bonds(n)
    dictators = np.concatenate([np.eye(n), -np.eye(n)])
    if n == 2:
        return dictators, np.full(4, 1 / 4)
    if n == 3:
        majorities, _ = _binary_bonds(3)
        p = (3 * math.acos(1 / 3) - math.pi) / (4 * math.pi)  # spherical triangle of angles arccos(1/3)
        return np.concatenate([majorities, dictators]), np.append(np.full(8, p), np.full(6, (1 - 8 * p) / 6))
    raise ValueError(f"widths must be at most 3 for inputs of spherical bonds, got {n}")


@dataclass(frozen=True)
class SlavedNetwork:
    """Volume of the correct machines (fraction of the prior), <n_wrong> at beta, law of n_wrong in the prior.

    ``n_wrong_law`` has shape (M N_L + 1,).
    """

    volume: float
    n_wrong: float
    n_wrong_law: Array


def slaved_volume(
    widths: Sequence[int], inputs: ArrayLike, outputs: ArrayLike, bonds: str = "spherical", beta: float = 0.0
) -> SlavedNetwork:
    """Slaved (feed-forward) network S[l] = sgn(J[l] S[l-1]) of tiny widths: probability of each number of wrong bits.

    n_wrong is the number of wrong output bits; its mean is over the weight prior(J) exp(-beta n_wrong), beta = inf
    allowed where a correct machine exists.  sgn(0) = +1.

    Parameters
    ----------
    widths, inputs, outputs, bonds
        As in ``enumerate_network``.
    beta : float
        Inverse temperature; 0 is the prior.

    Examples
    --------
    >>> slaved_volume([2, 2, 2], [[1, 1], [1, -1], [1, 1]], [[1, 1], [-1, -1], [1, 1]]).volume
    0.09375
    """
    _check(0.0, "count", bonds)
    if not beta >= 0:
        raise ValueError(f"beta must be >= 0, got {beta!r}")
    widths = _widths(widths)
    (first, n_patterns), (_, n_outputs) = _state("inputs", inputs, widths[0]), _state("outputs", outputs, widths[-1])
    if n_patterns != n_outputs:
        raise ValueError(f"outputs must have as many patterns as inputs, {n_patterns}, got {n_outputs}")
    law = np.zeros(len(_codes(widths[0], n_patterns)))
    law[first] = 1.0
    for n_in, n_out in itertools.pairwise(widths):
        J, probability = _machines(n_in, bonds)
        computes = (layer_states(n_in, n_patterns) @ J.T < 0).swapaxes(1, 2) @ 2 ** np.arange(n_patterns)
        one = np.stack([(computes == code) @ probability for code in range(2**n_patterns)], axis=1)  # (state, code)
        law = law @ one[:, _codes(n_out, n_patterns)].prod(axis=-1)
    wrong = (layer_states(widths[-1], n_patterns) != np.asarray(outputs)).sum(axis=(1, 2))
    n_wrong_law = np.bincount(wrong, weights=law, minlength=n_patterns * widths[-1] + 1).astype(np.float64)
    k = np.flatnonzero(n_wrong_law)
    weight = n_wrong_law[k] * np.exp(-(beta * (k - k[0]) if beta < math.inf else np.where(k > k[0], np.inf, 0.0)))
    return SlavedNetwork(float(n_wrong_law[0]), float(weight @ k / weight.sum()), n_wrong_law)


@dataclass(frozen=True)
class PriorOverlap:
    """Off-diagonal second moments q2' between two machines, of one with itself, and their ratio A0."""

    between: float
    within: float
    normalised: float


def prior_overlap(layer: int, width: int | None = None) -> PriorOverlap:
    """Overlap of independent slaved machines (spherical bonds) of one width on shared coin inputs, in layer l.

    q2' = E[K^a_12 K^b_12] of two patterns; neurons agree on them with probability 1 - arccos(K)/pi, K of the layer
    below, so the number that does is a Markov chain, started from coins.  With ``width=None`` the leading order in 1/N,

        N q2'_ab = g^l,    N q2'_aa = sum_{k<=l} g^k,    A0 = g^l / sum_{k<=l} g^k,    g = 4/pi^2.

    Examples
    --------
    >>> [round(prior_overlap(layer).normalised, 3) for layer in (1, 2, 3)]
    [0.288, 0.105, 0.041]
    >>> [round(prior_overlap(layer, 10).normalised, 2) for layer in (1, 2, 3)]
    [0.33, 0.15, 0.08]
    """
    if layer < 0 or int(layer) != layer:
        raise ValueError(f"layer must be an integer >= 0, got {layer!r}")
    if width is None:
        g = 4 / math.pi**2
        between, within = g**layer, sum(g**k for k in range(layer + 1))  # times N
        return PriorOverlap(between, within, between / within)
    (n,) = {*_widths((width, width))}
    K = 2 * np.arange(n + 1) / n - 1
    agree = 1 - np.arccos(K) / math.pi
    k = np.arange(n + 1)
    step = np.exp(_log_binomial(n) + xlogy(k, agree[:, None]) + xlogy(n - k, 1 - agree[:, None]))
    first = _binomial(n)
    mean, law = K, first  # E[K_l | n_0], law of n_l
    for _ in range(layer):
        mean, law = step @ mean, law @ step
    between, within = float(first @ mean**2), float(law @ K**2)
    return PriorOverlap(between, within, between / within)
