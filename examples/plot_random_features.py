"""
How deep random features generalise
===================================

Ridge regression with the last layer of a random network: 200 samples, 100 inputs, hidden layers of growing width. The
error peaks where the last layer has as many units as there are samples; a second random layer makes it worse, and more
ridge takes the peak away. Lines: free probability, in the limit of many samples. Points: networks of this size.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

n, n_inputs, noise = 200, 100, 0.2
tanh = dg.meanfield.activation("tanh").normalised()
inputs = dg.spectra.MarchenkoPastur(n / n_inputs)
widths = np.geomspace(35, 1500, 81)
rng = np.random.default_rng(1)


def simulated(width, hidden_layers, ridge, draws=12, n_test=400):
    errors = []
    for _ in range(draws):
        x = rng.normal(size=(n + n_test, n_inputs))
        x *= np.sqrt(n_inputs) / np.linalg.norm(x, axis=1, keepdims=True)
        y = x @ rng.normal(size=n_inputs) / np.sqrt(n_inputs) + np.sqrt(noise) * rng.normal(size=len(x))
        for _ in range(hidden_layers):
            x = tanh(x @ rng.normal(size=(x.shape[1], width)) / np.sqrt(x.shape[1]))
        kernel = x @ x[:n].T / width
        fitted = kernel[n:] @ np.linalg.solve(kernel[:n] + ridge * np.eye(n), y[:n])
        errors.append(np.mean((y[n:] - fitted) ** 2) - noise)
    return np.mean(errors), np.std(errors, ddof=1) / np.sqrt(draws)


with dg.plot.style():
    figure, panels = plt.subplots(1, 2, figsize=(8.5, 3.4), sharey=True)
    for ax, hidden_layers in zip(panels, (1, 2), strict=True):
        for colour, ridge in (("C0", 0.001), ("C1", 0.1), ("C2", 1.0)):
            risk = [
                dg.spectra.ridge_risk(tanh, [n / w] * hidden_layers, inputs, ridge, noise=noise).risk for w in widths
            ]
            ax.plot(widths / n, risk, color=colour, label=f"ridge {ridge:g}")
            for width in (50, 100, 200, 400, 1000):
                value, error = simulated(width, hidden_layers, ridge)
                ax.errorbar(width / n, value, error, fmt="o", color=colour, capsize=2)
        ax.axvline(1, color="0.7", linewidth=0.8, linestyle=":")
        ax.set(xscale="log", xlabel="units per sample", xlim=(0.16, 8), title=f"hidden layers: {hidden_layers}")
        ax.set_xticks([0.25, 0.5, 1, 2, 5], ["1/4", "1/2", "1", "2", "5"])
        ax.minorticks_off()
    panels[0].set(ylabel="risk (without noise)", ylim=(0, 3.2))
    panels[0].legend()
plt.show()
