"""One image reproduced from its line in metadata.jsonl alone: the proof that the line says all there is to know.

The line holds what was done, with every drawn number; what it was done to is the parent that it names. The originals in
the dataset serve for that where they hold the pixels exactly: as copies, or as PNG. Where they were changed and saved
as JPEG the source is needed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from augment.build.plan import versions
from augment.core.files import make_folder, outside, sha256_bytes, write_bytes
from augment.core.limits import MAX_FILE_BYTES, read_within
from augment.errors import FailedError, InputError, UsageError
from augment.imaging.codec import Pixels, Rules, decode, encode_jpeg, encode_png, parse_background, to_gray
from augment.imaging.geometry import RESIZE_MODES, resize_by
from augment.policy.apply import apply_operation
from augment.policy.transforms import GAN
from augment.sources.dataset_format import METADATA, read_plan
from augment.sources.image_set import ImageSource
from augment.sources.mixed_dataset import Record, read_records
from augment.sources.readers import open_source


def reproduce(image: Path, *, source: Path | None = None, generator: ImageSource | None = None) -> tuple[bytes, Record]:
    """Make the image at the path `image` of a mixed dataset again, and return its bytes and its line.

    The file itself need not be there, and is not looked at. `source` is what the dataset was built from.
    Raises InputError when there is no such line, UsageError when something is needed for it, and FailedError when the
    bytes are not those that the line promises.
    """
    dataset, record = _locate(image)
    if record.origin == "original":
        raise UsageError(f"{image}: an original; it was taken over, not made")
    if not record.operations:
        raise UsageError(f"{image}: it came with --synthetic or --also, and was taken over, not made")
    plan = read_plan(dataset)
    rules = Rules(parse_background(plan.get("background", "white")), plan.get("mode") == "gray")
    tried = False
    for pixels in _starts(dataset, record, plan, rules, source, generator):
        data = reproduce_from(record, pixels, gray=rules.gray)
        if sha256_bytes(data) == record.sha256:
            return data, record
        tried = True
    raise _failed(image, record, plan, tried=tried, has_source=source is not None)


def write_reproduction(
    image: Path, out: Path | None, *, source: Path | None = None, generator: ImageSource | None = None
) -> dict[str, Any]:
    """Reproduce the image at the path `image` as the file `out`, and return what was done, ready for JSON.

    Args:
        image: path of an image in a mixed dataset.
        out: the file to write, with the same ending; None: out/reproduced/<its name>.
        source: what the dataset was built from, where that is needed.
        generator: what its synthetic images were made by, for one of these.

    Raises:
        OutputError: the file lies in the source.
        UsageError: the ending differs, and as `reproduce` does.
    """
    file = outside(out or Path("out") / "reproduced" / image.name, [source] if source else [])
    data, record = reproduce(image, source=source, generator=generator)
    if file.suffix.lower() != image.suffix.lower():
        raise UsageError(f"--out {file}: expected a file ending in {image.suffix}, as the image that is reproduced")
    make_folder(file.parent)
    write_bytes(file, data)
    return {
        "path": str(file),
        "sha256": record.sha256,
        "parent": record.parent,
        "operations": [operation["name"] for operation in record.operations],
    }


def reproduce_from(record: Record, pixels: Pixels, *, gray: bool = False) -> bytes:
    """Return the file of a line, made from what its operations start from: its parent, or what a generator drew.

    `gray`: it belongs to a set of gray images.
    """
    for operation in record.operations:
        if operation["name"] != GAN:
            pixels = apply_operation(pixels, operation["name"], json.loads(operation["params"]))
    encode = encode_png if record.file_name.endswith(".png") else encode_jpeg
    return encode(to_gray(pixels), gray=True) if gray else encode(pixels)


def _locate(image: Path) -> tuple[Path, Record]:
    """Return the dataset that the path lies in, and the line of the image."""
    for dataset in image.absolute().parents:
        if (dataset / METADATA).is_file():
            name = image.absolute().relative_to(dataset).as_posix()
            for record in read_records(dataset):
                if record.file_name == name:
                    return dataset, record
            raise InputError(f"{image}: {dataset / METADATA} has no line for {name!r}")
    raise InputError(f"{image}: lies in no finished mixed dataset; give the path of an image in one")


def _starts(
    dataset: Path,
    record: Record,
    plan: dict[str, Any],
    rules: Rules,
    source: Path | None,
    generator: ImageSource | None,
) -> Iterator[Pixels]:
    """Yield what the operations may have started from, the likeliest first."""

    def resized(pixels: Pixels) -> Pixels:
        return resize_by(pixels, plan.get("size"), plan.get("resize_mode") or RESIZE_MODES[0], rules)

    if record.parent is None:
        address = json.loads(record.operations[0]["params"])
        if generator is None:
            raise UsageError(f"{record.file_name}: a generator made it: name that run with --generator")
        yield resized(next(iter(generator.draw([address["k"]], address["seed"])))[0])
        return
    parent = dataset / record.parent
    if parent.is_file():
        yield decode(read_within(parent, MAX_FILE_BYTES), record.parent)
    if source is not None:
        called = next((other.source for other in read_records(dataset) if other.file_name == record.parent), None)
        images = open_source(source, rules=rules).originals()
        for index, image in enumerate(images.images):
            if called and (image.name == called or called.endswith(f"/{image.name}")):
                yield resized(images.load(index).image.pixels)


def _failed(image: Path, record: Record, plan: dict[str, Any], *, tried: bool, has_source: bool) -> Exception:
    then = plan.get("versions", {})
    changed = [f"{name} {then[name]} then, {now} now" for name, now in versions().items() if then.get(name, now) != now]
    if changed:
        return FailedError(f"{image}: reproduced, its bytes differ; so do the versions: {', '.join(changed)}")
    if not has_source and record.parent is not None:
        problem = "its bytes differ" if tried else f"its parent {record.parent} is not there"
        return UsageError(
            f"{image}: {problem}; the originals of this dataset were changed before it was made, or are gone: name the "
            "source that it was built from: smallgan augment SOURCE --reproduce ..."
        )
    return FailedError(f"{image}: reproduced, its bytes differ; is this the source or the run that it was made from?")
