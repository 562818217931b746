"""Every mistake in `tests/data/wrong` with the one line a person reads: file, line, what was found, what to write."""

from collections.abc import Callable
from pathlib import Path

import pytest

from smokemesh.errors import ConfigError
from smokemesh.settings.agent import load_agent
from smokemesh.settings.disk import read_text
from smokemesh.settings.master import load_master

WRONG = Path(__file__).parent.parent / "data" / "wrong"

MASTER = {
    "tool_setting": ":2: probes.c.settings: settings: irtt has no option 'speed'; write key=value, one a line",
    "option_other_kind": ":2: probes.web.type: belongs to probes of kind dns, not http; remove it or write kind: dns",
    "option_of_icmp": ":2: probes.p.port: belongs to probes of kind tcp or dns or ssh or smtp, not icmp; remove it or write kind: tcp",
    "option_at_target": ":4: targets.a.options.url: belongs to probes of kind http, not icmp; remove it or write kind: http",
    "option_url": ':2: probes.web.url: "{host}/x" is not a URL; write one like https://{host}/',
    "kind_meant": ':2: probes.web.kind: "curl" is called http here',
    "command_missing": ":2: probes.c.argv: a command is missing; write tool: NAME or argv: /path/of/program {host}",
    "status_bad": ':2: probes.c.status: "2xx" is no list of statuses; write one like 200-399,401',
    "status_range": ':2: probes.c.status: "200,400-302" holds 400-302, which is no range; write 302-400',
    "record_unknown": ':2: probes.c.type: "FOO" is no type of record; write one like A, AAAA, MX or TXT',
    "sender_brackets": ':2: probes.c.sender: "a>b@example.net" is not a mail address; write one like noc@example.net',
    "body_long": ':2: probes.c.body: "20000000000" is too large; write 0 to 1000000',
    "urls_many": ':4: probes.c.url: "http://{host}/0 http://{host}/1 http://{host}/2 http://{h..." holds 11 URLs; write at most 10',
    "child_twice": ":4: targets.a: stands there and below children; remove one or rename it",
    "overlay_missing": ":3: targets.b.overlay: /c is no target; write the path of one that has a host",
    "overlay_agent": ":3: targets.b.overlay: there is no agent tokyo; known: local",
    "overlay_host": ":3: targets.b.overlay: a place with a host draws that host; remove one of them",
    "hierarchy_missing": ":2: targets.a.places: there is no hierarchy customers; known: none",
    "alertee_bad": ':2: targets.a.alertee: "the boss" is nobody; write an address like noc@example.net, |/path/of/program or the name of a receiver',
    "receiver_missing": ":2: alerts.l.to: there is no receiver pager; known: none, or write an address like noc@example.net",
    "receiver_incomplete": ":3: alerting.receivers.pager.type: slack needs url or url_file; write url: https://hooks.example.net/abc",
    "receiver_key": ":3: alerting.receivers.pager.command: belongs to receivers of type program, not slack; remove it or write type: program",
    "alert_bound": ":2: alerts.l.above: loss is a share; write one like 20% or 0.2",
    "alert_bound_time": ":2: alerts.l.above: median is a time; write one like 150ms",
    "alert_no_bound": ":2: alerts.l.type: threshold needs a bound; write above: 20%",
    "alert_key": ":2: alerts.l.for: belongs to alerts of type threshold or deviation or silent, not loss; remove it or write type: threshold",
    "chart_sorter": ':3: presentation.charts.a.sorter: "speed" is not known here; write median, loss, max or deviation',
    "ranges_bad": ':1: presentation.ranges: "3h" where a list belongs; begin each of its items with a dash',
    "mail_password": ":2: alerting.mail.user: needs a password; write password_file: secrets/mail",
    "path_bad": ':1: smokeping.path: "/a/../b" is no path of a URL; write one like /smokeping.cgi',
    "storage_cluster_embedded": ":1: storage.cluster: main needs a server: write storage.dsn as clickhouse://HOST/DATABASE",
    "address_any": ':2: targets.gateway.host: "0.0.0.0" means any address; write the address of one host',
    "address_bad": ':2: targets.gateway.host: "300.1.2.3" is not an address; write an IPv4 or IPv6 address or a host name',
    "address_family": ":4: targets.gateway.host: 192.0.2.1 is IPv4, its probe measures IPv6; write an IPv6 address or family: 4",
    "address_link_local": ':2: targets.gateway.host: "fe80::1" is link-local, so it needs its interface; write one like fe80::1%eth0',
    "address_network": ':2: targets.gateway.host: "192.0.2.0/24" is a network or a path; write one address or host name',
    "address_port": ':2: targets.gateway.host: "192.0.2.1:80" holds a port; write the host alone',
    "address_short": ':2: targets.gateway.host: "192.0.2" is not an address; write an IPv4 or IPv6 address or a host name',
    "address_url": ':2: targets.portal.host: "https://portal.example.net/" is a URL; write its host alone',
    "address_zone": ':2: targets.gateway.host: "fe80::1%" is not an address; write an IPv4 or IPv6 address or a host name',
    "agent_file": ": this is an agent's configuration (agent.yaml), not a master's configuration (smokemesh.yaml); give it to `smokemesh agent --config`",
    "agent_missing": ":5: targets.lab.agents: there is no agent tokyo; known: boomer, local",
    "agent_twice": ":2: targets.gateway.agents: names an agent twice; remove one",
    "alert_incomplete": ':2: alerts.someloss.pattern is missing; write pattern: ">0%,*12*,>0%"',
    "alert_missing": ":2: targets.gateway.alerts: there is no alert someloss; known: none",
    "bracket": ":2: not YAML: did not find expected ',' or '}'; close the bracket or quote that opens here",
    "colon": ":3: not YAML: mapping values are not allowed in this context; put text that holds a colon and a blank in quotes",
    "color_bad": ':2: agents.boomer.color: "red" is not a colour; write six hexadecimal digits like 1f77b4',
    "dscp_bad": ':2: probes.voice.dscp: "gold" is not a code point; write 0 to 63 or a name like ef, cs1 or af21 (a TOS byte is four times it)',
    "dsn_bad": ':1: storage.dsn: "/var/lib/smokemesh/rounds" is not a place to keep things; write one that begins with chdb://, clickhouse:// or clickhouses://',
    "duplicate_key": ":2: duplicate listen: first on line 1; remove one or rename it",
    "duplicate_path": ":5: duplicate targets.lab.gateway: first on line 3; remove one or rename it",
    "duration_bad": ':1: defaults.step: "1 minute" is not a duration; write one like 500ms, 10s, 5m or 1h30m',
    "empty": ": the file is empty; write at least targets: {myhost: {host: 192.0.2.1}}",
    "group_empty": ":3: targets.lab.gateway: nothing stands below it; write host: 192.0.2.1",
    "host_at_root": ":2: targets.host: the root of the tree is no host; give it a name below targets",
    "host_missing": ":3: targets.lab.gateway: has neither a host nor anything below it; write host: 192.0.2.1",
    "host_name_bad": ':2: targets.gateway.host: "gate way.example.net" is not a host name; write one like router.example.net',
    "kind_later": ':2: probes.web.kind: "udp" is not in this version; write icmp, tcp, http, dns, ssh, smtp or command',
    "kind_unknown": ':2: probes.carrier.kind: "pigeon" is unknown; write icmp, tcp, http, dns, ssh, smtp or command',
    "labels_bad": ":2: targets.gateway.labels: a list where a mapping belongs; write {rack: r29}",
    "listen_bad": ':1: listen: "8080" is not an address to listen on; write HOST:PORT, like 127.0.0.1:8080 or [::]:8080',
    "listen_brackets": ':1: listen: "::1:8080" needs brackets around the IPv6 address; write HOST:PORT, like 127.0.0.1:8080 or [::]:8080',
    "listen_port_bad": ':1: listen: "127.0.0.1:80800" has a port that is none; write 1 to 65535 after the colon',
    "name_bad": ':2: targets: "changzhou rack" is no name; write up to 200 ASCII letters, digits, _ . or -, the first no dot',
    "name_not_ascii": ':2: targets: "常州" is no name; write up to 200 ASCII letters, digits, _ . or -, the first no dot',
    "not_utf8": ":2: holds bytes that are not UTF-8; save it as UTF-8",
    "offset_beyond_step": ":2: probes.ping.offset: 10s lies beyond the step; write less than 10s",
    "parent_missing": ":4: targets.lab.server.parents: /lab/gatway is no target; write the path of one that has a host",
    "parent_no_path": ':3: targets.server.parents: "gateway" is not a path of the tree; write one like /group/host',
    "parents_circle": ":2: targets.a.parents: /a -> /b -> /a is a circle; remove one of them",
    "pings_not_whole": ':2: probes.ping.pings: "2.5" is not a whole number; write 1 to 65535',
    "pings_too_many": ':2: probes.ping.pings: "65536" is too large; write 1 to 65535',
    "pings_zero": ':2: probes.ping.pings: "0" is too small; write 1 to 65535',
    "probe_missing": ":5: targets.lab.gateway.probe: there is no probe quik; did you mean quick?",
    "retention_short": ':1: storage.retention.raw: "10m" is too short; write 1h to 100y',
    "round_too_long": ":2: probes.ping.interval: a round takes 41s (20 pings 2s apart, answers awaited 3s) but begins every 30s; write pings: 14 or less, or a longer step",
    "round_too_long_target": ":4: targets.lab.gateway.interval: a round takes 22s (20 pings 1s apart, answers awaited 3s) but begins every 10s; write pings: 8 or less, or a longer step",
    "round_too_long_timeout": ":2: probes.ping.timeout: a round takes 10.85s (20 pings 150ms apart, answers awaited 8s) but begins every 5s; write timeout: 1.075s or less",
    "setting_as_child": ":3: targets.lab.title: title is a setting; put what is below into children: {title: …}",
    "size_too_large": ':2: probes.big.size: "70000" is too large; write 0 to 65507',
    "smokeping": ":1: this is SmokePing's configuration; give it to `smokemesh up --config` or `smokemesh master --config`",
    "smokeping_word": ":4: targets.lab.slaves: unknown setting; here it is called agents",
    "source_family": ":2: probes.six.source: 192.0.2.7 is not IPv6; write an IPv6 address",
    "step_too_short": ':1: defaults.step: "200ms" is too short; write 1s to 1d',
    "tab": ":2: a tab; indent with spaces",
    "topology": ": this is a topology, not a master's configuration (smokemesh.yaml); no command reads topologies",
    "two_documents": ":4: a second document begins here; a file holds one, remove the `---`",
    "type_bool": ':2: targets.gateway.hidden: "yep" is neither true nor false; write one of them',
    "type_list_for_mapping": ":2: targets: a list where settings belong; write one `key: value` a line",
    "type_list_for_value": ":3: probes.ping.pings: a list where a single value belongs; write one like 10",
    "type_no_value": ":3: targets.gateway.host: nothing stands after the colon; write a value like 192.0.2.29 or remove the line",
    "type_value_for_list": ':3: targets.lab.agents: "local" where a list belongs; write [local]',
    "type_value_for_mapping": ':1: storage: "/var/lib/smokemesh" where settings belong; write one `key: value` a line',
    "unknown_key": ":2: listen_port: unknown setting; did you mean listen?",
    "unknown_key_meant": ":3: targets.lab.gateway.tittle: unknown setting; did you mean title?",
    "unknown_key_nested": ":2: storage.retention.10m: unknown setting; known here: raw, 5m, 1h, 1d",
    "utf16": ":1: holds bytes that are not UTF-8; save it as UTF-8",
}

