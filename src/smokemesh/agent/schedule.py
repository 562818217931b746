"""Which rounds are due, and when the next is. It is told the time, it never asks.

A round begins when the wall clock shows a whole multiple of the probe's step plus the task's phase, so agents keep
the same rhythm through restarts. Wall times are integer nanoseconds UTC, monotonic times and durations are seconds.
All state is columns, one row per task: finding what is due among 10,000 tasks is one comparison of two arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from smokemesh.model.probe import Probe

SECOND: Final = 1_000_000_000
#: Rounds are handed out this many seconds before they begin.
LOOKAHEAD: Final = 0.25
#: A round that could not begin on time still begins within this many seconds (or a tenth of its step) ...
GRACE: Final = 0.5
#: ... and what ends later than planned by this much did not end inside its step.
SLACK: Final = 0.25
#: A wall clock that moves this many seconds against the monotonic one between two looks was set.
JUMP: Final = 0.1
#: After the wall clock was set back, rounds whose instant was used before begin this much later, in nanoseconds.
NUDGE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks."""

    #: Nanoseconds UTC.
    wall: int
    #: Seconds on the monotonic clock.
    mono: float


def phase(agent: str, task: int, probe: Probe) -> int:
    """Where in the step the task's rounds begin, nanoseconds: as configured, else hashed to spread the load evenly."""
    step = round(probe.step * SECOND)
    if probe.offset is not None:
        return round(probe.offset * SECOND) % step
    digest = blake2b(f"{agent}\0{task}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") * step >> 64


@dataclass(frozen=True, slots=True, eq=False)
class Timetable:
    """What a schedule is made from: a row for each task. Durations are nanoseconds."""

    task: NDArray[np.uint64]
    step: NDArray[np.int64]
    phase: NDArray[np.int64]
    #: How long after its begin a round must have ended to be on time.
    allowed: NDArray[np.int64]
    #: Rounds of the task that may be running at once: later ones may begin while lost answers are waited for.
    most_running: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.task)

    @classmethod
    def of(cls, agent: str, tasks: Sequence[tuple[int, Probe]]) -> Self:
        """The timetable of (task number, probe) pairs."""
        rhythms = {probe: _rhythm(probe) for _, probe in tasks}
        step, allowed, most = np.array([rhythms[p] for _, p in tasks], np.int64).reshape(-1, 3).T
        return cls(
            task=np.array([task for task, _ in tasks], np.uint64),
            step=step,
            phase=np.array([phase(agent, task, probe) for task, probe in tasks], np.int64),
            allowed=allowed,
            most_running=most,
        )


def _rhythm(probe: Probe) -> tuple[int, int, int]:
    """Step, allowed duration (ns) and the most rounds at once.

    The wait for late answers may reach into the next step (step 1 s, timeout 1.5 s): that is no overrun and must not
    thin out the measurement of a dead host. Pings that are still being *sent* when the next round is due are.
    """
    sending = (probe.pings - 1) * probe.spacing
    fits = sending <= probe.step
    allowed = max(probe.step, probe.duration) if fits else probe.step
    most = 1 + int(np.ceil(probe.duration / probe.step)) if fits else 1
    return round(probe.step * SECOND), round((allowed + SLACK) * SECOND), most


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """Rounds to begin now: rows of the timetable, and the begin of each on both clocks."""

    rows: NDArray[np.intp]
    time: NDArray[np.int64]
    at: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


