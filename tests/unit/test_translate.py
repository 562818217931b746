"""SmokePing's configuration in our words: what holds for each target, who measures it, who is told."""

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.data.smokeping.cases import DATABASE, GENERAL, PRESENTATION

from smokemesh.errors import ConfigError
from smokemesh.settings.kinds import target_host
from smokemesh.settings.master import load_master, settings_from
from smokemesh.settings.plain import nodes
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.shape import Chart, MasterSettings
from smokemesh.smokeping.catalogue import PROBES as SHIPPED
from smokemesh.smokeping.config import parse
from smokemesh.smokeping.translate import Translation, translate

PROBES = """*** Probes ***
+ FPing
binary = /usr/bin/fping
++ FPingNormal
offset = 50%
++ FPingLarge
packetsize = 5000
pings = 10
step = 60
+ Curl
binary = /usr/bin/curl
urlformat = http://%host%/
pings = 5
+ DNS
binary = /usr/bin/dig
lookup = example.net
+ TelnetJunOSPing
"""
ALERTS = """*** Alerts ***
to = |/usr/bin/page,noc@example.net
from = smoke@example.net
edgetrigger = yes
+ someloss
type = loss
pattern = >0%,*12*,>0%
comment = lossy
+ slow
type = rtt
pattern = <10,>100
comment = slow
priority = 3
edgetrigger = no
to = you@example.net
"""
SLAVES = """*** Slaves ***
secrets = /etc/smokeping/smokeping_secrets
+ tokyo
display_name = 東京
color = 0000ff
location = Tokyo
++ override
Probes.FPing.binary = /opt/fping
+ boomer
display_name = Boomer
color = 00ff00
"""
TARGETS = """*** Targets ***
probe = FPingNormal
menu = Top
title = 全部
remark = Hello
"""


def translated(targets: str, **parts: str) -> Translation:
    given = {"general": GENERAL, "database": DATABASE, "presentation": PRESENTATION, "probes": PROBES, "alerts": ALERTS}
    whole = given | {"slaves": SLAVES} | parts
    order = ("general", "database", "presentation", "alerts", "slaves", "probes")
    text = "".join(whole[name] for name in order) + TARGETS + targets
    configuration = parse("/etc/config", lambda path: text.encode())
    return translate(configuration, frozenset(SECTIONS["target"].settings), target_host().parse)


def settings(made: Translation) -> MasterSettings:
    return settings_from(nodes(made.values, made.places, "/etc/config"), ("/etc/config",))


def run(targets: str, **parts: str) -> MasterSettings:
    made = translated(targets, **parts)
    loaded = settings(made)
    again = load_master("/etc/config", lambda path: yaml.safe_dump(made.values, allow_unicode=True, sort_keys=False))
    assert replace(again, warnings=(), files=()) == replace(loaded, warnings=(), files=())
    return replace(loaded, warnings=made.warnings)


def by_path(found: MasterSettings) -> dict[str, Any]:
    return {target.path: target for target in found.targets}


def node(found: MasterSettings, path: str) -> Any:
    return next(n for n in found.tree.walk() if n.path == path)


def test_probes_and_what_targets_change_of_them() -> None:
    found = run("""
+ Web
probe = Curl
++ a
host = a.example.net
++ b
host = b.example.net
urlformat = https://%host%/x
pings = 10
+++ below
host = below.example.net
++++ again
host = again.example.net
urlformat = http://%host%/
+++ back
probe = DNS
host = 192.0.2.53
+ Ping
++ large
probe = FPingLarge
host = 192.0.2.1
++ normal
host = 2001:db8::1
""")
    probes = {path: found.probes[target.probe] for path, target in by_path(found).items()}
    assert {path: probe.name for path, probe in probes.items()} == {
        "/Web/a": "Curl",
        "/Web/b": "Curl#pings=10,url=https://{host}/x",
        "/Web/b/below": "Curl#pings=10,url=https://{host}/x",
        "/Web/b/below/again": "Curl#pings=10",
        "/Web/b/back": "DNS#pings=10",
        "/Ping/large": "FPingLarge",
        "/Ping/normal": "FPingNormal",
    }
    assert (probes["/Web/a"].pings, probes["/Web/a"].step, dict(probes["/Web/a"].options)) == (5, 300.0, {})
    assert (probes["/Ping/large"].pings, probes["/Ping/large"].step, probes["/Ping/large"].size) == (10, 60.0, 5000)
    assert probes["/Ping/normal"].offset == 150.0
    assert (probes["/Web/b/back"].kind, probes["/Web/b/back"].pings) == ("dns", 10)


