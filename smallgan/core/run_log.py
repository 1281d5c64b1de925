"""The log of a run: log.txt, environment.json and TensorBoard events."""

import logging
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augment.core.files import output_errors, write_json
from augment.errors import InputError
from smallgan.core import distributed
from smallgan.core.console import Log
from smallgan.core.device import describe_device
from smallgan.core.run_dir import RunDir, read_record
from smallgan.core.version import __version__

_EVENTS = re.compile(r"events\.out\.tfevents\.(\d{10})\.(.+)")  # The name holds the second of its beginning


def append_log(path: Path, text: str) -> None:
    """Add a line with the time to a log. Raises OutputError."""
    stamp = datetime.now().astimezone().isoformat(timespec="seconds")
    with output_errors(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(f"{stamp} {text}\n")


def logged(run: RunDir, log: Log) -> Log:
    """Return a `log` that also writes to the run's log.txt, with the time."""

    def write(line: str) -> None:
        append_log(run.log, line)
        log(line)

    return write


def write_environment(run: RunDir, device: torch.device, command: str) -> None:
    """Write versions, device and thread count; the command and the start stay those of the run's beginning."""
    before = {"command": command, "started": datetime.now(UTC).isoformat(timespec="seconds")}
    with suppress(InputError):
        before = read_record(run.environment) or before
    now = {
        "smallgan": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": describe_device(device),
        "num_threads": torch.get_num_threads(),
        **({"num_processes": distributed.count()} if distributed.count() > 1 else {}),
    }
    write_json(run.environment, {**before, **now})


@contextmanager
def tensorboard(run: RunDir) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Give a function that takes stats lines and writes TensorBoard events, or drops them without TensorBoard."""
    if find_spec("tensorboard") is None:
        yield lambda _line: None
        return
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    from torch.utils.tensorboard import SummaryWriter

    _put_before_now(run.path)

    def record(line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if name != "step":
                writer.add_scalar(name, value, line["step"])

    with SummaryWriter(str(run.path), purge_step=run.last_step() + 1) as writer:
        yield record


def _put_before_now(folder: Path) -> None:
    """Rename event files that seem to be of the future, because the clock was set back since, in their order.

    TensorBoard reads the files in the order of their names: what a resumed run adds must come last.
    """
    next_second = int(time.time())
    for path in sorted(folder.glob("events.out.tfevents.*"), reverse=True):
        if match := _EVENTS.fullmatch(path.name):
            second = min(int(match[1]), next_second - 1)
            if second != int(match[1]):
                with output_errors(path):
                    path.rename(path.with_name(f"events.out.tfevents.{second:010d}.{match[2]}"))
            next_second = second
