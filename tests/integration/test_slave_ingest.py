"""Slaves' rounds on their way into a real store: each once, however old it is, whatever befell journal, disk and store."""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smokemesh.errors import StoreError
from smokemesh.master import slave_ingest
from smokemesh.master.slave_ingest import SlaveIngest
from smokemesh.master.slave_journal import Journal
from smokemesh.master.slave_memory import MOST_SPANS, Memory
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.series import SeriesQuestion
from smokemesh.settings.shape import Retention
from smokemesh.storage.rounds import ClickHouseRounds, open_rounds

SECOND = 10**9
DAY = 86400
NOW = time.time_ns() // SECOND

Start = Callable[[], SlaveIngest]


def batch(times: "list[int] | range", task: int = 1, step: float = 60.0) -> RoundBatch:
    n = len(times)
    return RoundBatch.from_columns(n, {
        "task": [task] * n, "time": [at * SECOND for at in times], "step": [step] * n, "sent": [1] * n,
        "received": [1] * n, "flags": [Flag.SORTED] * n, "rtts": [0.01] * n,
    })  # fmt: skip


def ages(first: int, count: int) -> range:
    """Times of rounds a minute apart, the first so many seconds ago."""
    return range(NOW - first, NOW - first + 60 * count, 60)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseRounds]:
    """Raw is kept a day."""
    made = open_rounds(f"chdb://{tmp_path}/rounds", Retention(raw=float(DAY)))
    yield made
    made.close()


@pytest.fixture
def start(store: ClickHouseRounds, tmp_path: Path) -> Iterator[Start]:
    """Starts the way in, ending the one before as a restart does."""
    begun: list[SlaveIngest] = []

    def again() -> SlaveIngest:
        for one in begun:
            one.close()
        begun[:] = [SlaveIngest(store, tmp_path / "journal", lambda *_: None)]
        begun[0].begin()
        return begun[0]

    yield again
    for one in begun:
        one.close()


def take(ingest: SlaveIngest, *batches: RoundBatch) -> list[int]:
    """How many rounds of each post were new; they are in the store then."""

    async def all_of_them() -> list[int]:
        return [await ingest.take("s", one, time.time_ns()) for one in batches]

    counts = asyncio.run(all_of_them())
    assert ingest.drained(60)
    return counts


def sent(store: ClickHouseRounds, task: int = 1) -> int:
    """Pings of the task in the coarsest level: it holds all rounds of all times."""
    question = SeriesQuestion(
        task=task, agent="s", begin=(NOW - 30 * DAY) * SECOND, end=(NOW + DAY) * SECOND, points=9, level="1d"
    )
    return int(store.series([question])[0].sent.sum())


def test_rounds_older_than_raw_are_stored_once(store: ClickHouseRounds, start: Start) -> None:
    """A slave is back after a weekend, its huge post outlasts its patience, and it posts again; then the master restarts."""
    old = ages(5 * DAY, 30)
    ingest = start()
    assert take(ingest, batch(old), batch(old), batch(old[5:20])) == [30, 0, 0]
    assert take(ingest, batch(ages(5 * DAY, 35))) == [5]
    ingest = start()
    assert take(ingest, batch(ages(5 * DAY, 36)), batch(ages(5 * DAY + 600, 10))) == [1, 10]
    assert sent(store) == 46


def test_new_rounds_need_no_memory(start: Start, tmp_path: Path) -> None:
    assert take(start(), batch(ages(3600, 30)), batch(ages(3600, 30))) == [30, 0]
    assert not (tmp_path / "journal" / "taken").exists()


@pytest.mark.parametrize("age", [3600, 5 * DAY], ids=["in raw", "older than raw"])
@pytest.mark.parametrize("stored", [False, True])
def test_a_plan_whose_name_may_be_forgotten(
    store: ClickHouseRounds, start: Start, tmp_path: Path, age: int, stored: bool
) -> None:
    journal, begun = Journal(tmp_path / "journal"), time.time_ns() - 7200 * SECOND
    groups = [journal.write(begun, [("s", batch(ages(age, 10)))])]
    journal.plan("slaves/x", begun, groups)
    if stored:
        store.insert_together(groups[0].parts, "slaves/x")
    ingest = start()
    assert ingest.drained(60)
    assert take(ingest, batch(ages(age, 11))) == [1]
    assert sent(store) == 11


