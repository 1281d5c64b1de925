"""The "KMMD" of the APGC posters: a diagnostic of latent codes, not of images.

It asks whether the codes learned for the training images look like draws of N(0, I), the generator's own input. No
image enters: shrinking the codes, or scaling codes and the layers that read them, moves it without changing one
picture, and it falls as the batch grows. It is here to be compared with the posters' tables, always with its batch.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from augment.errors import UsageError
from smallgan.core.device import choose_device
from smallgan.metrics.distances import Vectors, squares_between
from smallgan.metrics.intervals import Matrix
from smallgan.metrics.rbf_multi import five_gaussians
from smallgan.sampling.loading import load_and_say_notes, load_codes

_CODES_COMPARED = 10_000


@dataclass(frozen=True)
class LatentKmmd:
    """The mean over batches, and what it depends on besides the codes."""

    value: float
    """0 to less than 10; that of equal distributions depends on the batch: about 1.2 at 5, 0.06 at 100 (Z = 120)."""
    batch: int
    num_batches: int


def latent_kmmd(codes: Vectors, seed: int, batch: int) -> LatentKmmd:
    """Return the mean over batches of the biased `mmd2_rbf_multi` between `batch` codes and as many draws of N(0, I).

    The codes are shuffled and walked through, again and again, until more than 10,000 were compared.

    Args:
        codes: N x Z learned codes, one or more for each training image.
        seed: of the shuffles and of the draws.
        batch: codes in a batch, 1 to N.

    Raises:
        UsageError: the batch is empty or larger than the codes are many.

    Codes all at 0 lie far from N(0, I), more so in a small batch:

        >>> [round(latent_kmmd(np.zeros((100, 120)), 0, batch).value, 1) for batch in (5, 25)]
        [3.1, 2.5]
    """
    if not 1 <= batch <= len(codes):
        raise UsageError(f"latent KMMD with batches of {batch}: must be from 1 to {len(codes)}, the number of codes")
    num_batches = _CODES_COMPARED // batch + 1
    values, order = [], np.empty(0, np.intp)
    for number in range(num_batches):
        rng = np.random.default_rng(np.random.SeedSequence([abs(seed), number]))
        if len(order) < batch:
            order = rng.permutation(len(codes))
        drawn, order = order[:batch], order[batch:]
        values.append(_of_batch(np.concatenate([codes[drawn], rng.standard_normal((batch, codes.shape[1]))])))
    return LatentKmmd(float(np.mean(values)), batch, num_batches)


def run_text(run: Path, checkpoint: str, seed: int, batch: int, *, as_json: bool) -> str:
    """Return what the APGC posters call KMMD, in words or as JSON: how far a run's learned codes are from N(0, I).

    Args:
        run: a run or checkpoint of `bsa` or `apgc`.
        checkpoint: "last", "best" or a step.
        seed, batch: as of `latent_kmmd`.
        as_json: return JSON and no sentence.
    """
    model = load_and_say_notes(run, choose_device("cpu"), checkpoint)
    codes = load_codes(model)
    found = latent_kmmd(codes, seed, batch)
    if as_json:
        return json.dumps({"metric": "latent_kmmd", "step": model.step, "num_codes": len(codes)} | asdict(found))
    return (
        f"latent KMMD {found.value:.4f}  ({len(codes)} codes of step {model.step} against N(0, I), {found.num_batches} "
        f"batches of {batch})\n"
        "note: a diagnostic of latent codes, to be compared with the posters at the same batch: no image enters it, "
        "and it says nothing of image quality"
    )


def _of_batch(pooled: Matrix) -> float:
    """Return the biased `mmd2_rbf_multi` of the first half against the second, from one small matrix."""
    count, half = len(pooled), len(pooled) // 2
    width = squares_between(pooled, pooled).sum() / (count * (count - 1))
    kernel = five_gaussians(width)(pooled, pooled)
    return float(kernel[:half, :half].mean() + kernel[half:, half:].mean() - 2 * kernel[:half, half:].mean())
