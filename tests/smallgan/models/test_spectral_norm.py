"""Spectral norm for any discriminator: parity with torch's own, and that runs with it are built and read again."""

import pytest
import torch
from torch import nn

from smallgan.models.run_networks import discriminator_of_run
from smallgan.models.spectral import SpectralNorm, normalize_spectrally
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer

CPU = torch.device("cpu")
LAYERS = {
    "convolution": (lambda: nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last), torch.ones(2, 3, 4, 4)),
    "linear": (lambda: nn.Linear(6, 3), torch.ones(2, 6)),
    "class vectors": (lambda: nn.Embedding(4, 6), torch.tensor([0, 3])),
}


def trainer(**more):
    settings = {"data.size": 32, "model.base_width": 8, "model.d_spectral_norm": True, "train.batch_size": 4}
    return build_trainer(load_recipe(None, settings | more), CPU)


@pytest.mark.parametrize("kind", LAYERS)
def test_passes_and_gradients_are_those_of_torchs_spectral_norm(kind):
    make, inputs = LAYERS[kind]
    torch.manual_seed(0)
    ours, theirs = make(), make()
    theirs.load_state_dict(ours.state_dict())
    normalize_spectrally(ours, torch.Generator().manual_seed(0))
    nn.utils.parametrizations.spectral_norm(theirs)
    state, own = theirs.parametrizations.weight[0], ours.parametrizations.weight[0]
    state._u.copy_(torch.nn.functional.normalize(torch.randn(len(own.u)), dim=0))  # away from where both converge
    state._v.copy_(torch.nn.functional.normalize(torch.randn(len(own.v)), dim=0))
    own.u.copy_(state._u)
    own.v.copy_(state._v)
    for training in (True, True, False, True):
        found = []
        for layer in (ours.train(training), theirs.train(training)):
            layer.zero_grad()
            out = layer(inputs)
            out.square().sum().backward()
            found.append((out.detach(), *(each.grad for each in layer.parameters())))
        torch.testing.assert_close(*found)
        torch.testing.assert_close((own.u, own.v), (state._u, state._v))


def test_from_the_start_the_largest_singular_value_is_1_and_it_is_drawn_by_its_address():
    found = []
    for _ in range(2):
        layer = nn.Linear(20, 10)
        nn.init.orthogonal_(layer.weight, generator=torch.Generator().manual_seed(1))
        layer.weight.data[0] *= 7
        normalize_spectrally(layer, torch.Generator().manual_seed(2))
        found.append(layer.weight.detach())
        assert torch.linalg.svdvals(found[-1])[0].item() == pytest.approx(1, rel=1e-3)
    assert torch.equal(*found)


def test_half_precision_does_not_reach_the_norm():
    norm = SpectralNorm(torch.eye(3) * 1.0039, torch.Generator().manual_seed(0))  # which bfloat16 rounds to 1
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(torch.eye(3) * 1.0039).dtype == torch.float32
        torch.testing.assert_close(norm(torch.eye(3) * 1.0039), torch.eye(3))


@pytest.mark.parametrize("model", ["dcgan", "fastgan"])
def test_all_weights_of_a_discriminator_have_it_and_the_generator_is_as_without(model):
    one, plain = trainer(**{"model.name": model}), trainer(**{"model.name": model, "model.d_spectral_norm": False})
    for layer in one.discriminator.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            assert torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item() == pytest.approx(1, rel=0.2)
    names = [[name for name, _ in each.discriminator.named_parameters()] for each in (one, plain)]
    assert {name.replace("parametrizations.weight.original", "weight") for name in names[0]} == set(names[1])
    for name, weight in plain.generator.state_dict().items():
        assert torch.equal(weight, one.generator.state_dict()[name])


def test_a_discriminator_of_a_run_is_read_with_its_norms(tmp_path):
    one, notes = trainer(), []
    tensors = {name: value.clone() for name, value in one.discriminator.state_dict().items()}
    found = discriminator_of_run("dcgan", tensors, tmp_path, notes)
    assert notes == []
    assert found.state_dict().keys() == tensors.keys()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found(images), one.discriminator.eval()(images))


def test_micro_batches_are_refused():
    norms = {"model.g_norm": "layer", "model.d_norm": "none"}
    assert trainer(**norms).needs_whole_batch() == (
        "the discriminator has spectral norm, which changes with every pass "
        "(model.name=dcgan model.g_norm=layer model.d_norm=none does without)"
    )
