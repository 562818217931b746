"""The common part of paced engines: rhythm, patience, room, our own delays, threads. Real time, real epoll."""

import errno
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_RESOLVE, Flag, RoundBatch
from smokemesh.probes.engine import RoundRequest
from smokemesh.probes.flight import Event
from smokemesh.probes.paced import Attempt, PacedEngine

PROBE = Probe(name="p", kind="paced", pings=5, interval=0.02, timeout=0.2, step=10.0)


class Timed(PacedEngine):
    """Pings answered after a time the test decides: `plan(index)` gives seconds, or raises what `begin` raises."""

    def __init__(self, plan: Callable[[int], float], **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.plan = plan
        self.begun: list[tuple[int, int, float]] = []
        self.most = 0
        self.given_up = 0

    def begin(self, attempt: Attempt) -> None:
        after = self.plan(attempt.index)
        self.begun.append((attempt.request.task, attempt.index, attempt.begun))
        self.most = max(self.most, len(self._open))
        if after < math.inf:
            self.call_at(attempt.begun + after, lambda: self.end(attempt, after, exact=True))

    def give_up(self, attempt: Attempt) -> None:
        self.given_up += 1


class Echo(PacedEngine):
    """A datagram to ourselves and back: what watching a file looks like."""

    kind = "echo"

    def begin(self, attempt: Attempt) -> None:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        attempt.state = one
        one.bind(("127.0.0.1", 0))
        one.sendto(b"x", one.getsockname())
        self.watch(one.fileno(), 1, lambda _events: self.answered(attempt))

    def answered(self, attempt: Attempt) -> None:
        self.give_up(attempt)
        self.end(attempt, self.woke - attempt.begun)

    def give_up(self, attempt: Attempt) -> None:
        assert isinstance(attempt.state, socket.socket)
        self.unwatch(attempt.state.fileno())
        attempt.state.close()


class Broken(PacedEngine):
    """Mistakes everywhere."""

    def begin(self, attempt: Attempt) -> None:
        if attempt.index % 2:
            raise ZeroDivisionError
        self.call_at(0.0, self.blunder)

    def blunder(self) -> None:
        raise KeyError("lost")

    def give_up(self, attempt: Attempt) -> None:
        raise ValueError("worse")


@pytest.fixture
def made() -> Iterator[list[PacedEngine]]:
    """Engines to be closed at the end."""
    engines: list[PacedEngine] = []
    yield engines
    for engine in engines:
        engine.close()


def requests(probe: Probe, count: int = 1, at: float | None = None, address: str = "127.0.0.1") -> list[RoundRequest]:
    start = time.monotonic() + 0.01 if at is None else at
    return [RoundRequest(task, 1_000 + task, start, address, probe) for task in range(1, count + 1)]


def finish(engine: PacedEngine, asked: list[RoundRequest], within: float = 10.0) -> RoundBatch:
    engine.start(asked)
    engine.run(time.monotonic() + within)
    assert engine.busy == 0
    batch = engine.take()
    assert len(engine.take()) == 0
    return batch


def test_pings_follow_the_rhythm_and_stand_in_the_order_sent(made: list[PacedEngine]) -> None:
    rtts = [0.09, 0.01, 0.05, 0.002, 0.03]  # overtaking one another
    engine = Timed(lambda index: rtts[index])
    made.append(engine)
    asked = requests(PROBE)
    batch = finish(engine, asked)
    assert batch.rtts.tolist() == pytest.approx(rtts)
    assert (batch.task[0], batch.time[0], batch.sent[0], batch.received[0]) == (1, 1001, 5, 5)
    assert batch.step[0] == 10.0
    assert bytes(batch.address[0]) == b"\0" * 10 + b"\xff\xff" + bytes([127, 0, 0, 1])
    for _, index, begun in engine.begun:
        assert begun >= asked[0].at + index * 0.02 - 0.001
    assert engine.counters().sent == engine.counters().received == 5


def test_late_is_received_and_lost_is_nan(made: list[PacedEngine]) -> None:
    engine = Timed(lambda index: (0.001, 0.3, math.inf, 0.001, math.inf)[index])
    made.append(engine)
    batch = finish(engine, requests(PROBE))
    assert np.isnan(batch.rtts).tolist() == [False, False, True, False, True]
    assert (batch.sent[0], batch.received[0], batch.late[0], batch.errors[0]) == (5, 3, 1, 0)
    assert Flag(int(batch.flags[0])) & ~Flag.OWN_DELAY == Flag.LATE
    assert engine.given_up == 2


def test_a_refused_ping_is_an_error_of_its_own_round_only(made: list[PacedEngine]) -> None:
    def plan(index: int) -> float:
        if index == 1:
            raise OSError(errno.ENETUNREACH, "no way")
        if index == 2:
            raise socket.gaierror(socket.EAI_NONAME, "no name")
        return 0.001

    engine = Timed(plan)
    made.append(engine)
    batch = finish(engine, requests(PROBE))
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (5, 3, 2)
    assert batch.error[0] == ERROR_ERRNO + errno.ENETUNREACH
    assert int(batch.flags[0]) & Flag.SEND_ERROR
    assert int(np.isnan(batch.rtts).sum()) == 2
    only = finish(engine, [RoundRequest(9, 9, time.monotonic(), "", Probe(name="q", pings=1))])
    assert only.task.tolist() == [9]
    assert not only.address.any()


def test_a_name_that_fails_within_is_a_name_that_did_not_resolve(made: list[PacedEngine]) -> None:
    def plan(_index: int) -> float:
        raise socket.gaierror(socket.EAI_NONAME, "no name")

    engine = Timed(plan)
    made.append(engine)
    batch = finish(engine, requests(PROBE))
    assert batch.error[0] == ERROR_RESOLVE + abs(socket.EAI_NONAME)
    assert not int(batch.flags[0]) & Flag.SEND_ERROR


def test_out_of_files_waits_instead_of_counting_as_loss(made: list[PacedEngine]) -> None:
    tries = 0

    def plan(_index: int) -> float:
        nonlocal tries
        tries += 1
        if tries % 3:
            raise OSError(errno.EMFILE, "too many")
        return 0.001

    engine = Timed(plan)
    made.append(engine)
    batch = finish(engine, requests(PROBE))
    assert (batch.sent[0], batch.received[0], batch.errors[0]) == (5, 5, 0)
    assert int(batch.flags[0]) & Flag.OWN_DELAY
    assert engine.counters().delayed == 10


def test_room_is_bounded_and_what_found_none_is_left_out_not_lost(made: list[PacedEngine]) -> None:
    class Small(Timed):
        most_open = 3

    probe = Probe(name="p", pings=2, interval=0.0, timeout=0.1)
    engine = Small(lambda _index: math.inf)
    made.append(engine)
    batch = finish(engine, requests(probe, 10))
    assert engine.most == 3
    assert len(batch) == 10
    assert 3 <= int(batch.sent.sum()) <= 9  # one patience holds three, those begun at its very end three more
    assert batch.received.sum() == 0
    left = batch.flags[batch.sent < 2]
    assert len(left)
    assert (left & int(Flag.OWN_DELAY)).all()


def test_many_rounds_share_the_room_and_all_end(made: list[PacedEngine]) -> None:
    class Small(Timed):
        most_open = 10

    engine = Small(lambda _index: 0.001)
    made.append(engine)
    batch = finish(engine, requests(Probe(name="p", pings=4, interval=0.01, timeout=1.0), 200))
    assert sorted(batch.task.tolist()) == list(range(1, 201))
    assert (batch.received == 4).all()
    assert engine.most <= 10


def test_watching_a_file(made: list[PacedEngine]) -> None:
    engine = Echo()
    made.append(engine)
    batch = finish(engine, requests(PROBE, 20))
    assert batch.received.sum() == batch.sent.sum()
    assert batch.received.sum() >= 50  # a machine that stands still costs pings, never truth
    assert (batch.rtts < 0.2).all()
    assert engine.describe() == "echo=ready"


def test_mistakes_cost_their_ping_only(made: list[PacedEngine], caplog: pytest.LogCaptureFixture) -> None:
    engine = Broken()
    made.append(engine)
    batch = finish(engine, requests(PROBE, 2))
    assert batch.sent.tolist() == [5, 5]
    assert batch.received.sum() == 0
    assert batch.errors.tolist() == [2, 2]
    assert batch.error.tolist() == [ERROR_ERRNO + errno.EIO] * 2
    assert "was not begun" in caplog.text


def test_our_own_standing_still_is_never_the_networks_rtt(made: list[PacedEngine]) -> None:
    class Clumsy(Timed):
        def begin(self, attempt: Attempt) -> None:
            self.call_at(attempt.begun + 0.02, lambda: self.end(attempt, time.monotonic() - attempt.begun))
            if attempt.index == 1:
                self.call_at(attempt.begun + 0.01, self.stand_still)

        def stand_still(self) -> None:
            threading.Event().wait(0.2)

    engine = Clumsy(lambda _index: 0.0)
    made.append(engine)
    batch = finish(engine, requests(Probe(name="p", pings=3, interval=0.1, timeout=1.0)))
    assert batch.sent[0] <= 2  # the second is left out
    assert np.nanmax(batch.rtts, initial=0.0) < 0.15
    assert int(batch.flags[0]) & Flag.OWN_DELAY


def test_what_waited_for_another_answer_to_be_handled_is_left_out(made: list[PacedEngine]) -> None:
    class Slow(Echo):
        def answered(self, attempt: Attempt) -> None:
            if attempt.request.task == 1:
                threading.Event().wait(0.15)
            super().answered(attempt)

    engine = Slow()
    made.append(engine)
    batch = finish(engine, requests(Probe(name="p", pings=1, timeout=1.0), 20))
    assert batch.sent.sum() < 20
    assert np.nanmax(batch.rtts, initial=0.0) < 0.1
    assert (batch.flags[batch.sent == 0] == int(Flag.OWN_DELAY)).all()


def test_a_burst_is_spread_where_a_ping_costs_time(made: list[PacedEngine]) -> None:
    class Spread(Timed):
        gap = 0.005

    engine = Spread(lambda _index: 0.001)
    made.append(engine)
    batch = finish(engine, requests(Probe(name="p", pings=2, interval=0.3, timeout=1.0), 20))
    assert (batch.received == 2).all()
    begins = sorted(begun for _, index, begun in engine.begun if index == 0)
    assert begins[-1] - begins[0] >= 19 * 0.005 - 0.002
    assert min(np.diff(begins)) >= 0.0


def test_a_whole_round_in_one_attempt(made: list[PacedEngine]) -> None:
    class Whole(PacedEngine):
        def attempts(self, request: RoundRequest) -> int:
            return 1

        def patience(self, request: RoundRequest) -> float:
            return 0.3

        def begin(self, attempt: Attempt) -> None:
            rtts = {1: [0.1, 0.3], 2: [0.001] * 9, 3: []}[attempt.request.task]
            if attempt.request.task < 4:
                error = ERROR_ICMP4 + 0x0301 if attempt.request.task == 3 else 0
                self.call_at(0.0, lambda: self.end_round(attempt, rtts, error=error))

    engine = Whole()
    made.append(engine)
    batch = finish(engine, requests(PROBE, 3))
    order = np.argsort(batch.task)
    assert batch.sent.tolist() == [5, 5, 5]
    assert batch.received[order].tolist() == [2, 5, 0]
    assert batch.late[order].tolist() == [1, 0, 0]
    assert batch.errors[order].tolist() == [0, 0, 5]
    assert int(batch.flags[order][2]) & Flag.ICMP_ERROR


def test_a_watcher_is_told_in_the_owners_thread(made: list[PacedEngine]) -> None:
    told: list[tuple[Event, int, int]] = []
    threads = set()

    def watcher(event: Event, tasks: object, pings: object, values: object) -> None:
        threads.add(threading.current_thread())
        told.append((event, int(tasks[0]), int(pings[0])))  # type: ignore[index]

    engine = Timed(lambda _index: 0.001, watcher=watcher)
    made.append(engine)
    finish(engine, requests(PROBE))
    assert threads == {threading.current_thread()}
    assert [entry for entry in told if entry[0] is Event.ANSWERED] == [(Event.ANSWERED, 1, i) for i in range(5)]


def test_an_idle_engine_sleeps(made: list[PacedEngine]) -> None:
    engine = Timed(lambda _index: 0.001)
    made.append(engine)
    finish(engine, requests(PROBE))
    engine.start(requests(PROBE, 100, at=time.monotonic() + 60))
    before = time.process_time()
    engine.run(time.monotonic() + 0.3)
    assert time.process_time() - before < 0.05
    assert engine.busy == 100


def test_closing_gives_up_what_is_under_way_and_leaves_no_thread_or_file() -> None:
    files = len(os.listdir("/proc/self/fd"))
    engine = Echo()
    engine.begin = lambda attempt: setattr(attempt, "state", socket.socket())  # type: ignore[method-assign]
    engine.start(requests(PROBE, 50))
    engine.run(time.monotonic() + 0.1)
    assert engine.busy == 50
    engine.close()
    engine.close()
    assert engine.busy == 0
    assert len(os.listdir("/proc/self/fd")) == files
    with pytest.raises(RuntimeError, match="no more"):
        engine.start(requests(PROBE))


def test_a_never_used_engine_closes() -> None:
    files = len(os.listdir("/proc/self/fd"))
    Echo().close()
    assert len(os.listdir("/proc/self/fd")) == files
