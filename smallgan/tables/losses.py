"""The table of adversarial losses."""

from dataclasses import dataclass
from typing import Literal

from augment.core.table import Table
from smallgan.tables.options import Options


class NonsaturatingOptions(Options):
    """Cross-entropy whose generator's gradient does not vanish (Goodfellow et al. 2014)."""

    name: Literal["nonsaturating"] = "nonsaturating"


class MinimaxOptions(Options):
    """Cross-entropy as a game for one value (Goodfellow et al. 2014, equation 1): to see its gradient vanish."""

    name: Literal["minimax"] = "minimax"


class HingeOptions(Options):
    """Hinge (Lim and Ye 2017; Miyato et al. 2018)."""

    name: Literal["hinge"] = "hinge"


class LSGANOptions(Options):
    """Least squares (Mao et al. 2017)."""

    name: Literal["lsgan"] = "lsgan"


class RelativisticOptions(Options):
    """Relativistic paired loss (Jolicoeur-Martineau 2019)."""

    name: Literal["relativistic"] = "relativistic"


class RelativisticAverageOptions(Options):
    """Relativistic average loss (Jolicoeur-Martineau 2019): each score against the mean score of the other kind."""

    name: Literal["relativistic_average"] = "relativistic_average"
    form: Literal["cross_entropy", "least_squares", "hinge"] = "cross_entropy"
    """What is made of the differences: RaGAN, RaLSGAN or RaHinge."""


class WassersteinOptions(Options):
    """Difference of mean scores (Arjovsky et al. 2017). Bound the discriminator by gradient_penalty or weight_clip."""

    name: Literal["wasserstein"] = "wasserstein"


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
    over_ranks: bool = False  # Whether it is right over several GPUs too where it is no mean (`core.distributed`)


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
        LossRow("minimax", "minimax (saturating)", MinimaxOptions, f"{_IN}.minimax:Minimax", by_image=True),
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
        LossRow(
            "relativistic_average",
            "relativistic, average",
            RelativisticAverageOptions,
            f"{_IN}.relativistic_average:RelativisticAverage",
            generator_needs_reals=True,
            boundary=None,
        ),
        LossRow(
            "wasserstein",
            "Wasserstein",
            WassersteinOptions,
            f"{_IN}.wasserstein:Wasserstein",
            boundary=None,
            by_image=True,
        ),
    ],
)
