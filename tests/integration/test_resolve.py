"""Names against a real name server on loopback: time to live, failures, rotation, /etc/hosts; nobody ever waits."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from smokemesh.probes import resolve
from smokemesh.probes.resolve import BAD_NAME, NO_ADDRESS, NO_ANSWER, NXDOMAIN, SERVFAIL, Answer, Resolver, parse_hosts

DEADLINE = 15.0


@dataclass
class NameServer:
    """Answers from `records`: (name, type) -> texts. A name that is in none of them does not exist."""

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    ttl: int = 300
    silent: bool = False
    broken: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            data, peer = self.socket.recvfrom(4096)
            if data == b"stop":
                return
            query = dns.message.from_wire(data)
            question = query.question[0]
            name, kind = question.name.to_text().rstrip("."), dns.rdatatype.to_text(question.rdtype)
            self.asked.append((name, kind))
            if not self.silent:
                self.socket.sendto(self._answer(query, name, kind).to_wire(), peer)

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif all(known != name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif texts := self.records.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", kind, *texts))
        return answer

    def close(self) -> None:
        self.socket.sendto(b"stop", self.socket.getsockname())
        self.thread.join(5)
        self.socket.close()


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules in less time."""
    for name, seconds in {"LEAST_TTL": 0.1, "LEAST_RETRY": 0.1, "LIFETIME": 1.0, "HOSTS_INTERVAL": 0.1}.items():
        monkeypatch.setattr(resolve, name, seconds)


