"""What is done to images on their way into the discriminator: mirrored reals, pseudo-reals (APA), DiffAugment (ADA).

Each has draws of its own. The probabilities of the last two follow the discriminator where the recipe says so.
"""

import torch
from torch import Tensor

from smallgan.core.rng import Stream, rng
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import AdversarialOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.controller import Controller
from smallgan.training.diffaugment import chosen, diffaugment, parse_diffaugment


class Augmentation:
    """The augmentation of a recipe's discriminator, and the controllers of its probabilities.

    Args:
        recipe: its sections `method`, `loss` and `train` are read.
        device: where the images lie.

    Raises UsageError (no such operation of DiffAugment).
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        options = recipe.method
        assert isinstance(options, AdversarialOptions)
        assert recipe.loss is not None
        self.options, self.seed = options, recipe.seed
        self.operations = parse_diffaugment(options.diffaugment)
        self.boundary = LOSSES[recipe.loss.name].boundary
        num_images = recipe.train.steps * recipe.train.batch_size * options.d_steps
        asked = {"ada": (options.ada_target, options.ada_cap), "apa": (options.apa_target, options.apa_cap)}
        self.controllers = {
            name: Controller(target, cap, num_images).to(device)
            for name, (target, cap) in asked.items()
            if target is not None
        }

    def mirrored(self, real: Tensor, number: int) -> Tensor:
        """Return the reals of step `number`, half of them mirrored where the recipe says so."""
        if not self.options.mirror:
            return real
        mirrored = torch.from_numpy(rng(self.seed, Stream.MIRROR, number).random(len(real)) < 0.5)
        return torch.where(mirrored.to(real.device)[:, None, None, None], real.flip(3), real)

    def with_pseudo_reals(self, real: Tensor, fake: Tensor, position: int) -> Tensor:
        """Return the reals of a discriminator step, some of them replaced by the fakes at their places.

        So does APA (Jiang et al. 2021, arXiv:2111.06849), which takes fakes of its own; these are of the same classes.
        """
        if "apa" not in self.controllers:
            return real
        draws = rng(self.seed, Stream.PSEUDO_REALS, position)
        return torch.where(chosen(real, draws, self.controllers["apa"].probability), fake, real)

    def augmented(self, images: Tensor, position: int, stream: Stream = Stream.DIFFAUGMENT) -> Tensor:
        """Return images as DiffAugment shows them, by the draws at (seed, stream, position)."""
        if not self.operations:
            return images
        ada, options = self.controllers.get("ada"), self.options
        probability = options.diffaugment_probability if ada is None else ada.probability
        draws = rng(self.seed, stream, position)
        return diffaugment(images, self.operations, draws, options.diffaugment_fill, probability)

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

    def end_step(self, number: int) -> None:
        """Let the controllers adjust at the end of step `number` (from 0)."""
        for controller in self.controllers.values():
            controller.adjust(number)
