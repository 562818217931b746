"""Audit: is every round in the store once, and does every level count the same? Opens a store nobody else has open.

Meaningful while no level has dropped anything by age yet.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smokemesh.model.rounds import Flag
from smokemesh.model.series import LEVELS
from smokemesh.storage.clients import Clients
from smokemesh.storage.schema import BINS, RAW, ROLLUPS, quoted
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
    clients = Clients(dsn, readers=1, writers=0)
    clients.enter_database()
    try:
        with clients.reading() as client:
            columns = [list(column) for column in client.query(_sql("tasks", "raw")).result_columns] or [[]] * 9
            levels = {level: client.query(_sql("level", level)).result_rows for level in LEVELS}
            flags = {Flag(1 << bit): count for bit, count in client.query(_sql("flags", "raw")).result_rows if count}
    finally:
        clients.close()
    return RoundAudit(
        task=np.array(columns[0], np.uint64),
        agent=columns[1],
        **{
            name: np.array(columns[i], np.int64)
            for i, name in enumerate(("rounds", "distinct", "first", "last", "sent", "received"), start=2)
        },
        disagreeing=tuple(level for level, rows in levels.items() if rows != levels["raw"]),
        flags=flags,
    )


def _sql(name: str, level: str) -> str:
    values: dict[str, object] = {"table": quoted(RAW), "rounds": "1", "where": ""}
    if level in BINS:
        values = {"table": quoted(ROLLUPS), "rounds": "t.rounds", "where": f"WHERE t.bin = {BINS[level]}"}
    return statements("audit")[name].safe_substitute(values)
