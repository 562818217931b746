"""kill -9 of either program, ten times at random: every round the agent finished is in the store once, in every level.

The witness is a trigger in the agent's own spool file: in the same transaction in which a record becomes durable it is
copied to a table that nothing ever deletes from.
"""

import contextlib
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks.programs import free_port, smokemesh, wait_until_ready
from smokemesh.agent.spool_file import SpoolFile
from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import SeriesQuestion
from smokemesh.storage.audit import audit
from smokemesh.storage.rounds import open_rounds
from smokemesh.wire.columns import unpack

KILLS = 10
TARGETS = 40


@dataclass
class Programs:
    """One master and one agent, which may be killed and started again."""

    directory: Path
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("agent", "master"):
            (self.directory / name).mkdir()
        secret = self.directory / "secret"
        secret.write_text("nobody-else-knows-it\n")
        secret.chmod(0o600)
        targets = "".join(f"    t{i}: {{host: 127.0.{1 + i // 20}.{1 + i % 20}}}\n" for i in range(TARGETS))
        (self.directory / "master.yaml").write_text(
            f"listen: {self.address}\nprobes:\n  ping: {{kind: icmp, step: 1s, pings: 3, interval: 100ms}}\n"
            f"agents:\n  a: {{secret_file: {secret}}}\ntargets:\n  loop:\n    probe: ping\n    agents: [a]\n{targets}"
        )
        (self.directory / "agent.yaml").write_text(
            f"name: a\nmasters: [http://{self.address}]\nshared_secret: {secret}\ndata: {self.directory / 'agent'}\n"
        )

    @property
    def spool(self) -> Path:
        return self.directory / "agent" / "spool.db"

    @property
    def store(self) -> str:
        return f"chdb://{self.directory / 'master' / 'rounds'}"

    def start(self, name: str) -> None:
        more = ["--data", str(self.directory / "master")] if name == "master" else []
        argv = smokemesh(name, "--config", str(self.directory / f"{name}.yaml"), *more)
        with (self.directory / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log)

    def agent_is_up(self) -> bool:
        """Whether the agent started last holds its data directory: it listens to signals then."""
        return (self.directory / "agent" / "agent.lock").read_text().strip() == str(self.running["agent"].pid)

    def end(self, name: str, how: signal.Signals) -> int:
        program = self.running.pop(name)
        program.send_signal(how)
        return program.wait(30)

    def logs(self) -> str:
        return "\n".join((self.directory / f"{name}.log").read_text()[-3000:] for name in ("master", "agent"))


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path)
    yield made
    for name in list(made.running):
        with contextlib.suppress(ProcessLookupError):
            made.end(name, signal.SIGKILL)


def _install_witness(programs: Programs) -> None:
    """Make the spool as the agent would, with a trigger that keeps a copy of each record."""
    SpoolFile(programs.spool, [f"http://{programs.address}"]).close()
    with contextlib.closing(sqlite3.connect(programs.spool)) as db:
        db.executescript(
            "CREATE TABLE witness (sequence INTEGER PRIMARY KEY, data BLOB NOT NULL);"
            "CREATE TRIGGER witnessed AFTER INSERT ON record BEGIN"
            " INSERT INTO witness VALUES (NEW.sequence, NEW.data); END;"
        )


def _ask(programs: Programs, question: str) -> list[tuple[int, bytes]]:
    with contextlib.closing(sqlite3.connect(f"file:{programs.spool}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(question).fetchall()


def _wait(programs: Programs, done: Callable[[], bool], what: str, patience: float = 120.0) -> None:
    deadline = time.monotonic() + patience
    pause = subprocess.Popen(["sleep", "0"])
    while not done():
        assert time.monotonic() < deadline, f"{what} within {patience} s\n{programs.logs()}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            programs.running["agent"].wait(0.05) if "agent" in programs.running else pause.wait(0.05)
    pause.wait()


def _witnessed(programs: Programs) -> int:
    return int(_ask(programs, "SELECT count(*) FROM witness")[0][0])


def _rows(batch: RoundBatch) -> set[tuple[int, int, int, int, bytes]]:
    """Every round as something that can be compared: number, time, counts, and the very bytes of its RTTs."""
    return {
        (
            int(batch.task[i]),
            int(batch.time[i]),
            int(batch.sent[i]),
            int(batch.received[i]),
            batch.rtts[batch.offsets[i] : batch.offsets[i + 1]].tobytes(),
        )
        for i in range(len(batch))
    }


@pytest.mark.privileged
@pytest.mark.timeout(480)
def test_nothing_is_lost_or_doubled_by_ten_kills(programs: Programs) -> None:
    rng = random.Random(20)
    _install_witness(programs)
    for name in ("master", "agent"):
        programs.start(name)
    wait_until_ready(f"http://{programs.address}/-/ready")
    for _ in range(KILLS):
        goal = _witnessed(programs) + rng.randint(1, 6)
        _wait(programs, lambda goal=goal: _witnessed(programs) >= goal, f"{goal} records in the spool")  # type: ignore[misc]
        victim = rng.choice(("master", "agent"))
        programs.end(victim, signal.SIGKILL)
        programs.start(victim)
    wait_until_ready(f"http://{programs.address}/-/ready")
    goal = _witnessed(programs) + 3
    _wait(programs, lambda: _witnessed(programs) >= goal, "rounds after the last kill")
    assert programs.end("agent", signal.SIGTERM) == 0, programs.logs()
    _deliver_the_rest(programs)
    assert programs.end("master", signal.SIGTERM) == 0, programs.logs()
    _compare(programs)


def _deliver_the_rest(programs: Programs) -> None:
    """An agent that may measure nothing any more empties its spool."""
    file = programs.directory / "agent.yaml"
    file.write_text(file.read_text() + 'limits: {deny: ["127.0.0.0/8"]}\n')
    programs.start("agent")
    # All may have been delivered when the one before ended; a signal this early would find no handler yet.
    _wait(programs, programs.agent_is_up, "an agent that holds its data directory")
    last = int(_ask(programs, "SELECT max(sequence) FROM witness")[0][0])
    _wait(
        programs,
        lambda: _ask(programs, f"SELECT 1 FROM consumer WHERE acknowledged >= {last}") != [],
        "everything delivered",
    )
    assert programs.end("agent", signal.SIGTERM) == 0, programs.logs()


def _compare(programs: Programs) -> None:
    finished = RoundBatch.concatenate([unpack(data) for _, data in _ask(programs, "SELECT * FROM witness")])
    found = audit(programs.store)
    assert found.rounds.sum() == found.distinct.sum() == len(finished)
    assert found.rollups_agree, found.disagreeing
    assert set(found.task.tolist()) == set(np.unique(finished.task).tolist())
    store = open_rounds(programs.store)
    stored = [
        store.rounds(SeriesQuestion(task=int(task), agent="a", begin=0, end=2**62, points=10_000))
        for task in found.task
    ]
    store.close()
    assert _rows(RoundBatch.concatenate(stored)) == _rows(finished)
