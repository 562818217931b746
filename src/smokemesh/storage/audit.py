"""Audit: is every round in the store once, and does every level count the same? Opens a store nobody else has open.

Meaningful while no level has dropped anything by age yet.
"""

from dataclasses import dataclass

import clickhouse_connect
import numpy as np
from numpy.typing import NDArray

from smokemesh.model.rounds import Flag
from smokemesh.storage.schema import TABLES, quoted
from smokemesh.storage.statements import statements


@dataclass(frozen=True, slots=True, eq=False)
class RoundAudit:
    """What the raw level holds, a row for each (task, agent), and whether the rollups agree with it."""

    task: NDArray[np.uint64]
    agent: list[str]
    #: Rows, and how many different times they have: more rows than times is a round stored twice.
    rounds: NDArray[np.int64]
    distinct: NDArray[np.int64]
    #: Time of the first and last round, nanoseconds UTC.
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    sent: NDArray[np.int64]
    received: NDArray[np.int64]
    #: Levels whose counts of rounds, pings sent and answers differ from raw's, for any (task, agent).
    disagreeing: tuple[str, ...]
    #: How many rounds carry each flag.
    flags: dict[Flag, int]

    @property
    def rollups_agree(self) -> bool:
        """Every level counts what raw counts."""
        return not self.disagreeing

    def flagged(self, flag: Flag) -> int:
        """Rounds that carry the flag."""
        return self.flags.get(flag, 0)


def audit(dsn: str) -> RoundAudit:
    """Read the whole store behind a DSN: `chdb:///path` or `clickhouse://host/db`."""
    client = clickhouse_connect.get_client(dsn=dsn)
    try:
        rows = client.query(_sql("tasks", "raw")).result_columns
        columns = [list(column) for column in rows] if rows else [[] for _ in range(9)]
        raw = {(t, a): (r, s, v) for t, a, r, s, v in zip(*(columns[i] for i in (0, 1, 2, 6, 7)), strict=True)}
        disagreeing = []
        for level in TABLES:
            counted = client.query(_sql("level", level)).result_rows
            if {(task, agent): tuple(counts) for task, agent, *counts in counted} != raw:
                disagreeing.append(level)
        flags = {Flag(1 << bit): count for bit, count in client.query(_sql("flags", "raw")).result_rows if count}
    finally:
        client.close()
    return RoundAudit(
        task=np.array(columns[0], np.uint64),
        agent=columns[1],
        **{
            name: np.array(columns[i], np.int64)
            for i, name in enumerate(("rounds", "distinct", "first", "last", "sent", "received"), start=2)
        },
        disagreeing=tuple(disagreeing),
        flags=flags,
    )


def _sql(name: str, level: str) -> str:
    rounds = "1" if level == "raw" else "t.rounds"
    return statements("audit")[name].safe_substitute(table=quoted(TABLES[level]), rounds=rounds)
