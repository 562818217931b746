"""Rules and what they see of a round: thresholds, deviation, silence, priorities, and rounds taken from columns."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.analysis.alerts.judge import Bench, View, compile_alert, view_from_json, view_to_json
from smokemesh.analysis.alerts.observe import decimals, doubtful, observe
from smokemesh.analysis.alerts.rules import DeviationRule, History, Observation, agree, make_rule
from smokemesh.model.alert import Alert, Alerting
from smokemesh.model.rounds import Flag, RoundBatch

SECOND = 10**9
STEP = 60.0


def told(alert: Alert, values: list[float], name: str = "", memory: dict[str, float] | None = None) -> list[bool]:
    """The rule's truth after each round, a minute apart."""
    rule, memory, raised, found = make_rule(alert, compat=False), {} if memory is None else memory, False, []
    history = History()
    for k, value in enumerate(values):
        round = Observation(time=k * 60 * SECOND, step=STEP, **{"loss": 0.0, name or alert.measure: value})
        history.push(round, rule.length)
        raised = rule.judge(memory, history, round, raised)
        assert json.loads(json.dumps(memory)) == memory
        found.append(raised)
    return found


def test_a_threshold_holds_above() -> None:
    assert told(Alert(name="t", type="threshold", above=0.2), [0.1, 0.2, 0.3, 0.2]) == [False, False, True, False]


def test_a_threshold_holds_below() -> None:
    alert = Alert(name="t", type="threshold", measure="median", below=0.001)
    assert told(alert, [0.002, 0.0005, 0.001]) == [False, True, False]


@pytest.mark.parametrize("apart", [0.0, 1.5])
@pytest.mark.parametrize("ms", [7, 9, 13, 100, 150])
def test_a_value_on_the_bound_is_beyond_neither(ms: int, apart: float) -> None:
    """The bound comes of a multiplication, the median of a mean."""
    bound, value = ms * 1e-3, observe(batch([(ms - apart) / 1000, (ms + apart) / 1000]))[0].median
    assert told(Alert(name="t", type="threshold", measure="median", above=bound, below=bound), [value]) == [False]
    assert told(Alert(name="t", type="threshold", measure="median", above=bound), [value + 1e-6]) == [True]


def test_a_threshold_waits_before_it_is_raised_and_before_it_is_cleared() -> None:
    alert = Alert(name="t", type="threshold", above=0.2, wait=120, clear_wait=60)
    losses = [0.9, 0.9, 0.0, 0.9, 0.9, 0.9, 0.0, 0.9, 0.0, 0.0]
    assert told(alert, losses) == [False, False, False, False, False, True, True, True, True, False]


def at(alert: Alert, *rounds: tuple[float, float]) -> list[bool]:
    """The rule's truth after rounds (minute, loss)."""
    rule, memory, raised, found = make_rule(alert, compat=False), {}, False, []  # type: ignore[var-annotated]
    for minute, loss in rounds:
        round = Observation(time=round_time(minute), step=STEP, loss=loss, median=loss)
        raised = rule.judge(memory, History(), round, raised)
        found.append(raised)
    return found


def round_time(minute: float) -> int:
    return int(minute * 60) * SECOND


def test_waiting_begins_anew_where_rounds_are_missing() -> None:
    alert = Alert(name="t", type="threshold", above=0.5, wait=600, clear_wait=600)
    assert at(alert, (0, 1.0), (120, 1.0)) == [False, False]
    bad = [(minute, 1.0) for minute in range(120, 131)]
    assert at(alert, (0, 1.0), *bad) == [False] * 11 + [True]
    good = [(minute, 0.0) for minute in range(300, 311)]
    assert at(alert, *bad, (131, 0.0), *good)[11:] == [True] * 11 + [False]
    # Two that are lost on their way are no gap.
    assert at(alert, (0, 1.0), (3, 1.0), (6, 1.0), (9, 1.0), (12, 1.0)) == [False] * 4 + [True]


def test_rounds_of_which_nothing_is_known_are_no_gap() -> None:
    alert = Alert(name="t", type="threshold", measure="median", above=0.5, wait=600)
    assert at(alert, (0, 1.0), *((minute, math.nan) for minute in range(1, 10)), (10, 1.0)) == [False] * 10 + [True]
    silent = Alert(name="s", type="silent", wait=600, clear_wait=120)
    rule, memory = make_rule(silent, compat=False), {}  # type: ignore[var-annotated]
    told = [
        rule.judge(memory, History(), Observation(time=round_time(n), step=STEP, loss=0.0), True)
        for n in (0, 9, 10, 11)
    ]
    assert told == [True, True, True, False]  # one round is no end of a silence


