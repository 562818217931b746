"""Which programs an agent runs: known tools by name, everything else only with its own leave."""

import math
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.agent.limits import Gatekeeper
from smokemesh.model import tools
from smokemesh.model.probe import Probe
from smokemesh.probes.command_rules import make_run, order, refusal
from smokemesh.probes.tools.run import SECRET_FILE, Ask, Output
from smokemesh.probes.tools.table import INSTRUMENTS
from smokemesh.settings.shape import Limits

ASK = Ask("www.example.net", "192.0.2.7", 5, 1.0, 2.0)


def probe(**options: str) -> Probe:
    return Probe(name="p", kind="command", options=tuple(sorted(options.items())))


def tool(name: str, **options: object) -> Probe:
    return probe(tool=name, settings=tools.write(tools.TOOLS[name](**options)))


def read(name: str, printed: str, ask: Ask = ASK, status: int = 0, **options: object) -> list[float]:
    return list(INSTRUMENTS[name].read(Output(printed.encode(), b"", status, 0.5), tools.TOOLS[name](**options), ask))


def test_every_tool_has_its_instrument() -> None:
    assert INSTRUMENTS.keys() == tools.TOOLS.keys()
    for name, keys in tools.FREE.items():
        assert set(keys) <= {field.name for field in fields(tools.TOOLS[name])}


@pytest.mark.parametrize(
    ("one", "commands", "reason"),
    [
        (tool("traceroute"), (), ""),
        (tool("traceroute", desthost="192.0.2.9"), (), ""),
        (tool("traceroute", desthost="far.example"), (), "traceroute may not be told a name as desthost"),
        (tool("traceroute", desthost="far.example"), ("traceroute",), ""),
        (
            tool("sipsak", params="-x"),
            (),
            "sipsak may not be told params: the agent's limits.commands does not name sipsak",
        ),
        (tool("irtt", hmac="x"), ("sipsak",), "irtt may not be told hmac"),
        (tool("ftp", srcfile="/etc/shadow", mode="put"), (), "ftp may not be told mode=put"),
        (tool("remote-fping", rhost="h"), (), "remote-fping may not be told rhost"),
        (tool("ssh-ping", source="h"), ("ssh-ping",), ""),
        (tool("nfsping", binary="/usr/bin/nfsping"), (), ""),
        (tool("nfsping", binary="/tmp/nfsping"), (), "/tmp/nfsping is not nfsping in a system directory"),
        (tool("nfsping", binary="/usr/bin/rm"), (), "/usr/bin/rm is not nfsping in a system directory"),
        (tool("nfsping", binary="rm"), (), "rm is not nfsping in a system directory"),
        (tool("nfsping", binary="/usr/bin/../../tmp/nfsping"), (), "is not nfsping in a system directory"),
        (tool("nfsping", binary="/tmp/nfsping"), ("/tmp/nfsping",), ""),
        (probe(argv="/usr/bin/ping {host}"), (), "/usr/bin/ping is no known tool"),
        (probe(argv="/usr/bin/ping {host}"), ("/usr/bin/ping",), ""),
        (probe(argv="ping {host}"), ("ping",), "ping is no known tool"),
        (probe(argv="ping {host}"), ("*",), ""),
        (probe(argv="/usr/bin/pinga {host}"), ("/usr/bin/ping",), "/usr/bin/pinga is no known tool"),
        (probe(tool="nfsping", environment_file="/etc/shadow"), (), "nfsping may not be told environment_file"),
        (probe(), ("*",), "probe p: neither tool nor argv says what is run"),
        (probe(argv="'unclosed"), ("*",), "probe p: No closing quotation"),
        (probe(argv="x {pings:>2000000000}"), ("*",), "probe p: argv: '{pings:>2000000000}' holds {pings:>2000000000}"),
        (probe(argv="x {host!r}"), ("*",), "probe p: argv: '{host!r}' holds {host!r}, known are address"),
        (probe(argv="x {pings:{timeout}}"), ("*",), "probe p: argv: '{pings:{timeout}}' holds {pings:{timeout}}"),
        (
            probe(argv="x {hots}"),
            ("*",),
            "probe p: argv: '{hots}' holds {hots}, known are address, family, host, pings",
        ),
        (probe(argv="x {0.__class__}"), ("*",), "probe p: argv: '{0.__class__}' holds"),
        (probe(argv="x {host.__class__}"), ("*",), "probe p: argv: '{host.__class__}' holds"),
        (probe(argv="x {host"), ("*",), "probe p: "),
        (probe(argv="x", parse="magic"), ("*",), "probe p: parse: 'magic' is neither lines, exit"),
        (probe(argv="x", parse="regex:("), ("*",), "probe p: parse: '(' is no regular expression"),
        (probe(argv="x", parse="regex:x"), ("*",), "probe p: parse: 'x' has no group"),
        (probe(argv="x", unit="fortnight"), ("*",), "probe p: unit: 'fortnight' is unknown"),
        (probe(argv="x", run="twice"), ("*",), "probe p: run: 'twice' is neither"),
        (probe(argv="x", forks="0"), ("*",), "probe p: forks: 0 must be 1 or more"),
        (probe(tool="rm"), ("*",), "probe p: tool 'rm' is unknown"),
        (probe(tool="nfsping", settings="colour=red"), ("*",), "probe p: settings: nfsping has no option 'colour'"),
        (probe(tool="nfsping", settings="tcp=maybe"), ("*",), "probe p: tcp: 'maybe' is neither true nor false"),
    ],
)
def test_what_an_agent_refuses(one: Probe, commands: tuple[str, ...], reason: str) -> None:
    said = refusal(one, commands)
    assert reason in said
    assert bool(said) == bool(reason)


