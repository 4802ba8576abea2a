"""C10 from the answers and text losses of a finished run, without the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows.errors import DataError
from narrows.evaluation import Criterion, SuiteRates, rates, read_answers
from narrows.evaluation.questions import is_other_domain
from narrows.strict import read_object
from narrows.study.claims.geometry import Ablated, c10
from narrows.study.claims.verdicts import ClaimResult

RESULT_FILE = "convergence.json"
ANSWERS = "answers"
OWN = "own"
"""The fine-tune from which the direction comes."""
OTHER = "other"
"""Another domain's fine-tune."""
FULL, HALF = "full", "half"
BEFORE, LAYERS, RANDOM = "before", "layers", "random"

_WORDS = {OWN: "its own fine-tune", OTHER: "another domain's fine-tune"}


def table_of(out: Path, fine_tune: str, strength: str, condition: str) -> Path:
    """Where the answers of a fine-tune at one strength under one condition are kept."""
    return out / ANSWERS / f"{fine_tune}-{strength}-{condition}.jsonl"


def claim_of(out: Path, criteria: Mapping[str, Criterion]) -> ClaimResult:
    """C10 from a run's folder: both fine-tunes as trained, the direction ablated at every layer.

    A random direction ablated in both is the control.

    Args:
        out: a folder with ``convergence.json`` and ``answers/``.
        criteria: which scores count, for ``own`` and for ``other``.

    Raises:
        DataError: a table or a row of the result is missing.
    """
    result = read_object(out / RESULT_FILE, DataError, "Delete it, and it is made again.")
    own, other, *random = (
        _ablated(result, out, fine_tune, condition, criteria[fine_tune])
        for condition in (LAYERS, RANDOM)
        for fine_tune in (OWN, OTHER)
    )
    return c10(own, other, random)


def _ablated(
    result: Mapping[str, Any], out: Path, fine_tune: str, condition: str, criterion: Criterion
) -> Ablated:
    place = (fine_tune, FULL, condition)
    rows = [one for one in result["rows"] if (one["fine_tune"], one["strength"], one["condition"]) == place]
    if not rows:
        raise DataError(f"{out / RESULT_FILE} has no row for {', '.join(place)}: delete it, and run again.")

    def outside(at: str) -> list[SuiteRates]:
        answers = read_answers(table_of(out, fine_tune, FULL, at))
        return rates([one for one in answers if is_other_domain(one.suite)], criterion)

    low, high = rows[0]["text_loss_ci95"]
    name = _WORDS[fine_tune] + (", random direction" if condition == RANDOM else "")
    return Ablated(name, outside(BEFORE), outside(condition), rows[0]["text_loss"], (low, high))