def test_what_is_unknown_changes_nothing() -> None:
    alert = Alert(name="t", type="threshold", measure="median", above=0.1, wait=120)
    nan = math.nan
    assert told(alert, [0.2, nan, 0.2, nan, nan, 0.05]) == [False, False, True, True, True, False]


@pytest.mark.parametrize("measure", ["median", "max", "deviation", "jitter", "loss"])
def test_each_measure_can_be_judged(measure: str) -> None:
    assert told(Alert(name="t", type="threshold", measure=measure, above=0.1), [0.05, 0.2]) == [False, True]


def test_a_deviation_is_what_was_not_usual_before() -> None:
    alert = Alert(name="d", type="deviation", measure="median", factor=5, baseline=86400)
    usual = [0.020 + 0.001 * (-1) ** k for k in range(60)]
    raised = told(alert, [*usual, 0.024, 0.040, 0.040, 0.021])
    assert not any(raised[:60])
    assert raised[60:] == [False, True, True, False]


def test_nothing_deviates_before_enough_is_known() -> None:
    alert = Alert(name="d", type="deviation", measure="median", factor=5)
    assert not any(told(alert, [0.02] * 20 + [0.5] * 5))


def test_a_lasting_change_becomes_usual_and_a_short_one_does_not() -> None:
    alert = Alert(name="d", type="deviation", measure="median", factor=5, baseline=3600)
    memory: dict[str, float] = {}
    raised = told(alert, [0.02] * 60 + [0.1] * 600, memory=memory)
    assert all(raised[60:70])
    assert not raised[-1]
    rule = DeviationRule(alert)
    fresh: dict[str, float] = {}
    told(alert, [0.02] * 60 + [0.1] * 3, memory=fresh)
    assert rule.limit(fresh) < 0.05


def test_a_quorum_counts_agents() -> None:
    assert agree([True, True, False], 2)
    assert not agree([True, False, False], 2)
    assert agree([True], 3)
    assert not agree([], 1)


def test_an_unknown_type_is_one_line() -> None:
    with pytest.raises(ValueError, match="alert x: type 'odd' is unknown"):
        make_rule(Alert(name="x", type="odd"), compat=False)


# --- all alerts of a target


def bench(*alerts: Alert, compat: str = "smokeping") -> Bench:
    return Bench([compile_alert(alert, Alerting(compat=compat)) for alert in alerts])


def judged(of: Bench, losses: list[float], view: View | None = None) -> list[list[str]]:
    view, found = view or View(), []
    for k, loss in enumerate(losses, 1):
        judgements = of.judge(view, Observation(time=k * 60 * SECOND, step=STEP, loss=loss, rtt=0.01))
        found.append([f"{one.compiled.alert.name} {one.what or '-' + one.after}" for one in judgements])
    return found


def test_history_is_as_long_as_the_longest_rule_of_the_target_needs() -> None:
    of = bench(Alert(name="a", type="loss", pattern=">0%,*12*,>0%"), Alert(name="b", type="rtt", pattern=">1,>1,>1"))
    view = View()
    judged(of, [0.0] * 10, view)
    assert view.history.loss == ["S", *[0.0] * 10]
    judged(of, [0.0] * 10, view)
    assert (len(view.history.loss), len(view.history.rtt)) == (14, 14)


def test_the_least_number_speaks_first_and_alone() -> None:
    of = bench(
        Alert(name="low", type="loss", pattern=">0%", priority=9),
        Alert(name="high", type="loss", pattern=">0%", priority=1),
        Alert(name="plain", type="loss", pattern=">0%"),
    )
    assert judged(of, [0.0, 0.5, 0.5, 0.0]) == [
        [],
        ["plain raised", "high raised", "low -high"],
        ["plain -", "high -", "low -"],
        ["plain cleared", "high cleared", "low -high"],
    ]


def test_without_edges_it_speaks_while_it_holds() -> None:
    of = bench(Alert(name="a", type="loss", pattern=">0%", edge=False))
    assert judged(of, [0.5, 0.5, 0.0, 0.5]) == [["a active"], ["a active"], ["a -"], ["a active"]]


def test_a_view_survives_being_stored() -> None:
    view = View()
    judged(bench(Alert(name="a", type="loss", pattern=">0%,>0%,>0%")), [0.5, math.nan], view)
    again = view_from_json(view.time, json.loads(json.dumps(view_to_json(view))))
    assert again.history == view.history
    assert (again.time, again.step) == (view.time, view.step)


@pytest.mark.parametrize(
    "stored", [{}, {"loss": [1], "rtt": []}, {"loss": "S", "rtt": "S"}, {"loss": [{}], "rtt": [1]}]
)
def test_what_cannot_be_understood_begins_anew(stored: dict[str, Any]) -> None:
    assert view_from_json(5, stored) == View(time=5)


