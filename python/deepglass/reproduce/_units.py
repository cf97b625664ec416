"""What the units of classifiers of temperatures correlate with: the energy, or the order parameter?

Nothing but the energy tells of the temperature, but the order parameter is nearly as good a witness, so that errors
do not show which one was learnt.  Here networks are asked: single units, the best linear function of a layer, and the
answer of the network, the mean inverse temperature of its softmax.  Of the answer, partial correlations are given: what
is left of it and of the energy once the best function of the order parameter (a polynomial) has been taken from both,
and the other way round.  They are -1 and 0 for a network that knows the energy, 0 and 1 for one that knows the order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..learning import GaussianChain, Ising, Potts, linear_probes, softmax_regression, train
from ..learning.data import DataLaw
from ..plot import Axes, Figure, pyplot
from ..random import child_seed
from ._report import Row
from ._trainings import mean_of

__all__ = ["Sizes", "figure", "probe", "rows"]

Array = npt.NDArray[np.float64]

_EXTENT, _STATES, _SITES = 6, 3, 36
_LAWS: dict[str, DataLaw] = {
    "Ising": Ising((_EXTENT, _EXTENT), np.linspace(1.5, 3.5, 5), n_chains=400, n_thermalise=40, every=5),
    "Potts": Potts((_EXTENT, _EXTENT), _STATES, np.linspace(0.7, 1.3, 5), n_chains=400, n_thermalise=40, every=5),
    "chain": GaussianChain(_SITES, np.linspace(0.05, 0.45, 5).tolist()),
}
_TITLES = {
    "Ising": rf"Ising, ${_EXTENT}\times{_EXTENT}$",
    "Potts": rf"Potts, $q={_STATES}$, ${_EXTENT}\times{_EXTENT}$",
    "chain": f"Gaussian chain, $D={_SITES}$",
}
_FEATURES = ("linear", "energy", "order", "energy at fixed order", "order at fixed energy")
_WIDTH, _BATCH = 64, 50
_RATES = {"Ising": 0.2, "Potts": 0.2, "chain": 0.05}
_TEST = 20_000
_DEGREE = 8


class Sizes(NamedTuple):
    """What is trained."""

    n_samples: tuple[int, ...]
    n_passes: int  # samples that a network is shown, all epochs together
    n_networks: int


def _features(name: str, data: xr.Dataset) -> dict[str, Array]:
    """One that is linear in the inputs, the energy, and the order parameter; each one a site."""
    x = data["inputs"].values.astype(float)
    if name == "Potts":
        shares = x.reshape(len(x), -1, _STATES).mean(axis=1)
        linear, order = shares[:, 0], (_STATES * shares.max(axis=1) - 1.0) / (_STATES - 1.0)
    else:
        linear = x.mean(axis=1)
        order = np.abs(linear)
    energy = _LAWS["chain"].energy(x) if name == "chain" else data["energy"].values  # type: ignore[attr-defined]
    energy = energy / _SITES
    values = (linear, energy, order, _without(order, energy), _without(energy, order))
    return dict(zip(_FEATURES, values, strict=True))


def _without(known: Array, values: Array) -> Array:
    """What a polynomial of the one leaves of the other."""
    return np.asarray(values - np.polynomial.Polynomial.fit(known, values, _DEGREE)(known))


def _partial(answers: Array, features: dict[str, Array]) -> tuple[float, float]:
    """Partial correlations of answers with the energy and with the order parameter."""
    energy, order = features["energy"], features["order"]
    pairs = (
        (_without(order, answers), features["energy at fixed order"]),
        (_without(energy, answers), features["order at fixed energy"]),
    )
    return tuple(float(np.corrcoef(*pair)[0, 1]) for pair in pairs)  # type: ignore[return-value]


def _answers(scores: Array, betas: Array) -> Array:
    """Mean inverse temperature of the softmax of scores (..., class)."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights @ betas / weights.sum(axis=-1))


def probe(sizes: Sizes) -> xr.Dataset:
    """Train and probe, for each law and number of samples."""
    return xr.concat([_probe(name, law, sizes) for name, law in _LAWS.items()], xr.Variable("law", list(_LAWS)))


