"""Server-sent events over a real connection: new rounds, filled-in gaps, errors."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.web import app, world

Event = dict[str, str]


@contextmanager
def stream(address: str, query: str, last: str = "") -> Iterator[Iterator[Event]]:
    """The events of a stream, one after the other."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request("GET", f"/api/v1/events?{query}", headers={"Last-Event-ID": last} if last else {})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    try:
        yield _events(answer)
    finally:
        connection.close()


def _events(answer: http.client.HTTPResponse) -> Iterator[Event]:
    event: Event = {}
    while line := answer.readline().decode():
        name, _, value = line.rstrip("\r\n").partition(":")
        if line.strip():
            event[name or "comment"] = value.strip()
        elif event:
            yield event
            event = {}


def publish(master: app.Standing, path: str, agent: str = "boomer") -> None:
    master.live.publish(agent, world.fresh(path, agent, time.time_ns()))


def test_rounds_below_a_place_are_told_and_others_not(master: app.Standing, address: str) -> None:
    with stream(address, "target=/transit") as events:
        assert next(events)["comment"] == "smokemesh"
        publish(master, "/office")
        publish(master, "/transit/tokyo")
        event = next(events)
        (told,) = json.loads(event["data"])
        assert event["event"] == "rounds"
        assert (told["target"], told["agent"], told["sent"]) == ("/transit/tokyo", "boomer", 20)
        assert 0.03 < told["median"] < 0.1


def test_a_dead_target_is_told_with_an_unknown_median(master: app.Standing, address: str) -> None:
    with stream(address, "target=/changzhou/rack30") as events:
        next(events)
        publish(master, "/changzhou/rack30")
        (told,) = json.loads(next(events)["data"])
        assert (told["received"], told["median"]) == (0, None)


def test_a_lost_connection_is_filled_in(master: app.Standing, address: str) -> None:
    with stream(address, "target=/office") as events:
        next(events)
        publish(master, "/office")
        seen = next(events)["id"]
    publish(master, "/office")
    publish(master, "/office")
    with stream(address, "target=/office", last=seen) as events:
        next(events)
        assert [int(next(events)["id"]) - int(seen) for _ in range(2)] == [1, 2]


def test_numbers_of_an_earlier_master_are_a_gap(address: str) -> None:
    with stream(address, "target=/office", last="123456789") as events:
        next(events)
        assert next(events)["event"] == "gap"


def all_gone(master: app.Standing) -> bool:
    """Every reader has left; those of closed connections are noticed soon."""
    deadline = time.monotonic() + 10
    while master.live.readers and time.monotonic() < deadline:
        publish(master, "/office")
    return master.live.readers == 0


def test_the_reader_is_forgotten_when_it_leaves(master: app.Standing, address: str) -> None:
    assert all_gone(master)
    with stream(address, "target=/office") as events:
        next(events)
        assert master.live.readers == 1
    assert all_gone(master)
