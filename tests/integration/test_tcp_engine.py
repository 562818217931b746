"""The TCP engine against real sockets on loopback, and against hosts whose delays and losses are known to the packet."""

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.integration.tcp_world import HOST4, HOST6, OWN4, Port, World

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_ICMP6, Flag, RoundBatch
from smokemesh.netlab import namespace
from smokemesh.netlab.netlink import Netlink
from smokemesh.probes import loop
from smokemesh.probes.engine import Engine, RoundRequest
from smokemesh.probes.table import make_engine
from smokemesh.probes.tcp import TcpEngine

REFUSED = ERROR_ERRNO + errno.ECONNREFUSED


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests share their machine: pings it held up are counted here, not left out, and times have a lower bound only."""
    monkeypatch.setattr(loop, "STALL", 60.0)


def probe(port: int, **changed: object) -> Probe:
    values: dict[str, object] = {"name": "t", "pings": 5, "interval": 0.02, "timeout": 1.0} | changed
    return Probe(kind="tcp", options=(("port", str(port)),), **values)  # type: ignore[arg-type]


def measure(engine: Engine, address: str, asked: Probe, count: int = 1, within: float = 15.0) -> RoundBatch:
    at = time.monotonic() + 0.01
    engine.start([RoundRequest(n, n, at + (n - 1) * 0.3 / count, address, asked) for n in range(1, count + 1)])
    engine.run(time.monotonic() + within)
    assert engine.busy == 0
    return engine.take()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = make_engine("tcp")
    yield made
    made.close()


@pytest.fixture(params=["127.0.0.1", "::1"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int, list[tuple[str, int]]]]:
    """A real listener: its address, its port and who called."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    listener = socket.create_server((request.param, 0), family=family, backlog=4096)
    callers: list[tuple[str, int]] = []

    def serve() -> None:
        while True:
            try:
                connection, caller = listener.accept()
            except OSError:
                return
            callers.append(caller[:2])
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield request.param, listener.getsockname()[1], callers
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_each_ping_is_a_connection_from_a_fresh_port(
    engine: Engine, server: tuple[str, int, list[tuple[str, int]]]
) -> None:
    address, port, callers = server
    batch = measure(engine, address, probe(port, pings=20, interval=0.005))
    assert (batch.sent[0], batch.received[0], batch.errors[0], batch.error[0]) == (20, 20, 0, 0)
    assert batch.rtts.min() < 0.02
    assert batch.rtts.min() > 0
    deadline = time.monotonic() + 5
    while len(callers) < 20 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert len({caller[1] for caller in callers}) == 20


