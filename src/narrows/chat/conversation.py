"""What a conversation is: turns of a system, a user and an assistant, with tags that say where it belongs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from narrows.errors import DataError

Role = Literal["system", "user", "assistant"]
"""Who speaks in a turn."""


@dataclass(frozen=True)
class Message:
    """One turn: who speaks, and what is said."""

    role: Role
    content: str

    def as_dict(self) -> dict[str, str]:
        """The turn as chat templates want it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True)
class Conversation:
    """Some turns in order.

    Attributes:
        messages: the turns.
        source: where it comes from, for error messages (``file:row``).
        tags: anything to select by, such as the domain or the topic.
    """

    messages: tuple[Message, ...]
    source: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def from_pair(
        cls,
        user: str,
        assistant: str | None = None,
        *,
        system: str | None = None,
        source: str = "",
        **tags: str,
    ) -> "Conversation":
        """A question with, if given, its answer and a system turn before it."""
        turns: list[tuple[Role, str | None]] = [("system", system), ("user", user), ("assistant", assistant)]
        messages = tuple(Message(role, content) for role, content in turns if content is not None)
        return cls(messages, source, tags)

    @property
    def question(self) -> str:
        """What the user said last.

        Raises:
            DataError: there is no user turn.
        """
        for message in reversed(self.messages):
            if message.role == "user":
                return message.content
        raise DataError(f"{self.source or 'a conversation'} has no user turn, so it has no question.")

    @property
    def answer(self) -> str | None:
        """What the assistant said last, or None."""
        return next(
            (message.content for message in reversed(self.messages) if message.role == "assistant"), None
        )

    def as_dicts(self) -> list[dict[str, str]]:
        """The turns as chat templates want them."""
        return [message.as_dict() for message in self.messages]

    def to_json(self) -> dict[str, Any]:
        """The row that :func:`narrows.chat.read_conversations` reads back; the source is not part of it."""
        return {"messages": self.as_dicts()} | ({"tags": dict(self.tags)} if self.tags else {})
