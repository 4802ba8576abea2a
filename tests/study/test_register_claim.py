import pytest

from narrows.errors import DataError
from narrows.study.claims import ClaimResult, Part, c9

GOOD = Part("rate", 0.3, (0.2, 0.4), 0.05, "above", "share")
OPEN = Part("rate", 0.1, (0.0, 0.2), 0.05, "above", "share")
BAD = Part("rate", 0.0, (0.0, 0.01), 0.05, "above", "share")
CONTROL = Part("beside", 0.0, (0.0, 0.01), 0.05, "above", "share", counts=False)
IDS = [f"C{number}" for number in range(1, 8)]


def seven(**changes: tuple[Part, ...]) -> list[ClaimResult]:
    parts = dict.fromkeys(IDS, (GOOD, CONTROL)) | changes
    return [ClaimResult(id_, found) for id_, found in parts.items()]


def test_c9_has_the_parts_of_the_seven_with_their_claims_before_them():
    result = c9([*seven(), ClaimResult("C8", (BAD,)), ClaimResult("C10", (BAD,))])
    assert (result.id, result.verdict) == ("C9", "supported")
    assert [part.name for part in result.parts][:3] == ["C1: rate", "C1: beside", "C2: rate"]
    assert [part.counts for part in result.parts] == [True, False] * 7
    assert result.parts[0].ci95 == GOOD.ci95


@pytest.mark.parametrize("id_", IDS)
@pytest.mark.parametrize(("part", "verdict"), [(OPEN, "inconclusive"), (BAD, "not-supported")])
def test_each_of_the_seven_decides(id_: str, part: Part, verdict: str):
    result = c9(seven(**{id_: (GOOD, part)}))
    assert result.verdict == verdict
    assert result.headline.name == f"{id_}: rate"


@pytest.mark.parametrize("id_", IDS)
def test_all_hold_cannot_be_said_while_one_has_no_verdict(id_: str):
    without = [one for one in seven() if one.id != id_]
    assert c9(without).verdict == "not-run"
    assert c9(seven(**{id_: (CONTROL,)})).verdict == "not-run"
    other = IDS[IDS.index(id_) - 1]
    assert c9(seven(**{id_: (CONTROL,), other: (BAD,)})).verdict == "not-supported"


def test_claims_of_two_runs_are_an_error():
    with pytest.raises(DataError, match="one of C1-C7 was given twice"):
        c9([*seven(), ClaimResult("C4", (GOOD,))])
