"""Adapted chat models as models of Inspect, so that any of its tasks runs on them."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from narrows.adapters import load_adapter, self_check
from narrows.chat import Rendered
from narrows.errors import ConfigError, DataError
from narrows.evaluation.generation.completion import Completion, complete, room_for_answer
from narrows.evaluation.generation.sampling import Decoding, uniforms
from narrows.evaluation.llm.batching import Batcher
from narrows.evaluation.llm.forms import choice_of, choice_of_beginning, turn_of
from narrows.evaluation.llm.numbers import Beginning, beginnings
from narrows.evaluation.llm.spellings import NumberTree
from narrows.files import digest

if TYPE_CHECKING:
    from narrows.adapters import Adapter
    from narrows.models import ChatModel

MAX_TOKENS = 2048
"""The longest answer where a task says none; cut where the model's context ends."""

NOT_SUPPORTED = (
    "best_of",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "prompt_logprobs",
    "response_schema",
)
"""Settings that would change an answer: refused, since whoever gave one would not see it ignored."""


@dataclass(eq=False)
class _Loaded:
    """A model in memory, and the right to attach an adapter to it.

    Attributes:
        chat_model: the model.
        turn: held while an adapter is attached, since every model of Inspect's that shares it would have it.
    """

    chat_model: "ChatModel"
    turn: threading.Lock = field(default_factory=threading.Lock)


_LOADED: WeakValueDictionary[str, _Loaded] = WeakValueDictionary()
"""Models in use, by what they were loaded with: Inspect makes its model objects more than once, and several
scales of one adapter want one copy of the weights."""


@dataclass(frozen=True)
class _Request:
    """One answer that is asked for."""

    prompt: Rendered
    draws: list[object]


