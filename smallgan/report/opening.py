"""The pictures at the top of the page: real images, and beside them what the runs generate, enlarged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from augment.errors import InputError
from smallgan.core.run_dir import RunDir
from smallgan.report.groups import Group
from smallgan.report.pictures import Picture, read_tiles
from smallgan.report.ranking import MetricRanking
from smallgan.report.runs import Run, readable, whole

MOST_RUNS = 3  # Beside the real images of a dataset; of more, the reference and the best
MOST_DATASETS = 5
_ROW_WIDTH = 1160  # Of the page, in pixels
_SCALE = 2  # Images are enlarged by this, where as many as a glance needs fit
_ROWS_FOR = {2: 3, 3: 2, 4: 3, 5: 3, 6: 4}  # Rows of images for so many columns: the words stay on the first screen
_DEFAULT_SIDE = 64  # Of an image, where a broken recipe does not say


@dataclass(frozen=True)
class Panel:
    """A grid at the top of the page."""

    picture: Picture
    run: int  # Number of the run that it is of
    group: int | None = None  # Number of its group, None for real images
    step: int = 0


@dataclass(frozen=True)
class Row:
    """The real images of one dataset first, then what the runs on it generate."""

    dataset: str
    panels: tuple[Panel, ...]


def opening_rows(
    runs: Sequence[Run],
    folders: Sequence[Path],
    groups: Sequence[Group],
    datasets: Sequence[str],
    rankings: Sequence[MetricRanking],
) -> tuple[Row, ...]:
    """Return the rows of pictures, one a dataset; a picture that cannot be read is left out, as it is named elsewhere.

    Args:
        runs, folders, datasets: of each run what was read, where, and the name of its dataset.
        groups: of the runs.
        rankings: by the headline metric, which say which groups are the best.
    """
    found = []
    for dataset, numbers in _chosen(runs, groups, datasets, rankings).items():
        firsts = [_with_grid(runs, groups[at])[0] for at in numbers]
        width = _ROW_WIDTH // (len(firsts) + 1)
        panels = []
        real = next((at for at in firsts if RunDir(folders[at]).reals.is_file()), None)
        if real is not None and (picture := _tiles(RunDir(folders[real]).reals, runs[real], width)):
            panels.append(Panel(picture, real))
        for group, run in zip(numbers, firsts, strict=True):
            step = runs[run].grid_steps[-1]
            if picture := _tiles(RunDir(folders[run]).fakes(step), runs[run], width):
                panels.append(Panel(picture, run, group, step))
        if panels:
            found.append(Row(dataset, tuple(panels)))
    return tuple(found)


def _chosen(
    runs: Sequence[Run], groups: Sequence[Group], datasets: Sequence[str], rankings: Sequence[MetricRanking]
) -> Mapping[str, list[int]]:
    """Return for each dataset the numbers of the groups at the top: all of a few, else the reference and the best."""
    chosen: dict[str, list[int]] = {}
    best = [at for ranking in rankings for at in ranking.order]
    for dataset in list(dict.fromkeys(datasets))[:MOST_DATASETS]:
        here = [at for at, group in enumerate(groups) if datasets[group.runs[0]] == dataset]
        shown = [at for at in here if _with_grid(runs, groups[at])]
        reference = [at for at in shown if groups[at].is_reference]
        order = [at for at in dict.fromkeys([*reference, *best, *shown]) if at in shown]
        if order:
            chosen[dataset] = sorted(order[: MOST_RUNS if len(order) <= MOST_RUNS else MOST_RUNS - 1])
    return chosen


def _with_grid(runs: Sequence[Run], group: Group) -> list[int]:
    return [number for number in group.runs if runs[number].grid_steps]


def _tiles(path: Path, run: Run, width: int) -> Picture | None:
    side = whole(run.recipe.get("data.size")) or whole(run.data.get("size")) or _DEFAULT_SIDE
    least = 2 if width < 350 else 3
    columns = max(least, min(max(_ROWS_FOR), width // (_SCALE * max(side, 1))))
    try:
        with readable(path):
            return read_tiles(path, max(side, 1), columns, _ROWS_FOR[columns])
    except InputError:
        return None
