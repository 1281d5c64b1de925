"""The recipe: its sections as pydantic models. Torch-free.

`model`, `method`, `loss` and each of `regularizers` hold the options of the row that they name; the rows are in the
tables beside this file. What a recipe leaves out is filled in from the rows it chose (`with_defaults`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ModelWrapValidatorHandler, create_model, field_validator, model_validator
from pydantic_core import core_schema

from augment.core.table import Table
from smallgan.tables.combinations import refusals
from smallgan.tables.data_sources import DataSource, find_source
from smallgan.tables.downstream_schema import DownstreamSection
from smallgan.tables.latents import LATENTS, LatentOptions
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import METHODS, AdversarialOptions, MethodRow
from smallgan.tables.metric_name import MetricName
from smallgan.tables.metrics import METRICS
from smallgan.tables.models import MODELS
from smallgan.tables.options import OF_IMAGES, STEPS, Choice, Options, Section, marked
from smallgan.tables.regularizers import REGULARIZERS, LimitOptions, RegularizerOptions, RegularizerRow, unfit_afresh

Side = Literal[1, 28, 32, 64, 128, 256, 512]
DEFAULT_METHOD = "adversarial"
DEFAULT_NAMES = {"model": "dcgan", "latent": "normal", "loss": "nonsaturating"}
"""Rows that a recipe chooses where its method reads the section, and it and its data source say nothing."""


class DataSection(Section):
    """Which images, and how they become squares."""

    source: str | None = None
    """A folder, a zip or a mixed dataset, or a set that is drawn (docs/classics.md); None is the sample set that ships
    with smallgan."""
    size: Side = 64
    """Side of the square training images in pixels; in a transfer it is the pretrained generator's. 1: points."""
    resize_mode: Literal["crop", "pad", "stretch"] = Field(default="crop", json_schema_extra=OF_IMAGES)
    """How an image that is not square becomes one."""
    skip_bad: bool = Field(default=False, json_schema_extra=OF_IMAGES)
    """Leave unreadable files out and list them, instead of stopping."""
    holdout: float | None = Field(default=None, ge=0, lt=1, json_schema_extra=OF_IMAGES)
    """Share of the originals that is never trained on, and that scores compare with.

    None: 0 in `train`; in a study 0.2 and at least 25 images from 125 originals on, else 0.

    Which ones they are depends on the images alone: it is the same in every run on the same set, whatever its seed.
    """
    selection: bool | None = Field(default=None, json_schema_extra=OF_IMAGES)
    """Of 100 held-out originals or more, let half select the best checkpoint; scores compare with the other half.

    None: on in `train`; in a study on where `sample.checkpoint` is best. Off: nothing selects a checkpoint.
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
    """Run or checkpoint that makes the images of the transform `gan`."""

    @model_validator(mode="after")
    def _one_amount(self) -> AugmentSection:
        if self.ratio is not None and self.count is not None:
            raise ValueError("give ratio or count, not both")
        return self


class TrainSection(Section):
    """The training loop; what a step does is the method's."""

    steps: int = Field(default=5000, ge=1)
    """Optimiser steps of the generator."""
    epochs: float | None = Field(default=None, gt=0, le=1e6)
    """Passes over the originals, instead of `steps`; where both are given, whichever is longer.

    What is counted in steps grows or shrinks as they do; without `steps` only where it is not given. The recipe of a
    run has the steps that it came to.
    """
    init: str | None = None
    """A run of the same model, size and classes to take weights from, or smallgan-dcgan64-v1. None: fresh weights."""
    batch_size: int = Field(default=64, ge=2)
    """Images per step; batch norm needs at least two."""
    precision: Literal["fp32", "tf32", "bf16", "fp16"] | None = None
    """fp32; tf32: products and convolutions round their inputs to TF32; bf16: they run in bfloat16 (autocast); fp16: in
    float16, for GPUs without bfloat16 (before Ampere), with a scaled loss.

    Weights and optimiser stay float32. None: tf32 on a GPU that has it, else fp32.
    """
    micro_batch: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    """Images that go through the networks at a time, where a batch does not fit in memory; their gradients are summed,
    so weights move as by the whole batch. auto: the batch, or the largest half, quarter ... of it that fits. Refused
    where an image depends on its batch, as behind batch norm. None: the batch."""
    compile: Literal["default", "reduce-overhead", "cuda-graph"] | None = None
    """Compile the networks of a step by torch.compile in this mode; reduce-overhead also replays them as CUDA graphs.
    The first steps take minutes, and results differ in their last bits. cuda-graph: compile nothing, but record whole
    steps as CUDA graphs and replay them; for adversarial methods. Neither has been timed on a GPU. None: neither."""
    report_every: int = Field(default=50, ge=1, json_schema_extra=STEPS)
    """Steps between two lines of stats.jsonl."""
    snapshot_every: int = Field(default=500, ge=1, json_schema_extra=STEPS)
    """Steps between two snapshots: checkpoint, grid, scores."""


