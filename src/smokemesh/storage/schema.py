"""The tables rounds are kept in, as DDL: plain for one database, Replicated and Distributed for a cluster.

The text is made here without touching a database; `storage.rounds` runs it. Retention is each table's TTL,
at least as long as asked: what expires goes in whole days (raw) and quarters (rollups).
"""

from dataclasses import dataclass, field
from typing import Final

from smokemesh.model.series import LEVELS
from smokemesh.settings.shape import Retention
from smokemesh.storage.levels import kept
from smokemesh.storage.statements import statements

#: Relative error of a sketch's quantiles: 100 ms is shown as 99.5 to 100.5 ms. Least and greatest are exact.
ACCURACY: Final = 0.005
RAW: Final = "rounds"
ROLLUPS: Final = "rollups"
LATEST: Final = "latest"
#: Rollup level -> its `bin`, seconds.
BINS: Final = {level: int(step) for level, step in LEVELS.items() if step}
#: Inserts each table remembers by their tokens. It must reach over an hour, as long as an upload in doubt is known
#: by its token: agents together make about ten uploads a second at most. Whatever was acknowledged, the catalogue
#: remembers for ever.
WINDOW: Final = 50_000
#: Seconds a Replicated table remembers a token at most; others know no such bound.
_WINDOW_SECONDS: Final = 7200

#: Rows that are read together. A graph wants a few hundred rows of one task out of each part, and sketches are dear
#: to read: with ClickHouse's 8192 a graph over 400 days takes three times as long.
_GRANULE: Final = {RAW: 1024, ROLLUPS: 512, LATEST: 1024}


@dataclass(frozen=True, slots=True)
class Schema:
    """All statements for one database; `cluster` is empty where there is none."""

    database: str
    retention: Retention = field(default_factory=Retention)
    cluster: str = ""

    def create(self) -> list[str]:
        """What makes the tables where they are missing, in order."""
        tables = [
            self._table(RAW, "MergeTree"),
            self._table(ROLLUPS, "AggregatingMergeTree"),
            self._table(LATEST, "ReplacingMergeTree", "time"),
        ]
        views = [self._view("rounds_to_rollups", ROLLUPS), self._view("rounds_to_latest", LATEST)]
        distributed = [self._distributed(table) for table in (RAW, ROLLUPS, LATEST)] if self.cluster else []
        return tables + views + distributed

    def create_database(self) -> str:
        """What makes the database itself."""
        return statements("schema")["database"].substitute(database=quoted(self.database), on_cluster=self.on_cluster)

    def ttls(self) -> dict[str, str]:
        """Table that holds rows -> the TTL it should have."""
        return {self.local(table): self._ttl(table) for table in (RAW, ROLLUPS, LATEST)}

    def modify_ttl(self, table: str) -> str:
        """What gives a table the TTL it should have."""
        return statements("schema")["modify_ttl"].substitute(
            table=quoted(table), ttl=self.ttls()[table], on_cluster=self.on_cluster
        )

    def local(self, table: str) -> str:
        """The table that holds the rows on one server."""
        return f"{table}_local" if self.cluster else table

    @property
    def parts(self) -> str:
        """Where the sizes of all servers' tables can be read."""
        return f"cluster('{self.cluster}', system.parts)" if self.cluster else "system.parts"

    def _table(self, name: str, engine: str, argument: str = "") -> str:
        return statements("schema")[name].substitute(
            table=quoted(self.local(name)),
            engine=self._engine(engine, argument),
            accuracy=ACCURACY,
            ttl=self._ttl(name),
            settings=self._settings(name),
            on_cluster=self.on_cluster,
        )

    def _view(self, name: str, table: str) -> str:
        return statements("schema")[name].substitute(
            view=quoted(f"to_{table}"),
            table=quoted(self.local(table)),
            source=quoted(self.local(RAW)),
            bins=list(BINS.values()),
            finest=min(BINS.values()),
            accuracy=ACCURACY,
            on_cluster=self.on_cluster,
        )

    def _engine(self, kind: str, argument: str) -> str:
        if not self.cluster:
            return f"{kind}({argument})"
        # The path names shard and table; {shard}, {replica} are macros every ClickHouse cluster defines.
        place = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
        return f"Replicated{kind}({', '.join(filter(None, (place, argument)))})"

    def _settings(self, table: str) -> str:
        settings = {"materialize_ttl_recalculate_only": 1, "index_granularity": _GRANULE[table]}
        if self.cluster:
            settings["replicated_deduplication_window"] = WINDOW
            settings["replicated_deduplication_window_seconds"] = _WINDOW_SECONDS
        else:
            settings["non_replicated_deduplication_window"] = WINDOW
        if table == RAW:
            # A day is dropped whole when its last row is old enough; nothing is rewritten for it.
            settings["ttl_only_drop_parts"] = 1
        return ", ".join(f"{name} = {value}" for name, value in settings.items())

    def _ttl(self, table: str) -> str:
        seconds = {level: int(age) for level, age in kept(self.retention).items()}
        if table != ROLLUPS:
            return f"toDateTime(time) + toIntervalSecond({seconds['raw']})"
        # All rows of a level and quarter expire at once, so the quarter is rewritten once for each level, not daily.
        cases = ", ".join(f"bin = {BINS[level]}, {seconds[level]}" for level in list(BINS)[:-1])
        age = f"multiIf({cases}, {seconds[list(BINS)[-1]]})"
        return f"toDateTime(toStartOfQuarter(time) + toIntervalMonth(3)) + toIntervalSecond({age})"

    def _distributed(self, table: str) -> str:
        return statements("schema")["distributed"].substitute(
            table=quoted(table),
            local=quoted(self.local(table)),
            local_name=self.local(table),
            cluster=self.cluster,
            database=self.database,
            on_cluster=self.on_cluster,
        )

    @property
    def on_cluster(self) -> str:
        """What a statement says that is to hold on every server."""
        return f"ON CLUSTER {quoted(self.cluster)}" if self.cluster else ""


def quoted(name: str) -> str:
    """A name as SQL spells it, whatever characters it has."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
