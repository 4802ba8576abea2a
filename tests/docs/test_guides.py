"""The guides: every link leads somewhere, every command is one, and what they say of studies is so."""

import ast
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from narrows.study import load_study
from narrows.study.plan.build import Plan, plan_study
from narrows.study.plan.stage import KINDS

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "docs" / "guide" / "studies.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
PARALLEL = {"your-own-behaviour.md", "clusters.md"}
"""Guides that were written at the same time."""


def fences(page: Path, language: str) -> list[str]:
    """Blocks of code of a language; an empty one is a fence that names none."""
    found = re.findall(
        r"^```([a-z]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [text for name, text in found if name == language]


def commands(page: Path) -> list[list[str]]:
    """The calls of ``narrows`` in a page's blocks, as arguments.

    Lines with a … are no whole calls, and those with [ ] say what may be left out.
    """
    found = []
    for language in ("", "console", "bash"):
        for text in fences(page, language):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                words = words[: words.index(">")] if ">" in words else words
                if words[:1] in (["narrows"], [".venv/bin/narrows"]) and not re.search(r"…| \[-", line):
                    found.append(words[1:])
    return found


def parsed(command: Any, name: str, arguments: list[str]) -> None:
    """Let a command, or that of a group, read its arguments, without doing anything."""
    context = command.make_context(name, list(arguments))
    if hasattr(command, "resolve_command"):
        inner, below, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        parsed(below, inner, rest)


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:")) or Path(path).name in PARALLEL:
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}, which is not there"
        assert not anchor or anchor in anchors(found), f"{page.name} links to {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_read(page: Path):
    from narrows.cli import app

    whole = typer.main.get_command(app)
    for arguments in commands(page):
        try:
            parsed(whole, "narrows", arguments)
        except Exception as error:  # noqa: BLE001  (typer's own errors have no public home)
            pytest.fail(f"{page.name}: narrows {' '.join(arguments)}: {error}")


def test_a_wrong_command_is_seen(tmp_path: Path):
    from narrows.cli import app

    page = tmp_path / "page.md"
    page.write_text(
        "```\nnarrows study run \\\n    file.yaml --no-such-flag  # a comment\n```\n", encoding="utf-8"
    )
    assert commands(page) == [["study", "run", "file.yaml", "--no-such-flag"]]
    with pytest.raises(Exception, match="no-such-flag"):
        parsed(typer.main.get_command(app), "narrows", commands(page)[0])


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the guide shows."""
    (text,) = fences(STUDIES, "yaml")
    path = tmp_path_factory.mktemp("guide") / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plan(study_file: Path) -> Plan:
    return plan_study(load_study(study_file))


def test_the_study_of_the_guide_is_planned(plan: Plan):
    said = re.search(r"is a \*\*run\*\*: (\d+) here", STUDIES.read_text(encoding="utf-8"))
    assert said is not None
    assert len(plan.runs) == int(said[1])
    assert set(plan.decided) == {run.id for run in plan.runs}


def table_of_changes() -> dict[str, set[str]]:
    """By change, the kinds of stages that the guide says are done again."""
    text = STUDIES.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+=[^`]*)` \| ([a-z, ]+) \|$", text, re.MULTILINE)
    return {change: set(kinds.split(", ")) - {"nothing"} for change, kinds in rows}


@pytest.mark.parametrize("change", table_of_changes())
def test_what_is_done_again_is_what_the_guide_says(change: str, study_file: Path, plan: Plan):
    changed = plan_study(load_study(study_file, [change]))
    new = {stage.kind for id_, stage in changed.stages.items() if id_ not in plan.stages}
    assert new == table_of_changes()[change]


def test_the_guide_names_every_kind_of_stage_and_every_field():
    text = STUDIES.read_text(encoding="utf-8")
    config = load_study("microworld-quick")
    measures = type(config.measure).model_fields
    missing = [one for one in (*KINDS, *measures, *type(config).model_fields) if f"`{one}" not in text]
    assert missing == []
    assert len(table_of_changes()) > 5


def test_the_names_that_the_guide_imports_are_there():
    blocks = [ast.parse(text) for text in fences(STUDIES, "python")]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        home = importlib.import_module(node.module or "")
        assert all(hasattr(home, alias.name) for alias in node.names)
