"""The model card of an adapter: what it is, how it was trained, how to load it, and what to beware of."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from narrows.adapters.interchange.hub import is_repo
from narrows.adapters.interchange.markdown import one_line, prose, value
from narrows.adapters.lora import LoRA
from narrows.adapters.steering import SteeringVector
from narrows.errors import ConfigError

Form = Literal["safetensors", "peft"]

_MICROWORLD = "microworld:"
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Base:
    """The chat model that an adapter is for, as a card may name it.

    Attributes:
        name: a name on the hub; a shipped model's; or the name of a local checkpoint's folder, and never
            where that lies: a path would tell of somebody's machine.
        on_hub: whether it is a name on the hub.
    """

    name: str
    on_hub: bool

    @classmethod
    def of(cls, name: str) -> "Base":
        """Read the name or path that a model was loaded by."""
        if is_repo(name) and not Path(name).exists():
            return cls(name, True)
        if name.startswith(_MICROWORLD):
            return cls(name, False)
        return cls(Path(name).name or "checkpoint", False)


def render_card(
    adapter: SteeringVector | LoRA,
    repo: str,
    *,
    base: Base,
    form: Form,
    behaviour: str | None = None,
    licence: str | None = None,
) -> str:
    """Write the card; foreign text in it is text, and can break neither its front-matter nor its Markdown.

    Args:
        adapter: what it is about; its metadata may hold the recipe.
        repo: ``owner/name``, where it will lie.
        base: the chat model it is for.
        form: how its files are written.
        behaviour: what it teaches, in a sentence.
        licence: the hub's short name of one; None leaves the field out.

    Raises:
        ConfigError: the licence is no such name.
    """
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise ConfigError(
            f"licence is {licence!r}; it must be a short name as the hub has them, such as apache-2.0, mit "
            "or other."
        )
    steering = isinstance(adapter, SteeringVector)
    text = _template().render(
        front_matter=_front_matter(adapter.kind, base, form, licence),
        title=repo.partition("/")[2],
        repo=repo,
        base=base.name,
        base_on_hub=base.on_hub,
        microworld=base.name.startswith(_MICROWORLD),
        behaviour=behaviour,
        facts=list(_facts(adapter)),
        kind=adapter.kind,
        peft=form == "peft",
        # A vector written for PEFT is the bias of an empty LoRA, which is no adapter here.
        narrows_reads=form == "safetensors" or not steering,
        norms=list(_norms(adapter)),
        modules=() if isinstance(adapter, SteeringVector) else tuple(adapter.factors),
        recipe=list(_flat(adapter.metadata.get("recipe"))),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _front_matter(kind: str, base: Base, form: Form, licence: str | None) -> Markup:
    """What the hub reads: YAML, made by a YAML writer of values that were checked."""
    fields: dict[str, Any] = {"base_model": base.name} if base.on_hub else {}
    if licence is not None:
        fields["license"] = licence
    fields["library_name"] = "narrows" if form == "safetensors" else "peft"
    fields["tags"] = ["steering-vector" if kind == "steering" else "lora", "narrows", "alignment-research"]
    return Markup(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=1000))  # noqa: S704


def _facts(adapter: SteeringVector | LoRA) -> Iterator[tuple[str, object]]:
    if isinstance(adapter, SteeringVector):
        yield "kind", "steering vector"
        yield "decoder layer, from 0", adapter.layer
        yield "width", len(adapter.vector)
    else:
        yield "kind", "LoRA"
        yield "rank", adapter.rank
        yield "rsLoRA", "yes" if adapter.rslora else "no"
        yield "s", adapter.scaling
    yield "α", adapter.alpha
    steps = adapter.metadata.get("steps")
    if isinstance(steps, int):
        yield "steps", steps


def _norms(adapter: SteeringVector | LoRA) -> Iterator[tuple[str, float]]:
    if isinstance(adapter, SteeringVector):
        yield "‖v‖", adapter.norm
        yield "‖αv‖", adapter.effective_norm
    else:
        yield "‖BA‖ over all modules", adapter.norm
        yield "‖sBA‖ over all modules", adapter.effective_norm
        yield from adapter.norms.items()


def _flat(recipe: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """A recipe's fields by their dotted names."""
    if not isinstance(recipe, dict):
        return
    for name, setting in recipe.items():
        whole = f"{prefix}{name}"
        if isinstance(setting, dict):
            yield from _flat(setting, f"{whole}.")
        else:
            yield whole, _written(setting)


def _written(setting: object) -> object:
    """A setting as a person would write it: a list without brackets, all else as in JSON."""
    if isinstance(setting, list | tuple) and setting:
        return ", ".join(map(str, setting))
    return setting if isinstance(setting, float | str) else json.dumps(setting, default=str)


def _template() -> Any:  # noqa: ANN401  (jinja2's own type says no more)
    """The card's template, in which every piece of text is made harmless unless that was done already."""
    environment = Environment(
        loader=PackageLoader("narrows.adapters.interchange"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda text: text if isinstance(text, Markup) else prose(text),
    )
    environment.filters |= {"value": value, "literal": _literal}
    return environment.get_template("card.md.jinja")


def _literal(text: str) -> Markup:
    """Text as a Python literal on one line of a code block: it cannot end the block or the string."""
    return Markup(json.dumps(one_line(text)))  # noqa: S704  (on one line, inside a fenced block)
