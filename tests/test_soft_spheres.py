"""Soft spheres: energies against all pairs, derivatives, mechanical equilibrium, the isostatic number, literature."""

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepglass import ConvergenceWarning
from deepglass.learning import soft_spheres, sphere_jamming
from deepglass.learning.soft_spheres import Spheres, _decompressed

pytestmark = pytest.mark.same_bits


def pairs(spheres, x):
    """All pairs that overlap, with overlaps and vectors to the first from the nearest image of the second."""
    n, d = x.shape
    for i, j in itertools.combinations(range(n), 2):
        sigma = (spheres.diameters[i] + spheres.diameters[j]) / 2
        images = [x[i] - x[j] + shift for shift in itertools.product((-1, 0, 1), repeat=d)]
        apart = min(images, key=np.linalg.norm)
        r = np.linalg.norm(apart)
        if r < sigma:
            yield i, j, 1 - r / sigma, apart / r / sigma


def all_pairs(spheres, x):
    energy, force = 0.0, np.zeros_like(x)
    for i, j, overlap, direction in pairs(spheres, x):
        energy += overlap**2 / 2
        force[i] += overlap * direction
        force[j] -= overlap * direction
    return energy, force


def start(n, d, seed):
    return np.random.default_rng(seed).uniform(size=(n, d))


@given(n=st.integers(40, 60), d=st.integers(2, 3), fraction=st.floats(0.3, 1.2), seed=st.integers(0, 2**32))
@settings(max_examples=6)
def test_energy_and_force_are_those_of_all_pairs(n, d, fraction, seed):
    """On the way as well: neighbours are listed anew only after some moves."""
    spheres, rng = Spheres(n, d, fraction), np.random.default_rng(seed)
    x = rng.uniform(size=(n, d))
    for step in (0.0, 0.003, 0.003, 0.1, 3.0):
        x = x + step * rng.uniform(-1, 1, (n, d))
        energy, gradient = spheres.energy(x)
        wanted, force = all_pairs(spheres, x % 1.0)
        assert energy == pytest.approx(wanted, rel=1e-11, abs=1e-18)
        np.testing.assert_allclose(-gradient, force, rtol=1e-9, atol=1e-12 / spheres.unit)


@pytest.mark.parametrize("d", [2, 3])
def test_derivatives(d):
    spheres, x, h = Spheres(40, d, 0.9), start(40, d, 1), 1e-6
    gradient, hessian = spheres.energy(x)[1], spheres.hessian(x).toarray()
    direction = np.random.default_rng(2).normal(size=x.shape)
    (low, before), (high, after) = (spheres.energy(x + s * h * direction) for s in (-1, 1))
    # Third derivatives are about 1 / sigma^3, and overlaps that begin within h count.
    assert (high - low) / (2 * h) == pytest.approx((gradient * direction).sum(), rel=1e-6)
    slope = (after - before).ravel() / (2 * h)
    np.testing.assert_allclose(hessian @ direction.ravel(), slope, rtol=1e-4, atol=1e-3 * abs(slope).max())
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-9)
    np.testing.assert_allclose(hessian.reshape(40 * d, 40, d).sum(axis=1), 0.0, atol=1e-9)  # of a translation


@pytest.mark.parametrize("d", [2, 3])
def test_volumes(d):
    diameters = Spheres(50, d, 0.8).diameters
    volume = np.pi / 4 * diameters**2 if d == 2 else np.pi / 6 * diameters**3
    assert volume.sum() == pytest.approx(0.8, rel=1e-14)
    assert sorted(set((diameters / diameters.min()).round(12))) == [1.0, 1.4]


@pytest.mark.parametrize(("d", "fraction"), [(2, 0.9), (2, 0.86), (3, 0.7)])
def test_descent_ends_in_mechanical_equilibrium(d, fraction):
    spheres = Spheres(60, d, fraction)
    packing = spheres.relaxed(start(60, d, 3))
    energy, force = all_pairs(spheres, packing.positions % 1.0)
    assert packing.jammed and packing.energy == pytest.approx(energy / 60, rel=1e-9)
    assert abs(force).max() * spheres.unit < 1e-7 * np.sqrt(2 * energy / 60)
    curvatures = np.linalg.eigvalsh(spheres.hessian(packing.positions).toarray()) * spheres.unit**2
    assert curvatures.min() > -1e-9  # a minimum, no saddle
    # As many without curvature as translations and degrees of freedom of rattlers
    held = 60 - packing.n_rattlers
    assert (curvatures < 1e-8).sum() == d + d * packing.n_rattlers
    # Rattlers, one after the other
    bonds = {(i, j) for i, j, *_ in pairs(spheres, packing.positions % 1.0)}
    alive = set(range(60))
    while any(loose := [i for i in alive if sum(i in bond for bond in bonds) <= d]):
        alive.discard(loose[0])
        bonds = {bond for bond in bonds if loose[0] not in bond}
    assert (len(bonds), len(alive)) == (packing.n_contacts, held)


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("d", "n", "jamming"), [(2, 64, 0.842), (3, 48, 0.648)])
def test_jamming(d, n, jamming):
    excesses = [1e-2, 1e-6, 1e-4, 1e-5]
    found = sphere_jamming(excesses, n_spheres=n, dimension=d, n_repeats=4, seed=5)
    assert found.converged.all() and found.residual.max() < 1e-7
    isostatic = d * (n - found.n_rattlers) - d + 1
    assert (found.n_contacts - isostatic).sel(excess=1e-6).values.tolist() == [0] * 4
    assert (found.n_contacts - isostatic >= 0).all() and (found.n_contacts - isostatic).sel(excess=1e-2).min() > 3
    np.testing.assert_allclose(found.contacts, 2 * found.n_contacts / (n - found.n_rattlers))
    # E = c (phi - phi_J)^2 where the contacts do not change
    ratio = found.energy.sel(excess=1e-5) / found.energy.sel(excess=1e-6)
    np.testing.assert_allclose(ratio, 100, rtol=0.01)
    # The transition moves with the size, by 0.12 L^(-1 / 0.71) (O'Hern et al.), here 0.006 and 0.02
    assert float(found.jamming_fraction.mean()) == pytest.approx(jamming, abs=0.02)
    # On both sides of it
    fraction, x = _decompressed(np.random.default_rng(8).uniform(size=(n, d)))
    below, above = (Spheres(n, d, fraction + step).relaxed(x) for step in (-1e-5, 1e-5))
    assert not below.jammed and below.n_contacts == 0 and below.n_rattlers == n
    assert above.jammed and above.energy > 1e-12


