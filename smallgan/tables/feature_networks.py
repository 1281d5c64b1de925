"""The table of feature networks: one row each. Torch-free.

Title, origin and hash of the weights stand in their card in weights.yaml. To add a network, write its module in
`smallgan.metrics.features`, a card where it has weights, and a row here.
"""

from dataclasses import dataclass
from typing import Any

from augment.core.table import Table
from smallgan.core.weights import Card, card
from smallgan.tables.data_sources import DATA_SOURCES, MIXTURES


@dataclass(frozen=True)
class FeatureNetworkSpec:
    """A feature network."""

    name: str
    """As in `--features`."""
    resize: str
    """Resize rule, as it stands in a score's identity."""
    num_features: int
    num_logits: int
    """0: no class predictions, so no Inception Score."""
    build: str
    """Dotted path of the function from tensors by name to a module that maps uint8 B x H x W x 3 to features B x F and
    logits B x K; it raises KeyError or RuntimeError when the tensors are those of another architecture."""
    weights: str | None = ""
    """Name of the card of its weights; "": the network's own name; None: it has no weights."""
    title: str = ""
    """Its name in a score's label; "": the title of the card."""
    given: Any = None
    """What the builder gets in the place of tensors, where there are no weights."""
    reads_points: bool = False
    """Whether it reads points in the plane, float32 B x 1 x 1 x 2, not images."""
    reads_modes: bool = False
    """Whether its logits tell the modes of a distribution (`smallgan.metrics.mode_coverage`)."""
    about: str = ""
    """What it is, for the table of the docs; "": what the card says."""

    @property
    def card(self) -> Card | None:
        """Card of its weights; None where it has none."""
        return None if self.weights is None else card(self.weights or self.name)

    @property
    def trained_on(self) -> str:
        """Images that its weights were made from: networks of the same images are related judges."""
        return self.card.trained_on if self.card else ""

    @property
    def label(self) -> str:
        """Its name in a score's label."""
        return self.title or (self.card.title if self.card else self.name)


PANEL_NAME = "panel"  # In the place of a network's name: the networks of PANEL whose weights are on the machine
PANEL = ("smallgan-small64-v1", "squeezenet1_1-64", "pixels8")  # No two were made from the same images
PUBLISHED = "inception-v3-tf2015"  # The network whose Inception Score may be called that without a further word
_NETS = "smallgan.metrics.features"
_TORCHVISION = f"{_NETS}.torchvision_nets"
_TF1 = "bilinear as TensorFlow 1, 299 px"
_299, _224, _64, _32, _8 = (f"bilinear with antialias, {size} px" for size in (299, 224, 64, 32, 8))
FEATURE_NETWORKS: Table[FeatureNetworkSpec] = Table(
    "feature network",
    [
        FeatureNetworkSpec(PUBLISHED, _TF1, 2048, 1008, f"{_NETS}.inception:TF2015Inception"),
        FeatureNetworkSpec("inception-v3", _299, 2048, 1000, f"{_TORCHVISION}:TorchvisionInception"),
        FeatureNetworkSpec("resnet50", _224, 2048, 1000, f"{_TORCHVISION}:ResNet50"),
        FeatureNetworkSpec("mobilenet_v2", _224, 1280, 1000, f"{_TORCHVISION}:MobileNetV2"),
        FeatureNetworkSpec("squeezenet1_1", _224, 512, 1000, f"{_TORCHVISION}:SqueezeNet"),
        FeatureNetworkSpec("squeezenet1_1-features", _224, 512, 0, f"{_TORCHVISION}:SqueezeNet"),
        FeatureNetworkSpec(
            "squeezenet1_1-64",
            _64,
            512,
            0,
            f"{_TORCHVISION}:SqueezeNet64",
            weights="squeezenet1_1-features",
            title="SqueezeNet 1.1 at 64 px",
            about="The same weights at 64 px, for images of 32 to 64 px, which gain nothing from 224",
        ),
        FeatureNetworkSpec("smallgan-small64-v1", _64, 256, 129, f"{_NETS}.small:SmallFeatures"),
        FeatureNetworkSpec(
            "pixels8",
            _8,
            192,
            0,
            f"{_NETS}.pixels:Pixels8",
            weights=None,
            title="8 x 8 pixels",
            about="No network and no weights: colours and coarse layout, which no training can flatter",
        ),
        FeatureNetworkSpec("stacked-digits", _32, 192, 1000, f"{_NETS}.digits:StackedDigits", reads_modes=True),
        *(
            FeatureNetworkSpec(
                *(name, "none", 2, len(mixture.centers), f"{_NETS}.modes:NearGaussians"),
                weights=None,
                title=name,
                given=mixture,
                reads_points=True,
                reads_modes=True,
                about=f"No network: coordinates, and distances to {DATA_SOURCES[name].title}",
            )
            for name, mixture in MIXTURES.items()
        ),
    ],
)


def networks_table() -> str:
    """Return the table of docs/features.md as Markdown."""
    lines = ["| `--features` | features | logits | resize | weights |", "|---|---|---|---|---|"]
    lines += [
        f"| `{net.name}` | {net.num_features} | {net.num_logits or 'none'} | {net.resize} "
        f"| {net.about or (net.card.about if net.card else '')} |"
        for net in FEATURE_NETWORKS
    ]
    return "\n".join(lines)
