"""Randomness with an address: what is drawn for image k of a seed depends on (seed, k) alone.

`image_generator` says what the draws are, in numpy's own words. `image_generators` gives the same for many images at
an eighth of the time: numpy spends nearly all of it on hashing each address in Python, and all of a seed share the
beginning. The last step of numpy's SeedSequence (O'Neill's seed_seq_fe128, whose constants are kept for good so that
seeds stay what they are) is done here for all k at once; a test holds that both agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

IMAGE = 1
"""The stream of a seed that the draws of images come from; other parts of a plan have other streams."""

_POOL = 4
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_HALF = np.uint32(16)


def image_generator(seed: int, k: int) -> np.random.Generator:
    """Return the random generator of added image `k`."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(IMAGE, k))))


def image_generators(seed: int, ks: Sequence[int]) -> Iterator[np.random.Generator]:
    """Yield `image_generator(seed, k)` for each k, all below 2^32."""
    for words in _seed_words(seed, np.asarray(ks, np.uint32)):
        # numpy's types leave out that any ISeedSequence will do
        yield np.random.Generator(np.random.PCG64(_Hashed(words)))  # type: ignore[arg-type]


class _Hashed(ISeedSequence):
    """The four words that PCG64 asks a SeedSequence for."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> NDArray[Any]:
        if (n_words, np.dtype(dtype)) != (_POOL, np.uint64):
            raise ValueError(f"{n_words} words of {np.dtype(dtype)} asked for; there are four of uint64")
        return self._words


def _seed_words(seed: int, ks: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return N x 4: `SeedSequence(seed, spawn_key=(IMAGE, k)).generate_state(4, uint64)` of each k."""
    pool = np.random.SeedSequence(seed, spawn_key=(IMAGE,)).pool  # what all k share
    num_before = max(_POOL, -(-seed.bit_length() // 32)) + 1  # words of the address before k; short seeds are filled up
    # a pool takes 4 hashes to fill and 12 to stir, then 4 for each further word
    consts = _powers(_INIT_A, _MULT_A, 16 + 4 * (num_before - _POOL), _POOL + 1)
    mixed = _MIX_LEFT * pool - _MIX_RIGHT * _hashed(ks[:, None], consts)
    mixed ^= mixed >> _HALF
    twice = np.tile(mixed, (1, 2))  # eight words of 32 bits make four of 64
    return _hashed(twice, _powers(_INIT_B, _MULT_B, 0, 2 * _POOL + 1)).astype("<u4").view("<u8").astype(np.uint64)


def _hashed(words: NDArray[np.uint32], consts: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the hash of `words` (... x C, or ... x 1 for all) with C + 1 constants in a row."""
    found = (words ^ consts[:-1]) * consts[1:]
    found ^= found >> _HALF
    return found


def _powers(init: int, factor: int, first: int, count: int) -> NDArray[np.uint32]:
    """Return init * factor^first, and the products that follow, modulo 2^32."""
    return np.array([init * pow(factor, first + at, 1 << 32) % (1 << 32) for at in range(count)], np.uint32)
