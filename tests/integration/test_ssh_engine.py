"""SSH greetings: from a real sshd, and from servers that are slow, wrong, talkative or gone."""

import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest
from tests.integration.engine_bench import TcpServer, free_port, listen_on, measure, running_sshd, wait

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, Flag
from smokemesh.probes.ssh import SshEngine

#: What a busy machine adds, seconds.
SLACK = 0.15


@pytest.fixture
def engine() -> Iterator[SshEngine]:
    engine = SshEngine()
    yield engine
    engine.close()


def probe(port: int, **options: str) -> Probe:
    pairs = {"port": str(port), **options}
    return Probe(name="s", kind="ssh", pings=3, interval=0.02, timeout=1.0, options=tuple(sorted(pairs.items())))


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as port:
        yield port


@pytest.mark.privileged
@pytest.mark.peer("sshd")
@pytest.mark.parametrize("until", ["connect", "established", "complete"])
def test_a_real_server_greets(engine: SshEngine, sshd: int, until: str) -> None:
    batch = measure(engine, probe(sshd, until=until))
    assert (batch.sent[0], batch.received[0], batch.error[0]) == (3, 3, 0)
    assert (batch.rtts > 0).all()


@pytest.mark.parametrize(
    ("until", "least", "most"), [("connect", 0.0, 0.02), ("established", 0.2, 0.2), ("complete", 0.5, 0.5)]
)
def test_what_is_timed_is_what_was_asked_for(engine: SshEngine, until: str, least: float, most: float) -> None:
    def serve(connection: socket.socket, _number: int) -> None:
        wait(0.2)
        connection.sendall(b"a line before\r\nSSH-2.0-slow\r\n")
        assert connection.recv(100) == b"SSH-2.0-smokemesh\r\n"
        wait(0.3)
        connection.sendall(b"\0\0\1\2")
        listen_on(connection)

    with TcpServer(serve) as server:
        batch = measure(engine, probe(server.port, until=until))
    assert batch.received[0] == 3
    assert (batch.rtts >= least - 0.001).all()
    assert float(np.min(batch.rtts)) < most + SLACK


def test_a_greeting_in_pieces_is_one(engine: SshEngine) -> None:
    def serve(connection: socket.socket, _number: int) -> None:
        for byte in b"SSH-2.0-x\r\n":
            connection.sendall(bytes([byte]))
            wait(0.002)
        listen_on(connection)

    with TcpServer(serve) as server:
        assert measure(engine, probe(server.port)).received[0] == 3


def test_an_answer_that_does_not_wait_for_our_greeting_is_one(engine: SshEngine) -> None:
    def serve(connection: socket.socket, _number: int) -> None:
        connection.sendall(b"SSH-2.0-eager\r\n\0\0\1\2")
        listen_on(connection)

    with TcpServer(serve) as server:
        assert measure(engine, probe(server.port, until="complete")).received[0] == 3


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", 104),  # ECONNRESET: closed without a word
        (b"SSH-2.0-cut off", 104),
        (b"220 mail.example ESMTP\r\n" * 1000, 71),  # EPROTO
        (b"x" * 100_000, 71),
    ],
)
def test_a_wrong_greeting_is_a_lost_ping_with_its_reason(engine: SshEngine, said: bytes, error: int) -> None:
    with TcpServer(lambda connection, _: connection.sendall(said)) as server:
        batch = measure(engine, probe(server.port))
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (3, 0, 3)
    assert batch.error[0] in (ERROR_ERRNO + error, ERROR_ERRNO + 104)


def test_silence_is_loss_without_error(engine: SshEngine) -> None:
    with TcpServer(lambda connection, _: listen_on(connection)) as server:
        begun = time.monotonic()
        batch = measure(
            engine,
            Probe(name="s", kind="ssh", pings=2, interval=0.02, timeout=0.2, options=(("port", str(server.port)),)),
        )
        assert time.monotonic() - begun < 0.4 + 0.02 + 3 * SLACK
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (2, 0, 0)


def test_a_late_greeting_counts_as_late(engine: SshEngine) -> None:
    def serve(connection: socket.socket, _number: int) -> None:
        wait(0.3)
        connection.sendall(b"SSH-2.0-late\r\n")
        listen_on(connection)

    with TcpServer(serve) as server:
        batch = measure(
            engine, Probe(name="s", kind="ssh", pings=1, timeout=0.2, options=(("port", str(server.port)),))
        )
    assert (batch.received[0], batch.late[0]) == (1, 1)
    assert batch.flags[0] & Flag.LATE


def test_a_closed_port_is_refused(engine: SshEngine) -> None:
    batch = measure(engine, probe(free_port()))
    assert (batch.received[0], batch.error[0]) == (0, ERROR_ERRNO + 111)
