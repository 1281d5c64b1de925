"""`smallgan score RUN --latent-kmmd`: the posters' diagnostic, of the codes of a run."""

import json
import sys

import pytest
from PIL import Image
from sampled_models import CPU, dcgan_run, pretrained_file, transfer_run

from smallgan.cli import main
from smallgan.metrics.latent_kmmd import latent_kmmd
from smallgan.sampling.loading import load_codes, load_model


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    (root / "images").mkdir()
    for level in range(6):
        Image.new("RGB", (40, 40), (40 * level, 128, 90)).save(root / "images" / f"{level}.png")
    pretrained_file(root)
    transfer_run(root / "adapted", root / "images", root / "tiny.safetensors")
    dcgan_run(root / "dcgan")
    return root


@pytest.fixture
def score(runs, monkeypatch, capsys):
    def call(run, *arguments):
        monkeypatch.setattr(sys, "argv", ["smallgan", "score", str(runs / run), *arguments])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.mark.slow
def test_it_is_the_function_of_the_runs_codes(score, runs):
    code, out, _ = score("adapted", "--latent-kmmd", "3", "--seed", "4", "--json")
    expected = latent_kmmd(load_codes(load_model(runs / "adapted", CPU)), 4, 3)
    assert code == 0
    assert json.loads(out) == {
        "metric": "latent_kmmd",
        "step": json.loads(out)["step"],
        "num_codes": 6,
        "value": expected.value,
        "batch": 3,
        "num_batches": 3334,  # more than 10,000 codes
    }
    _, said, _ = score("adapted", "--latent-kmmd", "3", "--seed", "4")
    assert said.startswith(f"latent KMMD {expected.value:.4f}  (6 codes of step")
    assert "no image enters" in said
    assert not (runs / "adapted" / "scores.jsonl").exists()


@pytest.mark.parametrize(
    ("run", "batch", "said"),
    [
        ("adapted", "7", "batches of 7: must be from 1 to 6"),
        ("adapted", "0", "batches of 0: must be from 1 to 6"),
        ("dcgan", "3", "no latents of training images"),
        ("images", "3", "no file of weights"),
    ],
)
def test_what_has_no_such_codes_is_refused_in_one_line(score, run, batch, said):
    code, out, error = score(run, "--latent-kmmd", batch)
    assert (code, out) == (2, "")
    assert said in error
    assert "Traceback" not in error
