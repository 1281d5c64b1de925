"""A downstream study from its folder to its results: what is equal, what resumes, what is refused, and no leak."""

import json
import shutil

import numpy as np
import pytest
from class_folder import CLASSES, class_folder
from downstream_study import BIGGAN, FAST, files_of, quiet, recipe, study
from PIL import Image
from typer.testing import CliRunner

from augment.errors import UsageError
from augment.sources.readers import open_source
from smallgan.cli import app
from smallgan.core.downstream_dir import DownstreamDir
from smallgan.downstream import frozen, trials
from smallgan.downstream.arms import arms_of
from smallgan.downstream.run import run_downstream


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return class_folder(tmp_path_factory.mktemp("real") / "bars")


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "study"
    return out, study(source, out)


def test_a_study_tells_its_results(whole):
    out, result = whole
    told = json.loads(DownstreamDir(out).results.read_text(encoding="utf-8"))
    assert told == {key: value for key, value in result.values.items() if key != "study"} == told
    assert told["answer"] == result.text.partition("\n")[0]
    assert told["variants"] == ["none", "hflip"]
    assert told["num_test"] == 8
    assert told["num_train"] == {"none": {"original": 24}, "hflip": {"original": 24, "augmented": 24}}
    rows = [row for row in told["rows"] if row["measure"] == "accuracy"]
    assert rows[0]["conclusion"] == "reference"
    assert [len(row["by_seed"]) for row in rows] == [2, 2]
    assert sum(map(sum, told["confusions"]["none"])) == 2 * told["num_test"]
    lines = DownstreamDir(out).trial_table.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 4


def test_the_same_command_trains_nothing_again(whole, source):
    out, result = whole
    before = {path: path.stat().st_mtime_ns for path in DownstreamDir(out).trials.iterdir()}
    assert study(source, out).values == result.values
    assert {path: path.stat().st_mtime_ns for path in DownstreamDir(out).trials.iterdir()} == before


def test_a_damaged_trial_is_trained_again_to_the_same_bytes(whole, source, tmp_path):
    copy = tmp_path / "study"
    shutil.copytree(whole[0], copy)
    kept = files_of(copy)
    names = sorted(path.name for path in DownstreamDir(copy).trials.iterdir())
    (DownstreamDir(copy).trials / names[0]).unlink()
    (DownstreamDir(copy).trials / names[-1]).write_bytes(b"cut")
    study(source, copy)
    assert files_of(copy) == kept


def test_more_seeds_and_variants_keep_the_test_part_and_what_was_trained(whole, source, tmp_path):
    copy = tmp_path / "study"
    shutil.copytree(whole[0], copy)
    kept = files_of(copy)
    result = study(source, copy, ("none", "hflip", "negative"), (0, 1, 2))
    after = files_of(copy)
    assert after["split.json"] == kept["split.json"]
    assert all(after[name] == kept[name] for name in kept if name.startswith("trials/"))
    assert len(result.values["rows"]) == 3 * 5


def test_a_smaller_number_is_drawn_for_each_seed_and_is_the_same_for_all_variants(source, tmp_path, monkeypatch):
    drawn = []
    plain = trials.training_images
    monkeypatch.setattr(
        trials,
        "training_images",
        lambda images, arm, places, seed, **more: (
            drawn.append((arm.name, seed, places)) or plain(images, arm, places, seed, **more)
        ),
    )
    result = study(source, tmp_path / "study", **{"downstream.per_class": [2, 4]})
    by = {}
    for name, seed, places in drawn:
        by.setdefault((seed, len(places)), {})[name] = places
    assert by.keys() == {(0, 4), (0, 8), (1, 4), (1, 8)}
    assert all(each["none"] == each["hflip"] for each in by.values())
    assert set(by[0, 4]["none"]) < set(by[0, 8]["none"])
    assert by[0, 8]["none"] != by[1, 8]["none"]
    assert result.values["per_class"] == [2, 4]
    assert [row["variant"] for row in result.values["worth"]] == ["hflip", "hflip"]


def test_another_share_for_the_test_or_other_images_are_refused(whole, source, tmp_path):
    with pytest.raises(UsageError, match=r"downstream.test was 0.25, is 0.5"):
        study(source, whole[0], **{"downstream.test": 0.5})
    other = class_folder(tmp_path / "other", seed=5)
    with pytest.raises(UsageError, match="began with other images"):
        study(other, whole[0])


