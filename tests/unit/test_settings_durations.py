"""Durations and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.settings.durations import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("30d", 30 * 86400.0),
        ("2w", 14 * 86400.0),
        ("3y", 3 * 365 * 86400.0),
        ("1.5s", 1.5),
        ("60", 60.0),
        ("0.5", 0.5),
        (" 1m ", 60.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "10 s", "1m1h", "1s1s", "-1s", "1e3", "nan", "inf", "10S", "PT10M", "٣s", "9" * 99]
)
def test_not_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write one like 500ms, 10s, 5m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.5, "500ms"),
        (90.0, "1m30s"),
        (0.00025, "250us"),
        (86400.0, "1d"),
        (31536000.0, "1y"),
        (8640000.0, "100d"),
    ],
)
def test_durations_are_spelt_shortly(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(1, 10**15))
def test_what_is_spelt_reads_back(microseconds: int) -> None:
    assert round(parse_duration(format_duration(microseconds / 1e6)) * 1e6) == pytest.approx(
        microseconds, abs=1, rel=1e-12
    )


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("512MiB", 512 * 2**20), ("2GB", 2 * 10**9), ("1 kib", 1024), ("1.5KB", 1500)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1 apple", "-1", "1e9"])
def test_not_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_sizes_are_spelt_shortly() -> None:
    assert [format_size(n) for n in (2**30, 3 * 2**20, 1000, 0)] == ["1GiB", "3MiB", "1000", "0"]
