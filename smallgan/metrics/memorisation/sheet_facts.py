"""What the nearest-images sheet of a run says in numbers: the JSON file beside it, for its writer and for reports.

Torch- and numpy-free.
"""

from __future__ import annotations

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

PICTURE, FACTS = "worst.png", "worst.json"  # The sheet, and the file beside it


class Neighbour(BaseModel, frozen=True):
    """A fake and the training image nearest to it."""

    sample: int
    original: str
    """Name of the nearest original."""
    distance: FiniteFloat
    """To that original, in the features' units."""
    added: str | None
    """Name of the added image that is nearer than the original, None where none is."""
    added_distance: FiniteFloat | None

    @property
    def least(self) -> float:
        """Distance to the nearest training image."""
        return self.distance if self.added_distance is None else self.added_distance


class SheetFacts(BaseModel, frozen=True):
    """The sheet of a run in numbers."""

    step: int
    seed: int
    features: str
    """The feature network."""
    weights_sha256: str
    num_fake: int
    """Samples that were searched."""
    num_originals: int
    num_added: int
    copy_distance: FiniteFloat | None
    """A fake nearer than this to an original counts as a copy; None with too few originals to tell."""
    rows: tuple[Neighbour, ...] = Field(alias="nearest", min_length=1)
    """The nearest first."""

    @property
    def num_copies(self) -> int | None:
        """How many of the rows count as copies."""
        limit = self.copy_distance
        return None if limit is None else sum(row.distance < limit for row in self.rows)

    @property
    def num_of_added(self) -> int:
        """How many of the rows are nearer to an added image."""
        return sum(row.added is not None for row in self.rows)

    @classmethod
    def from_json(cls, text: str) -> SheetFacts:
        """Return the facts in the text of such a file. Raises ValueError that names the first mistake."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}") from error
