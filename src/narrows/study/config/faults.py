"""What is wrong in a study file, in words: the field, the value, and what is right there."""

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from narrows.strict import one_line

KEYS = "keys come from the environment only (OPENAI_API_KEY and the like)"


def faults(model: type[BaseModel], error: ValidationError) -> str:
    """All that is wrong, a sentence each.

    Values that stand under ``judge`` are not shown: a key may have been written there.

    Args:
        model: what was to be read.
        error: what pydantic found.
    """
    return " ".join(f"{_fault(model, one)}." for one in error.errors(include_url=False))


def _fault(model: type[BaseModel], found: Any) -> str:  # noqa: ANN401  (pydantic's own type is not public)
    place, kind = found["loc"], found["type"]
    name = ".".join(map(str, place)) or "the study"
    if kind == "extra_forbidden":
        right = ", ".join(_known(model, place[:-1]))
        hint = f"; {KEYS}" if "judge" in place else ""
        return f"{name}: there is no such field; there are {right}{hint}"
    if kind == "missing":
        about = _description(model, place)
        return f"{name}: is missing" + (f" ({about})" if about else "")
    said = one_line(found["msg"]).removeprefix("Value error, ")
    value = found["input"]
    if "judge" in place or isinstance(value, dict | list | BaseModel) or repr(value) in said:
        return f"{name}: {said}"
    return f"{name}: {said}; it is {one_line(repr(value))}"


def _known(model: type[BaseModel], place: Sequence[object]) -> list[str]:
    """The fields that may stand at a place."""
    found = _model_at(model, place)
    return [] if found is None else [field.alias or name for name, field in found.model_fields.items()]


def _description(model: type[BaseModel], place: Sequence[object]) -> str:
    found = _model_at(model, place[:-1])
    field = None if found is None else found.model_fields.get(str(place[-1]))
    return "" if field is None else field.description or ""


def _model_at(model: type[BaseModel], place: Sequence[object]) -> type[BaseModel] | None:
    """The model whose fields stand at a place; None if it is none."""
    for name in place:
        if isinstance(name, int):
            continue  # a place in a list
        field = model.model_fields.get(str(name))
        inside = next(_models(None if field is None else field.annotation), None)
        if inside is None:
            return None
        model = inside
    return model


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models in a type, such as that in ``tuple[Model, ...]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inside in get_args(annotation):
        yield from _models(inside)
