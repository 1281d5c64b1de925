"""The table of training methods: from scratch or by transfer, their options, and what they log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from augment.core.suggest import instead
from augment.core.table import Table
from smallgan.tables.adda_options import ADDAOptions
from smallgan.tables.freezes import NONE, FreezeName
from smallgan.tables.method_terms import ADAPTER_TERMS, ADDA_TERMS, ADVERSARIAL_TERMS, IMLE_TERMS, TWIN_TERMS, Term
from smallgan.tables.options import OF_IMAGES, READ_WITH, REPLACED_BY, STEPS, Options

CLASSES: dict[str, Any] = {"needs_classes": True}  # Marks a key that only class-conditional models read
BOUNDARY: dict[str, Any] = {"needs_boundary": True}  # Marks a key that needs a loss with a boundary (`LossRow`)
LEARNED: dict[str, Any] = {READ_WITH: "latents=learned"}  # Marks a key of learned codes
MATCHED: dict[str, Any] = {READ_WITH: "latents=imle"}  # Marks a key of matching, which a transfer may do or not
Fill = Literal["zero", "reflect"]
DIFFAUGMENT = ("color", "translation", "cutout")  # Operations of `smallgan.training.diffaugment`


def parse_diffaugment(text: str) -> tuple[str, ...]:
    """Return ("translation", "cutout") for "translation,cutout", () for "none". Raises ValueError."""
    names = tuple(part.strip() for part in text.split(",") if part.strip() not in ("", "none"))
    for name in names:
        if name not in DIFFAUGMENT:
            raise ValueError(f"unknown operation {name!r}{instead(name, [*DIFFAUGMENT, 'none'])}")
    return names


class AdversarialOptions(Options):
    """A generator against a discriminator, from scratch."""

    name: Literal["adversarial"] = "adversarial"
    lr_g: float = Field(default=2e-4, gt=0)
    """Adam's learning rate of the generator."""
    lr_d: float = Field(default=2e-4, gt=0)
    """Adam's learning rate of the discriminator."""
    beta1: float = Field(default=0.5, ge=0, lt=1)
    """Adam's decay of the mean gradient."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient."""
    lr_decay_from: float | None = Field(default=None, ge=0, lt=1)
    """Share of train.steps from which both learning rates fall linearly, to 0 at the end; None: they are constant."""
    d_steps: int = Field(default=1, ge=1)
    """Discriminator steps per generator step."""
    pack: int = Field(default=1, ge=1)
    """Images that the discriminator judges at once, all real or all fake (PacGAN); 1: each by itself."""
    unroll: int | None = Field(default=None, ge=0)
    """Discriminator steps that the generator's loss looks ahead (Metz et al. 2017); None and 0: none."""
    unroll_through: bool = Field(default=True, json_schema_extra={READ_WITH: "unroll"})
    """Let the generator's gradient pass through these steps, as published; false: less time and memory."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1, json_schema_extra={REPLACED_BY: "ema_kimg"})
    """Decay per step of the averaged generator that samples and scores come from."""
    ema_kimg: float | None = Field(default=None, gt=0)
    """The same as a half-life in thousands of images, instead of `ema_decay`; None: `ema_decay` holds."""
    ema_start: int = Field(default=0, ge=0, json_schema_extra=STEPS)
    """Step from which the generator is averaged; before it the average is a copy."""
    freeze_g_at: int | None = Field(default=None, ge=0, json_schema_extra=STEPS)
    """Step from which the generator is not trained any more; every step logs its gradient under two losses."""
    diffaugment: str = Field(default="none", json_schema_extra=OF_IMAGES)
    """Augmentations of reals and fakes in the discriminator: some of color, translation, cutout, joined by commas."""
    diffaugment_probability: float = Field(
        default=1.0, ge=0, le=1, json_schema_extra={READ_WITH: "diffaugment", REPLACED_BY: "ada_target"}
    )
    """Probability of each image to be augmented, by all of `diffaugment` at once."""
    diffaugment_fill: Fill = Field(default="zero", json_schema_extra={READ_WITH: "diffaugment"})
    """What a translation leaves behind: zeros, which are gray, or the image mirrored at its edge."""
    ada_target: float | None = Field(
        default=None, gt=-1, lt=1, json_schema_extra={READ_WITH: "diffaugment", **BOUNDARY}
    )
    """ADA: the probability of `diffaugment` keeps the mean sign of the scores of reals here; 0.6 in the paper."""
    ada_cap: float = Field(default=0.8, gt=0, le=1, json_schema_extra={READ_WITH: "ada_target"})
    """Highest probability that ADA goes to."""
    apa_target: float | None = Field(default=None, gt=-1, lt=1, json_schema_extra=BOUNDARY)
    """APA: fakes take the place of reals with a probability controlled in the same way; 0.6 in the paper."""
    apa_cap: float = Field(default=0.8, gt=0, le=1, json_schema_extra={READ_WITH: "apa_target"})
    """Highest probability that APA goes to."""
    mirror: bool = Field(default=False, json_schema_extra=OF_IMAGES)
    """Mirror half of the real images of each batch."""
    conditional: bool = Field(default=True, json_schema_extra=CLASSES)
    """Learn the classes that the sub-folders name; one class where there are none, or when false."""
    class_balanced: bool = Field(default=True, json_schema_extra=CLASSES)
    """Draw each batch's classes evenly, then an image of each, instead of walking all images."""

    @field_validator("diffaugment")
    @classmethod
    def _operations_exist(cls, text: str) -> str:
        parse_diffaugment(text)
        return text


