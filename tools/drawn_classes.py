"""Pictures drawn by code, class by class: the part of the feature network's training set that is ours.

Caltech-101 alone asks little about light, polarity and sharpness. These classes differ in just that: light from above
or from below, dark on bright or bright on dark, coarse or fine, sharp or soft. A horizontal flip changes no class.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 64
Field = NDArray[np.float32]  # SIZE x SIZE in [0, 1]: how much of the second color
_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def draw(name: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return one picture of the class: SIZE x SIZE x 3 uint8 RGB."""
    field = CLASSES[name](rng)
    dark, bright = rng.uniform(0, 110, 3), rng.uniform(145, 255, 3)
    if rng.random() < 0.3:  # some in gray
        dark[:], bright[:] = dark.mean(), bright.mean()
    pixels = dark + (bright - dark) * field[..., None] + rng.normal(0, rng.uniform(0, 4), (SIZE, SIZE, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _place(rng: np.random.Generator) -> tuple[Field, Field, float]:
    """Coordinates about a center drawn near the middle, and a radius."""
    center = rng.uniform(24, 40, 2)
    return _X - center[0], _Y - center[1], float(rng.uniform(11, 22))


def _edge(distance: Field) -> Field:
    """1 inside (distance < 0), 0 outside, one pixel of soft edge."""
    return np.clip(0.5 - distance, 0, 1).astype(np.float32)


def _ramp(direction: int) -> Callable[[np.random.Generator], Field]:
    def field(rng: np.random.Generator) -> Field:
        tilt = rng.uniform(-0.4, 0.4)
        t = direction * ((_Y - 32) + tilt * (_X - 32)) / rng.uniform(30, 60)
        return np.clip(0.5 + t, 0, 1).astype(np.float32)

    return field


def _ball(direction: int) -> Callable[[np.random.Generator], Field]:
    def field(rng: np.random.Generator) -> Field:
        x, y, radius = _place(rng)
        inside = _edge(np.hypot(x, y) - radius)
        shade = np.clip(0.5 + direction * 0.6 * y / radius + rng.uniform(-0.3, 0.3) * x / radius, 0, 1)
        return (inside * shade + (1 - inside) * rng.uniform(0.2, 0.8)).astype(np.float32)

    return field


def _triangle(direction: int) -> Callable[[np.random.Generator], Field]:
    def field(rng: np.random.Generator) -> Field:
        x, y, radius = _place(rng)
        y = direction * y
        shape = _edge(np.maximum(np.abs(x) * 0.87 - (y + radius) * 0.5, y - radius))
        return shape if rng.random() < 0.5 else 1 - shape

    return field


def _shape(distance: Callable[[Field, Field, float], Field], bright: bool) -> Callable[[np.random.Generator], Field]:
    def field(rng: np.random.Generator) -> Field:
        x, y, radius = _place(rng)
        shape = _edge(distance(x, y, radius))
        return shape if bright else 1 - shape

    return field


def _stripes(angle: float, low: float, high: float) -> Callable[[np.random.Generator], Field]:
    def field(rng: np.random.Generator) -> Field:
        turn = np.deg2rad(angle * rng.choice([-1, 1]) + rng.uniform(-10, 10))
        phase = (np.cos(turn) * _X + np.sin(turn) * _Y) * 2 * np.pi / rng.uniform(low, high)
        return (0.5 + 0.5 * np.sin(phase + rng.uniform(0, 6.28))).astype(np.float32)

    return field


def _checks(low: float, high: float) -> Callable[[np.random.Generator], Field]:
    def field(rng: np.random.Generator) -> Field:
        cell = rng.uniform(low, high)
        shift = rng.uniform(0, 20, 2)
        return (((_X + shift[0]) // cell + (_Y + shift[1]) // cell) % 2).astype(np.float32)

    return field


def _noise(low: float, high: float) -> Callable[[np.random.Generator], Field]:
    def field(rng: np.random.Generator) -> Field:
        sigma = rng.uniform(low, high)
        noise = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
        if sigma > 0.05:
            noise = cv2.GaussianBlur(noise, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        noise = (noise - noise.mean()) / noise.std()
        return np.clip(0.5 + 0.28 * noise, 0, 1).astype(np.float32)

    return field


def _spots(bright: bool) -> Callable[[np.random.Generator], Field]:
    def field(rng: np.random.Generator) -> Field:
        shape = np.zeros((SIZE, SIZE), np.float32)
        for _ in range(int(rng.integers(8, 22))):
            center, radius = rng.uniform(0, SIZE, 2), rng.uniform(2, 6)
            shape = np.maximum(shape, _edge(np.hypot(_X - center[0], _Y - center[1]) - radius))
        return shape if bright else 1 - shape

    return field


def _bricks(rng: np.random.Generator) -> Field:
    height, width, gap = rng.uniform(7, 13), rng.uniform(15, 26), rng.uniform(1, 2.2)
    row = (_Y + rng.uniform(0, 20)) / height
    column = (_X + rng.uniform(0, 30)) / width + 0.5 * (np.floor(row) % 2)
    return (((row % 1) * height > gap) & ((column % 1) * width > gap)).astype(np.float32)


def _rings(rng: np.random.Generator) -> Field:
    x, y, _ = _place(rng)
    return (0.5 + 0.5 * np.sin(np.hypot(x, y) * 2 * np.pi / rng.uniform(5, 14) + rng.uniform(0, 6.28))).astype(
        np.float32
    )


def _disk(x: Field, y: Field, radius: float) -> Field:
    return np.hypot(x, y) - radius


def _box(x: Field, y: Field, radius: float) -> Field:
    return np.maximum(np.abs(x), np.abs(y)) - radius * 0.85


def _cross(x: Field, y: Field, radius: float) -> Field:
    arms = np.minimum(np.maximum(np.abs(x), np.abs(y) * 3), np.maximum(np.abs(x) * 3, np.abs(y)))
    return arms - radius


CLASSES: dict[str, Callable[[np.random.Generator], Field]] = {
    "bright-above": _ramp(-1),
    "bright-below": _ramp(1),
    "ball-lit-above": _ball(-1),
    "ball-lit-below": _ball(1),
    "triangle-up": _triangle(1),
    "triangle-down": _triangle(-1),
    "disk-bright": _shape(_disk, True),
    "disk-dark": _shape(_disk, False),
    "box-bright": _shape(_box, True),
    "box-dark": _shape(_box, False),
    "cross-bright": _shape(_cross, True),
    "cross-dark": _shape(_cross, False),
    "spots-bright": _spots(True),
    "spots-dark": _spots(False),
    "stripes-upright-fine": _stripes(0, 3, 6),
    "stripes-upright-coarse": _stripes(0, 10, 20),
    "stripes-level-fine": _stripes(90, 3, 6),
    "stripes-level-coarse": _stripes(90, 10, 20),
    "stripes-slanted-fine": _stripes(45, 3, 6),
    "stripes-slanted-coarse": _stripes(45, 10, 20),
    "checks-fine": _checks(2, 5),
    "checks-coarse": _checks(9, 16),
    "noise-white": _noise(0, 0.04),
    "noise-fine": _noise(0.6, 1),
    "noise-soft": _noise(1.6, 2.6),
    "noise-clouds": _noise(5, 9),
    "bricks": _bricks,
    "rings": _rings,
}
