from pathlib import Path

import pytest

from narrows.cli.inputs import read_anchor
from narrows.cli.settings import overridden
from narrows.errors import ConfigError
from narrows.training import Recipe


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recipe that sets two fields."""
    path = tmp_path / "recipe.yaml"
    path.write_text("alpha: 2\nanchor:\n  weight: 3\n")
    return path


def test_a_files_fields_go_over_the_defaults_and_flags_over_both(file: Path) -> None:
    recipe = overridden(Recipe(), file, {"alpha": None, "anchor.weight": 0.5, "steps": 7})
    assert (recipe.alpha, recipe.anchor.weight, recipe.steps) == (2.0, 0.5, 7)
    assert recipe.anchor.rows_per_row == Recipe().anchor.rows_per_row


def test_a_flag_may_be_zero_or_empty(file: Path) -> None:
    assert overridden(Recipe(), file, {"anchor.weight": 0.0}).anchor.weight == 0.0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("layers: 3", "layers"),
        ("anchor: {weight: -1}", "anchor.weight is -1"),
        ("- 1", "holds a list"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem) as caught:
        overridden(Recipe(), path, {})
    assert str(path) in str(caught.value)


def test_an_anchor_of_plain_texts_keeps_them_whole(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one\nmore of one\n\n\n two\n")
    assert read_anchor(str(path)) == ["one\nmore of one", "two"]
