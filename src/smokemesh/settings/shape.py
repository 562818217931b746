"""What our configuration files say, read and checked: plain values. `settings.master` and `settings.agent` make them."""

from dataclasses import dataclass, field
from typing import Any

from smokemesh.model.agent import Agent
from smokemesh.model.alert import Alert, Alerting
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target

#: The agent `smokemesh up` runs beside the master; targets that name no agents are measured by it.
LOCAL_AGENT = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long each level is kept, seconds (`model.series.LEVELS`)."""

    raw: float = 30 * 86400.0
    m5: float = 180 * 86400.0
    h1: float = 3 * 365 * 86400.0
    d1: float = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A ranking of all targets, as all agents see them."""

    name: str
    menu: str
    title: str
    #: median, loss, max or deviation.
    sorter: str
    #: How many are shown.
    entries: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """What pages look like beyond their defaults."""

    #: Name of the owner, and an address, for the foot of each page.
    owner: str = ""
    contact: str = ""
    charts: tuple[Chart, ...] = ()
    #: Other trees over the same targets: name -> title.
    hierarchies: dict[str, str] = field(default_factory=dict)
    #: Ranges of a detail page: (title, seconds); () for the usual ones.
    ranges: tuple[tuple[str, float], ...] = ()
    #: (most lost pings, colour, legend); () for the usual ones.
    loss_colors: tuple[tuple[float, str, str], ...] = ()
    #: RTTs above this are cut off in graphs, seconds; 0 never.
    max_rtt: float = 0.0
    #: Lines of a page that draws several targets, six hexadecimal digits each.
    overlay_colors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokepingSettings:
    """What serves SmokePing's own slaves and old bookmarks."""

    #: Path of the route slaves post to.
    path: str = "/smokeping.cgi"
    #: SmokePing's secrets file, `name:secret` a line; not readable or writable by others. "" for none.
    secrets_file: str = ""
    #: File and line that name it.
    secrets_place: tuple[str, int] = field(default=("", 0), compare=False)
    #: Sections of SmokePing's file that slaves want as they were: "General", "Database", "Probes" -> variables and,
    #: for Database, `_table`. Empty when the configuration is ours from the start: then they are made from it.
    originals: dict[str, Any] = field(default_factory=dict)
    #: Agent -> dotted path into its configuration -> value (`++ override`).
    overrides: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSettings:
    """A master's configuration, whole and consistent: every name it mentions exists."""

    listen_host: str = "127.0.0.1"
    listen_port: int = 8080
    #: `chdb:///path` or `clickhouse://host/db`; "" means "rounds" below the data directory.
    storage_dsn: str = ""
    #: ClickHouse cluster whose servers share the tables; "" for a single one.
    storage_cluster: str = ""
    retention: Retention = field(default_factory=Retention)
    #: SQLAlchemy URL; "" means `catalogue.db` below the data directory.
    catalogue_dsn: str = ""
    #: What a target gets when its file says nothing.
    defaults: Probe = field(default_factory=lambda: Probe(name="ping"))
    #: Every probe a target may name; one that targets derived is called after what differs (`ping#step=10s`).
    probes: dict[str, Probe] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    #: The root of the tree.
    tree: Node = field(default_factory=lambda: Node(path="/", menu="", title=""))
    alerts: dict[str, Alert] = field(default_factory=dict)
    alerting: Alerting = field(default_factory=Alerting)
    presentation: Presentation = field(default_factory=Presentation)
    smokeping: SmokepingSettings = field(default_factory=SmokepingSettings)
    #: What was written and has no meaning here, each one line with file and line.
    not_needed: tuple[str, ...] = ()
    heartbeat_interval: float = 10.0
    upload_interval: float = 1.0
    #: Files it was read from, for watching and for messages.
    files: tuple[str, ...] = ()
    #: What can be used and is probably not meant, each one line with file and line.
    warnings: tuple[str, ...] = ()
    #: Alert -> file and line of its pattern, for those who parse it.
    alert_places: dict[str, tuple[str, int]] = field(default_factory=dict, compare=False)

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets, in the order of the tree."""
        return tuple(node.target for node in self.tree.walk() if node.target is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an agent keeps to, whatever a master says. Times in seconds, sizes in bytes."""

    #: No target is measured in rounds closer than this, nor pinged faster than `least_ping_interval`.
    least_interval: float = 1.0
    least_ping_interval: float = 0.01
    most_packets_per_second: float = 20_000.0
    most_packets_per_second_per_prefix: float = 2_000.0
    most_packet_size: int = 65_507
    most_tasks: int = 100_000
    #: Networks that may be measured; empty allows all that `deny` does not name.
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")
    #: Programs a master may have run, and tools (`model.tools`) whose free options are followed.
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Bounds of the agent's spool."""

    most_bytes: int = 2**30
    most_age: float = 14 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """An agent's configuration."""

    name: str
    #: Base URLs; this version talks to the first.
    masters: tuple[str, ...]
    #: File with the secret it signs with: mode 0600, owned by the user.
    shared_secret: str
    #: Directory for the spool and the saved assignment.
    data: str
    #: Seconds to wait for a connection or an answer.
    auth_timeout: float = 5.0
    #: Without a master, go on measuring from the last assignment for this many seconds.
    assignment_ttl: float = 7 * 86400.0
    #: File of CA certificates for an https master; "" for the system's.
    ca_file: str = ""
    limits: Limits = field(default_factory=Limits)
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    labels: dict[str, str] = field(default_factory=dict)
