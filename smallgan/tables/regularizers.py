"""The table of regularizers: terms that an adversarial step adds to a network's loss."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from augment.core.table import Table
from smallgan.tables.options import STEPS, Section


class RegularizerOptions(Section):
    """What every regularizer has."""

    weight: float = Field(ge=0)
    """Factor of the term; 0 leaves it out."""
    every: int = Field(default=1, ge=1)
    """Steps from one use of the term to the next; its weight is multiplied by this."""

    def strength(self, _size: int, _batch_size: int) -> float:
        """Return the factor of the term on images of `size` px in batches of `batch_size`, without `every`."""
        return self.weight


class OrthogonalOptions(RegularizerOptions):
    """Off-diagonal orthogonal penalty on the generator's weights (Brock et al. 2019, equation 3)."""

    weight: float = Field(default=1e-4, ge=0)
    """beta of beta |W W' * (1 - I)|^2; 0 leaves it out."""


class R1Options(RegularizerOptions):
    """R1 (Mescheder et al. 2018): half the squared gradient of the discriminator on real images."""

    weight: float = Field(default=1.0, ge=0)
    """gamma of gamma / 2 E |grad D(x)|^2; 0 leaves it out."""
    every: int = Field(default=16, ge=1)
    """Steps from one use to the next, as in StyleGAN2's lazy regularisation; the weight is multiplied by this."""
    scaled: bool = False
    """Multiply the weight by size^2 / batch size; StyleGAN2-ADA does so, with a weight of 0.0002."""

    def strength(self, size: int, batch_size: int) -> float:
        """Return gamma on images of `size` px in batches of `batch_size`."""
        return self.weight * size**2 / batch_size if self.scaled else self.weight


class LeCamOptions(RegularizerOptions):
    """LeCam (Tseng et al. 2021): keeps the discriminator's scores from leaving their running means."""

    weight: float = Field(default=0.3, ge=0)
    """Factor of E relu(D(x) - a_f)^2 + E relu(a_r - D(g))^2; 0 leaves it out."""
    decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay per use of the running means a_r and a_f of the scores of reals and fakes."""
    start: int = Field(default=1000, ge=0, json_schema_extra=STEPS)
    """Step from which the term is added."""


class AutoencodeOptions(RegularizerOptions):
    """Decodes the discriminator's maps of real images (Liu et al. 2021): mean absolute difference at 32 px."""

    weight: float = Field(default=1.0, ge=0)
    """Factor of the difference; 0 leaves it out."""
    every: int = Field(default=2, ge=1)
    """Steps from one use to the next; the weight is multiplied by this."""


class WarmStartOptions(RegularizerOptions):
    """Early in training the generator also learns to make each image of its principal components. An experiment."""

    weight: float = Field(default=10.0, ge=0)
    """Factor of the absolute difference of pixels and, by half, of Laplacian pyramids; 0 leaves it out."""
    steps: int = Field(default=400, ge=1, json_schema_extra=STEPS)
    """Steps at full weight; over as many more it falls to 0, and from then on costs nothing."""


@dataclass(frozen=True)
class RegularizerRow:
    """A term of the loss of one of the two networks."""

    name: str
    title: str
    options: type[RegularizerOptions]
    network: Literal["generator", "discriminator"]
    """Whose loss it is added to."""
    build: str
    """(options, network, draws: torch.Generator) -> a function of a `smallgan.training.step.StepContext`: the term,
    not yet weighted.

    A torch module where it has a state that a checkpoint must hold. Weights of its own are drawn from `draws` and
    trained as the network's are.
    """
    needs_boundary: bool = False
    """Whether it needs a loss whose scores mean something by themselves (`LossRow.boundary`)."""
    needs_maps: bool = False
    """Whether it needs a model whose discriminator gives its maps (`ModelRow.has_maps`)."""
    by_image: bool = False
    """Whether it is a mean over the images, or looks at none, so that a batch may be taken in parts."""
    needs_images: bool = False
    """Whether `build` takes the pixels of the training images, N x S x S x 3, as a fourth argument."""


REGULARIZERS: Table[RegularizerRow] = Table(
    "regularizer",
    [
        RegularizerRow(
            "orthogonal",
            "orthogonal penalty",
            OrthogonalOptions,
            "generator",
            "smallgan.training.regularizers.orthogonal:Orthogonal",
            by_image=True,
        ),
        RegularizerRow(
            "r1", "R1 penalty", R1Options, "discriminator", "smallgan.training.regularizers.r1:R1", by_image=True
        ),
        RegularizerRow(
            "lecam",
            "LeCam regularisation",
            LeCamOptions,
            "discriminator",
            "smallgan.training.regularizers.lecam:LeCam",
            needs_boundary=True,
        ),
        RegularizerRow(
            "autoencode",
            "decoding of real images",
            AutoencodeOptions,
            "discriminator",
            "smallgan.training.regularizers.autoencode:Autoencode",
            needs_maps=True,
        ),
        RegularizerRow(
            "warm_start",
            "warm start from principal components",
            WarmStartOptions,
            "generator",
            "smallgan.training.regularizers.warm_start:WarmStart",
            needs_images=True,
        ),
    ],
)
