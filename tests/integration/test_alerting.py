"""Alerts judged on a real store and a real catalogue: once each, whatever dies when."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from smokemesh.errors import StoreError
from smokemesh.master import alerting as module
from smokemesh.master.alerting import Alerting
from smokemesh.model.alert import Alert, Delivery, Incident, Silence
from smokemesh.model.alert import Alerting as Settings
from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.alert_log import AlertLog
from smokemesh.storage.catalogue import Catalogue, open_catalogue
from smokemesh.storage.incidents import Case, Findings, Incidents
from smokemesh.storage.outbox import Outbox
from smokemesh.storage.rounds import ClickHouseRounds, open_rounds

SECOND = 10**9
STEP = 10
LOSSY = Alert(name="lossy", type="loss", pattern=">50%,*2*,>50%", to=("noc@example.net",))
SLOW = Alert(name="slow", type="matcher", pattern="CheckLatency(l => 100, x => 2)", edge=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseRounds]:
    opened = open_rounds(f"chdb://{tmp_path_factory.mktemp('rounds')}/rounds")
    yield opened
    opened.close()


@pytest.fixture
def new_catalogue(tmp_path: Path) -> Iterator[Callable[[], Catalogue]]:
    opened: list[Catalogue] = []

    def make() -> Catalogue:
        opened.append(open_catalogue(f"sqlite:///{tmp_path}/{len(opened)}.db"))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


class Clock:
    """Time as it is told; each test has its own hour, so that they share a store."""

    hours = 0

    def __init__(self) -> None:
        Clock.hours += 1
        self.first = self.now = (time.time_ns() // (86400 * SECOND) * 86400 - Clock.hours * 3600) * SECOND

    def __call__(self) -> int:
        return self.now


def settings(*paths: str, alerts: tuple[Alert, ...] = (LOSSY, SLOW)) -> MasterSettings:
    names = tuple(alert.name for alert in alerts)
    targets = [Target(path=path, host="192.0.2.1", probe="ping", agents=("a",), alerts=names) for path in paths]
    return MasterSettings(
        probes={"ping": Probe(name="ping", step=STEP)},
        tree=Node(
            path="/", menu="", title="", children=tuple(Node(path=t.path, menu="", title="", target=t) for t in targets)
        ),
        alerts={alert.name: alert for alert in alerts},
        alerting=Settings(to=("all@example.net",)),
    )


def batch(clock: Clock, *rounds: tuple[str, int, int, float]) -> RoundBatch:
    """Rounds as (path, number, pings lost of ten, RTT)."""
    rtts = [value for _, _, lost, rtt in rounds for value in [float("nan")] * lost + [rtt] * (10 - lost)]
    columns: dict[str, Any] = {
        "task": [task_id(path, "ping") for path, *_ in rounds],
        "time": [clock.first + number * STEP * SECOND for _, number, *_ in rounds],
        "step": [STEP] * len(rounds),
        "sent": [10] * len(rounds),
        "received": [10 - lost for _, _, lost, _ in rounds],
        "rtts": rtts,
    }
    return RoundBatch.from_columns(len(rounds), columns)


def judge(store: ClickHouseRounds, catalogue: Catalogue, clock: Clock, of: MasterSettings) -> Alerting:
    return Alerting(store, catalogue, of, clock=clock)


def outcome(catalogue: Catalogue) -> tuple[list[Incident], list[Delivery]]:
    return [*AlertLog(catalogue).incidents()], [*Outbox(catalogue).list(most=1000)]


def test_a_stored_round_raises_an_incident_and_a_notice(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue]
) -> None:
    catalogue, clock = new_catalogue(), Clock()
    alerting = judge(store, catalogue, clock, settings("/one"))
    alerting.step()
    for number, lost in enumerate((0, 9, 0, 9, 0, 0, 0)):
        clock.now = clock.first + number * STEP * SECOND + SECOND
        alerting.publish("a", batch(clock, ("/one", number, lost, 0.02)))
        alerting.step()
    (incident,), deliveries = outcome(catalogue)
    assert (incident.target, incident.alert, incident.agents, incident.rounds) == ("/one", "lossy", ("a",), 1)
    assert (incident.begun, incident.ended) == tuple(clock.first + n * STEP * SECOND for n in (3, 4))
    assert [(one.what, one.receiver, one.incident) for one in reversed(deliveries)] == [
        (what, "all@example.net, noc@example.net", incident.id) for what in ("raised", "cleared")
    ]


@pytest.mark.parametrize("seed", range(2))
def test_what_dies_at_any_moment_loses_nothing_and_tells_nothing_twice(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue], seed: int
) -> None:
    dice, clock = random.Random(seed), Clock()
    paths = tuple(f"/{name}{seed}" for name in "pqr")
    of = settings(*paths)
    story = [[(path, dice.choice([0, 0, 9]), dice.choice([0.02, 0.02, 0.2])) for path in paths] for _ in range(30)]
    calm, torn = new_catalogue(), new_catalogue()
    through, again = judge(store, calm, clock, of), judge(store, torn, clock, of)
    through.step()
    again.step()
    for number, rounds in enumerate(story):
        clock.now = clock.first + number * STEP * SECOND + SECOND
        fresh = batch(clock, *((path, number, lost, rtt) for path, lost, rtt in rounds))
        store.insert("a", fresh, f"{seed}/{clock.first}/{number}")
        through.publish("a", fresh)
        through.step()
        # It dies before it hears of the rounds, before it writes them down, or not at all.
        fate = dice.random()
        if fate > 0.3:
            again.publish("a", fresh)
        if fate > 0.6:
            again.step()
        else:
            again = judge(store, torn, clock, of)
            again.step()
    again.keep(clock.now)
    through.keep(clock.now)
    calm_incidents, calm_told = outcome(calm)
    torn_incidents, torn_told = outcome(torn)
    assert len(calm_incidents) > 3
    assert repr(sorted(map(without_number, torn_incidents))) == repr(sorted(map(without_number, calm_incidents)))
    assert sorted(one.what for one in torn_told) == sorted(one.what for one in calm_told)
    assert len({one.key for one in torn_told}) == len(torn_told)


def without_number(incident: Incident) -> tuple[Any, ...]:
    return (incident.target, incident.alert, incident.begun, incident.ended, incident.rounds, incident.worst_loss)


def test_rounds_beyond_the_queue_are_read_back(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_QUEUED", 3)
    catalogue, clock = new_catalogue(), Clock()
    alerting = judge(store, catalogue, clock, settings("/many"))
    alerting.step()
    clock.now = clock.first + 6 * STEP * SECOND
    for number in range(1, 6):
        fresh = batch(clock, ("/many", number, 9, 0.02))
        store.insert("a", fresh, f"many/{clock.first}/{number}")
        alerting.publish("a", fresh)
    alerting.step()
    alerting.keep(clock.now)
    (incident,), deliveries = outcome(catalogue)
    assert incident.rounds == 4
    assert [one.what for one in deliveries] == ["raised"]


def put(store: ClickHouseRounds, alerting: Alerting | None, clock: Clock, path: str, *rounds: tuple[int, int]) -> None:
    """One batch of rounds (number, pings lost) comes in, and the judge hears of it."""
    fresh = batch(clock, *((path, number, lost, 0.02) for number, lost in rounds))
    store.insert("a", fresh, f"{path}/{clock.first}/{rounds}")
    if alerting is not None:
        alerting.publish("a", fresh)


def test_no_round_overtakes_those_an_earlier_run_left(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue]
) -> None:
    """They come in before the judge has read back what was stored and never judged."""
    catalogue, clock = new_catalogue(), Clock()
    alerting = judge(store, catalogue, clock, settings("/early"))
    alerting.step()
    put(store, alerting, clock, "/early", (0, 0))
    alerting.step()
    alerting.keep(clock.now)
    for number, lost in ((1, 9), (2, 0), (3, 9)):
        put(store, None, clock, "/early", (number, lost))
    clock.now = clock.first + 5 * STEP * SECOND
    restarted = judge(store, catalogue, clock, settings("/early"))
    put(store, restarted, clock, "/early", (4, 0))
    restarted.step()
    (incident,), _ = outcome(catalogue)
    assert incident.begun == clock.first + 3 * STEP * SECOND
    assert incident.ended == clock.first + 4 * STEP * SECOND


def test_no_round_overtakes_those_beyond_the_queue(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_QUEUED", 3)
    catalogue, clock = new_catalogue(), Clock()
    alerting = judge(store, catalogue, clock, settings("/over"))
    alerting.step()
    clock.now = clock.first + 7 * STEP * SECOND
    put(store, alerting, clock, "/over", (1, 0))
    put(store, alerting, clock, "/over", (2, 0))
    put(store, alerting, clock, "/over", (3, 9), (4, 9))  # too many
    put(store, alerting, clock, "/over", (5, 0))  # there would be room
    alerting.step()
    alerting.keep(clock.now)
    (incident,), _ = outcome(catalogue)
    assert [(incident.begun - clock.first) // STEP // SECOND, (incident.ended - clock.first) // STEP // SECOND] == [
        4,
        5,
    ]
    put(store, alerting, clock, "/over", (6, 9))  # and now there is
    alerting.step()
    assert alerting.book.counters.rounds == 6


@pytest.mark.parametrize(("sent", "muted", "told"), [(0, "", ["raised"]), (10, "parent:{}", [])])
@pytest.mark.parametrize("name", ["child", "kind", "enfant", "figlio"])  # in whatever order they are read back
def test_what_is_read_back_is_explained_by_parents_that_are_down(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue], name: str, sent: int, muted: str, told: list[str]
) -> None:
    """Those an agent had no time for explain nothing."""
    catalogue, clock = new_catalogue(), Clock()
    above, name = f"/{name}{sent}/parent", f"/{name}{sent}/child"
    plain = settings(above, name, alerts=(LOSSY,))
    parent, child = plain.tree.children
    assert child.target is not None
    child = replace(child, target=replace(child.target, parents=(above,)))
    of = replace(plain, tree=replace(plain.tree, children=(parent, child)))
    judge(store, catalogue, clock, of).step()
    for number in (1, 2):
        put(store, None, clock, name, (number, 9))
    whole = batch(clock, (above, 3, 10, 0.0))
    columns: dict[str, Any] = {
        "task": whole.task,
        "time": whole.time,
        "step": whole.step,
        "flags": [int(Flag.OWN_DELAY)],
    }
    columns |= {"sent": [sent], "received": [0], "rtts": [float("nan")] * sent}
    store.insert("a", RoundBatch.from_columns(1, columns), f"unsent/{clock.first}")
    clock.now = clock.first + 4 * STEP * SECOND
    judge(store, catalogue, clock, of).step()
    (incident,), deliveries = outcome(catalogue)
    assert (incident.target, incident.muted, [one.what for one in deliveries]) == (name, muted.format(above), told)


def test_a_first_round_that_is_refused_is_judged_when_it_is_read_back(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue]
) -> None:
    """It began before this master did, which has never heard of the pair."""
    catalogue, clock = new_catalogue(), Clock()
    clock.now = clock.first + 3 * STEP * SECOND
    alerting = judge(store, catalogue, clock, settings("/first"))
    put(store, alerting, clock, "/first", (2, 0))
    alerting.step()
    assert alerting.book.counters.rounds == 1


@contextmanager
def out_of_order(catalogue: Catalogue) -> Iterator[None]:
    """The catalogue answers no question about silences."""
    with catalogue.transaction() as connection:
        connection.execute(text("ALTER TABLE silences RENAME TO hidden"))
    yield
    with catalogue.transaction() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO silences"))


def test_a_catalogue_that_does_not_answer_loses_no_round_and_no_settings(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue]
) -> None:
    catalogue, clock = new_catalogue(), Clock()
    alerting = judge(store, catalogue, clock, settings("/locked", alerts=(LOSSY,)))
    alerting.step()
    for number, lost in enumerate((0, 9, 0, 9, 0)):
        clock.now = clock.first + number * STEP * SECOND + SECOND
        put(store, alerting, clock, "/locked", (number, lost))
        if number == 3:
            with out_of_order(catalogue), pytest.raises(StoreError):
                alerting.step()
        alerting.step()
    alerting.configure(settings("/other"))
    with out_of_order(catalogue), pytest.raises(StoreError):
        alerting.step()
    alerting.step()
    (incident,), _ = outcome(catalogue)
    assert (incident.begun - clock.first, incident.rounds) == (3 * STEP * SECOND, 1)
    assert (alerting.book.counters.rounds, alerting.book.watched()) == (5, {task_id("/other", "ping")})


def test_it_ends_whatever_the_catalogue_does(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)
    monkeypatch.setattr(module, "RETRY", 60.0)
    catalogue, clock = new_catalogue(), Clock()
    alerting = judge(store, catalogue, clock, settings("/end"))
    with out_of_order(catalogue):
        alerting.start()
        closing = threading.Thread(target=alerting.close, daemon=True)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()


def test_a_round_that_cannot_be_judged_keeps_no_other_waiting(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue, clock = new_catalogue(), Clock()
    alerting = judge(store, catalogue, clock, settings("/bad", "/good"))
    alerting.step()
    take = alerting.book.take

    def fail(agent: str, rounds: RoundBatch, now: int) -> None:
        if task_id("/bad", "ping") in rounds.task.tolist():
            raise ZeroDivisionError
        take(agent, rounds, now)

    monkeypatch.setattr(alerting.book, "take", fail)
    clock.now = clock.first + 4 * STEP * SECOND
    fresh = batch(clock, ("/bad", 1, 0, 0.02), ("/good", 1, 0, 0.02))
    store.insert("a", fresh, f"bad/{clock.first}")
    alerting.publish("a", fresh)
    with pytest.raises(ZeroDivisionError):
        alerting.step()
    put(store, alerting, clock, "/good", (2, 0))  # not before the first, which is still to be read back
    alerting.step()
    assert alerting.book.counters.rounds == 2


def test_what_is_very_old_is_forgotten(store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue]) -> None:
    catalogue, clock = new_catalogue(), Clock()
    day = 86400 * SECOND
    log = AlertLog(catalogue)
    for target, over in (("/old", 366 * day), ("/young", 364 * day), ("/now", -day)):
        log.add_silence(Silence(id=0, begin=1, end=clock.now - over, target=target))
    known = Incident(id=0, alert="gone", target="/x", probe="ping", agents=("a",), begun=1)
    for ended in (clock.now - 731 * day, clock.now - 729 * day):
        Incidents(catalogue).keep(Findings(cases=[Case(replace(known, ended=ended))]), clock.now)
    alerting = judge(store, catalogue, clock, settings("/forget"))
    alerting.step()
    assert [one.target for one in log.silences()] == ["/now", "/young"]
    (incident,), _ = outcome(catalogue)
    assert incident.ended == clock.now - 729 * day
    clock.now += 2 * day
    alerting.step()
    assert (outcome(catalogue)[0], [one.target for one in log.silences()]) == ([], ["/now"])


def test_the_thread_judges_and_keeps_all_before_it_ends(
    store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue]
) -> None:
    catalogue, clock = new_catalogue(), Clock()
    woken: list[int] = []
    of = settings("/thread")
    alerting = Alerting(store, catalogue, of, wake=lambda: woken.append(1), clock=clock)
    alerting.start()
    clock.now += 5 * STEP * SECOND
    for number in range(1, 4):
        put(store, alerting, clock, "/thread", (number, 9))
    alerting.configure(settings("/thread", alerts=(SLOW,)))
    alerting.close()
    (incident,), deliveries = outcome(catalogue)
    assert [one.what for one in reversed(deliveries)] == ["raised", "cleared"]
    assert incident.detail.endswith("ended: alert removed")
    assert woken


def test_a_silence_in_the_catalogue_holds(store: ClickHouseRounds, new_catalogue: Callable[[], Catalogue]) -> None:
    catalogue, clock = new_catalogue(), Clock()
    silence = AlertLog(catalogue).add_silence(
        Silence(id=0, begin=clock.first, end=clock.first + 35 * SECOND, target="/quiet")
    )
    alerting = judge(store, catalogue, clock, settings("/quiet", alerts=(LOSSY,)))
    alerting.step()
    for number in range(1, 4):
        clock.now = clock.first + number * STEP * SECOND
        alerting.publish("a", batch(clock, ("/quiet", number, 9, 0.02)))
        alerting.step()
    (incident,), deliveries = outcome(catalogue)
    assert (incident.muted, deliveries) == (f"silence:{silence.id}", [])
    clock.now = clock.first + 40 * SECOND
    alerting.step()
    (incident,), deliveries = outcome(catalogue)
    assert (incident.muted, [one.what for one in deliveries]) == ("", ["raised"])
