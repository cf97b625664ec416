"""
A student who suddenly knows everything
=======================================

A perceptron with binary bonds learns from a teacher of its own kind. The overlap with the teacher grows slowly,
until at load 1.2447 the teacher itself becomes the only typical solution. Message passing, started without
knowledge, does not see it before the spinodal at 1.4926, where the poor solution ends: between the two loads
learning is possible but hard. Lines are the replica theory, points single data sets of 2000 inputs.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

curve = dg.parisi.learning_curve(np.linspace(0.02, 2.0, 100), bonds="binary")

loads = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0])
found = []
for i, load in enumerate(loads):
    model = dg.parisi.Perceptron(load=load, bonds="binary", scenario="teacher")
    data = dg.parisi.perceptron_data(model, 2000, seed=i)
    student = dg.parisi.message_passing(model, data.inputs, data.labels, teacher=data.teacher)
    found.append((float(student.teacher_overlap), float(student.bayes_error)))
overlaps, errors = np.transpose(found)

with dg.plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    for axes, name, points in ((left, "overlap", overlaps), (right, "bayes_error", errors)):
        values = curve[name].sel(branch="uninformed")
        axes.plot(curve["load"], values, label="theory, from ignorance")
        axes.plot(curve["load"], curve[name].sel(branch="informed"), "--", label="theory, at the teacher")
        axes.plot(loads, points, "o", color="0.2", markersize=4, label="message passing, N = 2000")
        axes.axvspan(float(curve.transition), float(curve.spinodal), color="0.9", zorder=0)
        axes.set_xlabel("load")
    left.set_ylabel("overlap with the teacher")
    right.set_ylabel("error on new patterns")
    left.annotate("hard", (float(curve.transition + curve.spinodal) / 2, 0.05), ha="center", color="0.4")
    right.legend(loc="upper right")
plt.show()
