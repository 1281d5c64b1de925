"""The table of models: a generator and its discriminator, their options, and what is otherwise different by model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from augment.core.table import Table
from augment.errors import UsageError
from smallgan.tables.options import Options

OF_DISCRIMINATOR: dict[str, Any] = {"of_discriminator": True}
"""Marks a key that is read only by methods that train a discriminator."""


class NormableOptions(Options):
    """What models share whose discriminator has no spectral norm of its own."""

    d_spectral_norm: bool = Field(default=False, json_schema_extra=OF_DISCRIMINATOR)
    """Divide each weight of the discriminator by its largest singular value (Miyato et al. 2018)."""


class DCGANOptions(NormableOptions):
    """DCGAN (Radford et al. 2016)."""

    name: Literal["dcgan"] = "dcgan"
    z_dim: int = Field(default=100, ge=1)
    """Length of z."""
    base_width: int = Field(default=64, ge=8, multiple_of=8)
    """Channels of the generator at the highest resolution; they double with each halving of the side."""
    g_norm: Literal["batch", "layer"] = "batch"
    """Normalisation in the generator: batch, or layer, of each place over its channels; it sees one image at a time."""
    d_width: int | None = Field(default=None, ge=1, json_schema_extra=OF_DISCRIMINATOR)
    """Channels of the discriminator at the highest resolution; None: as the generator's."""
    d_norm: Literal["batch", "none"] = Field(default="batch", json_schema_extra=OF_DISCRIMINATOR)
    """Normalisation in the discriminator; r1, r2, gradient_penalty and spectral norm want none."""


class BigGANOptions(Options):
    """BigGAN (Brock et al. 2019)."""

    name: Literal["biggan"] = "biggan"
    z_dim: int = Field(default=120, ge=1)
    """Length of z, rounded down to whole chunks."""
    base_width: int = Field(default=16, ge=8, multiple_of=8)
    """ch, the unit of width; 96 in the released models."""
    d_width: int | None = Field(default=None, ge=8, multiple_of=8, json_schema_extra=OF_DISCRIMINATOR)
    """Unit of width of the discriminator; None: as the generator's."""
    shared_dim: int = Field(default=128, ge=1)
    """Length of the shared class vector."""
    attention: int = Field(default=0, ge=0)
    """Side of the maps that self-attention follows; 0: none. The paper's 128 px model has it at 64."""
    init: Literal["orthogonal", "N02"] = "orthogonal"
    """Initial weights: orthogonal, or drawn with a standard deviation of 0.02."""


class FastGANOptions(NormableOptions):
    """FastGAN (Liu et al. 2021): a light generator for 100 to a few thousand images."""

    name: Literal["fastgan"] = "fastgan"
    z_dim: int = Field(default=256, ge=1)
    """Length of z."""
    base_width: int = Field(default=8, ge=1)
    """Unit of width: 24, 16, 12, 6, 3 units at 4 to 64 px; above 64 px, 64, 64, 32, 16, 16, 8, 4, 2 at 4 to 512."""
    d_width: int | None = Field(default=None, ge=1, json_schema_extra=OF_DISCRIMINATOR)
    """Unit of width of the discriminator; None: as the generator's."""
    class_dim: int = Field(default=128, ge=1)
    """Length of the class embedding beside z; not used with one class."""


Activation = Literal["relu", "leaky", "maxout"]


class MLPOptions(NormableOptions):
    """Fully connected networks, as in the first GAN (Goodfellow et al. 2014): for points in the plane, and digits."""

    name: Literal["mlp"] = "mlp"
    z_dim: int = Field(default=2, ge=1)
    """Length of z."""
    base_width: int = Field(default=128, ge=1)
    """Units of each hidden layer of the generator."""
    depth: int = Field(default=2, ge=1)
    """Hidden layers of the generator."""
    activation: Activation = "leaky"
    """Between the generator's layers: relu, leaky (LeakyReLU with slope 0.1) or maxout (the largest of five)."""
    g_norm: Literal["batch", "none"] = "none"
    """Normalisation in the generator."""
    d_width: int | None = Field(default=None, ge=1, json_schema_extra=OF_DISCRIMINATOR)
    """Units of each hidden layer of the discriminator; None: as the generator's."""
    d_depth: int | None = Field(default=None, ge=1, json_schema_extra=OF_DISCRIMINATOR)
    """Hidden layers of the discriminator; None: as the generator's."""
    d_activation: Activation = Field(default="leaky", json_schema_extra=OF_DISCRIMINATOR)
    """Between the discriminator's layers: relu, leaky or maxout."""


