"""How the range of a ranking is put together from whole bins of several levels."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.storage.ranking import SECOND, pieces
from smokemesh.storage.schema import BINS

DAY, HOUR, FIVE = 86400, 3600, 300
#: Seconds each level is kept, as by default.
KEPT = {"raw": 30.0 * DAY, "5m": 180.0 * DAY, "1h": 3 * 365.0 * DAY, "1d": 10 * 365.0 * DAY}
NOW = 1_795_262_700  # a Saturday, 11:25 UTC


def of(begin: int, end: int = NOW, now: int = NOW) -> list[tuple[int, int, int]]:
    return pieces(begin * SECOND, end * SECOND, now * SECOND, KEPT)


def test_an_hour_is_of_five_minutes_and_of_the_whole_hour_in_it() -> None:
    noon = NOW - NOW % HOUR
    assert of(noon + 600, noon + 1800) == [(FIVE, noon + 600, noon + 1800)]
    assert of(noon - 1800, noon + HOUR) == [(FIVE, noon - 1800, noon), (HOUR, noon, noon + HOUR)]


def test_a_month_is_of_days_with_hours_and_minutes_at_its_edges() -> None:
    parts = of(NOW - 30 * DAY)
    assert [step for step, _, _ in parts] == [FIVE, HOUR, DAY, HOUR, FIVE]
    assert sum((last - first) // step for step, first, last in parts) < 110


def test_bins_that_touch_the_range_are_counted_whole() -> None:
    assert of(NOW - 601, NOW - 1) == [(FIVE, NOW - 900, NOW)]


def test_what_a_level_holds_no_more_is_taken_from_the_next_coarser_one() -> None:
    old = NOW - 300 * DAY
    parts = of(old + 100, old + 5 * DAY)
    assert {step for step, _, _ in parts} == {DAY, HOUR}
    ancient = NOW - 5 * 365 * DAY
    assert {step for step, _, _ in of(ancient + 100, ancient + 90 * DAY)} == {DAY}


@given(st.integers(0, 4000 * DAY), st.integers(1, 4000 * DAY))
@settings(max_examples=300)
def test_the_pieces_cover_the_range_once_and_hardly_more(ago: int, length: int) -> None:
    begin = NOW - ago
    end = min(begin + length, NOW)
    if begin >= end:
        return
    parts = of(begin, end)
    assert parts
    for (_, _, last), (_, first, _) in pairwise(parts):
        assert first == last
    assert parts[0][1] <= begin < parts[0][1] + parts[0][0]
    assert parts[-1][2] - parts[-1][0] < end <= parts[-1][2]
    assert all(step in BINS.values() and first % step == 0 and last % step == 0 for step, first, last in parts)
