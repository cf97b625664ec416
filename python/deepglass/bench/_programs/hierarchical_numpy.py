"""One sweep of the k-step equations of the deep perceptron network in vectorised NumPy, all layers at once.

Each term has a uniform grid, as fine as it needs, and all have equally many points, so that a Gaussian average is a
product of Fourier transforms for all walls (or spins) together: faster in NumPy than Gauss-Hermite nodes with
interpolation, and than dense matrices.  What it cannot do: transforms keep exp(m f) to 1e-16 of its maximum, which is
good to 1e-6 in q and F for deficits of 1e-3 and more; the number of points grows as 1/sqrt(deficit).
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import log_ndtr, ndtr

FLOOR = 1e-14  # of averages that the transforms have lost
REACH = 6.5


def divided(both):
    """The average of e, and of e f' over it; nothing where it is lost (no weight comes there)."""
    norm = np.maximum(both[0], FLOOR)
    return norm, np.where(both[0] > FLOOR, both[1], 0.0) / norm


def outermost(variance, h, dh):
    """N(0, variance) on the points; where it is narrower than their distance, weights with its first 12 moments."""
    p = np.exp(-0.5 * (h / np.maximum(np.sqrt(variance), dh)[:, None]) ** 2)
    p /= p.sum(1, keepdims=True)
    for row in np.flatnonzero(variance < dh**2):
        near = np.argsort(np.abs(h[row]), kind="stable")[: 6 if h[row, 0] > 0 else 11]
        places, which = np.unique(np.round(np.abs(h[row, near]) / dh[row], 6), return_inverse=True)
        moments = np.cumprod(np.r_[1.0, (2 * np.arange(5) + 1) * variance[row] / dh[row] ** 2])
        weights = np.linalg.solve(places ** (2 * np.arange(6)[:, None]), moments)
        p[row] = 0.0
        p[row, near] = (weights / np.bincount(which))[which]
    return p


