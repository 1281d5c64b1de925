"""A downstream study carried out: from labelled images to classifiers, their results and the page; resumable."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import torch

from augment.core.files import make_folder, write_bytes, write_json, write_text
from augment.errors import UsageError
from augment.imaging.codec import encode_png
from smallgan.core.console import Log, say, stop_flag
from smallgan.core.device import choose_device, gpus_to_share, see_only
from smallgan.core.downstream_dir import DownstreamDir
from smallgan.core.run_dir import another, check_out, next_run, numbered_runs, read_record
from smallgan.core.run_log import append_log
from smallgan.downstream.arms import Arm, arms_of
from smallgan.downstream.bench import Bench, Trial
from smallgan.downstream.data import read_labelled
from smallgan.downstream.generators import runs_of, train_generators
from smallgan.downstream.results import Found, summarised
from smallgan.downstream.trials import carry_out, predictions_of, read_trial
from smallgan.report.downstream_page import write_page
from smallgan.report.downstream_words import answer, details, text_table
from smallgan.report.export import csv_bytes
from smallgan.tables.classifiers import TrainedOptions
from smallgan.tables.recipe import Recipe, differences, dump_study, read_recipe

ROOT = Path("studies")
_FREE = ("grid", "seeds", "report.", "downstream.per_class", "data.source", "name")
"""Keys that may change: variants, seeds and numbers come and go; the images are compared by their hashes."""
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class DownstreamResult:
    """What a command on a downstream study came to."""

    values: dict[str, Any]  # As JSON prints it
    text: str
    is_complete: bool = True  # False when a stop left classifiers to be trained


def run_downstream(
    recipe: Recipe,
    *,
    out: Path | None = None,
    new: bool = False,
    device: str = "auto",
    num_processes: int = 1,
    log: Log = say,
    root: Path = ROOT,
) -> DownstreamResult:
    """Train and test every variant under every seed, and write results, tables and the page.

    The same call goes on with what is there: a killed study that is finished equals an uninterrupted one.

    Args:
        recipe: checked, with a section `downstream`.
        out: folder of the study; None: the newest below `root` of the same recipe, or the next number.
        new: start another study.
        device: auto, cpu, cuda or cuda:N.
        num_processes: classifiers trained at the same time; it changes no result.
        log: takes status lines.
        root: where numbered studies are.

    Raises UsageError, InputError, MissingError, OutputError and FailedError.
    """
    arms, chosen = arms_of(recipe), choose_device(device)
    study = _find(recipe, out, root, new=new)
    images = read_labelled(recipe)
    assert recipe.downstream is not None
    numbers: tuple[int | None, ...] = recipe.downstream.per_class or (None,)
    bench = Bench(study, images, chosen)
    trials = [Trial(arm, number, seed) for seed in recipe.seeds for number in numbers for arm in arms]
    for trial in trials:
        bench.parts(trial)  # too few images are told before anything is made
        bench.synthetic(trial.arm)
    make_folder(study.path)
    with study.claimed() as mine, stop_flag() as stop_requested:
        if not mine:
            raise UsageError(f"{study.path}: another process works on this study; wait for it, or {another('study')}")
        _begin(study, recipe, bench)

        def tell(line: str) -> None:
            append_log(study.log, line)
            log(line)

        for note in images.notes:
            tell(f"note: {note}")
        if not _trained(bench, recipe, trials, num_processes, tell, stop_requested):
            tell("stopped; the same command goes on from here")
            return DownstreamResult({"study": str(study.path), "complete": False}, str(study.path), is_complete=False)
        return _finished(bench, recipe, arms, numbers)


def run_from_recipe(
    recipe: Recipe, refused: Mapping[str, bool], *, smoke: bool = False, **options: Any
) -> DownstreamResult:
    """Run a recipe with a section `downstream`, as `smallgan run` does.

    Args:
        recipe: checked.
        refused: options of `smallgan run` that such a study does not have, and whether they were given.
        smoke: try it in seconds: two images a class, two steps, one seed.
        options: of `run_downstream`.

    Raises the errors of `run_downstream`.
    """
    if given := [name for name, is_given in refused.items() if is_given]:
        raise UsageError(f"{', '.join(given)}: not for a downstream study, which is made in one go; use --jobs")
    if smoke:
        recipe = smoke_recipe(recipe)
    return run_downstream(recipe, **options)


def smoke_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe made so small that it runs in seconds."""
    assert recipe.downstream is not None
    changes: dict[str, Any] = {"per_class": (2,)}
    if isinstance(recipe.downstream.classifier, TrainedOptions):
        changes["classifier"] = recipe.downstream.classifier.model_copy(update={"steps": 2})
    section = recipe.downstream.model_copy(update=changes)
    small: dict[str, Any] = {"name": f"{recipe.name[:58]}-smoke", "seeds": recipe.seeds[:1], "downstream": section}
    if any(arm.policy.needs_generator for arm in arms_of(recipe)):
        small["train"] = recipe.train.model_copy(update={"steps": 2, "snapshot_every": 2, "batch_size": 4})
    return recipe.model_copy(update=small)


