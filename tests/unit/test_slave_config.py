"""What a SmokePing slave is handed: filtered, complete, and another one only when its own work changed."""

from dataclasses import replace
from typing import Any

import pytest

from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target
from smokemesh.smokeping import perl
from smokemesh.smokeping.slave_config import SlaveView, Source, slave_view

ORIGINALS: dict[str, Any] = {
    "General": {"datadir": "/data", "mailuser": "me", "mailpass": "hush", "owner": "NOC", "concurrentprobes": "no"},
    "Database": {"step": "20", "pings": "5", "_table": [["AVERAGE", "0.5", "1", "1008"]]},
    "Probes": {
        "FPing": {"binary": "/usr/bin/fping"},
        "AnotherSSH": {"forks": "3", "FastSSH": {"step": "10"}, "SlowSSH": {"step": "60"}},
        "Radius": {"passwordfile": "/etc/secret"},
    },
}


def node(path: str, *children: Node, host: str = "", probe: str = "FPing", agents: str = "fra", **more: Any) -> Node:
    name = path.rsplit("/", 1)[1]
    target = Target(path=path, host=host, probe=probe, agents=tuple(agents.split())) if host else None
    return Node(path=path, menu=name, title=f"Title of {name}", target=target, children=children, **more)


def tree(*children: Node) -> Node:
    return Node(path="/", menu="Top", title="Top", children=children)


def view(*children: Node, slave: str = "fra", overrides: dict[str, str] | None = None, **source: Any) -> SlaveView:
    given: dict[str, Any] = {"probes": {"FPing": Probe(name="FPing")}, "originals": ORIGINALS} | source
    return slave_view(slave, Source(tree=tree(*children), **given), overrides)


def targets(found: SlaveView) -> Any:
    assert found.content is not None
    return found.content["Targets"]


def test_a_slave_gets_its_own_targets_and_the_places_above() -> None:
    found = view(
        node("/A", node("/A/x", host="192.0.2.1"), node("/A/y", host="192.0.2.2", agents="fra-2")),
        node("/B", node("/B/z", host="192.0.2.3", agents="x.fra local"), host="192.0.2.4", agents="fra-2"),
        node("/M", overlay=("/A/x", "/A/x~fra")),
    )
    assert set(targets(found)) == {"A", "B", "M", "probe", "menu", "title", "hide", "_order", "nomasterpoll", "slaves"}
    assert targets(found)["B"] is None
    assert targets(found)["M"] is None
    assert targets(found)["A"]["y"] is None
    assert "host" not in targets(found)["A"]
    assert targets(found)["A"]["x"] == {
        "probe": "FPing", "host": "192.0.2.1", "nomasterpoll": "no", "slaves": "fra", "menu": "x",
        "title": "Title of x", "hide": "no", "_order": 0,
    }  # fmt: skip
    assert found.steps == {"/A/x": 20.0}
    assert found.left_out == ()


def test_every_node_names_a_probe_of_which_every_default_is_written() -> None:
    ssh = {"SlowSSH": Probe(name="SlowSSH", kind="ssh"), "FPing": Probe(name="FPing")}
    places = (node("/a", host="192.0.2.1"), node("/G", node("/G/b", host="192.0.2.1", probe="SlowSSH")))
    found = view(*places, probes=ssh)
    assert targets(found)["probe"] == "FPing"
    assert targets(found)["G"]["probe"] == "SlowSSH"
    assert found.content is not None
    assert found.content["Probes"] == {
        "FPing": {"binary": "/usr/bin/fping", "mininterval": "0.01", "protocol": "4"},
        "AnotherSSH": {
            "forks": "3",
            "SlowSSH": {
                "forks": "3", "step": "60", "timeout": "5", "port": "22", "mininterval": "0.5", "interval": "established",
                "greeting": "SSH-Latency-Measurement-Sorry-for-this-logmessage",
            },
        },
    }  # fmt: skip
    assert found.steps == {"/a": 20.0, "/G/b": 60.0}
    assert found.content["Database"] == ORIGINALS["Database"]


