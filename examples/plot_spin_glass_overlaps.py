"""
The overlap function of the Sherrington-Kirkpatrick model
=========================================================

Parisi's q(x) at four temperatures: below the critical temperature two states of one sample may have any overlap up
to q(1), and x(q) is the probability of a smaller one. On the right a field is switched on: replica symmetry is
broken below the Almeida-Thouless line only, and the two ends of q(x) meet there.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

with dg.plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2))

    for temperature, shade in zip((0.2, 0.4, 0.6, 0.8), plt.cm.viridis([0.0, 0.3, 0.6, 0.85]), strict=True):
        solution = dg.parisi.full_rsb(dg.parisi.SherringtonKirkpatrick(temperature))
        x = np.append(solution.x.values, 1.0)
        q = np.append(solution.overlap.values, float(solution.overlap_ea))
        left.plot(x, q, color=shade)
        left.annotate(
            f"T = {temperature}", (0.98, q[-1]), xytext=(0, -3), textcoords="offset points", ha="right", va="top"
        )
    left.set(xlabel="x", ylabel="overlap q(x)", xlim=(0, 1), ylim=(0, 1))

    temperature = 0.6
    limit = dg.parisi.almeida_thouless(temperature)
    fields = limit * np.array([0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95])
    ends = []
    for field in fields:
        solution = dg.parisi.full_rsb(dg.parisi.SherringtonKirkpatrick(temperature, field=field))
        ends.append((float(solution.overlap_min), float(solution.overlap_ea)))
    smallest, largest = np.transpose(ends)
    right.fill_between(fields, smallest, largest, alpha=0.2)
    right.plot(fields, largest, "o-", markersize=3, label="largest overlap")
    right.plot(fields, smallest, "o-", markersize=3, label="smallest overlap")
    right.axvline(limit, color="0.4", linestyle=":")
    right.annotate(
        "Almeida-Thouless",
        (limit, 0.02),
        xytext=(-4, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="bottom",
        color="0.4",
        fontsize="small",
    )
    right.set(xlabel="field", title=f"T = {temperature}", ylim=(0, 0.6))
    right.legend(loc="lower center")
plt.show()
