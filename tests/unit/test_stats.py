"""The definitions of loss, quantiles, deviation and jitter, against worked examples and naive ones."""

import math
import statistics
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.analysis import stats
from smokemesh.model.rounds import RoundBatch

NAN = math.nan
SHARES = (0.0, 0.05, 0.25, 1 / 3, 0.5, 0.9, 1.0)

rtt = st.one_of(st.just(NAN), st.floats(0, 10, width=32))
matrices = st.integers(0, 8).flatmap(
    lambda width: st.lists(st.lists(rtt, min_size=width, max_size=width), min_size=0, max_size=6).map(
        lambda rows: np.array(rows, np.float32).reshape(len(rows), width)
    )
)


def known(row: np.ndarray) -> list[float]:
    return [float(x) for x in row if not math.isnan(x)]


def test_loss_is_the_share_without_answer() -> None:
    sent, received = np.array([20, 20, 300, 1, 0], "u2"), np.array([20, 19, 299, 0, 0], "u2")
    np.testing.assert_array_equal(stats.loss(sent, received), [0.0, 0.05, 1 / 300, 1.0, NAN])


def test_loss_of_more_answers_than_sent_is_not_wrapped() -> None:
    assert stats.loss(np.array([1], "u2"), np.array([2], "u2"))[0] == -1.0


def test_quantiles_are_linear_between_two_pings() -> None:
    rows = np.array([[4.0, 1.0, NAN, 3.0, 2.0], [NAN, NAN, 7.0, NAN, NAN], [NAN] * 5])
    expected = [[1.0, 1.75, 2.5, 4.0], [7.0, 7.0, 7.0, 7.0], [NAN] * 4]
    np.testing.assert_array_equal(stats.quantiles(rows, (0, 0.25, 0.5, 1)), expected)


def test_median_of_an_even_number_lies_between_the_middle_ones() -> None:
    np.testing.assert_array_equal(stats.median(np.array([[0.4, 0.1, 0.2, 0.3], [0.4, 0.1, 0.2, NAN]])), [0.25, 0.2])


def test_jitter_skips_pairs_with_a_lost_ping() -> None:
    rows = np.array([[1.0, 1.5, NAN, 9.0, 8.75], [1.0, NAN, 2.0, NAN, 3.0], [5.0, 5.0, 5.0, 5.0, 5.0]])
    np.testing.assert_array_equal(stats.jitter(rows), [(0.5 + 0.25) / 2, NAN, 0.0])


def test_smoothed_jitter_steps_over_lost_pings() -> None:
    rows = np.array([[1.0, 3.0, NAN, 3.0], [1.0, NAN, NAN, 17.0], [1.0, NAN, NAN, NAN]])
    first = 2 / 16
    np.testing.assert_allclose(stats.smoothed_jitter(rows), [first - first / 16, 1.0, NAN], rtol=1e-15)


def test_deviation_is_of_the_population() -> None:
    np.testing.assert_allclose(stats.deviation(np.array([[2.0, 4.0, NAN, 6.0]])), [math.sqrt(8 / 3)], rtol=1e-15)


def test_rounds_of_different_length() -> None:
    batch = RoundBatch.from_columns(3, {"sent": [3, 0, 1], "rtts": [0.3, 0.1, NAN, 0.5]})
    np.testing.assert_allclose(stats.round_medians(batch), [0.2, NAN, 0.5], rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0), (2, 4)])
def test_nothing_known_is_nan_and_silent(shape: tuple[int, int]) -> None:
    rows = np.full(shape, NAN, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for measure in (stats.median, stats.mean, stats.deviation, stats.jitter, stats.smoothed_jitter):
            np.testing.assert_array_equal(measure(rows), np.full(shape[0], NAN))


@given(matrices)
def test_quantiles_are_those_of_numpy_without_the_lost(rows: np.ndarray) -> None:
    got = stats.quantiles(rows, SHARES)
    assert got.shape == (len(rows), len(SHARES))
    for row, line in zip(rows, got, strict=True):
        values = known(row)
        expected = np.quantile(values, SHARES) if values else np.full(len(SHARES), NAN)
        np.testing.assert_allclose(line, expected, rtol=1e-12, atol=1e-300)
        assert not values or (np.all(np.diff(line) >= 0) and line[0] == min(values) and line[-1] == max(values))


@given(matrices)
def test_measures_are_what_a_loop_computes(rows: np.ndarray) -> None:
    for i, row in enumerate(rows):
        values = known(row)
        pairs = [abs(float(b) - float(a)) for a, b in pairwise(row) if not math.isnan(a + b)]
        smooth, last = 0.0, NAN
        for value in values:
            smooth += 0.0 if math.isnan(last) else (abs(value - last) - smooth) / 16
            last = value
        expected = {
            stats.mean: statistics.fmean(values) if values else NAN,
            stats.deviation: statistics.pstdev(values) if values else NAN,
            stats.jitter: statistics.fmean(pairs) if pairs else NAN,
            stats.smoothed_jitter: smooth if len(values) > 1 else NAN,
        }
        for measure, value in expected.items():
            np.testing.assert_allclose(measure(rows)[i], value, rtol=1e-9, atol=1e-12)
