"""Rounds of ours as the lines a SmokePing master takes."""

import numpy as np
import pytest

from smokemesh.agent.packed import PackedAssignment
from smokemesh.agent.smokeping import Lines, looks_like_smokeping
from smokemesh.model.assignment import Assignment, Task, task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.wire import messages

NAN = float("nan")
TASK = task_id("/A/B", "FPing")
BEGIN = 1_800_000_000


def known(pings: int = 3) -> PackedAssignment:
    probe = Probe(name="FPing", step=10.0, pings=pings, interval=0.5, timeout=0.5)
    task = Task(id=TASK, target="/A/B", host="127.0.0.1", probe="FPing")
    return PackedAssignment.read(
        messages.encode(Assignment(version=f"v{pings}", agent="far", tasks=(task,), probes={"FPing": probe}))
    )


def batch(rtts: list[float], *, task: int = TASK, flags: int = 0) -> RoundBatch:
    columns = {
        "task": [task], "time": [BEGIN * 10**9], "step": [10.0], "sent": [len(rtts)],
        "received": [sum(not np.isnan(rtt) for rtt in rtts)], "rtts": rtts, "flags": [flags],
    }  # fmt: skip
    return RoundBatch.from_columns(1, columns)


def line(rtts: list[float], pings: int = 3, **more: int) -> list[str]:
    lines = Lines()
    lines.learn(known(pings))
    return [text.decode() for _, text in lines.of(batch(rtts, **more))]


def test_a_round_is_dated_to_its_end_and_sorted() -> None:
    moment = BEGIN + 2  # two pauses of 0.5 s, and 0.5 s for the last answer, rounded up
    assert line([0.03, 0.01, 0.02]) == [
        f"/A/B\t{moment}\tU:0:2.0000000000e-02:1.0000000000e-02:2.0000000000e-02:3.0000000000e-02".replace(
            "2.0000000000e-02", f"{np.float32(0.02):.10e}"
        )
        .replace("1.0000000000e-02", f"{np.float32(0.01):.10e}")
        .replace("3.0000000000e-02", f"{np.float32(0.03):.10e}")
    ]


def test_lost_pings_stand_on_both_sides() -> None:
    (text,) = line([NAN, 0.5, NAN])
    assert text.split("\t")[2] == "U:2:5.0000000000e-01:U:5.0000000000e-01:U"


def test_a_host_without_address_is_lost_altogether() -> None:
    (text,) = line([], flags=int(Flag.UNRESOLVED))
    assert text.split("\t")[2] == "U:3:U:U:U:U"


def test_a_round_in_which_the_clock_was_set_is_unknown() -> None:
    (text,) = line([0.1, NAN, 0.2], flags=int(Flag.CLOCK_STEPPED))
    assert text.split("\t")[2] == "U:U:U:U:U:U"


def test_pings_this_host_left_out_are_no_loss() -> None:
    (text,) = line([0.25, 0.5], pings=4)
    assert text.split("\t")[2] == "U:0:5.0000000000e-01:U:2.5000000000e-01:5.0000000000e-01:U"
    (text,) = line([], flags=int(Flag.OWN_DELAY))
    assert text.split("\t")[2] == "U:U:U:U:U:U"


def test_the_share_of_lost_pings_stays_when_their_number_was_changed() -> None:
    (more,) = line([0.25, NAN], pings=4)
    assert more.split("\t")[2].split(":")[:2] == ["U", "2"]
    assert len(more.split("\t")[2].split(":")) == 3 + 4
    (fewer,) = line([0.1, 0.2, NAN, 0.4, 0.5, NAN], pings=3)
    values = fewer.split("\t")[2].split(":")
    assert values[1] == "1"
    assert len(values) == 3 + 3
    assert [value for value in values[3:] if value != "U"] == [f"{np.float32(0.1):.10e}", f"{np.float32(0.5):.10e}"]


def test_rounds_of_targets_the_master_no_longer_has_are_counted() -> None:
    lines = Lines()
    lines.learn(known(2))
    assert list(lines.of(batch([0.1], task=1))) == []
    assert lines.take_refused() == 1
    assert lines.take_refused() == 0


def test_tasks_of_the_assignment_before_are_still_known() -> None:
    lines = Lines()
    lines.learn(known())
    lines.learn(PackedAssignment.read(messages.encode(Assignment(version="empty", agent="far"))))
    assert len(list(lines.of(batch([0.1, 0.2, 0.3])))) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/smokeping.cgi", True),
        ("https://h/cgi-bin/smokeping.fcgi?x=1", True),
        ("http://h/smokeping/sm.pl", True),
        ("http://h/smokeping/", True),
        ("http://h:8080", False),
        ("http://h/smokemesh/", False),
    ],
)
def test_such_a_master_is_known_by_its_url(url: str, expected: bool) -> None:
    assert looks_like_smokeping(url) is expected
