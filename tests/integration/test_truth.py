"""The ICMP engine against the made-up network: what it reports is exactly what happened."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path as File

import numpy as np
import pytest

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ICMP4, ERROR_ICMP6, Flag, RoundBatch
from smokemesh.netlab.expect import Expected, expected
from smokemesh.netlab.network import Network
from smokemesh.netlab.path import AnyFault, Corrupt, Delay, Duplicate, Lose, Path, Refuse
from smokemesh.netlab.truth import Truth
from smokemesh.probes.engine import RoundRequest
from smokemesh.probes.icmp import IcmpEngine

pytestmark = pytest.mark.privileged

PINGS, SPACING, TIMEOUT = 20, 0.02, 0.3
HERE = {4: "198.18.0.1", 6: "2001:db8:1::1"}
UNREACHABLE = {4: (3, 1), 6: (1, 3)}
STALE = "corrupts, checksum stale"
ROUTER = {4: "192.0.2.250", 6: "2001:db8::250"}


def faults(family: int) -> dict[str, tuple[AnyFault, ...]]:
    """What goes wrong with each target."""
    kind, code = UNREACHABLE[family]
    return {
        "nothing": (),
        "loses a tenth": (Lose(every=10),),
        "loses all": (Lose(every=1),),
        "duplicates": (Duplicate(every=4),),
        "answers three times": (Duplicate(every=5, copies=2, gap=0.003),),
        "duplicates late": (Duplicate(every=7, gap=0.05),),
        "reorders": (Delay(every=5, by=0.05),),
        "answers late": (Delay(every=6, by=TIMEOUT + 0.1),),
        "corrupts": (Corrupt(every=4),),
        STALE: (Corrupt(every=4, stale=True),),
        "is unreachable": (Refuse(every=1, type=kind, code=code, router=ROUTER[family]),),
        "refuses some itself": (Refuse(every=3, type=kind, code=code),),
        "random": (Lose(share=0.2), Duplicate(share=0.2), Delay(share=0.2, by=0.05), Delay(share=0.1, by=0.4)),
        "everything": (
            Lose(every=10),
            Duplicate(every=3, gap=0.002),
            Delay(every=4, by=0.05),
            Delay(every=9, by=TIMEOUT + 0.1),
            Corrupt(every=7),
            Refuse(every=8, type=kind, code=code, router=ROUTER[family]),
        ),
    }


@dataclass(frozen=True)
class Measured:
    """One round for each name of `faults`, and the truth about it."""

    family: int
    kind: str
    names: list[str]
    rounds: RoundBatch
    truth: Truth

    def expected(self, name: str) -> Expected:
        """What the round of a target must be."""
        records = self.truth.between(HERE[self.family], address(self.family, self.names.index(name)))
        # Linux checks ICMPv6 checksums before raw sockets (RFC 3542 section 3.1), ICMPv4 only before others.
        lost = name == STALE and (self.family, self.kind) != (4, "raw")
        return expected(records, TIMEOUT, stale_is_lost=lost)


def address(family: int, index: int) -> str:
    """Where a target is."""
    return f"192.0.2.{index + 1}" if family == 4 else f"2001:db8::{index + 1:x}"


def measure(engine: IcmpEngine, addresses: list[str]) -> RoundBatch:
    """One round of each address, in their order."""
    probe = Probe(name="truth", step=5.0, pings=PINGS, interval=SPACING, timeout=TIMEOUT)
    at, wall = time.monotonic() + 0.05, time.time_ns()
    engine.start([RoundRequest(i, wall, at + i * 0.001, target, probe) for i, target in enumerate(addresses)])
    engine.run(at + 10.0)
    assert engine.busy == 0
    batch = engine.take()
    assert sorted(batch.task) == list(range(len(addresses)))
    return batch


@pytest.fixture(
    scope="module", params=[(4, "raw"), (4, "dgram"), (6, "raw"), (6, "dgram")], ids=lambda p: f"{p[1]}{p[0]}"
)
def measured(request: pytest.FixtureRequest) -> Iterator[Measured]:
    family, kind = request.param
    wrong = faults(family)
    if (family, kind) == (6, "raw"):
        del wrong[STALE]  # has a test of its own
    addresses = [address(family, index) for index in range(len(wrong))]
    paths = {
        each: Path(delay=0.01, jitter=0.004, faults=what) for each, what in zip(addresses, wrong.values(), strict=True)
    }
    with Network({"here": (HERE[family],)}, paths) as net, net["here"].entered():
        File("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
        with closing(IcmpEngine(socket=kind)) as engine:
            rounds = measure(engine, addresses)
            assert f"icmp{family}={kind}" in engine.describe()
            assert engine.counters().own_drops == 0
        yield Measured(family, kind, list(wrong), rounds, net.truth())


@pytest.mark.parametrize("name", faults(4))
def test_what_is_reported_is_what_happened(measured: Measured, name: str) -> None:
    if name not in measured.names:
        return
    wanted = measured.expected(name)
    rounds = measured.rounds
    row = list(rounds.task).index(measured.names.index(name))
    assert wanted.sent == PINGS
    for column in ("sent", "received", "late", "duplicates", "reordered", "corrupted", "errors"):
        assert getattr(rounds, column)[row] == getattr(wanted, column), column
    assert Flag(int(rounds.flags[row])) == wanted.flags
    rtts = rounds.rtts[rounds.offsets[row] : rounds.offsets[row + 1]].astype(np.float64)
    assert list(np.isnan(rtts)) == list(np.isnan(wanted.held))
    beyond = (rtts - wanted.held)[~np.isnan(rtts)]
    # The network holds a packet for at least what it says; what is on top is this machine's own time.
    assert (beyond > -2e-6).all()
    assert beyond.size == 0 or np.median(beyond) < 0.002


def test_the_named_cases_are_what_their_names_say(measured: Measured) -> None:
    """So that no test above passes because nothing happened."""
    counts = {name: measured.expected(name) for name in measured.names}
    assert (counts["nothing"].received, counts["nothing"].flags) == (PINGS, Flag.NONE)
    assert counts["loses a tenth"].received == 18
    assert counts["loses all"].received == 0
    assert counts["duplicates"].duplicates == 5
    assert counts["answers three times"].duplicates == 8
    assert counts["reorders"].reordered == 3
    assert counts["answers late"].late == 3
    assert counts["corrupts"].corrupted == 5
    assert counts["is unreachable"].errors == PINGS
    assert counts["refuses some itself"].errors == 6
    assert counts["random"].flags & Flag.DUPLICATE


def test_an_icmp_error_is_told_by_type_and_code(measured: Measured) -> None:
    kind, code = UNREACHABLE[measured.family]
    row = list(measured.rounds.task).index(measured.names.index("is unreachable"))
    base = ERROR_ICMP4 if measured.family == 4 else ERROR_ICMP6
    assert measured.rounds.error[row] == base + kind * 256 + code


def test_a_raw_ipv6_socket_calls_damaged_answers_lost_and_doubts_itself() -> None:
    """The kernel drops them and counts them as dropped by this host, which is all an engine can know (net/ipv6/raw.c)."""
    target = address(6, 0)
    with Network({"here": (HERE[6],)}, {target: Path(faults=(Corrupt(every=4, stale=True),))}) as net:
        with net["here"].entered(), closing(IcmpEngine(socket="raw")) as engine:
            rounds = measure(engine, [target])
        wanted = expected(net.truth().to(target), TIMEOUT, stale_is_lost=True)
    assert rounds.received[0] == wanted.received == 15
    assert list(np.isnan(rounds.rtts)) == list(np.isnan(wanted.held))
    assert rounds.flags[0] == Flag.OWN_DROPS


def test_a_thousand_targets_at_once_lose_exactly_what_they_lose() -> None:
    addresses = [f"198.18.{high}.{low}" for high in range(4, 8) for low in range(1, 251)]
    with Network({"here": (HERE[4],)}, {"198.18.4.0/22": Path(delay=0.05, faults=(Lose(every=10),))}) as net:
        with net["here"].entered(), closing(IcmpEngine()) as engine:
            probe = Probe(name="truth", step=5.0, pings=PINGS, interval=0.1, timeout=TIMEOUT)
            at = time.monotonic() + 0.05
            engine.start([RoundRequest(i, 0, at + i * 1e-4, to, probe) for i, to in enumerate(addresses)])
            engine.run(at + 20.0)
            rounds = engine.take()
        truth = net.truth()
    assert len(truth.records) == PINGS * len(addresses)
    assert (rounds.received == 18).all()
    lost = np.isnan(rounds.matrix())
    assert (lost == (np.arange(PINGS) % 10 == 9)).all()
