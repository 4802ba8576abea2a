"""What a row of data must look like, whatever file it came from: strict checks that name what is wrong."""

from typing import get_args

from narrows.chat.conversation import Conversation, Message, Role
from narrows.errors import DataError
from narrows.strict import one_line

ROLES: tuple[str, ...] = get_args(Role)
EXAMPLE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'


def conversation_of(value: object, place: str, source: str) -> Conversation:
    """Check one row: ``messages``, or ``prompt`` and ``completion`` (texts, or lists of messages).

    Args:
        value: the row.
        place: where it stands, for errors: ``data.jsonl, line 3``.
        source: the conversation's ``source``.

    Raises:
        DataError: the row is malformed; names the place, what is wrong and a right row.
    """
    if not isinstance(value, dict):
        raise wrong(place, f"is {_kind(value)} where an object was expected")
    if "messages" not in value and {"prompt", "completion"} <= value.keys():
        turns: object = _turns(value["prompt"], "user") + _turns(value["completion"], "assistant")
    elif "messages" not in value:
        raise wrong(place, 'has no "messages" (and no "prompt" with a "completion")')
    else:
        turns = value["messages"]
    if not isinstance(turns, list) or not turns:
        raise wrong(place, f'has {_kind(turns)} as "messages" where a list of turns was expected')
    messages = tuple(_message(turn, place, number) for number, turn in enumerate(turns, start=1))
    roles = [message.role for message in messages]
    if "system" in roles[1:]:
        raise wrong(
            place, f"has its system message at place {roles.index('system', 1) + 1}; it must come first"
        )
    if "user" not in roles:
        raise wrong(place, "has no user message")
    if roles[-1] != "assistant":
        raise wrong(place, f"ends with a {roles[-1]} message; the last must be the assistant's answer")
    return Conversation(messages, source, _tags(value.get("tags"), place))


def _turns(value: object, role: Role) -> list[object]:
    """One side of a prompt-completion row as turns."""
    if isinstance(value, list):
        return value
    return [{"role": role, "content": value}]


def _message(turn: object, place: str, number: int) -> Message:
    """Check one turn of a row."""
    if not isinstance(turn, dict):
        raise wrong(place, f"message {number}: is {_kind(turn)} where an object was expected")
    for name in ("role", "content"):
        if name not in turn:
            raise wrong(place, f'message {number}: has no "{name}"')
    role, content = turn["role"], turn["content"]
    if role not in ROLES:
        shown = one_line(repr(role))
        raise wrong(place, f"message {number}: unknown role {shown}; known are {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise wrong(place, f'message {number}: "content" is {_kind(content)} where text was expected')
    if not content.strip():
        raise wrong(place, f'message {number}: "content" is empty')
    if not whole(content):
        raise wrong(place, f'message {number}: "content" holds half a character (a lone surrogate)')
    return Message(role, content)


def _tags(tags: object, place: str) -> dict[str, str]:
    """Check the optional tags of a row."""
    if tags is None:
        return {}
    if not isinstance(tags, dict) or not all(isinstance(tag, str) for tag in tags.values()):
        raise wrong(place, 'has "tags" that are not an object of texts')
    if not all(whole(text) for pair in tags.items() for text in pair):
        raise wrong(place, 'has "tags" that hold half a character (a lone surrogate)')
    return tags


def whole(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON may escape half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def wrong(place: str, problem: str, example: str = EXAMPLE) -> DataError:
    """The error for a malformed row."""
    return DataError(f"{place}: {problem}. A right row: {example}")


def _kind(value: object) -> str:
    """A JSON value's kind in words."""
    if value is None:
        return "null"
    if value == []:
        return "an empty list"
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")
