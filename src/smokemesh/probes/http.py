"""The HTTP engine: libcurl fetches documents over new connections, many at once; its own times are the RTTs.

The address that the agent resolved and permitted is the one connected to; any other host, of a second URL or of a redirect,
is permitted or refused when its socket is opened. Each ping begins with a new connection; no proxy, cookies or TLS sessions.
"""

import errno
import itertools
import os
import select
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, Final

import pycurl

from smokemesh.model import options
from smokemesh.model.options import HttpOptions
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ANSWER, ERROR_CURL, ERROR_ERRNO, Flag
from smokemesh.probes import sockets
from smokemesh.probes.certificates import system_ca_file
from smokemesh.probes.engine import Permit, anyone
from smokemesh.probes.flight import Watcher
from smokemesh.probes.paced import Attempt, PacedEngine
from smokemesh.probes.urls import bracketed, fill, url_host
from smokemesh.version import __version__

#: Bytes of an answer that are read; a longer one is broken off and the ping lost.
MOST_BODY: Final = 16 * 2**20
_MOST_REDIRECTS: Final = 10
#: Connections kept until a redirect or a second URL of the same ping is over; of more the oldest idle ones are closed.
_MOST_KEPT: Final = 32
#: No RTT is shorter.
_LEAST_RTT: Final = 1e-6
#: A server's certificate is looked at this often, seconds; of more hosts those looked at longest ago are forgotten.
_CERTIFICATE_INTERVAL: Final = 3600.0
_MOST_CERTIFICATES: Final = 4096
_PROTOCOLS: Final = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_EVENTS: Final = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_PHASES: Final = {
    "connect": pycurl.CONNECT_TIME,
    "appconnect": pycurl.APPCONNECT_TIME,
    "namelookup": pycurl.NAMELOOKUP_TIME,
    "pretransfer": pycurl.PRETRANSFER_TIME,
    "redirect": pycurl.REDIRECT_TIME,
    "starttransfer": pycurl.STARTTRANSFER_TIME,
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A probe's options, ready for use."""

    options: HttpOptions
    urls: tuple[str, ...]
    expect: bytes
    #: First and last status of each range that counts; none takes any.
    statuses: tuple[tuple[int, int], ...]
    headers: list[str]


@dataclass(slots=True, eq=False)
class _Fetch:
    """One ping: its URLs one after the other."""

    attempt: Attempt
    wanted: _Wanted
    #: What curl took for the documents so far, seconds.
    took: float = 0.0
    number: int = -1
    curl: pycurl.Curl | None = None
    received: int = 0
    #: The end of what was read, as long as the expected text may begin in it.
    tail: bytes = b""
    found: bool = False
    #: Why a socket was not opened, as in `RoundBatch.error`.
    refused: int = 0
    #: The host whose certificate is looked at, "" for none.
    look_at: str = ""


class HttpEngine(PacedEngine):
    """Rounds of HTTP requests."""

    kind: ClassVar[str] = "http"
    most_open: ClassVar[int] = 256
    #: A TLS handshake costs about so much of our own time.
    gap: ClassVar[float] = 0.004

    def __init__(self, *, permit: Permit = anyone, watcher: Watcher | None = None) -> None:
        super().__init__(permit=permit, watcher=watcher)
        self._fetches: dict[pycurl.Curl, _Fetch] = {}
        self._alarms = itertools.count(1)
        self._alarm = 0
        #: Host -> when its certificate is looked at again, and when it expires (seconds UTC, 0 for unknown).
        self._certificates: dict[str, tuple[float, float]] = {}
        self._ca_file = ""
        self._multi = pycurl.CurlMulti()
        # As with curl itself, a redirect or a second URL goes over the connection that is there already.
        self._multi.setopt(pycurl.M_MAXCONNECTS, _MOST_KEPT)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    def begin(self, attempt: Attempt) -> None:
        """Ask for the first document."""
        try:
            wanted = _wanted(attempt.probe.options)
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error)) from error
        attempt.state = fetch = _Fetch(attempt, wanted)
        self._fetch_next(fetch)

    def give_up(self, attempt: Attempt) -> None:
        """Break off what is under way."""
        if isinstance(attempt.state, _Fetch):
            self._drop(attempt.state)

    def release(self) -> None:
        """Close what is left."""
        self._multi.close()

    def describe(self) -> str:
        """`http=libcurl/8.5.0`, and which certificate expires first."""
        known = [(expires, host) for host, (_, expires) in list(self._certificates.items()) if expires]
        version = f"http={pycurl.version.split()[1] if ' ' in pycurl.version else pycurl.version}"
        if not known:
            return version
        expires, host = min(known)
        return f"{version} certificate={host}:{datetime.fromtimestamp(expires, UTC):%Y-%m-%d}"

    # One document

    def _fetch_next(self, fetch: _Fetch) -> None:
        fetch.number += 1
        fetch.received, fetch.tail = 0, b""
        curl = pycurl.Curl()
        try:
            self._set(curl, fetch)
        except pycurl.error as error:
            curl.close()
            raise OSError(errno.EINVAL, str(error)) from error
        fetch.curl = curl
        self._fetches[curl] = fetch
        self._multi.add_handle(curl)

    def _set(self, curl: pycurl.Curl, fetch: _Fetch) -> None:
        probe, wanted, asked = fetch.attempt.probe, fetch.wanted, fetch.wanted.options
        host = fetch.attempt.request.host or fetch.attempt.request.address
        url = fill(wanted.urls[fetch.number], host)
        values: dict[int, Any] = {
            pycurl.URL: url, pycurl.NOSIGNAL: 1, pycurl.TCP_NODELAY: 1, pycurl.PROXY: "",
            pycurl.PROTOCOLS: _PROTOCOLS, pycurl.REDIR_PROTOCOLS: _PROTOCOLS,
            pycurl.FOLLOWLOCATION: int(asked.follow_redirects), pycurl.MAXREDIRS: _MOST_REDIRECTS,
            pycurl.FRESH_CONNECT: int(fetch.number == 0), pycurl.FORBID_REUSE: int(_particular(probe)),
            pycurl.SSL_SESSIONID_CACHE: 0,
            pycurl.DNS_CACHE_TIMEOUT: 0, pycurl.USERAGENT: asked.agent or f"smokemesh/{__version__}",
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2TLS, pycurl.HTTPHEADER: wanted.headers,
            pycurl.IPRESOLVE: _family(probe.family),
            pycurl.WRITEFUNCTION: lambda data: _read(fetch, data),
            pycurl.OPENSOCKETFUNCTION: lambda _purpose, address: self._open_socket(fetch, address),
        }  # fmt: skip
        if asked.insecure:
            values |= {pycurl.SSL_VERIFYPEER: 0, pycurl.SSL_VERIFYHOST: 0}
        elif url.lower().startswith("https:") or asked.follow_redirects:
            values[pycurl.CAINFO] = asked.ca_file or self._system_ca_file()
        for option, value in values.items():
            curl.setopt(option, value)
        self._pin(curl, fetch, url, host)

    def _pin(self, curl: pycurl.Curl, fetch: _Fetch, url: str, host: str) -> None:
        """Connect to the address that was resolved for this host, unless looking it up is what is measured."""
        address, name = fetch.attempt.request.address, url_host(url)
        pinned = name and address and name == url_host(fill(fetch.wanted.urls[0], host))
        if pinned and fetch.wanted.options.measure != "namelookup":
            curl.setopt(pycurl.CONNECT_TO, [f"{bracketed(name)}::{bracketed(address)}:"])
        if url.lower().startswith("https:") and self._certificates.get(name, (0.0, 0.0))[0] < time.monotonic():
            fetch.look_at = name
            curl.setopt(pycurl.OPT_CERTINFO, 1)

    def _system_ca_file(self) -> str:
        self._ca_file = self._ca_file or system_ca_file()
        return self._ca_file

    def _open_socket(self, fetch: _Fetch, address: Any) -> "_Lent | int":
        """libcurl asks for a socket to this address: the last chance to refuse it."""
        where = str(address.addr[0])
        if self.permit(where):
            fetch.refused = ERROR_ERRNO + errno.EACCES
            return pycurl.SOCKET_BAD
        try:
            return _Lent(sockets.open_socket(fetch.attempt.probe, where, address.socktype & 0xF, abort=False))
        except OSError as error:
            fetch.refused = ERROR_ERRNO + (error.errno or errno.EIO)
            return pycurl.SOCKET_BAD

    def _done(self, curl: pycurl.Curl, code: int) -> None:
        fetch = self._fetches[curl]
        error = self._judge(fetch, curl, code)
        if not error:
            fetch.took += _took(curl, fetch.wanted.options)
            if fetch.look_at:
                self._note_certificate(curl, fetch)
        self._drop(fetch)
        attempt, more = fetch.attempt, fetch.number + 1 < len(fetch.wanted.urls)
        if code == pycurl.E_OPERATION_TIMEDOUT:
            self.end(attempt)
        elif error:
            self.end(attempt, error=error, flags=Flag.SEND_ERROR if fetch.refused else 0)
        elif more:
            self._go_on(fetch)
        elif fetch.wanted.expect and not fetch.found:
            self.end(attempt, error=ERROR_ANSWER)
        else:
            self.end(attempt, max(fetch.took, _LEAST_RTT))

    def _go_on(self, fetch: _Fetch) -> None:
        try:
            self._fetch_next(fetch)
        except OSError as error:
            self.end(fetch.attempt, error=ERROR_ERRNO + (error.errno or errno.EIO), flags=Flag.SEND_ERROR)

    def _judge(self, fetch: _Fetch, curl: pycurl.Curl, code: int) -> int:
        """Why a finished transfer is no answer, as in `RoundBatch.error`; 0 when it is one."""
        if code:
            number = int(curl.getinfo(pycurl.OS_ERRNO)) if code == pycurl.E_COULDNT_CONNECT else 0
            return fetch.refused or (ERROR_ERRNO + number if number else ERROR_CURL + code)
        status = int(curl.getinfo(pycurl.RESPONSE_CODE))
        ranges = fetch.wanted.statuses
        taken = not ranges or any(first <= status <= last for first, last in ranges)
        return 0 if taken else ERROR_ANSWER + status

    def _note_certificate(self, curl: pycurl.Curl, fetch: _Fetch) -> None:
        """What the configured host shows; where it redirects to, it alone decides, and that is not noted."""
        name, fetch.look_at = fetch.look_at, ""
        own = url_host(str(curl.getinfo(pycurl.EFFECTIVE_URL))) == name
        expires = _expiry(curl.getinfo(pycurl.INFO_CERTINFO)) if own else 0.0
        self._certificates.pop(name, None)
        self._certificates[name] = (time.monotonic() + _CERTIFICATE_INTERVAL, expires)
        if len(self._certificates) > _MOST_CERTIFICATES:
            del self._certificates[next(iter(self._certificates))]

    def _drop(self, fetch: _Fetch) -> None:
        curl, fetch.curl = fetch.curl, None
        if curl is not None:
            del self._fetches[curl]
            self._multi.remove_handle(curl)
            curl.close()

    # libcurl's wishes

    def _on_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self.unwatch(fd)
        elif what in _EVENTS:
            self.watch(fd, _EVENTS[what], lambda events: self._act(fd, events))

    def _on_timer(self, wait: int) -> None:
        self._alarm = mine = next(self._alarms)
        if wait >= 0:
            self.call_at(time.monotonic() + wait / 1000, lambda: self._ring_alarm(mine))

    def _ring_alarm(self, number: int) -> None:
        if number == self._alarm:
            self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, fd: int, events: int) -> None:
        mask = (pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0) | (
            pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
        ) | (pycurl.CSELECT_ERR if events & select.EPOLLERR else 0)  # fmt: skip
        self._multi.socket_action(fd, mask)
        more = 1
        while more:
            more, good, bad = self._multi.info_read()
            for curl in good:
                self._done(curl, 0)
            for curl, code, _text in bad:
                self._done(curl, code)


