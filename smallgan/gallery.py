"""Samples on disk: single images, a grid, an interpolation strip and a GIF."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augment.errors import UsageError
from augment.files import make_folder, write_bytes
from augment.pixels import encode_png
from smallgan.generators import Model
from smallgan.images import Pixels, grid
from smallgan.sampling import Address, generate, interpolate, latents

GRID_LIMIT = 100
STRIP_TILES = 8
_GIF_SECONDS_PER_FRAME = 0.05


def samples_folder(model: Model, addresses: Sequence[Address], kind: str) -> Path:
    """Return where samples of these addresses belong: samples/ of the model's run, else here."""
    root = model.run.samples if model.run else Path("samples")
    (first_seed, _), (last_seed, last_k) = addresses[0], addresses[-1]
    which = f"seed{first_seed}-x{last_k + 1}" if first_seed == last_seed else f"seeds{first_seed}-{last_seed}"
    return root / f"step-{model.step:06d}-{kind}-{which}"


def write_samples(
    model: Model,
    addresses: Sequence[Address],
    folder: Path,
    *,
    singles: bool = True,
    advance: Callable[[int], None] = lambda _done: None,
) -> dict[str, Any]:
    """Write one PNG an address and grid.png of the first 100; return what was made, the grid first in `files`.

    Raises OutputError.
    """
    make_folder(folder)
    files: list[str] = []
    tiles: list[Pixels] = []
    one_seed = len({seed for seed, _ in addresses}) == 1
    for number, pixels in enumerate(generate(model, latents(addresses, model.generator.z_dim))):
        seed, k = addresses[number]
        if singles:
            path = folder / (f"sample-{k:05d}.png" if one_seed else f"seed-{seed:05d}.png")
            write_bytes(path, encode_png(pixels))
            files.append(str(path))
        if len(tiles) < GRID_LIMIT:
            tiles.append(pixels)
        advance(number + 1)
    sheet = folder / "grid.png"
    write_bytes(sheet, encode_png(grid(tiles)))
    return {"model": str(model.path), "step": model.step, "count": len(addresses), "files": [str(sheet), *files]}


def write_interpolation(model: Model, addresses: Sequence[Address], folder: Path, frames: int) -> dict[str, Any]:
    """Write strip.png, a row of 8 for each pair of neighbours, and loop.gif through all latents and back to the first.

    Raises UsageError for fewer than two addresses, and OutputError.
    """
    if len(addresses) < 2:
        raise UsageError("--interpolate: needed at least two latents; give --count 2 or more, or two --seeds")
    make_folder(folder)
    ends = latents(addresses, model.generator.z_dim)
    rows: list[Pixels] = []
    for pair in pairwise(ends):
        rows.extend(generate(model, interpolate(np.stack(pair), STRIP_TILES - 1)))
    strip, movie = folder / "strip.png", folder / "loop.gif"
    write_bytes(strip, encode_png(grid(rows, columns=STRIP_TILES)))
    closed = np.concatenate([ends, ends[:1]])
    write_bytes(movie, _gif(list(generate(model, interpolate(closed, frames)))[:-1]))
    return {"model": str(model.path), "step": model.step, "count": len(addresses), "files": [str(strip), str(movie)]}


def _gif(frames: Sequence[Pixels]) -> bytes:
    pictures = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=int(1000 * _GIF_SECONDS_PER_FRAME), loop=0
    )
    return buffer.getvalue()
