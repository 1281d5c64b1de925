"""What a training will take, counted before it starts: memory and operations of a step, on any machine.

The step is carried out on torch's fake tensors, which know shapes and compute nothing: the maps that autograd keeps
are counted as they are kept, the operations as they are called.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from smallgan.core.device import autocast
from smallgan.models.adapters import BYTES_A_PARAMETER, AdaptedGenerator
from smallgan.models.packing import packed
from smallgan.models.perceptual import Perceptual
from smallgan.tables.methods import BSAOptions

KEPT_BYTES = 2 << 30
"""Most memory for the perceptual layers of the training images, which never change; beyond it they are made anew."""
PASSING = 4  # Maps of the largest size that come and go within an operation: gradients, products, their copies
GPU_OPERATIONS = 1e13  # A second, of a GPU that does 10 TFLOP/s of what it is asked for


def foresee(
    adapter: AdaptedGenerator,
    perceptual: Perceptual | None,
    options: BSAOptions,
    num_images: int,
    batch_size: int,
    micro_batch: int | None = None,
) -> dict[str, Any]:
    """Return the memory that a run takes in MiB, part by part, and the operations of a step, as plain data.

    All is counted in float32. What torch itself and the libraries of a GPU take (some 500 MiB) is not in it.

    Args:
        adapter: on any device; nothing is computed on it.
        perceptual: of the loss, None for none.
        options: of the method.
        num_images: of the training set.
        batch_size: images a step.
        micro_batch: images that go through the networks at a time; None: the batch.
    """
    with FakeTensorMode():
        ours, _, network = _without_values(adapter, adapter.pretrained, perceptual)
        ours.pretrained.recompute = options.recompute and ours.pretrained.can_recompute
        size = min(micro_batch or batch_size, batch_size)
        fixed = [*ours.parameters(), *_tensors(ours.pretrained), *_tensors(network)]
        kept, largest, operations, layers = _a_pass(ours, network, {_storage(each) for each in fixed})
    first_pass = operations["forward"] if size < batch_size and options.variant == "normalized" else 0
    codes = num_images * adapter.z_dim if options.latents == "learned" else 0
    own = sum(each.numel() for each in ours.parameters()) + codes
    of_reals = num_images * layers
    parts = {
        "pretrained generator": sum(each.nbytes for each in _tensors(ours.pretrained)),
        "perceptual network": sum(each.nbytes for each in _tensors(network)),
        "adapter and codes, with gradients and Adam": own * BYTES_A_PARAMETER[True],
        "perceptual layers of the training images": of_reals if of_reals <= KEPT_BYTES else batch_size * layers,
        f"maps of {size} images": kept * size,
        "what comes and goes": PASSING * largest * size,
    }
    return _as_data(parts, batch_size * (operations["whole"] + first_pass))


def foresee_adversarial(
    generator: nn.Module,
    discriminator: nn.Module,
    batch_size: int,
    d_steps: int,
    precision: str,
    *,
    pack: int = 1,
    micro_batch: int | None = None,
) -> dict[str, Any]:
    """Return the memory that adversarial training takes in MiB, part by part, and a step's operations, as plain data.

    The generator's maps are held while the discriminator looks at reals and fakes. Penalties on gradients, looking
    ahead and the images themselves are not in it, nor what torch and the libraries of a GPU take (some 500 MiB).

    Args:
        generator, discriminator: on any device; nothing is computed on them.
        batch_size: images of each discriminator step.
        d_steps: discriminator steps for one of the generator.
        precision: of the recipe; its half precisions halve the maps.
        pack: images that the discriminator judges at once.
        micro_batch: images that go through the networks at a time; None: the batch.
    """
    first, size = 2 * pack, micro_batch or batch_size  # batch norm asks for two
    with FakeTensorMode():
        networks = _without_values(generator, discriminator)
        passes = [_passes(networks, count, precision, pack) for count in (first, 2 * first)]
    pairs = list(zip(*passes, strict=True))
    of_image = [[(b - a) / first for a, b in zip(few.kept, more.kept, strict=True)] for few, more in pairs]
    maps = [sum(sizes) for sizes in of_image]
    # What does not grow with the batch are weights in half precision
    fixed = sum(sum(few.kept) - first * each for (few, _), each in zip(pairs, maps, strict=True))
    largest = max(each for sizes in of_image for each in sizes)
    own = sum(parameter.numel() for net in (generator, discriminator) for parameter in net.parameters())
    average = sum(each.nbytes for each in _tensors(generator))
    an_image = maps[0] + 2 * maps[1]
    parts = {
        "weights, gradients, Adam and the average": own * BYTES_A_PARAMETER[True] + average + fixed,
        f"maps of {size} images": an_image * size,
        "what comes and goes": PASSING * largest * size,
    }
    of_g, of_d = ((more.operations - few.operations) / first for few, more in pairs)
    # A backward pass is two forward passes, or one where weights have no gradient
    counted = batch_size * (d_steps * (of_g + 2 * 3 * of_d) + 2 * of_g + 2 * of_d)
    a_further_image = round((an_image + PASSING * largest) / 2**20, 1)
    return _as_data(parts, counted) | {"memory_mib_a_further_image": a_further_image}


def _as_data(parts: Mapping[str, float], operations: float) -> dict[str, Any]:
    """Return bytes of memory, part by part, and the operations of a step in the units that are told."""
    return {
        "memory_mib": {name: round(value / 2**20) for name, value in parts.items()},
        "memory_mib_in_all": round(sum(parts.values()) / 2**20),
        "tera_operations_per_step": round(operations / 1e12, 3),
        "seconds_per_step_at_10_tflops": round(operations / GPU_OPERATIONS, 3),
    }


class _Pass(NamedTuple):
    """What a network's forward pass takes: bytes of each tensor that autograd keeps, and operations."""

    kept: list[int]
    operations: int


