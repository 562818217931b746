"""Runs rounds on one engine until they are finished, and servers that do as told; for the tests of engines."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import RoundBatch
from smokemesh.probes.engine import Engine, RoundRequest


def measure(
    engine: Engine, probes: Probe | Sequence[Probe], *, address: str = "127.0.0.1", host: str = ""
) -> RoundBatch:
    """A round of each probe; task `i` is probe `i`. Fails when they do not end in ten seconds beyond their time."""
    probes = [probes] if isinstance(probes, Probe) else probes
    now = time.monotonic()
    engine.start([RoundRequest(i, i, now, address, probe, host) for i, probe in enumerate(probes)])
    return collect(engine, len(probes), 10.0 + max(probe.duration for probe in probes))


def measure_fairly(engine: Engine, probe: Probe, **where: str) -> RoundBatch:
    """A round in which this machine was never too busy: where our own clock takes the time, such pings do not count."""
    for _ in range(10):
        batch = measure(engine, probe, **where)
        if batch.sent[0] == probe.pings:
            return batch
    pytest.fail("this machine stood still too often")


def collect(engine: Engine, rounds: int, patience: float = 20.0) -> RoundBatch:
    """The next so many finished rounds, in the order they ended."""
    until = time.monotonic() + patience
    batches: list[RoundBatch] = []
    while sum(len(batch) for batch in batches) < rounds:
        assert time.monotonic() < until, f"{engine.busy} rounds did not end"
        engine.run(time.monotonic() + 0.05)
        batches.append(engine.take())
    return RoundBatch.concatenate(batches)


class TcpServer:
    """Answers each connection by `script(connection, number)` in a thread of its own, on a free port of loopback."""

    def __init__(self, script: Callable[[socket.socket, int], None], address: str = "127.0.0.1") -> None:
        self._script = script
        self._listener = socket.create_server((address, 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._served = 0
        self._closing = False
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing:
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection, self._served))
                self._served += 1
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.settimeout(3)
        with contextlib.suppress(OSError), connection:
            self._script(connection, number)


def listen_on(connection: socket.socket) -> None:
    """Wait until the other side closes."""
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def wait(seconds: float) -> None:
    """A server's known delay."""
    threading.Event().wait(seconds)


def free_port() -> int:
    """A port of loopback nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def running_sshd(here: Path, command: str = "") -> Iterator[int]:
    """A real SSH server (the test is marked for root and peer sshd) that lets root in by `here/key`, to run `command` only if given; its port."""
    program = shutil.which("sshd")  # it must be called by its path
    assert program is not None
    port = free_port()
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(here / name)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    keys, config = here / "authorized_keys", here / "sshd_config"
    keys.write_text((f'command="{command}" ' if command else "") + (here / "key.pub").read_text())
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {here}/host_key\nPidFile none\nUsePAM no\nMaxStartups 100\n"
        f"AuthorizedKeysFile {keys}\nPermitRootLogin yes\nStrictModes no\nPasswordAuthentication no\n"
    )
    with subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        try:
            yield port
        finally:
            process.terminate()
