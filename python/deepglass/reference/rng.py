"""Philox4x32-10 and what is made of it, in NumPy unsigned integers.

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11). The key is the seed, the
counter is (position, stream), 64 bits each, low words first. One block gives 4 words, 2 uniforms, 2 normals,
or 128 signs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["philox_block", "philox_normal", "philox_sign", "philox_uniform", "philox_words"]

_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def philox_block(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Ten rounds of Philox4x32.

    Parameters
    ----------
    counter : array of uint32, shape (..., 4)
        What is scrambled, low word first.
    key : array of uint32, shape (2,)
        How it is scrambled.

    Returns
    -------
    array of uint32, shape (..., 4)

    Examples
    --------
    >>> [f"{word:08x}" for word in philox_block([0, 0, 0, 0], [0, 0])]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    k0, k1 = np.asarray(key, dtype=np.uint64)
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def _blocks(seed: int, stream: int, first: int, count: int) -> NDArray[np.uint32]:
    position = np.uint64(first) + np.arange(count, dtype=np.uint64)
    counter = np.empty((count, 4), dtype=np.uint64)
    counter[:, 0], counter[:, 1] = position & _LOW, position >> _32
    counter[:, 2:] = stream & 0xFFFFFFFF, stream >> 32
    return philox_block(counter, [seed & 0xFFFFFFFF, seed >> 32])


def philox_words(seed: int, stream: int, n: int, offset: int = 0) -> NDArray[np.uint32]:
    """Words offset .. offset + n - 1 of a stream.

    Parameters
    ----------
    seed, stream : int in [0, 2**64)
        Key and upper half of the counter.
    n : int
        How many.
    offset : int
        Number in the stream of the first.

    Returns
    -------
    array of uint32, shape (n,)
    """
    first, skip = divmod(offset, 4)
    return _blocks(seed, stream, first, (skip + n + 3) // 4).ravel()[skip : skip + n]


def philox_uniform(seed: int, stream: int, n: int, offset: int = 0) -> NDArray[np.float64]:
    """Uniforms (k + 1) 2^-53 in (0, 1], k the upper 53 bits of two words, the second word on top.

    Parameters
    ----------
    seed, stream : int in [0, 2**64)
        Key and upper half of the counter.
    n : int
        How many.
    offset : int
        Number in the stream of the first.

    Returns
    -------
    array, shape (n,)
    """
    words = philox_words(seed, stream, 2 * n, 2 * offset).astype(np.uint64).reshape(-1, 2)
    k = (words[:, 1] << _32 | words[:, 0]) >> np.uint64(11)
    return (k + np.uint64(1)).astype(np.float64) * 2.0**-53


def philox_normal(seed: int, stream: int, n: int, offset: int = 0) -> NDArray[np.float64]:
    """Standard normals  sqrt(-2 log u) (cos, sin)(2 pi v),  (u, v) the uniforms of one block.

    Parameters
    ----------
    seed, stream : int in [0, 2**64)
        Key and upper half of the counter.
    n : int
        How many.
    offset : int
        Number in the stream of the first.

    Returns
    -------
    array, shape (n,)
    """
    skip = offset % 2
    u, v = philox_uniform(seed, stream, 2 * ((skip + n + 1) // 2), offset - skip).reshape(-1, 2).T
    radius = np.sqrt(-2.0 * np.log(u))
    pairs = np.stack([radius * np.cos(2.0 * np.pi * v), radius * np.sin(2.0 * np.pi * v)], axis=-1)
    return pairs.ravel()[skip : skip + n]


def philox_sign(seed: int, stream: int, n: int, offset: int = 0) -> NDArray[np.int8]:
    """Signs: +1 where the bit is 0, -1 where it is 1; lowest bit of each word first.

    Parameters
    ----------
    seed, stream : int in [0, 2**64)
        Key and upper half of the counter.
    n : int
        How many.
    offset : int
        Number in the stream of the first.

    Returns
    -------
    array of int8, shape (n,)
    """
    first, skip = divmod(offset, 32)
    words = philox_words(seed, stream, (skip + n + 31) // 32, first)
    bits = words[:, np.newaxis] >> np.arange(32, dtype=np.uint32) & np.uint32(1)
    return (1 - 2 * bits.astype(np.int8)).ravel()[skip : skip + n]
