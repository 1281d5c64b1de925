"""Contact sheets: of a plan, for each component a few parents and what became of them; of a policy, before any plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augment.build.plan import Plan, PlanEntry, parent_order
from augment.core.files import make_folder, write_bytes
from augment.core.rng import image_generators
from augment.errors import InputError, UsageError
from augment.imaging.codec import RULES, Pixels, Rules, encode_png, to_gray
from augment.imaging.geometry import resize_by, resize_square
from augment.policy.apply import apply_drawn
from augment.policy.dry_run import dry_run
from augment.policy.expression import Policy
from augment.policy.policy_file import load_policy
from augment.policy.transforms import TRANSFORMS
from augment.sources.concat import ExtraSource, concat
from augment.sources.image_set import ImageSet, ImageSource
from augment.sources.readers import open_source

_TILE, _GAP, _MARGIN, _PAIRS = 112, 4, 24, 4
_PAIR = 2 * _TILE + _GAP
_BETWEEN = 20
_SHOWN = 10
_TITLE, _CAPTION = 44, 30
_INK, _FAINT, _PAPER = (34, 38, 46), (112, 118, 130), (250, 250, 248)
_WIDTH = 2 * _MARGIN + _PAIRS * _PAIR + (_PAIRS - 1) * _BETWEEN


def contact_sheet(plan: Plan, pixels_of: Callable[[int], Pixels]) -> Pixels:
    """Return the sheet of a plan, H x W x 3. `pixels_of` gives the pixels of the entry at a position."""
    original_of = {entry.source: at for at, entry in enumerate(plan.entries) if entry.k is None}
    bands = _bands(plan)
    height = _MARGIN + _TITLE + len(bands) * (_CAPTION + _TILE + _BETWEEN) + _MARGIN - _BETWEEN
    sheet = Image.new("RGB", (_WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write_title(pen, plan)
    top = _MARGIN + _TITLE
    for caption, positions in bands:
        pen.text((_MARGIN, top + 4), _fitting(pen, caption, _WIDTH - 2 * _MARGIN, 15), _INK, font=_font(15))
        tiles = [(at, original_of.get(plan.entries[at].source)) for at in positions]
        _draw_band(sheet, top + _CAPTION, tiles, pixels_of, plan.entries)
        top += _CAPTION + _TILE + _BETWEEN
    return np.asarray(sheet, dtype=np.uint8)


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

    The ten are the first that a plan with `seed` would use; the draws are examples. Where several
    sources were joined, a row more for each shows some of its images as they come into the set.
    Raises UsageError, and InputError for a file that cannot be read.
    """
    policy = load_policy(policy) if isinstance(policy, str) else policy
    originals = [index for index, image in enumerate(source.images) if image.origin == "original"]
    policy.check_generator(generator)
    if not originals:
        raise InputError(f"{source.path}: no original image in it, so there is nothing to show a policy on")
    chosen = [originals[at] for at in parent_order(seed, len(originals))[:_SHOWN]]
    parents = [source.load(index).image.pixels for index in chosen]
    parents = [resize_by(pixels, size, resize_mode, source.rules) for pixels in parents]
    dry_run(policy, [(pixels.shape[1], pixels.shape[0]) for pixels in parents])
    rows = [("originals", parents)]
    for number, component in enumerate(policy.components):
        addresses = range(number * _SHOWN, number * _SHOWN + len(parents))
        starts = parents
        if component.is_synthetic and generator is not None:
            drawn = generator.draw(list(addresses), seed)
            starts = [resize_by(pixels, size, resize_mode, source.rules) for pixels, _ in drawn]
        transforms = component.transforms
        described = ", ".join(dict.fromkeys(t.summary if t.name in TRANSFORMS else t.name for t in transforms))
        caption = f"{component.name}  ({described or 'generator'})"
        pairs = zip(starts, image_generators(seed, addresses), strict=True)
        made = [apply_drawn(start, transforms, draws) for start, draws in pairs]
        rows.append((caption, [to_gray(pixels) for pixels in made] if source.rules.gray else made))
    rows += _part_rows(source, size, resize_mode, seed)
    return _grid(f"{source.name}  ·  {policy.title or policy}", rows)


