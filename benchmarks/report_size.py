"""How long a large report takes, how large it is, and how quickly it opens.

    python -m benchmarks.report_size [--policies 12] [--seeds 5] [--snapshots 20] [--side 64] [--open]

Writes a study of 12 policies under 5 seeds, 60 runs of 20 snapshots each, into a temporary folder: grids of 36 made-up
images with the grain of early fakes, scores of two metrics at each snapshot, 400 lines of losses a run. Then it
reads and renders them as `smallgan report` does and prints seconds, bytes and what they are made of. `--open` also
opens the page in Chromium (playwright is a development dependency) and times opening, a sort and a move of the slider.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from smallgan.report import collect, find_runs, write_report

COLUMNS = 6


def main() -> None:
    """Make the study, report it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("policies", 12), ("seeds", 5), ("snapshots", 20), ("side", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--open", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(Path(folder), asked.policies, asked.seeds, asked.snapshots, asked.side)
        began = time.perf_counter()
        folders = find_runs([study])
        report = collect(folders)
        collected = time.perf_counter()
        page = write_report(report, folders)
        done = time.perf_counter()
        pictures = [picture for run in report.runs for picture in run.pictures]
        size = page.stat().st_size
        print(f"{len(folders)} runs x {asked.snapshots} snapshots of {COLUMNS**2} images at {asked.side} px")
        print(f"read in {collected - began:.1f} s, rendered in {done - collected:.1f} s, {done - began:.1f} s in all")
        print(f"page {size / 1e6:.2f} MB; {len(pictures)} pictures read, {_num_shown(page)} shown")
        print(f"grids {report.runs[0].snapshots[0].picture.width} px wide, the last {_last_width(report.runs[0])} px")
        if asked.open:
            open_page(page)


def make_study(root: Path, num_policies: int, num_seeds: int, num_snapshots: int, side: int) -> Path:
    """Write the study and return its folder."""
    names = ["none", *(f"policy-{number}" for number in range(1, num_policies))]
    rng = np.random.default_rng(0)
    pictures = [_grid(rng, side, step / num_snapshots) for step in range(num_snapshots)]
    for number, picture in enumerate(pictures):
        picture.save(root / f"grid-{number}.png")
    trials = []
    for index in range(num_policies * num_seeds):
        policy, seed = names[index // num_seeds], index % num_seeds
        run = root / "runs" / f"{index:05d}-{policy}-s{seed}"
        _write_run(run, root, policy, seed, num_snapshots, rng)
        trial = {"index": index, "variant": policy, "overrides": {"augment.policy": policy}, "seed": seed}
        place = run.relative_to(root).as_posix()
        trials.append({**trial, "run": place, "state": "done", "problem": None, "reference": policy == "none"})
    (root / "trials.json").write_text(json.dumps(trials), encoding="utf-8")
    (root / "recipe.yaml").write_text("name: large\n", encoding="utf-8")
    return root


def open_page(page_file: Path) -> None:
    """Print how long Chromium takes to open the page, to sort it, and to move the slider."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        page.goto(page_file.as_uri(), wait_until="load")
        print(f"opened in {time.perf_counter() - began:.1f} s")
        for what, script in (
            ("sorted", "document.querySelector('table.sortable button').click()"),
            (
                "slider moved",
                "(() => { const s = document.getElementById('step'); s.value = 2;"
                " s.dispatchEvent(new Event('input')); document.body.getBoundingClientRect(); })()",
            ),
        ):
            began = time.perf_counter()
            page.evaluate(script)
            print(f"{what} in {time.perf_counter() - began:.2f} s")
        browser.close()


def _write_run(run: Path, root: Path, policy: str, seed: int, num_snapshots: int, rng: np.random.Generator) -> None:
    run.mkdir(parents=True)
    steps = num_snapshots * 500
    recipe = {
        "data": {"source": "images", "size": 64},
        "augment": {"policy": policy},
        "model": {"name": "dcgan"},
        "train": {"steps": steps, "batch_size": 64},
        "seeds": [seed],
    }
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    data = {
        "policy": policy,
        "num_real": 1000,
        "fingerprint": "f" * 64,
        "origins": {"original": 1000, "augmented": 1000},
    }
    (run / "data.json").write_text(json.dumps(data), encoding="utf-8")
    (run / "environment.json").write_text(json.dumps({"command": "smallgan run large.yaml"}), encoding="utf-8")
    stats = [{"step": step, "loss_d": rng.random(), "loss_g": rng.random()} for step in range(25, steps + 1, 25)]
    _write_lines(run / "stats.jsonl", stats)
    scores = []
    for number in range(1, num_snapshots + 1):
        for metric in ("is", "kmmd"):
            identity = {"metric": metric, "features": "made-up", "num_fake": 1000}
            value = {"value": float(rng.normal(0.4, 0.01)), "identity": identity, "step": number * 500}
            scores.append({"metric": metric, "label": metric.upper(), **value})
        shutil.copyfile(root / f"grid-{number - 1}.png", run / f"fakes-{number * 500:06d}.png")
    _write_lines(run / "scores.jsonl", scores)
    for name in ("reals.png", "mix.png"):
        shutil.copyfile(root / f"grid-{num_snapshots - 1}.png", run / name)


def _grid(rng: np.random.Generator, side: int, progress: float) -> Image.Image:
    """Draw images that come out of noise as `progress` goes from 0 to 1; their grain never goes."""
    width = COLUMNS * (side + 2)
    rows, columns = np.mgrid[0:width, 0:width] / side
    shape = np.stack([np.sin(rows * (3 + k)) * np.cos(columns * (5 - k)) for k in range(3)], axis=-1)
    noise = rng.normal(0, 60 * (1 - progress) + 12, (width, width, 3))
    return Image.fromarray((128 + 90 * progress * shape + noise).clip(0, 255).astype(np.uint8))


def _write_lines(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def _num_shown(page: Path) -> int:
    return len(re.findall(r"<img ", page.read_text(encoding="utf-8")))


def _last_width(run: object) -> int:
    return int(run.snapshots[-1].picture.width)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
