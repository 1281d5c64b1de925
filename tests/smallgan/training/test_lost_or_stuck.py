"""What must not happen to a run: damaged files used as they are, weights lost, a run that is stuck or trained twice."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import smallgan as sg
from augment.core.files import sha256_file
from augment.errors import FailedError, InputError, UsageError
from smallgan.core.checkpoint import STATE, TENSORS, read_state
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.metrics.score_paths import score
from smallgan.models.pretrained import load_pretrained
from smallgan.sampling.loading import load_model
from smallgan.tables.recipe import load_recipe
from smallgan.training import adversarial, reconstruction
from smallgan.training.train import train

TINY = {
    "data.size": 32,
    "model.base_width": 8,
    "train.batch_size": 4,
    "train.steps": 6,
    "train.report_every": 3,
    "train.snapshot_every": 3,
    "score.metrics": [],
}


def start(source, root, said=None, *, options=None, **overrides):
    recipe = load_recipe(None, TINY | {"data.source": str(source)} | overrides)
    log = (lambda _line: None) if said is None else said.append
    return train(recipe, root=root, device="cpu", log=log, **(options or {}))


@pytest.fixture
def run(tiny_set, tmp_path):
    return start(tiny_set, tmp_path / "runs")


def weights(run, step):
    return load_file(run.checkpoint(step) / TENSORS)


def overwrite(run, step, change, *, with_hash=False):
    """Change the tensors of a checkpoint; `with_hash`: as if they had been saved so."""
    path = run.checkpoint(step) / TENSORS
    tensors = {name: change(tensor) for name, tensor in load_file(path).items()}
    save_file(tensors, path)
    if with_hash:
        state = json.loads((run.checkpoint(step) / STATE).read_text(encoding="utf-8"))
        state["tensors_sha256"] = sha256_file(path)
        (run.checkpoint(step) / STATE).write_text(json.dumps(state), encoding="utf-8")


def noise(tensor):
    return np.random.default_rng(0).normal(size=tensor.shape).astype(tensor.dtype)


def not_a_number(tensor):
    return np.full_like(tensor, np.nan) if tensor.dtype.kind == "f" else tensor


def test_a_checkpoint_of_noise_is_named_and_the_one_before_it_sampled(run):
    overwrite(run, 6, noise)
    model = load_model(run.path, torch.device("cpu"))
    assert model.step == 3
    assert "step-000006" in model.notes[0]
    assert "SHA-256" in model.notes[0]
    with pytest.raises(InputError, match=r"step-000006.*damaged"):
        load_model(run.path, torch.device("cpu"), "6")


def test_a_damaged_last_checkpoint_is_no_source_and_export_names_it(run, capsys):
    overwrite(run, 6, noise)
    found = load_pretrained(run.path)
    assert found.path.parent == run.checkpoint(3)
    assert "step-000006" in found.notes[0]
    with pytest.raises(InputError, match=r"step-000006.*this checkpoint is damaged .*; name the folder of another one"):
        load_pretrained(run.checkpoint(6) / TENSORS)
    [file] = sg.export(run.path, "safetensors")
    assert file.name == "step-000003.safetensors"
    assert f"{run.checkpoint(6) / TENSORS}: this checkpoint is damaged" in capsys.readouterr().err
    sg.load(run.path, device="cpu").sample(1)
    assert "step-000006" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("change", [noise, not_a_number], ids=["noise", "NaN"])
def test_a_damaged_last_checkpoint_is_not_resumed_from_and_the_end_is_the_same(run, tiny_set, tmp_path, change):
    whole = start(tiny_set, tmp_path / "other", **{"train.steps": 9})
    overwrite(run, 6, change, with_hash=change is not_a_number)
    said = []
    resumed = start(tiny_set, tmp_path / "runs", said, **{"train.steps": 9})
    assert resumed.path == run.path
    assert any("step-000006" in line for line in said)
    assert any("resumed from step 3" in line for line in said)
    for name, tensor in weights(whole, 9).items():
        np.testing.assert_array_equal(tensor, weights(resumed, 9)[name], err_msg=name)
    assert [line["step"] for line in read_jsonl(resumed.stats)] == [3, 6, 9]


def test_a_run_without_a_usable_checkpoint_says_so(run, tiny_set, tmp_path):
    for step in (3, 6):
        overwrite(run, step, noise)
    with pytest.raises(InputError, match="none of its checkpoints can be used"):
        load_model(run.path, torch.device("cpu"))
    with pytest.raises(InputError, match="none of its checkpoints can be used"):
        start(tiny_set, tmp_path / "runs", **{"train.steps": 9})


def test_weights_that_diverged_in_the_last_update_are_not_saved(tiny_set, tmp_path, monkeypatch):
    step = adversarial.AdversarialTrainer.step

    def breaks(trainer, batch, number):
        losses = step(trainer, batch, number)
        if number == 5:  # the sixth step, on which a snapshot stands; its losses came before its update
            with torch.no_grad():
                next(trainer.generator.parameters()).fill_(float("nan"))
        return losses

    with monkeypatch.context() as patched:
        patched.setattr(adversarial.AdversarialTrainer, "step", breaks)
        with pytest.raises(FailedError, match=r"not finite after step 6; the checkpoint of step 3 is kept"):
            start(tiny_set, tmp_path / "runs")
    run = start(tiny_set, tmp_path / "runs")
    assert run.checkpoint_steps() == [3, 6]
    assert all(np.isfinite(tensor).all() for tensor in weights(run, 6).values())


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "{", "[1]", "7", '{"step": "six"}'])
@pytest.mark.parametrize("name", ["data.json", "best.json", "state.json", "environment.json"])
def test_an_empty_or_cut_file_is_told_in_one_line(run, tiny_set, tmp_path, name, content):
    place = {"best.json": run.best, "state.json": run.checkpoint(6) / STATE}.get(name, run.path / name)
    place.write_text(content, encoding="utf-8")
    for attempt in (
        lambda: load_model(run.path, torch.device("cpu")),
        lambda: score(run.path, None, _options()),
        lambda: start(tiny_set, tmp_path / "runs", **{"train.steps": 7}),
    ):
        try:
            attempt()
        except InputError as error:
            assert name in str(error)  # noqa: PT017 - either it works, or the file is named


def _options():
    from smallgan.metrics import score_paths

    made = getattr(score_paths, "ScoreOptions", None) or score_paths.Settings
    return made(metrics=("kmmd",), num_fake=4, device="cpu")


def test_a_run_goes_on_with_the_perceptual_network_that_it_began_with(tiny_set, tmp_path, monkeypatch):
    settings = {"method.name": "imle", "method.pca_steps": 1}
    run = start(tiny_set, tmp_path / "runs", **settings, **{"train.steps": 3})
    shipped = reconstruction._NETWORKS["shipped"]
    monkeypatch.setattr(reconstruction, "_NETWORKS", {"vgg16": shipped, "shipped": shipped})  # "auto" is vgg16 now
    assert start(tiny_set, tmp_path / "runs", **settings).path == run.path
    state = read_state(run.checkpoint(6))
    assert state["perceptual"] == read_state(run.checkpoint(3))["perceptual"]
    assert state["perceptual"]["name"] == "shipped"

    state["perceptual"]["weights_sha256"] = "0" * 64
    (run.checkpoint(6) / STATE).write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"perceptual network of its loss was .*, sha256 0{16}, and is .*put those wei"
    ):
        start(tiny_set, tmp_path / "runs", **settings, **{"train.steps": 9})


def test_a_run_whose_generator_stood_still_from_the_start_goes_on(tiny_set, tmp_path):
    frozen = {"method.freeze_g_at": 0}
    through = start(tiny_set, tmp_path / "through", **frozen)
    start(tiny_set, tmp_path / "runs", **frozen, **{"train.steps": 3})
    run = start(tiny_set, tmp_path / "runs", **frozen)
    found, wanted = weights(run, 6), weights(through, 6)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_finished_run_is_said_to_be_finished_and_not_trained_again(run, tiny_set, tmp_path):
    said = []
    again = start(tiny_set, tmp_path / "runs", said)
    assert again.path == run.path
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["00000-train"]
    assert "already trained to step 6" in said[0]
    assert "--steps" in said[0]
    assert "--new" in said[0]
    assert start(tiny_set, tmp_path / "runs", options={"new": True}).name == "00001-train"


def test_other_images_under_the_same_recipe_are_another_run(run, tiny_set, tmp_path):
    (tiny_set / "shape-00.png").unlink()
    assert start(tiny_set, tmp_path / "runs").name == "00001-train"
    assert run.checkpoint_steps() == [3, 6]


def test_a_run_of_another_version_does_not_stop_a_new_one(tiny_set, tmp_path):
    old = RunDir(tmp_path / "runs" / "00000-train")
    old.create()
    old.recipe.write_text("train: {model: dcgan}\n", encoding="utf-8")
    assert start(tiny_set, tmp_path / "runs").name == "00001-train"


@pytest.mark.slow
def test_a_source_named_in_another_way_is_the_same_run_and_can_be_scored(tiny_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = start("tiny", tmp_path / "runs")
    resumed = start(tiny_set, tmp_path / "runs", **{"train.steps": 7})
    assert resumed.path == first.path
    other = start("tiny", tmp_path / "elsewhere")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")  # here is no folder called tiny
    assert score(other.path, None, _options())[0].value >= 0
    moved = tmp_path / "moved"
    shutil.move(other.path, moved)
    assert score(moved, None, _options())[0].value >= 0
    assert load_model(moved, torch.device("cpu")).step == 6


def test_class_folders_that_a_model_cannot_learn_are_told(tiny_set, tmp_path):
    for number, name in enumerate(sorted(path.name for path in tiny_set.iterdir())):
        folder = tiny_set / ("even", "odd")[number % 2]
        folder.mkdir(exist_ok=True)
        shutil.move(tiny_set / name, folder / name)
    said = []
    start(tiny_set, tmp_path / "runs", said, **{"train.steps": 1})
    assert any("2 class folders are trained as one: dcgan has no classes; use --model biggan" in line for line in said)
