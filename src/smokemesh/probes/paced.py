"""The common part of every engine but ICMP's: paces the pings of many rounds, keeps their time, gathers their rounds.

A paced engine works in a thread of its own, so that what another engine does is not measured along. The thread waits in
epoll for the next ping due, the end of a ping's patience, or an event on a file a subclass watches; it sleeps when there is
nothing to do. Times are seconds on the monotonic clock. `BlockingEngine` is for what cannot be done without blocking.
"""

import contextlib
import errno
import heapq
import itertools
import logging
import math
import os
import resource
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_ICMP6, ERROR_RESOLVE, Flag, RoundBatch
from smokemesh.probes.engine import EngineCounters, Permit, RoundRequest, anyone
from smokemesh.probes.flight import Event, Watcher

#: Pings of a round never follow each other closer than this share of their spacing: catching up is no burst.
_LEAST_SHARE: Final = 0.9
#: The thread did not run for so long although it wanted to: a time taken meanwhile by our own clock is not the network's.
STALL: Final = 0.05
#: While pings are under way the thread looks at the clock this often: so it knows that it was standing still.
_LOOK: Final = 0.05
#: Things done between two looks at what has arrived.
_MOST_AT_ONCE: Final = 64
#: What a machine out of files or memory says: the ping is begun again after `_RETRY` seconds.
_OUR_OWN_LACK: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN)
_RETRY: Final = 0.02
#: Files the process may open, as far as it is ours to decide.
_FILES: Final = 16_384
#: Seconds `close` waits for the thread, and for each of a pool's.
_FAREWELL: Final = 2.0

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


