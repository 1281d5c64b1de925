"""The regularizer autoencode: its term by formula, what learns from it, its weights in a checkpoint, who may use it."""

import pytest
import torch
from torch import nn

from augment.errors import UsageError
from smallgan.core.checkpoint import load_checkpoint, read_tensors, save_checkpoint
from smallgan.data.images import Batch
from smallgan.tables.recipe import load_recipe, variant_recipe, variants_of
from smallgan.tables.regularizers import AutoencodeOptions
from smallgan.training.adversarial import build_trainer
from smallgan.training.regularizers.autoencode import Autoencode
from smallgan.training.step import StepContext

CPU = torch.device("cpu")


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def images(size=32):
    return torch.rand(4, 3, size, size, generator=draws(1)) * 2 - 1


def context(real):
    unread = torch.full((4,), torch.nan)
    fake, labels = torch.full_like(real, torch.nan), torch.zeros(4, dtype=torch.int64)
    return StepContext(0, real, fake, labels, unread, unread, lambda _: unread, lambda _: unread, seed=0)


def trainer(**overrides):
    settings = {"model.name": "fastgan", "data.size": 32, "model.base_width": 1, "train.batch_size": 4}
    return build_trainer(load_recipe(None, settings | overrides), CPU)


def batch():
    return Batch(images(), torch.zeros(4, dtype=torch.int64), torch.arange(4))


class Averages(nn.Module):
    """A discriminator whose maps are the image itself at 8 x 8."""

    map_channels = 3

    def maps(self, images):
        return nn.functional.adaptive_avg_pool2d(images, 8)


