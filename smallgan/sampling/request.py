"""What `smallgan sample` is asked for, and which options go together."""

from dataclasses import dataclass, fields
from pathlib import Path

from augment.errors import UsageError
from smallgan.sampling.image_formats import IMAGE_FORMATS
from smallgan.sampling.latents import check_truncation
from smallgan.sampling.prior import check_around_codes


@dataclass(frozen=True)
class Request:
    """The fields are the options of `smallgan sample`; at their defaults they were not given."""

    model: Path
    count: int | None = None
    """Number of images of one seed, or of latents to interpolate."""
    per_class: int | None = None
    """Number of images of each class, in a folder of its name."""
    seed: int = 0
    seeds: str | None = None
    label: str | None = None
    """One class for all images, by name or number."""
    truncation: float | None = None
    around_codes: float | None = None
    """Draw near the codes of training images: how far, in standard deviations of the codes."""
    prior: str | None = None
    """normal: draw from N(0, I), also where the run recommends to draw around its codes."""
    latents: Path | None = None
    """Latents of the user's own, and `labels` for them."""
    labels: Path | None = None
    raw: Path | None = None
    """A .npy file in place of pictures."""
    interpolate: bool = False
    codes: str | None = None
    """Training images whose codes are interpolated, such as 0,7,12."""
    frames: int = 24
    reconstruct: bool = False
    training_gif: bool = False
    """The run's grids of its fixed latents, one after another, in place of images."""
    image_format: str = "png"
    """Of single images; a grid is always a PNG."""
    columns: int | None = None
    """Of the grid; None: about as many as rows."""
    out: Path | None = None
    grid_only: bool = False
    checkpoint: str = "last"
    device: str = "auto"


_ALWAYS = {"model", "checkpoint", "device"}
_PICTURES = {"out", "grid_only", "columns", "image_format"}
_TAKES = {
    "training_gif": {"out"},
    "reconstruct": _PICTURES,
    "codes": {"interpolate", "frames", "out"},
    "latents": {"labels", "label", "seed", "raw", *_PICTURES},
    "interpolate": {"count", "seed", "seeds", "label", "truncation", "prior", "frames", "out"},
    "per_class": {"seed", "truncation", "prior", *_PICTURES},
    "around_codes": {"count", "seed", "seeds", "raw", *_PICTURES},
    "": {"count", "seed", "seeds", "label", "truncation", "prior", "raw", *_PICTURES},
}
"""The options beside each that says what is made; the first of them that was given does. "": images are drawn."""
_NEVER_BOTH = {
    ("seeds", "count"): "--seeds 0-35 is 36 seeds, --count 36 --seed 0 is one seed",
    ("seeds", "seed"): "--seeds names the seeds itself",
    ("label", "labels"): "--label is one class for all, --labels a file with one for each",
    ("raw", "out"): "--raw writes one file and no pictures",
    ("raw", "grid_only"): "--raw writes one file and no pictures",
    ("raw", "columns"): "--raw writes one file and no pictures",
    ("raw", "image_format"): "--raw writes one file and no pictures",
    ("grid_only", "image_format"): "--grid-only writes no single images, and a grid is always a PNG",
}


def check(request: Request) -> None:
    """Raise UsageError for options that do not go together, or whose value cannot be."""
    given = {each.name for each in fields(request)[1:] if getattr(request, each.name) != each.default}
    for pair, why in _NEVER_BOTH.items():
        if given.issuperset(pair):
            raise UsageError(f"{_option(pair[0])} and {_option(pair[1])}: give one; {why}")
    if "codes" in given and "interpolate" not in given:
        raise UsageError(f"--codes {request.codes}: add --interpolate; --reconstruct shows every code by itself")
    kind = next(kind for kind in _TAKES if kind in given or not kind)
    for name in sorted(given - _TAKES[kind] - _ALWAYS - {kind}):
        if kind:
            raise UsageError(f"{_option(name)} cannot be combined with {_option(kind)}")
        takers = " or ".join(_option(taker) for taker, taken in _TAKES.items() if name in taken)
        raise UsageError(f"{_option(name)} needs {takers}; give that too, or leave it out")
    for name in ("count", "per_class", "columns"):
        number = getattr(request, name)
        if number is not None and number < 1:
            raise UsageError(f"{_option(name)} {number}: must be at least 1")
    if request.seed < 0:
        raise UsageError(f"--seed {request.seed}: must be a whole number, 0 or more; several seeds are --seeds 0-35")
    if request.image_format not in IMAGE_FORMATS:
        raise UsageError(f"--image-format {request.image_format}: use one of {', '.join(IMAGE_FORMATS)}")
    if request.truncation is not None:
        check_truncation(request.truncation)
    if request.around_codes is not None:
        check_around_codes(request.around_codes)
    if request.prior not in (None, "normal"):
        raise UsageError(f"--prior {request.prior}: use normal; --around-codes draws near the codes of a run")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
