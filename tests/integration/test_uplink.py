"""The uplink against a master over real HTTP: a small server that verifies and signs, and can be made to fail."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from smokemesh.agent import uplink as module
from smokemesh.agent.backoff import Backoff
from smokemesh.agent.channel import Channel, Identity, Refused
from smokemesh.agent.packed import PackedAssignment
from smokemesh.agent.spool import MOST_PINGS, Spool
from smokemesh.agent.uplink import Uplink
from smokemesh.errors import AuthError, MasterError, SmokemeshError
from smokemesh.model.agent import Health
from smokemesh.model.assignment import Assignment, Task
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import RoundBatch
from smokemesh.wire import messages
from smokemesh.wire.messages import ErrorReply, Heartbeat, HeartbeatReply, Upload, UploadReply
from smokemesh.wire.signing import sign_response, verify_request

SECRET = b"correct horse battery"
DEADLINE = 15.0


class QuietServer(ThreadingHTTPServer):
    """An agent that leaves in the middle of an answer is no news."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@dataclass
class Master:
    """A master as far as an agent sees it. `answer` may replace what it would say: (path, body) -> (status, body)."""

    assignment: Assignment = field(default_factory=lambda: Assignment(version="v1", agent="boomer"))
    answer: Callable[[str, bytes], tuple[int, bytes] | None] = lambda path, body: None
    #: Statuses that something before the master answers with: they are not signed.
    proxied: tuple[int, ...] = ()
    secret: bytes = SECRET
    signs: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    beats: list[Health] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    connections: int = 0
    #: PEM file with certificate and key: speak TLS.
    certificate: str = ""

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        master = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                master.connections += 1
                super().setup()

            def do_GET(self) -> None:
                master.serve(self, b"")

            def do_POST(self) -> None:
                master.serve(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *args: Any) -> None:
                pass

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if self.certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self.certificate)
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        scheme = "https" if self.certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        status, answer, signed = self._judge(request, body)
        headers = {"Content-Type": messages.CONTENT_TYPE} | self.headers
        if signed and self.signs and status not in self.proxied:
            headers |= sign_response(
                status, answer, request_signature=request.headers["Signature"], key_id="boomer",
                secret=self.secret, created=int(time.time()),
            )  # fmt: skip
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def _judge(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, bool]:
        try:
            verify_request(
                request.command, request.path, dict(request.headers.items()), body,
                secret_of=lambda name: self.secret if name == "boomer" else None, now=time.time(),
            )  # fmt: skip
        except SmokemeshError as error:
            self.note(self.refused, str(error))
            return error.http_status, messages.encode(ErrorReply(error.code, str(error))), False
        return *(self.answer(request.path, body) or self._answer(request, body)), True

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        if request.path == messages.HEARTBEAT:
            self.note(self.beats, messages.decode(Heartbeat, body).health)
            return 200, messages.encode(HeartbeatReply(clock=time.time_ns(), assignment=self.assignment.version))
        if request.path == messages.ROUNDS:
            upload = messages.decode(Upload, body)
            self.note(self.uploads, upload)
            return 200, messages.encode(UploadReply(upload.epoch, upload.records[-1].sequence))
        known = request.headers.get("If-None-Match", "").strip('"')
        wait = float(request.headers.get("Prefer", "wait=0").removeprefix("wait="))
        with self.changed:
            self.changed.wait_for(lambda: self.assignment.version != known, min(wait, 2.0))
        return (304, b"") if self.assignment.version == known else (200, messages.encode(self.assignment))

    def assign(self, assignment: Assignment) -> None:
        with self.changed:
            self.assignment = assignment
            self.changed.notify_all()

    def note(self, where: list[Any], what: Any) -> None:
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    def until(self, good: Callable[[], bool]) -> None:
        """Wait until something that was noted makes this true."""
        end = time.monotonic() + DEADLINE
        with self.changed:
            while not good():
                assert time.monotonic() < end, (self.refused, self.uploads, len(self.beats))
                self.changed.wait(0.1)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def master() -> Iterator[Master]:
    made = Master()
    yield made
    made.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool.db", ["m"])
    yield made
    made.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smokemesh.agent.backoff.MOST", 0.2)
    monkeypatch.setattr(module, "REFUSED", 0.2)


