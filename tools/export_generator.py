"""Write a run's averaged generator as the file that ships: `python tools/export_generator.py RUN --out FOLDER`.

FOLDER gets weights.safetensors (bfloat16 weights in the official layout) and card.json: what it was trained on, by which
recipe, for how long, on what, and the file's hash.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from augment.files import make_folder, sha256_file, write_json
from smallgan.checkpoint import read_state
from smallgan.models.biggan import BigGANGenerator
from smallgan.models.pretrained import load_pretrained, save_generator
from smallgan.recipe import read_recipe
from smallgan.run import RunDir, read_jsonl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", type=int, help="step; default: the newest")
    args = parser.parse_args()
    run = RunDir(args.run)
    step = args.checkpoint or run.last_step()
    folder = run.checkpoint(step)
    state = read_state(folder)
    generator = load_pretrained(folder).generator
    assert isinstance(generator, BigGANGenerator)
    path = make_folder(args.out) / "weights.safetensors"
    save_generator(path, generator, torch.bfloat16)
    environment = json.loads(run.environment.read_text(encoding="utf-8"))
    data = json.loads(run.data.read_text(encoding="utf-8"))
    scores = [line for line in read_jsonl(run.scores) if line["step"] == step] if run.scores.is_file() else []
    card = {
        "about": "A class-conditional BigGAN generator, the averaged weights alone, for smallgan train --transfer.",
        "licence": "CC-BY-4.0",
        "data": "Caltech-101 (CC BY 4.0) and classes of pictures drawn by tools/drawn_classes.py",
        "attribution": "Caltech 101 (1.0), F.-F. Li, M. Andreeto, M. Ranzato and P. Perona, CaltechDATA 2022",
        "num_images": data["num_images"],
        "fingerprint": data["fingerprint"],
        "classes": state["classes"],
        "config": state["config"],
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "recipe": read_recipe(run.recipe).model_dump(mode="json", exclude={"data": {"source"}}),
        "steps": step,
        "images_seen": round(state["kimg"] * 1000),
        "training_minutes": round(state["train_seconds"] / 60, 1),
        "hardware": environment.get("device"),
        "versions": state["versions"],
        "scores": [{key: line[key] for key in ("label", "value")} for line in scores],
        "sha256": sha256_file(path),
        "bytes": path.stat().st_size,
    }
    write_json(args.out / "card.json", card)
    print(f"{path}: {card['bytes']:,} bytes, sha256 {card['sha256']}")


if __name__ == "__main__":
    main()
