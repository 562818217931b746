"""Every section of a SmokePing file but the probes' own: its variables, what they may be, defaults, what is mandatory.

The union of SmokePing 2.7.3 and the newest sources. A rule gives "" or what to write instead.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

Rule = Callable[[str], str]

#: Names of probes, targets, charts, hierarchies; slaves' may have dots; alerts' stand in comma lists.
NAME: Final = re.compile(r"[-_0-9a-zA-Z]+", re.ASCII)
SLAVE_NAME: Final = re.compile(r"[-_0-9a-zA-Z.]+", re.ASCII)
ALERT_NAME: Final = re.compile(r"[^\s,]+", re.ASCII)

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable. `needs`: what its path should lead to (directory, file, readable, program), missing it is a warning."""

    rule: Rule | None = None
    default: str | None = None
    needs: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table."""

    name: str
    rule: Rule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What may stand in a section."""

    variables: Mapping[str, Variable] = field(default_factory=dict)
    #: Any name that fits may be a variable too (overrides; tags for InfluxDB).
    free: re.Pattern[str] | None = None
    #: Of variables and subsections.
    mandatory: tuple[str, ...] = ()
    #: Copied from the section above when this one opens.
    inherited: tuple[str, ...] = ()
    sections: Mapping[str, "Form"] = field(default_factory=dict)
    #: Subsections of any name that fits, and what they are called in messages.
    named: tuple[re.Pattern[str], "Form", str] | None = None
    table: tuple[Column, ...] = ()
    #: What is filled in when the section closes.
    defaults: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        filled = ((name, x.default) for name, x in self.variables.items())
        object.__setattr__(self, "defaults", tuple((name, text) for name, text in filled if text is not None))


def number(text: str) -> float:
    """As Perl counts with text: the number it begins with, else 0. `300s` is 300. (Perl's `inf` and `nan` are 0 here.)"""
    found = _NUMBER.match(text)
    return float(found[1]) if found else 0.0


def is_plain_number(text: str) -> bool:
    """Nothing but a number stands there."""
    return _PLAIN.fullmatch(text) is not None


def like(pattern: str, write: str) -> Rule:
    """Fits `^pattern$`. As in SmokePing an alternative that stands in no brackets is anchored at one end only."""
    compiled = re.compile(f"^{pattern}$", re.ASCII)
    return lambda text: "" if compiled.search(text) else write


def one_of(*words: str) -> Rule:
    """One of a few words."""
    write = f"write {', '.join(words[:-1])} or {words[-1]}"
    return lambda text: "" if text in words else write


def whole(least: int, most: float = float("inf"), example: int = 0) -> Rule:
    """Counts as a whole number in these bounds."""
    bounds = f"{least} or more" if most == float("inf") else f"{least} to {most:g}"
    return lambda text: (
        ""
        if number(text).is_integer() and least <= number(text) <= most
        else f"write a whole number, {bounds}, such as {example or least}"
    )


def digits(least: int = 0, most: float = float("inf")) -> Rule:
    """Digits only, their number in these bounds."""
    bounds = f"{least} or more" if most == float("inf") else f"{least} to {most:g}"
    fits = re.compile(r"\d+", re.ASCII)
    return lambda text: (
        "" if fits.fullmatch(text) and least <= float(text) <= most else f"write a whole number in digits, {bounds}"
    )


def holds_address(text: str) -> bool:
    """`something@word` at the end, as SmokePing's `.+@\\S+`."""
    at = text.rfind("@", 1, len(text) - 1)
    return at > 0 and not any(c in " \t\n\r\f\v" for c in text[at + 1 :])


def receiver(text: str) -> str:
    """Of alerts: a program after a bar, or a mail address at the end. `snpp:` alone passes, as in SmokePing."""
    fine = (text.startswith("|") and len(text) > 1) or holds_address(text) or text in ("snpp:", "xmpp:")
    return (
        "" if fine else "write a mail address such as noc@example.net, or a program after a bar such as |/usr/bin/page"
    )


