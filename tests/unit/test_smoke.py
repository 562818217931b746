"""Bands, shades, loss colours and the axis of the smoke graph."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.analysis import smoke
from smokemesh.model.series import BANDS


def labels(pings: int) -> list[str]:
    return [step.label for step in smoke.loss_colors(pings)]


def color(pings: int, lost: float) -> str:
    steps = smoke.loss_colors(pings)
    return steps[int(smoke.loss_classes(np.array([lost / pings]), steps)[0])].color


def test_bands_of_twenty_pings_go_from_least_to_greatest() -> None:
    rtts = np.arange(21.0)[None, ::-1] / 1000
    np.testing.assert_allclose(smoke.bands(rtts), np.arange(21.0)[None] / 1000, rtol=1e-12)


def test_layers_have_the_greys_of_smokeping() -> None:
    greys = [f"{layer.grey:02x}" for layer in smoke.LAYERS]
    assert greys == ["dd", "ca", "b7", "a4", "91", "7e", "6b", "58", "45", "32"]
    assert [(layer.low, layer.high) for layer in smoke.LAYERS] == [(k, len(BANDS) - 1 - k) for k in range(10)]


@pytest.mark.parametrize(
    ("pings", "expected"),
    [
        (20, "0 1 2 3 4-5 6-10 11-19 20/20"),
        (10, "0 1 2 3 4 5 6-9 10/10"),
        (5, "0 1 2 3 4 5/5"),
        (2, "0 1 2/2"),
        (1, "0 1/1"),
        (100, "0 1 2-5 6-10 11-25 26-50 51-99 100/100"),
    ],
)
def test_colours_cover_the_counts_smokeping_gives_them(pings: int, expected: str) -> None:
    assert labels(pings) == expected.split()


@pytest.mark.parametrize(
    ("lost", "expected"),
    [(0, "26ff00"), (1, "00b8ff"), (2, "0059ff"), (3, "7e00ff"), (4, "ff00ff"), (5, "ff00ff"), (6, "ff5500"),
     (10, "ff5500"), (11, "ff0000"), (19, "ff0000"), (20, "a00000")],
)  # fmt: skip
def test_colours_of_twenty_pings(lost: int, expected: str) -> None:
    assert color(20, lost) == expected


def test_later_colours_win_where_few_pings_crowd_them() -> None:
    assert [color(5, lost) for lost in range(6)] == ["26ff00", "00b8ff", "0059ff", "7e00ff", "ff0000", "a00000"]
    assert [color(1, lost) for lost in range(2)] == ["26ff00", "a00000"]


def test_merged_rounds_keep_the_colours_of_their_share() -> None:
    assert color(20, 0.01) == "00b8ff"
    assert color(20, 19.98) == "ff0000"


def test_unknown_loss_has_no_colour() -> None:
    assert smoke.loss_classes(np.array([math.nan, 0.0, 1.0]), smoke.LOSS_COLORS).tolist() == [-1, 0, 7]


@given(st.integers(1, 1000).flatmap(lambda pings: st.tuples(st.just(pings), st.integers(0, pings))))
def test_none_and_all_lost_have_colours_of_their_own(case: tuple[int, int]) -> None:
    pings, lost = case
    assert (color(pings, lost) == "26ff00") == (lost == 0)
    assert (color(pings, lost) == "a00000") == (lost == pings)


def test_axis_ends_a_fifth_above_the_greatest_median() -> None:
    assert smoke.upper_limit(np.array([0.01, 0.02, math.nan])) == pytest.approx(0.024)


def test_one_spike_does_not_flatten_the_rest() -> None:
    median = np.full(200, 0.02)
    median[17] = 3.0
    assert smoke.upper_limit(median) == pytest.approx(0.06)


def test_a_lasting_rise_is_no_spike() -> None:
    median = np.full(200, 0.02)
    median[100:120] = 3.0
    assert smoke.upper_limit(median) == pytest.approx(3.6)


def test_nothing_known_still_has_an_axis() -> None:
    assert smoke.upper_limit(np.array([math.nan])) == 1.0
    assert smoke.upper_limit(np.zeros(3)) > 0


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1.0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)), (0.024, (0, 0.005, 0.01, 0.015, 0.02)), (0.3, (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3))],
)  # fmt: skip
def test_ticks_are_round_numbers(limit: float, expected: tuple[float, ...]) -> None:
    assert smoke.ticks(limit) == pytest.approx(expected)


@given(st.floats(1e-7, 1e4), st.integers(1, 12))
def test_ticks_stay_inside_and_are_few(limit: float, most: int) -> None:
    found = smoke.ticks(limit, most)
    assert found[0] == 0
    assert found[-1] <= limit * (1 + 1e-6)
    assert len(found) - 1 <= most


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_no_axis_without_an_end(limit: float) -> None:
    with pytest.raises(ValueError, match="cannot end"):
        smoke.ticks(limit)
