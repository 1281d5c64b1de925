"""The table of models: a generator and its discriminator, their options, and what is otherwise different by model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from augment.core.table import Table
from smallgan.tables.options import Options


class DCGANOptions(Options):
    """DCGAN (Radford et al. 2016)."""

    name: Literal["dcgan"] = "dcgan"
    z_dim: int = Field(default=100, ge=1)
    """Length of z."""
    base_width: int = Field(default=64, ge=8, multiple_of=8)
    """Channels of the generator at the highest resolution; they double with each halving of the side."""
    d_width: int | None = Field(default=None, ge=8, multiple_of=8)
    """Channels of the discriminator at the highest resolution; None: as the generator's."""
    d_norm: Literal["batch", "none"] = "batch"
    """Normalisation in the discriminator; r1 wants none."""


class BigGANOptions(Options):
    """BigGAN (Brock et al. 2019)."""

    name: Literal["biggan"] = "biggan"
    z_dim: int = Field(default=120, ge=1)
    """Length of z, rounded down to whole chunks."""
    base_width: int = Field(default=16, ge=8, multiple_of=8)
    """ch, the unit of width; 96 in the released models."""
    d_width: int | None = Field(default=None, ge=8, multiple_of=8)
    """Unit of width of the discriminator; None: as the generator's."""
    shared_dim: int = Field(default=128, ge=1)
    """Length of the shared class vector."""
    attention: int = Field(default=0, ge=0)
    """Side of the maps that self-attention follows; 0: none. The paper's 128 px model has it at 64."""
    init: Literal["orthogonal", "N02"] = "orthogonal"
    """Initial weights: orthogonal, or drawn with a standard deviation of 0.02."""


@dataclass(frozen=True)
class ModelRow:
    """A model that training from scratch can choose."""

    name: str
    title: str
    options: type[Options]
    sizes: tuple[int, ...]
    """Sides of the images that it makes, in pixels."""
    has_classes: bool
    """Whether it can be class-conditional."""
    build: str
    """(options, size, num_classes, draws: torch.Generator) -> (generator, discriminator), initialised."""
    load: str
    """(state of a checkpoint) -> generator with its architecture; the weights are loaded into it afterwards."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Dotted recipe keys and their defaults for this model, where they differ from the sections' own."""


MODELS: Table[ModelRow] = Table(
    "model",
    [
        ModelRow(
            name="dcgan",
            title="DCGAN",
            options=DCGANOptions,
            sizes=(32, 64, 128),
            has_classes=False,
            build="smallgan.models.dcgan:build",
            load="smallgan.models.dcgan:load",
        ),
        ModelRow(
            name="biggan",
            title="BigGAN",
            options=BigGANOptions,
            sizes=(32, 64, 128, 256, 512),
            has_classes=True,
            build="smallgan.models.biggan:build",
            load="smallgan.models.biggan:load",
            defaults={
                "loss.name": "hinge",
                "regularizers.orthogonal": {},
                "method.lr_g": 1e-4,
                "method.lr_d": 4e-4,
                "method.beta1": 0.0,
                "method.ema_decay": 0.9999,
                "method.mirror": True,
            },
        ),
    ],
)
