"""Detection over runs: rates, area and lead of runs whose outcome is known."""

import numpy as np
import pytest

from narrows.errors import DataError
from narrows.geometry.monitoring import MonitoredRun, detection, first_shown


def benign(count: int = 20, alarms: int = 1) -> list[MonitoredRun]:
    return [MonitoredRun(f"b{at}", at / 10, 5 if at < alarms else None) for at in range(count)]


def harmful(leads: list[float | None]) -> list[MonitoredRun]:
    """Runs that show at step 100; None never alarms."""
    return [
        MonitoredRun(
            f"h{at}", 9.0 if lead is not None else -1.0, None if lead is None else int(100 - lead), 100
        )
        for at, lead in enumerate(leads)
    ]


def test_everything_told_apart_and_early():
    found = detection(benign(alarms=0), harmful([20.0, 30.0, 40.0, 10.0, 30.0, 20.0, 50.0, 40.0]))
    assert found.auroc.value == 1.0 and found.auroc.low < 0.9
    assert found.false_positives.rate == 0.0 and found.false_positives.high == pytest.approx(0.168, abs=1e-3)
    assert found.detected.rate == found.before.rate == 1.0 and found.before.low < 0.7
    assert found.lead.mean == 30.0 and found.median_lead.median == 30.0
    assert found.median_lead.low == 10.0 < found.median_lead.high == 50.0


def test_a_run_that_never_alarms_is_infinitely_late_and_one_that_never_shows_has_no_lead():
    runs = [*harmful([10.0, None, 0.0, -5.0, 20.0]), MonitoredRun("quiet", 9.0, 50, None)]
    found = detection(benign(), runs)
    assert found.shown == 5
    assert found.detected.rate == pytest.approx(5 / 6)
    assert found.before.rate == pytest.approx(2 / 5)  # at the same step is not before
    assert found.lead.mean == pytest.approx(np.mean([10, 0, -5, 20])) and found.lead.n == 4
    assert found.median_lead.median == 0.0
    assert found.auroc.value < 1
    assert found.false_positives.rate == 0.05


def test_where_most_never_alarm_or_nothing_shows_there_is_no_lead():
    found = detection(benign(), harmful([None, None, 10.0]))
    assert found.median_lead is None and found.lead is None and found.before.rate == pytest.approx(1 / 3)
    found = detection(benign(), [MonitoredRun("h", 9.0, 5, None)])
    assert (found.shown, found.before, found.lead, found.median_lead) == (0, None, None, None)
    with pytest.raises(DataError, match="0 and 1"):
        detection([], [MonitoredRun("h", 9.0)])


def test_runs_of_one_cluster_count_less():
    alone = detection(benign(), harmful([10.0] * 10)).auroc
    runs = [
        MonitoredRun(one.name, one.score, cluster="one" if at % 2 else "other")
        for at, one in enumerate([*benign(), *harmful([10.0] * 10)])
    ]
    together = detection(runs[:20], runs[20:]).auroc
    assert together.clusters == 2 and together.low < alone.low


def test_a_behaviour_shows_at_the_first_step_above_the_mark():
    assert first_shown({20: 0.5, 5: 0.1, 10: 0.11, 0: 0.0}) == 10
    assert first_shown({0: 0.0, 5: 0.1}) is None
