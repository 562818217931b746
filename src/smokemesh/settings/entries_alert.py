"""The settings of alerts: what is judged, who is told, and how."""

from typing import Final

from smokemesh.settings import kinds
from smokemesh.settings.entry import DAY, Section, Setting, make_section
from smokemesh.settings.kinds import list_of, mapping_of

_LONG: Final = 400 * DAY

ALERT: Final = make_section(
    "alert",
    "An alert rule. Each agent's view of a target is judged on its own, or all together with `quorum`.",
    Setting(
        key="type",
        kind=kinds.choice("loss", "rtt", "matcher", "threshold", "deviation", "silent"),
        example="loss",
        required=True,
        help="What is judged: `loss` and `rtt` by SmokePing's patterns, `matcher` by one of its matchers, `threshold` by a "
        "bound, `deviation` by what was usual before, `silent` when no rounds come.",
    ),
    Setting(
        key="pattern",
        kind=kinds.text(),
        only=("loss", "rtt", "matcher"),
        example='">0%,*12*,>0%"',
        help="SmokePing's pattern over successive rounds, or a matcher like `CheckLoss(l => 50, x => 5)`.",
    ),
    Setting(
        key="measure",
        kind=kinds.choice("loss", "median", "max", "deviation", "jitter"),
        only=("threshold", "deviation"),
        default="loss",
        example="median",
        help="What the bound is for.",
    ),
    Setting(
        key="above",
        kind=kinds.bound(),
        only=("threshold",),
        example="20%",
        help="Raised while the measure lies above: `20%` or `0.2` of loss, `150ms` of the others.",
    ),
    Setting(
        key="below",
        kind=kinds.bound(),
        only=("threshold",),
        example="1ms",
        help="Raised while the measure lies below.",
    ),
    Setting(
        key="factor",
        kind=kinds.number(0.1, 1e6),
        only=("deviation",),
        default="5",
        example="8",
        help="Raised beyond this many times the usual spread.",
    ),
    Setting(
        key="baseline",
        kind=kinds.duration(600.0, _LONG),
        only=("deviation",),
        default="1d",
        example="7d",
        help="How far back what is usual is taken from.",
    ),
    Setting(
        key="for",
        kind=kinds.duration(0.0, _LONG),
        only=("threshold", "deviation", "silent"),
        default="0s",
        example="5m",
        help="Raised when it has held for this long on end.",
    ),
    Setting(
        key="clear_for",
        kind=kinds.duration(0.0, _LONG),
        only=("threshold", "deviation", "silent"),
        default="0s",
        example="10m",
        help="Cleared when it has not held for this long on end.",
    ),
    Setting(
        key="quorum",
        kind=kinds.whole(0, 100_000),
        default="0",
        example="2",
        help="How many of a target's agents must agree; 0 judges each on its own.",
    ),
    Setting(
        key="edge",
        kind=kinds.yes_no(),
        example="false",
        help="Tell when it is raised and when it is cleared, not at every round; without it as `alerting` says.",
    ),
    Setting(
        key="priority",
        kind=kinds.whole(0, 2**31 - 1),
        default="0",
        example="1",
        help="Once one has fired in a round, others with a priority keep quiet; the lowest goes first. 0 has none.",
    ),
    Setting(
        key="repeat",
        kind=kinds.duration(0.0, _LONG),
        default="0s",
        example="4h",
        help="Tell again this often while it lasts; 0s tells once.",
    ),
    Setting(
        key="to",
        kind=list_of(kinds.recipient()),
        example="[noc@example.net]",
        help="Who is told: addresses, `|program`, names from `alerting.receivers`.",
    ),
    Setting(key="comment", kind=kinds.text(), example="loss three times in a row", help="A sentence for people."),
    Setting(
        key="template",
        kind=kinds.file_path(),
        example="alert.mail",
        help="File with a mail template of its own; relative to the directory of this file.",
    ),
    wait="for",
    threshold="above",
    receivers="to",
    edgetrigger="edge",
    mailtemplate="template",
)

