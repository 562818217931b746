"""`smokemesh up` on SmokePing's own file: it starts, measures, and takes a change of the file or refuses it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.privileged  # raw ICMP sockets, where ping_group_range allows no others

CONFIG = """*** General ***
owner = Joe
contact = joe@example.net
cgiurl = http://127.0.0.1/smokeping/smokeping.cgi
imgcache = DIR
imgurl = ../images
datadir = DIR
piddir = DIR
smokemail = DIR/config
*** Database ***
step = 1
pings = 3
AVERAGE 0.5 1 1008
*** Presentation ***
template = DIR/config
+ overview
width = 600
height = 50
range = 10h
+ detail
width = 600
height = 200
"Last 3 Hours" 3h
*** Alerts ***
to = |/bin/true
from = smoke@example.net
+ someloss
type = loss
pattern = >0%,*12*,>0%
comment = lossy
*** Probes ***
+ FPing
binary = /usr/bin/fping
+ TCPPing
binary = /usr/bin/tcpping
forks = 5
*** Targets ***
probe = FPing
menu = Top
title = 全部
alerts = someloss
+ Local
menu = Local
++ four
host = 127.0.0.1
++ door
probe = TCPPing
port = PORT
host = 127.0.0.2
++ both
host = /Local/four /Local/door
"""


def wait_until(true: Callable[[], Any], seconds: float = 40.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.1)
    return found


class Running:
    """A running `smokemesh up`."""

    def __init__(self, folder: Path, file: Path) -> None:
        command = [sys.executable, "-m", "smokemesh", "up", "--config", str(file)]
        self.folder, self.url = folder, ""
        self.process = subprocess.Popen(
            [*command, "--data", str(folder), "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Pages: "):
                self.url = line.removeprefix("Pages: ").strip().rstrip("/")
                break

    def newest(self) -> dict[str, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/latest", timeout=10) as answer:
                found = json.load(answer)
        except (urllib.error.URLError, OSError):
            return {}
        return {path: sights[0] for path, sights in found.items() if sights and sights[0]["time"]}

    def log(self) -> str:
        return (self.folder / "master.log").read_text()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    with closing(socket.create_server(("127.0.0.2", 0))) as door:
        path = tmp_path / "config"
        path.write_text(CONFIG.replace("DIR", str(tmp_path)).replace("PORT", str(door.getsockname()[1])))
        yield path


def test_a_smokeping_file_is_measured_and_reloaded(file: Path, tmp_path: Path) -> None:
    running = Running(tmp_path / "data", file)
    try:
        assert running.url, running.process.communicate(timeout=20)[0]
        found = wait_until(lambda: (newest := running.newest()).keys() == {"/Local/four", "/Local/door"} and newest)
        assert {path: (sight["loss"], sight["agent"]) for path, sight in found.items()} == {
            "/Local/four": (0.0, "local"),
            "/Local/door": (0.0, "local"),
        }
        whole = file.read_text()
        file.write_text(whole.replace("*12*", "*x*"))
        os.kill(running.process.pid, signal.SIGHUP)
        wait_until(lambda: "alerts.someloss.pattern" in running.log())
        assert f"{file}:29: alerts.someloss.pattern: " in running.log()
        file.write_text(whole + "++ again\nhost = 127.0.0.3\n")
        os.kill(running.process.pid, signal.SIGHUP)
        wait_until(lambda: "/Local/again" in running.newest())
    finally:
        running.process.terminate()
        running.process.communicate(timeout=20)
