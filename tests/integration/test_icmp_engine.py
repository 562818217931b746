"""The ICMP engine on real sockets: loopback, and made-up networks that do exactly what was asked."""

import errno
import ipaddress
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from smokemesh.errors import HostError, UsageError
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_ICMP6, Flag, RoundBatch
from smokemesh.netlab.expect import expected
from smokemesh.netlab.network import Network, Site
from smokemesh.netlab.path import Corrupt, Delay, Duplicate, Lose, Path, Refuse
from smokemesh.probes import packetio
from smokemesh.probes.clock import read_clocks
from smokemesh.probes.engine import Engine, RoundRequest
from smokemesh.probes.icmp import IcmpEngine
from smokemesh.probes.table import make_engine
from smokemesh.wire.columns import pack, unpack

pytestmark = pytest.mark.privileged

HERE = {"here": ("10.0.0.1", "fd00::1")}
BOTH = ["192.0.2.7", "2001:db8::7"]
KINDS = ["raw", "dgram"]


def probe(**given: Any) -> Probe:
    usual: dict[str, Any] = {"name": "ping", "pings": 5, "interval": 0.01, "timeout": 0.2, "step": 10.0}
    return Probe(**(usual | given))


def requests(addresses: list[str], asked: Probe, at: float | None = None) -> list[RoundRequest]:
    begin = time.monotonic() if at is None else at
    return [RoundRequest(i, time.time_ns(), begin, address, asked) for i, address in enumerate(addresses)]


def finish(engine: Engine, seconds: float = 20.0) -> RoundBatch:
    """Run to the end; the rounds by task."""
    deadline = time.monotonic() + seconds
    batches = [engine.take()]  # rounds that could not begin are over already
    while engine.busy and time.monotonic() < deadline:
        engine.run(time.monotonic() + 0.05)
        batches.append(engine.take())
    assert not engine.busy
    batch = RoundBatch.concatenate(batches)
    unpack(pack(batch))  # a master would take it
    assert sorted(batch.task.tolist()) == list(range(len(batch)))  # each round exactly once
    return ordered(batch)


def ordered(batch: RoundBatch) -> RoundBatch:
    order = np.argsort(batch.task)
    columns = {name: getattr(batch, name)[order] for name in RoundBatch.__slots__ if name not in ("offsets", "rtts")}
    rtts = [batch.rtts[batch.offsets[i] : batch.offsets[i + 1]] for i in order]
    return RoundBatch.from_columns(len(batch), columns | {"rtts": np.concatenate(rtts)})


def measure(addresses: list[str], asked: Probe, **options: Any) -> RoundBatch:
    engine = IcmpEngine(**({"grace": 0.02} | options))
    try:
        engine.start(requests(addresses, asked))
        return finish(engine)
    finally:
        engine.close()


def allow_dgram(site: Site) -> None:
    assert site.run(["sysctl", "-q", "-w", "net.ipv4.ping_group_range=0 2147483647"]).returncode == 0


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(HERE) as net:
        allow_dgram(net["here"])
        yield net


@pytest.fixture
def here(network: Network) -> Iterator[Site]:
    """Inside a namespace of its own, where everything sent goes to loopback or to the made-up network."""
    with network["here"].entered():
        yield network["here"]


# Loopback


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stamps", [True, False])
def test_loopback_answers_everything(here: Site, kind: str, stamps: bool) -> None:
    addresses = ["127.0.0.1", "::1", "127.9.8.7", "10.0.0.1", "fd00::1"]
    engine = IcmpEngine(socket=kind, transmit_stamps=stamps, grace=0.02)
    engine.start(requests(addresses, probe()))
    batch = finish(engine)
    assert batch.sent.tolist() == batch.received.tolist() == [5] * 5
    assert not batch.flags.any()
    assert ((batch.rtts > 0) & (batch.rtts < 0.05)).all()
    shown = [ipaddress.IPv6Address(bytes(row)) for row in batch.address]
    assert [str(address.ipv4_mapped or address) for address in shown] == addresses
    counters = engine.counters()
    assert (counters.sent, counters.received, counters.strays, counters.own_drops) == (25, 25, 0, 0)
    assert engine.describe() == f"icmp4={kind} icmp6={kind}"
    engine.close()


