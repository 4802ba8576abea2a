"""The page in headless Chromium, where there is one: never wider than its window, desk or telephone."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium found: the page is not opened in a browser"
)

# Chromium's own window has a least width, so the page stands in a frame of the wanted width, and the frame's
# parent measures it. All folds are opened, since what is hidden could be what is too wide.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe style="border:0;width:{width}px;height:3000px" srcdoc="{page}"></iframe><output></output><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const inside = frame.contentDocument;
  inside.querySelectorAll("details").forEach(fold => fold.open = true);
  const all = [...inside.querySelectorAll("svg[role=img]")];
  const shown = all.filter(svg => svg.getBoundingClientRect().width > 0);
  const letters = shown.flatMap(svg => [...svg.querySelectorAll("text")]);
  const lowest = Math.min(...letters.map(text => text.getBoundingClientRect().height));
  const root = inside.documentElement;
  const result = [root.scrollWidth, root.clientWidth, shown.length, Math.round(10 * lowest)];
  frame.remove();
  document.querySelector("output").textContent = "measured " + result.join(" ");
}};
</script>"""


def _chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
        *arguments,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("Chromium did not answer within a minute")
    if done.returncode != 0:
        pytest.skip(f"Chromium does not run here: {done.stderr.strip()[-200:]}")
    return done


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(("which", "shown"), [("report", 9), ("study_report", 8)])
def test_the_page_fits_its_window_and_can_be_read(request, tmp_path, width, which, shown):
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, page=html.escape(request.getfixturevalue(which).read_text())))
    size = f"--window-size={max(width, 800)},3000"
    done = _chromium(tmp_path, size, "--enable-logging=stderr", "--dump-dom", frame.as_uri())
    measured = re.search(r"measured (\d+) (\d+) (\d+) (\d+)", done.stdout)
    content, window, figures, letters = map(int, measured.groups())
    assert "CONSOLE" not in done.stderr
    assert window == width
    assert content <= window
    assert figures == shown
    assert letters >= 110, "the smallest text in a figure is less than 11 pixels high with its line"


# The page's own script runs in the frame, admitted by the page's policy; this one plays the reader.
READER = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe style="border:0;width:{width}px;height:3000px" srcdoc="{page}"></iframe><output></output><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, Window = frame.contentWindow;
  const host = page.querySelector(".turntable"), stage = host.querySelector(".stage");
  const slider = host.querySelector("input");
  const mark = () => host.querySelector("g .mark").getAttribute("transform");
  const row = () => [...host.querySelectorAll("tbody tr:first-child td")].map(cell => cell.textContent);
  const result = {{ shown: !host.hidden && host.getBoundingClientRect().height > 200, max: slider.max,
    end: [mark(), host.querySelector("output").textContent, ...row()] }};
  slider.value = 0;
  slider.dispatchEvent(new Window.Event("input"));
  result.start = [mark(), host.querySelector("output").textContent, ...row()];
  stage.focus();
  result.focused = page.activeElement === stage;
  const key = new Window.KeyboardEvent("keydown", {{ key: "ArrowLeft", cancelable: true }});
  stage.dispatchEvent(key);
  result.turned = [mark(), key.defaultPrevented];
  stage.setPointerCapture = () => {{}};
  for (const [kind, x] of [["down", 10], ["move", 60], ["up", 60], ["move", 200]]) {{
    const at = {{ pointerId: 1, clientX: x, clientY: 10 }};
    stage.dispatchEvent(new Window.PointerEvent("pointer" + kind, at));
    if (kind === "move") (result.dragged ||= []).push(mark());
  }}
  const svg = stage.getBoundingClientRect();
  result.inside = [...stage.querySelectorAll("*")].every(one => {{
    const box = one.getBoundingClientRect();
    return box.left >= svg.left - 1 && box.right <= svg.right + 1;
  }});
  frame.remove();
  document.querySelector("output").textContent = "played " + JSON.stringify(result) + " end";
}};
</script>"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_turntable_follows_slider_keys_and_pointer(report, tmp_path, width):
    frame = tmp_path / "frame.html"
    frame.write_text(READER.format(width=width, page=html.escape(report.read_text())))
    size = f"--window-size={max(width, 800)},3000"
    done = _chromium(tmp_path, size, "--enable-logging=stderr", "--dump-dom", frame.as_uri())
    played = json.loads(html.unescape(re.search(r"played (.*?) end", done.stdout).group(1)))
    assert "CONSOLE" not in done.stderr
    assert played["shown"]
    assert played["max"] == "20"
    assert played["end"][1:3] == ["200", " lifted"]
    assert played["start"][1:3] == ["0", " lifted"]
    assert played["start"][3] == "0.800"  # cosine to general, first checkpoint
    assert played["end"][3] != played["start"][3]
    assert played["focused"]
    assert played["turned"][1], "an arrow key would scroll the page"
    dragged, left_alone = played["dragged"]
    assert len({played["end"][0], played["start"][0], played["turned"][0], dragged}) == 4
    assert dragged == left_alone, "it turns on after the button was let go"
    assert played["inside"]


def test_without_scripts_the_figure_stands_alone(report, tmp_path):
    page = tmp_path / "still.html"
    page.write_text(re.sub(r"<script>.*</script>", "", report.read_text(), flags=re.DOTALL))
    dom = _chromium(tmp_path, "--window-size=1280,3000", "--dump-dom", page.as_uri()).stdout
    assert re.search(r'<div class="turntable" data-view="[^"]*" hidden', dom)


def test_a_picture_of_the_page_can_be_taken(report, tmp_path):
    picture = tmp_path / "page.png"
    _chromium(tmp_path, "--window-size=1280,1600", f"--screenshot={picture}", report.as_uri())
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 50_000


PAPER = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe style="border:0;width:{width}px;height:3000px" srcdoc="{page}"></iframe><output></output><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument;
  const clipped = [...page.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth + 1);
  const hidden = [...page.querySelectorAll("figure .wide svg, table.claims")].filter(
    one => one.getBoundingClientRect().width === 0);
  const result = [page.documentElement.scrollWidth, clipped.length, hidden.length];
  frame.remove();
  document.querySelector("output").textContent = "measured " + result.join(" ");
}};
</script>"""


@pytest.mark.parametrize("which", ["report", "study_report"])
def test_nothing_is_cut_off_on_paper(request, tmp_path, which):
    """What the style says about print, applied to a frame as wide as an A4 page without its margins."""
    page = request.getfixturevalue(which).read_text().replace("@media print", "@media all")
    frame, width = tmp_path / "frame.html", 702
    frame.write_text(PAPER.format(width=width, page=html.escape(page)))
    dom = _chromium(tmp_path, "--window-size=800,3000", "--dump-dom", frame.as_uri()).stdout
    content, clipped, hidden = map(int, re.search(r"measured (\d+) (\d+) (\d+)", dom).groups())
    assert content <= width
    assert (clipped, hidden) == (0, 0)
