import tracemalloc

import numpy as np
import pytest

from smallgan.metrics.inception_score import inception_score
from smallgan.metrics.kid import kid
from smallgan.metrics.kmmd import kmmd
from smallgan.metrics.memorisation.rates import copy_rate
from smallgan.metrics.precision_recall import precision
from smallgan.metrics.rbf_multi import mmd2_rbf_multi

COUNT = 4000
FULL_MATRIX = COUNT * COUNT * 8


@pytest.mark.slow
@pytest.mark.parametrize("metric", [kid, kmmd, mmd2_rbf_multi, precision, copy_rate])
def test_memory_does_not_grow_with_the_pairs(metric):
    rng = np.random.default_rng(0)
    fake, real = (rng.normal(size=(COUNT, 8)).astype(np.float32) for _ in range(2))
    assert peak(lambda: metric(fake, real)) < FULL_MATRIX / 2


def test_predictions_are_never_held_whole():
    logits = np.random.default_rng(0).normal(size=(30_000, 100)).astype(np.float32)
    assert peak(lambda: inception_score(logits)) < logits.size * 8 / 2


def peak(work):
    """Bytes that `work` allocates at most at one time, as numpy reports them."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
