"""Each option of the adversarial method by the command: what its run says, and that its recipe is read again."""

import pytest
from typer.testing import CliRunner

from smallgan.cli import app
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.tables.recipe import read_recipe

TOY = {
    "data.size": 32,
    "model.base_width": 8,
    "train.batch_size": 4,
    "train.report_every": 1,
    "score.metrics": "[]",
}
OPTIONS = {
    "lr_decay_from": (["method.lr_decay_from=0.5"], set()),
    "ema_kimg": (["method.ema_kimg=0.02"], set()),
    "diffaugment": (
        ["method.diffaugment=translation", "method.diffaugment_fill=reflect", "method.diffaugment_probability=0.3"],
        set(),
    ),
    "ada": (["method.diffaugment=color", "method.ada_target=0.6"], {"r_t", "augment_p"}),
    "apa": (["method.apa_target=0.6"], {"r_t", "apa_p"}),
    "lecam": (["regularizers.lecam={start: 2}"], {"lecam"}),
    "r1": (["regularizers.r1={weight: 0.0002, scaled: true, every: 1}", "model.d_norm=none"], {"r1"}),
}


def train(folder, out, steps, settings):
    options = [f"--set={path}={value}" for path, value in TOY.items()] + [f"--set={text}" for text in settings]
    arguments = ["train", folder, "--steps", steps, "--out", out, "--device", "cpu", *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_toy_run_with_the_option_and_then_more_steps(tiny_set, tmp_path, name):
    settings, terms = OPTIONS[name]
    for steps in (4, 6):  # the run is found again by its own recipe, and goes on
        result = train(tiny_set, tmp_path / "run", steps, settings)
        assert result.exit_code == 0, result.output
    run = RunDir(tmp_path / "run")
    assert "resumed from step 4" in run.log.read_text(encoding="utf-8")
    logged = read_jsonl(run.stats)
    assert [line["step"] for line in logged] == [1, 2, 3, 4, 5, 6]
    assert [set(line) & {"r_t", "augment_p", "apa_p", "lecam", "r1"} for line in logged] == [terms] * 6
    assert read_recipe(run.recipe).train.steps == 6
