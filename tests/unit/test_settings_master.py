"""`smokemesh.yaml`: inheritance, derived probes, conf.d, and what is shown reads back the same."""

from dataclasses import fields, replace
from typing import Any

import pytest
import yaml
from hypothesis import given, reject
from hypothesis import strategies as st

from smokemesh.errors import ConfigError
from smokemesh.model.alert import Alert
from smokemesh.model.assignment import task_id
from smokemesh.model.options import KINDS
from smokemesh.model.probe import Probe
from smokemesh.model.target import Target
from smokemesh.settings.entries_probe import OPTIONS_OF, OVERRIDES
from smokemesh.settings.master import load_master
from smokemesh.settings.shape import MasterSettings, Retention
from smokemesh.settings.show import master_values

EXAMPLE = """
listen: 0.0.0.0:8080
storage: {dsn: "chdb:///var/lib/smokemesh/rounds", retention: {raw: 30d, 5m: 180d, 1h: 3y, 1d: 10y}}
catalogue: {dsn: "sqlite:////var/lib/smokemesh/catalogue.db"}
defaults: {step: 60s, pings: 20}
probes:
  ping: {kind: icmp, size: 56}
  quick: {step: 10s, pings: 10, dscp: ef}
agents:
  boomer: {display_name: 常州一号, location: changzhou, color: 0000FF, secret_file: secrets/boomer}
targets:
  title: 全部
  changzhou:
    title: 常州机房
    probe: ping
    agents: [boomer]
    labels: {dc: changzhou}
    rack29: {host: 192.0.2.29, title: 29柜, alerts: [someloss]}
    portal: {host: portal.example.net, probe: quick, parents: [/changzhou/rack29], labels: {role: web}}
alerts:
  someloss: {type: loss, pattern: ">0%,*12*,>0%,*12*,>0%", to: [noc@example.net], comment: loss three times in a row}
"""


def load(text: str) -> MasterSettings:
    return load_master("/etc/smokemesh/smokemesh.yaml", lambda path: text)


def targets(text: str) -> dict[str, Target]:
    return {target.path: target for target in load(text).targets}


def probe_of(text: str, path: str) -> Probe:
    settings = load(text)
    return settings.probes[{t.path: t for t in settings.targets}[path].probe]


def test_the_whole_file() -> None:
    settings = load(EXAMPLE)
    assert (settings.listen_host, settings.listen_port) == ("0.0.0.0", 8080)
    assert settings.storage_dsn == "chdb:///var/lib/smokemesh/rounds"
    assert settings.retention == Retention()
    assert settings.catalogue_dsn == "sqlite:////var/lib/smokemesh/catalogue.db"
    assert settings.probes["quick"] == Probe(name="quick", step=10.0, pings=10, dscp=46, timeout=1.5)
    boomer = settings.agents["boomer"]
    assert boomer.title == "常州一号"
    assert boomer.color == "0000ff"
    assert boomer.secret_file == "/etc/smokemesh/secrets/boomer"
    assert settings.alerts["someloss"] == Alert(
        name="someloss",
        type="loss",
        pattern=">0%,*12*,>0%,*12*,>0%",
        to=("noc@example.net",),
        comment="loss three times in a row",
    )
    rack, portal = settings.targets
    assert rack == Target(
        path="/changzhou/rack29", host="192.0.2.29", probe="ping", agents=("boomer",), alerts=("someloss",),
        labels={"dc": "changzhou"},
    )  # fmt: skip
    assert portal.labels == {"dc": "changzhou", "role": "web"}
    assert portal.parents == ("/changzhou/rack29",)
    assert settings.tree.title == "全部"
    assert [(n.path, n.menu, n.title) for n in settings.tree.walk()][1:] == [
        ("/changzhou", "changzhou", "常州机房"),
        ("/changzhou/rack29", "rack29", "29柜"),
        ("/changzhou/portal", "portal", "portal"),
    ]


