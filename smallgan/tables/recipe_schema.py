"""The sections of a recipe as pydantic models, and the defaults of each model and method. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MetricName = Literal[
    "is", "kmmd", "kmmd_u", "mmd2_rbf_multi", "mmd2_rbf_multi_u", "kid", "fid", "precision", "recall", "nn", "copies",
    "repeats", "target",
]  # fmt: skip
"""The metrics that need no more than fakes and originals; `smallgan.metrics.METRICS` says what they are."""
Side = Literal[32, 64, 128, 256, 512]


class Section(BaseModel):
    """What all sections share: no unknown key, and the sentence below a key is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)


class DataSection(Section):
    """Which images, and how they become squares."""

    source: str | None = None
    """A folder, a zip or a mixed dataset; None is the sample set that ships with smallgan."""
    size: Side = 64
    """Side of the square training images in pixels; in a transfer it is the pretrained generator's."""
    resize_mode: Literal["crop", "pad", "stretch"] = "crop"
    """How an image that is not square becomes one."""
    skip_bad: bool = False
    """Leave unreadable files out and list them, instead of stopping."""
    holdout: float | None = Field(default=None, ge=0, lt=1)
    """Share of the originals that is never trained on, and that scores compare with; None: 0 below 500, else 0.2.

    Which ones they are depends on the images alone: it is the same in every run on the same set, whatever its seed.
    """
    limit: int | None = Field(default=None, ge=2)
    """Train on this many of the originals that are not held out; a smaller number takes some of the larger one's."""


class AugmentSection(Section):
    """What is mixed into the originals before training; pixel-equal to what `smallgan augment` writes."""

    policy: str = "none"
    """A policy expression such as hflip+contrast."""
    ratio: str | None = None
    """Originals to added images as A:B; None with `count` None means 1:1."""
    count: int | None = Field(default=None, ge=0)
    """Number of added images."""
    generator: str | None = None
    """Run or checkpoint that makes the images of the kind `gan`."""

    @model_validator(mode="after")
    def _one_amount(self) -> AugmentSection:
        if self.ratio is not None and self.count is not None:
            raise ValueError("give ratio or count, not both")
        return self


BIGGAN = {
    "loss": "hinge",
    "lr_g": 1e-4,
    "lr_d": 4e-4,
    "beta1": 0.0,
    "z_dim": 120,
    "base_width": 16,
    "ema_decay": 0.9999,
}
ADAPTER = {"steps": 10_000, "batch_size": 25, "beta1": 0.9, "snapshot_every": 1000}
FINETUNE = {"steps": 2000, "batch_size": 25, "snapshot_every": 250, "ema_decay": 0.999}


class TrainSection(Section):
    """The trainer's settings. Defaults follow the model's paper where it says something; these are DCGAN's.

    For `model: biggan` they are Brock et al.'s and SAGAN's, in a transfer those of the method; see `with_defaults`.
    """

    model: Literal["dcgan", "biggan"] = "dcgan"
    """What is trained; a transfer is of a BigGAN."""
    loss: Literal["nonsaturating", "hinge"] = "nonsaturating"
    """What the two networks minimise."""
    steps: int = Field(default=5000, ge=1)
    """Optimiser steps of each network."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the originals; where they need more than `steps`, these and what is counted in steps grow with them.

    Read by `smallgan run` alone, which writes the steps it comes to into the recipe of each run.
    """
    batch_size: int = Field(default=64, ge=2)
    """Images a step; batch norm needs at least two."""
    lr_g: float = Field(default=2e-4, gt=0)
    """Adam's learning rate of the generator."""
    lr_d: float = Field(default=2e-4, gt=0)
    """Adam's learning rate of the discriminator."""
    beta1: float = Field(default=0.5, ge=0, lt=1)
    """Adam's decay of the mean gradient."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient."""
    z_dim: int = Field(default=100, ge=1)
    """Length of z; BigGAN rounds it down to whole chunks."""
    base_width: int = Field(default=64, ge=8, multiple_of=8)
    """DCGAN: channels at the highest resolution; they double with each halving of the side. BigGAN: ch, its unit."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay a step of the averaged generator that samples and scores come from."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 runs convolutions in bfloat16 (autocast); weights and optimiser stay float32."""
    report_every: int = Field(default=50, ge=1)
    """Steps between two lines of stats.jsonl."""
    snapshot_every: int = Field(default=500, ge=1)
    """Steps between two snapshots: checkpoint, grid, scores."""


