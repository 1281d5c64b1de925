"""Forward passes through a network whose weights want no gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def without_gradients(network: nn.Module) -> Iterator[None]:
    """Record a forward pass whose backward leaves out the weights of `network`; other gradients are bit-identical."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
