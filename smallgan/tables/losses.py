"""The table of adversarial losses."""

from __future__ import annotations

from dataclasses import dataclass

from augment.core.table import Table
from smallgan.tables.options import Options, only_named


@dataclass(frozen=True)
class LossRow:
    """What the two networks minimise, from raw scores."""

    name: str
    title: str
    build: str
    """(options) -> an AdversarialLoss of `smallgan.training.step`."""
    options: type[Options]
    generator_needs_reals: bool = False
    """Whether the generator's step scores the real batch too."""


_IN = "smallgan.training.losses"
LOSSES: Table[LossRow] = Table(
    "loss",
    [
        LossRow(
            "nonsaturating",
            "non-saturating cross-entropy",
            f"{_IN}.nonsaturating:Nonsaturating",
            only_named("nonsaturating", "Its generator's gradient does not vanish (Goodfellow et al. 2014)."),
        ),
        LossRow("hinge", "hinge", f"{_IN}.hinge:Hinge", only_named("hinge", "Lim and Ye 2017; Miyato et al. 2018.")),
        LossRow("lsgan", "least squares", f"{_IN}.lsgan:LSGAN", only_named("lsgan", "Mao et al. 2017.")),
        LossRow(
            "relativistic",
            "relativistic, paired",
            f"{_IN}.relativistic:Relativistic",
            only_named("relativistic", "Real k is compared with fake k (Jolicoeur-Martineau 2019)."),
            generator_needs_reals=True,
        ),
    ],
)
