"""Real receivers on loopback: an SMTP server (RFC 5321) and an HTTP server that do as they are told and keep what came."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificate(folder: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that is its own authority: the certificate's file, and the one with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receivers of the tests")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, both = folder / "ca.pem", folder / "server.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(secret + certificate.read_bytes())
    return str(certificate), str(both)


def server_context(both: str) -> ssl.SSLContext:
    """How a server speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


# ---------------------------------------------------------------- mail


@dataclass
class Mail:
    """One mail as the server took it."""

    sender: str
    to: list[str]
    content: bytes
    user: str
    private: bool


@dataclass
class Smtp:
    """What the server takes, and what it took."""

    context: ssl.SSLContext | None = None
    #: It speaks TLS from the first byte.
    from_start: bool = False
    password: str = ""
    #: Address, or "DATA", "GREETING" -> the answer instead of a good one; changed while it runs.
    answers: dict[str, str] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    #: A mail came.
    came: threading.Condition = field(default_factory=threading.Condition)
    address: str = ""

    def wait(self, count: int, seconds: float = 10.0) -> list[Mail]:
        """The mails, when there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.mails) >= count, seconds), f"only {len(self.mails)} mails came"
            return list(self.mails)


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.smtp: Smtp = self.server.smtp  # type: ignore[attr-defined]
        self.private = False
        if self.smtp.from_start:
            self._make_private()
        self.user, self.sender, self.to = "", "", list[str]()
        self._say(self.smtp.answers.get("GREETING", "220 here"))
        while line := self.rfile.readline(2000):
            if not self._answer(line.decode().strip()):
                return

    def finish(self) -> None:
        super().finish()
        self.request.close()  # the server closes only the socket it accepted, which TLS has replaced

    def _make_private(self) -> None:
        assert self.smtp.context is not None
        self.request = self.smtp.context.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", buffering=0)
        self.private = True

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def _answer(self, line: str) -> bool:
        verb = line.split(" ")[0].upper()
        rest = line.partition(":")[2].partition(">")[0].strip(" <")
        match verb:
            case "EHLO":
                offers = ["127.0.0.1", "8BITMIME"]
                offers += ["STARTTLS"] if self.smtp.context and not self.private else []
                offers += ["AUTH PLAIN"] if self.smtp.password else []
                self._say("\r\n".join(f"250{' ' if one is offers[-1] else '-'}{one}" for one in offers))
            case "STARTTLS":
                self._say("220 go")
                self._make_private()
            case "AUTH":
                _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                good = password == self.smtp.password
                self.user = user if good else ""
                self._say("235 welcome" if good else "535 5.7.8 wrong password")
            case "MAIL":
                self.sender, self.to = rest, []
                self._say(self.smtp.answers.get("MAIL", "250 ok"))
            case "RCPT":
                answer = self.smtp.answers.get(rest, "250 ok")
                self.to += [rest] if answer.startswith("2") else []
                self._say(answer)
            case "DATA":
                self._take()
            case "QUIT":
                self._say("221 bye")
                return False
            case _:
                self._say("250 ok")
        return True

    def _take(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        answer = self.smtp.answers.get("DATA", "250 taken")
        if answer.startswith("2"):
            with self.smtp.came:
                self.smtp.mails.append(Mail(self.sender, self.to, b"".join(lines), self.user, self.private))
                self.smtp.came.notify_all()
        self._say(answer)


class _Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or trusts no certificate, is part of the tests."""


@contextmanager
def mail_server(**how: Any) -> Iterator[Smtp]:
    """An SMTP server on a free port."""
    smtp = Smtp(**how)
    with _Threads(("127.0.0.1", 0), _Session) as server:
        server.smtp = smtp  # type: ignore[attr-defined]
        smtp.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield smtp
        server.shutdown()
        thread.join()


# ---------------------------------------------------------------- HTTP


@dataclass(frozen=True)
class Posted:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """What the server answers, and what came."""

    #: Of a request: status, headers, body. Called in the server's thread, so it may wait.
    answer: Callable[[Posted], tuple[int, dict[str, str], bytes]] = lambda posted: (200, {}, b"ok")
    posts: list[Posted] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def wait(self, count: int, seconds: float = 10.0) -> list[Posted]:
        """The requests, when there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.posts) >= count, seconds), f"only {len(self.posts)} came"
            return list(self.posts)


class _Request(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        posted = Posted(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        with web.came:
            web.posts.append(posted)
            web.came.notify_all()
        status, headers, answer = web.answer(posted)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


class _Http(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """An HTTP server on a free port."""
    web = Web()
    with _Http(("127.0.0.1", 0), _Request) as server:
        server.web = web  # type: ignore[attr-defined]
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        web.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield web
        server.shutdown()
        thread.join()
