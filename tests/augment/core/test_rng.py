"""Addresses of randomness: many generators at once are those that numpy gives one by one."""

import numpy as np
import pytest
from numpy.random import PCG64, Generator, SeedSequence

from augment.core.rng import IMAGE, image_generator, image_generators

SEEDS = (0, 1, 5, 2**31, 2**32 - 1, 2**32, 2**64 + 3, 2**128 - 1, 2**128, 2**200 + 17)
KS = (0, 1, 2, 77, 1000, 65_535, 65_536, 9_999_999, 2**32 - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_they_are_in_the_states_that_numpy_puts_them_in(seed):
    for k, found in zip(KS, image_generators(seed, KS), strict=True):
        wanted = Generator(PCG64(SeedSequence(seed, spawn_key=(IMAGE, k))))
        assert found.bit_generator.state == wanted.bit_generator.state
        assert found.uniform(size=3).tolist() == image_generator(seed, k).uniform(size=3).tolist()


def test_no_two_of_many_are_alike_and_none_is_made_of_nothing():
    first = [generator.integers(2**63) for generator in image_generators(0, range(5000))]
    assert len(set(first)) == 5000
    assert not list(image_generators(0, []))


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(OverflowError):
        list(image_generators(0, [2**32]))


def test_other_uses_of_such_a_seed_are_refused():
    generator = next(image_generators(0, [0]))
    with pytest.raises(ValueError, match="words of"):
        np.random.MT19937(generator.bit_generator.seed_seq)
