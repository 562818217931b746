"""The pages of charts: all of them with their first entries, or one with more."""

from typing import Any, Final

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery

from smokemesh.errors import SmokemeshError
from smokemesh.master.web import charts, pages, screen
from smokemesh.master.web.desk import Desk, check_number, clock, provide_desk
from smokemesh.settings.shape import Chart

#: Entries of each chart on the page of all, where the configuration names no charts.
FIRST: Final = 5
#: Entries of one chart a page may list.
MOST: Final = 200


def ranked(desk: Desk, asked: charts.Window, wanted: list[Chart], most: int) -> list[charts.Ranked]:
    """Charts over a range; `most` entries each, or as many as each says for 0."""
    found = desk.rankings.over(asked, max(most or chart.entries for chart in wanted))
    known = charts.recognize(desk.board.now(desk.settings), found)
    return [charts.rank(chart, found, known, most or chart.entries) for chart in wanted]


def written(sorter: str, value: float) -> str:
    """What a chart ranks by, as people read it."""
    return screen.percent(value) if sorter == "loss" else screen.duration(value)


@get("/charts", sync_to_thread=True, include_in_schema=False)
def get_charts(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """All charts, of each as many entries as its own number says."""
    reader = pages.visitor(request)
    wanted = charts.charts_of(desk.settings, reader.texts)
    most = 0 if desk.settings.presentation.charts else FIRST
    return _page(desk, request, list(wanted), most, reader.texts("charts"))


@get("/charts/{name:str}", sync_to_thread=True, include_in_schema=False)
def get_chart(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str], entries: FromQuery[int] = 0
) -> Response[str]:
    """One chart."""
    reader = pages.visitor(request)
    chart = charts.chart_named(charts.charts_of(desk.settings, reader.texts), name)
    return _page(desk, request, [chart], check_number("entries", entries, 0, MOST), chart.title, chart.name)


def _page(
    desk: Desk, request: Request[Any, Any, Any], wanted: list[Chart], most: int, title: str, alone: str = ""
) -> Response[str]:
    reader, query = pages.visitor(request), request.query_params
    asked = charts.window(query.get("from", ""), query.get("to", ""), desk.settings, clock())
    shown = ranked(desk, asked, wanted, most)
    # The newest round is one point: its graph shows the hour before.
    graph = ("now-1h", "now") if asked.newest else (asked.begin, asked.end)
    return pages.render(
        desk,
        reader,
        "charts.html",
        title=title,
        charts=shown,
        every=charts.charts_of(desk.settings, reader.texts),
        alone=alone,
        asked=asked,
        offered=charts.OFFERED,
        graph=graph,
        written=written,
        pings=max((probe.pings for probe in desk.settings.probes.values()), default=20),
        data={"page": "charts", "range": {"from": graph[0], "to": graph[1]}},
    )


routes = [
    Router(
        path="/",
        route_handlers=[get_charts, get_chart],
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        exception_handlers={SmokemeshError: pages.explain_page, HTTPException: pages.explain_page},
    )
]