@pytest.mark.parametrize("size", [32, 64])
def test_the_term_is_the_mean_absolute_difference_to_the_reals_at_32_px(size):
    penalty = Autoencode(AutoencodeOptions(), Averages(), draws())
    penalty.decoder = nn.Upsample(scale_factor=4)  # each 8 x 8 place four by four times
    real = images(size)
    blocks = real.unflatten(3, (8, -1)).unflatten(2, (8, -1))  # B x 3 x 8 x n x 8 x n
    decoded = blocks.mean(dim=(3, 5)).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    seen = real if size == 32 else real.unflatten(3, (32, 2)).unflatten(2, (32, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(penalty(context(real)), (decoded - seen).abs().mean())


def test_the_decoder_makes_images_of_32_px_and_has_the_weights_of_the_formula():
    penalty = Autoencode(AutoencodeOptions(), trainer().discriminator, draws())
    assert penalty.decoder(torch.randn(2, 12, 8, 8)).shape == (2, 3, 32, 32)
    # 12 channels to twice 3, and 3 to twice 1, by 4 x 4, each with a batch norm; 1 to 3 by 3 x 3
    assert sum(each.numel() for each in penalty.parameters()) == 12 * 6 * 16 + 12 + 3 * 2 * 16 + 4 + 27 + 3


def test_maps_and_decoder_learn_from_it_and_the_scores_do_not():
    network = trainer().discriminator
    penalty = Autoencode(AutoencodeOptions(), network, draws())
    penalty(context(images())).backward()
    assert all(parameter.grad is not None for parameter in penalty.parameters())
    learning = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learning == {"to_maps"}


def test_its_weights_are_trained_in_every_second_step_and_nothing_else_owns_them():
    one = trainer()
    assert [(each.name, each.every, each.strength) for each in one.regularizers.all][1] == ("autoencode", 2, 1.0)
    assert not any(name.startswith("maps") for name, _ in one.networks["autoencode"].named_parameters())
    assert one.optimizers["autoencode"].defaults["lr"] == one.optimizers["d"].defaults["lr"]
    for number in range(4):
        before = {name: p.detach().clone() for name, p in one.networks["autoencode"].named_parameters()}
        terms = one.step(batch(), number)
        moved = [n for n, p in one.networks["autoencode"].named_parameters() if not torch.equal(p, before[n])]
        used = number % 2 == 0
        assert ("autoencode" in terms) == used
        assert moved == (list(before) if used else [])


def test_a_decoder_learns_to_decode():
    network = Averages()
    network.map_channels, network.maps = 24, lambda images: Averages().maps(images).repeat(1, 8, 1, 1)
    penalty = Autoencode(AutoencodeOptions(), network, draws())
    real = nn.functional.interpolate(images(4), size=32, mode="bilinear")
    optimizer, found = torch.optim.Adam(penalty.parameters(), 0.01), []
    for _ in range(40):
        optimizer.zero_grad()
        found.append(penalty(context(real)))
        found[-1].backward()
        optimizer.step()
    assert found[-1] < 0.5 * found[0]


def test_its_weights_follow_the_decay_of_the_rates():
    one = trainer(**{"train.steps": 10, "method.lr_decay_from": 0.5})
    for number in (0, 8):
        one.step(batch(), number)
    assert one.optimizers["autoencode"].param_groups[0]["lr"] == one.optimizers["d"].param_groups[0]["lr"] < 2e-4


def test_its_first_weights_come_from_the_seed_of_the_recipe():
    one, same, other = (trainer(seeds=[seed]).networks["autoencode"].decoder[0][0].weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    with_another = trainer(**{"regularizers.r1": None}).networks["autoencode"].decoder[0][0].weight
    assert torch.equal(one, with_another)


def test_its_weights_and_their_optimiser_are_in_the_checkpoint(tmp_path):
    whole, one, other = trainer(), trainer(), trainer()
    for number in range(4):
        whole.step(batch(), number)
    one.step(batch(), 0)
    save_checkpoint(tmp_path / "000001", one, {"step": 1, **one.description})
    assert "decoder.0.0.weight" in read_tensors(tmp_path / "000001", "autoencode.")
    assert "decoder.0.0.weight.exp_avg" in read_tensors(tmp_path / "000001", "adam.autoencode.")
    load_checkpoint(tmp_path / "000001", other)
    for number in range(1, 4):
        other.step(batch(), number)
    for name, network in whole.networks.items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, other.networks[name].state_dict()[key]), f"{name}.{key}"


def test_without_it_there_is_no_decoder():
    one = trainer(**{"regularizers.autoencode": None})
    assert one.networks.keys() == {"g", "d", "g_ema"}
    assert one.optimizers.keys() == {"g", "d"}


def test_it_runs_in_the_precision_of_the_run():
    one, seen = trainer(**{"train.precision": "bf16"}), []
    decoder = one.networks["autoencode"].decoder
    decoder.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    term = one.step(batch(), 0)["autoencode"]
    assert seen == [(torch.bfloat16, torch.bfloat16)]
    assert term.dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "name"),
    [({}, "dcgan"), ({"model.name": "biggan"}, "biggan")],
)
def test_a_discriminator_without_maps_is_refused(settings, name):
    message = rf"regularizers\.autoencode: .* that of {name} gives none; use the model fastgan"
    with pytest.raises(UsageError, match=message):
        load_recipe(None, {**settings, "regularizers.autoencode.weight": 1})
    for off in (None, {"weight": 0}):
        assert load_recipe(None, {**settings, "regularizers.autoencode": off})


def test_a_variant_of_another_model_is_refused_before_anything_starts():
    grid = [{"name": "one"}, {"name": "two", "model.name": "fastgan"}]
    recipe = load_recipe(None, {"grid": grid})
    chosen = [variant_recipe(recipe, variant, 0).regularizers.chosen() for variant in variants_of(recipe)]
    assert [list(each) for each in chosen] == [[], ["r1", "autoencode"]]
    with pytest.raises(UsageError, match=r"grid\[0\] \(one\): regularizers\.autoencode: .* use the model fastgan"):
        load_recipe(None, {"grid": [{"name": "one", "regularizers.autoencode.weight": 2}, grid[1]]})


def test_a_regularizer_that_is_set_in_part_keeps_the_models_other_defaults():
    chosen = load_recipe(None, {"model.name": "fastgan", "regularizers.r1.every": 8}).regularizers.chosen()
    assert (chosen["r1"].weight, chosen["r1"].scaled, chosen["r1"].every) == (0.0002, True, 8)
    assert load_recipe(None, {"regularizers.r1.every": 8}).regularizers.r1.weight == 1.0
