"""How often a generator that copies its training images is called better than a perfect one, before and after.

python -m benchmarks.copier_simulation [--studies 200] [--images 200] [--seeds 5]

Features are normal draws of 64 numbers with falling variances. The reference draws new ones from the same distribution;
the copier repeats training images with a little noise. A study compares the two over seeds by KMMD and judges as the
report does: against the training images ("before"), against images held out ("held out"), and with the rule that a
variant whose copies rise is never called better ("and copies").
"""

import argparse
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from smallgan.data.split import study_holdout
from smallgan.metrics.kmmd import kmmd
from smallgan.metrics.memorisation.rates import copy_rate
from smallgan.report.verdict import compare_to_reference

WIDTH, NOISE = 64, 0.05
Images = NDArray[np.float64]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copier_simulation", description=__doc__.splitlines()[0])
    for name, count in (("studies", 200), ("images", 200), ("seeds", 5)):
        parser.add_argument(f"--{name}", type=int, default=count)
    args = parser.parse_args()
    better: Counter[str] = Counter()
    for study in range(args.studies):
        better.update(judged(study, args.images, args.seeds))
    print(f"{args.studies} studies of {args.images} images, {args.seeds} seeds; the copier is called better in")
    for rule in ("before", "held out", "and copies"):
        print(f"  {rule:10} {better[rule]:4}  ({better[rule] / args.studies:.1%})")


def judged(study: int, num_images: int, num_seeds: int) -> list[str]:
    """Return the rules by which the copier of one study is called better."""
    scale = 1 / np.sqrt(1 + np.arange(WIDTH))
    num_held = round(study_holdout(num_images) * num_images)
    scores: dict[str, dict[str, dict[int, float]]] = {}
    for seed in range(num_seeds):
        draws = np.random.default_rng([study, seed])
        originals = np.random.default_rng([study, 10_000]).normal(size=(num_images, WIDTH)) * scale
        trained, held = originals[num_held:], originals[:num_held]
        fakes = {
            "perfect": draws.normal(size=(num_images, WIDTH)) * scale,
            "copier": _copies(originals, num_images, draws, scale),
        }
        held_fakes = fakes | {"copier": _copies(trained, num_images, draws, scale)}
        for name in fakes:
            _note(scores, "before", name, seed, kmmd(fakes[name], originals).value)
            _note(scores, "held out", name, seed, kmmd(held_fakes[name], held).value)
            _note(scores, "copies", name, seed, copy_rate(held_fakes[name], trained))
    lower = {rule: _conclusion(scores[rule]) == "lower" for rule in ("before", "held out")}
    copies = _conclusion(scores["copies"]) == "higher"
    return [rule for rule, wins in (*lower.items(), ("and copies", lower["held out"] and not copies)) if wins]


def _copies(images: Images, count: int, draws: np.random.Generator, scale: Images) -> Images:
    return images[draws.integers(len(images), size=count)] + NOISE * scale * draws.normal(size=(count, WIDTH))


def _note(scores: dict[str, dict[str, dict[int, float]]], rule: str, name: str, seed: int, value: float) -> None:
    scores.setdefault(rule, {}).setdefault(name, {})[seed] = value


def _conclusion(scores: dict[str, dict[int, float]]) -> str:
    (difference,) = compare_to_reference(scores, "perfect")
    return difference.conclusion


if __name__ == "__main__":
    main()