def test_the_least_file() -> None:
    (target,) = load("targets: {gateway: {host: 192.0.2.1}}").targets
    assert target == Target(path="/gateway", host="192.0.2.1", probe="ping", agents=("local",))


def test_what_a_target_sets_anew_makes_a_probe_named_after_it() -> None:
    text = """
probes: {ping: {pings: 10}}
targets:
  step: 30s
  a: {host: 192.0.2.1}
  b: {host: 192.0.2.2, step: 30s}
  c: {host: 192.0.2.3, pings: 10, step: 60s}
  d: {host: 192.0.2.4, dont_fragment: true, interval: spread}
"""
    assert {t.path: t.probe for t in load(text).targets} == {
        "/a": "ping#step=30s",
        "/b": "ping#step=30s",
        "/c": "ping",
        "/d": "ping#step=30s,dont_fragment=true",
    }
    assert probe_of(text, "/d") == Probe(
        name="ping#step=30s,dont_fragment=true", pings=10, step=30.0, dont_fragment=True
    )


def test_a_target_keeps_its_number_when_its_step_changes() -> None:
    assert task_id("/a", "ping#step=30s") == task_id("/a", "ping")
    assert task_id("/a", "pong") != task_id("/a", "ping")


def test_naming_a_probe_forgets_what_was_set_anew_above() -> None:
    text = """
probes: {slow: {step: 5m}}
targets:
  step: 10s
  near: {host: 192.0.2.1}
  far: {probe: slow, one: {host: 192.0.2.2}, two: {host: 192.0.2.3, pings: 5}}
"""
    assert [probe_of(text, path).step for path in ("/near", "/far/one", "/far/two")] == [10.0, 300.0, 300.0]


@pytest.mark.parametrize(("step", "timeout"), [("60s", 1.5), ("5s", 1.0), ("1s", 0.2)])
def test_a_timeout_nobody_wrote_fits_the_step(step: str, timeout: float) -> None:
    probe = probe_of(f"targets: {{a: {{host: 192.0.2.1, step: {step}}}}}", "/a")
    assert probe.timeout == pytest.approx(timeout)
    assert probe.duration <= probe.step


def test_agents_alerts_and_parents_are_handed_down_and_replaced() -> None:
    found = targets("""
agents: {boomer: {}, tokyo: {}}
alerts: {loss: {type: loss, pattern: ">0%"}}
targets:
  agents: [boomer]
  alerts: [loss]
  parents: [/gateway]
  gateway: {host: 192.0.2.1}
  lab: {agents: [tokyo, boomer], server: {host: 192.0.2.2, alerts: []}}
""")
    assert found["/gateway"].parents == ()  # nobody is his own parent
    assert found["/gateway"].alerts == ("loss",)
    assert found["/lab/server"].agents == ("tokyo", "boomer")
    assert found["/lab/server"].alerts == ()
    assert found["/lab/server"].parents == ("/gateway",)


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("'2001:DB8:0:0::1'", "2001:db8::1"),
        ("'fe80::1%eth0'", "fe80::1%eth0"),
        ("router.example.net", "router.example.net"),
        ("router.example.net.", "router.example.net."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("under_score.example.net", "under_score.example.net"),
        ("localhost", "localhost"),
    ],
)
def test_hosts(written: str, host: str) -> None:
    assert targets(f"targets: {{a: {{host: {written}}}}}")["/a"].host == host


@pytest.mark.parametrize(
    ("written", "listen"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("'[::]:8080'", ("::", 8080)), ("localhost:0", ("localhost", 0))],
)
def test_listen(written: str, listen: tuple[str, int]) -> None:
    settings = load(f"listen: {written}\ntargets: {{a: {{host: 192.0.2.1}}}}")
    assert (settings.listen_host, settings.listen_port) == listen


