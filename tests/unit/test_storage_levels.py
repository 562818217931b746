"""Which level answers, and how bins lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.errors import UsageError
from smokemesh.model.series import LEVELS, SeriesQuestion
from smokemesh.settings.shape import Retention
from smokemesh.storage.levels import SECOND, plan

HOUR, DAY = 3600 * SECOND, 86400 * SECOND
NOW = 20_000 * DAY + 7 * HOUR + 123_456_789
KEEP = Retention()


def ask(span: int, *, points: int = 1000, level: str = "", begin: int | None = None) -> SeriesQuestion:
    begin = NOW - span if begin is None else begin
    return SeriesQuestion(task=1, agent="a", begin=begin, end=begin + span, points=points, level=level)


@pytest.mark.parametrize(
    ("span", "level", "width"),
    [
        (3 * HOUR, "raw", 10_800_000_000),
        (3 * DAY, "raw", 259_200_000_000),
        (4 * DAY, "5m", 600 * SECOND),
        (10 * DAY, "5m", 900 * SECOND),
        (41 * DAY, "5m", HOUR),
        (42 * DAY, "1h", 2 * HOUR),
        (400 * DAY, "1h", 10 * HOUR),
        (1095 * DAY, "1d", 2 * DAY),
    ],
)
def test_the_coarsest_level_that_is_fine_enough(span: int, level: str, width: int) -> None:
    made = plan(ask(span), KEEP, NOW)
    assert (made.level, made.width) == (level, width)


def test_what_raw_no_longer_holds_is_read_from_the_next_level_that_does() -> None:
    assert plan(ask(HOUR, begin=NOW - 29 * DAY), KEEP, NOW).level == "raw"
    assert plan(ask(HOUR, begin=NOW - 31 * DAY), KEEP, NOW).level == "5m"
    assert plan(ask(HOUR, begin=NOW - 200 * DAY), KEEP, NOW).level == "1h"
    assert plan(ask(HOUR, begin=NOW - 2000 * DAY), KEEP, NOW).level == "1d"


def test_beyond_all_retention_the_level_kept_longest_answers() -> None:
    assert plan(ask(HOUR, begin=NOW - 9000 * DAY), KEEP, NOW).level == "1d"
    raw_longest = Retention(raw=1e9, m5=1e5, h1=1e5, d1=1e5)
    assert plan(ask(400 * DAY), raw_longest, NOW).level == "raw"


def test_a_level_insisted_on_is_used_whatever_it_holds() -> None:
    for level in LEVELS:
        assert plan(ask(HOUR, begin=NOW - 5000 * DAY, level=level), KEEP, NOW).level == level


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="level '2h' does not exist, use one of raw, 5m, 1h, 1d"):
        plan(ask(HOUR, level="2h"), KEEP, NOW)


@given(
    st.integers(0, NOW),
    st.integers(1, 4000 * DAY),
    st.integers(1, 5000),
    st.sampled_from(["5m", "1h", "1d"]),
)
def test_bins_are_whole_and_few_and_reach_past_the_range_by_less_than_one(
    begin: int, span: int, points: int, level: str
) -> None:
    question = ask(span, begin=begin, points=points, level=level)
    made = plan(question, KEEP, NOW)
    step = int(LEVELS[level]) * SECOND
    assert made.width % step == made.begin % step == made.end % step == 0
    assert made.begin <= question.begin < made.begin + step
    assert made.end - step < question.end <= made.end
    assert (question.end - question.begin) / made.width <= points


@pytest.mark.parametrize(("begin", "end"), [(-5 * DAY, DAY), (0, 2**63 - 1), (DAY, 0), (DAY, DAY)])
def test_odd_ranges_stay_in_bounds(begin: int, end: int) -> None:
    for level in LEVELS:
        made = plan(SeriesQuestion(task=1, agent="a", begin=begin, end=end, level=level, points=0), KEEP, NOW)
        assert made.begin >= 0
        assert made.width > 0