def walls(variance, deficit, m, resolution=1.0):
    """F (n,) and g_i (n, k+1) of hard walls, from lambda_i - lambda_{i-1} (n, k+1) and 1 - lambda_k (n,)."""
    n, k = len(variance), len(m)
    half = REACH * np.sqrt(variance.sum(1)) + REACH * np.sqrt(deficit)
    width = np.clip(np.sqrt(variance.min(1)) / 1.8, 0.25 * np.sqrt(deficit), 0.45 * np.sqrt(deficit))
    size = next_fast_len(int(np.ceil((resolution * 2 * half / width).max())), real=True)
    dh = (2 * half / size)[:, None]
    h = (np.arange(size) - size // 2) * dh
    frequency = 2 * np.pi / (size * dh) * np.arange(size // 2 + 1)
    u = h / np.sqrt(deficit)[:, None]
    # Out of reach on the right, exp(m f) goes smoothly to 0, its value at the other end.
    window = ndtr((half / np.sqrt(deficit) - REACH / 2)[:, None] * 11 / REACH - u * 11 / REACH)
    f = log_ndtr(u)
    slope = np.exp(-0.5 * u * u - f) / np.sqrt(2 * np.pi * deficit)[:, None]
    slopes, tilts, norms, multipliers = [slope], [], [], []
    for i in range(k, 0, -1):
        e = np.exp(m[i - 1] * f) * window
        multiplier = np.exp(-0.5 * variance[:, i, None] * frequency**2)
        both = irfft(rfft(np.stack([e, e * slope])) * multiplier, size)
        norm, slope = divided(both)
        f = np.log(norm) / m[i - 1]
        slopes.append(slope)
        tilts.append(e)
        norms.append(norm)
        multipliers.append(multiplier)
    p = outermost(variance[:, 0], h, dh[:, 0])
    value, g = (p * f).sum(1), np.empty((n, k + 1))
    for i in range(k + 1):
        if i > 0:
            p = tilts[k - i] * irfft(rfft(p / norms[k - i]) * multipliers[k - i], size)
        g[:, i] = (p * slopes[k - i] ** 2).sum(1)
    return value, g


def spins(variance, m, resolution=1.0):
    """F (n,), g_i (n, k+1) and 1 - g_k (n,) of Ising spins, from eps_i - eps_{i-1} (n, k+1).

    f is even; for h > 0, f = h + phi, and exp(m h) goes into the Gaussian, whose mean becomes h + m v:
    an average A(h) over h' > 0 of exp(m phi), and exp(-2 m h) A(-h) for h' < 0, lose nothing.
    """
    n, k = len(variance), len(m)
    drift, sigma = np.r_[0.0, m] * variance, np.sqrt(variance)
    reach = REACH * np.sqrt(variance.sum(1)) + drift.sum(1)
    left, margin = np.maximum(REACH * sigma - drift, 0.0).max(1) + 1, (REACH * sigma + drift).max(1)
    width = np.clip(sigma.min(1) / 1.8, 0.05, 0.5) / resolution
    most = int(np.ceil((left / width).max()))  # points on h < 0, and as many before them
    size = next_fast_len(2 * most + int(np.ceil(((reach + margin) / width).max())), real=True)
    zero = 2 * most
    dh = np.maximum(left / most, (reach + margin) / (size - zero))[:, None]
    h = (np.arange(size - zero) + 0.5) * dh
    outside = h > reach[:, None]  # phi = 0 there; the other end comes in
    frequency = 2 * np.pi / (size * dh) * np.arange(size // 2 + 1)
    phi, slope = np.log1p(np.exp(-2 * h)), np.tanh(h)
    slopes, tilts, images, norms, multipliers = [slope], [], [], [], []
    e, growth = np.zeros((2, n, size)), np.zeros(n)
    for i in range(k, 0, -1):
        v = variance[:, i, None]
        tilt, image = np.exp(m[i - 1] * phi), np.exp(-2 * m[i - 1] * h[:, :most])
        e[0, :, zero:] = tilt
        e[1, :, zero:] = tilt * slope
        multiplier = np.exp(frequency * (1j * m[i - 1] * v - 0.5 * v * frequency))
        both = irfft(rfft(e) * multiplier, size)
        behind = both[:, :, most:zero][:, :, ::-1] * image
        both = both[:, :, zero:]
        both[0, :, :most] += behind[0]
        both[1, :, :most] -= behind[1]
        norm, slope = np.where(outside, 1.0, divided(both))
        phi = np.log(norm) / m[i - 1]
        growth += 0.5 * drift[:, i]
        slopes.append(slope)
        tilts.append(tilt)
        images.append(image)
        norms.append(norm)
        multipliers.append(multiplier.conj())
    p = outermost(variance[:, 0], h, dh[:, 0])
    value, g = (p * (phi + h)).sum(1) + growth, np.empty((n, k + 1))
    source = np.zeros((n, size))
    for i in range(k + 1):
        if i > 0:
            source[:, zero:] = p / norms[k - i]
            source[:, most:zero] = (source[:, zero : zero + most] * images[k - i])[:, ::-1]
            p = tilts[k - i] * irfft(rfft(source) * multipliers[k - i], size)[:, zero:]
        g[:, i] = (p * slopes[k - i] ** 2).sum(1)
    return value, g, (p * (1 - slopes[0] ** 2)).sum(1)


def bonds(A, m):
    """Q_i (n, k+1) and 1 - Q_k (n,) from A_i: beta_k by bisection, then by Newton's method from below (convex)."""
    step = np.diff(A, axis=1)
    falls = np.concatenate([np.cumsum((m * step)[:, ::-1], axis=1)[:, ::-1], np.zeros((len(A), 1))], axis=1)

    def levels(beta_k):
        beta = beta_k[:, None] - falls
        return np.concatenate([A[:, :1] / beta[:, :1] ** 2, step / (beta[:, :-1] * beta[:, 1:])], axis=1), beta

    low = np.maximum(falls[:, 0], 1.0) * (1 + 1e-12)
    span = np.full(len(A), 1.0) + A[:, -1]
    for _ in range(14):
        trial = low + 0.5 * span
        small = levels(trial)[0].sum(1) + 1 / trial > 1
        low, span = np.where(small, trial, low), 0.5 * span
    for _ in range(6):
        Q, beta = levels(low)
        fall = 2 * Q[:, 0] / beta[:, 0] + (Q[:, 1:] * (1 / beta[:, :-1] + 1 / beta[:, 1:])).sum(1) + 1 / low**2
        low = low + np.maximum(Q.sum(1) + 1 / low - 1, 0.0) / fall
    return np.cumsum(levels(low)[0], axis=1), 1 / low


def sweep(q_deficit, Q_deficit, load, m, whole=True, wall_terms=walls, spin_terms=spins):
    """-ln(1 - overlap) after one sweep, (2n, k+1): bonds 1..n, then neurons 1..n, of n solid layers a side.

    From 1 - q of neurons 0..n and 1 - Q of bonds 1..n.  With `whole` the last neuron is the middle of the network,
    and has the same bond on its other side; else there is liquid beyond it.
    """
    a, b, c = q_deficit[:-1], Q_deficit, q_deficit[1:]
    q, Q = 1 - q_deficit, 1 - Q_deficit
    complement = a + b + c - a * b - b * c - c * a + a * b * c
    variance = np.maximum(-np.diff(complement, axis=1, prepend=1.0), 0.0)
    g = wall_terms(variance, complement[:, -1], m)[1]
    new_Q, last = bonds(np.maximum.accumulate(load * q[:-1] * q[1:] * g, axis=1), m)
    eps = Q * q[:-1] * g
    eps[:-1] += Q[1:] * q[2:] * g[1:]
    if whole:
        eps[-1] *= 2
    eps = np.maximum.accumulate(eps, axis=1)
    _, new_q, one_minus = spin_terms(np.diff(eps, axis=1, prepend=0.0), m)
    deficits = []
    for overlap, rest in ((new_Q, last), (np.maximum.accumulate(new_q, axis=1), one_minus)):
        deficits.append(rest[:, None] + overlap[:, -1:] - overlap)
    return -np.log(np.concatenate(deficits))
