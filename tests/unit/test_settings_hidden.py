"""What `config show` hides, and that `convert` keeps it whole."""

import json

import pytest

from smokemesh.settings.hidden import hide_option, hide_path, hide_url
from smokemesh.settings.master import load_master
from smokemesh.settings.shape import MasterSettings
from smokemesh.settings.show import master_values


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:pass@db/x", "postgresql://user:***@db/x"),
        ("postgresql://user:a:b@db/x", "postgresql://user:***@db/x"),
        ("postgresql://user:a/b@db/x", "postgresql://user:***@db/x"),
        ("postgresql://user:a@b@db/x", "postgresql://user:***@db/x"),
        ("postgresql://user:a?b#c@db/x", "postgresql://user:***@db/x"),
        ("postgresql://user@db/x", "postgresql://user@db/x"),
        ("clickhouse://:pass@db:9000/x", "clickhouse://:***@db:9000/x"),
        ("clickhouse://db/x?user=u&password=p&secure=1", "clickhouse://db/x?user=u&password=***&secure=1"),
        ("sqlite:////var/lib/a@b.db", "sqlite:////var/lib/a@b.db"),
        ("https://{host}/a@b?access_token=x#y", "https://{host}/a@b?access_token=***#y"),
        ("https://token@{host}/ http://u:p@b.example/", "https://***@{host}/ http://u:***@b.example/"),
        ("no URL: a@b.example", "no URL: a@b.example"),
    ],
)
def test_passwords_in_urls_are_hidden_whatever_they_hold(url: str, shown: str) -> None:
    assert hide_url(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.net/services/T0/B0/xyz", "https://hooks.example.net/***"),
        ("https://u:p@hooks.example.net/x", "https://u:***@hooks.example.net/***"),
        ("https://hooks.example.net", "https://hooks.example.net"),
        ("", ""),
    ],
)
def test_of_a_webhook_only_the_server_is_told(url: str, shown: str) -> None:
    assert hide_path(url) == shown


def test_request_headers_are_told_by_name_only() -> None:
    assert hide_option("headers", "Authorization: Bearer x:y\nAccept: a\nodd") == "Authorization: ***\nAccept: ***\n***"
    assert hide_option("settings", "password=x\nurl=ldap://u:x@h") == "password=***\nurl=ldap://u:***@h"
    assert hide_option("expect", "a: b") == "a: b"


SECRET = """\
catalogue: {dsn: "postgresql+psycopg://me:se:cr/e@t@db/x"}
probes:
  web:
    kind: http
    url: "https://me:secret@{host}/?token=secret"
    headers: "Authorization: Bearer secret"
alerting:
  url: "https://me:secret@smoke.example.net/"
  receivers:
    hook: {type: webhook, url: "https://hooks.example.net/secret", headers: {Authorization: "Bearer secret"}}
    chat: {type: slack, url: "https://chat.example.net/services/secret"}
smokeping:
  originals: {Probes: {Curl: {urlformat: "http://me:secret@%host%/", extraargs: "-H Authorization:secret"}}}
  overrides: {far: {Probes.Curl.extraargs: "-u me:secret", Probes.OpenSSHEOSPing.eospass: secret}}
targets:
  a:
    host: www.example
    probe: web
    options: {url: "https://me:secret@{host}/b", headers: "X-Key: secret"}
    smokeping: {urlformat: "http://me:secret@%host%/"}
"""


def _load(text: str) -> MasterSettings:
    return load_master("c.yaml", {"c.yaml": text}.__getitem__)


def test_show_hides_all_of_them_and_convert_none() -> None:
    settings = _load(SECRET)
    shown = json.dumps(master_values(settings, whole=True))
    assert "secret" not in shown.replace("secret_file", "").replace("secrets_file", "")
    assert "se:cr/e@t" not in shown
    assert shown.count("***") == 15
    kept = json.dumps(master_values(settings, whole=False))
    assert kept.count("secret") == SECRET.count("secret")
    assert _load(kept) == settings


def test_names_of_derived_probes_hold_no_passwords_and_still_differ() -> None:
    other = 'b: {host: b.example, probe: web, options: {url: "https://me:other@{host}/b", headers: "X-Key: other"}}'
    settings = _load(SECRET + f"  {other}\n")
    names = [name for name in settings.probes if "#" in name]
    assert len(names) == 2
    assert not any("secret" in name or "other" in name for name in names)
