"""The ping of a router (JunOS, Arista EOS) over ssh, one run a round: `… icmp_seq=3 ttl=64 time=0.512 ms`."""

import re
from typing import Final

from smokemesh.model.tools import SshPing
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, given, in_order, number, plain

_REPLY: Final = re.compile(r"icmp_seq=(\d+) .*?time[=<]([0-9.]+) ms")
#: What the number of the first ping is.
_FIRST: Final = {"junos": 0, "eos": 1}


def _command(options: SshPing, ask: Ask) -> Run:
    if options.system not in _FIRST:
        raise ValueError(f"system {options.system!r} is unknown, write junos or eos")
    password = ask.secrets.get("PASSWORD", options.password)
    # sshpass reads the password from its environment, which only its user can see.
    login = ("sshpass", "-e", "ssh") if password else ("ssh", "-o", "BatchMode=yes")
    line = given(
        *login, "-o", f"ConnectTimeout={max(1, round(ask.timeout))}", ("-l", options.user),
        plain(options.source, "source"), _ping(options, ask),
    )  # fmt: skip
    return Run(line, environment=(("SSHPASS", password),) if password else ())


def _ping(options: SshPing, ask: Ask) -> str:
    """The router's own command."""
    size, address = options.packetsize, plain(ask.address, "address")
    source, tos = plain(options.psource, "psource"), plain(options.tos, "tos")
    if options.system == "junos":
        interval = max(ask.spacing, 0.1)
        words = given("ping", address, "count", str(ask.pings), "size", str(size), "interval", f"{interval:g}",
                      ("tos", tos), ("source", source))  # fmt: skip
        return " ".join(words)
    words = given("ping", address, "repeat", str(ask.pings), "size", str(size), ("source", source))
    return ("enable\n" if options.enable else "") + " ".join(words)


def _read(output: Output, options: SshPing, ask: Ask) -> list[float]:
    first = _FIRST.get(options.system, 0)
    answers = ((int(seq) - first, number(ms, 1e-3)) for seq, ms in _REPLY.findall(output.text))
    return in_order(answers, ask.pings)


INSTRUMENT: Final = Instrument("ssh", _command, _read, whole_round=True, overhead=5.0)
