"""Engine: the one interface between the prober and the network. Rounds in, columns out.

An engine keeps many rounds going at once. Its owner, one thread, hands it rounds a little before they are
due, lets it work, and takes what is finished:

    engine.start(requests)          # remembered, nothing sent yet
    engine.run(until)               # send what is due, read what arrives, until the monotonic clock shows `until`
    batch = engine.take()           # rounds finished since the last call
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import RoundBatch

#: Address -> why it may not be measured, "" when it may: for addresses that only an engine comes upon.
Permit = Callable[[str], str]


def anyone(_address: str) -> str:
    """Permits every address."""
    return ""


@dataclass(frozen=True, slots=True)
class RoundRequest:
    """One round to run."""

    #: Number of the task (`assignment.task_id`).
    task: int
    #: Scheduled begin, nanoseconds UTC: what the finished round carries as its time.
    time: int
    #: The same instant on the monotonic clock, seconds: when the first ping is sent.
    at: float
    #: A literal IPv4 or IPv6 address: the host's, or that of the server which a URL or a question names. "" for none.
    address: str
    probe: Probe
    #: The host as configured: what a URL, a question or a greeting names. "" where only the address counts.
    host: str = ""


@dataclass(frozen=True, slots=True)
class EngineCounters:
    """What an engine has done since it was made."""

    sent: int = 0
    received: int = 0
    #: Packets the kernel dropped because our receive buffer was full (SO_RXQ_OVFL).
    own_drops: int = 0
    #: Answers that fit no ping in flight: forged, far too late, or another program's.
    strays: int = 0
    #: Packets the kernel refused to send.
    send_errors: int = 0
    #: Pings put off because sequence numbers or buffers were exhausted.
    delayed: int = 0


class Engine(Protocol):
    """Runs rounds of one kind of probe. Not thread-safe: one owner."""

    @property
    def apart(self) -> bool:
        """It works in a thread of its own: `run` need not be called for it to go on."""

    def start(self, requests: Sequence[RoundRequest]) -> None:
        """Remember rounds; each sends its first ping at `at`, the others `probe.spacing` apart."""

    def run(self, until: float) -> None:
        """Work until the monotonic clock shows `until`; returns early only when nothing is left in flight or due."""

    def take(self) -> RoundBatch:
        """The rounds finished since the last call, each exactly once."""

    @property
    def busy(self) -> int:
        """Rounds started and not yet finished."""

    def counters(self) -> EngineCounters:
        """What was done since the engine was made."""

    def describe(self) -> str:
        """How it reached the network, for people: `icmp4=raw icmp6=dgram`."""

    def close(self) -> None:
        """Give back sockets; unfinished rounds are forgotten."""
