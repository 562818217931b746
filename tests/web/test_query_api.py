"""The query API over a real store: what it answers is what was inserted."""

import asyncio
import csv
import io
import math
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from smokemesh.master.web import desk, ranges
from smokemesh.model.assignment import task_id
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.wire.columns import pack
from smokemesh.wire.messages import Record, Upload
from tests.web import app, world

NANO = 10**9


@pytest.fixture(scope="module")
def client(master: app.Standing) -> Iterator[TestClient[Litestar]]:
    with TestClient(app.make_app(master)) as made:
        yield made


def ask(client: TestClient[Litestar], path: str, status: int = 200, /, **params: Any) -> Any:
    answer = client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_tree_tells_states_of_places(client: TestClient[Litestar]) -> None:
    root = ask(client, "tree")
    assert [child["path"] for child in root["children"]] == [
        "/changzhou", "/transit", "/office", "/empty", "/compare",
    ]  # fmt: skip
    room = root["children"][0]
    assert room["state"] == "down"
    assert room["counts"]["down"] == 1
    assert {leaf["path"]: leaf["state"] for leaf in room["children"]}["/changzhou/rack30"] == "down"
    assert root["children"][3]["state"] == "silent"


def test_what_is_hidden_is_neither_listed_nor_counted(client: TestClient[Litestar]) -> None:
    root = ask(client, "tree")
    assert sum(root["counts"].values()) == 9
    assert ask(client, "tree", under="/dual")["title"] == "Every address of a name"


def test_one_generation_of_the_tree(client: TestClient[Litestar]) -> None:
    top = ask(client, "tree", under="/transit", depth=1)
    assert [(child["path"], child["parent"], child["children"]) for child in top["children"]] == [
        ("/transit/europe", True, []), ("/transit/tokyo", False, []),
    ]  # fmt: skip


def test_a_target_says_how_it_is_measured_and_what_was_seen(client: TestClient[Litestar]) -> None:
    found = ask(client, "targets/changzhou/gateway")
    assert (found["host"], found["probe"], found["step"], found["pings"]) == ("192.0.2.1", "ping", 60.0, 20)
    assert found["task"] == f"{world.task('/changzhou/gateway'):016x}"
    assert [(sight["agent"], sight["state"]) for sight in found["sights"]] == [("boomer", "ok"), ("slater", "ok")]
    assert found["sights"][0]["median"] == pytest.approx(0.0005, rel=0.3)
    assert len(ask(client, "targets", under="/transit")) == 3


def test_an_agent_that_fell_silent_is_not_called_down(client: TestClient[Litestar]) -> None:
    sights = {sight["agent"]: sight for sight in ask(client, "latest")["/transit/tokyo"]}
    assert sights["boomer"]["state"] in ("ok", "loss")
    assert sights["slater"]["state"] == "silent"


def inserted(master: app.Standing, path: str, agent: str, span: ranges.Range) -> RoundBatch:
    from smokemesh.model.series import SeriesQuestion

    return master.store.rounds(
        SeriesQuestion(task=world.task(path), agent=agent, begin=span.begin, end=span.end, points=100_000)
    )


