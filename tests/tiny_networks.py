"""Small BigGANs whose every tensor is drawn, so that no term of a formula is hidden by a zero or a one."""

import torch

from smallgan.models.biggan_deep import BigGANDeepConfig

TINY_DEEP = BigGANDeepConfig(
    output_dim=32,
    z_dim=10,
    class_embed_dim=6,
    channel_width=8,
    num_classes=5,
    layers=((False, 4, 4), (True, 4, 2), (True, 2, 2), (True, 2, 1)),
    attention_layer_position=2,
    n_stats=6,
    truncation=0.5,
)


def shaken(network, seed=0):
    """The network with every tensor drawn, moments and gates too, in eval mode."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("stored_var", "running_vars")):
                tensor.copy_(torch.rand(tensor.shape, generator=draws) + 0.5)
            else:
                tensor.copy_(torch.randn(tensor.shape, generator=draws) * 0.3 + 0.05)
        for layer in network.modules():
            if hasattr(layer, "weight_v"):  # BigGAN-deep stores both singular vectors, of length 1
                rows = layer.weight.flatten(1)
                layer.weight_v.copy_(torch.nn.functional.normalize(rows.T @ layer.weight_u, dim=0))
                layer.weight_u.copy_(torch.nn.functional.normalize(rows @ layer.weight_v, dim=0))
    return network.eval()


def spectral_layers(network):
    """The layers with spectral norm, by name."""
    return {name: layer for name, layer in network.named_modules() if hasattr(layer, "normalized_weight")}
