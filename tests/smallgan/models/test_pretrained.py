"""Pretrained generators: every form in which users have them, and what is said of files that are something else."""

import json
from collections import OrderedDict
from dataclasses import asdict, replace

import pytest
import torch
from pretrained_files import TINY, assert_same, deep_folder, latents, released, saved, state
from safetensors.torch import save_file
from tiny_networks import TINY_DEEP, shaken

from augment.core.files import sha256_file
from augment.errors import UsageError
from smallgan.models.adapters import parse_class_vector
from smallgan.models.base import Adaptable
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator
from smallgan.models.biggan_deep import BigGANDeepConfig, BigGANDeepGenerator, released_names
from smallgan.models.pretrained import load_pretrained, save_generator
from smallgan.sampling.pretrained import find_pretrained


@pytest.fixture(scope="module")
def generator():
    return shaken(BigGANGenerator(TINY))


@pytest.fixture(scope="module")
def deep():
    return shaken(BigGANDeepGenerator(replace(TINY_DEEP, truncation=1.0)))


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("config", "keys", "parameters"),
    [
        (BigGANConfig(64, 64, 120, 1000, attention=32), 138, 31_969_540),
        (BigGANConfig(128, 96, 120, 1000, attention=64), 166, 70_433_988),
    ],
    ids=["64", "128"],
)
def test_checkpoints_of_the_released_sizes(whole_network, tmp_path, config, keys, parameters, old):
    tensors = whole_network(config)
    found = load_pretrained(saved(tmp_path / "weights.bin", tensors, old=old))
    (tmp_path / "weights.bin").unlink()
    assert (found.kind, found.config, found.notes) == ("official", config, ())
    assert len(found.generator.state_dict()) == keys
    assert sum(each.numel() for each in found.generator.parameters()) == parameters
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in found.generator.state_dict().items())


@pytest.fixture(scope="module")
def whole_network():
    """Makes the state of a generator of full width, the same one again for the same configuration."""
    made = {}

    def make(config):
        if config not in made:
            made.clear()
            with torch.device("meta"):
                network = BigGANGenerator(config)
            draws = torch.Generator().manual_seed(0)
            made[config] = OrderedDict(
                (name, torch.rand(tensor.shape, generator=draws)) for name, tensor in network.state_dict().items()
            )
        return made[config]

    return make


@pytest.mark.slow
def test_a_deep_checkpoint_of_the_released_size(tmp_path):
    with torch.device("meta"):
        network = BigGANDeepGenerator(BigGANDeepConfig())
    names, draws = released_names(network), torch.Generator().manual_seed(0)
    tensors = {names[own]: torch.rand(tensor.shape, generator=draws) for own, tensor in network.state_dict().items()}
    torch.save(tensors, tmp_path / "biggan-deep-128-pytorch_model.bin")
    found = load_pretrained(tmp_path)
    found.path.unlink()
    assert (found.kind, found.config, len(tensors)) == ("hugging-face deep", BigGANDeepConfig(), 506)
    assert sum(each.numel() for each in found.generator.parameters()) == 50_388_609
    assert all(torch.equal(tensor, tensors[names[own]]) for own, tensor in found.generator.state_dict().items())
    assert found.notes[0] == "no config.json beside it: taken for the released model of 128 px"


@pytest.mark.parametrize("old", [False, True])
def test_an_official_file_gives_the_same_images(generator, tmp_path, old):
    path = saved(tmp_path / "anything", state(generator), old=old)
    draws = torch.get_rng_state()
    found = load_pretrained(path)
    assert torch.equal(torch.get_rng_state(), draws), "loading must not draw from the global generator"
    assert (found.kind, found.config, found.notes, found.discriminator) == ("official", TINY, (), None)
    assert (found.path, found.sha256) == (path, sha256_file(path))
    assert isinstance(found.generator, Adaptable)
    assert not found.generator.training
    assert all(each.requires_grad for each in found.generator.parameters())
    assert_same(found.generator, generator)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 32, "attention": 0},
        {"size": 32, "hierarchical": False, "attention": 16},
        {"hierarchical": False, "shared_dim": 20},
        {"hierarchical": False, "shared_dim": 0},
        {"size": 128, "z_dim": 18, "attention": 64},
    ],
)
def test_configurations_are_told_from_the_shapes(tmp_path, changes):
    config = replace(TINY, **changes)
    network = shaken(BigGANGenerator(config))
    found = load_pretrained(saved(tmp_path / "G_ema.pth", state(network)))
    assert found.config == config
    assert_same(found.generator, network, z_dim=config.z_dim)


