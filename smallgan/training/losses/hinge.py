"""The hinge loss (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from smallgan.training.step import AdversarialLoss, StepContext


class Hinge(AdversarialLoss):
    """E max(0, 1 - D(x)) + E max(0, 1 + D(g)), and for the generator -E D(g)."""

    def discriminator(self, real: Tensor, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the discriminator's loss."""
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def generator(self, _real: Tensor | None, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the generator's loss."""
        return -fake.mean()
