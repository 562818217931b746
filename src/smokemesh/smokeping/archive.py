"""SmokePing's archives: what `rrdtool dump` prints of one, and what that means as rounds and as coarser history.

A row of an archive stands for the time up to its stamp. The finest rows are taken as rounds. They are averages too, over
the parts of two rounds that lie in a step: where a step holds a fraction of a lost ping, fractions are carried on to the next, so
that the sum is right; where fewer or more RTTs are known than pings were answered, the known ones are read off at as many
places. Coarser rows keep their own resolution; no round is made of them. Times are nanoseconds UTC, RTTs seconds.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import ConfigError
from smokemesh.model.rounds import Flag, RoundBatch

SECOND: Final = 10**9
_STEP: Final = re.compile(r"<step>\s*(\d+)")
_UPDATED: Final = re.compile(r"<lastupdate>\s*(\d+)")
_NAME: Final = re.compile(r"<name>\s*(\S+)\s*</name>")
_RRA: Final = re.compile(r"<rra>(.*?)</rra>", re.DOTALL)
_CF: Final = re.compile(r"<cf>\s*(\w+)")
_PER_ROW: Final = re.compile(r"<pdp_per_row>\s*(\d+)")
_TIME: Final = re.compile(r"/ (\d+) -->")
_VALUE: Final = re.compile(r"<v>\s*([^<\s]+)\s*</v>")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One archive inside the file (an RRA)."""

    #: AVERAGE, MIN or MAX.
    kind: str
    #: Seconds a row stands for.
    resolution: int
    #: End of each row, Unix seconds, i8[n].
    end: NDArray[np.int64]
    #: f8[n, columns], NaN where unknown.
    values: NDArray[np.float64]

    @property
    def begin(self) -> NDArray[np.int64]:
        """Begin of each row, Unix seconds."""
        return self.end - self.resolution


@dataclass(frozen=True, slots=True, eq=False)
class Archive:
    """One file."""

    step: int
    #: Unix seconds.
    updated: int
    columns: tuple[str, ...]
    tables: tuple[Table, ...]

    @property
    def pings(self) -> int:
        """Pings in a round."""
        return len(self.columns) - 3

    def of(self, kind: str) -> list[Table]:
        """The tables of a kind, the finest first."""
        return sorted((table for table in self.tables if table.kind == kind), key=lambda table: table.resolution)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """`n` coarse rows of one series: sums over all rounds of a row, and the averages of its sorted pings."""

    #: Begin of each row, i8[n], and the seconds it stands for, i8[n].
    time: NDArray[np.int64]
    resolution: NDArray[np.int64]
    rounds: NDArray[np.int64]
    sent: NDArray[np.int64]
    received: NDArray[np.int64]
    #: Least and greatest RTT, NaN where nothing was answered, f8[n].
    least: NDArray[np.float64]
    greatest: NDArray[np.float64]
    #: The average of each of the sorted pings, NaN where unknown, f8[n, pings].
    pings: NDArray[np.float64]
    #: Seconds between two rounds.
    step: float = field(default=0.0)

    def __len__(self) -> int:
        return len(self.time)


def parse_dump(text: str, file: str) -> Archive:
    """What `rrdtool dump` printed. Raises ConfigError when it is no archive of SmokePing's."""
    step, updated = _STEP.search(text), _UPDATED.search(text)
    columns = tuple(_NAME.findall(text))
    if step is None or updated is None:
        raise ConfigError("rrdtool printed something that is no archive; try `rrdtool dump` on it", file=file)
    if columns[:3] != ("uptime", "loss", "median") or not _are_pings(columns[3:]):
        found = ", ".join(columns[:4]) or "none"
        raise ConfigError(
            f"is no archive of SmokePing's: its sources are {found}, not uptime, loss, median, ping1", file=file
        )
    tables = tuple(_table(part, int(step[1]), len(columns), file) for part in _RRA.findall(text))
    return Archive(int(step[1]), int(updated[1]), columns, tables)


def _are_pings(names: Sequence[str]) -> bool:
    return bool(names) and all(name == f"ping{i}" for i, name in enumerate(names, 1))


def _table(text: str, step: int, columns: int, file: str) -> Table:
    kind, per_row = _CF.search(text), _PER_ROW.search(text)
    if kind is None or per_row is None:
        raise ConfigError("an archive in it has no kind or no length of row; try `rrdtool dump` on it", file=file)
    rows = text[text.index("<database>") :] if "<database>" in text else ""
    end = np.array(_TIME.findall(rows), np.int64)
    try:
        values = np.array(_VALUE.findall(rows), np.float64).reshape(len(end), columns)
    except ValueError as error:
        raise ConfigError("a row in it has too many or too few values; try `rrdtool dump` on it", file=file) from error
    return Table(kind[1], step * int(per_row[1]), end, values)


