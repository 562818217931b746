"""Slaves' rounds on their way into the store: gathered from many posts, inserted together, each round once.

A slave is answered when its rounds are in the journal on disk; they are in the store soon after, however this process ends.
A slave that was not answered sends the same lines again, cut otherwise and with others. So rounds are told apart by (slave,
task, time): what is newer than the newest known is fresh; of anything else journal and store are asked, and of what is so
old that raw may have forgotten it, the memory.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import StoreError
from smokemesh.master.ingest import IN_MEMORY, digest
from smokemesh.master.slave_journal import Group, Journal, Plan
from smokemesh.master.slave_memory import Memory
from smokemesh.model.rounds import RoundBatch
from smokemesh.storage.store import RoundStore

log = logging.getLogger(__name__)

#: Rounds of one insert and of one group, and rounds in the journal above which slaves wait, so many seconds.
MOST_TOGETHER: Final = 40_000
MOST_WAITING: Final = 400_000
PATIENCE: Final = 20.0
#: Seconds until the store is tried again.
AGAIN: Final = 5.0

#: Told of stored rounds: slave and batch.
Tell = Callable[[str, RoundBatch], None]


@dataclass(slots=True)
class _Post:
    slave: str
    batch: RoundBatch
    done: "asyncio.Future[int]"


class SlaveIngest:
    """The way in. `take` is for the event loop; one thread writes the journal, another brings it into the store."""

    def __init__(self, store: RoundStore, journal: Path, tell: Tell) -> None:
        self._store, self._tell = store, tell
        self._journal, self._memory = Journal(journal), Memory(journal / "taken")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="slaves")
        self._storer = threading.Thread(target=self._drain, name="slaves-store", daemon=True)
        self._waiting: list[_Post] = []
        self._worker: asyncio.Task[None] | None = None
        #: When the newest post came, nanoseconds UTC.
        self._now = 0
        #: Guards what both threads touch: what is in the journal, and whether all of it is to end.
        self._changed = threading.Condition()
        self._backlog: list[Group] = []
        self._closing = False
        #: What is being inserted, or was by a process before this one.
        self._plan: Plan | None = None
        #: Slave -> (task, time) of rounds in the journal.
        self._pending: dict[str, set[tuple[int, int]]] = {}
        #: Slave -> task -> time of the newest round in store or journal, 0 for none.
        self._newest: dict[str, dict[int, int]] = {}

    async def take(self, slave: str, batch: RoundBatch, now: int) -> int:
        """Keep the rounds for good; how many were new. Raises StoreError, and then they will come again."""
        done = asyncio.get_running_loop().create_future()
        done.add_done_callback(_heed)  # a client that gave up asks no more
        self._waiting.append(_Post(slave, batch, done))
        self._now = now
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(done)

    def begin(self) -> None:
        """Take up what a process before this one left. Raises StoreError when the journal cannot be read."""
        self._backlog, self._plan = self._journal.read()
        for group in self._backlog:
            self._remember(group)
        self._storer.start()

    def drained(self, patience: float) -> bool:
        """Wait until all that was taken is in the store; False when it is not after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._backlog, patience)

    def close(self) -> None:
        """Finish what is under way; what cannot be stored now stays in the journal."""
        self._thread.shutdown(wait=True)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._storer.is_alive():
            self._storer.join()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            posts, self._waiting = self._waiting, []
            try:
                counts = await loop.run_in_executor(self._thread, self._keep, posts, self._now)
            except Exception as error:
                if not isinstance(error, StoreError):
                    log.exception("rounds of slaves not kept: internal error")
                _fail(
                    posts, error if isinstance(error, StoreError) else StoreError("internal error; the log says more")
                )
                continue
            for post, count in zip(posts, counts, strict=True):
                if not post.done.done():
                    post.done.set_result(count)

    def _keep(self, posts: Sequence[_Post], now: int) -> list[int]:
        """In a thread: write what is new into the journal. How many rounds of each post were new."""
        self._wait_for_room()
        parts = []
        for slave in dict.fromkeys(post.slave for post in posts):
            whole = RoundBatch.concatenate([post.batch for post in posts if post.slave == slave])
            fresh = self._fresh(slave, whole)
            if len(fresh):
                parts.append((slave, fresh))
        for some in _cut(parts):
            group = self._journal.write(now, some)
            self._remember(group)
            with self._changed:
                self._backlog.append(group)
                self._changed.notify_all()
        kept, counts = {slave: len(batch) for slave, batch in parts}, []
        for post in posts:
            counts.append(min(len(post.batch), kept.get(post.slave, 0)))
            kept[post.slave] = kept.get(post.slave, 0) - counts[-1]
        return counts

    def _wait_for_room(self) -> None:
        """Take no more than the store can follow."""
        with self._changed:
            if not self._changed.wait_for(lambda: sum(map(len, self._backlog)) < MOST_WAITING, PATIENCE):
                raise StoreError(f"{MOST_WAITING} rounds of slaves wait for the store; it takes none")

    def _remember(self, group: Group) -> None:
        """The group is in the journal."""
        for slave, batch in group.parts:
            newest = self._newest.setdefault(slave, {})
            names = list(zip(batch.task.tolist(), batch.time.tolist(), strict=True))
            self._pending.setdefault(slave, set()).update(names)
            for task, at in names if newest else ():
                newest[task] = max(at, newest.get(task, 0))

    def _drain(self) -> None:
        """The thread that brings the journal into the store, until the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._backlog) or self._closing)
                groups = self._next()
            if not groups:
                return
            try:
                self._insert(groups)
            except Exception as error:
                known = isinstance(error, StoreError)
                log.warning("rounds of slaves wait in the journal: reason=%r", str(error), exc_info=not known)
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, AGAIN):
                        return

    def _next(self) -> list[Group]:
        """What goes together next: what was planned before, else all that waits, within bounds."""
        if self._plan is not None:
            return self._backlog[: self._plan.count]
        count = rounds = 0
        for group in self._backlog:
            rounds += len(group)
            if count and rounds > MOST_TOGETHER:
                break
            count += 1
        return self._backlog[:count]

    def _insert(self, groups: list[Group]) -> None:
        """The only place where slaves' rounds enter the store."""
        now = time.time_ns()
        if self._plan is None:
            plan = Plan(f"slaves/{uuid.uuid4().hex}", now, len(groups))
            self._journal.plan(plan.token, now, groups)
            self._plan = plan
        parts = _together(groups)
        if 0 <= now - self._plan.begun < IN_MEMORY:
            self._store.insert_together(parts, self._plan.token)
        else:
            self._insert_late(parts, self._plan.token, now)
        for slave, batch in parts:
            self._memory.add(slave, batch.where(batch.time < self._store.raw_since(now)))
        self._journal.done(groups)
        self._plan = None
        for slave, batch in parts:
            self._pending[slave].difference_update(zip(batch.task.tolist(), batch.time.tolist(), strict=True))
        with self._changed:
            del self._backlog[: len(groups)]
            self._changed.notify_all()
        for slave, batch in parts:
            self._tell(slave, batch)

    def _insert_late(self, parts: list[tuple[str, RoundBatch]], token: str, now: int) -> None:
        """Insert what is not in the store: in an hour it may have forgotten the name, so it is asked for each round.

        Of rounds older than raw knows nobody but the store could tell: they keep the name, which it forgets only after
        as many other inserts as its window has.
        """
        since = self._store.raw_since(now)
        absent = [(slave, batch.where(~self._known(slave, batch, now))) for slave, batch in parts]
        for old in (True, False):
            some = [(slave, batch.where((batch.time < since) == old)) for slave, batch in absent]
            wanted = [(slave, batch) for slave, batch in some if len(batch)]
            if wanted:
                # Another try may find other rounds absent; what is not the same must not be called the same.
                names = ",".join(f"{slave}/{digest(batch)}" for slave, batch in wanted)
                late = f"{token}/late/{blake2b(names.encode(), digest_size=8).hexdigest()}"
                self._store.insert_together(wanted, token if old else late)

    def _known(self, slave: str, batch: RoundBatch, now: int) -> NDArray[np.bool_]:
        """For each round: was it stored?"""
        known = self._store.held(slave, batch)
        old = ~known & (batch.time < self._store.raw_since(now))
        if old.any():
            known[old] = self._memory.has(slave, batch.where(old))
        return known

    def _fresh(self, slave: str, batch: RoundBatch) -> RoundBatch:
        """The rounds that are not in the store yet, each once, in order of time."""
        order = np.lexsort((batch.task, batch.time))
        task, at = batch.task[order], batch.time[order]
        keep = np.ones(len(order), bool)
        keep[1:] = (task[1:] != task[:-1]) | (at[1:] != at[:-1])
        sorted_batch = take_rows(batch, order[keep])
        newest = self._newest_of(slave, sorted_batch)
        now = time.time_ns()
        doubtful = (sorted_batch.time <= newest) | (sorted_batch.time < self._store.raw_since(now))
        if doubtful.any():
            held = np.zeros(len(sorted_batch), bool)
            # The journal first: what leaves it meanwhile is in the store.
            asked = sorted_batch.where(doubtful)
            pending = self._pending.get(slave, set())
            waits = [name in pending for name in zip(asked.task.tolist(), asked.time.tolist(), strict=True)]
            held[doubtful] = np.array(waits) | self._known(slave, asked, now)
            sorted_batch = sorted_batch.where(~held)
        return sorted_batch

    def _newest_of(self, slave: str, batch: RoundBatch) -> NDArray[np.int64]:
        """For each round the time of the newest round of its task that is in the store."""
        known = self._newest.setdefault(slave, {})
        tasks, place = np.unique(batch.task, return_inverse=True)
        strange = [number for number in tasks.tolist() if number not in known]
        if strange:
            # The journal first: what leaves it meanwhile is in the store. However far ahead a round is dated, it counts.
            waiting = tuple(self._pending.get(slave, ()))
            found = {one.task: one.time for one in self._store.latest(strange, 0, 2**62) if one.agent == slave}
            known.update({number: found.get(number, 0) for number in strange})
            for task, at in waiting:
                known[task] = max(at, known.get(task, 0))
        return np.array([known[number] for number in tasks.tolist()], np.int64)[place]