def test_a_command_line_is_split_before_anything_is_put_in() -> None:
    wanted = order(probe(argv="/bin/x '{host} and' {address}:{pings} -t{timeout} -{family}").options)
    run = make_run(wanted, ASK)
    assert run.argv == ("/bin/x", "www.example.net and", "192.0.2.7:5", "-t2", "-4")


@pytest.mark.parametrize("host", ["-rf", "a b", "a\nb", "a\0b", "\u202ehost"])
def test_no_host_becomes_an_option(host: str) -> None:
    for one in (probe(argv="/bin/x {host}"), tool("nfsping"), tool("sipsak")):
        with pytest.raises(ValueError, match="more than a word"):
            make_run(order(one.options), Ask(host, "192.0.2.7", 5, 1.0, 2.0))


@settings(max_examples=100)
@given(st.sampled_from(sorted(INSTRUMENTS)), st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_output_breaks_a_reader(name: str, printed: bytes) -> None:
    for status in (0, 1):
        rtts = INSTRUMENTS[name].read(Output(printed, printed, status, 0.5), tools.TOOLS[name](), ASK)
        assert all(math.isnan(rtt) or 0 <= rtt < math.inf for rtt in rtts)


@settings(max_examples=100)
@given(st.data())
def test_no_setting_makes_a_word_of_two(data: st.DataObject) -> None:
    """Whatever a master writes into a tool's text, it stays in the words it was meant for, or is refused."""
    name = data.draw(st.sampled_from(sorted(INSTRUMENTS)))
    kind = tools.TOOLS[name]
    texts = [field.name for field in fields(kind) if field.type is str and field.name not in tools.FREE.get(name, ())]
    key = data.draw(st.sampled_from(texts))
    plain, odd = kind(), kind(**{key: data.draw(st.text(max_size=20))})
    try:
        run = INSTRUMENTS[name].command(odd, ASK)
        usual = INSTRUMENTS[name].command(plain, ASK)
    except ValueError:
        return
    # An option more and its value, at most; `attrs` alone is a list.
    assert key == "attrs" or len(run.argv) <= len(usual.argv) + 4


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nfsping", {"tcp": True}, "nfsping -C 5 -q -i10 -p1000 -t2000 -T 192.0.2.7"),
        ("traceroute", {"minttl": 2, "wait": 3}, "traceroute -n -4 -q 1 -N 1 -w 3 -f 2 -m 30 192.0.2.7"),
        ("sipsak", {"user": "joe"}, "sipsak -vv -A 5 -p 192.0.2.7 -s sip:joe@www.example.net"),
        ("echoping", {}, "echoping -4 -n 5 -t 2 -w 1 192.0.2.7"),
        ("echoping", {"service": "chargen", "size": 9}, "echoping -4 -n 5 -t 2 -w 1 -s 9 -c 192.0.2.7"),
        ("echoping", {"service": "smtp"}, "echoping -4 -n 5 -t 2 -w 1 -S 192.0.2.7"),
        ("echoping", {"service": "discard", "udp": True}, "echoping -4 -n 5 -t 2 -w 1 -u -d 192.0.2.7"),
        ("echoping", {"service": "http", "port": 81, "ignore_cache": True}, "echoping -4 -n 5 -t 2 -w 1 -h / -A 192.0.2.7:81"),
        ("echoping", {"service": "https", "url": "/x"}, "echoping -4 -n 5 -t 2 -w 1 -C -h /x 192.0.2.7"),
        ("echoping", {"service": "icp", "url": "http://x/"}, "echoping -4 -n 5 -t 2 -w 1 -i http://x/ 192.0.2.7"),
        ("echoping", {"service": "dns", "dns_request": "x", "dns_tcp": True}, "echoping -4 -n 5 -t 2 -w 1 -m dns 192.0.2.7 -t A --tcp x"),
        ("echoping", {"service": "ldap", "ldap_base": "dc=x"}, "echoping -4 -n 5 -t 2 -w 1 -m ldap 192.0.2.7 -b dc=x"),
        ("echoping", {"service": "whois", "whois_request": "x"}, "echoping -4 -n 5 -t 2 -w 1 -m whois 192.0.2.7 x"),
        ("echoping", {"service": "plugin", "plugin": "p", "pluginargs": "-a 'b c'"}, "echoping -4 -n 5 -t 2 -w 1 -m p 192.0.2.7 -a|b c"),
        ("quakestat", {"port": 27960}, "quakestat -nocfg -xml -retry 1 -timeout 2 -q3s 192.0.2.7:27960"),
        ("ssh-ping", {"source": "r1", "user": "u", "password": "x"}, "sshpass -e ssh -o ConnectTimeout=2 -l u r1 ping|192.0.2.7|count|5|size|100|interval|1"),
    ],
)  # fmt: skip
def test_command_lines(name: str, options: dict[str, object], words: str) -> None:
    run = INSTRUMENTS[name].command(tools.TOOLS[name](**options), ASK)
    assert " ".join(run.argv) == words.replace("|", " ")


