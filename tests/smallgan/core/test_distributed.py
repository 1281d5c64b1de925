"""What each rank takes of a batch and of its draws; who may train over several GPUs."""

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sampled_models import pixels
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from augment.errors import FailedError, UsageError
from smallgan.api import training
from smallgan.core import distributed
from smallgan.core.draws import Draws, normal_draw
from smallgan.core.rng import Stream, normal
from smallgan.data.images import ImageBatches
from smallgan.tables.losses import LOSSES
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import batches_of
from smallgan.training.augmentation import Augmentation
from smallgan.training.train import refuse_several

CPU = torch.device("cpu")


@pytest.fixture
def as_rank(monkeypatch):
    """Makes this process one of several, as far as nothing is exchanged."""

    def become(rank, size=2):
        monkeypatch.setattr(distributed, "_group", distributed._Group(rank, size))

    return become


def test_one_process_exchanges_nothing():
    tensor = torch.ones(3, requires_grad=True)
    assert distributed.total(tensor) is distributed.mean(tensor) is distributed.gathered(tensor) is tensor
    assert distributed.from_main(lambda: 5) == 5
    assert distributed.any_of(True)
    assert not distributed.any_of(False)
    assert distributed.means({"a": 0.1}) == {"a": 0.1}
    assert (distributed.count(), distributed.is_main(), distributed.rows(7)) == (1, True, slice(0, 7))
    with distributed.session("cpu"):
        assert distributed.count() == 1


def test_ranks_share_rows_in_their_order_and_say_which_batches_divide(as_rank):
    as_rank(1, 4)
    assert distributed.rows(8) == slice(2, 4)
    assert distributed.own(np.arange(16).reshape(2, 8), axis=1).tolist() == [[2, 3], [10, 11]]
    with pytest.raises(UsageError, match=r"a batch of 25 images cannot be divided among 4 processes; .* 24 or 28$"):
        distributed.share(25)
    with pytest.raises(UsageError, match=r"--batch-size 4$"):
        distributed.rows(3)
    with distributed.alone():
        assert distributed.rows(8) == slice(0, 8)


def test_draws_of_two_ranks_are_the_halves_of_one_process(as_rank):
    whole = normal(3, Stream.TRAIN_LATENTS, 5, (6, 2))
    found = []
    for rank in range(2):
        as_rank(rank)
        found.append(normal_draw(3, Stream.TRAIN_LATENTS, 5, (3, 2)).make()[0])
    np.testing.assert_array_equal(np.concatenate(found), whole)
    pair = normal(3, Stream.WARM_START, 5, (2, 6, 4))
    np.testing.assert_array_equal(normal_draw(3, Stream.WARM_START, 5, (2, 3, 4), axis=1).make()[0], pair[:, 3:])


def test_each_rank_takes_its_part_of_the_batch_of_every_discriminator_step(as_rank):
    settings = {"model.base_width": 8, "data.size": 32, "train.batch_size": 4, "method.d_steps": 2}
    recipe = load_recipe(None, settings | {"method.mirror": True})
    data = SimpleNamespace(mixture=SimpleNamespace(pixels=pixels()))

    def of_this_rank():
        batch = batches_of(recipe, data, (), CPU).batch(3)
        augmentation = Augmentation(recipe, CPU, Draws(CPU, lambda _step: ()))
        (mirrored,) = augmentation._mirrors(3, len(batch.indices)).make()
        return batch.indices.reshape(2, -1), torch.from_numpy(mirrored).reshape(2, -1)

    whole, halves = of_this_rank(), []
    for rank in range(2):
        as_rank(rank)
        halves.append(of_this_rank())
    for of_whole, *parts in zip(whole, *halves, strict=True):
        assert torch.equal(torch.cat(parts, dim=1), of_whole)


def test_batches_that_do_not_divide_are_refused_before_training(as_rank):
    as_rank(0)
    with pytest.raises(UsageError, match="a batch of 5 images"):
        ImageBatches(pixels(), 5, 0, CPU)


def test_gpus_that_are_not_there_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(UsageError, match="--gpus 4: this machine has 3 GPUs that torch can use; use at most 3, or add"):
        distributed.check_gpus(4, "auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"--gpus 4: this machine has 0 GPUs .*--device cpu for a trial"):
        distributed.check_gpus(4, "cuda")
    with pytest.raises(UsageError, match="--device cuda:1: each of 2 processes takes a GPU of its own"):
        distributed.check_gpus(2, "cuda:1")
    distributed.check_gpus(4, "cpu")


def test_torchrun_and_gpus_must_agree(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert training.launch(2, "cpu", []) is None
    with pytest.raises(UsageError, match="--gpus 4: torchrun has started 2 processes already; leave --gpus out"):
        training.launch(4, "cpu", [])


@pytest.mark.parametrize(("codes", "ends"), [({0: 1, 1: 2}, 2), ({1: 1}, 1), ({0: -signal.SIGTERM, 1: 1}, 1)])
def test_an_error_that_a_rank_told_is_the_exit_code_alone(monkeypatch, codes, ends):
    assert launched(monkeypatch, codes) == ends


def test_a_killed_rank_is_named(monkeypatch):
    with pytest.raises(FailedError, match=r"process 1 of 2 was ended by SIGKILL, .* goes on from the last checkpoint"):
        launched(monkeypatch, {0: 1, 1: -signal.SIGKILL})


def launched(monkeypatch, codes):
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def fail(arguments):
        assert (arguments.module, arguments.training_script, arguments.nproc_per_node) == (True, "smallgan", "2")
        assert arguments.training_script_args == ["train", "--gpus", "2"]
        raise ChildFailedError("any", {rank: failure(code) for rank, code in codes.items()})

    def failure(code):
        return SimpleNamespace(
            exitcode=code,
            timestamp=0,
            local_rank=0,
            pid=1,
            error_file="",
            message="",
            timestamp_isoformat=str,
            signal_name=str,
        )

    monkeypatch.setattr(torchrun, "run", fail)
    return distributed.launch(2, ["train", "--gpus", "2"])


def test_what_takes_the_whole_batch_is_refused(monkeypatch):
    recipe = load_recipe(None, {"loss.name": "hinge"})
    refuse_several(recipe)
    own = replace(LOSSES["hinge"], by_image=False)
    monkeypatch.setattr("smallgan.training.train.LOSSES", {"hinge": own})
    with pytest.raises(UsageError, match="the loss hinge does not train over several GPUs"):
        refuse_several(recipe)


@pytest.mark.parametrize("key", ["method.pack", "method.unroll", "method.freeze_g_at"])
def test_options_that_take_the_whole_batch_are_refused(key):
    recipe = load_recipe(None, {key: 2})
    with pytest.raises(UsageError, match=f"{key} 2: not for several GPUs"):
        refuse_several(recipe)
