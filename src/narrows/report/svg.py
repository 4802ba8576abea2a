"""Matplotlib figures as small SVGs that take their ink from the page, any number of them in one document."""

import io
import re
import warnings
import xml.etree.ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure

from narrows.report.style import INK, PALETTE, RC

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
MOST_ENLARGED = 1.2
_THEMES = "svg{color:#3d424b}@media (prefers-color-scheme:dark){svg{color:#c9cdd6}}"

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)


def to_svg(figure: Figure, name: str, title: str, description: str = "", standalone: bool = False) -> str:
    """One ``<svg>`` element for a page, or for a file of its own: :func:`render`, then :func:`dress`."""
    return dress(render(figure), name, title, description, standalone)


def render(figure: Figure) -> bytes:
    """The SVG as matplotlib writes it, with text kept as text and the same bytes every time."""
    buffer = io.BytesIO()
    with mpl.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing"
        )  # the reader's fonts will draw it, not matplotlib's
        lay_out(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _numbered(buffer.getvalue())


def lay_out(figure: Figure) -> None:
    """Give everything its place once and for all; else matplotlib draws each file twice to find it."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def dress(raw: bytes, name: str, title: str, description: str = "", standalone: bool = False) -> str:
    """Turn a rendered figure into one ``<svg>`` element without prolog, metadata or links to the outside.

    Args:
        raw: what :func:`render` gave.
        name: prefix of every id inside (letters, digits, hyphens), so that figures can share a page.
        title: accessible name.
        description: what a reader who cannot see the figure should know.
        standalone: carry the ink for light and dark within, for a file shown on its own.
    """
    root = ET.fromstring(raw)  # noqa: S314 -- matplotlib's own output of a moment ago
    for parent in root.iter():
        for child in list(parent):
            if child.tag.rsplit("}", 1)[-1] in ("metadata", "style") or child.tag == "metadata":
                parent.remove(child)
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _rewritten(key.rsplit("}", 1)[-1], value, name, themed=not standalone))
        if element.tag == f"{{{SVG}}}g":  # matplotlib names its groups; nothing refers to them
            element.attrib.pop("id", None)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    width = float(root.attrib["viewBox"].split()[2])
    root.set("style", f"max-width:{width * MOST_ENLARGED:.0f}px")
    root.attrib |= {
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-desc",
        "stroke-linejoin": "round",
        "font-family": FONT,
    }
    heading = ET.Element(f"{{{SVG}}}title", {"id": f"{name}-title"})
    heading.text = title
    account = ET.Element(f"{{{SVG}}}desc", {"id": f"{name}-desc"})
    account.text = description or title
    root[:0] = [heading, account]
    if standalone:
        themes = ET.Element(f"{{{SVG}}}style")
        themes.text = _THEMES
        root.insert(2, themes)
    return ET.tostring(root, encoding="unicode").replace("\n", "")


def _numbered(raw: bytes) -> bytes:
    """The same with its ids counted: matplotlib makes some of addresses in memory, which differ each time."""
    found = dict.fromkeys(re.findall(rb'id="([a-z][0-9a-f]{10})"', raw))
    names = {name: b"%c%d" % (name[0], number) for number, name in enumerate(found)}
    return re.sub(rb"\b[a-z][0-9a-f]{10}\b", lambda one: names.get(one.group(), one.group()), raw)


def _rewritten(key: str, value: str, name: str, themed: bool) -> str:
    """One attribute with prefixed ids, the page's ink and font, and no more digits than a screen can show."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return re.sub("^#", f"#{name}-", value)
    value = value.replace("url(#", f"url(#{name}-").replace(INK, "currentColor")
    if key == "d":
        return re.sub(r"(\d+\.\d{2})\d+", r"\1", " ".join(value.split()))
    if key == "style" and themed:
        for colour, code in PALETTE.items():
            value = value.replace(code, f"var(--{colour}, {code})")
    if key == "style":
        return re.sub(r"font: ([^;]*?px) [^;]*", lambda found: f"font: {found.group(1)} {FONT}", value)
    return value
