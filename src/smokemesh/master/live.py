"""The hub between ingest and open pages: each stored round is told to those who watch its task.

Ingest calls `publish` from any thread and never waits: a reader that does not keep up loses old events and is
told so (`Gap`), which makes its page ask the API again. Events carry numbers that grow, also over a restart of the
master, so a browser that lost its connection is filled in from the last few minutes or told that it missed some.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.model.rounds import RoundBatch

#: Events a reader may lag behind before it loses the oldest.
MOST_WAITING: Final = 256
#: Batches remembered for readers that come back, and the rounds they may hold together.
MOST_BATCHES: Final = 512
MOST_ROUNDS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Fresh:
    """Rounds of one batch that one reader watches: tasks, times and what they measured."""

    number: int
    agent: str
    #: Rows (task, time in ns, sent, received, median in seconds or NaN).
    rows: tuple[tuple[int, int, int, int, float], ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Events were lost: whatever the reader shows may lack rounds that are in the store."""

    number: int


@dataclass(frozen=True)
class _Batch:
    number: int
    agent: str
    rounds: RoundBatch

    @cached_property
    def medians(self) -> NDArray[np.float64]:
        """The median of each round, for all readers; a batch that nobody watches never needs them."""
        return _medians(self.rounds)


class Subscription:
    """One reader's queue. Made by `Hub.subscribe`; read it in the event loop it was made in."""

    def __init__(self, tasks: Collection[int] | None, loop: asyncio.AbstractEventLoop) -> None:
        self._tasks = None if tasks is None else np.array(sorted(tasks), np.uint64)
        self._loop = loop
        self._events: deque[Fresh | Gap] = deque()
        self._ready = asyncio.Event()
        self._lost = False
        self.closed = False

    def matching(self, batch: _Batch) -> Fresh | None:
        """What of the batch this reader watches."""
        wanted = _rows(batch, self._tasks)
        return Fresh(batch.number, batch.agent, wanted) if wanted else None

    def offer(self, event: Fresh | Gap) -> None:
        """Put an event in the queue from any thread; a full queue loses its oldest."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, event)

    def end(self) -> None:
        """Let the reader finish, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close)

    async def next(self, patience: float) -> Fresh | Gap | None:
        """The next event; None when none came for `patience` seconds or the hub closed."""
        if not self._events and not self.closed:
            try:
                await asyncio.wait_for(self._ready.wait(), patience)
            except TimeoutError:
                return None
        self._ready.clear()
        if self._lost:
            self._lost = False
            number = self._events[0].number - 1 if self._events else 0
            return Gap(number)
        if not self._events:
            return None
        event = self._events.popleft()
        if self._events:
            self._ready.set()
        return event

    def _put(self, event: Fresh | Gap) -> None:
        if len(self._events) >= MOST_WAITING:
            self._events.popleft()
            self._lost = True
        self._events.append(event)
        self._ready.set()

    def _close(self) -> None:
        self.closed = True
        self._ready.set()


class Hub:
    """Tells stored rounds to subscribed readers."""

    def __init__(self, first: int | None = None) -> None:
        """Events are numbered past `first`: the time in microseconds, so that no number of an earlier run comes again."""
        self._lock = threading.Lock()
        self._number = time.time_ns() // 1000 if first is None else first
        self._remembered: deque[_Batch] = deque()
        self._held = 0
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    def publish(self, agent: str, batch: RoundBatch) -> None:
        """These rounds are in the store now. Safe from any thread; never waits for a reader."""
        if len(batch) == 0:
            return
        with self._lock:
            self._number += 1
            entry = _Batch(self._number, agent, batch)
            self._remember(entry)
            # Inside the lock, so that each reader gets events in the order of their numbers: with one taken before
            # a smaller one, a lost connection would be filled in from too late.
            for reader in self._subscriptions:
                event = reader.matching(entry)
                if event is not None:
                    reader.offer(event)

    @contextmanager
    def subscribe(self, tasks: Collection[int] | None, after: int | None = None) -> Iterator[Subscription]:
        """Watch these tasks (None for all), within a running event loop.

        `after` is the number of the last event a returning reader saw: later ones come first.
        """
        subscription = Subscription(tasks, asyncio.get_running_loop())
        with self._lock:
            for event in self._since(after):
                told = subscription.matching(event) if isinstance(event, _Batch) else event
                if told is not None:
                    subscription.offer(told)
            self._subscriptions.add(subscription)
            if self._closed:
                subscription.end()
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)

    @property
    def readers(self) -> int:
        """How many are subscribed."""
        return len(self._subscriptions)

    def close(self) -> None:
        """End all subscriptions, so that a server that shuts down need not wait for open pages."""
        with self._lock:
            self._closed = True
            readers = list(self._subscriptions)
        for reader in readers:
            reader.end()

    def _remember(self, entry: _Batch) -> None:
        self._remembered.append(entry)
        self._held += len(entry.rounds)
        while len(self._remembered) > MOST_BATCHES or (self._held > MOST_ROUNDS and len(self._remembered) > 1):
            self._held -= len(self._remembered.popleft().rounds)

    def _since(self, after: int | None) -> list["_Batch | Gap"]:
        if after is None or after == self._number:
            return []
        oldest = self._remembered[0].number if self._remembered else self._number + 1
        # A number ahead of ours is from before a restart: whatever happened between is not known.
        if after > self._number or after < oldest - 1:
            return [Gap(self._number)]
        return [entry for entry in self._remembered if entry.number > after]


def _rows(batch: _Batch, tasks: NDArray[np.uint64] | None) -> tuple[tuple[int, int, int, int, float], ...]:
    rounds = batch.rounds
    chosen = np.arange(len(rounds)) if tasks is None else np.flatnonzero(np.isin(rounds.task, tasks))
    if not len(chosen):
        return ()
    columns = (rounds.task, rounds.time, rounds.sent, rounds.received, batch.medians)
    return tuple(zip(*(column[chosen].tolist() for column in columns), strict=True))


def _medians(batch: RoundBatch) -> NDArray[np.float64]:
    """The median of the answered pings of each round, NaN without any; all rounds are sorted at once."""
    row = np.repeat(np.arange(len(batch)), np.diff(batch.offsets))
    answered = ~np.isnan(batch.rtts)
    row, rtts = row[answered], batch.rtts[answered].astype(np.float64)
    rtts = rtts[np.lexsort((rtts, row))]
    count = np.bincount(row, minlength=len(batch))
    first = np.cumsum(count) - count
    result = np.full(len(batch), np.nan)
    some, middle = count > 0, first + (count - 1) // 2
    result[some] = (rtts[middle[some]] + rtts[(first + count // 2)[some]]) / 2
    return result
