"""irtt's client: one run a round, its JSON tells each round trip in nanoseconds."""

import json
from typing import Any, Final

from smokemesh.model.tools import Irtt
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, at, in_order, number

#: Our metric -> where it stands in a round trip. Variations may be negative there: their size counts.
_METRICS: Final = {
    "rtt": ("delay", "rtt"),
    "send": ("delay", "send"),
    "receive": ("delay", "receive"),
    "ipdv": ("ipdv", "rtt"),
    "send_ipdv": ("ipdv", "send"),
    "receive_ipdv": ("ipdv", "receive"),
}


def _command(options: Irtt, ask: Ask) -> Run:
    if options.metric not in _METRICS:
        raise ValueError(f"metric {options.metric!r} is unknown, write one of {', '.join(_METRICS)}")
    # It sends as long as the duration lasts: half a spacing less makes the count exact.
    duration = ask.spacing * (ask.pings - 0.5)
    line = ["irtt", "client", "-Q", "-o", "-", f"-{ask.family}", "--tstamp=midpoint", "--stats=none"]
    line += ["-i", f"{round(ask.spacing * 1e6)}us", "-d", f"{round(duration * 1e6)}us"]
    # After the last packet: thrice the longest RTT, or the timeout when nothing was answered.
    line += [f"--wait=3x{round(max(ask.timeout, 0.001) * 1e3)}ms"]
    wanted = {
        "-l": options.length, "--dscp": options.dscp, "--fill": options.fill, "--sfill": options.serverfill,
        "--local": options.localaddr, "--hmac": options.hmac,
    }  # fmt: skip
    line += [f"{key}={value}" for key, value in wanted.items() if value]
    return Run((*line, at(ask.address, options.port)))


def _read(output: Output, options: Irtt, ask: Ask) -> list[float]:
    try:
        trips = json.loads(output.stdout)["round_trips"]
        return in_order(((int(trip["seqno"]), _value(trip, options.metric)) for trip in trips), ask.pings)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _value(trip: Any, metric: str) -> float:
    part, name = _METRICS[metric]
    value = trip.get(part, {}).get(name, "-")
    return number(str(abs(value) if part == "ipdv" and isinstance(value, (int, float)) else value), 1e-9)


INSTRUMENT: Final = Instrument("irtt", _command, _read, whole_round=True, overhead=2.0)
