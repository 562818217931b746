"""Which old rounds of slaves were taken: raw forgets them, and a slave whose post was not answered brings them again.

Kept as spans, per slave and task: a slave brings what it measured in order, so days of rounds are one span. A file for each
slave holds them over a restart. Times are nanoseconds UTC.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import StoreError
from smokemesh.master.slave_journal import write_for_good
from smokemesh.model.rounds import RoundBatch

log = logging.getLogger(__name__)

#: Spans remembered of each task, the newest; each is two times.
MOST_SPANS: Final = 64
#: Rounds further apart than so many steps are in spans of their own: others may have been between them.
_APART: Final = 1.5

Spans = list[tuple[int, int]]


class _Written(msgspec.Struct, array_like=True):
    slave: str
    #: Task -> spans, in order, first and last included.
    spans: dict[int, Spans]


@dataclass(slots=True)
class Memory:
    """The directory of files. One thread adds, another may ask meanwhile."""

    directory: Path
    _known: dict[str, dict[int, Spans]] = field(default_factory=dict)

    def add(self, slave: str, batch: RoundBatch) -> None:
        """These rounds are in the store. Raises StoreError."""
        if len(batch) == 0:
            return
        # Who asks in another thread has the old ones or the new ones.
        fresh = dict(self._of(slave))
        for task, rows in _by_task(batch):
            fresh[task] = _joined(fresh.get(task, []), batch.time[rows], float(batch.step[rows].max()) * 1e9)
        if fresh != self._of(slave):
            write_for_good(self._file(slave), msgspec.msgpack.encode(_Written(slave, fresh)))
            self._known[slave] = fresh

    def has(self, slave: str, batch: RoundBatch) -> NDArray[np.bool_]:
        """For each round: was it taken?"""
        spans, found = self._of(slave), np.zeros(len(batch), bool)
        for task, rows in _by_task(batch) if spans else ():
            if of := spans.get(task):
                firsts, lasts = np.array(of, np.int64).T
                at = np.searchsorted(firsts, batch.time[rows], side="right") - 1
                found[rows] = (at >= 0) & (batch.time[rows] <= lasts[at])
        return found

    def _of(self, slave: str) -> dict[int, Spans]:
        if slave not in self._known:
            self._known[slave] = self._load(self._file(slave))
        return self._known[slave]

    def _load(self, file: Path) -> dict[int, Spans]:
        try:
            return msgspec.msgpack.decode(file.read_bytes(), type=_Written).spans
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"{file}: cannot be read: {error.strerror}") from error
        except msgspec.DecodeError as error:
            aside = file.with_suffix(".damaged")
            os.replace(file, aside)
            log.error("memory of a slave's old rounds cannot be understood, put aside: file=%s reason=%s", aside, error)
            return {}

    def _file(self, slave: str) -> Path:
        """A name for any slave, whatever it is called."""
        return self.directory / blake2b(slave.encode(), digest_size=12).hexdigest()


def _by_task(batch: RoundBatch) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each task of the batch, and which of the rounds are of it."""
    order = np.argsort(batch.task, kind="stable")
    begins = np.flatnonzero(np.diff(batch.task[order], prepend=batch.task[order[:1]] + np.uint64(1)))
    for rows in np.split(order, begins[1:]):
        if len(rows):
            yield int(batch.task[rows[0]]), rows


def _joined(spans: Spans, times: NDArray[np.int64], step: float) -> Spans:
    """The spans with these times, those that are at most so many steps apart made one."""
    alone = [(at, at) for at in np.unique(times).tolist()]
    joined: Spans = []
    for first, last in sorted(spans + alone):
        if joined and first - joined[-1][1] <= _APART * step:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined[-MOST_SPANS:]