class Running:
    """A resolver at work, and how often it told of a change."""

    def __init__(self, folder: Path, server: NameServer, hosts: str = "127.0.0.1 localhost\n") -> None:
        self.hosts = folder / "hosts"
        self.hosts.write_text(hosts)
        conf = folder / "resolv.conf"
        conf.write_text("nameserver 127.0.0.1\n")
        self.changes = threading.Semaphore(0)
        self.resolver = Resolver(self.changes.release, resolv_conf=conf, hosts=self.hosts, port=server.port)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.resolver.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def until(self, good: Callable[[Answer], bool], name: str, family: str = "auto") -> Answer:
        """The answer once it is as wanted, asked again at each change."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            answer = self.resolver.lookup(name, family)
            if answer is not None and good(answer):
                return answer
            self.changes.acquire(timeout=0.5)
        raise AssertionError(f"{name}: {answer}")

    def close(self) -> None:
        self.stop.set()
        self.resolver.wake()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def running(tmp_path: Path, server: NameServer) -> Iterator[Running]:
    made = Running(tmp_path, server)
    yield made
    made.close()


def any_answer(_: Answer) -> bool:
    return True


def test_literals_and_hosts_entries_are_answered_at_once_without_a_server(running: Running, server: NameServer) -> None:
    lookup = running.resolver.lookup
    running.resolver.watch([("192.0.2.1", "auto"), ("localhost", "auto")])
    assert lookup("192.0.2.1", "auto") == Answer(("192.0.2.1",))
    assert lookup("2001:DB8::0:1", "6") == Answer(("2001:db8::1",))
    assert lookup("localhost", "auto") == Answer(("127.0.0.1",))
    assert lookup("192.0.2.1", "6") == Answer(error="192.0.2.1 is no IPv6 address", error_code=NO_ADDRESS)
    assert server.asked == []


def test_a_name_is_looked_up_in_the_background(running: Running, server: NameServer) -> None:
    server.records = {("www.example", "A"): ["192.0.2.1"], ("www.example", "AAAA"): ["2001:db8::1"]}
    running.resolver.watch([("www.example", family) for family in ("auto", "4", "6")])
    assert running.resolver.lookup("www.example", "auto") is None
    assert running.until(any_answer, "www.example").addresses == ("192.0.2.1", "2001:db8::1")
    assert running.until(any_answer, "www.example", "4").addresses == ("192.0.2.1",)
    assert running.until(any_answer, "www.example", "6").addresses == ("2001:db8::1",)


def test_a_name_is_asked_again_when_its_time_to_live_is_over(running: Running, server: NameServer) -> None:
    server.records, server.ttl = {("www.example", "A"): ["192.0.2.1"]}, 0
    running.resolver.watch([("www.example", "4")])
    running.until(any_answer, "www.example", "4")
    server.records = {("www.example", "A"): ["192.0.2.2"]}
    running.until(lambda answer: answer.addresses == ("192.0.2.2",), "www.example", "4")


def test_a_long_time_to_live_spares_the_server(running: Running, server: NameServer) -> None:
    server.records = {("www.example", "A"): ["192.0.2.1"], ("other.example", "A"): ["192.0.2.2"]}
    running.resolver.watch([("www.example", "4")])
    running.until(any_answer, "www.example", "4")
    running.resolver.watch([("www.example", "4"), ("other.example", "4")])
    running.until(any_answer, "other.example", "4")
    assert server.asked.count(("www.example", "A")) == 1


def test_a_name_that_does_not_exist_is_an_error_and_is_asked_ever_less(running: Running, server: NameServer) -> None:
    running.resolver.watch([("gone.example", "auto")])
    answer = running.until(any_answer, "gone.example")
    assert answer == Answer(error="gone.example does not exist (NXDOMAIN)", error_code=NXDOMAIN)
    assert server.asked == [("gone.example", "A")], "NXDOMAIN holds for every kind of address"
    server.records = {("gone.example", "A"): ["192.0.2.7"]}
    assert running.until(lambda a: not a.error, "gone.example").addresses == ("192.0.2.7",)


def test_the_last_good_address_is_kept_while_the_server_is_silent(running: Running, server: NameServer) -> None:
    server.records, server.ttl = {("www.example", "A"): ["192.0.2.1"]}, 0
    running.resolver.watch([("www.example", "4")])
    running.until(any_answer, "www.example", "4")
    server.silent = True
    answer = running.until(lambda a: bool(a.error), "www.example", "4")
    assert (answer.addresses, answer.error_code) == (("192.0.2.1",), NO_ANSWER)
    assert answer.error == "www.example: no name server answered within 1 s"
    server.silent = False
    assert running.until(lambda a: not a.error, "www.example", "4").addresses == ("192.0.2.1",)


def test_a_server_that_fails_is_told_apart(running: Running, server: NameServer) -> None:
    server.broken = True
    running.resolver.watch([("www.example", "4")])
    assert running.until(any_answer, "www.example", "4").error_code in (SERVFAIL, NO_ANSWER)


def test_a_name_without_an_address_of_the_family_says_so(running: Running, server: NameServer) -> None:
    server.records = {("www.example", "A"): ["192.0.2.1"]}
    running.resolver.watch([("www.example", "6")])
    answer = running.until(any_answer, "www.example", "6")
    assert answer == Answer(error="www.example has no IPv6 address", error_code=NO_ADDRESS)


def test_what_is_no_name_is_an_error_of_its_own(running: Running) -> None:
    running.resolver.watch([("a" * 64 + ".example", "4"), ("two..dots", "4")])
    assert running.until(any_answer, "a" * 64 + ".example", "4").error_code == BAD_NAME
    assert running.until(any_answer, "two..dots", "4").error_code == BAD_NAME


def test_the_first_address_stays_the_first_while_the_server_rotates(running: Running, server: NameServer) -> None:
    server.records, server.ttl = {("www.example", "A"): ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}, 0
    running.resolver.watch([("www.example", "4")])
    first = running.until(any_answer, "www.example", "4").addresses
    asked = len(server.asked)
    server.records = {("www.example", "A"): [first[2], first[1], "192.0.2.9", first[0]]}
    answer = running.until(lambda a: "192.0.2.9" in a.addresses, "www.example", "4")
    assert answer.addresses == (*first, "192.0.2.9")
    assert len(server.asked) > asked


def test_one_silent_name_does_not_hold_up_the_others(running: Running, server: NameServer) -> None:
    server.records = {(f"n{i}.example", "A"): [f"192.0.2.{i}"] for i in range(50)}
    running.resolver.watch([(f"n{i}.example", "4") for i in range(50)])
    for i in range(50):
        assert running.until(any_answer, f"n{i}.example", "4").addresses == (f"192.0.2.{i}",)


def test_names_no_longer_measured_are_forgotten(running: Running, server: NameServer) -> None:
    server.records = {("www.example", "A"): ["192.0.2.1"]}
    running.resolver.watch([("www.example", "4")])
    running.until(any_answer, "www.example", "4")
    running.resolver.watch([])
    assert running.resolver.lookup("www.example", "4") is None


def test_the_hosts_file_is_read_again_when_it_changes(running: Running, server: NameServer) -> None:
    server.records = {("rack29.example", "A"): ["192.0.2.1"]}
    running.resolver.watch([("rack29.example", "auto")])
    assert running.until(any_answer, "rack29.example").addresses == ("192.0.2.1",)
    running.hosts.write_text("198.51.100.29 Rack29.example rack29\n2001:db8::29 rack29.example\n")
    running.until(lambda a: a.addresses == ("198.51.100.29", "2001:db8::29"), "rack29.example")
    running.hosts.unlink()
    running.until(lambda a: a.addresses == ("192.0.2.1",), "rack29.example")


def test_without_any_server_every_name_is_an_error_and_nothing_ends(tmp_path: Path) -> None:
    resolver = Resolver(lambda: None, resolv_conf=tmp_path / "none", hosts=tmp_path / "none")
    resolver._prepare()
    answer, _ = resolver._ask("www.example", "4")
    assert answer.error == f"www.example is not looked up: {tmp_path}/none names no server"


LIGHT = """
import sys, threading
from pathlib import Path
from smokemesh.cli.agent import _travel_light
_travel_light()
from smokemesh.probes.resolve import Resolver
changed = threading.Event()
resolver = Resolver(changed.set, resolv_conf=Path(sys.argv[1]), hosts=Path("/nonexistent"), port=int(sys.argv[2]))
resolver.watch([("www.example", "4")])
threading.Thread(target=resolver.run, args=(threading.Event(),), daemon=True).start()
changed.wait(10)
print(resolver.lookup("www.example", "4"), "_ssl" in sys.modules)
"""


def test_names_resolve_in_an_agent_without_openssl(tmp_path: Path, server: NameServer) -> None:
    server.records = {("www.example", "A"): ["192.0.2.1"]}
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\n")
    argv = [sys.executable, "-c", LIGHT, str(conf), str(server.port)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "Answer(addresses=('192.0.2.1',), error='', error_code=0) False\n", done.stderr


def test_hosts_lines() -> None:
    found = parse_hosts(
        "127.0.0.1\tlocalhost  Local # comment\n\n#all comment\n::1 localhost\nnot.an.address name\n192.0.2.1\n"
        "127.0.0.1 localhost\n"
    )
    assert found == {"localhost": ("127.0.0.1", "::1"), "local": ("127.0.0.1",)}
