"""Incidents: opened, told, kept quiet and ended, round by round; all with the time handed in."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from smokemesh.master.alert_book import Book
from smokemesh.master.metrics import Label
from smokemesh.model.alert import Alert, Alerting, Incident, Notice, Silence
from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.incidents import StoredState

SECOND = 10**9
STEP = 60
#: When the first round begins.
T0 = 1_700_000_000 * SECOND

LOSS = Alert(name="lossy", type="loss", pattern=">50%,>50%", to=("noc@example.net",), comment="two bad rounds")


def settings(
    *alerts: Alert, targets: Iterable[Target] = (), alerting: Alerting | None = None, agents: tuple[str, ...] = ("a",)
) -> MasterSettings:
    """A tree of one target `/x` with all alerts, or of those given."""
    names = tuple(alert.name for alert in alerts)
    plain = Target(path="/x", host="192.0.2.1", probe="ping", agents=agents, alerts=names, alertee=("x@example.net",))
    nodes = tuple(
        Node(path=target.path, menu="", title=f"title of {target.path}", target=target)
        for target in (tuple(targets) or (plain,))
    )
    return MasterSettings(
        probes={"ping": Probe(name="ping", step=STEP)},
        tree=Node(path="/", menu="", title="", children=nodes),
        alerts={alert.name: alert for alert in alerts},
        alerting=alerting or Alerting(to=("all@example.net",)),
    )


class World:
    """A book, its clock, and what it would have written down."""

    def __init__(self, of: MasterSettings, variants: dict[int, Label] | None = None) -> None:
        self.variants = variants or {}
        self.settings, self.book, self.now = of, Book(lambda: self.variants), T0
        self.notices: list[Notice] = []
        self.incidents: dict[int, Incident] = {}
        self.states: dict[Any, StoredState] = {}
        self.book.configure(of, T0)

    def round(self, lost: int, minute: float, *, agent: str = "a", path: str = "/x", **more: Any) -> None:
        """A round of ten pings that begins at that minute, judged when it has ended."""
        time = T0 + round(minute * 60) * SECOND
        self.now = max(self.now, time + more.pop("delay", 10) * SECOND)
        rtt = more.pop("rtt", 0.01)
        rtts = [float("nan")] * lost + [rtt] * (10 - lost)
        columns = {
            "task": [task_id(path, "ping", more.pop("address", ""))],
            "time": [time],
            "step": [STEP],
            "sent": [10],
            "received": [10 - lost],
        }
        self.book.take(agent, RoundBatch.from_columns(1, {**columns, "rtts": rtts, **more}), self.now)
        self.keep()

    def rounds(self, *lost: int, first: int = 0, **more: Any) -> None:
        for minute, one in enumerate(lost, first):
            self.round(one, minute, **more)

    def tick(self, minute: float) -> None:
        self.now = T0 + round(minute * 60) * SECOND
        self.book.tick(self.now)
        self.keep()

    def configure(self, of: MasterSettings) -> None:
        self.settings = of
        self.book.configure(of, self.now)
        self.keep()

    def keep(self) -> None:
        """As the catalogue does."""
        found = self.book.findings()
        for case in found.cases:
            number = case.incident.id or len(self.incidents) + 1
            case.incident, case.changed = replace(case.incident, id=number), False
            self.incidents[number] = case.incident
        for key in found.gone:
            self.states.pop(key, None)
        for holder, state in found.states:
            self.states[state.key] = replace(state, incident=holder.incident.id) if holder else state
        self.notices += [replace(notice, incident=case.incident.id) for case, notice in found.notices]
        self.book.kept()

    def restart(self, of: MasterSettings | None = None) -> None:
        """A new book of what was kept, which went through JSON."""
        self.settings = of or self.settings
        kept = [replace(state, memory=json.loads(json.dumps(state.memory))) for state in self.states.values()]
        self.book = Book(lambda: self.variants)
        self.book.configure(self.settings, self.now)
        self.book.restore(kept, [one for one in self.incidents.values() if not one.ended], self.now)
        self.keep()

    @property
    def told(self) -> list[str]:
        return [f"{notice.alert} {notice.what}" for notice in self.notices]

    @property
    def last(self) -> Incident:
        return self.incidents[max(self.incidents)]


def test_a_pattern_raises_and_clears_one_incident() -> None:
    world = World(settings(LOSS))
    world.rounds(0, 9, 10, 8, 2, 0)
    assert world.told == ["lossy raised", "lossy cleared"]
    raised, cleared = world.notices
    assert raised.incident == cleared.incident == 1
    assert raised.to == ("all@example.net", "x@example.net", "noc@example.net")
    assert (raised.target, raised.title, raised.host, raised.agents) == ("/x", "title of /x", "192.0.2.1", ("a",))
    assert raised.loss == pytest.approx((0.9, 1.0))
    assert raised.pattern == ">50%,>50%"
    assert raised.begun == cleared.begun == T0 + 2 * 60 * SECOND
    assert (raised.time, cleared.time) == (raised.begun, T0 + 4 * 60 * SECOND)
    incident = world.last
    assert (incident.begun, incident.ended) == (raised.begun, cleared.time)
    assert incident.rounds == 2
    assert incident.worst_loss == 1.0
    assert incident.worst_rtt == pytest.approx(0.01)
    assert incident.muted == ""


def test_the_start_of_measuring_is_told() -> None:
    world = World(settings(replace(LOSS, pattern="==S,>50%")))
    world.rounds(10, 10)
    assert [notice.from_start for notice in world.notices] == [True, False]
    assert world.notices[0].loss == (1.0,)


def test_without_edges_every_bad_round_is_told() -> None:
    world = World(settings(replace(LOSS, edge=False)))
    world.rounds(9, 9, 9, 9, 0)
    assert world.told == ["lossy active"] * 3
    assert world.last.ended


def test_each_agent_is_judged_on_its_own() -> None:
    world = World(settings(LOSS, agents=("a", "b")))
    world.rounds(9, 9)
    world.rounds(0, 0, agent="b")
    assert [notice.agents for notice in world.notices] == [("a",)]


def test_a_round_is_judged_once_and_old_ones_never() -> None:
    world = World(settings(LOSS))
    world.round(9, 1)
    world.round(9, 1)
    world.round(9, 0)
    assert world.told == []
    assert world.book.counters.stale == 2
    world.round(9, 2)
    assert world.told == ["lossy raised"]


@pytest.mark.parametrize("flag", [Flag.OWN_DROPS, Flag.CLOCK_STEPPED, Flag.VANTAGE_DEGRADED])
def test_what_may_be_the_agents_fault_is_not_blamed_on_the_target(flag: Flag) -> None:
    world = World(settings(LOSS))
    world.rounds(9, 9, flags=[int(flag)])
    assert world.told == []
    world.rounds(9, 9, first=2)
    assert world.told == ["lossy raised"]


@pytest.mark.parametrize("compat", ["", "smokeping"])
def test_a_round_for_which_the_agent_had_no_time_ends_nothing(compat: str) -> None:
    down = Alert(name="down", type="loss", pattern=">50%")
    world = World(settings(down, alerting=Alerting(compat=compat, edge=True)))
    world.rounds(0, 10)
    world.round(10, 2, sent=[0], received=[0], rtts=[], flags=[int(Flag.OWN_DELAY)])
    world.round(10, 3)
    assert world.told == ["down raised"]
    world.round(0, 4, sent=[2], received=[2], rtts=[0.01, 0.01], flags=[int(Flag.OWN_DELAY)])
    assert world.told == ["down raised", "down cleared"]


def test_own_drops_do_not_hide_that_all_came_back() -> None:
    world = World(settings(LOSS))
    world.rounds(9, 9)
    world.round(0, 2, flags=[int(Flag.OWN_DROPS)])
    assert world.told == ["lossy raised", "lossy cleared"]


def test_a_name_that_does_not_resolve_is_a_loss() -> None:
    world = World(settings(LOSS))
    for minute in range(2):
        world.round(10, minute, sent=[0], received=[0], rtts=[], flags=[int(Flag.UNRESOLVED)])
    assert world.told == ["lossy raised"]


# --- what came late


def test_rounds_of_the_past_open_incidents_that_nobody_is_told_of() -> None:
    world = World(settings(LOSS))
    world.now = T0 + 3600 * SECOND
    world.rounds(9, 9, 9, 0)
    assert world.told == []
    assert (world.last.muted, bool(world.last.ended)) == ("late", True)
    assert "these rounds came late" in world.last.detail


def test_what_is_still_bad_when_the_present_is_reached_is_told() -> None:
    world = World(settings(LOSS))
    world.now = T0 + 3600 * SECOND
    world.rounds(*[9] * 50)
    assert world.told == []
    world.rounds(*[9] * 10, first=50)
    assert world.told == ["lossy raised"]
    assert world.notices[0].begun == T0 + 60 * SECOND
    assert world.last.muted == ""


# --- restarts


def test_a_restart_changes_no_judgement() -> None:
    lost = [0, 9, 9, 9, 0, 0, 9, 0, 9, 9, 0, 9, 10, 10, 0]
    through, again = World(settings(LOSS)), World(settings(LOSS))
    for minute, one in enumerate(lost):
        through.round(one, minute)
        again.round(one, minute)
        again.restart()
        again.round(one, minute)  # the store gives it again
    assert repr(again.notices) == repr(through.notices)  # NaN is not equal to NaN
    assert repr(again.incidents) == repr(through.incidents)


def test_an_incident_of_a_rule_that_went_or_changed_meanwhile_ends() -> None:
    for of, said in ((settings(replace(LOSS, pattern=">90%")), "changed"), (settings(), "changed")):
        world = World(settings(LOSS))
        world.rounds(9, 9)
        world.restart(of)
        assert world.last.ended
        assert said in world.last.detail


def test_rules_that_count_time_and_learn_go_on_after_a_restart() -> None:
    slow = Alert(name="slow", type="threshold", measure="median", above=0.1, wait=180)
    odd = Alert(name="odd", type="deviation", measure="median", factor=5, baseline=86400)
    world = World(settings(slow, odd))
    for minute in range(40):
        world.round(0, minute, rtt=0.01 + minute % 3 * 0.001)
        world.restart()
    for minute in range(40, 46):
        world.round(0, minute, rtt=0.2)
        world.restart()
    assert world.told == ["odd raised", "slow raised"]
    assert [notice.time for notice in world.notices] == [T0 + minute * 60 * SECOND for minute in (40, 43)]


# --- the settings change


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (settings(replace(LOSS, pattern=">90%")), "alert changed"),
        (settings(), "alert removed from the target"),
        (settings(LOSS, targets=[Target(path="/y", host="192.0.2.2", probe="ping", agents=("a",))]), "target removed"),
        (settings(LOSS, agents=("b",)), "agent a no longer measures the target"),
    ],
)
def test_what_is_judged_no_more_ends_with_the_reason(after: MasterSettings, why: str) -> None:
    world = World(settings(LOSS))
    world.rounds(9, 9)
    world.configure(after)
    assert why in world.last.detail
    assert world.told == ["lossy raised", "lossy cleared"]
    assert why in world.notices[-1].detail
    assert not [key for key in world.states if key[2]]


def test_what_is_told_at_every_round_has_no_end_to_tell() -> None:
    world = World(settings(replace(LOSS, edge=False)))
    world.rounds(9, 9)
    world.configure(settings())
    assert world.told == ["lossy active"]
    assert world.last.ended


def test_other_words_change_no_judgement() -> None:
    world = World(settings(LOSS))
    world.rounds(9, 9)
    world.configure(settings(replace(LOSS, comment="other", to=("late@example.net",))))
    world.round(0, 2)
    assert world.told == ["lossy raised", "lossy cleared"]
    assert world.notices[-1].to[-1] == "late@example.net"


# --- silences, priorities, repetition


def test_a_silence_keeps_quiet_and_what_outlasts_it_is_told() -> None:
    world = World(settings(LOSS))
    world.book.hush.silences = [Silence(id=7, begin=0, end=1, target="/x*", alert="*", agent="a")]
    world.rounds(9, 9, 9)
    assert world.told == []
    assert world.last.muted == "silence:7"
    world.book.hush.silences = []
    world.tick(2.5)
    assert world.told == ["lossy raised"]
    world.book.hush.silences = [Silence(id=8, begin=0, end=1, target="/y", alert="*", agent="*")]
    world.round(0, 3)
    assert world.told == ["lossy raised", "lossy cleared"]


def test_the_end_of_what_was_told_is_told_in_a_silence_too() -> None:
    world = World(settings(LOSS))
    world.rounds(9, 9)
    world.book.hush.silences = [Silence(id=8, begin=0, end=1, target="*", alert="*", agent="*")]
    world.round(0, 2)
    assert world.told == ["lossy raised", "lossy cleared"]


FIRST = replace(LOSS, name="first", priority=1, pattern=">70%")
SECOND_ONE = replace(LOSS, name="second", priority=2, pattern=">50%")
OTHER = replace(LOSS, name="other", priority=0, pattern=">50%")


def test_priority_speaks_once_as_smokeping_has_it() -> None:
    world = World(settings(SECOND_ONE, FIRST, OTHER, alerting=Alerting(compat="smokeping")))
    world.rounds(9, 6, 0)
    # At once: `first` speaks before `second`. Then `first` is cleared, and `second` a round later.
    assert world.told == ["other raised", "first raised", "first cleared", "other cleared", "second cleared"]


def test_what_gave_way_is_heard_when_the_other_has_ended() -> None:
    world = World(settings(SECOND_ONE, FIRST))
    world.round(9, 0)
    assert world.told == ["first raised"]
    assert [one.muted for one in world.incidents.values()] == ["", "priority:first"]
    world.round(6, 1)
    assert world.told == ["first raised", "first cleared", "second raised"]


def test_it_is_told_again_while_it_lasts() -> None:
    world = World(settings(replace(LOSS, repeat=300)))
    world.rounds(*[9] * 14)
    assert world.told == ["lossy raised", "lossy active", "lossy active"]


# --- parents


CORE = Target(path="/core", host="192.0.2.9", probe="ping", agents=("a",), alerts=("lossy",))
EDGE = Target(path="/edge", host="192.0.2.8", probe="ping", agents=("a",), parents=("/core",))
LEAF = Target(path="/leaf", host="192.0.2.7", probe="ping", agents=("a",), alerts=("lossy",), parents=("/edge",))
TREE = settings(LOSS, targets=[CORE, EDGE, LEAF])


def test_a_child_is_explained_by_a_parent_that_is_down() -> None:
    world = World(TREE)
    for minute in range(3):
        world.round(10, minute, path="/core")
        world.round(10, minute + 0.1, path="/leaf")
    assert [notice.target for notice in world.notices] == ["/core"]
    assert world.last.muted == "parent:/core"
    assert "/core, without which it cannot be reached, is down" in world.last.detail


def test_a_child_judged_before_its_parent_waits_for_it() -> None:
    world = World(TREE)
    for minute, lost in enumerate((0, 10, 10)):
        for path, late in (("/leaf", 0), ("/edge", 0.2), ("/core", 0.4)):
            world.round(lost if path != "/leaf" or minute else 10, minute + late, path=path)
    assert [notice.target for notice in world.notices] == ["/core"]
    assert [one.muted for one in world.incidents.values() if one.target == "/leaf"] in (
        ["parent:/core"],
        ["parent:/edge"],
    )


def test_a_child_is_told_when_its_parents_are_well() -> None:
    world = World(TREE)
    for minute in range(2):
        world.round(10, minute, path="/leaf")
        world.round(0, minute + 0.2, path="/edge")
        world.round(0, minute + 0.4, path="/core")
    assert world.told == []
    world.tick(2)
    assert [notice.target for notice in world.notices] == ["/leaf"]


def test_no_parent_holds_a_notice_longer_than_its_step() -> None:
    world = World(TREE)
    world.round(0, 0, path="/core")
    world.rounds(10, 10, path="/leaf", first=1)
    world.tick(3)
    assert world.told == []
    world.tick(3.5)
    assert world.told == ["lossy raised"]


def test_a_child_still_bad_after_its_parent_recovered_is_told() -> None:
    world = World(TREE)
    for minute, core in enumerate((10, 10, 0, 0)):
        world.round(core, minute, path="/core")
        world.round(core, minute + 0.1, path="/edge")
        world.round(10, minute + 0.2, path="/leaf")
    world.tick(4)
    assert [(notice.target, notice.what) for notice in world.notices] == [
        ("/core", "raised"),
        ("/core", "cleared"),
        ("/leaf", "raised"),
    ]


# --- agents together, and agents that are silent


def test_enough_agents_must_agree() -> None:
    world = World(settings(replace(LOSS, quorum=2), agents=("a", "b", "c")))
    for minute, lost in enumerate([(9, 0, 0), (9, 9, 0), (9, 9, 0), (9, 9, 9), (0, 9, 0)]):
        for agent, one in zip("abc", lost, strict=True):
            world.round(one, minute, agent=agent)
    assert world.told == ["lossy raised", "lossy cleared"]
    assert world.notices[0].agents == ("a", "b")
    assert len(world.incidents) == 1


def test_a_quorum_beyond_the_agents_is_all_of_them() -> None:
    world = World(settings(replace(LOSS, quorum=5), agents=("a", "b")))
    world.rounds(9, 9)
    assert world.told == []
    world.rounds(9, 9, agent="b")
    assert world.told == ["lossy raised"]


def test_silence_of_an_agent_is_judged_by_the_clock() -> None:
    world = World(settings(Alert(name="quiet", type="silent", wait=300)))
    world.rounds(0, 0)
    world.tick(5)
    assert world.told == []
    world.tick(6.5)
    world.restart()
    world.tick(7)
    assert world.told == ["quiet raised"]
    world.round(0, 8)
    assert world.told == ["quiet raised", "quiet cleared"]


def test_an_agent_never_heard_is_silent_too() -> None:
    world = World(settings(Alert(name="quiet", type="silent", wait=300)))
    world.tick(5)
    assert world.told == []
    world.tick(5.5)
    assert world.told == ["quiet raised"]


def test_each_address_of_a_name_is_judged_on_its_own() -> None:
    name = Target(
        path="/many", host="many.example.net", probe="ping", agents=("a",), addresses="all", alerts=("lossy", "quiet")
    )
    of = settings(LOSS, Alert(name="quiet", type="silent", wait=300), targets=[name])
    addresses = ("192.0.2.1", "192.0.2.2")
    world = World(of, {task_id("/many", "ping", one): Label("/many", "ping", one) for one in addresses})
    for minute in range(2):
        world.round(9, minute, path="/many", address=addresses[0])
        world.round(0, minute, path="/many", address=addresses[1])
    assert [(notice.alert, notice.host) for notice in world.notices] == [("lossy", addresses[0])]
    world.configure(of)
    world.restart()
    world.round(0, 2, path="/many", address=addresses[0])
    assert world.told == ["lossy raised", "lossy cleared"]
    world.tick(30)
    assert sorted(notice.host for notice in world.notices if notice.alert == "quiet") == [*addresses]