class _Lent:
    """A socket for libcurl: pycurl takes a duplicate of its file and lets go of it."""

    def __init__(self, opened: socket.socket) -> None:
        self._file = opened.detach()

    def fileno(self) -> int:
        """The file."""
        return self._file

    def __del__(self) -> None:
        os.close(self._file)


def _read(fetch: _Fetch, data: bytes) -> int:
    """Look at what arrived; a number other than its length breaks off."""
    fetch.received += len(data)
    expect = fetch.wanted.expect
    if expect and not fetch.found:
        seen = fetch.tail + data
        fetch.found = expect in seen
        fetch.tail = seen[-len(expect) + 1 :] if len(expect) > 1 else b""
    return len(data) if fetch.received <= MOST_BODY else 0


def _took(curl: pycurl.Curl, asked: HttpOptions) -> float:
    if asked.measure in _PHASES:
        return float(curl.getinfo(_PHASES[asked.measure]))
    took = float(curl.getinfo(pycurl.TOTAL_TIME)) - float(curl.getinfo(pycurl.NAMELOOKUP_TIME))
    return took + (float(curl.getinfo(pycurl.REDIRECT_TIME)) if asked.include_redirects else 0.0)


def _particular(probe: Probe) -> bool:
    """Its sockets differ from others' in what libcurl does not know: their connections must never be used by another."""
    return bool(probe.source or probe.interface or probe.dscp or probe.ttl != 64)


