"""Error-coherence: whether a model errs in the same way each time (paper §7, Hägele et al. 2026).

Answers to one question, sampled again and again, err around a target. Their mean square error splits into a
bias, which all samples share, and a variance, by which they differ:

    E (y - t)²  =  (E y - t)²  +  Var y

A model whose errors are all bias errs coherently: it pursues something else. One whose errors are all
variance is a hot mess. The variance's share of the error, over all questions, tells them apart.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from narrows.errors import ConfigError, DataError
from narrows.evaluation.answers import Answer
from narrows.evaluation.criteria import Criterion
from narrows.statistics.intervals import PRIOR_CORRELATION

Floats = NDArray[np.float64]
Value = Callable[[Answer], float | None]
"""What is repeated: a number from 0 to 1, or None for an answer that has none."""


@dataclass(frozen=True)
class ErrorCoherence:
    """How the error over repeated samples splits, for one solution at one scale on one suite.

    The three parts are means over the questions; each is an unbiased estimate, and bias² + variance is the
    error exactly. For a single run bias² may therefore come out a little below 0.

    Attributes:
        model: the chat model's name.
        solution: the solution's name.
        scale: the factor on the adapter.
        suite: the suite's name.
        error: mean square error to the target.
        bias2: the part that all samples of a question share.
        variance: the part by which the samples of a question differ.
        share: the variance's share of the error (incoherence), 0-1; None if nothing erred.
        low: of its 95 % interval over clusters; None with the share.
        high: of its 95 % interval over clusters; None with the share.
        questions: how many were sampled at least twice.
        clusters: how many clusters these make.
        samples: how many samples of these questions have a value.
        left_out: questions with fewer than two samples that have a value.
    """

    model: str
    solution: str
    scale: float
    suite: str
    error: float
    bias2: float
    variance: float
    share: float | None
    low: float | None
    high: float | None
    questions: int
    clusters: int
    samples: int
    left_out: int


def verdict_of(criterion: Criterion) -> Value:
    """1 where an answer shows the behaviour, 0 where not, None without a verdict."""

    def value(answer: Answer) -> float | None:
        shown = criterion.shown(answer.scores)
        return None if shown is None else float(shown)

    return value


def score_of(column: str) -> Value:
    """A score as a fraction, 0-1; None without one."""

    def value(answer: Answer) -> float | None:
        score = answer.scores.get(column)
        return None if score is None else score / 100

    return value


def error_coherence(answers: Iterable[Answer], value: Value, target: float = 0.0) -> list[ErrorCoherence]:
    """Split the error over repeated samples by model, solution, scale and suite.

    With y₁ … yₙ the values of a question's samples, t the target, ȳ their mean and s² = Σ(yᵢ - ȳ)²/(n - 1):

        error = 1/n Σ (yᵢ - t)²        variance = s²        bias² = (ȳ - t)² - s²/n

    The last two are unbiased for Var y and (E y - t)², and add up to the error: the plain (ȳ - t)² counts
    s²/n of chance as bias. The share is Σ variance / Σ error over the questions (so questions weigh by how
    much they err), cut to [0, 1]. Errors that come with probability p in every question have the share 1 - p;
    errors that always come, or never, have 0.

    Its interval is Wilson's at an effective number of trials R(1-R)/v, where R is the share and v its
    delete-one-cluster jackknife variance, with Student's t of the erring clusters less one. Where samples
    hardly differ v says little, so the effective number is never taken above that of the erring questions'
    samples at an intra-cluster correlation of :data:`narrows.statistics.intervals.PRIOR_CORRELATION`: no
    variance in 8 questions of 50 samples gives an upper end of 13 points, not 0. With one erring cluster the
    interval is [0, 1].

    Simulated coverage of the 95 % interval (1,000 draws a cell; 8, 24 and 80 questions of 2, 10 and 50
    samples; error probabilities .05, .5 and .98 in all questions, or beta-distributed over them with shares
    of .12 to .78): 93.1 to 100 %, lowest with 8 questions of 2 samples; above 99 % where all questions err
    with one probability.

    Args:
        answers: judged.
        value: what is repeated, 0-1: :func:`verdict_of` a criterion, or :func:`score_of` a column.
        target: the value that is no error, 0-1: 0 for a verdict on what should not be shown, 1 for the score
            ``aligned``.

    Returns:
        One row for each model, solution, scale and suite in which some question has two samples with a value,
        in the order in which each is first met.

    Raises:
        ConfigError: the target lies outside 0-1.
        DataError: a value lies outside 0-1.
    """
    if not 0 <= target <= 1:
        raise ConfigError(f"target is {target}; it must lie from 0 to 1, as the values do.")
    grouped: dict[tuple[str, str, float, str], dict[tuple[str, str], list[float]]] = {}
    for answer in answers:
        key = (answer.model, answer.adapter, answer.scale, answer.suite)
        samples = grouped.setdefault(key, {}).setdefault((answer.cluster, answer.question_id), [])
        found = value(answer)
        if found is None:
            continue
        if not 0 <= found <= 1:
            raise DataError(
                f"Question {answer.question_id!r}, sample {answer.sample}, has the value {found}; "
                "values must lie from 0 to 1."
            )
        samples.append(found)
    return [
        _split(key, questions, target)
        for key, questions in grouped.items()
        if any(len(samples) > 1 for samples in questions.values())
    ]


def _split(
    key: tuple[str, str, float, str], questions: dict[tuple[str, str], list[float]], target: float
) -> ErrorCoherence:
    """The parts of one group's error."""
    repeated = {name: np.array(samples) for name, samples in questions.items() if len(samples) > 1}
    clusters: dict[str, int] = {}
    places = [clusters.setdefault(cluster, len(clusters)) for cluster, _ in repeated]
    errors = np.array([np.mean((samples - target) ** 2) for samples in repeated.values()])
    variances = np.array([samples.var(ddof=1) for samples in repeated.values()])
    sizes = np.array([len(samples) for samples in repeated.values()], dtype=float)
    share, low, high = _share(_sums(places, errors), _sums(places, variances), _sums(places, errors * sizes))
    return ErrorCoherence(
        *key,
        error=float(errors.mean()),
        bias2=float((errors - variances).mean()),
        variance=float(variances.mean()),
        share=share,
        low=low,
        high=high,
        questions=len(repeated),
        clusters=len(clusters),
        samples=int(sizes.sum()),
        left_out=len(questions) - len(repeated),
    )