def test_names_of_a_parallel_module_and_half_precision(generator, tmp_path):
    halved = {f"module.{name}": tensor.half() for name, tensor in state(generator).items()}
    found = load_pretrained(saved(tmp_path / "G_ema.pth", halved))
    for name, tensor in found.generator.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, generator.state_dict()[name].half().float()), name


def moved(tensors, renamed, extra):
    """The moments of every batch norm one level deeper, under other names, with a counter beside them."""
    deeper = {}
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        deeper[f"{stem}.bn.{renamed[last]}" if last in renamed else name] = tensor
        if last == "stored_var":
            deeper |= {f"{stem}.bn.{key}": value for key, value in extra.items()}
    return deeper


def test_moments_of_the_other_batch_norms(generator, tmp_path):
    own = {"stored_mean": "stored_mean", "stored_var": "stored_var"}
    running = {"stored_mean": "running_mean", "stored_var": "running_var"}
    sums = {name: tensor * 16 if "stored_" in name else tensor for name, tensor in state(generator).items()}
    for tensors in (
        moved(state(generator), own, {"accumulation_counter": torch.zeros(1)}),
        moved(sums, own, {"accumulation_counter": torch.full((1,), 16.0)}),
        moved(state(generator), running, {"num_batches_tracked": torch.tensor(9)}),
    ):
        assert not any(name.endswith("bn1.stored_mean") for name in tensors)
        assert_same(load_pretrained(saved(tmp_path / "G_ema.pth", tensors)).generator, generator)


def test_a_conversion_from_tf_hub_has_larger_epsilons(generator, tmp_path):
    tensors = {name: tensor for name, tensor in state(generator).items() if not name.endswith("sv0")}
    tensors["shared.weight"] = tensors["shared.weight"].T.contiguous().T
    found = load_pretrained(saved(tmp_path / "biggan-64.pth", tensors))
    assert (found.kind, found.config) == ("tf-hub", replace(TINY, bn_eps=1e-4, sn_eps=1e-4))
    assert found.notes == ("sv0 is absent: a conversion from TF-Hub, so the epsilons are 1e-4",)
    other = BigGANGenerator(found.config)
    other.load_state_dict(state(generator))
    assert_same(found.generator, other.eval())


def test_plain_weights_are_told_from_averaged_ones(generator, tmp_path):
    found = load_pretrained(saved(tmp_path / "G_best0.pth", state(generator)))
    assert found.notes == (
        "G_best0.pth holds the plain weights, not their moving average: G_ema.pth makes better images",
    )


def test_a_folder_gives_the_average_and_the_discriminator(generator, tmp_path):
    for name in ("G.pth", "G_copy0.pth", "G_ema_best0.pth", "G_ema.pth"):
        saved(tmp_path / name, state(generator))
    critic = shaken(BigGANDiscriminator(replace(TINY, d_ch=4, attention=16)))
    saved(tmp_path / "D.pth", state(critic))
    saved(tmp_path / "G_optim.pth", {"state": {}, "param_groups": []})
    found = load_pretrained(tmp_path)
    assert (found.path.name, found.config, found.notes) == ("G_ema.pth", TINY, ())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.equal(found.discriminator(images), critic(images))
    (tmp_path / "G_ema.pth").unlink()
    assert load_pretrained(tmp_path).path.name == "G_ema_best0.pth"
    assert load_pretrained(tmp_path / "G.pth").discriminator is not None, "it lies beside the file too"


def test_a_discriminator_that_does_not_match_is_left_out_and_said(generator, tmp_path):
    saved(tmp_path / "G_ema.pth", state(generator))
    saved(tmp_path / "D.pth", state(BigGANDiscriminator(replace(TINY, num_classes=3))))
    found = load_pretrained(tmp_path)
    assert found.discriminator is None
    assert "of another shape: embed.weight (3, 128), expected (5, 128)" in found.notes[0]
    (tmp_path / "D.pth").write_bytes(b"")
    assert "D.pth: the file is empty" in load_pretrained(tmp_path).notes[0]


