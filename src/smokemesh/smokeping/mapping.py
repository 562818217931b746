"""SmokePing's probes in our words: module and effective variables -> kind, settings and options, or why there is none.

Everything comes as text. A variable that is missing has SmokePing's default. Times are seconds.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import dns.exception
import dns.rdatatype

from smokemesh.model.options import KINDS, write
from smokemesh.model.probe import Probe
from smokemesh.model.tools import TOOLS
from smokemesh.model.tools import write as write_tool
from smokemesh.smokeping.fit import LONGEST_STEP, fit
from smokemesh.smokeping.variables import number

Variables = Mapping[str, str]

#: An agent fetches no more documents for one ping, and sends no larger messages, bytes.
MOST_URLS: Final = 10
MOST_BODY: Final = 1_000_000


class Unmapped(Exception):  # no failure of the program: the probe has no counterpart
    """Why nothing here measures what this probe does; the text ends a sentence that begins with its name."""


class Unusable(Unmapped):
    """Variables with which SmokePing's own probe measures nothing either; the text ends a sentence that begins with its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What measures the same."""

    kind: str
    #: Fields of `Probe` that are set, typed; a timeout always.
    values: dict[str, Any] = field(default_factory=dict)
    #: Options of this kind that are set, typed (`model.options`).
    options: dict[str, Any] = field(default_factory=dict)
    #: What differs from SmokePing, each the end of a sentence that begins with the probe's name.
    notes: tuple[str, ...] = ()

    def probe(self, name: str) -> Probe:
        """The probe."""
        return Probe(name=name, kind=self.kind, **self.values, options=write(KINDS[self.kind](**self.options)))


@dataclass(frozen=True, slots=True)
class Entry:
    """One of SmokePing's modules."""

    #: What runs instead, for people.
    runs: str
    make: Callable[[Variables], Mapped]
    #: How many seconds it lets pass between two pings when nobody says; None leaves that to us.
    interval: float | None = None


def map_probe(module: str, variables: Variables, step: float, pings: int, offset: str = "random") -> Mapped:
    """What measures as this module does with these variables; the rest as the whole configuration has it.

    Rounds are made to fit their step. Raises Unmapped and Unusable.
    """
    entry = TABLE.get(module)
    if entry is None:
        raise Unmapped("is none of SmokePing's own probes, and nothing here stands for it")
    made = entry.make(variables)
    _check_source(made.values)
    step = _number(variables, "step", step)
    values: dict[str, Any] = {
        "step": step,
        "pings": int(_number(variables, "pings", pings)),
        "offset": _offset(variables.get("offset") or offset, min(max(step, 1.0), LONGEST_STEP)),
        "interval": entry.interval,
        "timeout": 5.0,
    }
    values["pings"] = max(values["pings"], 1)
    fitted, notes = fit(values | made.values)
    return replace(made, values={k: v for k, v in fitted.items() if v is not None}, notes=(*made.notes, *notes))


def for_host(mapped: Mapped, host: str) -> tuple[Mapped, str]:
    """The same for one host: an address of the other IP version is measured as what it is; and a note, or "".

    Raises Unusable when it cannot be.
    """
    try:
        version = str(ipaddress.ip_address(host).version)
    except ValueError:
        return mapped, ""
    source = mapped.values.get("source", "")
    if source and str(ipaddress.ip_address(source).version) != version:
        raise Unusable(f"sends from {source}, from where {host} of the other IP version cannot be reached")
    family = mapped.values.get("family", version)
    if family == version:
        return mapped, ""
    note = f"insists on IPv{family}, {host} is measured by IPv{version}"
    return replace(mapped, values=mapped.values | {"family": version}), note


def _offset(text: str, step: float) -> float | None:
    text = text.strip()
    if text.endswith("%"):
        return min(number(text), 1e6) / 100 * step % step
    return None  # "random": each target has a place of its own


def _number(variables: Variables, key: str, otherwise: float) -> float:
    """As Perl counts; nothing and zero are as if it were not written."""
    return min(number(variables.get(key, "")), 1e12) or otherwise


def _yes(variables: Variables, key: str) -> bool:
    return variables.get(key, "").strip().lower() not in ("", "0", "no", "false", "off")


