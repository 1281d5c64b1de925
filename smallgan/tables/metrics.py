"""The table of metrics: one row each, with all that help, docs, scoring and report say of it. Torch- and numpy-free.

To add a metric, write its file in `smallgan.metrics` and a row here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from augment.core.suggest import instead
from augment.core.table import Table
from augment.errors import UsageError
from smallgan.tables.dotted import load
from smallgan.tables.plain_words import BLURRED, NOISY

MANY_IMAGES = 1000  # Per set, from which on the Inception Score and KMMD can be trusted
DEFAULTS_OF_FEW = ("kid", "kmmd", "copies")  # Computed unasked below that: unbiased; the studies' own; memorisation
Need = Literal["real", "augmented", "source", "training", "logits", "modes", "labels"]
NOT_OF_RECIPES: Mapping[str, str] = {
    **{"augmented": "augmented images", "source": "images of the source"},
    "labels": "a classifier, which adda trains",
}
"""Needs that keep a metric out of recipes, in words."""


@dataclass(frozen=True)
class MetricSpec:
    """A metric."""

    name: str
    """As in `--metrics`."""
    title: str
    """As in the label of a score."""
    better: Literal["lower", "higher"] | None
    """None: that depends on the question."""
    range: tuple[float, float]
    """Lowest and highest value that the definition allows."""
    headline_rank: int | None
    """The verdict of a report is by the metric with the lowest rank among those scored."""
    num_images: str
    """How many images per set it needs, for the table in docs/scores.md."""
    compute: str
    """Dotted path of the function from MetricInputs and MetricOptions to MetricResult (`smallgan.metrics.measure`).

    Its docstring says in docs/scores.md what the metric is; `checks_x` beside `measure_x` returns its self-checks."""
    needs: tuple[Need, ...] = ("real",)
    can_use_real: bool = False
    """Whether it looks at real images where there are any, though it does without."""
    is_default: bool = False
    """Whether `smallgan score` computes it unasked from `MANY_IMAGES` on, where what it needs is there."""
    least: tuple[int, int] = (1, 1)
    """Fewest fakes and reals that it can be computed of; unasked it is not computed of fewer."""
    selects_checkpoint: bool = False
    """Whether the best checkpoint of a run is the best by this metric."""
    has_baseline: bool = True
    """Whether real images in the place of the fakes tell the best value."""
    compares_with_training_set: bool = False
    """Whether a run is compared with the originals it was trained on, also where others are held out."""
    of_pixels: bool = False
    """Whether it looks at pixels alone: no network has a say in its value, its identity and its label."""
    options: tuple[str, ...] = ()
    """Options of scoring that it alone reads."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Names to show for the numbers that the value is made of; the report shows those that have one."""
    unsaid_parts: tuple[str, ...] = ()
    """Such numbers that only files and --json have: they help to check the value, not to read it."""
    title_elsewhere: str | None = None
    """Title under other networks than the published one, where `title` alone means the published score."""
    note: str | None = None
    """How to read it, below a table of scores."""

    @property
    def checks(self) -> str:
        """Dotted path of the function that returns its self-checks."""
        return self.compute.replace(":measure", ":checks")

    @property
    def asks_for(self) -> str:
        """What of its needs keeps it out of recipes, in words; "" for a metric that these may name."""
        return next((NOT_OF_RECIPES[need] for need in self.needs if need in NOT_OF_RECIPES), "")

    @property
    def uses_real(self) -> bool:
        """Whether features of real images must be extracted for it."""
        return "real" in self.needs or self.can_use_real

    @property
    def uses_training_set(self) -> bool:
        """Whether features of the images trained on must be extracted for it."""
        return self.compares_with_training_set or "training" in self.needs

    @property
    def range_text(self) -> str:
        """Range and direction in words: "0 to 1, higher is better"."""
        low, high = self.range
        where = f"{low:g} to {high:g}" if high < inf else f"{low:g} or more" if low > -inf else "any number"
        return f"{where}, {self.better} is better" if self.better else where


