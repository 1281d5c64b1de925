"""Policy expressions and the arithmetic of their weights."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.build.plan import num_added
from augment.errors import UsageError
from augment.policy.expression import MixtureComponent, Policy, parse_policy
from augment.policy.transforms import TRANSFORMS

PIPELINES = st.lists(st.sampled_from(sorted(TRANSFORMS.names)), min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.booleans().map(lambda gan: tuple((["gan"] if gan else []) + names))
)
POLICIES = st.lists(
    st.builds(MixtureComponent, PIPELINES, st.integers(1, 999)),
    max_size=5,
    unique_by=lambda component: tuple(sorted(component.pipeline)),
).map(lambda components: Policy(tuple(components)))


@given(POLICIES)
def test_what_is_printed_reads_back_as_the_same_policy(policy):
    again = parse_policy(str(policy))
    assert again.components == policy.components


@given(POLICIES.filter(lambda policy: policy.components), st.integers(0, 100_000))
def test_counts_are_exact_by_largest_remainder(policy, total):
    counts = policy.counts(total)
    weights = [component.weight for component in policy.components]
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    assert sum(counts) == total
    assert all(abs(count - quota) < 1 for count, quota in zip(counts, exact, strict=True))
    rounded_up = [quota - int(quota) for count, quota in zip(counts, exact, strict=True) if count > quota]
    rounded_down = [quota - int(quota) for count, quota in zip(counts, exact, strict=True) if count <= quota]
    assert max(rounded_down, default=0) <= min([*rounded_up, 1])


@pytest.mark.parametrize(
    ("text", "total", "counts"),
    [
        ("hflip+contrast", 1000, (500, 500)),
        ("hflip+contrast", 5, (3, 2)),
        ("hflip+vflip+negative", 2, (1, 1, 0)),
        ("hflip:2+contrast:1", 10, (7, 3)),
        ("hflip:1+contrast:2", 2, (1, 1)),
        ("none", 7, ()),
    ],
)
def test_counts_worked_by_hand(text, total, counts):
    assert parse_policy(text).counts(total) == counts


def test_dot_binds_tighter_than_colon_and_colon_tighter_than_plus():
    components = parse_policy(" hflip.contrast:3 + gan ").components
    assert components == (MixtureComponent(("hflip", "contrast"), 3), MixtureComponent(("gan",), 1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hfilp+contrast", "did you mean 'hflip'?"),
        ("HFLIP", "did you mean 'hflip'?"),
        ("flip", "did you mean 'hflip' or 'vflip'?"),
        ("rotate", "did you mean 'Rotate'?"),
        ("gaussian_blur", "did you mean 'GaussianBlur'?"),
        ("hflip,contrast", "use + between the parts of a mixture: hflip+contrast"),
        ("Mosaic", "Mosaic needs other images or metadata beside the image, so a policy cannot use it"),
        ("ToTensorV2", "ToTensorV2 gives a tensor"),
        ("wibble", "unknown transform 'wibble'; there are hflip, vflip, contrast, negative, gan, none"),
        ("none+hflip", "'none' stands alone"),
        ("hflip.none", "'none' stands alone"),
        ("none:2", "'none' stands alone"),
        ("hflip.gan", "only come first"),
        ("gan.gan", "only come first"),
        ("hflip.hflip", "'hflip.hflip' leaves every image as it is"),
        ("contrast+vflip.negative.vflip.negative", "leaves every image as it is"),
        ("gan.hflip.hflip", "'hflip.hflip' leaves every image as it is"),
        ("hflip.contrast+hflip.contrast", "give weights"),
        ("hflip+HorizontalFlip", "'hflip' and 'HorizontalFlip' would make the same image twice"),
        ("vflip+negative.vflip.negative", "the same image twice"),
        ("hflip+hflip", "give weights"),
        ("hflip.vflip+vflip.hflip", "give weights"),
        ("hflip++contrast", "a transform is missing"),
        ("hflip.", "a transform is missing"),
        ("", "empty"),
        ("hflip:0", "whole number from 1"),
        ("hflip:1.5", "whole number from 1"),
        ("hflip:", "whole number from 1"),
        ("hflip:-1", "whole number from 1"),
        ("hflip:٣", "whole number from 1"),
        ("hflip:" + "9" * 5000, "whole number from 1"),
    ],
)
def test_wrong_expressions_say_what_would_be_right(text, says):
    with pytest.raises(UsageError, match=r"(?s).*") as caught:
        parse_policy(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("originals", "ratio", "count", "added"),
    [
        (50, "1:1", None, 50),
        (50, None, None, 50),
        (50, "2:1", None, 25),
        (7, "3:2", None, 4),
        (1, "2:1", None, 0),
        (9, None, 4, 4),
    ],
)
def test_number_added(originals, ratio, count, added):
    assert num_added(originals, ratio, count) == added


@pytest.mark.parametrize("ratio", ["1:x", "x", "1", "0:1", "1:-1", "1:1:1", "1.5:1", "", ":", "1:٣"])
def test_wrong_ratios_are_refused(ratio):
    with pytest.raises(UsageError, match="such as 1:1"):
        num_added(10, ratio, None)


def test_ratio_beside_count_is_refused():
    with pytest.raises(UsageError, match="give one of them"):
        num_added(10, "1:1", 5)
    with pytest.raises(UsageError, match="expected a number from 0"):
        num_added(10, None, -1)
