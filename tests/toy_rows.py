"""Toy rows of each table: the least that a model, a method, a loss and a regularizer need."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from smallgan.core.rng import Stream, normal
from smallgan.data.images import ImageBatches
from smallgan.sampling.prior import NORMAL
from smallgan.tables.losses import LossRow
from smallgan.tables.method_terms import Term
from smallgan.tables.methods import MethodRow
from smallgan.tables.models import ModelRow
from smallgan.tables.options import Options
from smallgan.tables.regularizers import RegularizerOptions, RegularizerRow


@contextmanager
def registered(table, row):
    """Have `row` in `table` inside."""
    table.register(row)
    try:
        yield row
    finally:
        table.unregister(row.name)


class ToyModelOptions(Options):
    """One layer each way."""

    name: Literal["toy-model"] = "toy-model"
    z_dim: int = Field(default=6, ge=1)
    """Length of z."""


class ToyGenerator(nn.Module):
    def __init__(self, size, z_dim, name="toy-model"):
        super().__init__()
        self.size, self.z_dim, self.num_classes = size, z_dim, 0
        self.description = {"model": name, "size": size, "z_dim": z_dim}
        self.layer = nn.Linear(z_dim, 3 * size * size)

    def forward(self, z):
        return torch.tanh(self.layer(z)).view(-1, 3, self.size, self.size)


class ToyDiscriminator(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.layer = nn.Linear(3 * size * size, 1)

    def forward(self, images):
        return self.layer(images.flatten(1)).squeeze(1)


def build_model(options, size, _num_classes, draws):
    networks = ToyGenerator(size, options.z_dim), ToyDiscriminator(size)
    for network in networks:
        nn.init.normal_(network.layer.weight, 0.0, 0.1, generator=draws)
        nn.init.zeros_(network.layer.bias)
    return networks


def load_generator(state):
    return ToyGenerator(state["size"], state["z_dim"], state["model"])


MODEL = ModelRow(
    name="toy-model",
    title="toy model",
    options=ToyModelOptions,
    sizes=(32,),
    has_classes=False,
    build="toy_rows:build_model",
    load="toy_rows:load_generator",
    defaults={"method.lr_g": 0.01, "loss.name": "hinge"},
)


class ToyMethodOptions(Options):
    """A generator that learns the mean of the images, without a discriminator."""

    name: Literal["toy-method"] = "toy-method"
    lr: float = Field(default=0.01, gt=0)
    """Adam's learning rate."""


class ToyTrainer:
    """What `smallgan.training.loop.Trainer` asks for, and nothing else."""

    def __init__(self, recipe, device):
        self.device, self.seed = device, recipe.seed
        self.generator_ema = ToyGenerator(recipe.data.size, 6, "toy-method").to(device)
        nn.init.zeros_(self.generator_ema.layer.weight)
        nn.init.zeros_(self.generator_ema.layer.bias)
        self.networks = {"g_ema": self.generator_ema}
        self.optimizers = {"g_ema": torch.optim.Adam(self.generator_ema.parameters(), recipe.method.lr)}
        self.description, self.details = self.generator_ema.description, {}

    def step(self, batch, number):
        z = torch.from_numpy(normal(self.seed, Stream.TRAIN_LATENTS, number, (len(batch.images), 6)))
        loss = (self.generator_ema(z) - batch.images.mean(dim=0)).square().mean()
        self.optimizers["g_ema"].zero_grad()
        loss.backward()
        self.optimizers["g_ema"].step()
        return {"loss_g": loss.detach()}

    prior = NORMAL

    def preview(self):
        return None

    def recalibrate_batchnorm(self):
        pass


def prepare(recipe, data, device, _source, log):
    log("the toy method is at it")
    batches = ImageBatches(data.mixture.pixels, recipe.train.batch_size, recipe.seed, device)
    return ToyTrainer(recipe, device), batches


METHOD = MethodRow(
    name="toy-method",
    title="toy method",
    options=ToyMethodOptions,
    prepare="toy_rows:prepare",
    terms=(Term("loss_g", "Toy loss", status="toy loss"),),
    rates=("method.lr",),
    load="toy_rows:load_generator",
    defaults={"train.batch_size": 3},
)


class ToyLossOptions(Options):
    """Wasserstein distance without any constraint."""

    name: Literal["toy-loss"] = "toy-loss"
    scale: float = Field(default=1.0, gt=0)
    """Factor of both losses."""


class ToyLoss:
    def __init__(self, options):
        self.scale = options.scale

    def discriminator(self, real, fake, _context):
        return self.scale * (fake.mean() - real.mean())

    def generator(self, _real, fake, _context):
        return -self.scale * fake.mean()


LOSS = LossRow("toy-loss", "toy loss", ToyLossOptions, "toy_rows:ToyLoss")


class ToyPenaltyOptions(RegularizerOptions):
    """Keeps the mean score of reals near its running average."""

    weight: float = Field(default=0.5, ge=0)
    """Factor of the squared distance."""


class ToyPenalty(nn.Module):
    """A regularizer with a state: the running average."""

    def __init__(self, _options, _network, _draws):
        super().__init__()
        self.register_buffer("average", torch.zeros(()))

    def forward(self, context):
        mean = context.score(context.real).mean()
        self.average.lerp_(mean.detach(), 0.25)
        return (mean - self.average).square()


PENALTY = RegularizerRow("toy-penalty", "toy penalty", ToyPenaltyOptions, "discriminator", "toy_rows:ToyPenalty")