@pytest.mark.parametrize("size", [0, 1, 8, 15, 16, 57, 1400, 65_507])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_any_size(here: Site, size: int, address: str) -> None:
    batch = measure([address], probe(size=size, pings=2))
    assert (batch.received[0], batch.flags[0], batch.corrupted[0]) == (2, 0, 0)


def test_rounds_of_many_kinds_at_once(here: Site) -> None:
    engine = IcmpEngine(grace=0.02)
    now = time.monotonic()
    kinds = [
        probe(),
        probe(size=500),
        probe(dscp=46, pings=3),
        probe(ttl=3, interval=0.0),
        probe(pings=1, interval=None),
    ]
    engine.start([
        RoundRequest(i, 1_700_000_000_000_000_000 + i, now, address, kinds[i % 5])
        for i, address in enumerate(["127.0.0.1", "::1", "127.0.0.2"] * 20)
    ])  # fmt: skip
    batch = finish(engine)
    assert batch.received.tolist() == batch.sent.tolist() == [kinds[i % 5].pings for i in range(60)]
    assert batch.time.tolist() == [1_700_000_000_000_000_000 + i for i in range(60)]
    engine.close()


def test_a_round_handed_over_late_is_still_measured(here: Site) -> None:
    engine = IcmpEngine(grace=0.02)
    engine.start(requests(["127.0.0.1"], probe(), at=time.monotonic() - 5))
    assert finish(engine).received.tolist() == [5]
    engine.close()


def test_run_ends_on_time_and_sends_nothing_early(here: Site) -> None:
    engine = IcmpEngine()
    begin = time.monotonic()
    engine.start(requests(["127.0.0.1"], probe(), at=begin + 30))
    engine.run(begin + 0.05)
    assert 0.05 <= time.monotonic() - begin < 0.5
    assert engine.counters().sent == 0
    assert engine.busy == 1
    engine.close()
    assert engine.busy == 0


def test_the_engine_is_used_again_and_again(here: Site) -> None:
    engine = make_engine("icmp")
    for _ in range(3):
        engine.start(requests(["127.0.0.1", "::1"], probe(pings=2)))
        assert finish(engine).received.tolist() == [2, 2]
    engine.close()
    with pytest.raises(UsageError, match=r"probe kind smoke: unknown, write one of command, dns"):
        make_engine("smoke")


# What the network does to packets


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("address", BOTH)
def test_every_fault_is_reported_as_it_was(address: str, kind: str) -> None:
    """Held against the network's own record of what it did, packet by packet."""
    faults = (
        Lose(every=7), Duplicate(every=5, gap=0.002), Delay(every=4, by=0.05), Delay(every=9, by=0.3),
        Corrupt(every=11), Refuse(every=6, type=1 if ":" in address else 3, code=1),
    )  # fmt: skip
    with Network(HERE, {address: Path(delay=0.004, faults=faults)}) as net, net["here"].entered():
        allow_dgram(net["here"])
        batch = measure([address], probe(pings=60, interval=0.02, timeout=0.2), socket=kind, grace=0.2)
        truth = expected(net.truth().to(address), 0.2, stale_is_lost=False)
    assert batch.sent[0] == truth.sent == 60
    for name in ("received", "late", "duplicates", "reordered", "corrupted", "errors"):
        assert getattr(batch, name)[0] == getattr(truth, name), name
    assert batch.flags[0] == truth.flags
    assert batch.error[0] == (ERROR_ICMP6 + 0x101 if ":" in address else ERROR_ICMP4 + 0x301)
    assert np.isnan(batch.rtts).tolist() == np.isnan(truth.held).tolist()
    assert np.nanmin(batch.rtts - truth.held) > 0
    assert np.nanmedian(batch.rtts - truth.held) < 0.002


