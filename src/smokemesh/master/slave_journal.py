"""The journal of slaves' rounds: what is about to be inserted is on disk first, under the name the insert will have.

One file below the data directory, with one group of rounds at most. What is found there at a start may be in the store or
not: inserted under its name again it is there once.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from smokemesh.errors import StoreError, WireError
from smokemesh.model.rounds import RoundBatch
from smokemesh.wire.columns import pack, unpack

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rounds of several slaves that go into the store together."""

    #: Name of the insert.
    token: str
    #: When they were taken, nanoseconds UTC.
    begun: int
    parts: Sequence[tuple[str, RoundBatch]]


class _Written(msgspec.Struct, array_like=True):
    token: str
    begun: int
    parts: list[tuple[str, bytes]]


class Journal:
    """The file. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, group: Group) -> None:
        """Have the group on disk, so that not even a power cut undoes it. Raises StoreError."""
        parts = [(name, pack(batch)) for name, batch in group.parts]
        data = msgspec.msgpack.encode(_Written(group.token, group.begun, parts))
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(fresh, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)
            _sync_directory(self._path.parent)
        except OSError as error:
            # What was not written for good must not come back: the slave will bring these rounds again.
            with suppress(OSError):
                self._path.unlink()
            raise StoreError(f"journal {self._path}: cannot be written: {error.strerror}; make room") from error

    def read(self) -> Group | None:
        """What a process before this one left, None for nothing."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"journal {self._path}: cannot be read: {error.strerror}") from error
        try:
            written = msgspec.msgpack.decode(data, type=_Written)
            return Group(written.token, written.begun, [(name, unpack(packed)) for name, packed in written.parts])
        except (msgspec.DecodeError, WireError) as error:
            aside = self._path.with_suffix(".damaged")
            os.replace(self._path, aside)
            log.error("journal of slaves' rounds cannot be understood, put aside: file=%s reason=%r", aside, str(error))
            return None

    def clear(self) -> None:
        """The group is in the store. Should the file come back after a power cut, it is inserted again, as nothing."""
        with suppress(FileNotFoundError):
            self._path.unlink()


def _sync_directory(path: Path) -> None:
    """Have a new name in a directory on disk (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
