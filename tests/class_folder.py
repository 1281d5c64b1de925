"""A small folder of two classes for tests of classifiers: bars that stand or lie, on noise, 16 px."""

import numpy as np
from PIL import Image

CLASSES = ("lies", "stands")


def bar(label, draws):
    pixels = draws.integers(0, 90, (16, 16, 3), dtype=np.uint8)
    at = int(draws.integers(2, 12))
    (pixels if label == "lies" else pixels.transpose(1, 0, 2))[at : at + 3] = 220
    return pixels


def class_folder(folder, number=16, seed=0, classes=CLASSES):
    """Write `number` images of each class and return the folder; classes of other names all have standing bars."""
    draws = np.random.default_rng(seed)
    for label in classes:
        (folder / label).mkdir(parents=True)
        for index in range(number):
            Image.fromarray(bar(label, draws)).save(folder / label / f"{label}-{index:02d}.png")
    return folder
