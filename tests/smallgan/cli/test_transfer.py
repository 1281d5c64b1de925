"""`smallgan train` with --transfer, --pretrained, --group-size and --model: what a user types, reads and gets."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pretrained_files import deep_folder, saved, state
from tiny_networks import TINY_DEEP

from augment.imaging.codec import decode
from smallgan.cli import main
from smallgan.core.rng import Stream, normal
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.data.images import grid, to_pixels
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator, initialize
from smallgan.models.biggan_deep import BigGANDeepGenerator
from smallgan.models.pretrained import save_generator
from smallgan.models.spectral import freeze
from smallgan.sampling.loading import load_codes, load_model
from smallgan.training.plan import memory

CPU = torch.device("cpu")
CONFIG = BigGANConfig(size=32, ch=8, z_dim=16, num_classes=5, shared_dim=6)
QUICK = ["--steps", "2", "--batch-size", "4", "--device", "cpu"]
UNSCORED = ["--set", "score.metrics=[]"]
PLAIN = [*UNSCORED, "--set", "method.perceptual=none"]


def filled(network, seed=0):
    initialize(network, torch.Generator().manual_seed(seed))
    return network.eval()


@pytest.fixture(autouse=True)
def _few_statistics(monkeypatch):
    """Measure an average's moments on 8 batches of 8, which takes less time."""
    monkeypatch.setattr("smallgan.training.ema.STATISTICS_BATCH", 8)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    save_generator(tmp_path / "weights.safetensors", filled(BigGANGenerator(CONFIG)))
    return tmp_path / "weights.safetensors"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run the command in a folder of its own; return its exit code, stdout and stderr."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["smallgan", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def written():
    return [str(path) for path in Path.cwd().rglob("*") if path.is_file()]


def one_run(answer):
    code, out, err = answer
    assert code == 0, err
    return RunDir(Path(out.strip()))


# Learned codes start at 0: around them there is one image
@pytest.mark.parametrize(
    ("method", "own"),
    [("apgc", {"method.latents": "imle"}), ("bsa", {"method.latents": "learned", "method.around_codes": "null"})],
)
def test_the_first_grid_is_the_pretrained_generators_of_the_mean_class(call, tiny_set, ours, method, own):
    anywhere = [f"--set={path}={value}" for path, value in own.items()]
    run = one_run(call("train", tiny_set, "--transfer", method, "--pretrained", ours, *anywhere, *QUICK, *PLAIN))
    network = filled(BigGANGenerator(CONFIG)).to(memory_format=torch.channels_last)
    freeze(network)
    z = torch.from_numpy(normal(0, Stream.GRID_LATENTS, 0, (36, 16)))
    with torch.no_grad():
        mean = network.shared.weight.mean(dim=0).expand(36, -1)
        expected = to_pixels(network.synthesize(z, mean))
    found = decode(run.fakes(0).read_bytes(), "grid")
    np.testing.assert_array_equal(found, grid(expected))
    assert not np.array_equal(decode(run.fakes(2).read_bytes(), "grid"), found)


def test_a_run_of_an_adapter_shows_its_pairs_its_losses_and_its_origin(call, tiny_set, ours):
    own = ["--pretrained", ours, "--group-size", "8", "--set", "method.latents=imle"]
    answer = call("train", tiny_set, "--transfer", "apgc", *own, *QUICK, *PLAIN)
    run = one_run(answer)
    assert "pixel" in answer[2]
    assert f"adapting {ours} (smallgan, 32 px, 5 classes)" in run.log.read_text(encoding="utf-8")
    assert "APGC, g = 8: 15,360 weights after the batch norms, 4.00 times BSA's" in answer[2]
    pairs = decode(run.reconstructions(2).read_bytes(), "pairs")
    assert pairs.shape == (4 * 34 - 2, 10 * 34 - 2, 3)  # 12 images in rows of 10, each row above its reconstructions
    originals = decode(run.reals.read_bytes(), "reals")
    np.testing.assert_array_equal(pairs[:32, : 2 * 34], originals[:32, : 2 * 34])
    last = read_jsonl(run.stats)[-1]
    assert last["kimg"] == 0.008
    assert {"loss_g", "pixel", "perceptual", "distance", "rejected", "class_vector"} <= set(last)
    model = load_model(run.path, CPU)
    assert load_codes(model).shape == (12, 16)
    settings = json.loads((run.checkpoint(2) / "state.json").read_text(encoding="utf-8"))
    assert settings["method"]["group_size"] == 8
    assert settings["pretrained"]["path"] == str(ours)


