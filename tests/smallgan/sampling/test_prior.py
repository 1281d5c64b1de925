"""Where latents come from: each run says how it should be sampled, and every command follows it."""

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from augment.build.plan import make_plan
from augment.errors import UsageError
from augment.imaging.codec import decode
from augment.sources.readers import open_source
from smallgan.core.rng import Stream, normal
from smallgan.data.images import grid, to_pixels
from smallgan.metrics.run_scorer import RunScorer
from smallgan.sampling.export import export
from smallgan.sampling.latents import GeneratorSource, Inputs, draw_inputs, generate, interpolate, sample_pixels
from smallgan.sampling.loading import load_codes, load_model
from smallgan.sampling.prior import NORMAL, Prior, check_around_codes
from smallgan.sampling.request import Request
from smallgan.sampling.sample import sample
from smallgan.tables.recipe import load_recipe
from smallgan.training.train import train

CPU = torch.device("cpu")
TINY = {
    "method.name": "bsa",
    "method.latents": "learned",
    "method.perceptual": "none",
    "train.steps": 2,
    "train.batch_size": 4,
    "train.report_every": 2,
    "train.snapshot_every": 2,
    "score.metrics": [],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A BSA run by its own advice, and one that is to be sampled from N(0, I)."""
    root = tmp_path_factory.mktemp("runs")
    made = {}
    for name, around in (("around", 0.6), ("normal", None)):
        recipe = load_recipe(None, TINY | {"data.limit": 12, "method.around_codes": around})
        made[name] = train(recipe, out=root / name, device="cpu", log=lambda _line: None)
    matched = {key: value for key, value in TINY.items() if key != "method.latents"} | {"data.limit": 12}
    recipe = load_recipe(None, matched | {"method.latents": "imle"})
    made["matched"] = train(recipe, out=root / "matched", device="cpu", log=lambda _line: None)
    return made


def test_a_standard_normal_is_drawn_at_its_address():
    at = [(5, 0), (5, 3), (-2, 1)]
    expected = np.stack([normal(seed, Stream.SAMPLE_LATENTS, k, (4,)) for seed, k in at])
    np.testing.assert_array_equal(NORMAL.latents(at, 4), expected)


def test_latents_walk_through_all_codes_and_lie_as_far_off_as_asked():
    codes = np.random.default_rng(0).normal(3.0, 2.0, (5, 7)).astype(np.float32)
    at = [(4, k) for k in range(10)]
    exact = Prior(codes, 0.0).latents(at, 7)
    assert {tuple(row) for row in exact[:5]} == {tuple(row) for row in codes}
    np.testing.assert_array_equal(exact[:5], exact[5:])
    off = (Prior(codes, 0.5).latents(at, 7) - exact) / codes.std()
    np.testing.assert_allclose(off, 0.5 * NORMAL.latents(at, 7), atol=1e-5)
    np.testing.assert_array_equal(Prior(codes, 0.5).latents(at, 7)[4:5], Prior(codes, 0.5).latents(at[4:5], 7))


@pytest.mark.parametrize("spread", [-0.1, float("inf"), float("nan")])
def test_a_spread_that_cannot_be_is_refused(spread):
    with pytest.raises(UsageError, match="--around-codes"):
        check_around_codes(spread)


def test_an_adapter_is_sampled_around_its_codes_unless_the_recipe_or_the_user_says_otherwise(runs, tmp_path):
    model = load_model(runs["around"].path, CPU)
    assert model.prior.describe() == {"prior": "around_codes", "around_codes": 0.6}
    inputs = draw_inputs(model, [(0, 0)])
    np.testing.assert_array_equal(inputs.z, model.prior.latents([(0, 0)], model.generator.z_dim))
    assert load_model(runs["normal"].path, CPU).prior.describe() == {"prior": "normal"}
    assert not np.array_equal(sample_pixels(model, 2, 0), sample_pixels(load_model(runs["normal"].path, CPU), 2, 0))
    made = sample(Request(runs["around"].path, count=1, out=tmp_path / "a", device="cpu"))
    assert (made["prior"], made["around_codes"]) == ("around_codes", 0.6)
    made = sample(Request(runs["around"].path, count=1, prior="normal", out=tmp_path / "b", device="cpu"))
    assert made["prior"] == "normal"
    with pytest.raises(UsageError, match="--prior codes"):
        sample(Request(runs["around"].path, prior="codes", out=tmp_path / "c", device="cpu"))


def test_matched_latents_are_of_the_prior_so_their_run_is_sampled_from_it(runs, tiny_set):
    model = load_model(runs["matched"].path, CPU)
    assert model.prior.describe() == {"prior": "normal"}
    at = [(3, 0), (3, 1)]
    np.testing.assert_array_equal(draw_inputs(model, at).z, NORMAL.latents(at, model.generator.z_dim))
    plan = make_plan(open_source(tiny_set), "gan", count=2, size=32, format="png", generator=GeneratorSource(model))
    assert plan.settings["generator"]["prior"] == "normal"
    images = list(generate(model, draw_inputs(model, at)))
    np.testing.assert_array_equal(sample_pixels(model, 2, 3), images)  # what is scored


def test_gan_images_follow_it_and_the_plan_says_so(runs, tiny_set):
    source = GeneratorSource(load_model(runs["around"].path, CPU))
    plan = make_plan(open_source(tiny_set), "gan", count=2, size=32, format="png", generator=source)
    said = json.loads(json.dumps(plan.settings))["generator"]
    assert (said["prior"], said["around_codes"]) == ("around_codes", 0.6)
    pixels = np.stack([image for image, _ in source.draw([0, 1], 0)])
    np.testing.assert_array_equal(pixels, sample_pixels(source.model, 2, 0))


@pytest.mark.parametrize("name", ["around", "normal", "matched"])
def test_an_exported_generator_is_sampled_as_its_run_is(runs, tmp_path, name):
    model = load_model(runs[name].path, CPU)
    file = export(model, "safetensors", tmp_path / "one.safetensors")[0]
    found = load_model(file, CPU)
    assert found.prior.describe() == model.prior.describe()
    np.testing.assert_array_equal(sample_pixels(found, 2, 5), sample_pixels(model, 2, 5))


@pytest.mark.parametrize("name", ["around", "normal", "matched"])
def test_the_grids_that_a_report_shows_are_drawn_by_it(runs, name):
    model = load_model(runs[name].path, CPU)
    noise = normal(0, Stream.GRID_LATENTS, 0, (36, model.generator.z_dim))
    images = model.generator(torch.from_numpy(model.prior.place(noise, 0)))
    found = decode(runs[name].fakes(2).read_bytes(), "grid")
    np.testing.assert_array_equal(found, grid(to_pixels(images)))


@pytest.mark.parametrize("name", ["around", "matched"])
def test_what_is_scored_is_drawn_by_it(runs, name, monkeypatch):
    model, seen = load_model(runs[name].path, CPU), []
    monkeypatch.setattr("smallgan.metrics.run_scorer.extract_all", lambda pixels, nets: seen.append(pixels) or nets)
    scorer = SimpleNamespace(num_fake=3, seed=4, judges=[])
    RunScorer.fakes_of(scorer, model)
    at = [(4, k) for k in range(3)]
    wanted = list(generate(model, Inputs(model.prior.latents(at, model.generator.z_dim))))
    np.testing.assert_array_equal(seen[0], wanted)


@pytest.mark.parametrize(("name", "straight"), [("around", True), ("matched", False)])
def test_a_transfer_is_interpolated_between_training_images_as_their_latents_lie(runs, tmp_path, name, straight):
    model = load_model(runs[name].path, CPU)
    made = sample(Request(runs[name].path, interpolate=True, frames=2, out=tmp_path / "way", device="cpu"))
    way = "straight lines" if straight else "great circles"
    assert (made["codes"], made["count"], made["way"]) == ([0, 1, 2, 3, 4], 5, way)
    codes = load_codes(model)[:5]
    rows = [
        pixels
        for pair in pairwise(codes)
        for pixels in generate(model, Inputs(interpolate(np.stack(pair), 7, straight=straight)))
    ]
    strip = decode((tmp_path / "way" / "strip.png").read_bytes(), "strip")
    np.testing.assert_array_equal(strip, grid(rows, columns=8))


@pytest.mark.parametrize(("name", "straight"), [("around", True), ("normal", False)])
def test_drawn_latents_are_joined_as_their_prior_lies(runs, tmp_path, name, straight):
    made = sample(Request(runs[name].path, interpolate=True, count=2, frames=2, out=tmp_path / "w", device="cpu"))
    assert (made["codes"], made["way"]) == (None, "straight lines" if straight else "great circles")
