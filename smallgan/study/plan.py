"""What a study runs: each cell under each seed as a recipe of its own, with equal shares of work. Torch-free.

The reference cell sets the measure: what it sees of images, and how often it is looked at, all others do too, unless
the recipe's budget is in epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.build.plan import num_added
from augment.checks.open_checked import open_checked
from augment.core.parallel import default_workers
from augment.errors import UsageError
from augment.policy.policy_file import load_policy
from augment.sources.image_set import fingerprint
from smallgan.core.resources import sample_set
from smallgan.core.study_dir import Cell, StudyDir
from smallgan.data.split import split
from smallgan.tables.recipe import Recipe, cell_recipe, cells_of, given
from smallgan.tables.sweep import GridCell, put, slug

SMOKE: dict[str, Any] = {
    "data.limit": 8,
    "data.holdout": 0,
    "train.steps": 4,
    "train.epochs": None,
    "train.batch_size": 4,
    "train.base_width": 8,
    "train.report_every": 2,
    "train.snapshot_every": 2,
    "score.num_fake": 8,
    "sample.count": 4,
    "sample.interpolate": 2,
}
"""What --smoke lays over every cell, so that a whole study takes seconds: 8 images and 4 steps, and 32 px where the
side is not that of a pretrained generator."""


@dataclass(frozen=True)
class SetFacts:
    """What is known of a set of images before anything is made of it."""

    num_train: int
    """Images of it that are trained on."""
    num_originals: int
    """Originals among them."""
    num_held: int
    fingerprint: str
    """Of all its files, those held out too."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One run to be made: a cell under a seed, or a plain run that several cells draw their `gan` images from."""

    run: Path
    recipe: Recipe
    num_images: int
    """Images trained on, the added ones included."""
    data: SetFacts
    cell: Cell | None = None
    """None: a shared run, which is no cell."""
    needs: Path | None = None
    """The run that must be done first."""

    @property
    def label(self) -> str:
        """What the tables call it."""
        return f"{self.cell.cell if self.cell else 'plain run for gan images'}, seed {self.recipe.seed}"


_COUNTED_IN_STEPS = ("train.report_every", "train.snapshot_every", "transfer.lr_decay_every", "biggan.ema_start")
"""Keys that grow and shrink with the number of steps, so that runs of any length have as many checkpoints."""


@dataclass(frozen=True)
class _Draft:
    """A cell before it meets the others."""

    cell: GridCell
    recipe: Recipe
    data: SetFacts


def plan_jobs(recipe: Recipe, study: StudyDir, known: Sequence[Cell] = (), *, smoke: bool = False) -> list[Job]:
    """Return the runs of a study, seed by seed in the order of the cells, shared runs before what needs them.

    Args:
        recipe: checked; without a grid it is a study of one cell.
        study: where it will stand; nothing is read from it.
        known: cells that the study has already; those with the same overrides and seed keep their run folder.
        smoke: lay `SMOKE` over every cell, and take the first seed only.

    Raises:
        UsageError: a policy, an amount, a number of originals cannot be; the mistakes of all cells are told at once.
        InputError: images that cannot be read.
    """
    seeds = recipe.seeds[:1] if smoke else recipe.seeds
    drafts = _drafts(recipe, seeds[0], smoke=smoke)
    base = drafts[_reference(drafts)]
    measure = _sized(base.recipe, base.data)
    base_images = num_images(base.recipe, base.data)

    def finished(wanted: Recipe, data: SetFacts) -> Recipe:
        if recipe.budget == "steps":
            return wanted
        return _stretched(wanted, num_images(wanted, data) / base_images)

    jobs: list[Job] = []
    shared: dict[str, Job] = {}
    for seed in seeds:
        even = [_with(_equal(draft, measure), {"seeds": [seed]}) for draft in drafts]
        final = [finished(wanted, draft.data) for wanted, draft in zip(even, drafts, strict=True)]
        paths = _run_paths(known, drafts, seed, seeds.index(seed) * len(drafts))
        for number, draft in enumerate(drafts):
            wanted, needs = final[number], None
            if _needs_plain(wanted):
                plain = finished(_without_policy(even[number]), draft.data)
                twins = [place for place, other in enumerate(final) if _same_training(other, plain)]
                if twins:
                    needs = study.path / paths[twins[0]]
                else:
                    name = f"plain-{len(shared):02d}-seed{seed}"
                    mark = str(_what_trains(plain))
                    shared.setdefault(mark, Job(study.shared / name, plain, draft.data.num_train, draft.data))
                    needs = shared[mark].run
                wanted = _with(wanted, {"augment.generator": needs.as_posix()})
            row = Cell(
                index=seeds.index(seed) * len(drafts) + number,
                cell=draft.cell.name,
                overrides=draft.cell.overrides,
                seed=seed,
                run=paths[number],
                reference=draft is base,
            )
            jobs.append(Job(study.path / row.run, wanted, num_images(wanted, draft.data), draft.data, row, needs))
    return [*shared.values(), *jobs]


def num_images(recipe: Recipe, data: SetFacts) -> int:
    """Return how many images a recipe trains on. Raises UsageError for a policy or an amount that cannot be."""
    settings = recipe.augment
    policy = load_policy(settings.policy)
    added = num_added(data.num_originals, settings.ratio, settings.count)  # also checks them where nothing is added
    return data.num_train + (added if policy.components else 0)


