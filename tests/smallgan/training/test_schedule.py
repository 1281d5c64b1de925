"""Learning rates over a run, and the half-life of the averaged generator."""

import doctest

import numpy as np
import pytest
import torch

from smallgan.core.checkpoint import load_checkpoint, save_checkpoint
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training import schedule
from smallgan.training.adversarial import build_trainer
from smallgan.training.ema import decay_of_half_life
from smallgan.training.schedule import linear_decay

CPU = torch.device("cpu")


def test_docstring_examples_hold():
    assert doctest.testmod(schedule).failed == 0


def test_the_decay_by_hand():
    assert [linear_decay(step, 10, 0.6) for step in (0, 5, 6)] == [1.0, 1.0, 1.0]
    assert [linear_decay(step, 10, 0.6) for step in (7, 8, 9, 10)] == [0.75, 0.5, 0.25, 0.0]
    assert [linear_decay(step, 4, 0.0) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def trainer_of(**overrides):
    settings = {"data.size": 32, "model.base_width": 8, "train.batch_size": 4, "train.steps": 8}
    return build_trainer(load_recipe(None, settings | overrides), CPU)


def rates(trainer, first, last):
    """Take steps and return the rates of generator and discriminator in each."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    batches, found = ImageBatches(pixels, 4, 0, CPU), []
    for number in range(first, last):
        trainer.step(batches.batch(number), number)
        found.append(tuple(trainer.optimizers[name].param_groups[0]["lr"] for name in "gd"))
    return found


DECAYING = {"method.lr_g": 1e-3, "method.lr_d": 2e-3, "method.lr_decay_from": 0.5}


def test_both_rates_fall_over_the_rest_of_the_run():
    factors = [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert rates(trainer_of(**DECAYING), 0, 8) == [(1e-3 * factor, 2e-3 * factor) for factor in factors]


def test_rates_are_constant_by_default():
    assert rates(trainer_of(), 0, 3) == [(2e-4, 2e-4)] * 3


def test_a_finished_run_with_more_steps_has_the_rates_of_the_longer_run_from_there_on(tmp_path):
    short, longer = trainer_of(**DECAYING), trainer_of(**DECAYING, **{"train.steps": 16})
    rates(short, 0, 8)
    save_checkpoint(tmp_path / "000008", short, {"step": 8, **short.description})
    load_checkpoint(tmp_path / "000008", longer)
    factors = [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert rates(longer, 8, 16) == [(1e-3 * factor, 2e-3 * factor) for factor in factors]


def test_a_half_life_halves_in_that_many_images():
    assert decay_of_half_life(10, 16) ** (10_000 / 16) == pytest.approx(0.5)
    assert decay_of_half_life(0.5, 500) == 0.5


def test_a_half_life_counts_the_images_of_a_step():
    assert trainer_of(**{"method.ema_kimg": 0.004}).ema_decay == 0.5
    assert trainer_of(**{"method.ema_kimg": 0.004, "method.d_steps": 2}).ema_decay == 0.25
    assert trainer_of(**{"method.ema_decay": 0.9}).ema_decay == 0.9
    biggan = {"model": "biggan", "method.ema_kimg": 0.004}  # whose own default is a decay of 0.9999
    assert load_recipe(None, biggan).method.ema_kimg == 0.004
