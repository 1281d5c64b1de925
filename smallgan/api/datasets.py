"""Mixed datasets: `smallgan augment` and its previews. Torch is loaded for the transform gan alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.errors import UsageError
from smallgan.api.paths import StrPath, as_path, or_sample_set
from smallgan.core.console import Log, progress, say

if TYPE_CHECKING:
    from augment.policy.expression import Policy
    from augment.sources.concat import ExtraSource
    from augment.sources.image_set import ImageSource


@dataclass(frozen=True, repr=False)
class Dataset:
    """A mixed dataset on disk. Wherever a path is taken, it may stand for its folder."""

    path: Path
    values: dict[str, Any] = field(compare=False)
    """As `smallgan augment --json` prints it: numbers, warnings, seconds."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        return int(self.values["num_images"])

    def __repr__(self) -> str:
        return _dataset_text(self.values)

    def _repr_png_(self) -> bytes:
        return Path(self.values["preview"]).read_bytes()


def build_dataset(
    source: StrPath | None = None,
    policy: str | None = None,
    *,
    ratio: str | None = None,
    count: int | None = None,
    per_class: str | None = None,
    balance: str | None = None,
    also: Sequence[str] = (),
    synthetic: Sequence[str] = (),
    out: StrPath | None = None,
    size: int | None = None,
    resize_mode: str = "crop",
    background: str = "white",
    mode: str = "rgb",
    container: str = "folder",
    format: str = "png",
    generator: StrPath | None = None,
    seed: int = 0,
    workers: int | None = None,
    skip_bad: bool = False,
    device: str = "auto",
    log: Log = say,
) -> Dataset:
    """Build a mixed dataset as `smallgan augment` does: the originals, and augmented images in exact numbers.

    The same call again goes on with a build that was stopped. `ratio`, `count` and `per_class` exclude each other.

    Args:
        source: folder, zip, array file (.npz), list of files, image or mixed dataset; None: the sample set.
        policy: what is added, such as hflip+contrast, or a policy file.
        ratio: originals to added images, "A:B"; None with `count` None means 1:1.
        count: number of added images, 0 to 10,000,000.
        per_class: exactly so many images in each class: "100", or "100,cats=500".
        balance: "top-up" brings every class to `per_class`, or to the largest.
        also: more originals, each PATH, PATH=NUMBER or PATH=NUMBER%.
        synthetic: images made elsewhere, taken as they are; written like `also`.
        out: folder to write; None: out/<source>-<policy>...
        size: side of the square images in pixels, 1 to 10,000; None: as they are.
        resize_mode: how an image becomes square: crop, pad or stretch.
        background: under transparent parts and around: a colour, or refuse.
        mode: rgb or gray.
        container: pack the set for other tools too: folder, stylegan-zip or webdataset.
        format: of the images made: png or jpeg.
        generator: run that makes the images of the transform gan; for other policies None.
        seed: of the order of parents and of all draws, 0 or more.
        workers: threads, from 1; None: one a core, at most 8.
        skip_bad: leave unreadable files out and list them.
        device: for the generator: auto, cpu, cuda, cuda:N or mps.
        log: takes a line for each thing to know.

    Raises:
        UsageError: an option is wrong.
        InputError: a file cannot be used.
        MissingError: the policy needs a generator and there is none.
        OutputError: the folder cannot be written, or lies in a source.
    """
    from augment.build.make_dataset import make_dataset

    wanted, images, extra = _asked(policy, generator, device, also, synthetic)
    values = make_dataset(
        or_sample_set(source, log),
        wanted,
        log=log,
        progress=progress,
        ratio=ratio,
        count=count,
        per_class=per_class,
        balance=balance,
        extra=extra,
        out=as_path(out),
        size=size,
        resize_mode=resize_mode,
        background=background,
        mode=mode,
        container=container,
        format=format,
        generator=images,
        seed=seed,
        workers=workers,
        skip_bad=skip_bad,
    )
    return Dataset(Path(values["path"]), values)


