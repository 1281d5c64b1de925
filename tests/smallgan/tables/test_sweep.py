"""Grids become variants, variants become runs with equal shares of work, and what they share is one run."""

import json
import pickle
import re

import pytest

import smallgan.data.split
from augment.errors import UsageError
from smallgan.core.study_dir import StudyDir, Trial
from smallgan.study.plan import num_images, plan_jobs
from smallgan.tables.recipe import (
    Recipe,
    dump_recipe,
    dump_study,
    json_schema,
    load_recipe,
    read_recipe,
    variant_recipe,
    variants_of,
)
from smallgan.tables.sweep import expand_grid, slug

BASE = {
    "data.size": 32,
    "train.batch_size": 4,
    "train.steps": 100,
    "train.report_every": 10,
    "train.snapshot_every": 20,
}


def study_of(source, grid, **overrides):
    return load_recipe(None, BASE | {"data.source": str(source), "grid": grid} | overrides)


def jobs_of(source, grid, tmp_path, **overrides):
    return plan_jobs(study_of(source, grid, **overrides), StudyDir(tmp_path / "study"))


def by_name(jobs):
    return {job.trial.variant: job for job in jobs if job.trial}


def test_a_product_has_every_combination_and_none_only_once():
    variants, mistakes = expand_grid({"augment.policy": ["none", "hflip"], "augment.ratio": ["1:1", "1:2"]})
    assert mistakes == []
    assert [(variant.name, variant.overrides) for variant in variants] == [
        ("none", {"augment.policy": "none"}),
        ("hflip 1:1", {"augment.policy": "hflip", "augment.ratio": "1:1"}),
        ("hflip 1:2", {"augment.policy": "hflip", "augment.ratio": "1:2"}),
    ]


def test_a_list_takes_dotted_keys_and_sections_alike():
    variants, mistakes = expand_grid([{"name": "a", "train": {"steps": 3}, "data.resize_mode": "pad"}])
    assert (mistakes, variants[0].overrides) == ([], {"train.steps": 3, "data.resize_mode": "pad"})


@pytest.mark.parametrize("given", [{"regularizers.r1": {}}, {"regularizers": {"r1": {}}}])
def test_a_variant_turns_a_regularizer_on_at_its_defaults(given):
    recipe = load_recipe(None, {"grid": [{"name": "plain"}, {"name": "with r1", **given}]})
    chosen = [list(variant_recipe(recipe, each, 0).regularizers.chosen()) for each in variants_of(recipe)]
    assert chosen == [[], ["r1"]]


def test_names_of_variants_become_names_of_folders():
    assert slug("hflip 1:2/x") == "hflip-1-2-x"
    assert slug("hflip:2+contrast") == "hflip-2+contrast"
    assert slug("...") == "variant"


def test_a_variant_has_the_defaults_of_the_method_that_it_chooses():
    recipe = load_recipe(None, {"grid": [{"name": "plain"}, {"name": "apgc", "method": "apgc"}]})
    plain, apgc = (variant_recipe(recipe, variant, 0) for variant in variants_of(recipe))
    assert (plain.model.name, plain.train.batch_size) == ("dcgan", 64)
    assert (apgc.model, apgc.train.batch_size, apgc.train.steps) == (None, 25, 10_000)


def test_a_study_is_written_as_given_and_a_run_with_every_key(tmp_path):
    recipe = study_of("photos", [{"name": "a", "augment.ratio": "1:2"}], **{"budget": "epochs"})
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_study(recipe), encoding="utf-8")
    again = read_recipe(path)
    assert again == recipe
    assert again.train.model_fields_set == recipe.train.model_fields_set
    whole = dump_recipe(Recipe())
    assert "ema_decay" in whole
    assert "grid" not in whole


def test_the_schema_knows_every_section_and_says_what_each_key_is():
    schema = json.loads(json_schema())
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert schema["additionalProperties"] is False
    data = schema["$defs"]["DataSection"]["properties"]
    assert "never trained on" in data["holdout"]["description"]
    assert set(schema["properties"]["model"]["discriminator"]["mapping"]) >= {"dcgan", "biggan"}


