"""Addresses that name what there is not, or no longer: huge numbers, wrong names, wrong ranges, SmokePing's old places."""

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from smokemesh.model.alert import Alert
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import Chart
from smokemesh.storage.tables import incidents
from tests.web import app, world

HUGE = "9" * 20
SECRET = "q1w2e3r4t5y6u7i8o9p0aa"
BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def read(client: TestClient[Litestar], path: str, **asked: str) -> str:
    """What a page shows, in English: without the texts its script may need."""
    answer = client.get(path, params=asked or None, headers={"Accept-Language": "en"})
    assert answer.status_code == 200
    return answer.text.partition('<script type="application/json"')[0]


@pytest.fixture
def client(master: app.Standing) -> Iterator[TestClient[Litestar]]:
    before = master.settings
    alerts = {"someloss": Alert(name="someloss", type="loss", pattern=">0%")}
    master.settings = replace(before, alerts=alerts)
    with TestClient(app.make_app(master)) as made:
        made.follow_redirects = False
        yield made
    master.settings = before
    with master.catalogue.transaction() as connection:
        connection.execute(incidents.delete())


# ---------------------------------------------------------------- huge numbers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/incidents/{HUGE}", 404),
        (f"/incidents?before={HUGE}", 400),
        (f"/incidents?before={HUGE * 250}", 400),
        ("/incidents?before=abc", 400),
        (f"/api/v1/incidents/{HUGE}", 404),
        (f"/api/v1/incidents?before={HUGE}", 400),
        ("/api/v1/incidents?begin=999999999999", 400),
        ("/api/v1/incidents?end=9999-01-01T00:00:00Z", 400),
        (f"/api/v1/deliveries?before={HUGE}", 400),
        (f"/api/v1/deliveries?incident={HUGE}", 400),
    ],
)
def test_a_number_no_database_holds_is_answered_in_one_line(
    client: TestClient[Litestar], path: str, status: int
) -> None:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == status
    if path.startswith("/api/"):
        assert "\n" not in answer.json()["message"]
    else:
        assert answer.headers["content-type"].startswith("text/html")


def test_a_silence_of_a_huge_number_cannot_be_ended(client: TestClient[Litestar]) -> None:
    answer = client.post(f"/api/v1/silences/{HUGE}/end", json={})
    assert answer.status_code == 404
    assert answer.json()["message"].startswith(f"silence {HUGE}: there is none")


def test_a_silence_cannot_begin_after_time_ends(client: TestClient[Litestar]) -> None:
    answer = client.post("/api/v1/silences", json={"begin": "9000-01-01T00:00:00Z", "duration": "1h", "target": "/x"})
    assert answer.status_code == 400
    assert "between 1970 and 2262" in answer.json()["message"]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "value"), [("target", "/Nope"), ("target", "Nope"), ("alert", "nope"), ("agent", "nobody")]
)
def test_a_filter_that_names_nothing_says_so(client: TestClient[Litestar], name: str, value: str) -> None:
    refused = client.get("/api/v1/incidents", params={name: value})
    assert refused.status_code == 400
    assert refused.json()["message"].startswith(f"{name} {value!r}: there is no such")
    page = read(client, "/incidents", **{name: value})
    assert f"There is no {'place' if name == 'target' else name} {value}" in page
    assert "Nothing is wrong" not in page


@pytest.mark.parametrize(("name", "value"), [("target", "/changzhou"), ("alert", "someloss"), ("agent", "slater")])
def test_a_filter_that_only_finds_nothing_is_no_mistake(client: TestClient[Litestar], name: str, value: str) -> None:
    assert client.get("/api/v1/incidents", params={name: value}).json() == []
    assert "There is no" not in read(client, "/incidents", **{name: value})


def test_what_is_gone_from_the_configuration_is_found_by_its_incidents(
    client: TestClient[Litestar], master: app.Standing
) -> None:
    with master.catalogue.transaction() as connection:
        connection.execute(
            incidents.insert().values(
                id=1, alert="old", target="/gone/away", probe="ping", agents=["retired"], begun=1, ended=time.time_ns(),
                rounds=1, worst_loss=0.5, worst_rtt=None, muted="", detail="",
            )
        )  # fmt: skip
    for asked in ({"target": "/gone"}, {"alert": "old"}, {"agent": "retired"}):
        assert client.get("/api/v1/incidents", params={**asked, "state": "open"}).json() == []


def test_a_silence_that_fits_nothing_now_is_made_with_a_warning(client: TestClient[Litestar]) -> None:
    made = client.post(
        "/api/v1/silences", json={"target": "/Nope/*", "alert": "some*", "agent": "x?", "duration": "1h"}
    )
    assert made.status_code == 201
    assert made.json()["warnings"] == ["target '/Nope/*' fits no target now", "agent 'x?' fits no agent now"]
    fitting = client.post("/api/v1/silences", json={"target": "/changzhou/*", "duration": "1h"})
    assert fitting.json()["warnings"] == []


