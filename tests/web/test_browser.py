"""The pages in a real Chromium: what a person does with them, and that nothing is said on the console."""

import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import BROWSER
from tests.web import app, world

pytestmark = pytest.mark.browser
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TARGET = "/targets/changzhou/rack29"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    import shutil

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=shutil.which(BROWSER), args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def said() -> list[str]:
    """What the pages complained of."""
    return []


@pytest.fixture
def page(browser: Browser, address: str, said: list[str]) -> Iterator[Page]:
    context = browser.new_context(
        base_url=address, viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="Asia/Shanghai"
    )
    made = context.new_page()
    made.set_default_timeout(15_000)
    made.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: said.append(str(error)))
    # A question that a newer one overtook is taken back; that is no complaint.
    made.on(
        "requestfailed", lambda request: said.append(request.url) if request.failure != "net::ERR_ABORTED" else None
    )
    yield made
    context.close()
    assert said == []


def loads(page: Page) -> int:
    return int(page.evaluate("Number(document.documentElement.dataset.loaded ?? 0)"))


def settled(page: Page, before: int = 0) -> None:
    """The graph has been painted since."""
    html = page.locator("html")
    expect(html).to_have_attribute("data-loaded", re.compile(r"^\d+$"), timeout=15_000)
    expect(html).not_to_have_attribute("data-loaded", str(before), timeout=15_000)


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def drag(page: Page, start: float, end: float) -> None:
    box = page.locator(".graph .u-over").first.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (start + end) / 2, y)
    page.mouse.move(box["x"] + box["width"] * end, y)
    page.mouse.up()


def test_walk_from_the_overview_to_a_graph(page: Page) -> None:
    page.goto("/")
    expect(page.locator("h1")).to_have_text("All targets")
    page.locator("#tree li[data-path='/transit'] > .fold").click()
    page.locator("#tree li[data-path='/transit/europe'] > .fold").click()
    page.locator("#tree").get_by_text("london").click()
    expect(page).to_have_url(re.compile("/targets/transit/europe/london$"))
    expect(page.locator("h1")).to_have_text("London")
    settled(page)
    assert page.locator(".graph canvas").count() >= 1
    expect(page.locator(".figures")).to_contain_text(re.compile(r"1[78]\d ms"))


def test_find_a_target_by_name_and_by_host(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("zurich.example")
    expect(page.locator("#found a")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Zürich")
    page.locator("#filter").fill("no such thing")
    expect(page.locator("#found")).to_contain_text("No target matches")


def test_an_overview_draws_a_graph_of_each_child(page: Page) -> None:
    page.goto("/targets/changzhou")
    expect(page.locator(".card canvas")).to_have_count(4)
    expect(page.locator(".card.down")).to_contain_text("down")


def test_drag_zooms_into_the_address_and_back_returns(page: Page) -> None:
    page.goto(f"{TARGET}?from=now-6h&to=now")
    settled(page)
    before = loads(page)
    drag(page, 0.25, 0.5)
    page.wait_for_url(re.compile(r"from=20"))
    settled(page, before)
    begin, end = query(page)["from"][0], query(page)["to"][0]
    length = page.evaluate(f"(Date.parse('{end}') - Date.parse('{begin}')) / 1000")
    assert length == pytest.approx(5400, rel=0.03)
    expect(page.locator("#live")).to_have_attribute("data-state", "off")
    page.locator(".graph .u-over").first.dblclick()
    page.wait_for_url(lambda url: parse_qs(urlsplit(url).query)["from"] != [begin])
    page.go_back()
    assert query(page)["from"] == [begin]
    page.go_back()
    assert query(page)["from"] == ["now-6h"]
    expect(page.locator("#ranges [data-range='6h']")).to_have_attribute("aria-current", "true")


def test_ranges_stay_relative(page: Page) -> None:
    page.goto(TARGET)
    settled(page)
    page.locator("#ranges").get_by_text("30h").click()
    expect(page).to_have_url(re.compile(r"from=now-30h&to=now$"))
    expect(page.locator("#ranges [data-range='30h']")).to_have_attribute("aria-current", "true")
    page.locator(".zoom-out").click()
    expect(page).to_have_url(re.compile(r"from=now-90h&to=now"))


def test_the_values_under_the_cursor(page: Page) -> None:
    page.goto(f"{TARGET}?agent=boomer&from=now-3h&to=now")
    settled(page)
    box = page.locator(".graph .u-over").first.bounding_box()
    assert box

    def at(hours: float) -> str:
        page.mouse.move(box["x"] + box["width"] * (1 - hours / 3), box["y"] + 60)
        return page.locator(".tip").inner_text()

    assert "20 of 20" in at(0.25) or "Answered" in at(0.25)
    assert "Total loss" in at(1.3)
    assert "No data" in at(2.25)


def test_the_graph_is_read_by_keys(page: Page) -> None:
    page.goto(f"{TARGET}?agent=boomer&from=now-1h&to=now")
    settled(page)
    page.locator(".graph .plot").focus()
    page.keyboard.press("ArrowLeft")
    first = page.locator(".tip b").inner_text()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".tip b").inner_text() < first
    expect(page.locator(".tip")).to_have_attribute("aria-live", "polite")
    page.keyboard.press("+")
    page.wait_for_url(re.compile("from=20"))
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("-")


def test_agents_overlaid_side_by_side_and_alone(page: Page) -> None:
    page.goto(TARGET)
    settled(page)
    expect(page.locator(".graph")).to_have_count(1)
    expect(page.locator(".figures")).to_contain_text("Zürich")
    page.get_by_text("Separate").click()
    expect(page.locator(".graph")).to_have_count(2)
    expect(page).to_have_url(re.compile("view=side"))
    page.locator("#agents [data-agent='boomer']").click()
    expect(page.locator(".graph")).to_have_count(1)
    assert query(page)["agent"] == ["slater"]
    page.reload()
    expect(page.locator(".graph b").first).to_contain_text("Zürich")
    page.go_back()
    expect(page.locator(".graph")).to_have_count(2)


def test_scales(page: Page) -> None:
    page.goto("/targets/changzhou/storage?from=now-3h&to=now")
    settled(page)
    for scale in ("max", "log"):
        before = loads(page)
        page.locator(f"#scales [data-scale='{scale}']").click()
        settled(page, before)
        assert query(page)["scale"] == [scale]


def test_language_and_theme_are_switched_and_remembered(page: Page) -> None:
    page.goto(TARGET)
    settled(page)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    page.locator("[data-language='zh']").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("#downloads")).to_be_visible()
    expect(page.locator(".figures")).to_contain_text("中位数")
    assert urlsplit(page.url).path == TARGET
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor") == dark == "rgb(15, 20, 25)"


