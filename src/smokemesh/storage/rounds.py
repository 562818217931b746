"""The store of rounds on ClickHouse: embedded (`chdb:///path`) or a server (`clickhouse://host/db`), one schema.

Reading picks the level (`storage.levels`), asks one statement for all questions that are read alike, and
splits the answer. Quantiles of raw rounds are exact (linear, as numpy's); those of rollups come from merged
sketches and are within `schema.ACCURACY` of a true RTT, least and greatest exact.
"""

import ipaddress
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smokemesh.errors import StoreError
from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import BANDS, Latest, Series, SeriesQuestion
from smokemesh.settings.shape import Retention
from smokemesh.storage import arrows, ranking
from smokemesh.storage.clients import Clients
from smokemesh.storage.levels import SECOND, Plan, kept, plan
from smokemesh.storage.ranking import Standing
from smokemesh.storage.schema import ACCURACY, BINS, LATEST, RAW, ROLLUPS, Schema, quoted
from smokemesh.storage.statements import statements
from smokemesh.storage.store import LevelUsage

#: Rounds of one INSERT, and rows of rollups they make: each is a sketch in memory until all are written, and more than
#: these would not fit into what one statement may have. Larger batches are cut, always at the same places, each piece
#: with a token of its own.
PIECE: Final = 100_000
MOST_SKETCHES: Final = 50_000
#: One INSERT must reach the tables as one block, else a repeated one would be cut elsewhere and not recognized.
INSERT: Final = {
    "async_insert": 0,
    "max_insert_threads": 1,
    "max_insert_block_size": 2**24,
    "min_insert_block_size_rows": 2**24,
    "min_insert_block_size_bytes": 2**32,
    "max_partitions_per_insert_block": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "insert_distributed_sync": 1,
}
_QUANTILES: Final = ", ".join(str(q) for q in BANDS)
#: With more tasks than this the server would spend longer reading their names than leaving the others out saves.
_MOST_NAMED: Final = 2000
#: Rounds looked up by one statement; their names travel with it.
_NAMED_AT_ONCE: Final = 1000
_READERS: Final = 3
_WRITERS: Final = 2
_COUNTS: Final = ("sent", "received", "late", "duplicates", "reordered", "errors", "pairs")


def open_rounds(dsn: str, retention: Retention | None = None, cluster: str = "") -> "ClickHouseRounds":
    """Open the store, and make or adapt its tables. Raises StoreError or ConfigError in one line."""
    return ClickHouseRounds(dsn, retention or Retention(), cluster)


