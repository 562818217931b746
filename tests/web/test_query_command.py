"""`smokemesh query` against a running server: a table for people, JSON and CSV for programs, one line for mistakes."""

import csv
import io
import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from smokemesh.cli.query import show


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "smokemesh", "query", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_table_for_people(address: str) -> None:
    done = run("/changzhou/rack29", "--master", address, "--agent", "boomer", "--from", "now-6h", "--points", "12")
    assert done.returncode == 0, done.stderr
    head, columns, *rows = done.stdout.splitlines()
    assert re.match(r"/changzhou/rack29 seen from 常州一号: median [23]\.\d\d ms, loss ", head)
    assert columns.split() == ["TIME", "MEDIAN", "LEAST", "MOST", "JITTER", "LOSS", "ANSWERED"]
    assert 10 <= len(rows) <= 13


def test_a_page_of_several_targets_names_the_target_of_each_line(address: str) -> None:
    done = run("/compare", "--master", address, "--from", "now-1h", "--points", "2")
    assert done.returncode == 0, done.stderr
    heads = [line.partition(": median")[0] for line in done.stdout.splitlines() if ": median" in line]
    assert heads[0] == "zurich <Zürich: /transit/europe/zurich seen from slater"
    assert any(head.endswith(": /transit/tokyo seen from boomer") for head in heads)


def test_the_head_line_says_what_may_be_the_agents_own_and_a_range_that_is_wider() -> None:
    summary = {"median_average": 0.01, "loss_average": 0.05, "sent": 900, "received": 855, "deviation": 0.001,
               "doubtful": 12}  # fmt: skip
    series = {"target": "/a", "page": "/a", "title": "b", "summary": summary, "step": 3600.0, "time": [], "begin": 0.0,
              "end": 7200.0}  # fmt: skip
    reply = {"begin": 1000.0, "end": 3000.0, "now": 1e9, "series": [series]}
    with CliRunner().isolation() as (out, *_):
        show(reply)
        text = out.getvalue().decode()
    assert "loss 5 % (45 of 900, up to 12 perhaps lost by the agent itself)" in text
    assert re.search(r", figures from 19\S+ \d\d:00:00\+?\S* to 19\S+ \d\d:00:00", text)
    series |= {"begin": 1000.0, "end": 3000.0, "summary": summary | {"doubtful": 0}}
    with CliRunner().isolation() as (out, *_):
        show(reply)
        text = out.getvalue().decode()
    assert "loss 5 % (45 of 900), sd" in text
    assert "figures from" not in text


def test_json_and_csv_for_programs(address: str) -> None:
    reply = json.loads(run("/office", "--master", address, "--json").stdout)
    assert [series["agent"] for series in reply["series"]] == ["boomer", "slater"]
    rows = list(csv.DictReader(io.StringIO(run("/office", "--master", address, "--csv").stdout)))
    assert {row["agent"] for row in rows} == {"boomer", "slater"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["/nope"], 1, "target /nope: no such place in the tree"),
        (["/office", "--agent", "ghost"], 1, "agent ghost: no such agent"),
        (["/office", "--json", "--csv"], 2, "--json and --csv exclude one another"),
        (["/office", "--from", "then"], 2, "begin 'then' is not a time"),
    ],
)
def test_the_masters_words_about_a_mistake(address: str, arguments: list[str], status: int, words: str) -> None:
    done = run(*arguments, "--master", address)
    assert done.returncode == status
    assert done.stderr.startswith("smokemesh: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("master", "status", "words"),
    [
        ("http://127.0.0.1:1", 4, "master http://127.0.0.1:1: Connection refused"),
        ("localhost:8080", 2, "--master localhost:8080: must begin with http:// or https://"),
    ],
)
def test_a_master_that_is_not_there(master: str, status: int, words: str) -> None:
    done = run("/office", "--master", master)
    assert (done.returncode, done.stderr) == (status, f"smokemesh: {words}\n")
