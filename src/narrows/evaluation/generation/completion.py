"""From prompts to completions: one batch through the model, by its own probabilities and nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from narrows.chat import Rendered, collate
from narrows.evaluation.generation.sampling import Decoding, StopStrings, TokenPicker

if TYPE_CHECKING:
    from narrows.models import ChatModel


@dataclass(frozen=True)
class TokenLogprob:
    """The log-probabilities at one place of a completion, in nats.

    Attributes:
        token: the picked token.
        logprob: its log-probability.
        top: the likeliest tokens with theirs, likeliest first.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Completion:
    """What the model said to one prompt.

    Attributes:
        text: without special tokens, and without the white space around it.
        tokens: generated tokens, the one that ended it included.
        ended: ``stop`` at a stop token or stop string, ``length`` where no more tokens were allowed.
        logprobs: one for each token of the text, if the decoding asks for them.
    """

    text: str
    tokens: int
    ended: Literal["stop", "length"]
    logprobs: tuple[TokenLogprob, ...] = ()


def room_for_answer(chat_model: "ChatModel", prompt: Sequence[int]) -> int | None:
    """How many tokens the model's context leaves after a prompt; None where it says no limit."""
    context = getattr(chat_model.model.config, "max_position_embeddings", None)
    return None if context is None else max(0, context - len(prompt))


def complete(
    chat_model: "ChatModel", prompts: Sequence[Rendered], decoding: Decoding, draws: Tensor | None
) -> list[Completion]:
    """Generate one completion for each prompt, all in one batch.

    The checkpoint's own generation defaults (top-p, repetition penalty, …) are set aside. Whatever adapter is
    attached acts.

    Args:
        chat_model: the model, its tokenizer and renderer.
        prompts: each with room for ``decoding.max_new_tokens`` after it.
        decoding: shared by all.
        draws: (prompts, max_new_tokens), fp64 in [0, 1), see
            :func:`narrows.evaluation.generation.sampling.uniforms`; unused at temperature 0.

    Raises:
        ModelError: the model's logits are not finite.
        torch.OutOfMemoryError: the batch is too large for the device.
    """
    from transformers import GenerationConfig

    stops = list(chat_model.renderer.stop_token_ids)
    batch = collate(prompts, chat_model.pad_id, side="left").to(chat_model.device)
    start = batch.input_ids.shape[1]
    picker = TokenPicker(decoding, start, draws if decoding.temperature > 0 else None)
    strings = decoding.stop_strings
    criteria = [StopStrings(chat_model.tokenizer, strings, start)] if strings else []
    with _plain_generation(chat_model.model):
        tokens = chat_model.model.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            generation_config=GenerationConfig(
                max_new_tokens=decoding.max_new_tokens,
                eos_token_id=stops,
                pad_token_id=chat_model.pad_id,
                do_sample=False,  # the picker has drawn
            ),
            logits_processor=[picker],
            stopping_criteria=criteria,
        )
    picker.check(chat_model.name)
    kept = [_ended(chat_model, row, set(stops), strings) for row in tokens[:, start:].tolist()]
    texts = chat_model.tokenizer.batch_decode([row for row, *_ in kept], skip_special_tokens=True)
    return [
        Completion(
            _before(text, strings).strip(),
            count,
            ended,
            _logprobs(picker, place, len(row)),
        )
        for place, (text, (row, count, ended)) in enumerate(zip(texts, kept, strict=True))
    ]


@contextmanager
def _plain_generation(model: Any) -> Iterator[None]:  # noqa: ANN401  (transformers is not typed)
    """The model without its checkpoint's generation defaults; they are put back afterwards."""
    from transformers import GenerationConfig

    defaults = model.generation_config
    try:
        model.generation_config = GenerationConfig()
        yield
    finally:
        model.generation_config = defaults


def _ended(
    chat_model: "ChatModel", tokens: list[int], stops: set[int], strings: Sequence[str]
) -> tuple[list[int], int, Literal["stop", "length"]]:
    """The tokens of the text, how many were generated, and why they ended.

    Cut at the first stop token: what follows is padding, whatever its id.
    """
    end = next((place for place, token in enumerate(tokens) if token in stops), None)
    row = tokens[:end]
    if strings:

        def holds_one(count: int) -> bool:
            text = chat_model.tokenizer.decode(row[:count], skip_special_tokens=True)
            return any(string in text for string in strings)

        if holds_one(len(row)):
            count = next(count for count in range(1, len(row) + 1) if holds_one(count))
            return row[:count], count, "stop"
    return (row, len(row), "length") if end is None else (row, end + 1, "stop")


def _before(text: str, strings: Sequence[str]) -> str:
    """The text before the first stop string."""
    return text[: min((place for string in strings if (place := text.find(string)) >= 0), default=None)]


def _logprobs(picker: TokenPicker, row: int, count: int) -> tuple[TokenLogprob, ...]:
    """The log-probabilities of a row's first tokens."""
    return tuple(
        TokenLogprob(
            int(picked[row]),
            float(own[row]),
            tuple(zip(tokens[row].tolist(), values[row].tolist(), strict=True)),
        )
        for picked, own, tokens, values in picker.logprobs[:count]
    )
