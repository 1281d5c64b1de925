"""Which device, which precision, and draws that depend on their address alone."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from augment.errors import UsageError

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`: "auto" (a GPU where torch can use one), "cpu", "cuda", "cuda:1", "mps".

    Raises UsageError when it is not to be had.
    """
    if name == "auto":
        return torch.device("cuda" if _usable_gpu() is None else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: no such device; use auto, cpu, cuda, cuda:N or mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: smallgan runs on cpu, cuda and mps; use one of them")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"--device {name}: torch finds no Apple GPU here; use --device cpu")
    if device.type == "cuda":
        reason = _usable_gpu(device.index or 0)
        if reason is not None:
            raise UsageError(f"--device {name}: {reason}; use --device cpu")
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which forward passes run: half precision for "bf16" and "fp16", else nothing."""
    if precision in _HALVES:
        return torch.autocast(device.type, dtype=_HALVES[precision])
    return nullcontext()


def check_precision(device: torch.device, precision: str | None) -> None:
    """Raise UsageError for a precision that this device does not train in; None is the device's own."""
    if device.type == "mps" and precision not in (None, "fp32"):
        raise UsageError(f"--precision {precision}: on mps smallgan trains in fp32 alone; leave the option out")


def scoring_device(device: torch.device) -> torch.device:
    """Return where feature networks run beside a generator on `device`: on the CPU for mps.

    Scores must not depend on a device whose resize and convolutions nobody has compared with the CPU's.
    """
    return torch.device("cpu") if device.type == "mps" else device


def default_precision(device: torch.device) -> str:
    """Return the precision of a training that names none: tf32 on a GPU that has it (Ampere and later), else fp32."""
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "tf32" if has_tf32 else "fp32"


@contextmanager
def float32_math(precision: str) -> Iterator[None]:
    """Let float32 products and convolutions on CUDA round inputs to TF32 inside for "tf32", and never otherwise.

    Without it torch runs cuDNN's convolutions in TF32. The settings before are restored at the end.
    """
    cudnn: Any = torch.backends.cudnn
    settings: list[Any] = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]
    before = [each.fp32_precision for each in settings]
    for each in settings:
        each.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for each, value in zip(settings, before, strict=True):
            each.fp32_precision = value


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether products in bfloat16 are faster than in float32 here: on a GPU and a CPU with units for them."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 cannot be asked
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


_VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus_to_share(name: str) -> list[str]:
    """Return the GPUs that processes of `--device` `name` share out, as CUDA_VISIBLE_DEVICES names them.

    [] where the option names one GPU or no GPU is visible.
    """
    if name not in ("auto", "cuda"):
        return []
    count, visible = torch.cuda.device_count(), os.environ.get(_VISIBLE)
    named = [each.strip() for each in visible.split(",")] if visible else [str(number) for number in range(count)]
    return named[:count]


def least_used(gpus: Sequence[str], in_use: Sequence[str | None]) -> str | None:
    """Return the GPU that fewest processes use, the first of several; None where there is none.

    >>> least_used(["0", "1"], ["0", "1", "0"])
    '1'
    """
    return min(gpus, key=in_use.count, default=None)


def see_only(gpu: str | None) -> None:
    """Let this process see one GPU alone, as cuda:0; call it before torch looks for any. None: see all."""
    if gpu is not None:
        os.environ[_VISIBLE] = gpu


def describe_device(device: torch.device) -> str:
    """Return what the device is, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "mps (Apple GPU; smallgan has not been tested on one), scores on the CPU"
    return f"cpu, {torch.get_num_threads()} thread(s)"


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MiB: of the GPU's allocator, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / 2**20  # now; it keeps no peak
    try:
        import resource
    except ImportError:  # Windows has no getrusage
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _usable_gpu(index: int = 0) -> str | None:
    """Return None when GPU `index` can be used, else why it cannot."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA GPU here"
    if index >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} GPU(s), numbered from 0"
    major, minor = torch.cuda.get_device_capability(index)
    supported = [arch for arch in torch.cuda.get_arch_list() if arch.startswith("sm_")]
    oldest = min((int(arch.removeprefix("sm_").rstrip("af")) for arch in supported), default=0)
    if major * 10 + minor < oldest:
        return f"the GPU's architecture sm_{major}{minor} is older than this torch supports (sm_{oldest} and newer)"
    return None
