"""
Is the simulation in equilibrium?
=================================

With the count potential a noisy teacher is an exact equilibrium sample of its own posterior, so its energy stays
where it is, at the fraction of errors that holds for the mean of all instances. A random start must come down to
the same value. It takes hundreds of sweeps, while the acceptance of its moves looks right from the beginning.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

width, depth, n_patterns, beta, n_sweeps = 32, 2, 64, 2.5, 4000
network = dg.mc.PerceptronNetwork(width=width, depth=depth, potential="count")
gaps = depth * width * n_patterns
exact = 1 / (1 + np.exp(beta))

runs: dict[str, list] = {"planted": [], "random": []}
for seed in range(4):
    data = dg.mc.teacher_data(network, n_patterns, seed=seed, noise="gibbs", beta=beta)
    for start, kept in runs.items():
        simulation = dg.mc.Simulation(network, data, beta=beta, n_chains=2, seed=seed, start=start)
        kept.append(simulation.run(n_sweeps, every=5))

with dg.plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2))
    for start, kept in runs.items():
        energy = np.concatenate([run["energy"].sum("layer").values / gaps for run in kept])
        sweeps = 5 * np.arange(1, energy.shape[1] + 1)
        left.plot(sweeps, energy.mean(axis=0), label=f"{start} start, mean of 8 runs")
        acceptance = np.concatenate([run["acceptance"].mean("layer").values for run in kept])
        right.plot(sweeps, acceptance.mean(axis=0), label=start)
    left.axhline(exact, color="0.3", linestyle=":", label="exact mean of all instances")
    left.set(xscale="log", xlabel="sweeps", ylabel="errors per gap", ylim=(0, None))
    left.legend()
    right.set(xscale="log", xlabel="sweeps", ylabel="acceptance of bond moves", ylim=(0, 1))
plt.show()
