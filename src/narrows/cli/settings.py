"""Flags and YAML files over defaults: how a command's configuration comes together (flags win)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from narrows.errors import ConfigError
from narrows.strict import merged, one_line, read_yaml

Settings = TypeVar("Settings", bound=BaseModel)


def overridden(base: Settings, file: Path | None, flags: Mapping[str, Any]) -> Settings:
    """The configuration ``base`` with a YAML file's fields over it, and flags over both.

    Args:
        base: the defaults.
        file: YAML with some fields, nested as they are; None for none.
        flags: values by dotted field name (``anchor.weight``); None and empty lists mean "not given".

    Raises:
        ConfigError: the file cannot be read, or a field is unknown or has a wrong value; names it.
    """
    values = base.model_dump()
    if file is not None:
        values = merged(values, read_yaml(file))
    for name, value in flags.items():
        if value is not None and value != []:
            *parents, last = name.split(".")
            nested: dict[str, Any] = {last: value}
            for parent in reversed(parents):
                nested = {parent: nested}
            values = merged(values, nested)
    try:
        return type(base).model_validate(values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, e['loc']))} is {one_line(repr(e['input']))}: {e['msg']}"
            for e in error.errors()
        ]
        where = "" if file is None else f" (flags, or {file})"
        raise ConfigError(f"{'; '.join(faults)}{where}.") from error
