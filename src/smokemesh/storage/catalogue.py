"""The catalogue: what tasks and agents there were, how far each spool is stored, what happened.

SQLite by default, PostgreSQL where several masters share it. Any thread may call; each call is one
transaction. Times are nanoseconds UTC and handed in.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, case, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from smokemesh.errors import ConfigError, Conflict, NotFound, StoreError
from smokemesh.model.agent import Health
from smokemesh.model.assignment import Task, probe_name
from smokemesh.storage.tables import agents, events, intents, received, tasks

#: How long a writer waits for another one, seconds.
_PATIENCE: Final = 15
#: Name of PostgreSQL's lock around migrations: any number nobody else uses.
_MIGRATION: Final = 7_665_109_101
_migrating: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class KnownTask:
    """A task that was assigned, first and last at these times."""

    id: int
    target: str
    probe: str
    first: int
    last: int
    #: Of a task that is one address of a name with several.
    address: str = ""
    #: Each address of the name was measured, at one time at least.
    several: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """Records of a spool that are about to be inserted: until they are recorded as stored, they may be in the store.

    `begun` is when they were judged, and `digest` names the rounds that were found good then.
    """

    first: int
    last: int
    begun: int
    digest: str


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """An agent that was heard, first and last at these times. `state` is a word of the master's."""

    name: str
    state: str
    address: str
    first: int
    last: int
    health: Health | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `subject`."""

    time: int
    kind: str
    subject: str
    detail: str


def open_catalogue(dsn: str) -> "Catalogue":
    """Open the catalogue and bring it to the newest shape. Raises StoreError or ConfigError in one line."""
    return Catalogue(dsn)


class Catalogue:
    """The catalogue of one installation."""

    def __init__(self, dsn: str) -> None:
        url = _url(dsn)
        self._name = url.render_as_string(hide_password=True)
        self._engine = _engine(url)
        try:
            with self._transaction() as connection:
                _migrate(connection)
        except StoreError:
            self.close()
            raise

    def remember_tasks(self, assigned: Iterable[Task], now: int, *, addresses: bool = False) -> None:
        """These tasks are assigned now. Raises Conflict when a number already means another target or probe.

        `addresses`: each is one address of a name with several, its `host`.
        """
        wanted: dict[int, Task] = {}
        for task in assigned:
            _same(wanted.setdefault(task.id, task), task)
        rows = [_row(task, now, addresses) for task in wanted.values()]
        insert = self._insert(tasks)
        newest = {
            "last": case((tasks.c.last < now, now), else_=tasks.c.last),
            "several": tasks.c.several | insert.excluded.several,
        }
        remember = insert.on_conflict_do_update(index_elements=["id"], set_=newest)
        with self._transaction() as connection:
            # In slices, because databases bound the number of values in a statement.
            for start in range(0, len(rows), 500):
                part = rows[start : start + 500]
                for known in connection.execute(select(tasks).where(tasks.c.id.in_([row["id"] for row in part]))):
                    _same(known, wanted[known.id])
                connection.execute(remember, part)

    def task(self, number: int) -> KnownTask:
        """The task with that number. Raises NotFound."""
        with self._transaction() as connection:
            row = connection.execute(select(tasks).where(tasks.c.id == number)).first()
        if row is None:
            raise NotFound(f"task {number} was never assigned")
        return KnownTask(*row)

    def tasks_of(self, target: str) -> list[KnownTask]:
        """The tasks a target ever had, the newest assigned first."""
        question = select(tasks).where(tasks.c.target == target).order_by(tasks.c.last.desc(), tasks.c.id)
        with self._transaction() as connection:
            return [KnownTask(*row) for row in connection.execute(question)]

    def addresses(self) -> list[KnownTask]:
        """Every task that is one address of a name with several."""
        with self._transaction() as connection:
            return [KnownTask(*row) for row in connection.execute(select(tasks).where(tasks.c.address != ""))]

    def names_of_several(self) -> list[KnownTask]:
        """Every task whose addresses were measured each, at one time at least."""
        with self._transaction() as connection:
            return [KnownTask(*row) for row in connection.execute(select(tasks).where(tasks.c.several))]

    def agent_seen(self, name: str, now: int, *, state: str, address: str = "", health: Health | None = None) -> None:
        """The agent was heard now; what is not given stays as it was."""
        row = {"name": name, "state": state, "address": address, "first": now, "last": now}
        changed: dict[str, Any] = {"state": state, "last": now}
        if address:
            changed["address"] = address
        if health is not None:
            row["health"] = changed["health"] = asdict(health)
        with self._transaction() as connection:
            insert = self._insert(agents).values(**row)
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changed))

    def agents(self) -> list[KnownAgent]:
        """Every agent that was ever heard, by name."""
        with self._transaction() as connection:
            return [_agent(row) for row in connection.execute(select(agents).order_by(agents.c.name))]

    def forget_agent(self, name: str) -> None:
        """The agent is gone for good; its rounds stay."""
        with self._transaction() as connection:
            connection.execute(agents.delete().where(agents.c.name == name))

    def stored_sequence(self, agent: str, epoch: str) -> int:
        """The last sequence number of that spool whose rounds are stored, 0 for none."""
        question = select(received.c.stored).where(received.c.agent == agent, received.c.epoch == epoch)
        with self._transaction() as connection:
            return connection.execute(question).scalar() or 0

    def intent(self, agent: str, epoch: str) -> Intent | None:
        """What of that spool may be in the store without being recorded as stored."""
        columns = (intents.c.first, intents.c.last, intents.c.begun, intents.c.digest)
        question = select(*columns).where(intents.c.agent == agent, intents.c.epoch == epoch)
        with self._transaction() as connection:
            row = connection.execute(question).first()
        return None if row is None else Intent(*row)

    def intend(self, agent: str, epoch: str, intent: Intent) -> None:
        """These records are about to be inserted, in place of what was intended before."""
        values = asdict(intent)
        insert = self._insert(intents).values(agent=agent, epoch=epoch, **values)
        with self._transaction() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["agent", "epoch"], set_=values))

    def record_stored(self, agent: str, epoch: str, sequence: int, now: int) -> None:
        """The rounds of that spool are stored up to `sequence`; it never goes back. What was intended so far is done."""
        done = intents.delete().where(intents.c.agent == agent, intents.c.epoch == epoch, intents.c.last <= sequence)
        insert = self._insert(received).values(agent=agent, epoch=epoch, stored=sequence, time=now)
        newer = insert.on_conflict_do_update(
            index_elements=["agent", "epoch"],
            set_={"stored": sequence, "time": now},
            where=received.c.stored < sequence,
        )
        with self._transaction() as connection:
            connection.execute(newer)
            connection.execute(done)

    def note(self, kind: str, subject: str, detail: str, now: int) -> None:
        """Something happened."""
        with self._transaction() as connection:
            connection.execute(events.insert().values(time=now, kind=kind, subject=subject, detail=detail))

    def events(self, most: int = 100, kind: str = "") -> list[Event]:
        """What happened last, the newest first."""
        columns = (events.c.time, events.c.kind, events.c.subject, events.c.detail)
        question = select(*columns).order_by(events.c.time.desc(), events.c.id.desc()).limit(most)
        if kind:
            question = question.where(events.c.kind == kind)
        with self._transaction() as connection:
            return [Event(*row) for row in connection.execute(question)]

    def ping(self) -> None:
        """Answer, or raise StoreError."""
        with self._transaction() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def transaction(self) -> AbstractContextManager[Connection]:
        """One transaction for those who look after tables of their own. What the database says raises StoreError."""
        return self._transaction()

    @property
    def shared(self) -> bool:
        """Other masters may use the same database."""
        return not self._is_sqlite

    @property
    def _is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    def _insert(self, table: Any) -> Any:
        """An INSERT that can say what to do when the row exists; both databases spell it alike."""
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise StoreError(f"catalogue {self._name}: {reason[:300]}") from error


def _url(dsn: str) -> URL:
    """The database's address. Raises ConfigError for one we cannot use, and makes the directory of a file."""
    try:
        url = make_url(dsn)
    except ArgumentError as error:
        raise ConfigError(_misspelt(dsn)) from error
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "postgresql+psycopg":
        return url
    if url.drivername != "sqlite" or not url.database:
        raise ConfigError(_misspelt(url.render_as_string(hide_password=True)))
    if url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"catalogue {url.database}: directory cannot be made: {error.strerror}") from error
    return url


