"""The agent API as agents meet it: the real application under uvicorn on loopback, real databases below it."""

import asyncio
import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smokemesh.master.app import Server
from smokemesh.master.premises import listen
from smokemesh.master.quiet import MOST_COMPLAINTS, Quiet
from smokemesh.master.state import MOST_UPLOADS, Master, open_master
from smokemesh.model.agent import Health
from smokemesh.model.assignment import Assignment, task_id
from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import SeriesQuestion
from smokemesh.settings.disk import list_yaml, read_text
from smokemesh.settings.master import load_master
from smokemesh.settings.shape import MasterSettings
from smokemesh.wire import messages
from smokemesh.wire.columns import pack
from smokemesh.wire.messages import (
    ErrorReply,
    Heartbeat,
    HeartbeatReply,
    Record,
    Upload,
    UploadReply,
    decode,
    encode,
)
from smokemesh.wire.signing import sign_request, verify_response

SECRET = b"correct-horse-battery"
SECOND = 10**9
CONFIG = """\
agents:
  boomer: {secret_file: secret}
  other: {secret_file: secret}
  silent: {}
targets:
  x: {host: 127.0.0.1, agents: [boomer]}
"""
HEALTH = Health(
    version="1", clock=1, uptime=2.0, cpu=0.1, rss=3, assignment="v", tasks=4, pings_per_second=5.0, rounds=6,
    overruns=0, own_drops=0, limited=0, spool_rounds=7, spool_bytes=0, spool_oldest=0, spool_dropped=0,
)  # fmt: skip


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Running:
    """A master that serves in a thread of its own."""

    folder: Path
    master: Master
    port: int
    nonces: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def sign(
        self, method: str, path: str, body: bytes = b"", *, name: str = "boomer", secret: bytes = SECRET, skew: int = 0,
        **more: str,
    ) -> dict[str, str]:  # fmt: skip
        created, nonce = int(time.time()) + skew, f"{os.getpid()}-{next(self.nonces)}"
        return sign_request(method, path, body, key_id=name, secret=secret, created=created, nonce=nonce, **more)

    def call(self, method: str, path: str, message: Any = None, prefer: str = "", **more: Any) -> Reply:
        """A signed request whose answer must be signed too."""
        body = encode(message) if message is not None else b""
        headers = self.sign(method, path, body, **more) | ({"Prefer": prefer} if prefer else {})
        reply = self.ask(method, path, body, headers)
        name = more.get("name", "boomer")
        verify_response(
            reply.status, reply.headers, reply.body,
            request_signature=headers["Signature"], key_id=name, secret=SECRET,
        )  # fmt: skip
        return reply

    def write(self, config: str) -> None:
        (self.folder / "smokemesh.yaml").write_text(config)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("master")
    secret = folder / "secret"
    secret.write_bytes(SECRET + b"\n")
    secret.chmod(0o600)
    (folder / "smokemesh.yaml").write_text(CONFIG)

    def load() -> MasterSettings:
        return load_master(str(folder / "smokemesh.yaml"), read_text, list_yaml)

    master = open_master(load(), str(folder / "data"), load)
    with listen("127.0.0.1", 0) as listener:
        server = Server(master)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        yield Running(folder, master, listener.getsockname()[1])
        server.leave()
        thread.join(10)
    assert not thread.is_alive()
    master.close()


@pytest.fixture(autouse=True)
def first_configuration(running: Running) -> Iterator[None]:
    yield
    if (running.folder / "smokemesh.yaml").read_text() != CONFIG:
        running.write(CONFIG)
        assert running.ask("POST", "/-/reload").status == 200


def test_complaints_are_logged_once_a_minute() -> None:
    quiet = Quiet()
    assert [quiet.speak(("peer", "?", "auth"), now) for now in (0.0, 59.0, 60.0, 61.0)] == [True, False, True, False]
    assert quiet.speak(("another", "?", "auth"), 61.0)
    for number in range(2 * MOST_COMPLAINTS):
        quiet.speak((str(number),), 62.0)
    assert not quiet.speak(("one more",), 63.0)
    assert quiet.speak(("one more",), 200.0)


def upload(first: int = 1, epoch: str = "e1", rounds: int = 2) -> Upload:
    now = time.time_ns()
    batch = RoundBatch.from_columns(
        rounds,
        {
            "task": [task_id("/x", "ping")] * rounds,
            "time": [now - (i + 1) * SECOND for i in range(rounds)],
            "step": [60.0] * rounds,
            "sent": [1] * rounds,
            "received": [1] * rounds,
            "rtts": [0.001] * rounds,
        },
    )
    return Upload(epoch=epoch, records=(Record(sequence=first, rounds=pack(batch)),))


