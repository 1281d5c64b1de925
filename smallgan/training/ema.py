"""The averaged generator: weights averaged over steps, buffers copied, batch-norm statistics measured before use."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from smallgan.core.rng import Stream, rng
from smallgan.models.biggan import StoredBatchNorm
from smallgan.sampling.prior import NORMAL, Prior

STATISTICS_BATCHES, STATISTICS_BATCH = 8, 64  # How many latents batch-norm statistics are measured on


def decay_of_half_life(kimg: float, images_per_step: int) -> float:
    """Return the decay per step at which a weight's share in the average halves every `kimg` thousand images."""
    return float(0.5 ** (images_per_step / (1000 * kimg)))


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `network`: w <- d w + (1 - d) w', with d = min(decay, (1 + step) / (10 + step)).

    The warm-up keeps the random start out of the average in short runs. Buffers (batch-norm statistics) are already
    running averages and are copied. `step` counts from 0.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    both = list(zip(average.buffers(), network.buffers(), strict=True))
    for dtype in {mine.dtype for mine, _ in both}:  # of one kind, all go by one kernel
        mine, theirs = zip(*(each for each in both if each[0].dtype == dtype), strict=True)
        torch._foreach_copy_(list(mine), list(theirs))


def measure_on_prior(average: Any, seed: int, device: torch.device, prior: Prior = NORMAL) -> None:
    """Measure the statistics of a generator on latents of its prior, with classes at random where it has any."""

    def inputs(at: int) -> tuple[Tensor, ...]:
        z = torch.from_numpy(prior.drawn(seed, Stream.STATISTICS_LATENTS, at, STATISTICS_BATCH, average.z_dim))
        if not average.num_classes:
            return (z.to(device),)
        labels = rng(seed, Stream.LABELS, at).integers(average.num_classes, size=STATISTICS_BATCH)
        return z.to(device), torch.from_numpy(labels).to(device)

    measure_statistics(average, map(inputs, range(STATISTICS_BATCHES)))


def batch_norms(network: nn.Module) -> list[Any]:
    """Return the layers of a generator that keep statistics of batches."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | StoredBatchNorm)]


@torch.no_grad()
def measure_statistics(average: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> None:
    """Replace the batch-norm statistics of `average` by those of its own activations, averaged over batches of inputs.

    Statistics copied from the trained network do not fit averaged weights: early in a run the images are washed out.
    BigGAN calls such measured ones standing statistics (Brock et al. 2019, arXiv:1809.11096). Leaves it in eval mode;
    only the norms are ever in training mode, so that spectral norms stay as they are.
    """
    norms = batch_norms(average)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.training = True  # not train(): that would reach the spectral norms of a conditional norm's own layers
    for number, batch in enumerate(inputs if norms else ()):
        for norm in norms:
            norm.momentum = 1 / (number + 1)  # each batch moves the mean of those before it: a plain mean in the end
        average(*batch)
    average.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