def near(pixels):
    """The picture again, a little brighter: another file, and a near duplicate."""
    return np.clip(pixels.astype(int) + 3, 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_no_test_image_nor_its_near_duplicate_reaches_a_classifier_or_a_generator(tmp_path, monkeypatch):
    folder = class_folder(tmp_path / "bars", number=10, seed=3)
    for path in sorted(folder.rglob("*.png")):  # every image also as a near duplicate under another name
        Image.fromarray(near(np.asarray(Image.open(path)))).save(path.with_name(f"again-{path.name}"))
    seen = []
    plain = trials.fit
    monkeypatch.setattr(trials, "fit", lambda task, options: seen.append(task) or plain(task, options))
    out = tmp_path / "study"
    chosen = recipe(folder, ("none", "hflip", "gan"), (0,), **BIGGAN)
    assert run_downstream(chosen, out=out, device="cpu", log=quiet).is_complete
    split = json.loads(DownstreamDir(out).split.read_text(encoding="utf-8"))
    assert split["num_alike"] == 40
    test = {name.removeprefix("again-").replace("/again-", "/") for name in split["test"]}
    train = {name.replace("/again-", "/") for name in split["train"]}
    assert len(split["test"]) == 2 * len(test)
    assert not test & train
    forbidden = {np.asarray(Image.open(folder / name)).tobytes() for name in split["test"]}
    assert len(seen) == 3
    for task in seen:
        assert len(task.test) == len(forbidden)
        assert {image.tobytes() for image in task.test} == forbidden
        assert not {image.tobytes() for image in task.train} & forbidden
    assert not hasattr(seen[0], "test_labels")
    (part,) = (out / "generators").glob("*-images")
    given = open_source(part)
    pixels = {given.load(at).image.pixels.tobytes() for at in range(len(given))}
    assert len(pixels) == len(split["train"])
    assert not pixels & forbidden
    (run,) = (out / "generators").glob("*/data.json")
    assert json.loads(run.read_text(encoding="utf-8"))["num_real"] == len(split["train"])


def test_images_from_elsewhere_are_audited_then_judged(source, whole, tmp_path):
    split = json.loads(DownstreamDir(whole[0]).split.read_text(encoding="utf-8"))
    made = class_folder(tmp_path / "made", number=6, seed=9)
    copied = sorted(split["test"])[0]
    shutil.copy(source / copied, made / CLASSES[0] / "stolen.png")
    pixels = np.asarray(Image.open(source / sorted(split["test"])[-1]))
    Image.fromarray(near(pixels)).save(made / CLASSES[1] / "alike.png")
    shutil.copy(source / sorted(split["train"])[0], made / CLASSES[0] / "learnt.png")
    grid = [
        {"name": "none", "augment.policy": "none"},
        {"name": "lora", "downstream.synthetic": str(made)},
        {"name": "lora alone", "downstream.synthetic": str(made), "downstream.originals": False},
    ]
    told = run_downstream(recipe(source, grid=grid), out=tmp_path / "study", device="cpu", log=quiet).values
    audit = told["audits"]["lora"]
    assert audit["left_out"] == {
        f"{CLASSES[0]}/stolen.png": copied,
        f"{CLASSES[1]}/alike.png": sorted(split["test"])[-1],
    }
    assert audit["num_like_train"] == 1
    assert told["num_train"]["lora"] == {"original": 24, "synthetic": 13}
    assert told["num_train"]["lora alone"] == {"synthetic": 13}
    assert any("2 equal or look like a test image" in line for line in told["details"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"augment.generator": "runs/x"}, "nobody can tell which images"),
        ({"grid": [{"name": "a", "downstream.originals": False}]}, "nothing is left to train on"),
        ({"grid": {"downstream.test": [0.2, 0.3]}}, "all variants share it"),
        ({"grid": {"augment.policy": ["none", "gan"]}}, "needs? a class|need a class"),
        ({"train.steps": 3}, "read where a variant has the policy gan"),
        ({"grid": {"downstream.on_the_fly": ["none", "hflip"]}, "downstream.classifier": "knn"}, "features once"),
        ({"downstream.per_class": [40]}, "there are fewer in lies 12, stands 12"),
        ({"downstream.per_class": [1], "downstream.classifier": {**FAST, "validation": 0.2}}, "and a validation part"),
        ({"downstream.generators": "per-class"}, "downstream.generators: read where a variant has the policy gan"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_a_file_is_written(source, tmp_path, more, said):
    with pytest.raises(UsageError, match=said):
        run_downstream(recipe(source, **more), out=tmp_path / "study", device="cpu", log=quiet)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_classes_is_refused(tiny_set, tmp_path):
    with pytest.raises(UsageError, match="found 0 classes and 12 images outside"):
        run_downstream(recipe(tiny_set), out=tmp_path / "study", device="cpu", log=quiet)


def test_a_folder_of_nothing_but_test_images_is_refused(source, whole, tmp_path):
    split = json.loads(DownstreamDir(whole[0]).split.read_text(encoding="utf-8"))
    for name in split["test"]:
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, tmp_path / "made" / name)
    grid = [{"name": "none"}, {"name": "made", "downstream.synthetic": str(tmp_path / "made")}]
    with pytest.raises(UsageError, match="all 8 images equal or look like a test image"):
        run_downstream(recipe(source, grid=grid), out=tmp_path / "study", device="cpu", log=quiet)


@pytest.mark.parametrize("option", ["--status", "--dry-run", "--trial=0"])
def test_what_a_downstream_study_cannot_do_is_refused(source, tmp_path, option):
    text = tmp_path / "recipe.yaml"
    text.write_text(json.dumps({"data": {"source": str(source)}, "downstream": {"classifier": FAST}}), encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(text), option, "--out", str(tmp_path / "study")])
    assert isinstance(result.exception, UsageError)
    assert option.partition("=")[0] in str(result.exception)