class TransferOptions(Options):
    """What all transfers share."""

    pretrained: str | None = None
    """A checkpoint, a folder or a run; None is the generator that ships with smallgan."""
    class_vector: str = Field(
        default="mean", coerce_numbers_to_str=True, json_schema_extra={REPLACED_BY: "class_search"}
    )
    """Start of the class vector: mean of all classes, a class by name or number (#3 where names are numbers too), or a
    weighted set: 3:0.5+bee:0.5."""
    class_search: int | None = Field(default=None, ge=1)
    """Start at the mean of so many classes that are nearest to your images; the run's recipe has their numbers."""


class FinetuneOptions(AdversarialOptions, TransferOptions):
    """The weights of a pretrained generator, trained on against a discriminator."""

    name: Literal["finetune"] = "finetune"  # type: ignore[assignment]
    lr_g: float = Field(default=1e-4, gt=0)
    lr_d: float = Field(default=4e-4, gt=0)
    beta1: float = Field(default=0.0, ge=0, lt=1)
    mirror: bool = True
    freeze: Annotated[str, FreezeName()] = NONE
    """What is not trained: none, d-lower (FreezeD), g-lower, or scale-shift, which trains scales and shifts alone."""
    freeze_layers: int | None = Field(default=None, ge=1, json_schema_extra={READ_WITH: "freeze"})
    """Layers that d-lower and g-lower freeze; None: half of them, rounded down."""


class CDCOptions(FinetuneOptions):
    """Cross-domain correspondence (Ojha et al. 2021): images of the run differ from each other as the source's do."""

    name: Literal["cdc"] = "cdc"  # type: ignore[assignment]
    anchor_every: int = Field(default=4, ge=0)
    """Steps from one with latents near anchors, whose images are judged whole, to the next; in the others latents are
    free and patches are judged. 1: always anchors; 0: never, and images are always judged whole."""
    anchors: int | None = Field(default=None, ge=1)
    """Latents of the anchors, drawn once; None: as many as there are training images."""
    anchor_noise: float = Field(default=0.1, ge=0)
    """Standard deviation of the noise on an anchor."""