def test_without_an_embedding_class_vectors_are_needed(generator, tmp_path):
    tensors = {name: tensor for name, tensor in state(generator).items() if name != "shared.weight"}
    found = load_pretrained(saved(tmp_path / "G_ema.pth", tensors))
    assert (found.generator.num_classes, found.generator.class_dim) == (0, 6)
    assert found.notes == ("the file has no class embedding (shared.weight): class vectors must be given",)
    vectors = generator.class_vectors(torch.tensor([1, 3]))
    with torch.no_grad():
        assert torch.equal(found.generator.synthesize(latents(), vectors), generator.synthesize(latents(), vectors))
    with pytest.raises(UsageError, match="no class embedding"):
        found.generator(latents())
    save_generator(tmp_path / "again.safetensors", found.generator)
    assert load_pretrained(tmp_path / "again.safetensors").generator.num_classes == 0


def test_our_own_form_keeps_everything(tmp_path):
    config = replace(TINY, bn_eps=1e-3, sn_eps=1e-5, num_classes=1)
    network = shaken(BigGANGenerator(config))
    save_generator(tmp_path / "ours.safetensors", network)
    found = load_pretrained(tmp_path)
    assert (found.kind, found.config, found.notes) == ("smallgan", config, ())
    with torch.no_grad():
        assert torch.equal(found.generator(latents()), network(latents()))


def test_our_own_form_in_bfloat16(generator, tmp_path):
    save_generator(tmp_path / "small.safetensors", generator, torch.bfloat16)
    save_generator(tmp_path / "large.safetensors", generator)
    assert (tmp_path / "small.safetensors").stat().st_size < 0.6 * (tmp_path / "large.safetensors").stat().st_size
    found, whole = load_pretrained(tmp_path / "small.safetensors").generator.state_dict(), generator.state_dict()
    for name, tensor in found.items():
        weight = name.endswith("weight")
        assert torch.equal(tensor, whole[name].bfloat16().float() if weight else whole[name]), name


def test_the_same_generator_gives_the_same_bytes(generator, tmp_path):
    # Eight times: with two entries in its header, safetensors would write them in either order.
    written = set()
    for number in range(8):
        path = tmp_path / f"{number}.safetensors"
        save_generator(path, generator if number < 4 else load_pretrained(tmp_path / "0.safetensors").generator)
        written.add(sha256_file(path))
    assert len(written) == 1


def test_a_checkpoint_of_a_run_gives_its_average_and_its_discriminator(generator, tmp_path):
    critic = shaken(BigGANDiscriminator(TINY))
    networks = {"g": BigGANGenerator(TINY), "g_ema": generator, "d": critic}
    tensors = {f"{prefix}.{name}": value for prefix, net in networks.items() for name, value in state(net).items()}
    folder = tmp_path / "checkpoints" / "step-000200"
    folder.mkdir(parents=True)
    (tmp_path / "recipe.yaml").write_text("name: x\n", encoding="utf-8")
    save_file(tensors | {"adam.g.linear.bias.step": torch.zeros(())}, folder / "tensors.safetensors")
    for path in (tmp_path, folder, folder / "tensors.safetensors"):
        found = load_pretrained(path)
        assert (found.kind, found.config, found.path) == ("smallgan", TINY, folder / "tensors.safetensors")
        assert_same(found.generator, generator)
        assert torch.equal(found.discriminator.embed.weight, critic.embed.weight)
    config = replace(TINY, bn_eps=1e-3)
    (folder / "state.json").write_text(json.dumps({"step": 200, "config": asdict(config)}), encoding="utf-8")
    assert load_pretrained(tmp_path).config == config


