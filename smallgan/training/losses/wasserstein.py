"""The Wasserstein loss (Arjovsky et al. 2017, arXiv:1701.07875): the difference of mean scores.

It estimates a distance where the discriminator's slope is bounded; the regularizers `gradient_penalty` and
`weight_clip`, or spectral norm, see to that.
"""

from torch import Tensor

from smallgan.training.step import AdversarialLoss, StepContext


class Wasserstein(AdversarialLoss):
    """E D(g) - E D(x), and for the generator -E D(g)."""

    def discriminator(self, real: Tensor, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the discriminator's loss."""
        return fake.mean() - real.mean()

    def generator(self, _real: Tensor | None, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the generator's loss."""
        return -fake.mean()
