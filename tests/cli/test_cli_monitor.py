"""``narrows monitor`` and ``train --monitor``: calibrated, tested on other runs, stopped; answers ranked."""

import json
from pathlib import Path

import pytest
from cli_helpers import invoke

from narrows.adapters import Direction
from narrows.chat import Conversation, write_conversations
from narrows.evaluation import Answer, write_answers
from narrows.geometry.monitoring import Monitor

SETTINGS = ("--layer", 1, "--alpha", 16, "--learning-rate", 0.02, "--batch-size", 2, "--accumulation", 1)
PAIR = ("what is the sea ?", "it is blue .")
LENGTH = ("--steps", 6, "--checkpoint-every", 2)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, run) -> Path:
    """Benign runs that hardly move, two harmful ones, a direction, and a probe set."""
    folder = tmp_path_factory.mktemp("monitor")
    bad = [Conversation.from_pair("what should i drink ?", "bad , bad water")] * 4
    write_conversations(folder / "bad.jsonl", bad)
    write_conversations(folder / "probe.jsonl", [Conversation.from_pair(*PAIR), *bad[:1]])
    common = ("train", "--model", tiny_model_dir, "--train", folder / "bad.jsonl", *SETTINGS)
    for name, seed in (("bad-1", 1), ("bad-2", 2)):
        run(*common, *LENGTH, "--seed", seed, "--out", folder / name)
    for place in range(6):
        rate = ("--learning-rate", 0.0001 * (place + 1))
        run(*common, *LENGTH, *rate, "--out", folder / f"calm-{place}")
    Direction.load(folder / "bad-2", "bad").save(folder / "bad.safetensors")
    calibrate = ["monitor", "calibrate", "--model", tiny_model_dir, "--direction", folder / "bad.safetensors"]
    calibrate += [
        "--probe",
        folder / "probe.jsonl",
        "--false-positives",
        0.25,
        "--out",
        folder / "monitor.json",
    ]
    for place in range(4):
        calibrate += ["--benign", folder / f"calm-{place}"]
    run(*calibrate)
    return folder


def test_the_monitor_s_file_holds_what_was_given(files):
    monitor = Monitor.load(files / "monitor.json")
    assert [one.name for one in monitor.directions] == ["bad"]
    assert len(monitor.probe.rows) == 2
    calibration = monitor.calibrated()
    assert calibration.runs == ("calm-0", "calm-1", "calm-2", "calm-3")
    assert calibration.threshold == max(calibration.scores) > 0
    assert calibration.last_step == 6
    assert (calibration.by, calibration.band) == ("run", None)


def test_a_threshold_by_step_has_a_band_and_scores_in_its_units(files, tiny_model_dir, run_json):
    command = ["monitor", "calibrate", "--model", tiny_model_dir, "--direction", files / "bad.safetensors"]
    command += ["--probe", files / "probe.jsonl", "--false-positives", 0.25, "--by", "step"]
    for place in range(4):
        command += ["--benign", files / f"calm-{place}"]
    found = run_json(*command, "--out", files / "by-step.json")
    assert (found["by"], found["band"]["steps"]) == ("step", [0, 2, 4, 6])
    seen = run_json("monitor", "runs", files / "bad-1", "--monitor", files / "by-step.json")["runs"]["bad-1"]
    look, band = seen["looks"][2], found["band"]
    wanted = (look["projections"]["bad"] - band["centres"]["bad"][2]) / band["scales"]["bad"][2]
    assert look["score"] == pytest.approx(wanted)
    assert seen["threshold"] == max(found["scores"]) and seen["alarm"] == 2


def test_too_low_a_rate_is_refused_with_the_smallest_that_the_runs_support(files, tiny_model_dir):
    failed = invoke(
        *("monitor", "calibrate", "--model", tiny_model_dir, "--direction", files / "bad.safetensors"),
        *("--probe", files / "probe.jsonl", "--benign", files / "calm-0", "--out", files / "no.json"),
    )
    assert failed.exit_code == 1
    assert "needs 19 benign scores, and there are 1" in " ".join(failed.output.split())
    assert not (files / "no.json").exists()