def _family(family: str) -> int:
    return {"4": pycurl.IPRESOLVE_V4, "6": pycurl.IPRESOLVE_V6}.get(family, pycurl.IPRESOLVE_WHATEVER)


@lru_cache(maxsize=1024)
def _wanted(pairs: tuple[tuple[str, str], ...]) -> _Wanted:
    asked = options.read(HttpOptions, pairs)
    if not asked.url.split():
        raise ValueError("url: is empty")
    if asked.measure not in _PHASES and asked.measure != "total":
        raise ValueError(f"measure: {asked.measure!r} is none of curl's times")
    headers = [line.strip() for line in asked.headers.splitlines() if line.strip()]
    return _Wanted(asked, tuple(asked.url.split()), asked.expect.encode(), _statuses(asked.status), headers)


def _statuses(text: str) -> tuple[tuple[int, int], ...]:
    """`200-399,401` as ranges."""
    ranges = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        ranges.append((int(first), int(last or first)))
    return tuple(ranges)


def _expiry(chain: Any) -> float:
    """When the server's own certificate expires, seconds UTC; 0 for unknown. libcurl writes `Expire date:...`."""
    for key, value in chain[0] if chain else ():
        if key == "Expire date":
            try:
                return datetime.strptime(value, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()
            except ValueError:
                return 0.0
    return 0.0
