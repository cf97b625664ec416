"""
The sign problem grows with the volume, on one contour
======================================================

Complex phi^4 on one row of sites at chemical potential 1. On the real plane the average phase falls exponentially
with the number of time slices: transfer matrices give it exactly, where sampling would soon see noise only. On the
linear contour, the thimble of a free theory with a self-consistent mass, nine tenths are left at 32 slices, and
averages can be sampled.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

lengths = np.array([3, 4, 6, 8, 12, 16, 24, 32])
real, moved, moved_error, exact, square, square_error = ([] for _ in range(6))
for length in lengths:
    action = dg.contour.ComplexPhi4((1, int(length)), chemical_potential=1.0)
    truth = dg.contour.transfer_matrix(action)
    real.append(float(truth["average_phase"]))
    exact.append(float(truth["phi2"]))
    found = dg.contour.measure(action, dg.contour.LinearContour(action), n_samples=6400, seed=int(length))
    moved.append(found.average_phase.item())
    moved_error.append(found.average_phase_error.item())
    square.append(found.phi2.item())
    square_error.append(found.phi2_error.item())

with dg.plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    left.semilogy(lengths, real, "s-", markersize=3, label="real plane, exact")
    left.errorbar(lengths, moved, moved_error, fmt="o-", markersize=3, label="linear contour, sampled")
    left.set(xlabel="time slices", ylabel="average phase", ylim=(None, 1.5))
    left.legend()
    right.plot(lengths, exact, color="0.3", label="transfer matrix")
    right.errorbar(lengths, square, square_error, fmt="o", color="C1", markersize=3, capsize=2, label="linear contour")
    right.set(xlabel="time slices", ylabel=r"$\langle\phi^2\rangle$")
    right.legend()
plt.show()