def test_warnings_name_what_is_probably_not_meant() -> None:
    settings = load("agents:\n  idle: {}\ntargets:\n  a: {host: 224.0.0.1}\n  b: {host: 192.0.2.1, agents: []}\n")
    assert settings.warnings == (
        "/etc/smokemesh/smokemesh.yaml: /a: 224.0.0.1 is a multicast or broadcast address; agents deny these",
        "/etc/smokemesh/smokemesh.yaml:2: agents.idle: no target names it, so it measures nothing",
        "/etc/smokemesh/smokemesh.yaml: /b: nobody measures it, its list of agents is empty",
    )
    assert load("targets:\n").warnings == ("/etc/smokemesh/smokemesh.yaml:1: targets: nothing is measured",)


# conf.d


def load_files(**files: str) -> MasterSettings:
    names = {f"conf.d/{name}.yaml" if name != "smokemesh" else "smokemesh.yaml": text for name, text in files.items()}
    asked: list[str] = []

    def listing(directory: str) -> list[str]:
        asked.append(directory)
        return sorted(name for name in names if name.startswith("conf.d/"))

    settings = load_master("smokemesh.yaml", names.__getitem__, listing)
    assert asked == ["conf.d"]
    return settings


def test_conf_d_adds_targets_probes_and_agents() -> None:
    settings = load_files(
        smokemesh="agents: {boomer: {}}\ntargets: {lab: {title: Lab, agents: [boomer], a: {host: 192.0.2.1}}}",
        b="probes: {quick: {step: 10s}}",
        a="agents: {tokyo: {secret_file: tokyo}}\ntargets: {lab: {b: {host: 192.0.2.2}}, far: {c: {host: 192.0.2.3}}}",
    )
    assert {t.path: t.agents for t in settings.targets} == {
        "/lab/a": ("boomer",),
        "/lab/b": ("boomer",),
        "/far/c": ("local",),
    }
    assert settings.agents["tokyo"].secret_file == "conf.d/tokyo"
    assert list(settings.probes) == ["ping", "quick"]
    assert settings.files == ("smokemesh.yaml", "conf.d/a.yaml", "conf.d/b.yaml")


