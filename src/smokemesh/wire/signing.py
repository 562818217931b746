"""HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530): who sent this, is it whole, is it fresh.

A request is signed over its method, path, query, the digest of its body and, where present, content type and
If-None-Match, with `created` (seconds UTC), a random `nonce`, the algorithm `hmac-sha256` and the agent's name as
`keyid`. An answer is signed over its status, content type and digest, bound to the request by the request's own
signature (`;req`, section 2.4): it can be neither forged, nor taken from another exchange. Nothing here reads a
clock: the caller passes `now`.

`@authority` is left out on purpose. Proxies rewrite Host, and whoever replays a request to another master sets Host as
well, so covering it would break honest set-ups and stop nobody. What a replay to another master could do is nothing:
rounds are stored once per (agent, epoch, sequence), whoever brings them.

This is the strict subset we write, in the standard library: `http-message-signatures` is the judge in the tests, but
loads `cryptography`, 14 MB that an agent has no other use for.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from smokemesh.errors import AuthError
from smokemesh.wire.messages import CONTENT_TYPE

#: Seconds the two clocks may differ.
MOST_SKEW: Final = 300
#: The name of our signature among others that a proxy may add.
LABEL: Final = "sm"
_ALWAYS: Final = ("@method", "@path", "@query", "content-digest")
_WHEN_PRESENT: Final = ("content-type", "if-none-match")
_ANSWER: Final = ("@status", "content-digest")
_REQUEST_SIGNATURE: Final = f'"signature";req;key="{LABEL}"'

_INPUT = re.compile(
    rf"(?:^|,[ \t]*){LABEL}=(\((?P<covered>[ -~]{{0,500}}?)\)"
    r'(?P<params>(?:;[a-z]{1,10}=(?:"[ !#-\[\]-~]{0,300}"|[0-9]{1,10})){1,8}))[ \t]*(?=,|$)'
)
_PARAM = re.compile(r';([a-z]+)=(?:"([^"]*)"|([0-9]+))')
_SIGNATURE = re.compile(rf"(?:^|,[ \t]*){LABEL}=(:[A-Za-z0-9+/]{{43}}=:)[ \t]*(?=,|$)")
_DIGEST = re.compile(r"(?:^|,[ \t]*)sha-256=:([A-Za-z0-9+/]{43}=):[ \t]*(?=,|$)")


@dataclass(frozen=True, slots=True)
class Verified:
    """Who signed a message, when (seconds UTC by the signer's clock), and what makes it unique."""

    key_id: str
    created: int
    nonce: str


def sign_request(
    method: str,
    url: str,
    body: bytes,
    *,
    key_id: str,
    secret: bytes,
    created: int,
    nonce: str,
    content_type: str = CONTENT_TYPE,
    if_none_match: str = "",
) -> dict[str, str]:
    """The headers to send with the request; `url` may be whole or only path and query."""
    headers = {"Content-Digest": content_digest(body)}
    if body:
        headers["Content-Type"] = content_type
    if if_none_match:
        headers["If-None-Match"] = if_none_match
    fields = {name.lower(): value for name, value in headers.items()}
    covered = [f'"{name}"' for name in (*_ALWAYS, *(n for n in _WHEN_PRESENT if n in fields))]
    values = {**fields, **_target(method, url)}
    return headers | _sign(covered, values, _params(created, key_id, nonce), secret)


def verify_request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret_of: Callable[[str], bytes | None],
    now: float,
    most_skew: float = MOST_SKEW,
) -> Verified:
    """Who sent this request. Raises AuthError when that is not certain."""
    signer = authenticate(method, url, headers, secret_of=secret_of)
    check_digest(headers, body)
    check_clock(signer, now, most_skew)
    return signer


def authenticate(
    method: str, url: str, headers: Mapping[str, str], *, secret_of: Callable[[str], bytes | None]
) -> Verified:
    """Who signed the head of this request: decided before a byte of its body is read."""
    fields = _fields(headers)
    signed = _read(fields, "request")
    missing = [n for n in (*_ALWAYS, *(n for n in _WHEN_PRESENT if n in fields)) if f'"{n}"' not in signed.covered]
    if missing:
        raise AuthError(f"the request's signature does not cover {', '.join(missing)}")
    if not signed.key_id or not signed.nonce or signed.created is None:
        raise AuthError("the request's signature lacks one of keyid, created, nonce")
    key_id = unquote(signed.key_id)
    secret = secret_of(key_id)
    # An unknown name costs as long and is answered alike as a wrong secret: names cannot be found by trying.
    good = signed.matches(fields | _target(method, url), secret or b"no such agent")
    if not good or not secret:
        raise AuthError(
            f"agent {key_id!r} is unknown here or signs with another secret; "
            "compare its name and secret file with the master's configuration"
        )
    return Verified(key_id=key_id, created=signed.created, nonce=signed.nonce)


