"""Which trainer a recipe gets, what a pretrained generator decides, and what fine-tuning starts from."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pretrained_files import deep_folder, saved, state
from sampled_models import biggan_run

from augment.errors import InputError, UsageError
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator, initialize
from smallgan.models.biggan_deep import BigGANDeepConfig, BigGANDeepGenerator
from smallgan.models.dcgan import DCGANGenerator
from smallgan.models.pretrained import save_generator
from smallgan.sampling.latents import draw_labels
from smallgan.sampling.loading import load_model
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import AdversarialTrainer
from smallgan.training.data import load_data
from smallgan.training.factory import open_pretrained, prepare
from smallgan.training.transfer import TransferTrainer, adapter_table

CPU = torch.device("cpu")
CONFIG = BigGANConfig(size=32, ch=8, z_dim=16, num_classes=5, shared_dim=6)
CLASSES = {"bars": 3, "discs": 5, "stars": 2}


def draws(seed):
    return torch.Generator().manual_seed(seed)


def filled(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    initialize(network, draws(seed))
    return network.eval()


@pytest.fixture
def classes_set(tmp_path: Path) -> Path:
    """A folder of three classes in sub-folders, 3, 5 and 2 images of noise."""
    folder = tmp_path / "by-class"
    noise = np.random.default_rng(0)
    for name, count in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    save_generator(tmp_path / "weights.safetensors", filled(BigGANGenerator(CONFIG)))
    return tmp_path / "weights.safetensors"


@pytest.fixture
def with_critic(tmp_path: Path) -> Path:
    folder = tmp_path / "138k"
    folder.mkdir()
    saved(folder / "G_ema.pth", state(filled(BigGANGenerator(CONFIG))))
    saved(folder / "D.pth", state(filled(BigGANDiscriminator(CONFIG), 1)))
    return folder


def prepared(source: Path, pretrained: Path | None = None, method: str | None = None, **overrides):
    settings: dict[str, object] = {"data.source": str(source), "data.size": 32, "train.batch_size": 4}
    if method is None:
        settings |= {"model.base_width": 8, "model.z_dim": 8}
    else:
        settings |= {"method.name": method, "method.pretrained": str(pretrained)}
    if method in ("bsa", "apgc"):
        settings["method.perceptual"] = "none"
    recipe = load_recipe(None, settings | {name.replace("__", "."): value for name, value in overrides.items()})
    said: list[str] = []
    recipe, found = open_pretrained(recipe)
    trainer, batches = prepare(recipe, load_data(recipe, CPU), CPU, found, said.append)
    return trainer, batches, said


def assert_same_tensors(one, other, but=()):
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    assert {name for name in left if name not in but and not torch.equal(left[name], right[name])} == set()


def test_from_scratch_a_recipe_is_left_as_it_is():
    recipe = load_recipe(None, {"model.name": "biggan"})
    assert open_pretrained(recipe) == (recipe, None)


def test_the_model_and_the_method_choose_the_trainer(classes_set, ours):
    networks = {
        DCGANGenerator: prepared(classes_set, model__name="dcgan"),
        BigGANGenerator: prepared(classes_set, model__name="biggan"),
    }
    for kind, (trainer, *_) in networks.items():
        assert isinstance(trainer, AdversarialTrainer)
        assert isinstance(trainer.generator, kind)
    assert isinstance(prepared(classes_set, ours, "finetune")[0], AdversarialTrainer)
    for method in ("bsa", "apgc"):
        own = {"method__group_size": 8} if method == "apgc" else {}
        trainer, _, said = prepared(classes_set, ours, method, **own)
        assert isinstance(trainer, TransferTrainer)
        assert said[0] == f"adapting {ours} (smallgan, 32 px, 5 classes)"
        assert said[1] == "the 3 class folders are adapted to as one; --transfer finetune keeps classes apart"
        assert said[2].startswith("BSA: " if method == "bsa" else "APGC, g = 8: ")
        assert "perceptual loss: NONE" in said[-1]


def test_sub_folders_are_classes_in_the_order_of_their_names(classes_set):
    trainer, batches, said = prepared(classes_set, model__name="biggan")
    assert trainer.description["classes"] == ["bars", "discs", "stars"]
    assert trainer.generator.config.num_classes == 3
    assert batches.labels.tolist() == [0] * 3 + [1] * 5 + [2] * 2
    assert not any("one class" in line for line in said)


def test_images_of_a_generator_count_to_the_class_that_was_drawn(classes_set, tmp_path):
    run = biggan_run(tmp_path / "run", [*CLASSES]).path
    own = {"model__name": "biggan", "augment__policy": "gan", "augment__count": 8}
    trainer, batches, _ = prepared(classes_set, augment__generator=str(run), **own)
    drawn = draw_labels(load_model(run, CPU), [(0, k) for k in range(8)])
    assert trainer.description["classes"] == [*CLASSES]
    assert batches.labels[10:].tolist() == drawn.tolist()
    assert len({*drawn}) > 1


def test_images_without_a_class_are_refused_beside_classes(classes_set, ours):
    (classes_set / "discs" / "0.png").rename(classes_set / "loose.png")
    own = {"model__name": "biggan", "augment__policy": "gan", "augment__count": 4, "augment__generator": str(ours)}
    with pytest.raises(UsageError, match="1 original and 4 synthetic images have no class, beside 3 classes"):
        prepared(classes_set, **own)
    prepared(classes_set, method__conditional=False, **own)


def test_mirror_images_added_by_a_policy_keep_their_classes(classes_set):
    _, batches, _ = prepared(classes_set, model__name="biggan", augment__policy="hflip")
    assert torch.bincount(batches.labels).tolist() == [6, 10, 4]
    originals, added = batches.pixels[:10], batches.pixels[10:]
    for image, label in zip(added, batches.labels[10:], strict=True):
        parents = (originals == image.flip(1)).flatten(1).all(dim=1)
        assert batches.labels[:10][parents].tolist() == [label]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [({"method__conditional": False}, "one class, as the recipe says")],
)
def test_one_class_where_the_recipe_says_so(classes_set, overrides, line):
    trainer, batches, said = prepared(classes_set, model__name="biggan", **overrides)
    assert line in said
    assert trainer.generator.config.num_classes == 1
    assert trainer.description["classes"] == []
    assert batches.labels.unique().tolist() == [0]


def test_one_class_where_there_are_no_sub_folders(tiny_set):
    trainer, _, said = prepared(tiny_set, model__name="biggan")
    assert "one class: the images are in no sub-folders" in said
    assert trainer.generator.config.num_classes == 1


def test_batches_hold_a_part_for_each_discriminator_step_and_may_walk_instead_of_draw(classes_set):
    _, batches, _ = prepared(classes_set, model__name="biggan", method__d_steps=3, method__class_balanced=False)
    assert batches.batch_size == 12
    assert sorted(batches.batch(0).indices.tolist()[:10]) == list(range(10))
    _, balanced, _ = prepared(classes_set, model__name="biggan")
    drawn = torch.cat([balanced.batch(number).labels for number in range(150)])
    assert torch.bincount(drawn).tolist() == pytest.approx([200, 200, 200], abs=45)


def test_an_adapters_batch_is_no_larger_than_the_set(classes_set, ours):
    _, batches, _ = prepared(classes_set, ours, "bsa", train__batch_size=25)
    for number in range(3):
        assert sorted(batches.batch(number).indices.tolist()) == list(range(10))
    _, batches, _ = prepared(classes_set, ours, "bsa", train__batch_size=4)
    assert batches.batch_size == 4


def test_the_pretrained_generator_decides_the_side(ours):
    recipe = load_recipe(None, {"method.name": "apgc", "method.pretrained": str(ours)})
    decided, source = open_pretrained(recipe)
    assert (recipe.data.size, decided.data.size) == (64, 32)
    assert source is not None
    assert source.origin == {"path": str(ours), "sha256": source.pretrained.sha256, "kind": "smallgan"}
    # The resolved recipe is what a run keeps: it resolves to itself.
    assert open_pretrained(decided)[0] == decided


def test_another_side_is_refused(ours):
    settings = {"method.name": "apgc", "method.pretrained": str(ours), "data.size": 64}
    with pytest.raises(UsageError, match=r"data\.size 64: the pretrained generator makes 32 px .*leave the size out"):
        open_pretrained(load_recipe(None, settings))


def test_a_group_size_that_does_not_fit_is_refused_with_those_that_do(classes_set, ours):
    with pytest.raises(UsageError, match=r"--group-size 5: .* have 32 channels; .*: 1, 2, 4, 8, 16, 32, or 0"):
        prepared(classes_set, ours, "apgc", method__group_size=5)


@pytest.mark.parametrize("conditional", [True, False])
def test_fine_tuning_starts_from_the_pretrained_generator_with_every_class_at_the_mean(classes_set, ours, conditional):
    trainer, _, said = prepared(classes_set, ours, "finetune", method__conditional=conditional)
    original = filled(BigGANGenerator(CONFIG))
    count = 3 if conditional else 1
    assert_same_tensors_but_classes(trainer.generator, original)
    torch.testing.assert_close(trainer.generator.shared.weight, original.shared.weight.mean(dim=0).expand(count, -1))
    assert (trainer.generator.num_classes, trainer.generator.config.num_classes) == (count, count)
    assert any(line.startswith("no pretrained discriminator") for line in said)
    assert trainer.discriminator.embed.weight.shape == (count, 32)
    # The images are the pretrained generator's, of the mean class vector.
    z = torch.randn(4, 16, generator=draws(7))
    mean = original.shared.weight.mean(dim=0).expand(4, -1)
    with torch.no_grad():
        found = copy.deepcopy(trainer.generator_ema)(z, torch.tensor([0, count - 1, 0, 0]))
        torch.testing.assert_close(found, original.synthesize(z, mean), rtol=1e-4, atol=1e-5)


def assert_same_tensors_but_classes(found, original):
    left, right = found.state_dict(), original.state_dict()
    assert left.keys() == right.keys()
    assert {name for name in left if not torch.equal(left[name], right[name])} == {"shared.weight"} & set(left)


def test_fine_tuning_may_start_at_a_class(classes_set, ours):
    trainer, *_ = prepared(classes_set, ours, "finetune", method__class_vector="2")
    original = filled(BigGANGenerator(CONFIG)).shared.weight
    assert torch.equal(trainer.generator.shared.weight, original[2].expand(3, -1))


def test_the_discriminator_starts_at_the_classes_that_the_generator_starts_at(classes_set, with_critic):
    trainer, *_ = prepared(classes_set, with_critic, "finetune", method__class_vector="1:3+4:1")
    generator, critic = filled(BigGANGenerator(CONFIG)), filled(BigGANDiscriminator(CONFIG), 1)
    for found, table in ((trainer.generator.shared, generator.shared), (trainer.discriminator.embed, critic.embed)):
        row = 0.75 * table.weight[1] + 0.25 * table.weight[4]
        torch.testing.assert_close(found.weight, row.expand(3, -1))


def test_fine_tuning_goes_on_with_a_pretrained_discriminator(classes_set, with_critic):
    trainer, batches, said = prepared(classes_set, with_critic, "finetune")
    assert "with the pretrained discriminator" in said
    original = filled(BigGANDiscriminator(CONFIG), 1)
    assert_same_tensors_except(trainer.discriminator, original, "embed.")
    rows = original.embed.weight.mean(dim=0).expand(3, -1)
    torch.testing.assert_close(trainer.discriminator.embed.weight, rows)
    # Equal rows divided by their largest singular value: each then has the length 1 / sqrt(3).
    with torch.no_grad():
        lengths = copy.deepcopy(trainer.discriminator.embed).eval()(torch.arange(3)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((3,), 3**-0.5))
    numbers = trainer.step(batches.batch(0), 0)
    assert all(torch.isfinite(value) for value in numbers.values())


def assert_same_tensors_except(found, original, prefix):
    left, right = found.state_dict(), original.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left if not name.startswith(prefix))


def test_fine_tuning_steps_move_all_of_the_generator_and_leave_the_source_alone(classes_set, ours):
    trainer, batches, _ = prepared(classes_set, ours, "finetune")
    before = {name: p.detach().clone() for name, p in trainer.generator.named_parameters()}
    for number in range(3):
        trainer.step(batches.batch(number), number)
    assert {name for name, p in trainer.generator.named_parameters() if torch.equal(p, before[name])} == set()


def test_fine_tuning_without_a_shared_embedding_puts_every_class_at_the_mean_of_the_tables(classes_set, tmp_path):
    config = BigGANConfig(size=32, ch=8, z_dim=16, num_classes=5, shared_dim=0, hierarchical=False)
    original = filled(BigGANGenerator(config))
    save_generator(tmp_path / "cifar.safetensors", original)
    trainer, batches, _ = prepared(classes_set, tmp_path / "cifar.safetensors", "finetune")
    for found, before in zip(trainer.generator.norms, original.norms, strict=True):
        for one, other in ((found.gain, before.gain), (found.bias, before.bias)):
            torch.testing.assert_close(one.weight, other.weight.mean(dim=0).expand(3, -1))
    assert torch.isfinite(trainer.step(batches.batch(0), 0)["loss_g"])
    with pytest.raises(UsageError, match=r"no shared class vector, .* use finetune"):
        prepared(classes_set, tmp_path / "cifar.safetensors", "apgc")


def tiny_deep(folder, output_dim, z_dim, *layers):
    config = BigGANDeepConfig(
        output_dim=output_dim,
        z_dim=z_dim,
        class_embed_dim=10,
        channel_width=4,
        num_classes=6,
        layers=((True, 4, 2), (False, 2, 2), *layers),
        attention_layer_position=2,
        n_stats=5,
    )
    return deep_folder(folder, BigGANDeepGenerator(config).eval())


def test_fine_tuning_a_biggan_deep_is_refused(classes_set, tmp_path):
    folder = tiny_deep(tmp_path / "deep", 32, 12, (True, 2, 1), (True, 1, 1))
    with pytest.raises(UsageError, match=r"finetune needs a BigGAN of the official layout.*--transfer apgc or bsa"):
        prepared(classes_set, folder, "finetune")


def test_a_generator_of_a_side_that_no_recipe_has_is_refused(classes_set, tmp_path):
    folder = tiny_deep(tmp_path / "deep", 16, 9, (True, 2, 1))
    with pytest.raises(InputError, match="images of 16 px; expected one of 32, 64, 128, 256, 512 px"):
        prepared(classes_set, folder, "apgc")


def test_fine_tuning_what_the_public_bsa_code_adapted_is_refused(classes_set, tmp_path):
    """Its scale and bias on the first map have no place in the checkpoints of a BigGAN, which could not be loaded."""
    one = filled(BigGANGenerator(CONFIG))
    own = {"embeddings.weight": torch.zeros(3, 16), "linear.weight": one.shared.weight.detach()[:1].T.contiguous()}
    own |= {f"bsa_linear_{name}": torch.ones(32) for name in ("scale", "bias")}
    frozen = {f"generator.{name}": value for name, value in state(one).items() if name != "shared.weight"}
    file = saved(tmp_path / "checkpoint.pth", {"model": own | frozen, "iteration": 9})
    with pytest.raises(UsageError, match="already adapted by the public BSA code"):
        prepared(classes_set, file, "finetune")
    assert isinstance(prepared(classes_set, file, "bsa")[0], TransferTrainer)


def test_the_published_counts_of_biggan_128():
    """The table of the parameter ratios, of the released generator's widths; 2, 4 and 8 times where weights count."""
    with torch.device("meta"):
        generator = BigGANGenerator(BigGANConfig(128, 96, 120, 1000, attention=64))

    rows = adapter_table(generator)
    shown = [
        (row["adapter"], row["weights"], row["ratio"], row["with biases"], row["ratio with biases"]) for row in rows
    ]
    assert shown == [
        ("BSA", 2_188_032, 1.0, 2_188_032, 1.0),
        ("APGC, g = 1", 1_094_016, 0.5, 2_202_816, 1.01),
        ("APGC, g = 4", 4_376_064, 2.0, 5_507_040, 2.52),
        ("APGC, g = 8", 8_752_128, 4.0, 9_912_672, 4.53),
        ("APGC, g = 16", 17_504_256, 8.0, 18_723_936, 8.56),
        ("APGC, ungrouped", 1_278_038_016, 584.1, 1_287_774_816, 588.55),
    ]
    # Beside the layers: class vector, first layer with its bias, scale and bias of the first map.
    assert {row["trained in all"] - row["with biases"] for row in rows} == {128 + 24576 * 20 + 24576 + 2 * 1536}
