"""Painting with numpy: soft fields, petals, discs and stems on a large canvas that is averaged down at the end.

Coordinates: x to the right and y downwards, both in [-1, 1] over the canvas. Colours: linear light, floats in [0, 1].
A field is SIDE x SIDE, a picture SIDE x SIDE x 3. Every random number comes from the generator that is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Field = Floats
Picture = Floats
Colour = Floats
Pixels = NDArray[np.uint8]

SIZE = 64
OVERSAMPLING = 6
SIDE = SIZE * OVERSAMPLING
PIXEL = np.float32(2 / SIDE)
_GAMMA = 2.2

cv2.setNumThreads(1)  # the drawing program takes one process a core instead

Y, X = np.meshgrid(*[np.linspace(-1, 1, SIDE, dtype=np.float32)] * 2, indexing="ij")


def colour(hexadecimal: str) -> Colour:
    """Return the linear colour of an sRGB `rrggbb`."""
    return (np.frombuffer(bytes.fromhex(hexadecimal), np.uint8).astype(np.float32) / 255) ** _GAMMA


def develop(picture: Picture) -> Pixels:
    """Average the picture down to SIZE x SIZE and turn it into pixels; averaging happens in linear light."""
    small = picture.reshape(SIZE, OVERSAMPLING, SIZE, OVERSAMPLING, 3).mean(axis=(1, 3))
    levels: Floats = np.rint(255 * np.clip(small, 0, 1) ** (1 / _GAMMA))
    return levels.astype(np.uint8)


def mix(first: Floats, second: Floats, share: Field) -> Picture:
    """Blend two colours or pictures by a field: 0 gives the first, 1 the second."""
    return first + (second - first) * share[..., None]


def step(edge_0: float, edge_1: float, value: Field) -> Field:
    """Rise smoothly from 0 at `edge_0` to 1 at `edge_1` (a cubic with flat ends)."""
    t: Field = np.clip((value - edge_0) / (edge_1 - edge_0), 0, 1)
    return t * t * (3 - 2 * t)


def blur(field_or_picture: Floats, sigma: float) -> Floats:
    """Blur with a Gaussian; `sigma` in canvas units. Done at a quarter of the size: the result is smooth anyway."""
    small = cv2.resize(field_or_picture, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), float(sigma / PIXEL / 4), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.float32)


def moved(field: Field, x: float, y: float) -> Field:
    """Shift a field by (x, y) canvas units; zeros come in from outside."""
    shift = np.array([[1, 0, x / PIXEL], [0, 1, y / PIXEL]], np.float32)
    return np.asarray(cv2.warpAffine(field, shift, (SIDE, SIDE)), np.float32)


def noise(rng: np.random.Generator, cells: int, octaves: int = 2) -> Field:
    """Return soft noise around 0: random values on a grid of `cells`, interpolated, finer octaves at half strength."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for octave in range(octaves):
        coarse = rng.normal(size=[(cells << octave) + 3] * 2).astype(np.float32)
        total += cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total


@dataclass
class Layer:
    """Paint on nothing: colours multiplied by their coverage, and the coverage."""

    rgb: Picture = field(default_factory=lambda: np.zeros((SIDE, SIDE, 3), np.float32))
    cover: Field = field(default_factory=lambda: np.zeros((SIDE, SIDE), np.float32))

    def paint(self, paint: Floats, mask: Field) -> None:
        """Lay a colour or a picture over what is there, where `mask` (0 to 1) says."""
        self.rgb = paint * mask[..., None] + self.rgb * (1 - mask[..., None])
        self.cover = mask + self.cover * (1 - mask)

    def darken(self, shade: Field) -> None:
        """Take away a share of the light; coverage stays."""
        self.rgb = self.rgb * (1 - shade[..., None])

    def over(self, picture: Picture, focus: float = 0) -> Picture:
        """Lay the layer over a picture, blurred by `focus` canvas units."""
        if focus:
            return blur(self.rgb, focus) + picture * (1 - blur(self.cover, focus)[..., None])
        return self.rgb + picture * (1 - self.cover[..., None])


