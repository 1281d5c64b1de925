"""Twenty broken recipes: each mistake is told by its path, with the value found and what is allowed, all at once."""

import pytest

from augment.errors import UsageError
from smallgan.tables.recipe import load_recipe

GRID = "grid:\n  - {name: a, augment.policy: hflip}\n"

BROKEN = {
    "an unknown key": ("train: {step: 300}", ["train.step: no such key, found 300", "did you mean 'train.steps'"]),
    "an unknown section": ("trian: {steps: 3}", ["trian: no such key", "did you mean 'train'"]),
    "a key of another section": ("train: {size: 64}", ["train.size: no such key", "did you mean 'data.size'"]),
    "a value that is not offered": ("data: {size: 48}", ["data.size", "32, 64, 128, 256 or 512", "found 48"]),
    "a word for a number": ("train: {steps: many}", ["train.steps", "valid integer", "found 'many'"]),
    "too small a number": ("train: {batch_size: 1}", ["train.batch_size", "greater than or equal to 2", "found 1"]),
    "a share above one": ("data: {holdout: 1.5}", ["data.holdout", "less than 1", "found 1.5"]),
    "a negative rate": ("train: {lr_g: -1}", ["train.lr_g", "greater than 0", "found -1"]),
    "two amounts": ("augment: {ratio: '1:1', count: 5}", ["augment", "give ratio or count, not both"]),
    "a section without keys": ("train: 3", ["train", "found 3"]),
    "an unknown metric": ("score: {metrics: [fidd]}", ["score.metrics.0", "'kid'", "found 'fidd'"]),
    "a seed twice": ("seeds: [1, 2, 1]", ["seeds: [1, 2, 1] names one twice"]),
    "no seed": ("seeds: []", ["seeds", "at least 1 item", "found []"]),
    "an unknown budget": ("budget: hours", ["budget", "'steps' or 'epochs'", "found 'hours'"]),
    "a name for a folder": ("name: a/b", ["name", "found 'a/b'"]),
    "a DCGAN to transfer": (
        "train: {model: dcgan}\ntransfer: {method: apgc}",
        ["a transfer adapts a BigGAN: leave train.model out, or give biggan"],
    ),
    "a grid that is a word": ("grid: hflip", ["grid", "found 'hflip'"]),
    "an empty list in a product": ("grid: {augment.policy: []}", ["grid.augment.policy: needed a list", "found []"]),
    "a value in place of a list": ("grid: {augment.policy: hflip}", ["grid.augment.policy", "found 'hflip'"]),
    "a variant without a name": ("grid: [{augment.policy: hflip}]", ["grid[0].name", "needed a name", "found None"]),
    "two variants of one name": (
        GRID + "  - {name: A, augment.policy: vflip}",
        ["grid[1] (A): grid[0] (a) has"],
    ),
    "the same variant twice": (GRID + "  - {name: b, augment.policy: hflip}", ["grid[1] (b): the same as grid[0] (a)"]),
    "an unknown key in a variant": (
        "grid: [{name: a, augment.polcy: hflip}]",
        ["grid[0] (a): augment.polcy: no such key, found 'hflip'", "did you mean 'augment.policy'"],
    ),
    "a value out of range in a variant": (
        "grid: [{name: a, train.steps: 0}]",
        ["grid[0] (a): train.steps", "greater than or equal to 1", "found 0"],
    ),
    "a value out of range in a product": (
        "grid: {train.lr_d: [0.1, -0.1]}",
        ["grid (lr_d=-0.1): train.lr_d", "greater than 0", "found -0.1"],
    ),
    "a variant that goes into a value": (
        "grid: [{name: a, name.first: 3}]",
        ["grid[0] (a).name.first: a variant cannot change name.first"],
    ),
    "seeds in a variant": (
        "grid: {seeds: [[1], [2]]}",
        ["grid.seeds: all variants are run under the same seeds", "beside grid"],
    ),
    "too large a product": (
        "grid: {train.steps: [" + ", ".join(map(str, range(1, 502))) + "]}",
        ["grid: 501 variants; needed at most 500"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_recipe_is_told_by_path_value_and_what_is_allowed(tmp_path, name):
    text, wanted = BROKEN[name]
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "1 mistake(s)" in message, message
    assert [part for part in wanted if part not in message] == [], message


def test_the_mistakes_of_the_recipe_and_of_all_its_variants_are_told_at_once(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "data: {size: 48}\nscore: {num_fakes: 8}\n"
        "grid:\n  - {name: a, train.steps: 0}\n  - {name: b, train.beta1: 2, data: {fitt: crop}}\n  - {name: c}\n",
        encoding="utf-8",
    )
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("5 mistake(s)")
    assert [line.split(": ")[:2] for line in map(str.strip, lines[1:])] == [
        ["data.size", "input should be 32, 64, 128, 256 or 512, found 48"],
        ["score.num_fakes", "no such key, found 8; did you mean 'score.num_fake'?"],
        ["grid[0] (a)", "train.steps"],
        ["grid[1] (b)", "data.fitt"],
        ["grid[1] (b)", "train.beta1"],
    ]
