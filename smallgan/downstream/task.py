"""What a classifier gets. It holds no label of a test image, so none can decide anything in training."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augment.policy.expression import Policy
from smallgan.data.images import Pixels
from smallgan.tables.classifiers import CLASSIFIERS
from smallgan.tables.dotted import load
from smallgan.tables.options import Options

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One training of a classifier."""

    options: Any  # Of the classifier's row
    train: Pixels  # N x S x S x 3: originals, and what a policy added
    labels: NDArray[np.int64]  # N, from 0 to K - 1
    num_steps: int  # Of training, where the classifier is trained by gradient descent
    test: Pixels  # T x S x S x 3, original images that nobody touched
    num_classes: int  # K
    seed: int
    device: torch.device
    validation: Pixels | None = None  # V x S x S x 3: originals that are not in `train`; they choose the step
    validation_labels: NDArray[np.int64] | None = None  # V
    on_the_fly: Policy | None = None  # What is done to images as they are drawn, to half of them
    stop_requested: Callable[[], bool] = lambda: False


class StopRequestedError(Exception):
    """The user asked to stop in the middle of a training, of which nothing is kept."""


def fit(task: Task, options: Options) -> Probabilities:
    """Train a classifier and return the class probabilities of the test images, T x K.

    The same task gives the same numbers on one CPU machine.

    Raises:
        StopRequestedError: `task.stop_requested` became true.
        UsageError, InputError, MissingError: its network cannot be had.
        FailedError: a probability is not finite.
    """
    made: Probabilities = load(CLASSIFIERS[options.name].fit)(replace(task, options=options))
    return made
