"""Generating answers: every question asked as often as wanted, in batches, each answer by its own draws."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from narrows.chat import Rendered, length_order
from narrows.errors import ConfigError, DataError
from narrows.evaluation.answers import CHAT, Answer
from narrows.evaluation.generation.completion import complete, room_for_answer
from narrows.evaluation.generation.sampling import Decoding, uniforms
from narrows.evaluation.generation.unfinished import Unfinished
from narrows.evaluation.questions import Question, Suite, questions_of
from narrows.files import digest
from narrows.interventions import attached
from narrows.progress import bar

if TYPE_CHECKING:
    from narrows.adapters import Adapter
    from narrows.interventions import Intervention
    from narrows.models import ChatModel


@dataclass(frozen=True)
class _Asked:
    """One answer to generate.

    Attributes:
        question: what is asked.
        sample: which of the question's samples.
        prompt: the question's tokens.
        limit: the longest answer, in tokens: what was asked for, or what the context leaves.
        seed: of the run.
    """

    question: Question
    sample: int
    prompt: Rendered
    limit: int
    seed: int

    @property
    def draws(self) -> list[object]:
        """What decides the answer's random numbers."""
        return [self.seed, self.question.suite, self.question.id, self.sample]


def generate_answers(
    chat_model: "ChatModel",
    asked: Sequence[Suite | Question],
    *,
    adapter: "Adapter | None" = None,
    name: str = CHAT,
    scale: float = 1.0,
    interventions: "Sequence[Intervention]" = (),
    samples: int = 1,
    max_new_tokens: int = 600,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 256,
    unfinished: Path | None = None,
) -> list[Answer]:
    """Ask every question ``samples`` times and return one row an answer, in the order of the questions.

    Tokens are drawn from the model's whole distribution at ``temperature``: the checkpoint's own generation
    defaults (top-p, repetition penalty, …) are set aside, since they would change what is measured. An
    answer's draws depend on ``seed``, its suite, its question's id and its sample, and on nothing else: not
    on the other questions, their order, the batch size or the adapter (so that solutions are compared on the
    same draws). What a batch still changes is the rounding of the model's own arithmetic.

    Args:
        chat_model: the model, its tokenizer and renderer.
        asked: suites, or questions; one that is given twice is asked once.
        adapter: attached while generating; None asks the chat model itself.
        name: the rows' solution name.
        scale: factor on the adapter.
        interventions: attached while generating, after the adapter; each acts on what those before it left.
        samples: answers to each question.
        max_new_tokens: the longest answer; paper §4 has 600. Cut where the model's context ends.
        temperature: 0 takes the likeliest token each time.
        seed: of the sampling.
        batch_size: answers generated together, at most: halved for the rest of the call whenever the device
            runs out of memory.
        unfinished: a file that keeps every finished batch, and from which the answers that it holds are
            taken. Answers of another model, adapter, scale, seed, prompt or decoding are left alone in it, so
            several calls may share it; whoever has written the table removes it. None keeps nothing.

    Raises:
        ConfigError: an argument is out of its range, or there is a scale without an adapter.
        DataError: a question fills the model's whole context.
        ModelError: the model's logits are not finite.
        RunFolderError: ``unfinished`` cannot be written.
    """
    for argument, value in {"samples": samples, "batch_size": batch_size}.items():
        if value < 1:
            raise ConfigError(f"{argument} is {value}; it must be at least 1.")
    decoding = Decoding(max_new_tokens=max_new_tokens, temperature=temperature)
    if adapter is None and scale != 1.0:
        raise ConfigError(f"scale is {scale} but there is no adapter to scale.")
    questions = dict.fromkeys(questions_of(asked))
    rows = [
        _Asked(question, sample, prompt, limit, seed)
        for question, prompt, limit in _prompts(chat_model, questions, decoding)
        for sample in range(samples)
    ]
    adapted: AbstractContextManager[Any] = nullcontext()
    if adapter is not None:
        adapter = adapter.placed(chat_model.model)
        adapter = adapter if scale == 1.0 else adapter.scaled(scale)
        adapted = adapter.attach(chat_model.model)
    acting = [*([] if adapter is None else [_fingerprint(adapter)]), *(one.identity for one in interventions)]
    kept = None if unfinished is None else _Kept(unfinished, chat_model, acting, temperature)
    texts = [""] * len(rows)
    with adapted, attached(chat_model, interventions), bar(f"answers · {name}", total=len(rows)) as shown:
        for places, some in _batches(chat_model, rows, temperature, batch_size, kept):
            for place, text in zip(places, some, strict=True):
                texts[place] = text
            shown.advance(len(places))
    hashes = {row.question: digest(row.prompt.input_ids) for row in rows}
    return [
        Answer(
            model=chat_model.name,
            adapter=name,
            scale=scale,
            suite=row.question.suite,
            question_id=row.question.id,
            cluster=row.question.cluster,
            question=row.question.text,
            sample=row.sample,
            text=text,
            seed=seed,
            prompt_hash=hashes[row.question],
        )
        for row, text in zip(rows, texts, strict=True)
    ]


