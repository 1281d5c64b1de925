"""Sampling: image k depends on (seed, k) only, from generators of every kind."""

import numpy as np
import pytest
import torch
from PIL import Image
from pretrained_files import deep_folder, saved, state
from sampled_models import CPU, TINY, Z, biggan_run, dcgan_run, generator, pretrained_file, transfer_run

from augment.errors import FailedError, InputError, UsageError
from augment.imaging.codec import encode_png
from smallgan.core.checkpoint import TENSORS
from smallgan.models.biggan import BigGANDiscriminator
from smallgan.models.biggan_deep import BigGANDeepConfig, BigGANDeepGenerator
from smallgan.models.pretrained import save_generator
from smallgan.sampling.latents import (
    GeneratorSource,
    Inputs,
    addresses,
    draw_inputs,
    draw_labels,
    find_class,
    generate,
    interpolate,
    parse_seeds,
    sample_pixels,
    truncated_latents,
)
from smallgan.sampling.loading import load_codes, load_model
from smallgan.sampling.prior import NORMAL, Prior
from smallgan.sampling.writers import write_interpolation, write_samples


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dcgan_run(tmp_path_factory.mktemp("runs") / "00000-train")


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return biggan_run(tmp_path_factory.mktemp("runs") / "00000-classes")


def latents(asked, z_dim, truncation=None):
    return NORMAL.latents(asked, z_dim) if truncation is None else truncated_latents(asked, z_dim, truncation)


def latents_around(asked, codes, spread):
    return Prior(codes, spread).latents(asked, codes.shape[1])


def images(model, inputs):
    return np.stack(list(generate(model, inputs)))


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


def test_the_source_for_augment_names_the_classes_that_it_draws(run, classes, tmp_path):
    model, numbers = load_model(classes.path, CPU), [*range(40, 0, -1)]
    source = GeneratorSource(model)
    labels = source.labels(numbers, 5)
    assert set(labels) == {"ape", "bee", "cat"}
    one = find_class(model, labels[3])
    asked = draw_inputs(model, [(5, numbers[3])])
    assert asked.labels.tolist() == [one]
    assert labels[3:5] == source.labels(numbers[3:5], 5), "of (seed, k) alone"
    for nameless in (run.path, pretrained_file(tmp_path)):
        assert GeneratorSource(load_model(nameless, CPU)).labels([0, 1], 5) == [None, None]


def test_a_run_a_checkpoint_and_a_step_name_the_same_model(run):
    models = [load_model(run.path, CPU), load_model(run.checkpoint(3), CPU), load_model(run.path, CPU, "3")]
    assert len({model.sha256 for model in models}) == 1
    assert {model.run.name for model in models} == {"00000-train"}


def test_what_is_no_model_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="no file of weights in this folder"):
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
    inputs, names = draw_inputs(model, addresses(5, 0, None)), [f"{k}.png" for k in range(5)]
    written = write_samples(generate(model, inputs), names, tmp_path / "s", encode_png)
    assert [path.name for path in written] == ["grid.png", *names]
    assert all(path.is_file() for path in written)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "s/images/4.png")), sample_pixels(model, 5, 0)[4])
    write_interpolation(model, draw_inputs(model, addresses(3, 0, None)), tmp_path / "i", frames=4)
    assert Image.open(tmp_path / "i/strip.png").size == (8 * 34 - 2, 2 * 34 - 2)
    assert Image.open(tmp_path / "i/loop.gif").n_frames == 3 * 4


def test_truncation_draws_again_what_lies_beyond_and_nothing_else():
    drawn = addresses(400, 3, None)
    plain, cut = latents(drawn, 50), latents(drawn, 50, 0.7)
    assert cut.dtype == np.float32
    assert np.abs(cut).max() <= np.float32(0.7)
    inside = np.abs(plain) <= 0.7
    np.testing.assert_array_equal(cut[inside], plain[inside])
    # What was drawn again lies within the bound, all over it, and not at the bound, where cutting would have put it.
    again = cut[~inside]
    assert np.abs(again).max() > 0.69
    assert (np.abs(again) == np.float32(0.7)).mean() < 0.001
    assert len(np.unique(again)) > 0.99 * len(again)
    # Standard deviation of a standard normal truncated at 0.7: sqrt(1 - 2 T pdf(T) / (cdf(T) - cdf(-T))) = 0.3889.
    assert cut.std() == pytest.approx(0.3889, abs=0.004)
    assert again.std() == pytest.approx(0.3889, abs=0.006)
    np.testing.assert_array_equal(latents(drawn, 50, 9.0), plain)
    np.testing.assert_array_equal(latents(drawn[17:19], 50, 0.7), cut[17:19])
    assert np.abs(latents(drawn[:2], 50, 1e-9)).max() <= 1e-9
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="above 0"):
            latents(drawn[:1], 4, bad)


