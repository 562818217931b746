"""The prober with the real ICMP engine on loopback, and with engines that fail."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from smokemesh.agent import prober as module
from smokemesh.agent.plan import Plan, make_plan
from smokemesh.agent.prober import Prober
from smokemesh.errors import HostError
from smokemesh.model.assignment import Assignment, Task, task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_RESOLVE, Flag, RoundBatch
from smokemesh.probes.engine import Engine, EngineCounters, RoundRequest
from smokemesh.probes.icmp import IcmpEngine
from smokemesh.probes.resolve import NXDOMAIN, Answer, literal
from smokemesh.probes.table import make_engine
from smokemesh.settings.shape import Limits

DEADLINE = 20.0
LOOSE = Limits(least_interval=0.1)
#: Rounds every 0.3 s, to see many of them soon.
QUICK = Probe(name="quick", step=0.3, pings=5, interval=0.01, timeout=0.05)
GONE = Answer(error="gone.example does not exist (NXDOMAIN)", error_code=NXDOMAIN)


def plan(*hosts: str, probe: Probe = QUICK, limits: Limits | None = None) -> Plan:
    tasks = tuple(Task(id=task_id(host, "quick"), target=f"/{host}", host=host, probe="quick") for host in hosts)
    assignment = Assignment(version="1", agent="boomer", tasks=tasks, probes={"quick": probe})
    return make_plan(assignment, "boomer", limits or LOOSE, lambda name, family: literal(name, family) or GONE)


class Running:
    """A prober in its thread, and what it delivered."""

    def __init__(self, make: Callable[[str], Engine] = make_engine, limits: Limits | None = None) -> None:
        self.arrived = threading.Condition()
        self.batches: list[RoundBatch] = []
        self.limits = limits or LOOSE
        self.prober = Prober(self.limits, self._deliver, make)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.prober.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def _deliver(self, batch: RoundBatch) -> None:
        with self.arrived:
            self.batches.append(batch)
            self.arrived.notify_all()

    def measure(self, plan: Plan) -> None:
        self.prober.offer(plan, self.limits)

    def rounds(self) -> RoundBatch:
        return RoundBatch.concatenate(self.batches)

    def until(self, good: Callable[[], bool]) -> RoundBatch:
        end = time.monotonic() + DEADLINE
        with self.arrived:
            while not good():
                assert time.monotonic() < end, self.prober.tally
                self.arrived.wait(0.1)
            return self.rounds()

    def close(self) -> None:
        self.stop.set()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()


@pytest.fixture
def broken() -> Iterator[Callable[[Callable[[str], Engine]], Running]]:
    """Makes provers whose engines are the test's own."""
    made: list[Running] = []

    def make(engine: Callable[[str], Engine]) -> Running:
        made.append(Running(engine))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_hosts_are_measured_in_their_rhythm(running: Running) -> None:
    hosts = [f"127.0.3.{n}" for n in range(1, 21)]
    running.measure(plan(*hosts))
    found = running.until(lambda: running.prober.tally.rounds >= 60)
    assert set(found.task.tolist()) == {task_id(host, "quick") for host in hosts}
    assert (found.sent == 5).all()
    assert (found.received == 5).all()
    assert (found.rtts > 0).all()
    assert (found.rtts < 0.2).all()
    for task in np.unique(found.task):
        steps = np.diff(np.sort(found.time[found.task == task]))
        assert (steps % (3 * 10**8) == 0).all(), "a step apart, to the nanosecond"
    assert running.prober.overruns <= 20 * 5
    assert running.prober.counters().sent >= 300
    assert "icmp4=" in running.prober.engines()


def test_an_ipv6_host_is_measured_beside(running: Running) -> None:
    running.measure(plan("::1", "127.0.0.1"))
    found = running.until(lambda: len(np.unique(running.rounds().task)) == 2)
    assert (found.received == 5).all()


def test_a_name_that_does_not_resolve_gives_rounds_that_say_so(running: Running) -> None:
    running.measure(plan("gone.example", "127.0.0.1"))
    found = running.until(lambda: running.prober.tally.unresolved >= 2 and running.prober.tally.rounds >= 4)
    gone = found.task == task_id("gone.example", "quick")
    assert (found.sent[gone] == 0).all()
    assert (found.flags[gone] == int(Flag.UNRESOLVED)).all()
    assert (found.error[gone] == ERROR_RESOLVE + NXDOMAIN).all()
    assert (found.address[gone] == 0).all()
    assert (found.received[~gone] == 5).all()