class ScoreSection(Section):
    """The scores at each snapshot: the very numbers that `smallgan score RUN` gives afterwards of the same metrics."""

    metrics: tuple[Annotated[str, MetricName()], ...] = ("is", "kmmd")
    """Empty: neither scores nor readings while training. The best checkpoint is chosen by KMMD, named here or not."""
    features: str | tuple[str, ...] | None = None
    """Feature network, several of them, or panel: see docs/features.md; the first that may selects the best checkpoint.

    None is the published Inception where its weights are in the cache, else the shipped network.
    """
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
    """Truncation threshold: resample components with abs(z) > T; None: no truncation."""
    checkpoint: Literal["last", "best"] = "last"
    """Which checkpoint of the run; best: lowest KMMD to the images that select (`data.selection`), else the last."""


class ReportSection(Section):
    """The page of a study."""

    page: bool = True
    """Write report.html once every trial is done; false: `smallgan report` writes it when you ask."""


class Regularizers(Section):
    """Regularizers by name, each with its options: {r1: {weight: 1.0}}. A null takes a default of the model away."""

    def chosen(self) -> dict[str, RegularizerOptions | LimitOptions]:
        """Return those that do anything by name, in the order of the table."""
        named = {row.name: getattr(self, row.name) for row in REGULARIZERS}
        return {name: options for name, options in named.items() if options is not None and options.is_on}

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank_regularizers, (), self.__getstate__()  # a class made from the table cannot be pickled by name


class _OfTheTable:
    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, Regularizers) else _regularizers(tuple(REGULARIZERS))(value),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value, info: value.model_dump(mode=info.mode, exclude_unset=info.exclude_unset), info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(self, _schema: Any, handler: Any) -> Any:
        made: Any = _regularizers(tuple(REGULARIZERS)).__self__  # type: ignore[attr-defined]
        return handler(made.__pydantic_core_schema__)


@lru_cache
def _regularizers(rows: tuple[RegularizerRow, ...]) -> Callable[[Any], Regularizers]:
    fields: dict[str, Any] = {row.name: (row.options | None, Field(None, description=row.title)) for row in rows}
    made = create_model("Regularizers", __base__=Regularizers, **fields)
    return made.model_validate


def _blank_regularizers() -> Regularizers:
    made: type[Regularizers] = _regularizers(tuple(REGULARIZERS)).__self__  # type: ignore[attr-defined]
    return made.__new__(made)


