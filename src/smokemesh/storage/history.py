"""History from another system, into the store of rounds: rounds into raw, coarser rows into the rollups, each once.

What is about to be inserted is written to a file first, under the token it is inserted with, so an import that was killed goes
on with exactly that. Hours of which something was brought in before are not brought in again, and nothing from the time on
when the agent measured the task itself. Times are nanoseconds UTC, RTTs seconds.
"""

import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.settings.shape import Retention
from smokemesh.storage import arrows
from smokemesh.storage.rounds import INSERT, ClickHouseRounds, pieces
from smokemesh.storage.schema import ACCURACY, BINS, RAW, ROLLUPS, quoted
from smokemesh.storage.statements import statements

SECOND: Final = 10**9
DAY: Final = 86_400 * SECOND
_HOUR: Final = 3600
_DAY: Final = 86_400
_TABLE: Final = "history"
_VIEW: Final = "history_to_rollups"
#: RTTs put into sketches by one insert: what an insert may take of memory is bounded.
MOST_RTTS: Final = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class CoarseRows:
    """`n` coarse rows of any tasks; columns as in `smokeping.archive.History`."""

    task: NDArray[np.uint64]
    time: NDArray[np.int64]
    resolution: NDArray[np.int64]
    rounds: NDArray[np.int64]
    sent: NDArray[np.int64]
    received: NDArray[np.int64]
    least: NDArray[np.float64]
    greatest: NDArray[np.float64]
    #: f8[n, pings], NaN where unknown.
    pings: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def concatenate(cls, parts: Sequence["CoarseRows"]) -> Self:
        """The rows of all parts, in order; where one has fewer pings than another, unknown ones are added."""
        width = max((part.pings.shape[1] for part in parts), default=0)
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) if parts else np.zeros(0, kind)
            for name, kind in _COLUMNS.items()
        }
        padded = [np.pad(p.pings, ((0, 0), (0, width - p.pings.shape[1])), constant_values=np.nan) for p in parts]
        return cls(**joined, pings=np.concatenate(padded) if padded else np.zeros((0, 0)))

    def select(self, keep: NDArray[Any]) -> "CoarseRows":
        """Some of the rows."""
        return CoarseRows(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})


_COLUMNS: Final = {
    "task": np.uint64,
    **dict.fromkeys(("time", "resolution", "rounds", "sent", "received"), np.int64),
    **dict.fromkeys(("least", "greatest"), np.float64),
}


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """An insert that was begun: into which table, under which token, of what."""

    table: str
    token: str
    data: bytes


