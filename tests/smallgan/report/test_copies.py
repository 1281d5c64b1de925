"""A policy that raises the copies of training images is never called better, and what is not held out is said."""

import json

import report_runs as made

from smallgan.report import collect, find_runs, render
from smallgan.report.phrases import conclusion_phrase, verdicts

LEVELS = {"none": [0.0, 1.0, -1.0, 0.5, -0.5], "hflip": [1.0, 2.1, 0.2, 1.4, 0.9], "copier": [1.1, 2.0, 0.1, 1.6, 0.8]}
COPY_RATES = {"none": [0.01, 0.02, 0.0, 0.01, 0.02], "hflip": [0.02, 0.01, 0.01, 0.0, 0.02]}
COPY_RATES["copier"] = [0.3, 0.35, 0.28, 0.4, 0.33]


def a_study(folder, *, held_out=False):
    """Both policies lower KMMD by about as much; one of them by copies."""
    study = made.make_study(folder, LEVELS)
    for trial in json.loads((study / "trials.json").read_text(encoding="utf-8")):
        run = study / trial["run"]
        lines = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
        copies = lines[-1] | {
            "metric": "copies",
            "label": "copy rate",
            "value": COPY_RATES[trial["variant"]][trial["seed"]],
        }
        copies["identity"] = copies["identity"] | {"metric": "copies"}
        made.write_lines(run / "scores.jsonl", [*lines, copies])
        if held_out:
            data = json.loads((run / "data.json").read_text(encoding="utf-8"))
            made.write_json(run / "data.json", data | {"holdout": {"num": 40, "fingerprint": "h" * 64}})
    return collect(find_runs([study]))


def test_a_policy_that_copies_is_not_called_better(tmp_path):
    report = a_study(tmp_path / "study", held_out=True)
    (verdict,) = verdicts(report)
    assert verdict.sentence.startswith("hflip lowers KMMD")
    assert "(better); copier lowers it by" in verdict.sentence
    assert "(not called better, as copies of training images rise)" in verdict.sentence
    (ranking,) = report.headline
    said = {one.policy: conclusion_phrase(ranking, one) for one in ranking.differences if one}
    assert said == {"hflip": "better", "copier": "lower, but it copies more"}
    assert [record["copies_rise"] for record in ranking.records(report.groups)].count(True) == 1
    assert '<th scope="col">copy rate</th>' in render(report), "the copy rate stands beside the score"


def test_only_what_is_held_out_needs_no_warning(tmp_path):
    (with_all,), (held_out,) = verdicts(a_study(tmp_path / "a")), verdicts(a_study(tmp_path / "b", held_out=True))
    assert with_all.sentence == held_out.sentence + made.NOT_HELD_OUT
