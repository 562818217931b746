"""What a newest round says of a target: up, losing, down; and silence is none of them."""

import math
from dataclasses import replace

import pytest
from tests.web import world

from smokemesh.master.assignments import make_assignments, upload_interval
from smokemesh.master.web.status import Board, Numbered, Sight, judge, patience, quiet, tally, task_of, verdict, worst
from smokemesh.model.agent import Agent
from smokemesh.model.rounds import Flag
from smokemesh.model.series import Latest
from smokemesh.model.target import Target

NANO = 10**9
NOW = 1_795_261_320 * NANO


def newest(
    age: float = 10, sent: int = 20, received: int = 20, task: int = 1, agent: str = "a", flags: int = 0
) -> Latest:
    return Latest(
        task=task,
        agent=agent,
        time=NOW - round(age * NANO),
        step=60.0,
        sent=sent,
        received=received,
        median=0.01,
        flags=flags,
    )


@pytest.mark.parametrize(
    ("latest", "state"),
    [
        (newest(), "ok"),
        (newest(received=19), "loss"),
        (newest(received=0), "down"),
        (newest(sent=0, received=0), "silent"),
        (None, "silent"),
        (newest(age=205), "ok"),
        (newest(age=215), "silent"),
        (newest(age=215, received=0), "silent"),
        (newest(age=-59), "ok"),
        (newest(age=-61), "silent"),
        (newest(received=19, flags=Flag.OWN_DROPS), "doubt"),
        (newest(received=0, flags=Flag.OWN_DROPS), "doubt"),
        (newest(received=20, flags=Flag.OWN_DROPS), "ok"),
        (newest(received=0, flags=Flag.VANTAGE_DEGRADED), "doubt"),
        (newest(received=0, flags=Flag.SEND_ERROR), "doubt"),
        (newest(received=0, flags=Flag.SEND_ERROR | Flag.ICMP_ERROR), "down"),
        (newest(received=19, flags=Flag.LATE | Flag.ICMP_ERROR), "loss"),
    ],
)
def test_one_round(latest: Latest | None, state: str) -> None:
    sight = judge("a", latest, 60.0, NOW)
    assert sight.state == state


def test_the_loss_of_an_unknown_round_is_unknown() -> None:
    assert math.isnan(Sight("a", "silent", None).loss)
    assert judge("a", newest(received=15), 60, NOW).loss == 0.25


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "silent"),
        (["ok", "ok"], "ok"),
        (["ok", "down"], "loss"),
        (["down", "down"], "down"),
        (["down", "silent"], "down"),
        (["ok", "silent"], "ok"),
        (["silent"], "silent"),
        (["loss", "ok"], "loss"),
        (["doubt", "ok"], "doubt"),
        (["doubt", "loss"], "loss"),
        (["doubt", "silent"], "doubt"),
        (["doubt", "down"], "down"),
    ],
)
def test_several_agents_together(states: list[str], expected: str) -> None:
    assert verdict([Sight(str(k), state, None) for k, state in enumerate(states)]) == expected  # type: ignore[arg-type]


def test_an_agent_in_doubt_that_had_an_answer_shows_that_the_target_is_up() -> None:
    half, none = (judge("b", newest(received=received, flags=Flag.OWN_DROPS), 60, NOW) for received in (10, 0))
    down = judge("a", newest(received=0), 60, NOW)
    assert (verdict([down, half]), verdict([down, none])) == ("loss", "down")


def test_rounds_that_wait_for_the_next_upload_are_not_late() -> None:
    agents = {f"a{k}": Agent(name=f"a{k}", display_name="", location="") for k in range(1200)}
    many = replace(world.settings(), agents=agents, upload_interval=5.0)
    assert upload_interval(many) == pytest.approx(120, abs=1)
    assert make_assignments(many)["a7"].upload_interval == upload_interval(many)
    assert judge("a", newest(age=320), 60.0, NOW, grace=patience(many)).state == "ok"
    assert judge("a", newest(age=340), 60.0, NOW, grace=patience(many)).state == "silent"
    seen = Board(Asked(), lambda: NOW + 290 * NANO, lambda target: [Numbered(task_of(target))])  # type: ignore[arg-type]
    assert seen.now(many).states["/office"] == "ok"
    assert seen.now(world.settings()).states["/office"] == "silent"


def test_a_place_is_as_bad_as_its_worst() -> None:
    counts = tally(world.TREE, {"/changzhou/gateway": "down", "/office": "ok"})
    assert (counts.state, counts.counts["down"], counts.counts["ok"]) == ("down", 1, 1)
    assert worst([]) == "ok"


class Asked:
    """A store that counts how often it is asked for the newest rounds."""

    def __init__(self) -> None:
        self.times = 0

    def latest(self, tasks: list[int], since: int, now: int | None = None) -> list[Latest]:
        self.times += 1
        return [newest(task=task, agent="boomer") for task in tasks]


def board(store: Asked, clock: list[int]) -> Board:
    return Board(store, lambda: clock[0], lambda target: [Numbered(task_of(target))])  # type: ignore[arg-type]


def test_the_store_is_asked_once_for_everybody_who_looks() -> None:
    store, clock, settings = Asked(), [NOW], world.settings()
    seen = board(store, clock)
    assert seen.now(settings).states["/office"] == "ok"
    clock[0] += NANO
    seen.now(settings)
    assert store.times == 1
    clock[0] += 2 * NANO
    seen.now(settings)
    assert store.times == 2


def test_a_clock_that_was_set_back_does_not_keep_an_old_answer() -> None:
    store, clock, settings = Asked(), [NOW], world.settings()
    seen = board(store, clock)
    seen.now(settings)
    clock[0] -= 3600 * NANO
    seen.now(settings)
    assert store.times == 2


def test_a_new_configuration_is_seen_at_once() -> None:
    store, clock, settings = Asked(), [NOW], world.settings()
    seen = board(store, clock)
    seen.now(settings)
    fresh = replace(settings, tree=replace(settings.tree, children=settings.tree.children[:1]))
    assert "/office" not in seen.now(fresh).states
    assert store.times == 2


def test_an_address_a_name_has_no_more_is_no_news() -> None:
    target = Target(path="/x", host="x.example", probe="ping", agents=("a", "b"), addresses="all")
    snapshot = replace(
        Board(Asked(), lambda: NOW, lambda _: []).now(replace(world.settings(), tree=world.TREE.children[2])),  # type: ignore[arg-type]
        tasks={"/x": [Numbered(1, "192.0.2.1"), Numbered(2, "192.0.2.2")]},
        latest={(2, "a"): newest(task=2)},
    )
    assert [(s.agent, s.address, s.state) for s in snapshot.sights(target)] == [
        ("a", "192.0.2.2", "ok"), ("b", "192.0.2.1", "silent"),
    ]  # fmt: skip


def test_a_silent_agent_is_told_though_another_sees_the_target() -> None:
    heard, unheard = judge("a", newest(), 60.0, NOW), judge("b", None, 60.0, NOW)
    assert verdict([heard, unheard]) == "ok"
    assert quiet([heard, unheard]) == {"b"}
    # One address without an answer of late does not make its agent silent.
    assert quiet([heard, judge("a", None, 60.0, NOW, "192.0.2.2")]) == set()