class BigGANSection(Section):
    """What only a BigGAN trained from scratch or fine-tuned reads."""

    conditional: bool = True
    """Learn the classes that the source's sub-folders name; one class where it has none, or when false."""
    class_balanced: bool = True
    """Draw each batch's classes evenly, then an image of each, instead of walking all images."""
    shared_dim: int = Field(default=128, ge=1)
    """Length of the shared class vector."""
    attention: int = Field(default=0, ge=0)
    """Side of the maps that self-attention follows; 0: none. The paper's 128 px model has it at 64."""
    d_width: int | None = Field(default=None, ge=8, multiple_of=8)
    """Unit of width of the discriminator; None: as the generator's."""
    init: Literal["orthogonal", "N02"] = "orthogonal"
    """How weights start: orthogonal, or drawn with a standard deviation of 0.02."""
    d_steps: int = Field(default=1, ge=1)
    """Discriminator steps a generator step."""
    orthogonal: float = Field(default=1e-4, ge=0)
    """beta of beta |W'W * (1 - I)|^2 over the generator's weights; 0: none."""
    diffaugment: str = "none"
    """Augmentations of reals and fakes in the discriminator, of color, translation, cutout, joined by commas."""
    mirror: bool = True
    """Mirror half of the real images of each batch."""
    ema_start: int = Field(default=0, ge=0)
    """Step from which the generator is averaged; before it the average is a copy."""


class TransferSection(Section):
    """How a pretrained generator is adapted."""

    method: Literal["bsa", "apgc", "finetune"] | None = None
    """None: from scratch."""
    pretrained: str | None = None
    """A checkpoint, a folder or a run; None is the generator that ships with smallgan."""
    group_size: int = Field(default=16, ge=0)
    """APGC: channels a group; 0: ungrouped."""
    init: Literal["pretrained", "identity"] = "pretrained"
    """APGC: start as the pretrained generator, or as the published code does, at the identity plus noise."""
    class_vector: str = Field(default="mean", coerce_numbers_to_str=True)
    """Start of the class vector: mean of all classes, a class index, or a weighted set such as 3:0.5+17:0.5."""
    codes: Literal["zero", "normal"] = "zero"
    """Start of the code of each training image."""
    code_noise: float = Field(default=0.01, ge=0)
    """Standard deviation of the noise on a code, drawn anew in each step."""
    lr_codes: float = Field(default=0.05, ge=0)
    """Rate of the codes of the training images."""
    lr_class: float = Field(default=0.001, ge=0)
    """Rate of the class vector."""
    lr_adapter: float = Field(default=0.0005, ge=0)
    """Rate of the adapter's layers and of scale and bias after the first layer."""
    lr_first: float = Field(default=1e-7, ge=0)
    """Rate of the first layer's weight; 0: frozen."""
    lr_decay: float = Field(default=0.1, gt=0, le=1)
    """What all rates are multiplied by every `lr_decay_every` steps."""
    lr_decay_every: int = Field(default=3000, ge=1)
    """Optimiser steps after which all rates are multiplied by `lr_decay`."""
    variant: Literal["normalized", "raw"] = "normalized"
    """Loss: the PyTorch port's (squared perceptual terms, each divided by its own value), or the original's (L1)."""
    perceptual: str = "auto"
    """vgg16, squeezenet1_1, shipped or none; auto: the first of the three whose weights are on this machine."""
    perceptual_weight: float | None = Field(default=None, ge=0)
    """None: 0.1 (normalized) or 0.001 (raw)."""
    latent_weight: float = Field(default=0.1, ge=0)
    """Weight of the distance between the codes and normal noise."""
    class_weight: float = Field(default=0.02, ge=0)
    """Weight of the mean square of the class vector."""


class ScoreSection(Section):
    """The scores at each snapshot: the very ones that `smallgan score RUN` gives afterwards with its defaults."""

    metrics: tuple[MetricName, ...] = ("is", "kmmd")
    """Empty: no scores while training; the best checkpoint is chosen by KMMD alone."""
    features: str | None = None
    """Feature network; None is the published Inception where its weights are in the cache, else the shipped network."""
    num_fake: int | None = Field(default=None, ge=2)
    """Samples scored; None is as many as there are originals, within 100 to 1,000."""
    splits: int | None = Field(default=None, ge=1)
    """Parts of the Inception Score; None is ten from 1,000 images on, else one."""


class SampleSection(Section):
    """What is drawn from each run of a study once it is trained, into its folder samples/."""

    count: int = Field(default=36, ge=0)
    """Images k = 0 .. count - 1 of the run's seed; 0: none."""
    interpolate: int = Field(default=4, ge=0)
    """Latents that a strip and a GIF walk through; 0 or 1: none."""
    truncation: float | None = Field(default=None, gt=0)
    """Draw again what lies further from 0 than this; None: no truncation."""
    checkpoint: Literal["last", "best"] = "last"
    """Which checkpoint of the run; best: lowest KMMD of the snapshots."""


class ReportSection(Section):
    """The page of a study."""

    page: bool = True
    """Write report.html once every trial is done; false: `smallgan report` writes it when you ask."""


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's values with the defaults of its model and method where it leaves a key of `train` out."""
    train, transfer = values.get("train", {}), values.get("transfer", {})
    if not isinstance(train, Mapping) or not isinstance(transfer, Mapping):
        return dict(values)
    method = transfer.get("method")
    filled: dict[str, Any] = {}
    if method or train.get("model") == "biggan":
        filled |= {"model": "biggan", **BIGGAN}
    filled |= {"bsa": ADAPTER, "apgc": ADAPTER, "finetune": FINETUNE}.get(str(method), {})
    return {**values, "train": {**filled, **train}}
