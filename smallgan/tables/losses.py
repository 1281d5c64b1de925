"""The table of adversarial losses."""

from dataclasses import dataclass
from typing import Literal

from augment.core.table import Table
from smallgan.tables.options import Options


class NonsaturatingOptions(Options):
    """Cross-entropy whose generator's gradient does not vanish (Goodfellow et al. 2014)."""

    name: Literal["nonsaturating"] = "nonsaturating"


class HingeOptions(Options):
    """Hinge (Lim and Ye 2017; Miyato et al. 2018)."""

    name: Literal["hinge"] = "hinge"


class LSGANOptions(Options):
    """Least squares (Mao et al. 2017)."""

    name: Literal["lsgan"] = "lsgan"


class RelativisticOptions(Options):
    """Relativistic paired loss (Jolicoeur-Martineau 2019)."""

    name: Literal["relativistic"] = "relativistic"


@dataclass(frozen=True)
class LossRow:
    """What the two networks minimise, from raw scores."""

    name: str
    title: str
    options: type[Options]
    build: str  # (options) -> an AdversarialLoss of `smallgan.training.step`
    generator_needs_reals: bool = False  # Whether the generator's step scores the real batch too
    boundary: float | None = 0.0  # Score between those that reals and fakes aim at; None: only differences count
    by_image: bool = False  # Whether both losses are means over the images, so that a batch may be taken in parts


_IN = "smallgan.training.losses"
LOSSES: Table[LossRow] = Table(
    "loss",
    [
        LossRow(
            "nonsaturating",
            "non-saturating cross-entropy",
            NonsaturatingOptions,
            f"{_IN}.nonsaturating:Nonsaturating",
            by_image=True,
        ),
        LossRow("hinge", "hinge", HingeOptions, f"{_IN}.hinge:Hinge", by_image=True),
        LossRow("lsgan", "least squares", LSGANOptions, f"{_IN}.lsgan:LSGAN", boundary=0.5, by_image=True),
        LossRow(
            "relativistic",
            "relativistic, paired",
            RelativisticOptions,
            f"{_IN}.relativistic:Relativistic",
            generator_needs_reals=True,
            boundary=None,
            by_image=True,
        ),
    ],
)
