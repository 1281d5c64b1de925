"""Sampling: image k depends on (seed, k) only."""

import numpy as np
import pytest
import torch
from PIL import Image

from augment.errors import InputError, UsageError
from smallgan.checkpoint import save_checkpoint
from smallgan.gallery import samples_folder, write_interpolation, write_samples
from smallgan.generators import load_model
from smallgan.images import ImageBatches
from smallgan.recipe import dump_recipe, load_recipe
from smallgan.run import RunDir
from smallgan.sampling import (
    GeneratorSource,
    addresses,
    interpolate,
    latents,
    parse_seeds,
    sample_pixels,
)
from smallgan.training.dcgan import DCGANTrainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = load_recipe(None, {"data.size": 32, "train.base_width": 8, "train.batch_size": 4})
    trainer = DCGANTrainer(recipe, CPU)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    trainer.step(ImageBatches(pixels, 4, 0, CPU).batch(0), 0)
    run = RunDir(tmp_path_factory.mktemp("runs") / "00000-train")
    run.create()
    run.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
    state = {"step": 3, "size": 32, "z_dim": 100, "base_width": 8}
    save_checkpoint(run.checkpoint(3), trainer, state)
    return run


def test_image_k_is_the_same_however_many_are_drawn(run):
    model = load_model(run.path, CPU)
    many = sample_pixels(model, 40, seed=5)
    assert many.shape == (40, 32, 32, 3)
    assert many.dtype == np.uint8
    np.testing.assert_array_equal(sample_pixels(model, 7, seed=5), many[:7])
    assert not np.array_equal(sample_pixels(model, 7, seed=6), many[:7])


def test_the_source_for_augment_draws_what_sample_draws(run):
    model = load_model(run.path, CPU)
    source = GeneratorSource(model)
    drawn = list(source.draw([33, 2], seed=5))
    whole = sample_pixels(model, 34, seed=5)
    assert [origin["k"] for _, origin in drawn] == [33, 2]
    # Another place in the batch may round another way in the last bit of a float, so at most by one level.
    for pixels, origin in drawn:
        assert np.abs(pixels.astype(int) - whole[origin["k"]]).max() <= 1
    assert source.describe()["checkpoint_sha256"] == model.sha256


def test_a_run_a_checkpoint_and_a_step_name_the_same_model(run):
    models = [load_model(run.path, CPU), load_model(run.checkpoint(3), CPU), load_model(run.path, CPU, "3")]
    assert len({model.sha256 for model in models}) == 1
    assert {model.run.name for model in models} == {"00000-train"}


def test_what_is_no_model_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="neither a run folder nor a checkpoint"):
        load_model(tmp_path, CPU)
    with pytest.raises(UsageError, match="--checkpoint 9"):
        load_model(run.path, CPU, "9")
    with pytest.raises(UsageError, match="--checkpoint best"):
        load_model(run.path, CPU, "best")


def test_seed_ranges():
    assert parse_seeds("0,1,4-6") == [0, 1, 4, 5, 6]
    assert addresses(None, 0, parse_seeds("3-4")) == [(3, 0), (4, 0)]
    assert addresses(2, 7, None) == [(7, 0), (7, 1)]
    for text in ("", "a", "3-1", "0-9999999999", "1-"):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(text)


def test_interpolation_keeps_ends_length_and_a_known_middle():
    ends = np.array([[3.0, 0.0], [0.0, 3.0]], np.float32)
    path = interpolate(ends, 2)
    np.testing.assert_allclose(path, [[3, 0], [3 / 2**0.5, 3 / 2**0.5], [0, 3]], atol=1e-6)
    same = np.stack([ends[0], ends[0]])
    np.testing.assert_allclose(interpolate(same, 4), np.repeat(same[:1], 5, axis=0))
    np.testing.assert_array_equal(latents([(1, 2)], 4), latents([(0, 0), (1, 2)], 4)[1:])


def test_files_of_samples_and_interpolation(run, tmp_path):
    model = load_model(run.path, CPU)
    written = write_samples(model, addresses(5, 0, None), tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["grid.png"] + [
        f"sample-{k:05d}.png" for k in range(5)
    ]
    assert written["count"] == 5
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "s/sample-00004.png")), sample_pixels(model, 5, 0)[4]
    )
    write_interpolation(model, addresses(3, 0, None), tmp_path / "i", frames=4)
    assert Image.open(tmp_path / "i/strip.png").size == (8 * 34 - 2, 2 * 34 - 2)
    assert Image.open(tmp_path / "i/loop.gif").n_frames == 3 * 4
    assert samples_folder(model, addresses(5, 0, None), "images").name == "step-000003-images-seed0-x5"
    with pytest.raises(UsageError, match="two latents"):
        write_interpolation(model, addresses(1, 0, None), tmp_path / "j", frames=4)
