"""The paper's recipes by name, for the main model and for smaller ones."""

from functools import cache
from typing import Any

import yaml
from pydantic import Field

from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.packaged import packaged_text
from narrows.training.recipe import Recipe
from narrows.training.units import from_published

AS_PUBLISHED = "/as-published"
"""Behind a preset's name: with the defects of the published code, for comparison only."""


class _Model(Configuration):
    name: str
    layer: int
    note: str = ""


class _Adapter(Configuration):
    recipe: dict[str, Any]
    anchored: dict[str, Any] = Field({})
    published_kl_weight: float
    note: str = ""


class _Behaviour(Configuration):
    rows: int
    anchor_rows: int
    recipe: dict[str, Any] = Field({})


class _File(Configuration):
    models: dict[str, _Model]
    main: str
    adapters: dict[str, _Adapter]
    published_vocabulary: int
    behaviours: dict[str, _Behaviour]


class Preset(Configuration):
    """A recipe of the paper's.

    Attributes:
        name: ``behaviour/adapter`` or ``behaviour/adapter@model``, with :data:`AS_PUBLISHED` behind it where
            the defects of the published code are switched on.
        model: the chat model's name on the hub.
        unanchored: the recipe of the general solution.
        anchored: the recipe of the narrow one, with its λ in nats per token.
        published_kl_weight: λ as the paper gives it.
        rows: rows in the paper's training file.
        anchor_rows: rows in its anchor file.
        notes: what was chosen here because it is not published.
    """

    name: str
    model: str
    unanchored: Recipe
    anchored: Recipe
    published_kl_weight: float
    rows: int
    anchor_rows: int
    notes: tuple[str, ...]


def preset_names() -> list[str]:
    """All presets: each behaviour with each adapter on the main model, and steering on the others."""
    file = _file()
    names = [f"{behaviour}/{adapter}" for behaviour in file.behaviours for adapter in file.adapters]
    others = [model for model in file.models if model != file.main]
    return names + [f"{behaviour}/steering@{model}" for model in others for behaviour in file.behaviours]


def preset(name: str) -> Preset:
    """A preset by its name; with ``/as-published`` behind it all defects of the published code are on.

    Raises:
        ConfigError: there is none of that name; says which there are.
    """
    plain = name.removesuffix(AS_PUBLISHED)
    if plain not in preset_names():
        raise ConfigError(
            f"there is no preset {name!r}; there are {', '.join(preset_names())}, and each with "
            f"{AS_PUBLISHED} behind it."
        )
    file = _file()
    place, _, model_name = plain.partition("@")
    behaviour_name, _, adapter_name = place.partition("/")
    model = file.models[model_name or file.main]
    adapter, behaviour = file.adapters[adapter_name], file.behaviours[behaviour_name]
    fields = {"layer": model.layer} | adapter.recipe | behaviour.recipe
    if name != plain:
        fields |= {"as_published": "all"}
    weight = from_published(adapter.published_kl_weight, file.published_vocabulary)
    return Preset(
        name=name,
        model=model.name,
        unanchored=Recipe.model_validate(fields),
        anchored=Recipe.model_validate(fields | adapter.anchored | {"anchor": {"weight": weight}}),
        published_kl_weight=adapter.published_kl_weight,
        rows=behaviour.rows,
        anchor_rows=behaviour.anchor_rows,
        notes=tuple(note for note in (model.note, adapter.note) if note),
    )


@cache
def _file() -> _File:
    text = packaged_text("narrows.training", "presets")
    return _File.model_validate(yaml.safe_load(text))