class DCLOptions(CDCOptions):
    """Dual contrastive learning (Zhao et al. 2022): each image stays nearest to the source's image of its latent."""

    name: Literal["dcl"] = "dcl"  # type: ignore[assignment]


class MatchingOptions(Options):
    """How latents of the prior are matched to the training images, in IMLE and in a transfer with `latents: imle`."""

    pool: int = Field(default=10, ge=2, json_schema_extra=MATCHED)
    """Most fresh latents of a round for each training image; a round of K steps draws no more than their K batches have
    images, and at least two for each training image."""
    assignment: Literal["greedy", "hungarian"] = Field(default="hungarian", json_schema_extra=MATCHED)
    """greedy: one image after another, in random order, takes its nearest free sample; hungarian: the least sum of
    distances, for sets of up to a few thousand images."""
    eps: float = Field(default=0.5, ge=0, json_schema_extra=MATCHED)
    """Samples this near to an image are not matched (RS-IMLE), in median distances between nearest training images."""
    keep: float | None = Field(default=0.3, ge=0, le=1, json_schema_extra=MATCHED)
    """Noise on each image's last latent, which stands in the next pool too; 1: a fresh one. None: fresh ones alone."""
    round_steps: int | None = Field(default=None, ge=1, json_schema_extra=MATCHED)
    """Steps of the first round; each next one is twice as long. None: one pass over the images, and at least 20."""
    round_most: int = Field(default=200, ge=1, json_schema_extra=MATCHED)
    """Steps of the longest round."""
    latent_noise: float = Field(default=0.05, ge=0, le=1, json_schema_extra=MATCHED)
    """Noise on matched latents, drawn anew in each step; the share of a latent's variance is its square."""


class BSAOptions(TransferOptions, MatchingOptions):
    """Batch statistics adaptation (Noguchi and Harada 2019): scale and bias of a frozen generator."""

    name: Literal["bsa"] = "bsa"
    latents: Literal["learned", "imle"] = "learned"
    """What a training image is made from: a code of its own that is learned, as published, or a latent of the prior,
    matched to it anew in each round."""
    code_init: Literal["zero", "normal"] = Field(default="zero", json_schema_extra=LEARNED)
    """Start of the latent code of each training image."""
    code_noise: float = Field(default=0.01, ge=0, json_schema_extra=LEARNED)
    """Standard deviation of the noise on a code, drawn anew in each step."""
    lr_codes: float = Field(default=0.05, ge=0, json_schema_extra=LEARNED)
    """Learning rate of the codes of the training images."""
    lr_class: float = Field(default=0.001, ge=0)
    """Learning rate of the class vector."""
    lr_adapter: float = Field(default=0.0005, ge=0)
    """Learning rate of the adapter's layers and of scale and bias after the first layer."""
    lr_first: float = Field(default=1e-7, ge=0)
    """Learning rate of the first layer's weight; 0: frozen."""
    lr_decay: float = Field(default=0.1, gt=0, le=1)
    """Factor of all learning rates every `lr_decay_every` steps."""
    lr_decay_every: int = Field(default=3000, ge=1, json_schema_extra=STEPS)
    """Steps after which all learning rates are multiplied by `lr_decay`."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's decay of the mean gradient."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient."""
    variant: Literal["normalized", "raw"] = "normalized"
    """Loss: the PyTorch port's (squared perceptual terms, each divided by its own value), or the original's (L1)."""
    perceptual: str = "auto"
    """vgg16, squeezenet1_1, shipped or none; auto: the first of the three whose weights are on this machine."""
    perceptual_weight: float | None = Field(default=None, ge=0)
    """None: 0.1 (normalized) or 0.001 (raw)."""
    latent_weight: float = Field(default=0.1, ge=0, json_schema_extra=LEARNED)
    """Weight of the distance between the codes and normal noise."""
    class_weight: float = Field(default=0.02, ge=0)
    """Weight of the mean square of the class vector."""
    recompute: bool = False
    """Make the maps inside a block anew for the gradients (gradient checkpointing): less memory, more time."""
    around_codes: float | None = Field(default=0.6, ge=0, json_schema_extra=LEARNED)
    """How samples are drawn: around learned codes, so many of their standard deviations away; None: from N(0, I)."""


