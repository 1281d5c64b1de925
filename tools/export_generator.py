"""Write a run's averaged generator as the file that ships: `python tools/export_generator.py RUN --out FOLDER`.

FOLDER gets weights.safetensors (bfloat16 weights in the official layout), classes.txt, and card.md: what it was trained
on, by which recipe, for how long, on what hardware, and the hash of the file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from augment.core.files import make_folder, sha256_file, write_text
from smallgan.core.checkpoint import read_state
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.models.biggan import BigGANGenerator
from smallgan.models.pretrained import load_pretrained, save_generator
from smallgan.tables.recipe import read_recipe


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
    facts = {
        "file": f"`{path.name}`, bfloat16 weights in the official layout, {path.stat().st_size:,} bytes",
        "sha256": f"`{sha256_file(path)}`",
        "network": f"`{json.dumps(state['config'])}`",
        "parameters": f"{sum(parameter.numel() for parameter in generator.parameters()):,}",
        "licence": "CC BY 4.0, as the photographs; the code is MIT",
        "data": f"{data['num_images']:,} images, {len(state['classes'])} classes; `{data['fingerprint'][:16]}`",
        "training": f"{step:,} steps, {state['kimg']:,.0f} thousand images, {state['train_seconds'] / 60:.0f} minutes",
        "hardware": f"{environment.get('device')}; torch {state['versions']['torch']}",
        "scores at the end": "; ".join(f"{line['label']} {line['value']:.3f}" for line in scores) or "none",
    }
    table = "\n".join(f"| {name} | {fact} |" for name, fact in facts.items())
    write_text(args.out / "classes.txt", "".join(f"{name}\n" for name in state["classes"]))
    text = _CARD.format(name=args.out.name, table=table, recipe=read_recipe(run.recipe).name)
    write_text(args.out / "card.md", text)
    print(text)


_CARD = """# {name}

The pretrained generator that ships with smallgan: a class-conditional BigGAN, its averaged weights alone, for
`smallgan train --transfer`. It is small, and was trained for minutes rather than weeks: a place to start from, not a
source of pictures.

| | |
|---|---|
{table}

**Data.** Caltech-101 without its background class: photographs of 101 classes at 64 x 64 pixels, halved. Li, F.-F.,
Andreeto, M., Ranzato, M., Perona, P. (2022): *Caltech 101* (1.0), CaltechDATA, CC BY 4.0. Beside them 28 classes of 100
pictures each that `tools/drawn_classes.py` draws. `tools/pretraining_set.py` builds the set. No picture of the sample
set is among them, none drawn by its program, and no drawn flower; of the photographs, three classes are flowers.

**Training.** `smallgan train FOLDER --recipe {recipe}`, then `tools/export_generator.py`. Classes were drawn evenly.

**Classes**: `classes.txt`, a name a line, in the order of their indices.
"""


if __name__ == "__main__":
    main()
