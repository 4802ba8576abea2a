"""How a tokenizer writes the whole numbers 0-100, as a tree of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from narrows.evaluation.llm.scoring import number_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WHOLE = range(101)
"""The numbers that are scores (paper §4)."""

Path = tuple[int, ...]
"""Tokens, one after the other, from the beginning of a reply."""

_NEW_LINE = "\n"


@dataclass(frozen=True)
class NumberTree:
    """The tokens of the whole numbers, as paths from the beginning of a reply.

    Attributes:
        spellings: which number each path spells. A path may begin another: "8" begins "85" where a tokenizer
            writes digit by digit.
        children: the tokens that follow each path that goes on; the empty path is the beginning.
        passes: the paths that a model has to read, so that it has read each path that goes on, the empty one
            apart: the longest of them.
    """

    spellings: dict[Path, int]
    children: dict[Path, list[int]] = field(init=False)
    passes: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[Path, set[int]] = {}
        for path in self.spellings:
            for place, token in enumerate(path):
                found.setdefault(path[:place], set()).add(token)
        object.__setattr__(self, "children", {path: sorted(tokens) for path, tokens in found.items()})
        begun = {path[:place] for path in found for place in range(len(path))}
        object.__setattr__(self, "passes", [path for path in found if path and path not in begun])

    @property
    def roots(self) -> list[int]:
        """The first tokens."""
        return self.children.get((), [])

    @property
    def longest(self) -> int:
        """Tokens of the longest spelling, 0 without any."""
        return max(map(len, self.spellings), default=0)

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase") -> "NumberTree":
        """The tree of a tokenizer, whatever its tokens are: whole numbers, digits, or both.

        A number is written as at the beginning of a text, after a space, and after a new line: a tokenizer
        made by SentencePiece puts a mark for the space before the first and not before the last, and it
        depends on the chat template which of them a model has learnt to say. What does not read back as the
        number (an unknown token, say) is left out.
        """
        spellings: dict[Path, int] = {}
        opening = _tokens(tokenizer, _NEW_LINE)
        for number in WHOLE:
            after_line = _tokens(tokenizer, f"{_NEW_LINE}{number}")
            written = [_tokens(tokenizer, str(number)), _tokens(tokenizer, f" {number}")]
            if after_line[: len(opening)] == opening:
                written.append(after_line[len(opening) :])
            for path in written:
                if path and number_in(tokenizer.decode(path)) == number:
                    spellings[path] = number
        return cls(spellings)


def padded(paths: Sequence[Path]) -> list[Path]:
    """Paths as long as the longest; what stands after a path's end is never looked at."""
    longest = max(map(len, paths))
    return [path + path[-1:] * (longest - len(path)) for path in paths]


def _tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> Path:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
