import numpy as np
import pytest
from scipy.special import ndtr, stdtrit
from scipy.stats import beta

from narrows.errors import DataError
from narrows.statistics import Counts, PathPoint, lowest_on_path, macro_difference

SIZE = 20


def flat(rate: float, clusters: int) -> Counts:
    """A suite in whose every cluster the share ``rate`` of the answers shows the event."""
    return Counts.of(np.full(clusters, rate * SIZE), np.full(clusters, SIZE))


def point(x: float, *y: float) -> PathPoint:
    return PathPoint(flat(x, 6), [flat(one, 4) for one in y])


PATH = [point(0.8, 0.4, 0.6), point(0.6, 0.3, 0.5), point(0.2, 0.1, 0.1)]


@pytest.mark.parametrize(
    ("x", "height", "side"),
    [
        (0.8, 0.5, "on"),
        (0.7, 0.45, "on"),
        (0.6, 0.4, "on"),
        (0.4, 0.25, "on"),
        (0.3, 0.175, "on"),
        (0.2, 0.1, "on"),
        (0.9, 0.5, "above"),
        (0.1, 0.1, "below"),
    ],
)
def test_the_path_is_linear_between_its_points_and_ends_at_its_last_ones(x: float, height: float, side: str):
    found = lowest_on_path(PATH, point(x, 0.1, 0.0))
    assert found.difference == pytest.approx(height - 0.05)
    assert found.side == side
    assert found.low < found.difference < found.high
    assert found.clusters == 6 + 8
    assert lowest_on_path(PATH[::-1], point(x, 0.1, 0.0)).difference == pytest.approx(found.difference)


def test_of_several_crossings_the_lowest_counts():
    there_and_back = [point(0.8, 0.9), point(0.2, 0.7), point(0.8, 0.3), point(0.2, 0.5)]
    assert lowest_on_path(there_and_back, point(0.5, 0.0)).difference == pytest.approx(0.4)
    assert lowest_on_path(there_and_back, point(0.8, 0.0)).difference == pytest.approx(0.3)
    assert lowest_on_path(there_and_back, point(0.1, 0.0)).difference == pytest.approx(0.5)
    upright = [point(0.8, 0.9), point(0.5, 0.8), point(0.5, 0.2), point(0.3, 0.6)]
    for path in (upright, upright[:3], upright[2::-1]):
        assert lowest_on_path(path, point(0.5, 0.0)).difference == pytest.approx(0.2)


def test_where_the_x_rates_are_certain_it_is_the_difference_of_the_y_rates():
    found = lowest_on_path(PATH, point(0.6, 0.1, 0.0))
    wanted = macro_difference([flat(0.3, 4), flat(0.5, 4)], [flat(0.1, 4), flat(0.0, 4)])
    assert (found.difference, found.low, found.high) == pytest.approx(
        (wanted.difference, wanted.low, wanted.high)
    )


def test_uncertain_x_rates_make_the_interval_longer():
    def found(spread: float) -> float:
        x = Counts.of(SIZE * (0.4 + spread * np.array([1, -1, 1, -1, 1, -1])), np.full(6, SIZE))
        one = lowest_on_path(PATH, PathPoint(x, [flat(0.1, 4), flat(0.0, 4)]))
        assert one.difference == pytest.approx(0.2)
        return one.high - one.low

    assert found(0.0) < found(0.1) < found(0.3)


STRAIGHT = [PathPoint(flat(x, 8), [flat(x, 4000)]) for x in (1.0, 0.0)]
"""A path on which y is x, with y as good as certain."""


def test_on_a_straight_path_the_x_side_is_student_s_t_interval_over_clusters():
    shares = np.array([0.2, 0.9, 0.55, 0.4, 0.3, 0.75, 0.6, 0.5])
    at = PathPoint(Counts.of(shares * SIZE, np.full(8, SIZE)), [flat(0.0, 4000)])
    found = lowest_on_path(STRAIGHT, at, draws=20000)
    half = stdtrit(7, 0.975) * shares.std(ddof=1) / np.sqrt(8)
    assert found.difference == pytest.approx(shares.mean())
    assert found.difference - found.low == pytest.approx(half, rel=0.05)
    assert found.high - found.difference == pytest.approx(half, rel=0.05)


def test_at_the_path_s_end_the_upper_side_is_as_long_as_the_lower():
    shares = np.array([1.0, 1.0, 1.0, 0.6, 1.0, 0.8, 1.0, 1.0])
    top = Counts.of(shares * SIZE, np.full(8, SIZE))
    path = [PathPoint(flat(shares.mean(), 8), [flat(0.5, 4000)]), PathPoint(flat(0.0, 8), [flat(0.0, 4000)])]
    found = lowest_on_path(path, PathPoint(top, [flat(0.0, 4000)]))
    assert found.high - found.difference == pytest.approx(found.difference - found.low, rel=0.05)
    assert found.high - found.difference > 0.02


