"""Holding rows out: a share of them, or all rows of some topics."""

import random
from collections.abc import Sequence

from narrows.chat.conversation import Conversation
from narrows.errors import ConfigError, DataError


def hold_out(
    rows: Sequence[Conversation], share: float, *, by: str | None = None, seed: int = 0
) -> tuple[list[Conversation], list[Conversation]]:
    """Split rows into those to train on and those held out; both keep the order of the file.

    Args:
        rows: the rows.
        share: of the rows to hold out (paper §2: a tenth), or of the topics.
        by: a tag; then whole topics are held out, so that no training row touches one.
        seed: draws which.

    Raises:
        ConfigError: the share is not between 0 and 1.
        DataError: one of the two parts would be empty, or a row has no such tag.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share is {share:g}; it must lie between 0 and 1.")
    groups = [str(place) if by is None else _topic(row, by) for place, row in enumerate(rows)]
    names = sorted(set(groups))
    count = round(share * len(names))
    if not 0 < count < len(names):
        unit = "rows" if by is None else f"values of the tag {by!r}"
        raise DataError(f"a share of {share:g} of {len(names)} {unit} leaves one part empty.")
    held = set(random.Random(seed).sample(names, count))
    parts: tuple[list[Conversation], list[Conversation]] = ([], [])
    for row, group in zip(rows, groups, strict=True):
        parts[group in held].append(row)
    return parts


def _topic(row: Conversation, tag: str) -> str:
    if tag not in row.tags:
        known = ", ".join(sorted(row.tags)) or "none"
        raise DataError(f"{row.source or 'a row'} has no tag {tag!r}; its tags: {known}.")
    return row.tags[tag]
