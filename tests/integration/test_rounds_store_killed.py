"""Killed at any moment, the store holds each round once, in raw and in every rollup, when it is sent again."""

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import LEVELS, SeriesQuestion
from smokemesh.settings.shape import Retention
from smokemesh.storage.repair import take_back_lost_inserts
from smokemesh.storage.rounds import open_rounds

BEGIN = 1_700_000_000_000_000_000
#: Each batch holds rounds of three days, so it makes parts in three partitions.
BATCHES, ROUNDS, GAP = 25, 60, 72 * 60 * 1_000_000_000
SENT = BATCHES * ROUNDS * 3
#: Kept long enough that nothing expires while the test runs, in whatever year.
FOREVER = "Retention(raw=1e9, m5=1e9, h1=1e9, d1=1e9)"

CHILD = f"""
import sys
import numpy as np
from smokemesh.model.rounds import RoundBatch
from smokemesh.settings.shape import Retention
from smokemesh.storage.rounds import open_rounds

def batch(i):
    n = {ROUNDS}
    columns = {{"task": np.arange(n), "time": {BEGIN} + i * 10**9 + np.arange(n) * {GAP}, "step": np.full(n, 60),
               "sent": np.full(n, 3), "received": np.full(n, 2), "rtts": np.tile([0.1, np.nan, 0.2], n)}}
    return RoundBatch.from_columns(n, columns)

store = open_rounds(sys.argv[1], {FOREVER})
for i in range(int(sys.argv[2]), {BATCHES}):
    print("begin", i, flush=True)
    store.insert("a", batch(i), f"a/epoch/{{i}}")
print("all", flush=True)
store.close()
"""


def child(dsn: str, first: int) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", CHILD, dsn, str(first)], stdout=subprocess.PIPE, text=True)


def held(dsn: str) -> dict[str, tuple[int, int]]:
    """Level -> (rounds, pings sent) of all tasks."""
    store = open_rounds(dsn, Retention(raw=1e9, m5=1e9, h1=1e9, d1=1e9))
    end = BEGIN + ROUNDS * GAP + BATCHES * 1_000_000_000
    found = {}
    for level in LEVELS:
        questions = [
            SeriesQuestion(task=task, agent="a", begin=BEGIN - GAP, end=end, points=50, level=level)
            for task in range(ROUNDS)
        ]
        series = store.series(questions)
        found[level] = (sum(int(s.rounds.sum()) for s in series), sum(int(s.sent.sum()) for s in series))
    store.close()
    return found


def test_killed_at_random_then_sent_again(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path / 'rounds'}"
    dice = random.Random(20)
    at = 0
    for _ in range(5):
        process = child(dsn, max(at - 2, 0))
        assert process.stdout is not None
        enough = at + dice.randint(2, 5)
        for line in process.stdout:
            if line.startswith("begin"):
                at = int(line.split()[1])
            if at >= enough:
                break
        # An insert takes some 20 ms: the signal arrives anywhere inside one.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(dice.uniform(0.0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        assert process.wait(10) == -signal.SIGKILL
    with child(dsn, 0) as process:
        assert process.stdout is not None
        assert process.stdout.read().endswith("all\n")
    assert process.returncode == 0
    assert held(dsn) == dict.fromkeys(LEVELS, (BATCHES * ROUNDS, SENT))


@pytest.mark.parametrize("table", ["rounds", "rollups"])
def test_killed_between_the_token_and_the_part(tmp_path: Path, table: str) -> None:
    """What is left on disk then is a logged token without its part; the part is taken away here to get there."""
    path = tmp_path / "rounds"
    dsn = f"chdb://{path}"
    with child(dsn, BATCHES - 3) as process:
        assert process.wait(60) == 0
    before = held(dsn)
    [definition] = path.glob(f"store/*/*/{table}.sql")
    [place] = path.glob(f"store/*/{_uuid(definition)}")
    newest = max((part for part in place.iterdir() if _is_single(part.name)), key=lambda part: part.stat().st_mtime_ns)
    shutil.rmtree(newest)
    assert held(dsn) != before
    with child(dsn, BATCHES - 3) as process:
        assert process.wait(60) == 0
    assert held(dsn) == before


def test_only_tokens_without_their_part_are_taken_back(tmp_path: Path) -> None:
    table = tmp_path / "store" / "abc" / "abcdef"
    logs = table / "deduplication_logs"
    logs.mkdir(parents=True)
    for part in ("20261121_1_4_1", "20261121_6_6_0", "20261122_2_2_0_9", "tmp_insert_20261121_5_5_0", "detached"):
        (table / part).mkdir()
        (table / part / "columns.txt").write_text("columns")
        (table / part / "checksums.txt").write_text("checksums format version: a later one")
    (table / "20261121_8_8_0").mkdir()
    (logs / "deduplication_log_1.txt").write_text(
        "1\t20261121_2_2_0\tmerged\n1\t20261121_5_5_0\tlost\n1\t20261121_6_6_0\theld\n1\t20261121_7_7_0\tdropped\n"
    )
    (logs / "deduplication_log_10.txt").write_text(
        "2\t20261121_7_7_0\tdropped\n1\t20261122_2_2_0\tmutated\n1\tsomething-else\tunknown\n1\t20261121_8_8_0\tempty\n"
        "1\t20261122_9_9_0\tto"
    )
    assert take_back_lost_inserts(tmp_path) == 2
    assert (logs / "deduplication_log_10.txt").read_text() == (
        "2\t20261121_7_7_0\tdropped\n1\t20261122_2_2_0\tmutated\n1\tsomething-else\tunknown\n1\t20261121_8_8_0\tempty\n"
        "2\t20261121_5_5_0\tlost\n2\t20261121_8_8_0\tempty\n"
    )
    assert take_back_lost_inserts(tmp_path) == 0


def test_a_new_store_needs_no_repair(tmp_path: Path) -> None:
    assert take_back_lost_inserts(tmp_path) == 0
    dsn = f"chdb://{tmp_path / 'rounds'}"
    store = open_rounds(dsn)
    store.insert("a", RoundBatch.from_columns(1, {"task": [1], "time": [BEGIN], "step": [1]}), "t")
    store.close()
    assert take_back_lost_inserts(tmp_path / "rounds") == 0


def _uuid(definition: Path) -> str:
    """The directory of a table, from its definition."""
    return definition.read_text().split("UUID '")[1].split("'")[0]


def _is_single(part: str) -> bool:
    """A part as an insert made it, not merged from several."""
    fields = part.split("_")
    return len(fields) == 4 and fields[1].isdecimal() and fields[1] == fields[2]
