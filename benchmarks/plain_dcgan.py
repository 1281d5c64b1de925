"""The baseline: a DCGAN written the way the PyTorch example of that name goes about it, in our own words.

Contiguous tensors, a sigmoid and binary cross-entropy, PyTorch's default Adam, the discriminator's weight gradients
computed and thrown away in the generator's step, and five values read back each step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def generator(width: int = 64, z_dim: int = 100, size: int = 64) -> nn.Sequential:
    """Return a generator of 64 or 128 px, Z x 1 x 1 in."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, width * size // 8, 4, 1, 0, bias=False)]
    for factor in factors(size):
        layers += [nn.BatchNorm2d(width * factor), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(width * factor, width * factor // 2, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(True), nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers)


def factors(size: int) -> list[int]:
    """Return the multiples of the width from the smallest map on.

    >>> factors(64), factors(128)
    ([8, 4, 2], [16, 8, 4, 2])
    """
    return [size // 8 >> level for level in range((size // 8).bit_length() - 1)]


def discriminator(width: int = 64, size: int = 64) -> nn.Sequential:
    """Return a discriminator of 64 or 128 px that ends in a sigmoid."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for factor in reversed(factors(size)):
        layers += [nn.Conv2d(width * factor // 2, width * factor, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(width * factor), nn.LeakyReLU(0.2, True)]
    layers += [nn.Conv2d(width * size // 8, 1, 4, 1, 0, bias=False), nn.Sigmoid()]
    return nn.Sequential(*layers)


class PlainTrainer:
    """Two networks and the step between them."""

    def __init__(self, seed: int = 0, device: torch.device | str = "cpu", size: int = 64) -> None:
        torch.manual_seed(seed)
        self.generator, self.discriminator = generator(size=size), discriminator(size=size)
        for network in (self.generator, self.discriminator):
            network.to(device)
            for module in network.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    nn.init.normal_(module.weight, 0.0, 0.02)
        self.loss = nn.BCELoss()
        self.adam_g = torch.optim.Adam(self.generator.parameters(), 2e-4, (0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), 2e-4, (0.5, 0.999))

    def step(self, real: Tensor) -> list[float]:
        """Take one step on images B x 3 x size x size."""
        ones, zeros = real.new_ones(len(real)), real.new_zeros(len(real))
        self.discriminator.zero_grad()
        on_real = self.discriminator(real).view(-1)
        loss_real = self.loss(on_real, ones)
        loss_real.backward()
        fake = self.generator(torch.randn(len(real), 100, 1, 1, device=real.device))
        on_fake = self.discriminator(fake.detach()).view(-1)
        loss_fake = self.loss(on_fake, zeros)
        loss_fake.backward()
        self.adam_d.step()

        self.generator.zero_grad()
        judged = self.discriminator(fake).view(-1)
        loss_g = self.loss(judged, ones)
        loss_g.backward()
        self.adam_g.step()
        read = [on_real.mean(), on_fake.mean(), judged.mean(), loss_real + loss_fake, loss_g]
        return [value.item() for value in read]
