"""What a value may be: how it is read from text, how it is described to a person and to JSON Schema.

`Kind.parse` takes the text as written and returns the value, or raises ValueError with the end of a sentence that
begins with that text: `is not a duration; write one like 10s`.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from smokemesh.settings.durations import format_duration, parse_duration, parse_size

#: Names stand in URLs, in file names and in signatures, so they are plain ASCII; titles may hold any script.
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
#: Places in the tree and probes may be called as SmokePing calls them, too.
PLACE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
_PATH = re.compile(rf"/|(?:/{PLACE.pattern})+")
_SEEN = re.compile(rf"(?:/{PLACE.pattern})+(?:~{PLACE.pattern})?")
_DYNAMIC = re.compile(r"DYNAMIC(?:/[A-Za-z0-9+/=_-]{1,100})?")
_MAIL = re.compile(r"[^\s@|,<>]+@[^\s@,<>]+")
_COLOR = re.compile(r"#?([0-9A-Fa-f]{6})")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")

#: An agent fetches no more for one ping.
MOST_URLS: Final = 10

#: What JSON Schema is told of durations; `settings.durations` reads them.
_DURATION: Final = r"([0-9]+(\.[0-9]+)?(y|w|d|h|m|s|ms|us))+|[0-9]+(\.[0-9]+)?"

#: Names of code points (RFC 2474, 2597, 3246, 5865, 8622).
CODE_POINTS: Final[dict[str, int]] = {
    "be": 0, "le": 1, "ef": 46, "va": 44,
    **{f"cs{i}": 8 * i for i in range(8)},
    **{f"af{i}{j}": 8 * i + 2 * j for i in range(1, 5) for j in range(1, 4)},
}  # fmt: skip


Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value."""

    #: For people: "duration", "whole number, 1 to 255".
    name: str
    parse: Callable[[str], Any]
    #: JSON Schema of what may be written.
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})
    #: A list of such values instead of one.
    many: bool = False
    #: A mapping from names to such values instead of one, and what such a name may be.
    keyed: bool = False
    keys: "Kind | None" = None
    #: Values of any shape: text, lists and mappings of them.
    free: bool = False


def text(most: int = 200_000) -> Kind:
    """Any text of one or more characters."""

    def parse(written: str) -> str:
        if not written.strip():
            raise ValueError("is empty; write some text or remove the line")
        if len(written) > most:
            raise ValueError(f"is longer than {most} characters; shorten it")
        return written

    return Kind("text", parse, {"type": ["string", "number", "boolean"]})


def choice(*words: str) -> Kind:
    """One of a few words."""

    def parse(written: str) -> str:
        if written not in words:
            raise ValueError(f"is not known here; write {_either(words)}")
        return written

    return Kind(_either(words), parse, {"enum": [*words, *(int(w) for w in words if w.isdigit())]})


def any_text() -> Kind:
    """Any text, also none at all."""
    return Kind("text", lambda written: written, {"type": ["string", "number", "boolean"]})


def anything() -> Kind:
    """Text, or lists and mappings of text at any depth."""
    return Kind("anything", lambda written: written, {"type": ["object", "array", "string", "number"]}, free=True)


def probe_kind(known: tuple[str, ...], later: tuple[str, ...], meant: dict[str, str]) -> Kind:
    """What a probe sends; a planned kind is no slip of the pen, so it is told apart, and so are other names of known ones."""

    def parse(written: str) -> str:
        if written in meant:
            raise ValueError(f"is called {meant[written]} here")
        if written not in known:
            state = "not in this version" if written in later else "unknown"
            raise ValueError(f"is {state}; write {_either(known)}")
        return written

    return Kind(_either(known), parse, {"enum": list(known)})


def yes_no() -> Kind:
    """True or false."""

    def parse(written: str) -> bool:
        if written.lower() not in ("true", "false"):
            raise ValueError("is neither true nor false; write one of them")
        return written.lower() == "true"

    return Kind("true or false", parse, {"type": "boolean"})


