"""What to do with a set, by what was found in it: a line each, with the reason and the command.

The bounds on the number of images are a rule of thumb from what people report: sets of about 90 and 140 images came
back as copies after long training from scratch, authors of small GANs ask for 1,000, and 10-shot adaptation is the
least that is published. `smallgan score` measures the copies of a run; believe that over this.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from augment.policy.transforms import with_symmetry
from augment.sources.classes import imbalance

TOO_FEW, TRANSFER, SCRATCH, MANY = 10, 250, 1000, 5000
_BY_NUMBER = (
    (TOO_FEW, f"too few to train on; even transfer will copy them. Collect at least {TOO_FEW}, better 25 to 100"),
    (
        TRANSFER,
        "a GAN from scratch will likely memorise them; smallgan train DATA, at 64 px, starts from a pretrained one",
    ),
    (
        SCRATCH,
        "a GAN from scratch will memorise some of them; smallgan train DATA, at 64 px, starts from a pretrained one "
        "below 500 images. Look at the copies that smallgan score counts",
    ),
    (MANY, "enough to try from scratch at 32 or 64 px (smallgan train DATA); watch the copies"),
    (math.inf, "enough to train from scratch (smallgan train DATA)"),
)
TRAIN_SIZES = (32, 64, 128)  # Sides of the DCGAN
SMALL_SHARE = 0.1
"""Share of the images that may be smaller than the size advised: a few thumbnails do not decide for all."""
BORDER_SHARE = 0.05
CUT_SHARE = 0.1  # Share of the median image that the middle square may cut off before it is worth a word


def advise(summary: Mapping[str, Any]) -> list[str]:
    """Return the advice on a summary of `augment.checks.inspect.summarise`."""
    if not summary["num_usable"]:
        return ["no image can be used; see the problems above"]
    files = [file for file in summary["files"] if not file["problem"]]
    repeats = sum(len(names) - 1 for names in [*summary["duplicates"], *summary["near_duplicates"]])
    num_bad = len(summary["problems"])
    return [
        by_number(summary["num_usable"] - repeats - len(summary["mirror_twins"])),
        *by_class(summary["classes"], summary["num_without_class"]),
        *_by_size(files),
        *by_border(sum(file["border"] for file in files), len(files)),
        *_by_channels(files),
        *by_duplicates(summary["duplicates"], summary["near_duplicates"]),
        *by_mirror_twins(summary["mirror_twins"]),
        *_by_symmetry(summary["symmetry"]),
        *([f"{num_bad} files cannot be used: fix them, or leave them out with --skip-bad"] if num_bad else []),
    ]


def by_number(number: int, kind: str = "distinct ") -> str:
    """Return how a set of `number` images is best used; `kind` says what was counted, "" all of them."""
    advice = next(advice for bound, advice in _BY_NUMBER if number < bound)
    return f"{number:,} {kind}image{'' if number == 1 else 's'}: {advice}"


def by_class(classes: Mapping[str, int], num_without: int) -> list[str]:
    """Return what to know of the classes."""
    if not classes:
        return []
    lines = [unequal] if (unequal := imbalance(dict(classes))) else []
    if num_without:
        lines.append(
            f"{num_without} images stand outside of the class folders; classes can only be counted when each has one"
        )
    return lines


def by_duplicates(equal: Sequence[Sequence[str]], near: Sequence[Sequence[str]]) -> list[str]:
    """Return what to know of files that repeat others."""
    lines = []
    if equal:
        number = sum(len(names) - 1 for names in equal)
        lines.append(
            f"{number} files are equal to others byte for byte ({_shown(equal)}), and count once more; keep one of each"
        )
    if near:
        number = sum(len(names) - 1 for names in near)
        lines.append(f"{number} images look the same as others ({_shown(near)}): look at them, and keep one of each")
    return lines


def by_mirror_twins(pairs: Sequence[Sequence[str]]) -> list[str]:
    """Return what to know of images that are mirror images of others."""
    if not pairs:
        return []
    number = len(pairs)
    are = "1 image is a mirror image of another" if number == 1 else f"{number:,} images are mirror images of others"
    return [
        f"{are} ({_shown(pairs, 'pairs')}): a pair counts once above. Keep one of each: hflip makes the other, and of "
        "a pair one may be held out while training sees its mirror image"
    ]


def by_border(number: int, total: int) -> list[str]:
    """Return what to do where `number` of `total` images have a border."""
    if number <= BORDER_SHARE * total:
        return []
    return [
        f"{number:,} of {total:,} images have a black or white border: crop it off, or generated images have one too"
    ]


def by_enlargement(shorter: Sequence[int], size: int, *, may_change: bool) -> list[str]:
    """Return what to know where images are enlarged to squares of `size` px for training.

    Args:
        shorter: the shorter side of each image in pixels.
        size: side of the squares.
        may_change: whether the user may choose the side.
    """
    number, middle = sum(side < size for side in shorter), int(median(shorter))
    if number <= SMALL_SHARE * len(shorter):
        return []
    fits = max((side for side in TRAIN_SIZES if side <= middle), default=size)
    advice = f"; --size {fits} fits them" if may_change and fits < size else ""
    return [
        f"{number:,} of {len(shorter):,} images are smaller than {size} px (the median is {middle} px) and are "
        f"enlarged, which blurs them{advice}"
    ]


def _by_size(files: Sequence[Mapping[str, Any]]) -> list[str]:
    shorter = sorted(min(file["width"], file["height"]) for file in files)
    small = shorter[int(len(shorter) * SMALL_SHARE)]
    size = max((side for side in TRAIN_SIZES if side <= small), default=TRAIN_SIZES[0])
    most = "; --model fastgan makes 256 and 512 px too" if size == TRAIN_SIZES[-1] else ""
    enlarged = sum(side < size for side in shorter)
    smaller = f"; {enlarged:,} of {len(files):,} are smaller and would be enlarged" if enlarged else ""
    lines = [f"shorter sides go from {shorter[0]} to {shorter[-1]} px: --size {size} fits{most}{smaller}"]
    cut = median(1 - min(file["width"], file["height"]) / max(file["width"], file["height"]) for file in files)
    if cut > CUT_SHARE:
        lines.append(
            f"the middle square (--resize-mode crop) cuts off {cut:.0%} of the median image; --resize-mode pad "
            "keeps all of it with a border, --resize-mode stretch without one but out of shape, which can be undone"
        )
    return lines


def _by_channels(files: Sequence[Mapping[str, Any]]) -> list[str]:
    gray = sum(file["mode"] in ("1", "L", "LA") or str(file["mode"]).startswith("I;16") for file in files)
    if gray == len(files):
        return ["all images are gray: --mode gray writes one channel; otherwise they become RGB with three equal ones"]
    if gray:
        return [f"{gray} of {len(files)} images are gray and become RGB, unless --mode gray makes all of them gray"]
    return []


def _by_symmetry(symmetries: Sequence[Mapping[str, Any]]) -> list[str]:
    fitting: list[str] = []
    against = []
    for one in symmetries:
        names = with_symmetry(one["name"])
        if one["fits"]:
            fitting += names
        elif one["fits"] is False and names:
            against.append(f"{one['text']}: leave {' and '.join(names)} out")
    mirrored = ", or images mirrored while training (smallgan train --mirror)" if "hflip" in fitting else ""
    allowed = f"{' and '.join(fitting)} may be added{mirrored}, unless there is writing in the images"
    return [allowed, *against] if fitting else against


def _shown(groups: Sequence[Sequence[str]], of: str = "groups") -> str:
    more = f" and {len(groups) - 1} more {of}" if len(groups) > 1 else ""
    return " = ".join(groups[0][:3]) + more
