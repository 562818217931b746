"""A real SmokePing slave and our agent, together, against our master: no round lost or doubled that the slave sent or measured.

In the middle the master is killed twice and loads a changed configuration. Everything the slave posts goes through a recorder, so
what it delivered is known to the byte; what both measured is known from the network.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from json import load
from pathlib import Path
from typing import Any, Final

from benchmarks.programs import free_port, wait_until_ready
from evaluate import smokeping
from evaluate.recorder import Recorder
from evaluate.smokeping import Host, Installation
from evaluate.table import Table
from smokemesh.netlab import path as netlab
from smokemesh.netlab.network import Network
from smokemesh.netlab.relay import Relay
from smokemesh.netlab.truth import Truth

STEP: Final = 5
PINGS: Final = 5
SECRET: Final = "only-for-the-evaluation"
PATHS: Final = {
    "calm": netlab.Path(delay=0.01),
    "fifth": netlab.Path(delay=0.02, faults=(netlab.Lose(every=5),)),
    "dead": netlab.Path(faults=(netlab.Lose(every=1),)),
    "jitters": netlab.Path(delay=0.03, jitter=0.02),
}
ADDRESSES: Final = {name: f"192.0.2.{i}" for i, name in enumerate(PATHS, 1)}
_PART = re.compile(rb'name="(\w+)"\r\n\r\n(.*?)\r\n--', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """One round as a slave delivered it."""

    path: str
    time: int
    loss: int
    rtts: tuple[float, ...]


class OurMaster:
    """Our master on a SmokePing configuration, started, killed and started again on the same port."""

    def __init__(self, installation: Installation, port: int, log: Path) -> None:
        self._installation, self.port, self._log = installation, port, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = ["--config", str(self._installation.config), "--data", str(self._installation.directory / "data")]
        argv = [sys.executable, "-m", "smokemesh", "master", *options, "--listen", f"127.0.0.1:{self.port}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        wait_until_ready(f"http://127.0.0.1:{self.port}/-/ready")

    def kill(self) -> None:
        """As a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def reload(self) -> None:
        """Load the changed file."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def rounds(self, name: str, agent: str) -> list[dict[str, Any]]:
        """Every round it holds."""
        url = f"http://127.0.0.1:{self.port}/api/v1/rounds?target=/{name}&agent={agent}&points=100000"
        with urllib.request.urlopen(url, timeout=20) as answer:
            found: list[dict[str, Any]] = load(answer)
        return found


def evaluate(directory: Path, seconds: float) -> Table:
    """Run both for so long, disturb the master, and count."""
    table = Table(
        f"A real 2.7.3 slave and our agent against our master: {seconds / 60:g} minutes, two kills, one reload"
    )
    installation = _installation(directory / "master")
    master = OurMaster(installation, free_port(), directory / "master.log")
    paths = {ADDRESSES[name]: path for name, path in PATHS.items()}
    with ExitStack() as stack:
        network = stack.enter_context(Network({"real": ("198.18.0.1",), "ours": ("198.18.0.2",)}, paths))
        recorder = stack.enter_context(Recorder(network["real"].listen(8080), master.port))
        stack.enter_context(Relay(network["ours"].listen(8080), ("127.0.0.1", master.port)))
        stack.callback(master.stop)
        master.start()
        slave = directory / "real"
        url = "http://127.0.0.1:8080/smokeping.cgi"
        smokeping.slave(network["real"].start, slave, name="real", secret=SECRET, master=url).wait(60)
        stack.callback(_end_slave, slave)
        agent = _agent(network, directory)
        pid = smokeping.running_slave(slave)
        _disturb(master, installation, seconds)
        table.equal("the slave is the process it was", pid, smokeping.running_slave(slave))
        _end_slave(slave)
        agent.terminate()
        agent.wait(60)
        _settle(master, recorder)
        truth = network.truth()
        _judge_slave(table, master, recorder, truth)
        _judge_ours(table, master, truth)
    return table


def _installation(directory: Path) -> Installation:
    hosts = [Host(name=name, address=address) for name, address in ADDRESSES.items()]
    made = Installation(
        directory=directory,
        step=STEP,
        pings=PINGS,
        interval=0.3,
        hosts=hosts,
        slaves={"real": SECRET, "ours": SECRET},
        root={"slaves": "real ours"},
        each={"nomasterpoll": "yes"},
    )
    made.write()
    return made


def _agent(network: Network, directory: Path) -> "subprocess.Popen[Any]":
    """Ours, with SmokePing's option names and SmokePing's secret."""
    secret = directory / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    options = ["--slave-name", "ours", "--shared-secret", str(secret), "--cache-dir", str(directory / "agent")]
    argv = [sys.executable, "-m", "smokemesh", "agent", "--master-url", "http://127.0.0.1:8080", *options]
    with (directory / "agent.log").open("ab") as log:
        return network["ours"].start(argv, stdout=log, stderr=log)


def _disturb(master: OurMaster, installation: Installation, seconds: float) -> None:
    """A kill after a third, a reload in the middle, a kill after two thirds; each kill lasts two steps and a half."""
    begun = time.monotonic()
    for share, what in ((1 / 3, "kill"), (1 / 2, "reload"), (2 / 3, "kill")):
        _wait_until(begun + share * seconds)
        if what == "kill":
            master.kill()
            time.sleep(2.5 * STEP)
            master.start()
        else:
            # A target for neither of the two: what they are told must not change, or the real slave would die of it.
            more = "+ added\nmenu = added\ntitle = added\nhost = 192.0.2.1\nslaves =\nnomasterpoll = no\n"
            installation.config.write_text(installation.config.read_text() + more)
            master.reload()
    _wait_until(begun + seconds)


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _end_slave(directory: Path) -> None:
    pid = smokeping.running_slave(directory)
    if not pid:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while smokeping.running_slave(directory) and time.monotonic() < deadline:
        time.sleep(0.1)


def _settle(master: OurMaster, recorder: Recorder) -> None:
    """Until the last post has been answered and stored."""
    deadline, before = time.monotonic() + 20, -1
    while time.monotonic() < deadline and before != len(recorder.exchanges):
        before = len(recorder.exchanges)
        time.sleep(2.0)
    with suppress(OSError):
        master.rounds("calm", "real")


def delivered(recorder: Recorder) -> tuple[dict[tuple[str, int], Line], int]:
    """Every round in posts that were answered with success, and how many lines came more than once in any post."""
    found: dict[tuple[str, int], Line] = {}
    lines = 0
    for exchange in recorder.exchanges:
        data = dict(_PART.findall(exchange.body)).get(b"data", b"").decode()
        for text in filter(None, data.split("\n")):
            lines += 1
            line = _line(text)
            if exchange.status == 200:
                found[line.path, line.time] = line
    return found, lines - len(found)


def _line(text: str) -> Line:
    path, moment, values = text.split("\t")
    _uptime, loss, _median, *pings = values.split(":")
    return Line(path, int(moment), int(loss), tuple(float(ping) for ping in pings if ping != "U"))


def _judge_slave(table: Table, master: OurMaster, recorder: Recorder, truth: Truth) -> None:
    sent, repeated = delivered(recorder)
    table.holds("real slave: posts", "some refused while the master was away", _statuses(recorder), bool(sent))
    table.holds("real slave: lines sent again after a failure", "any number, harmless", repeated, good=True)
    for name, address in ADDRESSES.items():
        whole = len(truth.between("198.18.0.1", address)) // PINGS
        mine = [line for (path, _), line in sent.items() if path == f"/{name}"]
        measured = f"{whole} or, ended within one, one less"
        table.holds(f"real slave, {name}: rounds delivered", measured, len(mine), whole - len(mine) in (0, 1))
        stored = {_seconds(each["time"]): each for each in master.rounds(name, "real")}
        table.equal(f"real slave, {name}: rounds stored, each once", len(mine), len(master.rounds(name, "real")))
        wrong = [line.time for line in mine if not _same(line, stored.get(line.time))]
        table.equal(f"real slave, {name}: rounds whose loss or any RTT differs", [], wrong)


def _same(line: Line, stored: dict[str, Any] | None) -> bool:
    if stored is None:
        return False
    rtts = [rtt for rtt in stored["rtts"] if rtt is not None]
    close = all(abs(a - b) <= 1e-6 * max(a, 1e-3) for a, b in zip(line.rtts, rtts, strict=False))
    return len(rtts) == len(line.rtts) and close and stored["sent"] - stored["received"] == line.loss


def _judge_ours(table: Table, master: OurMaster, truth: Truth) -> None:
    for name, address in ADDRESSES.items():
        rounds = master.rounds(name, "ours")
        whole = len(truth.between("198.18.0.2", address)) // PINGS
        stored = f"{whole} or, ended within one, one less"
        table.holds(f"our agent, {name}: rounds stored", stored, len(rounds), whole - len(rounds) in (0, 1))
        doubled = [moment for moment, count in Counter(each["time"] for each in rounds).items() if count > 1]
        table.equal(f"our agent, {name}: rounds doubled", [], doubled)


def _statuses(recorder: Recorder) -> str:
    counts = Counter(exchange.status or "no answer" for exchange in recorder.exchanges)
    return ", ".join(f"{count} x {status}" for status, count in counts.items())


def _seconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp())