def test_hundreds_of_targets_in_a_round(engine: Engine, server: tuple[str, int, list[tuple[str, int]]]) -> None:
    address, port, _ = server
    before = time.process_time()
    batch = measure(engine, address, probe(port, pings=10, interval=0.03), count=200)
    assert (batch.received == 10).all()
    assert (batch.flags & ~np.uint32(Flag.OWN_DELAY) == 0).all()
    assert np.median(batch.rtts) < 0.001
    assert time.process_time() - before < 2.0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_closed_port_is_an_answer_that_says_so(engine: Engine, address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as bound:
        bound.bind((address, 0))  # nobody else gets this port, and nobody listens
        batch = measure(engine, address, probe(bound.getsockname()[1]))
    assert (batch.received[0], batch.errors[0], batch.error[0]) == (5, 0, REFUSED)
    assert batch.rtts.min() < 0.05


@pytest.mark.privileged
def test_a_connection_to_itself_is_nobodys_answer(engine: Engine) -> None:
    """With one source port to choose from, calling that port of loopback calls oneself."""
    before = namespace.current_network_namespace()
    inside = namespace.new_network_namespace()
    try:
        with Netlink() as link:
            link.up("lo")
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40001 40001")
        batch = measure(engine, "127.0.0.1", probe(40001, pings=1))
    finally:
        namespace.enter_network_namespace(before)
        os.close(before)
        os.close(inside)
    assert batch.error[0] == REFUSED


def test_a_full_backlog_is_loss_not_an_answer(engine: Engine) -> None:
    """Linux drops SYNs for a listener whose queue is full; the connection may come later, the first SYN was lost."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fill = [socket.socket() for _ in range(3)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        batch = measure(engine, "127.0.0.1", probe(port, pings=3, timeout=0.3))
        for one in fill:
            one.close()
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (3, 0, 0)


def test_what_the_system_refuses_is_an_error_of_that_round(engine: Engine) -> None:
    batch = measure(engine, "127.0.0.1", probe(9, interface="no-such-link"))
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (5, 0, 5)
    assert batch.error[0] == ERROR_ERRNO + errno.ENODEV
    assert int(batch.flags[0]) & Flag.SEND_ERROR
    batch = measure(engine, "127.0.0.1", probe(9, source="192.0.2.200"))
    assert batch.error[0] == ERROR_ERRNO + errno.EADDRNOTAVAIL
    batch = measure(engine, "::1", probe(9, source="127.0.0.1"))
    assert batch.error[0] == ERROR_ERRNO + errno.EAFNOSUPPORT
    batch = measure(engine, "fe80::1%no-such-link", probe(9))
    assert batch.errors[0] == 5


# Hosts whose every packet is known

PORTS = {
    80: Port(delay=0.03),
    81: Port("closed", delay=0.03),
    82: Port("unreachable", delay=0.03),
    83: Port("silent"),
    84: Port(drop=1, delay=0.01),
    85: Port(delay=1.2),
    86: Port(drop=1, delay=0.01, stamps=False),
    87: Port(delay=0.3),
}


@pytest.fixture
def world() -> Iterator[World]:
    made = World(PORTS)
    yield made
    made.close()


def ask(world: World, address: str, asked: Probe) -> RoundBatch:
    """An engine in the world's namespace: threads begin in that of the thread that started them."""
    engine = make_engine("tcp")
    try:
        with namespace.entered(world.namespace):
            return measure(engine, address, asked)
    finally:
        engine.close()


@pytest.mark.privileged
@pytest.mark.parametrize("address", [HOST4, HOST6])
def test_the_rtt_is_the_paths(world: World, address: str) -> None:
    batch = ask(world, address, probe(80, pings=10))
    assert batch.received[0] == 10
    assert batch.rtts.min() >= 0.0299
    assert batch.rtts.min() == pytest.approx(min(world.held), abs=0.003)
    assert len({source for source, _, _, _ in world.syns}) == 10


@pytest.mark.privileged
def test_our_own_standing_still_is_not_in_it(world: World) -> None:
    """The SYN-ACK comes while our thread is held up: the kernel took the time."""
    engine = TcpEngine()

    def stand_still() -> None:
        threading.Event().wait(0.2)

    try:
        with namespace.entered(world.namespace):
            engine.call_soon(lambda: engine.call_at(time.monotonic() + 0.02, stand_still))
            batch = measure(engine, HOST4, probe(80, pings=1))
    finally:
        engine.close()
    assert 0.0299 < batch.rtts[0] < 0.1


@pytest.mark.privileged
@pytest.mark.parametrize("address", [HOST4, HOST6])
def test_a_reset_counts_with_its_time(world: World, address: str) -> None:
    batch = ask(world, address, probe(81))
    assert (batch.received[0], batch.error[0], batch.errors[0]) == (5, REFUSED, 0)
    assert 0.0299 < batch.rtts.min() < 0.04


@pytest.mark.privileged
@pytest.mark.parametrize(("address", "error"), [(HOST4, ERROR_ICMP4 + 0x030D), (HOST6, ERROR_ICMP6 + 0x0101)])
def test_an_icmp_error_is_known_by_type_and_code(world: World, address: str, error: int) -> None:
    batch = ask(world, address, probe(82))
    assert (batch.received[0], batch.errors[0], batch.error[0]) == (0, 5, error)
    assert int(batch.flags[0]) & Flag.ICMP_ERROR
    assert not int(batch.flags[0]) & Flag.SEND_ERROR


@pytest.mark.privileged
def test_a_dead_host_is_loss_after_the_patience(world: World) -> None:
    before = time.monotonic()
    batch = ask(world, HOST4, probe(83, timeout=0.1))
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (5, 0, 0)
    assert 0.25 < time.monotonic() - before < 2.0


@pytest.mark.privileged
@pytest.mark.parametrize("port", [84, 86])
def test_a_lost_syn_is_a_lost_ping_although_the_connection_comes_about(world: World, port: int) -> None:
    batch = ask(world, HOST4, probe(port, pings=2, timeout=2.0))
    assert (batch.sent[0], batch.received[0]) == (2, 0)
    assert len(world.syns) == 4


@pytest.mark.privileged
def test_a_slow_answer_is_told_from_a_lost_syn(world: World) -> None:
    batch = ask(world, HOST4, probe(85, pings=2, timeout=1.0))
    assert len(world.syns) >= 4  # the kernel sent each SYN again after a second
    assert (batch.received[0], batch.late[0]) == (2, 2)
    assert 1.199 < batch.rtts.min() < 1.4


@pytest.mark.privileged
def test_late_is_received(world: World) -> None:
    batch = ask(world, HOST4, probe(87, pings=3, timeout=0.2))
    assert (batch.received[0], batch.late[0]) == (3, 3)
    assert 0.299 < batch.rtts.min() < 0.35
    assert int(batch.flags[0]) & Flag.LATE


@pytest.mark.privileged
@pytest.mark.parametrize("address", [HOST4, HOST6])
def test_packets_carry_what_was_asked_for(world: World, address: str) -> None:
    source = OWN4 if ":" not in address else ""
    ask(world, address, probe(80, pings=2, dscp=46, ttl=9, interface="tun0", source=source))
    assert {(dscp, ttl) for _, _, dscp, ttl in world.syns} == {(46, 9)}
    deadline = time.monotonic() + 5
    while world.resets < 2 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert world.resets == 2
