"""A GPU that is not there: tensors say that they lie on cuda:0 and hold no numbers, so that any machine can tell what
would fail on a GPU and what would make the host wait for it.

What torch's FakeTensorMode cannot do is stubbed here: the autograd engine of CUDA (a backward pass gives every weight
that it would reach a gradient, and computes none), pinned memory (the bytes are ordinary ones) and arrays of what comes
back (zeros). Autocast is off, as torch has it where no GPU is. So a test with it shows where tensors lie and what is
copied; numbers, memory, speed and the kernels' own limits need a GPU.
"""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda:0")
_ATEN = torch.ops.aten
_COPIES = (_ATEN.to, _ATEN._to_copy, _ATEN.copy_, _ATEN._foreach_copy_)


class Traffic(TorchDispatchMode):
    """Counts, within it, what crosses between the host and the fake GPU."""

    def __init__(self):
        super().__init__()
        self.uploads = self.blocking_uploads = self.downloads = self.reads = 0

    @property
    def counts(self):
        """Uploads, those of them that the host waits for, downloads, and single numbers read by the host."""
        return self.uploads, self.blocking_uploads, self.downloads, self.reads

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.overloadpacket is _ATEN._local_scalar_dense:
            self.reads += args[0].device.type == "cuda"
            return 1.0 if args[0].is_floating_point() else 1
        result = func(*args, **kwargs)
        if func.overloadpacket in _COPIES:
            source, target = (args[1], args[0]) if len(args) > 1 and _tensor(args[1]) else (args[0], result)
            source, target = (each[0] if isinstance(each, list | tuple) else each for each in (source, target))
            if source.device.type == "cpu" and target.device.type == "cuda":
                self.uploads += 1
                self.blocking_uploads += not (kwargs.get("non_blocking") or any(each is True for each in args))
            self.downloads += source.device.type == "cuda" and target.device.type == "cpu"
        return result


@contextmanager
def fake_gpu():
    """Within it torch computes on fake tensors alone; yields a function that returns a thing as it were on the GPU.

    That function copies a trainer, a network or batches, with all that they hold: tensors and devices become the GPU's.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def moved(tensor, memo):
        if id(tensor) not in memo:
            meta = tensor.detach().to("meta")
            fake = FakeTensor(mode, meta, GPU)
            is_parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if is_parameter else fake
        return memo[id(tensor)]

    def on_gpu(thing):
        with pytest.MonkeyPatch.context() as patch:
            for kind in (torch.Tensor, nn.Parameter):
                patch.setattr(kind, "__deepcopy__", moved)
            patch.setitem(copy._deepcopy_dispatch, torch.device, lambda _device, _memo: GPU)
            return copy.deepcopy(thing)

    with pytest.MonkeyPatch.context() as patch, mode:
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
        patch.setattr(torch.Tensor, "numpy", _zeros)
        patch.setattr(torch.Tensor, "backward", lambda loss: _reach(loss))
        patch.setattr(torch.autograd, "grad", _zero_gradients)
        yield on_gpu


def _zeros(tensor):
    assert tensor.device.type == "cpu", "only what lies on the host can be an array"
    return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def _zero_gradients(_of, at, **_more):
    return tuple(torch.zeros_like(each) for each in (at if isinstance(at, list | tuple) else [at]))


def _reach(loss):
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            node.variable.grad = torch.zeros_like(node.variable)
        waiting.extend(before for before, _ in node.next_functions)


def _tensor(thing):
    return isinstance(thing[0] if isinstance(thing, list | tuple) and thing else thing, torch.Tensor)
