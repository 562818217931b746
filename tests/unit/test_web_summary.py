"""The figures under a graph are those of the pings, whatever the points are."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.shapes import DEAD, LOSSY, NANO, NOW, OK, cut, series

from smokemesh.master.web.summary import summarize
from smokemesh.model.rounds import Flag

ping = st.one_of(st.just(math.nan), st.floats(1e-6, 2.0))


@given(st.lists(st.lists(ping, min_size=4, max_size=4), min_size=1, max_size=12))
def test_loss_mean_and_deviation_are_those_of_all_pings(rows: list[list[float]]) -> None:
    found = summarize(series(rows), NOW)
    flat = np.array(rows).ravel()
    answered = flat[~np.isnan(flat)]
    assert found.loss_average == pytest.approx(1 - len(answered) / len(flat))
    assert (found.sent, found.received, found.rounds) == (len(flat), len(answered), len(rows))
    if len(answered):
        assert found.mean == pytest.approx(answered.mean())
        assert found.deviation == pytest.approx(answered.std(), abs=1e-9)
        assert (found.rtt_least, found.rtt_most) == (answered.min(), answered.max())
    else:
        assert all(math.isnan(value) for value in (found.mean, found.deviation, found.median_average, found.rtt_most))


def test_unequal_points_weigh_by_their_pings() -> None:
    """Nine rounds merged into one point, and one dead round: a mean of means would say 50 %."""
    both = series([OK, DEAD])
    merged = replace(both, sent=np.array([36, 4], "u8"), received=np.array([36, 0], "u8"))
    assert summarize(merged, NOW).loss_average == pytest.approx(0.1)
    assert summarize(merged, NOW).loss_most == 1.0


def test_now_is_the_newest_point() -> None:
    found = summarize(series([OK] * 9 + [LOSSY]), NOW)
    assert [found.median_now, found.loss_now] == pytest.approx([0.012, 0.25])


def test_an_old_point_is_not_now() -> None:
    found = summarize(series([OK] * 10), NOW + 300 * NANO)
    assert math.isnan(found.median_now)
    assert math.isnan(found.loss_now)
    assert found.median_average == pytest.approx(0.0115)


def test_an_old_point_is_now_as_long_as_its_successor_may_be_on_its_way() -> None:
    found = summarize(series([OK] * 10), NOW + 260 * NANO, grace=30 + 120)
    assert found.median_now == pytest.approx(0.0115)


@given(st.lists(st.lists(ping, min_size=5, max_size=5), min_size=1, max_size=12))
def test_jitter_is_that_of_all_pairs_of_successive_answers(rows: list[list[float]]) -> None:
    """A round with every second ping lost has answers and no pair: it says nothing of the jitter."""
    rows = [*rows, [0.010, math.nan, 0.500, math.nan, 0.010]]
    steps = np.abs(np.diff(np.array(rows), axis=1)).ravel()
    steps = steps[~np.isnan(steps)]
    expected = steps.mean() if len(steps) else math.nan
    assert summarize(series(rows), NOW).jitter == pytest.approx(expected, nan_ok=True)


def test_lost_pings_of_rounds_in_doubt_are_told() -> None:
    flags = np.array([Flag.OWN_DROPS, Flag.LATE, Flag.SEND_ERROR, Flag.SEND_ERROR | Flag.ICMP_ERROR], "u4")
    found = summarize(replace(series([LOSSY, LOSSY, DEAD, DEAD]), flags=flags), NOW)
    assert (found.sent - found.received, found.doubtful) == (10, 5)


def test_hourly_rounds_are_now_also_where_points_could_be_finer() -> None:
    """Read from rollups of five minutes, drawn in quarters of an hour: a point still stands for its hour."""
    hourly = replace(series([OK] * 10, begin=NOW - 10 * 3600 * NANO, step=3600.0), level="5m")
    assert summarize(hourly, NOW + 1800 * NANO).median_now == pytest.approx(0.0115)


def test_nothing_measured_is_unknown_not_zero() -> None:
    found = summarize(cut(series([OK]), 0), NOW)
    assert math.isnan(found.loss_average)
    assert math.isnan(found.median_now)
    assert found.sent == 0
