"""The terms of hierarchical_numpy.sweep in Numba: the algorithm of the kernel (parisi/recursion.hpp) in plain loops."""

import math

import numba
import numpy as np

SCALE, SPACING, TOLERANCE, STENCIL, MARGIN, BEYOND, MOST_NODES, MOST_STEPS = 1.2, 0.07, 19.5, 8, 3, 1.0, 400, 1000
HERMITE = 40
NODES, WEIGHTS = np.zeros((2, HERMITE + 1, HERMITE))
for _n in range(1, HERMITE + 1):
    NODES[_n, :_n], _w = np.polynomial.hermite_e.hermegauss(_n)
    WEIGHTS[_n, :_n] = _w / _w.sum()
PRODUCTS = np.array([math.prod(a - b for b in range(STENCIL) if b != a) for a in range(STENCIL)], dtype=float)


@numba.njit(fastmath=False, cache=False)
def ln_cdf_and_slope(u):
    """Logarithm of the normal distribution function, and its derivative; an asymptotic series below -12."""
    if u > -12.0:
        value = math.log(0.5 * math.erfc(-u / math.sqrt(2.0)))
        return value, math.exp(-0.5 * u * u - value) / math.sqrt(2 * math.pi)
    y, term, total = 1 / (u * u), 1.0, 1.0
    for k in range(1, 14):
        term *= -(2 * k - 1) * y
        total += term
    return -0.5 * u * u - math.log(-u * math.sqrt(2 * math.pi)) + math.log(total), -u / total


@numba.njit(fastmath=False, cache=False)
def tail(x, b):
    """Both q = (sqrt(x^2+b^2) - x)/2 and x^2 - q^2."""
    large = 0.5 * (math.sqrt(x * x + b * b) + abs(x))
    small = 0.25 * b * b / large
    if x < 0:
        return large, small * small - 0.5 * b * b
    return small, x * x - small * small


@numba.njit(fastmath=False, cache=False)
def lagrange(xi, weights):
    """Weights of the points 0 .. 7 for a value at xi."""
    before = 1.0
    for a in range(STENCIL):
        weights[a] = before / PRODUCTS[a]
        before *= xi - a
    after = 1.0
    for a in range(STENCIL - 1, -1, -1):
        weights[a] *= after
        after *= xi - a