def put(spool: Spool, first: int, count: int = 1, pings: int = 3) -> None:
    chance = np.random.default_rng(first)
    columns = {
        "task": np.full(count, 7), "time": time.time_ns() + np.arange(first, first + count),
        "step": np.full(count, 60.0), "sent": np.full(count, pings), "received": np.full(count, pings),
        "rtts": chance.random(count * pings),
    }  # fmt: skip
    spool.append(RoundBatch.from_columns(count, columns))
    assert spool.flush()


def health() -> Health:
    return Health(
        version="0", clock=time.time_ns(), uptime=1.0, cpu=0.0, rss=1, assignment="", tasks=0, pings_per_second=0.0,
        rounds=0, overruns=0, own_drops=0, limited=0, spool_rounds=0, spool_bytes=0, spool_oldest=0, spool_dropped=0,
    )  # fmt: skip


class Running:
    """An uplink with its two threads."""

    def __init__(self, master: Master, spool: Spool, secret: bytes = SECRET, version: str = "") -> None:
        self.stop = threading.Event()
        self.assigned: list[PackedAssignment | None] = []
        self.master = master
        self.uplink = Uplink(
            lambda stop: Channel(master.url, Identity("boomer", secret), timeout=3.0, stop=stop),
            spool, "m", health, lambda given: master.note(self.assigned, given), version,
        )  # fmt: skip
        self.uplink.upload_interval, self.uplink.heartbeat_interval = 0.05, 0.2
        self.threads = [
            threading.Thread(target=work, args=(self.stop,), daemon=True)
            for work in (self.uplink.run, self.uplink.watch)
        ]
        for thread in self.threads:
            thread.start()

    def close(self) -> float:
        """Stop; the seconds that took."""
        begun = time.monotonic()
        self.stop.set()
        for thread in self.threads:
            thread.join(5)
            assert not thread.is_alive()
        return time.monotonic() - begun


@pytest.fixture
def running(master: Master, spool: Spool) -> Iterator[Running]:
    made = Running(master, spool)
    yield made
    made.close()


def ask(master: Master, **other: Any) -> Channel:
    return Channel(master.url, Identity("boomer", SECRET), timeout=3.0, **other)


def test_rounds_are_delivered_in_order_and_leave_the_spool(master: Master, spool: Spool, running: Running) -> None:
    for n in range(5):
        put(spool, n)
    master.until(lambda: bool(master.uploads) and master.uploads[-1].records[-1].sequence == 5)
    sent = [record.sequence for upload in master.uploads for record in upload.records]
    assert sent == [1, 2, 3, 4, 5]
    master.until(lambda: spool.flush() and spool.depth().rounds == 0)
    assert len(master.beats) >= 1
    assert abs(running.uplink.link.clock_offset) < 1.0


def test_one_connection_each_serves_all_requests(master: Master, spool: Spool, running: Running) -> None:
    master.until(lambda: len(master.beats) >= 5)
    assert master.connections == 2


def test_a_new_assignment_arrives_within_a_second(master: Master, running: Running) -> None:
    master.until(lambda: len(running.assigned) == 1)
    tasks = (Task(id=1, target="/a", host="127.0.0.1", probe="ping"),)
    fresh = Assignment(version="v2", agent="boomer", tasks=tasks, probes={"ping": Probe(name="ping")})
    begun = time.monotonic()
    master.assign(fresh)
    master.until(lambda: len(running.assigned) == 2)
    assert running.assigned[1] is not None
    assert running.assigned[1].unpack() == fresh
    assert time.monotonic() - begun < 1.0


