"""Self-supervised decoding (Liu et al. 2021, arXiv:2101.04775, section 3.2): the discriminator's maps keep the image.

A small decoder makes real images of 32 px from the discriminator's 8 x 8 maps; both learn from the difference. A
discriminator that few images would let learn by heart must then look at all of each image.

Where we differ from the paper: one decoder of the whole map, to 32 px in place of 128 and without crops; the mean
absolute difference in place of a perceptual one; real images before DiffAugment.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smallgan.models.base import HasMaps
from smallgan.models.dcgan import initialize
from smallgan.models.fastgan import doubling
from smallgan.tables.regularizers import RegularizerOptions
from smallgan.training.step import StepContext

SIDE = 32  # Of the decoded images, in pixels


class Autoencode(nn.Module):
    """E |decoder(maps(x)) - x|, x at 32 px; the decoder doubles the side twice and is trained with the discriminator.

    `network` is a `HasMaps`; the decoder's weights come from `draws`, N(0, 0.02).
    """

    def __init__(self, _options: RegularizerOptions, network: nn.Module, draws: torch.Generator) -> None:
        super().__init__()
        maps = cast(HasMaps, network)
        self.maps = maps.maps  # a method, so that the discriminator is no part of this module and its state
        channels = [maps.map_channels, max(maps.map_channels // 4, 1), max(maps.map_channels // 8, 1)]
        self.decoder = nn.Sequential(
            doubling(channels[0], channels[1]),
            doubling(channels[1], channels[2]),
            nn.Conv2d(channels[2], 3, 3, padding=1),
            nn.Tanh(),
        )
        initialize(self.decoder, draws)

    def forward(self, context: StepContext) -> Tensor:
        """Return the mean absolute difference, a scalar."""
        with context.autocast():
            decoded: Tensor = self.decoder(self.maps(context.real))
        return F.l1_loss(decoded.float(), F.adaptive_avg_pool2d(context.real, SIDE))
