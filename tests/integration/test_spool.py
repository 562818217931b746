"""The spool against real files: order, acknowledgement, kill -9, full disks, torn pages. Nothing vanishes uncounted."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from smokemesh.agent import spool as module
from smokemesh.agent.health import HealthReporter
from smokemesh.agent.prober import Prober
from smokemesh.agent.spool import MOST_ROUNDS, TRUSTED_AFTER, Spool
from smokemesh.agent.spool_file import EMPTY, Entry, SpoolFile
from smokemesh.errors import HostError
from smokemesh.model.rounds import RoundBatch
from smokemesh.probes.table import make_engine
from smokemesh.settings.shape import Limits, SpoolSettings
from smokemesh.wire.columns import unpack
from smokemesh.wire.messages import Upload

MASTER = "http://a.example:8080"
NOW = 1_767_323_045 * 10**9
PLENTY = 2**30


def rounds(first: int, count: int = 1, pings: int = 3) -> RoundBatch:
    """Rounds whose times are NOW + their numbers, with RTTs that do not compress."""
    chance = np.random.default_rng(first)
    return RoundBatch.from_columns(
        count,
        {
            "task": np.full(count, 7),
            "time": NOW + np.arange(first, first + count),
            "step": np.full(count, 60.0),
            "sent": np.full(count, pings),
            "received": np.full(count, pings),
            "rtts": chance.random(count * pings),
        },
    )


def numbers(upload: Upload | None) -> list[int]:
    """The rounds of an upload by the numbers given to `rounds`."""
    if upload is None:
        return []
    return [int(time - NOW) for record in upload.records for time in unpack(record.rounds).time]


def sequences(upload: Upload | None) -> list[int]:
    return [record.sequence for record in upload.records] if upload else []


def put(spool: Spool, first: int, count: int = 1, pings: int = 3) -> None:
    spool.append(rounds(first, count, pings))
    assert spool.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    made = open_spool(path)
    yield made
    made.close()


def open_spool(path: Path, *masters: str, bounds: SpoolSettings | None = None, now: int = NOW) -> Spool:
    return Spool(path, masters or (MASTER,), bounds, clock=lambda: now)


def edit(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


def test_rounds_come_out_in_the_order_they_went_in_and_leave_when_acknowledged(spool: Spool) -> None:
    for n in range(5):
        put(spool, n)
    upload = spool.next_upload(MASTER, PLENTY)
    assert upload is not None
    assert (sequences(upload), numbers(upload)) == ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4])
    assert spool.depth().rounds == 5
    spool.acknowledge(MASTER, upload.epoch, 5)
    assert spool.next_upload(MASTER, PLENTY) is None
    assert (spool.depth().rounds, spool.depth().bytes, spool.depth().oldest) == (0, 0, 0)


def test_the_batches_of_one_flush_become_one_record(spool: Spool) -> None:
    for n in range(10):
        spool.append(rounds(n))
    assert spool.depth().rounds == 10
    spool.flush()
    assert sequences(spool.next_upload(MASTER, PLENTY)) == [1]


def test_a_record_does_not_grow_without_bound(spool: Spool) -> None:
    spool.append(rounds(0, MOST_ROUNDS))
    spool.append(rounds(MOST_ROUNDS, 10))
    spool.flush()
    upload = spool.next_upload(MASTER, PLENTY)
    assert upload is not None
    assert [len(unpack(record.rounds)) for record in upload.records] == [MOST_ROUNDS, 10]


def test_an_upload_is_bounded_but_takes_one_record_at_least(spool: Spool) -> None:
    for n in range(6):
        put(spool, n, pings=100)
    size = spool.depth().bytes / 6
    assert sequences(spool.next_upload(MASTER, round(3.5 * size))) == [1, 2, 3]
    spool.unpin(MASTER)
    assert sequences(spool.next_upload(MASTER, 1)) == [1]


def test_what_was_attempted_is_sent_again_identically_until_acknowledged(spool: Spool) -> None:
    put(spool, 0)
    first = spool.next_upload(MASTER, PLENTY)
    put(spool, 1)
    assert spool.next_upload(MASTER, PLENTY) == first
    assert first is not None
    spool.acknowledge(MASTER, first.epoch, 1)
    assert sequences(spool.next_upload(MASTER, PLENTY)) == [2]


def test_the_pinned_range_outlives_a_restart(path: Path) -> None:
    spool = open_spool(path)
    put(spool, 0)
    put(spool, 1)
    before = spool.next_upload(MASTER, PLENTY)
    put(spool, 2)
    spool.close()
    again = open_spool(path)
    assert again.next_upload(MASTER, PLENTY) == before
    assert before is not None
    again.acknowledge(MASTER, before.epoch, 2)
    assert numbers(again.next_upload(MASTER, PLENTY)) == [2]
    again.close()


def test_numbers_go_on_after_everything_was_acknowledged_and_the_file_reopened(path: Path) -> None:
    for n in range(3):
        spool = open_spool(path)
        put(spool, n)
        upload = spool.next_upload(MASTER, PLENTY)
        assert upload is not None
        assert sequences(upload) == [n + 1]
        spool.acknowledge(MASTER, upload.epoch, n + 1)
        spool.close()


def test_an_acknowledgement_of_another_epoch_is_none(spool: Spool) -> None:
    put(spool, 0)
    spool.acknowledge(MASTER, "another", 1)
    assert numbers(spool.next_upload(MASTER, PLENTY)) == [0]


def test_a_record_leaves_only_when_every_master_has_it(path: Path) -> None:
    spool = open_spool(path, "a", "b")
    put(spool, 0)
    put(spool, 1)
    a, b = spool.next_upload("a", PLENTY), spool.next_upload("b", 1)
    assert a is not None
    assert b is not None
    spool.acknowledge("a", a.epoch, 2)
    spool.flush()
    assert spool.depth().rounds == 2
    spool.acknowledge("b", b.epoch, 1)
    spool.flush()
    assert spool.depth().rounds == 1
    assert numbers(spool.next_upload("b", PLENTY)) == [1]
    assert spool.next_upload("a", PLENTY) is None
    spool.close()


def test_a_master_whose_address_changed_keeps_its_place(path: Path) -> None:
    spool = open_spool(path, "http://old")
    put(spool, 0)
    pinned = spool.next_upload("http://old", PLENTY)
    put(spool, 1)
    spool.close()
    spool = open_spool(path, "https://new")
    assert spool.next_upload("https://new", PLENTY) == pinned
    spool.close()


def test_rounds_past_the_byte_bound_are_dropped_oldest_first_and_counted(path: Path) -> None:
    spool = open_spool(path, bounds=SpoolSettings(most_bytes=20_000))
    for n in range(100):
        put(spool, n, pings=100)
    depth = spool.depth()
    assert depth.bytes <= 20_000
    assert depth.rounds + depth.dropped == 100
    left = numbers(spool.next_upload(MASTER, PLENTY))
    assert left == list(range(100 - len(left), 100))
    spool.close()
    assert open_spool(path).depth().dropped == depth.dropped


def test_rounds_past_the_age_bound_are_dropped_and_counted(path: Path) -> None:
    steady = [0.0]
    bounds = SpoolSettings(most_age=86400.0)
    spool = Spool(path, [MASTER], bounds, lambda: NOW + int(steady[0] * 1e9), lambda: steady[0])
    put(spool, 0)
    steady[0] = TRUSTED_AFTER
    put(spool, 1)
    steady[0] = 86401.0
    put(spool, 86_000 * 10**9)
    assert (spool.depth().rounds, spool.depth().dropped) == (1, 2)
    assert sequences(spool.next_upload(MASTER, PLENTY)) == [3]
    spool.close()


def test_a_record_no_master_will_take_is_dropped_and_counted(spool: Spool) -> None:
    put(spool, 0, 5)
    put(spool, 5)
    upload = spool.next_upload(MASTER, 1)
    assert upload is not None
    spool.discard(MASTER, upload)
    assert numbers(spool.next_upload(MASTER, PLENTY)) == [5]
    assert spool.depth().dropped == 5


def test_a_damaged_record_is_skipped_and_counted_and_leaves_no_gap(path: Path) -> None:
    spool = open_spool(path)
    for n in range(4):
        put(spool, n, 2)
    spool.close()
    edit(path, "UPDATE record SET data = substr(data, 1, 20) || x'00' || substr(data, 22) WHERE sequence = 2")
    spool = open_spool(path)
    upload = spool.next_upload(MASTER, PLENTY)
    assert upload is not None
    assert sequences(upload) == [1, 2, 3, 4]
    assert upload.records[1].rounds == EMPTY
    assert numbers(upload) == [0, 1, 2, 3, 3, 4]
    assert (spool.depth().damaged, spool.depth().dropped, spool.depth().rounds) == (1, 2, 6)
    spool.close()


def test_a_record_found_under_another_number_is_damage(path: Path) -> None:
    spool = open_spool(path)
    put(spool, 0)
    spool.close()
    edit(path, "UPDATE record SET sequence = 9")
    spool = open_spool(path)
    upload = spool.next_upload(MASTER, PLENTY)
    assert upload is None or numbers(upload) == []
    assert spool.depth().damaged == 1
    spool.close()


def test_a_file_that_is_no_database_is_moved_aside(path: Path) -> None:
    path.write_bytes(b"not a database at all, " * 1000)
    spool = open_spool(path)
    put(spool, 0)
    assert numbers(spool.next_upload(MASTER, PLENTY)) == [0]
    assert spool.depth().damaged == 1
    assert len(list(path.parent.glob("spool.db.corrupt-*"))) == 1
    spool.close()


def test_an_empty_file_as_left_by_a_power_cut_is_begun_anew(path: Path) -> None:
    path.write_bytes(b"")
    spool = open_spool(path)
    put(spool, 0)
    assert numbers(spool.next_upload(MASTER, PLENTY)) == [0]
    spool.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_file_with_torn_pages_gives_back_what_is_whole_under_its_old_numbers(path: Path, seed: int) -> None:
    """Pages overwritten with noise: whatever is sent is genuine, in order, and what is missing is counted."""
    spool = open_spool(path)
    for n in range(200):
        put(spool, n, pings=200)
    first = spool.next_upload(MASTER, 10_000)
    assert first is not None
    epoch = first.epoch
    spool.close()
    chance = random.Random(seed)
    with path.open("r+b") as file:
        pages = os.path.getsize(path) // 4096
        for page in chance.sample(range(1, pages), 8):
            file.seek(page * 4096)
            file.write(chance.randbytes(4096))
    spool = open_spool(path)
    put(spool, 1000)
    found: list[int] = []
    for _ in range(50):
        upload = spool.next_upload(MASTER, PLENTY)
        if upload is None:
            break
        if upload.epoch == epoch:
            for record in upload.records:
                got = [int(time - NOW) for time in unpack(record.rounds).time]
                assert got in ([], [record.sequence - 1], [1000])
        found += numbers(upload)
        spool.acknowledge(MASTER, upload.epoch, upload.records[-1].sequence)
    assert found[-1] == 1000
    assert found == sorted(set(found))
    depth = spool.depth()
    assert len(found) >= 150 or depth.damaged > 0
    assert depth.damaged >= (len(found) < 201)
    spool.close()


def test_the_file_is_the_owners_alone(path: Path, spool: Spool) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_backlog_that_was_sent_gives_its_disk_space_back(path: Path) -> None:
    spool = open_spool(path)
    for n in range(100):
        put(spool, n, 50, pings=100)
    full = path.stat().st_size
    while (upload := spool.next_upload(MASTER, 2**20)) is not None:
        spool.acknowledge(MASTER, upload.epoch, upload.records[-1].sequence)
    for _ in range(10):
        spool._trim_at = 0.0
        spool.flush()
    spool.close()
    assert path.stat().st_size < full / 4


def deliver(spool: Spool, to: dict[tuple[str, int], bytes]) -> list[int]:
    """Send everything to a master that keeps what it gets by its name; the rounds that were new to it."""
    fresh = []
    while (upload := spool.next_upload(MASTER, PLENTY)) is not None:
        for record in upload.records:
            name = (upload.epoch, record.sequence)
            if name in to:
                assert record.rounds in (to[name], EMPTY), "another record under a name that was used"
            else:
                fresh += [int(time - NOW) for time in unpack(record.rounds).time]
                to[name] = record.rounds
        spool.acknowledge(MASTER, upload.epoch, upload.records[-1].sequence)
    spool.flush()
    return fresh


def test_each_start_begins_an_epoch_and_an_upload_holds_records_of_one(path: Path) -> None:
    epochs: list[str] = []
    for n in (0, 2, 4):
        spool = open_spool(path)
        put(spool, n)
        put(spool, n + 1)
        spool.close()
    spool = open_spool(path)
    for n in (0, 2, 4):
        upload = spool.next_upload(MASTER, PLENTY)
        assert upload is not None
        assert (sequences(upload), numbers(upload)) == ([n + 1, n + 2], [n, n + 1])
        epochs.append(upload.epoch)
        spool.acknowledge(MASTER, upload.epoch, n + 2)
    assert spool.next_upload(MASTER, PLENTY) is None
    assert len(set(epochs)) == 3
    spool.close()


def test_epochs_without_records_are_forgotten(path: Path) -> None:
    spool = open_spool(path)
    put(spool, 0)
    spool.close()
    for _ in range(3):
        open_spool(path).close()
    spool = open_spool(path)
    deliver(spool, {})
    spool.close()
    open_spool(path).close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT first FROM epoch").fetchall() == [(2,)]


@pytest.mark.parametrize(("measured_before", "measured_after"), [(10, 15), (10, 5), (0, 3)])
def test_an_old_copy_brought_back_loses_no_new_rounds_and_repeats_no_old_ones(
    path: Path, measured_before: int, measured_after: int
) -> None:
    """A snapshot of the disk is restored: more or fewer rounds are measured then than the master knows of."""
    master: dict[tuple[str, int], bytes] = {}
    spool = open_spool(path)
    for n in range(measured_before):
        put(spool, n)
    spool.close()
    snapshot = path.read_bytes()
    spool = open_spool(path)
    for n in range(100, 110):
        put(spool, n)
    assert deliver(spool, master) == [*range(measured_before), *range(100, 110)]
    spool.close()
    path.write_bytes(snapshot)
    spool = open_spool(path)
    for n in range(200, 200 + measured_after):
        put(spool, n)
    assert deliver(spool, master) == list(range(200, 200 + measured_after))
    spool.close()


def test_an_acknowledgement_written_down_late_leaves_a_newer_range_pinned(path: Path) -> None:
    file = SpoolFile(path, [MASTER])
    entries = [Entry(NOW, 1, b"a"), Entry(NOW, 1, b"b")]
    file.write(entries, {}, most_bytes=PLENTY, oldest=0, dropped=0, damaged=0)
    assert sequences(file.pin(MASTER, {}, 1)) == [1]
    newer = file.pin(MASTER, {MASTER: 1}, 1)
    assert sequences(newer) == [2]
    file.write([Entry(NOW, 1, b"c")], {MASTER: 1}, most_bytes=PLENTY, oldest=0, dropped=0, damaged=0)
    assert file.pin(MASTER, {}, PLENTY) == newer
    file.close()


def test_a_wall_clock_that_is_wrong_for_a_while_drops_nothing(path: Path) -> None:
    """Fifteen days ahead for a minute: the backlog is still there when the clock is right again."""
    ahead, steady = 0, [0.0]
    spool = Spool(
        path, [MASTER], SpoolSettings(most_age=86400.0), lambda: NOW + ahead + int(steady[0] * 1e9), lambda: steady[0]
    )
    for second in range(0, 8000, 100):
        steady[0] = float(second)
        ahead = 15 * 86400 * 10**9 if second == 7000 else 0
        put(spool, second * 10**9)
    assert (spool.depth().rounds, spool.depth().dropped) == (80, 0)
    spool.close()


def test_a_damaged_file_is_saved_when_there_is_room_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has no room for the new file at first: what can be read of the old one comes with the next try."""
    monkeypatch.setattr(module, "DISK_RETRY", 0.0)
    spool = open_spool(path)
    for n in range(50):
        put(spool, n, pings=200)
    spool.close()
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"U" * 4096)
    restore = SpoolFile.restore
    refused: list[int] = []

    def no_room_twice(self: SpoolFile, records: list[tuple[int, Entry]]) -> None:
        if len(refused) < 2:
            refused.append(len(records))
            raise sqlite3.OperationalError("database or disk is full")
        restore(self, records)

    monkeypatch.setattr(SpoolFile, "restore", no_room_twice)
    spool = open_spool(path)
    for n in range(50, 55):
        spool.append(rounds(n))
        spool.flush()
    found = deliver(spool, {})
    assert len(refused) == 2
    assert len(found) >= 40
    assert found[-5:] == [50, 51, 52, 53, 54]
    assert spool.lost == spool.depth().damaged == 55 - len(found)
    spool.close()


