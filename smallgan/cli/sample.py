"""`smallgan sample`."""

from pathlib import Path
from typing import Annotated

import typer

_Count = Annotated[
    int | None, typer.Option(help="Number of images of one seed, default 36; of latents to interpolate, 5.")
]
_PerClass = Annotated[
    int | None,
    typer.Option(help="Images of each class, in class folders, as `downstream --synthetic` takes them."),
]
_Label = Annotated[str | None, typer.Option(help="One class for all, by name or number; default: drawn for each.")]
_Truncation = Annotated[
    float | None, typer.Option(help="Truncation threshold: resample components with abs(z) > T; default: none.")
]
_AroundCodes = Annotated[
    float | None,
    typer.Option(
        help="Sample around the latents of training images (bsa, apgc); noise in their standard deviations. "
        "Default: what the run recommends."
    ),
]
_Latents = Annotated[Path | None, typer.Option(help="Your own latents: a .npy of float32, N x Z.")]
_Raw = Annotated[
    Path | None, typer.Option(help="Write this .npy instead of pictures: float32, N x 3 x H x W in [-1, 1].")
]
_Codes = Annotated[
    str | None,
    typer.Option(help="With --interpolate: between the latents of these training images, as 0,7,12."),
]
_Reconstruct = Annotated[
    bool, typer.Option("--reconstruct", help="The training images above the images of their latents.")
]
_TrainingGif = Annotated[
    bool, typer.Option("--training-gif", help="A GIF of the training instead, from the run's grids.")
]


def sample(
    model: Annotated[
        Path, typer.Argument(help="A run, a checkpoint, a pretrained BigGAN, or a generator of `weights list` by name.")
    ],
    count: _Count = None,
    per_class: _PerClass = None,
    seed: Annotated[int, typer.Option(help="The seed that images, latents and classes are drawn from.")] = 0,
    seeds: Annotated[str | None, typer.Option(help="One image for each of these seeds, such as 0-35 or 1,4-6.")] = None,
    label: _Label = None,
    truncation: _Truncation = None,
    around_codes: _AroundCodes = None,
    prior: Annotated[
        str | None, typer.Option(help="normal (the one choice): draw from N(0, I), whatever the run recommends.")
    ] = None,
    latents: _Latents = None,
    labels: Annotated[Path | None, typer.Option(help="Classes of --latents: a .npy of int64, N.")] = None,
    raw: _Raw = None,
    interpolate: Annotated[
        bool,
        typer.Option("--interpolate", help="A strip and a GIF instead; of a transfer between training images."),
    ] = False,
    codes: _Codes = None,
    frames: Annotated[int, typer.Option(help="Frames of the GIF from one latent to the next.", min=2, max=240)] = 24,
    reconstruct: _Reconstruct = False,
    training_gif: _TrainingGif = False,
    image_format: Annotated[str, typer.Option(help="Of single images: png, jpeg or webp (lossless).")] = "png",
    columns: Annotated[int | None, typer.Option(help="Columns of the grid; default: about as many as rows.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: samples/ of the run, else here, by step.")] = None,
    grid_only: Annotated[bool, typer.Option("--grid-only", help="Write the grid, not the single images.")] = False,
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best or a step.")] = "last",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make images with a generator: single files and a grid, an interpolation, reconstructions, or a raw array.

    Example: smallgan sample runs/00000-train --seeds 0-35
    """
    options = dict(locals())  # the fields of a Request, and --json
    del options["json_output"]
    import json

    from smallgan.api.runs import SampleFiles

    made = SampleFiles.of(**options)
    if json_output:
        typer.echo(json.dumps(made.values, indent=2))
        return
    for path in made.files[:2]:
        typer.echo(path)
    if made.error_text:
        typer.echo(made.error_text)