def check_digest(headers: Mapping[str, str], body: bytes) -> None:
    """Raise AuthError unless `body` is what Content-Digest, which is signed, was made from."""
    found = _DIGEST.findall(_fields(headers).get("content-digest", ""))
    if len(found) != 1:
        raise AuthError("Content-Digest holds no single sha-256 digest")
    if not hmac.compare_digest(found[0], _sha256(body)):
        raise AuthError(f"the body ({len(body)} bytes) does not match its Content-Digest: it was changed on the way")


def check_clock(signer: Verified, now: float, most_skew: float = MOST_SKEW) -> None:
    """Raise AuthError when the signer's clock and ours differ too much."""
    ahead = signer.created - now
    if abs(ahead) > most_skew:
        raise AuthError(
            f"the clock of agent {signer.key_id!r} shows {_clock(signer.created)} and the master's {_clock(now)}: "
            f"{abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}, at most {most_skew:.0f} s are accepted; "
            "set both by NTP"
        )


def sign_response(
    status: int,
    body: bytes,
    *,
    request_signature: str,
    key_id: str,
    secret: bytes,
    created: int,
    content_type: str = CONTENT_TYPE,
) -> dict[str, str]:
    """The headers to answer with; `request_signature` is the request's Signature header."""
    headers = {"Content-Digest": content_digest(body)}
    if body:
        headers["Content-Type"] = content_type
    fields = {name.lower(): value for name, value in headers.items()}
    covered = [f'"{name}"' for name in (*_ANSWER, *(n for n in _WHEN_PRESENT if n in fields))]
    values = {**fields, "@status": str(status), **_bound(request_signature)}
    return headers | _sign([*covered, _REQUEST_SIGNATURE], values, _params(created, key_id), secret)


def verify_response(
    status: int, headers: Mapping[str, str], body: bytes, *, request_signature: str, key_id: str, secret: bytes
) -> None:
    """Raise AuthError unless this is the answer to our request, from one who knows the secret.

    No clock is asked: the request's signature, with its nonce, makes the answer fresh.
    """
    fields = _fields(headers)
    signed = _read(fields, "answer")
    needed = [f'"{n}"' for n in (*_ANSWER, *(("content-type",) if body else ()))]
    missing = [name for name in (*needed, _REQUEST_SIGNATURE) if name not in signed.covered]
    if missing:
        raise AuthError(f"the answer's signature does not cover {', '.join(missing)}")
    values = fields | {"@status": str(status)} | _bound(request_signature)
    if unquote(signed.key_id) != key_id or not signed.matches(values, secret):
        raise AuthError("the answer is not signed with our secret, or belongs to another request")
    check_digest(headers, body)


def content_digest(body: bytes) -> str:
    """The Content-Digest of a body (RFC 9530)."""
    return f"sha-256=:{_sha256(body)}:"


class Replays:
    """Remembers the nonces of accepted requests for as long as their `created` would be accepted again.

    It is told the time. Memory is bounded per agent, so that one cannot push out another's nonces. It begins empty
    after a restart: what is replayed then finds its rounds stored already.
    """

    def __init__(self, most_skew: float = MOST_SKEW, most_per_key: int = 100_000) -> None:
        self._most_skew, self._most = most_skew, most_per_key
        self._seen: dict[str, OrderedDict[str, float]] = {}

    def admit(self, signer: Verified, now: float) -> None:
        """Remember a verified request. Raises AuthError when it was seen before."""
        seen = self._seen.setdefault(signer.key_id, OrderedDict())
        while seen and next(iter(seen.values())) < now:
            seen.popitem(last=False)
        if signer.nonce in seen:
            raise AuthError(f"this request of agent {signer.key_id!r} was received before: a replay")
        if len(seen) >= self._most:
            raise AuthError(f"agent {signer.key_id!r} sent more than {self._most} requests in {self._most_skew:.0f} s")
        seen[signer.nonce] = signer.created + self._most_skew

    def __len__(self) -> int:
        return sum(len(seen) for seen in self._seen.values())


