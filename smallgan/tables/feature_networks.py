"""The table of feature networks: one row each, for the weights that a card of the same name in weights.yaml describes.

The card holds title, origin and hash. To add a network, write its module in `smallgan.metrics.features`, a card and a
row here. Torch-free.
"""

from dataclasses import dataclass

from augment.core.table import Table
from smallgan.core.weights import card


@dataclass(frozen=True)
class FeatureNetworkSpec:
    """A feature network."""

    name: str
    """As in `--features`, and of its card."""
    resize: str
    """Resize rule, as it stands in a score's identity."""
    num_features: int
    num_logits: int
    """0: no class predictions, so no Inception Score."""
    build: str
    """Dotted path of the function from tensors by name to a module that maps uint8 B x H x W x 3 to features B x F and
    logits B x K; it raises KeyError or RuntimeError when the tensors are those of another architecture."""


PUBLISHED = "inception-v3-tf2015"  # The network whose Inception Score may be called that without a further word
_NETS = "smallgan.metrics.features"
_TORCHVISION = f"{_NETS}.torchvision_nets"
_TF1 = "bilinear as TensorFlow 1, 299 px"
_299, _224, _64 = (f"bilinear with antialias, {size} px" for size in (299, 224, 64))
FEATURE_NETWORKS: Table[FeatureNetworkSpec] = Table(
    "feature network",
    [
        FeatureNetworkSpec(PUBLISHED, _TF1, 2048, 1008, f"{_NETS}.inception:TF2015Inception"),
        FeatureNetworkSpec("inception-v3", _299, 2048, 1000, f"{_TORCHVISION}:TorchvisionInception"),
        FeatureNetworkSpec("resnet50", _224, 2048, 1000, f"{_TORCHVISION}:ResNet50"),
        FeatureNetworkSpec("mobilenet_v2", _224, 1280, 1000, f"{_TORCHVISION}:MobileNetV2"),
        FeatureNetworkSpec("squeezenet1_1", _224, 512, 1000, f"{_TORCHVISION}:SqueezeNet"),
        FeatureNetworkSpec("squeezenet1_1-features", _224, 512, 0, f"{_TORCHVISION}:SqueezeNet"),
        FeatureNetworkSpec("smallgan-small64-v1", _64, 256, 129, f"{_NETS}.small:SmallFeatures"),
    ],
)


def networks_table() -> str:
    """Return the table of docs/features.md as Markdown."""
    lines = ["| `--features` | features | logits | resize | weights |", "|---|---|---|---|---|"]
    lines += [
        f"| `{net.name}` | {net.num_features} | {net.num_logits or 'none'} | {net.resize} | {card(net.name).about} |"
        for net in FEATURE_NETWORKS
    ]
    return "\n".join(lines)
