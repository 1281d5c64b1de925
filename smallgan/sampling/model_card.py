"""The card of an exported generator: what it is, what it was trained on, how it scored, and its limits."""

import json
from pathlib import Path

from smallgan.core.run_dir import RunDir, read_jsonl, read_record
from smallgan.core.version import __version__
from smallgan.sampling.loading import Model
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import read_recipe

CARD, PICTURE = "README.md", "samples.png"
FILL_IN = "**To be filled in.**"


def model_card(model: Model, name: str, pictured: int) -> str:
    """Return the card as Markdown with a YAML head; what only its publisher knows is marked "To be filled in".

    Args:
        model: of a run, of a checkpoint or of a file.
        name: title.
        pictured: number of samples in the picture beside it.

    Raises InputError for a run whose files are damaged.
    """
    run = model.run
    lines = [_head(model), f"# {name}", "", _what(model), "", f"![{pictured} samples]({PICTURE})", ""]
    lines += [f"{pictured} samples of seed 0, in their order, none left out.", "", _USE, "## Training data", ""]
    lines += _data(run) if run else [f"{FILL_IN} No run was exported, so nothing is known here.", ""]
    lines += [f"{FILL_IN} What the images show, who made them, and what their licence allows.", ""]
    if run:
        lines += ["## Training", "", *_table(_training(model, run)), "", "## Scores", "", *_scores(model, run), ""]
    lines += ["## Limits", "", *_limits(model, run), "", "## Licence", "", _licence(model), ""]
    return "\n".join(lines)


def _head(model: Model) -> str:
    tags = "\n".join(f"- {tag}" for tag in ("gan", "image-generation", "small-data", _kind(model)))
    # A licence is not guessed: it depends on the images.
    return f"---\n# license: fill in, such as cc-by-4.0\nlibrary_name: smallgan\ntags:\n{tags}\n---\n"


def _kind(model: Model) -> str:
    return str(model.state.get("model", "biggan"))


def _what(model: Model) -> str:
    kind, count = _kind(model), sum(each.numel() for each in model.generator.parameters())  # type: ignore[attr-defined]
    below = str(model.state.get("pretrained", {}).get("kind"))
    adapted = MODELS[below].title if below in MODELS else "BigGAN"
    title = MODELS[kind].title if kind in MODELS else f"{adapted} adapted by {kind.upper()}"
    classes = f" of {len(model.classes)} classes ({', '.join(model.classes[:10])}" if model.classes else ""
    classes += ("" if len(model.classes) <= 10 else ", ...") + (")" if model.classes else "")
    return (
        f"A {title} that makes images of {model.size} x {model.size} px{classes}, {count:,} parameters, written by "
        f"smallgan {__version__}."
    )


_USE = """## Use

```python
import smallgan as sg

sg.load("path/of/this/folder").sample(36)
```
"""


def _data(run: RunDir) -> list[str]:
    data = read_record(run.data) or {}
    source = data.get("source")
    added = data.get("num_images", 0) - data.get("num_real", 0)
    facts = {
        "images": f"{data.get('num_real', 0):,} originals",
        "from": Path(source).name if source else "painted-flowers, the sample set of smallgan (CC0-1.0)",
        "added": f"{added:,} by the policy {data.get('policy')}" if added else "none",
        "held out": f"{data['holdout']['num']:,}" if "holdout" in data else "none",
        "size": f"{data.get('size')} px ({data.get('resize_mode')})",
        "fingerprint": f"`{str(data.get('fingerprint', ''))[:16]}`",
    }
    return [*_table(facts), ""]


def _training(model: Model, run: RunDir) -> dict[str, str]:
    recipe, state = read_recipe(run.recipe), model.state
    environment = read_record(run.environment) or {}
    facts = {
        "method": recipe.method_row.title,
        "step": f"{model.step:,} of {recipe.train.steps:,}, {recipe.train.batch_size} images each",
        "seed": str(recipe.seed),
        "precision": str(recipe.train.precision),
        "device": str(environment.get("device", "not recorded")),
        "sha256 of the checkpoint": f"`{model.sha256}`",
    }
    if origin := state.get("pretrained"):
        named = Path(origin["path"]).name if origin.get("path") else "the small generator that ships with smallgan"
        facts["adapted from"] = f"{named} ({origin.get('kind')}), sha256 `{str(origin.get('sha256', ''))[:16]}`"
    return facts


def _scores(model: Model, run: RunDir) -> list[str]:
    every = read_jsonl(run.scores) if run.scores.is_file() else []
    lines = [line for line in every if line.get("step") == model.step]
    newest = {(line["metric"], json.dumps(line["identity"], sort_keys=True)): line for line in lines}
    found = [line for line in newest.values() if line.get("value") is not None]
    if not found:
        return [f"None of this step. `smallgan score {run.name}` computes some."]
    rows = ["| score | value | 95 % interval | real images in their place | images |", "|---|---|---|---|---|"]
    for line in found:
        low, high = line["interval"] or (None, None)
        interval = "" if low is None else f"{low:.4g} to {high:.4g}"
        real = "" if line.get("baseline") is None else f"{line['baseline']:.4g}"
        reals = line["identity"].get("num_real")
        counts = f"{line['identity']['num_fake']}" + (f" against {reals}" if reals else "")
        label = f"{line['label']} [{line['standing']}]" if line.get("standing") else line["label"]
        rows.append(f"| {label} | {line['value']:.4g} | {interval} | {real} | {counts} |")
    if any(line.get("standing") for line in found):
        rows += [
            "",
            "[struck]: by a network that helped to train this model, which flatters it; [related]: by a relative.",
        ]
    return rows


def _limits(model: Model, run: RunDir | None) -> list[str]:
    measured = run is not None and run.scores.is_file() and '"copies"' in run.scores.read_text(encoding="utf-8")
    copies = "the copy rate is among the scores" if measured else "whether this one does was not measured"
    limits = [
        f"- A generator trained on few images can repeat them; {copies} (`smallgan score RUN --metrics copies`).",
        "- Its images are as biased as the images that it was trained on.",
    ]
    if model.prior.codes is not None:
        limits.append(
            f"- The file holds a latent code for each of {len(model.prior.codes)} training images. From the codes "
            "images like the training images can be made: publish it only where you may publish those."
        )
    if model.prior.tensors:
        limits.append(
            "- The file holds a point for each of some training images, as far apart as these are: how alike they are "
            "can be read from it, not what they show."
        )
    return limits


def _licence(model: Model) -> str:
    also = " and of the pretrained weights that it was adapted from" if "pretrained" in model.state else ""
    return f"{FILL_IN} It depends on the licence of the training images{also}. smallgan itself is MIT."


def _table(facts: dict[str, str]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {fact} |" for name, fact in facts.items())]
