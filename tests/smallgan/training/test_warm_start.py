"""The warm start: how strongly it counts when, what it compares, and that a run with it resumes bit for bit."""

import numpy as np
import pytest
import torch

from smallgan.core.checkpoint import load_checkpoint, read_tensors, save_checkpoint
from smallgan.core.rng import Stream, normal
from smallgan.data.images import ImageBatches, to_images
from smallgan.tables.recipe import load_recipe, step_keys
from smallgan.tables.regularizers import WarmStartOptions
from smallgan.training.adversarial import build_trainer
from smallgan.training.pca_latents import PCALatents, blended
from smallgan.training.regularizers.warm_start import WarmStart
from smallgan.training.step import StepContext

CPU = torch.device("cpu")


def pixels(count=9):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


class Network(torch.nn.Module):
    z_dim = 5


def context(number, generate, seed=2):
    real = to_images(torch.from_numpy(pixels()[:4]))
    labels, scores = torch.zeros(4, dtype=torch.int64), torch.zeros(4)
    return StepContext(number, real, real, labels, None, scores, lambda x: x, generate, seed)


def recipe(**overrides):
    settings = {"data.size": 32, "model.base_width": 8, "model.z_dim": 6, "train.batch_size": 4}
    return load_recipe(None, settings | overrides)


def trainer(settings):
    return build_trainer(settings, CPU, pixels=pixels())


@pytest.mark.parametrize(("number", "share"), [(0, 1), (9, 1), (10, 1), (13, 0.7), (15, 0.5), (19, 0.1)])
def test_it_counts_in_full_then_less_by_equal_parts(number, share):
    penalty = WarmStart(WarmStartOptions(steps=10), Network(), torch.Generator(), pixels())
    real = context(0, None).real
    # A constant is in no level of a Laplacian pyramid, so 0.25 is the pixels' part alone.
    assert penalty(context(number, lambda _z: real + 0.25)).item() == pytest.approx(0.25 * share)
    assert penalty(context(number, lambda _z: real)).item() == 0


def test_it_does_no_work_once_it_has_faded():
    penalty = WarmStart(WarmStartOptions(steps=10), Network(), torch.Generator(), pixels())
    for number in (20, 21, 5000):
        assert penalty(context(number, None)).item() == 0


def test_latents_are_the_principal_components_of_the_real_batch_with_noise():
    asked, seen = [], context(3, None)
    penalty = WarmStart(WarmStartOptions(), Network(), torch.Generator(), pixels())
    penalty(context(3, lambda z: asked.append(z) or seen.real))
    filling, around = torch.from_numpy(normal(2, Stream.WARM_START, 3, (2, 4, 5)))
    wanted = blended(PCALatents(pixels(), 5)(seen.real, filling), around, 0.3)
    torch.testing.assert_close(asked[0], wanted)


def test_the_generator_learns_it_and_without_it_a_step_is_as_before():
    plain, other, faded = (
        trainer(recipe(**{"regularizers.warm_start": own})) for own in (None, {"steps": 3}, {"steps": 3})
    )
    batch = ImageBatches(pixels(), 4, 0, CPU).batch(0)
    assert "warm_start" not in plain.step(batch, 6)
    told = other.step(batch, 0)["warm_start"]
    assert told > 0
    faded.step(batch, 6)
    same = [torch.equal(*each) for each in zip(plain.generator.parameters(), faded.generator.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(plain.generator.project.weight, other.generator.project.weight)


def test_resumed_equals_uninterrupted_and_its_components_are_in_the_checkpoint(tmp_path):
    settings = recipe(**{"regularizers.warm_start": {"steps": 2}, "train.precision": "bf16"})
    found = ImageBatches(pixels(), 4, 0, CPU)
    whole, one, other = (trainer(settings) for _ in range(3))
    for number in range(5):
        whole.step(found.batch(number), number)
    for number in range(2):
        one.step(found.batch(number), number)
    save_checkpoint(tmp_path / "000002", one, {"step": 2})
    assert read_tensors(tmp_path / "000002", "warm_start.")["latents.components"].shape == (3 * 16**2, 6)
    load_checkpoint(tmp_path / "000002", other)
    for number in range(2, 5):
        other.step(found.batch(number), number)
    for name, network in whole.networks.items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, other.networks[name].state_dict()[key]), f"{name}.{key}"


def test_its_steps_grow_with_a_longer_run():
    assert "regularizers.warm_start.steps" in step_keys(recipe(**{"regularizers.warm_start": {}}))
    assert not any("warm_start" in key for key in step_keys(recipe()))


@pytest.mark.slow
def test_reconstruction_alone_improves_with_steps():
    settings = recipe(**{"regularizers.warm_start": {"steps": 30, "weight": 100}, "method.lr_g": 2e-3})
    one, found = trainer(settings), ImageBatches(pixels(), 4, 0, CPU)
    told = [one.step(found.batch(number), number)["warm_start"].item() for number in range(30)]
    assert np.mean(told[-5:]) < 0.9 * np.mean(told[:5])