@dataclass(frozen=True, slots=True)
class _Signed:
    """A Signature-Input and its Signature, read but not yet believed."""

    #: Serialised component identifiers, in order.
    covered: tuple[str, ...]
    #: The text that stands after `@signature-params`.
    text: str
    signature: str
    key_id: str
    nonce: str
    created: int | None

    def matches(self, values: Mapping[str, str], secret: bytes) -> bool:
        """Is the signature made with `secret` over these values?"""
        mac = b64encode(_mac(self.covered, values, self.text, secret)).decode()
        return hmac.compare_digest(self.signature, f":{mac}:")


def _read(fields: Mapping[str, str], what: str) -> _Signed:
    if "signature-input" not in fields or "signature" not in fields:
        raise AuthError(f"the {what} is not signed")
    inputs = list(_INPUT.finditer(fields["signature-input"]))
    signatures = _SIGNATURE.findall(fields["signature"])
    if len(inputs) != 1 or len(signatures) != 1:
        raise AuthError(f"the {what} carries no readable signature named {LABEL!r}")
    covered = tuple(inputs[0]["covered"].split(" "))
    params = {name: text or number for name, text, number in _PARAM.findall(inputs[0]["params"])}
    if len(set(covered)) != len(covered):
        raise AuthError(f"the {what}'s signature covers a component twice")
    if params.get("alg") != "hmac-sha256":
        raise AuthError(f"the {what} is signed by {params.get('alg', 'an unnamed algorithm')!r}, hmac-sha256 is needed")
    created = params.get("created", "")
    return _Signed(
        covered=covered,
        text=inputs[0][1],
        signature=signatures[0],
        key_id=params.get("keyid", ""),
        nonce=params.get("nonce", ""),
        created=int(created) if created.isdigit() else None,
    )


def _sign(covered: list[str], values: Mapping[str, str], params: str, secret: bytes) -> dict[str, str]:
    text = f"({' '.join(covered)}){params}"
    mac = b64encode(_mac(covered, values, text, secret)).decode()
    return {"Signature-Input": f"{LABEL}={text}", "Signature": f"{LABEL}=:{mac}:"}


def _params(created: int, key_id: str, nonce: str = "") -> str:
    # A structured-field string is printable ASCII (RFC 8941 section 3.3.3); names may be anything.
    unique = f';nonce="{nonce}"' if nonce else ""
    return f';created={created};keyid="{quote(key_id, safe=" ")}";alg="hmac-sha256"{unique}'


def _mac(covered: list[str] | tuple[str, ...], values: Mapping[str, str], text: str, secret: bytes) -> bytes:
    """HMAC over the signature base (RFC 9421 section 2.5)."""
    lines = []
    for component in covered:
        value = values.get(component if component == _REQUEST_SIGNATURE else component.strip('"'))
        if value is None:
            raise AuthError(f"the signature covers {component}, which the message does not have")
        lines.append(f"{component}: {value}\n")
    lines.append(f'"@signature-params": {text}')
    try:
        return hmac.digest(secret, "".join(lines).encode("ascii"), "sha256")
    except UnicodeEncodeError:
        raise AuthError("a signed header holds characters that are not ASCII") from None


def _target(method: str, url: str) -> dict[str, str]:
    """The derived components of a request (RFC 9421 section 2.2)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise AuthError("the request's URL cannot be read") from None
    return {"@method": method.upper(), "@path": parts.path or "/", "@query": f"?{parts.query}"}


def _bound(request_signature: str) -> dict[str, str]:
    found = _SIGNATURE.findall(request_signature)
    if len(found) != 1:
        raise AuthError(f"the request carries no readable signature named {LABEL!r}")
    return {_REQUEST_SIGNATURE: found[0]}


def _fields(headers: Mapping[str, str]) -> dict[str, str]:
    """Header fields by lower-case name; lines of one name are joined as RFC 9421 section 2.1 says.

    Names of derived components cannot come from a header: "@" is no part of a field name.
    """
    fields: dict[str, str] = {}
    for name, value in headers.items():
        name, value = name.lower(), value.strip(" \t")
        if not name.startswith("@"):
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _sha256(body: bytes) -> str:
    return b64encode(hashlib.sha256(body).digest()).decode()


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
