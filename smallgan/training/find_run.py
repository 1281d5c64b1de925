"""Which run a recipe goes on with, and what must not have changed since it began."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augment.errors import InputError, UsageError
from smallgan.core.checkpoint import last_whole, read_state
from smallgan.core.run_dir import RunDir, another, check_out, next_run, numbered_runs, read_record
from smallgan.sampling.pretrained import PretrainedSource, checkpoint_of, find_pretrained
from smallgan.tables.recipe import Recipe, differences, read_recipe

_FREE = ("train.steps", "sample.", "report.")
"""What may differ: more steps go on with a run, and what is drawn of it changes nothing in it."""
_MIXED = ("added_fingerprint", "labels_fingerprint")
"""Keys of data.json about what the fingerprint of the originals leaves out."""
_IMAGES = ("data.source", "method.target", "method.target_test")
_PATHS = (*_IMAGES, "augment.generator", "method.pretrained", "train.init")
"""Paths, which may be written in another way; the images themselves are compared by fingerprint."""


def find_run(recipe: Recipe, summary: Mapping[str, Any], root: Path, out: Path | None, *, new: bool) -> RunDir:
    """Return the run to go on with, finished or not, or a fresh one that is not there yet.

    Args:
        recipe: as the user gave it; a run with fewer steps than it asks for is unfinished.
        summary: of its images, as data.json holds it.
        root: folder of the numbered runs.
        out: the run folder, where the user named one.
        new: always a fresh one.

    Raises UsageError when `out` holds a run of another recipe, or other files.
    """
    if out is not None:
        run = RunDir(out)
        check_out(out, "run", exists=run.exists(), new=new, ours=(".lock",), changes=lambda: _changes(recipe, run))
        return run
    for run in [] if new else reversed(numbered_runs(root)):
        if run.exists() and _is_same(recipe, summary, run):
            return run
    return next_run(root, recipe.name)


def refuse_other_data(run: RunDir, summary: Mapping[str, Any]) -> None:
    """Raise UsageError when a run began with other images."""
    before = read_record(run.data)
    if before is None:
        return
    parts = ("holdout", "selection", "target", "target_test")
    for key in ("num_images", "num_real", "fingerprint", *_MIXED, "custom_transforms", *parts):
        then, now = (_mark(each.get(key)) for each in (before, summary))
        if then != now:
            raise UsageError(
                f"{run.path}: the images are not those that this run began with: {key} was {then}, is {now}; restore "
                f"them, or {another()}"
            )


def source_as_begun(run: RunDir, source: PretrainedSource | None) -> PretrainedSource | None:
    """Return the source with the weights that a run began from, where these are another checkpoint of the same run."""
    before = _begun_from(run) if source else None
    if source is None or before in (None, source.pretrained.sha256):
        return source
    file = checkpoint_of(source.pretrained.path, before)
    return source if file is None else find_pretrained(file)


def refuse_other_generator(run: RunDir, source: PretrainedSource | None) -> None:
    """Raise UsageError when a run began from another pretrained file, or from another checkpoint of a run."""
    before = _begun_from(run) if source else None
    if source is not None and before not in (None, source.pretrained.sha256):
        raise UsageError(
            f"{source.pretrained.path}: not the file that {run.path} began with (sha256 was {before[:16]}, is "
            f"{source.pretrained.sha256[:16]}); put that file back, or {another()}"
        )


def perceptual_as_begun(run: RunDir, recipe: Recipe) -> Recipe:
    """Return the recipe with the perceptual network of the run, where the recipe leaves it to what is here (auto).

    So a run goes on with its loss, though weights of a network that comes first have come to this machine since.
    """
    if getattr(recipe.method, "perceptual", None) != "auto":
        return recipe
    record = _begun(run).get("perceptual")
    if record is None:
        return recipe
    return recipe.model_copy(update={"method": recipe.method.model_copy(update={"perceptual": record["name"]})})


def refuse_other_perceptual(run: RunDir, record: Mapping[str, Any] | None) -> None:
    """Raise UsageError when the weights of the perceptual network are not those that a run began with."""
    before = _begun(run).get("perceptual") if record else None
    if record and before not in (None, record):
        then, now = (f"{each['weights']}, sha256 {each['weights_sha256'][:16]}" for each in (before, record))
        raise UsageError(
            f"{run.path}: the perceptual network of its loss was {then}, and is {now}; put those weights back, or "
            f"{another()}"
        )


def _begun(run: RunDir) -> dict[str, Any]:
    """Return the state of the newest whole checkpoint of a run, {} where it has none."""
    step = last_whole(run)[0]
    return read_state(run.checkpoint(step)) if step else {}


def _begun_from(run: RunDir) -> str | None:
    """Return the hash of the pretrained file that a run began from; None where it has no checkpoint or no such file."""
    found: dict[str, Any] = _begun(run).get("pretrained", {})
    return found.get("sha256")


def _is_same(recipe: Recipe, summary: Mapping[str, Any], run: RunDir) -> bool:
    try:
        before = read_record(run.data) or {}
        # The fingerprint is of the originals alone, which several mixed datasets may share
        alike = all(before.get(key) == summary.get(key) for key in ("fingerprint", "num_images", *_MIXED))
        return alike and not _changes(recipe, run)
    except (InputError, UsageError):  # a run of another version, say: no run to go on with
        return False


def _changes(recipe: Recipe, run: RunDir) -> dict[str, tuple[Any, Any]]:
    changed = differences(read_recipe(run.recipe), recipe)
    return {
        path: values
        for path, values in changed.items()
        if not path.startswith(_FREE) and not (path in _PATHS and _same_path(path, *values))
    }


def _same_path(key: str, then: str | None, now: str | None) -> bool:
    """Tell whether two paths may be the same thing: images are compared afterwards, by their fingerprint."""
    if then is None or now is None:
        return False
    return key in _IMAGES or Path(then).resolve() == Path(now).resolve()


def _mark(value: Any) -> Any:
    """Return what tells one value of data.json from another: of images, their fingerprint."""
    return value["fingerprint"] if isinstance(value, Mapping) and "fingerprint" in value else value
