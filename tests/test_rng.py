"""Philox and what is made of it; seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from deepglass import _core
from deepglass.random import child_seed, seed_entropy
from deepglass.reference import rng as reference

pytestmark = pytest.mark.same_bits

WORDS = st.integers(0, 2**64 - 1)
KINDS = ["uniform", "normal", "sign", "words"]


def fast(kind: str, *arguments: int) -> NDArray[Any]:
    numbers: NDArray[Any] = getattr(_core, f"philox_{kind}")(*arguments)
    return numbers


def slow(kind: str, *arguments: int) -> NDArray[Any]:
    numbers: NDArray[Any] = getattr(reference, f"philox_{kind}")(*arguments)
    return numbers


# ---- Kernel = reference


@pytest.mark.parametrize("kind", ["uniform", "sign", "words"])
@given(seed=WORDS, stream=WORDS, n=st.integers(0, 300), offset=st.integers(0, 1000) | st.integers(0, 2**63))
def test_bits_are_those_of_the_reference(kind: str, seed: int, stream: int, n: int, offset: int) -> None:
    got, expected = fast(kind, seed, stream, n, offset), slow(kind, seed, stream, n, offset)
    assert got.dtype == expected.dtype
    assert np.array_equal(got, expected)


@given(seed=WORDS, stream=WORDS, n=st.integers(0, 300), offset=st.integers(0, 2**63))
def test_normal_is_reference(seed: int, stream: int, n: int, offset: int) -> None:
    # The reference rounds 2 pi v: an angle of up to 6.3 is off by 1e-15, times a radius of up to 8.6.
    np.testing.assert_allclose(
        fast("normal", seed, stream, n, offset),
        slow("normal", seed, stream, n, offset),
        rtol=4e-16,
        atol=1e-14,
    )


# ---- Known answers


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # from the authors' Random123
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers(counter: str, key: str, answer: str) -> None:
    words, keys, answers = ([int(w, 16) for w in text.split()] for text in (counter, key, answer))
    assert list(_core.philox_block(words, keys)) == answers
    assert reference.philox_block(words, keys).tolist() == answers
    # The arrays must give the same: stream and position make up the counter.
    position, stream, seed = words[0] | words[1] << 32, words[2] | words[3] << 32, keys[0] | keys[1] << 32
    if position < 2**61:
        assert fast("words", seed, stream, 4, 4 * position).tolist() == answers


@given(seed=WORDS, stream=WORDS, position=st.integers(0, 2**62 - 2))
def test_fills_are_made_of_blocks(seed: int, stream: int, position: int) -> None:
    def halves(x: int) -> list[int]:
        return [x & 0xFFFFFFFF, x >> 32]

    block = _core.philox_block(halves(position) + halves(stream), halves(seed))
    assert list(fast("words", seed, stream, 4, 4 * position)) == list(block)


# ---- Invariants


@pytest.mark.parametrize("kind", KINDS)
@given(n=st.integers(0, 700), offset=st.integers(0, 700))
def test_offset_skips(kind: str, n: int, offset: int) -> None:
    # Bitwise for normals too: tiles and remainders take the same operations.
    assert np.array_equal(fast(kind, 1, 2, n, offset), fast(kind, 1, 2, n + offset)[offset:])


def test_offset_across_the_low_word_of_the_counter() -> None:
    start = 2 * 2**32 - 101
    assert np.array_equal(
        fast("uniform", 3, 4, 200, start),
        np.concatenate([fast("uniform", 3, 4, 1, start + k) for k in range(200)]),
    )


def test_uniform() -> None:
    n = 1_000_000
    u = fast("uniform", 20, 0, n)
    assert np.all(u > 0) and np.all(u <= 1)
    k = u * 2.0**53
    assert np.array_equal(k, np.floor(k))
    assert 0.4 < np.mean(k % 2) < 0.6  # the last bit is used
    for power in (1, 2, 3, 4):
        mean, variance = 1 / (power + 1), 1 / (2 * power + 1) - 1 / (power + 1) ** 2
        assert abs(np.mean(u**power) - mean) < 4 * np.sqrt(variance / n)
    assert stats.kstest(u, "uniform").pvalue > 1e-4


def test_normal() -> None:
    n = 1_000_000
    z = fast("normal", 21, 0, n)
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs(np.mean(z**power) - mean) < 4 * np.sqrt(variance / n)
    assert stats.kstest(z, "norm").pvalue > 1e-4
    expected = 2 * n * stats.norm.sf(4.0)
    assert abs(np.sum(np.abs(z) > 4) - expected) < 4 * np.sqrt(expected)
    # the two of one block
    assert abs(np.mean(z[::2] * z[1::2])) < 4 / np.sqrt(n / 2)
    assert abs(np.mean((z[::2] ** 2 - 1) * (z[1::2] ** 2 - 1))) < 4 * 2 / np.sqrt(n / 2)


def test_sign() -> None:
    n = 1 << 20
    s = fast("sign", 22, 0, n)
    assert set(np.unique(s)) == {-1, 1}
    x = s.astype(float)
    assert abs(x.mean()) < 4 / np.sqrt(n)
    for lag in (1, 2, 32, 64, 128):
        assert abs(np.mean(x[lag:] * x[:-lag])) < 4 / np.sqrt(n - lag)
    # every one of the 128 places of a block
    z = x.reshape(-1, 128).sum(axis=0) / np.sqrt(n / 128)
    assert np.max(np.abs(z)) < 4.5  # 128 of them


def test_streams_and_seeds_are_independent() -> None:
    n, m = 4096, 20
    z = np.array([fast("normal", 5, stream, n) for stream in range(m)])
    z = np.concatenate([z, [fast("normal", seed, 0, n) for seed in range(6, 6 + m)]])
    correlation = (z @ z.T / n)[np.triu_indices(2 * m, 1)] * np.sqrt(n)
    assert np.max(np.abs(correlation)) < 4.8  # 780 pairs: z < 4 for all of them together
    assert abs(np.sum(correlation**2) - len(correlation)) < 4 * np.sqrt(2 * len(correlation))


# ---- The CPU level


def numbers() -> str:
    digest = hashlib.sha256()
    for kind in KINDS:
        digest.update(fast(kind, 123, 45, 10_001, 3).tobytes())
    return digest.hexdigest()


def test_bits_do_not_depend_on_the_level(at_level: Callable[[Callable[[], str]], str]) -> None:
    assert at_level(numbers) == numbers()


def test_normals_stay_what_they_are() -> None:
    """A changed trajectory is a change to be announced: these bits are part of the interface."""
    assert [x.hex() for x in fast("normal", 1, 2, 4).tolist()] == [
        "0x1.0f42691aa2288p+0",
        "0x1.1100d6b43fd82p-2",
        "0x1.0d2f5f8138957p-1",
        "0x1.8292ad3d6a207p-3",
    ]


# ---- Errors


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="n must be >= 0, got -1"):
        _core.philox_uniform(1, 2, -1)
    with pytest.raises(ValueError, match=r"offset must be below 2\^64 - n"):
        _core.philox_sign(1, 2, 2, 2**64 - 1)
    with pytest.raises(TypeError):
        _core.philox_uniform(-1, 2, 3)


# ---- Seeds


def test_seed_entropy_of_an_int_is_itself() -> None:
    for seed in (0, 1, 2**64 - 1, np.int64(5)):
        assert seed_entropy(seed) == seed
        assert type(seed_entropy(seed)) is int
    large = seed_entropy(2**64 + 1)
    assert 0 <= large < 2**64
    assert large != seed_entropy(2**64 + 2)


def test_seed_entropy_of_others() -> None:
    sequence = np.random.SeedSequence(3)
    assert seed_entropy(sequence) == seed_entropy(np.random.SeedSequence(3))
    assert seed_entropy(sequence.spawn(1)[0]) != seed_entropy(sequence)
    generator = np.random.default_rng(3)
    first, second = seed_entropy(generator), seed_entropy(generator)
    assert first != second
    assert first == seed_entropy(np.random.default_rng(3))
    assert seed_entropy(None) != seed_entropy(None)
    assert all(0 <= s < 2**64 for s in (first, second, seed_entropy(None)))


def test_child_seeds() -> None:
    children = [child_seed(7, index) for index in range(1000)]
    assert len(set(children) | {7, child_seed(8, 0)}) == 1002
    spawned = np.random.SeedSequence(7).spawn(1000)
    assert children[999] == seed_entropy(spawned[999])
    # and the entropy that was kept gives them again
    assert child_seed(seed_entropy(7), 5) == children[5]


@pytest.mark.parametrize("seed", [True, 1.0, "1"])
def test_seed_of_wrong_type(seed: Any) -> None:
    with pytest.raises(TypeError, match="seed must be an int"):
        seed_entropy(seed)


def test_negative_seeds() -> None:
    with pytest.raises(ValueError, match="seed must be >= 0, got -1"):
        seed_entropy(-1)
    with pytest.raises(ValueError, match="entropy must be >= 0"):
        child_seed(-1, 0)
    with pytest.raises(ValueError, match="index must be >= 0, got -2"):
        child_seed(1, -2)
