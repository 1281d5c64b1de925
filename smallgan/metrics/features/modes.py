"""Points and the Gaussians that they come from as features: coordinates, and how near each Gaussian is."""

import torch
from torch import Tensor, nn

from smallgan.tables.data_sources import Mixture


class NearGaussians(nn.Module):
    """Points to themselves, with a logit for each Gaussian: minus half the squared distance to its center in stds."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        self.register_buffer("centers", torch.tensor(mixture.centers))
        self.std = mixture.std

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Map float32 B x 1 x 1 x 2 to features B x 2 and logits B x K."""
        features = points.flatten(1)
        away = (features[:, None] - self.get_buffer("centers")) / self.std
        return features, away.square().sum(dim=2).div(-2)