_SPECIAL = re.compile(r"\s*,\s*(?:\||snpp:|xmpp:).", re.ASCII)


def receivers(text: str) -> str:
    """A target's `alertee`: a comma list of addresses, |programs, snpp:… and xmpp:…"""
    fine = re.match(r"(?:\||snpp:|xmpp:).", text) is not None or holds_address(text)
    fine = fine or any(holds_address(text[: found.start()]) for found in _SPECIAL.finditer(text[:8192]))
    return "" if fine else "write mail addresses or |programs parted by commas, such as noc@example.net"


def owner_address(text: str) -> str:
    """`First Last <a@b>`."""
    head, _, word = text.rpartition(" ") if " " in text else text.rpartition("\t")
    at = word.find("@", 2)
    fine = bool(head) and word.startswith("<") and word.endswith(">") and 0 < at < len(word) - 2
    return "" if fine else "write a name and an address such as First Last <first@example.net>"


def contact(text: str) -> str:
    """A mail address, no blanks."""
    fine = holds_address(text) and text.split() == [text]
    return "" if fine else "write a mail address such as noc@example.net"


def time_pattern(text: str) -> str:
    """A pattern of strftime. SmokePing puts it between single quotes of a program."""
    return (
        ""
        if "'" not in text and not text.endswith("\\")
        else "write a strftime pattern without quotes, such as %Y-%m-%d"
    )


def alert_pattern(text: str) -> str:
    """Comparisons parted by commas, or a matcher; more is checked when alerts are made of it."""
    call = re.match(r"\S+\(.", text, re.ASCII)
    fine = all(text.split(",")) or (call is not None and text[-1] in " \t" and len(text) > call.end())
    return "" if fine else "write comparisons parted by single commas such as >0%,*12*,>0%, or a matcher"


def sorter(text: str) -> str:
    """A call without blanks."""
    fine = text.split() == [text] and text.endswith(")") and "(" in text[1:-2]
    return "" if fine else "write a sorter with no blanks in it, such as Loss(entries=>5)"


def above_one(text: str) -> str:
    """A factor."""
    return "" if number(text) > 1 else "write a number larger than 1, such as 2"


def share(text: str) -> str:
    """RRD's xff."""
    return "" if 0 < number(text) <= 1 else "write a number above 0 and up to 1, such as 0.5"


YES_NO: Final = one_of("yes", "no")
COLOR: Final = like("[0-9a-f]{6}", "write six hexadecimal digits, lower case, such as ff0000")
SPAN: Final = like(r"\d+[smhdwy]", "write a number and one of s m h d w y, such as 10h")
OFFSET: Final = like(r"(\d+%|random)", "write a share of the step such as 50%, or random")
LEVEL: Final = like(r"\d+.?\d*", "write a number, such as 20")
WORD: Final = like(r"\w+", "write one word of letters and digits, such as local0")
CELLS: Final = whole(1, example=12)
STEP: Final = whole(1, example=300)
PIXELS: Final = whole(10, example=600)
OFTEN: Final = digits(3)
#: Rules that count as Perl does, so that more than a number may stand there.
COUNTING: Final = frozenset({CELLS, STEP, PIXELS, above_one, share})

TEXT: Final = Variable()
_ENTRY = {"menu": TEXT, "title": TEXT}

GENERAL: Final = Form(
    mandatory=("owner", "imgcache", "imgurl", "datadir", "piddir", "smokemail", "cgiurl", "contact"),
    variables={
        "owner": TEXT,
        "contact": Variable(rule=contact),
        "cgiurl": Variable(rule=like(r"https?://\S+", "write a URL such as http://example.net/smokeping.cgi")),
        "imgcache": Variable(needs="directory"),
        "imgurl": TEXT,
        "datadir": Variable(needs="directory"),
        "dyndir": Variable(needs="directory"),
        "piddir": Variable(needs="directory"),
        "pagedir": Variable(needs="directory"),
        "smokemail": Variable(needs="file"),
        "sendmail": Variable(needs="file"),
        "tmail": Variable(needs="file"),
        "precreateperms": Variable(rule=like("[0-7]+", "write permissions in octal, such as 2755")),
        "mailhost": TEXT,
        "mailuser": TEXT,
        "mailpass": TEXT,
        "snpphost": TEXT,
        "display_name": TEXT,
        "syslogfacility": Variable(rule=WORD),
        "syslogpriority": Variable(rule=WORD),
        "offset": Variable(rule=OFFSET),
        "concurrentprobes": Variable(rule=YES_NO),
        "changeprocessnames": Variable(rule=YES_NO, default="yes"),
        "changecgiprogramname": Variable(rule=YES_NO, default="yes"),
        "linkstyle": Variable(rule=one_of("absolute", "relative", "original"), default="relative"),
    },
)

