"""What the classifiers of a study share, and which there are: a variant, a number of images and a seed each."""

from dataclasses import dataclass
from typing import Any

import torch

from smallgan.core.downstream_dir import DownstreamDir
from smallgan.data.images import Pixels
from smallgan.downstream.arms import Arm
from smallgan.downstream.data import LabelledSet, Synthetic, audited, plain_pixels
from smallgan.tables.sweep import slug


@dataclass(frozen=True)
class Trial:
    """One classifier to be trained: a variant, a number of real images a class, a seed."""

    arm: Arm
    number: int | None  # None: all
    seed: int

    @property
    def name(self) -> str:
        """Its files are called after it."""
        return f"{slug(self.arm.name)}-{part_name(self.number, self.seed)}"

    @property
    def draw(self) -> int:
        """The seed by which its real training images are drawn."""
        return self.seed if self.arm.section.redraw else 0

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.arm.name}, {self.part_label}"

    @property
    def part_label(self) -> str:
        """The name of its real training images in messages."""
        each = "" if self.number is None else f"{self.number} images a class, "
        return f"{each}seed {self.seed}"


def part_name(number: int | None, seed: int) -> str:
    """Return the name of a training part: n25-seed0."""
    return f"{'all' if number is None else f'n{number}'}-seed{seed}"


@dataclass
class Bench:
    """What the classifiers of a study share, made once a process."""

    study: DownstreamDir
    images: LabelledSet
    device: torch.device
    _test: Any = None
    _synthetic: dict[str, Synthetic] | None = None

    def test(self, arm: Arm) -> Pixels:
        """Return the test images."""
        if self._test is None:
            self._test = plain_pixels(self.images, self.images.split.test, arm.recipe)
        made: Pixels = self._test
        return made

    def parts(self, trial: Trial) -> tuple[list[int], list[int]]:
        """Return the places of the real images that a trial is trained on, and of those that choose its step.

        Raises UsageError naming the classes that have too few images.
        """
        share = getattr(trial.arm.section.classifier, "validation", 0.0)
        return self.images.divided(trial.number, trial.draw, share)

    def synthetic(self, arm: Arm) -> Synthetic | None:
        """Return the audited images from elsewhere of a variant, None where it has none."""
        folder = arm.section.synthetic
        if folder is None:
            return None
        self._synthetic = self._synthetic or {}
        if folder not in self._synthetic:
            self._synthetic[folder] = audited(self.images, folder, skip_bad=arm.recipe.data.skip_bad)
        return self._synthetic[folder]