def test_who_measures() -> None:
    found = run("""
+ A
slaves = tokyo boomer
++ a
host = 192.0.2.1
++ b
host = 192.0.2.2
nomasterpoll = yes
slaves = boomer
+++ c
host = 192.0.2.3
++ d
host = 192.0.2.4
slaves =
++ e
host = 192.0.2.5
slaves =
nomasterpoll = yes
""")
    assert {path: target.agents for path, target in by_path(found).items()} == {
        "/A/a": ("local", "tokyo", "boomer"),
        "/A/b": ("boomer",),
        "/A/b/c": ("boomer",),
        "/A/d": ("local",),
        "/A/e": (),
    }
    tokyo = found.agents["tokyo"]
    assert (tokyo.display_name, tokyo.color, tokyo.location) == ("東京", "0000ff", "Tokyo")
    assert found.smokeping.overrides == {"tokyo": {"Probes.FPing.binary": "/opt/fping"}}
    assert found.smokeping.secrets_file == "/etc/smokeping/smokeping_secrets"


def test_who_is_told_and_how() -> None:
    found = run("""
+ A
alerts = someloss,slow
alertee = me@example.net,snpp:123,xmpp:x
++ a
host = 192.0.2.1
++ b
host = 192.0.2.2
alerts =
""")
    a, b = by_path(found).values()
    assert (a.alerts, a.alertee, b.alerts) == (("someloss", "slow"), ("me@example.net", "snpp:123", "xmpp:x"), ())
    assert found.alerting.to == ("|/usr/bin/page", "noc@example.net")
    assert (found.alerting.compat, found.alerting.edge, found.alerting.mail.sender) == (
        "smokeping",
        True,
        "smoke@example.net",
    )
    assert (found.alerting.url, found.smokeping.path) == ("http://example.net", "/smokeping.cgi")
    slow = found.alerts["slow"]
    assert (slow.type, slow.pattern, slow.priority, slow.edge, slow.to) == (
        "rtt",
        "<10,>100",
        3,
        False,
        ("you@example.net",),
    )
    assert found.alerts["someloss"].edge is None


def test_places_of_all_kinds() -> None:
    found = run(
        """
+ host
menu = called like a setting
++ title
host = 192.0.2.1
parents = owner:/acme/berlin place:/
note = moved
hide = yes
+ Many
host = /host/title /host/title~tokyo /host/nowhere /host/title~nobody
menu = Many
+ empty
menu = nothing here
+ dynamic
host = DYNAMIC/abc+/9
menu = dynamic
+ plain
host = 192.0.2.9
+ -dash
host = _x.example.net
""",
        presentation=PRESENTATION + "+ hierarchies\n++ owner\ntitle = Owner\n++ place\ntitle = Place\n",
    )
    assert [child.path for child in found.tree.children] == ["/host", "/Many", "/empty", "/dynamic", "/plain", "/-dash"]
    title = node(found, "/host/title")
    assert (title.places, title.hidden, title.smokeping) == (
        {"owner": "/acme/berlin", "place": "/"},
        True,
        {"note": "moved"},
    )
    assert node(found, "/Many").overlay == ("/host/title", "/host/title~tokyo")
    assert node(found, "/empty").children == ()
    assert by_path(found)["/dynamic"].host == "DYNAMIC/abc+/9"
    plain = node(found, "/plain")
    assert (plain.menu, plain.title) == ("192.0.2.9", "192.0.2.9")
    assert found.presentation.hierarchies == {"owner": "Owner", "place": "Place"}
    told = " ".join(found.warnings)
    assert "/Many: host names /host/nowhere, which is not measured" in told
    assert "/Many: host names slave nobody, which is not defined" in told