@numba.njit(fastmath=False, cache=False)
def recursion(wall, variance, m, deficit):
    """F, g_i (k+1,), 1 - g_k (spin) of one term, and the number of its items."""
    k = len(variance) - 1
    reach = math.sqrt((1.5 if wall else 2.0) * TOLERANCE)
    largest = 1.0 if wall else (25 - 0.13 * TOLERANCE) / (0.17 * TOLERANCE**2)
    # Steps from inside, and S and s before and after them.
    level, count = np.zeros(MOST_STEPS, np.int64), np.zeros(MOST_STEPS, np.int64)
    v, spacing, size, s = np.zeros(MOST_STEPS), np.zeros(MOST_STEPS), np.zeros(MOST_STEPS + 1), np.zeros(MOST_STEPS + 1)
    size[0] = s[0] = deficit if wall else 1.0
    at_level = np.zeros(k + 2, np.int64)
    n = 0
    for i in range(k, -1, -1):
        mi, rest = (m[i - 1] if i > 0 else 0.0), variance[i]
        while rest > 0:
            smooth = size[n]
            if mi > 0:
                smooth = min(smooth, s[n] / mi if wall else 1 / mi**2)
            step = largest * smooth
            if not wall and rest > step:  # a trapezoidal rule
                step = min(rest, max(step, 150 / mi**2 if mi > 0 else 400 * smooth))
                width = math.sqrt(step)
                spacing[n] = min(math.sqrt(2 / TOLERANCE) * math.pi, math.pi**2 / ((TOLERANCE + 6) * width))
                count[n] = math.ceil(2 * (reach + mi * width) / spacing[n]) + 1
            elif rest <= step * (1 + 1e-12):
                step = rest
            elif rest < 2 * step:
                step = 0.5 * rest
            rest -= step
            a = step / smooth
            nodes = 1 + TOLERANCE / math.log(1 + 2 / a) if wall else 5 + 0.13 * TOLERANCE + 0.17 * TOLERANCE**2 * a
            level[n], v[n] = i, step
            if spacing[n] == 0:
                count[n] = min(HERMITE, max(3, math.ceil(nodes - 1e-9)))
            size[n + 1], s[n + 1] = size[n] + step, s[n] + (mi * step if wall else 0.0)
            if not wall and mi > 0:
                size[n + 1] = min(size[n + 1], max(size[n], 1 / mi**2))
            n += 1
        at_level[i] = n

    # Grids, from outside.
    rows, first = np.ones(n + 1, np.int64), np.zeros(n + 1)
    b, closed = SCALE * np.sqrt((size if wall else s)[: n + 1]), np.zeros(n + 1, np.bool_)
    total = drift = spread = 0.0
    items = 0
    for j in range(n - 1, -1, -1):
        total += v[j]
        if wall:
            c = s[j] / s[j + 1]
            spread = c * (c * spread + v[j])
            safe = math.sqrt(1.5 * (TOLERANCE + max(0.0, -math.log(size[j])))) * math.sqrt(size[j])
            end = reach * math.sqrt(total)
            closed[j] = end > safe
            last = math.ceil(math.asinh(min(end, safe) / b[j]) / SPACING) + MARGIN
            start = max(-reach * math.sqrt(spread), -end)
            first[j] = min(math.floor(math.asinh(start / b[j]) / SPACING) - MARGIN, last - STENCIL + 1)
            rows[j] = int(last - first[j]) + 1
        else:
            drift += (m[level[j] - 1] if level[j] > 0 else 0.0) * v[j]
            end = math.asinh((reach * math.sqrt(total) + drift) / b[j]) / SPACING + 0.5
            first[j] = 0.5
            rows[j] = max(STENCIL, math.ceil(end) + MARGIN)
        items += rows[j + 1] * count[j]
    offset = np.zeros(n + 2, np.int64)
    for j in range(n + 1):
        offset[j + 1] = offset[j] + rows[j]
    x, chi, psi, slope, f = np.zeros((5, offset[n + 1]))
    for j in range(n):
        for r in range(rows[j]):
            x[offset[j] + r] = b[j] * math.sinh((first[j] + r) * SPACING)
    second = 0.0

    for r in range(rows[0]):
        y = x[r]
        if wall:
            value, ratio = ln_cdf_and_slope(y / math.sqrt(s[0]))
            q, _ = tail(y, b[0])
            f[r], slope[r] = value, ratio / math.sqrt(s[0])
            chi[r], psi[r] = value + q * q / (2 * s[0]), slope[r] - q / s[0]
        else:
            f[r] = chi[r] = abs(y) + math.log1p(math.exp(-2 * abs(y)))
            slope[r] = psi[r] = math.tanh(y)

    # Outwards.
    weight, place, cell = np.empty(items), np.empty(items), np.empty(items, np.int64)
    w, (phi, at_slope, z, share_of) = np.empty(STENCIL), np.empty((4, MOST_NODES))
    base_item = np.zeros(n + 1, np.int64)
    for j in range(n):
        mj = m[level[j] - 1] if level[j] > 0 else 0.0
        half = 0.5 / s[j] if wall else 0.0
        base_item[j + 1] = base_item[j] + rows[j + 1] * count[j]
        item = base_item[j]
        for node in range(count[j]):
            if spacing[j] == 0:
                z[node], share_of[node] = NODES[count[j], node], WEIGHTS[count[j], node]
            else:
                z[node] = (node - 0.5 * (count[j] - 1)) * spacing[j]
                share_of[node] = math.exp(-0.5 * z[node] ** 2)
        share_of[: count[j]] /= share_of[: count[j]].sum()
        for r in range(rows[j + 1]):
            row = x[offset[j + 1] + r]
            left = wall and row < 0 and mj > 0
            c = s[j] / s[j + 1] if left else 1.0
            deviation = math.sqrt(c * v[j])
            for node in range(count[j]):
                y = c * row + deviation * z[node]
                if closed[j]:
                    y = min(y, x[offset[j] + rows[j] - 1])
                tau = math.asinh((y if wall else abs(y)) / b[j]) / SPACING - first[j]
                tau = min(max(tau, -BEYOND if wall else -0.5), rows[j] - 1 + BEYOND)
                lowest = 0 if wall else -(STENCIL // 2)
                where = min(max(math.floor(tau) - (STENCIL // 2 - 1), lowest), rows[j] - STENCIL)
                lagrange(tau - where, w)
                value = derivative = 0.0
                for a in range(STENCIL):
                    index = where + a
                    if index < 0:
                        value += w[a] * chi[offset[j] - 1 - index]
                        derivative -= w[a] * psi[offset[j] - 1 - index]
                    else:
                        value += w[a] * chi[offset[j] + index]
                        derivative += w[a] * psi[offset[j] + index]
                if wall:
                    q, rest = tail(y, b[j])
                    value += rest * half if left else -q * q * half
                    derivative += 2 * q * half
                elif y < 0:
                    derivative = -derivative
                phi[node], at_slope[node] = value, derivative
                place[item + node], cell[item + node] = tau - where, where
            middle, norm, mean, tilted = phi[count[j] // 2], 0.0, 0.0, 0.0
            for node in range(count[j]):
                e = share_of[node] * math.exp(mj * (phi[node] - middle))
                weight[item + node] = e
                norm += e
                mean += e * at_slope[node]
                tilted += e * phi[node]
            for node in range(count[j]):
                weight[item + node] /= norm
            item += count[j]
            value = middle + math.log(norm) / mj if mj > 0 else tilted
            here = offset[j + 1] + r
            slope[here] = mean / norm
            if wall:
                q, rest = tail(row, b[j + 1])
                square = q * q / (2 * s[j + 1])
                base = -0.5 * math.log1p(mj * v[j] / s[j]) / mj if mj > 0 else 0.0
                chi[here] = value + (base - rest / (2 * s[j + 1]) if left else square)
                f[here] = chi[here] - square
                psi[here] = slope[here] - q / s[j + 1]
            else:
                chi[here] = f[here] = value
                psi[here] = slope[here]

    # Inwards.
    g = np.zeros(k + 1)
    p, new = np.ones(1), np.ones(1)
    j = n
    for i in range(k + 1):
        while j > at_level[i + 1]:
            j -= 1
            new = np.zeros(rows[j])
            item = base_item[j]
            for r in range(rows[j + 1]):
                for node in range(count[j]):
                    lagrange(place[item + node], w)
                    share = p[r] * weight[item + node]
                    for a in range(STENCIL):
                        index = cell[item + node] + a
                        new[index if index >= 0 else -1 - index] += share * w[a]
                item += count[j]
            p = new
        for r in range(rows[j]):
            g[i] += p[r] * slope[offset[j] + r] ** 2
    if not wall:
        for r in range(rows[0]):
            second += p[r] * (1 - slope[r] ** 2)
    return f[offset[n]], g, second, items


def wall_terms(variance, deficit, m):
    """As hierarchical_numpy.walls."""
    terms = [recursion(True, v, m, d) for v, d in zip(variance, deficit, strict=True)]
    return np.array([t[0] for t in terms]), np.array([t[1] for t in terms])


def spin_terms(variance, m):
    """As hierarchical_numpy.spins."""
    terms = [recursion(False, v, m, 1.0) for v in variance]
    return tuple(np.array([t[i] for t in terms]) for i in range(3))
