"""Limits to weights after the optimiser's step: clipping and the clamp of the largest singular value."""

import torch
from sampled_models import pixels

from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.tables.regularizers import SingularClampOptions, WeightClipOptions
from smallgan.training.adversarial import build_trainer
from smallgan.training.regularizers.singular_clamp import SingularClamp
from smallgan.training.regularizers.weight_clip import WeightClip

CPU = torch.device("cpu")


def network(weight):
    found = torch.nn.Linear(len(weight[0]), len(weight))
    found.weight = torch.nn.Parameter(torch.tensor(weight))
    torch.nn.init.constant_(found.bias, -0.5)
    return found


def clamp(found, steps=30, **options):
    act = SingularClamp(SingularClampOptions(**options), found, torch.Generator().manual_seed(0))
    for _ in range(steps):
        act()
    return found.weight.detach()


def test_clipping_by_hand():
    found = network([[0.3, -0.02], [0.0, 0.1]])
    found.bias.requires_grad_(False)
    WeightClip(WeightClipOptions(limit=0.1), found, torch.Generator())()
    torch.testing.assert_close(found.weight.detach(), torch.tensor([[0.1, -0.02], [0.0, 0.1]]))
    assert found.bias.tolist() == [-0.5, -0.5]  # frozen


def test_the_largest_singular_value_is_clamped_and_the_others_stay():
    # diag(5, 2, 1) in another basis: 5 becomes 3, the rest of the matrix stays.
    basis = torch.linalg.qr(torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1)))[0]
    sizes = torch.tensor([5.0, 2.0, 1.0])
    weight = basis[0] @ sizes.diag() @ basis[1]
    clamped = clamp(network(weight.tolist()), limit=3.0)
    sizes[0] = 3
    torch.testing.assert_close(clamped, basis[0] @ sizes.diag() @ basis[1], atol=1e-4, rtol=1e-4)


def test_a_limit_relative_to_the_second_value_and_one_that_is_not_reached():
    weight = [[4.0, 0.0], [0.0, 1.0]]
    torch.testing.assert_close(clamp(network(weight), ratio=1.5), torch.tensor([[1.5, 0.0], [0.0, 1.0]]))
    assert torch.equal(clamp(network(weight), limit=4.5), torch.tensor(weight))


def test_a_weight_of_one_row_is_left_alone():
    found = SingularClamp(SingularClampOptions(), network([[7.0, 1.0]]), torch.Generator())
    assert found.weights == []
    found()


def after_a_step(number, **regularizers):
    """Weights of both networks after step `number` of a fresh trainer with these regularizers."""
    settings = {"data.size": 32, "model.base_width": 8, "train.batch_size": 4}
    trainer = build_trainer(
        load_recipe(None, settings | {f"regularizers.{k}": v for k, v in regularizers.items()}), CPU
    )
    terms = trainer.step(ImageBatches(pixels(), 4, 0, CPU).batch(number), number)
    assert not set(terms).intersection(regularizers)
    return {name: [*trainer.networks[name].parameters()] for name in "gd"}


def test_a_step_is_that_without_limits_and_then_the_discriminators_weights_are_clipped_every_k_steps():
    for number, clips in ((0, True), (1, False)):
        plain, clipped = after_a_step(number), after_a_step(number, weight_clip={"limit": 0.01, "every": 2})
        for before, weight in zip(plain["d"], clipped["d"], strict=True):
            assert torch.equal(weight, before.clamp(-0.01, 0.01) if clips else before)


def test_the_clamp_changes_the_generators_weights_alone():
    plain, clamped = after_a_step(0), after_a_step(0, singular_clamp={"limit": 0.2})
    assert all(map(torch.equal, plain["d"], clamped["d"]))
    for before, weight in zip(plain["g"], clamped["g"], strict=True):
        sizes = [torch.linalg.svdvals(each.detach().flatten(1))[0] for each in (before, weight) if each.ndim > 1]
        assert not sizes or sizes[1] < sizes[0] or sizes[0] <= 0.2