@pytest.mark.parametrize(("kind", "seen"), [("raw", 5), ("dgram", 0)])
def test_answers_with_a_wrong_checksum(kind: str, seen: int) -> None:
    """A raw IPv4 socket sees them; for ping sockets the kernel drops them."""
    with Network(HERE, {BOTH[0]: Path(faults=(Corrupt(every=2, stale=True),))}) as net, net["here"].entered():
        allow_dgram(net["here"])
        batch = measure([BOTH[0]], probe(pings=10), socket=kind)
    assert (batch.received[0], batch.corrupted[0]) == (5, seen)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("address", "type_", "code", "error"),
    [
        (BOTH[0], 3, 13, ERROR_ICMP4 + 0x30D),
        (BOTH[0], 11, 0, ERROR_ICMP4 + 0xB00),
        (BOTH[1], 1, 4, ERROR_ICMP6 + 0x104),
        (BOTH[1], 3, 0, ERROR_ICMP6 + 0x300),
    ],
)
def test_icmp_errors_are_told_apart(address: str, type_: int, code: int, error: int, kind: str) -> None:
    faults = (Refuse(every=1, type=type_, code=code),)
    with Network(HERE, {address: Path(faults=faults)}) as net, net["here"].entered():
        allow_dgram(net["here"])
        batch = measure([address, "::1" if ":" in address else "127.0.0.1"], probe(timeout=0.05), socket=kind)
    assert batch.errors.tolist() == [5, 0]
    assert batch.received.tolist() == [0, 5]
    assert batch.error.tolist() == [error, 0]
    assert batch.flags.tolist() == [Flag.ICMP_ERROR, 0]


def test_an_answer_after_the_patience_is_lost_and_a_stray() -> None:
    with Network(HERE, {BOTH[0]: Path(delay=0.15)}) as net, net["here"].entered():
        engine = IcmpEngine()
        engine.start(requests([BOTH[0]], probe(pings=5, interval=0.1, timeout=0.05)))
        batch = finish(engine)
        counters = engine.counters()
        engine.close()
    assert (batch.received[0], batch.flags[0]) == (0, 0)
    assert counters.strays >= 3


# What this machine refuses


def test_no_route_is_a_send_error(here: Site) -> None:
    batch = measure(["203.0.113.1", "127.0.0.1", "2001:db8:ffff::1"], probe(timeout=0.05))
    unreachable = {ERROR_ERRNO + number for number in (errno.ENETUNREACH, errno.EHOSTUNREACH)}
    assert batch.errors.tolist()[1] == 0
    for i in (0, 2):
        if batch.errors[i]:  # the made-up network may lead there, and then nothing answers
            assert batch.error[i] in unreachable


def test_refusals_of_the_kernel(here: Site) -> None:
    site = here
    for family, net in (("-4", "198.51.100.0/24"), ("-6", "2001:db8:dead::/48")):
        site.run(["ip", family, "route", "add", "prohibit", net])
    batch = measure(["198.51.100.1", "2001:db8:dead::1", "255.255.255.255", "127.0.0.1"], probe(timeout=0.05))
    assert batch.errors.tolist() == [5, 5, 5, 0]
    assert [error & 0xFFFF for error in batch.error.tolist()][:3] == [errno.EACCES] * 3
    assert batch.flags.tolist() == [Flag.SEND_ERROR] * 3 + [0]
    assert batch.received.tolist() == [0, 0, 0, 5]


