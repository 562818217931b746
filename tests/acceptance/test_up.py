"""`smokemesh up` end to end: real measurements of this host on the page within seconds, and a clean end."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.privileged  # raw ICMP sockets, where ping_group_range allows no others


def wait_until(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.05)
    return found


@dataclass
class Up:
    """A running `smokemesh up`."""

    process: subprocess.Popen[str]
    folder: Path
    url: str = ""

    def ask(self, path: str) -> Any:
        host, port = self.url.removeprefix("http://").rstrip("/").rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except OSError:
            return {}
        finally:
            connection.close()

    def child(self, name: str) -> int:
        """Process number of the master or the agent, 0 when it does not run."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
                except OSError:
                    continue
                if int(parent) == self.process.pid and name.encode() in words:
                    return int(entry.name)
        return 0

    def newest(self) -> dict[str, str]:
        """Target -> time of its newest round."""
        found = self.ask("/api/v1/latest")
        return {path: sights[0]["time"] for path, sights in found.items() if sights and sights[0]["time"]}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "smokemesh", "up", "--data", str(folder), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def up(folder: Path, *arguments: str) -> Iterator[Up]:
    process = start(folder, "--listen", "127.0.0.1:0", *arguments)
    running = Up(process, folder)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Pages: "):
                running.url = line.removeprefix("Pages: ").strip()
                break
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_measures_this_host_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    begin = time.monotonic()
    with up(tmp_path / "data") as running:
        assert running.ask("/-/ready") == {"ready": True, "problem": ""}
        targets = {target["host"]: target["path"] for target in running.ask("/api/v1/targets")}
        assert "127.0.0.1" in targets
        if number == signal.SIGINT:
            wait_until(lambda: set(running.newest()) == set(targets.values()))
            assert time.monotonic() - begin < 30
            (sight,) = running.ask("/api/v1/latest")[targets["127.0.0.1"]]
            assert (sight["agent"], sight["state"], sight["sent"], sight["received"]) == ("local", "ok", 10, 10)
            assert 0 < sight["median"] < 0.05
            assert_agents_are_listed(running.url)
        children = [running.child("master"), wait_until(lambda: running.child("agent"))]
        stop = time.monotonic()
        running.process.send_signal(number)
        _, errors = running.process.communicate(timeout=20)
        assert running.process.returncode == 0
        assert errors == ""
        assert time.monotonic() - stop < 10
        assert all(gone(pid) for pid in children)


def assert_agents_are_listed(url: str) -> None:
    command = [sys.executable, "-m", "smokemesh", "agents", "--master", url]
    table = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    assert table[0].split()[:2] == ["agent", "location"]
    assert table[1].split()[0] == "local"
    assert " up " in table[1]
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, timeout=30, check=True).stdout)
    assert (found[0]["name"], found[0]["alive"]) == ("local", True)


def test_its_own_configuration_touches_only_this_host(tmp_path: Path) -> None:
    from smokemesh.cli.addresses import own_addresses
    from smokemesh.cli.first_config import first_config
    from smokemesh.settings.master import load_master

    own = own_addresses()
    settings = load_master("this-host.yaml", lambda _: first_config('a "host"', own))
    assert [target.host for target in settings.targets] == [str(one.address) for one in own]
    assert all(target.agents == ("local",) for target in settings.targets)
    for one in own:  # what is ours can be bound to
        family = socket.AF_INET6 if one.address.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(one.address), 0))


def test_a_child_that_dies_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    config = tmp_path / "smokemesh.yaml"
    config.write_text("defaults: {step: 1s, pings: 3}\ntargets: {x: {host: 127.0.0.1}}\n")
    with up(tmp_path / "data", "--config", str(config)) as running:
        wait_until(running.newest)
        config.write_text(config.read_text().replace("x:", "y:"))
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "/y" in running.newest())
        config.write_text(config.read_text().replace("y:", "x:"))
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "/x" in running.newest())
        for name in ("master", "agent"):
            kill_and_see_it_come_back(running, name)
        rounds = running.ask("/api/v1/rounds?target=/x&agent=local&begin=now-10m")
        times = [one["time"] for one in rounds]
        assert len(times) == len(set(times))


def kill_and_see_it_come_back(running: Up, name: str) -> None:
    before, last = running.child(name), running.newest()["/x"]
    os.kill(before, signal.SIGKILL)
    assert running.process.stderr is not None
    line = running.process.stderr.readline()
    assert line == f"smokemesh: the {name} ended by SIGKILL; it is started again in 1 s\n"
    wait_until(lambda: running.child(name) not in (0, before))
    wait_until(lambda: running.newest().get("/x", "") > last)


def test_dies_with_its_parent(tmp_path: Path) -> None:
    with up(tmp_path / "data") as running:
        children = [running.child("master"), wait_until(lambda: running.child("agent"))]
        running.process.kill()
        wait_until(lambda: all(gone(pid) for pid in children))


def fails(folder: Path, *arguments: str) -> tuple[int, str]:
    process = start(folder, *arguments)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, errors = fails(tmp_path / "data", "--listen", f"127.0.0.1:{port}")
    assert (status, errors.count("\n")) == (3, 1)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in errors
    assert "--listen HOST:PORT" in errors


def test_data_directory_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, errors = fails(tmp_path / "file" / "data", "--listen", "127.0.0.1:0")
    assert (status, errors.count("\n")) == (3, 1)
    assert f"data directory {tmp_path}/file/data: Not a directory" in errors
    assert "--data DIR" in errors


def test_wrong_configuration(tmp_path: Path) -> None:
    config = tmp_path / "smokemesh.yaml"
    config.write_text("targets: {x: {hots: 127.0.0.1}}\n")
    status, errors = fails(tmp_path / "data", "--config", str(config))
    assert (status, errors.count("\n")) == (2, 1)
    assert f"{config}:1: " in errors


def test_no_right_to_open_icmp_sockets(tmp_path: Path) -> None:
    """Without CAP_NET_RAW, in a network namespace of the test's own where nobody may open unprivileged ones."""
    command = [sys.executable, "-m", "smokemesh", "up", "--data", str(tmp_path), "--listen", "127.0.0.1:0"]
    script = (
        'ip link set lo up; echo "1 0" > /proc/sys/net/ipv4/ping_group_range; exec setpriv --bounding-set -net_raw "$@"'
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", *command],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "ICMP" in done.stderr
