"""Every probe that ships with SmokePing: its variables, what they may be, defaults, what is mandatory.

The union of 2.7.3 and the newest sources. Where their defaults differ 2.7.3's stands, as its slaves need it written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from smokemesh.smokeping.variables import OFFSET, OFTEN, TEXT, Variable, digits, like, number, one_of

Variables = Mapping[str, Variable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A module of SmokePing."""

    name: str
    #: What SmokePing writes below its graphs.
    description: str
    #: It measures all its targets in one run (`base`), else one process a target.
    together: bool
    #: Variables of `*** Probes ***`, and those that a target may have too.
    probe: Variables
    target: Variables
    mandatory: tuple[str, ...] = ()
    target_mandatory: tuple[str, ...] = ()
    #: Variables that 2.7.3 does not know.
    newer: frozenset[str] = field(default_factory=frozenset)


def _default(value: str, variable: Variable = TEXT) -> Variable:
    return Variable(rule=variable.rule, default=value, needs=variable.needs)


def _agent(text: str) -> str:
    quoted = text[:1] in ("'", '"') or text[-1:] in ("'", '"')
    return "write it without quotes around it" if quoted else ""


def _port(text: str) -> str:
    return "" if 0 <= number(text) <= 65535 else "write a port, 0 to 65535"


def _type_of_service(text: str) -> str:
    fine = text in ("", "0") or (text.isascii() and text.isdigit() and float(text) <= 255)
    return "" if fine else "write a whole number, 0 to 255"


def _source_ports(text: str) -> str:
    fits = like(r"\d{1,5}(-\d{1,5})?", "write a port or two with a dash such as 20000-20100")(text)
    low, dash, high = text.partition("-")
    return fits or ("write the lower port first" if dash and float(low) > float(high) else "")


DIGITS = Variable(rule=digits())
SECONDS = Variable(rule=like(r"(\d*\.)?\d+", "write seconds as a decimal number, such as 0.5"))
YES = Variable(rule=one_of("yes", "no"))
TRUE = Variable(rule=one_of("true", "false"))
FAMILY = Variable(rule=one_of("4", "6"))
PROGRAM = Variable(needs="program")
READABLE = Variable(needs="readable")
IPV4 = Variable(rule=like(r"\d+(\.\d+){3}", "write an IPv4 address"))
PINGS = Variable(rule=OFTEN)
SIZE = Variable(rule=digits(12, 64000))
CISCO_SIZE = _default("56", Variable(rule=digits(8, 16392)))
REGEX = Variable(rule=like("/.*/", "write a regular expression between slashes, such as / /"))

_TIMES: Variables = {"step": DIGITS, "offset": Variable(rule=OFFSET)}
_BASE: Variables = {**_TIMES, "pings": PINGS}
#: One process a target, so that the probe's own time-out may stand in the probe only …
_FORK: Variables = {**_TIMES, "forks": _default("5", DIGITS)}
_FORK_TIMEOUT: Variables = {**_FORK, "timeout": _default("5", DIGITS)}
#: … and the number of pings in the target.
_TARGET: Variables = {"pings": PINGS}

_FPING_CONTINUOUS: Variables = {
    **_BASE,
    "binary": PROGRAM,
    "packetsize": SIZE,
    "timeout": SECONDS,
    "hostinterval": SECONDS,
    "sourceaddress": IPV4,
    "tos": Variable(rule=like(r"\d+|0x[0-9a-zA-Z]+", "write a number, or 0x and hexadecimal digits")),
    "usestdout": TRUE,
}
_FPING: Variables = {
    **_FPING_CONTINUOUS,
    "mininterval": _default("0.01", SECONDS),
    "blazemode": TRUE,
    "protocol": _default("4", FAMILY),
    "interface": TEXT,
    "fwmark": TEXT,
}
_NEW_FPING = frozenset({"interface", "fwmark"})

_CURL: Variables = {
    **_TARGET,
    "urlformat": TEXT,
    "timeout": _default("10", DIGITS),
    "agent": Variable(rule=_agent),
    "interface": TEXT,
    "ssl2": TEXT,
    "insecure_ssl": TEXT,
    "follow_redirects": _default("no", YES),
    "include_redirects": _default("no", YES),
    "extraargs": TEXT,
    "extrare": _default("/ /", REGEX),
}

