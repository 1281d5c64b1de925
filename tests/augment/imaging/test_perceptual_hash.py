"""Groups of near duplicates are those of comparing every pair, and many look-alikes take few comparisons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.imaging import perceptual_hash
from augment.imaging.perceptual_hash import MAX_BITS, MAX_LEVELS, MIN_CONTRAST, ImageSignature, near_duplicates


def scenes(rng, count, num_scenes, flips, noise):
    """Signatures of `count` images, each of a scene: up to `flips` bits of its hash turned, levels moved by noise."""
    hashes = rng.integers(0, 2**63, num_scenes, dtype=np.uint64)
    thumbs = rng.integers(0, 256, (num_scenes, 768))
    thumbs[rng.random(num_scenes) < 0.1] = 90
    made = []
    for scene in rng.integers(0, num_scenes, count):
        turned = rng.choice(64, rng.integers(0, flips + 1), replace=False)
        level = np.clip(thumbs[scene] + rng.normal(0, noise, 768) + rng.normal(0, noise), 0, 255)
        bits = int(hashes[scene]) ^ sum(1 << int(bit) for bit in turned)
        made.append(ImageSignature(bits, level.astype(np.uint8).tobytes()))
    return made


def by_every_pair(signatures):
    """The groups by the definition: link each pair that is near enough, then follow the links."""
    bits = np.array([each.hash for each in signatures], np.uint64)
    thumbs = np.array([np.frombuffer(each.thumb, np.uint8) for each in signatures], np.float32).reshape(-1, 768)
    is_drawn = thumbs.std(axis=1) >= MIN_CONTRAST
    links = np.bitwise_count(bits[:, None] ^ bits) <= MAX_BITS
    for row, thumb in enumerate(thumbs):
        links[row] &= (np.sqrt(np.square(thumbs - thumb).mean(axis=1)) <= MAX_LEVELS) & is_drawn & is_drawn[row]
    groups, left = [], set(range(len(signatures)))
    while left:
        group, found = set(), {min(left)}
        while found:
            group |= found
            found = set(np.flatnonzero(links[sorted(found)].any(axis=0)).tolist()) - group
        left -= group
        groups += [sorted(group)] if len(group) > 1 else []
    return groups


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    num_scenes=st.integers(1, 12),
    flips=st.integers(0, 9),
    noise=st.floats(0, 6),
)
def test_groups_are_those_of_comparing_every_pair_whatever_the_blocks(seed, count, num_scenes, flips, noise):
    signatures = scenes(np.random.default_rng(seed), count, num_scenes, flips, noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual_hash, "_ROWS", 5)
        patch.setattr(perceptual_hash, "_COLUMNS", 7)
        assert near_duplicates(signatures) == by_every_pair(signatures)


@pytest.mark.parametrize(("flips", "noise"), [(2, 2.0), (5, 3.8), (7, 4.1)])
def test_groups_over_several_blocks_are_those_of_comparing_every_pair(flips, noise):
    signatures = scenes(np.random.default_rng(3), 520, 60, flips, noise)
    assert near_duplicates(signatures) == by_every_pair(signatures)


def test_a_difference_of_just_six_levels_counts_and_the_next_larger_one_does_not():
    image = np.repeat(np.array([10, 40], np.uint8), 384)
    six, more = np.full((2, 768), 6, np.uint8)
    more[:4] = 12, 1, 0, 0  # squares that sum to 145, where four of six levels make 144
    first, same, other = (ImageSignature(0, (image + each).tobytes()) for each in (np.uint8(0), six, more))
    assert near_duplicates([first, same]) == [[0, 1]]
    assert near_duplicates([first, other]) == []


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_most_pairs_of_many_look_alikes_are_never_compared(monkeypatch, noise):
    compared = []
    alike = perceptual_hash._alike
    monkeypatch.setattr(
        perceptual_hash,
        "_alike",
        lambda rows, columns, *rest: compared.append(len(rows) * len(columns)) or alike(rows, columns, *rest),
    )
    signatures = scenes(np.random.default_rng(0), 3000, 1, 3, noise)
    assert near_duplicates(signatures) == [list(range(3000))]
    assert sum(compared) < 3000**2 / 8
