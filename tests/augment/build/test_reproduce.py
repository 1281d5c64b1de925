"""An image made again from its line alone, and what is said where the line is not enough."""

import json
from pathlib import Path

import numpy as np
import pytest

from augment.build.build import build
from augment.build.plan import make_plan
from augment.build.reproduce import reproduce, reproduce_from
from augment.core.files import sha256_file
from augment.errors import FailedError, InputError, UsageError
from augment.imaging.codec import Rules, decode
from augment.sources.mixed_dataset import read_records
from augment.sources.readers import open_source

POLICY = """
transforms:
  wobble: [{ElasticTransform: {alpha: 30, sigma: 6}}, {GaussNoise: {std_range: [0.02, 0.06]}}]
  tilt: {Affine: {rotate: [-12, 12], border_mode: 4}}
policy: hflip+wobble+tilt.contrast+CoarseDropout
"""


class Grays:
    """An image source: image k of a seed is one gray."""

    name = "grays"

    def describe(self):
        return {"batch_size": 4}

    def draw(self, indices, seed):
        for k in indices:
            yield np.full((20, 20, 3), 7 * seed + k, np.uint8), {"seed": seed, "k": k}


def made(source, out, policy=None, **options):
    policy = policy or str(out.with_suffix(".yaml"))
    out.with_suffix(".yaml").write_text(POLICY)
    build(make_plan(source, policy, **options), source, out, generator=options.get("generator"))
    return [record for record in read_records(out) if record.origin != "original"]


@pytest.mark.parametrize("options", [{}, {"size": 24, "resize_mode": "pad"}, {"image_format": "jpeg"}], ids=str)
def test_every_image_is_made_again_from_its_line(tiny_set, tmp_path, options):
    options = {"format" if key == "image_format" else key: value for key, value in options.items()}
    added = made(open_source(tiny_set), tmp_path / "out", count=24, **options)
    assert len(added) == 24
    for record in added:
        path = tmp_path / "out" / record.file_name
        data, found = reproduce(path)
        assert data == path.read_bytes()
        assert found == record


@pytest.mark.parametrize("rules", [Rules(gray=True), Rules(background=(0, 80, 0))], ids=["gray", "green background"])
def test_gray_sets_and_other_backgrounds_are_made_again_too(tiny_set, tmp_path, rules):
    source = open_source(tiny_set, rules=rules)
    for record in made(source, tmp_path / "out", count=12, size=24, resize_mode="pad"):
        path = tmp_path / "out" / record.file_name
        assert reproduce(path)[0] == path.read_bytes()
    record = made(source, tmp_path / "jpeg", "contrast", count=3, size=24, resize_mode="pad", format="jpeg")[0]
    path = tmp_path / "jpeg" / record.file_name
    assert reproduce(path, source=tiny_set)[0] == path.read_bytes()


def test_the_line_and_the_parent_are_all_that_is_used(tiny_set, tmp_path):
    record = next(r for r in made(open_source(tiny_set), tmp_path / "out", count=24) if "wobble" in r.file_name)
    line = json.loads(json.dumps(vars(record)))
    parent = decode((tmp_path / "out" / line["parent"]).read_bytes(), "parent")
    wanted = (tmp_path / "out" / line["file_name"]).read_bytes()
    assert reproduce_from(record, parent) == wanted
    (tmp_path / "out" / line["file_name"]).unlink()
    assert reproduce(tmp_path / "out" / line["file_name"])[0] == wanted


def test_originals_changed_and_saved_as_jpeg_need_the_source(tiny_set, tmp_path):
    source = open_source(tiny_set)
    record = made(source, tmp_path / "out", "contrast", size=24, format="jpeg")[0]
    path = tmp_path / "out" / record.file_name
    with pytest.raises(UsageError, match="name the source"):
        reproduce(path)
    assert reproduce(path, source=tiny_set)[0] == path.read_bytes()


def test_images_of_a_generator_need_it(tiny_set, tmp_path):
    record = made(open_source(tiny_set), tmp_path / "out", "gan.contrast", count=5, seed=3, size=16, generator=Grays())[
        2
    ]
    path = tmp_path / "out" / record.file_name
    with pytest.raises(UsageError, match="--generator"):
        reproduce(path)
    assert reproduce(path, generator=Grays())[0] == path.read_bytes()


def test_what_cannot_be_made_again_says_why(tiny_set, tmp_path):
    out = tmp_path / "out"
    record = made(open_source(tiny_set), out, "contrast")[0]
    with pytest.raises(UsageError, match="an original"):
        reproduce(out / record.parent)
    with pytest.raises(InputError, match="has no line"):
        reproduce(out / "images" / "other.png")
    with pytest.raises(InputError, match="no finished mixed dataset"):
        reproduce(tiny_set / "shape-00.png")
    (out / record.parent).write_bytes((out / record.file_name).read_bytes())
    with pytest.raises(UsageError, match="its bytes differ"):
        reproduce(out / record.file_name)
    with pytest.raises(FailedError, match="is this the source"):
        reproduce(out / record.file_name, source=tiny_set / "shape-00.png")
    (out / record.parent).unlink()
    with pytest.raises(UsageError, match="is not there"):
        reproduce(out / record.file_name)
    plan = json.loads((out / "plan.json").read_text())
    plan["versions"]["numpy"] = "0.1"
    (out / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(FailedError, match=r"numpy 0\.1 then"):
        reproduce(out / record.file_name)


def test_an_operation_that_does_not_exist_is_named(tiny_set, tmp_path):
    out = tmp_path / "out"
    made(open_source(tiny_set), out, "contrast", count=1)
    text = (out / "metadata.jsonl").read_text().replace('"name": "contrast"', '"name": "contrst"')
    (out / "metadata.jsonl").write_text(text)
    name = json.loads(text.splitlines()[-1])["file_name"]
    with pytest.raises(InputError, match="operation 'contrst' is not known"):
        reproduce(out / name)


@pytest.mark.real_data
@pytest.mark.slow
def test_eight_transforms_over_a_thousand_photographs(real_data, tmp_path):
    source = open_source(Path(real_data) / "celeba" / "train-1000")
    policy = (
        "ElasticTransform+GaussNoise+CoarseDropout+ShiftScaleRotate+RandomBrightnessContrast+MotionBlur+ThinPlateSpline"
        "+ImageCompression"
    )
    sums = []
    for number, workers in enumerate((1, 2, 2)):
        out = tmp_path / str(number)
        build(make_plan(source, policy, size=64, count=1000), source, out, workers=workers)
        sums.append(sha256_file(out / "metadata.jsonl"))
    assert sums[0] == sums[1] == sums[2]
    for record in list(read_records(tmp_path / "0"))[1000::97]:
        path = tmp_path / "0" / record.file_name
        assert reproduce(path)[0] == path.read_bytes() == (tmp_path / "1" / record.file_name).read_bytes()
