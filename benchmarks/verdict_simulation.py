"""How often is a verdict of the report right, and how often does it cry wolf?

    python -m benchmarks.verdict_simulation [--repetitions 10000] [--seed 0]

A stub stands for the trainer: the score of a policy under a seed is a level, what the seed does to all policies alike,
the policy's true effect, and the luck of that one run. The study has a reference and four policies. In the first
kind no policy has an effect, and any call is a false alarm. In the second, one policy has an effect as large as one to
four standard deviations of a run's luck, and the verdict is right when that policy and no other is called, with the
right sign. Luck is normal, or skewed (exponential, as when a run sometimes fails badly). Everything is drawn from the
seed. A share of 200 studies is known to 3 points only, too coarse to tell 5 % from 7.5 %; of 10,000, to half a point:
under a minute on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from smallgan.report.verdict import compare_to_reference

POLICIES = ("none", "hflip", "contrast", "negative", "gan")
HELPED = "hflip"
LEVEL, SEED_SPREAD = 0.4, 0.05
LUCK = 0.01
"""Standard deviation of a run's luck."""


@dataclass(frozen=True)
class Tally:
    """Shares of the simulated studies."""

    right: float
    """One policy has an effect: it is called with the right sign, and no other is. None has: nothing is called."""
    missed: float
    """A policy that has an effect is not called."""
    wolf: float
    """A policy without an effect is called, or one with an effect with the wrong sign."""


def simulate(num_seeds: int, effect: float, *, skewed: bool = False, repetitions: int = 200, seed: int = 0) -> Tally:
    """Judge `repetitions` studies of `num_seeds` seeds; `effect` is in standard deviations of a run's luck."""
    right = missed = wolf = 0
    for repetition in range(repetitions):
        rng = np.random.default_rng(np.random.SeedSequence([seed, num_seeds, round(100 * effect), skewed, repetition]))
        scores = draw_study(rng, num_seeds, effect, skewed=skewed)
        calls = {one.policy: one.conclusion for one in compare_to_reference(scores, "none")}
        expected = dict.fromkeys(calls, "not significant")
        if effect:
            expected[HELPED] = "lower"
        is_false = any(calls[policy] not in ("not significant", expected[policy]) for policy in calls)
        right += calls == expected
        wolf += is_false
        missed += bool(effect) and calls[HELPED] == "not significant"
    return Tally(right / repetitions, missed / repetitions, wolf / repetitions)


def draw_study(
    rng: np.random.Generator, num_seeds: int, effect: float, *, skewed: bool = False
) -> dict[str, dict[int, float]]:
    """Return a score for each policy and seed."""
    shared = rng.normal(LEVEL, SEED_SPREAD, num_seeds)
    scores = {}
    for policy in POLICIES:
        luck = LUCK * (rng.exponential(1, num_seeds) if skewed else rng.normal(0, 1, num_seeds))
        moved = -effect * LUCK if policy == HELPED else 0.0
        scores[policy] = dict(enumerate((shared + moved + luck).tolist()))
    return scores


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{asked.repetitions:,} studies a row, seed {asked.seed}\n")
    print("| seeds | luck | true effect (of a run's luck) | right | missed | cries wolf |\n|---|---|---|---|---|---|")
    for skewed in (False, True):
        for num_seeds in (3, 5, 10):
            for effect in (0, 1, 2, 4):
                tally = simulate(num_seeds, effect, skewed=skewed, repetitions=asked.repetitions, seed=asked.seed)
                shares = " | ".join(f"{100 * share:.1f}%" for share in (tally.right, tally.missed, tally.wolf))
                print(f"| {num_seeds} | {'skewed' if skewed else 'normal'} | {effect} | {shares} |")


if __name__ == "__main__":
    main()
