"""The table of regularizers: terms that an adversarial step adds to a network's loss, and limits to its weights."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from augment.core.table import Table
from smallgan.tables.models import MODELS
from smallgan.tables.options import STEPS, Section


class RegularizerOptions(Section):
    """What every term of a loss has."""

    weight: float = Field(ge=0)
    """Factor of the term; 0 leaves it out."""
    every: int = Field(default=1, ge=1)
    """Steps from one use of the term to the next; its weight is multiplied by this."""

    @property
    def is_on(self) -> bool:
        """Whether it has a weight."""
        return bool(self.weight)

    def strength(self, _size: int, _batch_size: int) -> float:
        """Return the factor of the term on images of `size` px in batches of `batch_size`, without `every`."""
        return self.weight


class LimitOptions(Section):
    """What every limit to weights has."""

    is_on: ClassVar[bool] = True
    every: int = Field(default=1, ge=1)
    """Steps from one use to the next."""


class OrthogonalOptions(RegularizerOptions):
    """Orthogonal penalty on the generator's weights, off the diagonal (Brock et al. 2019, equation 3), or in full."""

    weight: float = Field(default=1e-4, ge=0)
    """beta of beta |W W' * (1 - I)|^2; 0 leaves it out. Autograd's factor: 1e-4 of the released code is 0.5e-4 here."""
    full: bool = False
    """Also hold the lengths of the rows at 1: beta |W W' - I|^2 (equation 2)."""


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


class R2Options(R1Options):
    """R2 (Mescheder et al. 2018): half the squared gradient of the discriminator on fakes."""

    weight: float = Field(default=1.0, ge=0)
    """gamma of gamma / 2 E |grad D(g)|^2; 0 leaves it out."""


class GradientPenaltyOptions(RegularizerOptions):
    """Gradient penalty of WGAN-GP (Gulrajani et al. 2017): slopes of 1 between reals and fakes. With any loss."""

    weight: float = Field(default=10.0, ge=0)
    """Factor of E (|grad D(x)| - 1)^2 at points x drawn evenly between a real and a fake; 0 leaves it out."""


class ConsistencyOptions(RegularizerOptions):
    """Consistency (Zhang et al. 2020): an image scores as it does mirrored and shifted."""

    weight: float = Field(default=10.0, ge=0)
    """Factor of E (D(T(x)) - D(x))^2 over reals; 0 leaves it out."""
    fakes: bool = False
    """Add the same of fakes (balanced consistency, Zhao et al. 2021)."""


class LeCamOptions(RegularizerOptions):
    """LeCam (Tseng et al. 2021): pulls scores of reals to the running mean of those of fakes, and the reverse."""

    weight: float = Field(default=0.3, ge=0)
    """Factor of E relu(D(x) - a_f)^2 + E relu(a_r - D(g))^2; 0 leaves it out."""
    decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay per use of the running means a_r and a_f of the scores of reals and fakes; 0.9 in the released code."""
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


class WeightClipOptions(LimitOptions):
    """Weight clipping of WGAN (Arjovsky et al. 2017): all weights of the discriminator, biases too, stay in a range."""

    limit: float = Field(default=0.01, gt=0)
    """c of the range from -c to c."""


class SingularClampOptions(LimitOptions):
    """Clamps the largest singular value of the generator's weights (Brock et al. 2019, section 4.1). A diagnostic."""

    limit: float = Field(default=1.0, gt=0)
    """Largest singular value s of W <- W - max(0, s0 - s) u0 v0'."""
    ratio: float | None = Field(default=None, gt=0)
    """The limit as a multiple of the second singular value, in place of `limit`; None: `limit` holds."""


class DistanceOptions(RegularizerOptions):
    """BourGAN's distance loss (Xiao et al. 2018): images as far apart as their latents, in logarithms."""

    weight: float = Field(default=0.1, ge=0)
    """Factor of E (log |G(z) - G(z')| - log(scale |z - z'|))^2; 0 leaves it out."""


class DistanceConsistencyOptions(RegularizerOptions):
    """CDC's distance consistency (Ojha et al. 2021): similarities of a batch's images are those of the source's."""

    weight: float = Field(default=1000 / 3, ge=0)
    """Factor of the divergence, a sum over the others of a batch and a mean over it; the released code's 1,000, whose
    batches are of four, is a third of that. 0 leaves it out."""


class GContrastOptions(RegularizerOptions):
    """DCL's contrast of the generator (Zhao et al. 2022): an image and its twin of the source against other twins."""

    weight: float = Field(default=2.0, ge=0)
    """Factor of the contrast; 0 leaves it out."""
    temperature: float = Field(default=0.07, gt=0)
    """What similarities are divided by."""
    twin_in_sum: bool = True
    """Count the twin in the denominator too, as InfoNCE does; false: other images alone, as a public code does."""


class DContrastOptions(RegularizerOptions):
    """DCL's contrast of the discriminator (Zhao et al. 2022): an image and its twin against real images."""

    weight: float = Field(default=0.5, ge=0)
    """Factor of the contrast; 0 leaves it out."""
    temperature: float = Field(default=0.07, gt=0)
    """What similarities are divided by."""