def test_classes_are_drawn_by_address_or_named(classes, run):
    model = load_model(classes.path, CPU)
    assert model.classes == ("ape", "bee", "cat")
    drawn = addresses(60, 1, None)
    labels = draw_labels(model, drawn)
    assert set(labels) == {0, 1, 2}
    np.testing.assert_array_equal(draw_labels(model, drawn[7:9]), labels[7:9])
    whole, bees = images(model, draw_inputs(model, drawn)), images(model, draw_inputs(model, drawn, label="bee"))
    same = (whole == bees).all(axis=(1, 2, 3))
    assert same[labels == 1].all()
    assert not same[labels != 1].any()
    assert [find_class(model, label) for label in ("cat", "0", "2")] == [2, 0, 2]
    with pytest.raises(UsageError, match=r"did you mean 'ape'.*0 to 2: ape, bee, cat"):
        find_class(model, "apes")
    with pytest.raises(UsageError, match="no such class; there are 0 to 2"):
        find_class(model, "3")
    with pytest.raises(UsageError, match="no classes to choose from"):
        find_class(load_model(run.path, CPU), "0")


def test_interpolation_is_of_one_class_and_within_the_truncation(classes, tmp_path, monkeypatch):
    model, seen = load_model(classes.path, CPU), []

    def listen(model, inputs):
        seen.append(inputs)
        return generate(model, inputs)

    monkeypatch.setattr("smallgan.sampling.writers.generate", listen)
    ends = draw_inputs(model, addresses(3, 8, None), truncation=0.2)
    write_interpolation(model, ends, tmp_path, 3, truncation=0.2)
    assert [len(each.z) for each in seen] == [8, 8, 9]
    assert {label for each in seen for label in each.labels} == {ends.labels[0]}
    assert max(np.abs(each.z).max() for each in seen) <= np.float32(0.2)
    np.testing.assert_array_equal(seen[2].z[::3], ends.z)


def test_codes_are_joined_by_straight_lines():
    ends = np.array([[0.0, 4.0], [2.0, 0.0]], np.float32)
    np.testing.assert_allclose(interpolate(ends, 4, straight=True)[1:3], [[0.5, 3.0], [1.0, 2.0]])
    opposite = interpolate(np.array([[1.0], [-1.0]], np.float32), 2)
    np.testing.assert_allclose(opposite, [[1], [0], [-1]], atol=1e-6)
    np.testing.assert_allclose(interpolate(np.zeros((2, 3), np.float32), 2), np.zeros((3, 3)))


