"""Pages of several targets, charts, other trees and search, as the server writes them and as the API tells them."""

import csv
import io
import re
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from smokemesh.model.rounds import Flag
from smokemesh.settings.shape import Chart
from tests.web import app, world

LINES = ["/transit/europe/zurich~slater", "/transit/europe/zurich~boomer", "/transit/tokyo~boomer", "/office~boomer",
         "/office~slater"]  # fmt: skip
PLACES = ["/targets/compare", "/charts", "/charts/loss?from=round", "/hierarchies/owner", "/search?q=rack", "/search",
          "/targets/office?hierarchy=owner"]  # fmt: skip


@pytest.fixture(scope="module")
def client(master: app.Standing) -> Iterator[TestClient[Litestar]]:
    with TestClient(app.make_app(master)) as made:
        made.headers["Accept-Language"] = "en"
        yield made


@pytest.mark.parametrize("place", PLACES)
def test_pages_are_there_in_both_languages_with_nothing_inline(client: TestClient[Litestar], place: str) -> None:
    for lang in ("en", "zh"):
        answer = client.get(place, headers={"Accept-Language": lang})
        assert answer.status_code == 200
        assert not re.search(r"<[^>]+\s(style|on\w+)=", answer.text)
        assert "<script>" not in answer.text
        assert "Peter Random" in answer.text
        assert 'href="mailto:peter%40example.net"' in answer.text


# ---------------------------------------------------------------- several targets


def test_a_page_of_several_targets_names_what_it_cannot_draw(client: TestClient[Litestar]) -> None:
    text = client.get("/targets/compare").text
    assert "<code>/transit/gone</code>" in text
    assert "Drawn <b>together</b>" in text
    assert "alert(1)" not in text
    card = client.get("/").text
    assert "5 lines in one graph" in card
    assert "zurich &lt;Zürich" in card


def test_its_series_are_its_lines(client: TestClient[Litestar]) -> None:
    reply = client.get("/api/v1/series?target=/compare&begin=now-1h&smoke=false").json()
    assert [one["name"] for one in reply["series"]] == LINES
    assert {one["page"] for one in reply["series"]} == {"/compare"}
    assert [one["title"] for one in reply["series"]][:2] == ["zurich <Zürich", "zurich <常州一号"]
    assert reply["series"][0]["color"] == "004586"
    some = client.get(f"/api/v1/series?target=/compare&line={LINES[3]}&begin=now-1h&smoke=false").json()
    assert [(one["name"], one["color"]) for one in some["series"]] == [(LINES[3], "579d1c")]


def test_a_target_as_one_agent_sees_it(client: TestClient[Litestar]) -> None:
    asked = "&".join(f"target={line}" for line in LINES[:3])
    reply = client.get(f"/api/v1/series?{asked}&begin=now-1h&smoke=false").json()
    assert [one["name"] for one in reply["series"]] == LINES[:3]
    assert client.get("/api/v1/series?target=/office~nobody").status_code == 404


@pytest.mark.parametrize("form", ["svg", "png", "csv"])
def test_its_pictures_and_its_points(client: TestClient[Litestar], form: str) -> None:
    answer = client.get(f"/api/v1/graph.{form}?target=/compare&begin=now-1h&lang=zh&theme=dark")
    assert answer.status_code == 200
    assert "compare-" in answer.headers["content-disposition"]
    if form == "svg":
        assert "zurich &lt;Zürich" in answer.text
        assert "Zürich and the rest" in answer.text
    if form == "csv":
        found = {(row["target"], row["agent"]) for row in csv.DictReader(io.StringIO(answer.text))}
        assert ("/transit/tokyo", "boomer") in found
        assert len(found) == 5


def test_a_page_of_which_nothing_is_left(master: app.Standing) -> None:
    tree = master.settings.tree
    page = tree.find("/compare")
    assert page is not None
    bare = replace(tree, children=(replace(page, overlay=("/gone", "/gone2~x")),))
    other = replace(master, settings=replace(master.settings, tree=bare))
    with TestClient(app.make_app(other)) as client:
        assert client.get("/targets/compare").status_code == 200
        refused = client.get("/api/v1/series?target=/compare")
        assert (refused.status_code, refused.json()["message"]) == (400, "/compare: none of it is measured")


