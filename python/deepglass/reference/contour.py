"""Complex phi^4 at chemical potential on linear contours and those of networks, in plain NumPy.

Fields z are complex, shape (..., 2, n_space, n_time); on the contour z_a = t_a + i sum_b eps_ab C t_b with real t,
eps_12 = 1 and (C t)(x) = sum_y c(y - x) t(y), c(x) real and odd, shape (n_space, n_time).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepglass.reference.rng import philox_normal, philox_uniform

__all__ = [
    "network_gradient",
    "network_log_weight",
    "phi4_action",
    "phi4_density",
    "phi4_gradient",
    "phi4_hessian",
    "phi4_kernel",
    "phi4_map",
    "phi4_phi2",
    "phi4_real_gradient",
    "phi4_sample",
]

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_EPS = np.array([[0.0, 1.0], [-1.0, 0.0]])
_SPACE, _TIME = -2, -1


def phi4_action(z: ArrayLike, mass: float, coupling: float, chemical_potential: float) -> Complex:
    """S = sum_x (4 + m^2)/2 r^2 + lambda/4 r^4 - z_a z_a(x+1) - z_a z_b(x+0) (delta_ab cosh mu - i eps_ab sinh mu)."""
    z = np.asarray(z, complex)
    link = np.cosh(chemical_potential) * np.eye(2) - 1j * np.sinh(chemical_potential) * _EPS
    r2 = (z * z).sum(axis=-3)
    space = (z * np.roll(z, -1, _SPACE)).sum(axis=-3)
    time = np.einsum("ab,...axy,...bxy->...xy", link, z, np.roll(z, -1, _TIME))
    return np.asarray(((4 + mass**2) / 2 * r2 + coupling / 4 * r2**2 - space - time).sum(axis=(-2, -1)))


def phi4_gradient(z: ArrayLike, mass: float, coupling: float, chemical_potential: float) -> Complex:
    """Give dS / dz_a(x)."""
    z = np.asarray(z, complex)
    r2 = (z * z).sum(axis=-3, keepdims=True)
    ahead, back = np.roll(z, -1, _TIME), np.roll(z, 1, _TIME)
    turned = np.einsum("ab,...bxy->...axy", _EPS, ahead - back)
    return np.asarray(
        (4 + mass**2) * z
        + coupling * r2 * z
        - np.roll(z, -1, _SPACE)
        - np.roll(z, 1, _SPACE)
        - np.cosh(chemical_potential) * (ahead + back)
        + 1j * np.sinh(chemical_potential) * turned
    )


def phi4_density(z: ArrayLike, chemical_potential: float) -> Complex:
    """Density (1/V) sum_x z_a z_b(x+0) (delta_ab sinh mu - i eps_ab cosh mu)."""
    z = np.asarray(z, complex)
    link = np.sinh(chemical_potential) * np.eye(2) - 1j * np.cosh(chemical_potential) * _EPS
    return np.asarray(np.einsum("ab,...axy,...bxy->...xy", link, z, np.roll(z, -1, _TIME)).mean(axis=(-2, -1)))


def phi4_phi2(z: ArrayLike) -> Complex:
    """(1/V) sum_x z_a z_a."""
    z = np.asarray(z, complex)
    return np.asarray((z * z).sum(axis=-3).mean(axis=(-2, -1)))


def phi4_hessian(shape: tuple[int, int], mass_squared: float, chemical_potential: float) -> Complex:
    """d^2 S / dz_i dz_j of the free field, i = (a, x) flattened."""
    size = 2 * shape[0] * shape[1]
    units = np.eye(size).reshape(size, 2, *shape)
    return phi4_gradient(units, np.sqrt(complex(mass_squared)), 0.0, chemical_potential).reshape(size, size)


def phi4_kernel(shape: tuple[int, int], mass_squared: float, chemical_potential: float) -> Array:
    """c(x), from the thimble z = (1 + i Y X^-1) t, X + i Y = A^(-1/2), of the free field with Hessian A.

    Needs cosh mu < 1 + mass_squared / 2.
    """
    values, vectors = np.linalg.eig(phi4_hessian(shape, mass_squared, chemical_potential))
    root = vectors @ np.diag(values**-0.5) @ np.linalg.inv(vectors)
    slope = root.imag @ np.linalg.inv(root.real)
    return np.asarray(slope.reshape(2, *shape, 2, *shape)[0, 0, 0, 1])  # eps_12 c(y - 0)


def phi4_map(t: ArrayLike, kernel: ArrayLike) -> Complex:
    """Give z(t), by the sum over all pairs of sites."""
    t, c = np.asarray(t, float), np.asarray(kernel, float)
    y = np.zeros_like(t)
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            y += c[i, j] * np.einsum("ab,...bxy->...axy", _EPS, np.roll(t, (-i, -j), (_SPACE, _TIME)))
    return np.asarray(t + 1j * y)


def phi4_real_gradient(
    t: ArrayLike, kernel: ArrayLike, mass: float, coupling: float, chemical_potential: float
) -> Array:
    """Give d Re S(z(t)) / dt = Re F - B^T Im F,  F = dS/dz, B the slope of the contour; it is symmetric."""
    force = phi4_gradient(phi4_map(t, kernel), mass, coupling, chemical_potential)
    return np.asarray(force.real - phi4_map(force.imag, kernel).imag)


def phi4_sample(
    kernel: ArrayLike,
    mass: float,
    coupling: float,
    chemical_potential: float,
    *,
    n_chains: int,
    n_draws: int,
    n_thermal: int,
    every: int,
    n_steps: int,
    step: float,
    seed: int,
) -> tuple[Complex, Complex, Complex, Array]:
    """Hybrid Monte Carlo of the weight exp(-Re S).

    Chain c takes stream c of the seed, and of it for the start and for each trajectory 2 V normals (site by site,
    both components) and two uniforms: the factor 0.8 + 0.4 u of the step, and the acceptance.

    Returns
    -------
    action, density, phi2 : complex arrays, shape (n_chains, n_draws)
    accepted : array, shape (n_chains,)
        Trajectories accepted after n_thermal.
    """
    c = np.asarray(kernel, float)
    volume = c.size
    model = (mass, coupling, chemical_potential)

    def normals(chain: int, k: int) -> Array:
        return philox_normal(seed, chain, 2 * volume, k * (2 * volume + 2)).reshape(*c.shape, 2).transpose(2, 0, 1)

    series: list[list[tuple[complex, complex, complex]]] = []
    accepted = np.zeros(n_chains)
    for chain in range(n_chains):
        t = 0.5 * normals(chain, 0)
        series.append([])
        for k in range(1, n_thermal + n_draws * every + 1):
            p = normals(chain, k)
            u = philox_uniform(seed, chain, 2, k * (2 * volume + 2) + 2 * volume)
            eps = step * (0.8 + 0.4 * u[0])
            before = phi4_action(phi4_map(t, c), *model).real + (p**2).sum() / 2
            moved = t
            p = p - eps / 2 * phi4_real_gradient(moved, c, *model)
            for leap in range(n_steps):
                moved = moved + eps * p
                p = p - (eps if leap < n_steps - 1 else eps / 2) * phi4_real_gradient(moved, c, *model)
            after = phi4_action(phi4_map(moved, c), *model).real + (p**2).sum() / 2
            if after - before <= -np.log(u[1]):
                t = moved
                accepted[chain] += k > n_thermal
            if k > n_thermal and (k - n_thermal) % every == 0:
                z = phi4_map(t, c)
                series[-1].append(
                    (complex(phi4_action(z, *model)), complex(phi4_density(z, model[2])), complex(phi4_phi2(z)))
                )
    action, density, phi2 = np.moveaxis(np.array(series), -1, 0)
    return action, density, phi2, accepted


def network_log_weight(
    t: ArrayLike, weights: Mapping[str, Array], kernel: ArrayLike, mass: float, coupling: float, mu: float
) -> complex:
    """L = ln det(dz/dt) - S(z) of one configuration, shape (2, n_space, n_time), on z = t + i (B t + y(t)).

    With all entries in one row, y = alpha tanh(W2 tanh(W1 t + b1) + b2) + beta; B is the slope of the linear contour
    with this kernel, 0 for none.
    """
    point = _network(t, weights, kernel)
    sign, log = np.linalg.slogdet(point.jacobian)
    return complex(log + 1j * np.angle(sign) - phi4_action(point.z, mass, coupling, mu))


def network_gradient(
    t: ArrayLike, weights: Mapping[str, Array], kernel: ArrayLike, mass: float, coupling: float, mu: float
) -> dict[str, Array]:
    """Derivatives of Re L by ``t`` and by each of the weights, one configuration; J = dz/dt as a full matrix.

    d Re L = Re tr(J^-1 dJ) - Re sum_k F_k dz_k,  F = dS/dz, with J = 1 + i (B + diag(alpha f') W2 diag(a') W1).
    """
    point = _network(t, weights, kernel)
    W1, W2, alpha = weights["W1"], weights["W2"], weights["alpha"]
    F = phi4_gradient(point.z, mass, coupling, mu).ravel()
    a, f, a_slope, f_slope = point.a, point.f, 1 - point.a**2, 1 - point.f**2
    G = (1j * np.linalg.inv(point.jacobian)).real  # d Re ln det J = tr G dY for y(t) with slope Y
    scale = alpha * f_slope
    by_y = F.imag  # -Re F dz, dz = i dy
    by_scale = np.diag(W2 @ np.diag(a_slope) @ W1 @ G)
    by_v2 = by_y * scale - 2 * f * scale * by_scale
    by_a_slope = np.diag(W1 @ G @ np.diag(scale) @ W2)
    by_v1 = a_slope * (W2.T @ by_v2 - 2 * a * by_a_slope)
    return {
        "t": (-F.real + point.tilt.T @ by_y + W1.T @ by_v1).reshape(point.z.shape),
        "W1": np.outer(by_v1, np.ravel(t)) + np.diag(a_slope) @ W2.T @ np.diag(scale) @ G.T,
        "b1": by_v1,
        "W2": np.outer(by_v2, a) + (np.diag(a_slope) @ W1 @ G @ np.diag(scale)).T,
        "b2": by_v2,
        "alpha": by_y * f + f_slope * by_scale,
        "beta": by_y,
    }


class _Point(NamedTuple):
    z: Complex
    a: Array
    f: Array
    tilt: Array  # B
    jacobian: Complex


def _network(t: ArrayLike, weights: Mapping[str, Array], kernel: ArrayLike) -> _Point:
    t = np.asarray(t, float)
    units = np.eye(t.size).reshape(t.size, *t.shape)
    tilt = phi4_map(units, kernel).imag.reshape(t.size, t.size).T
    a = np.tanh(weights["W1"] @ t.ravel() + weights["b1"])
    f = np.tanh(weights["W2"] @ a + weights["b2"])
    slope = np.diag(weights["alpha"] * (1 - f**2)) @ weights["W2"] @ np.diag(1 - a**2) @ weights["W1"]
    y = tilt @ t.ravel() + weights["alpha"] * f + weights["beta"]
    return _Point(t + 1j * y.reshape(t.shape), a, f, tilt, np.eye(t.size) + 1j * (tilt + slope))
