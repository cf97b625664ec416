"""Complex phi^4 at chemical potential in its flux representation, as it is written down.

Z = sum_{k, l} delta(div k = 0) prod_links h^{|k| + 2l} e^{-mu k_time} / (l! (|k| + l)!) prod_x W(n_x), with n_x the sum
of |k| + 2l over the links of x (C. Gattringer, T. Kloiber, arXiv:1206.2954).  Fluxes k and pairs l have shape (2, Lx,
Lt): first the links in space, then those in time, each at the site where it starts.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from .quadrature import gauss_legendre
from .rng import philox_words

__all__ = ["Averages", "FluxModel", "Series", "enumerate_fluxes", "free_field", "worm"]

Integers = NDArray[np.int64]
Site = tuple[int, int]


class Averages(NamedTuple):
    """ln Z, n = (1/V) d ln Z / d mu and <phi^2> = -(2/V) d ln Z / d m^2."""

    log_z: float
    density: float
    square: float


class FluxModel(NamedTuple):
    """The sum over fluxes; `quenched`: no e^{-mu k}, and h = cosh(mu)/2 on time links."""

    shape: tuple[int, int]
    mass: float
    coupling: float
    chemical_potential: float
    quenched: bool = False

    def log_site_weight(self, n: int) -> float:
        """Give ln W(n), W(n) = 2 pi int_0^inf dr r^{n+1} exp(-(4 + m^2) r^2/2 - lambda r^4/4)."""
        return _log_site_weight(n, 4 + self.mass**2, self.coupling)

    def powers(self, k: Integers, pairs: Integers) -> Integers:
        """Powers n_x of the field, shape (Lx, Lt)."""
        load = np.abs(k) + 2 * pairs
        ends = load + np.stack([np.roll(load[0], 1, axis=0), np.roll(load[1], 1, axis=1)])
        return np.asarray(ends.sum(axis=0))

    def log_weight(self, k: Integers, pairs: Integers, head: Site = (0, 0), tail: Site = (0, 0)) -> float:
        """Logarithm of a term; a head and a tail that differ are one more power of the field each."""
        mu = self.chemical_potential
        hop = np.array([0.5, math.cosh(mu) / 2 if self.quenched else 0.5])[:, None, None]
        links = (np.abs(k) + 2 * pairs) * np.log(hop) - gammaln(pairs + 1) - gammaln(np.abs(k) + pairs + 1)
        n = self.powers(k, pairs)
        if head != tail:
            n[head] += 1
            n[tail] += 1
        bias = 0.0 if self.quenched else -mu * float(k[1].sum())
        return float(links.sum()) + bias + sum(self.log_site_weight(int(power)) for power in n.flat)

    def density(self, k: Integers, pairs: Integers) -> float:
        """Density of a configuration."""
        volume = self.shape[0] * self.shape[1]
        if self.quenched:
            return math.tanh(self.chemical_potential) * float((np.abs(k[1]) + 2 * pairs[1]).sum()) / volume
        return -float(k[1].sum()) / volume

    def square(self, k: Integers, pairs: Integers) -> float:
        """<phi^2> of a configuration, the mean of W(n_x + 2) / W(n_x)."""
        n = self.powers(k, pairs).ravel()
        return float(np.mean([math.exp(self.log_site_weight(int(m) + 2) - self.log_site_weight(int(m))) for m in n]))


@functools.cache
def _log_site_weight(n: int, a: float, coupling: float) -> float:
    # The integrand is log-concave in r, with a width of at most a^{-1/2}.
    peak = math.sqrt(2 * (n + 1) / (a + math.sqrt(a * a + 4 * coupling * (n + 1))))
    width = 1 / math.sqrt(a)
    low, high = max(0.0, peak - 12 * width), peak + 12 * width
    x, weight = gauss_legendre(200)
    r = (low + high) / 2 + (high - low) / 2 * x
    exponent = (n + 1) * np.log(r) - a * r**2 / 2 - coupling * r**4 / 4
    return float(logsumexp(exponent, b=2 * math.pi * (high - low) / 2 * weight))


def enumerate_fluxes(
    model: FluxModel, max_flux: int, max_pairs: int
) -> tuple[Averages, list[tuple[Integers, Integers]]]:
    """Sum over all configurations with |k| <= max_flux and l <= max_pairs; gives those as well.

    Parameters
    ----------
    model : FluxModel
        Of a few sites.
    max_flux, max_pairs : int
        The terms beyond are left out.

    Returns
    -------
    averages : Averages
    configurations : list of (k, l)
    """
    shape = (2, *model.shape)
    n_links = math.prod(shape)
    fluxes = []
    for values in itertools.product(range(-max_flux, max_flux + 1), repeat=n_links):
        k = np.array(values).reshape(shape)
        divergence = k[0] - np.roll(k[0], 1, axis=0) + k[1] - np.roll(k[1], 1, axis=1)
        if not divergence.any():
            fluxes.append(k)
    all_pairs = [np.array(values).reshape(shape) for values in itertools.product(range(max_pairs + 1), repeat=n_links)]
    configurations = list(itertools.product(fluxes, all_pairs))
    logs = np.array([model.log_weight(k, pairs) for k, pairs in configurations])
    weights = np.exp(logs - logsumexp(logs))
    density = float(weights @ [model.density(k, pairs) for k, pairs in configurations])
    square = float(weights @ [model.square(k, pairs) for k, pairs in configurations])
    return Averages(float(logsumexp(logs)), density, square), configurations


class Series(NamedTuple):
    """Of a chain: draws after each measured sweep, and the last configuration."""

    density: NDArray[np.float64]
    square: NDArray[np.float64]
    k: Integers
    pairs: Integers


def worm(model: FluxModel, n_thermalise: int, n_sweeps: int, seed: int, stream: int) -> Series:
    """Worm algorithm (N. Prokof'ev, B. Svistunov, Phys. Rev. Lett. 87, 160601 (2001)): one chain.

    The same random numbers and decisions as the kernel, with every acceptance from the whole weight.  A worm starts
    at a random site, and its head moves over links, changing k by one, until it meets the tail; then the l are
    changed by one, link by link.  While it thermalises, a sweep has worms until as many moves as links have been tried;
    from then on it has the number of worms that would take so many moves on average.

    Parameters
    ----------
    model : FluxModel
        Of a small lattice.
    n_thermalise, n_sweeps : int
        Sweeps without and with measurement.
    seed, stream : int
        Of the random numbers.

    Returns
    -------
    Series
    """
    shape = model.shape
    n_sites = shape[0] * shape[1]
    k, pairs = np.zeros((2, *shape), int), np.zeros((2, *shape), int)
    position = 0

    def draw() -> tuple[int, float]:
        nonlocal position
        low, high = (int(word) for word in philox_words(seed, stream, 2, position))
        position += 2
        return low, ((high << 21 | low >> 11) + 1) * 2.0**-53

    def neighbour(site: Site, direction: int) -> Site:
        step = -1 if direction % 2 else 1
        if direction < 2:
            return (site[0] + step) % shape[0], site[1]
        return site[0], (site[1] + step) % shape[1]

    def run_worm() -> int:
        place = min(int((1 - draw()[1]) * n_sites), n_sites - 1)
        head = tail = divmod(place, shape[1])
        for n_moves in itertools.count(1):
            low, uniform = draw()
            direction = low & 3
            to = neighbour(head, direction)
            changed = k.copy()
            changed[(direction // 2, *(to if direction % 2 else head))] += -1 if direction % 2 else 1
            if uniform <= math.exp(model.log_weight(changed, pairs, to, tail) - model.log_weight(k, pairs, head, tail)):
                k[:] = changed
                head = to
            if head == tail:
                return n_moves
        raise AssertionError

    def change_pairs() -> None:
        for link in np.ndindex(pairs.shape):
            low, uniform = draw()
            changed = pairs.copy()
            changed[link] += -1 if low & 1 else 1
            if changed[link] < 0:
                continue
            if uniform <= math.exp(model.log_weight(k, changed) - model.log_weight(k, pairs)):
                pairs[:] = changed

    n_moves, n_worms = 0, 0
    for sweep in range(n_thermalise):
        if sweep == n_thermalise // 2:
            n_moves, n_worms = 0, 0
        in_sweep = 0
        while in_sweep < 2 * n_sites:
            in_sweep += run_worm()
            n_worms += 1
        n_moves += in_sweep
        change_pairs()
    worms_in_sweep = max(1, math.floor(2 * n_sites * n_worms / n_moves + 0.5))
    density, square = np.empty(n_sweeps), np.empty(n_sweeps)
    for sweep in range(n_sweeps):
        for _ in range(worms_in_sweep):
            run_worm()
        change_pairs()
        density[sweep], square[sweep] = model.density(k, pairs), model.square(k, pairs)
    return Series(density, square, k, pairs)


def free_field(shape: tuple[int, int], mass: float, chemical_potential: float, quenched: bool = False) -> Averages:
    """Without interaction: ln Z = V ln 2 pi - sum_p ln D(p), for cosh(mu) < 1 + m^2/2.

    D(p) = 4 + m^2 - 2 cos p_1 - 2 cos(p_0 + i mu); quenched, cosh(mu) cos p_0 for the last cosine.

    Parameters
    ----------
    shape : (int, int)
        Lx and Lt.
    mass, chemical_potential : float
        In lattice units.
    quenched : bool
        Without the phases.

    Returns
    -------
    Averages

    Examples
    --------
    >>> print(*(round(value, 10) for value in free_field((4, 4), 1.0, 0.5)))
    5.5287361179 0.0537442475 0.5621546798
    """
    volume, mu = shape[0] * shape[1], chemical_potential
    p1 = 2 * math.pi * np.arange(shape[0])[:, None] / shape[0]
    p0 = 2 * math.pi * np.arange(shape[1]) / shape[1]
    if quenched:
        hopping, slope = np.cosh(mu) * np.cos(p0) + 0j, np.sinh(mu) * np.cos(p0) + 0j
    else:
        hopping, slope = np.cos(p0 + 1j * mu), -1j * np.sin(p0 + 1j * mu)
    d = 4 + mass**2 - 2 * np.cos(p1) - 2 * hopping
    log_z = volume * math.log(2 * math.pi) - np.log(d).sum().real
    return Averages(float(log_z), float((2 * slope / d).sum().real / volume), float(2 * (1 / d).sum().real / volume))
