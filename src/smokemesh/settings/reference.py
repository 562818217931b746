"""Every setting there is: one table that the readers, `config schema`, the reference pages and the tests share.

A section is a mapping in a file. Defaults and examples are spelt as they would be written.
"""

from typing import Final

from smokemesh.settings import entries_alert, entries_pages, kinds
from smokemesh.settings.entries_probe import FOREIGN, KIND, OPTIONS, PROBE
from smokemesh.settings.entry import DAY, Section, Setting, make_section
from smokemesh.settings.kinds import list_of, mapping_of

SECTIONS: Final[dict[str, Section]] = {
    section.name: section
    for section in (
        make_section(
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
                names=kinds.place_name(),
                help="Ways to measure, by name. A probe `ping` is there without being written.",
            ),
            Setting(
                key="agents", section="agents", named=True, names=kinds.place_name(), help="Who measures, by name."
            ),
            Setting(key="targets", section="target", help="The tree of what is measured."),
            Setting(key="alerts", section="alert", named=True, names=kinds.alert_name(), help="Alert rules, by name."),
            Setting(key="alerting", section="alerting", help="What holds for all alerts."),
            Setting(
                key="hierarchies",
                kind=mapping_of(kinds.text(), keys=kinds.place_name()),
                example="{customers: By customer}",
                help="Other trees over the same targets: name and title.",
            ),
            Setting(key="presentation", section="presentation", help="What pages look like."),
            Setting(key="smokeping", section="smokeping", help="What serves SmokePing's slaves and old bookmarks."),
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
        make_section(
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
        make_section(
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
        make_section(
            "catalogue",
            "Where agents and keys are kept.",
            Setting(
                key="dsn",
                kind=kinds.dsn("sqlite", "postgresql"),
                example="sqlite:////var/lib/smokemesh/catalogue.db",
                help="SQLAlchemy URL; without it `catalogue.db` below the data directory.",
            ),
        ),
        make_section("defaults", "What every probe has unless it says otherwise.", *PROBE, **FOREIGN),
        make_section(
            "probe",
            "One way to measure. What only some kinds have stands beside the rest.",
            KIND,
            *PROBE,
            *OPTIONS,
            **FOREIGN,
        ),
        make_section("options", "What only one kind of probe has, set anew for a place and all below it.", *OPTIONS),
        make_section(
            "agents",
            "An agent, as the master knows it.",
            Setting(
                key="display_name",
                kind=kinds.text(),
                example="常州一号",
                help="What people read instead of its name.",
            ),
            Setting(key="location", kind=kinds.text(), example="changzhou", help="Where it stands."),
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
                kind=mapping_of(kinds.text()),
                example="{rack: r29}",
                help="Free names and values.",
            ),
            colour="color",
            secret="secret_file",
        ),
        make_section(
            "target",
            "A place in the tree. With `host` it is measured. A key that is no setting and holds a mapping is a child. "
            "Settings from `probe` to `options`, and from `step` on, hold for all below as well.",
            Setting(
                key="host",
                kind=kinds.target_host(),
                example="192.0.2.29",
                help="Name or address to measure; `DYNAMIC/…` one that tells its own address, as SmokePing has them.",
            ),
            Setting(
                key="overlay",
                kind=list_of(kinds.seen_path()),
                example="[/lab/a, /lab/b~tokyo]",
                help="Targets this page draws in one graph, `~agent` as one agent sees them. Such a place has no host.",
            ),
            Setting(
                key="menu", kind=kinds.text(), example="Rack 29", help="Its entry in the menu; without it its name."
            ),
            Setting(
                key="title",
                kind=kinds.text(),
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
                kind=kinds.place_name(),
                default="ping",
                example="fast",
                help="How it is measured; a name from `probes`.",
            ),
            Setting(
                key="agents",
                kind=list_of(kinds.place_name()),
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
            Setting(key="alerts", kind=list_of(kinds.alert_name()), example="[someloss]", help="Names from `alerts`."),
            Setting(
                key="alertee",
                kind=list_of(kinds.recipient()),
                example="[owner@example.net]",
                help="Who is told of these targets' alerts besides: addresses, `|program`, names of receivers.",
            ),
            Setting(
                key="parents",
                kind=list_of(kinds.tree_path()),
                example="[/changzhou/rack29]",
                help="Targets without which this one cannot be reached.",
            ),
            Setting(
                key="labels",
                kind=mapping_of(kinds.text()),
                example="{rack: r29}",
                help="Free names and values; those of a place are added to those above it.",
            ),
            Setting(
                key="options",
                section="options",
                help="What only its kind of probe has, set anew.",
            ),
            Setting(
                key="places",
                kind=mapping_of(kinds.tree_path(), keys=kinds.place_name()),
                example="{customers: /acme/berlin}",
                help="Where it stands in other trees: name from `hierarchies`, and the place above it there.",
            ),
            entries_pages.PLACE,
            Setting(
                key="children",
                section="target",
                named=True,
                names=kinds.place_name(),
                help="What stands below, for names that are settings too.",
            ),
            *PROBE,
            **FOREIGN,
            slaves="agents",
            address="host",
            hostname="host",
            hide="hidden",
        ),
        *entries_alert.SECTIONS,
        *entries_pages.SECTIONS,
        make_section(
            "agent",
            "`agent.yaml`, what an agent reads.",
            Setting(
                key="name",
                kind=kinds.name(),
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
                kind=mapping_of(kinds.text()),
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
        make_section(
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
            Setting(
                key="commands",
                kind=list_of(kinds.text()),
                example="[/usr/local/bin/probe-me, ldapsearch]",
                help="Programs that probes of kind `command` may run, and tools whose every option is followed. Without it "
                "known tools run, but not told to do more than measure. `smtp` lets probes of that kind send messages.",
            ),
        ),
        make_section(
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
    elif setting.listed:
        value = f"list of [{setting.section}](#{setting.section})"
    elif setting.named:
        value = f"names, each with [{setting.section}](#{setting.section})"
    else:
        value = f"[{setting.section}](#{setting.section})"
    if setting.only:
        value = f"{value} ({', '.join(setting.only)})"
    default = "required" if setting.required else f"`{setting.default}`" if setting.default else ""
    example = f"`{setting.example}`" if setting.example else ""
    return f"| `{setting.key}` | {value} | {default} | {example} | {setting.help} |"
