"""A step in micro-batches: the gradients of parts of a batch, one after another, add up to those of the whole.

Less memory for more time: only a part's activations are held. It is the same step where an image's score depends on
nothing else in its batch; batch norm, and other layers that look across the batch or change with every pass, forbid it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from smallgan.models.base import AcrossBatch
from smallgan.models.biggan import StoredBatchNorm
from smallgan.models.spectral import SpectralLayer, SpectralNorm
from smallgan.tables.losses import LossRow
from smallgan.tables.methods import AdversarialOptions
from smallgan.tables.regularizers import RegularizerRow
from smallgan.training.loss_scale import backward
from smallgan.training.step import StepContext

AdversarialTrainer = Any
"""That of `smallgan.training.adversarial`, which imports this file."""
LossOfRows = Callable[[slice], tuple[Tensor, StepContext, dict[str, Tensor]]]
"""Rows of the batch -> their mean loss, what regularizers look at, and terms to tell."""
_FORBIDDING: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str], ...] = (
    ((nn.modules.batchnorm._BatchNorm, StoredBatchNorm), "has batch norm, so an image depends on its whole batch"),
    (AcrossBatch, "compares the images of a batch with each other"),
    ((SpectralLayer, SpectralNorm), "has spectral norm, which changes with every pass"),
)


def obstacle_in_options(options: AdversarialOptions) -> str | None:
    """Return what in the options of the step needs the whole batch at once, None where nothing does."""
    if options.freeze_g_at is not None:
        return "method.freeze_g_at measures the gradient of the whole batch"
    if options.pack > 1:
        return "method.pack joins images of the batch"
    if options.unroll:
        return "method.unroll looks ahead on the whole batch"
    return None


def obstacle(
    generator: nn.Module, discriminator: nn.Module, loss: LossRow, regularizers: Sequence[RegularizerRow]
) -> str | None:
    """Return what keeps parts of a batch from adding up to the whole, None where nothing does."""
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        for kinds, why in _FORBIDDING:
            if any(isinstance(module, kinds) for module in network.modules()):
                return f"the {name} {why} (model.name=dcgan model.g_norm=layer model.d_norm=none does without)"
    whole = [f"the regularizer {row.name}" for row in regularizers if not row.by_image]
    if not loss.by_image:
        whole.append(f"the loss {loss.name}")
    return f"{whole[0]} looks at the whole batch" if whole else None


def discriminator_step(
    trainer: AdversarialTrainer, size: int, real: Tensor, labels: Tensor, position: int, number: int
) -> dict[str, Tensor]:
    """Take the discriminator step `position` of step `number`, `size` images at a time, and return its terms."""
    z = trainer.latents(position, len(labels))
    with torch.no_grad():
        fake = torch.cat([trainer.images_of(z[rows], labels[rows]) for rows in _rows(len(z), size)])
    real = trainer.augmentation.with_pseudo_reals(real, fake, position)
    real_scores: list[Tensor] = []

    def of(rows: slice) -> tuple[Tensor, StepContext, dict[str, Tensor]]:
        loss, context, told = trainer.discriminator_loss(real[rows], fake[rows], labels[rows], position, number, rows)
        real_scores.append(context.real_scores.detach())
        return loss, context, told

    terms = _descended(trainer, "discriminator", number, _rows(len(z), size), len(z), of)
    observed: dict[str, Tensor] = trainer.augmentation.observe(torch.cat(real_scores))
    return terms | observed


def generator_step(
    trainer: AdversarialTrainer, size: int, real: Tensor, labels: Tensor, position: int, number: int
) -> dict[str, Tensor]:
    """Take the generator's step; it makes the fakes of the discriminator step `position` once more, with a graph."""
    z = trainer.latents(position, len(labels))

    def of(rows: slice) -> tuple[Tensor, StepContext, dict[str, Tensor]]:
        fake = trainer.images_of(z[rows], labels[rows])
        loss, context = trainer.generator_loss(real[rows], fake, labels[rows], number, rows)
        return loss, context, {"loss_g": loss}

    return _descended(trainer, "generator", number, _rows(len(z), size), len(z), of)


def _descended(
    trainer: AdversarialTrainer, network: str, number: int, parts: Iterator[slice], count: int, of: LossOfRows
) -> dict[str, Tensor]:
    """Step a network by the gradients of all parts, each by its share of the `count` images, and return the terms."""
    optimizers, scale = trainer.cleared(network, number), trainer.scales.get(network)
    terms: dict[str, Tensor] = {}
    for rows in parts:
        share = (rows.stop - rows.start) / count
        loss, context, told = of(rows)
        total, penalties = trainer.regularizers.added(network, loss, context)
        backward(total * share, scale)
        for name, value in (told | penalties).items():
            terms[name] = terms.get(name, 0) + value.detach() * share
    trainer.stepped(network, number, optimizers)
    return terms


def _rows(count: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, count)) for first in range(0, count, size))
