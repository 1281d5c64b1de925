"""The table of data sources that are not folders: sets that are drawn, one row each. Torch- and numpy-free.

`data.source` names one: "ring", or of a row that reads a file "stacked-mnist:FILE". A folder of that name is "./ring".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import cos, pi, sin
from typing import Any

from augment.core.table import Table


@dataclass(frozen=True)
class Mixture:
    """Equally likely Gaussians in the plane, all with the same standard deviation in both directions."""

    centers: tuple[tuple[float, float], ...]
    std: float
    num_points: int  # Of the training set, as many of each Gaussian as can be


@dataclass(frozen=True)
class DataSource:
    """A set that is drawn."""

    name: str
    title: str
    """What it is, as it follows "is"."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Dotted recipe keys and their defaults for this source, where they differ from the sections' and the model's."""
    mixture: Mixture | None = None
    """Of a set of points in the plane; None: it is a set of images."""
    make: str = ""
    """Of a set of images, (file or "") -> path of an array file with them; made where it is not there."""

    @property
    def is_points(self) -> bool:
        """Whether its examples are points: float32 rows of two coordinates, images of 1 px with two channels."""
        return self.mixture is not None


GRID = tuple((float(x), float(y)) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4))
MIXTURES = {
    "ring": Mixture(tuple((cos(pi * at / 4), sin(pi * at / 4)) for at in range(8)), 0.01, 100_000),
    "grid": Mixture(GRID, 0.05, 100_000),
    "grid:bourgan": Mixture(GRID, 0.1, 1250),
}
"""The first two as in the PacGAN paper (Lin et al. 2018); the last as in BourGAN's (Xiao et al. 2018)."""
NUM_HELD_OUT = 2500  # Points that are not trained on, and that scores compare with
MODE_METRICS = ("modes", "good", "mode_kl", "w1")


def _of_points(name: str, title: str) -> DataSource:
    defaults = {
        "data.size": 1,
        "model.name": "mlp",
        "score.metrics": MODE_METRICS,
        "score.features": name,
        "score.num_fake": 2500,
        "sample.count": 0,
        "sample.interpolate": 0,
    }
    return DataSource(name, title, defaults, MIXTURES[name])


DATA_SOURCES: Table[DataSource] = Table(
    "data source",
    [
        _of_points("ring", "8 Gaussians on a circle of radius 1, standard deviation 0.01"),
        _of_points("grid", "5 x 5 Gaussians, 2 apart, standard deviation 0.05"),
        _of_points("grid:bourgan", "5 x 5 Gaussians, 2 apart, standard deviation 0.1"),
        DataSource(
            "stacked-mnist",
            "three random digits as the channels of an image; stacked-mnist:mnist.npz names the digits",
            {"data.size": 32},
            make="smallgan.data.stacked_mnist:make",
        ),
    ],
)


def find_source(text: Any) -> DataSource | None:
    """Return the row that a value of `data.source` names, None for a path and for None."""
    if not isinstance(text, str):
        return None
    name = text.partition(":")[0]
    reads_file = name in DATA_SOURCES and DATA_SOURCES[name].make
    return DATA_SOURCES[name if reads_file else text] if reads_file or text in DATA_SOURCES else None
