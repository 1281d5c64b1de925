"""Draw the sample set: painted flowers, 64 x 64, one class. Flower k depends on (SEED, k) only.

    python tools/draw_flowers.py                  draw the set and write its card again
    python tools/draw_flowers.py --check          compare what lies in data/ with what is drawn now
    python tools/draw_flowers.py --sheet a.png    also write all of them on one sheet, to look at

With the locked versions the same bytes come out; other versions of numpy or OpenCV may round a pixel differently.
"""

from __future__ import annotations

import argparse
import io
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from flowers import draw
from painting import Pixels
from PIL import Image

from augment.core.files import make_folder, sha256_bytes, sha256_file, write_bytes, write_text
from augment.sources.image_set import fingerprint

SEED = 2611
NUM_IMAGES = 160
FOLDER = Path(__file__).resolve().parent.parent / "data" / "painted-flowers"

CARD = """# painted-flowers

Flowers with varied petals, colours, light, background and pose: one class, made so that a person can see whether a
GAN learned it. The commands use it when no other images are named, and the tests and the demo run on it.

| | |
|---|---|
| origin | drawn by `tools/draw_flowers.py` of this project, seed {seed}; no photograph and no other work is in it |
| licence | CC0-1.0: dedicated to the public domain |
| images | {count} |
| size | 64 x 64, RGB, PNG |
| bytes | {num_bytes} |
| hash | {digest} |

The hash is the SHA-256 over the images' own SHA-256 digests, hexadecimal, in the order of their names, one per line.
`python tools/draw_flowers.py --check` draws the set again and compares pixels and hash.
"""


def encode(pixels: Pixels) -> bytes:
    """Return the PNG of the pixels."""
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "PNG", optimize=True)
    return memory.getvalue()


def names() -> list[str]:
    """Return the names of the images, in order."""
    return [f"flower-{index:03d}.png" for index in range(NUM_IMAGES)]


def write(drawn: list[Pixels]) -> None:
    """Write the images and their card."""
    images = make_folder(FOLDER / "images")
    encoded = [encode(pixels) for pixels in drawn]
    for name, data in zip(names(), encoded, strict=True):
        write_bytes(images / name, data)
    digest = fingerprint([sha256_bytes(data) for data in encoded])
    num_bytes = f"{sum(map(len, encoded)):,}"
    write_text(FOLDER / "card.md", CARD.format(seed=SEED, count=len(drawn), num_bytes=num_bytes, digest=digest))
    print(f"{FOLDER}: {len(drawn)} images, {num_bytes} bytes, {digest}")


def check(drawn: list[Pixels]) -> int:
    """Compare the images in data/ with those drawn now, pixel by pixel, then hash by hash; 0 when all are equal."""
    images = FOLDER / "images"
    found = sorted(path.name for path in images.iterdir())
    if found != names():
        print(f"{images}: found {len(found)} files, expected {names()[0]} to {names()[-1]} and nothing else")
        return 1
    stored = [np.asarray(Image.open(images / name).convert("RGB")) for name in found]
    apart = [int(np.abs(np.subtract(a, b, dtype=np.int16)).max()) for a, b in zip(stored, drawn, strict=True)]
    digest = fingerprint([sha256_file(images / name) for name in found])
    same_hash = digest == fingerprint([sha256_bytes(encode(pixels)) for pixels in drawn])
    on_card = digest in (FOLDER / "card.md").read_text(encoding="utf-8")
    print(f"pixels: {sum(map(bool, apart))} of {len(apart)} images differ, by {max(apart)} levels at most")
    print(f"hash: {'equal' if same_hash else 'not equal'}; card: {'names it' if on_card else 'names another one'}")
    return 0 if same_hash and on_card and not any(apart) else 1


def sheet(drawn: list[Pixels], columns: int = 16) -> Pixels:
    """Lay the images out in rows."""
    rows = [np.concatenate(drawn[first : first + columns], axis=1) for first in range(0, len(drawn), columns)]
    return np.concatenate(rows)


def main() -> int:
    """Draw the set; return the exit code."""
    parser = argparse.ArgumentParser(description="Draw the sample set data/painted-flowers.")
    parser.add_argument("--check", action="store_true", help="compare with what lies in data/ and write nothing there")
    parser.add_argument("--sheet", type=Path, help="also write all images on one sheet")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.workers) as pool:
        drawn = list(pool.map(partial(draw, SEED), range(NUM_IMAGES), chunksize=4))
    if arguments.sheet:
        write_bytes(arguments.sheet, encode(sheet(drawn)))
    if arguments.check:
        return check(drawn)
    write(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
