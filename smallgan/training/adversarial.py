"""One adversarial step for every model: discriminator, generator, average. It prints nothing and writes nothing.

The model gives the two networks, the tables of losses and regularizers what they minimise. A step draws latents, and
classes as the real batch has them; the generator's step uses the fakes of the last discriminator step (Goodfellow et
al. 2014; for the averaged generator Brock et al. 2019).
"""

import copy
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from smallgan.core import distributed
from smallgan.core.device import autocast
from smallgan.core.draws import Draw, Draws
from smallgan.core.rng import Stream
from smallgan.data.images import Batch, ImageBatches, LabelledRows, Pixels
from smallgan.models.base import AcrossBatch
from smallgan.models.packing import packed
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.sampling.prior import NORMAL, Prior
from smallgan.tables.dotted import load
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import AdversarialOptions
from smallgan.tables.recipe import Recipe
from smallgan.training import adversarial_parts
from smallgan.training.anchors import anchoring_of
from smallgan.training.augmentation import Augmentation
from smallgan.training.compiling import uncompiled
from smallgan.training.data import TrainingData
from smallgan.training.ema import decay_of_half_life, measure_on_prior, update_ema
from smallgan.training.foresight import foresee_adversarial
from smallgan.training.freezing import trained, without_gradients
from smallgan.training.gradients import log10_gradient_norms
from smallgan.training.latent import description_of, fitted
from smallgan.training.loop import Trainer
from smallgan.training.loss_scale import backward, scales_of, step
from smallgan.training.probe import Probe
from smallgan.training.regularization import Regularization
from smallgan.training.schedule import linear_decay
from smallgan.training.scratch import classes_of, fresh_networks, starting_networks
from smallgan.training.step import AdversarialLoss, StepContext
from smallgan.training.step_graphs import StepGraphs, make_capturable, set_rate
from smallgan.training.unrolling import looked_ahead


