import doctest

import numpy as np
import pytest

from augment.errors import InputError, UsageError
from smallgan.metrics import target_class
from smallgan.metrics.memorisation import rates
from smallgan.metrics.memorisation.nearest import nearest
from smallgan.metrics.memorisation.rates import leak_rate, near_threshold
from smallgan.metrics.target_class import classes_of_reals


def draw(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 24)).astype(np.float32)


def repeats(fake, real):
    return rates.repeat_rate(fake, near_threshold(real))


def test_new_images_of_the_source_are_called_copies_as_often_as_expected():
    pairs = [(draw(400, [1, i]), draw(400, [2, i])) for i in range(10)]
    assert near_threshold(pairs[0][1]).expected == pytest.approx(4 / 401)
    assert np.mean([rates.copy_rate(*pair) for pair in pairs]) == pytest.approx(4 / 401, abs=0.006)
    assert np.mean([repeats(*pair) for pair in pairs]) == pytest.approx(4 / 401, abs=0.008)


def test_copies_and_repeats_are_found_and_the_copied_images_named():
    real = draw(300, 3)
    fake = draw(200, 4)
    fake[50:90] = real[100:140]
    fake[90:120] = fake[:30] + 1e-3
    assert 0.2 <= rates.copy_rate(fake, real) < 0.23
    assert 0.3 <= repeats(fake, real) < 0.33
    distances, rows = nearest(fake, real)
    assert set(np.argsort(distances, kind="stable")[:40]) == set(range(50, 90))
    assert rows[50:90].tolist() == list(range(100, 140))
    assert (distances[50:90] == 0).all()


def test_reals_that_occur_twice_do_not_hide_copies():
    real = draw(300, 3)
    real[:100] = real[100:200]
    fake = draw(100, 4)
    fake[:25] = real[:25]
    assert near_threshold(real).distance > 0
    assert 0.25 <= rates.copy_rate(fake, real) < 0.35


def test_too_few_different_reals_are_an_error_with_their_number():
    for real, found in ((draw(2, 0), 2), (np.ones((9, 3)), 0), (draw(1, 0), 0)):
        with pytest.raises(InputError, match=f"at least 3 different real images; of the {len(real)} given {found} "):
            near_threshold(real)


def test_leaks_are_fakes_of_the_augmented_kind():
    original = draw(100, 1)
    augmented = original + np.float32(9)
    fakes = np.concatenate([draw(30, 2), draw(10, 3) + np.float32(9)])
    assert leak_rate(fakes, original, augmented) == 0.25


def test_the_classes_of_reals_are_the_target_and_what_it_is_confused_with():
    predicted = np.repeat([4, 1, 0, 3], [60, 30, 6, 4])
    assert classes_of_reals(np.eye(5)[predicted]) == (4, 1, 0)


def test_the_target_share_has_a_row_for_each_image():
    logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.4, 0.35]])
    found = target_class.target_share(logits, (0, 1, 0))
    assert found.share == pytest.approx(2 / 3)
    assert found.classes == (0, 1)
    assert found.top.tolist() == [0, 2, 1]
    assert found.top_probability == pytest.approx([0.7, 0.6, 0.4])
    assert found.probability == pytest.approx([0.9, 0.4, 0.65])


@pytest.mark.parametrize("classes", [(3,), (-1,), (0, 7), ()])
def test_a_class_that_the_network_does_not_have_is_an_error(classes):
    with pytest.raises(UsageError, match="expected some from 0 to 2"):
        target_class.target_share(np.zeros((4, 3)), classes)


@pytest.mark.parametrize("source", [rates, target_class])
def test_doctests(source):
    assert doctest.testmod(source).failed == 0
