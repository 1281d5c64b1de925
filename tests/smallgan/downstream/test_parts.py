"""Which images train, choose the step, and train the generators of the classes: never one of the test."""

import json
from pathlib import Path

import numpy as np
import pytest
from class_folder import CLASSES, class_folder
from downstream_study import EARLY, PER_CLASS, files_of, quiet, recipe
from PIL import Image

from augment.sources.readers import open_source
from smallgan.core.run_dir import RunDir
from smallgan.downstream import run, trials
from smallgan.downstream.arms import arms_of
from smallgan.downstream.bench import part_name
from smallgan.downstream.data import read_labelled
from smallgan.downstream.generators import ClassGenerators
from smallgan.downstream.run import run_downstream


def contents(pixels):
    return {image.tobytes() for image in pixels}


def in_folder(folder):
    given = open_source(folder)
    return {given.load(at).image.pixels.tobytes() for at in range(len(given))}


def test_a_quarter_of_the_training_images_chooses_the_step_and_none_of_the_test(tmp_path, monkeypatch):
    seen = []
    plain = trials.fit
    monkeypatch.setattr(trials, "fit", lambda task, options: seen.append(task) or plain(task, options))
    source = class_folder(tmp_path / "bars")
    result = run_downstream(recipe(source, **EARLY), out=tmp_path / "study", device="cpu", log=quiet)
    split = json.loads((tmp_path / "study" / "split.json").read_text(encoding="utf-8"))
    test, train = (
        {np.asarray(Image.open(source / name)).tobytes() for name in split[part]} for part in ("test", "train")
    )
    assert len(seen) == 4
    for task in seen:
        assert contents(task.test) == test
        assert contents(task.validation) < train
        assert np.bincount(task.validation_labels).tolist() == [3, 3]  # a quarter of 12 in each class
        originals = contents(task.train) & train
        assert originals == train - contents(task.validation)
    assert len({frozenset(contents(task.validation)) for task in seen}) == 1
    assert result.values["num_validation"] == 6
    assert result.values["num_train"]["none"] == {"original": 18}
    assert any("Early stopping: 6 of" in line for line in result.values["details"])


def test_what_looks_alike_is_on_one_side_of_the_validation_part(tmp_path):
    folder = class_folder(tmp_path / "bars", number=10, seed=3)
    for path in sorted(folder.rglob("*.png")):  # every image also a little brighter, under another name
        brighter = np.clip(np.asarray(Image.open(path)).astype(int) + 3, 0, 255).astype(np.uint8)
        Image.fromarray(brighter).save(path.with_name(f"again-{path.name}"))
    images = read_labelled(recipe(folder))
    places, chosen_by = images.divided(None, 0, 0.25)
    names = [
        {Path(images.source.images[at].name).name.removeprefix("again-") for at in part} for part in (places, chosen_by)
    ]
    assert sorted(places + chosen_by) == images.split.train
    assert len(chosen_by) == 2 * len(names[1]) > 0
    assert not names[0] & names[1]


def test_the_identity_of_a_classifier_is_that_of_versions_without_these_keys(tmp_path):
    (plain,) = arms_of(recipe(tmp_path, ["none"]))
    (early,) = arms_of(recipe(tmp_path, ["none"], **EARLY))
    assert "generators" not in plain.settings["downstream"]
    assert "validation" not in plain.settings["downstream"]["classifier"]
    assert early.settings["downstream"]["classifier"]["validation"] == 0.25
    (per_class,) = arms_of(recipe(tmp_path, ["gan"], **PER_CLASS))
    assert per_class.settings["downstream"]["generators"] == "per-class"


class Source:
    """Stands for a generator: its images have the number of their address in every pixel."""

    def __init__(self, name):
        self.name = name

    def describe(self):
        return {"of": self.name}

    def draw(self, indices, seed):
        for k in indices:
            yield np.full((4, 4, 3), k, np.uint8), {"seed": seed, "k": k, "from": self.name}


def test_a_generator_for_each_class_draws_each_image_at_its_address_by_its_class():
    source = ClassGenerators({"b": Source("b"), "a": Source("a")})
    order = [7, 3, 40, 3, 0, 12]
    drawn, labels = list(source.draw(order, 5)), source.labels(order, 5)
    assert [int(pixels[0, 0, 0]) for pixels, _ in drawn] == order
    assert [params["from"] for _, params in drawn] == labels
    assert source.labels([3], 5) == [labels[1]]
    counts = source.labels(range(200), 1)
    assert 70 < counts.count("a") < 130
    assert source.describe()["classes"] == {"a": {"of": "a"}, "b": {"of": "b"}}


@pytest.mark.slow
def test_generators_of_classes_see_their_class_alone_and_a_stopped_study_goes_on_to_the_same_bytes(
    tmp_path, monkeypatch
):
    source = class_folder(tmp_path / "bars", number=8)
    chosen = recipe(source, ("none", "gan"), (0,), **{**PER_CLASS, **EARLY})
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run_downstream(chosen, out=whole, device="cpu", log=quiet).is_complete
    images = read_labelled(chosen)
    places, chosen_by = images.divided(None, 0, 0.25)
    pixels = {at: images.source.load(at).image.pixels.tobytes() for at in range(len(images.source))}
    parts = sorted((whole / "generators").glob("*-images"))
    assert [part_name(None, 0) in part.name for part in parts] == [True, True]
    for part, label in zip(parts, CLASSES, strict=True):
        assert in_folder(part) == {pixels[at] for at in places if images.labels[at] == label}
        assert not in_folder(part) & {pixels[at] for at in [*images.split.test, *chosen_by]}
        log = part.with_name(part.name.removesuffix("-images")) / "log.txt"
        assert "class folders" not in log.read_text(encoding="utf-8")
    told = json.loads((whole / "results.json").read_text(encoding="utf-8"))
    assert told["num_train"]["gan"] == {"original": 8, "synthetic": 8}  # of 8 a class 2 test and 2 choose

    first, plain = RunDir(stopped / "generators" / parts[0].name.removesuffix("-images")), run.train_generators
    monkeypatch.setattr(
        run,
        "train_generators",
        lambda bench, trial, log, _stop: plain(bench, trial, log, lambda: first.reached(chosen.train.steps)),
    )
    assert not run_downstream(chosen, out=stopped, device="cpu", log=quiet).is_complete
    assert len([part for part in (stopped / "generators").iterdir() if not part.name.endswith("-images")]) == 1
    monkeypatch.setattr(run, "train_generators", plain)
    assert run_downstream(chosen, out=stopped, device="cpu", log=quiet).is_complete
    assert files_of(stopped) == files_of(whole)
