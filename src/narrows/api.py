"""What the Python API adds to the parts: names for shipped models, and metrics straight from rows and texts.

The command line is built on the same functions.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from narrows import metrics
from narrows.adapters import Adapter, self_check
from narrows.chat import Conversation, Renderer
from narrows.errors import AdapterError, DataError, ModelError
from narrows.evaluation import Behaviour
from narrows.metrics import Curve, StabilityCurve, published
from narrows.metrics.published import MetricDefect
from narrows.microworld import SEEDS, Kind, World, load_world, shipped_model
from narrows.microworld import make_behaviour as behaviour_of_world
from narrows.models import ChatModel, FrozenRows, residual_covariance
from narrows.models import load_chat_model as load_plain
from narrows.models.devices import Device
from narrows.models.quantised import Quantise

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
    device: Device = None,
    quantise: Quantise = None,
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
        device: None is the first GPU if there is one; ``auto`` spreads the layers over all GPUs; a mapping
            from modules' names to devices is accelerate's device map.
        quantise: hold the layers' weights in ``4bit`` or ``8bit`` (the extra ``quantised``), or as a
            quantisation config of transformers says; a checkpoint that is quantised already stays so.
        revision: a branch, tag or commit on the hub.
        template_options: for the chat template, over the defaults (:class:`narrows.chat.Renderer`):
            ``{"enable_thinking": True}`` lets a hybrid model think.
        check: run the checks; they cost a few short forward passes.

    Raises:
        ModelError: nothing there, weights missing or broken, no chat template, or a check failed.
        AdapterError: the model has no such layer.
        ConfigError: no such dtype, device or quantisation, or no such option of the chat template.
    """
    found = load_plain(
        model_source(name_or_path),
        dtype=dtype,
        device=device,
        quantise=quantise,
        revision=revision,
        check=check,
    )
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
    as_published: Collection[MetricDefect] = (),
) -> dict[str, Curve]:
    """Each solution's loss, nats per response token, when it is scaled to each of the same norms (paper §5).

    Args:
        chat_model: the model.
        rows: training rows; the paper reads 100.
        solutions: by name, all at one layer.
        norms: effective norms (default: 20 % … 200 % of the solutions' mean norm).
        max_length: tokens kept of a row.
        as_published: defects of the published metric to reproduce, for comparison only.

    Returns:
        A curve for each solution, with a band over rows that holds at all norms at once.

    Raises:
        AdapterError: an adapter is zero, does not fit the model, or sits at another layer than the others.
        DataError: there are fewer than two rows, or one without response tokens.
    """
    frozen = _frozen_rows(chat_model, rows, solutions, max_length, as_published)
    grid = metrics.equal_norms(*solutions.values()) if norms is None else np.array(norms, dtype=float)
    return metrics.efficiency(chat_model, frozen, solutions, grid, as_published=as_published)


def stability(
    chat_model: ChatModel,
    rows: Sequence[Conversation],
    solutions: Mapping[str, Adapter],
    *,
    epsilons: Sequence[float] | None = None,
    draws: int = 10,
    seed: int = 0,
    max_length: int | None = None,
    as_published: Collection[MetricDefect] = (),
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
        as_published: defects of the published metric to reproduce, for comparison only.

    Raises:
        AdapterError: an adapter does not fit the model, or sits at another layer than the others.
        DataError: there are no rows, fewer than two draws, or a row without response tokens.
    """
    frozen = _frozen_rows(chat_model, rows, solutions, max_length, as_published)
    chosen = {} if epsilons is None else {"epsilons": epsilons}
    return metrics.stability(
        chat_model, frozen, solutions, draws=draws, seed=seed, as_published=as_published, **chosen
    )


def significance(
    chat_model: ChatModel,
    texts: Sequence[str] | Mapping[str, Sequence[str]],
    directions: Mapping[str, Adapter],
    norms: Sequence[float] | None = None,
    *,
    controls: bool = True,
    max_length: int | None = 512,
    seed: int = 0,
    as_published: Collection[MetricDefect] = (),
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
        as_published: defects of the published metric to reproduce, for comparison only.

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
    if "kl-over-padding" in as_published:
        rendered = published.filled_up(rendered, chat_model.pad_id)
    frozen = FrozenRows(chat_model, longest.depth, rendered, read="all", reference=True)
    return metrics.significance(
        chat_model, frozen, every, grid, groups if len(groups) > 1 else None, as_published=as_published
    )


def _frozen_rows(
    chat_model: ChatModel,
    rows: Sequence[Conversation],
    solutions: Mapping[str, Adapter],
    max_length: int | None,
    as_published: Collection[MetricDefect],
) -> FrozenRows:
    """Training rows behind the frozen layers below the solutions."""
    place = _check_place(chat_model, solutions)
    if not rows:
        raise DataError("there are no rows to measure a loss on.")
    rendered = [chat_model.renderer.render(row, max_length) for row in rows]
    rendered = published.read_as_published(rendered, as_published)
    return FrozenRows(chat_model, place.depth, rendered, read="response")


def _check_place(chat_model: ChatModel, vectors: Mapping[str, Adapter]) -> Adapter:
    """See that all adapters fit the model and sit at one place; returns the first."""
    if not vectors:
        raise AdapterError("there is no adapter to measure.")
    first = next(iter(vectors.values()))
    for name, vector in vectors.items():
        vector.check(chat_model.model)
        if (vector.kind, vector.layer, vector.depth) != (first.kind, first.layer, first.depth):
            raise AdapterError(
                f"{name!r} is of kind {vector.kind} at layer {vector.layer} and another adapter of kind "
                f"{first.kind} at layer {first.layer} (or at a module of it): only adapters of one kind and "
                "place can be compared."
            )
    return first
