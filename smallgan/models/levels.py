"""The maps inside a network, level by level, as methods that compare networks look at them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from smallgan.models.base import HasOrderedLayers


def levels(network: nn.Module) -> list[nn.Module]:
    """Return the layer that ends each of a network's levels but the last, from the latent or the image on.

    The last one makes the image or the score. Of a level that is a block with attention behind it, it is the block.
    """
    ends = [level[-1] for level in cast(HasOrderedLayers, network).ordered_layers[:-1]]
    return [end[0] if isinstance(end, nn.ModuleList) else end for end in ends]


@contextmanager
def recorded(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Give a list that holds, after a pass inside, what the layers made in it: maps B x C x H x W, with their graph.

    They are in the order in which the pass made them. A nonlinearity that works in place on a map is in it. A compiled
    network runs as it was before, as what it was compiled to does not look at its layers again.
    """
    made: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
        made.append(output)

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.register_forward_hook(keep))
        hooks.enter_context(torch.compiler.set_stance("force_eager"))
        yield made
