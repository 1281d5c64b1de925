"""ADA's controller by hand, and what it does to the discriminator's images (ADA, APA) in a step."""

import numpy as np
import pytest
import torch
from augmented import diffaugment
from torch.utils._python_dispatch import TorchDispatchMode

from augment.errors import UsageError
from smallgan.core.checkpoint import load_checkpoint, read_tensors, save_checkpoint
from smallgan.core.draws import Draws
from smallgan.core.rng import Stream, rng
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.augmentation import Augmentation
from smallgan.training.controller import Controller

CPU = torch.device("cpu")
ADA = {"method.diffaugment": "translation", "method.ada_target": 0.6}
APA = {"method.apa_target": 0.6}


def four_steps(controller, positive, negative, zero=0):
    """Let a controller see four steps of as many reals of each sign, and return the probability after each."""
    found = []
    for number in range(4):
        signs = torch.tensor([1.0] * positive + [-1.0] * negative + [0.0] * zero)
        controller.observe(signs)
        controller.adjust(number)
        found.append(round(controller.probability.item(), 6))
    return found


def test_the_probability_by_hand():
    controller = Controller(0.6, 0.8, 400)  # images_to_one = 400 / 4: four steps of 5 images move it by 20 / 100
    assert four_steps(controller, 5, 0) == [0, 0, 0, 0.2]  # r_t = 1
    assert four_steps(controller, 5, 0) == [0.2, 0.2, 0.2, 0.4]
    assert four_steps(controller, 4, 1)[-1] == 0.4  # r_t = 12 / 20 is the target
    assert four_steps(controller, 3, 0, 2)[-1] == 0.4  # so is this: a score of 0 counts as neither
    assert four_steps(controller, 3, 2)[-1] == 0.2
    assert [four_steps(controller, 0, 5)[-1] for _ in range(2)] == [0, 0]  # never below 0
    assert [four_steps(controller, 5, 0)[-1] for _ in range(5)] == [0.2, 0.4, 0.6, 0.8, 0.8]  # never above the cap
    assert (controller.signs, controller.images) == (0, 0)


def test_a_long_run_has_the_published_speed():
    controller = Controller(0.6, 0.8, 25_000_000)
    for number in range(4):
        controller.observe(torch.ones(64))
        controller.adjust(number)
    assert controller.probability.item() == pytest.approx(64 * 4 / 500_000)


def recipe(**overrides):
    settings = {"data.size": 32, "model.base_width": 8, "model.d_norm": "none", "train.batch_size": 4}
    return load_recipe(None, settings | {"train.steps": 40} | overrides)


def batches(settings):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    size = settings.train.batch_size * settings.method.d_steps
    return ImageBatches(pixels, size, settings.seed, CPU)


def run(trainer, settings, first, last):
    found = batches(settings)
    return [trainer.step(found.batch(number), number) for number in range(first, last)]


def seen_by_the_discriminator(monkeypatch, trainer, score=0.0):
    """Let the discriminator keep the images of each pass, and add `score` to its scores."""
    seen, inner = [], trainer.discriminator.forward
    monkeypatch.setattr(
        trainer.discriminator, "forward", lambda images: seen.append(images.detach()) or inner(images) + score
    )
    return seen


@pytest.mark.parametrize("d_steps", [1, 2])
def test_ada_augments_more_while_all_reals_score_above_0(monkeypatch, d_steps):
    # 40 steps of 4 d_steps images: images_to_one is 40 d_steps, and four steps move the probability by 0.4.
    settings = recipe(**ADA, **{"method.d_steps": d_steps})
    trainer = build_trainer(settings, CPU)
    seen = seen_by_the_discriminator(monkeypatch, trainer, 100.0)
    terms = run(trainer, settings, 0, 13)
    assert [round(each["augment_p"].item(), 6) for each in terms] == [0] * 4 + [0.4] * 4 + [0.8] * 5
    assert {each["r_t"].item() for each in terms} == {1.0}
    passes = d_steps + 1
    for number in (0, 4, 12):  # the reals of the first part of a step are the first images of its first pass
        real = batches(settings).batch(number).images[:4]
        draws = rng(0, Stream.DIFFAUGMENT, 3 * number * d_steps)
        moved = diffaugment(real, ("translation",), draws)
        chosen = torch.from_numpy(draws.uniform(0, 1, 4)) < terms[number]["augment_p"]
        expected = torch.where(chosen[:, None, None, None], moved, real)
        assert torch.equal(seen[passes * number][:4], expected), number


