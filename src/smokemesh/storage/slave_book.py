"""What a master remembers for SmokePing's slaves: the configuration each was last told of, and where dynamic hosts are."""

from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from smokemesh.storage.catalogue import Catalogue
from smokemesh.storage.tables import dynamic_hosts, slave_views


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