DATABASE: Final = Form(
    mandatory=("step", "pings"),
    variables={"step": Variable(rule=STEP), "pings": Variable(rule=OFTEN)},
    table=(
        Column(name="function", rule=one_of("AVERAGE", "MIN", "MAX")),
        Column(name="xff", rule=share),
        Column(name="steps", rule=CELLS),
        Column(name="rows", rule=CELLS),
    ),
)

_CHART = Form(
    mandatory=("menu", "title", "sorter"), variables={**_ENTRY, "sorter": Variable(rule=sorter), "format": TEXT}
)

_LOSS_COLORS = (
    Column(name="loss", rule=LEVEL),
    Column(name="color", rule=like("[0-9a-f]+", "write hexadecimal digits, lower case, such as ff0000")),
    Column(name="legend"),
)

_UPTIME_COLORS = (Column(name="uptime", rule=LEVEL), Column(name="color", rule=COLOR), Column(name="legend"))

_OVERVIEW = Form(
    mandatory=("width", "height"),
    variables={
        "width": Variable(rule=PIXELS),
        "height": Variable(rule=PIXELS),
        "range": Variable(rule=SPAN),
        "max_rtt": TEXT,
        "median_color": Variable(rule=COLOR),
        "strftime": Variable(rule=time_pattern),
    },
)

_DETAIL = Form(
    mandatory=("width", "height"),
    variables={
        "width": Variable(rule=PIXELS),
        "height": Variable(rule=PIXELS),
        "loss_background": Variable(rule=YES_NO),
        "logarithmic": Variable(rule=YES_NO),
        "unison_tolerance": Variable(rule=above_one),
        "max_rtt": TEXT,
        "strftime": Variable(rule=time_pattern),
        "nodata_color": Variable(rule=COLOR),
    },
    sections={"loss_colors": Form(table=_LOSS_COLORS), "uptime_colors": Form(table=_UPTIME_COLORS)},
    table=(Column(name="description"), Column(name="age", rule=SPAN)),
)

_COLORS = like("[0-9a-z]{6}(?: [0-9a-z]{6})*", "write colours parted by single blanks, such as ff0000 00ff00")

#: What the lines of several hosts in one graph are painted with when nothing is written.
MULTIHOST_COLORS: Final = "004586 ff420e ffde20 579d1c 7e0021 83caff 314004 aecf00 4b1f6f ff950e c5000b 0084d1"

PRESENTATION: Final = Form(
    mandatory=("overview", "template", "detail"),
    variables={
        "template": Variable(needs="readable"),
        "charset": TEXT,
        "htmltitle": Variable(rule=YES_NO),
        "graphborders": Variable(rule=YES_NO),
        "literalsearch": Variable(rule=YES_NO, default="no"),
        "colortext": Variable(rule=COLOR),
        "colorborder": Variable(rule=COLOR),
        "colorbackground": Variable(rule=COLOR),
    },
    sections={
        "overview": _OVERVIEW,
        "detail": _DETAIL,
        "charts": Form(mandatory=("menu", "title"), variables=_ENTRY, named=(NAME, _CHART, "a chart")),
        "multihost": Form(variables={"colors": Variable(rule=_COLORS)}),
        "hierarchies": Form(named=(NAME, Form(mandatory=("title",), variables={"title": TEXT}), "a hierarchy")),
    },
)