class ClickHouseRounds:
    """A `RoundStore`; any thread may call it. Reading and inserting use connections of their own."""

    def __init__(self, dsn: str, retention: Retention, cluster: str = "") -> None:
        self._retention = retention
        self._clients = Clients(dsn, readers=_READERS, writers=_WRITERS)
        self._schema = Schema(self._clients.database, retention, cluster)
        try:
            self._prepare()
        except StoreError:
            self._clients.close()
            raise

    def insert(self, agent: str, batch: RoundBatch, token: str) -> None:
        """Keep the rounds, in raw and in every rollup. The same token again adds nothing, also after a crash between."""
        self.insert_together([(agent, batch)], token)

    def insert_together(self, parts: Sequence[tuple[str, RoundBatch]], token: str) -> None:
        """Keep the rounds of several agents at the price of one insert; otherwise as `insert`."""
        batch = RoundBatch.concatenate([part for _, part in parts]) if len(parts) > 1 else parts[0][1]
        who = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for _, part in parts])
        for piece, (start, stop) in enumerate(pieces(batch, who, 0, len(batch))):
            part = _slice(batch, start, stop)
            settings = INSERT | {"insert_deduplication_token": f"{token}/{piece}"}
            data = arrows.write_together([agent for agent, _ in parts], who[start:stop], part)
            with self._clients.writing() as client:
                client.raw_insert(RAW, insert_block=data, fmt="Arrow", settings=settings)
        self._clients.settle()

    def held(self, agent: str, batch: RoundBatch) -> NDArray[np.bool_]:
        """For each round of the batch: does raw hold one of this agent with the same task and time already?"""
        held = np.zeros(len(batch), bool)
        # In order of time, so that each statement looks into as few days as can be.
        order = np.argsort(batch.time, kind="stable")
        for start in range(0, len(batch), _NAMED_AT_ONCE):
            rows = order[start : start + _NAMED_AT_ONCE]
            tasks, times = batch.task[rows].tolist(), batch.time[rows].tolist()
            values = {"agent": agent, "tasks": tasks, "times": times, "first": times[0], "last": times[-1]}
            table = self._ask("held", RAW, values)
            if table.num_rows:
                found = set(zip(table["task"].to_pylist(), table["at"].to_pylist(), strict=True))
                held[rows] = [name in found for name in zip(tasks, times, strict=True)]
        return held

    def raw_since(self, now: int) -> int:
        """Rounds before this time (nanoseconds UTC, as `now`) may be gone from raw, or soon: `held` cannot be relied on."""
        # A day on the safe side, but where raw is kept so shortly that this would be all.
        return now - int((self._retention.raw - min(86400.0, self._retention.raw / 2)) * SECOND)

    def series(self, questions: Sequence[SeriesQuestion]) -> list[Series]:
        """The answers, in the order asked. No rounds in the range gives an empty Series, not an error."""
        now = time.time_ns()
        plans = [plan(question, self._retention, now) for question in questions]
        answers: dict[tuple[Plan, int, str], Series] = {}
        for way in dict.fromkeys(plans):
            pairs = [(q.task, q.agent) for q, p in zip(questions, plans, strict=True) if p == way]
            for series in self._read(way, list(dict.fromkeys(pairs))):
                answers[way, series.task, series.agent] = series
        return [answers[p, q.task, q.agent] for q, p in zip(questions, plans, strict=True)]

    def latest(self, tasks: Sequence[int], since: int, now: int | None = None) -> list[Latest]:
        """The newest round of each (task, agent) that has one at or after `since`, none of a time yet to come."""
        if not tasks:
            return []
        until = time.time_ns() if now is None else now
        wanted = set(tasks)
        named = list(wanted) if len(wanted) <= _MOST_NAMED else []
        newest = _newest(self._ask("latest", LATEST, {"since": since, "tasks": named}))
        known: list[Latest] = []
        ahead: list[Latest] = []
        for one in newest:
            if one.task in wanted:
                (ahead if one.time > until + one.step * SECOND else known).append(one)
        return known + self._before(ahead, since, until)

    def _before(self, ahead: Sequence[Latest], since: int, until: int) -> list[Latest]:
        """The newest rounds that those dated ahead of the clock hide, looked up in raw."""
        found: list[Latest] = []
        pairs = statements("questions")["pairs"].template
        for start in range(0, len(ahead), _NAMED_AT_ONCE):
            some = ahead[start : start + _NAMED_AT_ONCE]
            values = {"tasks": [one.task for one in some], "agents": [one.agent for one in some]}
            found += _newest(self._ask("latest_until", RAW, values | {"since": since, "until": until}, pairs))
        return found

    def ranking(self, begin: int, end: int, *, newest: bool = False, most: int = 0) -> Standing:
        """Every task as every agent saw it in a range, or the newest round of each in it.

        With `most`, of a long range only those have a median that are among the first `most` by any of the figures.
        """
        values: dict[str, Any] = {"begin": max(begin, 0), "end": max(end, 0)}
        if newest:
            return ranking.exact(self._ask("ranking_latest", LATEST, values))
        if ranking.is_short(begin, end):
            return ranking.exact(self._ask("ranking_rounds", RAW, values))
        parts = ranking.pieces(max(begin, 0), end, time.time_ns(), kept(self._retention))
        values = ranking.values(parts)
        all_ = ranking.rough(self._ask("ranking_rollup", ROLLUPS, values))
        wanted = ranking.leaders(all_, most) if most else np.flatnonzero(all_.received > 0)
        if len(wanted) == 0:
            return all_
        values |= {"tasks": all_.task[wanted].tolist(), "agents": [all_.agent[k] for k in wanted.tolist()]}
        pairs = statements("questions")["pairs"].template
        return ranking.with_medians(all_, self._ask("ranking_medians", ROLLUPS, values, pairs), 1 / SECOND)

    def rounds(self, question: SeriesQuestion) -> RoundBatch:
        """The raw rounds of the range in order of time, every RTT, the first `points` of them."""
        values = {name: getattr(question, name) for name in ("task", "agent", "begin", "end", "points")}
        return arrows.rounds(self._ask("rounds", RAW, values))

    def usage(self) -> list[LevelUsage]:
        """What each level holds. Rollups share a table; its bytes are split in proportion to their rows."""
        sizes = {row["table"]: int(row["bytes"]) for row in self._ask("bytes", "", {}).to_pylist()}
        raw = self._ask("usage_raw", RAW, {}).to_pylist()
        rollups = self._ask("usage_rollups", ROLLUPS, {}).to_pylist()
        return _usage("raw", raw, sizes.get(self._schema.local(RAW), 0)) + [
            usage
            for level, bin_ in BINS.items()
            for usage in _usage(level, rollups, sizes.get(self._schema.local(ROLLUPS), 0), bin_)
        ]

    def ping(self) -> None:
        """Answer, or raise StoreError."""
        self._ask("ping", "", {})

    def close(self) -> None:
        """Flush and let go of the database."""
        self._clients.close()

    def _prepare(self) -> None:
        """Make what is missing, and give each table the retention now wanted."""
        with self._clients.writing() as client:
            client.command(self._schema.create_database())
        self._clients.enter_database()
        with self._clients.writing() as client:
            for statement in self._schema.create():
                client.command(statement)
            definition = statements("schema")["definition"].template
            for table, ttl in self._schema.ttls().items():
                if f"TTL {ttl} " not in f"{client.command(definition, parameters={'table': table})} ":
                    client.command(self._schema.modify_ttl(table))

    def _read(self, way: Plan, pairs: list[tuple[int, str]]) -> list[Series]:
        """The series of these (task, agent), each pair once."""
        tasks, agents = [task for task, _ in pairs], [agent for _, agent in pairs]
        crossed = len(set(tasks)) * len(set(agents)) == len(pairs)
        values: dict[str, Any] = {"tasks": tasks, "agents": agents}
        filters = "" if crossed else statements("questions")["pairs"].template
        if way.level == "raw":
            values |= {"begin": way.begin, "end": way.end, "width": way.width}
            table = self._ask("series_raw", RAW, values, filters)
        else:
            values |= {name: getattr(way, name) // SECOND for name in ("begin", "end", "width")}
            table = self._ask("series_rollup", ROLLUPS, values | {"bin": BINS[way.level]}, filters)
        bounds = _bounds(table)
        return [_series(table, way, task, agent, *bounds.get((task, agent), (0, 0))) for task, agent in pairs]

    def _ask(self, name: str, table: str, values: dict[str, Any], pairs: str = "") -> pa.Table:
        sql = statements("questions")[name].substitute(
            table=quoted(table), quantiles=_QUANTILES, accuracy=ACCURACY, parts=self._schema.parts, pairs=pairs
        )
        with self._clients.reading() as client:
            return arrows.read(client.raw_query(sql, parameters=values, fmt="Arrow"))


def _usage(level: str, rows: list[dict[str, Any]], size: int, bin_: int = 0) -> list[LevelUsage]:
    """One level of a table of which `rows` tells all bins."""
    total = sum(row["rows"] for row in rows)
    for row in rows:
        if row["bin"] == bin_ and row["rows"]:
            share = size * row["rows"] // total
            return [LevelUsage(level=level, rows=row["rows"], bytes=share, first=row["first"], last=row["last"])]
    return [LevelUsage(level=level, rows=0, bytes=0, first=0, last=0)]


def pieces(batch: RoundBatch, who: NDArray[np.int32], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Where each piece of one insert begins and ends: what a single statement may take of memory is bounded."""
    if stop - start > 1 and (stop - start > PIECE or _sketches(batch, who, start, stop) > MOST_SKETCHES):
        middle = (start + stop) // 2
        yield from pieces(batch, who, start, middle)
        yield from pieces(batch, who, middle, stop)
    elif stop > start:
        yield start, stop


def _sketches(batch: RoundBatch, who: NDArray[np.int32], start: int, stop: int) -> int:
    """How many rows these rounds make in the rollups; an agent's task has one for each bin of each level."""
    if (stop - start) * len(BINS) <= MOST_SKETCHES:
        return (stop - start) * len(BINS)
    # Mixed into one number: that two are taken for one now and then does not matter.
    pair = batch.task[start:stop] * np.uint64(0x9E3779B97F4A7C15) + who[start:stop].astype(np.uint64)
    at = batch.time[start:stop] // SECOND
    bins = ((at // width).astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93) for width in BINS.values())
    return sum(len(np.unique(pair ^ bin_)) for bin_ in bins)


def _slice(batch: RoundBatch, start: int, stop: int) -> RoundBatch:
    """Some of the rounds of a batch, without copying them."""
    if start == 0 and stop >= len(batch):
        return batch
    stop = min(stop, len(batch))
    first, last = int(batch.offsets[start]), int(batch.offsets[stop])
    fields = {name: getattr(batch, name)[start:stop] for name in RoundBatch.__dataclass_fields__}
    fields |= {"offsets": batch.offsets[start : stop + 1] - first, "rtts": batch.rtts[first:last]}
    return RoundBatch(**fields)


def _bounds(table: pa.Table) -> dict[tuple[int, str], tuple[int, int]]:
    """Where each (task, agent) begins and ends in an answer sorted by them."""
    if table.num_rows == 0:
        return {}
    agents = table["agent"].combine_chunks().dictionary_encode()
    codes = np.asarray(agents.indices)
    task = arrows.column(table, "task")
    changes = np.flatnonzero((np.diff(task) != 0) | (np.diff(codes) != 0)) + 1
    edges = [0, *changes.tolist(), table.num_rows]
    names = agents.dictionary.to_pylist()
    return {(int(task[a]), names[codes[a]]): (a, b) for a, b in pairwise(edges)}


def _series(table: pa.Table, way: Plan, task: int, agent: str, start: int, stop: int) -> Series:
    if start == stop:
        return _nothing(way, task, agent)
    part = table.slice(start, stop - start)
    columns: dict[str, Any] = {name: arrows.column(part, name).astype(np.uint64) for name in _COUNTS}
    spread = _exact(part) if way.level == "raw" else _sketched(part)
    return Series(
        task=task,
        agent=agent,
        level=way.level,
        step=float(arrows.column(part, "span").max()) / SECOND,
        time=arrows.column(part, "at").astype(np.int64),
        flags=arrows.column(part, "flags").astype(np.uint32),
        rounds=arrows.column(part, "rounds").astype(np.uint32),
        **columns,
        **spread,
    )


def _nothing(way: Plan, task: int, agent: str) -> Series:
    none: dict[str, Any] = {name: np.empty(0, np.uint64) for name in _COUNTS}
    none |= {name: np.empty(0) for name in ("mean", "deviation", "jitter")}
    none |= {"flags": np.empty(0, np.uint32), "rounds": np.empty(0, np.uint32), "time": np.empty(0, np.int64)}
    bands = np.empty((0, len(BANDS)))
    return Series(task=task, agent=agent, level=way.level, step=way.width / SECOND, bands=bands, **none)


def _exact(part: pa.Table) -> dict[str, np.ndarray]:
    """Bands and moments as the database computed them from the RTTs."""
    moments = {name: arrows.column(part, name).astype(np.float64) for name in ("mean", "deviation", "jitter")}
    return {"bands": arrows.matrix(part, "bands", len(BANDS)).astype(np.float64), **moments}


def _sketched(part: pa.Table) -> dict[str, np.ndarray]:
    """Bands and moments from merged sketches and sums."""
    least, greatest = (arrows.column(part, name).astype(np.float64) for name in ("least", "greatest"))
    answered = np.isfinite(least)
    bands = arrows.matrix(part, "bands", len(BANDS)).astype(np.float64) / SECOND
    bands = np.clip(bands, least[:, None], greatest[:, None])
    bands[:, 0], bands[:, -1] = least, greatest
    bands[~answered] = np.nan
    count = np.where(answered, arrows.column(part, "received"), np.nan)
    mean = arrows.column(part, "total") / count
    variance = np.maximum(arrows.column(part, "squares") / count - mean**2, 0.0)
    pairs = arrows.column(part, "pairs").astype(np.float64)
    jitter = np.divide(arrows.column(part, "jitter_total"), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return {"bands": bands, "mean": mean, "deviation": np.sqrt(variance), "jitter": jitter}


def _newest(table: pa.Table) -> list[Latest]:
    """The rounds in an answer of statement `latest` or `latest_until`."""
    columns = [column.to_pylist() for column in table.columns]
    return [_latest(*row) for row in zip(*columns, strict=True)]


def _latest(
    task: int,
    agent: str,
    time: int,
    step: float,
    sent: int,
    received: int,
    median: float,
    flags: int,
    error: int,
    address: bytes,
) -> Latest:
    """A row of statement `latest`."""
    return Latest(
        task=task,
        agent=agent,
        time=time,
        step=step,
        sent=sent,
        received=received,
        median=median,
        flags=flags,
        error=error,
        address=_address(address),
    )


@lru_cache(maxsize=65_536)
def _address(raw: bytes) -> str:
    """The address in 16 bytes, "" for none."""
    if not any(raw):
        return ""
    address = ipaddress.IPv6Address(raw)
    return str(address.ipv4_mapped or address)