def test_a_late_insert_cut_off_between_its_pieces(
    store: ClickHouseRounds, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, begun = batch(ages(3600, 50)), time.time_ns() - 7200 * SECOND
    journal = Journal(tmp_path / "journal")
    journal.plan("slaves/y", begun, [journal.write(begun, [("s", rounds)])])
    insert, names = store.insert_together, list[str]()

    def cut_off(parts: Any, token: str) -> None:
        names.append(token)
        if len(names) == 1:
            insert([("s", slave_ingest.take_rows(rounds, np.arange(20)))], token)
            raise StoreError("storage: the connection was cut")
        insert(parts, token)

    monkeypatch.setattr(slave_ingest, "AGAIN", 0.05)
    monkeypatch.setattr(store, "insert_together", cut_off)
    assert start().drained(60)
    assert sent(store) == 50
    assert len(set(names)) == 2


def test_a_large_post_is_cut_into_groups(
    start: Start, store: ClickHouseRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slave_ingest, "MOST_TOGETHER", 7)
    write, sizes = Journal.write, list[int]()

    def noted(self: Journal, begun: int, parts: Any) -> Any:
        sizes.append(sum(len(part) for _, part in parts))
        return write(self, begun, parts)

    monkeypatch.setattr(Journal, "write", noted)
    ingest = start()
    assert take(ingest, batch(ages(3600, 30)), batch(ages(3600, 10), 2)) == [30, 10]
    assert sizes == [7, 7, 7, 7, 2, 7, 3]
    assert (sent(store), sent(store, 2)) == (30, 10)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("damaged", ["000000000002", "plan"])
def test_one_damaged_file_loses_no_other(
    store: ClickHouseRounds, start: Start, tmp_path: Path, damaged: str, stored: bool
) -> None:
    journal, begun = Journal(tmp_path / "journal"), time.time_ns()
    groups = [journal.write(begun, [("s", batch(ages(3600, 5), task))]) for task in (1, 2, 3)]
    journal.plan("slaves/x", begun, groups)
    journal.write(begun, [("s", batch(ages(3600, 5), 4))])
    if stored:
        store.insert_together([("s", RoundBatch.concatenate([g.parts[0][1] for g in groups]))], "slaves/x")
    file = tmp_path / "journal" / damaged
    file.write_bytes(file.read_bytes()[:10])
    Journal(tmp_path / "journal").read()  # killed before it could insert anything
    assert start().drained(60)
    lost = 0 if stored or damaged == "plan" else 5
    assert [sent(store, task) for task in (1, 2, 3, 4)] == [5, 5 - lost, 5, 5]
    assert start().drained(0)
    kept = {entry.name for entry in (tmp_path / "journal").iterdir()}
    assert kept == {"plan.known" if damaged == "plan" else f"{damaged}.damaged"}


def test_a_full_disk_is_not_filled_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(5):
            with pytest.raises(StoreError, match="No space left on device; make room"):
                journal.write(1, [("s", batch(ages(60, 1)))])
    assert not list((tmp_path / "journal").iterdir())
    (tmp_path / "journal" / "000000000009.new").write_bytes(b"left by a kill")
    assert Journal(tmp_path / "journal").read() == ([], None)
    assert not list((tmp_path / "journal").iterdir())


def test_the_memory_is_bounded_and_exact(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "taken")
    for start in (0, 3600, 7200):
        memory.add("s", batch(range(start, start + 3600, 60)))
    memory.add("s", batch([20_000, 20_120], 2))
    assert memory.has("s", batch([-60, 0, 5000, 10_740, 10_800])).tolist() == [False, True, True, True, False]
    assert memory.has("s", batch([20_000, 20_060, 20_120], 2)).tolist() == [True, False, True]
    assert not memory.has("other", batch([0])).any()
    size = next((tmp_path / "taken").iterdir()).stat().st_size
    assert size < 100
    memory.add("s", batch(range(0, 1000 * 600, 600), 3))
    assert Memory(tmp_path / "taken").has("s", batch(range(0, 1000 * 600, 600), 3)).sum() == MOST_SPANS
    (file,) = (tmp_path / "taken").iterdir()
    file.write_bytes(b"\x93\x01")
    assert not Memory(tmp_path / "taken").has("s", batch([0])).any()
    assert [entry.suffix for entry in (tmp_path / "taken").iterdir()] == [".damaged"]
