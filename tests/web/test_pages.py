"""The pages as the server writes them: escaped, in the reader's language, with nothing from elsewhere."""

import math
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from smokemesh.errors import StoreError
from smokemesh.master.registry import Registry
from smokemesh.master.rivals import Rivals
from smokemesh.master.web import pages, status
from smokemesh.model.rounds import Flag
from smokemesh.model.series import Latest
from tests.web import app

PLACES = ["/", "/targets/changzhou", "/targets/changzhou/rack29", "/targets/empty", "/agents", "/targets/nope"]


@pytest.fixture(scope="module")
def client(master: app.Standing) -> Iterator[TestClient[Litestar]]:
    with TestClient(app.make_app(master)) as made:
        yield made


class Addresses(HTMLParser):
    """Every address and every inline script or style of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src"):
                self.found.append(value or "")
            if name.startswith("on") or name == "style" or (tag == "style"):
                self.inline.append(f"{tag} {name}")
        if tag == "script" and "src" not in dict(attrs) and dict(attrs).get("type") != "application/json":
            self.inline.append("script")


@pytest.mark.parametrize("place", PLACES)
def test_nothing_comes_from_elsewhere_and_nothing_is_inline(client: TestClient[Litestar], place: str) -> None:
    answer = client.get(place)
    page = Addresses(answer.text)
    assert page.inline == []
    assert [one for one in page.found if not one.startswith(("/", "?", "#", "mailto:")) or one.startswith("//")] == []
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for one in page.found:
        if one.startswith("/static/"):
            assert client.get(one).status_code == 200, one


class Doubtful:
    """A store whose newest rounds lost pings, each of them perhaps by the agent itself."""

    def __init__(self, received: int) -> None:
        self.received = received

    def latest(self, tasks: list[int], since: int, now: int | None = None) -> list[Latest]:
        return [
            Latest(task=task, agent=agent, time=time.time_ns(), step=60.0, sent=20, received=self.received,
                   median=0.0123 if self.received else math.nan, flags=int(Flag.OWN_DROPS))
            for task in tasks for agent in ("boomer", "slater")
        ]  # fmt: skip


@pytest.mark.parametrize(("received", "told"), [(18, "12.3 ms"), (0, "100 %")])
def test_loss_that_may_be_the_agents_own_has_a_state_of_its_own(master: app.Standing, received: int, told: str) -> None:
    made = app.make_app(master)
    made.state.board = status.Board(
        Doubtful(received),  # type: ignore[arg-type]
        time.time_ns,
        lambda target: [status.Numbered(status.task_of(target))],
    )
    with TestClient(made) as client:
        for place in ("/", "/targets/changzhou", "/targets/office"):
            text = client.get(place, headers={"Accept-Language": "en"}).text
            assert "in doubt" in text
            assert 'class="dot doubt"' in text
            assert not re.search(r'"(dot|state|card|group) (down|loss|ok|silent)"', text)
        assert told in client.get("/").text
        assert "存疑" in client.get("/?lang=zh").text
        assert client.get("/api/v1/tree").json()["counts"]["doubt"] == 9


def test_an_agent_in_trouble_says_so(
    client: TestClient[Litestar], master: app.Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "two hosts report as" not in client.get("/agents").text
    rivals = Rivals()
    for k in range(8):
        rivals.saw("boomer", "ab"[k % 2], time.time_ns())
    monkeypatch.setattr(master.ingest, "rivals", rivals)
    monkeypatch.setattr(master, "registry", Registry({}))
    master.registry.saw("boomer", app.health(spool_damaged=71), time.time_ns())
    text = client.get("/agents", headers={"Accept-Language": "en"}).text
    assert "two hosts report as boomer: give each agent a name and a secret of its own" in text
    assert '<dt>Damaged records</dt><dd class="bad">71</dd>' in text
    boomer, slater = client.get("/api/v1/agents").json()
    assert boomer["trouble"].startswith("two hosts report as boomer")
    assert slater["trouble"] == ""


def test_a_smokeping_slave_is_shown_as_one(
    client: TestClient[Litestar], master: app.Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master, "registry", Registry({}))
    seen = time.time_ns() - 150 * 10**9
    told = app.health(version="smokeping-slave/1.0", engines="SmokePing", rounds=421, limited=3, clock=seen - 7 * 10**9)
    master.registry.saw("slater", told, seen)
    boomer, slater = client.get("/api/v1/agents").json()
    assert (boomer["kind"], slater["kind"], slater["alive"]) == ("agent", "slave", True)
    assert slater["clock_offset"] == pytest.approx(-7)
    assert slater["newest"].startswith("20")
    text = client.get("/agents", headers={"Accept-Language": "en"}).text
    assert "SmokePing slave" in text
    assert "<dd>421</dd>" in text
    assert '<dt>Rounds refused</dt><dd class="bad">3</dd>' in text
    assert "smokeping-slave/1.0" in text
    assert "SmokePing 从节点" in client.get("/agents?lang=zh").text


def test_names_from_the_configuration_are_text(client: TestClient[Litestar]) -> None:
    for place in ("/targets/changzhou", "/targets/changzhou/storage"):
        text = client.get(place).text
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text


@pytest.mark.parametrize(("accept", "word", "tag"), [("zh-CN,zh", "全部目标", "zh-CN"), ("en", "All targets", "en")])
def test_the_language_is_the_browsers(client: TestClient[Litestar], accept: str, word: str, tag: str) -> None:
    text = client.get("/", headers={"Accept-Language": accept}).text
    assert word in text
    assert f'<html lang="{tag}"' in text


def test_the_language_switch_is_remembered_and_leads_back(client: TestClient[Litestar]) -> None:
    answer = client.get("/language/zh", params={"back": "/agents?x=1"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/agents?x=1")
    assert "lang=zh" in answer.headers["set-cookie"]


@pytest.mark.parametrize("back", ["//evil.example/", "https://evil.example/", "/\\evil.example"])
def test_the_language_switch_leads_nowhere_else(client: TestClient[Litestar], back: str) -> None:
    assert client.get("/language/en", params={"back": back}, follow_redirects=False).headers["location"] == "/"


def test_the_theme_is_written_before_anything_is_painted(master: app.Standing) -> None:
    with TestClient(app.make_app(master), cookies={"theme": "dark"}) as client:
        assert 'data-theme="dark"' in client.get("/").text
    with TestClient(app.make_app(master), cookies={"theme": "x onload=1"}) as client:
        assert 'data-theme="auto"' in client.get("/").text


def test_dead_hosts_are_seen_at_once(client: TestClient[Litestar]) -> None:
    text = client.get("/").text
    listed = re.search(r'<ul class="attention">.*?</ul>', text, re.DOTALL)
    assert listed
    assert "/changzhou/rack30" in listed[0]
    assert listed[0].index("/changzhou/rack30") < listed[0].index("/empty")


def test_the_menu_is_open_along_the_path(client: TestClient[Litestar]) -> None:
    text = client.get("/targets/transit/europe/london").text
    assert 'data-path="/transit/europe" class="parent open"' in text
    assert re.search(r'class="leaf current" href="/targets/transit/europe/london" aria-current="page"', text)
    assert 'data-path="/changzhou/rack29"' not in text


def test_a_missing_page_helps_on(client: TestClient[Litestar]) -> None:
    answer = client.get("/targets/old/rack29")
    assert answer.status_code == 404
    assert 'href="/targets/changzhou/rack29"' in answer.text


@pytest.mark.parametrize("path", ["/static/../pages.py", "/static/%2e%2e/pages.py", "/static/built", "/static/none.js"])
def test_only_static_files_are_served(client: TestClient[Litestar], path: str) -> None:
    assert client.get(path).status_code == 404


def test_old_bookmarks_live_on(client: TestClient[Litestar]) -> None:
    def location(query: str) -> str:
        return client.get(f"/smokeping.cgi?{query}", follow_redirects=False).headers["location"]

    assert location("target=changzhou.rack29") == "/targets/changzhou/rack29"
    assert location("target=changzhou.rack29~slater") == "/targets/changzhou/rack29?agent=slater"
    assert location("target=gone.with.it;displaymode=n;start=-3h") == "/targets/gone/with/it?from=now-10800s&to=now"
    missing = client.get(location("target=gone.rack2~slater"), headers={"Accept-Language": "en"})
    assert missing.status_code == 404
    assert 'name="q" value="rack2"' in missing.text
    assert location("target=office;displaymode=a;start=-1h;end=now").startswith("/api/v1/graph.png?target=/office&")
    picture = client.get("/smokeping.cgi?target=office~slater;displaymode=a;start=-1h;end=now")
    assert picture.headers["content-type"] == "image/png"


def test_a_configuration_that_was_not_taken_is_said_on_every_page(master: app.Standing) -> None:
    master.reload_error = "smokemesh.yaml:7: targets.x.host: <nothing>"
    try:
        with TestClient(app.make_app(master)) as client:
            for place in PLACES:
                assert "smokemesh.yaml:7: targets.x.host: &lt;nothing&gt;" in client.get(place).text
    finally:
        master.reload_error = ""


class Away:
    """A store that does not answer."""

    def latest(self, *_: object) -> list[object]:
        raise StoreError("store chdb:///x: does not answer; try again")


def test_a_store_that_is_away_is_said_on_a_page(master: app.Standing) -> None:
    with TestClient(app.make_app(app.Standing(master.settings, Away(), master.catalogue))) as client:  # type: ignore[arg-type]
        for place in ("/", "/targets/office"):
            answer = client.get(place)
            assert answer.status_code == 503
            assert "store chdb:///x: does not answer; try again" in answer.text
            assert 'data-path="/office"' in answer.text
        assert client.get("/agents").status_code == 200
        assert client.get("/api/v1/tree").json() == {
            "code": "store",
            "message": "store chdb:///x: does not answer; try again",
        }


def test_the_data_of_a_page_cannot_end_its_script() -> None:
    assert pages._script_safe({"a": "</script><!--&"}) == '{"a":"\\u003c/script>\\u003c!--\\u0026"}'


@pytest.mark.parametrize(
    ("place", "said"),
    [("/targets/transit/tokyo", "1 of 2 agents silent"), ("/targets/transit", "1 of 2 agents silent")],
)
def test_an_agent_that_fell_silent_is_told_where_another_still_measures(
    client: TestClient[Litestar], place: str, said: str
) -> None:
    assert said in client.get(place).text
    assert said not in client.get("/targets/transit/europe").text


def test_lengths_of_time_are_in_the_language_of_the_page(client: TestClient[Litestar]) -> None:
    assert "每 1 分钟 发送 20 个包" in client.get("/targets/office?lang=zh").text
    assert "20 pings every 1 min" in client.get("/targets/office?lang=en").text