def test_an_unchanged_assignment_is_confirmed_without_being_sent(master: Master, spool: Spool) -> None:
    running = Running(master, spool, version="v1")
    master.until(lambda: bool(running.assigned))
    assert running.assigned[0] is None
    running.close()


def test_stopping_does_not_wait_for_the_long_poll(master: Master, running: Running) -> None:
    master.until(lambda: bool(running.assigned))
    assert running.close() < 1.5


def test_the_last_rounds_are_delivered_after_the_threads_ended(master: Master, spool: Spool) -> None:
    put(spool, 0)
    running = Running(master, spool)
    master.until(lambda: running.uplink.link.uploads == 1)
    running.close()
    put(spool, 1)
    put(spool, 2)
    running.uplink.farewell(5.0)
    assert [r.sequence for u in master.uploads for r in u.records] == [1, 2, 3]
    spool.flush()
    assert spool.depth().rounds == 0


def test_the_last_rounds_do_not_wait_for_a_master_that_is_away(master: Master, spool: Spool) -> None:
    put(spool, 0)
    running = Running(master, spool)
    master.until(lambda: running.uplink.link.uploads == 1)
    running.close()
    put(spool, 1)
    master.answer = lambda path, body: (503, b"")
    begun = time.monotonic()
    running.uplink.farewell(1.0)
    assert time.monotonic() - begun < 2.5
    assert spool.depth().rounds >= 1


def test_a_range_without_an_answer_is_sent_again_identically(master: Master, spool: Spool) -> None:
    """The master stores it and breaks before it answers: what comes next is byte for byte the same range."""
    seen: list[bytes] = []

    def fail_twice(path: str, body: bytes) -> tuple[int, bytes] | None:
        if path != messages.ROUNDS:
            return None
        master.note(seen, body)
        return (503, messages.encode(ErrorReply("store", "not now"))) if len(seen) < 3 else None

    master.answer = fail_twice
    put(spool, 0)
    running = Running(master, spool)
    master.until(lambda: len(seen) >= 1)
    put(spool, 1)
    master.until(lambda: len(master.uploads) >= 2)
    running.close()
    assert seen[0] == seen[1] == seen[2]
    assert [[r.sequence for r in u.records] for u in master.uploads] == [[1], [2]]


def test_heartbeats_go_on_while_uploads_fail(master: Master, spool: Spool) -> None:
    master.answer = lambda path, body: (503, b"") if path == messages.ROUNDS else None
    put(spool, 0)
    running = Running(master, spool)
    master.until(lambda: len(master.beats) >= 4)
    assert set(running.uplink.link.troubles) == {"upload"}
    assert spool.depth().rounds == 1
    running.close()


def test_too_large_an_upload_is_cut_until_it_fits(master: Master, spool: Spool) -> None:
    def small_only(path: str, body: bytes) -> tuple[int, bytes] | None:
        too_large = path == messages.ROUNDS and len(messages.decode(Upload, body).records) > 2
        return (413, messages.encode(ErrorReply("too_large", "at most 2"))) if too_large else None

    master.answer = small_only
    for n in range(9):
        put(spool, n, pings=100)
    running = Running(master, spool)
    master.until(lambda: sum(len(upload.records) for upload in master.uploads) == 9)
    running.close()
    assert [r.sequence for u in master.uploads for r in u.records] == list(range(1, 10))


def test_one_record_no_master_can_read_does_not_block_the_others(master: Master, spool: Spool) -> None:
    def poison(path: str, body: bytes) -> tuple[int, bytes] | None:
        bad = path == messages.ROUNDS and any(r.sequence == 3 for r in messages.decode(Upload, body).records)
        return (400, messages.encode(ErrorReply("wire", "record 3: column rtts"))) if bad else None

    master.answer = poison
    for n in range(6):
        put(spool, n, 2)
    running = Running(master, spool)
    master.until(lambda: sum(len(upload.records) for upload in master.uploads) == 5)
    master.until(lambda: spool.flush() and spool.depth().rounds == 0)
    running.close()
    assert [r.sequence for u in master.uploads for r in u.records] == [1, 2, 4, 5, 6]
    assert spool.depth().dropped == 2


