"""What there is to know of images before anything is made of them: `smallgan inspect`. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from augment.errors import UsageError
from smallgan.api.paths import StrPath, or_sample_set
from smallgan.core.console import Log, progress, say

MAX_LISTED = 10  # Lines of each kind in the text of an inspection


@dataclass(frozen=True, repr=False)
class Inspection:
    """What was found in a source. Its text is what `smallgan inspect` prints."""

    values: dict[str, Any]
    """As `smallgan inspect --json` prints it."""

    @property
    def problems(self) -> list[str]:
        """Files that cannot be used, each with the reason."""
        return list(self.values["problems"])

    @property
    def advice(self) -> list[str]:
        """What the number, the size and the symmetry of the images mean for training."""
        return list(self.values["advice"])

    def text(self, *, files: bool = False) -> str:
        """Return it as aligned lines; `files` adds a line for each file."""
        return _inspection_text(self.values, files=files)

    def __len__(self) -> int:
        return int(self.values["num_usable"])

    def __repr__(self) -> str:
        return self.text()


def inspect(
    source: StrPath | None = None,
    *,
    size: int | None = None,
    resize_mode: str = "crop",
    background: str = "white",
    mode: str = "rgb",
    workers: int | None = None,
    log: Log = say,
) -> Inspection:
    """Look at images before anything is made of them, with the checks that `augment` and `train` make.

    Args:
        source: folder, zip, array file, list, image or mixed dataset; None: the sample set.
        size: side in pixels, 1 to 10,000: say what `build_dataset(size=...)` would do to each file.
        resize_mode: how an image becomes square: crop, pad or stretch.
        background: under transparent parts: a colour, or refuse.
        mode: rgb, or gray: all images become gray.
        workers: threads, from 1; None: one a core, at most 8.
        log: takes a line for each thing to know.

    Files that cannot be used are in `problems`. Raises UsageError, and InputError for a source that cannot be read.
    """
    from augment.checks.inspect import check, summarise
    from augment.core.parallel import default_workers
    from augment.imaging.codec import Rules, parse_background, parse_mode
    from augment.imaging.geometry import RESIZE_MODES
    from augment.sources.readers import open_source

    if resize_mode not in RESIZE_MODES:
        raise UsageError(f"--resize-mode {resize_mode!r}: use one of {', '.join(RESIZE_MODES)}")
    rules = Rules(parse_background(background), parse_mode(mode))
    images = open_source(or_sample_set(source, log), rules=rules).uncached()
    with progress("looking", len(images)) as report:
        records = check(images, workers=workers or default_workers(), signatures=True, progress=report)
    return Inspection(summarise(images, records, size=size, resize_mode=resize_mode))


def _inspection_text(summary: dict[str, Any], *, files: bool) -> str:
    rows = [("source", summary["source"]), ("images", f"{summary['num_usable']:,} usable of {summary['num_images']:,}")]
    listed = {
        "read as": summary["set_notes"],
        **{key: [f"{k}  {number:,}" for k, number in summary[key].items()] for key in ("sizes", "formats", "classes")},
        "turned": summary["turned"],
        "problems": summary["problems"],
        "notes": [f"{name}: {'; '.join(notes)}" for name, notes in summary["notes"].items()],
        "equal files": [" = ".join(names) for names in summary["duplicates"]],
        "look alike": [" ~ ".join(names) for names in summary["near_duplicates"]],
        "mirror images": [" ~ ".join(names) for names in summary["mirror_twins"]],
        "symmetry": [symmetry["text"] for symmetry in summary["symmetry"]],
        "ignored": summary["ignored"],
        "what is done": [f"{number:,}  {action}" for action, number in summary["actions"].items()],
        "advice": summary["advice"],
    }
    for title, values in listed.items():
        shown = values[:MAX_LISTED]
        if len(values) > MAX_LISTED:
            shown.append(f"and {len(values) - MAX_LISTED} more; --json lists all")
        rows += [(title if number == 0 else "", value) for number, value in enumerate(shown)]
    width = max(len(title) for title, _ in rows) + 2
    lines = [f"{title:<{width}}{value}" for title, value in rows]
    return "\n".join([*lines, "", *_file_lines(summary["files"])] if files else lines)


def _file_lines(files: list[dict[str, Any]]) -> list[str]:
    cells = [
        (
            file["name"],
            f"{file['width']}x{file['height']}" if file["width"] else "-",
            f"{file['format']} {file['mode']}" if file["format"] else "-",
            "" if file["orientation"] == 1 else f"EXIF {file['orientation']}",
            file["problem"] or file["action"],
        )
        for file in files
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    padded = [[f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)] for row in cells]
    return ["  ".join([*row, last]) for row, (*_, last) in zip(padded, cells, strict=True)]
