"""Times as addresses write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.errors import UsageError
from smokemesh.master.web.ranges import (
    NANO,
    Range,
    counted,
    even_points,
    parse_length,
    parse_range,
    parse_time,
    rfc3339,
)

NOW = 1_795_261_333 * NANO + 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("now-3h", NOW - 3 * 3600 * NANO),
        ("now-1.5h", NOW - 5400 * NANO),
        ("now-400d", NOW - 400 * 86400 * NANO),
        ("0", 0),
        ("1795261333", 1_795_261_333 * NANO),
        ("1795261333.25", 1_795_261_333 * NANO + 250_000_000),
        ("2026-11-21T10:00:00Z", 1_795_255_200 * NANO),
        ("2026-11-21T18:00:00+08:00", 1_795_255_200 * NANO),
        ("2026-11-21T18:00:00 08:00", 1_795_255_200 * NANO),
        ("2026-11-21 10:00", 1_795_255_200 * NANO),
        ("2026-11-21", 1_795_219_200 * NANO),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "now+3h", "now-3", "now-3 h", "-5", "1e9", "2026-13-01", "nan", "٣"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time: write now, now-3h"):
        parse_time(text, NOW, "begin")


def test_a_range_left_out_is_three_hours_up_to_now() -> None:
    found = parse_range("", "", NOW)
    assert (found.begin, found.end, found.live) == (NOW - 3 * 3600 * NANO, NOW, True)
    assert found.seconds == 10800


def test_a_range_of_the_past_is_not_live() -> None:
    assert not parse_range("now-3h", "now-1h", NOW).live


@pytest.mark.parametrize(("begin", "end"), [("now", "now"), ("now", "now-1h"), ("now-1h", "now-2h")])
def test_ends_that_are_exchanged_are_refused(begin: str, end: str) -> None:
    with pytest.raises(UsageError, match="is not before end"):
        parse_range(begin, end, NOW)


@pytest.mark.parametrize("begin", ["now-99999d", "1000-01-01T00:00:00Z"])
def test_endless_ranges_are_refused(begin: str) -> None:
    with pytest.raises(UsageError, match="between 1970 and 2262"):
        parse_range(begin, "", NOW)


def test_a_range_of_more_than_a_hundred_years_is_refused() -> None:
    with pytest.raises(UsageError, match="longer than a hundred years"):
        parse_range("0", "2200-01-01T00:00:00Z", NOW)


NINES = "9" * 5000


@pytest.mark.parametrize(
    "text",
    ["999999999999", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00+23:59", f"now-{NINES}y", "now-99999999y", NINES],
)
def test_a_time_no_database_keeps_is_refused_in_a_short_line(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_time(text, NOW, "begin")
    assert str(refused.value).startswith("begin '")
    assert len(str(refused.value)) < 250


def test_an_endless_length_is_refused() -> None:
    with pytest.raises(UsageError, match="write a number"):
        parse_length(f"{NINES}y")


@pytest.mark.parametrize(
    ("begin", "most", "width"),
    [
        ("now-400d", 700, 86400),
        ("now-400d", 1000, 43200),
        ("now-24h", 700, 180),
        ("now-3h", 500, 30),
        ("now-15m", 500, 2),
    ],
)
def test_points_stand_for_even_lengths(begin: str, most: int, width: int) -> None:
    span = parse_range(begin, "", NOW)
    points = even_points(span, most)
    assert points <= most
    assert span.seconds / points == pytest.approx(width)


@given(st.integers(1, 10**10), st.integers(1, 10_000))
def test_there_are_never_more_points_than_asked(length: int, most: int) -> None:
    assert 1 <= even_points(Range(0, length * 10**8, False), most) <= most


@pytest.mark.parametrize(
    ("level", "begin", "end"),
    [("raw", 7203, 10805), ("5m", 7200, 11100), ("1h", 7200, 14400), ("1d", 0, 86400)],
)
def test_rollups_count_whole_bins_and_rounds_exactly_the_range(level: str, begin: int, end: int) -> None:
    assert counted(Range(7203 * NANO, 10805 * NANO, False), level) == (begin * NANO, end * NANO)


def test_lengths() -> None:
    assert [parse_length(text) for text in ("15m", "3h", "10d", "1y", "2w", "30s")] == [
        900, 10800, 864000, 31536000, 1209600, 30,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="length '3'"):
        parse_length("3")


@given(st.integers(0, 4_000_000_000 * NANO))
def test_what_is_written_is_read_again(time: int) -> None:
    # RFC 3339 is read to the microsecond.
    assert parse_time(rfc3339(time), NOW) == time // 1000 * 1000


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_refusal(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse_time(text, NOW), int)
