"""The statements that make the tables, and the SQL files they come from."""

from string import Template

import pytest

from smokemesh.errors import ConfigError
from smokemesh.model.series import LEVELS
from smokemesh.settings.shape import Retention
from smokemesh.storage.clients import embedded_path, without_password
from smokemesh.storage.schema import BINS, LATEST, RAW, ROLLUPS, Schema, quoted
from smokemesh.storage.statements import statements

PLAIN = Schema("smokemesh", Retention(raw=86400.0, m5=2 * 86400.0, h1=3 * 86400.0, d1=4 * 86400.0))
CLUSTER = Schema("smokemesh", Retention(), "main")


def test_files_hold_statements_by_name_without_comments() -> None:
    for file in ("schema", "questions", "audit"):
        found = statements(file)
        assert found
        for template in found.values():
            assert isinstance(template, Template)
            assert template.template.strip()
            assert "--" not in template.template


def test_every_level_has_a_bin() -> None:
    assert ["raw", *BINS] == list(LEVELS)


def test_plain_tables_remember_tokens_and_drop_by_age() -> None:
    tables = [statement for statement in PLAIN.create() if statement.startswith("CREATE TABLE")]
    assert len(tables) == 3
    for statement in tables:
        assert "non_replicated_deduplication_window = 50000" in statement
        assert "ON CLUSTER" not in statement
        assert "Replicated" not in statement
    assert "TTL toDateTime(time) + toIntervalSecond(86400)" in tables[0]
    assert "multiIf(bin = 300, 172800, bin = 3600, 259200, 345600)" in tables[1]


def test_a_cluster_gets_replicated_tables_behind_distributed_ones() -> None:
    made = CLUSTER.create()
    for name, engine in ((RAW, "MergeTree"), (ROLLUPS, "AggregatingMergeTree"), (LATEST, "ReplacingMergeTree")):
        local = next(s for s in made if s.startswith(f"CREATE TABLE IF NOT EXISTS `{name}_local` ON CLUSTER `main`"))
        place = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
        assert f"ENGINE = Replicated{engine}({place}" in local
        assert "replicated_deduplication_window = 50000" in local
        assert "replicated_deduplication_window_seconds = 7200" in local
        assert "non_replicated" not in local
        spread = next(s for s in made if s.startswith(f"CREATE TABLE IF NOT EXISTS `{name}` ON CLUSTER `main`"))
        assert f"AS `{name}_local`" in spread
        assert f"Distributed('main', 'smokemesh', '{name}_local', sipHash64(task))" in spread


def test_a_cluster_rolls_up_on_the_server_that_holds_the_rounds() -> None:
    for view in (s for s in CLUSTER.create() if "MATERIALIZED VIEW" in s):
        assert "ON CLUSTER `main`" in view
        assert "FROM `rounds_local`" in view
        assert "_local` AS" in view.partition("\n")[0]


def test_nothing_is_left_to_fill_in() -> None:
    for schema in (PLAIN, CLUSTER):
        for statement in [*schema.create(), schema.create_database(), *map(schema.modify_ttl, schema.ttls())]:
            assert "$" not in statement


def test_names_are_quoted() -> None:
    assert quoted("a`b\\") == "`a\\`b\\\\`"


@pytest.mark.parametrize(
    ("dsn", "path"),
    [
        ("chdb:///var/lib/smokemesh/rounds", "/var/lib/smokemesh/rounds"),
        ("chdb:////var/lib/smokemesh/rounds", "/var/lib/smokemesh/rounds"),
        ("chdb:///with%20space", "/with space"),
    ],
)
def test_an_embedded_database_is_a_directory(dsn: str, path: str) -> None:
    assert str(embedded_path(dsn)) == path


def test_a_server_is_none() -> None:
    assert embedded_path("clickhouse://user:pass@host:8123/smokemesh") is None


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("", "storage.dsn '' is not understood, write chdb:///DIRECTORY or clickhouse://HOST/DATABASE"),
        ("chdb://relative/path", "storage.dsn 'chdb://relative/path' is not understood"),
        ("chdb:///", "storage.dsn 'chdb:///' is not understood"),
        ("mysql://u:secret@h/d", r"storage.dsn 'mysql://u:\*\*\*@h/d' is not understood"),
        ("clickhouse:///db", "storage.dsn 'clickhouse:///db' names no host, write clickhouse://HOST/DATABASE"),
    ],
)
def test_a_misspelt_address_is_refused(dsn: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        embedded_path(dsn)


def test_passwords_are_not_shown() -> None:
    assert without_password("clickhouse://me:s3cret@host/db") == "clickhouse://me:***@host/db"
    assert without_password("chdb:///a:b@c") == "chdb:///a:b@c"
