"""The journal of slaves' rounds: what a slave was told is safe is on disk first, a file for each group of posts.

Groups go into the store several together, under one name; which ones is written down before (the plan). So what a killed
process left is inserted again exactly as it was, and is there once. Once a file of a plan is gone, the plan is done; one
that is there and cannot be read says nothing of the kind, and the others are then looked up one by one.
"""

import logging
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from smokemesh.errors import StoreError, WireError
from smokemesh.model.rounds import RoundBatch
from smokemesh.wire.columns import pack, unpack

log = logging.getLogger(__name__)

#: What cannot be understood is kept under this ending, for people to look at.
_DAMAGED: Final = ".damaged"


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


@dataclass(frozen=True, slots=True)
class Plan:
    """The first groups of the journal are inserted together, or were."""

    #: The name of the insert.
    token: str
    #: When it was first tried, nanoseconds UTC; 0 when the store must be asked which of the rounds it has.
    begun: int
    #: How many groups it has.
    count: int


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
        damaged = self._plan.with_suffix(_DAMAGED)
        if damaged.exists():
            os.replace(damaged, damaged.with_suffix(".known"))

    def read(self) -> tuple[list[Group], Plan | None]:
        """What a process before this one left, in order, and the plan if it had one."""
        try:
            for unfinished in self._directory.glob("*.new"):
                unfinished.unlink()
            files = sorted(file for file in self._directory.glob("[0-9]*") if file.suffix in ("", _DAMAGED))
        except OSError as error:
            raise StoreError(f"journal {self._directory}: cannot be read: {error.strerror}") from error
        self._number = max((int(file.stem) for file in files), default=0)
        there = {file.stem for file in files}
        groups = [group for file in files if file.suffix == "" and (group := self._group(file))]
        return self._planned(groups, there)

    def _planned(self, groups: list[Group], there: set[str]) -> tuple[list[Group], Plan | None]:
        """The groups that are not done, and the plan. `there` has the names of all files, also of damaged ones."""
        damaged = self._plan.with_suffix(_DAMAGED)
        written = self._load(self._plan)
        if written is None:
            # Which groups it named is not known, so all of them may be in the store.
            return groups, Plan(f"slaves/{uuid.uuid4().hex}", 0, len(groups)) if damaged.exists() and groups else None
        planned = {name for name, _ in written.parts}
        if not planned <= there:
            self.done([group for group in groups if group.token in planned])
            return [group for group in groups if group.token not in planned], None
        known = sum(group.token in planned for group in groups)
        return groups, Plan(written.token, written.begun if known == len(planned) else 0, known) if known else None

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
        try:
            write_for_good(path, data)
        except StoreError:
            # What was not written for good must not come back: the slave will bring these rounds again.
            with suppress(OSError):
                path.unlink()
            raise


def write_for_good(path: Path, data: bytes) -> None:
    """Have a file on disk, whole or not at all, so that not even a power cut undoes it. Raises StoreError."""
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
        # A disk that is full must not get fuller with every try.
        with suppress(OSError):
            fresh.unlink()
        raise StoreError(f"{path}: cannot be written: {error.strerror}; make room") from error


def _put_aside(file: Path, why: str) -> None:
    aside = file.with_suffix(_DAMAGED)
    os.replace(file, aside)
    log.error("journal of slaves' rounds cannot be understood, put aside: file=%s reason=%r", aside, why)


def _sync_directory(path: Path) -> None:
    """Have a new name in a directory on disk (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