_ECHO_PROBE: Variables = {**_FORK, "binary": _default("/usr/bin/echoping", PROGRAM)}
_ECHO_COMMON: Variables = {
    **_TARGET,
    "timeout": _default("5", SECONDS),
    "waittime": Variable(rule=like(r"\d+(?:\.\d+)?", "write seconds as a decimal number, such as 1.5")),
    "tos": TEXT,
    "priority": DIGITS,
    "ipversion": FAMILY,
    "extraopts": TEXT,
}
_ECHO_FILLED: Variables = {
    **_ECHO_COMMON,
    "size": DIGITS,
    "fill": Variable(rule=lambda text: "" if len(text) == 1 else "write one character"),
}
_ECHO_UDP: Variables = {**_ECHO_FILLED, "udp": TEXT}
_ECHO_HTTP: Variables = {
    **_ECHO_COMMON,
    "timeout": _default("10", SECONDS),
    "url": _default("/"),
    "port": DIGITS,
    "ignore_cache": TEXT,
    "revalidate_data": TEXT,
    "accept_redirects": TEXT,
}
_ECHO_PLUGIN: Variables = {**_ECHO_COMMON, "plugin": TEXT, "pluginargs": TEXT}

_PASSWORDS: Variables = {**_FORK, "passwordfile": READABLE}
_LOGIN: Variables = {
    **_TARGET,
    "username": TEXT,
    "password": TEXT,
    "secret": TEXT,
    "timeout": _default("5", DIGITS),
    "mininterval": _default("1", SECONDS),
}
_DEVICE: Variables = {**_TARGET, "source": TEXT, "psource": TEXT}
_CISCO: Variables = {**_TARGET, "ioshost": TEXT, "iosint": TEXT, "timeout": _default("15", DIGITS)}


def _fping(name: str, description: str, protocol: str, **probe: Variable) -> Probe:
    variables = {**_FPING, "protocol": _default(protocol, FAMILY), **probe}
    return Probe(
        name=name,
        description=description,
        together=True,
        probe=variables,
        target={},
        mandatory=("binary",),
        newer=_NEW_FPING,
    )


def _forking(
    name: str,
    description: str,
    target: Variables,
    needed: tuple[str, ...] = (),
    *,
    probe: Variables = _FORK_TIMEOUT,
    mandatory: tuple[str, ...] = (),
    newer: tuple[str, ...] = (),
) -> Probe:
    return Probe(
        name=name,
        description=description,
        together=False,
        probe=probe,
        target=target,
        mandatory=mandatory,
        target_mandatory=needed,
        newer=frozenset(newer),
    )


def _echo(name: str, description: str, target: Variables, *needed: str) -> Probe:
    return _forking(name, description, target, needed, probe=_ECHO_PROBE)


_ICMP = (
    _fping("FPing", "ICMP Echo Pings", "4"),
    _fping(
        "FPing6",
        "IPv6-ICMP Echo Pings",
        "6",
        sourceaddress=Variable(rule=like("[0-9A-Fa-f:.]+", "write an IPv6 address")),
    ),
    Probe(
        name="FPingContinuous",
        description="ICMP Echo Pings",
        together=True,
        probe=_FPING_CONTINUOUS,
        target={},
        mandatory=("binary",),
    ),
    Probe(
        name="RemoteFPing",
        description="Remote ICMP Echo Pings",
        together=True,
        probe={**_FPING, "rhost": TEXT, "rbinary": TEXT, "ruser": TEXT, "rport": TEXT},
        target={},
        mandatory=("binary", "rhost", "rbinary"),
        newer=_NEW_FPING,
    ),
    Probe(
        name="NFSping",
        description="NFSping",
        together=True,
        probe={
            **_BASE, "binary": PROGRAM, "mininterval": _default("0.01", SECONDS), "hostinterval": SECONDS,
            "timeout": SECONDS, "tcp": TRUE, "blazemode": TRUE,
        },
        target={},
        mandatory=("binary",),
    ),
)  # fmt: skip

