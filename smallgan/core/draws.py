"""What a training draws at random, on its device: for a GPU many steps ahead, in one block that nobody waits for.

A draw depends on its address alone (`smallgan.core.rng`), so it is the same whenever it is made, and nothing here is
part of a checkpoint.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smallgan.core import distributed
from smallgan.core.rng import Stream, normal

MOST_STEPS = 64  # That are drawn ahead
MOST_BYTES = 16 << 20  # Of the draws that lie ready, unless one step has more
_ALIGNMENT = 256  # Of each array in a block, in bytes, as the GPU's allocator gives them out


class Draw(NamedTuple):
    """Numbers that are drawn together."""

    key: tuple[int, ...]
    """What tells it from every other draw of the run: its address, and what else decides the numbers."""
    make: Callable[[], tuple[NDArray[Any], ...]]
    """Draws them, any number of times the same."""


def rows_draw(key: tuple[int, ...], count: int, make: Callable[[int], tuple[NDArray[Any], ...]], axis: int = 0) -> Draw:
    """Return a draw with a row for each of this rank's `count` images: its part of the rows of all ranks.

    Args:
        key: as of `Draw`; it holds `count`.
        count: of images.
        make: number of rows -> arrays with as many on `axis`.
        axis: of the rows.
    """
    whole = count * distributed.count()
    return Draw(key, lambda: tuple(distributed.own(each, axis) for each in make(whole)))


def normal_draw(seed: int, stream: Stream, position: int, shape: tuple[int, ...], axis: int = 0) -> Draw:
    """Return the draw of `smallgan.core.rng.normal`: one array, with a row for each image of this rank on `axis`."""

    def make(count: int) -> tuple[NDArray[Any], ...]:
        return (normal(seed, stream, position, (*shape[:axis], count, *shape[axis + 1 :])),)

    return rows_draw((stream, position, *shape), shape[axis], make, axis)


class Draws:
    """The draws of a run's steps, as tensors on its device.

    On a GPU those of up to MOST_STEPS steps are made at once and uploaded by one copy from pinned memory; elsewhere
    each is made when it is asked for. Values are the same.

    Args:
        device: where the tensors lie.
        plan: step (from 0) -> draws that it may ask for. One that is not named costs an upload of its own on a GPU.
    """

    def __init__(self, device: torch.device, plan: Callable[[int], Iterable[Draw]]) -> None:
        self.device, self.plan = device, plan
        self.stays = False
        """Whether steps whose draws have the same shapes find them in the same memory, as a CUDA graph asks for; then
        each step is drawn for itself, on any device, and may ask for what is planned alone."""
        self._kept: dict[tuple[_Place, ...], Tensor] = {}
        self._block = torch.empty(0)
        self._places: dict[tuple[int, ...], list[_Place]] = {}
        self._steps = range(0)

    def begin(self, step: int) -> None:
        """Have the draws of a step ready; call it before the first of them is asked for."""
        if (self.stays or _is_gpu(self.device)) and step not in self._steps:
            self._draw_from(step)

    @property
    def layout(self) -> Hashable:
        """What is the same for steps whose draws have the same shapes and lie in the same memory, where it stays."""
        return tuple(place for places in self._places.values() for place in places)

    def __call__(self, draw: Draw) -> list[Tensor]:
        """Return a draw's numbers, a tensor for each of its arrays."""
        if draw.key not in self._places and not self.stays:
            return upload(draw.make(), self.device)
        return [_taken(self._block, place) for place in self._places[draw.key]]

    def _draw_from(self, first: int) -> None:
        arrays = self._made(first)
        num_bytes = sum(each.nbytes for made in arrays.values() for each in made)
        most = 1 if self.stays else MOST_STEPS
        self._steps = range(first, first + min(max(MOST_BYTES // max(num_bytes, 1), 1), most))
        for step in self._steps[1:]:
            arrays |= self._made(step)
        self._block, places = _packed([each for made in arrays.values() for each in made], self.device)
        in_turn = iter(places)
        self._places = {key: [next(in_turn) for _ in made] for key, made in arrays.items()}
        if self.stays:
            kept = self._kept.setdefault(tuple(places), self._block)
            self._block = kept if kept is self._block else kept.copy_(self._block)

    def _made(self, step: int) -> dict[tuple[int, ...], tuple[NDArray[Any], ...]]:
        return {draw.key: draw.make() for draw in self.plan(step)}


def upload(arrays: Sequence[NDArray[Any]], device: torch.device) -> list[Tensor]:
    """Return arrays as tensors on a device; on a CPU in the same memory.

    To a GPU all go by one copy from pinned memory, which the host does not wait for.
    """
    if device.type == "cpu":
        return [torch.from_numpy(array) for array in arrays]
    block, places = _packed(arrays, device)
    return [_taken(block, place) for place in places]


class _Place(NamedTuple):
    """Where an array lies in a block of bytes."""

    start: int
    num_bytes: int
    dtype: torch.dtype
    shape: tuple[int, ...]


def _packed(arrays: Sequence[NDArray[Any]], device: torch.device) -> tuple[Tensor, list[_Place]]:
    """Return the bytes of all arrays on a device, and where each lies in them."""
    ends = [0, *accumulate(-(-array.nbytes // _ALIGNMENT) * _ALIGNMENT for array in arrays)]
    places = [
        _Place(start, array.nbytes, _torch_dtype(array.dtype), array.shape)
        for array, start in zip(arrays, ends, strict=False)
    ]
    host = np.empty(ends[-1], np.uint8)
    for array, place in zip(arrays, places, strict=True):
        host[place.start : place.start + place.num_bytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    block, is_gpu = torch.from_numpy(host), _is_gpu(device)
    # torch gives pinned memory out again only once the copy from it is done
    return (block.pin_memory() if is_gpu else block).to(device, non_blocking=is_gpu), places


def _taken(block: Tensor, place: _Place) -> Tensor:
    return block[place.start : place.start + place.num_bytes].view(place.dtype).view(place.shape)


@cache
def _torch_dtype(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(1, dtype)).dtype


def _is_gpu(device: torch.device) -> bool:
    return device.type == "cuda"
