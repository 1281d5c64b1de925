"""What all sections of a recipe share, and the section whose keys depend on the row that its `name` chooses."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from augment.core.table import Table

STEPS: dict[str, Any] = {"counted_in_steps": True}
"""Marks a key that grows with the number of steps, when a study stretches a run."""
READ_WITH = "read_with"
"""Marks a key that is read only where the named key of its section is neither None nor "none"; of "key=value", only
where that key has the value, or where the section has no such key."""
OF_IMAGES: dict[str, Any] = {"of_images": True}  # Marks a key that is read only where the data are images, not points
IMAGES: dict[str, Any] = {"is_source": True}  # Marks a key that names further images, as data.source does
REPLACED_BY = "replaced_by"  # Marks a key that is not read where the named key of its section is


class Section(BaseModel):
    """No unknown key, no change after the check, and the sentence below a key is its description."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Options(Section):
    """The options of one row of a table. A row's own class gives `name` the row's name as its only value."""

    name: str


class Choice:
    """The type of a section that is {name: ROW, ...options of that row}; the row's name alone stands for its defaults.

    The rows are looked up when a recipe is checked, so a row that was registered at run time counts.
    """

    def __init__(self, table: Table[Any], default: str | None = None) -> None:
        """Take the rows of `table`; keys without a name are those of the row `default`."""
        self.table, self.default = table, default

    def validate(self, value: Any) -> Options | None:
        """Return the checked options; None stays None. Raises ValidationError and PydanticCustomError."""
        if value is None or isinstance(value, Options):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            raise PydanticCustomError(
                "section", "expected the name of a {what}, or its keys", {"what": self.table.what}
            )
        name = str(value.get("name", self.default))
        if name not in self.table:
            error = PydanticCustomError("unknown_row", "{message}", {"message": self.table.unknown(name)})
            raise ValidationError.from_exception_data(
                self.table.what, [InitErrorDetails(type=error, loc=("name",), input=name)]
            )
        options: type[Options] = self.table[name].options
        return options.model_validate(value)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(_dumped, info_arg=True)
        )

    def __get_pydantic_json_schema__(self, _schema: Any, handler: Any) -> Any:
        rows = {row.name: row.options.__pydantic_core_schema__ for row in self.table}
        return handler(core_schema.tagged_union_schema(rows, discriminator="name"))


def _dumped(value: Options | None, info: Any) -> dict[str, Any] | None:
    return None if value is None else value.model_dump(mode=info.mode, exclude_unset=info.exclude_unset)


def marked(options: type[BaseModel], mark: str) -> dict[str, Any]:
    """Return the keys of a section that carry a mark such as counted_in_steps in their field, with its value."""
    extras = {name: field.json_schema_extra for name, field in options.model_fields.items()}
    return {name: extra[mark] for name, extra in extras.items() if isinstance(extra, dict) and mark in extra}
