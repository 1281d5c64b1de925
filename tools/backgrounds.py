"""Out-of-focus backgrounds for the painted flowers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from painting import SIDE, Blade, Colour, Field, Layer, Light, Picture, X, Y, blur, colour, mix, noise, step


@dataclass(frozen=True)
class Scene:
    """What a background may depend on."""

    rng: np.random.Generator
    light: Light
    petal: Colour
    """The flower's colour: others of its kind stand far away."""


Background = Callable[[Scene], Picture]


def _gradient(top: str, bottom: str, turn: float = 0, bend: float = 1) -> Picture:
    """Blend two colours from the top to the bottom, the axis turned by `turn` radians."""
    along = (X * np.float32(np.sin(turn)) + Y * np.float32(np.cos(turn)) + 1) / 2
    return mix(colour(top), colour(bottom), step(0, 1, np.clip(along, 0, 1) ** np.float32(bend)))


def _tinted(picture: Picture, rng: np.random.Generator, amount: float = 0.1) -> Picture:
    return picture * np.exp(rng.normal(0, amount, size=3)).astype(np.float32)


def _bokeh(picture: Picture, rng: np.random.Generator, paints: list[Colour], count: int, strength: float) -> Picture:
    """Add discs of light, as a lens makes of far bright points."""
    for _ in range(count):
        x, y = rng.uniform(-1.1, 1.1, size=2).astype(np.float32)
        radius = rng.uniform(0.1, 0.3)
        away = np.hypot(X - x, Y - y) / np.float32(radius)
        disc = step(1.12, 0.92, away) * (np.float32(0.75) + np.float32(0.25) * step(0.5, 1, away))
        picture = mix(picture, paints[rng.integers(len(paints))], disc * np.float32(strength * rng.uniform(0.4, 1)))
    return picture


def _blades(picture: Picture, scene: Scene, paint: Colour, count: int) -> Picture:
    """Add far leaves, well out of focus."""
    layer, rng = Layer(), scene.rng
    for _ in range(count):
        shade = paint * np.float32(rng.uniform(0.5, 1.5))
        length, width, bend = rng.uniform(0.8, 1.6), rng.uniform(0.08, 0.2), rng.normal(0, 0.2)
        leaf = Blade(length, width, 0.5, 0.9, (shade, shade, shade), bend=bend)
        x, y = rng.uniform(-1.1, 1.1), rng.uniform(0.5, 1.3)
        angle = -np.pi / 2 + rng.normal(0, 0.6)
        leaf.paint_on(layer, X - np.float32(x), Y - np.float32(y), angle, scene.light, depth=0)
    return layer.over(picture, focus=0.07)


def meadow(scene: Scene) -> Picture:
    """Grass in the sun: light greens, blurred blades, other flowers far away."""
    rng = scene.rng
    picture = _tinted(_gradient("b9cf7a", "4f7a35", rng.normal(0, 0.4)), rng, 0.14)
    picture = picture * np.exp(np.float32(0.16) * noise(rng, 2))[..., None]
    picture = _blades(picture, scene, colour("54863a"), 7)
    return _bokeh(picture, rng, [colour("e8eeb0"), colour("8fb85a"), scene.petal], 9, 0.5)


def sky(scene: Scene) -> Picture:
    """A clear sky with soft clouds, sometimes far hills below."""
    rng = scene.rng
    picture = _tinted(_gradient("5b93d6", "cfe3f2", rng.normal(0, 0.25)), rng, 0.06)
    picture = mix(picture, colour("fbfaf5"), np.float32(0.55) * step(0.2, 1.6, noise(rng, 2, 3)))
    if rng.random() < 0.5:
        line = Y - np.float32(rng.uniform(0.45, 0.75)) - np.float32(0.08) * noise(rng, 2, 1)
        hills = mix(colour("8fb0a0"), colour("5c8a4a"), step(0, 0.4, line))
        picture = mix(picture, hills, step(-0.08, 0.08, line))
    return picture


def shade(scene: Scene) -> Picture:
    """Deep shade under trees: dark greens and browns with a few lights."""
    rng = scene.rng
    picture = _tinted(_gradient("1c2a1e", "120f0b", rng.normal(0, 0.5)), rng, 0.2)
    picture = picture * np.exp(np.float32(0.35) * noise(rng, 2))[..., None]
    picture = _blades(picture, scene, colour("24401f"), 6)
    return _bokeh(picture, rng, [colour("5f7f3a"), colour("8a7a3c")], int(rng.integers(0, 6)), 0.3)


def wall(scene: Scene) -> Picture:
    """A plastered wall in warm light that falls off to one side."""
    rng = scene.rng
    top = ("e9dcc3", "d9b48f", "c9cfcf", "b7a6b4", "a9b89a")[rng.integers(5)]
    picture = _tinted(colour(top) * np.ones((SIDE, SIDE, 3), np.float32), rng, 0.05)
    falloff = np.float32(0.85) + np.float32(0.25) * (X * np.float32(scene.light.x) + Y * np.float32(scene.light.y))
    mottle = np.float32(0.035) * noise(rng, 5, 3)
    return picture * (falloff * (1 + mottle))[..., None]


def dusk(scene: Scene) -> Picture:
    """The evening: violet above, a warm low sky, lights in the distance."""
    rng = scene.rng
    picture = _tinted(_gradient("3f3a6b", "d98a62", rng.normal(0, 0.2), bend=1.4), rng, 0.1)
    picture = picture * np.exp(np.float32(0.1) * noise(rng, 2))[..., None]
    return _bokeh(picture, rng, [colour("ffd9a0"), colour("f2a27a"), colour("b98ac0")], 8, 0.35)


def earth(scene: Scene) -> Picture:
    """Garden soil from above, brown and crumbly, out of focus."""
    rng = scene.rng
    picture = _tinted(_gradient("6e5138", "3d2a1c", rng.uniform(0, 6.28)), rng, 0.1)
    crumbs: Field = blur(noise(rng, 16, 2), 0.015)
    picture = picture * np.exp(np.float32(0.28) * crumbs)[..., None]
    return _blades(picture, scene, colour("4a6a30"), int(rng.integers(0, 5)))


# How dark the flower's shadow falls on it: near grounds take one, far ones do not.
BACKGROUNDS: tuple[tuple[Background, float], ...] = (
    (meadow, 0.25),
    (sky, 0.0),
    (shade, 0.3),
    (wall, 0.55),
    (dusk, 0.1),
    (earth, 0.6),
    (meadow, 0.25),
)
