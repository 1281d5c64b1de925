"""A GPU that is full: which batch would fit, or which part of one, found by trying, as nothing tells it beforehand."""

from collections.abc import Callable, Iterator

import torch

from augment.errors import UsageError
from smallgan.core import distributed
from smallgan.core.console import Log
from smallgan.core.device import describe_device
from smallgan.core.run_dir import RunDir
from smallgan.data.images import Batch, ImageBatches
from smallgan.tables.recipe import Recipe
from smallgan.training.loop import Trainer

LEAST = 2  # Images of a batch; batch norm needs at least two
Make = Callable[[], tuple[Trainer, ImageBatches]]


def named(work: Callable[[], int], recipe: Recipe, run: RunDir, trainer: Trainer, batches: ImageBatches) -> int:
    """Return what the training `work` returns; where it runs out of memory, try what fits and say it.

    Raises UsageError then. The trainer's weights are of no use afterwards; the run's checkpoints are as they were.
    """
    try:
        return work()
    except torch.OutOfMemoryError as error:
        found = _first_sentence(error)
    # Only here is the error gone, and with it all that the step held
    size = recipe.train.batch_size
    asked = f"{run.path}: out of memory on {describe_device(trainer.device)} with train.batch_size {size} ({found})"
    if run.last_step():
        asked += f"; the checkpoint of step {run.last_step()} is kept"
    if distributed.count() > 1:  # the others do not try with it
        raise UsageError(f"{asked}. Use a smaller --batch-size, or more GPUs")
    for each in halves(size, LEAST):
        trainer.batch_size = each
        if step_fits(trainer, batches, each * max(batches.batch_size // size, 1)):
            break
    else:
        raise UsageError(f"{asked}. Not even a step on {LEAST} images fits; train a smaller model or smaller images")
    if each == size:
        raise UsageError(
            f"{asked}. A step alone fits now: see that nothing else uses the GPU, or let what comes beside it be less "
            "with --set score.num_fake=100"
        )
    whole = "" if trainer.needs_whole_batch() else f", or --micro-batch auto for the same training on {size} in parts"
    raise UsageError(f"{asked}. A step on {each} images fits here: use --batch-size {each}{whole}")


def with_micro_batch(recipe: Recipe, make: Make, log: Log) -> tuple[Trainer, ImageBatches]:
    """Return what `make` makes, set to the micro-batch that the recipe asks for.

    "auto" tries a step on the whole batch, then on halves of it, and makes the trainer anew. Raises UsageError where
    the batch cannot be taken in parts, or where no part fits.
    """
    trainer, batches = make()
    asked, whole = recipe.train.micro_batch, recipe.train.batch_size
    if asked is None:
        return trainer, batches
    if why := trainer.needs_whole_batch():
        raise UsageError(
            f"train.micro_batch {asked}: {why}, and parts of a batch would train another model than the whole; use a "
            "smaller train.batch_size"
        )
    if asked == "auto" and distributed.count() > 1:
        raise UsageError(
            f"train.micro_batch auto: what fits is tried in one process, and these are {distributed.count()}; give the "
            "number of images that each is to take at a time"
        )
    if asked == "auto":
        asked = _largest_part(trainer, batches, whole)
        del trainer, batches
        trainer, batches = make()
        log(f"micro-batch: {asked} of {whole} images at a time, the most that fit here")
    if asked < distributed.share(whole):
        trainer.micro_batch = asked
    return trainer, batches


def _largest_part(trainer: Trainer, batches: ImageBatches, whole: int) -> int:
    for part in halves(whole, 1):
        trainer.micro_batch = part
        if step_fits(trainer, batches, batches.batch_size):
            return part
    raise UsageError(
        f"train.micro_batch auto: out of memory on {describe_device(trainer.device)} with a single image at a time; "
        "train a smaller model or smaller images"
    )


def halves(size: int, least: int) -> Iterator[int]:
    """Yield a number of images, its half, and so on down to `least`.

    >>> list(halves(13, 2))
    [13, 6, 3, 2]
    """
    while size > least:
        yield size
        size //= 2
    yield least


def step_fits(trainer: Trainer, batches: ImageBatches, count: int) -> bool:
    """Tell whether a step on the first `count` images of a batch fits; it moves the weights."""
    if trainer.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        trainer.step(Batch(*(each[:count] for each in batches.batch(1))), 1)["loss_g"].item()
    except torch.OutOfMemoryError:
        return False
    return True


def _first_sentence(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0]
