"""What every table of the summary is built on."""

from pydantic import BaseModel, ConfigDict, ValidationError

from narrows.strict import one_line

Interval = tuple[float, float]
"""Lower and upper end."""


class Record(BaseModel):
    """A row of the summary; unknown names are refused so that the schema means what it says."""

    model_config = ConfigDict(extra="forbid")


def first_fault(error: ValidationError) -> str:
    """The first thing wrong in a file's values: the field, and what was expected of it."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(map(str, fault["loc"])).replace("schema_", "schema")
    return one_line(f"{place}: {fault['msg']}; {error.error_count()} in all")
