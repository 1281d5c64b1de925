"""Randomness with an address: what is drawn for image k of a seed depends on (seed, stream, k) alone.

Each (seed, stream) is a key of numpy's Philox, a bit generator that counts: k stands in the second word of its counter,
so image k has 2^64 blocks of its own and no draws of one are those of another.
"""

from collections.abc import Iterable, Iterator

import numpy as np

IMAGE = 1  # The stream of a seed that the draws of images come from; other parts of a plan have other streams


def image_generators(seed: int, ks: Iterable[int], stream: int = IMAGE) -> Iterator[np.random.Generator]:
    """Yield the generator of each k below 2^64: one object, set anew each time, so draw before asking for the next."""
    key = np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(2, np.uint64)
    philox = np.random.Philox(key=key)
    generator, state = np.random.Generator(philox), philox.state  # the state before anything is drawn: nothing buffered
    for k in ks:
        state["state"]["counter"][1] = k
        philox.state = state
        yield generator
