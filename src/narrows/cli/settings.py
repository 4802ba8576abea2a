"""Flags and YAML files over defaults: how a command's configuration comes together (flags win)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from narrows.errors import ConfigError

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
        values = _merged(values, _read_yaml(file))
    for name, value in flags.items():
        if value is not None and value != []:
            *parents, last = name.split(".")
            nested: dict[str, Any] = {last: value}
            for parent in reversed(parents):
                nested = {parent: nested}
            values = _merged(values, nested)
    try:
        return type(base).model_validate(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))} is {e['input']!r}: {e['msg']}" for e in error.errors()]
        where = "" if file is None else f" (flags, or {file})"
        raise ConfigError(f"{'; '.join(faults)}{where}.") from error


def _merged(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, the second over the first."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, dict) and isinstance(value, Mapping)
        result[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return result


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML ({' '.join(str(error).split())}).") from error
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} holds {type(values).__name__} where fields with values were expected.")
    return values
