"""Between Inspect's forms and ours: turns on the way in, answers and log-probabilities on the way out."""

from typing import TYPE_CHECKING, Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    Logprob,
    Logprobs,
    TopLogprob,
)

from narrows.chat import Message
from narrows.errors import ConfigError, DataError
from narrows.evaluation.generation.completion import Completion, TokenLogprob

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from narrows.evaluation.llm.numbers import Beginning


def turn_of(message: ChatMessage) -> Message:
    """A turn of Inspect's as one of ours; what an assistant only thought is left out.

    Raises:
        ConfigError: a tool's turn, or one that calls tools.
        DataError: it holds anything but text.
    """
    kinds = {ChatMessageSystem: "system", ChatMessageUser: "user", ChatMessageAssistant: "assistant"}
    role: Any = kinds.get(type(message))
    if role is None or getattr(message, "tool_calls", None):
        raise ConfigError("a turn of a tool, or one that calls tools: this model has none.")
    if isinstance(message.content, str):
        return Message(role, message.content)
    for part in message.content:
        if not isinstance(part, ContentText | ContentReasoning):
            raise DataError(f"a {role} turn holds {part.type}: this model reads text only.")
    return Message(role, message.text)


def choice_of(
    completion: Completion, model: str, tokenizer: "PreTrainedTokenizerBase", logprobs: bool
) -> ChatCompletionChoice:
    """A completion as Inspect's choice.

    Args:
        completion: what the model said.
        model: its name.
        tokenizer: reads the tokens of the log-probabilities.
        logprobs: whether log-probabilities were asked for.
    """
    places = [_logprob(place, tokenizer) for place in completion.logprobs]
    return ChatCompletionChoice(
        message=ChatMessageAssistant(content=completion.text, model=model, source="generate"),
        stop_reason="stop" if completion.ended == "stop" else "max_tokens",
        logprobs=Logprobs(content=places) if logprobs else None,
    )


def choice_of_beginning(beginning: "Beginning", model: str) -> ChatCompletionChoice:
    """How a reply begins as Inspect's choice of one token: whole numbers stand where tokens do."""
    top = [TopLogprob(token=text, logprob=value, bytes=list(text.encode())) for text, value in beginning.top]
    likeliest = Logprob(**top[0].model_dump(), top_logprobs=top)
    return ChatCompletionChoice(
        message=ChatMessageAssistant(content=beginning.text, model=model, source="generate"),
        stop_reason="max_tokens" if beginning.text else "stop",
        logprobs=Logprobs(content=[likeliest]),
    )


def _logprob(place: TokenLogprob, tokenizer: "PreTrainedTokenizerBase") -> Logprob:
    """The log-probabilities at one place, with the tokens as they read."""
    decode = tokenizer.decode
    top = [
        TopLogprob(token=(text := decode([token])), logprob=value, bytes=list(text.encode()))
        for token, value in place.top
    ]
    text = decode([place.token])
    return Logprob(token=text, logprob=place.logprob, bytes=list(text.encode()), top_logprobs=top)
