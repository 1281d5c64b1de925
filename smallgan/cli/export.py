"""`smallgan export`."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[
        Path, typer.Argument(help="A run, one of its checkpoints, a pretrained BigGAN, or an exported generator.")
    ],
    format: Annotated[
        str,
        typer.Option(
            help="onnx: for onnxruntime (needs the extra [export]); safetensors: one file for smallgan; hub: a folder "
            "with that file, a model card and a picture, to upload to a model hub."
        ),
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option(help="File, or folder for hub; default: in export/ of the run, else of this place.")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best or a step.")] = "last",
    json_output: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Write a generator for use elsewhere. An ONNX file is compared with torch's images before it is kept.

    Example: smallgan export runs/00000-train --format onnx
    """
    import json

    from smallgan.api.exports import export as carry_out

    files = carry_out(model, format, out, checkpoint=checkpoint)
    typer.echo(json.dumps({"files": [str(file) for file in files]}, indent=2) if json_output else files[0])
