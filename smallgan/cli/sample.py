"""`smallgan sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("sample")(sample)


def sample(
    model: Annotated[Path, typer.Argument(help="A run folder or one of its checkpoints.")],
    count: Annotated[int | None, typer.Option(help="Number of images of one seed; default 36.")] = None,
    seed: Annotated[int, typer.Option(help="The seed that --count and --interpolate draw from.")] = 0,
    seeds: Annotated[str | None, typer.Option(help="One image for each of these seeds, such as 0-35 or 1,4-6.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: samples/ of the run, by step.")] = None,
    checkpoint: Annotated[str, typer.Option(help="last, best or a step.")] = "last",
    grid_only: Annotated[bool, typer.Option("--grid-only", help="Write the grid, not the single images.")] = False,
    interpolate: Annotated[bool, typer.Option("--interpolate", help="A strip and a GIF instead.")] = False,
    frames: Annotated[int, typer.Option(help="Frames of the GIF from one latent to the next.", min=2, max=240)] = 24,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make images with a trained generator: single PNGs and a grid, or an interpolation strip and GIF.

    Example: smallgan sample runs/00000-train --seeds 0-35
    """
    import json

    from augment.errors import UsageError
    from smallgan.console import progress
    from smallgan.device import choose_device
    from smallgan.gallery import samples_folder, write_interpolation, write_samples
    from smallgan.generators import load_model
    from smallgan.sampling import addresses, parse_seeds

    if seeds is not None and count is not None:
        raise UsageError("--seeds and --count: give one; --seeds 0-35 is 36 seeds, --count 36 --seed 0 is one seed")
    if count is not None and count < 1:
        raise UsageError(f"--count {count}: needed at least 1")
    loaded = load_model(model, choose_device(device), checkpoint)
    default_count = 5 if interpolate else 36
    drawn = addresses(count or default_count, seed, parse_seeds(seeds) if seeds is not None else None)
    folder = out or samples_folder(loaded, drawn, "interpolation" if interpolate else "images")
    with progress("sampling", len(drawn)) as advance:
        if interpolate:
            result = write_interpolation(loaded, drawn, folder, frames)
        else:
            result = write_samples(loaded, drawn, folder, singles=not grid_only, advance=advance)
    if json_output:
        typer.echo(json.dumps(result, indent=2))
    else:
        for path in result["files"][:2]:
            typer.echo(path)
