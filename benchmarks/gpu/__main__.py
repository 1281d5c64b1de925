"""`make bench-gpu`: all that waits for a GPU, top first, each at most ten minutes a call; the same command goes on.

python -m benchmarks.gpu [--data FOLDER] [--features CARD] [--only NAME,...] [--again] [--list] [--limit-minutes 9.5]

--data holds the sets of `benchmarks/gpu/README.md`; a row whose images are not there goes on waiting. Results are kept
in benchmarks/gpu/results.json, and RESULTS.md beside it is written anew from them after each row.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from augment.core.files import write_json, write_text
from benchmarks.gpu.rows import PYTHON, Waiting, rows

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results.json", HERE / "RESULTS.md"
UNFINISHED = 3  # Exit code of a command that another call goes on with
LINES_KEPT = 40
WAIT_FOR_STOP_SECONDS = 60


def main() -> int:
    """Run what waits; return 1 where a row failed."""
    args = _parser().parse_args()
    known = {row.name: row for row in rows()}
    if unknown := [name for name in args.only if name not in known]:
        sys.exit(f"bench-gpu: no row {', '.join(unknown)}; there are {', '.join(known)}")
    results = read_results()
    chosen = [row for row in known.values() if row.name in (args.only or known)]
    if args.list or not torch.cuda.is_available():
        write_page(results)
        print(page(results), end="")
        if not args.list:
            print("torch finds no CUDA GPU here: all goes on waiting", file=sys.stderr)
        return 0
    failed = False
    for row in chosen:
        if results.get(row.name, {}).get("state") == "done" and not args.again:
            continue
        found = carry_out(row, args.data, args.features, 60 * args.limit_minutes)
        print(f"{row.name}: {found['state']}, {found['seconds']} s", flush=True)
        results[row.name] = found
        failed |= found["state"] == "failed"
        write_json(RESULTS, results)
        write_page(results)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data-gpu"))
    parser.add_argument("--features", type=Path)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--again", action="store_true", help="run rows that are done, too")
    parser.add_argument("--list", action="store_true", help="print what is done and what waits")
    parser.add_argument("--limit-minutes", type=float, default=9.5)
    return parser


def carry_out(row: Waiting, data: Path, features: Path | None, limit_seconds: float) -> dict[str, Any]:
    """Run a row for at most `limit_seconds` and return its record: state, hardware, date, seconds, last lines.

    States: done; unfinished, and the same command goes on; failed; waiting, with the file that is missing.
    """
    options = f"--features {shlex.quote(str(features))}" if features else ""
    missing = [path for each in row.paths if not (path := Path(each.format(data=data))).exists()]
    text = row.command.replace("{data}", shlex.quote(str(data))).replace("{features}", options).strip()
    record = {"command": text, "date": date.today().isoformat(), "hardware": hardware(), "torch": torch.__version__}
    if missing:
        return {**record, "state": "waiting", "seconds": 0, "output": [f"{missing[0]}: not there"]}
    words = shlex.split(text)
    words[0] = sys.executable if words[0] == PYTHON else words[0]
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=limit_seconds)
        state = {0: "done", UNFINISHED: "unfinished"}.get(process.returncode, "failed")
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # trainings save and can go on
        try:
            output, _ = process.communicate(timeout=WAIT_FOR_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        state = "unfinished"
    return {
        **record,
        "state": state,
        "seconds": round(time.monotonic() - began),
        "output": output.splitlines()[-LINES_KEPT:],
    }


def hardware() -> str:
    """Return the name of the GPU; "" without one."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def read_results() -> dict[str, Any]:
    """Return the records by name; {} where nothing has run."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    return found


def write_page(results: dict[str, Any]) -> None:
    """Write RESULTS.md."""
    write_text(PAGE, page(results))


def page(results: dict[str, Any]) -> str:
    """Return RESULTS.md: a table of all rows, then what each printed that has run."""
    return "\n".join([*_table(results), *_outputs(results)]) + "\n"


def _table(results: dict[str, Any]) -> Iterable[str]:
    yield "# Results on a GPU"
    yield ""
    yield "`make bench-gpu` writes this file. A row that says waiting has never run to its end on a GPU."
    yield ""
    yield "| row | what it shows | state | hardware, date |"
    yield "|---|---|---|---|"
    for row in rows():
        found = results.get(row.name, {"state": "waiting"})
        where = f"{found['hardware']}, torch {found['torch']}, {found['date']}" if found["state"] != "waiting" else ""
        yield f"| {row.name} | {row.purpose} | {found['state']} | {where} |"


def _outputs(results: dict[str, Any]) -> Iterable[str]:
    for row in rows():
        found = results.get(row.name)
        if found and found["state"] != "waiting":
            yield from ("", f"## {row.name}", "", f"    {found['command']}", "", f"{found['seconds']} s.", "", "```")
            yield from (*found["output"], "```")


if __name__ == "__main__":
    sys.exit(main())
