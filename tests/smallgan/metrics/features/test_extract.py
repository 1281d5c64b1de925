import hashlib
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import (
    Inception_V3_Weights,
    MobileNet_V2_Weights,
    ResNet50_Weights,
    SqueezeNet1_1_Weights,
    inception_v3,
    mobilenet_v2,
    resnet50,
    squeezenet1_1,
)
from torchvision.transforms.v2.functional import normalize

from augment.errors import FailedError, InputError, MissingError, UsageError
from smallgan.core import weights
from smallgan.metrics import evaluate
from smallgan.metrics.features.extract import FeatureNet, Features, extract, feature_net
from smallgan.metrics.features.inference import fold_batch_norms
from smallgan.metrics.features.small import SmallFeatures
from smallgan.models.small_net import SmallNet
from smallgan.tables.feature_networks import FEATURE_NETWORKS

CPU = torch.device("cpu")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path))
    return tmp_path


def shake(net):
    """Give every batch norm statistics of its own, so that folding it wrongly would show."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
    return net.eval()


def put(monkeypatch, name, tensors):
    """Lie `tensors` in the cache as the weights `name`, whose card then knows them."""
    card = weights.card(name)
    path = weights.locate(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, path)
    prefix = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    known = {**weights.cards(), name: replace(card, sha256_prefix=prefix)}
    monkeypatch.setattr(weights, "cards", lambda: known)
    return path


def random_tf2015():
    with patch.object(FeatureExtractorInceptionV3, "load_state_dict"), patch("torch.load"):
        return shake(FeatureExtractorInceptionV3("random", ["2048", "logits_unbiased"], "unused"))


def photos(count, size=(64, 64), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.mark.usefixtures("empty_cache")
def test_without_published_weights_the_shipped_network_is_used_and_says_so():
    net, note = feature_net(None, CPU)
    assert net.name == weights.SHIPPED_FEATURES
    assert "smallgan weights fetch inception-v3-tf2015" in note
    named, silent = feature_net(weights.SHIPPED_FEATURES, CPU)
    assert silent is None
    assert named.note == net.note == note


@pytest.mark.usefixtures("empty_cache")
def test_asked_for_by_name_and_absent_is_an_error():
    with pytest.raises(MissingError, match=r"looked for .*inception-2015.*smallgan weights fetch inception-v3-tf2015"):
        feature_net("inception-v3-tf2015", CPU)
    with pytest.raises(UsageError, match="--features vgg: unknown feature network 'vgg'"):
        feature_net("vgg", CPU)


def test_batch_size_and_company_change_nothing_but_rounding():
    net, _ = feature_net(weights.SHIPPED_FEATURES, CPU)
    images = photos(11)
    whole = extract(images, net, batch_size=11)
    for batch_size in (1, 4):
        parts = extract(images, net, batch_size=batch_size)
        np.testing.assert_allclose(parts.features, whole.features, atol=1e-5)
        np.testing.assert_allclose(parts.logits, whole.logits, atol=1e-4)
    assert whole.features.shape == (11, net.num_features)
    assert whole.logits.shape == (11, net.num_logits)


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [32, 32, 32, 32, 12]), ("meta", [128, 12])])
def test_a_network_that_is_not_on_the_cpu_gets_larger_batches(device, sizes):
    seen = []

    def forward(images):
        seen.append(len(images))
        return torch.zeros(len(images), 2), torch.zeros(len(images), 3)

    net = FeatureNet("own", "own", "0" * 64, "none", "fp32", 2, 3, forward, torch.device(device))
    assert len(extract(photos(140, (4, 4)), net)) == 140
    assert seen == sizes


def test_mixed_sizes_come_back_in_order():
    net, _ = feature_net(weights.SHIPPED_FEATURES, CPU)
    images = [photos(1, size, seed)[0] for seed, size in enumerate([(64, 64), (40, 90), (64, 64), (1, 1), (40, 90)])]
    found = extract(images, net, batch_size=2)
    for row, image in enumerate(images):
        np.testing.assert_allclose(found.features[row], extract([image], net).features[0], atol=1e-5)


def test_no_image_is_an_error():
    net, _ = feature_net(weights.SHIPPED_FEATURES, CPU)
    with pytest.raises(InputError, match="no image to score"):
        extract([], net)


def test_features_that_are_not_finite_are_an_error():
    net, _ = feature_net(weights.SHIPPED_FEATURES, CPU)
    broken = replace(net, forward=lambda batch: (torch.full((len(batch), 2), torch.nan), torch.zeros(len(batch), 2)))
    with pytest.raises(FailedError, match="not finite"):
        extract(photos(1), broken)


def test_folding_batch_norms_changes_nothing():
    torch.manual_seed(0)
    net = shake(SmallNet(7))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = net(images)
        fold_batch_norms(net)
        after = net(images)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_pixels_reach_the_small_network_as_images():
    """Features and logits of uint8 pixels equal those of the bare network on images in [-1, 1]."""
    torch.manual_seed(0)
    bare = shake(SmallNet(5))
    wrapped = SmallFeatures(bare.state_dict()).eval()
    pixels = torch.from_numpy(photos(2))
    with torch.inference_mode():
        expected = bare(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)
        found = wrapped(pixels)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("empty_cache")
def test_tf2015_equals_torch_fidelity(monkeypatch):
    torch.manual_seed(0)
    theirs = random_tf2015()
    put(monkeypatch, "inception-v3-tf2015", theirs.state_dict())
    net, note = feature_net(None, CPU)
    assert (net.name, note, net.note) == ("inception-v3-tf2015", None, None)
    images = photos(3, (50, 70))
    with torch.inference_mode():
        features, logits = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))
    found = extract(images, net, batch_size=2)
    assert (net.num_features, net.num_logits) == (2048, 1008)
    spread = float(features.std())
    np.testing.assert_allclose(found.features, features.numpy(), atol=1e-4 * spread + 1e-6)
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4 * float(logits.std()))


@pytest.mark.slow
@pytest.mark.usefixtures("empty_cache")
def test_torchvision_equals_its_own_pipeline(monkeypatch):
    torch.manual_seed(0)
    theirs = shake(inception_v3(weights=None, aux_logits=True, transform_input=True, init_weights=False))
    put(monkeypatch, "inception-v3", theirs.state_dict())
    net, _ = feature_net("inception-v3", CPU)
    images = photos(2, (299, 299))
    published = Inception_V3_Weights.IMAGENET1K_V1.transforms()
    with torch.inference_mode():
        scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        logits = theirs(normalize(scaled, published.mean, published.std))
    found = extract(images, net)
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4 * float(logits.std()))
    assert found.features.shape == (2, 2048)


CLASSIFIERS = {
    "resnet50": (resnet50, ResNet50_Weights.IMAGENET1K_V1),
    "mobilenet_v2": (mobilenet_v2, MobileNet_V2_Weights.IMAGENET1K_V1),
    "squeezenet1_1": (squeezenet1_1, SqueezeNet1_1_Weights.IMAGENET1K_V1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.usefixtures("empty_cache")
def test_classifiers_equal_torchvisions_pipeline(monkeypatch, name):
    """Logits equal those of torchvision's network, unfolded, under its own transform of 224 px images."""
    torch.manual_seed(0)
    make, published = CLASSIFIERS[name]
    theirs = shake(make(weights=None))
    put(monkeypatch, name, theirs.state_dict())
    net, _ = feature_net(name, CPU)
    images = photos(3, (224, 224))
    rule = published.transforms()
    with torch.inference_mode():
        scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        logits = theirs(normalize(scaled, rule.mean, rule.std))
    found = extract(images, net, batch_size=2)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.forward.modules())
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4 * float(logits.std()))
    assert found.features.shape == (3, net.num_features)
    weight, bias = (each.detach().numpy() for each in list(theirs.parameters())[-2:])
    if name != "squeezenet1_1":  # whose logits come from maps, not from pooled features
        np.testing.assert_allclose(found.features @ weight.T + bias, found.logits, atol=1e-3 * float(logits.std()))


