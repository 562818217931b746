"""Every setting there is: one table that the readers, `config schema`, the reference pages and the tests share.

A section is a mapping in a file. Defaults and examples are spelt as they would be written.
"""

from dataclasses import dataclass
from typing import Final

from smokemesh.settings import kinds
from smokemesh.settings.kinds import Kind, list_of, mapping_of

#: No probe may begin rounds closer than this, whatever an agent allows.
LEAST_STEP: Final = 1.0
DAY: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of one section. It holds a value (`kind`), another section, or a mapping from names to sections."""

    key: str
    help: str
    kind: Kind | None = None
    #: Name of the section it holds.
    section: str = ""
    #: It maps names people choose to sections.
    named: bool = False
    #: What holds when it is not written; "" for nothing.
    default: str = ""
    example: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The settings that may stand together."""

    name: str
    help: str
    settings: dict[str, Setting]
    #: Words other tools use -> what to write here.
    foreign: dict[str, str]
    #: Keys that are planned and not yet read.
    later: frozenset[str] = frozenset()


def _section(name: str, help_: str, *settings: Setting, later: str = "", **foreign: str) -> Section:
    by_key = {setting.key: setting for setting in settings}
    return Section(name=name, help=help_, settings=by_key, foreign=foreign, later=frozenset(later.split()))


_PROBE = (
    Setting(
        key="step",
        kind=kinds.duration(LEAST_STEP, DAY),
        default="60s",
        example="10s",
        help="A round begins every step.",
    ),
    Setting(key="pings", kind=kinds.whole(1, 65535), default="20", example="10", help="Pings in a round."),
    Setting(
        key="offset",
        kind=kinds.duration(0.0, DAY, none="spread"),
        default="spread",
        example="5s",
        help="Where in the step rounds begin; `spread` gives every target its own place, by a hash of agent and target.",
    ),
    Setting(
        key="interval",
        kind=kinds.duration(0.001, 3600.0, none="spread"),
        default="spread",
        example="200ms",
        help="From one ping of a round to the next; `spread` is a second, or less so that all fit in 0.6 steps.",
    ),
    Setting(
        key="timeout",
        kind=kinds.duration(0.001, 300.0),
        default="1.5s",
        example="500ms",
        help="An answer after this is late: counted apart, never as lost. Without it: 1.5s or a fifth of the step, "
        "whichever is less. Late answers are awaited for as long again.",
    ),
    Setting(
        key="family",
        kind=kinds.choice("auto", "4", "6"),
        default="auto",
        example="6",
        help="IP version; `auto` takes what the name resolves to, IPv4 first.",
    ),
    Setting(
        key="size",
        kind=kinds.whole(0, 65507),
        default="56",
        example="1400",
        help="Bytes of payload, without IP and ICMP headers.",
    ),
    Setting(
        key="dscp",
        kind=kinds.code_point(),
        default="0",
        example="ef",
        help="Differentiated services code point, a number or a name; a TOS byte is four times it.",
    ),
    Setting(
        key="source", kind=kinds.address(), example="192.0.2.7", help="Source address; without it the kernel's choice."
    ),
    Setting(
        key="interface",
        kind=kinds.interface(),
        example="eth1",
        help="Interface the packets must leave by; without it the routing table's choice.",
    ),
    Setting(
        key="dont_fragment",
        kind=kinds.yes_no(),
        default="false",
        example="true",
        help="Set the don't-fragment bit: a packet too large for the path becomes an error instead of fragments.",
    ),
    Setting(key="ttl", kind=kinds.whole(1, 255), default="64", example="3", help="Time to live, or hop limit."),
)
#: Keys of a probe which a place in the tree may set anew for itself and all below it.
OVERRIDES: Final = tuple(setting.key for setting in _PROBE)

_KIND = Setting(
    key="kind",
    kind=kinds.probe_kind(known=("icmp",), later=("tcp", "udp", "http", "https", "dns", "command", "curl")),
    default="icmp",
    example="icmp",
    help="What is sent: `icmp` is an echo request.",
)

_NAME = kinds.name()
_FOREIGN_PROBE = {
    "count": "pings",
    "period": "interval",
    "packetsize": "size",
    "tos": "dscp",
    "sourceaddress": "source",
}