def test_random_starts():
    found = soft_spheres([0.6, 1.0], n_spheres=40, n_repeats=2, seed=1)
    assert found.sizes == {"packing_fraction": 2, "repeat": 2}
    loose, jammed = (found.isel(packing_fraction=i) for i in (0, 1))
    assert (loose.energy < 1e-20).all() and (loose.n_rattlers == 40).all() and (loose.contacts == 0).all()
    assert (jammed.energy > 1e-3).all() and (jammed.contacts > 4.5).all()
    more = soft_spheres([0.6, 1.0], n_spheres=40, n_repeats=3, seed=1)
    np.testing.assert_array_equal(more.energy[:, :2], found.energy)
    seen = []
    soft_spheres([0.6], n_spheres=16, n_repeats=2, seed=1, progress=lambda *args: seen.append(args))
    assert seen == [(1, 2), (2, 2)]


def test_order_of_excesses_does_not_matter():
    options = {"n_spheres": 32, "n_repeats": 1, "seed": 2}
    one, other = (sphere_jamming(steps, **options) for steps in ([1e-3, 0.05], [0.05, 1e-3]))
    np.testing.assert_array_equal(one.energy, other.energy[::-1])
    assert one.jamming_fraction.item() == other.jamming_fraction.item()


def test_forces_that_are_left_are_told(monkeypatch):
    monkeypatch.setattr(sys.modules["deepglass.learning.soft_spheres"], "_NEWTON_STEPS", 0)
    with pytest.warns(ConvergenceWarning, match="soft_spheres left forces of .* of those of contacts"):
        found = soft_spheres([1.0], n_spheres=32, n_repeats=1, seed=1)
    assert not found.converged.any() and (found.residual > 1e-7).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_spheres": 15}, "n_spheres must be an integer from 16 to 1000000, got 15"),
        ({"dimension": 4}, "dimension must be an integer from 2 to 3, got 4"),
        ({"n_repeats": 0}, "n_repeats must be an integer from 1"),
        ({"n_spheres": 16, "dimension": 3}, "n_spheres must be larger: 16 of packing fraction"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        soft_spheres([1.5], **change)
    with pytest.raises(ValueError, match=message):
        sphere_jamming([0.5], **change)


@pytest.mark.parametrize("bad", [[0.0], [], [np.nan], [2.0], ["a"], [[0.5, 0.4]]])
def test_bad_numbers(bad):
    with pytest.raises(ValueError, match=r"packing_fractions must be (some numbers )?in \(0, 1.5\], got"):
        soft_spheres(bad)
    with pytest.raises(ValueError, match=r"excesses must be (some numbers )?from 1e-6 to 0.5, got"):
        sphere_jamming(bad)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "n", "jamming", "shift"), [(2, 256, 0.842, 0.003), (3, 128, 0.648, 0.005)])
def test_literature(d, n, jamming, shift):
    """Place of the transition, up to its shift at finite N; exponents and amplitude of the contacts."""
    found = sphere_jamming([1e-3, 1e-2, 0.1], n_spheres=n, dimension=d, n_repeats=8, seed=1)
    fraction = found.jamming_fraction
    assert abs(fraction.mean() - jamming) < shift + 4 * fraction.std() / np.sqrt(7)
    isostatic = 2 * (d * (n - found.n_rattlers) - d + 1) / (n - found.n_rattlers)
    amplitude = ((found.contacts - isostatic) / found.excess**0.5).mean("repeat")
    if d == 2:  # 3.6 +- 0.5 there
        assert (abs(amplitude - 3.6) < 0.8).all()
    slopes = np.diff(np.log(found.energy.mean("repeat"))) / np.log(10)
    np.testing.assert_allclose(slopes, 2.0, atol=0.06)