def test_a_study_does_not_go_on_with_another_feature_network(source, tmp_path, monkeypatch):
    features = {"downstream.classifier": {"name": "knn", "features": "pixels8"}}
    study(source, tmp_path / "study", seeds=(0,), **features)
    monkeypatch.setattr(frozen, "network_of", lambda *_: ["another", "0" * 64])
    with pytest.raises(UsageError, match="made from other images or settings; put them back"):
        study(source, tmp_path / "study", seeds=(0, 1), **features)


def test_images_of_one_class_or_none_are_told(source, tmp_path):
    shutil.copytree(source / CLASSES[0], tmp_path / "made" / CLASSES[0])
    for path in (tmp_path / "made").rglob("*.png"):  # other images than those of the test
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    grid = [
        {"name": "none", "augment.policy": "none"},
        {"name": "made", "downstream.synthetic": str(tmp_path / "made"), "downstream.originals": False},
    ]
    linear = {"downstream.classifier": {"name": "linear", "features": "pixels8"}}
    with pytest.raises(UsageError, match="linear needs images of two classes or more to train on"):
        run_downstream(recipe(source, grid=grid, seeds=(0,), **linear), out=tmp_path / "a", device="cpu", log=quiet)
    few = recipe(source, grid=grid, seeds=(0,), **linear, **{"augment.ratio": "99:1"})
    with pytest.raises(UsageError, match="variant made: no image to train on beside the originals"):
        run_downstream(few, out=tmp_path / "b", device="cpu", log=quiet)


def test_only_the_named_classes_take_part(source, tmp_path):
    with pytest.raises(UsageError, match="has no class 'leans'"):
        study(source, tmp_path / "study", **{"downstream.classes": ["lies", "leans"]})


def test_the_command_needs_no_option_and_a_recipe_of_another_kind_is_refused(source, monkeypatch):
    asked = []

    def instead(recipe, **_):
        asked.append(recipe)
        raise UsageError("far enough")

    monkeypatch.setattr("smallgan.downstream.run.run_downstream", instead)
    assert str(CliRunner().invoke(app, ["downstream", str(source)]).exception) == "far enough"
    assert [arm.name for arm in arms_of(asked[0])] == ["none", "hflip"]
    other = CliRunner().invoke(app, ["downstream", str(source), "--recipe", "quickstart"])
    assert str(other.exception).startswith("--recipe quickstart: it has no section downstream")


def test_the_command_answers_on_its_first_line(source, tmp_path):
    words = ["downstream", str(source), "--policy", "hflip", "--on-the-fly", "vflip", "--seeds", "2", "--steps", "2"]
    words += ["--set", "downstream.classifier.width=4", "--size", "16", "--device", "cpu", "--out", str(tmp_path / "s")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "s" / "results.json").read_text(encoding="utf-8"))
    assert result.stdout.splitlines()[0] == told["answer"]
    assert told["variants"] == ["none", "hflip", "vflip on the fly"]
    assert told["num_train"]["vflip on the fly"] == {"original": 24}
