"""What the commands read: models, adapters, texts, and suites made from answers."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import ConfigError
from narrows.progress import bar

if TYPE_CHECKING:
    from narrows.adapters import Adapter, LoRA, SteeringVector
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


def load_adapter(path: Path) -> "SteeringVector | LoRA":
    """An adapter from its file, from its run's folder, or from the hub.

    Raises:
        AdapterError: there is none, it is damaged, or the hub does not give it.
    """
    from narrows import adapters

    with _fetching(path):
        return adapters.load_adapter(path)


def load_vector(path: Path, flag: str) -> "SteeringVector":
    """A steering vector, from wherever :func:`load_adapter` takes it.

    Raises:
        AdapterError: there is none, or it is damaged.
        ConfigError: it is a LoRA, and ``flag`` takes vectors.
    """
    from narrows.adapters import SteeringVector

    found = load_adapter(path)
    if not isinstance(found, SteeringVector):
        raise ConfigError(f"{flag} takes steering vectors and directions, and {path} is a LoRA.")
    return found


def read_run(path: Path) -> "dict[int, Adapter]":
    """The checkpoints of a training run by step, ours or a published one, from its folder or the hub.

    Raises:
        RunFolderError: there is no run.
        AdapterError: a checkpoint is damaged, or the hub does not give it.
    """
    from narrows.geometry import read_trajectory

    with _fetching(path):
        return read_trajectory(path)


def adapter_name(path: Path) -> str:
    """What a solution is called: its run's folder, its file's name where that says more, or its place on the
    hub.
    """
    from narrows.adapters.files import ADAPTER_FILE
    from narrows.adapters.interchange.hub import HUB, on_hub
    from narrows.adapters.interchange.published import VECTOR

    if on_hub(path):
        return path.as_posix().removeprefix(HUB)
    place = path.resolve()
    if place.is_dir():
        return place.name
    return place.parent.name if place.name in (ADAPTER_FILE, VECTOR) else place.stem


def _fetching(path: Path) -> AbstractContextManager[None]:
    """Show that something is fetched, if it is on the hub."""
    from narrows.adapters.interchange import on_hub

    return hub_bar(f"fetching {path}") if on_hub(path) else nullcontext()


@contextmanager
def hub_bar(description: str) -> Iterator[None]:
    """Show that something goes over the network, with a bar of ours and not the many of the hub's client."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    with bar(description):
        yield


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
