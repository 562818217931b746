"""Name servers that answer, lie, truncate, refuse, stay silent: real datagrams and connections on loopback."""

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import numpy as np
import pytest
from tests.integration.engine_bench import TcpServer, collect, listen_on, measure, wait

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_ICMP6, Flag
from smokemesh.probes.dns import DnsEngine
from smokemesh.probes.engine import RoundRequest

SLACK = 0.15

Answer = Callable[[dns.message.Message], list[bytes]]


@pytest.fixture
def engine() -> Iterator[DnsEngine]:
    engine = DnsEngine()
    yield engine
    engine.close()


def probe(port: int, pings: int = 3, timeout: float = 0.5, **options: str) -> Probe:
    pairs = {"port": str(port), **options}
    return Probe(
        name="d", kind="dns", pings=pings, interval=0.02, timeout=timeout, options=tuple(sorted(pairs.items()))
    )


class NameServer:
    """Answers each datagram after `delay` seconds with the datagrams `answer` makes of the query."""

    def __init__(self, answer: Answer, delay: float = 0.0, address: str = "127.0.0.1") -> None:
        self._answer, self._delay = answer, delay
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self._socket.settimeout(0.05)
        self.port = self._socket.getsockname()[1]
        self.queries: list[dns.message.Message] = []
        self.senders: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                data, sender = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            query = dns.message.from_wire(data)
            self.queries.append(query)
            self.senders.append(sender[1])
            wait(self._delay)
            for wire in self._answer(query):
                self._socket.sendto(wire, sender)


def answer(
    query: dns.message.Message, rcode: int = dns.rcode.NOERROR, text: str = "192.0.2.7", flags: int = 0
) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.flags |= flags
    if text:
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", text))
    return reply


def good(query: dns.message.Message) -> list[bytes]:
    return [answer(query).to_wire()]


def test_an_answer_takes_as_long_as_the_server_takes(engine: DnsEngine) -> None:
    with NameServer(good, delay=0.1) as server:
        batch = measure(engine, probe(server.port, query="www.example.net"))
    assert (batch.sent[0], batch.received[0], batch.error[0], batch.flags[0]) == (3, 3, 0, 0)
    assert (batch.rtts >= 0.1).all()
    assert float(np.min(batch.rtts)) < 0.1 + 0.05
    assert [q.question[0].to_text() for q in server.queries] == ["www.example.net. IN A"] * 3


def test_a_near_server_is_near(engine: DnsEngine) -> None:
    with NameServer(good) as server:
        batch = measure(engine, probe(server.port, pings=20), host="a.example")
    assert 0 < float(np.min(batch.rtts)) < 0.005


def test_every_question_has_its_own_number_and_port(engine: DnsEngine) -> None:
    with NameServer(good) as server:
        measure(engine, probe(server.port, pings=20), host="a.example")
    assert len({query.id for query in server.queries}) > 18
    assert len(set(server.senders)) > 15


def test_without_a_query_the_host_is_asked_for(engine: DnsEngine) -> None:
    with NameServer(good) as server:
        measure(engine, probe(server.port, pings=1, recursion="false", type="MX"), host="ns.example")
    assert server.queries[0].question[0].to_text() == "ns.example. IN MX"
    assert not server.queries[0].flags & dns.flags.RD


def test_an_address_is_asked_for_backwards(engine: DnsEngine) -> None:
    with NameServer(good) as server:
        measure(engine, probe(server.port, pings=1, type="PTR", query="192.0.2.9"))
    assert server.queries[0].question[0].to_text() == "9.2.0.192.in-addr.arpa. IN PTR"
    assert server.queries[0].flags & dns.flags.RD


def other_number(query: dns.message.Message) -> list[bytes]:
    reply = answer(query)
    reply.id = query.id ^ 1
    return [reply.to_wire()]


def other_question(query: dns.message.Message) -> list[bytes]:
    other = dns.message.make_query("evil.example", "A", id=query.id)
    return [answer(other).to_wire()]


