"""The rows of `benchmarks.transfer_table` as one Markdown table: mean over seeds, least and greatest. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from augment.errors import InputError

Row = Mapping[str, Any]
FIRST = ("held-out reals", "step 0")
"""Rows to compare with; they stand above the methods."""
LOSSES = {"pixel": "pixel", "perceptual": "perceptual", "latent": "latent", "loss_d": "D", "loss_g": "G"}


def read_rows(out: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows measured under the conditions that hold, those to compare with first, and the conditions.

    Raises InputError when nothing was measured there.
    """
    path = out / "conditions.json"
    if not path.is_file():
        raise InputError(f"{out}: nothing was measured there; run the command without --table-only first")
    conditions = json.loads(path.read_text(encoding="utf-8"))
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((out / "rows").glob("*.json"))]
    return sorted((row for row in rows if conditions["of"].items() <= row["of"].items()), key=_place), conditions


def markdown(rows: Sequence[Row], conditions: Mapping[str, Any]) -> str:
    """Return conditions and table."""
    methods = dict.fromkeys(row["method"] for row in rows)
    lines = [
        _described(conditions),
        "",
        "| method | seeds | steps | reconstruction | KMMD train | KID train | KMMD held-out | KID held-out | nearest "
        "training image | losses at the end |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        seeds = ", ".join(str(row["seed"]) for row in mine if row["seed"] is not None) or "-"
        cells = [
            method,
            seeds,
            _cell(mine, lambda row: row.get("step"), "{:,.0f}"),
            _cell(mine, lambda row: row.get("reconstruction"), "{:.3f}"),
            *(
                _cell(mine, lambda row, side=side, name=name: (row.get(side) or {}).get(name), form)
                for side in ("train", "held_out")
                for name, form in (("kmmd", "{:.3f}"), ("kid", "{:.4f}"))
            ),
            _cell(mine, lambda row: row.get("nearest"), "{:.2f}"),
            _losses(mine),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _described(of: Mapping[str, Any]) -> str:
    overrides = "".join(f", {path} {value}" for path, value in of["overrides"].items())
    return (
        f"{of['set']}, {of['num_train']} training and {of['num_held_out']} held-out images at {of['size']} px; "
        f"generator {of['pretrained']} (sha256 {of['pretrained_sha256'][:8]}); "
        f"{of['minutes']:g} minutes of {of['clock']} time of training a run, batches of {of['batch_size']}{overrides}; "
        f"{of['device']}, torch {of['torch']}. {of['num_fake']} samples of standard normal latents; features "
        f"{of['features']} (sha256 {of['features_sha256'][:8]}). "
        "Reconstruction: mean absolute difference in [-1, 1]. Mean over seeds, least to greatest in brackets."
    )


def _cell(rows: Sequence[Row], value: Callable[[Row], float | None], form: str) -> str:
    values = [found for found in map(value, rows) if found is not None]
    if not values:
        return "-"
    middle = form.format(fmean(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


def _losses(rows: Sequence[Row]) -> str:
    found = [row["losses"] for row in rows if row.get("losses")]
    names = [name for name in LOSSES if found and all(name in losses for losses in found)]
    if "pixel" in names:
        names = [name for name in names if not name.startswith("loss")]
    return ", ".join(f"{LOSSES[name]} {fmean(losses[name] for losses in found):.3g}" for name in names) or "-"


def _place(row: Row) -> tuple[int, str, int, int]:
    first = FIRST.index(row["method"]) if row["method"] in FIRST else len(FIRST)
    kind, _, group = row["method"].partition("-")
    return first, kind, int(group) if group.isdigit() else 0, row["seed"] or 0
