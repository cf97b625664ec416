"""
How far two inputs can be told apart
====================================

The correlation of two inputs, layer by layer, in the ordered phase, at the edge of chaos and in the chaotic phase:
lines are the mean field of infinitely wide networks, points one random network of width 1000 each. Only close to
the edge does anything survive fifty layers.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

width, depth, bias_variance = 1000, 50, 0.05
edge = float(dg.meanfield.critical_weight_variance("tanh", bias_variance))
rng = np.random.default_rng(1)
STARTS = (0.1, 0.5, 0.9)


def simulate(weight_variance: float, q: float) -> np.ndarray:
    """Correlations with input 0 of inputs 1 to 3, layer by layer, in one network."""
    shared, *own = rng.normal(size=(4, width))
    u = np.sqrt(q) * np.array(
        [shared, *(c * shared + np.sqrt(1 - c**2) * one for c, one in zip(STARTS, own, strict=True))]
    )
    found = []
    for _ in range(depth):
        found.append(np.corrcoef(u)[0, 1:])
        weights = rng.normal(scale=np.sqrt(weight_variance / width), size=(width, width))
        u = np.tanh(u) @ weights.T + rng.normal(scale=np.sqrt(bias_variance), size=width)
    return np.array(found)


with dg.plot.style():
    figure, panels = plt.subplots(1, 3, figsize=(8, 3), sharey=True)
    cases = {"ordered": 0.7 * edge, "edge of chaos": edge, "chaotic": 1.8 * edge}
    for ax, (phase, weight_variance) in zip(panels, cases.items(), strict=True):
        point = dg.meanfield.fixed_point("tanh", weight_variance, bias_variance)
        q = float(point.q)
        simulated = simulate(weight_variance, q)
        second_moment = (q - bias_variance) / weight_variance  # of the post-activations, so that q^1 = q
        for i, c0 in enumerate(STARTS):
            covariance = (c0 * q - bias_variance) / weight_variance
            theory = dg.meanfield.propagate(
                "tanh", weight_variance, bias_variance, depth, q0=second_moment, c0=covariance / second_moment
            )
            ax.plot(theory.layer, simulated[:, i], ".", color=f"C{i}", markersize=3)
            ax.plot(theory.layer, theory.c, color=f"C{i}")
        scale = float(point.xi_c)
        text = rf"$\xi$ = {scale:.1f} layers" if np.isfinite(scale) and scale < 1e4 else r"$\xi = \infty$"
        ax.annotate(text, (0.95, 0.9 if phase == "chaotic" else 0.06), xycoords="axes fraction", ha="right")
        ax.set(title=rf"{phase}, $\sigma_w^2$ = {weight_variance:.2f}", xlabel="layer", ylim=(0, 1.03))
    panels[0].set_ylabel("correlation of two inputs")
plt.show()
