"""ssh-keyscan: the time until it tells the server's greeting, `# host SSH-2.0-…`, on either stream."""

import re
from typing import Final

from smokemesh.model.tools import SshKeyscan
from smokemesh.probes.tools.run import Ask, Instrument, Output, Run, given

_GREETING: Final = re.compile(rb"^# \S+ SSH-\d", re.MULTILINE)


def _command(options: SshKeyscan, ask: Ask) -> Run:
    # It gives up by itself only after whole seconds.
    limit = str(max(1, round(ask.timeout + 0.5)))
    family = f"-{ask.family}"
    return Run(given("ssh-keyscan", family, "-T", limit, ("-t", options.keytype), ("-p", options.port), ask.address))


def _ready(printed: bytes, _options: SshKeyscan, _ask: Ask) -> bool:
    return _GREETING.search(printed) is not None


def _read(output: Output, options: SshKeyscan, ask: Ask) -> list[float]:
    return [output.elapsed] if _ready(output.stdout + b"\n" + output.stderr, options, ask) else []


INSTRUMENT: Final = Instrument("ssh-keyscan", _command, _read, ready=_ready, own_clock=False)
