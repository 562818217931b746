"""HTTP as the agent speaks it: one kept-alive connection to one master, and every wait can be broken off.

libcurl does the work. The owner's `stop` is looked at at least once a second. Times are seconds.
"""

import threading
from typing import Final
from urllib.parse import urlsplit

import pycurl

from smokemesh.errors import MasterError
from smokemesh.probes.certificates import system_ca_file
from smokemesh.version import __version__
from smokemesh.wire.messages import MOST_BODY

_LOCAL: Final = ("localhost", "127.", "[::1]")


class Transport:
    """Talks to one master. One thread at a time."""

    def __init__(
        self,
        base: str,
        *,
        timeout: float,
        ca_file: str = "",
        stop: threading.Event | None = None,
        most: int = MOST_BODY,
    ) -> None:
        """`most` bounds the bytes of an answer."""
        self.base, self._timeout, self._most = base, timeout, most
        self._ca_file, self._stop = ca_file, stop or threading.Event()
        self._curl = pycurl.Curl()

    def close(self) -> None:
        """Close the connection."""
        self._curl.close()

    def perform(
        self, method: str, url: str, headers: dict[str, str], body: bytes, wait: float
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request: status, headers with lower-case names, body. Raises MasterError when no answer came.

        `wait` is how long the master may take on top of the usual timeout.
        """
        curl, received, heads = self._curl, bytearray(), _Headers()
        curl.reset()  # keeps the connection, forgets the options
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.CUSTOMREQUEST, method)
        if body:
            curl.setopt(pycurl.POSTFIELDS, body)
        headers = {"User-Agent": f"smokemesh/{__version__}", "Accept": "*/*", "Expect": "", **headers}
        curl.setopt(pycurl.HTTPHEADER, [f"{k}: {v}" if v else f"{k}:" for k, v in headers.items()])
        curl.setopt(pycurl.WRITEFUNCTION, lambda data: _collect(received, data, self._most))
        curl.setopt(pycurl.HEADERFUNCTION, heads.line)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, round(self._timeout * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, round((self._timeout + wait) * 1000) + round(len(body) / 20))
        self._set_surroundings(curl)
        try:
            curl.perform()
        except pycurl.error as error:
            raise MasterError(f"{self.base}: {self._explain(error, url)}") from error
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

    def _explain(self, error: pycurl.error, url: str) -> str:
        code, text = int(error.args[0]), str(error.args[-1])
        host = urlsplit(url).netloc
        known = {
            pycurl.E_COULDNT_CONNECT: f"cannot connect to {host}; is the master running there?",
            pycurl.E_COULDNT_RESOLVE_HOST: f"the name {host} does not resolve",
            pycurl.E_OPERATION_TIMEDOUT: f"no answer from {host} in time",
            pycurl.E_ABORTED_BY_CALLBACK: "broken off, the agent is stopping",
            pycurl.E_PEER_FAILED_VERIFICATION: f"the certificate of {host} is not trusted ({text}); set ca_file",
            pycurl.E_WRITE_ERROR: f"the answer is larger than {self._most} bytes",
        }
        return known.get(code, text)


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


def _collect(received: bytearray, data: bytes, most: int) -> int:
    if len(received) + len(data) > most:
        return 0  # curl ends the transfer with a write error
    received += data
    return len(data)
