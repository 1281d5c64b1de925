"""The files of a mixed dataset and of a folder of samples, by name and format."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from augment.core.limits import read_json
from augment.errors import InputError

Origin = Literal["original", "augmented", "synthetic"]

METADATA = "metadata.jsonl"
PLAN = "plan.json"
PLAN_FORMAT = "augment-plan-1"  # What `format` says in a plan.json of ours
SAMPLES = "samples.json"
SAMPLES_FORMAT = "smallgan-samples-1"
SAMPLE_IMAGES = "images"
"""Beside samples.json: the folder of single images. What else lies there is no image of the set, such as a grid."""


def read_plan(folder: Path) -> dict[str, Any]:
    """Return plan.json of a mixed dataset. Raises InputError when there is none of ours: other tools write one too."""
    try:
        plan = read_json(folder / PLAN)
        if _is_ours(plan, PLAN_FORMAT):
            return dict(plan)
        raise ValueError(f"it is no {PLAN_FORMAT}")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / PLAN}: cannot be read ({error}); build the dataset again") from error


def holds_plan(folder: Path) -> bool:
    """Tell whether `folder` is a mixed dataset of ours, finished or not.

    Raises InputError for a plan.json of absurd size: whose it is cannot be told.
    """
    with suppress(OSError, ValueError):
        return _is_ours(read_json(folder / PLAN), PLAN_FORMAT)
    return False


def read_samples_record(folder: Path) -> dict[str, Any] | None:
    """Return samples.json of a folder that `smallgan sample` wrote; None where there is none of ours.

    Raises InputError for one of absurd size.
    """
    with suppress(OSError, ValueError):
        record = read_json(folder / SAMPLES)
        return dict(record) if _is_ours(record, SAMPLES_FORMAT) else None
    return None


def _is_ours(value: Any, expected: str) -> bool:
    return isinstance(value, dict) and value.get("format") == expected
