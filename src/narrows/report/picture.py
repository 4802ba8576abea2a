"""A figure as it stands on the page: in two widths, with title, caption and an account in words."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from narrows.report.svg import dress, render, to_svg
from narrows.summary import Summary


@dataclass(frozen=True)
class Caption:
    """What is said about a figure: title, what to see in it, from how much data, and its content in words."""

    title: str
    see: str
    data: str
    account: str


@dataclass(frozen=True)
class Picture:
    """A figure for wide and for narrow screens, and as a file of its own.

    ``view`` is what the page's script shows beneath it (:mod:`narrows.report.turntable`), or empty.
    """

    name: str
    wide: Markup
    compact: Markup
    standalone: str
    caption: Caption
    view: str = ""


def make_picture(
    draw: Callable[..., Figure],
    summary: Summary,
    name: str,
    caption: Caption,
    index: int = 0,
    *,
    view: str = "",
) -> Picture:
    """Draw a figure in both widths; ``index`` is for figures of which a summary holds several."""
    chosen = {"index": index} if index else {}
    wide, compact = draw(summary, **chosen), draw(summary, compact=True, **chosen)
    said = caption.title, caption.account
    raw = render(wide)
    return Picture(
        name,
        # matplotlib and ElementTree escape every label, so that the markup is our own
        Markup(dress(raw, f"{name}-wide", *said)),  # noqa: S704
        Markup(to_svg(compact, f"{name}-compact", *said)),  # noqa: S704
        dress(raw, name, *said, standalone=True),
        caption,
        view,
    )
