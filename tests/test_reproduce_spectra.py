"""Spectra against simulated networks: samplers, numbers, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import deepglass as dg

pytestmark = pytest.mark.same_bits

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
finite = pytest.importorskip("deepglass.reproduce._finite")
isometry = pytest.importorskip("deepglass.reproduce.isometry")
kernel_spectra = pytest.importorskip("deepglass.reproduce.kernel_spectra")

SUFFIXES = {".png", ".pdf", ".nc", ".json", ".txt"}


def test_haar_is_orthogonal_and_invariant() -> None:
    rng = np.random.default_rng(1)
    draws = np.array([finite.haar(8, rng) for _ in range(4000)])
    np.testing.assert_allclose(draws @ draws.transpose(0, 2, 1), np.broadcast_to(np.eye(8), draws.shape), atol=1e-13)
    trace = np.trace(draws, axis1=1, axis2=2)  # E tr = 0 (not so without the signs), E tr^2 = 1
    for sample, expected in ((trace, 0.0), (trace**2, 1.0)):
        assert abs(sample.mean() - expected) < 4 * sample.std() / np.sqrt(sample.size)


def test_extrapolation_is_exact_for_its_power() -> None:
    def at(n: int) -> object:
        return finite.Estimate(np.array(2.0 + 3.0 * n**-0.5), np.array(0.1))

    limit = finite.extrapolated([at(50), at(100)], power=0.5)
    assert limit.mean == pytest.approx(2.0, abs=1e-13)
    assert limit.error == pytest.approx(0.1 * np.hypot(2**0.5, 1) / (2**0.5 - 1))


def test_tangent_kernel_is_the_gradients() -> None:
    """The kernel's trace and one entry by finite differences are what the formula of its layers gives."""
    rng = np.random.default_rng(2)
    inputs = kernel_spectra._gaussian_inputs(9, rng)
    state = rng.bit_generator.state
    found = kernel_spectra._kernels(inputs, rng)["tangent kernel"]
    rng.bit_generator.state = state
    phi = dg.meanfield.activation("tanh").normalised()
    widths = [round(9 / ratio) for ratio in kernel_spectra._RATIOS]
    first, second = rng.normal(size=(widths[0], 18)), rng.normal(size=(widths[1], widths[0]))
    readout = rng.choice([-1.0, 1.0], size=widths[1])

    def output(parameters: np.ndarray) -> np.ndarray:
        a = parameters[: first.size].reshape(first.shape)
        b = parameters[first.size : first.size + second.size].reshape(second.shape)
        h = phi(a @ inputs) / np.sqrt(widths[0])
        return parameters[first.size + second.size :] @ phi(b @ h) / np.sqrt(widths[1])

    at = np.concatenate([first.ravel(), second.ravel(), readout])
    step = 1e-5
    gradient = np.array([(output(at + step * e) - output(at - step * e)) / (2 * step) for e in np.eye(at.size)])
    np.testing.assert_allclose(found, np.linalg.eigvalsh(gradient.T @ gradient), rtol=1e-7)  # differences: 1e-9


# Single points next to an edge are left out of a curve, with a warning.
@pytest.mark.no_sanitizer
@pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning")
def test_isometry(tmp_path: Path) -> None:
    written = isometry._reproduce(tmp_path, isometry.Sizes(48, (24, 24), 32, 12, 32, 8))
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == SUFFIXES
    jacobian = dg.load(tmp_path / "jacobian.nc")
    pull = (jacobian.limit_variance - jacobian.relative_variance) / jacobian.limit_variance_error
    assert float(np.abs(pull).max()) < 5
    at = jacobian.sel(activation="hard_tanh", weights="orthogonal")
    pull = (at.simulated_atom_top - at.atom_top) / at.simulated_atom_top_error
    assert float(np.abs(pull).max()) < 5
    # the closed variance is that of the density
    for kind in ("orthogonal", "gaussian"):
        one = jacobian.sel(activation="tanh", weights=kind, depth=4)
        law = dg.spectra.jacobian_spectrum("tanh", float(one.weight_variance), 0.01, 4, kind)
        assert law.variance / law.mean**2 == pytest.approx(float(one.relative_variance), rel=1e-6)
    fisher = dg.load(tmp_path / "conditional_fisher.nc")
    assert abs(fisher.theory_mean - 1).max() < 1e-9  # at the edge of chaos the mean is L qhat
    pull = (fisher.limit_mean - fisher.theory_mean) / fisher.limit_mean_error
    assert float(np.abs(pull).max()) < 5
    ring = dg.load(tmp_path / "convolution.nc")
    pull = (ring.limit_variance - ring.relative_variance) / ring.limit_variance_error
    assert float(np.abs(pull).max()) < 5


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_kernel_spectra(tmp_path: Path, suffix: str) -> None:
    images = np.random.default_rng(3).integers(0, 256, size=(200, 6, 8), dtype=np.uint8)
    file = tmp_path / f"noise.{suffix}"
    if suffix == "npy":
        np.save(file, images)
    else:
        np.savez(file, labels=np.arange(200), images=images)
    written = kernel_spectra._reproduce(tmp_path, 80, (12, 8), file)
    assert {path.suffix for path in written} == SUFFIXES
    gaussian, found = dg.load(tmp_path / "gaussian.nc"), dg.load(tmp_path / "images.nc")
    assert found.attrs["source"] == "noise"
    for key in ("stieltjes_real", "stieltjes_imag"):
        pull = (gaussian[f"simulated_{key}"] - gaussian[key]) / gaussian[f"simulated_{key}_error"]
        assert float(np.abs(pull).max()) < 5
    assert (
        float(found.distance.sel(panel=found.kernel == "conjugate kernel").max()) < 0.06
    )  # noise is nearly orthogonal
