"""How long a step takes, measured."""

import time

from smallgan.data.images import ImageBatches
from smallgan.training.loop import Trainer


def seconds_per_step(trainer: Trainer, batches: ImageBatches, num_steps: int = 3) -> list[float]:
    """Take steps 0 to `num_steps` - 1 and return the seconds of each, the device's work included."""
    seconds = []
    for step in range(num_steps):
        started = time.perf_counter()
        next(iter(trainer.step(batches.batch(step), step).values())).item()
        seconds.append(time.perf_counter() - started)
    return seconds
