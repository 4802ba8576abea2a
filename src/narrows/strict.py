"""JSON and YAML from files that a stranger may have written: read within limits, refused in one line."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from narrows.errors import ConfigError, DataError, NarrowsError

LARGEST_CONFIG = 2**18
"""Bytes of a YAML file: a configuration has a hundred times less."""

LARGEST_LIST = 2**19
"""Bytes of a YAML file with a list: the field's files have tens of KiB, and PyYAML reads 40 KiB a second of
the slowest text."""

LARGEST_WRITTEN_OUT = 2**22
"""Letters that a YAML list may have with its aliases written out."""

LARGEST_OBJECT = 2**28
"""Bytes of a JSON file with one object (a summary, an adapter's facts)."""

DEEPEST = 100
"""Levels of a JSON file with one object: what reads them goes down by calling itself."""

_SHOWN = 300


def one_line(error: object) -> str:
    """What an error says, on one line, without control characters, and cut where it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = visible(text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def visible(text: str) -> str:
    """A text without what it could do to a terminal; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def merged(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, field by field down to the leaves."""
    found = dict(under)
    for name, value in over.items():
        below = found.get(name)
        both = isinstance(below, dict) and isinstance(value, Mapping)
        found[name] = merged(below, value) if both else value  # type: ignore[arg-type]
    return found


def parse_json(text: str) -> Any:  # noqa: ANN401  (JSON may hold anything)
    """A JSON value; numbers are finite.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or holds NaN, infinity or a number beyond all bounds.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_object(path: Path, error: type[NarrowsError], remedy: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: the file.
        error: what to raise.
        remedy: what the user can do, for the message.

    Raises:
        NarrowsError: ``error``: the file is missing, too large, cannot be read, or holds no JSON object.
    """
    try:
        found = parse_json(_bounded(path, LARGEST_OBJECT))
        if not isinstance(found, dict):
            raise ValueError(f"a {type(found).__name__} where an object was expected")
        if _deeper_than(found, DEEPEST):
            raise ValueError("it is nested too deeply")
    except FileNotFoundError as missing:
        raise error(f"{path} does not exist. {remedy}") from missing
    except OSError as unreadable:
        raise error(f"{path} cannot be read ({unreadable.strerror or unreadable}). {remedy}") from unreadable
    except ValueError as damaged:  # UnicodeDecodeError is one
        raise error(f"{path} is not readable JSON ({one_line(damaged)}). {remedy}") from damaged
    return found


def read_yaml(path: Path) -> Mapping[str, Any]:
    """The fields in a YAML file; an empty file has none.

    Plain values only: tags that make Python objects are refused, and so are aliases (``*name``), by which a
    file of a kilobyte can stand for more values than fit in memory, and names that stand twice in a mapping.

    Raises:
        ConfigError: the file is missing, too large, cannot be read, or is no YAML mapping; names it.
    """
    values = _yaml(path, LARGEST_CONFIG, _PlainLoader, ConfigError)
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} holds a {type(values).__name__} where fields with values were expected.")
    if strangers := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{path}: {one_line(repr(strangers[0]))} is no name of a field.")
    return values


def read_yaml_list(path: Path) -> list[Any]:
    """The items in a YAML file that holds a list, such as the field's files of questions.

    Plain values only, as in :func:`read_yaml`. Aliases are followed here, since those files write a prompt
    once and refer to it in every item, as long as the file would have no more than
    :data:`LARGEST_WRITTEN_OUT` letters with every alias replaced by what it stands for.

    Raises:
        DataError: the file is missing, empty, too large, cannot be read, or is no YAML list; names it.
    """
    values = _yaml(path, LARGEST_LIST, _BoundedLoader, DataError)
    if not isinstance(values, list):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise DataError(f"{path} holds {found} where a list was expected.")
    if not values:
        raise DataError(f"{path} is empty: its list has no items.")
    return values


def _yaml(path: Path, largest: int, loader: type[yaml.SafeLoader], error: type[NarrowsError]) -> object:
    """The value in a YAML file."""
    try:
        return yaml.load(_bounded(path, largest), Loader=loader)  # noqa: S506  (a safe loader)
    except FileNotFoundError as missing:
        raise error(f"{path} does not exist.") from missing
    except OSError as unreadable:
        raise error(f"{path} cannot be read ({unreadable.strerror or unreadable}).") from unreadable
    except RecursionError as deep:
        raise error(f"{path} is nested too deeply.") from deep
    except (yaml.YAMLError, ValueError) as damaged:  # ValueError: no such day, a number of too many digits
        raise error(f"{path} is not YAML ({one_line(damaged)}).") from damaged


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which refuses a name that stands twice in a mapping."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:  # as PyYAML's stubs say
        """The next mapping, if its names differ; PyYAML would keep the last of two without a word."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"{key.value!r} stands twice in one mapping", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node


class _PlainLoader(_StrictLoader):
    """A strict loader without aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node, unless it is an alias."""
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None,
                None,
                f"an alias, *{event.anchor}: write the value out, since aliases are not read here",
                event.start_mark,
            )
        return super().compose_node(parent, index)


class _BoundedLoader(_StrictLoader):
    """A strict loader with aliases that may not stand for more than :data:`LARGEST_WRITTEN_OUT`."""

    def compose_document(self) -> yaml.Node | None:
        """The whole document, if it is small enough with its aliases written out."""
        node: yaml.Node | None = super().compose_document()
        if node is not None and _written_out(node, {}) > LARGEST_WRITTEN_OUT:
            raise yaml.composer.ComposerError(
                None,
                None,
                f"with its aliases written out it is larger than {LARGEST_WRITTEN_OUT // 2**10:,} KiB",
                node.start_mark,
            )
        return node


def _written_out(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Letters of a node with every alias in it replaced by what it stands for.

    Args:
        node: the node.
        known: the sizes of the nodes that were met, by identity; None for those not finished.
    """
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise yaml.composer.ComposerError(None, None, "an alias that stands in itself", node.start_mark)
        return size
    known[id(node)] = None
    if isinstance(node, yaml.MappingNode):
        size = 1 + sum(_written_out(one, known) for pair in node.value for one in pair)
    elif isinstance(node, yaml.SequenceNode):
        size = 1 + sum(_written_out(one, known) for one in node.value)
    else:
        size = 1 + len(node.value)
    known[id(node)] = size
    return size


def _bounded(path: Path, largest: int) -> str:
    """A file's text, unless it is larger than it may be."""
    with path.open("rb") as handle:
        data = handle.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it is larger than {largest // 2**10:,} KiB")
    return data.decode("utf-8-sig")


def _deeper_than(value: object, levels: int) -> bool:
    """Whether a JSON value has more than so many levels; found out level by level, not by recursion."""
    level = [value]
    for _ in range(levels):
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is beyond all numbers")
    return number