def _find(recipe: Recipe, out: Path | None, root: Path, *, new: bool) -> DownstreamDir:
    def changes(study: DownstreamDir) -> dict[str, tuple[Any, Any]]:
        found = differences(read_recipe(study.recipe), recipe)
        return {path: values for path, values in found.items() if not path.startswith(_FREE)}

    if out is not None:
        study = DownstreamDir(out)
        check_out(
            out, "downstream study", exists=study.exists(), new=new, ours=(".lock",), changes=lambda: changes(study)
        )
        return study
    for run in [] if new else reversed(numbered_runs(root)):
        study = DownstreamDir(run.path)
        if study.exists() and not changes(study):
            return study
    return DownstreamDir(next_run(root, recipe.name).path)


def _begin(study: DownstreamDir, recipe: Recipe, bench: Bench) -> None:
    """Write recipe and split. Raises UsageError when the study began with other images."""
    record, before = bench.images.record, read_record(study.split)
    if before is not None and (before["train"], before["test"]) != (record["train"], record["test"]):
        raise UsageError(
            f"{study.path}: began with other images, or another share of them for the test; restore them, or "
            f"{another('study')}"
        )
    write_text(study.recipe, dump_study(recipe))
    write_json(study.split, record)


def _trained(
    bench: Bench,
    recipe: Recipe,
    trials: Sequence[Trial],
    num_processes: int,
    tell: Log,
    stop_requested: Callable[[], bool],
) -> bool:
    """Train what is not trained yet, generators first; tell whether all is done."""
    left = [trial for trial in trials if read_trial(bench, trial) is None]
    images = bench.images
    tell(
        f"study {bench.study.path}: {len(trials) - len(left)} of {len(trials)} classifiers are trained; "
        f"{len(images.split.test):,} test images in {len(images.classes)} classes"
    )
    started, cpu = time.perf_counter(), time.process_time()
    is_done = _generators(bench, left, tell, stop_requested)
    if is_done and num_processes > 1:
        is_done = _in_processes(bench, recipe, left, num_processes, tell, stop_requested)
    elif is_done:
        is_done = all(not stop_requested() and carry_out(bench, trial, stop_requested, tell) for trial in left)
    if is_done and left:
        seconds, used = time.perf_counter() - started, time.process_time() - cpu
        tell(f"{len(left)} classifiers in {seconds:.0f} s, {used:.0f} s of processor time in this process")
    return is_done


def _generators(bench: Bench, trials: Sequence[Trial], log: Log, stop_requested: Callable[[], bool]) -> bool:
    """Train the generators that some variants need, each once; tell whether all are done."""
    wanted = {runs_of(bench, trial)[0].name: trial for trial in trials if trial.arm.policy.needs_generator}
    return all(train_generators(bench, trial, log, stop_requested) for trial in wanted.values())


