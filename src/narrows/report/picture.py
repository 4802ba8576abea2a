"""A figure as it stands on the page: in two widths, with title, caption and an account in words."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from narrows.report.pdf import to_pdf
from narrows.report.svg import dress, render, to_svg


@dataclass(frozen=True)
class Caption:
    """What is said about a figure: title, what to see in it, from how much data, and its content in words.

    ``heading`` stands above it where a section has several figures.
    """

    title: str
    see: str
    data: str
    account: str
    heading: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure for wide and for narrow screens, and as files of its own: an SVG and a PDF.

    ``view`` is what the page's script shows beneath it (:mod:`narrows.report.turntable`), or empty.
    """

    name: str
    wide: Markup
    compact: Markup
    standalone: str
    pdf: bytes
    caption: Caption
    view: str = ""


def make_picture(
    draw: Callable[..., Figure],
    data: object,
    name: str,
    caption: Caption,
    index: int = 0,
    *,
    view: str = "",
) -> Picture:
    """Draw a figure in both widths.

    Args:
        draw: takes the data, and ``compact`` for narrow screens.
        data: a summary, or what else the figure shows.
        name: of its files, and prefix of its ids.
        caption: what is said about it.
        index: for figures of which a summary holds several.
        view: what the page's script shows beneath it.
    """
    chosen = {"index": index} if index else {}
    wide, compact = draw(data, **chosen), draw(data, compact=True, **chosen)
    said = caption.title, caption.account
    raw = render(wide)
    return Picture(
        name,
        # matplotlib and ElementTree escape every label, so that the markup is our own
        Markup(dress(raw, f"{name}-wide", *said)),  # noqa: S704
        Markup(to_svg(compact, f"{name}-compact", *said)),  # noqa: S704
        dress(raw, name, *said, standalone=True),
        to_pdf(wide),
        caption,
        view,
    )
