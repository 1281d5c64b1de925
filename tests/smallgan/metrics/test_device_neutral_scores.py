"""Samples, features and metrics as they would run on a GPU, without one: see `tests/fake_gpu.py`."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torchvision
from fake_gpu import GPU, Traffic, fake_gpu
from sampled_models import TINY, generator, pixels
from tiny_networks import TINY_DEEP
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

import smallgan.metrics
from smallgan.core import weights
from smallgan.metrics.features.extract import FeatureNet, extract_all
from smallgan.metrics.features.inference import fold_batch_norms, to_bfloat16
from smallgan.models.biggan_deep import BigGANDeepGenerator
from smallgan.models.dcgan import DCGANGenerator
from smallgan.models.digit_net import DigitNet
from smallgan.models.fastgan import FastGANGenerator
from smallgan.sampling.latents import Inputs, generate
from smallgan.sampling.loading import Model
from smallgan.tables.dotted import load
from smallgan.tables.feature_networks import FEATURE_NETWORKS
from smallgan.training.ema import measure_on_prior

GENERATORS = {
    "dcgan": lambda: DCGANGenerator(32, 16, 8),
    "biggan": generator,
    "biggan of CIFAR": lambda: generator(replace(TINY, shared_dim=0, hierarchical=False)),
    "biggan-deep": lambda: BigGANDeepGenerator(TINY_DEEP),
    "fastgan": lambda: FastGANGenerator(32, 16, 1, 3, 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_samples_are_made_on_the_gpu_and_come_back_once_a_batch(name):
    network = GENERATORS[name]().eval().to(memory_format=torch.channels_last)
    with fake_gpu() as on_gpu:
        model = Model(on_gpu(network), GPU, Path("run"), None, 0, "")
        count = 40  # two batches
        inputs = Inputs(np.zeros((count, network.z_dim), np.float32), np.zeros(count, np.int64))
        with Traffic() as traffic:
            images = list(generate(model, inputs))
        assert len(images) == count
        assert (traffic.downloads, traffic.reads) == (2, 2)  # the pixels, and whether all are finite
        measure_on_prior(model.generator, 0, GPU)


def own_tensors(name):
    """Weights of the right shapes."""
    if name == "smallgan-small64-v1":
        return weights.read_tensors(weights.find(name)[0])
    if name == "inception-v3-tf2015":
        with patch.object(FeatureExtractorInceptionV3, "load_state_dict"), patch("torch.load"):
            return FeatureExtractorInceptionV3("random", ["2048", "logits_unbiased"], "unused").state_dict()
    if name == "inception-v3":
        return torchvision.models.inception_v3(weights=None, init_weights=False).state_dict()
    if name == "stacked-digits":
        return DigitNet().state_dict()
    of_squeezenet = "squeezenet1_1" if name.startswith("squeezenet") else name
    whole = getattr(torchvision.models, of_squeezenet)(weights=None)
    return (whole if FEATURE_NETWORKS[name].num_logits else whole.features).state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURE_NETWORKS.names)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_made_on_the_gpu_and_come_back_once_a_batch(name, precision):
    spec = FEATURE_NETWORKS[name]
    module = load(spec.build)(own_tensors(name) if spec.card else spec.given).eval().requires_grad_(False)
    fold_batch_norms(module)
    if precision == "bf16":
        to_bfloat16(module)
    images = np.zeros((5, 1, 1, 2), np.float32) if spec.reads_points else pixels(5)
    with fake_gpu() as on_gpu:
        there = on_gpu(module.to(memory_format=torch.channels_last))
        widths = spec.num_features, spec.num_logits
        net = FeatureNet(name, name, "", spec.resize, precision, *widths, there, GPU, reads_points=spec.reads_points)
        with Traffic() as traffic:
            (found,) = extract_all(images, [net], batch_size=3)
        assert found.features.shape == (5, spec.num_features)
        assert found.logits.shape == (5, spec.num_logits)
        assert (traffic.uploads, traffic.downloads, traffic.reads) == (2, 4, 0)  # features and logits of two batches


def test_metrics_know_no_device():
    files = [path for path in Path(smallgan.metrics.__file__).parent.rglob("*.py") if path.parent.name != "features"]
    assert len(files) > 20
    files = [path for path in files if path.name != "class_search.py"]  # no metric: it makes images of each class
    assert [path.name for path in files if "import torch" in path.read_text(encoding="utf-8")] == []
