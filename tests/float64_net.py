"""Layers of BigGAN restated in numpy at float64, from the papers' formulas, to hold the torch networks against."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def arrays(module) -> dict[str, np.ndarray]:
    """The state of a torch module as float64 arrays."""
    return {name: tensor.detach().double().numpy() for name, tensor in module.state_dict().items()}


def part(state: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) + 1 :]: value for name, value in state.items() if name.startswith(f"{prefix}.")}


def iterated(weight: np.ndarray, u: np.ndarray, eps: float) -> np.ndarray:
    """Weight over the singular value that one power iteration from `u` finds."""
    rows = weight.reshape(len(weight), -1)
    v = rows.T @ u.ravel()
    v = v / max(np.sqrt((v * v).sum()), eps)
    u = rows @ v
    u = u / max(np.sqrt((u * u).sum()), eps)
    return weight / (u @ rows @ v)


def stored(weight: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Weight over u W v."""
    sigma = sum(u[i] * (row * v).sum() for i, row in enumerate(weight.reshape(len(weight), -1)))
    return weight / sigma


def convolve(maps: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Convolution with zeros around that keeps the side: maps N x C x H x W, weight O x C x k x k."""
    pad = weight.shape[2] // 2
    padded = np.pad(maps, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(2, 3))
    out = np.einsum("nchwij,ocij->nohw", windows, weight)
    return out if bias is None else out + bias[None, :, None, None]


def normalized(maps: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float) -> np.ndarray:
    return (maps - mean[None, :, None, None]) / np.sqrt(variance + eps)[None, :, None, None]


def modulated(maps: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(1 + gain) maps + bias, for gains and biases N x C."""
    return maps * (1 + gain[:, :, None, None]) + bias[:, :, None, None]


def relu(maps: np.ndarray) -> np.ndarray:
    return np.where(maps > 0, maps, 0.0)


def doubled(maps: np.ndarray) -> np.ndarray:
    return maps.repeat(2, axis=2).repeat(2, axis=3)


def halved(maps: np.ndarray, by=np.mean) -> np.ndarray:
    n, c, h, w = maps.shape
    return by(maps.reshape(n, c, h // 2, 2, w // 2, 2), axis=(3, 5))


def attended(maps: np.ndarray, theta, phi, g, o, gamma) -> np.ndarray:
    """maps + gamma o(attention), place by place; the four weights are 1 x 1 convolutions, already divided."""
    query, key, value = convolve(maps, theta), halved(convolve(maps, phi), np.max), halved(convolve(maps, g), np.max)
    found = np.zeros((len(maps), len(g), *maps.shape[2:]))
    for n in range(len(maps)):
        for row in range(maps.shape[2]):
            for column in range(maps.shape[3]):
                scores = np.einsum("c,chw->hw", query[n, :, row, column], key[n])
                weights = np.exp(scores - scores.max())
                found[n, :, row, column] = np.einsum("hw,chw->c", weights / weights.sum(), value[n])
    return maps + gamma * convolve(found, o)
