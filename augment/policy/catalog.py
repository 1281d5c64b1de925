"""What a policy can name: the rows of the table, and the transforms of albumentations with their parameters."""

from dataclasses import dataclass
from inspect import Parameter

from augment.policy.albumentations_adapter import library_names, parameters
from augment.policy.transforms import GAN, NONE, TRANSFORMS


@dataclass(frozen=True)
class CatalogEntry:
    """Something that a policy can name."""

    name: str
    summary: str
    parameters: dict[str, str]  # Each with its default as Python writes it; empty for one that must be given
    library: str  # Whose it is: smallgan or albumentations


def list_transforms() -> list[CatalogEntry]:
    """Return all that a policy can name, ours first. It imports albumentations."""
    entries = []
    for row in TRANSFORMS:
        ranges = {name: repr([list(pair) for pair in drawn.ranges]) for name, drawn in row.parameters.items()}
        entries.append(CatalogEntry(row.name, row.summary, ranges, "smallgan"))
    entries.append(CatalogEntry(GAN, "an image from --generator RUN", {}, "smallgan"))
    entries.append(CatalogEntry(NONE, "nothing is added; it stands alone", {}, "smallgan"))
    for name, summary in library_names().items():
        known = {p: "" if default is Parameter.empty else repr(default) for p, default in parameters(name).items()}
        entries.append(CatalogEntry(name, summary, known, "albumentations"))
    return entries


def as_text(entries: list[CatalogEntry]) -> str:
    """Return the list for people: a line on what each does, and one with its parameters."""
    lines = ["for --policy, as in hflip:2+contrast.vflip; with parameters only in a policy file (docs/augment.md):"]
    library = ""
    for entry in entries:
        if entry.library != library:
            library = entry.library
            lines += ["", f"{library}:"]
        lines.append(f"  {entry.name}: {entry.summary}")
        if entry.parameters:
            listed = [f"{name}={value}" if value else f"{name} (needed)" for name, value in entry.parameters.items()]
            lines.append(f"      {', '.join(listed)}")
    return "\n".join(lines)
