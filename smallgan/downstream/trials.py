"""One classifier of a study: trained, tested and written down."""

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save
from threadpoolctl import threadpool_limits

from augment.core.files import make_folder, sha256_bytes, sha256_file, write_bytes, write_json
from augment.errors import FailedError, UsageError
from augment.sources.image_set import fingerprint
from smallgan.core.console import Log
from smallgan.core.run_dir import another, read_record
from smallgan.downstream.bench import Bench, Trial
from smallgan.downstream.data import plain_pixels, training_images
from smallgan.downstream.generators import source_of
from smallgan.downstream.measures import measured, recalls
from smallgan.downstream.task import Probabilities, StopRequestedError, Task, fit
from smallgan.tables.classifiers import FrozenOptions, TrainedOptions

PREDICTIONS = "probabilities"


def inputs_of(bench: Bench, trial: Trial) -> str:
    """Return the hash of all that decides a classifier and its test."""
    synthetic = bench.synthetic(trial.arm)
    settings = trial.arm.settings
    settings["downstream"].pop("synthetic")  # its images count, not where they lie
    values: dict[str, Any] = {
        "settings": {**settings, "synthetic": synthetic and fingerprint(synthetic.hashes)},
        "split": bench.images.digest,
        "number": trial.number,
        "seed": trial.seed,
    }
    options = trial.arm.section.classifier
    if isinstance(options, FrozenOptions):
        from smallgan.downstream.frozen import network_of  # scikit-learn, which other classifiers do without

        values["network"] = network_of(options.features, bench.device)
    return sha256_bytes(json.dumps(values, sort_keys=True).encode())


def read_trial(bench: Bench, trial: Trial) -> dict[str, Any] | None:
    """Return what is written of a trained classifier, None where it has to be trained. Raises UsageError, InputError.

    A file whose predictions are absent or damaged counts as none.
    """
    record = read_record(bench.study.trial(trial.name))
    if record is None:
        return None
    if record["inputs"] != inputs_of(bench, trial):
        raise UsageError(
            f"{bench.study.trial(trial.name)}: made from other images or settings; put them back, or {another('study')}"
        )
    path = bench.study.predictions(trial.name)
    whole = path.is_file() and sha256_file(path) == record["predictions"]
    return record if whole else None


def predictions_of(bench: Bench, trial: Trial) -> Probabilities:
    """Return the class probabilities of the test images by a trained classifier, T x K."""
    made: Probabilities = load(bench.study.predictions(trial.name).read_bytes())[PREDICTIONS]
    return made


def carry_out(bench: Bench, trial: Trial, stop_requested: Callable[[], bool], log: Log) -> bool:
    """Train and test one classifier, and write it down; False when a stop came first, of which nothing is kept.

    On a CPU it has one thread, so that the number of processes changes nothing.
    """
    started, threads = time.perf_counter(), torch.get_num_threads()
    if bench.device.type == "cpu":
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # scikit-learn's threads too
            record, found = _trained(bench, trial, stop_requested)
    except StopRequestedError:
        return False
    finally:
        torch.set_num_threads(threads)
    content = save({PREDICTIONS: np.ascontiguousarray(found)})
    make_folder(bench.study.trials)
    write_bytes(bench.study.predictions(trial.name), content)
    write_json(bench.study.trial(trial.name), record | {"predictions": sha256_bytes(content)})
    took = time.perf_counter() - started
    log(f"[{trial.label}] accuracy {100 * record['measures']['accuracy'][0]:.1f} % in {took:.1f} s")
    return True


def _trained(bench: Bench, trial: Trial, stop_requested: Callable[[], bool]) -> tuple[dict[str, Any], Probabilities]:
    arm, images, seed = trial.arm, bench.images, trial.seed
    places, chosen_by = bench.parts(trial)
    generator, synthetic = source_of(bench, trial), bench.synthetic(arm)
    used = training_images(images, arm, places, seed, generator=generator, synthetic=synthetic)
    options = arm.section.classifier
    num_steps = options.num_steps(len(places)) if isinstance(options, TrainedOptions) else 0
    fly = arm.on_the_fly if arm.on_the_fly and arm.on_the_fly.components else None
    task = Task(
        options,
        used.pixels,
        used.labels,
        num_steps,
        bench.test(arm),
        len(images.classes),
        seed,
        bench.device,
        validation=plain_pixels(images, chosen_by, arm.recipe) if chosen_by else None,
        validation_labels=images.codes([images.labels[at] for at in chosen_by]) if chosen_by else None,
        on_the_fly=fly,
        stop_requested=stop_requested,
    )
    found = fit(task, options)
    if found.shape != (len(task.test), task.num_classes):
        raise FailedError(f"the classifier {options.name} gave probabilities of shape {found.shape}")
    labels = images.test_codes
    record = {
        "variant": arm.name,
        "per_class": trial.number,
        "seed": seed,
        "inputs": inputs_of(bench, trial),
        "images": used.origins,
        "steps": num_steps,
        **({"num_validation": len(chosen_by)} if chosen_by else {}),
        "measures": measured(labels, found),
        "recalls": recalls(labels, found),
    }
    return record, found
