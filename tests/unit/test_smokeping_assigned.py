"""A real master's configuration as an assignment: what is measured, how, and what is said of the rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.errors import WireError
from smokemesh.model.assignment import task_id
from smokemesh.smokeping import perl
from smokemesh.smokeping.assigned import Handed, read_assignment

SMALLEST = (
    b"$VAR1={'__last'=>1700000000,'General'=>{'datadir'=>'/d'},'Database'=>{'step'=>300,'pings'=>3},"
    b"'Probes'=>{'FPing'=>{'binary'=>'/usr/bin/fping','mininterval'=>'0.01','protocol'=>'4'}},"
    b"'Targets'=>{'probe'=>'FPing','nomasterpoll'=>'no','A'=>{'probe'=>'FPing','nomasterpoll'=>'no','host'=>'127.0.0.1'},"
    b"'B'=>{'probe'=>'FPing','host'=>'::1'},'U'=>undef}};\n"
)


def handed(targets: dict[str, Any], probes: dict[str, Any] | None = None, **database: str) -> Handed:
    root: dict[str, Any] = {
        "__last": 1_800_000_000,
        "General": {"offset": "0%"},
        "Database": {"step": "60", "pings": "10"} | database,
        "Probes": probes or {"FPing": {"binary": "/usr/bin/fping"}},
        "Targets": {"probe": "FPing", **targets},
    }
    return read_assignment(perl.write(root), "far")


def host(address: str, probe: str = "FPing", **more: str) -> dict[str, Any]:
    return {"probe": probe, "host": address, **more}


def test_the_smallest_a_slave_works_with() -> None:
    found = read_assignment(SMALLEST, "far")
    assert found.last == 1_700_000_000
    assert [(t.target, t.host) for t in sorted(found.assignment.tasks, key=lambda t: t.target)] == [
        ("/A", "127.0.0.1"),
        ("/B", "::1"),
    ]
    by_target = {t.target: found.assignment.probes[t.probe] for t in found.assignment.tasks}
    assert (by_target["/A"].kind, by_target["/A"].step, by_target["/A"].pings) == ("icmp", 300, 3)
    assert by_target["/B"].family == "6"
    assert {t.id for t in found.assignment.tasks} == {task_id("/A", "FPing"), task_id("/B", "FPing")}


def test_nodes_are_found_below_nodes_and_below_hosts() -> None:
    found = handed({"G": {"probe": "FPing", "H": host("127.0.0.1") | {"I": host("127.0.0.2")}, "E": None}})
    assert {t.target for t in found.assignment.tasks} == {"/G/H", "/G/H/I"}


def test_instances_have_the_module_below_them_and_their_own_variables() -> None:
    probes = {"FPing": {"binary": "x", "Large": {"binary": "x", "packetsize": "1000"}, "Small": {"binary": "x"}}}
    found = handed({"A": host("127.0.0.1", "Large"), "B": host("127.0.0.2", "Small")}, probes)
    assert found.assignment.probes["Large"].size == 1000
    assert found.assignment.probes["Small"].size == 56


def test_targets_that_differ_share_no_probe_but_keep_their_name() -> None:
    probes = {"AnotherDNS": {"forks": "5", "lookup": "example.org"}}
    targets = {
        "A": host("127.0.0.1", "AnotherDNS", lookup="a.example"),
        "B": host("127.0.0.2", "AnotherDNS", lookup="b.example"),
    }
    found = handed(targets, probes)
    used = {t.target: found.assignment.probes[t.probe] for t in found.assignment.tasks}
    assert dict(used["/A"].options)["query"] == "a.example"
    assert dict(used["/B"].options)["query"] == "b.example"
    assert {t.id for t in found.assignment.tasks} == {task_id("/A", "AnotherDNS"), task_id("/B", "AnotherDNS")}


def test_what_nothing_measures_is_named() -> None:
    found = handed({"A": host("127.0.0.1", "Qstatt"), "B": host("127.0.0.1")}, {"FPing": {}, "Qstatt": {}})
    assert [t.target for t in found.assignment.tasks] == ["/B"]
    assert "Qstatt" in found.problems["/A"]
    assert "has no probe Nowhere" in handed({"A": host("127.0.0.1", "Nowhere")}).problems["/A"]


def test_equal_content_has_an_equal_version() -> None:
    one, other = handed({"A": host("127.0.0.1"), "B": host("::1")}), handed({"B": host("::1"), "A": host("127.0.0.1")})
    assert one.assignment == other.assignment
    assert one.assignment.version != handed({"A": host("127.0.0.1")}).assignment.version


@pytest.mark.parametrize(
    ("dump", "wrong"),
    [
        (b"$VAR1 = [];\n", "no hash"),
        (b"$VAR1 = {};\n", "has no Targets"),
        (SMALLEST.replace(b"300", b"'often'"), "Database.step is 'often', which is no number"),
        (SMALLEST.replace(b"'pings'=>3", b"'pings'=>0"), "Database.pings is 0, which is too small"),
        (SMALLEST.replace(b"'Database'", b"'Datenbank'"), "has no Database"),
        (b"system('true')", "the master.s configuration"),
    ],
)
def test_what_is_no_configuration_is_said(dump: bytes, wrong: str) -> None:
    with pytest.raises(WireError, match=wrong):
        read_assignment(dump, "far")


_values = st.recursive(
    st.none() | st.integers(-(10**6), 10**6) | st.text(max_size=12),
    lambda inner: st.dictionaries(
        st.sampled_from(["host", "probe", "FPing", "A", "step", "pings", "tos"]), inner, max_size=4
    ),
    max_leaves=12,
)


@given(_values, _values)
def test_whatever_stands_in_a_dump_is_read_or_refused(targets: Any, probes: Any) -> None:
    root = {"__last": 1, "General": {}, "Database": {"step": 60, "pings": 5}, "Probes": probes, "Targets": targets}
    problem = ""
    try:
        found = read_assignment(perl.write(root), "far")
        assert all(task.probe in found.assignment.probes for task in found.assignment.tasks)
    except WireError as error:
        problem = str(error)
    assert "\n" not in problem