def test_clusters_are_paired_by_name():
    """The measurement's x moves with the path's on the same topics, and apart from it on others."""
    rng = np.random.default_rng(0)
    events, trials = rng.integers(0, SIZE + 1, 12), np.full(12, SIZE)

    def width(topics: list[int]) -> float:
        names = [f"topic-{place}" for place in range(12)]
        path = [
            PathPoint(Counts.of(events, trials, names), [flat(0.9, 4)]),
            PathPoint(Counts.of(0 * events, trials, names), [flat(0.1, 4)]),
        ]
        x = Counts.of(events[np.array(topics) % 12], trials, [f"topic-{place}" for place in topics])
        found = lowest_on_path(path, PathPoint(x, [flat(0.1, 4)]))
        return found.high - found.low

    in_order, shuffled = width(list(range(12))), width(rng.permutation(12).tolist())
    assert shuffled == pytest.approx(in_order)
    assert width(list(range(12, 24))) > 1.2 * in_order


def test_without_an_event_anywhere_there_is_still_room_on_both_sides():
    found = lowest_on_path([point(0.8, 0.0), point(0.2, 0.0)], point(0.5, 0.0))
    assert found.difference == 0
    assert found.low < -0.01
    assert found.high > 0.01


def test_one_cluster_says_nothing_about_where_the_crossing_lies():
    path = [PathPoint(flat(x, 1), [flat(y, 40)]) for x, y in ((0.8, 0.5), (0.2, 0.3))]
    found = lowest_on_path(path, PathPoint(flat(0.5, 1), [flat(0.0, 40)]))
    assert (found.low, found.high) == (pytest.approx(0.4 - np.hypot(1, 0.0), abs=0.02), 1.0)


def test_the_same_seed_gives_the_same_interval():
    x = Counts.of([2, 9, 14, 11], [SIZE] * 4)
    at = PathPoint(x, [flat(0.1, 4), flat(0.0, 4)])
    assert lowest_on_path(PATH, at) == lowest_on_path(PATH, at)
    assert lowest_on_path(PATH, at) != lowest_on_path(PATH, at, seed=1)


def test_answers_that_were_not_scored_are_left_out():
    short = Counts.of([8, 16], [SIZE, SIZE], ["0", "4"])
    with np.errstate(all="raise"):  # a draw without the two topics has no rate
        found = lowest_on_path([PathPoint(short, PATH[0].y), PATH[2]], point(0.4, 0.1, 0.0))
    assert found.difference == pytest.approx(0.3 - 0.05)


def test_a_path_needs_two_points_and_the_measurement_s_suites():
    with pytest.raises(DataError, match="at least two points, not 1"):
        lowest_on_path(PATH[:1], PATH[1])
    with pytest.raises(DataError, match="the suites of the measurement"):
        lowest_on_path(PATH, point(0.5, 0.1))


X, Y = np.array([0.8, 0.7, 0.6, 0.4, 0.2]), np.array([0.5, 0.42, 0.35, 0.22, 0.1])


def drawn(rng: np.random.Generator, rates: np.ndarray, clusters: int) -> list[Counts]:
    """Topics of six answers for several solutions, which find the same topics hard (correlation .5)."""
    z = (rng.normal(size=(1, clusters)) + rng.normal(size=(len(rates), clusters))) / np.sqrt(2)
    strength = 1 / 0.2 - 1  # an intra-cluster correlation of .2
    shares = beta.ppf(ndtr(z), rates[:, None] * strength, (1 - rates[:, None]) * strength)
    return [Counts.of(row, np.full(clusters, 6)) for row in rng.binomial(6, shares)]


@pytest.mark.parametrize("clusters", [4, 8])
@pytest.mark.parametrize(
    ("x", "height"), [(0.5, 0.285), (0.6, 0.35), (0.3, 0.16)], ids=["between", "at a point", "further down"]
)
def test_it_covers_the_difference(x: float, height: float, clusters: int):
    rng = np.random.default_rng(1)
    below = covered = 0
    for _ in range(80):
        within = drawn(rng, np.append(X, x), clusters)
        suites = [drawn(rng, np.append(Y, 0.05) * share, 4) for share in np.linspace(0.7, 1.3, 10)]
        points = [PathPoint(one, list(y)) for one, *y in zip(within, *suites, strict=True)]
        found = lowest_on_path(points[:-1], points[-1], draws=400)
        covered += found.low <= height - 0.05 <= found.high
        below += found.low > height - 0.05
    # 95 % of 80 is 76; three standard errors below it is 70.
    assert covered >= 71
    assert below <= 7
