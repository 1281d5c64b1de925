"""Addresses of randomness: the same address gives the same draws, and no two addresses share any."""

import itertools

import numpy as np
import pytest

from augment.core.rng import IMAGE, image_generators

SEEDS = (0, 1, 2**31, 2**32, 2**64 + 3, 2**200 + 17)
KS = (0, 1, 2, 77, 65_536, 9_999_999, 2**32, 2**64 - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_many_at_once_draw_what_each_draws_alone_whatever_was_drawn_before(seed):
    for k, generator in zip(KS, image_generators(seed, KS), strict=True):
        alone = next(image_generators(seed, [k]))
        assert generator.integers(7, dtype=np.uint32) == alone.integers(7, dtype=np.uint32)  # leaves half a word behind
        assert generator.uniform(size=k % 5).tolist() == alone.uniform(size=k % 5).tolist()
    assert not list(image_generators(seed, []))


def test_the_address_is_philox_with_k_in_the_second_word_of_the_counter():
    key = np.random.SeedSequence(5, spawn_key=(IMAGE,)).generate_state(2, np.uint64)
    wanted = np.random.Generator(np.random.Philox(key=key, counter=[0, 9, 0, 0])).integers(2**63, size=9)
    assert next(image_generators(5, [9])).integers(2**63, size=9).tolist() == wanted.tolist()


def test_ten_thousand_draws_of_neighbours_share_nothing():
    drawn = [generator.integers(2**64, size=10_000, dtype=np.uint64) for generator in image_generators(0, range(5))]
    for one, other in itertools.combinations(drawn, 2):
        assert len(np.intersect1d(one, other)) == 0


def test_no_two_of_many_are_alike_and_other_seeds_and_streams_differ():
    first = [int(generator.integers(2**63)) for generator in image_generators(0, range(5000))]
    assert len(set(first)) == 5000
    assert first[7] not in (
        next(image_generators(1, [7])).integers(2**63),
        next(image_generators(0, [7], stream=IMAGE + 1)).integers(2**63),
    )


@pytest.mark.parametrize("k", [-1, 2**64])
def test_numbers_that_do_not_fit_are_refused(k):
    with pytest.raises(OverflowError):
        next(image_generators(0, [k]))
