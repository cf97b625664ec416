"""
Error bars of correlated data
=============================

The energy of each layer of a cold network, sweep by sweep, and what the Gamma method makes of it: the
autocorrelation function with its error, the window at which its sum is cut (dotted), and the errors. Those of
independent draws would be too small by the square root of twice the autocorrelation time, most of all at the two
ends, which relax slowest.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

network = dg.mc.PerceptronNetwork(width=32, depth=4)
data = dg.mc.random_data(network, n_patterns=96, seed=1)
run = dg.mc.simulate(network, data, 4000, beta=20.0, burn_in=1000, n_chains=4, seed=1)
energy = run["energy"] / (32 * 96)

with dg.plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2))

    estimates = []
    for layer in range(4):
        series = energy.isel(layer=layer).values
        estimates.append(dg.stats.gamma_method(series))
        if layer in (0, 1):
            rho = dg.stats.autocorrelation(series, n_lags=200)
            line = left.plot(rho.lag, rho.autocorrelation, label=f"layer {layer + 1}")[0]
            spread = rho.autocorrelation_error
            left.fill_between(rho.lag, rho.autocorrelation - spread, rho.autocorrelation + spread, alpha=0.2)
            left.axvline(estimates[-1].window, color=line.get_color(), linestyle=":")
    left.axhline(0, color="0.7", linewidth=0.8)
    left.set(xlabel="lag in sweeps", ylabel="autocorrelation of the energy")
    left.legend()

    layers = np.arange(1, 5)
    errors = np.array([one.error for one in estimates]) * 1e5
    naive = errors / np.sqrt([2 * one.tau_int for one in estimates])
    right.bar(layers - 0.18, errors, 0.36, label="Gamma method")
    right.bar(layers + 0.18, naive, 0.36, label="as if independent")
    for layer, error, one in zip(layers, errors, estimates, strict=True):
        right.annotate(
            rf"$\tau$ = {one.tau_int:.1f}",
            (layer - 0.18, error),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    right.set(xlabel="layer", ylabel=r"error of the energy per gap / $10^{-5}$", xticks=layers)
    right.margins(y=0.25)
    right.legend(loc="upper center")
plt.show()