def test_a_proxys_limit_on_bodies_cuts_uploads_and_drops_nothing(master: Master, spool: Spool) -> None:
    """The 413 of a proxy is not signed: uploads become smaller, but no record is given up for it."""
    limit = 2500

    def small_only(path: str, body: bytes) -> tuple[int, bytes] | None:
        return (413, b"<html>too large</html>") if path == messages.ROUNDS and len(body) > limit else None

    master.answer, master.proxied = small_only, (413,)
    for n in range(9):
        put(spool, n, pings=200)
    put(spool, 9, pings=2000)
    running = Running(master, spool)
    master.until(lambda: [r.sequence for u in master.uploads for r in u.records] == list(range(1, 10)))
    master.until(lambda: "client_max_body_size" in running.uplink.link.troubles.get("upload", ""))
    spool.flush()
    assert (spool.depth().rounds, spool.depth().dropped) == (1, 0)
    limit = 1_000_000
    master.until(lambda: spool.flush() and spool.depth().rounds == 0)
    running.close()
    assert spool.depth().dropped == 0


def test_a_record_that_came_too_slowly_is_sent_again(master: Master, spool: Spool) -> None:
    seen: list[str] = []

    def slow(path: str, body: bytes) -> tuple[int, bytes] | None:
        if path != messages.ROUNDS:
            return None
        master.note(seen, path)
        return (413, messages.encode(ErrorReply("too_slow", "5 bytes in 30 s"))) if len(seen) < 4 else None

    master.answer = slow
    put(spool, 0)
    running = Running(master, spool)
    master.until(lambda: len(master.uploads) == 1)
    master.until(lambda: spool.flush() and spool.depth().rounds == 0)
    running.close()
    assert spool.depth().dropped == 0


