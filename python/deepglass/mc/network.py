"""The network whose bonds (and hidden neurons) are sampled: widths, prior of the bonds, potential, graph."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .._check import choice, integer
from ..random import child_seed

__all__ = ["PerceptronNetwork"]

Bonds = Literal["spherical", "binary"]
Potential = Literal["soft", "count", "hard"]
Hidden = Literal["free", "slaved"]

_WIDEST = 65535
_DEEPEST = 4095


@dataclasses.dataclass(frozen=True)
class PerceptronNetwork:
    """A layered network of perceptrons with Ising neurons, whose bonds J are sampled.

    Neurons S[l][i] = +-1 in layers l = 0..L, perceptrons J[l][i][k] in layers l = 1..L, fields
    ``h[l][i] = sum_k J[l][i][k] S[l-1][k] / sqrt(c)`` over the c inputs of a perceptron, and gaps ``r = S h``.
    S[0] and S[L] are the data.  The Gibbs weight is the prior of the bonds times ``exp(-beta E)``.

    Parameters
    ----------
    width : int from 1 to 65535, or depth + 1 of them
        Number of neurons N of each layer, or N_0, ..., N_L.
    depth : int from 1 to 4095
        Number L of weight layers.
    bonds : "spherical" or "binary"
        Prior of a perceptron with c inputs: uniform on the sphere ``sum_k J_k^2 = c``, or fair coins J_k = +-1.
    potential : "soft", "count" or "hard", optional
        Cost v(r) of a gap r < 0: r^2, 1 or infinity; v = 0 for r >= 0.  By default "soft" with free hidden
        neurons, "count" with slaved ones.
    hidden : "free" or "slaved"
        Free: the hidden neurons are variables, and E is the sum of v over all perceptrons and patterns.
        Slaved: ``S[l] = sgn(h[l])`` is a function of the bonds, and E counts the wrong output bits
        ("hard": none is allowed, reached by greedy moves at beta = infinity).
    connectivity : int, optional
        Number c of inputs of each perceptron, a random subset of the layer below; all of them by default.
    graph_seed : int from 0 to 2^64 - 1
        Seed of those subsets.

    Notes
    -----
    Free hidden neurons with the hard potential are refused: the flip of a hidden neuron changes the sign of its
    own gap, so that every such move is forbidden.  Take slaved neurons, or the count potential at growing beta.

    Examples
    --------
    >>> network = PerceptronNetwork(width=(20, 10, 10, 1), depth=3)
    >>> network.potential, network.widths, network.n_bonds
    ('soft', (20, 10, 10, 1), 310)
    >>> PerceptronNetwork.from_json(network.to_json()) == network
    True
    """

    width: int | tuple[int, ...] = 64
    depth: int = 6
    bonds: Bonds = "spherical"
    potential: Potential | None = None
    hidden: Hidden = "free"
    connectivity: int | None = None
    graph_seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges; the default potential is filled in, and a tuple of equal widths becomes one int."""
        depth = integer("depth", self.depth, 1, _DEEPEST)
        width = _checked_width(self.width, depth)
        hidden = choice("hidden", self.hidden, ("free", "slaved"))
        potential = self.potential
        if potential is None:
            potential = "soft" if hidden == "free" else "count"
        choice("potential", potential, ("soft", "count", "hard"))
        if hidden == "free" and potential == "hard":
            raise ValueError(
                "potential must be 'soft' or 'count' with hidden='free', got 'hard': the flip of a hidden neuron "
                "changes the sign of its own gap, so that all of them would be frozen; take hidden='slaved'"
            )
        if hidden == "slaved" and potential == "soft":
            raise ValueError("potential must be 'count' or 'hard' with hidden='slaved', got 'soft'")
        checked: dict[str, Any] = {
            "width": width,
            "depth": depth,
            "bonds": choice("bonds", self.bonds, ("spherical", "binary")),
            "potential": potential,
            "hidden": hidden,
            "graph_seed": integer("graph_seed", self.graph_seed, 0, 2**64 - 1),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.connectivity is not None:
            most = min(self.widths[:-1])
            object.__setattr__(self, "connectivity", integer("connectivity", self.connectivity, 1, most))

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of neurons in layers 0..L."""
        return (self.width,) * (self.depth + 1) if isinstance(self.width, int) else self.width

    def n_inputs(self, layer: int) -> int:
        """Inputs of each perceptron of a layer from 1 to L."""
        layer = integer("layer", layer, 1, self.depth)
        return self.widths[layer - 1] if self.connectivity is None else self.connectivity

    def inputs(self, layer: int) -> npt.NDArray[np.int32] | None:
        """Give the inputs of the perceptrons of a layer from 1 to L, (N_l, c) and increasing; None where all are."""
        n_inputs = self.n_inputs(layer)
        if self.connectivity is None:
            return None
        rng = np.random.Generator(np.random.Philox(child_seed(self.graph_seed, layer)))
        below = self.widths[layer - 1]
        rows = [rng.choice(below, n_inputs, replace=False, shuffle=False) for _ in range(self.widths[layer])]
        return np.sort(np.array(rows, np.int32), axis=1)

    @property
    def n_bonds(self) -> int:
        """Number of bonds of all layers."""
        return sum(self.widths[layer] * self.n_inputs(layer) for layer in range(1, self.depth + 1))

    def n_hidden_spins(self, n_patterns: int) -> int:
        """Number of hidden neurons, counted once for each pattern."""
        return sum(self.widths[1:-1]) * integer("n_patterns", n_patterns, 0, 2**62)

    def to_json(self) -> str:
        """Write the parameters as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PerceptronNetwork:
        """Read what `to_json` wrote."""
        try:
            parameters = json.loads(text)
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"text must be JSON, got {text!r} ({error})") from None
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(parameters, dict) or not parameters.keys() <= names:
            raise ValueError(f"text must be a JSON object with keys among {sorted(names)}, got {text!r}")
        return cls(**parameters)


def _checked_width(width: Any, depth: int) -> int | tuple[int, ...]:
    if not isinstance(width, (tuple, list, np.ndarray)):
        return integer("width", width, 1, _WIDEST)
    if len(width) != depth + 1:
        raise ValueError(f"width must be an integer or depth + 1 = {depth + 1} integers, got {len(width)}: {width!r}")
    widths = tuple(integer(f"width[{layer}]", value, 1, _WIDEST) for layer, value in enumerate(width))
    return widths[0] if len(set(widths)) == 1 else widths
