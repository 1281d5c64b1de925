"""Exported generators make the images of the generators that they came from, and need nothing beside them."""

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from pretrained_files import deep_folder
from safetensors.torch import load_file, save_file
from sampled_models import CPU, SIZE, biggan_run, dcgan_run, pixels, pretrained_file, run_of, transfer_run
from tiny_networks import shaken
from typer.testing import CliRunner

import smallgan as sg
from augment.core.files import write_json
from augment.errors import FailedError, InputError, MissingError, UsageError
from smallgan.cli import app
from smallgan.core.run_dir import append_jsonl
from smallgan.data.images import ImageBatches
from smallgan.models.biggan_deep import BigGANDeepConfig, BigGANDeepGenerator
from smallgan.models.pretrained import load_pretrained
from smallgan.sampling import export as module
from smallgan.sampling.export import MOST_DIFFERENCE, export
from smallgan.sampling.latents import addresses, draw_inputs, generate_images
from smallgan.sampling.loading import has_learned_codes, load_codes, load_model
from smallgan.sampling.model_card import FILL_IN, model_card
from smallgan.sampling.pretrained import class_names, find_pretrained
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer

DEEP = BigGANDeepConfig(
    32, 6, 6, 8, 5, ((False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1), (True, 1, 1)), 3, n_stats=3
)


