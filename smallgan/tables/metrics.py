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


METRICS: Table[MetricSpec] = Table(
    "metric",
    [
        MetricSpec(
            name="is",
            title="Inception Score",
            title_elsewhere="IS",
            estimator="exp(H(y) - H(y|x)), mean over splits",
            about="Inception Score, above",
            num_images="1,000; below, compare at equal numbers",
            better=None,
            range=(1.0, inf),
            needs=("logits",),
            headline_rank=10,
            is_default=True,
            options=("splits",),
            parts={"h_y": "H(y)", "h_y_given_x": "H(y|x)"},
            note="Inception Score: standard, higher is better; single class (the augmentation study's), lower is "
            "better. H(y|x) is the conditional entropy (lower = more confident)",
            compute="smallgan.metrics.inception_score:measure",
            checks="smallgan.metrics.inception_score:checks",
        ),
        MetricSpec(
            name="kmmd",
            title="KMMD",
            estimator="A: Gaussian, biased, root; width from reals",
            about='KMMD, above (definition "A"); at most 1.414',
            num_images="1,000; biased upwards below, compare at equal numbers",
            better="lower",
            range=(0.0, inf),
            headline_rank=1,
            is_default=True,
            selects_checkpoint=True,
            compute="smallgan.metrics.kmmd:measure",
            checks="smallgan.metrics.kmmd:checks",
        ),
        MetricSpec(
            name="kmmd_u",
            title="KMMD squared, unbiased",
            estimator="A unbiased, no root; width from reals",
            about="its square without pairs of an image with itself, no root; around 0 for equal sources",
            num_images="2 per set; its mean does not depend on the number",
            better="lower",
            headline_rank=3,
            compute="smallgan.metrics.kmmd:measure_unbiased",
            checks="smallgan.metrics.kmmd:checks_unbiased",
        ),
        MetricSpec(
            name="mmd2_rbf_multi",
            title="MMD2 (5 kernels)",
            estimator="D: 5 Gaussians, biased; widths from both sets",
            about="sum of five Gaussians exp(-d^2 / (w s)), s = 1/4 to 4, w the mean squared distance of the pooled "
            'images; no root (definition "D" of the domain-adaptation codes); at most 10',
            num_images="1,000; biased upwards below",
            better="lower",
            range=(0.0, inf),
            headline_rank=5,
            compute="smallgan.metrics.rbf_multi:measure",
            checks="smallgan.metrics.rbf_multi:checks",
        ),
        MetricSpec(
            name="mmd2_rbf_multi_u",
            title="MMD2 (5 kernels), unbiased",
            estimator="D unbiased: 5 Gaussians; widths from both sets",
            about="the same, unbiased; around 0 for equal sources",
            num_images="2 per set",
            better="lower",
            headline_rank=4,
            compute="smallgan.metrics.rbf_multi:measure_unbiased",
            checks="smallgan.metrics.rbf_multi:checks_unbiased",
        ),
        MetricSpec(
            name="kid",
            title="KID",
            estimator="cubic kernel, unbiased, all pairs",
            about="Binkowski et al. 2018: k = (x.y / F + 1)^3, unbiased, all pairs; around 0 for equal sources",
            num_images="2 per set: the first choice for small sets",
            better="lower",
            headline_rank=2,
            compute="smallgan.metrics.kid:measure",
            checks="smallgan.metrics.kid:checks",
        ),
        MetricSpec(
            name="fid",
            title="FID",
            estimator="Gaussians, sample covariances",
            about="Heusel et al. 2017, sample covariances",
            num_images="twice the width of the features: 4,096 for Inception, 512 for the shipped network",
            better="lower",
            range=(0.0, inf),
            headline_rank=6,
            compute="smallgan.metrics.fid:measure",
            checks="smallgan.metrics.fid:checks",
        ),
        MetricSpec(
            name="precision",
            title="precision",
            estimator="k = 3 nearest reals",
            about="Kynkaanniemi et al. 2019, k = 3: share of fakes that lie among the reals",
            num_images="4 per set; 1,000 to mean much",
            better="higher",
            range=(0.0, 1.0),
            headline_rank=8,
            compute="smallgan.metrics.precision_recall:measure_precision",
            checks="smallgan.metrics.precision_recall:checks_precision",
        ),
        MetricSpec(
            name="recall",
            title="recall",
            estimator="k = 3 nearest fakes",
            about="likewise: share of reals that lie among the fakes",
            num_images="4 per set; 1,000 to mean much",
            better="higher",
            range=(0.0, 1.0),
            headline_rank=7,
            compute="smallgan.metrics.precision_recall:measure_recall",
            checks="smallgan.metrics.precision_recall:checks_recall",
        ),
        MetricSpec(
            name="nn",
            title="nearest-real distance",
            estimator="mean Euclidean distance to the nearest real",
            about="mean distance to the nearest real",
            num_images="1",
            better=None,
            range=(0.0, inf),
            compares_with_training_set=True,
            compute="smallgan.metrics.memorisation.nearest:measure",
            checks="smallgan.metrics.memorisation.nearest:checks",
        ),
        MetricSpec(
            name="copies",
            title="copy rate",
            estimator="nearer to a real than 1 % of reals are to each other",
            about="share of fakes that are copies of a real; `expected` for new images",
            num_images="3 different reals; 199 for their 1 % point",
            better="lower",
            range=(0.0, 1.0),
            compares_with_training_set=True,
            compute="smallgan.metrics.memorisation.rates:measure_copies",
            checks="smallgan.metrics.memorisation.rates:checks_copies",
        ),
        MetricSpec(
            name="repeats",
            title="repeat rate",
            estimator="nearer to a fake than 1 % of reals are to each other",
            about="share of fakes that repeat another fake; `expected` for new images",
            num_images="3 different reals; 199 for their 1 % point",
            better="lower",
            range=(0.0, 1.0),
            compares_with_training_set=True,
            compute="smallgan.metrics.memorisation.rates:measure_repeats",
            checks="smallgan.metrics.memorisation.rates:checks_repeats",
        ),
        MetricSpec(
            name="leak",
            title="leak rate",
            estimator="nearer to an augmented image than to any original",
            about="share of fakes nearer to an augmented than to any original image (`--augmented SET`)",
            num_images="equal numbers of both",
            better="lower",
            range=(0.0, 1.0),
            needs=("real", "augmented"),
            has_baseline=False,
            options=("augmented",),
            compute="smallgan.metrics.memorisation.rates:measure_leak",
            checks="smallgan.metrics.memorisation.rates:checks_leak",
        ),
        MetricSpec(
            name="target",
            title="target-class share",
            estimator="top class",
            about="share of fakes whose most probable class is the target or a neighbour (`--target 207,208`)",
            num_images="1",
            better="higher",
            range=(0.0, 1.0),
            needs=("logits",),
            can_use_real=True,
            headline_rank=9,
            has_baseline=False,
            options=("target",),
            compute="smallgan.metrics.target_class:measure",
            checks="smallgan.metrics.target_class:checks",
        ),
    ],
)


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


def selection_metric() -> MetricSpec:
    """Return the metric that selects the best checkpoint of a run."""
    return next(metric for metric in METRICS if metric.selects_checkpoint)


def metrics_help() -> str:
    """Return the help of `--metrics`."""
    names, defaults = ", ".join(METRICS.names), " and ".join(default_metrics())
    return f"Some of {names}; default: {defaults}, where there is what they need."


def metrics_table() -> str:
    """Return the table of docs/scores.md as Markdown."""
    lines = ["| name | what it is | range | how few images |", "|---|---|---|---|"]
    lines += [f"| `{metric.name}` | {metric.about} | {metric.range_text} | {metric.num_images} |" for metric in METRICS]
    return "\n".join(lines)
