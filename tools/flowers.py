"""One painted flower: its kinds and colours, and how it is put together. Flower k depends on (seed, k) only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from backgrounds import BACKGROUNDS, Scene
from painting import (
    Blade,
    Colour,
    Field,
    Layer,
    Light,
    Picture,
    Pixels,
    Plane,
    blur,
    colour,
    develop,
    dome,
    moved,
    thread,
)
from painting import X as PICTURE_X
from painting import Y as PICTURE_Y


@dataclass(frozen=True)
class Kind:
    """A kind of flower: what its petals look like, how many there are, and what stands in its middle."""

    petals: tuple[int, int]
    """Fewest and most in the outer whorl."""
    blade: tuple[float, float, float]
    """Width, root and tip of `Blade`."""
    middle: str
    """eye | seeds | stamens | star: see `_MIDDLES`."""
    middle_size: float
    palettes: tuple[str, ...]
    whorls: int = 1
    inner: float = 0.7
    """Length of a whorl, as a share of the one outside it."""
    notch: float = 0
    ruffle: float = 0
    curl: float = 0.5
    veins: int = 5


_TURN = 2 * np.pi

# Root, middle, tip and edge of a petal, and the middle of the flower (dark, bright), as sRGB.
PALETTES = {
    "white": "f3e9a0 fbf8ee fffdf8 f6efe6 c98a12 ffd23c",
    "blush": "c9416a f6b6c4 fde3e2 fff0ec a8701a ffd75a",
    "rose": "8f1440 e0447c f58fb0 fbc4d2 8a5a10 ffd04a",
    "magenta": "5c0a50 b41e86 dc5cae ee96cc 7a5212 ffdb70",
    "scarlet": "3a0610 c81e22 ee4a30 f87a50 1c1018 5a3444",
    "coral": "d8402a fa7a58 ffac84 ffd0ac 7c4a10 ffc83c",
    "orange": "b83a08 f27a12 ffa838 ffca6a 4a2408 94541a",
    "yellow": "d47a04 f8c41c ffe25a fff09a 6a3a0a b87420",
    "lemon": "b8b42a f6ea6a fdf8b4 fffde0 6e7a12 d8d648",
    "violet": "f0d84a 6a3ab4 8e62d2 b898ea b07c10 ffe060",
    "lilac": "5a2e8a a884d6 d0b8ee ece0fa 8c7a1e f4e88a",
    "blue": "f4f0e0 3a5cc8 6e90e6 a8c0f6 a88a1a ffe878",
    "sky": "2e4ea8 7cb0ec b4d8f8 e2f2fe a87c14 ffe260",
    "wine": "26040e 7a0c34 a8244e c85a78 8a6a12 f6cc52",
}

KINDS = (
    Kind((13, 20), (0.15, 0.35, 0.30), "seeds", 0.24, ("white", "blush", "lilac", "yellow"), curl=0.35, veins=3),
    Kind((5, 5), (0.43, 0.75, 0.30), "eye", 0.13, ("yellow", "blue", "violet", "rose", "white"), ruffle=0.02),
    Kind((8, 8), (0.33, 0.80, 0.26), "seeds", 0.15, ("magenta", "blush", "rose", "white"), notch=0.10, veins=7),
    Kind((6, 6), (0.26, 0.70, 0.80), "stamens", 0.12, ("orange", "coral", "blush", "white", "lemon"), veins=3),
    Kind((6, 8), (0.30, 0.60, 0.55), "stamens", 0.15, ("violet", "lilac", "sky", "magenta"), veins=3, curl=0.7),
    Kind((5, 7), (0.50, 0.60, 0.24), "eye", 0.17, ("scarlet", "coral", "orange"), ruffle=0.05, curl=-0.5, veins=9),
    Kind((12, 15), (0.19, 0.55, 0.62), "eye", 0.11, ("wine", "coral", "rose", "lemon", "lilac"), 3, 0.72, curl=-0.7),
    Kind((8, 9), (0.32, 0.60, 0.34), "star", 0.13, ("rose", "blush", "yellow", "wine"), 2, 0.66, curl=-0.6),
    Kind((15, 20), (0.16, 0.50, 0.70), "seeds", 0.34, ("yellow", "orange"), 2, 0.86, curl=0.4, veins=3),
    Kind((5, 5), (0.40, 0.95, 0.36), "star", 0.10, ("sky", "blue", "lilac", "blush"), notch=0.22, veins=5),
)


@dataclass(frozen=True)
class Bloom:
    """A flower while it is painted: what it is, where it lies, and the layer it is painted on."""

    kind: Kind
    tones: list[Colour]
    plane: Plane
    radius: float
    light: Light
    rng: np.random.Generator
    layer: Layer = field(default_factory=Layer)

    def boss(self, x: float, y: float, radius: float, paint: Colour, height: float = 1.0) -> None:
        """Paint a round boss around (x, y) of the flower's plane."""
        across, down = self.plane.coordinates()
        dome(self.layer, across - np.float32(x), down - np.float32(y), radius, np.clip(paint, 0, 1), self.light, height)

    def evenly(self, count: int, jitter: float) -> list[float]:
        """Return `count` angles around the middle, starting anywhere, each a little off."""
        turn = self.rng.uniform(0, 2 * np.pi)
        return [float(angle) for angle in turn + _TURN * np.arange(count) / count + self.rng.normal(0, jitter, count)]


