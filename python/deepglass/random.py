"""Seeds: one integer of 64 bits stands for a run, and a point or repetition of it gets a child by its index.

The kernels take that integer and a stream (the number of the chain); see ``_core.philox_uniform``.
"""

from __future__ import annotations

import operator
from typing import TypeAlias

import numpy as np

__all__ = ["SeedLike", "child_seed", "seed_entropy"]

SeedLike: TypeAlias = int | np.random.SeedSequence | np.random.Generator | None


def seed_entropy(seed: SeedLike) -> int:
    """Give the integer that stands for a run, to be stored with its results.

    Parameters
    ----------
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        An int or a SeedSequence means "this run, exactly". A Generator is drawn from, so that two calls
        differ. None takes fresh entropy from the system.

    Returns
    -------
    int in [0, 2**64)
        An int below 2**64 is given back unchanged, so ``seed_entropy(seed_entropy(s)) == seed_entropy(s)``;
        a larger one is hashed.

    Examples
    --------
    >>> seed_entropy(7)
    7
    >>> seed_entropy(np.random.SeedSequence(7)) == seed_entropy(np.random.SeedSequence(7))
    True
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**64, dtype=np.uint64))
    if isinstance(seed, np.random.SeedSequence):
        return _word(seed)
    if seed is None:
        return _word(np.random.SeedSequence())
    if isinstance(seed, bool | np.bool_):
        raise TypeError(f"seed must be an int, SeedSequence, Generator or None, got {seed!r}")
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"seed must be an int, SeedSequence, Generator or None, got {seed!r}") from None
    if number < 0:
        raise ValueError(f"seed must be >= 0, got {number}")
    return number if number < 2**64 else _word(np.random.SeedSequence(number))


def child_seed(entropy: int, index: int) -> int:
    """Give the seed of the point or repetition number ``index`` of a run.

    It depends on the two arguments only, so the outcome of a sweep does not depend on who computes a point,
    when, or how many points there are.

    Parameters
    ----------
    entropy : int >= 0
        What `seed_entropy` gave.
    index : int >= 0
        Number of the point.

    Returns
    -------
    int in [0, 2**64)
        Hashed as NumPy does in ``SeedSequence(entropy).spawn``.

    Examples
    --------
    >>> child_seed(7, 2) == seed_entropy(np.random.SeedSequence(7).spawn(3)[2])
    True
    """
    if entropy < 0:
        raise ValueError(f"entropy must be >= 0, got {entropy}")
    if index < 0:
        raise ValueError(f"index must be >= 0, got {index}")
    return _word(np.random.SeedSequence(entropy, spawn_key=(index,)))


def _word(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1, np.uint64)[0])
