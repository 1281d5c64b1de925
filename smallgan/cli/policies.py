"""What `smallgan augment` does beside building: list the kinds, show a policy, make one image again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from augment.sources.concat import ExtraSource
    from augment.sources.image_set import ImageSource


def list_kinds() -> list[dict[str, Any]]:
    """Return every kind that a policy can name, ready for JSON."""
    from augment.policy.catalog import all_kinds

    return [vars(kind) for kind in all_kinds()]


def write_policy_sheet(
    source_path: Path | None,
    policy_text: str,
    file: Path,
    *,
    size: int | None,
    resize_mode: str,
    background: str,
    mode: str,
    seed: int,
    generator: ImageSource | None,
    extra: Sequence[ExtraSource] = (),
) -> str:
    """Write a contact sheet of what a policy does to ten of the images, and return what was done.

    Of `extra` sources it shows some images as they come into the set.
    """
    from augment.build.preview import policy_sheet
    from augment.core.files import make_folder, write_bytes
    from augment.errors import UsageError
    from augment.imaging.codec import Rules, encode_png, parse_background, parse_mode
    from augment.policy.policy_file import load_policy
    from augment.sources.concat import concat
    from augment.sources.readers import open_source
    from smallgan.core.console import say
    from smallgan.core.resources import sample_set

    if file.suffix.lower() != ".png":
        raise UsageError(f"--preview {file}: needed the name of a PNG file to write, such as preview.png")
    policy = load_policy(policy_text)
    for note in policy.notes:
        say(note)
    rules = Rules(parse_background(background), parse_mode(mode))
    source = open_source(source_path or sample_set(), rules=rules)
    source = source.originals() if extra else source
    for one in extra:
        images = open_source(one.path, rules=rules)
        source = concat(source, one, images.originals() if one.origin == "original" else images, seed)
    sheet = policy_sheet(policy, source, size=size, resize_mode=resize_mode, seed=seed, generator=generator)
    make_folder(file.parent)
    write_bytes(file, encode_png(sheet))
    return f"{file}: what {policy_text} does to {min(10, len(source.originals()))} images; nothing else was written"


def remake_image(
    image: Path, source_path: Path | None, out: Path | None, generator: ImageSource | None
) -> dict[str, Any]:
    """Make an image of a mixed dataset again from its line, write it, and return what was done, ready for JSON."""
    from augment.build.reproduce import remake
    from augment.core.files import make_folder, write_bytes
    from augment.errors import UsageError

    data, record = remake(image, source=source_path, generator=generator)
    file = out or Path("out") / "remade" / image.name
    if file.suffix.lower() != image.suffix.lower():
        raise UsageError(f"--out {file}: needed a file ending in {image.suffix}, as the image that is made again")
    make_folder(file.parent)
    write_bytes(file, data)
    return {
        "path": str(file),
        "sha256": record.sha256,
        "parent": record.parent,
        "operations": [operation["name"] for operation in record.operations],
    }