def _some(**values: Any) -> dict[str, Any]:
    """Without what is not set."""
    return {key: value for key, value in values.items() if value not in ("", None, False)}


def _family(variables: Variables, key: str) -> str:
    return variables[key] if variables.get(key) in ("4", "6") else ""


def _code_point(text: str) -> int | None:
    """From a TOS byte, `46` or `0xb8`."""
    try:
        return (int(text, 16) if text.lower().startswith("0x") else int(text)) >> 2 & 63 if text.strip() else None
    except ValueError:
        return None


def _interface(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}", text):
        raise Unusable(f"has interface = {text}, which is none")
    return text


def _mail(variables: Variables, key: str) -> str:
    """The bare address."""
    found = re.fullmatch(r"(?:.*<)?([^\s@|,<>]+@[^\s@,<>]+)>?", variables.get(key, ""))
    if variables.get(key) and not found:
        raise Unusable(f"has {key} = {variables[key]}, which is no mail address")
    return found[1] if found else ""


def _record(text: str) -> str:
    try:
        dns.rdatatype.from_text(text)
    except (dns.exception.DNSException, ValueError):
        raise Unusable(f"asks for {text}, which is no type of record") from None
    return "" if text.upper() == "A" else text.upper()


def _server(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,253}", text):
        raise Unusable(f"has server = {text}, which is no host")
    return text


def _check_source(values: Mapping[str, Any]) -> None:
    source, family = values.get("source", ""), values.get("family", "")
    if source and family and str(ipaddress.ip_address(source).version) != family:
        raise Unusable(f"sends from {source}, which is not IPv{family}")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


# FPing and its kin


def _fping(variables: Variables) -> Mapped:
    interval = _number(variables, "hostinterval", 1.0)
    values = _some(
        interval=interval,
        # fping takes the period for the time-out when it counts pings, up to two seconds.
        timeout=_number(variables, "timeout", min(interval, 2.0)),
        size=int(_number(variables, "packetsize", 56)),
        dscp=_code_point(variables.get("tos", "")),
        source=_address(variables.get("sourceaddress", "")),
        interface=_interface(variables.get("interface", "")),
        family=_family(variables, "protocol"),
    )
    notes = []
    if _yes(variables, "blazemode"):
        notes.append("drops the first ping of a round (blazemode), here every ping counts")
    if variables.get("fwmark"):
        notes.append("marks its packets (fwmark), here they bear no mark")
    return Mapped(kind="icmp", values=values, notes=tuple(notes))


def _fping6(variables: Variables) -> Mapped:
    return _fping({**variables, "protocol": variables.get("protocol") or "6"})


def _continuous(variables: Variables) -> Mapped:
    """Pings fill the step; with `hostinterval` only as much of it as that says."""
    made = _fping(variables)
    values = dict(made.values)
    if not variables.get("hostinterval"):
        values["interval"] = "fill"
    if not variables.get("timeout"):
        values["timeout"] = min(_number(variables, "hostinterval", 1.0), 2.0) if variables.get("hostinterval") else 1.0
    return replace(made, values=values)


# TCP, SSH, mail


def _tcp(variables: Variables) -> Mapped:
    return Mapped(kind="tcp", values={"timeout": 3.0}, options=_some(port=_port(variables)))


def _port(variables: Variables) -> int | None:
    port = int(_number(variables, "port", 0))
    return port if 0 < port < 65536 else None


def _another_ssh(variables: Variables) -> Mapped:
    until = variables.get("interval", "")
    return Mapped(
        kind="ssh",
        values=_some(timeout=_number(variables, "timeout", 5.0), interval=_number(variables, "mininterval", 0.5)),
        options=_some(
            port=_port(variables),
            until=until if until in ("connect", "complete") else "",
            greeting=variables.get("greeting", ""),
        ),
    )


def _echoping_smtp(variables: Variables) -> Mapped:
    return Mapped(
        kind="smtp",
        values=_some(timeout=_number(variables, "timeout", 5.0), family=_family(variables, "ipversion")),
        notes=_echoping_notes(variables),
    )


