"""quakestat (qstat): the ping a game server's answer took, whole milliseconds in its XML."""

import re
from typing import Final

from smokemesh.model.tools import Quakestat
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, at, given, number

_SERVER: Final = re.compile(r'<server [^>]*status="UP"[^>]*>.*?<ping>(\d+)</ping>', re.DOTALL)
#: Kinds of game servers (qstat 2.17, `-default`). Others of its words would make it write files.
_GAMES: Final = (
    "a2s ams bfbc2 bfs crysis cube2 cubes d3g d3p d3s dirtybomb dm3s efs etqws eye farmsim fcs fls gps grs gs2 gs3 gs4 h2s"
    " hazes hl2s hls hrs hws jk3s kps ksp mumble ottds preys prs q2s q3s q4s qs qws rss rws sas sfs sgs sns starmade tbs"
    " tees terraria tf tm ts2 ts3 uns ut2s ventrilo vent wics wolfs t2s"
)


def _command(options: Quakestat, ask: Ask) -> Run:
    if options.game not in _GAMES.split():
        raise ValueError(f"game {options.game!r} is none that quakestat asks a server of")
    line = given(
        "quakestat", "-nocfg", "-xml", "-retry", "1", "-timeout", str(max(1, round(ask.timeout))),
        ("-srcip", options.sourceaddress or ask.source), ("-srcport", options.sourceport),
        f"-{options.game}", at(ask.address, options.port),
    )  # fmt: skip
    return Run(line)


def _read(output: Output, _options: Quakestat, _ask: Ask) -> list[float]:
    found = _SERVER.search(output.stdout.decode("utf-8", "replace"))
    return [number(found[1], 1e-3)] if found else []


INSTRUMENT: Final = Instrument("quakestat", _command, _read)