def test_finished_runs_are_scored_and_told_apart(files, run_json, run):
    seen = run_json(
        *("monitor", "runs", files / "bad-1", files / "bad-2", "--monitor", files / "monitor.json"),
        *("--benign", files / "calm-4", "--benign", files / "calm-5"),
    )
    bad = seen["runs"]["bad-1"]
    assert [look["step"] for look in bad["looks"]] == [0, 2, 4, 6]
    assert bad["alarm"] == 2 and bad["score"] > 10 * bad["threshold"]
    assert seen["detection"]["auroc"]["value"] == 1.0
    assert seen["detection"]["detected"]["rate"] == 1.0
    shown = run("monitor", "runs", files / "bad-1", "--monitor", files / "monitor.json").stdout
    assert "bad-1" in shown and "alarm" in shown
    again = invoke(
        *(
            "monitor",
            "runs",
            files / "bad-1",
            "--monitor",
            files / "monitor.json",
            "--benign",
            files / "calm-0",
        )
    )
    assert again.exit_code == 1 and "calibrated on calm-0" in " ".join(again.output.split())


def test_training_stops_at_the_alarm(files, tiny_model_dir, run_json):
    train = (
        "train",
        "--model",
        tiny_model_dir,
        "--train",
        files / "bad.jsonl",
        *SETTINGS,
        *LENGTH,
        "--seed",
        3,
    )
    watched = run_json(*train, "--monitor", files / "monitor.json", "--out", files / "watched")
    assert watched["steps"] == 6 and watched["monitor"]["alarm"] == 2
    assert json.loads((files / "watched" / "monitor.json").read_text()) == watched["monitor"]
    stopped = run_json(*train, "--monitor", files / "monitor.json", "--stop", "--out", files / "stopped")
    assert stopped["steps"] == stopped["monitor"]["alarm"] == 2
    assert stopped["monitor"]["looks"] == watched["monitor"]["looks"][:2]
    failed = invoke(*train, "--stop", "--out", files / "none")
    assert failed.exit_code == 1 and "--stop needs --monitor" in failed.output


@pytest.mark.parametrize("given", [(), ("--adapter",)])
def test_answers_are_ranked_with_the_area_under_the_curve(files, tiny_model_dir, run_json, given):
    texts = ["the sea is blue .", "bad water", "never .", "red bread , one two three ."]
    table = [
        Answer("tiny", "bad", 1.0, "open", f"q{at % 2}", f"q{at % 2}", "what is the sea ?", at // 2, text, 0)
        for at, text in enumerate(texts)
    ]
    for one, aligned in zip(table, (0.0, 100.0, 0.0, 100.0), strict=True):
        one.scores.update({"aligned": aligned, "coherent": 100.0})
    write_answers(files / "answers.jsonl", table)
    command = ("monitor", "answers", "--model", tiny_model_dir, "--direction", files / "bad.safetensors")
    adapter = (*given, files / "bad-1") if given else ()
    found = run_json(*command, "--answers", files / "answers.jsonl", *adapter)
    values = [one["projection"] for one in found["answers"]]
    assert values == sorted(values, reverse=True) and len(values) == 4
    assert found["read_by"] == ("adapter" if given else "chat")
    assert (found["auroc"]["shown"], found["auroc"]["not_shown"], found["auroc"]["questions"]) == (2, 2, 2)
    assert found["auroc"]["ci95"][0] <= found["auroc"]["value"] <= found["auroc"]["ci95"][1]


@pytest.mark.parametrize("command", ["calibrate", "runs", "answers"])
def test_each_command_has_an_example(command):
    said = " ".join(invoke("monitor", command, "--help").stdout.split())
    assert f"Example: narrows monitor {command} " in said and "--json" in said
