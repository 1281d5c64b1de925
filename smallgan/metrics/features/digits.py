"""A digit classifier on each channel: which of the 1,000 modes of stacked MNIST an image is of."""

from torch import Tensor, nn

from smallgan.data.images import to_images
from smallgan.metrics.features.inference import Tensors, resized
from smallgan.models.digit_net import SIDE, DigitNet


class StackedDigits(nn.Module):
    """Images to 3 x 64 features, and a logit for each number 000 to 999 that the red, green and blue digit make.

    A logit is the logarithm of the number's probability over that of the most likely one, so the largest is 0.
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.net = DigitNet()
        self.net.load_state_dict(dict(tensors))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 192 and logits B x 1000."""
        images = resized(to_images(pixels), SIDE).add(1).div(2)
        features, logits = self.net(images.flatten(0, 1)[:, None])
        red, green, blue = logits.log_softmax(dim=1).unflatten(0, (-1, 3)).unbind(1)
        numbers = (red[:, :, None, None] + green[:, None, :, None] + blue[:, None, None, :]).flatten(1)
        return features.unflatten(0, (-1, 3)).flatten(1), numbers - numbers.amax(dim=1, keepdim=True)
