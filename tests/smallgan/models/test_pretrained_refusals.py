"""What is said of files that are no generator, and that none of them runs code."""

import json
import pickle
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pretrained_files import TINY, deep_folder, saved, state
from safetensors.torch import save_file
from tiny_networks import TINY_DEEP, shaken
from torch import nn

from augment.errors import InputError
from smallgan.metrics.features.precomputed import is_precomputed
from smallgan.models.biggan import BigGANDiscriminator, BigGANGenerator
from smallgan.models.biggan_deep import BigGANDeepGenerator
from smallgan.models.dcgan import DCGANGenerator
from smallgan.models.pretrained import load_pretrained, save_generator


@pytest.fixture(scope="module")
def generator():
    return shaken(BigGANGenerator(TINY))


@pytest.fixture(scope="module")
def deep():
    return shaken(BigGANDeepGenerator(replace(TINY_DEEP, truncation=1.0)))


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def without(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


def npz(path):
    np.savez(path.with_suffix(".npz"), **{"gen/l1/W": np.zeros(3)})
    return path.with_suffix(".npz")


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("138k/G_ema.pth", b"x")
    return path


def written(path, content):
    path.write_bytes(content)
    return path


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


def two_attentions(network):
    return state(network) | {"blocks.0.1.gamma": torch.zeros(())}


def with_config(path, tensors, **changes):
    save_file(tensors, path, {"config": json.dumps(asdict(TINY) | changes)})
    return path


BSA_PART = {"embeddings.weight": torch.ones(3, 4), "bsa_linear_scale": torch.ones(3)}
WRONG = {
    "nothing": (lambda _, p: p, "no such file or folder"),
    "D": (lambda _, p: saved(p, state(BigGANDiscriminator(TINY))), "this is a discriminator of the official code"),
    "optimiser": (
        lambda g, p: saved(p, torch.optim.Adam(g.parameters()).state_dict()),
        "this is the state of an optimiser",
    ),
    "state_dict.pth": (
        lambda _, p: saved(p, {"itr": 9, "epoch": 1, "config": {"G_activation": nn.ReLU()}}, old=True),
        "training state of the official code .its state_dict.pth",
    ),
    "state_dict.pth, new": (
        lambda _, p: saved(p, {"itr": 9, "epoch": 1, "config": {"G_activation": nn.ReLU()}}),
        "training state of the official code .its state_dict.pth",
    ),
    "counters": (lambda _, p: saved(p, {"itr": 9, "epoch": 1}), "training state of the official code .counters"),
    "whole module": (lambda g, p: saved(p, g), "holds more than tensors: reading it would run smallgan"),
    "npz": (lambda _, p: npz(p), r"a NumPy archive \(npz\) of 1 arrays"),
    "zip": (lambda _, p: zipped(p), "a zip archive that holds 138k/G_ema.pth; unpack it"),
    "DCGAN": (lambda _, p: saved(p, state(DCGANGenerator(32, 8, 8))), "a state dict of another network"),
    "DCGAN of ours": (
        lambda _, p: saved(p, {f"g_ema.{name}": value for name, value in state(DCGANGenerator(32, 8, 8)).items()}),
        "a checkpoint of smallgan's without the state.json",
    ),
    "adapter of ours": (
        lambda _, p: saved(p, {"g_ema.class_vector": torch.zeros(6), "codes.weight": torch.zeros(3, 20)}),
        "an adapter of smallgan's, without the generator that it was fitted to",
    ),
    "official deep": (
        lambda g, p: saved(p, state(g) | {"blocks.0.0.bn4.gain.weight": torch.zeros(1)}),
        "a BigGAN-deep of the official code",
    ),
    "TF-Hub, first stage": (
        lambda _, p: saved(p, {"GBlock.0.conv0.module.weight_bar": torch.zeros(1)}),
        "the first stage of the TF-Hub conversion",
    ),
    "cut short, new": (lambda g, p: cut(saved(p, state(g)), 0.7), "damaged or cut short"),
    "cut short, old": (lambda g, p: cut(saved(p, state(g), old=True), 0.7), "damaged"),
    "cut short in the pickle": (lambda g, p: cut(saved(p, state(g), old=True), 0.001), "damaged"),
    "cut short, safetensors": (lambda g, p: (save_generator(p, g), cut(p, 0.7))[1], "damaged or cut short"),
    "empty": (lambda _, p: written(p, b""), "the file is empty"),
    "text": (lambda _, p: written(p, "Grüße\n".encode()), "this is a text file"),
    "web page": (lambda _, p: written(p, b"\n<!DOCTYPE html><html>"), "this is a web page"),
    "LFS": (lambda _, p: written(p, b"version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS"),
    "HDF5": (lambda _, p: written(p, b"\x89HDF\r\n\x1a\n" + bytes(50)), "an HDF5 file"),
    "noise": (lambda _, p: written(p, bytes(range(255, 127, -1))), "no file of weights"),
    "a number": (lambda _, p: saved(p, 3), "holds no state dict .* but a int"),
    "other things": (lambda _, p: saved(p, {"a": 1, "b": [2]}), "holds no state dict .* but a dictionary of a, b"),
    "a missing tensor": (
        lambda g, p: saved(p, without(state(g), "blocks.1.0.conv2.bias")),
        r"1 of 138 tensors missing: blocks\.1\.0\.conv2\.bias \(.*64 px, ch 8, z of 20 in chunks, 5 classes",
    ),
    "the tensor that tells what it is": (
        lambda g, p: saved(p, without(state(g), "blocks.0.0.bn1.gain.weight")),
        r"1 of 138 tensors missing: blocks\.0\.0\.bn1\.gain\.weight \(",
    ),
    "a tensor that tells of chunks": (
        lambda g, p: saved(p, without(state(g), "blocks.0.0.bn1.gain.u0")),
        r"1 of 138 tensors missing: blocks\.0\.0\.bn1\.gain\.u0 \(",
    ),
    "a tensor that tells of attention": (
        lambda g, p: saved(p, without(state(g), "blocks.2.1.gamma")),
        r"1 of 138 tensors missing: blocks\.2\.1\.gamma \(",
    ),
    "no spectral vectors": (
        lambda g, p: saved(p, without(state(g), "linear.u0")),
        r"1 of 138 tensors missing: linear\.u0 \(",
    ),
    "another shape": (
        lambda g, p: saved(p, state(g) | {"linear.bias": torch.zeros(7)}),
        r"1 of 138 tensors of another shape: linear\.bias \(7,\), expected \(2048,\)",
    ),
    "a tensor too many": (
        lambda g, p: saved(p, state(g) | {"blocks.1.0.conv2.u1": torch.zeros(1, 7)}),
        r"1 more than the network has: blocks\.1\.0\.conv2\.u1 \(1, 7\)",
    ),
    "no output layer": (
        lambda g, p: saved(p, without(state(g), "output_layer.0.gain")),
        "1 tensor missing: output_layer.0.gain",
    ),
    "two attentions": (lambda g, p: saved(p, two_attentions(g)), "self-attention at 8 and 32 px"),
    "too many blocks": (
        lambda g, p: saved(p, state(g) | {"blocks.9.0.conv1.bias": torch.zeros(1)}),
        "a generator of 10 blocks",
    ),
    "numbers for names": (lambda _, p: saved(p, {0: torch.ones(1), 1: torch.ones(1)}), "holds no state dict"),
    "adapted by the BSA code, cut": (
        lambda _, p: saved(p, {"generator.blocks.0.0.bn1.gain.weight": torch.ones(8, 4)} | BSA_PART),
        "1 tensor missing: linear.weight",
    ),
    "an embedding of one dimension": (
        lambda g, p: saved(p, state(g) | {"shared.weight": torch.ones(3)}),
        r"shared\.weight",
    ),
    "a width in quotes": (lambda g, p: with_config(p, state(g), ch="8"), "its configuration describes no network"),
    "a width below 0": (lambda g, p: with_config(p, state(g), ch=-8), "its configuration describes no network"),
    "an empty folder": (lambda _, p: (p.mkdir(), p)[1], "found no file of weights in this folder"),
    "a folder of two": (
        lambda _, p: (p.mkdir(), written(p / "a.pth", b"x"), written(p / "b.pth", b"x"), p)[3],
        "found a.pth, b.pth in this folder; name one of its files",
    ),
    "a run just begun": (
        lambda _, p: (p.mkdir(), written(p / "recipe.yaml", b"name: x\n"), p)[2],
        "this run has no checkpoint yet",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_generator_is_called_what_it_is(generator, tmp_path, what):
    make, expected = WRONG[what]
    path = make(generator, tmp_path / "given")
    with pytest.raises(InputError, match=expected) as caught:
        load_pretrained(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_zip_whose_names_are_damaged_is_refused_in_one_sentence(generator, tmp_path):
    file = tmp_path / "G_ema.pth"
    torch.save(generator.state_dict(), file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("\u00fcber", b"")  # beyond ASCII: the zip says that this name is UTF-8
    file.write_bytes(file.read_bytes().replace("\u00fcber".encode(), b"\xf6\xf6ber"))
    with pytest.raises(InputError, match=r"G_ema\.pth: damaged"):
        load_pretrained(file)
    npz = file.rename(tmp_path / "features.npz")
    assert not is_precomputed(npz)


@pytest.mark.parametrize("form", ["raw", "new", "old", "inside"])
def test_a_pickle_bomb_does_not_go_off(generator, tmp_path, form):
    marker, path = tmp_path / "went-off", tmp_path / "G_ema.pth"
    if form == "raw":
        path.write_bytes(pickle.dumps(Bomb(marker)))
    elif form == "inside":
        saved(path, state(generator) | {"note": Bomb(marker)})
    else:
        saved(path, Bomb(marker), old=form == "old")
    with pytest.raises(InputError, match=r"reading it would run .*so it was not read|so it was not read"):
        load_pretrained(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Bomb(marker)))
    assert marker.exists(), "the bomb must be a bomb"


def test_settings_that_do_not_belong_to_the_weights(deep, tmp_path):
    folder = deep_folder(tmp_path / "deep", deep, num_classes=7)
    with pytest.raises(
        InputError, match=r"of another shape: embeddings.weight \(6, 5\), expected \(6, 7\) .*BigGAN-deep, 32 px"
    ):
        load_pretrained(folder)
    load_pretrained(deep_folder(folder, deep, eps="1e-4")).generator(torch.zeros(1, 10), torch.zeros(1).long())
    deep_folder(folder, deep, output_dim=64)
    with pytest.raises(InputError, match=r"config.json: output_dim is 64, but its layers make 32 px"):
        load_pretrained(folder)
    (folder / "config.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(InputError, match=r"config.json: holds a list, expected an object"):
        load_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"a BigGAN-deep of 4 blocks; expected its config.json beside it"):
        load_pretrained(folder)


def test_errors_name_the_tensor_as_the_file_does(deep, tmp_path):
    folder = deep_folder(tmp_path / "deep", deep)
    tensors = torch.load(folder / "pytorch_model.bin")
    torch.save(without(tensors, "generator.layers.0.conv_0.weight_orig"), folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"tensors missing: generator\.layers\.0\.conv_0\.weight_orig \("):
        load_pretrained(folder)


def test_a_header_that_is_no_configuration(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors", {"config": '{"width": 3}'})
    with pytest.raises(InputError, match=r"another configuration than a BigGAN's .*expected size, ch, z_dim"):
        load_pretrained(tmp_path)
