"""What a user would write instead: the deep perceptron network in vectorised NumPy, and in Numba.

All layers at once, averages by the trapezoid rule (80 Gauss-Hermite nodes miss q by 4e-3 where the field on a
neuron is wide), plain iteration with the next layer seeded when it cannot stay liquid.
"""

import math

import numpy as np
from scipy.special import log_ndtr

N_NODES = 256
NODES = np.linspace(-8.5, 8.5, N_NODES)
WEIGHTS = np.exp(-(NODES**2) / 2)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def moments(q, Q, n):
    """E f and E f'^2 of every wall, for overlaps q (L+1,), Q (L,)."""
    lam = q[:-1] * Q * q[1:]
    s = np.sqrt(1 - lam)
    u = np.sqrt(lam)[:, None] * NODES / s[:, None]
    f = log_ndtr(u)
    ratio = np.exp(-(u**2) / 2 - f) / math.sqrt(2 * math.pi)
    weights = WEIGHTS * np.exp(n * f)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights * f).sum(axis=1), (weights * ratio**2).sum(axis=1) / s**2


def spins(eps, n):
    """Spin terms and E tanh^2 for fields eps."""
    h = np.sqrt(eps)[:, None] * NODES + n * eps[:, None]
    q = np.tanh(h) ** 2 @ WEIGHTS
    return np.logaddexp(h, -h) @ WEIGHTS - eps / 2 + (1 - 2 * n) * eps * q / 2, q


def bond(A, n):
    return A / (1 + A) if n else 1 - 2 / (1 + np.sqrt(1 + 4 * A))


def sweep(q, Q, load, n):
    wall, g = moments(q, Q, n)
    eps = (q[:-1] * Q * g)[:-1] + (Q * q[1:] * g)[1:]
    spin, inner = spins(eps, n)
    new_q, new_Q = q.copy(), bond(load * q[:-1] * q[1:] * g, n)
    new_q[1:-1] = inner
    entropy = wall.sum() + spin.sum() + (np.log(1 - Q) + Q / (1 - Q if n == 0 else 1)).sum() / (2 * load)
    return new_q, new_Q, entropy


def solve(depth, load, n, tolerance=1e-10, one_sweep=sweep):
    """The wetting branch: q (depth+1,), Q (depth,), free entropy, number of sweeps."""
    q, Q = np.zeros(depth + 1), np.zeros(depth)
    q[[0, -1]] = 1.0
    sweeps = 0
    while True:
        for step in range(1, 20000):
            new_q, new_Q, entropy = one_sweep(q, Q, load, n)
            sweeps += 1
            residual = max(abs(new_q - q).max(), abs(new_Q - Q).max())
            mix = 0.5 if step % 7 == 0 else 1.0
            q, Q = q + mix * (new_q - q), Q + mix * (new_Q - Q)
            if residual < tolerance:
                break
        q[q < 1e-9] = 0.0
        Q[(q[:-1] == 0) | (q[1:] == 0)] = 0.0
        growth = load * (2 / math.pi) ** 2 * (q[:-2] ** 2 + q[2:] ** 2)
        layers = np.flatnonzero((q[1:-1] == 0) & (growth > 1 + 1e-7)) + 1
        if layers.size == 0:
            return q, Q, entropy, sweeps
        q[layers] = 0.02
        bonds = np.union1d(layers - 1, layers)
        Q[bonds] = bond(load * (q[:-1] * q[1:])[bonds] * 2 / math.pi, n)


def numba_sweep():
    """`sweep` compiled by Numba, or None where it is not installed."""
    try:
        import numba
    except ImportError:
        return None

    @numba.njit(fastmath=False)
    def log_cdf(u):
        if u > -5.0:
            return math.log(0.5 * math.erfc(-u / math.sqrt(2.0)))
        y, term, total = 1 / (u * u), 1.0, 1.0
        for k in range(1, 12):
            term *= -(2 * k - 1) * y
            total += term
        return -0.5 * u * u - math.log(-u * math.sqrt(2 * math.pi)) + math.log(total)

    @numba.njit(fastmath=False)
    def compiled(q, Q, load, n):
        depth = len(Q)
        g = np.empty(depth)
        new_q, new_Q = q.copy(), Q.copy()
        entropy = 0.0
        for b in range(depth):
            lam = q[b] * Q[b] * q[b + 1]
            s = math.sqrt(1 - lam)
            mass = value = slope = 0.0
            for x, w in zip(NODES, WEIGHTS):  # noqa: B905
                u = math.sqrt(lam) * x / s
                f = log_cdf(u)
                ratio = math.exp(-u * u / 2 - f) / math.sqrt(2 * math.pi)
                if n:
                    w = w * math.exp(f)
                mass += w
                value += w * f
                slope += w * ratio * ratio
            g[b] = slope / mass / (s * s)
            A = load * q[b] * q[b + 1] * g[b]
            new_Q[b] = A / (1 + A) if n else 1 - 2 / (1 + math.sqrt(1 + 4 * A))
            entropy += value / mass + (math.log(1 - Q[b]) + Q[b] / (1.0 if n else 1 - Q[b])) / (2 * load)
        for layer in range(1, depth):
            eps = q[layer - 1] * Q[layer - 1] * g[layer - 1] + Q[layer] * q[layer + 1] * g[layer]
            value = overlap = 0.0
            for x, w in zip(NODES, WEIGHTS):  # noqa: B905
                h = abs(math.sqrt(eps) * x + n * eps)
                value += w * (h + math.log1p(math.exp(-2 * h)))
                overlap += w * math.tanh(h) ** 2
            new_q[layer] = overlap
            entropy += value - eps / 2 + (1 - 2 * n) * eps * overlap / 2
        return new_q, new_Q, entropy

    return compiled
