"""sipsak's OPTIONS messages: one run a round."""

import re
import shlex
from typing import Final

from smokemesh.model.tools import SipSak
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, at, given, numbers, plain

_REPLY: Final = re.compile(r"reply received after ([0-9.]+) ms")


def _command(options: SipSak, ask: Ask) -> Run:
    host = plain(ask.host or ask.address, "host")
    user = f"{plain(options.user, 'user')}@" if options.user else ""
    uri = f"sip:{user}{at(host, options.port)}"
    # The message names the host and goes to the address it was found to have.
    proxy = at(ask.address, options.port) if host != ask.address else ""
    line = given("sipsak", "-vv", "-A", str(ask.pings), *shlex.split(options.params), ("-p", proxy), "-s", uri)
    return Run(line)


def _read(output: Output, _options: SipSak, _ask: Ask) -> list[float]:
    return numbers(_REPLY.findall(output.text), 1e-3)


INSTRUMENT: Final = Instrument("sipsak", _command, _read, whole_round=True)
