"""
A path on which the weight does not oscillate
=============================================

One variable with a complex action: on the real axis a third of the weight cancels. The holomorphic flow lifts the
path towards the thimble, and a small network finds such a path from its own samples. The phase along the path,
coloured, is then the same almost everywhere, while the integral has not changed.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepglass as dg

action = dg.contour.Quartic(1 + 4j, 1.0)
t = np.linspace(-3, 3, 601)
trained = dg.contour.optimize(
    action, dg.contour.NetworkContour(action, seed=1), n_updates=400, n_candidates=1, seed=1
).contour
paths = {
    "real axis": dg.contour.RealPlane(),
    "flow time 0.1": dg.contour.HolomorphicFlow(action, 0.1),
    "flow time 0.4": dg.contour.HolomorphicFlow(action, 0.4),
    "network": trained,
}
centre = np.angle(complex(action.exact().partition_function))

with dg.plot.style():
    figure, panels = plt.subplots(1, 4, figsize=(10, 2.9), sharey=True)
    for ax, (name, path) in zip(panels, paths.items(), strict=True):
        z = np.array(path.map(t))
        weight = np.exp(np.array(path.log_jacobian(t)) - np.array(action.action(z)))
        phase = abs(weight.sum()) / abs(weight).sum()
        size = 60 * abs(weight) / abs(weight).max() + 0.5
        points = ax.scatter(
            z.real,
            z.imag,
            s=size,
            c=np.angle(weight * np.exp(-1j * centre)),
            cmap="twilight_shifted",
            vmin=-np.pi,
            vmax=np.pi,
            linewidths=0,
        )
        ax.set(title=name, xlabel="Re z", xlim=(-1.7, 1.7), ylim=(-1.2, 1.2))
        ax.annotate(f"average phase {phase:.3f}", (0.97, 0.04), xycoords="axes fraction", ha="right", fontsize="small")
    panels[0].set_ylabel("Im z")
    figure.colorbar(
        points, ax=panels, label=r"phase - arg $Z$", ticks=[-np.pi, 0, np.pi], format=lambda v, _: f"{v:.1f}"
    )
plt.show()
