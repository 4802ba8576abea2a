"""What stands before the first step: where the adapter starts, the rows as tokens, the folder of the run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from narrows.adapters import Adapter, LoRA, SteeringVector
from narrows.chat import Conversation, Rendered, Renderer
from narrows.chat.mixing import inoculated
from narrows.errors import AdapterError, DataError
from narrows.files import claim_run_folder, digest
from narrows.models import ChatModel
from narrows.models.frozen import tokens_read
from narrows.training.published import labelled
from narrows.training.recipe import Recipe

START_FILE = "start.safetensors"
"""The adapter that a continued run started from: step 0 of its trajectory."""


def starting_point(chat_model: ChatModel, recipe: Recipe, start: Adapter | None) -> Adapter:
    """The adapter that training changes: one that does nothing yet, or a copy of ``start``.

    Returns:
        It, beside what it changes in the model, with gradient.

    Raises:
        AdapterError: the model has no such layer or module; ``start`` is of another kind, does not fit the
            model, or sits elsewhere than the recipe says.
        ConfigError: the recipe's α does not suit a LoRA.
    """
    adapter = _fresh(chat_model, recipe) if start is None else _continued(chat_model, recipe, start)
    adapter = adapter.placed(chat_model.model)
    adapter.metadata = {}
    for parameter in adapter.parameters():
        parameter.requires_grad_()
    return adapter


def _fresh(chat_model: ChatModel, recipe: Recipe) -> Adapter:
    layer = chat_model.layers // 2 if recipe.layer is None else recipe.layer
    if recipe.adapter == "steering":
        return SteeringVector.zeros(chat_model, layer, recipe.alpha, recipe.module)
    return LoRA.fresh(
        chat_model,
        rank=recipe.rank,
        targets=recipe.target_modules,
        layers=recipe.layers or (layer,),
        alpha=recipe.alpha,
        rslora=recipe.rslora,
        seed=recipe.seed,
    )


def _continued(chat_model: ChatModel, recipe: Recipe, start: Adapter) -> Adapter:
    if start.kind != recipe.adapter:
        raise AdapterError(
            f"the recipe trains an adapter of kind {recipe.adapter!r}, but the starting one is of kind "
            f"{start.kind!r}: set adapter in the recipe, or start afresh."
        )
    if recipe.layer is not None and recipe.layer != start.layer:
        raise AdapterError(
            f"the recipe trains layer {recipe.layer}, but the starting adapter sits at layer {start.layer}: "
            "leave the recipe's layer out, or start afresh."
        )
    if isinstance(start, SteeringVector) and start.module != recipe.module:
        raise AdapterError(
            f"the recipe's vector changes {recipe.module or 'the layer'!r} and the starting one "
            f"{start.module or 'the layer'!r}: give the recipe the defect down-proj-output, or leave it out."
        )
    start.check(chat_model.model)
    return start.copy()


def as_trained(recipe: Recipe, adapter: Adapter) -> Recipe:
    """The recipe with the adapter's own place, scale and shape filled in."""
    changes: dict[str, object] = {"layer": adapter.layer}
    if isinstance(adapter, SteeringVector):
        changes |= {"alpha": adapter.alpha}
    elif isinstance(adapter, LoRA):
        changes |= {
            "alpha": adapter.alpha,
            "rank": adapter.rank,
            "rslora": adapter.rslora,
            "layers": tuple(adapter.layers),
        }
    return recipe.model_copy(update=changes)


def from_checkpoint(recipe: Recipe, tensors: Mapping[str, Tensor]) -> Adapter:
    """The adapter in a checkpoint's tensors, by the run's recipe with its place filled in.

    Raises:
        KeyError: a tensor is missing.
    """
    if recipe.adapter == "steering":
        return SteeringVector(tensors["vector"], recipe.layer or 0, recipe.alpha, module=recipe.module)
    names = [name.removesuffix(".lora_A") for name in tensors if name.endswith(".lora_A")]
    factors = {name: (tensors[f"{name}.lora_A"], tensors[f"{name}.lora_B"]) for name in names}
    return LoRA(factors, recipe.alpha, recipe.rslora)