def stored(running: Running, agent: str = "boomer") -> int:
    question = SeriesQuestion(
        task=task_id("/x", "ping"), agent=agent, begin=time.time_ns() - 3600 * SECOND, end=time.time_ns()
    )
    return len(running.master.store.rounds(question))


class TestRounds:
    def test_stored_once_however_often_they_come(self, running: Running) -> None:
        before, message = stored(running), upload(epoch="once")
        first = decode(UploadReply, running.call("POST", messages.ROUNDS, message).body)
        again = decode(UploadReply, running.call("POST", messages.ROUNDS, message).body)
        assert (first.stored, first.duplicate, first.refused) == (1, False, 0)
        assert (again.stored, again.duplicate) == (1, True)
        assert stored(running) == before + 2

    def test_a_body_that_is_no_upload(self, running: Running) -> None:
        reply = running.call("POST", messages.ROUNDS, {"epoch": 5})
        assert reply.status == 400
        assert decode(ErrorReply, reply.body).code == "wire"

    def test_a_body_as_long_as_allowed_is_read(self, running: Running) -> None:
        records = (Record(sequence=1, rounds=bytes(messages.MOST_BODY - 100)),)
        reply = running.call("POST", messages.ROUNDS, Upload(epoch="long", records=records))
        assert (reply.status, decode(ErrorReply, reply.body).code) == (400, "wire")

    def test_a_body_too_long_is_refused_before_it_is_read(self, running: Running) -> None:
        headers = running.sign("POST", messages.ROUNDS, b"")
        headers["Content-Length"] = str(messages.MOST_BODY + 1)
        reply = running.ask("POST", messages.ROUNDS, b"", headers)
        assert reply.status == 413
        assert decode(ErrorReply, reply.body).code == "too_large"

    def test_a_body_too_long_for_a_heartbeat_in_pieces(self, running: Running) -> None:
        body = bytes(100_000)
        headers = running.sign("POST", messages.HEARTBEAT, body) | {"Transfer-Encoding": "chunked"}
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        connection.request(
            "POST", messages.HEARTBEAT, iter([body[:50_000], body[50_000:]]), headers, encode_chunked=True
        )
        assert connection.getresponse().status == 413
        connection.close()


class TestWhoAsks:
    def refused(self, running: Running, headers: dict[str, str], body: bytes = b"", status: int = 401) -> str:
        reply = running.ask("POST", messages.HEARTBEAT, body, headers)
        assert reply.status == status
        return decode(ErrorReply, reply.body).message

    def test_nobody(self, running: Running) -> None:
        assert self.refused(running, {}) == "the request is not signed"
        for method, path in (("GET", messages.ASSIGNMENT), ("POST", messages.ROUNDS)):
            reply = running.ask(method, path)
            assert reply.status == 401
            assert "signature" not in reply.headers

    def test_unknown_names_and_wrong_secrets_are_answered_alike(self, running: Running) -> None:
        body = encode(Heartbeat(health=HEALTH))
        unknown = self.refused(running, running.sign("POST", messages.HEARTBEAT, body, name="nobody"), body)
        wrong = self.refused(running, running.sign("POST", messages.HEARTBEAT, body, secret=b"guessed"), body)
        without = self.refused(running, running.sign("POST", messages.HEARTBEAT, body, name="silent"), body)
        assert unknown.replace("nobody", "boomer") == wrong == without.replace("silent", "boomer")
        assert "unknown here or signs with another secret" in wrong

    def test_every_refused_agent_is_named_in_the_log(self, running: Running, caplog: pytest.LogCaptureFixture) -> None:
        body = encode(Heartbeat(health=HEALTH))
        for name in ("first-stranger", "second-stranger"):
            self.refused(running, running.sign("POST", messages.HEARTBEAT, body, name=name), body)
        assert "agent=first-stranger?" in caplog.text
        assert "agent=second-stranger?" in caplog.text

    def test_a_page_of_another_site_cannot_reload(self, running: Running) -> None:
        refused = running.ask("POST", "/-/reload", headers={"Origin": "http://evil.example"})
        assert refused.status == 401
        assert b"http://evil.example asked for it" in refused.body
        assert running.ask("POST", "/-/reload").status == 200

    def test_another_body(self, running: Running) -> None:
        headers = running.sign("POST", messages.HEARTBEAT, b"one")
        assert "changed on the way" in self.refused(running, headers, b"two")

    def test_another_route(self, running: Running) -> None:
        assert "another secret" in self.refused(running, running.sign("POST", messages.ROUNDS, b"one"), b"one")

    @pytest.mark.parametrize(("skew", "word"), [(1000, "ahead"), (-1000, "behind")])
    def test_a_clock_too_far_off(self, running: Running, skew: int, word: str) -> None:
        reply = running.call("POST", messages.HEARTBEAT, Heartbeat(health=HEALTH), skew=skew)
        assert reply.status == 401
        message = decode(ErrorReply, reply.body).message
        assert "the clock of agent 'boomer' shows" in message
        assert word in message

    def test_a_replay(self, running: Running) -> None:
        body = encode(upload(epoch="replay"))
        headers, before = running.sign("POST", messages.ROUNDS, body), stored(running)
        assert running.ask("POST", messages.ROUNDS, body, headers).status == 200
        reply = running.ask("POST", messages.ROUNDS, body, headers)
        assert reply.status == 401
        assert "a replay" in decode(ErrorReply, reply.body).message
        assert stored(running) == before + 2

    def test_refusals_are_counted(self, running: Running) -> None:
        running.ask("POST", messages.HEARTBEAT)
        assert 'smokemesh_requests_refused_total{code="auth"}' in running.ask("GET", "/metrics").body.decode()


