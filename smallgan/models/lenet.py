"""LeNet and a domain discriminator, as ADDA trains them (Tzeng et al. 2017, arXiv:1702.05464)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

KERNEL, WIDTHS = 5, (20, 50)  # Of the two convolutions, each followed by a pooling over 2 x 2 pixels
NUM_FEATURES = 500
LUMA = (0.299, 0.587, 0.114)  # Shares of red, green and blue in gray, by ITU-R BT.601


class LeNet(nn.Module):
    """An encoder, images to features, and a last layer, features to class logits.

    Args:
        size: S, side of the images in pixels, from 16: of fewer the second pooling leaves nothing.
        num_classes: K.
        gray: take images as gray.
    """

    def __init__(self, size: int, num_classes: int, *, gray: bool = True) -> None:
        super().__init__()
        self.gray = gray
        self.luma: Tensor
        self.register_buffer("luma", torch.tensor(LUMA)[:, None, None], persistent=False)
        self.first = nn.Conv2d(1 if gray else 3, WIDTHS[0], KERNEL)
        self.second = nn.Conv2d(*WIDTHS, KERNEL)
        side = ((size - KERNEL + 1) // 2 - KERNEL + 1) // 2
        self.hidden = nn.Linear(WIDTHS[1] * side**2, NUM_FEATURES)
        self.last = nn.Linear(NUM_FEATURES, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the features B x 500, before their ReLU, of images B x 3 x S x S in [-1, 1]."""
        x = (images + 1) / 2  # as published: 0 is black, 1 white
        if self.gray:
            x = (x * self.luma).sum(dim=1, keepdim=True)
        x = torch.relu(max_pool2d(self.first(x), 2))  # the same as before the pooling, on a quarter of the numbers
        x = torch.relu(max_pool2d(self.second(x), 2))
        features: Tensor = self.hidden(x.flatten(1))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Return the class logits B x K of features B x 500."""
        logits: Tensor = self.last(torch.relu(features))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the class logits B x K of images B x 3 x S x S in [-1, 1]."""
        return self.classify(self.features(images))


class DomainDiscriminator(nn.Module):
    """Two hidden layers between what it sees of an image, B x inputs, and a raw score B: above 0 it says source."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        )

    def forward(self, seen: Tensor) -> Tensor:
        """Return raw scores B."""
        scores: Tensor = self.layers(seen)
        return scores.squeeze(1)


def initialise(network: nn.Module, draws: torch.Generator) -> nn.Module:
    """Draw a network's weights uniformly by Glorot's rule, as the released code does; its biases are 0. Return it."""
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        else:
            nn.init.xavier_uniform_(weight, generator=draws)
    return network
