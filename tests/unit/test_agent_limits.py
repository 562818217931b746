"""The agent's own limits: what it refuses whatever a master says, and how it keeps to a rate."""

import pytest

from smokemesh.agent.limits import Gatekeeper, Pacer, further_hosts, nonsense, parse_address, prefix
from smokemesh.agent.plan import Plan, make_plan
from smokemesh.errors import ConfigError
from smokemesh.model.assignment import Assignment, Task, task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_RESOLVE
from smokemesh.probes.resolve import NXDOMAIN, Answer, literal
from smokemesh.settings.shape import Limits

PING = Probe(name="ping")


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (PING, ""),
        (Probe(name="p", step=0.5, pings=1), "step 0.5 s is below 1 s (limits.least_interval)"),
        (Probe(name="p", interval=0.001), "pings 0.001 s apart, at least 0.01 s (limits.least_ping_interval)"),
        (Probe(name="p", interval=0.001, pings=1), ""),
        (Probe(name="p", size=65_508), "size 65508 bytes is above 65507 (limits.most_packet_size)"),
    ],
)
def test_probes_beyond_the_limits_are_refused_with_the_reason(probe: Probe, reason: str) -> None:
    assert Gatekeeper(Limits()).refuse_task(probe) == reason


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (Probe(name="p", step=0.0), "probe p: step is 0, must be 0.01 to 3.16224e+07"),
        (Probe(name="p", step=float("nan")), "probe p: step is nan, must be 0.01 to 3.16224e+07"),
        (Probe(name="p", pings=0), "probe p: pings is 0, must be 1 to 65535"),
        (Probe(name="p", pings=70_000), "probe p: pings is 70000, must be 1 to 65535"),
        (Probe(name="p", interval=-1.0), "probe p: interval is -1, must be 0 to 86400"),
        (Probe(name="p", timeout=float("inf")), "probe p: timeout is inf, must be 0.001 to 3600"),
        (Probe(name="p", size=-1), "probe p: size is -1, must be 0 to 65507"),
        (Probe(name="p", family="5"), "probe p: family is '5', must be auto, 4 or 6"),
    ],
)
def test_probes_that_make_no_sense_are_that_tasks_problem_alone(probe: Probe, reason: str) -> None:
    good, bad = _task("192.0.2.1"), Task(id=1, target="/bad", host="192.0.2.2", probe="p")
    lost = Task(id=2, target="/lost", host="192.0.2.3", probe="nowhere")
    assignment = Assignment(version="1", agent="b", tasks=(bad, good, lost), probes={"ping": PING, "p": probe})
    plan = make_plan(assignment, "b", Limits(), literal)
    assert plan.addresses == ["192.0.2.1"]
    assert plan.problems == {"/bad": reason, "/lost": "probe nowhere is not in the assignment"}


def test_tasks_beyond_the_most_are_left_out() -> None:
    plan = _plan(*(_task(f"192.0.2.{n}") for n in range(1, 6)), limits=Limits(most_tasks=2))
    assert plan.addresses == ["192.0.2.1", "192.0.2.2"]
    assert plan.problems == {"/": "3 tasks are left out, 2 are taken (limits.most_tasks)"}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.1", ""),
        ("2001:db8::1", ""),
        ("224.0.0.1", "224.0.0.1 is in 224.0.0.0/4 (limits.deny)"),
        ("::ffff:224.0.0.1", "224.0.0.1 is in 224.0.0.0/4 (limits.deny)"),
        ("255.255.255.255", "255.255.255.255 is in 255.255.255.255/32 (limits.deny)"),
        ("ff02::1", "ff02::1 is in ff00::/8 (limits.deny)"),
        ("ff02::1%eth0", "ff02::1%eth0 is in ff00::/8 (limits.deny)"),
        ("0.0.0.0", "0.0.0.0 is no host's address"),
        ("::", ":: is no host's address"),
        ("www", "www is no address"),
    ],
)
def test_addresses_of_denied_networks_are_refused_however_they_are_written(address: str, reason: str) -> None:
    assert Gatekeeper(Limits()).refuse_address(address, PING, "/a") == reason


