"""The non-saturating loss (Goodfellow et al. 2014, arXiv:1406.2661, section 3): cross-entropy on raw scores."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from smallgan.training.step import AdversarialLoss, StepContext


class Nonsaturating(AdversarialLoss):
    """E softplus(-D(x)) + E softplus(D(g)), and for the generator E softplus(-D(g)).

    The generator's gradient does not vanish while the discriminator wins.
    """

    def discriminator(self, real: Tensor, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the discriminator's loss."""
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, _real: Tensor | None, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the generator's loss."""
        return softplus(-fake).mean()
