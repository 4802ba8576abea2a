"""A whole study: planned, done, and put together."""

from collections.abc import Callable, Sequence
from pathlib import Path

from narrows.files import claim_run_folder, write_json, write_text
from narrows.study.config import StudyConfig
from narrows.study.execution.local import local_workers
from narrows.study.execution.scheduling import Outcome, Workers, schedule
from narrows.study.plan.build import Plan, plan_study
from narrows.study.plan.stage import Task
from narrows.study.plan.tasks import tasks_of
from narrows.study.plan.work import Subjects
from narrows.study.results.whole import gather
from narrows.study.store import Store
from narrows.study.store_shared import open_store

STUDY_FILE = "study.yaml"
PLAN_FILE = "plan.json"


def open_study(config: StudyConfig, out: Path | str) -> tuple[Plan, Store]:
    """Plan a study in its folder, and keep the effective file and the plan there.

    The folder may hold results of an earlier form of the study: what is still wanted is found again.

    Raises:
        RunFolderError: the folder holds something else, or cannot be written.
        ConfigError, DataError, ModelError: as :func:`narrows.study.plan.build.plan_study`.
    """
    plan = plan_study(config)  # first: a study that cannot be planned leaves nothing behind
    out = claim_run_folder(Path(out), {"kind": "study"})
    write_text(out / STUDY_FILE, config.as_yaml())
    write_json(out / PLAN_FILE, plan.facts)
    store = open_store(out, config.store)
    store.share_local()
    return plan, store


def pending(plan: Plan, store: Store) -> list[Task]:
    """The tasks that are still to be done."""
    return tasks_of(plan.stages, store.finished, plan.config.bank, Subjects(plan.config).bank_pays)


def run_study(
    config: StudyConfig, out: Path | str, workers: Callable[[Plan, Store], Workers] | None = None
) -> tuple[Plan, Outcome]:
    """Do what is not finished of a study, and write ``summary.json`` and ``report.json``.

    Safe to stop at any moment and to start again; several processes may run one study in one folder.

    Args:
        config: the study file.
        out: its folder.
        workers: makes those who do the tasks (default: this machine's, as
            :func:`narrows.study.execution.local.local_workers` has them).

    Returns:
        The plan, and how it went: a stage that failed holds up only what needs it.

    Raises:
        RunFolderError: the folder holds something else, or cannot be written.
    """
    plan, store = open_study(config, out)
    return plan, carry_out(plan, store, pending(plan, store), workers)


def carry_out(
    plan: Plan,
    store: Store,
    tasks: Sequence[Task],
    workers: Callable[[Plan, Store], Workers] | None = None,
    command: str = "",
) -> Outcome:
    """Do the tasks of a study that was opened, and put together what is decided (:func:`run_study`).

    ``command`` is what a person typed to have it done, for the page to show.
    """
    outcome = Outcome()
    if tasks:
        team = local_workers(plan.config, store) if workers is None else workers(plan, store)
        try:
            outcome = schedule(tasks, team, store)
        finally:
            team.close()
    gather(plan, store, command)
    return outcome
