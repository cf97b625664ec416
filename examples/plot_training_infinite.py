"""
Training an infinitely wide network
===================================

Gradient flow of infinitely many wide networks at once: their mean, and two standard deviations over initial
weights, at three times. Between the points the networks disagree for ever; how much depends on the activation, and
on the right is how fast the modes of the kernel are learnt.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

angles = np.array([-2.6, -1.9, -1.5, -0.6, 0.1, 0.5, 1.6, 2.2])
grid = np.linspace(-np.pi, np.pi, 201)
y = np.sign(np.sin(2 * angles)) * np.abs(np.sin(2 * angles)) ** 0.5


def circle(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


times = np.array([0.1, 0.5, np.inf])
network = {"hidden_layers": 3, "bias_variance": 0.05}

with dg.plot.style():
    figure, panels = plt.subplots(1, 3, figsize=(9.5, 3))
    for ax, (name, weight_variance) in zip(panels, (("relu", 2.0), ("erf", 3.0)), strict=False):
        fit = dg.kernels.ntk_regression(
            circle(angles), y, circle(grid), activation=name, weight_variance=weight_variance, times=times, **network
        )
        for i, (time, shade) in enumerate(zip(times, plt.cm.viridis([0.8, 0.5, 0.1]), strict=True)):
            mean, spread = fit.test.values[i, :, 0], 2 * np.sqrt(fit.test_variance.values[i])
            ax.plot(grid, mean, color=shade, label=rf"$t = {time:g}$" if np.isfinite(time) else r"$t = \infty$")
            if not np.isfinite(time):
                ax.fill_between(grid, mean - spread, mean + spread, color=shade, alpha=0.15, linewidth=0)
        ax.plot(angles, y, "o", color="0.2", markersize=4)
        ax.set(title=name, xlabel="angle of the input", ylim=(-2.6, 2.6))
        theta = dg.kernels.ntk(circle(angles), activation=name, weight_variance=weight_variance, **network)
        modes = np.linalg.eigvalsh(theta)[::-1]
        panels[2].semilogy(np.arange(1, len(modes) + 1), 1 / modes, "o-", markersize=3, label=name)
    panels[0].set_ylabel("output")
    panels[0].legend(ncols=3, loc="upper center", columnspacing=0.8, handlelength=1)
    panels[2].set(xlabel="mode of the tangent kernel", ylabel="time to learn it", title="decay times")
    panels[2].legend()
plt.show()
