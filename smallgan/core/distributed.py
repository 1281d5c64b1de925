"""Several processes that train one model, called ranks: each takes its rows of every batch, as one process takes all.

torchrun starts them, or `launch`; `session` joins them. What is minimised is the mean over the ranks of the loss of
each. A loss that is no mean over images uses `mean`, `gathered` and `total`, through which gradients pass; all ranks
must call these in the same order. With one process, and inside `alone`, nothing is exchanged.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from augment.errors import FailedError, SmallganError, UsageError
from smallgan.core.device import choose_device

_PATIENCE = timedelta(days=1)  # How long ranks wait for each other: rank 0 scores alone. A dead one is noticed at once
Made = TypeVar("Made")


class _Group(NamedTuple):
    rank: int = 0
    size: int = 1


_joined = _Group()
"""Those of the session, whatever `alone` says."""
_group = _Group()
"""Those that exchange something now."""


def started() -> int:
    """Return the number of processes that torchrun started for this training, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_other() -> bool:
    """Tell whether torchrun started this process and it is not the first, which speaks for all."""
    return started() > 1 and os.environ["RANK"] != "0"


def is_restart() -> bool:
    """Tell whether torchrun started the ranks anew because one of them had ended (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def count() -> int:
    """Return the number of ranks, 1 for a single process."""
    return _group.size


def is_main() -> bool:
    """Tell whether this process alone writes and prints: it is rank 0, or the only one."""
    return _joined.rank == 0


def rows(whole: int) -> slice:
    """Return which of `whole` rows are this rank's. Raises UsageError."""
    each = share(whole)
    return slice(_group.rank * each, (_group.rank + 1) * each)


def share(whole: int) -> int:
    """Return how many of a batch of `whole` images each rank takes. Raises UsageError where it does not divide."""
    each, left = divmod(whole, _group.size)
    if left:
        near = f"{each * _group.size} or " if each else ""
        raise UsageError(
            f"a batch of {whole} images cannot be divided among {_group.size} processes; use --batch-size "
            f"{near}{(each + 1) * _group.size}"
        )
    return each


def own(whole: NDArray[Any], axis: int = 0) -> NDArray[Any]:
    """Return this rank's rows of an array that all ranks draw."""
    return whole if _group.size == 1 else whole[(slice(None),) * axis + (rows(whole.shape[axis]),)]


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:
        summed = tensor.contiguous().clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0])  # what each rank made of the sum; itself differentiable, as R1 needs it


def total(tensor: Tensor) -> Tensor:
    """Return the sum over the ranks of a tensor of the same shape on each."""
    summed: Tensor = tensor if _group.size == 1 else _Total.apply(tensor)
    return summed


def mean(tensor: Tensor) -> Tensor:
    """Return the mean over the ranks of a tensor of the same shape on each."""
    return tensor if _group.size == 1 else total(tensor) / _group.size


def gathered(tensor: Tensor) -> Tensor:
    """Return the rows of all ranks, in the order of the ranks, of a tensor with as many rows on each."""
    if _group.size == 1:
        return tensor
    before, after = _group.rank, _group.size - 1 - _group.rank
    parts = [tensor.new_zeros((number * len(tensor), *tensor.shape[1:])) for number in (before, after)]
    return total(torch.cat([parts[0], tensor, parts[1]]))


@torch.no_grad()
def average_gradients(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Give the weights of the optimisers the mean over the ranks of their gradients, by one exchange."""
    if _group.size == 1:
        return
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    gradients = [each.grad for group in groups for each in group["params"] if each.grad is not None]
    if gradients:
        flat = mean(torch.cat([each.reshape(-1) for each in gradients]))
        parts = flat.split([each.numel() for each in gradients])
        torch._foreach_copy_(gradients, [part.view(each.shape) for part, each in zip(parts, gradients, strict=True)])


def copy_from_main(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors by those of rank 0."""
    if _group.size > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def from_main(make: Callable[[], Made]) -> Made:
    """Return what `make` returns in rank 0, which alone calls it."""
    if _group.size == 1:
        return make()
    found: list[Any] = [make() if _group.rank == 0 else None]
    dist.broadcast_object_list(found, src=0)
    made: Made = found[0]
    return made


def any_of(flag: bool) -> bool:
    """Tell whether the flag is true in any rank."""
    if _group.size == 1:
        return flag
    found = torch.tensor(int(flag))
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found)


