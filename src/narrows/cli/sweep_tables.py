"""What ``narrows sweep`` shows: two tables, and heat maps over layers and scales."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from narrows.cli.tables import MISSING, measured_cell, plain_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from narrows.report.heat_maps import HeatMap
    from narrows.study.sweep import Sweep
    from narrows.study.sweep.cells import Cell, Measured

NAMES = {"in_domain": "in domain", "out_of_domain": "other domains", "open": "open"}


def shown_suites(sweep: "Sweep") -> list[str]:
    """The suites that have a column: the deciding one, the domain's, the others' mean, and the open one."""
    found = [name for name in NAMES if name in sweep.chat.rates]
    return found if sweep.suite in found else [sweep.suite, *found]


def rates_table(sweep: "Sweep", behaviour: str) -> "Table":
    """How every cell behaves, the chat model first; the recommended one is marked."""
    from rich.markup import escape

    suites = shown_suites(sweep)
    names = [escape(NAMES.get(suite, suite)) for suite in suites]
    table = plain_table(f"Share of {behaviour} answers, 95 %", "", *names, "coherent")
    for name, cell in _rows(sweep, table):
        rates = (measured_cell(cell.rates.get(suite)) for suite in suites)
        table.add_row(name, *rates, measured_cell(cell.coherent))
    return table


def texts_table(sweep: "Sweep") -> "Table":
    """What every cell does to ordinary text, the chat model first; the recommended one is marked.

    The share is that of the effective norm in the mean residual norm at the layer.
    """
    from narrows.report.text import number

    title = f"Ordinary text, nats per token; the chat model's loss is {sweep.chat.loss.value:.3f}"
    table = plain_table(title, "", "norm, share", "KL, 95 %", "rise of the loss, 95 %")
    for name, cell in _rows(sweep, table):
        share = cell.residual_share
        norm = number(cell.effective_norm) + ("" if share is None else f", {100 * share:.0f} %")
        table.add_row(name, norm if cell.layer is not None else "", _nats(cell.kl), _nats(cell.loss_rise))
    return table


def _rows(sweep: "Sweep", table: "Table") -> "Iterator[tuple[str, Cell]]":
    """Every cell with the name of its row; each adapter gets a row of its own above its scales."""
    from rich.markup import escape

    yield "chat model", sweep.chat
    place: tuple[str, int | None] = ("", None)
    for cell in sweep.cells:
        if (cell.direction, cell.layer) != place:
            place = (cell.direction, cell.layer)
            table.add_row(f"{escape(cell.direction)}, layer {cell.layer}")
        yield f"  {cell.scale:g} ×{' [green]✓[/]' if cell is sweep.recommendation.cell else ''}", cell


def sweep_figure(sweep: "Sweep", *, compact: bool = False) -> "Figure":
    """Heat maps over layer and scale of the rates, coherence, KL and the rise of the loss."""
    from narrows.report.heat_maps import HeatMap, heat_maps
    from narrows.report.text import number

    places = list(dict.fromkeys((cell.direction, cell.layer) for cell in sweep.cells))
    scales = sorted({cell.scale for cell in sweep.cells}, reverse=True)
    found = {(cell.scale, (cell.direction, cell.layer)): cell for cell in sweep.cells}
    grid = [[found[scale, place] for place in places] for scale in scales]

    def share(title: str, colour: str, take: "Callable[[Cell], Measured | None]") -> "HeatMap":
        values = _values(grid, take)
        texts = [[MISSING if one is None else f"{100 * one:.0f} %" for one in row] for row in values]
        return HeatMap(title, values, texts, colour, top=1.0)

    def nats(title: str, colour: str, take: "Callable[[Cell], Measured | None]") -> "HeatMap":
        values = _values(grid, take)
        return HeatMap(title, values, [[number(one, 2) for one in row] for row in values], colour)

    maps = [
        share(f"shown, {NAMES.get(suite, suite)}", "vermillion", _rate_on(suite))
        for suite in shown_suites(sweep)
    ]
    maps += [
        share("coherent", "green", lambda cell: cell.coherent),
        nats("KL on text, nats a token", "blue", lambda cell: cell.kl),
        nats("rise of the loss on text", "purple", lambda cell: cell.loss_rise),
    ]
    alone = len({name for name, _ in places}) == 1
    chosen = sweep.recommendation.cell
    return heat_maps(
        maps,
        [f"{scale:g} ×" for scale in scales],
        [str(layer) if alone else f"{name} · {layer}" for name, layer in places],
        labels=("layer" if alone else "adapter · layer", "scale"),
        marked=None
        if chosen is None
        else (scales.index(chosen.scale), places.index((chosen.direction, chosen.layer))),
        compact=compact,
    )


def _values(
    grid: "Sequence[Sequence[Cell]]", take: "Callable[[Cell], Measured | None]"
) -> list[list[float | None]]:
    """One quantity at every place."""
    taken = [[take(cell) for cell in row] for row in grid]
    return [[None if one is None else one.value for one in row] for row in taken]


def _rate_on(suite: str) -> "Callable[[Cell], Measured | None]":
    return lambda cell: cell.rates.get(suite)


def _nats(measured: "Measured") -> str:
    """A KL or a rise with its interval, to two digits where it is not small against a thousandth of a nat."""
    ends = (measured.value, *measured.ci95)
    decimals = 4 if max(map(abs, ends)) < 0.01 else 3 if max(map(abs, ends)) < 1 else 2
    value, low, high = (f"{end:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for end in ends)
    return "0" if ends == (0, 0, 0) else f"{value} [dim]\\[{low}, {high}][/]"
