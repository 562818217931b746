"""What can still be read from a damaged spool file, record by record."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from smokemesh.agent.spool_file import Contents, Entry, checksum

#: After so many records in a row that cannot be read, the rest is given up.
MOST_MISSES: Final = 100_000
#: A database file and what belongs to it.
SUFFIXES: Final = ("", "-wal", "-shm")


def move_aside(path: Path, stamp: str) -> Path:
    """Rename a damaged file and what belongs to it to `.corrupt-STAMP`; only the newest such file is kept."""
    for old in path.parent.glob(f"{path.name}.corrupt-*"):
        old.unlink(missing_ok=True)
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in SUFFIXES:
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    return aside


def remove(path: Path) -> None:
    """Delete a file and what belongs to it."""
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def read_contents(path: Path) -> Contents | None:
    """Epochs, numbers and consumers of a damaged file; None when they cannot be read.

    Without them its records must not be sent: which of them a master has already would be a guess.
    """
    try:
        with closing(_open(path)) as db:
            last, dropped, damaged = db.execute(
                "SELECT last_sequence, dropped_rounds, damaged_records FROM meta"
            ).fetchone()
            epochs = db.execute("SELECT first, name FROM epoch").fetchall()
            consumers = db.execute("SELECT name, acknowledged, pinned_first, pinned_last FROM consumer").fetchall()
            after = min((int(offset) for _, offset, _, _ in consumers), default=0)
            if int(last) > after and not any(int(first) <= after + 1 for first, _ in epochs):
                return None
            return Contents(
                epochs={int(first): str(name) for first, name in epochs},
                last_sequence=int(last),
                dropped_rounds=int(dropped),
                damaged_records=int(damaged),
                consumers={name: (int(offset), int(first), int(last)) for name, offset, first, last in consumers},
            )
    except (sqlite3.Error, TypeError, ValueError):
        return None


def read_records(path: Path, after: int, last: int) -> Iterator[tuple[int, Entry]]:
    """The records with numbers in (after, last] that are whole."""
    try:
        db = _open(path)
    except sqlite3.Error:
        return
    with closing(db):
        misses = 0
        for number in range(after + 1, last + 1):
            entry = _read(db, number)
            misses = 0 if entry else misses + 1
            if entry:
                yield number, entry
            elif misses > MOST_MISSES:
                return


def _read(db: sqlite3.Connection, number: int) -> Entry | None:
    try:
        row = db.execute(
            "SELECT oldest, rounds, checksum, CAST(data AS BLOB) FROM record WHERE sequence = ?", (number,)
        ).fetchone()
        if row is None or checksum(number, row[3]) != row[2]:
            return None
        return Entry(int(row[0]), int(row[1]), row[3])
    except (sqlite3.Error, TypeError, ValueError):
        return None


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
