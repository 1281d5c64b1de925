"""What a user can get wrong ends in one line, exit code 2 and no traceback."""

import os
import signal
import subprocess
import sys

import pytest

from smallgan.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "absent"], "absent"),
        (["train", "--size", "48"], "--size 48"),
        (["train", "--set", "train.step=3"], "did you mean 'train.steps'"),
        (["train", "--recipe", "none.yaml"], "none.yaml"),
        (["train", "--device", "tpu"], "--device tpu"),
        (["train", "--policy", "hflop"], "hflip"),
        (["train", "--method", "apgc"], "use --transfer"),
        (["train", "--method", "imle", "--transfer", "apgc"], "give one"),
        (
            ["train", "--method", "imle", "--loss", "hinge"],
            "loss: read by the methods adversarial, cdc, dcl and finetune",
        ),
        (["train", "--policy", "gan"], "generator"),
        (["sample", "absent"], "absent"),
        (["inspct", "photos"], "No such command 'inspct'; did you mean 'inspect'?"),
        (["sample", ".", "--seeds", "0-3", "--count", "3"], "--seeds and --count"),
        (["score", "absent"], "absent"),
        (["report", "absent"], "absent"),
        (["recipes", "show", "quikstart"], "did you mean 'quickstart'"),
        (["weights", "fetch", "absent"], "absent"),
        (["augment", "--policy", "hflip", "--ratio", "1:x"], "1:x"),
        (["augment", "--policy", "none+hflip"], "none"),
        (["augment", "--policy", "hflip", "--ratio", "1:1", "--count", "3"], "--count"),
        (["augment", "--unknown-option"], "--unknown-option"),
    ],
)
def test_one_line_and_exit_code_2(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["smallgan", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    error = capsys.readouterr().err
    assert stopped.value.code == 2, error
    assert said in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_sigterm_is_ctrl_c_and_ends_in_one_line():
    ready = "import sys, time, smallgan.cli as c; sys.argv = ['smallgan', 'recipes', 'list']\n"
    slow = (
        "from smallgan.tables import recipe; "
        "recipe.shipped_recipes = lambda: (print('up', flush=True), time.sleep(60))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", f"{ready}{slow}c.main()"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert error.startswith("smallgan: stopped; ")
    assert "Traceback" not in error
