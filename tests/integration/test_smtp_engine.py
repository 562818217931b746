"""Mail servers: greetings and whole messages, as a scripted server of RFC 5321 sees them."""

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from tests.integration.engine_bench import TcpServer, listen_on, measure, wait

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO
from smokemesh.probes.smtp import SmtpEngine

SLACK = 0.15


@pytest.fixture
def engine() -> Iterator[SmtpEngine]:
    engine = SmtpEngine()
    yield engine
    engine.close()


def probe(port: int, pings: int = 2, **options: str) -> Probe:
    pairs = {"port": str(port), **options}
    return Probe(name="m", kind="smtp", pings=pings, interval=0.02, timeout=1.5, options=tuple(sorted(pairs.items())))


class Mailbox:
    """Takes mail, and remembers every line it was told."""

    def __init__(self, replies: dict[str, bytes] | None = None, delay: float = 0.0) -> None:
        self.replies = {
            "HELO": b"250-mail.example\r\n250 here\r\n",
            "DATA": b"354 go on\r\n",
            "QUIT": b"221 bye\r\n",
        } | (replies or {})
        self.delay = delay
        self.told: list[list[str]] = []

    def __call__(self, connection: socket.socket, _number: int) -> None:
        told: list[str] = []
        self.told.append(told)
        wait(self.delay)
        connection.sendall(self.replies.get("", b"220-mail.example\r\n220 ESMTP\r\n"))
        body = False
        for line in connection.makefile("r", newline="\r\n"):
            told.append(line)
            if body and line != ".\r\n":
                continue
            body = line == "DATA\r\n" and self.replies["DATA"].startswith(b"354")
            connection.sendall(self.replies.get(line[:4].strip(), b"250 fine\r\n"))
            if line == "QUIT\r\n":
                return


def test_a_greeting_takes_as_long_as_the_server_takes(engine: SmtpEngine) -> None:
    box = Mailbox(delay=0.2)
    with TcpServer(box) as server:
        batch = measure(engine, probe(server.port))
    assert (batch.sent[0], batch.received[0], batch.error[0]) == (2, 2, 0)
    assert (batch.rtts >= 0.2).all()
    assert float(np.min(batch.rtts)) < 0.2 + SLACK
    assert box.told == [["QUIT\r\n"], ["QUIT\r\n"]]


def test_a_whole_message_is_delivered(engine: SmtpEngine) -> None:
    box = Mailbox()
    with TcpServer(box) as server:
        batch = measure(
            engine,
            probe(
                server.port, pings=1, sender="a@x.example", to="b@y.example, c@y.example", body="150", subject="a test"
            ),
        )
    assert batch.received[0] == 1
    hello, *rest = box.told[0]
    assert hello.startswith("HELO ")
    assert rest == [
        "MAIL FROM:<a@x.example>\r\n", "RCPT TO:<b@y.example>\r\n", "RCPT TO:<c@y.example>\r\n", "DATA\r\n",
        "From: <a@x.example>\r\n", "To: b@y.example, c@y.example\r\n", "Subject: a test\r\n", "\r\n",
        "x" * 70 + "\r\n", "x" * 70 + "\r\n", "x" * 10 + "\r\n", ".\r\n", "QUIT\r\n",
    ]  # fmt: skip


def test_no_option_can_add_a_command(engine: SmtpEngine) -> None:
    box = Mailbox()
    with TcpServer(box) as server:
        measure(
            engine,
            probe(server.port, pings=1, sender="a>\r\nRSET\r\n", to="b@y\r\nRCPT", subject="s\r\n.\r\nMAIL FROM:<z>"),
        )
    assert [line[:4] for line in box.told[0]] == [
        "HELO",
        "MAIL",
        "RCPT",
        "RCPT",
        "DATA",
        "From",
        "To: ",
        "Subj",
        "\r\n",
        "\r\n",
        ".\r\n",
        "QUIT",
    ]


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ({"": b"554 no service\r\n"}, 74),  # EBADMSG
        ({"": b"421 too busy\r\n"}, 74),
        ({"": b"SSH-2.0-wrong\r\n"}, 71),  # EPROTO
        ({"RCPT": b"550 who?\r\n"}, 74),
        ({"DATA": b"451 not now\r\n"}, 74),
        ({".": b"552 too much\r\n"}, 74),
    ],
)
def test_what_a_server_refuses_is_lost_with_its_reason(
    engine: SmtpEngine, replies: dict[str, bytes], error: int
) -> None:
    with TcpServer(Mailbox(replies)) as server:
        batch = measure(engine, probe(server.port, to="b@y.example", body="5"))
    assert (batch.sent[0], batch.received[0], batch.error[0]) == (2, 0, ERROR_ERRNO + error)


def test_a_server_that_closes_is_lost(engine: SmtpEngine) -> None:
    with TcpServer(lambda connection, _: connection.sendall(b"220 ")) as server:
        batch = measure(engine, probe(server.port))
    assert (batch.received[0], batch.error[0]) == (0, ERROR_ERRNO + 104)


def test_a_server_that_never_stops_is_given_up(engine: SmtpEngine) -> None:
    def serve(connection: socket.socket, _number: int) -> None:
        for _ in range(10_000):
            connection.sendall(b"220-more\r\n" * 100)

    with TcpServer(serve) as server:
        batch = measure(
            engine,
            Probe(name="m", kind="smtp", pings=2, interval=0.02, timeout=0.3, options=(("port", str(server.port)),)),
        )
    assert (batch.sent[0], batch.received[0]) == (2, 0)


def test_a_silent_server_is_plain_loss(engine: SmtpEngine) -> None:
    with TcpServer(lambda connection, _: listen_on(connection)) as server:
        batch = measure(
            engine,
            Probe(name="m", kind="smtp", pings=2, interval=0.02, timeout=0.2, options=(("port", str(server.port)),)),
        )
    assert (batch.received[0], batch.errors[0]) == (0, 0)
