"""The split of labelled images: stratified, by the images themselves, and with near duplicates on one side."""

import numpy as np
import pytest

from augment.core.files import sha256_bytes
from augment.errors import UsageError
from smallgan.data.class_split import class_split, per_class_subset

HASHES = [sha256_bytes(str(number).encode()) for number in range(120)]
LABELS = ["cat"] * 80 + ["dog"] * 40


def test_every_class_gives_its_share_and_nothing_is_lost():
    found = class_split(HASHES, LABELS, 0.25)
    assert sorted(found.train + found.test) == list(range(120))
    assert [LABELS[at] for at in found.test].count("cat") == 20
    assert [LABELS[at] for at in found.test].count("dog") == 10


def test_order_does_not_matter():
    order = np.random.default_rng(0).permutation(120)
    plain = class_split(HASHES, LABELS, 0.25)
    moved = class_split([HASHES[at] for at in order], [LABELS[at] for at in order], 0.25)
    assert {HASHES[at] for at in plain.test} == {HASHES[order[at]] for at in moved.test}


def test_what_looks_alike_is_on_one_side():
    hashes = [*HASHES[:60], *HASHES[:60]]  # every file twice
    labels = ["cat"] * 60 + ["cat"] * 60
    alike = [[0, 1], [1, 2], [10, 50]]  # links: 0, 1, 2 and their equal files are one group
    found = class_split(hashes, labels, 0.5, alike)
    sides = [set(found.train), set(found.test)]
    for group in ([0, 1, 2, 60, 61, 62], [10, 50, 70, 110], *([at, at + 60] for at in range(60))):
        assert any(side.issuperset(group) for side in sides), group
    assert len(found.test) == 60
    assert found.num_alike == 120


def test_a_group_that_does_not_fit_is_trained_on():
    alike = [list(range(70))]
    found = class_split(HASHES, LABELS, 0.25, alike)
    assert set(range(70)) <= set(found.train)


def test_a_class_without_a_test_or_a_training_image_is_named():
    with pytest.raises(UsageError, match=r"^dog: too few images"):
        class_split(HASHES[:81], ["cat"] * 80 + ["dog"], 0.25)
    with pytest.raises(UsageError, match=r"^dog: too few images"):
        class_split(HASHES[:82], ["cat"] * 80 + ["dog"] * 2, 0.25, [[80, 81]])


def test_a_validation_part_is_drawn_by_its_own_word_and_named_in_messages():
    test, validation = (class_split(HASHES, LABELS, 0.25, part=part) for part in ("test", "validation"))
    assert len(test.test) == len(validation.test) == 30
    assert test.test != validation.test
    with pytest.raises(UsageError, match=r"^dog: .* for a training and a validation part"):
        class_split(HASHES[:81], ["cat"] * 80 + ["dog"], 0.25, part="validation")


def test_subsets_are_nested_stratified_and_another_for_another_seed():
    train = class_split(HASHES, LABELS, 0.25).train
    five, ten = (per_class_subset(HASHES, LABELS, train, number, 3) for number in (5, 10))
    assert set(five) < set(ten) < set(train)
    assert [LABELS[at] for at in ten].count("dog") == 10
    assert per_class_subset(HASHES, LABELS, train, 5, 4) != five
    with pytest.raises(UsageError, match="fewer in dog 30;"):
        per_class_subset(HASHES, LABELS, train, 31, 3)
