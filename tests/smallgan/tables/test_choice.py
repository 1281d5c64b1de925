"""What is chosen for the user, and what the user's own keys are worth against it."""

from dataclasses import replace

import pytest

from smallgan.core.weights import SHIPPED_GAN, run_folder
from smallgan.tables.choice import FEW_IMAGES, RULES, SHORT_MINUTES, Situation, choose, model_of_size, with_choice
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import dump_recipe, load_recipe, read_recipe

MANY = Situation(num_images=1000, size=64, device="cpu", has_bf16=True, may_mirror=True)


def test_every_setting_of_every_rule_is_a_key_of_a_recipe():
    for rule in RULES:
        recipe = load_recipe(None, rule.settings)
        assert with_choice(load_recipe(None), rule.settings) == recipe


@pytest.mark.parametrize(("number", "target"), [(FEW_IMAGES - 1, None), (FEW_IMAGES, 0.6)])
def test_few_images_are_all_augmented_in_the_discriminator_and_of_many_as_many_as_it_takes(number, target):
    settings, reasons = choose(replace(MANY, num_images=number))
    assert settings["method.diffaugment"] == "color,translation"
    assert settings.get("method.ada_target") == target
    assert any("fewer than 500 images" in reason for reason in reasons) is (number < FEW_IMAGES)


def test_what_the_device_or_the_set_does_not_allow_is_not_chosen():
    assert choose(MANY)[0]["train.precision"] == "bf16"
    assert "train.precision" not in choose(replace(MANY, has_bf16=False))[0]
    assert choose(MANY)[0]["method.mirror"] is True
    assert choose(replace(MANY, may_mirror=False))[0]["method.mirror"] is False  # FastGAN mirrors unless told not to


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("size", MODELS["fastgan"].sizes)
def test_the_chosen_model_makes_the_size_that_was_asked_for(size, device):
    settings, reasons = choose(replace(MANY, size=size, device=device))
    recipe = with_choice(load_recipe(None, {"data.size": size, **model_of_size(size)}), settings)
    assert size in MODELS[recipe.model.name].sizes
    assert recipe.model.name == ("dcgan" if size <= 128 else "fastgan")
    assert any("FastGAN" in reason for reason in reasons) is (size > 128)


@pytest.mark.parametrize("size", [None, 64, 100, "large"])
def test_no_model_is_chosen_early_for_a_size_that_the_dcgan_makes_or_nothing_does(size):
    assert model_of_size(size) == {}


def test_a_key_that_was_given_holds():
    recipe = load_recipe(None, {"train.batch_size": 12, "model.base_width": 64})
    chosen = with_choice(recipe, choose(MANY)[0])
    assert (chosen.train.batch_size, chosen.model.base_width, chosen.model.d_width) == (12, 64, 32)


@pytest.mark.parametrize("number", [100, FEW_IMAGES])
@pytest.mark.parametrize(
    "own", [{"method.diffaugment": "none"}, {"method.diffaugment": "color", "method.diffaugment_probability": 0.3}]
)
def test_no_key_is_chosen_that_what_was_given_leaves_unread_and_the_recipe_reads_back(number, own, tmp_path):
    settings, reasons = choose(replace(MANY, num_images=number), own)
    chosen = with_choice(load_recipe(None, own), settings)
    assert chosen.method.ada_target is None
    assert not any("ADA" in reason for reason in reasons)
    (tmp_path / "recipe.yaml").write_text(dump_recipe(chosen))
    assert read_recipe(tmp_path / "recipe.yaml").method == chosen.method


def test_reasons_say_what_holds_in_the_end():
    _, reasons = choose(MANY, {"train.batch_size": 4})
    assert reasons[0].endswith("more a minute on a CPU (but train.batch_size 4)")
    _, reasons = choose(replace(MANY, num_images=100, device="cuda"))
    assert reasons[0].endswith("(but model.base_width 48, model.d_width 32)")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"num_images": FEW_IMAGES - 1}, True),
        ({"num_images": FEW_IMAGES - 1, "device": "cuda"}, True),
        ({"num_images": FEW_IMAGES}, False),
        ({"minutes": SHORT_MINUTES}, True),
        ({"minutes": SHORT_MINUTES + 1}, False),
        ({"minutes": 1, "device": "cuda"}, False),
        ({"minutes": 1, "size": 32}, False),
        ({"num_images": 100, "size": 32}, False),
        ({"num_images": 100, "size": 128}, False),
    ],
)
def test_few_images_or_few_minutes_at_its_size_start_from_the_gan_that_ships(changes, found):
    settings, reasons = choose(replace(MANY, **changes))
    assert settings.get("train.init") == (SHIPPED_GAN if found else None)
    assert any(SHIPPED_GAN in reason for reason in reasons) is found
    if found:  # its widths, whatever the device would have
        shipped = read_recipe(run_folder(SHIPPED_GAN) / "recipe.yaml").model
        assert (shipped.base_width, shipped.d_width) == (settings["model.base_width"], settings["model.d_width"])


@pytest.mark.parametrize("key", ["train.init", "method.pack"])
def test_keys_that_contradict_the_gan_that_ships_leave_it_out(key):
    few = replace(MANY, num_images=100, device="cuda")
    settings, reasons = choose(few, {key: 2})
    assert settings["model.base_width"] == 64
    assert not any(SHIPPED_GAN in reason for reason in reasons)
