"""The log of a run: log.txt, environment.json and TensorBoard events."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from augment.core.files import output_errors, write_json
from augment.errors import InputError
from smallgan.core.console import Log
from smallgan.core.device import describe_device
from smallgan.core.run_dir import RunDir, read_record
from smallgan.core.version import __version__


def logged(run: RunDir, log: Log) -> Log:
    """Return a `log` that also writes to the run's log.txt, with the time."""

    def write(line: str) -> None:
        stamp = datetime.now().astimezone().isoformat(timespec="seconds")
        with output_errors(run.log), run.log.open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{stamp} {line}\n")
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
    }
    write_json(run.environment, {**before, **now})


class TensorBoard:
    """Context of a function that takes stats lines and writes TensorBoard events, or drops them without TensorBoard."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.writer: Any = None

    def __enter__(self) -> Callable[[Mapping[str, Any]], None]:
        if find_spec("tensorboard") is None:
            return lambda _line: None
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.run.path), purge_step=self.run.last_step() + 1)
        return self._record

    def __exit__(self, *_error: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def _record(self, line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if name != "step":
                self.writer.add_scalar(name, value, line["step"])