@dataclass(frozen=True)
class Light:
    """A soft light from (x, y), a unit vector that points to where it stands, `height` above the picture."""

    x: float
    y: float
    height: float = 1.1
    ambient: float = 0.42

    def shade(self, slope_x: Field, slope_y: Field) -> Field:
        """Return the brightness of a surface with these slopes: Lambert's law over an ambient share, 1 when flat."""
        facing = (slope_x * self.x + slope_y * self.y + self.height) / np.sqrt(1 + slope_x**2 + slope_y**2)
        return np.float32(self.ambient) + np.float32(1 - self.ambient) * np.maximum(facing, 0) / np.float32(self.height)


@dataclass(frozen=True)
class Plane:
    """The plane in which a flower lies: its middle, and the affine map from the picture to it."""

    x: float
    y: float
    tilt: float = 0
    """Foreshortening: 0 looks straight at it, 0.5 shows half the height."""
    towards: float = 0
    """Angle of the axis that is shortened, in radians."""

    def coordinates(self) -> tuple[Field, Field]:
        """Return where each point of the canvas lies on the plane, with the middle at (0, 0)."""
        x, y = X - np.float32(self.x), Y - np.float32(self.y)
        cos, sin = np.float32(np.cos(self.towards)), np.float32(np.sin(self.towards))
        along = (x * cos + y * sin) / np.float32(1 - self.tilt)
        across = y * cos - x * sin
        return along * cos - across * sin, along * sin + across * cos


@dataclass(frozen=True)
class Blade:
    """Shape and paint of one petal or leaf. It grows from its root (u = 0) to its tip (u = 1), v is sideways."""

    length: float
    width: float
    """Greatest half width, as a share of the length."""
    root: float
    """How slowly it widens from the root: 0.3 is a strap, 1.2 a spoon."""
    tip: float
    """How slowly it narrows to the tip: 0.3 is round, 1 pointed."""
    colours: tuple[Colour, Colour, Colour]
    """At the root, in the middle, at the tip."""
    notch: float = 0
    bend: float = 0
    ruffle: float = 0
    edge: Colour | None = None
    veins: int = 5
    vein_depth: float = 0.15
    curl: float = 0.5
    """Slope at the two sides; positive is a ridge, negative a trough."""
    arch: float = 0.5
    """Slope at the tip, away from the viewer."""
    phase: float = 0

    def varied(self, rng: np.random.Generator, amount: float = 1) -> Blade:
        """Return a sister of it: like it, and not the same."""
        length, width, bend, curl = rng.normal(0, amount * np.array([0.035, 0.05, 0.05, 0.12]))
        return replace(
            self,
            length=self.length * (1 + length),
            width=self.width * (1 + width),
            bend=self.bend + bend,
            curl=self.curl + curl,
            phase=rng.uniform(0, 2 * np.pi),
        )

    def paint_on(self, layer: Layer, x: Field, y: Field, angle: float, light: Light, depth: float = 0.45) -> None:
        """Paint it on `layer`, rooted at (0, 0) of the coordinates x, y, and let it shade what lies below it."""
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u = (x * cos + y * sin) / np.float32(self.length)
        v = (y * cos - x * sin) / np.float32(self.length)
        v = v - np.float32(self.bend) * u * u
        end = 1 - np.float32(self.notch) * np.exp(-((v / np.float32(0.4 * self.width)) ** 2))
        u = u / end
        half = self._half_width(u)
        mask = np.clip((half - np.abs(v)) * np.float32(self.length) / PIXEL + np.float32(0.5), 0, 1) * (u > 0) * (u < 1)
        if depth:
            fallen = blur(moved(mask, -0.025 * light.x, -0.025 * light.y), 0.03)
            layer.darken(np.float32(depth) * fallen * (1 - mask))
        t = np.clip(v / np.maximum(half, 1e-4), -1, 1)
        layer.paint(self._paint(u, t, cos, sin, light), mask)

    def _half_width(self, u: Field) -> Field:
        inside = np.clip(u, 1e-4, 1 - 1e-4)
        peak_at = self.root / (self.root + self.tip)
        peak = peak_at**self.root * (1 - peak_at) ** self.tip
        ruffled = 1 + np.float32(self.ruffle) * np.sin(np.float32(22) * inside + np.float32(self.phase))
        profile: Field = inside ** np.float32(self.root) * (1 - inside) ** np.float32(self.tip)
        half: Field = np.float32(self.width / peak) * profile * ruffled
        return half

    def _paint(self, u: Field, t: Field, cos: np.float32, sin: np.float32, light: Light) -> Picture:
        root, middle, end = self.colours
        paint = mix(mix(root, middle, step(0.05, 0.5, u)), end, step(0.45, 1.0, u))
        if self.edge is not None:
            paint = mix(paint, self.edge, step(0.55, 1.0, np.abs(t)) * step(0.15, 0.5, u))
        line = np.float32(0.5) + np.float32(0.5) * np.cos(np.float32(np.pi * self.veins) * t)
        paint = paint * (1 - np.float32(self.vein_depth) * line**3 * (1 - t * t) * step(1.05, 0.3, u))[..., None]
        crease = np.float32(1.2 * self.vein_depth) * t * np.exp(-((t / np.float32(0.25)) ** 2)) / np.float32(0.25)
        along = np.float32(self.arch) * step(0.25, 1.1, u)
        across = np.float32(self.curl) * t - crease
        shade = light.shade(along * cos - across * sin, along * sin + across * cos)
        painted: Picture = paint * (shade * (np.float32(0.72) + np.float32(0.28) * step(0, 0.4, u)))[..., None]
        return painted


