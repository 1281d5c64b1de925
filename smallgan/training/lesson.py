"""Why the first GAN does not minimise its own loss: the generator's gradient as the discriminator gets better.

The generator is trained up to a step and stays as it is from there; the discriminator is trained on against it. Each
step measures the gradient of the generator's weights under both losses of Goodfellow et al. 2014 (arXiv:1406.2661), on
the same fakes: the minimax loss, whose gradient carries sigmoid(score) and vanishes once fakes are told apart, and the
non-saturating one, whose gradient carries 1 - sigmoid(score). The experiment is that of Arjovsky and Bottou 2017
(arXiv:1701.04862, figure 2), without a fresh discriminator.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from smallgan.data.images import ImageBatches
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.tables.methods import LessonOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.adversarial import AdversarialTrainer, batches_of
from smallgan.training.data import TrainingData
from smallgan.training.scratch import classes_of, starting_networks
from smallgan.training.step import StepContext

LEAST_NORM = 1e-30  # So that a gradient that rounds to 0 has a logarithm


class LessonTrainer(AdversarialTrainer):
    """Adversarial training that measures the generator's gradient under two losses, and stops training it at a step."""

    def needs_whole_batch(self) -> str | None:
        """Return why a batch is not taken in parts."""
        return "its step measures the gradient of the whole batch"

    def _descend(self, network: str, loss: Tensor, context: StepContext) -> dict[str, Tensor]:
        if network != "generator":
            return super()._descend(network, loss, context)
        assert isinstance(self.options, LessonOptions)
        weights = [each for each in self.generator.parameters() if each.requires_grad]
        norms = log10_norms(context.fake_scores, weights)
        return norms if context.number >= self.options.freeze_at else super()._descend(network, loss, context) | norms


def log10_norms(fake_scores: Tensor, weights: list[torch.nn.Parameter]) -> dict[str, Tensor]:
    """Return the logarithm to base 10 of the norm of the gradient of `weights` under both losses of the generator.

    Args:
        fake_scores: raw scores B of fakes, with a graph to the weights, which stays.
        weights: of the generator.
    """
    losses = {"minimax": -softplus(fake_scores).mean(), "nonsaturating": softplus(-fake_scores).mean()}
    found = {}
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, weights, retain_graph=True)
        norm = torch.stack([each.square().sum() for each in gradients]).sum().sqrt()
        found[f"gradient_{name}"] = norm.clamp_min(LEAST_NORM).log10()
    return found


def prepare(
    recipe: Recipe,
    data: TrainingData,
    device: torch.device,
    source: PretrainedSource | None,
    log: Callable[[str], None],
) -> tuple[LessonTrainer, ImageBatches]:
    """Return the trainer of a model, fresh or from the weights of a run, and the batches. Raises UsageError."""
    classes = classes_of(recipe, data, log)
    networks = starting_networks(recipe, classes, source, log)
    trainer = LessonTrainer(recipe, device, *networks, classes, data.mixture.pixels)
    return trainer, batches_of(recipe, data, classes, device)
