"""The spool's file: records, consumers and counts in SQLite (WAL, synchronous FULL). One transaction per method.

Each opening begins an epoch for the records then made; older records keep theirs, and numbers go on counting. A copy of
the file brought back so never puts other rounds under a name that was used. It raises what SQLite raises; `agent.spool` decides what a full disk or a damaged file means.
"""

import secrets
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zlib import crc32

from smokemesh.model.rounds import RoundBatch
from smokemesh.wire.columns import pack
from smokemesh.wire.messages import Record, Upload

#: A file larger than this is not checked whole when it is opened: damage is met when it is read.
MOST_CHECKED: Final = 64 * 2**20
#: Stands for a record that is gone, so that an upload keeps its name and stays without gaps.
EMPTY: Final = pack(RoundBatch.empty())

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last_sequence INTEGER NOT NULL,
    dropped_rounds INTEGER NOT NULL,
    damaged_records INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS epoch (
    first INTEGER PRIMARY KEY,
    name TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS record (
    sequence INTEGER PRIMARY KEY,
    oldest INTEGER NOT NULL,
    rounds INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS consumer (
    name TEXT PRIMARY KEY,
    acknowledged INTEGER NOT NULL,
    pinned_first INTEGER NOT NULL,
    pinned_last INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to be kept."""

    #: Time of its oldest round, nanoseconds UTC.
    oldest: int
    rounds: int
    data: bytes


@dataclass(slots=True)
class Contents:
    """All that a file says beside its records."""

    last_sequence: int = 0
    dropped_rounds: int = 0
    damaged_records: int = 0
    #: First sequence number -> name.
    epochs: dict[int, str] = field(default_factory=dict)
    #: Name -> acknowledged, first and last of the pinned range (0, 0 for none).
    consumers: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def checksum(sequence: int, data: bytes) -> int:
    """CRC-32 of a record, its number included: a record found under another number is damaged too."""
    return crc32(data, crc32(sequence.to_bytes(8, "little")))


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, rather than the disk full, locked or gone."""
    # Errors without a code come from Python's side: a value that is not what its column holds.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SpoolFile:
    """An open spool file."""

    def __init__(self, path: Path, consumers: Sequence[str], contents: Contents | None = None) -> None:
        """Open or make the file; `contents` is what a new one begins with."""
        new = not path.exists()
        # Transactions are begun by hand; the caller's lock lets several threads use one connection.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            if new:
                path.chmod(0o600)
            self._configure(check=not new and path.stat().st_size <= MOST_CHECKED)
            with self._transaction():
                self._begin_with(contents or Contents())
                self._register(consumers)
                self._begin_epoch()
            self._load()
        except BaseException:
            self._db.close()
            raise

    def _configure(self, *, check: bool) -> None:
        db = self._db
        # auto_vacuum takes effect only before the first table is made, journal_mode only outside of transactions.
        for setting in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL", "cache_size=-512"):
            db.execute(f"PRAGMA {setting}").fetchall()
        db.execute("PRAGMA wal_autocheckpoint=256").fetchall()
        if check and (verdict := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            error = sqlite3.DatabaseError(" ".join(verdict.split()))
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        db.executescript(SCHEMA)

    def _begin_with(self, contents: Contents) -> None:
        row = (contents.last_sequence, contents.dropped_rounds, contents.damaged_records)
        if self._db.execute("INSERT OR IGNORE INTO meta VALUES (1, ?, ?, ?)", row).rowcount:
            self._db.executemany("INSERT OR REPLACE INTO epoch VALUES (?, ?)", contents.epochs.items())
            consumers = [(name, *state) for name, state in contents.consumers.items()]
            self._db.executemany("INSERT OR REPLACE INTO consumer VALUES (?, ?, ?, ?)", consumers)

    def _register(self, names: Sequence[str]) -> None:
        """Make `names` the consumers. A single master whose address changed keeps its place."""
        known = [name for (name,) in self._db.execute("SELECT name FROM consumer")]
        gone = [name for name in known if name not in names]
        new = [name for name in names if name not in known]
        if len(gone) == len(new) == 1:
            self._db.execute("UPDATE consumer SET name = ? WHERE name = ?", (new[0], gone[0]))
            return
        self._db.executemany("DELETE FROM consumer WHERE name = ?", [(name,) for name in gone])
        self._db.executemany("INSERT INTO consumer VALUES (?, 0, 0, 0)", [(name,) for name in new])

    def _begin_epoch(self) -> None:
        """The next record is the first of a new epoch; epochs that hold no record any more are forgotten."""
        self._db.execute("DELETE FROM epoch WHERE first > (SELECT last_sequence FROM meta)")
        self._db.execute("INSERT INTO epoch SELECT last_sequence + 1, ? FROM meta", (secrets.token_hex(8),))
        self._db.execute(
            "DELETE FROM epoch WHERE first <"
            " (SELECT max(first) FROM epoch WHERE first <= (SELECT min(acknowledged) + 1 FROM consumer))"
        )

    def _load(self) -> None:
        meta = self._db.execute("SELECT last_sequence, dropped_rounds, damaged_records FROM meta").fetchone()
        self.last_sequence, self.dropped_rounds, self.damaged_records = (int(value) for value in meta)
        #: (first sequence number, name), ascending.
        self._epochs: list[tuple[int, str]] = self._db.execute(
            "SELECT first, name FROM epoch ORDER BY first"
        ).fetchall()
        totals = self._db.execute("SELECT ifnull(sum(rounds), 0), ifnull(sum(bytes), 0) FROM record").fetchone()
        self.rounds, self.bytes = int(totals[0]), int(totals[1])

    def epoch_of(self, sequence: int) -> str:
        """The name of the epoch a record belongs to."""
        return self._epochs[self._epoch_at(sequence)][1]

    def _epoch_at(self, sequence: int) -> int:
        return max(bisect_right(self._epochs, sequence, key=lambda epoch: epoch[0]) - 1, 0)

    def _last_of_epoch(self, sequence: int) -> int:
        """The last record there may be in the epoch of this one."""
        after = self._epochs[self._epoch_at(sequence) + 1 :]
        return after[0][0] - 1 if after else self.last_sequence

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself, as on a full disk
                self._db.execute("ROLLBACK")
            raise

    def write(
        self,
        entries: Sequence[Entry],
        acknowledged: Mapping[str, int],
        *,
        most_bytes: int,
        oldest: int,
        dropped: int,
        damaged: int,
    ) -> None:
        """Add records, forget acknowledged ones, keep to the bounds, note what was dropped elsewhere."""
        first = self.last_sequence + 1
        with self._transaction():
            gone = self._acknowledge(acknowledged)
            passed = self._pass_bounds(most_bytes - sum(len(entry.data) for entry in entries), oldest, gone)
            self._db.executemany(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (n, e.oldest, e.rounds, len(e.data), checksum(n, e.data), e.data)
                    for n, e in enumerate(entries, first)
                ],
            )
            self._db.execute(
                "UPDATE meta SET last_sequence = ?, dropped_rounds = dropped_rounds + ?,"
                " damaged_records = damaged_records + ?",
                (self.last_sequence + len(entries), dropped + passed[0], damaged),
            )
        self.last_sequence += len(entries)
        self.dropped_rounds += dropped + passed[0]
        self.damaged_records += damaged
        self.rounds += sum(entry.rounds for entry in entries) - gone[0] - passed[0]
        self.bytes += sum(len(entry.data) for entry in entries) - gone[1] - passed[1]

    def _acknowledge(self, acknowledged: Mapping[str, int]) -> tuple[int, int]:
        """Move consumers on and delete what all have; the rounds and bytes deleted."""
        for name, sequence in acknowledged.items():
            self._db.execute(
                "UPDATE consumer SET acknowledged = max(acknowledged, ?) WHERE name = ?",
                (min(sequence, self.last_sequence), name),
            )
            # Written down late, or once more: a range pinned since then is another and stays.
            self._db.execute(
                "UPDATE consumer SET pinned_first = 0, pinned_last = 0 WHERE name = ? AND pinned_first <= ?",
                (name, sequence),
            )
        if not acknowledged:
            return 0, 0
        return self._delete_up_to(self._db.execute("SELECT ifnull(min(acknowledged), 0) FROM consumer").fetchone()[0])

    def _delete_up_to(self, sequence: int) -> tuple[int, int]:
        found = self._db.execute(
            "SELECT ifnull(sum(rounds), 0), ifnull(sum(bytes), 0) FROM record WHERE sequence <= ?", (sequence,)
        ).fetchone()
        self._db.execute("DELETE FROM record WHERE sequence <= ?", (sequence,))
        return int(found[0]), int(found[1])

    def _pass_bounds(self, most_bytes: int, oldest: int, gone: tuple[int, int]) -> tuple[int, int]:
        """Delete the oldest records until bytes and age are within bounds; the rounds and bytes deleted."""
        surplus, upto = self.bytes - gone[1] - most_bytes, 0
        for sequence, begun, size in self._db.execute("SELECT sequence, oldest, bytes FROM record ORDER BY sequence"):
            if surplus <= 0 and begun >= oldest:
                break
            surplus, upto = surplus - size, sequence
        if not upto:
            return 0, 0
        self._db.execute("UPDATE consumer SET acknowledged = max(acknowledged, ?)", (upto,))
        self._db.execute("UPDATE consumer SET pinned_first = 0, pinned_last = 0 WHERE pinned_last <= ?", (upto,))
        return self._delete_up_to(upto)

    def pin(self, consumer: str, acknowledged: Mapping[str, int], most_bytes: int) -> Upload | None:
        """The consumer's pinned range; without one, the records after its offset, pinned now. None: nothing is there."""
        with self._transaction():
            gone = self._acknowledge(acknowledged)
            offset, first, last = self._consumer(consumer)
            if not last:
                first, last = self._choose(offset, most_bytes)
                self._set_pin(consumer, first, last)
        self.rounds, self.bytes = self.rounds - gone[0], self.bytes - gone[1]
        if not last:
            return None
        found = self._read(first, last)
        return Upload(self.epoch_of(first), tuple(Record(n, found.get(n, EMPTY)) for n in range(first, last + 1)))

    def unpin(self, consumer: str) -> None:
        """The next upload may be another range."""
        with self._transaction():
            self._set_pin(consumer, 0, 0)

    def _consumer(self, name: str) -> tuple[int, int, int]:
        found = self._db.execute(
            "SELECT acknowledged, pinned_first, pinned_last FROM consumer WHERE name = ?", (name,)
        ).fetchone()
        return int(found[0]), int(found[1]), int(found[2])

    def _set_pin(self, consumer: str, first: int, last: int) -> None:
        self._db.execute(
            "UPDATE consumer SET pinned_first = ?, pinned_last = ? WHERE name = ?", (first, last, consumer)
        )

    def _choose(self, offset: int, most_bytes: int) -> tuple[int, int]:
        """The longest range after `offset` within an epoch and `most_bytes`, one record at least; (0, 0): none is left."""
        first = last = total = end = 0
        rows = self._db.execute("SELECT sequence, bytes FROM record WHERE sequence > ? ORDER BY sequence", (offset,))
        for sequence, size in rows:
            total += size
            if first and (total > most_bytes or sequence != last + 1 or sequence > end):
                break
            end = end or self._last_of_epoch(sequence)
            first, last = first or sequence, sequence
        return first, last

    def _read(self, first: int, last: int) -> dict[int, bytes]:
        """The records of a range that are whole; damaged ones are deleted and counted."""
        rows = self._db.execute(
            "SELECT sequence, rounds, checksum, CAST(data AS BLOB) FROM record WHERE sequence BETWEEN ? AND ?",
            (first, last),
        ).fetchall()
        damaged = [(n, rounds) for n, rounds, check, data in rows if checksum(n, data) != check]
        if damaged:
            self._delete_damaged(damaged)
        bad = {n for n, _ in damaged}
        return {n: data for n, _, _, data in rows if n not in bad}

    def _delete_damaged(self, damaged: list[tuple[int, int]]) -> None:
        rounds = sum(rounds for _, rounds in damaged)
        size = 0
        with self._transaction():
            for number, _ in damaged:
                size += self._db.execute("SELECT bytes FROM record WHERE sequence = ?", (number,)).fetchone()[0]
                self._db.execute("DELETE FROM record WHERE sequence = ?", (number,))
            self._db.execute(
                "UPDATE meta SET dropped_rounds = dropped_rounds + ?, damaged_records = damaged_records + ?",
                (rounds, len(damaged)),
            )
        self.rounds, self.bytes = self.rounds - rounds, self.bytes - size
        self.dropped_rounds += rounds
        self.damaged_records += len(damaged)

    def rounds_between(self, first: int, last: int) -> int:
        """How many rounds a range holds."""
        query = "SELECT ifnull(sum(rounds), 0) FROM record WHERE sequence BETWEEN ? AND ?"
        return int(self._db.execute(query, (first, last)).fetchone()[0])

    def oldest(self) -> int:
        """Time of the oldest round, nanoseconds UTC; 0 when empty."""
        found = self._db.execute("SELECT oldest FROM record ORDER BY sequence LIMIT 1").fetchone()
        return int(found[0]) if found else 0

    def shrink(self) -> None:
        """Give pages freed by a backlog that was sent back to the file system."""
        self._db.executescript("PRAGMA incremental_vacuum(512)")  # execute() would take one step of it, one page

    def restore(self, records: Sequence[tuple[int, Entry]]) -> None:
        """Put back records under the numbers they had."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?)",
                [(n, e.oldest, e.rounds, len(e.data), checksum(n, e.data), e.data) for n, e in records],
            )
        self._load()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