def test_variants_see_equally_many_images_and_have_equally_many_checkpoints(tiny_set, tmp_path):
    grid = [{"name": "none"}, {"name": "hflip", "augment.policy": "hflip"}, {"name": "large", "train.batch_size": 8}]
    jobs = by_name(jobs_of(tiny_set, grid, tmp_path))
    seen = {name: job.recipe.train.steps * job.recipe.train.batch_size for name, job in jobs.items()}
    assert set(seen.values()) == {400}
    snapshots = {job.recipe.train.steps / job.recipe.train.snapshot_every for job in jobs.values()}
    assert snapshots == {5.0}
    assert (jobs["none"].num_images, jobs["hflip"].num_images) == (12, 24)


def test_a_budget_of_epochs_trains_larger_sets_longer(tiny_set, tmp_path):
    grid = {"augment.policy": ["none", "hflip", "hflip+contrast"], "augment.ratio": ["1:1", "1:2"]}
    jobs = by_name(jobs_of(tiny_set, grid, tmp_path, budget="epochs"))
    steps = {name: job.recipe.train.steps for name, job in jobs.items()}
    assert (steps["none"], steps["hflip 1:1"], steps["hflip+contrast 1:2"]) == (100, 200, 300)
    assert {job.recipe.train.steps // job.recipe.train.snapshot_every for job in jobs.values()} == {5}
    assert {job.recipe.budget for job in jobs.values()} == {"steps"}


def test_a_variant_that_says_its_steps_takes_them(tiny_set, tmp_path):
    jobs = by_name(jobs_of(tiny_set, [{"name": "a"}, {"name": "b", "train.steps": 7}], tmp_path))
    assert (jobs["a"].recipe.train.steps, jobs["b"].recipe.train.steps) == (100, 7)


def test_epochs_become_steps_where_they_need_more_than_there_are(tiny_set, tmp_path):
    few = by_name(jobs_of(tiny_set, None, tmp_path, **{"train.epochs": 10}))["none"].recipe.train
    assert (few.steps, few.snapshot_every, few.epochs) == (100, 20, None)
    many = by_name(jobs_of(tiny_set, None, tmp_path, **{"train.epochs": 100}))["none"].recipe.train
    assert (many.steps, many.snapshot_every, many.report_every) == (300, 60, 30)


def test_gan_images_come_from_the_plain_variant_of_the_same_seed(tiny_set, tmp_path):
    grid = {"augment.policy": ["gan", "none", "hflip+gan"]}
    jobs = jobs_of(tiny_set, grid, tmp_path, seeds=[1, 2])
    assert [(job.trial.variant, job.recipe.seed) for job in jobs] == [
        (name, seed) for seed in (1, 2) for name in ("gan", "none", "hflip+gan")
    ]
    for job in jobs:
        plain = next(
            other.run for other in jobs if other.trial.variant == "none" and other.recipe.seed == job.recipe.seed
        )
        assert job.needs == (None if job.trial.variant == "none" else plain)
        assert job.recipe.augment.generator == (None if job.needs is None else plain.as_posix())
        assert job.trial.reference is (job.trial.variant == "none")


def test_where_no_variant_is_plain_one_shared_run_makes_the_gan_images(tiny_set, tmp_path):
    grid = [
        {"name": "gan", "augment.policy": "gan"},
        {"name": "more", "augment.policy": "gan", "augment.ratio": "1:2"},
        {"name": "other", "augment.policy": "gan", "method.lr_g": 0.001},
    ]
    jobs = jobs_of(tiny_set, grid, tmp_path)
    shared = [job for job in jobs if job.trial is None]
    assert len(shared) == 2
    needs = {job.trial.variant: job.needs for job in jobs if job.trial}
    assert needs["gan"] == needs["more"] != needs["other"]
    assert {job.recipe.augment.policy for job in shared} == {"none"}
    assert by_name(jobs)["gan"].trial.reference


def test_under_a_budget_of_epochs_the_plain_run_is_that_of_the_plain_variant(tiny_set, tmp_path):
    jobs = jobs_of(tiny_set, {"augment.policy": ["none", "gan"]}, tmp_path, budget="epochs")
    assert [job.trial is None for job in jobs] == [False, False]
    assert jobs[1].needs == jobs[0].run
    assert jobs[1].recipe.train.steps == 200


def test_variants_keep_their_folders_when_others_come_and_go(tiny_set, tmp_path):
    before = jobs_of(tiny_set, {"augment.policy": ["none", "hflip"]}, tmp_path)
    known = [job.trial for job in before]
    recipe = study_of(tiny_set, {"augment.policy": ["vflip", "hflip", "none"]}, seeds=[0, 1])
    after = plan_jobs(recipe, StudyDir(tmp_path / "study"), known)
    runs = {(job.trial.variant, job.recipe.seed): job.trial.run for job in after}
    assert runs["none", 0] == "runs/00-none-seed0"
    assert runs["hflip", 0] == "runs/01-hflip-seed0"
    assert len(set(runs.values())) == len(runs) == 6


def test_a_changed_variant_of_the_same_name_gets_a_folder_of_its_own(tiny_set, tmp_path):
    known = [Trial(0, "a", {"augment.policy": "hflip"}, 0, "runs/00-a-seed0")]
    recipe = study_of(tiny_set, [{"name": "a", "augment.policy": "vflip"}])
    assert plan_jobs(recipe, StudyDir(tmp_path), known)[0].trial.run == "runs/00-a-seed0-2"


def test_mistakes_in_policies_are_told_of_all_variants_at_once(tiny_set):
    grid = [{"name": "a", "augment.policy": "hflop"}, {"name": "b", "augment.ratio": "0:1"}]
    with pytest.raises(UsageError) as caught:
        study_of(tiny_set, grid)
    message = str(caught.value)
    assert "2 mistake(s)" in message
    assert re.search(r"grid\[0\] \(a\): augment\.policy: policy 'hflop': .*; did you mean 'hflip'", message)
    assert "grid[1] (b): augment.ratio: --ratio '0:1'" in message


def test_what_only_the_images_can_tell_is_told_of_all_variants_at_once(tiny_set, tmp_path):
    grid = [
        {"name": "a", "data.limit": 13},
        {"name": "b", "augment.policy": "hflip"},
        {"name": "c", "data.limit": 12, "data.holdout": 0.5},
    ]
    with pytest.raises(UsageError) as caught:
        jobs_of(tiny_set, grid, tmp_path)
    message = str(caught.value)
    assert "2 variant(s) cannot be run" in message
    assert "grid[0] (a): data.limit 13: 12 of 12 originals are left" in message
    assert "grid[2] (c): data.limit 12: 6 of 12 originals are left" in message


def test_only_a_study_that_samples_the_best_checkpoint_spares_images_to_select_it(tiny_set, tmp_path, monkeypatch):
    monkeypatch.setattr(smallgan.data.split, "LEAST_TO_SELECT", 6)
    found = {}
    for checkpoint, asked in (("last", None), ("best", None), ("best", False), ("last", True)):
        given = {"data.holdout": 0.5, "sample.checkpoint": checkpoint, "data.selection": asked}
        [job] = jobs_of(tiny_set, [{"name": "a"}], tmp_path, **given)
        found[checkpoint, asked] = (job.recipe.data.selection, job.data.num_held, job.data.num_selecting)
    assert found == {
        ("last", None): (False, 6, 0),
        ("best", None): (True, 3, 3),
        ("best", False): (False, 6, 0),
        ("last", True): (True, 3, 3),
    }


def test_smoke_is_the_same_few_steps_for_every_variant(tiny_set, tmp_path):
    grid = [{"name": "a", "train.steps": 900}, {"name": "b", "train.batch_size": 64, "augment.policy": "hflip"}]
    recipe = study_of(tiny_set, grid, seeds=[3, 4], **{"data.size": 128, "data.holdout": 0.2})
    jobs = plan_jobs(recipe, StudyDir(tmp_path), smoke=True)
    assert [job.recipe.seed for job in jobs] == [3, 3]
    assert {(job.recipe.train.steps, job.recipe.train.batch_size, job.recipe.data.size) for job in jobs} == {(4, 4, 32)}
    assert [num_images(job.recipe, job.data) for job in jobs] == [8, 16]


def test_a_recipe_can_be_sent_to_another_process():
    recipe = load_recipe(None, {"model": "biggan", "regularizers": {"r1": {"weight": 2.0}}})
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe
    assert again.regularizers.chosen() == recipe.regularizers.chosen()
    assert dump_study(again) == dump_study(recipe)
