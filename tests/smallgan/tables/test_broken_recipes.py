"""Broken recipes: each mistake is told by its line and path, with the value found and what is allowed, all at once."""

import pytest

from augment.errors import UsageError
from smallgan.tables.recipe import load_recipe

GRID = "grid:\n  - {name: a, augment.policy: hflip}\n"

BROKEN = {
    "an unknown key": (
        "train: {step: 300}",
        ["line 1, train.step: no such key, found 300", "did you mean 'train.steps'"],
    ),
    "an unknown section": ("trian: {steps: 3}", ["trian: no such key", "did you mean 'train'"]),
    "a key of another section": ("train: {size: 64}", ["train.size: no such key", "did you mean 'data.size'"]),
    "a value that is not offered": ("data: {size: 48}", ["data.size", "32, 64, 128, 256 or 512", "found 48"]),
    "a word for a number": ("train: {steps: many}", ["train.steps", "valid integer", "found 'many'"]),
    "too small a number": ("train: {batch_size: 1}", ["train.batch_size", "greater than or equal to 2", "found 1"]),
    "a share above one": ("data: {holdout: 1.5}", ["data.holdout", "less than 1", "found 1.5"]),
    "a negative rate": ("method: {lr_g: -1}", ["line 1, method.lr_g", "greater than 0", "found -1"]),
    "two amounts": ("augment: {ratio: '1:1', count: 5}", ["augment", "give ratio or count, not both"]),
    "a section without keys": ("train: 3", ["train", "found 3"]),
    "an unknown metric": (
        "score: {metrics: [fidd]}",
        ["score.metrics.0: unknown metric 'fidd'", "did you mean 'fid'?"],
    ),
    "a seed twice": ("seeds: [1, 2, 1]", ["line 1, seeds: [1, 2, 1] names one twice"]),
    "no seed": ("seeds: []", ["seeds", "at least 1 item", "found []"]),
    "an unknown budget": ("budget: hours", ["budget", "'steps' or 'epochs'", "found 'hours'"]),
    "a name for a folder": ("name: a/b", ["name", "found 'a/b'"]),
    "a DCGAN to transfer": (
        "model: dcgan\nmethod: {name: apgc}",
        ["line 1, model: read by the methods adversarial and imle; this recipe trains by apgc"],
    ),
    "a grid that is a word": ("grid: hflip", ["grid", "found 'hflip'"]),
    "an empty list in a product": ("grid: {augment.policy: []}", ["grid.augment.policy: expected a list", "found []"]),
    "a value in place of a list": ("grid: {augment.policy: hflip}", ["grid.augment.policy", "found 'hflip'"]),
    "a variant without a name": ("grid: [{augment.policy: hflip}]", ["grid[0].name", "expected a name", "found None"]),
    "two variants of one name": (
        GRID + "  - {name: A, augment.policy: vflip}",
        ["grid[1] (A): grid[0] (a) has"],
    ),
    "the same variant twice": (GRID + "  - {name: b, augment.policy: hflip}", ["grid[1] (b): the same as grid[0] (a)"]),
    "an unknown key in a variant": (
        "grid: [{name: a, augment.polcy: hflip}]",
        ["line 1, grid[0] (a): augment.polcy: no such key, found 'hflip'", "did you mean 'augment.policy'"],
    ),
    "a value out of range in a variant": (
        "grid: [{name: a, train.steps: 0}]",
        ["grid[0] (a): train.steps", "greater than or equal to 1", "found 0"],
    ),
    "a value out of range in a product": (
        "grid: {method.lr_d: [0.1, -0.1]}",
        ["line 1, grid (lr_d=-0.1): method.lr_d", "greater than 0", "found -0.1"],
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
        f"grid: {{train.steps: {list(range(1, 402))}, seed: {list(range(250))}, method.lr_g: [1, 2]}}",
        ["grid: 200,500 variants; expected at most 100,000"],
    ),
    "an unknown row": ("loss: hing", ["line 1, loss.name: unknown loss 'hing'; did you mean 'hinge'? There are non"]),
    "an unknown row with its name below": ("model:\n  name: pix", ["line 2, model.name: unknown model 'pix'"]),
    "an unknown regularizer": (
        "regularizers: {lecan: {}}",
        ["regularizers.lecan: no such key", "did you mean 'regularizers.lecam'"],
    ),
    "a regularizer's key": (
        "regularizers:\n  r1: {evry: 3}",
        ["line 2, regularizers.r1.evry", "'regularizers.r1.every'"],
    ),
    "a key of another model": (
        "model:\n  name: dcgan\n  attention: 16",
        ["line 3, model.attention: read by the model biggan; this recipe trains a dcgan"],
    ),
    "a key of another model than the default": (
        "model: {shared_dim: 4}",
        ["read by the model biggan", "trains a dcgan"],
    ),
    "a key that another takes the place of": (
        "method:\n  ema_decay: 0.99\n  ema_kimg: 10",
        ["line 2, method.ema_decay: method.ema_kimg takes its place; leave one of the two out"],
    ),
    "two probabilities": (
        "method: {diffaugment: color, diffaugment_probability: 0.5, ada_target: 0.6}",
        ["method.diffaugment_probability: method.ada_target takes its place"],
    ),
    "a probability of nothing": (
        "method: {diffaugment_probability: 0.5}",
        ["method.diffaugment_probability: read where method.diffaugment is given; this recipe leaves it out"],
    ),
    "a target of nothing": (
        "method: {diffaugment: none, ada_target: 0.6}",
        ["method.ada_target: read where method.diffaugment is given"],
    ),
    "a cap of nothing": ("method: {apa_cap: 0.5}", ["method.apa_cap: read where method.apa_target is given"]),
    "controllers of a loss of differences": (
        "loss: relativistic\nmethod: {apa_target: 0.6}",
        ["line 2, method.apa_target: it needs the discriminator's score", "nonsaturating, minimax, hinge or lsgan"],
    ),
    "a key of class-conditional models": (
        "method:\n  conditional: false",
        ["line 2, method.conditional: read by the models biggan and fastgan; this recipe trains a dcgan"],
    ),
    "a key of a transfer": (
        "method: {pretrained: x}",
        [
            "method.pretrained: read by the methods apgc, bsa, cdc, dcl and finetune",
            "this recipe trains by adversarial",
        ],
    ),
    "a key of one transfer": (
        "method: {name: finetune, group_size: 16}",
        ["method.group_size: read by the method apgc", "this recipe trains by finetune"],
    ),
    "a loss without a discriminator": (
        "method: apgc\nloss: hinge",
        ["line 2, loss: read by the methods adversarial, cdc, dcl and finetune; this recipe trains by apgc"],
    ),
    "a regularizer without a discriminator": (
        "method: bsa\nregularizers: {r1: {}}",
        ["line 2, regularizers: read by the methods adversarial, cdc, dcl and finetune; this recipe trains by bsa"],
    ),
    "a size that the model does not make": (
        "data:\n  size: 256",
        ["line 2, data.size: the model dcgan makes 32, 64, 128 px, found 256"],
    ),
    "a key twice": (
        "train:\n  steps: 3\n  batch_size: 4\n  steps: 5",
        ["line 4, train.steps: this key stands on line 2 too; write it once"],
    ),
    "a section twice": ("seeds: [1]\ntrain: {steps: 3}\nseeds: [2]", ["line 3, seeds: this key stands on line 1 too"]),
    "a key twice in a variant": (
        "grid:\n  - name: a\n    train.steps: 3\n    train.steps: 4",
        ["line 4, grid.0.train.steps: this key stands on line 3 too"],
    ),
    "a policy": ("augment:\n  policy: hflop", ["line 2, augment.policy: ", "did you mean 'hflip'"]),
    "a ratio": ("augment: {ratio: 1:x}", ["line 1, augment.ratio: ", "'1:x'"]),
    "a policy in a variant": (
        "grid:\n  - {name: a, augment.policy: hflip}\n  - {name: b, augment.policy: hflop}",
        ["line 3, grid[1] (b): augment.policy: ", "did you mean 'hflip'"],
    ),
    "a ratio in a product": ("grid:\n  augment.ratio: [1:1, 2]", ["line 2, grid (ratio=2): augment.ratio"]),
    "a key of another model in a variant": (
        "grid:\n  - {name: a}\n  - name: b\n    model.attention: 16",
        ["line 4, grid[1] (b): model.attention: read by the model biggan; this recipe trains a dcgan"],
    ),
    "a method in a variant that does not read the recipe's loss": (
        "loss: hinge\ngrid:\n  - {name: a}\n  - {name: b, method.name: apgc}",
        ["grid[1] (b): loss: read by the methods adversarial, cdc, dcl and finetune; this recipe trains by apgc"],
    ),
}