class TestAssignment:
    def version(self, running: Running, name: str = "boomer") -> str:
        return decode(Assignment, running.call("GET", messages.ASSIGNMENT, name=name).body).version

    def test_given_with_its_version(self, running: Running) -> None:
        reply = running.call("GET", messages.ASSIGNMENT)
        found = decode(Assignment, reply.body)
        assert [task.target for task in found.tasks] == ["/x"]
        assert reply.headers["etag"] == f'"{found.version}"'

    def test_not_given_again(self, running: Running) -> None:
        reply = running.call("GET", messages.ASSIGNMENT, if_none_match=f'"{self.version(running)}"')
        assert (reply.status, reply.body) == (304, b"")

    def test_waited_for_in_vain(self, running: Running) -> None:
        begin = time.monotonic()
        known = f'"{self.version(running)}"'
        assert running.call("GET", messages.ASSIGNMENT, if_none_match=known, prefer="wait=1").status == 304
        assert 0.9 < time.monotonic() - begin < 5

    def test_a_change_arrives_within_a_second_and_only_where_it_matters(self, running: Running) -> None:
        waits: dict[str, tuple[int, float]] = {}

        def wait(name: str, known: str, patience: int) -> None:
            reply = running.call(
                "GET", messages.ASSIGNMENT, name=name, if_none_match=f'"{known}"', prefer=f"wait={patience}"
            )
            waits[name] = (reply.status, time.monotonic())

        threads = [
            threading.Thread(target=wait, args=("boomer", self.version(running), 30)),
            threading.Thread(target=wait, args=("other", self.version(running, "other"), 1)),
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(running.master.assignments._changed) == 2)
        running.write(CONFIG + "  y: {host: 127.0.0.2, agents: [boomer]}\n")
        begin = time.monotonic()
        reply = running.ask("POST", "/-/reload")
        assert json.loads(reply.body) == {"targets": 2, "agents_changed": ["boomer"]}
        for thread in threads:
            thread.join()
        assert waits["boomer"][0] == 200
        assert waits["boomer"][1] - begin < 1.0
        assert waits["other"][0] == 304


class TestHeartbeat:
    def test_kept_and_answered_with_clock_and_version(self, running: Running) -> None:
        reply = decode(HeartbeatReply, running.call("POST", messages.HEARTBEAT, Heartbeat(health=HEALTH)).body)
        assert abs(reply.clock - time.time_ns()) < 5 * SECOND
        assert reply.assignment == running.master.assignments.get("boomer").version
        assert running.master.agents_seen()["boomer"].health == HEALTH
        (known,) = [agent for agent in running.master.catalogue.agents() if agent.name == "boomer"]
        assert (known.health, known.address) == (HEALTH, "127.0.0.1")
        text = running.ask("GET", "/metrics").body.decode()
        assert 'smokemesh_agent_up{agent="boomer"} 1.0' in text
        assert 'smokemesh_agent_spool_rounds{agent="boomer"} 7.0' in text

    def test_it_does_not_wait_for_slow_uploads(self, running: Running) -> None:
        slow = []
        try:
            for _ in range(MOST_UPLOADS + 1):
                connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
                connection.putrequest("POST", messages.ROUNDS)
                for name, value in running.sign("POST", messages.ROUNDS, b"").items():
                    connection.putheader(name, value)
                connection.putheader("Content-Length", "5")
                connection.endheaders()
                slow.append(connection)
            wait_until(running.master.upload_places.locked)
            assert running.call("POST", messages.HEARTBEAT, Heartbeat(health=HEALTH)).status == 200
        finally:
            for connection in slow:
                connection.close()
        wait_until(lambda: not running.master.upload_places.locked())


