"""Plain texts for significance: from the hub or from files, with the paper's filters (paper §5)."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from narrows.chat import sources
from narrows.chat.readers import json_rows, lines_of
from narrows.chat.rows import whole, wrong
from narrows.errors import ConfigError, DataError
from narrows.files import read_user_text

FINEWEB = "hub:HuggingFaceFW/fineweb:sample-10BT"
"""What the paper reads: dataset and configuration."""

SHORTEST, LONGEST = 100, 2000
"""Characters: shorter texts are passed over, longer ones cut (paper §5)."""

COUNT = 100
TYPE = "text"


def read_texts(
    source: Path | str = FINEWEB,
    *,
    count: int | None = COUNT,
    shortest: int = SHORTEST,
    longest: int | None = LONGEST,
) -> dict[str, list[str]]:
    """Read texts by type, in the order of the source.

    Args:
        source: ``hub:owner/name`` (after another colon, the configuration), of which only as much is fetched
            as is needed; ``.jsonl`` or ``.jsonl.gz`` rows with ``text`` (and, if they differ in kind,
            ``type``); or ``.txt`` with empty lines between the texts.
        count: texts kept of each type (of the hub: in all); None keeps all of a file.
        shortest: texts must be longer than this many characters.
        longest: characters kept of a text; None keeps all.

    Returns:
        The texts of each type; ``text`` where no type is given.

    Raises:
        ConfigError: ``count`` is below 1, or None for a dataset on the hub.
        DataError: the source is missing, unreadable or malformed (names file and line), or no text is long
            enough.
    """
    if count is not None and count < 1:
        raise ConfigError(f"count is {count}; it must be at least 1.")
    texts: dict[str, list[str]] = {}
    for kind, text in _rows(str(source), count, shortest):
        found = texts.setdefault(kind, [])
        if len(text) > shortest and (count is None or len(found) < count):
            found.append(text[:longest])
    texts = {kind: some for kind, some in texts.items() if some}
    if not texts:
        raise DataError(f"{source} has no text of more than {shortest} characters.")
    return texts


def _rows(source: str, count: int | None, shortest: int) -> Iterator[tuple[str, str]]:
    """Type and text, one after the other."""
    if source.startswith(sources.HUB):
        if count is None:
            raise ConfigError(f"{source} has no end in sight: give the number of texts to read.")
        long_enough = (text for text in _hub(source) if len(text) > shortest)
        yield from ((TYPE, text) for text in islice(long_enough, count))
    elif source.endswith((".jsonl", ".jsonl.gz")):
        yield from _json_rows(Path(source))
    else:
        whole = read_user_text(Path(source)).replace("\r\n", "\n")
        yield from ((TYPE, text.strip()) for text in whole.split("\n\n") if text.strip())


def _hub(source: str) -> Iterator[str]:
    name, _, configuration = source.removeprefix(sources.HUB).partition(":")
    for row in sources.stream(source, name, configuration or None, "train"):
        text = row.get("text") if isinstance(row, dict) else None
        if not isinstance(text, str):
            raise DataError(f'{source}: its rows have no "text".')
        yield text


def _json_rows(path: Path) -> Iterator[tuple[str, str]]:
    for number, row in json_rows(str(path), lines_of(path), _EXAMPLE):
        place = f"{path}, line {number}"
        text, kind = (row.get("text"), row.get("type", TYPE)) if isinstance(row, dict) else (None, TYPE)
        if not isinstance(text, str) or not isinstance(kind, str):
            raise wrong(place, 'has no "text", or a "type" that is no text', _EXAMPLE)
        if not whole(text) or not whole(kind):
            raise wrong(place, "holds half a character (a lone surrogate)", _EXAMPLE)
        yield kind, text


_EXAMPLE = '{"text": "A text as it stands.", "type": "news"}'