_SERVICES = (
    _forking(
        "Curl",
        "URLs using curl(1)",
        {**_CURL, "expect": _default(""), "require_zero_status": _default("no", YES)},
        ("urlformat",),
        probe={**_FORK, "binary": _default("/usr/bin/curl", PROGRAM)},
    ),
    _forking(
        "AnotherCurl",
        "URLs using curl(1)",
        {**_CURL, "write_out": TEXT},
        ("urlformat",),
        probe={**_FORK, "binary": _default("/usr/bin/curl", PROGRAM)},
    ),
    _forking(
        "DNS",
        "DNS requests",
        {**_TARGET, "lookup": TEXT, "server": TEXT},
        probe={**_FORK_TIMEOUT, "binary": PROGRAM},
        mandatory=("binary",),
    ),
    _forking(
        "AnotherDNS",
        "DNS requests",
        {
            **_TARGET, "lookup": TEXT, "recordtype": _default("A"), "port": _default("53", DIGITS),
            "protocol": _default("udp", Variable(rule=one_of("udp", "UDP", "tcp", "TCP"))),
            "timeout": _default("5", DIGITS), "mininterval": _default("0.5", SECONDS), "ipversion": _default("4", FAMILY),
            "authoritative": _default("0"), "require_noerror": _default("0"), "require_answers": _default("0"),
            "require_nxdomain": _default("0"), "expect_text": TEXT,
        },
        probe=_FORK,
        newer=("require_nxdomain", "expect_text"),
    ),
    _forking(
        "SSH",
        "SSH requests",
        {
            **_TARGET, "port": _default("22", DIGITS), "ssh_af": _default("0"),
            "keytype": _default("rsa", Variable(rule=like("([ecdr]sa*|ecdsa|ed25519)", "write rsa, ecdsa or ed25519"))),
        },
        probe={**_FORK_TIMEOUT, "binary": PROGRAM, "init_host": _default("127.0.0.1")},
        mandatory=("binary",),
        newer=("ssh_af", "init_host"),
    ),
    _forking(
        "AnotherSSH",
        "SSH connections",
        {
            **_TARGET, "port": _default("22", DIGITS), "timeout": _default("5", DIGITS),
            "mininterval": _default("0.5", SECONDS),
            "greeting": _default("SSH-Latency-Measurement-Sorry-for-this-logmessage"),
            "interval": _default("established", Variable(rule=one_of("connect", "established", "complete"))),
        },
        probe=_FORK,
    ),
    _forking(
        "TCPPing",
        "TCP Pings",
        {**_TARGET, "port": Variable(rule=_port)},
        probe={**_FORK_TIMEOUT, "binary": PROGRAM},
        mandatory=("binary",),
    ),
    _forking(
        "TraceroutePing",
        "Traceroute (UDP + TTL)  Pings",
        {**_TARGET, "desthost": TEXT, "host": TEXT, "minttl": TEXT, "maxttl": TEXT, "wait": TEXT},
        ("desthost", "host"),
        probe={**_FORK_TIMEOUT, "binary": PROGRAM, "binaryv6": PROGRAM},
        mandatory=("binary",),
    ),
    _forking(
        "IRTT",
        "IRTT round-trips",
        {
            **_TARGET, "interval": _default("1", SECONDS), "length": DIGITS,
            "metric": _default("rtt", Variable(rule=one_of("rtt", "send", "receive", "ipdv", "send_ipdv", "receive_ipdv"))),
            "dscp": Variable(rule=like(r"(\d+|0x[0-9a-fA-F]{1,2})", "write a number, or 0x and one or two hexadecimal digits")),
            "hmac": TEXT, "fill": TEXT, "serverfill": TEXT, "localaddr": TEXT, "ipversion": FAMILY, "sleep": SECONDS,
            "readfrom": TEXT, "writeto": TEXT, "extraargs": TEXT,
            "readfrompollinterval": _default("5", Variable(rule=like(r"[1-9]\d*", "write a whole number, 1 or more"))),
        },
        probe={**_FORK_TIMEOUT, "binary": _default("/usr/bin/irtt", PROGRAM), "tmpdir": _default("/tmp/smokeping-irtt")},
        mandatory=("binary",),
    ),
    _forking(
        "WebProxyFilter",
        "HTTP GETs",
        {
            **_TARGET, "deny_re": TEXT, "timeout": _default("2", DIGITS),
            "more_hosts": Variable(rule=like(
                r"[^\s.]+(?:\.[^\s.]+)*(?:\s+,[^\s.]+(?:\.[^\s.]+)*)*", "write host names parted by commas without blanks after"
            )),
        },
        probe={
            **_FORK_TIMEOUT, "useragent": _default("SmokePing/2.x (WebProxyFilter Probe)"), "maxsize": _default("2000"),
            "min_interval": _default("1", SECONDS),
        },
        mandatory=("deny_re",),
    ),
    _forking(
        "SendEmail",
        "Measure time to send a complete email",
        {**_TARGET, "port": _default("25")},
        probe={**_FORK_TIMEOUT, "from": TEXT, "to": TEXT, "subject": _default("Test"), "bodysize": _default("0")},
        mandatory=("from", "to"),
    ),
    _forking(
        "SipSak",
        "SIP OPTIONS messages",
        {
            **_TARGET, "user": TEXT, "port": TEXT, "params": TEXT, "sipsak_timeout": _default("2"),
            "keep_second": Variable(rule=like("yes|no", "write yes or no")),
        },
        probe={**_FORK_TIMEOUT, "binary": _default("/usr/bin/sipsak", PROGRAM)},
    ),
    _forking(
        "Qstat",
        "Game server pings",
        _TARGET,
        probe={
            **_FORK_TIMEOUT, "binary": PROGRAM, "game": _default("q3s"), "port": DIGITS,
            "mininterval": _default("0.5", SECONDS), "sourceaddress": IPV4, "sourceport": Variable(rule=_source_ports),
        },
        mandatory=("binary",),
    ),
)  # fmt: skip

