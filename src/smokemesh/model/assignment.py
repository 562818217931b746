"""Assignment: what one agent is to measure. A task is one target measured with one probe."""

from dataclasses import dataclass, field
from hashlib import blake2b

from smokemesh.model.probe import Probe


def task_id(target: str, probe: str, variant: str = "") -> int:
    """The number of a task, 64 bits, the same on every agent and every master.

    It is made from the names alone, so rounds that wait in a spool keep their meaning through a change of
    the configuration and mean the same to every master. `variant` tells several addresses of one name apart.
    What stands past `#` in the probe's name (`ping#step=10s`: set anew for some targets) does not count, so that a
    target keeps its history when its step or its number of pings changes.
    """
    digest = blake2b(f"{target}\0{probe_name(probe)}\0{variant}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def probe_name(probe: str) -> str:
    """The name people gave the probe: without what is set anew for one target, past `#`."""
    return probe.partition("#")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One target measured with one probe."""

    id: int
    #: Path of the target.
    target: str
    #: Name or address to measure.
    host: str
    #: Key into `Assignment.probes`.
    probe: str
    #: "first" or "all" addresses of the name.
    addresses: str = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """All an agent needs to measure. Equal content has an equal `version`, which is the ETag."""

    version: str
    agent: str
    tasks: tuple[Task, ...] = ()
    probes: dict[str, Probe] = field(default_factory=dict)
    #: Seconds between two heartbeats.
    heartbeat_interval: float = 10.0
    #: Rounds are delivered at most this many seconds after they are finished.
    upload_interval: float = 1.0
