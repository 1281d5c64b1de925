"""What `train` would do and how long it would take: `smallgan train --dry-run`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smallgan.core.console import Log, duration, number_of
from smallgan.core.device import choose_device, describe_device, peak_memory_mb
from smallgan.core.run_dir import RunDir
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import Recipe
from smallgan.tables.recipe_schema import DEFAULT_METHOD
from smallgan.training.data import describe_data
from smallgan.training.evaluation import num_scored, seconds_per_scored
from smallgan.training.timing import seconds_per_step
from smallgan.training.train import notes_on, prepared, trainer_of


def dry_run(
    recipe: Recipe, *, root: Path = Path("runs"), out: Path | None = None, device: str = "auto", log: Log, **asked: Any
) -> dict[str, Any]:
    """Return what `train` would do, with the time of a step and of a score measured here; makes no run.

    Args:
        recipe: what would be trained.
        root, out, device, log: as `train` takes them.
        asked: the other options of `prepared`.
    """
    chosen = choose_device(device)
    recipe, source, data, run, why = prepared(recipe, chosen, root, out, **asked)
    for line in [
        *why,
        *(f"note: {note}" for note in notes_on(data, from_scratch=source is None and recipe.method_row.makes_images)),
    ]:
        log(line)
    trainer, batches = trainer_of(recipe, data, chosen, source, log)
    step_seconds = min(seconds_per_step(trainer, batches))
    sample_seconds = seconds_per_scored(recipe, trainer, chosen)
    work = work_left(recipe, run, len(data.reals))
    steps = work["steps"]
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in trainer.networks.items()}
    return {
        "run": str(run.path),
        "resumes_from_step": run.last_step(),
        "data": describe_data(data.summary),
        "what": _what(recipe),
        "parameters": {name: size for name, size in sizes.items() if size},
        **trainer.details,
        "device": describe_device(chosen),
        "memory_mb": round(peak_memory_mb(chosen)),
        **work,
        "batch_size": batches.batch_size,
        "epochs": round(steps * batches.batch_size / len(batches), 1),
        "seconds_per_step": round(step_seconds, 4),
        "minutes": minutes_of(work, step_seconds, sample_seconds),
        "recipe": recipe.model_dump(mode="json"),
    }


def plan_text(plan: Mapping[str, Any]) -> str:
    """Return what `dry_run` found in a few sentences."""
    run, begun, steps = plan["run"], plan["resumes_from_step"], plan["steps"]
    if not steps:
        return f"{run} is trained to step {begun} already: nothing would happen. Ask for more --steps, or add --new."
    doing = f"Would go on with {run} from step {begun}:" if begun else f"Would {plan['what']} in {run}:"
    scored = f" with scores of {plan['num_scored']:,} samples each" if plan["num_scored"] else ""
    return (
        f"{doing} {steps:,} steps of {plan['batch_size']} images, which is {plan['epochs']:,g} times through "
        f"{plan['data']}.\n"
        f"Takes about {duration(60 * plan['minutes'])} on {plan['device']} ({plan['seconds_per_step']:.3g} s a step, "
        f"and {number_of(plan['num_snapshots'], 'snapshot')}{scored}) and {memory(plan['memory_mb'])} "
        f"of memory, as measured here now.\n{_counted(plan)}No run was made. --json prints all settings."
    )


def _counted(plan: Mapping[str, Any]) -> str:
    """Return the sentence about what was counted, "" of methods where nothing is."""
    if "foreseen" not in plan:
        return ""
    seen = plan["foreseen"]
    seconds = seen["seconds_per_step_at_10_tflops"]
    further = seen.get("memory_mib_a_further_image")
    each = f" ({further:g} MiB a further image of the batch)" if further else ""
    return (
        f"Counted, for any machine: {memory(seen['memory_mib_in_all'])} of memory{each} beside the libraries', and "
        f"{seen['tera_operations_per_step']:.3g} x 10^12 operations a step, "
        f"{f'{seconds:.2g}' if seconds else 'less than 0.001'} s on a GPU that does 10^13 a second.\n"
    )


def _what(recipe: Recipe) -> str:
    """Return what a training does, as it follows "would"."""
    if recipe.method_row.is_transfer:
        return f"adapt a pretrained generator by {recipe.method_row.title}"
    if not recipe.method_row.makes_images:
        return f"adapt a classifier by {recipe.method_row.title}"
    by = "" if recipe.method.name == DEFAULT_METHOD else f" by {recipe.method_row.title}"
    return f"train a {MODELS[recipe.model_name].title}{by}"


def work_left(recipe: Recipe, run: RunDir, num_reals: int) -> dict[str, int]:
    """Return what is left to do of a run: its steps and snapshots, and how many samples are scored at each."""
    steps = max(recipe.train.steps - run.last_step(), 0)
    snapshots = len(range(0, steps, recipe.train.snapshot_every)) + (not run.last_step())
    return {"steps": steps, "num_snapshots": snapshots, "num_scored": num_scored(recipe, num_reals)}


def minutes_of(work: Mapping[str, int], step_seconds: float, sample_seconds: float) -> float:
    """Return the minutes that `work_left` takes."""
    scoring = work["num_snapshots"] * work["num_scored"] * sample_seconds
    return round((work["steps"] * step_seconds + scoring) / 60, 2)


def memory(megabytes: float) -> str:
    """Return an amount of memory in words."""
    if 0 < megabytes < 100:
        return f"{megabytes:.0f} MiB"
    return f"{megabytes / 1024:.1f} GiB" if megabytes else "an unknown amount"
