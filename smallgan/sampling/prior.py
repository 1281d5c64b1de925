"""Where latents are drawn from: a standard normal, or near the latent codes that a transfer learned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.errors import UsageError
from smallgan.core.draws import Draw, rows_draw
from smallgan.core.rng import Stream, normal, rng

Address = tuple[int, int]  # (seed, k)
Latents = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prior:
    """How a generator should be sampled; the default is a standard normal."""

    codes: Latents | None = None
    """Learned latent codes of training images, M x Z."""
    around_codes: float | None = None
    """Draw this many standard deviations of the codes' components around them; None: a standard normal."""

    @property
    def is_normal(self) -> bool:
        """Whether it is a standard normal."""
        return self.around_codes is None

    @property
    def tensors(self) -> dict[str, Latents]:
        """What a checkpoint and an exported file hold of it below `latent.`; codes have a place of their own."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        if self.around_codes is None:
            return {"prior": "normal"}
        return {"prior": "around_codes", "around_codes": self.around_codes}

    def place(self, noise: Latents, first: int) -> Latents:
        """Return latents N x Z made of standard-normal `noise` N x Z: row k is near code (first + k) modulo M."""
        if self.codes is None or self.around_codes is None:
            return noise
        near = self.codes[(first + np.arange(len(noise))) % len(self.codes)]
        return (near + np.float32(self.around_codes * self.codes.std()) * noise).astype(np.float32)

    def drawn(self, seed: int, stream: Stream, position: int, count: int, z_dim: int) -> Latents:
        """Return latents N x Z that are drawn together, at the address (seed, stream, position)."""
        return self.place(normal(seed, stream, position, (count, z_dim)), 0)

    def draw(self, seed: int, stream: Stream, position: int, count: int, z_dim: int) -> Draw:
        """Return the draw of the latents N x Z of a training step: one array, of several ranks this one's rows."""

        def make(number: int) -> tuple[Latents]:
            return (self.drawn(seed, stream, position, number, z_dim),)

        return rows_draw((stream, position, count, z_dim), count, make)

    def latents(self, addresses: Sequence[Address], z_dim: int) -> Latents:
        """Return latents N x Z, each drawn at its own address (seed, k).

        Image k of a seed lies near the k-th code after one that the seed draws, so M images in a row are near M codes.
        """
        noise = np.stack([normal(seed, Stream.SAMPLE_LATENTS, k, (z_dim,)) for seed, k in addresses])
        if self.codes is None or self.around_codes is None:
            return noise
        first = {seed: int(rng(seed, Stream.CODE_CHOICE).integers(len(self.codes))) for seed, _ in addresses}
        rows = [self.place(row[None], first[seed] + k) for row, (seed, k) in zip(noise, addresses, strict=True)]
        return np.concatenate(rows)


NORMAL = Prior()  # A standard normal


def check_around_codes(spread: float) -> None:
    """Raise UsageError unless it is a number from 0."""
    if not 0 <= spread < math.inf:
        raise UsageError(f"--around-codes {spread:g}: must be 0 or more, such as 0.3; --prior normal draws anywhere")
