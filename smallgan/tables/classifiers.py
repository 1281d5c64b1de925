"""The table of classifiers: one row each, with its options and its builder. Torch-free.

To add one, write a function that trains it (`smallgan.downstream.task` says what it gets and returns), and a row here.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from augment.core.table import Table
from smallgan.tables.options import Options


class TrainedOptions(Options):
    """What classifiers that are trained by gradient descent share. The last step counts, unless `validation` is set."""

    passes: ClassVar[int] = 40  # Over the images of the reference, where `steps` is left open
    least_steps: ClassVar[int] = 300
    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps, the same for every variant.

    None: 40 passes over the originals and at least 300; for `torchvision` 10 and 100.
    """
    batch_size: int = Field(default=32, ge=2)
    """Images per step."""
    lr: float = Field(default=0.05, gt=0)
    """Highest learning rate: it rises over the first tenth of the steps and falls to 0 along a cosine."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of the convolutions and of the last layer's weights."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each label that is spread over all classes; 0: none."""
    mixup: float = Field(default=0.0, ge=0)
    """alpha of mixup (Zhang et al. 2018): images are mixed in pairs by a share from Beta(alpha, alpha); 0: none."""
    randaugment: int = Field(default=0, ge=0)
    """RandAugment (Cubuk et al. 2020): so many random operations on every image, drawn anew in each step; 0: none."""
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Early stopping: share of each class of the training images that is not trained on, but chooses the step.

    Of 20 steps the one with the lowest log loss on these counts. 0: all are trained on, and the last step counts.
    """

    def num_steps(self, num_originals: int) -> int:
        """Return the number of steps where the reference has so many images."""
        return self.steps or max(math.ceil(self.passes * num_originals / self.batch_size), self.least_steps)


class ResNetOptions(TrainedOptions):
    """A small residual network, trained from scratch."""

    name: Literal["resnet"] = "resnet"
    batch_size: int = Field(default=16, ge=2)
    lr: float = Field(default=0.1, gt=0)
    width: int = Field(default=16, ge=4)
    """Channels of the first of its three stages; the others have two and four times as many."""


class PretrainedOptions(TrainedOptions):
    """A pretrained network of the table of feature networks, trained on with a new last layer."""

    name: Literal["torchvision"] = "torchvision"
    network: str = "mobilenet_v2"
    """A feature network whose weights are in the cache, such as resnet50; smallgan-small64-v1 ships."""
    passes: ClassVar[int] = 10
    least_steps: ClassVar[int] = 100
    lr: float = Field(default=0.005, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)


class FrozenOptions(Options):
    """What classifiers on frozen features share."""

    features: str | None = None
    """A feature network, or the user's own as .onnx or .yaml (docs/features.md); None: the shipped one or Inception."""


class LinearOptions(FrozenOptions):
    """Logistic regression on standardised features: the linear probe."""

    name: Literal["linear"] = "linear"
    c: float = Field(default=0.01, gt=0)
    """Inverse strength of the L2 penalty, as scikit-learn counts it."""


class NearestOptions(FrozenOptions):
    """The nearest training images by cosine distance, each with one vote."""

    name: Literal["knn"] = "knn"
    neighbours: int = Field(default=5, ge=1)
    """Number of nearest training images; all where there are fewer."""


@dataclass(frozen=True)
class ClassifierRow:
    """A classifier."""

    name: str
    title: str
    """What it is called in sentences."""
    options: type[Options]
    fit: str
    """Dotted path of the function from a `Task` to class probabilities of its test images, N x K."""

    @property
    def is_trained(self) -> bool:
        """Whether it is trained by gradient descent, and so sees images rather than features."""
        return issubclass(self.options, TrainedOptions)


_HERE = "smallgan.downstream"
CLASSIFIERS: Table[ClassifierRow] = Table(
    "classifier",
    [
        ClassifierRow("resnet", "a small residual network from scratch", ResNetOptions, f"{_HERE}.network:fit_resnet"),
        ClassifierRow("linear", "a linear probe on frozen features", LinearOptions, f"{_HERE}.frozen:fit_linear"),
        ClassifierRow("knn", "nearest neighbours in frozen features", NearestOptions, f"{_HERE}.frozen:fit_nearest"),
        ClassifierRow(
            "torchvision", "a pretrained network, fine-tuned", PretrainedOptions, f"{_HERE}.network:fit_pretrained"
        ),
    ],
)