def test_refused_targets_are_counted_and_get_no_packet(running: Running) -> None:
    refused = plan("127.0.0.1", limits=Limits(least_interval=0.1, deny=("127.0.0.0/8",)))
    assert refused.problems == {"/127.0.0.1": "127.0.0.1 is in 127.0.0.0/8 (limits.deny)"}
    running.measure(refused)
    running.until(lambda: running.prober.limited >= 2)
    assert running.batches == []
    assert running.prober.counters().sent == 0


def test_rounds_beyond_the_rate_are_left_out_counted_and_explained() -> None:
    limits = Limits(least_interval=0.1, most_packets_per_second_per_prefix=50.0)
    running = Running(limits=limits)
    running.measure(plan(*(f"127.0.7.{n}" for n in range(1, 21)), limits=limits))  # asks for 333 a second
    running.until(lambda: running.prober.limited >= 100)
    running.close()
    assert running.prober.counters().sent < 400
    assert "limits.most_packets_per_second_per_prefix" in running.prober.tally.limit


def test_a_new_plan_takes_the_place_of_the_old(running: Running) -> None:
    running.measure(plan("127.0.0.1", "127.0.0.2"))
    running.until(lambda: running.prober.tally.rounds >= 2)
    running.measure(plan("127.0.0.2", "127.0.0.3"))
    third = task_id("127.0.0.3", "quick")
    running.until(lambda: third in running.rounds().task.tolist())
    before = running.prober.tally.rounds
    running.until(lambda: running.prober.tally.rounds >= before + 4)
    late = RoundBatch.concatenate(running.batches[-3:])
    assert task_id("127.0.0.1", "quick") not in late.task.tolist()


def test_without_tasks_the_thread_sleeps(running: Running) -> None:
    running.until(lambda: running.prober.tally.ticks >= 3)
    ticks, cpu = running.prober.tally.ticks, time.process_time()
    running.until(lambda: running.prober.tally.ticks >= ticks + 20)
    assert time.process_time() - cpu < 0.5 * 20 * module.TICK


class FailingEngine:
    """The real engine, until `fails` says otherwise."""

    apart = False

    def __init__(self, fails: Callable[[str], Exception | None]) -> None:
        self._engine, self._fails = IcmpEngine(), fails

    def _meet(self, what: str) -> None:
        error = self._fails(what)
        if error is not None:
            raise error

    def start(self, requests: Sequence[RoundRequest]) -> None:
        self._meet("start")
        self._engine.start(requests)

    def run(self, until: float) -> None:
        self._meet("run")
        self._engine.run(until)

    def take(self) -> RoundBatch:
        return self._engine.take()

    @property
    def busy(self) -> int:
        return self._engine.busy

    def counters(self) -> EngineCounters:
        return self._engine.counters()

    def describe(self) -> str:
        return self._engine.describe()

    def close(self) -> None:
        self._engine.close()


