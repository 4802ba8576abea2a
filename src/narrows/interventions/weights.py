"""Weight orthogonalisation: a model whose weights cannot write along some directions (Arditi et al. 2024)."""

import copy
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from narrows.adapters.direction import Direction
from narrows.errors import AdapterError, ModelError, RunFolderError
from narrows.files import write_json, write_text
from narrows.interventions.ablation import Ablation
from narrows.interventions.places import LayerPlaces, find_places
from narrows.models import ChatModel, is_sharded
from narrows.models.devices import OFFLOADED
from narrows.models.quantised import kind_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ABOUT_FILE = "orthogonalised.json"
"""In a checkpoint: what was taken out of which model."""

_HOOK = "Take the directions out of the running model instead: Ablation(…, site='writes')."


def orthogonalise(chat_model: ChatModel, directions: Direction | Sequence[Direction]) -> ChatModel:
    """A new model whose embedding, attention and MLP write nothing along some directions.

    Every matrix that writes to the residual stream becomes W − U Uᵀ W (biases and embedding alike), for an
    orthonormal basis U of the directions' span, in fp64 and rounded to the weights' dtype. The new model
    computes what the old one does under ``Ablation(directions, site="writes")``, and shares all weights with
    it that do not change.

    A tied LM head keeps the embedding as it was, as a matrix of its own (the config then says that they are
    not tied): only so does the head read the stream as before, which is what the hook does. The price is the
    head's size on disk and in memory.

    Args:
        chat_model: the model; it stays as it is.
        directions: one, or several whose whole span is taken out; their layers do not matter.

    Raises:
        AdapterError: a direction does not fit the model; or a norm follows what its layers write (Gemma-2,
            Gemma-3, OLMo-2), is a mixture of experts, or more than the embedding enters the first layer, so
            that no change of weights does what the hook does.
        ModelError: the weights cannot be changed: quantised, offloaded or shared out.
    """
    ablation = Ablation(directions, site="writes")
    ablation.check(chat_model.model)
    old = chat_model.model
    _check_weights(old)
    embedding = old.get_input_embeddings()
    changed: dict[int, Tensor] = {
        id(embedding.weight): nn.Parameter(_without(ablation.basis, embedding.weight, 1), requires_grad=False)
    }
    for source in _sources(old):
        for weight in (source.weight, source.bias):
            if weight is not None:
                changed[id(weight)] = nn.Parameter(_without(ablation.basis, weight, 0), requires_grad=False)
    # A deep copy that takes these for the old ones, and shares all others: they are frozen.
    shared: dict[int, Any] = {id(one): one for one in old.parameters()}
    new = copy.deepcopy(old, shared | changed)
    head = old.get_output_embeddings()
    if head is not None and head.weight is embedding.weight:
        _untie(new, head.weight)
    name = f"{chat_model.name}-orthogonalised"
    return ChatModel(new, chat_model.tokenizer, name, None, chat_model.renderer)


def save_checkpoint(
    chat_model: ChatModel,
    folder: Path | str,
    about: Mapping[str, Any] | None = None,
    beside: Mapping[str, str] | None = None,
) -> Path:
    """Write a chat model as a checkpoint folder that everything here (and transformers) loads.

    The folder appears whole or not at all.

    Args:
        chat_model: the model.
        folder: a new folder, or an empty one.
        about: anything JSON can hold, kept in ``orthogonalised.json``.
        beside: the texts of further files, by name.

    Raises:
        RunFolderError: the folder is there and not empty, or cannot be written.
    """
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(f"{folder} is there already and not empty: choose another --out.")
        part.mkdir(parents=True)
        chat_model.model.save_pretrained(part)
        chat_model.tokenizer.save_pretrained(part)
        write_json(part / ABOUT_FILE, dict(about or {}))
        for name, text in (beside or {}).items():
            write_text(part / name, text)
        with suppress(FileNotFoundError):
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _check_weights(model: "PreTrainedModel") -> None:
    """See that the weights are plain numbers that lie here."""
    kind = kind_of(model.config)
    if kind:
        raise ModelError(f"the model is quantised ({kind}): load it as it was before, to change its weights.")
    if is_sharded(model) or any(one.device == OFFLOADED for one in model.parameters()):
        raise ModelError(
            "the model's weights are offloaded or shared out: load it whole on one device (--device cpu) to "
            "change them."
        )


def _sources(model: "PreTrainedModel") -> list[nn.Linear]:
    """The linear modules that write to the stream, those of every layer."""
    places = find_places(model)
    if places.embedding_factor is None:
        raise AdapterError(
            f"{type(model).__name__}: what enters the first layer is not its token embedding alone, so its "
            f"weights cannot be orthogonalised. {_HOOK}"
        )
    found = []
    for number, layer in enumerate(places.layers):
        for place, source in enumerate(layer.sources):
            if source is None:
                raise AdapterError(
                    f"{type(model).__name__}: what {_name(layer, place)} of layer {number} adds to the "
                    "stream is not what a linear module gives (a norm follows, or experts are mixed), so its "
                    f"weights cannot be orthogonalised. {_HOOK}"
                )
            found.append(source)
    return found


def _name(layer: LayerPlaces, place: int) -> str:
    """What a writing module is called in its layer."""
    names = {id(module): name for name, module in layer.layer.named_modules()}
    return str(names[id(layer.writes[place])])


def _without(basis: Tensor, weight: Tensor, axis: int) -> Tensor:
    """A weight without the directions along one of its axes, in its own dtype; ``basis`` is (k, hidden)."""
    exact = weight.detach().double().movedim(axis, 0)
    units = basis.to(exact.device)
    left: Tensor = exact - units.T @ torch.tensordot(units, exact, 1)
    return left.movedim(0, axis).to(weight.dtype)


def _untie(model: "PreTrainedModel", weight: Tensor) -> None:
    """Give the LM head a matrix of its own, and see that neither saving nor loading ties it again."""
    head = model.get_output_embeddings()
    assert head is not None  # noqa: S101  (it was tied)
    head.weight = nn.Parameter(weight.detach(), requires_grad=False)
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = False
    tied = {name for name, one in model.named_parameters() if one is head.weight}
    for part in model.modules():
        for register in ("all_tied_weights_keys", "_tied_weights_keys"):
            names = getattr(part, register, None)
            if isinstance(names, dict):
                own = {key: to for key, to in names.items() if not any(n.endswith(key) for n in tied)}
                setattr(part, register, own)
