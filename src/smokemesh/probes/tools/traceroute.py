"""traceroute (traceroute.sf.net's): towards `desthost`, the RTT of the hop that is the target."""

import re
from typing import Final

from smokemesh.model.tools import Traceroute
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, number, plain, same_address

#: ` 3  192.0.2.1  1.234 ms`, with ` !H` after it where a router had more to say; `*` has no address.
_HOP: Final = re.compile(rb"^ *\d+ +([0-9A-Fa-f:.%\w]+) +([0-9.]+) ms", re.MULTILINE)


def _command(options: Traceroute, ask: Ask) -> Run:
    # One packet at a time: sixteen, its own way, delay one another, and use up what the far end may say (icmp_ratelimit).
    line = ["traceroute", "-n", f"-{ask.family}", "-q", "1", "-N", "1", "-w", str(max(options.wait, 1))]
    line += ["-f", str(options.minttl), "-m", str(options.maxttl)]
    if ask.source:
        line += ["-s", ask.source]
    return Run((*line, plain(options.desthost or ask.address, "desthost")))


def _hop(printed: bytes, ask: Ask) -> float | None:
    for address, milliseconds in _HOP.findall(printed):
        if same_address(address.decode(), ask.address):
            return number(milliseconds.decode(), 1e-3)
    return None


def _ready(printed: bytes, _options: Traceroute, ask: Ask) -> bool:
    return _hop(printed, ask) is not None


def _read(output: Output, _options: Traceroute, ask: Ask) -> list[float]:
    rtt = _hop(output.stdout, ask)
    return [] if rtt is None else [rtt]


INSTRUMENT: Final = Instrument("traceroute", _command, _read, ready=_ready)
