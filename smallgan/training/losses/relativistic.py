"""The relativistic paired loss (Jolicoeur-Martineau 2019, arXiv:1807.00734): real k is compared with fake k."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from smallgan.training.step import AdversarialLoss, StepContext


class Relativistic(AdversarialLoss):
    """E softplus(-(D(x) - D(g))), and for the generator E softplus(-(D(g) - D(x)))."""

    def discriminator(self, real: Tensor, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the discriminator's loss."""
        return softplus(fake - real).mean()

    def generator(self, real: Tensor | None, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the generator's loss."""
        assert real is not None
        return softplus(real - fake).mean()
