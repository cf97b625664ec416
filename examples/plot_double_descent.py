"""
Double descent in one line of algebra
=====================================

Least squares with p features of 100 samples, labels with noise. Up to p = n there is no bias, and the noise has ever
fewer samples to average over: the variance diverges. Beyond it the solution of least norm misses a part 1 - n/p of the
signal and spreads the noise over more and more directions. Points are means over 20 draws, lines the exact risk; the
best ridge for each p has no peak.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

n, noise = 100, 0.25
p = np.unique(np.geomspace(10, 1000, 121).astype(int))
exact = dg.learning.least_squares_risk(p, n, noise_variance=noise)
few = [12, 25, 50, 75, 90, 112, 135, 200, 400, 900]
drawn = dg.learning.least_squares_simulation(few, n, noise_variance=noise, n_repeats=20, seed=1)
best = [dg.learning.least_squares_risk(int(k), n, noise_variance=noise, ridge=noise * k / n).risk.item() for k in p]

with dg.plot.style():
    figure, ax = plt.subplots(figsize=(5.5, 3.6))
    for name, colour in (("risk", "k"), ("bias", "C0"), ("variance", "C1")):
        ax.plot(p / n, exact[name].where(np.isfinite(exact[name])), color=colour, label=name)
        ax.errorbar(np.array(few) / n, drawn[name], drawn[f"{name}_error"], fmt="o", color=colour, capsize=2)
    ax.plot(p / n, best, "--", color="C2", label="risk with the best ridge")
    ax.axvline(1, color="0.7", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", xlabel="features per sample $p/n$", ylabel="risk", ylim=(0, 3))
    ax.legend()
plt.show()