def test_a_dry_run_tells_memory_and_operations_that_were_counted(call, tiny_set, ours):
    code, out, err = call("train", tiny_set, "--transfer", "bsa", "--pretrained", ours, "--dry-run", *QUICK, *PLAIN)
    assert code == 0, err
    assert "Counted, for any machine: " in out
    assert " operations a step, less than 0.001 s on a GPU" in out
    assert [memory(each) for each in (12.4, 100, 2048)] == ["12 MiB", "0.1 GiB", "2.0 GiB"]
    assert written() == []


def test_a_dry_run_prints_the_table_of_adapters_and_writes_nothing(call, tiny_set, ours):
    own = [
        "--pretrained",
        ours,
        "--dry-run",
        "--json",
        "--set",
        "method.latents=imle",
    ]  # whose latents are no parameters
    code, out, err = call("train", tiny_set, "--transfer", "apgc", *own, *QUICK, *PLAIN)
    assert code == 0, err
    plan = json.loads(out)
    # Three blocks of two norms, 32 wide each, 6 + 4 numbers a condition: 6 * 32 * 10 weights a number made.
    rows = {row["adapter"]: (row["weights"], row["ratio"], row["with biases"]) for row in plan["adapters"]}
    assert rows == {
        "BSA": (3840, 1.0, 3840),
        "APGC, g = 1": (1920, 0.5, 11 * 192 * 2),
        "APGC, g = 4": (7680, 2.0, 11 * 192 * 5),
        "APGC, g = 8": (15360, 4.0, 11 * 192 * 9),
        "APGC, g = 16": (30720, 8.0, 11 * 192 * 17),
        "APGC, ungrouped": (61440, 16.0, 11 * 192 * 33),
    }
    assert "APGC, g = 16: 30,720 weights after the batch norms, 8.00 times BSA's" in err
    trained = next(row["trained in all"] for row in plan["adapters"] if row["adapter"] == "APGC, g = 16")
    assert plan["parameters"] == {"g_ema": trained}
    assert (plan["recipe"]["data"]["size"], plan["recipe"]["method"]["beta1"]) == (32, 0.9)
    assert plan["epochs"] == pytest.approx(2 * 4 / 12, abs=0.05)
    assert written() == []


@pytest.mark.slow
def test_fine_tuning_says_which_discriminator_it_has(call, tiny_set, ours, tmp_path):
    run = one_run(call("train", tiny_set, "--transfer", "finetune", "--pretrained", ours, *QUICK, *UNSCORED))
    assert "no pretrained discriminator was found beside" in run.log.read_text(encoding="utf-8")
    assert load_model(run.path, CPU).generator.num_classes == 1
    folder = tmp_path / "138k"
    folder.mkdir()
    saved(folder / "G_ema.pth", state(filled(BigGANGenerator(CONFIG))))
    saved(folder / "D.pth", state(filled(BigGANDiscriminator(CONFIG), 1)))
    run = one_run(call("train", tiny_set, "--transfer", "finetune", "--pretrained", folder, *QUICK, *UNSCORED))
    assert "with the pretrained discriminator" in run.log.read_text(encoding="utf-8")
    assert "loss D" in run.log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_from_scratch_can_be_adapted_and_tuned_with_its_own_discriminator(call, tiny_set, tmp_path):
    by_class = tmp_path / "by-class"
    for number, path in enumerate(sorted(tiny_set.iterdir())):
        (by_class / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        path.rename(by_class / "ab"[number % 2] / path.name)
    small = ["--set", "model.base_width=8", "--set", "model.z_dim=16", "--set", "model.shared_dim=6"]
    run = one_run(call("train", by_class, "--model", "biggan", "--size", "32", *small, *QUICK, *UNSCORED))
    model = load_model(run.path, CPU)
    assert model.classes == ("a", "b")
    assert model.generator.num_classes == 2
    assert json.loads((run.checkpoint(2) / "state.json").read_text(encoding="utf-8"))["classes"] == ["a", "b"]
    adapted = one_run(call("train", by_class, "--transfer", "bsa", "--pretrained", run.path, *QUICK, *PLAIN))
    assert load_model(adapted.path, CPU).generator.num_classes == 0
    tuned = one_run(call("train", by_class, "--transfer", "finetune", "--pretrained", run.path, *QUICK, *UNSCORED))
    assert "with the pretrained discriminator" in tuned.log.read_text(encoding="utf-8")
    assert load_model(tuned.path, CPU).classes == ("a", "b")


def test_a_recipe_with_a_transfer_takes_another_generator(call, tiny_set, ours):
    options = ["--recipe", "quickstart-apgc", "--pretrained", ours, "--dry-run", "--json", *QUICK, *PLAIN]
    code, out, err = call("train", tiny_set, *options)
    assert code == 0, err
    assert json.loads(out)["recipe"]["method"]["pretrained"] == str(ours)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [["--transfer", "bsa"], ["--set", "method.name=bsa"]])
