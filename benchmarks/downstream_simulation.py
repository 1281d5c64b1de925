"""How often the verdict of a downstream study calls equal policies different, and how often its intervals hold.

python -m benchmarks.downstream_simulation [--runs 2000]

Four policies that are equal: each classifier is right about a test image where the image's own ease, a shift of the
seed and a rest of the pair sum to more than 0. numpy only, no classifier is trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from smallgan.downstream.compare import differences, estimate

GROUPS, POLICIES = 20, ("none", "a", "b", "c")
CASES = ((3, 100, 0.3), (5, 200, 0.0), (5, 200, 0.3), (5, 1500, 0.0), (5, 1500, 0.3), (10, 200, 0.3))
"""Seeds, test images, spread of the seeds."""
EASE, EASE_SPREAD = 1.0, 1.5


def simulated(num_seeds: int, num_images: int, spread: float, runs: int) -> tuple[float, float, float]:
    """Return how often one comparison has p < 0.05, how often any is significant, and how often an interval holds."""
    draws = np.random.default_rng([num_seeds, num_images, int(10 * spread)])
    truth = ndtr(EASE / np.sqrt(EASE_SPREAD**2 + 1 + spread**2))
    single = family = held = 0
    for _ in range(runs):
        ease = draws.normal(EASE, EASE_SPREAD, num_images)
        values, tables = {}, {}
        for name in POLICIES:
            shift, rest = draws.normal(0, spread, (num_seeds, 1)), draws.normal(0, 1, (num_seeds, num_images))
            right = (ease + shift + rest > 0).astype(float)
            values[name] = right.mean(axis=1).tolist()
            tables[name] = np.stack([right[:, group::GROUPS].mean(axis=1) for group in range(GROUPS)], axis=1)
        found = differences(values, tables, POLICIES[0], range(num_seeds))
        single += (found[0].p or 0.0) < 0.05
        family += any(one.is_significant for one in found)
        low, high = estimate(values["none"], tables["none"]).interval or (0.0, 0.0)
        held += low <= truth <= high
    return single / runs, family / runs, held / runs


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args(arguments).runs
    print("| seeds | test images | spread of seeds | false alarms, one policy | any of three | coverage |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        single, family, held = simulated(*case, runs)
        print(f"| {case[0]} | {case[1]} | {case[2]:g} | {single:.1%} | {family:.1%} | {held:.1%} |")


if __name__ == "__main__":
    main()
