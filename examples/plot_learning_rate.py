"""
The largest learning rate, and what centring does to it
=======================================================

Most eigenvalues of the Fisher information of a wide network are small; one, with the mean gradient as its
eigenvector, grows like the width and limits the learning rate. Theory gives its place. When the mean of the
outputs over the samples is subtracted, as batch normalisation in the last layer does, that eigenvalue is gone. On
the right, gradient descent at rates just below and just above the limit.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

law = {"depth": 3, "width": 300, "weight_variance": 2.0, "bias_variance": 0.1}
n_samples = 60
rng = np.random.default_rng(2)
x = rng.normal(size=(n_samples, 300))
network = dg.fisher.Network(n_inputs=300, activation="relu", parametrisation="standard", seed=1, **law)
theory = dg.fisher.statistics("relu", n_samples=n_samples, **law)
limit = dg.fisher.max_learning_rate("relu", loss="half_mse", n_samples=n_samples, **law)
target = network(x) + 0.01 * rng.normal(size=(n_samples, 1))

with dg.plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    bins = np.geomspace(1, 600, 34)
    left.hist(np.linalg.eigvalsh(network.fisher(x)), bins=bins, alpha=0.4, label="as it is")
    centred = np.linalg.eigvalsh(network.fisher(x, centred=True))
    left.hist(centred, bins=bins, histtype="step", linewidth=1.5, label="mean of the outputs subtracted")
    left.axvline(float(theory.largest_eigenvalue), color="0.2", linestyle=":", label="largest, theory")
    left.set(
        xscale="log", yscale="log", xlabel="eigenvalue of the Fisher information", ylabel="number", ylim=(0.7, 150)
    )
    left.legend(loc="upper right")

    for factor, shade in zip((0.5, 0.9, 1.2), plt.cm.viridis([0.1, 0.45, 0.8]), strict=True):
        trained, losses = network, []
        for _ in range(22):
            error = trained(x) - target
            losses.append(0.5 * float((error**2).mean()))
            gradient = trained.jacobian(x)[:, 0].T @ error[:, 0] / n_samples
            trained = trained.with_parameters(trained.parameters - factor * limit * gradient)
        right.semilogy(losses, color=shade, label=f"{factor} of the limit")
    right.set(xlabel="step", ylabel="loss")
    right.legend()
plt.show()
