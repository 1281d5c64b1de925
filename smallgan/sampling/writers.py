"""Samples on disk: single images, a grid, an interpolation, reconstructions beside their originals, a raw array."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from augment.core.files import make_folder, renamed, write_bytes, write_text
from augment.imaging.codec import encode_png
from augment.sources.dataset_format import SAMPLE_IMAGES
from smallgan.core.console import progress
from smallgan.data.images import Pixels, enlarged, grid
from smallgan.data.points import scatter
from smallgan.sampling.image_formats import ImageFormat
from smallgan.sampling.latents import Inputs, generate, generate_images, interpolate
from smallgan.sampling.loading import Model
from smallgan.sampling.reconstructions import Originals

GRID_LIMIT = 100
MOST_OF_A_GROUP = 10  # Images of each class in the grid of --per-class
STRIP_TILES = 8
PAIR_GAP = 8  # Pixels between two pairs of original and reconstruction; within a pair there are none
_GIF_MILLISECONDS_PER_FRAME = 50


class Layout(NamedTuple):
    """Which images stand in a grid, and in how many columns."""

    columns: int | None = None
    """None: about as many as rows."""
    places: Sequence[int] = range(GRID_LIMIT)
    """Numbers of the images in it."""

    @classmethod
    def of_groups(cls, num_groups: int, size: int, columns: int | None) -> Self:
        """Return a layout with the first images of each of `num_groups` groups of `size`, each in rows of its own."""
        columns = min(columns or MOST_OF_A_GROUP, size)
        groups = range(min(num_groups, max(GRID_LIMIT // columns, 1)))
        return cls(columns, [group * size + place for group in groups for place in range(columns)])


def write_samples(
    pixels: Iterable[Pixels],
    names: Sequence[str],
    folder: Path,
    encode: Callable[[Pixels], bytes] | None,
    layout: Layout = Layout(),
) -> list[Path]:
    """Write an image under each of `names` in images/, and grid.png; return the paths, the grid's first.

    Args:
        pixels: the images, S x S x 3 each, in the order of their names.
        names: paths below images/.
        folder: made where it is not there.
        encode: makes the bytes of a single image; None: the grid alone is written.
        layout: of the grid.

    Raises OutputError.
    """
    make_folder(folder)
    files = [folder / SAMPLE_IMAGES / name for name in names] if encode else []
    for parent in {file.parent for file in files}:
        make_folder(parent)
    shown = set(layout.places)
    tiles = [tile for at, tile in enumerate(_written(pixels, len(names), files, encode)) if at in shown]
    return [write_grid(folder / "grid.png", tiles, layout.columns), *files]


def write_points(points: Pixels, folder: Path) -> list[Path]:
    """Write points N x 1 x 1 x 2 as a picture, grid.png, and as text, points.csv; return the paths.

    Raises OutputError.
    """
    picture, text = make_folder(folder) / "grid.png", folder / "points.csv"
    _write(picture, scatter(points))
    rows = "".join(f"{x:.6g},{y:.6g}\n" for x, y in points.reshape(-1, 2))
    write_text(text, f"x,y\n{rows}")
    return [picture, text]


def write_grid(path: Path, tiles: Sequence[Pixels], columns: int | None = None, gap: int = 2) -> Path:
    """Write pictures as rows of a PNG, enlarged by a whole factor where they are small. Raises OutputError."""
    return _write(path, enlarged(grid(tiles, columns, gap), tiles[0].shape[1]))


def write_interpolation(
    model: Model, ends: Inputs, folder: Path, frames: int, *, straight: bool = False, truncation: float | None = None
) -> list[Path]:
    """Write strip.png, a row of 8 for each pair of neighbours, and loop.gif through all latents and back to the first.

    All is of the first end's class. Where a path leaves `truncation`, it is cut there. Raises OutputError.
    """
    make_folder(folder)
    rows: list[Pixels] = []
    with progress("sampling", len(ends.z)) as advance:
        for number, pair in enumerate(pairwise(ends.z), start=1):
            way = interpolate(np.stack(pair), STRIP_TILES - 1, straight=straight)
            rows.extend(generate(model, _along(way, ends, truncation)))
            advance(number)
        strip = _write(folder / "strip.png", grid(rows, columns=STRIP_TILES))
        way = interpolate(np.concatenate([ends.z, ends.z[:1]]), frames, straight=straight)[:-1]
        points = generate(model, _along(way, ends, truncation))
        first, *others = (Image.fromarray(enlarged(point, model.size)) for point in points)
        advance(len(ends.z))
    movie, buffer = folder / "loop.gif", io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=_GIF_MILLISECONDS_PER_FRAME, loop=0)
    write_bytes(movie, buffer.getvalue())
    return [strip, movie]


def write_reconstructions(
    model: Model,
    codes: Inputs,
    originals: Originals,
    folder: Path,
    image_format: ImageFormat | None,
    columns: int | None = None,
) -> tuple[list[Path], list[float | None]]:
    """Write grid.png, each original above the image of its code, and with a format images/code-00000.png and so on.

    Returns the paths, the grid's first, and each image's mean absolute difference to its original in levels of 0 to
    255, None where there is no original: its place stays white, and the grid has no places for originals at all where
    there is none. Raises OutputError.
    """
    make_folder(folder)
    count = len(codes.z)
    suffix, encode = image_format or (None, None)
    names = [f"code-{number:05d}{suffix}" for number in range(count)] if image_format else []
    files = [make_folder(folder / SAMPLE_IMAGES) / name for name in names]
    tiles: list[Pixels] = []
    differences: list[float | None] = []
    for number, pixels in enumerate(_written(generate(model, codes), count, files, encode)):
        original = originals.pixels.get(number)
        differences.append(None if original is None else float(np.abs(original.astype(np.int16) - pixels).mean()))
        above = np.full_like(pixels, 255) if original is None else original
        tiles.append(np.concatenate([above, pixels]) if originals.pixels else pixels)
    # Pairs in a row: five of a small set, else ten or what makes the sheet square
    columns = columns or (min(count, 5) if count <= 25 else max(10, round((2 * count) ** 0.5)))
    sheet = write_grid(folder / "grid.png", tiles, columns, PAIR_GAP if originals.pixels else 2)
    return [sheet, *files], differences


def write_images(model: Model, inputs: Inputs, path: Path) -> None:
    """Write images N x 3 x S x S in [-1, 1] as a .npy file of float32, batch by batch, under a temporary name.

    Points are N x 2 x 1 x 1.

    Raises OutputError.
    """
    make_folder(path.parent)
    shape, done = (len(inputs.z), 2 if model.size == 1 else 3, model.size, model.size), 0
    with renamed(path) as temporary, progress("sampling", len(inputs.z)) as advance, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for batch in generate_images(model, inputs):
            file.write(batch.cpu().numpy().astype("<f4").tobytes())
            done += len(batch)
            advance(done)


def _along(way: NDArray[np.float32], ends: Inputs, truncation: float | None) -> Inputs:
    """Return the points of a way between `ends`, all of the first one's class, cut at `truncation`."""
    z = way if truncation is None else np.clip(way, -truncation, truncation).astype(np.float32)
    return Inputs(z, None if ends.labels is None else np.full(len(z), ends.labels[0], np.int64))


def _written(
    images: Iterable[Pixels], count: int, files: Sequence[Path], encode: Callable[[Pixels], bytes] | None
) -> Iterator[Pixels]:
    with progress("sampling", count) as advance:
        for number, pixels in enumerate(images):
            if encode:
                write_bytes(files[number], encode(pixels))
            yield pixels
            advance(number + 1)


def _write(path: Path, pixels: Pixels) -> Path:
    write_bytes(path, encode_png(pixels))
    return path
