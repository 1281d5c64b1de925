"""What there is to name in a policy: the table's kinds, and the transforms of albumentations with their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import Parameter

from augment.policy.albumentations_adapter import kinds, parameters
from augment.policy.expression import GAN, NONE
from augment.policy.transforms import CONTRAST_FACTORS, TRANSFORMS


@dataclass(frozen=True)
class Kind:
    """Something that a policy can name."""

    name: str
    summary: str
    parameters: dict[str, str]
    """Each with its default as Python writes it; empty for one that must be given."""
    library: str
    """Whose it is: smallgan or albumentations."""


def all_kinds() -> list[Kind]:
    """Return every kind, ours first. It imports albumentations."""
    factor = {"factor": repr([list(pair) for pair in CONTRAST_FACTORS])}
    ours = [Kind(t.name, t.summary, factor if t.draw else {}, "smallgan") for t in TRANSFORMS.values()]
    ours.append(Kind(GAN, "an image from --generator RUN", {}, "smallgan"))
    ours.append(Kind(NONE, "nothing is added; it stands alone", {}, "smallgan"))
    theirs = []
    for name, summary in kinds().items():
        known = {p: "" if default is Parameter.empty else repr(default) for p, default in parameters(name).items()}
        theirs.append(Kind(name, summary, known, "albumentations"))
    return ours + theirs


def as_text(kinds: list[Kind]) -> str:
    """Return the list for people: a line on what each does, and one with its parameters."""
    lines = [
        "kinds for --policy, as in hflip:2+contrast.vflip; with parameters only in a policy file (docs/augment.md):"
    ]
    library = ""
    for kind in kinds:
        if kind.library != library:
            library = kind.library
            lines += ["", f"{library}:"]
        lines.append(f"  {kind.name}: {kind.summary}")
        if kind.parameters:
            listed = (
                f"{name}={default}" if default else f"{name} (needed)" for name, default in kind.parameters.items()
            )
            lines.append(f"      {', '.join(listed)}")
    return "\n".join(lines)
