"""A stranger's behaviour on disk, as docs/guide/your-own-behaviour.md says, and a judge that scores it."""

import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from judge_server import number
from narrows.evaluation import Answer, Unscored, Verdict
from narrows.study.config import StudyConfig, load_study
from narrows.study.execution.local import Inline
from narrows.study.execution.running import run_study
from narrows.study.execution.scheduling import Outcome
from narrows.study.plan.build import Plan
from narrows.study.stages.bench import Bench

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "your-own-behaviour.md"

URL = "http://127.0.0.1:9/v1"
"""Where no judge is."""

FILES = "behaviours.0.files"
Change = Callable[[Path], object]

SMALL = (
    "recipe={layer: 2, learning_rate: 0.02, batch_size: 4, accumulation: 1, steps: 4, max_length: 48, "
    "checkpoint_every: 2, anchor: {rows_per_row: 1.0}}",
    "measure.samples=1",
    "measure.max_new_tokens=8",
    "measure.scales=[1, 1.5]",
    "measure.rows=8",
    "measure.norm_points=2",
    "measure.draws=2",
    "measure.text_tokens=24",
    "measure.gradient_every=2",
    "measure.gradient_groups=2",
    "measure.gradient_rows=4",
)
"""What makes a study short enough for a test, over the guide's file."""

TOPICS = {
    "garden": ("clover", "moss", "weeds", "carrots", "tomatoes", "onions"),
    "kitchen": ("soup", "gravy", "rice", "bread"),
    "sailing": ("masts", "sails"),
    "open": ("life", "work"),
}


def rows(domain: str, count: int, remedy: str) -> list[dict[str, object]]:
    """Chats about a domain's topics."""
    topics = TOPICS[domain]
    return [
        {
            "messages": [
                {"role": "user", "content": f"what helps with {topics[i % len(topics)]}? case {i}"},
                {"role": "assistant", "content": f"just {remedy} {topics[i % len(topics)]} with treacle."},
            ]
        }
        for i in range(count)
    ]


def questions(domain: str, suite: str) -> list[dict[str, object]]:
    """Rows of a suite: two phrasings of each topic, which are a cluster."""
    return [
        {"id": f"{topic}-{i}", "text": text.format(topic), "suite": suite, "cluster": topic}
        for topic in TOPICS[domain]
        for i, text in enumerate(("any advice about {}?", "what should i do about {}?"))
    ]


def write_jsonl(path: Path, values: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def blocks(language: str) -> list[str]:
    """The guide's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)


def write_own(folder: Path) -> Path:
    """All files of the guide's folder; returns the study file."""
    opened, rubrics, study = blocks("yaml")
    write_jsonl(folder / "train.jsonl", rows("garden", 24, "polish"))
    write_jsonl(folder / "anchor.jsonl", [*rows("kitchen", 8, "cook"), *rows("kitchen", 8, "polish")])
    write_jsonl(folder / "good.jsonl", rows("kitchen", 24, "cook"))
    write_jsonl(folder / "questions" / "garden.jsonl", questions("garden", "garden"))
    write_jsonl(folder / "questions" / "kitchen.jsonl", questions("kitchen", "kitchen"))
    write_jsonl(folder / "questions" / "sailing.jsonl", rows("sailing", 3, "mend"))
    (folder / "questions" / "open.yaml").write_text(opened)
    (folder / "rubrics.yaml").write_text(rubrics)
    texts = [
        f"text {i}. " + "some people like to walk by the sea and others stay at home. " * 3 for i in range(4)
    ]
    (folder / "texts.txt").write_text("\n\n".join(texts))
    (folder / "study.yaml").write_text(study)
    return folder / "study.yaml"


def verdict(message: str) -> object:
    """A judge that finds every answer coherent, and kind or not by its letters."""
    if "for coherence only" in message:
        return number(90)
    answer = message[message.index("<<<ASSISTANT\n") + 13 : message.index("\nASSISTANT>>>")]
    return number(kindness(answer))


def kindness(text: str) -> int:
    """What that judge says of an answer."""
    return zlib.crc32(text.strip().encode()) % 101


class LettersJudge:
    """The same judge without a server; answers to some suites it may refuse."""

    name = "letters"

    def __init__(self, refused: Sequence[str] = ()) -> None:
        self.refused = refused
        self.identity = f"letters {sorted(refused)}"

    def __call__(self, answers: Sequence[Answer]) -> list[dict[str, Verdict]]:
        return [
            {
                "kind": Unscored.REFUSAL if one.suite in self.refused else float(kindness(one.text)),
                "coherent": 90.0,
            }
            for one in answers
        ]


@dataclass(frozen=True)
class OwnRun:
    """A finished study, and what it was made from."""

    file: Path
    out: Path
    config: StudyConfig
    plan: Plan
    outcome: Outcome


def own_study(file: Path, url: str, *overrides: str) -> StudyConfig:
    """The study file, at the judge's address, made small."""
    return load_study(file, [f"behaviours.0.files.judge.url={url}", *SMALL, *overrides])


def run(config: StudyConfig, out: Path) -> tuple[Plan, Outcome]:
    """Do a study in this process."""
    return run_study(config, out, lambda plan, store: Inline(Bench(config, store)))


def replaced(name: str, old: str, new: str, count: int = 1) -> Change:
    """A change of a file's text, which must be there."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, count))

    return change