# ---------------------------------------------------------------- charts


def test_all_agents_are_ranked_over_any_range(client: TestClient[Litestar]) -> None:
    reply = client.get("/api/v1/charts?begin=now-2h").json()
    charts = {chart["name"]: chart for chart in reply["charts"]}
    assert list(charts) == ["median", "loss", "max", "stddev"]
    first = charts["median"]["entries"][0]
    assert (first["target"], first["agent"], first["rank"]) == ("/transit/tokyo", "slater", 1)
    assert first["value"] == first["median"] == pytest.approx(0.224, rel=0.1)
    dead = charts["loss"]["entries"][0]
    assert (dead["target"], dead["loss"], dead["median"]) == ("/changzhou/rack30", 1.0, None)
    assert charts["max"]["count"] == 12
    assert all(entry["value"] > 0 for entry in charts["loss"]["entries"])
    newest = client.get("/api/v1/charts?begin=round&chart=MEDIAN&limit=1").json()["charts"]
    assert [entry["sent"] for chart in newest for entry in chart["entries"]] == [20]


def test_a_ranking_agrees_with_the_graphs_of_the_same_range(client: TestClient[Litestar]) -> None:
    top = client.get("/api/v1/charts?chart=stddev&begin=now-10m&limit=3").json()["charts"][0]["entries"]
    for entry in top:
        name = f"{entry['target']}~{entry['agent']}"
        one = client.get(f"/api/v1/series?target={name}&begin=now-10m").json()["series"][0]["summary"]
        assert one["deviation"] == pytest.approx(entry["deviation"], rel=0.2)
        assert one["rtt_most"] == pytest.approx(entry["max"], rel=0.2)


def test_charts_as_csv(client: TestClient[Litestar]) -> None:
    rows = list(csv.DictReader(io.StringIO(client.get("/api/v1/charts.csv?begin=now-1h&limit=2").text)))
    assert [(row["chart"], row["rank"]) for row in rows][:3] == [("median", "1"), ("median", "2"), ("loss", "1")]
    assert next(row for row in rows if row["target"] == "/changzhou/rack30")["median"] == ""


def test_charts_that_are_not_there(client: TestClient[Litestar]) -> None:
    assert client.get("/charts/nope").status_code == 404
    refused = client.get("/api/v1/charts?chart=nope")
    assert (refused.status_code, refused.json()["message"]) == (
        404,
        "chart nope: no such chart; there are median, loss, max, stddev",
    )
    assert client.get("/charts?from=now-1h&to=now-2h").status_code == 400
    assert client.get("/charts/loss?entries=9999").status_code == 400


def test_charts_of_the_configuration_and_smokepings_addresses_of_them(master: app.Standing) -> None:
    own = (Chart(name="worst", menu="Worst", title="The worst of all", sorter="loss", entries=2),)
    shown = replace(master.settings.presentation, charts=own)
    other = replace(master, settings=replace(master.settings, presentation=shown))
    with TestClient(app.make_app(other)) as client:
        answer = client.get("/smokeping.cgi?target=_charts.worst")
        assert answer.status_code == 200
        assert answer.text.count('class="ranked"') == 2
        assert "The worst of all" in answer.text


# ---------------------------------------------------------------- other trees, search