class AdversarialTrainer(Trainer):
    """Generator, discriminator, their optimisers and the averaged generator.

    Args:
        recipe: its sections `method`, `loss`, `regularizers` and `train` are read.
        device: where all of it runs.
        generator, discriminator: the networks with their first weights.
        classes: names of the classes; () for an unconditional GAN, which is one of a single class.
        pixels: the training images N x S x S x 3, for regularizers and latent priors that look at them all before
            training.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        generator: nn.Module,
        discriminator: nn.Module,
        classes: Sequence[str] = (),
        pixels: Pixels | None = None,
    ) -> None:
        options, loss = recipe.method, recipe.loss
        assert isinstance(options, AdversarialOptions)
        assert loss is not None
        self.device, self.seed, self.precision = device, recipe.seed, str(recipe.train.precision)
        self.options, self.num_steps, self.whole_batch = options, recipe.train.steps, recipe.train.batch_size
        self.batch_size = distributed.share(self.whole_batch)
        self.draws = Draws(device, self._plan)
        self.graphs: StepGraphs | None = None
        self.augmentation = Augmentation(recipe, device, self.draws)
        self.anchoring = anchoring_of(recipe, self.draws, generator, discriminator, pixels)
        self.ema_decay = options.ema_decay
        if options.ema_kimg is not None:
            self.ema_decay = decay_of_half_life(options.ema_kimg, self.whole_batch * options.d_steps)
        self.loss: AdversarialLoss = load(LOSSES[loss.name].build)(loss)
        self.generator_needs_reals = LOSSES[loss.name].generator_needs_reals
        # channels_last is the order in which CPU and GPU convolutions are fastest, and the one our pixels lie in.
        self.generator = cast(Any, generator.train().to(device).to(memory_format=torch.channels_last))
        self.discriminator = discriminator.train().to(device).to(memory_format=torch.channels_last)
        self.generator_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        # Layers that look across the batch must not see reals and fakes at once; without them one pass serves both.
        self._one_pass = not any(
            isinstance(each, nn.BatchNorm2d | AcrossBatch) for each in self.discriminator.modules()
        )
        self._has_classes = bool(self.generator.num_classes)
        self.latent = fitted(recipe, pixels, self.generator.z_dim, device)
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.regularizers = Regularization(recipe, networks, device, pixels, self.latent)
        self.description = {**self.generator.description, "classes": list(classes), **description_of(self.latent)}
        # A regularizer with a state of its own is a network of the checkpoint, and so is a controller.
        states = {**self.regularizers.states, **self.augmentation.controllers, **self.anchoring.networks}
        states |= {"latent": self.latent} if self.latent else {}
        self.scales = scales_of(self.precision, ("discriminator", "generator"), device)
        states |= {f"{name}_scale": scale for name, scale in self.scales.items()}
        self.networks = {"g": self.generator, "d": self.discriminator, "g_ema": self.generator_ema, **states}
        self.rates = {"g": options.lr_g, "d": options.lr_d}
        # Weights of a regularizer's own are trained as those of the network that it is for.
        with_weights = {name for name, state in states.items() if any(True for _ in state.parameters())}
        self.rates |= {
            each.name: self.rates[each.row.network[0]] for each in self.regularizers.all if each.name in with_weights
        }
        self.rates |= dict.fromkeys(self.anchoring.networks, options.lr_d)
        betas = (options.beta1, options.beta2)
        self.optimizers = {
            name: torch.optim.Adam(trained(self.networks[name]), rate, betas, fused=True)
            for name, rate in self.rates.items()
        }

    @property
    def prior(self) -> Prior:
        """What latents are drawn from, in training as in sampling."""
        return self.latent.prior if self.latent else NORMAL

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0): `d_steps` discriminator steps on as many parts of the batch, one generator step.

        Returns scalars on the device, unread, so that a GPU need not wait: loss_d, loss_g, score_real, score_fake,
        each regularizer that was used in this step by its name, and r_t and the probabilities that follow it.
        """
        self._set_rates(number)
        self.draws.begin(number)
        self.anchoring.begin(number)
        if self.graphs is None:
            terms = self._computed(batch, number)
        else:
            terms = self.graphs(self._kind(number), batch, lambda given: self._computed(given, number))
        self.anchoring.end_step()
        averaged = number - self.options.ema_start  # before its start the average is a copy
        decay = self.ema_decay if averaged >= 0 else 0.0
        update_ema(self.generator_ema, self.generator, decay, max(averaged, 0))
        return terms

    def _computed(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Do what a step does on the device, the average apart; `_kind` says where it depends on the step."""
        d_steps = self.options.d_steps
        images = self.augmentation.mirrored(batch.images, number)
        terms: dict[str, Tensor] = {}
        for part, (real, labels) in enumerate(
            zip(images.split(self.batch_size), batch.labels.split(self.batch_size), strict=True)
        ):
            position = number * d_steps + part
            if self.micro_batch is not None:
                terms |= adversarial_parts.discriminator_step(self, self.micro_batch, real, labels, position, number)
                continue
            with torch.set_grad_enabled(part == d_steps - 1):  # the generator learns from the last alone
                fake = self._fakes(labels, position)
            terms |= self._discriminator_step(real, fake, labels, position, number)
        if self.micro_batch is None:
            terms |= self._generator_step(real, fake, labels, position, number)
        else:
            terms |= adversarial_parts.generator_step(self, self.micro_batch, real, labels, position, number)
        self.augmentation.end_step(number)
        return {name: value.detach() for name, value in terms.items()}

    def _kind(self, number: int) -> Hashable:
        """Return what is the same for steps that launch the same kernels on tensors of the same shapes."""
        frozen_at = self.options.freeze_g_at
        is_frozen = frozen_at is not None and number >= frozen_at
        used = self.regularizers.used(number)
        return used, self.augmentation.adjusts(number), self.anchoring.by_patch, is_frozen, self.draws.layout

    def use_graphs(self) -> None:
        """Replay steps as CUDA graphs from now on (`smallgan.training.step_graphs`). Raises UsageError."""
        self.regularizers.refuse_graphs()
        self.graphs, self.draws.stays = StepGraphs(self.device), True
        make_capturable(self.optimizers.values(), self.device)

    def needs_whole_batch(self) -> str | None:
        """Return what keeps parts of a batch from adding up to it, None where nothing does."""
        if why := adversarial_parts.obstacle_in_options(self.options):
            return why
        used = [each.row for each in self.regularizers.all]
        return adversarial_parts.obstacle(self.generator, self.discriminator, LOSSES[self.loss.options.name], used)

    @property
    def details(self) -> dict[str, Any]:
        """What a dry run tells of it: memory and operations of a step, counted."""
        g, d, options = self.generator, self.discriminator, self.options
        own = partial(foresee_adversarial, g, d, self.batch_size, options.d_steps, self.precision)
        return {"foreseen": own(pack=options.pack, micro_batch=self.micro_batch)}

    def recalibrate_batchnorm(self) -> None:
        """Measure the averaged generator's batch-norm statistics; the next step copies the trained one's over them."""
        measure_on_prior(self.generator_ema, self.seed, self.device, self.prior)

    @torch.no_grad()
    def probe(self, training: LabelledRows, held_out: LabelledRows | None) -> dict[str, float]:
        """Return `told_apart` and, where enough images are held out, `r_v` (`smallgan.training.probe`).

        Copies of both networks do it, in training mode as in a step: batch norms and spectral norms change with use.
        """
        shadow = copy.copy(self)
        shadow.generator, shadow.discriminator = copy.deepcopy((self.generator, self.discriminator))
        of_step = shadow.images_of, shadow._scores_as_in_a_step
        probe = Probe(*of_step, self.generator.z_dim, self.whole_batch, self.seed, self.prior)
        return probe.read(training, held_out, self.device)

    def _scores_as_in_a_step(self, images: Tensor, labels: Tensor, position: int) -> Tensor:
        whole = slice(len(images) // self.options.pack * self.options.pack)
        with autocast(self.device, self.precision):
            seen = self.augmentation.augmented(images, position, Stream.PROBE_AUGMENT)
            return self._scores(seen[whole], labels[whole])

    def _discriminator_step(
        self, real: Tensor, fake: Tensor, labels: Tensor, position: int, number: int
    ) -> dict[str, Tensor]:
        real = self.augmentation.with_pseudo_reals(real, fake.detach(), position)
        loss, context, terms = self.discriminator_loss(real, fake.detach(), labels, position, number)
        assert context.real_scores is not None
        terms |= self.augmentation.observe(context.real_scores)
        return terms | self._descend("discriminator", loss, context)

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, labels: Tensor, position: int, number: int, rows: slice | None = None
    ) -> tuple[Tensor, StepContext, dict[str, Tensor]]:
        """Return the loss, what regularizers look at, and terms to tell, of a batch or of its `rows` alone."""
        augmented = partial(self.augmentation.augmented, rows=rows)
        seen = augmented(real, 3 * position), augmented(fake, 3 * position + 1)
        with autocast(self.device, self.precision):
            if self._one_pass:
                real_scores, fake_scores = self._scores(torch.cat(seen), labels.repeat(2)).chunk(2)
            else:
                real_scores, fake_scores = (self._scores(images, labels) for images in seen)
        context = self._context(real, fake, labels, number, real_scores, fake_scores, rows, position)
        loss = self.loss.discriminator(real_scores, fake_scores, context)
        terms = {"loss_d": loss, "score_real": real_scores.mean(), "score_fake": fake_scores.mean()}
        return loss, context, terms

    def _generator_step(
        self, real: Tensor, fake: Tensor, labels: Tensor, position: int, number: int
    ) -> dict[str, Tensor]:
        rival = looked_ahead(self, real, fake, labels, position, number) if self.options.unroll else self
        loss, context = rival.generator_loss(real, fake, labels, number)
        terms, freeze_at = {"loss_g": loss}, self.options.freeze_g_at
        if freeze_at is not None:
            terms |= log10_gradient_norms(context.fake_scores, trained(self.generator))
        is_frozen = freeze_at is not None and number >= freeze_at
        return terms if is_frozen else terms | self._descend("generator", loss, context)

    def generator_loss(
        self, real: Tensor, fake: Tensor, labels: Tensor, number: int, rows: slice | None = None
    ) -> tuple[Tensor, StepContext]:
        """Return the loss of fakes with a graph to the generator, and what regularizers look at."""
        augmented = partial(self.augmentation.augmented, rows=rows)
        # The generator's gradient passes through the discriminator, whose own gradients are not wanted here.
        with without_gradients(self.discriminator), autocast(self.device, self.precision):
            real_scores = None
            if self.generator_needs_reals:
                # Scores of reals depend on the generator by a discriminator that is looked ahead, and else do not.
                with torch.set_grad_enabled(bool(self.options.unroll)):
                    real_scores = self._scores(augmented(real, number, Stream.DIFFAUGMENT_REALS), labels)
            fake_scores = self._scores(augmented(fake, 3 * number + 2), labels)
            context = self._context(real, fake, labels, number, real_scores, fake_scores, rows, number)
            return self.loss.generator(real_scores, fake_scores, context), context

    def _descend(self, network: str, loss: Tensor, context: StepContext) -> dict[str, Tensor]:
        """Add the regularizers of this step, step the network and their own weights, and return their terms."""
        total, terms = self.regularizers.added(network, loss, context)
        optimizers = self.cleared(network, context.number)
        backward(total, self.scales.get(network))
        self.stepped(network, context.number, optimizers)
        return terms

    def cleared(self, network: str, number: int) -> list[torch.optim.Adam]:
        """Return the optimisers that step `number` steps for a network, without gradients."""
        # Regularizers that are not used in this step, and those without weights, have nothing to step.
        used = (each.name for each in self.regularizers.terms(network, number))
        names = (network[0], *used, *self.anchoring.used(network))
        optimizers = [self.optimizers[name] for name in names if name in self.optimizers]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        return optimizers

    def stepped(self, network: str, number: int, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Step a network by the gradients of step `number`, and limit its weights."""
        step(optimizers, self.scales.get(network))
        self.regularizers.limit(network, number)

    def _set_rates(self, number: int) -> None:
        """Set the rates of step `number`, which depend on it and the number of steps alone: a resumed run has them."""
        start = self.options.lr_decay_from
        if start is None:
            return
        factor = linear_decay(number, self.num_steps, start)
        for name, rate in self.rates.items():
            for group in self.optimizers[name].param_groups:
                set_rate(group, rate * factor)

    def _context(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor,
        number: int,
        real_scores: Tensor | None,
        fake_scores: Tensor,
        rows: slice | None,
        position: int,
    ) -> StepContext:
        @uncompiled()
        def score(images: Tensor) -> Tensor:
            seen = self.augmentation.augmented(images, number, Stream.DIFFAUGMENT_PENALTY, rows)
            return by_image(self._scores(seen, labels))

        generate = partial(self.images_of, labels=labels)
        by_image = partial(self.anchoring.by_image, count=len(labels))
        precision = partial(autocast, self.device, self.precision)
        scores = real_scores if real_scores is None else by_image(real_scores), by_image(fake_scores)
        return StepContext(
            number, real, fake, labels, *scores, score, generate, self.seed, precision, self.draws, position
        )

    def _fakes(self, labels: Tensor, position: int) -> Tensor:
        return self.images_of(self.latents(position, len(labels)), labels)

    def latents(self, position: int, count: int) -> Tensor:
        """Return the latents B x Z of the discriminator step `position`."""
        return self.anchoring.near(self.draws(self._latents(position, count))[0], position)

    def _latents(self, position: int, count: int) -> Draw:
        return self.prior.draw(self.seed, Stream.TRAIN_LATENTS, position, count, self.generator.z_dim)

    def _plan(self, number: int) -> Iterator[Draw]:
        """Yield the draws of step `number`, in the order of `step`."""
        size, side, d_steps = self.batch_size, self.generator.size, self.options.d_steps
        yield from self.augmentation.planned(number)
        yield from self.anchoring.planned(number)
        for position in range(number * d_steps, (number + 1) * d_steps):
            yield self._latents(position, size)
        if self.augmentation.operations:
            seen = [(3 * number * d_steps + at, Stream.DIFFAUGMENT) for at in range(3 * d_steps) if at % 3 < 2]
            seen.append((3 * number + 2, Stream.DIFFAUGMENT))
            if self.generator_needs_reals:
                seen.append((number, Stream.DIFFAUGMENT_REALS))
            if self.regularizers.terms("discriminator", number):
                seen.append((number, Stream.DIFFAUGMENT_PENALTY))
            yield from (self.augmentation.numbers(*address, size, side) for address in seen)
        yield from self.regularizers.planned(number, d_steps)

    def images_of(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return images B x 3 x S x S by the generator as it is trained."""
        with autocast(self.device, self.precision):
            images: Tensor = self.generator(z, *self._condition(labels))
        return images

    def _scores(self, images: Tensor, labels: Tensor) -> Tensor:
        pack = self.options.pack
        return self.anchoring.scores(self.discriminator, packed(images, pack), *self._condition(labels[::pack]))

    def _condition(self, labels: Tensor) -> tuple[Tensor, ...]:
        return (labels,) if self._has_classes else ()


def build_trainer(
    recipe: Recipe, device: torch.device, classes: Sequence[str] = (), pixels: Pixels | None = None
) -> AdversarialTrainer:
    """Return the trainer of fresh networks: those of the recipe's model, drawn by its seed. Raises UsageError."""
    return AdversarialTrainer(recipe, device, *fresh_networks(recipe, classes), classes, pixels)


def prepare(
    recipe: Recipe,
    data: TrainingData,
    device: torch.device,
    source: PretrainedSource | None,
    log: Callable[[str], None],
) -> tuple[AdversarialTrainer, ImageBatches]:
    """Return the trainer of a model, fresh or from the weights of a run, and the batches. Raises UsageError."""
    classes = classes_of(recipe, data, log)
    networks = starting_networks(recipe, classes, source, log)
    trainer = AdversarialTrainer(recipe, device, *networks, classes, data.mixture.pixels)
    if source is not None:
        trainer.description = source.added_to(trainer.description)
    return trainer, batches_of(recipe, data, classes, device)


def batches_of(recipe: Recipe, data: TrainingData, classes: Sequence[str], device: torch.device) -> ImageBatches:
    """Return the batches of an adversarial run: a part for each discriminator step."""
    options = recipe.method
    assert isinstance(options, AdversarialOptions)
    size, labels = recipe.train.batch_size * options.d_steps, data.labels if classes else None
    return ImageBatches(
        data.mixture.pixels,
        size,
        recipe.seed,
        device,
        labels,
        balanced=options.class_balanced,
        parts=options.d_steps,
    )
