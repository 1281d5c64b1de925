"""The controller of ADA (Karras et al. 2020, arXiv:2006.06676, section 3.1): a probability that follows overfitting.

r_t is the mean sign of the discriminator's scores of reals: 0 while it cannot tell them, 1 once it knows them all.
"""

import torch
from torch import Tensor, nn

from smallgan.core import distributed

INTERVAL = 4  # Steps from one adjustment to the next, as published
SLOWEST = 500_000  # Images in which the probability may go from 0 to 1, as published
SHARE_OF_RUN = (
    0.25  # The same as a share of a run's images, where those are fewer: else a short run ends before it acts
)


class Controller(nn.Module):
    """A probability that grows while r_t is above its target, and falls while it is below.

    All of its state is in buffers on the device, those of an interval that is not over included; the host reads none.

    Args:
        target: r_t to keep.
        cap: the highest probability.
        num_images: that a run is to see, which decides how fast the probability moves.
    """

    probability: Tensor
    """Scalar in [0, cap], 0 at the start."""
    signs: Tensor
    """Sum of the signs of the interval so far."""
    images: Tensor
    """Number of reals of the interval so far."""

    def __init__(self, target: float, cap: float, num_images: int) -> None:
        super().__init__()
        self.target, self.cap = target, cap
        self.images_to_one = min(SLOWEST, SHARE_OF_RUN * num_images)
        for name in ("probability", "signs", "images"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def observe(self, signs: Tensor) -> None:
        """Take the signs B of the scores of this rank's reals of one discriminator step."""
        self.signs += distributed.total(signs.sum())
        self.images += len(signs) * distributed.count()

    @staticmethod
    def adjusts(number: int) -> bool:
        """Tell whether `adjust` moves the probability at the end of step `number`."""
        return (number + 1) % INTERVAL == 0

    @torch.no_grad()
    def adjust(self, number: int) -> None:
        """End step `number` (from 0); every 4 steps move the probability by the images seen over images_to_one."""
        if not self.adjusts(number):
            return
        r_t = self.signs / self.images
        self.probability += torch.sign(r_t - self.target) * self.images / self.images_to_one
        self.probability.clamp_(0, self.cap)
        self.signs.zero_()
        self.images.zero_()
