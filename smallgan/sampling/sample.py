"""What `smallgan sample` is asked for, checked, and carried out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from augment.core.files import make_folder, output_errors, sha256_bytes, write_json
from augment.errors import UsageError
from augment.sources.dataset_format import SAMPLES, SAMPLES_FORMAT, read_samples_record
from smallgan.core.console import say
from smallgan.core.device import choose_device
from smallgan.data.images import Pixels
from smallgan.sampling.arrays import read_labels, read_latents
from smallgan.sampling.latents import (
    Inputs,
    addresses,
    check_truncation,
    draw_inputs,
    draw_labels,
    find_class,
    generate,
    parse_numbers,
    parse_seeds,
)
from smallgan.sampling.loading import Model, has_learned_codes, load_codes, load_model
from smallgan.sampling.prior import NORMAL, Address, Prior, check_around_codes
from smallgan.sampling.reconstructions import find_originals
from smallgan.sampling.writers import write_images, write_interpolation, write_reconstructions, write_samples

DEFAULT_COUNT, DEFAULT_ENDS = 36, 5


@dataclass(frozen=True)
class Request:
    """The fields are the options of `smallgan sample`; at their defaults they were not given."""

    model: Path
    count: int | None = None
    """Number of images of one seed, or of latents to interpolate."""
    seed: int = 0
    seeds: str | None = None
    label: str | None = None
    """One class for all images, by name or number."""
    truncation: float | None = None
    around_codes: float | None = None
    """Draw near the codes of training images: how far, in standard deviations of the codes."""
    prior: str | None = None
    """normal: draw from N(0, I), also where the run recommends to draw around its codes."""
    latents: Path | None = None
    """Latents of the user's own, and `labels` for them."""
    labels: Path | None = None
    raw: Path | None = None
    """A .npy file in place of pictures."""
    interpolate: bool = False
    codes: str | None = None
    """Training images whose codes are interpolated, such as 0,7,12."""
    frames: int = 24
    reconstruct: bool = False
    out: Path | None = None
    grid_only: bool = False
    checkpoint: str = "last"
    device: str = "auto"


_ALWAYS = {"model", "checkpoint", "device"}
_TAKES = {
    "reconstruct": {"out", "grid_only"},
    "codes": {"interpolate", "frames", "out"},
    "latents": {"labels", "label", "seed", "raw", "out", "grid_only"},
    "interpolate": {"count", "seed", "seeds", "label", "truncation", "prior", "frames", "out"},
    "around_codes": {"count", "seed", "seeds", "raw", "out", "grid_only"},
    "": {"count", "seed", "seeds", "label", "truncation", "prior", "raw", "out", "grid_only"},
}
"""The options beside each that says what is made; the first of them that was given does. "": images are drawn."""
_NEVER_BOTH = {
    ("seeds", "count"): "--seeds 0-35 is 36 seeds, --count 36 --seed 0 is one seed",
    ("seeds", "seed"): "--seeds names the seeds itself",
    ("label", "labels"): "--label is one class for all, --labels a file with one for each",
    ("raw", "out"): "--raw writes one file and no pictures",
    ("raw", "grid_only"): "--raw writes one file and no pictures",
}


def check(request: Request) -> None:
    """Raise UsageError for options that do not go together, or whose value cannot be."""
    given = {each.name for each in fields(request)[1:] if getattr(request, each.name) != each.default}
    for pair, why in _NEVER_BOTH.items():
        if given.issuperset(pair):
            raise UsageError(f"{_option(pair[0])} and {_option(pair[1])}: give one; {why}")
    if "codes" in given and "interpolate" not in given:
        raise UsageError(f"--codes {request.codes}: needed --interpolate too; --reconstruct shows every code by itself")
    kind = next(kind for kind in _TAKES if kind in given or not kind)
    for name in sorted(given - _TAKES[kind] - _ALWAYS - {kind}):
        if kind:
            raise UsageError(f"{_option(name)} cannot be combined with {_option(kind)}")
        takers = " or ".join(_option(taker) for taker, taken in _TAKES.items() if name in taken)
        raise UsageError(f"{_option(name)} needs {takers}; give that too, or leave it out")
    if request.count is not None and request.count < 1:
        raise UsageError(f"--count {request.count}: needed at least 1")
    if request.truncation is not None:
        check_truncation(request.truncation)
    if request.around_codes is not None:
        check_around_codes(request.around_codes)
    if request.prior not in (None, "normal"):
        raise UsageError(f"--prior {request.prior}: needed normal; --around-codes draws near the codes of a run")


