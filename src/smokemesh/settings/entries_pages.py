"""The settings of what pages look like, and of what serves SmokePing's slaves and old bookmarks."""

from typing import Final

from smokemesh.settings import kinds
from smokemesh.settings.entry import DAY, Section, Setting, make_section
from smokemesh.settings.kinds import list_of, mapping_of

_PRESENTATION: Final = make_section(
    "presentation",
    "What pages look like beyond their defaults.",
    Setting(key="owner", kind=kinds.text(), example="NOC Changzhou", help="Whose it is, for the foot of each page."),
    Setting(key="contact", kind=kinds.text(), example="noc@example.net", help="Whom to ask."),
    Setting(
        key="charts",
        section="chart",
        named=True,
        names=kinds.place_name(),
        help="Rankings of all targets, by name, in this order.",
    ),
    Setting(
        key="ranges", section="range", listed=True, help="Ranges a target's page shows; without it the usual ones."
    ),
    Setting(
        key="loss_colors",
        section="loss_color",
        listed=True,
        help="Colours of loss, from few lost pings to many; without it the usual ones.",
    ),
    Setting(
        key="max_rtt",
        kind=kinds.duration(0.0, 1e6),
        default="0s",
        example="500ms",
        help="Graphs are cut off above this RTT; 0s never.",
    ),
    Setting(
        key="overlay_colors",
        kind=list_of(kinds.color()),
        example="[004586, ff420e]",
        help="Lines of a page that draws several targets, in this order.",
    ),
)
_CHART: Final = make_section(
    "chart",
    "A ranking of all targets.",
    Setting(key="menu", kind=kinds.text(), example="Top loss", help="Its entry in the menu; without it its name."),
    Setting(
        key="title", kind=kinds.text(), example="Where most is lost", help="Its heading; without it the menu entry."
    ),
    Setting(
        key="sorter",
        kind=kinds.choice("median", "loss", "max", "deviation"),
        example="loss",
        required=True,
        help="What decides the rank.",
    ),
    Setting(key="entries", kind=kinds.whole(1, 1000), default="10", example="25", help="How many are shown."),
)
_RANGE: Final = make_section(
    "range",
    "A range of time.",
    Setting(key="title", kind=kinds.text(), example="Last 3 hours", required=True, help="Its heading."),
    Setting(
        key="length", kind=kinds.duration(60.0, 100 * 365 * DAY), example="3h", required=True, help="How long it is."
    ),
)
_LOSS_COLOR: Final = make_section(
    "loss_color",
    "The colour of a loss.",
    Setting(
        key="lost", kind=kinds.number(0, 65535), example="1", required=True, help="Holds up to this many lost pings."
    ),
    Setting(key="color", kind=kinds.color(), example="00b8ff", required=True, help="The colour."),
    Setting(key="legend", kind=kinds.text(), example="1/20", help="What the legend says."),
)
_SMOKEPING: Final = make_section(
    "smokeping",
    "What serves SmokePing's own slaves and old bookmarks. `config convert` writes it; seldom anything is written by hand.",
    Setting(
        key="path",
        kind=kinds.url_path(),
        default="/smokeping.cgi",
        example="/smokeping/smokeping.cgi",
        help="Path of the URL that slaves and bookmarks use.",
    ),
    Setting(
        key="secrets_file",
        kind=kinds.file_path(),
        example="/etc/smokeping/smokeping_secrets",
        help="SmokePing's secrets file, `name:secret` a line, not readable by others; relative to the directory of this file.",
    ),
    Setting(
        key="originals",
        kind=kinds.anything(),
        example="{General: {owner: NOC}}",
        help="Sections of a SmokePing file as slaves want them.",
    ),
    Setting(
        key="overrides",
        kind=kinds.anything(),
        example="{boomer: {Probes.FPing.binary: /usr/sbin/fping}}",
        help="What a slave gets instead: dotted path to value, by slave.",
    ),
)
#: What a place holds of a SmokePing file that has no other word here.
PLACE: Final = Setting(
    key="smokeping",
    kind=mapping_of(kinds.any_text(), keys=kinds.any_text()),
    example="{note: moved in May}",
    help="Variables of a SmokePing file, for its slaves; `config convert` writes them.",
)

SECTIONS: Final[tuple[Section, ...]] = (_PRESENTATION, _CHART, _RANGE, _LOSS_COLOR, _SMOKEPING)
