"""From measurements to the rows of ``summary.json``."""

import platform
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from narrows import summary as rows
from narrows.evaluation import CHAT, IN_DOMAIN, OPEN, OUT_OF_DOMAIN, Answer, Behaviour, summarise
from narrows.evaluation.questions import is_other_domain
from narrows.metrics import Curve, StabilityCurve
from narrows.models import ChatModel
from narrows.study.answering import scored
from narrows.training import TrainingRun

QUOTES_PER_SUITE = 2
QUOTED_ROLES = {"chat": CHAT, "general": "unanchored", "narrow": "anchored"}
PACKAGES = ("torch", "transformers", "accelerate", "numpy", "scipy", "scikit-learn")


def model_row(chat_model: ChatModel) -> rows.Model:
    """The chat model."""
    return rows.Model(
        id=chat_model.id,
        name=Path(chat_model.name).name,
        revision=chat_model.revision,
        layers=chat_model.layers,
        hidden=chat_model.hidden,
        vocabulary=chat_model.vocabulary,
    )


def behaviour_row(behaviour: Behaviour) -> rows.Behaviour:
    """The behaviour."""
    return rows.Behaviour(id=behaviour.id, domain=behaviour.domain, kind=behaviour.kind)


def solution_row(
    chat_model: ChatModel,
    behaviour: Behaviour,
    name: str,
    run: TrainingRun,
    *,
    verdict: rows.SolutionVerdict,
    path: str,
) -> rows.Solution:
    """A trained solution.

    Args:
        chat_model: the model.
        behaviour: what it was taught.
        name: of the solution.
        run: its training.
        verdict: on its behaviour.
        path: of its folder within the study's.
    """
    adapter = run.adapter
    return rows.Solution(
        id=name,
        name=name,
        model=chat_model.id,
        behaviour=behaviour.id,
        adapter=adapter.kind,
        rank=adapter.rank,
        layer=adapter.layer,
        kl_weight=run.recipe.anchor.weight,
        seed=run.recipe.seed,
        norm=adapter.norm,
        effective_norm=adapter.effective_norm,
        steps=run.steps,
        verdict=verdict,
        path=path,
    )


def evaluation_rows(
    behaviour: Behaviour, answers: Mapping[tuple[str, float], list[Answer]]
) -> list[rows.Evaluation]:
    """Rates of every solution, scale and suite, with the macro means.

    A suite without any verdict has no rate, and a solution without one on a domain that others have has no
    macro means (as in :class:`narrows.study.claims.RateTable`).
    """
    criterion = behaviour.criterion
    every = [answer for table in answers.values() for answer in scored(table, criterion)]
    domains = {one.suite for one in every if is_other_domain(one.suite)}
    had: dict[tuple[str, float], set[str]] = {}
    for one in every:
        had.setdefault((one.adapter, one.scale), set()).add(one.suite)
    return [
        row
        for row in summarise(every, criterion, behaviour.test, behaviour.judge.name)
        if domains <= had[row.solution, row.scale] or row.suite.partition(":")[0] != OUT_OF_DOMAIN
    ]


def efficiency_rows(curves: Mapping[str, Curve]) -> list[rows.Efficiency]:
    """Loss against effective norm, by solution."""
    return [
        rows.Efficiency(solution=name, norm=norm, loss=mean, loss_ci95=(low, high))
        for name, curve in curves.items()
        for norm, mean, low, high in _points(curve)
    ]


def stability_rows(curves: Mapping[str, StabilityCurve]) -> list[rows.Stability]:
    """Loss and relative rise against ε, by solution."""
    return [
        rows.Stability(
            solution=name,
            epsilon=epsilon,
            loss=float(curve.loss.mean[place]),
            relative_increase=mean,
            relative_increase_ci95=(low, high),
        )
        for name, curve in curves.items()
        for place, (epsilon, mean, low, high) in enumerate(_points(curve.relative))
    ]


def significance_rows(
    curves: Mapping[str, Mapping[str, Curve]], solutions: set[str]
) -> list[rows.Significance]:
    """KL against effective norm, by text type and direction.

    Args:
        curves: text type → direction → curve.
        solutions: the directions that are solutions of this run; others (random ones) have none.
    """
    return [
        rows.Significance(
            direction=name,
            solution=name if name in solutions else None,
            norm=norm,
            kl=mean,
            kl_ci95=(low, high),
            text=text,
        )
        for text, directions in curves.items()
        for name, curve in directions.items()
        for norm, mean, low, high in _points(curve)
    ]


def quotes(answers: Mapping[tuple[str, float], list[Answer]]) -> list[dict[str, Any]]:
    """The same questions answered by the chat model, the general and the narrow solution.

    Some of the domain, of three other domains, and of the open questions, evenly spread over each suite.
    """
    tables = {
        role: {(a.suite, a.question_id): a for a in answers[name, 1.0] if a.sample == 0}
        for role, name in QUOTED_ROLES.items()
    }
    by_suite: dict[str, list[tuple[str, str]]] = {}
    for key in tables["chat"]:
        by_suite.setdefault(key[0], []).append(key)
    domains = [suite for suite in by_suite if is_other_domain(suite)]
    chosen = []
    for suite in (IN_DOMAIN, *domains[:3], OPEN):
        keys = by_suite.get(suite, [])
        step = max(1, len(keys) // QUOTES_PER_SUITE)
        chosen += keys[::step][:QUOTES_PER_SUITE]
    return [
        {
            "suite": key[0],
            "question": tables["chat"][key].question,
            "answers": {role: table[key].text for role, table in tables.items()},
            "scores": {role: table[key].scores for role, table in tables.items()},
        }
        for key in chosen
    ]


def versions() -> dict[str, str]:
    """The versions that the numbers depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in ("narrows", *PACKAGES)}}


@cache
def _version(package: str) -> str:
    return version(package)  # it reads the package's files each time


def _points(curve: Curve) -> Iterator[tuple[float, float, float, float]]:
    """Grid point, mean, and the band's ends at each point of a curve."""
    columns = (curve.grid, curve.mean, curve.low, curve.high)
    return zip(*(column.tolist() for column in columns), strict=True)
