"""The one door in: verified uploads go to the store, then to those who watch, and only then are they acknowledged.

An upload is named by (agent, epoch, first and last sequence). The catalogue knows the last sequence stored and the
range that is being stored, the store the names of recent inserts and the rounds it has. So a range sent again, cut
otherwise, or left half-done by a crash, counts once. A round that cannot be kept (of a task that was never assigned, or
dated where no honest clock can have been) is counted, logged and named in the answer: nothing disappears in silence.
"""

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from ipaddress import IPv6Address
from itertools import islice
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import NotFound, WireError
from smokemesh.master.metrics import Label
from smokemesh.master.rivals import Rivals
from smokemesh.model.assignment import Task, task_id
from smokemesh.model.rounds import COLUMNS, RoundBatch
from smokemesh.storage.catalogue import Catalogue, Intent
from smokemesh.storage.store import RoundStore
from smokemesh.wire.columns import MOST_BYTES, unpack
from smokemesh.wire.messages import Record, Upload, UploadReply
from smokemesh.wire.signing import MOST_SKEW

log = logging.getLogger(__name__)

#: Nanoseconds a round may lie in the future: no further than the clock of an agent whose requests are taken.
MOST_AHEAD: Final = MOST_SKEW * 10**9
#: Nanoseconds for which the store surely remembers the name of an insert.
IN_MEMORY: Final = 3600 * 10**9
#: Task numbers remembered, for each agent, as meaning nothing.
MOST_STRANGE: Final = 10_000
#: Bytes that one upload may unpack to.
MOST_UNPACKED: Final = MOST_BYTES
#: Uploads unpacked and stored at the same time.
WORKERS: Final = 4
_EPOCH = re.compile(r"[0-9A-Za-z_-]{1,64}")


class Audience(Protocol):
    """Who is told of rounds that are in the store now; `live.Hub` for pages, `metrics` for numbers."""

    def publish(self, agent: str, batch: RoundBatch) -> None:
        """Safe from any thread, never waits."""


#: The tasks an agent has now.
TasksOf = Callable[[str], Collection[Task]]


@dataclass(slots=True)
class Counters:
    """What came in since the master started."""

    uploads: int = 0
    duplicates: int = 0
    rounds: int = 0
    refused: int = 0
    #: Records that agents never sent, because their spool was full.
    gaps: int = 0
    #: Time spent storing, all threads together.
    seconds: float = 0.0


