"""The words and the page of a downstream study, from results by hand."""

import re

import pytest
from browser import MARKS, chromium, window

from smallgan.report.downstream_page import page
from smallgan.report.downstream_words import answer, details, text_table

PNG = b"\x89PNG\r\n\x1a\nnot looked at"


def row(variant, mean, number=None, difference=None, conclusion="reference", p=None, measure="accuracy", **more):
    found = {"per_class": number, "measure": measure, "better": "higher", "variant": variant, "mean": mean}
    found |= {"is_reference": conclusion == "reference", "num_seeds": 5, "low": mean - 0.02, "high": mean + 0.02}
    found |= {"by_seed": [mean] * 5, "difference": difference, "p": p, "p_holm": p, "conclusion": conclusion}
    found |= {"difference_low": None, "difference_high": None, "min_detectable_difference": None, "seeds_needed": None}
    if difference is not None:
        bounds = {"difference_low": difference - 0.01, "difference_high": difference + 0.01}
        found |= bounds | {"min_detectable_difference": 0.015}
    return found | more


def results(rows, **more):
    names = list(dict.fromkeys(one["variant"] for one in rows))
    whole = [one | {"measure": name} for name in MEASURES for one in rows]
    found = {"name": "<b>mine</b>", "rows": whole, "variants": names, "reference": names[0], "seeds": [0, 1, 2, 3, 4]}
    found |= {"classes": ["cat", "dog & co"], "num_test": 40, "classifier": {"name": "resnet"}, "steps": 150}
    found |= {
        "num_train": {name: {"original": 20} for name in names},
        "worth": [],
        "audits": {},
        "fingerprint": "f" * 64,
    }
    found |= {"recalls": {name: [0.5, 0.75] for name in names}, "confusions": {names[0]: [[3, 1], [0, 4]]}}
    image = {"place": 3, "name": "dog/<x>.png", "label": "dog & co", "before": "cat", "after": "dog & co"}
    found["moved"] = {name: {"num_gained": 1, "num_lost": 0, "gained": [image], "lost": []} for name in names[1:]}
    found["per_class"] = list(dict.fromkeys(one["per_class"] for one in rows))
    found |= more
    return found | {"answer": answer(found)}


class TestInABrowser:
    pytestmark = MARKS

    def test_the_page_fits_a_phone_asks_for_nothing_and_says_no_error(self, tmp_path):
        rows = [each | {"per_class": number} for number in (5, 10) for each in THREE]
        file = tmp_path / "report.html"
        file.write_text(page(results(rows), {3: PNG}, {"results.csv": b"a,b\n"}), encoding="utf-8")
        with chromium() as running, window(running, file, 360) as shown:
            assert shown.evaluate("document.documentElement.scrollWidth") <= 360
            assert shown.logged == []
            assert [url for url in shown.requested if not url.startswith(("file:", "data:"))] == []
            assert "raises accuracy by 3.0 points" in shown.inner_text(".sentence")


MEASURES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
THREE = [
    row("none", 0.8),
    row("hflip", 0.75, difference=-0.05, conclusion="worse", p=0.0004),
    row("contrast", 0.83, difference=0.03, conclusion="better", p=0.02),
    row("negative", 0.801, difference=0.001, conclusion="not significant", p=0.7, seeds_needed=400),
]


def test_the_answer_says_what_helps_what_hurts_and_what_cannot_be_told():
    assert answer(results(THREE)) == (
        "contrast raises accuracy by 3.0 points [2.0, 4.0]; hflip lowers accuracy by 5.0 points [4.0, 6.0], compared "
        "with none (80.0 % accuracy). No significant difference: negative."
    )


def test_without_a_significant_difference_the_answer_says_so():
    found = results([THREE[0], THREE[3]])
    assert answer(found) == "No significant difference to none (80.0 % accuracy): negative."
    lines = details(found)
    assert any("80 % power to detect one of 1.5 points" in line for line in lines)
    assert any("about 400 seeds" in line for line in lines)


def test_early_stopping_is_told_where_it_was_used():
    plain, early = results(THREE), results(THREE, num_validation=6)
    assert not any("Early stopping" in line for line in details(plain))
    assert "Early stopping: 6 of the real training images chose the step and nothing else." in details(early)
    assert "the last step counts" in page(plain, {}, {})
    assert "lowest log loss on the validation images" in page(early, {}, {})


def test_few_seeds_are_preliminary_and_one_seed_gives_no_conclusion():
    few = results([each | {"num_seeds": 3} for each in THREE])
    assert answer(few).startswith("Preliminary, with few seeds: contrast raises")
    one = results([THREE[0] | {"num_seeds": 1}, THREE[3] | {"num_seeds": 1, "p": None, "p_holm": None}])
    assert answer(one).startswith("No conclusion: with one seed")


def test_what_a_variant_is_worth_and_what_the_audit_found_is_told():
    worth = [
        {"variant": "hflip", "per_class": 25, "factor": 1.84, "bound": ""},
        {"variant": "hflip", "per_class": 50, "factor": 1.0, "bound": "more than"},
        {"variant": "hflip", "per_class": 99, "factor": 7.0, "bound": ""},  # of a difference that chance may make
    ]
    rows = [each | {"per_class": number} for number in (25, 50) for each in THREE]
    audits = {"lora": {"num_images": 50, "left_out": {"a": "b"}, "num_like_train": 2}}
    found = results(rows, worth=worth, audits=audits)
    better = row("hflip", 0.3, difference=-0.1, conclusion="better", p=0.01, measure="log_loss", per_class=99)
    lines = details(found | {"rows": [*found["rows"], better]})  # what another measure finds is not about accuracy
    assert "hflip is worth about 1.8 times the images at n = 25 a class." in lines
    assert "hflip is worth more than 1.0 times the images at n = 50 a class." in lines
    assert not any("n = 99" in line for line in lines)
    assert any(
        line.startswith("lora: of 50 images 1 equal or look like a test image and were left out") for line in lines
    )


def test_the_table_in_text_has_a_line_for_each_variant_and_number():
    both = [each | {"per_class": number} for number in (5, 10) for each in THREE]
    lines = text_table(results(both))
    assert next(line for line in lines if line.startswith("hflip")).split()[:2] == ["hflip", "75.0"]
    assert len(lines) == 2 * (2 + 4)


@pytest.mark.parametrize("numbers", [(None,), (5, 10)])
def test_the_page_opens_with_the_answer_and_needs_nothing_from_elsewhere(numbers):
    rows = [each | {"per_class": number} for number in numbers for each in THREE]
    found = results(rows)
    made = page(found, {3: PNG}, {"results.csv": b"a,b\n"})
    assert made == page(found, {3: PNG}, {"results.csv": b"a,b\n"})
    assert made.index(found["answer"]) < made.index("All measures</h2>")
    assert "&lt;b&gt;mine" in made
    assert "<b>mine" not in made
    assert not re.search(r'(src|href)="(?!data:|#)', made)
    assert "dog &amp; co" in made
    assert ("How many images is it worth?" in made) == (len(numbers) > 1)
    assert 'download="difference.svg"' in made
    assert ('download="curve.svg"' in made) == (len(numbers) > 1)


def test_a_smoke_run_carries_a_banner():
    assert "This is a smoke run" in page(results(THREE, name="digits-smoke"), {}, {})
    assert "smoke run" not in page(results(THREE), {}, {})
