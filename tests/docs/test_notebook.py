"""The example notebook: it holds no outputs, and runs from its first cell to its last."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra docs is not installed")
pytest.importorskip("ipykernel", reason="the extra docs is not installed")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "study.ipynb"


def shown(cell) -> str:
    """What a cell printed and displayed, as text."""
    found = []
    for one in cell.outputs:
        data = one.get("data", {})
        found.append(one.get("text") or data.get("text/markdown") or data.get("image/svg+xml") or "")
    return "\n".join(found)


def test_it_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_it_runs(tmp_path: Path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    begin = next(cell for cell in cells if "SMALLER = [" in cell.source)
    assert "recipe.steps=80" in begin.source
    begin.source = begin.source.replace("recipe.steps=80", "recipe.steps=8")  # only shorter trainings
    begin.source = begin.source.replace("recipe.checkpoint_every=20", "recipe.checkpoint_every=4")
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()

    texts = [shown(cell) for cell in cells]
    assert any("15 stages done, 0 failed" in text for text in texts)
    assert any("| C1 |" in text and "| C2 |" in text and "| C4 |" in text for text in texts)
    assert sum(text.count("<svg") for text in texts) == 2
    (left,) = (text for text in texts if "to do" in text)
    assert {line.split()[0]: int(line.split()[-3]) for line in left.splitlines()} == {
        "answers": 5,
        "verdicts": 5,
        "training": 0,
        "efficiency": 0,
        "claims": 1,
    }
    assert texts[-1].splitlines()[0].startswith("answers of chat") and len(texts[-1].splitlines()) == 2
    assert (tmp_path / "runs" / "notebook" / "report.html").is_file()
