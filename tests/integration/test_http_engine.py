"""The HTTP engine against real servers on loopback: slow, hanging, rude, redirecting, with certificates of their own."""

import errno
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pycurl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smokemesh.model.options import HttpOptions, write
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ANSWER, ERROR_CURL, ERROR_ERRNO, Flag, RoundBatch
from smokemesh.probes import http as module
from smokemesh.probes import loop
from smokemesh.probes.engine import Engine, RoundRequest
from smokemesh.probes.table import make_engine

NAME = "made-up.example"


class Handler(BaseHTTPRequestHandler):
    """What each path does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go out in two writes
    server: "Server"

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.path, dict(self.headers.items()), self.client_address[1]))
        match self.path.strip("/").split("/"):
            case ["status", number]:
                self.say(b"so it is", int(number))
            case ["slow", milliseconds]:
                server.over.wait(int(milliseconds) / 1000)
                self.say(b"at last")
            case ["hang"]:
                server.over.wait(30)
            case ["rude"]:
                self.close_connection = True
            case ["short"]:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"not all of it")
                self.close_connection = True
            case ["endless"]:
                self.endless()
            case ["redirect", *rest]:
                server.over.wait(0.05)
                self.say(b"elsewhere", 302, location=server.elsewhere or "/" + "/".join(rest))
            case _:
                self.say(b"hello, this is the page")

    def endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        block = bytes(2**20)
        for _ in range(64):
            try:
                self.wfile.write(block)
            except OSError:
                return

    def say(self, body: bytes, status: int = 200, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server in its threads, and what it was asked."""

    request_queue_size = 1024
    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), Handler)
        self.asked: list[tuple[str, dict[str, str], int]] = []
        self.over = threading.Event()
        self.elsewhere = ""
        self.tls = tls
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def get_request(self) -> tuple[socket.socket, object]:
        request, client = super().get_request()
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, client

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that go away are part of the test

    def stop(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()
        self.thread.join(5)


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests share their machine: pings it held up are counted here, not left out, and times have a lower bound only."""
    monkeypatch.setattr(loop, "STALL", 60.0)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = make_engine("http")
    yield made
    made.close()


def probe(options: HttpOptions, **changed: object) -> Probe:
    values: dict[str, object] = {"name": "h", "pings": 3, "interval": 0.02, "timeout": 2.0} | changed
    return Probe(kind="http", options=write(options), **values)  # type: ignore[arg-type]


def measure(engine: Engine, asked: Probe, host: str = NAME, address: str = "127.0.0.1", count: int = 1) -> RoundBatch:
    at = time.monotonic() + 0.01
    engine.start([RoundRequest(n, n, at + (n - 1) * 0.5 / count, address, asked, host) for n in range(1, count + 1)])
    engine.run(time.monotonic() + 20)
    assert engine.busy == 0
    return engine.take()


def url(server: Server, path: str = "", scheme: str = "http") -> str:
    return f"{scheme}://{{host}}:{server.server_port}/{path}"


def test_each_ping_is_a_new_connection_to_the_address_that_was_resolved(engine: Engine, server: Server) -> None:
    batch = measure(
        engine, probe(HttpOptions(url=url(server, "page?x=1"), agent="probe/9", headers="X-One: 1\nX-Two: 2"))
    )
    assert (batch.sent[0], batch.received[0], batch.error[0]) == (3, 3, 0)
    assert 0 < batch.rtts.min() < 0.2
    assert [path for path, _, _ in server.asked] == ["/page?x=1"] * 3
    assert len({port for _, _, port in server.asked}) == 3
    headers = server.asked[0][1]
    assert headers["Host"] == f"{NAME}:{server.server_port}"
    assert (headers["User-Agent"], headers["X-One"], headers["X-Two"]) == ("probe/9", "1", "2")
    assert engine.describe().startswith("http=libcurl/")


def test_smokepings_own_placeholder_and_ipv6(engine: Engine) -> None:
    server = Server(address="::1")
    try:
        batch = measure(
            engine, probe(HttpOptions(url=f"http://%host%:{server.server_port}/")), host="::1", address="::1"
        )
        assert batch.received[0] == 3
        assert server.asked[0][1]["Host"] == f"[::1]:{server.server_port}"
    finally:
        server.stop()


def test_the_servers_slowness_is_the_rtt_and_pings_run_beside_one_another(engine: Engine, server: Server) -> None:
    begun = time.monotonic()
    batch = measure(engine, probe(HttpOptions(url=url(server, "slow/300")), pings=6))
    assert time.monotonic() - begun < 1.5  # one after the other: 1.6
    assert batch.received[0] == 6
    assert 0.299 < batch.rtts.min() < 0.4


def test_late_is_received_and_never_is_lost(engine: Engine, server: Server) -> None:
    late = measure(engine, probe(HttpOptions(url=url(server, "slow/300")), timeout=0.25))
    assert (late.received[0], late.late[0]) == (3, 3)
    begun = time.monotonic()
    never = measure(engine, probe(HttpOptions(url=url(server, "hang")), timeout=0.2))
    assert time.monotonic() - begun < 2
    assert (never.sent[0], never.received[0], never.errors[0]) == (3, 0, 0)


def test_several_urls_add_up(engine: Engine, server: Server) -> None:
    both = f"{url(server, 'slow/100')} {url(server, 'slow/150')}"
    batch = measure(engine, probe(HttpOptions(url=both)))
    assert 0.249 < batch.rtts.min() < 0.35
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("path", "options", "error"),
    [
        ("rude", {}, ERROR_CURL + pycurl.E_GOT_NOTHING),
        ("short", {}, ERROR_CURL + pycurl.E_PARTIAL_FILE),
        ("endless", {}, ERROR_CURL + pycurl.E_WRITE_ERROR),
        ("status/404", {"status": "200-399"}, ERROR_ANSWER + 404),
        ("", {"expect": "good bye"}, ERROR_ANSWER),
        ("redirect/redirect", {"follow_redirects": True}, ERROR_CURL + pycurl.E_TOO_MANY_REDIRECTS),
    ],
)
def test_what_is_no_answer(engine: Engine, server: Server, path: str, options: dict[str, object], error: int) -> None:
    if path == "redirect/redirect":
        server.elsewhere = "/redirect"
    asked = HttpOptions(url=url(server, path), **options)  # type: ignore[arg-type]
    batch = measure(engine, probe(asked, pings=2))
    assert (batch.sent[0], batch.received[0], batch.errors[0], batch.error[0]) == (2, 0, 2, error)


def test_statuses_and_texts_that_count(engine: Engine, server: Server) -> None:
    for asked in (
        HttpOptions(url=url(server, "status/404")),
        HttpOptions(url=url(server, "status/503"), status="200-299, 503"),
        HttpOptions(url=url(server), expect="this is the"),
        HttpOptions(url=f"{url(server)} {url(server, 'status/200')}", expect="so it is"),
    ):
        batch = measure(engine, probe(asked))
        assert (batch.received[0], batch.error[0]) == (3, 0), asked


def test_redirects_are_followed_only_when_asked_and_counted_as_smokeping_does(engine: Engine, server: Server) -> None:
    stay = measure(engine, probe(HttpOptions(url=url(server, "redirect/slow/200"))))
    assert 0.049 < stay.rtts.min() < 0.15
    assert {path for path, _, _ in server.asked} == {"/redirect/slow/200"}
    follow = HttpOptions(url=url(server, "redirect/slow/100"), follow_redirects=True)
    total = measure(engine, probe(follow))
    assert 0.149 < total.rtts.min() < 0.19
    more = HttpOptions(url=url(server, "redirect/slow/100"), follow_redirects=True, include_redirects=True)
    assert 0.199 < measure(engine, probe(more)).rtts.min() < 0.26  # total + redirect


@pytest.mark.peer("curl")
@pytest.mark.parametrize("path", ["slow/150", "redirect/slow/150"])
def test_the_times_are_those_of_curl_itself(engine: Engine, server: Server, path: str) -> None:
    """What SmokePing's Curl probe reckons from `curl -w`: total - namelookup + redirect."""
    page = f"http://127.0.0.1:{server.server_port}/{path}"
    times = "%{time_total} %{time_namelookup} %{time_redirect}"
    words = ["curl", "-q", "-s", "-L", "-o", os.devnull, "-w", times, page]
    runs = [subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout for _ in range(3)]
    theirs = [total - lookup + redirect for total, lookup, redirect in (map(float, run.split()) for run in runs)]
    asked = HttpOptions(url=page, follow_redirects=True, include_redirects=True)
    ours = measure(engine, probe(asked), host="127.0.0.1").rtts
    assert ours.min() == pytest.approx(min(theirs), abs=0.04)


def test_the_phases(engine: Engine, server: Server) -> None:
    for phase, least, most in (("connect", 0, 0.05), ("pretransfer", 0, 0.05), ("starttransfer", 0.1, 0.2)):
        batch = measure(engine, probe(HttpOptions(url=url(server, "slow/100"), measure=phase)))
        assert least < batch.rtts.min() < most, phase


def test_nobody_there(engine: Engine) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        batch = measure(engine, probe(HttpOptions(url=f"http://{{host}}:{bound.getsockname()[1]}/")))
    assert (batch.received[0], batch.errors[0], batch.error[0]) == (0, 3, ERROR_ERRNO + errno.ECONNREFUSED)
    assert not int(batch.flags[0]) & Flag.SEND_ERROR


@pytest.mark.parametrize("bad", ["ftp://{host}/", "file:///etc/passwd", "http://{host}:99999/", "gopher://{host}/"])
def test_only_http_is_spoken(engine: Engine, bad: str) -> None:
    batch = measure(engine, probe(HttpOptions(url=bad)))
    assert (batch.received[0], batch.errors[0]) == (0, 3)


def test_wrong_options_are_an_error_of_that_round(engine: Engine) -> None:
    for asked in (HttpOptions(status="2xx"), HttpOptions(measure="all"), HttpOptions(url=" ")):
        assert measure(engine, probe(asked)).error[0] == ERROR_ERRNO + errno.EINVAL


def test_another_host_is_reached_only_where_the_agent_permits(server: Server) -> None:
    """A second URL and a redirect lead elsewhere; the agent's limits hold there too."""
    asked: list[str] = []

    def permit(address: str) -> str:
        asked.append(address)
        return "denied" if address == "127.0.0.1" else ""

    other = Server(address="127.0.0.2")
    engine = make_engine("http", permit)
    try:
        fine = measure(engine, probe(HttpOptions(url=url(other))), address="127.0.0.2")
        assert fine.received[0] == 3
        other.elsewhere = f"http://127.0.0.1:{server.server_port}/"
        for address, urls in (
            ("127.0.0.2", url(other, "redirect")),
            ("127.0.0.2", f"{url(other)} http://127.0.0.1:{server.server_port}/"),
            ("127.0.0.1", url(server)),
        ):
            batch = measure(engine, probe(HttpOptions(url=urls, follow_redirects=True)), address=address)
            assert (batch.received[0], batch.error[0]) == (0, ERROR_ERRNO + errno.EACCES), urls
    finally:
        engine.close()
        other.stop()
    assert server.asked == []
    assert set(asked) == {"127.0.0.1", "127.0.0.2"}


def test_a_redirect_goes_over_the_pings_own_connection_as_with_curl(engine: Engine, server: Server) -> None:
    measure(engine, probe(HttpOptions(url=url(server, "redirect/page"), follow_redirects=True), pings=2, interval=0.3))
    ports = [port for _, _, port in server.asked]
    assert len(ports) == 4
    assert ports[0] != ports[2], "each ping begins with a new connection"
    assert set(ports[1::2]) <= set(ports[::2]), "and goes on over one that is there"


def test_a_source_and_an_interface(engine: Engine, server: Server) -> None:
    assert measure(engine, probe(HttpOptions(url=url(server)), source="127.0.0.9")).received[0] == 3
    batch = measure(engine, probe(HttpOptions(url=url(server)), interface="no-such-link"))
    assert (batch.errors[0], batch.error[0]) == (3, ERROR_ERRNO + errno.ENODEV)
    assert int(batch.flags[0]) & Flag.SEND_ERROR


def test_a_proxy_of_the_environment_is_not_used(
    engine: Engine, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    assert measure(engine, probe(HttpOptions(url=url(server)))).received[0] == 3


def test_two_hundred_targets_in_a_round(engine: Engine, server: Server) -> None:
    before = time.process_time()
    batch = measure(engine, probe(HttpOptions(url=url(server)), pings=2, interval=0.3), count=200)
    assert batch.received.sum() == batch.sent.sum()
    assert batch.received.sum() == 400
    assert time.process_time() - before < 6  # the server's share, in Python, is most of it
    asleep = time.process_time()
    engine.run(time.monotonic() + 0.2)
    assert time.process_time() - asleep < 0.05


def test_hanging_servers_do_not_hold_up_others(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.HttpEngine, "most_open", 8)
    engine = make_engine("http")
    try:
        hanging = probe(HttpOptions(url=url(server, "hang")), pings=4, timeout=0.2)
        good = probe(HttpOptions(url=url(server)), pings=4, timeout=0.5)
        at = time.monotonic()
        engine.start([RoundRequest(n, n, at, "127.0.0.1", hanging, NAME) for n in range(1, 4)])
        engine.start([RoundRequest(n, n, at, "127.0.0.1", good, NAME) for n in range(4, 7)])
        engine.run(at + 10)
        batch = engine.take()
    finally:
        engine.close()
    assert len(batch) == 6
    assert batch.received[batch.task < 4].sum() == 0
    kept = batch.task >= 4
    assert (batch.received[kept] == batch.sent[kept]).all()
    assert batch.received[kept].sum() >= 3


# TLS


class Authority:
    """A certificate authority of our own, and a server's certificate."""

    def __init__(self, folder: Path, names: list[x509.GeneralName], days: int = 30) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        root = self._sign("root", key, key, "root", [], ca=True)
        own = ec.generate_private_key(ec.SECP256R1())
        leaf = self._sign("server", own, key, "root", names, ca=False)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        both = folder / "server.pem"
        both.write_bytes(
            leaf.public_bytes(serialization.Encoding.PEM)
            + own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(both)

    def _sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, issuer: str,
        names: list[x509.GeneralName], *, ca: bool,
    ) -> x509.Certificate:  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.expires - timedelta(days=365))
            .not_valid_after(self.expires)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(by, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, [x509.DNSName(NAME), x509.IPAddress(ip_address("127.0.0.1"))])


@pytest.fixture
def secure(authority: Authority) -> Iterator[Server]:
    made = Server(authority.context)
    yield made
    made.stop()


def test_tls_with_an_authority_of_ones_own(engine: Engine, secure: Server, authority: Authority) -> None:
    page = url(secure, "", "https")
    batch = measure(engine, probe(HttpOptions(url=page, ca_file=str(authority.ca_file))))
    assert (batch.received[0], batch.error[0]) == (3, 0)
    assert f"certificate={NAME}:{authority.expires:%Y-%m-%d}" in engine.describe()
    handshakes = measure(engine, probe(HttpOptions(url=page, ca_file=str(authority.ca_file), measure="appconnect")))
    assert 0.0003 < handshakes.rtts.min() < 0.5
    unknown = measure(engine, probe(HttpOptions(url=page)))
    assert (unknown.received[0], unknown.error[0]) == (0, ERROR_CURL + pycurl.E_PEER_FAILED_VERIFICATION)
    assert measure(engine, probe(HttpOptions(url=page, insecure=True))).received[0] == 3


def test_a_redirect_adds_no_certificate_and_is_not_looked_at_with_each_ping(engine: Engine, secure: Server) -> None:
    assert isinstance(engine, module.HttpEngine)
    secure.elsewhere = url(secure, "page", "https").replace("{host}", "127.0.0.1")
    page = probe(HttpOptions(url=url(secure, "redirect", "https"), insecure=True, follow_redirects=True))
    assert measure(engine, page).received[0] == 3
    assert engine._certificates.keys() == {NAME}
    assert engine._certificates[NAME][0] > time.monotonic() + 3000
    assert "certificate" not in engine.describe()


def test_certificates_of_many_hosts_are_bounded(
    engine: Engine, secure: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(engine, module.HttpEngine)
    monkeypatch.setattr(module, "_MOST_CERTIFICATES", 2)
    for name in ("a.test", "b.test", "c.test"):
        page = url(secure, "", "https").replace("{host}", name)
        assert measure(engine, probe(HttpOptions(url=page, insecure=True))).received[0] == 3
    assert list(engine._certificates) == ["b.test", "c.test"]
    assert f"certificate=b.test:{authority.expires:%Y-%m-%d}" in engine.describe()


def test_tls_for_another_name_or_out_of_date(
    engine: Engine, tmp_path: Path, secure: Server, authority: Authority
) -> None:
    asked = HttpOptions(url=url(secure, "", "https"), ca_file=str(authority.ca_file))
    batch = measure(engine, probe(asked), host="someone-else.example")
    assert batch.error[0] == ERROR_CURL + pycurl.E_PEER_FAILED_VERIFICATION
    (tmp_path / "old").mkdir()
    old = Authority(tmp_path / "old", [x509.DNSName(NAME)], days=-1)
    server = Server(old.context)
    try:
        batch = measure(engine, probe(HttpOptions(url=url(server, "", "https"), ca_file=str(old.ca_file))))
        assert batch.error[0] == ERROR_CURL + pycurl.E_PEER_FAILED_VERIFICATION
    finally:
        server.stop()


def test_plain_http_where_tls_is_spoken_and_the_other_way_round(engine: Engine, secure: Server, server: Server) -> None:
    for page in (url(secure), url(server, "", "https")):
        batch = measure(engine, probe(HttpOptions(url=page, insecure=True), timeout=0.5))
        assert batch.received[0] == 0
