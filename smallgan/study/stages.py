"""The stages of one run of a study: train, sample, compare with the nearest training images.

A stage that was done from the same inputs is not done again.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from augment.core.files import make_folder, sha256_bytes, sha256_file, write_json
from augment.errors import UsageError
from smallgan.core.checkpoint import TENSORS
from smallgan.core.console import Log
from smallgan.core.device import choose_device
from smallgan.core.run_dir import RunDir, another, read_record
from smallgan.core.study_dir import StudyDir
from smallgan.data.images import PixelRows
from smallgan.metrics.features.extract import feature_nets
from smallgan.metrics.memorisation.run_sheet import TrainingImages, sheet_of, write_nearest
from smallgan.metrics.run_scorer import default_num_fake
from smallgan.sampling.loading import load_model
from smallgan.sampling.request import Request
from smallgan.sampling.sample import sample
from smallgan.study.plan import Job
from smallgan.tables.recipe import read_recipe
from smallgan.training.data import load_data
from smallgan.training.train import train


@dataclass(frozen=True)
class ExecutionOptions:
    """How runs are made; nothing of it changes what is computed."""

    device: str = "auto"
    command: str = ""  # Command line, for environment.json


def carry_out(
    job: Job,
    study: StudyDir,
    options: ExecutionOptions,
    log: Log,
    stop_requested: Callable[[], bool],
    advance: Callable[[int], None],
) -> bool:
    """Carry out the stages of a run and tell whether all are done; a stop leaves the run resumable.

    Args:
        job: the run.
        study: the study that it belongs to.
        options: how it is made.
        log: takes the status lines of training.
        stop_requested: asked after each step.
        advance: takes the step reached, after each step.

    Raises the errors of training and sampling, and UsageError when the images are not those it began with.
    """
    run, file = RunDir(job.run), study.stage_file(job.run)
    inputs, stages = refuse_other_inputs(job, study), read_record(file) or {}
    if not is_trained(job):
        _note(file, "train", inputs)
        hooks: dict[str, Any] = {"stop_requested": stop_requested, "advance": lambda step, *_: advance(step)}
        train(job.recipe, out=job.run, log=log, **hooks, **asdict(options))
        if not is_trained(job):
            return False
    if not job.recipe.method_row.makes_images:
        return True
    best = run.best_step() if job.recipe.sample.checkpoint == "best" else None
    checkpoint, step = ("best", best) if best else ("last", run.last_step())
    weights = sha256_file(run.checkpoint(step) / TENSORS)
    wanted = [job.recipe.sample.model_dump(mode="json"), job.recipe.seed, weights]
    sampled = sha256_bytes(json.dumps(wanted).encode())
    if stages.get("sample") != sampled:
        _sample(job, run, checkpoint, options.device)
        _note(file, "sample", sampled)
    # Without metrics no feature network is loaded; points have no sheet of images
    if job.trial is not None and job.recipe.score.metrics and job.recipe.data.size > 1:
        compared = sha256_bytes(f"{inputs}{weights}".encode())
        if stages.get("nearest") != compared or not sheet_of(run, step, job.recipe.seed).is_file():
            _write_nearest_sheet(run, checkpoint, options.device)
            _note(file, "nearest", compared)
    return True


def generator_digest(generator: Path) -> str:
    """Return the hash of the weights that a run, a checkpoint or a file samples from."""
    run = RunDir(generator)
    folder = run.checkpoint(run.last_step()) if run.exists() else generator
    tensors = folder / TENSORS if folder.is_dir() else folder
    return sha256_file(tensors) if tensors.is_file() else str(generator)


def refuse_other_inputs(job: Job, study: StudyDir, digest: Callable[[Path], str] = generator_digest) -> str:
    """Return the hash of all that decides a run's weights: recipe, images, and the generator of its `gan` images.

    `digest` hashes a generator; one that remembers saves time where many runs have the same.
    Raises UsageError when the run was begun from others.
    """
    values = job.recipe.model_dump(mode="json", exclude={"name", "sample", "report"})
    del values["train"]["steps"]  # a larger number continues the run
    for key in ("micro_batch", "compile"):  # others take the same steps
        del values["train"][key]
    if job.recipe.augment.generator is not None:
        values["augment"]["generator"] = digest(Path(job.recipe.augment.generator))
    source = {"recipe": values, "images": job.data.fingerprint}
    inputs = sha256_bytes(json.dumps(source, sort_keys=True).encode())
    before = (read_record(study.stage_file(job.run)) or {}).get("train")
    if before is not None and before != inputs and RunDir(job.run).exists():
        raise UsageError(
            f"{job.run}: begun with other images, another recipe or another generator (inputs were {before[:12]}, are "
            f"{inputs[:12]}); put them back, or {another('study')}"
        )
    return inputs


def is_trained(job: Job) -> bool:
    """Tell whether a run has reached its last step, its last snapshot included."""
    return RunDir(job.run).reached(job.recipe.train.steps)


def _sample(job: Job, run: RunDir, checkpoint: str, device: str) -> None:
    settings, seed = job.recipe.sample, job.recipe.seed
    request = Request(run.path, seed=seed, truncation=settings.truncation, checkpoint=checkpoint, device=device)
    for count, interpolate in ((settings.count, False), (settings.interpolate, True)):
        # An interpolation needs two latents, and images
        if count > interpolate and not (interpolate and job.recipe.data.size == 1):
            sample(replace(request, count=count, interpolate=interpolate))


def _write_nearest_sheet(run: RunDir, checkpoint: str, device: str) -> None:
    """Compare the samples that are scored with the very images that the run was trained on."""
    chosen, recipe = choose_device(device), read_recipe(run.recipe)  # with the size of a transfer's generator
    data = load_data(recipe, chosen)
    added = [place for place, image in enumerate(data.mixture.images) if image.origin != "original"]
    images = TrainingImages(
        data.originals,
        data.summary["names"],
        PixelRows(data.mixture.pixels, added),
        [data.mixture.images[place].name for place in added],
    )
    nets, _ = feature_nets(recipe.score.features, chosen)
    num_fake = recipe.score.num_fake or default_num_fake(len(data.reals))
    write_nearest(run, load_model(run.path, chosen, checkpoint), nets[0], images, num_fake, recipe.seed)


def _note(file: Path, stage: str, inputs: str) -> None:
    make_folder(file.parent)
    write_json(file, {**(read_record(file) or {}), stage: inputs})