_ECHOPINGS = (
    _echo("EchoPing", "TCP or UDP Echo pings using echoping(1)", _ECHO_UDP),
    _echo("EchoPingChargen", "TCP Chargen pings using echoping(1)", _ECHO_FILLED),
    _echo("EchoPingDiscard", "TCP or UDP Discard pings using echoping(1)", _ECHO_UDP),
    _echo("EchoPingSmtp", "SMTP pings using echoping(1)", _ECHO_COMMON),
    _echo("EchoPingHttp", "HTTP pings using echoping(1)", _ECHO_HTTP),
    _echo("EchoPingHttps", "HTTPS pings using echoping(1)", {**_ECHO_HTTP, "prot": _default("443")}),
    _echo("EchoPingIcp", "ICP pings using echoping(1)", {**_ECHO_COMMON, "url": TEXT}, "url"),
    _echo("EchoPingPlugin", "Pings using an echoping(1) plugin", _ECHO_PLUGIN, "plugin"),
    _echo(
        "EchoPingDNS",
        "DNS pings using the echoping_dns plugin",
        {
            **_ECHO_PLUGIN, "plugin": _default("dns"), "dns_request": TEXT, "dns_type": _default("A"), "dns_tcp": TEXT,
        },
        "dns_request",
    ),
    _echo(
        "EchoPingLDAP",
        "LDAP pings using the echoping_ldap plugin",
        {**_ECHO_PLUGIN, "plugin": _default("ldap"), "ldap_request": TEXT, "ldap_base": TEXT, "ldap_scope": TEXT},
    ),
    _echo(
        "EchoPingWhois",
        "Whois pings using the echoping_whois plugin",
        {**_ECHO_PLUGIN, "plugin": _default("whois"), "whois_request": TEXT},
        "whois_request",
    ),
)  # fmt: skip