def split(archive: Archive, before: int) -> tuple[Table | None, list[Table]]:
    """The finest table and the coarser ones, each cut where a finer one takes over; nothing from `before` (Unix seconds) on.

    Where a coarse row reaches into the finer table's time, the coarse row is taken and the finer rows inside it are not:
    no time is left out and none is counted twice.
    """
    tables = archive.of("AVERAGE")
    kept: list[Table] = []
    until = before
    for table, coarser in zip(tables, [*tables[1:], None], strict=True):
        mine = _known(_rows(table, table.end <= until))
        if coarser is not None and len(table.end):
            # A table reaches back to its first row, whatever is known of it.
            until = min(until, _meeting(_known(coarser), int(table.begin[0])))
            mine = _rows(mine, mine.begin >= until)
        kept.append(mine)
    finest = [table for table in kept if table.resolution == archive.step]
    return (finest[0] if finest else None), [table for table in kept if table.resolution != archive.step]


def _meeting(coarser: Table, begin: int) -> int:
    """Where a coarser table hands over to one that begins at `begin`: at the end of the row that lies across, if one does."""
    across = coarser.end[(coarser.begin < begin) & (coarser.end > begin)]
    return int(across[-1]) if len(across) else begin


def _known(table: Table) -> Table:
    """Without rows whose loss is unknown: nothing was measured then."""
    return _rows(table, ~np.isnan(table.values[:, 1]))


def _rows(table: Table, keep: NDArray[np.bool_]) -> Table:
    return Table(table.kind, table.resolution, table.end[keep], table.values[keep])


def rounds(table: Table | None, pings: int, task: int) -> RoundBatch:
    """The rows of the finest table as rounds of a task."""
    if table is None:
        return RoundBatch.empty()
    n = len(table.end)
    received = pings - carried(table.values[:, 1], pings)
    known = np.sort(table.values[:, 3:], axis=1)  # NaN last
    rtts = np.full((n, pings), np.nan)
    counts = (~np.isnan(known)).sum(axis=1)
    plain = counts == received
    rtts[plain] = known[plain]
    for i in np.flatnonzero(~plain & (counts > 0)):
        rtts[i, : received[i]] = spread(known[i, : counts[i]], int(received[i]))
    received = np.where(counts > 0, received, 0)
    columns = {
        "task": np.full(n, task, np.uint64),
        "time": table.begin * SECOND,
        "step": np.full(n, table.resolution),
        "sent": np.full(n, pings),
        "received": received,
        "flags": np.full(n, int(Flag.SORTED | Flag.IMPORTED)),
        "rtts": rtts.ravel(),
    }
    return RoundBatch.from_columns(n, columns)


def carried(loss: NDArray[np.float64], pings: int) -> NDArray[np.int64]:
    """Lost pings as whole numbers whose running sum is that of `loss`, rounded."""
    sums = np.floor(np.cumsum(np.clip(loss, 0, pings)) + 0.5 + 1e-9)
    return np.diff(sums, prepend=0.0).astype(np.int64).clip(0, pings)


def spread(known: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The distribution of the sorted known values, read off at `count` places: the middles of as many equal parts."""
    places = (np.arange(count) + 0.5) / max(count, 1) * len(known) - 0.5
    return np.interp(places, np.arange(len(known)), known)


def history(archive: Archive, tables: Sequence[Table]) -> History:
    """The rows of the coarser tables, in order of time."""
    parts = list(_coarse(archive, tables))
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts]) if parts else _EMPTY[name] for name in _EMPTY
    }
    if not parts:
        joined["pings"] = np.zeros((0, archive.pings))
    order = np.argsort(joined["time"], kind="stable")
    return History(**{name: column[order] for name, column in joined.items()}, step=float(archive.step))


_EMPTY: Final[dict[str, np.ndarray]] = {
    **{name: np.zeros(0, np.int64) for name in ("time", "resolution", "rounds", "sent", "received")},
    **{name: np.zeros(0) for name in ("least", "greatest", "pings")},
}


def _coarse(archive: Archive, tables: Sequence[Table]) -> Iterator[History]:
    for table in tables:
        n, pings = len(table.end), archive.pings
        per_row = table.resolution // archive.step
        known = table.values[:, 3:]
        answered = ~np.isnan(known).all(axis=1)
        lost = carried(table.values[:, 1] * per_row, pings * per_row)
        yield History(
            time=table.begin * SECOND,
            resolution=np.full(n, table.resolution, np.int64),
            rounds=np.full(n, per_row, np.int64),
            sent=np.full(n, pings * per_row, np.int64),
            received=np.where(answered, pings * per_row - lost, 0),
            least=_extreme(archive, "MIN", table),
            greatest=_extreme(archive, "MAX", table),
            pings=known,
        )


def _extreme(archive: Archive, kind: str, table: Table) -> NDArray[np.float64]:
    """Least or greatest RTT of each row: from the table of that kind with the same rows, else from the averages."""
    take = np.fmin if kind == "MIN" else np.fmax
    found = take.reduce(table.values[:, 3:], axis=1, initial=np.nan)
    for other in archive.of(kind):
        if other.resolution == table.resolution:
            _, here, there = np.intersect1d(table.end, other.end, return_indices=True)
            found[here] = take(found[here], take.reduce(other.values[there][:, 3:], axis=1, initial=np.nan))
    return found