def test_records_lost_with_a_damaged_spool_are_told_to_the_master(path: Path) -> None:
    spool = open_spool(path)
    for n in range(3):
        put(spool, n)
    spool.close()
    edit(path, "UPDATE record SET data = x'00' WHERE sequence = 2")
    spool = open_spool(path)
    reporter = HealthReporter(Prober(Limits(), spool.append, make_engine), spool)
    assert (reporter.report().spool_damaged, reporter.report().last_error) == (0, "")
    spool.next_upload(MASTER, PLENTY)
    health = reporter.report()
    assert (health.spool_damaged, health.spool_dropped) == (1, 1)
    assert "was damaged, records lost: 1 or more" in health.last_error
    spool.close()


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_spool import MASTER, PLENTY, open_spool, rounds
spool = open_spool(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    spool.append(rounds(number))
    number += 1
    if number % 3 == 0:
        spool.flush()
        print("kept", number, flush=True)
    if number % 7 == 0 and (upload := spool.next_upload(MASTER, 3000)) is not None:
        print("sent", upload.records[0].sequence, upload.records[-1].sequence, flush=True)
        if number % 2:
            spool.acknowledge(MASTER, upload.epoch, upload.records[-1].sequence)
            print("done", upload.records[-1].sequence, flush=True)
"""


def test_kill_9_at_random_points_loses_nothing_that_was_flushed_and_renames_nothing_that_was_sent(path: Path) -> None:
    """Ten kills: after each, flushed rounds are there or were acknowledged, and the range under way has its old name."""
    chance, begin = random.Random(1), 0
    stored = 0
    for _ in range(10):
        kept, acknowledged, under_way = _run_and_kill(path, begin, chance.uniform(0.05, 0.4))
        spool = open_spool(path)
        upload = spool.next_upload(MASTER, PLENTY)
        assert upload is not None
        ours = numbers(upload)
        if under_way and acknowledged < under_way[1]:
            assert (upload.records[0].sequence, upload.records[-1].sequence) == under_way
        elif under_way:
            # Killed before the acknowledgement was written down, the range is sent again under its name: no harm.
            assert upload.records[0].sequence in (under_way[0], under_way[1] + 1)
        while True:
            spool.acknowledge(MASTER, upload.epoch, upload.records[-1].sequence)
            upload = spool.next_upload(MASTER, PLENTY)
            if upload is None:
                break
            ours += numbers(upload)
        assert ours == sorted(set(ours))
        if kept:
            assert ours[-1] >= kept - 1
        assert all(b - a == 1 for a, b in pairwise(ours) if b < kept)
        assert spool.depth().damaged == 0
        begin = ours[-1] + 1
        stored += len(ours)
        spool.flush()
        spool.close()
    assert stored > 100


def _run_and_kill(path: Path, begin: int, after: float) -> tuple[int, int, tuple[int, int] | None]:
    """Run the child, kill it; the round it kept last, the sequence acknowledged last, the range last sent."""
    code = CHILD.format(tests=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(begin)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline().split()]
        deadline = time.monotonic() + after
        while time.monotonic() < deadline:
            lines.append(child.stdout.readline().split())
        child.send_signal(signal.SIGKILL)
        lines += [line.split() for line in child.stdout.read().splitlines()]
    whole = [line for line in lines if (line[:1], len(line)) in ((["kept"], 2), (["done"], 2), (["sent"], 3))]
    kept = max((int(line[1]) for line in whole if line[0] == "kept"), default=0)
    done = max((int(line[1]) for line in whole if line[0] == "done"), default=0)
    sent = [(int(line[1]), int(line[2])) for line in whole if line[0] == "sent"]
    return kept, done, sent[-1] if sent else None


FULL = """
import json, os, resource, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import smokemesh.agent.spool as module
from test_spool import MASTER, PLENTY, numbers, rounds, open_spool
module.DISK_RETRY = 0.0
module.MOST_WAITING = 300_000
path, limited = Path(sys.argv[1]), sys.argv[2] == "limit"
spool = open_spool(path)
if limited:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
kept = refused = number = 0
while number < 400:
    spool.append(rounds(number, pings=1000))
    number += 1
    if spool.flush():
        kept += 1
    else:
        refused += 1
during = spool.depth()
trouble = spool.trouble
if limited:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
else:
    os.truncate(path.with_name("ballast"), 0)
recovered = spool.flush()
found = []
while (upload := spool.next_upload(MASTER, PLENTY)) is not None:
    found += numbers(upload)
    spool.acknowledge(MASTER, upload.epoch, upload.records[-1].sequence)
after = spool.depth()
spool.close()
print(json.dumps(dict(kept=kept, refused=refused, trouble=trouble, recovered=recovered, found=found,
                      waiting=during.rounds, dropped_during=during.dropped, dropped=after.dropped)))
"""


def _judge_full_disk(output: str) -> None:
    seen = json.loads(output.splitlines()[-1])
    assert seen["kept"] > 10, "before the disk was full rounds were kept"
    assert seen["refused"] > 100
    assert "spool.db" in seen["trouble"]
    assert seen["recovered"]
    assert seen["found"] == sorted(set(seen["found"]))
    assert seen["found"][-1] == 399, "the newest rounds were kept in memory and written when there was room"
    assert seen["dropped"] == 400 - len(seen["found"]) > 0
    assert seen["waiting"] + seen["dropped_during"] == 400


def test_a_disk_that_takes_no_more_never_stops_the_measurement(path: Path) -> None:
    """The kernel refuses to let any file grow (RLIMIT_FSIZE), then lets it."""
    code = FULL.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), "limit"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    _judge_full_disk(done.stdout)


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
def test_a_full_file_system_never_stops_the_measurement(tmp_path: Path) -> None:
    """A real file system of 2 MB, full; then something on it is deleted."""
    code = FULL.format(tests=str(Path(__file__).parent))
    script = 'mount -t tmpfs -o size=2m none "$0" && head -c 1000000 /dev/zero > "$0/ballast" && exec "$1" -c "$2" "$0/spool.db" disk'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(tmp_path), sys.executable, code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _judge_full_disk(done.stdout)


RESTART = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import smokemesh.agent.spool as module
from test_spool import MASTER, PLENTY, numbers, sequences, put, rounds, open_spool
module.DISK_RETRY = 0.0
path, ballast = Path(sys.argv[1]), Path(sys.argv[1]).with_name("ballast")
spool = open_spool(path)
for n in range(3):
    put(spool, n)
spool.close()
with ballast.open("wb", buffering=0) as file:
    try:
        while file.write(b"x" * 512):
            pass
    except OSError:
        pass
spool = open_spool(path)
spool.append(rounds(3, pings=1000))
refused = not spool.flush()
waiting = spool.depth().rounds
ballast.unlink()
recovered = spool.flush()
found = []
while (upload := spool.next_upload(MASTER, PLENTY)) is not None:
    found += numbers(upload)
    spool.acknowledge(MASTER, upload.epoch, upload.records[-1].sequence)
print(json.dumps([refused, waiting >= 1, recovered, upload is None, found]))
"""


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
def test_an_agent_started_on_a_full_disk_keeps_rounds_in_memory(tmp_path: Path) -> None:
    code = RESTART.format(tests=str(Path(__file__).parent))
    script = 'mount -t tmpfs -o size=1m none "$0" && exec "$1" -c "$2" "$0/spool.db"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(tmp_path), sys.executable, code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [True, True, True, True, [0, 1, 2, 3]]


def test_a_directory_that_is_not_there_is_one_line_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="spool .*gone/spool.db: .*choose another data directory"):
        open_spool(tmp_path / "gone" / "spool.db")
