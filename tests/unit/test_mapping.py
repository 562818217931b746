"""What measures in the place of each of SmokePing's probes, and rounds that fit their step."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.model import tools
from smokemesh.model.options import KINDS, read
from smokemesh.smokeping.catalogue import PROBES
from smokemesh.smokeping.fit import fit
from smokemesh.smokeping.mapping import TABLE, Unmapped, Unusable, for_host, map_probe, markdown


def mapped(module: str, **variables: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    made = map_probe(module, variables, 300.0, 20)
    usual = {"step": 300.0, "pings": 20}
    return made.kind, {k: v for k, v in made.values.items() if usual.get(k) != v}, made.options


def test_every_shipped_probe_has_an_entry() -> None:
    assert set(TABLE) == set(PROBES)


REFUSED = {
    "IOSPing", "TelnetIOSPing", "TelnetJunOSPing", "CiscoRTTMonEchoICMP", "CiscoRTTMonTcpConnect", "CiscoRTTMonDNS",
    "DismanPing", "TacacsPlus",
}  # fmt: skip


@pytest.mark.parametrize("module", sorted(TABLE))
def test_no_probe_is_skipped_in_silence(module: str) -> None:
    if module in REFUSED:
        with pytest.raises(Unmapped, match=r"\w"):
            map_probe(module, {}, 300.0, 20)
        return
    probe = map_probe(module, {}, 300.0, 20).probe(module)
    assert probe.duration <= probe.step
    options = read(KINDS[probe.kind], probe.options)
    if probe.kind == "command":
        tools.read(options.tool, options.settings)


def test_the_table_for_people_has_every_probe() -> None:
    text = markdown()
    assert all(f"| {module} | " in text for module in TABLE)
    assert text.count("refused by `config check`") == len(REFUSED)


def test_a_probe_nobody_knows() -> None:
    with pytest.raises(Unmapped, match="none of SmokePing's own probes"):
        map_probe("speedtest", {}, 300.0, 20)


@pytest.mark.parametrize(
    ("module", "variables", "kind", "values", "options"),
    [
        ("FPing", {}, "icmp", {"interval": 1.0, "timeout": 1.0, "size": 56}, {}),
        (
            "FPing",
            {"packetsize": "1000", "tos": "0xb8", "hostinterval": "1.5", "timeout": "0.7", "sourceaddress": "192.0.2.7",
             "interface": "eth1", "protocol": "4", "step": "60", "pings": "10", "offset": "50%"},
            "icmp",
            {"step": 60.0, "pings": 10, "offset": 30.0, "interval": 1.5, "timeout": 0.7, "size": 1000, "dscp": 46,
             "source": "192.0.2.7", "interface": "eth1", "family": "4"},
            {},
        ),
        ("FPing", {"hostinterval": "5"}, "icmp", {"interval": 5.0, "timeout": 2.0, "size": 56}, {}),
        ("FPing6", {}, "icmp", {"interval": 1.0, "timeout": 1.0, "size": 56, "family": "6"}, {}),
        ("FPingContinuous", {}, "icmp", {"interval": 14.25, "timeout": 1.0, "size": 56}, {}),
        ("TCPPing", {"port": "443"}, "tcp", {"timeout": 3.0}, {"port": 443}),
        (
            "Curl",
            {"urlformat": "https://%host%/x www.example.net", "insecure_ssl": "1", "follow_redirects": "yes",
             "include_redirects": "no", "expect": "OK", "agent": "me", "interface": "192.0.2.7"},
            "http",
            {"timeout": 10.0, "source": "192.0.2.7"},
            {"url": "https://{host}/x http://www.example.net", "agent": "me", "insecure": True, "follow_redirects": True, "expect": "OK"},
        ),
        (
            "AnotherCurl",
            {"write_out": "time_connect", "extraargs": "-4;--header;X-A: b;-H;C: d;-L", "extrare": "/;/", "interface": "eth0"},
            "http",
            {"timeout": 10.0, "interface": "eth0", "family": "4"},
            {"measure": "connect", "headers": "X-A: b\nC: d", "follow_redirects": True},
        ),
        (
            "EchoPingHttps",
            {"url": "/a", "port": "8443", "ignore_cache": "yes", "accept_redirects": "yes", "ipversion": "6"},
            "http",
            {"timeout": 10.0, "family": "6"},
            {"url": "https://{host}:8443/a", "insecure": True, "status": "200-399", "headers": "Cache-Control: no-cache\nPragma: no-cache"},
        ),
        ("EchoPingHttp", {"url": "http://a.example/"}, "http", {"timeout": 10.0}, {"url": "http://a.example/", "status": "200-299"}),
        ("WebProxyFilter", {"deny_re": "denied"}, "http", {"timeout": 2.0, "interval": 1.0}, {"expect": "denied", "follow_redirects": True}),
        ("DNS", {"lookup": "example.net", "server": "192.0.2.53", "timeout": "15"}, "dns", {"timeout": 15.0}, {"query": "example.net", "server": "192.0.2.53"}),
        (
            "AnotherDNS",
            {"lookup": "example.net", "recordtype": "aaaa", "port": "5353", "protocol": "tcp", "ipversion": "6",
             "authoritative": "1", "require_noerror": "1", "require_answers": "0", "expect_text": "x"},
            "dns",
            {"timeout": 5.0, "interval": 0.5, "family": "6"},
            {"query": "example.net", "type": "AAAA", "port": 5353, "protocol": "tcp", "recursion": False, "require_noerror": True, "expect": "x"},
        ),
        ("EchoPingDNS", {"dns_request": "example.net", "dns_type": "MX", "dns_tcp": "yes"}, "dns", {"timeout": 5.0}, {"query": "example.net", "type": "MX", "protocol": "tcp"}),
        ("AnotherSSH", {"port": "2222", "interval": "complete"}, "ssh", {"timeout": 5.0, "interval": 0.5}, {"port": 2222, "until": "complete"}),
        ("SSH", {"keytype": "ed25519", "binary": "/usr/bin/ssh-keyscan", "forks": "3"}, "command", {"timeout": 5.0}, {"tool": "ssh-keyscan", "settings": "keytype=ed25519", "forks": 3}),
        ("SSH", {"binary": "/opt/scan"}, "command", {"timeout": 5.0}, {"tool": "ssh-keyscan", "settings": "binary=/opt/scan"}),
        ("EchoPingSmtp", {}, "smtp", {"timeout": 5.0}, {}),
        ("SendEmail", {"from": "a@example.net", "to": "b@example.net", "bodysize": "10"}, "smtp", {"timeout": 5.0}, {"sender": "a@example.net", "to": "b@example.net", "subject": "Test", "body": 10}),
        ("EchoPingChargen", {"size": "100", "udp": "yes"}, "command", {"timeout": 5.0}, {"tool": "echoping", "settings": "service=chargen\nsize=100\nudp=true"}),
        ("IRTT", {"interval": "0.2", "dscp": "46"}, "command", {"timeout": 5.0, "interval": 0.2}, {"tool": "irtt", "settings": "dscp=46"}),
        ("Radius", {"username": "me", "password": "x", "secret": "y", "mininterval": "2"}, "command", {"timeout": 5.0, "interval": 2.0}, {"tool": "radclient", "settings": "password=x\nsecret=y\nusername=me"}),
        ("OpenSSHJunOSPing", {"source": "r1", "junosuser": "me", "junospass": "x"}, "command", {"timeout": 5.0}, {"tool": "ssh-ping", "settings": "password=x\nsource=r1\nuser=me"}),
        ("SipSak", {"user": "a", "sipsak_timeout": "3"}, "command", {"timeout": 3.0}, {"tool": "sipsak", "settings": "user=a"}),
    ],
)  # fmt: skip
def test_variables(
    module: str, variables: dict[str, str], kind: str, values: dict[str, Any], options: dict[str, Any]
) -> None:
    assert mapped(module, **variables) == (kind, values, options)


def test_what_is_other_than_in_smokeping_is_said() -> None:
    curl = map_probe("Curl", {"extraargs": "-4 --head -x proxy"}, 300.0, 20)
    assert curl.notes == ("tells curl --head -x *** (extraargs), which is not followed here",)
    (blaze,) = map_probe("FPing", {"blazemode": "true"}, 300.0, 20).notes
    assert "every ping counts" in blaze


@pytest.mark.parametrize(
    ("offset", "expected"), [("random", None), ("0%", 0.0), ("50%", 150.0), ("100%", 0.0), ("7 %", 21.0)]
)
def test_offset(offset: str, expected: float | None) -> None:
    assert map_probe("FPing", {}, 300.0, 20, offset).values.get("offset") == pytest.approx(expected)


def test_an_address_of_the_other_version_is_measured_as_what_it_is() -> None:
    four = map_probe("FPing", {"protocol": "4"}, 300.0, 20)
    other, note = for_host(four, "2001:db8::1")
    assert (other.values["family"], note) == ("6", "insists on IPv4, 2001:db8::1 is measured by IPv6")
    assert for_host(four, "192.0.2.1") == (four, "")
    assert for_host(four, "host.example.net") == (four, "")
    with pytest.raises(
        Unusable, match="sends from 192.0.2.7, from where 2001:db8::1 of the other IP version cannot be reached"
    ):
        for_host(map_probe("FPing", {"sourceaddress": "192.0.2.7"}, 300.0, 20), "2001:db8::1")


SECONDS = st.floats(0.0, 1e5, allow_nan=False)


@given(st.integers(1, 10**6), st.integers(1, 10**6), SECONDS, st.one_of(st.none(), SECONDS, st.just("fill")))
def test_every_round_fits_its_step(step: int, pings: int, timeout: float, interval: float | str | None) -> None:
    values, _ = fit({"step": float(step), "pings": pings, "timeout": timeout, "interval": interval})
    length = (values["pings"] - 1) * (values["interval"] or min(1.0, 0.6 * values["step"] / values["pings"]))
    assert length + 2 * values["timeout"] <= values["step"] * (1 + 1e-9)


def test_what_fits_is_left_as_it_is() -> None:
    wanted = {"step": 300.0, "pings": 20, "timeout": 10.0, "interval": 1.0}
    assert fit(wanted) == (wanted, [])
    values, notes = fit({"step": 10.0, "pings": 20, "timeout": 5.0, "interval": 1.0})
    assert (values["timeout"], values["interval"]) == (2.5, pytest.approx(5 / 19, abs=1e-6))
    assert notes == [
        "has a timeout of 5s, with a step of 10s it is 2.5s here",
        "sends 20 pings 1s apart, with a step of 10s they are 0.263157s apart here",
    ]


def test_what_is_more_than_an_agent_sends_is_refused_or_told() -> None:
    many = " ".join(f"http://%host%/{n}" for n in range(11))
    with pytest.raises(Unmapped, match="fetches 11 URLs for one ping, and here 10 are the most"):
        map_probe("Curl", {"urlformat": many}, 300.0, 20)
    mail = map_probe("SendEmail", {"from": "a@b.c", "to": "a@b.c", "bodysize": "20000000"}, 300.0, 20)
    assert (mail.options["body"], mail.notes) == (10**6, ("sends 20000000 bytes (bodysize), here 1000000 are sent",))


def test_a_record_nobody_knows_is_told_before_it_is_asked_for() -> None:
    with pytest.raises(Unusable, match="asks for FOO, which is no type of record"):
        map_probe("AnotherDNS", {"recordtype": "FOO"}, 300.0, 20)
    assert map_probe("AnotherDNS", {"recordtype": "TYPE65400"}, 300.0, 20).options["type"] == "TYPE65400"


def test_what_curl_is_told_beside_is_named_without_passwords() -> None:
    made = map_probe("Curl", {"extraargs": "-s -u me:secret --proxy-user=me:secret"}, 300.0, 20)
    assert made.notes == ("tells curl -u *** --proxy-user (extraargs), which is not followed here",)