def test_an_allow_list_shuts_out_all_else() -> None:
    gate = Gatekeeper(Limits(allow=("192.0.2.0/24", "2001:db8::/32")))
    assert gate.refuse_address("192.0.2.7", PING, "/a") == ""
    assert gate.refuse_address("::ffff:192.0.2.8", PING, "/b") == ""
    assert gate.refuse_address("198.51.100.1", PING, "/c") == "198.51.100.1 is in no network of limits.allow"
    assert gate.refuse_address("2001:db9::1", PING, "/d") == "2001:db9::1 is in no network of limits.allow"


def test_deny_goes_before_allow() -> None:
    gate = Gatekeeper(Limits(allow=("0.0.0.0/0",), deny=("192.0.2.0/25",)))
    assert gate.refuse_address("192.0.2.1", PING, "/a") == "192.0.2.1 is in 192.0.2.0/25 (limits.deny)"
    assert gate.refuse_address("192.0.2.200", PING, "/a") == ""


def test_a_network_that_is_none_is_an_error_of_the_file() -> None:
    with pytest.raises(ConfigError, match=r"limits\.deny: .*192\.0\.2\.0/33"):
        Gatekeeper(Limits(deny=("192.0.2.0/33",)))


def test_tasks_that_measure_one_address_count_together() -> None:
    gate = Gatekeeper(Limits(least_interval=1.0))
    two = Probe(name="p", step=2.0, pings=1)
    assert gate.refuse_address("192.0.2.1", two, "/a") == ""
    assert gate.refuse_address("::ffff:192.0.2.1", two, "/b") == ""
    assert gate.refuse_address("192.0.2.1", two, "/c") == (
        "192.0.2.1 is measured by /a already: together every 0.667 s, at least 1 s (limits.least_interval)"
    )
    assert gate.refuse_address("192.0.2.2", two, "/c") == ""


def test_rounds_to_a_shared_address_keep_apart() -> None:
    pacer, probe = Pacer(Limits(least_interval=1.0)), Probe(name="p", step=2.0, pings=1)
    assert pacer.begin("192.0.2.1", probe, 10.0, shared=True) == 10.0
    assert pacer.begin("192.0.2.1", probe, 10.3, shared=True) == 11.0
    assert pacer.begin("192.0.2.1", probe, 12.0, shared=True) == 12.0
    assert pacer.begin("192.0.2.2", probe, 12.1, shared=True) == 12.1
    assert (pacer.delayed, pacer.refused) == (1, 0)


def test_packets_per_second_stay_below_the_limit() -> None:
    """Twice the load that is allowed: half of it is let through, never more than the rate and one bucket."""
    pacer = Pacer(Limits(most_packets_per_second=1000.0, most_packets_per_second_per_prefix=1e9))
    begun = [pacer.begin(f"10.{n // 250}.{n % 250}.1", PING, n / 100, shared=False) for n in range(6000)]
    starts = sorted(start for start in begun if start is not None)
    assert pacer.refused == 6000 - len(starts)
    assert len(starts) * 20 == pytest.approx(60_000, rel=0.05)
    for begin in range(0, 55, 5):
        packets = 20 * sum(begin <= start < begin + 5 for start in starts)
        assert packets <= 5 * 1000 + 1000 + 20


def test_packets_to_one_prefix_stay_below_its_limit_and_others_are_free() -> None:
    pacer = Pacer(Limits(most_packets_per_second=1e9, most_packets_per_second_per_prefix=100.0))
    mine, others = list[float | None](), list[float | None]()
    for n in range(600):
        mine.append(pacer.begin(f"192.0.2.{n % 250}", PING, n / 10, shared=False))
        others.append(pacer.begin(f"198.51.{n % 250}.1", PING, n / 10, shared=False))
    assert 20 * sum(start is not None for start in mine) == pytest.approx(60 * 100, rel=0.1)
    assert None not in others


