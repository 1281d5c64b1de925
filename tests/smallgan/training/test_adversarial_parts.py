"""A step in parts is the step on the whole batch, and is refused where it would not be."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sampled_models import pixels
from tensors import tensors

from augment.errors import UsageError
from smallgan.core.study_dir import StudyDir
from smallgan.data.images import ImageBatches
from smallgan.models.dcgan import DCGANDiscriminator, DCGANGenerator
from smallgan.study.stages import refuse_other_inputs
from smallgan.tables.losses import LOSSES
from smallgan.tables.recipe import load_recipe
from smallgan.tables.regularizers import REGULARIZERS
from smallgan.tables.train_flags import rows
from smallgan.training.adversarial import build_trainer
from smallgan.training.adversarial_parts import obstacle
from smallgan.training.out_of_memory import with_micro_batch

CPU = torch.device("cpu")
BY_IMAGE = {"model.base_width": 8, "model.g_norm": "layer", "model.d_norm": "none", "data.size": 32}
FULL = {
    "method.diffaugment": "color,translation,cutout",
    "method.mirror": True,
    "method.ada_target": 0.6,
    "method.apa_target": 0.6,
    "regularizers": {"r1": {"weight": 1.0, "every": 2}, "orthogonal": {"weight": 1.0}},
}


def recipe(**overrides):
    return load_recipe(None, BY_IMAGE | {"train.batch_size": 6} | overrides)


def trained(settings, micro_batch, steps=3):
    """A trainer in float64 after some steps, and the terms of the last."""
    trainer = build_trainer(settings, CPU)
    for network in trainer.networks.values():
        network.double()
    trainer.micro_batch = micro_batch
    batches = ImageBatches(pixels(), 6 * settings.method.d_steps, 0, CPU)
    for number in range(steps):
        batch = batches.batch(number)
        terms = trainer.step(batch._replace(images=batch.images.double()), number)
    return trainer, terms


@pytest.fixture
def latents_in_float64(monkeypatch):
    from smallgan.training.adversarial import AdversarialTrainer

    latents = AdversarialTrainer.latents
    monkeypatch.setattr(AdversarialTrainer, "latents", lambda *where: latents(*where).double())
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.slow
@pytest.mark.usefixtures("latents_in_float64")
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize(
    "settings",
    [FULL, FULL | {"method.d_steps": 2, "loss.name": "hinge"}, {"loss.name": "relativistic", "method.mirror": True}],
    ids=["all", "two discriminator steps", "relativistic"],
)
def test_parts_of_a_batch_move_the_weights_as_the_whole_does(settings, size):
    (whole, told), (parts, told_in_parts) = (trained(recipe(**settings), each) for each in (None, size))
    wanted, found = tensors(whole), tensors(parts)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-7, atol=1e-9, msg=name)
    assert told.keys() == told_in_parts.keys()
    for name, value in told.items():
        torch.testing.assert_close(told_in_parts[name], value, rtol=1e-7, atol=1e-9, msg=name)


def test_only_a_part_goes_through_the_networks_at_a_time(monkeypatch):
    trainer, seen = build_trainer(recipe(), CPU), []
    for network in (trainer.generator, trainer.discriminator):
        inner = network.forward
        monkeypatch.setattr(network, "forward", lambda x, inner=inner: seen.append(len(x)) or inner(x))
    trainer.micro_batch = 4
    trainer.step(ImageBatches(pixels(), 6, 0, CPU).batch(0), 0)
    # fakes; reals and fakes of each part in one pass; fakes again, each part scored at once
    assert seen == [4, 2, 8, 4, 4, 4, 2, 2]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model.g_norm": "batch"}, "the generator has batch norm, so an image depends on its whole batch"),
        ({"model.d_norm": "batch"}, "the discriminator has batch norm"),
        ({"regularizers.lecam.weight": 1.0}, "the regularizer lecam looks at the whole batch"),
    ],
)
def test_what_forbids_parts_is_named(changes, why):
    settings = recipe(**changes, **{"train.micro_batch": 2})
    with pytest.raises(UsageError, match=f"train.micro_batch 2: {why}.*use a smaller train.batch_size"):
        with_micro_batch(settings, lambda: (build_trainer(settings, CPU), None), print)


@pytest.mark.parametrize("model", ["biggan", "fastgan"])
def test_models_with_batch_norm_are_refused(model):
    over = {"model.name": model, "model.base_width": 8, "data.size": 32, "train.micro_batch": "auto"}
    settings = load_recipe(None, over)
    with pytest.raises(UsageError, match=r"train.micro_batch auto: the generator has batch norm"):
        with_micro_batch(settings, lambda: (build_trainer(settings, CPU), None), print)


def test_a_row_that_says_nothing_of_images_is_taken_to_look_at_the_whole():
    from dataclasses import replace

    networks = DCGANGenerator(32, 4, 8, "layer"), DCGANDiscriminator(32, 8, "none")
    assert obstacle(*networks, LOSSES["hinge"], [REGULARIZERS["r1"]]) is None
    own = replace(LOSSES["hinge"], name="own", by_image=False)
    assert obstacle(*networks, own, []) == "the loss own looks at the whole batch"


def test_the_recipe_takes_a_number_and_auto_alone():
    assert recipe(**{"train.micro_batch": 4}).train.micro_batch == 4
    assert recipe(**{"train.micro_batch": "4"}).train.micro_batch == 4
    assert recipe(**{"train.micro_batch": "auto"}).train.micro_batch == "auto"
    for wrong in (0, "half", -1):
        with pytest.raises(UsageError, match=r"train\.micro_batch"):
            recipe(**{"train.micro_batch": wrong})


def test_no_micro_batch_is_the_step_as_it_was():
    found = [trained_plain(recipe(**{"train.micro_batch": each})) for each in (None, 6)]
    assert all(np.array_equal(*each) for each in zip(*found, strict=True))


def trained_plain(settings):
    trainer, batches = with_micro_batch(
        settings, lambda: (build_trainer(settings, CPU), ImageBatches(pixels(), 6, 0, CPU)), print
    )
    trainer.step(batches.batch(0), 0)
    return [value.numpy() for value in tensors(trainer).values()]


def test_a_run_of_a_study_goes_on_with_another_micro_batch(tmp_path):
    jobs = [
        SimpleNamespace(recipe=recipe(**more), data=SimpleNamespace(fingerprint="0"), run=tmp_path / "run")
        for more in ({}, {"train.micro_batch": 2}, {"train.micro_batch": "auto"}, {"train.batch_size": 5})
    ]
    inputs = [refuse_other_inputs(job, StudyDir(tmp_path)) for job in jobs]
    assert inputs[0] == inputs[1] == inputs[2] != inputs[3]


def test_one_key_serves_all_methods():
    assert rows()["micro_batch"][1].keys == "train.micro_batch"
    for name in ("apgc", "adversarial"):
        with pytest.raises(UsageError, match=r"method\.micro_batch"):
            load_recipe(None, {"method.name": name, "method.micro_batch": 2})