def fastgan_run(path):
    small = {"model.name": "fastgan", "data.size": SIZE, "model.base_width": 2, "train.batch_size": 4}
    recipe = load_recipe(None, small)
    trainer = build_trainer(recipe, CPU)
    trainer.step(ImageBatches(pixels(), 4, 0, CPU).batch(0), 0)
    return run_of(trainer, recipe, path, 3)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A generator of each kind, by name."""
    root = tmp_path_factory.mktemp("generators")
    source = root / "photos"
    source.mkdir()
    for number, image in enumerate(pixels()):
        Image.fromarray(image).save(source / f"{number}.png")
    pretrained = pretrained_file(root)
    released = load_file(pretrained)
    torch.save({name: each for name, each in released.items() if not name.endswith(".sv0")}, root / "tf-hub.pth")
    deep = shaken(BigGANDeepGenerator(DEEP))
    return {
        "dcgan": dcgan_run(root / "dcgan").path,
        "fastgan": fastgan_run(root / "fastgan").path,
        "biggan": biggan_run(root / "biggan").path,
        "apgc": transfer_run(root / "apgc", source, pretrained)[0].path,
        "bsa": transfer_run(root / "bsa", source, pretrained, "bsa")[0].path,
        "pretrained": pretrained,
        "tf-hub": root / "tf-hub.pth",
        "deep": deep_folder(root / "deep", deep),
    }


def images_of(model, count=5):
    inputs = draw_inputs(model, addresses(count, 3, None))
    return inputs, torch.cat(list(generate_images(model, inputs))).numpy()


KINDS = ("dcgan", "fastgan", "biggan", "apgc", "bsa", "pretrained", "deep")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra [export]")
@pytest.mark.parametrize("kind", ["dcgan", "fastgan", "biggan", "apgc"])
def test_onnxruntime_makes_the_same_images(places, tmp_path, kind):
    import onnxruntime

    model = load_model(places[kind], CPU)
    if kind in ("dcgan", "fastgan"):  # they have just begun, and make images that are nearly gray all over
        last = [each for each in model.generator.parameters() if each.ndim == 4][-1]
        while images_of(model)[1].std() < 0.1:
            last.data *= 4
    inputs, wanted = images_of(model)  # five, where the export saw four
    assert wanted.std() > 0.05
    files = export(model, "onnx", tmp_path / "made" / "generator.onnx")
    session = onnxruntime.InferenceSession(str(files[0]), providers=["CPUExecutionProvider"])
    given = {"z": inputs.z} | ({} if inputs.labels is None else {"labels": inputs.labels})
    assert {each.name for each in session.get_inputs()} == set(given)
    [found] = session.run(["images"], given)
    assert np.abs(found - wanted).max() <= MOST_DIFFERENCE
    about = json.loads(session.get_modelmeta().custom_metadata_map["smallgan"])
    assert (about["sha256"], about["classes"]) == (model.sha256, list(model.classes))
    assert [file.name for file in files[1:]] == (["generator.codes.npy"] if kind == "apgc" else [])
    if kind == "apgc":
        np.testing.assert_array_equal(np.load(files[1]), model.prior.codes)
        assert about["around_codes"] == 0.6
    assert np.abs(images_of(model)[1] - wanted).max() == 0  # the generator itself is as before


@pytest.mark.parametrize("kind", KINDS)
def test_a_safetensors_file_is_the_whole_generator(places, tmp_path, kind):
    model = load_model(places[kind], CPU)
    [file] = export(model, "safetensors", tmp_path / "alone.safetensors")
    export(load_model(places[kind], CPU), "safetensors", tmp_path / "again.safetensors")
    assert file.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    found = load_model(file, CPU)
    assert (found.step, found.classes, found.run) == (model.step, model.classes, None)
    np.testing.assert_array_equal(images_of(found)[1], images_of(model)[1])
    [copy] = export(found, "safetensors", tmp_path / "copy.safetensors")
    np.testing.assert_array_equal(images_of(load_model(copy, CPU))[1], images_of(model)[1])


def test_what_an_adapter_was_fitted_to_may_be_gone(places, tmp_path):
    shutil.copytree(places["apgc"], tmp_path / "run")
    [file] = sg.export(tmp_path / "run", "safetensors", tmp_path / "alone.safetensors")
    wanted = sg.load(tmp_path / "run").sample(3).pixels
    shutil.rmtree(tmp_path / "run")
    hidden = places["pretrained"].rename(places["pretrained"].with_name("hidden"))
    try:
        np.testing.assert_array_equal(sg.load(file).sample(3).pixels, wanted)
    finally:
        hidden.rename(places["pretrained"])
    assert str(places["pretrained"].parent).encode() not in file.read_bytes()  # no path of this machine


@pytest.mark.parametrize("kind", ["dcgan", "fastgan", "biggan"])
def test_an_exported_generator_is_a_source_as_its_run_is(places, tmp_path, kind):
    [file] = export(load_model(places[kind], CPU), "safetensors", tmp_path / "alone.safetensors")
    of_file, of_run = load_pretrained(file), load_pretrained(places[kind])
    assert (of_file.model, of_file.generator.num_classes) == (kind, of_run.generator.num_classes)
    assert class_names(of_file) == class_names(of_run)
    assert of_file.discriminator is None  # which is not exported
    z, labels = torch.randn(2, of_run.generator.z_dim), torch.zeros(2, dtype=torch.long)
    assert torch.equal(of_file.generator(z, labels), of_run.generator(z, labels))


@pytest.mark.parametrize("kind", ["pretrained", "tf-hub", "deep"])
def test_an_exported_pretrained_file_is_a_source_as_the_file_is(places, tmp_path, kind):
    source = places[kind]
    [file] = export(load_model(source, CPU), "safetensors", tmp_path / "alone.safetensors")
    exported, direct = load_pretrained(file), load_pretrained(source)
    assert exported.config == direct.config  # tf-hub: epsilons of 1e-4, which only the missing sv0 told
    z, labels = torch.randn(2, direct.generator.z_dim), torch.zeros(2, dtype=torch.long)
    assert torch.equal(exported.generator(z, labels), direct.generator(z, labels))


def test_an_exported_deep_generator_has_the_moments_of_each_truncation(places, tmp_path):
    [file] = export(load_model(places["deep"], CPU), "safetensors", tmp_path / "alone.safetensors")
    made = [images_of(load_model(place, CPU, truncation=0.5))[1] for place in (file, places["deep"])]
    np.testing.assert_array_equal(*made)
    assert not np.array_equal(made[0], images_of(load_model(file, CPU))[1])


def test_names_of_classes_stay_with_an_exported_pretrained_file(places, tmp_path):
    shutil.copy(places["pretrained"], tmp_path / "tiny.safetensors")
    (tmp_path / "classes.txt").write_text("ape\nbee\ncat\n", encoding="utf-8")
    named = load_model(tmp_path / "tiny.safetensors", CPU)
    [file] = export(named, "safetensors", tmp_path / "made" / "one.safetensors")
    assert load_model(file, CPU).classes == ("ape", "bee", "cat")
    assert find_pretrained(str(file)).class_vector("bee") == "1"


def test_a_folder_with_one_exported_file_is_that_file(places, tmp_path):
    [file] = export(load_model(places["apgc"], CPU), "safetensors", tmp_path / "export" / "step-2.safetensors")
    found = load_model(file.parent, CPU)
    assert (found.path, found.step) == (file, 2)
    assert has_learned_codes(found)
    np.testing.assert_array_equal(load_codes(found), load_codes(load_model(places["apgc"], CPU)))
    np.testing.assert_array_equal(images_of(found)[1], images_of(load_model(file, CPU))[1])
    around = [sg.load(place, device="cpu").sample(2, around_codes=0.3).pixels for place in (file, places["apgc"])]
    np.testing.assert_array_equal(*around)


def test_an_exported_adapter_does_not_name_the_file_that_its_recipe_named(places, tmp_path):
    model = load_model(places["apgc"], CPU)
    named = {**model.state, "method": {**model.state["method"], "pretrained": "at-home/secret.pth"}}
    [file] = export(replace(model, state=named), "safetensors", tmp_path / "apgc.safetensors")
    assert b"secret.pth" not in file.read_bytes()
    np.testing.assert_array_equal(images_of(load_model(file, CPU))[1], images_of(model)[1])


def test_an_exported_adapter_is_no_source_and_a_damaged_header_is_told(places, tmp_path):
    [file] = export(load_model(places["apgc"], CPU), "safetensors", tmp_path / "apgc.safetensors")
    with pytest.raises(InputError, match="adapted another generator by apgc; name that generator"):
        load_pretrained(file)
    for header in ('{"state": 3}', '{"state": null}', '{"state": null, "built_from": {"kind": "biggan", "config": 1}}'):
        save_file({"g_ema.weight": torch.zeros(1)}, tmp_path / "odd.safetensors", {"smallgan": header})
        with pytest.raises(InputError, match=r"odd\.safetensors: its header is not that of an exported generator"):
            load_pretrained(tmp_path / "odd.safetensors")


def test_the_card_of_a_step_has_the_scores_of_that_step(places, tmp_path):
    shutil.copytree(places["dcgan"], tmp_path / "run")
    identity = {"num_fake": 100, "num_real": 200, "features": "net"}
    score = {"metric": "kid", "label": "KID (net)", "identity": identity, "interval": None, "baseline": None}
    for step, value in ((3, 0.25), (5, 0.5)):
        append_jsonl(tmp_path / "run" / "scores.jsonl", score | {"step": step, "value": value})
    card = model_card(load_model(tmp_path / "run", CPU, "3"), "it", 1)
    assert "| KID (net) | 0.25 |" in card
    assert "0.5 |" not in card


def test_the_card_of_an_exported_generator_names_its_model(places, tmp_path):
    [file] = export(load_model(places["fastgan"], CPU), "safetensors", tmp_path / "one.safetensors")
    assert "A FastGAN that makes images" in model_card(load_model(file, CPU), "again", 1)


@pytest.mark.parametrize("kind", ["dcgan", "apgc", "pretrained"])
def test_a_hub_folder_has_a_card_a_picture_and_loads(places, tmp_path, kind):
    place = places[kind]
    if kind == "dcgan":
        place = tmp_path / "run"
        shutil.copytree(places[kind], place)
        data = {"source": str(tmp_path / "secret" / "photos"), "num_real": 200, "num_images": 300, "size": SIZE}
        write_json(place / "data.json", data | {"resize_mode": "crop", "policy": "hflip", "fingerprint": "ab" * 32})
        identity = {"num_fake": 100, "num_real": 200, "features": "net"}
        score = {"metric": "kid", "label": "KID (net)", "value": 0.25, "identity": identity, "step": 3}
        append_jsonl(place / "scores.jsonl", score | {"interval": [0.2, 0.3], "baseline": 0.01})
    done = CliRunner().invoke(app, ["export", str(place), "--format", "hub", "--out", str(tmp_path / "hub")])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "hub")
    files = {file.name for file in (tmp_path / "hub").iterdir()}
    assert files == {"README.md", "generator.safetensors", "samples.png"}
    assert Image.open(tmp_path / "hub" / "samples.png").size == (6 * (SIZE + 2) - 2,) * 2
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n# license: fill in")
    assert card.count(FILL_IN) >= 2
    assert str(tmp_path) not in card
    if kind == "dcgan":
        assert "| images | 200 originals |" in card
        assert "| from | photos |" in card
        assert "| added | 100 by the policy hflip |" in card
        assert "| KID (net) | 0.25 | 0.2 to 0.3 | 0.01 | 100 against 200 |" in card
    if kind == "apgc":
        assert "The file holds a latent code for each of 8 training images" in card
    np.testing.assert_array_equal(sg.load(tmp_path / "hub").sample(3).pixels, sg.load(place).sample(3).pixels)


def test_own_places_lie_in_the_run_or_here(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [of_run] = sg.load(places["dcgan"]).export("safetensors")
    assert of_run == places["dcgan"] / "export" / "step-000003.safetensors"
    [of_file] = sg.export(places["pretrained"], "safetensors")
    assert of_file.parent.name == "export"
    assert of_file.name.startswith("tiny-")


def test_what_cannot_be_exported_is_told(places, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="--format tflite: use one of onnx, safetensors, hub"):
        sg.export(places["dcgan"], "tflite")
    with pytest.raises(UsageError, match="holds other files; name a new or an empty one"):
        sg.export(places["dcgan"], "hub", places["dcgan"])
    with pytest.raises(UsageError, match=r"--checkpoint ²: .* has last, \[3\]"):
        sg.export(places["dcgan"], "hub", checkpoint="²")
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(MissingError, match=r"needs onnxscript; install with: pip install 'smallgan\[export\]'"):
        sg.export(places["dcgan"], "onnx", tmp_path / "a.onnx")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra [export]")
def test_an_onnx_file_of_other_images_is_not_kept(places, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_DIFFERENCE", -1.0)
    with pytest.raises(FailedError, match="nothing was kept"):
        sg.export(places["dcgan"], "onnx", tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_export_is_told(places, tmp_path):
    [file] = export(load_model(places["dcgan"], CPU), "safetensors", tmp_path / "a.safetensors")
    data = file.read_bytes()
    file.write_bytes(data.replace(b'\\"format\\": 1', b'\\"format\\": 9'))
    with pytest.raises(InputError, match="its format is 9, and this smallgan reads 1"):
        sg.load(file)
    file.write_bytes(data[:-4])
    with pytest.raises(InputError, match="damaged or cut short"):
        sg.load(file)
