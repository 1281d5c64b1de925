"""The flags of `train`: each row sets a recipe key that exists, and nothing is decided twice in silence."""

import inspect

import pytest

from augment.errors import UsageError
from smallgan.tables.methods import METHODS
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import load_recipe
from smallgan.tables.sweep import flat
from smallgan.tables.train_flags import merged, option, recipe_keys, rows, with_flags

OF_THE_ISSUE = {"metrics", "snapshot_every", "lr", "epochs", "mirror", "diffaugment"}


def known_keys():
    sections = [("method", row.options) for row in METHODS] + [("model", row.options) for row in MODELS]
    keys = {f"{section}.{key}" for section, options in sections for key in options.model_fields}
    return keys | set(flat(load_recipe(None).model_dump())) | {"loss.name"}


def test_the_flags_that_users_of_the_field_reach_for_are_there():
    assert set(rows()) >= OF_THE_ISSUE
    assert option("snapshot_every") == "--snapshot-every"


def test_every_flag_sets_a_key_that_recipes_have():
    keys = [row.keys for _, row in rows().values()]
    named = {key for key in keys if isinstance(key, str)}
    named |= {each for key in keys if not isinstance(key, str) for method in METHODS for each in key(method)}
    assert named - known_keys() == set()


def test_flags_become_recipe_keys():
    given = {"lr": 0.001, "epochs": 3, "metrics": "kid, copies", "seed": 4, "mirror": False, "skip_bad": False}
    assert recipe_keys(given).values == {  # without a method, a rate has no key yet
        "train.epochs": 3,
        "score.metrics": ["kid", "copies"],
        "seeds": [4],
        "method.mirror": False,
    }
    assert recipe_keys({"metrics": "none"}) == recipe_keys({"metrics": []})
    assert recipe_keys({"metrics": "none"}) == ({"score.metrics": []}, {"score.metrics": "--metrics"})
    assert recipe_keys({"metrics": ("kid",)}).values == {"score.metrics": ["kid"]}


def test_one_learning_rate_sets_those_of_the_method():
    rates = {"adversarial": {"method.lr_d", "method.lr_g"}, "finetune": {"method.lr_d", "method.lr_g"}}
    for method, keys in (rates | {"imle": {"method.lr"}}).items():
        assert recipe_keys({"lr": 0.001}, METHODS[method]).values == dict.fromkeys(keys, 0.001)
    with pytest.raises(UsageError, match=r"--lr 0\.001: APGC has several .* --set method\.lr_codes=\.\.\. --set"):
        recipe_keys({"lr": 0.001}, METHODS["apgc"])


@pytest.mark.parametrize(
    ("flags", "settings", "said"),
    [
        (
            {"mirror": True},
            {"method.mirror": False},
            "--mirror asks for method.mirror=true, and --set for false; give one of them",
        ),
        ({"model": "biggan"}, {"model": "dcgan"}, "--model asks for model.name=biggan, and --set for dcgan"),
        ({"steps": 3}, {"train": {"steps": 4}}, "--steps asks for train.steps=3, and --set for 4"),
        (
            {"metrics": "kid"},
            {"score.metrics": ["is"]},
            r"--metrics asks for score.metrics=\[kid\], and --set for \[is\]",
        ),
    ],
)
def test_a_flag_and_a_setting_that_contradict_are_refused(flags, settings, said):
    with pytest.raises(UsageError, match=said):
        merged(recipe_keys(flags), settings)


def test_a_flag_and_a_setting_that_agree_are_one():
    assert merged(recipe_keys({"metrics": "kid"}), {"score.metrics": ("kid",)}) == {"score.metrics": ["kid"]}
    both = merged(recipe_keys({"mirror": True}), {"method": {"name": "imle"}})
    assert list(both) == ["method", "method.mirror"]  # the other way round the section would take the flag away
    assert load_recipe(None, both).method.mirror is True


def test_two_flags_of_one_key_are_refused():
    with pytest.raises(UsageError, match="--method and --transfer: both decide"):
        recipe_keys({"method": "imle", "transfer": "apgc"})


def test_a_function_gets_a_keyword_and_an_explanation_for_each_row():
    @with_flags(lambda _name, hint, row: (hint, bool(row.help)), after=1)
    def made(data=None, *, out=None, **flags):
        """Do it.

        Args:
            data: images.
            FLAGS
            out: a folder.
        """
        return data, out, flags

    assert list(inspect.signature(made).parameters) == ["data", *rows(), "out"]
    assert inspect.signature(made).parameters["steps"].annotation == (int | None, True)
    lines = inspect.getdoc(made).splitlines()
    assert [line.split(":")[0].strip() for line in lines[3:]] == ["data", *rows(), "out"]
    assert "    count: Number of added images, from 0, instead of `ratio`." in lines
    assert made("photos", steps=3) == ("photos", None, {"steps": 3})
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        made("photos", stepz=3)
