"""A batch that goes through the networks in parts, to save memory; the gradients are those of the whole batch.

That holds where an image does not depend on its batch: adapters leave the batch norms' moments as they are. Adversarial
training, where few networks allow it, has `smallgan.training.adversarial_parts`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from smallgan.data.images import Batch
from smallgan.training.reconstruction import Terms, Variant, told, weighed

Distances = Callable[[Tensor, Batch], list[Tensor]]  # (latents, batch) -> as `reconstruction.distances` returns them


def accumulated(
    distances: Distances, latents: Tensor, batch: Batch, size: int, variant: Variant, weight: float
) -> Terms:
    """Add the gradients of the reconstruction loss of a batch to its weights, `size` images at a time.

    The loss that comes back has the value of the whole batch's, and its gradient is that of the latents alone: what
    made them is still to be gone through backwards. The normalized variant divides by the distances of the whole batch,
    so a first pass without gradients finds these.
    """
    given = latents.detach().requires_grad_(latents.requires_grad)
    parts = [slice(first, first + size) for first in range(0, len(latents), size)]
    inputs = [(given[part], Batch(*(each[part] for each in batch))) for part in parts]
    shares = [len(one) / len(latents) for one, _ in inputs]
    values: list[Tensor] | None = None
    if variant == "normalized":
        with torch.no_grad():
            values = _mean([distances(*each) for each in inputs], shares)
    found = []
    for each, share in zip(inputs, shares, strict=True):
        terms = distances(*each)
        (share * weighed(terms, variant, weight, values)).backward()
        found.append([term.detach() for term in terms])
    means = _mean(found, shares)
    loss = weighed(means, variant, weight)
    if given.grad is not None:
        way = (latents * given.grad).sum()
        loss = loss + (way - way.detach())
    return told(loss, means)


def _mean(found: list[list[Tensor]], shares: list[float]) -> list[Tensor]:
    weights = torch.tensor(shares, device=found[0][0].device)
    return [(torch.stack(list(each)) * weights).sum() for each in zip(*found, strict=True)]