class HistoryStore(ClickHouseRounds):
    """The store, for one import at a time. `directory` holds what is being inserted."""

    def __init__(self, dsn: str, retention: Retention, cluster: str, directory: str) -> None:
        super().__init__(dsn, retention, cluster)
        self._file = Path(directory) / "import.pending"
        self._names = {
            "table": quoted(self._schema.local(_TABLE)),
            "view": quoted(_VIEW),
            "rollups": quoted(ROLLUPS),
            "rounds": quoted(RAW),
            "bins": str(list(BINS.values())),
            "accuracy": str(ACCURACY),
            "imported": str(int(Flag.IMPORTED)),
            "on_cluster": self._schema.on_cluster,
        }
        #: (agent, task) -> the hours (days, where hours are kept no more) of which something had been brought in when
        #: they were first asked for: level's step, begin in Unix seconds.
        self._brought: dict[tuple[str, int], set[tuple[int, int]]] = {}
        self._command("history")
        self._command("history_to_rollups")

    def resume(self) -> bool:
        """Finish the insert that an import before this one had begun; whether there was one."""
        try:
            pending = msgspec.msgpack.decode(self._file.read_bytes(), type=Pending)
        except FileNotFoundError:
            return False
        self._send(pending)
        self._file.unlink()
        return True

    def bring(self, agent: str, rows: CoarseRows, batch: RoundBatch) -> tuple[int, int]:
        """Keep what is not held yet, coarse rows and rounds in order of task and time; how many of each."""
        fresh = rows.select(~self._known(agent, rows.task, rows.time))
        rounds = self._fresh_rounds(agent, batch)
        start = 0
        while start < len(fresh):
            stop = _bound(fresh, start)
            self._insert(_TABLE, _write(agent, fresh.select(np.arange(start, stop))))
            start = stop
        # The rounds come last: of a day that holds coarse rows each round is still looked for when this is cut off here.
        place = np.arange(len(rounds))
        for start, stop in pieces(rounds, np.zeros(len(rounds), np.int32), 0, len(rounds)):
            self._insert(RAW, arrows.write(agent, rounds.where((place >= start) & (place < stop))))
        return len(fresh), len(rounds)

    def native(self, agent: str, tasks: Sequence[int]) -> dict[int, int]:
        """When each task was first measured by the agent itself; tasks it never measured are left out."""
        values = {"agent": agent, "tasks": list(tasks)}
        raw, hours = dict(self._rows("native", values)), dict(self._rows("native_rollups", values))
        # The hour in which raw begins says nothing more; hours long before are all that is left of expired rounds.
        return hours | {task: first for task, first in raw.items() if first - hours.get(task, first) < 3600 * SECOND}

    def close(self) -> None:
        """Take away what was made for the import, and let go of the database."""
        self._command("drop_view")
        self._command("drop_table")
        super().close()

    def _fresh_rounds(self, agent: str, batch: RoundBatch) -> RoundBatch:
        known = self._known(agent, batch.task, batch.time)
        fresh = ~known
        # Where raw still holds them each round is looked for; older ones are in the rollups since they were brought in.
        recent = known & (batch.time >= time.time_ns() - int(self._retention.raw * SECOND))
        if recent.any():
            fresh[recent] = ~self.held(agent, batch.where(recent))
        return batch.where(fresh)

    def _known(self, agent: str, tasks: NDArray[np.uint64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows lie in an hour of which something of their task had been brought in before it was first asked for."""
        missing = {task for task in set(tasks.tolist()) if (agent, task) not in self._brought}
        if missing:
            self._brought |= {(agent, task): set() for task in missing}
            for step in (_HOUR, _DAY):
                for task, begin in self._rows("brought", {"agent": agent, "tasks": sorted(missing), "bin": step}):
                    self._brought[agent, task].add((step, begin))
        # A quarter's hours expire together, up to three months late.
        oldest = time.time() - self._retention.h1
        seconds = times // SECOND
        steps = np.where(seconds >= oldest, _HOUR, _DAY)
        places = zip(tasks.tolist(), steps.tolist(), (seconds // steps * steps).tolist(), strict=True)
        return np.array([(step, begin) in self._brought[agent, task] for task, step, begin in places], bool)

    def _insert(self, table: str, data: bytes) -> None:
        """Insert once, also when we are killed at any moment."""
        pending = Pending(table, f"import/{blake2b(data, digest_size=16).hexdigest()}", data)
        fresh = self._file.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.msgpack.encode(pending))
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._file)
        self._send(pending)
        self._file.unlink()

    def _send(self, pending: Pending) -> None:
        settings = INSERT | {"insert_deduplication_token": pending.token}
        table = self._schema.local(_TABLE) if pending.table == _TABLE else RAW
        with self._clients.writing() as client:
            client.raw_insert(table, insert_block=pending.data, fmt="Arrow", settings=settings)
        self._clients.settle()

    def _command(self, name: str) -> None:
        with self._clients.writing() as client:
            client.command(statements("history")[name].substitute(self._names))

    def _rows(self, name: str, values: dict[str, Any]) -> list[tuple[int, int]]:
        """An answer of two columns of numbers."""
        sql = statements("history")[name].substitute(self._names)
        with self._clients.reading() as client:
            table = arrows.read(client.raw_query(sql, parameters=values, fmt="Arrow"))
        columns = [column.to_pylist() for column in table.columns]
        return list(zip(*columns, strict=True))


def _bound(rows: CoarseRows, start: int) -> int:
    """Where an insert that begins at `start` ends: within bounds, and never inside a day of a task."""
    many = np.cumsum(rows.received[start:]) > MOST_RTTS
    stop = start + max(1, int(np.argmax(many))) if many.any() else len(rows)
    if stop == len(rows):
        return stop
    same = (rows.task == rows.task[stop]) & (rows.time // DAY == rows.time[stop] // DAY)
    first = int(np.argmax(same))
    return first if first > start else int(np.flatnonzero(same)[-1]) + 1


def _write(agent: str, rows: CoarseRows) -> bytes:
    """Coarse rows as an Arrow file that holds exactly one record batch."""
    known = ~np.isnan(rows.pings) & (rows.received > 0)[:, None]
    offsets = np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(np.int32)
    flags = np.full(len(rows), int(Flag.SORTED | Flag.IMPORTED), np.uint32)
    columns = {
        "task": pa.array(rows.task),
        "agent": pa.array([agent] * len(rows)),
        "time": pa.array((rows.time // SECOND).astype(np.uint32)),
        "resolution": pa.array(rows.resolution.astype(np.uint32)),
        "rounds": pa.array(rows.rounds.astype(np.uint64)),
        "step": pa.array(rows.resolution.astype(np.float32)),
        "sent": pa.array(rows.sent.astype(np.uint64)),
        "received": pa.array(rows.received.astype(np.uint64)),
        "flags": pa.array(flags),
        "least": pa.array(np.where(rows.received > 0, rows.least, np.inf).astype(np.float32)),
        "greatest": pa.array(np.where(rows.received > 0, rows.greatest, -np.inf).astype(np.float32)),
        "pings": pa.ListArray.from_arrays(offsets, pa.array(rows.pings[known].astype(np.float32))),
        "counts": pa.ListArray.from_arrays(offsets, pa.array(shares(rows.received, known))),
    }
    record = pa.record_batch(columns)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, record.schema) as writer:
        writer.write_batch(record)
    return sink.getvalue()


def shares(received: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """How many answers each known average stands for: together those received, as evenly as whole numbers can be."""
    width = np.maximum(known.sum(axis=1), 1)
    each, rest = received // width, received % width
    place = np.cumsum(known, axis=1) - 1
    counts = each[:, None] + (place < rest[:, None])
    return counts[known].astype(np.uint32)
