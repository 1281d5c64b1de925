"""Spectral norm on weights as they lie on a GPU; its values are tested with the BigGAN."""

import pytest
import torch
from fake_gpu import fake_gpu
from torch.utils._python_dispatch import TorchDispatchMode

from smallgan.models.spectral import SpectralConv2d, SpectralLinear, rows_as_they_lie
from smallgan.training.regularizers.orthogonal import orthogonal_penalty


def layers():
    torch.manual_seed(0)
    return [SpectralConv2d(3, 5, 3), SpectralConv2d(4, 2, 1), SpectralLinear(6, 3)]


@pytest.mark.parametrize("number", range(3))
def test_rows_as_they_lie_are_a_view_with_the_same_singular_values(number):
    weight = layers()[number].to(memory_format=torch.channels_last).weight.detach()
    rows = rows_as_they_lie(weight)
    assert rows.shape == weight.flatten(1).shape
    assert rows.data_ptr() == weight.data_ptr()
    torch.testing.assert_close(torch.linalg.svdvals(rows), torch.linalg.svdvals(weight.flatten(1)))


class Clones(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        self.count += func.overloadpacket is torch.ops.aten.clone
        return func(*args, **(kwargs or {}))


def test_on_a_gpu_neither_spectral_norm_nor_the_orthogonal_penalty_copies_a_weight():
    there = torch.nn.ModuleList(layers()).to(memory_format=torch.channels_last)
    with fake_gpu() as on_gpu:
        there = on_gpu(there)
        with Clones() as clones:
            for layer in there:
                layer.normalized_weight()
            orthogonal_penalty(layer.weight for layer in there)
            assert clones.count == 0
            there[0].weight.flatten(1)
            assert clones.count == 1  # what it would be


def test_the_normalised_weight_is_the_same_by_either_order(monkeypatch):
    found = []
    for rows_of in (lambda weight: weight.flatten(1), rows_as_they_lie):
        monkeypatch.setattr("smallgan.models.spectral.rows_of", rows_of)
        layer = layers()[0].to(memory_format=torch.channels_last)
        weight = layer.normalized_weight()
        weight.square().sum().backward()
        found.append((weight.detach(), layer.u0, layer.sv0, layer.weight.grad))
    torch.testing.assert_close(*found)