def whole(least: int, most: int) -> Kind:
    """A whole number within bounds."""

    def parse(written: str) -> int:
        if not _WHOLE.fullmatch(written):
            raise ValueError(f"is not a whole number; write {least} to {most}")
        return _bounded(int(written), least, most)

    return Kind(f"whole number, {least} to {most}", parse, {"type": "integer", "minimum": least, "maximum": most})


def number(least: float, most: float) -> Kind:
    """A number within bounds."""

    def parse(written: str) -> float:
        try:
            value = float(written)
        except ValueError:
            raise ValueError(f"is not a number; write {least:g} to {most:g}") from None
        return _bounded(value, least, most)

    return Kind(f"number, {least:g} to {most:g}", parse, {"type": "number", "minimum": least, "maximum": most})


def size(least: int, most: int) -> Kind:
    """Bytes, `1GiB`."""

    def parse(written: str) -> int:
        return _bounded(parse_size(written), least, most)

    return Kind("size", parse, {"type": ["string", "integer"], "pattern": r"^[0-9.]+ ?([KMGTkmgt][Ii]?)?[Bb]?$"})


def duration(least: float, most: float, none: str = "") -> Kind:
    """Seconds, `10s`; with `none`, that word means None."""

    def parse(written: str) -> float | None:
        if none and written == none:
            return None
        seconds = parse_duration(written)
        if not least <= seconds <= most:
            side = "short" if seconds < least else "long"
            raise ValueError(f"is too {side}; write {format_duration(least)} to {format_duration(most)}")
        return seconds

    name = f"duration, {format_duration(least)} to {format_duration(most)}" + (f", or {none}" if none else "")
    words = [_DURATION, *([none] if none else [])]
    return Kind(name, parse, {"type": ["string", "number"], "pattern": f"^({'|'.join(words)})$"})


def name() -> Kind:
    """A name of ours."""
    return Kind("name", parse_name, {"type": ["string", "integer"], "pattern": f"^{NAME.pattern}$"})


def parse_name(written: str) -> str:
    """A name: letters, digits, `_`, `.` and `-`. Raises ValueError."""
    if not NAME.fullmatch(written):
        raise ValueError("is no name; write up to 64 ASCII letters, digits, _ . or -, the first a letter, digit or _")
    return written


def place_name() -> Kind:
    """The name of a place in the tree."""
    return Kind("name", parse_place, {"type": ["string", "integer"], "pattern": f"^{PLACE.pattern}$"})


def parse_place(written: str) -> str:
    """The name of a place. Raises ValueError."""
    if not PLACE.fullmatch(written):
        raise ValueError("is no name; write up to 200 ASCII letters, digits, _ . or -, the first no dot")
    return written


def alert_name() -> Kind:
    """What an alert may be called: SmokePing takes anything without blanks and commas."""

    def parse(written: str) -> str:
        if not re.fullmatch(r"[^\s,]{1,200}", written) or not written.isprintable():
            raise ValueError("is no name of an alert; write up to 200 characters without blanks and commas")
        return written

    return Kind("name", parse, {"type": ["string", "integer"], "pattern": r"^[^\s,]{1,200}$"})


def seen_path() -> Kind:
    """A target, or a target as one agent sees it."""

    def parse(written: str) -> str:
        if not _SEEN.fullmatch(written):
            raise ValueError("is no target; write its path like /group/host or /group/host~agent")
        return written

    return Kind("path, or path~agent", parse, {"type": "string", "pattern": f"^{_SEEN.pattern}$"})


def tree_path() -> Kind:
    """The path of a target."""

    def parse(written: str) -> str:
        if not _PATH.fullmatch(written):
            raise ValueError("is not a path of the tree; write one like /group/host")
        return written

    return Kind("path", parse, {"type": "string", "pattern": f"^{_PATH.pattern}$"})


