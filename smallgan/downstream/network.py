"""Classifiers that are trained by gradient descent: batches, losses and steps, the same for every network."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augment.errors import FailedError, UsageError
from augment.policy.apply import apply_drawn
from augment.policy.expression import Policy
from smallgan.core.device import float32_math
from smallgan.core.rng import Stream, rng
from smallgan.data.images import Pixels, to_images
from smallgan.downstream.task import Probabilities, StopRequestedError, Task
from smallgan.metrics.features.extract import network_module
from smallgan.models.small_resnet import SmallResNet
from smallgan.tables.classifiers import PretrainedOptions, ResNetOptions, TrainedOptions
from smallgan.tables.feature_networks import FEATURE_NETWORKS

WARM_UP = 0.1  # Share of the steps over which the learning rate rises
MOMENTUM = 0.9
NUM_VALIDATIONS = 20  # How often early stopping looks, the last step included
_PREDICTED = 256  # Images at a time, where nothing is trained
Forward = Callable[[Tensor], Tensor]


def fit_resnet(task: Task) -> Probabilities:
    """Train a small residual network from scratch."""
    options: ResNetOptions = task.options
    size = task.train.shape[1]
    net = _seeded(task.seed, lambda: SmallResNet(task.num_classes, size, options.width))
    return _fitted(net, lambda pixels: net(to_images(pixels)), task, options)


def fit_pretrained(task: Task) -> Probabilities:
    """Train a pretrained feature network on, with a new last layer. Raises UsageError for one that is not known."""
    options: PretrainedOptions = task.options
    if options.network not in FEATURE_NETWORKS:
        raise UsageError(f"downstream.classifier.network: {FEATURE_NETWORKS.unknown(options.network)}")
    body = network_module(options.network)
    num_features = FEATURE_NETWORKS[options.network].num_features
    head = _seeded(task.seed, lambda: nn.Linear(num_features, task.num_classes))
    if not any(weight.is_floating_point() for weight in body.parameters()):
        raise UsageError(f"downstream.classifier.network {options.network}: has no weights to train; use linear or knn")
    return _fitted(nn.Sequential(body, head), lambda pixels: head(body(pixels)[0]), task, options)


def learning_rate(step: int, num_steps: int, highest: float) -> float:
    """Return the learning rate of a step, the first being 0."""
    warm = max(round(WARM_UP * num_steps), 1)
    if step < warm:
        return highest * (step + 1) / warm
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(num_steps - warm, 1)))


def order(seed: int, number: int, batch_size: int, step: int) -> list[int]:
    """Return the places of the images of a step: all images in one drawn order, then all in another, and so on."""
    first = step * batch_size
    places: list[int] = []
    for epoch in range(first // number, (first + batch_size - 1) // number + 1):
        walk = rng(seed, Stream.CLASSIFIER_ORDER, epoch).permutation(number)
        start = epoch * number
        places += walk[max(first - start, 0) : first + batch_size - start].tolist()
    return places


def changed(pixels: Pixels, policy: Policy, seed: int, step: int) -> Pixels:
    """Return a batch of which each image, by a chance of one half, has gone through one component of a policy."""
    weights = np.array([component.weight for component in policy.components], float)
    changed = pixels.copy()
    for row, image in enumerate(pixels):
        draws = rng(seed, Stream.CLASSIFIER_AUGMENT, step * len(pixels) + row)
        if draws.random() < 0.5:
            component = policy.components[int(draws.choice(len(weights), p=weights / weights.sum()))]
            changed[row] = apply_drawn(image, component.transforms, draws)
    return changed


def _fitted(net: nn.Module, forward: Forward, task: Task, options: TrainedOptions) -> Probabilities:
    net.to(task.device).to(memory_format=torch.channels_last).train()
    matrices = [weight for weight in net.parameters() if weight.requires_grad and weight.ndim > 1]
    others = [weight for weight in net.parameters() if weight.requires_grad and weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=options.lr, momentum=MOMENTUM, nesterov=True)
    best = _Best()
    with float32_math("fp32"):
        for step in range(task.num_steps):
            if task.stop_requested():
                raise StopRequestedError
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, task.num_steps, options.lr)
            loss = _loss(forward, task, options, step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if task.validation is not None and is_looked_at(step, task.num_steps):
                best.look(net, forward, task)
        best.restore(net)
        made = _predicted(net, forward, task.test, task)
    if not np.isfinite(made).all():
        raise FailedError(
            f"the classifier diverged at the learning rate {options.lr:g}: set downstream.classifier.lr lower"
        )
    return made


def is_looked_at(step: int, num_steps: int) -> bool:
    """Tell whether early stopping looks after a step, the first being 0: 20 times, evenly spread, last at the end."""
    return (step + 1) * NUM_VALIDATIONS // num_steps > step * NUM_VALIDATIONS // num_steps


class _Best:
    """The weights of the step with the lowest log loss on the validation part; of equal ones the earlier."""

    def __init__(self) -> None:
        self.loss, self.state = math.inf, dict[str, Tensor]()

    def look(self, net: nn.Module, forward: Forward, task: Task) -> None:
        assert task.validation is not None
        assert task.validation_labels is not None
        found = _predicted(net, forward, task.validation, task)
        net.train()
        of_truth = np.maximum(found[np.arange(len(found)), task.validation_labels], np.finfo(float).tiny)
        loss = float(-np.log(of_truth).mean())  # NaN of a diverged network is not lower than any
        if loss < self.loss:
            self.loss, self.state = loss, {name: value.clone() for name, value in net.state_dict().items()}

    def restore(self, net: nn.Module) -> None:
        if self.state:
            net.load_state_dict(self.state)


def _predicted(net: nn.Module, forward: Forward, pixels: Pixels, task: Task) -> Probabilities:
    """Return class probabilities N x K of pixels N x S x S x 3. The network is left in its mode for predictions."""
    net.eval()
    with torch.inference_mode():
        parts = [
            forward(_on(pixels[first : first + _PREDICTED], task)).cpu().double().softmax(1).numpy()
            for first in range(0, len(pixels), _PREDICTED)
        ]
    made: Probabilities = np.concatenate(parts)
    return made


def _loss(forward: Forward, task: Task, options: TrainedOptions, step: int) -> Tensor:
    places = order(task.seed, len(task.train), options.batch_size, step)
    pixels, labels = task.train[places], torch.from_numpy(task.labels[places]).to(task.device)
    if task.on_the_fly is not None:
        pixels = changed(pixels, task.on_the_fly, task.seed, step)
    batch = _on(pixels, task)
    if options.randaugment:
        batch = _randaugmented(batch, options.randaugment, task.seed, step)
    if not options.mixup:
        return cross_entropy(forward(batch), labels, label_smoothing=options.label_smoothing)
    draws = rng(task.seed, Stream.CLASSIFIER_MIX, step)
    share, others = float(draws.beta(options.mixup, options.mixup)), draws.permutation(len(places))
    mixed = (share * batch.float() + (1 - share) * batch[others].float()).round().to(torch.uint8)
    logits = forward(mixed)
    return share * cross_entropy(logits, labels, label_smoothing=options.label_smoothing) + (1 - share) * cross_entropy(
        logits, labels[others], label_smoothing=options.label_smoothing
    )


def _randaugmented(batch: Tensor, num_ops: int, seed: int, step: int) -> Tensor:
    from torchvision.transforms import v2

    augment = v2.RandAugment(num_ops=num_ops)
    address = int(rng(seed, Stream.CLASSIFIER_RANDAUGMENT, step).integers(2**62))
    with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's global generator
        torch.manual_seed(address)
        images = [augment(image.permute(2, 0, 1)).permute(1, 2, 0) for image in batch.cpu()]
    return torch.stack(images).to(batch.device)


def _on(pixels: Pixels, task: Task) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(task.device)


def _seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """Return a network whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng(seed, Stream.CLASSIFIER_INIT).integers(2**62)))
        return build()
