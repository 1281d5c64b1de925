"""Steps that are recorded and replayed as a CUDA graph does it, without a GPU: the same kernels on the same memory.

`Recorded` stands for the graph. It keeps every operation that torch carries out, with the tensors that it read and
wrote, and a replay carries them out on these again. So whatever the host decided in the recorded step, or put into
other memory in a later one, is wrong in the replays and shows in the weights. As with a CUDA graph the recording itself
changes nothing. What only a GPU can show: that its libraries let themselves be recorded, and the speed.
"""

import pytest
import torch
from fake_gpu import Traffic, fake_gpu
from sampled_models import TINY as TINY_BIGGAN
from sampled_models import generator, pixels
from tensors import tensors
from tiny_training import of_regularizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from augment.errors import UsageError
from smallgan.data.images import ImageBatches
from smallgan.models.biggan import BigGANDiscriminator
from smallgan.tables.recipe import load_recipe
from smallgan.tables.regularizers import REGULARIZERS
from smallgan.training import step_graphs
from smallgan.training.adversarial import AdversarialTrainer, build_trainer
from smallgan.training.compiling import compile_networks
from smallgan.training.loop import Trainer

CPU = torch.device("cpu")
STEPS = 14
TINY = {"data.size": 32, "train.batch_size": 4, "train.steps": STEPS, "method.lr_decay_from": 0.2}
NARROW = {"model.base_width": 8}
AUGMENTED = {"method.diffaugment": "color,translation", "method.mirror": True, "method.ada_target": 0.6}
R1 = {"model.d_norm": "none", "regularizers": {"r1": {"weight": 1.0, "every": 3}}}
WAYS = {
    "dcgan with ADA and falling rates": NARROW | AUGMENTED,
    "dcgan with R1 in every third step, R2 in every step": NARROW
    | AUGMENTED
    | R1
    | {"regularizers.r2": {"weight": 1.0, "every": 1}},
    "fastgan with APA, two discriminator steps, LeCam": {
        "model.name": "fastgan",
        "model.base_width": 1,
        "method.d_steps": 2,
        "method.apa_target": 0.6,
        "regularizers.lecam": {"weight": 0.3},
    },
    "spectral norm, packed, clipped weights": NARROW
    | {
        "model.d_spectral_norm": True,
        "model.d_norm": "none",
        "method.pack": 2,
        "regularizers.weight_clip": {},
    },
    "unrolled": NARROW | {"method.unroll": 1},
    "frozen from step 9 on": NARROW | {"method.freeze_g_at": 9},
    "relativistic, fp16": NARROW | {"loss.name": "relativistic", "train.precision": "fp16"},
    "biggan, fine-tuned by CDC": {"method.name": "cdc", "method.anchor_every": 2} | AUGMENTED,
}


OF_SCRATCH = [row for row in REGULARIZERS if not row.needs_source]
WAYS |= {f"regularizer {row.name}": AUGMENTED | of_regularizer(row) for row in OF_SCRATCH if not row.host_decides}