_SHARE, _POSITIVE, _ANY = (0.0, 1.0), (0.0, inf), (-inf, inf)
_IN = "smallgan.metrics"
_MODES = f"{_IN}.mode_coverage"
_RATES = f"{_IN}.memorisation.rates"
_KERNEL = ("bandwidth", "sigma")  # Width of the kernel, and its factor
METRICS: Table[MetricSpec] = Table(
    "metric",
    [
        MetricSpec(
            *("is", "Inception Score", None, (1.0, inf), 10, "1,000", f"{_IN}.inception_score:measure"),
            needs=("logits",),
            is_default=True,
            options=("splits",),
            parts={"h_y": "diversity H(y)", "h_y_given_x": "uncertainty H(y|x)"},
            title_elsewhere="IS",
            note="Inception Score: standard, higher is better; single class (the augmentation study's), lower is "
            "better. H(y) is the diversity of all images together (higher = more varied); H(y|x) is the uncertainty of "
            "single predictions, the conditional entropy (lower = more confident)",
        ),
        MetricSpec(
            *("kmmd", "KMMD", "lower", _POSITIVE, 1, "1,000", f"{_IN}.kmmd:measure"),
            is_default=True,
            selects_checkpoint=True,
            unsaid_parts=_KERNEL,
        ),
        MetricSpec(
            *("kmmd_u", "KMMD squared, unbiased", "lower", _ANY, 3, "2", f"{_IN}.kmmd:measure_unbiased"),
            unsaid_parts=_KERNEL,
        ),
        MetricSpec(
            *("mmd2_rbf_multi", "MMD2 (5 kernels)", "lower", _POSITIVE, 5, "1,000", f"{_IN}.rbf_multi:measure"),
            unsaid_parts=_KERNEL,
        ),
        MetricSpec(
            *("mmd2_rbf_multi_u", "MMD2 (5 kernels), unbiased", "lower", _ANY, 4, "2"),
            f"{_IN}.rbf_multi:measure_unbiased",
            unsaid_parts=_KERNEL,
        ),
        MetricSpec("kid", "KID", "lower", _ANY, 2, "2", f"{_IN}.kid:measure", least=(2, 2)),
        MetricSpec("fid", "FID", "lower", _POSITIVE, 6, "twice the features' width", f"{_IN}.fid:measure"),
        MetricSpec("precision", "precision", "higher", _SHARE, 8, "4", f"{_IN}.precision_recall:measure_precision"),
        MetricSpec("recall", "recall", "higher", _SHARE, 7, "4", f"{_IN}.precision_recall:measure_recall"),
        MetricSpec(
            *("nn", "nearest-real distance", None, _POSITIVE, None, "1", f"{_IN}.memorisation.nearest:measure"),
            compares_with_training_set=True,
        ),
        MetricSpec(
            *("copies", "copy rate", "lower", _SHARE, None, "3", f"{_RATES}:measure_copies"),
            least=(1, 3),
            compares_with_training_set=True,
            parts={"expected": "expected of new images"},
        ),
        MetricSpec(
            *("repeats", "repeat rate", "lower", _SHARE, None, "3", f"{_RATES}:measure_repeats"),
            compares_with_training_set=True,
            parts={"expected": "expected of new images"},
        ),
        MetricSpec(
            *("leak", "leak rate", "lower", _SHARE, None, "1", f"{_RATES}:measure_leak"),
            needs=("real", "augmented"),
            has_baseline=False,
            options=("augmented",),
        ),
        MetricSpec(
            *(
                "nearest_ratio",
                "nearest-image ratio",
                None,
                _POSITIVE,
                None,
                "25",
                f"{_IN}.memorisation.nearest_ratio:measure",
            ),
            needs=("real", "training"),
            has_baseline=False,
            note="nearest-image ratio: 1 for new images of the same source; below 0.8 fakes lean on training images, "
            "or are blurred: see sharpness",
        ),
        MetricSpec(
            *("sharpness", "sharpness", None, _POSITIVE, None, "1", f"{_IN}.sharpness:measure"),
            of_pixels=True,
            note=f"sharpness: 1 is as much fine detail as in the reals; below {BLURRED} looks blurred, above {NOISY} "
            "like noise or a pattern; a pattern over a blurred image gives anything between: look at the pictures",
        ),
        MetricSpec(
            *("intra", "intra-cluster diversity", "higher", _POSITIVE, None, "2 for each original"),
            f"{_IN}.intra_cluster:measure",
            least=(2, 2),
            compares_with_training_set=True,
            has_baseline=False,
            parts={"distance": "mean distance", "clusters": "clusters"},
            note="intra-cluster diversity: 0 for copies; noise raises it too, so read it beside KID",
        ),
        MetricSpec(
            *("domain", "target probability", None, _SHARE, None, "25", f"{_IN}.domain:measure"),
            needs=("real", "source"),
            has_baseline=False,
            options=("source",),
            parts={"accuracy": "accuracy of the classifier"},
        ),
        MetricSpec(
            *("target", "target-class share", "higher", _SHARE, 9, "1", f"{_IN}.target_class:measure"),
            needs=("logits",),
            can_use_real=True,
            has_baseline=False,
            options=("target",),
        ),
        MetricSpec(
            *("modes", "modes covered", "higher", _POSITIVE, 13, "some times the modes", f"{_MODES}:measure_modes"),
            needs=("modes",),
            least=(2, 1),
            unsaid_parts=("possible",),
        ),
        MetricSpec(
            *("good", "high-quality share", "higher", _SHARE, 14, "100", f"{_MODES}:measure_good"),
            needs=("modes",),
            least=(2, 1),
        ),
        MetricSpec(
            *("mode_kl", "reverse KL of modes", "lower", _POSITIVE, 12, "some times the modes"),
            f"{_MODES}:measure_kl",
            needs=("modes",),
            least=(2, 1),
        ),
        MetricSpec(
            *("w1", "Wasserstein-1", "lower", _POSITIVE, 11, "1,000", f"{_IN}.wasserstein:measure"), least=(2, 2)
        ),
        MetricSpec(
            *("accuracy", "target accuracy", "higher", _SHARE, 0, "100", f"{_IN}.accuracy:measure"),
            needs=("logits", "labels"),
            has_baseline=False,
            of_pixels=True,
            parts={"source_only": "source only"},
            unsaid_parts=("source_only_low", "source_only_high"),
            note="target accuracy: share of the labelled target images that the adapted classifier gets right; source "
            "only: by the classifier before it was adapted",
        ),
    ],
)


