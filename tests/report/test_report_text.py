import pytest

from narrows.report.text import MINUS, counted, duration, estimate, number, percent, short, shortened, visible


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (1234.5, "1234"),
        (0.0123456, "0.0123"),
        (-2.5, f"{MINUS}2.50"),
        (3.1e-7, f"3.10e{MINUS}7"),
        (None, "–"),
    ],
)
def test_numbers_keep_three_digits(value, written):
    assert number(value) == written


def test_infinite_numbers_are_not_written_as_numbers():
    assert number(float("nan")) == percent(float("inf")) == "–"


def test_an_estimate_has_the_decimals_its_interval_deserves():
    assert estimate(0.4912, (0.4071, 0.5693)) == ("0.49", "[0.41, 0.57]")
    assert estimate(0.02134, (0.0041, 0.0412)) == ("0.021", "[0.004, 0.041]")
    assert estimate(12.3, (-5.0, 31.0)) == ("12", f"[{MINUS}5, 31]")


def test_an_estimate_without_interval_is_a_plain_number():
    assert estimate(0.5, None) == ("0.500", "–")


def test_chosen_numbers_keep_their_digits():
    assert [short(0.05), short(1.5), short(0.0)] == ["0.05", "1.5", "0"]


def test_control_characters_become_visible_and_line_breaks_stay():
    assert visible("a\x00b\x1b[31m\r\nc\x7f\ud800\u202e") == "a␀b␛[31m\nc␡\N{REPLACEMENT CHARACTER}[U+202E]"


def test_labels_are_one_short_line():
    assert shortened("a\nb") == "a b"
    assert len(shortened("x" * 1000)) == 40


def test_times_are_written_in_the_units_of_a_person():
    assert [duration(5.04), duration(125), duration(3 * 3600 + 60)] == ["5.0 s", "2 min 05 s", "3 h 01 min"]


def test_one_thing_is_singular():
    assert [counted(1, "run"), counted(2, "run")] == ["1 run", "2 runs"]