def test_new_rounds_appear_without_a_reload(page: Page, master: app.Standing) -> None:
    # A begin that stands still: no old round leaves while the new one comes.
    begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 900))
    page.goto(f"/targets/office?from={begin}&to=now&agent=boomer")
    settled(page)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    before = page.locator(".counts-line").inner_text()
    sent = int(re.match(r"(\d+) sent", before)[1])  # type: ignore[index]
    batch = world.fresh("/office", "boomer", time.time_ns())
    master.store.insert("boomer", batch, "live")
    master.live.publish("boomer", batch)
    expect(page.locator(".counts-line")).to_contain_text(f"{sent + 20} sent")
    expect(page.locator(".figures")).to_contain_text("0 %")


def test_a_page_of_the_past_stays_as_it_is(page: Page, master: app.Standing) -> None:
    page.goto("/targets/office?from=now-2h&to=now-1h")
    settled(page)
    before = loads(page)
    master.live.publish("boomer", world.fresh("/office", "boomer", time.time_ns()))
    page.wait_for_timeout(500)
    assert loads(page) == before


def test_the_browsers_time_zone_is_shown_and_used(page: Page) -> None:
    page.goto(f"{TARGET}?from=2026-01-01T00:00:00Z&to=2026-01-01T03:00:00Z")
    settled(page)
    expect(page.locator("#zone")).to_contain_text("Asia/Shanghai (UTC+8)")
    expect(page.locator(".graph-head")).to_contain_text("2026-01-01 08:00 – 11:00")
    expect(page.locator(".plot .message")).to_have_text("Nothing was measured in this range")


def test_downloads_are_of_what_is_shown(page: Page) -> None:
    page.goto(f"{TARGET}?from=now-6h&to=now&agent=slater&scale=log")
    settled(page)
    for form, kind in (("png", "image/png"), ("svg", "image/svg+xml"), ("csv", "text/csv; charset=utf-8")):
        link = page.locator(f"[data-download='{form}']").get_attribute("href") or ""
        assert parse_qs(urlsplit(link).query)["begin"] == ["now-6h"]
        assert parse_qs(urlsplit(link).query)["agent"] == ["slater"]
        assert parse_qs(urlsplit(link).query)["scale"] == ["log"]
        assert parse_qs(urlsplit(link).query)["zone"] == ["Asia/Shanghai"]
        answer = page.request.get(link)
        assert (answer.status, answer.headers["content-type"]) == (200, kind)