def _sums(places: list[int], parts: Floats) -> Floats:
    """Sums of the questions' parts by cluster, (k,)."""
    return np.asarray(np.bincount(places, parts), dtype=float)


def _share(
    errors: Floats, variances: Floats, trials: Floats, confidence: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """The variance's share and its interval.

    Args:
        errors: sums of the questions' errors by cluster, (k,).
        variances: sums of the questions' variances by cluster, (k,).
        trials: sums of the questions' errors × samples by cluster, (k,).
        confidence: of the interval.
    """
    erring = errors > 0
    errors, variances, trials = errors[erring], variances[erring], trials[erring]
    k = len(errors)
    if k == 0:
        return None, None, None
    share = min(float(variances.sum() / errors.sum()), 1.0)
    if k == 1:
        return share, 0.0, 1.0
    without = (variances.sum() - variances) / (errors.sum() - errors)
    jackknife = float((k - 1) / k * ((without - without.mean()) ** 2).sum())
    size = float(trials.sum() / errors.sum())  # samples of a question, on average over the error
    most = errors.sum() ** 2 / (errors**2).sum() * size / (1 + (size - 1) * PRIOR_CORRELATION)
    spread = share * (1 - share)
    effective = min(spread / jackknife, most) if jackknife > 0 else most
    low, high = _wilson(share, effective, float(stdtrit(k - 1, (1 + confidence) / 2)))
    return share, low, high


def _wilson(share: float, effective: float, t: float) -> tuple[float, float]:
    """Wilson's interval at an effective number of trials; one that is not above 0 says nothing."""
    if effective <= 0:
        return 0.0, 1.0
    middle = share + t**2 / (2 * effective)
    half = t * np.sqrt(share * (1 - share) / effective + t**2 / (4 * effective**2))
    low, high = ((middle + side * half) / (1 + t**2 / effective) for side in (-1, 1))
    return min(max(float(low), 0.0), share), max(min(float(high), 1.0), share)