def test_a_digest_names_what_is_judged_and_not_who_is_told() -> None:
    alert, alerting = Alert(name="a", type="loss", pattern=">0%"), Alerting()
    digest = compile_alert(alert, alerting).digest
    assert compile_alert(replace(alert, comment="x", to=("y",), priority=3), alerting).digest == digest
    assert compile_alert(replace(alert, pattern=">1%"), alerting).digest != digest
    assert compile_alert(alert, Alerting(compat="smokeping")).digest != digest


# --- rounds

NAN = math.nan


def batch(*rows: list[float], flags: int = 0) -> RoundBatch:
    n = len(rows)
    columns = {
        "time": np.arange(n), "step": [STEP] * n, "sent": [len(row) for row in rows], "flags": [flags] * n,
        "received": [sum(not math.isnan(rtt) for rtt in row) for row in rows],
        "rtts": [rtt for row in rows for rtt in row],
    }  # fmt: skip
    return RoundBatch.from_columns(n, columns)


def test_smokepings_median_is_the_upper_of_two() -> None:
    rows = batch([0.03, 0.01, 0.02, 0.04], [0.01, NAN, 0.03, NAN], [NAN], [0.01, 0.02, 0.03])
    assert [one.rtt for one in observe(rows, compat=True)] == pytest.approx([0.03, 0.03, NAN, 0.02], nan_ok=True)
    assert [one.rtt for one in observe(rows)] == pytest.approx([0.025, 0.02, NAN, 0.02], nan_ok=True)
    assert [one.max for one in observe(rows)] == pytest.approx([0.04, 0.03, NAN, 0.03], nan_ok=True)
    assert [one.loss for one in observe(rows)] == [0.0, 0.5, 1.0, 0.0]


@pytest.mark.parametrize("compat", [True, False])
def test_a_round_that_sent_nothing_is_passed_over_unless_the_name_is_at_fault(compat: bool) -> None:
    (busy,) = observe(batch([], flags=int(Flag.OWN_DELAY)), compat=compat)
    assert math.isnan(busy.loss)
    assert doubtful(batch([], [NAN, NAN], [0.01], flags=int(Flag.OWN_DELAY))).tolist() == [True, False, False]
    (unresolved,) = observe(batch([], flags=int(Flag.UNRESOLVED)), compat=compat)
    assert unresolved.loss == 1.0
    assert not doubtful(batch([], flags=int(Flag.UNRESOLVED))).any()


def test_an_rtt_is_the_decimal_it_stands_for() -> None:
    """As limits are; most float32 lie beside theirs."""
    texts = [f"{whole}e{power}" for whole in (1, 3, 7, 12, 99, 101, 123456, 999999) for power in range(-9, -1)]
    kept = np.array([float(text) for text in texts], np.float32)
    assert decimals(kept).tolist() == [float(text) for text in texts]
    assert (decimals(kept) != kept.astype(np.float64)).sum() > len(texts) / 2
    odd = np.array([[0.0, NAN, math.inf, -0.1, 1 / 3, 16777216.0]], np.float32)
    assert decimals(odd).tolist()[0][2:] == [math.inf, -0.1, pytest.approx(1 / 3, rel=1e-7), 16777216.0]
    assert np.array_equal(decimals(odd).astype(np.float32), odd, equal_nan=True)


@settings(max_examples=50)
@given(st.integers(1, 999_999), st.integers(-9, -1))
def test_six_digits_always_come_back(whole: int, power: int) -> None:
    value = float(f"{whole}e{power}")
    assert decimals(np.array([value], np.float32)).tolist() == [value]


def test_sorted_rounds_say_nothing_of_jitter() -> None:
    assert observe(batch([0.01, 0.02]))[0].jitter == pytest.approx(0.01)
    assert math.isnan(observe(batch([0.01, 0.02], flags=int(Flag.SORTED)))[0].jitter)


def test_doubt_is_the_agents_drops_clock_and_uplink() -> None:
    lossy, clean = [0.01, NAN], [0.01, 0.02]
    for flag, expected in (
        (Flag.NONE, [False, False]),
        (Flag.ICMP_ERROR, [False, False]),
        (Flag.OWN_DROPS, [True, False]),
        (Flag.CLOCK_STEPPED, [True, True]),
        (Flag.VANTAGE_DEGRADED, [True, True]),
    ):
        assert doubtful(batch(lossy, clean, flags=int(flag))).tolist() == expected


def test_no_rounds_are_no_observations() -> None:
    assert observe(RoundBatch.empty()) == []
