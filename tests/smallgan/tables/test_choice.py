"""What is chosen for the user, and what the user's own keys are worth against it."""

from dataclasses import replace

import pytest

from smallgan.tables.choice import FEW_IMAGES, RULES, Situation, choose, with_choice
from smallgan.tables.recipe import load_recipe

MANY = Situation(num_images=1000, size=64, device="cpu", has_bf16=True, may_mirror=True)


def test_every_setting_of_every_rule_is_a_key_of_a_recipe():
    for rule in RULES:
        recipe = load_recipe(None, rule.settings)
        assert with_choice(load_recipe(None), rule.settings) == recipe


def test_few_images_are_augmented_in_the_discriminator_and_many_are_not():
    assert "method.diffaugment" not in choose(MANY)[0]
    settings, reasons = choose(replace(MANY, num_images=FEW_IMAGES - 1))
    assert settings["method.diffaugment"] == "color,translation"
    assert any("fewer than 500 images" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("change", "key"), [({"has_bf16": False}, "train.precision"), ({"may_mirror": False}, "method.mirror")]
)
def test_what_the_device_or_the_set_does_not_allow_is_not_chosen(change, key):
    assert key in choose(MANY)[0]
    assert key not in choose(replace(MANY, **change))[0]


def test_a_key_that_was_given_holds():
    recipe = load_recipe(None, {"train.batch_size": 12, "model.base_width": 64})
    chosen = with_choice(recipe, choose(MANY)[0])
    assert (chosen.train.batch_size, chosen.model.base_width, chosen.model.d_width) == (12, 64, 32)