def color() -> Kind:
    """Six hexadecimal digits, with or without `#`."""

    def parse(written: str) -> str:
        match = _COLOR.fullmatch(written)
        if not match:
            raise ValueError("is not a colour; write six hexadecimal digits like 1f77b4")
        return match[1].lower()

    return Kind("colour", parse, {"type": ["string", "integer"], "pattern": f"^{_COLOR.pattern}$"})


def code_point() -> Kind:
    """A differentiated services code point, as number or by name."""

    def parse(written: str) -> int:
        if written.lower() in CODE_POINTS:
            return CODE_POINTS[written.lower()]
        if _WHOLE.fullmatch(written) and 0 <= int(written) <= 63:
            return int(written)
        raise ValueError(
            "is not a code point; write 0 to 63 or a name like ef, cs1 or af21 (a TOS byte is four times it)"
        )

    return Kind("code point, 0 to 63 or a name", parse, {"type": ["string", "integer"]})


def host() -> Kind:
    """A host name or an address."""
    return Kind("host name or address", parse_host)


def target_host() -> Kind:
    """A host, or one that tells its own address (SmokePing's DYNAMIC)."""

    def parse(written: str) -> str:
        return written if _DYNAMIC.fullmatch(written) else parse_host(written)

    return Kind("host name or address", parse)


def parse_host(written: str) -> str:
    """A host as the network takes it: an address in its usual spelling, or a name (IDNA-encoded). Raises ValueError."""
    if "://" in written:
        raise ValueError("is a URL; write its host alone")
    if "/" in written:
        raise ValueError("is a network or a path; write one address or host name")
    if ":" in written or re.fullmatch(r"[0-9.]+", written):
        return _parse_literal(written)
    return _parse_name_of_host(written)


def _parse_literal(written: str) -> str:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        if re.fullmatch(r"[^:]+:[0-9]+", written):
            raise ValueError("holds a port; write the host alone") from None
        raise ValueError("is not an address; write an IPv4 or IPv6 address or a host name") from None
    if address.is_unspecified:
        raise ValueError("means any address; write the address of one host")
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local and not address.scope_id:
        raise ValueError(f"is link-local, so it needs its interface; write one like {address}%eth0")
    return str(address)


def _parse_name_of_host(written: str) -> str:
    bad = ValueError("is not a host name; write one like router.example.net")
    try:
        ascii_name = written.encode("idna").decode("ascii")  # RFC 3490; raises for empty and overlong labels
    except UnicodeError:
        raise bad from None
    labels = ascii_name.removesuffix(".").split(".")
    if len(ascii_name) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise bad
    return ascii_name


def address() -> Kind:
    """One IP address, without a zone."""

    def parse(written: str) -> str:
        try:
            return str(ipaddress.ip_address(written))
        except ValueError:
            raise ValueError("is not an address; write an IPv4 or IPv6 address") from None

    return Kind("address", parse)


def mail_address() -> Kind:
    """One mail address."""

    def parse(written: str) -> str:
        if not _MAIL.fullmatch(written):
            raise ValueError("is not a mail address; write one like noc@example.net")
        return written

    return Kind("mail address", parse)


def sender() -> Kind:
    """Who a mail comes from: an address, with a name before it in angle brackets or without."""

    def parse(written: str) -> str:
        if not re.fullmatch(r"[^<>\n\r]*<[^\s@|,<>]+@[^\s@,<>]+>", written) and not _MAIL.fullmatch(written):
            raise ValueError("is no sender; write one like noc@example.net or NOC <noc@example.net>")
        return written

    return Kind("mail address", parse)


