"""Draws have addresses, and devices that are not there are refused in words."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from augment.errors import UsageError
from smallgan.core.device import (
    check_precision,
    choose_device,
    default_precision,
    describe_device,
    float32_math,
    gpus_to_share,
    least_used,
    scoring_device,
    see_only,
)
from smallgan.core.rng import Stream, normal, rng
from smallgan.metrics.features.extract import feature_net


def test_a_draw_depends_on_its_address_alone():
    here = normal(7, Stream.TRAIN_LATENTS, 3, (2, 5))
    normal(1, Stream.TRAIN_LATENTS, 3, (100,))
    np.testing.assert_array_equal(here, normal(7, Stream.TRAIN_LATENTS, 3, (2, 5)))


@pytest.mark.parametrize(
    "other", [(8, Stream.TRAIN_LATENTS, 3), (7, Stream.SAMPLE_LATENTS, 3), (7, Stream.TRAIN_LATENTS, 4)]
)
def test_another_address_gives_other_numbers(other):
    assert not np.array_equal(normal(7, Stream.TRAIN_LATENTS, 3, (5,)), normal(*other, (5,)))


def test_negative_seeds_are_seeds_of_their_own():
    assert rng(-1, Stream.INIT).integers(2**62) != rng(1, Stream.INIT).integers(2**62)


def test_draws_are_standard_normal():
    draws = normal(0, Stream.SAMPLE_LATENTS, 0, (100_000,))
    assert draws.dtype == np.float32
    assert abs(draws.mean()) < 0.02
    assert abs(draws.std() - 1) < 0.02


def test_the_cpu_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["gpu", "xla", "cuda:99"])
def test_a_device_that_is_not_to_be_had_is_refused(name):
    with pytest.raises(UsageError, match=f"--device {name}"):
        choose_device(name)


def test_fp32_is_fp32_on_a_gpu_and_tf32_has_a_name_of_its_own():
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [each.fp32_precision for each in settings]
    with float32_math("fp32"):
        assert {each.fp32_precision for each in settings} == {"ieee"}
        with float32_math("tf32"):
            assert {each.fp32_precision for each in settings} == {"tf32"}
        assert {each.fp32_precision for each in settings} == {"ieee"}
    assert [each.fp32_precision for each in settings] == before


def test_full_precision_leaves_cudnn_on():
    # torch.backends.cudnn.flags(allow_tf32=False) would turn it off: `enabled` is False there unless it is named
    with float32_math("fp32"):
        assert torch.backends.cudnn.enabled


@pytest.mark.parametrize(("capability", "wanted"), [((7, 5), "fp32"), ((8, 0), "tf32"), ((9, 0), "tf32")])
def test_tf32_is_the_default_where_a_gpu_has_it(monkeypatch, capability, wanted):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert default_precision(torch.device("cuda")) == wanted
    assert default_precision(torch.device("cpu")) == "fp32"


@pytest.mark.parametrize(
    ("option", "visible", "count", "wanted"),
    [
        ("auto", None, 3, ["0", "1", "2"]),
        ("cuda", None, 2, ["0", "1"]),
        ("auto", "5, GPU-abc", 2, ["5", "GPU-abc"]),  # numbers of a worker's own would be other GPUs
        ("auto", "5,-1,6", 1, ["5"]),  # CUDA stops at the first that is none
        ("auto", None, 0, []),
        ("cuda:1", None, 4, []),
        ("cpu", None, 4, []),
    ],
)
def test_processes_share_out_the_visible_gpus_unless_one_is_named(monkeypatch, option, visible, count, wanted):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert gpus_to_share(option) == wanted


def test_the_next_process_gets_the_gpu_that_fewest_use():
    in_use = []
    for _ in range(5):
        in_use.append(least_used(["a", "b"], in_use))
    assert in_use == ["a", "b", "a", "b", "a"]
    assert least_used(["a", "b"], ["b", None]) == "a"
    assert least_used([], [None, None]) is None


@pytest.mark.process
def test_a_worker_sees_its_gpu_alone():
    with ProcessPoolExecutor(1, get_context("spawn"), see_only, ("3",)) as pool:
        assert pool.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "3"


def test_an_apple_gpu_trains_in_fp32_and_is_scored_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match="--device mps: torch finds no Apple GPU here; use --device cpu"):
        choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    mps = choose_device("mps")
    assert default_precision(mps) == "fp32"
    check_precision(mps, None)
    check_precision(mps, "fp32")
    for precision in ("bf16", "fp16", "tf32"):
        with pytest.raises(UsageError, match=f"--precision {precision}: on mps smallgan trains in fp32 alone"):
            check_precision(mps, precision)
        check_precision(torch.device("cpu"), precision)
    assert "not been tested" in describe_device(mps)
    assert scoring_device(mps) == torch.device("cpu")
    assert feature_net("pixels8", mps)[0].device == torch.device("cpu")


def test_elsewhere_scores_are_made_where_images_are():
    for name in ("cpu", "cuda:1"):
        assert scoring_device(torch.device(name)) == torch.device(name)
