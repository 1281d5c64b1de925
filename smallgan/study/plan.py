"""The runs of a study: each variant under each seed as a recipe of its own, with equal shares of work. Torch-free.

All variants see as many images, and have as many checkpoints, as the reference, unless the budget is in epochs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, count
from pathlib import Path
from typing import Any

from augment.build.plan import num_added
from augment.checks.open_checked import CheckedSource, open_checked
from augment.core.parallel import default_workers
from augment.errors import UsageError
from augment.policy.policy_file import load_policy
from augment.sources.image_set import fingerprint
from smallgan.core.resources import sample_set
from smallgan.core.study_dir import StudyDir, Trial
from smallgan.data.split import split, study_holdout
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import Recipe, given, step_keys, variant_recipe, variants_of
from smallgan.tables.sweep import Variant, flat, put, slug

SMOKE: dict[str, Any] = {
    "data.limit": 8,
    "data.holdout": 0,
    "train.steps": 4,
    "train.epochs": None,
    "train.batch_size": 4,
    "train.report_every": 2,
    "train.snapshot_every": 2,
    "score.num_fake": 8,
    "sample.count": 4,
    "sample.interpolate": 2,
}
"""What --smoke sets in every variant, beside a small model, so that a whole study takes seconds."""


@dataclass(frozen=True)
class SetFacts:
    """What is known about a set of images before training."""

    num_train: int  # Images of it that are trained on
    num_originals: int  # Originals among them
    num_held: int
    fingerprint: str  # Of all its files, those held out included
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One run to be made: a trial, or a shared generator run from which several trials take their `gan` images."""

    run: Path
    recipe: Recipe
    num_images: int  # Images trained on, the added ones included
    data: SetFacts
    trial: Trial | None = None  # None for a shared generator run
    needs: Path | None = None  # The run that must be done first

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.trial.variant if self.trial else 'shared generator run'}, seed {self.recipe.seed}"


@dataclass(frozen=True)
class _Draft:
    variant: Variant
    recipe: Recipe
    data: SetFacts


def plan_jobs(recipe: Recipe, study: StudyDir, known: Sequence[Trial] = (), *, smoke: bool = False) -> list[Job]:
    """Return the runs of a study, seed by seed in the order of the variants, shared generator runs first.

    Args:
        recipe: checked; without a grid it is a study of one variant.
        study: its folder, from which nothing is read.
        known: trials that the study has already; those with the same overrides and seed keep their run folder.
        smoke: set `SMOKE` in every variant, and take the first seed only.

    Raises:
        UsageError: policies, amounts or numbers of originals are impossible; lists the mistakes of all variants.
        InputError: images that cannot be read.
    """
    seeds = recipe.seeds[:1] if smoke else recipe.seeds
    drafts = _drafts(recipe, seeds[0], smoke=smoke)
    without = (draft for draft in drafts if not load_policy(draft.recipe.augment.policy).components)
    base = next(without, drafts[0])  # the reference
    measure = _sized(base.recipe, base.data)
    base_images = num_images(base.recipe, base.data)

    def finished(wanted: Recipe, data: SetFacts) -> Recipe:
        if recipe.budget == "steps":
            return wanted
        return _stretched(wanted, num_images(wanted, data) / base_images)

    jobs: list[Job] = []
    shared: dict[str, Job] = {}
    for seed in seeds:
        first = len(jobs)
        even = [_with(_equal(draft, measure), {"seeds": [seed]}) for draft in drafts]
        final = [finished(wanted, draft.data) for wanted, draft in zip(even, drafts, strict=True)]
        paths = _run_paths(known, drafts, seed, first)
        weights = [_what_trains(wanted) for wanted in final]
        for number, draft in enumerate(drafts):
            wanted, needs = final[number], None
            if wanted.augment.generator is None and load_policy(wanted.augment.policy).needs_generator:
                plain = {key: value for key, value in given(even[number]).items() if key != "augment"}
                source = finished(Recipe.model_validate(plain), draft.data)
                if (mark := _what_trains(source)) in weights:
                    needs = study.path / paths[weights.index(mark)]
                else:
                    folder = study.shared / f"generator-{len(shared):02d}-seed{seed}"
                    needs = shared.setdefault(str(mark), Job(folder, source, draft.data.num_train, draft.data)).run
                wanted = _with(wanted, {"augment.generator": needs.as_posix()})
            trial = Trial(
                index=first + number,
                variant=draft.variant.name,
                overrides=draft.variant.overrides,
                seed=seed,
                run=paths[number],
                reference=draft is base,
            )
            jobs.append(Job(study.path / trial.run, wanted, num_images(wanted, draft.data), draft.data, trial, needs))
    return [*shared.values(), *jobs]


def num_images(recipe: Recipe, data: SetFacts) -> int:
    """Return how many images a recipe trains on. Raises UsageError for an impossible policy or amount."""
    settings = recipe.augment
    policy = load_policy(settings.policy)
    added = num_added(data.num_originals, settings.ratio, settings.count)  # also checks them where nothing is added
    return data.num_train + (added if policy.components else 0)


