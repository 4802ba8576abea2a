"""The rule of C9: do the claims C1-C7 hold for a harmless behaviour too?"""

from collections.abc import Sequence
from dataclasses import replace

from narrows.errors import DataError
from narrows.study.claims.verdicts import ClaimResult

OF_ONE_BEHAVIOUR = ("C1", "C2", "C3", "C4", "C5", "C6", "C7")
"""The claims that C9 is about."""


def c9(results: Sequence[ClaimResult]) -> ClaimResult:
    """C1-C7 hold for the register behaviour, by the same rules on the technical score.

    Its parts are theirs, each with its claim's id before the name, deciding where they decide there. "All
    hold" cannot be said while one of the seven has no verdict: then C9 has none either (all parts are
    controls), unless another one is not supported, which settles it.

    Args:
        results: of a run whose behaviour is the technical register; others than C1-C7 are passed over.

    Raises:
        DataError: a claim is given twice.
    """
    asked = {result.id: result for result in results if result.id in OF_ONE_BEHAVIOUR}
    if len(asked) < sum(result.id in OF_ONE_BEHAVIOUR for result in results):
        raise DataError("C9 needs the claims of one run: one of C1-C7 was given twice.")
    verdicts = [asked[id_].verdict if id_ in asked else "not-run" for id_ in OF_ONE_BEHAVIOUR]
    settled = "not-run" not in verdicts or "not-supported" in verdicts
    parts = [
        replace(part, name=f"{id_}: {part.name}", counts=part.counts and settled)
        for id_ in OF_ONE_BEHAVIOUR
        if id_ in asked
        for part in asked[id_].parts
    ]
    return ClaimResult("C9", tuple(parts))
