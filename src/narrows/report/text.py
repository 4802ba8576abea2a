"""How numbers and foreign text are written on the page and in the figures."""

import math
import re

MINUS = "\N{MINUS SIGN}"
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
MISSING = "–"

_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_UNPRINTABLE = re.compile("[\x80-\x9f\ud800-\udfff\ufffe\uffff]")
_DIRECTION_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Foreign text with nothing hidden in it: control characters become symbols (``␀``), marks become words.

    The result can always be encoded as UTF-8 and stands in XML and HTML without breaking either.
    """
    text = text.replace("\r\n", "\n").translate(_CONTROLS)
    text = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return _DIRECTION_MARKS.sub(lambda mark: f"[U+{ord(mark.group()):04X}]", text)


def shortened(text: str, longest: int = 40) -> str:
    """One line of visible text, cut to at most ``longest`` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def number(value: float | None, digits: int = 3) -> str:
    """A number with ``digits`` significant digits; with a power of ten only where it must be."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if power < -digits or power > 5:
        text = f"{value:.{digits - 1}e}"
        mantissa, _, exponent = text.partition("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        text = f"{value:.{max(digits - 1 - power, 0)}f}"
    return text.replace("-", MINUS)


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals."""
    return f"{value:.{decimals}f}".replace("-", MINUS)


def estimate(value: float | None, bounds: tuple[float, float] | None) -> tuple[str, str]:
    """An estimate and its interval with as many decimals as show two digits of the interval's width."""
    if (
        value is None
        or bounds is None
        or not all(map(math.isfinite, (value, *bounds)))
        or bounds[0] == bounds[1]
    ):
        return number(value), interval(bounds)
    decimals = max(0, 1 - math.floor(math.log10(abs(bounds[1] - bounds[0]))))
    if decimals > 6:
        return number(value), interval(bounds)
    low, middle, high = (fixed(one, decimals) for one in (bounds[0], value, bounds[1]))
    return middle, f"[{low}, {high}]"


def short(value: float | None) -> str:
    """A number somebody chose (a margin, a scale): no more digits than it has."""
    return MISSING if value is None else f"{value:.4g}".replace("-", MINUS)


def percent(value: float | None, decimals: int = 1) -> str:
    """A fraction as a percentage."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{fixed(100 * value, decimals)}{NARROW_SPACE}%"


def interval(bounds: tuple[float, float] | None) -> str:
    """Both bounds of an interval in brackets."""
    return MISSING if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"


def percent_interval(bounds: tuple[float, float] | None) -> str:
    """Both bounds of an interval of fractions, as percentages."""
    return MISSING if bounds is None else f"[{percent(bounds[0])}, {percent(bounds[1])}]"


def duration(seconds: float) -> str:
    """Seconds in the units a person would use."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def plain(value: object) -> str:
    """Any JSON value as short text for a table cell."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    return str(value)


def counted(amount: int, thing: str) -> str:
    """``3 suites``, ``1 suite``."""
    return f"{amount} {thing}" if amount == 1 else f"{amount} {thing}s"
