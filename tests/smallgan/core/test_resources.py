"""The sample set: what its card says is what lies there, and the program in tools/ draws it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from smallgan.core.resources import SAMPLE_SET, sample_set, shipped_folder

TOOLS = ROOT / "tools"


def on_card(row: str) -> str:
    card = (shipped_folder("data") / SAMPLE_SET / "card.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {row} \| (.*) \|$", card, flags=re.MULTILINE)
    assert found, row
    return found[1]


def test_card_states_what_lies_there() -> None:
    files = sorted(sample_set().iterdir())
    contents = [file.read_bytes() for file in files]
    digests = "".join(f"{hashlib.sha256(content).hexdigest()}\n" for content in contents)
    assert on_card("images") == str(len(files))
    assert on_card("bytes") == f"{sum(map(len, contents)):,}"
    assert on_card("hash") == hashlib.sha256(digests.encode()).hexdigest()
    assert on_card("licence").startswith("CC0-1.0")
    assert sum(map(len, contents)) < 2_000_000


def test_images_are_64_px_rgb_and_all_different() -> None:
    images = [Image.open(file) for file in sorted(sample_set().iterdir())]
    assert {(image.format, image.mode, image.size) for image in images} == {("PNG", "RGB", (64, 64))}
    small = np.stack([np.asarray(image.resize((8, 8)), np.float64).ravel() for image in images])
    apart = np.sqrt(((small[:, None] - small[None]) ** 2).mean(-1)) + 1000 * np.eye(len(small))
    assert apart.min() > 5, "two of the flowers are nearly the same picture"


@pytest.mark.process
def test_program_draws_the_shipped_images_in_any_order() -> None:
    # One level of tolerance: another processor may round a sine differently in its last place.
    draw = "import sys; from flowers import draw; from draw_flowers import SEED; import numpy as np;"
    draw += "sys.stdout.buffer.write(np.stack([draw(SEED, k) for k in (14, 3)]).tobytes())"
    drawn = subprocess.run([sys.executable, "-c", draw], cwd=TOOLS, capture_output=True, check=True).stdout
    for pixels, number in zip(np.frombuffer(drawn, np.uint8).reshape(2, 64, 64, 3), (14, 3), strict=True):
        stored = np.asarray(Image.open(sample_set() / f"flower-{number:03d}.png"))
        assert np.abs(stored.astype(int) - pixels).max() <= 1
