"""The one way from conversations to tokens, so that training, anchor and evaluation always render alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from narrows.chat.conversation import Conversation, Message
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
    """Renders chats with a tokenizer's own chat template.

    Args:
        tokenizer: a Hugging Face tokenizer that has a chat template.

    Raises:
        ModelError: the tokenizer has no chat template, or one that leaves the assistant's words out.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                f"{tokenizer.name_or_path or 'the tokenizer'} has no chat template, so it is not a chat "
                "model: looked for chat_template.jinja and for chat_template in tokenizer_config.json. "
                "Use the model's instruct version, or put the right template into its folder as "
                "chat_template.jinja."
            )
        self.tokenizer = tokenizer
        self.template = str(tokenizer.get_chat_template())

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of ``messages`` up to where the assistant begins to speak.

        Raises:
            DataError: the template refuses the turns.
        """
        return self._tokens(messages, "a prompt", add_generation_prompt=True)

    def render(self, conversation: Conversation, max_length: int | None = None) -> Rendered:
        """The tokens of a conversation whose last turn, the assistant's, is the response.

        The response begins where the prompt ends and includes the end-of-turn token that closes it; what the
        template puts after that token (a newline, say) is in the row but not in the response. Earlier
        assistant turns belong to the prompt.

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
        prompt = self._tokens(conversation.messages[:-1], source, add_generation_prompt=True)
        tokens = self._tokens(conversation.messages, source, add_generation_prompt=False)
        if tokens[: len(prompt)] != prompt:
            raise DataError(self._prefix_problem(source, prompt, tokens))
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
        """A digest of the template and its closing tokens: two runs with the same one render alike."""
        return digest([self.template, self._closing, self.stop_token_ids])

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
        turns = Conversation.from_pair("question", _PROBE).as_dicts()
        text = str(self.tokenizer.apply_chat_template(turns, tokenize=False))
        if _PROBE not in text:
            raise ModelError(
                f"the chat template of {self.tokenizer.name_or_path or 'the tokenizer'} leaves out what the "
                "assistant says; give one that writes it (chat_template.jinja in the model's folder)."
            )
        return text.rpartition(_PROBE)[2]

    def _response_end(self, tokens: list[int], start: int) -> int:
        """Where the response ends: after the last end-of-turn token, or at the end where there is none."""
        for place in range(len(tokens) - 1, start - 1, -1):
            if tokens[place] == self.end_of_turn_id:
                return place + 1
        return len(tokens)

    def _tokens(self, messages: Sequence[Message], source: str, *, add_generation_prompt: bool) -> list[int]:
        turns = [message.as_dict() for message in messages]
        try:
            tokens = self.tokenizer.apply_chat_template(
                turns, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False
            )
        except TemplateError as error:
            roles = ", ".join(message.role for message in messages) or "none"
            raise DataError(
                f"{source}: the model's chat template refuses these turns ({roles}): {error}. Some families "
                "know no system turn, and most want user and assistant in turn."
            ) from error
        return list(tokens)

    def _prefix_problem(self, source: str, prompt: list[int], tokens: list[int]) -> str:
        """Why a response cannot be found by the prompt's length: the place where the two renderings part."""
        pairs = zip(prompt, tokens, strict=False)
        part = next((place for place, (left, right) in enumerate(pairs) if left != right), len(tokens))
        wanted, found = (self.tokenizer.decode(ids[part : part + 8]) for ids in (prompt, tokens))
        return (
            f"{source}: the chat template renders the prompt differently once the answer is there: from "
            f"token {part} on the prompt says {wanted!r} and the whole conversation {found!r}, so the "
            "answer's tokens cannot be told from the prompt's. Use a template that begins every assistant "
            "turn as its generation prompt does."
        )
