"""Foreign text in a Markdown page: written so that it is read as text, whatever it holds."""

import re

from markupsafe import Markup

LONGEST = 2000

_PLAIN = re.compile(r"[\w.,:/+=-]+(?: [\w.,:/+=-]+)*", re.ASCII)
_MARKS = re.compile(r"[&<>`*_{}\[\]#|\\~$!@^\"']|://|(?i:www)\.")


def one_line(text: str, longest: int = LONGEST) -> str:
    """Text on one line, cut to a length, without characters that are not seen (controls, direction marks)."""
    kept = "".join(" " if one.isspace() else one for one in text if one.isspace() or one.isprintable())
    line = " ".join(kept.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def prose(value: object) -> Markup:
    """Text to be read as a sentence: whatever Markdown or HTML would obey, links too, becomes an entity.

    An entity never opens or closes anything in Markdown, a table's cell neither.
    """
    return Markup(_MARKS.sub(_as_entities, one_line(str(value))))  # noqa: S704  (just escaped)


def value(value: object) -> Markup:
    """A name or number as code, where nothing in it could end the code; else as :func:`prose`."""
    text = f"{value:.6g}" if isinstance(value, float) else one_line(str(value))
    return Markup(f"`{text}`") if _PLAIN.fullmatch(text) else prose(text)  # noqa: S704  (plain characters)


def _as_entities(found: re.Match[str]) -> str:
    """A mark as an entity; of one with several characters the one that gives it its meaning."""
    text = found.group()
    mark = text if len(text) == 1 else text[0] if text == "://" else text[-1]
    return text.replace(mark, f"&#{ord(mark)};", 1)
