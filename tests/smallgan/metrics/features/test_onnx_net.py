"""The user's own feature network: an ONNX file made here, and its card."""

import builtins
import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper

from augment.errors import FailedError, InputError, MissingError
from smallgan.metrics.features.extract import extract, feature_net
from smallgan.metrics.features.onnx_card import OnnxCard

CPU = torch.device("cpu")
WEIGHTS = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
CARD = {
    "name": "mine",
    "input": "pixels",
    "size": 8,
    "range": [0, 255],
    "outputs": {"features": "features", "logits": "logits"},
}


def write_net(path, *, shape=("n", 3, 8, 8), kind=TensorProto.FLOAT, maps=False, external=False):
    """A net of known answers: features are the means and the largest values of the channels, logits features @ WEIGHTS.

    With `maps` its features are the images themselves. The layout is N x C x H x W.
    """
    nodes = [helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT)]
    if maps:
        nodes.append(helper.make_node("Identity", ["x"], ["features"]))
        outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)]
        tensors = []
    else:
        nodes += [
            helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
            helper.make_node("GlobalMaxPool", ["x"], ["max"]),
            helper.make_node("Concat", ["mean", "max"], ["both"], axis=1),
            helper.make_node("Flatten", ["both"], ["features"]),
            helper.make_node("MatMul", ["features", "w"], ["logits"]),
        ]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (shape[0], width))
            for name, width in (("features", 6), ("logits", 4))
        ]
        tensors = [numpy_helper.from_array(WEIGHTS, "w")]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("pixels", kind, shape)], outputs, initializer=tensors
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    beside = {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0} if external else {}
    onnx.save(model, str(path), **beside)
    return path


def write_card(path, without=(), **changes):
    fields = {key: value for key, value in {**CARD, **changes}.items() if key not in without}
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


@pytest.fixture
def net(tmp_path):
    write_card(tmp_path / "net.card.yaml")
    return write_net(tmp_path / "net.onnx")


def photos(count, height=8, width=8):
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def known(images):
    """What the net of `write_net` makes of float images N x 3 x H x W."""
    features = np.concatenate([images.mean((2, 3)), images.max((2, 3))], axis=1)
    return features, features @ WEIGHTS


def as_floats(pixels):
    return pixels.astype(np.float32).transpose(0, 3, 1, 2)


def test_features_and_logits_are_the_networks(net):
    own, note = feature_net(str(net), CPU)
    assert (own.name, own.label, note) == ("mine", "mine", None)
    assert (own.num_features, own.num_logits) == (6, 4)
    assert own.sha256 == hashlib.sha256(net.read_bytes()).hexdigest()
    assert own.forward._session.get_session_options().intra_op_num_threads == torch.get_num_threads()
    images = photos(7)
    found = extract(images, own, batch_size=3)
    features, logits = known(as_floats(images))
    np.testing.assert_allclose(found.features, features, rtol=1e-5)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-2)


def test_a_card_elsewhere_names_the_file(net, tmp_path):
    (tmp_path / "cards").mkdir()
    for file in ("../net.onnx", str(net)):
        card = write_card(tmp_path / "cards" / "c.yaml", file=file, name="other")
        own, _ = feature_net(str(card), CPU)
        assert own.name == "other"
        assert own.sha256 == feature_net(str(net), CPU)[0].sha256


def test_pixels_are_prepared_as_the_card_says(net):
    images = photos(2)
    scaled = as_floats(images) / 255
    mean, std = np.float32([0.4, 0.5, 0.6]), np.float32([0.1, 0.2, 0.3])
    normed = (scaled - mean.reshape(1, 3, 1, 1)) / std.reshape(1, 3, 1, 1)
    for changes, expected in (
        ({"range": [0, 1]}, scaled),
        ({"range": [-1, 1]}, scaled * 2 - 1),
        ({"range": [0, 1], "mean": mean.tolist(), "std": std.tolist()}, normed),
        ({"range": [0, 1], "channels": "bgr"}, scaled[:, ::-1]),
    ):
        write_card(net.with_name("net.card.yaml"), **changes)
        own, _ = feature_net(str(net), CPU)
        np.testing.assert_allclose(extract(images, own).features, known(expected)[0], rtol=1e-4, atol=1e-5)


