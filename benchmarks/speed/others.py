"""Workloads (c), (e) and (f): a λ grid as a bank, generation for an evaluation, the demo."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.generation import bare, ours
from benchmarks.speed.cases import Rows
from benchmarks.speed.measuring import Phases, clocked
from benchmarks.speed.steering import recipe
from random_models import conversations, questions

from narrows.models import ChatModel
from narrows.training.bank import BankWindow
from narrows.training.ready import Training
from narrows.training.recipe import Recipe
from narrows.training.window import Window

MEMBERS, STEPS = 8, 2
GRID, ANSWERS, DEMO = "steps of a λ grid of 8", "answers", "narrows demo"


class Bank:
    """Eight λ at once, their frozen states kept."""

    def __init__(self, chat_model: ChatModel, rows: Rows, plan: Recipe) -> None:
        self._device = chat_model.device
        self._trainings = _grid(chat_model, rows, plan)
        self._window = BankWindow(chat_model, self._trainings)

    def __call__(self) -> Phases:
        """Some steps of all."""
        return {GRID: clocked(self._device, self._steps)}

    def _steps(self) -> None:
        for step in range(STEPS):
            for one in self._trainings:
                one.begin_step()
            self._window.backward(range(MEMBERS), step)


class OneByOne:
    """The same eight one after another, their frozen states kept."""

    def __init__(self, chat_model: ChatModel, rows: Rows, plan: Recipe) -> None:
        self._device = chat_model.device
        self._trainings = _grid(chat_model, rows, plan)
        first = self._trainings[0]
        self._windows = [
            Window(
                chat_model,
                one.recipe,
                one.order,
                rows=first.rows,
                anchor=first.anchor,
                depth=first.adapter.depth,
            )
            for one in self._trainings
        ]

    def __call__(self) -> Phases:
        """Some steps of all."""
        return {GRID: clocked(self._device, self._steps)}

    def _steps(self) -> None:
        for one, window in zip(self._trainings, self._windows, strict=True):
            for step in range(STEPS):
                one.begin_step()
                window.backward(one.adapter, step)


def _grid(chat_model: ChatModel, rows: Rows, plan: Recipe) -> list[Training]:
    """Trainings that differ in λ only, with rows that are tokens already."""
    found = []
    for number in range(MEMBERS):
        one = plan.with_anchor(2.0 ** (number - 3), rows_per_row=1.0)
        words = conversations(2, 4)  # stand in for the rows, which are tokens already
        training = Training.of(chat_model, words, one, anchor=words)
        training.rows, training.anchor = rows.training, rows.anchor
        training.order = type(training.order)(one, len(rows.training), len(rows.anchor))
        found.append(training)
    return found


class Answers:
    """Answers for an evaluation, ours or the model's own ``generate``."""

    def __init__(self, chat_model: ChatModel, *, as_baseline: bool, count: int = 16, size: int = 8) -> None:
        self._chat_model, self._way, self._size = chat_model, bare if as_baseline else ours, size
        self._asked = questions(conversations(count, 4))

    def __call__(self) -> Phases:
        """Seconds for a thousand tokens: sampled answers differ in length."""
        begin = time.perf_counter()
        tokens = self._way(self._chat_model, self._asked, None, self._size)
        return {ANSWERS: 1000 * (time.perf_counter() - begin) / tokens}


def demo() -> float:
    """Seconds that ``narrows demo`` takes, from the prompt to the report."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        command = [sys.executable, "-m", "narrows", "demo", "--out", str(Path(folder) / "demo"), "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin


def grid_recipe(chat_model: ChatModel) -> Recipe:
    """Of the steering vectors in the grid."""
    return recipe(chat_model)
