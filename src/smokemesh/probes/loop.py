"""A thread that waits in epoll: for files, for times, for calls from other threads. It sleeps when there is nothing to do.

It knows when it did not run although it wanted to: what its own clock measured meanwhile is not to be trusted. Times are
seconds on the monotonic clock.
"""

import contextlib
import heapq
import itertools
import logging
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

#: The thread did not run for so long although it wanted to, or one turn took so long.
STALL: Final = 0.05
#: Timers rung between two looks at what has arrived.
_MOST_AT_ONCE: Final = 64
#: Seconds to wait for the thread to end.
_FAREWELL: Final = 2.0

log = logging.getLogger("smokemesh.probes")


class Loop:
    """The thread and what it waits for. Methods are its own thread's, but for `call_soon`, `begin_thread`, `end_thread`."""

    def __init__(self, name: str) -> None:
        self._name = name
        #: When epoll last returned: the best reading for every event it brought.
        self.woke = 0.0
        self._thread: threading.Thread | None = None
        self._closing = self._closed = False
        self._bell_lock = threading.Lock()
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()

    # Hooks

    def waits_until(self) -> float:
        """When the thread wants to be awake whatever happens."""
        return math.inf

    def turn(self) -> None:
        """Once a turn, after everything else."""

    def stood_still(self) -> None:
        """The thread did not run for a while."""

    def released(self) -> None:
        """The thread ends; files may still be unwatched."""

    # For subclasses

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

    def guard(self, call: Callable[[], None]) -> None:
        """Call; a mistake in one matter is no reason to lose the others."""
        try:
            call()
        except Exception:
            log.exception("%s engine: an event was not handled", self._name)

    # The thread

    def begin_thread(self) -> None:
        """Let it run, if it does not yet. Raises RuntimeError when it has ended."""
        if self._closed:
            raise RuntimeError(f"the {self._name} engine is no more")  # whoever owns it makes another
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def end_thread(self) -> None:
        """Let it end, and wait for that a little."""
        if self._closing:
            return
        self._closing = True
        if self._thread is None:
            self._release()
        else:
            self._ring()
            self._thread.join(_FAREWELL)

    def _ring(self) -> None:
        with self._bell_lock, contextlib.suppress(BlockingIOError):
            if not self._closed:  # its number may be another file's by now
                os.eventfd_write(self._bell, 1)

    def _work(self) -> None:
        try:
            while not self._closing:
                self._step()
        except Exception:
            log.exception("%s engine stopped", self._name)
        finally:
            self._release()

    def _release(self) -> None:
        self.guard(self.released)
        self._timers.clear()
        with self._bell_lock:
            self._closed = True
            self._epoll.close()
            os.close(self._bell)

    def _step(self) -> None:
        """Wait, then handle what arrived, then what is due: an answer that is there is read before its ping is given up."""
        asleep = time.monotonic()
        wait = self._wait(asleep)
        events = self._epoll.poll(wait if wait < math.inf else None)
        self.woke = time.monotonic()
        if self.woke - asleep > wait + STALL:
            self.stood_still()
        held_up = False
        for fd, happened in events:
            if not held_up and time.monotonic() - self.woke > STALL:
                held_up = True  # those before it took so long that this one waited
                self.stood_still()
            if fd == self._bell:
                os.eventfd_read(fd)
            elif call := self._watched.get(fd):
                self.guard(lambda call=call, happened=happened: call(happened))  # type: ignore[misc]
        for _ in range(len(self._calls)):
            self.guard(self._calls.popleft())
        self._ring_timers()
        self.turn()
        if time.monotonic() - self.woke > STALL:
            self.stood_still()

    def _wait(self, now: float) -> float:
        if self._calls:
            return 0.0
        due = self._timers[0][0] if self._timers else math.inf
        return max(0.0, min(due, self.waits_until()) - now)

    def _ring_timers(self) -> None:
        now = time.monotonic()
        for _ in range(_MOST_AT_ONCE):
            if not self._timers or self._timers[0][0] > now:
                return
            self.guard(heapq.heappop(self._timers)[2])
