"""The losses of transfer and IMLE: how far images are from the training images, and codes from normal draws.

Two published forms. `raw` (Noguchi and Harada's own code): mean |x - y| plus 0.001 times the mean absolute difference
of each perceptual layer. `normalized` (its PyTorch port, and APGC's code): each term is divided by its own value, which
passes no gradient, so that all pull equally hard whatever their scale; perceptual layers count by their mean squared
difference, times 0.1 each. In it the loss is a constant; watch `pixel` and `perceptual` instead.

The original's VGG16 had weights for inputs of 0 to 255, with activations tens of times torchvision's: `raw` with
torchvision's weights therefore weighs the perceptual part less than the paper did.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from augment.errors import InputError, UsageError
from smallgan.core import distributed, weights
from smallgan.models import perceptual
from smallgan.models.perceptual import Perceptual

Variant = Literal["normalized", "raw"]
PERCEPTUAL_WEIGHT: dict[Variant, float] = {"normalized": 0.1, "raw": 0.001}  # Of each layer
NO_PERCEPTUAL = "none"
_NETWORKS: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, Tensor]], Perceptual]]] = {
    "vgg16": (("vgg16",), perceptual.vgg16),
    "squeezenet1_1": (("squeezenet1_1", "squeezenet1_1-features"), perceptual.squeezenet1_1),
    "shipped": ((weights.SHIPPED_FEATURES,), perceptual.small_net),
}
"""Name in a recipe -> cards of weights that will do, and builder, in the order in which `auto` tries them."""
PYRAMID_LEVELS = 3
_SMALLEST = 1e-12


class Terms(NamedTuple):
    """A reconstruction loss, and the distances in it as they are."""

    loss: Tensor
    pixel: Tensor
    """Mean absolute difference of images in [-1, 1]."""
    perceptual: Tensor
    """Mean over the layers of their distance: squared (normalized) or absolute (raw); 0 without a network."""


def reconstruction(
    images: Tensor,
    real: Tensor,
    layers: Sequence[Tensor],
    real_layers: Sequence[Tensor],
    variant: Variant,
    perceptual_weight: float,
) -> Terms:
    """Return the loss of images B x 3 x S x S against the real ones, with the perceptual layers of both (may be none).

    It is worked out in float32.
    """
    found = distances(images, real, layers, real_layers, variant)
    return told(weighed(found, variant, perceptual_weight), found)


def distances(
    images: Tensor, real: Tensor, layers: Sequence[Tensor], real_layers: Sequence[Tensor], variant: Variant
) -> list[Tensor]:
    """Return the distance of the pixels, then that of each perceptual layer: means over the batch, in float32."""
    pixel = (images.float() - real.float()).abs().mean()
    differences = [one.float() - other.float() for one, other in zip(layers, real_layers, strict=True)]
    if variant == "normalized":
        return [pixel, *(difference.square().mean() for difference in differences)]
    return [pixel, *(difference.abs().mean() for difference in differences)]


def weighed(
    found: Sequence[Tensor], variant: Variant, perceptual_weight: float, values: Sequence[Tensor] | None = None
) -> Tensor:
    """Return the loss of `distances`.

    `values` are what the normalized variant divides them by, where `found` is of a part of a batch: those of the whole
    batch; None: their own.
    """
    if variant == "normalized":
        terms = [by_itself(*each) for each in zip(found, values or found, strict=True)]
    else:
        terms = list(found)
    loss, *others = terms
    for other in others:
        loss = loss + perceptual_weight * other
    return loss


def told(loss: Tensor, found: Sequence[Tensor]) -> Terms:
    """Return the loss with the plain values of its distances."""
    pixel, *others = found
    perceptual = torch.stack(others).mean() if others else torch.zeros_like(pixel)
    return Terms(loss, pixel.detach(), perceptual.detach())


def pyramid_distance(images: Tensor, real: Tensor) -> Tensor:
    """Return the mean absolute difference of the Laplacian pyramids of two batches B x 3 x S x S, in float32.

    Each of three levels is what halving the side once more (by means of 2 x 2) and doubling it again (bilinearly)
    loses; it counts by its mean, and the levels are summed. What is left after the last is not compared.
    """
    difference, total = images.float() - real.float(), torch.zeros((), device=images.device)
    for _ in range(PYRAMID_LEVELS):
        half = avg_pool2d(difference, 2)
        again = interpolate(half, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = total + (difference - again).abs().mean()
        difference = half
    return total


def latent_distance(codes: Tensor, targets: Tensor) -> Tensor:
    """Return the two-way nearest-neighbour (Chamfer) distance of codes B x Z to normal draws M x Z.

    With D[i, j] = |codes[i] - targets[j]|^2: mean over j of min over i, plus mean over i of min over j. The authors
    call it an earth mover's distance, which it is not: nothing keeps several draws from sharing one code.
    """
    squared = codes.square().sum(dim=1)[:, None] - 2 * codes @ targets.T + targets.square().sum(dim=1)
    return squared.amin(dim=0).mean() + squared.amin(dim=1).mean()


def load_perceptual(name: str, weight: float | None = None) -> tuple[Perceptual | None, str]:
    """Return the network of a recipe's `method.perceptual`, and a line that says what was taken.

    "auto" takes the first of vgg16, squeezenet1_1 and shipped whose weights are on this machine. "none", or a weight of
    0, takes none. Raises UsageError (no such network), MissingError (no weights: says how to get them), InputError.
    """
    if name not in (*_NETWORKS, "auto", NO_PERCEPTUAL):
        allowed = ", ".join(("auto", *_NETWORKS, NO_PERCEPTUAL))
        raise UsageError(f"method.perceptual {name!r}: no such network; use one of {allowed}")
    if name == NO_PERCEPTUAL or weight == 0:
        why = "method.perceptual is none" if name == NO_PERCEPTUAL else "method.perceptual_weight is 0"
        return None, f"perceptual loss: NONE ({why}); pixels alone are compared, and the images will be softer"
    why = ""
    if name == "auto":
        there = [each for each, (names, _) in _NETWORKS.items() if any(map(_is_here, names))]
        if not there:
            return None, "perceptual loss: NONE (no weights of any network are here); pixels alone are compared"
        name = there[0]
        if name != "vgg16":
            why = "; the published choice is vgg16, which is not here"
    names, build = _NETWORKS[name]
    card = next(filter(_is_here, names), names[0])
    path, digest = weights.find(card)
    try:
        network = build(weights.read_tensors(path))
    except UsageError as error:
        raise InputError(f"{path}: {error}") from error
    network.card, network.sha256 = card, digest
    return network, f"perceptual loss: {name} ({card}, sha256 {digest[:8]}){why}"


def perceptual_record(network: Perceptual | None) -> dict[str, str] | None:
    """Return what a checkpoint says of the network that a loss used, so that no score of it by the same one misleads.

    Its name in recipes, the card of its weights, and their hash.
    """
    if network is None:
        return None
    return {"name": network.name, "weights": network.card, "weights_sha256": network.sha256}


def by_itself(term: Tensor, value: Tensor | None = None) -> Tensor:
    """Return a term divided by its own value (or by `value`), which passes no gradient: 1, or less where nearly 0.

    Of ranks, by the mean of theirs: the value for the whole batch.
    """
    return term / distributed.mean((term if value is None else value).detach()).clamp(min=_SMALLEST)


def _is_here(card: str) -> bool:
    return card in weights.cards() and weights.locate(card).is_file()