def _send_email(variables: Variables) -> Mapped:
    size = int(_number(variables, "bodysize", 0))
    return Mapped(
        kind="smtp",
        values=_some(timeout=_number(variables, "timeout", 5.0)),
        options=_some(
            port=_port(variables),
            sender=_mail(variables, "from"),
            to=_mail(variables, "to"),
            subject=variables.get("subject", "Test"),
            body=max(0, min(size, MOST_BODY)),
        ),
        notes=(f"sends {size} bytes (bodysize), here {MOST_BODY} are sent",) if size > MOST_BODY else (),
    )


# HTTP


def _curl(variables: Variables) -> Mapped:
    urls = [_whole_url(url.replace("%host%", "{host}")) for url in variables.get("urlformat", "").split()]
    if len(urls) > MOST_URLS:
        raise Unmapped(f"fetches {len(urls)} URLs for one ping, and here {MOST_URLS} are the most")
    measure = variables.get("write_out", "time_total").removeprefix("time_")
    if measure not in _CURL_TIMES:
        raise Unusable(f"has write_out = {variables['write_out']}, which is no time of curl's")
    values = _some(timeout=_number(variables, "timeout", 10.0))
    options = _some(
        url=" ".join(urls),
        measure="" if measure == "total" else measure,
        agent=variables.get("agent", ""),
        insecure=_yes(variables, "insecure_ssl"),
        follow_redirects=_yes(variables, "follow_redirects"),
        include_redirects=_yes(variables, "include_redirects"),
        expect=variables.get("expect", ""),
    )
    if address := _address(variables.get("interface", "")):
        values["source"] = address
    elif variables.get("interface"):
        values["interface"] = _interface(variables["interface"].removeprefix("if!"))
    return _with_extra(Mapped(kind="http", values=values, options=options), variables)


def _whole_url(url: str) -> str:
    whole = url if "://" in url else f"http://{url}"
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]", whole):
        raise Unusable(f"fetches {url}, which is no URL")
    return whole


_CURL_TIMES: Final = frozenset(
    {"appconnect", "connect", "namelookup", "pretransfer", "redirect", "starttransfer", "total"}
)


#: Words of curl -> what they mean here.
_CURL_FLAGS: Final[dict[str, tuple[str, Any]]] = {
    "-4": ("family", "4"), "--ipv4": ("family", "4"), "-6": ("family", "6"), "--ipv6": ("family", "6"),
    "-k": ("insecure", True), "--insecure": ("insecure", True),
    "-L": ("follow_redirects", True), "--location": ("follow_redirects", True),
    "-s": ("", ""), "--silent": ("", ""), "-S": ("", ""), "--show-error": ("", ""), "-q": ("", ""), "-0": ("", ""),
}  # fmt: skip
_CURL_VALUES: Final[dict[str, str]] = {
    "-A": "agent", "--user-agent": "agent", "-H": "headers", "--header": "headers", "--cacert": "ca_file",
    "-m": "timeout", "--max-time": "timeout", "--connect-timeout": "", "-o": "", "--output": "",
}  # fmt: skip


def _with_extra(made: Mapped, variables: Variables) -> Mapped:
    """What `extraargs` adds, as far as it can be said here; the rest is noted. They are parted by `extrare`."""
    values, options, strange = dict(made.values), dict(made.options), []
    words = _extra_words(variables)
    while words:
        word = words.pop(0)
        if word in _CURL_FLAGS:
            key, value = _CURL_FLAGS[word]
            (values if key == "family" else options).update({key: value} if key else {})
        elif word in _CURL_VALUES and words:
            value = words.pop(0)
            if (key := _CURL_VALUES[word]) == "headers":
                options[key] = "\n".join(filter(None, (options.get(key, ""), value)))
            elif key == "timeout":
                values[key] = _number({key: value}, key, values["timeout"])
            elif key:
                options[key] = value
        else:
            strange.append(word.partition("=")[0] if word.startswith("-") else "***")  # it may be a password
    notes = (f"tells curl {' '.join(strange)} (extraargs), which is not followed here",) if strange else ()
    return replace(made, values=values, options=options, notes=(*made.notes, *notes))


