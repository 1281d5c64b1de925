"""The files of a mixed dataset, by name and format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

Origin = Literal["original", "augmented", "synthetic"]

METADATA = "metadata.jsonl"

PLAN = "plan.json"

PLAN_FORMAT = "augment-plan-1"
"""What `format` says in a plan.json of ours."""


def holds_plan(folder: Path) -> bool:
    """Tell whether `folder` is a mixed dataset of ours, finished or not: other tools write a plan.json too."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(plan, dict) and plan.get("format") == PLAN_FORMAT