@pytest.mark.parametrize(
    ("main", "more", "message"),
    [
        ("listen: 127.0.0.1:80", "listen: 127.0.0.1:81", "conf.d/a.yaml:1: duplicate listen: also in smokemesh.yaml:1; remove one or rename it"),
        ("probes: {p: {}}", "\nprobes:\n  p: {}", "conf.d/a.yaml:3: duplicate probes.p: also in smokemesh.yaml:1; remove one or rename it"),
        ("targets: {lab: {a: {host: 192.0.2.1}}}", "targets:\n  lab:\n    a: {host: 192.0.2.2}", "conf.d/a.yaml:3: duplicate targets.lab.a: also in smokemesh.yaml:1; remove one or rename it"),
        ("targets: {lab: {title: A}}", "targets: {lab: {title: B}}", "conf.d/a.yaml:1: duplicate targets.lab.title: also in smokemesh.yaml:1; remove one or rename it"),
        ("targets: {}", "name: x\nmasters: [http://192.0.2.1:80]", "conf.d/a.yaml: this is an agent's configuration (agent.yaml), not a master's configuration (smokemesh.yaml); give it to `smokemesh agent --config`"),
        ("targets: {a: {host: 192.0.2.1}}", "\ntargets: {b: {hosts: 192.0.2.1}}", "conf.d/a.yaml:2: targets.b.hosts: unknown setting; did you mean host?"),
        ("targets: {lab: {a: {host: 192.0.2.1}}}", "\ntargets: {lab: {b c: {host: 192.0.2.1}}}", 'conf.d/a.yaml:2: targets.lab: "b c" is no name; write up to 200 ASCII letters, digits, _ . or -, the first no dot'),
    ],
)  # fmt: skip
def test_conf_d_mistakes_name_both_places(main: str, more: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_files(smokemesh=main, a=more)
    assert str(caught.value) == message


# What is shown can be read again.


def written(settings: MasterSettings, whole: bool) -> str:
    return yaml.safe_dump(master_values(settings, whole), allow_unicode=True, sort_keys=False)


def meaning(settings: MasterSettings) -> Any:
    """All that settings mean: derived probes by what they do instead of by name."""
    probes = {t.path: replace(settings.probes[t.probe], name="") for t in settings.targets}
    plain = replace(settings, files=(), warnings=(), probes={})
    nodes = [
        replace(n, children=(), target=n.target and replace(n.target, probe=n.target.probe.partition("#")[0]))
        for n in plain.tree.walk()
    ]
    named = {name: probe for name, probe in settings.probes.items() if "#" not in name}
    return (
        replace(plain, tree=plain.tree.__class__(path="/", menu="", title=""), defaults=Probe(name="")),
        nodes,
        named,
        probes,
    )


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_shown_reads_back(whole: bool) -> None:
    settings = load(EXAMPLE)
    assert meaning(load(written(settings, whole))) == meaning(settings)


def test_convert_writes_only_what_differs() -> None:
    assert master_values(load("listen: 127.0.0.1:8080\ntargets: {a: {host: 192.0.2.1, step: 60s}}"), whole=False) == {
        "targets": {"a": {"host": "192.0.2.1"}}
    }


def test_show_hides_passwords() -> None:
    shown = master_values(
        load("storage: {dsn: 'clickhouse://me:secret@host/db'}\ntargets: {a: {host: 192.0.2.1}}"), whole=True
    )
    assert shown["storage"]["dsn"] == "clickhouse://me:***@host/db"


OVERRIDE = st.fixed_dictionaries(
    {},
    optional={
        "step": st.sampled_from(["10s", "30s", "1m", "5m"]),
        "pings": st.integers(1, 5),
        "timeout": st.sampled_from(["100ms", "500ms", "1.5s"]),
        "interval": st.sampled_from(["spread", "100ms", "500ms"]),
        "offset": st.sampled_from(["spread", "0s", "2s"]),
        "dscp": st.sampled_from([0, "ef", 10]),
        "size": st.integers(0, 1400),
        "dont_fragment": st.booleans(),
        "ttl": st.integers(1, 255),
    },
)


@given(st.lists(OVERRIDE, min_size=4, max_size=4), st.booleans())
def test_inheritance_is_the_nearest_wish_and_survives_showing(layers: list[dict[str, Any]], whole: bool) -> None:
    defaults, probe, group, target = layers
    try:
        settings = load(
            yaml.safe_dump(
                {
                    "defaults": defaults,
                    "probes": {"p": probe},
                    "targets": {"probe": "p", "g": group | {"t": {"host": "192.0.2.1"} | target}},
                }
            )
        )
    except ConfigError as error:  # some wishes together make a round that does not fit its step
        assert "a round takes" in str(error)  # noqa: PT017
        reject()
    nearest = settings.probes[settings.targets[0].probe]
    plain = load(
        yaml.safe_dump({"probes": {"p": defaults | probe | group | target}, "targets": {"probe": "p"}})
    ).probes["p"]
    assert {k: getattr(nearest, k) for k in OVERRIDES} == {k: getattr(plain, k) for k in OVERRIDES}
    assert meaning(load(written(settings, whole))) == meaning(settings)


MOVED = """
probes:
  web: {kind: http, url: "https://{host}/", insecure: true, pings: 5, interval: 1s}
  ask: {kind: dns, query: example.net, type: aaaa, timeout: 1s}
  run: {kind: command, argv: /bin/true, parse: exit}
  login: {kind: command, tool: radclient, settings: "username=me\\npassword=correct-horse"}
agents: {tokyo: {}}
hierarchies: {customers: By customer}
alerts:
  "loss>50%": {type: threshold, above: 50%, for: 5m, clear_for: 10m, quorum: 2, to: [pager], priority: 3, repeat: 4h}
  slow: {type: threshold, measure: median, above: 150ms, below: 1ms, edge: false}
  odd: {type: deviation, measure: median, factor: 8, baseline: 7d, template: odd.mail}
  gone: {type: silent, for: 5m}
  match: {type: matcher, pattern: "CheckLoss(l => 50, x => 5)", to: ["|/bin/page me", a@example.net]}
alerting:
  to: [noc@example.net]
  from: smokemesh@example.net
  compat: smokeping
  edge: false
  template: alert.mail
  url: https://smoke.example.net/
  mail: {servers: ["mail.example.net:587"], user: me, password_file: secrets/mail, security: starttls}
  receivers:
    pager: {type: webhook, url: "https://hooks.example.net/x", headers: {X-Site: lab}}
    team: {type: slack, url_file: secrets/slack}
    people: {type: mail, to: [a@example.net]}
presentation:
  owner: NOC
  contact: noc@example.net
  charts: {worst: {menu: Worst, title: The worst, sorter: loss, entries: 3}}
  ranges: [{title: Last 3 hours, length: 3h}, {title: Last 400 days, length: 400d}]
  loss_colors: [{lost: 0, color: 26FF00, legend: none}, {lost: 1.5, color: ff0000}]
  max_rtt: 500ms
  overlay_colors: [004586]
smokeping:
  path: /smokeping/smokeping.cgi
  secrets_file: smokeping_secrets
  originals: {General: {owner: "0012", note: ""}, Database: {step: "300", _table: [[AVERAGE, "0.5", "1", "1008"]]}}
  overrides: {tokyo: {Probes.FPing.binary: /usr/sbin/fping}}
targets:
  alerts: ["loss>50%"]
  alertee: [team]
  shop:
    probe: web
    options: {url: "https://{host}/shop"}
    a: {host: a.example.net, alertee: []}
    b: {host: b.example.net, options: {insecure: false, status: "200-399,401"}, agents: [tokyo, local]}
    same: {host: b.example.net, options: {url: "https://{host}/"}}
  more:
    smokeping: {note: "moved: in May", pings: "5"}
    children:
      host: {host: "DYNAMIC/Abc+/1", agents: []}
      -x: {host: 192.0.2.1, places: {customers: /acme/berlin}}
      empty: {children: {}}
  logins:
    probe: login
    a: {host: a.example.net}
    b: {host: b.example.net, options: {settings: "username=me\\npassword=battery-staple"}}
  all: {title: All of them, overlay: [/shop/a, /shop/b~tokyo]}
"""


def test_what_smokeping_s_users_bring() -> None:
    settings = load(MOVED)
    shop = {target.path: settings.probes[target.probe] for target in settings.targets}
    assert dict(shop["/shop/a"].options) == {"insecure": "true", "url": "https://{host}/shop"}
    assert dict(shop["/shop/b"].options) == {"status": "200-399,401", "url": "https://{host}/shop"}
    assert shop["/shop/same"] is settings.probes["web"]
    assert shop["/shop/a"].name == "web#url=https://{host}/shop"
    assert settings.probes["ask"].options == (("query", "example.net"), ("type", "AAAA"))
    by_path = {node.path: node for node in settings.tree.walk()}
    assert by_path["/all"].overlay == ("/shop/a", "/shop/b~tokyo")
    assert by_path["/more"].smokeping == {"note": "moved: in May", "pings": "5"}
    assert by_path["/more/-x"].places == {"customers": "/acme/berlin"}
    assert [node.name for node in by_path["/more"].children] == ["host", "-x", "empty"]
    target = by_path["/more/host"].target
    assert target is not None
    assert (target.host, target.agents, target.alertee) == ("DYNAMIC/Abc+/1", (), ("team",))
    loss, slow = settings.alerts["loss>50%"], settings.alerts["slow"]
    assert (loss.above, loss.wait, loss.clear_wait, loss.quorum, loss.repeat) == (0.5, 300.0, 600.0, 2, 14400.0)
    assert (slow.above, slow.below, slow.edge) == (0.15, 0.001, False)
    assert settings.alerts["odd"].template == "/etc/smokemesh/odd.mail"
    assert settings.alert_places["match"] == ("/etc/smokemesh/smokemesh.yaml", 14)
    assert settings.alerting.mail.password_file == "/etc/smokemesh/secrets/mail"
    assert (settings.alerting.url, settings.alerting.edge) == ("https://smoke.example.net", False)
    assert settings.presentation.ranges == (("Last 3 hours", 10800.0), ("Last 400 days", 400 * 86400.0))
    assert settings.presentation.loss_colors == ((0.0, "26ff00", "none"), (1.5, "ff0000", ""))
    assert settings.smokeping.originals["General"] == {"owner": "0012", "note": ""}
    assert settings.smokeping.originals["Database"]["_table"] == [["AVERAGE", "0.5", "1", "1008"]]
    assert settings.smokeping.secrets_file == "/etc/smokemesh/smokeping_secrets"


@pytest.mark.parametrize("whole", [True, False])
def test_what_smokeping_s_users_bring_reads_back(whole: bool) -> None:
    settings = load(MOVED)
    if whole:
        text = MOVED.replace("net/x", "net/***").replace("X-Site: lab", 'X-Site: "***"')
        settings = load(text.replace("correct-horse", "***").replace("battery-staple", "***"))
    assert meaning(load(written(settings, whole))) == meaning(settings)


def test_passwords_of_tools_are_hidden() -> None:
    settings = load(MOVED)
    assert [t.probe for t in settings.targets if "/logins/" in t.path] == [
        "login",
        "login#settings=username=me@/logins/b",
    ]
    assert "correct" not in (shown := written(settings, whole=True))
    assert "battery" not in shown
    assert "password=***" in shown
    assert "battery-staple" in written(settings, whole=False)


def test_the_table_has_every_option_of_every_kind() -> None:
    for kind, options in KINDS.items():
        assert {field.name for field in fields(options)} == OPTIONS_OF[kind]


def test_a_derived_name_is_bounded_and_its_own() -> None:
    text = (
        "probes: {{web: {{kind: http}}}}\ntargets: {{probe: web, a: {{host: a, options: {{url: 'http://{0}/{1}'}}}}}}"
    )
    names = {load(text.format("x" * 500, last)).targets[0].probe for last in "ab"}
    assert len(names) == 2
    assert max(map(len, names)) < 180


def test_ten_thousand_targets_load_quickly_enough_to_reload() -> None:
    hosts = "\n".join(
        f"    h{i}: {{host: 127.{i >> 16}.{i >> 8 & 255}.{i & 255}, title: 主机 {i}}}" for i in range(1, 10_001)
    )
    assert len(load(f"targets:\n  all:\n    step: 30s\n{hosts}\n").targets) == 10_000


def test_an_alert_that_no_target_names_is_told() -> None:
    text = "alerts: {used: {type: loss, pattern: '>0%'}, idle: {type: loss, pattern: '>0%'}}\n"
    text += "targets: {a: {host: 127.0.0.1, alerts: [used]}}\n"
    found = load_master("m.yaml", lambda path: text)
    assert [warning for warning in found.warnings if "alerts." in warning] == [
        "m.yaml:1: alerts.idle: no target names it, so it judges nothing"
    ]
    quiet = load_master("m.yaml", lambda path: text + "alerting: {compat: smokeping}\n")
    assert not [warning for warning in quiet.warnings if "alerts." in warning]


def test_settings_that_a_kind_does_not_heed_are_told() -> None:
    text = "probes: {web: {kind: http, size: 100}, ping: {size: 100}}\ntargets: {a: {host: 127.0.0.1, probe: web}}\n"
    found = load_master("m.yaml", lambda path: text)
    assert found.warnings == ("m.yaml:1: probes.web.size: has no effect on kind http",)
