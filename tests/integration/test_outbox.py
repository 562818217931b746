"""The outbox on a real SQLite file: order, claims, repetition, bounds."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert

from smokemesh.errors import StoreError
from smokemesh.model.alert import Notice
from smokemesh.storage import outbox as under_test
from smokemesh.storage.catalogue import Catalogue, open_catalogue
from smokemesh.storage.outbox import Outbox, enqueue, gather
from smokemesh.storage.tables import incidents

NANO = 10**9
NOTICE = Notice(
    incident=1, alert="someloss", what="raised", target="/a/b", title="B", host="127.0.0.1", agents=("local",),
    time=100 * NANO, begun=40 * NANO, loss=(0.0, 0.2, math.nan), rtt=(0.01, math.nan, 0.02), comment="日本", to=("a@b.example",),
)  # fmt: skip


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    yield opened
    opened.close()


@pytest.fixture
def outbox(catalogue: Catalogue) -> Outbox:
    return Outbox(catalogue)


def told(time: int, **changes: object) -> Notice:
    return replace(NOTICE, time=time, **changes)  # type: ignore[arg-type]


def test_one_mail_goes_to_all_addresses_and_nobody_is_told_twice() -> None:
    given = ["a@x.example", "|/bin/page", "b@x.example", "ops", "a@x.example", "|/bin/page", " ", "xmpp:c@x.example"]
    assert gather(given) == ["a@x.example, b@x.example", "|/bin/page", "ops", "xmpp:c@x.example"]


def test_a_notice_comes_back_as_it_was_written(outbox: Outbox) -> None:
    outbox.enqueue(NOTICE, ["ops"], 5)
    claimed = outbox.claim(5, 60)
    assert claimed is not None
    found = outbox.notice(claimed.id)
    assert replace(found, loss=(), rtt=()) == replace(NOTICE, loss=(), rtt=())
    assert [found.loss[:2], found.rtt[::2]] == [(0.0, 0.2), (0.01, 0.02)]
    assert math.isnan(found.loss[2])
    assert math.isnan(found.rtt[1])


def test_the_same_notice_is_written_down_once(outbox: Outbox) -> None:
    for now in (5, 6, 7):
        outbox.enqueue(NOTICE, ["ops", "ops"], now)
    assert [one.created for one in outbox.list()] == [5]


def test_it_is_written_with_the_judgement_or_not_at_all(catalogue: Catalogue, outbox: Outbox) -> None:
    def judge_and_fail() -> None:
        with catalogue.transaction() as connection:
            enqueue(connection, NOTICE, ["ops"], 5)
            connection.execute(insert(incidents).values(id=1))  # lacks what an incident must have

    with pytest.raises(StoreError):
        judge_and_fail()
    assert outbox.list() == []


def test_each_receiver_gets_its_notices_in_order_and_one_at_a_time(outbox: Outbox) -> None:
    outbox.enqueue(told(1), ["slow", "quick"], 1)
    outbox.enqueue(told(2), ["slow", "quick"], 2)
    first, second = outbox.claim(10, 60), outbox.claim(10, 60)
    assert first is not None
    assert second is not None
    assert {first.receiver, second.receiver} == {"slow", "quick"}
    assert outbox.claim(10, 60) is None  # the others wait for those before them
    outbox.finish(second.id, 11)
    third = outbox.claim(11, 60)
    assert third is not None
    assert (third.receiver, outbox.notice(third.id).time) == (second.receiver, 2)


def test_a_busy_receiver_is_left_alone(outbox: Outbox) -> None:
    outbox.enqueue(NOTICE, ["ops"], 1)
    assert outbox.claim(10, 60, busy={"ops"}) is None
    assert outbox.next_due({"ops"}) is None
    assert outbox.next_due() == 1


def test_what_was_claimed_by_a_program_that_died_is_due_again(outbox: Outbox) -> None:
    outbox.enqueue(NOTICE, ["ops"], 1)
    first = outbox.claim(NANO, 60)
    assert outbox.claim(60 * NANO, 60) is None
    again = outbox.claim(61 * NANO, 60)
    assert first is not None
    assert again is not None
    assert (again.key, again.attempts) == (first.key, 2)


def test_a_new_start_does_not_wait(outbox: Outbox) -> None:
    outbox.enqueue(NOTICE, ["ops"], 1)
    claimed = outbox.claim(10, 3600)
    assert claimed is not None
    outbox.retry(claimed.id, 10**15, "refused")
    outbox.resume(20)
    again = outbox.claim(20, 60)
    assert again is not None
    assert (again.attempts, again.error) == (2, "refused")


def test_who_of_several_took_it_is_not_told_again(outbox: Outbox) -> None:
    outbox.enqueue(NOTICE, ["a@x.example", "b@x.example"], 1)
    claimed = outbox.claim(1, 60)
    assert claimed is not None
    outbox.retry(claimed.id, 5, "b@x.example: 451 later", receiver="b@x.example")
    again = outbox.claim(5, 60)
    assert again is not None
    assert again.receiver == "b@x.example"


def test_beyond_the_bound_the_oldest_give_way_and_say_so(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MOST_WAITING", 3)
    for time in range(1, 6):
        outbox.enqueue(told(time), ["ops", f"other{time}"], time)
    mine = outbox.list(receiver="ops")
    assert [one.state for one in mine] == ["waiting"] * 3 + ["failed"] * 2
    assert "gave way" in mine[-1].error
    assert {one.state for one in outbox.list(receiver="other1")} == {"waiting"}


def test_the_list_is_filtered_and_paged(outbox: Outbox) -> None:
    for number in range(1, 6):
        outbox.enqueue(told(number, incident=number % 2), ["ops"], number)
    newest = outbox.list(most=2)
    assert [one.created for one in newest] == [5, 4]
    assert [one.created for one in outbox.list(most=2, before=newest[-1].id)] == [3, 2]
    assert [one.created for one in outbox.list(incident=1)] == [5, 3, 1]
    assert outbox.list(state="done") == []
    assert outbox.counts() == {"waiting": 5}


def test_old_news_is_forgotten_and_what_waits_is_not(outbox: Outbox) -> None:
    outbox.enqueue(told(1), ["ops"], 1)
    outbox.enqueue(told(2), ["ops"], 2)
    claimed = outbox.claim(3, 60)
    assert claimed is not None
    outbox.finish(claimed.id, 4, output="thanks")
    assert outbox.forget(4) == 0
    assert outbox.forget(5) == 1
    assert [one.state for one in outbox.list()] == ["waiting"]


def test_of_one_incident_only_the_newest_are_kept(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MOST_KEPT", 3)
    outbox.enqueue(told(1, incident=2), ["ops"], 1)
    for time in range(1, 9):
        outbox.enqueue(told(time), ["ops", "pager"] if time == 1 else ["ops"], time)
        if time < 7:
            while (claimed := outbox.claim(time, 60)) is not None:
                outbox.finish(claimed.id, time)
    mine = outbox.list(incident=1)
    # The last that each receiver got, what waits, and the newest.
    assert [(one.receiver, one.created) for one in mine] == [("ops", n) for n in (8, 7, 6, 5, 4)] + [("pager", 1)]
    assert len(outbox.list(incident=2)) == 1


def test_what_still_fires_is_known_until_it_is_cleared(catalogue: Catalogue, outbox: Outbox) -> None:
    with catalogue.transaction() as connection:
        connection.execute(
            insert(incidents).values(
                id=1, alert="someloss", target="/a/b", probe="ping", agents=["local"], begun=1, ended=0, rounds=1,
                worst_loss=0.5, worst_rtt=None, muted="", detail="",
            )
        )  # fmt: skip
    outbox.enqueue(NOTICE, ["am"], 1)
    assert outbox.firing("am") == []  # it was not told yet
    claimed = outbox.claim(1, 60)
    assert claimed is not None
    outbox.finish(claimed.id, 2)
    assert [notice.incident for notice in outbox.firing("am")] == [1]
    with catalogue.transaction() as connection:
        connection.execute(incidents.update().values(ended=5))
    assert outbox.firing("am") == []
