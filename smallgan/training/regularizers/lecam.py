"""LeCam regularisation (Tseng et al. 2021, arXiv:2104.03310): scores of reals and fakes do not drift apart."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from smallgan.core import distributed
from smallgan.tables.regularizers import LeCamOptions
from smallgan.training.step import StepContext


class LeCam(nn.Module):
    """E relu(D(x) - a_f)^2 + E relu(a_r - D(g))^2, with the running means a_r and a_f of D(x) and D(g).

    Scores of reals are pulled to the running mean of those of fakes, and the reverse, once they lie beyond it. As in
    the released code, which clips at 0 where the paper does not, the means take in the scores of the step before
    they are used; up to step `start` they are those of the step alone.
    """

    real_mean: Tensor
    fake_mean: Tensor

    def __init__(self, options: LeCamOptions, _network: nn.Module, _draws: torch.Generator) -> None:
        """Start without any scores seen."""
        super().__init__()
        self.options = options
        self.register_buffer("real_mean", torch.zeros(()))
        self.register_buffer("fake_mean", torch.zeros(()))

    def forward(self, context: StepContext) -> Tensor:
        """Return the penalty, a scalar; 0 before step `start`."""
        real, fake = context.real_scores, context.fake_scores
        assert real is not None
        decay = self.options.decay if context.number > self.options.start else 0.0
        for mean, scores in ((self.real_mean, real), (self.fake_mean, fake)):
            mean.lerp_(distributed.mean(scores.detach().mean()), 1 - decay)
        if context.number < self.options.start:
            return fake.new_zeros(())
        return relu(real - self.fake_mean).square().mean() + relu(self.real_mean - fake).square().mean()