class NarrowsAPI(ModelAPI):  # type: ignore[misc]  # Inspect's own class is not seen by mypy here
    """A chat model with an adapter attached, loaded and sampled as everywhere in this library.

    Concurrent requests are answered in batches. Where Inspect is told nothing else it opens 20 connections
    and slowly more; ``--max-connections`` of the batch size fills the batches from the start.

    Attributes:
        chat_model: the loaded model.
        adapter: the scaled adapter, or None.
        load: loads a chat model by its name; set where the names are known.

    Args:
        model_name: what ``load`` takes.
        base_url: none; the model runs in this process.
        api_key: none.
        config: settings of all requests; a seed makes the answers to a prompt depend on the seed, the prompt
            and how often it was asked, and on nothing else.
        adapter: an adapter's file, its run's folder, or ``hub:owner/name``; None is the chat model itself.
        scale: a factor on the adapter.
        batch_size: requests answered together.
        whole_numbers: a request for the log-probabilities of one token is answered with the whole numbers
            0-100, each with the exact log-probability that the reply begins with it however many tokens it
            takes, in the place of the digits (:mod:`narrows.evaluation.llm.numbers`); the text is the
            likeliest of all. For judges.
        loading: how the model is loaded: ``dtype``, ``device``, ``quantise``, ``revision``.

    Raises:
        ConfigError: an argument is unknown, or out of its range.
        ModelError: the model cannot be loaded.
        AdapterError: the adapter cannot be loaded, or does not fit the model.
    """

    load: ClassVar[Callable[..., "ChatModel"]]

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        *,
        adapter: str | None = None,
        scale: float = 1.0,
        batch_size: int = 32,
        whole_numbers: bool = False,
        **loading: Any,  # noqa: ANN401  (from Inspect's command line)
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        if strangers := sorted(loading.keys() - {"dtype", "device", "quantise", "revision"}):
            raise ConfigError(
                f"-M {strangers[0]}: there is no such argument; there are adapter, scale, batch_size, "
                "whole_numbers, dtype, device, quantise and revision."
            )
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
        if adapter is None and scale != 1.0:
            raise ConfigError(f"scale is {scale} but there is no adapter to scale.")
        vector = None if adapter is None else load_adapter(adapter)
        key = digest([model_name, loading])
        loaded = _LOADED.get(key) or _Loaded(type(self).load(model_name, **loading))
        self._loaded = _LOADED[key] = loaded
        self.chat_model = loaded.chat_model
        self.adapter: Adapter | None = None
        if vector is not None:
            vector.check(self.chat_model.model)
            with loaded.turn:
                self_check(self.chat_model, vector.layer)
            placed = vector.placed(self.chat_model.model)
            self.adapter = placed if scale == 1.0 else placed.scaled(scale)
        self.batch_size = batch_size
        self._batcher: Batcher[tuple[_Request, Decoding], Completion] = Batcher(self._complete, batch_size)
        self._beginner: Batcher[tuple[Rendered, int], Beginning] = Batcher(self._begin, batch_size)
        self._tree = NumberTree.of(self.chat_model.tokenizer) if whole_numbers else None
        self._asked: Counter[str] = Counter()

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """The model's answer, or ``num_choices`` of them.

        Raises:
            ConfigError: tools, or a setting that this model does not have.
            DataError: the turns are no text, are refused by the chat template, or fill the context.
        """
        if tools:
            raise ConfigError(
                f"{self.model_name} has no tools: it answers in text. Run the task without them "
                f"({', '.join(tool.name for tool in tools[:3])})."
            )
        prompt = self._prompt(input)
        decoding = self._decoding(prompt, config)
        if self._tree is not None and config.max_tokens == 1 and decoding.top_logprobs:
            self._check_beginning(prompt, config, self._tree.longest)
            begun = await self._beginner.reply((prompt, decoding.top_logprobs), decoding.top_logprobs)
            choices = [choice_of_beginning(begun, self.model_name) for _ in range(config.num_choices or 1)]
            return self._output(prompt, choices, len(choices))
        requests = [self._request(prompt, config.seed) for _ in range(config.num_choices or 1)]
        completions = await self._batcher.reply_all([(one, decoding) for one in requests], decoding)
        logprobs = decoding.top_logprobs is not None
        choices = [
            choice_of(one, self.model_name, self.chat_model.tokenizer, logprobs) for one in completions
        ]
        return self._output(prompt, choices, sum(one.tokens for one in completions))

    def max_tokens(self) -> int:
        """The longest answer where a task says none."""
        return MAX_TOKENS

    def max_connections(self) -> int:
        """As many as a batch has rows."""
        return self.batch_size

    def connection_key(self) -> str:
        """Each model of this process is by itself."""
        return str(id(self))

    def collapse_user_messages(self) -> bool:
        """Chat templates want user and assistant in turn."""
        return True

    def collapse_assistant_messages(self) -> bool:
        """Chat templates want user and assistant in turn."""
        return True

    async def tokenize(self, text: str) -> list[int]:
        """A text's tokens."""
        return list(self.chat_model.tokenizer(text, add_special_tokens=False)["input_ids"])

    async def count_text_tokens(self, text: str) -> int:
        """A text's tokens by the model's own tokenizer; Inspect's own would fetch one."""
        return len(await self.tokenize(text))

    async def count_tokens(
        self,
        input: str | list[ChatMessage],
        config: GenerateConfig | None = None,
    ) -> int:
        """The tokens of a text, or of turns as they are rendered."""
        return await self.count_text_tokens(input) if isinstance(input, str) else len(self._prompt(input))

    def _prompt(self, messages: Sequence[ChatMessage]) -> Rendered:
        """The turns' tokens."""
        ids = self.chat_model.renderer.prompt([turn_of(message) for message in messages])
        return Rendered(ids, [False] * len(ids))

    def _decoding(self, prompt: Rendered, config: GenerateConfig) -> Decoding:
        """How a request is decoded; requests share a batch if it is equal."""
        if strange := [name for name in NOT_SUPPORTED if getattr(config, name) is not None]:
            raise ConfigError(f"{self.model_name} has no {strange[0]}: leave that setting out.")
        room = room_for_answer(self.chat_model, prompt.input_ids)
        if room == 0:
            raise DataError(
                f"{self.model_name}: the prompt has {len(prompt)} tokens, which fill the model's context: no "
                "room is left for an answer."
            )
        asked = config.max_tokens or MAX_TOKENS
        return Decoding(
            max_new_tokens=asked if room is None else min(asked, room),
            temperature=1.0 if config.temperature is None else config.temperature,
            top_p=config.top_p,
            top_k=config.top_k,
            stop_strings=tuple(config.stop_seqs or ()),
            top_logprobs=(config.top_logprobs or 0) if config.logprobs or config.top_logprobs else None,
        )

    def _request(self, prompt: Rendered, seed: int | None) -> _Request:
        """A request with its own random numbers: fresh ones without a seed."""
        if seed is None:
            return _Request(prompt, [secrets.token_hex(16)])
        key = digest([seed, prompt.input_ids])
        self._asked[key] += 1
        return _Request(prompt, [key, self._asked[key]])

    def _complete(self, batch: Sequence[tuple[_Request, Decoding]]) -> list[Completion]:
        """Answer requests of one decoding; runs in a worker thread."""
        requests, decoding = [request for request, _ in batch], batch[0][1]
        draws = uniforms([one.draws for one in requests], decoding.max_new_tokens)
        with self._attached():
            return complete(self.chat_model, [one.prompt for one in requests], decoding, draws)

    def _begin(self, batch: Sequence[tuple[Rendered, int]]) -> list[Beginning]:
        """How the replies to some prompts begin; runs in a worker thread."""
        assert self._tree is not None  # noqa: S101  (nothing is sent here without one)
        with self._attached():
            return beginnings(self.chat_model, self._tree, [prompt for prompt, _ in batch], batch[0][1])

    @contextmanager
    def _attached(self) -> Iterator[None]:
        """The model with this adapter, and with no other of those that share it."""
        with self._loaded.turn:
            attached: AbstractContextManager[None] = nullcontext()
            if self.adapter is not None:
                attached = self.adapter.attach(self.chat_model.model)
            with attached:
                yield

    def _check_beginning(self, prompt: Rendered, config: GenerateConfig, needed: int) -> None:
        """See that whole numbers of up to ``needed`` tokens can be read after a prompt."""
        if config.temperature:
            raise ConfigError(
                f"{self.model_name} with whole_numbers says the likeliest beginning of a reply, and "
                f"temperature is {config.temperature}: set it to 0, or leave whole_numbers out."
            )
        room = room_for_answer(self.chat_model, prompt.input_ids)
        if room is not None and room < needed:
            raise DataError(
                f"{self.model_name}: the prompt has {len(prompt)} tokens, which leave the model's context no "
                f"room for a number, which may take {needed}."
            )

    def _output(self, prompt: Rendered, choices: list[ChatCompletionChoice], written: int) -> ModelOutput:
        """Choices with the tokens that they took."""
        usage = ModelUsage(
            input_tokens=len(prompt), output_tokens=written, total_tokens=len(prompt) + written
        )
        return ModelOutput(model=self.model_name, choices=choices, usage=usage)
