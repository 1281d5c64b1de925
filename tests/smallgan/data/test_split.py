"""What is held out: never trained on, the same in every run, what scores compare with, and told of in data.json."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import smallgan.data.split
from augment.build.build import build
from augment.build.plan import make_plan
from augment.errors import UsageError
from augment.sources.readers import open_source
from smallgan.core.run_dir import read_jsonl
from smallgan.data.split import split, study_holdout
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score
from smallgan.tables.recipe import load_recipe
from smallgan.training.data import load_data
from smallgan.training.train import train

CPU = torch.device("cpu")
HASHES = [f"{number:064x}" for number in range(600)]


def test_train_holds_out_what_it_is_told_and_nothing_else():
    assert (len(split(HASHES, None, None).train), split(HASHES, None, None).held) == (600, [])
    parts = split(HASHES[:500], 0.2, None)
    assert (len(parts.train), len(parts.held)) == (400, 100)
    assert sorted(parts.train + parts.held) == list(range(500))


@pytest.mark.parametrize(("number", "held"), [(124, 0), (125, 25), (126, 25), (200, 40), (1000, 200)])
def test_a_study_holds_out_a_fifth_and_at_least_25_from_125_images_on(number, held):
    hashes = [f"{place:064x}" for place in range(number)]
    assert len(split(hashes, study_holdout(number), None).held) == held


def test_of_100_held_out_images_half_select_and_compare_with_nothing():
    plain, halved = split(HASHES[:500], 0.2, None), split(HASHES[:500], 0.2, None, selection=True)
    assert (len(halved.held), len(halved.selection), plain.selection) == (50, 50, [])
    assert sorted(halved.held + halved.selection) == plain.held
    assert halved.train == plain.train
    few = split(HASHES[:495], 0.2, None, selection=True)
    assert (len(few.held), few.selection) == (99, [])


def test_which_half_an_image_is_in_depends_on_itself_and_equal_files_are_in_one():
    backwards = split(HASHES[::-1], 0.25, None, selection=True)
    expected = {HASHES[place] for place in split(HASHES, 0.25, None, selection=True).selection}
    assert {HASHES[::-1][place] for place in backwards.selection} == expected
    threes = [HASHES[place // 3] for place in range(600)]
    parts = split(threes, 0.5, None, selection=True)
    assert not {threes[place] for place in parts.held} & {threes[place] for place in parts.selection}
    assert abs(len(parts.held) - len(parts.selection)) <= 3


def test_an_image_stays_on_its_side_wherever_it_stands():
    parts = split(HASHES, 0.25, None)
    held = {HASHES[place] for place in parts.held}
    backwards = split(HASHES[::-1], 0.25, None)
    assert {HASHES[::-1][place] for place in backwards.held} == held


def test_a_smaller_limit_takes_some_of_the_larger_one_and_holds_out_the_same():
    small, large = split(HASHES, 0.5, 25), split(HASHES, 0.5, 100)
    assert small.held == large.held
    assert set(small.train) < set(large.train)
    assert (len(small.train), len(large.train)) == (25, 100)


def test_equal_files_are_on_one_side():
    twins = [HASHES[place // 2] for place in range(40)]
    for share in (0.1, 0.125, 0.3, 0.45):
        parts = split(twins, share, None)
        assert not {twins[place] for place in parts.held} & {twins[place] for place in parts.train}


def test_what_cannot_be_divided_is_refused_with_the_numbers():
    with pytest.raises(UsageError, match=r"data\.holdout 0\.01 of 12"):
        split(HASHES[:12], 0.01, None)
    with pytest.raises(UsageError, match=r"data\.limit 11: 9 of 12 originals are left"):
        split(HASHES[:12], 0.25, 11)
    with pytest.raises(UsageError, match=r"data\.holdout 0\.99 of 12 originals leaves none to train on"):
        split(HASHES[:12], 0.99, None)


def tiny(source, **overrides):
    settings = {
        "data.source": str(source),
        "data.size": 32,
        "data.holdout": 0.25,
        "augment.policy": "hflip",
        "model.base_width": 8,
        "train.batch_size": 4,
        "train.steps": 2,
        "score.num_fake": 8,
        "score.metrics": ["copies", "is", "kmmd"],
    }
    return load_recipe(None, settings | overrides)


def test_held_out_images_are_not_trained_on_and_not_mirrored(tiny_set):
    data = load_data(tiny(tiny_set), CPU)
    held = data.summary["holdout"]
    assert (data.summary["num_real"], held["num"], len(data.mixture.pixels)) == (9, 3, 18)
    assert not set(held["names"]) & set(data.summary["names"])
    assert data.reals.shape == (3, 32, 32, 3)
    trained = np.concatenate([data.mixture.pixels, data.mixture.pixels[:, :, ::-1]])
    for real in data.reals:
        assert not (trained == real).all(axis=(1, 2, 3)).any()


def test_the_division_depends_on_no_seed_and_no_name(tiny_set):
    held = load_data(tiny(tiny_set), CPU).summary["holdout"]
    assert load_data(tiny(tiny_set, seeds=[7]), CPU).summary["holdout"] == held
    moved = tiny_set.with_name("moved")
    moved.mkdir()
    for number, path in enumerate(sorted(tiny_set.iterdir(), reverse=True)):
        shutil.copy(path, moved / f"{number:03d}{path.suffix}")
    other = load_data(tiny(moved), CPU).reals
    assert sorted(image.sum() for image in other) == sorted(
        image.sum() for image in load_data(tiny(tiny_set), CPU).reals
    )


def test_scores_compare_with_what_was_held_out_and_copies_with_what_was_trained_on(tiny_set, tmp_path):
    run = train(tiny(tiny_set), out=tmp_path / "run", device="cpu", log=lambda _line: None)
    data = json.loads(run.data.read_text(encoding="utf-8"))
    while_training = {line["metric"]: line for line in read_jsonl(run.scores) if line["step"] == 2}
    assert while_training["kmmd"]["identity"]["reals"] == data["holdout"]["fingerprint"]
    assert while_training["kmmd"]["identity"]["num_real"] == 3
    assert while_training["copies"]["identity"]["reals"] == data["fingerprint"]
    asked = ScoreOptions(metrics=("copies", "is", "kmmd"), num_fake=8, device="cpu", worst=tmp_path / "worst.png")
    for each in score(run.path, None, asked):
        assert each.identity == while_training[each.metric]["identity"]
        assert each.value == pytest.approx(while_training[each.metric]["value"], rel=1e-6)
    assert Image.open(tmp_path / "worst.png").size[0] > 32


def test_images_that_select_are_told_of_and_scores_stay_those_of_the_score_command(tiny_set, tmp_path, monkeypatch):
    monkeypatch.setattr(smallgan.data.split, "LEAST_TO_SELECT", 6)
    wanted = {"data.holdout": 0.5, "score.metrics": ["kmmd"], "score.num_fake": None}
    said = []
    run = train(tiny(tiny_set, **wanted), out=tmp_path / "run", device="cpu", log=said.append)
    data = json.loads(run.data.read_text(encoding="utf-8"))
    parts = [set(part["names"]) for part in (data, data["holdout"], data["selection"])]
    assert [len(part) for part in parts] == [6, 3, 3]
    assert len(set.union(*parts)) == 12
    assert "3 originals held out for scores, 3 to select the best checkpoint" in said[0]
    last = read_jsonl(run.scores)[-1]
    assert last["identity"]["reals"] == data["holdout"]["fingerprint"] != data["selection"]["fingerprint"]
    [again] = score(run.path, None, ScoreOptions(metrics=("kmmd",), device="cpu"))
    assert again.identity == last["identity"]
    assert again.value == pytest.approx(last["value"], rel=1e-6)
    best = run.best_record()
    assert (best["step"], best["merit"]) == (2, read_jsonl(run.diagnostics)[-1]["merit"])
    assert "3 held-out images, which do nothing else" in best["meaning"]
    assert best["merit"] != pytest.approx(last["value"])
    off = load_data(tiny(tiny_set, **wanted, **{"data.selection": False}), CPU)
    assert ("selection" in off.summary, off.summary["holdout"]["num"], off.selection) == (False, 6, None)
    more = wanted | {"data.selection": False, "train.steps": 4}
    with pytest.raises(UsageError, match=r"data\.selection was None, is False"):
        train(tiny(tiny_set, **more), out=tmp_path / "run", device="cpu", log=said.append)
    monkeypatch.setattr(smallgan.data.split, "LEAST_TO_SELECT", 100)  # as of a run that began before there were halves
    with pytest.raises(UsageError, match=r"holdout was .* if you gave --out, with another folder"):
        train(tiny(tiny_set, **wanted, **{"train.steps": 4}), out=tmp_path / "run", device="cpu", log=said.append)


def test_a_run_does_not_go_on_when_other_images_were_held_out(tiny_set, tmp_path):
    train(tiny(tiny_set), out=tmp_path / "run", device="cpu", log=lambda _line: None)
    extra = np.random.default_rng(1).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    for number in range(4):
        Image.fromarray(np.roll(extra, number, axis=0)).save(tiny_set / f"more-{number}.png")
    with pytest.raises(UsageError, match="the images are not those that this run began with"):
        train(tiny(tiny_set, **{"train.steps": 4}), out=tmp_path / "run", device="cpu", log=lambda _line: None)


def test_a_mixed_dataset_cannot_be_divided(tiny_set, tmp_path):
    source = open_source(tiny_set)
    build(make_plan(source, "hflip", size=32), source, tmp_path / "mixed", workers=1)
    with pytest.raises(UsageError, match=r"data\.holdout 0\.25: .*mixed dataset"):
        load_data(tiny(tmp_path / "mixed"), CPU)
    data = load_data(tiny(tmp_path / "mixed", **{"data.holdout": None, "augment.policy": "none"}), CPU)
    assert "holdout" not in data.summary
