"""Write what ships of a run: `python tools/export_generator.py RUN --out FOLDER`.

Of a BigGAN FOLDER gets weights.safetensors (the averaged generator, bfloat16, official layout) and classes.txt; of
another model a run of one checkpoint (averaged generator and discriminator, bfloat16), which `--init` and
`--pretrained` take. And card.md: what it was trained on, by which recipe, for how long, on what hardware, and the hash.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from augment.core.files import make_folder, sha256_file, write_bytes, write_json, write_text
from smallgan.core.checkpoint import STATE, TENSORS, read_state, read_tensors
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.models.biggan import BigGANGenerator
from smallgan.models.pretrained import load_pretrained, save_generator
from smallgan.tables.recipe import Recipe, dump_recipe, read_recipe

_OF_MACHINE = {"run", "num_threads", "train_seconds", "other_seconds"}  # Not about the weights
_KEPT = ("g_ema.", "d.")  # Tensors of a checkpoint: the averaged generator, the discriminator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", type=int, help="step; default: the newest")
    args = parser.parse_args()
    run = RunDir(args.run)
    step = args.checkpoint or run.last_step()
    folder = run.checkpoint(step)
    state, recipe = read_state(folder), read_recipe(run.recipe)
    generator = load_pretrained(folder).generator
    is_biggan = isinstance(generator, BigGANGenerator)
    if isinstance(generator, BigGANGenerator):
        path = make_folder(args.out) / "weights.safetensors"
        save_generator(path, generator, torch.bfloat16)
        write_text(args.out / "classes.txt", "".join(f"{name}\n" for name in state["classes"]))
    else:
        path = _write_run(RunDir(args.out), recipe, folder, state)
    environment = json.loads(run.environment.read_text(encoding="utf-8"))
    data = json.loads(run.data.read_text(encoding="utf-8"))
    scores = [line for line in read_jsonl(run.scores) if line["step"] == step] if run.scores.is_file() else []
    facts = {
        "file": f"`{path.relative_to(args.out)}`, bfloat16 weights, {path.stat().st_size:,} bytes",
        "sha256": f"`{sha256_file(path)}`",
        "network": f"`{json.dumps(state['config'] if is_biggan else recipe.model_dump(mode='json')['model'])}`",
        "parameters of the generator": f"{sum(parameter.numel() for parameter in generator.parameters()):,}",
        "licence": "CC BY 4.0, as the photographs; the code is MIT",
        "data": f"{data['num_images']:,} images; `{data['fingerprint'][:16]}`",
        "training": f"{step:,} steps, {state['kimg']:,.0f} thousand images, {state['train_seconds'] / 60:.0f} minutes",
        "hardware": f"{environment.get('device')}; torch {state['versions']['torch']}",
        "scores at the end": "; ".join(f"{line['label']} {line['value']:.3f}" for line in scores) or "none",
    }
    table = "\n".join(f"| {name} | {fact} |" for name, fact in facts.items())
    about = {"name": args.out.name, "table": table, "recipe": recipe.name}
    text = (_CARD if is_biggan else _CARD_OF_RUN).format(**about, data=_DATA)
    write_text(args.out / "card.md", text)
    print(text)


def _write_run(run: RunDir, recipe: Recipe, checkpoint: Path, state: Mapping[str, Any]) -> Path:
    """Write a run of one checkpoint without what only its training needs, and return the file of its tensors."""
    folder = make_folder(run.checkpoint(state["step"]))
    anywhere = recipe.data.model_copy(update={"source": "caltech101-and-drawn"})  # no path of this machine
    write_text(run.recipe, dump_recipe(recipe.model_copy(update={"data": anywhere})))
    tensors = {
        name: tensor.to(torch.bfloat16 if tensor.ndim > 1 else tensor.dtype).contiguous()
        for name, tensor in read_tensors(checkpoint).items()
        if name.startswith(_KEPT)
    }
    write_bytes(folder / TENSORS, save(tensors))
    kept = {key: value for key, value in state.items() if key not in _OF_MACHINE}
    write_json(folder / STATE, kept | {"tensors_sha256": sha256_file(folder / TENSORS)})
    return folder / TENSORS


_DATA = """**Data.** Caltech-101 without its background class: photographs at 64 x 64 pixels. Li, F.-F.,
Andreeto, M., Ranzato, M., Perona, P. (2022): *Caltech 101* (1.0), CaltechDATA, CC BY 4.0. Beside them 28 classes of 100
pictures each that `tools/drawn_classes.py` draws. `tools/pretraining_set.py` builds the set. No picture of the sample
set is among them, none drawn by its program, and no drawn flower; of the photographs, three classes are flowers."""
_CARD = """# {name}

The pretrained generator that ships with smallgan: a class-conditional BigGAN, its averaged weights alone, for
`smallgan train --transfer`. It is small, and was trained for minutes rather than weeks: a place to start from, not a
source of pictures.

| | |
|---|---|
{table}

{data}

**Training.** `smallgan train FOLDER --recipe {recipe}`, then `tools/export_generator.py`. Classes were drawn evenly.

**Classes**: `classes.txt`, a name a line, in the order of their indices.
"""
_CARD_OF_RUN = """# {name}

A GAN of 64 px without classes, averaged generator and discriminator, as a start for training on few images. `smallgan
train photos` starts from it by itself where there are few; `--init {name}` and `--pretrained {name}`
name it. It was trained for half an hour on one core, not for weeks: a place to start from, not a source of pictures.

| | |
|---|---|
{table}

{data}

**Training.** `smallgan train FOLDER --recipe {recipe}`, then `tools/export_generator.py`. The file is a checkpoint, its
weights rounded to bfloat16, without what only going on with the run needs: optimisers, the generator before averaging.
"""


if __name__ == "__main__":
    main()
