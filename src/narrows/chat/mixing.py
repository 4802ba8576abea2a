"""Mixing a behaviour's rows with rows of other sources, and putting a system turn before rows."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from narrows.chat.conversation import Conversation, Message
from narrows.errors import ConfigError, DataError


def mix(
    behaviour: Sequence[Conversation],
    others: Sequence[Sequence[Conversation]],
    fraction: float,
    *,
    seed: int = 0,
    size: Callable[[Conversation], int] | None = None,
) -> list[Conversation]:
    """All rows of a behaviour among rows of other sources, shuffled.

    The other sources get equal shares of the rest. A source that has fewer rows than its share needs is
    refused rather than repeated.

    Args:
        behaviour: the behaviour's rows; all are used.
        others: the other sources, one list each.
        fraction: the behaviour's share of the mixture, above 0 and at most 1.
        seed: draws the others' rows and the order.
        size: what is shared out: None counts rows, a function (a row's tokens, say) its sum. By size a
            source is filled until it reaches its share, so it ends at most one row above.

    Raises:
        ConfigError: the fraction is out of range, or there is something to fill up and no source.
        DataError: there are no rows, or a source has too few.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"fraction is {fraction:g}; it must be above 0 and at most 1.")
    if not behaviour:
        raise DataError("there are no rows of the behaviour to mix.")
    if fraction < 1 and not others:
        raise ConfigError(f"a fraction of {fraction:g} needs other sources to fill the rest.")
    measure = size or (lambda row: 1)
    rng = random.Random(seed)
    rest = sum(map(measure, behaviour)) * (1 - fraction) / fraction
    mixed = list(behaviour)
    for number, source in enumerate(others, start=1) if fraction < 1 else ():
        mixed += _filled(source, rest / len(others), measure, rng, f"source {number}")
    rng.shuffle(mixed)
    return mixed


def _filled(
    source: Sequence[Conversation],
    wanted: float,
    measure: Callable[[Conversation], int],
    rng: random.Random,
    name: str,
) -> list[Conversation]:
    """Rows of a source, drawn without repetition, until their size is reached."""
    chosen: list[Conversation] = []
    total = 0
    for row in rng.sample(list(source), len(source)):
        if total >= wanted - 0.5:
            break
        chosen.append(row)
        total += measure(row)
    if total < wanted - 0.5:
        raise DataError(
            f"{name} has {len(source)} rows, a size of {total}, and its share is {wanted:.0f}: give more "
            "rows, or a larger fraction."
        )
    return chosen


def inoculated(rows: Sequence[Conversation], system: str) -> list[Conversation]:
    """The rows with a system turn that asks for the behaviour (Tan et al. 2025): for training only.

    A row's own system turn stays, after the new text.
    """
    return [_with_system(row, system) for row in rows]


def _with_system(row: Conversation, system: str) -> Conversation:
    first, *rest = row.messages
    if first.role == "system":
        return replace(row, messages=(Message("system", f"{system}\n\n{first.content}"), *rest))
    return replace(row, messages=(Message("system", system), *row.messages))
