"""The catalogue on a real SQLite file."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from smokemesh import storage
from smokemesh.errors import ConfigError, Conflict, NotFound, StoreError
from smokemesh.model.agent import Health
from smokemesh.model.assignment import Task, task_id
from smokemesh.storage.catalogue import Catalogue, Event, Intent, KnownAgent, KnownTask, open_catalogue
from smokemesh.storage.tables import metadata


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = open_catalogue(f"sqlite:///{tmp_path}/data/catalogue.db")
    yield opened
    opened.close()


def task(target: str, probe: str = "ping", number: int | None = None) -> Task:
    return Task(id=task_id(target, probe) if number is None else number, target=target, host="h", probe=probe)


def health(rounds: int) -> Health:
    return Health(
        version="1", clock=1, uptime=2.5, cpu=0.01, rss=1, assignment="v", tasks=1, pings_per_second=0.5,
        rounds=rounds, overruns=0, own_drops=0, limited=0, spool_rounds=0, spool_bytes=0, spool_oldest=0,
        spool_dropped=0, last_error="日本",
    )  # fmt: skip


def test_tasks_keep_their_first_and_last_assignment(catalogue: Catalogue) -> None:
    old, new = task("/a"), task("/a", "web")
    catalogue.remember_tasks([old], 10)
    catalogue.remember_tasks([old, new], 20)
    catalogue.remember_tasks([old], 15)
    assert catalogue.task(old.id) == KnownTask(old.id, "/a", "ping", 10, 20)
    assert {known.id for known in catalogue.tasks_of("/a")} == {old.id, new.id}
    assert catalogue.tasks_of("/b") == []


def test_the_whole_range_of_numbers_is_kept(catalogue: Catalogue) -> None:
    numbers = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
    catalogue.remember_tasks([task(f"/{number}", number=number) for number in numbers], 1)
    assert [catalogue.task(number).target for number in numbers] == [f"/{number}" for number in numbers]


def test_thousands_of_tasks_at_once(catalogue: Catalogue) -> None:
    many = [task(f"/t{i}") for i in range(3000)]
    catalogue.remember_tasks(many, 1)
    catalogue.remember_tasks(many, 2)
    assert catalogue.task(many[-1].id).last == 2
    catalogue.remember_tasks([], 3)


def test_a_number_that_means_another_target_is_refused_and_nothing_changes(catalogue: Catalogue) -> None:
    catalogue.remember_tasks([task("/a", number=5)], 1)
    with pytest.raises(Conflict, match="task 5: /b with ping has the number of /a with ping; rename one of them"):
        catalogue.remember_tasks([task("/c", number=4), task("/b", number=5)], 2)
    assert catalogue.task(5) == KnownTask(5, "/a", "ping", 1, 1)
    with pytest.raises(NotFound, match="task 4 was never assigned"):
        catalogue.task(4)


def test_a_task_keeps_its_number_when_its_probe_is_set_anew(catalogue: Catalogue) -> None:
    for now, probe in enumerate(("ping", "ping#step=10s", "ping#step=20s", "ping"), 1):
        catalogue.remember_tasks([task("/a", probe)], now)
    assert catalogue.task(task("/a").id) == KnownTask(task("/a").id, "/a", "ping", 1, 4)


def test_two_tasks_of_one_assignment_with_one_number_are_refused(catalogue: Catalogue) -> None:
    with pytest.raises(Conflict, match="task 5: /b with ping has the number of /a with ping"):
        catalogue.remember_tasks([task("/a", number=5), task("/b", number=5)], 1)


def test_agents_keep_what_is_not_said_again(catalogue: Catalogue) -> None:
    catalogue.agent_seen("b", 5, state="pending", address="192.0.2.1")
    catalogue.agent_seen("a", 6, state="accepted")
    catalogue.agent_seen("b", 7, state="accepted", health=health(3))
    catalogue.agent_seen("b", 9, state="accepted")
    first, second = catalogue.agents()
    assert first == KnownAgent("a", "accepted", "", 6, 6, None)
    assert second == KnownAgent("b", "accepted", "192.0.2.1", 5, 9, health(3))
    catalogue.forget_agent("b")
    catalogue.forget_agent("nobody")
    assert [agent.name for agent in catalogue.agents()] == ["a"]


def test_health_written_by_another_version_is_read_as_far_as_understood(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.agent_seen("a", 1, state="accepted", health=health(1))
    with sqlite3.connect(tmp_path / "data/catalogue.db") as other:
        other.execute("UPDATE agents SET health = json_remove(json_set(health, '$.newer', 1), '$.last_error')")
    other.close()
    [agent] = catalogue.agents()
    assert agent.health is not None
    assert agent.health.rounds == 1
    with sqlite3.connect(tmp_path / "data/catalogue.db") as other:
        other.execute("UPDATE agents SET health = json_remove(health, '$.rounds')")
    other.close()
    assert catalogue.agents()[0].health is None


def test_stored_sequences_never_go_back(catalogue: Catalogue) -> None:
    assert catalogue.stored_sequence("a", "e") == 0
    for sequence in (5, 3, 9, 9):
        catalogue.record_stored("a", "e", sequence, now=sequence)
    catalogue.record_stored("a", "other spool", 2, now=1)
    assert catalogue.stored_sequence("a", "e") == 9
    assert catalogue.stored_sequence("a", "other spool") == 2
    assert catalogue.stored_sequence("b", "e") == 0


def test_an_intent_lasts_until_all_of_it_is_stored(catalogue: Catalogue, tmp_path: Path) -> None:
    assert catalogue.intent("a", "e") is None
    catalogue.intend("a", "e", Intent(1, 10, begun=5, digest="d"))
    catalogue.intend("a", "other", Intent(1, 2, begun=6, digest="x"))
    catalogue.record_stored("a", "e", 9, now=7)
    again = open_catalogue(f"sqlite:///{tmp_path}/data/catalogue.db")
    assert again.intent("a", "e") == Intent(1, 10, begun=5, digest="d")
    again.close()
    catalogue.intend("a", "e", Intent(1, 12, begun=0, digest=""))
    assert catalogue.intent("a", "e") == Intent(1, 12, begun=0, digest="")
    catalogue.record_stored("a", "e", 12, now=8)
    assert catalogue.intent("a", "e") is None
    assert catalogue.intent("a", "other") == Intent(1, 2, begun=6, digest="x")


def test_single_addresses_are_kept_and_a_name_of_several_stays_one(catalogue: Catalogue) -> None:
    name = task("/many")
    catalogue.remember_tasks([replace(name, addresses="all"), task("/plain")], 1)
    single = Task(id=task_id("/many", "ping", "::1"), target="/many", host="::1", probe="ping")
    catalogue.remember_tasks([single], 2, addresses=True)
    catalogue.remember_tasks([name], 3)
    assert catalogue.addresses() == [KnownTask(single.id, "/many", "ping", 2, 2, address="::1")]
    assert catalogue.names_of_several() == [KnownTask(name.id, "/many", "ping", 1, 3, several=True)]


def test_a_catalogue_of_the_first_shape_is_brought_up(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{tmp_path}/catalogue.db")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO tasks VALUES (-5, '/a', 'ping#step=10s', 1, 2), (6, '/b', 'web', 3, 4)"))
    engine.dispose()
    opened = open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    assert opened.task(2**64 - 5) == KnownTask(2**64 - 5, "/a", "ping", 1, 2)
    assert opened.task(6) == KnownTask(6, "/b", "web", 3, 4)
    opened.close()


def test_events_come_newest_first(catalogue: Catalogue) -> None:
    catalogue.note("reload", "smokemesh.yaml", "12 targets", 1)
    catalogue.note("agent", "a", "seen", 3)
    catalogue.note("agent", "b", "seen", 2)
    assert [event.subject for event in catalogue.events()] == ["a", "b", "smokemesh.yaml"]
    assert catalogue.events(most=1, kind="reload") == [Event(1, "reload", "smokemesh.yaml", "12 targets")]


def test_it_is_all_there_after_opening_again(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/catalogue.db"
    first = open_catalogue(dsn)
    first.record_stored("a", "e", 7, now=1)
    first.close()
    second = open_catalogue(dsn)
    assert second.stored_sequence("a", "e") == 7
    second.ping()
    second.close()


def test_many_threads_write_and_none_is_lost(catalogue: Catalogue) -> None:
    begin = threading.Barrier(8)

    def work(agent: int) -> None:
        begin.wait(10)
        for sequence in range(1, 31):
            catalogue.record_stored(f"agent {agent}", "e", sequence, now=sequence)
            assert catalogue.stored_sequence(f"agent {agent}", "e") == sequence

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(work, agent) for agent in range(8)]:
            done.result()


def test_the_migrations_make_the_tables_the_code_expects(catalogue: Catalogue) -> None:
    with catalogue._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("", "''"),
        ("catalogue.db", "'catalogue.db'"),
        ("sqlite://", "'sqlite://'"),
        ("mysql://me:secret@host/db", r"'mysql://me:\*\*\*@host/db'"),
    ],
)
def test_a_misspelt_address_is_refused(dsn: str, shown: str) -> None:
    with pytest.raises(
        ConfigError, match=f"^catalogue.dsn {shown} is not understood, write sqlite:////FILE or postgres"
    ):
        open_catalogue(dsn)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/catalogue.db: directory cannot be made: "):
        open_catalogue(f"sqlite:///{tmp_path}/file/catalogue.db")
    (tmp_path / "directory").mkdir()
    with pytest.raises(StoreError, match=r"^catalogue sqlite:\S+/directory: unable to open database file$"):
        open_catalogue(f"sqlite:///{tmp_path}/directory")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").write_text("not a database at all, but long enough to be looked at")
    with pytest.raises(StoreError, match="file is not a database"):
        open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")


@pytest.mark.skipif(find_spec("psycopg") is not None, reason="the driver is installed")
def test_postgresql_without_its_driver_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"PostgreSQL needs a driver: pip install psycopg\[binary\]"):
        open_catalogue("postgresql://127.0.0.1:1/smokemesh")
