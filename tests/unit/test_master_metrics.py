"""/metrics: sums of what was stored, within bounds, in a form Prometheus reads."""

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from smokemesh.master.metrics import Gauges, Label, Metrics, SeriesTable
from smokemesh.model.rounds import RoundBatch

NAN = float("nan")
SECOND = 10**9
ORDER = ("agent", "target", "probe", "address", "le", "code")


def batch(*rounds: tuple[int, int, list[float]]) -> RoundBatch:
    """Rounds as (task, second, RTTs)."""
    return RoundBatch.from_columns(
        len(rounds),
        {
            "task": [task for task, _, _ in rounds],
            "time": [at * SECOND for _, at, _ in rounds],
            "step": [10.0] * len(rounds),
            "sent": [len(rtts) for _, _, rtts in rounds],
            "received": [sum(not np.isnan(rtt) for rtt in rtts) for _, _, rtts in rounds],
            "rtts": [rtt for _, _, rtts in rounds for rtt in rtts],
        },
    )


def read(metrics: Metrics, labels: dict[int, Label]) -> dict[tuple[str, ...], float]:
    """Sample name and values of its labels in `ORDER` -> value."""
    text = metrics.render(Gauges((("smokemesh_targets", "Targets.", {}, 3.0),)), labels).decode()
    return {
        (sample.name, *(sample.labels[name] for name in ORDER if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_round_out_of_the_future_hides_none() -> None:
    now = 1000
    table = SeriesTable(clock=lambda: now * SECOND)
    table.publish("a", batch((7, 990, [0.010]), (7, 1009, [0.020]), (7, 1200, [0.030])))
    assert table.newest[0, 0] == 1009, "it may be a step ahead"
    now = 500  # the clock was set back
    table.publish("a", batch((7, 495, [NAN])))
    assert table.newest[0].tolist()[:2] == [495, 1.0]
    assert table.rounds[0] == 4, "it counts all the same"


def test_sums_and_the_newest_round() -> None:
    metrics = Metrics()
    metrics.series.publish("a", batch((7, 20, [0.010, 0.020, NAN]), (7, 10, [0.5, 0.5, 0.5]), (8, 10, [NAN])))
    metrics.series.publish("a", batch((7, 30, [0.030, NAN, 0.010, 0.040])))
    metrics.refused("auth")
    found = read(metrics, {7: Label("/x", "ping"), 8: Label("/y", "ping", "192.0.2.1")})
    x = ("a", "/x", "ping", "")
    assert found["smokemesh_rounds_total", *x] == 3
    assert found["smokemesh_sent_total", *x] == 10
    assert found["smokemesh_received_total", *x] == 8
    assert found["smokemesh_lost_total", *x] == 2
    assert found["smokemesh_loss_ratio", *x] == 0.25
    assert found["smokemesh_median_rtt_seconds", *x] == pytest.approx(0.030)
    assert found["smokemesh_last_round_timestamp_seconds", *x] == 30
    assert found["smokemesh_rtt_seconds_count", *x] == 8
    assert found["smokemesh_rtt_seconds_sum", *x] == pytest.approx(1.61)
    y = ("a", "/y", "ping", "192.0.2.1")
    assert found["smokemesh_loss_ratio", *y] == 1.0
    assert np.isnan(found["smokemesh_median_rtt_seconds", *y])
    assert found["smokemesh_rtt_seconds_count", *y] == 0
    assert found["smokemesh_requests_refused_total", "auth"] == 1
    assert found[("smokemesh_targets",)] == 3


def test_an_older_round_does_not_replace_a_newer_one() -> None:
    metrics = Metrics()
    metrics.series.publish("a", batch((7, 20, [0.01])))
    metrics.series.publish("a", batch((7, 10, [NAN])))
    assert read(metrics, {})["smokemesh_loss_ratio", "a", "task 7", "", ""] == 0.0


def test_buckets_are_cumulative_and_reach_down_to_50_microseconds() -> None:
    metrics = Metrics()
    metrics.series.publish("a", batch((7, 20, [50e-6, 51e-6, 99e-6, 60.0])))
    found = read(metrics, {7: Label("/x", "ping")})
    of = {key[-1]: value for key, value in found.items() if key[0] == "smokemesh_rtt_seconds_bucket"}
    assert (of["5e-05"], of["0.0001"], of["26.2144"], of["+Inf"]) == (1, 3, 3, 4)


def test_cardinality_is_bounded() -> None:
    table = SeriesTable(most=3, histograms=1)
    table.publish("a", batch(*((task, 1, [0.1]) for task in range(5))))
    table.publish("a", batch(*((task, 2, [0.1]) for task in range(5))))
    rows, left_out = table.snapshot()
    assert (len(rows), left_out) == (3, 2)
    assert table.rounds[:3].tolist() == [2, 2, 2]
    assert table.buckets.sum() == 2


def test_many_series_are_taken_at_once() -> None:
    table = SeriesTable()
    table.publish("a", batch(*((task, 1, [0.1, NAN]) for task in range(1000))))
    assert table.counts[:1000, :2].tolist() == [[2, 1]] * 1000