def test_ada_augments_less_while_reals_score_below_0(monkeypatch):
    settings = recipe(**ADA)
    trainer = build_trainer(settings, CPU)
    trainer.networks["ada"].probability.fill_(0.5)
    seen_by_the_discriminator(monkeypatch, trainer, -100.0)
    terms = run(trainer, settings, 0, 9)
    assert [round(each["augment_p"].item(), 6) for each in terms] == [0.5] * 4 + [0.1] * 4 + [0]
    assert {each["r_t"].item() for each in terms} == {-1.0}


def test_r_t_counts_from_the_middle_of_the_losss_targets():
    scores = torch.tensor([0.4, 0.6, 0.7, 2.0])
    for loss, r_t in (("nonsaturating", 1.0), ("hinge", 1.0), ("lsgan", 0.5)):  # least squares aims at 0 and 1
        found = Augmentation(recipe(loss=loss, **ADA), CPU, Draws(CPU, lambda _step: ())).observe(scores)
        assert found["r_t"].item() == r_t


@pytest.mark.parametrize("d_steps", [1, 2])
def test_apa_puts_fakes_in_the_place_of_reals(monkeypatch, d_steps):
    settings = recipe(**APA, **{"method.d_steps": d_steps})
    trainer = build_trainer(settings, CPU)
    seen = seen_by_the_discriminator(monkeypatch, trainer)
    for number, probability in ((5, 0.0), (6, 0.5), (7, 1.0)):
        trainer.networks["apa"].probability.fill_(probability)
        seen.clear()
        batch = batches(settings).batch(number)
        terms = trainer.step(batch, number)
        assert terms["apa_p"] == probability
        assert "augment_p" not in terms
        for part in range(d_steps):
            shown, fake = seen[part].chunk(2)
            real = batch.images[4 * part : 4 * part + 4]
            draws = rng(0, Stream.PSEUDO_REALS, number * d_steps + part).uniform(0, 1, 4)
            replaced = torch.from_numpy(draws < probability)
            assert torch.equal(shown, torch.where(replaced[:, None, None, None], fake, real))


def test_both_have_a_probability_of_their_own(monkeypatch):
    settings = recipe(**ADA, **APA, **{"method.ada_cap": 0.3, "method.apa_cap": 0.2})
    trainer = build_trainer(settings, CPU)
    seen_by_the_discriminator(monkeypatch, trainer, 100.0)
    last = run(trainer, settings, 0, 5)[-1]
    assert (last["augment_p"].item(), last["apa_p"].item()) == pytest.approx((0.3, 0.2))


class Counted(TorchDispatchMode):
    """Counts how often the host reads a number of a tensor."""

    reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_the_host_reads_nothing_of_the_controllers():
    settings = recipe(**ADA, **APA, **{"regularizers.lecam.start": 0})
    trainer = build_trainer(settings, CPU)
    with Counted() as counted:
        run(trainer, settings, 0, 5)
        assert counted.reads == 0
        trainer.networks["ada"].probability.item()
        assert counted.reads == 1


STATEFUL = {
    "method.diffaugment": "color,translation,cutout",
    "method.diffaugment_fill": "reflect",
    "method.ada_target": -0.9,
    "method.apa_target": -0.9,
    "method.lr_decay_from": 0.1,
    "method.ema_kimg": 0.1,
    "regularizers.lecam.start": 3,
}


def test_a_checkpoint_within_an_interval_resumes_bit_by_bit(tmp_path):
    settings = recipe(**STATEFUL)
    whole, one, other = (build_trainer(settings, CPU) for _ in range(3))
    run(whole, settings, 0, 10)
    run(one, settings, 0, 6)
    save_checkpoint(tmp_path / "000006", one, {"step": 6, **one.description})
    for name in ("ada", "apa"):
        kept = read_tensors(tmp_path / "000006", f"{name}.")
        assert kept.keys() == {"probability", "signs", "images"}
        assert kept["images"] == 8  # two steps after the adjustment at the fourth
        assert kept["probability"] > 0
    assert read_tensors(tmp_path / "000006", "lecam.")["real_mean"] != 0
    load_checkpoint(tmp_path / "000006", other)
    run(other, settings, 6, 10)
    for name, network in whole.networks.items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, other.networks[name].state_dict()[key]), f"{name}.{key}"


@pytest.mark.parametrize("key", ["method.ada_target", "method.apa_target", "regularizers.lecam.weight"])
def test_a_loss_of_differences_has_no_scores_to_follow(key):
    with pytest.raises(
        UsageError, match=rf"{key.removesuffix('.weight')}: .*the loss relativistic gives only differ.* lsg"
    ):
        recipe(**{"method.diffaugment": "color", "loss": "relativistic", key: 0.5})