def test_figures_are_those_of_the_rounds(client: TestClient[Litestar], master: app.Standing) -> None:
    now = time.time_ns()
    span = ranges.Range(now - 6 * 3600 * NANO, now - 600 * NANO, False)
    begin, end = ranges.rfc3339(span.begin // NANO * NANO), ranges.rfc3339(span.end // NANO * NANO)
    reply = ask(client, "series", target="/changzhou/rack29", agent="boomer", begin=begin, end=end)
    truth = inserted(master, "/changzhou/rack29", "boomer", ranges.parse_range(begin, end, now))
    one, rtts = reply["series"][0], truth.rtts[~np.isnan(truth.rtts)].astype("f8")
    assert one["level"] == "raw"
    assert len(one["time"]) == len(truth)
    assert one["summary"]["sent"] == int(truth.sent.sum())
    assert one["summary"]["loss_average"] == pytest.approx(1 - truth.received.sum() / truth.sent.sum())
    assert one["summary"]["mean"] == pytest.approx(rtts.mean(), rel=1e-6)
    assert one["summary"]["deviation"] == pytest.approx(rtts.std(), rel=1e-5)
    assert one["summary"]["rtt_most"] == pytest.approx(rtts.max())
    assert one["median"][:5] == pytest.approx(np.nanmedian(truth.matrix()[:5], axis=1), abs=1e-9)
    assert len(one["bands"]) == len(reply["quantiles"]) == 21


def test_total_loss_is_points_without_rtt_and_a_gap_has_no_points(client: TestClient[Litestar]) -> None:
    one = ask(client, "series", target="/changzhou/rack29", agent="boomer", begin="now-3h")["series"][0]
    dead = [k for k, received in enumerate(one["received"]) if received == 0]
    assert 13 <= len(dead) <= 16  # an outage of a quarter of an hour, a round each minute
    assert all(one["median"][k] is None and one["bands"][10][k] is None for k in dead)
    assert max(np.diff(one["time"])) == pytest.approx(0.3 * 3600, abs=120)


def test_several_targets_and_agents_at_once(client: TestClient[Litestar]) -> None:
    reply = ask(client, "series", target=["/office", "/transit/tokyo"], points=50, smoke=False)
    assert [(s["target"], s["agent"]) for s in reply["series"]] == [
        ("/office", "boomer"), ("/office", "slater"), ("/transit/tokyo", "boomer"), ("/transit/tokyo", "slater"),
    ]  # fmt: skip
    assert all(s["bands"] == [] and len(s["time"]) <= 60 for s in reply["series"])


@pytest.mark.parametrize(
    ("path", "params", "status", "words"),
    [
        ("series", {"target": "/nope"}, 404, "target /nope: no such place"),
        ("series", {"target": "/changzhou"}, 404, "target /changzhou: is a group"),
        ("series", {"target": "/office", "agent": "ghost"}, 404, "agent ghost: no such agent"),
        ("series", {"target": "/office", "begin": "xx"}, 400, "begin 'xx' is not a time"),
        ("series", {"target": "/office", "begin": "now", "end": "now-1h"}, 400, "begin now is not before end now-1h"),
        ("series", {"target": "/office", "points": 0}, 400, "points is 0: must be 1 to 10000"),
        ("series", {"target": "/office", "points": "many"}, 400, "points 'many': must be a whole number"),
        ("series", {"target": "/office", "smoke": "x"}, 400, "smoke 'x': must be true or false"),
        ("graph.svg", {"target": "/office", "theme": "blue"}, 400, "theme 'blue': must be light or dark"),
        ("graph.svg", {"target": "/office", "lang": "de"}, 400, "lang 'de': must be en or zh"),
        ("rounds", {"target": "/office", "format": "xml"}, 400, "format 'xml': must be json or csv"),
        ("rounds", {"target": "/office", "limit": 0}, 400, "limit is 0: must be 1 to 100000"),
        ("graph.png", {"target": "/office", "width": 99999}, 400, "width is 99999: must be 200 to 4000"),
        ("graph.png", {"target": "/office", "height": 1}, 400, "height is 1: must be 80 to 2000"),
        ("tree", {"depth": -1}, 400, "depth is -1: must be 0 to 1000"),
        ("series", {"target": "/office", "level": "2h"}, 400, "level '2h': must be one of raw, 5m, 1h, 1d"),
        ("series", {}, 400, "target is missing: add target=VALUE to the query"),
        ("rounds", {"target": "/office", "limit": 10**9}, 400, "limit is 1000000000"),
        ("graph.svg", {"target": "/office", "width": 5}, 400, "width is 5: must be 200 to 4000"),
        ("graph.svg", {"target": "/office", "zone": "Mars/Olympus"}, 400, "zone 'Mars/Olympus': no such time zone"),
        ("graph.svg", {"target": "/office", "zone": "../../etc/passwd"}, 400, "no such time zone"),
        ("tree", {"under": "/nope"}, 404, "target /nope"),
        ("targets/nope", {}, 404, "target /nope"),
        ("events", {"target": "/nope"}, 404, "target /nope"),
    ],
)
def test_refusals_name_what_is_wrong(
    client: TestClient[Litestar], path: str, params: dict[str, Any], status: int, words: str
) -> None:
    body = ask(client, path, status, **params)
    assert set(body) == {"code", "message"}
    assert words in body["message"]
    assert "\n" not in body["message"]


def test_raw_rounds_keep_the_order_of_their_pings(client: TestClient[Litestar], master: app.Standing) -> None:
    rtts = [0.003, math.nan, 0.001, 0.002]
    when = time.time_ns() // NANO * NANO - 30 * 24 * 3600 * NANO + 12 * 3600 * NANO
    master.store.insert(
        "boomer",
        RoundBatch.from_columns(1, {
            "task": [world.task("/empty")], "time": [when], "step": [60], "sent": [4], "received": [3], "late": [1],
            "flags": [Flag.LATE | Flag.OWN_DROPS], "rtts": rtts,
            "address": [0] * 10 + [255, 255, 192, 0, 2, 9],
        }),
        "one round",
    )  # fmt: skip
    span = {"begin": ranges.rfc3339(when), "end": ranges.rfc3339(when + 60 * NANO)}
    (one,) = ask(client, "rounds", 200, target="/empty", **span)
    assert one["rtts"] == [pytest.approx(0.003), None, pytest.approx(0.001), pytest.approx(0.002)]
    assert (one["address"], one["flags"], one["late"]) == ("192.0.2.9", ["late", "own_drops"], 1)
    assert one["time"] == ranges.rfc3339(when)
    text = client.get("/api/v1/rounds", params={"target": "/empty", "format": "csv", **span}).text
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["rtt1"], row["rtt2"], row["flags"]) == ("0.003000000", "", "late own_drops")


