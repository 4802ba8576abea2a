"""A single run's page verified: what can be made again from what the main job keeps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows.adapters import load_adapter
from narrows.errors import DataError, NarrowsError
from narrows.evaluation import MISALIGNED, TECHNICAL, Answer, Question, Suite, rates, read_answers, summarise
from narrows.geometry import read_trajectory, trajectory
from narrows.strict import read_object
from narrows.study import claims, summarising
from narrows.study.claims import ClaimResult, RateTable
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.study.results.comparing import Render, Verification, as_json
from narrows.summary import Summary

RUN_FILE = "run.json"
MAIN_JOB = "main-job"
CRITERIA = {"harmful": MISALIGNED, "technical": TECHNICAL}
"""What counts, by the kind of a microworld's behaviour."""

C7_ENDS = ("anchored", "lifted", "continued-anchored", "continued-unanchored")
FOLLOWED = ("unanchored", "anchored", "lifted", "continued-anchored", "continued-unanchored")


def verify_run(folder: Path, render: Render) -> Verification:
    """Make again what a run's folder allows, and say what it does not.

    Of a main job (the demo): rates from the answers, C1, C2 and C7, norms, trajectories and quotes. Of all
    others the page alone, from their summary.

    Args:
        folder: of the run.
        render: writes the page of a folder into it.

    Raises:
        DataError: the run's record cannot be read.
    """
    found = Verification(folder)
    path = folder / RUN_FILE
    run = read_object(path, DataError, "Give a run's folder.") if path.exists() else {}
    summary = Summary.load(folder / SUMMARY_FILE)
    if run.get("kind") == MAIN_JOB and summary.behaviours:
        _MainJob(folder, found, summary).check()
    else:
        found.left_out.append(
            "Numbers are taken as they stand in summary.json; only the page was drawn anew."
        )
    found.compare_page(render)
    return found


class _MainJob:
    """The folder of a main job while it is verified."""

    def __init__(self, folder: Path, found: Verification, summary: Summary) -> None:
        self.folder, self.found, self.summary = folder, found, summary
        self.kind = summary.behaviours[0].kind

    def check(self) -> None:
        """Check what can be made again."""
        self._check_solutions()
        if self.kind not in CRITERIA:
            self.found.left_out.append(f"What counts for the behaviour {self.kind!r} is not known here.")
            return
        try:
            answers = self._answers()
            results = self._rates(answers)
        except NarrowsError as error:
            self.found.differs("answers", "the rates", "that they can be made again", error)
            return
        self._check_reading(answers, results)
        again = {one.id for one in results}
        kept = [one.id for one in self.summary.claims if one.id not in again]
        self.found.left_out.append(
            "A single run keeps no losses row by row: loss against norm and noise, KL on texts"
            f"{', gradients' if self.summary.gradients else ''} and the claims {', '.join(kept)} are taken "
            "as they stand in summary.json. So is which suites the anchor saw."
        )

    def _answers(self) -> dict[tuple[str, float], list[Answer]]:
        """The answers by solution and scale, in the summary's order."""
        order = dict.fromkeys((one.solution, one.scale) for one in self.summary.evaluations)
        tables = {}
        for name, scale in order:
            tables[name, scale] = read_answers(self.folder / "answers" / f"{name}@{scale:g}.jsonl")
            self.found.answers += len(tables[name, scale])
        return tables

    def _rates(self, answers: Mapping[tuple[str, float], list[Answer]]) -> list[ClaimResult]:
        """Rates, and the claims that follow from them and from the adapters."""
        place, criterion = self.folder / SUMMARY_FILE, CRITERIA[self.kind]
        suites = self._suites(answers)
        judges = {one.judge for one in self.summary.evaluations}
        every = [one for table in answers.values() for one in table]
        rows = summarise(every, criterion, suites, judges.pop() if len(judges) == 1 else "")
        kept = [one.model_dump(mode="json") for one in self.summary.evaluations]
        self.found.compare(place, [one.model_dump(mode="json") for one in rows], kept, "evaluations")
        table = RateTable({key: rates(some, criterion) for key, some in answers.items()}, suites)
        results = [claims.c1(table), claims.c2(table)]
        if all((self.folder / "solutions" / name).is_dir() for name in C7_ENDS):
            ends = {name: load_adapter(self.folder / "solutions" / name) for name in C7_ENDS}
            results.append(claims.c7(table, ends))
        verdicts = {one.name: one.verdict for one in self.summary.solutions if table.has(one.name)}
        self.found.compare(place, {name: table.verdict(name) for name in verdicts}, verdicts, "verdicts")
        model, behaviour = self.summary.models[0].id, self.summary.behaviours[0].id
        stated = {one.id: one.model_dump(mode="json") for one in self.summary.claims}
        for one in results:
            again = one.as_claim(model, behaviour).model_dump(mode="json")
            self.found.compare(place, again, stated.get(one.id, {}), f"claims {one.id}")
        return results

    def _suites(self, answers: Mapping[tuple[str, float], list[Answer]]) -> list[Suite]:
        """The suites that were asked, with what the summary says of the anchor."""
        seen = {one.suite: one.anchored for one in self.summary.evaluations}
        asked: dict[str, dict[str, Question]] = {}
        for table in answers.values():
            for one in table:
                question = Question(one.question_id, one.question, one.suite, one.cluster)
                asked.setdefault(one.suite, {}).setdefault(one.question_id, question)
        return [Suite(name, tuple(some.values()), seen.get(name)) for name, some in asked.items()]

    def _check_reading(
        self, answers: Mapping[tuple[str, float], list[Answer]], results: list[ClaimResult]
    ) -> None:
        """Quotes and the claims' parts."""
        place = self.folder / READING_FILE
        kept: dict[str, Any] = read_object(place, DataError, "Run the job again in another folder.")
        self.found.compare(place, as_json(summarising.quotes(answers)), kept.get("quotes"), "quotes")
        for one in results:
            parts = as_json([part.as_reading() for part in one.parts])
            self.found.compare(place, parts, kept.get("claim_parts", {}).get(one.id), f"claim_parts.{one.id}")

    def _check_solutions(self) -> None:
        """Norms, steps and the trajectories, from the adapters."""
        place = self.folder / SUMMARY_FILE
        try:
            for one in self.summary.solutions:
                adapter = load_adapter(self.folder / one.path)
                again = {
                    "norm": adapter.norm,
                    "effective_norm": adapter.effective_norm,
                    "layer": adapter.layer,
                }
                kept = {name: getattr(one, name) for name in again}
                self.found.compare(place, again, kept, f"solutions {one.name}")
            if len(self.summary.trajectories) == 1:
                paths = {name: dict(read_trajectory(self.folder / "solutions" / name)) for name in FOLLOWED}
                ends = [
                    load_adapter(self.folder / "solutions" / name) for name in (FOLLOWED[-1], FOLLOWED[1])
                ]
                found = trajectory(paths, general=ends[0], narrow=ends[1]).model_dump(mode="json")
                stated = self.summary.trajectories[0].model_dump(mode="json")
                self.found.compare(place, found, stated, "trajectories[0]")
        except NarrowsError as error:
            self.found.differs("solutions", "the adapters", "that they can be read", error)
