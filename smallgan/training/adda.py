"""ADDA (Tzeng et al. 2017, arXiv:1702.05464): a classifier of one camera's images, adapted to another's without labels.

The first steps train a source classifier by cross-entropy. Then it is copied and frozen; the copy is trained against
a domain discriminator, until what it makes of target images looks like what the source classifier makes of source
images: class logits, or features, which the source's last layer classifies. No label of a target image enters a step;
those of the test images make the confusion matrices of a snapshot, and nothing else. The last step counts: none is
chosen by them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from augment.core.files import sha256_bytes
from augment.errors import UsageError
from smallgan.core.checkpoint import begin_moments
from smallgan.core.device import autocast
from smallgan.core.rng import Stream, rng
from smallgan.data.confusion import confusion
from smallgan.data.images import Batch, ImageBatches, LabelledRows, Pixels, to_images
from smallgan.models.lenet import NUM_FEATURES, DomainDiscriminator, LeNet, initialise
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.tables.adda_options import ADDAOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.data import TrainingData
from smallgan.training.loop import Trainer

SOURCE_BETAS = (0.9, 0.999)  # Adam's own, of the source classifier
FEWEST_CLASSES = 2
_TESTED = 256  # Images at a time, where nothing is trained


class ADDATrainer(Trainer):
    """Source classifier, its copy for the target, the domain discriminator, and their optimisers.

    Args:
        recipe: its `method`, `data.size` and `train` sections are read.
        device: where all of it runs.
        classes: names of the K classes.
        targets: batches of the target images; their labels are not looked at.
        tested: labelled target images that score.
    """

    def __init__(
        self, recipe: Recipe, device: torch.device, classes: Sequence[str], targets: ImageBatches, tested: LabelledRows
    ) -> None:
        options = recipe.method
        assert isinstance(options, ADDAOptions)
        self.device, self.options, self.precision = device, options, str(recipe.train.precision)
        self.batch_size, self.targets, self.tested = recipe.train.batch_size, targets, tested
        draws = torch.Generator().manual_seed(int(rng(recipe.seed, Stream.INIT).integers(2**63)))
        size, num_seen = recipe.data.size, NUM_FEATURES if options.align == "features" else len(classes)
        self.source, self.target = (LeNet(size, len(classes), gray=options.gray) for _ in range(2))
        self.discriminator = DomainDiscriminator(num_seen, options.d_width)
        self.networks = {"source": self.source, "target": self.target, "d": self.discriminator}
        for network in self.networks.values():
            initialise(network, draws).to(device).to(memory_format=torch.channels_last)
        self.description = {"model": options.name, "size": size, "gray": options.gray, "classes": list(classes)}
        adapted = [each for name, each in self.target.named_parameters() if self._adapts(name)]
        betas = (options.beta1, options.beta2)
        self.optimizers = {
            "source": torch.optim.Adam(_decayed(self.source, options), options.lr_source, SOURCE_BETAS, fused=True),
            "target": torch.optim.Adam(adapted, options.lr_target, betas, fused=True),
            "d": torch.optim.Adam(self.discriminator.parameters(), options.lr_d, betas, fused=True),
        }
        for optimizer in self.optimizers.values():
            begin_moments(optimizer)
        self._found: tuple[int, dict[str, Any]] | None = None

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0): of the source classifier, or of the target encoder and the discriminator.

        Returns scalars on the device, unread: loss_source; or loss_d, loss_target and accuracy_d.
        """
        self._found = None
        first = self.options.source_steps
        if number < first:
            return self._source_step(batch)
        if number == first:
            self.target.load_state_dict(self.source.state_dict())
        return self._adaptation_step(batch.images, self.targets.batch(number - first).images)

    def confusion(self, step: int) -> dict[str, Any]:
        """Return the confusion matrices on the test images; until `source_steps` both are the source classifier's."""
        if self._found is None or self._found[0] != step:
            before = self._tested(self.source)
            now = self._tested(self.target) if step > self.options.source_steps else before
            self._found = step, {"classes": self.description["classes"], "adapted": now, "source_only": before}
        return self._found[1]

    def _source_step(self, batch: Batch) -> dict[str, Tensor]:
        with autocast(self.device, self.precision):
            logits = self.source(batch.images)
        loss = cross_entropy(logits.float(), batch.labels)
        optimizer = self.optimizers["source"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss_source": loss.detach()}

    def _adaptation_step(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Move both networks by gradients at the same weights, as the released code does."""
        with autocast(self.device, self.precision):
            with torch.no_grad():
                seen_of_source = self._seen(self.source, source)
            seen_of_target = self._seen(self.target, target)
            of_source = self.discriminator(seen_of_source).float()
            of_target = self.discriminator(seen_of_target.detach()).float()
            fooled = self.discriminator(seen_of_target).float()
        loss_d, loss_target = discriminator_loss(of_source, of_target), inverted_loss(fooled)
        pair = self.optimizers["target"], self.optimizers["d"]
        for optimizer, loss in zip(pair, (loss_target, loss_d), strict=True):
            optimizer.zero_grad(set_to_none=True)  # of the discriminator, what the target's loss left there
            loss.backward()
        for optimizer in pair:
            optimizer.step()
        right = ((of_source > 0).float().mean() + (of_target <= 0).float().mean()) / 2
        return {"loss_target": loss_target.detach(), "loss_d": loss_d.detach(), "accuracy_d": right.detach()}

    def _seen(self, network: LeNet, images: Tensor) -> Tensor:
        """Return what the discriminator sees of images: features B x 500 or logits B x K."""
        return network.features(images) if self.options.align == "features" else network(images)

    def _adapts(self, name: str) -> bool:
        return self.options.align == "logits" or not name.startswith("last.")

    def _tested(self, network: nn.Module) -> list[list[int]]:
        pixels, labels = self.tested
        logits = []
        with torch.inference_mode(), autocast(self.device, self.precision):
            for first in range(0, len(pixels), _TESTED):
                images = to_images(torch.from_numpy(pixels[first : first + _TESTED]).to(self.device))
                logits.append(network(images).float().cpu())
        matrix: list[list[int]] = confusion(labels, torch.cat(logits).numpy()).tolist()
        return matrix


def discriminator_loss(source: Tensor, target: Tensor) -> Tensor:
    """Return -E log D(source) - E log(1 - D(target)) of raw scores, where D is their sigmoid."""
    return softplus(-source).mean() + softplus(target).mean()


def inverted_loss(target: Tensor) -> Tensor:
    """Return -E log D(target) of raw scores: the target encoder's loss, with the label of the other domain."""
    return softplus(-target).mean()


def _decayed(network: nn.Module, options: ADDAOptions) -> list[dict[str, Any]]:
    weights = [each for each in network.parameters() if each.ndim > 1]
    biases = [each for each in network.parameters() if each.ndim <= 1]
    return [{"params": weights, "weight_decay": options.weight_decay}, {"params": biases}]


def prepare(
    recipe: Recipe,
    data: TrainingData,
    device: torch.device,
    _source: PretrainedSource | None,
    log: Callable[[str], None],
) -> tuple[ADDATrainer, ImageBatches]:
    """Return the trainer and the batches of the source. Raises UsageError where images or classes do not fit."""
    options = recipe.method
    assert isinstance(options, ADDAOptions)
    if options.target is None:
        raise UsageError("method.target: adda needs the images to adapt to; give --set method.target=FOLDER")
    if options.source_steps >= recipe.train.steps:
        raise UsageError(
            f"method.source_steps {options.source_steps}: no step of train.steps {recipe.train.steps} is left to adapt "
            "to the target; give more steps, or fewer source steps"
        )
    target, tested = data.others["target"], tested_images(data, options)
    log(
        f"adapts a classifier of {len(data.classes)} classes to {len(target.originals)} images of {options.target}, "
        f"whose classes are not used; tested on {len(tested.pixels)} others"
    )
    size, seed = recipe.train.batch_size, recipe.seed
    targets = ImageBatches(without_order(target.mixture.pixels), size, seed, device, stream=Stream.TARGET_ORDER)
    batches = ImageBatches(data.mixture.pixels, size, seed, device, data.labels)
    return ADDATrainer(recipe, device, data.classes, targets, tested), batches


def without_order(pixels: Pixels) -> Pixels:
    """Return images N x S x S x 3 in an order of their own, by their hashes.

    A folder gives them class by class, so that without this a batch would depend on their classes.
    """
    hashes = [sha256_bytes(image.tobytes()) for image in pixels]
    ordered: Pixels = pixels[np.argsort(hashes)]
    return ordered


def tested_images(data: TrainingData, options: ADDAOptions) -> LabelledRows:
    """Return the labelled target images that score. Raises UsageError where classes lack, or differ from the source's.

    Args:
        data: the source's, with the other sets.
        options: of the method.
    """
    target, own = data.others["target"], data.others.get("target_test")
    if len(data.classes) < FEWEST_CLASSES:
        raise UsageError(
            f"data.source {data.summary['source']}: found {len(data.classes)} classes; expected a sub-folder for each "
            "class, two at least"
        )
    if not (own or target).classes:
        key, path = ("target_test", options.target_test) if own else ("target", options.target)
        raise UsageError(
            f"method.{key} {path}: found no classes, and without them nothing can be scored; put the images in class "
            "folders, or name some that are labelled with --set method.target_test=FOLDER"
        )
    for key, other in data.others.items():
        lacking, more = (sorted(a - b) for a, b in _both_ways(set(data.classes), set(_all_classes(other))))
        if _all_classes(other) and (lacking or more):
            differs = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"also has {', '.join(more)}"] * bool(more)
            raise UsageError(
                f"method.{key} {other.summary['source']}: its classes are not those of {data.summary['source']}: it "
                f"{' and '.join(differs)}; both need the same class folders"
            )
    found = own.to_probe(data.classes)[0] if own else target.to_probe(data.classes)[1]
    assert found is not None
    return found


def _all_classes(data: TrainingData) -> list[str]:
    held = {label for label in data.held_labels if label is not None}
    return sorted(held.union(data.classes))


def _both_ways(one: set[str], other: set[str]) -> list[tuple[set[str], set[str]]]:
    return [(one, other), (other, one)]
