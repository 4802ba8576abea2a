"""Matplotlib figures as PDF files for print: dark ink, fonts embedded, the same bytes every time."""

import io
import warnings

import matplotlib as mpl
from matplotlib.colors import same_color, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Text

from narrows.report.style import INK, RC
from narrows.report.svg import lay_out

PRINT_INK = "#30343b"
_FIXED = {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}


def to_pdf(figure: Figure) -> bytes:
    """One page of the figure's size.

    Screens show text in a middle grey that light and dark pages can both carry; paper is white, so here it is
    dark. The figure keeps that ink: draw what else is wanted of it before.
    """
    lay_out(figure)
    _darken(figure)
    buffer = io.BytesIO()
    with mpl.rc_context(RC | {"pdf.fonttype": 42}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(buffer, format="pdf", metadata=_FIXED)
    return buffer.getvalue()


def _darken(figure: Figure) -> None:
    """Lines, markers and words in :data:`~narrows.report.style.INK` in the ink of print."""
    for one in figure.findobj():
        if isinstance(one, (Text, Line2D)) and _ink(one.get_color()):
            one.set_color(PRINT_INK)
        if isinstance(one, Line2D):
            if _ink(one.get_markeredgecolor()):
                one.set_markeredgecolor(PRINT_INK)
            if _ink(one.get_markerfacecolor()):
                one.set_markerfacecolor(PRINT_INK)
        if isinstance(one, (Patch, Spine)) and _ink(one.get_edgecolor()):
            one.set_edgecolor((*to_rgba(PRINT_INK)[:3], to_rgba(one.get_edgecolor())[3]))


def _ink(colour: object) -> bool:
    """Whether a colour is the ink of screens, at whatever opacity."""
    if isinstance(colour, str) and colour == "none":
        return False
    return bool(same_color(to_rgba(colour)[:3], to_rgba(INK)[:3]))
