"""Rounds and pings under way, as columns: what is due, what was answered, what has become of each ping.

Knows neither sockets nor clocks: the time is passed in. Rows of rounds and of pings are used again once their round was
taken. Monotonic times are seconds for planning and integer nanoseconds where RTTs are made from them.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.model.rounds import COLUMNS, Flag, RoundBatch

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: What has become of a ping.
WAITING, SENT, ANSWERED, FAILED, REFUSED, LEFT_OUT = range(6)
#: A ping put off by a busy machine is made up for, but pings of a round never follow closer than this share of
#: their spacing: catching up must not become a burst.
_LEAST_SHARE: Final = 0.9
#: No RTT is shorter; keeps a clock reading taken a little after the packet left from making one zero.
_LEAST_RTT: Final = 1e-6
#: Seconds by which an answer may seem to come before its ping was sent; more, and the clock was set in between.
_CLOCK_NOISE: Final = 0.005


class Event(IntEnum):
    """What a watcher is told of pings; the value that comes with it."""

    #: Monotonic seconds.
    SENT = 1
    #: The RTT in seconds; the same for a second answer.
    ANSWERED = 2
    DUPLICATE = 3
    #: The error as in `RoundBatch.error`: an ICMP error came, or the ping could not be sent.
    FAILED = 4
    REFUSED = 5


#: Called with the event, the tasks, the index of each ping in its round, and the values.
Watcher = Callable[[Event, NDArray[np.uint64], Rows, NDArray[np.float64]], None]


class _Columns:
    kinds: ClassVar[dict[str, Any]]

    def __init__(self) -> None:
        self.high = 0
        self.capacity = 0
        for name, kind in self.kinds.items():
            setattr(self, name, np.zeros(0, kind))

    def extend(self, count: int) -> int:
        """Make room for `count` more rows at the end; the first of them."""
        first, self.high = self.high, self.high + count
        if self.high > self.capacity:
            self.capacity = max(1024, self.high, self.capacity + self.capacity // 2)
            for name, kind in self.kinds.items():
                grown = np.zeros(self.capacity, kind)
                grown[:first] = getattr(self, name)[:first]
                setattr(self, name, grown)
        return first


class Rounds(_Columns):
    """One row per round."""

    kinds: ClassVar[dict[str, Any]] = {
        "task": "u8", "time": "i8", "step": "f4", "at": "f8", "spacing": "f8", "timeout": "f8", "patience": "f8",
        "wake": "f8", "pings": "i4", "next": "i4", "base": "i8", "settled": "i4", "answered": "i4", "late": "i4",
        "duplicates": "i4", "reordered": "i4", "corrupted": "i4", "errors": "i4", "left_out": "i4", "highest": "i4",
        "error": "u4", "flags": "u4", "profile": "i4", "scratch": "i4", "name": ("u1", 28), "address": ("u1", 16),
    }  # fmt: skip
    task: NDArray[np.uint64]
    time: Rows
    step: NDArray[np.float32]
    at: NDArray[np.float64]
    spacing: NDArray[np.float64]
    timeout: NDArray[np.float64]
    patience: NDArray[np.float64]
    #: When something is to be done: the next ping sent, or the round finished. Infinite while nothing is.
    wake: NDArray[np.float64]
    pings: NDArray[np.int32]
    #: Pings sent or refused so far: the index of the next one.
    next: NDArray[np.int32]
    #: Row of the first ping.
    base: Rows
    #: Pings about which nothing more is awaited.
    settled: NDArray[np.int32]
    answered: NDArray[np.int32]
    late: NDArray[np.int32]
    duplicates: NDArray[np.int32]
    reordered: NDArray[np.int32]
    corrupted: NDArray[np.int32]
    errors: NDArray[np.int32]
    left_out: NDArray[np.int32]
    #: The highest ping answered so far, -1 for none.
    highest: NDArray[np.int32]
    error: NDArray[np.uint32]
    flags: NDArray[np.uint32]
    #: Number of the profile, the engine's; -1 for a free row.
    profile: NDArray[np.int32]
    scratch: NDArray[np.int32]
    #: Destination as `struct sockaddr_in` or `sockaddr_in6`, and as in `RoundBatch.address`.
    name: NDArray[np.uint8]
    address: NDArray[np.uint8]


class Pings(_Columns):
    """One row per ping; those of a round stand side by side."""

    kinds: ClassVar[dict[str, Any]] = {
        "round": "i4", "state": "u1", "exact": "?", "doubtful": "?", "sent": "i8", "number": "i8", "key": "i8", "rtt": "f4", "scratch": "i4",
    }  # fmt: skip
    round: NDArray[np.int32]
    state: NDArray[np.uint8]
    #: When it was sent, monotonic nanoseconds; `exact` when the kernel said so.
    sent: Rows
    exact: Mask
    #: Under way while the host slept or its clock was set: left out unless it is answered.
    doubtful: Mask
    #: Number of the ping in its payload.
    number: Rows
    #: Channel, identifier and sequence number as one; -1 when not in flight.
    key: Rows
    rtt: NDArray[np.float32]
    scratch: NDArray[np.int32]


class Flight:
    """All rounds under way."""

    def __init__(self, grace: float, watcher: Watcher | None = None) -> None:
        self.watcher = watcher
        #: Seconds a fully answered round still waits for duplicates.
        self.grace = grace
        self.rounds, self.pings = Rounds(), Pings()
        self._free_rounds: list[int] = []
        #: Rows of pings free again, by pings per round.
        self._free_pings: dict[int, list[int]] = {}
        self._finished: list[Rows] = []
        self.busy = 0
        #: Pings sent and neither answered nor given up.
        self.pending = 0
        #: Pings answered since the beginning.
        self.total_answered = 0

    def add(self, columns: dict[str, Any]) -> Rows:
        """Begin rounds; `columns` gives task, time, step, at, spacing, timeout, patience, pings, profile, name, address."""
        count = len(columns["task"])
        rows = self._take_rounds(count)
        for name, values in columns.items():
            getattr(self.rounds, name)[rows] = values
        r = self.rounds
        r.wake[rows] = r.at[rows]
        for name in ("next", "settled", "answered", "late", "duplicates", "reordered", "corrupted", "errors",
                     "left_out", "error", "flags"):  # fmt: skip
            getattr(r, name)[rows] = 0
        r.highest[rows] = -1
        for pings, mine in groups(r.pings[rows]):
            self._take_pings(rows[mine], pings)
        self.busy += count
        return rows

    def _take_rounds(self, count: int) -> Rows:
        reused = self._free_rounds[-count:]
        del self._free_rounds[-count:]
        first = self.rounds.extend(count - len(reused))
        return np.concatenate([np.array(reused, np.int64), np.arange(first, self.rounds.high)])

    def _take_pings(self, rows: Rows, pings: int) -> None:
        free = self._free_pings.setdefault(pings, [])
        reused = free[-len(rows) :]
        del free[-len(rows) :]
        new = len(rows) - len(reused)
        first = self.pings.extend(new * pings)
        base = np.concatenate([np.array(reused, np.int64), first + pings * np.arange(new)])
        self.rounds.base[rows] = base
        p, at = self.pings, base[:, np.newaxis] + np.arange(pings)
        p.round[at] = rows[:, np.newaxis]
        p.state[at], p.key[at], p.rtt[at], p.doubtful[at] = WAITING, -1, np.nan, False

    def due(self, now: float) -> tuple[Rows, Rows]:
        """Rounds whose next ping is due, the longest overdue first, and rounds that are over."""
        r = self.rounds
        rows = np.flatnonzero(r.wake[: r.high] <= now)
        if not len(rows):
            return rows, rows
        more = r.next[rows] < r.pings[rows]
        sending = rows[more]
        return sending[np.argsort(r.wake[sending], kind="stable")], rows[~more]

    def next_wake(self) -> float:
        """When something is due next; infinite when nothing is under way."""
        return float(self.rounds.wake[: self.rounds.high].min(initial=np.inf))

    def next_pings(self, rows: Rows) -> Rows:
        """The rows of the pings these rounds send next."""
        return self.rounds.base[rows] + self.rounds.next[rows]

    def sent(self, rows: Rows, times: Rows, keys: Rows, numbers: Rows) -> None:
        """The next ping of these rounds was sent."""
        p, pings = self.pings, self.next_pings(rows)
        p.sent[pings], p.key[pings], p.number[pings], p.state[pings] = times, keys, numbers, SENT
        p.exact[pings] = False
        self.pending += len(rows)
        seconds = times.astype(np.float64) * 1e-9
        self._tell(Event.SENT, pings, seconds)
        self._advance(rows, seconds)

    def interpolate(self, pings: Rows, known: Rows, longest: int) -> None:
        """Of pings sent one after another the kernel told when those at `known` left: reckon the others from them.

        Where two of them lie more than `longest` ns apart, another process ran in between: nothing is known of those.
        """
        p = self.pings
        known = known[p.exact[pings[known]]]
        if len(known) < 2:
            return
        times = p.sent[pings[known]]
        between = pings[known[0] : known[-1] + 1]
        reckoned = np.interp(np.arange(known[0], known[-1] + 1), known, times)
        smooth = np.append(np.repeat(np.diff(times) <= longest, np.diff(known)), False)
        p.sent[between[smooth]] = reckoned[smooth]

    def refused(self, rows: Rows, error: int, now: float) -> None:
        """The next ping of these rounds could not be sent: `error` as in `RoundBatch.error`."""
        r = self.rounds
        pings = self.next_pings(rows)
        self.pings.state[pings] = REFUSED
        self._tell(Event.REFUSED, pings, np.full(len(rows), float(error)))
        self._add_error(rows, np.full(len(rows), error), Flag.SEND_ERROR)
        r.settled[rows] += 1
        self._advance(rows, np.full(len(rows), now))
        done = rows[r.settled[rows] == r.pings[rows]]
        r.wake[done] = now + np.where(r.answered[done] > 0, self.grace, 0.0)

    def refuse_rounds(self, rows: Rows, error: int) -> None:
        """No ping of these rounds can be sent: they are over."""
        r = self.rounds
        for pings, mine in groups(r.pings[rows]):
            self.pings.state[r.base[rows[mine], np.newaxis] + np.arange(pings)] = REFUSED
        self._add_error(rows, np.full(len(rows), error), Flag.SEND_ERROR)
        r.errors[rows] = r.settled[rows] = r.next[rows] = r.pings[rows]
        self.finish(rows)

    def put_off(self, rows: Rows, until: float) -> None:
        """The next ping of these rounds is tried again at `until`."""
        self.rounds.wake[rows] = until

    def _advance(self, rows: Rows, at: NDArray[np.float64]) -> None:
        """Plan what comes after a ping sent (or refused) `at`."""
        r = self.rounds
        done = r.next[rows] + 1
        r.next[rows] = done
        spacing = r.spacing[rows]
        planned = np.maximum(r.at[rows] + done * spacing, at + _LEAST_SHARE * spacing)
        last = done >= r.pings[rows]
        r.wake[rows] = np.where(last, at + r.patience[rows], planned)

    def answered(self, pings: Rows, arrived: Rows, trusted: Mask, now: float) -> int:
        """Undamaged answers in order of arrival, monotonic nanoseconds; how many of them came too late to count."""
        r, p = self.rounds, self.pings
        rows = p.round[pings]
        rtts = (arrived - p.sent[pings]) * 1e-9
        trusted = trusted & (rtts > -_CLOCK_NOISE)
        rtts = np.maximum(rtts, _LEAST_RTT)
        fresh = self._first_answers(pings)
        good = fresh & trusted & (rtts <= r.patience[rows])
        lost = 0
        if not good.all():
            self._count(r.duplicates, rows[~fresh], Flag.DUPLICATE)
            self._tell(Event.DUPLICATE, pings[~fresh], rtts[~fresh])
            self._leave_out(pings[fresh & ~trusted], now)
            lost = int((fresh & trusted & ~good).sum())
            pings, rows, rtts = pings[good], rows[good], rtts[good]
        self._withdraw_errors(pings, rows)
        p.state[pings], p.rtt[pings] = ANSWERED, rtts
        self._tell(Event.ANSWERED, pings, rtts)
        self.total_answered += len(rows)
        self._count(r.late, rows[rtts > r.timeout[rows]], Flag.LATE)
        self._count(r.reordered, rows[self._overtaken(pings, rows)], Flag.REORDERED)
        self._add(r.answered, rows)
        self._settle(rows, now)
        return lost

    def _first_answers(self, pings: Rows) -> Mask:
        """Which answers are the first to their ping."""
        p = self.pings
        order = np.arange(len(pings), dtype=np.int32)
        p.scratch[pings[::-1]] = order[::-1]  # of several assignments to one place NumPy keeps the last
        state = p.state[pings]
        return (p.scratch[pings] == order) & ((state == SENT) | (state == FAILED))

    def _withdraw_errors(self, pings: Rows, rows: NDArray[np.int32]) -> None:
        """An ICMP error came first, but the ping was answered after all."""
        failed = self.pings.state[pings] == FAILED
        if failed.any():
            np.subtract.at(self.rounds.errors, rows[failed], 1)

    def _overtaken(self, pings: Rows, rows: NDArray[np.int32]) -> Mask:
        """Which answers came after the answer to a later ping of their round (RFC 4737 section 3.3)."""
        r = self.rounds
        index = (pings - r.base[rows]).astype(np.int32)
        if self._all_different(rows):  # one answer per round, as it is nearly always
            before = r.highest[rows]
            r.highest[rows] = np.maximum(before, index)
            return index < before
        sorting = np.argsort(rows, kind="stable")
        row, k = rows[sorting], index[sorting]
        # The running maximum within each round: rounds ascend, so lifted by its row each starts above all before it.
        lift = row.astype(np.int64) << 20
        highest = np.append(0, np.maximum.accumulate(lift + k)[:-1]) - lift
        overtaken = np.zeros(len(rows), bool)
        overtaken[sorting] = k < np.maximum(highest, r.highest[row])
        np.maximum.at(r.highest, row, k)
        return overtaken

    def failed(self, pings: Rows, errors: Rows) -> Mask:
        """ICMP errors about pings; which of them were the first answer of any kind."""
        fresh = self._first_answers(pings) & (self.pings.state[pings] == SENT)
        self.pings.state[pings[fresh]] = FAILED
        self._tell(Event.FAILED, pings[fresh], errors[fresh].astype(np.float64))
        self._add_error(self.pings.round[pings[fresh]], errors[fresh], Flag.ICMP_ERROR)
        return fresh

    def corrupted(self, pings: Rows) -> None:
        """Answers that came back damaged."""
        self._count(self.rounds.corrupted, self.pings.round[pings], Flag.CORRUPTED)

    def flag(self, flag: Flag, where: Mask | None = None) -> None:
        """Mark the rounds under way that have sent something, or those of them given by a mask over `profile`."""
        r = self.rounds
        rows = np.flatnonzero((r.wake[: r.high] < np.inf) & (r.next[: r.high] > 0))
        if where is not None:
            rows = rows[where[r.profile[rows]]]
        r.flags[rows] |= np.uint32(flag)

    def doubt(self, since: int) -> None:
        """The wall clock moved against the monotonic one some time after `since`, monotonic nanoseconds.

        A suspended host looks like that too: it hears no answers, and the monotonic clock stands still. A ping that
        could have been answered meanwhile and never is says nothing of the network.
        """
        self.flag(Flag.CLOCK_STEPPED)
        p = self.pings
        pings = np.flatnonzero((p.state[: p.high] == SENT) & (p.key[: p.high] >= 0))
        patience = self.rounds.patience[p.round[pings]] * 1e9
        p.doubtful[pings[p.sent[pings] + patience >= since]] = True

    def finish(self, rows: Rows) -> None:
        """These rounds are over."""
        if not len(rows):
            return
        r, p = self.rounds, self.pings
        r.wake[rows] = np.inf
        unanswered = r.pings[rows] - r.settled[rows]
        self.pending -= int(unanswered.sum())
        for pings, mine in groups(r.pings[rows]):
            at = r.base[rows[mine], np.newaxis] + np.arange(pings)
            p.key[at] = -1
            if (r.flags[rows[mine]] & Flag.CLOCK_STEPPED).any():
                doubtful = p.doubtful[at] & (p.state[at] == SENT)
                p.state[at[doubtful]] = LEFT_OUT
                r.left_out[rows[mine]] += doubtful.sum(axis=1, dtype=np.int32)
        self._finished.append(rows)
        self.busy -= len(rows)

    def take(self) -> RoundBatch:
        """The rounds finished since the last call."""
        if not self._finished:
            return RoundBatch.empty()
        rows = np.concatenate(self._finished)
        self._finished.clear()
        r, p = self.rounds, self.pings
        counts = r.pings[rows].astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        at = np.repeat(r.base[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        columns: dict[str, Any] = {name: getattr(r, name)[rows] for name in COLUMNS if name in r.kinds}
        columns |= {"sent": r.pings[rows] - r.left_out[rows], "received": r.answered[rows], "address": r.address[rows]}
        # As wide as they travel: a host may be answered more often than can be counted there.
        columns |= {name: np.minimum(getattr(r, name)[rows], 0xFFFF) for name in ("duplicates", "corrupted")}
        columns["rtts"] = p.rtt[at][p.state[at] != LEFT_OUT]
        batch = RoundBatch.from_columns(len(rows), columns)
        self._free(rows)
        return batch

    def _free(self, rows: Rows) -> None:
        r = self.rounds
        r.profile[rows] = -1
        self._free_rounds.extend(rows.tolist())
        for pings, mine in groups(r.pings[rows]):
            self._free_pings.setdefault(pings, []).extend(r.base[rows[mine]].tolist())

    def _leave_out(self, pings: Rows, now: float) -> None:
        """Answered, but when cannot be known: the ping does not count at all."""
        rows = self.pings.round[pings]
        self._withdraw_errors(pings, rows)
        self.pings.state[pings] = LEFT_OUT
        self._count(self.rounds.left_out, rows, Flag.CLOCK_STEPPED)
        self._settle(rows, now)

    def _settle(self, rows: NDArray[np.int32], now: float) -> None:
        r = self.rounds
        self.pending -= len(rows)
        self._add(r.settled, rows)
        done = rows[r.settled[rows] == r.pings[rows]]
        if len(done):
            r.wake[done] = np.minimum(r.wake[done], now + self.grace)

    def _add(self, column: NDArray[np.int32], rows: Rows | NDArray[np.int32]) -> None:
        """One more for each row, for as often as it occurs."""
        if self._all_different(rows):
            column[rows] += 1
        else:
            np.add.at(column, rows, 1)

    def _all_different(self, rows: Rows | NDArray[np.int32]) -> bool:
        order = np.arange(len(rows), dtype=np.int32)
        self.rounds.scratch[rows] = order
        return bool((self.rounds.scratch[rows] == order).all())

    def _tell(self, event: Event, pings: Rows, values: NDArray[np.float64]) -> None:
        if self.watcher is not None and len(pings):
            rows = self.pings.round[pings]
            self.watcher(event, self.rounds.task[rows], pings - self.rounds.base[rows], values)

    def _count(self, column: NDArray[np.int32], rows: Rows | NDArray[np.int32], flag: Flag) -> None:
        if len(rows):
            self._add(column, rows)
            self.rounds.flags[rows] |= np.uint32(flag)

    def _add_error(self, rows: Rows | NDArray[np.int32], errors: Rows, flag: Flag) -> None:
        """Count errors, and keep the first of each round."""
        r = self.rounds
        unset = r.error[rows] == 0
        r.error[rows[unset][::-1]] = errors[unset][::-1]  # of several for one round NumPy keeps the last: the first
        self._count(r.errors, rows, flag)


def groups(values: NDArray[np.int32]) -> Iterator[tuple[int, slice | Rows]]:
    """Each different value and where it stands; mostly all are alike, and then nothing is copied."""
    if len(values) and (values == values[0]).all():
        yield int(values[0]), slice(None)
        return
    for value in sorted(set(values.tolist())):  # np.unique would import numpy.ma, which is slow
        yield value, np.flatnonzero(values == value)
