"""Complex phi^4 at chemical potential on linear contours, in plain NumPy.

Fields z are complex, shape (..., 2, n_space, n_time); on the contour z_a = t_a + i sum_b eps_ab C t_b with real t,
eps_12 = 1 and (C t)(x) = sum_y c(y - x) t(y), c(x) real and odd, shape (n_space, n_time).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepglass.reference.rng import philox_normal, philox_uniform

__all__ = [
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
