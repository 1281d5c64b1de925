"""Classifiers on frozen features: scikit-learn's logistic regression and nearest neighbours. Features are made once."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from augment.core.files import sha256_bytes
from augment.errors import UsageError
from smallgan.data.images import Pixels
from smallgan.downstream.task import Probabilities, Task
from smallgan.metrics.features import cache
from smallgan.metrics.features.extract import FeatureNet, extract, feature_net
from smallgan.tables.classifiers import LinearOptions, NearestOptions

_MAX_ITERATIONS = 2000
_made: dict[str, NDArray[np.float64]] = {}  # Features of an image by network and pixels


def fit_linear(task: Task) -> Probabilities:
    """Fit logistic regression on standardised features."""
    options: LinearOptions = task.options
    if len(np.unique(task.labels)) < 2:
        raise UsageError("the classifier linear needs images of two classes or more to train on; this variant has one")
    train, test = _features(task, options.features)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=options.c, max_iter=_MAX_ITERATIONS))
    model.fit(train, task.labels)
    return _of_all_classes(model.predict_proba(test), model.classes_, task.num_classes)


def fit_nearest(task: Task) -> Probabilities:
    """Let the nearest training images vote. One vote is spread over all classes, so that no probability is 0."""
    options: NearestOptions = task.options
    train, test = _features(task, options.features)
    number = min(options.neighbours, len(train))
    model = KNeighborsClassifier(number, metric="cosine").fit(train, task.labels)
    votes = _of_all_classes(model.predict_proba(test), model.classes_, task.num_classes)
    return (number * votes + 1 / task.num_classes) / (number + 1)


def network_of(name: str | None, device: torch.device) -> list[str]:
    """Return the name and hash of a feature network; of None what is chosen on this machine."""
    net = _net(name, device)
    return [net.name, net.sha256]


def _features(task: Task, name: str | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return features of training and test images."""
    if task.on_the_fly is not None:
        raise UsageError("downstream.on_the_fly: frozen features are made once; use the classifier resnet, or a policy")
    net = _net(name, task.device)
    return _once(task.train, net), _once(task.test, net)


def _once(pixels: Pixels, net: FeatureNet) -> NDArray[np.float64]:
    """Return the features of images N x S x S x 3, N x F, each image run through the network once ever.

    They go through one by one: in a batch their rounding would depend on which of them were known already.
    """
    names = [f"{net.name} {net.sha256} {sha256_bytes(image.tobytes())}" for image in pixels]
    new = {name: at for at, name in reversed(list(enumerate(names))) if name not in _made}
    if new:
        lacking = pixels[sorted(new.values())]
        key = cache.key(f"{cache.pixels_content(lacking)}, one by one", net)
        kept = cache.find(key, len(lacking))
        if kept is None:
            kept = cache.Kept(extract(lacking, net, batch_size=1), lacking.shape[1])
            cache.store(key, kept)
        for name, row in zip(sorted(new, key=lambda name: new[name]), kept.features.features, strict=True):
            _made[name] = np.asarray(row, np.float64)
    return np.stack([_made[name] for name in names])


@lru_cache(maxsize=4)
def _net(name: str | None, device: torch.device) -> FeatureNet:
    return feature_net(name, device)[0]


def _of_all_classes(found: Probabilities, classes: NDArray[np.int64], num_classes: int) -> Probabilities:
    """Return probabilities N x K where some classes had no training image."""
    whole = np.zeros((len(found), num_classes))
    whole[:, classes] = found
    return whole
