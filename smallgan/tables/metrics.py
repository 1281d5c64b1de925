"""The table of metrics: one row each, with all that help, docs, scoring and report say of it. Torch- and numpy-free.

To add a metric, write its file in `smallgan.metrics` and a row here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from augment.core.table import Table
from augment.errors import UsageError

Need = Literal["real", "augmented", "logits"]


@dataclass(frozen=True)
class MetricSpec:
    """A metric."""

    name: str
    """As in `--metrics`."""
    title: str
    """As in the label of a score."""
    estimator: str
    """Names the definition in a score's identity."""
    about: str
    """What it is, for the table in docs/scores.md."""
    num_images: str
    """How many images it needs, for the same table."""
    better: Literal["lower", "higher"] | None
    """None: that depends on the question."""
    compute: str
    """Dotted path of the function from MetricInputs and MetricOptions to MetricResult (`smallgan.metrics.measure`)."""
    checks: str | None = None
    """Dotted path of the function that returns its cases for `smallgan score --check`."""
    range: tuple[float, float] = (-inf, inf)
    """Lowest and highest value that the definition allows."""
    needs: tuple[Need, ...] = ("real",)
    can_use_real: bool = False
    """Whether it looks at real images where there are any, though it does without."""
    headline_rank: int | None = None
    """The verdict of a report is by the metric with the lowest rank among those scored."""
    is_default: bool = False
    """Whether `smallgan score` computes it unasked, where what it needs is there."""
    selects_checkpoint: bool = False
    """Whether the best checkpoint of a run is the best by this metric."""
    has_baseline: bool = True
    """Whether real images in the place of the fakes tell the best value."""
    compares_with_training_set: bool = False
    """Whether a run is compared with the originals it was trained on, also where others are held out."""
    options: tuple[str, ...] = ()
    """Options of scoring that it alone reads."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Names to show for the numbers that the value is made of, where they differ from those in a score."""
    title_elsewhere: str | None = None
    """Title under other networks than the published one, where `title` alone means the published score."""
    note: str | None = None
    """How to read it, below a table of scores."""

    @property
    def uses_real(self) -> bool:
        """Whether features of real images must be extracted for it."""
        return "real" in self.needs or self.can_use_real

    @property
    def range_text(self) -> str:
        """Range and direction in words: "0 to 1, higher is better"."""
        low, high = self.range
        where = f"{low:g} to {high:g}" if high < inf else f"{low:g} or more" if low > -inf else "any number"
        return f"{where}, {self.better} is better" if self.better else where


