"""Which metric sees which fault? Real images against others, clean and spoilt in known ways.

    python -m benchmarks.score_corruptions REALS OTHERS [--features FILE.onnx] [--count 1000] [--only NAME,...]

OTHERS stand for the output of a generator. They are scored as they are (what a perfect generator would read), with 10,
25 and 50 % turned into negatives, upside down, blurred, saved as JPEG of quality 20, as 100 images ten times each, and
with one in ten replaced by a copy of a real. Prints a table in Markdown, values with their 95 % intervals; features
are cached, so that a stopped run goes on. Spoilt images are written to the temporary folder and removed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from augment.imaging.codec import Pixels, encode_jpeg, encode_png
from augment.sources.image_set import ImageSet
from augment.sources.readers import open_source
from smallgan.core.device import choose_device
from smallgan.metrics import METRICS, evaluate
from smallgan.metrics.features.extract import FeatureNet, feature_net
from smallgan.metrics.features.image_sets import Extracted, set_features
from smallgan.metrics.score import Score

WITHOUT = ("leak", "nearest_ratio")
"""Needs augmented images."""
Files = Iterator[tuple[str, bytes]]


def spoilt_sets(reals: ImageSet, others: ImageSet, count: int) -> dict[str, Callable[[], Files]]:
    """Return each set by its name, as a function that makes its files."""

    def changed(change: Callable[[Pixels], Pixels], share: float = 1.0) -> Callable[[], Files]:
        """Spoil the first `share` of the images."""
        return lambda: (
            (f"{at:04d}.png", encode_png(change(pixels(at)) if at < share * count else pixels(at)))
            for at in range(count)
        )

    def pixels(at: int) -> Pixels:
        return others.load(at).image.pixels

    def negative(image: Pixels) -> Pixels:
        return 255 - image

    def upside_down(image: Pixels) -> Pixels:
        return np.ascontiguousarray(image[::-1])

    def blurred(image: Pixels) -> Pixels:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8)

    def files(images: ImageSet, rows: list[int]) -> Files:
        return ((f"{at:04d}-{images.images[row].name}", images.read(row)) for at, row in enumerate(rows))

    def with_copies() -> Files:
        yield from files(others, list(range(count - count // 10)))
        yield from ((f"copy-{name}", data) for name, data in files(reals, list(range(count // 10))))

    return {
        "other real images": lambda: files(others, list(range(count))),
        "10 % negatives": changed(negative, 0.10),
        "25 % negatives": changed(negative, 0.25),
        "50 % negatives": changed(negative, 0.50),
        "upside down": changed(upside_down),
        "blurred by 1 px": changed(blurred),
        "JPEG quality 20": lambda: ((f"{at:04d}.jpg", encode_jpeg(pixels(at), 20)) for at in range(count)),
        "a tenth repeated ten times": lambda: files(others, list(range(count // 10)) * 10),
        "a tenth copies of reals": with_copies,
    }


def features_of(make: Callable[[], Files], net: FeatureNet, what: str) -> Extracted:
    """Write a set to a temporary folder and return its features."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in make():
            (Path(folder) / name).write_bytes(data)
        return set_features(open_source(Path(folder)), [net], what)


def cell(score: Score) -> str:
    """Return value and interval for the table."""
    ends = f" [{score.interval[0]:.4g}, {score.interval[1]:.4g}]" if score.interval else ""
    return f"{score.value:.4g}{ends}"


def main() -> None:
    """Print the table, a row for each set as soon as it is scored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reals", type=Path)
    parser.add_argument("others", type=Path)
    parser.add_argument("--features")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", default="")
    parser.add_argument("--metrics", default=",".join(name for name in METRICS.names if name not in WITHOUT))
    asked = parser.parse_args()
    began = time.perf_counter()
    net, _ = feature_net(asked.features, choose_device("auto"))
    rows = list(range(asked.count))
    reals, others = (open_source(path).subset(rows) for path in (asked.reals, asked.others))
    of_reals = set_features(reals, [net], "reals")
    metrics = asked.metrics.split(",")
    print(f"{asked.count} against {asked.count} images, {net.label}\n")
    print("| images | " + " | ".join(metrics) + " |\n|---" + "|---" * len(metrics) + "|")
    for name, make in spoilt_sets(reals, others, asked.count).items():
        if asked.only and name not in asked.only.split(","):
            continue
        found = features_of(make, net, name)
        scores = evaluate(found.features[0], of_reals.features[0], net, metrics=metrics)
        print(f"| {name} | " + " | ".join(cell(score) for score in scores) + " |", flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
