"""echoping: one run a round, each answer tells `Elapsed time: x seconds`. Which pings were lost it does not tell."""

import re
import shlex
from typing import Final

from smokemesh.model.tools import EchoPing
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, at, given, numbers, plain

_ELAPSED: Final = re.compile(r"Elapsed time: ([0-9.]+) seconds")
#: Service -> what makes echoping do it.
_SWITCHES: Final = {
    "echo": (), "chargen": ("-c",), "discard": ("-d",), "smtp": ("-S",), "http": (), "https": ("-C",), "icp": (),
    "dns": ("-m", "dns"), "ldap": ("-m", "ldap"), "whois": ("-m", "whois"), "plugin": (),
}  # fmt: skip


def _command(options: EchoPing, ask: Ask) -> Run:
    if options.service not in _SWITCHES:
        raise ValueError(f"service {options.service!r} is unknown, write one of {', '.join(_SWITCHES)}")
    wait = options.waittime or max(round(ask.spacing), 1)
    line = given(
        "echoping", f"-{ask.family}", "-n", str(ask.pings), "-t", str(max(round(ask.timeout), 1)), "-w", str(wait),
        ("-s", options.size), ("-P", options.tos), ("-p", options.priority), ("-f", options.fill),
        ("-u", options.udp), *_SWITCHES[options.service], *_service(options), *shlex.split(options.extraopts),
        at(ask.address, options.port), *_after(options),
    )  # fmt: skip
    return Run(line)


def _service(options: EchoPing) -> tuple[str, ...]:
    if options.service in ("http", "https"):
        fresh, again, moved = options.ignore_cache, options.revalidate_data, options.accept_redirects
        return given("-h", plain(options.url, "url"), ("-A", fresh), ("-a", again), ("-R", moved))
    if options.service == "icp":
        return "-i", plain(options.url, "url")
    if options.service == "plugin":
        return "-m", plain(options.plugin, "plugin")
    return ()


def _after(options: EchoPing) -> tuple[str, ...]:
    """What a plugin is told, after the host."""
    if options.service == "dns":
        return given(("-t", options.dns_type), ("--tcp", options.dns_tcp), plain(options.dns_request, "dns_request"))
    if options.service == "ldap":
        return given(("-r", options.ldap_request), ("-b", options.ldap_base), ("-s", options.ldap_scope))
    if options.service == "whois":
        return (plain(options.whois_request, "whois_request"),)
    return tuple(shlex.split(options.pluginargs))


def _read(output: Output, _options: EchoPing, _ask: Ask) -> list[float]:
    return numbers(_ELAPSED.findall(output.text), 1.0)


INSTRUMENT: Final = Instrument("echoping", _command, _read, whole_round=True)
