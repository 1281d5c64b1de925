"""A GPU that is full is told in one line with a batch that fits, and is tried in parts where the user asks for it.

No GPU is needed: steps here run out of memory as soon as more than LIMIT images go through a network at once.
"""

import pytest
import torch
from sampled_models import pixels

from augment.errors import UsageError
from smallgan.cli import main
from smallgan.core.run_dir import RunDir
from smallgan.data.images import ImageBatches
from smallgan.models.dcgan import DCGANGenerator
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.out_of_memory import named, with_micro_batch
from smallgan.training.train import train

CPU = torch.device("cpu")
REASON = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB.\nand more"
BY_IMAGE = {"model.g_norm": "layer", "model.d_norm": "none"}


@pytest.fixture
def limit(monkeypatch):
    """Let more images than this at once be too many."""
    found, forward = [5], DCGANGenerator.forward

    def limited(network, z):
        if len(z) > found[0] and network.training:
            raise torch.OutOfMemoryError(REASON)
        return forward(network, z)

    monkeypatch.setattr(DCGANGenerator, "forward", limited)
    return found


def made(**overrides):
    over = {"model.base_width": 8, "data.size": 32, "train.batch_size": 16} | overrides
    settings = load_recipe(None, over)
    d_steps = settings.method.d_steps
    return settings, lambda: (build_trainer(settings, CPU), ImageBatches(pixels(), 16 * d_steps, 0, CPU))


@pytest.mark.parametrize(("fits", "batch"), [(5, 4), (8, 8), (2, 2)])
@pytest.mark.parametrize("d_steps", [1, 2])
def test_the_batch_that_fits_is_named(limit, tmp_path, fits, batch, d_steps):
    limit[0] = fits
    settings, make = made(**{"method.d_steps": d_steps})
    trainer, batches = make()
    with pytest.raises(UsageError) as error:
        named(lambda: trainer.step(batches.batch(0), 0), settings, RunDir(tmp_path / "run"), trainer, batches)
    said = str(error.value)
    assert said.startswith(f"{tmp_path / 'run'}: out of memory on cpu")
    assert "with train.batch_size 16 (CUDA out of memory)" in said
    assert f"A step on {batch} images fits here: use --batch-size {batch}" in said
    assert "--micro-batch" not in said  # this DCGAN has batch norm
    assert error.value.exit_code == 2


def test_where_parts_add_up_they_are_offered(limit, tmp_path):
    settings, make = made(**BY_IMAGE)
    trainer, batches = make()
    with pytest.raises(UsageError, match=r"use --batch-size 4, or --micro-batch auto for the same training on 16"):
        named(lambda: trainer.step(batches.batch(0), 0), settings, RunDir(tmp_path / "run"), trainer, batches)
    assert limit == [5]


@pytest.mark.parametrize(("fits", "said"), [(1, "Not even a step on 2 images fits"), (16, "A step alone fits now")])
def test_nothing_that_fits_and_a_step_that_is_not_to_blame(limit, tmp_path, fits, said):
    limit[0] = fits
    settings, make = made()

    def work():
        raise torch.OutOfMemoryError(REASON)

    with pytest.raises(UsageError, match=said):
        named(work, settings, RunDir(tmp_path / "run"), *make())


def test_other_errors_and_results_pass(tmp_path):
    settings, make = made()
    run = RunDir(tmp_path / "run")
    assert named(lambda: 7, settings, run, *make()) == 7
    with pytest.raises(ZeroDivisionError):
        named(lambda: 1 // 0, settings, run, *make())


def test_auto_takes_the_largest_part_that_fits_and_starts_afresh(limit):
    settings, make = made(**BY_IMAGE, **{"train.micro_batch": "auto"})
    said = []
    trainer, batches = with_micro_batch(settings, make, said.append)
    assert trainer.micro_batch == 4
    assert said == ["micro-batch: 4 of 16 images at a time, the most that fit here"]
    fresh = make()[0].generator.state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in trainer.generator.state_dict().items())
    trainer.step(batches.batch(0), 0)
    limit[0] = 100
    assert with_micro_batch(settings, make, said.append)[0].micro_batch is None
    limit[0] = 0
    with pytest.raises(UsageError, match=r"out of memory on cpu.* with a single image at a time"):
        with_micro_batch(settings, make, said.append)


@pytest.mark.slow
def test_a_whole_training_ends_in_words_and_leaves_no_checkpoint(limit, tiny_set, tmp_path):
    over = {"model.base_width": 8, "data.size": 32, "train.batch_size": 8, "train.steps": 4, "score.metrics": []}
    settings = load_recipe(None, over | {"data.source": str(tiny_set)})
    with pytest.raises(UsageError, match="A step on 4 images fits here: use --batch-size 4"):
        train(settings, out=tmp_path / "run", device="cpu", log=lambda _line: None)
    assert limit == [5]
    assert RunDir(tmp_path / "run").checkpoint_steps() == []


def test_elsewhere_a_full_gpu_is_one_line_and_exit_code_2(monkeypatch, capsys):
    def fail():
        raise torch.OutOfMemoryError(REASON)

    monkeypatch.setattr("smallgan.cli.app", fail)
    with pytest.raises(SystemExit) as stopped:
        main()
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("smallgan: error: CUDA out of memory; use a smaller --batch-size")
    assert "Traceback" not in error
