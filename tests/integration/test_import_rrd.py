"""`smokemesh import-rrd` on real archives, made by rrdtool: every value is found again, none twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smokemesh.model.assignment import task_id
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.series import LEVELS, Series, SeriesQuestion
from smokemesh.settings.shape import Retention
from smokemesh.smokeping.archive import SECOND
from smokemesh.storage.rounds import open_rounds

pytestmark = pytest.mark.peer("rrdtool")

STEP, PINGS = 300, 3
#: The end of all archives: long past, on the boundary of a day.
END = 1_790_035_200
#: As long as the configuration says: the archives are old.
LONG = Retention(raw=20 * 365 * 86_400.0, m5=20 * 365 * 86_400.0, h1=20 * 365 * 86_400.0, d1=20 * 365 * 86_400.0)
CONFIG = """
agents: {far: {}}
targets:
  a:
    agents: [local, far]
    b: {host: 127.0.0.1}
    c: {host: 127.0.0.2}
"""


def make_archive(file: Path, rounds: int, *, lost: int = 7, fine: int = 100) -> None:
    """An archive with a round every step, the last at END; every `lost`-th round has lost one ping."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sources = [f"DS:{name}:GAUGE:{2 * STEP}:0:U" for name in ("uptime", "loss", "median", "ping1", "ping2", "ping3")]
    levels = [f"RRA:AVERAGE:0.5:1:{fine}", *(f"RRA:{kind}:0.5:12:1000" for kind in ("AVERAGE", "MIN", "MAX"))]
    begin = END - rounds * STEP
    run("create", str(file), "--start", str(begin), "--step", str(STEP), *sources, *levels)
    updates = []
    for number in range(1, rounds + 1):
        base = 0.010 + 0.001 * (number % 12)
        pings = f"{base}:{base + 0.002}:{base + 0.01}" if number % lost else f"{base}:{base + 0.002}:U"
        updates.append(f"{begin + number * STEP}:U:{0 if number % lost else 1}:{base + 0.002}:{pings}")
    for start in range(0, len(updates), 500):
        run("update", str(file), *updates[start : start + 500])


def run(*words: str) -> str:
    return subprocess.run(["rrdtool", *words], capture_output=True, text=True, check=True).stdout


def import_rrd(place: Path, *more: str, directory: str = "rrd") -> "subprocess.CompletedProcess[str]":
    argv = [
        sys.executable,
        "-m",
        "smokemesh",
        "import-rrd",
        str(place / directory),
        "--config",
        str(place / "config.yaml"),
    ]
    return subprocess.run([*argv, "--data", str(place / "data"), *more], capture_output=True, text=True, check=False)


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ask(place: Path, target: str, agent: str, level: str) -> Series:
    store = open_rounds(f"chdb://{place}/data/rounds", LONG)
    try:
        question = SeriesQuestion(
            task=task_id(target, "ping"), agent=agent, begin=(END - 10 * 86_400) * SECOND, end=(END + 86_400) * SECOND,
            level=level, points=1_000_000,
        )  # fmt: skip
        return store.series([question])[0]
    finally:
        store.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    retention = "storage: {retention: {raw: 20y, 5m: 20y, 1h: 20y, 1d: 20y}}\n"
    (tmp_path / "config.yaml").write_text(retention + CONFIG)
    return tmp_path