def preview_policy(
    preview: StrPath,
    source: StrPath | None = None,
    policy: str | None = None,
    *,
    also: Sequence[str] = (),
    synthetic: Sequence[str] = (),
    size: int | None = None,
    resize_mode: str = "crop",
    background: str = "white",
    mode: str = "rgb",
    generator: StrPath | None = None,
    seed: int = 0,
    device: str = "auto",
    log: Log = say,
) -> int:
    """Write a sheet of what a policy does to ten images to a PNG file, and return how many images it shows.

    Args:
        preview: PNG file to write.
        source: folder, zip, array file (.npz), list of files, image or mixed dataset; None: the sample set.
        policy: what is added, such as hflip+contrast, or a policy file.
        also: more originals, each PATH, PATH=NUMBER or PATH=NUMBER%.
        synthetic: images made elsewhere, taken as they are; written like `also`.
        size: side of the square images in pixels, 1 to 10,000; None: as they are.
        resize_mode: how an image becomes square: crop, pad or stretch.
        background: under transparent parts and around: a colour, or refuse.
        mode: rgb or gray.
        generator: run that makes the images of the transform gan; for other policies None.
        seed: of the order of parents and of all draws, 0 or more.
        device: for the generator: auto, cpu, cuda, cuda:N or mps.
        log: takes a line for each thing to know.

    Raises the errors of `build_dataset`.
    """
    from augment.build.preview import write_preview
    from augment.imaging.codec import Rules, parse_background, parse_mode
    from smallgan.core.resources import sample_set

    wanted, images, extra = _asked(policy, generator, device, also, synthetic)
    for note in wanted.notes:
        log(note)
    rules = Rules(parse_background(background), parse_mode(mode))
    place = as_path(source) or sample_set()
    how: dict[str, Any] = {"size": size, "resize_mode": resize_mode, "seed": seed, "generator": images}
    return write_preview(Path(preview), wanted, place, extra=extra, rules=rules, **how)


def reproduce_image(
    reproduce: StrPath,
    out: StrPath | None = None,
    *,
    source: StrPath | None = None,
    generator: StrPath | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Make an image of a mixed dataset again from its line in metadata.jsonl alone, and return what was made.

    Args:
        reproduce: the image, in the folder images/ of a mixed dataset; it may be gone, its line in metadata.jsonl not.
        out: file to write, with the same ending; None: out/reproduced/<its name>.
        source: what the dataset was built from, where that is needed: for JPEG images.
        generator: run that made the images of the transform gan, for one of these.
        device: for the generator: auto, cpu, cuda, cuda:N or mps.

    Raises:
        UsageError: the source or the generator is needed and not given, or `out` has another ending.
        InputError: there is no such line, or a file is missing.
        FailedError: the bytes are not those that the line names.
        OutputError: the file cannot be written, or lies in the source.
    """
    from augment.build.reproduce import write_reproduction

    images = _image_source(generator, device) if generator is not None else None
    return write_reproduction(Path(reproduce), as_path(out), source=as_path(source), generator=images)


def _asked(
    policy: str | None, generator: StrPath | None, device: str, also: Sequence[str], synthetic: Sequence[str]
) -> tuple[Policy, ImageSource | None, list[ExtraSource]]:
    from augment.policy.policy_file import load_policy
    from augment.policy.transforms import policy_names
    from augment.sources.concat import parse_extra_source

    if policy is None:
        names = ", ".join(policy_names())
        raise UsageError(f"--policy is missing: say what to add, such as --policy hflip+contrast; transforms: {names}")
    wanted = load_policy(policy)
    wanted.refuse_unread_generator(generator)
    images = _image_source(generator, device) if generator is not None else None
    extra = [parse_extra_source(text, "original") for text in also]
    return wanted, images, extra + [parse_extra_source(text, "synthetic") for text in synthetic]


def _image_source(generator: StrPath, device: str) -> ImageSource:
    from smallgan.core.device import choose_device
    from smallgan.sampling.latents import GeneratorSource
    from smallgan.sampling.loading import load_and_say_notes

    return GeneratorSource(load_and_say_notes(Path(generator), choose_device(device)))


def _dataset_text(result: dict[str, Any]) -> str:
    added = ", ".join(f"{number} {pipeline}" for pipeline, number in result["added"].items()) or "nothing"
    synthetic = f" + {result['num_synthetic']} synthetic" if result["num_synthetic"] else ""
    lines = [f"{result['path']}: {result['num_original']} originals{synthetic} + {result['num_added']} added ({added})"]
    lines += _class_lines(result.get("classes") or {})
    if result["build_seconds"] is None:
        lines.append("it was finished already; nothing was written")
    else:
        kept = f", {result['num_kept']} were there and whole" if result["num_kept"] else ""
        lines.append(f"built in {result['build_seconds']:.2f} s{kept}")
    if result["left_out"]:
        lines.append(f"left out: {len(result['left_out'])} files that cannot be read, listed above")
    if "container" in result:
        lines.append(f"packed in {result['container']}")
    lines.append(f"look at {result['preview']}")
    return "\n".join(lines)


def _class_lines(classes: dict[str, dict[str, int]]) -> list[str]:
    """What became of the classes: how many images each has now, and how many originals were left out for it."""
    totals = sorted({counts["taken"] + counts["added"] for counts in classes.values()})
    sizes = " to ".join(map(str, dict.fromkeys([*totals[:1], *totals[-1:]])))
    cut = {name: counts["left_out"] for name, counts in classes.items() if counts["left_out"]}
    lines = [f"{len(classes)} classes of {sizes} images"] if classes else []
    if cut:
        largest = max(cut, key=lambda name: cut[name])
        lines.append(
            f"left out: {sum(cut.values())} images of {len(cut)} larger classes, drawn by the seed (most of "
            f"{largest}, {cut[largest]}); --balance top-up without --per-class keeps all"
        )
    return lines
