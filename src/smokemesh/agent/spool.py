"""The spool: an append-only log of round batches between the prober and the masters.

Records are numbered from 1; each start of the agent is an epoch with a random name of its own. Each master is a consumer with its own offset; a record leaves when
every consumer acknowledged it, or when the spool's bounds pass it, and then its rounds are counted as dropped. An upload
is *pinned* on disk before it is attempted: after a crash the same range is sent again, so that the master can tell that
it has it. What a disk does to us (full, torn, unreadable) is met here, counted, and never stops the measurement.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from smokemesh.agent import salvage
from smokemesh.agent.spool_file import Contents, Entry, SpoolFile, is_damage
from smokemesh.errors import HostError
from smokemesh.model.rounds import RoundBatch
from smokemesh.settings.shape import SpoolSettings
from smokemesh.wire.columns import pack
from smokemesh.wire.messages import Upload

#: Rounds wait in memory about this long, seconds, before they are on disk.
FLUSH_INTERVAL: Final = 0.5
#: Rounds and pings in one record at most, as soon as either is reached: a record fits into one upload.
MOST_ROUNDS: Final = 5000
MOST_PINGS: Final = 150_000
#: Bytes of packed rounds kept in memory while the disk takes none; older ones are dropped and counted.
MOST_WAITING: Final = 8 * 2**20
#: After the disk refused, wait this long before it is tried again, seconds.
DISK_RETRY: Final = 2.0
#: The age bound is looked at this often, seconds.
TRIM_INTERVAL: Final = 10.0
#: That rounds are dropped is said this often, seconds.
TELL_INTERVAL: Final = 60.0
#: A wall clock must have gone along with the monotonic one for so many seconds before rounds are dropped for their age:
#: one that is wrong for a while (at boot, after a sleep) would make all of them look too old.
TRUSTED_AFTER: Final = 3600.0
#: Seconds by which a wall clock that goes along may seem to move.
CLOCK_STEP: Final = 60.0

log = logging.getLogger("smokemesh.spool")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Depth:
    """How full the spool is, what waits in memory included."""

    rounds: int
    bytes: int
    #: Time of the oldest round, nanoseconds UTC; 0 when empty.
    oldest: int
    #: Rounds dropped since the spool was made: bounds passed, damaged, or the disk refused for too long.
    dropped: int
    #: Records that could not be read back.
    damaged: int


class Spool:
    """The log. Every method may be called from any thread."""

    def __init__(
        self,
        path: Path,
        consumers: Sequence[str],
        bounds: SpoolSettings | None = None,
        clock: Callable[[], int] = time.time_ns,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives nanoseconds UTC, `steady` seconds that nobody sets."""
        self.path, self.bounds, self._clock, self._steady = path, bounds or SpoolSettings(), clock, steady
        #: Wall clock minus monotonic clock in seconds, and since when it has been that.
        self._offset, self._offset_since = 0.0, 0.0
        self._consumers = tuple(consumers)
        self._lock = threading.RLock()
        #: As the prober delivers them; its thread never waits for the lock, which is held during commits.
        self._arrived: deque[RoundBatch] = deque()
        self._waiting: deque[Entry] = deque()
        #: Acknowledged, and dropped or damaged, but not written down yet.
        self._acknowledged: dict[str, int] = {}
        self._dropped = self._damaged = 0
        self._retry_at = self._trim_at = self._tell_at = 0.0
        #: What is wrong with the disk now, "" for nothing.
        self.trouble = ""
        #: Records found damaged since the start, and when that was last, monotonic seconds.
        self.lost, self.lost_at = 0, 0.0
        self._closed = False
        #: A damaged file whose records are still to be put into a new one.
        self._aside: Path | None = None
        self._file: SpoolFile | None = None
        self._open()

    def append(self, batch: RoundBatch) -> None:
        """Take rounds; they are on disk after the next `flush`."""
        if len(batch):
            self._arrived.append(batch)

    def run(self, stop: threading.Event) -> None:
        """Flush until `stop` is set, and once more."""
        while not stop.wait(FLUSH_INTERVAL):
            try:
                self.flush()
            except Exception:  # rounds stay in memory, and the next flush tries again
                log.exception("flush failed")
        self.flush(last=True)

    def flush(self, *, last: bool = False) -> bool:
        """Write what arrived and was acknowledged, keep to the bounds; whether all is on disk."""
        with self._lock:
            self._pack_arrived()
            now = time.monotonic()
            if now < self._retry_at and not last:
                return self._keep_newest()
            trim = now >= self._trim_at
            if not (self._waiting or self._acknowledged or self._dropped or self._damaged or trim):
                return True
            if not self._attempt(self._write, default=False, writes=True):
                return self._keep_newest()
            if trim:
                self._trim_at = now + TRIM_INTERVAL
                self._attempt(SpoolFile.shrink, default=None)
            return True

    def next_upload(self, consumer: str, most_bytes: int) -> Upload | None:
        """The pinned range, else the oldest records not acknowledged, pinned; None when there are none.

        A record that is gone is made up for by an empty one, so that a range keeps its name and has no gaps.
        """
        with self._lock:
            if time.monotonic() < self._retry_at:
                return None
            acknowledged = dict(self._acknowledged)
            upload = self._attempt(lambda file: (self._pin(file, consumer, acknowledged, most_bytes),), default=None)
            if upload is None:
                return None
            self._acknowledged.clear()
            return upload[0]

    def _pin(self, file: SpoolFile, consumer: str, acknowledged: dict[str, int], most_bytes: int) -> Upload | None:
        before = file.damaged_records
        upload = file.pin(consumer, acknowledged, most_bytes)
        self._note_damage(file.damaged_records - before)
        return upload

    def acknowledge(self, consumer: str, epoch: str, stored: int) -> None:
        """The master has everything up to `stored`; written down with the next pin or flush.

        A crash before that is harmless: the range is still pinned, is sent again and is known to the master.
        """
        with self._lock:
            if self._file is not None and epoch == self._file.epoch_of(stored):
                self._acknowledged[consumer] = max(stored, self._acknowledged.get(consumer, 0))

    def unpin(self, consumer: str) -> None:
        """The master will not take the pinned range as it is: the next upload may be another."""
        with self._lock:
            self._attempt(lambda file: file.unpin(consumer), default=None)

    def discard(self, consumer: str, upload: Upload) -> None:
        """The master will never take these records: count them as dropped and go on behind them."""
        with self._lock:
            first, last = upload.records[0].sequence, upload.records[-1].sequence
            self._dropped += self._attempt(lambda file: file.rounds_between(first, last), default=0)
            self.acknowledge(consumer, upload.epoch, last)

    def depth(self) -> Depth:
        """How full it is now."""
        with self._lock:
            file, waiting = self._file, list(self._waiting)
            oldest = [self._attempt(SpoolFile.oldest, default=0), *(entry.oldest for entry in waiting)]
            return Depth(
                rounds=(file.rounds if file else 0)
                + sum(e.rounds for e in waiting)
                + sum(len(batch) for batch in list(self._arrived)),
                bytes=(file.bytes if file else 0) + sum(len(e.data) for e in waiting),
                oldest=min((t for t in oldest if t), default=0),
                dropped=(file.dropped_rounds if file else 0) + self._dropped,
                damaged=(file.damaged_records if file else 0) + self._damaged,
            )

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._lock:
            self.flush(last=True)
            self._closed = True
            if self._file is not None:
                self._file.close()

    def _pack_arrived(self) -> None:
        """Make few large records of the many small batches that arrived."""
        batches: list[RoundBatch] = []
        rounds = pings = 0
        while self._arrived:
            batches.append(self._arrived.popleft())
            rounds, pings = rounds + len(batches[-1]), pings + len(batches[-1].rtts)
            if rounds >= MOST_ROUNDS or pings >= MOST_PINGS or not self._arrived:
                batch = RoundBatch.concatenate(batches)
                self._waiting.append(Entry(int(batch.time.min()), len(batch), pack(batch)))
                batches, rounds, pings = [], 0, 0

    def _keep_newest(self) -> bool:
        """While the disk takes nothing, the newest rounds are kept in memory and the oldest go."""
        surplus = sum(len(entry.data) for entry in self._waiting) - MOST_WAITING
        while surplus > 0 and len(self._waiting) > 1:
            entry = self._waiting.popleft()
            surplus -= len(entry.data)
            self._dropped += entry.rounds
        return not self._waiting

    def _write(self, file: SpoolFile) -> bool:
        before = file.dropped_rounds
        file.write(
            self._waiting,
            self._acknowledged,
            most_bytes=self.bounds.most_bytes,
            oldest=self._oldest_kept(),
            dropped=self._dropped,
            damaged=self._damaged,
        )
        passed = file.dropped_rounds - before - self._dropped
        if passed and time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + TELL_INTERVAL
            log.warning("spool is full or too old, oldest rounds go: total_dropped_rounds=%d", file.dropped_rounds)
        self._waiting.clear()
        self._acknowledged.clear()
        self._dropped = self._damaged = 0
        return True

    def _oldest_kept(self) -> int:
        """Older rounds are dropped: nanoseconds UTC, 0 while the wall clock cannot be trusted to tell."""
        wall, steady = self._clock(), self._steady()
        offset = wall / 1e9 - steady
        if abs(offset - self._offset) > CLOCK_STEP:
            self._offset, self._offset_since = offset, steady
        trusted = steady - self._offset_since >= TRUSTED_AFTER
        return wall - round(self.bounds.most_age * 1e9) if trusted else 0

    def _attempt(self, work: Callable[[SpoolFile], T], *, default: T, writes: bool = False) -> T:
        """Work on the file. What the disk refuses is tried again later, a damaged file is replaced."""
        if self._closed:  # a thread that did not end in time still asks: it gets nothing
            return default
        try:
            if self._file is None:
                self._reopen()
            assert self._file is not None
            done = work(self._file)
        except sqlite3.Error as error:
            if is_damage(error):
                self._replace(error)
            else:
                self._refused(error)
            return default
        except OSError as error:
            self._refused(error)
            return default
        if writes and self.trouble:
            log.info("spool works again")
            self.trouble, self._retry_at = "", 0.0
        return done

    def _refused(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + DISK_RETRY
        trouble = f"spool {self.path}: {error}"
        if trouble != self.trouble:
            log.error("disk takes no rounds, kept in memory: error=%r most_bytes=%d", trouble, MOST_WAITING)
        self.trouble = trouble

    def _open(self) -> None:
        """Open the file. One that was never there and cannot be made is the user's to mend; else measuring goes on."""
        known = self.path.exists()
        try:
            self._reopen()
        except sqlite3.Error as error:
            if is_damage(error):
                self._replace(error)
            elif known:
                self._refused(error)
            else:
                raise HostError(
                    f"spool {self.path}: {error}; free the disk or choose another data directory"
                ) from error

    def _reopen(self) -> None:
        if self._aside is None:
            self._file = SpoolFile(self.path, self._consumers)
        else:
            self._rescue(self._aside)
            self._aside = None

    def _note_damage(self, records: int) -> None:
        if records:
            self.lost, self.lost_at = self.lost + records, time.monotonic()

    def _replace(self, damage: Exception) -> None:
        """Move a damaged file aside, begin a new one, and put into it what can still be read."""
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.close()
            self._file = None
        try:
            if self._aside is None:
                self._aside = salvage.move_aside(self.path, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
            else:  # it is the new file, into which the old one was being saved
                salvage.remove(self.path)
            log.error("spool was damaged and moved aside: error=%r file=%s", _line(damage), self._aside)
            self._reopen()
        except (sqlite3.Error, OSError) as error:
            self._refused(error)

    def _rescue(self, aside: Path) -> None:
        """Begin a new file with what can be read of a damaged one. Used only when whole; else all of it is done again."""
        contents = salvage.read_contents(aside)
        file = SpoolFile(self.path, self._consumers, contents)
        try:
            # Without contents it is unknown which records were uploaded, and none may count twice: one count for all.
            lost = 1 if contents is None else _restore(file, contents, aside)
        except BaseException:
            file.close()
            raise
        self._file = file
        self._damaged += lost
        self._note_damage(lost)
        log.warning("spool rescued: rounds=%d lost_records=%d", file.rounds, lost)


def _restore(file: SpoolFile, contents: Contents, aside: Path) -> int:
    """Put what can be read of a damaged file into a new one; how many records could not."""
    after = min((state[0] for state in contents.consumers.values()), default=0)
    records = salvage.read_records(aside, after, contents.last_sequence)
    kept = 0
    while some := list(islice(records, 256)):
        file.restore(some)
        kept += len(some)
    return max(contents.last_sequence - after - kept, 0)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
