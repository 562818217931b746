"""Which engine runs which kind of probe. Each is loaded when first asked for: what an agent does not measure weighs nothing."""

from importlib import import_module
from typing import Any, Final

from smokemesh.errors import HostError, UsageError
from smokemesh.probes.engine import Engine, Permit, anyone

#: Kind -> its class in the module of that name.
ENGINES: Final = {
    "icmp": "IcmpEngine",
    "tcp": "TcpEngine",
    "http": "HttpEngine",
    "dns": "DnsEngine",
    "ssh": "SshEngine",
    "smtp": "SmtpEngine",
    "command": "CommandEngine",
}


def make_engine(kind: str, permit: Permit = anyone) -> Engine:
    """A new engine for probes of that kind; `permit` is asked about addresses that only the engine comes upon."""
    if kind not in ENGINES:
        raise UsageError(f"probe kind {kind}: unknown, write one of {', '.join(sorted(ENGINES))}")
    try:
        module = import_module(f"smokemesh.probes.{kind}")
    except ImportError as error:
        raise HostError(
            f"probe kind {kind}: Python module {error.name} is missing; run: pip install {error.name}"
        ) from error
    engine: Any = getattr(module, ENGINES[kind])
    made: Engine = engine() if kind == "icmp" else engine(permit=permit)
    return made
