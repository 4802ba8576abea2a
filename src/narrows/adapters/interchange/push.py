"""Putting an adapter on the Hugging Face hub, with a card that says what it is and what to beware of."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from narrows.adapters.files import ADAPTER_FILE
from narrows.adapters.interchange.card import Base, Form, render_card
from narrows.adapters.interchange.hub import HUB, is_repo
from narrows.adapters.interchange.hub_errors import pushing_failed, shown_cause
from narrows.adapters.interchange.peft import CONFIG, WEIGHTS, write_peft
from narrows.adapters.lora import LoRA
from narrows.adapters.steering import SteeringVector
from narrows.errors import AdapterError, ConfigError
from narrows.files import write_text
from narrows.models import ChatModel

CARD = "README.md"
FILES: dict[Form, tuple[str, ...]] = {
    "safetensors": (ADAPTER_FILE, str(Path(ADAPTER_FILE).with_suffix(".json"))),
    "peft": (CONFIG, WEIGHTS),
}
"""What is uploaded beside the card, and nothing else ever: no rows, no answers, no logs."""

_METADATA = ("recipe", "steps", "published")
"""What of an adapter's metadata is published: how it was trained. All else may hold anything."""


@dataclass(frozen=True)
class Pushed:
    """An adapter on the hub, or what would be put there.

    Attributes:
        repo: ``owner/name``.
        files: what was written, relative to the repository's top.
        card: the text of its ``README.md``.
        private: whether only its owner sees the repository.
        url: where it is; None if nothing was sent.
        commit: the commit that was made; None if nothing was sent.
    """

    repo: str
    files: tuple[str, ...]
    card: str
    private: bool
    url: str | None = None
    commit: str | None = None


def push_adapter(
    adapter: SteeringVector | LoRA,
    repo: str,
    *,
    model: ChatModel | str,
    behaviour: str | None = None,
    licence: str | None = None,
    form: Form = "safetensors",
    private: bool = True,
    dry_run: bool = False,
) -> Pushed:
    """Put an adapter and its model card into a repository on the hub, in one commit.

    The repository is made if it is not there; adapter files of an earlier push, of either form, are replaced.
    Uploaded are the adapter, its recipe and the card; never training rows, and no other metadata.

    Args:
        adapter: what to push.
        repo: ``owner/name``.
        model: the chat model it is for, or its name; ``peft`` needs the model itself.
        behaviour: what the adapter teaches, in a sentence, for the card.
        licence: the hub's short name of a licence for the card (default: none is stated).
        form: ``safetensors``, narrows' own; or ``peft``, which loads without narrows.
        private: let only the owner see the repository.
        dry_run: make the card only; nothing is sent, and the hub is not asked anything.

    Returns:
        What was put where.

    Raises:
        AdapterError: the adapter does not fit the model or cannot be written in that form; the repository is
            public and ``private`` is wanted; there is no login, or it may not write there; or the hub cannot
            be reached.
        ConfigError: ``repo`` or ``licence`` is no such name, or ``peft`` was asked for without the model.
        RunFolderError: there is no space for the files.
    """
    repo = repo.removeprefix(HUB)
    if not is_repo(repo):
        raise ConfigError(f"{repo!r} is no name of a repository; it is spelt owner/name, such as me/narrow.")
    base = Base.of(model if isinstance(model, str) else model.name)
    card = render_card(adapter, repo, base=base, form=form, behaviour=behaviour, licence=licence)
    files = (CARD, *FILES[form])
    if dry_run:
        return Pushed(repo, files, card, private)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "repository"
        _write(adapter, folder, form, model, base)
        write_text(folder / CARD, card)
        url, commit, is_private = _upload(folder, repo, files, adapter.kind, private)
    return Pushed(repo, files, card, is_private, url, commit)


def _write(
    adapter: SteeringVector | LoRA, folder: Path, form: Form, model: ChatModel | str, base: Base
) -> None:
    """Write the adapter's files, without anything that is nobody else's business."""
    if not isinstance(model, str):
        adapter.check(model.model)
    if form == "safetensors":
        published = adapter.copy()
        published.metadata = {name: adapter.metadata[name] for name in _METADATA if name in adapter.metadata}
        published.save(folder / ADAPTER_FILE)
    elif isinstance(model, str):
        raise ConfigError("form peft needs the chat model itself, not its name: give load_chat_model(…).")
    else:
        write_peft(adapter, folder, replace(model, name=base.name))


def _upload(
    folder: Path, repo: str, files: tuple[str, ...], kind: str, private: bool
) -> tuple[str, str | None, bool]:
    """Send the folder; returns the repository's address, the commit, and whether it is private."""
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        url = api.create_repo(repo, private=private, exist_ok=True)
        # A repository that was there keeps its visibility, whatever create_repo was asked for.
        is_private = bool(api.model_info(repo).private)
        if private and not is_private:
            raise AdapterError(
                f"{repo} is there already and everybody can see it; nothing was sent. Make it private in its "
                "settings on the hub, give another name, or say --public (private=False) if that is meant."
            )
        done = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message=f"Adapter ({kind}) with its card, by narrows",
            allow_patterns=list(files),
            delete_patterns=[file for form in FILES.values() for file in form],
        )
    except AdapterError:
        raise
    except Exception as error:  # noqa: BLE001  (the client lets errors of its HTTP library through)
        raise pushing_failed(repo, error) from shown_cause(error)
    return str(url), done.oid, is_private
