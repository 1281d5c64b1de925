"""What is done to images on their way into the discriminator: mirrored reals, pseudo-reals (APA), DiffAugment (ADA).

Each has draws of its own. The probabilities of the last two follow the discriminator where the recipe says so.
"""

from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from smallgan.core import distributed
from smallgan.core.draws import Draw, Draws, rows_draw
from smallgan.core.rng import Stream, rng
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import AdversarialOptions, parse_diffaugment
from smallgan.tables.recipe import Recipe
from smallgan.training.controller import Controller
from smallgan.training.diffaugment import diffaugment, draw_chances, draw_numbers


class Augmentation:
    """The augmentation of a recipe's discriminator, and the controllers of its probabilities.

    Args:
        recipe: its sections `method`, `loss` and `train` are read.
        device: where the images lie.
        draws: gives the numbers; its plan should hold those of `planned`.
    """

    def __init__(self, recipe: Recipe, device: torch.device, draws: Draws) -> None:
        options = recipe.method
        assert isinstance(options, AdversarialOptions)
        assert recipe.loss is not None
        self.options, self.seed, self.draws = options, recipe.seed, draws
        self.batch_size = distributed.share(recipe.train.batch_size)
        self.operations = parse_diffaugment(options.diffaugment)
        self.boundary = LOSSES[recipe.loss.name].boundary
        num_images = recipe.train.steps * recipe.train.batch_size * options.d_steps
        asked = {"ada": (options.ada_target, options.ada_cap), "apa": (options.apa_target, options.apa_cap)}
        self.controllers = {
            name: Controller(target, cap, num_images).to(device)
            for name, (target, cap) in asked.items()
            if target is not None
        }

    def planned(self, step: int) -> Iterator[Draw]:
        """Yield the draws of `mirrored` and `with_pseudo_reals` in a step; those of `augmented` are the caller's."""
        if self.options.mirror:
            yield self._mirrors(step, self.batch_size * self.options.d_steps)
        if "apa" in self.controllers:
            for part in range(self.options.d_steps):
                yield self._chances(step * self.options.d_steps + part, self.batch_size)

    def mirrored(self, real: Tensor, number: int) -> Tensor:
        """Return the reals of step `number`, half of them mirrored where the recipe says so."""
        if not self.options.mirror:
            return real
        (mirrored,) = self.draws(self._mirrors(number, len(real)))
        return torch.where(mirrored[:, None, None, None], real.flip(3), real)

    def with_pseudo_reals(self, real: Tensor, fake: Tensor, position: int) -> Tensor:
        """Return the reals of a discriminator step, some of them replaced by the fakes at their places.

        So does APA (Jiang et al. 2021, arXiv:2111.06849), which takes fakes of its own; these are of the same classes.
        """
        if "apa" not in self.controllers:
            return real
        (chances,) = self.draws(self._chances(position, len(real)))
        return torch.where(chances < self.controllers["apa"].probability, fake, real)

    def augmented(
        self, images: Tensor, position: int, stream: Stream = Stream.DIFFAUGMENT, rows: slice | None = None
    ) -> Tensor:
        """Return images as DiffAugment shows them, by the draws at (seed, stream, position).

        `rows` where they are those of a whole batch alone: each is augmented as in the whole.
        """
        if not self.operations:
            return images
        count = len(images) if rows is None else self.batch_size
        numbers = self.draws(self.numbers(position, stream, count, images.shape[-1]))
        if rows is not None:
            numbers = [each[rows] for each in numbers]
        return diffaugment(images, self.operations, numbers, self.options.diffaugment_fill, self._probability)

    def numbers(self, position: int, stream: Stream, count: int, side: int) -> Draw:
        """Return the draw by which `augmented` augments `count` images of `side` px."""

        def make(number: int) -> tuple[NDArray[Any], ...]:
            certain = isinstance(self._probability, float) and self._probability == 1
            draws = rng(self.seed, stream, position)
            return draw_numbers(self.operations, draws, number, side, with_chances=not certain)

        return rows_draw((stream, position, count, side), count, make)

    @property
    def _probability(self) -> float | Tensor:
        ada = self.controllers.get("ada")
        return self.options.diffaugment_probability if ada is None else ada.probability

    def _mirrors(self, number: int, count: int) -> Draw:
        def make() -> tuple[NDArray[Any], ...]:
            parts = self.options.d_steps, distributed.count() * count // self.options.d_steps
            mirrored = rng(self.seed, Stream.MIRROR, number).random(parts) < 0.5
            return (distributed.own(mirrored, axis=1).reshape(-1),)

        return Draw((Stream.MIRROR, number, count), make)

    def _chances(self, position: int, count: int) -> Draw:
        address = Stream.PSEUDO_REALS, position
        return rows_draw((*address, count), count, lambda number: (draw_chances(rng(self.seed, *address), number),))

    def observe(self, real_scores: Tensor) -> dict[str, Tensor]:
        """Show the controllers the scores B of reals; return r_t and each probability in force, {} without any."""
        if not self.controllers:
            return {}
        assert self.boundary is not None
        signs = (real_scores.detach() - self.boundary).sign()
        for controller in self.controllers.values():
            controller.observe(signs)
        names = {"ada": "augment_p", "apa": "apa_p"}
        now = {names[name]: controller.probability.clone() for name, controller in self.controllers.items()}
        return {"r_t": signs.mean(), **now}

    def adjusts(self, number: int) -> bool:
        """Tell whether the controllers adjust at the end of step `number` (from 0)."""
        return any(controller.adjusts(number) for controller in self.controllers.values())

    def end_step(self, number: int) -> None:
        """Let the controllers adjust at the end of step `number` (from 0)."""
        for controller in self.controllers.values():
            controller.adjust(number)
