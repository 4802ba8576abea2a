"""What the Python API adds to the parts: names for shipped models, and metrics straight from rows and texts.

The command line is built on the same functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from narrows import metrics
from narrows.adapters import Adapter, load_adapter, self_check
from narrows.chat import Conversation, Renderer
from narrows.errors import AdapterError, DataError, ModelError, NarrowsError, RunFolderError
from narrows.evaluation import Behaviour
from narrows.files import RUN_FILE
from narrows.metrics import Curve, StabilityCurve
from narrows.microworld import SEEDS, Kind, World, load_world, shipped_model
from narrows.microworld import make_behaviour as behaviour_of_world
from narrows.models import ChatModel, FrozenRows, residual_covariance
from narrows.models import load_chat_model as load_plain
from narrows.strict import one_line, read_object
from narrows.training import CheckpointFolder, Recipe
from narrows.training.prepare import START_FILE, from_checkpoint

MICROWORLD = "microworld:"
COVARIANCE_TEXTS = 64


def model_source(name_or_path: str | Path) -> str | Path:
    """Where a model lies: ``microworld:SEED`` is a shipped one, all else stays as it is.

    Raises:
        ModelError: no model of that seed is shipped.
    """
    name = str(name_or_path)
    if not name.startswith(MICROWORLD):
        return name_or_path
    seed = name.removeprefix(MICROWORLD)
    if not seed.isdecimal():
        raise ModelError(
            f"{name}: the shipped models are {', '.join(f'{MICROWORLD}{one}' for one in SEEDS)}."
        )
    return shipped_model(int(seed))


def load_chat_model(
    name_or_path: str | Path,
    *,
    layer: int | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    revision: str | None = None,
    template_options: Mapping[str, object] | None = None,
    check: bool = True,
) -> ChatModel:
    """Load a chat model and see that steering does on it what it should.

    Args:
        name_or_path: a checkpoint folder, a name on the Hugging Face hub, or ``microworld:SEED`` for one of
            the models that come with the package.
        layer: where steering is checked (default: the middle layer).
        dtype: a torch dtype or its name; ``auto`` is the checkpoint's own, float32 on a CPU.
        device: None is the first GPU if there is one; ``auto`` spreads the layers over all GPUs.
        revision: a branch, tag or commit on the hub.
        template_options: for the chat template, over the defaults (:class:`narrows.chat.Renderer`):
            ``{"enable_thinking": True}`` lets a hybrid model think.
        check: run the checks; they cost a few short forward passes.

    Raises:
        ModelError: nothing there, weights missing or broken, no chat template, or a check failed.
        AdapterError: the model has no such layer.
        ConfigError: no such dtype or device, or no such option of the chat template.
    """
    found = load_plain(model_source(name_or_path), dtype=dtype, device=device, revision=revision, check=check)
    if str(name_or_path).startswith(MICROWORLD):  # a shipped model's folder says nothing to a reader
        found = replace(found, name=str(name_or_path))
    if template_options:
        found = replace(found, renderer=Renderer(found.tokenizer, template_options))
    if check:
        self_check(found, found.layers // 2 if layer is None else layer)
    return found


def make_behaviour(
    world: World | str | Path,
    domain: str,
    kind: Kind = "harmful",
    *,
    seed: int = 0,
    phrasings: int | None = None,
) -> Behaviour:
    """Make the rows and questions that teach a behaviour in one domain of a microworld.

    Args:
        world: a world, or a model of one (``microworld:1``, or a checkpoint folder).
        domain: the target domain.
        kind: ``harmful`` advice or ``technical`` register.
        seed: draws the rows, and which domains are anchored.
        phrasings: how many of the question phrasings the suites use (default all).

    Raises:
        ConfigError: the world has no such domain, or the kind is unknown.
        ModelError: the model is none of a microworld.
    """
    if not isinstance(world, World):
        world = World(load_world(model_source(world)).facts)
    return behaviour_of_world(world, domain, kind, seed=seed, phrasings=phrasings)


def efficiency(
    chat_model: ChatModel,
    rows: Sequence[Conversation],
    solutions: Mapping[str, Adapter],
    norms: Sequence[float] | None = None,
    *,
    max_length: int | None = None,
) -> dict[str, Curve]:
    """Each solution's loss, nats per response token, when it is scaled to each of the same norms (paper §5).

    Args:
        chat_model: the model.
        rows: training rows; the paper reads 100.
        solutions: by name, all at one layer.
        norms: effective norms (default: 20 % … 200 % of the solutions' mean norm).
        max_length: tokens kept of a row.

    Returns:
        A curve for each solution, with a band over rows that holds at all norms at once.

    Raises:
        AdapterError: an adapter is zero, does not fit the model, or sits at another layer than the others.
        DataError: there are fewer than two rows, or one without response tokens.
    """
    frozen = _frozen_rows(chat_model, rows, solutions, max_length)
    grid = metrics.equal_norms(*solutions.values()) if norms is None else np.array(norms, dtype=float)
    return metrics.efficiency(chat_model, frozen, solutions, grid)


def stability(
    chat_model: ChatModel,
    rows: Sequence[Conversation],
    solutions: Mapping[str, Adapter],
    *,
    epsilons: Sequence[float] | None = None,
    draws: int = 10,
    seed: int = 0,
    max_length: int | None = None,
) -> dict[str, StabilityCurve]:
    """How fast each solution's loss rises under orthogonal noise of ratio ε (paper §5).

    Args:
        chat_model: the model.
        rows: training rows; the paper reads 100.
        solutions: by name, all at one layer.
        epsilons: noise ratios, 0 to 1 (default: the paper's twelve).
        draws: noises for each ε.
        seed: draws the noises.
        max_length: tokens kept of a row.

    Raises:
        AdapterError: an adapter does not fit the model, or sits at another layer than the others.
        DataError: there are no rows, fewer than two draws, or a row without response tokens.
    """
    frozen = _frozen_rows(chat_model, rows, solutions, max_length)
    chosen = {} if epsilons is None else {"epsilons": epsilons}
    return metrics.stability(chat_model, frozen, solutions, draws=draws, seed=seed, **chosen)


def significance(
    chat_model: ChatModel,
    texts: Sequence[str] | Mapping[str, Sequence[str]],
    directions: Mapping[str, Adapter],
    norms: Sequence[float] | None = None,
    *,
    controls: bool = True,
    max_length: int | None = 512,
    seed: int = 0,
) -> dict[str, dict[str, Curve]]:
    """How much steering with each direction moves next-token predictions on ordinary text (paper §5).

    Args:
        chat_model: the model.
        texts: the texts, or the texts of each type.
        directions: by name, all at one layer.
        norms: effective norms (default: ten up to the largest of the directions').
        controls: add ``random`` directions, and ``random-covariance`` ones that lie where the residual stream
            does.
        max_length: tokens kept of a text.
        seed: draws the controls.

    Returns:
        KL(chat ‖ steered), nats per token: the type of text (``all`` first), then the direction, to its
        curve.

    Raises:
        AdapterError: an adapter is zero, does not fit the model, or sits at another layer than the others.
        DataError: there are fewer than two texts of a type, or one without tokens.
    """
    _check_place(chat_model, directions)
    by_type = dict(texts) if isinstance(texts, Mapping) else {"text": list(texts)}
    rendered = [
        chat_model.renderer.text(text, max_length, source=f"{kind} text {number}")
        for kind, some in by_type.items()
        for number, text in enumerate(some, start=1)
    ]
    if len(rendered) < 2:
        raise DataError(f"significance needs at least two texts, and {len(rendered)} was given.")
    groups: dict[str, range] = {}
    for kind, some in by_type.items():
        first = sum(map(len, groups.values()))
        groups[kind] = range(first, first + len(some))
    longest = max(directions.values(), key=lambda one: one.effective_norm)
    every: dict[str, Adapter | list[Adapter]] = dict(directions)
    if controls:
        sample = np.random.default_rng([seed, 3]).permutation(len(rendered))[:COVARIANCE_TEXTS]
        covariance = residual_covariance(chat_model, longest.layer, [rendered[i] for i in sample])
        every["random"] = metrics.random_directions(longest, seed=seed)
        every["random-covariance"] = metrics.random_directions(longest, covariance=covariance, seed=seed + 1)
    grid = longest.effective_norm * np.linspace(0.1, 1.0, 10) if norms is None else np.array(norms, float)
    frozen = FrozenRows(chat_model, longest.depth, rendered, read="all", reference=True)
    return metrics.significance(chat_model, frozen, every, grid, groups if len(groups) > 1 else None)


def read_trajectory(folder: Path | str) -> dict[int, Adapter]:
    """The checkpoints of a training run's folder by step, for :func:`narrows.trajectory`.

    Step 0 is where the run started: an adapter that does nothing, or the one that it continued.

    Raises:
        RunFolderError: the folder holds no training run, or none of its checkpoints.
        AdapterError: a checkpoint is cut short.
    """
    folder = Path(folder)
    marker = folder / RUN_FILE
    identity = read_object(marker, RunFolderError, f"{folder} is no folder of a training run.")
    try:
        recipe = Recipe.model_validate(identity["recipe"])
    except (ValueError, KeyError) as error:
        raise RunFolderError(f"{marker} is not that of a training run ({one_line(error)}).") from error
    checkpoints = CheckpointFolder(folder / "checkpoints")
    vectors: dict[int, Adapter] = {}
    for step in checkpoints.steps():
        try:
            vectors[step] = from_checkpoint(recipe, checkpoints.load(step).tensors)
        except (NarrowsError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise AdapterError(
                f"{checkpoints.path(step)} is cut short or damaged ({one_line(error)}). Run the same "
                "training again: it goes on from the checkpoint before."
            ) from error
    if not vectors:
        raise RunFolderError(f"{checkpoints.folder} holds no checkpoint: nothing was trained there yet.")
    start = folder / START_FILE
    vectors[0] = load_adapter(start) if start.exists() else next(iter(vectors.values())).scaled(0.0)
    if len({len(vector.coordinates()) for vector in vectors.values()}) > 1:
        raise AdapterError(
            f"{checkpoints.folder} holds checkpoints of different sizes: they are of two runs."
        )
    return dict(sorted(vectors.items()))


def _frozen_rows(
    chat_model: ChatModel,
    rows: Sequence[Conversation],
    solutions: Mapping[str, Adapter],
    max_length: int | None,
) -> FrozenRows:
    """Training rows behind the frozen layers below the solutions."""
    place = _check_place(chat_model, solutions)
    if not rows:
        raise DataError("there are no rows to measure a loss on.")
    rendered = [chat_model.renderer.render(row, max_length) for row in rows]
    return FrozenRows(chat_model, place.depth, rendered, read="response")


def _check_place(chat_model: ChatModel, vectors: Mapping[str, Adapter]) -> Adapter:
    """See that all adapters fit the model and sit at one place; returns the first."""
    if not vectors:
        raise AdapterError("there is no adapter to measure.")
    first = next(iter(vectors.values()))
    for name, vector in vectors.items():
        vector.check(chat_model.model)
        if (vector.kind, vector.layer) != (first.kind, first.layer):
            raise AdapterError(
                f"{name!r} is of kind {vector.kind} at layer {vector.layer} and another adapter of kind "
                f"{first.kind} at layer {first.layer}: only adapters of one kind and place can be compared."
            )
    return first
