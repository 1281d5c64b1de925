"""Sharpness: how much fine detail fakes hold beside the reals, by the variance of the Laplacian of grey values.

Pech-Pacheco et al. 2000 use that variance to tell focused photographs from blurred ones. Relative to real images 1 is
as sharp as they are; below 0.6 reads as blurred, and above 1.4 as noise or a pattern.
"""

import numpy as np
from numpy.typing import NDArray

from augment.errors import InputError
from smallgan.metrics.features.laplacian import LEAST_SIDE, laplacian_variance
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult, subsample_interval

Values = NDArray[np.float64]


def sharpness(fake: Values, real: Values) -> float:
    """Return the median of the fakes' values over that of the reals'; NaN where the reals are flat."""
    middle = float(np.median(real))
    return float(np.median(fake)) / middle if middle else float("nan")


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Median Laplacian variance of the fakes over that of the reals: 1 is as sharp; of pixels, without a network."""
    assert inputs.real is not None
    fake, real = (_values(each.laplacian, what) for each, what in ((inputs.fake, "fakes"), (inputs.real, "reals")))
    if not np.median(real):
        raise InputError("sharpness compares with the reals, and more than half of these are flat; give photographs")
    parts = {"fakes": float(np.median(fake)), "reals": float(np.median(real))}
    value = sharpness(fake, real)
    interval = subsample_interval(value, sharpness, (fake, real), options, 1)
    if interval is not None and not np.isfinite(interval).all():  # a half of the reals that is flat
        interval = None
    interval = interval and (max(0.0, interval[0]), interval[1])
    return MetricResult(value, "median variance of the Laplacian of grey values", parts=parts, interval=interval)


def checks() -> list[Case]:
    """Return two chequerboards, one of four times the contrast: the variance goes with its square."""
    rows, columns = np.indices((6, 6))
    faint, strong = (np.repeat((high * ((rows + columns) % 2))[..., None], 3, 2).astype(np.uint8) for high in (10, 40))
    return [Case("chequerboards", 1 / 16, lambda: sharpness(*map(laplacian_variance, ([faint], [strong]))))]


def _values(found: Values | None, what: str) -> Values:
    if found is None:
        raise InputError(
            f"--metrics sharpness: looks at pixels, and of the {what} features alone are known; name images"
        )
    if np.isnan(found).any():
        small = int(np.isnan(found).sum())
        raise InputError(
            f"--metrics sharpness: needs sides of {LEAST_SIDE} pixels, {small} of the {what} have less; leave it out"
        )
    return found