_SHARE = (0.0, 1.0)
_IN = "smallgan.metrics"
# fmt: off
METRICS: Table[MetricSpec] = Table("metric", [
    MetricSpec(
        "is", "Inception Score", "exp(H(y) - H(y|x)), mean over splits",
        "Inception Score, above", "1,000; below, compare at equal numbers", None,
        f"{_IN}.inception_score:measure", f"{_IN}.inception_score:checks",
        range=(1.0, inf), needs=("logits",), headline_rank=10, is_default=True, options=("splits",),
        parts={"h_y": "H(y)", "h_y_given_x": "H(y|x)"}, title_elsewhere="IS",
        note="Inception Score: standard, higher is better; single class (the augmentation study's), lower is better. "
        "H(y|x) is the conditional entropy (lower = more confident)",
    ),
    MetricSpec(
        "kmmd", "KMMD", "A: Gaussian, biased, root; width from reals",
        'KMMD, above (definition "A"); at most 1.414', "1,000; biased upwards below, compare at equal numbers", "lower",
        f"{_IN}.kmmd:measure", f"{_IN}.kmmd:checks",
        range=(0.0, inf), headline_rank=1, is_default=True, selects_checkpoint=True,
    ),
    MetricSpec(
        "kmmd_u", "KMMD squared, unbiased", "A unbiased, no root; width from reals",
        "its square without pairs of an image with itself, no root; around 0 for equal sources",
        "2 per set; its mean does not depend on the number", "lower",
        f"{_IN}.kmmd:measure_unbiased", f"{_IN}.kmmd:checks_unbiased", headline_rank=3,
    ),
    MetricSpec(
        "mmd2_rbf_multi", "MMD2 (5 kernels)", "D: 5 Gaussians, biased; widths from both sets",
        "sum of five Gaussians exp(-d^2 / (w s)), s = 1/4 to 4, w the mean squared distance of the pooled images; no "
        'root (definition "D" of the domain-adaptation codes); at most 10', "1,000; biased upwards below", "lower",
        f"{_IN}.rbf_multi:measure", f"{_IN}.rbf_multi:checks", range=(0.0, inf), headline_rank=5,
    ),
    MetricSpec(
        "mmd2_rbf_multi_u", "MMD2 (5 kernels), unbiased", "D unbiased: 5 Gaussians; widths from both sets",
        "the same, unbiased; around 0 for equal sources", "2 per set", "lower",
        f"{_IN}.rbf_multi:measure_unbiased", f"{_IN}.rbf_multi:checks_unbiased", headline_rank=4,
    ),
    MetricSpec(
        "kid", "KID", "cubic kernel, unbiased, all pairs",
        "Binkowski et al. 2018: k = (x.y / F + 1)^3, unbiased, all pairs; around 0 for equal sources",
        "2 per set: the first choice for small sets", "lower",
        f"{_IN}.kid:measure", f"{_IN}.kid:checks", headline_rank=2,
    ),
    MetricSpec(
        "fid", "FID", "Gaussians, sample covariances", "Heusel et al. 2017, sample covariances",
        "twice the width of the features: 4,096 for Inception, 512 for the shipped network", "lower",
        f"{_IN}.fid:measure", f"{_IN}.fid:checks", range=(0.0, inf), headline_rank=6,
    ),
    MetricSpec(
        "precision", "precision", "k = 3 nearest reals",
        "Kynkaanniemi et al. 2019, k = 3: share of fakes that lie among the reals",
        "4 per set; 1,000 to mean much", "higher", f"{_IN}.precision_recall:measure_precision",
        f"{_IN}.precision_recall:checks_precision", range=_SHARE, headline_rank=8,
    ),
    MetricSpec(
        "recall", "recall", "k = 3 nearest fakes", "likewise: share of reals that lie among the fakes",
        "4 per set; 1,000 to mean much", "higher", f"{_IN}.precision_recall:measure_recall",
        f"{_IN}.precision_recall:checks_recall", range=_SHARE, headline_rank=7,
    ),
    MetricSpec(
        "nn", "nearest-real distance", "mean Euclidean distance to the nearest real",
        "mean distance to the nearest real", "1", None,
        f"{_IN}.memorisation.nearest:measure", f"{_IN}.memorisation.nearest:checks",
        range=(0.0, inf), compares_with_training_set=True,
    ),
    MetricSpec(
        "copies", "copy rate", "nearer to a real than 1 % of reals are to each other",
        "share of fakes that are copies of a real; `expected` for new images",
        "3 different reals; 199 for their 1 % point", "lower", f"{_IN}.memorisation.rates:measure_copies",
        f"{_IN}.memorisation.rates:checks_copies", range=_SHARE, compares_with_training_set=True,
    ),
    MetricSpec(
        "repeats", "repeat rate", "nearer to a fake than 1 % of reals are to each other",
        "share of fakes that repeat another fake; `expected` for new images",
        "3 different reals; 199 for their 1 % point", "lower", f"{_IN}.memorisation.rates:measure_repeats",
        f"{_IN}.memorisation.rates:checks_repeats", range=_SHARE, compares_with_training_set=True,
    ),
    MetricSpec(
        "leak", "leak rate", "nearer to an augmented image than to any original",
        "share of fakes nearer to an augmented than to any original image (`--augmented SET`)",
        "equal numbers of both", "lower", f"{_IN}.memorisation.rates:measure_leak",
        f"{_IN}.memorisation.rates:checks_leak",
        range=_SHARE, needs=("real", "augmented"), has_baseline=False, options=("augmented",),
    ),
    MetricSpec(
        "target", "target-class share", "top class",
        "share of fakes whose most probable class is the target or a neighbour (`--target 207,208`)", "1", "higher",
        f"{_IN}.target_class:measure", f"{_IN}.target_class:checks", range=_SHARE, needs=("logits",),
        can_use_real=True, headline_rank=9, has_baseline=False, options=("target",),
    ),
])
# fmt: on


def check_metrics(names: Sequence[str]) -> None:
    """Raise UsageError unless every name is a metric and there is one."""
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        found = ", ".join(unknown) or "none"
        raise UsageError(
            f"--metrics: found {found}, needed some of {', '.join(METRICS.names)}; for example --metrics is,kmmd"
        )


def default_metrics() -> tuple[str, ...]:
    """Return the metrics that are computed unasked."""
    return tuple(metric.name for metric in METRICS if metric.is_default)


def headline_metrics() -> tuple[str, ...]:
    """Return the metrics that a verdict may be by, the first choice first."""
    ranked = [(metric.headline_rank, metric.name) for metric in METRICS if metric.headline_rank is not None]
    return tuple(name for _, name in sorted(ranked))


def readers_of(option: str) -> tuple[str, ...]:
    """Return the metrics that read an option of scoring; () for one that all read, or none."""
    return tuple(metric.name for metric in METRICS if option in metric.options)


def selection_metric() -> MetricSpec:
    """Return the metric that selects the best checkpoint of a run."""
    return next(metric for metric in METRICS if metric.selects_checkpoint)


def metrics_help() -> str:
    """Return the help of `--metrics`."""
    always = [name for name in default_metrics() if "real" not in METRICS[name].needs]
    with_reals = [name for name in default_metrics() if "real" in METRICS[name].needs]
    return (
        f"Some of {', '.join(METRICS.names)}; default: {', '.join(always)}, and where there are reals "
        f"{', '.join(with_reals)}."
    )


def metrics_table() -> str:
    """Return the table of docs/scores.md as Markdown."""
    lines = ["| name | what it is | range | how few images |", "|---|---|---|---|"]
    lines += [f"| `{metric.name}` | {metric.about} | {metric.range_text} | {metric.num_images} |" for metric in METRICS]
    return "\n".join(lines)