def draw(seed: int, index: int) -> Pixels:
    """Draw flower `index`: 64 x 64 x 3 uint8."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    kind = KINDS[index % len(KINDS)]
    tones = _tones(kind.palettes[rng.integers(len(kind.palettes))], rng)
    light = Light(*_unit(rng.choice([-1, 1]) * rng.uniform(0.35, 0.9), -rng.uniform(0.5, 0.9)))
    x, y = rng.uniform(-0.1, 0.1, size=2)
    plane = Plane(x, y - 0.04, rng.uniform(0, 0.34), np.pi / 2 + rng.normal(0, 0.5))
    bloom = Bloom(kind, tones, plane, rng.uniform(0.66, 0.86), light, rng)
    background, shadow = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    picture = background(Scene(rng, light, tones[1]))
    if rng.random() < 0.6:
        picture = _greenery(bloom).over(picture, focus=0.012)
    _petals(bloom)
    _MIDDLES[kind.middle](bloom, kind.middle_size * bloom.radius, tones[4], tones[5])
    return develop(bloom.layer.over(_shadowed(picture, bloom.layer.cover, light, shadow)))


def _tones(palette: str, rng: np.random.Generator) -> list[Colour]:
    """Return the colours of a palette, each shifted a little the same way."""
    shift = np.exp(rng.normal(0, 0.09, size=3)).astype(np.float32)
    return [np.clip(colour(tone) * shift, 0, 1) for tone in PALETTES[palette].split()]


def _unit(x: float, y: float) -> tuple[float, float]:
    length = float(np.hypot(x, y))
    return x / length, y / length


def _petals(bloom: Bloom) -> None:
    """Paint the whorls from the outermost inwards."""
    kind, rng = bloom.kind, bloom.rng
    blade = _blade(bloom)
    x, y = bloom.plane.coordinates()
    count = int(rng.integers(kind.petals[0], kind.petals[1] + 1))
    turn = rng.uniform(0, _TURN)
    for whorl in range(kind.whorls):
        order = [*range(0, count, 2), *range(1, count, 2)] if rng.random() < 0.5 else range(count)
        for petal in order:
            angle = turn + _TURN * petal / count + rng.normal(0, 0.25 / count)
            blade.varied(rng).paint_on(bloom.layer, x, y, angle, bloom.light)
        turn += np.pi / count
        root, middle, tip = (np.clip(tone * np.float32(1.12), 0, 1) for tone in blade.colours)
        blade = replace(blade, length=blade.length * kind.inner, colours=(root, middle, tip), arch=blade.arch - 0.35)
        count = max(5, round(count * (0.85 if whorl else 1)))


def _blade(bloom: Bloom) -> Blade:
    """Draw the petal that the others of the outer whorl are sisters of."""
    kind, rng = bloom.kind, bloom.rng
    width, root, tip = kind.blade
    outer, middle, inner, edge = bloom.tones[2], bloom.tones[1], bloom.tones[0], bloom.tones[3]
    return Blade(
        length=bloom.radius,
        width=width * rng.uniform(0.88, 1.12),
        root=root,
        tip=tip * rng.uniform(0.85, 1.2),
        colours=(inner, middle, outer) if rng.random() < 0.75 else (inner, outer, middle),
        notch=kind.notch * rng.uniform(0.5, 1.3),
        bend=rng.normal(0, 0.06),
        ruffle=kind.ruffle,
        edge=edge if rng.random() < 0.5 else None,
        veins=kind.veins,
        vein_depth=rng.uniform(0.1, 0.32),
        curl=kind.curl,
        arch=rng.uniform(0.2, 0.8),
    )


def _eye(bloom: Bloom, size: float, dark: Colour, bright: Colour) -> None:
    """Paint a boss with a ring of anthers around it."""
    for angle in bloom.evenly(16, 0.08):
        away = size * bloom.rng.uniform(1.1, 1.45)
        bloom.boss(away * np.cos(angle), away * np.sin(angle), 0.24 * size, bright)
    bloom.boss(0, 0, size, dark)
    bloom.boss(0, 0, 0.5 * size, bright)


def _seeds(bloom: Bloom, size: float, dark: Colour, bright: Colour) -> None:
    """Paint a cushion of florets in Fermat's spiral, bright at the rim or in the middle."""
    bloom.boss(0, 0, size, dark, height=0.8)
    count, bright_rim = 70, bloom.rng.random() < 0.5
    for number in range(count, 0, -1):
        share = np.sqrt(number / count)
        away, angle = 0.95 * size * share, number * np.pi * (3 - np.sqrt(5))
        ripe = np.float32((share if bright_rim else 1 - share) * bloom.rng.uniform(0.7, 1.2))
        bloom.boss(away * np.cos(angle), away * np.sin(angle), 0.115 * size, dark + (bright - dark) * ripe)


