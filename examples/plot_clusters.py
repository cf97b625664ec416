"""
One set of solutions, seen by two layers
========================================

Solutions of a deep network for random data lie in clusters within clusters. All layers see one tree. For the layer
next to the data solutions differ on many scales; the second layer tells only the finest clusters from one another,
because its overlap function rises where that of the first is already high. Deeper layers are liquid at this load.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

solution = dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=35.0), steps=9)

with dg.plot.style():
    figure, axes = plt.subplots(1, 3, figsize=(9, 3))
    for layer, ax in enumerate(axes[:2], 1):
        tree = dg.parisi.cluster_tree(solution, layer, seed=3, n_solutions=300)
        dg.plot.cluster_tree(tree, ax=ax)
        ax.set_title(f"tree of layer {layer}")
    edges = np.append(solution.x_left.values, 1.0)
    for layer in (1, 2, 3):
        axes[2].stairs(
            solution.neuron_overlap.values[layer], edges, baseline=None, label=f"layer {layer}", linewidth=1.5
        )
    axes[2].set(xlabel="x", ylabel="overlap $q(x)$", xlim=(0, 1), title="overlap functions, 9 steps")
    axes[2].legend()
plt.show()
