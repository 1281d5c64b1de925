"""A GIF of a run's training: its grids of the same latents, one after another."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augment.core.files import make_folder, write_bytes
from augment.core.limits import MAX_FILE_BYTES, read_within
from augment.errors import InputError, UsageError
from augment.imaging.codec import decode
from smallgan.core.run_dir import RunDir

MOST_FRAMES = 200  # Of a longer training grids are left out, evenly
_LEAST_SIDE, _MOST_SIDE = 380, 1024  # Pixels; smaller grids are enlarged, larger ones shrunk, by whole factors
_SECONDS = 12.0  # About as long as the GIF lasts
_FASTEST, _SLOWEST, _LAST = 80, 600, 2500  # Milliseconds of a frame, and of the last one
_CAPTION = 22  # Height in pixels of the line that names the step


def write_training_gif(path: Path, out: Path | None) -> dict[str, Any]:
    """Write training.gif of a run into `out`, else into its samples/; return what was made, as `sample` does.

    Raises UsageError where `path` is no run, or has fewer than two grids yet, InputError for a damaged grid, and
    OutputError.
    """
    run = RunDir(path)
    if not run.exists():
        raise UsageError(f"--training-gif: {path} is no run; name the folder of one, such as runs/00000-train")
    grids = run.grids()
    if len(grids) < 2:
        raise UsageError(
            f"--training-gif: {path} has {len(grids)} grid(s) of samples, expected two; train on, with "
            "--snapshot-every for more of them"
        )
    steps = [sorted(grids)[at] for at in _evenly(len(grids), MOST_FRAMES)]
    first, *others = (_frame(grids[step], step) for step in steps)
    each = int(np.clip(1000 * _SECONDS / len(steps), _FASTEST, _SLOWEST))
    durations, buffer = [each] * (len(steps) - 1) + [_LAST], io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    file = make_folder(out or run.samples) / "training.gif"
    write_bytes(file, buffer.getvalue())
    return {"model": str(path), "count": len(steps), "steps": steps, "files": [str(file)]}


def _evenly(count: int, most: int) -> Iterator[int]:
    """Yield up to `most` of the numbers 0 to count - 1, the first and the last among them."""
    yield from sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})


def _frame(path: Path, step: int) -> Image.Image:
    try:
        picture = Image.fromarray(decode(read_within(path, MAX_FILE_BYTES), str(path)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    side = max(picture.size)
    if side < _LEAST_SIDE:
        factor = -(-_LEAST_SIDE // side)
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    elif side > _MOST_SIDE:
        picture = picture.reduce(-(-side // _MOST_SIDE))
    sheet = Image.new("RGB", (picture.width, picture.height + _CAPTION), "white")
    sheet.paste(picture)
    ImageDraw.Draw(sheet).text((4, picture.height + 3), f"step {step:,}", "black", ImageFont.load_default(14))
    return sheet