class APGCOptions(BSAOptions):
    """Adaptive point-wise grouped convolutions (Takeda and Yanai 2021) on a frozen generator."""

    name: Literal["apgc"] = "apgc"  # type: ignore[assignment]
    group_size: int = Field(default=16, ge=0)
    """Channels per group; 0: ungrouped."""
    init: Literal["pretrained", "identity"] = "pretrained"
    """Start as the pretrained generator, or as the published code does, at the identity plus noise."""


class IMLEOptions(MatchingOptions):
    """Implicit maximum likelihood (Li and Malik 2018; Vashist et al. 2024), without a discriminator. An experiment."""

    name: Literal["imle"] = "imle"
    lr: float = Field(default=1e-3, gt=0)
    """Adam's learning rate in the first step; it falls by a cosine over `train.steps`."""
    lr_last: float = Field(default=1e-4, ge=0)
    """Learning rate after the last step."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's decay of the mean gradient."""
    beta2: float = Field(default=0.99, ge=0, lt=1)
    """Adam's decay of the mean squared gradient."""
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    """Decay per step of the averaged generator that samples and scores come from."""
    pca_steps: int = Field(default=400, ge=0, json_schema_extra=STEPS)
    """Steps before the first round, in which an image's latent is its first principal components."""
    pca_noise: float = Field(default=0.3, ge=0, le=1)
    """Noise on these latents, drawn anew in each step; the share of a latent's variance is its square."""
    pyramid_weight: float = Field(default=0.5, ge=0)
    """Weight of the absolute difference of Laplacian pyramids beside that of pixels."""
    perceptual: str = "auto"
    """vgg16, squeezenet1_1, shipped or none; auto: the first of the three whose weights are on this machine."""
    perceptual_weight: float = Field(default=1.0, ge=0)
    """Weight of the mean over the perceptual layers beside that of pixels; 0 takes no network, in matching neither."""
    mirror: bool = False
    """Match each training image or its mirror image, whichever is nearer."""
    conditional: bool = Field(default=True, json_schema_extra=CLASSES)
    """Learn the classes that the sub-folders name; one class where there are none, or when false."""


@dataclass(frozen=True)
class MethodRow:
    """A way to train."""

    name: str
    title: str
    options: type[Options]
    prepare: str
    """(recipe, data, device, pretrained source or None, log) -> (Trainer, ImageBatches)"""
    terms: tuple[Term, ...]
    rates: tuple[str, ...]
    """Keys of its learning rates, for the message of a diverged run."""
    sections: tuple[str, ...] = ()
    """Sections of a recipe that this method reads and others may not: model, loss, regularizers.

    A method that reads no loss trains no discriminator.
    """
    is_transfer: bool = False
    """Whether it starts from a pretrained generator, which also decides the size of the images."""
    load: str | None = None
    """(state of a checkpoint) -> generator, where it is not the model's own."""
    scales_loss: bool = False
    """Whether its step scales its losses (`smallgan.training.loss_scale`), as the precision fp16 needs."""
    trains_points: bool = False
    """Whether it can learn points in the plane, not images alone."""
    makes_images: bool = True
    """Whether it trains a generator. One that does not trains a classifier (see `Trainer.confusion` of the loop).

    Its snapshots hold accuracy and confusion matrices in the place of samples; it reads neither score nor sample.
    """
    over_ranks: bool = False
    """Whether its step is the same on several GPUs as in one process (`smallgan.core.distributed`)."""
    adapter: str | None = None
    """(options, pretrained generator, draws, device, training) -> AdaptedGenerator, of a method that fits one."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Dotted recipe keys and their defaults for this method, where they differ from the sections' own.

    One that the chosen model does not have is passed over.
    """

    @property
    def common_rates(self) -> tuple[str, ...]:
        """Keys of learning rates that one number may set; () for an adapter, whose rates differ in size."""
        return () if self.adapter else self.rates


