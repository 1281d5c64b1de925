"""The classifiers of a study: which there are, and one of them trained, tested and written down."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save
from threadpoolctl import threadpool_limits

from augment.build.build import build
from augment.build.plan import make_plan
from augment.core.files import make_folder, sha256_bytes, sha256_file, write_bytes, write_json
from augment.core.parallel import default_workers
from augment.errors import FailedError, UsageError
from augment.policy.transforms import NONE
from augment.sources.image_set import fingerprint
from smallgan.core.console import Log
from smallgan.core.downstream_dir import DownstreamDir
from smallgan.core.run_dir import read_record
from smallgan.data.images import Pixels
from smallgan.downstream.arms import Arm, gan_recipe
from smallgan.downstream.data import LabelledSet, Synthetic, audited, test_pixels, training_images
from smallgan.downstream.measures import measured, recalls
from smallgan.downstream.task import Probabilities, StopRequestedError, Task, fit
from smallgan.sampling.latents import GeneratorSource
from smallgan.sampling.loading import load_model
from smallgan.tables.classifiers import TrainedOptions
from smallgan.tables.sweep import slug
from smallgan.training.train import train

PREDICTIONS = "probabilities"


@dataclass(frozen=True)
class Trial:
    """One classifier to be trained: a variant, a number of real images a class, a seed."""

    arm: Arm
    number: int | None  # None: all
    seed: int

    @property
    def name(self) -> str:
        """Its files are called after it."""
        return f"{slug(self.arm.name)}-{part_name(self.number, self.seed)}"

    @property
    def draw(self) -> int:
        """The seed by which its real training images are drawn."""
        return self.seed if self.arm.section.redraw else 0

    @property
    def label(self) -> str:
        """Its name in messages."""
        each = "" if self.number is None else f", {self.number} images a class"
        return f"{self.arm.name}{each}, seed {self.seed}"


def part_name(number: int | None, seed: int) -> str:
    """Return the name of a training part: n25-seed0."""
    return f"{'all' if number is None else f'n{number}'}-seed{seed}"


@dataclass
class Bench:
    """What the classifiers of a study share, made once a process."""

    study: DownstreamDir
    images: LabelledSet
    device: torch.device
    _test: Any = None
    _synthetic: dict[str, Synthetic] | None = None

    def test(self, arm: Arm) -> Pixels:
        """Return the test images."""
        if self._test is None:
            self._test = test_pixels(self.images, arm.recipe)
        made: Pixels = self._test
        return made

    def synthetic(self, arm: Arm) -> Synthetic | None:
        """Return the audited images from elsewhere of a variant, None where it has none."""
        folder = arm.section.synthetic
        if folder is None:
            return None
        self._synthetic = self._synthetic or {}
        if folder not in self._synthetic:
            self._synthetic[folder] = audited(self.images, folder, skip_bad=arm.recipe.data.skip_bad)
        return self._synthetic[folder]


def inputs_of(bench: Bench, trial: Trial) -> str:
    """Return the hash of all that decides a classifier and its test."""
    synthetic = bench.synthetic(trial.arm)
    settings = trial.arm.settings
    settings["downstream"].pop("synthetic")  # its images count, not where they lie
    values = {
        "settings": {**settings, "synthetic": synthetic and fingerprint(synthetic.hashes)},
        "split": bench.images.digest,
        "number": trial.number,
        "seed": trial.seed,
    }
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
            f"{bench.study.trial(trial.name)}: made from other images or settings; put them back, or start another "
            "study with --new"
        )
    path = bench.study.predictions(trial.name)
    whole = path.is_file() and sha256_file(path) == record["predictions"]
    return record if whole else None


def predictions_of(bench: Bench, trial: Trial) -> Probabilities:
    """Return the class probabilities of the test images by a trained classifier, T x K."""
    made: Probabilities = load(bench.study.predictions(trial.name).read_bytes())[PREDICTIONS]
    return made


def generator_name(trial: Trial) -> str:
    """Return the name of the generator of a trial: one for each recipe, number of images and seed."""
    recipe = gan_recipe(trial.arm).model_dump(mode="json", exclude={"name", "sample", "report"})
    mark = sha256_bytes(json.dumps(recipe, sort_keys=True).encode())[:8]
    return f"gan-{mark}-{part_name(trial.number, trial.seed)}"


def train_generator(bench: Bench, trial: Trial, log: Log, stop_requested: Callable[[], bool]) -> bool:
    """Train the class-conditional generator of a trial, and tell whether it has reached its last step.

    It gets a folder that holds the real training images of this trial and nothing else.
    """
    name = generator_name(trial)
    run, part = bench.study.generator(name), bench.study.training_part(name)
    source = bench.images.source.subset(bench.images.subset(trial.number, trial.draw))
    make_folder(part.parent)
    build(make_plan(source, NONE), source, part, workers=default_workers())
    wanted = gan_recipe(trial.arm)
    values = wanted.data.model_copy(update={"source": str(part)})
    recipe = wanted.model_copy(update={"data": values, "seeds": (trial.seed,)})
    if not run.reached(recipe.train.steps):
        log(f"[generator for {trial.label}] {recipe.train.steps} steps on {len(source)} images")
        train(recipe, out=run.path, device=str(bench.device), log=log, stop_requested=stop_requested)
    return run.reached(recipe.train.steps)


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
    places = images.subset(trial.number, trial.draw)
    generator = None
    if arm.policy.needs_generator:
        generator = GeneratorSource(load_model(bench.study.generator(generator_name(trial)).path, bench.device))
    used = training_images(images, arm, places, seed, generator=generator, synthetic=bench.synthetic(arm))
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
        fly,
        stop_requested,
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
        "measures": measured(labels, found),
        "recalls": recalls(labels, found),
    }
    return record, found
