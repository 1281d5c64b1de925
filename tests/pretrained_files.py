"""Files of pretrained generators, as the tests write them."""

import json
from collections import OrderedDict

import torch
from safetensors.torch import save_file

from smallgan.models.biggan import BigGANConfig
from smallgan.models.biggan_deep import released_names

TINY = BigGANConfig(size=64, ch=8, z_dim=20, num_classes=5, shared_dim=6, attention=32)


def latents(config=TINY, count=2):
    return torch.randn(count, config.z_dim, generator=torch.Generator().manual_seed(7))


def assert_same(found, generator, *, z_dim=TINY.z_dim):
    """The same images, of labels too, to the last bit."""
    z = torch.randn(2, z_dim, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        assert torch.equal(found(z), generator(z))
        assert torch.equal(found(z, torch.tensor([1, 3])), generator(z, torch.tensor([1, 3])))


def state(network):
    return OrderedDict(network.state_dict())


def saved(path, value, *, old=False):
    torch.save(value, path, _use_new_zipfile_serialization=not old)
    return path


def released(network, **changes):
    """Tensors and settings of a BigGAN-deep as Hugging Face keeps them."""
    names = released_names(network)
    settings = {name: value for name, value in vars(network.config).items() if name != "truncation"} | changes
    return {names[own]: tensor.clone() for own, tensor in network.state_dict().items()}, settings


def deep_folder(folder, network, *, safe=False, **changes):
    folder.mkdir(exist_ok=True)
    tensors, settings = released(network, **changes)
    if safe:
        save_file(tensors, folder / "model.safetensors")
    else:
        torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