SECTIONS: Final[dict[str, Section]] = {
    section.name: section
    for section in (
        _section(
            "master",
            "`smokemesh.yaml`, what a master reads. `conf.d/*.yaml` beside it are read with it, in the order of their names.",
            Setting(
                key="listen",
                kind=kinds.listen(),
                default="127.0.0.1:8080",
                example="0.0.0.0:8080",
                help="Where pages, API and agents reach the master. Port 0 takes a free one.",
            ),
            Setting(key="storage", section="storage", help="Where rounds are kept, and how long."),
            Setting(key="catalogue", section="catalogue", help="Where agents and keys are kept."),
            Setting(key="defaults", section="defaults", help="What every probe has unless it says otherwise."),
            Setting(
                key="probes",
                section="probe",
                named=True,
                help="Ways to measure, by name. A probe `ping` is there without being written.",
            ),
            Setting(key="agents", section="agents", named=True, help="Who measures, by name."),
            Setting(key="targets", section="target", help="The tree of what is measured."),
            Setting(
                key="alerts", section="alert", named=True, help="Alert rules, by name. Checked, not yet judged by."
            ),
            Setting(
                key="heartbeat_interval",
                kind=kinds.duration(1.0, 300.0),
                default="10s",
                example="30s",
                help="From one sign of life of an agent to the next.",
            ),
            Setting(
                key="upload_interval",
                kind=kinds.duration(0.1, 300.0),
                default="1s",
                example="5s",
                help="Agents deliver a finished round within this time.",
            ),
            slaves="agents",
            database="storage",
        ),
        _section(
            "storage",
            "Where rounds are kept, and how long.",
            Setting(
                key="dsn",
                kind=kinds.dsn("chdb", "clickhouse", "clickhouses"),
                example="chdb:///var/lib/smokemesh/rounds",
                help="`chdb:///directory` inside the master, or `clickhouse://host/database`; without it `rounds` below "
                "the data directory.",
            ),
            Setting(
                key="cluster",
                kind=kinds.name(),
                example="main",
                help="Name of a ClickHouse cluster: the tables are replicated and distributed over its servers.",
            ),
            Setting(key="retention", section="retention", help="How long each level is kept."),
        ),
        _section(
            "retention",
            "How long each level is kept.",
            *(
                Setting(
                    key=key, kind=kinds.duration(3600.0, 100 * 365 * DAY), default=default, example=default, help=help_
                )
                for key, default, help_ in (
                    ("raw", "30d", "Every RTT of every round."),
                    (
                        "5m",
                        "180d",
                        "Steps of five minutes: counts and a sketch of the RTTs, from which percentiles stay true.",
                    ),
                    ("1h", "3y", "Steps of an hour."),
                    ("1d", "10y", "Steps of a day."),
                )
            ),
        ),
        _section(
            "catalogue",
            "Where agents and keys are kept.",
            Setting(
                key="dsn",
                kind=kinds.dsn("sqlite", "postgresql"),
                example="sqlite:////var/lib/smokemesh/catalogue.db",
                help="SQLAlchemy URL; without it `catalogue.db` below the data directory.",
            ),
        ),
        _section("defaults", "What every probe has unless it says otherwise.", *_PROBE, **_FOREIGN_PROBE),
        _section("probe", "One way to measure.", _KIND, *_PROBE, **_FOREIGN_PROBE),
        _section(
            "agents",
            "An agent, as the master knows it.",
            Setting(
                key="display_name",
                kind=kinds.text(200),
                example="常州一号",
                help="What people read instead of its name.",
            ),
            Setting(key="location", kind=kinds.text(200), example="changzhou", help="Where it stands."),
            Setting(
                key="color",
                kind=kinds.color(),
                example="1f77b4",
                help="Its line where several agents share a graph; without it the page chooses.",
            ),
            Setting(
                key="secret_file",
                kind=kinds.file_path(),
                example="secrets/boomer",
                help="File with the secret it signs with, mode 0600; relative to the directory of this file. Without it: "
                "`secrets/NAME` below the master's data directory.",
            ),
            Setting(
                key="labels",
                kind=mapping_of(kinds.text(200)),
                example="{rack: r29}",
                help="Free names and values.",
            ),
            colour="color",
            secret="secret_file",
        ),
        _section(
            "target",
            "A place in the tree. With `host` it is measured. A key that is no setting and holds a mapping is a child. "
            "Settings from `probe` on hold for all below as well.",
            Setting(key="host", kind=kinds.host(), example="192.0.2.29", help="Name or address to measure."),
            Setting(
                key="menu", kind=kinds.text(200), example="Rack 29", help="Its entry in the menu; without it its name."
            ),
            Setting(
                key="title",
                kind=kinds.text(500),
                example="29柜",
                help="Heading of its page; without it the menu entry.",
            ),
            Setting(key="remark", kind=kinds.text(), example="Power feed B only", help="A sentence below the heading."),
            Setting(
                key="hidden",
                kind=kinds.yes_no(),
                default="false",
                example="true",
                help="Measured, but not in the menu.",
            ),
            Setting(
                key="probe",
                kind=_NAME,
                default="ping",
                example="fast",
                help="How it is measured; a name from `probes`.",
            ),
            Setting(
                key="agents",
                kind=list_of(_NAME),
                default="[local]",
                example="[boomer, tokyo]",
                help="Who measures it; names from `agents`, or `local`, the agent that `smokemesh up` runs.",
            ),
            Setting(
                key="addresses",
                kind=kinds.choice("first", "all"),
                default="first",
                example="all",
                help="Measure one address of the name, or each of them.",
            ),
            Setting(key="alerts", kind=list_of(_NAME), example="[someloss]", help="Names from `alerts`."),
            Setting(
                key="parents",
                kind=list_of(kinds.tree_path()),
                example="[/changzhou/rack29]",
                help="Targets without which this one cannot be reached.",
            ),
            Setting(
                key="labels",
                kind=mapping_of(kinds.text(200)),
                example="{rack: r29}",
                help="Free names and values; those of a place are added to those above it.",
            ),
            *_PROBE,
            **_FOREIGN_PROBE,
            slaves="agents",
            address="host",
            hostname="host",
            hide="hidden",
        ),
        _section(
            "alert",
            "An alert rule. This version checks its spelling and does not judge by it.",
            Setting(
                key="type", kind=kinds.choice("loss", "rtt"), example="loss", required=True, help="What is judged."
            ),
            Setting(
                key="pattern",
                kind=kinds.text(),
                example='">0%,*12*,>0%"',
                required=True,
                help="SmokePing's pattern over successive rounds.",
            ),
            Setting(key="to", kind=list_of(kinds.text(500)), example="[noc@example.net]", help="Who is told."),
            Setting(
                key="comment", kind=kinds.text(), example="loss three times in a row", help="A sentence for people."
            ),
        ),
        _section(
            "agent",
            "`agent.yaml`, what an agent reads.",
            Setting(
                key="name",
                kind=_NAME,
                example="boomer",
                required=True,
                help="Its name in the master's `agents`.",
            ),
            Setting(
                key="masters",
                kind=list_of(kinds.master_url()),
                example="[https://master.example.net:8080]",
                required=True,
                help="Base URL of the master; this version talks to one.",
            ),
            Setting(
                key="master_type",
                kind=kinds.master_type(),
                default="str",
                example="str",
                help="How several masters are used: `str` is one master.",
            ),
            Setting(
                key="shared_secret",
                kind=kinds.file_path(),
                example="/etc/smokemesh/secret",
                required=True,
                help="File with the secret it signs with: mode 0600, owned by the user it runs as.",
            ),
            Setting(
                key="data",
                kind=kinds.file_path(),
                default="/var/lib/smokemesh",
                example="/var/lib/smokemesh",
                help="Directory for the spool and the saved assignment.",
            ),
            Setting(
                key="auth_timeout",
                kind=kinds.duration(0.1, 300.0),
                default="5s",
                example="2s",
                help="How long a connection or an answer of the master is awaited.",
            ),
            Setting(
                key="assignment_ttl",
                kind=kinds.duration(60.0, 10 * 365 * DAY),
                default="7d",
                example="1d",
                help="Without a master, measuring goes on for this long.",
            ),
            Setting(
                key="ca_file",
                kind=kinds.file_path(),
                example="/etc/ssl/certs/ours.pem",
                help="CA certificates for an https master; without it the system's.",
            ),
            Setting(key="limits", section="limits", help="What it keeps to, whatever a master says."),
            Setting(key="spool", section="spool", help="How much waits for a master that is away."),
            Setting(
                key="labels",
                kind=mapping_of(kinds.text(200)),
                example="{rack: r29}",
                help="Free names and values.",
            ),
            later="master_shuffle random_master master_alive_interval master_alive_check master_failback "
            "master_failback_interval master_tries auth_tries retry_dns acceptance_wait_time acceptance_wait_time_max "
            "random_reauth_delay recon_default recon_max recon_randomize",
            master="masters",
            id="name",
            secret="shared_secret",
        ),
        _section(
            "limits",
            "What an agent keeps to, whatever a master says.",
            Setting(
                key="least_interval",
                kind=kinds.duration(0.1, DAY),
                default="1s",
                example="10s",
                help="No target is measured in rounds closer than this.",
            ),
            Setting(
                key="least_ping_interval",
                kind=kinds.duration(0.0001, 60.0),
                default="10ms",
                example="50ms",
                help="No target is pinged faster than this.",
            ),
            Setting(
                key="most_packets_per_second",
                kind=kinds.number(1, 10_000_000),
                default="20000",
                example="500",
                help="All packets together.",
            ),
            Setting(
                key="most_packets_per_second_per_prefix",
                kind=kinds.number(1, 10_000_000),
                default="2000",
                example="100",
                help="Packets into one /24 (IPv4) or /48 (IPv6).",
            ),
            Setting(
                key="most_packet_size",
                kind=kinds.size(0, 65507),
                default="65507",
                example="1472",
                help="Largest payload, bytes.",
            ),
            Setting(
                key="most_tasks",
                kind=kinds.whole(1, 10_000_000),
                default="100000",
                example="500",
                help="Most targets, each with its probe.",
            ),
            Setting(
                key="allow",
                kind=list_of(kinds.network()),
                example="[192.0.2.0/24]",
                help="Networks that may be measured; without it all that `deny` does not name.",
            ),
            Setting(
                key="deny",
                kind=list_of(kinds.network()),
                default="[224.0.0.0/4, 255.255.255.255/32, ff00::/8]",
                example="[224.0.0.0/4]",
                help="Networks that are never measured.",
            ),
        ),
        _section(
            "spool",
            "How much waits for a master that is away. What passes these bounds is dropped, oldest first, and counted.",
            Setting(
                key="most_bytes", kind=kinds.size(2**20, 2**50), default="1GiB", example="200MiB", help="Size on disk."
            ),
            Setting(
                key="most_age",
                kind=kinds.duration(60.0, 10 * 365 * DAY),
                default="14d",
                example="3d",
                help="Oldest round.",
            ),
        ),
    )
}

#: Every setting beside the name of its section, for pages and tests.
SETTINGS: Final = tuple(
    (section.name, setting) for section in SECTIONS.values() for setting in section.settings.values()
)


def markdown() -> str:
    """The table for people."""
    parts = [
        "# Settings\n",
        "Generated from the table the readers use. Durations are written `500ms`, `10s`, `5m`, `1h30m`.\n",
    ]
    for section in SECTIONS.values():
        parts += [f"## {section.name}\n", f"{section.help}\n"]
        parts.append("| key | value | default | example | meaning |\n| --- | --- | --- | --- | --- |")
        parts += [_row(setting) for setting in section.settings.values()]
        parts.append("")
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    if setting.kind:
        value = setting.kind.name
    elif setting.named:
        value = f"names, each with [{setting.section}](#{setting.section})"
    else:
        value = f"[{setting.section}](#{setting.section})"
    default = "required" if setting.required else f"`{setting.default}`" if setting.default else ""
    example = f"`{setting.example}`" if setting.example else ""
    return f"| `{setting.key}` | {value} | {default} | {example} | {setting.help} |"