class _Kept:
    """The answers that an unfinished file holds of one model, with what acts on it, at one temperature."""

    def __init__(
        self, path: Path, chat_model: "ChatModel", acting: list[list[object]], temperature: float
    ) -> None:
        self._file = Unfinished(path)
        model = [chat_model.name, chat_model.id, chat_model.precision]
        self._shared = [*model, acting, temperature]

    def texts(self, rows: Sequence[_Asked]) -> list[str] | None:
        """The texts of some rows; None unless all are there."""
        found = [self._file.get(self._key(row)) for row in rows]
        return None if None in found else [str(text) for text in found]

    def add(self, rows: Sequence[_Asked], texts: Sequence[str]) -> None:
        """Keep the texts of some rows."""
        self._file.add({self._key(row): text for row, text in zip(rows, texts, strict=True)})

    def _key(self, row: _Asked) -> str:
        """A digest of all that decides an answer."""
        return digest([*self._shared, row.limit, row.prompt.input_ids, row.draws])


def _fingerprint(adapter: "Adapter") -> list[object]:
    """What tells an adapter's action from another's."""
    tensors = {
        place: digest(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        for place, tensor in adapter.tensors().items()
    }
    return [adapter.kind, adapter.layer, getattr(adapter, "module", ""), adapter.effective_norm, tensors]


def _prompts(
    chat_model: "ChatModel", questions: Iterable[Question], decoding: Decoding
) -> Iterator[tuple[Question, Rendered, int]]:
    """Each question's tokens, and how long its answers may be."""
    for question in questions:
        ids = chat_model.renderer.prompt(question.messages())
        room = room_for_answer(chat_model, ids)
        if room == 0:
            raise DataError(
                f"Question {question.id!r} of suite {question.suite!r} has {len(ids)} tokens and the model's "
                f"context is {chat_model.model.config.max_position_embeddings}: no room is left for an "
                "answer. Shorten the question or leave it out."
            )
        longest = decoding.max_new_tokens
        yield question, Rendered(ids, [False] * len(ids)), longest if room is None else min(longest, room)


def _batches(
    chat_model: "ChatModel",
    rows: Sequence[_Asked],
    temperature: float,
    batch_size: int,
    kept: _Kept | None,
) -> Iterator[tuple[list[int], list[str]]]:
    """The rows' places and texts, a batch at a time, prompts of like length together.

    Rows share a batch only if their answers may be equally long: padded to a longer prompt, a short one
    would lose what its context leaves. A batch that was kept in part is generated whole, so that every answer
    comes out of the batch it would have come out of without a kill.
    """
    rest = length_order([row.prompt for row in rows])
    while rest:
        limit = rows[rest[0]].limit
        places = [place for place in rest[:batch_size] if rows[place].limit == limit]
        batch = [rows[place] for place in places]
        texts = kept.texts(batch) if kept else None
        if texts is None:
            try:
                made = complete(
                    chat_model,
                    [row.prompt for row in batch],
                    Decoding(max_new_tokens=limit, temperature=temperature),
                    uniforms([row.draws for row in batch], limit),
                )
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                batch_size = len(batch) // 2
                continue
            texts = [completion.text for completion in made]
            if kept:
                kept.add(batch, texts)
        yield places, texts
        rest = rest[len(places) :]
