"""What an adversarial step passes to its loss and its regularizers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from smallgan.core.draws import Draws
from smallgan.tables.options import Options


@dataclass(frozen=True)
class StepContext:
    """One discriminator step or one generator step."""

    number: int
    """Step, from 0."""
    real: Tensor
    """B x 3 x S x S in [-1, 1], mirrored where the recipe says so, not yet augmented by DiffAugment."""
    fake: Tensor
    """B x 3 x S x S; without a gradient in the discriminator's step."""
    labels: Tensor
    """Classes of both, int64 B; all 0 without classes."""
    real_scores: Tensor | None
    """Raw scores B of the reals; None in a generator step that has none (`LossRow.generator_needs_reals`)."""
    fake_scores: Tensor
    """Raw scores B of the fakes."""
    score: Callable[[Tensor], Tensor]
    """Images B x 3 x S x S -> raw scores B, through DiffAugment and the discriminator, in float32."""
    generate: Callable[[Tensor], Tensor]
    """Latents B x Z -> images of `labels` B x 3 x S x S, by the generator in training mode, with a gradient to it."""
    seed: int
    """Of the run, for a regularizer that draws numbers."""
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    """The run's precision, for passes that need no float32."""
    draws: Draws = Draws(torch.device("cpu"), lambda _step: ())  # noqa: RUF009 - it has no state on a CPU
    """Numbers that a regularizer draws, on the device; see `Penalty`."""
    position: int = 0
    """Address of what a regularizer draws: the discriminator step, from 0, or the generator step."""


class AdversarialLoss(ABC):
    """What each network minimises, from raw scores."""

    def __init__(self, options: Options) -> None:
        """Keep the options of the loss's row."""
        self.options = options

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor, context: StepContext) -> Tensor:
        """Return the discriminator's loss, a scalar, for the scores of reals B and of fakes B."""

    @abstractmethod
    def generator(self, real: Tensor | None, fake: Tensor, context: StepContext) -> Tensor:
        """Return the generator's loss for the scores of fakes B, and of reals B where the row asks for them."""


Penalty = Callable[[StepContext], Tensor]
"""A regularizer: the term of a loss that it adds, a scalar, not yet multiplied by its weight.

One that draws numbers from `StepContext.draws` names them by a method `planned`: (`StepContext.position`, batch size,
seed of the run) -> its `Draw`s there, so that they are on a GPU in time.
"""
Limit = Callable[[], None]
"""A regularizer that changes weights after the optimiser's step (`RegularizerRow.limits_weights`)."""
