"""The page in headless Chromium, where there is one: never wider than its window, desk or telephone."""

import html
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
FRAME = """<!doctype html><body style="margin:0">
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


def _chromium(folder: Path, *arguments: str) -> str:
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
    return done.stdout


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window_and_can_be_read(report, tmp_path, width):
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, page=html.escape(report.read_text())))
    dom = _chromium(tmp_path, f"--window-size={max(width, 800)},3000", "--dump-dom", frame.as_uri())
    content, window, figures, letters = map(int, re.search(r"measured (\d+) (\d+) (\d+) (\d+)", dom).groups())
    assert window == width
    assert content <= window
    assert figures == 6
    assert letters >= 110, "the smallest text in a figure is less than 11 pixels high with its line"


def test_a_picture_of_the_page_can_be_taken(report, tmp_path):
    picture = tmp_path / "page.png"
    _chromium(tmp_path, "--window-size=1280,1600", f"--screenshot={picture}", report.as_uri())
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 50_000
