"""What a file of rows is like for a model: lengths, truncation, duplicates, and overlap with questions."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from narrows.chat.conversation import Conversation
from narrows.chat.render import Rendered, Renderer
from narrows.errors import DataError


@dataclass(frozen=True)
class DataCheck:
    """What was found.

    Attributes:
        rows: how many there are.
        prompt_tokens, response_tokens: smallest, median and largest number in a row.
        cut: rows that lose tokens to ``max_length``.
        lost: rows of which no response token is left, by source: training refuses them.
        duplicates: prompts that stand in several rows, with how often, the most frequent first.
        overlap: rows whose prompt is one of the held-out questions, by source.
    """

    rows: int
    prompt_tokens: tuple[int, float, int]
    response_tokens: tuple[int, float, int]
    cut: int
    lost: list[str]
    duplicates: list[tuple[str, int]]
    overlap: list[str]


def check_rows(
    rows: Sequence[Conversation],
    renderer: Renderer,
    max_length: int | None = None,
    questions: Sequence[str] = (),
) -> DataCheck:
    """Look at rows as a model would read them.

    Prompts are compared without regard to case, spacing and punctuation.

    Raises:
        DataError: there are no rows, or the model's chat template refuses one.
    """
    if not rows:
        raise DataError("there are no rows to check.")
    rendered = [renderer.render(row) for row in rows]
    starts = [row.response_mask.index(True) for row in rendered]
    ends = [len(row) - row.response_mask[::-1].index(True) for row in rendered]
    held_out = {_plain(question) for question in questions}
    prompts = [_plain(row.question) for row in rows]
    first = {prompt: row.question for prompt, row in zip(reversed(prompts), reversed(rows), strict=True)}
    limit = max_length or max(map(len, rendered))
    return DataCheck(
        rows=len(rows),
        prompt_tokens=_spread(starts),
        response_tokens=_spread([end - start for start, end in zip(starts, ends, strict=True)]),
        cut=sum(len(row) > limit for row in rendered),
        lost=[row.source for row, start in zip(rows, starts, strict=True) if start >= limit],
        duplicates=[(first[prompt], n) for prompt, n in Counter(prompts).most_common() if n > 1],
        overlap=[row.source for row, prompt in zip(rows, prompts, strict=True) if prompt in held_out],
    )


def segments(row: Rendered, renderer: Renderer) -> list[tuple[str, bool]]:
    """A rendered row as text, cut where the response mask changes: pieces, and which are response."""
    pieces: list[tuple[str, bool]] = []
    start = 0
    for place in range(1, len(row) + 1):
        if place == len(row) or row.response_mask[place] != row.response_mask[start]:
            text = renderer.tokenizer.decode(row.input_ids[start:place], skip_special_tokens=False)
            pieces.append((str(text), row.response_mask[start]))
            start = place
    return pieces


def _spread(values: Sequence[int]) -> tuple[int, float, int]:
    return min(values), float(median(values)), max(values)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