class Ingest:
    """Takes uploads. One at a time of each agent, several agents at once in threads of its own."""

    def __init__(
        self,
        store: RoundStore,
        catalogue: Catalogue,
        tasks_of: TasksOf,
        audience: Sequence[Audience] = (),
        oldest: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        """`oldest` gives the age in seconds beyond which no level keeps a round."""
        self._store, self._catalogue, self._audience = store, catalogue, tuple(audience)
        self._judge = Judge(catalogue, tasks_of, oldest)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="ingest")
        self._turns: dict[str, asyncio.Lock] = {}
        #: Whether two hosts work under one name.
        self.rivals = Rivals()
        self.counters = Counters()
        self._counting = threading.Lock()

    async def take(self, agent: str, upload: Upload, now: int) -> UploadReply:
        """Store an upload and say what is stored. Raises WireError or StoreError, and then nothing is acknowledged."""
        turn = self._turns.setdefault(agent, asyncio.Lock())
        async with turn:
            loop = asyncio.get_running_loop()
            # A client that gives up does not stop the insert: the turn must last as long as the thread works.
            work = loop.run_in_executor(self._threads, self._take, agent, upload, now)
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])
                raise

    def forget_tasks(self) -> None:
        """The assignments changed: look up anew which tasks an agent may bring."""
        self._judge.forget()

    def variants(self) -> dict[int, Label]:
        """What the numbers of single addresses mean, of names measured with `addresses: all`."""
        return self._judge.variants

    def close(self) -> None:
        """Finish what is under way."""
        self._threads.shutdown(wait=True)

    def _take(self, agent: str, upload: Upload, now: int) -> UploadReply:
        """In a thread: the only place where rounds enter the store."""
        _check_range(upload)
        if self.rivals.saw(agent, upload.epoch, now):
            log.warning("an older epoch came back, two hosts with one name? agent=%s epoch=%s", agent, upload.epoch)
        stored = self._catalogue.stored_sequence(agent, upload.epoch)
        # What an agent that lost its own memory sends twice is cut off; the rest has a name of its own.
        fresh = [record for record in upload.records if record.sequence > stored]
        if not fresh:
            self.count(duplicates=1)
            return UploadReply(epoch=upload.epoch, stored=stored, duplicate=True)
        first, last = fresh[0].sequence, fresh[-1].sequence
        batch = _unpack(fresh)
        began = time.monotonic()
        kept, refusals = self._store_once(agent, upload.epoch, Intent(first, last, now, ""), batch)
        self._catalogue.record_stored(agent, upload.epoch, last, now)
        refused = len(batch) - len(kept)
        missing = max(0, first - stored - 1) if stored else 0
        seconds = time.monotonic() - began
        self.count(uploads=1, rounds=len(kept), refused=refused, gaps=missing, seconds=seconds)
        _note(agent, refusals, missing)
        self.tell(agent, kept)
        return UploadReply(epoch=upload.epoch, stored=last, refused=refused, reason="; ".join(refusals))

    def _store_once(self, agent: str, epoch: str, fresh: Intent, batch: RoundBatch) -> tuple[RoundBatch, list[str]]:
        """Insert what can be kept, each round once, also when an earlier attempt is in doubt.

        The same rounds under the same name are a repetition, which the store drops or completes, as long as it
        remembers names. For anything else that touches what is in doubt, the store is asked which rounds it has.
        """
        doubt = self._catalogue.intent(agent, epoch)
        name = f"{agent}/{epoch}/{fresh.first}-{fresh.last}"
        if doubt and (doubt.first, doubt.last) == (fresh.first, fresh.last) and _recent(doubt, fresh.begun):
            kept, refusals = self._judge.sift(agent, batch, doubt.begun)
            if digest(kept) == doubt.digest:
                self._store.insert(agent, kept, name)
                return kept, refusals
        kept, refusals = self._judge.sift(agent, batch, fresh.begun)
        wanted = kept
        if doubt:
            # From now on nothing in the whole range is a mere repetition.
            whole = Intent(min(fresh.first, doubt.first), max(fresh.last, doubt.last), 0, "")
            self._catalogue.intend(agent, epoch, whole)
            wanted = kept.where(~self._store.held(agent, kept))
            name += f"/{digest(wanted)}"
        elif len(kept):
            self._catalogue.intend(agent, epoch, replace(fresh, digest=digest(kept)))
        if len(wanted):
            self._store.insert(agent, wanted, name)
        return kept, refusals

    def count(self, **more: float) -> None:
        """Add to the counters. Any thread may call."""
        with self._counting:
            for name, value in more.items():
                setattr(self.counters, name, getattr(self.counters, name) + value)

    def tell(self, agent: str, kept: RoundBatch) -> None:
        """The rounds are stored: whatever befalls those who listen must not make the agent send them again."""
        for listener in self._audience:
            try:
                listener.publish(agent, kept)
            except Exception:
                log.exception("stored rounds not told: agent=%s", agent)