_ADVERSARIAL_RATES = ("method.lr_d", "method.lr_g")
_FINETUNE: dict[str, Any] = {
    "prepare": "smallgan.training.finetune:prepare",
    "rates": _ADVERSARIAL_RATES,
    "sections": ("loss", "regularizers"),
    "scales_loss": True,
    "is_transfer": True,
}
_FINETUNE_DEFAULTS: dict[str, Any] = {
    **{"train.steps": 2000, "train.batch_size": 25, "train.snapshot_every": 250},
    **{"loss.name": "hinge", "regularizers.orthogonal": {}},
}
_ADAPTER: dict[str, Any] = {
    "prepare": "smallgan.training.transfer:prepare",
    "terms": ADAPTER_TERMS,
    "rates": ("method.lr_codes", "method.lr_adapter"),
    "is_transfer": True,
    "over_ranks": True,
    "load": "smallgan.sampling.pretrained:load_adapted",
    "defaults": {
        **{"train.steps": 10_000, "train.batch_size": 25, "train.snapshot_every": 1000},
        **{"method.pool": 20, "method.keep": None, "method.round_most": 20},
    },
}

METHODS: Table[MethodRow] = Table(
    "method",
    [
        MethodRow(
            "adversarial",
            "adversarial training",
            AdversarialOptions,
            "smallgan.training.adversarial:prepare",
            ADVERSARIAL_TERMS,
            _ADVERSARIAL_RATES,
            sections=("model", "latent", "loss", "regularizers"),
            scales_loss=True,
            trains_points=True,
            over_ranks=True,
        ),
        MethodRow(
            "adda",
            "ADDA",
            ADDAOptions,
            "smallgan.training.adda:prepare",
            ADDA_TERMS,
            ("method.lr_source", "method.lr_d", "method.lr_target"),
            makes_images=False,
            defaults={
                **{"data.size": 28, "train.steps": 20_000, "train.batch_size": 128},
                **{"train.report_every": 200, "train.snapshot_every": 1000},
            },
        ),
        MethodRow("apgc", "APGC", APGCOptions, adapter="smallgan.models.adapters:build_apgc", **_ADAPTER),
        MethodRow("bsa", "BSA", BSAOptions, adapter="smallgan.models.adapters:build_bsa", **_ADAPTER),
        MethodRow(
            "cdc",
            "CDC",
            CDCOptions,
            terms=ADVERSARIAL_TERMS + TWIN_TERMS[:1],
            defaults={**_FINETUNE_DEFAULTS, "regularizers.distance_consistency": {}},
            **_FINETUNE,
        ),
        MethodRow(
            "dcl",
            "DCL",
            DCLOptions,
            terms=ADVERSARIAL_TERMS + TWIN_TERMS[1:],
            defaults={**_FINETUNE_DEFAULTS, "regularizers.g_contrast": {}, "regularizers.d_contrast": {}},
            **_FINETUNE,
        ),
        MethodRow(
            "finetune",
            "fine-tuning",
            FinetuneOptions,
            terms=ADVERSARIAL_TERMS,
            over_ranks=True,
            defaults=_FINETUNE_DEFAULTS,
            **_FINETUNE,
        ),
        MethodRow(
            "imle",
            "IMLE (an experiment)",
            IMLEOptions,
            "smallgan.training.imle:prepare",
            IMLE_TERMS,
            ("method.lr",),
            sections=("model",),
            scales_loss=True,
            over_ranks=True,
            defaults={"model.z_dim": 16, "model.g_norm": "layer", "train.batch_size": 32},
        ),
    ],
)