def adapted(generator, **extra):
    """A checkpoint of the public BSA code (and of the APGC code that grew from it) for 3 images."""
    frozen = {f"generator.{name}": value for name, value in state(generator).items() if name != "shared.weight"}
    own = {
        "embeddings.weight": torch.zeros(3, 20),
        "bsa_linear_scale": torch.rand(128, generator=torch.Generator().manual_seed(4)),
        "bsa_linear_bias": torch.rand(128, generator=torch.Generator().manual_seed(5)),
        "linear.weight": generator.shared.weight.detach().mean(dim=0)[:, None],
    }
    return {"model": own | frozen | extra, "iteration": 9}


def test_a_generator_adapted_by_the_public_bsa_code(generator, tmp_path):
    value = adapted(generator)
    found = load_pretrained(saved(tmp_path / "checkpoint.pth", value))
    assert (found.kind, found.config) == ("pytorch-bsa", replace(TINY, num_classes=1))
    assert "to 3 images" in found.notes[0]
    scale, bias = (value["model"][f"bsa_linear_{name}"][:, None, None] for name in ("scale", "bias"))
    vectors = value["model"]["linear.weight"].T.expand(2, -1)
    seen = []
    with torch.no_grad():
        expected = generator.synthesize(latents(), vectors, None, lambda first: first * scale + bias)
        assert torch.equal(found.generator(latents()), expected)
        found.generator.synthesize(latents(), vectors, None, lambda first: seen.append(first) or first)
    assert len(seen) == 1
    save_generator(tmp_path / "again.safetensors", found.generator)
    with torch.no_grad():
        assert torch.equal(load_pretrained(tmp_path / "again.safetensors").generator(latents()), expected)


def test_a_checkpoint_of_the_public_apgc_code_gives_the_generator_it_started_from(generator, tmp_path):
    value = adapted(generator, **{"conv1x1_paramG_weights.0.weight": torch.zeros(128, 10)})
    found = load_pretrained(saved(tmp_path / "checkpoint.pth", value))
    assert found.kind == "apgc-code"
    assert "its adapter multiplies channels instead of mixing them and is left out" in found.notes[0]
    vectors = value["model"]["linear.weight"].T.expand(2, -1)
    with torch.no_grad():
        assert torch.equal(found.generator(latents()), generator.synthesize(latents(), vectors))


@pytest.mark.parametrize("safe", [False, True])
def test_a_hugging_face_folder(deep, tmp_path, safe):
    folder = deep_folder(tmp_path / "deep", deep, safe=safe)
    for path in (folder, *folder.glob("*model.*")):
        found = load_pretrained(path)
        assert (found.kind, found.config, found.discriminator) == ("hugging-face deep", deep.config, None)
        assert found.notes == ("moments of truncation 1",)
        assert_same(found.generator, deep, z_dim=10)
    half = load_pretrained(folder, truncation=0.5)
    assert half.config.truncation == 0.5
    other = BigGANDeepGenerator(TINY_DEEP)
    other.load_state_dict(deep.state_dict())
    assert_same(half.generator, other.eval(), z_dim=10)
    with pytest.raises(UsageError, match="above 0 up to 1"):
        load_pretrained(folder, truncation=0.0)


def test_files_under_their_names_in_the_store(deep, tmp_path):
    tensors, settings = released(deep)
    torch.save(tensors, tmp_path / "biggan-deep-32-pytorch_model.bin")
    (tmp_path / "biggan-deep-32-config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert load_pretrained(tmp_path).config == deep.config


def test_a_class_whose_name_is_a_number_is_the_same_when_it_is_read_again(generator, tmp_path):
    path = saved(tmp_path / "G_ema.pth", state(generator))
    (tmp_path / "classes.txt").write_text("1\n10\n2\n20\n3\n", encoding="utf-8")  # as folders are sorted
    source = find_pretrained(str(path))
    once = source.class_vector("10:3+2")
    assert (once, source.class_vector(once)) == ("#1:3+#2", once)
    assert source.class_vector("#4") == source.class_vector_of((4,)) == "#4"
    assert parse_class_vector(once, 5) == {1: 3, 2: 1}


def test_a_truncation_is_refused_where_there_is_one_set_of_moments(generator, tmp_path):
    with pytest.raises(UsageError, match="BigGAN-deep's alone"):
        load_pretrained(saved(tmp_path / "G_ema.pth", state(generator)), truncation=0.5)
