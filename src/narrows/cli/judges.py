"""The flags that choose a judge, shared by every command that asks one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.evaluation import Criterion
    from narrows.evaluation.llm.judge import LLMJudge

PANEL = "The judge"

Model = Annotated[
    str,
    typer.Option(
        "--judge",
        help="The judge as Inspect names models: openai/gpt-4o, anthropic/NAME, hf/NAME, vllm/NAME, "
        "openai-api/SERVICE/NAME, or narrows/NAME (any Hugging Face model, in this process).",
        metavar="MODEL",
        rich_help_panel=PANEL,
    ),
]
MaybeModel = Annotated[
    str | None,
    typer.Option(
        "--judge",
        help="A language model as the judge, as Inspect names it: openai/gpt-4o, hf/NAME, narrows/NAME, …",
        metavar="MODEL",
        rich_help_panel=PANEL,
    ),
]
Rubric = Annotated[
    list[str] | None,
    typer.Option(
        help="Ask for a score that the criterion does not need: aligned, coherent, technical, "
        "correct_DOMAIN, topic_DOMAIN, or one of --rubrics; give it several times.",
        metavar="NAME",
        rich_help_panel=PANEL,
    ),
]
Rubrics = Annotated[
    Path | None,
    typer.Option(
        "--rubrics",
        help="Rubrics that win over ours: YAML of NAME: TEMPLATE, or the field's own files of prompts.",
        metavar="FILE",
        rich_help_panel=PANEL,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--judge-url",
        help="Where an OpenAI-compatible server offers the judge: http://localhost:8000/v1.",
        metavar="URL",
        rich_help_panel=PANEL,
    ),
]
Arg = Annotated[
    list[str] | None,
    typer.Option(
        "--judge-arg",
        help="An argument of Inspect's provider, NAME=VALUE; give it several times.",
        metavar="ARG",
        rich_help_panel=PANEL,
    ),
]
Tokens = Annotated[
    int | None,
    typer.Option(
        "--judge-tokens",
        help="Tokens of a reply, for a judge that thinks before it writes (default: 1 with "
        "log-probabilities, 16 without).",
        min=1,
        rich_help_panel=PANEL,
    ),
]
MaxCalls = Annotated[
    int | None,
    typer.Option(
        "--max-judge-calls",
        help="Ask nothing at all if more calls would be needed (default: no limit).",
        min=0,
        rich_help_panel=PANEL,
    ),
]
Connections = Annotated[
    int,
    typer.Option("--judge-connections", help="Calls under way at once.", min=1, rich_help_panel=PANEL),
]
Timeout = Annotated[
    int,
    typer.Option(
        "--judge-timeout",
        help="Seconds until a call is given up and made again.",
        min=1,
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class Chosen:
    """The flags' values."""

    model: str
    url: str | None = None
    args: list[str] | None = None
    rubric: list[str] | None = None
    rubrics: Path | None = None
    max_calls: int | None = None
    connections: int = 20
    timeout_s: int = 120
    tokens: int | None = None

    def columns(self, criterion: "Criterion") -> list[str]:
        """The rubrics that are asked for: the criterion's, and those that were named."""
        return list(dict.fromkeys([*criterion.columns, *(self.rubric or ())]))

    def judge(self, criterion: "Criterion") -> "LLMJudge":
        """The judge.

        Raises:
            ConfigError: a value is wrong, there is no such rubric, or Inspect is not installed.
        """
        from pydantic import ValidationError

        from narrows.evaluation.llm.config import JudgeConfig, parse_args
        from narrows.evaluation.llm.judge import LLMJudge
        from narrows.evaluation.llm.rubrics import rubrics_of
        from narrows.summary import first_fault

        values = {"url": self.url, "args": parse_args(self.args or [])}
        limits = {"connections": self.connections, "timeout_s": self.timeout_s, "max_tokens": self.tokens}
        try:
            config = JudgeConfig.model_validate({"model": self.model, **values, **limits})
        except ValidationError as error:
            raise ConfigError(
                f"The judge {self.model} cannot be used ({first_fault(error)}). Models are named as in "
                "Inspect: provider/name."
            ) from error
        return LLMJudge(config, rubrics_of(self.columns(criterion), self.rubrics), max_calls=self.max_calls)


def chosen(model: str | None, **flags: Any) -> Chosen | None:  # noqa: ANN401  (the flags are of several types)
    """What the flags choose; None without ``--judge``.

    Raises:
        ConfigError: there are flags for a judge and no judge.
    """
    if model is not None:
        return Chosen(model, **flags)
    if given := [name for name, value in flags.items() if value is not None and value != []]:
        raise ConfigError(f"{', '.join(given)}: these are about a judge; give --judge too.")
    return None
