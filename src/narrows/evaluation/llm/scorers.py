"""Judges as Inspect scorers: one for each rubric, in our own runs and in anybody's task."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.evaluation.llm.asking import Asker, Budget, Unanswered
from narrows.evaluation.llm.config import JudgeConfig
from narrows.evaluation.llm.replies import Replies, default_cache
from narrows.evaluation.llm.rubrics import Rubric, rubrics_of
from narrows.evaluation.llm.scoring import verdict_of

if TYPE_CHECKING:
    from inspect_ai.scorer import Score, Scorer, Target
    from inspect_ai.solver import TaskState

SHOWN = 500
"""Characters of an answer that stand beside its score in Inspect's viewer."""

UNANSWERED = "unanswered"
"""The reason of a score that is missing because the judge could not be reached."""


def scorers_of(
    rubrics: Sequence[str],
    judge: str | JudgeConfig,
    *,
    rubrics_file: Path | None = None,
    max_judge_calls: int | None = None,
    cache: Path | None = None,
) -> "list[Scorer]":
    """Scorers for an Inspect task, one for each rubric; a score is 0-100.

    Args:
        rubrics: names, as :func:`narrows.evaluation.llm.rubrics.rubrics_of` reads them.
        judge: the judge's name in Inspect, or its whole configuration.
        rubrics_file: rubrics that win over ours.
        max_judge_calls: how many requests may be sent.
        cache: where replies are kept (default: the user's cache).

    Raises:
        ConfigError: there is no such rubric.
    """
    config = judge if isinstance(judge, JudgeConfig) else JudgeConfig(model=judge)
    asker = Asker(config, Replies(cache or default_cache()), Budget(max_judge_calls))
    return [rubric_scorer(rubric, asker) for rubric in rubrics_of(rubrics, rubrics_file)]


def rubric_scorer(rubric: Rubric, asker: Asker) -> "Scorer":
    """The scorer that asks a judge by one rubric; its name is the rubric's.

    The judge's reply is kept with the score: its text and the log-probabilities of its first token.
    """
    from inspect_ai.scorer import Score, mean, scorer, stderr

    @scorer(metrics=[mean(), stderr()], name=rubric.name)  # type: ignore[untyped-decorator]
    def judged() -> "Scorer":
        async def score(state: "TaskState", target: "Target") -> "Score":
            prompt = rubric.prompt(
                state.metadata.get("question") or state.input_text, state.output.completion
            )
            try:
                reply = await asker.ask(prompt)
            except Unanswered as error:
                return Score.unscored(reason=UNANSWERED, explanation=str(error))
            verdict = verdict_of(reply)
            kept = {"method": str(reply.method), "reply": reply.text, "top": reply.top}
            shown = {"answer": state.output.completion[:SHOWN], "explanation": f"The judge: {reply.text!r}"}
            if isinstance(verdict, float):
                return Score(value=verdict, metadata=kept, **shown)
            return Score.unscored(reason=str(verdict), metadata=kept, **shown)

        return score

    return judged()
