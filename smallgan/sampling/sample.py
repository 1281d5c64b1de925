"""`smallgan sample`: what a request asks for is made."""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from augment.core.file_names import safe
from augment.core.files import make_folder, output_errors, sha256_bytes, write_json
from augment.errors import UsageError
from augment.sources.dataset_format import SAMPLES, SAMPLES_FORMAT, read_samples_record
from smallgan.core.console import say
from smallgan.core.device import choose_device
from smallgan.data.images import Pixels
from smallgan.sampling.arrays import read_labels, read_latents
from smallgan.sampling.between import DEFAULT_ENDS, between_codes, between_drawn
from smallgan.sampling.image_formats import IMAGE_FORMATS
from smallgan.sampling.latents import (
    Inputs,
    addresses,
    draw_inputs,
    draw_labels,
    find_class,
    generate,
    parse_seeds,
    refuse_normal,
)
from smallgan.sampling.loading import Model, has_codes, load_and_say_notes, load_codes
from smallgan.sampling.prior import NORMAL, Address, Prior
from smallgan.sampling.reconstructions import find_originals
from smallgan.sampling.request import Request, check
from smallgan.sampling.training_gif import write_training_gif
from smallgan.sampling.writers import (
    Layout,
    write_images,
    write_interpolation,
    write_points,
    write_reconstructions,
    write_samples,
)
from smallgan.tables.models import MODELS

DEFAULT_COUNT = 36


def sample(request: Request) -> dict[str, Any]:
    """Make what is asked for and return what was made; `files` are the paths, the grid, the strip or the array first.

    Raises the errors of the parts: UsageError, InputError, OutputError, FailedError.
    """
    check(request)
    if request.training_gif:
        return write_training_gif(request.model, request.out)
    model = with_prior(opened(request), request)
    if request.reconstruct:
        made = _reconstructions(request, model)
    elif request.interpolate:
        if model.size == 1:
            raise UsageError(f"--interpolate: {model.path} makes points in the plane, not images; leave it out")
        made = _interpolation(request, model)
    else:
        made = _images(request, model)
    return {"model": str(model.path), "sha256": model.sha256, "step": model.step, **_drawn_from(request, model), **made}


def opened(request: Request) -> Model:
    """Return the generator that a request names, and say what a user should know of its file. Raises InputError."""
    return load_and_say_notes(request.model, choose_device(request.device), request.checkpoint, request.truncation)


def with_prior(model: Model, request: Request) -> Model:
    """Return the generator with the prior that a request names, else with its own. Raises UsageError."""
    if request.around_codes is not None:
        return replace(model, prior=Prior(load_codes(model), request.around_codes))
    if request.prior != "normal":
        return model
    refuse_normal(model, "--prior normal")
    return replace(model, prior=NORMAL)


class Drawing(NamedTuple):
    """What single images are made from, and what they are called on disk."""

    inputs: Inputs
    names: list[str]
    """File names, one an image; those of --per-class begin with the folder of their class."""
    kind: str
    """What the folder is called after."""
    layout: Layout = Layout()
    """How the grid is laid out."""


def draw(request: Request, model: Model) -> Drawing:
    """Return what the images of a request are made from. Raises UsageError, and InputError for arrays of the user's."""
    suffix = IMAGE_FORMATS[request.image_format].suffix
    if request.latents:
        inputs = _given(request, model, request.latents)
        drawn = addresses(len(inputs.z), request.seed, None)
        kind = f"latents-{request.latents.stem}"
    elif request.per_class:
        return _of_classes(request, model, request.per_class, suffix)
    else:
        drawn = _drawn(request, DEFAULT_COUNT)
        inputs = draw_inputs(model, drawn, request.truncation, request.label)
        kind = f"{_near_codes(request, model)}-{_which(drawn)}"
    one_seed = len({seed for seed, _ in drawn}) == 1
    names = [f"sample-{k:05d}{suffix}" if one_seed else f"seed-{seed:05d}{suffix}" for seed, k in drawn]
    return Drawing(inputs, names, kind, Layout(request.columns))


def _of_classes(request: Request, model: Model, number: int, suffix: str) -> Drawing:
    """Return the images of `--label c --count number` of each class c, in a folder of the class's name."""
    folders, drawn = class_folders(model), addresses(number, request.seed, None)
    z = draw_inputs(model, drawn, request.truncation).z
    inputs = Inputs(np.tile(z, (len(folders), 1)), np.repeat(np.arange(len(folders)), number))
    names = [f"{folder}/sample-{k:05d}{suffix}" for folder in folders for _, k in drawn]
    kind = f"{_near_codes(request, model)}-{_which(drawn)}-per-class"
    return Drawing(inputs, names, kind, Layout.of_groups(len(folders), number, request.columns))