@pytest.mark.parametrize("where", ["start", "run"])
def test_an_engine_that_fails_is_made_again_and_what_it_lost_is_counted(
    broken: Callable[[Callable[[str], Engine]], Running], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(module, "LEAST_REPAIR", 0.1)
    calls = 0

    def fails(what: str) -> Exception | None:
        nonlocal calls
        calls += what == where
        return RuntimeError("a fault of ours") if what == where and calls % 12 == 8 else None

    running = broken(lambda kind: FailingEngine(fails))
    running.measure(plan(*(f"127.0.4.{n}" for n in range(1, 11))))
    running.until(lambda: running.prober.tally.engine_failures >= 2)
    before = running.prober.tally.rounds
    running.until(lambda: running.prober.tally.rounds >= before + 10)
    assert running.prober.tally.last_error == "icmp engine: RuntimeError: a fault of ours"
    assert running.prober.tally.engine_lost >= 1
    found = running.rounds()
    assert len(set(zip(found.task.tolist(), found.time.tolist(), strict=True))) == len(found)


def test_a_host_without_the_right_to_ping_is_asked_again_and_says_why(
    broken: Callable[[Callable[[str], Engine]], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_REPAIR", 0.1)
    allowed = threading.Event()

    def make(kind: str) -> Engine:
        if not allowed.is_set():
            raise HostError("no right to open ICMP sockets; run: setcap cap_net_raw+ep ...")
        return make_engine(kind)

    running = broken(make)
    running.measure(plan("127.0.0.1"))
    running.until(lambda: running.prober.tally.engine_lost >= 1)
    assert "no right to open ICMP sockets" in running.prober.tally.last_error
    assert running.prober.engines() == "icmp=failed"
    allowed.set()
    running.until(lambda: running.prober.tally.rounds >= 1)


def test_making_the_first_engine_fails_at_once_and_in_one_line() -> None:
    def make(kind: str) -> Engine:
        raise HostError("no right to open ICMP sockets")

    with pytest.raises(HostError, match="no right"):
        Prober(Limits(), lambda batch: None, make).prepare("icmp")


def test_every_kind_is_measured_beside_the_others_and_told_apart(running: Running) -> None:
    """ICMP, TCP and HTTP at once; engines with a thread of their own leave the tick to the others."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        answering = threading.Thread(target=_answer, args=(server,), daemon=True)
        answering.start()
        port = server.getsockname()[1]
        rhythm = {"step": 0.3, "pings": 3, "interval": 0.02, "timeout": 0.1}
        probes = {
            "quick": QUICK,
            "tcp": Probe(name="tcp", kind="tcp", options=(("port", str(port)),), **rhythm),  # type: ignore[arg-type]
            "web": Probe(name="web", kind="http", options=(("url", f"http://{{host}}:{port}/"),), **rhythm),  # type: ignore[arg-type]
        }
        hosts = {"quick": "127.0.0.7", "tcp": "127.0.0.1", "web": "127.0.0.1"}
        tasks = tuple(
            Task(id=n, target=f"/{name}", host=host, probe=name) for n, (name, host) in enumerate(hosts.items(), 1)
        )
        limits = Limits(least_interval=0.05)
        assignment = Assignment(version="1", agent="boomer", tasks=tasks, probes=probes)
        made = make_plan(assignment, "boomer", limits, lambda name, family: literal(name, family) or GONE)
        assert made.problems == {}
        running.limits = limits
        running.measure(made)
        running.until(lambda: all((running.rounds().task == n).sum() >= 3 for n in (1, 2, 3)))
        found = running.rounds()
        server.shutdown(socket.SHUT_RDWR)
    answering.join(5)
    for n in (1, 2, 3):
        mine = found.task == n
        assert (found.received[mine] == found.sent[mine]).all(), n
        assert found.sent[mine].max() == (5 if n == 1 else 3), n
    assert "icmp4=" in running.prober.engines()
    assert "tcp=connect" in running.prober.engines()
    assert "http=libcurl/" in running.prober.engines()


def _answer(server: socket.socket) -> None:
    while True:
        try:
            caller, _ = server.accept()
        except OSError:
            return
        with caller:
            caller.settimeout(1)
            with contextlib.suppress(OSError):
                if caller.recv(4096):
                    caller.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")


def test_limits_hold_for_addresses_an_engine_comes_upon(running: Running) -> None:
    assert running.prober.permit("127.0.0.1") == ""
    running.limits = Limits(deny=("127.0.0.0/8",))
    running.measure(plan("127.0.0.1"))
    running.until(lambda: running.prober.plan is not None)
    assert running.prober.permit("127.0.0.1") == "127.0.0.1 is in 127.0.0.0/8 (limits.deny)"


@pytest.mark.parametrize("kind", ["icmp", "tcp", "http", "dns", "ssh", "smtp", "command"])
def test_every_kind_has_its_engine(kind: str) -> None:
    engine = make_engine(kind)
    try:
        assert engine.busy == 0
        assert len(engine.take()) == 0
        assert engine.describe()
    finally:
        engine.close()


def test_an_agent_loads_only_what_it_measures() -> None:
    code = "import sys; from smokemesh.probes.table import make_engine; make_engine('icmp'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert not {"pycurl", "ssl", "dns", "subprocess", "smokemesh.probes.paced"} & set(loaded.stdout.split())