_LOGINS = (
    _forking(
        "LDAP",
        "LDAP queries",
        {
            **_TARGET, "filter": TEXT, "base": TEXT, "binddn": TEXT, "password": TEXT, "attrs": TEXT,
            "scope": _default("sub", Variable(rule=one_of("base", "one", "sub"))), "port": DIGITS,
            "scheme": _default("ldap", Variable(rule=one_of("ldap", "ldaps", "ldapi"))), "version": DIGITS,
            "start_tls": TEXT, "verify": _default("require", Variable(rule=one_of("none", "optional", "require"))),
            "timeout": _default("5", DIGITS), "mininterval": _default("1", SECONDS),
        },
        ("filter",),
        probe=_PASSWORDS,
    ),
    _forking(
        "Radius",
        "RADIUS queries",
        {**_LOGIN, "port": DIGITS, "nas_ip_address": TEXT, "allowreject": TRUE},
        ("username",),
        probe={**_PASSWORDS, "secretfile": READABLE},
    ),
    _forking(
        "TacacsPlus",
        "TacacsPlus Authentication Attempts",
        {
            **_LOGIN, "port": _default("49", DIGITS),
            "authtype": _default("ASCII", Variable(rule=one_of("ASCII", "CHAP", "PAP"))),
        },
        ("username",),
        probe={**_PASSWORDS, "secretfile": READABLE},
    ),
    _forking(
        "FTPtransfer",
        "FTP File transfers",
        {
            **_TARGET, "username": TEXT, "password": TEXT, "port": DIGITS, "passive": YES, "localaddr": TEXT,
            "timeout": DIGITS,
        },
        probe={
            **_PASSWORDS, "srcfile": TEXT, "mode": Variable(rule=one_of("get", "put")), "destfile": TEXT,
            "timeout": DIGITS, "min_interval": _default("1", SECONDS),
        },
        mandatory=("srcfile", "mode", "timeout"),
    ),
)  # fmt: skip

_ROUTERS = (
    _forking(
        "IOSPing",
        "Cisco IOS - ICMP Echo Pings",
        {**_TARGET, "ioshost": TEXT, "iosuser": TEXT, "iosint": TEXT},
        ("ioshost",),
        probe={**_FORK_TIMEOUT, "binary": PROGRAM, "packetsize": _default("56", SIZE)},
        mandatory=("binary",),
    ),
    _forking(
        "TelnetIOSPing",
        "InfoAve Cisco IOS - ICMP Echo Pings",
        {**_DEVICE, "iosuser": TEXT, "iospass": TEXT, "vrf": TEXT},
        ("iosuser", "iospass", "source"),
        probe={**_FORK_TIMEOUT, "packetsize": _default("56", SIZE)},
    ),
    _forking(
        "TelnetJunOSPing",
        "InfoAve Juniper JunOS - ICMP Echo Pings",
        {**_DEVICE, "junosuser": TEXT, "junospass": TEXT},
        ("junosuser", "junospass", "source"),
        probe={**_FORK_TIMEOUT, "packetsize": _default("100", SIZE)},
    ),
    _forking(
        "OpenSSHJunOSPing",
        "Juniper JunOS - ICMP Echo Pings",
        {**_DEVICE, "junosuser": TEXT, "junospass": TEXT},
        ("junosuser", "junospass", "source"),
        probe={**_FORK_TIMEOUT, "packetsize": _default("100", SIZE), "tos": Variable(rule=_type_of_service)},
    ),
    _forking(
        "OpenSSHEOSPing",
        "Arista EOS - ICMP Echo Pings",
        {**_DEVICE, "eosuser": TEXT, "eospass": TEXT, "unpriv": TEXT},
        ("eosuser", "eospass", "source"),
        probe={**_FORK_TIMEOUT, "packetsize": _default("100", SIZE)},
    ),
    _forking(
        "CiscoRTTMonEchoICMP",
        "CiscoRTTMonEchoICMP",
        {**_CISCO, "packetsize": CISCO_SIZE, "tos": _default("0"), "vrf": TEXT},
        ("ioshost",),
    ),
    _forking(
        "CiscoRTTMonTcpConnect",
        "CiscoRTTMonTcpConnect",
        {**_CISCO, "port": _default("80", DIGITS), "tos": _default("0", DIGITS)},
        ("ioshost",),
    ),
    _forking("CiscoRTTMonDNS", "CiscoRTTMonDNS", {**_CISCO, "name": TEXT}, ("ioshost", "name")),
    Probe(
        name="DismanPing",
        description="DISMAN ICMP Echo Pings",
        together=False,
        probe={**_TIMES, "pings": _default("15", Variable(rule=digits(1, 15)))},
        target={
            "pinghost": TEXT, "pingsrc": TEXT, "ownerindex": TEXT, "packetsize": _default("56", Variable(rule=digits(8, 65507))),
        },
        target_mandatory=("pinghost",),
    ),
)  # fmt: skip

#: Name of a module -> all about it.
PROBES: Final[Mapping[str, Probe]] = {
    probe.name: probe for probe in (*_ICMP, *_SERVICES, *_ECHOPINGS, *_LOGINS, *_ROUTERS)
}
