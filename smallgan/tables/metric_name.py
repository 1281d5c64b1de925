"""The name of a metric in a recipe, checked by the table of metrics. Torch-free."""

from typing import Any

from pydantic_core import PydanticCustomError, core_schema

from smallgan.tables.metrics import METRICS


class MetricName:
    """Marks a text as the name of a metric that needs no images beside those of a run."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.validate, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, _schema: Any, handler: Any) -> Any:
        return handler(core_schema.literal_schema([row.name for row in METRICS if not row.asks_for]))

    @staticmethod
    def validate(name: str) -> str:
        """Return the name. Raises pydantic's error for one that recipes may not have."""
        if name not in METRICS:
            raise PydanticCustomError("unknown_row", "{message}", {"message": METRICS.unknown(name)})
        if needed := METRICS[name].asks_for:
            raise PydanticCustomError("unknown_row", "{message}", {"message": f"{name} needs {needed}"})
        return name