def training_rows(chat_model: ChatModel, rows: Sequence[Conversation], recipe: Recipe) -> list[Rendered]:
    """The training rows as tokens.

    Raises:
        DataError: there are none, or one has no response token within the recipe's length.
    """
    return training_tokens(chat_model.renderer, rows, recipe)


def training_tokens(renderer: Renderer, rows: Sequence[Conversation], recipe: Recipe) -> list[Rendered]:
    """What :func:`training_rows` gives, from the renderer alone."""
    if not rows:
        raise DataError("there are no training rows.")
    if recipe.system_prompt is not None:
        if not renderer.takes_system:
            raise DataError(
                "the recipe has a system_prompt, and the model's chat template has no place for a system "
                "turn: leave system_prompt out, or put its text at the beginning of the rows' user turns "
                "yourself."
            )
        rows = inoculated(rows, recipe.system_prompt)
    rendered = [renderer.render(row, recipe.max_length) for row in rows]
    return labelled(rendered, renderer, recipe.as_published) if recipe.as_published else rendered


def anchor_rows(chat_model: ChatModel, rows: Sequence[Conversation | str], recipe: Recipe) -> list[Rendered]:
    """The anchor rows as tokens; none if the recipe is not anchored.

    Raises:
        DataError: the recipe is anchored and there are none, or no token of one would be read.
    """
    return anchor_tokens(chat_model.renderer, rows, recipe)


def anchor_tokens(renderer: Renderer, rows: Sequence[Conversation | str], recipe: Recipe) -> list[Rendered]:
    """What :func:`anchor_rows` gives, from the renderer alone."""
    if not recipe.anchored:
        return []
    anchor = recipe.anchor
    if not rows:
        raise DataError(
            f"the recipe has an anchor of weight {anchor.weight:g}, but no anchor rows were given: give rows "
            "outside the domain, or set anchor.weight to 0."
        )
    rendered = []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, str):
            one = renderer.text(row, recipe.max_length, source=f"anchor row {number}")
        else:
            one = renderer.render(row, recipe.max_length)
        if not tokens_read(one, anchor.positions):
            raise DataError(
                f"{one.source or f'anchor row {number}'}: none of its {len(one)} tokens would be read, since "
                f"anchor.positions is {anchor.positions!r} (plain text has no response, and a row's first "
                "token is never predicted). Set anchor.positions to all, or leave the row out."
            )
        rendered.append(one)
    return rendered


def claim(
    chat_model: ChatModel,
    rows: list[Rendered],
    anchor: list[Rendered],
    recipe: Recipe,
    *,
    beside: Mapping[str, Adapter | Sequence[Adapter] | None],
    out: Path | str | None,
) -> Path | None:
    """The run's folder, if it has one; everything that determines the result is its identity.

    ``beside`` are the adapters that take part in the training, by what they do there.

    Of the rows it holds the digests of their tokens as rendered, so that no other rendering can go on there.

    Raises:
        RunFolderError: the folder holds another run (names the fields that differ), or cannot be written.
    """
    if out is None:
        return None
    options = chat_model.renderer.template_options
    identity = {
        "kind": "training",
        "model": chat_model.id,
        "dtype": chat_model.precision,
        "template": chat_model.renderer.template_hash,
        **({"template_options": options} if options else {}),
        "recipe": recipe.model_dump(mode="json"),
        "rows": digest([row.input_ids for row in rows]),
        "anchor": digest([row.input_ids for row in anchor]),
        "start": None,
        **{role: _digest_of(given, placed=role != "start") for role, given in beside.items() if given},
    }
    return claim_run_folder(Path(out), identity)


def _digest_of(given: "Adapter | Sequence[Adapter]", *, placed: bool) -> str:
    """What tells adapters from others; ``placed``: by their place and scale too, which no recipe says."""
    if isinstance(given, Sequence):
        return digest([_digest_of(one, placed=placed) for one in given])
    coordinates = given.coordinates().tolist()
    return digest([_place(given), coordinates] if placed else coordinates)


def _place(adapter: Adapter) -> list[object]:
    """Where an adapter acts, and what its coordinates do not say of how strongly."""
    if isinstance(adapter, LoRA):
        return [list(adapter.factors), adapter.scaling]
    return [adapter.layer, adapter.depth]
