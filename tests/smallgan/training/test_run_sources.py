"""A run of any model as the source of a transfer: the same images at the start, and what moves afterwards."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sampled_models import biggan_run, run_of
from tensors import tensors

from augment.errors import InputError, UsageError
from smallgan.core.checkpoint import load_checkpoint, read_state, read_tensors, save_checkpoint
from smallgan.core.run_dir import RunDir
from smallgan.data.images import ImageBatches
from smallgan.models.dcgan import DCGANDiscriminator
from smallgan.models.fastgan import FastGANDiscriminator
from smallgan.sampling.export import export
from smallgan.sampling.exported import read_exported
from smallgan.sampling.loading import load_model
from smallgan.sampling.pretrained import find_pretrained
from smallgan.tables.recipe import dump_recipe, load_recipe, read_recipe, values_to_go_on
from smallgan.training.adversarial import build_trainer
from smallgan.training.data import load_data
from smallgan.training.factory import open_pretrained, prepare
from smallgan.training.imle import IMLETrainer
from smallgan.training.scratch import fresh_networks
from smallgan.training.train import train

CPU = torch.device("cpu")
SMALL = {
    "dcgan": {"model.base_width": 8, "model.z_dim": 12},
    "fastgan": {"model.base_width": 2, "model.z_dim": 12, "model.class_dim": 4},
    "biggan": {"model.base_width": 8, "model.z_dim": 12, "model.shared_dim": 4},
    "imle": {"model.base_width": 8, "model.z_dim": 12, "method.perceptual": "none"},
}
TWIN_TERMS = {"cdc": {"distance_consistency"}, "dcl": {"g_contrast", "d_contrast"}}
ADAPTERS, FREEZES = ("bsa", "apgc"), ("none", "d-lower", "g-lower", "scale-shift")
ONE_FAST = [pytest.param(name, marks=[] if name == "dcgan" else pytest.mark.slow) for name in SMALL]


@pytest.fixture(autouse=True)
def _few_statistics(monkeypatch):
    monkeypatch.setattr("smallgan.training.ema.STATISTICS_BATCH", 4)


def pixels(count=6):
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A run of two steps of each model, as `smallgan train` leaves it; `imle` has no discriminator."""
    root, made = tmp_path_factory.mktemp("sources"), {}
    for name, own in SMALL.items():
        key = {"method.name": "imle"} if name == "imle" else {"model.name": name}
        recipe = load_recipe(None, {**key, **own, "data.size": 32, "train.batch_size": 4})
        classes = ("ape", "bee") if name in ("fastgan", "biggan") else ()
        labels = np.arange(6) % max(len(classes), 1)
        if name == "imle":
            network, _ = fresh_networks(recipe)
            trainer = IMLETrainer(recipe, CPU, network, pixels(), torch.from_numpy(labels))
        else:
            trainer = build_trainer(recipe, CPU, classes, pixels())
        batches = ImageBatches(pixels(), 4, 0, CPU, labels)
        for number in range(2):
            trainer.step(batches.batch(number), number)
        trainer.recalibrate_batchnorm()
        made[name] = run_of(trainer, recipe, root / name, 2).path
    return made


def prepared(data, run, method, **overrides):
    own = {"method.perceptual": "none"} if method in ADAPTERS else {}
    own |= {"method.code_init": "normal"} if own and "method__latents" not in overrides else {}
    own |= {"method.group_size": 4} if method == "apgc" else {}
    own |= {"method.name": method, "method.pretrained": str(run), "data.source": str(data), "train.batch_size": 4}
    recipe, source = open_pretrained(
        load_recipe(None, own | {name.replace("__", "."): value for name, value in overrides.items()})
    )
    said = []
    trainer, batches = prepare(recipe, load_data(recipe, CPU), CPU, source, said.append)
    return trainer, batches, said, recipe


def images_of(run, z):
    """What the source makes of latents, of the mean of its class vectors where it has classes."""
    network = copy.deepcopy(load_model(run, CPU).generator)
    table = getattr(network, "class_table", None)
    if table is None:
        return network(z)
    table.weight.copy_(table.weight.mean(dim=0).expand(2, -1))
    return network(z, torch.zeros(len(z), dtype=torch.int64))


