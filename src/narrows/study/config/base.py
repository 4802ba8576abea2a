"""What all parts of a study file have in common."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Entry(BaseModel):
    """A part of the file: unknown names are refused, so that a slip of the pen is not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_list(value: Any) -> Any:  # noqa: ANN401  (whatever is to be validated)
    """One value may stand where a list is expected."""
    return value if value is None or isinstance(value, list | tuple) else [value]


OneOrMore = BeforeValidator(_as_list)
"""For fields that expand: a single value is a list of one."""
