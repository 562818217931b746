"""A real SmokePing 2.7.3 slave, unmodified, against our master on SmokePing's own file: killed, reloaded, nothing lost or doubled."""

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks.programs import free_port, smokemesh, wait_until_ready
from evaluate import smokeping
from evaluate.recorder import Exchange, Recorder
from evaluate.smokeping import Host, Installation
from smokemesh.master.premises import listen
from smokemesh.model.assignment import task_id
from smokemesh.model.rounds import Flag
from smokemesh.model.series import SeriesQuestion
from smokemesh.smokeping import perl, protocol
from smokemesh.smokeping.results import read_lines
from smokemesh.storage.audit import audit
from smokemesh.storage.rounds import open_rounds

STEP = 2
SECRET = "only-for-this-test"
TARGETS = {"one": "127.0.0.1", "two": "127.0.1.7", "dead": "127.0.0.0"}


@dataclass
class World:
    """The master's program, a recorder before it, and the slave's program."""

    directory: Path
    installation: Installation
    port: int = field(default_factory=free_port)
    master: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        config, data = str(self.installation.config), str(self.directory / "data")
        argv = smokemesh("master", "--config", config, "--data", data, "--listen", f"127.0.0.1:{self.port}")
        with (self.directory / "master.log").open("ab") as log:
            self.master = subprocess.Popen(argv, stdout=log, stderr=log)
        wait_until_ready(f"http://127.0.0.1:{self.port}/-/ready")

    def end(self, how: signal.Signals) -> None:
        if self.master is not None:
            self.master.send_signal(how)
            self.master.wait(30)
            self.master = None

    def logs(self) -> str:
        files = (
            self.directory / "master.log",
            self.directory / "slave" / "log",
            self.directory / "slave" / "start.log",
        )
        return "\n".join(file.read_text()[-2000:] for file in files if file.exists())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    installation = Installation(
        directory=tmp_path / "smokeping",
        step=STEP,
        pings=3,
        interval=0.02,
        timeout=0.3,
        hosts=[Host(name=name, address=address) for name, address in TARGETS.items()],
        slaves={"real": SECRET, "other": "another-secret"},
        root={"slaves": "real"},
        each={"nomasterpoll": "yes"},
    )
    installation.write()
    made = World(tmp_path, installation)
    made.start()
    yield made
    made.end(signal.SIGTERM)
    pid = smokeping.running_slave(tmp_path / "slave")
    if pid:
        os.kill(pid, signal.SIGTERM)


def lines(exchange: Exchange) -> bytes:
    """The `data` of a post."""
    call = protocol.call_of(protocol.form_fields(exchange.headers["Content-Type"], exchange.body))
    assert call is not None
    return call.data


def delivered(recorder: Recorder) -> list[Exchange]:
    """Posts with rounds that were answered with OK."""
    return [one for one in list(recorder.exchanges) if one.answer == b"OK\n" and one.status == 200 and lines(one)]


def until(world: World, reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline, f"{what} did not happen in 20 s:\n{world.logs()}"
        time.sleep(0.05)


@pytest.mark.peer("/usr/sbin/smokeping", "fping")
def test_a_real_slave_works_with_our_master(world: World) -> None:
    slave = world.directory / "slave"
    with listen("127.0.0.1", 0) as listener, Recorder(listener, world.port) as recorder:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/smokeping.cgi"
        smokeping.slave(subprocess.Popen, slave, name="real", secret=SECRET, master=url).wait(30)
        until(world, lambda: len(delivered(recorder)) >= 2, "delivery of rounds")
        pid = smokeping.running_slave(slave)
        _fetched_its_configuration(recorder.exchanges[0])

        world.end(signal.SIGKILL)
        until(world, lambda: any(one.status == 0 for one in recorder.exchanges), "a post in vain")
        world.start()
        seen = len(delivered(recorder))
        until(world, lambda: len(delivered(recorder)) > seen, "delivery after the master was killed")

        # Work for another slave: this one must not be told of it, for it would die.
        config = world.installation.config
        more = "+ added\nmenu = added\ntitle = added\nhost = 127.0.0.9\nslaves = other\n"
        config.write_text(config.read_text() + more)
        reload = urllib.request.Request(f"http://127.0.0.1:{world.port}/-/reload", method="POST")
        with urllib.request.urlopen(reload, timeout=20) as answer:
            assert b"other" in answer.read()
        seen = len(delivered(recorder))
        until(world, lambda: len(delivered(recorder)) >= seen + 2, "delivery after the reload")
        assert smokeping.running_slave(slave) == pid

        os.kill(pid, signal.SIGTERM)
        until(world, lambda: not smokeping.running_slave(slave), "the end of the slave")
        configurations = [one for one in recorder.exchanges if one.content_type == protocol.CONFIGURATION]
        assert len(configurations) == 1
        sent = b"\n".join(lines(one) for one in delivered(recorder))
    world.end(signal.SIGTERM)
    _holds_exactly(world, sent)


def _fetched_its_configuration(first: Exchange) -> None:
    assert (first.status, first.content_type) == (200, protocol.CONFIGURATION)
    got = perl.read(first.answer)
    assert isinstance(got, dict)
    assert isinstance(got["Targets"], dict)
    assert {name for name, node in got["Targets"].items() if isinstance(node, dict)} == set(TARGETS)


def _holds_exactly(world: World, sent: bytes) -> None:
    """The store has the rounds of these lines, value for value, and no other."""
    found = read_lines(sent)
    assert found.refusals.total == 0
    assert len(set(zip(found.path.tolist(), found.time.tolist(), strict=True))) >= 3 * 5
    dsn = f"chdb://{world.directory}/data/rounds"
    store = open_rounds(dsn)
    try:
        for number, path in enumerate(found.paths):
            rows = {int(found.time[i]): i for i in np.flatnonzero(found.path == number).tolist()}
            question = SeriesQuestion(task=task_id(path, "FPing"), agent="real", begin=0, end=2**62, points=10_000)
            held = store.rounds(question)
            assert [at // 10**9 for at in held.time.tolist()] == sorted(rows)
            wanted = [found.rtts[found.offsets[i] : found.offsets[i + 1]] for _, i in sorted(rows.items())]
            np.testing.assert_array_equal(held.rtts, np.concatenate(wanted))
            assert set(held.flags.tolist()) == {int(Flag.SORTED)}
            assert set(held.step.tolist()) == {float(STEP)}
    finally:
        store.close()
    whole = audit(dsn)
    assert whole.rounds.tolist() == whole.distinct.tolist()
    assert whole.rollups_agree
    assert set(whole.agent) == {"real"}
