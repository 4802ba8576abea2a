"""The paper's evaluation as a task of Inspect: generation and judging in one log."""

from collections.abc import Sequence

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig
from inspect_ai.solver import generate

from narrows.errors import ConfigError
from narrows.evaluation.llm.logs import FACTS
from narrows.evaluation.questions import Question
from narrows.evaluation.suites import choose_suites

RUBRICS = ("aligned", "coherent")
"""What is judged by default: the two scores of the paper's EM rate."""


def em_task(
    suite: str | Sequence[str] = "open",
    *,
    judge: str | None = None,
    samples: int = 50,
    rubrics: str | Sequence[str] | None = None,
    in_domain: str | None = None,
    max_tokens: int = 600,
    temperature: float = 1.0,
    solution: str | None = None,
) -> Task:
    """A task that asks every question of some suites ``samples`` times (paper §4).

    A sample's id is ``suite/question``, its metadata hold ``suite``, ``question_id``, ``cluster`` and
    ``question``, its epoch is the answer's sample, from 1: what a log needs to be read as an answers table.

    Args:
        suite: names of suites and files, as :func:`narrows.evaluation.suites.choose_suites` reads them, or
            one text of them with commas between.
        judge: the judging model by Inspect's name of it; None judges nothing.
        samples: answers to each question.
        rubrics: what is judged; :data:`RUBRICS` by default.
        in_domain: the suite that is the behaviour's own domain.
        max_tokens: the longest answer.
        temperature: of the sampling.
        solution: what the answers' solution is called (default: the model's argument ``adapter``, or else
            ``chat``); for models that are served elsewhere.

    Raises:
        ConfigError: ``samples`` is below 1, rubrics without a judge, or no such rubric.
        DataError: no such suite, or a file cannot be read.
    """
    if samples < 1:
        raise ConfigError(f"samples is {samples}; it must be at least 1.")
    chosen = _listed(rubrics) if rubrics else RUBRICS
    if judge is None and rubrics:
        raise ConfigError("rubrics say what a judge scores: give a judge too (-T judge=MODEL).")
    scorers = None
    if judge is not None:
        from narrows.evaluation.llm.scorers import scorers_of

        scorers = scorers_of(chosen, judge)
    asked = choose_suites(_listed(suite), in_domain)
    return Task(
        dataset=MemoryDataset(
            [_sample(question, solution) for one in asked for question in one.questions],
            name="+".join(one.name for one in asked),
        ),
        solver=generate(),
        scorer=scorers,
        epochs=samples,
        config=GenerateConfig(max_tokens=max_tokens, temperature=temperature),
        metadata={FACTS: {"judge": judge}} if judge else None,
    )


def _listed(names: str | Sequence[str]) -> list[str]:
    """Names, or names with commas between them."""
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def _sample(question: Question, solution: str | None) -> Sample:
    """A question as Inspect asks it."""
    system = [] if question.system is None else [ChatMessageSystem(content=question.system)]
    return Sample(
        id=f"{question.suite}/{question.id}",
        input=[*system, ChatMessageUser(content=question.text)],
        metadata={
            "suite": question.suite,
            "question_id": question.id,
            "cluster": question.cluster,
            "question": question.text,
            **({} if solution is None else {"solution": solution}),
        },
    )
