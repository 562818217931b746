"""quakestat (qstat): the ping a game server's answer took, whole milliseconds in its XML."""

import re
from typing import Final

from smokemesh.model.tools import Quakestat
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, at, given, number, plain

_SERVER: Final = re.compile(r'<server [^>]*status="UP"[^>]*>.*?<ping>(\d+)</ping>', re.DOTALL)


def _command(options: Quakestat, ask: Ask) -> Run:
    line = given(
        "quakestat", "-nocfg", "-xml", "-retry", "1", "-timeout", f"{ask.timeout:g}",
        ("-srcip", options.sourceaddress or ask.source), ("-srcport", options.sourceport),
        f"-{plain(options.game, 'game')}", at(ask.address, options.port),
    )  # fmt: skip
    return Run(line)


def _read(output: Output, _options: Quakestat, _ask: Ask) -> list[float]:
    found = _SERVER.search(output.stdout.decode("utf-8", "replace"))
    return [number(found[1], 1e-3)] if found else []


INSTRUMENT: Final = Instrument("quakestat", _command, _read)