def write_preview(
    file: Path,
    policy: Policy,
    source_path: Path,
    *,
    extra: Sequence[ExtraSource] = (),
    size: int | None = None,
    resize_mode: str = "crop",
    rules: Rules = RULES,
    seed: int = 0,
    generator: ImageSource | None = None,
) -> int:
    """Write the sheet of a policy on the images of `source_path` to a PNG file; return the number of originals shown.

    Args:
        file: ends in .png.
        policy: what is shown.
        source_path: the first source.
        extra: further sources, of which some images are shown as they come into the set.
        size: side in pixels that images are given first; None: as they are.
        resize_mode: crop, pad or stretch.
        rules: what becomes of transparent and gray images.
        seed: of parents and draws.
        generator: makes the images of the transform gan.

    Raises:
        UsageError: the name is no PNG file's, or the policy cannot be applied.
        InputError: a source cannot be read.
    """
    if file.suffix.lower() != ".png":
        raise UsageError(f"--preview {file}: needed the name of a PNG file to write, such as preview.png")
    source = open_source(source_path, rules=rules)
    source = source.originals() if extra else source
    for one in extra:
        images = open_source(one.path, rules=rules)
        source = concat(source, one, images.originals() if one.origin == "original" else images, seed)
    sheet = policy_sheet(policy, source, size=size, resize_mode=resize_mode, seed=seed, generator=generator)
    make_folder(file.parent)
    write_bytes(file, encode_png(sheet))
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


def _grid(title: str, rows: Sequence[tuple[str, Sequence[Pixels]]]) -> Pixels:
    width = 2 * _MARGIN + _SHOWN * (_TILE + _GAP) - _GAP
    height = 2 * _MARGIN + _TITLE + len(rows) * (_CAPTION + _TILE + _GAP)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN - 4), _fitting(pen, title, width - 2 * _MARGIN), _INK, font=_font(20))
    top = _MARGIN + _TITLE
    for caption, tiles in rows:
        pen.text((_MARGIN, top + 4), _fitting(pen, caption, width - 2 * _MARGIN, 15), _INK, font=_font(15))
        for column, pixels in enumerate(tiles):
            _paste(sheet, _MARGIN + column * (_TILE + _GAP), top + _CAPTION, pixels)
        top += _CAPTION + _TILE + _GAP
    return np.asarray(sheet, dtype=np.uint8)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _bands(plan: Plan) -> list[tuple[str, list[int]]]:
    """A caption and positions of entries for each component; the originals alone where nothing is added."""
    added = [at for at, entry in enumerate(plan.entries) if entry.k is not None]
    bands = []
    first = 0
    for component in plan.settings["components"]:
        positions = added[first : first + component["num"]]
        first += component["num"]
        shown = positions[: _PAIRS if positions and plan.entries[positions[0]].source is not None else 2 * _PAIRS]
        if shown:
            bands.append((f"{component['pipeline']}  ({component['num']:,})", shown))
    return bands or [("originals", list(range(min(2 * _PAIRS, len(plan.entries)))))]


def _write_title(pen: ImageDraw.ImageDraw, plan: Plan) -> None:
    title = f"{plan.settings['sources'][0]['name']}  ·  {plan.policy}"
    counts = f"{plan.settings['num_original']:,} originals, {plan.settings['num_added']:,} added"
    if any(entry.origin == "augmented" for entry in plan.entries):
        counts += "  ·  each original beside what became of it"
    pen.text((_MARGIN, _MARGIN - 4), _fitting(pen, title, _WIDTH // 2), _INK, font=_font(20))
    pen.text((_WIDTH - _MARGIN, _MARGIN + 2), counts, _FAINT, font=_font(14), anchor="ra")


def _fitting(pen: ImageDraw.ImageDraw, text: str, room: int, size: int = 20) -> str:
    font = _font(size)
    if pen.textlength(text, font=font) <= room:
        return text
    while text and pen.textlength(f"{text}...", font=font) > room:
        text = text[:-1]
    return f"{text}..."


def _draw_band(
    sheet: Image.Image,
    top: int,
    tiles: Sequence[tuple[int, int | None]],
    pixels_of: Callable[[int], Pixels],
    entries: Sequence[PlanEntry],
) -> None:
    pen = ImageDraw.Draw(sheet)
    for number, (at, original) in enumerate(tiles):
        entry = entries[at]
        if entry.k is None or original is None:
            left = _MARGIN + (number // 2) * (_PAIR + _BETWEEN) + (number % 2) * (_TILE + _GAP)
            _paste(sheet, left, top, pixels_of(at))
            continue
        left = _MARGIN + number * (_PAIR + _BETWEEN)
        _paste(sheet, left, top, pixels_of(original))
        _paste(sheet, left + _TILE + _GAP, top, pixels_of(at))
        factors = [f"x{op.params['factor']:.2f}" for op in entry.operations if "factor" in op.params]
        if factors:
            pen.text((left + _PAIR, top - 5), " ".join(factors), _FAINT, font=_font(12), anchor="rs")


def _paste(sheet: Image.Image, left: int, top: int, pixels: Pixels) -> None:
    longest = max(pixels.shape[:2])
    if longest * 2 <= _TILE:  # small images are enlarged by whole pixels first: they shall look as they are
        pixels = pixels.repeat(_TILE // longest, axis=0).repeat(_TILE // longest, axis=1)
    sheet.paste(Image.fromarray(resize_square(pixels, _TILE, "pad")), (left, top))
