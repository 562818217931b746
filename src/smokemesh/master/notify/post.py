"""One HTTP request of a notice: JSON out, the status looked at. Secret addresses never come into messages."""

import math
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import pycurl

from smokemesh.master.notify.sending import PATIENCE, NotDelivered, Sending, read_private
from smokemesh.model.alert import Receiver
from smokemesh.version import __version__

#: Bytes of an answer that are read; more is not wanted.
MOST_ANSWER: Final = 4000
#: The request itself is refused, and will be the next time (RFC 9110, 15.5).
FINAL: Final = frozenset((400, 405, 410, 413, 414, 415, 422))
_LOCAL: Final = ("localhost", "127.", "[::1]")


def post_json(sending: Sending, content: Any, url: str, headers: dict[str, str] | None = None) -> str:
    """Post it; the answer's text. Raises NotDelivered for anything but 2xx."""
    return post(sending, msgspec.json.encode(content), url, headers)


def post(sending: Sending, body: bytes, url: str, headers: dict[str, str] | None = None) -> str:
    """Post bytes that are JSON."""
    receiver = sending.receiver
    given = {
        "Content-Type": "application/json",
        "User-Agent": f"smokemesh/{__version__}",
        "Expect": "",
        "Idempotency-Key": sending.key,
        **(receiver.headers if receiver else {}),
        **(headers or {}),
    }
    answer = _Answer()
    curl = pycurl.Curl()
    try:
        _prepare(curl, sending, url, receiver.ca_file if receiver else "")
        curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.HTTPHEADER, [_header(name, value) for name, value in given.items()])
        curl.setopt(pycurl.WRITEFUNCTION, answer.take)
        curl.setopt(pycurl.HEADERFUNCTION, answer.head)
        curl.perform()
        status = int(curl.getinfo(pycurl.RESPONSE_CODE))
    except pycurl.error as error:
        raise NotDelivered(f"{origin(url)}: {_explain(error)}") from error
    finally:
        curl.close()
    if 200 <= status < 300:
        return f"HTTP {status} {answer.text}".strip()
    told = f"{origin(url)}: HTTP {status} {answer.text}"
    if 300 <= status < 400:
        told = f"{origin(url)}: HTTP {status}, it has moved; write the new address"
    raise NotDelivered(told[:500], final=status in FINAL, wait=answer.wait, output=answer.text)


def address(receiver: Receiver) -> str:
    """Where a receiver is posted to. A secret address is read anew each time, so that a new one needs no reload."""
    url = read_private(receiver.url_file).strip() if receiver.url_file else receiver.url
    if not url.startswith(("http://", "https://")):
        raise NotDelivered(f"receiver {receiver.name}: its address does not begin with http:// or https://")
    return url


def origin(url: str) -> str:
    """What of an address may be told: hooks carry their secret in the path, and some in the user's place."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def number(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if math.isnan(value) else value


def _prepare(curl: pycurl.Curl, sending: Sending, url: str, ca_file: str) -> None:
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.POST, 1)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, round(PATIENCE * 500))
    curl.setopt(pycurl.TIMEOUT_MS, round(PATIENCE * 1000))
    curl.setopt(pycurl.NOPROGRESS, 0)
    curl.setopt(pycurl.XFERINFOFUNCTION, lambda *_: 1 if sending.stop.is_set() else 0)
    if urlsplit(url).netloc.rpartition("@")[2].startswith(_LOCAL):
        curl.setopt(pycurl.PROXY, "")  # a proxy set for the web is no way to this host
    if url.startswith("https:"):
        curl.setopt(pycurl.CAINFO, ca_file or _system_ca_file())


def _header(name: str, value: str) -> str:
    """One line, whatever was written."""
    clean = " ".join(value.split())
    return f"{name}: {clean}" if clean else f"{name}:"


class _Answer:
    """Collects what is worth telling of an answer."""

    def __init__(self) -> None:
        self._body = bytearray()
        self.wait = 0.0

    def take(self, data: bytes) -> int:
        self._body += data[: MOST_ANSWER - len(self._body)]
        return len(data)

    def head(self, raw: bytes) -> None:
        name, _, value = raw.decode("latin-1").partition(":")
        if name.strip().lower() == "retry-after" and value.strip().isdecimal():
            self.wait = min(float(value), 3600.0)

    @property
    def text(self) -> str:
        return " ".join(self._body.decode("utf-8", "replace").split())


def _explain(error: pycurl.error) -> str:
    known = {
        pycurl.E_COULDNT_CONNECT: "nobody listens there",
        pycurl.E_COULDNT_RESOLVE_HOST: "its name does not resolve",
        pycurl.E_OPERATION_TIMEDOUT: "no answer in time",
        pycurl.E_ABORTED_BY_CALLBACK: "broken off, the master stops",
        pycurl.E_PEER_FAILED_VERIFICATION: f"its certificate is not trusted ({error.args[-1]}); set ca_file",
    }
    return known.get(int(error.args[0]), str(error.args[-1]))


#: Debian, Fedora, SUSE, Alpine keep their certificates here.
_CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def _system_ca_file() -> str:
    found = next((path for path in _CA_FILES if Path(path).is_file()), "")
    if not found:
        raise NotDelivered("no CA certificates on this system; install ca-certificates, or set ca_file")
    return found
