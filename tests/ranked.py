"""Processes that train together, as torchrun starts them; they are forked from one that has torch loaded already."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import save_file
from torch.distributed import TCPStore

from benchmarks import ranks
from smallgan.cli import main
from smallgan.core import distributed
from smallgan.training.adversarial import AdversarialTrainer
from smallgan.training.train import train

PATIENCE = 600  # Seconds until a test gives up, on a machine that does much else


def exit_codes(work: Callable[..., None], *arguments: Any, count: int = 2, restart: int = 0) -> list[int | None]:
    """Call `work` in `count` ranks on the CPU and return how each ended; None: it was still there and is ended now."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ranked"])
    # torchrun's own process keeps what ranks tell each other: it outlives them
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    started = [
        context.Process(target=_rank, args=(rank, count, store.port, restart, work, arguments)) for rank in range(count)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(PATIENCE)
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    return codes


def _rank(
    rank: int, count: int, port: int, restart: int, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": str(restart),
    }
    torch.set_num_threads(1)  # as torchrun has it; ranks of several threads each would wait for each other's
    work(*arguments)


def write_trained(path, names, steps):
    """Write what `benchmarks.ranks.all_trained` finds in float64."""
    ranks.compute_in_float64()
    with distributed.session("cpu"):
        found = ranks.all_trained(names, steps)
        if distributed.is_main():
            save_file(found, path)


def train_until_killed(recipe, out, killed_at):
    """Train; the last rank is killed as it begins step `killed_at`, in the first attempt."""
    step = AdversarialTrainer.step

    def doomed(self, batch, number):
        if number == killed_at and os.environ["RANK"] == "1" and not distributed.is_restart():
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, number)

    AdversarialTrainer.step = doomed
    with distributed.session("cpu"):
        train(recipe, out=out, device="cpu", log=lambda _line: None)


def command(arguments, stderr):
    """Carry a command out; what it prints on stderr is added to a file."""
    with stderr.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 2)
    sys.argv = ["smallgan", *arguments]
    main()
