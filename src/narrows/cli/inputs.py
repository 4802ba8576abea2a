"""What the commands read: models, adapters, texts, and suites made from answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import AdapterError, ConfigError
from narrows.progress import bar

if TYPE_CHECKING:
    from narrows.adapters import LoRA, SteeringVector
    from narrows.chat import Conversation
    from narrows.evaluation import Answer, Suite
    from narrows.microworld import WorldConfig
    from narrows.models import ChatModel
    from narrows.models.quantised import Bits


def world_model_name(name: str) -> str:
    """``1`` is short for ``microworld:1``."""
    return f"microworld:{name}" if name.isdecimal() else name


def load_model(
    name: str,
    device: str | None,
    layer: int | None = None,
    *,
    dtype: str = "auto",
    quantise: "Bits | None" = None,
) -> "ChatModel":
    """A chat model on which steering was seen to work at a layer (default: the middle one).

    Raises:
        ModelError: it cannot be loaded, or is no chat model.
        AdapterError: it has no such layer.
        ConfigError: the device does not exist, or cannot compute in 4 or 8 bits.
    """
    with bar(f"loading {name}"):
        from transformers.utils import logging as transformers_logging

        from narrows.api import load_chat_model

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()  # ours stands in its place
        return load_chat_model(name, layer=layer, device=device, dtype=dtype, quantise=quantise)


def load_microworld(
    name: str,
    device: str | None,
    domain: str | None = None,
    *,
    dtype: str = "auto",
    quantise: "Bits | None" = None,
) -> "tuple[ChatModel, WorldConfig]":
    """A model of a microworld, and the world.

    Raises:
        ModelError: there is no such model, or it is none of a microworld.
        ConfigError: the world has no such domain; found out before the model is loaded.
    """
    from narrows.api import model_source
    from narrows.microworld import World, load_world

    name = world_model_name(name)
    world = load_world(model_source(name))
    domains = World(world.facts).domains
    if domain is not None and domain not in domains:
        raise ConfigError(f"{name} has no domain {domain!r}; choose one of {', '.join(domains)}.")
    return load_model(name, device, dtype=dtype, quantise=quantise), world


def adapter_file(path: Path) -> Path:
    """The adapter's file: itself, or the one in a training run's folder.

    Raises:
        AdapterError: the folder holds no finished training.
    """
    from narrows.adapters.interchange.peft import CONFIG as PEFT_CONFIG
    from narrows.training.loop import ADAPTER_FILE

    if not path.is_dir() or (path / PEFT_CONFIG).is_file():
        return path
    if not (path / ADAPTER_FILE).is_file():
        raise AdapterError(
            f"{path} holds no {ADAPTER_FILE}: no training was finished there. Give a run's folder or an "
            "adapter's file."
        )
    return path / ADAPTER_FILE


def load_adapter(path: Path) -> "SteeringVector | LoRA":
    """An adapter from its file or from its run's folder."""
    from narrows import adapters

    return adapters.load_adapter(adapter_file(path))


def adapter_name(path: Path) -> str:
    """What a solution is called: its run's folder, or its file's name where that says more."""
    from narrows.training.loop import ADAPTER_FILE

    file = adapter_file(path).resolve()
    return file.parent.name if file.name == ADAPTER_FILE else file.stem


def read_anchor(source: str) -> "Sequence[Conversation | str]":
    """Anchor rows: chats from a JSONL file, or plain texts from a ``.txt`` file."""
    from narrows.chat import read_conversations
    from narrows.chat.corpora import TYPE, read_texts

    if not source.endswith(".txt"):
        return read_conversations(source)
    return read_texts(source, count=None, shortest=0, longest=None)[TYPE]


def suites_of(answers: "Sequence[Answer]") -> "list[Suite]":
    """The suites that a table of answers is about; whether the anchor saw them is not known."""
    from narrows.evaluation import Question, Suite

    questions: dict[str, dict[str, Question]] = {}
    for one in answers:
        question = Question(one.question_id, one.question, one.suite, one.cluster)
        questions.setdefault(one.suite, {})[one.question_id] = question
    return [Suite(name, tuple(some.values())) for name, some in questions.items()]
