"""One kept-alive connection to a master: requests go out signed, answers come in verified.

libcurl does the HTTP. Every wait can be broken off: the owner's `stop` is looked at at least once a second.
"""

import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from smokemesh.agent.transport import Transport
from smokemesh.errors import AuthError, MasterError, WireError
from smokemesh.wire.messages import ErrorReply, decode
from smokemesh.wire.signing import sign_request, verify_response

#: Seconds the clocks may differ before a refusal is blamed on them.
TOLERATED_SKEW: Final = 60.0
#: A proxy's own limit on bodies gives this answer.
TOO_LARGE: Final = 413


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
        self.base, self._identity = base.rstrip("/"), identity
        self._path = urlsplit(self.base).path
        self._transport = Transport(self.base, timeout=timeout, ca_file=ca_file, stop=stop)

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
        status, headers, received = self._transport.perform(method, url, signed | (extra or {}), body, wait)
        if status not in (401, 403):
            self._verify(status, headers, received, signed["Signature"], len(body))
        if 200 <= status < 300 or status == 304:
            return Answer(status, headers, received)
        raise self._refusal(status, headers, received)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

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


def _skew(headers: dict[str, str]) -> float:
    """Seconds our clock is ahead of the Date of an answer; 0 when it has none."""
    try:
        shown = datetime.strptime(headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return 0.0
    return time.time() - shown.timestamp()


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
