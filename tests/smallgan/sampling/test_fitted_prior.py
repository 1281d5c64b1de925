"""A run whose latents are drawn from a Bourgain mixture: resumed, sampled, exported and refused as its prior asks."""

import json

import numpy as np
import pytest
import torch
from tensors import tensors

from augment.errors import UsageError
from augment.imaging.codec import decode
from smallgan.core.checkpoint import load_checkpoint, read_state, read_tensors
from smallgan.core.rng import Stream
from smallgan.data.images import grid, to_pixels
from smallgan.sampling.export import export
from smallgan.sampling.latents import draw_inputs, sample_pixels
from smallgan.sampling.loading import load_model
from smallgan.sampling.request import Request
from smallgan.sampling.sample import sample
from smallgan.tables.recipe import load_recipe, read_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.factory import open_pretrained
from smallgan.training.train import train

CPU = torch.device("cpu")
TINY = {
    "latent.name": "bourgain",
    "latent.num_points": 12,
    "model.base_width": 8,
    "data.size": 32,
    "data.limit": 12,
    "train.steps": 2,
    "train.batch_size": 4,
    "train.snapshot_every": 2,
    "score.metrics": [],
}
Z = 20  # 5 sets of each of ceil(log2 12) sizes


def trained(out, **more):
    return train(load_recipe(None, TINY | more), out=out, device="cpu", log=str)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "one")


def test_the_checkpoint_holds_the_prior_and_sampling_needs_no_data(run):
    held = read_tensors(run.checkpoint(2), "latent.")
    assert {name: tuple(tensor.shape) for name, tensor in held.items()} == {"centres": (12, Z), "std": (), "scale": ()}
    assert held["std"].item() == pytest.approx(0.01)
    model = load_model(run.path, CPU)
    assert model.prior.describe() == {"prior": "bourgain", "num_centres": 12, "std": pytest.approx(0.01)}
    z = draw_inputs(model, [(3, k) for k in range(30)]).z
    nearest = np.linalg.norm(z[:, None] - model.prior.centres[None], axis=2).min(axis=1)
    assert nearest.max() < 0.1  # standard deviation 0.01 in 20 coordinates: 0.045, and at most about 0.07
    np.testing.assert_array_equal(sample_pixels(model, 3, 7)[2:], sample_pixels(model, 3, 7)[2:])
    assert read_recipe(run.recipe).model.z_dim == Z


def test_a_run_of_normal_latents_says_nothing_of_a_prior(tmp_path):
    plain = train(
        load_recipe(None, {key: value for key, value in TINY.items() if not key.startswith("latent")}),
        out=tmp_path / "plain",
        device="cpu",
        log=str,
    )
    assert "latent" not in read_state(plain.checkpoint(2))
    assert not read_tensors(plain.checkpoint(2), "latent.")


@pytest.mark.slow
def test_going_on_gives_what_was_never_interrupted(tmp_path):
    whole = trained(tmp_path / "whole", **{"train.steps": 4})
    parts = trained(tmp_path / "parts")
    parts = trained(tmp_path / "parts", **{"train.steps": 4})
    one, other = (read_tensors(each.checkpoint(4)) for each in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_resumed_run_draws_from_the_saved_mixture_not_from_a_new_one(run):
    recipe = read_recipe(run.recipe)
    others = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    trainer = build_trainer(recipe, CPU, pixels=others)
    before = trainer.prior.drawn(0, Stream.TRAIN_LATENTS, 0, 4, Z)
    load_checkpoint(run.checkpoint(2), trainer)
    after = trainer.prior.drawn(0, Stream.TRAIN_LATENTS, 0, 4, Z)
    assert not np.array_equal(before, after)
    wanted = load_model(run.path, CPU).prior
    np.testing.assert_array_equal(after, wanted.drawn(0, Stream.TRAIN_LATENTS, 0, 4, Z))
    np.testing.assert_array_equal(trainer.latents(5, 4).numpy(), wanted.drawn(0, Stream.TRAIN_LATENTS, 5, 4, Z))
    assert {name for name, _ in tensors(trainer).items() if name.startswith("latent")} >= {"latent.centres"}


def test_the_grids_of_a_run_are_drawn_by_it(run):
    model = load_model(run.path, CPU)
    z = model.prior.drawn(0, Stream.GRID_LATENTS, 0, 36, Z)
    with torch.inference_mode():
        wanted = grid(to_pixels(model.generator(torch.from_numpy(z))))
    np.testing.assert_array_equal(decode(run.fakes(2).read_bytes(), "grid"), wanted)


@pytest.mark.parametrize("format", ["safetensors", "hub"])
def test_an_exported_generator_carries_it(run, tmp_path, format):
    model, out = load_model(run.path, CPU), tmp_path / f"one{'.safetensors' * (format != 'hub')}"
    files = export(model, format, out)
    found = load_model(out, CPU)
    assert found.prior.describe() == model.prior.describe()
    np.testing.assert_array_equal(sample_pixels(found, 2, 5), sample_pixels(model, 2, 5))
    assert format != "hub" or "as far apart as these are" in files[1].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("option", "named"), [({"truncation": 0.5}, "--truncation 0.5"), ({"prior": "normal"}, "--pr")]
)
def test_what_draws_normal_latents_is_refused(run, tmp_path, option, named):
    with pytest.raises(UsageError, match=rf"{named}.*trained on those of the prior bourgain"):
        sample(Request(run.path, count=1, out=tmp_path / "x", device="cpu", **option))
    assert not (tmp_path / "x").exists()


def test_samples_and_interpolations_follow_it(run, tmp_path):
    made = sample(Request(run.path, count=2, out=tmp_path / "a", device="cpu"))
    assert made["prior"] == "bourgain" if "prior" in made else True
    assert json.loads((tmp_path / "a" / "samples.json").read_text())["prior"] == "bourgain"
    made = sample(Request(run.path, interpolate=True, count=2, frames=2, out=tmp_path / "w", device="cpu"))
    assert made["way"] == "straight lines"


def test_a_transfer_from_it_is_refused(run):
    recipe = load_recipe(None, {"method.name": "finetune", "method.pretrained": str(run.path)})
    with pytest.raises(UsageError, match="a transfer draws them from a standard normal"):
        open_pretrained(recipe)
