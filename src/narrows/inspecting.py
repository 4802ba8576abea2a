"""What Inspect finds under the name ``narrows``: it imports this module through the package's entry point.

Models by every name that the library knows (``--model narrows/microworld:1 -M adapter=runs/narrow``), and
the task ``narrows/em``. Inspect imports it whatever it is asked to do, so torch is imported only once a model
or a task is made.
"""

from typing import TYPE_CHECKING

from inspect_ai import Task, task
from inspect_ai.model import ModelAPI, modelapi

if TYPE_CHECKING:
    from narrows.models import ChatModel


@modelapi(name="narrows")  # type: ignore[untyped-decorator]
def narrows() -> type[ModelAPI]:
    """The provider: ``narrows/NAME``, where NAME is what ``--model`` takes in the command line."""
    from narrows.evaluation.llm.provider import NarrowsAPI

    class NamedModels(NarrowsAPI):
        """The provider with the names of shipped models."""

        load = staticmethod(_load)

    return NamedModels


@task  # type: ignore[untyped-decorator]
def em(
    *,
    suite: str | list[str] = "open",
    judge: str | None = None,
    samples: int = 50,
    rubrics: str | list[str] | None = None,
    in_domain: str | None = None,
    max_tokens: int = 600,
    temperature: float = 1.0,
    solution: str | None = None,
) -> Task:
    """The paper's evaluation: questions, each asked ``samples`` times, and a judge's scores (paper §4).

    Args:
        suite: names of shipped suites, or files, as ``narrows evaluate`` takes them.
        judge: the judging model by Inspect's name of it, e.g. ``openai/gpt-4o``; None judges nothing.
        samples: answers to each question.
        rubrics: what is judged (default: ``aligned`` and ``coherent``).
        in_domain: the suite that is the behaviour's own domain.
        max_tokens: the longest answer.
        temperature: of the sampling.
        solution: what the answers' solution is called, for models that are served elsewhere.

    Raises:
        ConfigError: no such rubric.
        DataError: no such suite, or a file cannot be read.
    """
    from narrows.evaluation.llm.task import em_task

    return em_task(
        suite,
        judge=judge,
        samples=samples,
        rubrics=rubrics,
        in_domain=in_domain,
        max_tokens=max_tokens,
        temperature=temperature,
        solution=solution,
    )


def _load(name: str, **options: object) -> "ChatModel":
    """A chat model by any name that the library knows."""
    from narrows.api import load_chat_model

    return load_chat_model(name, **options)  # type: ignore[arg-type]
