"""The prober thread: what is due goes to the engines, what they finish goes to the spool.

It works in ticks of TICK seconds and never waits for a disk, a name server or a master: the plan is handed in ready
made, finished rounds are handed out to memory. Whatever an engine does, the thread goes on.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from smokemesh.agent.limits import Fence, Pacer
from smokemesh.agent.plan import Plan, Row
from smokemesh.agent.schedule import Due, Instant, Schedule
from smokemesh.errors import SmokemeshError
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.probes.engine import Engine, EngineCounters, RoundRequest
from smokemesh.settings.shape import Limits

TICK: Final = 0.05
#: A tick that took longer than this many seconds is logged: the host stood still, or is overloaded.
STALL: Final = 1.0
#: A wall clock that moved this many seconds against the monotonic one was set.
CLOCK_STEP: Final = 0.1
#: That rounds are left out to keep to a rate is said this often, seconds.
LIMIT_INTERVAL: Final = 60.0
#: Waits before an engine that failed is made again, seconds.
LEAST_REPAIR, MOST_REPAIR = 1.0, 60.0

log = logging.getLogger("smokemesh.prober")

MakeEngine = Callable[[str], Engine]


@dataclass(slots=True)
class Tally:
    """What the prober has done since it was made. Written by its thread, read by others."""

    ticks: int = 0
    rounds: int = 0
    unresolved: int = 0
    #: Rounds hit by packets this host dropped.
    own_drops: int = 0
    #: Rounds of tasks the safety limits refuse.
    refused: int = 0
    #: Rounds that were due while their engine was out of order, or that it took with it.
    engine_lost: int = 0
    engine_failures: int = 0
    stalls: int = 0
    clock_steps: int = 0
    #: Monotonic time of the latest tick: a watchdog's pulse.
    pulse: float = 0.0
    #: The latest fault, and its monotonic time.
    last_error: str = ""
    failed_at: float = 0.0
    #: The latest round left out to keep to a rate, its reason and its monotonic time.
    limit: str = ""
    limited_at: float = 0.0


class EngineSlot:
    """The engine of one kind of probe: made when first needed, and made again after it failed."""

    def __init__(self, kind: str, make: MakeEngine) -> None:
        self.kind, self._make = kind, make
        self.engine: Engine | None = None
        self._retry_at, self._wait = 0.0, LEAST_REPAIR
        #: Counters of engines that are no more.
        self._past = EngineCounters()

    def ready(self, now: float) -> Engine | None:
        """The engine; None while it cannot be had. Raises what making it raised."""
        if self.engine is None and now >= self._retry_at:
            self._retry_at, self._wait = now + self._wait, min(2 * self._wait, MOST_REPAIR)
            self.engine = self._make(self.kind)
        return self.engine

    def healthy(self) -> None:
        """Work was done: the next failure is met with the shortest wait again."""
        self._wait = LEAST_REPAIR

    def drop(self, now: float) -> None:
        """Throw a failed engine away; a new one is made after a wait."""
        broken, self.engine = self.engine, None
        self._retry_at = now + self._wait
        if broken is not None:
            self._past = _add(self._past, broken.counters())
            broken.close()

    def counters(self) -> EngineCounters:
        """What all engines of this kind have done."""
        return _add(self._past, self.engine.counters()) if self.engine else self._past


def _add(a: EngineCounters, b: EngineCounters) -> EngineCounters:
    return EngineCounters(*(getattr(a, name) + getattr(b, name) for name in EngineCounters.__slots__))


def read_clocks() -> Instant:
    """Both clocks, read as close together as possible."""
    return Instant(time.time_ns(), time.monotonic())


class Prober:
    """Runs the plan. `offer` and `counters` may be called from any thread, the rest is its own thread's."""

    def __init__(
        self,
        limits: Limits,
        deliver: Callable[[RoundBatch], None],
        make_engine: MakeEngine,
        clocks: Callable[[], Instant] = read_clocks,
    ) -> None:
        self._pacer, self._deliver, self._make, self._clocks = Pacer(limits), deliver, make_engine, clocks
        self._schedule = Schedule()
        self._plan: Plan | None = None
        self._offered: tuple[Plan, Limits] | None = None
        self._offer_lock = threading.Lock()
        self._slots: dict[str, EngineSlot] = {}
        self._offset = 0.0
        self._fence = Fence(limits)
        self.tally = Tally()

    def offer(self, plan: Plan, limits: Limits) -> None:
        """Measure by this plan from the next tick on."""
        with self._offer_lock:
            self._offered = (plan, limits)

    def permit(self, address: str) -> str:
        """Why an address that an engine came upon may not be measured, "" when it may. For `make_engine`."""
        return self._fence.refuse(address)

    def prepare(self, kind: str) -> None:
        """Make the engine of a kind now, so that what this host forbids is told at once."""
        self._slot(kind).ready(self._clocks().mono)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        try:
            while not stop.is_set():
                self._tick_safely(stop)
        finally:
            for slot in self._slots.values():
                if slot.engine is not None:
                    slot.engine.close()

    def counters(self) -> EngineCounters:
        """The sum over all engines."""
        total = EngineCounters()
        for slot in list(self._slots.values()):
            total = _add(total, slot.counters())
        return total

    def engines(self) -> str:
        """How the engines reach the network."""
        slots = list(self._slots.values())
        return " ".join(slot.engine.describe() if slot.engine else f"{slot.kind}=failed" for slot in slots)

    @property
    def plan(self) -> Plan | None:
        """The plan in force."""
        return self._plan

    @property
    def overruns(self) -> int:
        """Rounds that could not begin or end inside their step."""
        return self._schedule.missed + self._schedule.overruns + self.tally.engine_lost

    @property
    def limited(self) -> int:
        """Rounds left out because of the safety limits."""
        return self._pacer.refused + self.tally.refused

    def _tick_safely(self, stop: threading.Event) -> None:
        try:
            self.tick(stop)
        except Exception as error:  # noqa: BLE001  # whatever it is, the other rounds must be measured
            self._fail(f"prober: {_line(error)}", error)
            stop.wait(LEAST_REPAIR)

    def tick(self, stop: threading.Event) -> None:
        """Begin what is due, work for TICK seconds, hand on what is finished."""
        now = self._clocks()
        self._watch(now)
        self._take_offer(now)
        due = self._schedule.due(now)
        if len(due):
            self._begin(due, now)
        until = now.mono + TICK
        for slot, end in self._shares(now.mono):
            self._run(slot, end)
        rest = until - self._clocks().mono
        if rest > 0:
            # The engines had nothing to do; no round is due before the next tick that LOOKAHEAD would not foresee.
            stop.wait(rest)
        self.tally.ticks += 1

    def _shares(self, now: float) -> list[tuple[EngineSlot, float]]:
        """The engines, and until when each may work; those with a thread of their own take none of this one's time."""
        slots = [(slot, slot.engine) for slot in self._slots.values() if slot.engine is not None]
        sharing = [slot for slot, engine in slots if not engine.apart]
        apart = [(slot, now) for slot, engine in slots if engine.apart]
        return apart + [(slot, now + TICK * (i + 1) / len(sharing)) for i, slot in enumerate(sharing)]

    def _watch(self, now: Instant) -> None:
        """Notice a host that stood still and a clock that was set."""
        tally = self.tally
        if tally.pulse and now.mono - tally.pulse > STALL:
            tally.stalls += 1
            log.warning("prober stood still: seconds=%.1f", now.mono - tally.pulse)
        offset = now.wall / 1e9 - now.mono
        if tally.pulse and abs(offset - self._offset) > CLOCK_STEP:
            tally.clock_steps += 1
            log.warning("wall clock was set: seconds=%+.3f", offset - self._offset)
        tally.pulse, self._offset = now.mono, offset

    def _take_offer(self, now: Instant) -> None:
        if self._offered is None:
            return
        with self._offer_lock:
            (plan, limits), self._offered = self._offered, None
        self._plan = plan
        self._pacer.limits, self._fence = limits, Fence(limits)
        self._schedule.apply(plan.timetable, now)

    def _begin(self, due: Due, now: Instant) -> None:
        """Hand due rounds to their engines; those that cannot run are counted, each for its own reason."""
        assert self._plan is not None
        requests: dict[str, list[RoundRequest]] = {}
        waiting: dict[str, list[int]] = {}
        left_out: list[int] = []
        unresolved: list[tuple[Row, int]] = []
        for index, begin, at in zip(due.rows.tolist(), due.time.tolist(), due.at.tolist(), strict=True):
            row = self._plan.row(index)
            start = self._pace(row, at)
            if start is None:
                left_out.append(index)
                if row.error:
                    unresolved.append((row, begin))
                continue
            begin += round((start - at) * 1e9)
            waiting.setdefault(row.probe.kind, []).append(index)
            request = RoundRequest(row.task, begin, start, row.address, row.probe, row.host)
            requests.setdefault(row.probe.kind, []).append(request)
        for kind, rounds in requests.items():
            if not self._start(self._slot(kind), rounds, now):
                left_out += waiting[kind]
        self._schedule.abandon(np.array(left_out, np.intp))
        if unresolved:
            self.tally.unresolved += len(unresolved)
            self._hand_on(_unresolved(unresolved))

    def _pace(self, row: Row, at: float) -> float | None:
        """When the round begins, None when it must not or cannot."""
        if row.refused:
            self.tally.refused += 1
            return None
        if not (row.address or row.bare):
            # Counted with the unresolved rounds, or as missed while the very first look-up is still going on.
            self._schedule.missed += row.error == 0
            return None
        start = self._pacer.begin(row.address or row.host, row.probe, at, shared=row.shared)
        if start is None:
            self._note_limit(self._pacer.reason, at)
        return start

    def _note_limit(self, reason: str, now: float) -> None:
        """Rounds are left out by the hundred when they are: one line a minute says it."""
        tally = self.tally
        if now - tally.limited_at > LIMIT_INTERVAL or not tally.limit:
            log.warning("rounds limited: reason=%r total=%d", reason, self.limited)
            tally.limit, tally.limited_at = reason, now

    def _slot(self, kind: str) -> EngineSlot:
        if kind not in self._slots:
            self._slots[kind] = EngineSlot(kind, self._make)
        return self._slots[kind]

    def _start(self, slot: EngineSlot, rounds: list[RoundRequest], now: Instant) -> bool:
        try:
            engine = slot.ready(now.mono)
            if engine is not None:
                engine.start(rounds)
                return True
        except Exception as error:  # noqa: BLE001
            self._engine_failed(slot, error)
        self.tally.engine_lost += len(rounds)
        return False

    def _run(self, slot: EngineSlot, until: float) -> None:
        assert slot.engine is not None
        try:
            slot.engine.run(until)
            batch = slot.engine.take()
        except Exception as error:  # noqa: BLE001
            self._engine_failed(slot, error)
            return
        if len(batch):
            slot.healthy()
            self._finish(batch)

    def _finish(self, batch: RoundBatch) -> None:
        late = self._schedule.finished(batch.task, batch.time, self._clocks())
        if late.any():
            batch = replace(batch, flags=batch.flags | np.where(late, int(Flag.OVERRUN), 0).astype("<u4"))
        self.tally.own_drops += int(((batch.flags & int(Flag.OWN_DROPS)) != 0).sum())
        self._hand_on(batch)

    def _hand_on(self, batch: RoundBatch) -> None:
        self.tally.rounds += len(batch)
        self._deliver(batch)

    def _engine_failed(self, slot: EngineSlot, error: Exception) -> None:
        """Count what the engine took with it, throw it away and go on."""
        self.tally.engine_failures += 1
        if slot.engine is not None:
            rows = self._plan.of_kind(slot.kind) if self._plan else np.zeros(0, np.intp)
            self.tally.engine_lost += self._schedule.forget_running(rows)
        try:
            slot.drop(self._clocks().mono)
        except Exception as worse:  # noqa: BLE001
            log.warning("engine did not close: kind=%s error=%r", slot.kind, _line(worse))
        self._fail(f"{slot.kind} engine: {_line(error)}", error)

    def _fail(self, line: str, error: Exception) -> None:
        self.tally.last_error, self.tally.failed_at = line, self._clocks().mono
        # A fault we can explain is one line; one we cannot is ours, and its place is needed to mend it.
        log.error(
            "measuring hindered: error=%r",
            line,
            exc_info=None if isinstance(error, (SmokemeshError, OSError)) else error,
        )


def _line(error: Exception) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, SmokemeshError) else f"{type(error).__name__}: {text}"


def _unresolved(rounds: list[tuple[Row, int]]) -> RoundBatch:
    """Rounds of names without an address: nothing was sent, and the reason stands in them."""
    return RoundBatch.from_columns(
        len(rounds),
        {
            "task": [row.task for row, _ in rounds],
            "time": [begin for _, begin in rounds],
            "step": [row.probe.step for row, _ in rounds],
            "error": [row.error for row, _ in rounds],
            "flags": [int(Flag.UNRESOLVED)] * len(rounds),
        },
    )
