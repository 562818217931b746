"""Options: what only one kind of probe needs. Typed here once, for those who write them and those who measure by them.

They travel in `Probe.options` as pairs of text, so that an agent of another version reads what it knows; `read` gives
them their types, `write` takes those that differ from the defaults. Times are seconds.
"""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, TypeVar

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpOptions:
    """Echo requests need nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpOptions:
    """A connection is opened and closed; its RTT is the kernel's (`TCP_INFO`), from SYN to SYN-ACK."""

    port: int = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """A document is fetched over a new connection (libcurl)."""

    #: `{host}` stands for the target's host. Several URLs, parted by blanks, are fetched one after the other and add up.
    url: str = "http://{host}/"
    #: Which of curl's times is the RTT: total (without the name look-up), connect, appconnect, namelookup, pretransfer,
    #: redirect, starttransfer.
    measure: str = "total"
    agent: str = ""
    insecure: bool = False
    follow_redirects: bool = False
    #: With `total`: the time that redirects took counts too.
    include_redirects: bool = False
    #: Text that must stand in the answer; without it the ping is lost.
    expect: str = ""
    #: Statuses that count as an answer, `200-399,401`; "" takes any.
    status: str = ""
    #: Further request headers, `Name: value`, one a line.
    headers: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsOptions:
    """A question to a name server."""

    #: The name asked for; "" asks for the target's host.
    query: str = ""
    #: The server asked, whose address is then the one measured (`measured_host`); "" asks the target's host.
    server: str = ""
    type: str = "A"
    port: int = 53
    protocol: str = "udp"
    #: Ask for recursion.
    recursion: bool = True
    require_noerror: bool = False
    require_nxdomain: bool = False
    require_answers: bool = False
    #: Text that must stand in one of the answers.
    expect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshOptions:
    """An SSH server's greeting (RFC 4253 section 4.2)."""

    port: int = 22
    #: What is timed: connect (TCP), established (from connected to its greeting), complete (both, and its answer to ours).
    until: str = "established"
    greeting: str = "SSH-2.0-smokemesh"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpOptions:
    """A mail server's greeting, or a whole message when `to` is written (RFC 5321)."""

    port: int = 25
    sender: str = ""
    to: str = ""
    subject: str = "smokemesh"
    #: Bytes of the message's body.
    body: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """A program that measures: run without a shell, its RTTs read from what it prints.

    Either `tool` names one that is known (`model.tools`), which makes the command line from `settings`; or `argv` is the
    command line, which an agent runs only when its own `limits.commands` names the program.
    """

    #: A key of `tools.TOOLS`; "" takes `argv`.
    tool: str = ""
    #: Options of that tool, `key=value` a line, as `tools.write` makes them.
    settings: str = ""
    #: The command line, split as a shell would; `{host}`, `{address}`, `{pings}`, `{timeout}`, `{family}` are put in after.
    argv: str = ""
    #: How the output of `argv` is read: `lines` (an RTT a line, `-` or an empty one is lost), `exit` (the time it ran
    #: counts, status 0 is an answer), `regex:…` (each match of group 1), or the name of a tool whose output it is.
    parse: str = "lines"
    #: Unit of what it prints: s, ms, us or ns.
    unit: str = "s"
    #: One run gives one RTT (`ping`) or all of a round (`round`). A tool knows that by itself.
    run: str = "ping"
    #: Most runs at once among the targets of this probe; others wait, and their rounds begin late.
    forks: int = 5
    #: File on the agent with variables (NAME=value a line) the program gets, for passwords: never on the command line.
    #: Tools that log in take PASSWORD or SECRET from it. Readable by its owner only.
    environment_file: str = ""


#: Kind of probe -> its options.
KINDS: Final[dict[str, type[Any]]] = {
    "icmp": IcmpOptions,
    "tcp": TcpOptions,
    "http": HttpOptions,
    "dns": DnsOptions,
    "ssh": SshOptions,
    "smtp": SmtpOptions,
    "command": CommandOptions,
}


def read(kind: type[Options], pairs: Iterable[tuple[str, str]]) -> Options:
    """The options with their types. Unknown ones are left out. Raises ValueError that names key and value."""
    given = dict(pairs)
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # every kind is a dataclass
        if field.name in given:
            values[field.name] = _typed(field.name, field.type, given[field.name])
    return kind(**values)


def write(options: Any) -> tuple[tuple[str, str], ...]:
    """Those that differ from their defaults, sorted, as `Probe.options` holds them."""
    pairs = []
    for field in fields(options):
        value = getattr(options, field.name)
        if field.default is MISSING or value != field.default:
            pairs.append((field.name, str(value).lower() if isinstance(value, bool) else str(value)))
    return tuple(sorted(pairs))


def measured_host(kind: str, pairs: Iterable[tuple[str, str]], host: str) -> str:
    """The name or address that must be resolved to measure a host: a question to a name server goes to the server."""
    return (dict(pairs).get("server") or host) if kind == "dns" else host


def _typed(key: str, wanted: Any, text: str) -> Any:
    if wanted is bool:
        if text not in ("true", "false"):
            raise ValueError(f"{key}: {text!r} is neither true nor false")
        return text == "true"
    if wanted in (int, float):
        try:
            return wanted(text)
        except ValueError as error:
            raise ValueError(f"{key}: {text!r} is no number") from error
    return text