def test_a_round_larger_than_the_bucket_is_still_measured() -> None:
    pacer, many = Pacer(Limits(most_packets_per_second=100.0)), Probe(name="p", step=300.0, pings=1000, interval=0.1)
    assert pacer.begin("192.0.2.1", many, 50.0, shared=False) == 50.0
    assert pacer.begin("192.0.2.1", many, 51.0, shared=False) is None
    assert pacer.reason == (
        "192.0.2.1: a round was left out, it would have had to wait 8.0 s (limits.most_packets_per_second)"
    )
    assert pacer.begin("192.0.2.1", many, 350.0, shared=False) == 350.0


def test_buckets_are_bounded() -> None:
    pacer = Pacer(Limits())
    for n in range(20_000):
        pacer.begin(f"10.{n // 250}.{n % 250}.1", PING, float(n), shared=False)
    assert len(pacer._prefix_full_at) <= 4097


def test_prefixes() -> None:
    assert prefix("192.0.2.1") == prefix("::ffff:192.0.2.200") != prefix("192.0.3.1")
    assert prefix("2001:db8:1::1") == prefix("2001:db8:1:ff::1") != prefix("2001:db8:2::1")
    assert str(parse_address("::ffff:192.0.2.1")) == "192.0.2.1"


NAMES = {
    "one.example": Answer(("192.0.2.1",)),
    "many.example": Answer(("192.0.2.1", "192.0.2.2", "2001:db8::2")),
    "gone.example": Answer(error="gone.example does not exist (NXDOMAIN)", error_code=NXDOMAIN),
    "flaky.example": Answer(("192.0.2.9",), "flaky.example: no name server answered within 5 s", 256),
    "evil.example": Answer(("224.0.0.5",)),
}


def _task(host: str, addresses: str = "first") -> Task:
    return Task(id=task_id(f"/{host}", "ping"), target=f"/{host}", host=host, probe="ping", addresses=addresses)


def _plan(*tasks: Task, limits: Limits | None = None) -> Plan:
    assignment = Assignment(version="1", agent="boomer", tasks=tasks, probes={"ping": PING})
    return make_plan(
        assignment, "boomer", limits or Limits(), lambda name, family: literal(name, family) or NAMES.get(name)
    )


def test_a_plan_has_a_row_for_each_task_with_its_address() -> None:
    plan = _plan(_task("198.51.100.1"), _task("one.example"), _task("unknown.example"))
    assert plan.addresses == ["198.51.100.1", "192.0.2.1", ""]
    assert plan.timetable.task.tolist() == [plan.row(i).task for i in range(3)]
    assert plan.problems == {}


def test_a_name_that_does_not_resolve_is_that_tasks_error_alone() -> None:
    plan = _plan(_task("gone.example"), _task("one.example"))
    assert [plan.row(i).error for i in range(2)] == [ERROR_RESOLVE + NXDOMAIN, 0]
    assert plan.problems == {"/gone.example": "gone.example does not exist (NXDOMAIN)"}


def test_the_last_good_address_is_measured_while_the_name_fails() -> None:
    plan = _plan(_task("flaky.example"))
    assert (plan.row(0).address, plan.row(0).error) == ("192.0.2.9", 0)
    assert "no name server answered" in plan.problems["/flaky.example"]


def test_all_addresses_of_a_name_become_rows_of_their_own() -> None:
    plan = _plan(_task("many.example", "all"), _task("one.example"))
    expected = [task_id("/many.example", "ping", a) for a in ("192.0.2.1", "192.0.2.2", "2001:db8::2")]
    assert plan.timetable.task.tolist() == [*expected, task_id("/one.example", "ping")]
    assert plan.shared == {0, 3}


def test_limits_apply_to_what_a_name_resolves_to() -> None:
    plan = _plan(_task("evil.example"))
    assert plan.row(0).refused
    assert plan.problems["/evil.example"] == "224.0.0.5 is in 224.0.0.0/4 (limits.deny)"


def _smtp(**options: str) -> Probe:
    return Probe(name="m", kind="smtp", step=60.0, options=tuple(sorted(options.items())))


