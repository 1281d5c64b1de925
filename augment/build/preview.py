"""Contact sheets: of a plan, for each component a few parents and what became of them; of a policy, before any plan."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Unpack

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augment.build.plan import LookOptions, Plan, check_settings, parent_order
from augment.core.files import make_folder, outside, write_bytes
from augment.core.rng import image_generators
from augment.errors import InputError, UsageError
from augment.imaging.codec import RULES, Pixels, Rules, encode_png, to_gray
from augment.imaging.geometry import resize_by, resize_square
from augment.policy.apply import apply_drawn
from augment.policy.dry_run import dry_run
from augment.policy.expression import MixtureComponent, Policy
from augment.policy.policy_file import load_policy
from augment.policy.transforms import TRANSFORMS
from augment.sources.concat import ExtraSource, concat
from augment.sources.image_set import ImageSet, ImageSource
from augment.sources.readers import open_source

_TILE, _GAP, _MARGIN, _BETWEEN = 112, 4, 24, 20
_COLUMNS, _SHOWN = 8, 10  # of the sheet of a plan, two for each pair; of the sheet of a policy
_TITLE, _CAPTION = 44, 30
_INK, _FAINT, _PAPER = (34, 38, 46), (112, 118, 130), (250, 250, 248)
_Bands = Sequence[tuple[str, Iterable[tuple[Pixels, str]]]]
"""Captions, each with the images below it and what stands above these."""


def contact_sheet(plan: Plan, pixels_of: Callable[[int], Pixels]) -> Pixels:
    """Return the sheet of a plan, H x W x 3. `pixels_of` gives the pixels of the entry at a position."""
    original_of = {entry.source: at for at, entry in enumerate(plan.entries) if entry.k is None}

    def tiles(positions: Sequence[int]) -> Iterator[tuple[Pixels, str]]:
        entries = [plan.entries[at] for at in positions]
        for at, entry, operations in zip(positions, entries, plan.operations(entries), strict=True):
            if entry.k is not None and entry.source is not None:
                yield pixels_of(original_of[entry.source]), ""
            factors = [f"x{op.params['factor']:.2f}" for op in operations if "factor" in op.params]
            yield pixels_of(at), " ".join(factors)

    bands: list[tuple[str, Iterator[tuple[Pixels, str]]]] = []
    added = iter([at for at, entry in enumerate(plan.entries) if entry.k is not None])
    for component, row in zip(plan.policy.components, plan.settings["components"], strict=True):
        positions = list(itertools.islice(added, row["num"]))
        if positions:
            shown = positions[: _COLUMNS if component.is_synthetic else _COLUMNS // 2]
            bands.append((f"{row['pipeline']}  ({row['num']:,})", tiles(shown)))
    bands = bands or [("originals", tiles(range(min(_COLUMNS, len(plan.entries)))))]
    counts = f"{plan.settings['num_original']:,} originals, {plan.settings['num_added']:,} added"
    if any(entry.origin == "augmented" for entry in plan.entries):
        counts += "  ·  each original beside what became of it"
    return _sheet(f"{plan.settings['sources'][0]['name']}  ·  {plan.policy}", counts, bands, _COLUMNS, _BETWEEN)


def policy_sheet(
    policy: Policy | str,
    source: ImageSet,
    *,
    size: int | None = None,
    resize_mode: str = "crop",
    seed: int = 0,
    generator: ImageSource | None = None,
) -> Pixels:
    """Return what a policy does to ten originals of `source`, H x W x 3: themselves, and a row for each component.

    The images get `size` pixels a side first (None: as they are) by `resize_mode` (crop, pad or stretch); `generator`
    makes those of the transform gan. The ten are the first that a plan with `seed` would use; the draws are examples.
    Where several sources were joined, a row more for each shows some of its images as they come into the set.
    Raises UsageError, and InputError for a file that cannot be read.
    """
    policy = load_policy(policy) if isinstance(policy, str) else policy
    check_settings(size, resize_mode, "png", seed)
    originals = [index for index, image in enumerate(source.images) if image.origin == "original"]
    policy.check_generator(generator)
    if not originals:
        raise InputError(f"{source.path}: no original image in it, so there is nothing to show a policy on")
    chosen = [originals[at] for at in parent_order(seed, len(originals))[:_SHOWN]]
    parents = [resize_by(source.load(index).image.pixels, size, resize_mode, source.rules) for index in chosen]
    dry_run(policy, [(pixels.shape[1], pixels.shape[0]) for pixels in parents])
    rows = [("originals", parents)]
    for number, component in enumerate(policy.components):
        addresses = range(number * _SHOWN, number * _SHOWN + len(parents))
        starts = parents
        if component.is_synthetic and generator is not None:
            drawn = generator.draw(list(addresses), seed)
            starts = [resize_by(pixels, size, resize_mode, source.rules) for pixels, _ in drawn]
        transforms = component.transforms
        pairs = zip(starts, image_generators(seed, addresses), strict=True)
        made = [apply_drawn(start, transforms, draws) for start, draws in pairs]
        rows.append((_caption(component), [to_gray(pixels) for pixels in made] if source.rules.gray else made))
    rows += _part_rows(source, size, resize_mode, seed)
    bands = [(caption, ((pixels, "") for pixels in tiles)) for caption, tiles in rows]
    return _sheet(f"{source.name}  ·  {policy.title or policy}", "", bands, _SHOWN, _GAP)


def write_preview(
    file: Path,
    policy: Policy,
    source_path: Path,
    *,
    extra: Sequence[ExtraSource] = (),
    rules: Rules = RULES,
    **look: Unpack[LookOptions],
) -> int:
    """Write the sheet of a policy on the images of `source_path` to a PNG file; return the number of originals shown.

    Args:
        file: ends in .png.
        policy: what is shown.
        source_path: the first source.
        extra: further sources, of which some images are shown as they come into the set.
        rules: what becomes of transparent and gray images.
        look: the keywords of `policy_sheet`.

    Raises:
        OutputError: the file lies in a source.
        UsageError: the name is no PNG file's, or the policy cannot be applied.
        InputError: a source cannot be read.
    """
    if file.suffix.lower() != ".png":
        raise UsageError(f"--preview {file}: expected the name of a PNG file to write, such as preview.png")
    outside(file, [source_path, *(one.path for one in extra)])
    source = open_source(source_path, rules=rules)
    source = source.originals() if extra else source
    for one in extra:
        images = open_source(one.path, rules=rules)
        source = concat(source, one, images.originals() if one.origin == "original" else images, look.get("seed", 0))
    make_folder(file.parent)
    write_bytes(file, encode_png(policy_sheet(policy, source, **look)))
    return min(_SHOWN, len(source.originals()))


def _part_rows(source: ImageSet, size: int | None, resize_mode: str, seed: int) -> list[tuple[str, list[Pixels]]]:
    """A caption and up to ten images of each of several sources in one set; nothing where there is one."""
    rows = []
    for number, part in enumerate(source.parts if len(source.parts) > 1 else ()):
        members = [index for index, image in enumerate(source.images) if image.part == number]
        shown = [members[at] for at in parent_order(seed, len(members))[:_SHOWN]]
        tiles = [resize_by(source.load(index).image.pixels, size, resize_mode, source.rules) for index in shown]
        rows.append((f"from {part.name}  ({len(members):,} {part.origin}, as they are)", tiles))
    return rows


def _caption(component: MixtureComponent) -> str:
    transforms = component.transforms
    described = ", ".join(dict.fromkeys(t.summary if t.name in TRANSFORMS else t.name for t in transforms))
    return component.name if described == component.name else f"{component.name}  ({described or 'generator'})"


def _sheet(title: str, counts: str, bands: _Bands, num_columns: int, gap: int) -> Pixels:
    """Draw the bands one below the other; `gap` is what lies between two of them, and between pairs of images."""
    width = 2 * _MARGIN + num_columns // 2 * (2 * _TILE + _GAP + gap) - gap
    pitch = _CAPTION + _TILE + gap
    sheet = Image.new("RGB", (width, 2 * _MARGIN + _TITLE + len(bands) * pitch - gap), _PAPER)
    pen = ImageDraw.Draw(sheet)
    room = width - 2 * _MARGIN
    pen.text((_MARGIN, _MARGIN - 4), _fitting(pen, title, width // 2 if counts else room, 20), _INK, font=_font(20))
    pen.text((width - _MARGIN, _MARGIN + 2), counts, _FAINT, font=_font(14), anchor="ra")
    for number, (caption, tiles) in enumerate(bands):
        top = _MARGIN + _TITLE + number * pitch
        pen.text((_MARGIN, top + 4), _fitting(pen, caption, room, 15), _INK, font=_font(15))
        for column, (pixels, note) in enumerate(tiles):
            left = _MARGIN + column // 2 * (2 * _TILE + _GAP + gap) + column % 2 * (_TILE + _GAP)
            _paste(sheet, left, top + _CAPTION, pixels)
            pen.text((left + _TILE, top + _CAPTION - 5), note, _FAINT, font=_font(12), anchor="rs")
    return np.asarray(sheet, dtype=np.uint8)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitting(pen: ImageDraw.ImageDraw, text: str, room: int, size: int) -> str:
    font = _font(size)
    if pen.textlength(text, font=font) <= room:
        return text
    while text and pen.textlength(f"{text}...", font=font) > room:
        text = text[:-1]
    return f"{text}..."


def _paste(sheet: Image.Image, left: int, top: int, pixels: Pixels) -> None:
    longest = max(pixels.shape[:2])
    if longest * 2 <= _TILE:  # small images are enlarged by whole pixels first: they shall look as they are
        pixels = pixels.repeat(_TILE // longest, axis=0).repeat(_TILE // longest, axis=1)
    sheet.paste(Image.fromarray(resize_square(pixels, _TILE, "pad")), (left, top))
