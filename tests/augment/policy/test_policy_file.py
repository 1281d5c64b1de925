"""Policy files: named transforms, weights, pipelines, those of albumentations, and what is said of mistakes."""

import json
import time
from collections import Counter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ROOT
from PIL import Image

from augment.build.build import build, mix
from augment.build.plan import make_plan
from augment.errors import InputError, UsageError
from augment.imaging.codec import decode
from augment.policy.policy_file import load_policy, read_policy_file
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.readers import open_source

EIGHT = """
transforms:
  wobble: {ElasticTransform: {alpha: 30, sigma: 6, border_mode: 4}}
  grain: {GaussNoise: {std_range: [0.02, 0.06]}}
  holes: CoarseDropout
  tilt: {Affine: {rotate: [-12, 12], scale: [0.9, 1.1], border_mode: 4}}
  light: RandomBrightnessContrast
  soft:
    - GaussianBlur: {blur_limit: [3, 5]}
    - ImageCompression: {quality_range: [40, 80]}
  colour: {OneOf: {transforms: [HueSaturationValue, {RGBShift: {r_shift_limit: 30}}]}}
policy: wobble:2+grain+holes.hflip+tilt+light+soft+colour+strange.tilt
"""
OWN = """
  strange: {contrast: {factor: [1.5, 1.8]}}
policy: """
EIGHT = EIGHT.replace("\npolicy: ", OWN)


def written(folder, text, name="policy.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_eight_transforms_give_the_same_bytes_by_any_number_of_workers_and_again(tiny_set, tmp_path):
    path = written(tmp_path, EIGHT)
    made = []
    for number, workers in enumerate((1, 2, 2)):
        source = open_source(tiny_set)
        plan = make_plan(source, str(path), count=90, size=40, seed=3)
        build(plan, source, tmp_path / str(number), workers=workers)
        made.append(contents(tmp_path / str(number)))
    assert made[0] == made[1] == made[2]
    lines = [json.loads(line) for line in made[0]["metadata.jsonl"].decode().splitlines()]
    assert Counter(tuple(o["name"] for o in line["operations"]) for line in lines if line["parent"]) == {
        ("ElasticTransform",): 20, ("GaussNoise",): 10, ("CoarseDropout", "hflip"): 10, ("Affine",): 10,
        ("RandomBrightnessContrast",): 10, ("GaussianBlur", "ImageCompression"): 10, ("OneOf",): 10,
        ("contrast", "Affine"): 10,
    }  # fmt: skip
    added = [line for line in lines if line["parent"]]
    assert len({line["sha256"] for line in added}) == 90
    seeds = [json.loads(o["params"])["seed"] for line in added for o in line["operations"] if "seed" in o["params"]]
    assert len(set(seeds)) == len(seeds)
    settings_ = json.loads(made[0]["plan.json"])
    assert settings_["custom_transforms"]["holes"][0]["transform"]["__class_fullname__"] == "CoarseDropout"
    assert settings_["custom_transforms"]["strange"] == [{"name": "contrast", "factor": [[1.5, 1.8]]}]
    assert settings_["versions"]["albumentations"]
    factors = [
        json.loads(o["params"])["factor"] for line in added for o in line["operations"] if o["name"] == "contrast"
    ]
    assert all(1.5 <= factor <= 1.8 for factor in factors)


def test_a_policy_file_mixed_in_memory_equals_the_written_set(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, str(written(tmp_path, EIGHT)), count=30, size=24)
    mixture = mix(plan, source, workers=2)
    dataset = build(plan, source, tmp_path / "out")
    for pixels, record in zip(mixture.pixels, dataset.records, strict=True):
        assert (pixels == decode((tmp_path / "out" / record.file_name).read_bytes(), record.file_name)).all()


def test_the_example_in_the_documentation_works(tiny_set, tmp_path):
    page = (ROOT / "docs" / "augment.md").read_text(encoding="utf-8")
    path = written(tmp_path, page.partition("```yaml\n")[2].partition("```")[0])
    plan = make_plan(open_source(tiny_set), str(path), count=10)
    assert plan.counts == {"original": 12, "hflip": 2, "wobble": 4, "tilt.strong": 2, "either": 2}


def test_a_changed_policy_file_is_another_plan(tiny_set, tmp_path):
    source = open_source(tiny_set)
    path = written(tmp_path, "transforms: {grain: {GaussNoise: {std_range: [0.1, 0.2]}}}")
    build(make_plan(source, str(path)), source, tmp_path / "out")
    written(tmp_path, "transforms: {grain: {GaussNoise: {std_range: [0.1, 0.3]}}}")
    with pytest.raises(UsageError, match="another plan stands there: custom_transforms"):
        build(make_plan(source, str(path)), source, tmp_path / "out")


def test_transforms_alone_are_in_equal_parts_and_the_folder_is_named_after_the_file(tmp_path):
    policy = read_policy_file(
        written(tmp_path, "transforms: {a: Blur, b: [hflip, MedianBlur], c: negative}", "mild.yml")
    )
    assert (str(policy), policy.title) == ("a+b+c", "mild")
    assert [component.is_random for component in policy.components] == [True, True, False]


def test_transforms_may_stand_in_an_expression_by_their_names(tiny_set, tmp_path):
    policy = load_policy("hflip+GaussNoise.hflip:2")
    assert list(policy.custom_transforms) == ["GaussNoise"]
    source = open_source(tiny_set)
    build(make_plan(source, policy, count=6), source, tmp_path / "out")
    assert Counter(len(r.operations) for r in MixedDataset.open(tmp_path / "out").records) == {0: 12, 1: 2, 2: 4}


def test_what_draws_nothing_may_not_repeat_a_parent(tiny_set):
    with pytest.raises(UsageError, match="a second one of the same would be a copy"):
        make_plan(open_source(tiny_set), "ToGray", count=13)


@pytest.mark.parametrize("data_format", ["json", "yaml"])
def test_pipelines_that_albumentations_saved_are_read_as_they_are(tiny_set, tmp_path, data_format):
    import albumentations

    pipeline = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.OneOf([albumentations.Blur(p=0.3), albumentations.RGBShift(p=0.7)], p=0.9),
        ],
        seed=5,
        bbox_params=albumentations.BboxParams("coco"),
    )
    path = tmp_path / f"my pipeline.{data_format}"
    albumentations.save(pipeline, path, data_format=data_format)
    policy = load_policy(str(path))
    assert (policy.title, str(policy)) == ("my pipeline", "my_pipeline")
    parts = policy.custom_transforms["my_pipeline"][0]["transform"]["transforms"]
    assert [part["p"] for part in parts] == [0.5, 0.9]
    assert [part["p"] for part in parts[1]["transforms"]] == [0.3, 0.7]
    source = open_source(tiny_set)
    assert len(build(make_plan(source, policy, ratio="1:3", size=24), source, tmp_path / "out")) == 48