def test_layouts_gray_and_maps(tmp_path):
    images = photos(3)
    write_net(tmp_path / "net.onnx", shape=("n", 1, 8, 8), maps=True)
    write_card(tmp_path / "net.yaml", channels="gray", outputs={"features": "features"})
    own, _ = feature_net(str(tmp_path / "net.onnx"), CPU)
    found = extract(images, own)
    gray = images.astype(np.float64) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(found.features[:, 0], gray.mean((1, 2)), rtol=1e-5)
    assert found.logits.shape == (3, 0), "no logits, and none are made up"
    write_net(tmp_path / "net.onnx", shape=("n", 8, 8, 3), maps=True)
    write_card(tmp_path / "net.yaml", layout="nhwc", outputs={"features": "features"})
    own, _ = feature_net(str(tmp_path / "net.onnx"), CPU)
    np.testing.assert_allclose(extract(images, own).features, images.mean((1, 2)), rtol=1e-5)


def test_other_sizes_are_resized_or_refused(net):
    own, _ = feature_net(str(net), CPU)
    flat = np.full((1, 31, 17, 3), 90, np.uint8)
    np.testing.assert_allclose(extract(flat, own).features, np.full((1, 6), 90), rtol=1e-5)
    write_card(net.with_name("net.card.yaml"), resize="none")
    own, _ = feature_net(str(net), CPU)
    with pytest.raises(InputError, match=r"31 x 17 pixels.*resize: none.*8 x 8"):
        extract(flat, own)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT16])
def test_networks_that_take_other_numbers(tmp_path, kind):
    write_card(tmp_path / "net.yaml")
    own, _ = feature_net(str(write_net(tmp_path / "net.onnx", kind=kind)), CPU)
    images = photos(2)
    np.testing.assert_allclose(extract(images, own).features, known(as_floats(images))[0], rtol=1e-4)


def test_a_network_of_a_fixed_batch_gets_whole_batches(tmp_path):
    write_card(tmp_path / "net.yaml")
    own, _ = feature_net(str(write_net(tmp_path / "net.onnx", shape=(4, 3, 8, 8))), CPU)
    images = photos(6)
    np.testing.assert_allclose(extract(images, own, batch_size=5).features, known(as_floats(images))[0], rtol=1e-5)


def test_weights_in_a_file_beside_it_are_part_of_the_hash(tmp_path):
    path = write_net(tmp_path / "net.onnx", external=True)
    write_card(tmp_path / "net.yaml")
    own, _ = feature_net(str(path), CPU)
    images = photos(2)
    np.testing.assert_allclose(extract(images, own).logits, known(as_floats(images))[1], rtol=1e-4, atol=1e-2)
    beside = tmp_path / "net.onnx.data"
    beside.write_bytes(bytes(reversed(beside.read_bytes())))
    assert feature_net(str(path), CPU)[0].sha256 != own.sha256
    beside.unlink()
    with pytest.raises(InputError, match=r"net\.onnx: its weights lie in 'net\.onnx\.data'"):
        feature_net(str(path), CPU)


def test_without_a_card_one_to_start_from_is_shown_and_works(tmp_path):
    path = write_net(tmp_path / "net.onnx")
    with pytest.raises(MissingError, match=r"looked for net\.card\.yaml") as caught:
        feature_net(str(path), CPU)
    text = str(caught.value).split("\n\n", 1)[1]
    assert "the file has pixels n x 3 x 8 x 8" in text
    (tmp_path / "net.card.yaml").write_text(text, encoding="utf-8")
    own, _ = feature_net(str(path), CPU)
    assert (own.name, own.num_features, own.num_logits) == ("net", 6, 4)


