"""What the discriminator makes of images, and a run's readings: they change nothing and are there after a kill."""

import numpy as np
import pytest
import torch
from doomed import Killed, kill_at

import smallgan.data.split
import smallgan.training.train
from smallgan.core.run_dir import read_jsonl
from smallgan.data.images import ImageBatches, LabelledRows, PixelRows
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.data import load_data
from smallgan.training.probe import Probe, r_v, told_apart
from smallgan.training.train import train

CPU = torch.device("cpu")
TINY = {"data.size": 32, "model.base_width": 8, "train.batch_size": 4, "train.steps": 6, "train.snapshot_every": 3}


def rows(count, seed=0, classes=1):
    draws = np.random.default_rng(seed)
    pixels = draws.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return LabelledRows(PixelRows(pixels), np.arange(count) % classes)


def test_the_share_of_pairs_and_the_ratio_of_karras_by_hand():
    scores = np.array([3.0, 1.0])
    assert told_apart(scores, np.array([2.0, 0.0, 1.0])) == (3 + 1.5) / 6
    assert told_apart(scores, scores - 10) == 1
    assert told_apart(scores, scores + 10) == 0
    assert r_v(scores, np.array([1.0]), np.array([0.0, 0.0])) == 0.5
    assert r_v(scores, np.array([2.0]), np.array([-1.0])) == 0
    assert r_v(scores, np.array([2.0]), np.array([2.5])) is None


def test_a_probe_shows_one_kind_at_a_time_in_whole_batches_of_training():
    """Training images are white (score 1), held-out ones black (0), fakes gray (0.5 of the way)."""
    seen = []

    def score(images, _labels, position):
        assert images.unique().numel() == 1
        seen.append((len(images), float(images.mean()), position))
        return images.mean((1, 2, 3))

    def white(count, level):
        return LabelledRows(PixelRows(np.full((count, 32, 32, 3), level, np.uint8)), np.zeros(count, np.int64))

    probe = Probe(lambda z, _labels: torch.zeros(len(z), 3, 32, 32), score, 5, 12, seed=0)
    assert probe.read(white(300, 255), white(20, 0), CPU) == {"told_apart": 1.0, "r_v": 2.0}
    assert {size for size, *_ in seen} == {12}
    assert [sum(level == kind for _, level, _ in seen) for kind in (1, 0, -1)] == [21, 21, 1]  # 256 // 12, 20 // 12
    assert len({position for *_, position in seen}) == len(seen), "each batch is augmented by draws of its own"
    assert probe.read(white(300, 255), white(15, 0), CPU).keys() == {"told_apart"}, "of 15 a mean says little"
    probe = Probe(lambda z, _labels: torch.ones(len(z), 3, 32, 32), score, 5, 12, seed=0)
    assert probe.read(white(300, 255), white(20, 0), CPU) == {"told_apart": 0.5}, "fakes score as training images do"


@pytest.mark.parametrize(
    ("settings", "classes"),
    [
        ({"method.diffaugment": "color,translation", "method.ada_target": 0.6, "method.mirror": True}, ()),
        ({"model.d_norm": "none", "loss.name": "relativistic"}, ()),
        ({"model.name": "biggan", "model.base_width": 8}, ("a", "b")),
    ],
)
def test_a_probe_does_not_change_the_next_step(settings, classes):
    recipe = load_recipe(None, TINY | settings)
    images = rows(10, classes=len(classes) or 1)
    batches = ImageBatches(images.pixels[:10], batches_size(recipe), 0, CPU, images.labels if classes else None)
    one, other = (build_trainer(recipe, CPU, classes) for _ in range(2))
    found = []
    for number in range(2):
        found.append(one.probe(images, rows(16, 1, len(classes) or 1)))
        assert found[-1] == one.probe(images, rows(16, 1, len(classes) or 1)), "twice the same"
        terms = [trainer.step(batches.batch(number), number) for trainer in (one, other)]
        assert all(torch.equal(terms[0][name], terms[1][name]) for name in terms[1])
    for name, network in one.networks.items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, other.networks[name].state_dict()[key]), f"{name}.{key}"
    assert found[0] != found[1]
    assert all(0 <= each["told_apart"] <= 1 for each in found)


def test_fewer_images_than_a_pack_are_not_probed():
    trainer = build_trainer(load_recipe(None, TINY | {"method.pack": 4}), CPU)
    assert trainer.probe(rows(3), None) == {}


def batches_size(recipe):
    return recipe.train.batch_size * recipe.method.d_steps


@pytest.fixture
def halved(tiny_set, monkeypatch):
    """A recipe on twelve shapes: six trained on, three compared with, three that select."""
    monkeypatch.setattr(smallgan.data.split, "LEAST_TO_SELECT", 6)
    wanted = {"data.source": str(tiny_set), "data.holdout": 0.5, "score.metrics": ["kmmd"], "score.num_fake": 8}
    return load_recipe(None, TINY | wanted | {"train.steps": 9})


def test_killed_and_resumed_has_the_readings_of_an_uninterrupted_run(halved, tmp_path, monkeypatch):
    said = []
    whole = train(halved, out=tmp_path / "whole", device="cpu", log=said.append)
    inner = smallgan.training.train.prepare
    with monkeypatch.context() as patched:
        patched.setattr(smallgan.training.train, "prepare", lambda *given: (kill_at((m := inner(*given))[0], 7), m[1]))
        with pytest.raises(Killed):
            train(halved, out=tmp_path / "cut", device="cpu", log=lambda _line: None)
    cut = train(halved, out=tmp_path / "cut", device="cpu", log=lambda _line: None)
    assert (cut.checkpoint(9) / "tensors.safetensors").read_bytes() == (
        whole.checkpoint(9) / "tensors.safetensors"
    ).read_bytes()
    readings = read_jsonl(whole.diagnostics)
    assert read_jsonl(cut.diagnostics) == readings
    assert [one["step"] for one in readings] == [0, 3, 6, 9]
    assert all({"merit", "copies", "alike", "told_apart", "num_fake"} <= one.keys() for one in readings)
    assert not any("r_v" in one for one in readings), "three held-out images are too few"
    assert any(f"step {whole.best_step()}" in line and "smallgan sample" in line for line in said)


def test_without_a_discriminator_and_without_held_out_images_the_rest_is_read(tiny_set, tmp_path):
    wanted = {"data.source": str(tiny_set), "method.name": "bsa", "method.perceptual": "none", "train.steps": 1}
    recipe = load_recipe(None, wanted | {"train.batch_size": 4, "score.metrics": ["kmmd"], "score.num_fake": 8})
    run = train(recipe, out=tmp_path / "run", device="cpu", log=lambda _line: None)
    [_, last] = read_jsonl(run.diagnostics)
    assert last.keys() == {"step", "num_fake", "copies", "copies_expected", "recall", "alike"}


def test_images_held_out_come_with_their_classes_and_those_of_other_classes_are_left_out(tiny_set):
    for index, path in enumerate(sorted(tiny_set.iterdir())):
        folder = tiny_set / ("ab"[index % 2])
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    wanted = {"data.source": str(tiny_set), "data.size": 32, "data.holdout": 0.5}
    data = load_data(load_recipe(None, wanted), CPU)
    training, held = data.to_probe(["a", "b"])
    assert [label == "b" for label in data.held_labels] == held.labels.tolist()
    assert len(training.pixels) == len(held.pixels) == 6
    only_a = data.to_probe(["a"])[1]
    assert len(only_a.pixels) == data.held_labels.count("a")
    assert data.to_probe(())[1].labels.tolist() == [0] * 6
