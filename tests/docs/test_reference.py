"""The builder of the API reference: what gets a page, and what it calls a fault."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("pdoc", reason="the extra docs is not installed")

BUILDER = Path(__file__).parents[2] / "docs" / "reference" / "build.py"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_builder", BUILDER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_packages_have_pages_and_the_command_line_has_none(builder: ModuleType):
    names = builder.page_names()
    assert {"narrows", "narrows.errors", "narrows.study", "narrows.study.plan.stage", "narrows.report"} <= {
        *names
    }
    assert not [name for name in names if name.startswith(("narrows.cli", "narrows.study.presets"))]
    assert names == sorted(set(names))


def test_everything_that_import_narrows_gives_is_documented(builder: ModuleType):
    import narrows

    found = builder.pages(["narrows", "narrows.study"])
    assert builder.undocumented(found) == []
    assert {*narrows.__all__} <= {*found["narrows"].members}


def test_constants_are_documented_where_they_are_made(builder: ModuleType):
    (page,) = builder.pages(["narrows.evaluation"]).values()
    assert page.members["NEVER_ANCHORED"].docstring


def test_what_has_no_docstring_is_found(builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = '"""A module."""\n__all__ = ["said", "unsaid", "SIZE"]\nSIZE = 3\n'
    text += 'def said():\n    """Said."""\ndef unsaid():\n    pass\ndef inner():\n    pass\n'
    (tmp_path / "half_documented.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = builder.undocumented(builder.pages(["half_documented"]))
    sys.modules.pop("half_documented")
    assert found == ["half_documented: unsaid", "half_documented: SIZE"]


def test_a_page_needs_nothing_from_elsewhere(builder: ModuleType, tmp_path: Path):
    builder.write(builder.pages(["narrows.errors", "narrows.summary"]), tmp_path)
    page = (tmp_path / "narrows" / "summary.html").read_text(encoding="utf-8")
    assert "ClaimVerdict" in page and "What an interval says about a margin" in page
    for file in tmp_path.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not [one for one in ('<script src="http', "<link", "<iframe", "@import") if one in text]
    first = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="narrows/summary.html"' in first
