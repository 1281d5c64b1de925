"""The least-squares loss (Mao et al. 2017, arXiv:1611.04076, equation 9): targets 1 for reals and 0 for fakes."""

from __future__ import annotations

from torch import Tensor

from smallgan.training.step import AdversarialLoss, StepContext


class LSGAN(AdversarialLoss):
    """1/2 E (D(x) - 1)^2 + 1/2 E D(g)^2, and for the generator 1/2 E (D(g) - 1)^2."""

    def discriminator(self, real: Tensor, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the discriminator's loss."""
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator(self, _real: Tensor | None, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the generator's loss."""
        return (fake - 1).square().mean() / 2