def recipient() -> Kind:
    """Who is told: an address, a program, or a receiver by its name."""

    def parse(written: str) -> str:
        if written.startswith("|"):
            if not written[1:].strip():
                raise ValueError("names no program; write one like |/usr/local/bin/page-me")
        elif re.match(r"(snpp|xmpp):\S", written):
            pass
        elif not _MAIL.fullmatch(written) and not NAME.fullmatch(written):
            raise ValueError(
                "is nobody; write an address like noc@example.net, |/path/of/program or the name of a receiver"
            )
        return written

    return Kind("address, |program or name of a receiver", parse)


def server() -> Kind:
    """A server, with its port or without."""

    def parse(written: str) -> str:
        host_part, colon, port = written.rpartition(":")
        if not colon or written.count(":") > 1 and not host_part.endswith("]"):
            host_part, port = written, "25"
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise ValueError("has a port that is none; write HOST or HOST:PORT")
        parse_host(host_part.removeprefix("[").removesuffix("]"))
        return written

    return Kind("HOST or HOST:PORT", parse)


def record_type() -> Kind:
    """A type of DNS record."""

    def parse(written: str) -> str:
        import dns.exception
        import dns.rdatatype

        try:
            dns.rdatatype.from_text(written)
        except (dns.exception.DNSException, ValueError):
            raise ValueError("is no type of record; write one like A, AAAA, MX or TXT") from None
        return written.upper()

    return Kind("type of record", parse)


def statuses() -> Kind:
    """HTTP statuses and ranges of them."""

    def parse(written: str) -> str:
        for part in written.split(","):
            first, _, last = part.strip().partition("-")
            if not re.fullmatch(r"[1-5][0-9][0-9]", first) or (last and not re.fullmatch(r"[1-5][0-9][0-9]", last)):
                raise ValueError("is no list of statuses; write one like 200-399,401")
            if last and last < first:
                raise ValueError(f"holds {part.strip()}, which is no range; write {last}-{first}")
        return "".join(written.split())

    return Kind("statuses", parse, {"type": ["string", "integer"]})


def network() -> Kind:
    """An IP network; a single address is a network of one."""

    def parse(written: str) -> str:
        try:
            return str(ipaddress.ip_network(written))
        except ValueError as error:
            if "host bits" in str(error):
                inside = ipaddress.ip_network(written, strict=False)
                raise ValueError(f"has bits beyond its prefix; write {inside}") from None
            raise ValueError("is not a network; write one like 192.0.2.0/24 or 2001:db8::/32") from None

    return Kind("network", parse)


def interface() -> Kind:
    """The name of a network interface (IFNAMSIZ leaves 15 bytes)."""

    def parse(written: str) -> str:
        if not re.fullmatch(r"[^\s/:]{1,15}", written) or len(written.encode()) > 15 or written in (".", ".."):
            raise ValueError("is not an interface; write a name like eth0, at most 15 bytes")
        return written

    return Kind("interface", parse)


def master_type() -> Kind:
    """How several masters are used."""

    def parse(written: str) -> str:
        if written in ("hot", "failover", "disable"):
            raise ValueError("is not in this version; write str and one master")
        if written != "str":
            raise ValueError("is unknown; write str")
        return written

    return Kind("str", parse, {"enum": ["str"]})


def listen() -> Kind:
    """Where to listen."""
    return Kind("HOST:PORT", parse_listen)


