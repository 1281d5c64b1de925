"""Recipes: every mistake told at once, each by its path."""

import time

import pytest
import yaml

from augment.errors import InputError, UsageError
from smallgan.tables.recipe import (
    Recipe,
    differences,
    dump_recipe,
    load_recipe,
    parse_overrides,
    read_recipe,
    shipped_recipes,
    step_keys,
)


def test_dump_and_read_give_the_same_recipe(tmp_path):
    recipe = load_recipe("quickstart", {"augment.policy": "hflip+contrast", "seeds": [3]})
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert read_recipe(path) == recipe
    assert recipe.seed == 3


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_loads_and_begins_with_what_it_is_for(name):
    assert load_recipe(name).name == name
    assert shipped_recipes()[name].read_text(encoding="utf-8").startswith("# ")


def test_all_mistakes_are_told_at_once_by_path_with_the_nearest_key():
    with pytest.raises(UsageError) as caught:
        load_recipe(None, {"train.step": 3, "train.batch_size": 1, "data.size": 48})
    message = str(caught.value)
    assert "3 mistake(s)" in message
    assert "train.step: no such key, found 3; did you mean 'train.steps'" in message
    assert "train.batch_size" in message
    assert "found 1" in message
    assert "data.size" in message
    assert "found 48" in message


def test_ratio_and_count_together_are_refused():
    with pytest.raises(UsageError, match="ratio or count"):
        load_recipe(None, {"augment.ratio": "1:1", "augment.count": 3})


def test_unknown_names_and_broken_files(tmp_path):
    with pytest.raises(InputError, match="did you mean 'quickstart'"):
        load_recipe("quikstart")
    with pytest.raises(InputError, match="cannot read"):
        load_recipe(str(tmp_path / "none.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [", encoding="utf-8")
    with pytest.raises(InputError, match="not a YAML file"):
        load_recipe(str(broken))
    broken.write_text("- a\n", encoding="utf-8")
    with pytest.raises(InputError, match="found a list"):
        load_recipe(str(broken))


def test_a_path_that_is_no_text_stays_as_it_is():
    assert parse_overrides(["data.source=photos/\udcff"]) == {"data.source": "photos/\udcff"}


def test_overrides_are_read_as_yaml():
    assert parse_overrides(["train.steps=300", "seeds=[1, 2]", "name=a"]) == {
        "train.steps": 300,
        "seeds": [1, 2],
        "name": "a",
    }
    assert parse_overrides(["a=1:2", "b=3:0.5+17:0.5", "c=[1:1, 7]", "d=1.5", "e=12:30:45"]) == {
        "a": "1:2",
        "b": "3:0.5+17:0.5",
        "c": ["1:1", 7],
        "d": 1.5,
        "e": "12:30:45",
    }
    with pytest.raises(UsageError, match="PATH=VALUE"):
        parse_overrides(["train.steps"])


def test_differences_name_paths_and_both_values():
    one = Recipe()
    other = load_recipe(None, {"train.steps": 7, "data.resize_mode": "pad"})
    assert differences(one, other) == {"train.steps": (5000, 7), "data.resize_mode": ("crop", "pad")}


def test_defaults_are_those_of_the_model_and_of_the_method():
    dcgan = load_recipe(None)
    method = dcgan.method
    assert (dcgan.model.name, dcgan.loss.name, dcgan.regularizers.chosen()) == ("dcgan", "nonsaturating", {})
    assert (method.lr_g, method.lr_d, method.beta1, method.mirror) == (2e-4, 2e-4, 0.5, False)
    biggan = load_recipe(None, {"model.name": "biggan"})
    method = biggan.method
    assert (biggan.loss.name, method.lr_g, method.lr_d, method.beta1, method.beta2) == ("hinge", 1e-4, 4e-4, 0.0, 0.999)
    assert (biggan.model.z_dim, method.ema_decay, biggan.train.steps, method.mirror) == (120, 0.9999, 5000, True)
    assert {name: each.weight for name, each in biggan.regularizers.chosen().items()} == {"orthogonal": 1e-4}
    for name in ("bsa", "apgc"):
        adapter = load_recipe(None, {"method.name": name})
        assert (adapter.model, adapter.loss, adapter.train.steps, adapter.train.batch_size) == (None, None, 10_000, 25)
        rates = adapter.method
        assert (rates.beta1, rates.beta2) == (0.9, 0.999)
        assert (rates.lr_codes, rates.lr_class, rates.lr_adapter, rates.lr_first) == (0.05, 0.001, 0.0005, 1e-7)
        assert (rates.code_noise, rates.code_init) == (0.01, "zero")
        assert (rates.latent_weight, rates.class_weight, rates.lr_decay_every) == (0.1, 0.02, 3000)
    assert (rates.group_size, rates.init) == (16, "pretrained")
    tuned = load_recipe(None, {"method.name": "finetune"})
    assert (tuned.model, tuned.loss.name, tuned.train.steps, tuned.method.beta1) == (None, "hinge", 2000, 0.0)
    assert (tuned.method.ema_decay, tuned.method.lr_g, tuned.method.mirror) == (0.999, 1e-4, True)


def test_defaults_that_a_method_or_a_model_does_not_read_are_passed_over():
    recipe = load_recipe(None, {"method.name": "imle"})
    assert (recipe.model.z_dim, recipe.model.g_norm, recipe.train.batch_size) == (16, "layer", 32)
    assert (recipe.loss, recipe.regularizers.chosen()) == (None, {})
    biggan = load_recipe(None, {"method.name": "imle", "model.name": "biggan"})  # it has no g_norm
    assert (biggan.loss, biggan.model.z_dim) == (None, 16)
    assert (biggan.method.mirror, biggan.method.beta1, biggan.method.ema_decay) == (False, 0.9, 0.995)
    assert load_recipe(None).model.g_norm == "batch"


@pytest.mark.parametrize("key", ["model.d_norm", "model.d_width"])
def test_a_key_of_the_discriminator_is_refused_where_there_is_none(key, tmp_path):
    value = {"model.d_norm": "none", "model.d_width": 16}[key]
    with pytest.raises(UsageError, match=rf"{key}: read by the method adversarial; this recipe trains by imle"):
        load_recipe(None, {"method.name": "imle", key: value})
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(load_recipe(None, {"method.name": "imle"})), encoding="utf-8")
    assert key.partition(".")[2] not in path.read_text(encoding="utf-8")
    assert read_recipe(path).method.name == "imle"