def dome(layer: Layer, x: Field, y: Field, radius: float, paint: Colour, light: Light, height: float = 1.0) -> None:
    """Paint a round boss of `radius` at (0, 0) of the coordinates x, y, lit from the side and shading its foot."""
    distance = np.sqrt(x * x + y * y) / np.float32(radius)
    layer.darken(np.float32(0.5) * step(1.6, 0.8, distance))
    mask = np.clip((1 - distance) * np.float32(radius) / PIXEL + np.float32(0.5), 0, 1)
    steep = np.float32(height) * np.minimum(distance, 1) / np.maximum(distance * np.float32(radius), 1e-4)
    layer.paint(paint * light.shade(x * steep, y * steep)[..., None], mask)


def thread(layer: Layer, points: NDArray[np.float64], radii: NDArray[np.float64], paint: Colour, light: Light) -> None:
    """Paint a round thread through `points` (N x 2), as thick as `radii` (N) says: a stem or a stamen."""
    nearest = np.full((SIDE, SIDE), np.inf, np.float32)
    across = np.zeros((SIDE, SIDE), np.float32)
    for index in range(len(points) - 1):
        start, way = points[index], points[index + 1] - points[index]
        length = float(np.hypot(*way))
        share = np.clip(((X - start[0]) * way[0] + (Y - start[1]) * way[1]) / length**2, 0, 1)
        side = ((X - start[0]) * -way[1] + (Y - start[1]) * way[0]) / length
        away = np.hypot(X - start[0] - share * way[0], Y - start[1] - share * way[1]).astype(np.float32)
        radius = radii[index] + (radii[index + 1] - radii[index]) * share
        closer = away / radius < nearest
        nearest = np.where(closer, away / radius, nearest).astype(np.float32)
        normal = (-way[1] * light.x + way[0] * light.y) / length
        across = np.where(closer, np.clip(side / radius, -1, 1) * normal, across).astype(np.float32)
    thickness = np.float32(radii.mean()) / PIXEL
    mask = np.clip((1 - nearest) * thickness + np.float32(0.5), 0, 1)
    layer.paint(paint * (np.float32(0.85) + np.float32(0.4) * across)[..., None], mask)
