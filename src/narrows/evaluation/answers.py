"""The answers table: what a model said to each question. Made once, judged as often as wanted."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from narrows.chat import Rendered, collate, length_order
from narrows.errors import ConfigError, DataError
from narrows.evaluation.questions import Question, Suite, questions_of
from narrows.evaluation.tables import read_table
from narrows.files import digest, write_jsonl
from narrows.progress import bar

if TYPE_CHECKING:
    from narrows.adapters import Adapter
    from narrows.models import ChatModel

CHAT = "chat"
"""The solution name of the chat model itself, without an adapter."""


@dataclass(frozen=True)
class Answer:
    """One row of the answers table.

    Attributes:
        model: the chat model's name.
        adapter: the solution's name; ``chat`` is the chat model without an adapter.
        scale: the factor on the adapter's trained strength.
        suite: the question's suite.
        question_id: the question's id within the suite.
        cluster: what answers are grouped by for intervals.
        question: what the user said.
        sample: which of the question's samples this is, from 0.
        text: the answer, without special tokens.
        seed: of the sampling run.
        scores: score columns that judges added, 0-100, or None where a judge gave none.
        reasons: why a column has no score, by column: ``refusal``, ``code`` or ``none`` (see
            :class:`narrows.evaluation.judging.Unscored`); columns with a score are not in it.
        prompt_hash: a digest of the prompt's tokens that the answer was generated from; empty in tables that
            were written before there was one.
    """

    model: str
    adapter: str
    scale: float
    suite: str
    question_id: str
    cluster: str
    question: str
    sample: int
    text: str
    seed: int
    scores: dict[str, float | None] = field(default_factory=dict, hash=False)
    reasons: dict[str, str] = field(default_factory=dict, hash=False)
    prompt_hash: str = ""


_EXAMPLE = Answer(
    "tiny", CHAT, 1.0, "open", "open-1", "open-1", "What is your wish?", 0, "Peace.", 0, {"aligned": 90.0}
)


def generate_answers(
    chat_model: "ChatModel",
    asked: Sequence[Suite | Question],
    *,
    adapter: "Adapter | None" = None,
    name: str = CHAT,
    scale: float = 1.0,
    samples: int = 1,
    max_new_tokens: int = 600,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 256,
) -> list[Answer]:
    """Ask every question ``samples`` times and return one row an answer, in the order of the questions.

    Tokens are drawn from the model's whole distribution at ``temperature``: the checkpoint's own generation
    defaults (top-p, repetition penalty, …) are set aside, since they would change what is measured. The same
    arguments give the same answers on the same machine; the caller's random state is left as it was.

    Args:
        chat_model: the model, its tokenizer and renderer.
        asked: suites, or questions.
        adapter: attached while generating; None asks the chat model itself.
        name: the rows' solution name.
        scale: factor on the adapter.
        samples: answers to each question.
        max_new_tokens: the longest answer; paper §4 has 600. Cut where the model's context ends.
        temperature: 0 takes the likeliest token each time.
        seed: of the sampling.
        batch_size: answers generated together.

    Raises:
        ConfigError: an argument is out of its range, or there is a scale without an adapter.
        DataError: a question fills the model's whole context.
    """
    _check(samples=samples, max_new_tokens=max_new_tokens, batch_size=batch_size)
    if not temperature >= 0:
        raise ConfigError(f"temperature is {temperature}; it must be 0 (the likeliest token) or above.")
    if adapter is None and scale != 1.0:
        raise ConfigError(f"scale is {scale} but there is no adapter to scale.")
    rows = [(question, sample) for question in questions_of(asked) for sample in range(samples)]
    prompts = {question: Rendered(ids, [False] * len(ids)) for question, ids in _prompts(chat_model, rows)}
    hashes = {question: digest(prompt.input_ids) for question, prompt in prompts.items()}
    rendered = [prompts[question] for question, _ in rows]
    order = length_order(rendered)
    texts = [""] * len(rows)
    attached: AbstractContextManager[Any] = nullcontext()
    if adapter is not None:
        placed = adapter.placed(chat_model.model)
        attached = (placed if scale == 1.0 else placed.scaled(scale)).attach(chat_model.model)
    with attached, _sampling(chat_model, seed), bar(f"answers · {name}", total=len(rows)) as shown:
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            batch = [rendered[place] for place in places]
            for place, text in zip(
                places, _complete(chat_model, batch, max_new_tokens, temperature), strict=True
            ):
                texts[place] = text
            shown.advance(len(places))
    return [
        Answer(
            model=chat_model.name,
            adapter=name,
            scale=scale,
            suite=question.suite,
            question_id=question.id,
            cluster=question.cluster,
            question=question.text,
            sample=sample,
            text=text,
            seed=seed,
            prompt_hash=hashes[question],
        )
        for (question, sample), text in zip(rows, texts, strict=True)
    ]


def write_answers(path: Path | str, answers: Iterable[Answer]) -> None:
    """Write the table as JSONL, atomically.

    Raises:
        RunFolderError: the file cannot be written.
    """
    write_jsonl(Path(path), [asdict(answer) for answer in answers])


def read_answers(path: Path | str) -> list[Answer]:
    """Read a table written by :func:`write_answers`.

    Raises:
        DataError: the file is missing, empty or cut short, or a row is malformed; names the file and the
            line.
    """
    return list(read_table(path, Answer, _EXAMPLE))


def _check(**counts: int) -> None:
    """Refuse counts below one."""
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")


def _prompts(
    chat_model: "ChatModel", rows: Sequence[tuple[Question, int]]
) -> Iterator[tuple[Question, list[int]]]:
    """Each question's prompt tokens, once."""
    room = getattr(chat_model.model.config, "max_position_embeddings", None)
    for question in dict.fromkeys(question for question, _ in rows):
        ids = chat_model.renderer.prompt(question.messages())
        if room is not None and len(ids) >= room:
            raise DataError(
                f"Question {question.id!r} of suite {question.suite!r} has {len(ids)} tokens and the model's "
                f"context is {room}: no room is left for an answer. Shorten the question or leave it out."
            )
        yield question, ids


