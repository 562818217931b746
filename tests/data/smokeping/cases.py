"""Small SmokePing files, each one feature or one mistake, with SmokePing's verdict.

`tests/integration/test_smokeping_verdicts.py` holds verdicts and values against the real parser; the unit tests hold
ours against the verdicts here. `DIR` in a text is a directory that holds what SmokePing wants to exist.
"""

from dataclasses import dataclass, field
from typing import Final

from smokemesh.smokeping.catalogue import PROBES as PROBE_NAMES

GENERAL: Final = """*** General ***
owner = Joe Random
contact = joe@example.net
cgiurl = http://example.net/smokeping.cgi
imgcache = DIR
imgurl = ../images
datadir = DIR
piddir = DIR
smokemail = DIR/mail
"""
DATABASE: Final = """*** Database ***
step = 300
pings = 20
AVERAGE 0.5 1 1008
MIN 0.5 12 4320
"""
PRESENTATION: Final = """*** Presentation ***
template = DIR/mail
+ overview
width = 600
height = 50
range = 10h
+ detail
width = 600
height = 200
"Last 3 Hours" 3h
'Last 10 Days' 10d
"""
PROBES: Final = """*** Probes ***
+ FPing
binary = /usr/bin/fping
"""
ROOT: Final = """*** Targets ***
probe = FPing
menu = Top
title = Top of all
"""
TARGETS: Final = (
    ROOT
    + """+ A
menu = A
host = 192.0.2.1
"""
)
CURL: Final = PROBES + "+ Curl\n"
CURL_URL: Final = PROBES + "+ Curl\nurlformat = http://%host%/\n"
TWO: Final = """*** Probes ***
+ FPing
binary = /usr/bin/fping
++ FPingSmall
packetsize = 100
++ FPingLarge
packetsize = 5000
pings = 10
"""
ALERTS: Final = """*** Alerts ***
to = noc@example.net
from = smoke@example.net
"""
SLAVES: Final = """*** Slaves ***
secrets = DIR/secrets
"""
SLAVE: Final = SLAVES + "+ s1\ndisplay_name = One\ncolor = 00ff00\n"
LOSSY: Final = "+ lossy\ntype = loss\npattern = >0%,*12*,>0%\ncomment = lossy\n"

