"""
Signal and noise in a sample covariance
=======================================

Four directions of 400 carry a signal: variances 1.4, 2, 3 and 4, all others 1. The covariance of 800 samples
smears the ones out to the Marchenko-Pastur law. A signal above the threshold, 1 + sqrt(1/2), leaves it as an
outlier at a computable place; the weakest one is lost. On the right the samples carry more noise: one more free
sum, and another signal is gone.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

n, n_samples, noise = 400, 800, 1.2
signals = np.array([1.4, 2.0, 3.0, 4.0])
rng = np.random.default_rng(1)
variances = np.concatenate([signals, np.ones(n - len(signals))])

population = dg.spectra.Atoms([1.0], [1.0])
clean = dg.spectra.free_multiply(population, dg.spectra.MarchenkoPastur(n / n_samples))
noisy = dg.spectra.free_add(clean, dg.spectra.Semicircle(variance=noise**2))

x = rng.normal(size=(n, n_samples)) * np.sqrt(variances)[:, np.newaxis]
sample = x @ x.T / n_samples
w = rng.normal(size=(n, n))
disturbed = sample + noise * (w + w.T) / np.sqrt(2 * n)

with dg.plot.style():
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
    outliers = clean.outliers(signals)
    cases = (
        ("sample covariance", sample, clean, outliers),
        ("with symmetric noise", disturbed, noisy, noisy.outliers(outliers[np.isfinite(outliers)])),
    )
    for ax, (title, matrix, law, places) in zip(panels, cases, strict=True):
        eigenvalues = np.linalg.eigvalsh(matrix)
        ax.hist(eigenvalues, bins=np.arange(-3, 6, 0.15), density=True, color="0.85", label="one matrix")
        left, right = law.support()[0]
        grid = np.linspace(left, right, 400)
        ax.plot(grid, law.pdf(grid), label="free probability")
        for i, place in enumerate(places[np.isfinite(places)]):
            ax.axvline(place, ymax=0.25, color="C1", linestyle="--", label=None if i else "outliers, theory")
        beyond = eigenvalues[eigenvalues > right + 0.03]
        ax.plot(beyond, np.full(len(beyond), 0.03), "v", color="0.2", markersize=5, label="outliers of the matrix")
        ax.set(title=title, xlabel="eigenvalue", ylabel="density", xlim=(left - 0.3, 5.6))
    panels[0].legend()
plt.show()
