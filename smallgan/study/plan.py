"""The runs of a study: each variant under each seed as a recipe of its own, with equal shares of work. Torch-free.

All variants see as many images, and have as many checkpoints, as the reference, unless the budget is in epochs.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from augment.build.plan import num_added
from augment.errors import UsageError
from augment.policy.policy_file import load_policy
from smallgan.core.study_dir import StudyDir, Trial
from smallgan.data.split import study_holdout
from smallgan.study.sources import SourceKey, Sources
from smallgan.tables.data_sources import NUM_HELD_OUT
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import Recipe, given, steps_of_epochs, stretched, variant_recipe, variants_of, with_values
from smallgan.tables.sweep import Variant, frozen, slug

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
    num_held: int  # Held out, for scores to compare with
    fingerprint: str  # Of all its files, those held out included
    notes: tuple[str, ...] = ()
    num_selecting: int = 0  # Held out too, to select the best checkpoint


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


def plan_jobs(
    recipe: Recipe,
    study: StudyDir,
    known: Sequence[Trial] = (),
    *,
    smoke: bool = False,
    sources: Sources | None = None,
) -> list[Job]:
    """Return the runs of a study, seed by seed in the order of the variants, shared generator runs first.

    Args:
        recipe: checked; without a grid it is a study of one variant.
        study: its folder, from which nothing is read.
        known: trials that the study has already; those with the same overrides and seed keep their run folder.
        smoke: set `SMOKE` in every variant, and take the first seed only.
        sources: what is known of the images, and takes what is found out; None: nothing is known.

    Raises:
        UsageError: policies, amounts or numbers of originals are impossible; lists the mistakes of all variants.
        InputError: images that cannot be read.
    """
    seeds = recipe.seeds[:1] if smoke else recipe.seeds
    drafts = _drafts(recipe, seeds[0], sources or Sources(), smoke=smoke)
    without = (draft for draft in drafts if not load_policy(draft.recipe.augment.policy).components)
    base = next(without, drafts[0])  # the reference
    measure = steps_of_epochs(base.recipe, base.data.num_originals)
    base_images = num_images(base.recipe, base.data)

    def finished(wanted: Recipe, data: SetFacts) -> Recipe:
        if recipe.budget == "steps":
            return wanted
        return stretched(wanted, num_images(wanted, data) / base_images)

    jobs: list[Job] = []
    shared: dict[str, Job] = {}
    runs_of: dict[Hashable, list[str]] = {}
    for old in known:
        runs_of.setdefault((old.seed, frozen(old.overrides)), []).append(old.run)
    for seed in seeds:
        first = len(jobs)
        even = [with_values(_equal(draft, measure), {"seeds": [seed]}) for draft in drafts]
        final = [finished(wanted, draft.data) for wanted, draft in zip(even, drafts, strict=True)]
        paths = _run_paths(runs_of, drafts, seed, first)
        first_with: dict[str, int] = {}
        for number, wanted in enumerate(final):
            first_with.setdefault(_what_trains(wanted), number)
        for number, draft in enumerate(drafts):
            wanted, needs = final[number], None
            if wanted.augment.generator is None and load_policy(wanted.augment.policy).needs_generator:
                plain = {key: value for key, value in given(even[number]).items() if key != "augment"}
                source = finished(Recipe.model_validate(plain), draft.data)
                if (mark := _what_trains(source)) in first_with:
                    needs = study.path / paths[first_with[mark]]
                else:
                    folder = study.shared / f"generator-{len(shared):02d}-seed{seed}"
                    needs = shared.setdefault(mark, Job(folder, source, draft.data.num_train, draft.data)).run
                wanted = with_values(wanted, {"augment.generator": needs.as_posix()})
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


def _drafts(recipe: Recipe, seed: int, sources: Sources, *, smoke: bool) -> list[_Draft]:
    drafts: list[_Draft] = []
    mistakes: list[str] = []
    for variant in variants_of(recipe):
        wanted = variant_recipe(recipe, variant, seed)
        if smoke:
            wanted = with_values(wanted, SMOKE | _smallest(wanted))
        try:
            wanted, data = _facts(wanted, sources)
            num_images(wanted, data)
            drafts.append(_Draft(variant, wanted, data))
        except UsageError as error:
            mistakes.append(f"{variant.where or variant.name}: {error}")
    if mistakes:
        raise UsageError(f"{recipe.name}: {len(mistakes)} variant(s) cannot be run\n  " + "\n  ".join(mistakes))
    return drafts


def _facts(recipe: Recipe, sources: Sources) -> tuple[Recipe, SetFacts]:
    """Return the recipe with what is held out of its originals and for what, and what is known of its images."""
    settings, made = recipe.data, recipe.made_source
    if made is not None and made.mixture is not None:
        number = settings.limit or made.mixture.num_points
        return recipe, SetFacts(number, number, NUM_HELD_OUT, f"{number} points of {made.name}")
    found = sources.facts(SourceKey(settings.source, settings.skip_bad))
    number = len(found.hashes)
    if found.num_originals < number:  # a mixed dataset, used as it is; training refuses to divide it
        return recipe, SetFacts(number, found.num_originals, 0, found.fingerprint, found.notes)
    share = study_holdout(number) if settings.holdout is None else settings.holdout
    # A study that samples the last checkpoints selects none, so its scores need not spare images for that.
    selects = recipe.sample.checkpoint == "best" if settings.selection is None else settings.selection
    num_train, num_held, num_selecting = found.divided(share, settings.limit, selection=selects)
    decided = with_values(recipe, {"data.holdout": share, "data.selection": selects})
    return decided, SetFacts(num_train, num_train, num_held, found.fingerprint, found.notes, num_selecting)


def _equal(draft: _Draft, measure: Recipe) -> Recipe:
    """Return the recipe of a variant that sees as many images as the reference, unless it sets its own steps."""
    recipe = with_values(draft.recipe, {"train.epochs": None})
    if {"train.steps", "train.epochs"} & draft.variant.overrides.keys():
        return steps_of_epochs(draft.recipe, draft.data.num_originals)
    settings = measure.train
    steps = max(round(settings.steps * settings.batch_size / recipe.train.batch_size), 1)
    if steps == recipe.train.steps:
        return recipe
    every = max(round(settings.snapshot_every * settings.batch_size / recipe.train.batch_size), 1)
    longer = stretched(recipe, steps / recipe.train.steps)
    # By the sizes of batches alone: with more steps a study goes on, and this belongs to the hash of its inputs
    return with_values(longer, {"train.steps": steps, "train.snapshot_every": every})


def _smallest(recipe: Recipe) -> dict[str, Any]:
    """Return the keys that make the model of a recipe small, or the first of its phases short; {} in a transfer."""
    if recipe.model is None:
        short = {"method.source_steps": SMOKE["train.steps"] // 2, "method.target_limit": SMOKE["data.limit"]}
        return {} if recipe.method_row.makes_images else short
    width = {"model.base_width": 8} if "base_width" in type(recipe.model).model_fields else {}
    sides = [side for side in MODELS[recipe.model.name].sizes if side > 1 or recipe.data.size == 1]
    fresh = {"train.init": None} if recipe.train.init is not None else {}  # weights of another size
    return {"data.size": min(sides)} | width | fresh


def _what_trains(recipe: Recipe) -> str:
    """Return all of a recipe that decides the weights, as text."""
    values = recipe.model_dump(mode="json", exclude={"name", "sample", "report", "grid", "budget"})
    if not load_policy(recipe.augment.policy).components:
        del values["augment"]  # nothing is added, whatever the amounts
    return json.dumps(values, sort_keys=True)


def _run_paths(runs_of: Mapping[Hashable, Sequence[str]], drafts: Sequence[_Draft], seed: int, first: int) -> list[str]:
    """Return a run folder for each draft: the one that a trial of the same overrides and seed has, else a new one."""
    taken = {run for runs in runs_of.values() for run in runs}
    paths: dict[str, None] = {}
    for number, draft in enumerate(drafts, start=first):
        same = runs_of.get((seed, frozen(draft.variant.overrides)), ())
        name = f"runs/{number:02d}-{slug(draft.variant.name)}-seed{seed}"
        free = (path for path in chain([name], (f"{name}-{more}" for more in count(2))) if path not in taken)
        paths[next(path for path in chain(same, free) if path not in paths)] = None
    return list(paths)
