"""The table of what fine-tuning may freeze."""

from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError, core_schema

from augment.core.table import Table

NONE = "none"


@dataclass(frozen=True)
class FreezeRow:
    """A set of weights that fine-tuning leaves as they are, bit for bit."""

    name: str
    title: str  # What is frozen, in words
    choose: str | None
    """(generator, discriminator, number of layers or None) -> weights that are frozen; None: no weight is."""
    counts_layers: bool = False  # Whether `method.freeze_layers` says how many layers


_IN = "smallgan.training.freezing"
FREEZES: Table[FreezeRow] = Table(
    "choice of frozen weights",
    [
        FreezeRow(NONE, "nothing", None),
        FreezeRow(
            "d-lower",
            "the discriminator's layers nearest to the image (FreezeD, Mo et al. 2020)",
            f"{_IN}:lower_of_discriminator",
            counts_layers=True,
        ),
        FreezeRow(
            "g-lower", "the generator's layers nearest to the latent", f"{_IN}:lower_of_generator", counts_layers=True
        ),
        FreezeRow(
            "scale-shift",
            "all of the generator but the scales and shifts of its normalisations, and its class vectors",
            f"{_IN}:all_but_scale_and_shift",
        ),
    ],
)


class FreezeName:
    """The type of a key that names a row."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.validate, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, _schema: Any, handler: Any) -> Any:
        return handler(core_schema.literal_schema(list(FREEZES.names)))

    @staticmethod
    def validate(name: str) -> str:
        """Return the name of a row. Raises PydanticCustomError."""
        if name not in FREEZES:
            raise PydanticCustomError("unknown_row", "{message}", {"message": FREEZES.unknown(name)})
        return name