def _finished(bench: Bench, recipe: Recipe, arms: Sequence[Arm], numbers: Sequence[int | None]) -> DownstreamResult:
    study = bench.study
    found: dict[tuple[str, int | None], Found] = {}
    for arm in arms:
        for number in numbers:
            same = [Trial(arm, number, seed) for seed in recipe.seeds]
            records = [read_trial(bench, trial) for trial in same]
            assert all(records)
            kept = [record for record in records if record is not None]
            found[arm.name, number] = Found(kept, [predictions_of(bench, trial) for trial in same])
    synthetic = {arm.name: made for arm in arms if (made := bench.synthetic(arm)) is not None}
    results = summarised(arms, numbers, recipe.seeds, found, bench.images, synthetic)
    results = {"name": recipe.name, "answer": answer(results), "details": details(results), **results}
    write_json(study.results, results)
    write_bytes(study.table, csv_bytes([{k: v for k, v in row.items() if k != "by_seed"} for row in results["rows"]]))
    write_bytes(study.trial_table, csv_bytes(_trial_rows(found)))
    moved = {each["place"] for one in results["moved"].values() for kind in ("gained", "lost") for each in one[kind]}
    shutil.rmtree(study.pictures, ignore_errors=True)  # of earlier results
    make_folder(study.pictures)
    for place in sorted(moved):
        write_bytes(study.picture(place), encode_png(bench.test(arms[0])[place]))
    shown = write_page(study) if recipe.report.page else study.results
    lines = [results["answer"], "", *text_table(results), "", *results["details"], "", str(shown)]
    return DownstreamResult({"study": str(study.path), **results}, "\n".join(lines))


def _trial_rows(found: dict[tuple[str, int | None], Found]) -> list[dict[str, Any]]:
    rows = []
    for of_arm in found.values():
        for record in of_arm.records:
            row = {key: record[key] for key in ("variant", "per_class", "seed", "steps")}
            row |= {
                f"num_{origin}": record["images"].get(origin, 0) for origin in ("original", "augmented", "synthetic")
            }
            rows.append(row | {name: values[0] for name, values in record["measures"].items()})
    return rows


_stop: Any = None  # In a worker: a shared number, not 0 once the study is to stop
_bench: dict[Path, Bench] = {}  # In a worker: the study that it works on, read once


def _in_processes(
    bench: Bench,
    recipe: Recipe,
    trials: Sequence[Trial],
    number: int,
    log: Log,
    stop_requested: Callable[[], bool],
) -> bool:
    """Train classifiers in several processes; tell whether all are done."""
    context = get_context("spawn")
    stop, number = context.RawValue("b", 0), min(number, len(trials) or 1)
    gpus, in_turn = gpus_to_share(str(bench.device)), context.SimpleQueue()
    for worker in range(number):
        in_turn.put(gpus[worker % len(gpus)] if gpus else None)
    with ProcessPoolExecutor(number, context, _begin_worker, (stop, in_turn)) as pool:
        left: dict[Future[tuple[bool, list[str]]], Trial] = {
            pool.submit(_in_worker, bench.study.path, recipe, trial, str(bench.device)): trial for trial in trials
        }
        is_done = True
        while left:
            ended, _ = wait(left, _POLL_SECONDS, FIRST_COMPLETED)
            if stop_requested():
                stop.value = 1
            for future in ended:
                del left[future]
                made, lines = future.result()
                is_done = is_done and made
                for line in lines:
                    log(line)
    return is_done


def _begin_worker(stop: Any, gpus: Any) -> None:
    global _stop
    _stop = stop
    see_only(gpus.get())
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent tells
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _in_worker(folder: Path, recipe: Recipe, trial: Trial, device: str) -> tuple[bool, list[str]]:
    lines: list[str] = []
    if _stop.value:
        return False, lines
    if folder not in _bench:
        _bench[folder] = Bench(DownstreamDir(folder), read_labelled(recipe), choose_device(device))
    return carry_out(_bench[folder], trial, lambda: bool(_stop.value), lines.append), lines
