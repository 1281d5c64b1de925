"""Did-you-mean: a guess only where a known word is spelled like the one that was given."""

import pytest

from augment.core.suggest import absent, did_you_mean, instead, near

NETWORKS = ("inception-v3-tf2015", "inception-v3", "resnet50", "mobilenet_v2", "squeezenet1_1")


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("aple", ("pear", "apple"), "apple"),
        ("PEAR", ("pear", "apple"), "pear"),
        ("mobilenet", NETWORKS, "mobilenet_v2"),
        ("clip", NETWORKS, None),
        ("nosuch", ("nonsaturating", "hinge", "lsgan"), None),
        ("c", ("a", "b"), None),
        ("", ("a", "b"), None),
        ("a", (), None),
    ],
)
def test_only_a_word_that_is_spelled_alike_is_near(word, known, found):
    assert near(word, known) == found


def test_what_follows_begins_a_sentence_after_a_guess():
    assert did_you_mean("aple", ["apple"]) == "; did you mean 'apple'?"
    assert did_you_mean("aple", ["apple"], "there is one") == "; did you mean 'apple'? There is one"
    assert did_you_mean("fig", ["apple"], "there is one") == "; there is one"
    assert did_you_mean("fig", ["apple"]) == ""


def test_of_many_words_the_first_are_listed():
    assert instead("fig", ["pear", "plum"]) == "; there are pear, plum"
    names = [f"n{number}" for number in range(50)]
    assert instead("fig", names) == f"; there are {', '.join(names[:40])} ..."


def test_where_nothing_is_what_lies_beside_it_is_named(tmp_path):
    (tmp_path / "00000-train").mkdir()
    (tmp_path / "Löwe 1.zip").touch()
    said = (
        f"{tmp_path / '00000-trian'}: no such file or folder; did you mean {tmp_path / '00000-train'}? Expected a run"
    )
    assert absent(tmp_path / "00000-trian", "expected a run") == said
    assert absent(tmp_path / "Löwe1.zip", "expected a zip").endswith("Löwe 1.zip? Expected a zip")
    assert absent(tmp_path / "far", "expected a run") == f"{tmp_path / 'far'}: no such file or folder; expected a run"
    assert absent(tmp_path / "no" / "run", "expected a run").endswith("run: no such file or folder; expected a run")
