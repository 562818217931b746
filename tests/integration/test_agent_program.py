"""`smokemesh agent` as a program: how it starts, what it refuses, how it measures without a master, how it stops."""

import fcntl
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from smokemesh.agent import saved
from smokemesh.agent.packed import PackedAssignment
from smokemesh.agent.spool import Spool
from smokemesh.model.assignment import Assignment, Task, task_id
from smokemesh.model.probe import Probe
from smokemesh.wire import messages
from smokemesh.wire.columns import unpack

DEADLINE = 20.0
PROBE = Probe(name="quick", step=1.0, pings=3, interval=0.02, timeout=0.2)


@pytest.fixture(scope="module")
def nowhere() -> Iterator[str]:
    """The address of a master that is not there: the port is ours, and nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    secret = tmp_path / "secret"
    secret.write_text("correct-horse-battery\n")
    secret.chmod(0o600)
    (tmp_path / "data").mkdir()
    return tmp_path


def words(home: Path, master: str, *more: str) -> list[str]:
    given = [
        *("--master-url", master, "--slave-name", "boomer"),
        *("--shared-secret", str(home / "secret"), "--cache-dir", str(home / "data")),
    ]
    return [sys.executable, "-m", "smokemesh", "agent", *given, *more]


def fails(argv: list[str], **how: object) -> tuple[int, str]:
    """Run a command that must end by itself; its status and what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False, **how)  # type: ignore[call-overload]
    return done.returncode, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""


