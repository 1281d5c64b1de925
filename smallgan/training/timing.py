"""How long a step takes, measured."""

import time

from smallgan.data.images import ImageBatches
from smallgan.training.loop import Trainer

LONG = 60.0  # Seconds after which no further step is timed


def seconds_per_step(trainer: Trainer, batches: ImageBatches, num_steps: int = 3) -> list[float]:
    """Take steps 0 to `num_steps` - 1, or fewer long ones, and return the seconds of each, the device's included."""
    seconds: list[float] = []
    for step in range(num_steps):
        if sum(seconds) > LONG:
            break
        started = time.perf_counter()
        next(iter(trainer.step(batches.batch(step), step).values())).item()
        seconds.append(time.perf_counter() - started)
    return seconds