_TYPE = Variable(rule=one_of("rtt", "loss", "matcher"))
_EDGE = Variable(rule=YES_NO, default="no")

_ALERT = Form(
    mandatory=("type", "pattern", "comment"),
    inherited=("edgetrigger", "mailtemplate"),
    variables={
        "type": _TYPE,
        "pattern": Variable(rule=alert_pattern),
        "comment": TEXT,
        "to": Variable(rule=receiver),
        "edgetrigger": _EDGE,
        "mailtemplate": TEXT,
        "priority": Variable(rule=like(r"[1-9]\d*", "write a whole number, 1 or more")),
    },
)

_SENDER = Variable(rule=lambda text: "" if holds_address(text) else "write a mail address such as smoke@example.net")

ALERTS: Final = Form(
    mandatory=("to", "from"),
    variables={"to": Variable(rule=receiver), "from": _SENDER, "edgetrigger": _EDGE, "mailtemplate": TEXT},
    named=(ALERT_NAME, _ALERT, "an alert"),
)

_SLAVE = Form(
    mandatory=("display_name", "color"),
    variables={"display_name": TEXT, "location": TEXT, "color": Variable(rule=COLOR)},
    sections={"override": Form(free=re.compile(r"\S+", re.ASCII))},
)

SLAVES: Final = Form(mandatory=("secrets",), variables={"secrets": TEXT}, named=(SLAVE_NAME, _SLAVE, "a slave"))

INFLUXDB: Final = Form(
    mandatory=("host", "database"),
    variables={
        "host": TEXT,
        "port": Variable(rule=digits(), default="8086"),
        "timeout": Variable(rule=digits(), default="15"),
        "database": TEXT,
        "username": TEXT,
        "password": TEXT,
    },
)

_HIERARCHY = rf"{NAME.pattern}:/(?:{NAME.pattern}(?:/{NAME.pattern})*)?"

#: What every target may have, whatever probe measures it.
TARGET: Final[Mapping[str, Variable]] = {
    "probe": TEXT,
    **_ENTRY,
    "alerts": Variable(
        rule=like(r"([^\s,]+(,[^\s,]+)*)?", "write names of alerts parted by commas without blanks, such as loss,rtt")
    ),
    "note": TEXT,
    "email": Variable(rule=owner_address),
    "host": TEXT,
    "remark": TEXT,
    "rawlog": Variable(rule=time_pattern),
    "alertee": Variable(rule=receivers),
    "slaves": Variable(
        rule=like(rf"({SLAVE_NAME.pattern}(?:\s+{SLAVE_NAME.pattern})*)?", "write names of slaves parted by blanks")
    ),
    "menuextra": TEXT,
    "parents": Variable(
        rule=like(rf"{_HIERARCHY}(?: {_HIERARCHY})*", "write HIERARCHY:/PATH, several parted by single blanks")
    ),
    "hide": Variable(rule=YES_NO, default="no"),
    "nomasterpoll": Variable(rule=YES_NO, default="no"),
}

#: Of these, what a target takes over from the section above it.
TARGET_INHERITED: Final = ("probe", "alerts", "alertee", "slaves", "menuextra", "nomasterpoll")

#: What may stand at the top of `*** Targets ***`.
ROOT: Final = ("probe", "menu", "title", "remark", "alerts", "slaves", "menuextra", "parents")
ROOT_MANDATORY: Final = ("probe", "menu", "title")

#: Tags for InfluxDB, by the newest probes; never inherited.
TAGS: Final = re.compile(r"influx_.+", re.ASCII)

#: The top-level sections whose form is fixed; Probes and Targets are made while reading.
FIXED: Final[Mapping[str, Form]] = {
    "General": GENERAL,
    "Database": DATABASE,
    "Presentation": PRESENTATION,
    "Alerts": ALERTS,
    "Slaves": SLAVES,
    "InfluxDB": INFLUXDB,
}
TOP_MANDATORY: Final = ("General", "Database", "Presentation", "Probes", "Targets")