def class_folders(model: Model) -> list[str]:
    """Return the folder of each class: its name, as file systems take it, else its number.

    Raises UsageError for a generator with one class or none.
    """
    count = model.generator.num_classes
    if count < 2:
        raise UsageError(
            f"--per-class: {model.path} has no classes; use --count, or train "
            f"{' or '.join(f'--model {row.name}' for row in MODELS if row.has_classes)} on a folder of class folders"
        )
    named = [safe(name) for name in model.classes] or [f"{number:03d}" for number in range(count)]
    taken = Counter(name.casefold() for name in named)
    return [f"{name}-{number}" if taken[name.casefold()] > 1 else name for number, name in enumerate(named)]


def _near_codes(request: Request, model: Model) -> str:
    around = model.prior.around_codes if request.truncation is None else None
    return "images" if around is None else f"around-codes{around:g}"


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
    if model.size == 1:
        return write_points(np.stack(list(pixels)), folder)
    encode = None if request.grid_only else IMAGE_FORMATS[request.image_format].encode
    return write_samples(pixels, drawing.names, folder, encode, drawing.layout)


def _given(request: Request, model: Model, file: Path) -> Inputs:
    z = read_latents(file, model)
    if request.labels:
        return Inputs(z, read_labels(request.labels, model, len(z)))
    labels = draw_labels(model, addresses(len(z), request.seed, None), request.label)
    if labels is not None and request.label is None:
        say(f"{file}: classes are drawn from seed {request.seed}; --labels or --label says which they shall be")
    return Inputs(z, labels)


def _interpolation(request: Request, model: Model) -> dict[str, Any]:
    if request.codes is not None or (has_codes(model) and not _asks_for_drawn(request)):
        between = between_codes(model, request.codes)
        kind = between.kind
        if request.codes is None:
            say(f"between the training images {between.codes}; --codes names others, --seeds 0-4 draws latents")
    else:
        drawn = _drawn(request, DEFAULT_ENDS)
        inputs = draw_inputs(model, drawn, request.truncation, request.label)
        between, kind = between_drawn(model, inputs, request.truncation), f"interpolation-{_which(drawn)}"
    ends = between.inputs
    if len(ends.z) < 2:
        raise UsageError("--interpolate needs at least two latents; give --count 2 or more, two --seeds or two --codes")
    folder = _folder(request, model, kind, ends)
    files = write_interpolation(
        model, ends, folder, request.frames, straight=between.straight, truncation=request.truncation
    )
    first = Inputs(ends.z, None if ends.labels is None else np.repeat(ends.labels[:1], len(ends.z)))
    way = "straight lines" if between.straight else "great circles"
    return _made(first, request, files) | {"codes": between.codes, "way": way}


def _asks_for_drawn(request: Request) -> bool:
    """Tell whether an option of drawn latents was given."""
    return bool(request.seed) or any(
        each is not None for each in (request.count, request.seeds, request.label, request.truncation, request.prior)
    )


def _reconstructions(request: Request, model: Model) -> dict[str, Any]:
    codes = Inputs(load_codes(model))
    originals = find_originals(model, len(codes.z))
    for note in originals.notes:
        say(note)
    folder = _folder(request, model, "reconstructions", codes)
    image_format = None if request.grid_only else IMAGE_FORMATS[request.image_format]
    files, found = write_reconstructions(model, codes, originals, folder, image_format, request.columns)
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
    if first == last:
        return f"seed{first}-x{k + 1}"
    seeds = [seed for seed, _ in drawn]
    is_range = seeds == list(range(first, last + 1))
    return f"seeds{first}-{last}" + ("" if is_range else f"-{sha256_bytes(repr(seeds).encode())[:6]}")


def _folder(request: Request, model: Model, kind: str, inputs: Inputs) -> Path:
    """Return where pictures go: --out, else a folder of their own in samples/ of the model's run, or of this place.

    samples.json in it says what they are. Raises UsageError when --out holds anything else, OutputError.
    """
    record = {"format": SAMPLES_FORMAT, "sha256": model.sha256, "step": model.step, "kind": kind}
    labels = b"" if inputs.labels is None else inputs.labels.tobytes()
    record["inputs_sha256"] = sha256_bytes(inputs.z.tobytes() + labels)  # a kind names only the first and last seed
    record |= {"truncation": request.truncation, "label": request.label, **_drawn_from(request, model)}
    if request.image_format != "png":
        record["image_format"] = request.image_format
    folder = request.out or _own_folder(request, model, kind)
    with output_errors(folder):
        if request.out and read_samples_record(folder) != record and folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"--out {folder}: the folder holds other files; name a new or an empty one")
        if not request.out and read_samples_record(folder) not in (None, record):
            shutil.rmtree(folder)  # images of an earlier request, which the record would not tell of
    write_json(make_folder(folder) / SAMPLES, record)
    return folder


def _drawn_from(request: Request, model: Model) -> dict[str, Any]:
    """Return what latents are drawn from, as JSON values; a truncated normal is no mixture around codes."""
    return (NORMAL if request.truncation is not None else model.prior).describe()


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
    if request.image_format != "png":
        parts.append(request.image_format)
    return root / "-".join(parts)
