"""The one way from conversations to tokens, so that training, anchor and evaluation always render alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from narrows.chat.conversation import Conversation, Message
from narrows.chat.templates import THINKING, steady
from narrows.errors import DataError, ModelError
from narrows.files import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "narrowsprobe"


@dataclass(frozen=True)
class Rendered:
    """A row of tokens.

    Attributes:
        input_ids: the tokens.
        response_mask: True where the token belongs to the answer (its end-of-turn token included); as long as
            ``input_ids``.
        source: where the row comes from, for error messages.
    """

    input_ids: list[int]
    response_mask: list[bool]
    source: str = ""

    def __len__(self) -> int:
        return len(self.input_ids)


class Renderer:
    """Renders chats with a tokenizer's own chat template, alike on every day.

    Attributes:
        tokenizer: the tokenizer.
        template: the chat template; where it asks for today's date, with one that always gives the same.
        template_options: the variables that the template is rendered with, see below.

    Args:
        tokenizer: a Hugging Face tokenizer that has a chat template.
        template_options: values for variables that the template reads, over these defaults, each of which
            holds where the template reads it: ``enable_thinking`` is False (hybrid thinking models answer
            without reasoning, as training rows do), ``date_string`` is 26 Jul 2024 (and so is today, to a
            template that asks).

    Raises:
        ModelError: the tokenizer has no chat template, or one that is no right Jinja template.
        ConfigError: the template reads no option of a given name.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        template_options: Mapping[str, object] | None = None,
    ) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                f"{tokenizer.name_or_path or 'the tokenizer'} has no chat template, so it is not a chat "
                "model: looked for chat_template.jinja and for chat_template in tokenizer_config.json. "
                "Use the model's instruct version, or put the right template into its folder as "
                "chat_template.jinja."
            )
        self.tokenizer = tokenizer
        try:
            template = str(tokenizer.get_chat_template())
            self.template, self.template_options = steady(template, template_options or {})
        except (ValueError, ModelError) as error:  # several templates of which none is the default
            raise ModelError(f"{self._name}: {error}") from error

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of ``messages`` up to where the assistant begins to speak.

        Raises:
            DataError: the template refuses the turns.
        """
        return self._tokens(self._written(messages, "a prompt", add_generation_prompt=True))

    def render(self, conversation: Conversation, max_length: int | None = None) -> Rendered:
        """The tokens of a conversation whose last turn, the assistant's, is the response.

        The response begins where the prompt ends, with the prompt's tokens as they are when an answer is
        generated, and includes the end-of-turn token that closes it; what the template puts after that token
        (a newline, say) is in the row but not in the response. Earlier assistant turns belong to the prompt.

        Args:
            conversation: ends with an assistant turn.
            max_length: tokens to keep from the start; None keeps all.

        Raises:
            DataError: the conversation does not end with an answer; the template refuses its turns; its
                rendering does not begin with its prompt's; or no response token is left.
        """
        source = conversation.source or "a conversation"
        if not conversation.messages or conversation.messages[-1].role != "assistant":
            raise DataError(
                f"{source}: the last message is not the assistant's, so there is no response to render."
            )
        asked = self._written(conversation.messages[:-1], source, add_generation_prompt=True)
        whole = self._written(conversation.messages, source)
        prompt, tokens = self._tokens(asked), self._tokens(whole)
        if tokens[: len(prompt)] != prompt:
            if not whole.startswith(asked):
                raise DataError(self._prefix_problem(source, prompt, tokens))
            # An answer that begins with white space, say, would become one token with the prompt's end. It is
            # read as it would be generated: after the prompt's own tokens.
            tokens = prompt + self._tokens(whole[len(asked) :])
        end = self._response_end(tokens, len(prompt))
        kept = len(tokens) if max_length is None else min(max_length, len(tokens))
        if min(end, kept) <= len(prompt):
            raise DataError(
                f"{source}: no response token is left: the prompt has {len(prompt)} tokens, the whole row "
                f"{len(tokens)}, max_length is {max_length}. Raise max_length above {len(prompt)}, or "
                "leave the row out."
            )
        mask = [len(prompt) <= place < end for place in range(kept)]
        return Rendered(tokens[:kept], mask, conversation.source)

    def text(self, text: str, max_length: int | None = None, source: str = "") -> Rendered:
        """The tokens of plain text, without the chat template but with the tokenizer's opening token, if any.

        Raises:
            DataError: the text has no tokens.
        """
        tokens: list[int] = self.tokenizer(text, add_special_tokens=True)["input_ids"]
        tokens = tokens[:max_length]
        if not tokens:
            raise DataError(f"{source or 'a text'} has no tokens.")
        return Rendered(tokens, [False] * len(tokens), source)

    @cached_property
    def template_hash(self) -> str:
        """A digest of the template, its options and its closing tokens: two runs with one render alike."""
        options = [self.template_options] if self.template_options else []
        return digest([self.template, self._closing, self.stop_token_ids, *options])

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system turn is in what the template writes; some refuse it, some leave it out."""
        messages = (Message("system", _PROBE), Message("user", "question"))
        try:
            return _PROBE in self._text(messages, add_generation_prompt=True)
        except _RefusedError:
            return False

    @cached_property
    def end_of_turn_id(self) -> int | None:
        """The special token that closes an assistant's turn; None where plain text closes it."""
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        tokens: list[int] = self.tokenizer(self._closing, add_special_tokens=False)["input_ids"]
        return next((token for token in tokens if token in special), None)

    @cached_property
    def stop_token_ids(self) -> tuple[int, ...]:
        """The tokens that end generation: end of turn and end of text."""
        return tuple(sorted({self.end_of_turn_id, self.tokenizer.eos_token_id} - {None}))

    @cached_property
    def _closing(self) -> str:
        """What the template writes after an answer."""
        try:
            text = self._text(Conversation.from_pair("question", _PROBE).messages)
        except _RefusedError as error:
            raise ModelError(
                f"the chat template of {self._name} cannot write a question with an answer ({error}); give "
                "one that does (chat_template.jinja in the model's folder)."
            ) from error
        if _PROBE not in text:
            raise ModelError(
                f"the chat template of {self._name} leaves out what the assistant says; give one that "
                "writes it (chat_template.jinja in the model's folder)."
            )
        return text.rpartition(_PROBE)[2]

    def _response_end(self, tokens: list[int], start: int) -> int:
        """Where the response ends: after the last end-of-turn token, or at the end where there is none."""
        for place in range(len(tokens) - 1, start - 1, -1):
            if tokens[place] == self.end_of_turn_id:
                return place + 1
        return len(tokens)

    @property
    def _name(self) -> str:
        """What error messages call the model."""
        return self.tokenizer.name_or_path or "the tokenizer"

    def _text(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """What the template writes.

        Raises:
            _RefusedError: it cannot write these turns.
        """
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [message.as_dict() for message in messages],
                    chat_template=self.template,
                    add_generation_prompt=add_generation_prompt,
                    tokenize=False,
                    **self.template_options,
                )
            )
        except Exception as error:  # a template comes with a model from anywhere, and may fail in any way
            raise _RefusedError(_first_line(error)) from error

    def _written(
        self, messages: Sequence[Message], source: str, *, add_generation_prompt: bool = False
    ) -> str:
        """What the template writes, or an error that names the source."""
        if any(message.role == "system" for message in messages) and not self.takes_system:
            raise DataError(
                f"{source}: has a system turn, and the chat template of {self._name} has no place for one: "
                "leave it out, or put its text at the beginning of the first user turn yourself."
            )
        try:
            return self._text(messages, add_generation_prompt=add_generation_prompt)
        except _RefusedError as error:
            roles = ", ".join(message.role for message in messages) or "none"
            raise DataError(
                f"{source}: the chat template of {self._name} refuses these turns ({roles}): {error}. Most "
                "want user and assistant in turn."
            ) from error

    def _tokens(self, text: str) -> list[int]:
        """The tokens of what the template wrote; special ones are its own business, the opening one too."""
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return list(tokens)

    def _prefix_problem(self, source: str, prompt: list[int], tokens: list[int]) -> str:
        """Why a response cannot be found by the prompt's length: the place where the two renderings part."""
        pairs = zip(prompt, tokens, strict=False)
        part = next((place for place, (left, right) in enumerate(pairs) if left != right), len(tokens))
        wanted, found = (self.tokenizer.decode(ids[part : part + 8]) for ids in (prompt, tokens))
        thinking = (
            " (An answer that holds its reasoning wants template_options with enable_thinking true.)"
            if self.template_options.get(THINKING) is False
            else ""
        )
        return (
            f"{source}: the chat template renders the prompt differently once the answer is there: from "
            f"token {part} on the prompt says {wanted!r} and the whole conversation {found!r}, so the "
            "answer's tokens cannot be told from the prompt's. Use a template that begins every assistant "
            f"turn as its generation prompt does.{thinking}"
        )


class _RefusedError(Exception):
    """The template cannot write some turns; says why."""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
