"""Are fakes nearer to the training images than new images are?

The median distance of fakes to the nearest training image, over that of held-out images. New images of the same source
have 1. A generator that leans on its training images has less; so has one whose images are blurred, which lie in the
middle of all: read it with `sharpness`.
"""

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult, subsample_interval
from smallgan.metrics.memorisation.nearest import nearest_distance
from smallgan.metrics.real_facts import NONE_KEPT, RealFacts

ALARM = 0.8  # Below it fakes are nearer to the training images than new images of their source come to lie
_ESTIMATOR = "median distance to the nearest of {} training images{}, over that of the reals"


def nearest_ratio(
    fake: Vectors, held_out: Vectors, training: Vectors, *, facts: RealFacts = NONE_KEPT, name: str = ""
) -> float:
    """Return the median distance of fakes to the nearest training image over that of held-out images.

    Args:
        fake: n x F features.
        held_out: h x F features of images of the same source that were not trained on.
        training: m x F features.
        facts: of the held-out images.
        name: of the training images, where `facts` keeps what follows from both.

    Returns:
        The ratio, NaN where at least half of the held-out images equal a training image.

    Fakes at 4 and 6 are 5 from the training image 0 in the median, held-out images 10:

        >>> nearest_ratio(np.array([[4.0], [6.0]]), np.array([[10.0], [-10.0]]), np.array([[0.0]]))
        0.5
    """

    def of_held_out() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        return {"median": np.array(np.median(nearest_distance(held_out, training)))}

    expected = float(facts.get(f"median distance to the nearest of {name}", of_held_out)["median"])
    return float(np.median(nearest_distance(fake, training))) / expected if expected else float("nan")


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Median distance of fakes to the nearest training image over that of held-out images; below 0.8 is an alarm."""
    assert inputs.training is not None
    known = inputs.training.fingerprint
    training = inputs.training.features.features
    facts = inputs.facts if known else NONE_KEPT
    value = nearest_ratio(*inputs.pair, training, facts=facts, name=known or "")
    if np.isnan(value):
        raise InputError("--metrics nearest_ratio: half of the held-out images or more are training images; part them")
    interval = subsample_interval(value, nearest_ratio, (*inputs.pair, training), options, 1)
    if interval is not None and not np.isfinite(interval).all():
        interval = None
    note = (
        f"nearest-image ratio {value:.2f} is below {ALARM}: fakes lie nearer to training images than new images do. "
        "Look for copies (--worst FILE.png); blurred images lie nearer too, see sharpness"
    )
    which = f" ({known[:12]})" if known else ""
    return MetricResult(
        value,
        _ESTIMATOR.format(len(training), which),
        notes=(note,) if value < ALARM else (),
        interval=interval and (max(0.0, interval[0]), interval[1]),
    )


def checks() -> list[Case]:
    """Return fakes at half the distance of held-out images."""
    sets = np.array([[2.0], [4.0], [6.0]]), np.array([[8.0], [-8.0], [9.0]]), np.zeros((4, 1))
    return [Case("fakes at 2, 4 and 6, others at 8, 8 and 9", 0.5, lambda: nearest_ratio(*sets))]
