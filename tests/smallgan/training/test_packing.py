"""Packing (PacGAN): what the discriminator sees, how its first layers grow, and what packing is refused with."""

import pytest
import torch
from sampled_models import pixels, run_of
from tensors import tensors
from tiny_training import CPU, TINY, trained

from augment.errors import UsageError
from smallgan.data.images import ImageBatches
from smallgan.models.packing import packed, widen
from smallgan.sampling.pretrained import find_pretrained
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.going_on import start
from smallgan.training.out_of_memory import with_micro_batch
from smallgan.training.scratch import fresh_networks


def test_rows_that_follow_each_other_are_joined_by_their_channels():
    images = torch.arange(4 * 3 * 2 * 2).view(4, 3, 2, 2)
    joined = packed(images, 2)
    assert joined.shape == (2, 6, 2, 2)
    assert torch.equal(joined[1], torch.cat([images[2], images[3]]))
    assert torch.equal(packed(torch.tensor([[1.0], [2.0], [3.0]])[:, :, None, None], 3).flatten(), torch.arange(1.0, 4))
    assert packed(images, 1) is images


def test_a_run_goes_on_with_a_discriminator_of_packs_and_tuning_starts_a_fresh_one(tmp_path):
    recipe = load_recipe(None, TINY | {"method.pack": 2})
    trainer = build_trainer(recipe, CPU)
    run = run_of(trainer, recipe, tmp_path / "run", 1)
    path = str(run.path)
    networks, said = fresh_networks(recipe), []
    start(
        recipe.model_copy(update={"train": recipe.train.model_copy(update={"init": path})}),
        (),
        networks,
        find_pretrained(path),
        said.append,
    )
    assert all(
        torch.equal(value, trainer.discriminator.state_dict()[name]) for name, value in networks[1].state_dict().items()
    )
    assert said == [f"weights of {path}: the averaged generator's and the discriminator's; the optimisers start afresh"]
    found = find_pretrained(path).pretrained
    assert found.discriminator is None
    assert "is not one that judges single images" in found.notes[0]


@pytest.mark.parametrize(("model", "grown"), [("dcgan", 1), ("fastgan", 1), ("biggan", 2)])
def test_only_layers_that_take_the_image_grow(model, grown):
    settings = TINY | {"model.name": model, "regularizers.autoencode": None}
    one, three = (
        build_trainer(load_recipe(None, settings | {"train.batch_size": 6, "method.pack": m}), CPU) for m in (1, 3)
    )
    shapes = [{name: each.shape for name, each in net.discriminator.named_parameters()} for net in (one, three)]
    changed = [name for name, shape in shapes[0].items() if shapes[1][name] != shape]
    assert len(changed) == grown  # BigGAN's first block has a skip path
    for name in changed:
        weight = three.discriminator.get_parameter(name)
        assert weight.shape[1] == 9
        first = one.discriminator.get_parameter(name).detach()
        torch.testing.assert_close(weight[:, :3] * 3**0.5, first)
        assert 0.6 < weight[:, 3:].std() / weight[:, :3].std() < 1.6
    assert torch.equal(one.generator.first_layer.weight, three.generator.first_layer.weight)


def test_a_layer_of_numbers_grows_too():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2), torch.nn.Linear(2, 5))
    widen(network, 2, torch.Generator().manual_seed(0))
    points = torch.ones(6, 2, 1, 1)
    assert network(packed(points, 2)).shape == (3, 5)


def test_a_step_scores_packs_of_reals_and_of_fakes(monkeypatch):
    trainer, _ = trained(0, **{"method.pack": 2})
    seen, inner = [], trainer.discriminator.forward
    monkeypatch.setattr(trainer.discriminator, "forward", lambda images: seen.append(images) or inner(images))
    batch = ImageBatches(pixels(), 4, 0, CPU).batch(0)
    trainer.step(batch, 0)
    reals, fakes, last = seen
    assert torch.equal(reals, packed(batch.images, 2))
    assert fakes.shape == last.shape == (2, 6, 32, 32)
    assert torch.equal(fakes, last)


def test_packs_of_one_are_no_packs_bit_for_bit():
    (plain, terms), (packs, of_packs) = trained(), trained(**{"method.pack": 1})
    assert all(torch.equal(value, of_packs[name]) for name, value in terms.items())
    assert all(torch.equal(value, tensors(packs)[name]) for name, value in tensors(plain).items())


@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty", "consistency", "lecam"])
def test_packs_go_with_penalties_on_scores(name):
    trainer, terms = trained(1, **{"method.pack": 2, "model.d_norm": "none", f"regularizers.{name}": {"weight": 1.0}})
    assert torch.isfinite(terms[name])
    assert trainer.discriminator.from_rgb.weight.shape[1] == 6


def test_the_probe_leaves_an_incomplete_pack_out():
    trainer, _ = trained(0, **{"method.pack": 2})
    found = trainer._scores_as_in_a_step(torch.zeros(5, 3, 32, 32), torch.zeros(5, dtype=torch.int64), 0)
    assert found.shape == (2,)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"train.batch_size": 5}, r"train\.batch_size: 5 images make no whole packs of 2; use 4 or 6"),
        ({"method.apa_target": 0.6}, r"method\.pack: a pack is all real or all fake, and method\.apa_target"),
        ({"model.name": "fastgan"}, r"regularizers\.autoencode: it decodes .* single images"),
        ({"method.name": "finetune", "model": None}, r"method\.pack: a pretrained discriminator judges images one by"),
    ],
)
def test_what_packing_does_not_go_with_is_said(changes, why):
    settings = {key: value for key, value in (TINY | {"method.pack": 2} | changes).items() if value is not None}
    if changes.get("method.name") == "finetune":
        settings = {key: value for key, value in settings.items() if not key.startswith(("model", "data"))}
    with pytest.raises(UsageError, match=why):
        load_recipe(None, settings)


def test_classes_and_micro_batches_are_refused():
    settings = load_recipe(None, TINY | {"model.name": "biggan", "method.pack": 2})
    with pytest.raises(UsageError, match=r"method.pack 2: images of a pack may be of different classes"):
        build_trainer(settings, CPU, ("ape", "bee"))
    assert build_trainer(settings, CPU).discriminator.blocks[0][0].conv1.in_channels == 6
    parts = load_recipe(None, TINY | {"method.pack": 2, "train.micro_batch": 2})
    with pytest.raises(UsageError, match=r"micro_batch 2: method.pack joins images of the batch"):
        with_micro_batch(parts, lambda: (build_trainer(parts, CPU), None), print)