def until(good: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not good():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def agent(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running agent, ended in any case."""
    with log.open("ab") as file, subprocess.Popen(argv, stderr=file) as process:
        try:
            until(lambda: "agent started" in log.read_text() or process.poll() is not None)
            yield process
        finally:
            process.kill()


def assign(home: Path, *hosts: str) -> None:
    """What a master would have assigned some time ago."""
    tasks = tuple(Task(id=task_id(host, "quick"), target=f"/{host}", host=host, probe="quick") for host in hosts)
    assignment = Assignment(version="v1", agent="boomer", tasks=tasks, probes={"quick": PROBE})
    saved.save(home / "data" / "assignment", PackedAssignment.read(messages.encode(assignment)))


def spooled(home: Path) -> int:
    path = home / "data" / "spool.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=5)) as db:
        return int(db.execute("SELECT ifnull(sum(rounds), 0) FROM record").fetchone()[0])


def _mode(home: Path) -> None:
    (home / "secret").chmod(0o644)


def _no_secret(home: Path) -> None:
    (home / "secret").unlink()


def _short(home: Path) -> None:
    (home / "secret").write_text("abc\n")


def _data_is_a_file(home: Path) -> None:
    (home / "data").rmdir()
    (home / "data").write_text("")


@pytest.mark.parametrize(
    ("spoil", "status", "message"),
    [
        (_mode, 3, r"{home}/secret: mode 0644 lets others read the secret; run: chmod 600 {home}/secret"),
        (_no_secret, 3, r"{home}/secret: No such file or directory; shared_secret must be a file this user can read"),
        (_short, 2, r"{home}/secret: the secret has 3 characters; write 8 or more"),
        (
            _data_is_a_file,
            3,
            r"data directory {home}/data: (File exists|Not a directory); make it writable .* or choose .*--data",
        ),
    ],
)
def test_a_host_that_is_not_ready_is_one_line_and_a_status(
    home: Path, nowhere: str, spoil: Callable[[Path], None], status: int, message: str
) -> None:
    spoil(home)
    found = fails(words(home, nowhere))
    assert found[0] == status
    assert re.fullmatch("smokemesh: " + message.replace("{home}", re.escape(str(home))), found[1]), found[1]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "neither --config FILE nor --master-url URL is given; see `smokemesh agent --help`"),
        (
            ["--master-url", "a.example:8080"],
            "--master-url a.example:8080: not an address of a master, write http://HOST:PORT",
        ),
        (
            ["--master-url", "http://a.example", "--master-url", "http://b.example", "--shared-secret", "s"],
            "--master-url: 2 are given (http://a.example, http://b.example); this version uses exactly one",
        ),
        (["--master-url", "http://a.example"], "neither --config FILE nor --shared-secret FILE is given"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(argv: list[str], message: str) -> None:
    status, said = fails([sys.executable, "-m", "smokemesh", "agent", *argv])
    assert status == 2
    assert said.startswith(f"smokemesh: {message}")


def test_a_data_directory_in_use_is_refused(home: Path, nowhere: str) -> None:
    with (home / "data" / "agent.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711\n")
        file.flush()
        status, said = fails(words(home, nowhere))
    assert status == 3
    assert said == f"smokemesh: data directory {home}/data: in use by another agent (process 4711); give each its own"


@pytest.mark.privileged
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_without_the_right_to_ping_it_says_what_to_do(home: Path, nowhere: str) -> None:
    """Root without capabilities, in a network of its own where the ping group is nobody."""
    argv = ["unshare", "--net", "setpriv", "--bounding-set=-all", "--inh-caps=-all", *words(home, nowhere)]
    status, said = fails(argv)
    assert status == 3
    assert "ICMP" in said
    assert "setcap" in said or "ping_group_range" in said


def test_without_a_master_it_measures_on_from_the_saved_assignment(home: Path, nowhere: str) -> None:
    assign(home, "127.0.5.1", "127.0.5.2")
    log = home / "log"
    with agent(words(home, nowhere), log) as process:
        until(lambda: spooled(home) >= 4)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert time.monotonic() - begun < 2.5
    text = log.read_text()
    assert 'event="saved assignment used" version=v1' in text
    assert 'event="assignment in force" version=v1 tasks=2' in text
    assert f"cannot connect to {nowhere.removeprefix('http://')}" in text
    assert 'event="agent stopped"' in text
    assert "Traceback" not in text
    spool = Spool(home / "data" / "spool.db", [nowhere])
    upload = spool.next_upload(nowhere, 2**30)
    assert upload is not None
    found = [unpack(record.rounds) for record in upload.records]
    assert all((batch.received == 3).all() for batch in found)
    spool.close()


def test_a_saved_assignment_older_than_its_time_to_live_is_not_measured(home: Path, nowhere: str) -> None:
    assign(home, "127.0.5.1")
    old = time.time() - 8 * 86400
    os.utime(home / "data" / "assignment", (old, old))
    with agent(words(home, nowhere), home / "log"):
        until(lambda: 'event="no master, measuring stops"' in (home / "log").read_text())
        until(lambda: (home / "data" / "spool.db").exists())
    assert spooled(home) <= 1, "at most what began before the first look at the clock"


def test_a_saved_assignment_that_is_damaged_or_anothers_is_not_used(home: Path, nowhere: str) -> None:
    assign(home, "127.0.5.1")
    path = home / "data" / "assignment"
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    assert saved.load(path, "boomer") is not None
    assert saved.load(path, "another") is None
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert saved.load(path, "boomer") is None
        path.write_bytes(whole[:at])
        assert saved.load(path, "boomer") is None


def test_sigint_stops_and_the_pid_file_goes(home: Path, nowhere: str) -> None:
    argv = words(home, nowhere, "--pid-dir", str(home), "--logfile", str(home / "log"))
    with agent(argv, home / "log") as process:
        assert (home / "smokemesh-agent.pid").read_text() == f"{process.pid}\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
    assert not (home / "smokemesh-agent.pid").exists()


def test_sighup_reads_the_file_again_and_a_bad_one_changes_nothing(home: Path, nowhere: str) -> None:
    assign(home, "127.0.5.1")
    log, config = home / "log", home / "agent.yaml"
    good = f"name: boomer\nmasters: [{nowhere}]\nshared_secret: secret\ndata: data\n"
    config.write_text(good)
    with agent([sys.executable, "-m", "smokemesh", "agent", "--config", str(config)], log) as process:
        until(lambda: spooled(home) >= 1)
        config.write_text(good + "limits: {deny: [127.0.0.0/8]}\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: "127.0.5.1 is in 127.0.0.0/8 (limits.deny)" in log.read_text())
        config.write_text(good + "limts: {}\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: 'event="settings not changed"' in log.read_text())
        assert process.poll() is None
    assert "limts" in log.read_text()


def test_kill_9_in_the_middle_leaves_a_spool_that_goes_on(home: Path, nowhere: str) -> None:
    assign(home, *(f"127.0.6.{n}" for n in range(1, 31)))
    with agent(words(home, nowhere), home / "log") as process:
        until(lambda: spooled(home) >= 20)
        process.kill()
    kept = spooled(home)
    with agent(words(home, nowhere), home / "log"):
        until(lambda: spooled(home) >= kept + 20)
    assert "damaged" not in (home / "log").read_text()
