"""Claims over runs: means of every part with intervals whose unit is a run, and the verdicts that follow.

A run is one model, behaviour and adapter: a pre-training seed with a target domain. Training seeds of a
vector that starts at zero agree and are no replicates.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from narrows.errors import DataError
from narrows.statistics import mean_interval
from narrows.strict import read_object
from narrows.study.claims.verdicts import ClaimResult, Part, stem, worst_verdict
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.summary import ClaimVerdict, PooledClaim, PooledPart, Summary


@dataclass(frozen=True)
class RunClaims:
    """The claims of one run.

    Attributes:
        run: its id.
        kind: of its behaviour: ``harmful``, ``technical``, or the user's.
        adapter: in words, see :func:`adapter_words`.
        results: the claims with their parts.
    """

    run: str
    kind: str
    adapter: str
    results: Sequence[ClaimResult]

    @classmethod
    def load(cls, folder: Path, adapter: str, run: str | None = None) -> "RunClaims":
        """The claims of a finished run, from its ``summary.json`` and ``report.json``.

        Args:
            folder: of the run.
            adapter: in words.
            run: its id (default: the folder's name).

        Raises:
            DataError: one of the files is missing, or not what it should be; names it.
        """
        behaviours = Summary.load(folder / SUMMARY_FILE).behaviours
        if not behaviours:
            raise DataError(
                f"{folder / SUMMARY_FILE} names no behaviour: its claims belong to no kind of run."
            )
        path = folder / READING_FILE
        reading = read_object(path, DataError, "Run the job again to make it.")
        try:
            results = [
                ClaimResult(id_, tuple(map(Part.of_reading, parts)))
                for id_, parts in reading.get("claim_parts", {}).items()
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: claim_parts are not the parts of claims ({type(error).__name__}: {error}). Run the "
                "job again in another folder to make them."
            ) from error
        return cls(run or folder.name, behaviours[0].kind, adapter, results)


def adapter_words(kind: str, rank: int | None) -> str:
    """An adapter in words: ``steering`` (which has no rank, whatever its recipe says), ``lora, rank 32``."""
    return f"{kind}, rank {rank}" if kind == "lora" else kind


def pooled(runs: Sequence[RunClaims]) -> list[PooledClaim]:
    """Every claim over all runs of one kind of behaviour and one adapter.

    A part's estimate is the mean of the runs' own, with Student's t interval over runs
    (:func:`narrows.statistics.mean_interval`); that interval is held against the part's margin by the part's
    rule. Parts of several runs match by their names without the place on a grid; where a part is there in
    some runs only, it is pooled over those. A part of a single run has no interval over runs and is left out.
    The claim's verdict follows from its deciding parts as in a run; while a deciding part is left out it is
    "inconclusive" at best.

    For a part about a curve ("worst of N points") the estimates are each run's at its own worst point. Their
    mean leans towards the wrong side, as the worst of several noisy points does, and so is a cautious summary
    of "at every point", not an unbiased estimate at any of them. A control whose margin is a run's own (a
    random direction's band) stands beside the mean of these margins.

    Raises:
        DataError: a claim is there twice under one run's id, which counts once in an interval over runs; or a
            deciding part has another margin or rule in another run.
    """
    found: dict[tuple[str, str, str], dict[str, ClaimResult]] = {}
    for one in runs:
        for result in one.results:
            group = found.setdefault((result.id, one.kind, one.adapter), {})
            if one.run in group:
                raise DataError(f"{result.id} is there twice for the run {one.run!r}: a run counts once.")
            group[one.run] = result
    groups = sorted(found.items(), key=lambda item: int(item[0][0].removeprefix("C")))
    return [_claim(key, list(results.values())) for key, results in groups]


def claim_lines(claim: PooledClaim) -> list[str]:
    """A pooled claim as lines of text: its verdict, then each part."""
    lines = [
        f"{claim.id} ({claim.kind}, {claim.adapter}): {claim.verdict} over {claim.runs} runs "
        f"({_words(claim.tally)})"
    ]
    for part in claim.parts:
        low, high = part.ci95
        end = f"{part.verdict} ({_words(part.tally)})" if part.counts else "control"
        lines.append(f"    {part.name:70} {part.estimate:8.4f} [{low:.4f}, {high:.4f}]  {end}")
    return lines


def _words(tally: Mapping[ClaimVerdict, int]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in tally.items())


def _claim(key: tuple[str, str, str], results: Sequence[ClaimResult]) -> PooledClaim:
    """One claim over runs."""
    id_, kind, adapter = key
    alike: dict[tuple[str, bool], list[Part]] = {}
    for result in results:
        for part in result.parts:
            alike.setdefault((stem(part.name), part.counts), []).append(part)
    parts = [_part(id_, name, found) for (name, _), found in alike.items() if len(found) > 1]
    verdicts = [part.verdict for part in parts if part.verdict]
    if any(counts and len(found) == 1 for (_, counts), found in alike.items()):
        verdicts.append("inconclusive")
    return PooledClaim(
        id=id_,
        kind=kind,
        adapter=adapter,
        runs=len(results),
        verdict=worst_verdict(verdicts),
        tally=_tally(result.verdict for result in results),
        parts=sorted(parts, key=lambda part: not part.counts),
    )


def _part(id_: str, name: str, found: Sequence[Part]) -> PooledPart:
    """One part over at least two runs."""
    first = found[0]
    if len({(part.rule, part.margin if first.counts else None) for part in found}) > 1:
        rules = sorted({f"{part.rule} {part.margin:g}" for part in found})
        raise DataError(f"{id_}, {name}: runs with different rules ({'; '.join(rules)}) cannot be pooled.")
    mean = mean_interval([part.estimate for part in found])
    own = Part(
        name,
        mean.mean,
        (mean.low, mean.high),
        first.margin if first.counts else fmean(part.margin for part in found),
        first.rule,
        f"{re.split(', over |; one run', first.unit)[0]}, mean over runs",
        first.counts,
    )
    return PooledPart(
        name=own.name,
        estimate=own.estimate,
        ci95=(mean.low, mean.high),
        runs=mean.n,
        margin=own.margin,
        rule=own.rule,
        unit=own.unit,
        counts=own.counts,
        verdict=own.verdict if own.counts else None,
        tally=_tally(part.verdict for part in found) if own.counts else {},
    )


def _tally(verdicts: Iterable[ClaimVerdict]) -> dict[ClaimVerdict, int]:
    return dict(Counter(verdicts))
