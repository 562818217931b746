"""What SmokePing's slaves and masters say to each other (protocol 2): requests, signatures and answers, both ends of it.

The slave always asks: it posts its results, and is answered `OK`, a new configuration, or a warning. Only the results are
signed (HMAC-MD5), and 200 means "delivered" to a slave whatever the text says.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from smokemesh.errors import WireError

VERSION: Final = "2"
#: A slave compares this letter by letter: no charset may follow.
CONFIGURATION: Final = "application/smokeping-config"
TEXT: Final = "text/plain"
USER_AGENT: Final = "smokeping-slave/1.0"
OK: Final = b"OK\n"

#: Bounds of a request: fields, bytes of a part's header, bytes of every field but `data`.
_MOST_FIELDS: Final = 32
_MOST_HEADER: Final = 4096
_MOST_VALUE: Final = 1024
_BOUNDARY: Final = re.compile(r'boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME: Final = re.compile(rb'content-disposition:[^\r\n]*?;\s*name\s*=\s*(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE)
_LEADING_NUMBER: Final = re.compile(rb"\s*([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Call:
    """What a slave asks, nothing of it proven."""

    slave: str
    #: HMAC-MD5 of `data`, hexadecimal.
    key: str
    protocol: str
    data: bytes = field(repr=False)
    #: `__last` of the configuration it works with, 0 for none.
    config_time: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def form_fields(content_type: str, body: bytes, query: bytes = b"") -> dict[str, bytes]:
    """The fields of a request: multipart, urlencoded or in the URL, in any order. Raises WireError."""
    kind = content_type.partition(";")[0].strip().lower()
    fields = _urlencoded(query)
    if kind == "multipart/form-data":
        found = _BOUNDARY.search(content_type)
        if not found:
            raise WireError("request: multipart/form-data names no boundary")
        return fields | _multipart(body, (found[1] or found[2]).encode("latin-1", "replace"))
    if kind == "application/x-www-form-urlencoded":
        return fields | _urlencoded(body)
    return fields


def call_of(fields: Mapping[str, bytes]) -> Call | None:
    """The slave's call; None when none is named, then it is a person's question. Raises WireError."""
    slave = fields.get("slave", b"")
    for name in ("slave", "key", "protocol", "config_time"):
        if len(fields.get(name, b"")) > _MOST_VALUE:
            raise WireError(f"request: field {name} has more than {_MOST_VALUE} bytes")
    if not slave:
        return None
    number = _LEADING_NUMBER.match(fields.get("config_time", b""))
    return Call(
        slave=_text(slave),
        key=_text(fields.get("key", b"")),
        protocol=_text(fields.get("protocol", b"?")),
        data=fields.get("data", b""),
        config_time=int(number[1]) if number else 0,
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _urlencoded(raw: bytes) -> dict[str, bytes]:
    """Fields parted by `&` or `;`; the first of a name counts."""
    try:
        pairs = parse_qsl(
            raw.replace(b";", b"&").decode("latin-1"),
            keep_blank_values=True,
            encoding="latin-1",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise WireError(f"request: more than {_MOST_FIELDS} fields") from None
    # What was percent-encoded is bytes; Latin-1 there and back keeps each of them.
    return {name: value.encode("latin-1") for name, value in reversed(pairs)}


def _multipart(body: bytes, boundary: bytes) -> dict[str, bytes]:
    """The parts of a form (RFC 7578); the first of a name counts."""
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary, _MOST_FIELDS + 1)[1:]
    if len(parts) > _MOST_FIELDS:
        raise WireError(f"request: more than {_MOST_FIELDS} fields")
    fields: dict[str, bytes] = {}
    for part in parts:
        if part.startswith(b"--"):
            return fields
        header, found, value = part.partition(b"\r\n\r\n")
        name = _NAME.search(header) if found and len(header) <= _MOST_HEADER else None
        if name is None:
            raise WireError("request: a part of the form has no name")
        fields.setdefault(_text(name[1] if name[1] is not None else name[2]), value)
    raise WireError("request: the form was cut off before its end")


def signature(secret: bytes, data: bytes) -> str:
    """HMAC-MD5 (RFC 2104) as lower-case hexadecimal."""
    return hmac.new(secret, data, "md5").hexdigest()


def is_genuine(secret: bytes, data: bytes, key: str) -> bool:
    """Was it signed with this secret? Takes equally long whatever the key is."""
    return hmac.compare_digest(signature(secret, data).encode(), key.encode("utf-8", "surrogateescape"))


def find_secret(secrets: bytes, slave: str) -> bytes | None:
    """A slave's secret in SmokePing's file of them (`name:secret` a line): the first that is exactly its own."""
    begin = slave.encode("utf-8", "surrogateescape") + b":"
    for line in secrets.splitlines():
        if line.startswith(begin):
            words = line[len(begin) :].split(None, 1)
            if words and not line[len(begin) :][:1].isspace():
                return words[0]
    return None


def warning(text: str, status: int = 200) -> Answer:
    """A text that the slave writes to its log, one line. With 200 it holds its results for delivered."""
    shown = "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else "?" for c in text[:-1])
    return Answer(status, TEXT, (shown + text[-1:]).encode("utf-8", "surrogateescape"))


def secrets_unreadable(file: str, why: str) -> Answer:
    """Our own fault, so not a 200: the slave shall keep what it has."""
    return warning(f"WARNING: Opening secrets file {file}: {why}\n", 503)


def no_secret(slave: str) -> Answer:
    """The slave has no line in the file."""
    return warning(f"WARNING: No secret found for slave {slave}\n")


def wrong_protocol(slave: str, protocol: str) -> Answer:
    """It speaks another version."""
    return warning(f"WARNING: I expected protocol {VERSION} and got {protocol} from slave {slave}. I will skip this.\n")


def unknown_slave(slave: str) -> Answer:
    """It has a secret and no section."""
    return warning(f"WARNING: I don't know the slave {slave} ignoring it")


def wrong_key(slave: str, key: str) -> Answer:
    """It signed with another secret."""
    return warning(f"WARNING: Data from {slave} was signed with {key} which does not match our expectation\n")


def nothing_assigned(slave: str) -> Answer:
    """What it brought is stored; there is nothing for it to measure."""
    return warning(f"WARNING: No targets found for slave '{slave}'\n")


def not_stored(why: str) -> Answer:
    """The slave keeps its results and comes again."""
    return warning(f"WARNING: {why}\n", 503)


def stored() -> Answer:
    """All is well."""
    return Answer(200, TEXT, OK)


def configuration(dump: bytes, secret: bytes) -> Answer:
    """A configuration the slave is to work with from now on."""
    return Answer(200, CONFIGURATION, dump, {"Protocol": VERSION, "Key": signature(secret, dump)})


def post(slave: str, secret: bytes, data: bytes, config_time: int) -> tuple[str, bytes]:
    """A slave's request: Content-Type and body, byte for byte as SmokePing's slave makes it."""
    fields = {
        "slave": slave.encode("utf-8", "surrogateescape"),
        "key": signature(secret, data).encode(),
        "protocol": VERSION.encode(),
        "data": data,
        "config_time": str(config_time).encode(),
    }
    boundary, number = b"xYzZY", 0
    while any(boundary in value for value in fields.values()):
        number += 1
        boundary = b"xYzZY%d" % number
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (boundary, name.encode(), value)
        for name, value in fields.items()
    ]
    body = b"".join(parts) + b"--" + boundary + b"--\r\n"
    return f"multipart/form-data; boundary={boundary.decode()}", body


@dataclass(frozen=True, slots=True)
class Reply:
    """What a master's answer means."""

    #: The master has our results; otherwise they are to be kept.
    delivered: bool
    #: The dump of a new configuration (`perl.read`), None for none.
    dump: bytes | None = field(default=None, repr=False)
    #: What went wrong, in one line; "" for nothing.
    problem: str = ""


def read_answer(status: int, headers: Mapping[str, str], body: bytes, secret: bytes) -> Reply:
    """A master's answer. Anything but `OK`, a genuine configuration or "nothing to measure" is no delivery, whatever its status."""
    given = {name.lower(): value for name, value in headers.items()}
    if not 200 <= status < 300:
        return Reply(False, problem=f"the master answered with status {status}: {_line(body)}")
    if given.get("content-type", "").partition(";")[0].strip().lower() != CONFIGURATION:
        if body.strip() == b"OK":
            return Reply(True)
        return Reply(body.startswith(b"WARNING: No targets found for slave"), problem=f"the master said: {_line(body)}")
    if given.get("protocol") != VERSION:
        return Reply(False, problem=f"the master speaks protocol {given.get('protocol', '?')[:20]}, not {VERSION}")
    if not is_genuine(secret, body, given.get("key", "")):
        return Reply(False, problem="the master's configuration is not signed with our secret; check both secrets")
    return Reply(True, dump=body)


def _line(body: bytes) -> str:
    """The beginning of an answer, fit for one line of a log."""
    text = " ".join(body[:2000].decode("utf-8", "replace").split())
    return "".join(c if c.isprintable() else "\ufffd" for c in text)[:200] or "nothing"