AGENT = {
    "agent_master_file": ": this is a master's configuration (smokemesh.yaml), not an agent's configuration (agent.yaml); give it to `smokemesh master --config` or `smokemesh up --config`",
    "agent_master_type": ':4: master_type: "failover" is not in this version; write str and one master',
    "agent_name_bad": ':1: name: "boom er" is no name; write up to 64 ASCII letters, digits, _ . or -, the first a letter, digit or _',
    "agent_network_bad": ':5: limits.deny: "192.0.2.0/33" is not a network; write one like 192.0.2.0/24 or 2001:db8::/32',
    "agent_network_bits": ':5: limits.allow: "192.0.2.7/24" has bits beyond its prefix; write 192.0.2.0/24',
    "agent_no_masters": ":2: masters: 0 masters; this version talks to one, write one URL",
    "agent_no_secret": ":1: shared_secret is missing; write shared_secret: /etc/smokemesh/secret",
    "agent_rate_zero": ':4: limits.most_packets_per_second: "0" is too small; write 1 to 10000000',
    "agent_size_bad": ':4: spool.most_bytes: "10 apples" is not a size; write one like 512MiB or 2GB',
    "agent_two_masters": ":2: masters: 2 masters; this version talks to one, write one URL",
    "agent_unknown_key": ":4: master_alive_interval: is not in this version; remove it",
    "agent_url_bad": ':2: masters: "master.example.net:8080" is not a URL of a master; write one like https://master.example.net:8080',
}


@pytest.fixture(autouse=True)
def beside_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(WRONG)


def test_every_file_is_in_the_table() -> None:
    assert sorted(path.stem for path in WRONG.glob("*.yaml")) == sorted({*MASTER, *AGENT})


@pytest.mark.parametrize("name", MASTER)
def test_master(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_master(f"{name}.yaml", read_text)
    assert str(caught.value) == f"{name}.yaml{MASTER[name]}"


@pytest.mark.parametrize("name", AGENT)
def test_agent(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_agent(f"{name}.yaml", read_text)
    assert str(caught.value) == f"{name}.yaml{AGENT[name]}"


@pytest.mark.parametrize("load", [load_master, load_agent])
def test_a_file_that_cannot_be_read(load: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("nowhere.yaml", read_text)
    assert str(caught.value) == "nowhere.yaml: there is no such file; write the path of a configuration"
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path), read_text)
    assert str(caught.value) == f"{tmp_path}: is a directory; write the path of a file"
