"""smallgan: augment a small image set, train a GAN on it, and score the result honestly.

    import smallgan as sg

    run = sg.train("photos", size=64, steps=5000)
    run.sample(36)
    run.score()
    run.report()

The names are imported when they are first used, torch with them. docs/python.md tells more.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smallgan.core.version import __version__

if TYPE_CHECKING:
    from augment.errors import SmallganError
    from smallgan.api.datasets import Dataset, build_dataset
    from smallgan.api.exports import export
    from smallgan.api.inspection import Inspection, inspect
    from smallgan.api.reports import Report, write_report
    from smallgan.api.runs import Generator, Run, Samples, load
    from smallgan.api.scores import Scores, score
    from smallgan.api.studies import Study, run_study
    from smallgan.api.training import train

_HOMES = {
    "smallgan.api.training": ("train",),
    "smallgan.api.datasets": ("Dataset", "build_dataset"),
    "smallgan.api.inspection": ("Inspection", "inspect"),
    "smallgan.api.runs": ("Generator", "Run", "Samples", "load"),
    "smallgan.api.scores": ("Scores", "score"),
    "smallgan.api.exports": ("export",),
    "smallgan.api.reports": ("Report", "write_report"),
    "smallgan.api.studies": ("Study", "run_study"),
    "augment.errors": ("SmallganError",),
}
"""The public names by the module that defines them."""

__all__ = [
    "Dataset",
    "Generator",
    "Inspection",
    "Report",
    "Run",
    "Samples",
    "Scores",
    "SmallganError",
    "Study",
    "__version__",
    "build_dataset",
    "export",
    "inspect",
    "load",
    "run_study",
    "score",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return globals().setdefault(name, getattr(import_module(home), name))
    raise AttributeError(f"module 'smallgan' has no attribute {name!r}; public are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