@pytest.mark.parametrize(
    ("host", "message"),
    [("0.0.0.0", "means any address"), ("a..b", "is not a host name"), ("192.0.2.0/24", "is a network")],
)  # fmt: skip
def test_a_host_nobody_can_measure_is_told_and_the_rest_runs(host: str, message: str) -> None:
    found = run(f"\n+ a\nhost = {host}\n++ below\nhost = 192.0.2.1\n")
    assert [*by_path(found)] == ["/a/below"]
    assert any(
        message in warning and "/etc/config:" in warning and "it is not measured" in warning
        for warning in found.warnings
    )


def test_a_curl_host_may_hold_a_path() -> None:
    found = run("\n+ a\nprobe = Curl\nhost = www.example.net/a/b\n")
    (target,) = found.targets
    assert target.host == "www.example.net"
    assert dict(found.probes[target.probe].options) == {"url": "http://www.example.net/a/b/"}


def test_presentation() -> None:
    presentation = PRESENTATION.replace("height = 200\n", "height = 200\nmax_rtt = 0.5\n")
    presentation += """++ loss_colors
0 26ff00 "none"
1.5 ff0000 "some"
+ charts
menu = Charts
title = Most interesting
++ worst
menu = Worst
title = The worst
sorter = StdDev(entries=>4)
format = %f
+ multihost
colors = 004586 ff420e
"""
    shown = run("\n+ a\nhost = 192.0.2.1\n", presentation=presentation).presentation
    assert (shown.owner, shown.contact) == ("Joe Random", "joe@example.net")
    assert shown.charts == (Chart(name="worst", menu="Worst", title="The worst", sorter="deviation", entries=4),)
    assert shown.ranges == (("Last 3 Hours", 10800.0), ("Last 10 Days", 864000.0))
    assert shown.loss_colors == ((0.0, "26ff00", "none"), (1.5, "ff0000", "some"))
    assert (shown.max_rtt, shown.overlay_colors) == (0.5, ("004586", "ff420e"))


def test_nothing_is_kept_shorter_than_smokeping_did() -> None:
    table = "AVERAGE 0.5 1 28800\nAVERAGE 0.5 12 96000\n"
    found = run("\n+ a\nhost = 192.0.2.1\n", database="*** Database ***\nstep = 300\npings = 20\n" + table)
    assert (found.retention.raw, found.retention.h1) == (100 * 86400.0, 4000 * 86400.0)
    assert found.retention.m5 == 180 * 86400.0
    assert found.smokeping.originals["Database"]["_table"] == [
        ["AVERAGE", "0.5", "1", "28800"],
        ["AVERAGE", "0.5", "12", "96000"],
    ]


def test_mail_and_the_name_of_the_master() -> None:
    general = (
        GENERAL
        + "mailhost = a.example.net,b.example.net\nmailuser = me\nmailpass = secret\nsnpphost = pager\ndisplay_name = Home\n"
    )
    found = run("\n+ a\nhost = 192.0.2.1\n", general=general)
    assert found.alerting.mail.servers == ("a.example.net", "b.example.net")
    assert (found.alerting.mail.user, found.alerting.mail.password, found.alerting.snpp) == ("me", "secret", "pager")
    assert found.agents["local"].display_name == "Home"