def _passes(networks: tuple[Any, Any], count: int, precision: str, pack: int) -> list[_Pass]:
    """Return those of a generator and of a discriminator on `count` of its images."""
    found = []
    generator, discriminator = networks
    given = torch.zeros(count, generator.z_dim)
    for network, joined in ((generator, 1), (discriminator, pack)):
        given = packed(given, joined)
        labels = (torch.zeros(len(given), dtype=torch.int64),) if generator.num_classes else ()
        seen = _Kept({_storage(each) for each in _tensors(network)})
        with (
            FlopCounterMode(display=False) as counter,
            saved_tensors_hooks(seen.pack, seen.unpack),
            autocast(torch.device("cpu"), precision),
        ):
            given = network(given, *labels).detach()
        found.append(_Pass([*seen.sizes.values()], counter.get_total_flops()))
    return found


def _a_pass(
    adapter: AdaptedGenerator, perceptual: Perceptual | None, fixed: set[int]
) -> tuple[int, int, dict[str, int], int]:
    """Return of one image: bytes kept, bytes of the largest map, operations, and bytes of its perceptual layers."""
    z = torch.zeros(1, adapter.z_dim, requires_grad=True)
    inside: list[int] = []

    def forward() -> tuple[Tensor, int]:
        images = adapter(z)
        layers = perceptual.features(images) if perceptual else []
        loss = images.float().abs().mean()
        for layer in layers:
            loss = loss + layer.float().square().mean()
        return loss, sum(layer.numel() * 4 for layer in layers)

    with FlopCounterMode(display=False) as counter:
        kept = _Kept(fixed)
        with saved_tensors_hooks(kept.pack, kept.unpack):
            loss, layers = forward()
        first = counter.get_total_flops()
        loss.backward()
        whole = counter.get_total_flops()
    if adapter.pretrained.recompute:  # one block is made anew at a time: the largest of them comes on top
        adapter.pretrained.recompute = False
        inside = _inside_blocks(adapter, z, fixed)
        adapter.pretrained.recompute = True
    largest = max([*kept.sizes.values(), *inside[1:2], 0])
    return sum(kept.sizes.values()) + sum(inside[:1]), largest, {"forward": first, "whole": whole}, layers


def _inside_blocks(adapter: AdaptedGenerator, z: Tensor, fixed: set[int]) -> list[int]:
    """Return the bytes that autograd keeps within the block that keeps most, and those of the largest map."""
    kept, marks = _Kept(fixed), [0]
    conditional = {id(norm) for norm in adapter.pretrained.norms}
    blocks = [
        module
        for module in adapter.pretrained.modules()
        if any(id(child) in conditional for child in module.children())
    ]

    def mark(*_: Any) -> None:
        marks.append(sum(kept.sizes.values()))

    hooks = [
        hook for block in blocks for hook in (block.register_forward_pre_hook(mark), block.register_forward_hook(mark))
    ]
    try:
        with saved_tensors_hooks(kept.pack, kept.unpack):
            adapter(z)
    finally:
        for hook in hooks:
            hook.remove()
    spans = [after - before for before, after in zip(marks[1::2], marks[2::2], strict=True)]
    return [max(spans, default=0), max(kept.sizes.values(), default=0)]


class _Kept:
    """The tensors that autograd keeps, each storage once, those of the weights left out."""

    def __init__(self, fixed: set[int]) -> None:
        self.sizes: dict[int, int] = {}
        self._fixed, self._alive = fixed, []  # type: ignore[var-annotated]

    def pack(self, tensor: Tensor) -> Tensor:
        """Count a tensor."""
        key = _storage(tensor)
        if key not in self._fixed:
            self.sizes[key] = tensor.untyped_storage().nbytes()
            self._alive.append(tensor)  # or another storage may get its number
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        """Return it as it was."""
        return tensor


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(network: nn.Module | None) -> list[Tensor]:
    return [] if network is None else [*network.parameters(), *network.buffers()]


def _without_values(*networks: nn.Module | None) -> Any:
    """Return copies without values, made without copying any."""
    memo: dict[int, Any] = {}
    for tensor in (each for network in networks for each in _tensors(network)):
        empty = torch.empty(tuple(tensor.shape), dtype=tensor.dtype)
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(networks, memo)
