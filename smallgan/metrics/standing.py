"""May a network judge a model? One that helped to train it flatters it, and so may its relatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smallgan.core.weights import cards
from smallgan.metrics.score import RELATED, STRUCK

if TYPE_CHECKING:
    from smallgan.metrics.features.extract import FeatureNet


@dataclass(frozen=True)
class Standing:
    """What a network is to a model."""

    mark: str = ""
    """STRUCK: its scores are shown, but select no checkpoint and count in no verdict. RELATED: take with care."""
    why: str = ""


FREE = Standing()


def standing_of(net: FeatureNet, perceptual: Mapping[str, Any] | None) -> Standing:
    """Return what a network is to a model.

    Args:
        net: the judge.
        perceptual: what the model's checkpoint records of the network of its perceptual loss: `weights`, the name of
            their card, and `weights_sha256`; in `before` the same of the run that it started from. None: it had none.

    A network is struck when it is that of the loss, in this file or in another, and related when its weights were made
    from the same images.
    """
    if not perceptual:
        return FREE
    name, card = str(perceptual.get("weights", "")), cards().get(str(perceptual.get("weights", "")))
    if net.sha256 == perceptual.get("weights_sha256") or (card and card.network == net.weights):
        why = f"struck: {net.name} helped to train this model, as its perceptual loss ({name}), so it flatters it"
        return Standing(STRUCK, f"{why}; it selects no checkpoint and counts in no verdict")
    before = standing_of(net, perceptual.get("before"))
    if before.mark == STRUCK:
        return before
    if card and net.trained_on and net.trained_on.casefold() == card.trained_on.casefold():
        why = f"related: {net.name} was made from {net.trained_on}, as {name}, the network of this model's loss"
        return Standing(RELATED, f"{why}, so it may flatter it")
    return before
