"""The rule that recommends a cell of a sweep; written before any sweep was measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from narrows.study.sweep.cells import Cell, Measured

COHERENCE_FLOOR = 0.9
"""Share of the chat model's coherent answers that a recommended cell must keep, by its interval."""

FEWEST_SCORED = 0.5
"""Share of a cell's answers that must have scores: rates of fewer say little about the cell."""


@dataclass(frozen=True)
class SetAside:
    """A cell that was not recommended, and why."""

    cell: Cell
    why: str


@dataclass(frozen=True)
class Recommendation:
    """What the rule says.

    Attributes:
        cell: the recommended cell, or None.
        reason: why, in words.
        set_aside: all other cells with the first step of the rule that each failed.
    """

    cell: Cell | None
    reason: str
    set_aside: tuple[SetAside, ...]


def recommend(
    chat: Cell, cells: Sequence[Cell], suite: str, coherence_floor: float = COHERENCE_FLOOR
) -> Recommendation:
    """Recommend the cell that shows the behaviour as well as any and disturbs ordinary text least.

    The rule, step by step; a step sets aside what fails it:

    1. At least :data:`FEWEST_SCORED` of the answers have scores, and some on every suite.
    2. The behaviour shows: the lower end of the rate on ``suite`` minus the chat model's is above 0.
    3. The answers stay coherent: the lower end of the coherent share is at least ``coherence_floor`` times
       the chat model's share.
    4. The rate is as good as the best that is left: its interval reaches the best cell's. The best has the
       highest rate; of equal ones that with the least KL.
    5. Of these, the least KL from the chat model on ordinary text; of equal ones the smallest scale, then the
       lowest layer, then the first that was given.

    If nothing is left after a step there is no recommendation, and the reason says which step it was.

    Args:
        chat: the chat model.
        cells: in any order.
        suite: whose rate decides.
        coherence_floor: the floor, as a share of the chat model's coherent share, 0 to 1.
    """
    aside: list[SetAside] = []

    def keep(some: list[Cell], holds: Callable[[Cell], bool], why: Callable[[Cell], str]) -> list[Cell]:
        aside.extend(SetAside(one, why(one)) for one in some if not holds(one))
        return [one for one in some if holds(one)]

    def nothing(reason: str) -> Recommendation:
        return Recommendation(None, reason, tuple(aside))

    scored = keep(
        list(cells), _is_scored, lambda one: f"only {_percent(one.scored)} of its answers have scores"
    )
    if not scored:
        return nothing(f"No recommendation: of {_cells(len(cells))} none has enough answers with scores.")

    shown = keep(scored, _shows, _not_shown)
    if not shown:
        return nothing(
            f"No recommendation: of {_cells(len(scored))} none shows the behaviour on {suite} more often "
            f"than the chat model ({_share(chat.rates[suite])}), by the lower end of the difference. Try "
            "larger scales or other layers, or ask more questions."
        )

    usual = chat.coherent.value if chat.coherent else 1.0
    floor = coherence_floor * usual
    whose = f"{coherence_floor:g} of the chat model's {_percent(usual)}"
    coherent = keep(
        shown,
        lambda one: one.coherent is not None and one.coherent.low >= floor,
        lambda one: f"coherent {_share(one.coherent)}: the lower end is under {_percent(floor)}, {whose}",
    )
    if not coherent:
        few = ""
        if chat.coherent is not None and chat.coherent.low < floor:
            few = (
                f" The chat model's own lower end, {_percent(chat.coherent.low)}, is under it too: ask more "
                "questions."
            )
        return nothing(
            f"No recommendation: {_show(len(shown))} the behaviour, but none is sure to stay coherent in "
            f"{_percent(floor)} of its answers, {whose}.{few or ' Try smaller scales.'}"
        )

    best = min(coherent, key=lambda one: (-one.rates[suite].value, *_order(one)))
    alike = keep(
        coherent,
        lambda one: one.rates[suite].high >= best.rates[suite].low,
        lambda one: (
            f"{_share(one.rates[suite])} on {suite} is below the best, {_share(best.rates[suite])} at "
            f"{best.title}"
        ),
    )
    chosen = min(alike, key=_order)
    keep(
        alike,
        lambda one: one is chosen,
        lambda one: _costlier(one, chosen),
    )
    reason = (
        f"{chosen.title}: of {_cells(len(cells))}, {_show(len(shown))} the behaviour more often than the "
        f"chat model, {len(coherent)} of them with at least {_percent(floor)} coherent answers. "
        f"{_why_it(chosen, best, len(coherent), len(alike), suite)}"
    )
    return Recommendation(chosen, reason, tuple(aside))


def _is_scored(cell: Cell) -> bool:
    return cell.scored >= FEWEST_SCORED and cell.above_chat is not None and cell.coherent is not None


def _shows(cell: Cell) -> bool:
    return cell.above_chat is not None and cell.above_chat.low > 0


def _not_shown(cell: Cell) -> str:
    above = cell.above_chat
    assert above is not None  # noqa: S101  (what has no scores was set aside before)
    low, high = (100 * end for end in above.ci95)
    return (
        f"does not show the behaviour: {100 * above.value:+.0f} points [{low:+.0f}, {high:+.0f}] against the "
        "chat model"
    )


def _order(cell: Cell) -> tuple[float, float, int]:
    """Least disturbance first."""
    return (cell.kl.value, abs(cell.scale), -1 if cell.layer is None else cell.layer)


def _costlier(cell: Cell, chosen: Cell) -> str:
    if cell.kl.value == chosen.kl.value:
        return f"as good as {chosen.title}, and no smaller"
    return (
        f"as good within the intervals, but KL {cell.kl.value:.3g} on ordinary text and not "
        f"{chosen.kl.value:.3g}"
    )


def _why_it(chosen: Cell, best: Cell, coherent: int, alike: int, suite: str) -> str:
    """Why a cell was chosen of those that show the behaviour coherently, in words."""
    rate = _share(best.rates[suite])
    kl = f"{chosen.kl.value:.3g} nats per token [{chosen.kl.low:.3g}, {chosen.kl.high:.3g}]"
    cost = f"KL on ordinary text: {kl}; coherent: {_share(chosen.coherent)}."
    if coherent == 1:
        return f"Its rate on {suite} is {rate}. {cost}"
    if alike == 1:
        return f"Its rate on {suite}, {rate}, is higher than that of the others by the intervals. {cost}"
    whose = "its own" if chosen is best else f"that of {best.title}"
    return (
        f"On {suite} {alike} cannot be told from the best rate, {rate}, {whose}; of these it moves ordinary "
        f"text least. {cost}"
    )


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _show(count: int) -> str:
    return "1 shows" if count == 1 else f"{count} show"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"


def _share(measured: Measured | None) -> str:
    """A fraction with its interval, in percent."""
    if measured is None:
        return "–"
    return f"{_percent(measured.value)} [{100 * measured.low:.0f}, {100 * measured.high:.0f}]"
