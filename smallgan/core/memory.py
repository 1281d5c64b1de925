"""How much memory is free, so that what cannot fit is refused before it is tried."""

import sys
from contextlib import suppress
from pathlib import Path

import torch

_V1 = "/sys/fs/cgroup/memory/memory."
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (f"{_V1}limit_in_bytes", f"{_V1}usage_in_bytes", f"{_V1}stat"),
)
"""Limit and use in bytes, and what the use is made of, of version 2 and version 1, as a container sees them."""
_CACHED = ("inactive_file", "total_inactive_file")  # In `stat`: file cache that the kernel gives back first


def free_bytes(device: torch.device) -> int | None:
    """Return the bytes that are free on a GPU, or to this process on the machine; None where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        return _free_on_windows()
    found = (_free_on_linux(Path("/proc/meminfo")), *map(_free_in_group, _CGROUPS))
    return min((free for free in found if free is not None), default=None)


def _free_on_linux(meminfo: Path) -> int | None:
    """Return MemAvailable, which counts what the kernel can give back as free."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(values[0]) * 1024 if values else None


def _free_in_group(files: tuple[str, ...]) -> int | None:
    """Return what the limit of a container or a batch system leaves; file cache that is not in use counts as free."""
    try:
        limit, used = (int(Path(file).read_text(encoding="ascii")) for file in files[:2])
    except (OSError, ValueError):  # no such group, or the limit is "max"
        return None
    cached = 0
    with suppress(OSError, ValueError):
        lines = [line.split() for line in Path(files[2]).read_text(encoding="ascii").splitlines()]
        cached = max((int(value) for name, value in lines if name in _CACHED), default=0)
    return max(limit - max(used - cached, 0), 0)


def _free_on_windows() -> int | None:
    """Return ullAvailPhys of GlobalMemoryStatusEx, the third of the eight 8-byte words of a MEMORYSTATUSEX."""
    import ctypes

    words = (ctypes.c_ulonglong * 8)(64)  # its length in bytes, in the lower half of the first word
    call = getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx  # noqa: B009 - the name exists on Windows alone
    return words[2] if call(ctypes.byref(words)) else None
