"""One look for all figures: colours that colour-blind readers tell apart, in ink that both themes can show.

Role colours follow Okabe and Ito (2008), the palest darkened, so that each keeps a contrast of 3:1 on
white and on a dark ground. Text and axes are drawn in :data:`INK`, a middle grey that can be read on both.
The SVG writer makes that colour ``currentColor`` and the palette variables that a dark page can lift.
"""

import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

P = ParamSpec("P")
R = TypeVar("R")

INK = "#757a83"
MOST_LETTERS = 128
"""Of a legend in one line."""
WIDE, SINGLE, COMPACT = (
    12.5,
    9.5,
    5.0,
)  # inches of 72 units: 900 for a desk, 684 for one panel, 360 for a telephone
RC: dict[str, Any] = {
    "font.size": 12,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlecolor": INK,
    "axes.labelsize": 11.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.18,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "text.parse_math": False,
    "lines.linewidth": 2,
    "lines.markersize": 6,
    "legend.frameon": False,
    "legend.fontsize": 11.5,
    "legend.labelcolor": INK,
    "legend.handlelength": 2.2,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "narrows",
}

PALETTE = {
    "vermillion": "#d55e00",
    "blue": "#0072b2",
    "green": "#009e73",
    "purple": "#bd6498",
    "orange": "#bf7d00",
    "sky": "#3792c9",
}
_VERMILLION, _BLUE, _GREEN, _PURPLE, _ORANGE, _SKY = PALETTE.values()
_DASHED, _DOTTED = (4, 2), (1, 1.6)


@dataclass(frozen=True)
class Look:
    """How one solution or direction is drawn; controls are dashed or dotted."""

    colour: str
    marker: str
    dashes: tuple[float, float] | None = None

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments for a line of this look."""
        return {"color": self.colour, "linestyle": (0, self.dashes) if self.dashes else "-"}

    @property
    def dot(self) -> dict[str, Any]:
        """Keyword arguments for markers of this look; the chat model's are hollow."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "mfc": "none" if self.marker == "o" else self.colour,
        }


MAIN = ("chat model", "unanchored", "anchored", "lifted")
_LOOKS = {
    "chat model": Look(INK, "o", _DASHED),
    "unanchored": Look(_VERMILLION, "s"),
    "anchored": Look(_BLUE, "D"),
    "lifted": Look(_PURPLE, "^"),
    "continued-unanchored": Look(_ORANGE, "v"),
    "continued-anchored": Look(_SKY, "P"),
    "added": Look(_GREEN, "<"),
    "neutral-anchored": Look(_GREEN, "X", _DASHED),
    "register": Look(_GREEN, "p", _DOTTED),
    "random": Look(INK, "d", _DASHED),
    "random-covariance": Look(INK, "h", _DOTTED),
}
ORDER = tuple(_LOOKS)
_MITIGATIONS = {
    "none": Look(_VERMILLION, "s"),
    "no mitigation": Look(_VERMILLION, "s"),
    "KL anchor": Look(_BLUE, "D"),
    "data mixing": Look(_GREEN, "^"),
    "prompt inoculation": Look(_ORANGE, "P"),
    "preventative steering": Look(_PURPLE, "v"),
    "ablation while answering": Look(_SKY, "X"),
}
"""Mitigations stand in pictures of their own, beside no other role than the unmitigated fine-tune's."""
FRONTIER = {
    "anchor": "anchored by λ",
    "total": "mixtures, total rows fixed",
    "behaviour": "mixtures, behaviour's rows fixed",
}
_MIXTURES = {
    FRONTIER["anchor"]: Look(_BLUE, "D"),
    FRONTIER["total"]: Look(_GREEN, "^", _DASHED),
    FRONTIER["behaviour"]: Look(_ORANGE, "v", (6, 1.5)),
    "mixed in, behaviour": Look(_BLUE, "D"),
    "mixed in, total": Look(_BLUE, "P", _DASHED),
    "mixed out, behaviour": Look(_VERMILLION, "s"),
    "mixed out, total": Look(_VERMILLION, "X", _DASHED),
}
"""What a study draws over λ and over mixtures: the rate in the domain is blue, that outside vermillion."""
_SPARE = (_SKY, _ORANGE, _PURPLE, _GREEN)


def look(name: str) -> Look:
    """The look of a solution or direction by its name.

    A variant (``unanchored-reoptimised``, ``anchored@matched-loss``) keeps its original's colour and is drawn
    as a control.
    """
    if name in (known := _LOOKS | _MITIGATIONS | _MIXTURES):
        return known[name]
    original = re.split(r"@|-reoptimised|-equal-norm", name)[0]
    if original in _LOOKS:
        return Look(_LOOKS[original].colour, _LOOKS[original].marker, _DASHED if "@" not in name else _DOTTED)
    return Look(_SPARE[sum(map(ord, name)) % len(_SPARE)], "*", _DASHED)


def rank(name: str) -> tuple[int, str]:
    """Sort key: known roles first, in reading order, variants after their original, then the rest by name."""
    original = re.split(r"@|-reoptimised|-equal-norm", name)[0]
    known = (*ORDER, *_MITIGATIONS, *_MIXTURES)
    return (known.index(original) if original in known else len(known), name)


def is_known(name: str) -> bool:
    """Whether a name has a look of its own, or is a variant of one that has."""
    return rank(name)[0] < rank("\uffff")[0]


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under the common look."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(RC):
            return function(*args, **kwargs)

    return wrapper


def new_figure(height: float, compact: bool = False, width: float = WIDE) -> Figure:
    """An empty figure of the telephone's width (compact) or of ``width``; lengths in inches."""
    spacing = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1, hspace=0.03, wspace=0.02)
    return Figure(figsize=(COMPACT if compact else width, height), dpi=72, layout=spacing)


def panels(
    count: int, compact: bool, columns: int = 3, height: float = 3.3, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` axes in reading order, at most ``columns`` (on a telephone 1) abreast."""
    across = 1 if compact else min(columns, max(count, 1))
    down = -(-max(count, 1) // across)
    figure = new_figure(height * down + 0.7, compact)
    axes = figure.subplots(down, across, squeeze=False, sharey=sharey).ravel().tolist()
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def legend(
    figure: Figure,
    names: Iterable[str],
    compact: bool = False,
    *,
    lines: Collection[str] | None = None,
    dots: bool = True,
    labels: Mapping[str, str] | None = None,
) -> None:
    """One legend above all panels.

    Args:
        figure: where it goes.
        names: solutions or directions that were drawn, in any order, repeated or not.
        compact: for a telephone.
        lines: those of them that were drawn with a line; None for all.
        dots: whether markers were drawn.
        labels: other words for some of the names.
    """
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            label=(labels or {}).get(name, name),
            **(look(name).dot if dots else {})
            | (look(name).line if lines is None or name in lines else {"ls": "none"}),
        )
        for name in sorted(set(names), key=rank)
    ]
    if not handles:
        return
    letters = sum(len(str(handle.get_label())) + 6 for handle in handles)  # with room for the marks
    across = len(handles) if len(handles) <= 5 and letters <= MOST_LETTERS else -(-len(handles) // 2)
    if compact:
        across = 2 if max(len(str(handle.get_label())) for handle in handles) <= 22 else 1
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=across,
        columnspacing=1.0 if compact else 1.6,
        handlelength=1.9 if compact else 2.2,
        fontsize=10.5 if compact else 11.5,
        borderaxespad=0.2,
    )
