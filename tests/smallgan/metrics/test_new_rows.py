"""A metric and a feature network are one file and one row each: toy ones work from the command line."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from smallgan.core import weights
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult
from smallgan.metrics.self_check import run_checks
from smallgan.tables.dotted import load
from smallgan.tables.feature_networks import FEATURE_NETWORKS, FeatureNetworkSpec, networks_table
from smallgan.tables.metrics import METRICS, MetricSpec, headline_metrics, metrics_help, metrics_table, selection_metric


def measure_gap(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """Distance of the means."""
    fake, real = inputs.pair
    return MetricResult(float(np.linalg.norm(fake.mean(axis=0) - real.mean(axis=0))), "Euclidean", parts={"num": 2.0})


def checks_gap() -> list[Case]:
    """Return one case that is right and one that is wrong."""
    return [Case("right", 1.0, lambda: 1.0), Case("wrong", 1.0, lambda: 2.0)]


class MeanColour(nn.Module):
    """Three features, no logits."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.scale = nn.Parameter(tensors["scale"])

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map uint8 B x H x W x 3 to features B x 3 and logits B x 0."""
        features = pixels.float().mean(dim=(1, 2)) * self.scale
        return features, features[:, :0]


@pytest.fixture
def toy_metric():
    METRICS.register(
        MetricSpec(
            name="gap",
            title="mean gap",
            num_images="1",
            better="lower",
            range=(0.0, 100.0),
            headline_rank=0,
            parts={"num": "number"},
            note="read it so",
            compute=f"{__name__}:measure_gap",
        )
    )
    yield
    METRICS.unregister("gap")


@pytest.fixture
def toy_network(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    row = FeatureNetworkSpec("mean-colour", "none", 3, 0, f"{__name__}:MeanColour")
    FEATURE_NETWORKS.register(row)
    file = tmp_path / "cache" / "weights" / "mean.safetensors"
    file.parent.mkdir(parents=True)
    save_file({"scale": torch.tensor([1.0, 2.0, 3.0])}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    card = weights.Card(row.name, "Mean colour", "Toy.", file.name, "none", "here", sha256=digest)
    known = {**weights.cards(), row.name: card}
    monkeypatch.setattr(weights, "cards", lambda: known)
    yield
    FEATURE_NETWORKS.unregister(row.name)


def run(*args):
    from smallgan.cli import app

    return CliRunner().invoke(app, ["score", *map(str, args)])


@pytest.mark.slow
@pytest.mark.usefixtures("toy_metric")
def test_a_new_metric_is_scored_shown_checked_and_listed(tmp_path):
    for name, features in (("fake", np.ones((9, 2))), ("real", np.eye(2).repeat(5, axis=0))):
        np.savez(tmp_path / f"{name}.npz", features=features, network="net")
    shown = run(tmp_path / "fake.npz", "--real", tmp_path / "real.npz", "--metrics", "gap")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(
        "mean gap (net (precomputed))  0.7071  (9 images against 10 reals; number 2.000; real"
    )
    assert shown.stdout.rstrip().endswith("note: read it so")
    assert [check.passed for check in run_checks() if check.metric == "gap"] == [True, False]
    assert run("--check").exit_code == 1
    assert "gap" in metrics_help()
    assert "| `gap` | Distance of the means. | 0 to 100, lower is better | 1 |" in metrics_table()
    assert [name for name in headline_metrics() if name in ("gap", "kmmd")] == ["gap", "kmmd"]


@pytest.mark.usefixtures("toy_network")
def test_a_new_feature_network_scores_images(tiny_set):
    done = run(tiny_set, "--real", tiny_set, "--features", "mean-colour", "--json", "--metrics", "kmmd")
    assert done.exit_code == 0, done.output
    [score] = json.loads(done.stdout)
    assert (score["metric"], score["label"]) == ("kmmd", "KMMD (Mean colour)")
    assert (score["identity"]["features"], score["identity"]["resize"]) == ("mean-colour", "none")
    assert "| `mean-colour` | 3 | none | none | Toy. |" in networks_table()


def test_one_metric_selects_the_checkpoint_and_every_function_is_there():
    assert selection_metric().name == "kmmd"
    assert all(callable(load(path)) for row in METRICS for path in (row.compute, row.checks))
    assert all(callable(load(row.build)) for row in FEATURE_NETWORKS)
