"""The relativistic average losses (Jolicoeur-Martineau 2019, arXiv:1807.00734): RaGAN, RaLSGAN and RaHinge."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn.functional import relu, softplus

from smallgan.tables.losses import RelativisticAverageOptions
from smallgan.training.step import AdversarialLoss, StepContext

_FORMS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "cross_entropy": lambda lead: softplus(-lead),
    "least_squares": lambda lead: (lead - 1).square(),
    "hinge": lambda lead: relu(1 - lead),
}
"""What is to be paid for the lead of a score over the mean score of the other kind."""


class RelativisticAverage(AdversarialLoss):
    """1/2 [E f(D(x) - E D(g)) + E f(E D(x) - D(g))], and for the generator the same with x and g exchanged.

    f(t) is softplus(-t), (t - 1)^2 or max(0, 1 - t), as the option `form` says.
    """

    def __init__(self, options: RelativisticAverageOptions) -> None:
        super().__init__(options)
        self.form = _FORMS[options.form]

    def discriminator(self, real: Tensor, fake: Tensor, _context: StepContext) -> Tensor:
        """Return the discriminator's loss."""
        return (self.form(real - fake.mean()).mean() + self.form(real.mean() - fake).mean()) / 2

    def generator(self, real: Tensor | None, fake: Tensor, context: StepContext) -> Tensor:
        """Return the generator's loss."""
        assert real is not None
        return self.discriminator(fake, real, context)
