"""A language model as a judge of answers: what it will cost, and the verdicts, each exactly once."""

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import ConfigError, DataError, JudgeError, NarrowsError
from narrows.evaluation.answers import Answer
from narrows.evaluation.judging import Verdict, with_verdicts
from narrows.evaluation.llm import logs
from narrows.evaluation.llm.asking import PROBE, Asker, Budget, reply_key
from narrows.evaluation.llm.config import JudgeConfig
from narrows.evaluation.llm.log_files import write_log
from narrows.evaluation.llm.replies import Replies, default_cache
from narrows.evaluation.llm.rubrics import Rubric
from narrows.evaluation.llm.scorers import UNANSWERED, rubric_scorer
from narrows.evaluation.llm.scoring import Method
from narrows.files import digest
from narrows.progress import bar

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

CHARACTERS_A_TOKEN = 4
"""For estimates of cost; English text in today's tokenizers."""


@dataclass(frozen=True)
class Plan:
    """What judging will take.

    Attributes:
        calls: how often the judge will be asked; replies that cannot be read are asked for again.
        kept: verdicts for which a reply is there already.
        input_tokens: of the requests together, estimated at four characters a token.
    """

    calls: int
    kept: int
    input_tokens: int

    def __str__(self) -> str:
        kept = f"; {self.kept:,} replies are there already" if self.kept else ""
        return f"{self.calls:,} judge calls, about {self.input_tokens:,} tokens to read{kept}"


@dataclass(frozen=True)
class Judged:
    """Answers with verdicts, and how these came about.

    Attributes:
        answers: with the judge's score columns.
        methods: by score column, how many scores are weighted means and how many are the number written.
        calls: how often the judge was asked.
    """

    answers: list[Answer]
    methods: Mapping[str, Mapping[str, int]]
    calls: int

    @property
    def fell_back(self) -> bool:
        """Whether any score is the number that the judge wrote instead of a weighted mean."""
        return any(counts.get(Method.PARSED, 0) for counts in self.methods.values())


@dataclass
class LLMJudge:
    """A judge model with its rubrics; usable wherever a judge is.

    Attributes:
        config: the model and how it is reached.
        rubrics: one for each score column.
        max_calls: how often the judge may be asked by this object in all; None for no limit.
        cache: where replies are kept; None for the user's cache.
        log: where each judging writes its Inspect log; None for none.

    Raises:
        ConfigError: there is no rubric.
    """

    config: JudgeConfig
    rubrics: Sequence[Rubric]
    max_calls: int | None = None
    cache: Path | None = None
    log: Path | None = None
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        if not self.rubrics:
            raise ConfigError("A judge needs at least one rubric.")
        self.budget = Budget(self.max_calls)

    @property
    def name(self) -> str:
        """The judge model's name."""
        return self.config.model

    @property
    def columns(self) -> list[str]:
        """The score columns, one for each rubric."""
        return [rubric.name for rubric in self.rubrics]

    def plan(self, answers: Sequence[Answer]) -> Plan:
        """What judging these answers will take; sends nothing."""
        with self._replies() as replies:
            prompts = {prompt for answer in answers for prompt in self._prompts(answer)}
            keys = {reply_key(self._identity, prompt): prompt for prompt in prompts}
            known = replies.known(keys)
            sent = [prompt for key, prompt in keys.items() if key not in known]
            if sent and replies.find(reply_key(self._identity, PROBE)) is None:
                sent.append(PROBE)
        return Plan(len(sent), len(known), sum(map(len, sent)) // CHARACTERS_A_TOKEN)

    def __call__(self, answers: Sequence[Answer]) -> list[dict[str, Verdict]]:
        """Verdicts by column; one mapping an answer, in order.

        Raises:
            As :meth:`judge`.
        """
        columns = self.columns
        return [logs.verdicts(answer, columns) for answer in self.judge(answers).answers]

    def judge(self, answers: Sequence[Answer]) -> Judged:
        """The answers with verdicts; every reply is on disk as soon as it comes.

        Raises:
            ConfigError: it would take more calls than are allowed (before the first one), or the judge is
                not named as Inspect names models.
            DataError: there is no answer, or an answer stands twice in the table.
            JudgeError: the judge cannot be asked, or some answers got no reply; those that did are kept.
        """
        if not answers:
            raise DataError("There are no answers to judge.")
        left = None if self.max_calls is None else self.max_calls - self.budget.sent
        if left is not None and (plan := self.plan(answers)).calls > left:
            raise ConfigError(
                f"Judging takes {plan}; --max-judge-calls allows {left:,}. Nothing was sent: raise the "
                "limit, or ask fewer questions or samples."
            )
        before = self.budget.sent
        scored = self._scored(answers)
        failed = [
            score
            for sample in scored.samples or ()
            for score in (sample.scores or {}).values()
            if score.reason == UNANSWERED
        ]
        if failed:
            raise JudgeError(
                f"{len(failed)} of {len(answers) * len(self.rubrics)} verdicts are missing, the judge "
                f"{self.name} gave no readable reply (the last: {failed[-1].explanation}). The others are "
                "kept: run the same command again and only these are asked for."
            )
        methods = {
            rubric.name: dict(
                Counter(
                    (score.metadata or {}).get("method", "")
                    for sample in scored.samples or ()
                    if (score := (sample.scores or {}).get(rubric.name)) and score.reason is None
                )
            )
            for rubric in self.rubrics
        }
        # The texts are the table's: a log cannot hold every text as it is.
        columns = self.columns
        rows = [
            with_verdicts(answer, logs.verdicts(found, columns))
            for answer, found in zip(answers, logs.answers_of(scored), strict=True)
        ]
        result = Judged(rows, methods, self.budget.sent - before)
        if self.log is not None:
            write_log(scored, self.log)
        return result

    def _scored(self, answers: Sequence[Answer]) -> "EvalLog":
        """An Inspect log with the verdicts."""
        from functools import partial

        import anyio

        unjudged = logs.log_of(answers, self.columns, self._facts())
        total = len(answers) * len(self.rubrics)
        with self._replies() as replies, bar(f"judging · {self.name}", total=total) as shown:
            asker = Asker(self.config, replies, self.budget, shown.advance)
            scorers = [rubric_scorer(rubric, asker) for rubric in self.rubrics]
            try:
                gc.collect()
                gc.freeze()  # thousands of samples that stay need not be looked through each time
                return anyio.run(partial(logs.scored, unjudged, scorers))
            except Exception as error:
                fatal = asker.fatal or (error if isinstance(error, NarrowsError) else None)
                if fatal is None:
                    raise
                raise fatal from None
            finally:
                asker.close()  # a judge in this process takes its memory
                gc.unfreeze()

    def _prompts(self, answer: Answer) -> list[str]:
        return [rubric.prompt(answer.question, answer.text) for rubric in self.rubrics]

    def _replies(self) -> Replies:
        return Replies(self.cache or default_cache())

    @property
    def identity(self) -> str:
        """A digest of all that decides its verdicts: the model and the rubrics."""
        return digest([self._identity, [(rubric.name, rubric.template) for rubric in self.rubrics]])

    @cached_property
    def _identity(self) -> str:
        return self.config.identity()

    def _facts(self) -> dict[str, object]:
        """What the log says about the judge; no key is in it."""
        return {
            "judge": self.config.model,
            "judge_url": self.config.url,
            "judge_args": self.config.provider_args,
            "rubrics": {rubric.name: rubric.template for rubric in self.rubrics},
        }