def test_no_secrets_of_the_master_are_told() -> None:
    text = view(node("/a", host="192.0.2.1")).dump(7)
    assert b"hush" not in text
    assert b"mailuser" not in text
    assert b"Radius" not in text
    read: Any = perl.read(text)
    assert read["General"] == {
        "datadir": "/data", "concurrentprobes": "no", "changeprocessnames": "yes", "syslogpriority": "info",
    }  # fmt: skip
    assert read["__last"] == 7


def test_variables_of_probes_are_inherited_as_smokeping_does() -> None:
    below = node("/G/b", host="192.0.2.1", smokeping={"port": "2222", "remark": "no", "alertee": "x@y.example"})
    found = view(node("/G", below, smokeping={"port": "22", "greeting": "hello", "menuextra": "no", "alerts": "a"}))
    got = targets(found)["G"]["b"]
    assert (got["port"], got["greeting"]) == ("2222", "hello")
    assert not {"remark", "alertee", "menuextra", "alerts"} & set(got)


def test_hosts_that_tell_their_own_address() -> None:
    places = (node("/d", host="DYNAMIC/abc"), node("/e", host="DYNAMIC"), node("/a", host="192.0.2.1"))
    source = Source(tree=tree(*places), probes={}, originals=ORIGINALS)
    assert targets(slave_view("fra", source))["d"] is None
    found = slave_view("fra", source, addresses={"/e": "198.51.100.7"})
    assert targets(found)["e"]["host"] == "198.51.100.7"
    assert targets(found)["d"] is None


def test_nothing_for_it() -> None:
    found = view(node("/a", host="192.0.2.1"), slave="muc")
    assert (found.content, found.digest, found.steps) == (None, "", {})


def test_overrides() -> None:
    overrides = {
        "Probes.FPing.binary": "/opt/fping", "Database.step": "30", "Targets.a.host": "198.51.100.1",
        "Targets.New.x.host": "198.51.100.2", "General.datadir.x": "y",
    }  # fmt: skip
    found = view(node("/a", host="192.0.2.1"), overrides=overrides)
    assert found.content is not None
    assert found.content["Probes"]["FPing"]["binary"] == "/opt/fping"
    assert targets(found)["a"]["host"] == "198.51.100.1"
    assert targets(found)["New"] == {"probe": "FPing", "x": {"probe": "FPing", "host": "198.51.100.2"}}
    assert found.steps == {"/a": 30.0, "/New/x": 30.0}
    assert found.left_out == ("override General.datadir.x: leads through something that holds no more",)


A, B = node("/a", host="192.0.2.1"), node("/b", host="192.0.2.2", agents="muc")


@pytest.mark.parametrize(
    ("places", "changes"),
    [
        ((replace(A, title="another", menu="m", remark="r", hidden=True), B), False),
        ((A,), False),
        ((B, A), False),
        ((A, B, node("/c", host="192.0.2.3", agents="muc")), False),
        ((A, node("/b", host="192.0.2.2", agents="muc fra")), True),
        ((node("/a", host="192.0.2.9"), B), True),
        ((replace(A, smokeping={"port": "1"}), B), True),
    ],
)
def test_the_digest_changes_only_when_the_slave_has_other_work(places: tuple[Node, ...], changes: bool) -> None:
    assert (view(*places).digest != view(A, B).digest) is changes


def test_what_the_master_alone_is_concerned_with_changes_nothing() -> None:
    general = {**ORIGINALS["General"], "owner": "another", "contact": "x@y.example"}
    radius = {**ORIGINALS["Probes"], "Radius": {"passwordfile": "/other"}}
    assert view(A, originals=ORIGINALS | {"General": general, "Probes": radius}).digest == view(A).digest
    binary = {**ORIGINALS["Probes"], "FPing": {"binary": "/opt/fping"}}
    assert view(A, originals=ORIGINALS | {"Probes": binary}).digest != view(A).digest


# our own configuration, which knows no SmokePing probes

PROBES = {
    "ping": Probe(name="ping", step=10, pings=5, interval=0.5),
    "ping#step=20s": Probe(name="ping#step=20s", step=20, pings=5, dscp=46, size=100),
    "half": Probe(name="half", step=0.5),
    "df": Probe(name="df", dont_fragment=True),
    "tcp": Probe(name="tcp", kind="tcp", options=(("port", "443"),)),
    "dns": Probe(name="dns", kind="dns", options=(("query", "example.org"), ("recursion", "false"))),
    "web": Probe(name="web", kind="http", timeout=3.2, options=(("expect", "ok"), ("url", "https://{host}/x"))),
    "tls": Probe(name="tls", kind="http", options=(("measure", "appconnect"),)),
    "ssh": Probe(name="ssh", kind="ssh"),
    "mail": Probe(name="mail", kind="smtp"),
}