@pytest.mark.usefixtures("empty_cache")
def test_the_convolutions_of_squeezenet_give_its_features_without_logits(monkeypatch):
    torch.manual_seed(0)
    whole = squeezenet1_1(weights=None)
    put(monkeypatch, "squeezenet1_1", whole.state_dict())
    card = replace(weights.card("squeezenet1_1-features"), sha256=None)
    monkeypatch.setattr(weights, "cards", lambda known=weights.cards(): {**known, card.name: card})
    save_file(whole.features.state_dict(), weights.locate(card.name))
    images = photos(2, (70, 50))
    one, _ = feature_net("squeezenet1_1", CPU)
    other, _ = feature_net(card.name, CPU)
    assert (one.num_logits, other.num_logits) == (1000, 0)
    np.testing.assert_array_equal(extract(images, one).features, extract(images, other).features)


def test_every_feature_card_has_a_row():
    cards = {name for name, card in weights.cards().items() if card.kind == "features"}
    assert {row.card.name for row in FEATURE_NETWORKS if row.card} == cards


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception-v3-tf2015", "mobilenet_v2", "squeezenet1_1"])
@pytest.mark.usefixtures("empty_cache")
def test_bfloat16_is_near_and_is_stated(monkeypatch, name):
    torch.manual_seed(0)
    theirs = random_tf2015() if name == "inception-v3-tf2015" else shake(CLASSIFIERS[name][0](weights=None))
    put(monkeypatch, name, theirs.state_dict())
    images = photos(2, (80, 80))
    exact, rounded = (feature_net(name, CPU, precision)[0] for precision in ("fp32", "bf16"))
    assert (exact.precision, rounded.precision) == ("fp32", "bf16")
    one, other = extract(images, exact), extract(images, rounded)
    assert other.features.dtype == other.logits.dtype == np.float32
    for fine, coarse in ((one.features, other.features), (one.logits, other.logits)):
        error = np.abs(fine - coarse).max() / np.abs(fine).max()
        assert 1e-6 < error < 3e-2