def _drafts(recipe: Recipe, seed: int, *, smoke: bool) -> list[_Draft]:
    """Return all cells, looked at one by one. Raises UsageError with the mistakes of all."""
    seen: dict[tuple[str, bool], tuple[list[str], list[bool], tuple[str, ...]]] = {}
    drafts: list[_Draft] = []
    mistakes: list[str] = []
    for cell in cells_of(recipe):
        wanted = cell_recipe(recipe, cell, seed)
        if smoke:
            side = {} if wanted.transfer.method else {"data.size": 32}
            wanted = _with(wanted, {**SMOKE, **side})
        try:
            data = _facts(wanted, seen)
            num_images(wanted, data)
            drafts.append(_Draft(cell, wanted, data))
        except UsageError as error:
            mistakes.append(f"{cell.where or cell.name}: {error}")
    if mistakes:
        raise UsageError(f"{recipe.name}: {len(mistakes)} cell(s) cannot be run\n  " + "\n  ".join(mistakes))
    return drafts


def _facts(recipe: Recipe, seen: dict[tuple[str, bool], tuple[list[str], list[bool], tuple[str, ...]]]) -> SetFacts:
    """Return what is known of a recipe's images; each source is read and checked once, and kept in `seen`."""
    settings = recipe.data
    key = (settings.source or "", settings.skip_bad)
    if key not in seen:
        path = Path(settings.source) if settings.source else sample_set()
        entered = open_checked(path, skip_bad=settings.skip_bad, workers=default_workers())
        hashes = {record.name: str(record.sha256) for record in entered.records}
        images = entered.source.images
        originals = [image.origin == "original" for image in images]
        seen[key] = ([hashes[image.name] for image in images], originals, tuple(entered.notes))
    hashes_in_order, originals, notes = seen[key]
    if not all(originals):  # a mixed dataset, which is taken as it is; training refuses to divide it
        return SetFacts(len(originals), sum(originals), 0, fingerprint(hashes_in_order), notes)
    parts = split(hashes_in_order, settings.holdout, settings.limit)
    return SetFacts(len(parts.train), len(parts.train), len(parts.held), fingerprint(hashes_in_order), notes)


def _reference(drafts: Sequence[_Draft]) -> int:
    """Return the place of the cell that the others are compared with: the first without a policy, else the first."""
    plain = [place for place, draft in enumerate(drafts) if not load_policy(draft.recipe.augment.policy).components]
    return plain[0] if plain else 0


def _sized(recipe: Recipe, data: SetFacts) -> Recipe:
    """Return a recipe whose `train.epochs` became steps."""
    settings = recipe.train
    if settings.epochs is None:
        return recipe
    needed = math.ceil(settings.epochs * data.num_originals / settings.batch_size)
    return _stretched(_with(recipe, {"train.epochs": None}), max(needed / settings.steps, 1.0))


def _equal(draft: _Draft, measure: Recipe) -> Recipe:
    """Return a cell that sees as many images as the reference, unless it says how many steps it takes itself."""
    recipe = _with(draft.recipe, {"train.epochs": None})
    if {"train.steps", "train.epochs"} & draft.cell.overrides.keys():
        return _sized(draft.recipe, draft.data)
    settings = measure.train
    steps = max(round(settings.steps * settings.batch_size / recipe.train.batch_size), 1)
    if steps == recipe.train.steps:
        return recipe
    number = max(round(settings.steps / settings.snapshot_every), 1)
    stretched = _stretched(recipe, steps / recipe.train.steps)
    return _with(stretched, {"train.steps": steps, "train.snapshot_every": math.ceil(steps / number)})


def _stretched(recipe: Recipe, factor: float) -> Recipe:
    """Return a recipe of `factor` times the steps, with as many reports and checkpoints."""
    if factor == 1:
        return recipe
    values = recipe.model_dump()
    changes: dict[str, Any] = {"train.steps": max(round(recipe.train.steps * factor), 1)}
    for key in _COUNTED_IN_STEPS:
        section, name = key.split(".")
        if values[section][name]:
            changes[key] = max(math.ceil(values[section][name] * factor), 1)
    return _with(recipe, changes)


def _needs_plain(recipe: Recipe) -> bool:
    return recipe.augment.generator is None and load_policy(recipe.augment.policy).needs_generator


def _without_policy(recipe: Recipe) -> Recipe:
    values = given(recipe)
    values.pop("augment", None)
    return Recipe.model_validate(values)


def _what_trains(recipe: Recipe) -> dict[str, Any]:
    """Return all that decides the weights and the scores of a run."""
    values = recipe.model_dump(mode="json", exclude={"name", "sample", "report", "grid", "budget"})
    if not load_policy(recipe.augment.policy).components:
        del values["augment"]  # amounts of nothing
    return values


def _same_training(one: Recipe, other: Recipe) -> bool:
    return _what_trains(one) == _what_trains(other)


def _run_paths(known: Sequence[Cell], drafts: Sequence[_Draft], seed: int, first: int) -> list[str]:
    """Return a run folder for each cell under one seed: the one it has, or one that no cell has."""
    taken = {cell.run for cell in known}
    paths: list[str] = []
    for number, draft in enumerate(drafts, start=first):
        cell = draft.cell
        same = [old.run for old in known if old.seed == seed and dict(old.overrides) == cell.overrides]
        same = [old for old in same if old not in paths]
        path = same[0] if same else _free(f"{number:02d}", f"{slug(cell.name)}-seed{seed}", taken | set(paths))
        paths.append(path)
    return paths


def _free(number: str, name: str, taken: set[str]) -> str:
    path, more = f"runs/{number}-{name}", 1
    while path in taken:
        more += 1
        path = f"runs/{number}-{name}-{more}"
    return path


def _with(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values at dotted keys; what was not given stays so."""
    values = given(recipe)
    for path, value in changes.items():
        put(values, path, value)
    return Recipe.model_validate(values)
