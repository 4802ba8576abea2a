"""A judge as Inspect's model: how it is made, and what is read from what it gives back."""

from typing import TYPE_CHECKING

from narrows.errors import ConfigError, NarrowsError
from narrows.evaluation.llm.config import JudgeConfig, redacted
from narrows.evaluation.llm.scoring import Reply
from narrows.strict import one_line

if TYPE_CHECKING:
    from inspect_ai.model import Model, ModelOutput


def judge_model(config: JudgeConfig) -> "Model":
    """The judge as Inspect's model.

    Raises:
        ConfigError: Inspect is not installed, has no such provider, or finds no key in the environment.
    """
    from rich.text import Text

    try:
        from inspect_ai._util.error import PrerequisiteError
        from inspect_ai.model import GenerateConfig, get_model
    except ImportError as error:
        raise ConfigError("LLM judges need Inspect: pip install 'narrows[judges]'.") from error

    def made(api_key: str | None) -> "Model":
        limits = GenerateConfig(
            max_connections=config.connections,
            attempt_timeout=config.timeout_s,
            max_retries=config.retries,
        )
        return get_model(
            config.model,
            base_url=config.url,
            api_key=api_key,
            config=limits,
            memoize=False,
            **config.provider_args,
        )

    try:
        try:
            return made(None)
        except PrerequisiteError:
            if not config.local_endpoint:
                raise
            return made("none")  # what is served on this machine needs no key
    except NarrowsError:
        raise
    except Exception as error:
        reason = one_line(redacted(Text.from_markup(str(error)).plain))  # Inspect writes for a terminal
        raise ConfigError(
            f"The judge {config.model} cannot be made: {reason}. Models are named as in "
            "Inspect (openai/gpt-4o, hf/NAME, narrows/NAME), and their keys are read from the environment."
        ) from error


def readable(output: "ModelOutput", *, weighted: bool) -> Reply:
    """What a judge said; a reply without an answer in it is an error, to be asked for again."""
    if output.error or not output.choices:
        raise ValueError(output.error or "a reply without an answer in it")
    choice = output.choices[0]
    first = choice.logprobs.content[0] if choice.logprobs and choice.logprobs.content else None
    if not weighted or first is None:
        return Reply(output.completion)
    top = {one.token: one.logprob for one in first.top_logprobs or ()}
    return Reply(output.completion, tuple((top | {first.token: first.logprob}).items()))


def cause_of(error: BaseException) -> tuple[BaseException, int | None]:
    """What a provider's client said, under all that was made of it, and the status of the server's reply."""
    found: tuple[BaseException, int | None] = (error, None)
    one: BaseException | None = error
    while one is not None:
        if isinstance(status := getattr(one, "status_code", None), int):
            found = (one, status)
        one = one.__cause__ or one.__context__
    return found
