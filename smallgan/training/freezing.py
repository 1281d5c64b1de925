"""Which weights stay as they are: in fine-tuning, and those of a network that a gradient only passes through."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch import nn

from augment.errors import UsageError
from smallgan.models.base import HasNorms
from smallgan.tables.dotted import load
from smallgan.tables.freezes import FREEZES
from smallgan.tables.methods import FinetuneOptions

Frozen = dict[str, nn.Parameter]


def freeze(options: FinetuneOptions, generator: nn.Module, discriminator: nn.Module) -> str | None:
    """Take the gradients of the weights that `method.freeze` names away; return a line that says so, None for none.

    Their statistics of batches and their spectral norms go on. Raises UsageError.
    """
    row = FREEZES[options.freeze]
    if options.freeze_layers is not None and not row.counts_layers:
        able = " and ".join(each.name for each in FREEZES if each.counts_layers)
        raise UsageError(f"method.freeze_layers {options.freeze_layers}: read where method.freeze is {able}")
    if row.choose is None:
        return None
    choose: Callable[..., Iterable[nn.Parameter]] = load(row.choose)
    frozen = list({id(each): each for each in choose(generator, discriminator, options.freeze_layers)}.values())
    for parameter in frozen:
        parameter.requires_grad_(False)
    whole = sum(each.numel() for network in (generator, discriminator) for each in network.parameters())
    count = sum(each.numel() for each in frozen)
    return f"frozen: {row.title}; {count:,} of the {whole:,} weights of both networks stay as they are"


def lower_of_discriminator(_generator: nn.Module, discriminator: nn.Module, layers: int | None) -> list[nn.Parameter]:
    """Return the weights of the first layers from the image on. Raises UsageError."""
    return _lower(discriminator, layers, "discriminator")


def lower_of_generator(generator: nn.Module, _discriminator: nn.Module, layers: int | None) -> list[nn.Parameter]:
    """Return the weights of the first layers from the latent on, without class vectors. Raises UsageError."""
    return _lower(generator, layers, "generator")


def all_but_scale_and_shift(generator: nn.Module, _discriminator: nn.Module, _layers: int | None) -> list[nn.Parameter]:
    """Return the weights of the generator but those of its normalisations and its class vectors. Raises UsageError."""
    found = cast(HasNorms, generator)
    norms = list(getattr(found, "norm_layers", ()))
    if not norms:
        raise UsageError("method.freeze scale-shift: this generator has no normalisation with a scale and a shift")
    table = found.class_table
    trained = {id(each) for module in [*norms, *([] if table is None else [table])] for each in module.parameters()}
    return [each for each in generator.parameters() if id(each) not in trained]


def _lower(network: Any, layers: int | None, what: str) -> list[nn.Parameter]:
    if not hasattr(network, "ordered_layers"):
        raise UsageError(f"method.freeze: this model's {what} does not tell its layers in order; leave it out")
    ordered = network.ordered_layers
    count = len(ordered) // 2 if layers is None else layers
    if count >= len(ordered):
        raise UsageError(
            f"method.freeze_layers {count}: the {what} has {len(ordered)} layers, and at least one must be trained; "
            f"use 1 to {len(ordered) - 1}"
        )
    return [each for level in ordered[:count] for module in level for each in module.parameters()]


@contextmanager
def without_gradients(network: nn.Module) -> Iterator[None]:
    """Record a forward pass whose backward leaves out the weights of `network`; other gradients are bit-identical."""
    weights = trained(network)
    for parameter in weights:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in weights:
            parameter.requires_grad_(True)


def trained(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights that are trained; fine-tuning may have frozen some."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
