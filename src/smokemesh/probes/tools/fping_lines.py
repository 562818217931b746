"""fping's summary, `host : 0.43 - 1.20` in milliseconds with `-` for lost: also nfsping's, and fping's from elsewhere."""

import re
import shlex
from typing import Final

from smokemesh.model.tools import NfsPing, RemoteFPing
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, given, numbers, plain

_SUMMARY: Final = re.compile(r"^\S+\s+:((?:\s+(?:-|\d[\d.]*))+)\s*$", re.MULTILINE)


def _read(output: Output, _options: object, _ask: Ask) -> list[float]:
    found = _SUMMARY.search(output.text)
    return numbers(found[1].split(), 1e-3) if found else []


def _pacing(ask: Ask) -> tuple[str, ...]:
    period = max(round(ask.spacing * 1e3), 10)
    return "-C", str(ask.pings), "-q", "-i10", f"-p{period}", f"-t{max(round(ask.timeout * 1e3), 1)}"


def _nfsping(options: NfsPing, ask: Ask) -> Run:
    return Run(given("nfsping", *_pacing(ask), ("-T", options.tcp), ask.address))


def _remote(options: RemoteFPing, ask: Ask) -> Run:
    size = f"-b{options.packetsize}"
    fping = [options.rbinary, *_pacing(ask), "-B1", "-r1", size, f"-{ask.family}"]
    fping += [f"-O{options.tos}"] if options.tos else []
    fping += [f"-S{options.sourceaddress}"] if options.sourceaddress else []
    # ssh joins its words and lets a shell over there part them again.
    line = given(
        "ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={max(1, round(ask.timeout))}",
        ("-l", options.ruser), ("-p", options.rport), plain(options.rhost, "rhost"),
        shlex.join([*fping, ask.address]),
    )  # fmt: skip
    return Run(line)


NFSPING: Final = Instrument("nfsping", _nfsping, _read, whole_round=True)
REMOTE: Final = Instrument("ssh", _remote, _read, whole_round=True, overhead=5.0)