def test_passwords_go_by_files() -> None:
    ldap = INSTRUMENTS["ldapsearch"].command(tools.LdapSearch(binddn="cn=a", password="hush"), ASK)
    assert (SECRET_FILE in ldap.argv, ldap.secret) == (True, b"hush")
    radius = INSTRUMENTS["radclient"].command(tools.RadClient(username='j"oe', password="pw", secret="s"), ASK)
    assert (radius.secret, radius.stdin) == (b"s\n", b'User-Name = "j\\"oe"\nUser-Password = "pw"\n')
    with pytest.raises(ValueError, match="line break"):
        INSTRUMENTS["radclient"].command(tools.RadClient(username="a\nFilter-Id = 1", secret="s"), ASK)
    with pytest.raises(ValueError, match="no secret"):
        INSTRUMENTS["radclient"].command(tools.RadClient(username="a"), ASK)


def test_a_certificate_names_the_host() -> None:
    run = INSTRUMENTS["ldapsearch"].command(tools.LdapSearch(scheme="ldaps", verify="none"), ASK)
    assert "ldaps://www.example.net:636" in run.argv
    assert run.environment == (("LDAPTLS_REQCERT", "never"),)


@pytest.mark.parametrize(
    ("name", "printed", "rtts"),
    [
        ("traceroute", "traceroute to 192.0.2.9, 30 hops max\n 1  10.0.0.1  1.1 ms\n 2  *\n 3  192.0.2.7  4.25 ms\n 4  192.0.2.9  9 ms\n", [0.00425]),
        ("traceroute", " 1  10.0.0.1  1.1 ms\n 2  192.0.2.70  1 ms !H\n", []),
        ("nfsping", "192.0.2.7 : 1.5 - 2.25\n", [0.0015, None, 0.00225]),
        ("remote-fping", "warning: x\nwww.example.net : - 0.5\n", [None, 0.0005]),
        ("echoping", "Elapsed time: 0.1 seconds\nTimeout while reading\nElapsed time: 0.25 seconds\n---\nMinimum time: 0.1 seconds\n", [0.1, 0.25]),
        ("quakestat", '<qstat><server type="Q3S" address="x" status="UP">\n<name>a</name><ping>31</ping></server></qstat>', [0.031]),
        ("quakestat", '<qstat><server type="Q3S" address="x" status="TIMEOUT">\n</server></qstat>', []),
        ("ssh-keyscan", "# 192.0.2.7:22 SSH-2.0-OpenSSH_9.2\n", [0.5]),
        ("ssh-keyscan", "192.0.2.7: Connection refused\n", []),
        ("irtt", '{"round_trips": [{"seqno": 1, "delay": {"rtt": 2000000}}, {"seqno": 3, "lost": "true", "delay": {}}, {"seqno": 9, "delay": {"rtt": 1}}]}', [None, 0.002, None, None, None]),
        ("irtt", '{"round_trips": 7}', []),
        ("irtt", "[" * 60_000, []),
    ],
)  # fmt: skip
def test_outputs(name: str, printed: str, rtts: list[float | None]) -> None:
    found = read(name, printed)
    assert [None if math.isnan(rtt) else rtt for rtt in found] == pytest.approx(rtts)


def test_settings_travel_and_come_back() -> None:
    options = tools.EchoPing(service="http", url="/a=b", port=8080, ignore_cache=True)
    assert tools.read("echoping", tools.write(options)) == options


def test_the_agents_gate_asks_these_rules() -> None:
    own = probe(argv="/usr/bin/pinger {host}")
    assert "limits.commands does not name its path" in Gatekeeper(Limits()).refuse_task(own)
    assert Gatekeeper(Limits(commands=("/usr/bin/pinger",))).refuse_task(own) == ""
    assert Gatekeeper(Limits()).refuse_task(tool("nfsping")) == ""
