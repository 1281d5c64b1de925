"""What `smallgan train DATA` trains where the user leaves it open: settings by images, size and device. Torch-free.

What was measured for them is in docs/quality.md. A key that the user gave always holds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from smallgan.core.weights import SHIPPED_GAN
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import Recipe, drop_unread, given
from smallgan.tables.sweep import flat, put

SHORT_MINUTES = 8  # Up to this length a training of many images too is better from the weights that ship
FEW_IMAGES = 500  # Below this many originals the discriminator learns them by heart at once; above, in ten minutes
LARGEST_DCGAN = max(MODELS["dcgan"].sizes)  # Side in pixels


@dataclass(frozen=True)
class Situation:
    """What the choice depends on."""

    num_images: int
    """Originals that are trained on."""
    size: int
    """Side of the images in pixels."""
    device: str
    """cpu or cuda."""
    has_bf16: bool
    """Whether the device multiplies in bfloat16 faster than in float32."""
    may_mirror: bool
    """Whether mirrored images look like the set, by the same test as `smallgan inspect`."""
    minutes: float | None = None
    """Of training, where the user named a time."""


@dataclass(frozen=True)
class Rule:
    """Settings, and when and why they are chosen."""

    applies: Callable[[Situation], bool]
    settings: dict[str, Any]
    what: str
    not_beside: tuple[str, ...] = ()
    """Recipe keys beside which it does not apply."""

    def is_open(self, decided: Mapping[str, Any]) -> bool:
        """Tell whether what is `decided` leaves a place for it."""
        is_off = "method.diffaugment" in self.settings and decided.get("method.diffaugment") == "none"
        return not is_off and set(decided).isdisjoint(self.not_beside)

    def reason(self, final: Mapping[str, Any]) -> str:
        """Return what and why, with what is otherwise in the end, as the user or a later rule decided it."""
        others = [key for key, value in self.settings.items() if final[key] != value and key != "train.steps"]
        return self.what + (f" (but {', '.join(f'{key} {final[key]}' for key in others)})" if others else "")


_WIDTHS_SHIPPED = {"model.base_width": 48, "model.d_width": 32}  # Those of SHIPPED_GAN, so that it can be the start
_SMALL_STEPS = {"train.batch_size": 16, "train.steps": 10_000, "method.lr_g": 4e-4, "method.lr_d": 4e-4}
_WHY_SMALL_STEPS = "batches of 16 and learning rates of 0.0004, as many small steps teach more a minute on a CPU"
_DIFFAUGMENT = {"method.diffaugment": "color,translation", "method.diffaugment_fill": "reflect"}
_SHIPPED = {"train.init": SHIPPED_GAN} | _WIDTHS_SHIPPED
_WHAT_SHIPS = f"the weights of {SHIPPED_GAN}, a GAN pretrained on other photographs"
_FROM_SCRATCH = "--set train.init=null trains from scratch"
_BESIDE_SHIPPED = ("train.init", "method.pack")


def _is_short(now: Situation) -> bool:
    return now.device == "cpu" and now.minutes is not None and now.minutes <= SHORT_MINUTES


def _is_large(now: Situation) -> bool:
    return now.size > LARGEST_DCGAN


RULES = (
    Rule(
        lambda now: now.device == "cpu" and now.size < LARGEST_DCGAN,
        _SMALL_STEPS | _WIDTHS_SHIPPED,
        f"a DCGAN with 48 and 32 channels, {_WHY_SMALL_STEPS}",
    ),
    Rule(
        lambda now: now.device == "cpu" and now.size == LARGEST_DCGAN,
        _SMALL_STEPS | {"model.base_width": 24, "model.d_width": 16},
        f"a DCGAN with 24 and 16 channels, {_WHY_SMALL_STEPS}",
    ),
    Rule(
        lambda now: now.device != "cpu" and not _is_large(now),
        {"model.base_width": 64, "model.d_width": 64, "train.batch_size": 32, "train.steps": 30_000},
        "a DCGAN with 64 channels and batches of 32 (not yet measured on a GPU)",
    ),
    Rule(
        _is_large,
        {"model.name": "fastgan", "train.steps": 50_000},
        f"FastGAN, as the DCGAN makes at most {LARGEST_DCGAN} px",
    ),
    Rule(
        lambda now: now.device == "cpu" and _is_large(now),
        {"model.name": "fastgan", "model.base_width": 4, "train.batch_size": 8, "train.steps": 10_000},
        "half its channels and batches of 8, as a step takes seconds on a CPU (its images were not benchmarked)",
    ),
    Rule(lambda now: now.has_bf16, {"train.precision": "bf16"}, "bf16, which is faster here"),
    Rule(
        lambda now: now.may_mirror,
        {"method.mirror": True},
        "mirrored reals, as nothing tells mirror images from the set",
    ),
    Rule(
        lambda now: not now.may_mirror,
        {"method.mirror": False},
        "no mirroring, as mirror images do not look like this set",
    ),
    Rule(
        lambda now: now.num_images < FEW_IMAGES,
        _DIFFAUGMENT,
        f"DiffAugment, as there are fewer than {FEW_IMAGES} images",
    ),
    Rule(
        lambda now: now.num_images < FEW_IMAGES and now.size == 64,
        _SHIPPED,
        f"{_WHAT_SHIPS}, as there are fewer than {FEW_IMAGES} images; {_FROM_SCRATCH}",
        _BESIDE_SHIPPED,
    ),
    Rule(
        lambda now: now.num_images >= FEW_IMAGES and now.size == 64 and _is_short(now),
        _SHIPPED,
        f"{_WHAT_SHIPS}, as the training is short, at most {SHORT_MINUTES} minutes on a CPU; {_FROM_SCRATCH}",
        _BESIDE_SHIPPED,
    ),
    Rule(
        lambda now: now.num_images >= FEW_IMAGES and not _is_large(now),
        _DIFFAUGMENT | {"method.ada_target": 0.6},
        "DiffAugment of more images the more the discriminator overfits (ADA)",
        ("method.diffaugment_probability",),
    ),
    Rule(lambda _now: True, {"method.lr_decay_from": 0.5}, "learning rates that fall over the second half"),
    Rule(lambda _now: True, {"train.snapshot_every": 1000}, ""),
)
"""Later rules win; all that apply are told to the user."""


def choose(now: Situation, decided: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """Return the settings by dotted recipe key, and why, a phrase each but for what is `decided` already."""
    settings, decided = dict[str, Any](), decided or {}
    rules = [rule for rule in RULES if rule.applies(now) and rule.is_open(decided)]
    for rule in rules:
        settings |= rule.settings
    final = settings | {key: decided[key] for key in settings if key in decided}
    return settings, [rule.reason(final) for rule in rules if rule.what and not rule.settings.keys() <= set(decided)]


def model_of_size(size: Any) -> dict[str, str]:
    """Return the model by its recipe key where `size`, as the user gave it, is one that FastGAN makes and DCGAN not.

    A recipe names a model that makes its images: this one is needed before the images are read.
    """
    is_large = size in MODELS["fastgan"].sizes and size not in MODELS["dcgan"].sizes
    return {"model.name": "fastgan"} if is_large else {}


def with_choice(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """Return the recipe with the settings for keys that it was not given."""
    values = given(recipe)
    known = flat(values)
    for path, value in settings.items():
        if path not in known:
            put(values, path, value)
    drop_unread(values, known)
    return Recipe.model_validate(values)
