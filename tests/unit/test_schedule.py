"""The schedule: what is due when, through days of rounds, clock steps, standstills and new assignments."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.agent.schedule import GRACE, LOOKAHEAD, SECOND, Due, Instant, Schedule, Timetable, phase
from smokemesh.model.probe import Probe

#: 2026-01-02T03:04:05Z
BEGIN = 1_767_323_045 * SECOND
MINUTE = Probe(name="ping")


@dataclass
class Clock:
    """Both clocks, moved by hand."""

    wall: int = BEGIN
    mono: float = 1000.0

    def tick(self, seconds: float, *, step: float = 0.0) -> Instant:
        """Let time pass; `step` sets the wall clock besides."""
        self.mono += seconds
        self.wall += round((seconds + step) * SECOND)
        return Instant(self.wall, self.mono)


@dataclass
class Run:
    """A schedule and what it handed out; every round ends at once unless told otherwise."""

    tasks: list[tuple[int, Probe]]
    agent: str = "boomer"
    clock: Clock = field(default_factory=Clock)
    finish: bool = True
    handed: list[tuple[int, int, float]] = field(default_factory=list)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        self.schedule.apply(Timetable.of(self.agent, self.tasks), self.clock.tick(0))

    def go(self, seconds: float, tick: float = 0.1) -> list[tuple[int, int, float]]:
        """Pass time in ticks; the rounds handed out in it as (task, time, at)."""
        before = len(self.handed)
        for _ in range(round(seconds / tick)):
            self.take(self.schedule.due(self.clock.tick(tick)))
        return self.handed[before:]

    def take(self, due: Due) -> None:
        tasks = self.schedule.table.task[due.rows]
        self.handed += zip(tasks.tolist(), due.time.tolist(), due.at.tolist(), strict=True)
        if self.finish:
            self.schedule.finished(tasks, due.time, Instant(self.clock.wall, self.clock.mono))


def test_rounds_begin_at_multiples_of_the_step_plus_the_phase() -> None:
    run = Run([(7, MINUTE)])
    rounds = run.go(600)
    assert len(rounds) == 10
    begin = phase("boomer", 7, MINUTE)
    assert [time % (60 * SECOND) for _, time, _ in rounds] == [begin] * 10
    assert np.diff([time for _, time, _ in rounds]).tolist() == [60 * SECOND] * 9


def test_a_configured_offset_is_the_phase() -> None:
    run = Run([(7, Probe(name="p", step=10.0, offset=2.5))])
    assert {time % (10 * SECOND) for _, time, _ in run.go(60)} == {2_500_000_000}


def test_both_clocks_show_the_same_instant_and_the_round_is_handed_out_ahead() -> None:
    run = Run([(n, Probe(name="p", step=5.0)) for n in range(50)])
    offset = BEGIN / SECOND - 1000.0
    run.go(1)
    for _, time, at in run.go(30):
        assert at == pytest.approx(time / SECOND - offset, abs=1e-5)
    schedule, clock = run.schedule, run.clock
    wait = schedule.next_in(Instant(clock.wall, clock.mono))
    due = schedule.due(clock.tick(wait + 0.001))
    assert len(due) == 1
    assert due.at[0] - clock.mono == pytest.approx(LOOKAHEAD, abs=0.01)


def test_phases_spread_the_load_evenly() -> None:
    """10,000 tasks over 60 s: no second gets more than a fair share and the noise of chance (5 sigma)."""
    table = Timetable.of("boomer", [(n, MINUTE) for n in range(10_000)])
    per_second = np.bincount((table.phase // SECOND).astype(int), minlength=60)
    fair = 10_000 / 60
    assert per_second.sum() == 10_000
    assert np.abs(per_second - fair).max() < 5 * np.sqrt(fair)
    # Kolmogorov-Smirnov against the uniform distribution, 1 % level.
    shares = np.sort(table.phase / (60 * SECOND))
    assert np.abs(shares - np.arange(10_000) / 10_000).max() < 1.63 / np.sqrt(10_000)


def test_two_agents_do_not_measure_a_target_at_the_same_moment() -> None:
    a, b = (np.array([phase(name, n, MINUTE) for n in range(1000)]) for name in ("changzhou", "nanjing"))
    together = np.abs(a - b) < SECOND
    assert together.mean() < 0.08  # two independent choices out of 60 s: 1 in 30


def test_a_restart_keeps_the_rhythm() -> None:
    first, second = Run([(7, MINUTE)]), Run([(7, MINUTE)], clock=Clock(BEGIN + 3607 * SECOND, 5.0))
    assert {t % (60 * SECOND) for _, t, _ in first.go(120)} == {t % (60 * SECOND) for _, t, _ in second.go(120)}


def test_each_task_keeps_its_own_step() -> None:
    run = Run([(1, Probe(name="a", step=5.0)), (2, Probe(name="b", step=7.0)), (3, MINUTE)])
    counts = Counter(task for task, _, _ in run.go(420))
    assert counts == {1: 84, 2: 60, 3: 7}


def test_slots_that_passed_while_the_host_stood_still_are_skipped_and_counted() -> None:
    run = Run([(n, Probe(name="p", step=10.0)) for n in range(100)])
    run.go(20)
    before = len(run.handed)
    run.take(run.schedule.due(run.clock.tick(95.0)))
    burst = run.handed[before:]
    now = run.clock.wall
    assert all(time >= now - round(GRACE * SECOND) for _, time, _ in burst)
    assert len(burst) < 20  # those of the grace and the look-ahead, not 950
    run.go(10)
    assert run.schedule.missed == pytest.approx(940, abs=20)
    assert run.schedule.missed + len(run.handed) == pytest.approx(100 * 12.5, abs=105)
    assert run.schedule.overruns == 0


@given(st.lists(st.tuples(st.floats(0.01, 20.0), st.floats(-100.0, 100.0)), max_size=30))
def test_whatever_the_clock_does_no_instant_is_measured_twice_and_nothing_comes_in_floods(
    steps: list[tuple[float, float]],
) -> None:
    run = Run([(n, Probe(name="p", step=float(2 + n))) for n in range(5)])
    for seconds, step in steps:
        before = len(run.handed)
        run.take(run.schedule.due(run.clock.tick(seconds, step=step)))
        assert len(run.handed) - before <= 5
        assert all(at >= run.clock.mono for _, _, at in run.handed[before:])
        assert all(at <= run.clock.mono + LOOKAHEAD + 0.1 for _, _, at in run.handed[before:])
    assert len({(task, time) for task, time, _ in run.handed}) == len(run.handed)


def test_a_clock_set_forward_costs_no_flood() -> None:
    run = Run([(n, MINUTE) for n in range(600)])
    run.go(60)
    run.clock.tick(0, step=3600.0)
    assert len(run.go(60)) == pytest.approx(600, abs=10)
    assert run.schedule.missed == pytest.approx(600 * 60, abs=600)


def test_a_clock_set_back_by_an_hour_does_not_stop_the_measurement() -> None:
    run = Run([(n, MINUTE) for n in range(60)])
    run.go(7200, tick=1.0)
    run.clock.tick(0, step=-3600.0)
    assert len(run.go(600)) == pytest.approx(600, abs=60)
    assert len({(task, time) for task, time, _ in run.handed}) == len(run.handed)
    # An instant that was used is measured beside, by a millisecond.
    again = [time for task, time, _ in run.handed if task == 0]
    assert len({time // (10**6 * 10) for time in again}) < len(again)


def test_a_clock_set_back_a_little_waits() -> None:
    run = Run([(1, MINUTE)])
    run.go(90)
    run.clock.tick(0, step=-20.0)
    times = [time for _, time, _ in run.go(120)]
    assert all(time % (60 * SECOND) == phase("boomer", 1, MINUTE) for time in times)
    assert len(set(times)) == len(times)


def test_a_round_still_sending_when_the_next_is_due_is_an_overrun() -> None:
    slow = Probe(name="slow", step=10.0, pings=20, interval=1.0)
    run = Run([(1, slow)], finish=False)
    rounds = run.go(30)
    assert len(rounds) == 1
    assert run.schedule.overruns == 2
    task, time, _ = rounds[0]
    late = run.schedule.finished(
        np.array([task], np.uint64), np.array([time]), Instant(time + 20 * SECOND, run.clock.mono)
    )
    assert late.tolist() == [True]
    assert len(run.go(10)) == 1


def test_a_clock_set_while_a_round_runs_makes_it_no_overrun() -> None:
    run = Run([(1, MINUTE)], finish=False)
    (task, time, _), *_ = run.go(60)
    run.schedule.due(run.clock.tick(1, step=3600.0))
    end = np.array([task], np.uint64), np.array([time]), run.clock.tick(20)
    assert run.schedule.finished(*end).tolist() == [False]
    assert run.schedule.overruns == 0


def test_waiting_for_the_answers_of_a_dead_host_is_no_overrun() -> None:
    """Step 1 s, timeout 1.5 s: a lost ping is waited for through three steps, and each step has its round."""
    quick = Probe(name="quick", step=1.0, pings=1)
    run = Run([(1, quick)], finish=False)
    ended = 0
    for _ in range(300):
        run.go(0.1)
        while ended < len(run.handed) and run.handed[ended][1] + 3 * SECOND <= run.clock.wall:
            task, time, _ = run.handed[ended]
            now = Instant(run.clock.wall, run.clock.mono)
            late = run.schedule.finished(np.array([task], np.uint64), np.array([time]), now)
            assert not late.any()
            ended += 1
    assert len(run.handed) == pytest.approx(30, abs=1)
    assert run.schedule.overruns == 0


def test_an_engine_that_gives_nothing_back_is_not_given_ever_more() -> None:
    run = Run([(1, Probe(name="quick", step=1.0, pings=1))], finish=False)
    run.go(60)
    assert len(run.handed) == 4
    assert run.schedule.overruns == pytest.approx(56, abs=1)
    assert run.schedule.forget_running(np.array([0])) == 4
    assert len(run.go(3)) == 3


def test_unchanged_tasks_keep_place_and_state_through_a_new_assignment() -> None:
    run = Run([(n, MINUTE) for n in range(20)], finish=False)
    run.go(30)
    early = {task for task, _, _ in run.handed}
    changed = Probe(name="other", step=30.0)
    table = Timetable.of("boomer", [(n, MINUTE) for n in range(19, 4, -1)] + [(100, MINUTE), (3, changed)])
    run.schedule.apply(table, Instant(run.clock.wall, run.clock.mono))
    run.go(30)
    counts = Counter(task for task, _, _ in run.handed)
    assert all(counts[n] == 1 for n in range(5, 20)), "each once in its minute, none twice, none left out"
    assert counts[100] <= 1
    assert all(counts[n] == (n in early) for n in (0, 1, 2, 4))
    # Those that were running before the change still are: the next round comes when they may overlap no more.
    assert len(run.schedule) == 17


def test_a_new_rhythm_does_not_hand_out_the_same_instant_again() -> None:
    run = Run([(1, Probe(name="a", step=10.0, offset=0.0))])
    while not run.handed:
        run.go(0.1)
    run.schedule.apply(
        Timetable.of("boomer", [(1, Probe(name="a", step=5.0, offset=0.0))]), Instant(run.clock.wall, run.clock.mono)
    )
    run.go(20)
    assert len({time for _, time, _ in run.handed}) == len(run.handed)


def test_no_tasks_is_no_work() -> None:
    schedule, now = Schedule(), Instant(BEGIN, 0.0)
    schedule.apply(Timetable.of("boomer", []), now)
    assert len(schedule.due(now)) == 0
    assert schedule.next_in(now) == float("inf")
    assert schedule.finished(np.array([5], np.uint64), np.array([BEGIN]), now).tolist() == [False]


def test_rounds_of_tasks_that_are_gone_are_taken_back_all_the_same() -> None:
    run = Run([(1, MINUTE), (2, MINUTE)])
    now = Instant(run.clock.wall, run.clock.mono)
    run.schedule.apply(Timetable.of("boomer", [(2, MINUTE)]), now)
    assert run.schedule.finished(np.array([1, 2], np.uint64), np.array([BEGIN, BEGIN]), now).tolist() == [False, False]
