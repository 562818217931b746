"""Known tools against real servers on loopback, or against servers of a few lines where there is no real one to be had."""

import hashlib
import hmac
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.integration.engine_bench import TcpServer, free_port, measure, measure_fairly, running_sshd, wait

from smokemesh.model import tools
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_RESOLVE, Flag
from smokemesh.probes.command import CommandEngine

#: Starting a program, on a busy machine.
SLACK = 0.3


@pytest.fixture
def engine() -> Iterator[CommandEngine]:
    engine = CommandEngine()
    yield engine
    engine.close()


def probe(
    tool: str,
    pings: int = 3,
    interval: float = 0.05,
    timeout: float = 2.0,
    environment: Path | None = None,
    **settings: object,
) -> Probe:
    pairs = {"tool": tool, "settings": tools.write(tools.TOOLS[tool](**settings))}
    if environment is not None:
        pairs["environment_file"] = str(environment)
    return Probe(
        name=tool, kind="command", pings=pings, interval=interval, timeout=timeout, options=tuple(sorted(pairs.items()))
    )


@contextmanager
def datagrams(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A UDP server; its port."""
    stop = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                try:
                    data, sender = server.recvfrom(65_535)
                except TimeoutError:
                    continue
                reply = answer(data)
                if reply is not None:
                    server.sendto(reply, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join(5)


@contextmanager
def program(*words: str, port: int) -> Iterator[None]:
    """A server that runs until the end, once it listens."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 10
        while f"0100007F:{port:04X}" not in Path("/proc/net/tcp").read_text() + Path("/proc/net/udp").read_text():
            assert time.monotonic() < until
            assert process.poll() is None
            wait(0.01)
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.privileged
@pytest.mark.peer("ssh-keyscan", "sshd")
def test_ssh_keyscan(engine: CommandEngine, tmp_path: Path) -> None:
    with running_sshd(tmp_path) as port:
        batch = measure_fairly(engine, probe("ssh-keyscan", keytype="ed25519", port=port))
    assert (batch.sent[0], batch.received[0], batch.error[0]) == (3, 3, 0)
    assert float(np.max(batch.rtts)) < 1.0


@pytest.mark.peer("ssh-keyscan")
def test_ssh_keyscan_ends_at_the_greeting(engine: CommandEngine) -> None:
    """SmokePing takes the time of the greeting, not that of the key exchange after it."""

    def serve(connection: socket.socket, _number: int) -> None:
        wait(0.2)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        wait(1.5)

    with TcpServer(serve) as server:
        batch = measure_fairly(engine, probe("ssh-keyscan", pings=1, port=server.port))
    assert 0.2 <= batch.rtts[0] < 0.2 + SLACK


@pytest.mark.peer("traceroute")
@pytest.mark.privileged
def test_traceroute(engine: CommandEngine) -> None:
    batch = measure(engine, probe("traceroute"))
    assert (batch.received[0], batch.error[0]) == (3, 0)
    assert float(np.max(batch.rtts)) < 0.05


def test_a_desthost_the_agent_may_not_measure_is_refused() -> None:
    engine = CommandEngine(permit=lambda address: f"{address} is denied")
    try:
        batch = measure(engine, probe("traceroute", desthost="127.0.0.9"))
    finally:
        engine.close()
    assert batch.received[0] == 0
    assert batch.flags[0] & Flag.SEND_ERROR


@pytest.mark.peer("irtt")
def test_irtt(engine: CommandEngine) -> None:
    port = free_port()
    with program("irtt", "server", "-b", f"127.0.0.1:{port}", port=port):
        batch = measure(engine, probe("irtt", pings=10, port=port))
        varied = measure(engine, probe("irtt", pings=10, port=port, metric="send_ipdv"))
    assert batch.received[0] == 10
    assert float(np.max(batch.rtts)) < 0.05
    assert varied.received[0] == 9  # the first packet has none before it to vary from
    assert np.isnan(varied.rtts[0])


@pytest.mark.peer("irtt")
def test_irtt_without_a_server_is_loss(engine: CommandEngine) -> None:
    batch = measure(engine, probe("irtt", port=free_port()))
    assert (batch.sent[0], batch.received[0]) == (3, 0)


@pytest.mark.peer("sipsak")
def test_sipsak(engine: CommandEngine) -> None:
    asked: list[str] = []

    def answer(data: bytes) -> bytes | None:
        asked.append(data.decode())
        wait(0.02)
        if len(asked) == 2:
            return None  # it is sent again, and that answer is not this ping's
        kept = [line for line in data.decode().split("\r\n") if re.match("Via|From|To|Call-ID|CSeq", line)]
        return "\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode()

    with datagrams(answer) as port:
        batch = measure(engine, probe("sipsak", pings=4, interval=0.5, user="joe", port=port), host="localhost")
    assert np.isnan(batch.rtts).tolist() == [False, True, False, False]
    answered = batch.rtts[[0, 2, 3]]
    assert ((answered > 0.018) & (answered < 0.4)).all()  # what it tells "after first send" is more than 0.5 s
    assert asked[0].startswith("OPTIONS sip:joe@localhost:")


def radius(secret: bytes, password: bytes) -> Callable[[bytes], bytes]:
    """A server of RFC 2865 that knows one password."""

    def answer(data: bytes) -> bytes:
        authenticator, attributes, rest = data[4:20], {}, data[20:]
        while len(rest) > 2:
            attributes[rest[0]] = rest[2 : rest[1]]
            rest = rest[rest[1] :]
        pad = hashlib.md5(secret + authenticator).digest()
        plain = bytes(a ^ b for a, b in zip(attributes[2], pad, strict=True)).rstrip(b"\0")
        code = 2 if hmac.compare_digest(plain, password) else 3
        head = bytes([code, data[1], 0, 20])
        return head + hashlib.md5(head + authenticator + secret).digest()

    return answer


@pytest.mark.peer("radclient")
@pytest.mark.parametrize(
    ("password", "allowed", "received"), [("hush hush", False, 2), ("wrong", False, 0), ("wrong", True, 2)]
)
def test_radclient(engine: CommandEngine, tmp_path: Path, password: str, allowed: bool, received: int) -> None:
    files = tmp_path / "passwords", tmp_path / "secrets"
    files[0].write_text(f"other:joe:x\n127.0.0.1:joe:{password}\n")
    files[1].write_text("127.0.0.1:testing123\n")
    for file in files:
        file.chmod(0o600)
    with datagrams(radius(b"testing123", b"hush hush")) as port:
        one = probe(
            "radclient", pings=2, port=port, username="joe", allowreject=allowed,
            passwordfile=str(files[0]), secretfile=str(files[1]),
        )  # fmt: skip
        batch = measure_fairly(engine, one)
    assert (batch.sent[0], batch.received[0]) == (2, received)


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    (tmp_path / "db").mkdir()
    (tmp_path / "slapd.conf").write_text(
        "include /etc/ldap/schema/core.schema\n"
        f'database ldif\nsuffix dc=x\ndirectory {tmp_path}/db\nrootdn cn=admin,dc=x\nrootpw "hush hush"\n'
    )
    with program("slapd", "-d", "0", "-h", f"ldap://127.0.0.1:{port}", "-f", str(tmp_path / "slapd.conf"), port=port):
        yield port


@pytest.mark.peer("ldapsearch", "slapd")
@pytest.mark.parametrize(("password", "received"), [("hush hush", 2), ("wrong", 0)])
def test_ldapsearch(engine: CommandEngine, tmp_path: Path, slapd: int, password: str, received: int) -> None:
    environment = tmp_path / "environment"
    environment.write_text(f"PASSWORD={password}\n")
    environment.chmod(0o600)
    batch = measure(
        engine, probe("ldapsearch", pings=2, port=slapd, scope="base", binddn="cn=admin,dc=x", environment=environment)
    )
    assert (batch.sent[0], batch.received[0]) == (2, received)


@pytest.mark.peer("ldapsearch", "slapd")
def test_ldapsearch_without_a_login(engine: CommandEngine, slapd: int) -> None:
    assert measure_fairly(engine, probe("ldapsearch", port=slapd, scope="base", attrs="objectClass")).received[0] == 3


class Ftp:
    """A server of RFC 959 for one user, with one file."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay, self.logins, self.stored = delay, [""], b""

    def __call__(self, connection: socket.socket, _number: int) -> None:
        data = socket.create_server(("127.0.0.1", 0))
        with data, connection.makefile("r", newline="\r\n") as lines:
            connection.sendall(b"220 here\r\n")
            for line in lines:
                connection.sendall(self._reply(line.strip(), connection, data))

    def _reply(self, line: str, connection: socket.socket, data: socket.socket) -> bytes:
        verb, _, word = line.partition(" ")
        if verb == "USER":
            self.logins.append(word)
            return b"331 password?\r\n"
        if verb == "PASS":
            self.logins[-1] += f":{word}"
            return b"230 welcome\r\n" if word == 'hush "hush' else b"530 no\r\n"
        if verb == "EPSV":
            return f"229 ok (|||{data.getsockname()[1]}|)\r\n".encode()
        if verb in ("RETR", "STOR"):
            return self._transfer(verb, word, connection, data)
        return {"PWD": b'257 "/"\r\n', "SIZE": b"213 1000\r\n", "QUIT": b"221 bye\r\n"}.get(verb, b"200 fine\r\n")

    def _transfer(self, verb: str, name: str, connection: socket.socket, data: socket.socket) -> bytes:
        if verb == "RETR" and name != "a file":
            return b"550 not there\r\n"
        connection.sendall(b"150 wait\r\n")
        with data.accept()[0] as stream:
            wait(self.delay)
            if verb == "RETR":
                stream.sendall(b"x" * 1000)
            else:
                self.stored = stream.makefile("rb").read()
        return b"226 done\r\n"


@pytest.fixture
def login(tmp_path: Path) -> Path:
    file = tmp_path / "login"
    file.write_text('PASSWORD=hush "hush\n')
    file.chmod(0o600)
    return file


@pytest.mark.peer("curl")
def test_ftp_get(engine: CommandEngine, login: Path) -> None:
    ftp = Ftp(delay=0.2)
    with TcpServer(ftp) as server:
        batch = measure(
            engine, probe("ftp", pings=2, port=server.port, srcfile="a file", username="joe", environment=login)
        )
    assert batch.received[0] == 2
    assert (batch.rtts >= 0.2).all()
    assert float(np.max(batch.rtts)) < 0.2 + SLACK
    assert ftp.logins[-1] == 'joe:hush "hush'


@pytest.mark.peer("curl")
def test_ftp_put(engine: CommandEngine, login: Path, tmp_path: Path) -> None:
    ftp = Ftp()
    sent = tmp_path / "sent"
    sent.write_bytes(b"y" * 3000)
    with TcpServer(ftp) as server:
        batch = measure(
            engine,
            probe("ftp", pings=1, port=server.port, srcfile=str(sent), mode="put", username="joe", environment=login),
        )
    assert batch.received[0] == 1
    assert ftp.stored == b"y" * 3000


@pytest.mark.peer("curl")
@pytest.mark.parametrize(("name", "password"), [("no file", "right"), ("a file", "wrong")])
def test_what_ftp_refuses_is_lost(engine: CommandEngine, login: Path, name: str, password: str) -> None:
    if password == "wrong":
        login.write_text("PASSWORD=wrong\n")
    with TcpServer(Ftp()) as server:
        batch = measure(
            engine, probe("ftp", pings=1, port=server.port, srcfile=name, username="joe", environment=login)
        )
    assert (batch.sent[0], batch.received[0]) == (1, 0)


@pytest.mark.peer("quakestat")
def test_quakestat(engine: CommandEngine) -> None:

    def answer(data: bytes) -> bytes:
        wait(0.03)
        return b"\xff\xff\xff\xffstatusResponse\n\\sv_hostname\\x\\mapname\\q3dm1\\sv_maxclients\\8\n"

    with datagrams(answer) as port:
        batch = measure(engine, probe("quakestat", pings=2, port=port))
    assert batch.received[0] == 2
    assert (batch.rtts >= 0.02).all()  # quakestat is not exact to some milliseconds
    assert float(np.min(batch.rtts)) < 0.1


@pytest.mark.peer("fping", "sshd")
@pytest.mark.privileged
def test_fping_on_another_host(engine: CommandEngine, tmp_path: Path) -> None:
    with running_sshd(tmp_path) as port:
        # The agent's own ssh would know key and host by its configuration.
        ssh = tmp_path / "ssh"
        ssh.write_text(
            f'#!/bin/sh\nexec ssh -F /dev/null -i {tmp_path}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@"\n'
        )
        ssh.chmod(0o755)
        batch = measure(
            engine, probe("remote-fping", pings=5, binary=str(ssh), rhost="127.0.0.1", rport=port, ruser="root")
        )
    assert (batch.sent[0], batch.received[0]) == (5, 5)
    assert float(np.max(batch.rtts)) < 0.05


@pytest.mark.privileged
@pytest.mark.parametrize(
    ("system", "ping"),
    [("junos", "ping 127.0.0.1 count 3 size 100 interval 0.1"), ("eos", "ping 127.0.0.1 repeat 3 size 100")],
)
@pytest.mark.peer("sshd")
def test_the_ping_of_a_router(engine: CommandEngine, tmp_path: Path, system: str, ping: str) -> None:
    """The router is a script behind a real sshd: it prints what such a system does."""
    router, first = tmp_path / "router", 0 if system == "junos" else 1
    replies = "".join(
        f"echo '64 bytes from 127.0.0.1: icmp_seq={first + i} ttl=64 time=0.{i + 1}00 ms'\n" for i in (0, 2)
    )
    router.write_text(f'#!/bin/sh\necho "$SSH_ORIGINAL_COMMAND" > {tmp_path}/asked\necho PING\n{replies}')
    router.chmod(0o755)
    with running_sshd(tmp_path, command=str(router)) as port:
        ssh = tmp_path / "ssh"
        ssh.write_text(
            f'#!/bin/sh\nexec ssh -F /dev/null -p {port} -i {tmp_path}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@"\n'
        )
        ssh.chmod(0o755)
        batch = measure(engine, probe("ssh-ping", binary=str(ssh), source="127.0.0.1", user="root", system=system))
    assert (tmp_path / "asked").read_text().strip() == ping
    assert batch.rtts[[0, 2]].tolist() == pytest.approx([0.0001, 0.0003])
    assert np.isnan(batch.rtts[1])


def test_a_tool_needs_an_address(engine: CommandEngine) -> None:
    batch = measure(engine, probe("nfsping"), address="", host="nowhere.example")
    assert batch.received[0] == 0
    assert int(batch.error[0]) & ~0xFFFF == ERROR_RESOLVE


def test_no_password_stands_on_a_command_line(engine: CommandEngine, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    spy = tmp_path / "spy"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {seen}\ncat /proc/$$/cmdline >> {seen}\nexit 1\n')
    spy.chmod(0o755)
    known: list[tuple[str, dict[str, str]]] = [
        ("ldapsearch", {"binddn": "cn=a"}),
        ("radclient", {"secret": "hush2"}),
        ("ftp", {"srcfile": "f"}),
        ("ssh-ping", {"source": "127.0.0.1"}),
    ]
    for tool, extra in known:
        settings: dict[str, object] = {"binary": str(spy), "password": "hush1", **extra}
        measure(engine, probe(tool, 1, 0.05, 2.0, None, **settings))
    text = seen.read_text(errors="replace")
    assert len(text.splitlines()) >= 4
    assert "hush" not in text
    assert os.listdir(tmp_path).count("seen") == 1
