"""Fields of a study file that expand: a list of values, or one of them."""

from typing import Any

from pydantic import BeforeValidator


def _as_list(value: Any) -> Any:  # noqa: ANN401  (whatever is to be validated)
    """One value may stand where a list is expected."""
    return value if value is None or isinstance(value, list | tuple) else [value]


OneOrMore = BeforeValidator(_as_list)
"""For fields that expand: a single value is a list of one."""
