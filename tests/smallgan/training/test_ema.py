"""The averaged generator: averages and measured moments by hand."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from smallgan.training.ema import measure_statistics, update_ema


def test_measured_statistics_are_the_plain_mean_of_the_batches():
    norm = torch.nn.BatchNorm2d(1)
    levels = [[0.0, 2.0], [10.0, 10.0], [3.0, 11.0]]  # means 1, 10, 7; unbiased variances 2, 0, 32
    measure_statistics(norm, ((torch.tensor(level).view(2, 1, 1, 1),) for level in levels))
    assert norm.running_mean.item() == pytest.approx(6)
    assert norm.running_var.item() == pytest.approx(34 / 3)
    assert norm.momentum == 0.1
    assert not norm.training


def test_the_average_by_hand():
    average, network = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    with torch.no_grad():
        for parameter, level in ((average.weight, 1.0), (network.weight, 3.0)):
            parameter.fill_(level)
    update_ema(average, network, 0.75, 10_000)
    assert average.weight.item() == pytest.approx(0.75 * 1 + 0.25 * 3)


def test_the_warm_up_by_hand():
    for step, share in ((0, 0.1), (8, 0.5), (80, 0.9)):  # (1 + step) / (10 + step)
        average, network = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            average.weight.fill_(1.0)
            network.weight.fill_(0.0)
        update_ema(average, network, 0.9999, step)
        assert average.weight.item() == pytest.approx(share)


def test_a_decay_of_0_is_a_copy_and_buffers_always_are():
    average, network = torch.nn.BatchNorm2d(64), torch.nn.BatchNorm2d(64)
    torch.nn.init.normal_(average.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(network.weight, generator=torch.Generator().manual_seed(1))
    network.running_mean.copy_(torch.arange(64))
    update_ema(average, network, 0.9999, 50)
    assert not torch.equal(average.weight, network.weight)
    assert torch.equal(average.running_mean, network.running_mean)
    update_ema(average, network, 0.0, 50)
    assert torch.equal(average.weight, network.weight)


def test_buffers_of_several_types_are_copied_and_those_that_are_not_there_left():
    average, network = torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    network.num_batches_tracked.fill_(7)
    network.running_var.fill_(2.5)
    for each in (average, network):
        each.register_buffer("none", None)
    update_ema(average, network, 0.9, 0)
    assert average.num_batches_tracked.item() == 7
    assert average.running_var.tolist() == [2.5] * 3


def test_all_buffers_of_a_type_are_copied_at_once():
    class Copies(TorchDispatchMode):
        copied = ()

        def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
            if "copy" in func.overloadpacket.__name__:
                self.copied += ((func.overloadpacket.__name__, len(args[0])),)
            return func(*args, **(kwargs or {}))

    average, network = (torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)) for _ in range(2))
    with Copies() as copies:
        update_ema(average, network, 0.9, 0)
    assert sorted(copies.copied) == [("_foreach_copy_", 2), ("_foreach_copy_", 4)]  # counters; means and variances
