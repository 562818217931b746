"""The route of SmokePing's CGI as slaves meet it: the real application under uvicorn on loopback, real databases below it."""

import asyncio
import http.client
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.errors import StoreError
from smokemesh.master import slave_api, slave_ingest, slave_places
from smokemesh.master.app import Server
from smokemesh.master.dynamic import secret_hash
from smokemesh.master.premises import listen
from smokemesh.master.slave_journal import Journal
from smokemesh.master.state import open_master
from smokemesh.model.assignment import task_id
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.series import SeriesQuestion
from smokemesh.settings.disk import list_yaml, read_text
from smokemesh.settings.master import load_master
from smokemesh.settings.shape import MasterSettings
from smokemesh.smokeping import perl, protocol
from smokemesh.smokeping.results import write_lines
from smokemesh.storage.rounds import open_rounds

#: More than the usual number of examples, for a nightly run.
EXAMPLES = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "0"))

SECRET = b"s3cret"
SECOND = 10**9
CONFIG = f"""\
defaults: {{step: 10s, pings: 3}}
agents:
  fra: {{display_name: Frankfurt}}
  fra-2: {{}}
  idle: {{}}
  own: {{secret_file: own}}
smokeping: {{path: /cgi-bin/smokeping.cgi, secrets_file: secrets}}
targets:
  A: {{host: 192.0.2.1, agents: [fra, fra-2]}}
  B: {{host: 192.0.2.2, agents: [fra-2, own]}}
  D: {{host: DYNAMIC/{secret_hash(b"where")}, agents: [fra-2]}}
"""
SECRETS = "fra:s3cret\nfra-2:other\nidle:lazy\nstranger:known\n"
NAN = float("nan")


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Running:
    """A master that serves in a thread of its own, and can be started anew on the same data."""

    folder: Path

    def start(self) -> None:
        self.master = open_master(self.load(), str(self.folder / "data"), self.load)
        self.listener = listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.server = Server(self.master)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve(sockets=[self.listener])))
        self.thread.start()

    def stop(self) -> None:
        self.server.leave()
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.master.close()
        self.listener.close()

    def load(self) -> MasterSettings:
        return load_master(str(self.folder / "smokemesh.yaml"), read_text, list_yaml)

    def write(self, config: str) -> None:
        (self.folder / "smokemesh.yaml").write_text(config)
        assert self.ask("POST", "/-/reload").status == 200

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(
        self,
        data: bytes = b"",
        config_time: int = 2**40,
        slave: str = "fra",
        secret: bytes = SECRET,
        path: str = "/smokeping.cgi",
    ) -> Reply:
        kind, body = protocol.post(slave, secret, data, config_time)
        return self.ask("POST", path, body, {"Content-Type": kind, "User-Agent": "smokeping-slave/1.0"})

    def config(self, slave: str = "fra", secret: bytes = SECRET) -> Any:
        """The configuration a slave is given."""
        reply = self.post(b"", 0, slave, secret)
        got = protocol.read_answer(reply.status, reply.headers, reply.body, secret)
        assert got.dump is not None, got.problem
        return perl.read(got.dump)

    def rounds(self, agent: str = "fra", target: str = "/A") -> RoundBatch:
        assert self.master.slave_ingest.drained(20)
        now = time.time_ns()
        question = SeriesQuestion(
            task=task_id(target, "ping"),
            agent=agent,
            begin=now - 86400 * SECOND,
            end=now + 86400 * SECOND,
            points=100_000,
        )
        return self.master.store.rounds(question)

    def times(self, agent: str = "fra", target: str = "/A") -> list[int]:
        return [at // SECOND for at in self.rounds(agent, target).time.tolist()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("master")
    (folder / "secrets").touch(mode=0o640)
    (folder / "secrets").write_text(SECRETS)
    (folder / "own").touch(mode=0o600)
    (folder / "own").write_text("an-agents-own-secret\n")
    (folder / "smokemesh.yaml").write_text(CONFIG)
    made = Running(folder)
    made.start()
    yield made
    made.stop()


class Clock:
    """Times nobody used yet, Unix seconds: some hours ago, ten seconds apart."""

    def __init__(self) -> None:
        self._next = int(time.time()) - 20_000

    def take(self, count: int) -> list[int]:
        first, self._next = self._next, self._next + 10 * count
        return list(range(first, self._next, 10))


clock = Clock()


def lines(times: list[int], path: str = "/A", pings: int = 3) -> bytes:
    return b"\n".join(write_lines((path, at, pings, [0.01, 0.02][: at // 10 % 3]) for at in times))


def test_a_slave_fetches_its_configuration(running: Running) -> None:
    reply = running.post(b"", 0)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/smokeping-config")
    assert reply.headers["protocol"] == "2"
    assert reply.headers["key"] == protocol.signature(SECRET, reply.body)
    got = running.config()
    assert got["Targets"]["A"]["host"] == "192.0.2.1"
    assert got["Targets"]["B"] is None
    assert got["Targets"]["D"] is None
    assert (got["Database"]["step"], got["Database"]["pings"]) == ("10", "3")
    reply = running.post(b"", got["__last"])
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"OK\n", "text/plain")


def test_rounds_are_stored_as_they_came(running: Running) -> None:
    times = clock.take(3)
    data = (
        f"/A\t{times[0]}\tU:1:2.0e-02:1.0e-02:2.0e-02:U\n/A\t{times[2]}\tU:3:U:U:U:U\n"
        f"/A\t{times[1]}\tU:-1:2.0e-02:1.0e-02:2.0e-02:3.0e-02:4.0e-02"
    ).encode()
    reply = running.post(data, path="/cgi-bin/smokeping.cgi")
    assert (reply.status, reply.body) == (200, b"OK\n")
    found = running.rounds()
    assert [at // SECOND for at in found.time.tolist()][-3:] == times
    assert found.sent.tolist()[-3:] == [3, 4, 3]
    assert found.received.tolist()[-3:] == [2, 4, 0]
    assert found.step.tolist()[-3:] == [10.0] * 3
    assert set(found.flags.tolist()) == {int(Flag.SORTED)}
    wanted = np.array([0.01, 0.02, NAN, 0.01, 0.02, 0.03, 0.04, NAN, NAN, NAN], np.float32)
    np.testing.assert_array_equal(found.rtts[-10:], wanted)


def test_the_same_lines_again_in_any_cut_are_stored_once(running: Running) -> None:
    before = running.times()
    times = clock.take(40)
    for cut in (times[10:20], times[15:18], times[:30], times[5:40] + times[:5] + times[7:9], times):
        assert running.post(lines(cut)).body == b"OK\n"
    assert running.times() == sorted(before + times)


def test_posts_of_one_slaves_processes_at_the_same_time(running: Running) -> None:
    before = running.times()
    times = clock.take(60)
    cuts = [times[i : i + 15] for i in range(0, 60, 5)] * 2
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda cut: running.post(lines(cut)), cuts))
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"OK\n")}
    assert running.times() == sorted(before + times)


def test_nothing_is_doubled_over_a_restart(running: Running) -> None:
    before = running.times()
    times = clock.take(10)
    assert running.post(lines(times[:8])).status == 200
    told = running.config()["__last"]
    running.stop()
    running.start()
    assert running.post(lines(times[3:]), told).body == b"OK\n"
    assert running.times() == before + times


def batch_of(times: list[int]) -> RoundBatch:
    n = len(times)
    return RoundBatch.from_columns(n, {
        "task": [task_id("/A", "ping")] * n, "time": [at * SECOND for at in times], "sent": [3] * n, "step": [10] * n,
    })  # fmt: skip


@pytest.mark.parametrize("age", [0, 7200])
@pytest.mark.parametrize("killed", ["before the plan", "before the insert", "after the insert", "while tidying up"])
def test_the_journal_of_a_killed_master_is_stored_once(running: Running, killed: str, age: int) -> None:
    before, times = running.times(), clock.take(12)
    assert not list((running.folder / "data" / "slaves" / "journal").iterdir())
    running.stop()
    journal = Journal(running.folder / "data" / "slaves" / "journal")
    begun = time.time_ns() - age * SECOND
    groups = [journal.write(begun, [("fra", batch_of(times[i : i + 4]))]) for i in (0, 4)]
    if killed != "before the plan":
        journal.plan(f"slaves/{killed}/{age}", begun, groups)
    if killed in ("after the insert", "while tidying up"):
        store = open_rounds(f"chdb://{running.folder}/data/rounds")
        store.insert_together([("fra", batch_of(times[:8]))], f"slaves/{killed}/{age}")
        store.close()
    if killed == "while tidying up":
        (running.folder / "data" / "slaves" / "journal" / groups[0].token).unlink()
    late = Journal(running.folder / "data" / "slaves" / "journal")
    late._number = 10
    late.write(begun, [("fra", batch_of(times[8:10]))])
    running.start()
    assert running.post(lines(times[3:])).status == 200  # what was not answered comes again
    assert running.times() == before + times
    assert not list((running.folder / "data" / "slaves" / "journal").iterdir())


def test_a_store_that_fails_gets_the_same_insert_again(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    before, times = running.times(), clock.take(6)
    insert = running.master.store.insert_together
    failures: list[str] = []

    def fail_after(parts: Any, token: str) -> None:
        insert(parts, token)
        if len(failures) < 2:
            failures.append(token)
            raise StoreError("storage: the connection was cut")

    monkeypatch.setattr(slave_ingest, "AGAIN", 0.1)
    monkeypatch.setattr(running.master.store, "insert_together", fail_after)
    assert running.post(lines(times[:4])).body == b"OK\n"
    assert running.post(lines(times)).body == b"OK\n"
    assert running.times() == before + times
    assert failures[0] == failures[1]


def test_what_could_not_be_kept_is_not_acknowledged(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    before, times = running.times(), clock.take(4)

    def full(*_: Any) -> None:
        raise StoreError("journal: cannot be written: No space left on device; make room")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_save", full)
        reply = running.post(lines(times[:3]))
        wanted = b"WARNING: journal: cannot be written: No space left on device; make room\n"
        assert (reply.status, reply.body) == (503, wanted)
    monkeypatch.setattr(slave_ingest, "MOST_WAITING", 0)
    monkeypatch.setattr(slave_ingest, "PATIENCE", 0.1)
    assert running.post(lines(times[:3])).status == 503
    monkeypatch.undo()
    assert running.post(lines(times)).body == b"OK\n"
    assert running.times() == before + times


def test_lines_nobody_asked_for_are_counted_and_acknowledged(running: Running) -> None:
    before, (at,) = running.times(), clock.take(1)
    now = int(time.time())
    data = b"\n".join([
        lines([at], "/B"), lines([at], "/nothing"), lines([at], "/../../etc/passwd"), b"junk", lines([now + 3600]),
        lines([now - 40 * 365 * 86400]), b"/A\t%d\tU:U:U:U:U:U" % at, lines([at]),
    ])  # fmt: skip
    assert running.post(data).body == b"OK\n"
    assert running.times() == [*before, at]
    seen = running.master.registry.last("fra")
    assert seen is not None
    assert seen.health.limited >= 6
    assert "of targets it is not to measure, the first '/B" in seen.health.last_error
    assert not list(running.folder.glob("**/passwd*"))


def test_a_slave_is_seen(running: Running) -> None:
    now = int(time.time())
    assert running.post(lines([now - 30]), slave="fra-2", secret=b"other").status == 200
    seen = running.master.registry.last("fra-2")
    assert seen is not None
    assert seen.health.version == "smokeping-slave/1.0"
    assert (seen.health.rounds, seen.health.tasks) == (1, 2)
    assert -32 < seen.clock_offset < -28
    assert abs(seen.seen - now * SECOND) < 30 * SECOND


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"slave": "nobody"}, 200, "WARNING: No secret found for slave nobody\n"),
        ({"slave": "fr.-2"}, 200, "WARNING: No secret found for slave fr.-2\n"),
        ({"protocol": "3"}, 200, "WARNING: I expected protocol 2 and got 3 from slave fra. I will skip this.\n"),
        ({"protocol": None}, 200, "WARNING: I expected protocol 2 and got ? from slave fra. I will skip this.\n"),
        ({"slave": "stranger"}, 200, "WARNING: I don't know the slave stranger ignoring it"),
        ({"key": "0"}, 200, "WARNING: Data from fra was signed with 0 which does not match our expectation\n"),
        ({"slave": "idle", "key": protocol.signature(b"lazy", b"")}, 200, "WARNING: No targets found for slave 'idle'\n"),
        ({"slave": "own", "key": protocol.signature(b"an-agents-own-secret", b""), "config_time": "9" * 12}, 200, "OK\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_answers(running: Running, method: str, fields: dict[str, str | None], status: int, text: str) -> None:
    usual: dict[str, str | None] = {"slave": "fra", "key": protocol.signature(SECRET, b""), "protocol": "2", "data": ""}
    query = urllib.parse.urlencode({k: v for k, v in (usual | fields).items() if v is not None})
    if method == "GET":
        reply = running.ask("GET", f"/smokeping.cgi?{query}")
    else:
        reply = running.ask(
            "POST", "/smokeping.cgi", query.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        )
    assert (reply.status, reply.body.decode(), reply.headers["content-type"]) == (status, text, "text/plain")


@pytest.mark.parametrize(
    "wrong", [{"slave": "nobody"}, {"key": "0"}, {"protocol": "9"}], ids=["unknown", "key", "protocol"]
)
def test_rounds_that_were_not_stored_stay_with_the_slave(running: Running, wrong: dict[str, str]) -> None:
    """200 would mean to it that they are delivered."""
    data = "/A\t1700000000\tU:0:1e-3:1e-3:1e-3:1e-3:1e-3:1e-3"
    usual = {"slave": "fra", "key": protocol.signature(SECRET, data.encode()), "protocol": "2", "data": data}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = running.ask("POST", "/smokeping.cgi", urllib.parse.urlencode(usual | wrong).encode(), kind)
    assert reply.status == 403
    assert reply.body.startswith(b"WARNING: ")


def test_secrets_that_others_can_read_are_not_used(running: Running) -> None:
    file = running.folder / "secrets"
    file.chmod(0o644)
    try:
        reply = running.post(lines(clock.take(1)))
        assert reply.status == 503
        assert (
            reply.body
            == f"WARNING: Opening secrets file {file}: is readable or writable by others: chmod o-rw {file}\n".encode()
        )
    finally:
        file.chmod(0o640)
    file.write_text(SECRETS.replace("s3cret", "changed!"))
    assert running.post(secret=b"changed!").body == b"OK\n"
    file.write_text(SECRETS)
    assert running.post().body == b"OK\n"


def test_only_a_change_of_its_own_work_is_told(running: Running) -> None:
    first = running.config()["__last"]
    others = running.config("fra-2", b"other")["__last"]
    running.write(CONFIG.replace("192.0.2.2", "192.0.2.9").replace("Frankfurt", "FRA"))
    assert running.post(b"", first).body == b"OK\n"
    assert running.config("fra-2", b"other")["__last"] > others
    running.write(CONFIG.replace("192.0.2.1", "192.0.2.8"))
    assert running.post(b"", first).headers["content-type"] == protocol.CONFIGURATION
    second = running.config()["__last"]
    assert second > first
    running.write(CONFIG)
    assert running.config()["__last"] > second


def test_rounds_of_a_view_that_is_gone(running: Running) -> None:
    """A target is taken away from a slave, or gets another probe, while the slave cannot be reached."""
    slow = CONFIG.replace("targets:", "probes: {slow: {kind: icmp, pings: 3, step: 20s}}\ntargets:")
    slow = slow.replace("192.0.2.2,", "192.0.2.2, probe: slow,")
    held = [running.times("fra-2", path) for path in ("/A", "/B")]
    told = running.config("fra-2", b"other")["__last"]
    times = clock.take(4)
    # The lines it brings are older than its first view; what the slave says it has is then the older of the two.
    running.write(slow.replace("agents: [fra, fra-2]", "agents: [fra]"))
    now = running.config("fra-2", b"other")["__last"]
    assert now > told
    running.stop()
    running.start()
    early, late = times[:2], [now + 1, now + 21]
    data = b"\n".join([lines(early, "/A"), lines(early, "/B"), lines(late, "/B")])
    assert running.post(data, now, "fra-2", b"other").body == b"OK\n"
    assert running.times("fra-2", "/A") == sorted(held[0] + early)
    assert running.times("fra-2", "/B") == sorted(held[1] + early)
    question = SeriesQuestion(task=task_id("/B", "slow"), agent="fra-2", begin=0, end=2 * time.time_ns(), points=100)
    found = running.master.store.rounds(question)
    assert ([at // SECOND for at in found.time.tolist()], found.step.tolist()) == (late, [20.0] * 2)
    # With the view of before in force at the slave, it is what it measured, whatever its clock says.
    assert running.post(lines([now + 2], "/B"), told, "fra-2", b"other").status == 200
    assert running.times("fra-2", "/B") == sorted([*held[1], *early, now + 2])
    running.write(CONFIG)
    seen = running.master.registry.last("fra-2")
    assert seen is not None
    assert seen.health.last_error == ""


def test_a_time_beyond_all_clocks(running: Running) -> None:
    before = running.times()
    data = b"/A\t9999999999\tU:0:1e-2:1e-2:1e-2:1e-2\n"
    assert running.post(data, 2**80).body == b"OK\n"
    seen = running.master.registry.last("fra")
    assert seen is not None
    assert "dated ahead of the master's clock" in seen.health.last_error
    assert running.ask("GET", "/api/v1/agents").status == 200
    assert running.times() == before
    assert running.post().status == 200


def test_a_host_tells_its_address(running: Running) -> None:
    def measures() -> list[str]:
        return [task.host for task in running.master.assignments.get("fra-2").tasks if task.target == "/D"]

    before = running.config("fra-2", b"other")["__last"]
    assert measures() == []
    for wrong in ("target=D;secret=wrong", "target=A;secret=where", "target=X.Y;secret=where", "target=D;secret=wh%00"):
        assert running.ask("GET", f"/smokeping.cgi?{wrong}").status == 404
    reply = running.ask("GET", "/smokeping.cgi?target=D;secret=where")
    assert (reply.status, reply.body) == (200, b"")
    assert measures() == ["127.0.0.1"]
    got = running.config("fra-2", b"other")
    assert got["Targets"]["D"]["host"] == "127.0.0.1"
    assert got["__last"] > before
    at = clock.take(1)
    assert running.post(lines(at, "/D"), slave="fra-2", secret=b"other").body == b"OK\n"
    assert running.times("fra-2", "/D") == at
    running.stop()
    running.start()
    assert measures() == ["127.0.0.1"]


def test_old_bookmarks_lead_to_the_page(running: Running) -> None:
    for path in ("/smokeping.cgi", "/cgi-bin/smokeping.cgi"):
        reply = running.ask("GET", f"{path}?target=A")
        assert (reply.status, reply.headers["location"]) == (
            302,
            running.ask("GET", "/smokeping.cgi?target=A").headers["location"],
        )


def test_bodies_are_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, body = protocol.post("fra", SECRET, b"", 0)
    monkeypatch.setattr(slave_api, "MOST_BODY", 1000)
    monkeypatch.setattr(slave_places, "GRACE", 0.2)
    assert running.ask("POST", "/smokeping.cgi", body + b" " * 1000, {"Content-Type": kind}).status == 413
    assert running.ask("POST", "/smokeping.cgi", body, {"Content-Type": kind, "Content-Encoding": "gzip"}).status == 415
    assert running.ask("POST", "/smokeping.cgi", body[:-9], {"Content-Type": kind}).status == 400
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.putrequest("POST", "/smokeping.cgi")
    connection.putheader("Content-Type", kind)
    connection.putheader("Content-Length", "900")
    connection.endheaders(body[:100])
    assert connection.getresponse().status == 408
    connection.close()


def begin_post(running: Running, headers: str) -> socket.socket:
    """A post of which nothing more comes."""
    made = socket.create_connection(("127.0.0.1", running.port), timeout=20)
    made.sendall(
        f"POST /smokeping.cgi HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n{headers}\r\n".encode()
    )
    return made


def test_slow_posts_keep_nobody_out(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has proven anything before the whole body is here: neither readers nor slaves wait for such."""
    monkeypatch.setattr(slave_places, "OLD", 0.0)
    times = clock.take(30)
    before = running.times()
    with ExitStack() as stack:
        slow = [stack.enter_context(begin_post(running, "Transfer-Encoding: chunked\r\n")) for _ in range(3)]
        slow += [stack.enter_context(begin_post(running, "Content-Length: 1000\r\n")) for _ in range(150)]
        slow += [stack.enter_context(begin_post(running, f"Content-Length: {2**25}\r\n")) for _ in range(3)]
        began = time.monotonic()
        assert running.ask("GET", "/smokeping.cgi?target=A").status == 302
        assert running.post(lines(times)).body == b"OK\n"
        large = b"\n".join([lines(times), *[b"/unknown\t1\tU:0:1:1"] * 60_000])
        assert running.post(large).body == b"OK\n"
        assert time.monotonic() - began < slave_places.GRACE
        answer = slow[0].recv(1000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
        while slow[0].recv(1000):
            pass  # the end comes
    assert running.times() == before + times


def test_large_posts_of_one_address_leave_room_for_others(running: Running) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            made = stack.enter_context(begin_post(running, f"Content-Length: {2**25}\r\n"))
            made.sendall(bytes(2**20))
            made.setblocking(False)
            with suppress(BlockingIOError):
                made.send(bytes(2**20))
        turns = running.master.slave_places._turns
        deadline = time.monotonic() + 10
        while turns.get("127.0.0.1", (None, 0))[1] < 4 and time.monotonic() < deadline:
            running.ask("GET", "/smokeping.cgi?target=A")
        assert turns["127.0.0.1"][1] == 4
        assert running.master.slave_places._large._value == slave_places.MOST_LARGE - 1


@pytest.mark.parametrize("path", ["", "/", "/smokeping.cgi"])
def test_no_warning_without_a_path(path: str, caplog: pytest.LogCaptureFixture) -> None:
    slave_api.routes(path)
    assert not caplog.records
    slave_api.routes("/pages")
    assert "smokeping.path is no path of a CGI" in caplog.text


HEADERS = st.fixed_dictionaries({"Content-Type": st.sampled_from([
    "multipart/form-data; boundary=xYzZY", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", 'a; boundary="',
])})  # fmt: skip
PIECES = st.sampled_from([
    b"--xYzZY", b"\r\n", b"--", b'Content-Disposition: form-data; name="', b'slave"', b'data"', b'key"', b"\r\n\r\n", b"slave=", b"fra",
    b"&", b"=", b"data=", b"/../../x", b"\t", b"%00", b"\xff", b"target=D", b"secret=", b"protocol=2", b"config_time=", b"9" * 30,
])  # fmt: skip


@given(
    st.lists(PIECES, max_size=25).map(b"".join) | st.binary(max_size=100),
    HEADERS,
    st.lists(PIECES, max_size=6).map(b"".join),
)
@settings(max_examples=EXAMPLES or 200, deadline=None)
def test_any_bytes(running: Running, body: bytes, headers: dict[str, str], query: bytes) -> None:
    reply = running.ask("POST", "/smokeping.cgi?" + urllib.parse.quote_from_bytes(query, safe="&="), body, headers)
    assert reply.status in (200, 303, 302, 400, 404)
    assert reply.body.count(b"\n") <= 1
    assert b"Traceback" not in reply.body


@given(
    st.lists(PIECES | st.sampled_from([b"/A", b"1795212675", b"U:0:1", b":U", b"\n", b":1e-3"]), max_size=12).map(
        b"".join
    )
)
@settings(max_examples=EXAMPLES or 200, deadline=None)
def test_any_signed_data(running: Running, data: bytes) -> None:
    """Whatever a slave that went mad may send: taken, and nothing of it left outside the store."""
    assert running.post(data, slave="fra-2", secret=b"other").body == b"OK\n"
    assert {entry.name for entry in running.folder.iterdir()} == {"secrets", "own", "smokemesh.yaml", "data"}