#: Files beside the main one.
BESIDE: Final[dict[str, bytes]] = {
    "mail": b"To: you\nSubject: hello\n\ntext\n",
    "secrets": b"s1:secret\n",
    "more": b"+ M\nhost = 192.0.2.9\n",
    "empty": b"",
    "nosubject": b"To: you\n\ntext\n",
    "nomail": b"hello\n",
    "again": b"@include again\n",
    "sub/inner": b"@include leaf\n",
    "sub/leaf": b"+ Leaf\nhost = 192.0.2.8\n",
    "defines": b"@define HOME 192.0.2.77\n",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file."""

    name: str
    #: SmokePing 2.7.3 takes it.
    accepted: bool
    data: bytes
    #: We take it though 2.7.3 does not: newer variables, and files that we do not need.
    ours_only: bool = False
    #: What our message has.
    says: str = ""
    #: Target path (or Section/Sub) -> variable -> value, where it matters.
    values: dict[str, dict[str, str]] = field(default_factory=dict)


def _file(parts: dict[str, str | bytes]) -> bytes:
    order = (
        "before",
        "general",
        "database",
        "presentation",
        "influxdb",
        "alerts",
        "slaves",
        "probes",
        "targets",
        "after",
    )
    texts = {
        "general": GENERAL,
        "database": DATABASE,
        "presentation": PRESENTATION,
        "probes": PROBES,
        "targets": TARGETS,
    }
    whole = b""
    for name in order:
        text = parts.get(name, texts.get(name, ""))
        whole += text if isinstance(text, bytes) else text.encode()
    return whole


def takes(name: str, values: dict[str, dict[str, str]] | None = None, **parts: str | bytes) -> Case:
    """SmokePing takes it."""
    return Case(name=name, accepted=True, data=_file(parts), values=values or {})


def takes_newer(name: str, **parts: str | bytes) -> Case:
    """Only we, and newer SmokePings, take it."""
    return Case(name=name, accepted=False, data=_file(parts), ours_only=True)


def refuses(name: str, says: str, **parts: str | bytes) -> Case:
    """SmokePing refuses it."""
    return Case(name=name, accepted=False, data=_file(parts), says=says)


def _a(**values: str) -> dict[str, dict[str, str]]:
    return {"Targets/A": values}


LEXING: Final = (
    takes("plain", _a(menu="A", host="192.0.2.1", hide="no")),
    takes("cr lf", _a(host="192.0.2.1"), targets=TARGETS.replace("\n", "\r\n")),
    takes("no newline at the end", _a(note="x"), after="note = x"),
    takes("blanks around", _a(note="x y"), after="  note \t=  x y  \t\n"),
    takes("form feed is blank", _a(note="x"), after="\fnote = x\v\n"),
    takes("no blanks around the equals sign", _a(note="x"), after="note=x\n"),
    takes("equals signs in a value", _a(note="b=c"), after="note = b=c\n"),
    refuses("x=a=b parts at the last", "note=a", after="note=a=b\n"),
    takes(
        "the last equals sign of the first word",
        {"Slaves/s1/override": {"A.x=b": "c d"}},
        slaves=SLAVE + "++ override\nA.x=b=c d\n",
    ),
    takes("equals sign first", {"Slaves/s1/override": {"=": "x"}}, slaves=SLAVE + "++ override\n== x\n"),
    refuses("an equals sign alone", "no table", after="= x\n"),
    takes("comment", _a(note="x"), after="# all\n   # of\nnote = x # it\n"),
    takes("comment within quotes", _a(note='"x'), after='note = "x # y"\n'),
    takes("comment without a blank", _a(note="x"), after="note = x#y\n"),
    takes("quotes stay in values", _a(note='"x y"'), after='note = "x y"\n'),
    takes("empty value", _a(note=""), after="note =\n"),
    takes("continued", _a(note="one  two"), after="note = one \\\n   two\n"),
    takes("continued over three", _a(note="one two three"), after="note = one\\\ntwo\\\nthree\n"),
    takes("continued by an empty line", _a(note="one "), after="note = one\\\n\nremark = x\n"),
    takes("continued at the end of the file", _a(note="one "), after="note = one \\"),
    takes("a comment sign on a continuation stays", _a(note="one two # three"), after="note = one\\\ntwo # three\n"),
    refuses("a comment ends the continuation", "no table", after="note = a # c \\\nb c\n"),
    takes("continuation before a comment", _a(note="a b"), after="note = a\\ # c\nb\n"),
    refuses("a backslash alone makes a row", "no table", after="\\\nnote = x\n"),
    refuses("a backslash alone at the end", "no table", after="\\"),
    refuses("a word alone", "no table", after="hello\n"),
    takes("top section without blanks", general=GENERAL.replace("*** General ***", "***General***")),
    takes("top section with many", general=GENERAL.replace("*** General ***", "***   General\t***")),
    refuses("top section not closed", "for a section", general=GENERAL.replace("*** General ***", "*** General **")),
    refuses("top section of no name", "unknown", after="******\n"),
    refuses("five stars", "no table", after="*****\n"),
    refuses("lower-case section", "General", general=GENERAL.replace("General", "general")),
    refuses("unknown section", "unknown", after="*** Alert ***\n"),
    refuses("byte order mark", "byte order mark", before=b"\xef\xbb\xbf"),
    takes("section without a blank", {"Targets/B": {"note": "x"}}, after="+B\nnote = x\n"),
    refuses("pluses parted by blanks", "cannot name", after="+ + x\n"),
    refuses("section without a name", "cannot name", after="+\n"),
    takes("name with dash and underscore", {"Targets/-a_B-0": {"note": "x"}}, after="+ -a_B-0\nnote = x\n"),
    refuses("target with a dot", "cannot name", after="+ a.b\n"),
    refuses("target with a blank", "cannot name", after="+ a b\n"),
    refuses("target beyond ASCII", "cannot name", after="+ Zürich\n"),
    refuses("variable before all sections", "before any section", before="x = y\n"),
    refuses("row before all sections", "no table", before="hello\n"),
    refuses("subsection before all sections", "levels below", before="+ x\n"),
    refuses("two levels at once", "levels below", after="+++ x\n"),
    takes("up by two levels", {"Targets/B": {"note": "z"}}, after="++ x\n+++ y\n+ B\nnote = z\n"),
    takes("UTF-8", _a(title="本机 Zürich"), after="title = 本机 Zürich\n"),
    takes("a non-breaking space is no blank", after="note = x\u00a0\n"),
    takes("NUL in a value", _a(note="a\0b"), after="note = a\0b\n"),
)

INCLUDES: Final = (
    takes("include", {"Targets/M": {"host": "192.0.2.9"}}, after="@include DIR/more\n"),
    takes("include beside", {"Targets/M": {"host": "192.0.2.9"}}, after="@include more\n"),
    takes("include many blanks", {"Targets/M": {"host": "192.0.2.9"}}, after="@include \t more\n"),
    takes("include one quote", {"Targets/M": {"host": "192.0.2.9"}}, after='@include "more\n'),
    refuses("include in quotes", "cannot be read", after='@include "more"\n'),
    refuses("include of nothing", "no table", after="@include\n"),
    refuses("include missing", "cannot be read", after="@include nothing\n"),
    refuses("include does not glob", "cannot be read", after="@include mor*\n"),
    takes("include of an empty file", after="@include empty\n"),
    takes("include within an include is beside it", {"Targets/Leaf": {}}, after="@include sub/inner\n"),
    takes("include in the middle of a section", {"Targets/A": {"title": "t"}}, after="@include empty\ntitle = t\n"),
    refuses("include twice", "has this name already", after="@include more\n@include more\n"),
    takes("include at a deeper level", {"Targets/A/D": {}, "Targets/M": {}}, after="++ D\n@include more\n"),
    takes("define", {"Targets/B": {"host": "192.0.2.77"}}, after="@define HOME 192.0.2.77\n+ B\nhost = HOME\n"),
    takes("define across files", {"Targets/B": {"host": "192.0.2.77"}}, after="@include defines\n+ B\nhost = HOME\n"),
    takes("define matches within words", _a(note="xYYz"), after="@define AA YY\nnote = xAAz\n"),
    takes("define is a regular expression", _a(note="x and x"), after="@define h.st x\nnote = host and hast\n"),
    refuses("define rewrites names of variables", "x", after="@define h.st x\n+ B\nhost = 192.0.2.1\n"),
    takes("define makes sections", {"Targets/B": {"note": "x"}}, after="@define SECTION +\nSECTION B\nnote = x\n"),
    takes("define again", _a(note="two"), after="@define W one\n@define W two\nnote = W\n"),
    takes("define text of several words", _a(note="a b  c"), after="@define W a b  c\nnote = W\n"),
    takes("define of backslashes", _a(note=r"\1 \\ &"), after="@define W \\1 \\\\ &\nnote = W\n"),
    refuses("define without text", "no table", after="@define W\n"),
    refuses("define of no expression", "regular expression", after="@define ( x\nnote = x\n"),
    takes("define of no expression that nothing follows", after="@define ( x\n"),
    takes("include lines are not replaced", {"Targets/M": {}}, after="@define more less\n@include more\n"),
    takes("a comment goes before a definition", _a(note="W"), after="# @define W x\nnote = W\n"),
)

STRUCTURE: Final = (
    refuses("a variable twice", "already", after="menu = B\n"),
    refuses("a section twice", "already", after="+ A\n"),
    refuses("second Targets", "already", after="*** Targets ***\n"),
    refuses("second General", "already", after="*** General ***\n"),
    refuses("target called as a variable set above", "already", after="++ host\n"),
    refuses("target called as an inherited variable", "already", after="++ probe\n"),
    takes(
        "target called as a variable not set",
        {"Targets/A/title": {"host": "192.0.2.2"}},
        after="++ title\nhost = 192.0.2.2\n",
    ),
    takes(
        "a section stands for a mandatory variable",
        targets=ROOT.replace("menu = Top\n", "") + "+ menu\nhost = 192.0.2.1\n",
    ),
    takes("an inherited value may be set", {"Targets/A/B": {"slaves": "s2"}}, after="slaves = s1\n++ B\nslaves = s2\n"),
    refuses("an inherited value may be set once", "already", after="slaves = s1\n++ B\nslaves = s2\nslaves = s3\n"),
    refuses("General missing", "*** General ***", general=""),
    refuses("Database missing", "*** Database ***", database=""),
    refuses("Presentation missing", "*** Presentation ***", presentation=""),
    refuses("Probes missing", "Probes", probes=""),
    refuses("Targets missing", "*** Targets ***", targets=""),
    refuses("nothing at all", "missing", general="", database="", presentation="", probes="", targets=""),
    refuses("Probes behind Targets", "has not come yet", probes="", after=PROBES),
    takes("any order", probes="", targets="", before=PROBES + TARGETS),
    refuses("mandatory variable missing", "owner", general=GENERAL.replace("owner = Joe Random\n", "")),
    refuses(
        "mandatory section missing",
        "overview",
        presentation="*** Presentation ***\ntemplate = DIR/mail\n+ detail\nwidth = 9999\nheight = 10\n",
    ),
    refuses("menu missing at the root", "menu", targets=ROOT.replace("menu = Top\n", "")),
    refuses("probe missing at the root", "probe", targets=TARGETS.replace("probe = FPing\n", "")),
    refuses("variable unknown", "did you mean host", after="hosst = x\n"),
    refuses("section where none is allowed", "no such section", database=DATABASE + "+ x\n"),
    refuses("table in General", "no table", general=GENERAL + "a b c\n"),
)

GENERALS: Final = (
    refuses("contact without an address", "contact", general=GENERAL.replace("joe@example.net", "joe")),
    refuses("contact with a blank", "contact", general=GENERAL.replace("joe@example.net", "joe <joe@example.net>")),
    refuses("cgiurl of another scheme", "cgiurl", general=GENERAL.replace("http:", "ftp:")),
    takes("offsets", {"General": {"offset": "50%"}}, general=GENERAL + "offset = 50%\n"),
    takes("offset random", general=GENERAL + "offset = random\n"),
    refuses("offset without percent", "offset", general=GENERAL + "offset = 50\n"),
    takes("defaults of General", {"General": {"linkstyle": "relative", "changeprocessnames": "yes"}}),
    refuses("linkstyle", "linkstyle", general=GENERAL + "linkstyle = any\n"),
    refuses("yes or no", "write yes or no", general=GENERAL + "concurrentprobes = true\n"),
    refuses("precreateperms", "octal", general=GENERAL + "precreateperms = 0789\n"),
    takes(
        "mail and log",
        general=GENERAL
        + "mailhost = a,b\nmailuser = u\nmailpass = p\nsyslogfacility = local0\nsyslogpriority = info\n",
    ),
    refuses("facility of two words", "syslogfacility", general=GENERAL + "syslogfacility = local 0\n"),
    takes("step that begins with a number", {"Database": {"step": "300s"}}, database=DATABASE.replace("300", "300s")),
    takes("step in powers", database=DATABASE.replace("300", "3e2")),
    refuses("step a fraction", "step", database=DATABASE.replace("300", "0.5")),
    refuses("step no number", "step", database=DATABASE.replace("300", "five")),
    refuses("step 0", "step", database=DATABASE.replace("300", "0")),
    refuses("two pings", "pings", database=DATABASE.replace("pings = 20", "pings = 2")),
    refuses("pings with a unit", "pings", database=DATABASE.replace("pings = 20", "pings = 20x")),
    takes("no table of archives", database="*** Database ***\nstep = 60\npings = 3\n"),
    refuses("archive of LAST", "function", database=DATABASE + "LAST 0.5 1 10\n"),
    refuses("archive of three columns", "3 columns", database=DATABASE + "MAX 0.5 1\n"),
    refuses("archive of five columns", "5 columns", database=DATABASE + "MAX 0.5 1 10 5\n"),
    takes("xff without a 0", database=DATABASE + "MAX .5 12 10\n"),
    takes("xff 1", database=DATABASE + "MAX 1 12 10\n"),
    refuses("xff 0", "xff", database=DATABASE + "MAX 0 12 10\n"),
    refuses("rows 0", "rows", database=DATABASE + "MAX 0.5 12 0\n"),
    takes("fields in quotes", database=DATABASE + "\"MAX\" '0.5' 12 \\1\\0\n"),
)


def _shown(text: str) -> str:
    return PRESENTATION + text


PRESENTATIONS: Final = (
    takes(
        "colours of several hosts by default",
        {
            "Presentation/multihost": {
                "colors": "004586 ff420e ffde20 579d1c 7e0021 83caff 314004 aecf00 4b1f6f ff950e c5000b 0084d1"
            }
        },
    ),
    takes(
        "own colours",
        {"Presentation/multihost": {"colors": "ff0000 00zz00"}},
        presentation=_shown("+ multihost\ncolors = ff0000 00zz00\n"),
    ),
    refuses("colours parted by two blanks", "colors", presentation=_shown("+ multihost\ncolors = ff0000  00ff00\n")),
    takes(
        "charts",
        presentation=_shown(
            "+ charts\nmenu = C\ntitle = C\n++ loss\nmenu = L\ntitle = L\nsorter = Loss(entries=>5)\nformat = %f\n"
        ),
    ),
    refuses(
        "sorter with blanks",
        "sorter",
        presentation=_shown(
            "+ charts\nmenu = C\ntitle = C\n++ loss\nmenu = L\ntitle = L\nsorter = Loss(entries => 5)\n"
        ),
    ),
    takes(
        "sorter nobody knows",
        presentation=_shown("+ charts\nmenu = C\ntitle = C\n++ loss\nmenu = L\ntitle = L\nsorter = x(y)\n"),
    ),
    refuses(
        "chart without a sorter",
        "sorter",
        presentation=_shown("+ charts\nmenu = C\ntitle = C\n++ loss\nmenu = L\ntitle = L\n"),
    ),
    refuses("charts without a title", "title", presentation=_shown("+ charts\nmenu = C\n")),
    takes(
        "hierarchies", presentation=_shown("+ hierarchies\n++ owner\ntitle = By owner\n++ place\ntitle = By place\n")
    ),
    refuses("hierarchy without a title", "title", presentation=_shown("+ hierarchies\n++ owner\n")),
    takes("loss colours", presentation=_shown('++ loss_colors\n1 00ff00 "<1"\n3 f00 <3\n1000 ff0000 "a \\"b\\" c"\n')),
    refuses("loss colours upper case", "color", presentation=_shown("++ loss_colors\n1 FF0000 x\n")),
    refuses("loss colours with a sign", "color", presentation=_shown("++ loss_colors\n1 ' #ff0000' x\n")),
    takes("uptime colours", presentation=_shown("++ uptime_colors\n3600 00ff00 '1 hour'\n86400 ff0000 '1 day'\n")),
    refuses("uptime colours of three digits", "color", presentation=_shown("++ uptime_colors\n3600 f00 x\n")),
    takes("odd numbers of levels", presentation=_shown("++ loss_colors\n1x5 00ff00 x\n")),
    refuses("detail's age", "age", presentation=_shown('"Last" 3\n')),
    takes("age in all letters", presentation=_shown("a 1s\nb 1m\nc 1h\nd 1d\ne 1w\nf 1y\n")),
    takes("quotes within a field", presentation=_shown('"a\\"b" 1h\n\'it\\\'s\' 1h\na\\ b 1h\n"a"3h\n')),
    takes("a quote that does not close", presentation=_shown('"abc 1h\n')),
    takes("a quote closed by an escaped one", presentation=_shown('"abc\\" 1h\n')),
    takes(
        "width that begins with a number",
        presentation=PRESENTATION.replace("width = 600\nheight = 50", "width = 600px\nheight = 5e1"),
    ),
    refuses(
        "width too small",
        "width",
        presentation=PRESENTATION.replace("width = 600\nheight = 50", "width = 9\nheight = 50"),
    ),
    refuses("range without a letter", "range", presentation=PRESENTATION.replace("range = 10h", "range = 10")),
    takes("no range", presentation=PRESENTATION.replace("range = 10h\n", "")),
    refuses(
        "median colour upper case",
        "median_color",
        presentation=PRESENTATION.replace("range = 10h", "median_color = FF0000"),
    ),
    takes(
        "detail's settings",
        presentation=_shown(
            "loss_background = yes\nlogarithmic = no\nunison_tolerance = 2\nmax_rtt = 1\nstrftime = %Y\nnodata_color = eeeeee\n"
        ),
    ),
    refuses("unison_tolerance 1", "unison_tolerance", presentation=_shown("unison_tolerance = 1\n")),
    refuses("quote in strftime", "strftime", presentation=_shown("strftime = it's %Y\n")),
    takes(
        "charset of any name",
        presentation=PRESENTATION.replace(
            "+ overview", "charset = koi8-r\nhtmltitle = yes\ngraphborders = no\n+ overview"
        ),
    ),
    takes_newer("literal search", presentation=PRESENTATION.replace("+ overview", "literalsearch = yes\n+ overview")),
    takes_newer(
        "colours of the page",
        presentation=PRESENTATION.replace(
            "+ overview", "colortext = 000000\ncolorborder = ffffff\ncolorbackground = eeeeee\n+ overview"
        ),
    ),
    refuses("unknown section of Presentation", "did you mean", presentation=_shown("+ chart\n")),
)

PROBINGS: Final = (
    takes(
        "variables of FPing",
        {"Probes/FPing": {"packetsize": "1000", "mininterval": "0.01", "protocol": "4"}},
        probes=PROBES
        + "packetsize = 1000\ntimeout = 1.5\nhostinterval = .5\nsourceaddress = 192.0.2.1\ntos = 0x10\nblazemode = true\nusestdout = false\nstep = 60\noffset = 10%\npings = 5\n",
    ),
    refuses("packets too small", "packetsize", probes=PROBES + "packetsize = 11\n"),
    refuses("packets too large", "packetsize", probes=PROBES + "packetsize = 64001\n"),
    refuses("two pings of a probe", "pings", probes=PROBES + "pings = 2\n"),
    takes("type of service is anchored at one end", probes=PROBES + "tos = 5 and more\n"),
    refuses("binary missing", "binary", probes="*** Probes ***\n+ FPing\n"),
    refuses("no such module", "did you mean FPing", probes="*** Probes ***\n+ Fping\nbinary = /usr/bin/fping\n"),
    refuses(
        "module of somebody else", "take it and its targets out", probes=PROBES + "+ speedtest\nbinary = /bin/true\n"
    ),
    refuses("module of nearly that name", "did you mean FPing", probes=PROBES + "+ FPingPlus\n"),
    refuses("module twice", "already", probes=PROBES + "+ FPing\n"),
    refuses("variables in Probes itself", "no variables", probes="*** Probes ***\nstep = 5\n"),
    takes(
        "instances",
        {
            "Probes/FPing/FPingSmall": {"packetsize": "100", "binary": "/usr/bin/fping"},
            "Targets": {"probe": "FPingLarge"},
        },
        probes=TWO,
        targets=TARGETS.replace("FPing", "FPingLarge"),
    ),
    refuses("template of instances", "template", probes=TWO),
    takes("instance of the module's name", probes=PROBES + "++ FPing\n"),
    takes("instance with its own binary", probes="*** Probes ***\n+ FPing\n++ FPing\nbinary = /usr/bin/fping\n"),
    refuses("instance without a binary", "binary", probes="*** Probes ***\n+ FPing\n++ FPing\nstep = 60\n"),
    refuses("below an instance", "an instance of a probe", probes=TWO + "+++ x\n"),
    takes(
        "instances of one name in two modules",
        probes=PROBES + "++ X\n+ FPing6\nbinary = /usr/bin/fping\n++ X\n",
        targets=TARGETS.replace("FPing", "X"),
    ),
    takes(
        "default at the probe",
        {"Probes/Curl": {"urlformat": "http://%host%/", "timeout": "10"}},
        probes=CURL_URL,
        targets=TARGETS.replace("FPing", "Curl"),
    ),
    takes(
        "defaults are not inherited by instances",
        {"Probes/AnotherDNS/Quick": {"timeout": "2", "lookup": "x.example"}},
        probes=PROBES + "+ AnotherDNS\nlookup = x.example\n++ Quick\ntimeout = 2\n",
    ),
    refuses("mandatory target variable missing", "urlformat", probes=CURL, targets=TARGETS.replace("FPing", "Curl")),
    takes(
        "mandatory target variable missing without a host",
        probes=CURL,
        targets=ROOT.replace("FPing", "Curl") + "+ A\nmenu = A\n",
    ),
    takes(
        "mandatory target variable inherited",
        {"Targets/A": {"urlformat": "http://%host%/"}},
        probes=CURL,
        targets=ROOT.replace("FPing", "Curl") + "urlformat = http://%host%/\n+ A\nhost = 192.0.2.1\n",
    ),
    takes(
        "mandatory target variable of an instance",
        probes=CURL + "++ Web\nurlformat = http://%host%/\n",
        targets=TARGETS.replace("FPing", "Web"),
    ),
    refuses(
        "mandatory target variable of another instance",
        "urlformat",
        probes=CURL + "++ Web\nurlformat = http://%host%/\n++ Bare\n",
        targets=TARGETS.replace("FPing", "Bare"),
    ),
    takes("template lifts it for instances", probes=CURL_URL + "++ Bare\n", targets=TARGETS.replace("FPing", "Bare")),
    refuses("quotes around an agent", "agent", probes=CURL_URL + 'agent = "x"\n'),
    refuses("extrare without slashes", "extrare", probes=CURL_URL + "extrare = x\n"),
    refuses("follow_redirects true", "follow_redirects", probes=CURL_URL + "follow_redirects = true\n"),
    takes(
        "time-out of a target is not the probe's",
        {"Probes/EchoPingHttp": {"timeout": "10", "url": "/"}},
        probes=PROBES + "+ EchoPingHttp\nbinary = /bin/true\n",
    ),
    takes_newer("newer variables of FPing", probes=PROBES + "interface = eth0\nfwmark = 5\n"),
    takes_newer(
        "newer variables of AnotherDNS", probes=PROBES + "+ AnotherDNS\nrequire_nxdomain = 1\nexpect_text = x\n"
    ),
    takes_newer("newer key types of SSH", probes=PROBES + "+ SSH\nbinary = /bin/true\nkeytype = ed25519\n"),
    takes_newer("a program that is not there", probes=PROBES.replace("fping", "no-such-fping")),
    refuses(
        "ports of Qstat the wrong way", "sourceport", probes=PROBES + "+ Qstat\nbinary = /bin/true\nsourceport = 5-4\n"
    ),
    refuses("DISMAN of 16 pings", "pings", probes=PROBES + "+ DismanPing\npings = 16\n"),
    takes("DISMAN of 2 pings", probes=PROBES + "+ DismanPing\npings = 2\n"),
    refuses("mail without addresses", "from", probes=PROBES + "+ SendEmail\n"),
)

#: Modules with what they ask for, so that their defaults are held against the real ones.
ASKED: Final = {
    "FPing": "binary = /usr/bin/fping", "FPing6": "binary = /usr/bin/fping", "FPingContinuous": "binary = /usr/bin/fping",
    "RemoteFPing": "binary = /bin/true\nrhost = h\nrbinary = fping", "NFSping": "binary = /bin/true", "DNS": "binary = /bin/true",
    "SSH": "binary = /bin/true", "TCPPing": "binary = /bin/true", "TraceroutePing": "binary = /bin/true",
    "IRTT": "binary = /bin/true", "WebProxyFilter": "deny_re = x", "SendEmail": "from = a@b\nto = c@d", "Qstat": "binary = /bin/true",
    "FTPtransfer": "srcfile = f\nmode = get\ntimeout = 3", "IOSPing": "binary = /bin/true",
}  # fmt: skip


TARGETINGS: Final = (
    takes(
        "inherited and not",
        {
            "Targets/A/B": {
                "alerts": "x",
                "alertee": "a@b",
                "slaves": "s",
                "menuextra": "e",
                "nomasterpoll": "yes",
                "hide": "no",
                "probe": "FPing",
            }
        },
        after="alerts = x\nalertee = a@b\nslaves = s\nmenuextra = e\nnomasterpoll = yes\nhide = yes\nremark = r\nnote = n\nrawlog = %Y\n++ B\nhost = 192.0.2.2\n",
    ),
    takes(
        "inherited over two",
        {"Targets/A/B/C": {"slaves": "s1 s2"}},
        after="slaves = s1 s2\n++ B\n+++ C\nhost = 192.0.2.2\n",
    ),
    takes(
        "inherited from the root",
        {"Targets/A": {"slaves": "s1"}},
        targets=ROOT + "slaves = s1\n+ A\nhost = 192.0.2.1\n",
    ),
    takes(
        "an empty value ends inheritance",
        {"Targets/A/B": {"alerts": "", "slaves": ""}},
        after="alerts = x\nslaves = s\n++ B\nalerts =\nslaves =\n",
    ),
    refuses("blank after the comma", "alerts", after="alerts = a, b\n"),
    takes("two alerts", after="alerts = a,b\n"),
    takes("blank after the comma at the root", targets=ROOT + "alerts = a, b\n+ A\nhost = 192.0.2.1\nalerts =\n"),
    refuses("comma at the end", "alerts", after="alerts = a,\n"),
    refuses("slaves with commas", "slaves", after="slaves = a,b\n"),
    takes("slaves with many blanks", after="slaves = a   b.c\n"),
    takes(
        "hosts of all forms",
        after="+ B\nhost = 2001:db8::1\n+ C\nhost = DYNAMIC\n+ D\nhost = DYNAMIC/abcDEF\n+ E\nhost = /A /B /A~s1\n+ F\nhost = no such host\n+ G\nhost =\n+ H\nhost = ::\n",
    ),
    takes("a host with children", {"Targets/A/B": {"host": "192.0.2.2"}}, after="++ B\nhost = 192.0.2.2\n"),
    takes("host is not inherited", {"Targets/A/B": {"probe": "FPing"}}, after="++ B\nmenu = B\n"),
    refuses("host at the root", "host", targets=ROOT + "host = 192.0.2.1\n"),
    refuses("nomasterpoll at the root", "nomasterpoll", targets=ROOT + "nomasterpoll = yes\n"),
    refuses("hide at the root", "hide", targets=ROOT + "hide = yes\n"),
    takes("all of the root", targets=ROOT + "remark = r\nalerts = a\nslaves = s\nmenuextra = m\nparents = owner:/x\n"),
    refuses("yes upper case", "hide", after="hide = Yes\n"),
    takes(
        "hide and nomasterpoll",
        {"Targets/A": {"hide": "yes", "nomasterpoll": "no"}},
        after="hide = yes\nnomasterpoll = no\n",
    ),
    takes("parents", after="parents = owner:/a/b place:/ x:/y\n"),
    refuses("parents without a hierarchy", "parents", after="parents = /a/b\n"),
    refuses("parents parted by two blanks", "parents", after="parents = o:/a  p:/b\n"),
    takes("alertees", after="alertee = a@b, |/bin/x y, snpp:12 , xmpp:z\n"),
    takes("alertee a pager", after="alertee = snpp:12345\n"),
    refuses("alertee no address", "alertee", after="alertee = noc\n"),
    refuses("alertee nothing behind the comma", "alertee", after="alertee = a@b, c\n"),
    takes("hosts of several targets, two blanks between", _a(host="/A  /B"), targets=ROOT + "+ A\nhost = /A  /B\n"),
    takes("slaves before the probe", targets="*** Targets ***\nslaves = a b\nprobe = FPing\nmenu = M\ntitle = T\n"),
    refuses("a section of no name among others", "cannot name", after="++ B\n+++\nmenu =\n"),
    takes("owner of a host", after="email = Joe Random <joe@example.net>\n"),
    refuses("owner without a name", "email", after="email = <joe@example.net>\n"),
    refuses("owner without brackets", "email", after="email = Joe joe@example.net\n"),
    refuses("quote in rawlog", "rawlog", after="rawlog = it's\n"),
    refuses("PROBE_CONF", "no longer", after="+ PROBE_CONF\n"),
    refuses("FPing has no target variables", "packetsize", after="packetsize = 100\n"),
    refuses("pings of a target under FPing", "pings", after="pings = 10\n"),
    takes(
        "pings of a target",
        {"Targets/B": {"pings": "10", "timeout": "3"}},
        probes=CURL_URL,
        after="+ B\nprobe = Curl\npings = 10\ntimeout = 3\nhost = 192.0.2.2\n",
    ),
    refuses("two pings of a target", "pings", probes=CURL_URL, after="+ B\nprobe = Curl\npings = 2\n"),
    refuses("probe behind host", "before host", probes=CURL_URL, after="+ B\nhost = 192.0.2.2\nprobe = Curl\n"),
    refuses(
        "probe behind its variables",
        "before host",
        probes=CURL_URL,
        targets=ROOT.replace("FPing", "Curl") + "+ A\ntimeout = 3\nprobe = FPing\n",
    ),
    takes(
        "probe behind menu and alerts", probes=CURL_URL, after="+ B\nmenu = B\nalerts = x\nslaves = s\nprobe = Curl\n"
    ),
    refuses("probe unknown", "no such probe", after="+ B\nprobe = DNS\n"),
    takes(
        "probe inherited",
        {"Targets/B/C": {"probe": "Curl"}},
        probes=CURL_URL,
        after="+ B\nprobe = Curl\n++ C\nhost = 192.0.2.1\ntimeout = 3\n",
    ),
    refuses("probe of a neighbour", "timeout", probes=CURL_URL, after="+ B\nprobe = Curl\n+ C\ntimeout = 3\n"),
    takes(
        "another probe keeps what was inherited",
        {"Targets/B/C": {"pings": "7", "urlformat": "u", "probe": "AnotherDNS"}, "Targets/B/C/D": {"pings": "7"}},
        probes=CURL_URL + "+ AnotherDNS\n",
        after="+ B\nprobe = Curl\npings = 7\nurlformat = u\n++ C\nprobe = AnotherDNS\n+++ D\nhost = 192.0.2.1\n",
    ),
    refuses(
        "variable of the former probe",
        "urlformat",
        probes=CURL_URL + "+ AnotherDNS\n",
        after="+ B\nprobe = Curl\n++ C\nprobe = AnotherDNS\nurlformat = u\n",
    ),
    takes(
        "probe at the root behind other variables",
        targets="*** Targets ***\nmenu = Top\ntitle = Top\nalerts = a\nprobe = FPing\n+ A\nhost = 192.0.2.1\n",
    ),
    takes(
        "the probe's variables at the root",
        {"Targets/A": {"timeout": "3"}},
        probes=CURL_URL,
        targets=ROOT.replace("FPing", "Curl") + "timeout = 3\n+ A\nhost = 192.0.2.1\n",
    ),
    takes(
        "host of TraceroutePing is inherited",
        {"Targets/B/C": {"host": "192.0.2.2", "desthost": "192.0.2.3"}},
        probes=PROBES + "+ TraceroutePing\nbinary = /bin/true\n",
        after="+ B\nprobe = TraceroutePing\ndesthost = 192.0.2.3\nhost = 192.0.2.2\n++ C\nmenu = C\n",
    ),
    refuses(
        "TraceroutePing without desthost",
        "desthost",
        probes=PROBES + "+ TraceroutePing\nbinary = /bin/true\n",
        after="+ B\nprobe = TraceroutePing\nhost = 192.0.2.2\n",
    ),
    takes("deep", {"Targets/A/b/c/d/e": {"probe": "FPing"}}, after="++ b\n+++ c\n++++ d\n+++++ e\nhost = 192.0.2.1\n"),
    takes("order of the file", after="+ Z\n+ M\n++ z\n++ a\n+ B\n"),
    takes_newer("tags for InfluxDB", after="influx_location = lab\n"),
    takes_newer("InfluxDB", influxdb="*** InfluxDB ***\nhost = 127.0.0.1\ndatabase = smoke\n"),
)

ALERTING: Final = (
    takes("alerts", {"Alerts/lossy": {"edgetrigger": "no"}}, alerts=ALERTS + LOSSY),
    takes(
        "edge trigger is inherited",
        {"Alerts/lossy": {"edgetrigger": "yes"}},
        alerts=ALERTS + "edgetrigger = yes\n" + LOSSY,
    ),
    takes(
        "everything of an alert",
        alerts=ALERTS + LOSSY + "to = |/bin/page -x\nedgetrigger = yes\npriority = 2\nmailtemplate = DIR/mail\n",
    ),
    refuses("priority 0", "priority", alerts=ALERTS + LOSSY + "priority = 0\n"),
    refuses("alert without a comment", "comment", alerts=ALERTS + LOSSY.replace("comment = lossy\n", "")),
    refuses("type of alert", "type", alerts=ALERTS + LOSSY.replace("loss\np", "lost\np")),
    takes("patterns are checked at start", alerts=ALERTS + LOSSY.replace(">0%,*12*,>0%", "what, ever")),
    refuses("two commas in a pattern", "pattern", alerts=ALERTS + LOSSY.replace(",*12*,", ",,")),
    refuses("empty pattern", "pattern", alerts=ALERTS + LOSSY.replace(">0%,*12*,>0%", "")),
    takes("matcher", alerts=ALERTS + "+ m\ntype = matcher\npattern = CheckLoss(l => 40,x => 10)\ncomment = c\n"),
    refuses(
        "matcher with a comma at its end",
        "pattern",
        alerts=ALERTS + "+ m\ntype = matcher\npattern = CheckLoss(l => 40,)x,\ncomment = c\n",
    ),
    takes(
        "name of an alert", {'Alerts/a.b!"c': {"type": "loss"}}, alerts=ALERTS + LOSSY.replace("+ lossy", '+ a.b!"c')
    ),
    refuses("name of an alert with a comma", "cannot name", alerts=ALERTS + LOSSY.replace("+ lossy", "+ a,b")),
    takes(
        "name of an alert beyond ASCII",
        {"Alerts/süß": {"type": "loss"}},
        alerts=ALERTS + LOSSY.replace("+ lossy", "+ süß"),
    ),
    refuses("to missing", "to", alerts=ALERTS.replace("to = noc@example.net\n", "")),
    refuses("from missing", "from", alerts=ALERTS.replace("from = smoke@example.net\n", "")),
    refuses("to no address", "to", alerts=ALERTS.replace("noc@example.net", "noc")),
    refuses("pager in to", "to", alerts=ALERTS.replace("noc@example.net", "snpp:12345")),
    takes("pager with an at sign in to", alerts=ALERTS.replace("noc@example.net", "snpp:12345@x")),
    takes("pager of nobody in to", alerts=ALERTS.replace("noc@example.net", "snpp:")),
    takes("list in to", alerts=ALERTS.replace("noc@example.net", "noc@example.net, boss@example.net")),
    takes("program first in to", alerts=ALERTS.replace("noc@example.net", "|/bin/x,noc")),
    refuses("program last in to", "to", alerts=ALERTS.replace("noc@example.net", "noc@example.net, |/bin/x y")),
    refuses("from with brackets and blanks", "from", alerts=ALERTS.replace("smoke@example.net", "@ x")),
    takes("mail template", alerts=ALERTS + "mailtemplate = DIR/mail\n" + LOSSY),
    refuses("mail template missing", "cannot be read", alerts=ALERTS + "mailtemplate = DIR/nothing\n"),
    refuses("mail template without a subject", "Subject", alerts=ALERTS + "mailtemplate = DIR/nosubject\n"),
    refuses("mail template without headers", "header", alerts=ALERTS + "mailtemplate = DIR/nomail\n"),
    refuses("mail template empty", "Subject", alerts=ALERTS + "mailtemplate = DIR/empty\n"),
    refuses("level of alerts", "no such section", alerts=ALERTS + LOSSY + "++ x\n"),
)

SLAVING: Final = (
    takes("slaves", {"Slaves/s1": {"display_name": "One", "color": "00ff00"}}, slaves=SLAVE),
    takes("name of a slave with dots", slaves=SLAVE.replace("s1", "s1.example.net")),
    refuses("name of a slave with a blank", "cannot name", slaves=SLAVE.replace("+ s1", "+ s 1")),
    takes(
        "override",
        {"Slaves/s1/override": {"Probes.FPing.binary": "/opt/fping", "Database.step": "60"}},
        slaves=SLAVE + "location = x\n++ override\nProbes.FPing.binary = /opt/fping\nDatabase.step = 60\n",
    ),
    refuses("override of another name", "override", slaves=SLAVE + "++ overrides\n"),
    refuses("override twice", "already", slaves=SLAVE + "++ override\nx = 1\nx = 2\n"),
    refuses("timeout of slaves", "timeout", slaves=SLAVES + "timeout = 5\n"),
    refuses("colour upper case", "lower case", slaves=SLAVE.replace("00ff00", "FF0000")),
    refuses("colour missing", "color", slaves=SLAVE.replace("color = 00ff00\n", "")),
    refuses("display name missing", "display_name", slaves=SLAVE.replace("display_name = One\n", "")),
    refuses("secrets missing", "secrets", slaves="*** Slaves ***\n"),
    refuses("secrets not there", "secrets", slaves="*** Slaves ***\nsecrets = DIR/nothing\n"),
)

CASES: Final = (
    *LEXING, *INCLUDES, *STRUCTURE, *GENERALS, *PRESENTATIONS, *PROBINGS, *TARGETINGS, *ALERTING, *SLAVING,
    *(takes(f"probe {name}", probes=PROBES + f"+ {name}\n{ASKED.get(name, '')}\n") for name in sorted(set(PROBE_NAMES) - {"FPing"})),
)  # fmt: skip