def _extra_words(variables: Variables) -> list[str]:
    text, separator = variables.get("extraargs", ""), variables.get("extrare", "/ /")
    if len(separator) > 2 and separator[0] == separator[-1] == "/":
        separator = separator[1:-1]
    if any(c in separator for c in r"\[](){}*+?.|^$"):
        separator = " "
    return [word.strip("'\"") for word in text.split(separator) if word.strip()]


def _echoping_http(variables: Variables, scheme: str = "http") -> Mapped:
    url = (variables.get("url") or "/").replace(" ", "%20")
    if "://" not in url:
        port = f":{variables['port']}" if variables.get("port") else ""
        url = f"{scheme}://{{host}}{port}/{url.removeprefix('/')}"
    caching = (
        "Cache-Control: no-cache\nPragma: no-cache" if _yes(variables, "ignore_cache")
        else "Cache-Control: max-age=0" if _yes(variables, "revalidate_data") else ""
    )  # fmt: skip
    return Mapped(
        kind="http",
        values=_some(timeout=_number(variables, "timeout", 10.0), family=_family(variables, "ipversion")),
        options=_some(
            url=_whole_url(url),
            insecure=scheme == "https",  # echoping never looks at a certificate
            status="200-399" if _yes(variables, "accept_redirects") else "200-299",
            headers=caching,
        ),
        notes=_echoping_notes(variables),
    )


def _echoping_notes(variables: Variables) -> tuple[str, ...]:
    extra = variables.get("extraopts", "")
    return (f"tells echoping {extra} (extraopts), which is not followed here",) if extra else ()


def _filter(variables: Variables) -> Mapped:
    deny = variables.get("deny_re", "")
    if any(c in deny for c in r"\[](){}*+?.|^$"):
        raise Unmapped(f"looks for the regular expression {deny}, and here an answer is only searched for plain text")
    return Mapped(
        kind="http",
        values={"timeout": _number(variables, "timeout", 2.0), "interval": _number(variables, "min_interval", 1.0)},
        options=_some(expect=deny, agent=variables.get("useragent", ""), follow_redirects=True),
    )


# Name servers


def _dns(variables: Variables) -> Mapped:
    return Mapped(
        kind="dns",
        values=_some(timeout=_number(variables, "timeout", 5.0)),
        options=_some(query=variables.get("lookup", ""), server=_server(variables.get("server", ""))),
    )


def _another_dns(variables: Variables) -> Mapped:
    options = _some(
        query=variables.get("lookup", ""),
        type=_record(variables.get("recordtype") or "A"),
        port=_port(variables),
        protocol=variables.get("protocol", "udp").lower(),
        require_noerror=_yes(variables, "require_noerror"),
        require_nxdomain=_yes(variables, "require_nxdomain"),
        require_answers=_yes(variables, "require_answers"),
        expect=variables.get("expect_text", ""),
    )
    if options.get("require_nxdomain"):
        options.pop("require_noerror", None)
    if _yes(variables, "authoritative"):
        options["recursion"] = False
    return Mapped(
        kind="dns",
        values=_some(
            timeout=_number(variables, "timeout", 5.0),
            interval=_number(variables, "mininterval", 0.5),
            family=_family(variables, "ipversion"),
        ),
        options={k: v for k, v in options.items() if (k, v) not in (("port", 53), ("protocol", "udp"))},
    )


def _echoping_dns(variables: Variables) -> Mapped:
    return Mapped(
        kind="dns",
        values=_some(timeout=_number(variables, "timeout", 5.0), family=_family(variables, "ipversion")),
        options=_some(
            query=variables.get("dns_request", ""),
            type=_record(variables.get("dns_type") or "A"),
            protocol="tcp" if _yes(variables, "dns_tcp") else "",
        ),
        notes=_echoping_notes(variables),
    )


# Programs