def _probe(name: str, law: DataLaw, sizes: Sizes) -> xr.Dataset:
    test = law.draw(_TEST, seed=2)
    x, labels, features = test["inputs"].values, test["labels"].values, _features(name, test)
    betas = np.asarray(law.betas)  # type: ignore[attr-defined]
    everything = law.draw(max(sizes.n_samples) * sizes.n_networks, seed=1)
    parts = []
    for size in sizes.n_samples:
        mine = everything.isel(sample=slice(size * sizes.n_networks))
        trained = train(
            mine["inputs"].values, mine["labels"].values, [child_seed(3, i) for i in range(sizes.n_networks)],
            _RATES[name], hidden_layers=1, width=_WIDTH, batch=_BATCH, max_epochs=max(1, sizes.n_passes // size),
            samples=list(np.arange(size * sizes.n_networks).reshape(-1, size)),  # each has data of its own
        )  # fmt: skip
        found = linear_probes(trained, x, features)
        partial = [_partial(one, features) for one in _answers(trained.outputs(x).astype(float), betas)]
        found["partial"] = ("network", "known"), np.array(partial)
        found["error"] = "network", trained.error(x, labels)
        parts.append(found.assign_coords(known=["energy", "order"]))
    result = xr.concat(parts, xr.Variable("n_samples", list(sizes.n_samples)))
    # Layer 0 has more units for some laws than for others: they are those of no network.
    result = result.assign(correlation=result["correlation"].sel(layer=1)).isel(unit=slice(_WIDTH))
    head = softmax_regression(features["energy"][:, np.newaxis], labels)
    # What knows a witness and nothing else answers with the mean of beta at each value of it.
    mean = betas[labels]
    witness = [_partial(mean - _without(features[known], mean), features) for known in ("energy", "order")]
    result["witness_partial"] = ("witness", "known"), np.array(witness)
    result["energy_error"] = 1.0 - float(head["accuracy"])
    return result.assign_coords(witness=["energy", "order"])


def _of_units(one: xr.Dataset) -> xr.DataArray:
    """Root mean square of the correlations of single units."""
    return xr.DataArray(np.sqrt((one["correlation"] ** 2).mean("unit")))


# ---- Picture


def figure(found: xr.Dataset) -> Figure:
    """What units and layers know of features, and whether the answer goes by the energy."""
    drawn, axes = pyplot.subplots(2, len(_LAWS), figsize=(10.2, 7.0), sharey="row")
    for column, name in zip(axes.T, _LAWS, strict=True):
        one = found.sel(law=name)
        _draw_features(column[0], one.isel(n_samples=-1))
        column[0].set_title(_TITLES[name])
        _draw_answers(column[1], one)
    axes[0, 0].set_ylabel("known of the feature")
    axes[1, 0].set_ylabel("partial correlation of the answer")
    first, second = (ax.get_legend_handles_labels() for ax in axes[:, 0])
    drawn.legend(*first, loc="outside upper center", ncols=3, fontsize="small")
    drawn.legend(*second, loc="outside lower center", ncols=2, fontsize="small")
    return drawn


def _draw_features(ax: Axes, one: xr.Dataset) -> None:
    place = np.arange(len(_FEATURES))
    inputs = one["explained_variance"].sel(layer=0, stage="initial").mean("network")
    ax.plot(
        place, np.maximum(inputs, 0.0), marker="x", linestyle="", color="k", label="linear fit of the inputs, $R^2$"
    )
    for stage, shift, face, words in (("initial", -0.08, "none", "before"), ("trained", 0.08, None, "after")):
        of_units = _of_units(one.sel(stage=stage))
        of_layer = one["explained_variance"].sel(layer=1, stage=stage)
        for values, colour, marker, what in (
            (of_layer, "C0", "s", "linear fit of the layer, $R^2$"),
            (of_units, "C1", "o", "single unit, rms correlation"),
        ):
            ax.errorbar(
                place + shift, values.mean("network"), values.std("network"), fmt=marker, ms=5, color=colour,
                mfc=face or colour, label=f"{what}, {words}",
            )  # fmt: skip
    names = [feature.replace(" at fixed ", "\nat fixed\n") for feature in _FEATURES]
    ax.set_xticks(place, names, fontsize="x-small")
    ax.set(ylim=(-0.05, 1.05))


def _draw_answers(ax: Axes, one: xr.Dataset) -> None:
    for known, colour, words in (
        ("energy", "C0", "energy, the order fixed"),
        ("order", "C1", "order, the energy fixed"),
    ):
        values = one["partial"].sel(known=known)
        ax.errorbar(
            one["n_samples"], values.mean("network"), values.std("network"), fmt="o-", ms=4, color=colour, label=words
        )
        alone = float(one["witness_partial"].sel(witness=known, known=known))
        ax.axhline(alone, color=colour, linestyle="--", label=f"the same, answers from the {known} alone")
    ax.axhline(0.0, color="0.6", linewidth=0.8)
    ax.set(xscale="log", xlabel="training samples", ylim=(-1.0, 1.05))


# ---- Table


def rows(found: xr.Dataset) -> list[Row]:
    """Statements on the largest training sets."""
    table = []
    for name in _LAWS:
        one = found.sel(law=name).isel(n_samples=-1)
        size = int(one["n_samples"])
        answer = {known: mean_of(one["partial"].sel(known=known)) for known in ("energy", "order")}
        for known, law in (("energy", "yes (Aoki et al.)"), ("order", "no")):
            alone = float(one["witness_partial"].sel(witness=known, known=known))
            table.append(
                Row(
                    f"{name}: the answer goes by the {known}, the other being fixed", law, f"{answer[known]}",
                    f"{answer[known].value / alone:.2f} of {alone:.2f}",
                    f"partial correlation, and that of answers from the {known} alone; {size} samples; error "
                    f"{mean_of(one['error'])}, from the energy {float(one['energy_error']):.3f}",
                )
            )  # fmt: skip
        for feature in ("energy", "order", "energy at fixed order"):
            before, after = (one.sel(stage=stage, feature=feature) for stage in ("initial", "trained"))
            unit = [mean_of(_of_units(at)) for at in (before, after)]
            layer = [mean_of(at["explained_variance"].sel(layer=1)) for at in (before, after)]
            table.append(
                Row(
                    f"{name}: units and the {feature}", "-", f"{unit[1]}", f"{unit[1].value - unit[0].value:+.3f}",
                    f"rms correlation, less that before training; R^2 of the layer {layer[0]} before, {layer[1]} after",
                )
            )  # fmt: skip
    return table
