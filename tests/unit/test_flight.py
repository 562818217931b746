"""What becomes of pings: planned, sent, answered, late, twice, overtaken, failed. Time is passed in."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.model.rounds import ERROR_ERRNO, Flag, RoundBatch
from smokemesh.probes.flight import Event, Flight, Rows, groups
from smokemesh.wire.columns import pack, unpack

TIMEOUT, PATIENCE, SPACING, GRACE = 0.1, 0.2, 1.0, 0.05


def columns(count: int, pings: int, at: float = 10.0, **other: Any) -> dict[str, Any]:
    return {
        "task": np.arange(count, dtype=np.uint64) + 100, "time": np.full(count, 1_700_000_000_000_000_000),
        "step": np.full(count, 60.0), "at": np.full(count, at), "spacing": np.full(count, SPACING),
        "timeout": np.full(count, TIMEOUT), "patience": np.full(count, PATIENCE), "pings": np.full(count, pings),
        "profile": np.zeros(count, np.int32), "name": np.zeros((count, 28), np.uint8),
        "address": np.zeros((count, 16), np.uint8),
    } | other  # fmt: skip


class Course:
    """A flight with its pings sent exactly as planned."""

    def __init__(self, count: int = 1, pings: int = 5, **other: Any) -> None:
        self.told: list[tuple[Event, int, int, float]] = []
        self.flight = Flight(GRACE, self._watch)
        self.rows = self.flight.add(columns(count, pings, **other))

    def _watch(self, event: Event, tasks: Any, indexes: Any, values: Any) -> None:
        self.told += [(event, *row) for row in zip(tasks.tolist(), indexes.tolist(), values.tolist(), strict=True)]

    def send(self, until: float) -> None:
        """Send all pings due up to then, each at its time."""
        while (now := self.flight.next_wake()) <= until:
            sending, over = self.flight.due(now)
            self.flight.finish(over)
            times = np.full(len(sending), round(now * 1e9), np.int64)
            keys = self.flight.next_pings(sending)
            self.flight.sent(sending, times, keys, keys)

    def pings(self, *indexes: int) -> Rows:
        return self.flight.rounds.base[self.rows[0]] + np.array(indexes, np.int64)

    def answer(self, *answers: tuple[int, float], trusted: bool = True) -> int:
        """Answers to pings of the first round: (index, RTT), in this order."""
        pings = self.pings(*(index for index, _ in answers))
        arrived = self.flight.pings.sent[pings] + np.array([round(rtt * 1e9) for _, rtt in answers])
        return self.flight.answered(pings, arrived, np.full(len(pings), trusted), float(arrived.max()) * 1e-9)

    def end(self) -> RoundBatch:
        self.send(1e9)
        batch = self.flight.take()
        assert self.flight.busy == self.flight.pending == 0
        assert len(self.flight.take()) == 0  # each round exactly once
        unpack(pack(batch))  # what a master refuses was not measured
        return batch


def test_pings_are_sent_at_their_times() -> None:
    course = Course(pings=4)
    course.send(100)
    assert [(event, index) for event, _, index, _ in course.told] == [(Event.SENT, i) for i in range(4)]
    assert [value for *_, value in course.told] == pytest.approx([10.0, 11.0, 12.0, 13.0])
    batch = course.end()
    assert batch.sent.tolist() == [4]
    assert np.isnan(batch.rtts).all()
    assert batch.flags.tolist() == [0]


def test_answers_stand_in_the_order_sent() -> None:
    course = Course(pings=3)
    course.send(12)
    course.answer((2, 0.03))
    course.answer((0, 0.01))
    batch = course.end()
    assert batch.rtts.tolist() == pytest.approx([0.01, np.nan, 0.03], nan_ok=True)
    assert (batch.received[0], batch.reordered[0], batch.flags[0]) == (2, 1, Flag.REORDERED)


def test_a_late_answer_counts_with_its_true_rtt() -> None:
    course = Course(pings=2)
    course.send(11)
    assert course.answer((0, 0.15), (1, 0.05)) == 0
    batch = course.end()
    assert (batch.received[0], batch.late[0], batch.flags[0]) == (2, 1, Flag.LATE)
    assert batch.rtts.tolist() == pytest.approx([0.15, 0.05])


def test_an_answer_after_the_patience_is_lost_even_if_the_round_still_runs() -> None:
    course = Course(pings=3)
    course.send(11)
    assert course.answer((0, 0.25)) == 1
    batch = course.end()
    assert (batch.received[0], batch.late[0]) == (0, 0)


def test_second_answers_are_duplicates_however_they_come() -> None:
    course = Course(pings=3)
    course.send(12)
    course.answer((0, 0.01), (0, 0.02), (1, 0.01), (0, 0.03))
    course.answer((1, 0.05))
    batch = course.end()
    assert (batch.received[0], batch.duplicates[0], batch.flags[0]) == (2, 3, Flag.DUPLICATE)
    assert batch.rtts[0] == pytest.approx(0.01)
    assert sum(event == Event.DUPLICATE for event, *_ in course.told) == 3


def test_an_answer_after_an_error_still_counts() -> None:
    course = Course(pings=2)
    course.send(11)
    assert course.flight.failed(course.pings(0, 1), np.array([66_000, 66_001])).all()
    assert not course.flight.failed(course.pings(0), np.array([66_002])).any()
    course.answer((1, 0.01))
    batch = course.end()
    assert (batch.received[0], batch.errors[0], batch.error[0]) == (1, 1, 66_000)
    assert batch.flags[0] == Flag.ICMP_ERROR


def test_an_error_after_the_answer_is_nothing() -> None:
    course = Course(pings=1)
    course.send(10)
    course.answer((0, 0.01))
    assert not course.flight.failed(course.pings(0), np.array([66_000])).any()
    assert course.end().errors.tolist() == [0]


def test_a_refused_ping_is_an_error_and_the_round_goes_on() -> None:
    course = Course(pings=2)
    course.flight.refused(course.rows, ERROR_ERRNO + 101, 10.0)
    course.send(11)
    course.answer((1, 0.01))
    batch = course.end()
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (2, 1, 1)
    assert batch.error[0] == ERROR_ERRNO + 101
    assert batch.flags[0] == Flag.SEND_ERROR


def test_a_round_that_cannot_begin_is_over_at_once() -> None:
    course = Course(count=2, pings=3)
    course.flight.refuse_rounds(course.rows, ERROR_ERRNO + 22)
    batch = course.end()
    assert batch.sent.tolist() == batch.errors.tolist() == [3, 3]
    assert batch.error.tolist() == [ERROR_ERRNO + 22] * 2


def test_a_damaged_answer_is_none() -> None:
    course = Course(pings=2)
    course.send(11)
    course.flight.corrupted(course.pings(0))
    course.answer((1, 0.01))
    batch = course.end()
    assert (batch.received[0], batch.corrupted[0], batch.flags[0]) == (1, 1, Flag.CORRUPTED)


def test_an_answer_at_an_unknown_time_takes_its_ping_out_of_the_round() -> None:
    course = Course(pings=3)
    course.send(12)
    course.answer((0, 0.01))
    course.answer((1, 0.01), trusted=False)
    batch = course.end()
    assert (batch.sent[0], batch.received[0]) == (2, 1)
    assert batch.rtts.tolist() == pytest.approx([0.01, np.nan], nan_ok=True)
    assert batch.flags[0] == Flag.CLOCK_STEPPED


def test_what_was_under_way_while_the_host_slept_counts_only_if_answered() -> None:
    """Pings at 10, 11, 12, 13 s; the clocks were last read in agreement at 11.1 s, and no longer at 12.1 s."""
    course = Course(pings=4)
    course.send(12)
    course.answer((1, 0.05))
    course.flight.doubt(11_100_000_000)
    batch = course.end()
    assert (batch.sent[0], batch.received[0]) == (3, 1), "the first was lost before, the third is in doubt"
    assert batch.rtts.tolist() == pytest.approx([np.nan, 0.05, np.nan], nan_ok=True)
    assert batch.flags[0] == Flag.CLOCK_STEPPED
    course.flight.add(columns(1, 4, at=1e6))
    assert course.end().sent.tolist() == [4], "the rows of pings are used again without their past"


def test_pings_in_doubt_still_count_when_they_are_answered_or_failed() -> None:
    course = Course(pings=3)
    course.send(12)
    course.flight.doubt(10_000_000_000)
    course.answer((2, 0.05))
    course.flight.failed(course.pings(1), np.array([66_000]))
    batch = course.end()
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (2, 1, 1)


def test_more_answers_than_can_be_counted_are_not_few() -> None:
    course = Course(pings=1)
    course.send(10)
    course.answer(*[(0, 0.01)] * 65_537)
    course.flight.corrupted(np.repeat(course.pings(0), 70_000))
    batch = course.end()
    assert (batch.duplicates[0], batch.corrupted[0]) == (65_535, 65_535)


def test_no_rtt_is_negative_or_zero() -> None:
    course = Course(pings=1)
    course.send(10)
    course.answer((0, -1e-6))
    assert course.end().rtts[0] > 0


def test_a_fully_answered_round_ends_after_the_grace() -> None:
    course = Course(pings=1)
    course.send(10)
    course.answer((0, 0.01))
    assert course.flight.next_wake() == pytest.approx(10.01 + GRACE)


def test_a_round_with_a_lost_ping_ends_after_its_patience() -> None:
    course = Course(pings=2)
    course.send(11)
    course.answer((1, 0.01))
    assert course.flight.next_wake() == pytest.approx(11 + PATIENCE)


def test_a_machine_that_stood_still_does_not_send_a_burst() -> None:
    """Five seconds late: the pings missed are made up for, but a little faster than planned only."""
    course = Course(pings=4)
    sending, _ = course.flight.due(15.0)
    course.flight.sent(sending, np.array([15_000_000_000]), course.pings(0), course.pings(0))
    assert course.flight.next_wake() == pytest.approx(15.9)


def test_the_longest_overdue_goes_first() -> None:
    course = Course(count=3, at=np.array([12.0, 10.0, 11.0]))
    sending, over = course.flight.due(20.0)
    assert course.flight.rounds.task[sending].tolist() == [101, 102, 100]
    assert len(over) == 0


def test_own_drops_flag_only_rounds_that_have_sent() -> None:
    course = Course(count=2, at=np.array([10.0, 20.0]), pings=1)
    course.send(10)
    course.flight.flag(Flag.OWN_DROPS)
    assert course.end().flags.tolist() == [Flag.OWN_DROPS, 0]


def test_rows_are_used_again() -> None:
    flight = Flight(GRACE)
    for _ in range(5):
        for pings in (3, 7):
            flight.add(columns(1000, pings, at=0.0))
        while flight.busy:
            sending, over = flight.due(flight.next_wake())
            flight.finish(over)
            flight.sent(sending, np.ones(len(sending), np.int64), sending, sending)
        assert len(flight.take()) == 2000
    assert flight.rounds.high == 2000
    assert flight.pings.high == 1000 * (3 + 7)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30), st.integers(1, 30))
def test_any_order_of_answers_is_counted_as_one_by_one(answers: list[tuple[int, int]], batch: int) -> None:
    """Received, duplicates and reordered do not depend on how many answers are handed over at a time (RFC 4737)."""
    flight = Flight(GRACE)
    rows = flight.add(columns(4, 6, spacing=np.zeros(4), patience=np.full(4, 100.0), timeout=np.full(4, 50.0)))
    while len(sending := flight.due(10.0)[0]):
        flight.sent(sending, np.full(len(sending), 10**10), flight.next_pings(sending), flight.next_pings(sending))
    for i in range(0, len(answers), batch):
        part = answers[i : i + batch]
        pings = np.array([flight.rounds.base[rows[row]] + index for row, index in part])
        flight.answered(pings, np.arange(len(part)) + 10**10 + 1000, np.ones(len(part), bool), 10.0)
    for row in range(4):
        seen: list[int] = []
        duplicates = reordered = 0
        for index in [index for which, index in answers if which == row]:
            duplicates += index in seen
            reordered += index not in seen and index < max(seen, default=-1)
            seen += [index] if index not in seen else []
        r = flight.rounds
        found = (r.answered[rows[row]], r.duplicates[rows[row]], r.reordered[rows[row]])
        assert found == (len(seen), duplicates, reordered)


def test_groups() -> None:
    values = np.array([3, 3, 3], np.int32)
    assert [(value, values[where].tolist()) for value, where in groups(values)] == [(3, [3, 3, 3])]
    values = np.array([3, 1, 3], np.int32)
    assert [(value, np.arange(3)[where].tolist()) for value, where in groups(values)] == [(1, [1]), (3, [0, 2])]
    assert list(groups(np.zeros(0, np.int32))) == []