def _tool(
    name: str,
    usual: str = "",
    timeout: float = 5.0,
    names: Mapping[str, str] | None = None,
    **fixed: Any,
) -> Callable[[Variables], Mapped]:
    """The program `usual` under a name of `model.tools`; `names` are variables that are called otherwise there."""
    told = {f.name: f.name for f in fields(TOOLS[name]) if f.name not in fixed} | dict(names or {})

    def make(variables: Variables) -> Mapped:
        given = {told_as: variables[key] for told_as, key in told.items() if variables.get(key, "") != ""}
        if given.get("binary", "").rsplit("/", 1)[-1] == usual:
            del given["binary"]  # found by its name
        notes = _echoping_notes(variables) if name != "echoping" else ()
        given = {key: value for key, value in given.items() if "\n" not in value}
        settings = write_tool(TOOLS[name](**fixed, **_typed(TOOLS[name], given)))
        wait = _number(variables, "mininterval", _number(variables, "min_interval", 0.0))
        return Mapped(
            kind="command",
            values=_some(
                timeout=_number(variables, "sipsak_timeout", _number(variables, "timeout", timeout)),
                interval=wait if wait >= 0.05 else None,
                family=_family(variables, "ipversion"),
            ),
            options=_some(tool=name, settings=settings, forks=min(int(_number(variables, "forks", 0)), 10_000) or None),
            notes=notes,
        )

    return make


def _typed(tool: type[Any], given: dict[str, str]) -> dict[str, Any]:
    typed: dict[str, Any] = {}
    for each in fields(tool):
        if each.name not in given:
            continue
        if each.type is bool:
            typed[each.name] = _yes(given, each.name)
        elif each.type is int:
            typed[each.name] = int(_number(given, each.name, each.default))  # type: ignore[arg-type]  # an int field's
        else:
            typed[each.name] = given[each.name]
    return typed


def _irtt(variables: Variables) -> Mapped:
    made = _tool("irtt", "irtt")(variables)
    notes = [
        f"has {key} = {variables[key]}, which has no meaning here: each target's round is a run of its own"
        for key in ("writeto", "readfrom", "sleep")
        if variables.get(key)
    ]
    return replace(
        made, values=made.values | {"interval": _number(variables, "interval", 1.0)}, notes=(*made.notes, *notes)
    )


def _traceroute(variables: Variables) -> Mapped:
    made = _tool("traceroute", "traceroute")(variables)
    wait, hops = _number(variables, "wait", 1.0), _number(variables, "maxttl", 30.0)
    return replace(made, values=made.values | {"timeout": min(wait * hops, 30.0)})


def _nfs(variables: Variables) -> Mapped:
    made = _tool("nfsping", "nfsping")(variables)
    return replace(made, values=made.values | {"interval": _number(variables, "hostinterval", 1.0)})


def _remote_fping(variables: Variables) -> Mapped:
    made = _tool("remote-fping", "ssh")(variables)
    like = _fping(variables).values
    shared = {key: like[key] for key in ("interval", "timeout", "family") if key in like}
    return replace(made, values=made.values | shared)


def _refused(why: str) -> Callable[[Variables], Mapped]:
    def make(_variables: Variables) -> Mapped:
        raise Unmapped(why)

    return make


_RSH = "logs in by rsh, which no supported router and no supported Debian has; OpenSSHJunOSPing and OpenSSHEOSPing run"
_TELNET = "logs in by telnet with a password in clear; OpenSSHJunOSPing and OpenSSHEOSPing run"
_SLA = "sets up measurements on a Cisco router by SNMP, which nothing here does"
_DISMAN = "sets up measurements on a router by SNMP (DISMAN-PING-MIB), which nothing here does"
_TACACS = "logs in by TACACS+, for which no well-kept client exists"

_ECHOPING: Final = "`echoping` (kind `command`)"