def test_each_address_of_a_name_is_a_series_of_its_own(client: TestClient[Litestar], master: app.Standing) -> None:
    when = time.time_ns() // NANO * NANO - 60 * NANO
    addresses = {"192.0.2.1": 0.010, "2001:db8::1": 0.020}
    batch = RoundBatch.from_columns(2, {
        "task": [task_id("/dual", "ping", address) for address in addresses],
        "time": [when, when], "step": [60, 60], "sent": [2, 2], "received": [2, 2],
        "rtts": [rtt for rtt in addresses.values() for _ in range(2)],
        "address": [list(ip_address("::ffff:192.0.2.1").packed), list(ip_address("2001:db8::1").packed)],
    })  # fmt: skip
    asyncio.run(master.ingest.take("boomer", Upload(epoch="e", records=(Record(1, pack(batch)),)), time.time_ns()))
    found = ask(client, "series", target="/dual")["series"]
    assert {one["address"]: one["median"] for one in found} == {
        address: [pytest.approx(rtt)] for address, rtt in addresses.items()
    }
    assert {one["title"] for one in found} == {f"常州一号 · {address}" for address in addresses}
    assert {
        row["address"] for row in csv.DictReader(io.StringIO(client.get("/api/v1/graph.csv?target=/dual").text))
    } == {*addresses}


@pytest.mark.parametrize(("name", "value"), [("MOST_ROUNDS", 59), ("MOST_RTTS", 59 * 20)])
def test_no_more_rounds_are_read_than_fit_into_an_answer(
    client: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    now = time.time_ns() // NANO
    span = {"target": "/office", "begin": now - 7200, "end": now - 5400}
    assert len(ask(client, "rounds", 200, **span)) == 60
    monkeypatch.setattr(desk, name, value)
    assert "ask for a shorter one" in ask(client, "rounds", 400, **span)["message"]
    assert len(ask(client, "rounds", 200, agent="boomer", **span)) == 30
    assert len(ask(client, "rounds", 200, limit=20, **span)) == 40


@pytest.mark.parametrize(("level", "width"), [("raw", 1), ("5m", 300), ("1h", 3600)])
def test_the_answer_says_which_range_it_counts(
    client: TestClient[Litestar], master: app.Standing, level: str, width: int
) -> None:
    now = time.time_ns() // NANO
    begin, end = now - 9999, now - 5001
    (one,) = ask(client, "series", target="/office", agent="boomer", begin=begin, end=end, level=level)["series"]
    assert (one["begin"], one["end"]) == (begin - begin % width, end + -end % width)
    truth = inserted(
        master, "/office", "boomer", ranges.Range(round(one["begin"] * NANO), round(one["end"] * NANO), False)
    )
    assert one["summary"]["sent"] == int(truth.sent.sum())


def test_points_as_csv(client: TestClient[Litestar]) -> None:
    answer = client.get("/api/v1/graph.csv", params={"target": "/changzhou/rack29", "agent": "boomer"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 150 <= len(rows) <= 181
    dead = [row for row in rows if row["received"] == "0"]
    assert dead
    assert all(row["rtt_p50"] == "" and row["loss"] == "1.000000000" for row in dead)
    assert all(
        float(row["rtt_p0"]) <= float(row["rtt_p50"]) <= float(row["rtt_p100"]) for row in rows if row not in dead
    )


def test_the_picture_in_both_forms(client: TestClient[Litestar]) -> None:
    params = {"target": "/changzhou/rack29", "theme": "dark", "lang": "zh", "zone": "Asia/Shanghai"}
    drawn = client.get("/api/v1/graph.svg", params=params)
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert "default-src 'none'" in drawn.headers["content-security-policy"]
    assert "常州一号" in drawn.text
    png = client.get("/api/v1/graph.png", params={**params, "width": 400, "height": 100}).content
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png[16:20], "big") == 2 * (400 + 68 + 18)


def test_agents_tell_how_they_are(client: TestClient[Litestar]) -> None:
    boomer, slater = ask(client, "agents")
    assert (boomer["name"], boomer["title"], boomer["targets"]) == ("boomer", "常州一号", 10)
    assert slater["alive"] is False
    assert slater["health"]["spool_rounds"] == 1840
    assert slater["silent"] > 390


def test_every_handler_is_described(master: app.Standing) -> None:
    """OpenAPI 3.1 comes from the same structs that answer."""
    from litestar.openapi import OpenAPIConfig

    from smokemesh.master import query_api

    described = Litestar(
        route_handlers=query_api.routes, openapi_config=OpenAPIConfig(title="smokemesh", version="1")
    ).openapi_schema.to_schema()
    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) == {
        "/api/v1/" + name
        for name in (
            "tree", "targets", "targets/{path}", "latest", "series", "rounds", "agents", "events", "search",
            "hierarchies/{name}", "charts", "charts.csv",
            "graph.svg", "graph.png", "graph.csv",
        )
    }  # fmt: skip
    assert "Summary" in " ".join(described["components"]["schemas"])
