"""A small classifier of MNIST digits, which reads the channels of stacked MNIST."""

from torch import Tensor, nn

SIDE = 32  # Pixels: 28 and 2 black ones on each side
HIDDEN = 64


class DigitNet(nn.Module):
    """Digits B x 1 x 32 x 32 in [0, 1] to features B x 64 and logits B x 10."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 32, 48, 64)
        self.maps = nn.Sequential(
            *(
                layer
                for number in range(4)
                for layer in (
                    nn.Conv2d(widths[number], widths[number + 1], 3, 2 if number else 1, 1, bias=False),
                    nn.BatchNorm2d(widths[number + 1]),
                    nn.ReLU(),
                )
            )
        )
        self.hidden = nn.Linear(widths[-1] * 16, HIDDEN)
        self.logits = nn.Linear(HIDDEN, 10)

    def forward(self, digits: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits."""
        features: Tensor = self.hidden(self.maps(digits).flatten(1)).relu()
        return features, self.logits(features)