@pytest.mark.parametrize(
    ("targets", "line", "message"),
    [
        ("+ a\nslaves = nobody\nhost = 192.0.2.1\n", 2, "/a: there is no slave nobody; define it in *** Slaves *** or remove it"),
        ("+ a\nalerts = nothing\n", 2, "/a: there is no alert nothing; define it in *** Alerts *** or remove it"),
        ("+ a\nparents = x:/a\n", 2, "/a: there is no hierarchy x; define it below Presentation, + hierarchies"),
        (
            "+ a\nprobe = TelnetJunOSPing\nsource = r1\njunosuser = a\njunospass = b\nhost = 192.0.2.1\n", 6,
            "probe TelnetJunOSPing (TelnetJunOSPing) logs in by telnet with a password in clear; OpenSSHJunOSPing and OpenSSHEOSPing run; "
            "measure it otherwise or remove it",
        ),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_by_name_file_and_line(targets: str, line: int, message: str) -> None:
    first = (GENERAL + DATABASE + PRESENTATION + ALERTS + SLAVES + PROBES + TARGETS).count("\n")
    with pytest.raises(ConfigError) as caught:
        translated(targets)
    assert (str(caught.value)) == f"/etc/config:{first + line}: {message}"


def test_a_refused_probe_nobody_uses_is_a_warning() -> None:
    made = translated("+ a\nhost = 192.0.2.1\n")
    assert [w for w in made.warnings if "probe TelnetJunOSPing" in w and w.endswith("no target uses it")]


def test_what_has_no_meaning_here_is_listed() -> None:
    made = translated("+ a\nhost = 192.0.2.1\n")
    assert "/etc/config:5: General.imgcache" in made.not_needed
    assert any(entry.endswith("Presentation.template") for entry in made.not_needed)
    assert any(entry.endswith("Probes.FPing.binary") for entry in made.not_needed)
    assert not any("owner" in entry or "urlformat" in entry for entry in made.not_needed)


def test_rounds_longer_than_their_step_are_made_to_fit() -> None:
    probes = PROBES + "+ AnotherDNS\nstep = 10\npings = 20\ntimeout = 8\n"
    found = run("\n+ a\nprobe = AnotherDNS\nhost = 192.0.2.1\n", probes=probes)
    probe = found.probes["AnotherDNS"]
    assert probe.duration <= probe.step == 10.0
    assert any("probe AnotherDNS has a timeout of 8s, with a step of 10s it is 2.5s here" in w for w in found.warnings)


NAMES = st.sampled_from(["a", "b", "host", "menu", "Long-name_1", "-x"])
LINES = st.lists(
    st.sampled_from(
        ["menu = Ä 1", "title = null", "remark = <b>x</b>", "alerts = someloss", "alerts =", "slaves = tokyo", "slaves =",
         "nomasterpoll = yes", "nomasterpoll = no", "hide = yes", "note = 1", "alertee = x@y", "menuextra = ~"]
    ),
    unique_by=lambda line: line.split()[0],
)  # fmt: skip
PROBE = st.sampled_from(
    ["", "probe = FPingNormal", "probe = FPingLarge", "probe = Curl", "probe = Curl\npings = 7", "probe = Curl\nurlformat = %host%/y",
     "probe = DNS", "probe = DNS\nlookup = x.example\npings = 3"]
)  # fmt: skip
HOST = st.sampled_from(["", "host = 192.0.2.1", "host = ::1", "host = x_y.example.net", "host = DYNAMIC", "host = /a"])


@st.composite
def trees(draw: st.DrawFn, level: int = 1) -> str:
    text = ""
    for name in draw(st.lists(NAMES, unique=True, max_size=3)):
        lines = [line for line in draw(LINES) if line.split()[0] != name]
        text += "\n".join(["+" * level + " " + name, draw(PROBE), *lines, draw(HOST), ""])
        if level < 3:
            below = draw(trees(level + 1))
            # a section may not be called like a variable that is set above it
            text += "" if any(f"\n{n} = " in text for n in ("host", "menu")) and "+ host" in below + "+ menu" else below
    return text


@given(trees())
def test_any_tree_means_the_same_when_it_is_converted(targets: str) -> None:
    try:
        run(targets)
    except ConfigError as error:
        assert "already" in str(error)  # noqa: PT017  # a section called like a variable set above it


ODD = ["0", "99999999999999999999", "1e9", "Foo <a@b.c>", "192.0.2.1", "2001:db8::1", "a b c", "{x}", "é ü", "null", "A" * 5000, "..", "$x", "x:99999"]  # fmt: skip
ANYWHERE = [
    *((name, "probe", key) for name, probe in SHIPPED.items() for key in probe.probe),
    *((name, "target", key) for name, probe in SHIPPED.items() for key in probe.target),
]


@given(st.sampled_from(ANYWHERE), st.sampled_from(ODD))
def test_odd_values_of_probes_are_told_never_refused(where: tuple[str, str, str], value: str) -> None:
    """Whatever the reader takes; what cannot be measured so is left out with a warning."""
    module, area, key = where
    probe = SHIPPED[module]
    asked = "".join(f"{name} = 1\n" for name in probe.mandatory if name != key and name in probe.probe)
    more = "".join(f"{name} = 1\n" for name in probe.target_mandatory if name != key)
    odd = f"{key} = {value}\n"
    section = "" if module == "FPing" else f"+ {module}\n{asked}{odd if area == 'probe' else ''}"
    probes = "*** Probes ***\n+ FPing\nbinary = /usr/bin/fping\n" + section
    text = GENERAL + DATABASE + PRESENTATION + probes + TARGETS.replace("FPingNormal", "FPing")
    text += f"+ a\nprobe = {module}\n{more}{odd if area == 'target' else ''}host = 192.0.2.1\n"
    try:
        configuration = parse("/etc/config", lambda path: text.encode())
    except ConfigError:
        return
    try:
        made = translate(configuration, frozenset(SECTIONS["target"].settings), target_host().parse)
    except ConfigError as error:
        assert "measure it otherwise or remove it" in str(error)  # noqa: PT017
        return
    assert len(settings(made).targets) == 1 or any("not measured" in warning for warning in made.warnings)


def test_a_slave_called_as_the_master_s_own_measuring_gets_another_name() -> None:
    slaves = SLAVES.replace("+ boomer", "+ local") + "++ override\nProbes.FPing.binary = /opt/fping\n"
    found = run(
        """
+ A
slaves = local tokyo
menu = A
title = A
++ a
host = a.example.net
menu = a
title = a
++ both
host = /A/a /A/a~local /A/a~tokyo
menu = both
title = both
""",
        slaves=slaves,
    )
    assert found.agents.keys() >= {"local-slave", "tokyo"}
    assert found.agents["local-slave"].display_name == "Boomer"
    assert by_path(found)["/A/a"].agents == ("local", "local-slave", "tokyo")
    assert node(found, "/A/both").overlay == ("/A/a", "/A/a~local-slave", "/A/a~tokyo")
    assert found.smokeping.overrides["local-slave"] == {"Probes.FPing.binary": "/opt/fping"}
    (told,) = [warning for warning in found.warnings if "--slave-name" in warning]
    assert "slave local is called local-slave here" in told
    assert run("", slaves=slaves + "+ local-slave\ndisplay_name = x\ncolor = 00ff00\n").agents.keys() >= {
        "local-slave", "local-slave-slave", "tokyo",
    }  # fmt: skip


def test_a_step_of_days_is_a_day_and_said() -> None:
    found = run("+ A\nhost = 127.0.0.1\n", database=DATABASE.replace("300", "172800", 1))
    assert 86_400.0 in {probe.step for probe in found.probes.values()}
    assert any("172800 seconds are more than a day" in warning for warning in found.warnings)


def test_old_addresses_take_no_place_a_page_may_have() -> None:
    plain = run("+ A\nhost = 127.0.0.1\n", general=GENERAL.replace("smokeping.cgi", "targets"))
    assert plain.smokeping.path == "/smokeping.cgi"
    assert any("/targets is no path of a CGI" in warning for warning in plain.warnings)
