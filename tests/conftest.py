"""Fixtures that several test files share. Nothing heavy is imported here: torch only by the tests that need it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REAL_DATA_VARIABLE = "SMALLGAN_REAL_DATA"
TINY_WIDTH, TINY_HEIGHT = 40, 32


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs real images where nobody named a folder of them, and say which variable names it."""
    if os.environ.get(REAL_DATA_VARIABLE):
        return
    skip = pytest.mark.skip(reason=f"set {REAL_DATA_VARIABLE} to the folder of real images to run it")
    for item in items:
        if "real_data" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep tests away from the cache of whoever runs them: neither its weights nor its features may decide a test."""
    os.environ["SMALLGAN_CACHE"] = str(tmp_path_factory.mktemp("smallgan-cache"))


@pytest.fixture(autouse=True)
def _torch_threads() -> Iterator[None]:
    """Give a test the thread count it found back to the next one, if torch was loaded meanwhile."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if before is not None and sys.modules["torch"].get_num_threads() != before:
        sys.modules["torch"].set_num_threads(before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that SMALLGAN_REAL_DATA names; an absent one is a failure, an unset name a skip."""
    named = os.environ.get(REAL_DATA_VARIABLE)
    if not named:
        pytest.skip(f"set {REAL_DATA_VARIABLE} to the folder of real images to run it")
    folder = Path(named).resolve()
    if not folder.is_dir():
        pytest.fail(f"{REAL_DATA_VARIABLE} names {folder}, which is not a folder")
    return folder


@pytest.fixture
def tiny_set(tmp_path: Path) -> Path:
    """A folder of its own for each test: 12 coloured shapes, 40 wide and 32 high, 8 PNG and 4 JPEG, all different."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for index in range(12):
        image = Image.fromarray(_shape(index))
        if index % 3 == 2:
            image.save(folder / f"shape-{index:02d}.jpg", quality=95)
        else:
            image.save(folder / f"shape-{index:02d}.png")
    return folder


def _shape(index: int) -> np.ndarray:
    """Draw shape `index` on a shaded ground: disc, bar or triangle, off centre, so that no mirror image equals it."""
    rows, columns = np.mgrid[0:TINY_HEIGHT, 0:TINY_WIDTH]
    across, down = columns - (10 + index), rows - (20 - index % 6)
    inside = (
        across**2 + down**2 < 64,
        (abs(across) < 9) & (abs(down) < 4),
        (down > -8) & (down < 8) & (abs(across) < (down + 8) / 2),
    )[index % 3]
    ground = 30 + np.stack([3 * columns, 4 * rows, columns + rows], axis=-1)
    colour = np.random.default_rng([20, index]).integers(140, 256, size=3)
    return np.where(inside[..., None], colour, ground).astype(np.uint8)