def test_without_data_the_quickstart_of_the_method_is_used_and_said(call, ours, asked):
    code, out, err = call("train", *asked, "--pretrained", ours, "--dry-run", "--json", *QUICK, *PLAIN)
    assert code == 0, err
    assert "no DATA given: the recipe quickstart-bsa on the sample set" in err
    plan = json.loads(out)
    assert (plan["recipe"]["method"]["name"], plan["recipe"]["method"]["lr_decay_every"]) == ("bsa", 400)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--pretrained", "WEIGHTS"],
            "--pretrained works only with --transfer apgc or bsa or cdc or dcl or finetune; use that",
        ),
        (["--group-size", "8"], "--group-size works only with --transfer apgc; use that"),
        (
            ["--transfer", "bsa", "--pretrained", "WEIGHTS", "--group-size", "8"],
            "--group-size works only with --transfer apgc; use that",
        ),
        (["--transfer", "apgc", "--pretrained", "WEIGHTS", "--size", "64"], "the pretrained generator makes 32 px"),
        (["--transfer", "apgc", "--pretrained", "WEIGHTS", "--group-size", "5"], "1, 2, 4, 8, 16, 32, or 0"),
        (["--transfer", "apgc", "--pretrained", "WEIGHTS", "--set", "method.class_vector=5"], "a class from 0 to 4"),
        (["--transfer", "finetune", "--pretrained", "DEEP"], "finetune needs a BigGAN of the official layout"),
        (["--transfer", "apgc", "--pretrained", "absent.pth"], "absent.pth: no such file or folder"),
        (
            ["--transfer", "apgc", "--model", "dcgan"],
            "model: read by the methods adversarial and imle; this recipe trains by apgc",
        ),
        (["--transfer", "style"], "--transfer style: use one of apgc, bsa, cdc, dcl, finetune"),
        (["--model", "stylegan"], "--model: unknown model 'stylegan'"),
        (
            ["--model", "biggan", "--set", "method.diffaugment=flip"],
            "diffaugment: unknown operation 'flip'; there are color",
        ),
        (["--model", "biggan", "--set", "model.attention=5"], "model.attention 5"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_before_anything_is_written(
    call, tiny_set, ours, tmp_path, options, said
):
    deep = deep_folder(tmp_path / "deep", BigGANDeepGenerator(TINY_DEEP).eval()) if "DEEP" in options else None
    places = {"WEIGHTS": ours, "DEEP": deep}
    code, out, err = call("train", tiny_set, *(places.get(option, option) for option in options), *QUICK)
    assert code == 2, err
    assert said in err
    assert "Traceback" not in err
    assert (out, written()) == ("", [])


@pytest.mark.parametrize("options", [["--pretrained", "absent.pth"], ["--group-size", "8"]])
def test_options_of_a_transfer_are_not_dropped_without_data(call, options):
    code, _, err = call("train", *options, *QUICK)
    assert code == 2, err
    assert "--transfer" in err
    assert written() == []


def test_a_mended_option_may_go_to_the_same_folder(call, tiny_set, ours):
    options = ["train", tiny_set, "--transfer", "apgc", "--pretrained", ours, "--out", "run", *QUICK, *PLAIN]
    assert call(*options, "--group-size", "5")[0] == 2
    assert one_run(call(*options, "--group-size", "4")).last_step() == 2


def test_a_run_does_not_go_on_with_another_generator_under_the_same_name(call, tiny_set, ours):
    options = ["train", tiny_set, "--transfer", "bsa", "--pretrained", ours, "--out", "run", *PLAIN]
    one_run(call(*options, *QUICK))
    save_generator(ours, filled(BigGANGenerator(CONFIG), 9))
    code, _, err = call(*options, *QUICK, "--steps", "4")
    assert code == 2, err
    assert "not the file that run began with (sha256 was" in err
    save_generator(ours, filled(BigGANGenerator(CONFIG)))
    assert one_run(call(*options, *QUICK, "--steps", "4")).last_step() == 4


def test_a_batch_counts_the_images_that_the_discriminator_saw(call, tiny_set):
    small = ["--set", "model.base_width=8", "--set", "model.z_dim=16", "--set", "method.d_steps=3"]
    run = one_run(call("train", tiny_set, "--model", "biggan", "--size", "32", *small, *QUICK, *UNSCORED))
    assert read_jsonl(run.stats)[-1]["kimg"] == 2 * 3 * 4 / 1000
