"""Which classes a classifier takes for which."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion(labels: NDArray[np.int64], predictions: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many images of class i (row) were taken for class j (column), K x K.

    Args:
        labels: true classes N.
        predictions: of each image K probabilities or logits, N x K; the largest is the class that it is taken for.
    """
    num_classes = predictions.shape[1]
    places = labels * num_classes + predictions.argmax(axis=1)
    return np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)
