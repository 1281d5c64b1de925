"""How much memory is free, so that what cannot fit is refused before it is tried."""

import sys
from pathlib import Path

import torch

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use in bytes of version 2 and version 1, as a container sees them."""


def free_bytes(device: torch.device) -> int | None:
    """Return the bytes that are free on a GPU, or to this process on the machine; None where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
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


def _free_in_group(files: tuple[str, str]) -> int | None:
    """Return what the limit of a container or a batch system leaves; file caches count as used, as they do there."""
    try:
        limit, used = (int(Path(file).read_text(encoding="ascii")) for file in files)
    except (OSError, ValueError):  # no such group, or the limit is "max"
        return None
    return max(limit - used, 0)


def _free_on_windows() -> int | None:
    """Return ullAvailPhys of GlobalMemoryStatusEx, the third of the eight 8-byte words of a MEMORYSTATUSEX."""
    import ctypes

    words = (ctypes.c_ulonglong * 8)(64)  # its length in bytes, in the lower half of the first word
    call = getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx  # noqa: B009 - the name exists on Windows alone
    return words[2] if call(ctypes.byref(words)) else None
