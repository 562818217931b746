"""What a master remembers for SmokePing's slaves: what each was told to measure, now and lately, and where dynamic hosts are."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from smokemesh.storage.catalogue import Catalogue
from smokemesh.storage.tables import dynamic_hosts, slave_past, slave_views

#: Views remembered of each slave.
MOST_VIEWS: Final = 8


@dataclass(frozen=True, slots=True)
class PastView:
    """What a slave was told to measure."""

    #: `__last` of it, Unix seconds.
    last: int
    #: Path -> number of the task, and seconds from round to round.
    tasks: Mapping[str, tuple[int, float]]


class SlaveBook:
    """Slave views and dynamic hosts of one installation. Any thread may call; all raise StoreError."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def last(self, slave: str, digest: str, otherwise: int, now: int) -> int:
        """The `__last` of a slave whose content has this digest, Unix seconds: another only when the content is another.

        A slave that is new here gets `otherwise`, one whose content changed `now`. It never goes back.
        """
        question = select(slave_views.c.digest, slave_views.c.last).where(slave_views.c.agent == slave)
        with self._catalogue.transaction() as connection:
            known = connection.execute(question).first()
            if known is not None and known.digest == digest:
                return int(known.last)
            last = otherwise if known is None else max(now, known.last + 1)
            values = {"digest": digest, "last": last}
            insert = _insert(connection, slave_views).values(agent=slave, **values)
            connection.execute(insert.on_conflict_do_update(index_elements=["agent"], set_=values))
        return last

    def views(self, slave: str, current: PastView) -> list[PastView]:
        """What the slave was told to measure, the newest first: what is current, which is noted, and what was before."""
        question = select(slave_past).where(slave_past.c.agent == slave, slave_past.c.last < current.last)
        packed = zlib.compress(msgspec.msgpack.encode(current.tasks), 1)
        with self._catalogue.transaction() as connection:
            insert = _insert(connection, slave_past).values(agent=slave, last=current.last, tasks=packed)
            keys = {"index_elements": ["agent", "last"], "set_": {"tasks": packed}}
            connection.execute(insert.on_conflict_do_update(**keys))
            rows = connection.execute(question.order_by(slave_past.c.last.desc())).all()
            for row in rows[MOST_VIEWS - 1 :]:
                gone = (slave_past.c.agent == slave) & (slave_past.c.last == row.last)
                connection.execute(delete(slave_past).where(gone))
        return [current, *(PastView(int(row.last), _tasks(row.tasks)) for row in rows[: MOST_VIEWS - 1])]

    def addresses(self) -> dict[str, str]:
        """Target -> the address it told last."""
        with self._catalogue.transaction() as connection:
            return {row.target: row.address for row in connection.execute(select(dynamic_hosts))}

    def told(self, target: str, address: str, now: int) -> None:
        """A dynamic host told its address; `now` in nanoseconds UTC."""
        values = {"address": address, "seen": now}
        with self._catalogue.transaction() as connection:
            insert = _insert(connection, dynamic_hosts).values(target=target, **values)
            connection.execute(insert.on_conflict_do_update(index_elements=["target"], set_=values))


def _insert(connection: Connection, table: Table) -> Any:
    """An INSERT that can say what to do when the row exists."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _tasks(packed: bytes) -> dict[str, tuple[int, float]]:
    return msgspec.msgpack.decode(zlib.decompress(packed), type=dict[str, tuple[int, float]])