class Schedule:
    """The rounds of all tasks of one agent."""

    def __init__(self) -> None:
        self._table = Timetable.of("", ())
        #: Begin of the next round of each row; never one that was handed out already.
        self._next = np.zeros(0, np.int64)
        #: The latest slot ever handed out: below it, after a clock was set back, instants are used a second time.
        self._latest = np.zeros(0, np.int64)
        self._running = np.zeros(0, np.int64)
        #: Rows in the order of their task numbers, to find a task.
        self._order = np.zeros(0, np.intp)
        #: How often the clock was set back by more than a step.
        self._setbacks = 0
        self._wall = 0
        #: The wall clock less the monotonic one, seconds, and when (monotonic) it last jumped.
        self._offset, self._jumped_at = 0.0, float("-inf")
        #: Rounds that could not begin: the agent stood still, or the wall clock jumped over them.
        self.missed = 0
        #: Rounds that could not begin because the one before was still sending, or that ended too late.
        self.overruns = 0

    def __len__(self) -> int:
        return len(self._table)

    @property
    def table(self) -> Timetable:
        """The timetable in force."""
        return self._table

    def apply(self, table: Timetable, now: Instant) -> None:
        """Measure by `table` from now on. Tasks whose rhythm did not change keep their place and their state."""
        old, rows = self._table, self._find(table.task)
        known = rows >= 0
        safe = np.where(known, rows, 0)
        following = _following(table, now.wall, np.arange(len(table)))
        latest = np.zeros(len(table), np.int64)
        running = np.zeros(len(table), np.int64)
        if len(old):
            same = known & (old.step[safe] == table.step) & (old.phase[safe] == table.phase)
            following = np.where(same, self._next[safe], following)
            latest = np.where(known, self._latest[safe], 0)
            # A slot handed out ahead of its time under the old rhythm is not handed out again under the new one.
            again = (following <= latest) & (latest - now.wall <= round(LOOKAHEAD * SECOND))
            following = following + again * table.step
            running = np.where(known, self._running[safe], 0)
        self._table, self._next, self._latest, self._running = table, following, latest, running
        self._order = np.argsort(table.task, kind="stable")

    def due(self, now: Instant) -> Due:
        """Rounds that begin before `now` + LOOKAHEAD and were not handed out yet."""
        self._follow_clock(now)
        rows = np.flatnonzero(self._next <= now.wall + round(LOOKAHEAD * SECOND))
        if not len(rows):
            return Due(rows, np.zeros(0, np.int64), np.zeros(0))
        rows = self._skip_past(rows, now)
        slots, steps = self._next[rows], self._table.step[rows]
        self._next[rows] += steps
        free = self._running[rows] < self._table.most_running[rows]
        self.overruns += int((~free).sum())
        rows, slots = rows[free], slots[free]
        used = slots <= self._latest[rows]
        self._latest[rows] = np.maximum(self._latest[rows], slots)
        self._running[rows] += 1
        time = slots + used * (self._setbacks * NUDGE % self._table.step[rows])
        at = now.mono + np.maximum(time - now.wall, 0) / SECOND
        order = np.argsort(time, kind="stable")
        return Due(rows[order], time[order], at[order])

    def finished(self, tasks: NDArray[np.uint64], times: NDArray[np.int64], now: Instant) -> NDArray[np.bool_]:
        """Take back rounds that ended; which of them ended too late. Tasks no longer known are on time."""
        rows = self._find(tasks)
        known = rows >= 0
        np.subtract.at(self._running, rows[known], 1)
        np.maximum(self._running, 0, out=self._running)
        late = known.copy()
        allowed = self._table.allowed[rows[known]]
        # Across a jump of the wall clock nothing can be said of how long a round took.
        since_jump = (now.mono - self._jumped_at) * SECOND
        late[known] = (now.wall - times[known] > allowed) & (since_jump > allowed)
        self.overruns += int(late.sum())
        return late

    def abandon(self, rows: NDArray[np.intp]) -> None:
        """Take back rounds that were handed out and will not be run."""
        np.subtract.at(self._running, rows, 1)
        np.maximum(self._running, 0, out=self._running)

    def forget_running(self, rows: NDArray[np.intp]) -> int:
        """The rounds of these rows that were running are lost; how many."""
        lost = int(self._running[rows].sum())
        self._running[rows] = 0
        return lost

    def next_in(self, now: Instant) -> float:
        """Seconds until `due` has something to hand out; infinite without tasks."""
        if not len(self._next):
            return float("inf")
        return max(0.0, (int(self._next.min()) - now.wall) / SECOND - LOOKAHEAD)

    def _find(self, tasks: NDArray[np.uint64]) -> NDArray[np.intp]:
        """The row of each task, -1 where there is none."""
        known = self._table.task
        if not len(known):
            return np.full(len(tasks), -1, np.intp)
        place = np.searchsorted(known, tasks, sorter=self._order)
        rows = self._order[np.minimum(place, len(known) - 1)]
        return np.where(known[rows] == tasks, rows, -1)

    def _skip_past(self, rows: NDArray[np.intp], now: Instant) -> NDArray[np.intp]:
        """Leave out, and count, slots too long ago to be begun; returns the rows that are due all the same."""
        steps = self._table.step[rows]
        earliest = now.wall - np.minimum(round(GRACE * SECOND), steps // 10)
        behind = np.maximum(-(-(earliest - self._next[rows]) // steps), 0)
        self.missed += int(behind.sum())
        self._next[rows] += behind * steps
        return rows[self._next[rows] <= now.wall + round(LOOKAHEAD * SECOND)]

    def _follow_clock(self, now: Instant) -> None:
        """When the wall clock was set back by more than a step, measure on instead of waiting for it to catch up."""
        offset = now.wall / SECOND - now.mono
        if self._wall and abs(offset - self._offset) > JUMP:
            self._jumped_at = now.mono
        set_back = now.wall < self._wall
        self._offset, self._wall = offset, now.wall
        if not set_back:
            return
        ahead = self._next - now.wall > 2 * self._table.step
        if ahead.any():
            self._setbacks += 1
            rows = np.flatnonzero(ahead)
            self._next[rows] = _following(self._table, now.wall, rows)


def _following(table: Timetable, wall: int, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """The first slot of each row at or after `wall`."""
    step, begin = table.step[rows], table.phase[rows]
    slots: NDArray[np.int64] = -(-(wall - begin) // step) * step + begin
    return slots
