"""The options of `smallgan downstream` as the grid of a recipe. Torch-free."""

from collections.abc import Sequence
from typing import Any

from augment.errors import UsageError
from augment.policy.policy_file import load_policy
from augment.policy.transforms import NONE

DEFAULT = (NONE, "hflip")


def grid_of(
    policies: Sequence[str], on_the_fly: Sequence[str], synthetic: Sequence[str], *, synthetic_only: bool
) -> list[dict[str, Any]]:
    """Return the variants that options ask for: `none` first, which is added where it is not named.

    Args:
        policies: --policy; none of any sort means none and hflip.
        on_the_fly: --on-the-fly.
        synthetic: --synthetic, NAME=FOLDER each.
        synthetic_only: --synthetic-only.

    Raises UsageError for a policy that is none, or no NAME=FOLDER.
    """
    asked = list(policies) if policies or on_the_fly or synthetic else list(DEFAULT)
    grid: list[dict[str, Any]] = []
    for text in dict.fromkeys([NONE, *asked]):
        grid.append({"name": text, "augment.policy": text})
        if synthetic_only and load_policy(text).needs_generator:
            grid.append({"name": f"{text} without originals", "augment.policy": text, "downstream.originals": False})
    grid += [{"name": f"{text} on the fly", "downstream.on_the_fly": text} for text in dict.fromkeys(on_the_fly)]
    for text in synthetic:
        name, sign, folder = text.partition("=")
        if not sign or not name or not folder:
            raise UsageError(f"--synthetic {text!r}: expected NAME=FOLDER, such as lora=made/lora")
        grid.append({"name": name, "downstream.synthetic": folder})
        if synthetic_only:
            own = {"downstream.synthetic": folder, "downstream.originals": False}
            grid.append({"name": f"{name} without originals", **own})
    return grid