def check_metrics(names: Sequence[str]) -> None:
    """Raise UsageError unless every name is a metric and there is one."""
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        found = f"unknown metric {unknown[0]!r}{instead(unknown[0], METRICS.names)}" if unknown else "found none"
        raise UsageError(f"--metrics: {found}; for example --metrics is,kmmd")


def default_metrics(num_images: int, *, has_real: bool = True) -> tuple[str, ...]:
    """Return the metrics that are computed unasked, where the smaller of the two sets has so many images.

    Without reals those of many images, too: the ones for few compare with reals.
    """
    if has_real and num_images < MANY_IMAGES:
        return DEFAULTS_OF_FEW
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
    many = default_metrics(MANY_IMAGES)
    alone = [name for name in many if "real" not in METRICS[name].needs]
    return (
        f"Some of {', '.join(METRICS.names)}; default: {','.join(DEFAULTS_OF_FEW)} for fewer than {MANY_IMAGES:,} "
        f"images in a set, else {','.join(many)}; without reals {','.join(alone)}."
    )


def metrics_table() -> str:
    """Return the table of docs/scores.md as Markdown."""
    lines = ["| name | what it is | range | images per set, from |", "|---|---|---|---|"]
    for metric in METRICS:
        about = " ".join(load(metric.compute).__doc__.split())
        lines.append(f"| `{metric.name}` | {about} | {metric.range_text} | {metric.num_images} |")
    return "\n".join(lines)
