"""``narrows report verify``: every number of a study's page made again from the raw outputs of its stages.

No model is loaded and no judge is asked. From answers and their scores come rates, choices of λ and claims;
from losses, KLs and cosines unit by unit their means and bands; from adapters norms, cosines and
trajectories; from all runs the pooled claims. What the stages wrote is held against the digests that were
kept of it.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from narrows.errors import DataError, NarrowsError, RunFolderError
from narrows.evaluation import read_answers
from narrows.progress import bar
from narrows.strict import one_line, read_object
from narrows.study.config import StudyConfig, load_study
from narrows.study.execution.running import PLAN_FILE, STUDY_FILE
from narrows.study.materials import Material
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.study.plan.build import Plan
from narrows.study.plan.stage import Stage
from narrows.study.results.comparing import Render, Verification, as_json
from narrows.study.results.rows import run_summary
from narrows.study.results.run import RunResults
from narrows.study.results.whole import put_together, run_files
from narrows.study.stages.asking import ANSWERS_FILE
from narrows.study.stages.bench import CHOICE_FILE, Bench
from narrows.study.stages.choosing import chosen
from narrows.study.store import DONE, Store, contents
from narrows.study.store_shared import open_store
from narrows.summary import Summary

GIVEN = ("versions", "command")
"""Fields of the reading matter that are told by the machine and the person that made the study."""

RunParts = tuple[Summary, dict[str, Any]]


def verify(folder: Path | str, render: Render) -> Verification:
    """Make every number of a folder's page again, and say what does not agree.

    Args:
        folder: of a study, or of a single job's run (then its page alone, from its summary).
        render: writes the page of a folder into it.

    Raises:
        RunFolderError: the folder holds no finished run.
        DataError, ConfigError: the study file or the plan cannot be read.
    """
    folder = Path(folder).resolve()
    if not (folder / SUMMARY_FILE).is_file():
        raise RunFolderError(
            f"{folder / SUMMARY_FILE} does not exist: there is nothing to verify. Give the folder of a "
            "finished run or study."
        )
    if not (folder / PLAN_FILE).is_file():
        found = Verification(folder)
        found.left_out.append(
            "Numbers are taken as they stand in summary.json; only the page was drawn anew."
        )
        found.compare_page(render)
        return found
    return _Study.of(folder).verified(render)


@dataclass
class _Files(Bench):
    """A bench on which nothing is trained or asked: materials are taken as they are now."""

    def material(self, stage: Stage, behaviour: str | None = None) -> Material:
        """A behaviour's material, which is held against the plan's elsewhere."""
        return self.material_now(stage, behaviour)


def _as_recorded(values: Mapping[str, Any]) -> Stage:
    """A stage by the id that it was done under, which another version of its kind would not give it."""
    stage = Stage.from_json(values)
    stage.__dict__["id"] = str(values["id"])
    return stage


@dataclass
class _Study:
    """A study's folder while it is verified."""

    plan: Plan
    store: Store
    found: Verification
    bench: Bench
    missing: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, folder: Path) -> "_Study":
        config, path = load_study(folder / STUDY_FILE), folder / PLAN_FILE
        facts = read_object(path, DataError, "Run the study again to make it.")
        try:
            stages = {one["id"]: _as_recorded(one) for one in facts["stages"]}
            plan = Plan(config, [], stages, dict(facts["decided"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} is no plan of a study ({one_line(repr(error))}). Run the study again to make it."
            ) from error
        store = open_store(folder, config.store)
        return cls(plan, store, Verification(folder), _Files(config, store))

    def verified(self, render: Render) -> Verification:
        """Check everything."""
        self._note_missing()
        steps = [one for one in self.plan.stages.values() if self.store.finished(one.id)]
        with bar("holding stages against their records", len(steps)) as shown:
            for stage in steps:
                self._check_record(stage)
                self._check_material(stage)
                self._check_derived(stage)
                shown.advance()
        decided = [id_ for id_ in self.plan.decided.values() if self.store.finished(id_)]
        with bar("making the numbers again", len(decided)) as shown:
            parts: list[RunParts] = []
            for id_ in decided:
                parts += self._run(self.plan.stages[id_])
                shown.advance()
        if parts:
            self._check_whole(parts)
        self.found.compare_page(render)
        return self.found

    # -- stages ---------------------------------------------------------------------------------------------

    def _note_missing(self) -> None:
        """Stages that were finished once, or that finished ones rest on, and are not there."""
        finished = {line["stage"] for line in self.store.journal() if line.get("event") == "finished"}
        needed = {
            one
            for id_ in self.plan.stages
            if self.store.finished(id_)
            for one in self.plan.stages[id_].inputs.values()
        }
        absent = [id_ for id_ in self.plan.stages if not self.store.finished(id_)]
        self.missing = {id_ for id_ in absent if id_ in finished or id_ in needed}
        for id_ in absent:
            if id_ in self.missing:
                what = f"the stage: {self.plan.stages[id_].title}"
                self.found.differs(self.store.folder(id_), what, "that it is there", "no finished stage")
        if rest := len(absent) - len(self.missing):
            self.found.left_out.append(
                f"{rest} of the plan's {len(self.plan.stages)} stages are not finished."
            )

    def _check_record(self, stage: Stage) -> None:
        """A stage's record against the plan, and its files against their digests."""
        place = self.store.folder(stage.id) / DONE
        try:
            facts = self.store.facts(stage.id)
        except DataError as error:
            self.found.differs(place, "the record", "that it can be read", error)
            return
        self.found.stages += 1
        planned = as_json(stage.as_json())
        for name in ("id", "kind", "settings", "inputs"):  # titles and runs are the first study's to have it
            self.found.compare(place, planned[name], facts.get(name), name)
        kept: Mapping[str, str] | None = facts.get("files")
        if kept is None:
            self.found.left_out.append(f"No digests were kept of {stage.id}.")
            return
        now = contents(self.store.folder(stage.id))
        self.found.files += len(kept)
        for name in [*kept, *(name for name in now if name not in kept)]:
            if kept.get(name) != now.get(name):
                file = self.store.folder(stage.id) / name
                expected, found = kept.get(name, "no such file"), now.get(name, "no such file")
                self.found.differs(file, f"the file's digest ({stage.title})", expected, found)

    def _check_material(self, stage: Stage) -> None:
        """The behaviour's files against the digests that the stage was planned with."""
        try:
            self.bench.material_now(stage).check(stage.settings)
        except NarrowsError as error:
            self.found.differs(
                STUDY_FILE, f"behaviour {stage.behaviour}", "what the plan was made with", error
            )

    def _check_derived(self, stage: Stage) -> None:
        """Stages that are made of others alone: a table with scores, and a choice of λ."""
        try:
            if stage.kind == "verdicts":
                self._check_table(stage)
            elif stage.kind == "choice":
                place = self.store.folder(stage.id) / CHOICE_FILE
                again = as_json(chosen(stage, self.bench))
                self.found.compare(place, again, read_object(place, DataError, "Run the study again."))
        except NarrowsError as error:
            self.found.differs(self.store.folder(stage.id), stage.title, "that it can be made again", error)

    def _check_table(self, stage: Stage) -> None:
        """The judged table has the answers that were given, word for word."""
        place = self.store.folder(stage.id) / ANSWERS_FILE
        asked = read_answers(self.bench.folder(stage, "answers") / ANSWERS_FILE)
        judged = read_answers(place)
        self.found.answers += len(judged)
        if len(asked) != len(judged):
            self.found.differs(place, "answers", len(asked), len(judged))
        for number, (left, right) in enumerate(zip(asked, judged, strict=False), start=1):
            plain = replace(right, scores={}, reasons={})
            if plain != left:
                names = [name for name in vars(left) if getattr(left, name) != getattr(plain, name)]
                for name in names:
                    what = f"row {number}, {name} ({left.suite}, {left.question_id})"
                    self.found.differs(place, what, getattr(left, name), getattr(plain, name))

    # -- numbers --------------------------------------------------------------------------------------------

    def _run(self, stage: Stage) -> list[RunParts]:
        """A run's numbers made again; what its stage wrote, where they cannot be."""
        folder = self.store.folder(stage.id)
        try:
            kept = run_files(self.store, stage.id)
        except DataError as error:
            self.found.differs(folder, stage.title, "that it can be read", error)
            return []
        lost = self._rests_on(stage) & self.missing
        if lost:
            self.found.left_out.append(
                f"{stage.title}: not made again, {', '.join(sorted(lost))} is missing."
            )
            return [kept]
        try:
            summary, reading = run_summary(RunResults(stage, self.bench))
        except (NarrowsError, ArithmeticError, LookupError, ValueError) as error:
            self.found.differs(folder, stage.title, "that it can be made again", error)
            return [kept]
        reading = as_json(reading)
        self._compare_summaries(folder / SUMMARY_FILE, summary, kept[0])
        self.found.compare(folder / READING_FILE, reading, kept[1])
        return [(summary, reading)]

    def _rests_on(self, stage: Stage) -> set[str]:
        """All stages that one is made of."""
        rest, seen = list(stage.inputs.values()), set[str]()
        while rest:
            id_ = rest.pop()
            if id_ not in seen and id_ in self.plan.stages:
                seen.add(id_)
                rest += self.plan.stages[id_].inputs.values()
        return seen

    def _check_whole(self, parts: list[RunParts]) -> None:
        """The study's summary and reading matter, put together again."""
        folder = self.found.folder
        try:
            summary, reading = put_together(self.plan, self.store, parts)
        except (NarrowsError, KeyError, TypeError, ValueError) as error:
            self.found.differs(SUMMARY_FILE, "the whole", "that it can be put together again", error)
            return
        self._compare_summaries(folder / SUMMARY_FILE, summary, Summary.load(folder / SUMMARY_FILE))
        kept = read_object(folder / READING_FILE, DataError, "Run the study again.")
        for name in GIVEN:
            reading.pop(name, None)
            kept.pop(name, None)
        with suppress(ValidationError):  # fields that came later have their defaults on both sides
            kept["config"] = StudyConfig.model_validate(kept.get("config")).model_dump(mode="json")
        self.found.compare(folder / READING_FILE, as_json(reading), kept)
        self.found.left_out.append(
            "Versions, times and memory are taken as they were recorded; answers, losses, KLs and gradients "
            "as the model gave them, and scores as the judge did."
        )

    def _compare_summaries(self, place: Path, again: Summary, kept: Summary) -> None:
        self.found.compare(place, again.model_dump(mode="json"), kept.model_dump(mode="json"))
