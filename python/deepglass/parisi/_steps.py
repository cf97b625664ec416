"""Solutions with k steps as the kernel gives them: starting, freezing, and choosing the breakpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._core import NumericalError

if TYPE_CHECKING:
    from .deep_perceptron import DeepPerceptron

Array = npt.NDArray[np.float64]

# Neuron overlaps of a frozen level: solutions of the same cluster have the same neurons, up to so much.
FROZEN_DEFICIT = 1e-2
# The bonds behind frozen neurons start here; plain iteration takes their square root every time.
_FROZEN_BOND_DEFICIT = 1e-5
# Up to this depth the state with all layers frozen jams before that with the first one frozen; up to depth 7 it
# also condenses before.
_SHALLOW = 12
# Slopes ds/dm at which breakpoints count as stationary; the kernel's own error is some 1e-6.
STATIONARY = 1e-4
_RESTARTS = 4
# A frozen breakpoint below this has run away to 0.
_SMALLEST_BREAKPOINT = 0.0125


def uniform(steps: int) -> Array:
    """m_i = i/(k+1)."""
    return np.arange(1, steps + 1) / (steps + 1)


def around(breakpoint: float, below: int, above: int) -> Array:
    """`below` breakpoints at equal distances up to `breakpoint`, and `above` from there to 1."""
    low = breakpoint * np.arange(1, below + 1) / below
    return np.concatenate([low, breakpoint + (1.0 - breakpoint) * np.arange(1, above + 1) / (above + 1)])


@dataclasses.dataclass(frozen=True)
class Options:
    """What the kernel is told besides the model."""

    atol: float = 1e-8
    max_iter: int = 20000
    threads: int = 0
    solid_layers: int = -1


@dataclasses.dataclass(frozen=True)
class State:
    """A solution: its model, its breakpoints and the arrays of the kernel."""

    model: DeepPerceptron
    breakpoints: Array
    raw: dict[str, npt.NDArray[Any]]

    @property
    def converged(self) -> bool:
        return bool(self.raw["converged"][0])

    @property
    def free_entropy(self) -> float:
        return float(self.raw["free_entropy"][0])

    @property
    def replicon(self) -> float:
        return float(self.raw["replicon"][0])

    @property
    def slopes(self) -> Array:
        """The slopes ds/dm_i, i = 1..k."""
        return self.raw["breakpoint_slope"]

    @property
    def deficits(self) -> tuple[Array, Array]:
        return self.raw["neuron_deficit"], self.raw["bond_deficit"]

    @property
    def frozen(self) -> npt.NDArray[np.bool_]:
        """Which neurons are frozen, (depth + 1, k + 1); data are not."""
        frozen = self.raw["neuron_deficit"] < FROZEN_DEFICIT
        frozen[[0, -1]] = False
        return frozen

    @property
    def frozen_step(self) -> int | None:
        """The first step at which a layer is frozen; None where nothing is."""
        steps = np.flatnonzero(self.frozen.any(axis=0))
        return int(steps[0]) if steps.size else None

    @property
    def complexities(self) -> Array:
        """Sigma = -m^2 ds/dm at each step (k+1,) from which on more layers are frozen; NaN elsewhere."""
        count = self.frozen.sum(axis=0)
        more = np.diff(count, prepend=count[0]) > 0
        return np.where(more, np.concatenate([[np.nan], -(self.breakpoints**2) * self.slopes]), np.nan)

    @property
    def complexity(self) -> float:
        """That of the first such step."""
        found = self.complexities
        return float(found[np.argmax(np.isfinite(found))])

    @property
    def jammed(self) -> bool:
        return bool(self.raw["jammed"][0])


def solve(
    model: DeepPerceptron,
    breakpoints: Array,
    options: Options,
    deficits: tuple[Array, Array] | None = None,
) -> State:
    """From the liquid, or from 1 - q (depth + 1, k + 1) and 1 - Q (depth, k + 1)."""
    nothing = np.empty((0, 0))
    raw = _core.deep_perceptron_solve_hierarchical(
        model.depth,
        model.load,
        breakpoints,
        model.wall_width,
        model.wall_shift,
        *(deficits or (nothing, nothing)),
        **dataclasses.asdict(options),
    )
    return State(model, breakpoints, raw)


def moved(state: State, model: DeepPerceptron, breakpoints: Array, options: Options) -> State:
    """The solution continued to another load or other breakpoints."""
    return solve(model, breakpoints, options, state.deficits)


def loads_between(first: float, last: float, ratio: float) -> Iterator[float]:
    """Loads in steps of at most `ratio`, without the first, with the last."""
    n = max(1, int(np.ceil(abs(np.log(last / first)) / np.log(ratio) - 1e-9)))
    yield from first * (last / first) ** (np.arange(1, n) / n)
    yield last


def continued(state: State, load: float, ratio: float, options: Options) -> State:
    """The solution followed to another load."""
    for value in loads_between(state.model.load, load, ratio):
        if state.jammed:
            break
        state = moved(state, dataclasses.replace(state.model, load=value), state.breakpoints, options)
    return state


def freeze(state: State, step: int, layers: int, options: Options) -> State | None:
    """The same with `layers` layers from each end frozen from `step` on; None where they thaw again."""
    neuron, bond = (array.copy() for array in state.deficits)
    depth = state.model.depth
    for layer in range(1, layers + 1):
        neuron[[layer, depth - layer], step:] = 1e-300
    for b in range(depth):  # between frozen neurons and data
        if (neuron[b : b + 2, step] < FROZEN_DEFICIT).all():
            bond[b, step:] = np.minimum(bond[b, step:], _FROZEN_BOND_DEFICIT)
    frozen = solve(state.model, state.breakpoints, options, (neuron, bond))
    # Next to where it begins to exist the deficit is 1e-3; that of the continuous branch is above 0.3.
    there = frozen.converged and (frozen.raw["neuron_deficit"][1 : layers + 1, step] < 5.0 * FROZEN_DEFICIT).all()
    return frozen if there else None


def freezing_layers(depth: int) -> list[int]:
    """Numbers of layers from each end that may freeze together: the first, and, where the net is shallow, all."""
    return sorted({1, depth // 2} if depth <= _SHALLOW else {1})


def frozen_branch(model: DeepPerceptron, breakpoints: Array, step: int, options: Options) -> State:
    """The branch with frozen outermost layers; an error where it does not exist."""
    state = freeze(solve(model, breakpoints, options), step, 1, options)
    if state is None:
        raise NumericalError(
            f"the frozen branch does not exist at load {model.load:g} and depth {model.depth}: layer 1 thaws (it "
            "exists from alpha_d on; see critical_loads)"
        )
    return state


def optimise(model: DeepPerceptron, steps: int, options: Options) -> State:
    """The solution of lowest free entropy at which all breakpoints are stationary."""
    found = []
    continuous = solve(model, around(1.0, steps, 0), options)
    for layers in freezing_layers(model.depth):
        frozen = freeze(continuous, steps, layers, options)
        if frozen is None or frozen.complexity > 0.0:
            continue
        root = _frozen_root(frozen, options)
        if root.replicon > 1.0 + STATIONARY and steps > 1:
            # The deeper layers break their symmetry inside the clusters of the first: half of the steps for them.
            below = (steps + 1) // 2
            m = around(float(root.breakpoints[-1]), below, steps - below)
            root = freeze(solve(model, m, options), below, layers, options) or root
        found.append(_with_deeper_layers(stationary(root, options), layers, options))
    if not found:
        return stationary(solve(model, uniform(steps), options), options)
    return min(found, key=lambda state: state.free_entropy if state.converged else np.inf)


def _with_deeper_layers(state: State, layers: int, options: Options) -> State:
    """The same with the next layers frozen inside the clusters of the first, as far as that lowers the entropy."""
    for more in range(layers + 1, state.model.depth // 2 + 1):
        outermost = (state.frozen_step or 0) + 1
        inside = (freeze(state, step, more, options) for step in range(state.breakpoints.size, outermost - 1, -1))
        frozen = next((found for found in inside if found is not None), None)
        if frozen is None:
            break
        deeper = stationary(frozen, options)
        good = deeper.converged and np.abs(deeper.slopes).max() <= STATIONARY
        if not good or deeper.free_entropy >= state.free_entropy:
            break
        state = deeper
    return state


def _frozen_root(state: State, options: Options) -> State:
    """From Sigma(m = 1) < 0 down to Sigma(m) = 0, the other breakpoints in proportion."""
    import scipy.optimize

    steps, model = state.breakpoints.size, state.model
    m = 1.0
    while not state.complexity >= 0.0:
        if not state.converged:
            raise NumericalError(f"no convergence of the frozen solution at load {model.load:g}, breakpoint {m:g}")
        upper, m = m, 0.8 * m
        if m < _SMALLEST_BREAKPOINT:
            raise NumericalError(
                f"load {model.load:g} at depth {model.depth} is beyond alpha_J (see critical_loads): the frozen "
                "breakpoint runs away to 0 and the free entropy to minus infinity; random data are unsatisfiable"
            )
        previous, state = state, moved(state, model, around(m, steps, 0), options)
    found = state

    def complexity(x: float) -> float:
        nonlocal found
        found = moved(found, model, around(x, steps, 0), options)
        return found.complexity

    if previous.complexity == 0.0:
        return previous
    scipy.optimize.brentq(complexity, m, upper, xtol=1e-3)
    return found


def stationary(state: State, options: Options) -> State:
    """The nearest minimum of the free entropy over the breakpoints (with ds/dm as its gradient)."""
    import scipy.optimize

    model, best = state.model, state

    def breakpoints(x: Array) -> tuple[Array, Array]:
        gaps = np.exp(x - x.max())
        gaps /= gaps.sum()
        return np.cumsum(gaps)[:-1], gaps

    def objective(x: Array) -> tuple[float, Array]:
        nonlocal best
        m, gaps = breakpoints(x)
        new = moved(best, model, m, options)
        if not new.converged:
            return best.free_entropy + 1.0, np.zeros_like(x)
        best = new
        # m_i is the sum of the first i gaps, the gaps are exp(x) over their sum.
        by_gap = np.concatenate([np.cumsum(new.slopes[::-1])[::-1], [0.0]])
        return new.free_entropy, gaps * (by_gap - (gaps * by_gap).sum())

    start = np.log(np.diff(np.concatenate([[0.0], state.breakpoints, [1.0]])))
    # Next to a transition all slopes are small: the first gradient is the scale, down to the kernel's errors.
    scale = max(float(np.abs(objective(start)[1]).max()), 1e-8)

    def scaled(x: Array) -> tuple[float, Array]:
        value, gradient = objective(x)
        return (value - state.free_entropy) / scale, gradient / scale

    settings = {"maxiter": 300, "ftol": 1e-13 / scale, "gtol": min(1e-2, 1e-7 / scale)}
    for _ in range(_RESTARTS):  # errors of the kernel may end a line search before the minimum
        start = scipy.optimize.minimize(scaled, start, jac=True, method="L-BFGS-B", options=settings).x
        if not np.array_equal(best.breakpoints, breakpoints(start)[0]):
            best = moved(best, model, breakpoints(start)[0], options)
        if not np.abs(best.slopes).max() > STATIONARY:
            break
    return best
