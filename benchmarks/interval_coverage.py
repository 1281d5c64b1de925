"""How often do the 95 % intervals of the scores hold the value that they speak of?

    python -m benchmarks.interval_coverage [--pairs 200] [--seed 0]

For each metric, 200 pairs of small sets are drawn from known distributions; the interval of each pair is asked whether
it holds the long-run value: the mean of the same estimator at the same sizes over 2,000 other pairs. Fakes and reals
come from one distribution ("same") or from two ("apart"). Features are skewed, as pooled features are: the positive
parts of normal numbers, 16 wide, of which fakes "apart" are 0.4 higher with a third more spread. Logits are normal,
variances of the Laplacian gamma (shape 2), those of fakes "apart" half as large.
Runs on one core in about three minutes; everything is drawn from the seed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from smallgan.metrics import METRICS, MetricInputs, MetricOptions, RealSet
from smallgan.tables.dotted import load

WIDTH, CLASSES = 16, 10
COUNTS = (25, 100)
LONG_RUN = 2000


class Drawn:
    """Features and logits in the shape of `smallgan.metrics.features.extract.Features`, without torch."""

    def __init__(self, rng: np.random.Generator, count: int, apart: bool) -> None:
        spread, shift = (1.33, 0.4) if apart else (1.0, 0.0)
        self.features: NDArray[np.float64] = np.maximum(0, rng.normal(shift, spread, (count, WIDTH)))
        self.logits: NDArray[np.float64] = rng.normal(0, 2, (count, CLASSES))
        self.logits[:, 0] += 1.5 if apart else 0
        self.laplacian: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.features)


def sets(seed: int, index: int, count: int, apart: bool) -> MetricInputs:
    """Return one pair, with as many augmented images (the reals' distribution, a little higher) and training images."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index, count, apart]))
    fake, real, augmented = Drawn(rng, count, apart), Drawn(rng, count, False), Drawn(rng, count, False)
    augmented.features += 0.3
    training = RealSet(Drawn(rng, count, False), None)  # type: ignore[arg-type]
    fake.laplacian, real.laplacian = rng.gamma(2.0, 0.5 if apart else 1.0, count), rng.gamma(2.0, 1.0, count)
    return MetricInputs(fake, real, augmented, training)  # type: ignore[arg-type]


def coverage(name: str, count: int, apart: bool, pairs: int, seed: int) -> tuple[float, float, float, float, float]:
    """Return the long-run value, the share of intervals that hold it, below and above it, and their median width."""
    compute, target = load(METRICS[name].compute), (0, 1)
    quick = MetricOptions(seed=seed, target=target, intervals=False)
    others = range(pairs, pairs + LONG_RUN)
    long_run = float(np.mean([compute(sets(seed, index, count, apart), quick).value for index in others]))
    ends = []
    for index in range(pairs):
        interval = compute(sets(seed, index, count, apart), MetricOptions(seed=index, target=target)).interval
        assert interval is not None, f"{name} gave no interval for {count} images"
        ends.append(interval)
    low, high = np.array(ends).T
    return (
        long_run,
        float(np.mean((low <= long_run) & (long_run <= high))),
        float(np.mean(high < long_run)),
        float(np.mean(low > long_run)),
        float(np.median(high - low)),
    )


def main() -> None:
    """Print the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metrics", default=",".join(METRICS.names))
    asked = parser.parse_args()
    began = time.perf_counter()
    print("| metric | images | sets | long-run value | hold it | all below | all above | median width |")
    print("|---|---|---|---|---|---|---|---|")
    for name in asked.metrics.split(","):
        for count in COUNTS:
            for apart in (False, True):
                if name == "fid" and count < 2 * WIDTH:
                    continue  # no interval there
                value, held, below, above, width = coverage(name, count, apart, asked.pairs, asked.seed)
                which = "apart" if apart else "same"
                shares = " | ".join(f"{share:.1%}" for share in (held, below, above))
                print(f"| {name} | {count} | {which} | {value:.4f} | {shares} | {width:.4f} |", flush=True)
    print(f"\n{asked.pairs} pairs, seed {asked.seed}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
