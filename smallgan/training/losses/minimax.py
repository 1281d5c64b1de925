"""The minimax loss (Goodfellow et al. 2014, arXiv:1406.2661, equation 1): the generator maximises what D minimises."""

from torch import Tensor
from torch.nn.functional import softplus

from smallgan.training.losses.nonsaturating import Nonsaturating
from smallgan.training.step import StepContext


class Minimax(Nonsaturating):
    """E softplus(-D(x)) + E softplus(D(g)), and for the generator -E softplus(D(g)).

    The generator's gradient has the factor sigmoid(D(g)), which vanishes while the discriminator wins.
    """

    def generator(self, _real: Tensor | None, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the generator's loss."""
        return -softplus(fake).mean()