OLD = {
    "train.model: biggan": "model.name",
    "train.loss: hinge": "loss.name",
    "train.lr_g: 0.1": "method.lr_g",
    "train.ema_decay: 0.9": "method.ema_decay",
    "train.z_dim: 8": "model.z_dim",
    "train.base_width: 8": "model.base_width",
    "biggan.attention: 16": "model.attention",
    "biggan.diffaugment: color": "method.diffaugment",
    "biggan.d_steps: 2": "method.d_steps",
    "biggan.orthogonal: 0": "regularizers.orthogonal.weight",
    "transfer.method: apgc": "method.name",
    "transfer.codes: zero": "method.code_init",
    "transfer.group_size: 8": "method.group_size",
    "data.fit: crop": "data.resize_mode",
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


@pytest.mark.parametrize("old", OLD)
def test_a_key_of_an_earlier_version_is_answered_with_its_new_name(tmp_path, old):
    path, value = old.split(": ")
    section, key = path.split(".")
    file = tmp_path / "recipe.yaml"
    file.write_text(f"name: x\n{section}:\n  {key}: {value}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"line [23], .*{path} is {OLD[old]} now"):
        load_recipe(str(file))
    with pytest.raises(UsageError, match=f"{path} is {OLD[old]} now"):
        load_recipe(None, {path: value})


def test_set_is_told_by_its_path_alone_and_a_key_of_the_file_by_its_line(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("train:\n  steps: 0\n  batch_size: 8\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path), {"seeds": [4, 4], "model.attention": 8, "train.batch_size": 1})
    lines = [line.strip().split(": ")[0] for line in str(caught.value).splitlines()[1:]]
    assert sorted(lines) == ["line 1, train.batch_size", "line 2, train.steps", "model.attention", "seeds"]


def test_a_key_that_is_spelled_like_none_gets_no_guess():
    with pytest.raises(UsageError) as caught:
        load_recipe(None, {"train.augment_control": "ada"})
    assert str(caught.value) == "train.augment_control: no such key, found 'ada'"


def test_the_mistakes_of_the_recipe_and_of_all_its_variants_are_told_at_once(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "data: {size: 48}\nscore: {num_fakes: 8}\nseeds: [0, 0]\naugment: {policy: hflop}\nname: x\nname: y\n"
        "grid:\n  - {name: a, train.steps: 0}\n  - {name: b, method.beta1: 2, data: {fitt: crop}}\n  - {name: c}\n"
        "  - {name: d, augment.policy: vflop}\n",
        encoding="utf-8",
    )
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("9 mistake(s)")
    assert [line.split(": ")[:2] for line in map(str.strip, lines[1:])] == [
        ["line 6, name", "this key stands on line 5 too; write it once"],
        ["line 1, data.size", "input should be 1, 28, 32, 64, 128, 256 or 512, found 48"],
        ["line 2, score.num_fakes", "no such key, found 8; did you mean 'score.num_fake'?"],
        ["line 3, seeds", "[0, 0] names one twice, which would be the same run twice"],
        ["line 4, augment.policy", "policy 'hflop'"],
        ["line 8, grid[0] (a)", "train.steps"],
        ["line 9, grid[1] (b)", "data.fitt"],
        ["line 9, grid[1] (b)", "method.beta1"],
        ["line 11, grid[3] (d)", "augment.policy"],
    ]