def parse_listen(written: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8080`, `[::]:8080` or `localhost:8080`; port 0 takes a free one. Raises ValueError."""
    cure = "write HOST:PORT, like 127.0.0.1:8080 or [::]:8080"
    bare, colon, port = written.rpartition(":")
    if not colon or not bare:
        raise ValueError(f"is not an address to listen on; {cure}")
    if ":" in bare and not (bare.startswith("[") and bare.endswith("]")):
        raise ValueError(f"needs brackets around the IPv6 address; {cure}")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("has a port that is none; write 1 to 65535 after the colon")
    host_part = bare.strip("[]")
    try:
        return str(ipaddress.ip_address(host_part)), int(port)
    except ValueError:
        if ":" in bare or re.fullmatch(r"[0-9.]+", host_part):
            raise ValueError(f"is not an address to listen on; {cure}") from None
    return _parse_name_of_host(host_part), int(port)


def master_url() -> Kind:
    """Where a master is."""
    return Kind("URL", parse_master_url)


def parse_master_url(written: str) -> str:
    """A master's base URL without a slash at its end. Raises ValueError."""
    cure = "write one like https://master.example.net:8080"
    try:
        parts = urlsplit(written)
        host_part, port = parts.hostname or "", parts.port
        if host_part:
            parse_host(host_part)
    except ValueError:
        raise ValueError(f"is not a URL of a master; {cure}") from None
    if parts.scheme not in ("http", "https") or not host_part or port == 0 or re.search(r"\s", written):
        raise ValueError(f"is not a URL of a master; {cure}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"holds more than scheme, host, port and path; {cure}")
    return written.rstrip("/")


def probe_url() -> Kind:
    """One or more URLs to fetch; `{host}` stands for the target's host."""

    def parse(written: str) -> str:
        urls = written.split()
        if not urls:
            raise ValueError("is empty; write one like https://{host}/")
        if len(urls) > MOST_URLS:
            raise ValueError(f"holds {len(urls)} URLs; write at most {MOST_URLS}")
        for url in urls:
            if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]", url):
                raise ValueError("is not a URL; write one like https://{host}/")
        return " ".join(urls)

    return Kind("URL", parse)


def web_url() -> Kind:
    """A URL of http or https."""

    def parse(written: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#][^\s]*", written):
            raise ValueError("is not a URL; write one like https://smoke.example.net")
        return written

    return Kind("URL", parse)


def url_path() -> Kind:
    """The path of a URL of ours."""

    def parse(written: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9_.~+-]+)+/?", written) or "/.." in written or "/./" in written:
            raise ValueError("is no path of a URL; write one like /smokeping.cgi")
        return written

    return Kind("path of a URL", parse)


def bound() -> Kind:
    """How much of a measure: a share, or seconds. The value is (number, "share" or "time" or "" when it does not say)."""

    def parse(written: str) -> tuple[float, str]:
        bare = written.strip()
        if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?%", bare):
            return float(bare[:-1]) / 100, "share"
        if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", bare):
            return float(bare), ""
        try:
            return parse_duration(bare), "time"
        except ValueError:
            raise ValueError("is no bound; write one like 20% or 150ms") from None

    return Kind("share or duration", parse, {"type": ["string", "number"]})


def dsn(*schemes: str) -> Kind:
    """Where something is kept, as a URL of one of some schemes."""

    def parse(written: str) -> str:
        scheme, separator, rest = written.partition("://")
        if not separator or scheme.split("+")[0] not in schemes or not rest:
            raise ValueError(
                f"is not a place to keep things; write one that begins with {_either([f'{s}://' for s in schemes])}"
            )
        return written

    return Kind("URL", parse)


def file_path() -> Kind:
    """A file; what is relative is so to the directory of the file it stands in."""

    def parse(written: str) -> str:
        if not written or "\0" in written:
            raise ValueError("is not a path; write where the file is")
        return written

    return Kind("path of a file", parse)


def list_of(kind: Kind) -> Kind:
    """A list of values."""
    schema = {"type": "array", "items": kind.schema}
    return Kind(f"list: {kind.name}", kind.parse, schema, many=True)


def mapping_of(kind: Kind, keys: Kind | None = None) -> Kind:
    """A mapping from names to values."""
    schema = {"type": "object", "additionalProperties": kind.schema}
    return Kind(f"mapping: name to {kind.name}", kind.parse, schema, keyed=True, keys=keys or name())


def _bounded(value: Number, least: float, most: float) -> Number:
    if not least <= value <= most:
        side = "small" if value < least else "large" if value > most else "vague"
        raise ValueError(f"is too {side}; write {least:.15g} to {most:.15g}")
    return value


def _either(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else str(last)
