"""Mutated images, recipes and checkpoints: each is used or refused in one sentence, soon, and runs nothing.

python -m benchmarks.fuzz [--images 10000] [--recipes 1000] [--checkpoints 1000] [--seed 7]

Prints a line per kind, and each failure; exit code 1 when there is one.
"""

from __future__ import annotations

import argparse
import io
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from augment.errors import SmallganError
from augment.imaging.codec import decode_noted
from smallgan.core.checkpoint import STATE, TENSORS
from smallgan.metrics.features.extract import feature_net
from smallgan.models.biggan import BigGANConfig, BigGANGenerator
from smallgan.sampling.loading import load_model
from smallgan.tables.recipe import load_recipe, shipped_recipes
from smallgan.training.train import train

MAX_SECONDS = 10
CPU = torch.device("cpu")
_VALUES = (
    "0",
    "-1",
    "1e309",
    ".nan",
    "[[[]]]",
    "{a: {b: c}}",
    "!!python/object/apply:os.system ['true']",
    "&a [*a]",
    "~",
)


@dataclass
class Result:
    """What became of the mutants of one kind."""

    kind: str
    used: int = 0
    refused: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return it in one line."""
        total = self.used + self.refused + len(self.failures)
        return (
            f"{self.kind}: {total} mutants, {self.used} used, {self.refused} refused in one sentence, "
            f"{len(self.failures)} failed; slowest {self.slowest:.2f} s"
        )


class TooSlowError(Exception):
    """A mutant was not done with in time."""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__.splitlines()[0])
    for kind, count in (("images", 10_000), ("recipes", 1000), ("checkpoints", 1000)):
        parser.add_argument(f"--{kind}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = [
            images(args.images, args.seed),
            recipes(args.recipes, args.seed, Path(folder)),
            checkpoints(args.checkpoints, args.seed, Path(folder)),
        ]
    for result in results:
        print(result.line())
        print("".join(f"  FAILED {failure}\n" for failure in result.failures[:20]), end="")
    sys.exit(int(any(result.failures for result in results)))


def images(count: int, seed: int) -> Result:
    """Decode mutated image files of all formats."""
    result, formats = Result("images"), list(image_files())
    for number in range(count):
        suffix, data = formats[number % len(formats)]
        name = f"{number:05d}.{suffix}"
        changed = mutated(data, np.random.default_rng([seed, number]))

        def decode(data: bytes = changed, name: str = name) -> None:
            pixels = decode_noted(data, name).pixels
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise AssertionError(f"gave {pixels.dtype} {pixels.shape}")

        attempt(result, name, decode, named=name)
    return result


def recipes(count: int, seed: int, folder: Path) -> Result:
    """Load mutated recipes: changed characters, lines left out, twice or moved, and hostile values."""
    result = Result("recipes")
    texts = [path.read_text(encoding="utf-8") for path in shipped_recipes().values()]
    path = folder / "recipe.yaml"
    for number in range(count):
        draws = random.Random(seed * 1_000_003 + number)
        path.write_text(_mutated_text(texts[number % len(texts)], draws), encoding="utf-8")
        attempt(result, f"recipe {number}", lambda: load_recipe(str(path)), named=str(path), lines=True)
    return result


def checkpoints(count: int, seed: int, folder: Path) -> Result:
    """Load mutated checkpoints of a run, pretrained files and feature networks."""
    result = Result("checkpoints")
    tiny = {"data.size": 32, "model.base_width": 8, "train.steps": 1, "train.batch_size": 2, "score.metrics": []}
    run = train(load_recipe(None, tiny), out=folder / "run", device="cpu", log=lambda _line: None)
    checkpoint = run.checkpoint(1)
    whole = load_file(checkpoint / TENSORS)
    pth, onnx = folder / "G_ema.pth", folder / "net.onnx"
    torch.save(BigGANGenerator(BigGANConfig(32, 4, 20, 3, 6)).state_dict(), pth)
    _write_onnx(onnx)

    def load_run() -> None:
        model: Any = load_model(checkpoint, CPU)
        for name, tensor in model.generator.state_dict().items():
            if not torch.equal(tensor, whole[f"g_ema.{name}"]):
                raise AssertionError(f"{name} is not what was saved, and nothing was said")

    targets: list[tuple[Path, Callable[[], object]]] = [
        (checkpoint / TENSORS, load_run),
        (checkpoint / STATE, load_run),
        (pth, lambda: load_model(pth, CPU)),
        (onnx, lambda: feature_net(str(onnx), CPU)),
    ]
    before = {path: path.read_bytes() for path, _ in targets}
    for number in range(count):
        path, load = targets[number % len(targets)]
        path.write_bytes(mutated(before[path], np.random.default_rng([seed, number])))
        attempt(result, f"{path.name} {number}", load)
        path.write_bytes(before[path])
    return result


def attempt(result: Result, name: str, act: Callable[[], object], *, named: str = "", lines: bool = False) -> None:
    """Do one thing to a mutant and note what became of it.

    Args:
        result: where it is noted.
        name: of the mutant, for failures.
        act: what is done.
        named: what a refusal has to name.
        lines: whether a refusal may have a line for each mistake.
    """
    started = time.monotonic()
    try:
        with within(MAX_SECONDS):
            act()
    except SmallganError as error:
        text = str(error)
        if named not in text or ("\n" in text and not lines):
            result.failures.append(f"{name}: refused as {text!r}")
        else:
            result.refused += 1
    except (Exception, TooSlowError) as error:
        result.failures.append(f"{name}: {type(error).__name__}: {error}")
    else:
        result.used += 1
    result.slowest = max(result.slowest, time.monotonic() - started)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise TooSlowError in what runs longer; where the system has no alarm, let it run."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlowError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """Return `data` with bytes flipped, cut off, cut out, repeated or put in."""
    changed = bytearray(data)
    how, place = int(generator.integers(5)), int(generator.integers(len(data)))
    if how == 0:
        for _ in range(int(generator.integers(1, 9))):
            changed[int(generator.integers(len(data)))] ^= int(generator.integers(1, 256))
    elif how == 1:
        del changed[place:]
    elif how == 2:
        del changed[place : place + int(generator.integers(1, 64))]
    elif how == 3:
        changed[place:place] = changed[: int(generator.integers(1, 400))]
    else:
        changed[place : place + 8] = generator.integers(0, 256, int(generator.integers(1, 600)), np.uint8).tobytes()
    return bytes(changed)


def image_files() -> Iterator[tuple[str, bytes]]:
    """Yield one file of each kind that is read, with what else can be in one: EXIF, frames, alpha, 16 bits."""
    rows, columns = np.mgrid[0:40, 0:56]
    pixels = np.stack([rows * 6, columns * 4, (rows * columns) % 256], axis=-1).astype(np.uint8)
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue")]
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    formats: list[tuple[str, Image.Image, str, dict[str, Any]]] = [
        ("jpg", image, "JPEG", {}),
        ("jpg", image, "JPEG", {"progressive": True, "exif": exif}),
        ("jpg", image.convert("CMYK"), "JPEG", {}),
        ("png", image, "PNG", {}),
        ("png", image.convert("RGBA"), "PNG", {}),
        ("png", image.quantize(16), "PNG", {"transparency": 3}),
        ("png", deep, "PNG", {}),
        ("gif", frames[0], "GIF", {"save_all": True, "append_images": frames[1:]}),
        ("webp", image, "WEBP", {}),
        ("webp", image, "WEBP", {"lossless": True, "exif": exif}),
        ("bmp", image, "BMP", {}),
        ("tif", image, "TIFF", {"compression": "tiff_lzw"}),
        ("tif", frames[0], "TIFF", {"save_all": True, "append_images": frames[1:]}),
        ("ppm", image, "PPM", {}),
        ("tga", image, "TGA", {"compression": "tga_rle"}),
        ("jp2", image, "JPEG2000", {}),
        ("avif", image, "AVIF", {}),
    ]
    for suffix, each, format_, options in formats:
        buffer = io.BytesIO()
        try:
            each.save(buffer, format_, **options)
        except (KeyError, OSError):
            continue  # a Pillow without that codec
        yield suffix, buffer.getvalue()


def _mutated_text(text: str, draws: random.Random) -> str:
    lines = text.splitlines()
    for _ in range(draws.randint(1, 4)):
        at, how = draws.randrange(len(lines)), draws.randrange(6)
        if how == 0:
            lines[at] = lines[at][: draws.randint(0, len(lines[at]))]
        elif how == 1:
            lines.insert(draws.randrange(len(lines)), lines[at])
        elif how == 2 and len(lines) > 1:
            del lines[at]
        elif how == 3:
            lines[at] = "  " * draws.randint(0, 3) + lines[at].strip()
        elif how == 4:
            lines[at] = f"{lines[at].partition(':')[0]}: {draws.choice(_VALUES)}"
        else:
            characters = list(lines[at] or " ")
            characters[draws.randrange(len(characters))] = chr(
                draws.choice((0, 9, 34, 58, 91, 123, 38, 42, 0x2028, 0xD7FF))
            )
            lines[at] = "".join(characters)
    return "\n".join(lines)


def _write_onnx(path: Path) -> None:
    """Write a network of one mean over an image, and its card."""
    import onnx
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 8, 8])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])
    node = helper.make_node("ReduceMean", ["pixels"], ["features"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph([node], "mean", [image], [features])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    card = "name: mean\ninput: pixels\nsize: 8\nrange: [0, 1]\noutputs: {features: features}\n"
    path.with_suffix(".yaml").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