def sample(request: Request) -> dict[str, Any]:
    """Make what is asked for and return what was made; `files` are the paths, the grid, the strip or the array first.

    Raises the errors of the parts: UsageError, InputError, OutputError, FailedError.
    """
    check(request)
    model = with_prior(opened(request), request)
    if request.reconstruct:
        made = _reconstructions(request, model)
    elif request.interpolate:
        made = _interpolation(request, model)
    else:
        made = _images(request, model)
    return {"model": str(model.path), "sha256": model.sha256, "step": model.step, **model.prior.describe(), **made}


def opened(request: Request) -> Model:
    """Return the generator that a request names, and say what a user should know of its file. Raises InputError."""
    model = load_model(request.model, choose_device(request.device), request.checkpoint, truncation=request.truncation)
    for note in model.notes:
        say(f"{model.path}: {note}")
    return model


def with_prior(model: Model, request: Request) -> Model:
    """Return the generator with the prior that a request names, else with its own. Raises UsageError."""
    if request.around_codes is not None:
        return replace(model, prior=Prior(load_codes(model), request.around_codes))
    return replace(model, prior=NORMAL) if request.prior == "normal" else model


class Drawing(NamedTuple):
    """What single images are made from, and what they are called on disk."""

    inputs: Inputs
    names: list[str]
    """File names, one an image."""
    kind: str
    """What the folder is called after."""


def draw(request: Request, model: Model) -> Drawing:
    """Return what the images of a request are made from. Raises UsageError, and InputError for arrays of the user's."""
    if request.latents:
        inputs = _given(request, model, request.latents)
        drawn = addresses(len(inputs.z), request.seed, None)
        kind = f"latents-{request.latents.stem}"
    else:
        drawn = _drawn(request, DEFAULT_COUNT)
        inputs = draw_inputs(model, drawn, request.truncation, request.label)
        around = model.prior.around_codes if request.truncation is None else None
        kind = "images" if around is None else f"around-codes{around:g}"
        kind = f"{kind}-{_which(drawn)}"
    one_seed = len({seed for seed, _ in drawn}) == 1
    names = [f"sample-{k:05d}.png" if one_seed else f"seed-{seed:05d}.png" for seed, k in drawn]
    return Drawing(inputs, names, kind)


def _images(request: Request, model: Model) -> dict[str, Any]:
    drawing = draw(request, model)
    if request.raw:
        write_images(model, drawing.inputs, request.raw)
        return _made(drawing.inputs, request, [request.raw])
    return _made(drawing.inputs, request, write_drawn(request, model, drawing, generate(model, drawing.inputs)))


def write_drawn(request: Request, model: Model, drawing: Drawing, pixels: Iterable[Pixels]) -> list[Path]:
    """Write the images of a drawing, their grid and their record; return the paths, the grid's first.

    Raises UsageError for a folder with other files in it, and OutputError.
    """
    folder = _folder(request, model, drawing.kind, drawing.inputs)
    return write_samples(pixels, drawing.names, folder, singles=not request.grid_only)


def _given(request: Request, model: Model, file: Path) -> Inputs:
    z = read_latents(file, model)
    if request.labels:
        return Inputs(z, read_labels(request.labels, model, len(z)))
    labels = draw_labels(model, addresses(len(z), request.seed, None), request.label)
    if labels is not None and request.label is None:
        say(f"{file}: classes are drawn from seed {request.seed}; --labels or --label says which they shall be")
    return Inputs(z, labels)