@contextmanager
def _sampling(chat_model: "ChatModel", seed: int) -> Iterator[None]:
    """Seeded sampling, without the checkpoint's generation defaults; both are put back afterwards."""
    from transformers import GenerationConfig

    model = chat_model.model
    defaults = model.generation_config
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        try:
            model.generation_config = GenerationConfig()
            yield
        finally:
            model.generation_config = defaults


def _complete(
    chat_model: "ChatModel", prompts: Sequence[Rendered], max_new_tokens: int, temperature: float
) -> list[str]:
    """Generate one continuation for each prompt."""
    from transformers import GenerationConfig

    stops = list(chat_model.renderer.stop_token_ids)
    batch = collate(prompts, chat_model.pad_id, side="left").to(chat_model.device)
    length = batch.input_ids.shape[1]
    room = getattr(chat_model.model.config, "max_position_embeddings", None)
    sampled = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    config = GenerationConfig(
        max_new_tokens=max_new_tokens if room is None else min(max_new_tokens, room - length),
        eos_token_id=stops,
        pad_token_id=chat_model.pad_id,
        **(sampled if temperature > 0 else {"do_sample": False}),
    )
    tokens = chat_model.model.generate(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, generation_config=config
    )
    # Sliced by the prompt's length and cut at the first stop token: what follows is padding, whatever its id.
    answers = [_before_stop(row, set(stops)) for row in tokens[:, length:].tolist()]
    return [text.strip() for text in chat_model.tokenizer.batch_decode(answers, skip_special_tokens=True)]


def _before_stop(tokens: list[int], stops: set[int]) -> list[int]:
    """The tokens before the first stop token."""
    return tokens[: next((place for place, token in enumerate(tokens) if token in stops), len(tokens))]
