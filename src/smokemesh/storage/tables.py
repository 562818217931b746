"""The catalogue's tables. `migrations` brings a database to this shape; a test compares the two."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
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

#: What is remembered of each rule for each task and agent, so that a restart changes no judgement.
alert_states = Table(
    "alert_states",
    metadata,
    Column("task", Unsigned64, primary_key=True, autoincrement=False),
    #: "" where all agents are judged together.
    Column("agent", String, primary_key=True),
    Column("alert", String, primary_key=True),
    #: Time of the newest round judged.
    Column("time", BigInteger, nullable=False),
    Column("raised", Boolean, nullable=False),
    #: The open incident, 0 for none.
    Column("incident", BigInteger, nullable=False, server_default="0"),
    #: History and whatever the rule keeps, in a form of its own.
    Column("memory", JSON, nullable=False),
)

#: `model.alert.Incident`.
incidents = Table(
    "incidents",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("alert", String, nullable=False),
    Column("target", String, nullable=False),
    Column("probe", String, nullable=False),
    Column("agents", JSON, nullable=False),
    Column("begun", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("rounds", BigInteger, nullable=False),
    Column("worst_loss", Float, nullable=False),
    #: NULL when no ping was answered.
    Column("worst_rtt", Float, nullable=True),
    Column("muted", String, nullable=False),
    Column("detail", String, nullable=False),
    Index(None, "begun"),
    Index(None, "ended"),
)

#: `model.alert.Silence`.
silences = Table(
    "silences",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("begin", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("target", String, nullable=False),
    Column("alert", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("author", String, nullable=False),
    Column("comment", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Index(None, "end"),
)

#: Notices on their way to receivers, and what became of them: `model.alert.Delivery`.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    #: Names this notice to this receiver, the same whenever it is tried: receivers tell repetitions by it.
    Column("key", String, nullable=False),
    Column("incident", BigInteger, nullable=False),
    Column("receiver", String, nullable=False),
    Column("what", String, nullable=False),
    Column("notice", JSON, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("error", String, nullable=False),
    #: What the receiver answered, or the program wrote.
    Column("output", String, nullable=False, server_default=""),
    Index(None, "state"),
    Index(None, "incident"),
    Index(None, "key", unique=True),
)

#: The configuration each SmokePing slave was last given: it is told of a change only when its own content changed.
slave_views = Table(
    "slave_views",
    metadata,
    Column("agent", String, primary_key=True),
    Column("digest", String, nullable=False),
    #: What it is told as `__last`, Unix seconds; it never goes back.
    Column("last", BigInteger, nullable=False),
)

#: What a slave was told to measure, now and lately: it may bring rounds of it long after.
slave_past = Table(
    "slave_past",
    metadata,
    Column("agent", String, primary_key=True),
    #: `__last` of that view, Unix seconds.
    Column("last", BigInteger, primary_key=True, autoincrement=False),
    #: Compressed: path -> number of the task and step in seconds.
    Column("tasks", LargeBinary, nullable=False),
)

#: Where hosts with changing addresses are now.
dynamic_hosts = Table(
    "dynamic_hosts",
    metadata,
    Column("target", String, primary_key=True),
    Column("address", String, nullable=False),
    Column("seen", BigInteger, nullable=False),
)