class Recipe(Section):
    """All that decides what a run, or a study of several, computes."""

    name: str = Field(default="train", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Its run or study folder is called after it."""
    data: DataSection = DataSection()
    augment: AugmentSection = AugmentSection()
    model: Annotated[Options | None, Choice(MODELS)] = None
    """What is trained, with its options; not in a transfer, whose pretrained generator decides it."""
    method: Annotated[Options, Choice(METHODS)] = AdversarialOptions()
    """How it is trained, with the method's options."""
    latent: Annotated[LatentOptions | None, Choice(LATENTS)] = None
    """What latents are drawn from."""
    loss: Annotated[Options | None, Choice(LOSSES)] = None
    """What generator and discriminator minimise."""
    regularizers: Annotated[Regularizers, _OfTheTable()] = Field(default_factory=dict, validate_default=True)
    """Terms that are added to the losses, and limits to the weights."""
    train: TrainSection = TrainSection()
    sample: SampleSection = SampleSection()
    score: ScoreSection = ScoreSection()
    downstream: DownstreamSection | None = None
    """Classifiers instead of scores: which variant helps one, on real test images."""
    report: ReportSection = ReportSection()
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Every variant is run under each of these seeds; `smallgan train` uses the first."""
    budget: Literal["steps", "epochs"] = "steps"
    """What all variants of a grid share: images seen and checkpoints, or passes over their own set, as published."""
    grid: dict[str, list[Any]] | list[dict[str, Any]] | None = None
    """Lists of values by dotted key, whose product is run, or a list of variants: a name and the keys it changes."""

    @model_validator(mode="wrap")
    @classmethod
    def _defaults(cls, values: Any, handler: ModelWrapValidatorHandler[Recipe]) -> Recipe:
        """Fill in the defaults of the rows that the recipe chooses, where it leaves a key out.

        What was filled in does not count as set: a variant of a grid may choose another row, and gets its defaults.
        """
        if not isinstance(values, Mapping):
            return handler(values)
        recipe = handler(with_defaults(values))
        _count_as_set(recipe, values)
        return recipe

    @model_validator(mode="after")
    def _is_possible(self) -> Recipe:
        self._refuse_what_points_lack()
        if self.model and self.data.size not in MODELS[self.model.name].sizes:
            raise ValueError(f"data.size: {size_mistake(self.model.name, self.data.size)}")
        if self.loss and LOSSES[self.loss.name].boundary is None:
            bounded = [row.name for row in LOSSES if row.boundary is not None]
            for key in self._keys_that_need_a_boundary():
                raise ValueError(
                    f"{key}: it needs the discriminator's score of each image by itself, and the loss {self.loss.name} "
                    f"gives only differences; use the loss {', '.join(bounded[:-1])} or {bounded[-1]}, or leave it out"
                )
        prior = LATENTS[self.latent.name if self.latent else DEFAULT_NAMES["latent"]]
        for key in self.regularizers.chosen():
            needed = REGULARIZERS[key].needs_of_latent
            if needed and needed not in prior.has:
                able = " or ".join(row.name for row in LATENTS if needed in row.has)
                raise ValueError(
                    f"regularizers.{key}: it needs latents of the prior {able}, and this recipe draws them from "
                    f"{prior.name}; use latent.name {able}, or leave it out"
                )
        if self.train.precision == "fp16" and not self.method_row.scales_loss:
            able = ", ".join(row.name for row in METHODS if row.scales_loss)
            raise ValueError(
                f"train.precision: fp16 needs a loss that is scaled, and {self.method.name} scales none (these do: "
                f"{able}); use bf16, or fp32 on a GPU without it"
            )
        # What a transfer's regularizers need is decided by its source, which says so when it is opened
        unfit = None if self.method_row.is_transfer else unfit_afresh(self.regularizers.chosen(), self.model_name)
        if unfit is not None:
            raise ValueError(unfit)
        about = self.train.batch_size, self.train.precision, self.method_row.is_transfer
        for reason in refusals(self.method, self.regularizers.chosen(), *about):
            raise ValueError(reason)
        return self

    def _refuse_what_points_lack(self) -> None:
        source = self.made_source
        if source is None or not source.is_points:
            if self.data.size == 1:
                raise ValueError("data.size: 1 is for points in the plane (data.source ring, say), not for images")
            return
        what = f"{source.name} is a set of points"
        if self.data.size != 1:
            raise ValueError(f"data.size: {what}, whose size is 1, found {self.data.size}; leave it out")
        if self.model and 1 not in MODELS[self.model.name].sizes:
            able = " or ".join(row.name for row in MODELS if 1 in row.sizes)
            raise ValueError(f"model.name: {what}, and {self.model.name} makes images; use {able}")
        if not self.method_row.trains_points:
            able = " or ".join(row.name for row in METHODS if row.trains_points)
            raise ValueError(f"method: {what}, and {self.method.name} trains on images; use {able}")
        if self.downstream:
            raise ValueError(f"downstream: {what}, and classifiers are trained on images; leave it out")
        for name in (name for name in self.score.metrics if METRICS[name].of_pixels):
            raise ValueError(f"score.metrics: {what}, and {name} looks at pixels; leave it out")

    def _keys_that_need_a_boundary(self) -> list[str]:
        options = marked(type(self.method), "needs_boundary")
        keys = [f"method.{key}" for key in options if getattr(self.method, key) is not None]
        return keys + [f"regularizers.{key}" for key in self.regularizers.chosen() if REGULARIZERS[key].needs_boundary]

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{list(seeds)} names one twice, which would be the same run twice")
        return seeds

    @property
    def seed(self) -> int:
        """Seed of a single run."""
        return self.seeds[0]

    @property
    def made_source(self) -> DataSource | None:
        """Row of its data source where that is a set that is drawn; None for a path."""
        return find_source(self.data.source)

    @property
    def method_row(self) -> MethodRow:
        """Row of its method."""
        return METHODS[self.method.name]

    @property
    def model_name(self) -> str:
        """Name of the model, or in a transfer of the method."""
        return self.model.name if self.model else self.method.name

    @property
    def is_study(self) -> bool:
        """Whether it asks for what `smallgan run` alone does."""
        return self.grid is not None or self.downstream is not None


def size_mistake(model: str, size: Any) -> str:
    """Return what is wrong with a size that a model does not make."""
    return f"the model {model} makes {', '.join(map(str, MODELS[model].sizes))} px, found {size}"


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's values with the defaults of source, method, model and loss where it leaves their keys out."""
    method = chosen(values, "method", DEFAULT_METHOD)
    if method not in METHODS:
        return dict(values)
    sections = METHODS[method].sections
    names = {"method": method}
    names |= {name: row for name, row in default_names(values).items() if name in sections}
    filled = dict(values)
    defaults: dict[str, Any] = {f"{section}.name": name for section, name in names.items()}
    defaults |= METHODS[method].defaults
    model = chosen(values, "model", names.get("model", ""))
    if "model" in sections and model in MODELS:
        changed = MODELS[model].defaults.items()
        defaults |= {path: value for path, value in changed if "loss" in sections or not path.startswith("method.")}
    source = source_of(values)
    defaults |= source.defaults if source else {}
    latent = chosen(values, "latent", DEFAULT_NAMES["latent"])
    if "latent" in sections and latent in LATENTS:
        defaults |= LATENTS[latent].defaults
    for path, default in defaults.items():
        section, key = path.split(".")
        if not _is_read(path, sections, chosen(filled, section, names.get(section, ""))):
            continue
        own = filled.get(section, {})
        own = {"name": own} if isinstance(own, str) else own
        if isinstance(own, Mapping):
            # Of a regularizer that the recipe sets in part, the other keys keep the model's defaults.
            if isinstance(default, Mapping) and isinstance(own.get(key), Mapping):
                own = {**own, key: {**default, **own[key]}}
            filled[section] = {key: default, **own}
    return filled


def source_of(values: Mapping[str, Any]) -> DataSource | None:
    """Return the row of the data source in a recipe's values, None for a path."""
    data = values.get("data")
    return find_source(data.get("source")) if isinstance(data, Mapping) else None


def default_names(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the rows that a recipe chooses where its method reads the section and it says nothing."""
    of_source: Mapping[str, Any] = source.defaults if (source := source_of(values)) else {}
    return {section: of_source.get(f"{section}.name", name) for section, name in DEFAULT_NAMES.items()}


def _is_read(path: str, sections: Sequence[str], row: str) -> bool:
    """Tell whether a method of these sections, and the row that the key's section chooses, read a key at all."""
    section, key = path.split(".")
    if section in ("model", "latent", "loss", "regularizers") and section not in sections:
        return False
    tables: dict[str, Table[Any]] = {"model": MODELS, "method": METHODS, "latent": LATENTS, "loss": LOSSES}
    return section not in tables or row not in tables[section] or key in tables[section][row].options.model_fields


def chosen(values: Mapping[str, Any], section: str, default: str) -> str:
    """Return the name of the row that a section of a recipe's values chooses; `default` where it says none."""
    own = values.get(section)
    return own if isinstance(own, str) else str(own.get("name", default)) if isinstance(own, Mapping) else default


def _count_as_set(recipe: BaseModel, values: Mapping[str, Any]) -> None:
    recipe.model_fields_set.intersection_update(values)
    for name in recipe.model_fields_set:
        section, given = getattr(recipe, name), values[name]
        if isinstance(section, Section) and not isinstance(given, Section):
            _count_as_set(section, {"name": given} if isinstance(given, str) else given)