def means(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the means over the ranks of numbers that each has under the same names."""
    if _group.size == 1:
        return dict(numbers)
    found = mean(torch.tensor([*numbers.values()], dtype=torch.float64))
    return dict(zip(numbers, found.tolist(), strict=True))


def to_main(made: Made) -> list[Made]:
    """Return what each rank has, in the order of the ranks; in other ranks than 0 their own alone."""
    if _group.size == 1:
        return [made]
    found: list[Any] = [None] * _group.size
    dist.gather_object(made, found if _group.rank == 0 else None, dst=0)
    return found if _group.rank == 0 else [made]


def wait() -> None:
    """Return once all ranks have come here."""
    any_of(False)


@contextmanager
def alone() -> Iterator[None]:
    """Let this process work as if it were the only one: what rank 0 does by itself, or what every rank does in full."""
    global _group
    before, _group = _group, _Group()
    try:
        yield
    finally:
        _group = before


def device_of_rank(name: str) -> torch.device:
    """Return the device that `--device` `name` means for this process: of ranks, a GPU each. Raises UsageError."""
    if _joined.size == 1:
        return choose_device(name)
    check_gpus(int(os.environ["LOCAL_WORLD_SIZE"]), name)
    return torch.device("cpu") if name == "cpu" else torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def check_gpus(number: int, name: str) -> None:
    """Raise UsageError unless this machine has `number` GPUs for as many ranks, or `name` is cpu."""
    if name == "cpu":
        return
    if name not in ("auto", "cuda"):
        raise UsageError(f"--device {name}: each of {number} processes takes a GPU of its own; use --device cuda")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if there < number:
        use = f"use at most {there}" if there > 1 else "train without --gpus and torchrun"
        raise UsageError(
            f"--gpus {number}: this machine has {there} GPU{'' if there == 1 else 's'} that torch can use; {use}, or "
            "add --device cpu for a trial with a process each on the CPU"
        )
    choose_device("cuda")  # says where the GPUs are too old for this torch


@contextmanager
def session(device: str) -> Iterator[None]:
    """Join the ranks that torchrun started, until all have come to the end; without torchrun do nothing.

    Of ranks that fail the first says why: an error of another is turned into an exit code. One that loses the others
    ends too, with exit code 1 and in silence, as the launcher tells which one ended. Raises UsageError.

    Args:
        device: as given to `--device`.
    """
    if started() == 1:
        yield
        return
    global _group, _joined
    store, rank, number = next(rendezvous("env://"))
    attempt = PrefixStore(f"smallgan/{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    _joined = _Group(rank, number)
    try:
        chosen = device_of_rank(device)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=attempt, rank=rank, world_size=number, timeout=_PATIENCE)
        _group = _joined
        yield
        wait()  # rank 0 may have something left to write: the launcher ends the others with the first that leaves
        dist.destroy_process_group()
    except SmallganError as error:
        if not _is_first(attempt):
            raise SystemExit(error.exit_code) from None
        raise
    except RuntimeError as error:
        if _is_of_exchange(error):
            raise SystemExit(1) from None
        raise
    finally:
        _group = _joined = _Group()


def _is_first(store: Store) -> bool:
    """Tell whether no rank has failed before this one; where nobody can tell any more, another has."""
    try:
        return store.add("failed", 1) == 1
    except RuntimeError:
        return False


def _is_of_exchange(error: RuntimeError) -> bool:
    """Tell whether an exchange failed, because another rank is gone."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def launch(number: int, arguments: Sequence[str]) -> int:
    """Run `python -m smallgan` with these arguments in `number` ranks, as torchrun does, and return the exit code.

    A rank says itself why it failed; one that was killed cannot, and is named here.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // number, 1)))  # torchrun takes 1
    options = ["--standalone", "--nproc-per-node", str(number), "-m", "smallgan", *arguments]
    try:
        run.run(run.parse_args(options))
    except SignalException:  # passed on to the ranks, which have saved what they could
        return 1
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        for rank, code in codes.items():
            if code < 0 and -code != signal.SIGTERM:
                raise FailedError(
                    f"process {rank} of {number} was ended by {signal.Signals(-code).name}, and the others were "
                    "stopped; the same command goes on from the last checkpoint"
                ) from None
        return 2 if 2 in codes.values() else 1
    return 0
