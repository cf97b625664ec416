"""
What a classifier of temperatures learns
========================================

A linear softmax classifier is shown the energies of Ising configurations and asked at which of nine temperatures they
were drawn. The best it can do is to learn statistical mechanics: its weights become the inverse temperatures, and its
biases minus the logarithms of the partition function, which on a 6 x 6 lattice are known exactly. The slope of the
biases against the weights is the mean energy.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

beta = np.linspace(0.2, 0.6, 9)
law = dg.learning.Ising((6, 6), temperatures=1 / beta)
data = law.draw(18_000, seed=1)
head = dg.learning.softmax_regression(data.energy.values[:, np.newaxis], data.labels)
print(f"right answers: {head.accuracy.item():.4f}, at best {1 - law.bayes_error:.4f}")

log_z = law.log_partition_function
with dg.plot.style():
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 3.1))
    for ax, name, exact, label in (
        (left, "weights", beta.mean() - beta, "weight"),
        (middle, "biases", log_z.mean() - log_z, "bias"),
    ):
        ax.plot(beta, exact, color="0.6", label=r"$-\beta_n$" if name == "weights" else r"$-\ln Z_n$")
        ax.errorbar(
            beta, head[name].values.ravel(), head[f"{name}_error"].values.ravel(), fmt="o", capsize=2, label="learnt"
        )
        ax.set(xlabel=r"$\beta_n$", ylabel=f"{label} of class $n$ (mean 0)")
        ax.legend()
    # Of neighbouring classes: the mean energy between them is -d ln Z / d beta.
    between = (beta[1:] + beta[:-1]) / 2
    right.plot(beta, law.mean_energy / law.n_sites, color="0.6", label="exact")
    slope = -np.diff(head.biases) / np.diff(head.weights.values.ravel())
    right.plot(between, slope / law.n_sites, "o", label="slope of biases by weights")
    right.set(xlabel=r"$\beta$", ylabel="energy of a site")
    right.legend()
plt.show()
