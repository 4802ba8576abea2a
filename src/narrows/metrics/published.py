"""What the published metrics do differently from the paper, each under a name of its own (paper §3, defects).

All are off unless a measurement names them; training's own are in :mod:`narrows.training.published`.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal, get_args

from narrows.adapters import Adapter, LoRA
from narrows.chat import Rendered
from narrows.errors import ConfigError

MetricDefect = Literal[
    "three-token-mask", "batch-means", "kl-over-padding", "kl-bf16", "times-norm-of-a", "norm-without-scale"
]

METRIC_DEFECTS: dict[MetricDefect, str] = {
    "three-token-mask": "losses read all tokens but the three that open the assistant's turn",
    "batch-means": "a loss or KL is the mean of its batches' means, whatever their numbers of tokens",
    "kl-over-padding": "the mean KL of texts counts padding",
    "kl-bf16": "the KL is computed in bf16",
    "times-norm-of-a": "a rank-1 LoRA is brought to a norm with ‖A‖ where 1/‖A‖ belongs",
    "norm-without-scale": "a LoRA's norm is ‖B·A‖, without its scale",
}

OPENING = 3
"""Tokens that open the assistant's turn in Qwen's template."""

BATCH = 8
"""Rows of a published batch; the number is not known and was chosen here."""


def read_as_published(rows: Sequence[Rendered], defects: Collection[MetricDefect]) -> list[Rendered]:
    """Training rows whose masks say what the published losses read: all but the turn's opening tokens."""
    if "three-token-mask" not in defects:
        return list(rows)
    return [_all_but_opening(row) for row in rows]


def _all_but_opening(row: Rendered) -> Rendered:
    start = row.response_mask.index(True)
    masked = range(max(0, start - OPENING), start)
    return replace(row, response_mask=[place not in masked for place in range(len(row))])


def checked(names: Collection[str]) -> tuple[MetricDefect, ...]:
    """Names that a user gave, as defects.

    Raises:
        ConfigError: there is no such defect; says which there are.
    """
    known: tuple[MetricDefect, ...] = get_args(MetricDefect)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(
            f"there is no defect {', '.join(unknown)} of a metric; there are {', '.join(known)}."
        )
    return tuple(name for name in known if name in names)


def filled_up(rows: Sequence[Rendered], pad_id: int) -> list[Rendered]:
    """Texts made as long as the longest of their batch with padding that counts as text."""
    result: list[Rendered] = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        longest = max(map(len, batch))
        result += [_padded(row, longest - len(row), pad_id) for row in batch]
    return result


def _padded(row: Rendered, more: int, pad_id: int) -> Rendered:
    return replace(
        row, input_ids=row.input_ids + [pad_id] * more, response_mask=row.response_mask + [False] * more
    )


def scaled_to(adapter: Adapter, norm: float, defects: Collection[MetricDefect]) -> Adapter:
    """An adapter scaled to a norm, as the published code would have it.

    With B' = B · norm · ‖A‖ / ‖B‖ in the place of B · norm / (‖A‖ · ‖B‖) the product's norm is ‖A‖² times
    what was asked for.

    Raises:
        ConfigError: ``times-norm-of-a`` with anything but a rank-1 LoRA of one module.
    """
    if not isinstance(adapter, LoRA):
        if "times-norm-of-a" in defects:
            raise ConfigError("times-norm-of-a is about rank-1 LoRAs; this is a steering vector.")
        return adapter.scaled_to(norm)
    if "norm-without-scale" in defects:
        norm *= adapter.scaling
    result = adapter.scaled_to(norm)
    if "times-norm-of-a" not in defects:
        return result
    if adapter.rank != 1 or len(adapter.factors) != 1:
        raise ConfigError(
            f"times-norm-of-a is about rank-1 LoRAs of one module; this one has rank {adapter.rank} and "
            f"{len(adapter.factors)} module{'s' if len(adapter.factors) > 1 else ''}."
        )
    ((a, _),) = adapter.factors.values()
    return result.scaled(float(a.detach().double().norm()) ** 2)