def test_precisions_that_are_none():
    with pytest.raises(UsageError, match="--precision fp8: use fp32 or bf16"):
        feature_net(None, CPU, "fp8")
    with pytest.raises(UsageError, match=r"--precision bf16: net\.onnx has a precision"):
        feature_net("net.onnx", CPU, "bf16")


@pytest.mark.parametrize("name", ["inception-v3-tf2015", "inception-v3", *CLASSIFIERS])
@pytest.mark.usefixtures("empty_cache")
def test_weights_of_another_architecture_are_named(monkeypatch, name):
    path = put(monkeypatch, name, SmallNet(3).state_dict())
    with pytest.raises(InputError) as caught:
        feature_net(name, CPU)
    assert str(path) in str(caught.value)
    assert "not those of" in str(caught.value)


@pytest.mark.usefixtures("empty_cache")
def test_a_cut_file_in_the_cache_is_an_error_not_a_reason_for_another_network():
    path = weights.locate("inception-v3-tf2015")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a download")
    with pytest.raises(InputError, match=r"expected 6726825d.*smallgan weights fetch"):
        feature_net(None, CPU)


def fake_net(name="inception-v3-tf2015", note=None):
    return FeatureNet(name, weights.card(name).title, "0" * 64, "none", "fp32", 3, 4, lambda _: None, CPU, note)


def random_features(count, seed=0):
    rng = np.random.default_rng(seed)
    return Features(rng.normal(size=(count, 3)).astype(np.float32), rng.normal(size=(count, 4)).astype(np.float32))


def test_scores_state_their_conditions():
    scores = evaluate(
        random_features(20),
        random_features(30, 1),
        fake_net(),
        reals_fingerprint="abc",
        reals_prepared="reals crop to 64 px",
    )
    isc, kmmd = scores
    assert (isc.label, kmmd.label) == ("Inception Score", "KMMD (TF-2015 Inception v3)")
    assert list(isc.identity) == list(kmmd.identity)
    assert (isc.identity["reals"], isc.identity["num_real"], isc.identity["splits"]) == (None, None, 1)
    assert (kmmd.identity["reals"], kmmd.identity["num_real"], kmmd.identity["splits"]) == ("abc", 30, None)
    assert kmmd.identity["resize"] == "reals crop to 64 px, then none"
    assert "compare at equal numbers" in isc.notes[0]
    assert set(isc.parts) == {"h_y", "h_y_given_x"}
    assert isc.value == pytest.approx(np.exp(isc.parts["h_y"] - isc.parts["h_y_given_x"]))


def test_only_the_published_network_gives_a_plain_inception_score():
    for name in (card.name for card in weights.cards().values() if card.kind == "features"):
        [score] = evaluate(random_features(9), None, fake_net(name, "a note"), metrics=["is"])
        assert (score.label == "Inception Score") == (name == "inception-v3-tf2015")
        assert score.notes[-1] == "a note"
        if name == "smallgan-small64-v1":
            assert score.label == "IS (smallgan-small64-v1)"


def test_splits_are_ten_from_a_thousand_images_on():
    [few] = evaluate(random_features(999), None, fake_net(), metrics=["is"])
    [many] = evaluate(random_features(1000), None, fake_net(), metrics=["is"])
    assert (few.identity["splits"], few.std, many.identity["splits"]) == (1, None, 10)
    assert many.notes == ()
    assert many.std > 0


def test_metrics_that_cannot_be_had_are_errors():
    with pytest.raises(UsageError, match="unknown metric 'lpips'; there are is, kmmd"):
        evaluate(random_features(9), None, fake_net(), metrics=["is", "lpips"])
    with pytest.raises(UsageError, match=r"--metrics kmmd: needs real images .* --real"):
        evaluate(random_features(9), None, fake_net(), metrics=["kmmd"])
    with pytest.raises(UsageError, match="--splits 10"):
        evaluate(random_features(9), None, fake_net(), metrics=["is"], splits=10)
