"""Every transform of albumentations that can be named: recorded whole, repeatable, safe in threads, or refused."""

import json
import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from augment.errors import UsageError
from augment.policy.albumentations_adapter import (
    CLASS,
    apply,
    library_names,
    library_transform,
    own_parameters,
    parameters,
)

SIDE = 48
PIXELS = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
)
NEEDED = {
    "CenterCrop": {"height": SIDE, "width": SIDE},
    "Crop": {"x_max": SIDE, "y_max": SIDE},
    "CropAndPad": {"percent": 0.1},
    "GridElasticDeform": {"num_grid_xy": [4, 4], "magnitude": 4},
    "LongestMaxSize": {"max_size": SIDE},
    "PadIfNeeded": {"min_height": SIDE, "min_width": SIDE},
    "RandomCrop": {"height": SIDE, "width": SIDE},
    "RandomCropFromBorders": {"crop_left": 0, "crop_right": 0, "crop_top": 0, "crop_bottom": 0},
    "RandomResizedCrop": {"size": [SIDE, SIDE]},
    "RandomScale": {"scale_limit": [0, 0]},
    "RandomSizedCrop": {"min_max_height": [20, 40], "size": [SIDE, SIDE]},
    "Resize": {"height": SIDE, "width": SIDE},
    "SmallestMaxSize": {"max_size": SIDE},
}


def made(name, **given):
    return library_transform({CLASS: name, **given}, "here")[0]


def test_there_are_many_and_the_known_ones_are_among_them():
    names = library_names()
    assert len(names) > 80
    assert {"ElasticTransform", "GaussNoise", "CoarseDropout", "Affine", "CLAHE", "D4"} <= set(names)
    assert not {"Normalize", "ToTensorV2", "MaskDropout", "FDA", "Lambda", "Compose"} & set(names)
    assert all(summary and not summary.endswith(".") for summary in names.values())


@pytest.mark.parametrize("name", sorted(library_names()))
def test_each_is_repeated_from_its_json_alone(name):
    transform = made(name, **NEEDED.get(name, {}))
    params = transform.draw(np.random.default_rng(5))
    before = PIXELS.copy()
    first = transform.apply(PIXELS, params)
    assert (before == PIXELS).all()
    assert (first.dtype, first.shape) == (np.uint8, PIXELS.shape)
    transform.apply(PIXELS[:, ::-1].copy(), transform.draw(np.random.default_rng(6)))  # leaves no trace
    again = json.loads(json.dumps(params))
    np.random.seed(0)  # a transform that used the global generator would show
    cv2.setRNGSeed(3)
    assert (apply(PIXELS, again) == first).all()
    whole, _ = library_transform(again["transform"], "again")
    assert whole.settings == transform.settings == {"transform": again["transform"]}
    assert set(again["transform"]) - {CLASS, "p"} <= set(parameters(name))


def test_threads_do_not_share_a_transform():
    transform = made("ElasticTransform", alpha=20, sigma=4)
    wanted = [transform.apply(PIXELS, {**transform.draw(np.random.default_rng(0)), "seed": k}) for k in range(40)]
    found = {}

    def work(part):
        for k in range(part, 40, 4):
            found[k] = transform.apply(PIXELS, {**transform.settings, "seed": k})

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((found[k] == wanted[k]).all() for k in range(40))


def test_the_parts_of_a_pipeline_draw_apart():
    flips = [{CLASS: "HorizontalFlip", "p": 0.5}, {CLASS: "VerticalFlip", "p": 0.5}]
    both = made("Compose", transforms=flips)
    ways = {"none": PIXELS, "h": PIXELS[:, ::-1], "v": PIXELS[::-1], "hv": PIXELS[::-1, ::-1]}
    seen = {
        name
        for k in range(60)
        for name, way in ways.items()
        if (apply(PIXELS, {**both.settings, "seed": k}) == way).all()
    }
    assert seen == set(ways), "with one stream for each part, both would always flip together"


@pytest.mark.parametrize(
    ("name", "varies"),
    [("ToGray", False), ("Equalize", False), ("HorizontalFlip", False), ("Affine", True), ("D4", True)],
)
def test_what_draws_nothing_is_known(name, varies):
    assert made(name).is_random is varies


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({CLASS: "ElasticTransfrom"}, "did you mean 'ElasticTransform'"),
        ({CLASS: "gaussnoise"}, "did you mean 'GaussNoise'"),
        ({CLASS: "Affine", "rotat": 3}, "did you mean 'rotate'"),
        ({CLASS: "ElasticTransform", "alpha": "much"}, "alpha: Input should be a valid number"),
        ({CLASS: "GaussianBlur", "sigma_limit": [-3, 1]}, "GaussianBlur: sigma_limit"),
        ({CLASS: "ToTensorV2"}, "gives a tensor, expected pixels"),
        ({CLASS: "RandomCrop"}, "needs height, width"),
        ({CLASS: "OneOf", "transforms": [{CLASS: "Blr"}]}, "in OneOf: albumentations"),
        ({CLASS: "MaskDropout"}, "boxes or masks"),
        ({CLASS: "Lambda"}, "code that no file can hold"),
        ({CLASS: "HistogramMatching"}, "other images"),
        ({"rotate": 3}, "expected a transform"),
    ],
)
def test_wrong_names_and_values_say_what_would_be_right(config, says):
    with pytest.raises(UsageError) as caught:
        library_transform(config, "transform 'x'")
    assert says in str(caught.value)
    assert str(caught.value).startswith("transform 'x'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("Normalize", {}, "gave float32, expected pixels"),
        ("RandomScale", {"scale_limit": [0.5, 0.5]}, "made 72x72 of an image of 48x48"),
        ("RandomCrop", {"height": 99, "width": 9}, "cannot be applied to an image of 48x48"),
    ],
)
def test_what_gives_no_pixels_of_the_same_size_is_refused(name, given, says):
    transform = made(name, **given)
    with pytest.raises(UsageError) as caught:
        transform.apply(PIXELS, {**transform.settings, "seed": 0})
    assert says in str(caught.value)


def test_what_albumentations_remarks_is_handed_on():
    assert "Affine" in library_transform({CLASS: "ShiftScaleRotate"}, "here")[1][0]


def test_parameters_of_base_classes_in_its_own_files_are_dropped_and_others_kept_to_be_refused():
    written = {CLASS: "RGBShift", "p": 0.5, "approximation": 1.0, "r_shift_limit": [-5, 5], "wrong": 1}
    assert own_parameters(written) == {CLASS: "RGBShift", "p": 0.5, "r_shift_limit": [-5, 5], "wrong": 1}


@pytest.mark.process
def test_nothing_is_asked_of_the_network():
    code = (
        "import socket\n"
        "def no(*a, **k): raise AssertionError('asked the network')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = no\n"
        "from augment.policy.albumentations_adapter import library\n"
        "import urllib.request\n"
        "urllib.request.OpenerDirector.open = no\n"
        "library()\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "asked the network" not in done.stderr
