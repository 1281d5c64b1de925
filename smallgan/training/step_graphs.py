"""Whole steps as CUDA graphs: what a step launches on the GPU is recorded once and replayed by a single launch.

A step of a small network is hundreds of short kernels, and the host needs longer to launch them than the GPU to run
them. A replay runs the same kernels on the same memory. So whatever changes from step to step lies in tensors that stay
where they are: the batch, what is drawn (`Draws.stays`), the learning rates.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from smallgan.data.images import Batch

WARM_UP = 3  # Steps of a kind before it is recorded: libraries choose their kernels in the first ones

Terms = dict[str, Tensor]


class _Recorded(NamedTuple):
    replay: Callable[[], object]
    batch: Batch
    """What it reads; a new batch is copied here."""
    names: list[str]
    values: Tensor
    """Scalars that it returns, in the order of `names`."""


class StepGraphs:
    """The graphs of a run's steps, one for each kind of step; they share their memory.

    Args:
        device: a CUDA GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seen: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, _Recorded] = {}
        self._pool: Any = None

    def __call__(self, kind: Hashable, batch: Batch, compute: Callable[[Batch], Terms]) -> Terms:
        """Return what `compute` returns for a batch: by calling it at first, later by a graph of its work.

        Args:
            kind: the same for steps that launch the same kernels on tensors of the same shapes.
            batch: of the step.
            compute: the work of a step; it reads nothing else on the host that differs within a kind.
        """
        if kind not in self._recorded:
            self._seen[kind] += 1
            if self._seen[kind] <= WARM_UP:
                return self._warmed(lambda: compute(batch))
            self._record(kind, batch, compute)
        found = self._recorded[kind]
        for mine, given in zip(found.batch, batch, strict=True):
            mine.copy_(given)
        found.replay()
        return dict(zip(found.names, found.values.clone().unbind(), strict=True))

    def _record(self, kind: Hashable, batch: Batch, compute: Callable[[Batch], Terms]) -> None:
        kept, names, values = Batch(*(each.clone() for each in batch)), list[str](), list[Tensor]()

        def work() -> None:
            terms = compute(kept)
            names.extend(terms)
            values.append(torch.stack([each.float() for each in terms.values()]))

        self._recorded[kind] = _Recorded(self._captured(work), kept, names, values[0])

    def _warmed(self, work: Callable[[], Terms]) -> Terms:
        """Do it beside the default stream, as torch asks for before a capture."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            found = work()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        return found

    def _captured(self, work: Callable[[], None]) -> Callable[[], object]:
        """Record the work, which is not carried out, and return what carries it out."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            work()
        self._pool = graph.pool()
        return graph.replay


def make_capturable(optimizers: Iterable[torch.optim.Adam], device: torch.device) -> None:
    """Keep an optimiser's learning rates and number of steps on the device, where a graph reads them."""
    for group in (group for each in optimizers for group in each.param_groups):
        group["capturable"], group["lr"] = True, torch.tensor(group["lr"], device=device)


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Set the learning rate of an optimiser's group, in place where a graph reads it."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
