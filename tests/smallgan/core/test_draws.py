"""Draws made ahead are the very draws made one by one, and reach the device by one copy."""

import numpy as np
import pytest
import torch

from smallgan.core import draws
from smallgan.core.draws import Draw, Draws, normal_draw, upload
from smallgan.core.rng import Stream, normal, rng

CPU = torch.device("cpu")


@pytest.fixture
def as_gpu(monkeypatch):
    """Let the CPU be treated as a GPU is; without pinned memory, which no CPU has."""
    monkeypatch.setattr(draws, "_is_gpu", lambda _device: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)


def plan(step):
    """Numbers of three kinds, of odd lengths, and in every third step some more."""

    def mixed():
        own = rng(5, Stream.MIRROR, step)
        return own.random(3) < 0.5, own.integers(-9, 9, (2, 5)), own.random((1, 7), np.float32)

    yield normal_draw(5, Stream.TRAIN_LATENTS, step, (3, 5))
    yield Draw((Stream.MIRROR, step), mixed)
    if step % 3 == 0:
        yield normal_draw(5, Stream.CODE_NOISE, step, (2, 2))


def everything(found, steps):
    made = []
    for step in steps:
        found.begin(step)
        made.append([tensor.clone() for draw in plan(step) for tensor in found(draw)])
    return made


@pytest.mark.usefixtures("as_gpu")
@pytest.mark.parametrize("steps", [range(10), range(7, 12), [3, 4, 5, 0, 1]])
def test_what_is_drawn_ahead_is_what_is_drawn_when_asked_for(monkeypatch, steps):
    monkeypatch.setattr(draws, "MOST_STEPS", 4)
    ahead = everything(Draws(CPU, plan), steps)
    monkeypatch.setattr(draws, "_is_gpu", lambda _device: False)
    one_by_one = everything(Draws(CPU, plan), steps)
    for these, those in zip(ahead, one_by_one, strict=True):
        for this, that in zip(these, those, strict=True):
            assert this.dtype == that.dtype
            assert this.shape == that.shape
            assert torch.equal(this, that)


@pytest.mark.usefixtures("as_gpu")
def test_a_block_is_one_copy_for_many_steps(monkeypatch):
    blocks, packed = [], draws._packed
    monkeypatch.setattr(draws, "_packed", lambda *of: blocks.append(len(of[0])) or packed(*of))
    monkeypatch.setattr(draws, "MOST_STEPS", 4)
    everything(Draws(CPU, plan), range(9))
    # A step has 1 + 3 arrays, steps 0, 3, 6 and 9 one more: blocks of steps 0-3, 4-7 and 8-11.
    assert blocks == [4 * 4 + 2, 4 * 4 + 1, 4 * 4 + 1]


@pytest.mark.usefixtures("as_gpu")
def test_a_block_holds_no_more_than_its_bytes_but_always_a_step(monkeypatch):
    size = 4 * 100
    for limit, wanted in ((size * 3, 3), (size * 3 - 1, 2), (1, 1)):
        monkeypatch.setattr(draws, "MOST_BYTES", limit)
        asked = []
        found = Draws(CPU, lambda step, asked=asked: asked.append(step) or [normal_draw(0, Stream.CODES, step, (100,))])
        found.begin(10)
        assert asked == list(range(10, 10 + wanted))


@pytest.mark.usefixtures("as_gpu")
def test_a_draw_that_was_not_planned_is_made_all_the_same():
    found = Draws(CPU, lambda _step: ())
    found.begin(0)
    (made,) = found(normal_draw(1, Stream.CODES, 2, (3,)))
    assert torch.equal(made, torch.from_numpy(normal(1, Stream.CODES, 2, (3,))))


def test_on_a_cpu_nothing_is_drawn_before_it_is_asked_for():
    Draws(CPU, lambda _step: pytest.fail("asked")).begin(0)


def test_uploaded_arrays_keep_values_types_and_shapes():
    arrays = [np.arange(7, dtype=np.uint8), np.array([[True, False]]), np.arange(6.0).reshape(2, 3)[:, ::2]]
    for array, tensor in zip(arrays, upload(arrays, CPU), strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert tensor.numpy().dtype == array.dtype