#: Each of SmokePing's modules.
TABLE: Final[dict[str, Entry]] = {
    "FPing": Entry("the ICMP engine", _fping),
    "FPing6": Entry("the ICMP engine, IPv6", _fping6),
    "FPingContinuous": Entry("the ICMP engine, pings spread over the whole step", _continuous),
    "RemoteFPing": Entry("`ssh` to the remote host and its `fping` (kind `command`)", _remote_fping),
    "TCPPing": Entry("the TCP engine: the kernel's own time from SYN to SYN-ACK", _tcp),
    "Curl": Entry("the HTTP engine (libcurl)", _curl),
    "AnotherCurl": Entry("the HTTP engine (libcurl)", _curl),
    "EchoPingHttp": Entry("the HTTP engine (libcurl)", _echoping_http),
    "EchoPingHttps": Entry("the HTTP engine (libcurl)", lambda variables: _echoping_http(variables, "https")),
    "WebProxyFilter": Entry("the HTTP engine; a regular expression in `deny_re` is refused", _filter),
    "DNS": Entry("the DNS engine", _dns),
    "AnotherDNS": Entry("the DNS engine", _another_dns),
    "EchoPingDNS": Entry("the DNS engine", _echoping_dns),
    "AnotherSSH": Entry("the SSH engine", _another_ssh),
    "SSH": Entry("`ssh-keyscan` (kind `command`)", _tool("ssh-keyscan", "ssh-keyscan")),
    "EchoPingSmtp": Entry("the SMTP engine: the greeting", _echoping_smtp),
    "SendEmail": Entry("the SMTP engine: a whole message", _send_email),
    "EchoPing": Entry(_ECHOPING, _tool("echoping", "echoping", service="echo")),
    "EchoPingChargen": Entry(_ECHOPING, _tool("echoping", "echoping", service="chargen")),
    "EchoPingDiscard": Entry(_ECHOPING, _tool("echoping", "echoping", service="discard")),
    "EchoPingIcp": Entry(_ECHOPING, _tool("echoping", "echoping", service="icp")),
    "EchoPingPlugin": Entry(_ECHOPING, _tool("echoping", "echoping", service="plugin")),
    "EchoPingLDAP": Entry(_ECHOPING, _tool("echoping", "echoping", service="ldap")),
    "EchoPingWhois": Entry(_ECHOPING, _tool("echoping", "echoping", service="whois")),
    "LDAP": Entry("`ldapsearch` (kind `command`)", _tool("ldapsearch", "ldapsearch"), 1.0),
    "Radius": Entry("`radclient` (kind `command`)", _tool("radclient", "radclient"), 1.0),
    "FTPtransfer": Entry("`curl` (kind `command`)", _tool("ftp", "curl"), 1.0),
    "IRTT": Entry("`irtt` (kind `command`)", _irtt),
    "SipSak": Entry("`sipsak` (kind `command`)", _tool("sipsak", "sipsak", 2.0)),
    "NFSping": Entry("`nfsping` (kind `command`)", _nfs),
    "TraceroutePing": Entry("`traceroute` (kind `command`)", _traceroute),
    "Qstat": Entry("`quakestat` (kind `command`)", _tool("quakestat", "quakestat")),
    "OpenSSHJunOSPing": Entry(
        "`ssh` to the router and its own ping (kind `command`)",
        _tool("ssh-ping", "ssh", names={"user": "junosuser", "password": "junospass"}, system="junos"),
    ),
    "OpenSSHEOSPing": Entry(
        "`ssh` to the switch and its own ping (kind `command`)",
        _tool("ssh-ping", "ssh", names={"user": "eosuser", "password": "eospass"}, system="eos"),
    ),
    "IOSPing": Entry("", _refused(_RSH)),
    "TelnetIOSPing": Entry("", _refused(_TELNET)),
    "TelnetJunOSPing": Entry("", _refused(_TELNET)),
    "CiscoRTTMonEchoICMP": Entry("", _refused(_SLA)),
    "CiscoRTTMonTcpConnect": Entry("", _refused(_SLA)),
    "CiscoRTTMonDNS": Entry("", _refused(_SLA)),
    "DismanPing": Entry("", _refused(_DISMAN)),
    "TacacsPlus": Entry("", _refused(_TACACS)),
}

#: Variables of probes that say how SmokePing does it and nothing of what is measured.
NOT_NEEDED: Final = frozenset({"mininterval", "usestdout", "binary", "binaryv6", "tmpdir", "ssl2", "init_host"})


def markdown() -> str:
    """The table for people: what runs for each of SmokePing's probes."""
    rows = []
    for module, entry in sorted(TABLE.items()):
        if entry.runs:
            rows.append(f"| {module} | {entry.runs} |")
            continue
        try:
            entry.make({})
        except Unmapped as why:
            rows.append(f"| {module} | refused by `config check`: it {why} |")
    return "\n".join(["| SmokePing's probe | what runs |", "| --- | --- |", *rows, ""])
