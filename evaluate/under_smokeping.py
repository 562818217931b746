"""Our agent under a real SmokePing master: Debian's daemon, and its CGI behind a web server. The rounds must be in its archives."""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.programs import free_port
from evaluate import smokeping
from evaluate.recorder import Recorder
from evaluate.slaves import ADDRESSES, PATHS, PINGS, SECRET, STEP, delivered
from evaluate.smokeping import Host, Installation
from evaluate.table import Table
from smokemesh.netlab.network import Network

HERE: Final = "198.18.0.2"


def evaluate(directory: Path, rounds: int) -> Table:
    """Run both for so many rounds, and look into the real master's files."""
    table = Table(f"Our agent under a real 2.7.3 master: {rounds} rounds")
    hosts = [Host(name=name, address=address) for name, address in ADDRESSES.items()]
    master = Installation(
        directory=directory / "master",
        step=STEP,
        pings=PINGS,
        interval=0.3,
        hosts=hosts,
        slaves={"ours": SECRET},
        root={"slaves": "ours"},
    )
    master.write()
    paths = {ADDRESSES[name]: path for name, path in PATHS.items()}
    with ExitStack() as stack:
        network = stack.enter_context(Network({"master": ("198.18.0.1",), "ours": (HERE,)}, paths))
        port = free_port()
        recorder = stack.enter_context(Recorder(network["ours"].listen(8080), port))
        master.daemon(network["master"].start)
        _wait_for(master, 2)
        web = master.web(subprocess.Popen, port)  # it measures nothing, so it needs no site
        stack.callback(web.wait)
        stack.callback(web.terminate)
        agent = _agent(network, directory)
        _wait_for(master, 2 + rounds)
        agent.terminate()
        agent.wait(60)
        _wait_for(master, 5 + rounds)
        truth = network.truth()
    sent, repeated = delivered(recorder)
    table.equal("lines sent more than once", 0, repeated)
    for name, address in ADDRESSES.items():
        mine = sorted((line for (path, _), line in sent.items() if path == f"/{name}"), key=lambda line: line.time)
        whole = len(truth.between(HERE, address)) // PINGS
        table.holds(f"{name}: rounds delivered", f"{whole} or one less", len(mine), whole - len(mine) in (0, 1))
        written = master.written(name, "ours")
        table.equal(f"{name}: rounds the master wrote down", len(mine), len(written))
        table.equal(
            f"{name}: lost pings, round by round", [line.loss for line in mine], [each.loss for each in written]
        )
        table.equal(f"{name}: RTTs, round by round", [line.rtts for line in mine], [each.rtts for each in written])
        _look_into(table, name, master, len(mine))
    return table


def _look_into(table: Table, name: str, master: Installation, rounds: int) -> None:
    """The archive itself: its last steps hold values."""
    file = master.directory / "rrd" / f"{name}~ours.rrd"
    end = int(time.time())
    found = smokeping.fetch(file, end - (rounds + 10) * STEP, end)
    known = int((~np.isnan(found["loss"])).sum())
    table.holds(f"{name}: steps with values in the archive", f"{rounds - 2} or more", known, known >= rounds - 2)


def _agent(network: Network, directory: Path) -> "subprocess.Popen[Any]":
    secret = directory / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    options = ["--slave-name", "ours", "--shared-secret", str(secret), "--cache-dir", str(directory / "agent")]
    url = "http://127.0.0.1:8080/smokeping.cgi"
    argv = [sys.executable, "-m", "smokemesh", "agent", "--master-url", url, *options]
    with (directory / "agent.log").open("ab") as log:
        return network["ours"].start(argv, stdout=log, stderr=log)


def _wait_for(master: Installation, rounds: int) -> None:
    deadline = time.monotonic() + (rounds + 10) * STEP + 30
    while len(master.written("calm")) < rounds:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the real master did not write {rounds} rounds of calm in time")
        time.sleep(0.2)
