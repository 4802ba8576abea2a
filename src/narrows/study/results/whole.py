"""All runs of a study put together: its summary and reading matter."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from narrows.errors import DataError
from narrows.files import write_json
from narrows.strict import read_object
from narrows.study import summarising
from narrows.study.claims import ClaimResult, Part
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.study.plan.build import Plan
from narrows.study.pooling import RunClaims, pooled
from narrows.study.store import Store
from narrows.summary import Cost, Summary

AGAIN = "Remove the stage's folder and run the study again."


def gather(plan: Plan, store: Store, command: str = "") -> Summary | None:
    """Write the study's ``summary.json`` and ``report.json`` from the runs whose claims are decided.

    Args:
        plan: of the study.
        store: where its results are.
        command: what a person typed to have it done, for the page to show (empty: as the page says already).

    Returns:
        The summary; None if no run is that far.

    Raises:
        DataError: a run's file is damaged.
    """
    finished = [id_ for id_ in plan.decided.values() if store.finished(id_)]
    if not finished:
        return None
    summary, reading = put_together(plan, store, [run_files(store, id_) for id_ in finished])
    path = store.root / READING_FILE
    write_json(path, {**reading, "command": command or _command_so_far(path)})
    summary.save(store.root / SUMMARY_FILE)
    return summary


def run_files(store: Store, decided: str) -> tuple[Summary, dict[str, Any]]:
    """A run's summary and reading matter, as the stage that decided its claims wrote them.

    Raises:
        DataError: one of the two is missing or damaged.
    """
    folder = store.folder(decided)
    return Summary.load(folder / SUMMARY_FILE), read_object(folder / READING_FILE, DataError, AGAIN)


def put_together(
    plan: Plan, store: Store, runs: Sequence[tuple[Summary, dict[str, Any]]]
) -> tuple[Summary, dict[str, Any]]:
    """The study's summary and reading matter from those of its runs, pooled, with what the stages took."""
    readings = [reading for _, reading in runs]
    summary = merged([part for part, _ in runs])
    summary.pooled = pooled([_claims(one) for one in readings])
    summary.costs = costs(plan, store)
    summary.timings = _timings(summary.costs)
    return summary, _reading(plan, summary, readings)


def merged(parts: Iterable[Summary]) -> Summary:
    """One summary of several: rows after one another, models and behaviours once."""
    whole = Summary()
    for part in parts:
        for name in Summary.model_fields:
            rows = getattr(part, name)
            if not isinstance(rows, list):
                continue
            mine = getattr(whole, name)
            known = {row.id for row in mine} if name in ("models", "behaviours") else set()
            mine += [row for row in rows if name not in ("models", "behaviours") or row.id not in known]
    return whole


def costs(plan: Plan, store: Store) -> list[Cost]:
    """What each finished stage of the plan took, whenever it was done."""
    found = []
    for stage in plan.stages.values():
        if store.finished(stage.id):
            facts = store.facts(stage.id)
            found.append(
                Cost(
                    stage=stage.id,
                    kind=stage.kind,
                    title=stage.title,
                    run=stage.run,
                    seconds=facts["seconds"],
                    trainings=facts["trainings"],
                    tokens=facts["tokens"],
                    peak_memory=facts["peak_memory"],
                    device=facts["device"],
                )
            )
    return found


def _timings(rows: Iterable[Cost]) -> dict[str, float]:
    """Seconds by kind of stage."""
    seconds: dict[str, float] = {}
    for row in rows:
        seconds[row.kind] = round(seconds.get(row.kind, 0.0) + row.seconds, 2)
    return seconds


def _reading(plan: Plan, summary: Summary, readings: list[dict[str, Any]]) -> dict[str, Any]:
    """What stands in the report beside the numbers."""
    config = plan.config
    missing = len(plan.decided) - len(readings)
    notes = (
        [f"{missing} of {len(plan.decided)} runs are not finished and stand nowhere on this page."]
        if missing
        else []
    )
    notes += _notes(readings)
    world = next((one["about"]["world"] for one in readings if "world" in one["about"]), None)
    return {
        "title": config.title or f"Study {config.name}",
        "intro": config.intro,
        "world": world,
        "quotes": readings[0]["quotes"],
        "claim_parts": readings[0]["claim_parts"] if len(readings) == 1 else {},
        "run_parts": {one["run"]: one["claim_parts"] for one in readings},
        "config": config.model_dump(mode="json"),
        "versions": summarising.versions(),
        "notes": notes,
    }


def _command_so_far(path: Path) -> str:
    """What the reading matter of an earlier sitting names as the command that made the study."""
    with suppress(DataError):  # no number depends on it
        return str(read_object(path, DataError, AGAIN).get("command", "")) if path.exists() else ""
    return ""


def _notes(readings: list[dict[str, Any]]) -> list[str]:
    """What must be known of the runs, each sentence once: with the runs that it is about if not of all."""
    about: dict[str, list[str]] = {}
    for one in readings:
        for note in one.get("notes", []):
            about.setdefault(note, []).append(one["run"])
    return [
        note if len(runs) == len(readings) else f"{', '.join(runs)}: {note}" for note, runs in about.items()
    ]


def _claims(reading: dict[str, Any]) -> RunClaims:
    """A run's claims, from its reading matter."""
    return RunClaims(
        reading["run"],
        reading["kind"],
        reading["adapter"],
        [
            ClaimResult(id_, tuple(map(Part.of_reading, parts)))
            for id_, parts in reading["claim_parts"].items()
        ],
    )
