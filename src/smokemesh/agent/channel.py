"""One kept-alive connection to a master: requests go out signed, answers come in verified.

libcurl does the HTTP. Every wait can be broken off: the owner's `stop` is looked at at least once a second.
"""

import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pycurl

from smokemesh.errors import AuthError, HostError, MasterError, WireError
from smokemesh.version import __version__
from smokemesh.wire.messages import MOST_BODY, ErrorReply, decode
from smokemesh.wire.signing import sign_request, verify_response

#: Seconds the clocks may differ before a refusal is blamed on them.
TOLERATED_SKEW: Final = 60.0
#: Debian, Fedora, SUSE, Alpine keep their certificates here.
CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
#: A proxy's own limit on bodies gives this answer.
TOO_LARGE: Final = 413
_LOCAL: Final = ("localhost", "127.", "[::1]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a master said, its signature verified."""

    status: int
    #: Lower-case names.
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs, and with what."""

    name: str
    secret: bytes


class Refused(MasterError):
    """The master answered with an error: its status, its code, and when to come back."""

    def __init__(self, message: str, status: int, code: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.reason, self.retry_after = status, code, retry_after


class TooLargeForProxy(MasterError):
    """Something between us and the master takes no body of this size."""


class Channel:
    """Talks to one master. One thread at a time."""

    def __init__(
        self, base: str, identity: Identity, *, timeout: float, ca_file: str = "", stop: threading.Event | None = None
    ) -> None:
        self.base, self._identity, self._timeout = base.rstrip("/"), identity, timeout
        self._path = urlsplit(self.base).path
        self._ca_file, self._stop = ca_file, stop or threading.Event()
        self._curl = pycurl.Curl()

    def exchange(
        self, method: str, path: str, body: bytes = b"", *, extra: dict[str, str] | None = None, wait: float = 0.0,
        if_none_match: str = "",
    ) -> Answer:  # fmt: skip
        """Send one request and return its verified answer, 2xx or 304.

        Raises Refused for any other status, AuthError for an answer not signed by our master, MasterError when
        none came. `wait` is how long the master may take on top of the usual timeout.
        """
        url = self.base + path
        signed = sign_request(
            method, url, body, key_id=self._identity.name, secret=self._identity.secret,
            created=int(time.time()), nonce=secrets.token_urlsafe(16), if_none_match=if_none_match,
        )  # fmt: skip
        status, headers, received = self._perform(method, url, signed | (extra or {}), body, wait)
        if status not in (401, 403):
            self._verify(status, headers, received, signed["Signature"], len(body))
        if 200 <= status < 300 or status == 304:
            return Answer(status, headers, received)
        raise self._refusal(status, headers, received)

    def close(self) -> None:
        """Close the connection."""
        self._curl.close()

    def _perform(
        self, method: str, url: str, headers: dict[str, str], body: bytes, wait: float
    ) -> tuple[int, dict[str, str], bytes]:
        curl, received, heads = self._curl, bytearray(), _Headers()
        curl.reset()  # keeps the connection, forgets the options
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.CUSTOMREQUEST, method)
        if body:
            curl.setopt(pycurl.POSTFIELDS, body)
        headers = {"User-Agent": f"smokemesh/{__version__}", "Accept": "*/*", "Expect": "", **headers}
        curl.setopt(pycurl.HTTPHEADER, [f"{k}: {v}" if v else f"{k}:" for k, v in headers.items()])
        curl.setopt(pycurl.WRITEFUNCTION, lambda data: _collect(received, data))
        curl.setopt(pycurl.HEADERFUNCTION, heads.line)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, round(self._timeout * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, round((self._timeout + wait) * 1000) + round(len(body) / 20))
        self._set_surroundings(curl)
        try:
            curl.perform()
        except pycurl.error as error:
            raise MasterError(f"{self.base}: {_explain(error, url)}") from error
        return int(curl.getinfo(pycurl.RESPONSE_CODE)), heads.fields, bytes(received)

    def _set_surroundings(self, curl: pycurl.Curl) -> None:
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.NOPROGRESS, 0)
        curl.setopt(pycurl.XFERINFOFUNCTION, lambda *_: 1 if self._stop.is_set() else 0)
        if urlsplit(self.base).netloc.startswith(_LOCAL):
            curl.setopt(pycurl.PROXY, "")  # a proxy set for the web is no way to this host
        if self.base.startswith("https:"):
            curl.setopt(pycurl.CAINFO, self._ca_file or system_ca_file())

    def _verify(self, status: int, headers: dict[str, str], body: bytes, signature: str, sent: int) -> None:
        try:
            verify_response(
                status, headers, body, request_signature=signature,
                key_id=self._identity.name, secret=self._identity.secret,
            )  # fmt: skip
        except AuthError as error:
            if status == TOO_LARGE:
                raise TooLargeForProxy(
                    f"{self.base}: a proxy before the master takes no request of {sent} bytes; raise its limit"
                    " (nginx: client_max_body_size 4m)"
                ) from error
            if status >= 400:  # a proxy's error page, most likely: nothing in it can be believed, not even a refusal
                raise MasterError(f"{self.base}: HTTP {status}, not from our master ({error})") from error
            raise AuthError(f"{self.base}: {error}") from error

    def _refusal(self, status: int, headers: dict[str, str], body: bytes) -> Refused:
        try:
            reply = decode(ErrorReply, body)
        except WireError:
            reply = ErrorReply(code="", message=f"HTTP {status}")
        message = f"{self.base}: {reply.message}"
        skew = _skew(headers) if status in (401, 403) and not reply.code else 0.0
        if abs(skew) > TOLERATED_SKEW:
            message += f"; this host's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}, set it by NTP"
        return Refused(message, status, reply.code, _seconds(headers.get("retry-after", "")))


class _Headers:
    """Collects the header lines of the last answer (redirects and 100s begin it anew)."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}

    def line(self, raw: bytes) -> None:
        text = raw.decode("latin-1").strip()
        if text.startswith("HTTP/"):
            self.fields = {}
        elif ":" in text:
            name, value = text.split(":", 1)
            self.fields[name.strip().lower()] = value.strip()


def _collect(received: bytearray, data: bytes) -> int:
    if len(received) + len(data) > MOST_BODY:
        return 0  # curl ends the transfer with a write error
    received += data
    return len(data)


def _explain(error: pycurl.error, url: str) -> str:
    code, text = int(error.args[0]), str(error.args[-1])
    host = urlsplit(url).netloc
    known = {
        pycurl.E_COULDNT_CONNECT: f"cannot connect to {host}; is the master running there?",
        pycurl.E_COULDNT_RESOLVE_HOST: f"the name {host} does not resolve",
        pycurl.E_OPERATION_TIMEDOUT: f"no answer from {host} in time",
        pycurl.E_ABORTED_BY_CALLBACK: "broken off, the agent is stopping",
        pycurl.E_PEER_FAILED_VERIFICATION: f"the certificate of {host} is not trusted ({text}); set ca_file",
        pycurl.E_WRITE_ERROR: f"the answer is larger than {MOST_BODY} bytes",
    }
    return known.get(code, text)


def _skew(headers: dict[str, str]) -> float:
    """Seconds our clock is ahead of the Date of an answer; 0 when it has none."""
    try:
        shown = datetime.strptime(headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return 0.0
    return time.time() - shown.timestamp()


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def system_ca_file() -> str:
    """Where this system keeps the certificates it trusts."""
    for path in CA_FILES:
        if Path(path).is_file():
            return path
    raise HostError("no CA certificates found on this system; install ca-certificates, or set ca_file")
