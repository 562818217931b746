"""Plans of all kinds of probes: whose address is looked up, what an engine is told, and what an older agent leaves out."""

import pytest

from smokemesh.agent.destination import destination
from smokemesh.agent.limits import Fence
from smokemesh.agent.plan import Plan, make_plan, questions
from smokemesh.model.assignment import Assignment, Task, task_id
from smokemesh.model.options import DnsOptions, HttpOptions, TcpOptions, write
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_RESOLVE
from smokemesh.probes.resolve import NXDOMAIN, Answer, literal
from smokemesh.probes.urls import fill, url_host
from smokemesh.settings.shape import Limits

NAMES = {
    "www.example": Answer(("192.0.2.1",)),
    "else.example": Answer(("192.0.2.2",)),
    "ns.example": Answer(("192.0.2.53",)),
    "inside.example": Answer(("10.0.0.1",)),
}
GONE = Answer(error="gone.example does not exist (NXDOMAIN)", error_code=NXDOMAIN)


def lookup(name: str, family: str) -> Answer:
    return literal(name, family) or NAMES.get(name, GONE)


def assignment(host: str, probe: Probe) -> Assignment:
    task = Task(id=task_id("/t", probe.name), target="/t", host=host, probe=probe.name)
    return Assignment(version="1", agent="a", tasks=(task,), probes={probe.name: probe})


def plan(host: str, probe: Probe, limits: Limits | None = None) -> Plan:
    return make_plan(assignment(host, probe), "a", limits or Limits(), lookup)


def http(url: str) -> Probe:
    return Probe(name="web", kind="http", options=write(HttpOptions(url=url)))


@pytest.mark.parametrize(
    ("url", "host", "wanted"),
    [
        ("http://{host}/", "www.example", "www.example"),
        ("https://%host%:8443/x", "www.example", "www.example"),
        ("http://else.example/?q={host}", "www.example", "else.example"),
        ("http://{host}/ http://else.example/", "www.example", "www.example"),
        ("{host}/page", "www.example", "www.example"),
        ("http://{host}/", "2001:db8::1", "2001:db8::1"),
        ("http://user:secret@{host}/", "www.example", "www.example"),
        ("http:///nothing", "www.example", ""),
        ("http://[::1", "www.example", ""),
        ("", "www.example", "www.example"),
    ],
)
def test_the_host_a_url_leads_to_is_the_one_looked_up(url: str, host: str, wanted: str) -> None:
    assert destination(http(url), host) == wanted
    assert list(questions(assignment(host, http(url)))) == ([(wanted, "auto")] if wanted else [])


def test_a_question_goes_to_the_server_it_names() -> None:
    probe = Probe(name="dns", kind="dns", options=write(DnsOptions(server="ns.example", query="{host}")))
    row = plan("www.example", probe).row(0)
    assert (row.address, row.host) == ("192.0.2.53", "www.example")


def test_engines_are_told_the_host_where_it_counts() -> None:
    assert plan("www.example", http("http://{host}/")).row(0).host == "www.example"
    tcp = Probe(name="tcp", kind="tcp", options=write(TcpOptions(port=443)))
    for probe in (tcp, Probe(name="ping")):
        row = plan("www.example", probe).row(0)
        assert (row.address, row.host, row.bare) == ("192.0.2.1", "", False)


def test_limits_hold_for_where_a_url_leads() -> None:
    limits = Limits(deny=("10.0.0.0/8",))
    refused = plan("www.example", http("http://inside.example/"), limits)
    assert refused.row(0).refused
    assert refused.problems == {"/t": "10.0.0.1 is in 10.0.0.0/8 (limits.deny)"}
    assert not plan("inside.example", http("http://www.example/"), limits).row(0).refused


def test_a_url_without_a_host_is_that_targets_problem() -> None:
    made = plan("www.example", http("http:///x"))
    assert len(made) == 0
    assert made.problems == {"/t": "probe web: its URL names no host"}


def test_a_name_that_is_gone() -> None:
    row = plan("gone.example", http("http://{host}/")).row(0)
    assert (row.address, row.error, row.bare) == ("", ERROR_RESOLVE + NXDOMAIN, False)


def test_a_command_may_be_told_what_is_no_host() -> None:
    probe = Probe(name="own", kind="command", options=(("argv", "/usr/local/bin/measure {host}"),))
    made = plan("line 7", probe, Limits(commands=("/usr/local/bin/measure",)))
    row = made.row(0)
    assert (row.address, row.host, row.bare, row.error) == ("", "line 7", True, 0)
    assert made.problems == {}


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (Probe(name="p", kind="quic"), "probe p: kind 'quic' is unknown to this agent; a newer version may know it"),
        (Probe(name="p", kind="tcp", options=(("port", "web"),)), "probe p: port: 'web' is no number"),
        (Probe(name="p", kind="tcp", options=(("port", "70000"),)), "probe p: port is 70000, must be 1 to 65535"),
        (Probe(name="p", source="eth0"), "probe p: source 'eth0' is no address"),
        (Probe(name="p", kind="http", options=(("insecure", "yes"),)), "probe p: insecure: 'yes' is neither true nor false"),
    ],
)  # fmt: skip
def test_what_a_newer_master_asks_for_is_that_targets_problem_alone(probe: Probe, reason: str) -> None:
    good = assignment("www.example", Probe(name="ping"))
    strange = Task(id=7, target="/strange", host="www.example", probe="p")
    both = Assignment(version="1", agent="a", tasks=(strange, *good.tasks), probes={**good.probes, "p": probe})
    made = make_plan(both, "a", Limits(), lookup)
    assert made.addresses == ["192.0.2.1"]
    assert made.problems == {"/strange": reason}
    assert list(questions(both)) == [("www.example", "auto")]


def test_options_of_a_newer_master_are_passed_over() -> None:
    probe = Probe(name="p", kind="tcp", options=(("payload", "7"), ("port", "80")))
    assert plan("www.example", probe).problems == {}


def test_the_fence() -> None:
    fence = Fence(Limits(allow=("192.0.2.0/24",), deny=("192.0.2.8/32",)))
    assert fence.refuse("192.0.2.1") == ""
    assert fence.refuse("::ffff:192.0.2.1") == ""
    assert fence.refuse("192.0.2.8") == "192.0.2.8 is in 192.0.2.8/32 (limits.deny)"
    assert fence.refuse("198.51.100.1") == "198.51.100.1 is in no network of limits.allow"
    assert fence.refuse("0.0.0.0") == "0.0.0.0 is no host's address"
    assert fence.refuse("here") == "here is no address"


def test_urls() -> None:
    assert fill("http://{host}:80/%host%", "::1") == "http://[::1]:80/[::1]"
    assert fill("http://{host}/", "www.example") == "http://www.example/"
    assert url_host("HTTP://WWW.Example:80/") == "www.example"