@pytest.mark.parametrize(
    "place",
    ["/", TARGET, "/targets/changzhou", "/agents", f"{TARGET}?view=side", "/targets/compare", "/charts", "/search?q=a"],
)
def test_a_phone_shows_it_without_scrolling_sideways(page: Page, place: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(place)
    page.wait_for_load_state("load")
    if TARGET in place or "compare" in place:
        settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator("#menu")).not_to_be_visible()
    page.locator("#menu-button").click()
    expect(page.locator("#menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#menu")).not_to_be_visible()


def test_a_master_that_went_away_is_said(page: Page, said: list[str]) -> None:
    page.goto("/targets/office?from=now-15m&to=now")
    settled(page)
    page.route(
        "**/api/v1/series*", lambda route: route.fulfill(status=503, json={"code": "store", "message": "store is away"})
    )
    page.locator("#ranges").get_by_text("1h", exact=True).click()
    expect(page.locator(".plot .message")).to_contain_text("The graph could not be loaded: store is away")
    said.clear()


def test_the_agents_page_says_when_nobody_answers(page: Page, said: list[str]) -> None:
    page.goto("/agents")
    lamp = page.locator("#live")
    expect(lamp).to_have_attribute("data-state", "on")
    page.route("**/agents", lambda route: route.abort())
    expect(lamp).to_have_attribute("data-state", "lost", timeout=15_000)
    expect(lamp).to_contain_text("connection lost")
    page.unroute("**/agents")
    expect(lamp).to_have_attribute("data-state", "on", timeout=15_000)
    said.clear()


def test_several_targets_in_one_graph(page: Page) -> None:
    page.goto("/")
    page.locator(".card", has_text="Zürich and the rest").click()
    expect(page.locator("h1")).to_have_text("Zürich and the rest")
    settled(page)
    expect(page.locator(".listing tbody tr")).to_have_count(5)
    expect(page.locator(".missing-lines")).to_contain_text("/transit/gone")
    before = loads(page)
    page.locator("#agents button", has_text="tokyo").click()
    settled(page, before)
    expect(page.locator(".listing tbody tr")).to_have_count(4)
    assert "/transit/tokyo~boomer" not in query(page)["line"]
    drag(page, 0.3, 0.6)
    page.wait_for_url(re.compile("from=20"))
    assert len(query(page)["line"]) == 4
    page.get_by_text("Separate").click()
    expect(page.locator(".graph")).to_have_count(4)
    page.locator(".listing a").first.click()
    expect(page.locator("h1")).to_have_text("Zürich")
    assert query(page)["agent"] == ["slater"]


def test_several_targets_are_live(page: Page, master: app.Standing) -> None:
    page.goto("/targets/compare?from=now-15m&to=now")
    settled(page)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    before = loads(page)
    batch = world.fresh("/transit/tokyo", "boomer", time.time_ns())
    master.store.insert("boomer", batch, "several-live")
    master.live.publish("boomer", batch)
    settled(page, before)


def test_charts_and_their_graphs(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Charts").first.click()
    expect(page.locator(".chart")).to_have_count(4)
    expect(page.locator(".ranked .mini canvas").first).to_be_visible()
    page.locator(".chart h2 a", has_text="Packet loss").click()
    page.get_by_text("24h", exact=True).click()
    expect(page.locator(".ranked").first).to_contain_text("/changzhou/rack30")
    expect(page.locator(".ranked").first).to_contain_text("100 %")
    assert query(page)["from"] == ["now-24h"]
    page.locator(".ranked").nth(1).click()
    settled(page)
    assert query(page)["from"] == ["now-24h"]
    assert len(query(page)["agent"]) == 1


def test_another_tree_is_walked_and_kept(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="By owner").click()
    expect(page.locator("h1")).to_have_text("By owner")
    page.locator("#tree li[data-path='/networks'] > .fold").click()
    page.locator("#tree li[data-path='/networks/abroad'] > .fold").click()
    page.locator("#tree").get_by_text("london").click()
    expect(page.locator("h1")).to_have_text("London")
    settled(page)
    expect(page.locator(".crumbs")).to_contain_text("abroad")
    page.locator("#ranges").get_by_text("6h").click()
    expect(page).to_have_url(re.compile("hierarchy=owner"))
    page.reload()
    expect(page.locator("#tree .current")).to_have_text("london")
    page.get_by_role("link", name="Targets", exact=True).click()
    expect(page.locator("h1")).to_have_text("All targets")


def test_search_by_a_name_that_is_nowhere_else(page: Page, said: list[str]) -> None:
    page.goto("/smokeping.cgi?target=old.rack29")
    expect(page.locator("h1")).to_have_text("There is no such page")
    page.locator("main .search button").click()
    expect(page.locator(".hits li")).to_have_count(1)
    page.locator(".hits a").click()
    expect(page.locator("h1")).to_have_text("29柜")
    settled(page)
    said.clear()
