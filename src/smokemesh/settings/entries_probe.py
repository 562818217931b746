"""The settings of probes: those every kind has, and the options of each kind (`model.options`)."""

from typing import Final

from smokemesh.model.options import KINDS
from smokemesh.model.tools import TOOLS
from smokemesh.settings import kinds
from smokemesh.settings.entry import DAY, Setting

#: No probe may begin rounds closer than this, whatever an agent allows.
LEAST_STEP: Final = 1.0

PROBE: Final = (
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
#: Words of other tools, and what they are called here.
FOREIGN: Final = {
    "count": "pings",
    "period": "interval",
    "packetsize": "size",
    "tos": "dscp",
    "sourceaddress": "source",
}

KIND: Final = Setting(
    key="kind",
    kind=kinds.probe_kind(known=tuple(KINDS), later=("udp",), meant={"curl": "http", "https": "http", "ping": "icmp"}),
    default="icmp",
    example="http",
    help="What is sent: `icmp` is an echo request, `tcp` a connection, `http` fetches a document, `dns` asks a name server, "
    "`ssh` and `smtp` time a greeting, `command` runs a program.",
)

#: What only some kinds of probe have. A key stands for the same thing in each of them.
OPTIONS: Final = (
    Setting(
        key="port",
        kind=kinds.whole(1, 65535),
        only=("tcp", "dns", "ssh", "smtp"),
        example="443",
        help="Port; without it 80 for tcp, 53 for dns, 22 for ssh, 25 for smtp.",
    ),
    Setting(
        key="url",
        kind=kinds.probe_url(),
        only=("http",),
        example='"https://{host}/"',
        help="What is fetched, `{host}` is the target's host; without it `http://{host}/`. Several, parted by blanks, add up.",
    ),
    Setting(
        key="measure",
        kind=kinds.choice("total", "connect", "appconnect", "namelookup", "pretransfer", "redirect", "starttransfer"),
        only=("http",),
        example="starttransfer",
        help="Which of curl's times counts; without it `total`, less the look-up of the name.",
    ),
    Setting(key="agent", kind=kinds.text(), only=("http",), example="smokemesh", help="Name it gives itself."),
    Setting(
        key="insecure",
        kind=kinds.yes_no(),
        only=("http",),
        example="true",
        help="Take any certificate.",
    ),
    Setting(
        key="follow_redirects",
        kind=kinds.yes_no(),
        only=("http",),
        example="true",
        help="Go where an answer points.",
    ),
    Setting(
        key="include_redirects",
        kind=kinds.yes_no(),
        only=("http",),
        example="true",
        help="The time redirects take counts too.",
    ),
    Setting(
        key="status",
        kind=kinds.statuses(),
        only=("http",),
        example="200-399,401",
        help="Statuses that count as an answer; without it any.",
    ),
    Setting(
        key="headers",
        kind=kinds.text(),
        only=("http",),
        example='"Accept: text/html"',
        help="Further request headers, one a line.",
    ),
    Setting(
        key="ca_file",
        kind=kinds.file_path(),
        only=("http",),
        example="/etc/ssl/certs/ours.pem",
        help="CA certificates instead of the system's, a file of the agent's host.",
    ),
    Setting(
        key="expect",
        kind=kinds.text(),
        only=("http", "dns"),
        example="It works",
        help="Text that must stand in the answer, else the ping is lost.",
    ),
    Setting(
        key="query",
        kind=kinds.text(),
        only=("dns",),
        example="example.net",
        help="Name asked for; without it the target's host.",
    ),
    Setting(
        key="server",
        kind=kinds.host(),
        only=("dns",),
        example="192.0.2.53",
        help="Server asked; without it the target's host.",
    ),
    Setting(
        key="type",
        kind=kinds.record_type(),
        only=("dns",),
        example="AAAA",
        help="Record asked for; without it A.",
    ),
    Setting(
        key="protocol",
        kind=kinds.choice("udp", "tcp"),
        only=("dns",),
        example="tcp",
        help="How it is asked; without it udp.",
    ),
    Setting(
        key="recursion",
        kind=kinds.yes_no(),
        only=("dns",),
        example="false",
        help="Ask for recursion; without it true.",
    ),
    Setting(
        key="require_noerror",
        kind=kinds.yes_no(),
        only=("dns",),
        example="true",
        help="An answer that reports an error is a loss.",
    ),
    Setting(
        key="require_nxdomain",
        kind=kinds.yes_no(),
        only=("dns",),
        example="true",
        help="An answer other than `no such name` is a loss.",
    ),
    Setting(
        key="require_answers",
        kind=kinds.yes_no(),
        only=("dns",),
        example="true",
        help="An answer without records is a loss.",
    ),
    Setting(
        key="until",
        kind=kinds.choice("connect", "established", "complete"),
        only=("ssh",),
        example="complete",
        help="What is timed: the TCP connection, from then to the server's greeting (without it this), or both and its "
        "answer to ours.",
    ),
    Setting(
        key="greeting",
        kind=kinds.text(),
        only=("ssh",),
        example="SSH-2.0-smokemesh",
        help="What it says itself.",
    ),
    Setting(
        key="sender",
        kind=kinds.mail_address(),
        only=("smtp",),
        example="probe@example.net",
        help="Sender of the message.",
    ),
    Setting(
        key="to",
        kind=kinds.mail_address(),
        only=("smtp",),
        example="sink@example.net",
        help="Deliver a message to this address, which an agent does only when its `limits.commands` names smtp; without it "
        "only the greeting is timed.",
    ),
    Setting(key="subject", kind=kinds.text(), only=("smtp",), example="ping", help="Subject of the message."),
    Setting(
        key="body",
        kind=kinds.whole(0, 1_000_000),
        only=("smtp",),
        example="1000",
        help="Bytes of the message's body; without it none.",
    ),
    Setting(
        key="tool",
        kind=kinds.choice(*TOOLS),
        only=("command",),
        example="irtt",
        help="A program that is known here, by its name; else `argv`.",
    ),
    Setting(
        key="settings",
        kind=kinds.text(),
        only=("command",),
        example="port=2112",
        help="What that tool is told, `key=value` a line.",
    ),
    Setting(
        key="forks",
        kind=kinds.whole(1, 10_000),
        only=("command",),
        example="10",
        help="Most runs at once; without it 5.",
    ),
    Setting(
        key="argv",
        kind=kinds.text(),
        only=("command",),
        example='"/usr/bin/irtt client {host}"',
        help="Command line, run without a shell; `{host}`, `{address}`, `{pings}`, `{timeout}` and `{family}` are put in.",
    ),
    Setting(
        key="parse",
        kind=kinds.text(),
        only=("command",),
        example="lines",
        help="How its output is read: `lines` (an RTT a line, without it this), `exit` (the time it ran), `regex:…` (group 1), "
        "or the name of a tool.",
    ),
    Setting(
        key="unit",
        kind=kinds.choice("s", "ms", "us", "ns"),
        only=("command",),
        example="ms",
        help="Unit of what it prints; without it s.",
    ),
    Setting(
        key="run",
        kind=kinds.choice("ping", "round"),
        only=("command",),
        example="round",
        help="One run gives one RTT (without it this), or all of a round.",
    ),
    Setting(
        key="environment_file",
        kind=kinds.file_path(),
        only=("command",),
        example="/etc/smokemesh/ldap.env",
        help="File of the agent's host with variables for the program, for passwords.",
    ),
)

#: Keys of a probe which a place in the tree may set anew for itself and all below it.
OVERRIDES: Final = tuple(setting.key for setting in PROBE)
OPTION_KEYS: Final = tuple(setting.key for setting in OPTIONS)
#: Kind of probe -> the options it has.
OPTIONS_OF: Final = {kind: frozenset(setting.key for setting in OPTIONS if kind in setting.only) for kind in KINDS}
