"""What a discriminator makes of images that it is trained on, of others like them, and of fakes: does it overfit?

`r_v` is that of Karras et al. 2020 (arXiv:2006.06676, eq. 1): 0 while held-out images score as training images do, 1
once they score as fakes do. `told_apart` is the area under the ROC curve of its scores: the probability that a training
image scores higher than a fake. Neither changes when scores are shifted or stretched, so losses can be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smallgan.core.rng import Stream, rng
from smallgan.data.images import LabelledRows, to_images
from smallgan.sampling.prior import NORMAL, Prior

MOST_IMAGES = 256  # Of each kind: enough for a mean, and less work than some ten steps
LEAST_HELD_OUT = 16  # Fewer give no r_v: the mean of a handful says little
LEAST_TOLD_APART = 0.6  # Below it there is no r_v: fakes score as training images do, and the ratio is 0 / 0 in effect
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Probe:
    """Shows a discriminator images of one kind at a time, in batches of the size that it is trained with.

    All draws are the same at every step of a run, so that readings differ by the networks alone.
    """

    generate: Callable[[Tensor, Tensor], Tensor]
    """Latents B x Z and labels B to images B x 3 x S x S, in training mode."""
    score: Callable[[Tensor, Tensor, int], Tensor]
    """Images, labels and the position of the draws that augment them to raw scores B, in training mode."""
    z_dim: int
    batch_size: int
    seed: int
    prior: Prior = NORMAL

    def read(self, training: LabelledRows, held_out: LabelledRows | None, device: torch.device) -> dict[str, float]:
        """Return `told_apart`, and `r_v` where at least LEAST_HELD_OUT images are held out and fakes are told apart."""
        rows = self._drawn(len(training.pixels), 0)
        of_training = self._of_images(training, rows, 0, device)
        if not len(of_training):  # fewer images than a pack
            return {}
        of_fakes = self._of_fakes(training.labels[rows.ravel()].reshape(rows.shape), device)
        found = {"told_apart": told_apart(of_training, of_fakes)}
        if found["told_apart"] >= LEAST_TOLD_APART and held_out and len(held_out.pixels) >= LEAST_HELD_OUT:
            of_held_out = self._of_images(held_out, self._drawn(len(held_out.pixels), 1), 1, device)
            ratio = r_v(of_training, of_held_out, of_fakes)
            found |= {} if ratio is None else {"r_v": ratio}
        return found

    def _drawn(self, there: int, kind: int) -> NDArray[np.int64]:
        """Return rows of images, a row of the table for each batch; an incomplete batch is left out."""
        size = min(self.batch_size, there, MOST_IMAGES)
        order = rng(self.seed, Stream.PROBE_IMAGES, kind).permutation(there)
        return order[: min(there, MOST_IMAGES) // size * size].reshape(-1, size)

    def _of_images(self, images: LabelledRows, rows: NDArray[np.int64], kind: int, device: torch.device) -> Scores:
        found = []
        for number, batch in enumerate(rows):
            pixels = torch.from_numpy(np.stack([images.pixels[int(row)] for row in batch])).to(device)
            labels = torch.from_numpy(images.labels[batch]).to(device)
            found.append(self.score(to_images(pixels), labels, kind * MOST_IMAGES + number))
        return _numbers(found)

    def _of_fakes(self, labels: NDArray[np.int64], device: torch.device) -> Scores:
        found = []
        for number, batch in enumerate(labels):
            z = self.prior.drawn(self.seed, Stream.PROBE_LATENTS, number, len(batch), self.z_dim)
            classes = torch.from_numpy(batch).to(device)
            images = self.generate(torch.from_numpy(z).to(device), classes)
            found.append(self.score(images, classes, 2 * MOST_IMAGES + number))
        return _numbers(found)


def told_apart(training: Scores, fakes: Scores) -> float:
    """Return the probability that a training image scores higher than a fake, ties counted half.

    Of the scores 2 and 0 against 1 and 0, 2 is higher than both, and 0 as high as one of two:

        >>> told_apart(np.array([2.0, 0.0]), np.array([1.0, 0.0]))
        0.625
    """
    order = np.sort(fakes)
    below, up_to = (np.searchsorted(order, training, side) for side in ("left", "right"))
    return float(np.mean(below + up_to) / 2 / len(fakes))


def r_v(training: Scores, held_out: Scores, fakes: Scores) -> float | None:
    """Return (mean of training - mean of held_out) / (mean of training - mean of fakes).

    None where training images do not score above fakes: the ratio then means nothing.

        >>> r_v(np.array([4.0]), np.array([3.0]), np.array([0.0]))
        0.25
    """
    means = [float(np.mean(scores, dtype=np.float64)) for scores in (training, held_out, fakes)]
    apart = means[0] - means[2]
    return (means[0] - means[1]) / apart if apart > 0 else None


def _numbers(scores: list[Tensor]) -> Scores:
    return torch.cat(scores).float().cpu().numpy()
