"""Agent: who measures, and what it says of its own health."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent as the master's configuration knows it."""

    name: str
    display_name: str = ""
    location: str = ""
    #: Colour of its line where several agents share a graph, six hexadecimal digits; "" lets the page choose.
    color: str = ""
    #: File that holds the secret it signs with.
    secret_file: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What people read."""
        return self.display_name or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What an agent reports of itself in each heartbeat. Counters run from the agent's start."""

    #: Version of the agent's program.
    version: str
    #: The agent's clock when it sent this, nanoseconds UTC.
    clock: int
    #: Seconds since the agent started.
    uptime: float
    #: Share of one core used since the last heartbeat, 1.0 is one whole core.
    cpu: float
    #: Resident memory in bytes.
    rss: int
    #: Version of the assignment in force; "" for none.
    assignment: str
    #: Tasks in the assignment.
    tasks: int
    #: Pings sent per second since the last heartbeat.
    pings_per_second: float
    #: Rounds finished.
    rounds: int
    #: Rounds that could not begin or end inside their step.
    overruns: int
    #: Rounds hit by packets this host dropped itself (socket buffer full).
    own_drops: int
    #: Rounds refused or trimmed by the agent's own safety limits.
    limited: int
    #: Rounds in the spool not yet acknowledged.
    spool_rounds: int
    spool_bytes: int
    #: Time of the oldest round in the spool, nanoseconds UTC; 0 when it is empty.
    spool_oldest: int
    #: Rounds the spool had to drop because it was full or too old.
    spool_dropped: int
    #: The last error in one line, "" for none.
    last_error: str = ""
    #: How ICMP sockets were opened: "icmp4=raw icmp6=dgram".
    engines: str = ""
    #: Records of the spool that could not be read back, since it was made.
    spool_damaged: int = 0
