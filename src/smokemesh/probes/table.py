"""Which engine runs which kind of probe."""

from collections.abc import Callable

from smokemesh.errors import UsageError
from smokemesh.probes.engine import Engine
from smokemesh.probes.icmp import IcmpEngine

ENGINES: dict[str, Callable[[], Engine]] = {"icmp": IcmpEngine}


def make_engine(kind: str) -> Engine:
    """A new engine for probes of that kind."""
    if kind not in ENGINES:
        raise UsageError(f"probe kind {kind}: unknown, write one of {', '.join(sorted(ENGINES))}")
    return ENGINES[kind]()
