"""The pages of alerts as the server writes them, and in a browser: incidents, one incident, silences, rules and the tester."""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from smokemesh.master.web.language import catalogue
from smokemesh.master.web.rule_words import rule_words
from smokemesh.model.alert import Alert, Alerting, Notice
from smokemesh.storage.alert_log import AlertLog
from smokemesh.storage.outbox import Outbox
from smokemesh.storage.tables import deliveries, incidents, silences
from tests.web import app
from tests.web.test_pages import Addresses

NANO = 10**9
PATH = "/changzhou/rack29"
ALERTS = {
    "someloss": Alert(name="someloss", type="loss", pattern=">0%,*12*,>0%", comment="lossy <b>line</b>", to=("noc@x.example",)),
    "slow": Alert(name="slow", type="threshold", measure="median", above=0.15, wait=300.0, quorum=2, priority=1),
}  # fmt: skip


@pytest.fixture
def standing(master: app.Standing) -> Iterator[app.Standing]:
    """The master of this folder with alert rules, an open incident and one that is over."""
    before, now = master.settings, time.time_ns()
    master.settings = replace(before, alerts=ALERTS, alerting=Alerting(to=("ops",)))
    row = {
        "alert": "someloss", "target": PATH, "probe": "ping", "agents": ["boomer"], "rounds": 4, "worst_loss": 0.35,
        "worst_rtt": 0.0123, "muted": "", "detail": "<script>alert(1)</script>",
    }  # fmt: skip
    with master.catalogue.transaction() as connection:
        connection.execute(incidents.insert().values(id=1, begun=now - 7200 * NANO, ended=now - 3600 * NANO, **row))
        muted = row | {"muted": "parent:/changzhou", "target": "/gone/away", "worst_rtt": None}
        connection.execute(incidents.insert().values(id=2, begun=now - 600 * NANO, ended=0, **row))
        connection.execute(incidents.insert().values(id=3, begun=now - 60 * NANO, ended=0, **muted))
    notice = Notice(
        incident=2, alert="someloss", what="raised", target=PATH, title="", host="h", agents=("boomer",), time=now, begun=now
    )  # fmt: skip
    outbox = Outbox(master.catalogue)
    outbox.enqueue(notice, ["noc@x.example", "ops"], now)
    outbox.fail(1, now, "HTTP 400 <no>")
    yield master
    master.settings = before
    with master.catalogue.transaction() as connection:
        for table in (incidents, deliveries, silences):
            connection.execute(table.delete())


@pytest.fixture
def client(standing: app.Standing) -> Iterator[TestClient[Litestar]]:
    with TestClient(app.make_app(standing)) as made:
        yield made


PLACES = ("/incidents", "/incidents/1", "/incidents/2", "/incidents/3", "/silences", "/alerts", "/incidents/99")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nothing_is_inline_and_every_link_leads_somewhere(client: TestClient[Litestar], place: str, lang: str) -> None:
    answer = client.get(f"{place}?lang={lang}")
    assert answer.status_code == (404 if place.endswith("99") else 200)
    page = Addresses(answer.text)
    assert page.inline == []
    assert "<script>alert" not in answer.text
    assert "{{" not in answer.text
    for one in {one for one in page.found if one.startswith(("/incidents", "/silences", "/alerts"))} - {
        "/incidents/99"
    }:
        assert client.get(one).status_code == 200, one


def test_open_incidents_come_first_with_how_bad_since_when_and_from_where(client: TestClient[Litestar]) -> None:
    text = client.get("/incidents").text
    order = [int(number) for number in re.findall(r'href="/incidents/(\d+)"', text)]
    assert order == [3, 2, 1]
    for part in ("35 % loss, 12.3 ms", "for 10 min", "/changzhou, which it depends on, is down", "Lasted 1 h"):
        assert part in text, part


@pytest.mark.parametrize(
    ("query", "expected"),
    [("target=/gone", [3]), ("target=/changzhou", [2, 1]), ("alert=slow", []), ("agent=slater", []), ("before=2", [1])],
)
def test_filters_stand_in_the_address(client: TestClient[Litestar], query: str, expected: list[int]) -> None:
    text = client.get(f"/incidents?{query}").text
    assert [int(number) for number in re.findall(r'href="/incidents/(\d+)"', text)] == expected


def test_one_incident_tells_who_was_told_and_leads_to_the_graph_of_its_time(client: TestClient[Litestar]) -> None:
    text = client.get("/incidents/2").text
    for part in ("HTTP 400 &lt;no&gt;", "given up", "waiting", "loss above 0 %, then up to 12 rounds of any kind"):
        assert part in text, part
    assert f'href="/silences?target={quote(PATH)}&amp;alert=someloss"' in text
    link = re.search(rf'href="(/targets{PATH}\?[^"]+)"', text)
    assert link is not None
    assert client.get(link[1].replace("&amp;", "&")).status_code == 200
    assert "from=" in link[1]
    assert "agent=boomer" in link[1]


def test_the_form_of_a_silence_is_filled_in_from_the_address(client: TestClient[Litestar]) -> None:
    text = client.get("/silences?target=/a%22b&alert=someloss").text
    assert 'name="target" value="/a&#34;b"' in text
    assert 'name="agent" value="*"' in text