@dataclass(frozen=True)
class RegularizerRow:
    """A term of the loss of one of the two networks, or a limit to its weights."""

    name: str
    title: str
    options: type[RegularizerOptions | LimitOptions]
    network: Literal["generator", "discriminator"]
    """Whose loss it is added to, or whose weights it changes."""
    build: str
    """(options, network, draws: torch.Generator, ...) -> a function of a `smallgan.training.step.StepContext`: the
    term, not yet weighted; with `limits_weights` a function of nothing. What else it is given follows by name where the
    row asks for it.

    A torch module where it has a state that a checkpoint must hold. Weights of its own are drawn from `draws` and
    trained as the network's are.
    """
    needs_boundary: bool = False
    """Whether it needs a loss whose scores mean something by themselves (`LossRow.boundary`)."""
    needs_of_latent: Literal["normal", "distances"] | None = None
    """What it needs of the latent prior (`LatentRow.has`); one that needs distances gets the fitted prior in `build`,
    as the last argument."""
    needs_maps: bool = False
    """Whether it needs a model whose discriminator gives its maps (`ModelRow.has_maps`)."""
    limits_weights: bool = False
    """Whether it changes weights after the optimiser's step, and is no term of the loss."""
    by_image: bool = False
    """Whether it is a mean over the images, or looks at none, so that a batch may be taken in parts."""
    over_ranks: bool = False
    """Whether it is right over several GPUs too where it is no mean over the images (`smallgan.core.distributed`)."""
    host_decides: bool = False
    """Whether the host decides something anew in each step, so that no CUDA graph can replay it."""
    needs_images: bool = False
    """Whether `build` takes the pixels of the training images, N x S x S x 3, as `pixels`."""
    needs_source: bool = False
    """Whether `build` takes, as `source`, the generator as it is before the first step, frozen: a pretrained one."""


_IN = "smallgan.training.regularizers"
REGULARIZERS: Table[RegularizerRow] = Table(
    "regularizer",
    [
        RegularizerRow(
            "orthogonal",
            "orthogonal penalty",
            OrthogonalOptions,
            "generator",
            f"{_IN}.orthogonal:Orthogonal",
            by_image=True,
        ),
        RegularizerRow("r1", "R1 penalty", R1Options, "discriminator", f"{_IN}.r1:R1", by_image=True),
        RegularizerRow("r2", "R2 penalty", R2Options, "discriminator", f"{_IN}.r2:R2", by_image=True),
        RegularizerRow(
            "gradient_penalty",
            "gradient penalty",
            GradientPenaltyOptions,
            "discriminator",
            f"{_IN}.gradient_penalty:GradientPenalty",
        ),
        RegularizerRow(
            "consistency",
            "consistency",
            ConsistencyOptions,
            "discriminator",
            f"{_IN}.consistency:Consistency",
        ),
        RegularizerRow(
            "lecam",
            "LeCam regularisation",
            LeCamOptions,
            "discriminator",
            f"{_IN}.lecam:LeCam",
            needs_boundary=True,
            over_ranks=True,
        ),
        RegularizerRow(
            "autoencode",
            "decoding of real images",
            AutoencodeOptions,
            "discriminator",
            f"{_IN}.autoencode:Autoencode",
            needs_maps=True,
            over_ranks=True,
        ),
        RegularizerRow(
            "warm_start",
            "warm start from principal components",
            WarmStartOptions,
            "generator",
            f"{_IN}.warm_start:WarmStart",
            host_decides=True,
            needs_images=True,
            needs_of_latent="normal",
            over_ranks=True,
        ),
        RegularizerRow(
            "distance",
            "distances of images as of latents",
            DistanceOptions,
            "generator",
            f"{_IN}.distance:Distance",
            needs_of_latent="distances",
        ),
        RegularizerRow(
            "weight_clip",
            "weight clipping",
            WeightClipOptions,
            "discriminator",
            f"{_IN}.weight_clip:WeightClip",
            limits_weights=True,
            by_image=True,
        ),
        RegularizerRow(
            "singular_clamp",
            "singular value clamp",
            SingularClampOptions,
            "generator",
            f"{_IN}.singular_clamp:SingularClamp",
            limits_weights=True,
            by_image=True,
        ),
        RegularizerRow(
            "distance_consistency",
            "distance consistency (CDC)",
            DistanceConsistencyOptions,
            "generator",
            "smallgan.training.regularizers.distance_consistency:DistanceConsistency",
            needs_source=True,
        ),
        RegularizerRow(
            "g_contrast",
            "contrast of the generator (DCL)",
            GContrastOptions,
            "generator",
            "smallgan.training.regularizers.contrast:GContrast",
            host_decides=True,
            needs_source=True,
        ),
        RegularizerRow(
            "d_contrast",
            "contrast of the discriminator (DCL)",
            DContrastOptions,
            "discriminator",
            "smallgan.training.regularizers.contrast:DContrast",
            host_decides=True,
            needs_source=True,
        ),
    ],
)


def unfit_afresh(names: Iterable[str], model: str) -> str | None:
    """Return why a training from scratch of a model cannot have one of these regularizers; None where it can."""
    for row in (REGULARIZERS[name] for name in names):
        if row.needs_source:
            return (
                f"regularizers.{row.name}: it compares with the generator that a run starts from, and this one starts "
                "afresh; use --transfer cdc, dcl or finetune, or leave it out"
            )
        if row.needs_maps and not (model in MODELS and MODELS[model].has_maps):
            able = " or ".join(one.name for one in MODELS if one.has_maps)
            return (
                f"regularizers.{row.name}: it needs the discriminator's maps, and that of {model} gives none; "
                f"use the model {able}"
            )
    return None
