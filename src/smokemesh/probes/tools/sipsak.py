"""sipsak's OPTIONS messages: one run a round."""

import math
import re
import shlex
from typing import Final

from smokemesh.model.tools import SipSak
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, at, given, number, plain

#: One message of several is told as `reply received 51.4 ms after first send\n   and 20.3 ms after last send`, where "first" is
#: the first of them all (sipsak 0.9.8.1). `timeout after 500 ms` comes before a message is sent again.
_EVENT: Final = re.compile(r"(timeout) after|reply received after ([0-9.]+) ms|and ([0-9.]+) ms after last send")


def _command(options: SipSak, ask: Ask) -> Run:
    host = plain(ask.host or ask.address, "host")
    user = f"{plain(options.user, 'user')}@" if options.user else ""
    uri = f"sip:{user}{at(host, options.port)}"
    # The message names the host and goes to the address it was found to have.
    proxy = at(ask.address, options.port) if host != ask.address else ""
    line = given("sipsak", "-vv", "-A", str(ask.pings), *shlex.split(options.params), ("-p", proxy), "-s", uri)
    return Run(line)


def _read(output: Output, _options: SipSak, _ask: Ask) -> list[float]:
    rtts: list[float] = []
    lost = False
    for timeout, first, last in _EVENT.findall(output.text):
        if timeout:
            lost = True
        else:
            rtts.append(math.nan if lost else number(first or last, 1e-3))
            lost = False
    return rtts


INSTRUMENT: Final = Instrument("sipsak", _command, _read, whole_round=True)
