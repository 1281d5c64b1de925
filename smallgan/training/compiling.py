"""Steps for GPUs, where a step of small networks waits for its launches: networks by torch.compile, or CUDA graphs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from augment.errors import UsageError
from smallgan.training.loop import Trainer

BACKEND = "inductor"
GRAPH = "cuda-graph"
_TRAINED = ("g", "d", "g_ema")  # Names in `Trainer.networks`; an average is not trained, an adapter is


def compile_networks(trainer: Trainer, mode: str | None) -> None:
    """Compile the networks that are trained, in their place: parameters and checkpoints stay as they are.

    Args:
        trainer: a copy of one of its networks, such as the average, is not compiled.
        mode: as torch.compile takes it; "cuda-graph": nothing is compiled, and whole steps are recorded and replayed
            (`smallgan.training.step_graphs`); None: neither.

    Raises UsageError for "cuda-graph" without a CUDA GPU, or with a method whose step cannot be recorded.
    """
    if mode is None:
        return
    if mode == GRAPH:
        if trainer.device.type != "cuda":
            raise UsageError(f"train.compile {GRAPH}: it needs a CUDA GPU, and this is {trainer.device}; leave it out")
        trainer.use_graphs()
        return
    # Shapes are those of the batch; a compilation for any shape failed in torch's inductor
    settings: dict[str, Any] = {"dynamic": False, "backend": BACKEND}
    if BACKEND == "inductor":
        settings["mode"] = mode
    for name in _TRAINED:
        if name in trainer.optimizers:
            trainer.networks[name].compile(**settings)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run networks as they were before: a compiled one has no gradient of its gradient, which penalties need."""
    with torch.compiler.set_stance("force_eager"):
        yield
