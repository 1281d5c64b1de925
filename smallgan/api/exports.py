"""Generators for use elsewhere: `smallgan export`."""

from __future__ import annotations

from pathlib import Path

from smallgan.api.paths import StrPath, as_path


def export(model: StrPath, format: str = "onnx", out: StrPath | None = None, *, checkpoint: str = "last") -> list[Path]:
    """Write a generator for use elsewhere, as `smallgan export` does, and return the files, the one to name first.

    Args:
        model: a run, one of its checkpoints, a pretrained BigGAN, or what was exported before.
        format: onnx: for onnxruntime and other programs, with the extra [export]; safetensors: one file, which `load`
            takes; hub: a folder with that file, a model card and a picture, to be uploaded to a model hub.
        out: the file, or for hub the folder, new or empty; None: in export/ of the run, or of this place.
        checkpoint: of a run: last, best or a step.

    Raises UsageError, InputError, MissingError (a package of the extra), OutputError, and FailedError where onnxruntime
    does not make the same images to 1e-4.
    """
    from smallgan.core.device import choose_device
    from smallgan.sampling.export import export as write
    from smallgan.sampling.loading import load_and_say_notes

    return write(load_and_say_notes(Path(model), choose_device("cpu"), checkpoint), format, as_path(out))
