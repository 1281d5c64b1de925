"""What options of an adversarial step do not combine with, and why."""

from collections.abc import Iterable, Iterator

from smallgan.tables.methods import AdversarialOptions
from smallgan.tables.options import Options
from smallgan.tables.regularizers import REGULARIZERS


def refusals(
    method: Options, regularizers: Iterable[str], batch_size: int, precision: str | None, is_transfer: bool
) -> Iterator[str]:
    """Yield what cannot be, each as "key: reason", of a recipe's method and the regularizers that it chooses."""
    if not isinstance(method, AdversarialOptions):
        return
    if method.pack > 1:
        yield from _of_packing(method, regularizers, batch_size, is_transfer)
    if method.freeze_g_at is not None and precision == "fp16":
        yield "method.freeze_g_at: the gradients that it measures are too small for train.precision fp16; use bf16"
    if method.unroll:
        for name in (name for name in regularizers if REGULARIZERS[name].network == "discriminator"):
            yield (
                f"method.unroll: the discriminator's steps are looked ahead by its loss alone, and regularizers.{name} "
                "is part of them; leave one of the two out"
            )
        if precision == "fp16":
            yield "method.unroll: it needs unscaled gradients, and train.precision fp16 scales them; use bf16"


def _of_packing(
    method: AdversarialOptions, regularizers: Iterable[str], batch_size: int, is_transfer: bool
) -> Iterator[str]:
    if is_transfer:
        yield "method.pack: a pretrained discriminator judges images one by one; train from scratch, or leave it out"
    if batch_size % method.pack:
        down = batch_size // method.pack * method.pack
        sizes = " or ".join(str(size) for size in (down, down + method.pack) if size)
        yield (
            f"train.batch_size: {batch_size} images make no whole packs of {method.pack}; use {sizes}, or leave "
            "method.pack out"
        )
    if method.apa_target is not None:
        yield "method.pack: a pack is all real or all fake, and method.apa_target puts fakes among the reals; use one"
    for name in (name for name in regularizers if REGULARIZERS[name].needs_maps):
        yield (
            f"regularizers.{name}: it decodes the discriminator's maps of single images, and method.pack shows it "
            f"{method.pack} at once; leave one of the two out (regularizers.{name}=null)"
        )
