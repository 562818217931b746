"""The catalogue's tables. `migrations` brings a database to this shape; a test compares the two."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    false,
)

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"},
)


class Unsigned64(TypeDecorator[int]):
    """A number of 64 bits without sign, in the signed column every SQL database has."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """As stored."""
        return value - 2**64 if value is not None and value >= 2**63 else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        """As meant."""
        return None if value is None else int(value) % 2**64


#: Every task that was ever assigned, so that stored rounds keep their meaning. Times are nanoseconds UTC.
tasks = Table(
    "tasks",
    metadata,
    Column("id", Unsigned64, primary_key=True, autoincrement=False),
    Column("target", String, nullable=False),
    Column("probe", String, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    #: Of a task that is one address of a name with several; "" for all others.
    Column("address", String, nullable=False, server_default=""),
    #: Each address of the name was measured, at one time at least.
    Column("several", Boolean, nullable=False, server_default=false()),
    Index(None, "target"),
)

#: Every agent that was ever heard.
agents = Table(
    "agents",
    metadata,
    Column("name", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("address", String, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("health", JSON, nullable=True),
)

#: How far each spool is in the store of rounds.
received = Table(
    "received",
    metadata,
    Column("agent", String, primary_key=True),
    Column("epoch", String, primary_key=True),
    Column("stored", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
)

#: The records of a spool that are about to be inserted, or may have been: `storage.catalogue.Intent`.
intents = Table(
    "intents",
    metadata,
    Column("agent", String, primary_key=True),
    Column("epoch", String, primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("begun", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
)

#: What happened that people may want to read later.
events = Table(
    "events",
    metadata,
    # SQLite numbers rows only in a column that is plainly INTEGER.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", String, nullable=False),
    Index(None, "time"),
)