class TestReload:
    @pytest.mark.parametrize(
        ("config", "status", "code", "message"),
        [
            ("targets: {x: {hots: 127.0.0.1}}\n", 400, "config", "smokemesh.yaml:1: "),
            ("agents: {boomer: {secret_file: nowhere}}\n", 500, "host", "nowhere: No such file"),
        ],
    )
    def test_a_mistake_changes_nothing_and_is_shown(
        self, running: Running, config: str, status: int, code: str, message: str
    ) -> None:
        before = running.master.settings
        running.write(config)
        reply = running.ask("POST", "/-/reload")
        found = json.loads(reply.body)
        assert (reply.status, found["code"]) == (status, code)
        assert message in found["message"]
        assert running.master.settings is before
        assert running.master.reload_error == found["message"]
        assert "smokemesh_config_last_reload_successful 0.0" in running.ask("GET", "/metrics").body.decode()
        running.write(CONFIG)
        assert running.ask("POST", "/-/reload").status == 200
        assert running.master.reload_error == ""
        assert "smokemesh_config_last_reload_successful 1.0" in running.ask("GET", "/metrics").body.decode()

    def test_a_secret_that_others_can_read(self, running: Running) -> None:
        secret = running.folder / "secret"
        secret.chmod(0o644)
        try:
            reply = running.ask("POST", "/-/reload")
            assert reply.status == 500
            assert f"chmod 600 {secret}" in json.loads(reply.body)["message"]
            assert running.call("GET", messages.ASSIGNMENT).status == 200, "the old secrets stay in force"
        finally:
            secret.chmod(0o600)
            running.ask("POST", "/-/reload")

    def test_an_agent_that_is_taken_out_is_unknown_at_once(self, running: Running) -> None:
        running.write(CONFIG.replace("  other: {secret_file: secret}\n", ""))
        assert running.ask("POST", "/-/reload").status == 200
        assert (
            running.ask(
                "GET", messages.ASSIGNMENT, headers=running.sign("GET", messages.ASSIGNMENT, name="other")
            ).status
            == 401
        )

    def test_an_agent_taken_out_while_it_waits_is_told_so_in_words_it_believes(self, running: Running) -> None:
        """`call` checks the signature: an agent that did not believe it would go on measuring."""
        known = decode(Assignment, running.call("GET", messages.ASSIGNMENT, name="other").body).version
        found: list[Assignment] = []

        def wait() -> None:
            reply = running.call("GET", messages.ASSIGNMENT, name="other", if_none_match=f'"{known}"', prefer="wait=20")
            found.append(decode(Assignment, reply.body))

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: "other" in running.master.assignments._changed)
        running.write(CONFIG.replace("  other: {secret_file: secret}\n", ""))
        assert running.ask("POST", "/-/reload").status == 200
        thread.join(20)
        assert [assignment.tasks for assignment in found] == [()]


class TestOperations:
    def test_healthy_and_ready(self, running: Running) -> None:
        assert running.ask("GET", "/-/healthy").body == b"healthy\n"
        reply = running.ask("GET", "/-/ready")
        assert (reply.status, json.loads(reply.body)) == (200, {"ready": True, "problem": ""})

    def test_metrics_of_a_target(self, running: Running) -> None:
        running.call("POST", messages.ROUNDS, upload(epoch="metrics"))
        text = running.ask("GET", "/metrics").body.decode()
        assert 'smokemesh_loss_ratio{agent="boomer",target="/x",probe="ping",address=""} 0.0' in text
        assert 'smokemesh_store_rows{level="raw"}' in text

    def test_the_description_is_openapi_and_needs_nothing_from_elsewhere(self, running: Running) -> None:
        found = json.loads(running.ask("GET", "/schema/openapi.json").body)
        assert found["openapi"].startswith("3.1")
        assert "/-/reload" in found["paths"]
        assert not any(path.startswith("/api/agent") for path in found["paths"])

    def test_what_is_not_there(self, running: Running) -> None:
        reply = running.ask("GET", "/api/nothing")
        assert (reply.status, json.loads(reply.body)["code"]) == (404, "not_found")
        assert running.ask("GET", "/nothing", headers={"Accept": "text/html"}).body.lstrip().startswith(b"<!")

    @pytest.mark.parametrize("path", ["/", "/-/healthy", "/api/v1/tree"])
    def test_head_is_answered_as_get_without_a_body(self, running: Running, path: str) -> None:
        full, head = running.ask("GET", path), running.ask("HEAD", path)
        assert (full.status, head.status, head.body) == (200, 200, b"")
        assert head.headers["content-type"] == full.headers["content-type"]
        assert full.body

    def test_pages_may_load_only_what_they_come_with(self, running: Running) -> None:
        headers = running.ask("GET", "/-/healthy").headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers


def wait_until(true: Any, seconds: float = 10.0) -> None:
    """Look again and again, so that no test waits longer than it must."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.01)
