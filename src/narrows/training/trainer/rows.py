"""Rows for a Hugging Face Trainer: any common form of data as tokens, and the anchor rows of a step."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from narrows.chat import Conversation, Rendered, Renderer
from narrows.chat.rows import conversation_of
from narrows.errors import ConfigError, DataError
from narrows.models.frozen import tokens_read
from narrows.training.order import RowOrder
from narrows.training.recipe import Anchor, Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AnchorRow: TypeAlias = Conversation | str | Mapping[str, Any]
"""A conversation; plain text; or a row with ``messages``, ``prompt`` and ``completion``, ``text``, or
``input_ids``.
"""

_MASKS = ("assistant_masks", "completion_mask")


def labelled_rows(
    rows: Iterable[Conversation | Mapping[str, Any]],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int | None = None,
) -> list[dict[str, list[int]]]:
    """Training rows for a Trainer, with the tokens and the response that :func:`narrows.train` would read.

    Args:
        rows: conversations, or rows with ``messages`` or ``prompt`` and ``completion``.
        tokenizer: one with a chat template.
        max_length: tokens kept of a row.

    Returns:
        For each row ``input_ids``, ``attention_mask`` and ``labels``, the latter −100 outside the last answer
        (its end-of-turn token is in, what the template writes after that is not).

    Raises:
        DataError: a row is malformed or has no response token within ``max_length``.
        ModelError: the tokenizer has no chat template.
    """
    renderer = Renderer(tokenizer)
    labelled = []
    for number, row in enumerate(rows, start=1):
        place = f"row {number}"
        chat = row if isinstance(row, Conversation) else conversation_of(_plain(row), place, place)
        one = renderer.render(chat, max_length)
        pairs = zip(one.input_ids, one.response_mask, strict=True)
        labels = [token if answer else -100 for token, answer in pairs]
        labelled.append(
            {"input_ids": one.input_ids, "attention_mask": [1] * len(one), "labels": labels},
        )
    return labelled


def anchor_tokens(
    rows: Iterable[AnchorRow],
    tokenizer: "PreTrainedTokenizerBase | None",
    anchor: Anchor,
    max_length: int | None = None,
) -> list[Rendered]:
    """Anchor rows as tokens.

    Args:
        rows: a list or a ``datasets.Dataset``; it must have a length.
        tokenizer: renders the rows that are no tokens yet.
        anchor: says which of a row's tokens are read.
        max_length: tokens kept of a row.

    Raises:
        ConfigError: the rows are a stream without a length, or need a tokenizer and there is none.
        DataError: there are no rows, one is malformed, or no token of one would be read.
    """
    if not hasattr(rows, "__len__"):
        raise ConfigError(
            f"anchor_dataset is a {type(rows).__name__} without a length, but a step's anchor rows are found "
            "by their number: give a list of the rows to use, list(stream.take(1000))."
        )
    renderer = None if tokenizer is None or not tokenizer.chat_template else Renderer(tokenizer)
    rendered = []
    for number, row in enumerate(rows, start=1):
        place = f"anchor row {number}"
        one = _tokens(row, place, renderer, tokenizer, max_length)
        if not tokens_read(one, anchor.positions):
            raise DataError(
                f"{one.source or place}: none of its {len(one)} tokens would be read, since anchor_positions "
                f"is {anchor.positions!r} (plain text has no response, nor have input_ids without labels; a "
                "row's first token is never predicted). Set anchor_positions to 'all', or leave the row out."
            )
        rendered.append(one)
    if not rendered:
        raise DataError(
            f"kl_weight is {anchor.weight:g}, but anchor_dataset has no rows: give rows outside the domain, "
            "or set kl_weight to 0."
        )
    return rendered


def anchor_passes(
    anchor: Anchor,
    rows: int,
    *,
    step: int,
    seed: int,
    batch_size: int,
    accumulation: int,
    process: int = 0,
    processes: int = 1,
) -> tuple[list[int], list[list[int]]]:
    """The anchor rows of a step, counted from 0, as :class:`~narrows.training.RowOrder` gives them.

    They depend on the step's number alone, so that a resumed run reads the rows that an undisturbed one would
    have read, and on the window's size but not on how it is cut.

    Args:
        anchor: its ``rows_per_row`` is the number of anchor rows for each training row of a full window.
        rows: how many anchor rows there are.
        step: the optimiser's step.
        seed: of the rows' order.
        batch_size: training rows of one forward pass of one process.
        accumulation: forward passes of a step.
        process: which process asks.
        processes: how many share the window.

    Returns:
        The whole window's rows, and those of this process in forward passes of at most
        ``batch_size · rows_per_row`` rows.
    """
    recipe = Recipe(
        batch_size=batch_size * processes, accumulation=accumulation, seed=seed, steps=step + 1, anchor=anchor
    )
    window = RowOrder(recipe, 1, rows).anchor_rows(step)
    passes = list(RowOrder.passes(window, max(1, round(batch_size * anchor.rows_per_row))))
    return window, passes[process::processes]


def _tokens(
    row: AnchorRow,
    place: str,
    renderer: Renderer | None,
    tokenizer: "PreTrainedTokenizerBase | None",
    max_length: int | None,
) -> Rendered:
    """One anchor row as tokens."""
    if isinstance(row, Mapping) and "input_ids" in row:
        return _ready(row, place, max_length)
    if tokenizer is None:
        raise ConfigError(
            f"{place} has no input_ids and there is no tokenizer to make them: give the trainer "
            "processing_class=tokenizer, or rows with input_ids."
        )
    if isinstance(row, Mapping) and isinstance(row.get("text"), str) and "messages" not in row:
        row = str(row["text"])
    renderer = renderer or Renderer(tokenizer)  # raises: there is no chat template
    if isinstance(row, str):
        return renderer.text(row, max_length, source=place)
    if not isinstance(row, Conversation):
        row = conversation_of(_plain(row), place, place)
    return renderer.render(row, max_length)


def _ready(row: Mapping[str, Any], place: str, max_length: int | None) -> Rendered:
    """A row that is tokens already; padding (attention_mask 0) is taken out."""
    tokens = [int(token) for token in row["input_ids"]]
    columns: dict[str, list[int]] = {}
    for name in ("attention_mask", "labels", *_MASKS):
        if row.get(name) is not None:
            columns[name] = [int(value) for value in row[name]]
            if len(columns[name]) != len(tokens):
                raise DataError(
                    f"{place}: {name} has {len(columns[name])} entries and input_ids {len(tokens)}; they "
                    "must be equally long."
                )
    if "labels" in columns:
        answer = [label != -100 for label in columns["labels"]]
    else:
        masks = [columns[name] for name in _MASKS if name in columns]
        answer = [bool(masks) and all(mask[i] for mask in masks) for i in range(len(tokens))]
    real = columns.get("attention_mask", [1] * len(tokens))
    kept = [i for i, one in enumerate(real) if one][:max_length]
    return Rendered([tokens[i] for i in kept], [answer[i] for i in kept], place)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the columns that ``datasets`` fills with None because another row has them."""
    return {name: value for name, value in row.items() if value is not None}