def test_pretrained_files_are_sampled_as_they_are(tmp_path):
    path = pretrained_file(tmp_path)
    model = load_model(path, CPU)
    drawn = draw_inputs(model, addresses(32, 0, None))
    with torch.inference_mode():
        wanted = generator()(torch.from_numpy(drawn.z), torch.from_numpy(drawn.labels))
    wanted = wanted.clamp(-1, 1).add(1).mul(127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(images(model, drawn) - wanted).max() <= 1
    assert model.run is None
    (tmp_path / "classes.txt").write_text("a\nbö\nc\n", encoding="utf-8")
    assert load_model(path, CPU).classes == ("a", "bö", "c")
    (tmp_path / "classes.txt").write_text("a\n", encoding="utf-8")
    short = load_model(path, CPU)
    assert short.classes == ()
    assert "1 names for 3 classes" in short.notes[-1]


def test_a_deep_biggan_takes_the_moments_of_the_truncation(tmp_path):
    layers = ((True, 4, 4), (True, 4, 2), (True, 2, 1))
    own = {"output_dim": 32, "z_dim": Z, "class_embed_dim": 4, "channel_width": 8, "num_classes": 3, "layers": layers}
    torch.manual_seed(0)  # of some draws every pixel is black or white, with any moments
    network = BigGANDeepGenerator(BigGANDeepConfig(**own, attention_layer_position=2, n_stats=11))
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("running_means"):
                buffer.copy_(torch.linspace(0, 1, 11)[:, None].expand_as(buffer))
    folder = deep_folder(tmp_path / "deep", network.eval())
    inputs = Inputs(latents([(0, 0)], Z), np.array([1]))
    found = {each: load_model(folder, CPU, truncation=each) for each in (None, 0.5, 3.0)}
    made = {each: images(model, inputs) for each, model in found.items()}
    assert "moments of truncation 0.5" in found[0.5].notes
    np.testing.assert_array_equal(made[None], made[3.0])
    assert not np.array_equal(made[None], made[0.5])


@pytest.mark.parametrize("method", ["bsa", "apgc"])
def test_adapters_are_sampled_on_the_generator_that_they_adapt(tmp_path, tiny_set, method):
    pretrained = pretrained_file(tmp_path)
    run, trainer = transfer_run(tmp_path / "r", tiny_set, pretrained, method)
    for name in (run.path, run.checkpoint(2), run.checkpoint(2) / TENSORS):
        model = load_model(name, CPU)
        assert model.step == 2
        z = latents(addresses(3, 0, None), Z)
        with torch.no_grad():
            wanted = trainer.generator_ema(torch.from_numpy(z)).add(1).mul(127.5).round().permute(0, 2, 3, 1)
        assert np.abs(images(model, Inputs(z)) - wanted.numpy()).max() <= 1
    assert load_codes(model).shape == (12, Z)
    assert draw_labels(model, addresses(2, 0, None)) is None
    save_generator(pretrained, generator(seed=1))
    with pytest.raises(InputError, match=r"not the file that this run adapted"):
        load_model(run.path, CPU)
    pretrained.unlink()
    with pytest.raises(InputError, match=r"that this run adapted cannot be loaded.*tiny\.safetensors"):
        load_model(run.path, CPU)


def test_models_without_codes_and_broken_weights_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="no latents of training images"):
        load_codes(load_model(run.path, CPU))
    path = pretrained_file(tmp_path)
    with pytest.raises(UsageError, match="no latents of training images"):
        load_codes(load_model(path, CPU))
    model = load_model(path, CPU)
    model.generator.shared.weight.fill_(float("nan"))
    with pytest.raises(FailedError, match="not finite"):
        sample_pixels(model, 1, 0)
    with pytest.raises(UsageError, match="is no run"):
        load_model(path, CPU, "best")


def test_an_official_folder_is_sampled_by_its_averaged_generator_and_a_discriminator_is_refused(tmp_path):
    saved(tmp_path / "G_ema.pth", state(generator()), old=True)
    saved(tmp_path / "G.pth", state(generator(seed=1)))
    inputs = Inputs(latents([(0, 0), (0, 1)], Z), np.array([0, 2]))
    (tmp_path / "own").mkdir()
    wanted = images(load_model(pretrained_file(tmp_path / "own"), CPU), inputs)
    for path in (tmp_path, tmp_path / "G_ema.pth"):
        model = load_model(path, CPU)
        assert model.path == tmp_path / "G_ema.pth"
        np.testing.assert_array_equal(images(model, inputs), wanted)
    plain = load_model(tmp_path / "G.pth", CPU)
    assert "plain weights" in plain.notes[0]
    assert not np.array_equal(images(plain, inputs), wanted)
    saved(tmp_path / "D.pth", state(BigGANDiscriminator(TINY)))
    with pytest.raises(InputError, match="discriminator"):
        load_model(tmp_path / "D.pth", CPU)


def test_latents_around_codes_walk_through_all_codes_and_lie_as_far_off_as_asked():
    codes = np.random.default_rng(3).normal(size=(7, 400)).astype(np.float32)
    asked = addresses(21, 5, None)
    at = latents_around(asked, codes, 0)
    places = [int(np.flatnonzero((codes == z).all(axis=1))[0]) for z in at]
    assert places == [(places[0] + k) % 7 for k in range(21)]
    off = (latents_around(asked, codes, 0.5) - at) / codes.std()
    assert np.std(off) == pytest.approx(0.5, rel=0.03)  # 8,400 draws
    np.testing.assert_array_equal(off.argmax(axis=1), latents(asked, 400).argmax(axis=1))
    np.testing.assert_array_equal(latents_around(asked, codes, 0.5)[4:5], latents_around(asked[4:5], codes, 0.5))
    assert len({tuple(z) for z in latents_around(addresses(None, 0, range(30)), codes, 0)}) > 3
