"""Anchors and patches, as CDC and DCL fine-tune by them (Ojha et al. 2021, arXiv:2104.06820, section 3.2).

Few images cannot tell what all latents should make. So whole images are judged only near a few latents, the anchors;
of all other latents the discriminator judges patches, which a new image may share with a training image. As in the
released code the two take turns, a step near anchors and three of patches; there too the maps that are scored by patch
are always the same ones.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from smallgan.core.draws import Draw, Draws
from smallgan.core.rng import Stream, normal, rng
from smallgan.data.images import Pixels
from smallgan.models.dcgan import initialize
from smallgan.models.levels import levels, recorded
from smallgan.tables.methods import CDCOptions
from smallgan.tables.recipe import Recipe

PATCH_SHARE = 8  # Patches are scored on the discriminator's first map whose side is this part of the image's, or less


class Anchoring:
    """No anchors: every step has the latents that it has, and judges whole images."""

    networks: dict[str, nn.Module]
    by_patch = False
    """Whether this step judges patches."""

    def __init__(self) -> None:
        self.networks = {}

    def begin(self, number: int) -> None:
        """Begin step `number`."""

    def end_step(self) -> None:
        """End it; whoever asks for scores between steps means those of whole images."""

    def planned(self, _number: int) -> Iterator[Draw]:
        """Yield the draws of a step."""
        return iter(())

    def near(self, z: Tensor, _position: int) -> Tensor:
        """Return latents B x Z for the discriminator step `position`, made of draws z from N(0, I)."""
        return z

    def used(self, _network: str) -> tuple[str, ...]:
        """Return the names of `networks` that are stepped with a network in this step."""
        return ()

    def scores(self, discriminator: nn.Module, *inputs: Tensor) -> Tensor:
        """Return scores B of whole images, or in a step of patches those of all patches, one image behind another."""
        scores: Tensor = discriminator(*inputs)
        return scores

    def by_image(self, scores: Tensor, count: int) -> Tensor:  # noqa: ARG002 - others need it
        """Return scores as regularizers take them: in a step of patches the mean of each of `count` images."""
        return scores


class AnchorsAndPatches(Anchoring):
    """In every `method.anchor_every`-th step latents are near anchors; in the others patches are judged.

    Args:
        recipe: its method is CDC or a method like it.
        draws: the run's.
        z_dim: Z.
        discriminator: whose maps are scored by patch.
        count: number of anchors.
    """

    def __init__(self, recipe: Recipe, draws: Draws, z_dim: int, discriminator: nn.Module, count: int) -> None:
        super().__init__()
        options = recipe.method
        assert isinstance(options, CDCOptions)
        self.seed, self.draws, self.options = recipe.seed, draws, options
        self.batch_size = recipe.train.batch_size
        anchors = normal(self.seed, Stream.ANCHORS, 0, (count, z_dim))
        self.anchors = torch.from_numpy(anchors).to(draws.device)
        if options.anchor_every > 1:
            self._judged, channels = patch_level(discriminator)
            self.patches = nn.Conv2d(channels, 1, 3, padding=1)
            initialize(
                self.patches, torch.Generator().manual_seed(int(rng(self.seed, Stream.ANCHORS, 1).integers(2**63)))
            )
            self.networks["patches"] = self.patches.to(draws.device)

    def begin(self, number: int) -> None:
        """Begin step `number`: near anchors, or by patch."""
        self.by_patch = number % self.options.anchor_every != 0

    def end_step(self) -> None:
        """End it; from now on scores are those of whole images."""
        self.by_patch = False

    def planned(self, number: int) -> Iterator[Draw]:
        """Yield the choices of anchors of a step."""
        d_steps = self.options.d_steps
        for position in range(number * d_steps, (number + 1) * d_steps):
            if self._is_near(position):
                yield self._choice(position, self.batch_size)

    def near(self, z: Tensor, position: int) -> Tensor:
        """Return latents B x Z: anchors with noise, or z."""
        if not self._is_near(position):
            return z
        (chosen,) = self.draws(self._choice(position, len(z)))
        return self.anchors[chosen] + self.options.anchor_noise * z

    def used(self, network: str) -> tuple[str, ...]:
        """Return the name of what scores patches, in a discriminator step that does."""
        return ("patches",) if self.by_patch and network == "discriminator" else ()

    def scores(self, discriminator: nn.Module, *inputs: Tensor) -> Tensor:
        """Return scores B of whole images, or those of all patches, one image behind another, in float32."""
        if not self.by_patch:
            return super().scores(discriminator, *inputs)
        with recorded([self._judged]) as maps:
            discriminator(*inputs)
        scores: Tensor = self.patches(maps[0])
        return scores.flatten().float()

    def by_image(self, scores: Tensor, count: int) -> Tensor:
        """Return scores B of whole images, or the mean of each image's patches."""
        return scores.view(count, -1).mean(dim=1) if self.by_patch else scores

    def _is_near(self, position: int) -> bool:
        return position // self.options.d_steps % self.options.anchor_every == 0

    def _choice(self, position: int, count: int) -> Draw:
        def make() -> tuple[Any, ...]:
            return (rng(self.seed, Stream.ANCHOR_CHOICE, position).integers(len(self.anchors), size=count),)

        return Draw((Stream.ANCHOR_CHOICE, position, count), make)


def anchoring_of(
    recipe: Recipe, draws: Draws, generator: nn.Module, discriminator: nn.Module, pixels: Pixels | None
) -> Anchoring:
    """Return what the recipe's method asks for; of a method without anchors, or with `anchor_every` 0, nothing."""
    options = recipe.method
    if not isinstance(options, CDCOptions) or not options.anchor_every:
        return Anchoring()
    assert pixels is not None
    z_dim: int = generator.z_dim  # type: ignore[assignment]
    return AnchorsAndPatches(recipe, draws, z_dim, discriminator, options.anchors or len(pixels))


def patch_level(discriminator: nn.Module) -> tuple[nn.Module, int]:
    """Return the layer whose maps are scored by patch, and their channels C.

    It makes the first map with a side of at most an eighth of the image's; of a small discriminator that has none, its
    last one.
    """
    size: int = discriminator.size  # type: ignore[assignment]
    device = next(discriminator.parameters()).device
    found, was_training = levels(discriminator), discriminator.training
    discriminator.eval()
    with torch.no_grad(), recorded(found) as maps:
        discriminator(torch.zeros(1, 3, size, size, device=device))
    discriminator.train(was_training)
    small = [number for number, each in enumerate(maps) if each.shape[-1] * PATCH_SHARE <= size]
    chosen = small[0] if small else len(maps) - 1
    return found[chosen], maps[chosen].shape[1]