class Judge:
    """Decides which rounds can be kept. Used by one thread for each agent."""

    def __init__(self, catalogue: Catalogue, tasks_of: TasksOf, oldest: Callable[[], float]) -> None:
        self._catalogue, self._tasks_of, self._oldest = catalogue, tasks_of, oldest
        #: Agent -> numbers of tasks it may bring, and numbers found to mean nothing.
        self._known: dict[str, set[int]] = {}
        self._strange: dict[str, set[int]] = {}
        self.variants = {t.id: Label(t.target, t.probe, t.address) for t in catalogue.addresses()}

    def forget(self) -> None:
        """Tasks may have been added."""
        self._known, self._strange = {}, {}

    def sift(self, agent: str, batch: RoundBatch, now: int) -> tuple[RoundBatch, list[str]]:
        """The rounds to keep, and a sentence for each reason why others are not."""
        if len(batch) == 0:
            return batch, []
        least = now - self._oldest() * 1e9
        verdicts = (
            (self._is_known(agent, batch, now), "of a task that was never assigned"),
            (batch.time <= now + MOST_AHEAD, f"dated more than {MOST_SKEW} s ahead: check the agent's clock"),
            (batch.time >= least, "older than any level is kept"),
        )
        keep = np.ones(len(batch), bool)
        refusals = []
        for good, reason in verdicts:
            bad = keep & ~good
            if bad.any():
                at = int(np.argmax(bad))
                refusals.append(f"{bad.sum()} rounds {reason} (task {batch.task[at]}, time {batch.time[at]})")
            keep &= good
        return (batch if keep.all() else batch.where(keep)), refusals

    def _is_known(self, agent: str, batch: RoundBatch, now: int) -> NDArray[np.bool_]:
        numbers, place = np.unique(batch.task, return_inverse=True)
        known = self._known.setdefault(agent, {task.id for task in self._tasks_of(agent)})
        strange = self._strange.setdefault(agent, set())
        unsure = set(numbers.tolist()) - known - strange
        if unsure:
            known |= self._variants(batch, unsure, now)
            known |= {number for number in unsure - known if self._was_assigned(number)}
            strange |= set(islice(unsure - known, max(0, MOST_STRANGE - len(strange))))
        return np.array([number in known for number in numbers.tolist()])[place]

    def _variants(self, batch: RoundBatch, unsure: set[int], now: int) -> set[int]:
        """Numbers that stand for one address of a name measured with `addresses: all`: made of that very address."""
        # Also names that are measured no more: rounds of them may come out of a spool.
        several = [(known.target, known.probe) for known in self._catalogue.names_of_several()]
        if not several:
            return set()
        rows = np.flatnonzero(np.isin(batch.task, np.array(sorted(unsure), np.uint64)))
        pairs = {(int(batch.task[i]), batch.address[i].tobytes()) for i in rows.tolist()}
        found = []
        for number, packed in pairs:
            address = address_text(packed)
            of = next((name for name in several if task_id(*name, address) == number), None)
            if of is not None:
                found.append(Task(id=number, target=of[0], host=address, probe=of[1]))
        self._catalogue.remember_tasks(found, now, addresses=True)
        self.variants |= {task.id: Label(task.target, task.probe, task.host) for task in found}
        return {task.id for task in found}

    def _was_assigned(self, number: int) -> bool:
        """It may come out of a spool long after the configuration changed."""
        try:
            self._catalogue.task(number)
        except NotFound:
            return False
        return True


def address_text(packed: bytes) -> str:
    """An address of a round as people and task numbers write it."""
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def _note(agent: str, refusals: Iterable[str], missing: int) -> None:
    if missing:
        log.warning("records missing, the agent's spool dropped them: agent=%s records=%d", agent, missing)
    for reason in refusals:
        log.warning("rounds refused: agent=%s reason=%r", agent, reason)


def _recent(intent: Intent, now: int) -> bool:
    return intent.begun > 0 and 0 <= now - intent.begun < IN_MEMORY


def digest(batch: RoundBatch) -> str:
    """Names these rounds, whatever they measured."""
    return blake2b(batch.task.tobytes() + batch.time.tobytes(), digest_size=8).hexdigest()


def _check_range(upload: Upload) -> None:
    if not _EPOCH.fullmatch(upload.epoch):
        raise WireError(f"upload: epoch {upload.epoch[:80]!r} is not 1 to 64 letters, digits, - or _")
    numbers = [record.sequence for record in upload.records]
    if not numbers or numbers[0] < 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise WireError(f"upload: sequences {numbers[:3]}… are not consecutive numbers from 1 on")


def _unpack(records: Iterable[Record]) -> RoundBatch:
    """The rounds of all records; together they are bounded, whatever they were compressed to."""
    batches, size = [], 0
    for record in records:
        try:
            batch = unpack(record.rounds)
        except WireError as error:
            raise WireError(f"record {record.sequence}: {error}") from error
        batches.append(batch)
        size += batch.rtts.nbytes + batch.task.nbytes * len(COLUMNS)
        if size > MOST_UNPACKED:
            raise WireError(f"upload: unpacks to more than {MOST_UNPACKED} bytes; send fewer records at a time")
    return RoundBatch.concatenate(batches)
