"""Our probes as SmokePing's: which module a slave is to measure with, and every variable that module reads.

A slave fills in no defaults, so each is written out: those of 2.7.3 and of later versions. Times are seconds.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smokemesh.model import options
from smokemesh.model.options import DnsOptions, HttpOptions, SshOptions, TcpOptions
from smokemesh.model.probe import Probe
from smokemesh.model.target import Target
from smokemesh.smokeping.catalogue import PROBES

Variables = dict[str, str]

#: Where Debian has the programs; `overrides` tell of slaves that have them elsewhere.
FPING: Final = "/usr/bin/fping"
CURL: Final = "/usr/bin/curl"
TCPPING: Final = "/usr/bin/tcpping"
#: SmokePing measures in rounds of at least so many pings.
_LEAST_PINGS: Final = 3
#: Bytes of payload fping takes.
_SIZES: Final = range(12, 64_001)
_CHARACTERS: Final = re.compile(r"[^-_0-9a-zA-Z]+")


class Unfit(Exception):  # no failure of the program: the probe has no counterpart
    """No module of SmokePing measures this as it is to be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class SlaveProbe:
    """An instance of a module, as the slave is to have it, and the host and variables of one target under it."""

    module: str
    instance: str
    #: Of the instance.
    variables: Variables
    host: str
    #: Of the target.
    more: Variables


def slave_probe(target: Target, probe: Probe) -> SlaveProbe:
    """How a slave measures this target. Raises Unfit."""
    make = _KINDS.get(probe.kind)
    if make is None:
        raise Unfit(f"slaves have no probe of kind {probe.kind}")
    if probe.step % 1:
        raise Unfit(f"its step of {probe.step:g} s is no whole number of seconds")
    if probe.pings < _LEAST_PINGS:
        raise Unfit(f"its rounds have {probe.pings} pings, slaves send at least {_LEAST_PINGS}")
    made = make(target, probe)
    rhythm = {"step": f"{probe.step:.0f}", "pings": str(probe.pings)}
    if probe.offset is not None:
        rhythm["offset"] = f"{100 * probe.offset / probe.step:.0f}%"
    name = _CHARACTERS.sub("_", made.instance).strip("_") or "probe"
    return SlaveProbe(made.module, name, made.variables | rhythm, made.host, made.more)


def with_defaults(module: str, variables: Mapping[str, Any]) -> Variables:
    """All a module reads: what is written, as text, over the defaults of every version."""
    known = PROBES.get(module)
    every = {**known.probe, **known.target} if known else {}
    usual = {name: variable.default for name, variable in every.items() if variable.default is not None}
    return usual | {name: str(value) for name, value in variables.items()}


def _icmp(target: Target, probe: Probe) -> SlaveProbe:
    if probe.dont_fragment or probe.ttl != Probe(name="").ttl:
        raise Unfit("FPing sets neither the don't-fragment bit nor a time to live")
    if probe.size not in _SIZES:
        raise Unfit(f"FPing sends {_SIZES[0]} to {_SIZES[-1]} bytes, not {probe.size}")
    version = _version(target, probe)
    variables = {
        "binary": FPING,
        "protocol": version,
        "packetsize": str(probe.size),
        "timeout": f"{probe.timeout:g}",
        "mininterval": "0.01",
        "hostinterval": f"{probe.spacing:g}",
        "blazemode": "false",
        "usestdout": "false",
    }
    variables |= {"tos": str(4 * probe.dscp)} if probe.dscp else {}
    variables |= {"sourceaddress": probe.source} if probe.source else {}
    variables |= {"interface": probe.interface} if probe.interface else {}
    module, name = ("FPing6", f"{probe.name}-v6") if version == "6" else ("FPing", probe.name)
    return SlaveProbe(module, name, variables, target.host, {})


def _tcp(target: Target, probe: Probe) -> SlaveProbe:
    wanted = options.read(TcpOptions, probe.options)
    variables = _forked(probe) | {"binary": TCPPING, "port": str(wanted.port)}
    return SlaveProbe("TCPPing", probe.name, variables, target.host, {})


def _http(target: Target, probe: Probe) -> SlaveProbe:
    wanted = options.read(HttpOptions, probe.options)
    missing = [name for name in ("status", "headers", "ca_file") if getattr(wanted, name)]
    if missing:
        raise Unfit(f"Curl has no {missing[0]}")
    variables = _forked(probe) | {
        "binary": CURL,
        "urlformat": wanted.url.replace("{host}", "%host%"),
        "agent": wanted.agent,
        "insecure_ssl": "yes" if wanted.insecure else "",
        "follow_redirects": "yes" if wanted.follow_redirects else "no",
        "include_redirects": "yes" if wanted.include_redirects else "no",
        "extrare": "/ /",
        "expect": wanted.expect,
        "require_zero_status": "no",
    }
    variables = {name: value for name, value in variables.items() if value}
    variables |= {"interface": probe.interface or probe.source} if probe.interface or probe.source else {}
    if wanted.measure == "total":
        return SlaveProbe("Curl", probe.name, variables, target.host, {})
    if wanted.expect:
        raise Unfit(f"AnotherCurl, which measures {wanted.measure}, cannot expect a text")
    return SlaveProbe("AnotherCurl", probe.name, variables | {"write_out": f"time_{wanted.measure}"}, target.host, {})


def _dns(target: Target, probe: Probe) -> SlaveProbe:
    wanted = options.read(DnsOptions, probe.options)
    variables = _forked(probe) | {
        "recordtype": wanted.type,
        "port": str(wanted.port),
        "protocol": wanted.protocol,
        "mininterval": f"{probe.spacing:g}",
        "ipversion": _version(target, probe),
        "authoritative": _bit(not wanted.recursion),
        "require_noerror": _bit(wanted.require_noerror),
        "require_answers": _bit(wanted.require_answers),
        "require_nxdomain": _bit(wanted.require_nxdomain),
    }
    variables |= {"expect_text": wanted.expect} if wanted.expect else {}
    more = {"lookup": wanted.query or target.host}
    return SlaveProbe("AnotherDNS", probe.name, variables, wanted.server or target.host, more)


def _ssh(target: Target, probe: Probe) -> SlaveProbe:
    wanted = options.read(SshOptions, probe.options)
    if _version(target, probe) == "6":
        raise Unfit("AnotherSSH speaks no IPv6")
    variables = _forked(probe) | {
        "port": str(wanted.port),
        "mininterval": f"{probe.spacing:g}",
        "greeting": wanted.greeting,
        "interval": wanted.until,
    }
    return SlaveProbe("AnotherSSH", probe.name, variables, target.host, {})


_KINDS: Final[dict[str, Callable[[Target, Probe], SlaveProbe]]] = {
    "icmp": _icmp,
    "tcp": _tcp,
    "http": _http,
    "dns": _dns,
    "ssh": _ssh,
}


def _forked(probe: Probe) -> Variables:
    """What every probe reads that starts a process for each target."""
    return {"forks": "5", "timeout": str(max(1, math.ceil(probe.timeout)))}


def _version(target: Target, probe: Probe) -> str:
    """The version of IP; a name is taken for IPv4 unless the probe insists."""
    if probe.family != "auto":
        return probe.family
    try:
        return str(ipaddress.ip_address(target.host).version)
    except ValueError:
        return "4"


def _bit(value: bool) -> str:
    return "1" if value else "0"
