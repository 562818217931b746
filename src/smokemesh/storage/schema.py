"""The tables rounds are kept in, as DDL: plain for one database, Replicated and Distributed for a cluster.

The text is made here without touching a database; `storage.rounds` runs it. Retention is each table's TTL:
whole parts are dropped when their last row is old enough, so nothing is rewritten for it.
"""

from dataclasses import dataclass, field
from typing import Final

from smokemesh.settings.shape import Retention
from smokemesh.storage.levels import kept
from smokemesh.storage.statements import statements

#: Relative error of a sketch's quantiles: 100 ms is shown as 99.5 to 100.5 ms. Least and greatest are exact.
ACCURACY: Final = 0.005
#: Level -> table.
TABLES: Final = {"raw": "rounds", "5m": "rollup_5m", "1h": "rollup_1h", "1d": "rollup_1d"}
LATEST: Final = "latest"
#: Inserts each table remembers by their tokens. It must reach over the uploads that can be in doubt when a
#: master dies: one for each agent. Whatever was acknowledged, the catalogue remembers for ever.
WINDOW: Final = 10_000

#: Level -> (coarser level's bin, partition). A partition is what TTL can drop at once.
_BINS: Final = {"5m": "toStartOfFiveMinutes(r.time)", "1h": "toStartOfHour(r.time)", "1d": "toStartOfDay(r.time)"}
_PARTITIONS: Final = {"5m": "toYYYYMM(time)", "1h": "toYYYYMM(time)", "1d": "toYear(time)"}


@dataclass(frozen=True, slots=True)
class Schema:
    """All statements for one database; `cluster` is empty where there is none."""

    database: str
    retention: Retention = field(default_factory=Retention)
    cluster: str = ""

    def create(self) -> list[str]:
        """What makes the tables where they are missing, in order."""
        made = [self._fill("rounds", self.local("rounds"), engine="MergeTree", level="raw")]
        for level in ("5m", "1h", "1d"):
            made.append(
                self._fill(
                    "rollup",
                    self.local(TABLES[level]),
                    engine="AggregatingMergeTree",
                    level=level,
                    partition=_PARTITIONS[level],
                )
            )
        made.append(self._fill("latest", self.local(LATEST), engine="ReplacingMergeTree", argument="time", level="raw"))
        made += self._views()
        if self.cluster:
            made += [self._distributed(table) for table in (*TABLES.values(), LATEST)]
        return made

    def create_database(self) -> str:
        """What makes the database itself."""
        return statements("schema")["database"].substitute(database=quoted(self.database), on_cluster=self._on_cluster)

    def ttls(self) -> dict[str, str]:
        """Table that holds rows -> the TTL it should have."""
        tables = {self.local(table): self._ttl(level) for level, table in TABLES.items()}
        return {**tables, self.local(LATEST): self._ttl("raw")}

    def modify_ttl(self, table: str) -> str:
        """What gives a table the TTL it should have."""
        return statements("schema")["modify_ttl"].substitute(
            table=quoted(table), ttl=self.ttls()[table], on_cluster=self._on_cluster
        )

    def local(self, table: str) -> str:
        """The table that holds the rows on one server."""
        return f"{table}_local" if self.cluster else table

    @property
    def parts(self) -> str:
        """Where the sizes of all servers' tables can be read."""
        return f"cluster('{self.cluster}', system.parts)" if self.cluster else "system.parts"

    def _views(self) -> list[str]:
        chain = [("rounds_to_rollup", "raw", "5m"), ("rollup_to_rollup", "5m", "1h"), ("rollup_to_rollup", "1h", "1d")]
        made = [
            statements("schema")[name].substitute(
                view=quoted(f"to_{TABLES[coarse]}"),
                table=quoted(self.local(TABLES[coarse])),
                source=quoted(self.local(TABLES[fine])),
                bin=_BINS[coarse],
                accuracy=ACCURACY,
                on_cluster=self._on_cluster,
            )
            for name, fine, coarse in chain
        ]
        latest = statements("schema")["rounds_to_latest"].substitute(
            view=quoted(f"to_{LATEST}"),
            table=quoted(self.local(LATEST)),
            source=quoted(self.local(TABLES["raw"])),
            on_cluster=self._on_cluster,
        )
        return [*made, latest]

    def _fill(self, name: str, table: str, *, engine: str, level: str, argument: str = "", partition: str = "") -> str:
        return statements("schema")[name].substitute(
            table=quoted(table),
            engine=self._engine(engine, argument),
            partition=partition,
            accuracy=ACCURACY,
            ttl=self._ttl(level),
            settings=self._settings(),
            on_cluster=self._on_cluster,
        )

    def _engine(self, kind: str, argument: str) -> str:
        if not self.cluster:
            return f"{kind}({argument})"
        # The path names shard and table; {shard}, {replica} are macros every ClickHouse cluster defines.
        place = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
        return f"Replicated{kind}({', '.join(filter(None, (place, argument)))})"

    def _settings(self) -> str:
        window = "replicated_deduplication_window" if self.cluster else "non_replicated_deduplication_window"
        settings = {window: WINDOW, "ttl_only_drop_parts": 1, "materialize_ttl_recalculate_only": 1}
        return ", ".join(f"{name} = {value}" for name, value in settings.items())

    def _ttl(self, level: str) -> str:
        return f"toDateTime(time) + toIntervalSecond({int(kept(self.retention)[level])})"

    def _distributed(self, table: str) -> str:
        return statements("schema")["distributed"].substitute(
            table=quoted(table),
            local=quoted(self.local(table)),
            local_name=self.local(table),
            cluster=self.cluster,
            database=self.database,
            on_cluster=self._on_cluster,
        )

    @property
    def _on_cluster(self) -> str:
        return f"ON CLUSTER {quoted(self.cluster)}" if self.cluster else ""


def quoted(name: str) -> str:
    """A name as SQL spells it, whatever characters it has."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
