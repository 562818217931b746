"""Runs rounds on one engine until they are finished, and servers that do as told; for the tests of engines."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

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


def collect(engine: Engine, rounds: int, patience: float = 20.0) -> RoundBatch:
    """The next so many finished rounds, by task."""
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