def test_rules_read_as_plain_words_in_both_languages(client: TestClient[Litestar]) -> None:
    text = client.get("/alerts").text
    for part in (
        "RTT above 150 ms for 5 min",
        "2 agents must agree",
        "priority 1",
        "lossy &lt;b&gt;",
        "noc@x.example",
        "2 open",
    ):
        assert part in text, part
    assert "RTT 高于 150 ms 持续 5 分钟" in client.get("/alerts?lang=zh").text


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        (Alert(name="a", type="loss", pattern="==S,>20%,>20%"), "the start of measuring, then 2 rounds with loss above 20 %"),
        (Alert(name="a", type="loss", pattern=">45%<=55%,==*"), "loss above 45 % and at most 55 %, then a round of any kind"),
        (Alert(name="a", type="rtt", pattern="==U,!=U,<=10,>=5,==3,!=4"), "RTT unknown, then RTT known, then RTT at most 10.0 ms, "
         "then RTT at least 5.00 ms, then RTT exactly 3.00 ms, then RTT other than 4.00 ms"),
        (Alert(name="a", type="matcher", pattern="CheckLoss(l => 50, x => 5)"), "SmokePing's matcher CheckLoss"),
        (Alert(name="a", type="threshold", above=0.5, below=0.1), "loss above 50 % or below 10 %"),
        (Alert(name="a", type="deviation", measure="jitter"), "jitter beyond 5 times its usual spread over 1 d"),
        (Alert(name="a", type="silent", wait=600.0), "no rounds for 10 min"),
    ],
)  # fmt: skip
def test_every_kind_of_rule_has_words(alert: Alert, words: str) -> None:
    assert rule_words(alert, catalogue("en")) == words
    assert rule_words(alert, catalogue("zh"))


def test_measured_rounds_are_tried_as_one_agent_saw_them(client: TestClient[Litestar]) -> None:
    asked = {"type": "rtt", "pattern": ">0", "target": PATH, "agent": "slater", "begin": "now-1h"}
    got = client.post("/api/v1/alerts/test", json=asked).json()
    assert got["agent"] == "slater"
    assert len(got["steps"]) > 10
    assert got["raised"] >= 1
    assert all(step["time"] for step in got["steps"])


@pytest.mark.browser
def test_a_person_silences_and_tries_a_pattern(standing: app.Standing, address: str) -> None:
    from playwright.sync_api import expect, sync_playwright

    from tests.conftest import BROWSER
    from tests.web.test_browser import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(BROWSER), args=FLAGS)
        page = browser.new_page(locale="en-GB")
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{address}/incidents/2")
        expect(page.locator(".links [data-open-incidents]")).to_have_text("2")
        expect(page.locator("#incident-chart canvas")).to_be_visible()
        page.get_by_role("link", name="Silence it").click()
        page.get_by_role("button", name="Silence").click()
        page.get_by_role("button", name="End now").click()
        expect(page.locator("#silences")).to_contain_text("No silence stands.")
        [silence] = AlertLog(standing.catalogue).silences()
        assert (silence.target, silence.alert) == (PATH, "someloss")
        page.goto(f"{address}/alerts")
        page.locator("[name=on]").select_option("typed")
        page.locator("[name=history]").fill("0% 20% 20% 0%")
        page.locator("[name=pattern]").fill(">0%,>0%")
        page.locator("#trial button[type=submit]").click()
        expect(page.locator("#trial-result")).to_contain_text("4 rounds: raised 1×, cleared 1×")
        page.locator("[name=pattern]").fill(">20")
        page.locator("#trial button[type=submit]").click()
        expect(page.locator("#trial-problem")).to_contain_text("%")
        page.goto(f"{address}/targets{PATH}")
        expect(page.locator(".incidents-here a")).to_contain_text("35 % loss, 12.3 ms")
        browser.close()
    assert wrong == []


@pytest.mark.browser
def test_pages_fit_a_phone_and_take_back_what_was_not_understood(standing: app.Standing, address: str) -> None:
    from playwright.sync_api import expect, sync_playwright

    from tests.conftest import BROWSER
    from tests.web.test_browser import FLAGS

    cut = "[...document.querySelectorAll('.table-scroll, .figures-scroll')].some((one) => one.scrollWidth > one.clientWidth)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(BROWSER), args=FLAGS)
        page = browser.new_page(locale="en-GB", viewport={"width": 390, "height": 844})
        page.goto(f"{address}/incidents/2")
        expect(page.locator(".table-scroll")).to_contain_text("noc@x.example")
        assert not page.evaluate(cut)
        page.goto(f"{address}/targets/compare")
        expect(page.locator(".figures.listing tbody tr")).to_have_count(5)
        assert not page.evaluate(cut)
        page.goto(f"{address}/targets{PATH}?from=now-1h&to=now-99999999y")
        expect(page.locator("#not-understood")).to_contain_text("is not a time")
        expect(page.locator(".figures")).to_be_visible()  # the usual range, and no error in its place
        page.locator("#ranges [data-range='1h']").click()
        expect(page.locator("#not-understood")).to_have_count(0)
        browser.close()
