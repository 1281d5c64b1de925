"""Randomness with an address: draws depend on (seed, stream, position) alone."""

from enum import IntEnum, unique

import numpy as np
from numpy.typing import NDArray


@unique
class Stream(IntEnum):
    """What a draw is for; part of its address, so that two uses of one seed never share numbers."""

    INIT = 0
    BATCH_ORDER = 1
    TRAIN_LATENTS = 2
    GRID_LATENTS = 3
    SAMPLE_LATENTS = 4
    STATISTICS_LATENTS = 5
    CODE_NOISE = 6
    LATENT_TARGETS = 7
    CODES = 8
    ADAPTER_INIT = 9
    LABELS = 10
    DIFFAUGMENT = 11
    MIRROR = 12
    CODE_CHOICE = 13
    DIFFAUGMENT_REALS = 14
    DIFFAUGMENT_PENALTY = 15
    PSEUDO_REALS = 16
    POOL_LATENTS = 17
    KEPT_LATENTS = 18
    MATCH_ORDER = 19
    PROJECTION = 20
    CROPS = 21
    WARM_START = 22
    PROBE_IMAGES = 23
    PROBE_LATENTS = 24
    PROBE_AUGMENT = 25
    BETWEEN = 26
    CONSISTENCY = 27
    TARGET_ORDER = 29
    CLASS_SEARCH = 30
    ANCHORS = 36
    ANCHOR_CHOICE = 37
    TWIN_LATENTS = 38
    TWIN_LEVELS = 39
    CLASSIFIER_INIT = 40
    CLASSIFIER_ORDER = 41
    CLASSIFIER_MIX = 42
    CLASSIFIER_AUGMENT = 43
    CLASSIFIER_RANDAUGMENT = 44
    D_TWIN_LATENTS = 45
    D_TWIN_LEVELS = 46
    MADE_SET = 50
    LATENT_POINTS = 60
    LATENT_SETS = 61
    LATENT_PROJECTION = 62
    DISTANCE_LATENTS = 63


def rng(seed: int, stream: Stream, position: int = 0) -> np.random.Generator:
    """Return the generator at the address (seed, stream, position): the same numbers on every machine."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((abs(seed), int(seed < 0), stream, position))))


def normal(seed: int, stream: Stream, position: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return standard-normal float32 draws of `shape` at the address (seed, stream, position)."""
    return rng(seed, stream, position).standard_normal(shape, dtype=np.float32)