class PacedEngine:
    """Rounds whose pings a subclass begins and ends. `start`, `run`, `take` and `close` are one owner's; all hooks and
    protected methods run in the engine's own thread.

    A subclass has `begin` (start an attempt, never block) and calls `end` once for each; `give_up` frees what an attempt
    that was not answered in its patience still holds. An OSError raised by `begin` is that ping's error.
    """

    kind: ClassVar[str] = "paced"
    #: Attempts under way at the same time, in all.
    most_open: ClassVar[int] = 512
    #: The prober need not give it time: it works by itself.
    apart: Final = True

    def __init__(self, *, permit: Permit = anyone, watcher: Watcher | None = None) -> None:
        """`permit` is asked about addresses that the agent has not seen; `watcher` is told of every ping, in `run`."""
        self.permit = permit
        #: When epoll last returned: the best reading for every event it brought.
        self.woke = 0.0
        self._watcher = watcher
        self._told: deque[tuple[Event, int, int, float]] = deque()
        self._orders: deque[RoundRequest] = deque()
        self._finished: deque[Round] = deque()
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._unfinished = 0
        self._thread: threading.Thread | None = None
        self._closing = self._released = False
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()
        self._open: dict[Attempt, None] = {}
        #: Rounds whose next ping is due and that wait for another to end.
        self._queue: deque[Round] = deque()
        self._room = min(self.most_open, _file_limit() // 4)
        self._sent = self._received = self._send_errors = self._delayed = self._strays = 0

    # Engine

    def start(self, requests: Sequence[RoundRequest]) -> None:
        """Remember rounds; each begins its first ping at `at`, the others `probe.spacing` apart."""
        if not requests:
            return
        if self._released:
            raise RuntimeError(f"the {self.kind} engine is no more")  # whoever owns it makes another
        with self._lock:
            self._unfinished += len(requests)
            self._idle.clear()
        self._orders.extend(requests)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self.kind, daemon=True)
            self._thread.start()
        self._ring()

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
        if self._closing:
            return
        self._closing = True
        if self._thread is not None:
            self._ring()
            self._thread.join(_FAREWELL)
        else:
            self._release_all()

    # Hooks

    def begin(self, attempt: Attempt) -> None:
        """Begin this attempt without blocking. Raises OSError when it could not be sent."""
        raise NotImplementedError

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

    def watch(self, fd: int, events: int, call: Callable[[int], None]) -> None:
        """Call with the events when one of them (select.EPOLL…) happens on `fd`; watching it again changes them."""
        known = self._watched.get(fd)
        self._watched[fd] = call
        try:
            if known is None:
                self._epoll.register(fd, events)
            else:
                self._epoll.modify(fd, events)
        except FileNotFoundError:  # closed by a library, and its number used again
            self._epoll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        """Forget `fd`. Call before closing it."""
        if self._watched.pop(fd, None) is not None:
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(fd)

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call when the monotonic clock shows `when`. It cannot be taken back: the call looks whether it still matters."""
        heapq.heappush(self._timers, (when, next(self._serial), call))

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call in the engine's thread; may be called from any thread."""
        self._calls.append(call)
        self._ring()

    # The thread

    def _ring(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._released:  # its number may be another file's by now
                os.eventfd_write(self._bell, 1)

    def _work(self) -> None:
        try:
            while not self._closing:
                self._step()
        except Exception:
            log.exception("%s engine stopped", self.kind)
        finally:
            self._release_all()

    def _step(self) -> None:
        """Wait, then handle what arrived, then what is due: an answer that is there is read before its ping is given up."""
        wait = self._wait()
        asleep = time.monotonic()
        events = self._epoll.poll(wait if wait < math.inf else None)
        self.woke = time.monotonic()
        if self.woke - asleep > wait + STALL:
            self._disturb()
        for fd, happened in events:
            if fd == self._bell:
                os.eventfd_read(fd)
            elif call := self._watched.get(fd):
                self._guard(lambda call=call, happened=happened: call(happened))  # type: ignore[misc]
        for _ in range(len(self._calls)):
            self._guard(self._calls.popleft())
        for _ in range(len(self._orders)):
            self._accept(self._orders.popleft())
        self._do_due()
        self._let_in()
        if time.monotonic() - self.woke > STALL:
            self._disturb()

    def _wait(self) -> float:
        if self._calls or self._orders or (self._queue and len(self._open) < self._room):
            return 0.0
        due = self._timers[0][0] - time.monotonic() if self._timers else math.inf
        return max(0.0, min(due, _LOOK) if self._open else due)

    def _disturb(self) -> None:
        for attempt in self._open:
            attempt.disturbed = True

    def _guard(self, call: Callable[[], None]) -> None:
        """A mistake in one attempt is no reason to lose the others: it ends with its own deadline."""
        try:
            call()
        except Exception:
            log.exception("%s engine: an event was not handled", self.kind)

    def _do_due(self) -> None:
        now = time.monotonic()
        for _ in range(_MOST_AT_ONCE):
            if not self._timers or self._timers[0][0] > now:
                return
            self._guard(heapq.heappop(self._timers)[2])

    # Rounds and pings

    def _accept(self, request: RoundRequest) -> None:
        attempts = self.attempts(request)
        last = request.at + (attempts - 1) * request.probe.spacing
        one = Round(request, attempts, last + self.patience(request), [math.nan] * request.probe.pings)
        self.call_at(request.at, lambda: self._ready(one))

    def _ready(self, one: Round) -> None:
        """The round's next ping is due."""
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
            self._guard(lambda waiting=waiting: self._begin_next(waiting))  # type: ignore[misc]

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
            self.call_at(max(due, now + _LEAST_SHARE * one.request.probe.spacing), lambda: self._ready(one))
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
            self._guard(lambda: self.give_up(attempt))
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
        with self._lock:
            self._unfinished -= 1
            if not self._unfinished:
                self._idle.set()

    def _release_all(self) -> None:
        for attempt in list(self._open):
            attempt.over = True
            self._guard(lambda attempt=attempt: self.give_up(attempt))  # type: ignore[misc]
        self._guard(self.release)
        self._open.clear()
        self._queue.clear()
        self._timers.clear()
        with self._lock:
            self._released = True
            self._epoll.close()
            os.close(self._bell)
            self._unfinished = 0
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


class BlockingEngine(PacedEngine):
    """For what blocks: each attempt runs `measure` in one of a bounded pool of threads.

    `measure` must come back by `attempt.deadline` by itself: nothing can stop a thread. `give_up` may help it along.
    """

    most_open: ClassVar[int] = 16

    def __init__(self, *, permit: Permit = anyone, watcher: Watcher | None = None) -> None:
        super().__init__(permit=permit, watcher=watcher)
        self._work_list: deque[Attempt | None] = deque()
        self._work_there = threading.Semaphore(0)
        self._pool: list[threading.Thread] = []
        #: Threads that measure, also what was given up already.
        self._measuring = 0

    def measure(self, attempt: Attempt) -> float:
        """Measure, blocking; the RTT. Runs in a thread of the pool. Raises OSError or `Failed` for a lost ping."""
        raise NotImplementedError

    def begin(self, attempt: Attempt) -> None:
        """Hand it to a thread."""
        if self._measuring >= self._room:
            raise BlockingIOError(errno.EAGAIN, "every thread still works on a ping that was given up")
        self._measuring += 1
        self._work_list.append(attempt)
        if self._measuring > len(self._pool):
            thread = threading.Thread(target=self._serve, name=f"{self.kind}-{len(self._pool)}", daemon=True)
            self._pool.append(thread)
            thread.start()
        self._work_there.release()

    def release(self) -> None:
        """Send the threads home; one that hangs in the network ends with the program."""
        for _ in self._pool:
            self._work_list.append(None)
            self._work_there.release()
        until = time.monotonic() + _FAREWELL / 2
        for thread in self._pool:
            thread.join(max(until - time.monotonic(), 0.0))

    def _serve(self) -> None:
        while True:
            self._work_there.acquire()
            attempt = self._work_list.popleft()
            if attempt is None:
                return
            self._measured(attempt, *self._attempt(attempt))
            del attempt

    def _attempt(self, attempt: Attempt) -> tuple[float, int, int]:
        attempt.begun = time.monotonic()
        try:
            return self.measure(attempt), 0, 0
        except Failed as failure:
            return math.nan, failure.error, failure.flags
        except socket.gaierror as error:
            return math.nan, ERROR_RESOLVE + abs(error.errno or 0), 0
        except TimeoutError:
            return math.nan, 0, 0
        except OSError as error:
            return math.nan, ERROR_ERRNO + (error.errno or errno.EIO), 0
        except Exception:
            log.exception("%s engine: measuring %s went wrong", self.kind, attempt.request.address)
            return math.nan, ERROR_ERRNO + errno.EIO, 0

    def _measured(self, attempt: Attempt, rtt: float, error: int, flags: int) -> None:
        def tell() -> None:
            self._measuring -= 1
            self.end(attempt, rtt, error=error, flags=flags)

        if not self._closing:
            self.call_soon(tell)


class Failed(Exception):  # says what happened to a ping, is no mistake
    """A ping is lost, and why is known."""

    def __init__(self, error: int = 0, flags: int = 0) -> None:
        super().__init__(error)
        #: As in `RoundBatch.error`; 0 for plain loss.
        self.error = error
        self.flags = flags


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
