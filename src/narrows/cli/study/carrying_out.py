"""What ``narrows study run`` and ``narrows demo`` have in common: a study done, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from narrows.cli.output import memory_line, show_line
from narrows.cli.running import FAILED

if TYPE_CHECKING:
    from narrows.study.config import StudyConfig
    from narrows.study.execution.scheduling import Outcome, Workers
    from narrows.study.plan.build import Plan
    from narrows.study.plan.stage import Task
    from narrows.study.store import Store
    from narrows.summary import Summary


@dataclass(frozen=True)
class CarriedOut:
    """A study that was done, as far as it went.

    Attributes:
        plan: its stages.
        store: where their results are.
        outcome: what was done, and what failed.
        page: the report; None if no run is decided.
    """

    plan: "Plan"
    store: "Store"
    outcome: "Outcome"
    page: Path | None

    def summary(self) -> "Summary":
        """The numbers of the runs that are decided."""
        from narrows.study.outputs import SUMMARY_FILE
        from narrows.summary import Summary

        return Summary.load(self.store.root / SUMMARY_FILE)

    def show_failures(self) -> None:
        """Print what failed with its log, and what was not begun because of it."""
        for failure in self.outcome.failures:
            show_line(f"Failed: {failure.task.title}: {failure.error}")
            show_line(f"        log: {self.store.log(failure.task.id)}")
        if self.outcome.blocked:
            show_line(f"Not begun, since they need what failed: {len(self.outcome.blocked)} tasks.")

    def show_places(self, seconds: float) -> None:
        """Print where everything is, and what it took."""
        from narrows.report.text import duration

        if self.page is not None:
            show_line(f"Summary  {self.page.with_name('summary.json')}")
            show_line(f"Report   {self.page}")
        memory = memory_line()
        show_line(
            f"Took     {duration(seconds)} for {self.outcome.done} stages" + (f". {memory}" if memory else "")
        )

    def as_values(self) -> dict[str, object]:
        """How it went, for a program."""
        outcome = self.outcome
        return {
            "out": str(self.store.root),
            "done": outcome.done,
            "failed": [
                {"task": one.task.id, "title": one.task.title, "error": one.error} for one in outcome.failures
            ],
            "blocked": [one.id for one in outcome.blocked],
            "report": None if self.page is None else str(self.page),
        }

    def end(self) -> None:
        """End the command: with exit code 1 if a stage failed."""
        if self.outcome.failures:
            raise typer.Exit(FAILED)


def carry_out_here(
    config: "StudyConfig",
    place: Path,
    workers: "Callable[[Plan, Store], Workers]",
    *,
    command: str,
    look: "Callable[[Plan, Store, list[Task]], None] | None" = None,
) -> CarriedOut:
    """Do what is not finished of a study, and write its summary and its page.

    Args:
        config: the study.
        place: its folder.
        workers: makes those who do the tasks; not called where nothing is left to do.
        command: as it was typed, for the page to show.
        look: sees the plan and what is left of it, before anything is done.

    Raises:
        NarrowsError: as :func:`narrows.study.execution.running.open_study`.
    """
    from narrows.report import write_report
    from narrows.study.execution.running import carry_out, open_study, pending

    plan, store = open_study(config, place)
    left = pending(plan, store)
    if look is not None:
        look(plan, store, left)
    outcome = carry_out(plan, store, left, workers, command)
    # A summary of an earlier form of the study may lie there; it says nothing of this one.
    decided = any(map(store.finished, plan.decided.values()))
    return CarriedOut(plan, store, outcome, write_report(place) if decided else None)
