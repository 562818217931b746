"""The common part of every engine but ICMP's: paces the pings of many rounds, keeps their time, gathers their rounds.

A paced engine works in a thread of its own (`probes.loop`), so that what another engine does is not measured along. A ping
that is not over when the next of its round is due runs beside it; there is room for so many in all, and what finds none
waits or is left out: this host's own lack is never the network's loss. Times are seconds on the monotonic clock.
"""

import contextlib
import errno
import logging
import math
import resource
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_ICMP6, ERROR_RESOLVE, Flag, RoundBatch
from smokemesh.probes.engine import EngineCounters, Permit, RoundRequest, anyone
from smokemesh.probes.flight import Event, Watcher
from smokemesh.probes.loop import Loop

#: Pings of a round never follow each other closer than this share of their spacing: catching up is no burst.
_LEAST_SHARE: Final = 0.9
#: While pings are under way the thread looks at the clock this often: so it knows that it was standing still.
_LOOK: Final = 0.05
#: Pings that waited and begin between two looks at what has arrived.
_MOST_AT_ONCE: Final = 64
#: What a machine out of files or memory says: the ping is begun again after `_RETRY` seconds.
_OUR_OWN_LACK: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN)
_RETRY: Final = 0.02
#: Files the process may open, as far as it is ours to decide.
_FILES: Final = 16_384

log = logging.getLogger("smokemesh.probes")


@dataclass(slots=True, eq=False)
class Round:
    """One round under way."""

    request: RoundRequest
    #: Attempts it takes; one when a single run measures the whole round.
    attempts: int
    #: Later than this no ping of it is begun.
    closes: float
    #: RTTs in the order sent, NaN for lost.
    rtts: list[float]
    begun: int = 0
    ended: int = 0
    late: int = 0
    errors: int = 0
    error: int = 0
    flags: int = 0
    #: Pings that do not count at all: not begun in time, or their time cannot be trusted.
    left_out: set[int] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Attempt:
    """One ping under way, or one run that measures a whole round."""

    round: Round
    index: int
    #: When it was begun, and when it is given up.
    begun: float
    deadline: float
    #: It has ended: nothing more is counted.
    over: bool = False
    #: This host stood still while it was under way.
    disturbed: bool = False
    #: The subclass's own, a socket for instance.
    state: object = None

    @property
    def request(self) -> RoundRequest:
        """The round it belongs to, as asked for."""
        return self.round.request

    @property
    def probe(self) -> Probe:
        """The probe it belongs to."""
        return self.round.request.probe


