"""Slaves' rounds on their way into the store: gathered from many posts, inserted together, each round once.

A slave that was not answered sends the same lines again, cut otherwise and with others. So rounds are told apart by (slave,
task, time): what is newer than the newest in the store is fresh, and of anything else the store is asked. Groups are
stored one after the other; one that failed, or that a killed process left, is finished before the next.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import StoreError
from smokemesh.master.ingest import IN_MEMORY, select
from smokemesh.master.slave_journal import Group, Journal
from smokemesh.model.rounds import RoundBatch
from smokemesh.storage.store import RoundStore

log = logging.getLogger(__name__)

#: Rounds of one group: what comes while it is stored waits for the next.
MOST_TOGETHER: Final = 200_000

#: Told of stored rounds: slave and batch.
Tell = Callable[[str, RoundBatch], None]


@dataclass(slots=True)
class _Post:
    slave: str
    batch: RoundBatch
    done: "asyncio.Future[int]"


class SlaveIngest:
    """The way in. `take` is for the event loop; the rest works in a thread of its own."""

    def __init__(self, store: RoundStore, journal: Path, tell: Tell) -> None:
        self._store, self._tell = store, tell
        self._journal = Journal(journal)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="slaves")
        self._waiting: list[_Post] = []
        self._worker: asyncio.Task[None] | None = None
        #: Slave -> task -> time of the newest round in the store, 0 for none.
        self._newest: dict[str, dict[int, int]] = {}
        #: A group that may be in the store, or in part.
        self._doubt: Group | None = None
        self._begun = False
        #: When the newest post came, nanoseconds UTC.
        self._now = 0

    async def take(self, slave: str, batch: RoundBatch, now: int) -> int:
        """Store the rounds; how many were new. Raises StoreError, and then they will come again."""
        done = asyncio.get_running_loop().create_future()
        done.add_done_callback(_heed)  # a client that gave up asks no more
        self._waiting.append(_Post(slave, batch, done))
        self._now = now
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(done)

    def begin(self, now: int) -> None:
        """Finish what a process before this one left. Blocks; what cannot be done now is tried again with the next post."""
        try:
            self._thread.submit(self._settle, now).result()
        except StoreError as error:
            log.warning("rounds of slaves wait in the journal: reason=%r", str(error))

    def close(self) -> None:
        """Finish what is under way."""
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            posts = self._next()
            try:
                counts = await loop.run_in_executor(self._thread, self._store_all, posts, self._now)
            except Exception as error:
                if not isinstance(error, StoreError):
                    log.exception("rounds of slaves not stored: internal error")
                _fail(
                    posts, error if isinstance(error, StoreError) else StoreError("internal error; the log says more")
                )
                continue
            for post, count in zip(posts, counts, strict=True):
                if not post.done.done():
                    post.done.set_result(count)

    def _next(self) -> list[_Post]:
        """The posts that wait, as many as go together."""
        count = rounds = 0
        for post in self._waiting:
            rounds += len(post.batch)
            if count and rounds > MOST_TOGETHER:
                break
            count += 1
        posts, self._waiting = self._waiting[:count], self._waiting[count:]
        return posts

    def _store_all(self, posts: Sequence[_Post], now: int) -> list[int]:
        """In the thread: the only place where slaves' rounds enter the store. How many of each post were new."""
        self._settle(now)
        counts, parts = [], []
        for slave in dict.fromkeys(post.slave for post in posts):
            whole = RoundBatch.concatenate([post.batch for post in posts if post.slave == slave])
            fresh = self._fresh(slave, whole)
            if len(fresh):
                parts.append((slave, fresh))
        if parts:
            group = Group(f"slaves/{uuid.uuid4().hex}", now, parts)
            self._journal.write(group)
            self._doubt = group
            self._store.insert_together(parts, group.token)
            self._done(group)
        kept = {slave: len(batch) for slave, batch in parts}
        for post in posts:
            counts.append(min(len(post.batch), kept.get(post.slave, 0)))
            kept[post.slave] = kept.get(post.slave, 0) - counts[-1]
        return counts

    def _settle(self, now: int) -> None:
        """Insert what is in doubt, under the same name: it is in the store once then."""
        if not self._begun:
            self._doubt = self._journal.read()
            self._begun = True
        if self._doubt is None:
            return
        group = self._doubt
        parts, token = group.parts, group.token
        if not 0 <= now - group.begun < IN_MEMORY:
            # The store may have forgotten the name, so it is asked which of the rounds it has.
            absent = [(slave, select(batch, ~self._store.held(slave, batch))) for slave, batch in parts]
            parts, token = [(slave, batch) for slave, batch in absent if len(batch)], f"{token}/late"
        if parts:
            self._store.insert_together(parts, token)
        self._done(group)

    def _done(self, group: Group) -> None:
        """The group is in the store."""
        self._doubt = None
        self._journal.clear()
        for slave, batch in group.parts:
            newest = self._newest.get(slave)
            for task, time in zip(batch.task.tolist(), batch.time.tolist(), strict=True) if newest else ():
                newest[task] = max(time, newest.get(task, 0))
            self._tell(slave, batch)

    def _fresh(self, slave: str, batch: RoundBatch) -> RoundBatch:
        """The rounds that are not in the store yet, each once, in order of time."""
        order = np.lexsort((batch.task, batch.time))
        task, time = batch.task[order], batch.time[order]
        keep = np.ones(len(order), bool)
        keep[1:] = (task[1:] != task[:-1]) | (time[1:] != time[:-1])
        sorted_batch = take_rows(batch, order[keep])
        newest = self._newest_of(slave, sorted_batch)
        doubtful = sorted_batch.time <= newest
        if doubtful.any():
            held = np.zeros(len(sorted_batch), bool)
            held[doubtful] = self._store.held(slave, select(sorted_batch, doubtful))
            sorted_batch = select(sorted_batch, ~held)
        return sorted_batch

    def _newest_of(self, slave: str, batch: RoundBatch) -> NDArray[np.int64]:
        """For each round the time of the newest round of its task that is in the store."""
        known = self._newest.setdefault(slave, {})
        tasks, place = np.unique(batch.task, return_inverse=True)
        strange = [number for number in tasks.tolist() if number not in known]
        if strange:
            # However far ahead the newest is dated, it is what matters here.
            found = {one.task: one.time for one in self._store.latest(strange, 0, 2**62) if one.agent == slave}
            known.update({number: found.get(number, 0) for number in strange})
        return np.array([known[number] for number in tasks.tolist()], np.int64)[place]


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
