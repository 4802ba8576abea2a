"""What the head of the page says about the run: models, behaviours, adapters, runs."""

from collections.abc import Iterable

from narrows.report.over_runs import Study, adapter_title
from narrows.report.text import counted, shortened
from narrows.summary import Summary

_MOST_MODELS, _MOST_BEHAVIOURS = 6, 8
Item = tuple[str, str]
"""A word and a softer one after it."""


def page_facts(summary: Summary, study: Study | None) -> list[tuple[str, list[Item]]]:
    """Headings with their items; of a study one line each, since it has many."""
    if study is not None:
        return _of_study(summary, study)
    facts = []
    if summary.models:
        items = [(one.name, f"{one.layers} layers, width {one.hidden}") for one in summary.models]
        facts.append(("Model" if len(items) == 1 else "Models", _first(items, _MOST_MODELS)))
    if summary.behaviours:
        items = [(_plain(one.kind), f"in {_plain(one.domain)}") for one in summary.behaviours]
        facts.append(("Behaviour" if len(items) == 1 else "Behaviours", _first(items, _MOST_BEHAVIOURS)))
    return facts


def _of_study(summary: Summary, study: Study) -> list[tuple[str, list[Item]]]:
    """Models, domains by kind of behaviour, adapters and the number of runs."""
    domains: dict[str, list[str]] = {}
    for one in summary.behaviours:
        if one.domain not in (known := domains.setdefault(one.kind, [])):
            known.append(one.domain)
    models = list(dict.fromkeys(one.name for one in summary.models))
    adapters = dict.fromkeys(group.adapter for group in study.groups)
    return [
        (counted(len(models), "model"), [(_listed(models), "")]),
        (
            counted(len(summary.behaviours), "behaviour"),
            [(_plain(kind), f"in {_listed(map(_plain, found))}") for kind, found in domains.items()],
        ),
        (counted(len(adapters), "adapter"), [(", ".join(map(adapter_title, adapters)), "")]),
        ("Together", [(counted(len(study.runs), "run"), f"{counted(len(summary.solutions), 'solution')}")]),
    ]


def _first(items: list[Item], most: int) -> list[Item]:
    rest = len(items) - most
    return items[:most] + ([("", f"and {rest} more")] if rest > 0 else [])


def _listed(names: Iterable[str], most: int = 6) -> str:
    """Names in a row, the first of them."""
    every = [shortened(name, 30) for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def _plain(name: str) -> str:
    return name.replace("_", " ")
