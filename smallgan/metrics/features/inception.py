"""The Inception v3 of the published scores."""

import io

import torch
from torch import Tensor, nn

from smallgan.metrics.features.inference import Tensors


class TF2015Inception(nn.Module):
    """The Inception of the published scores, by torch-fidelity: 2048 pooled features, 1008 logits without their bias.

    torch-fidelity takes those logits ("logits_unbiased") for its Inception Score, as the original TensorFlow code did.
    It resizes as TensorFlow 1 does. Its constructor unpickles what it is given, so it is given bytes that we wrote
    ourselves from tensors read safely.
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        buffer.seek(0)
        self.net = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=buffer
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 2048 and logits B x 1008."""
        features, logits = self.net(pixels.permute(0, 3, 1, 2))
        return features, logits
