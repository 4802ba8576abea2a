"""The stage that decides a run's claims and makes its rows of the summary, from raw results alone."""

from narrows.files import write_json
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.study.plan.stage import Stage
from narrows.study.results import RunResults, run_summary
from narrows.study.stages.bench import Bench, Done


def decide(stage: Stage, bench: Bench) -> Done:
    """Write the run's ``summary.json`` and ``report.json``."""
    work = bench.store.work(stage.id)
    summary, reading = run_summary(RunResults(stage, bench))
    write_json(work / READING_FILE, reading)
    summary.save(work / SUMMARY_FILE)
    return Done()