def test_an_address_that_is_none(here: Site) -> None:
    batch = measure(["300.1.2.3", "fe80::1%nowhere", "127.0.0.1"], probe())
    assert batch.errors.tolist() == [5, 5, 0]
    assert batch.error.tolist() == [ERROR_ERRNO + errno.EINVAL] * 2 + [0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_dont_fragment_makes_too_large_a_packet_an_error(address: str, kind: str) -> None:
    with Network(HERE) as net, net["here"].entered():
        allow_dgram(net["here"])
        assert net["here"].run(["ip", "link", "set", "lo", "mtu", "1400"]).returncode == 0
        large = measure([address], probe(size=1500, dont_fragment=True, timeout=0.05), socket=kind)
        split = measure([address], probe(size=1500), socket=kind)
        small = measure([address], probe(size=1300, dont_fragment=True), socket=kind)
    assert (large.errors[0], large.error[0]) == (5, ERROR_ERRNO + errno.EMSGSIZE)
    assert split.received.tolist() == small.received.tolist() == [5]


def test_source_and_interface_that_are_not_here(here: Site) -> None:
    engine = IcmpEngine()
    with pytest.raises(HostError, match=r"source 203\.0\.113\.9: is not an address of this machine"):
        engine.prepare(probe(source="203.0.113.9"), 4)
    with pytest.raises(HostError, match=r"interface nope0: does not exist here"):
        engine.prepare(probe(interface="nope0"), 6)
    engine.start(requests(["127.0.0.1"], probe(source="203.0.113.9")))
    batch = finish(engine)
    assert (batch.errors[0], batch.error[0]) == (5, ERROR_ERRNO + errno.EADDRNOTAVAIL)
    engine.close()


# What goes out


def sniffed(address: str, asked: Probe, kind: str) -> bytes:
    """The first echo request of a round, with its IPv4 header, as a raw socket on loopback sees it."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sniffer:
        sniffer.settimeout(5)
        measure([address], asked, socket=kind)
        while (packet := sniffer.recv(65_535))[(packet[0] & 15) * 4] != 8:
            pass
        return packet


@pytest.mark.parametrize("kind", KINDS)
def test_packets_carry_what_was_asked(here: Site, kind: str) -> None:
    asked = probe(pings=1, dscp=46, ttl=7, source="127.0.0.77", dont_fragment=True, size=100)
    packet = sniffed("127.0.0.1", asked, kind)
    assert packet[1] == 46 << 2
    assert packet[8] == 7
    assert socket.inet_ntoa(packet[12:16]) == "127.0.0.77"
    assert struct.unpack_from(">H", packet, 6)[0] & 0x4000  # don't fragment
    assert len(packet) == 20 + 8 + 100


@pytest.mark.parametrize("kind", KINDS)
def test_the_interface_binds(here: Site, kind: str) -> None:
    """Loopback's addresses are not reached by another interface."""
    other = next(name for _, name in socket.if_nameindex() if name != "lo")
    batch = measure(["127.0.0.1"], probe(interface=other, timeout=0.05), socket=kind)
    assert batch.received.tolist() == [0]
    assert measure(["127.0.0.1"], probe(interface="lo"), socket=kind).received.tolist() == [5]


def test_scoped_addresses(here: Site) -> None:
    assert here.run(["ip", "address", "add", "fe80::77/64", "dev", "lo"]).returncode == 0
    number = socket.if_nametoindex("lo")
    batch = measure(["fe80::77%lo", f"fe80::77%{number}"], probe())
    assert batch.received.tolist() == [5, 5]
    assert measure(["fe80::77%lo"], probe(source="fe80::77%lo")).received.tolist() == [5]


# Many


def swallow(site: Site) -> str:
    """An address whose packets go out on a cable with nobody at the other end."""
    for words in (
        "link add hole0 type veth peer name hole1", "address add 100.64.0.1/24 dev hole0", "link set hole0 up",
        "link set hole1 up", "neigh add 100.64.0.9 lladdr 02:00:00:00:00:09 dev hole0",
    ):  # fmt: skip
        assert site.run(["ip", *words.split()]).returncode == 0
    return "100.64.0.9"


@pytest.mark.parametrize("kind", KINDS)
def test_more_in_flight_than_there_are_sequence_numbers(kind: str) -> None:
    """70,000 pings nobody answers, and in the midst of them some that are."""
    with Network(HERE) as net, net["here"].entered():
        allow_dgram(net["here"])
        hole = swallow(net["here"])
        addresses = [hole] * 3500 + ["127.0.0.1"] * 10 + [hole] * 3500 + ["127.0.0.2"] * 10
        engine = IcmpEngine(socket=kind)
        engine.start(requests(addresses, probe(pings=10, interval=0.0, timeout=2.0)))
        batch = finish(engine, 30)
        counters = engine.counters()
        engine.close()
    answered = np.array([address != hole for address in addresses])
    assert (batch.received[answered] == 10).all()
    assert (batch.received[~answered] == 0).all()
    assert counters.sent == 70_200
    assert (counters.send_errors, counters.strays) == (0, 0)


def test_when_numbers_run_out_pings_wait(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a single identifier and a single socket, 70,000 pings take two turns; none fails."""
    monkeypatch.setattr("smokemesh.probes.icmp._IDS", 1)
    monkeypatch.setattr("smokemesh.probes.icmp._MOST_SOCKETS", 1)
    engine = IcmpEngine(grace=0.0)
    engine.start(
        requests([f"127.1.{i // 250}.{i % 250}" for i in range(7000)], probe(pings=10, interval=0.0, timeout=1))
    )
    batch = finish(engine, 30)
    assert (batch.received == 10).all()
    assert engine.counters().send_errors == 0
    engine.close()


def test_starting_ten_thousand_rounds_is_quick(here: Site) -> None:
    engine = IcmpEngine()
    asked = requests([f"127.1.{i // 250}.{i % 250}" for i in range(10_000)], probe(), at=time.monotonic() + 1000)
    engine.prepare(probe(), 4)
    begin = time.process_time()
    engine.start(asked)
    assert time.process_time() - begin < 1.0  # some 30 ms in truth; no promise is kept by a stopwatch in a test
    assert engine.busy == 10_000
    engine.close()


def test_own_drops_are_known(here: Site) -> None:
    """With a receive buffer for two packets most answers are lost, and it is said that we lost them."""
    engine = IcmpEngine(tick=0.05, transmit_stamps=False)
    engine.prepare(probe(), 4)
    channel = engine._channels[0]
    channel.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    engine.start(requests([f"127.1.0.{i}" for i in range(200)], probe(pings=1, timeout=0.1)))
    batch = finish(engine)
    lost = int((batch.received == 0).sum())
    assert lost > 0
    assert engine.counters().own_drops == lost
    assert (batch.flags[batch.received == 0] & Flag.OWN_DROPS).all()
    engine.close()


# Clock, forgery, privilege


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.5, -0.5])
def test_a_step_of_the_wall_clock_makes_no_spike(here: Site, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """The clock of the kernel and ours are set by `step` seconds in the middle of a round."""
    begin = time.time_ns() + 300_000_000
    real = packetio.stamps

    def shifted(wall: Any) -> Any:
        return wall + np.where(wall >= begin, int(step * 1e9), 0)

    def clocks() -> tuple[int, int, int]:
        before, wall, after = read_clocks()
        return before, int(shifted(wall)), after

    def stamps(arena: packetio.Arena, count: int) -> Any:
        times, dropped = real(arena, count)
        return shifted(times), dropped

    monkeypatch.setattr(packetio, "stamps", stamps)
    batch = measure(["127.0.0.1"] * 20, probe(pings=40, interval=0.02), transmit_stamps=False, clocks=clocks)
    assert (batch.flags == Flag.CLOCK_STEPPED).all()
    assert np.nanmax(batch.rtts) < 0.05
    assert np.nanmin(batch.rtts) > 0
    assert (batch.received == batch.sent).all()  # what cannot be trusted is left out, not lost
    assert (batch.sent >= 38).all()


def test_a_sleep_of_the_host_is_not_the_networks_loss(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that came in the sleep are gone, and the wall clock is 30 s ahead of the monotonic one after it."""
    begin = time.monotonic_ns() + 300_000_000
    end = begin + 100_000_000
    real = packetio.stamps

    def clocks() -> tuple[int, int, int]:
        before, wall, after = read_clocks()
        return before, wall + (30_000_000_000 if before >= end else 0), after

    def stamps(arena: packetio.Arena, count: int) -> Any:
        times, dropped = real(arena, count)
        mono = times - (time.time_ns() - time.monotonic_ns())
        asleep = (mono >= begin) & (mono < end)
        arena.lengths[:count][asleep] = 0  # nobody was there to hear them
        return times + np.where(mono >= end, 30_000_000_000, 0), dropped

    monkeypatch.setattr(packetio, "stamps", stamps)
    batch = measure(["127.0.0.1"] * 20, probe(pings=40, interval=0.02), transmit_stamps=False, clocks=clocks)
    assert (batch.flags & Flag.CLOCK_STEPPED).all()
    assert (batch.received == batch.sent).all()
    assert (batch.sent < 40).all()
    assert (batch.sent >= 25).all()


def test_forged_answers_change_nothing(here: Site) -> None:
    """Somebody answers every ping first, with a guessed cookie: counted as strays or damage, never as an answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as forger:
        engine = IcmpEngine(grace=0.05)
        engine.prepare(probe(), 4)
        base = engine._channels[0].socket.id_base
        engine.start(requests(["127.0.0.1"], probe(pings=3, interval=0.05)))
        for sequence in range(3):
            body = struct.pack(">BBHHH", 0, 0, 0, base, sequence) + bytes(56)
            total = sum(struct.unpack(">32H", body))
            total = (total & 0xFFFF) + (total >> 16)
            forged = body[:2] + struct.pack(">H", ~total & 0xFFFF) + body[4:]
            engine.run(time.monotonic() + 0.01)
            forger.sendto(forged, ("127.0.0.1", 0))
        batch = finish(engine)
        engine.close()
    assert (batch.received[0], batch.duplicates[0]) == (3, 0)
    assert batch.rtts.max() < 0.05


UNPRIVILEGED = """
import difflib, os, socket, sys
# Imported while they can be read: Python itself may stand in a directory of root's.
import smokemesh.cli.ping_report, smokemesh.cli.ping_targets, smokemesh.cli.ping, smokemesh.probes.icmp, encodings.idna
from smokemesh.cli.main import main
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
main(sys.argv[1:])
"""


def as_nobody(site: Site, *words: str) -> "subprocess.CompletedProcess[str]":
    return site.run([sys.executable, "-c", UNPRIVILEGED, "ping", *words], env={**os.environ, "HOME": "/"})


def test_nobody_may_ping_where_the_group_range_allows() -> None:
    with Network(HERE) as net:
        allow_dgram(net["here"])
        done = as_nobody(net["here"], "-C", "3", "-p", "20", "-q", "127.0.0.1", "::1")
        assert (done.returncode, done.stdout) == (0, "")
        assert [line.split(" : ")[0].strip() for line in done.stderr.splitlines()] == ["127.0.0.1", "::1"]
        assert " -" not in done.stderr


def test_nobody_is_told_the_cure_elsewhere() -> None:
    with Network(HERE) as net:
        net["here"].run(["sysctl", "-q", "-w", "net.ipv4.ping_group_range=1 0"])
        done = as_nobody(net["here"], "127.0.0.1")
    assert done.returncode == 4
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("smokemesh: ICMP socket for IPv4: ")
    assert "sudo setcap cap_net_raw+ep " in done.stderr
    assert "sudo sysctl -w net.ipv4.ping_group_range='0 2147483647'" in done.stderr