def _cut(parts: Sequence[tuple[str, RoundBatch]]) -> Iterator[list[tuple[str, RoundBatch]]]:
    """The parts in groups that are small enough to be inserted at once."""
    some: list[tuple[str, RoundBatch]] = []
    room = MOST_TOGETHER
    for slave, batch in parts:
        start = 0
        while start < len(batch):
            piece = take_rows(batch, np.arange(start, min(start + room, len(batch))))
            some.append((slave, piece))
            start, room = start + len(piece), room - len(piece)
            if room == 0:
                yield some
                some, room = [], MOST_TOGETHER
    if some:
        yield some


def _together(groups: Sequence[Group]) -> list[tuple[str, RoundBatch]]:
    """The rounds of several groups, each slave once: always the same for the same groups."""
    of: dict[str, list[RoundBatch]] = {}
    for group in groups:
        for slave, batch in group.parts:
            of.setdefault(slave, []).append(batch)
    return [(slave, RoundBatch.concatenate(batches)) for slave, batches in of.items()]


def take_rows(batch: RoundBatch, rows: NDArray[np.int64]) -> RoundBatch:
    """These rounds of a batch, in this order."""
    if len(rows) == len(batch) and (rows == np.arange(len(rows))).all():
        return batch
    counts = np.diff(batch.offsets)[rows]
    begins = np.repeat(batch.offsets[:-1][rows], counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = {
        name: getattr(batch, name)[rows] for name in RoundBatch.__dataclass_fields__ if name not in ("offsets", "rtts")
    }
    return RoundBatch.from_columns(len(rows), columns | {"rtts": batch.rtts[begins + within]})


def _heed(done: "asyncio.Future[int]") -> None:
    if not done.cancelled():
        done.exception()


def _fail(posts: Sequence[_Post], error: StoreError) -> None:
    for post in posts:
        if not post.done.done():
            post.done.set_exception(error)