# ---------------------------------------------------------------- ranges and agents of a page


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("from=foo", "“foo” is not a time"),
        ("from=now-1h&to=now-2h", "from=now-1h is not before to=now-2h"),
        ("from=9999-01-01T00:00:00Z", "“9999-01-01T00:00:00Z” is not a time"),
        ("from=0&to=2200-01-01T00:00:00Z", "longer than a hundred years"),
        ("to=now-1h", "to=now-1h alone is no range"),
        ("agent=nobody", "No agent nobody measures this target; there are boomer, slater."),
        ("from=now-3h&to=now&agent=boomer", ""),
        ("", ""),
    ],
)
def test_a_page_says_what_of_its_address_it_did_not_understand(
    client: TestClient[Litestar], query: str, told: str
) -> None:
    text = read(client, f"/targets/changzhou/rack29?{query}")
    assert ('id="not-understood"' in text) == bool(told)
    assert told in text
    assert "{" not in text.partition('id="not-understood"')[2].partition("</div>")[0]


def test_a_page_of_several_names_the_line_it_does_not_draw(client: TestClient[Litestar]) -> None:
    text = client.get("/targets/compare?line=/a~b&from=x&lang=zh").text
    assert "此页没有曲线 /a~b。" in text
    assert "“x” 不是时间" in text


# ---------------------------------------------------------------- SmokePing's places, unknown places


@pytest.mark.parametrize(
    "mount",
    [
        "/smokeping",
        "/smokeping/",
        "/smokeping/smokeping.cgi",
        "/smokeping/sm.cgi",
        "/cgi-bin/smokeping.cgi",
        "/smokeping.fcgi",
    ],
)
def test_where_smokeping_was_mounted_leads_to_the_page(client: TestClient[Litestar], mount: str) -> None:
    assert client.get(mount).headers["location"] == "/"
    answer = client.get(f"{mount}?target=changzhou.rack29~boomer")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/targets/changzhou/rack29?agent=boomer"
    assert client.get(f"{mount}?slave=x&protocol=2").status_code == 404
    assert client.post(mount, data={"slave": "x"}).status_code == 405


def test_the_path_of_slaves_is_theirs_alone(master: app.Standing) -> None:
    before = master.settings
    master.settings = replace(before, smokeping=replace(before.smokeping, path="/smokeping/smokeping.cgi"))
    try:
        with TestClient(app.make_app(master)) as client:
            client.follow_redirects = False
            assert client.get("/smokeping/sm.cgi").status_code == 302
            assert client.get("/smokeping/smokeping.cgi?target=office").headers["location"] == "/targets/office"
    finally:
        master.settings = before


def test_the_hierarchies_are_listed(client: TestClient[Litestar]) -> None:
    text = client.get("/hierarchies").text
    for link in ('href="/hierarchies/owner"', 'href="/hierarchies/bare"', 'href="/"'):
        assert link in text.partition("<main")[2]
    missing = client.get("/hierarchies/nope", headers=BROWSER)
    assert missing.status_code == 404
    assert missing.headers["content-type"].startswith("text/html")


def test_an_old_filter_finds_what_the_box_finds(client: TestClient[Litestar]) -> None:
    for typed, found in (
        ("192.0.2.29", "/changzhou/rack29"),
        ("europe/zur", "/transit/europe/zurich"),
        ("^office$", "/office"),
    ):
        hits = client.get("/api/v1/search", params={"filter": typed}).json()["hits"]
        assert [hit["path"] for hit in hits] == [found]


# ---------------------------------------------------------------- charts and dynamic hosts


def test_the_page_of_charts_shows_as_many_as_each_chart_says(
    client: TestClient[Litestar], master: app.Standing
) -> None:
    charts = tuple(Chart(name=f"c{n}", menu="", title=f"c{n}", sorter="median", entries=n) for n in (2, 7))
    master.settings = replace(master.settings, presentation=replace(master.settings.presentation, charts=charts))
    sections = client.get("/charts?from=now-3h&to=now").text.split('<section class="chart"')[1:]
    assert [section.count('class="ranked"') for section in sections] == [2, 7]


def test_a_dynamic_host_keeps_its_secret(client: TestClient[Litestar], master: app.Standing) -> None:
    def leaf(name: str) -> Node:
        path = f"/Dyn/{name}"
        return Node(path=path, menu=name, title=name, target=Target(path=path, host=f"DYNAMIC/{SECRET}", probe="ping", agents=("boomer",)))  # fmt: skip

    group = Node(path="/Dyn", menu="Dyn", title="Dyn", children=(leaf("home"), leaf("told")))
    tree = replace(world.TREE, children=(*world.TREE.children, group))
    master.settings = replace(master.settings, tree=tree)
    standing = SimpleNamespace(addresses={"/Dyn/told": "198.51.100.77"})
    master.dynamic = standing  # type: ignore[attr-defined]
    try:
        places = (
            "/", "/targets/Dyn", "/targets/Dyn/home", "/targets/Dyn/told", "/search?q=Dyn", f"/search?q={SECRET[:6]}x",
            "/api/v1/tree", "/api/v1/targets", "/api/v1/targets/Dyn/home", "/api/v1/search?q=Dyn",
            "/api/v1/graph.svg?target=/Dyn/home", "/api/v1/search?filter=DYNAMIC",
        )  # fmt: skip
        for place in places:
            answer = client.get(place)
            assert answer.status_code == 200, place
            assert SECRET not in answer.text, place
        assert "198.51.100.77" in client.get("/targets/Dyn/told").text
        assert client.get("/api/v1/targets/Dyn/home").json()["host"] == "DYNAMIC"
        assert client.get("/api/v1/search", params={"q": SECRET}).json()["hits"] == []
    finally:
        del master.dynamic  # type: ignore[attr-defined]
