"""Alerts end to end: hosts of a made-up network die and come back, a real agent measures, a master that is killed meanwhile
judges, and a program is told; each thing once, and a host behind a dead one not at all."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from smokemesh.netlab import path as netlab
from smokemesh.netlab.network import Network
from smokemesh.netlab.relay import Relay

pytestmark = pytest.mark.privileged

PROGRAM = [sys.executable, "-m", "smokemesh"]
CORE, LEAF = "192.0.2.1", "192.0.2.2"
GOOD, DEAD = netlab.Path(delay=0.005), netlab.Path(faults=(netlab.Lose(every=1),))
CONFIG = """
defaults: {{step: 1s, pings: 3, interval: 100ms, timeout: 200ms}}
agents:
  prober: {{secret_file: secret}}
alerts:
  down: {{type: loss, pattern: ">50%,>50%,>50%", to: ["|{program}"], comment: three rounds lost}}
targets:
  agents: [prober]
  alerts: [down]
  core: {{host: "192.0.2.1"}}
  leaf: {{host: "192.0.2.2", parents: [/core]}}
"""


class World:
    """The network, the agent inside it, and a master that can be killed."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.told_file = folder / "told"
        program = folder / "tell"
        program.write_text(f'#!/bin/sh\nprintf "%s %s %s\\n" "$1" "$2" "$6" >> {self.told_file}\n')
        program.chmod(0o755)
        (folder / "smokemesh.yaml").write_text(CONFIG.format(program=program))
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_text(os.urandom(16).hex())
        self.log = stack.enter_context((folder / "log").open("ab"))
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.network = stack.enter_context(Network({"here": ("198.18.0.1",)}, {CORE: GOOD, LEAF: GOOD}))
        self.start_master()
        address = ("127.0.0.1", self.listener.getsockname()[1])
        stack.enter_context(Relay(self.network["here"].listen(8080), address))
        options = ["--name", "prober", "--shared-secret", f"{folder}/secret", "--data", f"{folder}/agent"]
        argv = [*PROGRAM, "agent", "--master-url", "http://127.0.0.1:8080", *options]
        self.network["here"].start(argv, stdout=self.log, stderr=self.log)

    def start_master(self) -> None:
        argv = [*PROGRAM, "master", "--config", f"{self.folder}/smokemesh.yaml", "--data", f"{self.folder}/master"]
        number = self.listener.fileno()
        self.master = subprocess.Popen(
            [*argv, "--listen-fd", str(number)], pass_fds=[number], stdout=self.log, stderr=self.log
        )
        self._stack.callback(end, self.master)
        self.wait(lambda: self.ask("/-/ready")["ready"])

    def kill_master(self) -> None:
        self.master.send_signal(signal.SIGKILL)
        self.master.wait()

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def run(self, *words: str) -> Any:
        argv = [*PROGRAM, *words, "--master", self.url]
        return json.loads(subprocess.run(argv, capture_output=True, timeout=60, check=True).stdout)

    def wait(self, true: Callable[[], Any], seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if true():
                    return
            except OSError:
                pass  # the master is not there yet
            log = (self.folder / "log").read_text("utf-8", "replace")[-3000:]
            assert time.monotonic() < deadline, f"it did not happen in time; told {self.told}\n{log}"
            threading.Event().wait(0.1)

    def rounds(self, number: int) -> None:
        """Until so many more rounds of each target are judged and kept."""
        before = {path: len(self.ask(f"/api/v1/rounds?target={path}")) for path in ("/core", "/leaf")}
        self.wait(lambda: all(len(self.ask(f"/api/v1/rounds?target={p}")) >= n + number for p, n in before.items()))

    @property
    def told(self) -> list[str]:
        return self.told_file.read_text().splitlines() if self.told_file.exists() else []


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def test_what_dies_is_told_once_and_what_lies_behind_it_is_not(world: World) -> None:
    world.rounds(2)
    assert world.told == []
    world.network.set({CORE: DEAD, LEAF: DEAD})
    world.wait(lambda: world.told == ["down core [from prober] 1"])
    world.wait(lambda: len(world.ask("/api/v1/incidents?state=open")) == 2)
    open_now = {one["target"]: one for one in world.ask("/api/v1/incidents?state=open")}
    assert open_now["/leaf"]["muted"] == "parent:/core"
    assert open_now["/core"]["agents"] == ["prober"]
    assert open_now["/core"]["worst_loss"] == 1.0

    world.kill_master()
    world.start_master()
    world.rounds(4)
    assert {one["target"]: one["id"] for one in world.ask("/api/v1/incidents?state=open")} == {
        path: one["id"] for path, one in open_now.items()
    }
    assert world.told == ["down core [from prober] 1"]

    world.network.set({CORE: GOOD})
    world.wait(lambda: len(world.told) == 3)
    assert world.told == ["down core [from prober] 1", "down core [from prober] 0", "down leaf [from prober] 1"]

    world.network.set({LEAF: GOOD})
    world.wait(lambda: len(world.told) == 4)
    assert world.told[3] == "down leaf [from prober] 0"
    world.wait(lambda: not world.ask("/api/v1/incidents?state=open"))

    listed = world.run("alerts", "list", "--all", "--json")
    assert [(one["target"], one["muted"]) for one in listed] in (
        [("/leaf", ""), ("/core", "")],
        [("/core", ""), ("/leaf", "")],
    )
    tried = world.run("alerts", "test", "down", "--target", "/core", "--since", "1h", "--json")
    assert (tried["raised"], tried["cleared"]) == (1, 1)