def _misspelt(dsn: str) -> str:
    return f"catalogue.dsn {dsn!r} is not understood, write sqlite:////FILE or postgresql://HOST/DATABASE"


def _engine(url: URL) -> Engine:
    if url.drivername != "sqlite":
        try:
            return create_engine(url, pool_pre_ping=True)
        except ImportError as error:
            raise ConfigError("catalogue.dsn: PostgreSQL needs a driver: pip install psycopg[binary]") from error
    engine = create_engine(url, connect_args={"timeout": _PATIENCE})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # Each commit reaches the disk: what is intended must be known after a power cut, as the rounds may be there.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    return engine


def _migrate(connection: Connection) -> None:
    """Bring the database to the newest shape; of several masters that start at once, one does it."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION)))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    with _migrating:  # Alembic keeps what it works on in the module
        command.upgrade(config, "head")


def _row(task: Task, now: int, addresses: bool) -> dict[str, Any]:
    return {
        "id": task.id,
        "target": task.target,
        "probe": probe_name(task.probe),
        "first": now,
        "last": now,
        "address": task.host if addresses else "",
        "several": task.addresses == "all",
    }


def _same(known: Any, task: Task) -> None:
    before, now = probe_name(known.probe), probe_name(task.probe)
    if (known.target, before) != (task.target, now):
        raise Conflict(
            f"task {task.id}: {task.target} with {now} has the number of {known.target} with {before}; "
            "rename one of them"
        )


def _agent(row: Any) -> KnownAgent:
    return KnownAgent(row.name, row.state, row.address, row.first, row.last, _health(row.health))


def _health(stored: Any) -> Health | None:
    """What was stored, by whatever version; None when this one cannot understand it."""
    try:
        return None if stored is None else msgspec.convert(stored, Health)
    except msgspec.ValidationError:
        return None