ALERTING: Final = make_section(
    "alerting",
    "What holds for all alerts.",
    Setting(key="to", kind=list_of(kinds.recipient()), example="[noc@example.net]", help="Who is told of every alert."),
    Setting(key="from", kind=kinds.sender(), example="smokemesh@example.net", help="Sender of mails."),
    Setting(
        key="compat",
        kind=kinds.choice("none", "smokeping"),
        default="none",
        example="smokeping",
        help="`smokeping` judges patterns with SmokePing's exact quirks.",
    ),
    Setting(
        key="edge",
        kind=kinds.yes_no(),
        default="true",
        example="false",
        help="Tell when an alert is raised and when it is cleared, not at every round.",
    ),
    Setting(
        key="template",
        kind=kinds.file_path(),
        example="alert.mail",
        help="File with a mail template; relative to the directory of this file.",
    ),
    Setting(
        key="url",
        kind=kinds.web_url(),
        example="https://smoke.example.net",
        help="Base URL of the pages, for links in notices.",
    ),
    Setting(
        key="snpp",
        kind=kinds.server(),
        example="pager.example.net",
        help="SNPP gateway for receivers like `snpp:12345`.",
    ),
    Setting(key="mail", section="mail", help="How mail leaves."),
    Setting(key="receivers", section="receiver", named=True, help="Where else notices go, by name."),
    sender="from",
    edgetrigger="edge",
    mailtemplate="template",
)

MAIL: Final = make_section(
    "mail",
    "How mail leaves: by an SMTP server, or by a sendmail program when no server is named.",
    Setting(
        key="servers",
        kind=list_of(kinds.server()),
        example="[mail.example.net:587]",
        help="SMTP servers, tried in order.",
    ),
    Setting(key="user", kind=kinds.text(), example="smokemesh", help="Name to log in with."),
    Setting(
        key="password_file",
        kind=kinds.file_path(),
        example="secrets/mail",
        help="File with the password; relative to the directory of this file.",
    ),
    Setting(
        key="password",
        kind=kinds.text(),
        example="correct-horse",
        help="The password itself, as SmokePing's files hold it; `password_file` is better.",
    ),
    Setting(
        key="security",
        kind=kinds.choice("none", "starttls", "tls"),
        default="none",
        example="starttls",
        help="How the connection is protected.",
    ),
    Setting(
        key="ca_file",
        kind=kinds.file_path(),
        example="/etc/ssl/certs/ours.pem",
        help="CA certificates for starttls and tls, instead of the system's.",
    ),
    Setting(
        key="sendmail",
        kind=kinds.file_path(),
        default="/usr/lib/sendmail",
        example="/usr/sbin/sendmail",
        help="Program that takes mail when no server is named.",
    ),
    server="servers",
    host="servers",
)

RECEIVER: Final = make_section(
    "receiver",
    "Where notices go.",
    Setting(
        key="type",
        kind=kinds.choice("mail", "program", "webhook", "slack", "alertmanager"),
        example="slack",
        required=True,
        help="What it is.",
    ),
    Setting(
        key="url",
        kind=kinds.web_url(),
        only=("webhook", "slack", "alertmanager"),
        example="https://hooks.example.net/abc",
        help="Where to post.",
    ),
    Setting(
        key="url_file",
        kind=kinds.file_path(),
        only=("webhook", "slack", "alertmanager"),
        example="secrets/slack",
        help="File with the URL, when it is a secret; relative to the directory of this file.",
    ),
    Setting(
        key="headers",
        kind=mapping_of(kinds.text()),
        only=("webhook", "slack", "alertmanager"),
        example="{X-Site: lab}",
        help="Further request headers.",
    ),
    Setting(
        key="secret_file",
        kind=kinds.file_path(),
        only=("webhook",),
        example="secrets/webhook",
        help="File with the secret that signs what is posted; relative to the directory of this file.",
    ),
    Setting(
        key="ca_file",
        kind=kinds.file_path(),
        only=("webhook", "slack", "alertmanager"),
        example="/etc/ssl/certs/ours.pem",
        help="CA certificates instead of the system's.",
    ),
    Setting(
        key="to",
        kind=list_of(kinds.mail_address()),
        only=("mail",),
        example="[noc@example.net]",
        help="Addresses.",
    ),
    Setting(
        key="command",
        kind=kinds.text(),
        only=("program",),
        example="/usr/local/bin/page-me",
        help="Program that is run with SmokePing's arguments.",
    ),
)

SECTIONS: Final[tuple[Section, ...]] = (ALERT, ALERTING, MAIL, RECEIVER)