def test_what_a_recipe_says_stands_above_the_defaults_of_model_and_method():
    recipe = load_recipe(None, {"method.name": "apgc", "method.beta1": 0.3, "train.steps": 7})
    assert (recipe.method.beta1, recipe.train.steps, recipe.train.batch_size) == (0.3, 7, 25)
    recipe = load_recipe(None, {"model.name": "biggan", "loss.name": "nonsaturating"})
    assert (recipe.loss.name, recipe.method.lr_d) == ("nonsaturating", 4e-4)
    for off in (None, {"weight": 0}):
        recipe = load_recipe(None, {"model.name": "biggan", "regularizers.orthogonal": off})
        assert recipe.regularizers.chosen() == {}


def test_the_name_of_a_row_alone_stands_for_its_defaults(tmp_path):
    short = load_recipe(None, {"model": "biggan", "loss": "lsgan", "method": "adversarial"})
    assert short == load_recipe(None, {"model.name": "biggan", "loss.name": "lsgan"})
    (tmp_path / "recipe.yaml").write_text("model: biggan\nloss: lsgan\n", encoding="utf-8")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == short


def test_a_written_recipe_keeps_the_defaults_it_was_made_with(tmp_path):
    path = tmp_path / "recipe.yaml"
    for overrides in ({"method.name": "bsa"}, {"model.name": "biggan", "model.z_dim": 20}):
        recipe = load_recipe(None, overrides)
        path.write_text(dump_recipe(recipe), encoding="utf-8")
        assert differences(read_recipe(path), recipe) == {}


def test_a_written_recipe_leaves_out_what_is_not_read(tmp_path):
    path = tmp_path / "recipe.yaml"
    recipe = load_recipe(None, {"model": "biggan", "method.ema_kimg": 5, "method.apa_target": 0.6})
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    method = yaml.safe_load(path.read_text(encoding="utf-8"))["method"]
    assert (method["ema_kimg"], method["apa_target"], method["apa_cap"]) == (5, 0.6, 0.8)
    assert {"ema_decay", "diffaugment_probability", "diffaugment_fill", "ada_cap"}.isdisjoint(method)
    assert differences(read_recipe(path), recipe) == {}


def test_keys_counted_in_steps_are_those_of_the_regularizers_too():
    plain = step_keys(load_recipe(None))
    assert plain == ("train.report_every", "train.snapshot_every", "method.ema_start", "method.freeze_g_at")
    assert step_keys(load_recipe(None, {"regularizers.lecam": {}})) == (*plain, "regularizers.lecam.start")


def test_a_ratio_and_a_class_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("augment: {ratio: 1:2}\nmethod: {name: bsa, class_vector: 3}\n", encoding="utf-8")
    recipe = read_recipe(path)
    assert (recipe.augment.ratio, recipe.method.class_vector) == ("1:2", "3")
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert read_recipe(path) == recipe


def test_a_transfer_of_a_dcgan_is_refused():
    with pytest.raises(UsageError, match="model: read by the methods adversarial and imle; this recipe trains by apgc"):
        load_recipe(None, {"model.name": "dcgan", "method.name": "apgc"})


@pytest.mark.parametrize(
    "values", [{"train": None}, {"train": 3}, {"method": [3]}, {"method": {"name": 7}}, {"regularizers": 5}]
)
def test_a_section_that_is_none_is_one_mistake_and_no_traceback(tmp_path, values):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UsageError, match=r"1 mistake\(s\)\n  line [12], (train|method|regularizers)"):
        read_recipe(path)


def test_aliases_of_aliases_are_refused_before_they_are_followed(tmp_path):
    path = tmp_path / "bomb.yaml"
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    path.write_text("\n".join(levels), encoding="utf-8")
    started = time.monotonic()
    with pytest.raises(InputError, match="more than 100,000 keys once its aliases are followed"):
        load_recipe(str(path))
    assert time.monotonic() - started < 5  # nine levels of nine stand for 3,486,784,401 entries


@pytest.mark.parametrize("name", ["distance_consistency", "g_contrast", "d_contrast"])
def test_what_compares_with_a_source_is_refused_where_training_starts_afresh(name):
    with pytest.raises(UsageError, match=f"regularizers.{name}: it compares with the generator that a run starts from"):
        load_recipe(None, {f"regularizers.{name}.weight": 1})
    for method in ("finetune", "cdc"):
        assert (
            name in load_recipe(None, {"method.name": method, f"regularizers.{name}.weight": 1}).regularizers.chosen()
        )