@dataclass(frozen=True)
class ModelRow:
    """A model that training from scratch can choose."""

    name: str
    title: str
    options: type[Options]
    sizes: tuple[int, ...]
    """Sides of the images that it makes, in pixels; 1: points in the plane."""
    build: str
    """(options, size, num_classes, draws: torch.Generator) -> (generator, discriminator), initialised."""
    load: str
    """(state of a checkpoint) -> generator with its architecture; the weights are loaded into it afterwards."""
    has_classes: bool = False
    """Whether it can be class-conditional."""
    has_maps: bool = False
    """Whether its discriminator gives its 8 x 8 maps (`smallgan.models.base.HasMaps`), as some regularizers need."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Dotted recipe keys and their defaults for this model, where they differ from the sections' own.

    Those of `method` are for methods with a discriminator. One that a recipe's method does not read is passed over.
    """

    load_discriminator: str | None = None
    """(tensors of a checkpoint's discriminator) -> discriminator of their shapes; None: fine-tuning takes a fresh one.

    A BigGAN's is read as the official files are (`smallgan.models.pretrained`).
    """
    fresh_discriminator: str | None = None
    """(generator, draws: torch.Generator) -> a fresh one for it; None: the model cannot be fine-tuned."""
    reclass: str | None = None
    """(generator, discriminator or None, rows) -> None: both get tables of other classes, made by `rows` of theirs."""

    def check_size(self, size: int) -> None:
        """Raise UsageError for a side that it does not make."""
        if size not in self.sizes:
            sizes = ", ".join(map(str, self.sizes))
            raise UsageError(f"size {size}: {self.title} is built for {sizes} px; choose one of these")


_IN = "smallgan.models"
MODELS: Table[ModelRow] = Table(
    "model",
    [
        ModelRow(
            "dcgan",
            "DCGAN",
            DCGANOptions,
            (32, 64, 128),
            f"{_IN}.dcgan:build",
            f"{_IN}.dcgan:load",
            load_discriminator=f"{_IN}.dcgan:load_discriminator",
            fresh_discriminator=f"{_IN}.dcgan:fresh_discriminator",
        ),
        ModelRow(
            "biggan",
            "BigGAN",
            BigGANOptions,
            (32, 64, 128, 256, 512),
            f"{_IN}.biggan:build",
            f"{_IN}.biggan:load",
            has_classes=True,
            defaults={
                "loss.name": "hinge",
                "regularizers.orthogonal": {},
                "method.lr_g": 1e-4,
                "method.lr_d": 4e-4,
                "method.beta1": 0.0,
                "method.ema_decay": 0.9999,
                "method.mirror": True,
            },
            fresh_discriminator=f"{_IN}.biggan_classes:fresh_discriminator",
            reclass=f"{_IN}.biggan_classes:reclass",
        ),
        ModelRow(
            "fastgan",
            "FastGAN",
            FastGANOptions,
            (32, 64, 128, 256, 512),
            f"{_IN}.fastgan:build",
            f"{_IN}.fastgan:load",
            has_classes=True,
            has_maps=True,
            defaults={
                "loss.name": "hinge",
                "regularizers.r1": {"weight": 0.0002, "scaled": True},
                "regularizers.autoencode": {},
                "method.beta1": 0.0,
                "method.beta2": 0.99,
                "method.diffaugment": "color,translation",
                "method.mirror": True,
                "train.batch_size": 16,
            },
            load_discriminator=f"{_IN}.fastgan:load_discriminator",
            fresh_discriminator=f"{_IN}.fastgan:fresh_discriminator",
            reclass=f"{_IN}.fastgan:reclass",
        ),
        ModelRow("mlp", "MLP", MLPOptions, (1, 32, 64), f"{_IN}.mlp:build", f"{_IN}.mlp:load"),
    ],
)
