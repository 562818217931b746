"""`smokemesh master` as a program: starts, reloads on SIGHUP, stops on SIGTERM, and says in one line why it cannot."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from smokemesh.model.assignment import Assignment
from smokemesh.wire import messages
from smokemesh.wire.signing import sign_request

CONFIG = "agents: {boomer: {secret_file: secret}}\ntargets: {x: {host: 127.0.0.1, agents: [boomer]}}\n"
SECRET = b"correct-horse-battery"


def smokemesh(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "smokemesh", *arguments]


def wait_until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str, timeout: float = 10.0, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "smokemesh.yaml").write_text(CONFIG)
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


@contextmanager
def master(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    command = smokemesh(
        *("master", "--config", str(folder / "smokemesh.yaml"), "--data", str(folder / "data")),
        *("--listen", f"127.0.0.1:{port}"),
    )
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: process.poll() is not None or get(port, "/-/ready")[0] == 200)
        assert process.poll() is None
        yield process, port
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_whole_life(folder: Path) -> None:
    with master(folder) as (process, port):
        (folder / "smokemesh.yaml").write_text(CONFIG + "listn: 1\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: b"last_reload_successful 0.0" in get(port, "/metrics")[1])
        (folder / "smokemesh.yaml").write_text(CONFIG.replace("x: ", "y: "))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: b"/y" in get(port, "/api/v1/tree")[1])
        assert b"last_reload_successful 1.0" in get(port, "/metrics")[1]
        begin = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=10)
        assert time.monotonic() - begin < 3.0
    assert process.returncode == 0
    assert "configuration not loaded, the old one stays in force" in errors
    assert "listn" in errors
    assert "Traceback" not in errors


def test_stopping_lets_waiting_agents_and_pages_go(folder: Path) -> None:
    with master(folder) as (process, port):
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(2)]
        known = current_version(port)
        headers = sign(f'"{known}"') | {"Prefer": "wait=50"}
        connections[0].request("GET", messages.ASSIGNMENT, headers=headers)
        connections[1].request("GET", "/api/v1/events")
        events = connections[1].getresponse()
        assert events.readline()
        wait_until(lambda: b"smokemesh_live_readers 1.0" in get(port, "/metrics")[1])
        begin = time.monotonic()
        process.terminate()
        assert connections[0].getresponse().status == 304
        events.read()
        process.communicate(timeout=10)
        assert time.monotonic() - begin < 3.0
        for connection in connections:
            connection.close()
    assert process.returncode == 0


def sign(if_none_match: str = "") -> dict[str, str]:
    return sign_request(
        "GET", messages.ASSIGNMENT, b"", key_id="boomer", secret=SECRET, created=int(time.time()),
        nonce=os.urandom(8).hex(), if_none_match=if_none_match,
    )  # fmt: skip


def current_version(port: int) -> str:
    status, body = get(port, messages.ASSIGNMENT, headers=sign())
    assert status == 200
    return messages.decode(Assignment, body).version


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(smokemesh(*arguments), capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_port_in_use(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, errors = run(
            "master", "--config", str(folder / "smokemesh.yaml"), "--data", str(folder / "data"),
            "--listen", f"127.0.0.1:{port}",
        )  # fmt: skip
    assert status == 3
    assert errors == (
        f"smokemesh: cannot listen on 127.0.0.1:{port}: Address already in use; stop the program that listens there, "
        "or choose another port with --listen HOST:PORT\n"
    )


def test_data_directory_of_another_master(folder: Path) -> None:
    with master(folder):
        status, errors = run(
            "master", "--config", str(folder / "smokemesh.yaml"), "--data", str(folder / "data"),
            "--listen", "127.0.0.1:0",
        )  # fmt: skip
    assert status == 3
    assert errors == (
        f"smokemesh: data directory {folder}/data is used by another master; stop it, "
        "or choose another with --data DIR\n"
    )


def test_data_directory_that_is_a_file(folder: Path) -> None:
    status, errors = run(
        "master", "--config", str(folder / "smokemesh.yaml"), "--data", str(folder / "secret" / "data"),
        "--listen", "127.0.0.1:0",
    )  # fmt: skip
    assert status == 3
    assert errors.startswith(f"smokemesh: data directory {folder}/secret/data cannot be written by user ")
    assert errors.count("\n") == 1


def test_secret_that_others_can_read(folder: Path) -> None:
    (folder / "secret").chmod(0o644)
    status, errors = run(
        "master", "--config", str(folder / "smokemesh.yaml"), "--data", str(folder / "data"),
        "--listen", "127.0.0.1:0",
    )  # fmt: skip
    assert status == 3
    assert errors == (
        f"smokemesh: {folder}/secret: mode 0644 lets others read the secret; run: chmod 600 {folder}/secret\n"
    )


def test_address_of_another_host(folder: Path) -> None:
    status, errors = run(
        "master", "--config", str(folder / "smokemesh.yaml"), "--data", str(folder / "data"),
        "--listen", "192.0.2.200:8080",
    )  # fmt: skip
    assert status == 3
    assert "cannot listen on 192.0.2.200:8080: " in errors
    assert "choose an address of this host" in errors