def _drafts(recipe: Recipe, seed: int, *, smoke: bool) -> list[_Draft]:
    open_once = cache(partial(open_checked, workers=default_workers()))  # most variants have one source
    drafts: list[_Draft] = []
    mistakes: list[str] = []
    for variant in variants_of(recipe):
        wanted = variant_recipe(recipe, variant, seed)
        if smoke:
            wanted = _with(wanted, SMOKE | _smallest(wanted))
        try:
            wanted, data = _facts(wanted, open_once)
            num_images(wanted, data)
            drafts.append(_Draft(variant, wanted, data))
        except UsageError as error:
            mistakes.append(f"{variant.where or variant.name}: {error}")
    if mistakes:
        raise UsageError(f"{recipe.name}: {len(mistakes)} variant(s) cannot be run\n  " + "\n  ".join(mistakes))
    return drafts


def _facts(recipe: Recipe, open_once: Callable[..., CheckedSource]) -> tuple[Recipe, SetFacts]:
    """Return the recipe with the share of its originals that is held out, and what is known of its images."""
    settings = recipe.data
    checked = open_once(Path(settings.source) if settings.source else sample_set(), skip_bad=settings.skip_bad)
    hash_of, images = {record.name: str(record.sha256) for record in checked.records}, checked.source.images
    hashes, notes = [hash_of[image.name] for image in images], tuple(checked.notes)
    num_originals = sum(image.origin == "original" for image in images)
    if num_originals < len(images):  # a mixed dataset, used as it is; training refuses to divide it
        return recipe, SetFacts(len(images), num_originals, 0, fingerprint(hashes), notes)
    share = study_holdout(len(hashes)) if settings.holdout is None else settings.holdout
    parts = split(hashes, share, settings.limit)
    held_out = recipe if settings.holdout is not None else _with(recipe, {"data.holdout": share})
    return held_out, SetFacts(len(parts.train), len(parts.train), len(parts.held), fingerprint(hashes), notes)


def _sized(recipe: Recipe, data: SetFacts) -> Recipe:
    settings = recipe.train
    if settings.epochs is None:
        return recipe
    needed = math.ceil(settings.epochs * data.num_originals / settings.batch_size)
    return _stretched(_with(recipe, {"train.epochs": None}), max(needed / settings.steps, 1.0))


def _equal(draft: _Draft, measure: Recipe) -> Recipe:
    """Return the recipe of a variant that sees as many images as the reference, unless it sets its own steps."""
    recipe = _with(draft.recipe, {"train.epochs": None})
    if {"train.steps", "train.epochs"} & draft.variant.overrides.keys():
        return _sized(draft.recipe, draft.data)
    settings = measure.train
    steps = max(round(settings.steps * settings.batch_size / recipe.train.batch_size), 1)
    if steps == recipe.train.steps:
        return recipe
    number = max(round(settings.steps / settings.snapshot_every), 1)
    stretched = _stretched(recipe, steps / recipe.train.steps)
    return _with(stretched, {"train.steps": steps, "train.snapshot_every": math.ceil(steps / number)})


def _smallest(recipe: Recipe) -> dict[str, Any]:
    """Return the keys that make the model of a recipe small; in a transfer the pretrained generator decides it."""
    if recipe.model is None:
        return {}
    width = {"model.base_width": 8} if "base_width" in type(recipe.model).model_fields else {}
    return {"data.size": min(MODELS[recipe.model.name].sizes)} | width


def _stretched(recipe: Recipe, factor: float) -> Recipe:
    if factor == 1:
        return recipe
    values, changes = flat(recipe.model_dump()), {"train.steps": max(round(recipe.train.steps * factor), 1)}
    changes |= {key: max(math.ceil(values[key] * factor), 1) for key in step_keys(recipe) if values[key]}
    return _with(recipe, changes)


def _what_trains(recipe: Recipe) -> dict[str, Any]:
    values = recipe.model_dump(mode="json", exclude={"name", "sample", "report", "grid", "budget"})
    if not load_policy(recipe.augment.policy).components:
        del values["augment"]  # nothing is added, whatever the amounts
    return values


def _run_paths(known: Sequence[Trial], drafts: Sequence[_Draft], seed: int, first: int) -> list[str]:
    taken = {trial.run for trial in known}
    paths: list[str] = []
    for number, draft in enumerate(drafts, start=first):
        overrides = draft.variant.overrides
        same = [old.run for old in known if old.seed == seed and dict(old.overrides) == overrides]
        name = f"runs/{number:02d}-{slug(draft.variant.name)}-seed{seed}"
        free = (path for path in chain([name], (f"{name}-{more}" for more in count(2))) if path not in taken)
        paths.append(next(path for path in chain(same, free) if path not in paths))
    return paths


def _with(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values at dotted keys; what was not given stays so."""
    values = given(recipe)
    for path, value in changes.items():
        put(values, path, value)
    return Recipe.model_validate(values)
