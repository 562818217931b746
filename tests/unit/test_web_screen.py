"""Numbers on the screen: rounded, but never to something they are not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.master.web.screen import duration, percent, size, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (math.nan, "–"), (None, "–"), (0.0, "0 µs"), (0.0000431, "43.1 µs"), (0.00042, "0.42 ms"), (0.0123, "12.3 ms"),
        (0.1234, "123 ms"), (0.9991, "999 ms"), (0.9996, "1.00 s"), (1.2, "1.20 s"), (12.34, "12.3 s"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (math.nan, "–"), (0.0, "0 %"), (1.0, "100 %"), (0.05, "5 %"), (0.0025, "0.25 %"), (0.125, "12.5 %"),
        (1e-7, "<0.01 %"), (0.99999, "99.99 %"), (0.1, "10 %"), (0.9999, "99.99 %"),
    ],
)  # fmt: skip
def test_losses(share: float, text: str) -> None:
    assert percent(share) == text


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_some_loss_never_reads_as_none_and_never_as_all(share: float) -> None:
    assert percent(share) not in ("0 %", "100 %", "0.0 %")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "0.5 s"),
        (45, "45 s"),
        (60, "1 min"),
        (150, "2 min 30 s"),
        (10800, "3 h"),
        (90061, "1 d 1 h"),
        (36000, "10 h"),
    ],
)
def test_lengths(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(512, "512 B"), (45_100_000, "45.1 MB"), (310_000, "310 kB"), (None, "–")])
def test_sizes(count: float | None, text: str) -> None:
    assert size(count) == text
