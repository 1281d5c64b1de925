"""DiffAugment as one call: the numbers drawn, and images augmented by them."""

import numpy as np
import torch

from smallgan.training.diffaugment import diffaugment as by_numbers
from smallgan.training.diffaugment import draw_numbers


def diffaugment(images, names, draws, fill="zero", probability=1.0):
    """Images B x 3 x S x S as `draws`, which have numpy's `uniform` and `integers`, augment them."""
    certain = isinstance(probability, float) and probability == 1
    numbers = draw_numbers(names, draws, len(images), images.shape[-1], with_chances=not certain)
    return by_numbers(
        images, names, [torch.from_numpy(np.ascontiguousarray(each)) for each in numbers], fill, probability
    )