def the_query_itself(query: dns.message.Message) -> list[bytes]:
    return [query.to_wire()]


def rubbish(query: dns.message.Message) -> list[bytes]:
    return [b"", b"\0", b"x" * 600, query.to_wire()[:11], answer(query).to_wire()[:-3]]


@pytest.mark.parametrize("lie", [other_number, other_question, the_query_itself, rubbish])
def test_what_is_no_answer_to_the_question_is_none(engine: DnsEngine, lie: Answer) -> None:
    with NameServer(lie) as server:
        batch = measure(engine, probe(server.port, timeout=0.1), host="a.example")
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (3, 0, 0)
    assert engine.counters().strays >= 3


@pytest.mark.parametrize("lie", [other_number, other_question, rubbish])
def test_the_true_answer_after_a_lie_counts(engine: DnsEngine, lie: Answer) -> None:
    with NameServer(lambda query: lie(query) + good(query)) as server:
        assert measure(engine, probe(server.port), host="a.example").received[0] == 3


def test_another_address_cannot_answer(engine: DnsEngine) -> None:
    def elsewhere(query: dns.message.Message) -> list[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
            forger.bind(("127.0.0.2", 0))
            forger.sendto(answer(query).to_wire(), ("127.0.0.1", server.senders[-1]))
        return []

    with NameServer(elsewhere) as server:
        batch = measure(engine, probe(server.port, timeout=0.1), host="a.example")
    assert batch.received[0] == 0


@pytest.mark.parametrize(
    ("rcode", "text", "options", "received"),
    [
        (dns.rcode.NXDOMAIN, "", {}, 3),  # an answer is an answer
        (dns.rcode.SERVFAIL, "", {}, 3),
        (dns.rcode.NXDOMAIN, "", {"require_noerror": "true"}, 0),
        (dns.rcode.NOERROR, "", {"require_noerror": "true"}, 3),
        (dns.rcode.NXDOMAIN, "", {"require_nxdomain": "true"}, 3),
        (dns.rcode.NOERROR, "192.0.2.7", {"require_nxdomain": "true"}, 0),
        (dns.rcode.NOERROR, "", {"require_answers": "true"}, 0),
        (dns.rcode.NOERROR, "192.0.2.7", {"require_answers": "true"}, 3),
        (dns.rcode.NOERROR, "192.0.2.7", {"expect": "192.0.2.7"}, 3),
        (dns.rcode.NOERROR, "192.0.2.8", {"expect": "192.0.2.7"}, 0),
        (dns.rcode.NXDOMAIN, "", {"expect": "192.0.2.7"}, 0),
    ],
)
def test_an_answer_must_be_the_one_wanted(
    engine: DnsEngine, rcode: int, text: str, options: dict[str, str], received: int
) -> None:
    with NameServer(lambda query: [answer(query, rcode, text).to_wire()]) as server:
        batch = measure(engine, probe(server.port, 3, 0.5, **options), host="a.example")
    assert batch.received[0] == received
    assert batch.error[0] == (0 if received else ERROR_ERRNO + 74)  # EBADMSG


def test_a_truncated_answer_is_an_answer(engine: DnsEngine) -> None:
    with NameServer(lambda query: [answer(query, text="", flags=dns.flags.TC).to_wire()]) as server:
        assert measure(engine, probe(server.port), host="a.example").received[0] == 3


def test_silence_is_plain_loss(engine: DnsEngine) -> None:
    with NameServer(lambda _: []) as server:
        batch = measure(engine, probe(server.port, timeout=0.1), host="a.example")
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (3, 0, 0)


def test_a_late_answer_counts_as_late(engine: DnsEngine) -> None:
    with NameServer(good, delay=0.2) as server:
        batch = measure(engine, probe(server.port, pings=1, timeout=0.15), host="a.example")
    assert (batch.received[0], batch.late[0]) == (1, 1)
    assert batch.flags[0] & Flag.LATE


@pytest.mark.parametrize(
    ("address", "error"), [("127.0.0.1", ERROR_ICMP4 + 3 * 256 + 3), ("::1", ERROR_ICMP6 + 1 * 256 + 4)]
)
def test_a_closed_port_is_told_by_icmp(engine: DnsEngine, address: str, error: int) -> None:
    with NameServer(good, address=address) as server:
        port = server.port
    batch = measure(engine, probe(port), address=address, host="a.example")
    assert (batch.received[0], batch.error[0]) == (0, error)
    assert batch.flags[0] & Flag.ICMP_ERROR


def test_ipv6_serves_as_well(engine: DnsEngine) -> None:
    with NameServer(good, address="::1") as server:
        assert measure(engine, probe(server.port), address="::1", host="a.example").received[0] == 3


@pytest.mark.parametrize(
    "options", [{"type": "NONSENSE"}, {"query": "a..b"}, {"query": "x" * 64}, {"protocol": "carrier pigeon"}]
)
def test_what_cannot_be_asked_is_an_error_not_loss(engine: DnsEngine, options: dict[str, str]) -> None:
    batch = measure(engine, probe(53, 3, 0.5, **options), host="a.example")
    assert (batch.received[0], batch.error[0]) == (0, ERROR_ERRNO + 22)
    assert batch.flags[0] & Flag.SEND_ERROR


def tcp_answer(connection: socket.socket, reply: Answer, pieces: int = 0) -> None:
    length = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
    for wire in reply(dns.message.from_wire(connection.recv(length, socket.MSG_WAITALL))):
        message = len(wire).to_bytes(2, "big") + wire
        for i in range(0, len(message), pieces or len(message)):
            connection.sendall(message[i : i + (pieces or len(message))])
    listen_on(connection)


@pytest.mark.parametrize("pieces", [0, 1])
def test_over_tcp(engine: DnsEngine, pieces: int) -> None:
    def serve(connection: socket.socket, _number: int) -> None:
        wait(0.1)
        tcp_answer(connection, lambda query: other_number(query) + good(query), pieces)

    with TcpServer(serve) as server:
        batch = measure(engine, probe(server.port, protocol="tcp", expect="192.0.2.7"), host="a.example")
    assert batch.received[0] == 3
    assert (batch.rtts >= 0.1).all()
    assert float(np.min(batch.rtts)) < 0.1 + SLACK


def test_a_tcp_server_that_closes_is_lost(engine: DnsEngine) -> None:
    with TcpServer(lambda connection, _: connection.sendall(b"\0\x20short")) as server:
        batch = measure(engine, probe(server.port, protocol="tcp"), host="a.example")
    assert (batch.received[0], batch.error[0]) == (0, ERROR_ERRNO + 104)


def test_many_questions_at_once(engine: DnsEngine) -> None:
    with NameServer(good) as server:
        batch = measure(engine, [probe(server.port, pings=5, timeout=2.0)] * 100, host="a.example")
    assert batch.sent.tolist() == [5] * 100
    assert int(batch.received.sum()) == 500


def test_waiting_for_silence_costs_nothing(engine: DnsEngine) -> None:
    with NameServer(lambda _: []) as server:
        engine.start(
            [RoundRequest(1, 0, time.monotonic(), "127.0.0.1", probe(server.port, pings=1, timeout=0.5), "a.example")]
        )
        begun = resource.getrusage(resource.RUSAGE_SELF)
        collect(engine, 1)
        ended = resource.getrusage(resource.RUSAGE_SELF)
    assert ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime < 0.2


def test_no_files_are_left(engine: DnsEngine) -> None:
    with NameServer(lambda _: []) as server:
        measure(engine, probe(server.port, pings=1, timeout=0.05), host="a.example")
        before = len(os.listdir("/proc/self/fd"))
        measure(engine, [probe(server.port, timeout=0.05)] * 10, host="a.example")
        assert len(os.listdir("/proc/self/fd")) == before
