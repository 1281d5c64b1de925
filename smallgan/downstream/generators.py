"""The generators of a study: each is trained on the real training images of its trials, and on nothing else."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augment.build.build import build
from augment.build.plan import make_plan
from augment.core.files import make_folder, sha256_bytes
from augment.core.parallel import default_workers
from augment.policy.transforms import NONE
from augment.sources.image_set import ImageSource
from smallgan.core.console import Log
from smallgan.core.rng import Stream, rng
from smallgan.data.images import Pixels
from smallgan.downstream.arms import gan_recipe
from smallgan.downstream.bench import Bench, Trial, part_name
from smallgan.sampling.latents import BATCH_SIZE, GeneratorSource
from smallgan.sampling.loading import load_model
from smallgan.tables.sweep import slug
from smallgan.training.train import train


@dataclass(frozen=True)
class GeneratorRun:
    """One generator of a trial."""

    name: str  # Of its run folder
    label: str | None  # The only class that it is trained on, None: all of them
    places: tuple[int, ...]  # Of the images that it is trained on


class ClassGenerators:
    """A generator for each class as one image source: the class of image k is drawn as a class-conditional one's is.

    Fits augment's ImageSource protocol.
    """

    name = "one generator a class"

    def __init__(self, sources: Mapping[str, ImageSource]) -> None:
        self.sources, self.classes = sources, sorted(sources)

    def describe(self) -> dict[str, Any]:
        """Return what the pixels depend on beside (seed, k)."""
        return {"classes": {label: self.sources[label].describe() for label in self.classes}, "batch_size": BATCH_SIZE}

    def labels(self, indices: Sequence[int], seed: int) -> list[str | None]:
        """Return the class of each image; all are equally likely."""
        return [self.classes[rng(seed, Stream.LABELS, k).integers(len(self.classes))] for k in indices]

    def draw(self, indices: Sequence[int], seed: int) -> Iterator[tuple[Pixels, dict[str, Any]]]:
        """Yield image k of `seed` for each k in `indices`, in that order, with its address."""
        labels = self.labels(indices, seed)
        drawn = {
            label: self.sources[label].draw([k for k, own in zip(indices, labels, strict=True) if own == label], seed)
            for label in set(labels)
            if label is not None
        }
        for label in labels:
            assert label is not None
            yield next(drawn[label])


def runs_of(bench: Bench, trial: Trial) -> list[GeneratorRun]:
    """Return the generators of a trial: each recipe, number of images and seed has its own, and with
    `downstream.generators` per-class each class.
    """
    recipe = gan_recipe(trial.arm).model_dump(mode="json", exclude={"name", "sample", "report"})
    mark = sha256_bytes(json.dumps(recipe, sort_keys=True).encode())[:8]
    name, places = f"gan-{mark}-{part_name(trial.number, trial.seed)}", bench.parts(trial)[0]
    if trial.arm.section.generators == "conditional":
        return [GeneratorRun(name, None, tuple(places))]
    labels, classes = bench.images.labels, bench.images.classes
    return [
        GeneratorRun(f"{name}-{at}-{slug(label)}"[:100], label, tuple(p for p in places if labels[p] == label))
        for at, label in enumerate(classes)
    ]


def train_generators(bench: Bench, trial: Trial, log: Log, stop_requested: Callable[[], bool]) -> bool:
    """Train the generators of a trial that are not trained yet, and tell whether all have reached their last step."""
    wanted = runs_of(bench, trial)
    return all(not stop_requested() and _trained(bench, trial, one, log, stop_requested) for one in wanted)


def source_of(bench: Bench, trial: Trial) -> ImageSource | None:
    """Return what makes the `gan` images of a trial, None where its policy has none."""
    if not trial.arm.policy.needs_generator:
        return None
    found = {
        one.label: GeneratorSource(load_model(bench.study.generator(one.name).path, bench.device))
        for one in runs_of(bench, trial)
    }
    if None in found:
        return found[None]
    return ClassGenerators({str(label): source for label, source in found.items()})


def _trained(bench: Bench, trial: Trial, one: GeneratorRun, log: Log, stop_requested: Callable[[], bool]) -> bool:
    """Train one generator: it gets a folder that holds the images of `one.places` and nothing else."""
    run, part = bench.study.generator(one.name), bench.study.training_part(one.name)
    source = bench.images.source.subset(one.places)
    source = source if one.label is None else source.unlabelled()
    make_folder(part.parent)
    build(make_plan(source, NONE), source, part, workers=default_workers())
    wanted = gan_recipe(trial.arm)
    values = wanted.data.model_copy(update={"source": str(part)})
    recipe = wanted.model_copy(update={"data": values, "seeds": (trial.seed,)})
    if not run.reached(recipe.train.steps):
        of_class = "" if one.label is None else f" of {one.label}"
        log(f"[generator{of_class}, {trial.part_label}] {recipe.train.steps} steps on {len(source)} images")
        train(recipe, out=run.path, device=str(bench.device), log=log, stop_requested=stop_requested)
    return run.reached(recipe.train.steps)