def latents():
    return torch.randn(3, 12, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("model", ONE_FAST)
@pytest.mark.parametrize("method", ADAPTERS)
def test_an_adapter_starts_as_the_run_moves_and_leaves_it_alone(sources, tiny_set, model, method):
    trainer, batches, said, _ = prepared(tiny_set, sources[model], method)
    with torch.no_grad():
        assert (trainer.generator_ema(latents()) - images_of(sources[model], latents())).abs().max() == 0
    below = trainer.generator.pretrained
    before, frozen = tensors(trainer), {name: value.clone() for name, value in below.state_dict().items()}
    for number in range(2):
        numbers = trainer.step(batches.batch(number), number)
        assert all(torch.isfinite(value) for value in numbers.values())
    after = tensors(trainer)
    assert {name for name, value in below.state_dict().items() if not torch.equal(value, frozen[name])} == set()
    learned = {f"{net}.{key}" for net, each in trainer.networks.items() for key, _ in each.named_parameters()}
    assert {name for name in learned if torch.equal(before[name], after[name])} == set()
    assert ("class_vector" in numbers) == (model in ("fastgan", "biggan"))
    assert "adapting" in said[0]


@pytest.mark.parametrize("model", ONE_FAST)
@pytest.mark.parametrize("method", ADAPTERS)
def test_an_adapted_run_is_sampled_and_exported(sources, tiny_set, tmp_path, model, method):
    trainer, batches, _, recipe = prepared(tiny_set, sources[model], method)
    trainer.step(batches.batch(0), 0)
    run = run_of(trainer, recipe, tmp_path / "run", 1)
    found = load_model(run.path, CPU)
    file = export(found, "safetensors", tmp_path / "one.safetensors")[0]
    with torch.no_grad():
        wanted = trainer.generator_ema(latents())
        assert torch.equal(found.generator(latents()), wanted)
        assert torch.equal(read_exported(file).generator.eval()(latents()), wanted)
    assert f"{model if model != 'imle' else 'dcgan'}" in str(trainer.description["pretrained"]) or model == "biggan"


def frozen_by(freeze, trainer):
    """The weights that a row of the table names, found anew by their names."""
    generator = {f"g.{name}" for name, _ in trainer.generator.named_parameters()}
    first = {
        "d-lower": ("d.from_rgb.", "d.to_maps.0.", "d.blocks.0."),
        "g-lower": ("g.project", "g.first.", "g.first_norm.", "g.linear."),
    }
    if freeze == "scale-shift":
        kept = (".gain", ".bias.", "_norm.", "norm.", "shared", "classes", "output_layer.0")
        plain = {
            f"g.{name}.{key}"
            for name, module in trainer.generator.named_modules()
            if isinstance(module, torch.nn.BatchNorm2d | torch.nn.LayerNorm)
            for key in ("weight", "bias")
        }
        return {n for n in generator - plain if not any(part in n.replace("conv", "") for part in kept)}
    of_d = {f"d.{name}" for name, _ in trainer.discriminator.named_parameters()}
    return {name for name in generator | of_d if name.startswith(first.get(freeze, ("no",)))}


@pytest.mark.parametrize("model", ONE_FAST)
@pytest.mark.parametrize("freeze", FREEZES)
def test_fine_tuning_moves_what_is_not_frozen_and_nothing_else(sources, tiny_set, model, freeze):
    if (model, freeze) == ("imle", "d-lower"):
        pytest.skip("it has no discriminator")
    own = {"method__freeze_layers": 1} if freeze.endswith("lower") else {}
    trainer, batches, said, _ = prepared(tiny_set, sources[model], "finetune", method__freeze=freeze, **own)
    with torch.no_grad():
        started = copy.deepcopy(trainer.generator_ema)
        labels = [torch.zeros(3, dtype=torch.int64)] if started.num_classes else []
        difference = (started(latents(), *labels) - images_of(sources[model], latents())).abs().max()
        assert difference <= 1e-6
    before = tensors(trainer)
    for number in range(2):
        numbers = trainer.step(batches.batch(number), number)
        assert all(torch.isfinite(value) for value in numbers.values())
    after = tensors(trainer)
    weights = {f"{net}.{key}" for net in ("g", "d") for key, _ in trainer.networks[net].named_parameters()}
    stayed = {name for name in weights if torch.equal(before[name], after[name])}
    stayed -= {"d.score.bias"}  # the hinge moves it by nothing while all scores are within the margin
    wanted = frozen_by(freeze, trainer)
    assert stayed == wanted
    assert bool(wanted) == (freeze != "none")
    assert any(line.startswith("frozen: ") for line in said) == (freeze != "none")
    fresh = "no pretrained discriminator was found" if model == "imle" else "with the pretrained discriminator"
    assert any(line.startswith(fresh) for line in said)


@pytest.mark.parametrize(("model", "kind"), [("dcgan", DCGANDiscriminator), ("fastgan", FastGANDiscriminator)])
def test_the_discriminator_is_the_runs_own(sources, tiny_set, model, kind):
    trainer, *_ = prepared(tiny_set, sources[model], "finetune")
    assert type(trainer.discriminator) is kind
    saved = read_tensors(RunDir(sources[model]).checkpoint(2), "d.")
    mine = trainer.discriminator.state_dict()
    assert mine.keys() == saved.keys()
    assert {name for name in saved if not torch.equal(saved[name], mine[name])} <= {"embed.weight"}


@pytest.mark.parametrize("model", [name for name in SMALL if name != "imle"])
@pytest.mark.parametrize("method", TWIN_TERMS)
def test_cdc_and_dcl_start_as_the_run_and_move_near_anchors_and_by_patches(sources, tiny_set, model, method):
    trainer, batches, *_ = prepared(tiny_set, sources[model], method, method__anchor_every=2)
    own = [torch.zeros(3, dtype=torch.int64)] if trainer.generator.num_classes else []
    source = trainer.regularizers.all[-1].act.twins.source
    with torch.no_grad():
        wanted = images_of(sources[model], latents())
        for start in (trainer.generator_ema, source):
            assert (start(latents(), *own) - wanted).abs().max() <= 1e-6
    before, frozen = tensors(trainer), copy.deepcopy(source.state_dict())
    assert set(trainer.networks) - {"autoencode"} == {"g", "d", "g_ema", "patches"}
    for number in range(2):
        told = trainer.step(batches.batch(number), number)
        assert all(torch.isfinite(value) for value in told.values())
        assert told.keys() & {"distance_consistency", "g_contrast", "d_contrast"} == TWIN_TERMS[method]
        moved = {name for name, value in tensors(trainer).items() if not torch.equal(before[name], value)}
        assert ("patches.weight" in moved) == (number == 1)  # whole images first, then patches
    assert {name for name, value in source.state_dict().items() if not torch.equal(value, frozen[name])} == set()
    stayed = {f"{net}.{key}" for net in "gd" for key, _ in trainer.networks[net].named_parameters()} - moved
    assert stayed <= {"d.score.bias"}


@pytest.mark.parametrize(
    ("name", "options"),
    [("r1", {"every": 1}), ("r2", {"every": 1}), ("gradient_penalty", {}), ("consistency", {"fakes": True})],
)
def test_penalties_take_one_score_an_image_in_steps_of_patches(sources, tiny_set, name, options):
    trainer, batches, *_ = prepared(tiny_set, sources["dcgan"], "cdc", **{f"regularizers__{name}": options})
    patches = trainer.anchoring.patches.weight.detach().clone()
    terms = trainer.step(batches.batch(1), 1)  # judges patches
    assert torch.isfinite(terms[name])
    assert not torch.equal(trainer.anchoring.patches.weight, patches)
    trainer.anchoring.begin(1)
    assert trainer.anchoring.by_image(torch.arange(8.0), 2).tolist() == [1.5, 5.5]


@pytest.mark.parametrize("method", ["bsa", "finetune"])
def test_a_source_that_trains_on_is_still_the_one_that_a_run_began_from(tmp_path, tiny_set, method):
    recipe = load_recipe(None, SMALL["dcgan"] | {"data.size": 32, "train.batch_size": 4})
    trainer = build_trainer(recipe, CPU)
    source = run_of(trainer, recipe, tmp_path / "source", 1)
    asked = {"method.name": method, "method.pretrained": str(source.path), "data.source": str(tiny_set)}
    asked |= {"method.perceptual": "none"} if method == "bsa" else {}
    asked |= {"train.batch_size": 4, "train.steps": 1, "score.metrics": []}
    run = train(load_recipe(None, asked), out=tmp_path / "run", device="cpu", log=lambda _line: None)
    before = load_model(run.path, CPU).generator.state_dict()
    with torch.no_grad():
        trainer.generator_ema.first_layer.weight.add_(1)
    run_of(trainer, recipe, source.path, 2)
    assert find_pretrained(str(source.path)).pretrained.path.parent == source.checkpoint(2)
    again = load_model(run.path, CPU).generator.state_dict()
    assert all(torch.equal(each, again[name]) for name, each in before.items())
    on = train(load_recipe(None, asked | {"train.steps": 2}), out=run.path, device="cpu", log=lambda _line: None)
    assert read_state(on.checkpoint(2))["pretrained"]["sha256"] == read_state(on.checkpoint(1))["pretrained"]["sha256"]


def test_lower_layers_of_a_fresh_discriminator_cannot_stay(sources, tiny_set):
    with pytest.raises(UsageError, match=r"freeze d-lower: there is no pretrained discriminator whose layers could"):
        prepared(tiny_set, sources["imle"], "finetune", method__freeze="d-lower")


def test_the_two_networks_of_dcl_draw_twins_and_levels_of_their_own(sources, tiny_set):
    trainer = prepared(tiny_set, sources["dcgan"], "dcl")[0]
    terms = {each.name: each.act for each in trainer.regularizers.all}
    of_g, of_d = (terms[name].twins for name in ("g_contrast", "d_contrast"))
    seen = set()
    for position in range(60):
        context = SimpleNamespace(seed=0, position=position)
        seen.add((of_g.drawn_level(context, 3), of_d.drawn_level(context, 3)))
        assert of_g.planned(position, 4, 0)[0].key != of_d.planned(position, 4, 0)[0].key
    assert len(seen) == 9, "of nine pairs of levels some never come"


@pytest.mark.parametrize("method", TWIN_TERMS)
def test_without_terms_and_anchors_they_are_fine_tuning_bit_for_bit(sources, tiny_set, method):
    off = {f"regularizers__{name}__weight": 0 for name in TWIN_TERMS[method]} | {"method__anchor_every": 0}
    plain = prepared(tiny_set, sources["dcgan"], "finetune")
    other = prepared(tiny_set, sources["dcgan"], method, **off)
    for trainer, batches, *_ in (plain, other):
        for number in range(3):
            trainer.step(batches.batch(number), number)
    left, right = tensors(plain[0]), tensors(other[0])
    assert left.keys() == right.keys()
    assert {name for name in left if not torch.equal(left[name], right[name])} == set()


def test_latents_near_anchors_are_anchors_with_noise_and_others_are_those_of_fine_tuning(sources, tiny_set):
    plain = prepared(tiny_set, sources["dcgan"], "finetune")[0]
    trainer = prepared(tiny_set, sources["dcgan"], "cdc", method__anchors=2, method__anchor_noise=0.5)[0]
    for number in range(9):
        noise, found = plain.latents(number, 4), trainer.latents(number, 4)
        if number % 4:
            assert torch.equal(found, noise)
            continue
        to_anchors = (found - 0.5 * noise)[:, None] - trainer.anchoring.anchors
        assert to_anchors.abs().amax(dim=2).amin(dim=1).max() < 1e-6
        assert torch.equal(found, trainer.latents(number, 4))
    assert trainer.anchoring.anchors.shape == (2, 12)


def test_fine_tuning_takes_loss_and_rates_of_the_sources_model_where_nothing_is_asked(sources, tiny_set):
    recipe = prepared(tiny_set, sources["dcgan"], "finetune", method__lr_g=3e-5)[3]
    assert (recipe.loss.name, recipe.method.lr_g, recipe.method.lr_d, recipe.method.beta1) == (
        "nonsaturating",
        3e-5,
        2e-4,
        0.5,
    )
    assert recipe.regularizers.chosen() == {}
    recipe = prepared(tiny_set, sources["fastgan"], "finetune")[3]
    assert (recipe.loss.name, recipe.method.beta2) == ("hinge", 0.99)
    assert list(recipe.regularizers.chosen()) == ["r1", "autoencode"]
    assert open_pretrained(recipe)[0] == recipe
    recipe = prepared(tiny_set, sources["biggan"], "finetune")[3]
    assert (recipe.loss.name, recipe.method.lr_d, list(recipe.regularizers.chosen())) == (
        "hinge",
        4e-4,
        ["orthogonal"],
    )


@pytest.mark.parametrize(
    ("model", "method", "own", "said"),
    [
        ("dcgan", "bsa", {"method__class_vector": "1"}, "this generator has no classes; leave it out"),
        ("dcgan", "finetune", {"method__class_vector": "1"}, "this generator has no classes; leave it out"),
        ("dcgan", "finetune", {"regularizers__autoencode__weight": 1}, "that of dcgan gives none"),
        ("dcgan", "apgc", {"method__group_size": 5}, "1, 2, 4, 8"),
        ("dcgan", "bsa", {"data__size": 64}, "the pretrained generator makes 32 px"),
        ("dcgan", "finetune", {"method__freeze": "d-lower", "method__freeze_layers": 9}, "the discriminator has 4 lay"),
        ("dcgan", "finetune", {"method__freeze": "scale-shift", "method__freeze_layers": 1}, "is d-lower and g-lower"),
        ("dcgan", "cdc", {"method__class_vector": "1"}, "this generator has no classes; leave it out"),
        ("dcgan", "cdc", {"train__batch_size": 2}, "distance_consistency compares the images of a batch; use 3"),
        ("dcgan", "finetune", {"method__freeze_layers": 1}, "read where method.freeze is given"),
        ("dcgan", "finetune", {"method__freeze": "d-upper"}, "unknown choice of frozen weights 'd-upper'"),
    ],
)
def test_what_cannot_be_done_is_refused_plainly(sources, tiny_set, model, method, own, said):
    with pytest.raises(UsageError, match=said):
        prepared(tiny_set, sources[model], method, **own)


def test_a_run_of_an_adapter_is_no_source(sources, tiny_set, tmp_path):
    trainer, batches, _, recipe = prepared(tiny_set, sources["dcgan"], "bsa")
    trainer.step(batches.batch(0), 0)
    run = run_of(trainer, recipe, tmp_path / "run", 1)
    with pytest.raises(InputError, match="a run that adapted another generator by bsa; name that generator"):
        prepared(tiny_set, run.path, "bsa")


@pytest.mark.parametrize(
    ("model", "method", "own"),
    [
        ("dcgan", "bsa", {}),
        ("dcgan", "finetune", {"method__freeze": "d-lower"}),
        ("dcgan", "cdc", {"method__anchor_every": 2}),
        ("dcgan", "dcl", {"method__anchor_every": 3, "train__precision": "bf16"}),
        pytest.param("fastgan", "apgc", {"method__latents": "imle"}, marks=pytest.mark.slow),
        pytest.param("fastgan", "dcl", {}, marks=pytest.mark.slow),
        pytest.param("biggan", "cdc", {}, marks=pytest.mark.slow),
        pytest.param("fastgan", "finetune", {"method__freeze": "g-lower"}, marks=pytest.mark.slow),
        pytest.param("biggan", "finetune", {"method__freeze": "scale-shift"}, marks=pytest.mark.slow),
    ],
)
def test_resumed_equals_uninterrupted_and_the_source_is_recorded(sources, tiny_set, tmp_path, model, method, own):
    whole, batches, *_ = prepared(tiny_set, sources[model], method, **own)
    one, other = (prepared(tiny_set, sources[model], method, **own)[0] for _ in range(2))
    for number in range(4):
        whole.step(batches.batch(number), number)
    for number in range(2):
        one.step(batches.batch(number), number)
    save_checkpoint(tmp_path / "000002", one, {"step": 2, **one.description})
    state = load_checkpoint(tmp_path / "000002", other)
    for number in range(2, 4):
        other.step(batches.batch(number), number)
    left, right = tensors(whole), tensors(other)
    assert {name for name in left if not torch.equal(left[name], right[name])} == set()
    assert state["pretrained"]["path"] == str(sources[model])
    assert len(state["pretrained"]["sha256"]) == 64


def test_a_recipe_that_freezes_is_kept_whole(tmp_path):
    recipe = load_recipe(None, {"method.name": "finetune", "method.freeze": "d-lower", "method.freeze_layers": 2})
    (tmp_path / "r.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(str(tmp_path / "r.yaml")).method == recipe.method


def test_a_run_of_a_biggan_is_still_one(tiny_set, tmp_path):
    trainer, *_ = prepared(tiny_set, biggan_run(tmp_path / "run").path, "finetune", method__freeze="d-lower")
    assert trainer.description["model"] == "biggan"


def test_a_run_of_imle_goes_on_by_imle_without_its_principal_components(sources, tiny_set):
    run = sources["imle"]
    values = values_to_go_on(read_recipe(RunDir(run).recipe)) | {"train.init": str(run), "data.source": str(tiny_set)}
    recipe, source = open_pretrained(load_recipe(None, values))
    said = []
    trainer, batches = prepare(recipe, load_data(recipe, CPU), CPU, source, said.append)
    assert isinstance(trainer, IMLETrainer)
    assert trainer.rounds.first == 0
    with torch.no_grad():
        assert torch.equal(trainer.generator_ema(latents()), images_of(run, latents()))
    assert any(line.endswith("the averaged generator's; the optimiser starts afresh") for line in said)
    assert torch.isfinite(trainer.step(batches.batch(0), 0)["loss_g"])
