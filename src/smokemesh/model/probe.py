"""Probe: how a target is measured. Times are seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One way to measure. Two targets with the same probe are measured alike."""

    #: The name it is configured under; part of a task's identity.
    name: str
    #: Which engine runs it (`probes.table`): a key of `options.KINDS`.
    kind: str = "icmp"
    #: A round begins every `step` seconds.
    step: float = 60.0
    #: Pings in a round.
    pings: int = 20
    #: Where in the step rounds begin, in seconds; None spreads targets by a hash of agent and target.
    offset: float | None = None
    #: Seconds from one ping of a round to the next; None spreads them (see `spacing`).
    interval: float | None = None
    #: An answer after `timeout` seconds is late (counted apart, never as lost).
    timeout: float = 1.5
    #: "auto" takes what the name resolves to, IPv4 first; "4" or "6" insist.
    family: str = "auto"
    #: Bytes of payload, without IP and ICMP headers.
    size: int = 56
    #: Differentiated services code point, 0..63 (RFC 2474); the TOS byte is four times this.
    dscp: int = 0
    #: Source address, "" for the kernel's choice.
    source: str = ""
    #: Interface the packets must leave by (SO_BINDTODEVICE), "" for the routing table's choice.
    interface: str = ""
    #: Set the don't-fragment bit: a packet too large for the path becomes an error instead of fragments.
    dont_fragment: bool = False
    #: Time to live / hop limit.
    ttl: int = 64
    #: What only this kind needs, as sorted pairs of text; `model.options` gives them types and defaults.
    options: tuple[tuple[str, str], ...] = ()

    @property
    def spacing(self) -> float:
        """Seconds between two pings of a round: as asked, else a second, or less so that all fit in 0.6 steps."""
        if self.interval is not None:
            return self.interval
        return min(1.0, 0.6 * self.step / max(self.pings, 1))

    @property
    def duration(self) -> float:
        """The longest a round may take: the last ping is sent, and as long again is waited for late answers."""
        return (self.pings - 1) * self.spacing + self.patience

    @property
    def patience(self) -> float:
        """Seconds after a ping for which its answer is still counted (as late, past `timeout`)."""
        return 2.0 * self.timeout