def _stamens(bloom: Bloom, size: float, dark: Colour, bright: Colour) -> None:
    """Paint threads that lean out of a small boss, an anther at the end of each."""
    filament = np.clip(bright * np.float32(0.6) + np.float32(0.35), 0, 1)
    bloom.boss(0, 0, 0.6 * size, bright)
    for angle in bloom.evenly(int(bloom.rng.integers(6, 12)), 0.1):
        away = size * bloom.rng.uniform(1.7, 2.4)
        tip = np.array([np.cos(angle), np.sin(angle)]) * away
        points = [bloom.plane.x, bloom.plane.y] + tip * np.linspace(0.1, 1, 3)[:, None]
        thread(bloom.layer, points, np.full(3, 0.012), filament, bloom.light)
        x, y = points[-1].astype(np.float32)
        dome(bloom.layer, PICTURE_X - x, PICTURE_Y - y, 0.042, dark, bloom.light)


def _star(bloom: Bloom, size: float, dark: Colour, bright: Colour) -> None:
    """Paint a bright star with a dark eye."""
    x, y = bloom.plane.coordinates()
    ray = Blade(1.5 * size, 0.3, 0.7, 0.9, (bright, bright, dark), vein_depth=0)
    for angle in bloom.evenly(6, 0):
        ray.varied(bloom.rng).paint_on(bloom.layer, x, y, angle, bloom.light, depth=0.3)
    bloom.boss(0, 0, 0.6 * size, dark)


_MIDDLES = {"eye": _eye, "seeds": _seeds, "stamens": _stamens, "star": _star}


def _greenery(bloom: Bloom) -> Layer:
    """Paint a stem from behind the flower to the lower border, with one or two leaves on it."""
    layer, rng, light = Layer(), bloom.rng, bloom.light
    green = colour("4c7a2a") * np.exp(rng.normal(0, 0.18, size=3)).astype(np.float32)
    start, end = np.array([bloom.plane.x, bloom.plane.y]), np.array([bloom.plane.x + rng.normal(0, 0.3), 1.1])
    bow = (start + end) / 2 + np.array([rng.normal(0, 0.12), 0])
    share = np.linspace(0, 1, 10)[:, None]
    points = (1 - share) ** 2 * start + 2 * share * (1 - share) * bow + share**2 * end
    for side in rng.permutation([-1, 1])[: rng.integers(1, 3)]:
        x, y = points[rng.integers(4, 8)].astype(np.float32)
        leaf = Blade(
            length=rng.uniform(0.75, 1.15),
            width=rng.uniform(0.16, 0.28),
            root=0.6,
            tip=0.95,
            colours=(green * np.float32(0.7), green, np.clip(green * np.float32(1.35), 0, 1)),
            bend=side * rng.uniform(-0.1, 0.35),
            vein_depth=0.3,
            curl=0.8,
        )
        angle = np.pi / 2 - side * rng.uniform(0.75, 1.5)
        leaf.paint_on(layer, PICTURE_X - x, PICTURE_Y - y, angle, light)
    thread(layer, points, np.linspace(0.04, 0.055, 10) * bloom.radius / 0.75, green * np.float32(0.9), light)
    return layer


def _shadowed(picture: Picture, cover: Field, light: Light, strength: float) -> Picture:
    """Let the flower's soft shadow fall on the background, away from the light."""
    fallen = blur(moved(cover, -0.13 * light.x, -0.13 * light.y), 0.09)
    return picture * (1 - np.float32(strength) * fallen)[..., None]