def _interpolation(request: Request, model: Model) -> dict[str, Any]:
    if request.codes is not None:
        numbers = parse_numbers(request.codes, "--codes", "code")
        codes = load_codes(model)
        if min(numbers) < 0 or max(numbers) >= len(codes):
            raise UsageError(
                f"--codes {request.codes}: {model.path} has codes 0 to {len(codes) - 1}; name some of them"
            )
        ends, kind = Inputs(codes[numbers]), f"interpolation-codes-{'-'.join(map(str, numbers[:8]))}"
    else:
        drawn = _drawn(request, DEFAULT_ENDS)
        ends = draw_inputs(model, drawn, request.truncation, request.label)
        kind = f"interpolation-{_which(drawn)}"
    if len(ends.z) < 2:
        raise UsageError(
            "--interpolate: needed at least two latents; give --count 2 or more, two --seeds or two --codes"
        )
    folder, straight = _folder(request, model, kind, ends), request.codes is not None and has_learned_codes(model)
    files = write_interpolation(model, ends, folder, request.frames, straight=straight, truncation=request.truncation)
    first = Inputs(ends.z, None if ends.labels is None else np.repeat(ends.labels[:1], len(ends.z)))
    return _made(first, request, files)


def _reconstructions(request: Request, model: Model) -> dict[str, Any]:
    codes = Inputs(load_codes(model))
    originals = find_originals(model, len(codes.z))
    for note in originals.notes:
        say(note)
    folder = _folder(request, model, "reconstructions", codes)
    files, found = write_reconstructions(model, codes, originals, folder, singles=not request.grid_only)
    measured = {code: error for code, error in enumerate(found) if error is not None}
    rounded = {code: round(error, 4) for code, error in measured.items()}
    images = [
        {"code": code, "original": originals.names.get(code), "mean_abs_error_levels": rounded.get(code)}
        for code in range(len(found))
    ]
    return _made(codes, request, files) | {
        "num_compared": len(measured),
        "mean_abs_error_levels": round(mean(measured.values()), 4) if measured else None,
        "images": images,
        "notes": list(originals.notes),
    }


def _made(inputs: Inputs, request: Request, files: Sequence[Path]) -> dict[str, Any]:
    labels = None if inputs.labels is None else inputs.labels.tolist()
    made = {"count": len(inputs.z), "truncation": request.truncation, "labels": labels}
    return made | {"files": [str(file) for file in files]}


def _drawn(request: Request, default_count: int) -> list[Address]:
    seeds = None if request.seeds is None else parse_seeds(request.seeds)
    return addresses(request.count or default_count, request.seed, seeds)


def _which(drawn: list[Address]) -> str:
    (first, _), (last, k) = drawn[0], drawn[-1]
    return f"seed{first}-x{k + 1}" if first == last else f"seeds{first}-{last}"


def _folder(request: Request, model: Model, kind: str, inputs: Inputs) -> Path:
    """Return where pictures go: --out, else a folder of their own in samples/ of the model's run, or of this place.

    samples.json in it says what they are. Raises UsageError when --out holds anything else, OutputError.
    """
    record = {"format": SAMPLES_FORMAT, "sha256": model.sha256, "step": model.step, "kind": kind}
    labels = b"" if inputs.labels is None else inputs.labels.tobytes()
    record["inputs_sha256"] = sha256_bytes(inputs.z.tobytes() + labels)  # a kind names only the first and last seed
    record |= {"truncation": request.truncation, "label": request.label, **model.prior.describe()}
    folder = request.out or _own_folder(request, model, kind)
    with output_errors(folder):
        if request.out and read_samples_record(folder) != record and folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"--out {folder}: the folder holds other files; name a new or an empty one")
    write_json(make_folder(folder) / SAMPLES, record)
    return folder


def _own_folder(request: Request, model: Model, kind: str) -> Path:
    if model.run:
        root, origin = model.run.samples, f"step-{model.step:06d}"
    else:  # files of many models have the same name
        root, origin = Path("samples"), f"{model.path.stem}-{model.sha256[:8]}"
    parts = [origin, kind]
    if request.truncation is not None:
        parts.append(f"t{request.truncation:g}")
    if request.label is not None:
        parts.append(f"class-{find_class(model, request.label)}")
    return root / "-".join(parts)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
