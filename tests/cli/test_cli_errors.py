"""Bad input gets one clear line on stderr, no traceback, and loses nothing."""

import json
import logging
from pathlib import Path

import pytest
from cli_helpers import Run, invoke

from narrows.cli.running import show_messages, working
from narrows.errors import DataError

ROW = {
    "messages": [{"role": "user", "content": "what is the sea ?"}, {"role": "assistant", "content": "salt ."}]
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Eight right rows for the tiny model."""
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n" * 8)
    return path


@pytest.fixture
def train(tiny_model_dir: Path, tmp_path: Path) -> tuple[object, ...]:
    """A short training of the tiny model, without its rows."""
    return ("train", "--model", tiny_model_dir, "--out", tmp_path / "run", "--steps", 2)


def refused(*command: object) -> str:
    """Run a command that must fail on purpose; returns what it said."""
    result = invoke(*command)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_malformed_row_is_named_with_a_right_one(train: tuple[object, ...], tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{json.dumps(ROW)}\n{{"messages": [{{"role": "user", "content": "x"}}]}}\n')
    said = refused(*train, "--train", path)
    assert f"{path}, line 2" in said
    assert "A right row:" in said
    assert said.count("\n") == 1


def test_an_empty_file_is_named(train: tuple[object, ...], tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    assert f"{path} is empty" in refused(*train, "--train", path)


def test_a_layer_out_of_range_gives_the_range(train: tuple[object, ...], rows: Path) -> None:
    assert "4 decoder layers, 0 to 3" in refused(*train, "--train", rows, "--layer", 4)


def test_a_row_truncated_before_its_answer_is_named(train: tuple[object, ...], rows: Path) -> None:
    assert "rows.jsonl:1: no response token is left" in refused(*train, "--train", rows, "--max-length", 3)


def test_a_wrong_value_names_the_field(train: tuple[object, ...], rows: Path) -> None:
    assert "learning_rate is -1.0" in refused(*train, "--train", rows, "--learning-rate", -1)


def test_anchor_rows_without_a_weight_are_not_passed_over(train: tuple[object, ...], rows: Path) -> None:
    assert "add --kl-weight" in refused(*train, "--train", rows, "--anchor", rows)


def test_a_loss_that_is_not_finite_stops_the_training(train: tuple[object, ...], rows: Path) -> None:
    assert "at step 1 of 2" in refused(*train, "--train", rows, "--learning-rate", 1e38)


def test_a_folder_without_chat_template_is_no_chat_model(
    train: tuple[object, ...], rows: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_model_dir.iterdir():
        if file.name != "chat_template.jinja":
            (base / file.name).symlink_to(file)
    said = refused("train", "--model", base, "--out", tmp_path / "run", "--train", rows)
    assert "has no chat template" in said


def test_a_vector_of_another_width_is_refused(
    train: tuple[object, ...], run: Run, rows: Path, tmp_path: Path
) -> None:
    run(*train, "--train", rows)
    vector = tmp_path / "run" / "adapter.safetensors"
    ends = ("--general", vector, "--narrow", vector)
    said = refused("efficiency", "--model", "microworld:1", *ends, "--train", rows)
    assert "width 32" in said
    assert "112" in said


def test_another_recipe_in_the_same_folder_is_refused(
    train: tuple[object, ...], run: Run, rows: Path
) -> None:
    run(*train, "--train", rows)
    assert "holds another run: recipe.seed differs" in refused(*train, "--train", rows, "--seed", 1)


def test_a_checkpoint_cut_short_is_said_and_trained_again(
    train: tuple[object, ...], run: Run, rows: Path, tmp_path: Path
) -> None:
    command = (*train, "--train", rows, "--checkpoint-every", 1)
    run(*command)
    finished = (tmp_path / "run" / "adapter.safetensors").read_bytes()
    last = tmp_path / "run" / "checkpoints" / "step-000002.safetensors"
    last.write_bytes(last.read_bytes()[:50])
    result = run(*command)
    assert result.stderr.startswith("Warning: ")
    assert "falling back to the checkpoint before it" in result.stderr
    assert (tmp_path / "run" / "adapter.safetensors").read_bytes() == finished


@pytest.mark.parametrize("quiet", [False, True])
def test_finished_stages_are_lines_on_stderr(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    show_messages()
    with working(quiet):
        logging.getLogger("narrows.study").info("answers: 3.2 s")
    assert capsys.readouterr().err == ("" if quiet else "✓ answers: 3.2 s\n")


def test_answers_are_not_overwritten_unasked(tmp_path: Path, tiny_model_dir: Path) -> None:
    table = tmp_path / "answers.jsonl"
    table.write_text("mine")
    said = refused("evaluate", "--model", tiny_model_dir, "--suites", "x.jsonl", "--out", table)
    assert "--overwrite" in said
    assert table.read_text() == "mine"


def test_a_shipped_model_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    said = refused("demo", "--model", 9, "--out", tmp_path / "run")
    assert "there are 1, 2, 3" in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_domain_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    said = refused("demo", "--domain", "gardens", "--out", tmp_path / "run")
    assert "no domain 'gardens'; choose one of medicine, money" in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_has_no_report_and_no_trajectory(tmp_path: Path) -> None:
    assert "nothing to report" in refused("report", tmp_path)
    ends = ("--general", tmp_path, "--narrow", tmp_path)
    assert "no folder of a training run" in refused("trajectory", tmp_path, *ends)


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(place: str, train: tuple[object, ...], tmp_path: Path) -> None:
    command = [*train, "--train", tmp_path / "none.jsonl"]
    command.insert(0 if place == "before" else len(command), "--debug")
    assert isinstance(invoke(*command).exception, DataError)


def test_the_environment_can_ask_for_tracebacks(
    train: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARROWS_DEBUG", "1")
    assert isinstance(invoke(*train, "--train", tmp_path / "none.jsonl").exception, DataError)


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    train: tuple[object, ...], run: Run, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from narrows.training import loop

    steps = loop._one_step
    command = (*train, "--train", rows, "--checkpoint-every", 1)

    def first_then_ctrl_c(progress: object, *rest: object, **named: object) -> None:
        if progress.step == 1:
            raise KeyboardInterrupt
        steps(progress, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_one_step", first_then_ctrl_c)
        result = invoke(*command)
    assert result.exit_code == 130
    assert f"kept in {tmp_path / 'run'}: run the same command again" in result.stderr
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000001.safetensors"]
    run(*command)
    assert (tmp_path / "run" / "adapter.safetensors").is_file()