def ours(*children: Node) -> SlaveView:
    return view(*children, originals={}, probes=PROBES, defaults=PROBES["ping"])


def test_our_probes_become_instances_of_modules() -> None:
    found = ours(
        node("/a", host="192.0.2.1", probe="ping"),
        node("/b", host="192.0.2.2", probe="ping"),
        node("/c", host="192.0.2.2", probe="ping#step=20s"),
        node("/d", host="2001:db8::1", probe="ping"),
    )
    assert found.content is not None
    assert found.content["Database"]["step"] == "10"
    assert found.content["Probes"] == {
        "FPing": {
            "ping": {
                "binary": "/usr/bin/fping", "mininterval": "0.01", "protocol": "4", "packetsize": "56", "timeout": "1.5",
                "hostinterval": "0.5", "blazemode": "false", "usestdout": "false", "step": "10", "pings": "5",
            },
            "ping_step_20s": {
                "binary": "/usr/bin/fping", "mininterval": "0.01", "protocol": "4", "packetsize": "100", "timeout": "1.5",
                "hostinterval": "1", "blazemode": "false", "usestdout": "false", "step": "20", "pings": "5", "tos": "184",
            },
        },
        "FPing6": {
            "ping-v6": {
                "binary": "/usr/bin/fping", "mininterval": "0.01", "protocol": "6", "packetsize": "56", "timeout": "1.5",
                "hostinterval": "0.5", "blazemode": "false", "usestdout": "false", "step": "10", "pings": "5",
            }
        },
    }  # fmt: skip
    assert [targets(found)[name]["probe"] for name in "abcd"] == ["ping", "ping", "ping_step_20s", "ping-v6"]
    assert found.steps == {"/a": 10.0, "/b": 10.0, "/c": 20.0, "/d": 10.0}


def test_other_kinds() -> None:
    kinds = ("tcp", "dns", "web", "tls", "ssh")
    found = ours(*(node(f"/{kind}", host="ns.example.org", probe=kind) for kind in kinds))
    assert found.content is not None
    made = found.content["Probes"]
    assert made["TCPPing"]["tcp"]["port"] == "443"
    assert made["AnotherDNS"]["dns"]["authoritative"] == "1"
    assert made["AnotherDNS"]["dns"]["require_nxdomain"] == "0"
    assert targets(found)["dns"]["lookup"] == "example.org"
    assert made["Curl"]["web"]["urlformat"] == "https://%host%/x"
    assert (made["Curl"]["web"]["expect"], made["Curl"]["web"]["timeout"]) == ("ok", "4")
    assert made["AnotherCurl"]["tls"]["write_out"] == "time_appconnect"
    assert made["AnotherSSH"]["ssh"]["interval"] == "established"
    assert all(each[kind]["pings"] == "20" for each, kind in zip(made.values(), kinds, strict=True))


def test_what_a_slave_cannot_measure_is_said() -> None:
    found = ours(*(node(f"/{kind}", host="192.0.2.1", probe=kind) for kind in ("half", "df", "mail", "ping")))
    assert list(found.steps) == ["/ping"]
    assert found.left_out == (
        "/half: its step of 0.5 s is no whole number of seconds",
        "/df: FPing sets neither the don't-fragment bit nor a time to live",
        "/mail: slaves have no probe of kind smtp",
    )


def test_two_probes_never_share_a_name() -> None:
    probes = {
        "a b": Probe(name="a b", step=10),
        "a_b": Probe(name="a_b", step=20),
        "FPing": Probe(name="FPing", step=30),
    }
    places = [node(f"/{i}", host="192.0.2.1", probe=name) for i, name in enumerate(probes)]
    found = view(*places, originals={}, probes=probes)
    names = [targets(found)[str(i)]["probe"] for i in range(3)]
    assert len(set(names)) == 3
    assert names[2] != "FPing"
    assert list(found.steps.values()) == [10.0, 20.0, 30.0]