def test_an_upload_and_the_largest_record_fit_through_an_ordinary_proxy(spool: Spool) -> None:
    """A million bytes is what nginx takes by default; RTTs of this test do not compress."""
    put(spool, 0, MOST_PINGS // 1000, pings=1000)
    for n in range(60):
        put(spool, 1000 + n, 10, pings=1000)
    while (upload := spool.next_upload("m", module.MOST_UPLOAD)) is not None:
        assert len(messages.encode(upload)) < 1_000_000
        spool.acknowledge("m", upload.epoch, upload.records[-1].sequence)


def test_a_proxys_error_page_drops_nothing(master: Master, spool: Spool) -> None:
    """400 and 413 are believed only when our master signed them."""
    master.signs = False
    master.answer = lambda path, body: (400, b"<html>bad gateway</html>")
    put(spool, 0)
    running = Running(master, spool)
    master.until(lambda: "upload" in running.uplink.link.troubles)
    assert "not from our master" in running.uplink.link.troubles["upload"]
    assert (spool.depth().rounds, spool.depth().dropped) == (1, 0)
    master.answer, master.signs = (lambda path, body: None), True
    master.until(lambda: len(master.uploads) == 1)
    running.close()


def test_an_answer_that_is_not_signed_acknowledges_nothing(master: Master, spool: Spool) -> None:
    master.signs = False
    put(spool, 0)
    running = Running(master, spool)
    master.until(lambda: len(master.uploads) >= 2)
    running.close()
    assert spool.depth().rounds == 1
    assert "the answer is not signed" in running.uplink.link.troubles["upload"]


def test_a_wrong_secret_says_what_to_do(master: Master) -> None:
    channel = Channel(master.url, Identity("boomer", b"another secret"), timeout=3.0)
    with pytest.raises(Refused, match="'boomer' is unknown here or signs with another secret; compare") as caught:
        channel.exchange("POST", messages.HEARTBEAT, b"x")
    assert caught.value.status == 401


def test_a_clock_that_is_off_is_named(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr("smokemesh.agent.channel.time.time", lambda: real() + (1000 if _in_agent() else 0))
    with pytest.raises(Refused, match=r"\d+ s ahead, .*; set both by NTP$"):
        ask(master).exchange("POST", messages.HEARTBEAT, b"x")


def _in_agent() -> bool:
    """The master's threads share this process and its patched clock, but are not the main thread."""
    return threading.current_thread() is threading.main_thread()


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    path = folder / "master.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return path


def test_over_tls_only_a_master_we_trust_is_spoken_to(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path)
    master = Master(certificate=str(certificate))
    assert master.url.startswith("https:")
    trusting = ask(master, ca_file=str(certificate))
    assert trusting.exchange("GET", messages.ASSIGNMENT).status == 200
    trusting.close()
    with pytest.raises(MasterError, match="the certificate of 127.0.0.1:.* is not trusted .*; set ca_file"):
        ask(master).exchange("GET", messages.ASSIGNMENT)
    with pytest.raises(MasterError, match="no_such_file"):
        ask(master, ca_file=str(tmp_path / "no_such_file")).exchange("GET", messages.ASSIGNMENT)
    master.close()


def test_no_master_is_one_line(master: Master) -> None:
    master.close()
    with pytest.raises(MasterError, match=r"^http://127.0.0.1:\d+: cannot connect to 127.0.0.1:\d+; is the master"):
        ask(master).exchange("GET", messages.ASSIGNMENT)


def test_an_answer_changed_on_the_way_is_refused(master: Master) -> None:
    channel, sign = ask(master), sign_response

    def tamper(status: int, body: bytes, **rest: Any) -> dict[str, str]:
        return sign(status, body + b"x", **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "sign_response", tamper)
        with pytest.raises(AuthError, match="changed on the way"):
            channel.exchange("GET", messages.ASSIGNMENT)


def test_retry_after_is_honoured(master: Master) -> None:
    master.headers = {"Retry-After": "7"}
    master.answer = lambda path, body: (503, messages.encode(ErrorReply("store", "busy")))
    with pytest.raises(Refused, match="busy") as caught:
        ask(master).exchange("GET", messages.ASSIGNMENT)
    assert (caught.value.status, caught.value.retry_after) == (503, 7.0)


def test_waits_grow_with_full_jitter_and_begin_anew() -> None:
    waits = [Backoff(0.5, 30.0) for _ in range(200)]
    tenth = [[backoff.failure() for _ in range(10)][-1] for backoff in waits]
    assert max(tenth) <= 30.0
    assert min(tenth) < 6.0
    assert 10.0 < sum(tenth) / len(tenth) < 20.0
    waits[0].success()
    assert waits[0].failure() <= 0.5
    assert 15.0 <= waits[0].failure(15.0) <= 30.0


def test_a_master_that_answers_one_thread_is_asked_by_the_others_at_once(
    master: Master, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "failure", lambda *_: 1000.0)
    stop, given = threading.Event(), threading.Event()
    away = [True]

    class Line(Channel):
        def exchange(self, *args: Any, **more: Any) -> Any:
            if away[0]:
                raise MasterError("cannot connect")
            return super().exchange(*args, **more)

    uplink = Uplink(
        lambda stop: Line(master.url, Identity("boomer", SECRET), timeout=3.0, stop=stop),
        spool, "m", health, lambda _: given.set(),
    )  # fmt: skip
    thread = threading.Thread(target=uplink.watch, args=(stop,), daemon=True)
    thread.start()
    master.until(lambda: "assignment" in uplink.link.troubles)
    away[0] = False
    assert not given.wait(0.2)
    uplink.link.answered_at = time.monotonic()  # as the thread of the heartbeats does
    assert given.wait(5.0)
    stop.set()
    thread.join(5.0)