def _http(*urls: str, step: float = 60.0) -> Probe:
    return Probe(name="h", kind="http", step=step, pings=5, options=(("url", " ".join(urls)),))


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (_smtp(to="a@b.example", body="20000000000"), "probe m: body is 20000000000, must be 0 to 1000000"),
        (_smtp(to="a@b.example", body="-1"), "probe m: body is -1, must be 0 to 1000000"),
        (_smtp(to="a@b.example," * 11), "probe m: number of receivers is 11, must be 0 to 10"),
        (_smtp(to="a@b.example", body="1000000"), ""),
        (_http(*("http://192.0.2.1/",) * 11), "probe h: number of URLs is 11, must be 0 to 10"),
        (_http(*("http://192.0.2.1/",) * 10), ""),
    ],
)
def test_what_would_be_made_in_memory_or_asked_of_others_is_bounded(probe: Probe, reason: str) -> None:
    assert nonsense(probe) == reason


def test_mail_is_sent_only_with_leave_of_the_agents_owner() -> None:
    mail, refused = _smtp(to="a@b.example"), "probe m sends mail: the agent's limits.commands does not name smtp"
    assert Gatekeeper(Limits()).refuse_task(mail) == refused
    assert Gatekeeper(Limits(commands=("ldapsearch",))).refuse_task(mail) == refused
    assert Gatekeeper(Limits()).refuse_task(_smtp(port="587")) == ""
    assert Gatekeeper(Limits(commands=("smtp",))).refuse_task(mail) == ""
    assert Gatekeeper(Limits(commands=("*",))).refuse_task(mail) == ""


@pytest.mark.parametrize(
    ("urls", "hosts"),
    [
        (("http://{host}/",), ()),
        (("http://{host}/", "https://{host}/b", "http://192.0.2.9/?{host}"), ("", "192.0.2.9")),
        (("http://192.0.2.9/", "http://192.0.2.9/b", "http://{host}/", "http://c.example/"), ("", "", "c.example")),
    ],
)
def test_hosts_of_further_urls(urls: tuple[str, ...], hosts: tuple[str, ...]) -> None:
    probe = _http(*urls)
    assert further_hosts(probe.kind, probe.options) == hosts


def test_hosts_of_further_urls_count_as_measured() -> None:
    gate = Gatekeeper(Limits(least_interval=1.0))
    assert gate.refuse_address("192.0.2.1", _http("http://{host}/", "http://192.0.2.9/", step=2.0), "/a") == ""
    assert gate.refuse_address("192.0.2.2", _http("http://{host}/", "http://192.0.2.9/", step=2.0), "/b") == ""
    crowded = gate.refuse_address("192.0.2.3", _http("http://{host}/", "http://192.0.2.9/", step=2.0), "/c")
    assert crowded.startswith("192.0.2.9 is measured by /a already: together every 0.667 s")
    assert gate.refuse_address("192.0.2.9", _http("http://{host}/", step=2.0), "/d").startswith("192.0.2.9 is measured")
    # What was refused has not been counted.
    assert gate.refuse_address("192.0.2.3", _http("http://{host}/", step=1.0), "/e") == ""


def test_packets_to_further_hosts_are_charged_to_their_prefix() -> None:
    pacer = Pacer(Limits(most_packets_per_second=1e9, most_packets_per_second_per_prefix=10.0))
    probe = _http("http://{host}/", "http://198.51.100.1/", "http://198.51.100.2/", "http://{host}/b")
    started = [pacer.begin(f"10.0.{n}.1", probe, 50.0, shared=False) for n in range(4)]
    assert started == [50.0, 50.0, 51.0, 52.0]  # 10 packets each to one prefix, at 10 a second, after one burst
    assert pacer.begin("10.1.0.1", _http("http://{host}/"), 52.0, shared=False) == 52.0
    both = Pacer(Limits(most_packets_per_second=20.0))
    assert [both.begin(f"10.0.{n}.1", probe, 50.0, shared=False) for n in range(2)] == [50.0, 50.0]
    assert both.begin("10.1.0.1", _http("http://{host}/"), 50.0, shared=False) == 51.0
