"""The journal of slaves' rounds: what a slave was told is safe is on disk first, a file for each group of posts.

Groups go into the store several together, under one name; which ones is written down before (the plan). So what a killed
process left is inserted again exactly as it was, and is there once. Once a file of a plan is gone, the plan is done.
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
    """Rounds of several slaves that were taken together."""

    #: Its name in the journal.
    token: str
    #: When they were taken, nanoseconds UTC.
    begun: int
    parts: Sequence[tuple[str, RoundBatch]]

    def __len__(self) -> int:
        return sum(len(batch) for _, batch in self.parts)


class _Written(msgspec.Struct, array_like=True):
    token: str
    begun: int
    parts: list[tuple[str, bytes]]


class Journal:
    """The directory of files. Files are written and removed by one thread each, and named in the order they were written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._plan = directory / "plan"
        self._number = 0

    def write(self, begun: int, parts: Sequence[tuple[str, RoundBatch]]) -> Group:
        """Have a group on disk, so that not even a power cut undoes it. Raises StoreError."""
        self._number += 1
        group = Group(f"{self._number:012d}", begun, parts)
        packed = [(name, pack(batch)) for name, batch in parts]
        self._save(self._directory / group.token, msgspec.msgpack.encode(_Written(group.token, begun, packed)))
        return group

    def plan(self, token: str, begun: int, groups: Sequence[Group]) -> None:
        """These groups are about to be inserted together under this name. Raises StoreError."""
        named = [(group.token, b"") for group in groups]
        self._save(self._plan, msgspec.msgpack.encode(_Written(token, begun, named)))

    def done(self, groups: Sequence[Group]) -> None:
        """The groups are in the store."""
        for group in groups:
            (self._directory / group.token).unlink(missing_ok=True)
        self._plan.unlink(missing_ok=True)

    def read(self) -> tuple[list[Group], tuple[str, int, int] | None]:
        """What a process before this one left, in order, and the plan: its name, when it was made, how many groups it has."""
        try:
            files = sorted(file for file in self._directory.glob("[0-9]*") if file.suffix == "")
        except OSError as error:
            raise StoreError(f"journal {self._directory}: cannot be read: {error.strerror}") from error
        self._number = max((int(file.name) for file in files), default=0)
        groups = [group for file in files if (group := self._group(file))]
        written = self._load(self._plan)
        if written is None:
            return groups, None
        planned = {name for name, _ in written.parts}
        known = {group.token for group in groups}
        if planned <= known:
            return groups, (written.token, written.begun, len(planned))
        self.done([group for group in groups if group.token in planned])
        return [group for group in groups if group.token not in planned], None

    def _group(self, file: Path) -> Group | None:
        written = self._load(file)
        if written is None:
            return None
        try:
            return Group(file.name, written.begun, [(name, unpack(packed)) for name, packed in written.parts])
        except WireError as error:
            _put_aside(file, str(error))
            return None

    def _load(self, file: Path) -> _Written | None:
        try:
            return msgspec.msgpack.decode(file.read_bytes(), type=_Written)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"journal {file}: cannot be read: {error.strerror}") from error
        except msgspec.DecodeError as error:
            _put_aside(file, str(error))
            return None

    def _save(self, path: Path, data: bytes) -> None:
        fresh = path.with_suffix(".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(fresh, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
            _sync_directory(path.parent)
        except OSError as error:
            # What was not written for good must not come back: the slave will bring these rounds again.
            with suppress(OSError):
                path.unlink()
            raise StoreError(f"journal {path}: cannot be written: {error.strerror}; make room") from error


def _put_aside(file: Path, why: str) -> None:
    aside = file.with_suffix(".damaged")
    os.replace(file, aside)
    log.error("journal of slaves' rounds cannot be understood, put aside: file=%s reason=%r", aside, why)


def _sync_directory(path: Path) -> None:
    """Have a new name in a directory on disk (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
