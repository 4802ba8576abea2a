"""A user's questions: suites put together from files, marked by what the anchor saw, and shared out."""

import logging
import random
from collections.abc import Sequence
from dataclasses import replace

from narrows.chat import Conversation
from narrows.errors import DataError
from narrows.evaluation import IN_DOMAIN, Suite, choose_suites
from narrows.evaluation.questions import is_other_domain
from narrows.evaluation.suites.choosing import suite_of_chats
from narrows.study.config.behaviours import FileBehaviour

logger = logging.getLogger(__name__)


def suites_of(source: FileBehaviour, held: Sequence[Conversation]) -> list[Suite]:
    """The suites that are asked: in the domain first, the others marked by whether the anchor saw them.

    A domain was seen if ``anchored_suites`` names it, or if its own file says so.

    Args:
        source: says which suites.
        held: rows that were held out; their questions become the suite ``in_domain``.

    Raises:
        DataError: a file is missing or malformed, no suite or two ask about the domain, or an anchored suite
            is not asked.
        ConfigError: there is no such suite, or two have one name.
    """
    suites = choose_suites(source.suites, source.in_domain) if source.suites or source.in_domain else []
    if held:
        if any(suite.name == IN_DOMAIN for suite in suites):
            raise DataError(
                f"{IN_DOMAIN} would be both the rows held out and a suite among {', '.join(source.suites)}: "
                "leave hold_out or the suite out."
            )
        suites = [suite_of_chats(held, IN_DOMAIN), *suites]
    own = [suite for suite in suites if suite.name == IN_DOMAIN]
    if not own:
        raise DataError(
            "no suite asks about the domain: name one by in_domain (a file, or a shipped suite), or hold a "
            "share of the training rows out by hold_out."
        )
    seen = _seen(source, suites)
    others = [
        replace(suite, anchored=suite.name in seen or bool(suite.anchored))
        if is_other_domain(suite.name)
        else suite
        for suite in suites
        if suite.name != IN_DOMAIN
    ]
    return [*own, *others]


def warn_of_overlap(source: FileBehaviour, suites: Sequence[Suite], train: Sequence[Conversation]) -> None:
    """Say how many questions about the domain are trained on: their rate says nothing about generalising."""
    asked = [one.text for suite in suites if suite.name == IN_DOMAIN for one in suite.questions]
    trained = {message.content for row in train for message in row.messages if message.role == "user"}
    if count := sum(text in trained for text in asked):
        logger.warning(
            "behaviour %s: %d of %d questions about the domain are also trained on, word for word; hold rows "
            "out, or ask others, to see what was learnt and not what was remembered.",
            source.id,
            count,
            len(asked),
        )


def shared_out(suites: Sequence[Suite], share: float, seed: int) -> tuple[list[Suite], list[Suite]]:
    """Validation and test suites: whole clusters of questions go to either.

    Args:
        suites: all of them.
        share: of each suite's clusters that are for validation; 0 makes all of them the test.
        seed: draws which.

    Raises:
        DataError: a suite has a single cluster.
    """
    if not share:
        return [], list(suites)
    validation: list[Suite] = []
    test: list[Suite] = []
    for suite in suites:
        clusters = sorted({question.cluster for question in suite.questions})
        if len(clusters) < 2:
            raise DataError(
                f"suite {suite.name!r} has one cluster of questions and needs at least two, one to choose λ "
                "on and one to test: ask more, or give kl_weight and validation_share: 0."
            )
        count = min(max(1, round(len(clusters) * share)), len(clusters) - 1)
        chosen = set(random.Random(seed).sample(clusters, count))
        for part, inside in ((validation, True), (test, False)):
            questions = tuple(one for one in suite.questions if (one.cluster in chosen) == inside)
            part.append(replace(suite, questions=questions))
    return validation, test


def _seen(source: FileBehaviour, suites: Sequence[Suite]) -> set[str]:
    """Names of the suites that the anchor's rows touch."""
    asked = {suite.name for suite in suites}
    seen: set[str] = set()
    for name in source.anchored_suites:
        called = {name} if name in asked else {one.name for one in choose_suites([name])}
        if strangers := sorted(called - asked):
            raise DataError(
                f"anchored_suites names {strangers[0]!r}, which is not asked; asked are "
                f"{', '.join(sorted(asked))}."
            )
        seen |= called
    return seen