class Recorded(TorchDispatchMode):
    """The operations of one step."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, result in self.operations:
            for wrote, found in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(wrote, torch.Tensor) and wrote.data_ptr() != found.data_ptr():
                    wrote.copy_(found)


class Emulated(step_graphs.StepGraphs):
    """Graphs on a CPU; `trainer` is what a recording must leave as it was."""

    trainer = None
    replays = 0

    def _warmed(self, work):
        return work()

    def _captured(self, work):
        held = [*all_tensors(self.trainer)]
        before = [each.clone() for each in held]
        with Recorded() as recorded:
            work()
        with torch.no_grad():
            for each, value in zip(held, before, strict=True):
                each.copy_(value)

        def replay():
            self.replays += 1
            recorded.replay()

        return replay


def all_tensors(trainer):
    for network in trainer.networks.values():
        yield from network.state_dict(keep_vars=True).values()
    for optimizer in trainer.optimizers.values():
        for state in optimizer.state.values():
            yield from state.values()


def trained(settings, warm_up, monkeypatch):
    monkeypatch.setattr(step_graphs, "WARM_UP", warm_up)
    monkeypatch.setattr("smallgan.training.adversarial.StepGraphs", Emulated)
    recipe = load_recipe(None, TINY | settings)
    torch.manual_seed(0)  # for networks whose weights are not drawn from the recipe's seed
    if recipe.method.name == "cdc":
        trainer = AdversarialTrainer(recipe, CPU, generator(), BigGANDiscriminator(TINY_BIGGAN), ("a", "b"), pixels())
    else:
        trainer = build_trainer(recipe, CPU, (), pixels())
    trainer.use_graphs()
    trainer.graphs.trainer = trainer
    batches = ImageBatches(pixels(), 4 * recipe.method.d_steps, 0, CPU)
    terms = [trainer.step(batches.batch(number), number) for number in range(STEPS)]
    return trainer, terms


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_replayed_steps_are_the_steps(monkeypatch, name):
    plain, wanted = trained(WAYS[name], STEPS, monkeypatch)
    replayed, found = trained(WAYS[name], 1, monkeypatch)
    assert plain.graphs.replays == 0
    assert replayed.graphs.replays >= STEPS // 2
    for step in range(STEPS):
        assert found[step].keys() == wanted[step].keys()
        assert [key for key, value in found[step].items() if value.item() != wanted[step][key].item()] == [], step
    there = tensors(replayed)
    assert [key for key, value in tensors(plain).items() if not torch.equal(value, there[key])] == []


@pytest.mark.slow
def test_what_the_host_decides_in_a_step_shows_here(monkeypatch):
    monkeypatch.setattr(AdversarialTrainer, "_kind", lambda self, _number: self.draws.layout)
    name = "dcgan with ADA and falling rates"
    (plain, _), (replayed, _) = (trained(WAYS[name], warm_up, monkeypatch) for warm_up in (STEPS, 1))
    there = tensors(replayed)
    assert [key for key, value in tensors(plain).items() if not torch.equal(value, there[key])]


def test_draws_that_stay_lie_in_the_same_memory_and_are_those_of_their_step():
    recipe = load_recipe(None, TINY | AUGMENTED)
    plain, staying = (build_trainer(recipe, CPU) for _ in range(2))
    staying.use_graphs()
    places = set()
    for step in range(3):
        for trainer in (plain, staying):
            trainer.draws.begin(step)
        found = staying.latents(step, 4)
        assert torch.equal(found, plain.latents(step, 4))
        places.add(found.data_ptr())
    assert len(places) == 1
    with pytest.raises(KeyError):
        staying.latents(7, 4)


def test_graphs_are_refused_without_a_gpu_and_for_other_methods():
    trainer = build_trainer(load_recipe(None, TINY), CPU)
    with pytest.raises(UsageError, match="cuda-graph: it needs a CUDA GPU, and this is cpu; leave it out"):
        compile_networks(trainer, "cuda-graph")
    assert not trainer.draws.stays

    class Other(Trainer):
        device = torch.device("cuda")

        def step(self, _batch, _number):
            return {}

    with pytest.raises(UsageError, match="cuda-graph: this method's step cannot be recorded"):
        compile_networks(Other(), "cuda-graph")

    warm = build_trainer(
        load_recipe(None, TINY | NARROW | {"regularizers.warm_start": {"weight": 1.0}}), CPU, (), pixels()
    )
    with pytest.raises(UsageError, match=r"steps with regularizers\.warm_start differ in more than numbers"):
        warm.use_graphs()


@pytest.mark.slow
def test_beside_a_replay_a_step_is_one_upload_that_nobody_waits_for(monkeypatch):
    monkeypatch.setattr("smallgan.training.adversarial.StepGraphs", Emulated)
    monkeypatch.setattr(torch.optim.Adam, "step", lambda _: None)  # FakeTensor has none with its rate in a tensor
    trainer = build_trainer(load_recipe(None, TINY | WAYS["dcgan with ADA and falling rates"]), CPU)
    batches = ImageBatches(pixels(), 4, 0, CPU)
    found = []
    with fake_gpu() as on_gpu:
        trainer, batches = on_gpu((trainer, batches))
        trainer.use_graphs()
        for step in range(step_graphs.WARM_UP):
            with Traffic() as traffic:
                trainer.step(batches.batch(step), step)
            found.append(traffic.counts)
    assert found == [(2, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0)]  # the places of many batches go with the first