def test_all_mistakes_of_a_card_are_told_at_once(net):
    card = net.with_name("net.card.yaml")
    write_card(card, ("range",), sise=8, layout="chw", outputs={"logits": "logits"})
    with pytest.raises(InputError) as caught:
        feature_net(str(net), CPU)
    for part in (
        str(card),
        "4 mistake(s)",
        "range: missing",
        "outputs.features: missing",
        "did you mean 'size'",
        "layout",
    ):
        assert part in str(caught.value)
    write_card(card, size=9, input="image", outputs={"features": "pool"})
    with pytest.raises(InputError, match=r"no output 'pool', but features, logits\n.*no input 'image', but pixels"):
        feature_net(str(net), CPU)
    write_card(card, size=9)
    with pytest.raises(InputError, match=r"size \[9, 9\].* give N x 3 x 9 x 9, but the file takes n x 3 x 8 x 8"):
        feature_net(str(net), CPU)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"range": [1, 1]}, r"range: needs two different numbers, found \[1, 1\]"),
        ({"std": 0}, r"std\.0: input should be greater than 0, found 0"),
        ({"size": 0}, r"size\.0: input should be greater than 0, found 0"),
        ({"file": "other.onnx"}, "its `file` is other.onnx"),
        ({"name": "inception-v3-tf2015"}, "give it a name of its own"),
        ({"outputs": {"features": "both"}}, "no output 'both'"),
    ],
)
def test_cards_that_cannot_be(net, changes, message):
    write_card(net.with_name("net.card.yaml"), **changes)
    with pytest.raises(InputError, match=message):
        feature_net(str(net), CPU)


def test_files_that_are_none(net, tmp_path):
    with pytest.raises(InputError, match=r"gone\.yaml: no such card"):
        feature_net(str(tmp_path / "gone.yaml"), CPU)
    with pytest.raises(InputError, match=r"gone\.onnx: no such file"):
        feature_net(str(tmp_path / "gone.onnx"), CPU)
    net.write_bytes(net.read_bytes()[:50])
    with pytest.raises(InputError, match=r"net\.onnx: onnxruntime cannot open it"):
        feature_net(str(net), CPU)
    net.with_name("net.card.yaml").write_text("just words", encoding="utf-8")
    with pytest.raises(InputError, match="found a str"):
        feature_net(str(net), CPU)


def test_the_preparation_stands_in_the_identity():
    plain = OnnxCard.model_validate(CARD)
    assert plain.preparation == ("bilinear with antialias, 8 x 8 px, rgb in [0, 255]; features features, logits logits")
    changed = [{"range": [0, 1]}, {"mean": 1}, {"std": 2}, {"channels": "bgr"}, {"resize": "bicubic"}, {"size": [8, 9]}]
    texts = {OnnxCard.model_validate({**CARD, **each}).preparation for each in changed}
    assert len(texts | {plain.preparation}) == len(changed) + 1


def test_without_onnxruntime_it_is_said_how_to_get_it(net, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingError, match=r"smallgan\[onnx\]"):
        feature_net(str(net), CPU)


def test_a_network_that_fails_is_named(net):
    own, _ = feature_net(str(net), CPU)
    own.forward._session = None
    with pytest.raises(FailedError, match=r"net\.onnx: the network failed on images"):
        extract(photos(1), own)


@pytest.mark.real_data
def test_mobilenet_knows_dogs(real_data, tmp_path):
    from augment.sources.readers import open_source

    card = write_card(
        tmp_path / "mobilenet.yaml",
        file=str(real_data / "weights" / "mobilenet_v2_imagenet.onnx"),
        name="mobilenet_v2_imagenet",
        size=224,
    )
    own, _ = feature_net(str(card), CPU)
    source = open_source(real_data / "pomeranian")
    found = extract((source.load(index).image.pixels for index in range(32)), own)
    names = (real_data / "weights" / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    assert sum(names[index] == "Pomeranian" for index in found.logits.argmax(1)) > 20
    assert found.features.shape == (32, 1280)
    assert Path(own.forward.path).name == "mobilenet_v2_imagenet.onnx"