def test_a_hierarchy_and_the_way_through_it(client: TestClient[Litestar]) -> None:
    text = client.get("/hierarchies/owner").text
    assert 'href="/targets/transit/europe/zurich?hierarchy=owner"' in text
    assert 'href="/hierarchies/owner/networks"' in text
    below = client.get("/api/v1/hierarchies/owner?under=/networks&depth=1").json()["children"]
    assert [(one["path"], one["real"], one["parent"]) for one in below] == [("/networks/abroad", "", True)]
    assert client.get("/api/v1/hierarchies/owner?under=/x").status_code == 404
    assert client.get("/hierarchies/owner/networks/abroad").status_code == 200
    assert client.get("/hierarchies/nope").status_code == 404
    assert client.get("/hierarchies/owner/nope").status_code == 404
    assert client.get("/hierarchies/bare").status_code == 200

    def leads_to(path: str) -> str:
        return str(client.get(path, follow_redirects=False).headers["location"])

    assert leads_to("/hierarchies/owner/people/office?from=now-1h&to=now") == (
        "/targets/office?hierarchy=owner&from=now-1h&to=now"
    )
    assert leads_to("/smokeping.cgi?target=transit.tokyo;hierarchy=owner") == "/hierarchies/owner/transit/tokyo"
    assert leads_to("/hierarchies/owner/transit/tokyo") == "/targets/transit/tokyo?hierarchy=owner"
    target = client.get("/targets/office?hierarchy=owner").text
    assert 'href="/hierarchies/owner/people"' in target
    assert 'data-path="/people/office"' in target


def test_a_hierarchy_as_json(client: TestClient[Litestar]) -> None:
    root = client.get("/api/v1/hierarchies/owner").json()
    assert [child["path"] for child in root["children"]] == ["/networks", "/people"]
    london = root["children"][0]["children"][0]["children"][1]
    assert (london["path"], london["real"]) == ("/networks/abroad/london", "/transit/europe/london")
    missing = client.get("/api/v1/hierarchies/x").json()
    assert missing["message"] == "hierarchy x: no such hierarchy; known: owner, bare"


def test_search(client: TestClient[Litestar]) -> None:
    reply = client.get("/api/v1/search?q=rack&limit=1").json()
    assert (reply["count"], [hit["path"] for hit in reply["hits"]]) == (2, ["/changzhou/rack29"])
    assert client.get("/api/v1/search?filter=^zur|tok.o").json()["count"] == 2
    assert client.get("/api/v1/search?q=").json()["count"] == 0
    text = client.get("/smokeping.cgi?filter=(rack").text
    assert "searched for as it is" in text
    assert 'value="(rack"' in text
    assert "&lt;script&gt;" in client.get("/search?q=<script>").text


def test_hidden_places_are_in_no_list_and_still_reachable(client: TestClient[Litestar]) -> None:
    assert client.get("/api/v1/search?q=dual").json()["count"] == 0
    assert "/dual" not in client.get("/charts?from=round").text
    assert client.get("/targets/dual").status_code == 200


def test_the_configurations_ranges_and_highest_rtt(master: app.Standing) -> None:
    shown = replace(
        master.settings.presentation, ranges=(("Last 3 Hours", 10800.0), ("Last 400 Days", 34560000.0)), max_rtt=0.02
    )
    other = replace(master, settings=replace(master.settings, presentation=shown))
    with TestClient(app.make_app(other)) as client:
        text = client.get("/targets/transit/tokyo").text
        assert '"glances":[["3h","Last 3 Hours"],["400d","Last 400 Days"]]' in text
        upper = [
            one["upper"] for one in client.get("/api/v1/series?target=/transit/tokyo&begin=now-1h").json()["series"]
        ]
        assert upper == [0.02, 0.02]
        assert "20 ms" in client.get("/api/v1/graph.svg?target=/transit/tokyo&begin=now-1h").text


def test_sorted_rounds_have_no_jitter(master: app.Standing, client: TestClient[Litestar]) -> None:
    # Days before all else that these tests look at.
    then = time.time_ns() - 5 * 86400 * world.NANO
    times = np.arange(then - 600 * world.NANO, then, 60 * world.NANO)
    batch = world.rounds("/office", "slater", times, then, 60.0)
    batch.flags[:] |= int(Flag.SORTED) | int(Flag.IMPORTED)
    master.store.insert("slater", batch, "sorted")
    asked = f"target=/office~slater&begin={then // world.NANO - 1000}&end={then // world.NANO}"
    one = client.get(f"/api/v1/series?{asked}").json()["series"][0]
    assert one["jitter"] == [None] * len(times)
    assert one["summary"]["jitter"] is None
    assert one["median"][0] > 0
    assert "averaged history of another system" in client.get(f"/api/v1/graph.svg?{asked}").text
    assert "平均历史数据" in client.get(f"/api/v1/graph.svg?{asked}&lang=zh").text
