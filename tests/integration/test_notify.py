"""The dispatcher over a real catalogue and real receivers: order, slowness, failure, restarts, kill -9."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.receivers import Posted, Web, mail_server, web_server

from smokemesh.master.notify import alertmanager
from smokemesh.master.notify.dispatcher import Dispatcher, Pace
from smokemesh.model.alert import Alerting, Delivery, Mail, Notice, Receiver
from smokemesh.storage.catalogue import Catalogue, open_catalogue
from smokemesh.storage.outbox import Outbox
from smokemesh.storage.tables import incidents

NANO = 10**9
QUICK = Pace(least=0.01, most=0.05)
NOTICE = Notice(
    incident=1, alert="someloss", what="raised", target="/a", title="A", host="127.0.0.1", agents=("local",), time=1,
    begun=1, loss=(0.5,), rtt=(0.01,),
)  # fmt: skip


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    yield opened
    opened.close()


def told(time: int, **changes: object) -> Notice:
    return replace(NOTICE, time=time, **changes)  # type: ignore[arg-type]


def hooks(**urls: str) -> Alerting:
    return Alerting(receivers={name: Receiver(name=name, type="webhook", url=url) for name, url in urls.items()})


@contextmanager
def running(catalogue: Catalogue, alerting: Alerting, pace: Pace = QUICK) -> Iterator[Dispatcher]:
    made = Dispatcher(Outbox(catalogue), lambda: alerting, pace=pace)
    made.start()
    try:
        yield made
    finally:
        made.close()


def until(look: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.01)


def finished(outbox: Outbox, count: int) -> list[Delivery]:
    until(lambda: sum(one.state != "waiting" for one in outbox.list()) >= count)
    return list(outbox.list())


def times(web: Web) -> list[str]:
    return [json.loads(post.body)["time"] for post in web.posts]


def test_what_was_written_is_sent_at_once(catalogue: Catalogue) -> None:
    with web_server() as web, running(catalogue, hooks(ops=web.url)) as dispatcher:
        dispatcher.outbox.enqueue(NOTICE, ["ops"], time.time_ns())
        began = time.monotonic()
        dispatcher.wake()
        [done] = finished(dispatcher.outbox, 1)
        assert time.monotonic() - began < 4  # it does not wait for the next look
    assert (done.state, done.attempts, done.output) == ("done", 1, "HTTP 200 ok")


def test_a_failing_receiver_is_tried_again_under_the_same_key_and_in_order(catalogue: Catalogue) -> None:
    refusals = iter([500, 503, 500])
    with web_server() as web, running(catalogue, hooks(ops=web.url)) as dispatcher:
        web.answer = lambda _: (next(refusals, 200), {}, b"")
        for moment in (1, 2, 3):
            dispatcher.outbox.enqueue(told(moment * NANO), ["ops"], time.time_ns())
        dispatcher.wake()
        done = finished(dispatcher.outbox, 3)
    assert [one.attempts for one in reversed(done)] == [4, 1, 1]
    keys = [post.headers["idempotency-key"] for post in web.posts]
    assert len(set(keys[:4])) == 1
    assert len(set(keys)) == 3
    assert times(web)[3:] == sorted(times(web)[3:])
    assert {one.state for one in done} == {"done"}


def test_a_slow_receiver_holds_up_nobody(catalogue: Catalogue) -> None:
    release = threading.Event()

    def slow(_: Posted) -> tuple[int, dict[str, str], bytes]:
        release.wait(15)
        return 200, {}, b""

    with web_server() as tired, web_server() as well:
        tired.answer = slow
        with running(catalogue, hooks(tired=tired.url, well=well.url)) as dispatcher:
            for moment in range(1, 6):
                dispatcher.outbox.enqueue(told(moment * NANO), ["tired", "well"], time.time_ns())
            dispatcher.wake()
            assert len(well.wait(5)) == 5
            assert len(tired.posts) == 1  # one at a time
            release.set()
            tired.wait(5)
            finished(dispatcher.outbox, 10)
    assert times(tired) == times(well) == sorted(times(well))


def test_what_is_refused_for_good_makes_way(catalogue: Catalogue) -> None:
    with web_server() as web, running(catalogue, hooks(ops=web.url)) as dispatcher:
        web.answer = lambda post: (400 if b"1970-01-01T00:00:01" in post.body else 200, {}, b"not like this")
        for moment in (1, 2):
            dispatcher.outbox.enqueue(told(moment * NANO, begun=moment * NANO), ["ops"], time.time_ns())
        dispatcher.wake()
        second, first = finished(dispatcher.outbox, 2)
    assert (first.state, first.attempts, first.error) == ("failed", 1, f"{web.url}: HTTP 400 not like this")
    assert second.state == "done"


def test_old_news_is_given_up_and_says_why(catalogue: Catalogue) -> None:
    alerting = hooks(ops="http://127.0.0.1:1/")
    with running(catalogue, alerting, replace(QUICK, patience=0.3)) as dispatcher:
        dispatcher.outbox.enqueue(NOTICE, ["ops"], time.time_ns())
        dispatcher.wake()
        [gone] = finished(dispatcher.outbox, 1)
    assert gone.state == "failed"
    assert gone.attempts > 1
    assert gone.error == f"given up after {gone.attempts} attempts: http://127.0.0.1:1: nobody listens there"


def test_a_receiver_nobody_knows_fails_by_name(catalogue: Catalogue) -> None:
    with running(catalogue, Alerting()) as dispatcher:
        dispatcher.outbox.enqueue(NOTICE, ["gone"], time.time_ns())
        dispatcher.wake()
        [failed] = finished(dispatcher.outbox, 1)
    assert (failed.state, failed.error) == ("failed", "the settings know no receiver 'gone' any more")


def test_an_address_refused_for_now_gets_its_mail_later_and_the_other_none_twice(catalogue: Catalogue) -> None:
    with (
        mail_server(answers={"b@x.example": "451 later"}) as smtp,
        running(catalogue, Alerting(mail=Mail(servers=(smtp.address,)))) as dispatcher,
    ):
        dispatcher.outbox.enqueue(NOTICE, ["a@x.example", "b@x.example"], time.time_ns())
        dispatcher.wake()
        smtp.wait(1)
        until(lambda: dispatcher.outbox.list()[0].receiver == "b@x.example")
        smtp.answers.clear()
        smtp.wait(2)
        [done] = finished(dispatcher.outbox, 1)
    assert [got.to for got in smtp.mails] == [["a@x.example"], ["b@x.example"]]
    assert done.state == "done"


def test_the_settings_of_the_moment_are_used(catalogue: Catalogue) -> None:
    """A wrong address is mended by a reload, and what waited goes there."""
    in_force = [hooks(ops="http://127.0.0.1:1/")]
    dispatcher = Dispatcher(Outbox(catalogue), lambda: in_force[0], pace=QUICK)
    dispatcher.start()
    try:
        dispatcher.outbox.enqueue(NOTICE, ["ops"], time.time_ns())
        dispatcher.wake()
        until(lambda: dispatcher.outbox.list()[0].attempts > 1)
        with web_server() as web:
            in_force[0] = hooks(ops=web.url)
            web.wait(1)
            finished(dispatcher.outbox, 1)
    finally:
        dispatcher.close()


def test_alertmanager_is_told_again_until_it_is_cleared(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager, "REPEAT", 0.2)
    monkeypatch.setattr("smokemesh.master.notify.dispatcher.LOOK", 0.05)
    with catalogue.transaction() as connection:
        connection.execute(
            incidents.insert().values(
                id=1, alert="someloss", target="/a", probe="ping", agents=["local"], begun=1, ended=0, rounds=1,
                worst_loss=0.5, worst_rtt=None, muted="", detail="",
            )
        )  # fmt: skip
    with web_server() as web:
        alerting = Alerting(receivers={"am": Receiver(name="am", type="alertmanager", url=web.url)})
        with running(catalogue, alerting) as dispatcher:
            dispatcher.outbox.enqueue(NOTICE, ["am"], time.time_ns())
            dispatcher.wake()
            again = [json.loads(post.body) for post in web.wait(3)]
            assert len({one["endsAt"] for [one] in again}) > 1  # each time it holds longer
            with catalogue.transaction() as connection:
                connection.execute(incidents.update().values(ended=2))
            dispatcher.outbox.enqueue(told(2, what="cleared"), ["am"], time.time_ns())
            dispatcher.wake()
            finished(dispatcher.outbox, 2)
            last = len(web.posts)
            threading.Event().wait(0.5)
            assert len(web.posts) == last
    assert json.loads(web.posts[-1].body)[0]["endsAt"].startswith("1970-01-01")


PROGRAM = """
import sys, time
from smokemesh.master.notify.dispatcher import Dispatcher, Pace
from smokemesh.model.alert import Alerting, Receiver
from smokemesh.storage.catalogue import open_catalogue
from smokemesh.storage.outbox import Outbox
alerting = Alerting(receivers={"ops": Receiver(name="ops", type="webhook", url=sys.argv[2])})
dispatcher = Dispatcher(Outbox(open_catalogue(sys.argv[1])), lambda: alerting, pace=Pace(least=0.01, most=0.05))
dispatcher.start()
time.sleep(60)
"""


def test_killed_again_and_again_it_loses_nothing_and_doubles_only_under_the_same_key(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    outbox, count = Outbox(catalogue), 30
    for moment in range(1, count + 1):
        outbox.enqueue(told(moment * NANO), ["ops"], time.time_ns())
    asked = threading.Event()

    def answer(posted: Posted) -> tuple[int, dict[str, str], bytes]:
        asked.set()
        threading.Event().wait(0.02)
        return 200, {}, b""

    with web_server() as web:
        web.answer = answer
        for kills in range(4):
            asked.clear()
            words = [sys.executable, "-c", PROGRAM, f"sqlite:///{tmp_path}/catalogue.db", web.url]
            child = subprocess.Popen(words)
            try:
                if kills < 3:
                    before = len(web.posts)
                    web.wait(before + 4 + kills, 30)  # killed while it waits for an answer
                    os.kill(child.pid, signal.SIGKILL)
                else:
                    until(lambda: {one.state for one in outbox.list()} == {"done"}, 30)
            finally:
                child.kill()
                child.wait()
    keys = [post.headers["idempotency-key"] for post in web.posts]
    assert len(set(keys)) == count
    assert len(keys) <= count + 3  # one more for each kill, at most
    seen = list(dict.fromkeys(times(web)))
    assert seen == sorted(seen)
    assert [one.attempts for one in outbox.list()].count(1) >= count - 3


def test_stopping_is_quick_and_leaves_the_rest_for_the_next_run(catalogue: Catalogue) -> None:
    release = threading.Event()

    def slow(_: Posted) -> tuple[int, dict[str, str], bytes]:
        release.wait(15)
        return 200, {}, b""

    with web_server() as web:
        web.answer = slow
        with running(catalogue, hooks(ops=web.url)) as dispatcher:
            dispatcher.outbox.enqueue(NOTICE, ["ops"], time.time_ns())
            dispatcher.wake()
            web.wait(1)
            began = time.monotonic()
        assert time.monotonic() - began < 4
        release.set()
        [left] = Outbox(catalogue).list()
        assert left.state == "waiting"
        with running(catalogue, hooks(ops=web.url)) as again:
            [done] = finished(again.outbox, 1)
    assert done.state == "done"


@pytest.mark.parametrize(("attempts", "most"), [(1, 2.0), (2, 4.0), (5, 32.0), (40, 900.0)])
def test_waits_double_are_drawn_below_their_bound_and_have_one(attempts: int, most: float) -> None:
    drawn = [Pace().wait(attempts) for _ in range(300)]
    assert 0 <= min(drawn) < most * 0.1
    assert most * 0.9 < max(drawn) <= most
    assert Pace().wait(1, asked=7.0) >= 7.0