def test_an_old_pipeline_may_say_always_apply(tmp_path):
    old = {"__class_fullname__": "albumentations.augmentations.transforms.Blur", "always_apply": True, "p": 0.2}
    path = written(tmp_path, json.dumps({"__version__": "1.3.1", "transform": old}), "old.json")
    assert read_policy_file(path).custom_transforms["old"][0]["transform"] == {
        "__class_fullname__": "Blur", "p": 1.0, "blur_limit": [3, 7],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("transformss: {}", "unknown key 'transformss'; did you mean 'transforms'"),
        ("transforms: {a: {contrast: {factor: [0, 101]}}}", "contrast has factor [0, 101]; expected a range"),
        ("transforms: {a: Blurr}", "transform 'a': albumentations 2.0.8 has no transform 'Blurr'; did you mean 'Blur'"),
        ("transforms: {a: hfilp}", "did you mean 'hflip'"),
        ("transforms: {a: {Blur: {blr_limit: 3}}}", "no parameter 'blr_limit'; did you mean 'blur_limit'"),
        ("transforms: {a: {Blur: {blur_limit: wide}}}", "found 'wide'"),
        ("transforms: {a: {Blur: {p: 0.5}}}", "counted, not drawn"),
        ("transforms: {a: Blur, a: Blur}", "'a' is there twice"),
        ("transforms: [a", "not YAML"),
        ("- a", "holds list, no mapping"),
        ("", "holds NoneType, no mapping"),
        ("{}", "expected an expression"),
        ("transforms: [a]", "transforms is ['a']"),
        ("transforms: {hflip: Blur}", "has that name already"),
        ("transforms: {a b: Blur}", "expected a name of letters"),
        ("transforms: {a: []}", "does nothing"),
        ("transforms: {a: 3}", "expected a name, or a name with its parameters"),
        ("transforms: {a: gan}", "no transform of an image"),
        ("transforms: {a: {hflip: {x: 1}}}", "hflip has no parameter 'x'"),
        ("transforms: {a: {contrast: {factr: 1}}}", "did you mean 'factor'"),
        ("transforms: {a: {contrast: {factor: [2, 1]}}}", "expected a range"),
        ("transforms: {a: {OneOf: {transforms: []}}}", "expected a list of transforms"),
        ("transforms: {a: {OneOf: {transforms: [Blr]}}}", "did you mean 'Blur'"),
        ("transforms: {wobble: Blur}\npolicy: hflip+wobbel", "did you mean 'wobble'"),
        ("policy: hflip+Blurr", "did you mean 'Blur'"),
        ("transform: 3", "albumentations.save"),
        ("transform: {__class_fullname__: Blurr}", "a pipeline saved by albumentations an unknown version"),
    ],
)
def test_mistakes_name_the_file_and_what_would_be_right(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_policy(str(path))
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"mild\.yaml: no such file"):
        load_policy(str(tmp_path / "mild.yaml"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("transforms: {a: Affine}", "leaves every image as it is"),
        ("transforms: {a: Normalize}", "gave float32"),
        ("transforms: {a: {RandomScale: {scale_limit: [0.4, 0.5]}}}", "expected the same size"),
        ("transforms: {a: {RandomCrop: {height: 90, width: 90}}}", "cannot be applied"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_planned(tiny_set, tmp_path, text, says):
    with pytest.raises(UsageError, match="pipeline 'a'") as caught:
        make_plan(open_source(tiny_set), str(written(tmp_path, text)), size=32)
    assert says in str(caught.value)


WORDS = st.sampled_from(
    [
        "policy",
        "transform",
        "__class_fullname__",
        "transforms",
        "p",
        "OneOf",
        "Compose",
        "Blur",
        "Affine",
        "Rotate",
        "blur_limit",
        "rotate",
        "hflip",
        "contrast",
        "factor",
        "gan",
        "none",
        "a",
        "a.b",
        "always_apply",
        "Lambda",
    ]
)
SCALARS = WORDS | st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(WORDS, below, max_size=3), max_leaves=12
)
TRANSFORM = (
    st.dictionaries(st.sampled_from(["Blur", "OneOf", "Affine", "contrast", "Compose"]), VALUES, max_size=1) | VALUES
)
FILES = st.one_of(
    VALUES,
    st.fixed_dictionaries({"transforms": st.dictionaries(WORDS, TRANSFORM, max_size=3)}, optional={"policy": WORDS}),
    st.fixed_dictionaries({"transform": st.dictionaries(WORDS, VALUES, max_size=4)}),
)


@settings(max_examples=150, deadline=None)
@given(values=FILES, as_json=st.booleans())
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(tmp_path_factory, values, as_json):
    folder = tmp_path_factory.getbasetemp()
    text = json.dumps(values) if as_json else yaml.safe_dump(values)
    path = written(folder, text, "any.json" if as_json else "any.yaml")
    said = None
    try:
        policy = load_policy(str(path))
    except UsageError as error:
        said = str(error)
    assert str(path) in said if said else policy.components or str(policy) == "none"


def test_keys_may_be_taken_over_from_elsewhere_in_the_file(tmp_path):
    text = "transforms:\n  a: {Blur: &blur {blur_limit: 5}}\n  b: {MedianBlur: {<<: *blur}}\n"
    custom = read_policy_file(written(tmp_path, text)).custom_transforms
    assert custom["b"][0]["transform"]["blur_limit"] == custom["a"][0]["transform"]["blur_limit"] == [3, 5]


def test_a_file_nested_without_end_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not JSON"):
        load_policy(str(written(tmp_path, "[" * 100_000, "deep.json")))


@pytest.fixture(scope="module")
def thirty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thirty")
    for value in range(30):
        Image.new("RGB", (9, 7), (value, 0, 0)).save(folder / f"{value:02d}.png")
    return open_source(folder)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(1, 30),
    weights=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    count=st.integers(0, 120),
    seed=st.integers(0, 2**40),
)
def test_counts_are_exact_and_parents_used_evenly_whatever_the_policy(thirty, number, weights, count, seed):
    names = ("GaussNoise", "contrast.Blur", "Posterize.GaussNoise", "GaussNoise.hflip")
    text = "+".join(f"{name}:{weight}" for name, weight in zip(names, weights, strict=False))
    plan = make_plan(thirty.subset(range(number)), text, count=count, seed=seed)
    added = [entry for entry in plan.entries if entry.k is not None]
    assert [entry.k for entry in added] == list(range(count))
    found = Counter(".".join(operation.name for operation in operations) for operations in plan.operations(added))
    exact = [count * weight / sum(weights) for weight in weights]
    counted = [found[name] for name in names[: len(weights)]]
    assert sum(counted) == count
    assert all(abs(have - want) < 1 for have, want in zip(counted, exact, strict=True))
    uses = Counter(entry.source for entry in added)
    assert max(uses.values(), default=0) - min(uses[parent] for parent in range(number)) <= 1
    assert len({entry.file_name for entry in plan.entries}) == len(plan.entries)


def test_alias_bombs_and_endless_files_are_refused_soon(tmp_path):
    path = tmp_path / "bomb.yaml"
    levels = "".join(f"  b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 10))
    loop, merge = "transforms: &a {tilt: *a}", f"transforms:\n{levels.replace('[', '{<<: [').replace(']', ']}')}"
    started = time.monotonic()
    for text, told in (
        (f"transforms:\n  b0: &b0 [Blur]\n{levels}", "once its aliases are followed"),
        (merge.replace("transforms:\n", "transforms:\n  b0: &b0 {p: 1}\n"), "once its aliases are followed"),
        (loop, "once its aliases are followed"),
        ("policy: hflip\n" + "#" * 300_000, "longer than"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=told):
            load_policy(str(path))
    assert time.monotonic() - started < 5