class PacedEngine(Loop, ABC):
    """Rounds whose pings a subclass begins and ends. `start`, `run`, `take` and `close` are one owner's; all hooks and
    protected methods run in the engine's own thread.

    A subclass has `begin` (start an attempt, never block) and calls `end` once for each; `give_up` frees what an attempt
    that was not answered in its patience still holds. An OSError raised by `begin` is that ping's error.
    """

    kind: ClassVar[str] = "paced"
    #: Attempts under way at the same time, in all.
    most_open: ClassVar[int] = 512
    #: Least seconds between the begins of any two attempts: bursts whose handling would be measured along are spread.
    gap: ClassVar[float] = 0.0
    #: The prober need not give it time: it works by itself.
    apart: Final = True

    def __init__(self, *, permit: Permit = anyone, watcher: Watcher | None = None) -> None:
        """`permit` is asked about addresses that the agent has not seen; `watcher` is told of every ping, in `run`."""
        super().__init__(self.kind)
        self.permit = permit
        self._watcher = watcher
        self._told: deque[tuple[Event, int, int, float]] = deque()
        self._orders: deque[RoundRequest] = deque()
        self._finished: deque[Round] = deque()
        self._count_lock = threading.Lock()
        self._idle = threading.Event()
        self._unfinished = 0
        self._open: dict[Attempt, None] = {}
        #: Rounds whose next ping is due and that wait for another to end.
        self._queue: deque[Round] = deque()
        #: When the next attempt may begin.
        self._next_begin = 0.0
        self._room = min(self.most_open, _file_limit() // 4)
        self._sent = self._received = self._send_errors = self._delayed = self._strays = 0

    # Engine

    def start(self, requests: Sequence[RoundRequest]) -> None:
        """Remember rounds; each begins its first ping at `at`, the others `probe.spacing` apart."""
        if not requests:
            return
        self.begin_thread()
        with self._count_lock:
            self._unfinished += len(requests)
            self._idle.clear()
        self._orders.extend(requests)
        self.call_soon(self._accept_orders)

    def run(self, until: float) -> None:
        """Wait until the monotonic clock shows `until`, or nothing is left to do."""
        if self._unfinished:
            self._idle.wait(max(until - time.monotonic(), 0.0))
        self._tell_watcher()

    def take(self) -> RoundBatch:
        """The rounds finished since the last call, each exactly once."""
        rounds = [self._finished.popleft() for _ in range(len(self._finished))]
        self._tell_watcher()
        return to_batch(rounds)

    @property
    def busy(self) -> int:
        """Rounds started and not yet finished."""
        return self._unfinished

    def counters(self) -> EngineCounters:
        """What was done since the engine was made."""
        return EngineCounters(
            sent=self._sent, received=self._received, strays=self._strays, send_errors=self._send_errors,
            delayed=self._delayed,
        )  # fmt: skip

    def describe(self) -> str:
        """How it reaches the network, for people."""
        return f"{self.kind}=ready"

    def close(self) -> None:
        """Give back everything; unfinished rounds are forgotten."""
        self.end_thread()

    # Hooks

    @abstractmethod
    def begin(self, attempt: Attempt) -> None:
        """Begin this attempt without blocking. Raises OSError when it could not be sent."""

    def give_up(self, attempt: Attempt) -> None:
        """Free what the attempt holds: its patience is over, or the engine is closed."""

    def attempts(self, request: RoundRequest) -> int:
        """How many attempts make this round: its pings, or 1 when one run measures all of them (`end_round`)."""
        return request.probe.pings

    def patience(self, request: RoundRequest) -> float:
        """Seconds after its begin until an attempt is given up."""
        return request.probe.patience

    def release(self) -> None:
        """Free what the engine holds beside its attempts."""

    # For subclasses

    def end(
        self, attempt: Attempt, rtt: float = math.nan, *, error: int = 0, flags: int = 0, exact: bool = False
    ) -> None:
        """The attempt is over: answered after `rtt` seconds, or lost (NaN); `error` as in `RoundBatch.error` says why,
        or with an RTT what kind of answer it was.

        `exact` says that the kernel or the program run took the time, which our own standing still cannot spoil.
        """
        if attempt.over:
            return
        if attempt.disturbed and not exact and not math.isnan(rtt):
            attempt.round.left_out.add(attempt.index)
            flags, rtt = flags | Flag.OWN_DELAY, math.nan
        self._settle(attempt, [rtt], error, flags)

    def end_round(self, attempt: Attempt, rtts: Sequence[float], *, error: int = 0, flags: int = 0) -> None:
        """The one attempt of a round is over: RTTs in the order sent, NaN for lost. Missing ones are lost, surplus cut."""
        if not attempt.over:
            pings = attempt.probe.pings
            self._settle(attempt, [*rtts[:pings], *[math.nan] * (pings - len(rtts))], error, flags)

    # What the loop asks

    def waits_until(self) -> float:
        """Others may begin at once, or while pings are under way the clock is to be looked at."""
        if self._queue and len(self._open) < self._room:
            return 0.0
        return time.monotonic() + _LOOK if self._open else math.inf

    def turn(self) -> None:
        """Once a turn: let others in."""
        self._let_in()

    def stood_still(self) -> None:
        """Whatever is under way may have been answered long before we look."""
        for attempt in self._open:
            attempt.disturbed = True

    def released(self) -> None:
        """The thread ends: nothing is under way any more."""
        for attempt in list(self._open):
            attempt.over = True
            self.guard(lambda attempt=attempt: self.give_up(attempt))  # type: ignore[misc]
        self.guard(self.release)
        self._open.clear()
        self._queue.clear()
        with self._count_lock:
            self._unfinished = 0
            self._idle.set()

    # Rounds and pings

    def _accept_orders(self) -> None:
        for _ in range(len(self._orders)):
            self._accept(self._orders.popleft())

    def _accept(self, request: RoundRequest) -> None:
        attempts = self.attempts(request)
        last = request.at + (attempts - 1) * request.probe.spacing
        one = Round(request, attempts, last + self.patience(request), [math.nan] * request.probe.pings)
        self.call_at(request.at, lambda: self._due(one))

    def _due(self, one: Round) -> None:
        """The round's next ping is due: at once, or when the burst it is part of is spread."""
        now = time.monotonic()
        begin = max(now, self._next_begin)
        self._next_begin = begin + self.gap
        if begin > now:
            self.call_at(begin, lambda: self._ready(one))
        else:
            self._ready(one)

    def _ready(self, one: Round) -> None:
        """Begin the round's next ping, if there is room."""
        if len(self._open) < self._room and not self._queue:
            self._begin_next(one)
        else:
            self._delayed += 1
            one.flags |= Flag.OWN_DELAY
            self._queue.append(one)

    def _let_in(self) -> None:
        """Others have ended: those that waited begin, in the order they came."""
        for _ in range(_MOST_AT_ONCE):
            if not self._queue or len(self._open) >= self._room:
                return
            waiting = self._queue.popleft()
            self.guard(lambda waiting=waiting: self._begin_next(waiting))  # type: ignore[misc]

    def _begin_next(self, one: Round) -> None:
        now = time.monotonic()
        if now > one.closes:
            self._close_round(one)
            return
        attempt = Attempt(one, one.begun, now, now + self.patience(one.request))
        self._open[attempt] = None
        refused = self._try(attempt)
        if refused is not None and refused.errno in _OUR_OWN_LACK:
            del self._open[attempt]
            attempt.over = True
            self._delayed += 1
            one.flags |= Flag.OWN_DELAY
            self.call_at(now + _RETRY, lambda: self._ready(one))
            return
        one.begun += 1
        self._sent += 1
        self._tell(Event.SENT, attempt, attempt.begun)
        if one.begun < one.attempts:
            due = one.request.at + one.begun * one.request.probe.spacing
            self.call_at(max(due, now + _LEAST_SHARE * one.request.probe.spacing), lambda: self._due(one))
        if refused is not None:
            self._send_errors += 1
            self._settle(attempt, [math.nan], ERROR_ERRNO + (refused.errno or errno.EIO), Flag.SEND_ERROR)
        elif attempt.over:
            self._finish_if_done(one)
        else:
            self.call_at(attempt.deadline, lambda: self._expire(attempt))

    def _try(self, attempt: Attempt) -> OSError | None:
        try:
            self.begin(attempt)
        except socket.gaierror as error:
            self._settle(attempt, [math.nan], ERROR_RESOLVE + abs(error.errno or 0), 0)
        except OSError as error:
            return error
        except Exception:
            log.exception("%s engine: %s was not begun", self.kind, attempt.request.address)
            return OSError(errno.EIO, "")
        return None

    def _expire(self, attempt: Attempt) -> None:
        if not attempt.over:
            self.guard(lambda: self.give_up(attempt))
            if not attempt.over:  # giving up may have found out why
                self._settle(attempt, [], 0, 0)

    def _settle(self, attempt: Attempt, rtts: list[float], error: int, flags: int) -> None:
        one, timeout = attempt.round, attempt.probe.timeout
        attempt.over = True
        self._open.pop(attempt, None)
        one.ended += 1
        answered = [rtt for rtt in rtts if not math.isnan(rtt)]
        late = sum(rtt > timeout for rtt in answered)
        one.rtts[attempt.index : attempt.index + len(rtts)] = rtts
        one.late += late
        self._received += len(answered)
        if error:
            one.error = one.error or error
            one.errors += len(rtts) - len(answered)
            if error & ~0xFFFF in (ERROR_ICMP4, ERROR_ICMP6):
                flags |= Flag.ICMP_ERROR
        one.flags |= flags | (Flag.LATE if late else 0)
        self._report(attempt, rtts, error, flags)
        self._finish_if_done(one)

    def _report(self, attempt: Attempt, rtts: list[float], error: int, flags: int) -> None:
        if self._watcher is not None:
            for i, rtt in enumerate(rtts):
                if not math.isnan(rtt):
                    self._tell(Event.ANSWERED, attempt, rtt, i)
            if error:
                self._tell(Event.REFUSED if flags & Flag.SEND_ERROR else Event.FAILED, attempt, error)

    def _finish_if_done(self, one: Round) -> None:
        if one.begun == one.ended == one.attempts:
            self._finish(one)

    def _close_round(self, one: Round) -> None:
        """Too late for the pings that were not begun: they do not count, this host had no room for them."""
        one.flags |= Flag.OWN_DELAY
        if one.attempts == len(one.rtts):
            one.left_out.update(range(one.begun, one.attempts))
        else:
            one.left_out.update(range(len(one.rtts)))
        one.attempts = one.begun
        self._finish_if_done(one)

    def _finish(self, one: Round) -> None:
        self._finished.append(one)
        with self._count_lock:
            self._unfinished -= 1
            if not self._unfinished:
                self._idle.set()

    # Watching

    def _tell(self, event: Event, attempt: Attempt, value: float, offset: int = 0) -> None:
        if self._watcher is not None:
            self._told.append((event, attempt.request.task, attempt.index + offset, value))

    def _tell_watcher(self) -> None:
        if self._watcher is not None:
            for _ in range(len(self._told)):
                event, task, index, value = self._told.popleft()
                self._watcher(event, np.array([task], np.uint64), np.array([index], np.int64), np.array([value]))


def to_batch(rounds: Sequence[Round]) -> RoundBatch:
    """Finished rounds as columns."""
    if not rounds:
        return RoundBatch.empty()
    rtts = [[rtt for i, rtt in enumerate(one.rtts) if i not in one.left_out] for one in rounds]
    return RoundBatch.from_columns(
        len(rounds),
        {
            "task": np.array([one.request.task for one in rounds], np.uint64),
            "time": [one.request.time for one in rounds],
            "step": [one.request.probe.step for one in rounds],
            "sent": [len(row) for row in rtts],
            "received": [sum(not math.isnan(rtt) for rtt in row) for row in rtts],
            "late": [one.late for one in rounds],
            "errors": [one.errors for one in rounds],
            "error": [one.error for one in rounds],
            "flags": [int(one.flags) for one in rounds],
            "address": np.frombuffer(b"".join(packed(one.request.address) for one in rounds), np.uint8),
            "rtts": [rtt for row in rtts for rtt in row],
        },
    )


def packed(address: str) -> bytes:
    """An address as `RoundBatch.address` has it; zeros for none."""
    plain = address.partition("%")[0]
    with contextlib.suppress(OSError):
        if ":" in plain:
            return socket.inet_pton(socket.AF_INET6, plain)
        return b"\0" * 10 + b"\xff\xff" + socket.inet_pton(socket.AF_INET, plain)
    return b"\0" * 16


def _file_limit() -> int:
    """How many files this process may open, after asking for as many as it may ask for (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
        return soft
    return max(soft, wanted)