def test_every_value_is_found_again(place: Path) -> None:
    file = place / "rrd/a/b.rrd"
    make_archive(file, 500)
    first = told(import_rrd(place, "--json"))
    fetched = run("fetch", str(file), "AVERAGE", "-s", str(END - 60 * STEP), "-e", str(END - STEP)).splitlines()[2:]
    raw = ask(place, "/a/b", "local", "raw")
    seconds = (raw.time // SECOND).tolist()
    for line in fetched:
        end, _uptime, loss, median, least, _, most = (float(word.rstrip(":")) for word in line.split())
        at = seconds.index(int(end) - STEP)
        assert raw.sent[at] - raw.received[at] == loss
        assert raw.bands[at, 0] == pytest.approx(least, rel=1e-6)
        if loss == 0:
            assert raw.median[at] == pytest.approx(median, rel=1e-6)
            assert raw.bands[at, -1] == pytest.approx(most, rel=1e-6)
    assert first["rounds"] == len(raw)
    assert (raw.flags & int(Flag.IMPORTED) > 0).all()
    assert raw.pairs.sum() == 0


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "raw"])
def test_every_level_counts_the_same(place: Path, level: str) -> None:
    make_archive(place / "rrd/a/b.rrd", 500)
    told(import_rrd(place, "--json"))
    series = ask(place, "/a/b", "local", level)
    # Whole coarse rows from the first update on; the row in which the archive begins is known by more than half, or not.
    assert abs(int(series.rounds.sum()) - 500) <= 12
    lost = int((series.sent - series.received).sum())
    assert abs(lost - 500 // 7) <= 2
    assert series.bands[:, 0].min() == pytest.approx(0.010, rel=1e-3)


def test_twice_is_once_and_what_is_new_is_added(place: Path) -> None:
    make_archive(place / "rrd/a/b.rrd", 300)
    make_archive(place / "rrd/a/b~far.rrd", 40)
    first = told(import_rrd(place, "--json"))
    assert first["found"] == 2
    before = {level: ask(place, "/a/b", "local", level) for level in LEVELS}
    again = told(import_rrd(place, "--json"))
    assert (again["rounds"], again["rows"], again["known"]) == (0, 0, first["rounds"] + first["rows"])
    for level, series in before.items():
        assert ask(place, "/a/b", "local", level).rounds.tolist() == series.rounds.tolist()
    run("update", str(place / "rrd/a/b.rrd"), *(f"{END + i * STEP}:U:0:0.5:0.5:0.5:0.5" for i in (1, 2)))
    assert told(import_rrd(place, "--json"))["rounds"] == 2
    raw = ask(place, "/a/b", "local", "raw")
    assert raw.time.tolist() == sorted(set(raw.time.tolist()))
    assert raw.median[-2:].tolist() == pytest.approx([0.5, 0.5])
    assert len(ask(place, "/a/b", "far", "raw")) > 0


def test_history_goes_on_to_the_hour_in_which_we_began_ourselves(place: Path) -> None:
    """Smokemesh has measured since the afternoon of a day whose finest rows SmokePing no longer has."""
    make_archive(place / "rrd/a/b.rrd", 1000)
    began = END - 700 * STEP
    (place / "data").mkdir()
    store = open_rounds(f"chdb://{place}/data/rounds", LONG)
    times = [(began + i * STEP) * SECOND for i in range(10)]
    columns = {"task": [task_id("/a/b", "ping")] * 10, "time": times, "step": [STEP] * 10, "sent": [1] * 10}
    store.insert("local", RoundBatch.from_columns(10, columns | {"received": [1] * 10, "rtts": [0.9] * 10}), "own")
    store.close()
    told(import_rrd(place, "--json"))
    hours = ask(place, "/a/b", "local", "1h")
    brought = hours.time[(hours.flags & int(Flag.IMPORTED)) > 0] // SECOND
    assert brought.max() == (began // 3600 - 1) * 3600
    assert (brought[1:] - brought[:-1] == 3600).all()


def test_killed_and_started_again(place: Path) -> None:
    """Killed at different moments, each time while it works; in the end everything is there once."""
    for name in ("b", "c", "b~far", "c~far"):
        make_archive(place / f"rrd/a/{name}.rrd", 400)
    argv = [sys.executable, "-m", "smokemesh", "import-rrd", str(place / "rrd"), "--config", str(place / "config.yaml")]
    killed = 0
    for patience in (1.2, 1.6, 2.0):
        child = subprocess.Popen(
            [*argv, "--data", str(place / "data")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            killed += 1
    assert killed > 0
    told(import_rrd(place, "--json"))
    for target in ("/a/b", "/a/c"):
        for agent in ("local", "far"):
            raw, days = ask(place, target, agent, "raw"), ask(place, target, agent, "1d")
            assert raw.time.tolist() == sorted(set(raw.time.tolist()))
            assert abs(int(days.rounds.sum()) - 400) <= 12
            assert days.rounds.sum() == ask(place, target, agent, "1h").rounds.sum()


def test_what_is_left_out_is_told_with_the_reason(place: Path) -> None:
    make_archive(place / "rrd/a/b.rrd", 20)
    make_archive(place / "rrd/gone.rrd", 20)
    make_archive(place / "rrd/a/b~nobody.rrd", 20)
    (place / "rrd/a/c.rrd").write_bytes(b"not an archive")
    run("create", str(place / "rrd/a/c~far.rrd"), "--step", "300", "DS:speed:GAUGE:600:0:U", "RRA:AVERAGE:0.5:1:10")
    skipped = told(import_rrd(place, "--json"))["skipped"]
    reasons = {Path(file).name: reason for file, reason in skipped.items()}
    assert "no target /gone" in reasons["gone.rrd"]
    assert "no agent nobody" in reasons["b~nobody.rrd"]
    assert "rrdtool cannot read it" in reasons["c.rrd"]
    assert "its sources are speed" in reasons["c~far.rrd"]


def test_a_moved_part_of_the_tree_is_found(place: Path) -> None:
    make_archive(place / "rrd/old/b.rrd", 20)
    assert told(import_rrd(place, "--json", "--rename", "/old=/a"))["found"] == 1
    wrong = import_rrd(place, "--rename", "old=a")
    assert wrong.returncode == 2
    assert "write /OLD=/NEW" in wrong.stderr


def test_a_dry_run_changes_nothing(place: Path) -> None:
    make_archive(place / "rrd/a/b.rrd", 20)
    done = import_rrd(place, "--dry-run")
    assert "/a/b as local saw it" in done.stdout
    assert not (place / "data").exists()


def test_no_directory_and_no_files(place: Path) -> None:
    wrong = import_rrd(place, directory="nowhere")
    assert wrong.returncode == 2
    assert "is no directory" in wrong.stderr
    (place / "rrd").mkdir()
    assert import_rrd(place).returncode == 1
